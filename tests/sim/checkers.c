/*
 * tests/sim/checkers.c - what must hold. It stands outside.
 *
 * It sees what leaves a node or a member, what truly lies on the disks (decoded from
 * their bytes), and what clients and servers were told. Of the code under test it uses
 * the formats only.
 *
 *  1. a slot has one value, at every node and in every life
 *  2. when a slot is first delivered, a majority of the disks holds an acceptance of
 *     that value in one ballot; of a new voter only when it has all below its first slot
 *  3. a disk that holds a promise holds no later acceptance in a lower ballot
 *  4. a node delivers slots in order, without a gap, in each of its lives
 *  5. the state after an index is the same everywhere (digest)
 *  6. an index holds one transaction with one GTID, for everybody who is told; a
 *     transaction is at one index at most; one that was refused is at none
 *  7. a member queues ascending, and misses nothing that it has not itself
 *  8. after everything has healed each group accepts what is submitted then, and comes to
 *     rest: every submission answered, every accepted transaction on every server,
 *     equal rows, and so nothing that was acknowledged is lost
 *  9. nothing is refused for a conflict that was none
 * 10. no process asks for its next tick at once for ever (run.c)
 * 11. what anybody was told of before a client asked for a barrier, its server has committed
 *     when it is told that it has
 * 12. of a payload that was spread and is accepted, a majority of the disks holds all when a
 *     slot that names it is first delivered, and at rest (large.c)
 * 13. no member is expelled by a suspicion of a session that it had left (attached.c)
 * 14. no node takes a change of the voters that is void (voters.c)
 */
#include <stdlib.h>

#include "base/must.h"
#include "node/internal.h"
#include "paxos/codec.h"
#include "tests/sim/sim.h"

#define SLOTS_MAX 200000

void
check_reset(struct sim *s)
{
	for (uint32_t g = 0; g < SIM_GROUP_NUMBERS; g++) {
		struct check_group *c = &s->check[g];
		if (c->slot_count > 0)
			memset(c->slot, 0, c->slot_count * sizeof *c->slot);
		if (c->index_count > 0) {
			memset(c->digest, 0, c->index_count * sizeof *c->digest);
			memset(c->slot_of, 0, c->index_count * sizeof *c->slot_of);
			memset(c->tx, 0, c->index_count * sizeof *c->tx);
		}
		if (c->gtids > 0)
			memset(c->by_gtid, 0, SIM_GTID_PLACES * sizeof *c->by_gtid);
		c->slot_count = 0;
		c->index_count = 0;
		c->ballot_max = 0;
		c->accepted = 0;
		c->gtids = 0;
		c->accepted_late = 0;
		c->forks = 0;
		memset(c->promised, 0, sizeof c->promised);
		memset(c->reached, 0, sizeof c->reached);
	}
}

static struct check_group *
group_at(struct sim *s, uint32_t group)
{
	if (group < SIM_GROUP_NUMBERS)
		return &s->check[group];
	sim_fail(s, "group %u does not exist", group);
	return NULL;
}

static struct check_slot *
slot_at(struct sim *s, uint32_t group, uint64_t slot)
{
	struct check_group *c = group_at(s, group);

	if (c == NULL || slot == 0 || slot > SLOTS_MAX) {
		sim_fail(s, "group %u: slot %llu", group, (unsigned long long)slot);
		return NULL;
	}
	if (slot >= c->slot_capacity) {
		uint64_t capacity = c->slot_capacity ? c->slot_capacity : 1024;
		while (capacity <= slot)
			capacity *= 2;
		c->slot = realloc(c->slot, capacity * sizeof *c->slot);
		must(c->slot != NULL);
		memset(c->slot + c->slot_capacity, 0,
		       (capacity - c->slot_capacity) * sizeof *c->slot);
		c->slot_capacity = capacity;
	}
	if (slot >= c->slot_count)
		c->slot_count = slot + 1;
	return &c->slot[slot];
}

static bool
index_room(struct sim *s, struct check_group *c, uint64_t index)
{
	if (c == NULL || index == 0 || index > SLOTS_MAX) {
		sim_fail(s, "index %llu", (unsigned long long)index);
		return false;
	}
	if (index >= c->index_capacity) {
		uint64_t old = c->index_capacity;
		uint64_t capacity = old ? old : 1024;
		while (capacity <= index)
			capacity *= 2;
		c->digest = realloc(c->digest, capacity * sizeof *c->digest);
		c->slot_of = realloc(c->slot_of, capacity * sizeof *c->slot_of);
		c->tx = realloc(c->tx, capacity * sizeof *c->tx);
		must(c->digest != NULL && c->slot_of != NULL && c->tx != NULL);
		memset(c->digest + old, 0, (capacity - old) * sizeof *c->digest);
		memset(c->slot_of + old, 0, (capacity - old) * sizeof *c->slot_of);
		memset(c->tx + old, 0, (capacity - old) * sizeof *c->tx);
		c->index_capacity = capacity;
	}
	if (index >= c->index_count)
		c->index_count = index + 1;
	return true;
}

static uint64_t
value_hash(const uint8_t *data, uint32_t bytes, uint32_t change)
{
	uint64_t hash = bytes == 0 ? 0 : hash_bytes(data, bytes, bytes);

	return change == 0 ? hash : hash_fold(hash, change);
}

/* Rule 2, for a slot that has just been decided. */
static void
check_majority(struct sim *s, const struct node_output *out, const struct check_slot *c)
{
	for (uint32_t node = 0; node < s->node_count; node++) {
		for (uint32_t i = 0; i < c->count[node]; i++) {
			uint32_t holders = 0;
			if (c->vote[node][i].value != c->value)
				continue;
			for (uint32_t other = 0; other < s->node_count; other++) {
				for (uint32_t k = 0; k < c->count[other]; k++)
					if (c->vote[other][k].ballot == c->vote[node][i].ballot &&
					    c->vote[other][k].value == c->value)
						holders |= 1u << other;
			}
			holders = voters_caught_up(s, out->group, out->slot, holders);
			if (voters_majority(s, out->group, out->slot, holders))
				return;
		}
	}
	bool nothing = out->bytes == 0 && (out->change & PAXOS_CHANGE_IS) == 0;
	if (nothing && voters_all_lead(s, out->group, out->slot))
		return;
	sim_fail(s, "group %u slot %llu is delivered, and no majority of disks has accepted it",
		 out->group, (unsigned long long)out->slot);
}

/* It has all up to there. */
static void
reaches(struct sim *s, uint8_t node, const struct node_output *out)
{
	uint64_t *reached = &s->check[out->group].reached[node];

	if (*reached < out->slot)
		*reached = out->slot;
}

void
check_delivered(struct sim *s, uint8_t node, const struct node_output *out)
{
	struct check_slot *c = slot_at(s, out->group, out->slot);
	uint64_t value = value_hash(out->data, out->bytes, out->change);

	if (c == NULL || force_lost(s, node))
		return;
	uint64_t *last = &s->node[node].delivered[out->group];
	if (*last != 0 && out->slot != *last + 1)
		sim_fail(s, "node %u group %u delivers slot %llu after %llu", node, out->group,
			 (unsigned long long)out->slot, (unsigned long long)*last);
	*last = out->slot;
	reaches(s, node, out);
	if (c->delivered) {
		if (c->value != value)
			sim_fail(s, "node %u delivers another value in group %u slot %llu", node,
				 out->group, (unsigned long long)out->slot);
		voters_known(s, node, out);
		large_met(s, node, out);
		return;
	}
	bool again = c->before && c->value == value; /* whose disks it was on may be gone */
	c->delivered = true;
	c->value = value;
	s->totals.decided++;
	sim_trace(s, "group %u: slot %llu is decided, %u bytes; node %u knows it first", out->group,
		  (unsigned long long)out->slot, out->bytes, node);
	voters_delivered(s, out);
	voters_known(s, node, out);
	if (!again)
		check_majority(s, out, c);
	large_delivered(s, out);
	attached_delivered(s, out);
	large_met(s, node, out);
}

/* A log may begin in front of a round that was never used, and of rotten memory: a replay throws
 * away what it made of it. */
static bool
begins_in_doubt(const struct sim *s, uint8_t node)
{
	const struct node *n = s->node[node].node;

	return s->node[node].process.replaying && n->lsn_first > 0 && !n->images.confirmed;
}

void
check_result(struct sim *s, uint8_t node, const struct node_output *out)
{
	struct check_group *c = group_at(s, out->group);

	if (!index_room(s, c, out->index) || force_lost(s, node))
		return;
	if (c->slot_of[out->index] == 0)
		c->slot_of[out->index] = out->slot;
	if (bent_excuses(s, node, out->group) || begins_in_doubt(s, node))
		return;
	if (c->digest[out->index] == 0)
		c->digest[out->index] = out->digest;
	else if (c->digest[out->index] != out->digest)
		sim_fail(s, "node %u group %u: another state after index %llu", node, out->group,
			 (unsigned long long)out->index);
}

/* Before it or behind it: an image may be of either. */
static bool
is_forked(const struct check_group *c, uint64_t index)
{
	for (uint32_t i = 0; i < c->forks; i++)
		if (c->forked[i] == index)
			return true;
	return false;
}

/* A node has taken the state of a slot: an image's, which must be what all had there. */
void
check_image(struct sim *s, uint8_t node, const struct node_output *out)
{
	if (force_lost(s, node))
		return;
	if (out->slot == 0) {
		const struct sim_swarm *w = &s->swarm;
		bool sound = node != w->liar && node != w->rotten && node != w->restored;

		if (!s->node[node].process.replaying && sound)
			sim_fail(s, "node %u: the image that its log begins with is of no use",
				 node);
		/* All begins anew, and first of all group 0: what it had dropped is there again. */
		if (out->group == 0)
			memset(s->node[node].delivered, 0, sizeof s->node[node].delivered);
		return;
	}
	struct check_slot *c = slot_at(s, out->group, out->slot);
	if (c == NULL)
		return;
	if (!c->delivered)
		sim_fail(s, "node %u group %u: an image of slot %llu, which nobody delivered", node,
			 out->group, (unsigned long long)out->slot);
	uint64_t *last = &s->node[node].delivered[out->group];
	if (*last != 0 && !s->node[node].process.replaying) {
		s->totals.images++;
		sim_trace(s, "node %u group %u: takes the state of slot %llu, and had %llu", node,
			  out->group, (unsigned long long)out->slot, (unsigned long long)*last);
	}
	if (*last < out->slot)
		*last = out->slot;
	reaches(s, node, out);
	s->bent.replaced |= s->bent.node == node;
	if (out->index != 0 && !is_forked(&s->check[out->group], out->index))
		check_result(s, node, out);
}

/* A row names nothing that a replay of the log before it would not deliver: a force may make
 * something else of it. */
void
check_row(struct sim *s, uint8_t node, const struct node_output *out)
{
	struct frame frame;
	struct history_row row;

	if (!frame_decode(&frame, out->data, out->bytes) || frame.kind != NODE_RECORD_HISTORY)
		return;
	must(history_row_decode(&row, out->data + FRAME_HEADER_BYTES,
				out->bytes - FRAME_HEADER_BYTES));
	const struct node *n = s->node[node].node;
	const struct node_group *g = node_group_by_number((struct node *)n, frame.group);
	uint64_t last = (row.row + 1) * row.items;
	uint64_t slot = 0;

	if (row.series == HISTORY_PLACES)
		slot = last;
	else if (row.series == HISTORY_RESULTS && last >= node_group_first_result(n, g))
		slot = node_group_result(n, g, last)->slot;
	if (slot > paxos_delivered_logged(g->replica))
		sim_fail(s, "node %u group %u: a row goes to slot %llu, the log before it to %llu",
			 node, frame.group, (unsigned long long)slot,
			 (unsigned long long)paxos_delivered_logged(g->replica));
}

static void
note_vote(struct sim *s, uint8_t node, uint32_t group, const struct paxos_message *m,
	  uint64_t value)
{
	struct check_slot *c = slot_at(s, group, m->slot);

	if (c == NULL)
		return;
	for (uint32_t i = 0; i < c->count[node]; i++) {
		if (c->vote[node][i].ballot != m->ballot)
			continue;
		if (c->vote[node][i].value != value)
			sim_fail(s, "node %u group %u slot %llu: two values in ballot %llx", node,
				 group, (unsigned long long)m->slot, (unsigned long long)m->ballot);
		return;
	}
	/* Only the latest count for a majority that is still to come. */
	if (c->count[node] == CHECK_VOTES_MAX) {
		memmove(&c->vote[node][0], &c->vote[node][1],
			(CHECK_VOTES_MAX - 1) * sizeof c->vote[node][0]);
		c->count[node]--;
	}
	c->vote[node][c->count[node]++] = (struct check_vote){.ballot = m->ballot, .value = value};
}

/* A record that is on a disk, seen once, in the order of the log. */
void
check_record(struct sim *s, uint8_t node, const struct frame *frame, const uint8_t *data)
{
	struct paxos_message m;
	const uint8_t *value;

	if (force_lost(s, node))
		return;
	force_record(s, node, frame, data);
	large_record(s, node, frame, data);
	/* What a disk that was made anew by mistake holds counts for nobody: see disk_gone(). */
	bool stranger = s->node[node].disk.stranger;
	if ((frame->kind != PAXOS_ACCEPT && frame->kind != PAXOS_RECORD_PROMISE) || stranger)
		return;
	struct check_group *c = group_at(s, frame->group);
	if (c == NULL)
		return;
	if (!paxos_decode(&m, frame->kind, data + FRAME_HEADER_BYTES,
			  frame->frame_bytes - FRAME_HEADER_BYTES, &value)) {
		sim_fail(s, "node %u logs a record that does not decode", node);
		return;
	}
	if (frame->kind == PAXOS_RECORD_PROMISE) {
		if (m.ballot > c->promised[node])
			c->promised[node] = m.ballot;
		return;
	}
	if (voters_mute(s, node, frame->group, m.slot))
		return;
	if (m.ballot > c->ballot_max) {
		c->ballot_max = m.ballot;
		s->totals.takeovers++;
		sim_trace(s, "group %u: node %llu leads in ballot %llx", frame->group,
			  (unsigned long long)(m.ballot & 0xff), (unsigned long long)m.ballot);
	}
	note_vote(s, node, frame->group, &m, value_hash(value, m.value.bytes, m.value.change));
}

/* What was voted on stays: it may yet be found, and decided by who voted then. But one that
 * no survivor knows is none, and its number may be given again. */
uint64_t
check_forked(struct sim *s, uint32_t group, uint64_t slot, bool known)
{
	struct check_group *c = &s->check[group];
	uint64_t last = 0;

	for (uint64_t i = slot + 1; i < c->slot_count; i++) {
		c->slot[i].before |= c->slot[i].delivered;
		c->slot[i].delivered = false;
		if (!known)
			c->slot[i] = (struct check_slot){0};
	}
	for (uint64_t i = 1; i < c->index_count; i++) {
		if (c->slot_of[i] > slot) {
			c->slot_of[i] = 0;
			c->digest[i] = 0;
		} else if (c->slot_of[i] != 0) {
			last = i;
		}
	}
	must(c->forks < SIM_FORKS_MAX);
	c->forked[c->forks++] = last;
	return last;
}

/* What the lost had computed from there on is another state. */
void
check_cut(struct sim *s, uint32_t group, uint64_t index)
{
	struct check_group *c = &s->check[group];

	for (uint64_t i = index; i < c->index_count; i++)
		c->digest[i] = 0;
}

/* No two transactions of a group have one GTID, void or not. */
void
check_gtid(struct sim *s, struct check_group *c, uint32_t number)
{
	const struct gtid *gtid = &s->tx[number].gtid;
	uint64_t place = hash_fold(0, gtid->gno);

	if (c->by_gtid == NULL)
		c->by_gtid = calloc(SIM_GTID_PLACES, sizeof *c->by_gtid);
	must(c->by_gtid != NULL && c->gtids < SIM_GTID_PLACES);
	c->gtids++;
	for (;; place++) {
		uint32_t *at = &c->by_gtid[place % SIM_GTID_PLACES];
		if (*at == 0) {
			*at = number + 1;
			return;
		}
		if (gtid_equal(&s->tx[*at - 1].gtid, gtid))
			sim_fail(s, "transactions %u and %u have one GTID", *at - 1, number);
	}
}

void
check_accepted(struct sim *s, const struct sim_server *v, uint32_t number, uint64_t index,
	       const struct gtid *gtid)
{
	struct check_group *c = &s->check[v->group + 1];
	struct sim_tx *tx = &s->tx[number];

	if (!index_room(s, c, index))
		return;
	if (tx->state == TX_REFUSED || !tx->submitted) {
		sim_fail(s, "server %u: transaction %u at index %llu was refused before", v->number,
			 number, (unsigned long long)index);
		return;
	}
	if (tx->state == TX_OPEN && v->number == tx->server)
		tx->state = TX_ACCEPTED;
	if (force_is_past(s, v, index)) {
		force_told(s, v, number, gtid);
		return;
	}
	if (tx->index == 0 && c->tx[index] == 0 && !tx->lost) {
		tx->index = index;
		tx->gtid = *gtid;
		c->tx[index] = number + 1;
		c->accepted++;
		c->accepted_late += tx->late;
		s->totals.accepted++;
		check_gtid(s, c, number);
		return;
	}
	if (tx->index != index || c->tx[index] != number + 1)
		sim_fail(s, "server %u: transaction %u is told at index %llu, and was at %llu",
			 v->number, number, (unsigned long long)index,
			 (unsigned long long)tx->index);
	else if (!gtid_equal(&tx->gtid, gtid))
		sim_fail(s, "server %u: transaction %u is told with another GTID", v->number,
			 number);
}

void
check_refused(struct sim *s, const struct sim_server *v, uint32_t number,
	      const struct member_output *out)
{
	struct sim_tx *tx = &s->tx[number];

	if (tx->index != 0)
		sim_fail(s,
			 "server %u: transaction %u was accepted at %llu, and verdict %d is told",
			 v->number, number, (unsigned long long)tx->index, out->verdict);
	tx->state = TX_REFUSED;
	if (out->verdict == MEMBER_CONFLICT && !force_is_past(s, v, out->index))
		tx->conflict = out->index;
	if (out->verdict < MEMBER_CONFLICT || out->verdict > MEMBER_ENDED)
		sim_fail(s, "server %u: verdict %d", v->number, out->verdict);
}

/* Rule 7. What some member was told below this index, and this one has neither
 * committed nor accepted itself, should have been queued before. */
void
check_queue(struct sim *s, const struct sim_server *v, uint32_t number, uint64_t index)
{
	struct check_group *c = &s->check[v->group + 1];

	if (force_is_past(s, v, index))
		return;
	struct sim_tx *queued = &s->tx[number];
	if (queued->returned && queued->server == v->number &&
	    queued->incarnation == v->incarnation) {
		/* Its place was passed when the server said that it failed. */
		if (queued->requeued)
			sim_fail(s, "server %u: own %llu is queued twice", v->number,
				 (unsigned long long)index);
		queued->requeued = true;
		return;
	}
	if (index <= v->queued_index) {
		sim_fail(s, "server %u: %llu is queued after %llu", v->number,
			 (unsigned long long)index, (unsigned long long)v->queued_index);
		return;
	}
	if (v->executed[number])
		sim_fail(s, "server %u: %llu is queued, and is committed here", v->number,
			 (unsigned long long)index);
	for (uint64_t i = v->queued_index + 1; i < index && i < c->index_count; i++) {
		if (c->tx[i] == 0)
			continue;
		uint32_t missed = c->tx[i] - 1;
		const struct sim_tx *tx = &s->tx[missed];
		bool own = tx->server == v->number && tx->incarnation == v->incarnation;
		if (own && tx->state != TX_OPEN)
			continue;
		if (!v->executed[missed])
			sim_fail(s, "server %u: %llu is queued, and %llu before it was not told",
				 v->number, (unsigned long long)index, (unsigned long long)i);
	}
}

uint64_t
check_told(const struct sim *s, uint8_t group)
{
	const struct check_group *c = &s->check[group + 1];
	uint64_t index = c->index_count;

	while (index > 0 && c->tx[index - 1] == 0)
		index--;
	return index > 0 ? index - 1 : 0;
}

/* Rule 11. */
void
check_barrier(struct sim *s, struct sim_server *v, uint64_t told)
{
	const struct check_group *c = &s->check[v->group + 1];

	for (; v->barrier_clean < told; v->barrier_clean++) {
		uint64_t index = v->barrier_clean + 1;
		uint32_t number = c->tx[index];

		if (number == 0 || s->tx[number - 1].lost || v->executed[number - 1])
			continue;
		sim_fail(s, "server %u: behind a barrier, and %llu, told before, is not committed",
			 v->number, (unsigned long long)index);
		return;
	}
}

static bool
server_at_rest(struct sim *s, const struct sim_server *v)
{
	if (!v->process.up || v->state != SERVER_ON || !server_quiet(v) || !v->view_self_online)
		return false;
	if (v->executed_count != s->check[v->group + 1].accepted)
		return false;
	for (uint32_t i = 0; i < v->client_count; i++) {
		if (v->client[i].state != CLIENT_IDLE)
			return false;
	}
	return true;
}

bool
check_lives(const struct sim *s, uint32_t group)
{
	return s->check[group].accepted_late > 0;
}

/* A node that has not kept up; SIM_NODES_MAX: there is none. */
static uint32_t
node_behind(const struct sim *s)
{
	for (uint32_t g = 0; g < SIM_GROUP_NUMBERS; g++) {
		if (groups_gone(s, g))
			continue;
		for (uint32_t i = 0; i < s->node_count; i++) {
			for (uint32_t k = 0; k < s->node_count; k++) {
				if (s->node[i].delivered[g] + 64 < s->node[k].delivered[g])
					return i;
			}
		}
	}
	return SIM_NODES_MAX;
}

bool
check_settled(struct sim *s)
{
	for (uint32_t i = 0; i < s->node_count; i++) {
		if (!s->node[i].process.up)
			return false;
	}
	for (uint32_t i = 0; i < s->server_count; i++) {
		if (!server_at_rest(s, &s->server[i]))
			return false;
	}
	for (uint32_t g = 1; g <= s->group_count; g++) {
		if (!check_lives(s, g))
			return false;
	}
	if (node_behind(s) < SIM_NODES_MAX || s->groups.away != 0 || !force_is_over(s) ||
	    !comers_settled(s) || bent_is_going(s))
		return false;
	return s->now_ns > s->healed_ns + 3 * SEC && s->submitted >= s->options.submissions;
}

void
check_unsettled(struct sim *s)
{
	if (!force_is_over(s))
		sim_fail(s, "nodes %x have not gone over to epoch %u, %x are lost",
			 s->force.asked.voters & ~s->force.over, s->force.asked.number,
			 s->force.lost);
	if (s->groups.away != 0)
		sim_fail(s, "group %u is not dropped", s->group_number[s->groups.away - 1]);
	for (uint32_t i = 0; i < s->server_count; i++) {
		const struct sim_server *v = &s->server[i];
		if (server_at_rest(s, v))
			continue;
		sim_fail(s,
			 "server %u does not come to rest: state %d, open %u, executed %u of %u, "
			 "queued up to %llu, online in its view %d",
			 i, v->state, server_open(v), v->executed_count,
			 s->check[v->group + 1].accepted, (unsigned long long)v->queued_index,
			 v->view_self_online);
		return;
	}
	for (uint32_t i = 0; i < s->node_count; i++) {
		if (!s->node[i].process.up)
			sim_fail(s, "does not come to rest: node %u is down", i);
	}
	if (node_behind(s) < SIM_NODES_MAX)
		sim_fail(s, "node %u does not deliver what others do", node_behind(s));
	for (uint32_t g = 1; g <= s->group_count; g++) {
		if (!check_lives(s, g))
			sim_fail(s, "group %u accepts nothing after everything has healed", g);
	}
	if (!comers_settled(s))
		sim_fail(s, "not all nodes know all");
	if (bent_is_going(s))
		sim_fail(s, "a member is known to have committed something else, and stays");
	sim_fail(s, "does not come to rest: %u of %u submissions", s->submitted,
		 s->options.submissions);
}

static void
check_rows(struct sim *s, const struct sim_server *v)
{
	uint64_t writes[SIM_ROWS] = {0};

	for (uint32_t i = 0; i < s->tx_count; i++) {
		const struct sim_tx *tx = &s->tx[i];
		if (tx->group != v->group)
			continue;
		if (tx->acked && !tx->lost && !v->executed[i])
			sim_fail(s, "transaction %u was acknowledged and is not on server %u", i,
				 v->number);
		if ((tx->index != 0) != (v->executed[i] != 0))
			sim_fail(s, "server %u and transaction %u: executed %d, index %llu",
				 v->number, i, v->executed[i], (unsigned long long)tx->index);
		for (uint32_t k = 0; tx->index != 0 && k < tx->row_count; k++)
			writes[tx->row[k]]++;
	}
	for (uint32_t r = 0; r < SIM_ROWS; r++) {
		if (v->row[r].writes != writes[r])
			sim_fail(s, "server %u row %u: written %llu times, %llu accepted",
				 v->number, r, (unsigned long long)v->row[r].writes,
				 (unsigned long long)writes[r]);
	}
}

/* Who shared a row behind `last`, and before the transaction was refused. */
static uint64_t
children(const struct sim *s, const struct sim_tx *tx, uint8_t row, uint64_t last)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < s->tx_count; i++) {
		const struct sim_tx *other = &s->tx[i];
		if (other->group != tx->group || other->life > 0 || other->index <= last ||
		    other->index >= tx->conflict)
			continue;
		for (uint32_t r = 0; r < other->row_count; r++)
			if (other->row[r] == row && sim_shares(other, r))
				sum += other->after[r];
	}
	return sum;
}

/* Rule 9, when every accepted transaction is known: a refused one had read a row that
 * an earlier entry of the order has changed. Not of a member that has yet to be told
 * what came before its own join, some of which it has executed: behind a large
 * transaction that takes a while, and a server is read only so long. Nor of a group that
 * began with what another one of its name had left, or that was dropped: then nobody need
 * ever hear what it had accepted from those who were gone. */
static void
check_conflict(struct sim *s, uint32_t number)
{
	const struct sim_tx *tx = &s->tx[number];

	if (!tx->caught_up || s->groups.life[tx->group] > 0)
		return;
	for (uint32_t k = 0; k < tx->row_count; k++) {
		uint64_t last = 0;
		struct sim_row row = {0};
		for (uint32_t i = 0; i < s->tx_count; i++) {
			const struct sim_tx *other = &s->tx[i];
			if (other->group != tx->group || other->life > 0 || other->index <= last ||
			    other->index >= tx->conflict)
				continue;
			for (uint32_t r = 0; r < other->row_count; r++) {
				if (other->row[r] != tx->row[k] || sim_shares(other, r))
					continue;
				last = other->index;
				row.chain = other->after[r];
			}
		}
		row.children = children(s, tx, tx->row[k], last);
		if (sim_row_value(&row) != tx->seen[k])
			return;
	}
	sim_fail(s, "transaction %u was refused at %llu, and had seen every row as it was", number,
		 (unsigned long long)tx->conflict);
}

void
check_final(struct sim *s)
{
	large_final(s);
	bent_final(s);
	voters_final(s);
	force_final(s);
	for (uint32_t i = 0; i < s->tx_count; i++) {
		if (s->tx[i].conflict != 0)
			check_conflict(s, i);
	}
	for (uint32_t i = 0; i < s->server_count; i++) {
		check_rows(s, &s->server[i]);
		for (uint32_t k = 0; k < i; k++) {
			if (s->server[k].group != s->server[i].group)
				continue;
			for (uint32_t r = 0; r < SIM_ROWS; r++) {
				if (sim_row_value(&s->server[k].row[r]) !=
				    sim_row_value(&s->server[i].row[r]))
					sim_fail(s, "servers %u and %u differ in row %u", k, i, r);
			}
		}
	}
}
