#include "node/snapshot.h"

#include "base/bytes.h"
#include "base/must.h"

#define NO_MARK UINT64_MAX

static bool
is_power_of_two(uint32_t n)
{
	return n > 0 && (n & (n - 1)) == 0;
}

static struct snapshot_entry *
entry_at(const struct snapshot_table *t, uint32_t position)
{
	must_slow(position < t->count);
	return &t->entry[(t->first + position) & (t->capacity - 1)];
}

static uint32_t
open_ring(uint32_t open_max)
{
	uint32_t n = 1;

	must(open_max > 0 && open_max <= 1u << 30);
	while (n < open_max)
		n *= 2;
	return n;
}

static uint64_t *
open_at(const struct snapshot_table *t, uint64_t sequence)
{
	return &t->open_mark[sequence & (t->open_ring - 1)];
}

size_t
snapshot_table_size(uint32_t capacity, uint32_t open_max)
{
	return capacity * sizeof(struct snapshot_entry) + open_ring(open_max) * sizeof(uint64_t);
}

void
snapshot_table_init(struct snapshot_table *t, void *memory, uint32_t capacity, uint32_t open_max)
{
	must(is_power_of_two(capacity));
	memset(t, 0, sizeof *t);
	t->entry = memory;
	t->capacity = capacity;
	t->open_mark = (uint64_t *)(void *)(t->entry + capacity);
	t->open_max = open_max;
	t->open_ring = open_ring(open_max);
	snapshot_table_reset(t, 0);
}

void
snapshot_table_reset(struct snapshot_table *t, uint64_t mark)
{
	t->first = 0;
	t->count = 0;
	t->mark = mark;
	t->through = mark;
	t->sequence_next = 1;
	t->floor = 1;
	for (uint32_t i = 0; i < t->open_ring; i++)
		t->open_mark[i] = NO_MARK;
}

/* The mark moves over committed entries, and then to `through` when nothing
 * uncommitted is left below it: what is between is refused, views and the like. */
static void
advance_mark(struct snapshot_table *t)
{
	while (t->count > 0 && entry_at(t, 0)->committed && entry_at(t, 0)->index <= t->through) {
		must(entry_at(t, 0)->index > t->mark);
		t->mark = entry_at(t, 0)->index;
		t->first = (t->first + 1) & (t->capacity - 1);
		t->count--;
	}
	uint64_t limit = t->through;
	if (t->count > 0 && entry_at(t, 0)->index <= limit)
		limit = entry_at(t, 0)->index - 1;
	if (limit > t->mark)
		t->mark = limit;
}

bool
snapshot_table_add(struct snapshot_table *t, uint64_t index, const struct gtid *gtid)
{
	if (index <= t->mark)
		return true;
	uint32_t position = t->count;
	while (position > 0 && entry_at(t, position - 1)->index >= index)
		position--;
	if (position < t->count && entry_at(t, position)->index == index)
		return true;
	if (t->count == t->capacity)
		return false;
	t->count++;
	for (uint32_t i = t->count - 1; i > position; i--)
		*entry_at(t, i) = *entry_at(t, i - 1);
	*entry_at(t, position) = (struct snapshot_entry){.index = index, .gtid = *gtid};
	return true;
}

void
snapshot_table_through(struct snapshot_table *t, uint64_t index)
{
	if (index > t->through)
		t->through = index;
	advance_mark(t);
}

bool
snapshot_table_committed(struct snapshot_table *t, const struct gtid *gtid)
{
	for (uint32_t i = 0; i < t->count; i++) {
		struct snapshot_entry *e = entry_at(t, i);

		if (e->committed || !gtid_equal(&e->gtid, gtid))
			continue;
		e->committed = true;
		advance_mark(t);
		return true;
	}
	return false;
}

/* Appends from..to, or extends the last range when they touch. False: full. */
static bool
range_add(struct snapshot_taken *taken, uint64_t from, uint64_t to)
{
	struct snapshot *s = &taken->snapshot;

	if (from > to)
		return true;
	if (s->range_count > 0) {
		uint8_t *last = taken->ranges + (s->range_count - 1) * SNAPSHOT_RANGE_BYTES;

		must(bytes_get_u64(last + 8) < from);
		if (bytes_get_u64(last + 8) + 1 == from) {
			bytes_put_u64(last + 8, to);
			return true;
		}
	} else if (s->mark + 1 == from) {
		s->mark = to;
		return true;
	}
	if (s->range_count == SNAPSHOT_RANGES_MAX)
		return false;
	uint8_t *next = taken->ranges + s->range_count * SNAPSHOT_RANGE_BYTES;
	bytes_put_u64(next, from);
	bytes_put_u64(next + 8, to);
	s->range_count++;
	return true;
}

/* Walks the table once: up to `through` everything is committed except the
 * entries that are not in gtid_executed; beyond it nothing is known but the own
 * entries that are. */
static void
take_ranges(struct snapshot_table *t, const struct snapshot_executed *executed,
	    struct snapshot_taken *taken)
{
	uint64_t from = t->mark + 1; /* first index not said yet */

	for (uint32_t i = 0; i < t->count; i++) {
		const struct snapshot_entry *e = entry_at(t, i);

		if (executed->contains(executed->context, &e->gtid)) {
			if (e->index <= t->through)
				continue; /* inside the range that goes on */
			if (!range_add(taken, from, t->through))
				return;
			if (!range_add(taken, e->index, e->index))
				return;
			from = e->index + 1;
			continue;
		}
		uint64_t before = e->index - 1 < t->through ? e->index - 1 : t->through;
		if (!range_add(taken, from, before))
			return;
		from = e->index + 1;
	}
	range_add(taken, from, t->through);
}

bool
snapshot_take(struct snapshot_table *t, const struct snapshot_executed *executed,
	      struct snapshot_taken *taken)
{
	if (t->sequence_next - t->floor >= t->open_max)
		return false;
	/* Each open one may become an entry, and the mark may stand still meanwhile:
	 * behind the feed of one large transaction thousands of own ones commit. */
	if (t->sequence_next - t->floor >= t->capacity - t->count)
		return false;
	taken->snapshot = (struct snapshot){.mark = t->mark, .ranges = taken->ranges};
	take_ranges(t, executed, taken);
	taken->sequence = t->sequence_next++;

	uint64_t *open = open_at(t, taken->sequence);
	must(*open == NO_MARK);
	*open = taken->snapshot.mark;
	must(taken->snapshot.mark >= t->mark);
	return true;
}

void
snapshot_close(struct snapshot_table *t, uint64_t sequence)
{
	must(sequence < t->sequence_next);
	if (sequence < t->floor)
		return;
	*open_at(t, sequence) = NO_MARK;
	while (t->floor < t->sequence_next && *open_at(t, t->floor) == NO_MARK)
		t->floor++;
}

uint64_t
snapshot_mark_low(const struct snapshot_table *t)
{
	uint64_t low = t->mark;

	for (uint64_t s = t->floor; s < t->sequence_next; s++) {
		uint64_t mark = *open_at(t, s);
		if (mark < low)
			low = mark;
	}
	return low;
}
