/* One thread on both sides: order, short counts, and the wrap of the counters. */
#include <criterion/criterion.h>
#include <signal.h>

#include "ring/spsc.h"

#define CAPACITY 8u

static uint64_t slot[CAPACITY];

Test(ring_spsc, what_goes_in_comes_out_in_order)
{
	uint64_t in[3] = {11, 22, 33}, out[CAPACITY];
	struct spsc ring;

	spsc_init(&ring, slot, CAPACITY);
	cr_assert_eq(spsc_push(&ring, in, 3), 3);
	cr_assert_eq(spsc_pop(&ring, out, CAPACITY), 3);
	cr_assert_eq(memcmp(in, out, sizeof in), 0);
	cr_assert_eq(spsc_pop(&ring, out, CAPACITY), 0, "empty again");
}

Test(ring_spsc, every_slot_is_usable_and_a_full_ring_takes_no_more)
{
	uint64_t in[CAPACITY + 2] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10}, out[CAPACITY];
	struct spsc ring;

	spsc_init(&ring, slot, CAPACITY);
	cr_assert_eq(spsc_push(&ring, in, CAPACITY + 2), CAPACITY, "short count, not a failure");
	cr_assert_eq(spsc_push(&ring, in, 1), 0);
	cr_assert_eq(spsc_pop(&ring, out, 1), 1);
	cr_assert_eq(spsc_push(&ring, in + CAPACITY, 2), 1, "one slot came back");
	cr_assert_eq(spsc_pop(&ring, out, CAPACITY), CAPACITY);
	cr_assert_eq(out[0], 2);
	cr_assert_eq(out[CAPACITY - 1], 9);
}

Test(ring_spsc, a_ring_of_one_slot_works)
{
	uint64_t in = 7, out = 0;
	struct spsc ring;

	spsc_init_at(&ring, slot, 1, UINT32_MAX);
	for (uint32_t lap = 0; lap < 4; lap++, in++) {
		cr_assert_eq(spsc_push(&ring, &in, 1), 1);
		cr_assert_eq(spsc_push(&ring, &in, 1), 0);
		cr_assert_eq(spsc_pop(&ring, &out, 1), 1);
		cr_assert_eq(out, in);
	}
}

/* Every fill level meets every position around the wrap. */
Test(ring_spsc, counters_wrap_at_every_fill_level)
{
	struct spsc ring;

	for (uint32_t fill = 0; fill <= CAPACITY; fill++) {
		uint64_t next_in = 0, next_out = 0, elem;

		spsc_init_at(&ring, slot, CAPACITY, UINT32_MAX - 3 * CAPACITY);
		for (; next_in < fill; next_in++)
			cr_assert_eq(spsc_push(&ring, &next_in, 1), 1);
		for (uint32_t step = 0; step < 6 * CAPACITY; step++) {
			if (fill > 0) {
				cr_assert_eq(spsc_pop(&ring, &elem, 1), 1);
				cr_assert_eq(elem, next_out++);
			}
			if (fill == CAPACITY) {
				cr_assert_eq(spsc_push(&ring, &next_in, 1), 1);
				cr_assert_eq(spsc_push(&ring, &next_in, 1), 0, "full");
			} else {
				cr_assert_eq(spsc_push(&ring, &next_in, 1), 1);
			}
			next_in++;
			if (fill == 0) {
				cr_assert_eq(spsc_pop(&ring, &elem, 1), 1);
				cr_assert_eq(elem, next_out++);
				cr_assert_eq(spsc_pop(&ring, &elem, 1), 0, "empty");
			}
		}
		cr_assert_lt(atomic_load(&ring.tail), 4 * CAPACITY, "it did wrap");
	}
}

Test(ring_spsc, a_capacity_that_is_no_power_of_two_stops_the_process, .signal = SIGILL)
{
	struct spsc ring;

	spsc_init(&ring, slot, 6);
}
