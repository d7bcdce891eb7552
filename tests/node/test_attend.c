/* What a server with a listed key says, and no member would: a node of its own, sealed. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "node/internal.h"
#include "tests/node/scene.h"

#define NONCE 0x66

static uint32_t
entry_bytes(const struct entry *e, uint8_t out[4096])
{
	struct writer w = writer_over(out, 4096);

	entry_encode(e, &w);
	cr_assert(!w.bad);
	return (uint32_t)w.bytes;
}

static void
open_group(struct scene *s, const uint8_t *group)
{
	struct protocol_message m = {.kind = PROTOCOL_OPEN};

	memcpy(m.uuid, group, UUID_BYTES);
	scene_raw_say(s, WIRE_CONTROL, &m);
}

/* As the server 0x50 + of, whose last incarnation was this. */
static void
join_group(struct scene *s, const uint8_t *group, uint8_t of, uint64_t block_size)
{
	uint8_t bytes[4096];
	struct entry e = {.kind = ENTRY_JOIN,
			  .join = {.nonce = {NONCE},
				   .server_uuid = {(uint8_t)(0x50 + of)},
				   .host = "host",
				   .host_bytes = 4}};
	struct protocol_message m = {.kind = PROTOCOL_JOIN, .mark = block_size, .data = bytes};

	memcpy(m.uuid, group, UUID_BYTES);
	m.bytes = entry_bytes(&e, bytes);
	scene_raw_say(s, WIRE_CONTROL, &m);
}

static void
attach(struct scene *s, uint64_t incarnation, uint64_t from)
{
	scene_raw_say(s, WIRE_CONTROL,
		      &(struct protocol_message){.kind = PROTOCOL_ATTACH,
						 .group = s->heard[PROTOCOL_GROUP].group,
						 .incarnation = incarnation,
						 .session = 1 + s->heard[PROTOCOL_ATTACHED].session,
						 .sequence = 1,
						 .index = from});
}

/* Server 0x51 is in group A, as what the session says next is to break. */
static struct scene *
attached(void)
{
	struct scene *s = scene();

	scene_keys(s, true, NULL);
	scene_raw_begin(s, 1);
	open_group(s, scene_group_a);
	join_group(s, scene_group_a, 1, 1);
	scene_run(s, 100 * MS);
	join_group(s, scene_group_a, 1, 1);
	scene_run(s, 100 * MS);
	cr_assert_eq(s->heard[PROTOCOL_JOINED].reason, MEMBER_REFUSED_NONE);
	cr_assert_neq(s->heard[PROTOCOL_JOINED].incarnation, 0);
	attach(s, s->heard[PROTOCOL_JOINED].incarnation, s->heard[PROTOCOL_JOINED].index);
	scene_run(s, 100 * MS);
	cr_assert_eq(s->heard[PROTOCOL_ATTACHED].kind, PROTOCOL_ATTACHED);
	return s;
}

static uint64_t
last_index(const struct scene *s, uint32_t position)
{
	struct node_group_status now;

	cr_assert(node_group_status(s->node, position, &now));
	return now.last_index;
}

Test(node_attend, another_block_size_is_refused)
{
	struct scene *s = scene();

	scene_keys(s, true, NULL);
	scene_raw_begin(s, 1);
	open_group(s, scene_group_a);
	join_group(s, scene_group_a, 1, 1000);
	cr_assert_eq(s->heard[PROTOCOL_JOINED].reason, MEMBER_REFUSED_BLOCK_SIZE);
	cr_assert_eq(s->heard[PROTOCOL_JOINED].nonce[0], NONCE);
	scene_free(s);
}

/* Node 0 goes on alone, in another epoch, and server 0x51 is back with a session. */
static struct scene *
forced(void)
{
	struct scene *s = scene();
	struct node_forced f = {.number = node_force_number(0, 1), .voters = 1, .epoch = {7}};

	scene_keys(s, true, NULL);
	scene_node_give(s,
			(struct node_input){.kind = NODE_IN_FORCE, .force = f, .here_only = true});
	scene_node_give(s, (struct node_input){.kind = NODE_IN_DURABLE, .lsn = s->lsn});
	scene_node_again(s);
	scene_keys(s, true, NULL);
	scene_run(s, 500 * MS);
	scene_raw_begin(s, 1);
	open_group(s, scene_group_a);
	cr_assert_eq(group_epoch(node_group_by_number(s->node, 1)->state), f.number);
	return s;
}

/* What another node had accepted of it comes again behind the fork, and is void: its own answer is
 * that to what it asks now. */
Test(node_attend, who_asked_before_a_force_joins_by_what_it_asks_behind)
{
	struct scene *s = forced();
	struct node_group *g = node_group_by_number(s->node, 1);
	struct entry e = {.kind = ENTRY_JOIN,
			  .join = {.nonce = {NONCE}, .server_uuid = {0x51}, .host = ""}};

	cr_assert(node_group_submit_entry(s->node, g, &e));
	uint64_t before = group_applied(g->state) + 1;
	join_group(s, scene_group_a, 1, 1);
	scene_run(s, 100 * MS);
	cr_assert_gt(group_applied(g->state), before);
	cr_assert_null(group_incarnation(g->state, before));
	cr_assert_eq(s->heard[PROTOCOL_JOINED].kind, PROTOCOL_JOINED);
	cr_assert_eq(s->heard[PROTOCOL_JOINED].reason, MEMBER_REFUSED_NONE);
	cr_assert_gt(s->heard[PROTOCOL_JOINED].incarnation, before);
	scene_free(s);
}

/* More sources than a node looks for: what it lacks cannot be told. */
Test(node_attend, who_has_executed_what_no_node_can_hold_is_refused)
{
	static uint8_t executed[16384], bytes[24576];
	struct gtid_limits limits = {.sources_max = 300, .intervals_max = 300};
	struct gtid_set *set = gtid_set_init(calloc(1, gtid_set_size(limits)), limits);
	struct writer w = writer_over(executed, sizeof executed);
	struct writer out = writer_over(bytes, sizeof bytes);
	struct entry e = {.kind = ENTRY_JOIN,
			  .join = {.nonce = {NONCE}, .server_uuid = {0x51}, .host = ""}};
	struct protocol_message m = {.kind = PROTOCOL_JOIN, .mark = 1, .data = bytes};
	struct scene *s = scene();

	for (uint32_t i = 0; i < 300; i++)
		(void)gtid_set_add(
			set, &(struct gtid){.source.uuid = {(uint8_t)(1 + i / 256), (uint8_t)i},
					    .gno = 1});
	gtid_set_encode(set, &w);
	cr_assert(!w.bad);
	e.join.executed = (struct gtid_bytes){.data = executed, .bytes = (uint32_t)w.bytes};
	entry_encode(&e, &out);
	cr_assert(!out.bad);
	memcpy(m.uuid, scene_group_a, UUID_BYTES);
	m.bytes = (uint32_t)out.bytes;
	scene_keys(s, true, NULL);
	scene_raw_begin(s, 1);
	open_group(s, scene_group_a);
	scene_raw_say(s, WIRE_CONTROL, &m);
	scene_run(s, 100 * MS);
	cr_assert_eq(s->heard[PROTOCOL_JOINED].reason, MEMBER_REFUSED_GAP);
	scene_free(s);
	free(set);
}

Test(node_attend, nobody_joins_as_another_server)
{
	struct scene *s = scene();

	scene_keys(s, true, NULL);
	scene_raw_begin(s, 1);
	open_group(s, scene_group_a);
	uint64_t last = last_index(s, 1);
	join_group(s, scene_group_a, 2, 1);
	cr_assert_eq(s->heard[PROTOCOL_JOINED].kind, 0, "not answered");
	cr_assert_eq(scene_status(s).dropped_undecodable, 1);
	cr_assert_eq(last_index(s, 1), last);
	scene_free(s);
}

/* Member 0 is the group's first incarnation. */
Test(node_attend, nobody_attaches_as_another_server)
{
	struct scene *s = scene();
	struct node_member_status first;

	scene_keys(s, true, NULL);
	scene_raw_begin(s, 1);
	open_group(s, scene_group_a);
	cr_assert(node_member_status(s->node, 1, 0, &first));
	s->heard[PROTOCOL_ATTACHED].session = 100; /* above the one that it has */
	attach(s, first.incarnation, first.incarnation);
	cr_assert_eq(scene_status(s).dropped_undecodable, 1);
	cr_assert_eq(s->heard[PROTOCOL_ATTACHED].kind, 0);
	cr_assert(s->linked[0], "whose it is notices nothing");
	scene_free(s);
}

Test(node_attend, nobody_submits_for_another_incarnation)
{
	struct scene *s = attached();
	uint64_t own = s->heard[PROTOCOL_JOINED].incarnation;
	uint8_t bytes[4096];
	struct entry e = {.kind = ENTRY_ABANDON,
			  .abandon = {.incarnation = own - 1, .session = 1, .sequence = 1}};
	struct protocol_message m = {.kind = PROTOCOL_ABANDON, .incarnation = own, .data = bytes};

	e.abandon.floor = 1;
	uint64_t last = last_index(s, 1);
	m.bytes = entry_bytes(&e, bytes);
	scene_raw_say(s, WIRE_SUBMIT, &m);
	cr_assert_eq(scene_status(s).dropped_undecodable, 1);
	e.abandon.incarnation = own;
	m.kind = PROTOCOL_SUBMIT;
	m.bytes = entry_bytes(&e, bytes);
	scene_raw_say(s, WIRE_SUBMIT, &m);
	cr_assert_eq(scene_status(s).dropped_undecodable, 2, "of another kind");
	m.data = (const uint8_t *)"\xff";
	m.bytes = 1;
	scene_raw_say(s, WIRE_SUBMIT, &m);
	cr_assert_eq(scene_status(s).dropped_undecodable, 3, "of none");
	cr_assert_eq(last_index(s, 1), last);
	scene_free(s);
}

Test(node_attend, what_only_nodes_say_is_counted)
{
	struct scene *s = attached();

	scene_raw_say(s, WIRE_CONTROL, &(struct protocol_message){.kind = PROTOCOL_THROUGH});
	cr_assert_eq(scene_status(s).dropped_undecodable, 1);
	cr_assert(s->linked[1]);
	scene_free(s);
}

Test(node_attend, a_feed_from_nowhere_is_survived)
{
	static const uint64_t from[] = {0, UINT64_MAX, 1};

	for (uint32_t i = 0; i < 3; i++) {
		struct scene *s = attached();

		attach(s, s->heard[PROTOCOL_JOINED].incarnation, from[i]);
		scene_run(s, 200 * MS);
		cr_assert(s->linked[0]);
		scene_free(s);
	}
}

/* What it attached as counts in the first group only. */
Test(node_attend, who_names_another_group_is_not_attached_there)
{
	struct scene *s = attached();
	uint64_t own = s->heard[PROTOCOL_JOINED].incarnation;
	uint8_t bytes[4096];
	struct entry e = {.kind = ENTRY_ABANDON,
			  .abandon = {.incarnation = own, .session = 1, .sequence = 1, .floor = 1}};
	struct protocol_message m = {.kind = PROTOCOL_ABANDON, .incarnation = own, .data = bytes};

	scene_member_begin(s, 0, scene_group_b, true);
	scene_run(s, 1000 * MS);
	cr_assert(s->started[0] && s->refusal[0] == MEMBER_REFUSED_NONE);
	open_group(s, scene_group_b);
	scene_run(s, 2000 * MS);
	uint64_t last = last_index(s, 2);
	scene_run(s, 200 * MS);
	cr_assert_eq(last_index(s, 2), last, "it rests");
	m.bytes = entry_bytes(&e, bytes);
	scene_raw_say(s, WIRE_SUBMIT, &m);
	scene_run(s, 200 * MS);
	cr_assert_eq(last_index(s, 2), last);
	scene_free(s);
}

/* One that nobody is in conflict with. */
static void
submit(struct scene *s, uint64_t sequence)
{
	uint8_t bytes[4096], hash[ENTRY_HASH_BYTES] = {1};
	uint64_t own = s->heard[PROTOCOL_JOINED].incarnation;
	struct entry e = {.kind = ENTRY_SUBMIT};
	struct protocol_message m = {.kind = PROTOCOL_SUBMIT, .incarnation = own, .data = bytes};

	e.submit = (struct entry_submit){.incarnation = own,
					 .session = s->heard[PROTOCOL_ATTACHED].session,
					 .sequence = sequence,
					 .floor = 1,
					 .gtid_spec = GTID_AUTOMATIC,
					 .snapshot = {.mark = last_index(s, 1)},
					 .hash_count = 1,
					 .hashes = hash};
	m.bytes = entry_bytes(&e, bytes);
	scene_raw_say(s, WIRE_SUBMIT, &m);
	scene_run(s, 100 * MS);
}

Test(node_attend, what_it_submits_is_answered_and_executed)
{
	struct scene *s = attached();
	struct gtid_interval run;

	submit(s, 1);
	cr_assert_eq(s->heard[PROTOCOL_VERDICT].verdict, GROUP_ACCEPTED);
	cr_assert_eq(s->heard[PROTOCOL_VERDICT].sequence, 1);
	submit(s, 2);
	cr_assert_eq(s->heard[PROTOCOL_VERDICT].sequence, 2);
	cr_assert(node_group_executed(s->node, 1, 0, &run));
	cr_assert_arr_eq(run.source.uuid, scene_group_a, UUID_BYTES);
	cr_assert_eq(run.from, 1);
	cr_assert_eq(run.to, 2);
	cr_assert(!node_group_executed(s->node, 1, 1, &run));
	scene_free(s);
}

static enum certificates_verdict
good(void *context, const uint8_t key[CRYPTO_KEY_BYTES], const uint8_t *data, uint32_t bytes)
{
	(void)key;
	(void)data;
	*(uint32_t *)context += bytes;
	return CERTIFICATES_GOOD;
}

/* Nobody lists its key. */
Test(node_attend, certificates_open_the_groups_of_the_configuration)
{
	static const uint8_t bytes[64] = {1};
	uint32_t seen[2] = {0};
	struct certificates before = {.context = &seen[0], .accepted = true, .check = good};
	struct certificates after = {.context = &seen[1], .accepted = true, .check = good};
	struct certificates shown = {.shown = bytes, .shown_bytes = sizeof bytes};
	struct scene *s = scene_certified(&before, scene_group_b);
	struct node_key none = {.uuid = {1}};

	scene_node_give(s,
			(struct node_input){.kind = NODE_IN_KEYS, .keys = &none, .key_count = 1});
	s->shown = &shown;
	scene_raw_begin(s, 1);
	cr_assert_eq(seen[0], sizeof bytes);
	open_group(s, scene_group_a);
	join_group(s, scene_group_a, 1, 1);
	cr_assert_eq(s->heard[PROTOCOL_JOINED].reason, MEMBER_REFUSED_KEY);
	join_group(s, scene_group_b, 1, 1);
	cr_assert_eq(s->heard[PROTOCOL_JOINED].reason, MEMBER_REFUSED_NO_GROUP, "it may ask");

	scene_node_give(s,
			(struct node_input){.kind = NODE_IN_CERTIFICATES, .certificates = &after});
	scene_run(s, 20 * MS);
	cr_assert(!s->linked[1], "what the others had opened is closed");
	scene_run(s, 500 * MS);
	cr_assert(s->linked[1]);
	cr_assert_eq(seen[1], sizeof bytes);
	scene_free(s);
}

static void
report(struct scene *s, uint64_t mark, uint64_t committed)
{
	struct protocol_message m = {.kind = PROTOCOL_PROGRESS,
				     .incarnation = s->heard[PROTOCOL_JOINED].incarnation,
				     .sequence = 1,
				     .mark = mark,
				     .index = committed};

	m.flags = committed >= m.incarnation ? PROTOCOL_READY : 0;
	scene_raw_say(s, WIRE_PROGRESS, &m);
	scene_run(s, 300 * MS);
}

/* Of its own one is open from before it joined. */
Test(node_attend, who_is_ready_and_not_so_far_is_no_entry_at_each_report)
{
	struct scene *s = attached();
	uint64_t last = last_index(s, 1);
	struct node_member_status now;

	for (uint32_t i = 0; i < 5; i++)
		report(s, 1, last);
	cr_assert_leq(last_index(s, 1), last + 1, "member 0 may have said so");
	report(s, last, last);
	cr_assert(node_member_status(s->node, 1, 1, &now));
	cr_assert(now.online);
	scene_free(s);
}

/* Its mark stands, as while one of its own waits for something; each report that is logged is one
 * entry more that it has committed then. */
Test(node_attend, what_has_committed_all_reports_nothing_more)
{
	struct scene *s = attached();

	uint64_t before = last_index(s, 1);
	submit(s, 1);
	uint64_t last = last_index(s, 1);
	cr_assert_gt(last, before);
	report(s, before, last);
	uint64_t logged = last_index(s, 1);
	cr_assert_gt(logged, last);
	for (uint32_t i = 0; i < 5; i++)
		report(s, before, logged + i);
	cr_assert_leq(last_index(s, 1), logged + 1, "member 0 may have said so");
	report(s, last, logged);
	cr_assert_gt(last_index(s, 1), logged, "its mark moves");
	scene_free(s);
}
