/*
 * tests/sim/force.c - see sim.h: a majority is lost for good, and survivors are forced on.
 *
 * Some nodes are taken down and stay down; an administrator names the others, asks one of
 * them, and whoever has not gone over again and again, at its own socket or not. One that
 * dawdles is given up too, by another force. When all have gone over, the lost come back:
 * some with the disk that they had, in the epoch that they knew, one at a time and never one
 * that could decide alone; in the end each with an empty disk, as a learner.
 *
 * What the checkers expect of a force, by what was on the survivors' disks when FORCED was:
 *   - up to the last slot that one of them knew to be decided, all stays as it was
 *   - what lies above is void, whoever was told of it, and may be decided anew; whatever a
 *     node that is lost says counts no more, and members that joined before hear the past
 *   - a server that has committed what is void is refused, until an administrator puts it
 *     back to what the group has
 *   - no GTID is given twice, void or not, and what is void is in the report
 *   - a server that lacks what no survivor can feed it is told so, until an administrator gives
 *     it that
 *   - where a verdict needs what no survivor has on disk, the order is cut before it, at the
 *     same index on all (node/cut.c): what the lost had decided from there on is void too
 */
#include "base/must.h"
#include "node/internal.h"
#include "node/member_state.h"
#include "paxos/replica.h"
#include "tests/sim/sim.h"

#define NUMBER_MAX  (PAXOS_EPOCHS_MAX - 2 * NODE_NODES_MAX) /* another epoch may follow */
#define REPEAT_PPM  200000 /* of 50 ms each: who has not gone over is asked again */
#define GIVE_UP_PPM 10000
#define RETURN_PPM  80000
#define RENEW_PPM   50000
#define TEMPT_PPM   500000

void
force_reset(struct sim *s)
{
	memset(&s->force, 0, sizeof s->force);
}

/* Nothing that this node says or writes is of the epoch that counts. */
bool
force_lost(const struct sim *s, uint8_t node)
{
	return s->force.lost >> node & 1;
}

/* It is not to be started. */
bool
force_holds(const struct sim *s, uint8_t process)
{
	return sim_is_node(process) && ((s->force.lost & ~s->force.old) >> process & 1);
}

/* How many forks this member has not heard of; what it is told is of before. */
static uint32_t
forks_missed(const struct sim *s, const struct sim_server *v)
{
	uint32_t missed = 0;

	while (missed < s->force.fork_count) {
		const struct sim_fork *f = &s->force.fork[s->force.fork_count - 1 - missed];
		if (memcmp(f->epoch, v->member->joined_epoch, EPOCH_BYTES) == 0)
			break;
		missed++;
	}
	return missed;
}

/* What this member is told of `index` is of an order that is not the group's any more. */
bool
force_is_past(const struct sim *s, const struct sim_server *v, uint64_t index)
{
	for (uint32_t i = forks_missed(s, v); i > 0; i--) {
		const struct sim_fork *f = &s->force.fork[s->force.fork_count - i];
		if (index > f->index[v->group])
			return true;
	}
	return false;
}

static void
take_away(struct sim *s, uint32_t nodes)
{
	for (uint8_t i = 0; i < s->node_count; i++)
		if (nodes >> i & 1)
			sim_node_crash(s, i, MS);
	s->force.lost |= nodes;
	s->force.old = 0;
}

static void
ask_for(struct sim *s, uint32_t epoch, uint32_t survivors)
{
	struct sim_force *f = &s->force;
	uint32_t number = node_force_number(epoch, survivors);

	must(number <= PAXOS_EPOCHS_MAX);
	f->asked = (struct node_forced){.number = number, .voters = survivors};
	f->from = epoch;
	for (uint32_t i = 0; i < EPOCH_BYTES; i++)
		f->asked.epoch[i] = (uint8_t)random_u64(&s->random);
	f->over = 0;
	f->begun = false;
	f->ask_ns = s->now_ns + random_mean(&s->random, 300 * MS);
	sim_trace(s, "nodes %s are to go on alone, in epoch %u", word_set(survivors).text, number);
}

/* Who is not the one that stands in the log at its number, as anybody has it that runs: an earlier
 * force has made void that it was added. It votes for nobody who has that log, and is not named. */
static uint32_t
strangers(const struct sim *s)
{
	uint32_t set = 0;

	for (uint8_t i = 0; i < s->node_count; i++)
		if (s->node[i].process.up && !force_lost(s, i))
			set |= comers_forgotten(s, i) | (uint32_t)comers_another(s, i, i) << i;
	return set;
}

/* Mostly those that are left are no majority. */
static void
begin_with(struct sim *s, uint32_t survivors)
{
	struct sim_force *f = &s->force;
	uint32_t here = ((1u << s->node_count) - 1) & ~f->lost & ~s->comers.away;
	uint32_t voters = s->voters[0].change[s->voters[0].count - 1].voters;
	bool any = random_chance(&s->random, 100000);

	survivors &= here & ~strangers(s);
	if (f->asked.number != 0 || f->fork_count == SIM_FORKS_MAX || survivors == 0 ||
	    f->number > NUMBER_MAX)
		return;
	if (2 * __builtin_popcount(survivors & voters) > __builtin_popcount(voters) && !any)
		return;
	sim_trace(s, "nodes %s are lost for good", word_set(here & ~survivors).text);
	take_away(s, (here & ~survivors) | f->old);
	ask_for(s, f->number, survivors);
}

void
force_begin(struct sim *s)
{
	begin_with(s, (uint32_t)random_u64(&s->random));
}

/* A node has learned of an entry that needs what only the others hold: `survivors` do not. */
void
force_tempt(struct sim *s, uint32_t survivors)
{
	if (s->swarm.fault_weight[FAULT_FORCE] > 0 && !s->healed &&
	    random_chance(&s->random, TEMPT_PPM))
		s->force.tempted = survivors;
}

/* Between two events. */
void
force_tempted(struct sim *s)
{
	begin_with(s, s->force.tempted);
	s->force.tempted = 0;
}

static void
ask_one(struct sim *s, uint8_t node)
{
	struct sim_force *f = &s->force;
	struct node_input in = {.kind = NODE_IN_FORCE, .force = f->asked};

	if ((f->begun && !random_chance(&s->random, REPEAT_PPM)) ||
	    comers_tell(s, node, f->asked.voters))
		return;
	in.here_only = f->begun && random_chance(&s->random, 500000);
	f->begun = true;
	sim_trace(s, "node %u: is asked to go over to epoch %u", node, f->asked.number);
	sim_node_feed(s, node, &in);
}

/* Who has not gone over, and knows some of those who are named to be forgotten, does not. Those
 * are given up where all others know them so, else whoever knows it. */
static void
ask(struct sim *s)
{
	struct sim_force *f = &s->force;
	uint32_t refuse = 0, forgotten = 0;

	for (uint8_t i = 0; i < s->node_count; i++) {
		if (!((f->asked.voters & ~f->over) >> i & 1) || !s->node[i].process.up)
			continue;
		uint32_t gone = comers_forgotten(s, i) & f->asked.voters;
		forgotten |= gone;
		refuse |= gone ? 1u << i : 0;
		if (gone == 0)
			ask_one(s, i);
	}
	if (refuse != 0 && (f->asked.voters & ~refuse & ~forgotten) == 0) {
		take_away(s, forgotten);
		ask_for(s, f->from, f->asked.voters & ~forgotten);
		return;
	}
	bool dawdles = !s->healed || refuse != 0;
	if (f->over == 0 || !dawdles || f->asked.number > NUMBER_MAX ||
	    !random_chance(&s->random, GIVE_UP_PPM))
		return;
	take_away(s, f->asked.voters & ~f->over);
	ask_for(s, f->asked.number, f->over);
}

static void
comes_back(struct sim *s, uint8_t node)
{
	struct sim_force *f = &s->force;
	struct sim_node *n = &s->node[node];
	bool may = f->old == 0 && !s->healed && !(f->alone >> node & 1);

	if (!(f->old >> node & 1) && may && random_chance(&s->random, 500000)) {
		sim_trace(s, "node %u: comes back as it was", node);
		f->old |= 1u << node;
		sim_push(s, random_mean(&s->random, 100 * MS), EVENT_RESTART, node, 0);
		return;
	}
	sim_node_crash(s, node, MS);
	f->lost &= ~(1u << node);
	f->old &= ~(1u << node);
	voters_renewed(s, node);
	/* Its file names those who are left as they are now. Schedule: one of them had been
	 * forgotten and added again, and two come back that know each other and its old id. */
	s->comers.names[node] |= s->force.alone;
	comers_setup(s, node);
	sim_push(s, random_mean(&s->random, 100 * MS), EVENT_RESTART, node, 0);
	must(!n->process.up);
}

/* To what the group has: from a backup, and by those of its binlog that are not void. None of
 * these has seen what is: that came behind all of them in the order. */
static void
put_back(struct sim *s, struct sim_server *v)
{
	uint32_t kept = 0;

	if (!v->process.up || v->state != SERVER_OFF || !server_quiet(v))
		return;
	server_crash(s, v->number, random_mean(&s->random, 30 * MS));
	for (uint32_t i = 0; i < v->binlog_count; i++)
		if (!s->tx[v->binlog[i]].lost)
			v->binlog[kept++] = v->binlog[i];
	sim_trace(s, "server %u: is put back to %u of its %u transactions", v->number, kept,
		  v->binlog_count);
	v->binlog_count = kept;
	v->binlog_synced = kept;
	s->totals.put_back++;
}

static bool
has(const struct sim_server *v, uint32_t number)
{
	for (uint32_t i = 0; i < v->binlog_count; i++)
		if (v->binlog[i] == number)
			return true;
	return false;
}

/* An administrator gives the server what no node can: from a backup, up to that transaction. All
 * that it has of what came behind was accepted beside it, and may stand before it. */
static void
give(struct sim *s, struct sim_server *v)
{
	const struct check_group *c = &s->check[v->group + 1];

	if (!v->process.up || v->state != SERVER_OFF || !server_quiet(v))
		return;
	server_crash(s, v->number, random_mean(&s->random, 30 * MS));
	for (uint64_t i = 1; i <= v->lacks; i++)
		if (i < c->index_count && c->tx[i] != 0 && !has(v, c->tx[i] - 1))
			v->binlog[v->binlog_count++] = c->tx[i] - 1;
	sim_trace(s, "server %u: is given all up to %llu", v->number, (unsigned long long)v->lacks);
	v->binlog_synced = v->binlog_count;
	v->lacks = 0;
	s->totals.lacking++;
}

/* It is told that no node has this transaction any more. Nobody may have heard of it before. */
void
force_lacks(struct sim *s, struct sim_server *v, const struct member_output *out)
{
	const struct check_group *c = &s->check[v->group + 1];
	uint32_t number = UINT32_MAX;

	if (out->index < c->index_count && c->tx[out->index] != 0)
		number = c->tx[out->index] - 1;
	else if (out->index < s->check[s->group_number[v->group]].index_count)
		number = large_in(s, s->group_number[v->group],
				  s->check[s->group_number[v->group]].slot_of[out->index]);
	sim_trace(s, "server %u: lacks transaction %u, at %llu, and no node has it", v->number,
		  number, (unsigned long long)out->index);
	if (number == UINT32_MAX || s->force.fork_count == 0) {
		sim_fail(s, "server %u lacks what was never accepted", v->number);
		return;
	}
	check_accepted(s, v, number, out->index, out->gtid);
	if ((large_kept(s, number) & s->force.voters) != 0)
		sim_fail(s, "server %u is not fed transaction %u, which a survivor has", v->number,
			 number);
	v->lacks = out->index;
}

/* Now and then. */
void
force_go_on(struct sim *s)
{
	struct sim_force *f = &s->force;

	if (f->asked.number != 0 && s->now_ns >= f->ask_ns)
		ask(s);
	for (uint8_t i = 0; f->asked.number == 0 && i < s->node_count; i++) {
		uint32_t ppm = f->old >> i & 1 ? RENEW_PPM : RETURN_PPM;

		if ((f->lost >> i & 1) && (s->healed || random_chance(&s->random, ppm)))
			comes_back(s, i);
	}
	for (uint8_t i = 0; i < s->server_count; i++)
		if (s->server[i].extra)
			put_back(s, &s->server[i]);
	for (uint8_t i = 0; i < s->server_count; i++)
		if (s->server[i].lacks != 0)
			give(s, &s->server[i]);
}

bool
force_is_over(const struct sim *s)
{
	return s->force.asked.number == 0 && s->force.lost == 0;
}

/* ---- what a force leaves ---- */

/* Slots behind that one which this node knows to be decided, a bit each: they wait for one that
 * it lacks, or until it can take them. */
static uint64_t
decided(struct node_group *g, uint64_t slot)
{
	uint64_t bits = 0;

	for (uint32_t i = 0; i < 64; i++) {
		const struct paxos_slot *w = window_find(g->replica, slot + 1 + i);
		bits |= (uint64_t)(w && w->decided) << i;
	}
	return bits;
}

/* Up to where it is delivered, by what its log says: an image that is to be loaded lies there,
 * and is not read back yet. */
static uint64_t
delivered(const struct node_group *g, uint64_t told)
{
	return g->load == LOAD_TAKEN && g->coming.slot > told ? g->coming.slot : told;
}

/* A node is about to write this record. What it knows lies in front of it, in whatever record: a
 * group may be one that an image named. */
void
force_logs(struct sim *s, uint8_t node, const uint8_t *data)
{
	struct sim_force *f = &s->force;
	uint32_t bit = 1u << node;

	if (f->asked.number == 0 || data[14] != NODE_RECORD_FORCED)
		return;
	memcpy(f->delivered[node], s->node[node].delivered, sizeof s->node[node].delivered);
	for (uint32_t i = 0; i < SIM_GROUP_NUMBERS; i++) {
		struct node_group *g = node_group_by_number(s->node[node].node, i);

		f->known[i] = g ? f->known[i] | bit : f->known[i] & ~bit;
		if (g)
			f->delivered[node][i] = delivered(g, f->delivered[node][i]);
		f->decided[node][i] = g ? decided(g, f->delivered[node][i]) : 0;
	}
}

static void
void_transactions(struct sim *s, uint8_t group, uint64_t index)
{
	struct check_group *c = &s->check[group + 1];

	client_forked(s, group, index);
	for (uint32_t i = 0; i < s->tx_count; i++) {
		struct sim_tx *tx = &s->tx[i];

		if (tx->group != group)
			continue;
		if (tx->conflict > index)
			tx->conflict = 0;
		if (tx->index <= index)
			continue;
		sim_trace(s, "transaction %u, at %llu, is void", i, (unsigned long long)tx->index);
		c->tx[tx->index] = 0;
		c->accepted--;
		c->accepted_late -= tx->late;
		s->totals.lost += tx->acked;
		tx->index = 0;
		tx->lost = true;
	}
}

static uint64_t
highest(const struct sim *s, uint64_t slot[SIM_NODES_MAX][SIM_GROUP_NUMBERS], uint32_t group)
{
	uint64_t highest = 0;

	for (uint8_t i = 0; i < s->node_count; i++)
		if ((s->force.voters >> i & 1) && slot[i][group] > highest)
			highest = slot[i][group];
	return highest;
}

/* Does a survivor know that it is decided? */
static bool
is_decided(const struct sim_force *f, uint32_t group, uint64_t slot)
{
	for (uint8_t i = 0; i < SIM_NODES_MAX; i++) {
		uint64_t behind = slot - 1 - f->delivered[i][group];

		if ((f->voters >> i & 1) && behind < 64 && (f->decided[i][group] >> behind & 1))
			return true;
	}
	return false;
}

/* Up to where this group stays. */
static uint64_t
fork_group(struct sim *s, uint32_t g)
{
	struct sim_force *f = &s->force;
	bool known = g == 0 || (f->known[g] & f->voters) != 0;
	uint64_t slot = highest(s, f->delivered, g);

	while (is_decided(f, g, slot + 1))
		slot++;
	uint64_t index = check_forked(s, g, slot, known);
	voters_forked(s, g, slot, known);
	large_forked(s, g, index);
	attached_forked(s, g);
	for (uint32_t i = 0; !known && i < s->group_count; i++) {
		if (s->group_number[i] != g)
			continue;
		s->group_number[i] = 0;
		s->group_begun[i] = false;
	}
	if (slot > 0)
		sim_trace(s, "group %u: all up to slot %llu and index %llu stays", g,
			  (unsigned long long)slot, (unsigned long long)index);
	return index;
}

/* All survivors have FORCED on disk. */
static void
fork_here(struct sim *s)
{
	struct sim_force *f = &s->force;
	struct sim_fork *fork = &f->fork[f->fork_count++];
	uint64_t index[SIM_GROUP_NUMBERS];
	uint32_t number[SIM_GROUPS_MAX];

	*fork = (struct sim_fork){.number = f->asked.number};
	f->number = f->asked.number;
	f->voters = f->asked.voters;
	memcpy(fork->epoch, f->asked.epoch, EPOCH_BYTES);
	memcpy(number, s->group_number, sizeof number);
	for (uint32_t g = 0; g < SIM_GROUP_NUMBERS; g++)
		index[g] = fork_group(s, g);
	for (uint8_t i = 0; i < s->group_count; i++) {
		fork->index[i] = index[number[i]];
		void_transactions(s, i, fork->index[i]);
	}
	if (__builtin_popcount(f->asked.voters) == 1)
		f->alone |= f->asked.voters;
	f->asked.number = 0;
	s->totals.forced++;
}

/* It is on this node's disk. */
void
force_record(struct sim *s, uint8_t node, const struct frame *frame, const uint8_t *data)
{
	struct sim_force *f = &s->force;

	if (frame->kind != NODE_RECORD_FORCED || f->asked.number == 0 ||
	    bytes_get_u32(data + FRAME_HEADER_BYTES) != f->asked.number)
		return;
	if (memcmp(data + FRAME_HEADER_BYTES + 8, f->asked.epoch, EPOCH_BYTES) != 0)
		sim_fail(s, "node %u goes over to an epoch that nobody asked for", node);
	f->over |= 1u << node;
	if (f->over == f->asked.voters)
		fork_here(s);
}

static bool
cut_is_new(struct sim *s, const struct sim_cut *cut)
{
	struct sim_force *f = &s->force;

	for (uint32_t i = 0; i < f->cut_count; i++)
		if (f->cut[i].group == cut->group && f->cut[i].index == cut->index &&
		    f->cut[i].epoch == cut->epoch)
			return false;
	must(f->cut_count < SIM_CUTS_MAX);
	f->cut[f->cut_count++] = *cut;
	return true;
}

/* A node cuts the order before the entry that it has at hand. What was told of all behind it is
 * void, and of before the fork into this epoch. */
void
force_cut(struct sim *s, uint8_t node, const struct node_output *out)
{
	const struct node *n = s->node[node].node;
	const struct node_group *g = node_group_by_number(n, out->group);
	struct sim_force *f = &s->force;
	struct sim_cut cut = {.group = out->group, .epoch = out->change, .index = out->index};

	if (force_lost(s, node) || !cut_is_new(s, &cut))
		return;
	sim_trace(s, "group %u: its order is cut before index %llu, by those of epoch %u",
		  cut.group, (unsigned long long)cut.index, cut.epoch);
	if (cut.epoch == f->number &&
	    (large_holders(s, cut.group, &g->entry.submit) & f->voters) != 0)
		sim_fail(s, "group %u is cut before index %llu, which a survivor could apply",
			 cut.group, (unsigned long long)cut.index);
	check_cut(s, cut.group, cut.index);
	large_forked(s, cut.group, cut.index - 1);
	s->totals.cut++;
	for (uint8_t i = 0; i < s->group_count; i++) {
		if (s->group_number[i] != cut.group)
			continue;
		for (uint32_t k = 0; k < f->fork_count; k++)
			if (f->fork[k].number <= cut.epoch && f->fork[k].index[i] >= cut.index)
				f->fork[k].index[i] = cut.index - 1;
		void_transactions(s, i, cut.index - 1);
	}
}

/* This node has an empty disk, and is to begin in the epoch that counts. */
void
force_renewed(struct sim *s, uint8_t node)
{
	struct node_forced *into = &s->node[node].config.forced;

	*into = (struct node_forced){0};
	if (s->force.fork_count == 0)
		return;
	into->number = s->force.number;
	memcpy(into->epoch, s->force.fork[s->force.fork_count - 1].epoch, EPOCH_BYTES);
}

/* ---- what members are told ---- */

/* Something is accepted, and in an order that is past. */
void
force_told(struct sim *s, const struct sim_server *v, uint32_t number, const struct gtid *gtid)
{
	struct sim_tx *tx = &s->tx[number];

	if (tx->index != 0 || (tx->lost && !gtid_equal(&tx->gtid, gtid))) {
		sim_fail(s, "server %u: transaction %u is told with another place", v->number,
			 number);
		return;
	}
	if (tx->lost)
		return;
	tx->lost = true;
	tx->gtid = *gtid;
	check_gtid(s, &s->check[v->group + 1], number);
}

/* It has committed what is void. */
bool
force_has_lost(const struct sim *s, const struct sim_server *v)
{
	for (uint32_t i = 0; i < v->binlog_count; i++)
		if (s->tx[v->binlog[i]].lost)
			return true;
	return false;
}

/* It has joined. */
void
force_joined(struct sim *s, const struct sim_server *v)
{
	if (forks_missed(s, v) == 0 && force_has_lost(s, v))
		sim_fail(s, "server %u has committed what is void, and joins", v->number);
}

/* It is refused for what the group lacks, or would begin the group with it. True: rightly. */
bool
force_refuses(struct sim *s, struct sim_server *v)
{
	v->extra = force_has_lost(s, v);
	return v->extra;
}

static void
check_report(struct sim *s, const struct node_group_status *g, uint8_t group)
{
	for (uint32_t i = 0; i < s->tx_count; i++) {
		const struct sim_tx *tx = &s->tx[i];
		bool told = g->lost_count == NODE_LOST_MAX;

		if (tx->group != group || tx->gtid.gno == 0)
			continue;
		for (uint32_t k = 0; k < g->lost_count; k++)
			told |= tx->gtid.gno >= g->lost[k].from && tx->gtid.gno <= g->lost[k].to;
		if (tx->lost && !told)
			sim_fail(s, "transaction %u is void, and is not reported", i);
		if (!tx->lost && told && g->lost_count < NODE_LOST_MAX)
			sim_fail(s, "transaction %u is not void, and is reported", i);
	}
}

/* The node that has delivered the most: others may still be learning behind it. */
static const struct node *
furthest(const struct sim *s)
{
	const struct node *best = s->node[0].node;
	uint64_t most = 0;

	for (uint8_t i = 0; i < s->node_count; i++) {
		struct node_group_status g;
		uint64_t slots = 0;

		for (uint32_t k = 0; s->node[i].process.up; k++) {
			if (!node_group_status(s->node[i].node, k, &g))
				break;
			slots += g.delivered_slot;
		}
		if (slots > most)
			best = s->node[i].node;
		most = slots > most ? slots : most;
	}
	return best;
}

/* At rest. */
void
force_final(struct sim *s)
{
	const struct node *node = furthest(s);
	struct node_group_status g;

	for (uint32_t i = 0; node_group_status(node, i, &g); i++) {
		if (g.epoch != s->force.number)
			sim_fail(s, "group %u is in epoch %u, and the nodes in %u", g.group,
				 g.epoch, s->force.number);
		for (uint8_t k = 0; k < s->group_count; k++)
			if (g.group != 0 && s->group_number[k] == g.group)
				check_report(s, &g, k);
	}
}
