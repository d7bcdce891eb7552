/*
 * The kind of configuration in which all voters lead: how a commit goes, who waits for whom,
 * what becomes of a voter that is gone or begins again, and the schedules that each rule is
 * there for (tests/model/owner_skips.pml names most). What must hold in all of them is checked
 * by the cluster (cluster.h); random ones are in test_random.c.
 */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "tests/paxos/cluster.h"

#define HORIZON 16

/* These vote, and all lead: from slot FIRST on, where all are. */
#define FIRST (1 + HORIZON)

static struct cluster *
started(uint8_t replica_count, uint64_t tail_trust_ns)
{
	struct cluster_config config = {.seed = 1,
					.replica_count = replica_count,
					.net_ns = 30 * US,
					.disk_ns = 60 * US,
					.tail_trust_ns = tail_trust_ns};
	struct cluster *c = cluster_new(&config);

	cluster_run(c, 1 * MS);
	cr_assert(cluster_switch(c, 0, 1, PAXOS_ALL_LEAD));
	cluster_run(c, 9 * MS);
	for (uint8_t n = 0; n < replica_count; n++)
		cr_assert(paxos_can_propose(cluster_replica(c, n)), "node %u", n);
	cr_assert_eq(paxos_configuration(cluster_replica(c, 1))->first, FIRST);
	cr_assert_null(cluster_failure(c), "%s", cluster_failure(c));
	return c;
}

static struct cluster *
three(void)
{
	return started(3, UINT64_MAX / 4);
}

static bool
is_delivered(const struct cluster *c, uint8_t node, uint64_t id)
{
	for (uint64_t slot = 1; slot <= cluster_delivered(c, node); slot++) {
		if (cluster_value(c, slot) == id)
			return true;
	}
	return false;
}

static uint64_t
takeovers_begun(const struct cluster *c)
{
	uint64_t n = 0;
	for (uint8_t i = 0; i < 3; i++)
		n += paxos_stats(cluster_replica(c, i))->takeovers_begun;
	return n;
}

/* Who alone has something to say waits for votes, as one leader does, and for nothing else:
 * the skips of the others come before those. */
Test(paxos_owner, a_commit_while_the_others_are_idle)
{
	struct cluster *c = three();

	cluster_submit(c, 2, 0xab);
	cluster_run(c, 1 * MS);
	uint64_t slot = cluster_delivered(c, 2);
	cr_assert_eq(cluster_value(c, slot), 0xab);
	for (uint8_t n = 0; n < 3; n++)
		cr_assert_eq(cluster_delivered(c, n), slot);
	cluster_submit(c, 2, 0xcd);
	/* There, the disk, and back. */
	cluster_run(c, (30 + 60 + 30) * US);
	cr_assert_eq(cluster_delivered(c, 2), slot + 3);
	cr_assert_eq(cluster_value(c, slot + 1), 0);
	cr_assert_eq(cluster_value(c, slot + 2), 0);
	cr_assert_eq(cluster_value(c, slot + 3), 0xcd);
	cluster_run(c, 30 * US);
	cr_assert_eq(cluster_delivered(c, 0), slot + 3);
	cr_assert_eq(cluster_delivered(c, 1), slot + 3);
	cluster_finish(c);
}

/* Slots are decided at once, not one hop after the other. */
Test(paxos_owner, all_propose_at_once)
{
	struct cluster *c = three();
	uint64_t delivered = cluster_delivered(c, 0);

	for (uint64_t i = 0; i < 4; i++) {
		for (uint8_t n = 0; n < 3; n++)
			cr_assert(cluster_submit(c, n, 1 + n + 3 * i));
	}
	/* A second batch of the disk, and the word of each that its own are decided. */
	cluster_run(c, (30 + 2 * 60 + 30 + 30) * US);
	for (uint8_t n = 0; n < 3; n++) {
		for (uint64_t id = 1; id <= 12; id++)
			cr_assert(is_delivered(c, n, id), "node %u, %lu", n, id);
	}
	cr_assert_leq(cluster_delivered(c, 0), delivered + 12 + 6);
	cr_assert_eq(takeovers_begun(c), 0);
	cluster_finish(c);
}

/* A skip that is lost is no skip and no value: it is asked for. */
Test(paxos_owner, what_nobody_said_of_a_slot_is_asked_for)
{
	struct cluster *c = three();

	cluster_run(c, 2 * MS);
	cluster_cut_one_way(c, 1, 0);
	cr_assert(cluster_submit(c, 0, 0xab));
	cr_assert(cluster_submit(c, 0, 0xcd));
	cluster_run(c, 1 * MS);
	cr_assert(!is_delivered(c, 0, 0xcd));
	cr_assert(is_delivered(c, 1, 0xcd), "it has skipped");
	cluster_run(c, 3 * MS);
	/* From 2, who has heard it: 1 is not heard at all. */
	cr_assert(is_delivered(c, 0, 0xcd));
	cr_assert_eq(takeovers_begun(c), 0);
	cluster_finish(c);
}

/* The kind in which one leads comes back by any voter's word, and nobody takes over. */
Test(paxos_owner, a_switch_back_without_a_pause)
{
	struct cluster *c = three();

	cr_assert(cluster_switch(c, 2, 2, PAXOS_ONE_LEADS));
	for (uint64_t i = 0; i < 40; i++) {
		cluster_submit(c, (uint8_t)(i % 3), 16 + i);
		cluster_run(c, 50 * US);
	}
	cr_assert(!cluster_all_lead(c));
	cr_assert_eq(cluster_leader(c), 2);
	cr_assert(!paxos_can_propose(cluster_replica(c, 0)));
	cr_assert_eq(paxos_leader(cluster_replica(c, 0)), 2);
	cr_assert_eq(takeovers_begun(c), 0);
	cluster_finish(c);
}

/* The disk of who changes the kind hangs, and with it what it reserves: what it may propose behind
 * the change, it may not while it can leave out nothing of what is its own before. */
Test(paxos_owner, who_may_not_leave_out_what_comes_first_proposes_nothing)
{
	for (uint64_t used = 0; used < 32; used++) {
		struct cluster *c = three();

		cluster_disk_ns(c, 2, 50 * MS);
		for (uint64_t i = 0; i < used; i++) {
			cluster_submit(c, (uint8_t)(i % 3), 1000 + i);
			cluster_run(c, 200 * US);
		}
		cluster_switch(c, 2, 2, PAXOS_ONE_LEADS);
		for (uint64_t i = 0; i < 200; i++) {
			cluster_submit(c, (uint8_t)(i % 3), 16 + i);
			cluster_run(c, 20 * US);
		}
		cluster_disk_ns(c, 2, 60 * US);
		cluster_finish(c);
	}
}

Test(paxos_owner, the_second_of_two_changes_is_void)
{
	struct cluster *c = three();
	uint64_t changes = cluster_changes(c);

	cr_assert(cluster_switch(c, 0, 2, PAXOS_ONE_LEADS));
	cr_assert(cluster_switch(c, 1, 3, PAXOS_ONE_LEADS));
	cluster_run(c, 4 * MS);
	cr_assert_eq(cluster_changes(c), changes + 1);
	cr_assert_eq(cluster_leader(c), 0);
	cr_assert_eq(paxos_stats(cluster_replica(c, 1))->changes_void, 1);
	cluster_finish(c);
}

/* A voter that is gone holds up all that lies behind its slots. Somebody settles those, and
 * leads alone from then on; when it is back, they may all lead again. */
Test(paxos_owner, a_dead_owner_ends_the_turns)
{
	struct cluster *c = three();

	cluster_crash(c, 1);
	cr_assert(cluster_submit(c, 0, 0xab));
	cr_assert(cluster_submit(c, 0, 0xac));
	cr_assert(cluster_submit(c, 2, 0xad));
	cluster_run(c, 1 * MS);
	cr_assert(!is_delivered(c, 0, 0xac));
	cluster_run(c, 9 * MS);
	cr_assert(is_delivered(c, 0, 0xac), "%s", cluster_failure(c));
	cr_assert(is_delivered(c, 2, 0xad));
	cr_assert(!cluster_all_lead(c));
	cr_assert_eq(cluster_leader(c), 2, "the one behind it");
	cluster_restart(c, 1, PAXOS_TAIL_CUT);
	cluster_run(c, 10 * MS);
	cr_assert(cluster_switch(c, 2, 3, PAXOS_ALL_LEAD));
	cluster_run(c, 5 * MS);
	cr_assert(cluster_all_lead(c));
	cr_assert(cluster_submit(c, 1, 0xb1));
	cluster_run(c, 1 * MS);
	cr_assert(is_delivered(c, 0, 0xb1));
	cluster_finish(c);
}

/* What a dead owner proposed, and one other has, may have been acknowledged: it is adopted.
 * What nobody has is nothing, and not the value of whoever settles it. */
Test(paxos_owner, a_takeover_adopts_or_skips)
{
	struct cluster *c = three();

	cr_assert(cluster_submit(c, 0, 0xa0)); /* so that no slot of 1's is left below */
	cluster_run(c, 1 * MS);
	cluster_cut_one_way(c, 1, 0);
	cr_assert(cluster_submit(c, 1, 0xab));
	uint64_t slot = cluster_delivered(c, 0) + 1;
	cluster_run(c, 200 * US);
	cluster_cut_one_way(c, 1, 2);
	cr_assert(cluster_submit(c, 1, 0xac));
	cluster_crash(c, 1);
	cr_assert(cluster_submit(c, 0, 0xad));
	cluster_run(c, 10 * MS);
	cr_assert_eq(cluster_value(c, slot), 0xab, "%s", cluster_failure(c));
	cr_assert_eq(cluster_value(c, slot + 3), 0, "%s", cluster_failure(c));
	cr_assert(is_delivered(c, 0, 0xad));
	cluster_restart(c, 1, PAXOS_TAIL_CUT);
	cluster_finish(c);
}

/* One that begins again cannot know what it skipped: it begins where its reservation ended.
 * Below that others settle its slots, however quick it was. */
Test(paxos_owner, a_restarted_owner_has_no_turn)
{
	struct cluster *c = three();

	cr_assert(cluster_submit(c, 0, 0xa0));
	cluster_run(c, 1 * MS);
	cluster_stop(c, 1);
	cluster_restart(c, 1, PAXOS_TAIL_CLEAN);
	cr_assert(!cluster_submit(c, 1, 0xab));
	cluster_run(c, 1 * MS);
	cr_assert(!cluster_submit(c, 1, 0xab));
	cluster_run(c, 20 * MS);
	cr_assert(!cluster_all_lead(c), "%s", cluster_failure(c));
	cluster_finish(c);
}

/* All are gone, and all begin again: none has a turn, and none may choose a value in its own
 * slots before it is behind all that it may have skipped. */
Test(paxos_owner, a_full_outage_while_all_lead)
{
	for (int tail = PAXOS_TAIL_CLEAN; tail <= PAXOS_TAIL_CUT; tail++) {
		struct cluster *c = three();

		for (uint8_t n = 0; n < 3; n++)
			cr_assert(cluster_submit(c, n, 0xa0u + n));
		cluster_run(c, 100 * US);
		for (uint8_t n = 0; n < 3; n++)
			tail == PAXOS_TAIL_CUT ? cluster_crash(c, n) : cluster_stop(c, n);
		for (uint8_t n = 0; n < 3; n++)
			cluster_restart(c, n, (enum paxos_tail)tail);
		cluster_run(c, 60 * MS);
		cr_assert(!cluster_all_lead(c), "%s", cluster_failure(c));
		cr_assert_geq(cluster_leader(c), 0);
		cr_assert(cluster_submit(c, (uint8_t)cluster_leader(c), 0xff));
		cluster_run(c, 1 * MS);
		cr_assert(is_delivered(c, 0, 0xff));
		cluster_finish(c);
	}
}

/* 2 skips what 1 alone hears of, and forgets that. Whatever it proposes later in those slots,
 * as who takes over, 1 has nothing there for good: it begins behind what it had reserved. */
Test(paxos_owner, what_an_earlier_process_skipped_stays_empty)
{
	struct cluster *c = started(3, 200 * US);

	cluster_cut_one_way(c, 2, 0);
	cluster_cut_one_way(c, 1, 0);
	cr_assert(cluster_submit(c, 1, 0xab));
	cr_assert(cluster_submit(c, 1, 0xac));
	cluster_run(c, 65 * US);
	cluster_crash_lying(c, 2, 0); /* its disk has nothing of this yet */
	cluster_heal(c);
	cluster_cut(c, 1, 2);
	cluster_cut(c, 1, 0);
	cluster_restart(c, 2, PAXOS_TAIL_CUT);
	cluster_link_event(c, 2, 1, false);
	cluster_run(c, 9 * MS);
	cr_assert_eq(paxos_stats(cluster_replica(c, 2))->takeovers_won, 1);
	cr_assert(!cluster_all_lead(c), "%s", cluster_failure(c));
	cluster_finish(c);
}

/* The others are where 0 leads alone, and have their turns no more; it lacks what they skipped
 * last, and hears nothing from them but answers. */
Test(paxos_owner, who_leads_alone_is_told_what_it_lacks)
{
	struct cluster *c = three();

	cr_assert(cluster_switch(c, 0, 2, PAXOS_ONE_LEADS));
	cluster_run(c, 130 * US); /* it has their votes */
	cluster_cut_one_way(c, 1, 0);
	cluster_cut_one_way(c, 2, 0);
	cluster_run(c, 500 * US);
	uint64_t first = paxos_configuration(cluster_replica(c, 1))->first;
	cr_assert_geq(cluster_delivered(c, 1), first - 1);
	cr_assert_geq(cluster_delivered(c, 2), first - 1);
	cr_assert_lt(cluster_delivered(c, 0), first - 1);
	cluster_heal(c);
	cluster_run(c, 3 * MS);
	cr_assert_geq(cluster_delivered(c, 0), first - 1, "%s", cluster_failure(c));
	cr_assert_eq(takeovers_begun(c), 0);
	cluster_finish(c);
}

/* Voters change, and all the new ones have their turns. */
Test(paxos_owner, other_voters_have_other_turns)
{
	struct cluster *c = started(5, UINT64_MAX / 4);

	cr_assert(cluster_change(c, 3, 2, 1 | 2 | 8, HORIZON));
	for (uint64_t i = 0; i < 60; i++) {
		cluster_submit(c, (uint8_t)(i % 5), 16 + i);
		cluster_run(c, 100 * US);
	}
	cr_assert_eq(cluster_voters(c), 1 | 2 | 8);
	cr_assert(cluster_all_lead(c));
	cluster_run(c, 4 * MS);
	for (uint8_t n = 0; n < 5; n++)
		cr_assert_eq(paxos_can_propose(cluster_replica(c, n)), cluster_voters(c) >> n & 1,
			     "node %u", n);
	cr_assert(cluster_submit(c, 3, 0xab));
	cluster_run(c, 1 * MS);
	cr_assert(is_delivered(c, 4, 0xab));
	cr_assert(paxos_may_leave(cluster_replica(c, 2)));
	cluster_finish(c);
}

/* One replica, its log, and what it says. */
struct alone {
	struct paxos_replica *replica;
	struct paxos_output out;
	uint64_t lsn;
	uint32_t skips;
};

static void
step(struct alone *a, struct paxos_input in)
{
	in.lsn_next = a->lsn;
	paxos_step(a->replica, &in, &a->out);
	for (uint32_t i = 0; i < a->out.count; i++) {
		const struct paxos_output_item *item = &a->out.item[i];

		if (item->kind == PAXOS_OUT_LOG)
			a->lsn = item->lsn;
		a->skips += item->kind == PAXOS_OUT_SEND && item->message.kind == PAXOS_SKIP;
	}
}

static void
hear(struct alone *a, struct paxos_message m)
{
	m.value.handle = PAXOS_NO_VALUE;
	step(a, (struct paxos_input){.kind = PAXOS_IN_MESSAGE, .from = 2, .message = m});
	step(a, (struct paxos_input){.kind = PAXOS_IN_DURABLE, .lsn = a->lsn});
}

/* Replica 1 was dropped, and has a new disk. It learns of the turns in which it had voted: what
 * it proposed then may be decided, and is to be asked for like all else. */
Test(paxos_owner, a_new_disk_has_no_turn_in_what_is_decided)
{
	struct paxos_config config = {.replica_count = 3,
				      .self = 1,
				      .horizon = 10,
				      .reserve_slots = 1024,
				      .takeover_ns = MS,
				      .retry_ns = MS};
	struct alone a = {0};
	void *memory = aligned_alloc(64, (paxos_size(&config) + 63) / 64 * 64);

	a.replica = paxos_init(memory, &config);
	step(&a,
	     (struct paxos_input){
		     .kind = PAXOS_IN_START, .process = 1, .nonce = 1, .tail = PAXOS_TAIL_CLEAN});
	step(&a, (struct paxos_input){.kind = PAXOS_IN_DURABLE, .lsn = a.lsn});
	hear(&a, (struct paxos_message){.kind = PAXOS_LEARN, .from = 100, .to = 100});
	for (uint64_t slot = 1; slot <= 13; slot++) {
		uint32_t change = slot == 1 ? paxos_change(3, 7, 10, PAXOS_ALL_LEAD) : 0;

		hear(&a, (struct paxos_message){
				 .kind = PAXOS_LEARNED, .slot = slot, .value.change = change});
		cr_assert_eq(paxos_delivered(a.replica), slot);
	}
	cr_assert(paxos_configuration(a.replica)->all_lead);
	cr_assert(!paxos_is_leader(a.replica));
	cr_assert_eq(a.skips, 0);
	free(memory);
}
