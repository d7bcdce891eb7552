/*
 * Submissions, their outcomes and their GTIDs.
 *
 * A submission is void, and leaves no outcome, unless it is its member's own
 * word as of now. Each condition stands for a schedule:
 *   - Its incarnation is the living one. An expelled member's packets may still
 *     be on their way when its successor has already been told what became of
 *     them; one more verdict then would contradict that.
 *   - Its session is not lower than the last attachment's. The member attached
 *     elsewhere because it heard nothing, is told there that sequence 9 has no
 *     outcome, and sends it again: were the first copy, delayed at the old node,
 *     ordered afterwards under the old session, then both would count.
 *   - Its sequence is neither below the highest floor nor already decided. A copy
 *     that arrives after the outcome was told and forgotten would commit twice.
 *   - The payload that it names, where it was spread, is open. Behind the entry that ended
 *     it some nodes have forgotten it, and nobody could tell which.
 *
 * What is decided is written down before anything else may be, so that abandon
 * and submission race in the log and nowhere else.
 *
 * GTIDs follow GR's rule of blocks: a member takes numbers from its block, and a
 * new block is the first free run that no block has reached since the blocks were
 * last collected; they are collected at each view change, and when block_size
 * numbers were granted. Two differences: a run's end is where the numbers are
 * used *now*, not where they were when the blocks were collected; and after a force
 * the numbers are those of the epoch, since nobody knows how many the lost have given
 * before they were lost, or will give. What lies above all epochs' numbers is the first
 * one's, which so has all that there are but for 63 more such rows.
 */
#include "base/must.h"
#include "certify/group_state.h"

struct outcome_slot *
group_outcome_slot(const struct group *g, uint32_t slot, uint64_t sequence)
{
	must(slot < g->servers);
	return &g->outcome[(size_t)slot * g->config.inflight_max +
			   sequence % g->config.inflight_max];
}

bool
group_outcome_filled(const struct group *g, uint32_t slot, uint64_t sequence)
{
	const struct outcome_slot *o = group_outcome_slot(g, slot, sequence);
	return o->incarnation == g->member[slot].incarnation && o->outcome.sequence == sequence;
}

/* The window of a living incarnation's open sequences, [floor, floor + inflight_max),
 * is as long as its ring: two of them never meet in one slot. */
static bool
in_window(const struct group *g, uint32_t slot, uint64_t sequence)
{
	const struct group_member *m = &g->member[slot];
	return sequence >= m->floor && sequence - m->floor < g->config.inflight_max;
}

static void
raise_floor(struct group *g, uint32_t slot, uint64_t session, uint64_t floor)
{
	if (slot != NO_SLOT && session >= g->member[slot].session && floor > g->member[slot].floor)
		g->member[slot].floor = floor;
}

static uint64_t *
offer_ended(const struct group *g, uint32_t slot, uint64_t offer)
{
	return &g->member[slot].offer_ended[offer % ENTRY_OFFER_LANES];
}

bool
group_offer_open(const struct group *g, uint64_t incarnation, uint64_t offer)
{
	uint32_t slot = group_slot_alive(g, incarnation);

	return slot != NO_SLOT && offer > *offer_ended(g, slot, offer);
}

/* What the entry names, 0 is none. */
static uint64_t
offer_of(const struct entry *e)
{
	struct entry_spread spread;

	if (e->kind == ENTRY_ABANDON)
		return e->abandon.offer;
	if (!(e->submit.flags & SUBMIT_SPREAD))
		return 0;
	must(entry_spread_decode(&spread, e->submit.payload, e->submit.payload_bytes));
	return spread.offer;
}

static void
decide(struct group *g, uint32_t slot, const struct group_outcome *outcome)
{
	must(outcome->verdict >= GROUP_ACCEPTED && outcome->verdict <= GROUP_ABANDONED);
	must(in_window(g, slot, outcome->sequence));
	must(!group_outcome_filled(g, slot, outcome->sequence));
	struct outcome_slot *o = group_outcome_slot(g, slot, outcome->sequence);
	o->incarnation = g->member[slot].incarnation;
	o->outcome = *outcome;
	g->effect.outcome = *outcome;
	g->effect.verdict = outcome->verdict;
	uint64_t offer = offer_of(&g->entry);
	if (offer > *offer_ended(g, slot, offer))
		*offer_ended(g, slot, offer) = offer;
}

static void
refuse(struct group *g, const struct entry_submit *s, enum group_verdict verdict)
{
	struct group_outcome outcome = {
		.sequence = s->sequence, .index = g->effect.index, .verdict = (uint8_t)verdict};
	decide(g, g->origin, &outcome);
}

/* Whether this entry may decide anything about the sequence; if not, the effect
 * says so, and holds what was decided before. */
static bool
may_decide(struct group *g, uint32_t slot, uint64_t session, uint64_t sequence)
{
	if (slot == NO_SLOT || session < g->member[slot].session || !in_window(g, slot, sequence))
		return false;
	if (!group_outcome_filled(g, slot, sequence))
		return true;
	g->effect.repeated = 1;
	g->effect.outcome = group_outcome_slot(g, slot, sequence)->outcome;
	return false;
}

static struct gtid_source
source_of(const struct group *g, const struct entry_submit *s)
{
	struct gtid_source source = s->assigned.source;
	if (s->gtid_spec != GTID_ASSIGNED)
		memcpy(source.uuid, g->uuid, UUID_BYTES);
	return source;
}

static struct gtid_generator *
find_generator(const struct group *g, const struct gtid_source *source)
{
	for (uint32_t i = 0; i < g->generators; i++)
		if (gtid_source_compare(&g->generator[i].source, source) == 0)
			return &g->generator[i];
	return NULL;
}

/* The first run at or above `from` that this epoch may give; as gtid_set_free(). */
static uint64_t
free_in_epoch(const struct group *g, const struct gtid_source *source, uint64_t from, uint64_t *to)
{
	uint64_t first = g->epoch * GROUP_EPOCH_NUMBERS + 1;
	uint64_t last = first + GROUP_EPOCH_NUMBERS - 1;
	uint64_t above = GROUP_EPOCHS_MAX * GROUP_EPOCH_NUMBERS + 1;
	uint64_t gno = 0;

	if (from <= last)
		gno = gtid_set_free(g->executed, source, from < first ? first : from, to);
	if (gno != 0 && gno <= last) {
		*to = *to < last ? *to : last;
		return gno;
	}
	return g->epoch > 0 ? 0
			    : gtid_set_free(g->executed, source, from < above ? above : from, to);
}

uint64_t
group_lost_next(const struct group *g, const struct gtid_source *source, uint64_t from,
		uint64_t *to)
{
	struct gtid_source own = {.tag_bytes = 0};
	uint64_t last = g->epoch * GROUP_EPOCH_NUMBERS;
	uint64_t gno;

	memcpy(own.uuid, g->uuid, UUID_BYTES);
	if (from > last)
		return 0;
	gno = gtid_set_free(g->executed, source ? source : &own, from, to);
	if (gno == 0 || gno > last)
		return 0;
	*to = *to < last ? *to : last;
	return gno;
}

static void
collect_blocks(const struct group *g, struct gtid_generator *from)
{
	from->frontier = 1;
	from->grants = 0;
	from->view = g->view;
	memset(from->block, 0, g->servers * sizeof *from->block);
}

/* The first number of the server's block that is free, 0 if there is none. */
static uint64_t
take_from_block(const struct group *g, struct gtid_generator *from, struct gtid_block *block)
{
	uint64_t to;
	if (block->from == 0)
		return 0;
	uint64_t gno = free_in_epoch(g, &from->source, block->from, &to);
	if (gno == 0 || gno > block->to)
		return 0;
	block->from = gno;
	return gno;
}

static bool
reserve_block(const struct group *g, struct gtid_generator *from, struct gtid_block *block)
{
	uint64_t to;
	if (from->frontier > GNO_MAX)
		return false;
	uint64_t gno = free_in_epoch(g, &from->source, from->frontier, &to);
	if (gno == 0)
		return false;
	if (to - gno >= g->config.block_size)
		to = gno + g->config.block_size - 1;
	*block = (struct gtid_block){gno, to};
	from->frontier = to + 1;
	return true;
}

/* The next number of this source for the submission's server. That there is one
 * was seen before the submission was certified. */
static uint64_t
next_gno(struct group *g, const struct gtid_source *source)
{
	uint64_t to;
	if (g->config.block_size == 1)
		return free_in_epoch(g, source, 1, &to);
	struct gtid_generator *from = find_generator(g, source);
	if (!from) {
		must(g->generators < GENERATORS_MAX);
		from = &g->generator[g->generators++];
		from->source = *source;
		collect_blocks(g, from);
	}
	if (from->view != g->view || from->grants == g->config.block_size)
		collect_blocks(g, from);
	struct gtid_block *block = &from->block[g->origin];
	uint64_t gno = take_from_block(g, from, block);
	if (gno == 0) {
		bool reserved = reserve_block(g, from, block);
		if (!reserved) {
			collect_blocks(g, from);
			reserved = reserve_block(g, from, block);
		}
		must(reserved);
		gno = take_from_block(g, from, block);
	}
	must(gno > 0);
	from->grants++;
	return gno;
}

/* A user's GTID that was accepted before. Its origin may send it again when it
 * could not commit it, and gets the first answer; the log holds it once. */
static void
assigned_again(struct group *g, const struct entry_submit *s)
{
	if (s->flags & SUBMIT_NOT_COMMITTED) {
		for (uint32_t i = 0; i < g->config.inflight_max; i++) {
			uint64_t sequence = g->member[g->origin].floor + i;
			if (!group_outcome_filled(g, g->origin, sequence))
				continue;
			struct group_outcome first =
				group_outcome_slot(g, g->origin, sequence)->outcome;
			if (first.verdict != GROUP_ACCEPTED ||
			    !gtid_equal(&first.gtid, &s->assigned))
				continue;
			first.sequence = s->sequence;
			first.again = 1;
			decide(g, g->origin, &first);
			return;
		}
	}
	refuse(g, s, GROUP_REFUSED_GTID);
}

/* Everything about the GTID that could refuse is asked before the first hash is
 * inserted: afterwards a refusal would have left a trace. */
static bool
gtid_possible(struct group *g, const struct entry_submit *s)
{
	struct gtid_source source = source_of(g, s);
	uint64_t to;
	if (s->gtid_spec == GTID_ASSIGNED && gtid_set_contains(g->executed, &s->assigned)) {
		assigned_again(g, s);
		return false;
	}
	if (s->gtid_spec != GTID_ASSIGNED && free_in_epoch(g, &source, 1, &to) == 0) {
		refuse(g, s, GROUP_REFUSED_GTID);
		return false;
	}
	bool generator = s->gtid_spec == GTID_ASSIGNED || g->config.block_size == 1 ||
			 g->generators < GENERATORS_MAX || find_generator(g, &source);
	if (!generator || !gtid_set_has_room(g->executed, &source)) {
		refuse(g, s, GROUP_REFUSED_FULL);
		return false;
	}
	return true;
}

bool
group_submit_start(struct group *g, const struct entry_submit *s)
{
	uint32_t slot = group_slot_alive(g, s->incarnation);
	g->effect.kind = GROUP_VERDICT;
	g->effect.verdict = GROUP_VOID;
	g->effect.incarnation = s->incarnation;
	raise_floor(g, slot, s->session, s->floor);
	if (snapshot_last(&s->snapshot) >= g->effect.index || /* not of the past */
	    !may_decide(g, slot, s->session, s->sequence))
		return true;
	uint64_t offer = offer_of(&g->entry);
	if (offer != 0 && !group_offer_open(g, s->incarnation, offer))
		return true;
	g->origin = slot;
	if (s->snapshot.mark < index_horizon(g->index)) {
		/* What was written at or below the horizon is forgotten: nobody
		 * could tell whether this snapshot held it. */
		refuse(g, s, GROUP_REFUSED_STALE);
		return true;
	}
	if (!gtid_possible(g, s))
		return true;
	certify_start(&g->job, s, g->effect.index);
	return false;
}

/* Indexes of what the same incarnation submitted before, and the group accepted: those
 * that the submission vouches for (entry.h, SUBMIT_TRUSTS_OWN). None below the highest
 * floor: an image of the group does not hold their outcomes any more. A lower sequence
 * is a condition, not an order that is there anyway. Schedule: sequence 1 is still on its
 * way, the applier takes its row for a remote transaction and sequence 2 follows that
 * one in the row, with a lower index than 1: were 2 no conflict for 1, then 1 would be
 * accepted, and its locks are gone. */
uint32_t
group_submit_own(struct group *g, const struct entry_submit *s)
{
	uint64_t first = g->member[g->origin].floor;
	uint32_t count = 0;

	must(s->sequence >= first);
	if (s->sequence - first > GROUP_OWN_MAX)
		first = s->sequence - GROUP_OWN_MAX;
	for (uint64_t sequence = first; sequence < s->sequence; sequence++) {
		const struct group_outcome *o =
			&group_outcome_slot(g, g->origin, sequence)->outcome;
		if (group_outcome_filled(g, g->origin, sequence) && o->verdict == GROUP_ACCEPTED &&
		    !o->again)
			g->own[count++] = o->index;
	}
	return count;
}

static uint64_t
dependency_of(const struct group *g)
{
	uint64_t dependency = index_horizon(g->index);
	if (g->job.last_writer > dependency)
		dependency = g->job.last_writer;
	if (g->last_fence > dependency)
		dependency = g->last_fence;
	return dependency;
}

static void
accept(struct group *g, const struct entry_submit *s)
{
	struct group_outcome outcome = {.sequence = s->sequence,
					.index = g->effect.index,
					.verdict = GROUP_ACCEPTED,
					.dependency = dependency_of(g)};
	outcome.gtid = s->assigned;
	if (s->gtid_spec != GTID_ASSIGNED) {
		outcome.gtid.source = source_of(g, s);
		outcome.gtid.gno = next_gno(g, &outcome.gtid.source);
	}
	enum gtid_result added = gtid_set_add(g->executed, &outcome.gtid);
	must(added == GTID_SET_ADDED);
	/* Without hashes nothing is known of what it touches: it is a fence. */
	if ((s->flags & SUBMIT_FENCE) || (entry_hash_count(s) == 0 && !(s->flags & SUBMIT_EMPTY))) {
		outcome.dependency = outcome.index - 1;
		g->last_fence = outcome.index;
	}
	bool here = !(s->flags & SUBMIT_SPREAD);
	g->sum += group_sum_term(outcome.index, &outcome.gtid,
				 here ? group_content(s->payload, s->payload_bytes) : 0);
	decide(g, g->origin, &outcome);
}

void
group_submit_end(struct group *g, const struct entry_submit *s, enum certify_answer answer)
{
	struct group_outcome refused = {.sequence = s->sequence,
					.index = g->effect.index,
					.verdict = GROUP_REFUSED,
					.winner = g->job.winner,
					.winner_hash = g->job.winner_hash};
	if (answer == CERTIFY_ACCEPT)
		accept(g, s);
	else if (answer == CERTIFY_FULL)
		refuse(g, s, GROUP_REFUSED_FULL);
	else
		decide(g, g->origin, &refused);
}

void
group_abandon(struct group *g, const struct entry_abandon *a)
{
	uint32_t slot = group_slot_alive(g, a->incarnation);
	g->effect.kind = GROUP_VERDICT;
	g->effect.verdict = GROUP_VOID;
	g->effect.incarnation = a->incarnation;
	raise_floor(g, slot, a->session, a->floor);
	if (!may_decide(g, slot, a->session, a->sequence))
		return;
	struct group_outcome outcome = {
		.sequence = a->sequence, .index = g->effect.index, .verdict = GROUP_ABANDONED};
	decide(g, slot, &outcome);
}
