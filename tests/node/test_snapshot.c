/*
 * Snapshots: what counts as seen, and what a wrong answer would cost. A range that
 * holds an uncommitted entry is a lost update; one that omits a committed entry is
 * a false refusal, which is allowed only where the header says so.
 */
#include <criterion/criterion.h>

#include <stdlib.h>

#include "node/snapshot.h"

#define CAPACITY 64
#define OPEN_MAX 8

struct fixture {
	struct snapshot_table table;
	struct snapshot_taken taken;
	uint64_t executed; /* a bit per gno */
	uint8_t memory[CAPACITY * sizeof(struct snapshot_entry) +
		       OPEN_MAX * (sizeof(struct snapshot_open) + sizeof(struct snapshot_ahead))];
};

static bool
contains(void *context, const struct gtid *gtid)
{
	struct fixture *f = context;
	return f->executed >> gtid->gno & 1;
}

static struct fixture *
fixture_new(uint64_t mark)
{
	struct fixture *f = calloc(1, sizeof *f);

	cr_assert(snapshot_table_size(CAPACITY, OPEN_MAX) <= sizeof f->memory);
	snapshot_table_init(&f->table, f->memory, CAPACITY, OPEN_MAX);
	snapshot_table_reset(&f->table, mark);
	return f;
}

static void
add(struct fixture *f, uint64_t index)
{
	cr_assert(snapshot_table_add(&f->table,
				     &(struct snapshot_entry){.index = index, .gtid.gno = index}));
}

/* The submission of this sequence is accepted, and its verdict is here. */
static void
accept(struct fixture *f, uint64_t sequence, uint64_t index)
{
	cr_assert(snapshot_table_add(
		&f->table,
		&(struct snapshot_entry){.index = index, .name = sequence, .gtid.gno = index}));
	snapshot_close(&f->table, sequence);
}

static void
commit(struct fixture *f, uint64_t index)
{
	f->executed |= UINT64_C(1) << index;
	snapshot_table_committed(&f->table, &(struct gtid){.gno = index});
}

static bool
take(struct fixture *f)
{
	struct snapshot_executed executed = {.context = f, .contains = contains};
	return snapshot_take(&f->table, &executed, &f->taken);
}

static bool
seen(const struct fixture *f, uint64_t index)
{
	return snapshot_contains(&f->taken.snapshot, index);
}

Test(node_snapshot, empty_group_has_seen_everything_up_to_its_mark)
{
	struct fixture *f = fixture_new(7);

	cr_assert(take(f));
	cr_assert_eq(f->taken.snapshot.mark, 7);
	cr_assert_eq(f->taken.snapshot.range_count, 0);
	cr_assert_eq(f->taken.sequence, 1);
	free(f);
}

Test(node_snapshot, an_entry_that_is_known_but_not_executed_is_not_seen)
{
	struct fixture *f = fixture_new(0);

	add(f, 3);
	snapshot_table_through(&f->table, 5);
	cr_assert(take(f));
	cr_assert(seen(f, 2), "refused and views count as committed");
	cr_assert(!seen(f, 3));
	cr_assert(seen(f, 4));
	cr_assert(seen(f, 5));
	cr_assert(!seen(f, 6), "beyond what is known");
	free(f);
}

Test(node_snapshot, executed_counts_before_it_was_reported)
{
	struct fixture *f = fixture_new(0);

	add(f, 3);
	snapshot_table_through(&f->table, 3);
	f->executed = 1u << 3; /* committed; the report is still on its way */
	cr_assert(take(f));
	cr_assert(seen(f, 3));
	free(f);
}

Test(node_snapshot, an_own_entry_above_through_is_seen_and_its_neighbours_are_not)
{
	struct fixture *f = fixture_new(0);

	snapshot_table_through(&f->table, 2);
	add(f, 9);
	f->executed = 1u << 9;
	cr_assert(take(f));
	cr_assert(seen(f, 2));
	cr_assert(!seen(f, 3));
	cr_assert(!seen(f, 8));
	cr_assert(seen(f, 9));
	cr_assert(!seen(f, 10));
	free(f);
}

Test(node_snapshot, through_may_pass_an_own_entry_that_is_not_committed)
{
	struct fixture *f = fixture_new(0);

	add(f, 4);
	snapshot_table_through(&f->table, 6);
	add(f, 8);
	cr_assert(take(f));
	cr_assert(!seen(f, 4));
	cr_assert(seen(f, 6));
	cr_assert(!seen(f, 8));
	cr_assert_eq(f->table.mark, 3);
	commit(f, 4);
	cr_assert_eq(f->table.mark, 6);
	free(f);
}

Test(node_snapshot, mark_low_is_held_by_an_open_submission)
{
	struct fixture *f = fixture_new(1);

	cr_assert(take(f));
	add(f, 2);
	commit(f, 2);
	snapshot_table_through(&f->table, 2);
	cr_assert_eq(f->table.mark, 2);
	cr_assert_eq(snapshot_mark_low(&f->table), 1);
	snapshot_close(&f->table, 1);
	cr_assert_eq(snapshot_mark_low(&f->table), 2);
	free(f);
}

static bool
take_ahead(struct fixture *f)
{
	struct snapshot_executed executed = {.context = f, .contains = contains};
	return snapshot_take_ahead(&f->table, &executed, &f->taken);
}

/* Its snapshot is that of its beginning, and nothing that it may have to be compared with is
 * forgotten meanwhile; its sequence is that of its end. */
Test(node_snapshot, a_name_holds_the_mark_and_no_sequence)
{
	struct fixture *f = fixture_new(1);

	cr_assert(take_ahead(f));
	uint64_t name = f->taken.sequence;
	cr_assert(name & SNAPSHOT_AHEAD);
	cr_assert_eq(f->taken.snapshot.mark, 1);
	for (uint64_t i = 1; i <= 3 * OPEN_MAX; i++) {
		cr_assert(take(f));
		cr_assert_eq(f->taken.sequence, i);
		snapshot_close(&f->table, i);
	}
	add(f, 2);
	commit(f, 2);
	snapshot_table_through(&f->table, 2);
	cr_assert_eq(snapshot_mark_low(&f->table), 1);
	cr_assert_eq(snapshot_number(&f->table, name), 3 * OPEN_MAX + 1);
	cr_assert_eq(snapshot_mark_low(&f->table), 1);
	snapshot_close(&f->table, 3 * OPEN_MAX + 1);
	cr_assert_eq(snapshot_mark_low(&f->table), 2);
	snapshot_close(&f->table, name);
	cr_assert_eq(f->table.ahead_count, 0);
	free(f);
}

Test(node_snapshot, names_end_at_the_bound_and_none_is_used_twice)
{
	struct fixture *f = fixture_new(1);

	cr_assert(take_ahead(f));
	uint64_t first = f->taken.sequence;
	for (uint32_t i = 1; i < OPEN_MAX; i++)
		cr_assert(take_ahead(f));
	cr_assert(!take_ahead(f));
	for (uint32_t i = 0; i < OPEN_MAX; i++)
		cr_assert(take(f), "a name takes no sequence");
	cr_assert_eq(snapshot_number(&f->table, first), 0, "not now");
	snapshot_close(&f->table, 1);
	cr_assert_eq(snapshot_number(&f->table, first), OPEN_MAX + 1);
	snapshot_close(&f->table, first);
	snapshot_close(&f->table, first);
	cr_assert(take_ahead(f));
	cr_assert_neq(f->taken.sequence, first);
	cr_assert_eq(snapshot_ahead_place(&f->table, f->taken.sequence),
		     snapshot_ahead_place(&f->table, first));
	cr_assert(!take_ahead(f));
	free(f);
}

Test(node_snapshot, sequences_end_at_the_bound_and_go_on_when_the_floor_moves)
{
	struct fixture *f = fixture_new(0);

	for (uint32_t i = 0; i < OPEN_MAX; i++)
		cr_assert(take(f));
	cr_assert(!take(f));
	snapshot_close(&f->table, 2);
	cr_assert(!take(f), "1 is still open");
	snapshot_close(&f->table, 1);
	cr_assert(take(f));
	cr_assert_eq(f->taken.sequence, OPEN_MAX + 1);
	cr_assert_eq(f->table.floor, 3);
	free(f);
}

static bool
trusts(const struct fixture *f)
{
	return snapshot_open(&f->table, f->taken.sequence)->trusts_own;
}

/* Own ones hold their locks until they are committed: one that is accepted counts as seen,
 * and for one that is undecided the submission vouches, from its floor on. */
Test(node_snapshot, own_ones_count_as_seen_while_they_hold_their_locks)
{
	struct fixture *f = fixture_new(4);

	cr_assert(take(f) && take(f));
	accept(f, 1, 6);
	cr_assert(take(f));
	cr_assert(!seen(f, 5), "that is somebody else's");
	cr_assert(seen(f, 6));
	cr_assert(trusts(f));
	cr_assert_eq(snapshot_open(&f->table, 3)->floor, 2);
	accept(f, 2, 7);
	cr_assert_eq(snapshot_open(&f->table, 3)->floor, 2, "what it was then");
	free(f);
}

/* V was accepted at 6, and fails: its locks are gone, and its bytes are not applied yet. An
 * update of its row that comes next has not seen what it wrote: to call V no conflict, for
 * it is of this server and older, loses an update. The same holds for W, still undecided,
 * which may have found V in the index and hide it. */
Test(node_snapshot, nobody_vouches_for_a_failed_one)
{
	struct fixture *f = fixture_new(4);

	cr_assert(take(f) && take(f)); /* V, W */
	accept(f, 1, 6);
	snapshot_failed(&f->table, 1);
	cr_assert(take(f));
	cr_assert(!seen(f, 6));
	cr_assert(!trusts(f));
	f->executed = 1u << 6; /* the applier has it */
	cr_assert(take(f));
	cr_assert(seen(f, 6));
	cr_assert(trusts(f));
	free(f);
}

/* V and W are children of one parent row, accepted at 6 and 7 in this order. W commits, V
 * fails. Who deletes the parent now has seen W, and W is the row's last writer: were 7 in
 * its snapshot, it would be accepted, and V's row has no parent where it is applied. */
Test(node_snapshot, what_came_behind_a_failed_one_is_not_seen_before_it_is_back)
{
	struct fixture *f = fixture_new(4);

	cr_assert(take(f) && take(f)); /* V, W */
	snapshot_table_through(&f->table, 5);
	accept(f, 1, 6);
	accept(f, 2, 7);
	commit(f, 7);
	snapshot_failed(&f->table, 1);
	cr_assert(take(f));
	cr_assert(seen(f, 5));
	cr_assert(!seen(f, 6));
	cr_assert(!seen(f, 7));
	snapshot_table_through(&f->table, 9);
	cr_assert(take(f));
	cr_assert(!seen(f, 9), "what others wrote behind it may hide it too");
	commit(f, 6);
	cr_assert(take(f));
	cr_assert(seen(f, 9));
	free(f);
}

/* The same two, and the server crashes with W in its binlog and without V. The next
 * incarnation joins at 12, has 5 as its mark, and is fed V: nothing of the older one is
 * known as such any more. */
Test(node_snapshot, a_new_incarnation_sees_nothing_behind_what_it_lacks)
{
	struct fixture *f = fixture_new(5);

	snapshot_table_joined(&f->table, 12);
	add(f, 6);
	snapshot_table_through(&f->table, 8); /* 7 is executed, and was not told again */
	cr_assert(take(f));
	cr_assert(!seen(f, 7));
	cr_assert(!trusts(f));
	commit(f, 6);
	cr_assert(take(f));
	cr_assert(seen(f, 8));
	cr_assert(!trusts(f), "9 to 11 may be missing too");
	snapshot_table_through(&f->table, 12);
	add(f, 14);
	snapshot_table_through(&f->table, 15);
	cr_assert(take(f));
	cr_assert(!seen(f, 14));
	cr_assert(seen(f, 15));
	cr_assert(trusts(f));
	free(f);
}

/* The mark stands still behind the feed of a large transaction, and own ones commit
 * meanwhile: what is submitted must find room in the table when it is accepted. */
Test(node_snapshot, nothing_is_submitted_that_the_table_could_not_hold)
{
	struct fixture *f = fixture_new(0);
	uint32_t taken = 0;

	while (take(f)) {
		uint64_t sequence = f->taken.sequence;
		taken++;
		cr_assert(snapshot_table_add(
			&f->table, &(struct snapshot_entry){.index = 1 + sequence,
							    .gtid.gno = 1 + sequence % 32}));
		snapshot_close(&f->table, sequence);
	}
	cr_assert_eq(taken, CAPACITY);
	cr_assert_eq(f->table.count, CAPACITY);
	snapshot_table_through(&f->table, 0);
	cr_assert(!take(f));
	free(f);
}

/* Random histories against the plain definition. */
/* Behind one that is large: it comes still, and between the own ones are others', which are not
 * known; or all is known, and they wait to be committed. Who writes a row again wrote it lately. */
static void
expect_the_last_of_many_own_ones(bool known)
{
	const uint32_t capacity = 16384, own = SNAPSHOT_RANGES_MAX + 1000;
	struct snapshot_taken *taken = malloc(sizeof *taken);
	void *memory = malloc(snapshot_table_size(capacity, OPEN_MAX));
	struct fixture f = {0};
	struct snapshot_executed executed = {.context = &f, .contains = contains};
	struct snapshot_table table;

	cr_assert(taken && memory);
	snapshot_table_init(&table, memory, capacity, OPEN_MAX);
	snapshot_table_reset(&table, 10);
	for (uint32_t i = 0; i < own; i++) {
		struct snapshot_entry e = {.index = 20 + 2 * i, .name = 1 + i, .gtid.gno = 1};
		struct snapshot_entry others = {.index = 21 + 2 * i, .gtid.gno = 2};

		cr_assert(snapshot_table_add(&table, &e));
		cr_assert(!known || snapshot_table_add(&table, &others));
	}
	if (known)
		snapshot_table_through(&table, 20 + 2 * own);
	cr_assert(snapshot_take(&table, &executed, taken));
	cr_assert_eq(taken->snapshot.range_count, SNAPSHOT_RANGES_MAX);
	for (uint32_t i = 1; i < own; i++) {
		bool seen = snapshot_contains(&taken->snapshot, 20 + 2 * i);

		cr_assert(seen || own - i >= SNAPSHOT_RANGES_MAX, "%u is one of the last", i);
		cr_assert(!seen || own - i <= SNAPSHOT_RANGES_MAX, "there is no room for %u", i);
		cr_assert(!snapshot_contains(&taken->snapshot, 21 + 2 * i));
	}
	free(memory);
	free(taken);
}

Test(node_snapshot, of_too_many_own_ones_the_last_are_seen)
{
	expect_the_last_of_many_own_ones(false);
	expect_the_last_of_many_own_ones(true);
}

Test(node_snapshot, agrees_with_its_definition)
{
	uint64_t state = 42;

	for (uint32_t round = 0; round < 2000; round++) {
		struct fixture *f = fixture_new(0);
		uint64_t known = 0; /* accepted entries in the table */

		for (uint64_t index = 1; index < 40; index++) {
			state = state * 6364136223846793005u + 1442695040888963407u;
			uint32_t dice = (uint32_t)(state >> 60);

			if (dice < 10) {
				add(f, index);
				known |= UINT64_C(1) << index;
				if (dice < 6)
					commit(f, index);
				else if (dice < 8)
					f->executed |= UINT64_C(1) << index;
			}
			if (dice != 12)
				snapshot_table_through(&f->table, index);
		}
		cr_assert(take(f));
		for (uint64_t index = 1; index < 45; index++) {
			bool accepted = known >> index & 1;
			bool expected =
				accepted ? f->executed >> index & 1 : index <= f->table.through;
			cr_assert_eq(seen(f, index), expected, "round %u index %zu", round,
				     (size_t)index);
		}
		free(f);
	}
}
