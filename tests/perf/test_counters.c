/* Counters per core, and percentiles that are right to within a bucket. */
#include <criterion/criterion.h>
#include <signal.h>
#include <stdlib.h>

#include "perf/counters.h"

static struct counters core[2];
static struct histogram histogram, other;

Test(perf_counters, a_sum_goes_over_all_cores)
{
	counters_add(&core[0], 3, 5);
	counters_add(&core[0], 3, 1);
	counters_add(&core[1], 3, 10);
	counters_add(&core[1], 4, 100);
	cr_assert_eq(counters_sum(core, 2, 3), 16);
	cr_assert_eq(counters_sum(core, 1, 3), 6);
	cr_assert_eq(counters_sum(core, 2, 5), 0);
}

Test(perf_counters, a_counter_that_does_not_exist_stops_the_process, .signal = SIGILL)
{
	counters_add(&core[0], COUNTERS_MAX, 1);
}

/* Every bucket ends where the next begins: no value is lost or counted twice. */
Test(perf_histogram, buckets_cover_all_numbers_without_gap_or_overlap)
{
	for (uint32_t i = 0; i + 1 < HISTOGRAM_BUCKETS; i++) {
		uint64_t end = histogram_bucket_end(i);

		cr_assert_eq(histogram_bucket_of(end), i);
		cr_assert_eq(histogram_bucket_of(end + 1), i + 1);
	}
	cr_assert_eq(histogram_bucket_of(0), 0);
	cr_assert_eq(histogram_bucket_end(HISTOGRAM_BUCKETS - 1), UINT64_MAX);
	cr_assert_eq(histogram_bucket_of(UINT64_MAX), HISTOGRAM_BUCKETS - 1);
}

Test(perf_histogram, a_bucket_is_at_most_a_32nd_of_its_values_wide)
{
	for (uint32_t i = 1; i < HISTOGRAM_BUCKETS; i++) {
		uint64_t first = histogram_bucket_end(i - 1) + 1;

		cr_assert_leq(histogram_bucket_end(i) - first, first / 32);
	}
}

Test(perf_histogram, empty_has_no_percentile)
{
	cr_assert_eq(histogram_count(&histogram), 0);
	cr_assert_eq(histogram_percentile(&histogram, 500000), 0);
}

Test(perf_histogram, small_numbers_are_exact)
{
	for (uint64_t v = 1; v <= 50; v++)
		histogram_add(&histogram, v);
	cr_assert_eq(histogram_count(&histogram), 50);
	cr_assert_eq(counter_read(&histogram.sum), 50 * 51 / 2);
	cr_assert_eq(histogram_percentile(&histogram, 0), 1);
	cr_assert_eq(histogram_percentile(&histogram, 20000), 1);
	cr_assert_eq(histogram_percentile(&histogram, 20001), 2);
	cr_assert_eq(histogram_percentile(&histogram, 500000), 25);
	cr_assert_eq(histogram_percentile(&histogram, PARTS_MAX), 50);
}

static int
ascending(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* Against sorting, over twelve decades. */
Test(perf_histogram, percentiles_are_those_of_sorted_values_to_a_32nd)
{
	enum { COUNT = 10007 };
	static const uint32_t asked[] = {1, 1000, 250000, 500000, 990000, 999000, PARTS_MAX};
	static uint64_t value[COUNT];
	uint64_t state = 1;

	for (uint32_t i = 0; i < COUNT; i++) {
		state = state * 6364136223846793005u + 1442695040888963407u;
		value[i] = (state >> 24) >> (state >> 59);
		histogram_add(&histogram, value[i]);
	}
	qsort(value, COUNT, sizeof value[0], ascending);
	for (uint32_t i = 0; i < sizeof asked / sizeof asked[0]; i++) {
		uint64_t rank = ((uint64_t)COUNT * asked[i] + PARTS_MAX - 1) / PARTS_MAX;
		uint64_t exact = value[rank - 1], got = histogram_percentile(&histogram, asked[i]);

		cr_assert_geq(got, exact, "%u ppm", asked[i]);
		cr_assert_leq(got - exact, exact / 32, "%u ppm", asked[i]);
	}
	cr_assert_eq(histogram_percentile(&histogram, PARTS_MAX), value[COUNT - 1]);
}

Test(perf_histogram, merged_is_as_if_one_had_seen_all)
{
	for (uint64_t v = 1; v <= 30; v++)
		histogram_add(v % 2 ? &histogram : &other, v);
	histogram_merge(&histogram, &other);
	cr_assert_eq(histogram_count(&histogram), 30);
	cr_assert_eq(counter_read(&histogram.sum), 30 * 31 / 2);
	cr_assert_eq(counter_read(&histogram.max), 30);
	cr_assert_eq(histogram_percentile(&histogram, 500000), 15);
}
