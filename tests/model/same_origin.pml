/*
 * same_origin.pml - when a conflict is none because one server's locks have let both pass.
 *
 * DESIGN section 6, the sentences that this model defends:
 *   "a transaction conflicts when, for one of its hashes, the last accepted writer is not in its
 *    snapshot"
 *   "a last writer of the same live incarnation with a lower sequence is no conflict, since
 *    two-phase locking ordered them locally"
 * and what that needs where a server fails at what was accepted: node/snapshot.h. The code has all
 * of it: node/snapshot.c, certify/group_submit.c.
 *
 * One row. Three transactions of server A and one of server B, each of which writes the row or
 * shares it, as a child does with its parent's. A's locks, its failures, its applier and one crash
 * are modelled; B applies in order, and lets its own pass only what it has seen.
 *
 * Simplifications, and why nothing is lost:
 *   - One row. A conflict is one row's; what stands between two writers of it in the order, and is
 *     of other rows, moves nobody.
 *   - So each writer depends on the one before it, and the applier goes one by one. More rows only
 *     let it wait for less.
 *   - Only accepted entries have an index; a refused one is told in the order all the same.
 *   - Every own transaction with a lower sequence is vouched for, also below the floor. The code
 *     vouches for fewer: it may refuse more.
 *   - Commit is one step: a snapshot is taken under the commit lock.
 *   - B's locks and its applier are left out; A's are the ones that the rule trusts. Who waits for
 *     a lock, or has one and no snapshot, comes later.
 *
 * Checked, when a transaction is accepted: it has seen every accepted one before it that wrote the
 * row, and if it writes the row itself, every one that shares it; and the applier has not taken its
 * row meanwhile. And the applier never meets an accepted transaction's lock.
 *
 * That both are of one incarnation follows from the last defect's rule, and is no defect of its own:
 * who has all from before his join has it in his snapshot.
 *
 * defect TRUST_THE_FAILED   From its failure until it is back a transaction is a conflict.
 * defect VOUCH_MEANWHILE    While one has failed nobody vouches for the undecided ones.
 * defect SEE_BEHIND         While one has failed snapshots end below its index.
 * defect MARK_TOO_LATE      The failure is said before the locks go.
 * defect ANY_SEQUENCE       A lower sequence: a higher one may have seen what took the row.
 * defect NEW_START_SEES     Until it has all before its join, snapshots end below what it lacks.
 */
#define N      4
#define REMOTE 3

#define IDLE     0
#define OPEN     1 /* has its lock, its snapshot is taken, undecided */
#define ACCEPTED 3 /* in the order, not told */
#define REFUSED  4
#define TOLD     5 /* accepted, holds its locks until it is committed */
#define FAILED   6 /* accepted, rolled back here */
#define DONE     7
#define DEAD     8
#define OLD      9 /* accepted, of an incarnation that crashed before its commit */

byte state[N];
bool excl[N];
bool killed[N];
bool trusts[N];
bool unmarked[N]; /* FAILED, and the member does not know */
byte seq[N], inc[N];
byte snap[N]; /* a bit per transaction */
byte saw[N];  /* the same, of what it found in the row */
byte at[N];   /* refused: how many were accepted before */

byte order[N]; /* accepted ones */
byte count;
byte applied; /* at A, a bit each */
byte told;    /* entries of the order that A's member was fed */
byte joined;  /* entries of the order before A's last join */
byte next_seq = 1, now_inc = 1;

#ifndef SCRATCH
#define SCRATCH hidden /* of one step: no state */
#endif
SCRATCH byte p, q, e;
SCRATCH byte ok, cut, last_own, mine;

#define bit(t)     (1 << (t))
#define holds(t)   (state[t] >= OPEN && state[t] <= TOLD && !killed[t])
#define meet(a, b) (excl[a] || excl[b])
#define here(t)    ((applied & bit(t)) != 0)

inline may_lock(t)
{
	ok = true;
	q = 0;
	do
	:: q < REMOTE && q != t && holds(q) && meet(q, t) -> ok = false; break
	:: q < REMOTE && !(q != t && holds(q) && meet(q, t)) -> q++
	:: q == REMOTE -> break
	od
}

/* What node/snapshot.c does: sets snap and trusts. */
inline take(t)
{
	snap[t] = 0;
	cut = false;
	p = 0;
	do
	:: p < joined && !here(order[p]) -> cut = true; break
	:: p < joined && here(order[p]) -> p++
	:: p >= joined -> break
	od;
	ok = cut; /* recovering */
	trusts[t] = !ok;
	cut = false;
	p = 0;
	do
	:: p == count || cut -> break
	:: p < count && !cut ->
		e = order[p];
		if
		:: here(e) && (p < told || (e != REMOTE && state[e] == DONE && inc[e] == now_inc)) ->
			snap[t] = snap[t] | bit(e)
		:: !here(e) && e != REMOTE && inc[e] == now_inc && (state[e] == TOLD ||
		   (state[e] == FAILED && unmarked[e])) ->
			snap[t] = snap[t] | bit(e)
		:: !here(e) && e != REMOTE && inc[e] == now_inc && state[e] == FAILED && !unmarked[e] ->
#ifdef TRUST_THE_FAILED
			snap[t] = snap[t] | bit(e)
#else
#ifndef VOUCH_MEANWHILE
			trusts[t] = false;
#endif
#ifndef SEE_BEHIND
			cut = true
#else
			skip
#endif
#endif
		:: !here(e) && p < told && (e == REMOTE || inc[e] != now_inc) ->
#ifndef NEW_START_SEES
			cut = ok
#else
			skip
#endif
		:: else -> skip
		fi;
		p++
	od
}

/* What nobody looks at again: fewer states. */
inline forget(t)
{
	snap[t] = 0;
	saw[t] = 0;
	trusts[t] = false
}

/* The next in the order; what certify/ says. */
inline decide(t)
{
	if
	:: count == 0 -> ok = true
	:: else ->
		e = order[count - 1];
		last_own = e != REMOTE && t != REMOTE && trusts[t];
		last_own = last_own && inc[e] == inc[t];
#ifndef ANY_SEQUENCE
		last_own = last_own && seq[e] < seq[t];
#endif
		ok = (snap[t] & bit(e)) != 0 || last_own
	fi;
	if
	:: ok ->
		assert(!killed[t]);
		p = 0;
		do
		:: p < count ->
			assert(!meet(order[p], t) || (saw[t] & bit(order[p])) != 0);
			p++
		:: p == count -> break
		od;
		order[count] = t;
		count++;
		state[t] = ACCEPTED
	:: else ->
		at[t] = count;
		state[t] = REFUSED
	fi;
	forget(t)
}

/* The applier of A takes the row. */
inline apply(t)
{
	q = 0;
	do
	:: q < REMOTE ->
		if
		:: q != t && holds(q) && meet(q, t) ->
			assert(state[q] != ACCEPTED && state[q] != TOLD);
			killed[q] = true
		:: else -> skip
		fi;
		q++
	:: q == REMOTE -> break
	od;
	applied = applied | bit(t);
	if
	:: t != REMOTE -> state[t] = DONE
	:: else -> skip
	fi
}

/* Every entry of the order below this one is in the row of A. */
inline all_before(n)
{
	ok = true;
	q = 0;
	do
	:: q < n && here(order[q]) -> q++
	:: q < n && !here(order[q]) -> ok = false; break
	:: q >= n -> break
	od
}

/* Every own refusal below this place of the order was told. */
inline refusals_told(n)
{
	ok = true;
	q = 0;
	do
	:: q < REMOTE && state[q] == REFUSED && at[q] <= n -> ok = false; break
	:: q < REMOTE && !(state[q] == REFUSED && at[q] <= n) -> q++
	:: q == REMOTE -> break
	od
}

proctype client(byte t)
{
	do
	:: atomic { state[t] == IDLE ->
		if
		:: excl[t] = true
		:: excl[t] = false
		fi;
		may_lock(t);
		if
		:: ok ->
			take(t);
			saw[t] = applied;
			seq[t] = next_seq;
			next_seq++;
			inc[t] = now_inc;
			state[t] = OPEN
		:: else -> excl[t] = false
		fi }
	:: atomic { state[t] == OPEN -> decide(t) }
	:: atomic { state[t] == ACCEPTED && inc[t] == now_inc -> state[t] = TOLD }
	:: atomic { state[t] == REFUSED -> state[t] = DEAD; excl[t] = false; at[t] = 0; killed[t] = false }
	:: atomic { state[t] == TOLD -> applied = applied | bit(t); state[t] = DONE }
	:: atomic { state[t] == TOLD ->
		state[t] = FAILED;
#ifdef MARK_TOO_LATE
		unmarked[t] = true;
#endif
		skip }
	:: atomic { state[t] == FAILED && unmarked[t] -> unmarked[t] = false }
	:: atomic { state[t] == FAILED && !unmarked[t] ->
		p = 0;
		do
		:: order[p] != t -> p++
		:: order[p] == t -> break
		od;
		all_before(p);
		mine = ok && p < told;
		if
		:: mine -> apply(t)
		:: else -> skip
		fi }
	:: state[t] == DONE || state[t] == DEAD -> break
	od
}

/* The feed of A, and its applier for what is not its own, or of an older start. */
active proctype member()
{
end:	do
	:: atomic { told < count ->
		e = order[told];
		refusals_told(told);
		mine = ok && (e == REMOTE || inc[e] != now_inc || state[e] == TOLD ||
			      state[e] == FAILED || state[e] == DONE);
		if
		:: mine -> told++
		:: else -> skip
		fi }
	:: atomic { told > 0 ->
		p = 0;
		do
		:: p < told && here(order[p]) -> p++
		:: p < told && !here(order[p]) -> break
		:: p == told -> break
		od;
		if
		:: p < told && (order[p] == REMOTE || state[order[p]] == OLD) ->
			e = order[p];
			apply(e)
		:: else -> skip
		fi }
	od
}

/* One crash of A: what was undecided is void behind its next join. */
active proctype crash()
{
	atomic {
		now_inc++;
		next_seq = 1;
		p = 0;
		do
		:: p < REMOTE ->
			if
			:: state[p] == OPEN || state[p] == REFUSED -> state[p] = DEAD; forget(p); excl[p] = false
			:: state[p] == ACCEPTED || state[p] == TOLD || state[p] == FAILED -> state[p] = OLD
			:: else -> skip
			fi;
			unmarked[p] = false;
			p++
		:: p == REMOTE -> break
		od;
		joined = count;
		told = 0;
		do
		:: told < count && here(order[told]) -> told++
		:: told < count && !here(order[told]) -> break
		:: told == count -> break
		od
	}
}

/* B has applied some of the order when its own takes the snapshot. */
active proctype server_b()
{
	atomic {
		if
		:: excl[REMOTE] = true
		:: excl[REMOTE] = false
		fi;
		p = 0;
		do
		:: p < count -> snap[REMOTE] = snap[REMOTE] | bit(order[p]); p++
		:: break
		od;
		saw[REMOTE] = snap[REMOTE];
		state[REMOTE] = OPEN
	};
	atomic { decide(REMOTE) }
}

init {
	atomic { run client(0); run client(1); run client(2) }
}
