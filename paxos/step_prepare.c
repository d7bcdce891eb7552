/* Takeover: prepare a range of slots, adopt what a quorum reports, lead. */
#include "base/hash.h"
#include "paxos/replica.h"

/* The highest ballot that binds us anywhere in slots from..to-1. */
static uint64_t
promise_highest(const struct paxos_replica *r, uint64_t from, uint64_t to)
{
	uint64_t highest = r->promised;
	uint64_t end = min_u64(to, window_end(r));
	if (from < r->low_end)
		highest = max_u64(highest, r->low_ballot);
	for (uint64_t slot = max_u64(from, r->delivered + 1); slot < end; slot++)
		highest = max_u64(highest, promise_of(r, slot));
	return highest;
}

/* Promises slots below `to`, and says so on disk. A bounded promise reaches down
 * to slot 1: promising more than was asked is always safe. */
static void
promise(struct paxos_replica *r, uint64_t ballot, uint64_t to)
{
	if (to == PAXOS_SLOT_END) {
		if (ballot <= r->promised)
			return;
		r->promised = ballot;
	} else {
		if (ballot <= r->low_ballot && to <= r->low_end)
			return;
		r->low_ballot = max_u64(r->low_ballot, ballot);
		r->low_end = max_u64(r->low_end, to);
	}
	struct paxos_message record = {.kind = PAXOS_RECORD_PROMISE,
				       .ballot = r->promised,
				       .low_ballot = r->low_ballot,
				       .low_end = r->low_end,
				       .value = no_value};
	emit_log(r, &record);
}

void
reports_clear(struct paxos_replica *r)
{
	for (uint32_t i = 0; i < PAXOS_WINDOW_SLOTS; i++) {
		emit_release(r, r->report[i].value);
		r->report[i] = (struct paxos_report){.value = no_value};
	}
	for (uint32_t v = 0; v < PAXOS_VOTERS_MAX; v++) {
		r->answer[v] = (struct paxos_answer){0};
		r->reports_asked[v] = 0;
	}
}

/* Takes slots from delivered + 1 up to `end` in a ballot that nobody has used. */
void
prepare_begin(struct paxos_replica *r, uint64_t end)
{
	uint64_t highest = promise_highest(r, r->delivered + 1, PAXOS_SLOT_END);

	must(r->voting);
	must(r->role != ROLE_LEADER);
	reports_clear(r);
	highest = max_u64(max_u64(highest, r->seen), r->low_ballot);
	r->role = ROLE_CANDIDATE;
	r->lead_ballot = ((highest >> 8) + 1) << 8 | r->config.self;
	r->lead_end = end;
	r->lead_stops = false;
	r->lead_from = r->delivered + 1;
	r->seen = r->lead_ballot;
	promise(r, r->lead_ballot, end);
	r->prepare_lsn = r->lsn;
	r->attempt_ns = r->now_ns;
	r->attempts++;
	r->stats.takeovers_begun++;
	must(promise_of(r, r->lead_from) == r->lead_ballot);
	prepare_send(r);
}

/* Sent, and sent again, to those whose promise is not complete. */
void
prepare_send(struct paxos_replica *r)
{
	struct paxos_message m = {.kind = PAXOS_PREPARE,
				  .ballot = r->lead_ballot,
				  .from = r->lead_from,
				  .to = r->lead_end,
				  .delivered = r->delivered,
				  .value = no_value};

	must(r->role == ROLE_CANDIDATE);
	for (uint8_t v = 0; v < r->config.replica_count; v++) {
		if (v == r->config.self || !(r->there >> v & 1) || answer_complete(r, v))
			continue;
		m.slot = reports_from(r, v);
		emit_send(r, v, &m, r->prepare_lsn);
	}
	r->beat_ns = r->now_ns + r->config.retry_ns;
}

static uint64_t
slot_digest(uint64_t slot)
{
	return hash_fold(0, slot);
}

/* It will report everything anew. One that has less to tell than it had, because its disk lost
 * what it told, would else never tell exactly what was heard of it. The values stay. */
void
reports_forget(struct paxos_replica *r, uint8_t voter)
{
	for (uint32_t i = 0; i < PAXOS_WINDOW_SLOTS; i++)
		r->report[i].voters &= ~(1u << voter);
}

/* From which slot on a voter is to report when it is asked again: a link may have had
 * room for the first ones only, so behind those. When none came since, from the first. */
uint64_t
reports_from(struct paxos_replica *r, uint8_t voter)
{
	uint64_t next = 0;

	for (uint64_t slot = r->delivered + 1; slot < window_end(r); slot++) {
		const struct paxos_report *report = &r->report[slot & WINDOW_MASK];
		if (report->slot == slot && (report->voters >> voter & 1))
			next = slot + 1;
	}
	if (next == r->reports_asked[voter]) {
		next = 0;
		if (!r->voting) /* a candidate that hears nothing new begins again */
			reports_forget(r, voter);
	}
	r->reports_asked[voter] = next;
	return next;
}

static uint64_t
reports_end(const struct paxos_replica *r, const struct paxos_message *asked)
{
	return min_u64(asked->kind == PAXOS_PREPARE ? asked->to : PAXOS_SLOT_END, window_end(r));
}

/* Writes into `answer` which slots are accepted here and not delivered. */
void
report_count(struct paxos_replica *r, const struct paxos_message *asked,
	     struct paxos_message *answer)
{
	uint64_t end = reports_end(r, asked);

	for (uint64_t slot = max_u64(asked->from, r->delivered + 1); slot < end; slot++) {
		if (!window_find(r, slot))
			continue;
		answer->count++;
		answer->accepted ^= slot_digest(slot);
	}
}

/* Reports these slots, as far as they are asked for. */
void
report_own(struct paxos_replica *r, uint8_t to, const struct paxos_message *asked)
{
	uint64_t end = reports_end(r, asked);
	uint64_t from = max_u64(max_u64(asked->from, asked->slot), r->delivered + 1);

	for (uint64_t slot = from; slot < end; slot++) {
		struct paxos_slot *w = window_find(r, slot);
		if (!w)
			continue;
		struct paxos_message m = {.kind = PAXOS_REPORT,
					  .ballot = asked->ballot,
					  .nonce = asked->nonce,
					  .slot = slot,
					  .accepted = w->decided ? BALLOT_LEARNED : w->accepted,
					  .value = w->value};
		emit_send(r, to, &m, r->lsn);
	}
}

/* What the preparer lacks, can take and we still hold spares it a question. */
static void
help_learn(struct paxos_replica *r, uint8_t to, const struct paxos_message *asked)
{
	uint64_t from = max_u64(asked->from, asked->delivered + 1);
	uint64_t end = min_u64(r->delivered + 1, from + r->now.horizon);

	for (uint64_t slot = from; slot < end; slot++) {
		struct paxos_slot *w = window_find(r, slot);
		if (w)
			send_learned(r, to, slot, w->value);
	}
}

void
step_prepare(struct paxos_replica *r, uint8_t from, const struct paxos_message *m)
{
	if (m->ballot == 0 || ballot_owner(r, m->ballot) != from || m->from == 0 || !r->voting ||
	    is_mute(r)) {
		r->stats.stale++;
		return;
	}
	uint64_t highest = promise_highest(r, m->from, m->to);
	/* A bounded prepare rests on nobody having taken over: behind its range we
	 * would refuse ballot 0, and its leader would find out only there. */
	if (m->ballot < highest || (m->to != PAXOS_SLOT_END && r->promised != 0)) {
		struct paxos_message refuse = {.kind = PAXOS_REFUSE,
					       .ballot = m->ballot,
					       .accepted = highest,
					       .value = no_value};
		r->stats.refused++;
		emit_send(r, from, &refuse, r->lsn);
		return;
	}
	heard_from(r, m->ballot, from);
	promise(r, m->ballot, m->to);
	struct paxos_message answer = {.kind = PAXOS_PROMISE,
				       .ballot = m->ballot,
				       .from = m->from,
				       .to = m->to,
				       .delivered = r->delivered,
				       .value = no_value};
	report_count(r, m, &answer);
	/* Before the values, which may fill the link: it says how far we are, and so
	 * lets one that is behind ask for what it can take. */
	emit_send(r, from, &answer, r->lsn);
	help_learn(r, from, m);
	report_own(r, from, m);
}

void
answer_store(struct paxos_replica *r, uint8_t from, const struct paxos_message *m)
{
	r->answer[from] = (struct paxos_answer){.got = true,
						.first = max_u64(m->from, m->delivered + 1),
						.delivered = m->delivered,
						.count = m->count,
						.digest = m->accepted};
	learn_known(r, from, m->delivered);
}

void
step_promise(struct paxos_replica *r, uint8_t from, const struct paxos_message *m)
{
	if (r->role != ROLE_CANDIDATE || m->ballot != r->lead_ballot || m->from != r->lead_from) {
		r->stats.stale++;
		return;
	}
	answer_store(r, from, m);
}

void
step_report(struct paxos_replica *r, uint8_t from, const struct paxos_message *m)
{
	bool prepared = r->role == ROLE_CANDIDATE && m->nonce == 0 && m->ballot == r->lead_ballot;
	bool recovers = !r->voting && r->vote_lsn == 0 && m->nonce == r->nonce && m->nonce != 0;
	struct paxos_report *best = &r->report[m->slot & WINDOW_MASK];

	if (!(prepared || recovers) || m->slot == 0 || m->slot < best->slot) {
		r->stats.stale++;
		emit_release(r, m->value);
		return;
	}
	if (m->slot >= window_end(r)) {
		r->stats.beyond++;
		emit_release(r, m->value);
		return;
	}
	if (best->slot < m->slot) {
		emit_release(r, best->value);
		*best = (struct paxos_report){.slot = m->slot, .value = no_value};
	}
	if (m->accepted >= best->ballot) {
		emit_release(r, best->value);
		best->ballot = m->accepted;
		best->value = m->value;
	} else {
		emit_release(r, m->value);
	}
	if (!(best->voters >> from & 1))
		r->attempt_ns = r->now_ns; /* it comes in pieces, and it comes */
	best->voters |= 1u << from;
}

/* Complete when exactly those reports came that the answer consists of, and when
 * nothing lies between what we delivered and where they begin. Their number alone
 * would not do: a voter that is asked again has more to report, and the first of
 * these, counted for its older answer, hide that one of the older was lost. */
bool
answer_complete(const struct paxos_replica *r, uint8_t voter)
{
	const struct paxos_answer *answer = &r->answer[voter];
	uint32_t count = 0;
	uint64_t digest = 0;

	if (!answer->got || answer->mute || answer->delivered > r->delivered)
		return false;
	if (window_end(r) - answer->first > PAXOS_WINDOW_SLOTS)
		return answer->count == 0;
	for (uint64_t slot = answer->first; slot < window_end(r); slot++) {
		const struct paxos_report *report = &r->report[slot & WINDOW_MASK];
		if (report->slot == slot && (report->voters >> voter & 1)) {
			count++;
			digest ^= slot_digest(slot);
		}
	}
	return count == answer->count && digest == answer->digest;
}

/* Leads from the slot after what is delivered; slots below `settle_end` may hold
 * values that an earlier leader proposed. */
void
lead_from_here(struct paxos_replica *r, uint64_t settle_end)
{
	must(r->voting);
	r->role = ROLE_LEADER;
	r->attempts = 0;
	r->settle_next = r->delivered + 1;
	r->settle_end = max_u64(settle_end, r->settle_next);
	r->next_slot = r->settle_end;
	r->confirmed_from = r->delivered + 1;
	r->told = PAXOS_SLOT_END;
	r->told_end = 0;
	r->counted_end = 0;
	r->beat_ns = r->now_ns + r->config.beat_ns;
}

void
prepare_try(struct paxos_replica *r)
{
	uint32_t promised = 0;
	uint64_t end = r->delivered + 1;

	if (r->role != ROLE_CANDIDATE)
		return;
	if (!may_prepare(r)) {
		prepare_abandon(r);
		return;
	}
	if (r->prepare_lsn <= r->durable)
		promised |= 1u << r->config.self;
	for (uint8_t v = 0; v < r->config.replica_count; v++) {
		if (v != r->config.self && answer_complete(r, v))
			promised |= 1u << v;
	}
	if (!configure_quorum_promised(r, promised))
		return;
	if (r->lead_end != PAXOS_SLOT_END && zero_is_over(r)) {
		prepare_abandon(r);
		prepare_begin(r, PAXOS_SLOT_END);
		return;
	}
	for (uint64_t slot = r->delivered + 1; slot < window_end(r); slot++) {
		if (window_find(r, slot) || r->report[slot & WINDOW_MASK].slot == slot)
			end = slot + 1;
	}
	r->stats.takeovers_won++;
	if (may_lead_out(r)) {
		r->lead_end = r->next.first;
		r->lead_stops = true;
		end = min_u64(end, r->lead_end);
	}
	lead_from_here(r, end);
}

/* One slot of what the takeover found: the accepted value of the highest ballot,
 * our own included, and the empty value where there is none. Nobody has accepted
 * anything else in a lower ballot that a quorum could still complete, but for those
 * who were lost in a force: what was accepted before it, and is not known to be
 * decided, becomes a value of this epoch. */
static void
settle_one(struct paxos_replica *r, uint64_t slot)
{
	struct paxos_slot *w = window_find(r, slot);
	struct paxos_report *report = &r->report[slot & WINDOW_MASK];
	struct paxos_value value = no_value;
	uint64_t ballot = 0;

	if (w && w->decided)
		return;
	if (report->slot == slot && (!w || report->ballot > w->accepted)) {
		value = report->value;
		ballot = report->ballot;
		report->value = no_value;
	} else if (w) {
		value = w->value;
		ballot = w->accepted;
		w->value = no_value;
	}
	/* A change of an earlier epoch keeps its mark, and is void by it. */
	if (ballot >> BALLOT_EPOCH < configure_epoch(r) && !paxos_is_change(&value))
		configure_stamp(r, &value);
	accept_propose(r, slot, value);
}

void
prepare_settle(struct paxos_replica *r)
{
	if (r->role != ROLE_LEADER || r->settle_next > r->settle_end)
		return;
	for (; r->settle_next < r->settle_end; r->settle_next++) {
		if (replica_room(r) < PAXOS_OUT_MAX - PAXOS_WINDOW_SLOTS) {
			r->out->more = true;
			return;
		}
		if (r->settle_next > r->delivered)
			settle_one(r, r->settle_next);
	}
	if (replica_room(r) < PAXOS_OUT_MAX - PAXOS_WINDOW_SLOTS / 2) {
		r->out->more = true;
		return;
	}
	reports_clear(r);
	r->settle_next = r->settle_end + 1;
}

void
prepare_abandon(struct paxos_replica *r)
{
	must(r->role != ROLE_FOLLOWER);
	r->role = ROLE_FOLLOWER;
	r->change_slot = 0;
	reports_clear(r);
}

/* One of ours was refused for a higher ballot: somebody else leads or tries to. */
void
step_refuse(struct paxos_replica *r, uint8_t from, const struct paxos_message *m)
{
	bool ours = m->ballot == r->lead_ballot || own_behind(r, m->ballot);

	must(from != r->config.self);
	if (r->role == ROLE_CANDIDATE && ours && r->lead_end != PAXOS_SLOT_END) {
		r->seen = max_u64(r->seen, m->accepted);
		prepare_abandon(r);
		prepare_begin(r, PAXOS_SLOT_END);
		return;
	}
	if (r->role == ROLE_FOLLOWER || !ours || m->accepted <= m->ballot) {
		r->stats.stale++;
		return;
	}
	r->seen = max_u64(r->seen, m->accepted);
	r->deposed += r->role == ROLE_LEADER;
	step_down(r);
}
