/*
 * node/arena.h - a bump pointer over the one block of memory that a node or a
 * member is given; without a block it only counts, so that size and layout come
 * from the same lines.
 *
 * Never frees. Every piece begins on a cache line, if the block does.
 */
#ifndef NODE_ARENA_H
#define NODE_ARENA_H

#include <stddef.h>
#include <stdint.h>

#define ARENA_LINE_BYTES 64

struct arena {
	uint8_t *memory;
	size_t used;
};

static inline size_t
line_up(size_t bytes)
{
	return (bytes + ARENA_LINE_BYTES - 1) / ARENA_LINE_BYTES * ARENA_LINE_BYTES;
}

static inline void *
arena_take(struct arena *a, size_t bytes)
{
	void *p = a->memory ? a->memory + a->used : NULL;
	a->used += line_up(bytes);
	return p;
}

#endif /* NODE_ARENA_H */
