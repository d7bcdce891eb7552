/*
 * new_disk.pml - a voter goes, and comes back under its number with another disk.
 *
 * DESIGN section 4, the sentence that this model defends:
 *   "a node that lost its disk comes back as a new voter, never as its old self"
 * The code has it in paxos/replica.h (is_mute()) and in votes_from, which follows from votes_after in
 * the file of a node.
 *
 * Voters 0, 1 and 2; rounds 0 to 2, each in a configuration that the one before has decided (a
 * horizon of 1). Round 0 drops voter 2, round 1 adds it again, round 2 is the first that the new disk
 * may vote in. What was before round 0 has happened once already: 2 was dropped, and came back. So
 * there is an earlier drop, too, that an administrator may name whose information is old.
 *
 * Simplifications besides those of reconfigure.pml (a network that is a set, durable before said, a
 * value named by the ballot that it came up in, a prepare that asks round by round):
 *   - Nobody fails but voter 2, whose disk goes at any time between the two changes.
 *   - Where round 0 or 1 is decided otherwise, nothing follows.
 *   - With another disk comes another process: what was said to the one before it does not hear. That
 *     it is dropped is done when one of the two others knows it.
 * Left out: a voter in doubt that asks the new disk; and how a group learns which of its own
 * configurations is the later one.
 *
 * Checked: one value per round; where nothing moves any more, all know every round.
 *
 * defect VOTES_IN_OLD_SLOTS          It votes in no configuration of the disk before.
 * defect VOTES_AFTER_AN_EARLIER_DROP Nor in one that came behind an earlier drop of its number.
 */
#define ROUNDS 3
#define ZERO 1
#define TOP 3
#define CHANGE 4
#define owner(ba) ((ba) - 1)

typedef per_round {
	byte promised[ROUNDS];
	byte ballot[ROUNDS] /* of the acceptance */
}
per_round voter[3];

typedef per_ballot {
	byte value; /* proposed */
	byte votes; /* a bit per voter */
	byte heard; /* promises */
	byte best   /* ballot of the best acceptance that they report */
}
typedef ballots {
	per_ballot in[TOP + 1]
}
ballots round[ROUNDS];

byte known[ROUNDS]; /* who has learned it */
byte decided[ROUNDS];
bit renewed; /* voter 2 has another disk */
bit history; /* and has learned what was before round 0 */

#ifndef SCRATCH
#define SCRATCH hidden
#endif
SCRATCH byte b; /* within a step */
SCRATCH byte r;
SCRATCH byte w;

#define bit_of(set, n) (((set) >> (n)) & 1)
#define majority(set) ((set) == 3 || (set) >= 5)
#define holds(n, s) bit_of(known[s], n)
#define knows_below(n, s) ((s < 1 || (holds(n, 0) && decided[0] == CHANGE)) && \
	(s < 2 || (holds(n, 1) && decided[1] == CHANGE)))
#define names(n, s) (n != 2 || s != 1)
#define quorum(set, s) (s == 1 -> ((set) & 3) == 3 : majority(set))

#if defined VOTES_IN_OLD_SLOTS
#define mute(n) false
#elif defined VOTES_AFTER_AN_EARLIER_DROP
#define mute(n) (n == 2 && renewed && !history)
#else
#define mute(n) (n == 2 && renewed && !(holds(2, 0) && holds(2, 1)))
#endif
#define acts(n, s) (knows_below(n, s) && names(n, s) && !mute(n) && !holds(n, s))
#define free_to(n, s, ba) (voter[n].promised[s] <= ba && voter[n].ballot[s] < ba)

/* What it promised, accepted and was told there nobody asks for any more, nor for anything of a
 * round that all know. */
inline hold(n, s)
{
	known[s] = known[s] | (1 << n);
	voter[n].promised[s] = 0;
	voter[n].ballot[s] = 0;
	round[s].in[n + 1].votes = 0;
	round[s].in[n + 1].heard = 0;
	round[s].in[n + 1].best = 0;
	if
	:: known[s] == 7 && (s == 2 || renewed) ->
		for (b : ZERO .. TOP) {
			round[s].in[b].value = 0
		}
	:: else
	fi
}

inline learn(n, s, what)
{
	assert(decided[s] == 0 || decided[s] == what);
	decided[s] = what;
	hold(n, s)
}

inline accept(n, s, ba)
{
	voter[n].ballot[s] = ba;
	round[s].in[ba].votes = round[s].in[ba].votes | (1 << n)
}

inline propose(n, s, ba, what)
{
	round[s].in[ba].value = what;
	round[s].in[ba].heard = 0;
	round[s].in[ba].best = 0;
	accept(n, s, ba)
}

inline promise(n, s, ba)
{
	voter[n].promised[s] = ba;
	round[s].in[ba].heard = round[s].in[ba].heard | (1 << n);
	if
	:: voter[n].ballot[s] > round[s].in[ba].best -> round[s].in[ba].best = voter[n].ballot[s]
	:: else
	fi
}

/* All that the old disk had, and what its process had heard. */
inline renew()
{
	renewed = 1;
	for (r : 0 .. ROUNDS - 1) {
		voter[2].promised[r] = 0;
		voter[2].ballot[r] = 0;
		known[r] = known[r] & 3;
		round[r].in[3].votes = 0;
		round[r].in[3].heard = 0;
		round[r].in[3].best = 0
	}
}

/* The preparer promises first; then the others, as long as it has not proposed. */
#define PROMISE(n, s, ba, o) \
	:: d_step { acts(o, s) && round[s].in[ba].value == 0 && (n == o || voter[o].promised[s] == ba) && \
		acts(n, s) && free_to(n, s, ba) && !bit_of(round[s].in[ba].heard, n) -> promise(n, s, ba); skip }

#define ACCEPT(n, s, ba) \
	:: d_step { round[s].in[ba].value && n != owner(ba) && acts(n, s) && free_to(n, s, ba) -> \
		accept(n, s, ba); skip }

#define PROPOSE(n, s, ba) \
	:: d_step { acts(n, s) && owner(ba) == n && round[s].in[ba].value == 0 && free_to(n, s, ba) && \
		quorum(round[s].in[ba].heard, s) && round[s].in[ba].best == 0 -> propose(n, s, ba, ba); skip } \
	:: d_step { acts(n, s) && owner(ba) == n && round[s].in[ba].value == 0 && free_to(n, s, ba) && \
		quorum(round[s].in[ba].heard, s) && round[s].in[ba].best -> \
		w = round[s].in[round[s].in[ba].best].value; propose(n, s, ba, w); skip }

#define DECIDE(n, s, ba) \
	:: d_step { owner(ba) == n && acts(n, s) && quorum(round[s].in[ba].votes, s) -> \
		w = round[s].in[ba].value; learn(n, s, w); skip }

/* From one that has it, and with all below. */
#define LEARN(n, s) \
	:: d_step { !holds(n, s) && knows_below(n, s) && (n != 2 || !renewed || history) && known[s] -> \
		hold(n, s); skip }

#define ROUND(n, s) \
	ACCEPT(n, s, 1) ACCEPT(n, s, 2) ACCEPT(n, s, 3) \
	PROMISE(n, s, 2, 1) PROMISE(n, s, 3, 2) DECIDE(n, s, (n + 1)) LEARN(n, s)

#define NODE(n) ROUND(n, 0) ROUND(n, 1) ROUND(n, 2)
#define LEADS(s) PROPOSE(1, s, 2) PROPOSE(2, s, 3)
#define ZEROS(s, what) \
	:: d_step { acts(0, s) && round[s].in[ZERO].value == 0 && free_to(0, s, ZERO) -> \
		propose(0, s, ZERO, what); skip }

#define done(s) (known[s] == 7)

init {
	do
	NODE(0)
	NODE(1)
	NODE(2)
	ZEROS(0, CHANGE)
	ZEROS(1, CHANGE)
	ZEROS(2, ZERO)
	LEADS(0)
	LEADS(1)
	LEADS(2)
	:: d_step { !renewed && decided[0] == CHANGE && (known[0] & 3) && decided[1] == 0 -> renew(); skip }
	:: d_step { renewed && !history -> history = 1; skip }
	:: timeout -> break
	od;
	assert(done(0) && (decided[0] != CHANGE || done(1)));
	assert(decided[0] != CHANGE || decided[1] != CHANGE || done(2))
}
