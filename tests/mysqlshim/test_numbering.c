/*
 * Dense numbers from an order with gaps. The rule that matters to the applier:
 * whatever a transaction depends on has a number at or below its
 * last_committed, and the numbers rise by one.
 */
#include <criterion/criterion.h>
#include <stdint.h>

#include "mysqlshim/numbering.h"

static struct numbering numbering;

static void
fresh(void)
{
	numbering_init(&numbering);
}

static void
expect(uint64_t index, uint64_t dependency, int64_t last_committed, int64_t sequence_number)
{
	struct numbers n = numbering_next(&numbering, index, dependency);

	cr_assert_eq(n.last_committed, last_committed, "%d", (int)n.last_committed);
	cr_assert_eq(n.sequence_number, sequence_number, "%d", (int)n.sequence_number);
}

Test(mysqlshim_numbering, gaps_close_and_a_dependency_in_one_waits_for_the_one_before,
     .init = fresh)
{
	expect(10, 0, 0, 0);  /* the clock begins */
	expect(11, 0, 1, 2);  /* on nothing of ours */
	expect(20, 10, 1, 3); /* on the first */
	expect(21, 20, 3, 4); /* on its predecessor */
	expect(40, 30, 4, 5); /* 30 was an own one: 21 is the newest before it */
	expect(41, 19, 2, 6); /* 19 was refused: 11 */
	expect(42, 41, 6, 7); /* alone: a fence */
}

/* An own one that failed here comes behind what stands behind it in the log. */
Test(mysqlshim_numbering, one_out_of_place_waits_for_all_and_all_wait_for_it, .init = fresh)
{
	expect(10, 0, 0, 0);
	expect(20, 0, 1, 2);
	expect(15, 3, 2, 3);
	expect(30, 15, 3, 4);
	expect(31, 5, 3, 5); /* on less than that: but it may have read what 15 writes */
}

/* Against a plain walk, over more numbers than are remembered. */
Test(mysqlshim_numbering, every_answer_is_a_superset_and_as_small_as_can_be, .init = fresh)
{
	static uint64_t given[2 * NUMBERING_KNOWN + 8];
	uint64_t index = 5, random = 1;

	for (uint64_t n = 1; n < sizeof given / sizeof *given; n++) {
		random = random * 6364136223846793005u + 1442695040888963407u;
		index += 1 + (random >> 60);
		uint64_t reach = (random >> 33) % (n % 7 == 0 ? index : 40);
		uint64_t dependency = index - 1 - (reach < index ? reach : 0);
		struct numbers got = numbering_next(&numbering, index, dependency);
		given[n] = index;
		if (n == 1)
			continue;
		cr_assert_eq(got.sequence_number, n);
		uint64_t newest = n - 1;
		uint64_t oldest = n > NUMBERING_KNOWN ? n - NUMBERING_KNOWN : 1;
		while (newest >= oldest && given[newest] > dependency)
			newest--;
		cr_assert_eq(got.last_committed, newest > 1 ? newest : 1);
		cr_assert_lt(got.last_committed, got.sequence_number);
	}
}
