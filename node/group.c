/*
 * One group at this node: its replica, the values that wait for a slot, what was
 * delivered, and the state machine that reads it.
 *
 * A value is a row of entries, each behind its length (u32). An empty value, which
 * a takeover proposes where it found nothing, holds none.
 */
#include "node/internal.h"

#include "base/must.h"
#include "node/arena.h"

#define RESERVE_HORIZON (PAXOS_HORIZON_MAX / 8)

static struct paxos_config
paxos_config_of(const struct node_config *c, const struct node_founding *founding)
{
	return (struct paxos_config){
		.replica_count = NODE_NODES_MAX,
		.self = c->self,
		.leader = founding->leader,
		.voters = founding->voters,
		.horizon = founding->horizon > 0 ? founding->horizon : c->horizon,
		/* Of any horizon that may come. */
		.reserve_slots = 16 * (c->horizon > RESERVE_HORIZON ? c->horizon : RESERVE_HORIZON),
		.takeover_ns = c->takeover_ns,
		.takeover_min_ns = c->takeover_min_ns,
		.beat_ns = c->beat_ns,
		.retry_ns = c->retry_ns,
		.tail_trust_ns = c->tail_trust_ns,
	};
}

static struct group_config
group_config_of(const struct node_config *c)
{
	return (struct group_config){
		.block_size = 1000000,
		.index_hashes_max = c->index_hashes_max,
		.inflight_max = c->inflight_max,
		.members_max = c->members_max,
		.protocol = PROTOCOL_VERSION,
	};
}

static uint32_t
places_max(const struct node_config *c)
{
	return c->results_max < NODE_PLACES_MIN ? NODE_PLACES_MIN : c->results_max;
}

/* The largest chunk that may come. */
static size_t
write_set_bytes(const struct node_config *c)
{
	return c->payload_bytes_max == 0 ? 0 : c->value_bytes_max;
}

size_t
node_group_memory_bytes(const struct node_config *c)
{
	struct paxos_config paxos = paxos_config_of(c, &(struct node_founding){0});
	struct group_config group = group_config_of(c);

	return line_up(paxos_size(&paxos)) + line_up(group_size(&group)) +
	       line_up(places_max(c) * sizeof(struct node_place)) +
	       line_up(c->results_max * sizeof(struct node_result)) +
	       line_up(node_payloads_max(c) * sizeof(struct node_payload_place)) +
	       2 * line_up(node_image_parts_max(c) * sizeof(struct history_link)) +
	       line_up(write_set_bytes(c)) +
	       HISTORY_SERIES * line_up(c->history_blocks * sizeof(struct history_head));
}

struct node_group *
node_group_by_number(const struct node *n, uint32_t number)
{
	/* Most of the time none was ever dropped. */
	if (number < n->group_count && n->group[number].number == number)
		return &n->group[number];
	for (uint32_t i = 0; i < n->group_count; i++)
		if (n->group[i].number == number)
			return &n->group[i];
	return NULL;
}

struct node_group *
node_group_by_uuid(struct node *n, const uint8_t *uuid)
{
	for (uint32_t i = 1; i < n->group_count; i++)
		if (memcmp(n->group[i].uuid, uuid, UUID_BYTES) == 0)
			return &n->group[i];
	return NULL;
}

static void *
take_cleared(struct arena *a, size_t bytes)
{
	return memset(arena_take(a, bytes), 0, bytes);
}

/* A part of the memory that is no group's. */
static uint32_t
free_room(const struct node *n)
{
	for (uint32_t room = 0; room <= n->config.groups_max; room++) {
		uint32_t i = 0;

		while (i < n->group_count && n->group[i].room != room)
			i++;
		if (i == n->group_count)
			return room;
	}
	must(!"as many groups as there may be");
	return 0;
}

/* Of the memory that is its own. Nothing but its number and that is known before. */
static void
lay_out(struct node *n, struct node_group *g, const struct node_founding *founding)
{
	struct paxos_config paxos = paxos_config_of(&n->config, founding);
	paxos.there = n->there;
	paxos.joins = g->number == 0 && n->config.joins;
	if (founding->number < n->config.votes_from)
		paxos.votes_from = g->number == 0 ? n->config.votes_from : UINT64_MAX;
	struct group_config group = group_config_of(&n->config);
	uint32_t number = g->number;
	uint32_t room = g->room;

	memset(g, 0, sizeof *g);
	g->number = number;
	g->room = room;
	g->used = true;
	g->holed = n->holed;
	g->founding = *founding;
	memcpy(g->uuid, founding->uuid, UUID_BYTES);
	g->voters_number = founding->number;
	g->leader = PAXOS_NO_VOTER;
	g->replica_timer_ns = UINT64_MAX;
	g->duty_ns = UINT64_MAX;
	struct arena a = {.memory = n->group_memory + g->room * n->group_memory_bytes};
	void *replica = arena_take(&a, paxos_size(&paxos));
	void *state = arena_take(&a, group_size(&group));
	g->replica = paxos_init(replica, &paxos);
	if (number > 0)
		g->state = group_init(state, &group);
	g->place = take_cleared(&a, places_max(&n->config) * sizeof *g->place);
	g->result = arena_take(&a, n->config.results_max * sizeof *g->result);
	g->payload = take_cleared(&a, node_payloads_max(&n->config) * sizeof *g->payload);
	g->whole.part = arena_take(&a, node_image_parts_max(&n->config) * sizeof *g->whole.part);
	g->coming.part = arena_take(&a, node_image_parts_max(&n->config) * sizeof *g->coming.part);
	g->write_set.chunk = arena_take(&a, write_set_bytes(&n->config));
	for (uint32_t i = 0; i < HISTORY_SERIES; i++)
		g->history[i].head =
			take_cleared(&a, n->config.history_blocks * sizeof *g->history[i].head);
	must(a.used == n->group_memory_bytes);
	for (uint32_t i = 0; i < PAXOS_WINDOW_SLOTS; i++)
		g->recent[i].value.handle = PAXOS_NO_VALUE;
	for (uint8_t i = 0; i < NODE_NODES_MAX; i++)
		node_cursor_open(&g->behind[i].cursor,
				 &(struct node_cursor){.series = HISTORY_PLACES,
						       .purpose = READ_ROW_FOR_VOTER,
						       .voter = i,
						       .group = number});
}

/* Which group 0 founds now: may it have been here before, in what is missing of the log? Not
 * all that follow a hole: two nodes that had one each, years ago, would wait for each other in
 * every later group, since one that lacks records tells another nothing (seed 751911). */
static bool
was_here(const struct node *n)
{
	const struct node_group *g = &n->group[0];

	return g->holed || paxos_may_have_forgotten(g->replica, g->applied_slot + 1);
}

/* Group 0's log says which number is next, and every node reads it. */
struct node_group *
node_group_create(struct node *n, uint32_t number, const struct node_founding *founding)
{
	must(number == 0 || number > n->directory.founded);

	struct node_group *g = &n->group[n->group_count];

	g->number = number;
	g->room = free_room(n);
	n->directory.founded = number;
	lay_out(n, g, founding);
	if (number > 0)
		g->holed = was_here(n);
	n->group_count++;
	node_force_group(n, g, founding->number);
	return g;
}

void
node_group_load(struct node *n, struct node_group *g, const struct node_founding *founding)
{
	must(!n->started);
	lay_out(n, g, founding);
	g->load = LOAD_PIECES;
}

/* What served the state that goes. */
static void
close_sessions(struct node *n, const struct node_group *g)
{
	for (uint32_t i = 0; i < n->session_count; i++) {
		const struct node_session *s = &n->session[i];

		if (s->stage < SESSION_JOINING || s->group != g->number)
			continue;
		wire_close(n->wire, (int)i);
		node_attend_close(n, (int)i);
	}
}

static void drop_batches(struct node *n, struct node_group *g);
static void value_release(struct node *n, struct paxos_value *value);

void
node_group_reload(struct node *n, struct node_group *g)
{
	struct paxos_config paxos = paxos_config_of(&n->config, &g->founding);
	struct group_config group = group_config_of(&n->config);
	struct arena a = {.memory = n->group_memory + g->room * n->group_memory_bytes};
	uint8_t *chunk = g->write_set.chunk;

	g->load = LOAD_TAKEN;
	if (n->started)
		close_sessions(n, g);
	drop_batches(n, g);
	g->applying = false;
	g->apply_offset = 0;
	g->write_set = (struct node_write_set){.chunk = chunk};
	for (uint32_t i = 0; i < NODE_READS_MAX; i++) {
		struct node_read *r = &n->read[i];
		bool applies =
			r->purpose == READ_LIST_FOR_APPLY || r->purpose == READ_CHUNK_FOR_APPLY;

		if (r->lsn != 0 && r->group == g->number && applies)
			r->purpose = READ_FOR_NOBODY;
	}
	(void)arena_take(&a, paxos_size(&paxos));
	if (g->state)
		g->state = group_init(arena_take(&a, group_size(&group)), &group);
}

/* What lies in the log of slots that the image passes over was accepted, and nobody has told
 * this node whether it was decided: another value may have been, in a higher ballot. To who is
 * behind this node has nothing to say of them. */
static void
forget_places(const struct node *n, struct node_group *g, uint64_t slot)
{
	for (uint32_t i = 0; i < places_max(&n->config); i++)
		if (g->place[i].slot > g->delivered_slot && g->place[i].slot <= slot)
			g->place[i] = (struct node_place){0};
}

void
node_group_loaded(struct node *n, struct node_group *g, uint64_t slot)
{
	forget_places(n, g, slot);
	for (uint32_t i = 0; i < PAXOS_WINDOW_SLOTS; i++) {
		struct node_recent *r = &g->recent[i];

		if (r->slot == 0 || r->slot > slot)
			continue;
		value_release(n, &r->value);
		r->slot = 0;
	}
	g->load = LOAD_NONE;
	g->applied_slot = slot;
	g->recent_low = slot + 1;
	g->dropped_slot = slot;
	g->dropped_payload = g->payload_count;
	g->dropped_index = g->state ? group_applied(g->state) : 0;
	if (g->delivered_slot < slot)
		g->delivered_slot = slot;
	g->payload_through = g->payload_count;
	memset(g->absent_ns, 0, sizeof g->absent_ns);
	node_history_skip(n, g);
	if (g->state)
		node_payload_dropped(n, g);
	node_emit(n, &(struct node_output){.kind = NODE_OUT_IMAGE,
					   .group = g->number,
					   .slot = slot,
					   .index = g->dropped_index,
					   .digest = g->state ? group_digest(g->state) : 0});
}

void
node_group_start(struct node *n, struct node_group *g)
{
	/* Where records are missing, it is `holed` that says of which groups. */
	enum paxos_tail tail = n->tail == PAXOS_TAIL_MISSING ? PAXOS_TAIL_CLEAN : n->tail;

	must(n->started);
	if (g->holed)
		tail = PAXOS_TAIL_MISSING;
	g->holed = false; /* START says so */
	g->duty_ns = n->now_ns + n->config.retry_ns;
	node_group_paxos(n, g,
			 &(struct paxos_input){
				 .kind = PAXOS_IN_START,
				 .process = n->process,
				 .nonce = hash_fold(n->nonce, g->number),
				 .tail = tail,
			 });
	for (uint8_t i = 0; i < NODE_NODES_MAX; i++)
		if (n->link_up >> i & 1)
			node_group_paxos(n, g,
					 &(struct paxos_input){
						 .kind = PAXOS_IN_LINK, .from = i, .up = true});
}

bool
node_group_quorum(const struct node_group *g, uint32_t nodes)
{
	return paxos_quorum(g->replica, paxos_delivered(g->replica) + 1, nodes) &&
	       paxos_quorum(g->replica, PAXOS_SLOT_END, nodes);
}

bool
node_group_leads(const struct node *n, const struct node_group *g)
{
	return n->started && !n->log_failed && !node_group_loads(g) && paxos_is_leader(g->replica);
}

/* One of those who lead: what one is enough for. */
bool
node_group_leads_first(const struct node *n, const struct node_group *g)
{
	const struct paxos_configuration *c = paxos_configuration(g->replica);

	return node_group_leads(n, g) && (!c->all_lead || c->leader == n->config.self);
}

/* ---- values ---- */

static uint8_t *
value_data(const struct node *n, uint32_t handle)
{
	return (uint8_t *)pool_at(n->pool, handle) + NODE_HEAD_BYTES;
}

static void
value_release(struct node *n, struct paxos_value *value)
{
	if (value->handle != PAXOS_NO_VALUE)
		pool_release(n->pool, value->handle);
	*value = (struct paxos_value){.handle = PAXOS_NO_VALUE};
}

/* Kept values are given back before has_room() begins to refuse members: were both
 * limits one, a pool that stands exactly there would neither shrink nor serve. */
bool
node_pool_short(const struct node *n)
{
	return n->pool->free_count < n->pool->object_count / 8 * 3;
}

/* Forgets applied values, oldest first; the log still has them for who is behind. */
static void
recent_give_back(struct node *n, struct node_group *g)
{
	for (uint32_t i = 0; i < PAXOS_WINDOW_SLOTS && node_pool_short(n); i++) {
		struct node_recent *r = &g->recent[g->recent_low & (PAXOS_WINDOW_SLOTS - 1)];

		if (g->recent_low > g->applied_slot)
			return;
		if (r->slot == g->recent_low)
			value_release(n, &r->value);
		g->recent_low++;
	}
}

/* The frame of a message, around its value where it lies in the pool. */
static uint8_t *
frame_around(struct node *n, const struct paxos_message *m)
{
	uint8_t *frame = n->scratch;

	must(m->value.handle != PAXOS_NO_VALUE || m->value.bytes == 0);
	if (m->value.handle != PAXOS_NO_VALUE)
		frame = pool_at(n->pool, m->value.handle);
	paxos_encode(m, frame + FRAME_HEADER_BYTES);
	return frame;
}

/* ---- what the replica says ---- */

/* The record that was logged last, or is replayed, holds this slot's value. */
static void
note_place(struct node *n, struct node_group *g, uint64_t slot, uint32_t bytes)
{
	if (slot <= g->dropped_slot)
		return; /* accepted while the image was read back; see forget_places() */
	g->place[slot & (places_max(&n->config) - 1)] =
		(struct node_place){.slot = slot, .link = {.lsn = n->lsn_next, .bytes = bytes}};
}

struct history_link
node_group_place(const struct node *n, const struct node_group *g, uint64_t slot)
{
	const struct node_place *p = &g->place[slot & (places_max(&n->config) - 1)];

	return p->slot == slot ? p->link : (struct history_link){0};
}

static void
out_log(struct node *n, struct node_group *g, const struct paxos_output_item *item)
{
	const struct paxos_message *m = &item->message;
	uint32_t bytes = paxos_frame_bytes(m);

	must(!n->log_failed);
	must(item->lsn == n->lsn_next + bytes);
	node_log(n, frame_around(n, m), bytes, m->kind, g->number);
	if (m->kind == PAXOS_ACCEPT || m->kind == PAXOS_LEARNED)
		note_place(n, g, m->slot, bytes);
}

int
node_session_of_node(const struct node *n, uint8_t node)
{
	int session = n->session_of[node];

	if (session != NODE_NO_SESSION &&
	    (n->session[session].stage != SESSION_NODE || n->session[session].node != node))
		return NODE_NO_SESSION;
	return session;
}

static void
out_send(struct node *n, struct node_group *g, const struct paxos_output_item *item)
{
	int session = node_session_of_node(n, item->to);
	uint8_t *frame = frame_around(n, &item->message);
	struct frame header = {
		.frame_bytes = paxos_frame_bytes(&item->message),
		.kind = item->message.kind,
		.group = g->number,
		.source = n->config.self,
		.incarnation = n->process,
	};

	if (session == NODE_NO_SESSION || (n->full_to >> item->to & 1))
		return; /* as if lost: the replica's timers send it again */
	memcpy(header.epoch, n->config.epoch, EPOCH_BYTES);
	frame_encode(&header, frame);
	struct wire_slice slice = {.data = frame, .bytes = header.frame_bytes};
	if (item->once && wire_send_once(n->wire, session, &slice, 1))
		return; /* where many groups speak at once, the last go the other way */
	/* No room is a loss too; the consensus stream holds a whole horizon. What comes behind
	 * in the same step is lost with it: who asks for reports asks next for those behind
	 * the last that came, and small ones that found room behind large ones that did not
	 * would hide these for ever (seed 7077). */
	if (!wire_send(n->wire, session, WIRE_CONSENSUS, &slice, 1, item->after_lsn))
		n->full_to |= 1u << item->to;
}

static void
out_deliver(struct node *n, struct node_group *g, const struct paxos_output_item *item)
{
	struct node_recent *r = &g->recent[item->slot & (PAXOS_WINDOW_SLOTS - 1)];

	must(item->slot == g->delivered_slot + 1);
	must(r->slot <= g->applied_slot); /* node_group_holds() */
	value_release(n, &r->value);
	r->slot = item->slot;
	r->value = item->value;
	if (r->value.handle != PAXOS_NO_VALUE)
		pool_retain(n->pool, r->value.handle);
	g->delivered_slot = item->slot;
	if (paxos_is_change(&item->value)) {
		g->change_ns = n->now_ns;
		node_directory_delivered(n, g, item);
	}
	node_emit(n, &(struct node_output){
			     .kind = NODE_OUT_DELIVER,
			     .group = g->number,
			     .slot = item->slot,
			     .data = r->value.bytes > 0 ? value_data(n, r->value.handle) : NULL,
			     .bytes = r->value.bytes,
			     .change = r->value.change,
		     });
}

static void
drop_batches(struct node *n, struct node_group *g)
{
	for (uint32_t i = 0; i < g->batch_count; i++)
		pool_release(n->pool, g->batch[(g->batch_first + i) % NODE_BATCHES_MAX].handle);
	g->batch_count = 0;
}

static void
out_leader(struct node *n, struct node_group *g, const struct paxos_output_item *item)
{
	g->leader = item->to;
	g->leader_ballot = item->message.ballot;
	if (g->leader != n->config.self)
		drop_batches(n, g); /* nobody has logged them: their members submit again */
	if (n->started)
		node_attend_leader(n, g);
}

static void
take_output(struct node *n, struct node_group *g, const struct paxos_output_item *item)
{
	struct paxos_value value = item->value;

	switch (item->kind) {
	case PAXOS_OUT_SEND:
		out_send(n, g, item);
		break;
	case PAXOS_OUT_LOG:
		out_log(n, g, item);
		break;
	case PAXOS_OUT_DELIVER:
		out_deliver(n, g, item);
		break;
	case PAXOS_OUT_READ:
		node_history_behind(g, item->to, item->slot);
		break;
	case PAXOS_OUT_RELEASE:
		value_release(n, &value);
		break;
	case PAXOS_OUT_LEADER:
		out_leader(n, g, item);
		break;
	}
}

/*
 * A group that cannot apply what it has takes no more deliveries; values that nobody
 * could apply would fill the pool, and then the ring of kept ones. While a write set is
 * awaited the others wait in the replica's window, where the horizon bounds them.
 *
 * A replay cannot hold: its records say how far the replica had delivered, and one that
 * stopped short would drop what lies beyond its window, which it had promised to keep.
 * It need not either. What it has applied behind a record is at least what had been
 * applied when that was written, since the chunks were on disk before; and it delivers
 * at most a horizon more, what was held then: NODE_UNAPPLIED_MAX, what one step can
 * deliver, and a horizon fit the ring.
 */
_Static_assert(NODE_UNAPPLIED_MAX + 2 * PAXOS_HORIZON_MAX < PAXOS_WINDOW_SLOTS, "all are kept");

bool
node_group_holds(const struct node *n, const struct node_group *g)
{
	return n->started &&
	       (g->write_set.waiting || node_group_loads(g) || node_image_holds(n, g) ||
		g->delivered_slot - g->applied_slot >= NODE_UNAPPLIED_MAX);
}

/* Steps the replica and does what it says. The outputs are finished before the
 * next step begins, so one struct serves every group. */
void
node_group_paxos(struct node *n, struct node_group *g, const struct paxos_input *input)
{
	struct paxos_output *out = n->paxos_out;
	struct paxos_input in = *input;

	for (uint32_t round = 0; round < 16; round++) {
		in.now_ns = n->now_ns;
		in.lsn_next = n->lsn_next;
		in.pressure = node_pool_short(n);
		in.hold = node_group_holds(n, g);
		g->held = in.hold;
		if (in.pressure)
			recent_give_back(n, g);
		out->count = 0;
		out->more = false;
		out->timer_ns = UINT64_MAX;
		n->full_to = 0;
		paxos_step(g->replica, &in, out);
		for (uint32_t i = 0; i < out->count; i++)
			take_output(n, g, &out->item[i]);
		g->replica_timer_ns = out->timer_ns;
		if (!out->more)
			return;
		in = (struct paxos_input){.kind = PAXOS_IN_TICK};
	}
	g->replica_timer_ns = n->now_ns;
}

/* ---- what comes in for the replica ---- */

/* Takes a value from bytes into the pool. False: there is no object free. */
static bool
value_copy(struct node *n, struct paxos_message *m, const uint8_t *value)
{
	m->value.handle = PAXOS_NO_VALUE;
	if (m->value.bytes == 0)
		return true;
	if (m->value.bytes > n->config.value_bytes_max || !pool_take(n->pool, &m->value.handle)) {
		n->dropped_no_value++;
		return false;
	}
	memcpy(value_data(n, m->value.handle), value, m->value.bytes);
	return true;
}

void
node_group_record(struct node *n, const struct frame *frame, const uint8_t *data)
{
	struct node_group *g = node_group_by_number(n, frame->group);
	struct paxos_input in = {.kind = PAXOS_IN_RECORD, .lsn = n->lsn_next};
	const uint8_t *value = NULL;

	must(g);
	must(paxos_decode(&in.message, frame->kind, data + FRAME_HEADER_BYTES,
			  frame->frame_bytes - FRAME_HEADER_BYTES, &value));
	/* Replay must not run out: forget before taking more. */
	for (uint32_t i = 0; i < n->group_count; i++)
		recent_give_back(n, &n->group[i]);
	must(value_copy(n, &in.message, value));
	if (frame->kind == PAXOS_ACCEPT || frame->kind == PAXOS_LEARNED)
		note_place(n, g, in.message.slot, frame->frame_bytes);
	if (frame->kind == PAXOS_RECORD_START)
		g->holed = false; /* it has the doubt in it */
	node_group_paxos(n, g, &in);
	node_group_apply(n, g, UINT32_MAX);
}

void
node_group_message(struct node *n, uint8_t from, const struct frame *frame, const uint8_t *data)
{
	struct node_group *g = node_group_by_number(n, frame->group);
	struct paxos_input in = {.kind = PAXOS_IN_MESSAGE, .from = from};
	const uint8_t *value = NULL;

	if (!g) {
		n->dropped_unknown_group++;
		return;
	}
	if (frame->kind >= PAXOS_RECORD_START ||
	    !paxos_decode(&in.message, frame->kind, data + FRAME_HEADER_BYTES,
			  frame->frame_bytes - FRAME_HEADER_BYTES, &value)) {
		n->dropped_undecodable++;
		return;
	}
	if (value_copy(n, &in.message, value))
		node_group_paxos(n, g, &in);
}

/* ---- proposals ---- */

static struct node_batch *
batch_last(struct node_group *g)
{
	must(g->batch_count > 0);
	return &g->batch[(g->batch_first + g->batch_count - 1) % NODE_BATCHES_MAX];
}

bool
node_group_has_room(const struct node *n, const struct node_group *g, uint32_t bytes)
{
	uint32_t last = (g->batch_first + g->batch_count - 1) % NODE_BATCHES_MAX;

	if (NODE_ENTRY_HEAD_BYTES + bytes > n->config.value_bytes_max)
		return false;
	if (g->batch_count > 0 &&
	    g->batch[last].bytes + NODE_ENTRY_HEAD_BYTES + bytes <= n->config.value_bytes_max)
		return true;
	/* A quarter of the pool is left to what other nodes send. */
	return g->batch_count < NODE_BATCHES_MAX && n->pool->free_count > n->pool->object_count / 4;
}

bool
node_group_submit(struct node *n, struct node_group *g, const uint8_t *entry, uint32_t bytes)
{
	uint32_t whole = NODE_ENTRY_HEAD_BYTES + bytes;

	must(bytes > 0);
	if (!node_group_leads(n, g) || !node_group_has_room(n, g, bytes))
		return false;
	if (g->batch_count == 0 || batch_last(g)->bytes + whole > n->config.value_bytes_max) {
		struct node_batch fresh = {0};

		if (!pool_take(n->pool, &fresh.handle))
			return false;
		g->batch_count++;
		*batch_last(g) = fresh;
	}
	struct node_batch *b = batch_last(g);
	uint8_t *at = value_data(n, b->handle) + b->bytes;
	bytes_put_u32(at, bytes);
	memcpy(at + NODE_ENTRY_HEAD_BYTES, entry, bytes);
	b->bytes += whole;
	must(b->bytes <= n->config.value_bytes_max);
	return true;
}

bool
node_group_submit_entry(struct node *n, struct node_group *g, const struct entry *entry)
{
	struct writer w = writer_over(n->scratch, n->config.value_bytes_max);

	entry_encode(entry, &w);
	return !w.bad && node_group_submit(n, g, n->scratch, (uint32_t)w.bytes);
}

void
node_group_expel(struct node *n, struct node_group *g, uint64_t incarnation, uint64_t session,
		 enum expel_reason reason)
{
	node_group_submit_entry(n, g,
				&(struct entry){.kind = ENTRY_EXPEL,
						.expel = {.incarnation = incarnation,
							  .session = session,
							  .reason = reason}});
}

void
node_group_flush(struct node *n, struct node_group *g)
{
	for (uint32_t i = 0; i < NODE_BATCHES_MAX; i++) {
		if (g->batch_count == 0 || n->log_failed || !paxos_can_propose(g->replica))
			return;
		struct node_batch *b = &g->batch[g->batch_first];
		struct paxos_input in = {
			.kind = PAXOS_IN_PROPOSE,
			.value = {.handle = b->handle, .bytes = b->bytes},
		};
		g->batch_first = (g->batch_first + 1) % NODE_BATCHES_MAX;
		g->batch_count--;
		node_group_paxos(n, g, &in);
	}
}

/* ---- delivery ---- */

uint64_t
node_group_first_result(const struct node *n, const struct node_group *g)
{
	uint64_t last = group_applied(g->state);
	uint64_t first = last > n->config.results_max ? last - n->config.results_max + 1 : 1;

	/* What an image covers that was loaded is nowhere. */
	return first <= g->dropped_index ? g->dropped_index + 1 : first;
}

const struct node_result *
node_group_result(const struct node *n, const struct node_group *g, uint64_t index)
{
	must(index <= group_applied(g->state));
	must(index >= node_group_first_result(n, g));
	return &g->result[index & (n->config.results_max - 1)];
}

/* The payload is to stay. */
static void
note_spread(struct node *n, struct node_group *g, struct node_result *result)
{
	const struct entry_submit *s = &g->entry.submit;

	result->payload = ++g->payload_count;
	must(entry_spread_decode(&result->spread, s->payload, s->payload_bytes));
	node_payload_accepted(n, g, result, group_effect(g->state)->index);
}

/* What the feed needs of an accepted transaction: where its payload is. */
static void
note_accepted(struct node *n, struct node_group *g, struct node_result *result,
	      const struct node_recent *r)
{
	const struct entry_submit *s = &g->entry.submit;

	g->last_accepted = group_effect(g->state)->index;
	result->flags = s->flags & ~(uint32_t)SUBMIT_SPREAD;
	if (s->flags & SUBMIT_SPREAD) {
		note_spread(n, g, result);
		return;
	}
	n->small_ns = n->now_ns;
	result->bytes = s->payload_bytes;
	if (s->payload_bytes > 0)
		result->offset = (uint32_t)(s->payload - value_data(n, r->value.handle));
}

static void
note_result(struct node *n, struct node_group *g, const struct node_recent *r)
{
	const struct group_effect *e = group_effect(g->state);
	struct node_result *result = &g->result[e->index & (n->config.results_max - 1)];

	*result = (struct node_result){
		.slot = r->slot,
		.place = node_group_place(n, g, r->slot),
		.incarnation = e->incarnation,
		.dependency = e->outcome.dependency,
		.gtid = e->outcome.gtid,
	};
	if (e->kind == GROUP_VIEW && e->change != GROUP_JOIN_AGAIN &&
	    e->change != GROUP_JOIN_VOID && e->change != GROUP_ATTACHED) {
		result->kind = RESULT_VIEW;
		g->last_view = e->index;
	}
	if (e->kind == GROUP_VERDICT && e->verdict != GROUP_VOID && !e->repeated) {
		result->kind = RESULT_OUTCOME;
		if (e->verdict != GROUP_ABANDONED)
			g->certified++;
		if (e->verdict == GROUP_REFUSED || e->verdict == GROUP_REFUSED_STALE)
			g->conflicts++;
		if (e->verdict == GROUP_ACCEPTED && !e->outcome.again) {
			result->kind = RESULT_ACCEPTED;
			note_accepted(n, g, result, r);
		} else if (g->write_set.index == e->index) {
			/* Who is behind will ask for its write set. */
			note_spread(n, g, result);
		}
	}
}

/* The entry that stands at `apply_offset` is whole; on to the next. */
static void
entry_done(struct node *n, struct node_group *g, struct node_recent *r)
{
	const struct group_effect *e = group_effect(g->state);

	note_result(n, g, r);
	node_payload_applied(n, g, e);
	node_compare_effect(n, g, e);
	if (e->kind == GROUP_CLOSED)
		n->group[0].duty_ns = n->now_ns; /* of who leads it: to drop this one */
	node_emit(n, &(struct node_output){
			     .kind = NODE_OUT_RESULT,
			     .group = g->number,
			     .slot = r->slot,
			     .index = e->index,
			     .digest = group_digest(g->state),
		     });
	if (n->started)
		node_attend_effect(n, g, e);
}

/* Applies an entry, or goes on. False: the budget ran out first, or hashes are awaited. */
static bool
apply_entry(struct node *n, struct node_group *g, const uint8_t *data, uint32_t bytes,
	    uint32_t budget)
{
	enum group_step step = GROUP_HASHES;

	if (!g->applying) {
		if (budget != UINT32_MAX && node_history_full(n, g))
			return false;
		must(entry_decode(&g->entry, data, bytes));
		group_apply_start(g->state, group_applied(g->state) + 1, &g->entry);
		g->applying = true;
	}
	/* The budget is one chunk's hashes at most: a second one is read first. What is cut is
	 * asked about before: bytes that should be nowhere count for nothing. */
	for (uint32_t i = 0; i < 2 && step == GROUP_HASHES; i++) {
		step = group_apply_step(g->state, budget);
		if (step == GROUP_HASHES && !node_cut_here(n, g) && !node_write_set_give(n, g))
			return false;
	}
	g->applying = step != GROUP_DONE;
	return !g->applying;
}

/* The cache is asked for what the entry at `data` will touch, while the one before it is applied:
 * certification waits for memory more than for anything else. It is decoded twice for that. */
static void
look_ahead(const struct node_group *g, const uint8_t *data, uint32_t bytes)
{
	struct entry next;

	if (bytes < NODE_ENTRY_HEAD_BYTES)
		return; /* there is none */
	uint32_t entry_bytes = bytes_get_u32(data);
	must(entry_bytes <= bytes - NODE_ENTRY_HEAD_BYTES);
	if (entry_decode(&next, data + NODE_ENTRY_HEAD_BYTES, entry_bytes))
		group_prefetch(g->state, &next);
}

/* Applies the entries of one delivered value. True: the last one is not done. */
static bool
apply_value(struct node *n, struct node_group *g, struct node_recent *r, uint32_t budget)
{
	const uint8_t *data = r->value.bytes > 0 ? value_data(n, r->value.handle) : NULL;

	node_force_fork(n, g, paxos_value_epoch(&r->value));
	/* A change of the voters is the replica's own, and holds no entries. */
	while (!paxos_is_change(&r->value) &&
	       g->apply_offset + NODE_ENTRY_HEAD_BYTES <= r->value.bytes) {
		uint32_t bytes = bytes_get_u32(data + g->apply_offset);
		const uint8_t *at = data + g->apply_offset + NODE_ENTRY_HEAD_BYTES;

		must(bytes <= r->value.bytes - g->apply_offset - NODE_ENTRY_HEAD_BYTES);
		uint32_t end = g->apply_offset + NODE_ENTRY_HEAD_BYTES + bytes;
		if (!g->state) {
			node_directory_apply(n, at, bytes, paxos_value_epoch(&r->value));
		} else {
			if (!g->applying)
				look_ahead(g, data + end, r->value.bytes - end);
			if (!apply_entry(n, g, at, bytes, budget))
				return true;
			entry_done(n, g, r);
		}
		g->apply_offset = end;
	}
	return false;
}

/* Applies what was delivered. True: there is more to do, soon. */
bool
node_group_apply(struct node *n, struct node_group *g, uint32_t budget)
{
	for (uint32_t i = 0; i < PAXOS_WINDOW_SLOTS; i++) {
		if (g->applied_slot == g->delivered_slot || node_group_loads(g) ||
		    node_image_holds(n, g))
			return false;
		struct node_recent *r =
			&g->recent[(g->applied_slot + 1) & (PAXOS_WINDOW_SLOTS - 1)];

		must(r->slot == g->applied_slot + 1);
		if (apply_value(n, g, r, budget))
			return !g->write_set.waiting && (g->applying || !node_history_full(n, g));
		g->apply_offset = 0;
		g->applied_slot = r->slot;
	}
	return g->applied_slot < g->delivered_slot;
}

/* ---- what a leader does by the clock ---- */

/* Expels a member whose session this node has not seen for too long. The entry
 * names the session that was timed: if the member attached anew meanwhile, the
 * entry is void, however late it is ordered. */
static void
watch_member(struct node *n, struct node_group *g, uint32_t slot, const struct group_member *m)
{
	if (node_attend_session_of(n, g, m->incarnation) != NODE_NO_SESSION ||
	    g->absent_session[slot] != m->session || g->absent_ns[slot] == 0) {
		g->absent_ns[slot] = n->now_ns;
		g->absent_session[slot] = m->session;
		return;
	}
	if (n->now_ns - g->absent_ns[slot] < n->config.expel_ns)
		return;
	node_group_expel(n, g, m->incarnation, m->session, EXPEL_SILENT);
	g->absent_ns[slot] = n->now_ns;
}

/* Of those alive who have committed less than an image covers, the one furthest behind; NULL where
 * fewer than two have all of it: what is on one disk besides the nodes' is not dropped. */
static const struct group_member *
furthest_behind(const struct node_group *g, uint64_t index)
{
	const struct group_member *last = NULL;
	uint32_t have = 0;

	for (uint32_t i = 0; i < group_member_slots(g->state); i++) {
		const struct group_member *m = group_member_at(g->state, i);

		if (!m || !group_member_alive(m))
			continue;
		if (m->committed >= index)
			have++;
		else if (!last || m->committed < last->committed)
			last = m;
	}
	return have < 2 ? NULL : last;
}

/* A member that makes all submissions wait, since the log may not be trimmed before it has
 * committed, and for too long, here or at another node: the group goes on without it. */
static void
watch_lag(struct node *n, struct node_group *g)
{
	const struct group_member *last = furthest_behind(g, node_room_awaited(n, g).first);
	bool waits = (g->narrow & ~g->scarce) != 0 || node_room_short(n, g);

	if (n->config.lag_ns == 0 || !last || !waits) {
		g->lag_ns = 0;
		return;
	}
	if (g->lag_ns == 0)
		g->lag_ns = n->now_ns;
	if (n->now_ns - g->lag_ns < n->config.lag_ns)
		return;
	node_group_expel(n, g, last->incarnation, last->session, EXPEL_LAG);
	g->lag_ns = 0;
}

/* A member lags behind what the log holds, and cannot be fed. Only an entry ends it: what it has
 * submitted may be on its way into the order, and who was told by this node alone that its
 * incarnation has ended would roll back what is accepted then. */
static void
watch_feed(struct node *n, struct node_group *g, const struct group_member *m)
{
	int session = node_attend_session_of(n, g, m->incarnation);

	if (session == NODE_NO_SESSION || !n->session[session].feed_lost)
		return;
	node_group_expel(n, g, m->incarnation, n->session[session].session, EXPEL_LAG);
}

static void
log_progress(struct node *n, struct node_group *g, const struct group_member *m)
{
	int session = node_attend_session_of(n, g, m->incarnation);

	if (session == NODE_NO_SESSION)
		return;
	const struct node_session *s = &n->session[session];
	uint64_t mark = s->mark_low > m->mark_low ? s->mark_low : m->mark_low;
	/* One that is ready, and has not come so far yet, would be logged at every report. */
	bool online = s->ready && m->state == MEMBER_RECOVERING && mark >= m->incarnation &&
		      mark >= group_horizon(g->state);
	/* Beyond the last transaction there is nothing to collect: else each report
	 * would be an entry that the next report moves past, for ever. So would it be where one of
	 * the two moves and only the other one is behind. */
	bool mark_due = s->mark_low > m->mark_low && m->mark_low < g->last_accepted;
	bool disk_due = s->committed > m->committed && m->committed < g->last_accepted;
	/* An image may cover entries behind that one, and while it waits for room nothing else may
	 * come: then that is all that is missing. */
	disk_due |= s->committed > m->committed && m->committed < node_room_awaited(n, g).last;
	if (!online && !mark_due && !disk_due)
		return;
	struct entry progress = {
		.kind = ENTRY_PROGRESS,
		.progress = {.incarnation = m->incarnation,
			     .floor = s->floor > m->floor ? s->floor : m->floor,
			     .mark_low = mark,
			     .committed = s->committed > m->committed ? s->committed : m->committed,
			     .ready = s->ready},
	};
	node_group_submit_entry(n, g, &progress);
}

/* Where all lead each knows the members that hang on it, and of others' nothing. */
static bool
watches(const struct node *n, const struct node_group *g, const struct group_member *m)
{
	const struct paxos_configuration *c = paxos_configuration(g->replica);

	if (c->all_lead && m->session != 0 && (c->voters >> m->node & 1))
		return m->node == n->config.self;
	return node_group_leads_first(n, g);
}

static void
move_horizon(struct node *n, struct node_group *g)
{
	uint64_t wanted = group_horizon_wanted(g->state);

	if (wanted > group_horizon(g->state) && group_horizon(g->state) < g->last_accepted)
		node_group_submit_entry(
			n, g, &(struct entry){.kind = ENTRY_HORIZON, .horizon = {.index = wanted}});
}

/* Whoever only follows need not wake up for it: when it leads, it does so in some step. */
bool
node_group_has_duty(const struct node *n, const struct node_group *g)
{
	return node_group_leads(n, g) ||
	       (g->state && !node_group_loads(g) && group_sweep_due(g->state));
}

void
node_group_duties(struct node *n, struct node_group *g)
{
	/* At multiples, so that a node wakes once for all its groups. */
	g->duty_ns = (n->now_ns / n->config.gc_ns + 1) * n->config.gc_ns;
	if (node_group_loads(g))
		return;
	if (!g->state) {
		node_peers_connect(n);
		node_directory_duties(n);
		return;
	}
	if (!g->applying && group_sweep_due(g->state))
		group_sweep(g->state, 4096);
	if (node_group_leads_first(n, g)) {
		node_directory_copy(n, g);
		node_force_duty(n, g);
	}
	if (!node_group_leads(n, g) || !group_created(g->state)) {
		memset(g->absent_ns, 0, sizeof g->absent_ns);
		g->lag_ns = 0;
		return;
	}
	for (uint32_t i = 0; i < group_member_slots(g->state); i++) {
		const struct group_member *m = group_member_at(g->state, i);

		if (!m || !group_member_alive(m)) {
			g->absent_ns[i] = 0;
			continue;
		}
		if (watches(n, g, m)) {
			watch_member(n, g, i, m);
			node_compare_expel(n, g, i);
		} else {
			g->absent_ns[i] = 0;
		}
		watch_feed(n, g, m);
		log_progress(n, g, m);
	}
	if (!node_group_leads_first(n, g))
		return;
	move_horizon(n, g);
	watch_lag(n, g);
}

/* ---- the end ---- */

/* What is on its way from the log for this group alone. */
static void
reads_forget(struct node *n, const struct node_group *g)
{
	for (uint32_t i = 0; i < NODE_READS_MAX; i++) {
		struct node_read *read = &n->read[i];
		bool of_node = read->purpose == READ_LIST_FOR_NODE ||
			       read->purpose == READ_CHUNK_FOR_NODE ||
			       read->purpose == READ_ROW_FOR_NODE ||
			       read->purpose == READ_PART_FOR_NODE;

		/* Those a node waits for: it is answered that there is nothing. */
		if (read->lsn != 0 && read->group == g->number && !of_node)
			read->purpose = READ_FOR_NOBODY;
	}
}

void
node_group_end(struct node *n, struct node_group *g)
{
	struct node_group *last = &n->group[n->group_count - 1];

	must(g->number > 0);
	if (n->started)
		node_attend_group_ends(n, g);
	node_payload_group_ends(n, g);
	node_image_group_ends(n, g);
	for (uint32_t i = 0; i < NODE_NODES_MAX; i++)
		node_cursor_forget(n, &g->behind[i].cursor);
	reads_forget(n, g);
	drop_batches(n, g);
	for (uint32_t i = 0; i < PAXOS_WINDOW_SLOTS; i++)
		value_release(n, &g->recent[i].value);
	node_group_paxos(n, g, &(struct paxos_input){.kind = PAXOS_IN_END});
	*g = *last;
	memset(last, 0, sizeof *last);
	n->group_count--;
}
