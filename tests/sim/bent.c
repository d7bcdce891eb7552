/* tests/sim/bent.c - see sim.h: a node whose memory rots, and that the others find out; and
 * a server that commits something else, which its node finds out.
 *
 * Only the digest is bent, and not what it is a digest of: a wrong verdict would reach
 * members before any alarm can, and every other checker would have to look away. */
#include "certify/group_state.h"
#include "node/internal.h"
#include "tests/sim/sim.h"

#define GROUP           1
#define COMPARISONS_MIN 3 /* behind the healing, with others: it must have been found */

void
bent_reset(struct sim *s)
{
	s->bent = (struct sim_bent){.node = SIM_NODES_MAX, .watcher = SIM_NODES_MAX};
}

void
bent_begin(struct sim *s, uint8_t node)
{
	struct sim_process *p = &s->node[node].process;
	const struct sim_voters *v = &s->voters[GROUP];
	const struct node_group *g;

	if (s->node_count < 2 || s->bent.node != SIM_NODES_MAX || !p->up)
		return; /* who is alone has nobody to compare with */
	/* Nor has who was forced on alone: while nobody is there to learn from it, it keeps the
	 * picture of its memory instead of its log, and its next process begins with that. */
	if (v->count > 0 && __builtin_popcount(v->change[v->count - 1].voters) == 1)
		return;
	g = node_group_by_number(s->node[node].node, GROUP);
	if (!g || !g->state || !group_created(g->state))
		return;
	sim_trace(s, "node %u: its memory rots", node);
	g->state->digest ^= 1;
	s->bent.node = node;
	s->bent.life = p->life;
}

/* It may compute another state: in that life; and in a later one that begins with the image of a
 * group that has ended, which is waited for by nobody, and not compared. */
bool
bent_excuses(const struct sim *s, uint8_t node, uint32_t group)
{
	return s->bent.node == node &&
	       (s->bent.life == s->node[node].process.life || groups_gone(s, group));
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

/* By the group, too: a node that stood still while a group was dropped has sessions of it yet, and
 * the server may have the same incarnation in the one that was founded anew. */
static struct sim_server *
server_of(struct sim *s, const struct node_session *e)
{
	for (uint8_t i = 0; i < s->server_count; i++) {
		struct sim_server *v = &s->server[i];

		if (v->process.up && v->incarnation == e->incarnation &&
		    s->group_number[v->group] == e->group &&
		    memcmp(v->config.server_uuid, e->server_uuid, UUID_BYTES) == 0)
			return v;
	}
	return NULL;
}

static bool
is_compared(const struct node *n, const struct node_session *e)
{
	const struct node_group *g = node_group_by_number(n, e->group);

	for (uint32_t i = 0; i < GROUP_SLOTS_MAX; i++)
		if (g->sums[i].incarnation == e->incarnation && g->sums[i].differs == 0)
			return true;
	return false;
}

/* One whose sums this node has compared before: what came before that it cannot know. */
void
bent_member_begin(struct sim *s, uint8_t node)
{
	const struct node *n = s->node[node].node;

	if (s->bent.incarnation != 0 || !s->node[node].process.up)
		return;
	for (uint32_t i = 0; i < n->session_count; i++) {
		const struct node_session *e = &n->session[i];
		struct sim_server *v = server_of(s, e);

		if (e->stage != SESSION_ATTACHED || !v || !is_compared(n, e))
			continue;
		sim_trace(s, "server %u: commits something else", v->number);
		member_snapshots(v->member)->sum++;
		s->bent.incarnation = e->incarnation;
		s->bent.group = e->group;
		s->bent.watcher = node;
		s->bent.watcher_life = s->node[node].process.life;
		s->bent.session = e->session;
		s->bent.mark = member_snapshots(v->member)->mark;
		return;
	}
}

void
bent_member_diverged(struct sim *s, uint8_t node, const struct node_output *out)
{
	if (s->bent.incarnation == 0 || out->group != s->bent.group)
		sim_fail(s,
			 "node %u finds that a member of group %u differs at %llu, and none does",
			 node, out->group, (unsigned long long)out->index);
	sim_trace(s, "node %u: a member of group %u differs at %llu", node, out->group,
		  (unsigned long long)out->index);
	s->totals.bent_members++;
}

/* It hangs on that node as it did, and has committed more since. */
static bool
is_still_there(const struct sim *s)
{
	const struct sim_node *w = &s->node[s->bent.watcher % SIM_NODES_MAX];

	if (s->bent.incarnation == 0 || !w->process.up || w->process.life != s->bent.watcher_life)
		return false;
	for (uint32_t i = 0; i < w->node->session_count; i++) {
		const struct node_session *e = &w->node->session[i];

		if (e->stage == SESSION_ATTACHED && e->incarnation == s->bent.incarnation &&
		    e->group == s->bent.group && e->session == s->bent.session &&
		    e->committed > s->bent.mark)
			return true;
	}
	return false;
}

/* It was noticed, and has yet to be expelled: that is done by the clock, when the nodes agree about
 * the sums. All may be at rest before. */
bool
bent_is_going(const struct sim *s)
{
	const struct node_group *g;

	if (!is_still_there(s))
		return false;
	g = node_group_by_number(s->node[s->bent.watcher].node, s->bent.group);
	for (uint32_t i = 0; i < GROUP_SLOTS_MAX; i++)
		if (g->sums[i].incarnation == s->bent.incarnation && g->sums[i].differs != 0)
			return true;
	return false;
}

static const struct node_group *
bent_group(const struct sim *s)
{
	const struct sim_process *p = &s->node[s->bent.node % SIM_NODES_MAX].process;

	if (s->bent.node == SIM_NODES_MAX || !p->up || p->life != s->bent.life || s->bent.replaced)
		return NULL; /* what was bent is gone */
	return node_group_by_number(s->node[s->bent.node].node, GROUP);
}

/* Linked with it, and each has applied since what the other had by then: what comes behind that
 * each tells the other. Who catches up applies what others said long ago, while there was no link,
 * or not to it. */
static uint32_t
company(struct sim *s, const struct node_group *bent)
{
	uint8_t self = s->bent.node;
	uint32_t were = s->bent.beside_now, set = 0;

	for (uint8_t i = 0; i < s->node_count; i++) {
		const struct node *n = s->node[i].node;
		const struct sim_process *p = &s->node[i].process;
		uint64_t *life = &s->bent.beside[i];

		if (i == self || !p->up || !(n->link_up >> self & 1) ||
		    !(s->node[self].node->link_up >> i & 1)) {
			*life = 0;
			continue;
		}
		const struct node_group *g = node_group_by_number(n, GROUP);
		if (!g || !g->state)
			continue;
		uint64_t low = group_applied(g->state), high = group_applied(bent->state);
		if (low > high) {
			uint64_t other = low;
			low = high;
			high = other;
		}
		if (*life != p->life)
			s->bent.beside_index[i] = high;
		*life = p->life;
		set |= (uint32_t)(low >= s->bent.beside_index[i]) << i;
	}
	s->bent.beside_now = set;
	return set & were; /* what it compared on the way to that does not count */
}

/* Of two that differ nobody can say who is right: each notes it. More of those who vote and those
 * who compute must be against one. */
void
bent_go_on(struct sim *s)
{
	const struct node_group *g = bent_group(s);

	if (!g || !g->state)
		return;
	uint32_t others = company(s, g), made = g->compare_next[s->bent.node];
	uint32_t all = paxos_configuration(g->replica)->voters | others | 1u << s->bent.node;

	if (others == 0)
		s->bent.beside_from = made;
	if (2 * __builtin_popcount(others) <= __builtin_popcount(all))
		s->bent.outvoted_from = made;
}

void
bent_final(struct sim *s)
{
	const struct node_group *g = bent_group(s);

	if (is_still_there(s))
		sim_fail(s, "a member committed something else, and is a member still");
	if (!g)
		return;
	uint32_t made = g->compare_next[s->bent.node];
	if (made >= s->bent.outvoted_from + COMPARISONS_MIN)
		sim_fail(s, "node %u computes other results, and nobody noticed", s->bent.node);
	if (made >= s->bent.beside_from + COMPARISONS_MIN &&
	    s->node[s->bent.node].node->differing == 0)
		sim_fail(s, "node %u computes other results, and does not note it", s->bent.node);
}
