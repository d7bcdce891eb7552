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

static struct snapshot_open *
open_at(const struct snapshot_table *t, uint64_t sequence)
{
	return &t->open[sequence & (t->open_ring - 1)];
}

size_t
snapshot_table_size(uint32_t capacity, uint32_t open_max)
{
	return capacity * sizeof(struct snapshot_entry) +
	       open_ring(open_max) * sizeof(struct snapshot_open) +
	       open_max * sizeof(struct snapshot_ahead);
}

void
snapshot_table_init(struct snapshot_table *t, void *memory, uint32_t capacity, uint32_t open_max)
{
	must(is_power_of_two(capacity));
	memset(t, 0, sizeof *t);
	t->entry = memory;
	t->capacity = capacity;
	t->open = (struct snapshot_open *)(void *)(t->entry + capacity);
	t->open_max = open_max;
	t->open_ring = open_ring(open_max);
	t->ahead = (struct snapshot_ahead *)(void *)(t->open + t->open_ring);
	snapshot_table_reset(t, 0);
}

void
snapshot_table_reset(struct snapshot_table *t, uint64_t mark)
{
	t->first = 0;
	t->count = 0;
	t->mark = mark;
	t->through = mark;
	t->sum = 0;
	t->joined = 0;
	t->sequence_next = 1;
	t->floor = 1;
	for (uint32_t i = 0; i < t->open_ring; i++)
		t->open[i] = (struct snapshot_open){.mark = NO_MARK};
	t->ahead_count = 0;
	memset(t->ahead, 0, t->open_max * sizeof *t->ahead);
}

void
snapshot_table_joined(struct snapshot_table *t, uint64_t incarnation)
{
	t->joined = incarnation;
}

/* The mark moves over committed entries, and then to `through` when nothing
 * uncommitted is left below it: what is between is refused, views and the like. */
static void
advance_mark(struct snapshot_table *t)
{
	while (t->count > 0 && entry_at(t, 0)->committed && entry_at(t, 0)->index <= t->through) {
		must(entry_at(t, 0)->index > t->mark);
		t->mark = entry_at(t, 0)->index;
		t->sum += entry_at(t, 0)->term;
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
snapshot_table_add(struct snapshot_table *t, const struct snapshot_entry *e)
{
	if (e->index <= t->mark)
		return true;
	uint32_t position = t->count;
	while (position > 0 && entry_at(t, position - 1)->index >= e->index)
		position--;
	if (position < t->count && entry_at(t, position)->index == e->index)
		return true;
	if (t->count == t->capacity)
		return false;
	t->count++;
	for (uint32_t i = t->count - 1; i > position; i--)
		*entry_at(t, i) = *entry_at(t, i - 1);
	*entry_at(t, position) = *e;
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

void
snapshot_failed(struct snapshot_table *t, uint64_t name)
{
	for (uint32_t i = 0; i < t->count; i++)
		if (entry_at(t, i)->name == name && name != 0)
			entry_at(t, i)->failed = true;
}

static uint8_t *
range_at(struct snapshot_taken *taken, uint32_t i)
{
	return taken->ranges + i % SNAPSHOT_RANGES_MAX * SNAPSHOT_RANGE_BYTES;
}

/* Appends from..to, or extends the last range when they touch. Where there is no room the lowest
 * goes, and `left_out` says how many did: the first one is range_at() of that. */
static void
range_add(struct snapshot_taken *taken, uint32_t *left_out, uint64_t from, uint64_t to)
{
	struct snapshot *s = &taken->snapshot;

	if (from > to)
		return;
	if (s->range_count > 0) {
		uint8_t *last = range_at(taken, *left_out + s->range_count - 1);

		must(bytes_get_u64(last + 8) < from);
		if (bytes_get_u64(last + 8) + 1 == from) {
			bytes_put_u64(last + 8, to);
			return;
		}
	} else if (s->mark + 1 == from) {
		s->mark = to;
		return;
	}
	if (s->range_count == SNAPSHOT_RANGES_MAX)
		*left_out += 1;
	else
		s->range_count++;
	uint8_t *next = range_at(taken, *left_out + s->range_count - 1);
	bytes_put_u64(next, from);
	bytes_put_u64(next + 8, to);
}

static void
ranges_reverse(struct snapshot_taken *taken, uint32_t from, uint32_t to)
{
	for (; from + 1 < to; from++, to--) {
		uint8_t *a = range_at(taken, from), *b = range_at(taken, to - 1);
		uint8_t kept[SNAPSHOT_RANGE_BYTES];

		memcpy(kept, a, sizeof kept);
		memcpy(a, b, sizeof kept);
		memcpy(b, kept, sizeof kept);
	}
}

/* The lowest first. */
static void
ranges_in_order(struct snapshot_taken *taken, uint32_t left_out)
{
	uint32_t first = left_out % SNAPSHOT_RANGES_MAX;

	if (first == 0)
		return;
	ranges_reverse(taken, 0, first);
	ranges_reverse(taken, first, SNAPSHOT_RANGES_MAX);
	ranges_reverse(taken, 0, SNAPSHOT_RANGES_MAX);
}

/* Whether an entry counts as seen: it is in gtid_executed, or an own one that holds its
 * locks. */
static bool
counts_as_seen(const struct snapshot_entry *e, const struct snapshot_executed *executed)
{
	if (e->name != 0 && !e->failed)
		return true;
	return executed->contains(executed->context, &e->gtid);
}

/* Walks the table once: up to `through` everything is committed except the
 * entries that do not count as seen; beyond it nothing is known but the own
 * entries that do. True: to the end. False: something may hide what comes behind, and
 * nothing above it was added. Behind a large one that comes, or waits to be committed, the
 * mark stands still, and each own one stands alone between those of others: with more
 * ranges than there is room for the lowest are left out, since who writes a row again
 * wrote it lately, as a rule. */
static bool
take_ranges(struct snapshot_table *t, const struct snapshot_executed *executed,
	    struct snapshot_taken *taken, uint32_t *left_out)
{
	uint64_t from = t->mark + 1; /* first index not said yet */
	bool recovering = t->mark < t->joined;

	for (uint32_t i = 0; i < t->count; i++) {
		const struct snapshot_entry *e = entry_at(t, i);
		uint64_t before = e->index - 1 < t->through ? e->index - 1 : t->through;

		if (counts_as_seen(e, executed)) {
			if (e->index <= t->through)
				continue; /* inside the range that goes on */
			range_add(taken, left_out, from, t->through);
			range_add(taken, left_out, e->index, e->index);
		} else {
			range_add(taken, left_out, from, before);
			if (e->failed || recovering)
				return false;
		}
		from = e->index + 1;
	}
	range_add(taken, left_out, from, t->through);
	return !recovering;
}

static bool
has_sequence(const struct snapshot_table *t)
{
	/* Each open one may become an entry, and the mark may stand still meanwhile:
	 * behind the feed of one large transaction thousands of own ones commit. */
	return t->sequence_next - t->floor < t->open_max &&
	       t->sequence_next - t->floor < t->capacity - t->count;
}

static uint64_t
number(struct snapshot_table *t, const struct snapshot_open *what)
{
	struct snapshot_open *open = open_at(t, t->sequence_next);

	must(open->mark == NO_MARK);
	*open = *what;
	return t->sequence_next++;
}

/* Whether the submission vouches for own ones. */
static bool
take(struct snapshot_table *t, const struct snapshot_executed *executed,
     struct snapshot_taken *taken)
{
	taken->snapshot = (struct snapshot){.mark = t->mark, .ranges = taken->ranges};
	uint32_t left_out = 0;
	bool trusts_own = take_ranges(t, executed, taken, &left_out);
	ranges_in_order(taken, left_out);
	must(taken->snapshot.mark >= t->mark);
	return trusts_own;
}

bool
snapshot_take(struct snapshot_table *t, const struct snapshot_executed *executed,
	      struct snapshot_taken *taken)
{
	if (!has_sequence(t))
		return false;
	bool trusts_own = take(t, executed, taken);
	taken->sequence = number(t, &(struct snapshot_open){.mark = taken->snapshot.mark,
							    .floor = t->floor,
							    .trusts_own = trusts_own});
	return true;
}

const struct snapshot_open *
snapshot_open(const struct snapshot_table *t, uint64_t sequence)
{
	const struct snapshot_open *open = open_at(t, sequence);

	must(sequence >= t->floor && sequence < t->sequence_next);
	must(open->mark != NO_MARK);
	return open;
}

uint32_t
snapshot_ahead_place(const struct snapshot_table *t, uint64_t name)
{
	must(name & SNAPSHOT_AHEAD);
	return (uint32_t)((name & ~SNAPSHOT_AHEAD) % t->open_max);
}

static struct snapshot_ahead *
ahead_at(const struct snapshot_table *t, uint64_t name)
{
	return &t->ahead[snapshot_ahead_place(t, name)];
}

bool
snapshot_take_ahead(struct snapshot_table *t, const struct snapshot_executed *executed,
		    struct snapshot_taken *taken)
{
	uint32_t place = 0;

	while (place < t->open_max && t->ahead[place].name != 0)
		place++;
	if (place == t->open_max)
		return false;
	(void)take(t, executed, taken);
	taken->sequence = SNAPSHOT_AHEAD | (++t->ahead_last * t->open_max + place);
	t->ahead[place] = (struct snapshot_ahead){taken->sequence, taken->snapshot.mark};
	t->ahead_count++;
	return true;
}

uint64_t
snapshot_number(struct snapshot_table *t, uint64_t name)
{
	struct snapshot_ahead *a = ahead_at(t, name);

	must(a->name == name);
	must(a->mark != NO_MARK);
	if (!has_sequence(t))
		return 0;
	/* It vouches for nobody: whether it has its rows still is not known (above). */
	uint64_t sequence = number(t, &(struct snapshot_open){.mark = a->mark, .floor = t->floor});
	a->mark = NO_MARK;
	return sequence;
}

/* One of an earlier incarnation is gone already. */
static void
close_ahead(struct snapshot_table *t, uint64_t name)
{
	struct snapshot_ahead *a = ahead_at(t, name);

	if (a->name != name)
		return;
	*a = (struct snapshot_ahead){0};
	t->ahead_count--;
}

void
snapshot_close(struct snapshot_table *t, uint64_t sequence)
{
	if (sequence & SNAPSHOT_AHEAD) {
		close_ahead(t, sequence);
		return;
	}
	must(sequence < t->sequence_next);
	if (sequence < t->floor)
		return;
	open_at(t, sequence)->mark = NO_MARK;
	while (t->floor < t->sequence_next && open_at(t, t->floor)->mark == NO_MARK)
		t->floor++;
}

uint64_t
snapshot_mark_low(const struct snapshot_table *t)
{
	uint64_t low = t->mark;

	for (uint64_t s = t->floor; s < t->sequence_next; s++) {
		uint64_t mark = open_at(t, s)->mark;
		if (mark < low)
			low = mark;
	}
	for (uint32_t i = 0; t->ahead_count > 0 && i < t->open_max; i++) {
		const struct snapshot_ahead *a = &t->ahead[i];
		if (a->name != 0 && a->mark < low)
			low = a->mark;
	}
	return low;
}
