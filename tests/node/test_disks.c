/* Two of three nodes, and what they remember of each other's disks; and all three, when a
 * majority is lost for good. */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "node/internal.h"
#include "tests/node/ends.h"

#define SETTLED_NS (500 * MS)

static uint8_t disk[ENDS];
static uint64_t votes_from[ENDS];           /* of that disk */
static bool joins[ENDS];                    /* its file names no voters */
static struct node_forced comes_back[ENDS]; /* in that epoch */

static struct node_config
config_of(uint8_t number)
{
	struct node_config c = {
		.node_count = 3,
		.self = number,
		.groups_max = 1,
		.members_max = 2,
		.inflight_max = 16,
		.index_hashes_max = 1024,
		.results_max = 64,
		.value_bytes_max = 4096,
		.values_max = 128,
		.horizon = 16,
		.datagram_bytes_max = 1400,
		.stream_bytes = 16384,
		.takeover_ns = 60 * MS,
		.retry_ns = 15 * MS,
		.tail_trust_ns = 100000 * MS,
		.session_dead_ns = 150 * MS,
		.gc_ns = 10 * MS,
		.expel_ns = 1000 * MS,
	};
	for (uint8_t i = 0; i < 3; i++) {
		c.uuid[i][0] = (uint8_t)(i + 1);
		c.endpoint[i] = endpoint_from_ipv4(0x0a000001u + i, 4000);
	}
	memset(c.disk, disk[number], sizeof c.disk);
	c.votes_from = votes_from[number];
	c.joins = joins[number];
	c.leader = joins[number] ? 2 : 0;
	c.forced = comes_back[number];
	memcpy(c.epoch, c.forced.epoch, sizeof c.epoch);
	return c;
}

static bool
linked(uint8_t number)
{
	struct node_status now;

	node_status(end[number].node, &now);
	return now.link_up >> (1 - number) & 1;
}

static bool
refuses(uint8_t number)
{
	struct node_status now;

	node_status(end[number].node, &now);
	return now.outdated >> (1 - number) & 1;
}

static void
begin(uint8_t count)
{
	ends_begin();
	goes_over = true;
	for (uint8_t i = 0; i < count; i++) {
		disk[i] = (uint8_t)(0xd0 + i);
		live(i, PAXOS_TAIL_CLEAN);
	}
	run(SETTLED_NS);
	cr_assert(linked(0) && linked(1));
}

static void
setup(void)
{
	begin(2);
}

TestSuite(node_disks, .init = setup, .fini = ends_finish);

static void
expect_refused(void)
{
	run(SETTLED_NS);
	cr_assert(end[0].outdated);
	cr_assert_eq(end[0].outdated_by, 1);
	cr_assert(refuses(1));
	cr_assert(!linked(1));
}

static void
expect_taken(void)
{
	run(SETTLED_NS);
	cr_assert(!end[0].outdated);
	cr_assert(linked(0) && linked(1));
	cr_assert(!refuses(1));
}

static const struct paxos_replica *
replica(uint8_t node)
{
	return end[node].node->group[0].replica;
}

/* It is stopped, and its next life has another disk, with nothing on it. Nobody says so in its
 * file. */
static void
make_anew(uint8_t node)
{
	stop(node);
	end[node].bytes = 0;
	disk[node]++;
}

/* As above, and its file says which configuration the node was dropped by. */
static void
renew(uint8_t node, uint64_t number)
{
	make_anew(node);
	votes_from[node] = number + 1;
}

Test(node_disks, that_are_what_they_were_are_taken)
{
	for (int i = 0; i < 3; i++) {
		stop(0);
		run(SETTLED_NS);
		cr_assert(!linked(1));
		live(0, i % 2 ? PAXOS_TAIL_CUT : PAXOS_TAIL_CLEAN);
		expect_taken();
	}
}

/* A life that wrote nothing but its START: its number tells. */
Test(node_disks, an_image_of_an_earlier_life_is_refused)
{
	uint64_t image = end[0].bytes;

	stop(0);
	live(0, PAXOS_TAIL_CLEAN);
	run(SETTLED_NS);
	stop(0);
	end[0].bytes = image;
	live(0, PAXOS_TAIL_CLEAN);
	expect_refused();
}

/* The same process number in both: how far it was seen tells. */
Test(node_disks, a_lost_end_is_refused)
{
	struct frame frame = {0};
	uint64_t last = 0;

	for (uint64_t lsn = 0; lsn < end[0].bytes; lsn += frame.frame_bytes) {
		cr_assert(frame_decode(&frame, end[0].log + lsn, end[0].bytes - lsn));
		if (frame.kind != NODE_RECORD_SHOWN)
			last = lsn;
	}
	cr_assert_gt(last, 0);
	stop(0);
	end[0].bytes = last;
	live(0, PAXOS_TAIL_CUT);
	expect_refused();
}

/* Node 0 is replaced, by node 2, which is elsewhere, and comes back with a new disk. */
static void
drop(uint32_t voters, uint64_t number)
{
	for (uint8_t i = 0; i < 2; i++)
		give(i, (struct node_input){
				.kind = NODE_IN_VOTERS, .voters = voters, .number = number});
	run(SETTLED_NS);
}

Test(node_disks, a_new_one_of_a_node_that_was_dropped_is_taken)
{
	drop(1u << 1, 0);
	renew(0, 1);
	live(0, PAXOS_TAIL_CLEAN);
	expect_taken();
	drop(3, 1);
	cr_assert_eq(paxos_voters(replica(0)), 3);
	stop(1);
	live(1, PAXOS_TAIL_CLEAN);
	run(SETTLED_NS);
	cr_assert(paxos_is_leader(replica(0)) || paxos_is_leader(replica(1)), "it votes");
	make_anew(0);
	live(0, PAXOS_TAIL_CLEAN);
	expect_refused();
}

/* Its file is still that of the disk before: it would take itself for a voter of old slots. */
Test(node_disks, a_new_one_that_does_not_say_who_dropped_it_is_refused)
{
	drop(1u << 1, 0);
	make_anew(0);
	live(0, PAXOS_TAIL_CLEAN);
	expect_refused();
}

/* Both had voted on slot 1, and were a majority of three. */
Test(node_disks, new_ones_that_hear_only_each_other_decide_nothing)
{
	live(2, PAXOS_TAIL_CLEAN);
	run(SETTLED_NS);
	give(0, (struct node_input){.kind = NODE_IN_VOTERS, .voters = 1u << 2, .number = 0});
	run(SETTLED_NS);
	cr_assert_eq(paxos_configuration(replica(2))->number, 1);
	stop(2);
	renew(0, 1);
	renew(1, 1);
	live(0, PAXOS_TAIL_CLEAN);
	live(1, PAXOS_TAIL_CLEAN);
	run(4 * SETTLED_NS);
	cr_assert(linked(0) && linked(1));
	cr_assert_eq(paxos_delivered(replica(0)), 0);
	cr_assert(!paxos_is_leader(replica(0)) && !paxos_is_leader(replica(1)));
	live(2, PAXOS_TAIL_CLEAN);
	run(SETTLED_NS);
	cr_assert_eq(paxos_delivered(replica(0)), paxos_delivered(replica(2)));
	cr_assert_eq(paxos_configuration(replica(1))->voters, 1u << 2);
}

static const struct paxos_replica *
of_group_1(uint8_t node)
{
	return end[node].node->group[1].replica;
}

/* They have heard from who votes that there is such a group, and nothing more. */
Test(node_disks, new_ones_decide_nothing_in_other_groups)
{
	const uint8_t uuid[UUID_BYTES] = {0xaa};

	live(2, PAXOS_TAIL_CLEAN);
	run(SETTLED_NS);
	for (uint8_t i = 0; i < 3; i++)
		if (paxos_is_leader(replica(i)))
			node_directory_found(end[i].node, uuid);
	run(SETTLED_NS);
	drop(1u << 2, 0);
	cr_assert_eq(paxos_configuration(of_group_1(2))->voters, 1u << 2);
	stop(2);
	renew(0, 1);
	renew(1, 1);
	live(2, PAXOS_TAIL_CLEAN);
	live(0, PAXOS_TAIL_CLEAN);
	live(1, PAXOS_TAIL_CLEAN);
	for (int i = 0; i < 10000 && end[0].node->group_count + end[1].node->group_count < 4; i++)
		run(LATENCY_NS);
	stop(2);
	run(4 * SETTLED_NS);
	for (uint8_t i = 0; i < 2; i++) {
		cr_assert_eq(end[i].node->group_count, 2);
		cr_assert_eq(paxos_configuration(of_group_1(i))->number, 0);
		cr_assert(!paxos_is_leader(of_group_1(i)));
	}
	live(2, PAXOS_TAIL_CLEAN);
	run(SETTLED_NS);
	for (uint8_t i = 0; i < 2; i++)
		cr_assert_eq(paxos_configuration(of_group_1(i))->voters, 1u << 2);
	give(2, (struct node_input){.kind = NODE_IN_VOTERS, .voters = 7, .number = 1});
	run(SETTLED_NS);
	stop(2);
	run(2 * SETTLED_NS);
	cr_assert(paxos_is_leader(of_group_1(0)) || paxos_is_leader(of_group_1(1)));
}

/* Seed 200006192: group 0 was two changes further, and the group on its way to the first of them,
 * which named a node whose disk was taken away. */
Test(node_disks, who_was_dropped_is_needed_until_every_group_has_copied_that)
{
	const uint8_t uuid[UUID_BYTES] = {0xaa};
	struct node_status now;

	node_directory_found(end[paxos_is_leader(replica(0)) ? 0 : 1].node, uuid);
	run(SETTLED_NS);
	drop(1u << 1, 0);
	node_status(end[0].node, &now);
	cr_assert(now.may_leave);
	end[0].node->group[1].voters_number = 0;
	node_status(end[0].node, &now);
	cr_assert(!now.may_leave);
}

/* It is to vote again, and the one that decided so begins anew before that is in force. */
Test(node_disks, a_new_one_is_taken_by_who_needs_its_vote)
{
	drop(1u << 1, 0);
	renew(0, 1);
	run(SETTLED_NS);
	give(1, (struct node_input){.kind = NODE_IN_VOTERS, .voters = 3, .number = 1});
	for (int i = 0; i < 10 && paxos_configuration(replica(1))->number < 2; i++)
		run(LATENCY_NS);
	cr_assert_eq(paxos_configuration(replica(1))->number, 2);
	cr_assert_gt(paxos_configuration(replica(1))->first, paxos_delivered(replica(1)) + 1);
	stop(1);
	live(1, PAXOS_TAIL_CLEAN);
	run(SETTLED_NS);
	cr_assert_gt(paxos_configuration(replica(1))->first, paxos_delivered(replica(1)) + 1);
	live(0, PAXOS_TAIL_CLEAN);
	expect_taken();
	cr_assert_leq(paxos_configuration(replica(1))->first, paxos_delivered(replica(1)) + 1);
}

/* The same disk, dropped and added again, is no new one. */
Test(node_disks, an_image_from_before_it_voted_again_is_refused)
{
	drop(1u << 1, 0);
	uint64_t image = end[0].bytes;
	drop(3, 1);
	stop(0);
	end[0].bytes = image;
	live(0, PAXOS_TAIL_CLEAN);
	expect_refused();
}

/* Node 1 has forgotten that node 0 was dropped, and remembers its old disk: the new one
 * says so itself. */
Test(node_disks, a_new_one_is_taken_by_who_was_away)
{
	uint64_t image = end[1].bytes;

	drop(1u << 1, 0);
	renew(0, 1);
	live(0, PAXOS_TAIL_CLEAN);
	expect_taken();
	stop(1);
	end[1].bytes = image;
	live(1, PAXOS_TAIL_MISSING);
	expect_taken();
}

/* Node 1 does not know who had voted before the change that dropped both, and has seen the disk
 * that node 0 had then; nor does the new one know of itself that it had voted. */
Test(node_disks, a_new_one_is_taken_by_who_joined_and_saw_the_old_one)
{
	live(2, PAXOS_TAIL_CLEAN);
	run(SETTLED_NS);
	give(0, (struct node_input){.kind = NODE_IN_VOTERS, .voters = 1u << 2, .number = 0});
	run(SETTLED_NS);
	renew(1, 1);
	joins[1] = true;
	live(1, PAXOS_TAIL_CLEAN);
	expect_taken();
	cr_assert_eq(paxos_voters(replica(1)), 1u << 2);
	renew(0, 1);
	joins[0] = true;
	live(0, PAXOS_TAIL_CLEAN);
	expect_taken();
	cr_assert_eq(paxos_voters(replica(0)), 1u << 2);
}

/* It was never seen to vote, but is no new one of a node that was dropped. */
Test(node_disks, one_made_anew_is_refused_by_who_joined)
{
	joins[1] = true;
	stop(1);
	end[1].bytes = 0;
	disk[1]++;
	live(2, PAXOS_TAIL_CLEAN);
	live(1, PAXOS_TAIL_MISSING);
	expect_taken();
	give(0, (struct node_input){.kind = NODE_IN_VOTERS, .voters = 5, .number = 0});
	run(SETTLED_NS);
	cr_assert_eq(paxos_voters(replica(1)), 5);
	make_anew(0);
	live(0, PAXOS_TAIL_CLEAN);
	expect_refused();
}

Test(node_disks, one_that_was_made_anew_is_refused)
{
	make_anew(0);
	live(0, PAXOS_TAIL_CLEAN);
	expect_refused();
}

/* Process numbers come from a clock, where the disk has none: it may give the last one again. */
Test(node_disks, one_made_anew_whose_process_has_the_old_number_is_refused)
{
	make_anew(0);
	end[0].process--;
	live(0, PAXOS_TAIL_CLEAN);
	expect_refused();
}

Test(node_disks, who_saw_them_remembers_it_after_a_restart)
{
	stop(0);
	stop(1);
	end[0].bytes = 0;
	disk[0]++;
	live(1, PAXOS_TAIL_CLEAN);
	live(0, PAXOS_TAIL_CLEAN);
	expect_refused();
}

/* What repairs is taken, and from then on it is that disk, for the next life too. */
Test(node_disks, what_repairs_is_taken)
{
	make_anew(0);
	live(0, PAXOS_TAIL_MISSING);
	expect_taken();
	stop(0);
	run(SETTLED_NS);
	live(0, PAXOS_TAIL_CLEAN);
	expect_taken();
}

Test(node_disks, in_memory_are_not_looked_at)
{
	stop(0);
	end[0].bytes = 0;
	disk[0] = 0;
	live(0, PAXOS_TAIL_ROTTEN);
	expect_taken();
}

/* Each SHOWN moves a log on; the other's log must not have to say so. */
Test(node_disks, idle_nodes_write_nothing)
{
	run(2 * SETTLED_NS);
	uint64_t bytes = end[0].bytes + end[1].bytes;

	run(10 * SETTLED_NS);
	cr_assert_eq(end[0].bytes + end[1].bytes, bytes);
}

/* ---- force.c ---- */

static void
setup_all(void)
{
	begin(3);
}

TestSuite(node_force, .init = setup_all, .fini = ends_finish);

static struct node_status
status(uint8_t number)
{
	struct node_status now;

	node_status(end[number].node, &now);
	return now;
}

static uint8_t
leader(uint8_t number)
{
	struct node_group_status group;

	cr_assert(node_group_status(end[number].node, 0, &group));
	return group.leader;
}

static void
force(uint8_t number, uint32_t epoch, uint32_t voters, bool here_only)
{
	give(number, (struct node_input){.kind = NODE_IN_FORCE,
					 .force = {epoch, voters, {(uint8_t)(0xe0 + epoch)}},
					 .here_only = here_only});
	run(2 * SETTLED_NS);
}

Test(node_force, one_survivor_goes_on_alone)
{
	stop(0);
	stop(2);
	run(SETTLED_NS);
	cr_assert_eq(leader(1), PAXOS_NO_VOTER);
	force(1, 1, 1 << 1, false);
	cr_assert_eq(status(1).epoch.number, 1);
	cr_assert_eq(status(1).epoch.epoch[0], 0xe1);
	cr_assert_eq(leader(1), 1);
	live(1, PAXOS_TAIL_CLEAN);
	run(SETTLED_NS);
	cr_assert_eq(status(1).epoch.number, 1, "it is in the log");
	cr_assert_eq(leader(1), 1);
}

Test(node_force, whoever_is_there_goes_over)
{
	stop(0);
	force(1, 1, 6, false);
	cr_assert_eq(status(1).epoch.number, 1);
	cr_assert_eq(status(2).epoch.number, 1);
	cr_assert_eq(memcmp(status(1).epoch.epoch, status(2).epoch.epoch, EPOCH_BYTES), 0);
	cr_assert_eq(status(1).link_up, 1 << 2);
	cr_assert_neq(leader(1), PAXOS_NO_VOTER);
	cr_assert_eq(leader(1), leader(2));
}

/* Node 2 was down when node 1 went over: it is waited for, until it is asked too. */
Test(node_force, who_was_not_reached_is_waited_for)
{
	stop(0);
	stop(2);
	force(1, 1, 6, false);
	live(2, PAXOS_TAIL_CUT);
	run(2 * SETTLED_NS);
	cr_assert_eq(status(1).epoch.number, 1);
	cr_assert_eq(status(1).link_up, 0);
	cr_assert(!status(1).voting);
	force(2, 1, 6, true);
	cr_assert_eq(status(2).epoch.number, 1);
	cr_assert(status(1).voting && status(2).voting);
	cr_assert_eq(leader(1), leader(2));
	cr_assert_neq(leader(1), PAXOS_NO_VOTER);
}

Test(node_force, who_was_lost_comes_back_empty)
{
	stop(0);
	force(1, 1, 6, false);
	live(0, PAXOS_TAIL_CLEAN);
	run(2 * SETTLED_NS);
	cr_assert_eq(status(0).epoch.number, 0);
	cr_assert_eq(status(0).link_up, 0, "nobody of another epoch speaks with it");
	cr_assert_eq(status(1).link_up, 1 << 2);
	stop(0);
	end[0].bytes = 0;
	disk[0]++;
	comes_back[0] = (struct node_forced){.number = 1, .epoch = {0xe1}};
	live(0, PAXOS_TAIL_CLEAN);
	run(2 * SETTLED_NS);
	cr_assert_eq(status(0).link_up, 6);
	cr_assert_eq(leader(0), leader(1));
	cr_assert_neq(leader(1), 0);
	for (uint8_t i = 1; i < 3; i++)
		give(i,
		     (struct node_input){.kind = NODE_IN_VOTERS, .voters = 7, .number = 1 << 16});
	run(2 * SETTLED_NS);
	struct node_group_status group;
	cr_assert(node_group_status(end[0].node, 0, &group));
	cr_assert_eq(group.configuration.voters, 7);
	/* It is a voter: with one of the others it goes on. */
	stop(leader(0));
	run(2 * SETTLED_NS);
	cr_assert_neq(leader(0), PAXOS_NO_VOTER);
}

Test(node_force, another_number_than_the_next_is_void)
{
	force(1, 2, 6, false);
	cr_assert_eq(status(1).epoch.number, 0);
	force(1, 1, 8, false);
	cr_assert_eq(status(1).epoch.number, 0);
}

/* It orders nothing, and an administrator is to know before a force: that is for who has no
 * majority, and this one may be all that is left. */
Test(node_force, who_led_leads_nobody_when_it_is_alone)
{
	uint8_t alone = leader(0);

	cr_assert_neq(alone, PAXOS_NO_VOTER);
	stop((uint8_t)(alone + 1) % 3);
	run(SETTLED_NS);
	cr_assert_eq(leader(alone), alone);
	stop((uint8_t)(alone + 2) % 3);
	run(SETTLED_NS);
	cr_assert_eq(status(alone).link_up, 0);
	cr_assert_eq(leader(alone), PAXOS_NO_VOTER);
}

/* As group 0 decides it; `who` is the first byte of its id. */
static void
peer(uint8_t node, uint8_t number, enum peer_state state, uint8_t who)
{
	struct node *n = end[node].node;
	struct node_peer_entry e = {.state = state,
				    .uuid = {who},
				    .endpoint = endpoint_from_ipv4(0x0a000100u + who, 4000)};
	struct node_sink sink = {.context = &end[node], .emit = emit};
	uint8_t bytes[64];
	struct writer w = writer_over(bytes, sizeof bytes);

	writer_u8(&w, DIRECTORY_NODE);
	writer_u8(&w, number);
	node_peers_write(&e, &w);
	writer_u32(&w, n->epoch);
	n->sink = &sink;
	node_directory_apply(n, bytes, (uint32_t)w.bytes, n->epoch);
	n->sink = NULL;
}

static uint8_t
who(uint8_t node, uint8_t number)
{
	struct node_peer_status p;

	return node_peer_status(end[node].node, number, &p) ? p.uuid[0] : 0;
}

/* Seed 7010377 of the simulator: 1 had been forgotten and another one come behind its number, which
 * was then the only survivor. Those who came back empty learned from it who had been there first,
 * and turned it away for good. */
Test(node_force, who_comes_back_learns_from_whom_its_file_names)
{
	for (uint8_t i = 0; i < 3; i++)
		stop(i);
	make_anew(1);
	comes_back[1] = (struct node_forced){.number = 7, .epoch = {0xe7}};
	live(1, PAXOS_TAIL_CLEAN);
	peer(1, 0, PEER_LISTED, 0x51);
	cr_assert_eq(who(1, 0), 1, "one that is to come");
	force(1, node_force_number(7, 3), 3, true);
	cr_assert_eq(status(1).epoch.number, 7, "and not known to be there");
	peer(1, 0, PEER_FORGOTTEN, 0x51);
	peer(1, 0, PEER_LISTED, 1);
	cr_assert_eq(who(1, 0), 1);
	peer(1, 0, PEER_FORGOTTEN, 1);
	cr_assert_eq(who(1, 0), 0);
	peer(1, 0, PEER_LISTED, 0x52);
	cr_assert_eq(who(1, 0), 0x52, "its file is old");
}

Test(node_force, who_votes_takes_nobody_for_a_voter_that_the_log_does_not_list)
{
	peer(1, 0, PEER_LISTED, 0x51);
	cr_assert_eq(who(1, 0), 0x51);
	for (uint8_t i = 1; i < 3; i++)
		give(i, (struct node_input){.kind = NODE_IN_VOTERS, .voters = 5});
	run(SETTLED_NS);
	peer(1, 2, PEER_LISTED, 0x52);
	cr_assert_eq(who(1, 2), 3, "it votes no more");
}

/* Seed 1100130978 of the simulator: 1 came with a new disk when all others had been replaced, too.
 * By the first part of the log its number voted, and it turned away all who had the rest. */
Test(node_disks, a_new_one_learns_from_whom_its_file_names)
{
	const uint8_t uuid[UUID_BYTES] = {0xaa};

	node_directory_found(end[paxos_is_leader(replica(0)) ? 0 : 1].node, uuid);
	run(SETTLED_NS);
	drop(1u << 1, 0);
	stop(1);
	renew(0, 1);
	live(0, PAXOS_TAIL_CLEAN);
	cr_assert_eq(paxos_voters(replica(0)), 7);
	peer(0, 1, PEER_LISTED, 0x51);
	cr_assert_eq(who(0, 1), 2, "one that is to come");
	live(1, PAXOS_TAIL_CLEAN);
	run(SETTLED_NS);
	cr_assert(linked(0) && linked(1));
	cr_assert_eq(paxos_delivered(replica(0)), paxos_delivered(replica(1)));
	cr_assert_eq(paxos_configuration(of_group_1(0))->voters, 1u << 1);
	drop(3, 1);
	cr_assert_eq(paxos_configuration(replica(0))->voters, 3);
	cr_assert_eq(who(0, 1), 0x51, "it is to vote");
}

/* Seed 8001284 of the simulator: two had lost their disks, and repaired, while the third that is
 * named was away. It refused both behind the force, and as two that repair they waited for
 * each other. */
Test(node_force, a_disk_is_what_it_was_at_the_force)
{
	for (uint8_t i = 0; i < 3; i++)
		stop(i);
	for (uint8_t i = 0; i < 2; i++) {
		make_anew(i);
		live(i, PAXOS_TAIL_MISSING);
	}
	run(SETTLED_NS);
	force(0, 7, 7, false);
	cr_assert_eq(status(0).epoch.number, 7);
	cr_assert_eq(status(1).epoch.number, 7);
	live(2, PAXOS_TAIL_CUT);
	force(2, 7, 7, true);
	for (uint8_t i = 0; i < 3; i++) {
		cr_assert_eq(status(i).link_up, 7 & ~(1 << i));
		cr_assert_eq(leader(i), leader(0));
	}
	cr_assert_neq(leader(0), PAXOS_NO_VOTER);
	stop(1);
	make_anew(1);
	comes_back[1] = (struct node_forced){.number = 7, .epoch = {0xe7}};
	live(1, PAXOS_TAIL_CLEAN);
	run(SETTLED_NS);
	cr_assert(end[1].outdated, "what was seen since counts");
}

/* Nodes 0 and 1 vote, and the one that leads is asked to forget node 2. Answers who leads. */
static uint8_t
forgetting(bool alone)
{
	struct node_order forget = {.kind = NODE_ORDER_FORGET, .node = 2};
	struct node_group_status group;

	for (uint8_t i = 0; i < 3; i++)
		give(i, (struct node_input){.kind = NODE_IN_VOTERS, .voters = 3});
	run(SETTLED_NS);
	uint8_t leads = leader(0);
	cr_assert(node_group_status(end[leads].node, 0, &group));
	cr_assert_eq(group.configuration.voters, 3);
	cr_assert_lt(leads, 2);
	if (alone)
		stop(1 - leads);
	give(leads, (struct node_input){.kind = NODE_IN_ORDER, .order = &forget});
	return leads;
}

/* What one survivor has accepted of the old epoch is proposed again behind the fork, and would take
 * away a voter: the two turned each other away, for ever. */
Test(node_force, one_that_was_being_forgotten_votes)
{
	uint8_t alone = forgetting(true);
	uint32_t voters = 1u << alone | 1u << 2;
	uint32_t epoch = node_force_number(0, voters);

	run(SETTLED_NS);
	cr_assert_eq(status(alone).link_up, 1 << 2, "nobody has decided that");
	force(alone, epoch, voters, false);
	cr_assert_eq(status(alone).epoch.number, epoch);
	cr_assert_eq(status(2).epoch.number, epoch);
	cr_assert_eq(status(alone).link_up, 1 << 2);
	cr_assert_neq(leader(2), PAXOS_NO_VOTER);
	cr_assert_eq(leader(2), leader(alone));
}

/* It is decided between the question and FORCED: those that vote go on as they were. */
Test(node_force, with_one_that_was_just_forgotten_nobody_goes_over)
{
	uint8_t leads = forgetting(false);
	uint32_t voters = 1u << leads | 1u << 2;

	cr_assert_eq(status(leads).link_up, 7 & ~(1 << leads), "not yet");
	force(leads, node_force_number(0, voters), voters, false);
	cr_assert_eq(status(leads).epoch.number, 0);
	cr_assert_eq(status(leads).link_up, 3 & ~(1 << leads));
	cr_assert_eq(leader(1 - leads), leads);
	force(leads, node_force_number(0, voters), voters, false);
	cr_assert_eq(status(leads).epoch.number, 0, "nor later");
}

/* Two administrators, a split, and each forces the own side on: no GTID is given by both. */
Test(node_force, two_sides_of_a_split_have_other_numbers)
{
	cr_assert_eq(node_force_number(0, 6), 1);
	cr_assert_eq(node_force_number(0, 1), 7);
	cr_assert_eq(node_force_number(7, 7), 14);
	cr_assert_eq(node_force_number(1, 2), 8);
	stop(0);
	force(1, 1, 6, false);
	cr_assert_eq(status(1).epoch.number, 1);
	live(0, PAXOS_TAIL_CLEAN);
	force(0, 1, 1, true);
	cr_assert_eq(status(0).epoch.number, 0, "of the other side");
	force(0, 7, 1, true);
	cr_assert_eq(status(0).epoch.number, 7);
	cr_assert_eq(leader(0), 0);
	cr_assert_eq(status(0).link_up, 0);
	cr_assert_eq(status(1).link_up, 1 << 2);
}
