/*
 * A majority of the voters is lost, and the survivors are forced into another epoch. The
 * schedules are those that tests/model/epoch.pml found; what must hold in all of them is
 * checked by the cluster (cluster.h).
 */
#include <criterion/criterion.h>

#include "tests/paxos/cluster.h"

#define HORIZON 16

static struct cluster *
started(uint8_t replica_count)
{
	struct cluster_config config = {.seed = 1,
					.replica_count = replica_count,
					.net_ns = 30 * US,
					.disk_ns = 60 * US,
					.tail_trust_ns = 10 * MS};
	struct cluster *c = cluster_new(&config);

	cluster_run(c, 5 * MS);
	cr_assert_eq(cluster_leader(c), 0);
	return c;
}

static void
finish(struct cluster *c)
{
	cr_assert_null(cluster_failure(c), "%s", cluster_failure(c));
	cluster_free(c);
}

/* From now on only these hear of each other. */
static void
leave(struct cluster *c, uint8_t replica_count, uint32_t nodes)
{
	for (uint8_t a = 0; a < replica_count; a++)
		for (uint8_t b = 0; b < a; b++)
			if ((nodes >> a & 1) != (nodes >> b & 1))
				cluster_cut(c, a, b);
}

/* These are forced; who is not in `now` starts later. */
static void
force(struct cluster *c, uint32_t voters, uint32_t now)
{
	for (uint8_t n = 0; n < PAXOS_VOTERS_MAX; n++) {
		if (!(voters >> n & 1))
			continue;
		cluster_stop(c, n);
		cluster_force(c, n, 1, voters);
		if (now >> n & 1)
			cluster_restart(c, n, PAXOS_TAIL_CLEAN);
	}
}

static bool
leads(const struct cluster *c, uint32_t nodes)
{
	for (uint8_t n = 0; n < PAXOS_VOTERS_MAX; n++)
		if ((nodes >> n & 1) && cluster_is_up(c, n) &&
		    paxos_can_propose(cluster_replica(c, n)))
			return true;
	return false;
}

static uint8_t
leader_of(const struct cluster *c, uint32_t nodes)
{
	for (uint8_t n = 0; n < PAXOS_VOTERS_MAX; n++)
		if (leads(c, nodes & 1u << n))
			return n;
	cr_assert_fail("nobody leads: %s", cluster_failure(c) ? cluster_failure(c) : "");
	return PAXOS_NO_VOTER;
}

/* Seven voters; 0 to 3 and survivor 4 decide a value. 5 and 6 are a majority of the new
 * voters and know nothing of it. */
Test(paxos_force, every_survivor_answers)
{
	struct cluster *c = started(7);

	leave(c, 7, 31);
	cr_assert(cluster_submit(c, 0, 0xAB));
	cluster_run(c, 1 * MS);
	cr_assert_eq(cluster_delivered(c, 0), 1);
	leave(c, 7, 15);
	cluster_heal(c);
	leave(c, 7, 15);
	force(c, 7 << 4, 3 << 5);
	cluster_run(c, 200 * MS);
	cr_assert(!leads(c, 7 << 4), "survivors vote before 4 said what it knows");
	cluster_restart(c, 4, PAXOS_TAIL_CLEAN);
	cluster_run(c, 100 * MS);
	cr_assert(cluster_submit(c, leader_of(c, 7 << 4), 0xCD));
	cluster_run(c, 5 * MS);
	cr_assert_eq(cluster_value(c, 1), 0xAB);
	for (uint8_t n = 4; n < 7; n++)
		cr_assert_geq(cluster_delivered(c, n), 2);
	finish(c);
}

/* 4 has accepted a value in ballot 0 that nobody else has; a later leader decided
 * another one, with 5. */
Test(paxos_force, the_highest_ballot_is_adopted)
{
	struct cluster *c = started(7);

	leave(c, 7, 1 | 1 << 4);
	cr_assert(cluster_submit(c, 0, 0xAB));
	cluster_run(c, 1 * MS);
	cluster_crash(c, 0);
	cluster_heal(c);
	for (uint8_t n = 0; n < 7; n++)
		cluster_cut(c, 4, n == 4 ? 0 : n);
	for (uint8_t n = 0; n < 6; n++)
		cluster_cut(c, 6, n);
	cluster_run(c, 60 * MS);
	uint8_t second = leader_of(c, 14 | 1 << 5);
	cr_assert(cluster_submit(c, second, 0xCD));
	cluster_run(c, 2 * MS);
	cr_assert_eq(cluster_value(c, 1), 0xCD);
	cluster_heal(c);
	leave(c, 7, 15);
	force(c, 7 << 4, 7 << 4);
	cluster_run(c, 100 * MS);
	cr_assert(cluster_submit(c, leader_of(c, 7 << 4), 0xEF));
	cluster_run(c, 5 * MS);
	cr_assert_eq(cluster_value(c, 1), 0xCD);
	finish(c);
}

/* 4 has accepted a value that nobody else has; those that are lost decided another one in
 * its slot. So what 4 adopts is a value of the new epoch: nobody takes it for theirs. */
Test(paxos_force, what_is_adopted_is_of_the_new_epoch)
{
	struct cluster *c = started(5);

	leave(c, 5, 1 | 1 << 4);
	cr_assert(cluster_submit(c, 0, 0xAB));
	cluster_run(c, 1 * MS);
	cluster_crash(c, 0);
	cluster_heal(c);
	leave(c, 5, 15);
	cluster_run(c, 60 * MS);
	cr_assert(cluster_submit(c, leader_of(c, 14), 0xCD));
	cluster_run(c, 2 * MS);
	cr_assert_eq(cluster_value(c, 1), 0xCD);
	force(c, 1 << 4, 1 << 4);
	cluster_run(c, 50 * MS);
	cr_assert(cluster_submit(c, 4, 0xEF));
	cluster_run(c, 2 * MS);
	cr_assert_eq(cluster_value(c, 1), 0xAB);
	cr_assert_eq(cluster_fork(c), 1);
	finish(c);
}

/* What one of them has delivered stays what it was. */
Test(paxos_force, what_is_known_to_be_decided_is_not)
{
	struct cluster *c = started(3);

	cr_assert(cluster_submit(c, 0, 1));
	cluster_run(c, 2 * MS);
	cr_assert(cluster_submit(c, 0, 2));
	cluster_run(c, 100 * MS); /* time enough to log how far it delivered */
	leave(c, 3, 3);
	force(c, 4, 4);
	cluster_run(c, 50 * MS);
	cr_assert(cluster_submit(c, 2, 3));
	cluster_run(c, 2 * MS);
	cr_assert_eq(cluster_value(c, 2), 2);
	cr_assert_eq(cluster_fork(c), 3);
	finish(c);
}

/* 1 skips its slots, and nobody hears it. Who takes over finds nothing there and proposes that:
 * the same nothing, in every bit. */
Test(paxos_force, a_skip_is_of_the_epoch_too)
{
	struct cluster *c = started(3);

	force(c, 7, 7);
	cluster_run(c, 100 * MS);
	cr_assert(cluster_switch(c, leader_of(c, 7), 1, PAXOS_ALL_LEAD));
	cluster_run(c, 10 * MS);
	cr_assert(cluster_all_lead(c));
	cluster_cut_one_way(c, 1, 0);
	cluster_cut_one_way(c, 1, 2);
	cr_assert(cluster_submit(c, 2, 0xAB));
	cr_assert(cluster_submit(c, 2, 0xCD));
	cluster_run(c, 1 * MS);
	cluster_crash(c, 1);
	cluster_run(c, 100 * MS);
	cr_assert(!cluster_all_lead(c));
	finish(c);
}

/* A change that was under way names who is lost: it is decided, and void. */
Test(paxos_force, a_change_of_the_old_epoch_is_void)
{
	struct cluster *c = started(5);

	leave(c, 5, 1 | 3 << 3);
	cluster_cut(c, 3, 0);
	cluster_heal(c);
	for (uint8_t n = 1; n < 5; n++)
		cluster_cut_one_way(c, n, 0);
	cr_assert(cluster_change(c, 0, 1, 7, HORIZON));
	cluster_run(c, 300 * US);
	cluster_crash(c, 0);
	cluster_crash(c, 1);
	cluster_crash(c, 2);
	force(c, 3 << 3, 3 << 3);
	cluster_run(c, 100 * MS);
	uint8_t leader = leader_of(c, 3 << 3);
	cr_assert(cluster_submit(c, leader, 2));
	cluster_run(c, 5 * MS);
	cr_assert_neq(cluster_value(c, 1), 0, "it was adopted");
	cr_assert_eq(cluster_voters(c), 3 << 3);
	cr_assert_eq(paxos_configuration(cluster_replica(c, leader))->voters, 3 << 3);
	finish(c);
}

/* Who came into the epoch behind its force does not know who votes in front of the first change:
 * it prepares nothing there, though it is named to lead behind it. */
Test(paxos_force, those_who_were_lost_replace_the_survivors)
{
	struct cluster *c = started(5);

	leave(c, 5, 7);
	force(c, 3 << 3, 3 << 3);
	for (uint8_t n = 0; n < 3; n++) {
		cluster_stop(c, n);
		cluster_force(c, n, 1, 0);
		cluster_restart(c, n, PAXOS_TAIL_CLEAN);
	}
	cluster_heal(c);
	cluster_run(c, 150 * MS);
	cr_assert(cluster_change(c, leader_of(c, 3 << 3), 4, 3, HORIZON));
	cluster_run(c, 200 * MS);
	cr_assert_eq(cluster_voters(c), 3);
	cr_assert(cluster_submit(c, leader_of(c, 3), 5), "%s", cluster_failure(c));
	cluster_run(c, 10 * MS);
	cr_assert_eq(cluster_value(c, cluster_delivered(c, 0)), 5);
	finish(c);
}

/* They do not know whose promises the slots in front of that change need, so the survivor goes on
 * up to there, though it has no vote behind it: also when it stopped amid them. */
Test(paxos_force, a_survivor_that_is_replaced_leads_up_to_the_change_again)
{
	for (uint64_t after_ns = 20 * US; after_ns < 400 * US; after_ns += 20 * US) {
		struct cluster *c = started(3);

		force(c, 1 << 1, 1 << 1);
		for (uint8_t n = 0; n < 3; n += 2) {
			cluster_stop(c, n);
			cluster_force(c, n, 1, 0);
			cluster_restart(c, n, PAXOS_TAIL_CLEAN);
		}
		cluster_run(c, 150 * MS);
		cr_assert(cluster_change(c, leader_of(c, 1 << 1), 4, 5, HORIZON));
		cluster_run(c, after_ns);
		for (uint8_t n = 0; n < 3; n++)
			cluster_stop(c, n);
		for (uint8_t n = 0; n < 3; n++)
			cluster_restart(c, n, PAXOS_TAIL_CLEAN);
		cluster_run(c, 400 * MS);
		if (cluster_voters(c) == 1 << 1) /* the change was not on disk */
			cr_assert(cluster_change(c, leader_of(c, 1 << 1), 4, 5, HORIZON));
		cluster_run(c, 200 * MS);
		cr_assert_eq(cluster_voters(c), 5, "stopped after %llu ns",
			     (unsigned long long)after_ns);
		cr_assert(cluster_submit(c, leader_of(c, 5), 5), "%s", cluster_failure(c));
		cluster_run(c, 10 * MS);
		cr_assert_eq(cluster_value(c, cluster_delivered(c, 0)), 5);
		finish(c);
	}
}

/* One that was taken for lost, and went on, re-enters empty: it votes on nothing before
 * it is made a voter again, though an empty log knows the first voters only. */
Test(paxos_force, who_was_lost_comes_back_as_a_new_voter)
{
	struct cluster *c = started(5);

	cr_assert(cluster_submit(c, 0, 1));
	cluster_run(c, 2 * MS);
	leave(c, 5, 7);
	cr_assert(cluster_submit(c, 0, 2)); /* beyond the fork */
	cluster_run(c, 2 * MS);
	cr_assert_eq(cluster_delivered(c, 0), 2);
	force(c, 3 << 3, 3 << 3);
	for (uint8_t n = 0; n < 3; n++) {
		cluster_stop(c, n);
		cluster_force(c, n, 1, 0);
		cluster_restart(c, n, PAXOS_TAIL_CLEAN);
	}
	cluster_run(c, 50 * MS); /* three of five, and they decide nothing */
	cluster_heal(c);
	cluster_run(c, 100 * MS);
	uint8_t leader = leader_of(c, 3 << 3);
	cr_assert(cluster_submit(c, leader, 3));
	cluster_run(c, 10 * MS);
	for (uint8_t n = 0; n < 5; n++)
		cr_assert_geq(cluster_delivered(c, n), 2, "node %u", n);
	cr_assert(cluster_change(c, leader, 4, 1 | 3 << 3, HORIZON));
	cluster_run(c, 30 * MS);
	cr_assert_eq(cluster_voters(c), 1 | 3 << 3);
	/* It counts: the leader and 0 are a majority. */
	cluster_crash(c, (uint8_t)(7 - leader));
	cr_assert(cluster_submit(c, leader, 5));
	cluster_run(c, 5 * MS);
	cr_assert_eq(cluster_value(c, cluster_delivered(c, leader)), 5);
	finish(c);
}

/* Two that lack acknowledged records wait for each other, until they are forced. */
Test(paxos_force, holes_are_no_reason_to_wait_any_more)
{
	struct cluster *c = started(3);

	cr_assert(cluster_submit(c, 0, 1));
	cluster_run(c, 2 * MS);
	for (uint8_t n = 0; n < 2; n++) {
		cluster_crash(c, n);
		cluster_restart(c, n, PAXOS_TAIL_MISSING);
	}
	cluster_run(c, 200 * MS);
	cr_assert(!leads(c, 7));
	force(c, 7, 7);
	cluster_run(c, 100 * MS);
	cr_assert(cluster_submit(c, leader_of(c, 7), 2));
	cluster_run(c, 5 * MS);
	cr_assert_eq(cluster_value(c, 1), 1);
	finish(c);
}

/* All led; behind the force one does, and what the lost had skipped and used stays. */
Test(paxos_force, where_all_led_one_leads)
{
	struct cluster *c = started(5);

	cr_assert(cluster_switch(c, 0, 1, PAXOS_ALL_LEAD));
	cluster_run(c, 30 * MS);
	cr_assert(cluster_all_lead(c));
	for (uint8_t n = 0; n < 5; n++) {
		cr_assert(cluster_submit(c, n, 10 + n), "node %u", n);
		cluster_run(c, 100 * US);
	}
	leave(c, 5, 7 | 8);
	cr_assert(cluster_submit(c, 1, 20));
	cr_assert(cluster_submit(c, 3, 21));
	cluster_run(c, 10 * MS);
	cluster_heal(c);
	leave(c, 5, 7);
	force(c, 3 << 3, 3 << 3);
	cluster_run(c, 100 * MS);
	uint8_t leader = leader_of(c, 3 << 3);
	cr_assert(cluster_submit(c, leader, 30));
	cluster_run(c, 5 * MS);
	cr_assert_eq(cluster_value(c, cluster_delivered(c, leader)), 30);
	cr_assert(!paxos_configuration(cluster_replica(c, leader))->all_lead);
	finish(c);
}

Test(paxos_force, one_alone_goes_on_at_once)
{
	struct cluster *c = started(3);

	cr_assert(cluster_submit(c, 0, 1));
	cluster_run(c, 2 * MS);
	leave(c, 3, 3);
	force(c, 4, 4);
	cluster_run(c, 50 * MS);
	cr_assert(cluster_submit(c, 2, 2));
	cluster_run(c, 2 * MS);
	cr_assert_eq(cluster_value(c, 1), 1);
	finish(c);
}

/* Who is lost goes on as long as it can. Two forces, the second of one survivor. */
static void
random_run(uint64_t seed)
{
	struct cluster_config config = {.seed = seed,
					.replica_count = 5,
					.net_ns = 30 * US,
					.net_jitter_ns = 300 * US,
					.disk_ns = 60 * US,
					.disk_jitter_ns = 400 * US,
					.drop_percent = 5,
					.duplicate_percent = 5,
					.tail_trust_ns = 10 * MS};
	struct cluster *c = cluster_new(&config);
	uint32_t survivors = 0;
	uint64_t id = 1;

	while (__builtin_popcount(survivors) != 2)
		survivors = (uint32_t)cluster_random(c, 32);
	for (uint32_t i = 0; i < 200; i++) {
		uint8_t n = (uint8_t)cluster_random(c, 5);
		cluster_run(c, cluster_random(c, 400) * US);
		cluster_submit(c, n, id++);
		if (i % 16 == 5 && cluster_is_up(c, n))
			cluster_crash(c, n);
		else if (!cluster_is_up(c, n) && cluster_random(c, 4) == 0)
			cluster_restart(c, n, PAXOS_TAIL_CUT);
		if (i > 150 && cluster_random(c, 20) == 0)
			cluster_cut_one_way(c, n, (uint8_t)((n + 1 + cluster_random(c, 4)) % 5));
	}
	for (uint8_t n = 0; n < 5; n++) {
		if (!(survivors >> n & 1))
			continue;
		cluster_run(c, cluster_random(c, 3000) * US);
		if (cluster_is_up(c, n))
			cluster_crash(c, n);
		cluster_force(c, n, 1, survivors);
		cluster_restart(c, n, PAXOS_TAIL_CUT);
	}
	cluster_heal(c);
	for (uint32_t i = 0; i < 200; i++) {
		cluster_run(c, cluster_random(c, 400) * US);
		cluster_submit(c, (uint8_t)cluster_random(c, 5), id++);
	}
	cluster_faults(c, 0, 0);
	cluster_run(c, 200 * MS);
	uint8_t leader = leader_of(c, survivors);
	cr_assert(cluster_submit(c, leader, id));
	cluster_run(c, 10 * MS);
	cr_assert_eq(cluster_value(c, cluster_delivered(c, leader)), id, "seed %lu", seed);
	finish(c);
}

Test(paxos_force, whatever_was_lost_and_when)
{
	for (uint64_t seed = 1; seed <= 40; seed++)
		random_run(seed);
}
