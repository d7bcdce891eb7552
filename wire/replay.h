/*
 * wire/replay.h - which counters of a session were taken already.
 *
 * Told of every datagram that opened, whatever came of it: one that is recorded
 * and sent again must do nothing, not even keep a dead peer alive. What is
 * acknowledged is another question (struct receipt): a datagram whose bytes
 * found no room is not, though it was taken.
 *
 * Limits   REPLAY_BITS: a datagram that comes later than so many after it is
 *          dropped as too old.
 * Threads  the owner's.
 */
#ifndef WIRE_REPLAY_H
#define WIRE_REPLAY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/must.h"

#define REPLAY_BITS  1024 /* power of two */
#define REPLAY_WORDS (REPLAY_BITS / 64)

struct replay {
	uint64_t newest; /* counters begin at 1 */
	uint64_t taken[REPLAY_WORDS];
};

enum replay_verdict {
	REPLAY_NEW = 0,
	REPLAY_DUPLICATE = 1,
	REPLAY_OLD = 2,
};

static inline enum replay_verdict
replay_check(const struct replay *r, uint64_t counter)
{
	if (counter > r->newest)
		return REPLAY_NEW;
	if (counter == 0 || r->newest - counter >= REPLAY_BITS)
		return REPLAY_OLD;
	bool taken = r->taken[counter % REPLAY_BITS / 64] >> counter % 64 & 1;
	return taken ? REPLAY_DUPLICATE : REPLAY_NEW;
}

/* The place of a counter held another one, REPLAY_BITS before it: the places of
 * those passed over are wiped. */
static inline void
replay_add(struct replay *r, uint64_t counter)
{
	must(replay_check(r, counter) == REPLAY_NEW);
	if (counter > r->newest) {
		uint64_t passed = counter - r->newest - 1;
		if (passed >= REPLAY_BITS)
			passed = REPLAY_BITS - 1;
		for (uint64_t c = counter - passed; c < counter; c++)
			r->taken[c % REPLAY_BITS / 64] &= ~((uint64_t)1 << c % 64);
		r->newest = counter;
	}
	r->taken[counter % REPLAY_BITS / 64] |= (uint64_t)1 << counter % 64;
}

#endif /* WIRE_REPLAY_H */
