/*
 * perf/counters.h - plain counters and latency histograms, one set per core.
 *
 * The owning core adds; anybody may read at any time, racily on purpose: a
 * reader sees each number as it was a moment ago, and two of them not
 * necessarily from the same moment. An addition is a load and a store, with no
 * lock prefix and no fence, because nobody else writes: it costs what a plain
 * `+=` costs, and is atomic only so that the reader's race is defined.
 *
 * A histogram is log-linear: below 64 a bucket is one value; above, each power
 * of two is cut into 32 buckets, so that a value is known to within 1/32 of
 * itself from nanoseconds to centuries, in a fixed array.
 *
 *     value   0 1 2 .. 63 | 64-65 66-67 .. 126-127 | 128-131 .. 252-255 | ...
 *     bucket  0 1 2 .. 63 | 64    65    .. 95      | 96      .. 127     | ...
 *
 * Never      allocates, locks, loses a value, or needs to be told a range.
 * Units      the owner's; a percentile is asked in parts per million, so that
 *            no two machines round it differently: 990000 is p99.
 * Ownership  the owner's, zeroed at start (all zero is an empty set).
 * Limits     COUNTERS_MAX counters; HISTOGRAM_BUCKETS buckets, 15 KiB.
 * Errors     a counter's number beyond the limit is a bug: the process stops.
 * Threads    one adds, any read.
 */
#ifndef PERF_COUNTERS_H
#define PERF_COUNTERS_H

#include <stdalign.h>
#include <stdatomic.h>
#include <stdint.h>

#include "base/must.h"

#define COUNTERS_LINE     64 /* bytes; two cores' counters never share a line */
#define COUNTERS_MAX      128
#define HISTOGRAM_BITS    5
#define HISTOGRAM_LINEAR  (1u << HISTOGRAM_BITS) /* buckets per power of two */
#define HISTOGRAM_BUCKETS ((64 - HISTOGRAM_BITS + 1) * HISTOGRAM_LINEAR)
#define PARTS_MAX         1000000u

struct counters {
	alignas(COUNTERS_LINE) _Atomic uint64_t value[COUNTERS_MAX];
};

struct histogram {
	alignas(COUNTERS_LINE) _Atomic uint64_t bucket[HISTOGRAM_BUCKETS];
	_Atomic uint64_t sum; /* of the values; wraps after centuries of nanoseconds */
	_Atomic uint64_t max;
};

_Static_assert(sizeof(struct counters) % COUNTERS_LINE == 0, "an array of them shares no line");
_Static_assert(sizeof(struct histogram) % COUNTERS_LINE == 0, "an array of them shares no line");

static inline uint64_t
counter_read(const _Atomic uint64_t *value)
{
	return atomic_load_explicit(value, memory_order_relaxed);
}

/* Owner only. */
static inline void
counter_add(_Atomic uint64_t *value, uint64_t n)
{
	atomic_store_explicit(value, counter_read(value) + n, memory_order_relaxed);
}

/* Owner only. `which` is a number of the owner's own enum. */
static inline void
counters_add(struct counters *c, uint32_t which, uint64_t n)
{
	must(which < COUNTERS_MAX);
	counter_add(&c->value[which], n);
}

/* One counter over all cores. */
static inline uint64_t
counters_sum(const struct counters *core, uint32_t core_count, uint32_t which)
{
	uint64_t sum = 0;

	must(which < COUNTERS_MAX);
	for (uint32_t i = 0; i < core_count; i++)
		sum += counter_read(&core[i].value[which]);
	return sum;
}

static inline uint32_t
histogram_bucket_of(uint64_t value)
{
	if (value < 2 * HISTOGRAM_LINEAR)
		return (uint32_t)value;
	uint32_t shift = 63 - (uint32_t)__builtin_clzll(value) - HISTOGRAM_BITS;
	uint32_t bucket = (shift << HISTOGRAM_BITS) + (uint32_t)(value >> shift);
	must(bucket < HISTOGRAM_BUCKETS);
	return bucket;
}

/* The largest value that falls into a bucket. */
static inline uint64_t
histogram_bucket_end(uint32_t bucket)
{
	must(bucket < HISTOGRAM_BUCKETS);
	if (bucket < 2 * HISTOGRAM_LINEAR)
		return bucket;
	uint32_t shift = (bucket >> HISTOGRAM_BITS) - 1;
	uint64_t start = (uint64_t)(bucket - (shift << HISTOGRAM_BITS)) << shift;
	return start + ((UINT64_C(1) << shift) - 1);
}

/* Owner only. */
static inline void
histogram_add(struct histogram *h, uint64_t value)
{
	counter_add(&h->bucket[histogram_bucket_of(value)], 1);
	counter_add(&h->sum, value);
	if (value > counter_read(&h->max))
		atomic_store_explicit(&h->max, value, memory_order_relaxed);
}

static inline uint64_t
histogram_count(const struct histogram *h)
{
	uint64_t count = 0;

	for (uint32_t i = 0; i < HISTOGRAM_BUCKETS; i++)
		count += counter_read(&h->bucket[i]);
	return count;
}

/* Adds what `from` holds to `into`, whose owner calls: several cores' become one. */
static inline void
histogram_merge(struct histogram *into, const struct histogram *from)
{
	uint64_t max = counter_read(&from->max);

	for (uint32_t i = 0; i < HISTOGRAM_BUCKETS; i++)
		counter_add(&into->bucket[i], counter_read(&from->bucket[i]));
	counter_add(&into->sum, counter_read(&from->sum));
	if (max > counter_read(&into->max))
		atomic_store_explicit(&into->max, max, memory_order_relaxed);
}

/* The value that `parts` of a million values do not exceed: never less than the
 * true one, at most 1/32 more, never more than the largest. 0 when empty. */
static inline uint64_t
histogram_percentile(const struct histogram *h, uint32_t parts)
{
	uint64_t count = histogram_count(h), below = 0, max = counter_read(&h->max);

	must(parts <= PARTS_MAX);
	/* count * parts / a million, rounded up, without the product. */
	uint64_t rank =
		count / PARTS_MAX * parts + (count % PARTS_MAX * parts + PARTS_MAX - 1) / PARTS_MAX;
	for (uint32_t i = 0; i < HISTOGRAM_BUCKETS && count > 0; i++) {
		below += counter_read(&h->bucket[i]);
		if (below > 0 && below >= rank)
			return histogram_bucket_end(i) < max ? histogram_bucket_end(i) : max;
	}
	return max;
}

#endif /* PERF_COUNTERS_H */
