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
 *
 * A fork (force.c) ends every incarnation behind some index, and no entry says so: a node
 * that has yet to come to it has another digest there, and is right. So what is compared is
 * of an index and an epoch.
 *
 * And have the members committed what was ordered? Each keeps a sum over it, whatever the
 * order in which its clients and its applier came (certify/group.h), and says it with its
 * mark. The node that it hangs on compares how much that grew between two marks with how
 * much the group's did; the group's is in the digest. So who differs is told at once, and
 * expelled when the nodes agree about the sums: they are asked, since no horizon may come.
 *
 * A state image is of use only when a majority computed the same up to its index or
 * beyond: the memory that it is a picture of may have rotted. Where no horizon comes, who
 * keeps the image asks (COMPARE): the others answer for that entry when they come to it.
 */
#include "base/must.h"
#include "node/internal.h"

static const struct node_compare *
find_own(const struct node_group *g, uint64_t index)
{
	const struct node_compare *c = &g->digest[index & (NODE_DIGESTS - 1)];

	return index != 0 && c->index == index ? c : NULL;
}

static const struct node_compare *
find(const struct node_group *g, uint8_t node, uint64_t index, uint32_t epoch)
{
	for (uint32_t i = 0; i < NODE_COMPARE_MAX; i++)
		if (g->compare[node][i].index == index && g->compare[node][i].epoch == epoch)
			return &g->compare[node][i];
	return NULL;
}

static void
keep(struct node_group *g, uint8_t node, const struct node_compare *said)
{
	g->compare[node][g->compare_next[node]++ % NODE_COMPARE_MAX] = *said;
}

/* The nodes that said the same, a bit each. */
static uint32_t
who_said(const struct node *n, const struct node_group *g, const struct node_compare *said)
{
	uint32_t nodes = 0;

	for (uint8_t i = 0; i < NODE_NODES_MAX; i++) {
		const struct node_compare *c = i == n->config.self
						       ? find_own(g, said->index)
						       : find(g, i, said->index, said->epoch);

		if ((n->there >> i & 1) && c && c->digest == said->digest)
			nodes |= 1u << i;
	}
	return nodes;
}

uint32_t
node_compare_agreed(const struct node *n, const struct node_group *g, uint64_t index)
{
	const struct node_compare *own = find_own(g, index);

	return own ? who_said(n, g, own) : 0;
}

/* Of those who vote and those who said so: a node that only learns computes too, and one that
 * is gone for good says nothing. None is a majority by itself, but for the only voter while
 * nobody else is there: who came into an epoch behind a force knows no voters at first, and
 * who was forced on alone may be learned from. */
static bool
most_say(const struct node *n, const struct node_group *g, uint32_t nodes)
{
	uint32_t voters = paxos_configuration(g->replica)->voters, self = 1u << n->config.self;
	uint32_t all = voters | nodes | self;

	if (nodes == self)
		return voters == self && n->link_up == 0;
	return paxos_is_majority(all, nodes);
}

static void
compare(struct node *n, struct node_group *g, uint64_t index)
{
	const struct node_compare *own = find_own(g, index);

	if (own && index > g->agreed_index && most_say(n, g, who_said(n, g, own)))
		g->agreed_index = index;

	for (uint8_t i = 0; own && i < NODE_NODES_MAX; i++) {
		const struct node_compare *other = find(g, i, index, own->epoch);

		if (!other || other->digest == own->digest)
			continue;
		n->differing |= 1u << i;
		if (n->ended || !most_say(n, g, who_said(n, g, other)))
			continue;
		n->ended = true;
		node_emit(n, &(struct node_output){.kind = NODE_OUT_DIVERGED,
						   .group = g->number,
						   .index = index});
	}
}

/* The next horizon says it anew; what somebody waits for must arrive. */
static bool
say_to(struct node *n, uint8_t node, const struct protocol_message *m, bool once)
{
	struct writer w = writer_over(n->scratch, FRAME_BYTES_MAX);
	int session = node_session_of_node(n, node);

	if (!once || session == NODE_NO_SESSION)
		return node_move_say(n, node, WIRE_CONTROL, m);
	struct wire_slice slice = {.data = n->scratch,
				   .bytes = protocol_encode(m, n->config.epoch, &w)};
	return wire_send_once(n->wire, session, &slice, 1);
}

/* Own results are in no ring of `compare`: that one only counts how often it was said. */
static void
say(struct node *n, const struct node_group *g, const struct node_compare *own, uint8_t kind)
{
	bool once = kind == PROTOCOL_RESULTS && own->index != g->compare_wait;

	for (uint8_t i = 0; n->started && i < NODE_NODES_MAX; i++)
		if (i != n->config.self && (n->there >> i & 1))
			(void)say_to(n, i,
				     &(struct protocol_message){.kind = kind,
								.group = g->number,
								.flags = own->epoch,
								.index = own->index,
								.winner_hash = own->digest},
				     once);
}

static struct node_compare
own_now(const struct node_group *g)
{
	return (struct node_compare){.index = group_applied(g->state),
				     .digest = group_digest(g->state),
				     .sum = group_sum(g->state),
				     .epoch = group_epoch(g->state)};
}

void
node_compare_effect(struct node *n, struct node_group *g, const struct group_effect *effect)
{
	const struct node_compare own = own_now(g);

	must(own.index == effect->index);

	g->digest[effect->index & (NODE_DIGESTS - 1)] = own;
	if (effect->kind == GROUP_HORIZON)
		g->compare_next[n->config.self]++;
	else if (effect->index != g->compare_wait)
		return;
	say(n, g, &own, PROTOCOL_RESULTS);
	compare(n, g, effect->index);
}

/* What was agreed of the last entry was agreed before: memory may have rotted since. */
void
node_compare_anew(struct node_group *g)
{
	uint64_t index = group_applied(g->state);

	g->digest[index & (NODE_DIGESTS - 1)] = own_now(g);
	if (index > 0 && g->agreed_index >= index)
		g->agreed_index = index - 1;
}

void
node_compare_ask(struct node *n, struct node_group *g)
{
	const struct node_compare own = own_now(g);

	must(own.index > 0);
	say(n, g, &own, PROTOCOL_COMPARE);
	g->digest[own.index & (NODE_DIGESTS - 1)] = own;
	compare(n, g, own.index);
}

static void
answer(struct node *n, struct node_group *g, uint8_t node, uint64_t index)
{
	const struct node_compare *own = find_own(g, index);

	if (index > group_applied(g->state))
		g->compare_wait = index;
	if (!own)
		return;
	(void)node_move_say(n, node, WIRE_CONTROL,
			    &(struct protocol_message){.kind = PROTOCOL_RESULTS,
						       .group = g->number,
						       .flags = own->epoch,
						       .index = index,
						       .winner_hash = own->digest});
}

void
node_compare_message(struct node *n, uint8_t node, const struct frame *frame, const uint8_t *data,
		     uint32_t bytes)
{
	struct protocol_message m;
	struct node_group *g = node_move_decode(n, &m, frame, data, bytes);

	must(node < NODE_NODES_MAX);
	if (!g)
		return;
	if (m.index == 0) {
		n->dropped_undecodable++;
		return;
	}
	if (m.kind == PROTOCOL_COMPARE)
		answer(n, g, node, m.index);
	const struct node_compare said = {
		.index = m.index, .digest = m.winner_hash, .epoch = m.flags};
	if (find(g, node, said.index, said.epoch))
		return; /* said twice; a ring of copies would forget the others */
	keep(g, node, &said);
	compare(n, g, m.index);
}

/* Its place in `sums`, of the slot of its incarnation. */
static struct node_sums *
sums_of(struct node_group *g, uint64_t incarnation)
{
	for (uint32_t i = 0; i < group_member_slots(g->state); i++) {
		const struct group_member *m = group_member_at(g->state, i);

		if (m && m->incarnation == incarnation)
			return &g->sums[i];
	}
	return NULL;
}

/* Only a mark that is among the last entries can be compared; who keeps up soon has one, and
 * what lies between two counts as a whole. */
void
node_compare_member(struct node *n, int session, uint64_t mark, uint64_t sum)
{
	const struct node_session *s = &n->session[session];
	struct node_group *g = node_group_by_number(n, s->group);
	const struct node_compare *own = find_own(g, mark);
	struct node_sums *last = own ? sums_of(g, s->incarnation) : NULL;

	if (!last)
		return;
	struct node_sums now = {.incarnation = s->incarnation, .own = sum, .group = own->sum};
	if (last->incarnation == s->incarnation && last->differs != 0)
		return;
	if (last->incarnation == s->incarnation && sum - last->own != own->sum - last->group) {
		now.differs = mark;
		n->members_diverged++;
		n->diverged_group = g->number;
		memcpy(n->diverged_uuid, s->server_uuid, UUID_BYTES);
		node_emit(n, &(struct node_output){.kind = NODE_OUT_MEMBER_DIVERGED,
						   .group = g->number,
						   .index = mark});
	}
	*last = now;
}

void
node_compare_expel(struct node *n, struct node_group *g, uint32_t slot)
{
	const struct node_sums *s = &g->sums[slot];
	uint64_t incarnation = group_member_at(g->state, slot)->incarnation;

	if (s->incarnation != incarnation || s->differs == 0)
		return;
	if (g->agreed_index < s->differs) {
		node_compare_ask(n, g);
		return;
	}
	node_group_expel(n, g, incarnation, UINT64_MAX, EXPEL_DIVERGED);
}
