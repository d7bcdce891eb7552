/* What a node says of its groups' members: a node of its own, two members, sealed. */
#include <criterion/criterion.h>
#include <string.h>

#include "tests/node/scene.h"

static const uint8_t *
server(uint32_t m)
{
	static uint8_t uuid[UUID_BYTES];

	uuid[0] = (uint8_t)(0x50 + m);
	return uuid;
}

Test(node_status, each_living_member_is_shown_once)
{
	struct scene *s = scene();
	struct node_member_status first, second, other;
	struct node_group_status group;

	scene_keys(s, true, NULL);
	cr_assert(node_member_status(s->node, 1, 0, &first));
	cr_assert_arr_eq(first.uuid, server(0), UUID_BYTES);
	cr_assert_str_eq(first.host, "host");
	cr_assert(first.connected);
	cr_assert_eq(first.node, 0);
	cr_assert_gt(first.incarnation, 0);
	cr_assert(!node_member_status(s->node, 1, 1, &second));
	scene_member_begin(s, 1, scene_group_a, false);
	scene_run(s, 1000 * MS);
	cr_assert(s->started[1] && s->refusal[1] == MEMBER_REFUSED_NONE);
	cr_assert(node_group_status(s->node, 1, &group));
	cr_assert_eq(group.member_count, 2);
	cr_assert(node_member_status(s->node, 1, 0, &other));
	cr_assert(node_member_status(s->node, 1, 1, &second));
	cr_assert_arr_eq(other.uuid, server(0), UUID_BYTES);
	cr_assert_arr_eq(second.uuid, server(1), UUID_BYTES);
	cr_assert_gt(second.incarnation, first.incarnation);
	cr_assert(!node_member_status(s->node, 1, 2, &other));
	scene_free(s);
}

/* Until the group expels it, it is a member. */
Test(node_status, a_member_whose_link_broke_is_there_and_not_connected)
{
	struct scene *s = scene();
	struct node_member_status first;

	scene_keys(s, false, NULL); /* its key is gone: the session closes */
	scene_run(s, 100 * MS);
	cr_assert(node_member_status(s->node, 1, 0, &first));
	cr_assert_arr_eq(first.uuid, server(0), UUID_BYTES);
	cr_assert(!first.connected);
	scene_member_begin(s, 1, scene_group_a, false);
	scene_run(s, 20000 * MS);
	cr_assert(node_member_status(s->node, 1, 0, &first));
	cr_assert_arr_eq(first.uuid, server(1), UUID_BYTES, "the other one is expelled");
	cr_assert(!node_member_status(s->node, 1, 1, &first));
	scene_free(s);
}

Test(node_status, what_is_not_there_is_not_shown)
{
	struct scene *s = scene();
	struct node_member_status member;
	struct node_group_status group;
	struct gtid_interval run;

	cr_assert(!node_member_status(s->node, 7, 0, &member), "no such group");
	cr_assert(!node_member_status(s->node, 0, 0, &member), "the appliance's own has none");
	cr_assert(!node_group_status(s->node, 2, &group));
	cr_assert(!node_group_executed(s->node, 0, 0, &run));
	cr_assert(!node_group_executed(s->node, 1, 0, &run), "nothing yet");
	cr_assert(!node_group_executed(s->node, 2, 0, &run));
	scene_free(s);
}
