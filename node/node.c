#include "node/internal.h"

#include "base/must.h"
#include "node/arena.h"

static uint32_t
sessions_max(const struct node_config *c)
{
	return c->members_max * c->groups_max + NODE_NODES_MAX;
}

static struct wire_config
wire_config_of(const struct node_config *c)
{
	struct wire_config w = {
		.sessions_max = sessions_max(c),
		.datagram_bytes_max = c->datagram_bytes_max,
		.message_bytes_max = c->stream_bytes / 2 < WIRE_MESSAGE_BYTES_MAX
					     ? c->stream_bytes / 2
					     : WIRE_MESSAGE_BYTES_MAX,
		.keepalive_ns = c->session_dead_ns / 5,
		.dead_after_ns = c->session_dead_ns,
		.connect_retry_ns = c->retry_ns,
		.self = {.kind = WIRE_NODE, .node = c->self, .version = PROTOCOL_VERSION},
	};
	for (uint32_t i = 0; i < WIRE_STREAMS; i++) {
		w.stream_send_bytes[i] = c->stream_bytes;
		w.stream_receive_bytes[i] = c->stream_bytes;
	}
	w.crypto = c->crypto;
	w.keys_max = NODE_LISTED_MAX;
	w.rekey_ns = c->rekey_ns;
	w.certificates = c->certificates;
	memcpy(w.secret, c->secret, sizeof w.secret);
	memcpy(w.psk, c->psk, sizeof w.psk);
	memcpy(w.self.uuid, c->uuid[c->self], WIRE_UUID_BYTES);
	memcpy(w.self.epoch, c->epoch, EPOCH_BYTES);
	return w;
}

uint32_t
node_horizon_max(const struct node_config *config)
{
	uint32_t fit = PAXOS_HORIZON_MAX;

	while (fit > 0 && node_values_min(config->groups_max, fit) > config->values_max)
		fit--;
	return fit;
}

uint32_t
node_values_min(uint32_t groups_max, uint32_t horizon)
{
	return (2 * (groups_max + 1) + 1) * horizon + 1;
}

uint32_t
node_crypto_slots(const struct node_config *config)
{
	return WIRE_SLOTS(sessions_max(config));
}

static struct pool_config
pool_config_of(const struct node_config *c)
{
	return (struct pool_config){
		.object_count = c->values_max,
		.object_bytes = NODE_HEAD_BYTES + c->value_bytes_max,
	};
}

static const struct gtid_limits scratch_limits = {.sources_max = 256, .intervals_max = 8192};

static struct node *
node_lay_out(struct arena *a, const struct node_config *c)
{
	struct wire_config w = wire_config_of(c);
	struct pool_config p = pool_config_of(c);
	struct node *n = arena_take(a, sizeof *n);
	void *wire = arena_take(a, wire_size(&w));
	void *pool = arena_take(a, pool_size(&p));
	void *groups = arena_take(a, (c->groups_max + 1) * sizeof(struct node_group));
	void *sessions = arena_take(a, sessions_max(c) * sizeof(struct node_session));
	void *payloads = arena_take(a, node_payload_count(c) * sizeof(struct node_payload));
	uint64_t *chunks = arena_take(a, (size_t)node_payload_count(c) *
						 node_payload_chunks_max(c) * sizeof *chunks);
	void *gtids = arena_take(a, gtid_set_size(scratch_limits));
	void *scratch = arena_take(a, FRAME_BYTES_MAX);
	void *memory = arena_take(a, (c->groups_max + 1) * node_group_memory_bytes(c));
	void *output = arena_take(a, sizeof *n->paxos_out);

	if (!n)
		return NULL;
	/* The rest is written before it is read, or cleared by whose it is: rings and
	 * pools that nobody comes to use stay untouched. */
	memset(n, 0, sizeof *n);
	memset(groups, 0, (c->groups_max + 1) * sizeof(struct node_group));
	memset(sessions, 0, sessions_max(c) * sizeof(struct node_session));
	memset(payloads, 0, node_payload_count(c) * sizeof(struct node_payload));
	n->config = *c;
	n->paxos_out = output;
	n->group = groups;
	n->session = sessions;
	n->session_count = sessions_max(c);
	n->payload = payloads;
	n->payload_count = node_payload_count(c);
	for (uint32_t i = 0; i < n->payload_count; i++)
		n->payload[i].lsn = chunks + (size_t)i * node_payload_chunks_max(c);
	n->scratch_gtids = gtid_set_init(gtids, scratch_limits);
	n->scratch = scratch;
	n->group_memory = memory;
	n->group_memory_bytes = node_group_memory_bytes(c);
	n->pool = pool_init(pool, &p);
	n->wire = wire; /* initialised at START, when the process number is known */
	return n;
}

size_t
node_size(const struct node_config *config)
{
	struct arena a = {0};
	node_lay_out(&a, config);
	return a.used;
}

static void
check_history(const struct node_config *c)
{
	if (c->history_row == 0)
		return;
	must(c->history_row <= UINT16_MAX && c->results_max >= 4 * c->history_row);
	must(c->history_links > 0 && c->history_links <= HISTORY_LINKS_MAX);
	must(c->history_blocks > 0 && (c->history_blocks & (c->history_blocks - 1)) == 0);
	must(node_payloads_max(c) >= 2 * c->history_row);
	must(NODE_PLACES_MIN >= 2 * (c->history_row + PAXOS_WINDOW_SLOTS));
	must(HISTORY_HEAD_BYTES + c->history_links * HISTORY_LINK_BYTES +
		     c->history_row * HISTORY_ITEM_BYTES <=
	     c->value_bytes_max);
}

static void
create_group_0(struct node *n)
{
	struct node_founding f = {.voters = n->config.voters,
				  .leader = n->config.leader,
				  .horizon = (uint8_t)n->config.horizon};

	if (f.voters == 0)
		f.voters = n->config.joins ? n->there & ~(1u << n->config.self) : n->there;
	/* A guess in any case, until one is heard; with one who has no vote no image is read. */
	if (f.voters != 0 && !(f.voters >> f.leader & 1))
		f.leader = (uint8_t)__builtin_ctz(f.voters);
	node_group_create(n, 0, &f);
}

struct node *
node_init(void *memory, const struct node_config *config)
{
	must(memory);
	must(config->node_count <= NODE_NODES_MAX);
	must(config->self < config->node_count);
	must((config->results_max & (config->results_max - 1)) == 0);
	check_history(config);
	must(config->value_bytes_max <= PAXOS_VALUE_BYTES_MAX);
	must(config->value_bytes_max + NODE_HEAD_BYTES <= config->stream_bytes / 2);
	if (config->payload_bytes_max > 0) {
		must(config->chunk_bytes >= ENTRY_CHUNK_BYTES_MIN);
		must(config->chunk_bytes <= ENTRY_CHUNK_BYTES_MAX);
		must(config->chunk_bytes <= config->value_bytes_max);
		must(node_payload_chunks_max(config) <= SPREAD_CHUNKS_MAX);
	}

	struct arena a = {.memory = memory};
	struct node *n = node_lay_out(&a, config);
	node_peers_init(n);
	for (uint32_t i = 0; i < n->session_count; i++)
		node_feed_open(n, (int)i);
	for (uint8_t i = 0; i < NODE_NODES_MAX; i++)
		n->session_of[i] = NODE_NO_SESSION;
	n->search.session = NODE_NO_SESSION;
	node_cursor_open(&n->search.cursor, &(struct node_cursor){.series = HISTORY_RESULTS,
								  .purpose = READ_ROW_FOR_SEARCH});
	for (uint8_t i = 0; i < NODE_NODES_MAX; i++)
		node_cursor_open(&n->serving[i].cursor,
				 &(struct node_cursor){.series = HISTORY_PAYLOADS,
						       .purpose = READ_ROW_FOR_NODE,
						       .voter = i});
	create_group_0(n);
	n->voters = paxos_configuration(n->group[0].replica)->voters;
	return n;
}

void
node_emit(struct node *n, const struct node_output *output)
{
	must(n->sink);
	n->sink->emit(n->sink->context, output);
}

/* Completes the header of a frame whose body stands at frame + 64, and gives it
 * to the log. */
void
node_log(struct node *n, uint8_t *frame, uint32_t frame_bytes, uint8_t kind, uint32_t group)
{
	struct frame header = {
		.frame_bytes = frame_bytes,
		.kind = kind,
		.group = group,
		.source = n->config.self,
		.incarnation = n->process,
		.lsn = n->lsn_next,
	};
	memcpy(header.epoch, n->config.epoch, EPOCH_BYTES);
	frame_encode(&header, frame);
	n->lsn_next += frame_bytes;
	if (kind != NODE_RECORD_SHOWN)
		n->matter_lsn = n->lsn_next;
	node_emit(n, &(struct node_output){
			     .kind = NODE_OUT_LOG,
			     .data = frame,
			     .bytes = frame_bytes,
			     .group = group,
			     .lsn = n->lsn_next,
		     });
}

bool
node_read_begin(struct node *n, const struct node_read *read, uint32_t bytes)
{
	for (uint32_t i = 0; i < NODE_READS_MAX; i++) {
		if (n->read[i].lsn != 0)
			continue;
		n->read[i] = *read;
		n->reads_open++;
		node_emit(n, &(struct node_output){
				     .kind = NODE_OUT_READ,
				     .lsn = read->lsn,
				     .bytes = bytes,
				     .group = read->group,
				     .slot = read->slot,
			     });
		return true;
	}
	return false;
}

static void
value_read(struct node *n, const struct node_read *read, const struct frame *frame,
	   const uint8_t *body)
{
	struct paxos_message m = {0};
	const uint8_t *value = NULL;
	bool good = body &&
		    paxos_decode(&m, frame->kind, body, frame->frame_bytes - FRAME_HEADER_BYTES,
				 &value) &&
		    m.slot == read->slot;

	if (read->purpose == READ_VALUE_FOR_FEED) {
		node_feed_value_read(n, read, good ? value : NULL, m.value.bytes);
		return;
	}
	struct paxos_input answer = {
		.kind = PAXOS_IN_READ_DONE,
		.from = read->voter,
		.slot = read->slot,
		.found = good,
		.value = {.handle = PAXOS_NO_VALUE, .change = m.value.change},
	};
	if (good && m.value.bytes > 0) {
		answer.found = pool_take(n->pool, &answer.value.handle);
		if (answer.found) {
			answer.value.bytes = m.value.bytes;
			memcpy((uint8_t *)pool_at(n->pool, answer.value.handle) + NODE_HEAD_BYTES,
			       value, m.value.bytes);
		}
	}
	node_group_paxos(n, node_group_by_number(n, read->group), &answer);
}

/* Every read of this record is answered; `body` is NULL where it is not what was
 * asked for. */
static void
read_done(struct node *n, const struct node_input *in)
{
	struct frame frame = {0};
	bool found = frame_decode(&frame, in->data, in->bytes);

	for (uint32_t i = 0; i < NODE_READS_MAX; i++) {
		struct node_read read = n->read[i];
		bool good = found && frame.group == read.group;
		const uint8_t *body = good ? in->data + FRAME_HEADER_BYTES : NULL;
		uint32_t bytes = good ? frame.frame_bytes - FRAME_HEADER_BYTES : 0;

		if (read.lsn == 0 || read.lsn != in->lsn)
			continue;
		n->read[i].lsn = 0;
		n->reads_open--;
		switch (read.purpose) {
		case READ_VALUE_FOR_VOTER:
		case READ_VALUE_FOR_FEED:
			value_read(n, &read, &frame, body);
			break;
		case READ_LIST_FOR_FEED:
		case READ_CHUNK_FOR_FEED:
			node_feed_payload_read(n, &read, body, bytes);
			break;
		case READ_LIST_FOR_NODE:
		case READ_CHUNK_FOR_NODE:
			node_move_read(n, &read, body, bytes);
			break;
		case READ_ROW_FOR_FEED:
		case READ_ROW_FOR_SEARCH:
		case READ_ROW_FOR_NODE:
		case READ_ROW_FOR_VOTER:
			node_cursor_read(n, &read, body, bytes);
			break;
		case READ_LIST_FOR_APPLY:
		case READ_CHUNK_FOR_APPLY:
			node_write_set_read(n, &read, body, bytes);
			break;
		case READ_PART_FOR_NODE:
		case READ_PART_FOR_LOAD:
			node_image_read(n, &read, body, bytes);
			break;
		case READ_FOR_NOBODY:
			break;
		}
	}
}

/*
 * ---- holes ----
 *
 * The disk lost records, or they rotted, and the log has others behind them:
 *
 *     [ replayed ][ missing ][ void ][ HOLE ][ replayed ]
 *                 ^ hole_lsn
 *
 * What lies behind a hole cannot be replayed. A record leans on those before it: a mark
 * of delivery means the values accepted last, which the hole may hold; a chunk follows the
 * one before. So the process that finds a hole begins as if the log had ended there, in
 * doubt (PAXOS_TAIL_MISSING), and learns the rest from the others. Its first record,
 * HOLE, says so to later replays: up to it, nothing counts. One that a hole swallowed
 * says nothing: then all behind the new hole is void, too. A log that was trimmed up to a round
 * behind HOLE may begin amid what is void, and that is as if it began with HOLE.
 *
 * The doubt stands in each group's START behind HOLE. Until it does, `holed` of the group
 * keeps it; a group without any START, because it was created in what is void, has it too.
 */

static void
hole_begins(struct node *n)
{
	if (!n->hole_open)
		n->hole_lsn = n->lsn_next;
	n->hole_open = true;
}

static void
hole_known(struct node *n, uint64_t end_lsn)
{
	must(end_lsn >= n->hole_lsn);
	n->lost_bytes += end_lsn - n->hole_lsn;
	n->hole_open = false;
	n->holed = true;
	n->taking.active = false;
	for (uint32_t i = 0; i < n->group_count; i++)
		n->group[i].holed = true;
}

static void
hole_record(struct node *n, const struct frame *frame, const uint8_t *data)
{
	must(frame->frame_bytes == FRAME_HEADER_BYTES + 8);
	uint64_t first = bytes_get_u64(data + FRAME_HEADER_BYTES);
	must(first <= frame->lsn);
	if (!n->hole_open)
		n->hole_lsn = frame->lsn;
	else if (first != n->hole_lsn)
		return; /* of an older hole, and void itself */
	if (first < n->lsn_first)
		node_image_await(n);
	hole_known(n, frame->lsn);
}

/* Replay is over, and the log ends here. */
static void
hole_at_start(struct node *n, const struct node_input *in)
{
	bool alone = n->there == 1u << n->config.self;
	bool lost = node_image_is_lost(n) || (node_image_is_unconfirmed(n) && !alone);

	must(in->lsn >= n->lsn_next);
	if (lost)
		hole_begins(n);
	if (in->lsn > n->lsn_next || (in->tail == PAXOS_TAIL_MISSING && !n->hole_open))
		hole_begins(n);
	n->lsn_next = in->lsn;
	n->lsn_durable = in->lsn;
	n->log_end = in->lsn;
	n->matter_lsn = in->lsn;
	if (!n->hole_open)
		return;
	if (alone) {
		n->ended = true;
		node_emit(n, &(struct node_output){.kind = NODE_OUT_LOST, .lsn = n->hole_lsn});
		return;
	}
	bytes_put_u64(n->scratch + FRAME_HEADER_BYTES, n->hole_lsn);
	hole_known(n, n->lsn_next);
	n->repairs = true;
	node_log(n, n->scratch, FRAME_HEADER_BYTES + 8, NODE_RECORD_HOLE, 0);
	if (lost)
		node_image_lose(n);
}

static void
start(struct node *n, const struct node_input *in)
{
	must(!n->started);
	must(in->bytes >= 64);
	n->process = in->process;
	n->tail = in->tail;
	n->nonce = bytes_get_u64(in->data);
	hole_at_start(n, in);
	if (!n->ended)
		node_image_start(n);
	n->started = true;
	if (n->ended)
		return;
	node_force_start(n);
	n->images.from_lsn = n->lsn_first;
	struct wire_config w = wire_config_of(&n->config);
	w.self.process = n->process;
	n->wire = wire_init(n->wire, &w);
	wire_random(n->wire, in->data + 8, in->bytes - 8);
	wire_durable(n->wire, n->lsn_durable);
	node_peers_connect(n);
	node_peers_look(n);
	for (uint32_t i = 0; i < n->group_count; i++)
		node_group_start(n, &n->group[i]);
	n->start_lsn = n->lsn_next;
	node_payload_start(n);
}

/* During replay: as far as the log goes, without a bound. */
static void
apply_all(struct node *n)
{
	must(!n->started);
	for (uint32_t i = 0; i < n->group_count; i++)
		node_group_apply(n, &n->group[i], UINT32_MAX);
}

/* Not what an image covers that the log begins with. */
static bool
is_replayed(struct node *n, const struct frame *frame)
{
	const struct node_group *g = node_group_by_number(n, frame->group);
	bool own = frame->kind < NODE_RECORD_GROUP;

	if (frame->kind == NODE_RECORD_SHOWN || frame->kind == NODE_RECORD_FORCED)
		return true;
	if (frame->kind == NODE_RECORD_GROUP || frame->kind == NODE_RECORD_DROPPED)
		return n->group[0].load == LOAD_NONE || n->group[0].load == LOAD_TAKEN;
	return g &&
	       (g->load == LOAD_NONE || g->load == LOAD_TAKEN || (g->load == LOAD_TAIL && own));
}

static void
trimmed(struct node *n, uint64_t lsn)
{
	must(n->lsn_next == 0);
	n->lsn_first = lsn;
	n->lsn_next = lsn;
	n->lsn_durable = lsn;
	n->group[0].load = LOAD_WANTED;
}

/* As node_init() leaves it, but for how far the log is read. */
void
node_reset(struct node *n)
{
	struct pool_config p = pool_config_of(&n->config);

	must(!n->started);
	for (uint32_t i = 0; i < n->group_count; i++)
		node_emit(n, &(struct node_output){.kind = NODE_OUT_IMAGE,
						   .group = n->group[i].number});
	memset(n->group, 0, (n->config.groups_max + 1) * sizeof(struct node_group));
	for (uint32_t i = 0; i < n->payload_count; i++)
		n->payload[i].used = false;
	n->payloads_used = 0;
	n->payloads_due_bytes = 0;
	n->group_count = 0;
	n->directory = (struct node_directory){0};
	node_peers_init(n);
	n->pool = pool_init(n->pool, &p);
	create_group_0(n);
}

static void
record(struct node *n, const struct node_input *in)
{
	struct frame frame;

	must(!n->started);
	must(n->reads_open == 0);
	must(frame_decode(&frame, in->data, in->bytes));
	must(frame.frame_bytes == in->bytes);
	must(frame.lsn >= n->lsn_next);
	must(in->lsn == frame.lsn + in->bytes);
	if (frame.lsn > n->lsn_next)
		hole_begins(n);
	if (frame.incarnation > n->process_before)
		n->process_before = frame.incarnation; /* of what is void, too */
	n->lsn_next = in->lsn;
	n->lsn_durable = in->lsn;
	if (frame.kind == NODE_RECORD_HOLE)
		hole_record(n, &frame, in->data);
	if (n->hole_open || frame.kind == NODE_RECORD_HOLE)
		return;
	if (frame.kind == NODE_RECORD_IMAGE) {
		node_image_record(n, &frame, in->data);
		return;
	}
	/* Replay may meet the end of a group in the record that says how far group 0 is,
	 * and in the same step the group has logged something. */
	if (node_directory_gone(n, frame.group) || !is_replayed(n, &frame))
		return;
	if (frame.kind == NODE_RECORD_CHUNK || frame.kind == NODE_RECORD_SETTLED) {
		node_payload_record(n, &frame, in->data);
		apply_all(n);
		return;
	}
	if (frame.kind == NODE_RECORD_FORCED) {
		node_force_record(n, &frame, in->data);
		return;
	}
	if (frame.kind == NODE_RECORD_SHOWN) {
		node_disks_record(n, &frame, in->data);
		return;
	}
	if (frame.kind == NODE_RECORD_HISTORY) {
		node_history_record(n, &frame, in->data);
		return;
	}
	if (frame.kind != NODE_RECORD_GROUP && frame.kind != NODE_RECORD_DROPPED) {
		node_group_record(n, &frame, in->data);
		return;
	}
	node_directory_record(n, &frame, in->data);
}

void
node_link_changed(struct node *n, uint8_t node, bool up)
{
	n->link_up = up ? n->link_up | 1u << node : n->link_up & ~(1u << node);
	if (!up)
		node_move_forget(n, node);
	for (uint32_t i = 0; i < n->group_count; i++)
		node_group_paxos(
			n, &n->group[i],
			&(struct paxos_input){.kind = PAXOS_IN_LINK, .from = node, .up = up});
}

static void
opened(struct node *n, const struct wire_event *event)
{
	uint32_t peer = event->peer.node;

	if (event->peer.kind != WIRE_NODE) {
		node_attend_open(n, event->session, event);
		return;
	}
	if (!node_peers_right(n, peer, event->peer.uuid)) {
		wire_close(n->wire, event->session);
		return;
	}
	memcpy(n->session[event->session].key, event->peer.key, CRYPTO_KEY_BYTES);
	node_disks_opened(n, event->session, (uint8_t)peer);
}

static void
closed(struct node *n, int session)
{
	struct node_session *s = &n->session[session];

	if (s->stage == SESSION_NODE) {
		s->stage = SESSION_NONE;
		node_link_changed(n, s->node, false);
	} else if (s->stage == SESSION_DISK) {
		s->stage = SESSION_NONE;
	} else {
		node_attend_close(n, session);
	}
}

static void
message(struct node *n, const struct wire_event *event)
{
	struct node_session *s = &n->session[event->session];
	struct frame frame;

	if (!frame_decode(&frame, event->data, event->bytes) || frame.frame_bytes != event->bytes) {
		n->dropped_undecodable++;
		return;
	}
	if (memcmp(frame.epoch, n->config.epoch, EPOCH_BYTES) != 0) {
		n->dropped_epoch++;
		return;
	}
	/* It may have its link already, and speak. */
	bool of_node = s->stage == SESSION_NODE || (s->stage == SESSION_DISK && s->disk_right);
	if (s->stage <= SESSION_NODE && frame.kind == PROTOCOL_DISK)
		node_disks_message(n, event->session, &frame, event->data, event->bytes);
	else if (of_node && frame.kind == PROTOCOL_FORCE)
		node_force_message(n, &frame, event->data, event->bytes);
	else if (of_node && (frame.kind == PROTOCOL_VOTERS || frame.kind == PROTOCOL_LEAD))
		node_directory_message(n, &frame, event->data, event->bytes);
	else if (of_node && frame.kind == PROTOCOL_ORDER)
		node_order_message(n, &frame, event->data, event->bytes);
	else if (of_node && (frame.kind == PROTOCOL_RESULTS || frame.kind == PROTOCOL_COMPARE))
		node_compare_message(n, s->node, &frame, event->data, event->bytes);
	else if (of_node && frame.kind >= PROTOCOL_IMAGE && frame.kind <= PROTOCOL_PART)
		node_image_message(n, s->node, &frame, event->data, event->bytes);
	else if (of_node && frame.kind == PROTOCOL_LACK)
		node_cut_message(n, s->node, &frame, event->data, event->bytes);
	else if (of_node && frame.kind == PROTOCOL_ROOM)
		node_room_message(n, s->node, &frame, event->data, event->bytes);
	else if (of_node && (frame.kind == PROTOCOL_SURVEY || frame.kind == PROTOCOL_HIGHEST))
		node_barrier_message(n, s->node, &frame, event->data, event->bytes);
	else if (of_node && frame.kind >= PROTOCOL_OPEN)
		node_move_message(n, event->session, &frame, event->data, event->bytes);
	else if (of_node)
		node_group_message(n, s->node, &frame, event->data);
	else if (s->stage > SESSION_NODE)
		node_attend_message(n, event->session, &frame, event->data, event->bytes);
}

static void
take_events(struct node *n)
{
	struct wire_event event;

	while (!n->ended && wire_next_event(n->wire, &event)) {
		switch (event.kind) {
		case WIRE_OPENED:
			opened(n, &event);
			break;
		case WIRE_CLOSED:
			closed(n, event.session);
			break;
		case WIRE_MESSAGE:
		case WIRE_HEARD:
			message(n, &event);
			break;
		case WIRE_ROOM:
			if (n->session[event.session].stage == SESSION_NODE &&
			    event.stream == WIRE_FEED)
				node_move_room(n, n->session[event.session].node);
			break;
		case WIRE_REFUSED:
			break;
		}
	}
}

static void
send_packets(struct node *n)
{
	struct wire_packet p;

	while (wire_next_packet(n->wire, &p, n->now_ns)) {
		must(p.after_lsn <= n->lsn_durable);
		node_emit(n, &(struct node_output){
				     .kind = NODE_OUT_SEND,
				     .to = p.to,
				     .data = p.data,
				     .bytes = (uint32_t)p.bytes,
				     .after_lsn = p.after_lsn,
			     });
	}
}

static uint64_t
sooner(uint64_t a_ns, uint64_t b_ns)
{
	return a_ns < b_ns ? a_ns : b_ns;
}

/* What every step ends with: proposals leave, deliveries are applied, members
 * are fed, datagrams go out, and the next wake-up is named. */
static void
finish(struct node *n)
{
	uint64_t timer_ns = UINT64_MAX;

	for (uint32_t i = 0; i < n->group_count; i++) {
		struct node_group *g = &n->group[i];

		if (n->now_ns >= g->replica_timer_ns)
			node_group_paxos(n, g, &(struct paxos_input){.kind = PAXOS_IN_TICK});
		if (n->now_ns >= g->duty_ns)
			node_group_duties(n, g);
		if (!n->hold_proposals)
			node_group_flush(n, g);
		node_barrier_fill(n, g);
		if (g->submits_held || node_is_narrow(n) || g->scarce != 0)
			node_attend_hold(n, g, node_attend_is_full(n, g));
		if (node_group_apply(n, g, NODE_APPLY_HASHES))
			timer_ns = n->now_ns;
		node_barrier(n, g);
		if (g->held && !node_group_holds(n, g))
			g->replica_timer_ns = n->now_ns;
		if (g->write_set.waiting && !g->write_set.reading &&
		    n->now_ns + n->config.retry_ns < timer_ns)
			timer_ns = n->now_ns + n->config.retry_ns;
	}
	node_payload_end(n);
	node_cut(n);
	for (uint32_t i = 0; i < n->group_count; i++) {
		const struct node_group *g = &n->group[i];

		if (node_history_write(n, &n->group[i]) && g->applied_slot < g->delivered_slot)
			timer_ns = n->now_ns;
		node_history_serve(n, &n->group[i]);
	}
	if (node_search(n))
		timer_ns = n->now_ns;
	if (node_image(n))
		timer_ns = n->now_ns;
	node_move(n);
	n->feed_ns = UINT64_MAX;
	uint32_t unfed = n->attached_count;
	for (uint32_t i = 0; unfed > 0 && i < n->session_count; i++) {
		if (n->session[i].stage != SESSION_ATTACHED)
			continue;
		unfed--;
		node_feed(n, (int)i);
	}
	take_events(n);
	if (n->ended)
		return;
	send_packets(n);
	for (uint32_t i = 0; i < n->group_count; i++) {
		if (n->group[i].replica_timer_ns < timer_ns)
			timer_ns = n->group[i].replica_timer_ns;
		if (n->group[i].duty_ns < timer_ns && node_group_has_duty(n, &n->group[i]))
			timer_ns = n->group[i].duty_ns;
		timer_ns = sooner(timer_ns, node_barrier_timer_ns(&n->group[i]));
	}
	timer_ns = sooner(timer_ns, node_disks_say(n));
	timer_ns = sooner(timer_ns, node_force_run(n));
	timer_ns = sooner(timer_ns, n->feed_ns);
	timer_ns = sooner(timer_ns, node_room(n));
	timer_ns = sooner(timer_ns, node_move_timer_ns(n));
	timer_ns = sooner(timer_ns, wire_timer_ns(n->wire));
	timer_ns = sooner(timer_ns, node_image_timer_ns(n));
	node_emit(n, &(struct node_output){.kind = NODE_OUT_TIMER, .at_ns = timer_ns});
}

static void
durable(struct node *n, uint64_t lsn)
{
	must(lsn >= n->lsn_durable);
	must(lsn <= n->lsn_next);
	n->lsn_durable = lsn;
	wire_durable(n->wire, lsn);
	for (uint32_t i = 0; i < n->group_count; i++)
		node_group_paxos(n, &n->group[i],
				 &(struct paxos_input){.kind = PAXOS_IN_DURABLE, .lsn = lsn});
}

static void
log_failed(struct node *n)
{
	n->log_failed = true;
	for (uint32_t i = 0; i < n->group_count; i++)
		node_group_paxos(n, &n->group[i],
				 &(struct paxos_input){.kind = PAXOS_IN_LOG_FAILED});
}

static void
take_secrets(struct node *n, const struct node_secrets *secrets)
{
	static const uint8_t none[CRYPTO_KEY_BYTES];
	bool before = memcmp(secrets->before, none, sizeof none) != 0;

	memcpy(n->config.secret, secrets->now, sizeof n->config.secret);
	wire_secrets(n->wire, secrets->now, before ? secrets->before : NULL);
}

/* False: the step ends with it. Of a replay nothing follows. */
static bool
take_input(struct node *n, const struct node_input *in)
{
	switch (in->kind) {
	case NODE_IN_RECORD:
		record(n, in);
		return false;
	case NODE_IN_TRIMMED:
		trimmed(n, in->lsn);
		return false;
	case NODE_IN_START:
		start(n, in);
		if (n->ended)
			return false;
		break;
	case NODE_IN_FORCE:
		node_force(n, &in->force, in->here_only);
		break;
	case NODE_IN_VOTERS:
		node_directory_change(n, &(struct node_change){.voters = in->voters,
							       .horizon = in->horizon,
							       .number = in->number});
		break;
	case NODE_IN_LEAD:
		node_directory_lead(n, in->number, in->all_lead);
		break;
	case NODE_IN_ORDER:
		node_order(n, in->order);
		break;
	case NODE_IN_KEYS:
		node_attend_keys(n, in->keys, in->key_count);
		break;
	case NODE_IN_SECRETS:
		take_secrets(n, in->secrets);
		break;
	case NODE_IN_CERTIFICATES:
		n->config.certificates = in->certificates;
		wire_certificates(n->wire, in->certificates);
		break;
	case NODE_IN_PACKET:
		wire_receive(n->wire, &in->from, in->data, in->bytes, in->now_ns);
		take_events(n);
		break;
	case NODE_IN_DURABLE:
		n->disk_bytes = in->disk_bytes;
		durable(n, in->lsn);
		break;
	case NODE_IN_LOG_FAILED:
		log_failed(n);
		break;
	case NODE_IN_READ_DONE:
		read_done(n, in);
		if (n->started)
			break;
		apply_all(n);
		return false;
	case NODE_IN_RANDOM:
		wire_random(n->wire, in->data, in->bytes);
		break;
	case NODE_IN_TICK:
		wire_tick(n->wire, in->now_ns);
		take_events(n);
		break;
	}
	return true;
}

void
node_step(struct node *n, const struct node_input *in, const struct node_sink *sink)
{
	must(n && in && sink);
	must(in->now_ns >= n->now_ns);
	must(n->started || in->kind == NODE_IN_RECORD || in->kind == NODE_IN_TRIMMED ||
	     in->kind == NODE_IN_READ_DONE || in->kind == NODE_IN_START);
	must(!n->ended);
	n->sink = sink;
	n->now_ns = in->now_ns;
	n->room_bytes = in->room_bytes;
	n->hold_proposals = in->more;
	if (n->force_lsn != 0)
		node_force_wait(n, in);
	else if (take_input(n, in))
		finish(n);
	n->sink = NULL;
}
