/* A key that names a group opens that one: a node of its own, two members, sealed. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "node/member.h"
#include "node/node.h"
#include "tests/wire/fake_crypto.h"

#define MS             ((uint64_t)1000000)
#define MEMBERS        2
#define DATAGRAMS      256
#define DATAGRAM_BYTES 1400
#define SLOTS          256
#define NODE           MEMBERS /* its number among the ends */

struct datagram {
	uint32_t from, to, bytes;
	uint8_t data[DATAGRAM_BYTES];
};

struct scene;

/* The node, or a member. */
struct end {
	struct scene *scene;
	uint32_t number;
	struct endpoint at;
	struct fake_crypto crypto;
	uint64_t slot[SLOTS];
	uint8_t secret[CRYPTO_KEY_BYTES], key[CRYPTO_KEY_BYTES];
	void *memory;
	uint64_t timer_ns;
};

struct scene {
	struct node *node;
	struct member *member[MEMBERS];
	struct end end[MEMBERS + 1];
	uint64_t now_ns, lsn;
	struct datagram datagram[DATAGRAMS];
	uint32_t count;
	bool started[MEMBERS], linked[MEMBERS];
	enum member_refusal refusal[MEMBERS];
};

static const uint8_t group_a[16] = {0xa}, group_b[16] = {0xb};

static void
put(struct end *from, const struct endpoint *to, const uint8_t *data, uint32_t bytes)
{
	struct scene *s = from->scene;
	struct datagram *d = &s->datagram[s->count++];

	cr_assert_leq(s->count, DATAGRAMS);
	cr_assert_leq(bytes, sizeof d->data);
	d->from = from->number;
	for (d->to = 0; !endpoint_equal(&s->end[d->to].at, to); d->to++)
		cr_assert_lt(d->to, NODE);
	d->bytes = bytes;
	memcpy(d->data, data, bytes);
}

static void
node_emits(void *context, const struct node_output *o)
{
	struct end *e = context;

	if (o->kind == NODE_OUT_SEND)
		put(e, &o->to, o->data, o->bytes);
	if (o->kind == NODE_OUT_LOG)
		e->scene->lsn = o->lsn;
	if (o->kind == NODE_OUT_TIMER)
		e->timer_ns = o->at_ns;
}

static void
member_emits(void *context, const struct member_output *o)
{
	struct end *e = context;

	if (o->kind == MEMBER_OUT_SEND)
		put(e, &o->to, o->data, o->bytes);
	if (o->kind == MEMBER_OUT_TIMER)
		e->timer_ns = o->at_ns;
	if (o->kind == MEMBER_OUT_LINK)
		e->scene->linked[e->number] = o->connected;
	if (o->kind == MEMBER_OUT_STARTED) {
		e->scene->started[e->number] = true;
		e->scene->refusal[e->number] = o->refusal;
	}
}

static void
node_give(struct scene *s, struct node_input in)
{
	in.now_ns = s->now_ns;
	node_step(s->node, &in, &(struct node_sink){&s->end[NODE], node_emits});
}

static void
member_give(struct scene *s, uint32_t m, struct member_input in)
{
	in.now_ns = s->now_ns;
	member_step(s->member[m], &in,
		    &(struct member_sink){.context = &s->end[m], .emit = member_emits});
}

static void
arrive(struct scene *s, const struct datagram *d)
{
	struct endpoint from = s->end[d->from].at;

	if (d->to == NODE)
		node_give(s, (struct node_input){.kind = NODE_IN_PACKET,
						 .from = from,
						 .data = d->data,
						 .bytes = d->bytes});
	else
		member_give(s, d->to,
			    (struct member_input){.kind = MEMBER_IN_PACKET,
						  .from = from,
						  .data = d->data,
						  .bytes = d->bytes});
}

static void
run(struct scene *s, uint64_t for_ns)
{
	for (uint64_t end_ns = s->now_ns + for_ns; s->now_ns < end_ns;) {
		s->now_ns += MS;
		node_give(s, (struct node_input){.kind = NODE_IN_DURABLE, .lsn = s->lsn});
		if (s->end[NODE].timer_ns <= s->now_ns)
			node_give(s, (struct node_input){.kind = NODE_IN_TICK});
		for (uint32_t m = 0; m < MEMBERS; m++)
			if (s->end[m].timer_ns <= s->now_ns)
				member_give(s, m, (struct member_input){.kind = MEMBER_IN_TICK});
		for (uint32_t i = 0; i < s->count; i++) {
			struct datagram d = s->datagram[i];
			arrive(s, &d);
		}
		s->count = 0;
	}
}

static void *
memory_for(struct end *e, size_t bytes)
{
	e->memory = aligned_alloc(64, (bytes + 63) / 64 * 64);
	cr_assert(e->memory);
	return e->memory;
}

static void
begin_node(struct scene *s)
{
	static const uint8_t entropy[64] = {1, 2, 3};
	struct end *e = &s->end[NODE];
	struct node_config c = {.node_count = 1,
				.epoch = {7},
				.uuid = {{1}},
				.endpoint = {e->at},
				.groups_max = 4,
				.members_max = 4,
				.inflight_max = 16,
				.index_hashes_max = 1024,
				.results_max = 1024,
				.value_bytes_max = 8192,
				.values_max = 1024,
				.horizon = 64,
				.datagram_bytes_max = DATAGRAM_BYTES,
				.stream_bytes = 65536,
				.takeover_ns = 150 * MS,
				.retry_ns = 20 * MS,
				.tail_trust_ns = 5000 * MS,
				.session_dead_ns = 500 * MS,
				.gc_ns = 100 * MS,
				.expel_ns = 10000 * MS,
				.crypto = &e->crypto.table};

	cr_assert_leq(node_crypto_slots(&c), SLOTS);
	memcpy(c.secret, e->secret, sizeof c.secret);
	s->node = node_init(memory_for(e, node_size(&c)), &c);
	node_give(s, (struct node_input){.kind = NODE_IN_START,
					 .tail = PAXOS_TAIL_CLEAN,
					 .process = 1,
					 .data = entropy,
					 .bytes = sizeof entropy});
	node_give(s, (struct node_input){
			     .kind = NODE_IN_RANDOM, .data = entropy, .bytes = sizeof entropy});
}

/* Member m, by a member_init() of its own: a server that starts anew. */
static void
begin_member(struct scene *s, uint32_t m, const uint8_t group[16], bool bootstrap)
{
	struct end *e = &s->end[m];
	uint8_t entropy[64] = {(uint8_t)(9 + m), (uint8_t)(s->now_ns / MS)};
	uint8_t nothing[64];
	struct writer none = writer_over(nothing, sizeof nothing);
	struct member_config c = {.node_count = 1,
				  .endpoint = {s->end[NODE].at},
				  .server_uuid = {(uint8_t)(0x50 + m)},
				  .inflight_max = 16,
				  .transaction_bytes_max = 4096,
				  .submission_bytes = 65536,
				  .snapshot_entries_max = 1024,
				  .gtid_intervals_max = 64,
				  .datagram_bytes_max = DATAGRAM_BYTES,
				  .stream_bytes = 65536,
				  .session_dead_ns = 200 * MS,
				  .retry_ns = 20 * MS,
				  .progress_ns = 20 * MS,
				  .crypto = &e->crypto.table};
	struct member_start start = {.bootstrap = bootstrap,
				     .nonce = {entropy[0], entropy[1]},
				     .process = s->now_ns + m,
				     .host = "host",
				     .block_size = 1};
	struct gtid_limits limits = {.sources_max = 1, .intervals_max = 1};
	struct gtid_set *executed = gtid_set_init(calloc(1, gtid_set_size(limits)), limits);

	gtid_set_encode(executed, &none);
	start.executed = (struct gtid_bytes){.data = nothing, .bytes = (uint32_t)none.bytes};
	memcpy(start.group_uuid, group, sizeof start.group_uuid);
	memcpy(c.secret, e->secret, sizeof c.secret);
	memcpy(c.node_key[0], s->end[NODE].key, CRYPTO_KEY_BYTES);
	free(e->memory);
	s->member[m] = member_init(memory_for(e, member_size(&c)), &c);
	s->started[m] = s->linked[m] = false;
	member_give(s, m,
		    (struct member_input){.kind = MEMBER_IN_RANDOM, .data = entropy, .bytes = 64});
	member_give(s, m, (struct member_input){.kind = MEMBER_IN_START, .start = &start});
	free(executed);
}

static void
list(struct scene *s, uint32_t m, struct node_key *key, const uint8_t *group)
{
	*key = (struct node_key){.uuid = {(uint8_t)(0x50 + m)}, .group_count = group != NULL};
	memcpy(key->key, s->end[m].key, CRYPTO_KEY_BYTES);
	if (group)
		memcpy(key->group[0], group, 16);
}

/* Member 0 may open any group, or none at all; member 1 this one, or any. */
static void
list_keys(struct scene *s, bool first, const uint8_t *of_second)
{
	struct node_key key[MEMBERS];

	list(s, 1, &key[0], of_second);
	list(s, 0, &key[1], NULL);
	node_give(s, (struct node_input){
			     .kind = NODE_IN_KEYS, .keys = key, .key_count = first ? 2 : 1});
}

/* Member 0 made group A. */
static struct scene *
scene(void)
{
	struct scene *s = calloc(1, sizeof *s);

	s->now_ns = MS;
	for (uint32_t i = 0; i <= NODE; i++) {
		struct end *e = &s->end[i];
		e->scene = s;
		e->number = i;
		e->at = endpoint_from_ipv4(0x0a000001 + i, 4000);
		e->timer_ns = UINT64_MAX;
		memset(e->secret, (int)(0x31 + i), sizeof e->secret);
		fake_crypto_init(&e->crypto, e->slot, SLOTS);
		e->crypto.table.public_key(&e->crypto, e->secret, e->key);
	}
	begin_node(s);
	list_keys(s, true, group_b);
	begin_member(s, 0, group_a, true);
	run(s, 1000 * MS);
	cr_assert(s->started[0] && s->refusal[0] == MEMBER_REFUSED_NONE);
	return s;
}

static void
scene_free(struct scene *s)
{
	for (uint32_t i = 0; i <= NODE; i++)
		free(s->end[i].memory);
	free(s);
}

static struct node_status
status(const struct scene *s)
{
	struct node_status now;

	node_status(s->node, &now);
	return now;
}

Test(node_keys, a_key_of_one_group_opens_no_other)
{
	struct scene *s = scene();

	begin_member(s, 1, group_a, false);
	run(s, 1000 * MS);
	cr_assert(s->started[1]);
	cr_assert_eq(s->refusal[1], MEMBER_REFUSED_KEY);
	struct node_turned_away away = status(s).turned_away;
	cr_assert_gt(away.count, 0);
	cr_assert_eq(memcmp(away.group, group_a, sizeof group_a), 0);
	cr_assert_eq(memcmp(away.key, s->end[1].key, sizeof away.key), 0);
	cr_assert(endpoint_equal(&away.from, &s->end[1].at));
	cr_assert_eq(status(s).group_count, 2, "the appliance's own and A");

	begin_member(s, 1, group_b, true);
	run(s, 1000 * MS);
	cr_assert(s->started[1]);
	cr_assert_eq(s->refusal[1], MEMBER_REFUSED_NONE, "its own group it opens");
	cr_assert_eq(status(s).turned_away.count, away.count);
	scene_free(s);
}

/* Nor may it bootstrap one: its name would be taken. */
Test(node_keys, a_key_of_one_group_makes_no_other)
{
	static const uint8_t group_c[16] = {0xc};
	struct scene *s = scene();

	begin_member(s, 1, group_c, true);
	run(s, 1000 * MS);
	cr_assert(s->started[1]);
	cr_assert_eq(s->refusal[1], MEMBER_REFUSED_KEY);
	cr_assert_eq(status(s).group_count, 2);
	scene_free(s);
}

Test(node_keys, a_list_that_changes_counts_at_once)
{
	struct scene *s = scene();

	list_keys(s, true, NULL);
	begin_member(s, 1, group_a, false);
	run(s, 1000 * MS);
	cr_assert(s->started[1] && s->refusal[1] == MEMBER_REFUSED_NONE);
	cr_assert(s->linked[0] && s->linked[1]);

	list_keys(s, true, group_b);
	run(s, 1000 * MS);
	cr_assert(s->linked[0], "who is still listed notices nothing");
	cr_assert(!s->linked[1], "the group is gone from its key, and so is its session");

	list_keys(s, false, NULL);
	run(s, 1000 * MS);
	cr_assert(!s->linked[0], "a key that is gone has no session");
	cr_assert(s->linked[1], "and one that has its group again goes on");
	cr_assert_gt(status(s).dropped_key, 0, "it asks again, and that is counted");
	scene_free(s);
}
