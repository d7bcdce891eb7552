/* State images: rounds of them, what may be dropped behind one, and how a node that lacks
 * what was dropped takes another's, with datagrams lost and lives that end in between. */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "certify/group_state.h"
#include "node/internal.h"
#include "tests/node/ends.h"

#define SETTLED_NS  (600 * MS)
#define IMAGE_BYTES 60000
#define LAG_NS      (2000 * MS)
#define SERVERS     4

static uint64_t sequence, incarnation;
static bool joins[ENDS];              /* knows nobody's votes when it begins */
static struct node_forced into[ENDS]; /* an epoch in which it begins, with another disk */

static struct node_config
config_of(uint8_t number)
{
	struct node_config c = {
		.node_count = ENDS,
		.self = number,
		.joins = joins[number],
		.groups_max = 3,
		.members_max = SERVERS,
		.inflight_max = 16,
		.index_hashes_max = 4096,
		.results_max = 64,
		.history_row = 8,
		.history_links = 4,
		.history_blocks = 64,
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
		.image_bytes = IMAGE_BYTES,
		.expel_ns = 1000000 * MS,
		.lag_ns = LAG_NS,
	};
	for (uint8_t i = 0; i < ENDS; i++) {
		c.uuid[i][0] = (uint8_t)(i + 1);
		c.endpoint[i] = endpoint_from_ipv4(0x0a000001u + i, 4000);
	}
	c.forced = into[number];
	memset(c.disk, 0xd0 + number + (into[number].number > 0 ? ENDS : 0), sizeof c.disk);
	return c;
}

static struct node_group *
group_of(uint8_t number)
{
	return node_group_by_number(end[number].node, 1);
}

/* By whoever leads. */
static void
order(const struct entry *entry)
{
	for (uint32_t i = 0; i < 200; i++) {
		for (uint8_t k = 0; k < ENDS; k++) {
			struct end *e = &end[k];

			if (!e->node || e->ended || !group_of(k) ||
			    !node_group_submit_entry(e->node, group_of(k), entry))
				continue;
			give(k, (struct node_input){.kind = NODE_IN_TICK});
			run(4 * LATENCY_NS);
			return;
		}
		run(10 * MS);
	}
	cr_assert(false, "nobody leads");
}

static void
transactions(uint32_t count)
{
	uint8_t hash[4 * ENTRY_HASH_BYTES];
	static const uint8_t payload[200] = "payload";

	for (uint32_t i = 0; i < count; i++) {
		sequence++;
		for (uint32_t k = 0; k < 4; k++)
			bytes_put_u64(hash + 8 * k, 0x9e3779b97f4a7c14u * (4 * sequence + k) & ~1u);
		order(&(struct entry){.kind = ENTRY_SUBMIT,
				      .submit = {.incarnation = incarnation,
						 .session = 1,
						 .sequence = sequence,
						 .floor = sequence,
						 .gtid_spec = GTID_AUTOMATIC,
						 .hashes = hash,
						 .hash_count = 4,
						 .payload = payload,
						 .payload_bytes = sizeof payload}});
	}
}

/* The member says that it has all so far on its disk. */
static void
committed(void)
{
	uint64_t index = 0;

	for (uint8_t i = 0; i < ENDS; i++)
		if (end[i].node && !node_group_loads(group_of(i)) &&
		    group_applied(group_of(i)->state) > index)
			index = group_applied(group_of(i)->state);
	order(&(struct entry){.kind = ENTRY_PROGRESS,
			      .progress = {.incarnation = incarnation,
					   .floor = sequence + 1,
					   .mark_low = 1,
					   .committed = index,
					   .ready = true}});
}

static void
found(void)
{
	static const uint8_t uuid[UUID_BYTES] = {9};
	struct entry create = {.kind = ENTRY_CREATE,
			       .create = {.config = {.block_size = 1000000,
						     .index_hashes_max = 4096,
						     .inflight_max = 16,
						     .members_max = SERVERS,
						     .protocol = PROTOCOL_VERSION}}};

	memcpy(create.create.group_uuid, uuid, UUID_BYTES);
	node_directory_found(end[0].node, uuid);
	give(0, (struct node_input){.kind = NODE_IN_TICK});
	run(SETTLED_NS);
	cr_assert(group_of(0) && group_of(1) && group_of(2));
	order(&create);
	order(&(struct entry){.kind = ENTRY_JOIN,
			      .join = {.server_uuid = {7}, .nonce = {3}, .host = ""}});
	order(&(struct entry){.kind = ENTRY_ATTACH,
			      .attach = {.incarnation = incarnation, .session = 1}});
}

static void
setup(void)
{
	ends_begin();
	sequence = 0;
	incarnation = 2;
	for (uint8_t i = 0; i < ENDS; i++)
		live(i, PAXOS_TAIL_CLEAN);
	run(SETTLED_NS);
	found();
}

TestSuite(node_image, .init = setup, .fini = ends_finish);

static void
expect_equal(void)
{
	for (uint8_t i = 0; i < ENDS; i++) {
		cr_assert(!end[i].ended);
		cr_assert(!node_group_loads(group_of(i)));
		cr_assert_eq(group_applied(group_of(i)->state), group_applied(group_of(0)->state),
			     "node %d", i);
		cr_assert_eq(group_digest(group_of(i)->state), group_digest(group_of(0)->state));
		cr_assert_eq(group_index_hashes(group_of(i)->state),
			     group_index_hashes(group_of(0)->state));
		cr_assert(gtid_set_contains_set(group_executed(group_of(i)->state),
						group_executed(group_of(0)->state)));
	}
}

/* More than two rounds of it, all of which the member has. */
static void
fill(void)
{
	for (uint32_t i = 0; i < 12; i++) {
		transactions(20);
		committed();
	}
	run(SETTLED_NS);
	committed();
	run(SETTLED_NS);
}

static bool
anybody_dropped(void)
{
	return end[0].dropped > 0 || end[1].dropped > 0 || end[2].dropped > 0;
}

Test(node_image, a_log_goes_on_from_an_image)
{
	fill();
	for (uint8_t i = 0; i < ENDS; i++)
		cr_assert_gt(end[i].dropped, IMAGE_BYTES);
	for (uint8_t i = 0; i < ENDS; i++) {
		stop(i);
		live(i, PAXOS_TAIL_CUT);
		cr_assert_eq(end[i].images, 2, "of both groups");
	}
	run(SETTLED_NS);
	transactions(5);
	run(SETTLED_NS);
	expect_equal();
}

/* Files are given back as a whole: what the log begins with is older than the image, and may
 * be a part of an older round, or all of it and what came before. */
Test(node_image, a_log_begins_in_front_of_its_image)
{
	fill();
	for (coarse = 300; coarse < 2 * IMAGE_BYTES; coarse += coarse / 3) {
		cr_assert_gt(end[0].dropped, IMAGE_BYTES);
		for (uint8_t i = 0; i < ENDS; i++) {
			stop(i);
			live(i, PAXOS_TAIL_CUT);
			cr_assert(!end[i].ended);
		}
		run(SETTLED_NS);
		transactions(20);
		committed();
		run(SETTLED_NS);
		expect_equal();
		for (uint32_t i = 0; i < 4; i++) {
			transactions(20);
			committed();
		}
		run(SETTLED_NS);
	}
}

static bool
any_waits(void)
{
	struct node_image_status status;

	node_image_status(end[0].node, &status);
	cr_assert_eq(status.slowed, group_of(0)->submits_held);
	return group_of(0)->submits_held;
}

/* What is left is for what frees room: a member's report is ordered, and the round behind
 * which it is freed is written. */
Test(node_image, submissions_wait_for_room_and_nothing_else_does)
{
	for (uint32_t i = 0; i < 6; i++)
		transactions(20);
	run(SETTLED_NS);
	cr_assert(!any_waits());
	room = 2 * IMAGE_BYTES;
	run(SETTLED_NS);
	cr_assert(!any_waits());
	room = 2 * IMAGE_BYTES - 1;
	run(SETTLED_NS);
	cr_assert(any_waits());
	cr_assert(!anybody_dropped());
	committed();
	run(SETTLED_NS);
	cr_assert(anybody_dropped());
	cr_assert(any_waits());
	room = 2 * IMAGE_BYTES;
	run(SETTLED_NS);
	cr_assert(!any_waits());
}

/* A payload was being received when the last round was used, and ended since. While submissions
 * wait nothing else may come, and no round would ever be due. */
Test(node_image, what_a_payload_held_back_is_dropped_when_room_is_short)
{
	fill();
	for (uint8_t i = 0; i < ENDS; i++)
		end[i].node->lsn_first -= 1000;
	uint64_t was = end[0].dropped;
	run(4 * SETTLED_NS);
	cr_assert_eq(end[0].dropped, was, "there is room");
	room = 2 * IMAGE_BYTES - 1;
	run(SETTLED_NS);
	committed();
	run(SETTLED_NS);
	for (uint8_t i = 0; i < ENDS; i++)
		cr_assert_gt(end[i].dropped, was);
	was = end[0].dropped;
	uint64_t bytes = end[0].bytes;
	run(4 * SETTLED_NS);
	cr_assert_eq(end[0].dropped, was, "once");
	cr_assert_lt(end[0].bytes - bytes, 2000);
	expect_equal();
}

/* Another server, which commits nothing. Answers its incarnation. */
static uint64_t
join(uint8_t server)
{
	order(&(struct entry){.kind = ENTRY_JOIN,
			      .join = {.server_uuid = {server}, .nonce = {3}, .host = ""}});
	run(SETTLED_NS);
	uint64_t index = group_applied(group_of(0)->state);
	order(&(struct entry){.kind = ENTRY_ATTACH,
			      .attach = {.incarnation = index, .session = 1}});
	run(SETTLED_NS);
	return index;
}

static void
committed_by(uint64_t of)
{
	uint64_t own = incarnation, last = sequence;

	incarnation = of;
	sequence = 0;
	committed();
	incarnation = own;
	sequence = last;
}

static uint32_t
alive(void)
{
	struct node_group_status status;

	cr_assert(node_group_status(end[0].node, 1, &status));
	return status.member_count;
}

/* It has a session, as far as the others know, and does not commit. */
Test(node_image, who_makes_all_wait_for_long_is_expelled)
{
	uint64_t second = join(8), third = join(10);

	cr_assert_eq(alive(), 3);
	for (uint32_t i = 0; i < 6; i++)
		transactions(20);
	committed();
	run(2 * LAG_NS);
	cr_assert_eq(alive(), 3, "while there is room nobody is");
	room = IMAGE_BYTES / 2;
	run(2 * LAG_NS);
	cr_assert_eq(alive(), 3, "nor while only one has committed it");
	committed_by(second);
	run(LAG_NS / 2);
	cr_assert_eq(alive(), 3, "nor at once");
	run(2 * LAG_NS);
	cr_assert_eq(alive(), 2);
	cr_assert(!group_incarnation(group_of(0)->state, third) ||
		  !group_member_alive(group_incarnation(group_of(0)->state, third)));
	committed();
	committed_by(second);
	run(SETTLED_NS);
	cr_assert(anybody_dropped());
}

static bool
leader_waits(void)
{
	for (uint8_t i = 0; i < ENDS; i++)
		if (end[i].node && node_group_leads(end[i].node, group_of(i)))
			return group_of(i)->submits_held;
	cr_assert(false, "nobody leads");
	return false;
}

/* Full it would hear nothing any more, and with it went the majority. */
Test(node_image, submissions_wait_for_room_where_others_follow)
{
	cr_assert(node_group_leads(end[0].node, group_of(0)));
	room_of[2] = IMAGE_BYTES;
	run(LAG_NS / 4);
	cr_assert(!leader_waits(), "it has a reserve");
	room_of[2] = IMAGE_BYTES - 1;
	run(LAG_NS / 4);
	cr_assert(leader_waits());
	run(2 * LAG_NS);
	cr_assert(!leader_waits(), "the others are a majority without it");
	stop(1);
	run(SETTLED_NS);
	cr_assert(leader_waits());
	run(2 * LAG_NS);
	cr_assert(leader_waits(), "they are not");
	room_of[2] = 0;
	run(SETTLED_NS);
	cr_assert(!leader_waits());
	room_of[2] = 1;
	run(SETTLED_NS);
	cr_assert(leader_waits());
	live(1, PAXOS_TAIL_CUT);
	stop(2);
	run(SETTLED_NS);
	cr_assert(!leader_waits(), "a link that broke ends it");
	transactions(1);
}

/* Of three members one has committed nothing of what is in the log. */
static void
one_lags(void)
{
	uint64_t second = join(8);

	(void)join(10);
	for (uint32_t i = 0; i < 6; i++)
		transactions(20);
	committed();
	committed_by(second);
	run(SETTLED_NS);
}

/* Its round covers what no transaction is in, which nobody else waits for. */
Test(node_image, who_lags_behind_the_round_of_one_that_follows_is_expelled)
{
	one_lags();
	for (uint8_t i = 0; i < ENDS; i++) {
		struct node *n = end[i].node;

		if (i != 2) /* as if its log had grown later */
			n->images.whole_lsn = 0;
	}
	cr_assert_neq(end[2].node->images.whole_lsn, 0);
	cr_assert_eq(alive(), 3);
	room_of[2] = IMAGE_BYTES / 4;
	run(3 * LAG_NS);
	cr_assert_eq(alive(), 2);
}

/* A group that this node leads. */
static void
lead_another(uint8_t number)
{
	const struct paxos_configuration *c = paxos_configuration(end[0].node->group[0].replica);
	struct node_founding f = {.uuid = {10}, .voters = c->voters, .leader = number};
	uint8_t bytes[256];
	struct writer w = writer_over(bytes, sizeof bytes);

	f.number = c->number;
	f.horizon = (uint8_t)c->horizon;
	writer_u8(&w, DIRECTORY_FOUND);
	node_directory_write(&f, &w);
	cr_assert(node_group_leads(end[0].node, &end[0].node->group[0]));
	cr_assert(node_group_submit(end[0].node, &end[0].node->group[0], bytes, (uint32_t)w.bytes));
	give(0, (struct node_input){.kind = NODE_IN_TICK});
	run(SETTLED_NS);
	const struct node_group *g = node_group_by_uuid(end[number].node, f.uuid);
	cr_assert(g && node_group_leads(end[number].node, g));
}

/* What it leads waits for its own log, whose round waits for a member of a group that another node
 * leads, and in which nothing happens any more: no report of that one was logged, and none was
 * expelled. */
Test(node_image, a_group_in_which_nothing_happens_holds_up_no_other)
{
	one_lags();
	for (uint8_t i = 0; i < 2; i++) { /* as if its log had grown later */
		end[i].node->images.whole_lsn = 0;
		end[i].node->images.from_lsn = end[i].node->lsn_next;
	}
	room_of[2] = 2 * IMAGE_BYTES - 1;
	run(3 * LAG_NS);
	cr_assert_eq(node_room_awaited(end[0].node, group_of(0)).last, 0);
	cr_assert_eq(alive(), 3, "it leads nothing");
	lead_another(2);
	cr_assert_eq(node_room_awaited(end[0].node, group_of(0)).last, group_of(2)->image_index);
	cr_assert(!leader_waits());
	run(2 * LAG_NS);
	cr_assert_eq(alive(), 2);
	room_of[2] = 2 * IMAGE_BYTES;
	run(SETTLED_NS);
	cr_assert_eq(node_room_awaited(end[0].node, group_of(0)).last, 0);
}

/* As with one commit in each block of a disk. */
Test(node_image, small_records_that_fill_a_disk_are_dropped)
{
	transactions(10);
	committed();
	run(SETTLED_NS);
	cr_assert(!anybody_dropped());
	disk_times = 20;
	transactions(10);
	committed();
	run(SETTLED_NS);
	committed();
	run(SETTLED_NS);
	cr_assert_lt(end[0].bytes, IMAGE_BYTES, "%lu", (unsigned long)end[0].bytes);
	cr_assert_gt(end[0].dropped, 0);
}

/* Nobody has changed the voters: it does not know them yet. */
Test(node_image, the_log_of_one_that_joined_goes_on_from_an_image)
{
	ends_finish();
	joins[2] = true;
	setup();
	fill();
	cr_assert_gt(end[2].dropped, IMAGE_BYTES);
	cr_assert_eq(paxos_voters(end[2].node->group[0].replica), 0);
	stop(2);
	live(2, PAXOS_TAIL_CUT);
	cr_assert_eq(end[2].images, 2, "of both groups");
	run(SETTLED_NS);
	transactions(5);
	run(SETTLED_NS);
	expect_equal();
}

/* It votes nowhere any more, and has nothing to write of a group that others begin. */
Test(node_image, a_group_begins_while_a_log_has_failed)
{
	static const uint8_t uuid[UUID_BYTES] = {11};

	uint64_t bytes = end[2].bytes;

	node_directory_found(end[0].node, uuid);
	give(0, (struct node_input){.kind = NODE_IN_TICK});
	for (uint32_t i = 0; i < 1000 && end[2].told == bytes; i++)
		run(LATENCY_NS);
	cr_assert_gt(end[2].told, bytes, "it has accepted the entry");
	cr_assert(!node_group_by_uuid(end[2].node, uuid), "and does not know that it is decided");
	give(2, (struct node_input){.kind = NODE_IN_LOG_FAILED});
	end[2].failed = true;
	run(SETTLED_NS);
	cr_assert(node_group_by_uuid(end[0].node, uuid) && node_group_by_uuid(end[1].node, uuid));
	cr_assert(!node_group_by_uuid(end[2].node, uuid));
	transactions(5);
	stop(2);
	end[2].failed = false;
	live(2, PAXOS_TAIL_CUT);
	run(SETTLED_NS);
	cr_assert(node_group_by_uuid(end[2].node, uuid));
	expect_equal();
}

Test(node_image, nothing_is_dropped_that_a_member_lacks)
{
	uint64_t log;

	for (uint32_t i = 0; i < 12; i++)
		transactions(20);
	log = end[0].bytes;
	run(SETTLED_NS);
	cr_assert_gt(log, 2 * IMAGE_BYTES);
	cr_assert(!anybody_dropped());
	struct node_image_status status;
	node_image_status(end[0].node, &status);
	cr_assert_eq(status.round, NODE_ROUND_MEMBERS);
	cr_assert_eq(status.group, 1);
	cr_assert_eq(status.member[0], 7);
	cr_assert_lt(status.committed, status.index);
	committed();
	run(SETTLED_NS);
	cr_assert_gt(end[0].dropped, 0);
	node_image_status(end[0].node, &status);
	cr_assert_eq(status.trimmed_lsn, end[0].dropped);
	cr_assert_geq(status.used, 1);
}

/* As when its last member has left and had not committed all: nobody may have it. */
Test(node_image, nothing_is_dropped_while_nobody_is_connected_who_has_it)
{
	transactions(20);
	committed();
	transactions(220);
	order(&(struct entry){.kind = ENTRY_EXPEL,
			      .expel = {.incarnation = incarnation,
					.session = UINT64_MAX,
					.reason = EXPEL_ADMIN}});
	run(SETTLED_NS);
	cr_assert_gt(end[0].bytes, 2 * IMAGE_BYTES);
	cr_assert(!anybody_dropped());
}

static void
catch_up(uint8_t number, uint8_t as)
{
	for (uint32_t i = 0; i < 40; i++) {
		run(SETTLED_NS);
		if (group_of(number) &&
		    group_applied(group_of(number)->state) == group_applied(group_of(as)->state))
			return;
	}
}

/* Nothing compares the nodes but the images: no horizon moves. */
Test(node_image, a_picture_of_memory_that_rots_is_of_no_use)
{
	group_of(0)->state->digest ^= 1;
	fill();
	cr_assert(end[0].ended, "it differs");
	cr_assert_eq(end[0].dropped, 0);
	cr_assert_gt(end[1].dropped, 0);
	live(0, PAXOS_TAIL_CUT);
	catch_up(0, 1);
	expect_equal();
}

/* Its process ended because it differs; files go as a whole, so the log of a later one begins in
 * front of that round, which is whole. */
Test(node_image, a_log_that_begins_with_a_picture_of_rotten_memory_goes_on_behind_it)
{
	struct node_image_status status;

	group_of(0)->state->digest ^= 1;
	for (uint32_t i = 0; i < 12; i++)
		transactions(20);
	run(SETTLED_NS);
	node_image_status(end[0].node, &status);
	cr_assert_eq(status.round, NODE_ROUND_MEMBERS, "a whole one");
	committed();
	run(SETTLED_NS);
	cr_assert(end[0].ended, "it differs");
	live(0, PAXOS_TAIL_CUT);
	catch_up(0, 1);
	uint64_t rotten = end[0].bytes;
	for (uint32_t i = 0; i < 4; i++)
		fill();
	cr_assert_gt(end[0].dropped, rotten);
	coarse = end[0].dropped - 1000;
	stop(0);
	live(0, PAXOS_TAIL_CUT);
	cr_assert_gt(end[0].dropped, 0);
	run(SETTLED_NS);
	cr_assert(!end[0].ended);
	expect_equal();
}

/* And the disk lost all behind that round, though it had said that it holds it. */
Test(node_image, a_log_that_ends_with_a_picture_of_rotten_memory_is_learned_anew)
{
	group_of(0)->state->digest ^= 1;
	for (uint32_t i = 0; i < 12; i++)
		transactions(20);
	run(SETTLED_NS);
	committed();
	run(SETTLED_NS);
	cr_assert(end[0].ended, "it differs");
	uint64_t rotten = end[0].bytes;
	live(0, PAXOS_TAIL_CUT);
	catch_up(0, 1);
	for (uint32_t i = 0; i < 4; i++)
		fill();
	cr_assert_gt(end[0].dropped, rotten);
	coarse = end[0].dropped - 1000;
	stop(0);
	end[0].bytes = rotten;
	for (uint32_t life = 0; life < 2; life++) {
		live(0, PAXOS_TAIL_CUT);
		cr_assert_gt(end[0].dropped, 0);
		catch_up(0, 1);
		cr_assert(!end[0].ended);
		expect_equal();
		transactions(5);
		coarse = 0;
		stop(0);
	}
}

static void
fall_behind(uint8_t number)
{
	stop(number);
	run(SETTLED_NS);
	fill();
	for (uint8_t i = 0; i < ENDS; i++)
		if (i != number)
			cr_assert_gt(end[i].dropped, IMAGE_BYTES);
}

Test(node_image, who_lacks_what_was_dropped_takes_an_image)
{
	fall_behind(2);
	live(2, PAXOS_TAIL_CUT);
	catch_up(2, 0);
	expect_equal();
	cr_assert_gt(end[2].images, 0);
	/* And has it in its own log. */
	stop(2);
	live(2, PAXOS_TAIL_CUT);
	run(SETTLED_NS);
	transactions(5);
	run(SETTLED_NS);
	expect_equal();
}

/* The record that says where they lie is behind the image. Who asks has no other way to go on. */
Test(node_image, whose_payload_was_dropped_is_offered_an_image)
{
	struct node_sink sink = {.context = &end[0], .emit = emit};
	struct node_read read = {
		.purpose = READ_LIST_FOR_NODE, .group = 1, .number = 3, .voter = 2};
	uint8_t body[256], lsn[8];
	struct writer w = writer_over(body, sizeof body);

	fill();
	bytes_put_u64(lsn, end[0].node->lsn_first);
	spread_settled_encode(&(struct spread_settled){.incarnation = incarnation,
						       .offer = 1,
						       .index = 5,
						       .number = 3,
						       .total = 2000,
						       .chunk_bytes = 2000,
						       .count = 1,
						       .lsn = lsn},
			      &w);
	cr_assert(!w.bad);
	cr_assert_lt(end[0].node->giving[2].offered_ns, now_ns - MS);
	sender = 0;
	give(0, (struct node_input){.kind = NODE_IN_TICK});
	end[0].node->sink = &sink;
	end[0].node->serving[2].reading = true;
	node_move_read(end[0].node, &read, body, (uint32_t)w.bytes);
	end[0].node->sink = NULL;
	cr_assert(!end[0].node->serving[2].reading);
	cr_assert_eq(end[0].node->giving[2].offered_ns, now_ns);
}

/* One datagram in five is lost; both lives end once for each part. */
Test(node_image, it_comes_through_losses_and_restarts)
{
	uint32_t lives = 0, next = UINT32_MAX;

	fall_behind(2);
	live(2, PAXOS_TAIL_CUT);
	lose_every = 5;
	for (uint32_t i = 0; i < 20000 && lives < 6; i++) {
		struct node *n = end[2].node;

		run(LATENCY_NS);
		if (!n->taking.active || n->taking.next == next)
			continue;
		next = n->taking.next;
		uint8_t ends = lives % 2 == 0 ? 2 : n->taking.source;
		stop(ends);
		live(ends, PAXOS_TAIL_CUT);
		if (ends == 2 && next > 0) {
			cr_assert(end[2].node->taking.active, "it goes on");
			cr_assert_leq(next, end[2].node->taking.next + 1);
		}
		lives++;
	}
	cr_assert_geq(lives, 3);
	lose_every = 0;
	catch_up(2, 0);
	run(SETTLED_NS);
	expect_equal();
}

/* What it took cannot be read back: it has no state, and takes another image. */
Test(node_image, a_bad_part_is_refused)
{
	fall_behind(2);
	live(2, PAXOS_TAIL_CUT);
	for (uint32_t i = 0; i < 20000 && spoil_lsn == 0; i++) {
		const struct node *n = end[2].node;
		const struct node_image *coming = &group_of(2)->coming;

		run(LATENCY_NS);
		if (n->taking.active && n->taking.group == 1 && coming->count > 1)
			spoil_lsn = coming->part[1].lsn;
	}
	cr_assert_gt(spoil_lsn, 0);
	catch_up(2, 0);
	run(SETTLED_NS);
	expect_equal();
}

/* The log begins with half a round. */
Test(node_image, a_log_without_its_begin_is_learned_anew)
{
	fill();
	stop(2);
	end[2].bytes = end[2].dropped;
	for (uint32_t i = 0; i < 4; i++) {
		struct frame frame = {0};
		uint64_t at = end[2].bytes;

		cr_assert(frame_decode(&frame, end[2].log + at, LOG_BYTES - at));
		end[2].bytes += frame.frame_bytes;
	}
	live(2, PAXOS_TAIL_MISSING);
	catch_up(2, 0);
	run(SETTLED_NS);
	expect_equal();
	transactions(5);
	stop(2);
	live(2, PAXOS_TAIL_CUT);
	run(SETTLED_NS);
	expect_equal();
}

/* Its log begins with half a round, and its process with nothing. Another one finds the file in
 * front of that, and in it the round as a whole: were it to go on with that, it would have nothing
 * to learn, and a later one that begins with the half again would lack what that did not log. */
Test(node_image, what_a_replay_lost_is_lost_to_every_later_one)
{
	fill();
	stop(2);
	uint64_t whole = end[2].dropped, part = whole;
	for (uint32_t i = 0; i < 4; i++) {
		struct frame frame = {0};

		cr_assert(frame_decode(&frame, end[2].log + part, LOG_BYTES - part));
		part += frame.frame_bytes;
	}
	end[2].dropped = part;
	live(2, PAXOS_TAIL_MISSING);
	cr_assert_eq(end[2].node->group[0].applied_slot, 0);
	stop(2);
	end[2].dropped = whole;
	live(2, PAXOS_TAIL_CUT);
	cr_assert_eq(end[2].node->group[0].applied_slot, 0);
	catch_up(2, 0);
	run(SETTLED_NS);
	expect_equal();
	transactions(5);
	stop(2);
	end[2].dropped = part;
	live(2, PAXOS_TAIL_CUT);
	run(SETTLED_NS);
	expect_equal();
}

/* Behind a hole all is void, up to HOLE, and a round that came behind that is what the log is kept
 * for. But files go as a whole: it begins amid what is void, where an earlier process had said that
 * it begins with nothing. That is void, too. */
Test(node_image, what_a_hole_has_made_void_begins_no_log)
{
	struct frame frame = {0};

	fill();
	stop(2);
	uint64_t whole = end[2].dropped, was = end[2].bytes, part = whole, last = whole;
	for (uint64_t lsn = whole; lsn < was; lsn += frame.frame_bytes) {
		cr_assert(frame_decode(&frame, end[2].log + lsn, LOG_BYTES - lsn));
		part = lsn < whole + 500 ? lsn : part;
		last = lsn;
	}
	end[2].dropped = part;
	live(2, PAXOS_TAIL_MISSING);
	cr_assert_eq(end[2].node->group[0].applied_slot, 0);
	stop(2);
	end[2].dropped = whole;
	end[2].rotten = last;
	live(2, PAXOS_TAIL_MISSING);
	cr_assert_gt(end[2].node->group[0].applied_slot, 0, "as far as the hole");
	uint64_t hole = end[2].bytes;
	run(SETTLED_NS);
	fill();
	cr_assert_gt(end[2].dropped, hole);
	stop(2);
	end[2].rotten = 0;
	end[2].dropped = was;
	live(2, PAXOS_TAIL_CUT);
	run(SETTLED_NS);
	expect_equal();
	transactions(5);
	run(SETTLED_NS);
	expect_equal();
}

static void
found_another(uint8_t uuid)
{
	uint8_t bytes[UUID_BYTES] = {uuid};

	for (uint8_t i = 0; i < ENDS; i++)
		if (end[i].node && node_group_leads(end[i].node, &end[i].node->group[0]))
			node_directory_found(end[i].node, bytes);
	give(0, (struct node_input){.kind = NODE_IN_TICK});
	run(SETTLED_NS);
}

static bool
anybody_leads(uint32_t number)
{
	for (uint8_t i = 0; i < ENDS; i++) {
		const struct node *n = end[i].node;

		if (n && node_group_by_number(n, number) &&
		    node_group_leads(n, node_group_by_number(n, number)))
			return true;
	}
	return false;
}

/* Two logs had a hole, one after the other, and each was settled: what begins later was in
 * neither. Two that doubt would wait for each other. */
Test(node_image, a_group_begins_where_two_had_holes)
{
	transactions(5);
	for (uint8_t i = 1; i < ENDS; i++) {
		stop(i);
		live(i, PAXOS_TAIL_MISSING);
		cr_assert_eq(paxos_doubt(group_of(i)->replica), PAXOS_TAIL_MISSING);
		run(4 * SETTLED_NS);
		cr_assert_eq(paxos_doubt(end[i].node->group[0].replica), PAXOS_TAIL_CLEAN);
		cr_assert_eq(paxos_doubt(group_of(i)->replica), PAXOS_TAIL_CLEAN);
	}
	found_another(0x22);
	cr_assert(anybody_leads(2));
	for (uint8_t i = 0; i < ENDS; i++) {
		stop(i);
		live(i, PAXOS_TAIL_CLEAN); /* each replays its HOLE */
	}
	run(SETTLED_NS);
	found_another(0x33);
	cr_assert(anybody_leads(2) && anybody_leads(3));
	expect_equal();
}

static void
expect_directory(uint8_t number)
{
	struct node *n = end[number].node;
	struct node_key key;

	cr_assert_null(node_group_by_number(n, 2), "it was dropped");
	cr_assert(node_group_by_number(n, 1) && node_group_by_number(n, 3));
	cr_assert_eq(node_group_by_number(n, 3)->uuid[0], 0x33);
	cr_assert_eq(n->group_count, 3);
	cr_assert_eq(n->directory.founded, 3);
	cr_assert_eq(n->directory.index, end[0].node->directory.index);
	cr_assert(node_listed_key(n, 0, &key));
	cr_assert_eq(key.key[0], 0xaa);
	cr_assert_eq(n->directory.key_count, 1);
}

/* Its few values are in no memory of the others then. */
static void
drop_group_0(void)
{
	fill();
	for (uint8_t i = 0; i < 2; i++) {
		cr_assert_gt(end[i].dropped, IMAGE_BYTES);
		stop(i);
		live(i, PAXOS_TAIL_CUT);
	}
}

/* What an image brings begins with a record. The node has nothing more to say, and goes on. */
Test(node_image, a_log_fails_while_an_image_is_loaded)
{
	struct end *e = &end[2];

	stop(2);
	found_another(0x22);
	drop_group_0();
	live(2, PAXOS_TAIL_CUT);
	for (uint32_t i = 0; i < 20000 && !e->node->loading.reading; i++)
		run(LATENCY_NS);
	const struct node_loading *l = &e->node->loading;
	cr_assert(l->reading && l->group == 0);
	while (l->next + 1 < e->node->group[0].coming.count)
		answer_read(2);
	cr_assert(l->reading && !node_group_by_number(e->node, 2), "its last part is on the way");
	give(2, (struct node_input){.kind = NODE_IN_LOG_FAILED});
	e->failed = true;
	run(SETTLED_NS);
	stop(2);
	e->failed = false;
	live(2, PAXOS_TAIL_CUT);
	catch_up(2, 0);
	run(SETTLED_NS);
	cr_assert(node_group_by_number(e->node, 2));
	expect_equal();
}

/* One that takes the image of group 0 knew group 2, and neither its end, group 3 nor the key. */
Test(node_image, group_0_has_what_its_entries_said)
{
	struct node_order drop = {.kind = NODE_ORDER_DROP, .group = 2};
	struct node_order list = {.kind = NODE_ORDER_LIST, .key = {.key = {0xaa}, .node = true}};

	found_another(0x22);
	cr_assert(node_group_by_number(end[2].node, 2));
	stop(2);
	run(SETTLED_NS);
	give(0, (struct node_input){.kind = NODE_IN_ORDER, .order = &drop});
	run(SETTLED_NS);
	found_another(0x33);
	give(0, (struct node_input){.kind = NODE_IN_ORDER, .order = &list});
	run(SETTLED_NS);
	expect_directory(0);
	drop_group_0();
	live(2, PAXOS_TAIL_CUT);
	catch_up(2, 0);
	run(SETTLED_NS);
	cr_assert_geq(end[2].images, 2, "of group 0 and group 1");
	expect_directory(2);
	for (uint8_t i = 0; i < ENDS; i++) {
		stop(i);
		live(i, PAXOS_TAIL_CUT);
	}
	run(SETTLED_NS);
	for (uint8_t i = 0; i < ENDS; i++)
		expect_directory(i);
	transactions(5);
	run(SETTLED_NS);
	expect_equal();
}

static void
join_again(void)
{
	const struct group *g;

	order(&(struct entry){.kind = ENTRY_JOIN,
			      .join = {.server_uuid = {7},
				       .nonce = {4},
				       .host = "",
				       .last_incarnation = incarnation,
				       .epoch = (uint16_t)end[1].node->epoch}});
	g = group_of(1)->state;
	for (uint32_t i = 0; i < group_member_slots(g); i++)
		if (group_member_at(g, i) && group_member_alive(group_member_at(g, i)))
			incarnation = group_member_at(g, i)->incarnation;
	cr_assert_gt(incarnation, 2);
	sequence = 0;
	order(&(struct entry){.kind = ENTRY_ATTACH,
			      .attach = {.incarnation = incarnation, .session = 1}});
}

static void
force_without_0(void)
{
	fill();
	stop(0);
	give(1, (struct node_input){.kind = NODE_IN_FORCE, .force = {1, 6, {0xe1}}});
	run(SETTLED_NS);
	cr_assert(end[1].ended && end[2].ended);
	live(1, PAXOS_TAIL_CUT);
	live(2, PAXOS_TAIL_CUT);
	run(4 * SETTLED_NS);
	join_again();
}

/* The record that says so is behind the begin of no log any more, and comes with each round. */
Test(node_image, the_epoch_outlives_the_record_of_the_force)
{
	uint64_t forced;
	struct node_status s;

	force_without_0();
	forced = end[1].bytes;
	fill();
	for (uint8_t i = 1; i < ENDS; i++) {
		cr_assert_gt(end[i].dropped, forced);
		stop(i);
		live(i, PAXOS_TAIL_CUT);
		node_status(end[i].node, &s);
		cr_assert_eq(s.epoch.number, 1);
		cr_assert_eq(s.epoch.voters, 6);
		cr_assert_eq(s.epoch.epoch[0], 0xe1);
	}
	run(4 * SETTLED_NS);
	transactions(5);
	run(SETTLED_NS);
	cr_assert_eq(group_epoch(group_of(1)->state), 1);
	cr_assert_eq(group_digest(group_of(1)->state), group_digest(group_of(2)->state));
}

/* What its image waits for. */
static void
compare_now(uint8_t number)
{
	struct node_sink sink = {.context = &end[number], .emit = emit};

	sender = number;
	end[number].node->sink = &sink;
	node_compare_ask(end[number].node, group_of(number));
	end[number].node->sink = NULL;
}

/* The others learn from it, and have something to say. */
Test(node_image, who_was_forced_on_alone_does_not_agree_with_itself)
{
	uint32_t number = node_force_number(0, 2);

	stop(0);
	stop(2);
	give(1, (struct node_input){.kind = NODE_IN_FORCE, .force = {number, 2, {0xe1}}});
	run(SETTLED_NS);
	live(1, PAXOS_TAIL_CUT);
	run(4 * SETTLED_NS);
	join_again();
	compare_now(1);
	cr_assert_eq(group_of(1)->agreed_index, group_applied(group_of(1)->state), "it is alone");
	for (uint8_t i = 0; i < ENDS; i += 2) {
		into[i] = (struct node_forced){.number = number, .epoch = {0xe1}};
		end[i].bytes = 0;
		live(i, PAXOS_TAIL_CLEAN);
		catch_up(i, 1);
	}
	transactions(1);
	group_of(1)->state->digest ^= 1;
	compare_now(1);
	cr_assert_lt(group_of(1)->agreed_index, group_applied(group_of(1)->state));
	run(SETTLED_NS);
	cr_assert(end[1].ended, "it differs");
	live(1, PAXOS_TAIL_CUT);
	run(SETTLED_NS);
	expect_equal();
}

/* The others' image was whole on disk, and not yet loaded: it is one of the epoch that was left. */
Test(node_image, who_is_forced_on_amid_an_image_goes_on_with_what_it_had)
{
	const struct node_taking *t;

	fall_behind(2);
	live(2, PAXOS_TAIL_CUT);
	t = &end[2].node->taking;
	for (uint32_t i = 0; i < 1000 && !t->active; i++)
		run(LATENCY_NS);
	hanging = 2;
	for (uint32_t i = 0; i < 1000 && t->next < t->count; i++)
		run(LATENCY_NS);
	cr_assert(t->active);
	cr_assert_eq(t->next, t->count, "it came");
	uint64_t slot = group_of(2)->coming.slot;
	stop(0);
	stop(1);
	give(2, (struct node_input){.kind = NODE_IN_FORCE,
				    .here_only = true,
				    .force = {node_force_number(0, 4), 4, {0xe1}}});
	hanging = UINT8_MAX;
	run(SETTLED_NS);
	live(2, PAXOS_TAIL_CUT);
	cr_assert_not(end[2].node->taking.active);
	cr_assert_lt(group_of(2)->applied_slot, slot);
	run(4 * SETTLED_NS);
	cr_assert_eq(end[2].images, 0);
	cr_assert_eq(paxos_voters(group_of(2)->replica), 4);
	cr_assert_eq(group_epoch(group_of(2)->state), end[2].node->epoch);
}

/* Who is right nobody can say, until a third one computes the same as one of them. */
Test(node_image, of_two_that_differ_each_notes_it_and_neither_ends)
{
	transactions(5);
	stop(2);
	run(SETTLED_NS);
	group_of(1)->state->digest ^= 1;
	compare_now(1);
	run(SETTLED_NS);
	cr_assert_eq(end[0].node->differing, 1u << 1);
	cr_assert_eq(end[1].node->differing, 1u << 0);
	cr_assert(!end[0].ended && !end[1].ended);
	live(2, PAXOS_TAIL_CUT);
	run(SETTLED_NS);
	transactions(1);
	compare_now(1);
	run(SETTLED_NS);
	cr_assert(end[1].ended, "two are against it");
	cr_assert(!end[0].ended && !end[2].ended);
}

static void
fork_group(uint8_t number)
{
	struct node_sink sink = {.context = &end[number], .emit = emit};

	sender = number;
	end[number].node->sink = &sink;
	node_force_fork(end[number].node, group_of(number), 1);
	end[number].node->sink = NULL;
	compare_now(number);
	give(number, (struct node_input){.kind = NODE_IN_TICK});
	run(10 * MS);
}

/* It knows no voters, whose majority it would need. */
Test(node_image, who_comes_back_behind_a_force_does_not_agree_with_itself)
{
	force_without_0();
	into[0] = (struct node_forced){.number = 1, .epoch = {0xe1}};
	end[0].bytes = 0;
	end[0].dropped = 0;
	live(0, PAXOS_TAIL_CLEAN);
	catch_up(0, 1);
	cr_assert_eq(paxos_voters(group_of(0)->replica), 0);
	transactions(1);
	group_of(0)->state->digest ^= 1;
	compare_now(0);
	cr_assert_lt(group_of(0)->agreed_index, group_applied(group_of(0)->state));
	run(SETTLED_NS);
	cr_assert(end[0].ended, "it differs");
	live(0, PAXOS_TAIL_CUT);
	catch_up(0, 1);
	expect_equal();
}

/* A state behind the fork has another digest than those of nodes that have yet to come to it,
 * at the same entry. No entry follows: the images are of just that state. */
Test(node_image, a_fork_is_no_difference)
{
	uint64_t index;

	transactions(5);
	run(SETTLED_NS);
	index = group_applied(group_of(0)->state);
	node_compare_ask(end[0].node, group_of(0));
	for (uint8_t i = 0; i < ENDS; i++)
		fork_group(i);
	fork_group(0);
	for (uint8_t i = 0; i < ENDS; i++) {
		cr_assert(!end[i].ended);
		cr_assert_eq(end[i].node->differing, 0);
	}
	cr_assert_eq(group_applied(group_of(0)->state), index);
	cr_assert_eq(group_of(0)->agreed_index, index, "they agree on what is behind it");
}

/* Does node 2 hold a value of the next slot, and does not know whether it is decided? */
static uint64_t
undecided(void)
{
	uint64_t slot = group_of(2)->delivered_slot + 1;

	return node_group_place(end[2].node, group_of(2), slot).lsn != 0 ? slot : 0;
}

/* A higher ballot may have decided another value there: that one is not to be given away. */
Test(node_image, what_was_accepted_in_front_of_an_image_is_not_told)
{
	const struct entry noop = {.kind = ENTRY_NOOP};
	uint64_t slot = 0;

	transactions(5);
	run(SETTLED_NS);
	for (uint8_t i = 0; i < ENDS; i++) {
		(void)node_group_submit_entry(end[i].node, group_of(i), &noop);
		give(i, (struct node_input){.kind = NODE_IN_TICK});
	}
	for (uint32_t i = 0; i < 20 && slot == 0; i++) {
		run(LATENCY_NS);
		slot = undecided();
	}
	cr_assert_gt(slot, 0);
	stop(2);
	stop(0);
	live(0, PAXOS_TAIL_CLEAN); /* in another ballot */
	fall_behind(2);
	fill(); /* it is in no window either */
	live(2, PAXOS_TAIL_CUT);
	cr_assert_eq(undecided(), slot);
	catch_up(2, 0);
	cr_assert_gt(end[2].images, 0);
	cr_assert_eq(node_group_place(end[2].node, group_of(2), slot).lsn, 0);
	expect_equal();
}
