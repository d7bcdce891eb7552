/* tests/sim/seal.c - see sim.h: keys of processes, in runs that are sealed.
 *
 * The table seals nothing (tests/wire/fake_crypto.h), but a tag fits its own key, counter
 * and bytes only: whoever changes a datagram, or sends an old one again, is found out by
 * the code that runs in earnest. */
#include "tests/sim/sim.h"

/* Keys are renewed several times in a run, amid all else that goes wrong. */
#define REKEY_NS (SEC / 2)

static const struct crypto *
new_table(struct sim *s, uint8_t process)
{
	struct sim_seal *e = &s->seal[process];

	/* A new process: nothing is left of an earlier one's sessions. */
	memset(e->slot, 0, sizeof e->slot);
	return fake_crypto_init(&e->crypto, e->slot, SIM_CRYPTO_SLOTS);
}

void
seal_setup(struct sim *s)
{
	if (!s->sealed)
		return;
	for (uint8_t i = 0; i < SIM_PROCESSES_MAX; i++) {
		const struct crypto *c = new_table(s, i);
		s->seal[i].unlisted = s->seal[i].groupless = 0;
		s->seal[i].renewed = false;
		memset(s->seal[i].secret, 0x61 + i, sizeof s->seal[i].secret);
		c->public_key(c->context, s->seal[i].secret, s->seal[i].key);
	}
}

void
seal_node(struct sim *s, uint8_t node, struct node_config *c)
{
	if (!s->sealed)
		return;
	c->crypto = new_table(s, node);
	c->rekey_ns = s->swarm.pace * REKEY_NS;
	memcpy(c->secret, s->seal[node].secret, sizeof c->secret);
	must(node_crypto_slots(c) <= SIM_CRYPTO_SLOTS);
}

void
seal_member(struct sim *s, uint8_t server, struct member_config *c)
{
	uint8_t process = sim_server_process(server);

	if (!s->sealed)
		return;
	c->crypto = new_table(s, process);
	c->rekey_ns = s->swarm.pace * REKEY_NS;
	memcpy(c->secret, s->seal[process].secret, sizeof c->secret);
}

static bool
is_in(uint32_t processes, uint8_t process)
{
	return processes >> process & 1;
}

static void
own_keys(struct sim *s, uint8_t node)
{
	const struct sim_seal *e = &s->seal[node];
	struct node_secrets secrets;
	struct node_input in = {.kind = NODE_IN_SECRETS, .secrets = &secrets};

	memcpy(secrets.now, e->secret, sizeof secrets.now);
	memcpy(secrets.before, e->secret_before, sizeof secrets.before);
	sim_node_feed(s, node, &in);
}

/* One that its file does not name it knows by the log, which has the key that it came with: of
 * one that has changed its own, the administrator writes it into every key file. */
static bool
lists(const struct sim *s, uint8_t node, uint8_t other)
{
	return comers_lists(s, node, other) || (s->seal[other].renewed && !comers_away(s, other));
}

/* Each server's key opens its own group and no other. */
void
seal_list(struct sim *s, uint8_t node)
{
	const struct sim_seal *e = &s->seal[node];
	struct node_key key[2 * SIM_PROCESSES_MAX] = {0};
	struct node_input in = {.kind = NODE_IN_KEYS, .keys = key};

	if (!s->sealed)
		return;
	if (e->renewed)
		own_keys(s, node);
	for (uint8_t i = 0; i < s->node_count; i++) {
		struct node_key *k = &key[in.key_count];
		bool listed = lists(s, node, i) && !is_in(e->unlisted, i);
		in.key_count += listed;
		k->node = true;
		memcpy(k->key, s->seal[i].key, sizeof k->key);
		comers_identity(s, i, k->uuid);
		if (!s->seal[i].renewed || !listed)
			continue;
		key[in.key_count] = *k;
		memcpy(key[in.key_count++].key, s->seal[i].key_before, sizeof k->key);
	}
	for (uint8_t i = 0; i < s->server_count; i++) {
		struct node_key *k = &key[in.key_count];
		const struct sim_server *v = &s->server[i];
		uint8_t process = sim_server_process(i);
		in.key_count += !is_in(e->unlisted, process);
		*k = (struct node_key){.group_count = 1};
		memcpy(k->key, s->seal[process].key, sizeof k->key);
		memcpy(k->uuid, v->config.server_uuid, sizeof k->uuid);
		memcpy(k->group[0], s->group_uuid[v->group], sizeof k->group[0]);
		k->group[0][0] ^= is_in(e->groupless, process);
	}
	sim_node_feed(s, node, &in);
}

/* A node changes its own key: the others list both, then it takes it. */
static void
renew(struct sim *s, uint8_t node)
{
	struct sim_seal *e = &s->seal[node];
	const struct crypto *c = &e->crypto.table;

	sim_trace(s, "node %u: changes its own key", node);
	memcpy(e->secret_before, e->secret, sizeof e->secret);
	memcpy(e->key_before, e->key, sizeof e->key);
	memset(e->secret, 0x21 + node, sizeof e->secret);
	c->public_key(c->context, e->secret, e->key);
	e->renewed = true;
	for (uint8_t i = 0; i < s->node_count; i++)
		if (i != node)
			seal_list(s, i);
}

/* As an administrator who takes the wrong line out of a node's file, and puts it back. */
void
seal_relist(struct sim *s, uint8_t node)
{
	struct sim_seal *e = &s->seal[node];

	if (!s->sealed)
		return;
	e->unlisted = (uint32_t)(random_u64(&s->random) & random_u64(&s->random));
	e->groupless = (uint32_t)(random_u64(&s->random) & random_u64(&s->random));
	if (s->healed || random_chance(&s->random, 500000))
		e->unlisted = e->groupless = 0;
	if (!e->renewed && random_chance(&s->random, 200000))
		renew(s, node);
	sim_trace(s, "node %u: lists other keys, without %x", node, e->unlisted | e->groupless);
	seal_list(s, node);
}

/* A datagram of the session that `data` was in, later in its count: as it was, with other
 * bytes, or cut. Returns its length. */
uint32_t
seal_change(struct sim *s, uint8_t *data, uint32_t bytes)
{
	struct sim_random *r = &s->random;
	uint64_t how = random_below(r, 4);

	if (bytes > SIM_COUNTER_AT && data[SIM_COUNTER_AT] < 200)
		data[SIM_COUNTER_AT] += (uint8_t)random_between(r, 1, 40);
	if (how == 0)
		return (uint32_t)random_between(r, 1, bytes);
	for (uint64_t n = random_between(r, 1, 8); how > 1 && n > 0; n--)
		data[random_below(r, bytes)] ^= (uint8_t)random_between(r, 1, 255);
	return bytes;
}

void
seal_count(struct sim *s, uint8_t node)
{
	struct node_status status;

	if (!s->sealed || !s->node[node].process.up)
		return;
	node_status(s->node[node].node, &status);
	s->totals.forged += status.dropped_forged;
	s->totals.replayed += status.dropped_replayed;
	s->totals.rekeys += status.rekeys;
}

void
seal_final(struct sim *s)
{
	s->totals.sealed += s->sealed;
	for (uint8_t i = 0; i < s->node_count; i++)
		seal_count(s, i);
}
