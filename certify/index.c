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
#define REDO_MAX      4096 /* pairs, behind the table */
#define PAIR_BYTES    16   /* of an image */
#define PAIRS_OFFSET  12   /* in a piece */
#define GENERATION_OF 64   /* parts of the capacity */
#define DEAD_OF       8    /* parts of the slots */
#define DUE_OF        64   /* parts of the slots: fewer dead are not worth a round */

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

	/* An image that is being written, or was loaded. */
	bool imaging;
	bool image_lost;
	uint64_t image_at;   /* slots from here on are in it, or looked at */
	uint32_t redo_first; /* in the ring of what was written behind that */
	uint32_t redo_count;
	uint64_t found[INDEX_GENERATIONS]; /* by the check of one that was loaded */

	struct slot *redo;
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
	return SLOTS_OFFSET + (REDO_MAX + slots_of(hashes_max)) * sizeof(struct slot);
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
	x->redo = x->slot + x->slots;
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
	x->image_lost = true;
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

/* What was written to a slot that the image has passed goes into it once more. */
static void
image_note(struct certify_index *x, uint64_t at, struct slot pair)
{
	if (!x->imaging || at < x->image_at)
		return;
	if (x->redo_count == REDO_MAX) {
		x->image_lost = true;
		return;
	}
	x->redo[(x->redo_first + x->redo_count++) % REDO_MAX] = pair;
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
			/* The image goes downwards, as things move: only around the
			 * table's end can one move to where it has been. */
			if (hole > at)
				image_note(x, hole, x->slot[at]);
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

bool
index_sweep_due(const struct certify_index *x)
{
	return x->occupied - x->counted > x->slots / DUE_OF;
}

static void
insert(struct certify_index *x, uint64_t hash, uint64_t home, uint64_t index)
{
	uint64_t at = find_slot(x, hash, home);
	struct slot *slot = &x->slot[at];
	if (slot->last == 0)
		x->occupied++;
	if (slot->last > x->bound[0])
		x->count[generation_of(x, slot->last)]--;
	else
		x->counted++;
	x->count[generation_of(x, index)]++;
	*slot = (struct slot){hash, index};
	image_note(x, at, *slot);
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

void
certify_own(struct certify_job *job, const uint64_t *own, uint32_t count)
{
	must(!job->own_known);
	job->own = own;
	job->own_count = count;
	job->own_known = true;
}

static bool
is_own(const struct certify_job *job, uint64_t writer)
{
	for (uint32_t i = 0; i < job->own_count; i++)
		if (job->own[i] == writer)
			return true;
	return false;
}

/* One batch of lookups. REFUSE: a conflict, or a hash of a later version, which
 * entry_decode() has not seen because it is not in the entry. OWN: the batch is
 * looked up anew when the own writers are known. */
static enum certify_answer
look_up(const struct certify_index *x, struct certify_job *job, uint32_t n)
{
	const uint8_t *hashes = hashes_next(job);
	uint64_t last[INDEX_BATCH];
	uint32_t fresh = 0;
	find_batch(x, hashes, n, last);
	for (uint32_t i = 0; i < n; i++) {
		uint64_t hash = bytes_get_u64(hashes + (size_t)i * ENTRY_HASH_BYTES);
		bool foreign = hash & ENTRY_HASH_SHARED;
		fresh += last[i] <= x->bound[0];
		if (last[i] <= x->horizon && !foreign)
			continue;
		bool passes = !foreign && (snapshot_contains(&job->submit->snapshot, last[i]) ||
					   is_own(job, last[i]));
		if (!passes && !foreign && !job->own_known &&
		    (job->submit->flags & SUBMIT_TRUSTS_OWN))
			return CERTIFY_OWN;
		if (!passes) {
			job->winner = foreign ? 0 : last[i];
			job->winner_hash = hash;
			return CERTIFY_REFUSE;
		}
		if (last[i] > job->last_writer)
			job->last_writer = last[i];
	}
	job->fresh += fresh;
	return CERTIFY_MORE;
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
		if (job->inserting) {
			insert_batch(x, job, n);
		} else {
			enum certify_answer answer = look_up(x, job, n);
			if (answer != CERTIFY_MORE)
				return answer;
		}
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

uint64_t
index_occupied(const struct certify_index *x)
{
	return x->occupied;
}

/* ---- the image ---- */

void
index_image_begin(struct certify_index *x)
{
	x->imaging = true;
	x->image_lost = false;
	x->image_at = x->slots;
	x->redo_count = 0;
}

void
index_image_forget(struct certify_index *x)
{
	x->imaging = false;
}

bool
index_image_more(const struct certify_index *x)
{
	must(x->imaging);
	return x->image_at > 0 || x->redo_count > 0;
}

bool
index_image_full(const struct certify_index *x)
{
	return x->imaging && x->redo_count >= REDO_MAX / 2;
}

static bool
write_pair(const struct certify_index *x, struct writer *w, struct slot pair)
{
	if (pair.last <= x->bound[0])
		return false; /* it counts for nothing any more */
	writer_u64(w, pair.hash);
	writer_u64(w, pair.last);
	return true;
}

bool
index_image_next(struct certify_index *x, struct writer *w, uint32_t budget_slots)
{
	must(x->imaging);
	must(w->capacity - w->bytes >= INDEX_PIECE_BYTES_MIN);
	uint32_t room = (uint32_t)((w->capacity - w->bytes - PAIRS_OFFSET) / PAIR_BYTES);
	uint32_t n = 0;
	writer_u64(w, x->bound[0]);
	uint8_t *count = writer_take(w, 4);
	for (; n < room && x->redo_count > 0; x->redo_count--) {
		n += write_pair(x, w, x->redo[x->redo_first]);
		x->redo_first = (x->redo_first + 1) % REDO_MAX;
	}
	for (; n < room && budget_slots > 0 && x->image_at > 0; budget_slots--)
		n += write_pair(x, w, x->slot[--x->image_at]);
	must(!w->bad);
	bytes_put_u32(count, n);
	if (n == 0)
		w->bytes -= PAIRS_OFFSET;
	return !x->image_lost;
}

void
index_image_end(struct certify_index *x, struct writer *w)
{
	must(!index_image_more(x));
	must(!x->image_lost);
	x->imaging = false;
	writer_u64(w, x->horizon);
	writer_u64(w, x->taken);
	writer_u32(w, x->generations);
	for (uint32_t i = 0; i < x->generations; i++) {
		writer_u64(w, x->bound[i]);
		writer_u64(w, x->count[i]);
	}
}

/* While it is loaded all that the bound allows is there to be swept, as on the node that
 * wrote it. So the room that was enough there is enough here: whatever is present counted
 * there when its piece was written, or was swept late. */
static bool
load_pair(struct certify_index *x, struct slot pair)
{
	if (pair.hash & ENTRY_HASH_SHARED || pair.last <= x->bound[0])
		return false;
	(void)index_sweep(x, SWEEP_SLOTS);
	struct slot *slot = &x->slot[find_slot(x, pair.hash, home_of(x, pair.hash))];
	if (slot->last == 0 && ++x->occupied == x->slots)
		return false;
	if (slot->last < pair.last)
		*slot = pair;
	return true;
}

bool
index_load(struct certify_index *x, struct reader *r)
{
	must(x->counted == 0);
	uint64_t bound = reader_u64(r);
	uint32_t n = reader_u32(r);
	if (r->bad || bound < x->bound[0] || n > r->bytes / PAIR_BYTES)
		return false;
	x->bound[0] = bound;
	for (uint32_t i = 0; i < n; i++) {
		struct slot pair = {.hash = reader_u64(r)};
		pair.last = reader_u64(r);
		if (!load_pair(x, pair))
			return false;
	}
	return !r->bad;
}

bool
index_load_end(struct certify_index *x, struct reader *r)
{
	uint64_t bound = x->bound[0];
	x->horizon = reader_u64(r);
	x->taken = reader_u64(r);
	x->generations = reader_u32(r);
	if (x->generations == 0 || x->generations > INDEX_GENERATIONS) {
		x->generations = 1;
		return false;
	}
	for (uint32_t i = 0; i < x->generations; i++) {
		x->bound[i] = reader_u64(r);
		x->count[i] = reader_u64(r);
		x->found[i] = 0;
		if (i > 0 && x->bound[i] <= x->bound[i - 1])
			return false;
	}
	if (x->generations > 1 && x->bound[1] <= x->horizon)
		return false;
	x->image_at = 0;
	return !r->bad && x->bound[0] >= bound && x->bound[0] <= x->horizon;
}

/* What was loaded is counted: an image that was cut, or does not hold together, must not
 * become a state that differs from everybody's. */
enum index_check
index_load_check(struct certify_index *x, uint64_t applied, uint32_t budget_slots)
{
	for (; budget_slots > 0 && x->image_at < x->slots; budget_slots--) {
		uint64_t last = x->slot[x->image_at++].last;
		if (last > applied)
			return INDEX_CHECK_BAD;
		if (last > x->bound[0])
			x->found[generation_of(x, last)]++;
	}
	if (x->image_at < x->slots)
		return INDEX_CHECK_MORE;
	for (uint32_t i = 0; i < x->generations; i++) {
		if (x->found[i] != x->count[i])
			return INDEX_CHECK_BAD;
		x->counted += x->count[i];
	}
	return x->counted <= x->hashes_max ? INDEX_CHECK_DONE : INDEX_CHECK_BAD;
}
