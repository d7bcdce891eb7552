/*
 * epoch.pml - a majority is taken for lost, and the survivors are forced into a new epoch.
 *
 * DESIGN section 4, the sentences that this model defends:
 *   "Force starts a new epoch, 128 random bits present in every datagram, record and state image;
 *    other epochs are dropped. Survivors first prepare every open slot and adopt any accepted
 *    value. A node of an old epoch re-enters empty"
 * The code asks more: no survivor votes before all others told it what they know (paxos/configure.c,
 * configure_force), so that every later quorum has it.
 *
 * Seven voters, one slot that is open when the force comes. Four are taken for lost, and are not:
 * they go on in the old epoch, with a leader (ballot 0), one that takes over (ballot 2), and every
 * vote that they can get. Three survive, enter the new epoch each at its own time, and settle the
 * slot in ballot 4 or 5, the higher ones being of the new epoch.
 *
 * Simplifications, and why nothing is lost:
 *   - The network is a set, and durable before said: see one_leader.pml. Nobody crashes: what a
 *     restart must not forget is there too, and the epoch is on disk before it is used.
 *   - Three of the lost act as one, LOST, the fourth is STRAY: their votes weigh 3 and 1. So a
 *     quorum of the old epoch (4 of 7) is both, or LOST with one survivor, or STRAY with all three.
 *   - A value is named by the ballot that it came up in.
 *
 * Checked: one value per epoch; a value that the old epoch decided with the vote of a survivor, or
 * that a survivor learned before it went over, is the new epoch's too, whichever comes first; who
 * re-enters holds nothing else; and the new epoch decides.
 *
 * Where DESIGN says too little: "survivors prepare" must be *all* of them, not a majority of the
 * new voters. The old epoch decided with LOST and one survivor; the two others form the new quorum,
 * find nothing, and an acknowledged value is gone although it is there. It holds for any takeover
 * of the new epoch, not only for the first: until an open slot is decided, each asks all.
 *
 * defect KEEP_OLD_EPOCH       Packets of other epochs are dropped: votes and promises.
 * defect LEARN_FROM_OLD_EPOCH Packets of other epochs are dropped: values learned.
 * defect PREPARE_NOTHING      Survivors first prepare every open slot.
 * defect ADOPT_NOTHING        Survivors adopt any accepted value.
 * defect ADOPT_ANY_VALUE      Survivors adopt the accepted value of the highest ballot.
 * defect MAJORITY_IS_ENOUGH   Not in DESIGN: every survivor answers the prepare of an open slot.
 * defect FIRST_ASKS_ALL       Not in DESIGN: ... in every takeover, not only in the first.
 * defect REENTER_WITH_DISK    A node of an old epoch re-enters empty.
 */
#define LOST 3
#define STRAY 4

/* Ballots in their order; LEARNED is a decision of the old epoch. */
#define ZERO 1
#define OLD_TAKEOVER 2
#define LEARNED 3
#define FIRST 4
#define SECOND 5
#define owner(ba) ((ba) == ZERO -> LOST : ((ba) == OLD_TAKEOVER -> STRAY : (ba) - FIRST))

typedef acceptor {
	byte promised;
	byte ballot; /* of the acceptance */
	byte value;
	bit entered /* the new epoch */
}
acceptor voter[5]; /* survivors are 0, 1 and 2 */

typedef proposal {
	byte value;
	byte votes; /* a bit per voter */
	byte heard; /* promises */
	byte best;  /* the best ballot reported */
	byte found  /* its value */
}
proposal ballot[SECOND + 1];

byte old_value; /* decided in the old epoch */
byte binding;   /* ... and known to a survivor, or voted for by one */
byte new_value;

#define bit_of(set, n) (((set) >> (n)) & 1)
#define weight(set) \
	(bit_of(set, 0) + bit_of(set, 1) + bit_of(set, 2) + 3 * bit_of(set, LOST) + bit_of(set, STRAY))
#define old_quorum(set) (weight(set) >= 4)
#define new_quorum(set) (((set) & 7) == 7 || ((set) & 7) == 3 || ((set) & 7) >= 5)
#define SURVIVORS 7

/* Without the epoch, what is higher is a number: an old takeover's may be. */
#ifdef KEEP_OLD_EPOCH
#define in_old(n) 1
#define free_to(n, ba) ((voter[n].promised <= ba && voter[n].ballot < ba) || \
	(ba == OLD_TAKEOVER && voter[n].entered && voter[n].ballot != ba))
#else
#define in_old(n) (!voter[n].entered)
#define free_to(n, ba) (voter[n].promised <= ba && voter[n].ballot < ba)
#endif
#ifdef LEARN_FROM_OLD_EPOCH
#define may_learn(n) 1
#else
#define may_learn(n) (!voter[n].entered)
#endif
#define in_epoch(n, ba) ((ba) <= OLD_TAKEOVER -> in_old(n) : voter[n].entered)

#if defined PREPARE_NOTHING
#define answered(ba) (ba == FIRST || new_quorum(ballot[ba].heard))
#elif defined MAJORITY_IS_ENOUGH
#define answered(ba) new_quorum(ballot[ba].heard)
#elif defined FIRST_ASKS_ALL
#define answered(ba) (ballot[ba].heard == SURVIVORS || (ba == SECOND && new_quorum(ballot[ba].heard)))
#else
#define answered(ba) (ballot[ba].heard == SURVIVORS)
#endif
#define elected(ba) (ba == ZERO || (ba == OLD_TAKEOVER && old_quorum(ballot[ba].heard)) || \
	(ba >= FIRST && answered(ba)))

#ifdef ADOPT_ANY_VALUE
#define better(n, ba) (ballot[ba].best == 0 || \
	(ba < FIRST -> voter[n].ballot > ballot[ba].best : voter[n].ballot < ballot[ba].best))
#else
#define better(n, ba) (voter[n].ballot > ballot[ba].best)
#endif

inline promise(n, ba)
{
	voter[n].promised = ba;
	ballot[ba].heard = ballot[ba].heard | (1 << n);
	if
#ifdef ADOPT_NOTHING
	:: ba < FIRST && voter[n].ballot && better(n, ba) ->
#else
	:: voter[n].ballot && better(n, ba) ->
#endif
		ballot[ba].best = voter[n].ballot;
		ballot[ba].found = voter[n].value
	:: else
	fi
}

inline accept(n, ba)
{
	voter[n].ballot = ba;
	voter[n].value = ballot[ba].value;
	ballot[ba].votes = ballot[ba].votes | (1 << n)
}

inline propose(ba)
{
	ballot[ba].value = (ballot[ba].found -> ballot[ba].found : ba);
	ballot[ba].heard = 0;
	ballot[ba].best = 0;
	ballot[ba].found = 0;
	if
	:: ba != ZERO -> accept(owner(ba), ba)
	:: else /* the accepts leave first, the leader may fail before it has its own on disk */
	fi
}

inline bind(what)
{
	assert(binding == 0 || binding == what);
	assert(new_value == 0 || new_value == what);
	binding = what
}

inline decide_old(ba)
{
	assert(old_value == 0 || old_value == ballot[ba].value);
	old_value = ballot[ba].value;
	if
	:: ballot[ba].votes & SURVIVORS -> bind(old_value)
	:: else
	fi
}

inline decide_new(ba)
{
	assert(new_value == 0 || new_value == ballot[ba].value);
	assert(binding == 0 || binding == ballot[ba].value);
	new_value = ballot[ba].value
}

inline learn_old(n)
{
	voter[n].ballot = LEARNED;
	voter[n].value = old_value;
	bind(old_value)
}

/* It keeps what it had delivered, if anything was, or nothing. */
inline reenter(n)
{
	voter[n].entered = 1;
#ifdef REENTER_WITH_DISK
	assert(old_value == 0 || new_value == 0 || new_value == old_value);
#endif
	voter[n].ballot = 0;
	voter[n].value = 0
}

#define PREPARE(n, ba) \
	:: d_step { ballot[ba].value == 0 && in_epoch(owner(ba), ba) && in_epoch(n, ba) && !elected(ba) && \
		(n == owner(ba) || voter[owner(ba)].promised == ba) && !bit_of(ballot[ba].heard, n) && \
		free_to(n, ba) -> promise(n, ba); skip }

#define ACCEPT(n, ba) \
	:: d_step { ballot[ba].value && in_epoch(n, ba) && free_to(n, ba) -> \
		accept(n, ba); skip }

#define OLD(n) \
	ACCEPT(n, ZERO) ACCEPT(n, OLD_TAKEOVER) PREPARE(n, OLD_TAKEOVER)

#define NEW(n) \
	PREPARE(n, FIRST) PREPARE(n, SECOND) ACCEPT(n, FIRST) ACCEPT(n, SECOND) \
	:: d_step { !voter[n].entered -> voter[n].entered = 1; skip } \
	:: d_step { old_value && may_learn(n) && voter[n].ballot < LEARNED -> learn_old(n); skip }

#define LEAD(ba) \
	:: d_step { ballot[ba].value == 0 && in_epoch(owner(ba), ba) && elected(ba) && \
		free_to(owner(ba), ba) -> propose(ba); skip }

init {
	do
	OLD(0) NEW(0)
	OLD(1) NEW(1)
	OLD(2) NEW(2)
	OLD(LOST)
	OLD(STRAY)
	LEAD(ZERO) LEAD(OLD_TAKEOVER) LEAD(FIRST) LEAD(SECOND)
	:: d_step { old_quorum(ballot[ZERO].votes) && old_value != ballot[ZERO].value && in_old(LOST) ->
		decide_old(ZERO); skip }
	:: d_step { old_quorum(ballot[OLD_TAKEOVER].votes) && in_old(STRAY) &&
		old_value != ballot[OLD_TAKEOVER].value -> decide_old(OLD_TAKEOVER); skip }
	:: d_step { new_quorum(ballot[FIRST].votes) && new_value != ballot[FIRST].value -> decide_new(FIRST); skip }
	:: d_step { new_quorum(ballot[SECOND].votes) && new_value != ballot[SECOND].value -> decide_new(SECOND); skip }
	:: d_step { new_value && !voter[STRAY].entered -> reenter(STRAY); skip }
	:: timeout -> break
	od;
	assert(new_value)
}
