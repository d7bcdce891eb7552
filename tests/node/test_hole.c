/* A log that lacks records: what lies behind the hole is void, the process that finds it
 * says so in the log, and the doubt lasts until the other nodes end it. */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "node/internal.h"

#define LOG_BYTES   65536
#define RECORDS_MAX 64

/* One of three nodes, alone, and its disk. */
struct bench {
	struct node *node;
	void *memory;
	uint8_t log[LOG_BYTES];
	uint64_t bytes;
	uint64_t first[RECORDS_MAX]; /* where each record begins */
	uint32_t count;
	bool gone[RECORDS_MAX];
};

static const struct node_config small = {
	.node_count = 3,
	.self = 1,
	.groups_max = 2,
	.members_max = 2,
	.inflight_max = 16,
	.index_hashes_max = 1024,
	.results_max = 64,
	.value_bytes_max = 4096,
	.values_max = 128,
	.horizon = 16,
	.datagram_bytes_max = 1400,
	.stream_bytes = 16384,
	.takeover_ns = 60000000,
	.retry_ns = 15000000,
	.tail_trust_ns = 1000000000,
	.session_dead_ns = 150000000,
	.gc_ns = 100000000,
	.expel_ns = 1000000000,
};

static struct bench bench;

static void
emit(void *context, const struct node_output *out)
{
	(void)context;
	if (out->kind != NODE_OUT_LOG)
		return;
	cr_assert_leq(bench.bytes + out->bytes, LOG_BYTES);
	cr_assert_lt(bench.count, RECORDS_MAX);
	cr_assert_eq(out->lsn, bench.bytes + out->bytes);
	memcpy(bench.log + bench.bytes, out->data, out->bytes);
	bench.first[bench.count++] = bench.bytes;
	bench.bytes += out->bytes;
}

static void
give(struct node_input in)
{
	struct node_sink sink = {.emit = emit};

	node_step(bench.node, &in, &sink);
}

static struct frame
frame_of(uint32_t record)
{
	struct frame frame = {0};
	uint64_t first = bench.first[record];

	cr_assert(frame_decode(&frame, bench.log + first, bench.bytes - first));
	return frame;
}

/* The next life: what the disk still has, then START with this tail. Answers the number
 * of its first record. */
static uint32_t
live(enum paxos_tail tail)
{
	static uint64_t process;
	uint32_t count = bench.count;

	free(bench.memory);
	bench.memory = aligned_alloc(64, (node_size(&small) + 63) / 64 * 64);
	cr_assert(bench.memory);
	bench.node = node_init(bench.memory, &small);
	for (uint32_t i = 0; i < count; i++) {
		uint32_t bytes = frame_of(i).frame_bytes;
		if (!bench.gone[i])
			give((struct node_input){.kind = NODE_IN_RECORD,
						 .data = bench.log + bench.first[i],
						 .bytes = bytes,
						 .lsn = bench.first[i] + bytes});
	}
	give((struct node_input){.kind = NODE_IN_START,
				 .process = ++process,
				 .tail = tail,
				 .lsn = bench.bytes,
				 .data = (const uint8_t[64]){5},
				 .bytes = 64});
	return count;
}

/* Logs GROUP, and START of the group. */
static void
found(void)
{
	/* Kind; uuid, number, voters, leader, horizon. */
	static const uint8_t founding[31] = {1, 9, [25] = 7, [30] = 16};
	struct node_sink sink = {.emit = emit};

	bench.node->sink = &sink;
	node_directory_apply(bench.node, founding, sizeof founding, 0);
	bench.node->sink = NULL;
}

/* The process that made a group: START, GROUP, START of the group. */
static void
setup(void)
{
	memset(&bench, 0, sizeof bench);
	live(PAXOS_TAIL_CLEAN);
	found();
	cr_assert_eq(bench.count, 3);
}

static void
finish(void)
{
	free(bench.memory);
}

TestSuite(node_hole, .init = setup, .fini = finish);

static struct node_status
status(void)
{
	struct node_status now;

	node_status(bench.node, &now);
	return now;
}

/* START with the doubt that only the others end. */
static void
expect_doubt(uint32_t record)
{
	struct paxos_message m;
	const uint8_t *value;
	struct frame frame = frame_of(record);

	cr_assert_eq(frame.kind, PAXOS_RECORD_START);
	cr_assert(paxos_decode(&m, frame.kind, bench.log + bench.first[record] + FRAME_HEADER_BYTES,
			       frame.frame_bytes - FRAME_HEADER_BYTES, &value));
	cr_assert_eq(m.count, PAXOS_TAIL_MISSING);
	cr_assert(status().repairing);
	cr_assert(!status().voting);
}

Test(node_hole, none_is_no_doubt)
{
	uint32_t next = live(PAXOS_TAIL_CLEAN);

	cr_assert_eq(frame_of(next).kind, PAXOS_RECORD_START);
	cr_assert_eq(status().group_count, 2);
	cr_assert_eq(status().lost_bytes, 0);
	cr_assert(!status().repairing);
	cr_assert(status().voting);
}

/* The group's START is there, but the record that made the group is not. */
Test(node_hole, what_lies_behind_it_is_void)
{
	bench.gone[1] = true;
	uint64_t end = bench.bytes;
	uint32_t next = live(PAXOS_TAIL_CLEAN);

	cr_assert_eq(frame_of(next).kind, NODE_RECORD_HOLE);
	expect_doubt(next + 1);
	cr_assert_eq(status().group_count, 1);
	cr_assert_eq(status().lost_lsn, bench.first[1]);
	cr_assert_eq(status().lost_bytes, end - bench.first[1]);
}

/* It may have voted there, in what is void. */
Test(node_hole, what_begins_once_more_begins_in_doubt)
{
	bench.gone[1] = true;
	live(PAXOS_TAIL_CLEAN);
	found();
	expect_doubt(bench.count - 1);
	cr_assert_eq(frame_of(bench.count - 1).group, 1);
	live(PAXOS_TAIL_CLEAN);
	expect_doubt(bench.count - 1);
	cr_assert_eq(frame_of(bench.count - 1).group, 1);
}

Test(node_hole, one_that_is_known_is_passed_over)
{
	bench.gone[1] = true;
	live(PAXOS_TAIL_CLEAN);
	uint64_t lost = status().lost_bytes;
	uint32_t next = live(PAXOS_TAIL_CLEAN);

	expect_doubt(next); /* nobody has ended it; and no second HOLE */
	cr_assert_eq(status().lost_bytes, lost);
}

/* A crash that left HOLE and not the START behind it. */
Test(node_hole, the_doubt_is_in_HOLE_too)
{
	bench.gone[1] = true;
	uint32_t next = live(PAXOS_TAIL_CLEAN);
	bench.count = next + 1;
	bench.bytes = bench.first[next] + frame_of(next).frame_bytes;

	expect_doubt(live(PAXOS_TAIL_CUT));
}

Test(node_hole, that_swallows_HOLE_begins_where_the_first_began)
{
	bench.gone[1] = true;
	uint32_t next = live(PAXOS_TAIL_CLEAN);
	uint64_t lost = status().lost_bytes;
	bench.gone[next] = true;
	next = live(PAXOS_TAIL_CLEAN);

	cr_assert_eq(frame_of(next).kind, NODE_RECORD_HOLE);
	expect_doubt(next + 1);
	cr_assert_eq(status().lost_lsn, bench.first[1]);
	cr_assert_gt(status().lost_bytes, lost);
}

/* A hole in front of another one, whose HOLE is void with the rest. */
Test(node_hole, in_front_of_another_voids_it)
{
	bench.gone[1] = true;
	live(PAXOS_TAIL_CLEAN);
	bench.gone[0] = true;
	uint32_t next = live(PAXOS_TAIL_CLEAN);

	cr_assert_eq(frame_of(next).kind, NODE_RECORD_HOLE);
	expect_doubt(next + 1);
	cr_assert_eq(status().lost_lsn, 0);
}

Test(node_hole, at_the_end_is_seen_from_where_the_log_ends)
{
	bench.gone[2] = true;
	uint32_t next = live(PAXOS_TAIL_CLEAN);

	cr_assert_eq(frame_of(next).kind, NODE_RECORD_HOLE);
	cr_assert_eq(status().lost_lsn, bench.first[2]);
	expect_doubt(next + 1);
	expect_doubt(next + 2);
}

/* The log cannot say how much is missing, only that something is. */
Test(node_hole, of_unknown_size_is_one_too)
{
	uint32_t next = live(PAXOS_TAIL_MISSING);

	cr_assert_eq(frame_of(next).kind, NODE_RECORD_HOLE);
	expect_doubt(next + 1);
	expect_doubt(next + 2);
	cr_assert_eq(status().lost_bytes, 0);
}
