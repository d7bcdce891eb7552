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
	*v = (struct sim_voters){.count = 1};
	v->change[0] = (struct sim_change){.number = bytes_get_u64(body + UUID_BYTES),
					   .voters = bytes_get_u32(body + UUID_BYTES + 8),
					   .horizon = body[UUID_BYTES + 8 + 4 + 1]};
	if (bytes_get_u64(body + UUID_BYTES) >> PAXOS_EPOCH_SHIFT < s->force.number) {
		v->epoch = s->force.number;
		v->change[0].voters = s->force.voters;
		v->change[0].number = (uint64_t)v->epoch << PAXOS_EPOCH_SHIFT;
	}
}

/* For the first time. */
void
voters_delivered(struct sim *s, const struct node_output *out)
{
	struct sim_voters *v = &s->voters[out->group];
	const struct sim_change *last = &v->change[v->count - 1];

	must(v->count > 0);
	uint32_t epoch = (out->change & ~PAXOS_CHANGE_IS) >> PAXOS_CHANGE_EPOCH;
	if ((out->change & PAXOS_CHANGE_IS) == 0 || out->slot < last->first || epoch != v->epoch)
		return;
	must(v->count < SIM_CHANGES_MAX);
	uint64_t number = last->number;
	if (out->group == 0)
		number++;
	else if (out->bytes == sizeof number)
		number = bytes_get_u64(out->data);
	v->change[v->count] = (struct sim_change){.first = out->slot + last->horizon,
						  .number = number,
						  .voters = out->change & 0xff,
						  .horizon = out->change >> 16 & 0xff,
						  .all_lead = out->change >> 24 & 1};
	sim_trace(s, "group %u: nodes %s vote from slot %llu on, %s", out->group,
		  word_set(v->change[v->count].voters).text,
		  (unsigned long long)v->change[v->count].first,
		  v->change[v->count].all_lead ? "all lead" : "one leads");
	s->totals.turns += v->change[v->count].all_lead;
	v->count++;
	v->asked = 0; /* that was of the configuration before */
	s->totals.changes++;
}

/* Rule 14. Of several that it delivers in one step it shows the last one at once: that is judged
 * when it comes. What a force makes no slot says. */
void
voters_known(struct sim *s, uint8_t node, const struct node_output *out)
{
	const struct sim_voters *v = &s->voters[out->group];
	const struct node_group *g = node_group_by_number(s->node[node].node, out->group);
	const struct paxos_configuration *c = paxos_configuration(g->replica);

	if ((out->change & PAXOS_CHANGE_IS) == 0 || v->forks > 0 || c->slot != out->slot)
		return;
	for (uint32_t i = v->count; i > 1; i--)
		if (v->change[i - 1].first == c->first && v->change[i - 1].voters == c->voters)
			return;
	sim_fail(s, "node %u group %u: takes a change in slot %llu that is void", node, out->group,
		 (unsigned long long)out->slot);
}

/* Of the changes before `end`. */
static const struct sim_change *
change_before(const struct sim_voters *v, uint32_t end, uint64_t slot)
{
	uint32_t at = end - 1;

	must(end > 0);
	while (at > 0 && v->change[at].first > slot)
		at--;
	return &v->change[at];
}

static const struct sim_change *
change_at(const struct sim *s, uint32_t group, uint64_t slot)
{
	return change_before(&s->voters[group], s->voters[group].count, slot);
}

static bool
is_majority(const struct sim_change *c, uint32_t nodes)
{
	return 2 * __builtin_popcount(nodes & c->voters) > __builtin_popcount(c->voters);
}

/* Nothing in a slot may be its owner's skip there, or was: that needs nobody's vote. */
bool
voters_all_lead(const struct sim *s, uint32_t group, uint64_t slot)
{
	const struct sim_voters *v = &s->voters[group];
	uint64_t until = v->forks > 0 ? v->before[v->forks - 1].until : 0;

	/* A skip is of any epoch, and on no disk where its owner alone knew it. */
	for (uint32_t i = 0; i < v->first && slot < until + PAXOS_HORIZON_MAX; i++)
		if (v->change[i].all_lead && v->change[i].first <= slot)
			return true;
	return change_at(s, group, slot)->all_lead;
}

/* A majority of those who vote on this slot, or did before a force? That may be more than one
 * force ago: nobody else needed to vote again on what a survivor knew to be decided. */
bool
voters_majority(const struct sim *s, uint32_t group, uint64_t slot, uint32_t nodes)
{
	const struct sim_voters *v = &s->voters[group];

	for (uint32_t i = 0; i < v->forks; i++)
		if (slot < v->before[i].until &&
		    is_majority(change_before(v, v->before[i].changes, slot), nodes))
			return true;
	return is_majority(change_at(s, group, slot), nodes);
}

/* Of these nodes those whose votes on this slot count: one that the last change made a voter is
 * a learner until it has all below the first slot of that. Who votes since a force had to have
 * nothing. */
uint32_t
voters_caught_up(const struct sim *s, uint32_t group, uint64_t slot, uint32_t nodes)
{
	const struct sim_change *c = change_at(s, group, slot);

	if (c == s->voters[group].change || s->voters[group].forks > 0)
		return nodes;
	for (uint8_t i = 0; i < s->node_count; i++)
		if (!((c - 1)->voters >> i & 1) && s->check[group].reached[i] + 1 < c->first)
			nodes &= ~(1u << i);
	return nodes;
}

/* The survivors vote from here on, whatever was to come. */
void
voters_forked(struct sim *s, uint32_t group, uint64_t slot, bool known)
{
	struct sim_voters *v = &s->voters[group];

	if (!known)
		v->count = 0;
	if (v->count == 0)
		return;
	must(v->count < SIM_CHANGES_MAX && v->forks < SIM_FORKS_MAX);
	v->epoch = s->force.number;
	v->before[v->forks++] =
		(struct sim_before){.changes = v->count, .until = s->check[group].slot_count};
	v->first = v->count;
	v->change[v->count] = (struct sim_change){.first = slot + 1,
						  .number = (uint64_t)v->epoch << PAXOS_EPOCH_SHIFT,
						  .voters = s->force.voters,
						  .horizon = v->change[0].horizon};
	v->count++;
	v->asked = 0;
}

/* Is that of a disk that is not to vote in this slot? Then it only learns. */
bool
voters_mute(const struct sim *s, uint8_t node, uint32_t group, uint64_t slot)
{
	return change_at(s, group, slot)->number < s->node[node].config.votes_from;
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

/* Does a latest configuration name it? It may not know that itself yet. */
bool
voters_name(const struct sim *s, uint8_t node)
{
	for (uint32_t g = 0; g < SIM_GROUP_NUMBERS; g++) {
		const struct sim_voters *v = &s->voters[g];
		if (v->count > 0 && !groups_gone(s, g) &&
		    (v->change[v->count - 1].voters >> node & 1))
			return true;
	}
	return false;
}

/* Whoever runs has seen its new disk, if it has one. An administrator waits for that before
 * the node is to vote again, and for the end of its repair: two that repair do not answer
 * each other, and as a majority they would wait for ever (docs/disks.md). Who still has a link with
 * the process that was taken away, and hears of the change, takes that one for a voter, and the new
 * disk for one that lost votes. */
static bool
is_back(const struct sim *s, uint8_t node)
{
	const struct sim_disk *d = &s->node[node].disk;

	if (force_lost(s, node) || comers_away(s, node))
		return false;
	if (sim_repairs(s, node))
		return false;
	for (uint8_t i = 0; d->renewed && i < s->node_count; i++)
		if (i != node && s->node[i].process.up &&
		    memcmp(s->node[i].node->shown[node].disk, d->disk_id, sizeof d->disk_id) != 0)
			return false;
	return true;
}

/* What `synodctl node remove` prints, and the file of the next disk says. */
uint64_t
voters_number(const struct sim *s)
{
	return s->voters[0].change[s->voters[0].count - 1].number;
}

void
voters_renewed(struct sim *s, uint8_t node)
{
	struct sim_node *n = &s->node[node];

	sim_trace(s, "disk %u: is a new one", node);
	disk_format(s, &n->disk, node);
	for (uint32_t g = 0; g < SIM_GROUP_NUMBERS; g++) {
		s->check[g].promised[node] = 0;
		s->check[g].reached[node] = 0;
	}
	large_renewed(s, node);
	n->disk.renewed = true;
	n->config.votes_from = voters_number(s) + 1;
	s->totals.renewed++;
	force_renewed(s, node);
}

/* Its votes are gone, and ballot 0 may be its own once more: in slots that are all decided, or
 * it would not have been let go. Those of one that was lost in a force are of another epoch,
 * and what they decided may yet be found. */
void
voters_replaced(struct sim *s, uint8_t node)
{
	struct node_config *config = &s->node[node].config;

	voters_renewed(s, node);
	/* Its file says so from now on. Schedule: voters 0, 1, 2 are replaced by 3 and 4, and 0
	 * and 1 get new disks while they hear only each other: as what their old files call
	 * voters they would found a second appliance. */
	config->joins = true;
	config->voters = 0;
	config->leader = (uint8_t)__builtin_ctz(s->comers.names[node] & ~(1u << node));
	for (uint32_t g = 0; g < SIM_GROUP_NUMBERS; g++)
		for (uint64_t i = 0; i < s->check[g].slot_count; i++)
			s->check[g].slot[i].count[node] = 0;
}

/* Is a disk made anew by mistake, and nobody has found out yet? Those who came with new ones
 * themselves never saw the one before. */
static bool
somebody_is_strange(const struct sim *s)
{
	for (uint8_t i = 0; i < s->node_count; i++)
		if (s->node[i].disk.stranger)
			return true;
	return false;
}

/* One that may leave for good is taken away, and comes again with a new disk. Not one that is asked
 * to vote, and waits for an answer. Schedule: 2 and 4 are asked to have 1 and 3 vote, too, which
 * get new disks before that is decided. Who still has a link with the old ones takes the new for
 * voters' that lost votes, and no majority is left; disk_gone() has a voter lose its disk. */
static bool
renew(struct sim *s, uint8_t node)
{
	struct sim_node *n = &s->node[node];
	struct node_status now;

	if (!n->process.up || n->disk.failed || s->force.asked.number != 0 || force_lost(s, node))
		return false;
	node_status(n->node, &now);
	if (!now.may_leave || voters_name(s, node) || (s->voters[0].asked >> node & 1) ||
	    somebody_is_strange(s) || s->swarm.rotten < SIM_NODES_MAX ||
	    s->swarm.liar < SIM_NODES_MAX)
		return false;
	sim_node_crash(s, node, random_mean(&s->random, s->swarm.down_ns));
	voters_replaced(s, node);
	return true;
}

void
voters_change(struct sim *s, uint8_t node)
{
	struct node_input in = {.kind = NODE_IN_VOTERS};

	in.number = voters_number(s);
	for (uint8_t i = 0; i < s->node_count; i++)
		if (renew(s, i))
			break;

	if (s->node_count < 2 || !s->node[node].process.up ||
	    s->voters[0].count + 1 >= SIM_CHANGES_MAX)
		return;
	in.voters = draw_voters(s);
	for (uint8_t i = 0; i < s->node_count; i++)
		in.voters &= is_back(s, i) ? UINT32_MAX : ~(1u << i);
	if (__builtin_popcount(in.voters) < 2)
		return;
	if (random_below(&s->random, 2) == 0)
		in.horizon = (uint32_t)random_between(&s->random, 10, s->swarm.horizon);
	sim_trace(s, "node %u: is asked to make %s the voters, horizon %u", node,
		  word_set(in.voters).text, in.horizon);
	s->voters[0].asked |= in.voters;
	sim_node_feed(s, node, &in);
}

/* All shall lead in a group, or one; most of the time all, so that there is something to end. */
void
voters_lead(struct sim *s, uint8_t node)
{
	struct node_input in = {.kind = NODE_IN_LEAD,
				.number = s->group_number[random_below(&s->random, s->group_count)],
				.all_lead = random_below(&s->random, 4) > 0};

	if (!s->node[node].process.up || in.number == 0)
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

		if (v->count > 0 && !groups_gone(s, g) &&
		    v->change[v->count - 1].voters != all->change[all->count - 1].voters)
			sim_fail(s, "group %u has voters %x, group 0 %x", g,
				 v->change[v->count - 1].voters,
				 all->change[all->count - 1].voters);
	}
}
