/* A member whom every node refuses before a word was said. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "node/member.h"
#include "node/protocol.h"
#include "wire/wire.h"

#define MS    ((uint64_t)1000000)
#define NODES 3

/* Nodes are nothing but their sessions' ends here. */
struct scene {
	struct member *member;
	void *memory;
	struct wire *node[NODES];
	struct endpoint at;
	struct endpoint node_at[NODES];
	bool dead[NODES];
	uint64_t now_ns;
	uint64_t timer_ns;
	uint8_t sent[NODES][2048];
	uint32_t sent_bytes[NODES];
	bool started;
	enum member_refusal refusal;
};

static void
emit(void *context, const struct member_output *o)
{
	struct scene *s = context;

	if (o->kind == MEMBER_OUT_TIMER)
		s->timer_ns = o->at_ns;
	if (o->kind == MEMBER_OUT_STARTED) {
		s->started = true;
		s->refusal = o->refusal;
	}
	if (o->kind != MEMBER_OUT_SEND)
		return;
	for (uint32_t i = 0; i < NODES; i++) {
		if (!endpoint_equal(&o->to, &s->node_at[i]))
			continue;
		cr_assert_leq(o->bytes, sizeof s->sent[i]);
		memcpy(s->sent[i], o->data, o->bytes);
		s->sent_bytes[i] = o->bytes;
	}
}

static void
step(struct scene *s, struct member_input in)
{
	in.now_ns = s->now_ns;
	member_step(s->member, &in, &(struct member_sink){.context = s, .emit = emit});
}

/* What the member said, to the nodes; what they answer, to the member. */
static void
carry(struct scene *s)
{
	for (uint32_t i = 0; i < NODES; i++) {
		struct wire_packet p;
		struct wire_event e;

		if (s->sent_bytes[i] > 0 && !s->dead[i])
			wire_receive(s->node[i], &s->at, s->sent[i], s->sent_bytes[i], s->now_ns);
		s->sent_bytes[i] = 0;
		while (wire_next_event(s->node[i], &e))
			;
		while (wire_next_packet(s->node[i], &p, s->now_ns))
			step(s, (struct member_input){.kind = MEMBER_IN_PACKET,
						      .from = s->node_at[i],
						      .data = p.data,
						      .bytes = (uint32_t)p.bytes});
	}
}

static void
run(struct scene *s, uint64_t for_ns)
{
	uint64_t end_ns = s->now_ns + for_ns;

	while (s->now_ns < end_ns && !s->started) {
		s->now_ns += MS;
		if (s->now_ns >= s->timer_ns)
			step(s, (struct member_input){.kind = MEMBER_IN_TICK});
		carry(s);
	}
}

static struct scene *
scene(const uint32_t version[NODES])
{
	static const uint8_t random[64] = {1, 2, 3};
	struct scene *s = calloc(1, sizeof *s);
	struct member_config c = {.node_count = NODES,
				  .server_uuid = {9},
				  .inflight_max = 16,
				  .transaction_bytes_max = 4096,
				  .submission_bytes = 65536,
				  .snapshot_entries_max = 1024,
				  .gtid_intervals_max = 64,
				  .datagram_bytes_max = 1400,
				  .stream_bytes = 32768,
				  .session_dead_ns = 200 * MS,
				  .retry_ns = 20 * MS,
				  .progress_ns = 20 * MS};
	struct member_start start = {
		.group_uuid = {7}, .host = "host", .process = 1, .block_size = 1};

	s->at = endpoint_from_ipv4(0x0a000009, 3306);
	for (uint32_t i = 0; i < NODES; i++) {
		struct wire_config w = {.sessions_max = 4,
					.datagram_bytes_max = 1400,
					.message_bytes_max = 4096,
					.keepalive_ns = 40 * MS,
					.dead_after_ns = 200 * MS,
					.connect_retry_ns = 20 * MS,
					.self = {.kind = WIRE_NODE,
						 .node = i,
						 .uuid = {(uint8_t)(i + 1)},
						 .process = 1,
						 .epoch = {5},
						 .version = version[i]}};
		s->node_at[i] = c.endpoint[i] = endpoint_from_ipv4(0x0a000001 + i, 4000);
		s->node[i] = wire_init(aligned_alloc(64, (wire_size(&w) + 63) / 64 * 64), &w);
		wire_random(s->node[i], random, sizeof random);
	}
	size_t bytes = (member_size(&c) + 63) / 64 * 64;
	s->memory = aligned_alloc(64, bytes);
	memset(s->memory, 0, bytes);
	s->member = member_init(s->memory, &c);
	s->now_ns = MS;
	step(s, (struct member_input){
			.kind = MEMBER_IN_RANDOM, .data = random, .bytes = sizeof random});
	step(s, (struct member_input){.kind = MEMBER_IN_START, .start = &start});
	return s;
}

static void
scene_free(struct scene *s)
{
	for (uint32_t i = 0; i < NODES; i++)
		free(s->node[i]);
	free(s->memory);
	free(s);
}

Test(node_member_refused, all_nodes_are_of_another_version)
{
	static const uint32_t version[NODES] = {77, 77, 77};
	struct scene *s = scene(version);

	run(s, 1000 * MS);
	cr_assert(s->started);
	cr_assert_eq(s->refusal, MEMBER_REFUSED_VERSION);
	const struct wire_stats *w = wire_stats(s->node[1]);
	cr_assert_gt(w->other_versions, 0);
	cr_assert_eq(w->other_version, PROTOCOL_VERSION);
	cr_assert(endpoint_equal(&w->other_version_from, &s->at));
	scene_free(s);
}

Test(node_member_refused, a_node_that_is_down_does_not_hide_the_reason)
{
	static const uint32_t version[NODES] = {77, 77, 77};
	struct scene *s = scene(version);

	s->dead[1] = true;
	run(s, 2000 * MS);
	cr_assert(s->started);
	cr_assert_eq(s->refusal, MEMBER_REFUSED_VERSION);
	scene_free(s);
}

Test(node_member_refused, one_node_of_this_version_is_found)
{
	static const uint32_t version[NODES] = {77, 77, PROTOCOL_VERSION};
	struct scene *s = scene(version);

	run(s, 300 * MS);
	cr_assert(!s->started, "it waits for what that node says");
	cr_assert_eq(wire_stats(s->node[2])->sessions_opened, 1);
	scene_free(s);
}
