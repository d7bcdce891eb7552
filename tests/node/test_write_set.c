/* Write sets that were spread, at one node that is a majority of its own: read back chunk
 * by chunk, waited for, found again by a replay, refused without a trace, and cut off where only
 * the lost had one. */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "node/internal.h"

#define CHUNK  256
#define HASHES 80 /* three chunks, the last one shared with the payload */

struct bench {
	struct node *node;
	struct node_group *group;
	void *memory;
	uint8_t log[1 << 20];
	uint32_t bytes;
	uint64_t now_ns;
	struct node_output read; /* that waits for its answer; lsn 0: none */
	uint32_t reads;
	bool rotten; /* nothing can be read back, nor in a later life */
};

static void
emit(void *context, const struct node_output *out)
{
	struct bench *b = context;

	if (out->kind == NODE_OUT_LOG) {
		cr_assert_leq(b->bytes + out->bytes, sizeof b->log);
		memcpy(b->log + b->bytes, out->data, out->bytes);
		b->bytes += out->bytes;
	}
	if (out->kind == NODE_OUT_READ) {
		cr_assert_eq(b->read.lsn, 0, "one at a time");
		b->read = *out;
		b->reads++;
	}
}

static const struct node_config config = {
	.node_count = 1,
	.groups_max = 1,
	.members_max = 2,
	.inflight_max = 16,
	.index_hashes_max = 200,
	.results_max = 1024,
	.value_bytes_max = 4096,
	.payload_bytes_max = 16 * CHUNK,
	.chunk_bytes = CHUNK,
	.values_max = 256,
	.horizon = 16,
	.datagram_bytes_max = 1400,
	.stream_bytes = 16384,
	.takeover_ns = 60000000,
	.retry_ns = 15000000,
	.tail_trust_ns = 1000000000,
	.session_dead_ns = 150000000,
	.gc_ns = 100000000,
	.expel_ns = 1000000000000,
};

static struct node_sink sink = {.emit = emit};

static void
give(struct bench *b, struct node_input in)
{
	sink.context = b;
	in.now_ns = b->now_ns;
	node_step(b->node, &in, &sink);
	b->node->sink = &sink; /* for what a test calls between steps */
}

static struct bench *
bench_new(void)
{
	struct bench *b = calloc(1, sizeof *b);

	b->memory = aligned_alloc(64, (node_size(&config) + 63) / 64 * 64);
	cr_assert(b->memory);
	b->node = node_init(b->memory, &config);
	return b;
}

static void
bench_free(struct bench *b)
{
	free(b->memory);
	free(b);
}

/* The disk writes what there is, the clock goes on; reads wait. */
static void
turn(struct bench *b)
{
	b->now_ns += 1000000;
	give(b, (struct node_input){.kind = NODE_IN_DURABLE, .lsn = b->bytes});
	give(b, (struct node_input){.kind = NODE_IN_TICK});
}

static void
answer(struct bench *b, bool readable)
{
	struct node_output read = b->read;

	readable &= !b->rotten;
	b->read.lsn = 0;
	give(b, (struct node_input){.kind = NODE_IN_READ_DONE,
				    .lsn = read.lsn,
				    .data = readable ? b->log + read.lsn - read.bytes : NULL,
				    .bytes = readable ? read.bytes : 0});
}

static void
settle(struct bench *b)
{
	for (int i = 0; i < 200; i++) {
		if (b->read.lsn != 0)
			answer(b, true);
		turn(b);
	}
}

static void
order(struct bench *b, struct entry e)
{
	cr_assert(node_group_submit_entry(b->node, b->group, &e));
	turn(b); /* it is logged */
	turn(b); /* and decided */
}

static void
begin(struct bench *b, uint64_t process)
{
	/* Kind; uuid, number, voters, leader, horizon. */
	static const uint8_t founding[31] = {1, 9, [25] = 1, [30] = 16};

	give(b, (struct node_input){.kind = NODE_IN_START,
				    .process = process,
				    .tail = PAXOS_TAIL_CLEAN,
				    .lsn = b->node->lsn_next,
				    .data = (const uint8_t[64]){5},
				    .bytes = 64});
	b->group = node_group_by_number(b->node, 1);
	if (!b->group) {
		node_directory_apply(b->node, founding, sizeof founding, 0);
		b->group = node_group_by_number(b->node, 1);
	}
	for (int i = 0; i < 20; i++)
		turn(b);
}

/* A group with one member: entries 1 to 3; its incarnation is 2. */
static struct bench *
grouped(void)
{
	struct bench *b = bench_new();

	begin(b, 1);
	order(b, (struct entry){.kind = ENTRY_CREATE,
				.create = {.group_uuid = {0xAA},
					   .config = {.block_size = 1,
						      .index_hashes_max = config.index_hashes_max,
						      .inflight_max = 16,
						      .members_max = 2,
						      .protocol = 1}}});
	order(b, (struct entry){.kind = ENTRY_JOIN,
				.join = {.nonce = {1}, .server_uuid = {2}, .host = ""}});
	order(b, (struct entry){.kind = ENTRY_ATTACH, .attach = {.incarnation = 2, .session = 1}});
	cr_assert_eq(group_applied(b->group->state), 3);
	return b;
}

/* Chunks of what is spread, into the log. */
static struct entry_spread
spread(struct bench *b, uint64_t offer, uint64_t row, uint32_t count)
{
	uint8_t bytes[16 * CHUNK] = {0};
	struct entry_spread s = {.bytes = (uint64_t)count * ENTRY_HASH_BYTES + 500,
				 .chunk_bytes = CHUNK,
				 .holders = 1,
				 .hash_count = count,
				 .offer = offer};
	struct node_payload *p = node_payload_new(b->node, &(struct node_payload){
								   .group = 1,
								   .incarnation = 2,
								   .offer = offer,
								   .total = s.bytes,
								   .chunk_bytes = CHUNK,
								   .source = NODE_FROM_MEMBER,
							   });

	cr_assert(p);
	for (uint32_t i = 0; i < count; i++)
		bytes_put_u64(bytes + (size_t)i * ENTRY_HASH_BYTES, row + i);
	while (p->held < p->total)
		node_payload_chunk(b->node, p,
				   &(struct spread_chunk){
					   .incarnation = 2,
					   .offer = offer,
					   .total = p->total,
					   .offset = p->held,
					   .chunk_bytes = CHUNK,
					   .bytes = spread_chunk_at(p->total, CHUNK, p->held),
					   .data = bytes + p->held,
				   });
	s.digest = p->digest;
	turn(b);
	return s;
}

static struct entry
submission(uint64_t sequence, uint64_t mark, const struct entry_spread *s,
	   uint8_t reference[ENTRY_SPREAD_BYTES])
{
	entry_spread_encode(s, reference);
	return (struct entry){.kind = ENTRY_SUBMIT,
			      .submit = {.incarnation = 2,
					 .session = 1,
					 .sequence = sequence,
					 .floor = 1,
					 .flags = SUBMIT_SPREAD,
					 .gtid_spec = GTID_AUTOMATIC,
					 .snapshot = {.mark = mark},
					 .payload_bytes = ENTRY_SPREAD_BYTES,
					 .payload = reference}};
}

static void
submit_spread(struct bench *b, uint64_t sequence, uint64_t mark, const struct entry_spread *s)
{
	uint8_t reference[ENTRY_SPREAD_BYTES];

	order(b, submission(sequence, mark, s, reference));
}

/* A small one that writes one row. */
static void
submit_row(struct bench *b, uint64_t sequence, uint64_t mark, uint64_t row)
{
	uint8_t hash[ENTRY_HASH_BYTES];

	bytes_put_u64(hash, row);
	order(b, (struct entry){.kind = ENTRY_SUBMIT,
				.submit = {.incarnation = 2,
					   .session = 1,
					   .sequence = sequence,
					   .floor = 1,
					   .gtid_spec = GTID_AUTOMATIC,
					   .snapshot = {.mark = mark},
					   .hash_count = 1,
					   .hashes = hash,
					   .payload_bytes = 1,
					   .payload = (const uint8_t *)"p"}});
}

static uint8_t
verdict(const struct bench *b, uint64_t sequence)
{
	struct group_outcome outcome = {0};

	(void)group_outcome(b->group->state, 2, sequence, &outcome);
	return outcome.verdict;
}

/* Another life of the same node, from the log of the first; reads are answered between
 * the records. */
static struct bench *
replayed(const struct bench *first)
{
	struct bench *b = bench_new();
	struct frame frame = {0};

	b->rotten = first->rotten;
	memcpy(b->log, first->log, first->bytes);
	for (uint32_t lsn = 0; lsn < first->bytes; lsn += frame.frame_bytes) {
		cr_assert(frame_decode(&frame, b->log + lsn, first->bytes - lsn));
		b->bytes = lsn + frame.frame_bytes;
		give(b, (struct node_input){.kind = NODE_IN_RECORD,
					    .data = b->log + lsn,
					    .bytes = frame.frame_bytes,
					    .lsn = b->bytes});
		while (b->read.lsn != 0)
			answer(b, true);
	}
	return b;
}

Test(node_write_set, is_read_back_twice_and_decides)
{
	struct bench *b = grouped();
	struct entry_spread s = spread(b, 1, 100, HASHES);

	submit_spread(b, 1, 3, &s);
	settle(b);
	cr_assert_eq(verdict(b, 1), GROUP_ACCEPTED);
	cr_assert_eq(b->reads, 2 * 3);
	cr_assert_eq(group_index_hashes(b->group->state), HASHES);
	cr_assert_eq(b->node->payloads_used, 0);

	submit_row(b, 2, 3, 100 + HASHES - 1);
	submit_row(b, 3, 4, 100);
	cr_assert_eq(verdict(b, 2), GROUP_REFUSED, "a row that it wrote");
	cr_assert_eq(verdict(b, 3), GROUP_ACCEPTED);

	/* One chunk is read once: certification still has it for the insertions. */
	s = spread(b, 4, 1000, CHUNK / ENTRY_HASH_BYTES);
	b->reads = 0;
	submit_spread(b, 4, 6, &s);
	settle(b);
	cr_assert_eq(verdict(b, 4), GROUP_ACCEPTED);
	cr_assert_eq(b->reads, 1);
	bench_free(b);
}

Test(node_write_set, what_comes_later_waits_and_is_bounded)
{
	struct bench *b = grouped();
	struct entry_spread s = spread(b, 1, 100, HASHES);
	uint64_t sequence = 2;

	submit_spread(b, 1, 3, &s);
	cr_assert_neq(b->read.lsn, 0);
	for (; sequence < 12; sequence++)
		submit_row(b, sequence, 3, 500 + sequence);
	for (int i = 0; i < 200; i++)
		turn(b);
	cr_assert_eq(group_applied(b->group->state), 3);
	cr_assert(node_group_leads(b->node, b->group));
	cr_assert_leq(b->group->delivered_slot - b->group->applied_slot, 2, "not delivered either");
	settle(b);
	for (uint64_t i = 1; i < sequence; i++)
		cr_assert_eq(verdict(b, i), GROUP_ACCEPTED, "sequence %d", (int)i);
	bench_free(b);
}

/* Refused for a row in its last piece: nothing of it is in the index. Its payload stays,
 * for who is behind. */
Test(node_write_set, a_refused_one_leaves_its_payload_and_no_trace)
{
	struct bench *b = grouped();
	struct entry_spread s;

	submit_row(b, 1, 3, 100 + HASHES - 1);
	s = spread(b, 2, 100, HASHES);
	submit_spread(b, 2, 3, &s);
	settle(b);
	cr_assert_eq(verdict(b, 2), GROUP_REFUSED);
	cr_assert_eq(group_index_hashes(b->group->state), 1);
	const struct node_payload_place *place = node_payload_place(b->node, b->group, 1);
	cr_assert(place);
	cr_assert_neq(place->link.lsn, 0);
	cr_assert_eq(place->index, 5);

	s = spread(b, 3, 1000, 200);
	submit_spread(b, 3, 5, &s);
	settle(b);
	cr_assert_eq(verdict(b, 3), GROUP_REFUSED_FULL);
	cr_assert_eq(group_index_hashes(b->group->state), 1);
	bench_free(b);
}

Test(node_write_set, a_replay_comes_to_the_same)
{
	struct bench *b = grouped();
	struct entry_spread s = spread(b, 1, 100, HASHES);

	submit_spread(b, 1, 3, &s);
	settle(b);
	submit_row(b, 2, 3, 101);
	s = spread(b, 3, 50, HASHES);
	submit_spread(b, 3, 4, &s);
	settle(b);
	struct bench *again = replayed(b);
	begin(again, 2);
	settle(again);
	cr_assert_eq(group_applied(again->group->state), group_applied(b->group->state));
	cr_assert_eq(group_digest(again->group->state), group_digest(b->group->state));
	cr_assert_eq(verdict(again, 3), GROUP_ACCEPTED);
	bench_free(again);
	bench_free(b);
}

/* It died while the entry waited: the next life certifies it, from the slot. */
Test(node_write_set, a_restart_in_the_middle_certifies_it_anew)
{
	struct bench *b = grouped();
	struct entry_spread s = spread(b, 1, 100, HASHES);

	submit_spread(b, 1, 3, &s);
	answer(b, true);
	cr_assert_eq(group_applied(b->group->state), 3);
	struct bench *again = replayed(b);
	begin(again, 2);
	settle(again);
	cr_assert_eq(verdict(again, 1), GROUP_ACCEPTED);
	cr_assert_eq(group_index_hashes(again->group->state), HASHES);
	bench_free(again);
	bench_free(b);
}

/* What the own log cannot give back is fetched from others: never certified in part. */
Test(node_write_set, an_unreadable_chunk_is_fetched_anew)
{
	struct bench *b = grouped();
	struct entry_spread s = spread(b, 1, 100, HASHES);

	submit_spread(b, 1, 3, &s);
	answer(b, true);
	answer(b, false);
	for (int i = 0; i < 50; i++)
		turn(b);
	cr_assert_eq(group_applied(b->group->state), 3);
	struct node_payload *p = node_payload_find(b->node, b->group, 2, 1);
	cr_assert(p);
	cr_assert_eq(p->held, 0);
	cr_assert_eq(p->index, 4);
	cr_assert_eq(p->number, 1);
	bench_free(b);
}

/* ---- what only the lost had; see node/cut.c ---- */

#define EPOCH 7 /* the first one that node 0 is the lowest of */

/* What is here of the write set: nothing. */
static const struct entry_spread nowhere = {.bytes = HASHES * ENTRY_HASH_BYTES + 500,
					    .chunk_bytes = CHUNK,
					    .holders = 2,
					    .hash_count = HASHES,
					    .offer = 1};

static void
submit_lacking(struct bench *b, uint64_t sequence)
{
	submit_spread(b, sequence, 3, &nowhere);
}

/* The next process, in the epoch that the log says now. */
static struct bench *
forced_into(struct bench *b, uint32_t number)
{
	struct node_forced f = {.number = number, .voters = 1, .epoch = {(uint8_t)number}};

	give(b, (struct node_input){.kind = NODE_IN_FORCE, .force = f, .here_only = true});
	give(b, (struct node_input){.kind = NODE_IN_DURABLE, .lsn = b->bytes});
	cr_assert(b->node->ended);
	struct bench *next = replayed(b);
	cr_assert_eq(next->node->epoch, number);
	return next;
}

static struct bench *
forced(struct bench *b)
{
	return forced_into(b, EPOCH);
}

static void
hear(struct bench *b, uint8_t node, uint64_t index)
{
	struct protocol_message m = {
		.kind = PROTOCOL_LACK, .group = 1, .flags = b->node->forced_voters, .index = index};
	uint8_t data[256];
	struct writer w = writer_over(data, sizeof data);
	uint32_t bytes = protocol_encode(&m, b->node->config.epoch, &w);
	struct frame frame;

	cr_assert(frame_decode(&frame, data, bytes));
	node_cut_message(b->node, node, &frame, data, bytes);
}

Test(node_write_set, what_only_the_lost_had_cuts_the_order)
{
	struct bench *b = grouped();

	submit_row(b, 1, 3, 100);
	submit_lacking(b, 2);
	submit_row(b, 3, 3, 101);
	settle(b);
	cr_assert_eq(group_applied(b->group->state), 4, "no force, and it may yet come");
	cr_assert_eq(b->node->directory.cuts.count, 0);
	struct bench *next = forced(b);
	begin(next, 2);
	settle(next);
	const struct group *g = next->group->state;
	cr_assert_eq(next->node->directory.cuts.count, 1);
	cr_assert_eq(next->group->cut_index, 5);
	cr_assert_eq(group_epoch(g), EPOCH);
	cr_assert_eq(verdict(next, 1), GROUP_ACCEPTED);
	cr_assert_eq(verdict(next, 2), 0);
	cr_assert_eq(verdict(next, 3), 0, "what stood behind it");
	cr_assert_eq(next->node->payloads_used, 0);

	struct node_group_status status;
	cr_assert(node_group_status(next->node, 1, &status));
	cr_assert_eq(status.cut_index, 5);
	cr_assert_eq(status.lost_count, 1);
	cr_assert_eq(status.lost[0].from, 2);
	order(next, (struct entry){.kind = ENTRY_JOIN,
				   .join = {.nonce = {2},
					    .server_uuid = {2},
					    .last_incarnation = 2,
					    .host = "",
					    .epoch = EPOCH}});
	cr_assert_eq(group_incarnation(g, 2), NULL);

	struct bench *again = replayed(next);
	begin(again, 3);
	settle(again);
	cr_assert_eq(group_digest(again->group->state), group_digest(g));
	cr_assert_eq(again->group->cut_index, 5);
	bench_free(again);
	bench_free(next);
	bench_free(b);
}

/* All of it was accepted in front of the force, and is not known to be decided: who was lost had
 * given the transaction another number. It asks again. */
Test(node_write_set, who_joined_before_the_force_and_was_not_known_to_has_not)
{
	struct bench *b = grouped();
	struct entry join = {.kind = ENTRY_JOIN,
			     .join = {.nonce = {1}, .server_uuid = {3}, .host = "", .epoch = 0}};
	struct entry submit = {.kind = ENTRY_SUBMIT,
			       .submit = {.incarnation = 4,
					  .sequence = 1,
					  .floor = 1,
					  .flags = SUBMIT_EMPTY,
					  .gtid_spec = GTID_AUTOMATIC}};

	cr_assert(node_group_submit_entry(b->node, b->group, &join));
	cr_assert(node_group_submit_entry(b->node, b->group, &submit));
	give(b, (struct node_input){.kind = NODE_IN_TICK});
	struct bench *next = forced(b);
	begin(next, 2);
	settle(next);
	const struct group *g = next->group->state;
	cr_assert_eq(group_epoch(g), EPOCH);
	cr_assert_geq(group_applied(g), 5, "it is the order, and void");
	cr_assert_null(group_incarnation(g, 4));
	cr_assert(!gtid_set_contains(
		group_executed(g),
		&(struct gtid){{.uuid = {0xAA}}, EPOCH * GROUP_EPOCH_NUMBERS + 1}));
	uint64_t last = group_applied(g);
	join.join.epoch = EPOCH;
	order(next, join);
	cr_assert_not_null(group_incarnation(g, last + 1));
	bench_free(next);
	bench_free(b);
}

/* The other one may have it. */
Test(node_write_set, one_survivor_alone_cuts_nothing)
{
	struct bench *b = grouped();

	submit_lacking(b, 1);
	struct bench *next = forced(b);
	begin(next, 2);
	cr_assert_eq(next->node->directory.cuts.count, 1, "alone");
	bench_free(next);

	next = replayed(b);
	next->node->forced_voters = 3;
	begin(next, 2);
	settle(next);
	cr_assert_eq(next->node->directory.cuts.count, 0);
	hear(next, 1, 3);
	settle(next);
	cr_assert_eq(next->node->directory.cuts.count, 0, "of another entry");
	hear(next, 2, 4);
	cr_assert_eq(next->node->dropped_undecodable, 1, "no survivor");
	hear(next, 1, 4);
	for (int i = 0; i < 200; i++)
		turn(next);
	cr_assert_eq(next->node->directory.cuts.count, 1);
	cr_assert_eq(next->group->cut_index, 4);
	bench_free(next);
	bench_free(b);
}

/* What rotted was here, and an earlier process may have applied it. */
Test(node_write_set, what_cannot_be_read_back_is_not_cut)
{
	struct bench *b = grouped();
	struct entry_spread s = spread(b, 1, 100, HASHES);

	submit_spread(b, 1, 3, &s);
	b->rotten = true;
	struct bench *next = forced(b);
	begin(next, 2);
	settle(next);
	cr_assert_eq(group_applied(next->group->state), 3);
	cr_assert_eq(next->node->directory.cuts.count, 0);
	bench_free(next);
	bench_free(b);
}

/* The verdict needs nothing of it, and stays; who lacks it cannot be fed. */
Test(node_write_set, a_payload_that_only_the_lost_had_is_named)
{
	struct bench *b = grouped();
	struct node_group_status status;

	submit_spread(b, 1, 3,
		      &(struct entry_spread){
			      .bytes = 500, .chunk_bytes = CHUNK, .holders = 2, .offer = 1});
	submit_row(b, 2, 4, 100);
	settle(b);
	cr_assert_eq(verdict(b, 1), GROUP_ACCEPTED);
	struct bench *next = forced(b);
	begin(next, 2);
	settle(next);
	cr_assert_eq(verdict(next, 1), GROUP_ACCEPTED);
	cr_assert_eq(verdict(next, 2), GROUP_ACCEPTED, "what follows it stays too");
	cr_assert_eq(next->group->cut_index, 0);
	const struct gtid *gone = &node_payload_place(next->node, next->group, 1)->gtid;
	cr_assert(node_cut_gone(next->node, next->group, 4, gone));
	cr_assert_not(node_cut_gone(next->node, next->group, 5, gone));
	cr_assert_eq(next->node->payloads_used, 0, "nor is it looked for");
	cr_assert_eq(next->group->payload_through, 1);
	cr_assert(node_group_status(next->node, 1, &status));
	cr_assert_eq(status.gone_count, 1);
	cr_assert_eq(status.gone[0].gno, 1);
	bench_free(next);
	bench_free(b);
}

/* Another one may be fetched from who leads, or its chunks come later. */
Test(node_write_set, one_survivor_alone_gives_no_payload_up)
{
	struct bench *b = grouped();

	submit_spread(b, 1, 3,
		      &(struct entry_spread){
			      .bytes = 500, .chunk_bytes = CHUNK, .holders = 2, .offer = 1});
	struct bench *next = forced(b);
	next->node->forced_voters = 3;
	begin(next, 2);
	settle(next);
	cr_assert_eq(next->node->directory.cuts.count, 0);
	cr_assert_eq(next->node->payloads_used, 1);
	bench_free(next);
	bench_free(b);
}

/* It has some of it, and then all. */
Test(node_write_set, what_is_here_is_not_cut)
{
	struct bench *b = grouped();
	struct entry_spread s = spread(b, 1, 100, HASHES);

	submit_spread(b, 1, 3, &s);
	struct bench *next = forced(b);
	begin(next, 2);
	settle(next);
	cr_assert_eq(next->node->directory.cuts.count, 0);
	cr_assert_eq(group_index_hashes(next->group->state), HASHES);
	bench_free(next);
	bench_free(b);
}

static void
decided(struct bench *b, const struct node_cut *cut)
{
	uint8_t one[64];
	struct writer w = writer_over(one, sizeof one);

	writer_u32(&w, cut->group);
	writer_u64(&w, cut->index);
	writer_u32(&w, cut->epoch);
	protocol_write_gtid(&w, &cut->gtid);
	struct reader r = reader_over(one, w.bytes);
	node_cut_apply(b->node, &r);
}

/* Index 4 was of an accepted one whose payload only the lost had, as those that were left then have
 * said. Another force came, of those who had not known that entry. What is decided there now was
 * given up, though it was here, and the next process could not come to its verdict. */
Test(node_write_set, what_was_given_up_of_an_order_that_is_void_is_another_one)
{
	struct bench *b = grouped();
	struct entry_spread s = spread(b, 1, 100, HASHES);

	decided(b, &(struct node_cut){
			   .group = 1, .index = 4, .epoch = EPOCH, .gtid = {{.uuid = {3}}, 1}});
	submit_spread(b, 1, 3, &s);
	settle(b);
	cr_assert_eq(verdict(b, 1), GROUP_ACCEPTED);
	const struct node_payload_place *place = node_payload_place(b->node, b->group, 1);
	cr_assert(place);
	cr_assert_neq(place->link.lsn, 0);
	bench_free(b);
}

/* So for the order: what one epoch has cut at an index says nothing of an entry that another force
 * finds there. */
Test(node_write_set, each_epoch_cuts_what_it_lacks)
{
	struct bench *b = grouped();
	struct bench *one = forced(b);

	begin(one, 2);
	settle(one);
	uint64_t incarnation = group_applied(one->group->state) + 1;
	struct node_cut cut = {.group = 1, .index = incarnation + 2, .epoch = EPOCH};
	order(one, (struct entry){.kind = ENTRY_JOIN,
				  .join = {.nonce = {2},
					   .server_uuid = {2},
					   .last_incarnation = 2,
					   .host = "",
					   .epoch = EPOCH}});
	order(one, (struct entry){.kind = ENTRY_ATTACH,
				  .attach = {.incarnation = incarnation, .session = 1}});
	decided(one, &cut);
	decided(one, &cut);
	cr_assert_eq(one->node->directory.cuts.count, 1, "once");
	uint8_t reference[ENTRY_SPREAD_BYTES];
	struct entry lacking = submission(1, incarnation + 1, &nowhere, reference);
	lacking.submit.incarnation = incarnation;
	order(one, lacking);
	settle(one);
	cr_assert_eq(group_applied(one->group->state), incarnation + 1);

	struct bench *two = forced_into(one, 2 * EPOCH);
	decided(two, &cut);
	begin(two, 3);
	settle(two);
	cr_assert_eq(two->node->directory.cuts.count, 2);
	cr_assert_eq(two->group->cut_index, cut.index);
	cr_assert_eq(group_epoch(two->group->state), 2 * EPOCH);
	bench_free(two);
	bench_free(one);
	bench_free(b);
}

/* For who reads the order from its begin, with an image of group 0. */
Test(node_write_set, cuts_come_back_from_an_image)
{
	struct bench *b = grouped();
	struct node_cuts again;
	uint8_t data[NODE_CUTS_MAX * 64];

	for (uint32_t i = 1; i <= NODE_CUTS_MAX + 2; i++) {
		uint8_t one[64];
		struct writer w = writer_over(one, sizeof one);

		writer_u32(&w, i % 3);
		writer_u64(&w, i);
		writer_u32(&w, EPOCH);
		protocol_write_gtid(&w, &(struct gtid){.gno = i % 2 * i});
		struct reader r = reader_over(one, w.bytes);
		node_cut_apply(b->node, &r);
		r = reader_over(one, w.bytes);
		node_cut_apply(b->node, &r);
	}
	struct writer w = writer_over(data, sizeof data);
	node_cut_write(b->node, &w);
	struct reader r = reader_over(data, w.bytes);
	cr_assert(node_cut_read(&again, &r));
	cr_assert(reader_done(&r));
	cr_assert_eq(again.count, NODE_CUTS_MAX);
	cr_assert_eq(again.cut[0].index, 3, "the last ones");
	cr_assert_eq(again.cut[0].gtid.gno, 3);
	cr_assert_eq(again.cut[NODE_CUTS_MAX - 1].index, NODE_CUTS_MAX + 2);
	for (uint32_t i = 0; i < w.bytes; i++) {
		r = reader_over(data, i);
		cr_assert_not(node_cut_read(&again, &r));
	}
	bench_free(b);
}

static void
offer_three_chunks(struct bench *b, uint64_t offer)
{
	struct protocol_message m = {.kind = PROTOCOL_OFFER,
				     .group = 1,
				     .incarnation = 2,
				     .sequence = offer,
				     .flags = CHUNK,
				     .mark = 3 * CHUNK};

	node_move_member(b->node, 0, &m);
}

/* Nothing behind the first chunk of any of them can be dropped before it has ended, so all that
 * were begun have to fit. */
Test(node_write_set, large_ones_are_begun_while_there_is_room_for_all)
{
	static const uint8_t data[CHUNK];
	struct bench *b = grouped();
	struct node *n = b->node;

	n->session[0].stage = SESSION_ATTACHED;
	n->session[0].group = 1;
	n->session[0].incarnation = 2;
	n->config.image_bytes = 4 * CHUNK;
	n->room_bytes = 8 * CHUNK;
	offer_three_chunks(b, 2);
	cr_assert_eq(n->payloads_used, 1);
	offer_three_chunks(b, 3);
	cr_assert_eq(n->payloads_used, 1, "the first one is to have what is left");
	struct node_payload *p = node_payload_find(n, b->group, 2, 2);
	n->room_bytes = 7 * CHUNK - 1;
	cr_assert(node_attend_is_full(n, b->group), "of small ones, too");
	struct spread_chunk chunk = {
		.total = 3 * CHUNK, .chunk_bytes = CHUNK, .bytes = CHUNK, .data = data};
	for (; chunk.offset < 2 * CHUNK; chunk.offset += CHUNK)
		node_payload_chunk(n, p, &chunk);
	cr_assert(!node_attend_is_full(n, b->group));
	offer_three_chunks(b, 3);
	cr_assert_eq(n->payloads_used, 1);
	n->room_bytes = 8 * CHUNK;
	offer_three_chunks(b, 3);
	cr_assert_eq(n->payloads_used, 2);
	n->payload[0].gone = n->payload[1].gone = true;
	node_payload_end(n);
	cr_assert_eq(n->payloads_due_bytes, 0, "what has ended needs no room");
	n->session[0] = (struct node_session){.stage = SESSION_NONE};
	bench_free(b);
}

/* While it is open the log keeps all since its first chunk: room comes by its end alone. */
Test(node_write_set, a_large_one_on_its_way_does_not_wait_for_room)
{
	struct bench *b = grouped();
	struct node *n = b->node;
	struct protocol_message m = {.kind = PROTOCOL_OFFER,
				     .group = 1,
				     .incarnation = 2,
				     .sequence = 1,
				     .flags = CHUNK,
				     .mark = 3 * CHUNK};

	n->session[0].stage = SESSION_ATTACHED;
	n->session[0].group = 1;
	n->session[0].incarnation = 2;
	n->config.image_bytes = 1000;
	n->room_bytes = 999;
	cr_assert(node_attend_is_full(n, b->group));
	node_move_member(n, 0, &m);
	cr_assert_eq(n->payloads_used, 0, "none is begun");
	n->room_bytes = 2000;
	node_move_member(n, 0, &m);
	cr_assert_eq(n->payloads_used, 1);
	n->room_bytes = 999;
	node_move_member(n, 0, &m);
	cr_assert_eq(n->payloads_used, 1, "it goes on");
	cr_assert(node_attend_is_full(n, b->group), "it is not whole");
	struct node_payload *p = node_payload_find(n, b->group, 2, 1);
	p->told = true;
	cr_assert(!node_attend_is_full(n, b->group));
	p->index = 5;
	cr_assert(node_attend_is_full(n, b->group), "it is decided");
	n->session[0] = (struct node_session){.stage = SESSION_NONE};
	bench_free(b);
}
