/*
 * A majority of the voters is lost for good: an administrator names those that survive, and
 * they go on without the others, in an epoch of their own (DESIGN section 4, "Force").
 *
 *     node that is asked   FORCE  ---------->  every node it has a link with
 *     a moment later       logs FORCED         logs FORCED
 *     on disk              ends                ends
 *
 * The next process of each finds FORCED in its log: its datagrams and records are of that
 * epoch from then on, and its replicas are told who votes (PAXOS_IN_FORCE). None votes before
 * all who vote now have told it what they know. So one that was not reached (it was down, or
 * the datagram was lost) is waited for: it is asked at its own socket, in the same words.
 *
 * Behind FORCED a process takes and says nothing: what it would still promise in the old
 * epoch, its next process could not answer for. A node that is not named stays in its epoch,
 * even if it hears FORCE: it may have delivered what no survivor knows. Nobody speaks with
 * it; it begins anew with an empty log (node_config.forced), which knows no voters until
 * it is made one.
 *
 * Epochs are counted, since ballots rank by them, in steps: a number modulo seven is the
 * lowest survivor, so that two sides of a split never have the same one. The 128 bits
 * tell one force from another that was asked for elsewhere at the same time.
 */
#include "base/must.h"
#include "node/internal.h"

#define FORCED_BYTES  (4 + 4 + EPOCH_BYTES)
#define LINGER_FACTOR 8 /* of retry_ns: so long FORCE is sent again where it is lost */

/* A value is to be applied, of this epoch. The first one of a higher epoch is where the
 * order of the lost may be another one from, so everything that rests on the order ends
 * there: see group_fork(). */
void
node_force_fork(struct node *n, struct node_group *g, uint32_t epoch)
{
	if (!g->state || g->applying || epoch <= group_epoch(g->state))
		return;
	for (uint32_t i = 0; n->started && i < group_member_slots(g->state); i++) {
		const struct group_member *m = group_member_at(g->state, i);

		if (m && group_member_alive(m))
			node_attend_ended(n, g, m->incarnation, GROUP_EXPELLED, 0);
	}
	group_fork(g->state, epoch);
	g->fork_index = group_applied(g->state);
	node_compare_anew(g);
	node_payload_forked(n, g);
}

/* Of who leads: an idle group goes over too, and ends what its members rest on. */
void
node_force_duty(struct node *n, struct node_group *g)
{
	if (group_epoch(g->state) < n->epoch)
		node_group_submit_entry(n, g, &(struct entry){.kind = ENTRY_NOOP});
}

/* A group that was founded in an earlier epoch is led over; one of this epoch names its
 * voters itself. */
void
node_force_group(struct node *n, struct node_group *g, uint64_t founded)
{
	/* Its uuid may be that of one which only the lost knew. */
	node_force_fork(n, g, (uint32_t)(founded >> PAXOS_EPOCH_SHIFT));
	if (founded >> PAXOS_EPOCH_SHIFT >= n->epoch)
		return;
	g->voters_number = (uint64_t)n->epoch << PAXOS_EPOCH_SHIFT;
	node_group_paxos(n, g,
			 &(struct paxos_input){.kind = PAXOS_IN_FORCE,
					       .epoch = n->epoch,
					       .voters = n->forced_voters});
}

static void
go_over(struct node *n, const struct node_forced *f)
{
	uint64_t number = (uint64_t)f->number << PAXOS_EPOCH_SHIFT;

	must(f->number > n->epoch);
	n->epoch = f->number;
	n->forced_voters = f->voters;
	memcpy(n->config.epoch, f->epoch, EPOCH_BYTES);
	for (uint8_t i = 0; i < NODE_NODES_MAX; i++)
		if (!(f->voters >> i & 1))
			n->dropped[i] = number;
	memset(n->shown, 0, sizeof n->shown);
	n->voters = f->voters;
	n->taking.active = false; /* what was on its way is of the epoch that ends */
	for (uint32_t i = 0; i < n->group_count; i++)
		node_force_group(n, &n->group[i], 0);
}

static void
log_forced(struct node *n, const struct node_forced *f)
{
	struct writer w = writer_over(n->scratch + FRAME_HEADER_BYTES, FORCED_BYTES);

	writer_u32(&w, f->number);
	writer_u32(&w, f->voters);
	writer_raw(&w, f->epoch, EPOCH_BYTES);
	must(!w.bad && w.bytes == FORCED_BYTES);
	node_log(n, n->scratch, FRAME_HEADER_BYTES + FORCED_BYTES, NODE_RECORD_FORCED, 0);
}

/* For a log that begins here. */
void
node_force_remember(struct node *n)
{
	struct node_forced f = {.number = n->epoch, .voters = n->forced_voters};

	memcpy(f.epoch, n->config.epoch, EPOCH_BYTES);
	if (n->epoch > 0)
		log_forced(n, &f);
}

/* One that a log repeats says nothing new. */
void
node_force_record(struct node *n, const struct frame *frame, const uint8_t *data)
{
	struct reader r =
		reader_over(data + FRAME_HEADER_BYTES, frame->frame_bytes - FRAME_HEADER_BYTES);
	struct node_forced f = {.number = reader_u32(&r), .voters = reader_u32(&r)};

	reader_raw(&r, f.epoch, EPOCH_BYTES);
	must(reader_done(&r));
	if (f.number > n->epoch)
		go_over(n, &f);
}

/* Replay is over. An empty log of one that comes back begins in the others' epoch. */
void
node_force_start(struct node *n)
{
	const struct node_forced *f = &n->config.forced;

	if (f->number <= n->epoch)
		return;
	must(n->log_end == 0);
	go_over(n, f);
	log_forced(n, f);
}

static bool
all_there(const struct node *n, const struct node_forced *f)
{
	return (f->voters & ~(n->there & ~n->later)) == 0;
}

static bool
is_sound(const struct node *n, const struct node_forced *f)
{
	return !n->log_failed && n->force.number == 0 && (f->voters >> n->config.self & 1) &&
	       all_there(n, f) && f->number == node_force_number(n->epoch, f->voters) &&
	       f->number <= PAXOS_EPOCHS_MAX;
}

const uint8_t *
node_epoch(const struct node *n)
{
	return n->config.epoch;
}

/* Asked here: by the administrator. */
void
node_force(struct node *n, const struct node_forced *f, bool here_only)
{
	struct protocol_message m = {
		.kind = PROTOCOL_FORCE, .flags = f->voters, .index = f->number};

	if (!is_sound(n, f))
		return;
	n->force = *f;
	n->force_ns = n->now_ns + (here_only ? 0 : LINGER_FACTOR * n->config.retry_ns);
	memcpy(m.uuid, f->epoch, EPOCH_BYTES);
	for (uint8_t i = 0; i < NODE_NODES_MAX && !here_only; i++)
		if (i != n->config.self)
			(void)node_move_say(n, i, WIRE_CONTROL, &m);
}

void
node_force_message(struct node *n, const struct frame *frame, const uint8_t *data, uint32_t bytes)
{
	struct protocol_message m;

	if (!protocol_decode(&m, frame, data, bytes) || m.index > PAXOS_EPOCHS_MAX) {
		n->dropped_undecodable++;
		return;
	}
	struct node_forced f = {.number = (uint32_t)m.index, .voters = m.flags};
	memcpy(f.epoch, m.uuid, EPOCH_BYTES);
	if (!is_sound(n, &f))
		return;
	n->force = f;
	n->force_ns = n->now_ns;
}

/* At the end of a step. Answers when it wants to be asked again. */
uint64_t
node_force_run(struct node *n)
{
	if (n->force.number == 0)
		return UINT64_MAX;
	if (n->now_ns < n->force_ns)
		return n->force_ns;
	/* One of them was forgotten meanwhile: a voter that is nobody would be waited for, for
	 * ever. */
	if (!all_there(n, &n->force)) {
		n->force = (struct node_forced){0};
		return UINT64_MAX;
	}
	if (!n->log_failed) {
		/* What it has delivered and told its members is known to be decided: else it
		 * would be proposed anew, and be another transaction. */
		for (uint32_t i = 0; i < n->group_count; i++)
			node_group_paxos(n, &n->group[i],
					 &(struct paxos_input){.kind = PAXOS_IN_REMEMBER});
		log_forced(n, &n->force);
		n->force_lsn = n->lsn_next;
	}
	return UINT64_MAX;
}

/* Of a process that logged FORCED: it waits for the disk, and for nothing else. */
void
node_force_wait(struct node *n, const struct node_input *in)
{
	bool over = in->kind == NODE_IN_DURABLE && in->lsn >= n->force_lsn;

	must(n->force_lsn != 0);
	if (!over && in->kind != NODE_IN_LOG_FAILED) {
		node_emit(n, &(struct node_output){.kind = NODE_OUT_TIMER, .at_ns = UINT64_MAX});
		return;
	}
	n->ended = true;
	node_emit(n, &(struct node_output){.kind = NODE_OUT_FORCED, .index = n->force.number});
}
