/* Large transactions at a member: what is lent and when it comes back, and that the
 * server is told each byte of a payload once, in order, across a failover. */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "base/hash.h"
#include "node/member_state.h"
#include "node/spread.h"

#define TOTAL      1000
#define INFLIGHT   16
#define FIRST_NAME (SNAPSHOT_AHEAD | INFLIGHT) /* place 0 */

/* What the member said, and what it gave back. */
struct told {
	uint8_t data[TOTAL];
	uint64_t bytes;
	uint32_t pieces;
	uint32_t lasts;
	uint32_t verdicts;
	enum member_verdict verdict;
	uint32_t released;
	const uint8_t *payload;
	bool connected;
};

static void
emit(void *context, const struct member_output *out)
{
	struct told *t = context;

	if (out->kind == MEMBER_OUT_VERDICT) {
		t->verdicts++;
		t->verdict = out->verdict;
	}
	if (out->kind != MEMBER_OUT_QUEUE)
		return;
	cr_assert_eq(out->offset, t->bytes);
	cr_assert_leq(out->offset + out->bytes, TOTAL);
	memcpy(t->data + out->offset, out->data, out->bytes);
	t->bytes = out->last ? 0 : t->bytes + out->bytes;
	t->pieces++;
	t->lasts += out->last;
}

static bool
nothing_executed(void *context, const struct gtid *gtid)
{
	(void)context;
	(void)gtid;
	return false;
}

/* Sequence 1 is taken. */
static uint64_t
open_one(struct member *m)
{
	static struct snapshot_taken taken;
	struct snapshot_executed executed = {.contains = nothing_executed};

	cr_assert(snapshot_take(&m->snapshots, &executed, &taken));
	return taken.sequence;
}

static void
release(void *context, uint64_t sequence, const uint8_t *payload)
{
	struct told *t = context;

	cr_assert_eq(sequence, FIRST_NAME);
	t->released++;
	t->payload = payload;
}

static struct told told;
static struct member_sink sink = {.context = &told, .emit = emit, .release = release};

static struct member *
attached(void)
{
	struct member_config config = {
		.node_count = 1,
		.endpoint = {{.address = {1}, .port = 1}},
		.inflight_max = INFLIGHT,
		.transaction_bytes_max = 600,
		.payload_bytes_max = 100000,
		.submission_bytes = 600 * 64,
		.snapshot_entries_max = 256,
		.gtid_intervals_max = 64,
		.datagram_bytes_max = 1400,
		.stream_bytes = 32768,
		.session_dead_ns = 1000000000,
		.retry_ns = 50000000,
		.progress_ns = 20000000,
	};
	struct member_start start = {.process = 1, .host = "h", .block_size = 1};
	uint8_t random[64] = {1, 2, 3};
	void *memory = aligned_alloc(64, (member_size(&config) + 63) / 64 * 64);

	cr_assert(memory);
	memset(memory, 0, member_size(&config));
	memset(&told, 0, sizeof told);
	struct member *m = member_init(memory, &config);
	member_step(m,
		    &(struct member_input){
			    .kind = MEMBER_IN_RANDOM, .data = random, .bytes = sizeof random},
		    &sink);
	member_step(m, &(struct member_input){.kind = MEMBER_IN_START, .start = &start}, &sink);
	m->incarnation = 5;
	m->stage = MEMBER_ATTACHED;
	m->entry_bytes_max = 600;
	m->chunk_bytes = 256;
	m->payload_bytes_max = 100000;
	m->feed_through = 5;
	m->feed_previous = 5;
	snapshot_table_reset(&m->snapshots, 5);
	m->sink = &sink;
	return m;
}

static uint8_t payload[TOTAL];

static void
feed_piece(struct member *m, uint64_t offset, uint32_t bytes)
{
	uint8_t data[2048];
	struct writer w = writer_over(data, sizeof data);
	struct protocol_message message = {
		.kind = PROTOCOL_PIECE,
		.incarnation = 4,
		.index = 9,
		.previous = 5,
		.sequence = offset,
		.mark = TOTAL,
		.gtid = {.source = {.uuid = {3}}, .gno = 7},
		.data = payload + offset,
		.bytes = bytes,
	};

	for (uint32_t i = 0; i < TOTAL; i++)
		payload[i] = (uint8_t)(i * 13 + 1);
	uint32_t whole = protocol_encode(&message, m->epoch, &w);
	member_feed(m, &message, data, whole);
}

Test(node_member_spread, pieces_make_one_transaction)
{
	struct member *m = attached();

	feed_piece(m, 0, 400);
	feed_piece(m, 400, 400);
	cr_assert_eq(m->feed_through, 5, "not told whole yet");
	feed_piece(m, 800, 200);
	cr_assert_eq(told.pieces, 3);
	cr_assert_eq(told.lasts, 1);
	cr_assert_eq(memcmp(told.data, payload, TOTAL), 0);
	cr_assert_eq(m->feed_through, 9);
	cr_assert_eq(m->snapshots.count, 1);
	free(m);
}

Test(node_member_spread, behind_a_failover_only_new_bytes_are_told)
{
	struct member *m = attached();

	feed_piece(m, 0, 400);
	feed_piece(m, 400, 100);
	member_feed_detached(m);
	feed_piece(m, 0, 300);
	cr_assert_eq(told.pieces, 2, "known already");
	feed_piece(m, 300, 300);
	cr_assert_eq(told.pieces, 3);
	feed_piece(m, 600, 400);
	cr_assert_eq(told.lasts, 1);
	cr_assert_eq(memcmp(told.data, payload, TOTAL), 0);
	cr_assert_eq(m->feed_through, 9);
	free(m);
}

Test(node_member_spread, a_gap_between_pieces_ends_the_session)
{
	struct member *m = attached();

	feed_piece(m, 0, 400);
	feed_piece(m, 800, 200);
	cr_assert_eq(m->stage, MEMBER_CONNECTING);
	cr_assert_eq(told.pieces, 1);
	free(m);
}

Test(node_member_spread, an_own_failed_transaction_waits_for_the_last_piece)
{
	struct member *m = attached();
	static const uint8_t own[100] = {9};

	feed_piece(m, 0, 400);
	m->open[1] = (struct member_open){.stage = OPEN_REQUEUE,
					  .name = FIRST_NAME,
					  .sequence = 1,
					  .index = 3,
					  .handle = MEMBER_NO_HANDLE,
					  .lent = own,
					  .spread = own,
					  .spread_bytes = sizeof own,
					  .lent_payload_bytes = sizeof own};
	cr_assert(pool_take(m->pool, &m->open[1].handle));
	cr_assert_eq(open_one(m), 1);
	cr_assert(!member_requeue(m, 6));
	cr_assert_eq(told.pieces, 1);
	feed_piece(m, 400, 600);
	cr_assert_eq(told.lasts, 2, "the payload's, then the own one's");
	cr_assert_eq(told.pieces, 3);
	free(m);
}

static bool
contains(void *context, const struct gtid *gtid)
{
	return context == gtid;
}

/* What it is called until it has a sequence. */
static uint64_t
name_of(struct member *m)
{
	struct snapshot_executed executed = {.contains = contains};
	struct snapshot_taken *taken = malloc(sizeof *taken);

	cr_assert(taken && snapshot_take_ahead(&m->snapshots, &executed, taken));
	uint64_t name = taken->sequence;
	free(taken);
	return name;
}

/* Every chunk was given, and a majority has them: it can be ordered. */
static struct member_open *
held(struct member *m)
{
	struct member_open *o = &m->ahead[0];

	cr_assert_neq(o->offer, 0);
	for (; o->hashed < o->spread_bytes; o->hashed += o->chunk_bytes)
		o->digest = hash_bytes(o->spread + o->hashed,
				       spread_chunk_at(o->spread_bytes, o->chunk_bytes, o->hashed),
				       o->digest);
	o->hashed = o->spread_bytes;
	member_spread_held(m, &(struct protocol_message){.incarnation = m->incarnation,
							 .sequence = o->offer,
							 .flags = 3,
							 .winner_hash = o->digest});
	return member_open_find(m, 1);
}

/* One block: hashes, payload. */
static union {
	uint64_t hash[400];
	uint8_t byte[3200 + TOTAL];
} block;

static void
submit_block(struct member *m, uint32_t hash_count)
{
	struct snapshot snapshot = {.mark = 5};
	struct member_submission s = {
		.sequence = name_of(m),
		.snapshot = &snapshot,
		.gtid_spec = GTID_AUTOMATIC,
		.hashes = block.hash,
		.hash_count = hash_count,
		.payload = block.byte + hash_count * 8,
		.payload_bytes = TOTAL,
		.lent = true,
	};

	for (uint32_t i = 0; i < hash_count; i++)
		block.hash[i] = i;
	for (uint32_t i = 0; i < TOTAL; i++)
		block.byte[hash_count * 8 + i] = (uint8_t)(i * 13 + 1);
	member_submit(m, &s);
}

/* What the entry says when all chunks were given, and a majority has them. */
static struct entry
entry_of(struct member *m, struct entry_spread *spread)
{
	struct member_open *o = held(m); /* without a session it finds no room */
	struct entry e;

	cr_assert(o);
	cr_assert(entry_decode(&e, pool_at(m->pool, o->handle), o->bytes));
	cr_assert(entry_spread_decode(spread, e.submit.payload, e.submit.payload_bytes));
	return e;
}

Test(node_member_spread, a_write_set_that_fits_the_entry_stays_there)
{
	struct member *m = attached();
	struct entry_spread spread;

	submit_block(m, 50);
	struct entry e = entry_of(m, &spread);
	cr_assert_eq(e.submit.hash_count, 50);
	cr_assert_eq(entry_hash(&e.submit, 49), 49);
	cr_assert_eq(spread.hash_count, 0);
	cr_assert_eq(spread.bytes, TOTAL);
	free(m);
}

Test(node_member_spread, a_large_write_set_goes_in_front_of_the_payload)
{
	struct member *m = attached();
	struct protocol_message accepted = {.kind = PROTOCOL_VERDICT,
					    .incarnation = 5,
					    .sequence = 1,
					    .index = 8,
					    .verdict = GROUP_ACCEPTED,
					    .gtid = {.source = {.uuid = {3}}, .gno = 7}};
	struct entry_spread spread;
	uint64_t digest = 0;

	submit_block(m, 400);
	struct entry e = entry_of(m, &spread);
	cr_assert_eq(e.submit.hash_count, 0);
	cr_assert_eq(entry_hash_count(&e.submit), 400);
	cr_assert_eq(spread.bytes, 3200 + TOTAL);
	for (uint64_t at = 0; at < spread.bytes; at += 256)
		digest =
			hash_bytes(block.byte + at, spread_chunk_at(spread.bytes, 256, at), digest);
	cr_assert_eq(spread.digest, digest);
	cr_assert_eq(told.released, 0);

	/* What the server could not commit comes back without it. */
	member_verdict(m, &accepted);
	member_local_failed(m, FIRST_NAME);
	cr_assert(member_requeue(m, 9));
	cr_assert_eq(told.lasts, 1);
	cr_assert_eq(memcmp(told.data, block.byte + 3200, TOTAL), 0);
	member_committed(m, &accepted.gtid);
	cr_assert_eq(told.released, 1);
	cr_assert_eq(told.payload, block.byte, "the block, not the payload in it");
	free(m);
}

Test(node_member_spread, write_set_and_payload_share_the_limit)
{
	struct member *m = attached();

	m->config.payload_bytes_max = 3200 + TOTAL - 1;
	submit_block(m, 400);
	cr_assert_eq(told.verdict, MEMBER_NO_ROOM);
	cr_assert_eq(told.released, 1);
	cr_assert_eq(told.payload, block.byte);
	free(m);
}

static void
submit(struct member *m, uint32_t bytes, bool lent)
{
	struct snapshot snapshot = {.mark = 5};
	struct member_submission s = {
		.sequence = lent ? name_of(m) : open_one(m),
		.snapshot = &snapshot,
		.gtid_spec = GTID_AUTOMATIC,
		.payload = payload,
		.payload_bytes = bytes,
		.lent = lent,
	};

	member_submit(m, &s);
}

Test(node_member_spread, what_fits_is_copied_and_given_back_at_once)
{
	struct member *m = attached();

	submit(m, 100, true);
	cr_assert_eq(told.released, 1);
	cr_assert_eq(told.payload, payload);
	cr_assert_eq(told.verdicts, 0);
	cr_assert_null(member_open_find(m, 1)->lent);
	free(m);
}

Test(node_member_spread, a_large_one_is_kept_until_it_is_refused)
{
	struct member *m = attached();
	struct protocol_message refused = {.kind = PROTOCOL_VERDICT,
					   .incarnation = 5,
					   .sequence = 1,
					   .index = 8,
					   .verdict = GROUP_REFUSED};

	submit(m, TOTAL, true);
	cr_assert(held(m));
	cr_assert_eq(told.released, 0);
	cr_assert_eq(told.verdicts, 0);
	member_verdict(m, &refused);
	cr_assert_eq(told.verdict, MEMBER_CONFLICT);
	cr_assert_eq(told.released, 1);
	free(m);
}

Test(node_member_spread, a_large_one_that_is_accepted_is_kept_until_it_is_committed)
{
	struct member *m = attached();
	struct protocol_message accepted = {.kind = PROTOCOL_VERDICT,
					    .incarnation = 5,
					    .sequence = 1,
					    .index = 8,
					    .verdict = GROUP_ACCEPTED,
					    .gtid = {.source = {.uuid = {3}}, .gno = 7}};

	submit(m, TOTAL, true);
	cr_assert(held(m));
	member_verdict(m, &accepted);
	cr_assert_eq(told.verdict, MEMBER_ACCEPTED);
	cr_assert_eq(told.released, 0);
	member_committed(m, &accepted.gtid);
	cr_assert_eq(told.released, 1);
	free(m);
}

#define HUGE (3u << 20)
#define STEP (1u << 20) /* told by one step at most */

static struct {
	uint64_t bytes;
	uint32_t lasts;
	uint64_t timer_ns;
} own;

static void
emit_own(void *context, const struct member_output *out)
{
	(void)context;
	if (out->kind == MEMBER_OUT_TIMER)
		own.timer_ns = out->at_ns;
	if (out->kind != MEMBER_OUT_QUEUE)
		return;
	cr_assert_eq(out->offset, own.bytes);
	cr_assert_eq(out->total, HUGE);
	cr_assert_leq(out->bytes, 64 * 1024);
	cr_assert_eq(out->data[0], (uint8_t)(out->offset >> 16));
	own.bytes += out->bytes;
	own.lasts += out->last;
}

static void
step_own(struct member *m, enum member_input_kind kind)
{
	member_step(m,
		    &(struct member_input){
			    .kind = kind, .now_ns = m->now_ns + 1, .sequence = FIRST_NAME},
		    &(struct member_sink){.context = &told, .emit = emit_own, .release = release});
}

/* In one step it would fill the caller's ring, and wait there for a disk. */
Test(node_member_spread, an_own_one_that_the_server_could_not_commit_is_told_over_many_steps)
{
	struct member *m = attached();
	struct member_submission s = {.sequence = name_of(m),
				      .snapshot = &(struct snapshot){.mark = 5},
				      .gtid_spec = GTID_AUTOMATIC,
				      .payload_bytes = HUGE,
				      .lent = true};
	uint8_t *bytes = malloc(HUGE);

	cr_assert(bytes);
	for (uint32_t i = 0; i < HUGE; i++)
		bytes[i] = (uint8_t)(i >> 16);
	s.payload = bytes;
	m->config.payload_bytes_max = HUGE;
	m->payload_bytes_max = HUGE;
	member_submit(m, &s);
	cr_assert(held(m));
	member_verdict(m, &(struct protocol_message){.kind = PROTOCOL_VERDICT,
						     .incarnation = 5,
						     .sequence = 1,
						     .index = 6,
						     .verdict = GROUP_ACCEPTED,
						     .gtid = {.source = {.uuid = {3}}, .gno = 7}});
	m->feed_through = 6;
	step_own(m, MEMBER_IN_LOCAL_FAILED);
	cr_assert_eq(own.bytes, STEP);
	cr_assert_eq(own.timer_ns, m->now_ns, "it comes back at once");
	step_own(m, MEMBER_IN_HOLD);
	step_own(m, MEMBER_IN_TICK);
	cr_assert_eq(own.bytes, STEP, "the server has no room");
	cr_assert_gt(own.timer_ns, m->now_ns);
	step_own(m, MEMBER_IN_RELEASE);
	cr_assert_eq(own.bytes, 2 * STEP);
	cr_assert_eq(own.lasts, 0);
	step_own(m, MEMBER_IN_TICK);
	cr_assert_eq(own.bytes, HUGE);
	cr_assert_eq(own.lasts, 1);
	cr_assert_gt(own.timer_ns, m->now_ns);
	free(bytes);
	free(m);
}

/* The highest ranges are left out: a false refusal at worst, where else there is one for
 * sure. */
Test(node_member_spread, ranges_that_do_not_fit_are_left_out_from_above)
{
	struct member *m = attached();
	uint8_t ranges[100 * SNAPSHOT_RANGE_BYTES];
	struct snapshot snapshot = {.mark = 5, .range_count = 100, .ranges = ranges};
	struct member_submission s = {.sequence = 1,
				      .snapshot = &snapshot,
				      .gtid_spec = GTID_AUTOMATIC,
				      .payload = payload,
				      .payload_bytes = 100};
	struct entry entry;

	for (uint64_t i = 0; i < 100; i++) {
		bytes_put_u64(ranges + i * SNAPSHOT_RANGE_BYTES, 10 + 1000 * i);
		bytes_put_u64(ranges + i * SNAPSHOT_RANGE_BYTES + 8, 10 + 1000 * i);
	}
	open_one(m);
	member_submit(m, &s);
	cr_assert_eq(told.verdicts, 0);
	const struct member_open *o = member_open_find(m, 1);
	cr_assert(entry_decode(&entry, pool_at(m->pool, o->handle), o->bytes));
	uint32_t count = entry.submit.snapshot.range_count;
	cr_assert(count > 15 && count < 100, "%u", count);
	cr_assert_eq(snapshot_range(&entry.submit.snapshot, count - 1).to, 10 + 1000 * (count - 1));
	cr_assert_eq(entry.submit.payload_bytes, 100);
	free(m);
}

Test(node_member_spread, a_large_one_that_is_not_lent_has_no_room)
{
	struct member *m = attached();

	submit(m, TOTAL, false);
	cr_assert_eq(told.verdict, MEMBER_NO_ROOM);
	cr_assert_eq(told.released, 0);
	free(m);
}

/* What its node's entries may have came when it attached: another node's may have less. */
Test(node_member_spread, one_above_the_nodes_limit_has_no_room)
{
	struct member *m = attached();

	m->entry_bytes_max = 100;
	submit(m, 200, false);
	cr_assert_eq(told.verdicts, 1);
	cr_assert_eq(told.verdict, MEMBER_NO_ROOM);
	cr_assert_null(member_open_find(m, 1));
	free(m);
}

Test(node_member_spread, one_that_the_nodes_would_not_take_has_no_room)
{
	struct member *m = attached();

	m->payload_bytes_max = TOTAL - 1;
	submit(m, TOTAL, true);
	cr_assert_eq(told.verdict, MEMBER_NO_ROOM);
	cr_assert_eq(told.released, 1);
	free(m);
}

Test(node_member_spread, a_quit_gives_everything_back)
{
	struct member *m = attached();

	submit(m, TOTAL, true);
	member_step(m, &(struct member_input){.kind = MEMBER_IN_QUIT}, &sink);
	cr_assert_eq(told.released, 1);
	free(m);
}

/* The schedule that numbers taken too soon end: behind one that takes minutes its member could
 * have only as many others decided as the window holds, and then nothing. */
Test(node_member_spread, one_on_its_way_holds_nobodys_window)
{
	struct member *m = attached();
	struct snapshot_executed executed = {.contains = contains};
	struct snapshot_taken *taken = malloc(sizeof *taken);

	cr_assert(taken);
	submit(m, TOTAL, true);
	for (uint64_t i = 1; i <= 3 * INFLIGHT; i++) {
		cr_assert(snapshot_take(&m->snapshots, &executed, taken));
		cr_assert_eq(taken->sequence, i);
		snapshot_close(&m->snapshots, i);
	}
	cr_assert_eq(m->snapshots.floor, 3 * INFLIGHT + 1);
	cr_assert_null(held(m), "not 1 any more");
	struct member_open *o = member_open_find(m, 3 * INFLIGHT + 1);
	struct entry e;
	cr_assert(o && entry_decode(&e, pool_at(m->pool, o->handle), o->bytes));
	cr_assert_eq(e.submit.sequence, 3 * INFLIGHT + 1);
	cr_assert_eq(e.submit.floor, 3 * INFLIGHT + 1);
	cr_assert_eq(e.submit.snapshot.mark, 5, "what it had seen when it came");
	free(taken);
	free(m);
}

/* Seed 730044 of the simulator: the server says which one it could not commit by the name that it
 * knows, and the next snapshot went on above it; who took its row then overwrote it. */
Test(node_member_spread, one_that_fails_here_is_in_no_snapshot)
{
	struct member *m = attached();
	struct snapshot_executed executed = {.contains = contains};
	struct snapshot_taken *taken = malloc(sizeof *taken);
	struct protocol_message accepted = {.kind = PROTOCOL_VERDICT,
					    .incarnation = 5,
					    .sequence = 1,
					    .index = 6,
					    .gtid.gno = 7,
					    .verdict = GROUP_ACCEPTED};

	cr_assert(taken);
	submit(m, TOTAL, true);
	cr_assert(held(m));
	member_verdict(m, &accepted);
	cr_assert_eq(told.verdict, MEMBER_ACCEPTED);
	cr_assert(snapshot_take(&m->snapshots, &executed, taken));
	cr_assert_eq(taken->snapshot.mark, 6, "it holds its locks");
	snapshot_failed(&m->snapshots, FIRST_NAME);
	cr_assert(snapshot_take(&m->snapshots, &executed, taken));
	cr_assert_eq(taken->snapshot.mark, 5, "its locks go");
	cr_assert(!snapshot_open(&m->snapshots, taken->sequence)->trusts_own);
	free(taken);
	free(m);
}

/* The entry that gives it up names it: the nodes have a part of it, and its sequence alone
 * would tell nobody to forget that. */
Test(node_member_spread, one_that_was_offered_is_given_up_by_an_entry)
{
	struct member *m = attached();
	struct protocol_message abandoned = {.kind = PROTOCOL_VERDICT,
					     .incarnation = 5,
					     .sequence = 1,
					     .index = 8,
					     .verdict = GROUP_ABANDONED};

	submit(m, TOTAL, true);
	uint64_t offer = m->ahead[0].offer;
	member_abandon(m, FIRST_NAME);
	cr_assert_eq(told.verdicts, 0);
	const struct member_open *o = member_open_find(m, 1);
	cr_assert(o && o->abandon);
	cr_assert_eq(o->offer, offer);
	cr_assert_eq(m->lane[offer % ENTRY_OFFER_LANES].offer, offer);
	member_verdict(m, &abandoned);
	cr_assert_eq(told.verdict, MEMBER_ABANDONED);
	cr_assert_eq(told.released, 1);
	cr_assert_eq(m->lane[offer % ENTRY_OFFER_LANES].offer, 0);
	cr_assert_eq(m->snapshots.floor, 2);
	free(m);
}

Test(node_member_spread, one_that_nobody_was_offered_is_given_up_at_once)
{
	struct member *m = attached();

	m->lane[0].offer = 2;
	m->lane[1].offer = 3;
	submit(m, TOTAL, true);
	cr_assert_eq(m->ahead[0].offer, 0, "both lanes are taken");
	member_abandon(m, FIRST_NAME);
	cr_assert_eq(told.verdict, MEMBER_ABANDONED);
	cr_assert_eq(told.released, 1);
	cr_assert_eq(m->snapshots.sequence_next, 1);
	free(m);
}
