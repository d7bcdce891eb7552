/* Barriers, at three nodes: what a member is told behind one, and when. */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "node/internal.h"
#include "tests/node/ends.h"

#define SETTLED_NS  (600 * MS)
#define INCARNATION 2

static struct node_config
config_of(uint8_t number)
{
	struct node_config c = {
		.node_count = ENDS,
		.self = number,
		.groups_max = 3,
		.members_max = 4,
		.inflight_max = 16,
		.index_hashes_max = 4096,
		.results_max = 64,
		.value_bytes_max = 10000,
		.values_max = 128,
		.horizon = 16,
		.datagram_bytes_max = 1400,
		.stream_bytes = 32768,
		.takeover_ns = 60 * MS,
		.retry_ns = 15 * MS,
		.tail_trust_ns = 100000 * MS,
		.session_dead_ns = 150 * MS,
		.gc_ns = 10 * MS,
		.expel_ns = 1000000 * MS,
	};
	for (uint8_t i = 0; i < ENDS; i++) {
		c.uuid[i][0] = (uint8_t)(i + 1);
		c.endpoint[i] = endpoint_from_ipv4(0x0a000001u + i, 4000);
	}
	memset(c.disk, 0xd0 + number, sizeof c.disk);
	return c;
}

static struct node_group *
group_of(uint8_t number)
{
	return node_group_by_number(end[number].node, 1);
}

static void
setup(void)
{
	static const uint8_t uuid[UUID_BYTES] = {9};
	struct entry create = {.kind = ENTRY_CREATE,
			       .create = {.config = {.block_size = 1000000,
						     .index_hashes_max = 4096,
						     .inflight_max = 16,
						     .members_max = 4,
						     .protocol = PROTOCOL_VERSION}}};

	ends_begin();
	for (uint8_t i = 0; i < ENDS; i++)
		live(i, PAXOS_TAIL_CLEAN);
	run(SETTLED_NS);
	memcpy(create.create.group_uuid, uuid, UUID_BYTES);
	node_directory_found(end[0].node, uuid);
	give(0, (struct node_input){.kind = NODE_IN_TICK});
	run(SETTLED_NS);
	cr_assert(node_group_submit_entry(end[0].node, group_of(0), &create));
	give(0, (struct node_input){.kind = NODE_IN_TICK});
	run(SETTLED_NS);
	cr_assert(node_group_leads(end[0].node, group_of(0)));
}

TestSuite(node_barrier, .init = setup, .fini = ends_finish);

/* A member at node 0 that has nothing else to say, and whose session ends with the answer, since
 * nobody is there to take it. */
static struct node_session *
asks(uint32_t member)
{
	struct node *n = end[0].node;
	int session = (int)(n->session_count - 1 - member);
	struct node_session *s = &n->session[session];

	cr_assert_eq(s->stage, SESSION_NONE);
	s->stage = SESSION_ATTACHED;
	n->attached_count++;
	s->group = 1;
	s->incarnation = INCARNATION + member;
	s->feed_next = UINT64_MAX;
	s->feed_told = UINT64_MAX;
	node_barrier_wanted(
		n, session,
		&(struct protocol_message){.incarnation = s->incarnation, .sequence = 1});
	end[0].timer_ns = now_ns;
	return s;
}

static bool
is_answered(const struct node_session *s)
{
	return s->stage == SESSION_NONE;
}

Test(node_barrier, it_is_answered_when_a_majority_was_asked)
{
	struct node_session *s = asks(0);

	run(LATENCY_NS);
	cr_assert(!is_answered(s));
	stop(2);
	run(4 * LATENCY_NS);
	cr_assert(is_answered(s));
}

Test(node_barrier, who_hears_nobody_has_no_answer)
{
	lose_every = 1;
	struct node_session *s = asks(0);

	run(2 * SETTLED_NS);
	cr_assert(!is_answered(s));
	lose_every = 0;
	run(SETTLED_NS);
	cr_assert(is_answered(s), "it asks again");
}

/* What the survey under way was told may be older than the second one's question. */
Test(node_barrier, who_asks_amid_a_survey_waits_for_the_next)
{
	struct node_session *first = asks(0);

	run(LATENCY_NS);
	struct node_session *second = asks(1);
	uint64_t number = group_of(0)->barrier.number;
	for (uint32_t i = 0; i < 20 && !is_answered(first); i++)
		run(LATENCY_NS);
	cr_assert(is_answered(first));
	cr_assert(!is_answered(second));
	cr_assert_eq(group_of(0)->barrier.number, number + 1);
	run(4 * LATENCY_NS);
	cr_assert(is_answered(second));
}

/* Of a slot that a minority accepted who leads now need not know: others say that they wait for it,
 * and it has nothing to propose. */
Test(node_barrier, what_was_left_over_is_passed)
{
	struct node_group *g = group_of(0);
	struct protocol_message survey = {
		.kind = PROTOCOL_SURVEY, .group = 1, .sequence = 1, .index = g->delivered_slot + 5};
	uint8_t bytes[256];
	struct writer w = writer_over(bytes, sizeof bytes);
	struct frame frame;

	cr_assert_gt(protocol_encode(&survey, end[0].node->config.epoch, &w), 0);
	cr_assert(frame_decode(&frame, bytes, w.bytes));
	node_barrier_message(end[0].node, 1, &frame, bytes, (uint32_t)w.bytes);
	end[0].timer_ns = now_ns;
	run(20 * LATENCY_NS);
	cr_assert_eq(g->delivered_slot, survey.index);
	cr_assert_eq(group_of(1)->delivered_slot, survey.index);
}

/* It may have voted on what it does not remember. */
Test(node_barrier, who_is_in_doubt_does_not_answer)
{
	cr_assert_gt(paxos_highest(group_of(1)->replica), 0);
	stop(1);
	stop(2);
	run(LATENCY_NS);
	live(1, PAXOS_TAIL_CUT);
	struct node_session *s = asks(0);
	run(SETTLED_NS);
	cr_assert_eq(paxos_highest(group_of(1)->replica), 0);
	cr_assert(!is_answered(s));
	live(2, PAXOS_TAIL_CLEAN);
	run(SETTLED_NS);
	cr_assert_gt(paxos_highest(group_of(1)->replica), 0);
	cr_assert(is_answered(s));
}
