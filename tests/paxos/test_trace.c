/*
 * One replica's part in every rule of the protocol, as traces.
 *
 * The disk is slower than the network here (60 us against 30), so that a test can
 * stop a replica between deciding and having written. A line is one event or one
 * output, in virtual microseconds; a missing line fails the test just as an
 * unexpected one does. Safety is checked by the cluster after every step, so no
 * test repeats it. Voter 0 is the configured leader.
 */
#include <criterion/criterion.h>

#include "tests/paxos/cluster.h"

static const struct cluster_config three = {.seed = 1,
					    .replica_count = 3,
					    .net_ns = 30 * US,
					    .disk_ns = 60 * US,
					    .tail_trust_ns = 50 * MS,
					    .trace = true};

/* A cluster whose start lies behind it: the leader's reservation is on disk. */
static struct cluster *
started(const struct cluster_config *config)
{
	struct cluster *c = cluster_new(config);
	cluster_run(c, 1 * MS);
	cluster_forget_trace(c);
	return c;
}

Test(paxos_trace, a_commit)
{
	struct cluster *c = started(&three);
	cluster_submit(c, 0, 0xab);
	cluster_run(c, 500 * US);
	cluster_expect(c, "[1000] 0 > submit ab\n"
			  "[1000] 0   log accept 1 b0 ab @440\n"
			  "[1000] 0   to 1: accept 1 b0 ab\n"
			  "[1000] 0   to 2: accept 1 b0 ab\n"
			  "[1030] 1 > from 0: accept 1 b0 ab\n"
			  "[1030] 1   log accept 1 b0 ab @296\n"
			  "[1030] 1   to 0: accepted b0 1..1, held for @296\n"
			  "[1030] 2 > from 0: accept 1 b0 ab\n"
			  "[1030] 2   log accept 1 b0 ab @296\n"
			  "[1030] 2   to 0: accepted b0 1..1, held for @296\n"
			  "[1060] 0 > durable @440\n"
			  "[1090] 1 > durable @296\n"
			  "[1090] 2 > durable @296\n"
			  "[1120] 0 > from 1: accepted b0 1..1\n"
			  "[1120] 0   deliver 1 ab\n"
			  "[1120] 0   to 1: decided b0 1\n"
			  "[1120] 0   to 2: decided b0 1\n"
			  "[1120] 0 > from 2: accepted b0 1..1\n"
			  "[1150] 1 > from 0: decided b0 1\n"
			  "[1150] 1   deliver 1 ab\n"
			  "[1150] 2 > from 0: decided b0 1\n"
			  "[1150] 2   deliver 1 ab\n");
	cluster_free(c);
}

/* The leader's own vote waits for its disk like anybody's; here the others, being
 * faster, are a quorum without it. */
Test(paxos_trace, a_slow_disk_at_the_leader)
{
	struct cluster *c = started(&three);
	cluster_disk_ns(c, 0, 400 * US);
	cluster_submit(c, 0, 0xab);
	cluster_run(c, 700 * US);
	cluster_expect(c, "[1000] 0 > submit ab\n"
			  "[1000] 0   log accept 1 b0 ab @440\n"
			  "[1000] 0   to 1: accept 1 b0 ab\n"
			  "[1000] 0   to 2: accept 1 b0 ab\n"
			  "[1030] 1 > from 0: accept 1 b0 ab\n"
			  "[1030] 1   log accept 1 b0 ab @296\n"
			  "[1030] 1   to 0: accepted b0 1..1, held for @296\n"
			  "[1030] 2 > from 0: accept 1 b0 ab\n"
			  "[1030] 2   log accept 1 b0 ab @296\n"
			  "[1030] 2   to 0: accepted b0 1..1, held for @296\n"
			  "[1090] 1 > durable @296\n"
			  "[1090] 2 > durable @296\n"
			  "[1120] 0 > from 1: accepted b0 1..1\n"
			  "[1120] 0 > from 2: accepted b0 1..1\n"
			  "[1120] 0   deliver 1 ab\n"
			  "[1120] 0   to 1: decided b0 1\n"
			  "[1120] 0   to 2: decided b0 1\n"
			  "[1150] 1 > from 0: decided b0 1\n"
			  "[1150] 1   deliver 1 ab\n"
			  "[1150] 2 > from 0: decided b0 1\n"
			  "[1150] 2   deliver 1 ab\n"
			  "[1400] 0 > durable @440\n");
	cluster_free(c);
}

/* An acceptor that dies between writing and answering has accepted: after the
 * restart it says so, even though its peer never heard it. */
Test(paxos_trace, acceptance_written_but_not_sent)
{
	struct cluster *c = started(&three);
	cluster_cut(c, 0, 2);
	cluster_submit(c, 0, 0xab);
	cluster_cut_one_way(c, 1, 0);
	cluster_run(c, 200 * US);
	cluster_stop(c, 1);
	cluster_restart(c, 1, PAXOS_TAIL_CLEAN);
	cluster_heal(c);
	cluster_cut(c, 0, 2);
	cluster_run(c, 1 * MS);
	cluster_forget_trace(c);
	cluster_run(c, 2 * MS);
	cluster_expect(c, "[4000] 0 > tick\n"
			  "[4000] 0   to 1: accept 1 b0 ab\n"
			  "[4000] 0   to 2: accept 1 b0 ab\n"
			  "[4000] 0   to 1: decided b0 0\n"
			  "[4000] 0   to 2: decided b0 0\n"
			  "[4030] 1 > from 0: accept 1 b0 ab\n"
			  "[4030] 1   to 0: accepted b0 1..1\n"
			  "[4030] 1 > from 0: decided b0 0\n"
			  "[4060] 0 > from 1: accepted b0 1..1\n"
			  "[4060] 0   deliver 1 ab\n"
			  "[4060] 0   to 1: decided b0 1\n"
			  "[4060] 0   to 2: decided b0 1\n"
			  "[4090] 1 > from 0: decided b0 1\n"
			  "[4090] 1   deliver 1 ab\n");
	cluster_free(c);
}

/* The leader is gone after one voter accepted: who takes over finds the value
 * there, and proposes it again in its own ballot. */
Test(paxos_trace, takeover_adopts_an_accepted_value)
{
	struct cluster *c = started(&three);
	cluster_cut(c, 0, 1);
	cluster_submit(c, 0, 0xab);
	cluster_run(c, 60 * US);
	cluster_crash(c, 0);
	cluster_run(c, 3 * MS);
	cluster_forget_trace(c);
	cluster_run(c, 3 * MS);
	cluster_expect(c, "[5030] 1 > tick\n"
			  "[5030] 1   log promise b1.1 @288\n"
			  "[5030] 1   to 0: prepare b1.1 1..end, held for @288\n"
			  "[5030] 1   to 2: prepare b1.1 1..end, held for @288\n"
			  "[5030] 1   no leader\n"
			  "[5090] 1 > durable @288\n"
			  "[5120] 2 > from 1: prepare b1.1 1..end\n"
			  "[5120] 2   log promise b1.1 @440\n"
			  "[5120] 2   to 1: promise b1.1, 1 reports, delivered 0, held for @440\n"
			  "[5120] 2   to 1: report 1 b0 ab, held for @440\n"
			  "[5120] 2   leader 1 b1.1\n"
			  "[5180] 2 > durable @440\n"
			  "[5210] 1 > from 2: promise b1.1, 1 reports, delivered 0\n"
			  "[5210] 1 > from 2: report 1 b0 ab\n"
			  "[5210] 1   log accept 1 b1.1 ab @440\n"
			  "[5210] 1   to 0: accept 1 b1.1 ab\n"
			  "[5210] 1   to 2: accept 1 b1.1 ab\n"
			  "[5210] 1   leader 1 b1.1\n"
			  "[5240] 2 > from 1: accept 1 b1.1 ab\n"
			  "[5240] 2   log accept 1 b1.1 ab @592\n"
			  "[5240] 2   to 1: accepted b1.1 1..1, held for @592\n"
			  "[5270] 1 > durable @440\n"
			  "[5300] 2 > durable @592\n"
			  "[5330] 1 > from 2: accepted b1.1 1..1\n"
			  "[5330] 1   deliver 1 ab\n"
			  "[5330] 1   to 0: decided b1.1 1\n"
			  "[5330] 1   to 2: decided b1.1 1\n"
			  "[5360] 2 > from 1: decided b1.1 1\n"
			  "[5360] 2   deliver 1 ab\n");
	cluster_free(c);
}

/* What the leader's former process proposed and lost with its memory may be held
 * by others: below the reservation the new process prepares first. */
Test(paxos_trace, restart_below_the_reservation)
{
	struct cluster *c = started(&three);
	cluster_disk_ns(c, 0, 1 * MS);
	cluster_cut(c, 0, 2);
	cluster_submit(c, 0, 0xab);
	cluster_run(c, 50 * US);
	cluster_crash_lying(c, 0, 0);
	cluster_heal(c);
	cluster_disk_ns(c, 0, 60 * US);
	cluster_forget_trace(c);
	cluster_restart(c, 0, PAXOS_TAIL_CLEAN);
	cluster_run(c, 500 * US);
	cluster_expect(c, "[1050] 0 > start 2, 2 records, delivered 0\n"
			  "[1050] 0   log start 2 @432\n"
			  "[1050] 0   log promise b0, b1.0 below 49 @576\n"
			  "[1050] 0   to 1: prepare b1.0 1..48, held for @576\n"
			  "[1050] 0   to 2: prepare b1.0 1..48, held for @576\n"
			  "[1050] 0   no leader\n"
			  "[1090] 1 > durable @296\n"
			  "[1110] 0 > durable @576\n"
			  "[1120] 0 > from 1: accepted b0 1..1\n"
			  "[1140] 1 > from 0: prepare b1.0 1..48\n"
			  "[1140] 1   log promise b0, b1.0 below 49 @440\n"
			  "[1140] 1   to 0: promise b1.0, 1 reports, delivered 0, held for @440\n"
			  "[1140] 1   to 0: report 1 b0 ab, held for @440\n"
			  "[1140] 1   leader 0 b1.0\n"
			  "[1140] 2 > from 0: prepare b1.0 1..48\n"
			  "[1140] 2   log promise b0, b1.0 below 49 @288\n"
			  "[1140] 2   to 0: promise b1.0, 0 reports, delivered 0, held for @288\n"
			  "[1140] 2   leader 0 b1.0\n"
			  "[1200] 1 > durable @440\n"
			  "[1200] 2 > durable @288\n"
			  "[1230] 0 > from 1: promise b1.0, 1 reports, delivered 0\n"
			  "[1230] 0 > from 1: report 1 b0 ab\n"
			  "[1230] 0   log accept 1 b1.0 ab @728\n"
			  "[1230] 0   to 1: accept 1 b1.0 ab\n"
			  "[1230] 0   to 2: accept 1 b1.0 ab\n"
			  "[1230] 0   leader 0 b1.0\n"
			  "[1230] 0 > from 2: promise b1.0, 0 reports, delivered 0\n"
			  "[1260] 1 > from 0: accept 1 b1.0 ab\n"
			  "[1260] 1   log accept 1 b1.0 ab @592\n"
			  "[1260] 1   to 0: accepted b1.0 1..1, held for @592\n"
			  "[1260] 2 > from 0: accept 1 b1.0 ab\n"
			  "[1260] 2   log accept 1 b1.0 ab @440\n"
			  "[1260] 2   to 0: accepted b1.0 1..1, held for @440\n"
			  "[1290] 0 > durable @728\n"
			  "[1320] 1 > durable @592\n"
			  "[1320] 2 > durable @440\n"
			  "[1350] 0 > from 1: accepted b1.0 1..1\n"
			  "[1350] 0   deliver 1 ab\n"
			  "[1350] 0   to 1: decided b1.0 1\n"
			  "[1350] 0   to 2: decided b1.0 1\n"
			  "[1350] 0 > from 2: accepted b1.0 1..1\n"
			  "[1380] 1 > from 0: decided b1.0 1\n"
			  "[1380] 1   deliver 1 ab\n"
			  "[1380] 2 > from 0: decided b1.0 1\n"
			  "[1380] 2   deliver 1 ab\n");
	cluster_free(c);
}

/* After an unclean stop a voter neither promises nor accepts until all others have
 * told it what they know. */
Test(paxos_trace, a_cut_tail_waits_for_the_others)
{
	struct cluster *c = started(&three);
	cluster_submit(c, 0, 0xab);
	cluster_run(c, 500 * US);
	cluster_crash_lying(c, 1, 1);
	cluster_cut(c, 1, 2);
	cluster_forget_trace(c);
	cluster_restart(c, 1, PAXOS_TAIL_CUT);
	cluster_run(c, 200 * US);
	cluster_expect(c, "[1500] 1 > start 2, 1 records, delivered 0\n"
			  "[1500] 1   log start 2 @288\n"
			  "[1500] 1   to 0: recover\n"
			  "[1500] 1   to 2: recover\n"
			  "[1500] 1   leader 0 b0\n"
			  "[1530] 0 > from 1: recover\n"
			  "[1530] 0   to 1: recovered b0, 0 reports, delivered 1\n"
			  "[1560] 1 > durable @288\n"
			  "[1560] 1 > from 0: recovered b0, 0 reports, delivered 1\n"
			  "[1560] 1   to 0: learn 1..1\n"
			  "[1590] 0 > from 1: learn 1..1\n"
			  "[1590] 0   to 1: learned 1 ab\n"
			  "[1620] 1 > from 0: learned 1 ab\n"
			  "[1620] 1   log learned 1 ab @440\n"
			  "[1620] 1   deliver 1 ab\n"
			  "[1680] 1 > durable @440\n");
	cluster_submit(c, 0, 0xcd); /* is not accepted by 1 */
	cluster_run(c, 100 * US);
	cluster_expect(c, "[1700] 0 > submit cd\n"
			  "[1700] 0   log accept 2 b0 cd @592\n"
			  "[1700] 0   to 1: accept 2 b0 cd\n"
			  "[1700] 0   to 2: accept 2 b0 cd\n"
			  "[1730] 1 > from 0: accept 2 b0 cd\n"
			  "[1730] 2 > from 0: accept 2 b0 cd\n"
			  "[1730] 2   log accept 2 b0 cd @448\n"
			  "[1730] 2   to 0: accepted b0 2..2, held for @448\n"
			  "[1760] 0 > durable @592\n"
			  "[1790] 2 > durable @448\n");
	cluster_heal(c);
	cluster_run(c, 1600 * US);
	cluster_forget_trace(c);
	cluster_run(c, 250 * US);
	cluster_expect(c, "[3500] 1 > tick\n"
			  "[3500] 1   to 2: recover\n"
			  "[3530] 2 > from 1: recover\n"
			  "[3530] 2   to 1: recovered b0, 0 reports, delivered 2\n"
			  "[3560] 1 > from 2: recovered b0, 0 reports, delivered 2\n"
			  "[3560] 1   to 0: recover\n"
			  "[3560] 1   to 2: recover\n"
			  "[3590] 0 > from 1: recover\n"
			  "[3590] 0   to 1: recovered b0, 0 reports, delivered 2\n"
			  "[3590] 2 > from 1: recover\n"
			  "[3590] 2   to 1: recovered b0, 0 reports, delivered 2\n"
			  "[3620] 1 > from 0: recovered b0, 0 reports, delivered 2\n"
			  "[3620] 1 > from 2: recovered b0, 0 reports, delivered 2\n"
			  "[3620] 1   log promise b0 @736\n");
	cluster_free(c);
}

/* Simulator seed 2023: a voter that forgot an accepted value, and stopped orderly before
 * the others could tell it, began its next process with a log that ended well. It
 * promised to another leader that had not seen the value, which was decided. */
Test(paxos_trace, a_doubt_outlives_an_orderly_stop)
{
	struct cluster *c = started(&three);
	cluster_submit(c, 0, 0xab);
	cluster_run(c, 500 * US);
	cluster_crash_lying(c, 1, 1);
	cluster_cut(c, 1, 0);
	cluster_cut(c, 1, 2);
	cluster_restart(c, 1, PAXOS_TAIL_CUT);
	cluster_run(c, 500 * US);
	cluster_stop(c, 1);
	cluster_forget_trace(c);
	cluster_restart(c, 1, PAXOS_TAIL_CLEAN);
	cluster_run(c, 100 * US);
	cluster_expect(c, "[2000] 1 > start 3, 2 records, delivered 0\n"
			  "[2000] 1   log start 3 @432\n"
			  "[2000] 1   to 0: recover\n"
			  "[2000] 1   to 2: recover\n"
			  "[2000] 1   leader 0 b0\n"
			  "[2030] 2 > from 0: decided b0 1\n"
			  "[2060] 1 > durable @432\n");
	cluster_heal(c);
	cluster_run(c, 5 * MS);
	cluster_stop(c, 1);
	cluster_forget_trace(c);
	cluster_restart(c, 1, PAXOS_TAIL_CLEAN);
	cluster_run(c, 100 * US);
	cluster_expect(c, "[7100] 1   deliver 1 ab\n"
			  "[7100] 1 > start 4, 7 records, delivered 1\n"
			  "[7100] 1   log start 4 @1160\n"
			  "[7100] 1   leader 0 b0\n"
			  "[7160] 1 > durable @1160\n");
	cluster_free(c);
}

/* What is no longer in memory is read from disk for a voter that was away. */
/* It votes on, and asks nobody for what it has; a leader that holds goes on until its
 * window is full. */
Test(paxos_trace, who_takes_no_delivery_gets_all_of_it_later)
{
	struct cluster_config quiet = three;
	quiet.trace = false;
	struct cluster *c = started(&quiet);
	cluster_hold(c, 1, true);
	cluster_cut(c, 0, 2);
	for (uint64_t i = 0; i < 5; i++) {
		cr_assert(cluster_submit(c, 0, 10 + i));
		cluster_run(c, 1 * MS);
	}
	cr_assert_eq(cluster_delivered(c, 0), 5, "the vote of 1 was needed");
	cr_assert_eq(cluster_delivered(c, 1), 0);
	cluster_run(c, 20 * MS);
	cluster_hold(c, 1, false);
	cluster_run(c, 100 * US);
	cr_assert_eq(cluster_delivered(c, 1), 5);

	uint32_t proposed = 0;
	cluster_hold(c, 0, true);
	while (proposed < 1000 && cluster_submit(c, 0, 100 + proposed)) {
		cluster_run(c, 1 * MS);
		proposed++;
	}
	cr_assert_gt(proposed, 5);
	cr_assert_leq(proposed, PAXOS_HORIZON_MAX);
	cr_assert_eq(cluster_delivered(c, 0), 5);
	cr_assert_eq(cluster_delivered(c, 1), 5, "who leads tells what it has delivered");
	cluster_hold(c, 0, false);
	cluster_run(c, 5 * MS);
	cr_assert_eq(cluster_delivered(c, 0), 5 + proposed);
	cr_assert_eq(cluster_delivered(c, 1), 5 + proposed);
	cluster_free(c);
}

Test(paxos_trace, catching_up_from_disk)
{
	struct cluster *c = started(&three);
	cluster_cut(c, 0, 2);
	cluster_cut(c, 1, 2);
	cluster_submit(c, 0, 0xab);
	cluster_submit(c, 0, 0xcd);
	cluster_run(c, 400 * US);
	cluster_pressure(c, 0, true);
	cluster_run(c, 700 * US);
	cluster_heal(c);
	cluster_run(c, 1500 * US);
	cluster_forget_trace(c);
	cluster_run(c, 1000 * US);
	cluster_expect(c, "[4000] 0 > tick\n"
			  "[4000] 0   to 1: decided b0 2\n"
			  "[4000] 0   to 2: decided b0 2\n"
			  "[4030] 1 > from 0: decided b0 2\n"
			  "[4030] 2 > from 0: decided b0 2\n"
			  "[4030] 2   to 0: learn 1..2\n"
			  "[4060] 0 > from 2: learn 1..2\n"
			  "[4060] 0   read 1 for 2\n"
			  "[4060] 0   read 2 for 2\n"
			  "[4120] 0   to 2: learned 1 ab\n"
			  "[4120] 0   to 2: learned 2 cd\n"
			  "[4150] 2 > from 0: learned 1 ab\n"
			  "[4150] 2   log learned 1 ab @296\n"
			  "[4150] 2   deliver 1 ab\n"
			  "[4150] 2 > from 0: learned 2 cd\n"
			  "[4150] 2   log learned 2 cd @448\n"
			  "[4150] 2   deliver 2 cd\n"
			  "[4210] 2 > durable @296\n"
			  "[4270] 2 > durable @448\n");
	cluster_free(c);
}

/* A leader that was away finds a higher ballot, and follows. */
Test(paxos_trace, a_deposed_leader)
{
	struct cluster *c = started(&three);
	cluster_cut(c, 0, 1);
	cluster_cut(c, 0, 2);
	cluster_run(c, 8 * MS);
	cluster_heal(c);
	cluster_forget_trace(c);
	cluster_submit(c, 0, 0xab);
	cluster_run(c, 200 * US);
	cluster_expect(c, "[9000] 0 > submit ab\n"
			  "[9000] 0   log accept 1 b0 ab @440\n"
			  "[9000] 0   to 1: accept 1 b0 ab\n"
			  "[9000] 0   to 2: accept 1 b0 ab\n"
			  "[9030] 1 > from 0: accept 1 b0 ab\n"
			  "[9030] 1   to 0: refuse b0 for b1.1\n"
			  "[9030] 2 > from 0: accept 1 b0 ab\n"
			  "[9030] 2   to 0: refuse b0 for b1.1\n"
			  "[9060] 0 > durable @440\n"
			  "[9060] 0 > from 1: refuse b0 for b1.1\n"
			  "[9060] 0   leader 1 b1.1\n"
			  "[9060] 0 > from 2: refuse b0 for b1.1\n");
	cluster_free(c);
}

Test(paxos_trace, a_single_voter)
{
	struct cluster_config one = three;
	one.replica_count = 1;
	struct cluster *c = started(&one);
	cluster_submit(c, 0, 0xab);
	cluster_run(c, 100 * US);
	cluster_stop(c, 0);
	cluster_restart(c, 0, PAXOS_TAIL_CLEAN);
	cluster_run(c, 200 * US);
	cluster_submit(c, 0, 0xcd);
	cluster_run(c, 100 * US);
	cluster_expect(c, "[1000] 0 > submit ab\n"
			  "[1000] 0   log accept 1 b0 ab @440\n"
			  "[1060] 0 > durable @440\n"
			  "[1060] 0   deliver 1 ab\n"
			  "[1100] 0 > stop\n"
			  "[1100] 0 > start 2, 3 records, delivered 0\n"
			  "[1100] 0   log start 2 @584\n"
			  "[1100] 0   log promise b0, b1.0 below 49 @728\n"
			  "[1100] 0   no leader\n"
			  "[1160] 0 > durable @728\n"
			  "[1160] 0   log accept 1 b1.0 ab @880\n"
			  "[1160] 0   leader 0 b1.0\n"
			  "[1220] 0 > durable @880\n"
			  "[1220] 0   deliver 1 ab\n"
			  "[1300] 0 > submit cd\n"
			  "[1300] 0   log accept 2 b1.0 cd @1032\n"
			  "[1360] 0 > durable @1032\n"
			  "[1360] 0   deliver 2 cd\n");
	cluster_free(c);
}

static const struct cluster_config crowded = {.seed = 1,
					      .replica_count = 3,
					      .net_ns = 30 * US,
					      .disk_ns = 60 * US,
					      .tail_trust_ns = 50 * MS,
					      .link_room = 2};

/* The first in line to take over is far behind, and a link has room for two messages of
 * a step. Values that it lacks must not crowd out the promise again and again: nobody
 * else would try while it does (a simulated group stood still for ever). */
Test(paxos_trace, a_candidate_that_is_behind_is_not_answered_with_values_alone)
{
	struct cluster *c = cluster_new(&crowded);
	cluster_run(c, 1 * MS);
	cluster_cut(c, 0, 1);
	cluster_cut(c, 1, 2);
	for (uint64_t i = 0; i < 70; i++) {
		cluster_pressure(c, 2, i < 35); /* the oldest are on disk only */
		cr_assert(cluster_submit(c, 0, 100 + i));
		cluster_run(c, 1 * MS);
	}
	cr_assert_eq(cluster_delivered(c, 2), 70);
	cr_assert_eq(cluster_delivered(c, 1), 0);
	cluster_crash(c, 0);
	cluster_heal(c);
	cluster_run(c, 2000 * MS);
	cr_assert_eq(cluster_delivered(c, 1), 70);
	cr_assert_neq(cluster_leader(c), -1);
	cr_assert(cluster_failure(c) == NULL, "%s", cluster_failure(c));
	cluster_free(c);
}

/* The same for what a promise consists of: a repetition asks for what is missing, not
 * for the first two once more. */
Test(paxos_trace, reports_that_found_no_room_come_with_the_next_prepare)
{
	struct cluster *c = cluster_new(&crowded);
	cluster_run(c, 1 * MS);
	cluster_cut(c, 0, 1);
	cluster_cut_one_way(c, 2, 0);
	for (uint64_t i = 0; i < 9; i++) {
		cr_assert(cluster_submit(c, 0, 100 + i));
		cluster_run(c, 100 * US);
	}
	cluster_crash(c, 0);
	cluster_heal(c);
	cluster_run(c, 500 * MS);
	cr_assert_neq(cluster_leader(c), -1);
	cr_assert_eq(cluster_delivered(c, 1), 9);
	cr_assert_eq(cluster_value(c, 9), 108);
	cr_assert(cluster_failure(c) == NULL, "%s", cluster_failure(c));
	cluster_free(c);
}

/* A cut tail is trusted by time alone when nobody answers; a rotten one never is. */
static bool
votes_alone(enum paxos_tail tail, uint64_t after_ns)
{
	struct cluster_config untraced = three; /* it is long */
	untraced.trace = false;
	struct cluster *c = started(&untraced);
	cluster_crash(c, 1);
	cluster_crash(c, 2);
	cluster_cut_one_way(c, 2, 1);
	cluster_cut_one_way(c, 1, 2);
	cluster_restart(c, 1, tail);
	cluster_cut_one_way(c, 0, 1); /* 1 hears from nobody */
	cluster_run(c, after_ns);
	bool votes = paxos_stats(cluster_replica(c, 1))->takeovers_begun > 0;
	cr_assert(cluster_failure(c) == NULL, "%s", cluster_failure(c));
	cluster_free(c);
	return votes;
}

Test(paxos_trace, a_cut_tail_is_trusted_after_its_time_and_a_rotten_one_never)
{
	cr_assert(!votes_alone(PAXOS_TAIL_CUT, 49 * MS));
	cr_assert(votes_alone(PAXOS_TAIL_CUT, 90 * MS));
	cr_assert(!votes_alone(PAXOS_TAIL_ROTTEN, 900 * MS));
}

/* A voter in doubt was told of a promise, to a candidate that is still at it, and then time
 * alone ends the doubt: it promises that ballot, and must have it on disk. */
Test(paxos_trace, a_promise_told_to_one_whom_time_ends_is_logged)
{
	struct cluster_config untraced = three;
	untraced.trace = false;
	untraced.tail_trust_ns = 3 * MS;
	for (uint64_t ms = 0; ms < 12; ms++) {
		struct cluster *c = started(&untraced);
		cluster_crash(c, 0);
		cluster_crash(c, 2);
		cluster_run(c, (20 + ms) * MS);
		cluster_restart(c, 2, PAXOS_TAIL_CUT);
		cluster_run(c, 20 * MS);
		cr_assert_null(cluster_failure(c), "%s", cluster_failure(c));
		cluster_free(c);
	}
}

/* A hole took everything from a voter's log, its promise and its START too. Until the one
 * to whom it promised answers, it accepts nothing that it had promised not to. */
Test(paxos_trace, a_promise_in_a_hole_is_asked_for)
{
	struct cluster_config untraced = three;
	untraced.trace = false;
	struct cluster *c = started(&untraced);
	cluster_cut(c, 0, 1);
	cluster_cut(c, 0, 2);
	cluster_run(c, 500 * MS);
	cr_assert(paxos_is_leader(cluster_replica(c, 1)));
	uint64_t promised = paxos_promised(cluster_replica(c, 2), 1);
	cr_assert_gt(promised, 0);
	cluster_crash_lying(c, 2, CLUSTER_RECORDS_MAX);
	cluster_heal(c);
	cluster_cut(c, 0, 1);
	cluster_cut(c, 1, 2);
	cluster_restart(c, 2, PAXOS_TAIL_MISSING);
	cluster_submit(c, 0, 0xcd); /* in ballot 0 */
	cluster_run(c, 900 * MS);
	cr_assert(!paxos_is_voting(cluster_replica(c, 2)));
	cr_assert_eq(paxos_doubt(cluster_replica(c, 2)), PAXOS_TAIL_MISSING);
	cr_assert_eq(cluster_delivered(c, 0), 0);
	cluster_heal(c);
	cluster_run(c, 900 * MS);
	cr_assert(paxos_is_voting(cluster_replica(c, 2)));
	cr_assert_eq(paxos_doubt(cluster_replica(c, 2)), PAXOS_TAIL_CLEAN);
	cr_assert_geq(paxos_promised(cluster_replica(c, 2), 1), promised);
	cr_assert(cluster_failure(c) == NULL, "%s", cluster_failure(c));
	cluster_free(c);
}

/* A majority decided a value, and the disks of exactly these two lost it. Were each to
 * take the other's word, the slot would be free, and the third agree to another value. */
Test(paxos_trace, two_that_lack_the_same_do_not_assure_each_other)
{
	struct cluster_config untraced = three;
	untraced.trace = false;
	struct cluster *c = started(&untraced);
	cluster_cut(c, 0, 2);
	cluster_cut(c, 1, 2);
	cluster_submit(c, 0, 0xab);
	cluster_run(c, 1 * MS);
	cr_assert_eq(cluster_delivered(c, 1), 1);
	for (uint8_t n = 0; n < 2; n++)
		cluster_crash_lying(c, n, CLUSTER_RECORDS_MAX);
	cluster_heal(c);
	for (uint8_t n = 0; n < 2; n++)
		cluster_restart(c, n, PAXOS_TAIL_MISSING);
	cluster_run(c, 900 * MS);
	for (uint8_t n = 0; n < 2; n++)
		cr_assert(!paxos_is_voting(cluster_replica(c, n)));
	cr_assert_eq(cluster_leader(c), -1);
	cr_assert(cluster_failure(c) == NULL, "%s", cluster_failure(c));
	cluster_free(c);
}

/* The model doubt:TRUST_BESIDE_A_LOSS. 1 accepts a value from 0, whose disk is slow, and loses it
 * in a hole; it asks, and 2 answers before it hears of the value. 0 decides it with the votes of 1
 * and 2, and fails with its own not on disk yet. Its next process answers 1 that it knows of
 * nothing, and is trusted after its time, while 2 is away. Were the old answer of 2 enough for 1,
 * the two that lack the value would agree to another one. */
Test(paxos_trace, an_answer_is_older_than_the_end_of_one_who_counted)
{
	struct cluster_config untraced = three;
	untraced.trace = false;
	struct cluster *c = started(&untraced);
	cluster_disk_ns(c, 0, 3600 * 1000 * MS);
	cluster_cut(c, 0, 2);
	cluster_submit(c, 0, 0xab);
	cluster_run(c, 1 * MS);
	cluster_crash_lying(c, 1, CLUSTER_RECORDS_MAX);
	cluster_cut(c, 0, 1);
	cluster_restart(c, 1, PAXOS_TAIL_MISSING);
	cluster_run(c, 1 * MS); /* 2 answers */
	cluster_heal(c);
	cluster_cut(c, 0, 1);
	for (uint32_t i = 0; i < 1000 && cluster_delivered(c, 0) == 0; i++)
		cluster_run(c, 10 * US);
	cr_assert_eq(cluster_value(c, 1), 0xab);
	cluster_crash_lying(c, 0, 0); /* of what was on disk, nothing */
	cluster_heal(c);
	cluster_cut(c, 0, 2);
	cluster_cut(c, 1, 2);
	cluster_disk_ns(c, 0, 60 * US);
	cluster_restart(c, 0, PAXOS_TAIL_CUT);
	cluster_run(c, 900 * MS);
	if (cluster_leader(c) >= 0)
		cluster_submit(c, (uint8_t)cluster_leader(c), 0xcd);
	cluster_run(c, 10 * MS);
	cr_assert_null(cluster_failure(c), "%s", cluster_failure(c));
	cluster_heal(c);
	cluster_run(c, 900 * MS);
	cr_assert_null(cluster_failure(c), "%s", cluster_failure(c));
	cr_assert_geq(cluster_delivered(c, 1), 1);
	cluster_free(c);
}

/* A leader whose log failed leads no more, and what it had accepted does not
 * count; the others go on. */
Test(paxos_trace, a_failed_log)
{
	struct cluster *c = started(&three);
	cluster_submit(c, 0, 0xab);
	cluster_log_fails(c, 0);
	cr_assert(!paxos_is_leader(cluster_replica(c, 0)));
	cluster_run(c, 20 * MS);
	cr_assert_eq(cluster_leader(c), 1);
	cr_assert_eq(cluster_value(c, 1), 0xab);
	cr_assert_eq(cluster_delivered(c, 2), 1);
	cr_assert_eq(paxos_leader(cluster_replica(c, 0)), 1);
	cr_assert(cluster_failure(c) == NULL, "%s", cluster_failure(c));
	cluster_free(c);
}

/* 0 proposes three values, loses them in a crash and asks what is known. 1 has them and begins to
 * tell; then its disk loses them too, and what it tells now is less than what it told. */
Test(paxos_trace, a_voter_that_asks_forgets_what_another_does_not_know_any_more)
{
	struct cluster_config config = {.seed = 1,
					.replica_count = 3,
					.net_ns = 30 * US,
					.disk_ns = 60 * US,
					.link_room = 2, /* an answer comes in pieces */
					.tail_trust_ns = UINT64_MAX / 4};
	struct cluster *c = cluster_new(&config);

	cluster_run(c, 5 * MS);
	cluster_cut(c, 0, 2);
	cluster_disk_ns(c, 0, 50 * MS);
	for (uint64_t id = 1; id <= 3; id++)
		cr_assert(cluster_submit(c, 0, id));
	cluster_run(c, 1 * MS);
	cluster_crash_lying(c, 0, 0);
	cluster_disk_ns(c, 0, 60 * US);
	cluster_restart(c, 0, PAXOS_TAIL_CUT);
	cluster_run(c, 1 * MS);
	cluster_crash_lying(c, 1, 3);
	cluster_restart(c, 1, PAXOS_TAIL_CUT);
	cluster_run(c, 20 * MS);
	cluster_heal(c);
	cluster_run(c, 100 * MS);
	cr_assert(paxos_is_voting(cluster_replica(c, 1)));
	cr_assert(paxos_is_voting(cluster_replica(c, 0)));
	cr_assert_null(cluster_failure(c), "%s", cluster_failure(c));
	cluster_free(c);
}
