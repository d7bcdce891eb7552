/*
 * Any bytes as what node/ reads. The first byte chooses:
 *
 *     0  one message: u8 kind, body; what decodes encodes to the same bytes
 *     1  messages of a node to a member that has joined
 *     2  messages of a member that has joined, to a node
 *     3  the body of a record, u8 which: a chunk, a payload's end, a row of history
 *     4  messages of a node to another one: disks, voters, results, payloads
 *     5  what an administrator does: u8 what, and voters, or a list of keys, or time
 *
 * For 1, 2 and 4 a real session carries what follows: u8 stream and group, u8 kind, u16
 * bytes and a body, over and over. The peer is known and its frames are in order, so that
 * only what they say can be wrong; a trap is a failure. Consensus is left out of 4: a node
 * whose key is listed may break it, and fuzz_paxos.c has the decoder. Other records than
 * those of 3 are written by this very code and guarded by a checksum: a wrong one is ours,
 * and traps.
 */
#include <stdlib.h>
#include <string.h>

#include "base/must.h"
#include "node/internal.h"
#include "node/member.h"
#include "node/node.h"
#include "node/protocol.h"
#include "tests/fuzz/fuzz.h"
#include "wire/wire.h"

#define MS           UINT64_C(1000000)
#define DATAGRAMS    256
#define STREAM_BYTES 16384
#define MESSAGES_MAX 24
#define INCARNATION  40
#define MEMORY_BYTES (24u << 20)

struct datagram {
	bool to_peer;
	uint32_t bytes;
	uint8_t data[1400];
};

/* What is fuzzed, the peer's end of its session, and what is between them. */
struct stage {
	struct member *member; /* one of the two */
	struct node *node;
	struct wire *peer;
	int session;
	bool joined;
	bool peer_is_node;
	bool over; /* the node has said its last word */
	uint64_t now_ns;
	uint64_t timer_ns;
	uint64_t durable;
	uint32_t first, end; /* free-running */
	struct datagram datagram[DATAGRAMS];
};

static const uint8_t epoch[EPOCH_BYTES] = {1, 2, 3};
static const uint8_t uuid_of_group[UUID_BYTES] = {9, 9};
static uint8_t *memory[2]; /* taken once */
static struct stage stage;

static void
put(bool to_peer, const uint8_t *data, uint32_t bytes)
{
	struct datagram *d = &stage.datagram[stage.end % DATAGRAMS];

	if (stage.end - stage.first == DATAGRAMS)
		return; /* lost */
	stage.end++;
	d->to_peer = to_peer;
	d->bytes = bytes;
	memcpy(d->data, data, bytes);
}

static void
member_emits(void *context, const struct member_output *out)
{
	(void)context;
	if (out->kind == MEMBER_OUT_SEND)
		put(true, out->data, out->bytes);
	if (out->kind == MEMBER_OUT_TIMER)
		stage.timer_ns = out->at_ns;
}

static void
node_emits(void *context, const struct node_output *out)
{
	(void)context;
	if (out->kind == NODE_OUT_SEND)
		put(true, out->data, out->bytes);
	if (out->kind == NODE_OUT_TIMER)
		stage.timer_ns = out->at_ns;
	if (out->kind == NODE_OUT_LOG)
		stage.durable = out->lsn;
	if (out->kind == NODE_OUT_DIVERGED || out->kind == NODE_OUT_OUTDATED)
		stage.over = true;
}

static void
member_feed_in(struct member_input in)
{
	struct member_sink sink = {.emit = member_emits};

	in.now_ns = stage.now_ns;
	member_step(stage.member, &in, &sink);
}

/* A disk that is done when the step is. */
static void
node_feed_in(struct node_input in)
{
	struct node_sink sink = {.emit = node_emits};
	uint64_t told = stage.durable;

	in.now_ns = stage.now_ns;
	if (stage.over)
		return;
	node_step(stage.node, &in, &sink);
	for (uint32_t i = 0; i < 64 && told != stage.durable && !stage.over; i++) {
		told = stage.durable;
		node_step(stage.node,
			  &(struct node_input){
				  .kind = NODE_IN_DURABLE, .now_ns = stage.now_ns, .lsn = told},
			  &sink);
	}
}

static struct endpoint
endpoint_of(uint8_t last)
{
	return endpoint_from_ipv4(0x0a000000u + last, 7400);
}

static void
tick(uint64_t wait_ns)
{
	stage.now_ns += wait_ns;
	wire_tick(stage.peer, stage.now_ns);
	if (stage.member != NULL)
		member_feed_in((struct member_input){.kind = MEMBER_IN_TICK});
	else
		node_feed_in((struct node_input){.kind = NODE_IN_TICK});
}

static void
arrive(const struct datagram *d)
{
	if (d->to_peer) {
		struct endpoint from = endpoint_of(1);
		wire_receive(stage.peer, &from, d->data, d->bytes, stage.now_ns);
		return;
	}
	if (stage.member != NULL)
		member_feed_in((struct member_input){.kind = MEMBER_IN_PACKET,
						     .from = endpoint_of(2),
						     .data = d->data,
						     .bytes = d->bytes});
	else
		node_feed_in((struct node_input){.kind = NODE_IN_PACKET,
						 .from = endpoint_of(2),
						 .data = d->data,
						 .bytes = d->bytes});
}

static void
say(enum wire_stream stream, const struct protocol_message *m)
{
	static uint8_t bytes[FRAME_BYTES_MAX];
	struct writer w = writer_over(bytes, sizeof bytes);
	uint32_t count = protocol_encode(m, epoch, &w);
	struct wire_slice slice = {.data = bytes, .bytes = count};

	must(count > 0);
	wire_send(stage.peer, stage.session, stream, &slice, 1, 0);
}

/* A node's part in a member's START. */
static void
play_node(const struct protocol_message *m)
{
	struct protocol_message answer = {.group = 1, .incarnation = INCARNATION};
	struct entry join;

	if (m->kind == PROTOCOL_OPEN) {
		answer.kind = PROTOCOL_GROUP;
		answer.flags = PROTOCOL_GROUP_EXISTS | PROTOCOL_LEADER_HERE;
	} else if (m->kind == PROTOCOL_JOIN) {
		must(entry_decode(&join, m->data, m->bytes));
		answer.kind = PROTOCOL_JOINED;
		answer.index = 39;
		memcpy(answer.nonce, join.join.nonce, NONCE_BYTES);
	} else if (m->kind == PROTOCOL_ATTACH) {
		answer.kind = PROTOCOL_ATTACHED;
		answer.session = m->session;
		answer.index = 42;
		stage.joined = true;
	} else {
		return;
	}
	say(WIRE_CONTROL, &answer);
}

static void
say_join(void)
{
	uint8_t bytes[256];
	struct writer w = writer_over(bytes, sizeof bytes);
	struct entry e = {.kind = ENTRY_JOIN,
			  .join = {.server_uuid = {5}, .nonce = {6}, .host = "h", .host_bytes = 1}};
	struct protocol_message m = {
		.kind = PROTOCOL_JOIN, .flags = PROTOCOL_BOOTSTRAP, .mark = 1, .data = bytes};

	entry_encode(&e, &w);
	memcpy(m.uuid, uuid_of_group, UUID_BYTES);
	m.bytes = (uint32_t)w.bytes;
	say(WIRE_CONTROL, &m);
}

/* Another node's part, which comes before all else: its disk, and it takes this one's. */
static void
say_disk(void)
{
	say(WIRE_CONTROL, &(struct protocol_message){.kind = PROTOCOL_DISK,
						     .incarnation = 9,
						     .flags = PROTOCOL_DISK_TAKEN,
						     .uuid = {7}});
}

/* A member's part. */
static void
play_member(const struct protocol_message *m)
{
	if (m->kind == PROTOCOL_GROUP && !stage.joined)
		say_join();
	if (m->kind == PROTOCOL_JOINED && m->incarnation != 0)
		say(WIRE_CONTROL, &(struct protocol_message){.kind = PROTOCOL_ATTACH,
							     .group = m->group,
							     .incarnation = m->incarnation,
							     .session = 1,
							     .sequence = 1,
							     .index = m->index});
	if (m->kind == PROTOCOL_ATTACHED)
		stage.joined = true;
}

static void
peer_reads(void)
{
	struct wire_event e;
	struct frame frame;
	struct protocol_message m;

	while (wire_next_event(stage.peer, &e)) {
		stage.session = e.session;
		if (e.kind == WIRE_OPENED && stage.peer_is_node)
			say_disk();
		else if (e.kind == WIRE_OPENED && stage.node != NULL) {
			struct protocol_message open = {.kind = PROTOCOL_OPEN};
			memcpy(open.uuid, uuid_of_group, UUID_BYTES);
			say(WIRE_CONTROL, &open);
		}
		if (e.kind != WIRE_MESSAGE || !frame_decode(&frame, e.data, e.bytes) ||
		    !protocol_decode(&m, &frame, e.data, e.bytes))
			continue;
		if (stage.member != NULL)
			play_node(&m);
		else if (!stage.peer_is_node)
			play_member(&m);
		else if (m.kind == PROTOCOL_DISK && (m.flags & PROTOCOL_DISK_TAKEN) != 0)
			stage.joined = true;
	}
}

/* Until nothing is on its way; bounded, since an attacker may keep it going. */
static void
settle(void)
{
	struct wire_packet p;

	for (uint32_t i = 0; i < 200; i++) {
		peer_reads();
		while (wire_next_packet(stage.peer, &p, stage.now_ns))
			put(false, p.data, (uint32_t)p.bytes);
		if (stage.first == stage.end)
			return;
		struct datagram d = stage.datagram[stage.first++ % DATAGRAMS];
		stage.now_ns += 10000;
		arrive(&d);
	}
}

static void
peer_begin(uint8_t kind)
{
	static uint8_t *block;
	struct wire_config c = {
		.sessions_max = 2,
		.datagram_bytes_max = 1400,
		.message_bytes_max = STREAM_BYTES / 2,
		.keepalive_ns = 30 * MS,
		.dead_after_ns = 150 * MS,
		.connect_retry_ns = 30 * MS,
		.self = {.kind = kind, .uuid = {5}, .process = 9, .version = PROTOCOL_VERSION},
	};
	stage.peer_is_node = kind == WIRE_NODE && stage.node != NULL;

	for (int i = 0; i < WIRE_STREAMS; i++)
		c.stream_send_bytes[i] = c.stream_receive_bytes[i] = STREAM_BYTES;
	memcpy(c.self.epoch, epoch, EPOCH_BYTES);
	if (block == NULL)
		block = aligned_alloc(64, (wire_size(&c) + 63) / 64 * 64);
	must(block != NULL);
	stage.peer = wire_init(block, &c);
	wire_random(stage.peer, (const uint8_t[64]){3}, 64);
}

static void
begin(void)
{
	for (int i = 0; i < 2 && memory[i] == NULL; i++) {
		memory[i] = aligned_alloc(64, MEMORY_BYTES);
		must(memory[i] != NULL);
	}
	stage.member = NULL;
	stage.node = NULL;
	stage.joined = false;
	stage.over = false;
	stage.peer_is_node = false;
	stage.session = 0;
	stage.durable = 0;
	stage.first = 0;
	stage.end = 0;
	stage.now_ns = 1000 * MS;
}

static void
begin_member(void)
{
	struct member_config c = {
		.node_count = 1,
		.endpoint = {endpoint_of(2)},
		.server_uuid = {5},
		.inflight_max = 8,
		.transaction_bytes_max = 4096,
		.submission_bytes = 32768,
		.snapshot_entries_max = 64,
		.gtid_intervals_max = 64,
		.datagram_bytes_max = 1400,
		.stream_bytes = STREAM_BYTES,
		.session_dead_ns = 150 * MS,
		.retry_ns = 30 * MS,
		.progress_ns = 20 * MS,
	};
	struct member_start start = {.process = 3, .host = "host", .block_size = 1};
	uint8_t entropy[64] = {7};

	begin();
	must(member_size(&c) <= MEMORY_BYTES);
	stage.member = member_init(memory[0], &c);
	peer_begin(WIRE_NODE);
	memcpy(start.group_uuid, uuid_of_group, UUID_BYTES);
	member_feed_in((struct member_input){
		.kind = MEMBER_IN_RANDOM, .data = entropy, .bytes = sizeof entropy});
	member_feed_in((struct member_input){.kind = MEMBER_IN_START, .start = &start});
	settle();
	must(stage.joined);
}

/* `count` nodes, of which node `self` alone votes: it leads by itself. */
static void
node_boots(uint8_t count, uint8_t self)
{
	struct node_config c = {
		.self = self,
		.node_count = count,
		.leader = self,
		.voters = 1u << self,
		.uuid = {{5}, {1}, {2}},
		.endpoint = {endpoint_of(2), endpoint_of(1), endpoint_of(3)},
		.groups_max = 2,
		.members_max = 3,
		.inflight_max = 8,
		.index_hashes_max = 64,
		.results_max = 1024,
		.history_row = 8,
		.history_links = 4,
		.history_blocks = 16,
		.value_bytes_max = 4096,
		.values_max = 128,
		.horizon = 10,
		.datagram_bytes_max = 1400,
		.stream_bytes = STREAM_BYTES,
		.takeover_ns = 60 * MS,
		.retry_ns = 15 * MS,
		.tail_trust_ns = 100 * MS,
		.session_dead_ns = 150 * MS,
		.gc_ns = 100 * MS,
		.expel_ns = 2500 * MS,
	};
	uint8_t entropy[64] = {7};

	begin();
	memcpy(c.epoch, epoch, EPOCH_BYTES);
	must(node_size(&c) <= MEMORY_BYTES);
	stage.node = node_init(memory[0], &c);
	node_feed_in((struct node_input){.kind = NODE_IN_START,
					 .tail = PAXOS_TAIL_CLEAN,
					 .process = 1,
					 .data = entropy,
					 .bytes = sizeof entropy});
}

static void
begin_node_for_node(void)
{
	struct endpoint to = endpoint_of(1);

	node_boots(2, 1);
	peer_begin(WIRE_NODE);
	wire_connect(stage.peer, &to, NULL, stage.now_ns);
	for (uint32_t i = 0; i < 50 && !stage.joined; i++) {
		settle();
		if (!stage.joined)
			tick(5 * MS);
	}
	must(stage.joined);
	node_directory_found(stage.node, uuid_of_group);
	tick(5 * MS);
	settle();
}

static void
begin_node(void)
{
	struct endpoint to = endpoint_of(1);

	node_boots(1, 0);
	peer_begin(WIRE_MEMBER);
	wire_connect(stage.peer, &to, NULL, stage.now_ns);
	for (uint32_t i = 0; i < 50 && !stage.joined; i++) {
		settle();
		if (!stage.joined)
			tick(5 * MS);
		if (!stage.joined && i % 4 == 3)
			say_join();
	}
	must(stage.joined);
}

static void
messages(struct reader *r)
{
	static uint8_t frame_bytes[FRAME_BYTES_MAX];

	for (uint32_t i = 0; i < MESSAGES_MAX && r->bytes > 4; i++) {
		uint8_t where = reader_u8(r);
		uint8_t kind = reader_u8(r);
		uint32_t bytes = reader_u16(r);
		bytes = bytes < r->bytes ? bytes : (uint32_t)r->bytes;
		bytes = bytes < 4000 ? bytes : 4000;
		struct frame frame = {
			.frame_bytes = FRAME_HEADER_BYTES + bytes,
			.kind = kind,
			.group = where < 128 ? 1 : where % 4,
			.incarnation = stage.member != NULL ? INCARNATION : 2,
		};
		if (stage.peer_is_node && kind < PROTOCOL_OPEN)
			frame.kind = PROTOCOL_OPEN + kind % (PROTOCOL_END - PROTOCOL_OPEN);
		memcpy(frame.epoch, epoch, EPOCH_BYTES);
		memcpy(frame_bytes + FRAME_HEADER_BYTES, reader_take(r, bytes), bytes);
		frame_encode(&frame, frame_bytes);
		struct wire_slice slice = {.data = frame_bytes, .bytes = frame.frame_bytes};
		wire_send(stage.peer, stage.session, (enum wire_stream)(where % WIRE_STREAMS),
			  &slice, 1, 0);
		settle();
		if (i % 8 == 7)
			tick(20 * MS);
	}
	tick(40 * MS);
	settle();
}

static void
list_keys(struct reader *r)
{
	static struct node_key keys[NODE_KEYS_MAX];
	uint32_t count = reader_u8(r) % 8;

	for (uint32_t i = 0; i < count; i++) {
		struct node_key *k = &keys[i];
		*k = (struct node_key){.node = reader_u8(r) & 1, .uuid = {reader_u8(r)}};
		k->group_count = reader_u8(r) % (NODE_KEY_GROUPS_MAX + 1);
		memset(k->key, reader_u8(r), sizeof k->key);
		for (uint32_t g = 0; g < k->group_count; g++)
			k->group[g][0] = reader_u8(r);
	}
	node_feed_in((struct node_input){.kind = NODE_IN_KEYS, .keys = keys, .key_count = count});
}

/* An administrator has no way to make a node trap, whatever he asks for and when. */
static void
administer(struct reader *r)
{
	struct node_input voters = {.kind = NODE_IN_VOTERS};

	for (uint32_t i = 0; i < MESSAGES_MAX && r->bytes > 0; i++) {
		switch (reader_u8(r) % 4) {
		case 0:
			voters.voters = reader_u8(r);
			voters.number = reader_u8(r);
			node_feed_in(voters);
			break;
		case 1:
			voters.voters = reader_u32(r);
			voters.number = reader_u64(r);
			node_feed_in(voters);
			break;
		case 2:
			list_keys(r);
			break;
		default:
			tick(reader_u8(r) * MS);
			break;
		}
		settle();
	}
}

static void
one_message(struct reader *r)
{
	static uint8_t first[FRAME_BYTES_MAX], again[FRAME_BYTES_MAX];
	struct writer w = writer_over(again, sizeof again);
	struct frame frame = {.kind = reader_u8(r), .group = 1, .incarnation = INCARNATION};
	uint32_t bytes = (uint32_t)r->bytes;
	struct protocol_message m;

	frame.frame_bytes = FRAME_HEADER_BYTES + bytes;
	memcpy(frame.epoch, epoch, EPOCH_BYTES);
	if (bytes > 0)
		memcpy(first + FRAME_HEADER_BYTES, reader_take(r, bytes), bytes);
	frame_encode(&frame, first);
	must(frame_decode(&frame, first, frame.frame_bytes));
	if (!protocol_decode(&m, &frame, first, frame.frame_bytes))
		return;
	must(protocol_encode(&m, epoch, &w) == frame.frame_bytes);
	must(memcmp(first + FRAME_HEADER_BYTES, again + FRAME_HEADER_BYTES, bytes) == 0);
}

static void
one_row(struct reader *body)
{
	struct history_row row;
	struct history_link link;
	struct node_result result;

	if (!history_row_decode(&row, body->data, (uint32_t)body->bytes))
		return;
	for (uint32_t i = 0; i < history_links(&row); i++)
		link = history_row_link(&row, i);
	for (uint32_t i = 0; i < row.items; i++) {
		struct reader r = history_row_item(&row, i);

		if (row.series == HISTORY_RESULTS)
			(void)history_result_decode(&result, &r);
		else
			(void)history_link_decode(&link, &r);
	}
}

static void
one_record(struct reader *r)
{
	uint8_t which = reader_u8(r);
	struct spread_chunk chunk;
	struct spread_settled end;

	if (which == 0 && spread_chunk_decode(&chunk, r->data, (uint32_t)r->bytes))
		must(chunk.bytes <= r->bytes);
	else if (which == 1 && spread_settled_decode(&end, r->data, (uint32_t)r->bytes))
		for (uint32_t i = 0; i < end.count; i++)
			(void)spread_settled_lsn(&end, i);
	else if (which == 2)
		one_row(r);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct reader r = reader_over(data + 1, size > 0 ? size - 1 : 0);

	if (size < 2 || size > 65536)
		return 0;
	if (data[0] == 0)
		one_message(&r);
	else if (data[0] == 1)
		begin_member();
	else if (data[0] == 2)
		begin_node();
	else if (data[0] == 3)
		one_record(&r);
	else if (data[0] == 4 || data[0] == 5)
		begin_node_for_node();
	if (data[0] == 1 || data[0] == 2 || data[0] == 4)
		messages(&r);
	if (data[0] == 5)
		administer(&r);
	return 0;
}
