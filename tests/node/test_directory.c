/* Groups that go: a node of its own and two members, of which one made group A. */
#include <criterion/criterion.h>
#include <string.h>

#include "node/internal.h"
#include "node/member_state.h"
#include "paxos/replica.h"
#include "tests/node/scene.h"

static void
ask(struct scene *s, struct node_order order)
{
	scene_node_give(s, (struct node_input){.kind = NODE_IN_ORDER, .order = &order});
	scene_run(s, 1000 * MS);
}

static void
drop(struct scene *s, uint32_t group)
{
	ask(s, (struct node_order){.kind = NODE_ORDER_DROP, .group = group});
}

/* Of group A; 0: there is none. */
static uint32_t
number(struct scene *s)
{
	struct node_group *g = node_group_by_uuid(s->node, scene_group_a);

	return g ? g->number : 0;
}

static void
stop(struct scene *s, uint32_t m)
{
	scene_member_give(s, m, (struct member_input){.kind = MEMBER_IN_STOP});
	scene_run(s, 500 * MS);
	cr_assert(s->stopped[m]);
}

static void
found_again(struct scene *s)
{
	scene_member_begin(s, 0, scene_group_a, true);
	scene_run(s, 1000 * MS);
	cr_assert(s->started[0] && s->refusal[0] == MEMBER_REFUSED_NONE);
}

Test(node_directory, a_group_with_a_member_stays)
{
	struct scene *s = scene();

	drop(s, 1);
	cr_assert_eq(number(s), 1);
	cr_assert(s->linked[0] && !s->expelled[0]);
	drop(s, 0);
	drop(s, 7);
	cr_assert_eq(scene_status(s).group_count, 2, "nor does group 0 go, or one that is not");
	scene_free(s);
}

Test(node_directory, one_with_nobody_goes_with_all_that_it_held)
{
	struct scene *s = scene();

	stop(s, 0);
	struct node_status before = scene_status(s);
	drop(s, 1);
	cr_assert_eq(number(s), 0);
	cr_assert_eq(scene_status(s).group_count, 1);
	cr_assert_gt(scene_status(s).values_free, before.values_free);
	scene_member_begin(s, 0, scene_group_a, false);
	scene_run(s, 1000 * MS);
	cr_assert(s->started[0] && s->refusal[0] == MEMBER_REFUSED_NO_GROUP);
	scene_free(s);
}

/* Under its uuid another one begins, with another number; and a replay sees both in turn,
 * and what the first one had logged. */
Test(node_directory, its_uuid_is_free_and_its_number_is_not)
{
	struct scene *s = scene();

	for (uint32_t i = 1; i < 8; i++) { /* more than there is room for at once */
		cr_assert_eq(number(s), i);
		stop(s, 0);
		drop(s, i);
		found_again(s);
	}
	uint64_t index = group_applied(node_group_by_uuid(s->node, scene_group_a)->state);
	scene_node_again(s);
	cr_assert_eq(number(s), 8);
	cr_assert_eq(scene_status(s).group_count, 2);
	cr_assert_geq(group_applied(node_group_by_uuid(s->node, scene_group_a)->state), index);
	scene_run(s, 1000 * MS);
	cr_assert(s->linked[0], "its member goes on");
	stop(s, 0);
	drop(s, 8);
	scene_node_again(s);
	scene_run(s, 100 * MS);
	cr_assert_eq(scene_status(s).group_count, 1, "what is dropped stays so");
	scene_free(s);
}

/* The last group takes the place of one that goes; nothing else of it changes. */
Test(node_directory, others_are_not_touched)
{
	struct scene *s = scene();

	scene_member_begin(s, 1, scene_group_b, true);
	scene_run(s, 1000 * MS);
	cr_assert(s->linked[0] && s->linked[1]);
	stop(s, 0);
	drop(s, 1);
	cr_assert_eq(number(s), 0);
	cr_assert(s->linked[1] && !s->expelled[1]);
	scene_node_again(s);
	scene_run(s, 1000 * MS);
	cr_assert(s->linked[1] && !s->expelled[1]);
	found_again(s);
	cr_assert_eq(number(s), 3);
	stop(s, 1);
	drop(s, 2);
	cr_assert(s->linked[0]);
	scene_free(s);
}

/* It was away when it was expelled and its group dropped, and another one begun: what it
 * was is not there, whatever incarnation has its number now. */
Test(node_directory, a_member_of_one_that_went_is_expelled)
{
	struct scene *s = scene();
	struct node_group *g = node_group_by_number(s->node, 1);
	uint64_t incarnation = group_member_at(g->state, 0)->incarnation;
	struct member *away = s->member[0];
	struct scene_end end = s->end[0];

	scene_keys(s, true, NULL);
	/* Member 0 hears nothing: member 1 stands in its place on the network. */
	s->end[0].timer_ns = UINT64_MAX;
	for (uint32_t i = 0; i < 12000; i++) {
		s->now_ns += MS;
		scene_node_give(s, (struct node_input){.kind = NODE_IN_DURABLE, .lsn = s->lsn});
		scene_node_give(s, (struct node_input){.kind = NODE_IN_TICK});
		s->count = 0;
	}
	cr_assert_eq(group_incarnation(g->state, incarnation)->state, MEMBER_EXPELLED);
	end.timer_ns = UINT64_MAX;
	s->end[0] = end;
	drop(s, 1);
	cr_assert_eq(number(s), 0);
	scene_member_begin(s, 1, scene_group_a, true);
	scene_run(s, 1000 * MS);
	cr_assert_eq(number(s), 2);
	cr_assert_eq(s->member[0], away);
	cr_assert(!s->expelled[0]);
	s->end[0].timer_ns = 0;
	scene_run(s, 3000 * MS);
	cr_assert(s->expelled[0]);
	cr_assert(s->linked[1]);
	scene_free(s);
}

/* Seed 751985 of the simulator, while logs were trimmed: a group was dropped and another one of its
 * name begun, and a node that had heard of neither counted the entries of the first. The
 * incarnations of the second were no members there, so it said that they had ended; what they
 * had sent was accepted later. */
Test(node_directory, a_node_that_lags_says_nothing_of_a_later_group)
{
	struct scene *s = scene();

	s->member[0]->group = 2;
	s->member[0]->incarnation = 1; /* an entry of group 1, and nobody's there */
	scene_node_again(s);
	scene_run(s, 3000 * MS);
	cr_assert_eq(number(s), 1);
	cr_assert(!s->expelled[0]);
	cr_assert(!s->linked[0]);
	scene_free(s);
}

Test(node_directory, an_administrator_expels)
{
	struct scene *s = scene();
	struct node_group *g = node_group_by_number(s->node, 1);
	uint64_t incarnation = group_member_at(g->state, 0)->incarnation;
	struct node_order order = {
		.kind = NODE_ORDER_EXPEL, .group = 1, .incarnation = incarnation + 1};

	ask(s, order);
	cr_assert(s->linked[0] && !s->expelled[0], "there is no such incarnation");
	order.incarnation = incarnation;
	ask(s, order);
	cr_assert(s->expelled[0]);
	cr_assert_eq(group_incarnation(g->state, incarnation)->state, MEMBER_EXPELLED);
	drop(s, 1);
	cr_assert_eq(number(s), 0, "it was the only one");
	scene_free(s);
}

static void
order_key(struct scene *s, enum node_order_kind kind, const uint8_t *group)
{
	struct node_order order = {.kind = kind, .key = {.uuid = {0x51}}};

	memcpy(order.key.key, s->end[1].key, CRYPTO_KEY_BYTES);
	order.key.group_count = group != NULL;
	if (group)
		memcpy(order.key.group[0], group, 16);
	ask(s, order);
}

/* Member 1, which the node's own list allows into B alone. */
static bool
joins_a(struct scene *s)
{
	scene_member_begin(s, 1, scene_group_a, false);
	scene_run(s, 1000 * MS);
	cr_assert(s->started[1]);
	return s->refusal[1] != MEMBER_REFUSED_KEY; /* it may be a member already */
}

Test(node_directory, a_key_of_group_0_is_listed_by_every_process)
{
	struct scene *s = scene();

	cr_assert(!joins_a(s));
	order_key(s, NODE_ORDER_LIST, scene_group_a);
	cr_assert(joins_a(s));
	cr_assert(s->linked[1]);
	scene_keys(s, true, scene_group_b);
	scene_run(s, 500 * MS);
	cr_assert(s->linked[1], "the node's own list is another matter");
	scene_node_again(s);
	scene_run(s, 1000 * MS);
	cr_assert(s->linked[1], "a replay knows it");

	struct node_key key;
	cr_assert(node_listed_key(s->node, 0, &key) && !node_listed_key(s->node, 1, &key));
	cr_assert_eq(memcmp(key.key, s->end[1].key, CRYPTO_KEY_BYTES), 0);
	order_key(s, NODE_ORDER_UNLIST, NULL);
	cr_assert(!s->linked[1] && s->linked[0]);
	cr_assert(!node_listed_key(s->node, 0, &key));
	cr_assert(!joins_a(s));
	scene_free(s);
}

Test(node_directory, a_key_has_the_groups_that_were_named_last)
{
	struct scene *s = scene();
	struct node_key key;

	order_key(s, NODE_ORDER_LIST, scene_group_a);
	cr_assert(joins_a(s));
	order_key(s, NODE_ORDER_LIST, scene_group_b);
	cr_assert(!s->linked[1] && s->linked[0]);
	cr_assert(!node_listed_key(s->node, 1, &key), "it stands once");
	order_key(s, NODE_ORDER_LIST, NULL);
	cr_assert(joins_a(s), "any group");
	scene_free(s);
}

/* More than there is room for: those that are there stay. */
Test(node_directory, keys_beyond_the_last_place_are_void)
{
	struct scene *s = scene();
	struct node_order order = {.kind = NODE_ORDER_LIST, .key = {.uuid = {7}}};
	struct node_key key;

	for (uint32_t i = 0; i <= NODE_KEYS_MAX; i++) {
		order.key.key[0] = (uint8_t)i;
		order.key.key[1] = (uint8_t)(1 + i / 256);
		scene_node_give(s, (struct node_input){.kind = NODE_IN_ORDER, .order = &order});
		scene_run(s, 2 * MS);
	}
	scene_run(s, 100 * MS);
	cr_assert(node_listed_key(s->node, NODE_KEYS_MAX - 1, &key));
	cr_assert(!node_listed_key(s->node, NODE_KEYS_MAX, &key));
	cr_assert_eq(key.key[0], NODE_KEYS_MAX - 1);
	cr_assert(s->linked[0]);
	scene_free(s);
}

/* It came into the epoch behind a force: until it has the change of group 0 that names it, it knows
 * no voters there. What it leads may have copied that change before. It proposed a change that was
 * none, and everybody who delivered that trapped. */
Test(node_directory, who_knows_no_voters_copies_none)
{
	struct scene *s = scene();
	struct node_group *g = node_group_by_number(s->node, 1);
	struct paxos_replica *first = s->node->group[0].replica;

	cr_assert(paxos_is_idle(g->replica) && node_group_leads(s->node, g));
	first->now.voters = 0;
	first->now.number++;
	node_directory_copy(s->node, g);
	cr_assert(paxos_is_idle(g->replica));
	first->now.voters = 1;
	scene_run(s, 100 * MS);
	cr_assert_eq(g->voters_number, first->now.number);
	scene_free(s);
}

/* What others of this group have copied it does not know yet. It would end that where it has
 * another reason to propose a change, the kind. */
Test(node_directory, who_lacks_what_was_copied_copies_nothing)
{
	struct scene *s = scene();
	struct node_group *g = node_group_by_number(s->node, 1);

	cr_assert(paxos_is_idle(g->replica) && node_group_leads(s->node, g));
	g->voters_number++;
	g->all_lead = true;
	scene_run(s, 1000 * MS);
	cr_assert(!paxos_configuration(g->replica)->all_lead);
	g->voters_number--;
	scene_run(s, 1000 * MS);
	cr_assert(paxos_configuration(g->replica)->all_lead);
	scene_free(s);
}
