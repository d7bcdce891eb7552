/* Results of old entries: what memory no longer holds is found in the log again, before
 * and after a restart, with two reads at most; and what a member lacks is found by it. */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "node/internal.h"

#define ENTRIES      2000
#define FIRST_SUBMIT 4 /* CREATE, JOIN and ATTACH stand before it */
#define READS        64
#define INCARNATION  2

/* A node of its own that decides alone, and its disk. */
struct bench {
	struct node_config config;
	struct node *node;
	struct node_group *group;
	void *memory;
	uint8_t *log;
	uint64_t bytes;
	uint64_t told; /* of them durable */
	struct node_output read[READS];
	uint32_t read_count;
	uint32_t reads;
	struct node_result result[ENTRIES + FIRST_SUBMIT]; /* by index, as it was in memory */
	struct history_link place[ENTRIES + 64];           /* by slot */
};

#define LOG_BYTES (8u << 20)

static const struct node_config small = {
	.node_count = 1,
	.groups_max = 1,
	.members_max = 2,
	.inflight_max = 16,
	.index_hashes_max = 1024,
	.results_max = 64,
	.history_row = 8,
	.history_links = 4,
	.history_blocks = 64,
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

static void
emit(void *context, const struct node_output *out)
{
	struct bench *b = context;

	if (out->kind == NODE_OUT_LOG) {
		cr_assert_leq(b->bytes + out->bytes, LOG_BYTES);
		memcpy(b->log + b->bytes, out->data, out->bytes);
		b->bytes += out->bytes;
	}
	if (out->kind == NODE_OUT_READ) {
		cr_assert_lt(b->read_count, READS);
		b->read[b->read_count++] = *out;
		b->reads++;
	}
}

static void
give(struct bench *b, struct node_input in)
{
	struct node_sink sink = {.context = b, .emit = emit};

	node_step(b->node, &in, &sink);
}

/* Until the disk has everything. */
static void
settle(struct bench *b)
{
	give(b, (struct node_input){.kind = NODE_IN_TICK});
	while (b->told < b->bytes) {
		b->told = b->bytes;
		give(b, (struct node_input){.kind = NODE_IN_DURABLE, .lsn = b->told});
	}
}

static void
answer_reads(struct bench *b)
{
	while (b->read_count > 0) {
		struct node_output read = b->read[--b->read_count];

		give(b, (struct node_input){.kind = NODE_IN_READ_DONE,
					    .lsn = read.lsn,
					    .data = b->log + read.lsn - read.bytes,
					    .bytes = read.bytes});
	}
}

static struct bench *
bench_new(const struct node_config *config)
{
	struct bench *b = calloc(1, sizeof *b);

	b->config = *config;
	b->log = malloc(LOG_BYTES);
	b->memory = aligned_alloc(64, (node_size(config) + 63) / 64 * 64);
	cr_assert(b->memory && b->log);
	b->node = node_init(b->memory, config);
	return b;
}

static void
bench_free(struct bench *b)
{
	free(b->memory);
	free(b->log);
	free(b);
}

static void
start(struct bench *b, uint64_t process)
{
	give(b, (struct node_input){.kind = NODE_IN_START,
				    .process = process,
				    .tail = PAXOS_TAIL_CLEAN,
				    .lsn = b->node->lsn_next,
				    .data = (const uint8_t[64]){5},
				    .bytes = 64});
	settle(b);
}

static void
order(struct bench *b, const struct entry *entry)
{
	cr_assert(node_group_submit_entry(b->node, b->group, entry));
	settle(b);
	uint64_t index = group_applied(b->group->state);
	b->result[index] = *node_group_result(b->node, b->group, index);
	uint64_t slot = b->group->delivered_slot;
	cr_assert_lt(slot, sizeof b->place / sizeof b->place[0]);
	b->place[slot] = node_group_place(b->node, b->group, slot);
}

/* A group with a member, and its transactions; each is an entry and a slot. */
static struct bench *
filled(const struct node_config *config)
{
	static const uint8_t uuid[UUID_BYTES] = {9};
	struct bench *b = bench_new(config);

	start(b, 1);
	node_directory_found(b->node, uuid);
	settle(b);
	b->group = node_group_by_number(b->node, 1);
	cr_assert(b->group);
	struct entry create = {.kind = ENTRY_CREATE,
			       .create = {.config = {.block_size = 1000000,
						     .index_hashes_max = 1024,
						     .inflight_max = 16,
						     .members_max = 2,
						     .protocol = PROTOCOL_VERSION}}};
	memcpy(create.create.group_uuid, uuid, UUID_BYTES);
	order(b, &create);
	order(b, &(struct entry){.kind = ENTRY_JOIN,
				 .join = {.server_uuid = {7}, .nonce = {3}, .host = ""}});
	order(b, &(struct entry){.kind = ENTRY_ATTACH,
				 .attach = {.incarnation = INCARNATION, .session = 1}});
	for (uint64_t i = 1; i <= ENTRIES; i++)
		order(b, &(struct entry){.kind = ENTRY_SUBMIT,
					 .submit = {.incarnation = INCARNATION,
						    .session = 1,
						    .sequence = i,
						    .floor = i,
						    .gtid_spec = GTID_AUTOMATIC,
						    .payload = (const uint8_t *)"payload",
						    .payload_bytes = 7}});
	cr_assert_eq(group_applied(b->group->state), ENTRIES + FIRST_SUBMIT - 1);
	return b;
}

/* Another life of the same node, on the same disk. */
static struct bench *
restarted(const struct bench *first)
{
	struct bench *b = bench_new(&first->config);
	struct frame frame = {0};
	uint64_t lsn = 0;

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
	b->told = b->bytes;
	start(b, 2);
	b->group = node_group_by_number(b->node, 1);
	cr_assert(b->group);
	return b;
}

/* Looks in the log; answers how many reads that took, 9 if it is lost. */
static uint32_t
look(struct bench *b, struct node_cursor *c, uint64_t item, struct node_result *result,
     struct history_link *link)
{
	static struct node_sink sink;
	uint32_t reads = b->reads;

	sink = (struct node_sink){.context = b, .emit = emit};
	for (uint32_t i = 0; i < 8; i++) {
		b->node->sink = &sink;
		enum history_answer answer =
			result ? node_cursor_result(b->node, b->group, c, item, result)
			       : node_cursor_link(b->node, b->group, c, item, link);
		b->node->sink = NULL;
		if (answer != HISTORY_WAIT)
			return answer == HISTORY_HERE ? b->reads - reads : 9;
		answer_reads(b);
	}
	return 9;
}

static void
check_results(struct bench *b, const struct bench *as)
{
	struct node_cursor *c = &b->node->session[0].results;
	uint32_t backwards = 0, reads = 0;

	for (uint64_t i = 1; i < ENTRIES; i += 37) {
		const struct node_result *was = &as->result[i];
		struct node_result r;

		cr_assert_leq(look(b, c, i, &r, NULL), 2, "entry %lu", i);
		cr_assert_eq(r.kind, was->kind);
		if (was->kind != RESULT_ACCEPTED)
			continue;
		cr_assert(gtid_equal(&r.gtid, &was->gtid));
		cr_assert_eq(r.dependency, was->dependency);
		cr_assert_eq(r.incarnation, INCARNATION);
		cr_assert_eq(r.slot, was->slot);
		cr_assert_eq(r.place.lsn, was->place.lsn);
		cr_assert_eq(r.place.bytes, was->place.bytes);
		cr_assert_eq(r.offset, was->offset);
		cr_assert_eq(r.bytes, 7);
	}
	for (uint64_t i = ENTRIES - 100; i > 0; i--) {
		struct node_result r;
		reads = look(b, c, i, &r, NULL);
		cr_assert_leq(reads, 2);
		backwards += reads;
	}
	cr_assert_leq(backwards, 2 * ENTRIES / b->config.history_row, "a row is read once");
}

Test(node_history, what_memory_no_longer_holds_is_found_in_the_log)
{
	struct bench *b = filled(&small);

	check_results(b, b);
	bench_free(b);
}

Test(node_history, a_restart_finds_the_same)
{
	struct bench *b = filled(&small);
	struct bench *again = restarted(b);

	check_results(again, b);
	bench_free(again);
	bench_free(b);
}

/* The last rows were not on disk: they are written by the next life. */
Test(node_history, a_restart_writes_what_was_missing)
{
	struct bench *b = filled(&small);
	struct frame frame = {0};
	uint64_t lsn = 0, cut = 0, rows = b->group->history[HISTORY_RESULTS].row_next;

	while (lsn < b->bytes) {
		cr_assert(frame_decode(&frame, b->log + lsn, b->bytes - lsn));
		bool row = frame.kind == NODE_RECORD_HISTORY && frame.group == 1;
		if (row && b->log[lsn + FRAME_HEADER_BYTES] == HISTORY_RESULTS)
			cut = lsn;
		lsn += frame.frame_bytes;
	}
	b->bytes = cut;
	struct bench *again = restarted(b);
	cr_assert_gt(again->bytes, cut);
	cr_assert_eq(again->group->history[HISTORY_RESULTS].row_next, rows);
	check_results(again, b);
	bench_free(again);
	bench_free(b);
}

Test(node_history, places_of_slots_are_found_too)
{
	struct node_config config = small;
	struct bench *b = filled(&config);
	struct node_cursor *c = &b->node->session[0].payloads;

	node_cursor_open(
		c, &(struct node_cursor){.series = HISTORY_PLACES, .purpose = READ_ROW_FOR_FEED});
	for (uint64_t slot = 1; slot < ENTRIES - 10; slot += 31) {
		struct history_link link = {0};

		cr_assert_leq(look(b, c, slot, NULL, &link), 2, "slot %lu", slot);
		cr_assert_eq(link.lsn, b->place[slot].lsn);
		cr_assert_eq(link.bytes, b->place[slot].bytes);
	}
	bench_free(b);
}

Test(node_history, what_the_blocks_do_not_reach_is_lost)
{
	struct node_config config = small;
	config.history_blocks = 8;
	struct bench *b = filled(&config);
	struct node_cursor *c = &b->node->session[0].results;
	uint64_t reach = 8 * config.history_links * config.history_row;
	struct node_result r;

	cr_assert_eq(look(b, c, 1, &r, NULL), 9);
	cr_assert_eq(look(b, c, ENTRIES - reach - 40, &r, NULL), 9);
	cr_assert_leq(look(b, c, ENTRIES - reach + 40, &r, NULL), 2);
	bench_free(b);
}

Test(node_history, without_rows_memory_is_all_there_is)
{
	struct node_config config = small;
	config.history_row = 0;
	struct bench *b = filled(&config);
	struct node_cursor *c = &b->node->session[0].results;
	struct node_result r;

	cr_assert_eq(look(b, c, ENTRIES - 70, &r, NULL), 9);
	cr_assert_eq(look(b, c, ENTRIES - 50, &r, NULL), 0);
	bench_free(b);
}

Test(node_history, rows_survive_the_round_trip)
{
	struct node_result in = {.kind = RESULT_ACCEPTED,
				 .slot = 12,
				 .place = {.lsn = 4000, .bytes = 300},
				 .incarnation = 2,
				 .dependency = 7,
				 .flags = SUBMIT_FENCE,
				 .gtid = {.source = {.uuid = {7}, .tag_bytes = 3, .tag = "abc"},
					  .gno = 55},
				 .payload = 9,
				 .spread = {.bytes = 600,
					    .digest = 77,
					    .chunk_bytes = 512,
					    .holders = 3,
					    .offer = 5}},
			   out;
	const struct history_link links[] = {{.lsn = 100, .bytes = 10}, {.lsn = 200, .bytes = 20}};
	uint8_t bytes[512];
	struct writer w = writer_over(bytes, sizeof bytes);
	struct history_row row = {.items = 1, .links = 4, .row = 6};

	history_row_encode(&row, links, &w);
	writer_u32(&w, 4);
	size_t head = w.bytes;
	history_result_encode(&in, &w);
	cr_assert_leq(w.bytes - head + 4, HISTORY_ITEM_BYTES);
	cr_assert(history_row_decode(&row, bytes, (uint32_t)w.bytes));
	cr_assert_eq(row.row, 6);
	cr_assert_eq(history_links(&row), 2);
	cr_assert_eq(history_row_link(&row, 1).lsn, 200);
	struct reader r = history_row_item(&row, 0);
	cr_assert(history_result_decode(&out, &r));
	cr_assert(reader_done(&r));
	cr_assert(gtid_equal(&in.gtid, &out.gtid));
	cr_assert_eq(out.place.lsn, 4000);
	cr_assert_eq(out.place.bytes, 300);
	cr_assert_eq(memcmp(&in.spread, &out.spread, sizeof in.spread), 0);
	cr_assert_eq(out.payload, 9);
	for (uint32_t n = 0; n < w.bytes; n++) {
		if (!history_row_decode(&row, bytes, n))
			continue;
		r = history_row_item(&row, 0);
		cr_assert(!history_result_decode(&out, &r), "%u bytes", n);
	}
}

/* ---- what a member lacks ---- */

struct range {
	uint64_t from, to; /* GTID numbers; 0: none */
};

static uint64_t
missing(struct bench *b, const struct range *has, uint32_t count)
{
	struct gtid_limits limits = {.sources_max = 4, .intervals_max = 64};
	struct gtid_set *set = gtid_set_init(malloc(gtid_set_size(limits)), limits);
	struct node_sink sink = {.context = b, .emit = emit};
	static uint8_t bytes[4096];
	struct writer w = writer_over(bytes, sizeof bytes);
	struct node_session *s = &b->node->session[0];

	for (uint32_t i = 0; i < count; i++)
		gtid_set_add_interval(
			set, &(struct gtid_interval){.source = b->result[FIRST_SUBMIT].gtid.source,
						     .from = has[i].from,
						     .to = has[i].to});
	gtid_set_encode(set, &w);
	free(set);
	s->group = 1;
	s->missing = 0;
	b->node->sink = &sink;
	node_search_begin(b->node, 0,
			  (struct gtid_bytes){.data = bytes, .bytes = (uint32_t)w.bytes});
	b->node->sink = NULL;
	for (uint32_t i = 0; i < 2 * ENTRIES && s->missing == 0; i++) {
		answer_reads(b);
		settle(b);
	}
	cr_assert_eq(b->node->search.session, NODE_NO_SESSION);
	return s->missing;
}

Test(node_search, the_lowest_that_a_member_lacks_is_found_however_old)
{
	struct bench *b = filled(&small);
	uint64_t first = b->result[FIRST_SUBMIT].gtid.gno;
	uint64_t last = first + ENTRIES - 1;

	cr_assert_eq(missing(b, NULL, 0), FIRST_SUBMIT);
	cr_assert_eq(missing(b, &(struct range){first, first + 499}, 1), FIRST_SUBMIT + 500);
	cr_assert_eq(missing(b, (struct range[]){{first, first + 9}, {first + 11, last}}, 2),
		     FIRST_SUBMIT + 10);
	uint32_t reads = b->reads;
	cr_assert_eq(missing(b, &(struct range){first, last}, 1), FIRST_SUBMIT + ENTRIES);
	cr_assert_eq(missing(b, &(struct range){first, last - 20}, 1), FIRST_SUBMIT + ENTRIES - 20);
	cr_assert_eq(b->reads, reads, "what it lacks is in memory");
	bench_free(b);
}

/* Its payload was spread, and is nowhere any more. */
Test(node_search, who_lacks_what_was_given_up_is_refused)
{
	struct bench *b = filled(&small);
	uint64_t first = b->result[FIRST_SUBMIT].gtid.gno;
	uint64_t last = first + ENTRIES - 1;

	b->group->result[ENTRIES & (small.results_max - 1)].payload = 5;
	b->group->payload[5] = (struct node_payload_place){.number = 5, .index = ENTRIES};
	cr_assert_eq(missing(b, &(struct range){first, last - 20}, 1), FIRST_SUBMIT + ENTRIES - 20);
	b->group->payload[5].gone = true;
	cr_assert_eq(missing(b, &(struct range){first, last}, 1), FIRST_SUBMIT + ENTRIES);
	cr_assert_eq(missing(b, &(struct range){first, last - 20}, 1), 0);
	bench_free(b);
}
