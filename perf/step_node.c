/*
 * A submission through three nodes: a member's datagram in, its verdict back.
 *
 * The whole of node_step(): sessions, codec, replicas, records, certification. Wired
 * as the simulator wires it, without faults, clocks of their own or checkers: a round
 * carries every datagram that was sent in the one before, as bursts, and makes durable
 * what was logged before it. One member submits transactions of 4 rows and 200 bytes;
 * member_step() runs too, and the note says how much of the whole the nodes are.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/must.h"
#include "node/member.h"
#include "node/node.h"
#include "perf/bench_step.h"

#define NODES          3
#define MEMBER         NODES /* its number among the processes */
#define PROCESSES      (NODES + 1)
#define ROUND_NS       10000
#define BOX_MAX        512
#define DATAGRAM_BYTES 1472
#define PAYLOAD_BYTES  200
#define ROWS           4
#define VERDICTS_MAX   256
#define MS             1000000u

struct packet {
	uint32_t from, bytes;
	uint8_t data[DATAGRAM_BYTES];
};

struct box {
	uint32_t count;
	struct packet packet[BOX_MAX];
};

struct appliance {
	uint32_t in_flight;
	uint64_t now_ns;
	struct endpoint at[PROCESSES];
	struct node *node[NODES];
	struct member *member;
	uint64_t timer_ns[PROCESSES], lsn[NODES], durable[NODES];
	struct box box[2][PROCESSES]; /* by turns filled and emptied */
	uint32_t way, self;           /* self: whose step runs */
	bool started, linked;
	uint64_t submitted, decided, random;
	uint32_t verdicts; /* to be reported as committed */
	struct gtid gtid[VERDICTS_MAX];
	uint64_t steps, datagrams, records, bytes, nodes_ns, all_ns;
	struct snapshot_taken taken;
};

/* Its cost, some 25 ns, is in the share that it measures. */
static uint64_t
wall_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void
send(struct appliance *a, const struct endpoint *to, const uint8_t *data, uint32_t bytes)
{
	uint32_t p = 0;

	while (p < PROCESSES && !endpoint_equal(&a->at[p], to))
		p++;
	must(p < PROCESSES && bytes <= DATAGRAM_BYTES);
	struct box *box = &a->box[a->way][p];
	must(box->count < BOX_MAX);
	struct packet *packet = &box->packet[box->count++];
	packet->from = a->self;
	packet->bytes = bytes;
	memcpy(packet->data, data, bytes);
	a->datagrams++;
	a->bytes += bytes;
}

static void
node_emits(void *context, const struct node_output *out)
{
	struct appliance *a = context;

	must(out->kind != NODE_OUT_READ);
	if (out->kind == NODE_OUT_SEND) {
		must(out->after_lsn <= a->durable[a->self]);
		send(a, &out->to, out->data, out->bytes);
	} else if (out->kind == NODE_OUT_LOG) {
		a->lsn[a->self] = out->lsn;
		a->records++;
		a->bytes += out->bytes;
	} else if (out->kind == NODE_OUT_TIMER) {
		a->timer_ns[a->self] = out->at_ns;
	}
}

static void
member_emits(void *context, const struct member_output *out)
{
	struct appliance *a = context;

	if (out->kind == MEMBER_OUT_SEND) {
		send(a, &out->to, out->data, out->bytes);
	} else if (out->kind == MEMBER_OUT_VERDICT) {
		must(out->verdict == MEMBER_ACCEPTED && a->verdicts < VERDICTS_MAX);
		a->gtid[a->verdicts++] = *out->gtid;
		a->decided++;
	} else if (out->kind == MEMBER_OUT_STARTED) {
		must(out->refusal == MEMBER_REFUSED_NONE);
		a->started = true;
	} else if (out->kind == MEMBER_OUT_LINK) {
		a->linked = out->connected;
	} else if (out->kind == MEMBER_OUT_TIMER) {
		a->timer_ns[MEMBER] = out->at_ns;
	}
}

static void
node_give(struct appliance *a, uint32_t n, struct node_input *in)
{
	struct node_sink sink = {a, node_emits};
	uint64_t began = wall_ns();

	a->self = n;
	a->steps++;
	in->now_ns = a->now_ns;
	node_step(a->node[n], in, &sink);
	a->nodes_ns += wall_ns() - began;
}

static void
member_give(struct appliance *a, struct member_input in)
{
	struct member_sink sink = {.context = a, .emit = member_emits};

	a->self = MEMBER;
	in.now_ns = a->now_ns;
	member_step(a->member, &in, &sink);
}

static void
give_packet(struct appliance *a, uint32_t p, const struct packet *packet, bool more)
{
	if (p == MEMBER) {
		member_give(a, (struct member_input){.kind = MEMBER_IN_PACKET,
						     .from = a->at[packet->from],
						     .data = packet->data,
						     .bytes = packet->bytes});
		return;
	}
	struct node_input in = {.kind = NODE_IN_PACKET, .more = more};
	in.from = a->at[packet->from];
	in.data = packet->data;
	in.bytes = packet->bytes;
	node_give(a, p, &in);
}

static void
carry(struct appliance *a)
{
	struct box *full = a->box[a->way];

	a->way ^= 1;
	for (uint32_t p = 0; p < PROCESSES; p++) {
		for (uint32_t i = 0; i < full[p].count; i++)
			give_packet(a, p, &full[p].packet[i], i + 1 < full[p].count);
		full[p].count = 0;
	}
}

/* The server behind the member commits at once. */
static void
commit(struct appliance *a)
{
	for (uint32_t i = 0; i < a->verdicts; i++)
		member_give(
			a, (struct member_input){.kind = MEMBER_IN_COMMITTED, .gtid = &a->gtid[i]});
	a->verdicts = 0;
}

static void
round_of_all(struct appliance *a)
{
	a->now_ns += ROUND_NS;
	for (uint32_t n = 0; n < NODES; n++) {
		struct node_input in = {.kind = NODE_IN_TICK};
		if (a->timer_ns[n] <= a->now_ns)
			node_give(a, n, &in);
		in = (struct node_input){.kind = NODE_IN_DURABLE, .lsn = a->lsn[n]};
		if (a->durable[n] < a->lsn[n]) {
			a->durable[n] = a->lsn[n];
			node_give(a, n, &in);
		}
	}
	if (a->timer_ns[MEMBER] <= a->now_ns)
		member_give(a, (struct member_input){.kind = MEMBER_IN_TICK});
	carry(a);
	commit(a);
}

static bool
not_yet(void *context, const struct gtid *gtid)
{
	(void)context, (void)gtid;
	return false; /* what is executed was reported already, see commit() */
}

static void
submit(struct appliance *a)
{
	static const uint8_t payload[PAYLOAD_BYTES] = {1};
	struct snapshot_executed executed = {.context = a, .contains = not_yet};
	uint64_t hash[ROWS];
	bool taken = snapshot_take(member_snapshots(a->member), &executed, &a->taken);

	must(taken);
	for (uint32_t i = 0; i < ROWS; i++)
		hash[i] = (a->random += 0x9e3779b97f4a7c15u) & ~ENTRY_HASH_SHARED;
	a->submitted++;
	member_give(a, (struct member_input){.kind = MEMBER_IN_SUBMIT,
					     .submission = &(struct member_submission){
						     .sequence = a->taken.sequence,
						     .snapshot = &a->taken.snapshot,
						     .gtid_spec = GTID_AUTOMATIC,
						     .hashes = hash,
						     .hash_count = ROWS,
						     .payload = payload,
						     .payload_bytes = PAYLOAD_BYTES,
					     }});
}

static void
run(void *state, uint32_t count)
{
	struct appliance *a = state;
	uint64_t end = a->submitted + count, began = wall_ns();

	while (a->decided < end) {
		while (a->submitted < end && a->submitted - a->decided < a->in_flight)
			submit(a);
		round_of_all(a);
	}
	a->all_ns += wall_ns() - began;
}

static void
emitted(const void *state, uint64_t *pieces, uint64_t *bytes)
{
	const struct appliance *a = state;

	*pieces = a->datagrams + a->records;
	*bytes = a->bytes;
}

static void
note(const void *state, char out[STEP_NOTE_BYTES])
{
	const struct appliance *a = state;
	double each = (double)a->submitted;

	snprintf(out, STEP_NOTE_BYTES,
		 "node_step %.0f %% of it: %.1f steps, %.1f datagrams, %.1f records each",
		 100 * (double)a->nodes_ns / (double)a->all_ns, (double)a->steps / each,
		 (double)a->datagrams / each, (double)a->records / each);
}

static void *
memory_of(size_t bytes)
{
	size_t whole = (bytes + 63) / 64 * 64;
	void *memory = aligned_alloc(64, whole);

	must(memory);
	memset(memory, 0, whole);
	return memory;
}

/* As synodd sizes a node for a few groups, with the pace of a shared host. */
static void
begin_node(struct appliance *a, uint8_t n)
{
	struct node_config c = {.self = n,
				.node_count = NODES,
				.epoch = {7},
				.groups_max = 2,
				.members_max = 4,
				.inflight_max = 1024,
				.index_hashes_max = 1u << 20,
				.results_max = 65536,
				.value_bytes_max = 64 * 1024,
				.values_max = 1024,
				.horizon = 64,
				.datagram_bytes_max = DATAGRAM_BYTES,
				.stream_bytes = 256 * 1024,
				.takeover_ns = 150 * MS,
				.retry_ns = 20 * MS,
				.tail_trust_ns = 5000ull * MS,
				.session_dead_ns = 500 * MS,
				.gc_ns = 100 * MS,
				.expel_ns = 10000ull * MS};
	uint8_t entropy[64];
	struct node_input in = {.kind = NODE_IN_START, .tail = PAXOS_TAIL_CLEAN, .process = 1};

	memcpy(c.endpoint, a->at, sizeof(struct endpoint) * NODES);
	for (uint8_t i = 0; i < NODES; i++)
		c.uuid[i][0] = (uint8_t)(i + 1);
	memset(entropy, 0x11 * (n + 1), sizeof entropy);
	in.data = entropy;
	in.bytes = sizeof entropy;
	a->timer_ns[n] = UINT64_MAX;
	a->node[n] = node_init(memory_of(node_size(&c)), &c);
	node_give(a, n, &in);
}

static void
begin_member(struct appliance *a)
{
	struct member_config c = {.node_count = NODES,
				  .server_uuid = {9},
				  .inflight_max = 1024,
				  .transaction_bytes_max = 64 * 1024,
				  .submission_bytes = 4u << 20,
				  .snapshot_entries_max = 65536,
				  .gtid_intervals_max = 1024,
				  .datagram_bytes_max = 1400,
				  .stream_bytes = 256 * 1024,
				  .session_dead_ns = 500 * MS,
				  .retry_ns = 50 * MS,
				  .progress_ns = 20 * MS};
	struct member_start start = {.group_uuid = {5},
				     .bootstrap = true,
				     .nonce = {1},
				     .process = 77,
				     .host = "bench",
				     .port = 3306,
				     .version = 90704,
				     .block_size = 1000000};
	uint8_t entropy[64];

	memcpy(c.endpoint, a->at, sizeof(struct endpoint) * NODES);
	memset(entropy, 0x77, sizeof entropy);
	a->member = member_init(memory_of(member_size(&c)), &c);
	member_give(a, (struct member_input){
			       .kind = MEMBER_IN_RANDOM, .data = entropy, .bytes = sizeof entropy});
	member_give(a, (struct member_input){.kind = MEMBER_IN_START, .start = &start});
}

static struct appliance *
begin(uint32_t in_flight)
{
	struct appliance *a = memory_of(sizeof *a);

	a->in_flight = in_flight;
	a->now_ns = 1000ull * MS;
	a->timer_ns[MEMBER] = UINT64_MAX; /* it does not run yet */
	for (uint32_t p = 0; p < PROCESSES; p++)
		a->at[p] = endpoint_from_ipv4(0x0a4d0001u + p, 4000);
	for (uint8_t n = 0; n < NODES; n++)
		begin_node(a, n);
	for (uint32_t i = 0; i < 20000; i++) /* 0.2 s: every session is open */
		round_of_all(a);
	begin_member(a);
	for (uint32_t i = 0; !a->started || !a->linked; i++) {
		must(i < 200000);
		round_of_all(a);
	}
	run(a, 2000);
	a->steps = a->datagrams = a->records = a->bytes = a->nodes_ns = a->all_ns = 0;
	a->submitted = a->decided = 0;
	return a;
}

uint32_t
step_node_works(struct step_work *work)
{
	work[0] = (struct step_work){.what = "node, a submission at 3 nodes, 1 in flight",
				     .state = begin(1)};
	work[1] = (struct step_work){.what = "node, a submission at 3 nodes, 32 in flight",
				     .state = begin(32)};
	for (uint32_t i = 0; i < 2; i++) {
		work[i].run = run;
		work[i].emitted = emitted;
		work[i].hashed = true;
		work[i].note = note;
		work[i].units = 10000;
	}
	work[0].counted = 2;
	return 2;
}
