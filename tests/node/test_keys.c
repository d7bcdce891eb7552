/* A key that names a group opens that one: a node of its own, two members, sealed. */
#include <criterion/criterion.h>
#include <string.h>

#include "tests/node/scene.h"

Test(node_keys, a_key_of_one_group_opens_no_other)
{
	struct scene *s = scene();

	scene_member_begin(s, 1, scene_group_a, false);
	scene_run(s, 1000 * MS);
	cr_assert(s->started[1]);
	cr_assert_eq(s->refusal[1], MEMBER_REFUSED_KEY);
	struct node_turned_away away = scene_status(s).turned_away;
	cr_assert_gt(away.count, 0);
	cr_assert_eq(memcmp(away.group, scene_group_a, sizeof scene_group_a), 0);
	cr_assert_eq(memcmp(away.key, s->end[1].key, sizeof away.key), 0);
	cr_assert(endpoint_equal(&away.from, &s->end[1].at));
	cr_assert_eq(scene_status(s).group_count, 2, "the appliance's own and A");

	scene_member_begin(s, 1, scene_group_b, true);
	scene_run(s, 1000 * MS);
	cr_assert(s->started[1]);
	cr_assert_eq(s->refusal[1], MEMBER_REFUSED_NONE, "its own group it opens");
	cr_assert_eq(scene_status(s).turned_away.count, away.count);
	scene_free(s);
}

/* Nor may it bootstrap one: its name would be taken. */
Test(node_keys, a_key_of_one_group_makes_no_other)
{
	static const uint8_t group_c[16] = {0xc};
	struct scene *s = scene();

	scene_member_begin(s, 1, group_c, true);
	scene_run(s, 1000 * MS);
	cr_assert(s->started[1]);
	cr_assert_eq(s->refusal[1], MEMBER_REFUSED_KEY);
	cr_assert_eq(scene_status(s).group_count, 2);
	scene_free(s);
}

Test(node_keys, a_list_that_changes_counts_at_once)
{
	struct scene *s = scene();

	scene_keys(s, true, NULL);
	scene_member_begin(s, 1, scene_group_a, false);
	scene_run(s, 1000 * MS);
	cr_assert(s->started[1] && s->refusal[1] == MEMBER_REFUSED_NONE);
	cr_assert(s->linked[0] && s->linked[1]);

	scene_keys(s, true, scene_group_b);
	scene_run(s, 1000 * MS);
	cr_assert(s->linked[0], "who is still listed notices nothing");
	cr_assert(!s->linked[1], "the group is gone from its key, and so is its session");

	scene_keys(s, false, NULL);
	scene_run(s, 1000 * MS);
	cr_assert(!s->linked[0], "a key that is gone has no session");
	cr_assert(s->linked[1], "and one that has its group again goes on");
	cr_assert_gt(scene_status(s).dropped_key, 0, "it asks again, and that is counted");
	scene_free(s);
}
