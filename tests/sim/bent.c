/* tests/sim/bent.c - see sim.h: a node whose memory rots, and that the others find out.
 *
 * Only the digest is bent, and not what it is a digest of: a wrong verdict would reach
 * members before any alarm can, and every other checker would have to look away. */
#include "certify/group_state.h"
#include "node/internal.h"
#include "tests/sim/sim.h"

#define GROUP           1
#define COMPARISONS_MIN 3 /* behind the healing: by then it must have been found */

void
bent_reset(struct sim *s)
{
	s->bent = (struct sim_bent){.node = SIM_NODES_MAX};
}

void
bent_begin(struct sim *s, uint8_t node)
{
	struct sim_process *p = &s->node[node].process;
	const struct node_group *g;

	if (s->node_count < 2 || s->bent.node != SIM_NODES_MAX || !p->up)
		return; /* who is alone has nobody to compare with */
	g = &s->node[node].node->group[GROUP];
	if (!g->state || !group_created(g->state))
		return;
	sim_trace(s, "node %u: its memory rots", node);
	g->state->digest ^= 1;
	s->bent.node = node;
	s->bent.life = p->life;
}

void
bent_diverged(struct sim *s, uint8_t node, const struct node_output *out)
{
	if (s->bent.node != node || s->bent.life != s->node[node].process.life)
		sim_fail(s, "node %u finds that it differs in group %u at %llu, and does not", node,
			 out->group, (unsigned long long)out->index);
	sim_trace(s, "node %u: finds that it differs, at %llu", node,
		  (unsigned long long)out->index);
	s->totals.bent++;
}

static const struct node_group *
bent_group(const struct sim *s)
{
	const struct sim_process *p = &s->node[s->bent.node % SIM_NODES_MAX].process;

	if (s->bent.node == SIM_NODES_MAX || !p->up || p->life != s->bent.life)
		return NULL; /* what was bent is gone */
	return &s->node[s->bent.node].node->group[GROUP];
}

void
bent_healed(struct sim *s)
{
	const struct node_group *g = bent_group(s);

	if (g)
		s->bent.comparisons = g->compare_next[s->bent.node];
}

void
bent_final(struct sim *s)
{
	const struct node_group *g = bent_group(s);

	if (g && g->compare_next[s->bent.node] >= s->bent.comparisons + COMPARISONS_MIN)
		sim_fail(s, "node %u computes other results, and nobody noticed", s->bent.node);
}
