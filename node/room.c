/*
 * Room in the logs of those who follow. Who leads makes submissions wait by its own log; another
 * one may hold more, since its rounds of images end elsewhere, or what it had behind a hole
 * lies there twice. Once it is full its node hears nothing any more, nor what would free room. So:
 *
 *     follower, with less than image_bytes left     every node
 *     ROOM(group, little, index)            ->      who leads that group makes its submissions wait
 *     said again and again
 *     ROOM(group)                           ->      there is room again
 *
 *     who leads another group, whose submissions
 *     wait for its own log
 *     ROOM(group, wait, index)              ->      who leads that group goes on
 *
 * How long   Where its vote is needed, for as long as it says so; else for twice lag_ns at
 *            most: one that nobody needs may stand still, and others go on. What it is silent of
 *            is over: a word that is lost ends by the clock.
 * Index      up to where its round waits until every member of that group has committed: of
 *            that its members' reports are logged, and one that lags is expelled, as for a round
 *            of who leads. A group in which nothing happens logs no report by itself, and another
 *            one whose leader has a round that covers its last entry would wait for ever.
 */
#include "base/must.h"
#include "node/internal.h"

#define SAY_PART 4 /* of session_dead_ns, after which a word is old */
#define PATIENCE 2 /* times lag_ns: by then a member that lags is expelled */

static bool
is_scarce(const struct node *n)
{
	return n->room_bytes != 0 &&
	       n->room_bytes < node_room_spare_bytes(n) / 2 + n->payloads_due_bytes;
}

/* What the others are told. */
static enum protocol_room
word(const struct node *n)
{
	if (n->log_failed)
		return PROTOCOL_ROOM_AGAIN;
	if (is_scarce(n))
		return PROTOCOL_ROOM_LITTLE;
	for (uint32_t i = 1; node_is_narrow(n) && i < n->group_count; i++)
		if (node_group_leads(n, &n->group[i]))
			return PROTOCOL_ROOM_WAIT;
	return PROTOCOL_ROOM_AGAIN;
}

bool
node_room_short(const struct node *n, const struct node_group *g)
{
	uint32_t there = n->link_up | 1u << n->config.self;

	if (node_is_narrow(n))
		return true;
	if (g->scarce == 0)
		return false;
	if (!node_group_quorum(g, there & ~g->scarce))
		return true;
	for (uint8_t i = 0; i < NODE_NODES_MAX; i++)
		if ((g->scarce >> i & 1) &&
		    n->now_ns - g->scarce_since_ns[i] < PATIENCE * n->config.lag_ns)
			return true;
	return false;
}

/* Up to where rounds wait for members of this group, here and there. */
struct node_awaited
node_room_awaited(const struct node *n, const struct node_group *g)
{
	uint64_t own = node_image_waits(n) ? g->image_index : 0;
	struct node_awaited a = {.first = own, .last = own};

	for (uint8_t i = 0; i < NODE_NODES_MAX; i++) {
		uint64_t index = g->narrow >> i & 1 ? g->scarce_index[i] : 0;

		if (index > 0 && (a.first == 0 || index < a.first))
			a.first = index;
		if (index > a.last)
			a.last = index;
	}
	return a;
}

void
node_room_message(struct node *n, uint8_t node, const struct frame *frame, const uint8_t *data,
		  uint32_t bytes)
{
	struct protocol_message m;
	struct node_group *g = node_move_decode(n, &m, frame, data, bytes);

	must(node < NODE_NODES_MAX);
	if (!g)
		return;
	if (m.flags != PROTOCOL_ROOM_LITTLE)
		g->scarce &= ~(1u << node);
	if (m.flags == PROTOCOL_ROOM_AGAIN) {
		g->narrow &= ~(1u << node);
		return;
	}
	if (m.flags == PROTOCOL_ROOM_LITTLE && !(g->scarce >> node & 1)) {
		g->scarce |= 1u << node;
		g->scarce_since_ns[node] = n->now_ns;
	}
	g->narrow |= 1u << node;
	g->scarce_ns[node] = n->now_ns;
	g->scarce_index[node] = m.index;
}

/* True: some say so still. */
static bool
forget_old(struct node *n)
{
	bool any = false;

	for (uint32_t i = 1; i < n->group_count; i++) {
		struct node_group *g = &n->group[i];

		g->narrow &= n->link_up;
		for (uint8_t k = 0; g->narrow >> k != 0; k++)
			if ((g->narrow >> k & 1) &&
			    n->now_ns - g->scarce_ns[k] >= n->config.session_dead_ns)
				g->narrow &= ~(1u << k);
		g->scarce &= g->narrow;
		any |= g->narrow != 0;
	}
	return any;
}

static void
say(struct node *n, const struct node_group *g, enum protocol_room said)
{
	bool waits = said != PROTOCOL_ROOM_AGAIN && node_image_waits(n);

	for (uint8_t i = 0; i < NODE_NODES_MAX; i++)
		if (n->link_up >> i & 1)
			(void)node_move_say(
				n, i, WIRE_CONTROL,
				&(struct protocol_message){.kind = PROTOCOL_ROOM,
							   .group = g->number,
							   .flags = said,
							   .index = waits ? g->image_index : 0});
}

/* At the end of a step. Answers when it wants to be asked again. */
uint64_t
node_room(struct node *n)
{
	uint64_t every_ns = n->config.session_dead_ns / SAY_PART;
	enum protocol_room said = word(n);
	bool heard = forget_old(n);

	if (said != n->room_said || (said && n->now_ns >= n->scarce_say_ns)) {
		n->room_said = said;
		n->scarce_say_ns = n->now_ns + every_ns;
		for (uint32_t i = 1; i < n->group_count; i++)
			if (!node_group_loads(&n->group[i]))
				say(n, &n->group[i], said);
	}
	if (said)
		return n->scarce_say_ns;
	return heard ? n->now_ns + every_ns : UINT64_MAX;
}
