/*
 * tests/sim/voters.c - see sim.h: who votes and leads, from what was delivered alone.
 *
 * An administrator asks for other voters now and then, of any node. A change counts from
 * the slot that decided it on, an event horizon later, unless one before it is not in force
 * yet. A group begins with the voters that its founding names, read off a disk.
 */
#include "base/must.h"
#include "node/internal.h"
#include "tests/sim/sim.h"

void
voters_reset(struct sim *s)
{
	memset(s->voters, 0, sizeof s->voters);
	s->voters[0].count = 1;
	s->voters[0].change[0] =
		(struct sim_change){.voters = s->swarm.voters_first, .horizon = s->swarm.horizon};
}

/* A record of a group that exists. */
void
voters_founded(struct sim *s, uint32_t group, const uint8_t *body)
{
	struct sim_voters *v = &s->voters[group];

	if (v->count > 0)
		return;
	v->count = 1;
	v->change[0] = (struct sim_change){.voters = bytes_get_u32(body + UUID_BYTES + 8),
					   .horizon = s->swarm.horizon};
}

/* For the first time. */
void
voters_delivered(struct sim *s, const struct node_output *out)
{
	struct sim_voters *v = &s->voters[out->group];
	const struct sim_change *last = &v->change[v->count - 1];

	must(v->count > 0);
	if (out->change == 0 || out->slot + 1 < last->first)
		return;
	must(v->count < SIM_CHANGES_MAX);
	v->change[v->count] = (struct sim_change){.first = out->slot + last->horizon,
						  .voters = out->change & 0xff,
						  .horizon = out->change >> 16 & 0xff,
						  .all_lead = out->change >> 24 & 1};
	sim_trace(s, "group %u: nodes %s vote from slot %llu on, %s", out->group,
		  word_set(v->change[v->count].voters).text,
		  (unsigned long long)v->change[v->count].first,
		  v->change[v->count].all_lead ? "all lead" : "one leads");
	s->totals.turns += v->change[v->count].all_lead;
	v->count++;
	s->totals.changes++;
}

static const struct sim_change *
change_at(const struct sim *s, uint32_t group, uint64_t slot)
{
	const struct sim_voters *v = &s->voters[group];
	uint32_t at = v->count - 1;

	must(v->count > 0);
	while (v->change[at].first > slot)
		at--;
	return &v->change[at];
}

/* Nothing in a slot may be its owner's skip there: that needs nobody's vote. */
bool
voters_all_lead(const struct sim *s, uint32_t group, uint64_t slot)
{
	return change_at(s, group, slot)->all_lead;
}

/* A majority of those who vote on this slot? */
bool
voters_majority(const struct sim *s, uint32_t group, uint64_t slot, uint32_t nodes)
{
	uint32_t voters = change_at(s, group, slot)->voters;

	return 2 * __builtin_popcount(nodes & voters) > __builtin_popcount(voters);
}

/* Two at least: a disk that lies would lose what its node alone had voted on. */
static uint32_t
draw_voters(struct sim *s)
{
	uint32_t voters;

	do {
		voters = (uint32_t)random_below(&s->random, 1u << s->node_count);
	} while (__builtin_popcount(voters) < 2);
	return voters;
}

/* It does not know yet that it is to vote again, and somebody does. */
static bool
comes_again(const struct sim *s, uint8_t node)
{
	for (uint32_t g = 0; g < SIM_GROUP_NUMBERS; g++) {
		const struct sim_voters *v = &s->voters[g];
		if (v->count > 0 && (v->change[v->count - 1].voters >> node & 1))
			return true;
	}
	return false;
}

/* One that may leave for good is taken away, and comes again with a new disk. Always the
 * same in a run: two new ones may be most of the next voters, and both in doubt. */
static bool
renew(struct sim *s, uint8_t node)
{
	struct sim_node *n = &s->node[node];
	struct node_status now;

	if (!n->process.up || n->disk.failed)
		return false;
	for (uint8_t i = 0; i < s->node_count; i++)
		if (i != node && s->node[i].disk.renewed)
			return false;
	node_status(n->node, &now);
	if (!now.may_leave || comes_again(s, node) || s->swarm.rotten < SIM_NODES_MAX ||
	    s->swarm.liar < SIM_NODES_MAX)
		return false;
	sim_node_crash(s, node, random_mean(&s->random, s->swarm.down_ns));
	sim_trace(s, "disk %u: is a new one", node);
	disk_format(s, &n->disk, node);
	for (uint32_t g = 0; g < SIM_GROUP_NUMBERS; g++) {
		s->check[g].promised[node] = 0;
		/* Its votes are gone, and ballot 0 may be its own once more: in slots that are
		 * all decided, or it would not have been let go. */
		for (uint64_t i = 0; i < s->check[g].slot_count; i++)
			s->check[g].slot[i].count[node] = 0;
	}
	large_renewed(s, node);
	n->disk.renewed = true;
	s->totals.renewed++;
	return true;
}

void
voters_change(struct sim *s, uint8_t node)
{
	struct node_input in = {.kind = NODE_IN_VOTERS, .number = s->voters[0].count - 1};

	for (uint8_t i = 0; i < s->node_count; i++)
		if (renew(s, i))
			break;

	if (s->node_count < 2 || !s->node[node].process.up ||
	    s->voters[0].count + 1 >= SIM_CHANGES_MAX)
		return;
	in.voters = draw_voters(s);
	sim_trace(s, "node %u: is asked to make %s the voters", node, word_set(in.voters).text);
	sim_node_feed(s, node, &in);
}

/* All shall lead in a group, or one; most of the time all, so that there is something to end. */
void
voters_lead(struct sim *s, uint8_t node)
{
	struct node_input in = {.kind = NODE_IN_LEAD,
				.number = 1 + random_below(&s->random, SIM_GROUP_NUMBERS - 1),
				.all_lead = random_below(&s->random, 4) > 0};

	if (!s->node[node].process.up || s->voters[in.number].count == 0)
		return;
	sim_trace(s, "node %u: is asked that %s in group %llu", node,
		  in.all_lead ? "all lead" : "one leads", (unsigned long long)in.number);
	sim_node_feed(s, node, &in);
}

/* At rest every group's voters are group 0's. */
void
voters_final(struct sim *s)
{
	const struct sim_voters *all = &s->voters[0];

	for (uint32_t g = 1; g < SIM_GROUP_NUMBERS; g++) {
		const struct sim_voters *v = &s->voters[g];

		if (v->count > 0 &&
		    v->change[v->count - 1].voters != all->change[all->count - 1].voters)
			sim_fail(s, "group %u has voters %x, group 0 %x", g,
				 v->change[v->count - 1].voters,
				 all->change[all->count - 1].voters);
	}
}
