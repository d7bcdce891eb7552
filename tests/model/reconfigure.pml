/*
 * reconfigure.pml - a voter is replaced while slots are in flight.
 *
 * DESIGN section 4, the sentences that this model defends:
 *   "a configuration decided in round r is in force from r + horizon"; "one function says what a
 *    quorum is in a round"
 *   "in round r nobody proposes, promises or counts before it has delivered round r - horizon"
 *   "a prepare names its configuration and ends with that configuration's last round; beyond it a
 *    leader has ballot 0 of the new one, or prepares anew with its quorum"
 *   "a new voter is a learner until every slot below its first round is decided and durable with it"
 *   "a leaver votes until r + horizon is reached and a majority of the new voters confirm that"
 *   "rounds are driven there with empty values under one leader"
 * The code has none of it: its voters are fixed, paxos_quorum() takes a round that it does not use.
 *
 * Voters 0, 1 and 2, learner 3, horizon 2, rounds 0 to 2. Round 0 is "3 replaces 2", in force in
 * round 2; round 1 is in flight meanwhile. The quorums {0, 2} of rounds 0 and 1 and {1, 3} of round
 * 2 do not meet. Voter 0 leads, and is named as the leader; ballot 2 is voter 1's, to take over.
 *
 * Simplifications, and why nothing is lost:
 *   - A network that is a set, durable before said: one_leader.pml shows why, and what a restart
 *     must not forget. Here nobody forgets: a node that fails is gone for good, with its disk.
 *   - Nobody takes over in round 0, and a change that is decided is found: that is one_leader.pml.
 *   - A prepare asks round by round: more schedules than a range has. Who answers is heard: an
 *     answer that is lost only forbids its voter what it may as well not do.
 *   - A value is named by the ballot that it came up in: one process uses a ballot, once.
 *   - What a node said of a round is forgotten when nobody can ask for it any more: it knows the
 *     round itself, or is gone.
 *   - Who may fail is what the configurations tolerate: one of {0, 1, 3} at any time; one of
 *     {0, 1, 2} until the new configuration has taken over, since its old voters are not asked after
 *     that. It has when the leaver went, or when a value of its first round is acknowledged, all
 *     before it being decided. The voter that is replaced is usually the one that failed.
 * Not modelled: a second change while the first is not in force, a change of the horizon.
 *
 * Checked: one value per round; where nothing moves any more, all who live and vote in the last
 * round know every round, so that no acknowledged value went with a leaver or a failure; and the
 * leaver may go. Excepted are runs in which voter 1 failed in the last ballot of the model.
 *
 * Where DESIGN is not enough: it lets the old voters that stay vote in the new configuration before
 * they caught up, and only the new one must. Rounds 0 and 1 are decided by 0 and 2; 2 fails (so it
 * is replaced); round 2 is decided by 0 and 1; 0 acknowledges all three and fails. 1 and 3 are a
 * majority of {0, 1, 3}, and nobody has round 1. So every voter, new or not, votes in a
 * configuration only with all below its first round durable. The other way out is to promise
 * nothing before a majority of the new voters has confirmed (-DTOLERANT_WHEN_CONFIRMED: 7 million
 * states, not in CI): then nobody has to catch up before it votes, not even the new voter.
 *
 * defect DECIDE_WITH_CONFIG_NOT_IN_FORCE A configuration decided in round r is in force from r + horizon.
 * defect BEYOND_THE_HORIZON              In round r nobody acts before it has delivered round r - horizon.
 * defect PREPARE_BEYOND_CONFIG           A prepare ends with its configuration's last round.
 * defect VOTE_BEFORE_CAUGHT_UP           A new voter is a learner until all below its first round is durable with it.
 * defect ONLY_THE_NEW_CATCHES_UP         Not in DESIGN: so is every voter of a new configuration.
 * defect LEAVE_AT_ONCE                   A leaver votes until r + horizon is reached and a majority confirms it.
 * defect CONFIRM_TOO_EARLY               A new voter confirms r + horizon when it holds all below it, not at r.
 * defect NOT_DRIVEN                      Rounds are driven to r + horizon with empty values, when idle.
 */
#define ROUNDS 3
#define ZERO 1
#define TOP 2
#define CHANGE 4 /* the value of round 0 */
#define OLD 7    /* {0, 1, 2} */
#define NEW 11   /* {0, 1, 3} */

typedef per_round {
	byte promised[ROUNDS];
	byte ballot[ROUNDS] /* of the acceptance */
}
per_round voter[4];

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
byte dead;
bit gone; /* the leaver left */

#ifndef SCRATCH
#define SCRATCH hidden
#endif
SCRATCH byte b; /* within a step */
SCRATCH byte r;
SCRATCH byte w;

#define bit_of(set, n) (((set) >> (n)) & 1)
#define one_at_most(set) ((set) == 0 || (set) == 1 || (set) == 2 || (set) == 4 || (set) == 8)
#define majority(set) (!one_at_most(set))
#define alive(n) (!bit_of(dead, n) && (n != 2 || !gone))
#define holds(n, s) bit_of(known[s], n)
#define caught_up(n) (holds(n, 0) && holds(n, 1))
#define changed decided[0]

/* Who leads the rounds of ballot 0, and who has the others. */
#define owner(s, ba) ((ba) == 2)

/* The one function: the voters of a round, as node n sees them. */
#if defined DECIDE_WITH_CONFIG_NOT_IN_FORCE
#define in_time(n, s) (s < 2 || holds(n, 0))
#define voters(n, s) ((changed && holds(n, 0)) -> NEW : OLD)
#elif defined BEYOND_THE_HORIZON
#define in_time(n, s) 1
#define voters(n, s) ((s == 2 && changed && holds(n, 0)) -> NEW : OLD)
#else
#define in_time(n, s) (s < 2 || holds(n, 0))
#define voters(n, s) ((s == 2 && changed) -> NEW : OLD)
#endif

#if defined VOTE_BEFORE_CAUGHT_UP
#define learned(n, s) 1
#elif defined ONLY_THE_NEW_CATCHES_UP
#define learned(n, s) (n != 3 || caught_up(n))
#else
#define learned(n, s) (s < 2 || !changed || caught_up(n))
#endif
#define acts(n, s) (alive(n) && in_time(n, s) && bit_of(voters(n, s), n) && learned(n, s))

/* A prepare counts in the configuration of its round; or goes on in that where it began. */
#ifdef PREPARE_BEYOND_CONFIG
#define promises(n, s) (alive(n) && bit_of(OLD, n))
#define prepares(n, s) (alive(n) && bit_of(OLD, n))
#define elected(n, s, ba) majority(round[s].in[ba].heard)
#else
#define promises(n, s) acts(n, s)
#define prepares(n, s) acts(n, s)
#define elected(n, s, ba) majority(round[s].in[ba].heard & voters(n, s))
#endif

#ifdef NOT_DRIVEN
#define wanted(s) 0
#else
#define wanted(s) 1
#endif

/* Nobody asks again for what a node said of a round that it knows now, nor for what is open in a
 * round that all who live know. */
inline hold(n, s)
{
	known[s] = known[s] | (1 << n);
	voter[n].promised[s] = 0;
	voter[n].ballot[s] = 0;
	for (b : ZERO .. TOP) {
		if
		:: owner(s, b) == n -> round[s].in[b].votes = 0; round[s].in[b].heard = 0; round[s].in[b].best = 0
		:: else
		fi
	}
	settle(s)
}

inline settle(s)
{
	if
	:: ((known[s] | dead | (gone << 2)) & 15) == 15 ->
		for (b : ZERO .. TOP) {
			round[s].in[b].value = 0;
			round[s].in[b].votes = 0;
			round[s].in[b].heard = 0;
			round[s].in[b].best = 0
		}
	:: else
	fi
}

inline end(n)
{
	for (r : 0 .. ROUNDS - 1) {
		voter[n].promised[r] = 0;
		voter[n].ballot[r] = 0;
		for (b : ZERO .. TOP) {
			if
			:: owner(r, b) == n ->
				round[r].in[b].votes = 0;
				round[r].in[b].heard = 0;
				round[r].in[b].best = 0
			:: else
			fi
		}
		settle(r)
	}
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

#define free_to(n, s, ba) (voter[n].promised[s] <= ba && voter[n].ballot[s] < ba && !holds(n, s))

/* The preparer promises first; then the others, as long as it has not proposed. */
#define PROMISE(n, s, ba, o) \
	:: d_step { prepares(o, s) && !holds(o, s) && round[s].in[ba].value == 0 && wanted(s) && \
		(n == o || voter[o].promised[s] == ba) && promises(n, s) && free_to(n, s, ba) && \
		!bit_of(round[s].in[ba].heard, n) -> promise(n, s, ba); skip }

#define ACCEPT(n, s, ba) \
	:: d_step { round[s].in[ba].value && n != owner(s, ba) && acts(n, s) && free_to(n, s, ba) -> \
		accept(n, s, ba); skip }

#define LEARN(n, s) \
	:: d_step { alive(n) && !holds(n, s) && ((alive(0) && holds(0, s)) || (alive(1) && holds(1, s)) || \
		(alive(2) && holds(2, s)) || (alive(3) && holds(3, s))) -> hold(n, s); skip }

#define DECIDE(n, s, ba) \
	:: d_step { alive(n) && in_time(n, s) && n == owner(s, ba) && !holds(n, s) && \
		majority(round[s].in[ba].votes & voters(n, s)) -> w = round[s].in[ba].value; learn(n, s, w); skip }

#define NODE_ROUND(n, s) ACCEPT(n, s, 1) ACCEPT(n, s, 2) PROMISE(n, s, 2, 1) LEARN(n, s)

/* In ballot 0 at once, in another when a quorum has answered: what was found, or anything. */
#define PROPOSE(n, s, ba) \
	:: d_step { acts(n, s) && owner(s, ba) == n && round[s].in[ba].value == 0 && wanted(s) && free_to(n, s, ba) && \
		(ba == ZERO || (elected(n, s, ba) && round[s].in[ba].best == 0)) -> \
		propose(n, s, ba, ba); skip } \
	:: d_step { ba != ZERO && acts(n, s) && owner(s, ba) == n && round[s].in[ba].value == 0 && \
		free_to(n, s, ba) && elected(n, s, ba) && round[s].in[ba].best -> \
		w = round[s].in[round[s].in[ba].best].value; propose(n, s, ba, w); skip }

#define LEADER_ROUND(s) PROPOSE(0, s, 1) PROPOSE(1, s, 2) DECIDE(0, s, 1) DECIDE(1, s, 2)

/* A majority of the new voters confirms, and the leaver goes. */
#if defined LEAVE_AT_ONCE
#define may_leave holds(2, 0)
#elif defined CONFIRM_TOO_EARLY
#define may_leave majority(known[0] & NEW)
#else
#define may_leave majority(known[0] & known[1] & NEW)
#endif

#ifdef TOLERANT_WHEN_CONFIRMED
#define taken_over (changed && (gone || majority(known[0] & known[1] & NEW)))
#else
#define taken_over (changed && (gone || (decided[1] && decided[2])))
#endif
#define DIE(n) \
	:: d_step { alive(n) && one_at_most((dead | (1 << n)) & NEW) && \
		(one_at_most((dead | (1 << n)) & OLD) || taken_over) -> \
		dead = dead | (1 << n); end(n); skip }

/* The change, once decided, is found by whoever asks. */
#define CHANGE_OF(n) \
	ACCEPT(n, 0, 1) \
	:: d_step { alive(n) && changed && !holds(n, 0) -> hold(n, 0); skip }

#define NODE(n) CHANGE_OF(n) NODE_ROUND(n, 1) NODE_ROUND(n, 2) DIE(n)

/* Voter 1 failed in the last ballot, which nobody can top. */
#define open_in_top(n) ((voter[n].promised[1] == TOP && !holds(n, 1)) || \
	(voter[n].promised[2] == TOP && !holds(n, 2)))
#define ballots_spent (bit_of(dead, 1) && (open_in_top(0) || open_in_top(2) || open_in_top(3)))

/* Voter 0 failed before the change was. */
#define unchanged (bit_of(dead, 0) && !changed)
#define knows_all(n) (!alive(n) || (holds(n, 0) && holds(n, 1) && holds(n, 2)))

init {
	do
	NODE(0)
	NODE(1)
	NODE(2)
	NODE(3)
	:: d_step { alive(0) && round[0].in[ZERO].value == 0 && !holds(0, 0) -> propose(0, 0, ZERO, CHANGE); skip }
	DECIDE(0, 0, ZERO)
	LEADER_ROUND(1)
	LEADER_ROUND(2)
	:: d_step { alive(2) && changed && may_leave -> gone = 1; end(2); skip }
	:: timeout -> break
	od;
	assert(unchanged || ballots_spent || (knows_all(0) && knows_all(1) && knows_all(3)));
	assert(unchanged || ballots_spent || !alive(2) || gone)
}
