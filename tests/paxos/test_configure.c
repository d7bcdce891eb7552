/*
 * Changes of the voters: when one is in force, who leads behind it, what is void, and the
 * schedules that each rule is there for. What must hold in all of them is checked by the
 * cluster (cluster.h); random ones are in test_random.c.
 */
#include <criterion/criterion.h>

#include "tests/paxos/cluster.h"

#define HORIZON 16

/* Five replicas, of which these vote, and 0 leads. Time alone ends a doubt then. */
static struct cluster *
started_trusting(uint32_t voters, uint64_t tail_trust_ns)
{
	struct cluster_config config = {.seed = 1,
					.replica_count = 5,
					.voters = voters,
					.net_ns = 30 * US,
					.disk_ns = 60 * US,
					.tail_trust_ns = tail_trust_ns};
	struct cluster *c = cluster_new(&config);

	cluster_run(c, 5 * MS);
	cr_assert_eq(cluster_leader(c), 0);
	return c;
}

static struct cluster *
started(uint32_t voters)
{
	return started_trusting(voters, UINT64_MAX / 4);
}

static void
run_until_delivered(struct cluster *c, uint8_t node, uint64_t slot)
{
	for (int i = 0; i < 40000 && cluster_delivered(c, node) < slot; i++)
		cluster_run(c, 5 * US);
	cr_assert_geq(cluster_delivered(c, node), slot, "%s", cluster_failure(c));
}

/* 0 offers a value again and again, if it can; then all heals. */
static void
goes_on(struct cluster *c)
{
	for (int i = 0; i < 20; i++) {
		cluster_submit(c, 0, 60);
		cluster_run(c, 1 * MS);
	}
	cluster_finish(c);
}

static const struct paxos_configuration *
of(const struct cluster *c, uint8_t node)
{
	return paxos_configuration(cluster_replica(c, node));
}

Test(paxos_configure, an_idle_group_is_driven_to_where_a_change_is_in_force)
{
	struct cluster *c = started(7);

	cr_assert(cluster_change(c, 0, 1, 7 | 8, 12));
	cluster_run(c, 3 * MS);
	for (uint8_t n = 0; n < 5; n++) {
		cr_assert_eq(of(c, n)->number, 1, "node %u", n);
		cr_assert_eq(of(c, n)->slot, 1);
		cr_assert_eq(of(c, n)->first, 1 + HORIZON);
		cr_assert_eq(of(c, n)->horizon, 12);
		cr_assert_eq(of(c, n)->leader, 0);
		cr_assert_geq(cluster_delivered(c, n), HORIZON, "node %u", n);
	}
	/* Four vote, and two are no majority of them. */
	cluster_cut(c, 0, 2);
	cluster_cut(c, 0, 3);
	uint64_t delivered = cluster_delivered(c, 0);
	cr_assert(cluster_submit(c, 0, 2));
	cluster_run(c, 3 * MS);
	cr_assert_eq(cluster_delivered(c, 0), delivered);
	cluster_finish(c);
}

Test(paxos_configure, the_leader_goes_on_without_a_pause)
{
	struct cluster *c = started(7);

	cr_assert(cluster_change(c, 0, 1, 1 | 8 | 16, HORIZON));
	for (uint64_t i = 0; i < 60; i++) {
		cluster_run(c, 200 * US);
		cr_assert_eq(cluster_leader(c), 0, "after %lu", i);
		cr_assert(cluster_submit(c, 0, 2 + i));
	}
	cr_assert_eq(paxos_stats(cluster_replica(c, 0))->takeovers_begun, 0);
	cr_assert(paxos_may_leave(cluster_replica(c, 1)));
	cr_assert(paxos_may_leave(cluster_replica(c, 2)));
	cr_assert(!paxos_may_leave(cluster_replica(c, 0)));
	cluster_finish(c);
}

/* Its disk has nothing of the change that the others have decided and delivered. So it prepares
 * up to its mark, hears of the change before it has its promises, and begins anew in a ballot of
 * that one: behind the mark the lowest one would be of a configuration which is over. */
Test(paxos_configure, who_forgot_the_change_takes_over_anew)
{
	struct cluster *c = started(7);

	cluster_disk_ns(c, 0, 50 * MS);
	cr_assert(cluster_change(c, 0, 1, 7 | 8, HORIZON));
	cluster_run(c, 400 * US);
	cr_assert_eq(of(c, 1)->number, 1);
	cluster_crash_lying(c, 0, 0);
	cluster_disk_ns(c, 0, 60 * US);
	cluster_restart(c, 0, PAXOS_TAIL_CLEAN);
	cr_assert_eq(of(c, 0)->number, 0);
	for (int i = 0; i < 400 && cluster_leader(c) != 0; i++)
		cluster_run(c, 10 * US);
	cr_assert_eq(cluster_leader(c), 0);
	cr_assert_eq(of(c, 0)->number, 1);
	cr_assert_eq(paxos_stats(cluster_replica(c, 0))->takeovers_begun, 2);
	cr_assert(cluster_submit(c, 0, 2));
	cluster_finish(c);
}

Test(paxos_configure, a_leader_that_leaves_hands_over)
{
	struct cluster *c = started(7);

	cr_assert(cluster_change(c, 0, 1, 2 | 4, HORIZON));
	cluster_run(c, 4 * MS); /* less than any silence that makes a voter take over */
	cr_assert_eq(cluster_leader(c), of(c, 0)->leader);
	cr_assert_neq(cluster_leader(c), 0);
	cr_assert(cluster_submit(c, (uint8_t)cluster_leader(c), 2));
	cluster_run(c, 6 * MS);
	cr_assert(paxos_may_leave(cluster_replica(c, 0)));
	/* It goes, and they are two. */
	cluster_crash(c, 0);
	cr_assert(cluster_submit(c, (uint8_t)cluster_leader(c), 3));
	cluster_run(c, 1 * MS);
	cr_assert_eq(cluster_value(c, cluster_delivered(c, 1)), 3);
	cluster_restart(c, 0, PAXOS_TAIL_CUT);
	cluster_finish(c);
}

/* Leader 2 found a change by which it leaves, and proposes it again; it does not know that yet
 * when it proposes another one in the last slot before that is in force. Both are delivered in
 * one step, and the second one would undo the first. */
Test(paxos_configure, a_change_over_one_that_was_found_is_void)
{
	struct cluster *c = started(7);

	cluster_cut(c, 0, 1);
	cr_assert(cluster_change(c, 0, 1, 3, HORIZON));
	cluster_run(c, 50 * US); /* 2 has it, and 0 hears of no vote */
	cluster_crash(c, 0);
	cluster_link_event(c, 1, 2, false);
	cluster_cut_one_way(c, 1, 2);
	cluster_run(c, 1 * MS);
	cluster_heal(c);
	cluster_link_event(c, 2, 0, false);
	for (int i = 0; i < 4000 && cluster_leader(c) != 2; i++)
		cluster_run(c, 5 * US);
	cr_assert_eq(cluster_leader(c), 2);
	cr_assert_eq(cluster_delivered(c, 2), 0);
	cluster_hold(c, 2, true);
	for (uint64_t id = 2; id < HORIZON; id++)
		cr_assert(cluster_submit(c, 2, id));
	cr_assert(cluster_change(c, 2, HORIZON, 6, HORIZON));
	cluster_run(c, 1 * MS);
	cluster_hold(c, 2, false);
	cluster_run(c, 1 * MS);
	cr_assert_geq(cluster_delivered(c, 2), HORIZON, "both are delivered");
	cr_assert_eq(of(c, 2)->number, 1);
	cr_assert_eq(of(c, 2)->voters, 3);
	cluster_restart(c, 0, PAXOS_TAIL_CUT);
	cluster_finish(c);
}

Test(paxos_configure, one_that_leaves_waits_for_a_majority_of_the_others)
{
	struct cluster *c = started(7);

	/* 3 and 4 hear of nothing: what is decided before the change is with 0 to 2 only. */
	for (uint8_t n = 0; n < 3; n++) {
		cluster_cut(c, n, 3);
		cluster_cut(c, n, 4);
	}
	cr_assert(cluster_submit(c, 0, 1));
	cr_assert(cluster_change(c, 0, 2, 1 | 8 | 16, HORIZON));
	cluster_run(c, 4 * MS);
	cr_assert_geq(cluster_delivered(c, 1), 1 + HORIZON);
	cr_assert(!paxos_may_leave(cluster_replica(c, 1)));
	cluster_heal(c);
	cluster_run(c, 40 * MS);
	cr_assert(paxos_may_leave(cluster_replica(c, 1)), "%s", cluster_failure(c));
	cluster_finish(c);
}

/* All that vote leave, and those who come hear of nothing: of them nobody knows that it votes, and
 * the last leader's last word is lost. Found by synod-sim, seeds 1149 (--rate 10) and 3942. */
Test(paxos_configure, who_leaves_says_so_until_the_others_are_there)
{
	struct cluster *c = started(7);

	for (uint8_t n = 0; n < 3; n++) {
		cluster_cut(c, n, 3);
		cluster_cut(c, n, 4);
	}
	cr_assert(cluster_change(c, 0, 1, 8 | 16, HORIZON));
	cluster_run(c, 20 * MS);
	cr_assert_geq(cluster_delivered(c, 0), HORIZON);
	cr_assert_eq(cluster_delivered(c, 3), 0);
	cr_assert_eq(cluster_leader(c), -1);
	cluster_heal(c);
	cluster_run(c, 40 * MS);
	cr_assert_geq(cluster_leader(c), 3, "%s", cluster_failure(c));
	for (uint8_t n = 0; n < 3; n++)
		cr_assert(paxos_may_leave(cluster_replica(c, n)));
	cluster_finish(c);
}

Test(paxos_configure, a_second_change_is_void_until_the_first_is_in_force)
{
	struct cluster *c = started(7);

	cr_assert(cluster_change(c, 0, 1, 7 | 8, HORIZON));
	cr_assert(!paxos_can_change(cluster_replica(c, 0)), "one is on its way");
	/* A leader that is deposed does not know of it: both are decided. */
	cluster_crash(c, 0);
	cluster_restart(c, 0, PAXOS_TAIL_CUT);
	cluster_run(c, 60 * MS);
	int leader = cluster_leader(c);
	cr_assert_geq(leader, 0);
	uint64_t before = cluster_changes(c);
	cr_assert(cluster_change(c, (uint8_t)leader, 2, 7 | 16, HORIZON));
	cr_assert(!cluster_change(c, (uint8_t)leader, 3, 7 | 8 | 16, HORIZON));
	cluster_run(c, 10 * MS);
	cr_assert_eq(cluster_changes(c), before + 1);
	cr_assert_eq(of(c, 0)->voters, 7 | 16);
	cluster_finish(c);
}

Test(paxos_configure, a_restart_knows_the_voters_from_its_log)
{
	struct cluster *c = started(7);

	cr_assert(cluster_change(c, 0, 1, 1 | 8 | 16, HORIZON));
	cluster_run(c, 10 * MS);
	for (uint8_t n = 0; n < 5; n++)
		cluster_crash(c, n);
	for (uint8_t n = 0; n < 5; n++)
		cluster_restart(c, n, PAXOS_TAIL_CUT);
	cluster_run(c, 100 * MS);
	cluster_crash(c, 1);
	cluster_crash(c, 2);
	cluster_run(c, 100 * MS);
	int leader = cluster_leader(c);
	cr_assert(leader == 0 || leader > 2, "%d", leader);
	cr_assert_eq(of(c, (uint8_t)leader)->voters, 1 | 8 | 16);
	cr_assert(cluster_submit(c, (uint8_t)leader, 2));
	uint64_t delivered = cluster_delivered(c, (uint8_t)leader);
	cluster_run(c, 3 * MS);
	cr_assert_gt(cluster_delivered(c, (uint8_t)leader), delivered);
	cluster_restart(c, 1, PAXOS_TAIL_CUT);
	cluster_restart(c, 2, PAXOS_TAIL_CUT);
	cluster_finish(c);
}

/* Slots behind the change are chosen by 0 and 4, of the new voters, while 3, who is one of
 * them too, knows of the change and not how far they are. The old voters 1 and 2 promise
 * whatever it likes: were they enough, it would decide those slots anew. */
Test(paxos_configure, a_takeover_asks_the_new_voters_too)
{
	struct cluster *c = started(7);
	uint64_t first = 1 + HORIZON;

	cr_assert(cluster_change(c, 0, 1, 1 | 8 | 16, HORIZON));
	run_until_delivered(c, 0, 1);
	for (uint8_t n = 1; n < 4; n++) {
		cluster_cut_one_way(c, 0, n);
		cluster_cut(c, 4, n);
	}
	cluster_cut_one_way(c, 3, 0);
	run_until_delivered(c, 0, first - 1);
	for (uint64_t i = 0; i < 4; i++)
		cr_assert(cluster_submit(c, 0, 2 + i));
	cluster_run(c, 35 * US);
	cluster_cut_one_way(c, 0,
			    4); /* it has accepted them, and never hears that they are chosen */
	run_until_delivered(c, 0, first + 3);
	cr_assert_lt(cluster_delivered(c, 4), first + 3);
	cr_assert_lt(cluster_delivered(c, 3), first - 1);
	cr_assert_eq(of(c, 3)->number, 1);
	cluster_run(c, 60 * MS);
	/* Then 0 is gone, and 3 meets 4. */
	cluster_heal(c);
	for (uint8_t n = 1; n < 5; n++)
		cluster_cut(c, 0, n);
	cluster_submit(c, 3, 99);
	cluster_run(c, 60 * MS);
	cluster_finish(c);
}

/* A change decided by its proposer's next leader: nobody may use the lowest ballot. */
Test(paxos_configure, whoever_finds_a_change_prepares_anew)
{
	struct cluster *c = started(7);

	cluster_cut(c, 0, 1); /* 2 alone accepts it */
	cr_assert(cluster_change(c, 0, 1, 7 | 8, HORIZON));
	cluster_run(c, 50 * US);
	cluster_cut(c, 0, 2);
	cluster_cut(c, 0, 3);
	cluster_cut(c, 0, 4);
	cluster_run(c, 60 * MS);
	/* The one that was leads on for itself, and decides nothing. */
	uint8_t leader = paxos_is_leader(cluster_replica(c, 1)) ? 1 : 2;
	cr_assert(paxos_is_leader(cluster_replica(c, leader)));
	cr_assert_eq(of(c, leader)->number, 1);
	cr_assert_eq(of(c, leader)->leader, 0);
	cr_assert_geq(paxos_stats(cluster_replica(c, leader))->takeovers_won, 2);
	cr_assert(cluster_submit(c, leader, 2));
	cluster_finish(c);
}

/* The proposer of a change has used the ballot that it gives, and forgets that it did. Its
 * next process finds the change with the old voters, whom nobody told more, and its name in
 * it: were the name enough, it would use that ballot again, for another value. */
Test(paxos_configure, the_lowest_ballot_is_one_process_s)
{
	struct cluster *c = started_trusting(7, 1 * MS);
	uint64_t first = 1 + HORIZON;

	cluster_disk_ns(c, 0, 50 * MS);
	cr_assert(cluster_change(c, 0, 1, 1 | 8 | 16, HORIZON));
	cluster_run(c, 35 * US);
	cluster_cut_one_way(c, 0, 1);
	cluster_cut_one_way(c, 0, 2);
	cluster_cut_one_way(c, 0, 4);
	run_until_delivered(c, 0, 1);
	cr_assert(cluster_submit(c, 0, 50)); /* in the first slot of the new voters: 3 has it */
	cluster_run(c, 40 * US);
	cluster_crash_lying(c, 0, 0); /* its disk had nothing of all this */
	cluster_run(c, 1 * MS);
	cluster_heal(c);
	for (uint8_t n = 0; n < 3; n++)
		cluster_cut(c, n, 3);
	cluster_disk_ns(c, 0, 60 * US);
	cluster_restart(c, 0, PAXOS_TAIL_CUT);
	for (int i = 0; i < 1000 && of(c, 0)->number == 0; i++)
		cluster_run(c, 10 * US);
	cr_assert_eq(of(c, 0)->number, 1, "%s", cluster_failure(c));
	cr_assert_lt(cluster_delivered(c, 0), first);
	goes_on(c);
}

/* 0's disk lies: of a change that it decided with 1 and 2, which were never told so, it knows
 * nothing any more, nor of what it decided with 3 behind that. 1 and 2 have accepted the change,
 * and are all others who vote as far as 0 knows. Were they enough to end its doubt, it and 4, which
 * are a majority behind the change, would decide another value in that slot while 3 is away. */
Test(paxos_configure, who_forgot_a_change_asks_whom_it_makes_voters)
{
	struct cluster *c = started(7);
	uint64_t first = 1 + HORIZON;

	cr_assert(cluster_change(c, 0, 1, 1 | 8 | 16, HORIZON));
	for (uint64_t id = 2; id < first; id++)
		cr_assert(cluster_submit(c, 0, id));
	cluster_run(c, 35 * US); /* they are on their way */
	cluster_cut_one_way(c, 0, 1);
	cluster_cut_one_way(c, 0, 2);
	cluster_cut_one_way(c, 0, 4);
	run_until_delivered(c, 0, first - 1);
	cr_assert(cluster_submit(c, 0, 50));
	run_until_delivered(c, 0, first);
	cr_assert_eq(cluster_value(c, first), 50);
	cr_assert_eq(cluster_delivered(c, 1) + cluster_delivered(c, 2), 0);
	cluster_crash_lying(c, 0, CLUSTER_RECORDS_MAX);
	cluster_run(c, 1 * MS);
	cluster_heal(c);
	for (uint8_t n = 0; n < 5; n++)
		if (n != 3)
			cluster_cut(c, n, 3);
	cluster_restart(c, 0, PAXOS_TAIL_ROTTEN);
	cluster_run(c, 20 * MS);
	goes_on(c);
}

/* The leader's disk hangs, and with it what it reserves for ballot 0: what it may propose behind a
 * change, it may not while it can propose nothing before. */
Test(paxos_configure, who_may_not_fill_what_comes_first_proposes_nothing)
{
	for (uint64_t used = 0; used < 64; used++) {
		struct cluster *c = started(7);

		cluster_disk_ns(c, 0, 20 * MS);
		for (uint64_t i = 0; i < used; i++) {
			cluster_submit(c, 0, 1000 + i);
			cluster_run(c, 200 * US);
		}
		cluster_change(c, 0, 1, 7, HORIZON);
		for (uint64_t i = 0; i < 200; i++) {
			cluster_submit(c, 0, 16 + i);
			cluster_run(c, 20 * US);
		}
		cluster_disk_ns(c, 0, 60 * US);
		cluster_finish(c);
	}
}

/* 3 and 4 are new, and know of nothing: were 1 to wait for them, it and 0 could not decide what
 * makes them voters. */
Test(paxos_configure, who_forgot_does_not_wait_for_whom_nothing_makes_voters_yet)
{
	struct cluster *c = started(3);

	for (uint8_t n = 0; n < 3; n++) {
		cluster_cut(c, n, 3);
		cluster_cut(c, n, 4);
	}
	cr_assert(cluster_change(c, 0, 1, 3 | 8 | 16, HORIZON));
	for (uint64_t id = 2; id < HORIZON; id++)
		cr_assert(cluster_submit(c, 0, id)); /* but for one, all before it is in force */
	cluster_run(c, 35 * US);
	cluster_crash_lying(c, 1, CLUSTER_RECORDS_MAX);
	cluster_restart(c, 1, PAXOS_TAIL_ROTTEN);
	run_until_delivered(c, 1, HORIZON - 1);
	cr_assert(paxos_is_voting(cluster_replica(c, 1)));
	cluster_finish(c);
}
