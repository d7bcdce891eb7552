/*
 * Random schedules: crashes, orderly stops, cut and lossy links, slow disks, a
 * disk that lies once, pressure on the pool, callers that take no delivery, logs that are trimmed.
 * No trace is expected;
 * the cluster's checkers look on, and once all is healed everybody must deliver everything. A
 * failure prints the seed, which replays it bit for bit.
 *
 *     PAXOS_SEED=S PAXOS_RUNS=N test_paxos
 */
#include <stdlib.h>

#include <criterion/criterion.h>

#include "tests/paxos/cluster.h"

#define RUNS  100
#define STEPS 120

enum shape {
	VOTERS_STAY = 1,
	VOTERS_CHANGE = 2,
	KINDS_CHANGE = 3, /* and voters, seldom */
};

struct run {
	struct cluster *c;
	uint8_t replica_count;
	uint64_t seed;
	uint64_t next_id;
	bool changes;    /* of the voters */
	bool kinds;      /* and who of them leads */
	uint32_t rotten; /* the node whose disk lied in this run, or replica_count */
};

/* Over all runs. */
struct seen {
	uint64_t changes;
	uint64_t leavers;
	uint64_t turns; /* slots that their owner skipped */
	uint64_t all_led;
};

static void
submit_some(struct run *run)
{
	uint64_t n = cluster_random(run->c, 8);
	for (uint64_t i = 0; i < n; i++) {
		int leader = cluster_leader(run->c);
		if (run->kinds && cluster_all_lead(run->c))
			leader = (int)cluster_random(run->c, run->replica_count);
		if (leader >= 0 && cluster_submit(run->c, (uint8_t)leader, run->next_id))
			run->next_id++;
	}
}

static void
switch_some(struct run *run)
{
	uint8_t node = (uint8_t)cluster_random(run->c, run->replica_count);
	enum paxos_lead lead = cluster_random(run->c, 4) ? PAXOS_ALL_LEAD : PAXOS_ONE_LEADS;

	if (cluster_is_up(run->c, node) && cluster_switch(run->c, node, run->next_id, lead))
		run->next_id++;
}

/* Any set of two or more: one that lies would lose what it alone had voted on. */
static void
change_some(struct run *run)
{
	struct cluster *c = run->c;
	int leader = cluster_leader(c);
	uint32_t voters = cluster_voters(c);
	uint64_t how = cluster_random(c, 3);

	if (how == 0)
		voters = (uint32_t)cluster_random(c, 1u << run->replica_count);
	else
		voters ^= 1u << cluster_random(c, run->replica_count);
	if (how == 2)
		voters ^= 1u << cluster_random(c, run->replica_count);
	if (leader < 0 || __builtin_popcount(voters) < 2)
		return;
	if (cluster_change(c, (uint8_t)leader, run->next_id, voters,
			   10 + (uint32_t)cluster_random(c, 20)))
		run->next_id++;
}

static uint32_t
down_count(const struct run *run)
{
	uint32_t n = 0;
	for (uint8_t i = 0; i < run->replica_count; i++)
		n += !cluster_is_up(run->c, i);
	return n;
}

static void
restart(struct run *run, uint8_t node, bool clean)
{
	enum paxos_tail tail = clean ? PAXOS_TAIL_CLEAN : PAXOS_TAIL_CUT;
	if (node == run->rotten)
		tail = cluster_random(run->c, 2) ? PAXOS_TAIL_CUT : PAXOS_TAIL_ROTTEN;
	cluster_restart(run->c, node, tail);
}

static void
end_node(struct run *run, uint8_t node)
{
	bool clean = cluster_random(run->c, 2);
	/* One disk lies, and only while all the others are there to tell. */
	if (run->rotten == run->replica_count && down_count(run) == 0 &&
	    cluster_random(run->c, 3) == 0) {
		run->rotten = node;
		cluster_crash_lying(run->c, node, 1 + (uint32_t)cluster_random(run->c, 12));
		clean = false;
	} else if (clean) {
		cluster_stop(run->c, node);
	} else {
		cluster_crash(run->c, node);
	}
	cluster_run(run->c, cluster_random(run->c, 4) * MS);
	if (run->rotten == node || cluster_random(run->c, 2))
		restart(run, node, clean);
}

/* The schedule that unmasks a voter which trusts a cut log: the leader and it
 * decide without the rest, it loses that, and the next leader asks it. */
static void
lose_a_vote(struct run *run)
{
	struct cluster *c = run->c;
	int leader = cluster_leader(c);
	if (leader < 0 || run->rotten < run->replica_count || down_count(run) > 0)
		return;
	uint8_t liar = (uint8_t)((leader + 1) % run->replica_count);
	uint8_t quorum = run->replica_count / 2 + 1;
	for (uint8_t i = quorum; i < run->replica_count; i++) {
		for (uint8_t j = 0; j < quorum; j++)
			cluster_cut(c, (uint8_t)((leader + j) % run->replica_count),
				    (uint8_t)((leader + i) % run->replica_count));
	}
	submit_some(run);
	cluster_run(c, 1 * MS + cluster_random(c, 2 * MS));
	run->rotten = liar;
	cluster_crash_lying(c, liar, 1 + (uint32_t)cluster_random(c, 12));
	cluster_heal(c);
	for (uint8_t i = 0; i < run->replica_count; i++) {
		for (uint8_t j = 1; j < quorum && i != liar; j++) {
			if (j != 1)
				cluster_cut(c, (uint8_t)((leader + j) % run->replica_count), i);
		}
		if (i != leader)
			cluster_cut(c, (uint8_t)leader, i);
	}
	restart(run, liar, false);
	cluster_run(c, 20 * MS);
	cluster_heal(c);
}

static void
fault(struct run *run)
{
	struct cluster *c = run->c;
	uint8_t a = (uint8_t)cluster_random(c, run->replica_count);
	uint8_t b = (uint8_t)cluster_random(c, run->replica_count);

	switch (cluster_random(c, 12)) {
	case 0:
	case 1:
		if (cluster_is_up(c, a))
			end_node(run, a);
		else
			restart(run, a, false);
		break;
	case 2:
		cluster_cut(c, a, b);
		if (a != b && cluster_random(c, 2))
			cluster_link_event(c, a, b, false);
		break;
	case 3:
		cluster_cut_one_way(c, a, b);
		break;
	case 4:
	case 5:
		cluster_heal(c);
		if (a != b)
			cluster_link_event(c, a, b, true);
		break;
	case 6:
		cluster_disk_ns(c, a, 20 * US + cluster_random(c, 2 * MS));
		break;
	case 7:
		cluster_pressure(c, a, cluster_random(c, 2));
		cluster_hold(c, b, cluster_random(c, 3) > 0);
		break;
	case 8:
		lose_a_vote(run);
		break;
	case 9:
		cluster_remember(c, a);
		break;
	case 10:
		if (!cluster_is_up(c, a))
			break;
		cluster_log_fails(c, a);
		submit_some(run);
		cluster_run(c, cluster_random(c, 8) * MS);
		cluster_crash(c, a);
		restart(run, a, false);
		break;
	default:
		break;
	}
}

static void
heal(struct run *run)
{
	struct cluster *c = run->c;
	cluster_heal(c);
	cluster_faults(c, 0, 0);
	for (uint8_t n = 0; n < run->replica_count; n++) {
		cluster_disk_ns(c, n, 50 * US);
		cluster_hold(c, n, false);
		if (!cluster_is_up(c, n))
			restart(run, n, false);
	}
	for (uint8_t n = 0; n < run->replica_count; n++) {
		for (uint8_t m = 0; m < run->replica_count; m++) {
			if (n != m)
				cluster_link_event(c, n, m, true);
		}
	}
}

/* Where nothing fails all lead, and what each proposes is delivered. */
static void
check_all_lead(struct run *run)
{
	struct cluster *c = run->c;

	for (int i = 0; i < 10 && !cluster_all_lead(c) && !cluster_failure(c); i++) {
		if (cluster_switch(c, (uint8_t)cluster_leader(c), run->next_id, PAXOS_ALL_LEAD))
			run->next_id++;
		cluster_run(c, 20 * MS);
	}
	uint64_t delivered = cluster_delivered(c, 0);
	uint64_t takeovers = cluster_takeovers(c);
	for (uint8_t n = 0; n < run->replica_count && !cluster_failure(c); n++) {
		if (!(cluster_voters(c) >> n & 1))
			continue;
		cr_assert(cluster_submit(c, n, run->next_id++), "seed %lu: node %u", run->seed, n);
		cluster_run(c, 5 * MS);
	}
	if (cluster_failure(c))
		return;
	cr_assert_geq(cluster_delivered(c, 0),
		      delivered + (uint64_t)__builtin_popcount(cluster_voters(c)), "seed %lu",
		      run->seed);
	cr_assert_eq(cluster_takeovers(c), takeovers, "seed %lu", run->seed);
}

/* After healing a majority must deliver, and everybody the same. */
static void
check_live(struct run *run)
{
	struct cluster *c = run->c;
	cluster_run(c, 400 * MS);
	int leader = cluster_leader(c);
	if (!cluster_failure(c))
		cr_assert(leader >= 0, "seed %lu: nobody leads", run->seed);
	if (run->kinds)
		check_all_lead(run);
	for (int i = 0; i < 20 && !cluster_failure(c); i++) {
		submit_some(run);
		cluster_run(c, 2 * MS);
	}
	for (uint8_t n = 0; n < run->replica_count; n++)
		cluster_pressure(c, n, true);
	cluster_run(c, 60 * MS);
}

static void
random_run(uint64_t seed, uint8_t replica_count, enum shape shape, struct seen *seen)
{
	struct cluster_config config = {.seed = seed,
					.replica_count = replica_count,
					.net_ns = 30 * US,
					.disk_ns = 60 * US,
					.tail_trust_ns = UINT64_MAX / 4};
	bool changes = shape != VOTERS_STAY;
	if (changes)
		config.voters = seed % 2 ? 3 : 7;
	if (changes && replica_count == 5 && seed % 3 == 0)
		config.voters = 0;
	config.net_jitter_ns = seed % 3 * 100 * US;
	config.disk_jitter_ns = seed % 5 * 50 * US;
	config.drop_percent = (uint32_t)(seed % 4) * 3;
	config.duplicate_percent = (uint32_t)(seed % 7);
	struct run run = {.c = cluster_new(&config),
			  .replica_count = replica_count,
			  .seed = seed,
			  .changes = shape != VOTERS_STAY,
			  .kinds = shape == KINDS_CHANGE,
			  .next_id = 1,
			  .rotten = replica_count};
	for (int i = 0; i < STEPS && !cluster_failure(run.c); i++) {
		submit_some(&run);
		if (run.kinds && !cluster_all_lead(run.c) && cluster_random(run.c, 2) == 0)
			switch_some(&run);
		if (run.changes && cluster_random(run.c, run.kinds ? 20 : 2) == 0)
			change_some(&run);
		if (run.kinds && cluster_random(run.c, 20) == 0)
			switch_some(&run);
		seen->all_led += cluster_all_lead(run.c);
		if (cluster_random(run.c, run.kinds ? 10 : 4) == 0)
			fault(&run);
		cluster_run(run.c, cluster_random(run.c, 1500) * US);
	}
	heal(&run);
	check_live(&run);
	cr_assert(cluster_failure(run.c) == NULL, "%s (%u voters)", cluster_failure(run.c),
		  replica_count);
	for (uint8_t n = 0; n < replica_count; n++) {
		seen->turns += paxos_stats(cluster_replica(run.c, n))->skipped;
		cr_assert_eq(cluster_delivered(run.c, n), cluster_delivered(run.c, 0),
			     "seed %lu: node %u delivered %lu, 0 delivered %lu", seed, n,
			     cluster_delivered(run.c, n), cluster_delivered(run.c, 0));
		cr_assert_eq(cluster_values_held(run.c, n), 0, "seed %lu: node %u holds %u values",
			     seed, n, cluster_values_held(run.c, n));
	}
	cr_assert_gt(cluster_delivered(run.c, 0), 20, "seed %lu", seed);
	seen->changes += cluster_changes(run.c);
	seen->leavers += cluster_leavers(run.c);
	cluster_free(run.c);
}

static void
random_runs(uint8_t replica_count, enum shape shape)
{
	struct seen seen = {0};
	const char *seed = getenv("PAXOS_SEED");
	const char *runs = getenv("PAXOS_RUNS");
	uint64_t first = seed ? strtoull(seed, NULL, 10) : 1;
	uint64_t count = runs ? strtoull(runs, NULL, 10) : RUNS;
	for (uint64_t i = 0; i < count; i++)
		random_run(first + i, replica_count, shape, &seen);
	if (shape == VOTERS_STAY)
		return;
	cr_assert_gt(seen.changes, 3 * count);
	if (shape == VOTERS_CHANGE) {
		cr_assert_gt(seen.leavers, count / 2);
	} else {
		cr_assert_gt(seen.all_led, count * STEPS / 3);
		cr_assert_gt(seen.turns, 20 * count);
	}
}

Test(paxos_random, three_voters)
{
	random_runs(3, VOTERS_STAY);
}

Test(paxos_random, five_voters)
{
	random_runs(5, VOTERS_STAY);
}

Test(paxos_random, three_replicas_whose_voters_change)
{
	random_runs(3, VOTERS_CHANGE);
}

Test(paxos_random, five_replicas_whose_voters_change)
{
	random_runs(5, VOTERS_CHANGE);
}

Test(paxos_random, three_replicas_whose_kind_changes)
{
	random_runs(3, KINDS_CHANGE);
}

Test(paxos_random, five_replicas_whose_kind_changes)
{
	random_runs(5, KINDS_CHANGE);
}

Test(paxos_random, one_voter)
{
	struct cluster_config config = {.seed = 1, .replica_count = 1, .disk_ns = 60 * US};
	struct cluster *c = cluster_new(&config);
	uint64_t id = 1;
	for (int i = 0; i < 40; i++) {
		cluster_run(c, 2 * MS);
		while (cluster_random(c, 4) > 0 && cluster_submit(c, 0, id))
			id++;
		if (i % 8 == 7) {
			cluster_crash(c, 0);
			cluster_restart(c, 0, PAXOS_TAIL_CUT);
		}
	}
	cluster_run(c, 20 * MS);
	cr_assert(cluster_failure(c) == NULL, "%s", cluster_failure(c));
	cr_assert_gt(cluster_delivered(c, 0), 40);
	cluster_free(c);
}
