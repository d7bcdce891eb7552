/*
 * ring/mailbox.h - many client threads post, one network thread pops.
 *
 * The only structure that more than two threads may touch: mysqld's client
 * threads share it because a ring per client thread would be a ring per
 * connection. Elements are 64-bit numbers, or pointers cast to them.
 *
 * Each slot carries a sequence number that says whose turn it is:
 *
 *     sequence == p             free for the push at position p
 *     sequence == p + 1         holds the element of position p
 *     sequence == p + capacity  popped; free for the push one lap later
 *
 *        head                  tail
 *         v                     v
 *     | 8 | 9 . 10 . (11) . 12 | 13 ...      (11): claimed, not yet published
 *
 * A thread that is descheduled between claiming and publishing holds up what
 * lies behind it, 12 above, until it runs again. The others push on meanwhile;
 * nobody waits in a loop for it.
 *
 * Sleeping   the consumer calls mailbox_arm() before it blocks and may block
 *            only when that says true. Of the pushes that follow, exactly one
 *            is told to wake it, so that a burst costs one system call and a
 *            busy consumer none. How to wake (an eventfd) is the edge's affair;
 *            this file never enters the kernel.
 * Units      capacity and counts are elements; positions are elements since
 *            init, free-running 64-bit, compared only by subtraction. With 32
 *            bits a producer that slept through a whole lap of the counter
 *            would find its position current again, and take a slot by a check
 *            made four billion pushes ago.
 * Ownership  the caller owns `slot`; the mailbox copies elements in and out.
 * Limits     capacity is a power of two, at least 2 (with one slot "holds p"
 *            and "free for p + 1" are the same number).
 * Errors     none. Full is an answer: the client thread decides what to do.
 * Threads    any number push, one pops, arms and disarms. Push is lock-free,
XX What a producer wrote before mailbox_push() is
 *            visible to the consumer after mailbox_pop() returned that element.
 */
#ifndef RING_MAILBOX_H
#define RING_MAILBOX_H

#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/must.h"

#define MAILBOX_LINE         64 /* bytes; two writers must never share a line */
#define MAILBOX_CAPACITY_MAX (1u << 30)

struct mailbox_slot {
	_Atomic uint64_t sequence;
	uint64_t elem;
};

struct mailbox {
	/* Producers' line: the position of the next push. */
	alignas(MAILBOX_LINE) _Atomic uint64_t tail;

	/* Consumer's line: the position of the next pop. */
	alignas(MAILBOX_LINE) uint64_t head;

	/* 1: the consumer sleeps, or is about to. Read by every push, written
	 * around sleeps only. */
	alignas(MAILBOX_LINE) _Atomic uint32_t armed;

	/* Written once by mailbox_init(), read by all. */
	alignas(MAILBOX_LINE) struct mailbox_slot *slot;
	uint64_t mask;
};

_Static_assert(sizeof(struct mailbox) == 4 * MAILBOX_LINE, "one line per writer");

/* Starts both counters at `start` instead of 0, for tests of the wrap. */
static inline void
mailbox_init_at(struct mailbox *m, struct mailbox_slot *slot, uint32_t capacity, uint64_t start)
{
	must(slot);
	must(capacity >= 2);
	must(capacity <= MAILBOX_CAPACITY_MAX);
	must((capacity & (capacity - 1)) == 0);

	m->slot = slot;
	m->mask = capacity - 1;
	m->head = start;
	atomic_init(&m->tail, start);
	atomic_init(&m->armed, 0);
	for (uint64_t p = start; p != start + capacity; p++) {
		atomic_init(&slot[p & m->mask].sequence, p);
		slot[p & m->mask].elem = 0;
	}
}

static inline void
mailbox_init(struct mailbox *m, struct mailbox_slot *slot, uint32_t capacity)
{
	mailbox_init_at(m, slot, capacity, 0);
}

/* Any thread, lock-free. False when full: nothing was pushed. After true,
 * `*wake` says whether this thread must wake the consumer. */
static inline bool
mailbox_push(struct mailbox *m, uint64_t elem, bool *wake)
{
	uint64_t p = atomic_load_explicit(&m->tail, memory_order_relaxed);
	struct mailbox_slot *s;

	*wake = false;
	/* Another turn is taken only after another thread's push got the
	 * position that this one wanted: the whole always moves on. */
	for (;;) {
		s = &m->slot[p & m->mask];
		/* Pairs with the release in mailbox_pop(): the consumer has
		 * finished reading what the slot held a lap ago. */
		uint64_t sequence = atomic_load_explicit(&s->sequence, memory_order_acquire);
		int64_t ahead = (int64_t)(sequence - p);

		if (ahead < 0)
			return false;
		if (ahead > 0) {
			p = atomic_load_explicit(&m->tail, memory_order_relaxed);
			continue;
		}
		/* Claims the position; orders nothing, the slot does that. */
		if (atomic_compare_exchange_weak_explicit(&m->tail, &p, p + 1, memory_order_relaxed,
							  memory_order_relaxed))
			break;
	}
	s->elem = elem;

	/* Publishes the element; pairs with the acquire in mailbox_pop().
	 * Sequentially consistent together with the next load, and with the
	 * same pair, mirrored, in mailbox_arm(): were it only a release, the
	 * load could run ahead of the store, this thread see a consumer awake
	 * and the consumer an empty mailbox, and the element lie there while
	 * it sleeps. */
	atomic_store_explicit(&s->sequence, p + 1, memory_order_seq_cst);
	if (atomic_load_explicit(&m->armed, memory_order_seq_cst) == 0)
		return true;

	/* Several may have seen it armed; the one that clears it wakes. */
	*wake = atomic_exchange_explicit(&m->armed, 0, memory_order_relaxed) == 1;
	return true;
}

/* Consumer only, wait-free. Pops at most `n` elements, oldest first; returns
 * how many. A position that is claimed but not yet published ends the row. */
static inline uint32_t
mailbox_pop(struct mailbox *m, uint64_t *elem, uint32_t n)
{
	uint32_t popped = 0;

	for (; popped < n; popped++) {
		struct mailbox_slot *s = &m->slot[m->head & m->mask];
		/* Pairs with the store that publishes in mailbox_push(). */
		uint64_t sequence = atomic_load_explicit(&s->sequence, memory_order_acquire);

		if (sequence != m->head + 1)
			break;
		elem[popped] = s->elem;
		/* Gives the slot back; pairs with the acquire in mailbox_push(). */
		atomic_store_explicit(&s->sequence, m->head + m->mask + 1, memory_order_release);
		m->head++;
	}
	return popped;
}

/* Consumer only, wait-free. True: empty, and whoever pushes next is told to
 * wake the consumer. False: there is something to pop; nothing is armed. */
static inline bool
mailbox_arm(struct mailbox *m)
{
	struct mailbox_slot *s = &m->slot[m->head & m->mask];

	/* Store before load, both sequentially consistent: see mailbox_push().
	 * An element claimed but not yet published is no reason to stay up:
	 * its thread publishes first and looks at `armed` afterwards. */
	atomic_store_explicit(&m->armed, 1, memory_order_seq_cst);
	if (atomic_load_explicit(&s->sequence, memory_order_seq_cst) != m->head + 1)
		return true;
	atomic_store_explicit(&m->armed, 0, memory_order_relaxed);
	return false;
}

/* Consumer only, wait-free. Said after waking for another reason (a timer, a
 * packet): from here on no push pays for a wake-up. One that saw it armed may
 * still wake once more; the consumer must bear that. */
static inline void
mailbox_disarm(struct mailbox *m)
{
	atomic_store_explicit(&m->armed, 0, memory_order_relaxed);
}

#endif /* RING_MAILBOX_H */
