/*
 * Barriers: up to where a member has to be so that its clients miss nothing that any other client
 * was told before they asked (consistency BEFORE, DESIGN section 7).
 *
 *     member                      its node                      every node
 *     BARRIER(sequence)    ->
 *                                 SURVEY(number)         ->
 *                                                        <-     HIGHEST(number, slot)
 *                          <-     BARRIER_AT(sequence, index)
 *
 * What the node itself knows would not do: another one may have been elected, and have told others
 * what this one has not heard of. So it asks which slots were accepted, after BARRIER came, and
 * answers when a quorum has said no more than is delivered here by then (paxos_highest() has the
 * reason), and all of that is applied.
 *
 * Batches    one survey of a group at a time. Members that ask while it is under way are answered
 *            by the next one, which begins when it ends.
 * Again      what gets no answer is asked again, every retry_ns; a member asks again behind its
 *            next attachment, and in between its words are idempotent.
 * Left over  a slot may be accepted by a minority whose leader is gone, and who leads now need not
 *            have heard of it: with nothing to propose it would never get there. So SURVEY says
 *            when it is asked again which slot it waits for, and who leads proposes nothing, slot
 *            by slot, up to there.
 * Limits     no memory but struct node_barrier of a group, and two numbers of a session.
 */
#include "base/must.h"
#include "node/internal.h"

static void
survey(struct node *n, struct node_group *g)
{
	struct node_barrier *b = &g->barrier;
	uint64_t delivered = paxos_delivered(g->replica);
	uint64_t waits_for = 0;

	for (uint8_t i = 0; i < NODE_NODES_MAX; i++)
		if (b->highest[i] > delivered && b->highest[i] > waits_for)
			waits_for = b->highest[i];
	for (uint8_t i = 0; i < NODE_NODES_MAX; i++)
		if ((n->link_up >> i & 1) && (waits_for > 0 || b->highest[i] == 0))
			(void)node_move_say(n, i, WIRE_CONTROL,
					    &(struct protocol_message){.kind = PROTOCOL_SURVEY,
								       .group = g->number,
								       .session = n->process,
								       .sequence = b->number,
								       .index = waits_for});
	if (waits_for > b->fill)
		b->fill = waits_for; /* it may lead itself */
	b->ask_ns = n->now_ns + n->config.retry_ns;
}

static void
begin(struct node *n, struct node_group *g)
{
	struct node_barrier *b = &g->barrier;

	b->number++;
	b->asking = true;
	memset(b->highest, 0, sizeof b->highest);
	b->highest[n->config.self] = paxos_highest(g->replica);
	survey(n, g);
}

/* An attached member asks. */
void
node_barrier_wanted(struct node *n, int session, const struct protocol_message *m)
{
	struct node_session *s = &n->session[session];
	struct node_group *g = node_group_by_number(n, s->group);

	if (s->stage != SESSION_ATTACHED || m->incarnation != s->incarnation ||
	    m->sequence <= s->barrier)
		return;
	s->barrier = m->sequence;
	s->barrier_number = g->barrier.number + 1;
	if (!g->barrier.asking && g->barrier.slot == 0)
		begin(n, g);
}

/* Of who leads: an empty slot, one at a time, since each may be the last that is needed. */
void
node_barrier_fill(struct node *n, struct node_group *g)
{
	struct node_barrier *b = &g->barrier;

	if (b->fill == 0)
		return;
	if (b->fill <= g->delivered_slot)
		b->fill = 0;
	else if (node_group_leads_first(n, g) && g->batch_count == 0 && paxos_is_idle(g->replica) &&
		 paxos_can_propose(g->replica))
		node_group_paxos(n, g,
				 &(struct paxos_input){.kind = PAXOS_IN_PROPOSE,
						       .value = {.handle = PAXOS_NO_VALUE}});
}

void
node_barrier_message(struct node *n, uint8_t node, const struct frame *frame, const uint8_t *data,
		     uint32_t bytes)
{
	struct protocol_message m;
	struct node_group *g = node_move_decode(n, &m, frame, data, bytes);

	must(node < NODE_NODES_MAX);
	if (!g)
		return;
	if (m.kind == PROTOCOL_HIGHEST) {
		if (m.session == n->process && m.sequence == g->barrier.number)
			g->barrier.highest[node] = m.index;
		return;
	}
	if (m.index > g->barrier.fill && m.index < g->delivered_slot + PAXOS_WINDOW_SLOTS)
		g->barrier.fill = m.index;
	uint64_t highest = paxos_highest(g->replica);
	if (highest > 0)
		(void)node_move_say(n, node, WIRE_CONTROL,
				    &(struct protocol_message){.kind = PROTOCOL_HIGHEST,
							       .group = g->number,
							       .session = m.session,
							       .sequence = m.sequence,
							       .index = highest});
}

/* Those that asked before this survey began. True: others have asked since. */
static bool
tell(struct node *n, const struct node_group *g)
{
	bool more = false;

	for (uint32_t i = 0; i < n->session_count; i++) {
		struct node_session *s = &n->session[i];

		if (s->stage != SESSION_ATTACHED || s->group != g->number || s->barrier_number == 0)
			continue;
		if (s->barrier_number > g->barrier.number) {
			more = true;
			continue;
		}
		s->barrier_number = 0;
		node_attend_say(n, (int)i, WIRE_CONTROL,
				&(struct protocol_message){.kind = PROTOCOL_BARRIER_AT,
							   .group = g->number,
							   .incarnation = s->incarnation,
							   .sequence = s->barrier,
							   .index = group_applied(g->state)});
	}
	return more;
}

static bool
is_surveyed(const struct node_group *g)
{
	const struct node_barrier *b = &g->barrier;
	uint64_t delivered = paxos_delivered(g->replica);
	uint32_t below = 0;

	for (uint8_t i = 0; i < NODE_NODES_MAX; i++)
		if (b->highest[i] != 0 && b->highest[i] <= delivered)
			below |= 1u << i;
	return node_group_quorum(g, below);
}

/* In every step, when what was delivered is applied as far as it can be. */
void
node_barrier(struct node *n, struct node_group *g)
{
	struct node_barrier *b = &g->barrier;

	if (b->asking && is_surveyed(g)) {
		b->asking = false;
		b->slot = paxos_delivered(g->replica);
	}
	if (b->slot != 0 && g->applied_slot >= b->slot && !node_group_loads(g)) {
		b->slot = 0;
		if (tell(n, g))
			begin(n, g);
	}
	if (b->asking && n->now_ns >= b->ask_ns)
		survey(n, g);
}
