/* The newest stay, and a reader that is overtaken goes on with what is kept. */
#include <criterion/criterion.h>

#include "mysqlshim/conflicts.h"
#include "node/member.h"

static struct conflicts conflicts = CONFLICTS_INIT;

static void
add(uint64_t session)
{
	conflicts_add(&conflicts, &(struct conflict){.session = session});
}

Test(mysqlshim_conflicts, they_come_back_in_order)
{
	struct conflict row;

	cr_assert_not(conflicts_next(&conflicts, 0, &row));
	add(7);
	add(8);
	cr_assert_eq(conflicts_count(&conflicts), 2);
	cr_assert(conflicts_next(&conflicts, 0, &row));
	cr_assert_eq(row.number, 1);
	cr_assert_eq(row.session, 7);
	cr_assert(conflicts_next(&conflicts, row.number + 1, &row));
	cr_assert_eq(row.session, 8);
	cr_assert_not(conflicts_next(&conflicts, row.number + 1, &row));
}

Test(mysqlshim_conflicts, the_newest_stay)
{
	struct conflict row;

	for (uint64_t i = 1; i <= CONFLICTS_KEPT + 5; i++)
		add(i);
	cr_assert_eq(conflicts_count(&conflicts), CONFLICTS_KEPT);
	cr_assert(conflicts_next(&conflicts, 2, &row));
	cr_assert_eq(row.number, 6);
	cr_assert_eq(row.session, 6);
	cr_assert_not(conflicts_at(&conflicts, 5, &row));
	cr_assert(conflicts_at(&conflicts, CONFLICTS_KEPT + 5, &row));
	cr_assert_not(conflicts_at(&conflicts, CONFLICTS_KEPT + 6, &row));
}

Test(mysqlshim_conflicts, numbers_go_on_behind_a_clear)
{
	struct conflict row;

	add(1);
	conflicts_clear(&conflicts);
	cr_assert_eq(conflicts_count(&conflicts), 0);
	cr_assert_not(conflicts_at(&conflicts, 1, &row));
	add(2);
	cr_assert(conflicts_next(&conflicts, 0, &row));
	cr_assert_eq(row.number, 2);
	cr_assert_eq(row.session, 2);
}

Test(mysqlshim_conflicts, each_refusal_has_a_name)
{
	for (uint8_t v = MEMBER_CONFLICT; v <= MEMBER_ENDED; v++) {
		struct conflict row = {.why = {.verdict = v}};
		char text[EXPLAIN_CHARS_MAX];

		cr_assert_eq(conflicts_reason(&row)[0] != 0, explain_refusal(&row.why, text));
	}
}
