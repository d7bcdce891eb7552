/*
 * doubt.pml - a voter that is not sure of its own log: what it asks, and when it votes again.
 *
 * DESIGN section 4, the sentences that this model defends:
 *   "after an unclean stop a voter votes on open slots only when n - q + 1 other voters have told it
 *    their promises and accepted values, which it adopts"
 *   "failing that, after tail_trust_s, and only if nothing but the last batch is cut"
 *   "a corrupt record in the middle is repaired from peers, never taken for an empty one"
 * The code has it in paxos/step_start.c, and in step_accept.c what an adopted value is not. Ballots,
 * promises and takeover are as in one_leader.pml, whose words this model uses.
 *
 * Three voters, one slot. Voter 0 is the configured leader; voter 1 may take over once, and voter 0 or
 * 2 once more. Two processes end uncleanly, or one and then all three at once. In each run either
 *   - the disk of one voter lies: it loses its last batch or all it had acknowledged, and does not
 *     know it; the others lose at most what was not on disk; or
 *   - disks lose everything, and it is known (a hole in the log), as many as will; or
 *   - no disk loses anything that it acknowledged, and time may end a doubt (then voter 0 does not
 *     lead again).
 *
 * Simplifications besides those of one_leader.pml (one slot, a network that is a set, what waits
 * for the disk is written and said in one step):
 *   - Who is asked tells its promise and its acceptance at once, when it is heard; its own records
 *     need not be on disk for that. The code lets the answer wait for them: more schedules here.
 *   - What was adopted is on disk when it is adopted: until then its voter does nothing else.
 *   - The slot is below U, which was raised long before. So ballot 0 is never used by a second
 *     process, but for the one whose disk lost U (ZERO_AFTER_DOUBT).
 *   - An orderly stop is one in doubt: another takes nothing but a role away, which any schedule may.
 *     So is an unclean one without a loss where a disk lies or has a hole, but in an outage.
 *   - With three voters n - q + 1 others are all others. That with five it has to be all of them,
 *     too, recover_try() says.
 * Left out: SETTLED, which waits for what the others had delivered; a bounded prepare; a force.
 *
 * Checked: one value, whoever counts it and whenever; where nothing moves any more the slot is
 * decided, unless the process that used the last ballot has died, or two logs had holes.
 *
 * Where DESIGN is not enough: time beside a bad disk. A accepts v from leader L, and loses it; B
 * answers A's question before it hears of v. L counts the votes of A and B, and says that v is
 * decided; it fails with its own record not on disk yet, and answers A, which now has all that it
 * asked for, and votes. Nobody hears B for a while, and tail_trust_s ends the doubt of L. A and L are a
 * majority that has never heard of v. So who was answered by all asks all once more, since a leader
 * that does not know then what it proposed has counted its last vote: the code does (ask_again()),
 * and so does -DASK_TWICE -DTRUST_BESIDE_A_LOSS, which holds: 23 million states, not in CI. In CI it
 * asks once, and time ends no doubt behind a loss: enough, since L does not vote without B.
 *
 * defect NO_DOUBT             A voter votes again only when the others have told it what they know.
 * defect ACCEPT_IN_DOUBT      Until then it accepts nothing.
 * defect PROMISE_IN_DOUBT     Until then it promises nothing.
 * defect LEAD_IN_DOUBT        Until then it prepares nothing.
 * defect ASK_ONE              All others tell it, not one of them.
 * defect WHAT_IS_ON_DISK      They tell what they have proposed, too, be it on disk or not.
 * defect OLD_ANSWER           They tell it since it began: an answer to an earlier process is none.
 * defect ONLY_VOTERS_ANSWER   One in doubt tells as well: behind an outage nobody else is there.
 * defect MISSING_ANSWERS      Not so one that knows that acknowledged records are missing.
 * defect PROMISE_NOT_ADOPTED  It adopts their promises.
 * defect VALUE_NOT_ADOPTED    It adopts their accepted values.
 * defect ADOPT_ANY            It adopts the accepted value of the highest ballot that it is told of.
 * defect ADOPT_OVER_OWN       It adopts no value in place of its own of a higher ballot.
 * defect ADOPT_COUNTS_AS_VOTE What it adopted below a promise is no vote.
 * defect ZERO_AFTER_DOUBT     U may be what was lost: ballot 0 is not used again.
 * defect DOUBT_ENDS_WITH_STOP A doubt outlives the process that had it.
 * defect TRUST_UNLOGGED       Where time ends a doubt, promises that were told are on disk first.
 * defect TRUST_MISSING        Time ends it only if nothing but the last batch is cut.
 * defect TRUST_BESIDE_A_LOSS  Not in DESIGN: nor beside a disk that lost more, where all are asked once.
 */
#define CRASHES 2
#define LIES 1
#define HOLES 2
#define TOP 3

/* Ballot 0 is 1 here, so that 0 can be none. */
#define NONE 0
#define ZERO 1
#define owner(ba) ((ba) == ZERO -> 0 : ((ba) == 2 -> 1 : third))

/* What a log's end was taken for. */
#define SURE 0
#define CUT 1     /* the last batch may be missing */
#define MISSING 2 /* acknowledged records are, and it knows */

/* What a disk loses. */
#define BATCH 1
#define ALL 2

/* Nobody is the liar: all are honest, or holes are known. */
#define NOBODY 3
#define HOLED 4

/* An acceptor: what it knows, what it will know after a crash, and what that would be without
 * the last batch. */
typedef acceptor {
	byte promised;
	byte ballot; /* of the acceptance */
	byte value
}
acceptor memory[3];
acceptor disk[3];
acceptor older; /* the liar's */

/* A proposer, gone with its process. */
typedef proposer {
	byte asks;  /* the ballot that it prepares */
	byte leads; /* the ballot that it proposes in */
	byte heard; /* promises: a bit per voter */
	byte best;  /* ballot of the best acceptance reported */
	byte found; /* its value; 0: it may propose any */
	byte votes  /* a bit per voter */
}
proposer role[3];

byte doubt[3];
byte told[3]; /* in doubt: who answered, a bit per voter; best and found of the role go with it */
byte liar;    /* whose disk may lie */
bit lied;     /* it has, and its voter still asks */
byte third;   /* who may use ballot 3 */
#ifdef ZERO_AFTER_DOUBT
bit unreserved; /* voter 0's disk has lost the U above the slot */
#endif

#ifdef ASK_TWICE
bit again[3];
#endif
#ifdef OLD_ANSWER
byte nothing[3];
#endif
byte accepts[TOP + 1]; /* on the network: a bit per value */
byte decided;
byte crashes;
byte lies;
byte holes;
bool top_died;

#ifndef SCRATCH
#define SCRATCH hidden
#endif
SCRATCH byte b; /* within a step */

#define majority(set) ((set) == 3 || (set) >= 5)
#define fresh ((accepts[1] | accepts[2] | accepts[3]) == 0)
#define proposed(n) (role[n].leads && memory[n].ballot == role[n].leads)
#define may_accept(n, ba) ((ba) >= memory[n].promised && (ba) > memory[n].ballot)

#ifdef NO_DOUBT
#define at_crash SURE
#else
#define at_crash CUT
#endif
#if defined TRUST_MISSING
#define trusts(n) (doubt[n] && lies == 0)
#elif defined TRUST_BESIDE_A_LOSS
#define trusts(n) (doubt[n] == CUT && (n != liar || !lied))
#else
#define trusts(n) (doubt[n] == CUT && lies == 0 && holes == 0)
#endif
#ifdef ACCEPT_IN_DOUBT
#define accepts_now(n) true
#else
#define accepts_now(n) (doubt[n] == SURE)
#endif
#ifdef PROMISE_IN_DOUBT
#define promises_now(n) true
#else
#define promises_now(n) (doubt[n] == SURE)
#endif
#ifdef LEAD_IN_DOUBT
#define leads_now(n) true
#else
#define leads_now(n) (doubt[n] == SURE)
#endif

inline copy(to, from)
{
	to.promised = from.promised;
	to.ballot = from.ballot;
	to.value = from.value
}

inline clear(what)
{
	what.promised = NONE;
	what.ballot = NONE;
	what.value = 0
}

/* A batch is on disk. */
inline sync(n)
{
	if
	:: liar == n && lies < LIES -> copy(older, disk[n])
	:: else
	fi;
	copy(disk[n], memory[n])
}

inline forget_role(n)
{
	role[n].asks = NONE;
	role[n].leads = NONE;
	role[n].heard = 0;
	role[n].best = NONE;
	role[n].found = 0;
	role[n].votes = 0
}

/* Who promises or accepts a higher ballot leads in none of its own. */
inline give_way(n, ba)
{
	if
	:: (role[n].leads && role[n].leads < ba) || (role[n].asks && role[n].asks < ba) -> forget_role(n)
	:: else
	fi
}

/* To the process that leads in this ballot now, if it still does. */
inline vote(n, ba)
{
	if
	:: proposed(owner(ba)) && role[owner(ba)].leads == ba ->
		role[owner(ba)].votes = role[owner(ba)].votes | (1 << n)
	:: else
	fi
}

inline accept(n, ba, what)
{
	memory[n].ballot = ba;
	memory[n].value = what;
	give_way(n, ba);
	sync(n);
	vote(n, ba)
}

/* The own record is on disk. */
inline written(n)
{
	sync(n);
	if
	:: proposed(n) -> b = memory[n].ballot; vote(n, b)
	:: else
	fi
}

inline propose(n, what)
{
	memory[n].value = what;
	memory[n].ballot = role[n].leads;
	accepts[role[n].leads] = accepts[role[n].leads] | (1 << what);
	role[n].best = NONE;
	role[n].found = 0;
	role[n].heard = 0
}

inline prepare(n, ba)
{
	forget_role(n);
	role[n].asks = ba;
	role[n].best = memory[n].ballot;
	role[n].found = memory[n].value;
	role[n].heard = 1 << n;
	memory[n].promised = ba;
	sync(n)
}

inline hear(o, n)
{
	role[o].heard = role[o].heard | (1 << n);
	if
	:: memory[n].ballot > role[o].best ->
		role[o].best = memory[n].ballot;
		role[o].found = memory[n].value
	:: else
	fi
}

/* One that finds the promise made writes no other record. */
inline promise(n, o)
{
	if
	:: memory[n].promised < role[o].asks ->
		memory[n].promised = role[o].asks;
		give_way(n, role[o].asks);
		sync(n)
	:: else
	fi
}

inline elect(n)
{
	role[n].leads = role[n].asks;
	role[n].asks = NONE
}

inline decide(n)
{
	assert(decided == 0 || decided == memory[n].value);
	decided = memory[n].value
}

/* Its next process begins with what the disk has. */
inline begin(n)
{
	crashes++;
	if
	:: owner(TOP) == n && memory[n].promised == TOP -> top_died = true
	:: else
	fi;
	copy(memory[n], disk[n]);
	forget_role(n);
#ifdef ASK_TWICE
	again[n] = 0;
#endif
	told[n] = 0
}

/* U is lost with all, or as the last batch. */
inline lose(n, taken)
{
#ifdef ZERO_AFTER_DOUBT
	if
	:: n == 0 && (taken == ALL || (disk[0].promised == NONE && disk[0].ballot == NONE)) ->
		unreserved = 1
	:: else
	fi;
#endif
	if
	:: taken == BATCH -> copy(disk[n], older)
	:: else -> clear(disk[n])
	fi
}

inline crash(n)
{
	if
	:: doubt[n] == SURE -> doubt[n] = at_crash
	:: else
	fi;
	begin(n)
}

inline crash_lying(n, taken)
{
	lose(n, taken);
	lied = 1;
	lies++;
	clear(older);
	crash(n)
}

inline crash_with_hole(n)
{
	lose(n, ALL);
	holes++;
	doubt[n] = MISSING;
	begin(n)
}

inline stop(n)
{
#ifdef DOUBT_ENDS_WITH_STOP
	doubt[n] = SURE;
#endif
	begin(n)
}

/* Who answers one in doubt, and what counts of that. */
#if defined ONLY_VOTERS_ANSWER
#define will_tell(o) (doubt[o] == SURE)
#elif defined MISSING_ANSWERS
#define will_tell(o) true
#else
#define will_tell(o) (doubt[o] != MISSING)
#endif
#ifdef WHAT_IS_ON_DISK
#define known(o) disk[o]
#else
#define known(o) memory[o]
#endif
#ifdef ADOPT_ANY
#define better(n, o) (known(o).ballot != NONE)
#else
#define better(n, o) (known(o).ballot > role[n].best)
#endif

/* Voter o tells n what it promised and accepted. */
inline tell(n, o)
{
	told[n] = told[n] | (1 << o);
#ifdef OLD_ANSWER
	if
	:: memory[o].promised == NONE && memory[o].ballot == NONE -> nothing[n] = nothing[n] | (1 << o)
	:: else
	fi;
#endif
#ifndef PROMISE_NOT_ADOPTED
	if
	:: known(o).promised > memory[n].promised -> memory[n].promised = known(o).promised
	:: else
	fi;
#endif
	if
	:: better(n, o) ->
		role[n].best = known(o).ballot;
		role[n].found = known(o).value
	:: else
	fi
}

#ifdef ASK_ONE
#define all_told(n, o, p) (told[n] != 0)
#else
#define all_told(n, o, p) (told[n] == (1 << o | 1 << p))
#endif

inline settle(n)
{
	doubt[n] = SURE;
	if
	:: n == liar -> lied = 0
	:: else
	fi;
	told[n] = 0;
#ifdef ASK_TWICE
	again[n] = 0;
#endif
	forget_role(n);
#ifdef ZERO_AFTER_DOUBT
	if
	:: n == 0 && unreserved && memory[0].promised == NONE && memory[0].ballot == NONE ->
		role[0].leads = ZERO
	:: else
	fi
#endif
}

inline adopt(n)
{
#ifndef VALUE_NOT_ADOPTED
	if
#ifdef ADOPT_OVER_OWN
	:: role[n].best ->
#else
	:: role[n].best > memory[n].ballot ->
#endif
		memory[n].ballot = role[n].best;
		memory[n].value = role[n].found
	:: else
	fi;
#endif
	sync(n);
	settle(n)
}

inline trust(n)
{
#ifndef TRUST_UNLOGGED
	sync(n);
#endif
	settle(n)
}

#ifdef TRUST_UNLOGGED
#define behind(n) (memory[n].ballot != disk[n].ballot)
#else
#define behind(n) (memory[n].promised != disk[n].promised || memory[n].ballot != disk[n].ballot)
#endif

#ifdef ADOPT_COUNTS_AS_VOTE
#define says_again(n, ba) true
#else
#define says_again(n, ba) (memory[n].promised <= ba)
#endif

/* Voter n reads an accept, or has read it and is asked for its vote once more. */
#define ACCEPT(n, ba) \
	:: d_step { accepts_now(n) && owner(ba) != n && (accepts[ba] & 2) && may_accept(n, ba) -> \
		accept(n, ba, 1); skip } \
	:: d_step { accepts_now(n) && owner(ba) != n && (accepts[ba] & 4) && may_accept(n, ba) -> \
		accept(n, ba, 2); skip } \
	:: d_step { accepts_now(n) && owner(ba) != n && memory[n].ballot == ba && disk[n].ballot == ba && \
		says_again(n, ba) && role[owner(ba)].leads == ba && proposed(owner(ba)) && \
		!(role[owner(ba)].votes & (1 << n)) -> vote(n, ba); skip }

/* Voter n answers the prepare of o; the answer is lost, or heard. */
#define PROMISE(n, o) \
	:: d_step { promises_now(n) && role[o].asks > memory[n].promised && role[o].asks > memory[n].ballot -> \
		promise(n, o); skip } \
	:: d_step { promises_now(n) && role[o].asks && role[o].asks >= memory[n].promised && \
		role[o].asks > memory[n].ballot && !(role[o].heard & (1 << n)) -> promise(n, o); hear(o, n); skip }

/* The answer to an earlier question, of a time when there was nothing to tell. */
#ifdef OLD_ANSWER
#define OLD(n, o) \
	:: d_step { doubt[n] && !(told[n] & (1 << o)) && (nothing[n] & (1 << o)) -> \
		told[n] = told[n] | (1 << o); skip }
#else
#define OLD(n, o)
#endif
#define TELL(n, o) \
	:: d_step { doubt[n] && !(told[n] & (1 << o)) && will_tell(o) -> tell(n, o); skip } \
	OLD(n, o)

#define PREPARE(n, ba) \
	:: d_step { leads_now(n) && owner(ba) == n && memory[n].promised < ba && memory[n].ballot < ba -> \
		prepare(n, ba); skip }

#define LEADER(n) \
	PREPARE(n, 2) PREPARE(n, 3) \
	:: d_step { role[n].asks && majority(role[n].heard) -> elect(n); skip } \
	:: d_step { role[n].leads && role[n].found && may_accept(n, role[n].leads) -> \
		b = role[n].found; propose(n, b); skip } \
	:: d_step { role[n].leads && !role[n].found && may_accept(n, role[n].leads) -> propose(n, 1); skip } \
	:: d_step { role[n].leads && !role[n].found && may_accept(n, role[n].leads) && !fresh -> \
		propose(n, 2); skip } \
	:: d_step { proposed(n) && majority(role[n].votes) && decided != memory[n].value -> \
		decide(n); skip }

#ifdef OLD_ANSWER
#define loses(n) true
#else
#define loses(n) (liar == NOBODY || behind(n))
#endif

#define CRASH(n) \
	:: d_step { crashes < CRASHES && loses(n) -> crash(n); skip } \
	:: d_step { crashes < CRASHES && liar == n && lies < LIES -> crash_lying(n, BATCH); skip } \
	:: d_step { crashes < CRASHES && liar == n && lies < LIES -> crash_lying(n, ALL); skip } \
	:: d_step { crashes < CRASHES && liar == HOLED && holes < HOLES -> crash_with_hole(n); skip } \
	:: d_step { crashes < CRASHES && doubt[n] != SURE && !behind(n) -> stop(n); skip }

#ifdef ASK_TWICE
#define TOLD(n, o, p) \
	:: d_step { doubt[n] && all_told(n, o, p) && again[n] -> again[n] = 0; adopt(n); skip } \
	:: d_step { doubt[n] && all_told(n, o, p) && !again[n] -> again[n] = 1; told[n] = 0; skip }
#else
#define TOLD(n, o, p) :: d_step { doubt[n] && all_told(n, o, p) -> adopt(n); skip }
#endif

#define VOTER(n, o, p) \
	ACCEPT(n, 1) ACCEPT(n, 2) ACCEPT(n, 3) \
	PROMISE(n, o) PROMISE(n, p) \
	TELL(n, o) TELL(n, p) \
	LEADER(n) CRASH(n) \
	:: d_step { behind(n) && doubt[n] == SURE -> written(n); skip } \
	TOLD(n, o, p) \
	:: d_step { trusts(n) -> trust(n); skip }

init {
	role[0].leads = ZERO;
	if
	:: liar = HOLED
	:: liar = 0
	:: liar = 1
	:: liar = 2
	:: liar = NOBODY
	fi;
	if
	:: liar != NOBODY -> third = 0
	:: third = 2
	fi;
	do
	VOTER(0, 1, 2)
	VOTER(1, 2, 0)
	VOTER(2, 0, 1)
	:: d_step { crashes < CRASHES && liar == NOBODY ->
		crash(0); crash(1); crash(2); skip }
	:: d_step { crashes < CRASHES && liar == 0 && lies < LIES ->
		crash_lying(0, ALL); crash(1); crash(2); skip }
	:: d_step { crashes < CRASHES && liar == 1 && lies < LIES ->
		crash_lying(1, ALL); crash(0); crash(2); skip }
	:: d_step { crashes < CRASHES && liar == 2 && lies < LIES ->
		crash_lying(2, ALL); crash(0); crash(1); skip }
	:: timeout -> break
	od;
	assert(top_died || decided || holes > 1)
}
