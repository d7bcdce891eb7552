/* Fixed objects: all can be held, none twice, and the last holder frees. */
#include <criterion/criterion.h>
#include <signal.h>

#include "ring/pool.h"

#define COUNT 5u

static const struct pool_config config = {.object_count = COUNT, .object_bytes = 100};
static alignas(POOL_LINE) uint8_t mem[4096];

static struct pool *
fresh_pool(void)
{
	cr_assert_leq(pool_size(&config), sizeof mem);
	return pool_init(mem, &config);
}

Test(ring_pool, gives_each_object_once_and_then_says_empty)
{
	struct pool *pool = fresh_pool();
	uint32_t handle;

	for (uint32_t i = 0; i < COUNT; i++) {
		cr_assert(pool_take(pool, &handle));
		cr_assert_eq(handle, i, "the order of a fresh pool is part of determinism");
	}
	cr_assert(!pool_take(pool, &handle));
	cr_assert_eq(pool->free_count, 0);
}

Test(ring_pool, objects_are_aligned_apart_and_inside_the_block)
{
	struct pool *pool = fresh_pool();
	uint32_t handle[COUNT];

	for (uint32_t i = 0; i < COUNT; i++) {
		cr_assert(pool_take(pool, &handle[i]));
		uint8_t *object = pool_at(pool, handle[i]);
		cr_assert_eq((uintptr_t)object % POOL_LINE, 0);
		cr_assert_geq(object, mem);
		cr_assert_leq(object + config.object_bytes, mem + pool_size(&config));
		memset(object, (int)(0xA0 + i), config.object_bytes);
	}
	for (uint32_t i = 0; i < COUNT; i++) {
		const uint8_t *object = pool_at(pool, handle[i]);
		for (uint32_t byte = 0; byte < config.object_bytes; byte++)
			cr_assert_eq(object[byte], 0xA0 + i, "no neighbour wrote here");
	}
	for (uint32_t i = 0; i < COUNT; i++)
		pool_release(pool, handle[i]);
	cr_assert_eq(pool->free_count, COUNT, "filling the objects left the bookkeeping alone");
}

Test(ring_pool, the_last_holder_frees)
{
	struct pool *pool = fresh_pool();
	uint32_t handle = 0;

	cr_assert(pool_take(pool, &handle));
	pool_retain(pool, handle);
	pool_retain(pool, handle);
	pool_release(pool, handle);
	pool_release(pool, handle);
	cr_assert_eq(pool->free_count, COUNT - 1, "one holder is left");
	pool_release(pool, handle);
	cr_assert_eq(pool->free_count, COUNT);
}

Test(ring_pool, the_object_given_back_last_is_taken_first)
{
	struct pool *pool = fresh_pool();
	uint32_t a, b, again;

	cr_assert(pool_take(pool, &a));
	cr_assert(pool_take(pool, &b));
	pool_release(pool, b);
	pool_release(pool, a);
	cr_assert(pool_take(pool, &again));
	cr_assert_eq(again, a);
	cr_assert(pool_take(pool, &again));
	cr_assert_eq(again, b);
}

Test(ring_pool, giving_back_twice_stops_the_process, .signal = SIGILL)
{
	struct pool *pool = fresh_pool();
	uint32_t handle = 0;

	cr_assert(pool_take(pool, &handle));
	pool_release(pool, handle);
	pool_release(pool, handle);
}

Test(ring_pool, looking_at_a_free_object_stops_the_process, .signal = SIGILL)
{
	struct pool *pool = fresh_pool();

	pool_at(pool, 3);
}
