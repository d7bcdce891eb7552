/*
 * Do the nodes compute the same? They apply the same entries, so a group's digest after
 * an index (certify/group.h) is the same on all, unless memory rotted, or the program
 * has an error that depends on something else than the log. Then servers that are fed by
 * different nodes would drift apart, and nobody would know for months.
 *
 * Each entry that moves the horizon is a place to compare: a node tells the others its
 * digest there. One whose digest a majority contradicts with one voice says no further
 * word: its members fail over, and its next process computes everything anew from the
 * log. One that contradicts another only notes it; the other will hear it from more. In
 * the packets of the step in which it finds out nothing leaves either. Between the wrong
 * result and the next horizon its members may have been told one: an alarm, not a proof.
 *
 * A message that is lost is not repeated: the next horizon is never far.
 */
#include "base/must.h"
#include "node/internal.h"

static const struct node_compare *
find(const struct node_group *g, uint8_t node, uint64_t index)
{
	for (uint32_t i = 0; i < NODE_COMPARE_MAX; i++)
		if (g->compare[node][i].index == index)
			return &g->compare[node][i];
	return NULL;
}

static void
keep(struct node_group *g, uint8_t node, uint64_t index, uint64_t digest)
{
	g->compare[node][g->compare_next[node]++ % NODE_COMPARE_MAX] =
		(struct node_compare){.index = index, .digest = digest};
}

/* The nodes that said `digest` at this index, a bit each. */
static uint32_t
who_said(const struct node *n, const struct node_group *g, uint64_t index, uint64_t digest)
{
	uint32_t nodes = 0;

	for (uint8_t i = 0; i < n->config.node_count; i++) {
		const struct node_compare *c = find(g, i, index);

		if (c && c->digest == digest)
			nodes |= 1u << i;
	}
	return nodes;
}

/* Of those who vote and those who spoke: a node that only learns computes too, and one that
 * is gone for good says nothing. */
static bool
most_say(const struct node *n, const struct node_group *g, uint32_t nodes)
{
	uint32_t all = paxos_configuration(g->replica)->voters | nodes | 1u << n->config.self;

	return 2 * __builtin_popcount(nodes) > __builtin_popcount(all);
}

static void
compare(struct node *n, const struct node_group *g, uint64_t index)
{
	const struct node_compare *own = find(g, n->config.self, index);

	for (uint8_t i = 0; own && i < n->config.node_count; i++) {
		const struct node_compare *other = find(g, i, index);

		if (!other || other->digest == own->digest)
			continue;
		n->differing |= 1u << i;
		if (n->ended || !most_say(n, g, who_said(n, g, index, other->digest)))
			continue;
		n->ended = true;
		node_emit(n, &(struct node_output){.kind = NODE_OUT_DIVERGED,
						   .group = g->number,
						   .index = index});
	}
}

void
node_compare_effect(struct node *n, struct node_group *g, const struct group_effect *effect)
{
	if (effect->kind != GROUP_HORIZON)
		return;
	uint64_t digest = group_digest(g->state);
	keep(g, n->config.self, effect->index, digest);
	for (uint8_t i = 0; n->started && i < n->config.node_count; i++)
		if (i != n->config.self)
			(void)node_move_say(n, i, WIRE_CONTROL,
					    &(struct protocol_message){.kind = PROTOCOL_RESULTS,
								       .group = g->number,
								       .index = effect->index,
								       .winner_hash = digest});
	compare(n, g, effect->index);
}

void
node_compare_message(struct node *n, uint8_t node, const struct frame *frame, const uint8_t *data,
		     uint32_t bytes)
{
	struct node_group *g = node_group_by_number(n, frame->group);
	struct protocol_message m;

	must(node < n->config.node_count);
	if (!g || !g->state) {
		n->dropped_unknown_group++;
		return;
	}
	if (!protocol_decode(&m, frame, data, bytes) || m.index == 0) {
		n->dropped_undecodable++;
		return;
	}
	if (find(g, node, m.index))
		return; /* said twice; a ring of copies would forget the others */
	keep(g, node, m.index, m.winner_hash);
	compare(n, g, m.index);
}
