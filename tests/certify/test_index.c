/* The index alone: what the horizon hides, what counts, and that sweeping is unseen. */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "certify/index.h"

static struct certify_index *
fresh(uint32_t hashes_max)
{
	void *mem = aligned_alloc(64, (index_size(hashes_max) + 63) & ~(size_t)63);
	return index_init(mem, hashes_max);
}

/* Writes `count` rows from `row` on at `index`, having seen everything. */
static enum certify_answer
put(struct certify_index *x, uint64_t index, uint64_t row, uint32_t count)
{
	uint8_t hashes[64 * ENTRY_HASH_BYTES];
	struct entry_submit s = {.snapshot.mark = index, .hash_count = count, .hashes = hashes};
	struct certify_job job;
	enum certify_answer answer = CERTIFY_MORE;
	cr_assert_leq(count, 64);
	for (uint32_t i = 0; i < count; i++)
		bytes_put_u64(hashes + i * ENTRY_HASH_BYTES, row + i);
	certify_start(&job, &s, index);
	while (answer == CERTIFY_MORE)
		answer = certify_step(x, &job, 3);
	return answer;
}

static uint64_t
get(const struct certify_index *x, uint64_t row)
{
	uint8_t hash[ENTRY_HASH_BYTES];
	uint64_t last;
	bytes_put_u64(hash, row);
	index_lookup_batch(x, hash, 1, &last);
	return last;
}

Test(certify_index, a_refused_one_leaves_no_trace)
{
	struct certify_index *x = fresh(100);
	uint8_t hashes[40 * ENTRY_HASH_BYTES];
	struct certify_job job;
	cr_assert_eq(put(x, 7, 39, 1), CERTIFY_ACCEPT);
	for (uint32_t i = 0; i < 40; i++)
		bytes_put_u64(hashes + i * ENTRY_HASH_BYTES, i);
	struct entry_submit s = {.snapshot.mark = 6, .hash_count = 40, .hashes = hashes};
	certify_start(&job, &s, 8);
	enum certify_answer answer = CERTIFY_MORE;
	uint32_t steps = 0;
	for (; answer == CERTIFY_MORE; steps++)
		answer = certify_step(x, &job, 10);
	cr_assert_eq(answer, CERTIFY_REFUSE);
	cr_assert_eq(steps, 4, "ten hashes at a time, and it was the last");
	cr_assert_eq(job.winner, 7);
	cr_assert_eq(job.winner_hash, 39);
	cr_assert_eq(index_count(x), 1);
	cr_assert_eq(index_occupied(x), 1);
	cr_assert_eq(get(x, 3), 0);
	cr_assert_eq(get(x, 39), 7);
	free(x);
}

/* Pieces of seven, of forty hashes: what the entry does not hold is asked for, once
 * to be looked up and once to be inserted, and nothing is inserted before. */
Test(certify_index, a_write_set_in_pieces_is_asked_for_twice)
{
	struct certify_index *x = fresh(100);
	uint8_t hashes[40 * ENTRY_HASH_BYTES], reference[ENTRY_SPREAD_BYTES];
	struct entry_spread spread = {.bytes = sizeof hashes + 1,
				      .chunk_bytes = ENTRY_CHUNK_BYTES_MIN,
				      .hash_count = 40,
				      .offer = 2};
	struct certify_job job;
	entry_spread_encode(&spread, reference);
	for (uint32_t i = 0; i < 40; i++)
		bytes_put_u64(hashes + i * ENTRY_HASH_BYTES, i);
	struct entry_submit s = {
		.flags = SUBMIT_SPREAD, .payload = reference, .payload_bytes = sizeof reference};
	certify_start(&job, &s, 8);
	enum certify_answer answer = CERTIFY_MORE;
	uint32_t asked = 0;
	while ((answer = certify_step(x, &job, 3)) <= CERTIFY_HASHES) {
		if (answer != CERTIFY_HASHES)
			continue;
		cr_assert_eq(job.next, asked++ % 6 * 7);
		cr_assert_eq(index_occupied(x), asked > 6 ? job.next : 0);
		certify_hashes(&job, hashes + job.next * ENTRY_HASH_BYTES, job.next < 35 ? 7 : 5);
	}
	cr_assert_eq(answer, CERTIFY_ACCEPT);
	cr_assert_eq(asked, 12);
	cr_assert_eq(index_count(x), 40);
	cr_assert_eq(get(x, 39), 8);
	free(x);
}

/* In an entry it would not have decoded. */
Test(certify_index, a_shared_hash_in_a_piece_is_refused)
{
	struct certify_index *x = fresh(100);
	uint8_t hashes[2 * ENTRY_HASH_BYTES], reference[ENTRY_SPREAD_BYTES];
	struct entry_spread spread = {
		.bytes = 100, .chunk_bytes = ENTRY_CHUNK_BYTES_MIN, .hash_count = 2, .offer = 2};
	struct certify_job job;
	entry_spread_encode(&spread, reference);
	bytes_put_u64(hashes, 5);
	bytes_put_u64(hashes + ENTRY_HASH_BYTES, ENTRY_HASH_SHARED | 5);
	struct entry_submit s = {
		.flags = SUBMIT_SPREAD, .payload = reference, .payload_bytes = sizeof reference};
	certify_start(&job, &s, 8);
	cr_assert_eq(certify_step(x, &job, 10), CERTIFY_HASHES);
	certify_hashes(&job, hashes, 2);
	cr_assert_eq(certify_step(x, &job, 10), CERTIFY_REFUSE);
	cr_assert_eq(job.winner, 0);
	cr_assert_eq(job.winner_hash, ENTRY_HASH_SHARED | 5);
	cr_assert_eq(index_occupied(x), 0);
	free(x);
}

Test(certify_index, the_horizon_hides_at_once_swept_or_not)
{
	struct certify_index *x = fresh(100);
	put(x, 1, 10, 1);
	put(x, 2, 20, 1);
	index_set_horizon(x, 1, 3);
	cr_assert_eq(get(x, 10), 0);
	cr_assert_eq(get(x, 20), 2);
	cr_assert_eq(index_occupied(x), 2, "not swept");
	while (index_sweep(x, 7))
		;
	cr_assert_eq(get(x, 10), 0);
	cr_assert_eq(get(x, 20), 2);
	free(x);
}

/* Nodes A and B apply one log; A sweeps at once, B only as insertions make it. */
Test(certify_index, a_round_is_due_when_it_pays)
{
	struct certify_index *x = fresh(100); /* 264 slots: 4 dead are too few */

	for (uint32_t i = 1; i <= 5; i++)
		put(x, i, i, 1);
	put(x, 6, 100, 1);
	index_set_horizon(x, 4, 7);
	cr_assert_not(index_sweep_due(x), "the generation is not over");
	index_set_horizon(x, 7, 8);
	cr_assert(index_sweep_due(x));
	while (index_sweep(x, 100))
		;
	cr_assert_not(index_sweep_due(x), "nothing is dead");
	free(x);
}

Test(certify_index, full_does_not_depend_on_who_swept)
{
	struct certify_index *a = fresh(8), *b = fresh(8);
	struct certify_index *node[2] = {a, b};
	uint64_t index = 0, full = 0, accepted = 0;
	uint32_t random = 99;
	for (int i = 0; i < 20000; i++) {
		random = random * 1664525 + 1013904223;
		index++;
		if (random >> 28 == 0 && index_horizon(a) + 4 < index) {
			for (int n = 0; n < 2; n++)
				index_set_horizon(node[n], index - 1 - (random >> 8) % 4, index);
			while (index_sweep(a, 5))
				;
			continue;
		}
		uint64_t row = (random >> 16) % 30;
		uint32_t count = 1 + (random >> 24) % 3;
		enum certify_answer answer = put(a, index, row, count);
		cr_assert_eq(answer, put(b, index, row, count), "index %d", (int)index);
		cr_assert_eq(index_count(a), index_count(b));
		cr_assert_leq(index_count(a), 8);
		full += answer == CERTIFY_FULL;
		accepted += answer == CERTIFY_ACCEPT;
	}
	cr_assert(full > 100 && accepted > 100);
	free(a);
	free(b);
}

/* New rows only, and the horizon right behind them: everything dies, and the only
 * sweep is that of the insertions. An index without room would trap. */
Test(certify_index, insertions_sweep_enough_to_find_room)
{
	struct certify_index *x = fresh(50);
	uint64_t most = 0;
	for (uint64_t index = 1; index < 40000; index += 2) {
		cr_assert_eq(put(x, index, index * 64, 10), CERTIFY_ACCEPT);
		index_set_horizon(x, index, index + 1);
		if (index_occupied(x) > most)
			most = index_occupied(x);
	}
	cr_assert(most > 20, "dead slots do stay for a while");
	cr_assert_leq(most, 50 + 3 * (2 * 50 + 64) / 8);
	free(x);
}

/* One row, written for ever, without a horizon: the boundaries fill up and are
 * thinned out; what counts stays exact. */
Test(certify_index, generations_are_joined_and_released)
{
	struct certify_index *x = fresh(64);
	for (uint64_t index = 1; index <= 1000; index++) {
		bool new_row = index % 50 == 0;
		cr_assert_eq(put(x, index, new_row ? 1000 + index : 5, new_row ? 1 : 2),
			     CERTIFY_ACCEPT);
	}
	cr_assert_eq(index_count(x), 2 + 20);
	index_set_horizon(x, 500, 1001);
	cr_assert_lt(index_count(x), 2 + 20);
	cr_assert_geq(index_count(x), 2 + 10);
	index_set_horizon(x, 1001, 1002);
	put(x, 1003, 7, 1);
	index_set_horizon(x, 1002, 1004);
	cr_assert_eq(index_count(x), 1);
	free(x);
}

/* Rows whose homes are one place: clusters, and clusters over the table's end. */
Test(certify_index, removal_keeps_clusters_reachable)
{
	const uint64_t inverse = 0xF1DE83E19937733Du; /* of the spreading factor */
	struct certify_index *x = fresh(32);
	for (uint64_t i = 0; i < 16; i++) {
		uint64_t home = i % 2 ? UINT64_MAX << 32 : 0;
		uint64_t row = (home + (i << 8)) * inverse & ~ENTRY_HASH_SHARED;
		put(x, 1 + i, row, 1);
	}
	index_set_horizon(x, 8, 20);
	put(x, 21, 3, 1);
	index_set_horizon(x, 9, 22);
	while (index_sweep(x, 1))
		;
	for (uint64_t i = 0; i < 16; i++) {
		uint64_t home = i % 2 ? UINT64_MAX << 32 : 0;
		uint64_t row = (home + (i << 8)) * inverse & ~ENTRY_HASH_SHARED;
		cr_assert_eq(get(x, row), 1 + i > 9 ? 1 + i : 0, "row %d", (int)i);
	}
	free(x);
}

/* ---- the image ---- */

struct image {
	uint8_t data[1 << 16];
	struct writer w;
};

static void
one_slot(struct certify_index *x, struct image *m)
{
	cr_assert(index_image_next(x, &m->w, 1));
}

/* The index that the image makes, when all of it is there. */
static struct certify_index *
loaded(struct certify_index *x, struct image *m, uint32_t hashes_max, uint64_t applied)
{
	struct certify_index *y = fresh(hashes_max);
	uint8_t end[4096];
	struct writer w = writer_over(end, sizeof end);
	struct reader r = reader_over(m->data, m->w.bytes);
	enum index_check check;
	while (index_image_more(x))
		one_slot(x, m);
	r.bytes = m->w.bytes;
	index_image_end(x, &w);
	while (r.bytes > 0)
		cr_assert(index_load(y, &r));
	r = reader_over(end, w.bytes);
	cr_assert(index_load_end(y, &r));
	while ((check = index_load_check(y, applied, 7)) == INDEX_CHECK_MORE)
		;
	cr_assert_eq(check, INDEX_CHECK_DONE);
	return y;
}

/* A row that would like to lie in one of the last slots: the image meets it first. */
static uint64_t
row_at_the_end(uint64_t from)
{
	static struct image m;
	for (uint64_t row = from; row < from + 1000000; row++) {
		struct certify_index *x = fresh(8);
		put(x, 1, row, 1);
		m.w = writer_over(m.data, sizeof m.data);
		index_image_begin(x);
		one_slot(x, &m);
		free(x);
		if (m.w.bytes > 0)
			return row;
	}
	abort();
}

/* Three rows want the table's last slot: two of them lie at its begin. The image has passed
 * the end when the first is swept, and the others move there. */
Test(certify_index, the_image_has_what_a_sweep_moves_around_the_end)
{
	static struct image m;
	struct certify_index *x = fresh(8);
	uint64_t a = row_at_the_end(1), b = row_at_the_end(a + 1), c = row_at_the_end(b + 1);
	put(x, 1, a, 1);
	put(x, 2, b, 1);
	put(x, 3, c, 1);
	m.w = writer_over(m.data, sizeof m.data);
	index_image_begin(x);
	one_slot(x, &m);
	cr_assert_gt(m.w.bytes, 0, "the last slot is in it");
	put(x, 5, b, 1);
	put(x, 6, c, 1);
	index_set_horizon(x, 4, 7);
	while (index_sweep(x, 100))
		;
	struct certify_index *y = loaded(x, &m, 8, 7);
	cr_assert_eq(get(y, b), 5);
	cr_assert_eq(get(y, c), 6);
	cr_assert_eq(index_count(y), 2);
	free(x);
	free(y);
}

/* Nobody took pieces while far more was written than is kept for them. */
Test(certify_index, an_image_that_nobody_takes_is_lost)
{
	static struct image m;
	struct certify_index *x = fresh(64);
	m.w = writer_over(m.data, sizeof m.data);
	index_image_begin(x);
	while (index_image_more(x))
		one_slot(x, &m);
	for (uint64_t i = 1; !index_image_full(x); i++)
		put(x, i, 1, 64);
	cr_assert(index_image_next(x, &m.w, 1), "in time");
	for (uint64_t i = 1000; i < 1100; i++)
		put(x, i, 1, 64);
	cr_assert_not(index_image_next(x, &m.w, 1));
	free(x);
}
