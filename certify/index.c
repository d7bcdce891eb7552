/*
 * Open addressing with linear probing; a removal shifts the rest of its cluster
 * back, so there are no tombstones. A slot is 16 bytes: hash and last writer; a
 * last writer of 0 is an empty slot.
 *
 * What counts. "Full" is a verdict, so it must not depend on which dead slots a
 * node happens to have swept. Schedule: nodes A and B apply HORIZON(50); A
 * sweeps at once, B does not; the next submission brings one hash more than B
 * has free slots. If occupied slots were counted, A would accept and B refuse.
 * Counting live hashes at the moment of the horizon instead would need a scan
 * of the whole table within one step. So the log is cut into *generations*: a
 * hash counts in the generation of its last writer, a generation is released as
 * a whole when the horizon has reached its upper boundary, and the count of
 * every generation is kept exact as hashes move from one to the next:
 *
 *       bound[0]      bound[1]           bound[2]         the last is open
 *     ----|-------------|------------------|--------------------->  log index
 *         | count[0]    | count[1]         | count[2]
 *                ^ horizon: count[0] stays until it reaches bound[1]
 *
 * index_count() = hashes whose last writer is above bound[0]. It follows from
 * the log alone, if two things hold. (1) Boundaries do: one at each entry that
 * moves the horizon, one whenever a generation has taken 1/64 of the capacity
 * in insertions; of INDEX_GENERATIONS one is forgotten to make room. (2) A hash
 * that counts is present on every node, so that its next writer finds it and
 * moves it: hence the sweep removes what is at or below bound[0] only, not all
 * that the horizon has made invisible. Schedule for the
 * simpler rule: row r was last written at 40, generation (30, 60], horizon 50;
 * A has swept r, B has not; r is written again: B moves it from (30, 60] to the
 * open one, A adds one, and the counts differ for ever.
 *
 * Room. While more than S / 8 of the S slots are dead, each insertion first sweeps
 * SWEEP_SLOTS slots; fewer do no harm, and rows that are written again revive
 * theirs. A round, with one more look per removal, ends within 2 S / SWEEP_SLOTS
 * insertions. What is present now was present when there were few dead (C + S / 8
 * at most), or was counting when the round before this one began (C at most), or
 * was inserted during these two rounds (S / 4): at most C + 3 S / 8 of
 * S = 2 C + 64 slots are ever in use, and an insertion always finds one.
 */
#include "certify/index.h"

#include "base/must.h"

#define SWEEP_SLOTS   16
#define SLOTS_SPARE   64
#define SLOTS_OFFSET  4096 /* the table begins on a page of its own */
#define GENERATION_OF 64   /* parts of the capacity */
#define DEAD_OF       8    /* parts of the slots */

struct slot {
	uint64_t hash;
	uint64_t last; /* 0 is empty */
};

struct certify_index {
	uint64_t slots;
	uint64_t occupied;
	uint64_t counted; /* sum of count[] */
	uint64_t horizon;
	uint64_t taken; /* insertions into the open generation */
	uint32_t hashes_max;
	uint32_t generations;              /* >= 1 */
	uint64_t bound[INDEX_GENERATIONS]; /* ascending; bound[0] <= horizon */
	uint64_t count[INDEX_GENERATIONS];

	uint64_t sweep_at; /* where the sweep goes on; it rests while nothing is dead */

	struct slot *slot;
};

_Static_assert(sizeof(struct certify_index) <= SLOTS_OFFSET, "the table follows");

static uint64_t
slots_of(uint32_t hashes_max)
{
	return 2 * (uint64_t)hashes_max + SLOTS_SPARE;
}

size_t
index_size(uint32_t hashes_max)
{
	must(hashes_max > 0 && hashes_max <= INDEX_HASHES_MAX);
	return SLOTS_OFFSET + slots_of(hashes_max) * sizeof(struct slot);
}

struct certify_index *
index_init(void *mem, uint32_t hashes_max)
{
	must(hashes_max > 0 && hashes_max <= INDEX_HASHES_MAX);
	must(((uintptr_t)mem & 63) == 0);
	struct certify_index *x = mem;
	memset(x, 0, sizeof *x);
	x->hashes_max = hashes_max;
	x->slots = slots_of(hashes_max);
	x->generations = 1;
	x->slot = (struct slot *)((uint8_t *)mem + SLOTS_OFFSET);
	memset(x->slot, 0, x->slots * sizeof *x->slot);
	return x;
}

void
index_limit(struct certify_index *x, uint32_t hashes_max)
{
	must(x->occupied == 0);
	must(hashes_max > 0 && hashes_max <= x->hashes_max);
	x->hashes_max = hashes_max;
	x->slots = slots_of(hashes_max);
	x->sweep_at = 0;
}

/* Where a hash would like to be. The multiplication spreads hashes that are
 * near each other; its upper half is scaled to the table without a division. */
static uint64_t
home_of(const struct certify_index *x, uint64_t hash)
{
	return ((hash * UINT64_C(0x9E3779B97F4A7C15)) >> 32) * x->slots >> 32;
}

static uint64_t
next_slot(const struct certify_index *x, uint64_t at)
{
	return at + 1 == x->slots ? 0 : at + 1;
}

/* The slot of a hash, or the empty one where it would go. There is always an
 * empty one: occupied < slots. */
static uint64_t
find_slot(const struct certify_index *x, uint64_t hash, uint64_t at)
{
	while (x->slot[at].last != 0 && x->slot[at].hash != hash)
		at = next_slot(x, at);
	return at;
}

static void
prefetch_batch(const struct certify_index *x, const uint8_t *hashes, uint32_t n, uint64_t *home)
{
	must(n <= INDEX_BATCH);
	for (uint32_t i = 0; i < n; i++) {
		uint64_t hash = bytes_get_u64(hashes + (size_t)i * ENTRY_HASH_BYTES);
		home[i] = home_of(x, hash);
		__builtin_prefetch(&x->slot[home[i]], 1);
	}
}

/* As index_lookup_batch(), but with what the horizon has made invisible. */
static void
find_batch(const struct certify_index *x, const uint8_t *hashes, uint32_t n, uint64_t *last)
{
	uint64_t home[INDEX_BATCH];
	prefetch_batch(x, hashes, n, home);
	for (uint32_t i = 0; i < n; i++) {
		uint64_t hash = bytes_get_u64(hashes + (size_t)i * ENTRY_HASH_BYTES);
		last[i] = x->slot[find_slot(x, hash, home[i])].last;
	}
}

void
index_lookup_batch(const struct certify_index *x, const uint8_t *hashes, uint32_t n, uint64_t *last)
{
	find_batch(x, hashes, n, last);
	for (uint32_t i = 0; i < n; i++)
		if (last[i] <= x->horizon)
			last[i] = 0;
}

void
index_prefetch(const struct certify_index *x, const struct entry_submit *submit)
{
	uint64_t home[INDEX_BATCH];
	uint32_t n = submit->hash_count < INDEX_BATCH ? submit->hash_count : INDEX_BATCH;
	prefetch_batch(x, submit->hashes, n, home);
}

/* The generation that holds a log index above bound[0]. */
static uint32_t
generation_of(const struct certify_index *x, uint64_t index)
{
	uint32_t low = 0, high = x->generations;
	must(index > x->bound[0]);
	if (index > x->bound[high - 1])
		return high - 1;
	while (high - low > 1) { /* bound[low] < index <= bound[high] */
		uint32_t middle = low + (high - low) / 2;
		if (x->bound[middle] < index)
			low = middle;
		else
			high = middle;
	}
	return low;
}

/* Forgets one boundary, to make room for `next`: the one between the two
 * generations that together are shortest, the first of equals. Forgetting every
 * second one would leave the old ones coarse, and release them late. */
static void
join_generations(struct certify_index *x, uint64_t next)
{
	uint32_t best = 0;
	uint64_t shortest = UINT64_MAX;
	for (uint32_t i = 1; i < x->generations; i++) {
		uint64_t end = i + 1 < x->generations ? x->bound[i + 1] : next;
		if (end - x->bound[i - 1] < shortest) {
			shortest = end - x->bound[i - 1];
			best = i;
		}
	}
	must(best > 0);
	x->count[best - 1] += x->count[best];
	x->generations--;
	memmove(x->bound + best, x->bound + best + 1, (x->generations - best) * sizeof *x->bound);
	memmove(x->count + best, x->count + best + 1, (x->generations - best) * sizeof *x->count);
}

static void
open_generation(struct certify_index *x, uint64_t bound)
{
	if (x->taken == 0 || bound <= x->bound[x->generations - 1])
		return;
	if (x->generations == INDEX_GENERATIONS)
		join_generations(x, bound);
	x->bound[x->generations] = bound;
	x->count[x->generations] = 0;
	x->generations++;
	x->taken = 0;
}

void
index_set_horizon(struct certify_index *x, uint64_t horizon, uint64_t at)
{
	must(horizon >= x->horizon);
	must(at > horizon);
	x->horizon = horizon;
	uint32_t released = 0;
	while (released + 1 < x->generations && x->bound[released + 1] <= horizon)
		x->counted -= x->count[released++];
	x->generations -= released;
	memmove(x->bound, x->bound + released, x->generations * sizeof *x->bound);
	memmove(x->count, x->count + released, x->generations * sizeof *x->count);
	open_generation(x, at);
	must(x->bound[0] <= x->horizon);
}

static uint64_t
distance(const struct certify_index *x, uint64_t from, uint64_t to)
{
	return to >= from ? to - from : to + x->slots - from;
}

/* Empties a slot and moves back what could not get nearer to its home for it. */
static void
remove_slot(struct certify_index *x, uint64_t hole)
{
	uint64_t at = next_slot(x, hole);
	while (x->slot[at].last != 0) {
		uint64_t home = home_of(x, x->slot[at].hash);
		if (distance(x, home, at) >= distance(x, hole, at)) {
			x->slot[hole] = x->slot[at];
			hole = at;
		}
		at = next_slot(x, at);
	}
	x->slot[hole] = (struct slot){0};
	x->occupied--;
}

bool
index_sweep(struct certify_index *x, uint32_t budget_slots)
{
	must(x->occupied >= x->counted);
	for (; budget_slots > 0 && x->occupied > x->counted; budget_slots--) {
		uint64_t last = x->slot[x->sweep_at].last;
		if (last != 0 && last <= x->bound[0])
			remove_slot(x, x->sweep_at); /* another may move in: look again */
		else
			x->sweep_at = next_slot(x, x->sweep_at);
	}
	return x->occupied > x->counted;
}

static void
insert(struct certify_index *x, uint64_t hash, uint64_t home, uint64_t index)
{
	struct slot *slot = &x->slot[find_slot(x, hash, home)];
	if (slot->last == 0)
		x->occupied++;
	if (slot->last > x->bound[0])
		x->count[generation_of(x, slot->last)]--;
	else
		x->counted++;
	x->count[generation_of(x, index)]++;
	*slot = (struct slot){hash, index};
	must(x->occupied < x->slots);
}

void
certify_start(struct certify_job *job, const struct entry_submit *submit, uint64_t index)
{
	must(index > 0);
	*job = (struct certify_job){.submit = submit,
				    .index = index,
				    .count = entry_hash_count(submit),
				    .piece = submit->hashes,
				    .piece_end = submit->hash_count};
}

void
certify_hashes(struct certify_job *job, const uint8_t *hashes, uint32_t count)
{
	must(count > 0);
	must(count <= job->count - job->next);
	job->piece = hashes;
	job->piece_first = job->next;
	job->piece_end = job->next + count;
}

static const uint8_t *
hashes_next(const struct certify_job *job)
{
	must(job->next >= job->piece_first);
	must(job->next < job->piece_end);
	return job->piece + (size_t)(job->next - job->piece_first) * ENTRY_HASH_BYTES;
}

/* One batch of lookups; false: a conflict, or a hash of a later version, which
 * entry_decode() has not seen because it is not in the entry. */
static bool
look_up(const struct certify_index *x, struct certify_job *job, uint32_t n)
{
	const uint8_t *hashes = hashes_next(job);
	uint64_t last[INDEX_BATCH];
	find_batch(x, hashes, n, last);
	for (uint32_t i = 0; i < n; i++) {
		uint64_t hash = bytes_get_u64(hashes + (size_t)i * ENTRY_HASH_BYTES);
		bool foreign = hash & ENTRY_HASH_SHARED;
		if (last[i] <= x->bound[0])
			job->fresh++;
		if (last[i] <= x->horizon && !foreign)
			continue;
		if (foreign || !snapshot_contains(&job->submit->snapshot, last[i])) {
			job->winner = foreign ? 0 : last[i];
			job->winner_hash = hash;
			return false;
		}
		if (last[i] > job->last_writer)
			job->last_writer = last[i];
	}
	return true;
}

static void
insert_batch(struct certify_index *x, const struct certify_job *job, uint32_t n)
{
	const uint8_t *hashes = hashes_next(job);
	uint64_t home[INDEX_BATCH];
	prefetch_batch(x, hashes, n, home);
	if (x->occupied - x->counted > x->slots / DEAD_OF)
		(void)index_sweep(x, n * SWEEP_SLOTS);
	for (uint32_t i = 0; i < n; i++)
		insert(x, bytes_get_u64(hashes + (size_t)i * ENTRY_HASH_BYTES), home[i],
		       job->index);
	x->taken += n;
}

/* From the lookups to the insertions, or to the end. A hash that stands twice in
 * the write set was counted fresh twice: full a little early, and everywhere. */
static enum certify_answer
lookups_passed(struct certify_index *x, struct certify_job *job)
{
	if (x->counted + job->fresh > x->hashes_max)
		return CERTIFY_FULL;
	if (x->taken > x->hashes_max / GENERATION_OF)
		open_generation(x, job->index - 1);
	job->inserting = true;
	job->next = 0;
	return CERTIFY_MORE;
}

enum certify_answer
certify_step(struct certify_index *x, struct certify_job *job, uint32_t budget_hashes)
{
	must(budget_hashes > 0);
	for (;;) { /* each turn uses budget, or ends the lookups, or ends */
		uint32_t n = job->count - job->next;
		if (n == 0 && job->inserting)
			return CERTIFY_ACCEPT;
		if (n == 0) {
			enum certify_answer answer = lookups_passed(x, job);
			if (answer != CERTIFY_MORE)
				return answer;
			continue;
		}
		if (job->next < job->piece_first || job->next >= job->piece_end)
			return CERTIFY_HASHES;
		if (budget_hashes == 0)
			return CERTIFY_MORE;
		if (n > job->piece_end - job->next)
			n = job->piece_end - job->next;
		n = n < INDEX_BATCH ? n : INDEX_BATCH;
		n = n < budget_hashes ? n : budget_hashes;
		if (job->inserting)
			insert_batch(x, job, n);
		else if (!look_up(x, job, n))
			return CERTIFY_REFUSE;
		job->next += n;
		budget_hashes -= n;
	}
}

uint64_t
index_horizon(const struct certify_index *x)
{
	return x->horizon;
}

uint64_t
index_count(const struct certify_index *x)
{
	return x->counted;
}

uint32_t
index_capacity(const struct certify_index *x)
{
	return x->hashes_max;
}

uint64_t
index_occupied(const struct certify_index *x)
{
	return x->occupied;
}

size_t
index_image_bytes(const struct certify_index *x)
{
	return 36 + (x->generations + 2 * x->occupied) * 8;
}

/*
 * The slots are written in their order, from behind an empty one. Inserted in
 * this order into an empty table each finds everything between its home and its
 * old place taken, and that place free: the layout comes out the same, and so
 * do the bytes when they are written again.
 */
void
index_encode(struct certify_index *x, struct writer *w)
{
	while (index_sweep(x, UINT32_MAX))
		;
	writer_u32(w, x->hashes_max);
	writer_u64(w, x->horizon);
	writer_u64(w, x->taken);
	writer_u32(w, x->generations);
	for (uint32_t i = 0; i < x->generations; i++)
		writer_u64(w, x->bound[i]);
	writer_u64(w, x->occupied);
	must(x->occupied == x->counted);
	uint64_t at = 0;
	while (x->slot[at].last != 0)
		at = next_slot(x, at);
	for (uint64_t i = 0; i < x->slots; i++) {
		at = next_slot(x, at);
		if (x->slot[at].last == 0)
			continue;
		writer_u64(w, x->slot[at].hash);
		writer_u64(w, x->slot[at].last);
	}
}

static bool
decode_generations(struct certify_index *x, struct reader *r)
{
	x->horizon = reader_u64(r);
	x->taken = reader_u64(r);
	x->generations = reader_u32(r);
	if (x->generations == 0 || x->generations > INDEX_GENERATIONS) {
		x->generations = 1;
		return false;
	}
	for (uint32_t i = 0; i < x->generations; i++) {
		x->bound[i] = reader_u64(r);
		if (i > 0 && x->bound[i] <= x->bound[i - 1])
			return false;
	}
	if (x->generations > 1 && x->bound[1] <= x->horizon)
		return false;
	return !r->bad && x->bound[0] <= x->horizon;
}

bool
index_decode(struct certify_index *x, struct reader *r, uint64_t applied)
{
	must(x->occupied == 0);
	if (reader_u32(r) != x->hashes_max || !decode_generations(x, r))
		return false;
	uint64_t n = reader_u64(r);
	if (n > x->hashes_max)
		return false;
	for (uint64_t i = 0; i < n; i++) {
		uint64_t hash = reader_u64(r);
		uint64_t last = reader_u64(r);
		if (hash & ENTRY_HASH_SHARED || last <= x->bound[0] || last > applied)
			return false;
		insert(x, hash, home_of(x, hash), last);
	}
	return !r->bad && x->occupied == n;
}
