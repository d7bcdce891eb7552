/*
 * owner_skips.pml - a slot and its owner: proposed, skipped or settled by others, of the kind in
 * which all voters lead.
 *
 * DESIGN section 4, the sentences that this model defends:
 *   "Owner skips are final; a dead owner is dealt with by a change to the first kind"
 *   "a takeover proposes, slot by slot, the accepted value of the highest ballot its prepare found;
 *    only where it found none, skip"
 *   "a skip is an explicit list of ranges in which its owner never proposed; what is in neither a
 *    received range nor a learned value is unknown. A skip counts only from the process that owns
 *    the round"
 *   "a voter keeps on disk a number U, raised in steps long before it is reached; this process
 *    proposes and skips in ballot 0 only below U. A restarted voter begins at U; below it its slots
 *    are settled by prepare, as a dead owner's are"
 * The code has it in paxos/owner.c, with one takeover of all slots instead of one of a slot, and
 * without a turn for a restarted voter. Ballots, promises and takeover are as with one leader
 * (one_leader.pml, whose words this model uses).
 *
 * Three voters, one slot, owned by voter 0. It proposes in ballot 0, or skips; a skip is written
 * nowhere: the reservation alone keeps the next process from proposing where the last one skipped.
 * Anybody may settle the slot by a prepare, the owner's next process included.
 *
 * Simplifications besides those of one_leader.pml (one slot, a network that is a set, what waits
 * for the disk is written and said in one step):
 *   - Settling begins at any time, not only when the change of kind is in force: more schedules.
 *     What the change itself needs is in reconfigure.pml.
 *   - Who hears a skip has learned it: the model takes that for done when it is said.
 *   - One crash may take the owner's last batch, which was acknowledged (a disk that lies). What
 *     an acceptor has to do about its own lost votes is doubt.pml, so here only U is lost.
 *
 * Checked: one value per slot, a skip being one, whoever learns it and how; no vote below a promise
 * that left; where nothing moves any more the slot is decided, unless the process that used the
 * last ballot of the model has died.
 * Seen besides: a skip that an earlier process of the owner said may be believed for ever. "The
 * process that owns the round" can be read as the voter: the reservation makes them the same.
 *
 * defect SKIP_BELOW_R      A skip is an explicit list of ranges in which its owner never proposed.
 * defect SKIP_NOT_FINAL    Owner skips are final.
 * defect SKIP_FROM_ANYONE  A skip counts only from the process that owns the round.
 * defect SETTLE_WITH_ANY   Only where a takeover found no value it proposes skip, and nothing else.
 * defect ADOPT_NOTHING     A takeover proposes the accepted value of the highest ballot it found.
 * defect NO_RESERVATION    A restarted voter begins at U; below it its slots are settled by prepare.
 * defect RESERVE_AT_ONCE   A voter keeps U on disk: it proposes and skips in ballot 0 only below it.
 * defect RESERVE_JUST_THEN U is raised long before it is reached: not by the batch that may be lost.
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
#define SKIP 3
#define owner(ba) (((ba) - 1) % 3)

/* An acceptor: what it knows, and what it will know after a crash. */
typedef acceptor {
	byte promised;
	byte ballot; /* of the acceptance */
	byte value;
	byte reserved /* the slot is below U: 1 since the last batch, 2 since an earlier one */
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
bit skipped; /* on the network: the owner says that it never proposed */
bit lied;
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

#if defined RESERVE_AT_ONCE
#define may_use(n, ba) ((ba) != ZERO || memory[n].reserved)
#elif defined RESERVE_JUST_THEN
#define may_use(n, ba) ((ba) != ZERO || disk[n].reserved)
#else
#define may_use(n, ba) ((ba) != ZERO || disk[n].reserved == 2)
#endif

#define may_accept(n, ba) ((ba) >= memory[n].promised && (ba) > memory[n].ballot)

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

inline promise(n, o)
{
	memory[n].promised = role[o].asks;
	sworn[n] = role[o].asks;
	give_way(n, role[o].asks);
	sync(n)
}

inline elect(n)
{
	role[n].leads = role[n].asks;
	role[n].asks = NONE;
#ifdef ADOPT_NOTHING
	role[n].found = 0;
#endif
#ifndef SETTLE_WITH_ANY
	if
	:: role[n].found == 0 -> role[n].found = SKIP
	:: else
	fi
#endif
}

inline learn(what)
{
	assert(decided == 0 || decided == what);
	decided = what
}

inline skip_own(n)
{
	skipped = 1;
#ifndef SKIP_NOT_FINAL
	forget_role(n);
#endif
	learn(SKIP)
}

/* It comes back with what the disk has. The owner has its slot where no process before
 * it can have used it. */
inline crash(n, lie)
{
	if
	:: lie -> lied = 1; disk[n].reserved = 0
	:: else
	fi;
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
	:: d_step { owner(ba) != n && (accepts[ba] & 8) && may_accept(n, ba) -> accept(n, ba, SKIP); skip } \
	HEAR_ANYONE(n, ba) \
	:: d_step { owner(ba) != n && memory[n].ballot == ba && disk[n].ballot == ba && \
		memory[n].promised <= ba && role[owner(ba)].leads == ba && proposed(owner(ba)) && \
		!(role[owner(ba)].votes & (1 << n)) -> vote(n, ba); skip }

/* Voter n answers the prepare of o; the answer is lost, or heard. */
#define PROMISE(n, o) \
	:: d_step { role[o].asks > memory[n].promised && role[o].asks > memory[n].ballot -> \
		promise(n, o); skip } \
	:: d_step { role[o].asks && role[o].asks >= memory[n].promised && role[o].asks > memory[n].ballot && \
		!(role[o].heard & (1 << n)) -> promise(n, o); hear(o, n); skip }

#ifdef SKIP_FROM_ANYONE
#define HEAR_ANYONE(n, ba) :: d_step { owner(ba) != n && (accepts[ba] & 8) -> learn(SKIP); skip }
#else
#define HEAR_ANYONE(n, ba)
#endif

/* "I am at R" says that the owner is done with the slot: who has no value of it takes it for
 * skipped, though the value may still be on its way. */
#ifdef SKIP_BELOW_R
#define HEAR_ROUND(n) :: d_step { n != 0 && accepts[ZERO] && memory[n].ballot == NONE -> learn(SKIP); skip }
#else
#define HEAR_ROUND(n)
#endif

#define VOTER(n, o, p, last) \
	HEAR_ROUND(n) \
	ACCEPT(n, 1) ACCEPT(n, 2) ACCEPT(n, 3) ACCEPT(n, TOP - 1) ACCEPT(n, TOP) \
	PROMISE(n, o) PROMISE(n, p) \
	:: d_step { behind(n) -> written(n); skip } \
	:: d_step { crashes < CRASHES -> crash(n, 0); skip } \
	:: d_step { memory[n].promised < last && memory[n].ballot < last -> prepare(n); skip } \
	:: d_step { role[n].asks && majority(role[n].heard) -> elect(n); skip } \
	:: d_step { role[n].leads && role[n].found && may_accept(n, role[n].leads) -> \
		b = role[n].found; propose(n, b); skip } \
	:: d_step { role[n].leads && !role[n].found && may_accept(n, role[n].leads) && \
		may_use(n, role[n].leads) -> propose(n, 1); skip } \
	:: d_step { role[n].leads && !role[n].found && may_accept(n, role[n].leads) && \
		may_use(n, role[n].leads) && !fresh -> propose(n, 2); skip } \
	:: d_step { proposed(n) && majority(role[n].votes) && decided != memory[n].value -> \
		learn(memory[n].value); skip }

init {
	role[0].leads = ZERO;
	do
	VOTER(0, 1, 2, 4)
	:: d_step { role[0].leads == ZERO && !memory[0].reserved -> memory[0].reserved = 1; skip }
	:: d_step { disk[0].reserved == 1 -> memory[0].reserved = 2; sync(0); skip }
	:: d_step { role[0].leads == ZERO && !skipped && may_use(0, ZERO) && !proposed(0) -> skip_own(0); skip }
	:: d_step { crashes < CRASHES && !lied && disk[0].reserved == 1 -> crash(0, 1); skip }
	VOTER(1, 2, 0, 5)
	VOTER(2, 0, 1, 3)
	:: timeout -> break
	od;
	assert(top_died || decided)
}
