/*
 * tests/sim/groups.c - see sim.h: administrators who expel members and drop groups.
 *
 * A group is given up so: all its servers STOP and stay away, one that has every
 * transaction is copied to the others, and the nodes are asked until the group is gone.
 * Then its servers begin it anew, with what they have. Where no server has everything, or
 * one does not come, it is kept.
 */
#include "base/must.h"
#include "tests/sim/sim.h"

#define GIVEN_UP_MAX 8 /* times in a run: each founding takes a number */
#define PATIENCE_NS  (6 * SEC)

void
groups_reset(struct sim *s)
{
	memset(&s->groups, 0, sizeof s->groups);
}

bool
groups_away(const struct sim *s, uint8_t group)
{
	return s->groups.away == group + 1u;
}

bool
groups_gone(const struct sim *s, uint32_t number)
{
	return s->groups.gone[number % SIM_GROUP_NUMBERS];
}

static void
ask(struct sim *s, uint8_t node, struct node_order order)
{
	struct node_input in = {.kind = NODE_IN_ORDER, .order = &order};

	if (s->node[node].process.up)
		sim_node_feed(s, node, &in);
}

void
groups_expel(struct sim *s, uint8_t node)
{
	const struct sim_server *v = &s->server[random_below(&s->random, s->server_count)];

	if (v->incarnation == 0 || !s->node[node].process.up)
		return;
	sim_trace(s, "node %u: is asked to expel server %u, incarnation %llu", node, v->number,
		  (unsigned long long)v->incarnation);
	ask(s, node,
	    (struct node_order){.kind = NODE_ORDER_EXPEL,
				.group = s->group_number[v->group],
				.incarnation = v->incarnation});
}

/* Any group, with members or without: it is decided by what the log says. */
void
groups_drop(struct sim *s)
{
	uint8_t group = (uint8_t)random_below(&s->random, s->group_count);

	if (s->groups.away != 0 || s->groups.count == GIVEN_UP_MAX || s->group_number[group] == 0)
		return;
	sim_trace(s, "group %u is to be given up", s->group_number[group]);
	s->groups.away = group + 1u;
	s->groups.asking = false;
	s->groups.since_ns = s->now_ns;
}

/* All are away, and at rest. */
static bool
all_away(struct sim *s, uint8_t group)
{
	bool all = true;

	for (uint8_t i = 0; i < s->server_count; i++) {
		struct sim_server *v = &s->server[i];

		if (v->group != group)
			continue;
		if (v->process.up)
			server_stop_group(s, i);
		all = all && v->process.up && v->state == SERVER_OFF && server_quiet(v);
	}
	return all;
}

/* Every transaction that anybody was told of is on one server; from there they all have it. */
static bool
copy_all(struct sim *s, uint8_t group)
{
	const struct sim_server *from = NULL;

	for (uint8_t i = 0; i < s->server_count; i++) {
		if (s->server[i].group == group &&
		    s->server[i].executed_count == s->check[group + 1].accepted)
			from = &s->server[i];
	}
	for (uint8_t i = 0; from && i < s->server_count; i++) {
		if (s->server[i].group == group && &s->server[i] != from)
			server_copy(s, &s->server[i], from);
	}
	return from != NULL;
}

/* Now and then. */
void
groups_go_on(struct sim *s)
{
	if (s->groups.away == 0)
		return;
	uint8_t group = (uint8_t)(s->groups.away - 1);

	if (!s->groups.asking) {
		bool late = s->now_ns > s->groups.since_ns + PATIENCE_NS;
		bool all = all_away(s, group);

		s->groups.asking = all && copy_all(s, group);
		if (s->groups.asking)
			sim_trace(s, "group %u has no servers now", s->group_number[group]);
		else if (all || late)
			s->groups.away = 0;
	}
	if (s->groups.asking)
		ask(s, (uint8_t)random_below(&s->random, s->node_count),
		    (struct node_order){.kind = NODE_ORDER_DROP, .group = s->group_number[group]});
}

/* A record that says so is on a disk. */
void
groups_dropped(struct sim *s, uint32_t number)
{
	if (groups_gone(s, number))
		return;
	uint8_t group = (uint8_t)(s->groups.away - 1);
	if (s->groups.away == 0 || s->group_number[group] != number) {
		sim_fail(s, "group %u is dropped, and nobody gave it up", number);
		return;
	}
	sim_trace(s, "group %u is dropped", number);
	s->groups.gone[number] = true;
	s->groups.away = 0;
	s->groups.count++;
	s->groups.life[group]++;
	s->group_number[group] = 0;
	s->group_begun[group] = false;
	s->totals.dropped++;
	/* Incarnations and indexes begin anew, and everybody has what there was. */
	uint32_t kept = 0;
	for (uint32_t i = 0; i < s->returned_count; i++)
		if (s->tx[s->returned[i]].group != group)
			s->returned[kept++] = s->returned[i];
	s->returned_count = kept;
	struct check_group *c = &s->check[group + 1];
	if (c->index_count > 0)
		memset(c->tx, 0, c->index_count * sizeof *c->tx);
}
