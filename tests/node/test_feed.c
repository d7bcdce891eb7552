/* A large transaction is fed beside small ones: its pieces give way, and nothing else wakes them.
 */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "node/internal.h"
#include "tests/node/scene.h"

/* Member 1 is fed what member 0 has committed, of SCENE_LARGE_BYTES. Answers how long it took. */
static uint64_t
fed(struct scene *s, bool beside_small_ones, uint32_t *rests)
{
	scene_keys(s, true, NULL);
	scene_member_begin(s, 1, scene_group_a, false);
	scene_run(s, 500 * MS);
	cr_assert(s->started[1] && s->refusal[1] == MEMBER_REFUSED_NONE);
	int session = node_attend_session_of(s->node, &s->node->group[1],
					     member_snapshots(s->member[1])->joined);
	const struct node_session *to = &s->node->session[session];

	*rests = 0;
	scene_submit_large(s);
	uint64_t begin_ns = s->now_ns;
	for (uint32_t i = 0; i < 5000 && s->queued[1] < SCENE_LARGE_BYTES - 8; i++) {
		if (beside_small_ones)
			s->node->small_ns = s->now_ns;
		scene_run(s, MS);
		if (to->piece_rest_ns <= s->now_ns)
			continue;
		*rests += 1;
		cr_assert_leq(s->end[SCENE_NODE].timer_ns, to->piece_rest_ns, "it wakes by itself");
	}
	cr_assert_eq(s->queued[1], SCENE_LARGE_BYTES - 8);
	return s->now_ns - begin_ns;
}

Test(node_feed, a_large_one_rests_between_pieces_while_small_ones_come)
{
	struct scene *s = scene();
	uint32_t rests;

	uint64_t alone_ns = fed(s, false, &rests);
	cr_assert_eq(rests, 0);
	scene_free(s);
	s = scene();
	uint64_t beside_ns = fed(s, true, &rests);
	cr_assert_gt(rests, 0);
	cr_assert_gt(beside_ns, alone_ns);
	scene_free(s);
}

static bool
nothing_executed(void *context, const struct gtid *gtid)
{
	(void)context;
	(void)gtid;
	return false;
}

static void
submit_by_second(struct scene *s)
{
	struct snapshot_executed executed = {.contains = nothing_executed};
	struct snapshot_taken *taken = malloc(sizeof *taken);
	struct member_submission submission = {.snapshot = &taken->snapshot,
					       .gtid_spec = GTID_AUTOMATIC,
					       .hashes = (const uint64_t[]){2},
					       .hash_count = 1,
					       .payload = (const uint8_t *)"tx",
					       .payload_bytes = 2};

	cr_assert(snapshot_take(member_snapshots(s->member[1]), &executed, taken));
	submission.sequence = taken->sequence;
	scene_member_give(
		s, 1, (struct member_input){.kind = MEMBER_IN_SUBMIT, .submission = &submission});
	free(taken);
}

/* Seed 1100056096 of the simulator: what a member was to be fed was given up here, and the node
 * said that its incarnation had ended. A submission of it was on its way, was rolled back at its
 * server for that, and accepted. */
Test(node_feed, who_cannot_be_fed_has_its_verdicts_before_it_is_expelled)
{
	struct scene *s = scene();

	scene_keys(s, true, NULL);
	scene_member_begin(s, 1, scene_group_a, false);
	scene_run(s, 500 * MS);
	struct node_group *g = &s->node->group[1];
	uint64_t incarnation = member_snapshots(s->member[1])->joined;
	int session = node_attend_session_of(s->node, g, incarnation);
	cr_assert_neq(session, NODE_NO_SESSION);

	submit_by_second(s);
	scene_run(s, MS); /* it is in the log, and not on disk */
	g->dropped_index = group_applied(g->state);
	s->node->session[session].feed_next = 1;
	scene_node_give(s, (struct node_input){.kind = NODE_IN_TICK});
	cr_assert_eq(s->verdict[1], 0);
	scene_run(s, 1000 * MS);
	cr_assert_eq(s->verdict[1], MEMBER_ACCEPTED);
	cr_assert(s->expelled[1] && !s->diverged[1]);
	cr_assert_not(group_member_alive(group_incarnation(g->state, incarnation)));
	cr_assert(s->linked[0] && !s->expelled[0]);
	scene_free(s);
}
