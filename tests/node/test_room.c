/* A log with little room, and large transactions that were under way: what is open holds the log
 * back, so all that ends it comes through where submissions wait. */
#include <criterion/criterion.h>

#include "node/internal.h"
#include "tests/node/scene.h"

/* So many chunks of it are in the node's log. */
static struct scene *
begun(uint32_t chunks, uint64_t *name)
{
	struct scene *s = scene();
	const struct node_payload *p = &s->node->payload[0];
	uint64_t lsn = s->lsn;

	*name = scene_submit_large(s);
	for (uint32_t i = 0; i < 100 && p->held == 0; i++)
		scene_run(s, MS);
	cr_assert(p->used && p->held > chunks * p->chunk_bytes);
	s->lsn = chunks == 0 ? lsn : p->lsn[chunks - 1];
	return s;
}

/* In its next process there is none. */
static void
ends_without_room(struct scene *s, uint32_t open)
{
	s->room_bytes = 1;
	scene_node_again(s);
	cr_assert_eq(s->node->payloads_used, open);
	scene_run(s, 2000 * MS);
	cr_assert_eq(s->node->payloads_used, 0, "nothing holds the log back");
	cr_assert_neq(s->verdict[0], 0);
	scene_free(s);
}

Test(node_room, half_a_payload_comes_whole)
{
	uint64_t name;
	struct scene *s = begun(10, &name);

	ends_without_room(s, 1);
}

/* What ends it stands behind submissions that wait. */
Test(node_room, half_a_payload_that_is_given_up_ends)
{
	uint64_t name;
	struct scene *s = begun(10, &name);

	scene_member_give(s, 0, (struct member_input){.kind = MEMBER_IN_ABANDON, .sequence = name});
	ends_without_room(s, 1);
}

/* Who leads now has nothing of it, others may: nothing may be dropped there. */
Test(node_room, a_payload_that_was_begun_elsewhere_comes_whole)
{
	uint64_t name;
	struct scene *s = begun(0, &name);

	ends_without_room(s, 0);
}

Test(node_room, a_payload_that_is_nowhere_waits)
{
	struct scene *s = scene();

	s->room_bytes = 1;
	scene_submit_large(s);
	scene_run(s, 1000 * MS);
	cr_assert_eq(s->node->payloads_used, 0);
	cr_assert_eq(s->verdict[0], 0);
	s->room_bytes = 0;
	scene_run(s, 1000 * MS);
	cr_assert_eq(s->verdict[0], MEMBER_ACCEPTED);
	scene_free(s);
}

/* A simulated node had all of its pool in use: what two groups had in flight, what others had
 * reported of it, and two slots that waited for a write set. Nothing more came in, for ever. */
Test(node_room, a_pool_holds_more_than_what_is_in_flight_and_reported)
{
	struct node_config config = {.groups_max = 3};

	config.values_max = 2 * (config.groups_max + 1) * 40;
	cr_assert_lt(node_horizon_max(&config), 40);
	config.values_max = node_values_min(config.groups_max, 40);
	cr_assert_eq(config.values_max, 9 * 40 + 1);
	cr_assert_eq(node_horizon_max(&config), 40);
	config.values_max = 0;
	cr_assert_eq(node_horizon_max(&config), 0);
	config.values_max = 1u << 30;
	cr_assert_eq(node_horizon_max(&config), PAXOS_HORIZON_MAX);
}
