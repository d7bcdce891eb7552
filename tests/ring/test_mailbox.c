/* One thread on both sides: order, full and empty, wrap, and who is told to wake. */
#include <criterion/criterion.h>
#include <signal.h>

#include "ring/mailbox.h"

#define CAPACITY 4u

static struct mailbox_slot slot[CAPACITY];

Test(ring_mailbox, pops_in_the_order_of_pushes)
{
	struct mailbox box;
	uint64_t out[CAPACITY];
	bool wake;

	mailbox_init(&box, slot, CAPACITY);
	cr_assert_eq(mailbox_pop(&box, out, CAPACITY), 0);
	for (uint64_t i = 0; i < 3; i++)
		cr_assert(mailbox_push(&box, 100 + i, &wake));
	cr_assert_eq(mailbox_pop(&box, out, 2), 2);
	cr_assert_eq(out[0], 100);
	cr_assert_eq(out[1], 101);
	cr_assert_eq(mailbox_pop(&box, out, CAPACITY), 1);
	cr_assert_eq(out[0], 102);
}

Test(ring_mailbox, a_full_mailbox_refuses_and_keeps_what_it_has)
{
	struct mailbox box;
	uint64_t out[CAPACITY + 1];
	bool wake;

	mailbox_init(&box, slot, CAPACITY);
	for (uint64_t i = 0; i < CAPACITY; i++)
		cr_assert(mailbox_push(&box, i, &wake));
	cr_assert(!mailbox_push(&box, 99, &wake));
	cr_assert(!wake);
	cr_assert_eq(mailbox_pop(&box, out, 1), 1);
	cr_assert(mailbox_push(&box, 4, &wake), "one slot came back");
	cr_assert_eq(mailbox_pop(&box, out, CAPACITY + 1), CAPACITY);
	for (uint64_t i = 0; i < CAPACITY; i++)
		cr_assert_eq(out[i], i + 1);
}

/* Every fill level meets every position around the wrap of the 64-bit counters
 * and of their low 32 bits, where a narrowed comparison would show. */
Test(ring_mailbox, counters_wrap_at_every_fill_level)
{
	static const uint64_t start[2] = {UINT64_MAX - 2 * CAPACITY, UINT32_MAX - 2 * CAPACITY};
	struct mailbox box;
	uint64_t out;
	bool wake;

	for (uint32_t lap = 0; lap < 2 * (CAPACITY + 1); lap++) {
		uint64_t fill = lap / 2, next_in = 0, next_out = 0;

		mailbox_init_at(&box, slot, CAPACITY, start[lap % 2]);
		for (; next_in < fill; next_in++)
			cr_assert(mailbox_push(&box, next_in, &wake));
		for (uint32_t step = 0; step < 5 * CAPACITY; step++) {
			bool fits = next_in - next_out < CAPACITY;

			cr_assert_eq(mailbox_push(&box, next_in, &wake), fits);
			next_in += fits;
			cr_assert_eq(mailbox_pop(&box, &out, 1), 1);
			cr_assert_eq(out, next_out++);
		}
		cr_assert_eq(atomic_load(&box.tail), start[lap % 2] + next_in);
	}
}

Test(ring_mailbox, an_awake_consumer_costs_no_wake)
{
	struct mailbox box;
	bool wake = true;

	mailbox_init(&box, slot, CAPACITY);
	cr_assert(mailbox_push(&box, 1, &wake));
	cr_assert(!wake);
}

Test(ring_mailbox, exactly_one_push_wakes_an_armed_consumer)
{
	struct mailbox box;
	bool wake;

	mailbox_init(&box, slot, CAPACITY);
	cr_assert(mailbox_arm(&box), "empty: it may sleep");
	cr_assert(mailbox_push(&box, 1, &wake));
	cr_assert(wake);
	cr_assert(mailbox_push(&box, 2, &wake));
	cr_assert(!wake, "the first one did it");
}

Test(ring_mailbox, a_consumer_with_something_to_pop_may_not_sleep)
{
	struct mailbox box;
	bool wake;

	mailbox_init(&box, slot, CAPACITY);
	cr_assert(mailbox_push(&box, 1, &wake));
	cr_assert(!mailbox_arm(&box));
	cr_assert(mailbox_push(&box, 2, &wake));
	cr_assert(!wake, "a refused arm leaves nothing armed");
}

Test(ring_mailbox, disarmed_after_another_reason_to_wake)
{
	struct mailbox box;
	bool wake;

	mailbox_init(&box, slot, CAPACITY);
	cr_assert(mailbox_arm(&box));
	mailbox_disarm(&box);
	cr_assert(mailbox_push(&box, 1, &wake));
	cr_assert(!wake);
}

Test(ring_mailbox, one_slot_is_too_few, .signal = SIGILL)
{
	struct mailbox box;

	mailbox_init(&box, slot, 1);
}
