/*
 * ring/spsc.h - bounded queue between exactly two cores.
 *
 * One core pushes, one core pops; nothing else may touch the ring. Both sides
 * are wait-free and never enter the kernel. A second producer is a bug that
 * this file cannot detect: the owner of the ring names both cores in its own
 * header.
 *
 * Units      capacity and counts are elements; sequence numbers are elements
 *            since init, free-running, and compared only by subtraction.
 * Ownership  the caller owns `slot`, and chooses where it lives (hugepage on
 *            the consumer's NUMA node in the appliance, a static array in
 *            tests). The ring copies elements in and out; it keeps no pointer
 *            to them.
 * Limits     capacity is a power of two, at most SPSC_CAPACITY_MAX.
 * Errors     none. Full and empty are answers, not failures: a short count.
 * Threads    what the producer wrote before spsc_push() is visible to the
 *            consumer after spsc_pop() returned that element.
 */
#ifndef RING_SPSC_H
#define RING_SPSC_H

#include <stdalign.h>
#include <stdatomic.h>
#include <stdint.h>

#include "base/must.h"

#define SPSC_LINE         64 /* bytes; two cores must never write the same line */
#define SPSC_CAPACITY_MAX (1u << 31)

struct spsc {
	/* Producer's line. `head_seen` is its stale copy of `head`: re-reading
	 * the real one costs a cache miss, so it is refreshed only when the
	 * ring looks too full for what is being pushed. */
	alignas(SPSC_LINE) _Atomic uint32_t tail;
	uint32_t head_seen;

	/* Consumer's line, mirrored. */
	alignas(SPSC_LINE) _Atomic uint32_t head;
	uint32_t tail_seen;

	/* Written once by spsc_init(), read by both. */
	alignas(SPSC_LINE) uint64_t *slot;
	uint32_t mask;
};

_Static_assert(sizeof(struct spsc) == 3 * SPSC_LINE, "one line per writer");

/* Starts both counters at `start` instead of 0. A test starts just below the
 * wrap, which a ring in service reaches only after four billion elements. */
static inline void
spsc_init_at(struct spsc *r, uint64_t *slot, uint32_t capacity, uint32_t start)
{
	must(slot);
	must(capacity > 0);
	must(capacity <= SPSC_CAPACITY_MAX);
	must((capacity & (capacity - 1)) == 0);

	atomic_init(&r->tail, start);
	atomic_init(&r->head, start);
	r->head_seen = start;
	r->tail_seen = start;
	r->slot = slot;
	r->mask = capacity - 1;
}

/* `capacity` must be a power of two; every slot is usable. */
static inline void
spsc_init(struct spsc *r, uint64_t *slot, uint32_t capacity)
{
	spsc_init_at(r, slot, capacity, 0);
}

/* Producer only, wait-free. Pushes as many of the `n` elements as fit, oldest
 * first, and returns how many; the caller keeps the rest. */
static inline uint32_t
spsc_push(struct spsc *r, const uint64_t *elem, uint32_t n)
{
	uint32_t tail = atomic_load_explicit(&r->tail, memory_order_relaxed);
	uint32_t room = r->mask + 1 - (tail - r->head_seen);

	if (room < n) {
		/* Pairs with the release in spsc_pop(): a slot counts as free
		 * only once the consumer has finished reading it. */
		r->head_seen = atomic_load_explicit(&r->head, memory_order_acquire);
		room = r->mask + 1 - (tail - r->head_seen);
	}
	must(room <= r->mask + 1);
	if (n > room)
		n = room;

	for (uint32_t i = 0; i < n; i++)
		r->slot[(tail + i) & r->mask] = elem[i];

	/* Publishes the slots above; pairs with the acquire in spsc_pop(). */
	atomic_store_explicit(&r->tail, tail + n, memory_order_release);
	return n;
}

/* Consumer only, wait-free. Pops at most `n` elements into `elem`, oldest
 * first; returns how many. */
static inline uint32_t
spsc_pop(struct spsc *r, uint64_t *elem, uint32_t n)
{
	uint32_t head = atomic_load_explicit(&r->head, memory_order_relaxed);
	uint32_t ready = r->tail_seen - head;

	if (ready < n) {
		/* Pairs with the release in spsc_push(): the elements below
		 * this tail have been written. */
		r->tail_seen = atomic_load_explicit(&r->tail, memory_order_acquire);
		ready = r->tail_seen - head;
	}
	must(ready <= r->mask + 1);
	if (n > ready)
		n = ready;

	for (uint32_t i = 0; i < n; i++)
		elem[i] = r->slot[(head + i) & r->mask];

	/* Gives the slots back; pairs with the acquire in spsc_push(). */
	atomic_store_explicit(&r->head, head + n, memory_order_release);
	return n;
}

#endif /* RING_SPSC_H */
