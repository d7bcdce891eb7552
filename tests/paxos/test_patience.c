/* How long silence is borne: what was seen teaches, and is forgotten. */
#include "paxos/patience.h"

#include <criterion/criterion.h>

#define MS 1000000u

static struct patience
fresh(void)
{
	struct patience p;

	patience_init(&p, 25 * MS, 150 * MS);
	return p;
}

Test(paxos_patience, is_twice_the_longest_silence_between_its_bounds)
{
	struct patience p = fresh();

	cr_assert_eq(patience_ns(&p, 0), 25 * MS);
	patience_saw(&p, 12 * MS, 100 * MS);
	cr_assert_eq(patience_ns(&p, 100 * MS), 25 * MS);
	patience_saw(&p, 40 * MS, 200 * MS);
	patience_saw(&p, 8 * MS, 208 * MS);
	cr_assert_eq(patience_ns(&p, 208 * MS), 80 * MS);
	patience_saw(&p, 100 * MS, 400 * MS);
	cr_assert_eq(patience_ns(&p, 400 * MS), 150 * MS);
}

Test(paxos_patience, forgets_after_one_window_to_two)
{
	struct patience p = fresh();
	uint64_t span_ns = PATIENCE_SPANS * p.most_ns;

	patience_saw(&p, 40 * MS, 1 * MS);
	patience_saw(&p, 10 * MS, span_ns);
	cr_assert_eq(patience_ns(&p, span_ns), 80 * MS, "the older window counts as well");
	patience_saw(&p, 14 * MS, 2 * span_ns);
	cr_assert_eq(patience_ns(&p, 2 * span_ns), 28 * MS, "and is forgotten behind the next");
}

Test(paxos_patience, forgets_where_nothing_is_seen)
{
	struct patience p = fresh();

	patience_saw(&p, 40 * MS, 1 * MS);
	cr_assert_eq(patience_ns(&p, 2 * PATIENCE_SPANS * p.most_ns + 1 * MS), 25 * MS);
	patience_saw(&p, 1 * MS, 3 * PATIENCE_SPANS * p.most_ns);
	cr_assert_eq(patience_ns(&p, 3 * PATIENCE_SPANS * p.most_ns), 25 * MS);
}

Test(paxos_patience, who_was_away_for_long_teaches_nothing)
{
	struct patience p = fresh();

	patience_saw(&p, 300 * MS, 400 * MS);
	cr_assert_eq(patience_ns(&p, 400 * MS), 25 * MS);
}
