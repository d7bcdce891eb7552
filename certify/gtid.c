/*
 * Layout of the block: the set, then `sources_max` sources, then
 * `intervals_max` intervals. A source names its run [first, first + count) of
 * the intervals; runs follow each other without gaps, in the sources' order.
 */
#include "certify/gtid.h"

#include "base/must.h"

struct span {
	uint64_t from;
	uint64_t to;
};

struct source {
	struct gtid_source name;
	uint32_t first;
	uint32_t count; /* >= 1 */
};

struct gtid_set {
	struct gtid_limits limits;
	uint32_t source_count;
	uint32_t span_count;
	struct source *source;
	struct span *span;
};

#define ALIGN8(n) (((n) + 7) & ~(size_t)7)

size_t
gtid_set_size(struct gtid_limits limits)
{
	return ALIGN8(sizeof(struct gtid_set)) +
	       ALIGN8(limits.sources_max * sizeof(struct source)) +
	       limits.intervals_max * sizeof(struct span);
}

struct gtid_set *
gtid_set_init(void *mem, struct gtid_limits limits)
{
	must(limits.sources_max > 0);
	must(limits.intervals_max > 0);
	must(((uintptr_t)mem & 7) == 0);
	uint8_t *at = mem;
	struct gtid_set *s = mem;
	*s = (struct gtid_set){.limits = limits};
	at += ALIGN8(sizeof *s);
	s->source = (struct source *)at;
	at += ALIGN8(limits.sources_max * sizeof(struct source));
	s->span = (struct span *)at;
	return s;
}

void
gtid_set_clear(struct gtid_set *s)
{
	s->source_count = 0;
	s->span_count = 0;
}

/* Where `name` is, or would be inserted. */
static uint32_t
find_source(const struct gtid_set *s, const struct gtid_source *name, bool *found)
{
	uint32_t low = 0, high = s->source_count;
	*found = false;
	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		int order = gtid_source_compare(&s->source[middle].name, name);
		if (order == 0) {
			*found = true;
			return middle;
		}
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* The first span of the run that ends at or above `gno`, or the run's end. */
static uint32_t
find_span(const struct gtid_set *s, const struct source *source, uint64_t gno)
{
	uint32_t low = source->first, high = source->first + source->count;
	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		if (s->span[middle].to < gno)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* Opens or closes `change` spans at `at`, which belongs to source `of`. */
static void
resize_run(struct gtid_set *s, uint32_t of, uint32_t at, int64_t change)
{
	uint32_t tail = change < 0 ? at + (uint32_t)-change : at;
	must(tail <= s->span_count);
	memmove(s->span + ((int64_t)tail + change), s->span + tail,
		(s->span_count - tail) * sizeof *s->span);
	s->span_count = (uint32_t)((int64_t)s->span_count + change);
	s->source[of].count = (uint32_t)((int64_t)s->source[of].count + change);
	for (uint32_t i = of + 1; i < s->source_count; i++)
		s->source[i].first = (uint32_t)((int64_t)s->source[i].first + change);
	must(s->span_count <= s->limits.intervals_max);
}

static enum gtid_result
add_to_new_source(struct gtid_set *s, uint32_t at, const struct gtid_interval *in)
{
	if (s->source_count == s->limits.sources_max || s->span_count == s->limits.intervals_max)
		return GTID_SET_FULL;
	uint32_t first = s->span_count;
	if (at < s->source_count)
		first = s->source[at].first;
	memmove(s->source + at + 1, s->source + at, (s->source_count - at) * sizeof *s->source);
	s->source_count++;
	s->source[at] = (struct source){.name = in->source, .first = first};
	resize_run(s, at, first, 1);
	s->span[first] = (struct span){in->from, in->to};
	return GTID_SET_ADDED;
}

enum gtid_result
gtid_set_add_interval(struct gtid_set *s, const struct gtid_interval *in)
{
	must(in->from > 0 && in->from <= in->to);
	must(in->to <= GNO_MAX);
	bool found;
	uint32_t of = find_source(s, &in->source, &found);
	if (!found)
		return add_to_new_source(s, of, in);
	struct source *source = &s->source[of];
	uint32_t end = source->first + source->count;
	/* Spans [low, high) overlap or touch the interval: one takes their place. */
	uint32_t low = find_span(s, source, in->from - 1);
	uint32_t high = low;
	struct span merged = {in->from, in->to};
	while (high < end && s->span[high].from <= in->to + 1) {
		if (s->span[high].from <= in->from && s->span[high].to >= in->to)
			return GTID_SET_PRESENT;
		if (s->span[high].from < merged.from)
			merged.from = s->span[high].from;
		if (s->span[high].to > merged.to)
			merged.to = s->span[high].to;
		high++;
	}
	if (low == high && s->span_count == s->limits.intervals_max)
		return GTID_SET_FULL;
	resize_run(s, of, low, 1 - (int64_t)(high - low));
	s->span[low] = merged;
	return GTID_SET_ADDED;
}

enum gtid_result
gtid_set_add(struct gtid_set *s, const struct gtid *gtid)
{
	struct gtid_interval one = {gtid->source, gtid->gno, gtid->gno};
	return gtid_set_add_interval(s, &one);
}

static bool
contains_interval(const struct gtid_set *s, const struct gtid_interval *in)
{
	bool found;
	uint32_t of = find_source(s, &in->source, &found);
	if (!found)
		return false;
	uint32_t at = find_span(s, &s->source[of], in->from);
	if (at == s->source[of].first + s->source[of].count)
		return false;
	return s->span[at].from <= in->from && s->span[at].to >= in->to;
}

bool
gtid_set_contains(const struct gtid_set *s, const struct gtid *gtid)
{
	struct gtid_interval one = {gtid->source, gtid->gno, gtid->gno};
	return contains_interval(s, &one);
}

bool
gtid_set_contains_set(const struct gtid_set *s, const struct gtid_set *other)
{
	for (uint32_t i = 0; i < other->source_count; i++) {
		const struct source *source = &other->source[i];
		for (uint32_t j = source->first; j < source->first + source->count; j++) {
			struct gtid_interval in = {source->name, other->span[j].from,
						   other->span[j].to};
			if (!contains_interval(s, &in))
				return false;
		}
	}
	return true;
}

bool
gtid_set_contains_bytes(const struct gtid_set *s, struct gtid_bytes other)
{
	struct gtid_cursor c = gtid_cursor_over(other);
	while (gtid_cursor_next(&c))
		if (!contains_interval(s, &c.at))
			return false;
	return !c.r.bad;
}

bool
gtid_set_has_room(const struct gtid_set *s, const struct gtid_source *source)
{
	bool found;
	(void)find_source(s, source, &found);
	if (!found && s->source_count == s->limits.sources_max)
		return false;
	return s->span_count < s->limits.intervals_max;
}

uint64_t
gtid_set_free(const struct gtid_set *s, const struct gtid_source *source, uint64_t from,
	      uint64_t *to)
{
	must(from > 0);
	*to = GNO_MAX;
	bool found;
	uint32_t of = find_source(s, source, &found);
	if (found) {
		uint32_t end = s->source[of].first + s->source[of].count;
		uint32_t at = find_span(s, &s->source[of], from);
		if (at < end && s->span[at].from <= from)
			from = s->span[at++].to + 1; /* spans never touch: this one is free */
		if (at < end)
			*to = s->span[at].from - 1;
	}
	if (from > GNO_MAX)
		return *to = 0;
	must(from <= *to);
	return from;
}

uint32_t
gtid_set_sources(const struct gtid_set *s)
{
	return s->source_count;
}

uint32_t
gtid_set_intervals(const struct gtid_set *s)
{
	return s->span_count;
}

const struct gtid_source *
gtid_set_source_at(const struct gtid_set *s, uint32_t i)
{
	must(i < s->source_count);
	return &s->source[i].name;
}

size_t
gtid_set_bytes(const struct gtid_set *s)
{
	size_t bytes = 4 + (size_t)s->span_count * sizeof(struct span);
	for (uint32_t i = 0; i < s->source_count; i++)
		bytes += UUID_BYTES + 1 + s->source[i].name.tag_bytes + 4;
	return bytes;
}

static void
write_run(const struct gtid_set *s, const struct gtid_source *name, struct span run,
	  struct writer *w)
{
	writer_raw(w, name->uuid, UUID_BYTES);
	writer_u8(w, name->tag_bytes);
	writer_raw(w, name->tag, name->tag_bytes);
	writer_u32(w, (uint32_t)(run.to - run.from));
	for (uint64_t i = run.from; i < run.to; i++) {
		writer_u64(w, s->span[i].from);
		writer_u64(w, s->span[i].to);
	}
}

void
gtid_set_encode(const struct gtid_set *s, struct writer *w)
{
	writer_u32(w, s->source_count);
	for (uint32_t i = 0; i < s->source_count; i++) {
		const struct source *source = &s->source[i];
		write_run(s, &source->name,
			  (struct span){source->first, source->first + source->count}, w);
	}
}

bool
gtid_set_interval_at(const struct gtid_set *s, uint32_t at, struct gtid_interval *out)
{
	const struct source *source = s->source;

	if (at >= s->span_count)
		return false;
	while (at - source->first >= source->count)
		source++;
	*out = (struct gtid_interval){source->name, s->span[at].from, s->span[at].to};
	return true;
}

uint32_t
gtid_set_encode_run(const struct gtid_set *s, uint32_t first, struct writer *w)
{
	const struct source *source = s->source;
	must(first < s->span_count);
	while (first - source->first >= source->count)
		source++;
	size_t head = 4 + UUID_BYTES + 1 + source->name.tag_bytes + 4;
	must(w->capacity - w->bytes >= head + sizeof(struct span));
	uint64_t room = (w->capacity - w->bytes - head) / sizeof(struct span);
	uint32_t end = source->first + source->count;
	if (end - first > room)
		end = first + (uint32_t)room;
	writer_u32(w, 1);
	write_run(s, &source->name, (struct span){first, end}, w);
	return end;
}

enum gtid_result
gtid_set_decode(struct gtid_set *s, struct gtid_bytes in)
{
	struct gtid_cursor c = gtid_cursor_over(in);
	while (gtid_cursor_next(&c))
		if (gtid_set_add_interval(s, &c.at) == GTID_SET_FULL)
			return GTID_SET_FULL;
	return c.r.bad ? GTID_SET_BAD : GTID_SET_ADDED;
}
