/*
 * tests/sim/comers.c - see sim.h: nodes that are added while everything runs, and forgotten.
 *
 * In some runs the nodes that begin name only each other. An administrator has the others
 * added by their addresses, starts each when it is listed, with a file that names a few that
 * run, and has one forgotten now and then. That one is taken away when the log says so; behind
 * its number another one comes, with a disk and an identity of its own and the key of the host.
 *
 * What must hold: in the end all know all, whatever their files name, and nothing that the
 * checkers know of votes is any weaker for a number that was two nodes'.
 */
#include "base/must.h"
#include "node/internal.h"
#include "tests/sim/sim.h"

#define ASK_PPM     100000     /* of 50 ms each: an administrator who waits asks again */
#define WRITE_PPM   300000     /* so; who still does not know all gets a new file, */
#define PATIENCE_NS (10 * SEC) /* when it had time to learn of them */
#define LIVES_MAX   10         /* nodes behind one number */

void
comers_reset(struct sim *s)
{
	memset(&s->comers, 0, sizeof s->comers);
	s->comers.away = ((1u << s->node_count) - 1) & ~s->swarm.named;
	for (uint8_t i = 0; i < s->node_count; i++)
		s->comers.names[i] = s->swarm.named;
}

/* Of the node that has that number now. */
void
comers_identity(const struct sim *s, uint8_t node, uint8_t uuid[UUID_BYTES])
{
	memset(uuid, 0xa0 + node + 8 * s->comers.life[node], UUID_BYTES);
}

/* What a file says of who there is. */
static void
write_file(struct sim *s, uint8_t node)
{
	struct node_config *c = &s->node[node].config;
	uint32_t names = s->comers.names[node];

	must(names >> node & 1);
	c->absent = ((1u << s->node_count) - 1) & ~names;
	for (uint8_t i = 0; i < s->node_count; i++)
		if (names >> i & 1)
			comers_identity(s, i, c->uuid[i]);
}

void
comers_setup(struct sim *s, uint8_t node)
{
	s->comers.names[node] |= 1u << node;
	write_file(s, node);
}

bool
comers_away(const struct sim *s, uint8_t node)
{
	return s->comers.away >> node & 1;
}

/* Does its key file list that one? Of who was forgotten the line goes. */
bool
comers_lists(const struct sim *s, uint8_t node, uint8_t other)
{
	uint8_t now[UUID_BYTES];

	comers_identity(s, other, now);
	return (s->comers.names[node] >> other & 1) &&
	       memcmp(s->node[node].config.uuid[other], now, UUID_BYTES) == 0;
}

/* Runs, and is of the epoch that counts. */
static bool
is_here(const struct sim *s, uint8_t node)
{
	return s->node[node].process.up && !comers_away(s, node) && !force_lost(s, node);
}

/* Does this node know who has that number now? */
static bool
knows(const struct sim *s, uint8_t node, uint8_t number)
{
	struct node_peer_status p;
	uint8_t now[UUID_BYTES];

	comers_identity(s, number, now);
	return node_peer_status(s->node[node].node, number, &p) &&
	       memcmp(p.uuid, now, UUID_BYTES) == 0;
}

/* Does some log have this node's entry in that state? */
static bool
is_somewhere(const struct sim *s, uint8_t number, enum peer_state state)
{
	uint8_t now[UUID_BYTES];

	comers_identity(s, number, now);
	for (uint8_t i = 0; i < s->node_count; i++) {
		const struct node_peer_entry *e;

		if (i == number || !is_here(s, i))
			continue;
		e = &s->node[i].node->directory.peer[number];
		if (e->state == state && memcmp(e->uuid, now, UUID_BYTES) == 0)
			return true;
	}
	return false;
}

/* Is that number another's, by what this node has of the log? */
bool
comers_another(const struct sim *s, uint8_t node, uint8_t number)
{
	const struct node_peer_entry *e = &s->node[node].node->directory.peer[number];
	uint8_t now[UUID_BYTES];

	comers_identity(s, number, now);
	return e->state == PEER_LISTED && memcmp(e->uuid, now, UUID_BYTES) != 0;
}

/* Whose numbers are nobody's any more or another's, by what this node has of the log. It is
 * somebody itself, whatever it knows. */
uint32_t
comers_forgotten(const struct sim *s, uint8_t node)
{
	uint32_t forgotten = 0;

	for (uint8_t i = 0; i < s->node_count; i++) {
		const struct node_peer_entry *e = &s->node[node].node->directory.peer[i];
		uint8_t now[UUID_BYTES];

		comers_identity(s, i, now);
		bool same = memcmp(e->uuid, now, UUID_BYTES) == 0;
		if (i != node && e->state == (same ? PEER_FORGOTTEN : PEER_LISTED))
			forgotten |= 1u << i;
	}
	return forgotten;
}

/* The log may name it without a key: of one that stood in nobody's key file just then. All is well,
 * and they have no link: the administrator reads why. */
static bool
lacks_key(const struct sim *s, uint8_t node, uint8_t other)
{
	bool named = s->comers.names[node] >> other & 1;

	return s->healed && s->sealed && node != other && !named && s->node[node].process.up &&
	       !(s->node[node].node->link_up >> other & 1);
}

static bool
known_everywhere(const struct sim *s, uint8_t number)
{
	for (uint8_t i = 0; i < s->node_count; i++)
		if (is_here(s, i) && (!knows(s, i, number) || lacks_key(s, i, number)))
			return false;
	return true;
}

static void
ask(struct sim *s, uint8_t node, uint8_t number, enum node_order_kind kind)
{
	struct node_order order = {.kind = kind, .node = number, .endpoint = net_endpoint(number)};
	struct node_input in = {.kind = NODE_IN_ORDER, .order = &order};

	order.key.node = true;
	comers_identity(s, number, order.key.uuid);
	if (s->sealed)
		memcpy(order.key.key, s->seal[number].key, sizeof order.key.key);
	sim_trace(s, "node %u: is asked to %s node %u", node,
		  kind == NODE_ORDER_ADD ? "add" : "forget", number);
	sim_node_feed(s, node, &in);
}

/* One of those that are in the set; SIM_NODES_MAX: it is empty. */
static uint8_t
any_of(struct sim *s, uint32_t set)
{
	uint32_t skip = set ? (uint32_t)random_below(&s->random, __builtin_popcount(set)) : 0;

	for (; skip > 0; skip--)
		set &= set - 1;
	return set ? (uint8_t)__builtin_ctz(set) : SIM_NODES_MAX;
}

static uint32_t
all_here(const struct sim *s)
{
	uint32_t set = 0;

	for (uint8_t i = 0; i < s->node_count; i++)
		set |= (uint32_t)is_here(s, i) << i;
	return set;
}

/* As a fault: of any node. */
void
comers_ask(struct sim *s, uint8_t node)
{
	struct sim_comers *c = &s->comers;
	const struct sim_voters *v = &s->voters[0];
	uint32_t votes = v->change[v->count - 1].voters;
	uint32_t idle = all_here(s) & ~votes & ~c->going;
	bool quiet = s->force.asked.number == 0 && s->force.lost == 0;
	bool forget = random_chance(&s->random, 300000) && quiet;
	uint8_t number = any_of(s, forget ? idle : c->away & ~c->coming);

	if (!is_here(s, node) || number == SIM_NODES_MAX || number == node)
		return;
	if (forget && (s->swarm.rotten < SIM_NODES_MAX || s->swarm.liar < SIM_NODES_MAX ||
		       c->life[number] == LIVES_MAX || (s->force.alone >> number & 1)))
		return;
	if (forget)
		c->going |= 1u << number;
	else
		c->coming |= 1u << number;
	ask(s, node, number, forget ? NODE_ORDER_FORGET : NODE_ORDER_ADD);
}

/* It is listed: the administrator starts it, with what the tool has printed. */
static void
comes(struct sim *s, uint8_t number)
{
	struct sim_comers *c = &s->comers;
	struct node_config *config = &s->node[number].config;
	uint32_t others = all_here(s);
	uint32_t named = others & (uint32_t)random_u64(&s->random);

	c->names[number] = 1u << number | (named ? named : others);
	write_file(s, number);
	config->joins = true;
	config->voters = 0;
	config->votes_from = voters_number(s) + 1;
	config->leader = (uint8_t)__builtin_ctz(named ? named : others);
	force_renewed(s, number);
	c->away &= ~(1u << number);
	c->coming &= ~(1u << number);
	s->totals.added++;
	sim_trace(s, "node %u: is listed, and its file names %s", number,
		  word_set(c->names[number]).text);
	sim_push(s, random_mean(&s->random, 100 * MS), EVENT_RESTART, number, 0);
}

/* It is nobody any more: no group needs what it had voted on. */
static void
goes(struct sim *s, uint8_t number)
{
	struct sim_comers *c = &s->comers;

	sim_trace(s, "node %u: is forgotten, and is taken away", number);
	sim_node_crash(s, number, MS);
	c->going &= ~(1u << number);
	c->away |= 1u << number;
	c->life[number]++;
	voters_replaced(s, number);
	s->totals.forgotten++;
	for (uint8_t i = 0; i < s->node_count; i++)
		if (s->node[i].process.up)
			seal_list(s, i);
}

/* Who cannot learn of these from those whom its file names is given a file with them. False:
 * it knows them. */
bool
comers_tell(struct sim *s, uint8_t node, uint32_t who)
{
	uint32_t unknown = 0;

	for (uint8_t i = 0; i < s->node_count; i++)
		if ((who >> i & 1) && (!knows(s, node, i) || lacks_key(s, node, i)))
			unknown |= 1u << i;
	if (unknown == 0)
		return false;
	sim_trace(s, "node %u: its file names %s, too", node, word_set(unknown).text);
	s->comers.names[node] |= unknown;
	write_file(s, node);
	sim_node_crash(s, node, MS);
	return true;
}

/* Everything is well: what an administrator waits for is asked for until it is there; of any node,
 * since one that does not know who leads has nobody to tell. */
static void
insist(struct sim *s, uint8_t number)
{
	uint8_t at = any_of(s, all_here(s) & ~(1u << number));
	struct node_peer_status p;

	if (at == SIM_NODES_MAX || !random_chance(&s->random, ASK_PPM))
		return;
	/* A force may have brought back who was there before. */
	bool another = !knows(s, at, number) && node_peer_status(s->node[at].node, number, &p);
	ask(s, at, number, another ? NODE_ORDER_FORGET : NODE_ORDER_ADD);
	if (s->now_ns > s->healed_ns + PATIENCE_NS && random_chance(&s->random, WRITE_PPM))
		(void)comers_tell(s, at, all_here(s));
}

/* Now and then. */
void
comers_go_on(struct sim *s)
{
	struct sim_comers *c = &s->comers;
	bool quiet = s->force.asked.number == 0;

	if (s->swarm.named == (1u << s->node_count) - 1)
		return;
	for (uint8_t i = 0; i < s->node_count && quiet; i++) {
		if ((c->going >> i & 1) && !force_lost(s, i) && is_somewhere(s, i, PEER_FORGOTTEN))
			goes(s, i);
		else if (comers_away(s, i) && is_somewhere(s, i, PEER_LISTED))
			comes(s, i);
		else if (s->healed && (comers_away(s, i) || !known_everywhere(s, i)))
			insist(s, i);
	}
	c->going = s->healed ? 0 : c->going;
}

bool
comers_settled(const struct sim *s)
{
	for (uint8_t i = 0; i < s->node_count; i++)
		if (comers_away(s, i) || !known_everywhere(s, i))
			return false;
	return true;
}
