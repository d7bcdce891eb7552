/* GTID sets against a bitmap of small numbers. */
#include <criterion/criterion.h>

#include "certify/gtid.h"

#define NUMBERS 60
#define SOURCES 3

static _Alignas(8) uint8_t memory[2][4096];
static bool model[SOURCES][NUMBERS + 2];

static struct gtid
gtid_of(uint32_t source, uint64_t gno)
{
	struct gtid g = {.gno = gno};
	g.source.uuid[0] = source == 2 ? 8 : 3;
	if (source == 1) {
		g.source.tag_bytes = 2;
		memcpy(g.source.tag, "ab", 2);
	}
	return g;
}

static struct gtid_set *
fresh(int which, uint32_t intervals_max)
{
	struct gtid_limits limits = {SOURCES, intervals_max};
	cr_assert_leq(gtid_set_size(limits), sizeof memory[0]);
	return gtid_set_init(memory[which], limits);
}

static uint32_t
model_intervals(void)
{
	uint32_t n = 0;
	for (uint32_t s = 0; s < SOURCES; s++)
		for (uint32_t i = 1; i <= NUMBERS; i++)
			n += model[s][i] && !model[s][i - 1];
	return n;
}

static void
check(const struct gtid_set *s)
{
	cr_assert_eq(gtid_set_intervals(s), model_intervals());
	for (uint32_t of = 0; of < SOURCES; of++) {
		uint64_t to, free = 0;
		for (uint64_t i = NUMBERS; i >= 1; i--) {
			struct gtid g = gtid_of(of, i);
			cr_assert_eq(gtid_set_contains(s, &g), model[of][i]);
			if (!model[of][i])
				free = i;
			else if (i == NUMBERS)
				free = NUMBERS + 1;
			cr_assert_eq(gtid_set_free(s, &g.source, i, &to), free);
			cr_assert(to >= free && (to == GNO_MAX || model[of][to + 1]));
		}
	}
}

Test(certify_gtid, adds_as_a_bitmap_would)
{
	struct gtid_set *s = fresh(0, 100);
	uint32_t x = 12345;
	memset(model, 0, sizeof model);
	for (int i = 0; i < 2000; i++) {
		x = x * 1664525 + 1013904223;
		uint32_t of = (x >> 8) % SOURCES, from = 1 + (x >> 16) % NUMBERS;
		uint32_t to = from + (x >> 26) % 4;
		if (to > NUMBERS)
			to = NUMBERS;
		bool all = true;
		for (uint32_t j = from; j <= to; j++) {
			all = all && model[of][j];
			model[of][j] = true;
		}
		struct gtid_interval in = {gtid_of(of, 1).source, from, to};
		cr_assert_eq(gtid_set_add_interval(s, &in),
			     all ? GTID_SET_PRESENT : GTID_SET_ADDED);
		check(s);
		if (i % 40 == 39) {
			gtid_set_clear(s);
			memset(model, 0, sizeof model);
		}
	}
}

Test(certify_gtid, full_is_an_answer_and_changes_nothing)
{
	struct gtid_set *s = fresh(0, 2);
	memset(model, 0, sizeof model);
	struct gtid a = gtid_of(0, 5), b = gtid_of(1, 9), c = gtid_of(0, 7), d = gtid_of(0, 6);
	cr_assert_eq(gtid_set_add(s, &a), GTID_SET_ADDED);
	cr_assert(gtid_set_has_room(s, &c.source));
	cr_assert_eq(gtid_set_add(s, &b), GTID_SET_ADDED);
	cr_assert(!gtid_set_has_room(s, &c.source));
	cr_assert_eq(gtid_set_add(s, &c), GTID_SET_FULL);
	cr_assert_eq(gtid_set_add(s, &d), GTID_SET_ADDED, "it grows a neighbour");
	model[0][5] = model[0][6] = model[1][9] = true;
	check(s);
}

Test(certify_gtid, encodes_and_decodes)
{
	uint8_t bytes[1024];
	struct gtid_set *s = fresh(0, 100), *t = fresh(1, 100);
	for (uint32_t i = 1; i < 50; i += 1 + i % 3) {
		struct gtid g = gtid_of(i % SOURCES, i);
		gtid_set_add(s, &g);
	}
	struct writer w = writer_over(bytes, sizeof bytes);
	gtid_set_encode(s, &w);
	struct gtid_bytes set = {bytes, (uint32_t)w.bytes};
	cr_assert_eq(w.bytes, gtid_set_bytes(s));
	cr_assert(gtid_bytes_valid(set));
	cr_assert(!gtid_set_contains_bytes(t, set));
	cr_assert_eq(gtid_set_decode(t, set), GTID_SET_ADDED);
	cr_assert(gtid_set_contains_bytes(t, set));
	cr_assert(gtid_set_contains_set(t, s) && gtid_set_contains_set(s, t));
	struct gtid more = gtid_of(2, 1000);
	gtid_set_add(t, &more);
	cr_assert(gtid_set_contains_set(t, s) && !gtid_set_contains_set(s, t));
	bytes[w.bytes - 1] ^= 0x80;
	gtid_set_clear(t);
	cr_assert_eq(gtid_set_decode(t, set), GTID_SET_BAD);
}

Test(certify_gtid, the_last_number_exhausts)
{
	struct gtid_set *s = fresh(0, 4);
	struct gtid g = gtid_of(0, 1);
	struct gtid_interval in = {g.source, 1, GNO_MAX};
	uint64_t to;
	gtid_set_add_interval(s, &in);
	cr_assert_eq(gtid_set_free(s, &g.source, 1, &to), 0);
	cr_assert_eq(gtid_set_free(s, &g.source, GNO_MAX, &to), 0);
}
