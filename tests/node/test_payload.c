/* Slots of payloads at a node: what replay finds again, which one gives way when there
 * is none, and what a log that was applied further no longer lets come. */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "node/internal.h"

#define CHUNK 256
#define SLOTS 5 /* (2 members * SPREAD_OPEN_MAX + 1) * 1 group, and one for what is needed */

/* A node of its own, and the records that it logs. */
struct bench {
	struct node *node;
	struct node_group *group;
	void *memory;
	uint8_t log[1 << 20];
	uint32_t bytes;
	uint32_t records;
	uint8_t last; /* kind of the last one */
};

static void
emit(void *context, const struct node_output *out)
{
	struct bench *b = context;
	struct frame frame;

	if (out->kind != NODE_OUT_LOG)
		return;
	cr_assert_leq(b->bytes + out->bytes, sizeof b->log);
	cr_assert(frame_decode(&frame, out->data, out->bytes));
	memcpy(b->log + b->bytes, out->data, out->bytes);
	b->bytes += out->bytes;
	b->records++;
	b->last = frame.kind;
}

static const struct node_config config = {
	.node_count = 1,
	.groups_max = 1,
	.members_max = 2,
	.inflight_max = 16,
	.index_hashes_max = 1024,
	.results_max = 1024,
	.history_row = 8,
	.history_links = 8,
	.history_blocks = 16,
	.value_bytes_max = 4096,
	.payload_bytes_max = 8 * CHUNK,
	.chunk_bytes = CHUNK,
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

static const struct node_founding founding = {.uuid = {9}, .voters = 1, .horizon = 16};

static void
give(struct bench *b, struct node_input in)
{
	struct node_sink sink = {.context = b, .emit = emit};

	node_step(b->node, &in, &sink);
}

static struct bench *
bench_of(const struct node_config *c)
{
	struct bench *b = calloc(1, sizeof *b);

	b->memory = aligned_alloc(64, (node_size(c) + 63) / 64 * 64);
	cr_assert(b->memory);
	b->node = node_init(b->memory, c);
	return b;
}

static struct bench *
bench_new(void)
{
	return bench_of(&config);
}

static void
bench_free(struct bench *b)
{
	free(b->memory);
	free(b);
}

/* Started, with a group in which nothing was decided; outputs go to `b` from now on. */
static void
start(struct bench *b)
{
	static struct node_sink sink;

	give(b, (struct node_input){.kind = NODE_IN_START,
				    .process = 1 + b->bytes, /* another in each life */
				    .tail = PAXOS_TAIL_CLEAN,
				    .lsn = b->bytes,
				    .data = (const uint8_t[64]){5},
				    .bytes = 64});
	sink = (struct node_sink){.context = b, .emit = emit};
	b->node->sink = &sink;
	b->group = node_group_by_number(b->node, 1);
	if (!b->group)
		b->group = node_group_create(b->node, 1, &founding);
}

/* The log has come so far, with nothing in it. */
static void
apply_through(struct bench *b, uint64_t index)
{
	struct entry noop = {.kind = ENTRY_NOOP};

	for (uint64_t i = group_applied(b->group->state) + 1; i <= index; i++) {
		group_apply_start(b->group->state, i, &noop);
		cr_assert_eq(group_apply_step(b->group->state, 64), GROUP_DONE);
	}
}

static struct node_payload *
new_payload(struct bench *b, uint64_t offer, uint64_t index)
{
	return node_payload_new(b->node, &(struct node_payload){
						 .group = 1,
						 .incarnation = 50,
						 .offer = offer,
						 .index = index,
						 .total = 3 * CHUNK - 6,
						 .chunk_bytes = CHUNK,
						 .source = NODE_FROM_MEMBER,
					 });
}

static void
chunk(struct bench *b, struct node_payload *p)
{
	uint8_t data[CHUNK];

	memset(data, (int)(p->held / CHUNK + 1), sizeof data);
	node_payload_chunk(b->node, p,
			   &(struct spread_chunk){
				   .incarnation = p->incarnation,
				   .offer = p->offer,
				   .index = p->index,
				   .total = p->total,
				   .offset = p->held,
				   .chunk_bytes = CHUNK,
				   .bytes = spread_chunk_at(p->total, CHUNK, p->held),
				   .data = data,
			   });
}

Test(node_payload, one_that_is_fetched_gives_way_to_an_open_one)
{
	struct bench *b = bench_new();
	start(b);
	apply_through(b, 200);
	uint32_t records = b->records;

	for (uint64_t i = 0; i < SLOTS; i++)
		cr_assert(new_payload(b, i + 1, i < 3 ? 0 : 100 + i));
	cr_assert_eq(b->records, records);
	cr_assert(new_payload(b, 9, 0));
	cr_assert_eq(b->last, NODE_RECORD_SETTLED);
	cr_assert_null(node_payload_find(b->node, b->group, 50, 5), "the last in the order");
	cr_assert(node_payload_find(b->node, b->group, 50, 4));
	cr_assert(new_payload(b, 10, 0));
	cr_assert_eq(b->records, records + 2);
	/* What was promised to nobody is gone; of the open ones none gives way. */
	cr_assert_null(new_payload(b, 11, 0));
	cr_assert_eq(b->node->payloads_used, SLOTS);
	bench_free(b);
}

/* The first one, from the other node. */
static void
chunk_comes(struct bench *b, const struct node_payload *p)
{
	uint8_t bytes[FRAME_BYTES_MAX], data[CHUNK] = {0};
	struct writer w = writer_over(bytes, sizeof bytes);
	struct frame frame;

	cr_assert_gt(protocol_encode(&(struct protocol_message){.kind = PROTOCOL_CHUNK,
								.group = 1,
								.incarnation = p->incarnation,
								.sequence = p->offer,
								.mark = p->total,
								.flags = CHUNK,
								.data = data,
								.bytes = CHUNK},
				     config.epoch, &w),
		     0);
	cr_assert(frame_decode(&frame, bytes, w.bytes));
	node_move_message(b->node, 0, &frame, bytes, (uint32_t)w.bytes);
	cr_assert_eq(p->held, CHUNK);
}

/* Small transactions come or not, and a payload chunk by chunk from another node: how long after
 * the first chunk, which took so long, the next one is asked for. */
static uint64_t
asked_again_ns(bool small, uint64_t index, uint64_t took_ns)
{
	struct node_config two = config;
	two.node_count = 2;
	struct bench *b = bench_of(&two);
	start(b);
	apply_through(b, 200);
	struct node *n = b->node;
	struct node_payload *p = new_payload(b, 1, index);
	uint64_t came_ns = 1000000000;

	p->source = 1;
	p->available = p->total;
	n->link_up = 2;
	n->now_ns = n->small_ns = came_ns - took_ns; /* so one is asked for, not all */
	node_move(n);
	cr_assert_eq(p->asked, CHUNK);
	n->now_ns = came_ns;
	n->small_ns = small ? came_ns : 0;
	chunk_comes(b, p);
	node_move(n);
	while (p->asked == CHUNK) {
		cr_assert_gt(node_move_timer_ns(n), n->now_ns);
		n->now_ns = node_move_timer_ns(n);
		n->small_ns = small ? n->now_ns : 0;
		node_move(n);
	}
	if (!small) /* and nobody is woken for a rest that is none */
		cr_assert_eq(node_move_timer_ns(n), n->now_ns + config.retry_ns);
	uint64_t waited_ns = n->now_ns - came_ns;
	bench_free(b);
	return waited_ns;
}

Test(node_payload, a_chunk_rests_as_long_as_the_last_one_took_while_small_ones_come)
{
	cr_assert_eq(asked_again_ns(true, 0, 3000000), 3000000);
	cr_assert_eq(asked_again_ns(true, 0, 20000000), config.retry_ns);
	cr_assert_eq(asked_again_ns(false, 0, 3000000), 0);
	cr_assert_eq(asked_again_ns(true, 201, 3000000), 0, "what the next entry needs");
}

Test(node_payload, a_whole_one_gives_way_to_nobody)
{
	struct bench *b = bench_new();
	start(b);
	apply_through(b, 200);

	for (uint64_t i = 0; i < SLOTS; i++) {
		struct node_payload *p = new_payload(b, i + 1, 100 + i);
		for (int k = 0; k < 3; k++)
			chunk(b, p);
		cr_assert_eq(p->held, p->total);
	}
	cr_assert_null(new_payload(b, 9, 0));
	bench_free(b);
}

/* A node that is behind has a slot for what it cannot go on without, however many
 * payloads members have offered meanwhile; and that one gives way to none of them. */
Test(node_payload, what_the_next_entry_needs_finds_a_slot)
{
	struct bench *b = bench_new();
	start(b);
	apply_through(b, 200);

	for (uint64_t i = 0; i < SLOTS; i++)
		cr_assert(new_payload(b, i + 1, 0));
	cr_assert_null(new_payload(b, 9, 0));
	cr_assert_null(new_payload(b, 9, 200), "one that was accepted can wait");
	struct node_payload *needed = new_payload(b, 9, 201);
	cr_assert(needed);
	chunk(b, needed);
	cr_assert_null(new_payload(b, 10, 0));
	cr_assert_eq(node_payload_find(b->node, b->group, 50, 9), needed);
	bench_free(b);
}

/* Files go as a whole: a log may begin behind a payload that an image names, and in front of the
 * image. Then a later one has been used, and this one is of no use. */
Test(node_payload, one_that_an_image_names_and_the_log_lacks_is_not_taken)
{
	struct bench *b = bench_new();
	uint8_t bytes[256];
	struct writer w = writer_over(bytes, sizeof bytes);

	start(b);
	struct node_payload *p = new_payload(b, 1, 0);
	chunk(b, p);
	chunk(b, p);
	p->epoch = 3;
	node_payload_write(p, &w);
	uint64_t first = node_payload_first_lsn(p);
	for (uint64_t cut = 0; cut < 2; cut++) {
		struct reader r = reader_over(bytes, w.bytes);
		struct bench *later = bench_new();

		start(later);
		later->node->lsn_first = first + cut;
		cr_assert_eq(node_payload_read(later->node, later->group, &r), cut == 0);
		cr_assert_eq(later->node->payloads_used, 1 - cut);
		p = node_payload_find(later->node, later->group, 50, 1);
		cr_assert(cut == 1 || p->epoch == 3);
		bench_free(later);
	}
	bench_free(b);
}

Test(node_payload, none_larger_than_the_limit_is_taken)
{
	struct bench *b = bench_new();
	struct node_payload like = {.group = 1, .offer = 1, .chunk_bytes = CHUNK};
	start(b);

	like.total = 8 * CHUNK + 1;
	cr_assert_null(node_payload_new(b->node, &like));
	like.total = 8 * CHUNK;
	like.chunk_bytes = ENTRY_CHUNK_BYTES_MIN - 1;
	cr_assert_null(node_payload_new(b->node, &like));
	like.chunk_bytes = config.value_bytes_max + 1;
	cr_assert_null(node_payload_new(b->node, &like));
	like.chunk_bytes = CHUNK;
	cr_assert(node_payload_new(b->node, &like));
	bench_free(b);
}

/* Another life of the same node, from the records of the first. */
static struct bench *
replayed(const struct bench *first)
{
	struct bench *b = bench_new();
	uint64_t lsn = 0;
	struct frame frame = {0};

	while (lsn < first->bytes) {
		cr_assert(frame_decode(&frame, first->log + lsn, first->bytes - lsn));
		lsn += frame.frame_bytes;
		give(b, (struct node_input){.kind = NODE_IN_RECORD,
					    .data = first->log + lsn - frame.frame_bytes,
					    .bytes = frame.frame_bytes,
					    .lsn = lsn});
	}
	memcpy(b->log, first->log, first->bytes);
	b->bytes = first->bytes;
	return b;
}

/* Writes the record behind which a replay knows that there is a group. */
static void
log_group(struct bench *b)
{
	b->node->directory.index++;
	node_directory_log(b->node, 1, &founding);
}

Test(node_payload, a_restart_finds_what_was_logged)
{
	struct bench *b = bench_new();
	start(b);
	log_group(b);
	struct node_payload *p = new_payload(b, 1, 0), *q = new_payload(b, 2, 70);

	chunk(b, p);
	chunk(b, q);
	chunk(b, p);
	struct bench *again = replayed(b);
	struct node_group *g = node_group_by_number(again->node, 1);
	struct node_payload *r = node_payload_find(again->node, g, 50, 1);
	cr_assert(r);
	cr_assert_eq(r->held, 2 * CHUNK);
	cr_assert_eq(r->durable, 2 * CHUNK);
	cr_assert_eq(r->digest, p->digest);
	cr_assert_eq(memcmp(r->lsn, p->lsn, 2 * sizeof *r->lsn), 0);
	r = node_payload_find(again->node, g, 50, 2);
	cr_assert_eq(r->index, 70);
	cr_assert_eq(r->held, CHUNK);
	bench_free(again);
	bench_free(b);
}

Test(node_payload, a_restart_gives_back_what_had_ended)
{
	struct bench *b = bench_new();
	start(b);
	log_group(b);
	struct node_payload *p = new_payload(b, 1, 0);

	for (int k = 0; k < 3; k++)
		chunk(b, p);
	p->gone = true;
	node_payload_end(b->node);
	cr_assert_eq(b->last, NODE_RECORD_SETTLED);
	cr_assert_eq(b->node->payloads_used, 0);
	struct bench *again = replayed(b);
	cr_assert_eq(again->node->payloads_used, 0);
	bench_free(again);
	bench_free(b);
}

/* The record that says where the chunks of `p` lie, as number 1 and entry 70. */
static uint32_t
log_settled(struct bench *b, const struct node_payload *p)
{
	uint8_t *frame = b->node->scratch;
	struct writer w = writer_over(frame + FRAME_HEADER_BYTES, 1024);

	spread_settled_encode(&(struct spread_settled){.incarnation = 50,
						       .offer = 1,
						       .index = 70,
						       .number = 1,
						       .total = p->total,
						       .chunk_bytes = CHUNK,
						       .count = 3,
						       .lsn = (const uint8_t *)p->lsn},
			      &w);
	uint32_t bytes = FRAME_HEADER_BYTES + (uint32_t)w.bytes;
	node_log(b->node, frame, bytes, NODE_RECORD_SETTLED, 1);
	return bytes;
}

/* Replay meets the record before it has applied the entry: it needs no result. */
Test(node_payload, a_restart_knows_where_an_accepted_one_lies)
{
	struct bench *b = bench_new();
	start(b);
	log_group(b);
	struct node_payload *p = new_payload(b, 1, 70);

	for (int k = 0; k < 3; k++)
		chunk(b, p);
	uint32_t bytes = log_settled(b, p);
	struct bench *again = replayed(b);
	const struct node_payload_place *place =
		node_payload_place(again->node, node_group_by_number(again->node, 1), 1);
	cr_assert(place);
	cr_assert_eq(place->link.lsn, b->bytes);
	cr_assert_eq(place->link.bytes, bytes);
	cr_assert_eq(again->node->payloads_used, 0);
	bench_free(again);
	bench_free(b);
}

/* Entry 70 is applied, as the first whose payload stays; `p` is its slot, or NULL. */
static void
accept_70(struct bench *b, struct node_payload *p)
{
	struct node_result r = {
		.slot = 40,
		.incarnation = 50,
		.payload = 1,
		.spread = {.bytes = 3 * CHUNK - 6, .chunk_bytes = CHUNK, .offer = 1}};

	apply_through(b, 70);
	b->group->payload_count = 1;
	node_payload_accepted(b->node, b->group, &r, 70);
	if (p) {
		p->index = 70;
		p->number = 1;
	}
}

/* Payload 1, of entry 70, lies in the log as a whole. */
static struct node_payload *
settled_payload(struct bench *b)
{
	struct node_payload *p = new_payload(b, 1, 70);

	for (int k = 0; k < 3; k++)
		chunk(b, p);
	log_settled(b, p);
	return p;
}

/* Behind a restart a node may be offered what its log holds: it learns only later that the
 * log had decided for it. What came by then must not stand in the way of the first copy. */
Test(node_payload, what_the_log_holds_is_not_fetched_again)
{
	struct bench *b = bench_new();
	start(b);
	log_group(b);
	struct node_payload *p = settled_payload(b);
	uint64_t settled_lsn = b->bytes;

	struct bench *again = replayed(b);
	start(again);
	p = new_payload(again, 1, 0);
	chunk(again, p);
	accept_70(again, p);
	node_payload_end(again->node);
	cr_assert_eq(again->node->payloads_used, 0);
	cr_assert_eq(node_payload_place(again->node, again->group, 1)->link.lsn, settled_lsn);

	struct bench *third = replayed(again);
	start(third);
	cr_assert_eq(third->node->payloads_used, 0);
	cr_assert_eq(node_payload_place(third->node, third->group, 1)->link.lsn, settled_lsn);
	bench_free(third);
	bench_free(again);
	bench_free(b);
}

/* A crash in the middle of fetching anew what could not be read: its slot is found by
 * replay, which knows its entry and not its number. */
Test(node_payload, a_restart_ends_the_slot_of_what_the_log_holds)
{
	struct bench *b = bench_new();
	start(b);
	log_group(b);
	struct node_payload *p = settled_payload(b);
	p = node_payload_find(b->node, b->group, 50, 1);
	p->held = 0;
	chunk(b, p);

	struct bench *again = replayed(b);
	start(again);
	cr_assert_eq(again->node->payloads_used, 1);
	accept_70(again, NULL);
	node_payload_start(again->node);
	node_payload_end(again->node);
	cr_assert_eq(again->node->payloads_used, 0);
	bench_free(again);
	bench_free(b);
}

Test(node_payload, what_the_log_has_not_come_to_may_still_come)
{
	struct bench *b = bench_new();
	start(b);

	cr_assert_eq(group_applied(b->group->state), 0);
	cr_assert(node_payload_may_come(b->group, 50, 1));
	cr_assert(!node_payload_may_come(b->group, 0, 1), "no incarnation");
	apply_through(b, 50);
	cr_assert(!node_payload_may_come(b->group, 50, 1), "entry 50 was no join");
	cr_assert(node_payload_may_come(b->group, 51, 1));
	bench_free(b);
}

/* Node 0 of three, that has links with the others. */
static struct bench *
one_of_three(void)
{
	struct node_config three = config;

	three.node_count = 3;
	three.image_bytes = 60000;
	for (uint8_t i = 0; i < 3; i++) {
		three.uuid[i][0] = 1 + i;
		three.endpoint[i] = endpoint_from_ipv4(0x0a000001 + i, 7400);
	}
	struct bench *b = bench_of(&three);
	start(b);
	b->node->link_up = 6;
	return b;
}

/* Those who held it when it was ordered were lost, or have another disk by now; others have
 * fetched it meanwhile. */
Test(node_payload, one_whose_holders_give_nothing_is_asked_of_others)
{
	struct bench *b = one_of_three();
	struct node_payload *p = new_payload(b, 1, 1);
	p->holders = 1u << 1;
	p->available = p->total;
	p->source = 0;
	node_move(b->node);
	cr_assert_eq(p->source, 1);
	b->node->now_ns += config.session_dead_ns;
	node_move(b->node);
	cr_assert_eq(p->source, 2);
	b->node->now_ns += config.session_dead_ns;
	node_move(b->node);
	cr_assert_eq(p->source, 1, "and again, while nobody gives it");
	chunk(b, p);
	cr_assert_eq(p->tried, 0);
	bench_free(b);
}

static void
hear_image(struct bench *b, uint8_t node, uint64_t slot)
{
	struct protocol_message m = {
		.kind = PROTOCOL_IMAGE, .group = 1, .sequence = 7, .index = slot, .mark = 2};
	uint8_t data[256];
	struct writer w = writer_over(data, sizeof data);
	uint32_t bytes = protocol_encode(&m, b->node->config.epoch, &w);
	struct frame frame;

	cr_assert(frame_decode(&frame, data, bytes));
	node_image_message(b->node, node, &frame, data, bytes);
}

/* All are asked, each for as long as an answer may take. */
static void
ask_around(struct bench *b)
{
	for (uint32_t i = 0; i < 4; i++) {
		node_move(b->node);
		b->node->now_ns += config.session_dead_ns;
	}
	node_payload_end(b->node);
}

/* Every member had it when the others dropped it; one that has come since, and lacks it, would
 * wait here for ever. */
Test(node_payload, one_that_the_others_have_dropped_is_given_up)
{
	struct bench *b = one_of_three();
	struct node_result r = {.payload = 1, .spread = {.bytes = 762, .chunk_bytes = CHUNK}};

	accept_70(b, NULL);
	b->group->applied_slot = 41;
	node_payload_end(b->node);
	ask_around(b);
	hear_image(b, 1, 39);
	ask_around(b);
	cr_assert_eq(b->node->payloads_used, 1, "an older image says nothing of it");
	cr_assert_eq(node_feed_payload(b->node, b->group, 0, &r), HISTORY_WAIT);
	hear_image(b, 1, 40);
	node_payload_end(b->node);
	cr_assert_eq(b->node->payloads_used, 1, "node 2 may have it");
	ask_around(b);
	cr_assert_eq(b->node->payloads_used, 0);
	cr_assert_eq(b->group->payload_through, 1);
	cr_assert_eq(node_feed_payload(b->node, b->group, 0, &r), HISTORY_LOST);
	ask_around(b);
	cr_assert_eq(b->node->payloads_used, 0, "nor is it looked for again");
	bench_free(b);
}

/* The next entry needs it: that waits, until the image is taken. */
Test(node_payload, what_the_next_entry_needs_is_not_given_up)
{
	struct bench *b = one_of_three();

	apply_through(b, 70);
	struct node_payload *p = new_payload(b, 1, 71);
	p->number = 1;
	p->covered = true;
	p->available = p->total;
	ask_around(b);
	cr_assert_eq(b->node->payloads_used, 1);
	bench_free(b);
}

#define EPOCH 7 /* the first one that node 0 is the lowest of */

/* It holds a part of payload 1 of the incarnation 50, and goes over to another epoch. */
static struct bench *
forced(void)
{
	struct bench *b = bench_new();

	start(b);
	log_group(b);
	chunk(b, new_payload(b, 1, 0));
	b->node->epoch = EPOCH;
	b->node->forced_voters = 1;
	node_force_remember(b->node);
	struct bench *next = replayed(b);
	bench_free(b);
	start(next);
	cr_assert_eq(next->node->epoch, EPOCH);
	cr_assert_eq(group_epoch(next->group->state), 0);
	cr_assert_eq(node_payload_find(next->node, next->group, 50, 1)->held, CHUNK);
	return next;
}

static struct node_payload *
hear_offer(struct bench *b)
{
	struct protocol_message m = {.kind = PROTOCOL_OFFER,
				     .group = 1,
				     .incarnation = 50,
				     .sequence = 1,
				     .flags = CHUNK,
				     .index = 3 * CHUNK - 6,
				     .mark = 3 * CHUNK - 6};
	uint8_t data[256];
	struct writer w = writer_over(data, sizeof data);
	uint32_t bytes = protocol_encode(&m, b->node->config.epoch, &w);
	struct frame frame;

	cr_assert(frame_decode(&frame, data, bytes));
	b->node->session[0].node = 1;
	node_move_message(b->node, 0, &frame, data, bytes);
	node_payload_end(b->node);
	return node_payload_find(b->node, b->group, 50, 1);
}

/* Behind the fork the lost had come to entry 50; it is another one now, with an incarnation and
 * payloads of its own. */
Test(node_payload, one_of_an_earlier_epoch_is_not_gone_on_with)
{
	struct bench *b = forced();

	cr_assert_null(hear_offer(b), "it is void");
	struct node_payload *p = hear_offer(b);
	cr_assert(p);
	cr_assert_eq(p->held, 0);
	chunk(b, p);
	node_force_fork(b->node, b->group, EPOCH);
	node_payload_end(b->node);
	cr_assert_eq(node_payload_find(b->node, b->group, 50, 1), p, "of this epoch it stays");
	struct bench *again = replayed(b);
	start(again);
	p = node_payload_find(again->node, again->group, 50, 1);
	cr_assert(p);
	cr_assert_eq(p->held, CHUNK);
	cr_assert_eq(p->epoch, EPOCH);
	bench_free(again);
	bench_free(b);
}

Test(node_payload, a_fork_ends_those_of_an_earlier_epoch)
{
	struct bench *b = forced();

	cr_assert(node_payload_may_come(b->group, 50, 1), "by its number");
	node_force_fork(b->node, b->group, EPOCH);
	node_payload_end(b->node);
	cr_assert_eq(b->node->payloads_used, 0);
	bench_free(b);
}

/* Payload 1, of entry 70, lies in its log; then it goes over, not knowing that to be decided. */
static struct bench *
forced_with_a_payload(void)
{
	struct bench *b = bench_new();

	start(b);
	log_group(b);
	struct node_payload *p = settled_payload(b);
	p->offer = 2; /* and some of another one, of a later entry */
	p->index = 71;
	p->held = 0;
	chunk(b, p);
	b->node->epoch = EPOCH;
	b->node->forced_voters = 1;
	node_force_remember(b->node);
	struct bench *next = replayed(b);
	bench_free(b);
	start(next);
	cr_assert_neq(node_payload_place(next->node, next->group, 1)->link.lsn, 0);
	cr_assert_eq(next->node->payloads_used, 1);
	return next;
}

/* Behind the fork number 1 is another one's, or nobody's: no image would ever be closed. */
Test(node_payload, where_that_of_a_void_order_lies_is_forgotten)
{
	struct bench *b = forced_with_a_payload();

	apply_through(b, 60);
	node_force_fork(b->node, b->group, EPOCH);
	node_payload_end(b->node);
	cr_assert_null(node_payload_place(b->node, b->group, 1));
	cr_assert_eq(b->node->payloads_used, 0, "nor is 71 that entry");
	bench_free(b);
}

/* What it was before the fork it stays. */
Test(node_payload, where_one_in_front_of_a_fork_lies_is_known)
{
	struct bench *b = forced_with_a_payload();

	uint64_t lsn = node_payload_place(b->node, b->group, 1)->link.lsn;
	accept_70(b, NULL);
	node_force_fork(b->node, b->group, EPOCH);
	cr_assert_eq(node_payload_place(b->node, b->group, 1)->link.lsn, lsn);
	bench_free(b);
}

/* Replay may meet what this epoch's process has logged before it comes to the fork. */
Test(node_payload, where_one_of_the_new_order_lies_is_known)
{
	struct bench *b = forced_with_a_payload();

	(void)settled_payload(b);
	struct bench *again = replayed(b);
	start(again);
	apply_through(again, 60);
	node_force_fork(again->node, again->group, EPOCH);
	cr_assert(node_payload_place(again->node, again->group, 1));
	cr_assert_eq(node_payload_place(again->node, again->group, 1)->link.lsn, b->bytes);
	bench_free(again);
	bench_free(b);
}

/* An image of another node has brought it over the fork. */
Test(node_payload, an_image_behind_the_fork_forgets_what_is_void)
{
	struct bench *b = forced_with_a_payload();

	group_fork(b->group->state, EPOCH);
	node_group_loaded(b->node, b->group, 40);
	cr_assert_null(node_payload_place(b->node, b->group, 1));
	bench_free(b);
}

/* ---- what another node says ---- */

/* The message as it comes, from node 2; its body, where there is one, `cut` bytes short. */
static void
hear(struct bench *b, const struct protocol_message *m, uint32_t cut)
{
	static const uint8_t epoch[EPOCH_BYTES];
	uint8_t bytes[1024];
	struct writer w = writer_over(bytes, sizeof bytes);
	struct frame frame;
	uint32_t count = protocol_encode(m, epoch, &w);

	cr_assert(count > 0 && frame_decode(&frame, bytes, count));
	cr_assert_leq(FRAME_HEADER_BYTES + cut, count);
	frame.frame_bytes = count - cut;
	frame_encode(&frame, bytes);
	b->node->session[0].node = 2;
	node_move_message(b->node, 0, &frame, bytes, frame.frame_bytes);
}

static struct node_status
status(const struct bench *b)
{
	struct node_status now;

	node_status(b->node, &now);
	return now;
}

Test(node_payload, what_no_node_would_say_of_them_is_counted)
{
	struct bench *b = bench_new();
	struct protocol_message m = {.kind = PROTOCOL_CHUNK,
				     .group = 1,
				     .incarnation = 50,
				     .sequence = 1,
				     .flags = CHUNK,
				     .mark = 3 * CHUNK - 6,
				     .data = (const uint8_t[CHUNK]){1},
				     .bytes = CHUNK};

	start(b);
	hear(b, &m, 0);
	cr_assert_eq(status(b).dropped_chunks, 1, "of none");
	struct node_payload *p = new_payload(b, 1, 0);
	m.bytes--;
	hear(b, &m, 0);
	m.bytes++;
	m.index = CHUNK;
	hear(b, &m, 0);
	cr_assert_eq(status(b).dropped_chunks, 3, "a short one, and one that is not the next");
	cr_assert_eq(p->held, 0);
	m.index = 0;
	hear(b, &m, CHUNK + 1);
	cr_assert_eq(status(b).dropped_undecodable, 1);
	m.kind = PROTOCOL_VIEW;
	hear(b, &m, 0);
	cr_assert_eq(status(b).dropped_undecodable, 2);
	m.kind = PROTOCOL_CHUNK;
	m.group = 7;
	hear(b, &m, 0);
	cr_assert_eq(status(b).dropped_unknown_group, 1);
	m.group = 1;
	hear(b, &m, 0);
	cr_assert_eq(p->held, CHUNK, "and the right one is taken");
	bench_free(b);
}

/* Else a majority would be counted of nodes of which one has other bytes. */
Test(node_payload, who_holds_other_bytes_holds_it_not)
{
	struct bench *b = bench_new();

	start(b);
	struct node_payload *p = new_payload(b, 1, 0);
	while (p->held < p->total)
		chunk(b, p);
	p->durable = p->total; /* the disk has said so */
	struct protocol_message m = {.kind = PROTOCOL_HELD,
				     .group = 1,
				     .incarnation = 50,
				     .sequence = 1,
				     .flags = 1 << 2,
				     .winner_hash = p->digest + 1};
	uint32_t before = p->holders;
	hear(b, &m, 0);
	cr_assert_eq(p->holders, before);
	m.winner_hash = p->digest;
	hear(b, &m, 0);
	cr_assert_eq(p->holders, before | 1 << 2);
	bench_free(b);
}

Test(node_payload, consensus_and_orders_that_do_not_decode_are_counted)
{
	struct bench *b = bench_new();
	uint8_t bytes[256] = {0};
	struct frame frame = {.kind = PAXOS_ACCEPT, .group = 1};

	start(b);
	frame.frame_bytes = FRAME_HEADER_BYTES + PAXOS_FIXED_BYTES - 1;
	node_group_message(b->node, 2, &frame, bytes);
	cr_assert_eq(status(b).dropped_undecodable, 1, "too short");
	frame.frame_bytes++;
	frame.kind = PAXOS_RECORD_START;
	node_group_message(b->node, 2, &frame, bytes);
	cr_assert_eq(status(b).dropped_undecodable, 2, "a record's");
	frame.group = 7;
	node_group_message(b->node, 2, &frame, bytes);
	cr_assert_eq(status(b).dropped_unknown_group, 1);
	frame = (struct frame){
		.kind = PROTOCOL_ORDER, .group = 1, .frame_bytes = FRAME_HEADER_BYTES + 2};
	node_order_message(b->node, &frame, bytes, frame.frame_bytes);
	cr_assert_eq(status(b).dropped_undecodable, 3, "an order that is cut");
	frame.frame_bytes = FRAME_HEADER_BYTES + 13;
	node_order_message(b->node, &frame, bytes, frame.frame_bytes);
	cr_assert_eq(status(b).dropped_undecodable, 4, "of no kind");
	bench_free(b);
}
