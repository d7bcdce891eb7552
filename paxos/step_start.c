/* Start: replay of the log, and what it takes to be trusted after an unclean stop. */
#include "paxos/replica.h"

/* A record says that slots up to `delivered` were delivered with the values then
 * accepted. Where one is missing (a rotten record) replay stops short there: the
 * gap is learned from the others, never taken for empty. A mark that comes before
 * any value is where a trimmed log begins: a state image covers the rest. */
static void
replay_delivered(struct paxos_replica *r, const struct paxos_message *m)
{
	if (m->kind == PAXOS_RECORD_DELIVERED && !r->replayed_value)
		r->delivered = max_u64(r->delivered, m->delivered);
	uint64_t end = min_u64(m->delivered, window_end(r) - 1);
	for (uint64_t slot = r->delivered + 1; slot <= end; slot++) {
		struct paxos_slot *w = window_find(r, slot);
		if (w)
			w->decided = true;
	}
	learn_deliver(r);
	r->known = max_u64(r->known, m->delivered);
	r->delivered_logged = max_u64(r->delivered_logged, m->delivered);
}

static void
replay_value(struct paxos_replica *r, const struct paxos_message *m, uint64_t lsn)
{
	bool learned = m->kind == PAXOS_LEARNED;
	struct paxos_slot *w = &r->window[m->slot & WINDOW_MASK];

	replay_delivered(r, m);
	r->replayed_value = true;
	if (m->slot <= r->delivered || m->slot >= window_end(r)) {
		r->stats.beyond++;
		emit_release(r, m->value);
		return;
	}
	must(w->slot <= m->slot);
	emit_release(r, w->value);
	*w = (struct paxos_slot){.slot = m->slot, .value = m->value, .record_end = lsn};
	w->accepted = learned ? BALLOT_LEARNED : m->ballot;
	w->decided = learned;
	r->seen = max_u64(r->seen, m->ballot);
	learn_deliver(r);
}

static enum paxos_tail
tail_of(uint32_t number)
{
	if (number == PAXOS_TAIL_CLEAN || number == PAXOS_TAIL_CUT || number == PAXOS_TAIL_MISSING)
		return (enum paxos_tail)number;
	return PAXOS_TAIL_ROTTEN;
}

void
step_record(struct paxos_replica *r, const struct paxos_input *in)
{
	const struct paxos_message *m = &in->message;

	must(in->lsn >= r->lsn);
	r->lsn = in->lsn;
	switch (m->kind) {
	case PAXOS_RECORD_START:
		r->restarted = true;
		r->process = m->nonce;
		r->doubt = tail_of(m->count);
		break;
	case PAXOS_RECORD_SETTLED:
		r->doubt = PAXOS_TAIL_CLEAN;
		r->forgotten = max_u64(r->forgotten, m->slot);
		break;
	case PAXOS_RECORD_PROMISE:
		r->promised = max_u64(r->promised, m->ballot);
		r->low_ballot = max_u64(r->low_ballot, m->low_ballot);
		r->low_end = max_u64(r->low_end, m->low_end);
		r->seen = max_u64(r->seen, max_u64(m->ballot, m->low_ballot));
		break;
	case PAXOS_RECORD_RESERVE:
		r->reserve_logged = max_u64(r->reserve_logged, m->to);
		r->reserve_durable = r->reserve_logged;
		break;
	case PAXOS_RECORD_DELIVERED:
		replay_delivered(r, m);
		break;
	case PAXOS_RECORD_CONFIGURATION:
		configure_record(r, m);
		break;
	case PAXOS_ACCEPT:
	case PAXOS_LEARNED:
		replay_value(r, m, in->lsn);
		break;
	default:
		must(!"a kind that no replica logs");
	}
}

static void
log_settled(struct paxos_replica *r)
{
	struct paxos_message record = {.kind = PAXOS_RECORD_SETTLED,
				       .nonce = r->process,
				       .slot = r->forgotten,
				       .value = no_value};

	emit_log(r, &record);
}

/* In the order in which a replay needs them: a configuration is in force or not yet by
 * what is delivered, and a value needs the window that follows from both. */
void
step_remember(struct paxos_replica *r)
{
	struct paxos_message start = {.kind = PAXOS_RECORD_START,
				      .nonce = r->process,
				      .count = r->doubt,
				      .value = no_value};
	struct paxos_message delivered = {
		.kind = PAXOS_RECORD_DELIVERED, .delivered = r->delivered, .value = no_value};
	struct paxos_message promise = {.kind = PAXOS_RECORD_PROMISE,
					.ballot = r->promised,
					.low_ballot = r->low_ballot,
					.low_end = r->low_end,
					.value = no_value};
	struct paxos_message reserve = {
		.kind = PAXOS_RECORD_RESERVE, .to = r->reserve_logged, .value = no_value};

	must(!r->failed);
	emit_log(r, &start);
	if (r->doubt == PAXOS_TAIL_CLEAN && r->forgotten > r->delivered)
		log_settled(r);
	emit_log(r, &delivered);
	configure_remember(r);
	emit_log(r, &promise);
	emit_log(r, &reserve);
	for (uint64_t slot = r->delivered + 1; slot < window_end(r); slot++) {
		const struct paxos_slot *w = window_find(r, slot);
		if (w)
			accept_log(r, w);
	}
}

/* Who was a leader, or is asked, begins anew from there: what it found of slots below is
 * decided, and what it asked of others began too low. */
void
step_image(struct paxos_replica *r, const struct paxos_image *image)
{
	if (image->slot <= r->delivered)
		return;
	if (r->role != ROLE_FOLLOWER)
		prepare_abandon(r);
	else
		reports_clear(r);
	for (uint64_t slot = r->delivered + 1; slot < window_end(r) && slot <= image->slot;
	     slot++) {
		struct paxos_slot *w = window_find(r, slot);
		if (!w)
			continue;
		emit_release(r, w->value);
		*w = (struct paxos_slot){.value = no_value};
	}
	r->replayed_value = true;
	r->change_slot = 0;
	r->delivered = image->slot;
	r->delivered_logged = max_u64(r->delivered_logged, r->delivered);
	r->known = max_u64(r->known, r->delivered);
	r->confirmed_from = r->delivered + 1;
	configure_image(r, image);
	learn_deliver(r);
}

/* A leader without a prepare: the configured one in ballot 0, from the first slot
 * that no earlier process of it may have used. */
static void
lead_zero(struct paxos_replica *r)
{
	r->lead_ballot = 0;
	r->lead_end = PAXOS_SLOT_END;
	r->lead_stops = false;
	lead_from_here(r, 0);
}

/* A slot that no process of ours can have used holds a value: somebody else
 * leads, or led, in a ballot that we were not told of. */
bool
zero_is_over(struct paxos_replica *r)
{
	if (configuration_latest(r)->number != 0)
		return true;
	uint64_t first = max_u64(r->delivered + 1, r->reserve_logged);
	for (uint64_t slot = first; slot < window_end(r); slot++) {
		if (window_find(r, slot))
			return true;
	}
	return false;
}

/* The configured leader leads while nobody has taken over. What a former process
 * proposed below the reservation and lost with its memory may be accepted
 * elsewhere: those slots are taken with a prepare. After an unclean stop the
 * reservation itself may be lost, so ballot 0 is not used again. */
void
lead_at_start(struct paxos_replica *r)
{
	if (r->config.self != r->config.leader || ballot_owner(r, r->seen) != r->config.self ||
	    !may_lead(r))
		return;
	if (r->unclean || zero_is_over(r))
		prepare_begin(r, PAXOS_SLOT_END);
	else if (r->promised != 0)
		return;
	else if (r->restarted && r->reserve_logged > r->delivered + 1)
		prepare_begin(r, r->reserve_logged);
	else
		lead_zero(r);
}

/* A doubt outlives the process that had it: one that stops orderly before the others
 * told it what it forgot leaves a log that ends well, and knows no more than before. */
static enum paxos_tail
doubt_at_start(const struct paxos_replica *r, enum paxos_tail tail)
{
	if (configure_voters(r) == 1u << r->config.self)
		return PAXOS_TAIL_CLEAN;
	return tail > r->doubt ? tail : r->doubt;
}

void
step_start(struct paxos_replica *r, const struct paxos_input *in)
{
	r->doubt = doubt_at_start(r, in->tail);
	struct paxos_message record = {.kind = PAXOS_RECORD_START,
				       .nonce = in->process,
				       .count = r->doubt,
				       .value = no_value};

	must(in->lsn_next >= r->lsn);
	must(in->process != 0);
	must(in->process != r->process);
	r->lsn = in->lsn_next;
	r->durable = in->lsn_next;
	r->started = true;
	r->process = in->process;
	r->heard_ns = r->now_ns;
	r->known_from = next_there(r, r->config.self);
	emit_log(r, &record);
	r->unclean = r->doubt != PAXOS_TAIL_CLEAN;
	r->voting = !r->unclean;
	if (r->voting) {
		owner_start(r);
		lead_at_start(r);
		return;
	}
	must(in->nonce != 0);
	r->nonce = in->nonce;
	r->may_trust_tail = r->doubt == PAXOS_TAIL_CUT;
	r->trust_ns = r->now_ns + r->config.tail_trust_ns;
	recover_ask(r);
}

void
recover_ask(struct paxos_replica *r)
{
	struct paxos_message m = {.kind = PAXOS_RECOVER,
				  .nonce = r->nonce,
				  .from = r->delivered + 1,
				  .value = no_value};

	must(!r->voting);
	for (uint8_t v = 0; v < r->config.replica_count; v++) {
		if (v == r->config.self || !(r->there >> v & 1) || answer_complete(r, v))
			continue;
		m.slot = reports_from(r, v);
		emit_send(r, v, &m, 0);
	}
	r->beat_ns = r->now_ns + r->config.retry_ns;
}

/* Delivered, or accepted, in the window of who has most. */
static uint64_t
last_slot(const struct paxos_replica *r)
{
	uint64_t slot = window_end(r) - 1;

	while (slot > r->delivered && r->window[slot & WINDOW_MASK].slot != slot)
		slot--;
	return slot;
}

/* What it accepted and forgot, others have told it before it votes again: up to `known`, or
 * `reported`. */
uint64_t
paxos_highest(const struct paxos_replica *r)
{
	if (!r->voting || is_mute(r))
		return 0;
	return max_u64(last_slot(r), max_u64(r->known, r->reported));
}

/* What we know, to a voter that cannot be sure of what it knew. One that is
 * itself recovering answers too: after a full outage nobody else is there. Not so one
 * that lacks acknowledged records: two whose disks lost the same value would assure
 * each other that there was none, and the third, which never had it, would agree. */
void
step_recover(struct paxos_replica *r, uint8_t from, const struct paxos_message *m)
{
	bool mute = is_mute(r);

	if (m->nonce == 0 || m->from == 0 || r->doubt == PAXOS_TAIL_MISSING ||
	    (mute && !r->voting)) {
		r->stats.stale++;
		return;
	}
	if (mute) {
		struct paxos_message nothing = {.kind = PAXOS_MUTE,
						.nonce = m->nonce,
						.delivered = r->delivered,
						.value = no_value};
		emit_send(r, from, &nothing, r->lsn);
		return;
	}
	struct paxos_message answer = {.kind = PAXOS_RECOVERED,
				       .nonce = m->nonce,
				       .to = last_slot(r),
				       .ballot = r->promised,
				       .low_ballot = r->low_ballot,
				       .low_end = r->low_end,
				       .from = m->from,
				       .delivered = r->delivered,
				       .value = no_value};
	report_count(r, m, &answer);
	emit_send(r, from, &answer, r->lsn);
	report_own(r, from, m);
}

void
step_recovered(struct paxos_replica *r, uint8_t from, const struct paxos_message *m)
{
	if (r->voting || r->vote_lsn != 0 || m->nonce != r->nonce || m->from == 0) {
		r->stats.stale++;
		return;
	}
	r->promised = max_u64(r->promised, m->ballot);
	r->low_ballot = max_u64(r->low_ballot, m->low_ballot);
	r->low_end = max_u64(r->low_end, m->low_end);
	r->seen = max_u64(r->seen, max_u64(m->ballot, m->low_ballot));
	r->reported = max_u64(r->reported, m->to);
	answer_store(r, from, m);
}

void
step_mute(struct paxos_replica *r, uint8_t from, const struct paxos_message *m)
{
	if (r->voting || r->vote_lsn != 0 || m->nonce != r->nonce) {
		r->stats.stale++;
		return;
	}
	r->answer[from] =
		(struct paxos_answer){.got = true, .mute = true, .delivered = m->delivered};
	learn_known(r, from, m->delivered);
}

static void
vote_again(struct paxos_replica *r)
{
	reports_clear(r);
	r->voting = true;
	r->may_trust_tail = false;
	r->heard_ns = r->now_ns;
	r->settle_slot = r->known;
	owner_start(r);
	lead_at_start(r);
}

/* The record comes behind all that recovery adopted and behind the promise with which a
 * configured leader replaces ballot 0, and not before everything is here that the others
 * had delivered. What a slot starts (a group, in group 0) begins in the same doubt, if an earlier
 * process may have delivered it: then it was decided, so another voter had accepted it, or
 * delivered more, and all of them have answered. */
void
recover_settle(struct paxos_replica *r)
{
	if (!r->voting || r->doubt == PAXOS_TAIL_CLEAN || r->delivered < r->settle_slot)
		return;
	if (r->doubt == PAXOS_TAIL_MISSING)
		r->forgotten = max_u64(r->forgotten, max_u64(r->settle_slot, r->reported));
	r->doubt = PAXOS_TAIL_CLEAN;
	log_settled(r);
}

void
recover_finish(struct paxos_replica *r)
{
	if (!r->voting && !r->failed && r->vote_lsn != 0 && r->vote_lsn <= r->durable)
		vote_again(r);
}

/* Those that others said somebody had made, too: who asks for one of them finds it made,
 * and is answered without another record. */
static void
log_promises(struct paxos_replica *r)
{
	struct paxos_message record = {.kind = PAXOS_RECORD_PROMISE,
				       .ballot = r->promised,
				       .low_ballot = r->low_ballot,
				       .low_end = r->low_end,
				       .value = no_value};

	emit_log(r, &record);
}

/* Time alone has to do: those who would know do not answer. */
void
recover_trust(struct paxos_replica *r)
{
	must(!r->voting);
	must(r->may_trust_tail);
	log_promises(r);
	vote_again(r);
}

/* Who proposed what we accepted and lost knows it, or its process has ended before it answers. But
 * until then it may have counted our vote and that of another, whose answer is older than its
 * acceptance. Schedule: A accepts v from leader L, loses it and asks; B answers, and then accepts
 * v. L counts A and B, and fails with its own record not on disk; its next process answers A that
 * it knows of nothing, and is trusted after its time, B being away. A and L would decide another
 * value. Behind the answers of all no vote that we lost is counted by anybody who does not know for
 * what: so what all say then is enough. */
static void
ask_again(struct paxos_replica *r, uint32_t voters)
{
	must(!r->voting);
	r->answered = voters;
	r->nonce = r->nonce == UINT64_MAX ? 1 : r->nonce + 1;
	for (uint8_t v = 0; v < r->config.replica_count; v++) {
		reports_forget(r, v);
		r->answer[v] = (struct paxos_answer){0};
		r->reports_asked[v] = 0;
	}
	recover_ask(r);
}

static void
adopt(struct paxos_replica *r)
{
	log_promises(r);
	for (uint64_t slot = r->delivered + 1; slot < window_end(r); slot++) {
		struct paxos_report *report = &r->report[slot & WINDOW_MASK];
		struct paxos_slot *w = window_find(r, slot);
		if (report->slot != slot || (w && (w->decided || w->accepted >= report->ballot)))
			continue;
		if (report->ballot != BALLOT_LEARNED)
			r->seen = max_u64(r->seen, report->ballot);
		accept_store(r, slot, report->ballot, report->value);
		report->value = no_value;
	}
	r->may_trust_tail = false;
	r->vote_lsn = r->lsn;
}

static bool
all_answered(const struct paxos_replica *r, uint32_t voters)
{
	for (uint8_t v = 0; v < r->config.replica_count; v++)
		if (v != r->config.self && (voters >> v & 1) && !answer_complete(r, v))
			return false;
	return true;
}

/* They have said that they are mute, and know no more than we do of who votes. */
static uint32_t
all_mute(const struct paxos_replica *r)
{
	uint32_t mute = 0;

	for (uint8_t v = 0; v < r->config.replica_count; v++) {
		const struct paxos_answer *answer = &r->answer[v];
		if (answer->got && answer->mute && answer->delivered <= r->delivered)
			mute |= 1u << v;
	}
	return mute;
}

/* All other voters must have answered, twice, of what is in force and of what will be. n - q + 1 of
 * them, which meet every quorum that our lost acceptance completed, are enough only where that is
 * all others (three voters). With five, A accepts (b, s, v) from leader L, loses it and asks; B, C
 * and D answer before L's accept reaches them, L does not. B then accepts too, and v is chosen by
 * L, A and B; but A, C and D can promise a higher ballot to one another and none of them knows v.
 * The one who proposed always knows, as the one who prepared knows of a promise that we lost; so
 * asking everybody finds both.
 *
 * So must those whom a change makes voters that nobody has told us to be decided, if it may be in
 * force: we may have decided it, and all up to there, with one that accepted it and never heard
 * so, and have voted behind it. Of these it is enough that they are mute: whoever votes behind a
 * change has delivered it, and is that no more. It may be mute up to then, and the change wait for
 * our vote. (That its disk took the place of one that had voted behind the change, which was
 * dropped since, takes the loss of that one besides ours.) */
void
recover_try(struct paxos_replica *r)
{
	if (r->voting || r->failed || r->vote_lsn != 0)
		return;
	uint32_t voters = configure_voters(r);
	if (r->config.joins && voters == 0)
		return; /* who they are comes first */
	if (!all_answered(r, voters))
		return;
	uint32_t coming = configure_coming(r) & ~voters;
	if (!all_answered(r, coming & ~all_mute(r)))
		return;
	voters |= coming;
	if (voters & ~r->answered)
		ask_again(r, voters);
	else
		adopt(r);
}
