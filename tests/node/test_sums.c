/* What members committed, beside what was ordered. */
#include <criterion/criterion.h>

#include "tests/node/scene.h"

static struct scene *
both_in_group_a(void)
{
	struct scene *s = scene();

	scene_keys(s, true, NULL);
	scene_member_begin(s, 1, scene_group_a, false);
	scene_run(s, 1000 * MS);
	cr_assert(s->linked[0] && s->linked[1]);
	return s;
}

/* Member 1 goes, which member 0 is told, and reports. */
static void
another_view(struct scene *s)
{
	scene_member_give(s, 1, (struct member_input){.kind = MEMBER_IN_STOP});
	scene_run(s, 2000 * MS);
	cr_assert(s->stopped[1]);
}

Test(node_sums, who_has_what_was_ordered_stays)
{
	struct scene *s = both_in_group_a();

	another_view(s);
	cr_assert_eq(scene_status(s).members_diverged, 0);
	cr_assert(!s->expelled[0] && s->linked[0]);
	scene_free(s);
}

Test(node_sums, who_committed_something_else_is_expelled)
{
	struct scene *s = both_in_group_a();

	member_snapshots(s->member[0])->sum++;
	another_view(s);
	struct node_status now = scene_status(s);
	cr_assert_eq(now.members_diverged, 1);
	cr_assert_eq(now.diverged_uuid[0], 0x50);
	cr_assert(s->expelled[0] && s->diverged[0]);
	scene_free(s);
}

/* Its node is another process, which knows no sum of it yet: the next two count. */
Test(node_sums, another_process_compares_anew)
{
	struct scene *s = both_in_group_a();

	scene_node_again(s);
	scene_keys(s, true, NULL);
	scene_run(s, 2000 * MS);
	cr_assert(s->linked[0] && s->linked[1]);
	cr_assert_eq(scene_status(s).members_diverged, 0);
	member_snapshots(s->member[0])->sum++;
	another_view(s);
	cr_assert_eq(scene_status(s).members_diverged, 1);
	cr_assert(s->expelled[0]);
	scene_free(s);
}
