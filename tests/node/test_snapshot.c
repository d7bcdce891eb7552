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
	uint8_t memory[CAPACITY * sizeof(struct snapshot_entry) + OPEN_MAX * 8];
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
	cr_assert(snapshot_table_add(&f->table, index, &(struct gtid){.gno = index}));
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

/* Random histories against the plain definition. */
/* The mark stands still behind the feed of a large transaction, and own ones commit
 * meanwhile: what is submitted must find room in the table when it is accepted. */
Test(node_snapshot, nothing_is_submitted_that_the_table_could_not_hold)
{
	struct fixture *f = fixture_new(0);
	uint32_t taken = 0;

	while (take(f)) {
		uint64_t sequence = f->taken.sequence;
		taken++;
		cr_assert(snapshot_table_add(&f->table, 1 + sequence,
					     &(struct gtid){.gno = 1 + sequence % 32}));
		snapshot_close(&f->table, sequence);
	}
	cr_assert_eq(taken, CAPACITY);
	cr_assert_eq(f->table.count, CAPACITY);
	snapshot_table_through(&f->table, 0);
	cr_assert(!take(f));
	free(f);
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
