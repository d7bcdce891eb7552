/* Time: heartbeats and repetition, failure detection, lazy records. */
#include "paxos/replica.h"

void
step_down(struct paxos_replica *r)
{
	r->heard_ns = r->now_ns;
	r->stall_forgiven = false;
	if (r->role != ROLE_FOLLOWER)
		prepare_abandon(r);
}

static void
listen_first(struct paxos_replica *r, uint64_t away_ns)
{
	uint64_t until_ns = r->now_ns + min_u64(away_ns, 4 * r->config.takeover_ns);

	r->listen_ns = max_u64(r->listen_ns, until_ns);
}

/* A process that stood still finds its leader silent for as long. What was said
 * meanwhile is in its queue, or was lost with sessions that its peers have closed:
 * it listens as long again, else each return would depose a leader whom everybody
 * else hears. That its queue is read does not end this: behind it there is nothing
 * until the sessions are open again. Once in a silence: a host that is always late must
 * not wait for ever. Who led does so behind its return, when it hears who leads now. */
void
step_late(struct paxos_replica *r)
{
	if (r->now_ns < r->due_ns ||
	    r->now_ns - r->due_ns < patience_ns(&r->patience, r->now_ns) / 4)
		return;
	bool follows = r->role == ROLE_FOLLOWER || owner_in_turn(r);
	if (follows && r->stall_forgiven)
		return;
	r->stall_forgiven |= follows;
	r->owners_heard = 0;
	listen_first(r, r->now_ns - r->due_ns);
}

/* One of those who all lead says nothing against the others. A stall is forgiven again when
 * all of them were heard since. */
static void
heard_owner(struct paxos_replica *r, uint8_t from)
{
	r->owner_ns[from] = r->now_ns;
	r->owners_heard |= 1u << from;
	if ((r->now.voters & ~(r->owners_heard | 1u << r->config.self)) == 0) {
		r->owners_heard = 0;
		r->stall_forgiven = false;
	}
}

/* Each silence in which it still led teaches how long one may be; also when it has been deposed
 * for it, which it does not know yet. */
void
leader_spoke(struct paxos_replica *r, uint64_t ballot, uint8_t from)
{
	struct paxos_spoke *last = &r->spoke[from];

	if (last->any && last->ballot == ballot)
		patience_saw(&r->patience, r->now_ns - last->at_ns, r->now_ns);
	*last = (struct paxos_spoke){.ballot = ballot, .at_ns = r->now_ns, .any = true};
}

/* A valid message of this ballot's owner came. The owner of the highest ballot is
 * the leader believed in; its ballot 0 behind a bounded range counts as well. */
void
heard_from(struct paxos_replica *r, uint64_t ballot, uint8_t from)
{
	must(ballot_owner(r, ballot) == from);
	if (owner_ballot(r, ballot)) {
		heard_owner(r, from);
		return;
	}
	if (ballot < r->seen && ballot_owner(r, r->seen) != from)
		return;
	if (ballot > r->seen) {
		r->seen = ballot;
		r->attempts = 0;
	}
	r->deposed = 0;
	step_down(r);
}

/* Somebody stands there from now on. Those behind the leader take over one after the other,
 * so that in the usual case one prepare runs alone: how many wait before this one does,
 * whoever leads. */
void
timer_there(struct paxos_replica *r, uint32_t replicas)
{
	uint32_t self = r->config.self;
	uint32_t below_self = (1u << self) - 1;

	r->there |= replicas;
	for (uint32_t leader = 0; leader < PAXOS_VOTERS_MAX; leader++) {
		uint32_t above = ~((2u << leader) - 1);
		uint32_t between = leader < self ? below_self & above : below_self | above;

		r->rank[leader] = (uint8_t)(1 + __builtin_popcount(r->there & between));
	}
}

void
step_link(struct paxos_replica *r, uint8_t voter, bool up)
{
	must(voter < r->config.replica_count);
	must(voter != r->config.self);
	if (!up && !(r->links_down >> voter & 1))
		r->down_ns[voter] = r->now_ns;
	if (!(r->there >> voter & 1))
		timer_there(r, 1u << voter);
	r->links_down &= ~(1u << voter);
	r->links_down |= up ? 0 : 1u << voter;
	if (!up)
		return;
	r->beat_ns = r->now_ns;
	/* One that has come anew may have a link with no leader, and learns from this one who
	 * else there is. */
	if (r->started)
		learn_tell_position(r, 1u << voter);
}

/* One that has no turn where all lead is the last to do something about that. */
static uint64_t
rank(const struct paxos_replica *r, uint64_t leader)
{
	if (leader == r->config.self)
		return owner_all_lead(r) ? (uint32_t)__builtin_popcount(r->there) : 1;
	return r->rank[leader];
}

/* Who prepares says little, and its disk decides when: only one that is heard regularly, in a
 * ballot that it leads in, is missed early. */
static uint64_t
patience_with(const struct paxos_replica *r, uint8_t leader)
{
	const struct paxos_spoke *last = &r->spoke[leader];
	bool leads = last->any &&
		     (owner_all_lead(r) ? owner_ballot(r, last->ballot) : last->ballot == r->seen);
	return leads ? patience_ns(&r->patience, r->now_ns) : r->config.takeover_ns;
}

static uint64_t
silent_at(const struct paxos_replica *r, uint8_t leader, uint64_t last_ns)
{
	uint64_t heard_ns = max_u64(last_ns, r->listen_ns);
	/* Two that see a quorum each, but not one another, would depose each other for
	 * ever: each time both wait twice as long. Who sees both is not in this. */
	uint64_t patience = patience_with(r, leader) * rank(r, leader) << min_u64(r->deposed, 5);
	uint64_t at = heard_ns + patience;
	if (r->deposed == 0 && leader != r->config.self && (r->links_down >> leader & 1))
		at = min_u64(at, max_u64(heard_ns, r->down_ns[leader]) +
					 r->config.takeover_ns * rank(r, leader) / 4);
	return at;
}

/* Where all lead the silence of any is enough: nothing behind its slots is delivered. */
static uint64_t
takeover_at(const struct paxos_replica *r)
{
	uint64_t at = UINT64_MAX;

	if (!owner_all_lead(r))
		return silent_at(r, ballot_owner(r, r->seen), r->heard_ns);
	for (uint8_t v = 0; v < r->config.replica_count; v++) {
		bool waited_for = v != r->config.self || !owner_in_turn(r);
		if (is_voter(&r->now, v) && waited_for)
			at = min_u64(at, silent_at(r, v, max_u64(r->heard_ns, r->owner_ns[v])));
	}
	return at;
}

/* It is too soon for takeover_at(), whatever that says: as in most steps. */
static bool
heard_just_now(const struct paxos_replica *r)
{
	return r->now_ns - r->heard_ns < min_u64(r->patience.least_ns, r->config.takeover_ns / 4);
}

static bool
may_take_over(const struct paxos_replica *r)
{
	return (r->role == ROLE_FOLLOWER || owner_in_turn(r)) && r->voting && may_prepare(r) &&
	       !log_hangs(r);
}

/* Two candidates must not prepare in step for ever: each waits its own time, and
 * longer after each failure. */
static uint64_t
attempt_end(const struct paxos_replica *r)
{
	uint64_t quarters = 4 + r->config.self + min_u64(r->attempts, 8);
	return r->attempt_ns + r->config.takeover_ns * quarters / 4;
}

/* Another ballot only where there is a higher one, or less to prepare: who hears nobody would
 * log a promise each time, and with no majority nothing is ever trimmed. */
static void
attempt_again(struct paxos_replica *r)
{
	/* Of a range that it has learned meanwhile nothing is left to prepare. */
	uint64_t end = r->lead_end > r->delivered + 1 ? r->lead_end : PAXOS_SLOT_END;

	if (r->seen == r->lead_ballot && r->lead_from == r->delivered + 1) {
		r->attempt_ns = r->now_ns;
		r->attempts++;
		return;
	}
	prepare_abandon(r);
	prepare_begin(r, end);
}

/* Proposals that lack votes go out again to those who have not voted. */
static void
resend(struct paxos_replica *r)
{
	uint64_t end = min_u64(r->next_slot, window_end(r));
	for (uint64_t slot = r->delivered + 1; slot < end; slot++) {
		struct paxos_slot *w = window_find(r, slot);
		if (!w || w->decided || w->accepted != own_ballot(r, slot))
			continue;
		if (w->sent_ns + r->config.retry_ns > r->now_ns)
			continue;
		if (replica_room(r) < PAXOS_OUT_MAX / 4) {
			r->out->more = true;
			r->beat_ns = r->now_ns;
			return;
		}
		w->sent_ns = r->now_ns;
		r->stats.resent++;
		accept_send(r, w, ~w->votes & ((1u << r->config.replica_count) - 1));
	}
}

/* An idle leader hears how far the others are with their votes only. */
static void
drive_settled(struct paxos_replica *r)
{
	if (r->settled < r->now.number && r->next_slot <= r->delivered + 1 && paxos_can_propose(r))
		owner_propose(r, no_value);
}

/* One that has no vote may have no link with who leads: with others that learn, or with voters
 * that were removed since. So where nobody leads as far as it hears it says how far it is, and
 * who is ahead answers that. So does one in doubt that does not know yet whom to ask. */
static uint64_t
lonely_at(const struct paxos_replica *r)
{
	uint64_t heard_ns = r->heard_ns;

	if (r->failed || r->role != ROLE_FOLLOWER || votes_now(r))
		return UINT64_MAX;
	for (uint8_t v = 0; v < r->config.replica_count; v++)
		heard_ns = max_u64(heard_ns, r->owner_ns[v]);
	return heard_ns + r->config.takeover_ns;
}

/* At multiples of its time, so that the replicas of a node's groups beat in one step
 * and their messages share datagrams: an idle group costs bytes, not packets. */
static void
beat(struct paxos_replica *r)
{
	uint64_t every_ns = r->role == ROLE_LEADER ? r->config.beat_ns : r->config.retry_ns;

	r->beat_ns = (r->now_ns / every_ns + 1) * every_ns;
	if (r->role == ROLE_LEADER) {
		r->told = PAXOS_SLOT_END;
		resend(r);
		drive_settled(r);
	} else if (r->role == ROLE_CANDIDATE) {
		prepare_send(r);
	} else {
		bool recovers = !r->voting && r->vote_lsn == 0;

		if (recovers)
			recover_ask(r);
		if (!recovers || r->now_ns >= lonely_at(r))
			learn_tell_position(r, UINT32_MAX);
	}
}

/* The last that led before a change may have left by it, and its last word be lost: it leads
 * no more, those who vote now do not know that they do, and nobody would say anything any
 * more. So until it is told that they are there, whoever has no vote says how far it is. */
static bool
waits_for_voters(const struct paxos_replica *r)
{
	return r->role == ROLE_FOLLOWER && r->settled < r->now.number &&
	       r->delivered + 1 >= r->now.first && !votes_now(r);
}

static bool
beats(const struct paxos_replica *r)
{
	if (r->failed)
		return false;
	return r->role != ROLE_FOLLOWER || (!r->voting && r->vote_lsn == 0) ||
	       waits_for_voters(r) || r->now_ns >= lonely_at(r);
}

static void
log_delivered(struct paxos_replica *r)
{
	struct paxos_message record = {
		.kind = PAXOS_RECORD_DELIVERED, .delivered = r->delivered, .value = no_value};
	emit_log(r, &record);
}

static bool
delivered_unlogged(const struct paxos_replica *r)
{
	return !r->failed && r->delivered > r->delivered_logged;
}

/* A full or hanging disk. Whoever leads on one cannot reserve, nor vote, but its
 * heartbeats would keep the others from taking over for as long as it lasts; and a
 * takeover prepared on one would come when the disk does, to depose whoever leads
 * by then: who comes back listens first. */
static uint64_t
log_hangs_at(const struct paxos_replica *r)
{
	return r->owed_ns == UINT64_MAX ? UINT64_MAX : r->owed_ns + 4 * r->config.takeover_ns;
}

bool
log_hangs(const struct paxos_replica *r)
{
	return r->now_ns >= log_hangs_at(r);
}

static void
watch_log(struct paxos_replica *r)
{
	bool owes = r->lsn > r->durable;

	if (owes && r->owed_ns != UINT64_MAX && r->durable <= r->owed_durable)
		return;
	if (log_hangs(r))
		listen_first(r, r->now_ns - r->owed_ns);
	r->owed_ns = owes ? r->now_ns : UINT64_MAX;
	r->owed_durable = r->durable;
}

void
timer_run(struct paxos_replica *r)
{
	watch_log(r);
	if (r->role == ROLE_LEADER && log_hangs(r))
		step_down(r);
	if (beats(r) && r->now_ns >= r->beat_ns)
		beat(r);
	if (r->role == ROLE_CANDIDATE && r->now_ns >= attempt_end(r))
		attempt_again(r);
	if (!heard_just_now(r) && may_take_over(r) && r->now_ns >= takeover_at(r)) {
		if (r->role != ROLE_FOLLOWER)
			prepare_abandon(r);
		prepare_begin(r, PAXOS_SLOT_END);
	}
	if (r->may_trust_tail && !r->failed && r->now_ns >= r->trust_ns)
		recover_trust(r);
	if (delivered_unlogged(r) && r->now_ns >= r->delivered_log_ns)
		log_delivered(r);
}

uint64_t
timer_next(const struct paxos_replica *r)
{
	uint64_t at = beats(r) ? r->beat_ns : lonely_at(r);
	if (r->role == ROLE_CANDIDATE)
		at = min_u64(at, attempt_end(r));
	if (may_take_over(r))
		at = min_u64(at, takeover_at(r));
	if (r->role == ROLE_LEADER)
		at = min_u64(at, log_hangs_at(r));
	if (r->may_trust_tail && !r->failed)
		at = min_u64(at, r->trust_ns);
	if (delivered_unlogged(r))
		at = min_u64(at, r->delivered_log_ns);
	if (r->known > r->delivered && !r->failed && !r->hold && r->learn_asked > r->delivered)
		at = min_u64(at, r->learn_ns);
	return at;
}

static void
reserve_log(struct paxos_replica *r)
{
	struct paxos_message record = {
		.kind = PAXOS_RECORD_RESERVE, .to = r->reserve_logged, .value = no_value};
	r->reserve_lsn = emit_log(r, &record);
}

static bool
reserves(const struct paxos_replica *r)
{
	if (r->failed)
		return false;
	if (r->next.all_lead && r->voting && may_lead(r))
		return true;
	return r->role == ROLE_LEADER &&
	       (r->lead_ballot == 0 || own_behind(r, 0) || owner_in_turn(r));
}

/* What needs no prepare is used only below a mark that is on disk: a restarted process
 * cannot know what it proposed in the slots below, and takes those with a prepare. The
 * mark is raised long before it is reached, so that no proposal waits for it. */
void
reserve_more(struct paxos_replica *r)
{
	uint64_t used = r->delivered + 1;

	if (!reserves(r) || r->reserve_durable < r->reserve_logged)
		return;
	if (r->role == ROLE_LEADER)
		used = max_u64(used, r->next_slot);
	if (r->next.all_lead)
		used = max_u64(used, r->next.first);
	if (used + 2 * (uint64_t)r->now.horizon < r->reserve_logged)
		return;
	r->reserve_logged = max_u64(r->reserve_logged, used) + r->config.reserve_slots;
	r->reserve_repeated = false;
	reserve_log(r);
}

/* Where all lead the mark is used when it is said again, in another batch: the last one may
 * be lost. One leader gives up ballot 0 then, so that it need not care. */
void
reserve_reached(struct paxos_replica *r)
{
	bool all_lead = configuration_latest(r)->all_lead || r->now.all_lead;

	if (r->reserve_lsn == 0 || r->reserve_lsn > r->durable || r->failed)
		return;
	r->reserve_lsn = 0;
	if (all_lead && !r->reserve_repeated) {
		r->reserve_repeated = true;
		reserve_log(r);
		return;
	}
	r->reserve_durable = r->reserve_logged;
}

/* A mark that one leader had raised becomes one of this kind. */
void
reserve_repeat(struct paxos_replica *r, uint64_t first)
{
	if (r->reserve_durable <= first || r->reserve_lsn != 0 || r->failed)
		return;
	r->reserve_durable = first;
	r->reserve_repeated = true;
	reserve_log(r);
}
