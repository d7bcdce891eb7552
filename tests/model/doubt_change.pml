/*
 * doubt_change.pml - a voter whose disk lied asks what it forgot, and forgot who votes, too.
 *
 * DESIGN section 4, the sentences that this model defends:
 *   "after an unclean stop a voter votes on open slots only when n - q + 1 other voters have told it
 *    their promises and accepted values, which it adopts"
 *   "a configuration decided in round r is in force from r + horizon"
 * and what lies between the two: other voters of which configuration? The code has it in
 * paxos/step_start.c (recover_try()) and paxos/configure.c (configure_coming()); of doubt.pml it is the
 * part that follows a change of the voters, of reconfigure.pml the part in which somebody forgets.
 *
 * Voters 0, 1 and 2; a change makes it 0, 1 and 3 (NEW). Voter 0 proposes it, who stays and leads
 * in the lowest ballot behind it, or voter 2, who leaves. In the slot behind it one more of {0, 1, 3}
 * takes over. The disk of one of the four loses all that its voter had, or all since the voter
 * delivered the change, or since it reached where that is in force; it asks all. One other crashes,
 * with its own proposals and what it delivered not on disk yet: at most its last batch is missing,
 * and time ends its doubt, so that it goes on at once. Who is not reachable takes no step.
 *
 * Simplifications besides those of one_leader.pml (a network that is a set, what waits for the disk is
 * written and said in one step, but for a leader's own record):
 *   - The slot of the change has one ballot and one value, and once it is decided anybody may learn
 *     it, at any time. That it stays one value is doubt.pml's.
 *   - The slots between are not here: who knows the change delivers them all, at any time. Up to there
 *     it counts quorums of both configurations, and asks the voters of both.
 *   - A vote is counted when it is given, while its leader leads: a later one only forbids. For the
 *     same reason nobody delivers the slot behind, nor voter 2 the change, and an answer to a
 *     prepare of which nothing comes is not given.
 *   - A disk lies only once its voter has promised or accepted something behind the change.
 *   - Who asks is answered by those whom it has to ask; the last answer ends its doubt.
 * Left out: a second change, a force, holes that are known, images, all voters lead. That a new voter
 * votes only with all below on disk (may_vote()) breaks nothing here when it is dropped: what is lost
 * then has no second value, it has none. That is reconfigure.pml's.
 *
 * Checked: one value in the slot behind, whoever counts it and whenever; where nothing moves any
 * more, the doubt of all who vote there is over.
 *
 * Wider, and not in CI: two takeovers (-DTOP=4), 138 million states; NEW as {1, 2, 3}, {0, 3}, {2, 3}
 * (14, 9, 12). All hold.
 *
 * defect NO_DOUBT                  A voter votes again only when the others have told it what they know.
 * defect FORGETS_THE_COMING_CHANGE They are those, too, whom a change makes voters that any of them has accepted.
 * defect ASKS_ONCE                 When all have answered, all are asked once more.
 * defect ANSWERS_FROM_AHEAD        An answer counts when all is delivered that its sender had delivered.
 * defect PROMISE_NOT_ADOPTED       It adopts their promises.
 * defect VALUE_NOT_ADOPTED         It adopts their accepted values.
 * defect ASKS_THE_OLD_ONLY         Until the change is in force a takeover needs a quorum of both configurations.
 */
#define OLD 7 /* {0, 1, 2} */
#ifndef NEW
#define NEW 11 /* {0, 1, 3} */
#endif
#define CRASHES 1

/* Ballots: FIRST, in which the change is proposed; of the new configuration LOWEST, which needs no
 * prepare, and all from LATER on. Each is used by one process, once. */
#define NONE 0
#define FIRST 1
#define LOWEST 2
#define LATER 3
#ifndef TOP
#define TOP LATER
#endif
#define NOBODY 7

/* How far a replica is. */
#define NOTHING 0
#define CHANGED 1 /* it has delivered the change */
#define REACHED 2 /* and all below the first slot behind it */

typedef replica {
	unsigned promised : 3;
	bit change; /* it has accepted it */
	unsigned behind : 3; /* ballot of its acceptance in the slot behind */
	bit change_wet; /* that is its own proposal, and not on disk */
	bit behind_wet;
	unsigned delivered : 2;
	unsigned kept : 2 /* of that, on disk */
}
replica node[4];

/* What became of a ballot. */
#define UNUSED 0
#define ASKS 1
#define LEADS 2
#define OVER 3

typedef per_ballot {
	unsigned owner : 3;
	unsigned role : 2;
	unsigned heard : 4; /* promises: a bit per replica */
	unsigned best : 3;  /* ballot of the best acceptance that they report */
	unsigned value : 3; /* proposed: the ballot in which it came up */
	unsigned votes : 4
}
per_ballot in[TOP + 1];

bit change; /* decided */
unsigned behind : 3;
unsigned crashes : 1;
bit lied;
unsigned doubter : 3;  /* it asks since then */
unsigned told : 4;
unsigned answered : 4; /* all these had, when it asked again */
bit found_change;
unsigned found_behind : 3;

#ifndef SCRATCH
#define SCRATCH hidden
#endif
SCRATCH byte i; /* within a step */
SCRATCH byte j;
SCRATCH byte w;

#define bit_of(set, n) (((set) >> (n)) & 1)
#define count(set) (bit_of(set, 0) + bit_of(set, 1) + bit_of(set, 2) + bit_of(set, 3))
#define quorum(set, who) (2 * count((set) & (who)) > count(who))
#define sure(n) (doubter != (n))
#define of_change(b) (b == FIRST)
#define voters(b) (of_change(b) -> OLD : NEW)
#define opened(n, b) (of_change(b) -> node[n].delivered == NOTHING : node[n].delivered >= CHANGED)
#define accepted(n, b) (of_change(b) -> node[n].change : node[n].behind)
#define decided(b) (of_change(b) -> change : behind)

/* A new voter first has all below. */
#define may_vote(n, b) (bit_of(voters(b), n) && \
	(of_change(b) || bit_of(OLD, n) || node[n].delivered == REACHED))

/* Its acceptance is on disk. The leader, if it still leads, counts. */
inline vote(n, b)
{
	if
	:: in[b].role == LEADS && in[b].value && may_vote(n, b) && in[b].value != decided(b) ->
		in[b].votes = in[b].votes | (1 << n);
		if
		:: quorum(in[b].votes, voters(b)) ->
			assert(decided(b) == 0);
			if
			:: of_change(b) -> change = in[b].value
			:: else -> behind = in[b].value
			fi;
			for (j : FIRST .. TOP) {
				if
				:: of_change(j) == of_change(b) && in[j].value == in[b].value -> in[j].votes = 0
				:: else
				fi
			}
		:: else
		fi
	:: else
	fi
}

/* All that it has is on disk. */
inline sync(n)
{
	if
	:: node[n].change_wet -> node[n].change_wet = 0; w = node[n].change; vote(n, w)
	:: else
	fi;
	if
	:: node[n].behind_wet -> node[n].behind_wet = 0; w = node[n].behind; vote(n, w)
	:: else
	fi;
	node[n].kept = node[n].delivered;
	if
	:: node[n].delivered -> node[n].change = NONE
	:: else
	fi
}

inline set_accepted(n, b, is_wet)
{
	if
	:: of_change(b) -> node[n].change = b; node[n].change_wet = is_wet
	:: else -> node[n].behind = b; node[n].behind_wet = is_wet
	fi
}

inline end_role(b)
{
	in[b].role = OVER;
	in[b].heard = 0;
	in[b].best = NONE;
	in[b].votes = 0
}

/* Who promises or accepts a higher ballot leads in none of its own; nor does who begins anew. */
inline give_way(n, below)
{
	for (i : FIRST .. TOP) {
		if
		:: in[i].owner == n && i < below && in[i].role != OVER -> end_role(i)
		:: else
		fi
	}
}

inline accept(n, b)
{
	set_accepted(n, b, 0);
	give_way(n, b);
	sync(n);
	vote(n, b)
}

inline claim(n, b)
{
	give_way(n, TOP + 1);
	in[b].owner = n;
	in[b].role = ASKS;
	in[b].heard = 1 << n;
	in[b].best = accepted(n, b);
	node[n].promised = b;
	sync(n)
}

inline promise(n, b)
{
	node[n].promised = b;
	give_way(n, b);
	sync(n);
	in[b].heard = in[b].heard | (1 << n);
	if
	:: accepted(n, b) > in[b].best -> in[b].best = accepted(n, b)
	:: else
	fi
}

/* The own record waits for the disk, where the model can lose it. */
inline propose(n, b, what)
{
	in[b].value = what;
	if
	:: accepted(n, b) == NONE && crashes < CRASHES -> set_accepted(n, b, 1)
	:: else ->
		set_accepted(n, b, 0);
		sync(n);
		vote(n, b)
	fi
}

/* What was found is proposed at once. */
inline elect(n, b)
{
	in[b].role = LEADS;
	in[b].heard = 0;
	if
	:: in[b].best ->
		w = in[in[b].best].value;
		in[b].best = NONE;
		propose(n, b, w)
	:: else
	fi
}

/* The change is delivered: who has led from its proposal on, and stays, leads in the lowest ballot. */
inline changed(n)
{
	if
	:: in[FIRST].owner == n && in[FIRST].role == LEADS ->
		end_role(FIRST);
		if
		:: bit_of(NEW, n) -> in[LOWEST].owner = n; in[LOWEST].role = LEADS
		:: else
		fi
	:: else
	fi
}

#define has(n, b) (in[b].owner == n && (in[b].role == ASKS || in[b].role == LEADS))
#define has_role(n) (has(n, FIRST) || has(n, LOWEST) || has(n, LATER) || has(n, TOP))

inline deliver(n)
{
	node[n].delivered++;
	if
	:: node[n].delivered == CHANGED -> changed(n)
	:: else
	fi;
	if
	:: crashes == CRASHES || !has_role(n) -> sync(n)
	:: else
	fi;
	if
	:: sure(n) && !node[n].behind_wet -> vote_again(n, node[n].behind)
	:: else
	fi;
	goes_on_asking(n)
}

/* It is asked once more. */
inline vote_again(n, which)
{
	if
	:: which && which >= node[n].promised -> w = which; vote(n, w)
	:: else
	fi
}

inline crash(n)
{
	crashes++;
	if
	:: node[n].change_wet -> node[n].change = NONE
	:: else
	fi;
	if
	:: node[n].behind_wet -> node[n].behind = NONE
	:: else
	fi;
	node[n].change_wet = 0;
	node[n].behind_wet = 0;
	node[n].delivered = node[n].kept;
	give_way(n, TOP + 1);
	for (i : 0 .. 3) {
		sync(i)
	}
}

/* It loses all behind what it had delivered then. */
inline lie(n, until)
{
	lied = 1;
#ifndef NO_DOUBT
	doubter = n;
#endif
	node[n].promised = NONE;
	node[n].delivered = until;
	node[n].kept = until;
	node[n].change_wet = 0;
	node[n].behind_wet = 0;
	node[n].change = NONE;
	node[n].behind = NONE;
	give_way(n, TOP + 1)
}

/* Whom it asks, for all that it knows. */
#define known(n) (node[n].delivered == NOTHING -> OLD : (node[n].delivered == CHANGED -> (OLD | NEW) : NEW))
#ifdef FORGETS_THE_COMING_CHANGE
#define asked(n) known(n)
#else
#define asked(n) (known(n) | (node[n].delivered == NOTHING && found_change -> NEW : 0))
#endif
#define all_told(n) ((asked(n) & ~(told | (1 << n))) == 0)

inline tell(n, o)
{
	told = told | (1 << o);
#ifndef PROMISE_NOT_ADOPTED
	if
	:: node[o].promised > node[n].promised -> node[n].promised = node[o].promised
	:: else
	fi;
#endif
	if
	:: node[n].delivered == NOTHING && node[o].change > found_change ->
		found_change = node[o].change
	:: else
	fi;
	if
	:: node[o].behind > found_behind -> found_behind = node[o].behind
	:: else
	fi
}

#ifdef ASKS_ONCE
#define asked_enough(n) true
#else
#define asked_enough(n) ((asked(n) & ~answered) == 0)
#endif

/* All have answered: it asks all once more, and then it votes. */
inline goes_on_asking(n)
{
	if
	:: doubter == n && all_told(n) && asked_enough(n) -> adopt(n)
	:: doubter == n && all_told(n) && !asked_enough(n) -> answered = asked(n); told = 0
	:: else
	fi
}

inline adopt(n)
{
#ifndef VALUE_NOT_ADOPTED
	if
	:: node[n].delivered == NOTHING -> node[n].change = found_change
	:: else -> node[n].behind = found_behind
	fi;
#endif
	doubter = NOBODY;
	told = 0;
	answered = 0;
	found_change = NONE;
	found_behind = NONE;
	vote_again(n, node[n].change);
	vote_again(n, node[n].behind)
}

#ifdef ANSWERS_FROM_AHEAD
#define not_ahead(o, n) true
#else
#define not_ahead(o, n) (node[o].delivered <= node[n].delivered)
#endif

#define ACCEPT(n, b) \
	:: d_step { in[b].value && in[b].owner != n && sure(n) && opened(n, b) && bit_of(voters(b), n) && \
		node[n].promised <= b && accepted(n, b) < b -> accept(n, b); skip }

#define may_lead(n, b) (bit_of(voters(b), n) && opened(n, b))
#define higher(n, b) (node[n].change < b && node[n].behind < b)

#if defined ASKS_THE_OLD_ONLY
#define elected(n, b) (quorum(in[b].heard, (node[n].delivered == REACHED -> NEW : OLD)))
#else
#define elected(n, b) ((node[n].delivered == REACHED || quorum(in[b].heard, OLD)) && quorum(in[b].heard, NEW))
#endif

#define PREPARE(n, b) \
	:: d_step { in[b].role == UNUSED && sure(n) && may_lead(n, b) && node[n].promised < b && \
		higher(n, b) -> claim(n, b); skip } \
	:: d_step { in[b].role == ASKS && !bit_of(in[b].heard, n) && sure(n) && node[n].promised <= b && \
		higher(n, b) && node[n].delivered <= node[in[b].owner].delivered -> promise(n, b); skip } \
	:: d_step { in[b].role == ASKS && in[b].owner == n && elected(n, b) -> elect(n, b); skip }

#define PROPOSE(n, b) \
	:: d_step { in[b].role == LEADS && in[b].owner == n && in[b].value == 0 -> propose(n, b, b); skip }

#define BALLOT(b) \
	ACCEPT(0, b) ACCEPT(1, b) ACCEPT(2, b) ACCEPT(3, b) \
	PROPOSE(0, b) PROPOSE(1, b) PROPOSE(2, b) PROPOSE(3, b)
#define PREPARED_BALLOT(b) BALLOT(b) PREPARE(0, b) PREPARE(1, b) PREPARE(2, b) PREPARE(3, b)

#define TELL(n, o) \
	:: d_step { doubter == n && bit_of(asked(n) & ~told, o) && not_ahead(o, n) -> tell(n, o); goes_on_asking(n); skip }

#define unsynced(n) (node[n].change_wet || node[n].behind_wet || node[n].kept < node[n].delivered)
#define loses(n) (!lied && (node[n].promised || (node[n].behind && !node[n].behind_wet)))
#define NODE(n, o, p, q) \
	:: d_step { bit_of(NEW, n) && node[n].delivered < REACHED && change -> deliver(n); skip } \
	:: d_step { unsynced(n) -> sync(n); skip } \
	:: d_step { crashes < CRASHES && unsynced(n) -> crash(n); skip } \
	:: d_step { loses(n) -> lie(n, NOTHING); skip } \
	:: d_step { loses(n) && node[n].kept >= CHANGED -> lie(n, CHANGED); skip } \
	:: d_step { loses(n) && node[n].kept >= REACHED -> lie(n, REACHED); skip } \
	TELL(n, o) TELL(n, p) TELL(n, q)

inline lead(n)
{
	in[FIRST].owner = n;
	in[FIRST].role = LEADS;
	propose(n, FIRST, FIRST)
}

init {
	doubter = NOBODY;
	for (i : FIRST .. TOP) {
		in[i].owner = NOBODY
	}
	if
	:: d_step { true -> lead(0); skip }
	:: d_step { true -> lead(2); skip }
	fi;
	do
	NODE(0, 1, 2, 3)
	NODE(1, 0, 2, 3)
	NODE(2, 0, 1, 3)
	NODE(3, 0, 1, 2)
	BALLOT(FIRST)
	BALLOT(LOWEST)
	PREPARED_BALLOT(LATER)
#if TOP != LATER
	PREPARED_BALLOT(TOP)
#endif
	:: timeout -> break
	od;
	assert(doubter == NOBODY || !bit_of(NEW, doubter))
}
