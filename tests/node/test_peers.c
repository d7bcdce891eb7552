/* Who stands at which number: a node of its own, to whose appliance others are added. */
#include <criterion/criterion.h>
#include <string.h>

#include "node/internal.h"
#include "tests/node/scene.h"

static struct node_order
add(uint8_t number, uint8_t uuid)
{
	return (struct node_order){.kind = NODE_ORDER_ADD,
				   .node = number,
				   .endpoint = endpoint_from_ipv4(0x0a000100u + uuid, 4000),
				   .key = {.node = true, .uuid = {uuid}, .key = {uuid, 1}}};
}

static void
ask(struct scene *s, struct node_order order)
{
	scene_node_give(s, (struct node_input){.kind = NODE_IN_ORDER, .order = &order});
	scene_run(s, 300 * MS);
}

/* The first byte of who stands there; 0: nobody. */
static uint8_t
who(const struct scene *s, uint8_t number)
{
	struct node_peer_status p;

	return node_peer_status(s->node, number, &p) ? p.uuid[0] : 0;
}

static uint32_t
keys_of(const struct scene *s, uint8_t uuid)
{
	struct node_key key;
	uint32_t count = 0;

	for (uint32_t i = 0; node_listed_key(s->node, i, &key); i++)
		count += key.node && key.uuid[0] == uuid;
	return count;
}

Test(node_peers, one_that_no_file_names_is_added_and_stays)
{
	struct scene *s = scene();
	struct node_peer_status p;

	struct node_order nine = add(3, 9);

	ask(s, nine);
	for (uint32_t again = 0; again < 2; again++) {
		cr_assert(node_peer_status(s->node, 3, &p));
		cr_assert_eq(p.uuid[0], 9);
		cr_assert(p.listed && p.differs && !p.stranger);
		cr_assert(endpoint_equal(&p.endpoint, &nine.endpoint));
		cr_assert_eq(keys_of(s, 9), 1, "its key, once");
		cr_assert_eq(who(s, 0), 1);
		cr_assert_eq(who(s, 1), 0);
		scene_node_again(s);
	}
	scene_free(s);
}

/* Who comes learns of all from the log: so those that were there before stand in it too. */
Test(node_peers, with_the_first_that_is_added_all_are_listed)
{
	struct scene *s = scene();
	struct node_peer_status p;

	cr_assert(node_peer_status(s->node, 0, &p));
	cr_assert(!p.listed);
	ask(s, add(1, 9));
	cr_assert(node_peer_status(s->node, 0, &p));
	cr_assert(p.listed && !p.differs);
	cr_assert_eq(keys_of(s, 1), 1);
	scene_free(s);
}

/* Its file was changed since it began. */
Test(node_peers, the_own_key_that_is_listed_is_the_one_in_use)
{
	struct scene *s = scene();
	struct node_secrets secrets = {.now = {0x77, 1}};
	struct node_key key;
	uint8_t public[CRYPTO_KEY_BYTES];
	bool found = false;

	s->end[SCENE_NODE].crypto.table.public_key(&s->end[SCENE_NODE].crypto, secrets.now, public);
	scene_node_give(s, (struct node_input){.kind = NODE_IN_SECRETS, .secrets = &secrets});
	ask(s, add(1, 9));
	for (uint32_t i = 0; node_listed_key(s->node, i, &key); i++)
		found |= key.uuid[0] == 1 && memcmp(key.key, public, sizeof public) == 0;
	cr_assert(found);
	cr_assert_eq(keys_of(s, 1), 1);
	scene_free(s);
}

/* With whom it was linked, and how far that one was, is of the one before. */
Test(node_peers, of_one_that_never_voted_nothing_is_held_against_the_next)
{
	struct scene *s = scene();

	ask(s, add(3, 9));
	s->node->shown[3] = (struct node_shown){.process = 7, .lsn = 4096, .disk = {3}};
	s->node->shown[4] = (struct node_shown){.process = 7, .lsn = 4096, .number = 2};
	ask(s, (struct node_order){.kind = NODE_ORDER_FORGET, .node = 3});
	cr_assert_eq(who(s, 3), 0);
	cr_assert_eq(s->node->shown[3].process, 0);
	ask(s, add(4, 8));
	ask(s, (struct node_order){.kind = NODE_ORDER_FORGET, .node = 4});
	cr_assert_eq(who(s, 4), 0);
	cr_assert_eq(s->node->shown[4].process, 7, "it has voted, and its dropping counts");
	scene_free(s);
}

/* Both at once: whichever comes first. */
Test(node_peers, a_change_of_voters_waits_for_one_that_is_being_forgotten)
{
	struct scene *s = scene();
	struct node_order forget = {.kind = NODE_ORDER_FORGET, .node = 3};
	struct node_group_status g;

	ask(s, add(3, 9));
	scene_node_give(s, (struct node_input){.kind = NODE_IN_ORDER, .order = &forget});
	cr_assert_eq(who(s, 3), 9, "not yet");
	scene_node_give(s, (struct node_input){.kind = NODE_IN_VOTERS, .voters = 0x09});
	scene_run(s, 300 * MS);
	cr_assert_eq(who(s, 3), 0);
	cr_assert(node_group_status(s->node, 0, &g));
	cr_assert_eq(g.configuration.voters, 1);
	scene_free(s);
}

Test(node_peers, what_another_holds_is_refused)
{
	struct scene *s = scene();
	struct node_order taken = add(4, 8);

	ask(s, add(3, 9));
	ask(s, add(3, 8));
	cr_assert_eq(who(s, 3), 9, "its number");
	ask(s, add(4, 9));
	cr_assert_eq(who(s, 4), 0, "its uuid");
	taken.endpoint = add(3, 9).endpoint;
	ask(s, taken);
	cr_assert_eq(who(s, 4), 0, "its address");
	taken.endpoint = s->end[SCENE_NODE].at;
	ask(s, taken);
	cr_assert_eq(who(s, 4), 0, "that of a node of the file");
	ask(s, add(0, 8));
	cr_assert_eq(who(s, 0), 1);
	ask(s, add(NODE_NODES_MAX, 8));
	cr_assert_eq(keys_of(s, 8), 0, "no key of one that is refused");
	scene_free(s);
}

Test(node_peers, one_that_is_forgotten_gives_its_number_to_another)
{
	struct scene *s = scene();

	ask(s, add(3, 9));
	ask(s, (struct node_order){.kind = NODE_ORDER_FORGET, .node = 3});
	cr_assert_eq(who(s, 3), 0);
	cr_assert_eq(keys_of(s, 9), 0);
	scene_node_again(s);
	cr_assert_eq(who(s, 3), 0);
	scene_run(s, 500 * MS); /* until it leads again */
	ask(s, add(3, 8));
	cr_assert_eq(who(s, 3), 8);
	cr_assert_eq(keys_of(s, 8), 1);
	scene_node_again(s);
	cr_assert_eq(who(s, 3), 8);
	scene_free(s);
}

Test(node_peers, one_that_votes_is_not_forgotten)
{
	struct scene *s = scene();

	ask(s, (struct node_order){.kind = NODE_ORDER_FORGET, .node = 0});
	cr_assert_eq(who(s, 0), 1);
	ask(s, (struct node_order){.kind = NODE_ORDER_FORGET, .node = 5});
	ask(s, (struct node_order){.kind = NODE_ORDER_FORGET, .node = 200});
	struct node_peer_status p;
	cr_assert(!node_peer_status(s->node, 5, &p) && !p.forgotten);
	scene_free(s);
}

/* Nobody is there to answer: the change of voters would wait for it for ever. */
Test(node_peers, nobody_can_vote_whose_number_is_nobodys)
{
	struct scene *s = scene();
	struct node_group_status g;

	scene_node_give(s, (struct node_input){.kind = NODE_IN_VOTERS, .voters = 0x21});
	scene_run(s, 300 * MS);
	cr_assert(node_group_status(s->node, 0, &g));
	cr_assert_eq(g.configuration.voters, 1);
	scene_free(s);
}

Test(node_peers, another_that_comes_with_its_number_is_told_apart)
{
	struct scene *s = scene();
	struct node_peer_status p;
	uint8_t right[UUID_BYTES] = {9}, wrong[UUID_BYTES] = {8};

	ask(s, add(3, 9));
	cr_assert(!node_peers_right(s->node, 3, wrong));
	node_peer_status(s->node, 3, &p);
	cr_assert(p.stranger);
	cr_assert(node_peers_right(s->node, 3, right));
	node_peer_status(s->node, 3, &p);
	cr_assert(!p.stranger);
	cr_assert(!node_peers_right(s->node, 0, right), "the own number");
	cr_assert(!node_peers_right(s->node, 2, right));
	cr_assert(!node_peers_right(s->node, UINT32_MAX, right));
	scene_free(s);
}
