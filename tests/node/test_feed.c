/* A large transaction is fed beside small ones: its pieces give way, and nothing else wakes them.
 */
#include <criterion/criterion.h>

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
