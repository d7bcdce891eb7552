/* A member's sessions to the nodes that may lead next, and to those that refuse it before a word
 * was said, against four nodes that the test plays. */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "node/member.h"
#include "node/protocol.h"
#include "wire/wire.h"

#define US          UINT64_C(1000)
#define MS          UINT64_C(1000000)
#define NODES       4
#define DATAGRAMS   64
#define INCARNATION 40
#define BALLOT      (7u << 8)

struct datagram {
	bool to_member;
	uint8_t node;
	uint32_t bytes;
	uint8_t data[1400];
};

struct bench {
	struct member *member;
	struct wire *node[NODES];
	void *memory[NODES + 1];
	uint64_t now_ns;
	int session[NODES];
	uint8_t epoch[NODES]; /* its first byte */
	uint32_t opens[NODES], attaches[NODES];
	bool down[NODES];
	bool expelled, started;
	enum member_refusal refusal;
	uint64_t timer_ns;
	uint64_t attach_session;
	uint8_t nonce[NONCE_BYTES];
	uint32_t count;
	struct datagram datagram[DATAGRAMS];
};

static struct endpoint
endpoint_of(uint8_t number)
{
	return endpoint_from_ipv4(0x0a000001 + number, 7400);
}

static void
put(struct bench *b, bool to_member, uint8_t node, const void *data, uint32_t bytes)
{
	cr_assert_lt(b->count, DATAGRAMS);
	struct datagram *d = &b->datagram[b->count++];
	*d = (struct datagram){.to_member = to_member, .node = node, .bytes = bytes};
	memcpy(d->data, data, bytes);
}

static void
emit(void *context, const struct member_output *out)
{
	struct bench *b = context;

	b->expelled |= out->kind == MEMBER_OUT_EXPELLED;
	if (out->kind == MEMBER_OUT_TIMER)
		b->timer_ns = out->at_ns;
	if (out->kind == MEMBER_OUT_STARTED) {
		b->started = true;
		b->refusal = out->refusal;
	}
	for (uint8_t node = 0; node < NODES && out->kind == MEMBER_OUT_SEND; node++) {
		struct endpoint at = endpoint_of(node);
		if (memcmp(&at, &out->to, sizeof at) == 0)
			put(b, false, node, out->data, out->bytes);
	}
}

static void
step(struct bench *b, struct member_input in)
{
	in.now_ns = b->now_ns;
	member_step(b->member, &in, &(struct member_sink){.context = b, .emit = emit});
}

static void
flush(struct bench *b, uint8_t node)
{
	struct wire_packet packet;

	while (wire_next_packet(b->node[node], &packet, b->now_ns))
		put(b, true, node, packet.data, (uint32_t)packet.bytes);
}

static void
says(struct bench *b, uint8_t node, struct protocol_message m)
{
	uint8_t bytes[1024];
	uint8_t epoch[EPOCH_BYTES] = {b->epoch[node]};
	struct writer w = writer_over(bytes, sizeof bytes);

	m.group = 1;
	m.incarnation = INCARNATION;
	struct wire_slice slice = {.data = bytes, .bytes = protocol_encode(&m, epoch, &w)};
	cr_assert(wire_send(b->node[node], b->session[node], WIRE_CONTROL, &slice, 1, 0));
	flush(b, node);
}

static void
reads(struct bench *b, uint8_t node)
{
	struct wire_event e;
	struct frame frame;
	struct protocol_message m;
	struct entry join;

	while (wire_next_event(b->node[node], &e)) {
		b->session[node] = e.session;
		if (e.kind != WIRE_MESSAGE)
			continue;
		cr_assert(frame_decode(&frame, e.data, e.bytes));
		cr_assert(protocol_decode(&m, &frame, e.data, e.bytes));
		b->opens[node] += m.kind == PROTOCOL_OPEN;
		b->attaches[node] += m.kind == PROTOCOL_ATTACH;
		b->attach_session = m.kind == PROTOCOL_ATTACH ? m.session : b->attach_session;
		if (m.kind == PROTOCOL_JOIN) {
			cr_assert(entry_decode(&join, m.data, m.bytes));
			memcpy(b->nonce, join.join.nonce, NONCE_BYTES);
		}
	}
	flush(b, node);
}

/* What is on its way arrives, and what that brings about. */
static void
run(struct bench *b)
{
	for (uint32_t i = 0; i < 1000 && b->count > 0; i++) {
		struct datagram d = b->datagram[0];
		struct endpoint from = endpoint_of(d.to_member ? d.node : NODES);

		b->count--;
		memmove(&b->datagram[0], &b->datagram[1], b->count * sizeof d);
		b->now_ns += US;
		if (b->down[d.node])
			continue;
		if (d.to_member) {
			step(b, (struct member_input){.kind = MEMBER_IN_PACKET,
						      .from = from,
						      .data = d.data,
						      .bytes = d.bytes});
		} else {
			wire_receive(b->node[d.node], &from, d.data, d.bytes, b->now_ns);
			reads(b, d.node);
		}
	}
	cr_assert_eq(b->count, 0);
}

static void *
memory(size_t bytes)
{
	size_t whole = (bytes + 63) / 64 * 64;
	void *m = aligned_alloc(64, whole);

	memset(m, 0, whole);
	return m;
}

static void
leads(struct bench *b, uint8_t node, uint64_t ballot)
{
	says(b, node,
	     (struct protocol_message){.kind = PROTOCOL_GROUP,
				       .node = node,
				       .index = ballot,
				       .flags = PROTOCOL_GROUP_EXISTS | PROTOCOL_LEADER_HERE});
	run(b);
}

/* The nodes: so many of them are in the member's list; the epoch of node 1 begins with this byte.
 */
struct played {
	uint8_t listed, epoch;
	uint8_t number[NODES];
	uint32_t version[NODES]; /* 0: this one */
};

/* The member has begun to START. */
static struct bench *
started(const struct played *p)
{
	struct bench *b = calloc(1, sizeof *b);
	struct member_config config = {.node_count = p->listed,
				       .server_uuid = {5},
				       .inflight_max = 16,
				       .transaction_bytes_max = 4096,
				       .submission_bytes = 65536,
				       .snapshot_entries_max = 1024,
				       .gtid_intervals_max = 64,
				       .datagram_bytes_max = 1400,
				       .stream_bytes = 32768,
				       .session_dead_ns = 150 * MS,
				       .retry_ns = 30 * MS,
				       .progress_ns = 20 * MS};
	struct wire_config wire = {.sessions_max = 2,
				   .datagram_bytes_max = 1400,
				   .message_bytes_max = config.stream_bytes / 2,
				   .keepalive_ns = 30 * MS,
				   .dead_after_ns = 150 * MS,
				   .connect_retry_ns = 30 * MS,
				   .self = {.kind = WIRE_NODE}};

	b->now_ns = 1000 * MS;
	b->epoch[1] = p->epoch;
	for (uint8_t node = 0; node < NODES; node++) {
		if (node < p->listed)
			config.endpoint[node] = endpoint_of(node);
		wire.self.version = p->version[node] != 0 ? p->version[node] : PROTOCOL_VERSION;
		wire.self.process = 9 + node;
		wire.self.node = p->number[node];
		wire.self.uuid[0] = 1 + node;
		wire.self.epoch[0] = b->epoch[node];
		b->memory[node] = memory(wire_size(&wire));
		b->node[node] = wire_init(b->memory[node], &wire);
		wire_random(b->node[node], (const uint8_t[64]){3, node}, 64);
	}
	b->memory[NODES] = memory(member_size(&config));
	b->member = member_init(b->memory[NODES], &config);
	step(b, (struct member_input){
			.kind = MEMBER_IN_RANDOM, .data = (const uint8_t[64]){7}, .bytes = 64});
	step(b, (struct member_input){.kind = MEMBER_IN_START,
				      .start = &(struct member_start){
					      .process = 3, .host = "host", .block_size = 1}});
	return b;
}

/* Attached at node 0 of the list, which leads in BALLOT. */
static struct bench *
attached_of(uint8_t listed, const uint8_t number[NODES], uint8_t epoch)
{
	struct played p = {.listed = listed, .epoch = epoch};

	memcpy(p.number, number, sizeof p.number);
	struct bench *b = started(&p);
	run(b);
	leads(b, 0, BALLOT);
	struct protocol_message joined = {.kind = PROTOCOL_JOINED, .index = 39};
	memcpy(joined.nonce, b->nonce, NONCE_BYTES);
	says(b, 0, joined);
	run(b);
	cr_assert_eq(b->attaches[0], 1);
	says(b, 0,
	     (struct protocol_message){.kind = PROTOCOL_ATTACHED, .session = b->attach_session});
	run(b);
	return b;
}

static struct bench *
attached_to(const uint8_t number[NODES], uint8_t epoch)
{
	return attached_of(NODES, number, epoch);
}

static struct bench *
attached_beside(uint8_t epoch)
{
	return attached_to((const uint8_t[NODES]){0, 1, 2, 3}, epoch);
}

static struct bench *
attached(void)
{
	return attached_beside(0);
}

static void
finish(struct bench *b)
{
	for (uint32_t i = 0; i <= NODES; i++)
		free(b->memory[i]);
	free(b);
}

Test(node_member_watch, asks_the_two_nodes_behind_its_own)
{
	struct bench *b = attached();

	for (uint8_t node = 0; node < NODES; node++)
		cr_assert_eq(b->opens[node], node < 3);
	finish(b);
}

/* The silence of its own session would take 150 ms to mean something. */
Test(node_member_watch, goes_at_once_where_a_higher_ballot_leads)
{
	struct bench *b = attached();
	uint64_t before_ns = b->now_ns;

	leads(b, 1, BALLOT + 256 + 1);
	leads(b, 1, BALLOT + 256 + 1); /* the answer to its question there */
	cr_assert_eq(b->attaches[1], 1);
	cr_assert_eq(member_stats(b->member)->failovers, 1);
	cr_assert_lt(b->now_ns - before_ns, MS);
	cr_assert_eq(wire_stats(b->node[1])->sessions_opened, 1, "by the session that is there");
	cr_assert_eq(b->opens[3], 1, "the two behind the new one are asked now");
	finish(b);
}

/* Cut off from the others it does not know yet that it was deposed. */
Test(node_member_watch, believes_no_leader_of_a_lower_ballot)
{
	struct bench *b = attached();

	leads(b, 1, BALLOT);
	leads(b, 2, BALLOT - 256 + 2);
	cr_assert_eq(b->attaches[1] + b->attaches[2], 0);
	cr_assert_eq(member_stats(b->member)->failovers, 0);
	finish(b);
}

/* Who leads is named by number. */
Test(node_member_watch, the_list_need_not_be_in_the_order_of_numbers)
{
	static const uint8_t number[NODES] = {2, 0, 3, 1}, far[NODES] = {4, 2, 1, 6};
	static const struct {
		const uint8_t *number;
		uint8_t named, place;
	} each[] = {{number, 3, 2}, {number, 0, 1}, {far, 1, 2}, {far, 2, 1}, {far, 5, 1}};

	for (uint32_t i = 0; i < sizeof each / sizeof *each; i++) {
		struct bench *b = attached_to(each[i].number, 0);
		uint32_t before[NODES];

		memcpy(before, b->opens, sizeof before);
		says(b, 0,
		     (struct protocol_message){.kind = PROTOCOL_GROUP,
					       .node = each[i].named,
					       .flags = PROTOCOL_GROUP_EXISTS});
		run(b);
		cr_assert_eq(b->opens[each[i].place], before[each[i].place] + 1);
		finish(b);
	}
}

/* Node 0 does not lead, names who does, and says where node 3 is. */
static void
names(struct bench *b, uint8_t leader, uint8_t at)
{
	uint8_t bytes[PROTOCOL_NODE_BYTES];
	struct writer w = writer_over(bytes, sizeof bytes);

	protocol_write_node(&w, &(struct protocol_node){.number = 3, .endpoint = endpoint_of(at)});
	says(b, 0,
	     (struct protocol_message){.kind = PROTOCOL_GROUP,
				       .node = leader,
				       .flags = PROTOCOL_GROUP_EXISTS,
				       .data = bytes,
				       .bytes = sizeof bytes});
	run(b);
}

/* It was added when the list had been written. */
Test(node_member_watch, a_node_that_the_list_lacks_is_learned)
{
	struct bench *b = attached_of(3, (const uint8_t[NODES]){0, 1, 2, 3}, 0);

	names(b, 3, 3);
	cr_assert_eq(b->opens[3], 1);
	leads(b, 3, BALLOT + 256 + 3);
	cr_assert_eq(b->attaches[3], 1);
	finish(b);
}

/* From elsewhere it has another address. */
Test(node_member_watch, a_node_of_the_list_keeps_its_address)
{
	struct bench *b = attached_of(3, (const uint8_t[NODES]){0, 3, 2, 1}, 0);
	uint32_t before = b->opens[1];

	names(b, 3, 3);
	cr_assert_eq(b->opens[1], before + 1);
	cr_assert_eq(b->opens[3], 0);
	finish(b);
}

/* Node 0 goes down, and the member comes to node 1, which is of another epoch. */
static struct bench *
elsewhere(void)
{
	struct bench *b = attached_beside(7);

	says(b, 0,
	     (struct protocol_message){
		     .kind = PROTOCOL_GROUP, .node = 1, .flags = PROTOCOL_GROUP_EXISTS});
	run(b);
	cr_assert_gt(b->opens[1], 1);
	cr_assert(!b->expelled);
	return b;
}

/* It was given up in a force, and is back as it was: what it says ends nothing. */
Test(node_member_watch, a_node_of_another_epoch_that_does_not_lead_is_left)
{
	struct bench *b = elsewhere();

	says(b, 1,
	     (struct protocol_message){
		     .kind = PROTOCOL_GROUP, .node = 2, .flags = PROTOCOL_GROUP_EXISTS});
	b->now_ns += 200 * MS;
	step(b, (struct member_input){.kind = MEMBER_IN_TICK});
	run(b);
	cr_assert(!b->expelled);
	leads(b, 2, BALLOT + 256 + 2);
	cr_assert_eq(b->attaches[2], 1);
	finish(b);
}

/* There an index may be another transaction. */
Test(node_member_watch, another_epoch_that_is_led_ends_the_incarnation)
{
	struct bench *b = elsewhere();

	leads(b, 1, BALLOT + 256 + 1);
	cr_assert(b->expelled);
	cr_assert_eq(b->attaches[1], 0);
	finish(b);
}

/* ---- refused by every node ---- */

/* Until it is refused, or so long. */
static void
run_for(struct bench *b, uint64_t for_ns)
{
	uint64_t end_ns = b->now_ns + for_ns;

	while (b->now_ns < end_ns && !b->started) {
		b->now_ns += MS;
		if (b->now_ns >= b->timer_ns)
			step(b, (struct member_input){.kind = MEMBER_IN_TICK});
		run(b);
	}
}

static const struct played others = {.listed = 3, .number = {0, 1, 2, 3}, .version = {77, 77, 77}};

Test(node_member_refused, all_nodes_are_of_another_version)
{
	struct bench *b = started(&others);

	run_for(b, 1000 * MS);
	cr_assert(b->started);
	cr_assert_eq(b->refusal, MEMBER_REFUSED_VERSION);
	const struct wire_stats *w = wire_stats(b->node[1]);
	const struct endpoint own = endpoint_of(NODES);
	cr_assert_gt(w->other_versions, 0);
	cr_assert_eq(w->other_version, PROTOCOL_VERSION);
	cr_assert(endpoint_equal(&w->other_version_from, &own));
	finish(b);
}

Test(node_member_refused, a_node_that_is_down_does_not_hide_the_reason)
{
	struct bench *b = started(&others);

	b->down[1] = true;
	run_for(b, 2000 * MS);
	cr_assert(b->started);
	cr_assert_eq(b->refusal, MEMBER_REFUSED_VERSION);
	finish(b);
}

Test(node_member_refused, one_node_of_this_version_is_found)
{
	struct played p = others;

	p.version[2] = PROTOCOL_VERSION;
	struct bench *b = started(&p);
	run_for(b, 300 * MS);
	cr_assert(!b->started, "it waits for what that node says");
	cr_assert_eq(wire_stats(b->node[2])->sessions_opened, 1);
	finish(b);
}
