/*
 * one_leader.pml - ballots, reservation, takeover and restart of the kind with one leader.
 *
 * DESIGN section 4, the sentences that this model defends:
 *   "ballot 0 belongs to the configured leader, needs no prepare; any voter may take over with one
 *    prepare for a range"
 *   "a takeover proposes, slot by slot, the accepted value of the highest ballot its prepare found;
 *    only where it found none, any value"
 *   "a ballot above 0 is used by one process only: its prepare waits for the own promise on disk,
 *    and a restarted process prepares a higher one"
 *   "a voter keeps on disk a number U ...; this process proposes in ballot 0 only below U. A
 *    restarted voter begins at U; below it its slots are settled by prepare"
 *   "every packet names the log position it depends on and waits for it; a replica's own vote
 *    counts when the log reports it"
 * The code has all of it: paxos/step_prepare.c, step_accept.c, step_start.c. What a voter does in
 * doubt of its own log is doubt.pml; here a crash loses what was not on disk, and nothing else.
 *
 * Three voters, one slot. Voter 0 is the configured leader; each of the three may take over.
 *
 * Simplifications, and why nothing is lost:
 *   - One slot. What is promised, accepted and counted is per slot; of the others a slot feels only
 *     that somebody knows a higher ballot, that U has passed it or not, and that a range holds it
 *     or not (then nothing happens here).
 *   - The network is a set of accepts that only grows. Who never reads one has lost it, who reads
 *     it later has it out of order, who reads it twice has a duplicate.
 *   - An answer is heard at once or lost: what the asker does with it, it does at a time of its
 *     own. A question is answered as long as its process asks.
 *   - A record whose message waits for it is written and durable in one step: until then it binds
 *     nobody, so a crash before that is a message never read. Apart are the own proposal, which
 *     leaves at once, and its record; and everything in the variants that do not wait.
 *   - A node that is down takes no step, which any schedule may do to it: crash and restart are one.
 *   - Learning repeats a decision and is left out.
 *   - Two values are enough (nobody looks into one), and the first that is proposed is called 1.
 *
 * Checked: one value, whoever counts it and whenever, so that what was acknowledged survives; no
 * vote below a promise that left the voter; where nothing moves any more the slot is decided,
 * unless the process that used the last ballot of the model has died.
 *
 * defect NO_RESERVATION    A restarted voter begins at U; below it its slots are settled by prepare.
 * defect RESERVE_AT_ONCE   A voter keeps U on disk: this process proposes in ballot 0 only below it.
 * defect ADOPT_NOTHING     A takeover proposes the accepted value of the highest ballot it found.
 * defect ADOPT_LOWEST      A takeover proposes the accepted value of the *highest* ballot it found.
 * defect OWN_VOTE_AT_ONCE  A replica's own vote is an input too: it counts when the log reports it.
 * defect VOTE_AT_ONCE      Every packet waits for the log position it depends on: an acceptance.
 * defect PROMISE_AT_ONCE   Every packet waits for the log position it depends on: a promise.
 * defect PREPARE_AT_ONCE   A ballot is used by one process: its prepare waits for the own promise.
 * defect ACCEPT_ANYWAY     A promise binds: what is accepted later has no lower ballot.
 */
#ifndef CRASHES
#define CRASHES 2
#endif
#ifndef TOP
#define TOP 5
#endif

/* Ballot 0 is 1 here, so that 0 can be none; the others are the voters' in turn. */
#define NONE 0
#define ZERO 1
#define owner(ba) (((ba) - 1) % 3)

/* An acceptor: what it knows, and what it will know after a crash. */
typedef acceptor {
	byte promised;
	byte ballot; /* of the acceptance */
	byte value;
	bit reserved /* the slot is below U */
}
acceptor memory[3];
acceptor disk[3];

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

byte accepts[TOP + 1]; /* on the network: a bit per value */
byte sworn[3];         /* the highest promise that anybody may have heard of */
byte decided;
byte crashes;
bool top_died;

#ifndef SCRATCH
#define SCRATCH hidden
#endif
SCRATCH byte b; /* within a step */

#define majority(set) ((set) == 3 || (set) >= 5)
#define fresh \
	((accepts[1] | accepts[2] | accepts[3] | accepts[TOP - 1] | accepts[TOP]) == 0)
#define proposed(n) (role[n].leads && memory[n].ballot == role[n].leads)

#ifdef RESERVE_AT_ONCE
#define may_use(n, ba) ((ba) != ZERO || memory[n].reserved)
#else
#define may_use(n, ba) ((ba) != ZERO || disk[n].reserved)
#endif

#ifdef ACCEPT_ANYWAY
#define may_accept(n, ba) ((ba) > memory[n].ballot)
#else
#define may_accept(n, ba) ((ba) >= memory[n].promised && (ba) > memory[n].ballot)
#endif

inline sync(n)
{
	disk[n].promised = memory[n].promised;
	disk[n].ballot = memory[n].ballot;
	disk[n].value = memory[n].value;
	disk[n].reserved = memory[n].reserved
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
	assert(ba >= sworn[n]);
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
#ifndef VOTE_AT_ONCE
	sync(n);
#endif
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
	role[n].heard = 0;
#ifdef OWN_VOTE_AT_ONCE
	b = role[n].leads;
	vote(n, b)
#endif
}

inline prepare(n)
{
	forget_role(n);
	b = ZERO + 1;
	do
	:: b > memory[n].promised && b > memory[n].ballot && owner(b) == n -> break
	:: else -> b++
	od;
	role[n].asks = b;
	role[n].best = memory[n].ballot;
	role[n].found = memory[n].value;
	role[n].heard = 1 << n;
	memory[n].promised = b;
	sworn[n] = b;
#ifndef PREPARE_AT_ONCE
	sync(n)
#endif
}

inline hear(o, n)
{
	role[o].heard = role[o].heard | (1 << n);
	if
#ifdef ADOPT_LOWEST
	:: memory[n].ballot && (role[o].best == NONE || memory[n].ballot < role[o].best) ->
#else
	:: memory[n].ballot > role[o].best ->
#endif
		role[o].best = memory[n].ballot;
		role[o].found = memory[n].value
	:: else
	fi
}

inline promise(n, o)
{
	memory[n].promised = role[o].asks;
	sworn[n] = role[o].asks;
	give_way(n, role[o].asks);
#ifndef PROMISE_AT_ONCE
	sync(n)
#endif
}

inline elect(n)
{
	role[n].leads = role[n].asks;
	role[n].asks = NONE;
#ifdef ADOPT_NOTHING
	role[n].found = 0
#endif
}

inline decide(n)
{
	assert(decided == 0 || decided == memory[n].value);
	decided = memory[n].value
}

/* It comes back with what the disk has. Voter 0 leads in ballot 0 where no process before
 * it can have done so. */
inline crash(n)
{
	crashes++;
	if
	:: owner(TOP) == n && memory[n].promised == TOP -> top_died = true
	:: else
	fi;
	memory[n].promised = disk[n].promised;
	memory[n].ballot = disk[n].ballot;
	memory[n].value = disk[n].value;
	memory[n].reserved = disk[n].reserved;
	forget_role(n);
	if
#ifdef NO_RESERVATION
	:: n == 0 && disk[0].promised == NONE -> role[0].leads = ZERO
#else
	:: n == 0 && !disk[0].reserved && disk[0].promised == NONE -> role[0].leads = ZERO
#endif
	:: else
	fi
}

#define behind(n) (memory[n].promised != disk[n].promised || memory[n].ballot != disk[n].ballot || \
	memory[n].reserved != disk[n].reserved)

/* Voter n reads an accept, or has read it and is asked for its vote once more. */
#define ACCEPT(n, ba) \
	:: d_step { owner(ba) != n && (accepts[ba] & 2) && may_accept(n, ba) -> accept(n, ba, 1); skip } \
	:: d_step { owner(ba) != n && (accepts[ba] & 4) && may_accept(n, ba) -> accept(n, ba, 2); skip } \
	:: d_step { owner(ba) != n && memory[n].ballot == ba && disk[n].ballot == ba && \
		memory[n].promised <= ba && role[owner(ba)].leads == ba && proposed(owner(ba)) && \
		!(role[owner(ba)].votes & (1 << n)) -> vote(n, ba); skip }

/* Voter n answers the prepare of o; the answer is lost, or heard. */
#define PROMISE(n, o) \
	:: d_step { role[o].asks > memory[n].promised && role[o].asks > memory[n].ballot -> \
		promise(n, o); skip } \
	:: d_step { role[o].asks && role[o].asks >= memory[n].promised && role[o].asks > memory[n].ballot && \
		!(role[o].heard & (1 << n)) -> promise(n, o); hear(o, n); skip }

#define VOTER(n, o, p, last) \
	ACCEPT(n, 1) ACCEPT(n, 2) ACCEPT(n, 3) ACCEPT(n, TOP - 1) ACCEPT(n, TOP) \
	PROMISE(n, o) PROMISE(n, p) \
	:: d_step { behind(n) -> written(n); skip } \
	:: d_step { crashes < CRASHES -> crash(n); skip } \
	:: d_step { memory[n].promised < last && memory[n].ballot < last -> prepare(n); skip } \
	:: d_step { role[n].asks && majority(role[n].heard) -> elect(n); skip } \
	:: d_step { role[n].leads && role[n].found && may_accept(n, role[n].leads) -> \
		b = role[n].found; propose(n, b); skip } \
	:: d_step { role[n].leads && !role[n].found && may_accept(n, role[n].leads) && \
		may_use(n, role[n].leads) -> propose(n, 1); skip } \
	:: d_step { role[n].leads && !role[n].found && may_accept(n, role[n].leads) && \
		may_use(n, role[n].leads) && !fresh -> propose(n, 2); skip } \
	:: d_step { proposed(n) && majority(role[n].votes) && decided != memory[n].value -> \
		decide(n); skip }

init {
	role[0].leads = ZERO;
	do
	VOTER(0, 1, 2, 4)
	:: d_step { role[0].leads == ZERO && !memory[0].reserved -> memory[0].reserved = 1; skip }
	VOTER(1, 2, 0, 5)
	VOTER(2, 0, 1, 3)
	:: timeout -> break
	od;
	assert(top_died || decided)
}
