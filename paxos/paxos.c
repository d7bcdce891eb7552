/* One replica: init, the switch over inputs, and the outputs they share. */
#include "paxos/paxos.h"

#include <string.h>

#include "base/must.h"
#include "paxos/codec.h"
#include "paxos/replica.h"

/* The widest step ends a recovery: per slot a record, the value it replaces, a
 * delivery and two reports given back; then the messages of one answer. */
_Static_assert(5 * PAXOS_HORIZON_MAX < PAXOS_OUT_MAX, "a step fits its outputs");
_Static_assert(PAXOS_WINDOW_SLOTS > 2 * PAXOS_HORIZON_MAX, "in flight and kept");
_Static_assert((PAXOS_WINDOW_SLOTS & WINDOW_MASK) == 0, "power of two");

#define PRESSURE_MAX 32 /* values given back per step */

size_t
paxos_size(const struct paxos_config *config)
{
	must(config->replica_count <= PAXOS_VOTERS_MAX);
	return sizeof(struct paxos_replica);
}

struct paxos_replica *
paxos_init(void *memory, const struct paxos_config *config)
{
	struct paxos_replica *r = memory;

	must(((uintptr_t)memory & 63) == 0);
	must(config->replica_count >= 1);
	must(config->self < config->replica_count);
	must(config->leader < config->replica_count);
	must(config->voters >> config->replica_count == 0);
	must(config->there >> config->replica_count == 0);
	must(config->horizon >= 10);
	must(config->horizon <= PAXOS_HORIZON_MAX);
	must(config->reserve_slots >= 2 * config->horizon);
	must(config->retry_ns > 0);
	must(config->takeover_ns > 0);
	memset(r, 0, sizeof *r);
	r->config = *config;
	if (config->takeover_min_ns == 0)
		r->config.takeover_min_ns = config->takeover_ns;
	if (config->beat_ns == 0)
		r->config.beat_ns = config->retry_ns;
	patience_init(&r->patience, r->config.takeover_min_ns, config->takeover_ns);
	timer_there(r, config->there ? config->there : (1u << config->replica_count) - 1);
	must(r->there >> config->self & 1);
	if (!config->joins) {
		r->now.voters = config->voters ? config->voters : r->there;
		must(r->now.voters >> config->leader & 1);
	}
	r->votes_from = config->votes_from;
	r->now.horizon = config->horizon;
	r->now.leader = config->leader;
	r->role = ROLE_FOLLOWER;
	r->told_leader = PAXOS_NO_VOTER;
	r->owed_ns = UINT64_MAX;
	for (uint32_t i = 0; i < PAXOS_WINDOW_SLOTS; i++) {
		r->window[i].value = no_value;
		r->report[i].value = no_value;
	}
	return r;
}

static struct paxos_output_item *
emit(struct paxos_replica *r, enum paxos_output_kind kind)
{
	must(r->out->count < PAXOS_OUT_MAX);
	struct paxos_output_item *item = &r->out->item[r->out->count++];
	*item = (struct paxos_output_item){.kind = kind, .value = no_value};
	item->message.value = no_value;
	return item;
}

void
emit_send(struct paxos_replica *r, uint8_t to, const struct paxos_message *message,
	  uint64_t after_lsn)
{
	must(to < r->config.replica_count);
	must(to != r->config.self);
	must(after_lsn <= r->lsn);
	if (!(r->there >> to & 1))
		return;
	struct paxos_output_item *item = emit(r, PAXOS_OUT_SEND);
	item->to = to;
	item->message = *message;
	item->after_lsn = after_lsn;
}

void
emit_send_to(struct paxos_replica *r, uint32_t replicas, const struct paxos_message *message,
	     uint64_t after_lsn)
{
	uint32_t left = replicas & r->there & ~(1u << r->config.self);

	for (; left != 0; left &= left - 1)
		emit_send(r, (uint8_t)__builtin_ctz(left), message, after_lsn);
}

void
emit_send_all(struct paxos_replica *r, const struct paxos_message *message, uint64_t after_lsn)
{
	emit_send_to(r, UINT32_MAX, message, after_lsn);
}

/* To all, what the next one replaces. It waits for no record. */
void
emit_say_all(struct paxos_replica *r, const struct paxos_message *message)
{
	uint32_t first = r->out->count;

	emit_send_all(r, message, 0);
	for (uint32_t i = first; i < r->out->count; i++)
		r->out->item[i].once = true;
}

/* Answers the end of the record. */
uint64_t
emit_log(struct paxos_replica *r, const struct paxos_message *record)
{
	must(!r->failed);
	struct paxos_output_item *item = emit(r, PAXOS_OUT_LOG);
	item->message = *record;
	r->lsn += paxos_frame_bytes(record);
	item->lsn = r->lsn;
	r->delivered_logged = max_u64(r->delivered_logged, record->delivered);
	return r->lsn;
}

void
emit_release(struct paxos_replica *r, struct paxos_value value)
{
	if (value.handle != PAXOS_NO_VALUE)
		emit(r, PAXOS_OUT_RELEASE)->value = value;
}

void
emit_read(struct paxos_replica *r, uint64_t slot, uint8_t to)
{
	struct paxos_output_item *item = emit(r, PAXOS_OUT_READ);
	item->slot = slot;
	item->to = to;
}

/* True for a kind whose step takes over the reference to the value. */
static bool
keeps_value(const struct paxos_replica *r, uint8_t kind)
{
	if (r->failed)
		return false;
	return kind == PAXOS_ACCEPT || kind == PAXOS_LEARNED || kind == PAXOS_REPORT;
}

/* A replica whose log failed cannot bind itself to anything any more; what it
 * has it still tells. */
static bool
failed_may(uint8_t kind)
{
	return kind == PAXOS_LEARN || kind == PAXOS_DECIDED;
}

static void
step_message(struct paxos_replica *r, uint8_t from, const struct paxos_message *m)
{
	must(from < r->config.replica_count);
	must(from != r->config.self);
	if (!keeps_value(r, m->kind))
		emit_release(r, m->value);
	if (r->failed && !failed_may(m->kind))
		return;
	switch (m->kind) {
	case PAXOS_PREPARE:
		step_prepare(r, from, m);
		break;
	case PAXOS_PROMISE:
		step_promise(r, from, m);
		break;
	case PAXOS_REPORT:
		step_report(r, from, m);
		break;
	case PAXOS_ACCEPT:
		step_accept(r, from, m);
		break;
	case PAXOS_ACCEPTED:
		step_accepted(r, from, m);
		break;
	case PAXOS_REFUSE:
		step_refuse(r, from, m);
		break;
	case PAXOS_DECIDED:
		step_decided(r, from, m);
		break;
	case PAXOS_LEARN:
		step_learn(r, from, m);
		break;
	case PAXOS_LEARNED:
		step_learned(r, m);
		break;
	case PAXOS_RECOVER:
		step_recover(r, from, m);
		break;
	case PAXOS_RECOVERED:
		step_recovered(r, from, m);
		break;
	case PAXOS_SKIP:
		step_skip(r, from, m);
		break;
	case PAXOS_MUTE:
		step_mute(r, from, m);
		break;
	default:
		r->stats.stale++;
		break;
	}
}

static void
step_durable(struct paxos_replica *r, uint64_t lsn)
{
	must(lsn <= r->lsn);
	r->durable = max_u64(r->durable, lsn);
	reserve_reached(r);
	recover_finish(r);
	accept_count_own(r);
}

static void
step_log_failed(struct paxos_replica *r)
{
	r->failed = true;
	r->voting = false;
	step_down(r);
}

/* Values of delivered slots are kept only as a help to neighbours. They go at the
 * start of a step, so that none goes in the step that delivers it. */
static void
give_back(struct paxos_replica *r)
{
	uint32_t given = 0;
	for (uint32_t i = 0; i < PAXOS_WINDOW_SLOTS && given < PRESSURE_MAX; i++) {
		struct paxos_slot *w = &r->window[i];
		if (w->slot == 0 || w->slot > r->delivered || w->value.handle == PAXOS_NO_VALUE)
			continue;
		emit_release(r, w->value);
		*w = (struct paxos_slot){.value = no_value};
		given++;
	}
	/* A replay has no step of its own to go on in: its next record goes on. */
	if (given == PRESSURE_MAX && r->started)
		r->out->more = true;
}

static void
tell_leader(struct paxos_replica *r)
{
	uint8_t leader = paxos_leader(r);
	if (leader == r->told_leader && r->seen == r->told_ballot)
		return;
	r->told_leader = leader;
	r->told_ballot = r->seen;
	struct paxos_output_item *item = emit(r, PAXOS_OUT_LEADER);
	item->to = leader;
	item->message.ballot = r->seen;
}

/* What follows from any input, in an order in which each can use the former. */
static void
step_rest(struct paxos_replica *r)
{
	recover_try(r);
	prepare_try(r);
	learn_deliver(r);
	configure_lead(r);
	prepare_settle(r);
	timer_run(r);
	learn_deliver(r);
	configure_lead(r);
	owner_alone(r);
	owner_drive(r);
	learn_deliver(r);
	configure_lead(r);
	configure_settled(r);
	recover_settle(r);
	reserve_more(r);
	learn_tell(r);
	learn_ask(r);
	tell_leader(r);
	r->due_ns = timer_next(r);
	r->out->timer_ns = r->due_ns;
}

static void
step_started(struct paxos_replica *r, const struct paxos_input *in)
{
	switch (in->kind) {
	case PAXOS_IN_MESSAGE:
		step_message(r, in->from, &in->message);
		break;
	case PAXOS_IN_PROPOSE:
		owner_propose(r, in->value);
		break;
	case PAXOS_IN_DURABLE:
		step_durable(r, in->lsn);
		break;
	case PAXOS_IN_LOG_FAILED:
		step_log_failed(r);
		break;
	case PAXOS_IN_READ_DONE:
		step_read_done(r, in);
		break;
	case PAXOS_IN_LINK:
		step_link(r, in->from, in->up);
		break;
	case PAXOS_IN_REMEMBER:
		step_remember(r);
		break;
	case PAXOS_IN_IMAGE:
		step_image(r, in->image);
		break;
	case PAXOS_IN_TICK:
		break;
	case PAXOS_IN_RECORD:
	case PAXOS_IN_START:
	case PAXOS_IN_END:
	case PAXOS_IN_FORCE:
		must(!"records and START come before everything else");
	}
	step_rest(r);
}

/* A window slot and a report hold one each. */
_Static_assert(2 * PAXOS_WINDOW_SLOTS <= PAXOS_OUT_MAX, "all are given back in one step");

static void
step_end(struct paxos_replica *r)
{
	for (uint32_t i = 0; i < PAXOS_WINDOW_SLOTS; i++) {
		emit_release(r, r->window[i].value);
		emit_release(r, r->report[i].value);
		r->window[i] = (struct paxos_slot){.value = no_value};
		r->report[i] = (struct paxos_report){.value = no_value};
	}
}

void
paxos_step(struct paxos_replica *r, const struct paxos_input *in, struct paxos_output *out)
{
	uint64_t delivered = r->delivered;

	must(in->now_ns >= r->now_ns);
	out->count = 0;
	out->more = false;
	out->timer_ns = UINT64_MAX;
	r->out = out;
	r->now_ns = in->now_ns;
	r->hold = in->hold;
	must(in->kind != PAXOS_IN_RECORD || !r->hold);
	if (in->pressure)
		give_back(r);
	if (in->kind == PAXOS_IN_END) {
		step_end(r);
	} else if (r->started) {
		must(in->lsn_next >= r->lsn);
		r->lsn = in->lsn_next;
		step_late(r);
		step_started(r, in);
	} else if (in->kind == PAXOS_IN_RECORD) {
		step_record(r, in);
	} else if (in->kind == PAXOS_IN_FORCE) {
		configure_force(r, in->epoch, in->voters);
	} else if (in->kind == PAXOS_IN_IMAGE) {
		step_image(r, in->image);
	} else {
		must(in->kind == PAXOS_IN_START);
		step_start(r, in);
		step_rest(r);
	}
	r->stats.delivered += r->delivered - delivered;
	must(r->delivered >= delivered);
	must(r->role == ROLE_FOLLOWER || r->voting);
	r->out = NULL;
}

bool
paxos_can_propose(const struct paxos_replica *r)
{
	if (r->role != ROLE_LEADER || r->settle_next < r->settle_end)
		return false;
	uint64_t slot = owner_next(r);
	/* Where all lead, what is decided is heard from each at another time: those who heard
	 * less would drop what is proposed at the end of the horizon. */
	uint64_t spare = owner_in_turn(r) ? r->now.horizon / 4 : 0;
	return slot + spare < window_end(r) && owner_may_fill(r, slot);
}

bool
paxos_is_voting(const struct paxos_replica *r)
{
	return r->voting && !r->failed;
}

enum paxos_tail
paxos_doubt(const struct paxos_replica *r)
{
	return r->doubt > PAXOS_TAIL_CLEAN ? r->doubt : PAXOS_TAIL_CLEAN;
}

bool
paxos_may_have_forgotten(const struct paxos_replica *r, uint64_t slot)
{
	return r->doubt == PAXOS_TAIL_MISSING || slot <= r->forgotten;
}

bool
paxos_is_leader(const struct paxos_replica *r)
{
	return r->role == ROLE_LEADER;
}

uint8_t
paxos_leader(const struct paxos_replica *r)
{
	uint8_t owner = ballot_owner(r, r->seen);
	if (r->role == ROLE_LEADER)
		return r->config.self;
	if (r->role == ROLE_CANDIDATE || owner == r->config.self)
		return PAXOS_NO_VOTER;
	return owner;
}

uint64_t
paxos_delivered(const struct paxos_replica *r)
{
	return r->delivered;
}

uint64_t
paxos_delivered_logged(const struct paxos_replica *r)
{
	return r->delivered_logged;
}

const struct paxos_stats *
paxos_stats(const struct paxos_replica *r)
{
	return &r->stats;
}

uint64_t
paxos_promised(const struct paxos_replica *r, uint64_t slot)
{
	return promise_of(r, slot);
}
