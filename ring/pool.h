/*
 * ring/pool.h - a fixed number of equal objects, counted by references.
 *
 * Payload lives here from the moment a port's buffer has been copied out until
 * the last of its holders (a session that retransmits, a log write in flight,
 * a slot that is not yet delivered) has let go. What travels between the parts
 * is the handle, a small number; nobody moves the bytes.
 *
 * It never grows and never moves an object. The handle that pool_take() gives
 * depends only on the calls made before, so two runs of one seed use the same
 * handles.
 *
 * Units      counts are objects, `_bytes` are bytes; a handle is an ordinal
 *            below `object_count`.
 * Ownership  the caller gives one block of pool_size() bytes, aligned to
 *            POOL_LINE, and takes it back by no longer using the pool. An
 *            object is held from pool_take() to the pool_release() that
 *            matches it and every pool_retain().
 * Limits     POOL_OBJECTS_MAX objects; POOL_REFERENCES_MAX references to one.
 * Errors     empty is an answer: pool_take() says false. A handle that nobody
 *            holds is a bug: the process stops.
 * Threads    one core owns a pool. A holder on another core sends its handle
 *            back through a ring to be released by the owner.
 */
#ifndef RING_POOL_H
#define RING_POOL_H

#include <stdalign.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/must.h"

#define POOL_LINE             64 /* bytes; an object starts on a cache line */
#define POOL_OBJECTS_MAX      (1u << 28)
#define POOL_OBJECT_BYTES_MAX (1u << 30)
#define POOL_REFERENCES_MAX   0xffffffffu

struct pool_config {
	uint32_t object_count;
	uint32_t object_bytes;
};

struct pool {
	alignas(POOL_LINE) uint8_t *object;
	uint32_t *references;  /* per object; 0: on the free stack, or never taken */
	uint32_t *free_stack;  /* handles; the last one given back is taken first: it is warm */
	size_t stride_bytes;   /* object_bytes up to a whole line */
	uint32_t free_count;   /* <= object_count */
	uint32_t object_count; /* as configured */
	uint32_t object_bytes; /* as configured */
};

_Static_assert(sizeof(struct pool) == POOL_LINE, "the objects that follow stay aligned");

static inline size_t
pool_line_up(size_t bytes)
{
	return (bytes + POOL_LINE - 1) / POOL_LINE * POOL_LINE;
}

static inline size_t
pool_size(const struct pool_config *config)
{
	must(config->object_count > 0);
	must(config->object_count <= POOL_OBJECTS_MAX);
	must(config->object_bytes > 0);
	must(config->object_bytes <= POOL_OBJECT_BYTES_MAX);

	size_t numbers = pool_line_up(config->object_count * sizeof(uint32_t));
	return sizeof(struct pool) + 2 * numbers +
	       config->object_count * pool_line_up(config->object_bytes);
}

/* The object bytes are left as they are: filling gigabytes is the caller's
 * choice, and a taken object holds what its last user left in it. */
static inline struct pool *
pool_init(void *mem, const struct pool_config *config)
{
	must(mem);
	must((uintptr_t)mem % POOL_LINE == 0);
	must(pool_size(config) > 0);

	struct pool *p = mem;
	size_t numbers = pool_line_up(config->object_count * sizeof(uint32_t));
	uint8_t *at = (uint8_t *)mem + sizeof *p;

	p->references = (uint32_t *)(void *)at;
	p->free_stack = (uint32_t *)(void *)(at + numbers);
	p->object = at + 2 * numbers;
	p->stride_bytes = pool_line_up(config->object_bytes);
	p->free_count = config->object_count;
	p->object_count = config->object_count;
	p->object_bytes = config->object_bytes;
	for (uint32_t i = 0; i < p->object_count; i++) {
		p->references[i] = 0;
		p->free_stack[i] = p->object_count - 1 - i; /* handle 0 is taken first */
	}
	return p;
}

/* Takes an object with one reference; false when all are held. */
static inline bool
pool_take(struct pool *p, uint32_t *handle)
{
	must(p->free_count <= p->object_count);
	if (p->free_count == 0)
		return false;
	p->free_count--;
	*handle = p->free_stack[p->free_count];
	must(*handle < p->object_count);
	must(p->references[*handle] == 0);
	p->references[*handle] = 1;
	return true;
}

/* One more holder of an object that is held already. */
static inline void
pool_retain(struct pool *p, uint32_t handle)
{
	must(handle < p->object_count);
	must(p->references[handle] > 0);
	must(p->references[handle] < POOL_REFERENCES_MAX);
	p->references[handle]++;
}

/* One holder fewer; the object is free again when it was the last. */
static inline void
pool_release(struct pool *p, uint32_t handle)
{
	must(handle < p->object_count);
	must(p->references[handle] > 0);
	p->references[handle]--;
	if (p->references[handle] > 0)
		return;
	must(p->free_count < p->object_count);
	p->free_stack[p->free_count] = handle;
	p->free_count++;
}

/* The object's bytes, for as long as the caller holds it. */
static inline void *
pool_at(const struct pool *p, uint32_t handle)
{
	must(handle < p->object_count);
	must(p->references[handle] > 0);
	return p->object + handle * p->stride_bytes;
}

#endif /* RING_POOL_H */
