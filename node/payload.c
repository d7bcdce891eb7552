/*
 * Payloads that were spread: slots while they come, records, and their end. The
 * rules and why they are so stand in node/spread.h; who says what to whom, in
 * payload_move.c. Records are written from the step's end only: an entry is applied
 * while a replica's outputs are read, and these name positions of the log.
 */
#include "base/hash.h"
#include "base/must.h"
#include "node/internal.h"

#define LOOK_BURST 4096 /* accepted ones that one step looks at for one that is missing */

uint32_t
node_payload_chunks_max(const struct node_config *c)
{
	return c->payload_bytes_max == 0 ? 0
					 : spread_chunk_count(c->payload_bytes_max, c->chunk_bytes);
}

/* Every payload that may be open at once has a slot on every node, else two leaders
 * in turn could fill the others' slots with halves of different sets; one of each
 * group is for what was accepted and is fetched; and one is kept free for what the group
 * cannot go on without. A node that is behind takes what members offer meanwhile, and
 * if that could fill all slots it would never go on, nor give one back. */
uint32_t
node_payload_count(const struct node_config *c)
{
	return c->payload_bytes_max == 0 ? 0
					 : (c->members_max * SPREAD_OPEN_MAX + 2) * c->groups_max;
}

struct node_payload *
node_payload_find(struct node *n, const struct node_group *g, uint64_t incarnation, uint64_t offer)
{
	for (uint32_t i = 0; i < n->payload_count && n->payloads_used > 0; i++) {
		struct node_payload *p = &n->payload[i];

		if (p->used && p->offer == offer && p->incarnation == incarnation &&
		    p->group == g->number)
			return p;
	}
	return NULL;
}

uint32_t
node_payloads_max(const struct node_config *c)
{
	return c->results_max / 8 < NODE_PAYLOADS_MIN ? NODE_PAYLOADS_MIN : c->results_max / 8;
}

static struct node_payload_place *
place_slot(const struct node *n, const struct node_group *g, uint64_t number)
{
	return &g->payload[number & (node_payloads_max(&n->config) - 1)];
}

/* As far as memory knows it, or NULL. */
const struct node_payload_place *
node_payload_place(const struct node *n, const struct node_group *g, uint64_t number)
{
	const struct node_payload_place *place = place_slot(n, g, number);

	return number != 0 && place->number == number ? place : NULL;
}

/* The same, where it may be new. NULL: the slot is a later one's by now. */
static struct node_payload_place *
place_take(const struct node *n, const struct node_group *g, uint64_t number)
{
	struct node_payload_place *place = place_slot(n, g, number);

	if (place->number > number)
		return NULL;
	if (place->number < number)
		*place = (struct node_payload_place){.number = number};
	return place;
}

static void
place_settled(const struct node *n, const struct node_group *g, uint64_t number, uint32_t bytes)
{
	struct node_payload_place *place = place_take(n, g, number);

	if (!place)
		return;
	place->link = (struct history_link){.lsn = n->lsn_next, .bytes = bytes};
	place->epoch = n->epoch;
}

/* Its entry is applied, and it stays. A record that says where its chunks lie may be known already:
 * replay learns late what was decided. */
void
node_payload_accepted(struct node *n, struct node_group *g, const struct node_result *r,
		      uint64_t index)
{
	struct node_payload_place *place = place_take(n, g, r->payload);

	if (!place)
		return;
	place->index = index;
	place->slot = r->slot;
	place->incarnation = r->incarnation;
	place->offer = r->spread.offer;
	place->spread = r->spread;
	place->gtid = r->gtid;
}

/* What the record says could not be read. */
void
node_payload_unplace(const struct node *n, const struct node_group *g, uint64_t number)
{
	struct node_payload_place *place = place_slot(n, g, number);

	if (place->number == number)
		place->link = (struct history_link){0};
}

static void
slot_free(struct node *n, struct node_payload *p)
{
	must(p->used);
	must(n->payloads_used > 0);
	p->used = false;
	n->payloads_used--;
	n->payloads_due_bytes -= p->total - p->held;
}

/* The end of a slot: its payload's chunks can be found by `index` from now on, or
 * nobody wants them any more (0). */
static void
settle(struct node *n, struct node_payload *p, uint64_t index)
{
	struct writer w = writer_over(n->scratch + FRAME_HEADER_BYTES, FRAME_BODY_BYTES_MAX);
	uint32_t count = index == 0 ? 0 : spread_chunk_count(p->total, p->chunk_bytes);
	struct node_group *g = node_group_by_number(n, p->group);

	must(!n->log_failed);
	must(index == 0 || p->held == p->total);
	for (uint32_t i = 0; i < count; i++)
		bytes_put_u64((uint8_t *)&p->lsn[i], p->lsn[i]);
	spread_settled_encode(&(struct spread_settled){.incarnation = p->incarnation,
						       .offer = p->offer,
						       .index = index,
						       .number = index == 0 ? 0 : p->number,
						       .total = p->total,
						       .chunk_bytes = p->chunk_bytes,
						       .count = count,
						       .lsn = (const uint8_t *)p->lsn},
			      &w);
	must(!w.bad);
	uint32_t frame_bytes = FRAME_HEADER_BYTES + (uint32_t)w.bytes;
	node_log(n, n->scratch, frame_bytes, NODE_RECORD_SETTLED, p->group);
	if (index != 0)
		place_settled(n, g, p->number, frame_bytes);
	slot_free(n, p);
}

/* The entry to be applied next, or one that replay knew of, cannot be without it. */
bool
node_payload_needed(struct node *n, const struct node_payload *p)
{
	return p->index > group_applied(node_group_by_number(n, p->group)->state);
}

/* A slot for one more: a free one, or that of an accepted payload which is fetched
 * and not whole, the last one: nobody was told that it is here, and it is fetched
 * again. NULL: there is none, or this payload is larger than any may be. */
struct node_payload *
node_payload_new(struct node *n, const struct node_payload *like)
{
	struct node_payload *slot = NULL;
	bool may_take = !n->started || node_payload_needed(n, like) ||
			n->payload_count - n->payloads_used > n->config.groups_max;

	if (like->total == 0 || like->chunk_bytes < ENTRY_CHUNK_BYTES_MIN ||
	    like->chunk_bytes > ENTRY_CHUNK_BYTES_MAX ||
	    like->chunk_bytes > n->config.value_bytes_max ||
	    (like->total - 1) / like->chunk_bytes >= node_payload_chunks_max(&n->config))
		return NULL;
	for (uint32_t i = 0; i < n->payload_count; i++) {
		struct node_payload *p = &n->payload[i];

		if (!p->used && may_take) {
			slot = p;
			break;
		}
		bool fetched = p->used && p->index != 0 && p->held < p->total &&
			       !node_payload_needed(n, p);
		if (fetched && n->started && (!slot || p->index > slot->index))
			slot = p;
	}
	if (!slot)
		return NULL;
	if (slot->used)
		settle(n, slot, 0);
	uint64_t *lsn = slot->lsn;
	*slot = *like;
	slot->lsn = lsn;
	slot->epoch = n->epoch;
	slot->used = true;
	n->payloads_used++;
	n->payloads_due_bytes += slot->total - slot->held;
	return slot;
}

/* May the log, as far as it is applied here, still decide for this one? What it has
 * not come to yet it may. */
bool
node_payload_may_come(const struct node_group *g, uint64_t incarnation, uint64_t offer)
{
	const struct group_member *m = group_incarnation(g->state, incarnation);

	return m ? group_offer_open(g->state, incarnation, offer)
		 : incarnation > group_applied(g->state);
}

/* The log will not decide for it: it has, or its incarnation has ended. Every one has at a fork,
 * and those that the lost had counted behind it are numbers of others now. */
static bool
is_void(const struct node_group *g, const struct node_payload *p)
{
	return p->epoch < group_epoch(g->state) ||
	       !node_payload_may_come(g, p->incarnation, p->offer);
}

/* ---- chunks ---- */

static void
take(struct node *n, struct node_payload *p, const struct spread_chunk *c)
{
	must(c->offset == p->held);
	must(c->bytes == spread_chunk_at(p->total, p->chunk_bytes, p->held));
	p->lsn[p->held / p->chunk_bytes] = n->lsn_next;
	p->digest = hash_bytes(c->data, c->bytes, p->digest);
	p->held += c->bytes;
	n->payloads_due_bytes -= c->bytes;
	if (p->asked < p->held)
		p->asked = p->held;
	if (p->available < p->held)
		p->available = p->held;
}

void
node_payload_chunk(struct node *n, struct node_payload *p, const struct spread_chunk *chunk)
{
	struct writer w = writer_over(n->scratch + FRAME_HEADER_BYTES, FRAME_BODY_BYTES_MAX);

	must(!n->log_failed);
	spread_chunk_encode(chunk, &w);
	must(!w.bad);
	node_log(n, n->scratch, FRAME_HEADER_BYTES + (uint32_t)w.bytes, NODE_RECORD_CHUNK,
		 p->group);
	take(n, p, chunk);
}

static void
replay_chunk(struct node *n, struct node_group *g, const struct spread_chunk *c)
{
	struct node_payload *p = node_payload_find(n, g, c->incarnation, c->offer);

	if (!p)
		p = node_payload_new(n, &(struct node_payload){
						.group = g->number,
						.incarnation = c->incarnation,
						.offer = c->offer,
						.total = c->total,
						.chunk_bytes = c->chunk_bytes,
						.source = NODE_FROM_MEMBER,
					});
	if (!p || p->held != c->offset || p->total != c->total ||
	    p->chunk_bytes != c->chunk_bytes) {
		n->dropped_chunks++; /* of a log that was written with higher limits */
		return;
	}
	if (p->index == 0)
		p->index = c->index;
	take(n, p, c);
	p->durable = p->held;
}

void
node_payload_record(struct node *n, const struct frame *frame, const uint8_t *data)
{
	struct node_group *g = node_group_by_number(n, frame->group);
	uint32_t bytes = frame->frame_bytes - FRAME_HEADER_BYTES;
	struct spread_settled s;
	struct spread_chunk c;

	must(g && g->state);
	if (frame->kind == NODE_RECORD_CHUNK) {
		must(spread_chunk_decode(&c, data + FRAME_HEADER_BYTES, bytes));
		replay_chunk(n, g, &c);
		return;
	}
	must(spread_settled_decode(&s, data + FRAME_HEADER_BYTES, bytes));
	struct node_payload *p = node_payload_find(n, g, s.incarnation, s.offer);
	if (p)
		slot_free(n, p);
	if (s.index != 0)
		place_settled(n, g, s.number, frame->frame_bytes);
}

/* ---- the end ---- */

static bool
concerns(const struct group_effect *e, const struct node_payload *p)
{
	return p->incarnation == e->incarnation || p->incarnation == e->index ||
	       (e->ended != 0 && p->incarnation == e->ended);
}

/* An entry was applied, and its result is known: what does it end? Only noted here;
 * during replay the records that follow say the rest. */
void
node_payload_applied(struct node *n, struct node_group *g, const struct group_effect *e)
{
	const struct node_result *r = node_group_result(n, g, e->index);

	if (r->spread.bytes > 0) {
		struct node_payload *p = node_payload_find(n, g, r->incarnation, r->spread.offer);
		if (p) {
			p->index = e->index;
			p->number = r->payload;
			p->holders = r->spread.holders;
			p->available = p->total;
		}
	}
	for (uint32_t i = 0; i < n->payload_count && n->payloads_used > 0; i++) {
		struct node_payload *p = &n->payload[i];

		if (p->used && p->group == g->number && p->index == 0 && concerns(e, p) &&
		    is_void(g, p))
			p->gone = true;
	}
}

/* It has an index in an order that is void: the group's is behind the fork, and not there yet. */
static bool
index_is_void(const struct node_group *g, const struct node_payload *p)
{
	return p->epoch < group_epoch(g->state) && p->index > group_applied(g->state);
}

/* An earlier process of this node had applied entries, the force came before it knew them to be
 * decided again, and they are void: so is what it logged of their payloads. Their numbers are
 * others' now, or nobody's for long, and a log that waits for those (may_close() of image.c) is
 * not trimmed meanwhile. What was logged behind the force is of this order. */
static void
forget_void_places(const struct node *n, const struct node_group *g)
{
	for (uint32_t i = 0; i < node_payloads_max(&n->config); i++) {
		struct node_payload_place *place = &g->payload[i];

		if (place->number > g->payload_count && place->epoch < group_epoch(g->state))
			*place = (struct node_payload_place){0};
	}
}

/* A force has ended every incarnation, and what is behind the fork is another order's. */
void
node_payload_forked(struct node *n, struct node_group *g)
{
	for (uint32_t i = 0; i < n->payload_count && n->payloads_used > 0; i++) {
		struct node_payload *p = &n->payload[i];

		if (!p->used || p->group != g->number)
			continue;
		p->gone |= p->index == 0 ? is_void(g, p) : index_is_void(g, p);
	}
	forget_void_places(n, g);
}

/* Of the accepted payload whose entry is `index`; 0: memory does not know it. */
static uint64_t
number_of(const struct node *n, const struct node_group *g, uint64_t index)
{
	for (uint32_t i = 0; i < node_payloads_max(&n->config); i++) {
		if (g->payload[i].index == index)
			return g->payload[i].number;
	}
	return 0;
}

/* Nobody wants its payloads any more, and no record is due. */
void
node_payload_group_ends(struct node *n, const struct node_group *g)
{
	for (uint32_t i = 0; i < n->payload_count; i++)
		if (n->payload[i].used && n->payload[i].group == g->number)
			slot_free(n, &n->payload[i]);
}

/* The group has the state of an image, or has dropped what one covers: what that has decided
 * needs no slot. */
void
node_payload_dropped(struct node *n, const struct node_group *g)
{
	for (uint32_t i = 0; i < n->payload_count && n->payloads_used > 0; i++) {
		struct node_payload *p = &n->payload[i];

		if (!p->used || p->group != g->number)
			continue;
		if (p->index == 0)
			p->gone |= is_void(g, p);
		else if (p->index <= g->dropped_index || index_is_void(g, p))
			p->gone = true;
	}
	forget_void_places(n, g);
}

/* Replay is over: an end that was noted and not logged is noted again. */
void
node_payload_start(struct node *n)
{
	for (uint32_t i = 0; i < n->payload_count; i++) {
		struct node_payload *p = &n->payload[i];
		const struct node_group *g;

		if (!p->used)
			continue;
		g = node_group_by_number(n, p->group);
		if (p->index == 0) {
			p->gone |= is_void(g, p);
		} else if (p->number == 0 && !node_payload_needed(n, p)) {
			p->number = number_of(n, g, p->index);
			p->gone = p->number == 0;
		}
	}
}

void
node_payload_covered(struct node *n, const struct node_group *g, uint64_t slot)
{
	for (uint32_t i = 0; i < n->payload_count && n->payloads_used > 0; i++) {
		struct node_payload *p = &n->payload[i];
		const struct node_payload_place *place;

		if (!p->used || p->group != g->number || p->index == 0)
			continue;
		place = node_payload_place(n, g, p->number);
		p->covered |= place && place->index == p->index && place->slot <= slot;
	}
}

/* Only what every member had then is dropped behind an image (DESIGN section 4, "Trimming"), so
 * it may be nowhere by now, and a member that has come since and lacks it would wait for ever,
 * and hold up trimming here. Nobody who lacks it is fed here: the feed says so, and a search. What
 * the next entry needs is no such one: it lies behind what is applied, and the image is taken. */
bool
node_payload_give_up(struct node *n, struct node_payload *p)
{
	const struct node_group *g = node_group_by_number(n, p->group);

	if (!p->covered || node_payload_needed(n, p))
		return false;
	struct node_payload_place *place = place_slot(n, g, p->number);
	if (place->number != p->number || place->link.lsn != 0)
		return false;
	place->gone = true;
	p->gone = true;
	return true;
}

bool
node_payload_want(struct node *n, struct node_group *g, uint64_t number)
{
	const struct node_payload_place *place = node_payload_place(n, g, number);
	struct node_payload *p;

	if (!place || place->link.lsn != 0)
		return true;
	must(place->index != 0);
	p = node_payload_find(n, g, place->incarnation, place->offer);
	if (place->gone || node_cut_gone(n, g, place->index, &place->gtid)) {
		if (p)
			p->gone = true;
		return true;
	}
	if (!p && !n->log_failed)
		p = node_payload_new(n, &(struct node_payload){
						.group = g->number,
						.incarnation = place->incarnation,
						.offer = place->offer,
						.total = place->spread.bytes,
						.chunk_bytes = place->spread.chunk_bytes,
						.source = n->config.self,
					});
	if (p) {
		p->index = place->index;
		p->number = number;
		p->holders = place->spread.holders;
		p->available = p->total;
	}
	return false;
}

/* Of the others it is known since the entry came who holds it: no need to wait for an
 * answer of the member, who may have forgotten it. */
static void
fetch_needed(struct node *n, struct node_group *g, struct node_payload *p,
	     const struct entry_spread *spread)
{
	uint64_t index = group_applied(g->state) + 1;

	if (p->index == index && p->holders != 0)
		return; /* a replay finds the index, and not who holds it */
	p->index = index;
	p->number = g->payload_count + 1;
	p->holders = spread->holders;
	p->available = p->total;
	if (p->source == NODE_FROM_MEMBER || !(p->holders >> p->source & 1))
		p->source = n->config.self;
	p->asked = p->held; /* who has settled it since gives it by its number only */
}

const struct node_payload *
node_payload_need(struct node *n, struct node_group *g, const struct entry_submit *s)
{
	struct entry_spread spread;

	must(entry_spread_decode(&spread, s->payload, s->payload_bytes));
	struct node_payload *p = node_payload_find(n, g, s->incarnation, spread.offer);
	bool whole = p && !p->gone && p->durable == p->total;
	bool right = p && p->total == spread.bytes && p->chunk_bytes == spread.chunk_bytes &&
		     (p->held < p->total || p->digest == spread.digest);
	if (whole && right)
		return p;
	if (!n->started || n->log_failed)
		return NULL;
	if (p && !right)
		p->gone = true;
	if (!p)
		p = node_payload_new(n, &(struct node_payload){
						.group = g->number,
						.incarnation = s->incarnation,
						.offer = spread.offer,
						.index = group_applied(g->state) + 1,
						.number = g->payload_count + 1,
						.total = spread.bytes,
						.chunk_bytes = spread.chunk_bytes,
						.holders = spread.holders,
						.available = spread.bytes,
						.source = n->config.self,
					});
	else if (!p->gone)
		fetch_needed(n, g, p, &spread);
	return NULL;
}

/* The accepted ones in order, so that what lies behind them can be given to others; one
 * that fell out of memory, because too many came meanwhile, is given up. */
static void
look_for_missing(struct node *n, struct node_group *g)
{
	uint32_t kept = node_payloads_max(&n->config);

	if (g->payload_through + kept < g->payload_count)
		g->payload_through = g->payload_count - kept;
	for (uint32_t i = 0; i < LOOK_BURST && g->payload_through < g->payload_count; i++) {
		const struct node_payload_place *place =
			node_payload_place(n, g, g->payload_through + 1);

		if (place && place->index != 0 && place->index <= g->dropped_index) {
			g->payload_through++; /* every member has it, and no node is asked */
			continue;
		}
		if (!node_payload_want(n, g, g->payload_through + 1))
			return;
		g->payload_through++;
	}
}

/* Whole and accepted: the record of its chunks. One that is not what was accepted is
 * thrown away, and fetched from those who hold it. */
static void
end_accepted(struct node *n, struct node_payload *p)
{
	const struct node_group *g = node_group_by_number(n, p->group);
	const struct node_payload_place *place = node_payload_place(n, g, p->number);

	if (p->number == 0 || node_payload_needed(n, p))
		return; /* this node has yet to learn, or to apply, what replay or it knew */
	if (!place) {
		settle(n, p, 0);
		return;
	}
	must(place->index == p->index);
	bool right = place->spread.bytes == p->total && place->incarnation == p->incarnation &&
		     place->offer == p->offer && place->spread.chunk_bytes == p->chunk_bytes;
	bool known = place->link.lsn != 0; /* it was offered before its entry was known again */
	if (!right || known || (p->held == p->total && place->spread.digest != p->digest))
		settle(n, p, 0);
	else if (p->held == p->total)
		settle(n, p, p->index);
}

bool
node_payload_open(struct node *n, const struct node_payload *p)
{
	return p->used && !p->gone && (p->index == 0 || node_payload_needed(n, p));
}

uint64_t
node_payload_first_lsn(const struct node_payload *p)
{
	uint32_t bytes = spread_chunk_at(p->total, p->chunk_bytes, 0);

	return p->lsn[0] - spread_chunk_record_bytes(bytes);
}

void
node_payload_write(const struct node_payload *p, struct writer *w)
{
	writer_u32(w, p->epoch);
	writer_u64(w, p->incarnation);
	writer_u64(w, p->offer);
	writer_u64(w, p->index);
	writer_u64(w, p->total);
	writer_u32(w, p->chunk_bytes);
	writer_u64(w, p->digest);
	writer_u64(w, p->held);
	for (uint64_t at = 0; at < p->held; at += p->chunk_bytes)
		writer_u64(w, p->lsn[at / p->chunk_bytes]);
}

bool
node_payload_read(struct node *n, struct node_group *g, struct reader *r)
{
	struct node_payload like = {.group = g->number, .source = NODE_FROM_MEMBER};
	uint32_t epoch = reader_u32(r);

	like.incarnation = reader_u64(r);
	like.offer = reader_u64(r);
	like.index = reader_u64(r);
	like.total = reader_u64(r);
	like.chunk_bytes = reader_u32(r);
	like.digest = reader_u64(r);
	like.held = reader_u64(r);
	if (r->bad || like.held > like.total)
		return false;
	like.durable = like.asked = like.available = like.held;
	struct node_payload *p = node_payload_new(n, &like);
	if (!p)
		return false;
	p->epoch = epoch;
	for (uint64_t at = 0; at < p->held; at += p->chunk_bytes)
		p->lsn[at / p->chunk_bytes] = reader_u64(r);
	if (!r->bad && (p->held == 0 || node_payload_first_lsn(p) >= n->lsn_first))
		return true;
	slot_free(n, p);
	return false;
}

/* What every step ends with. */
void
node_payload_end(struct node *n)
{
	if (n->payload_count == 0 || n->log_failed)
		return;
	for (uint32_t i = 1; i < n->group_count; i++)
		if (!node_group_loads(&n->group[i]))
			look_for_missing(n, &n->group[i]);
	for (uint32_t i = 0; i < n->payload_count && n->payloads_used > 0; i++) {
		struct node_payload *p = &n->payload[i];

		if (!p->used)
			continue;
		while (p->durable < p->held &&
		       p->lsn[p->durable / p->chunk_bytes] <= n->lsn_durable)
			p->durable += spread_chunk_at(p->total, p->chunk_bytes, p->durable);
		if (p->gone)
			settle(n, p, 0);
		else if (p->index != 0)
			end_accepted(n, p);
	}
}

/* Does this reference say what is true: a majority has this very payload on disk? */
bool
node_payload_may_propose(struct node *n, struct node_group *g, const struct entry_submit *s)
{
	struct entry_spread spread;

	if (!entry_spread_decode(&spread, s->payload, s->payload_bytes))
		return false;
	struct node_payload *p = node_payload_find(n, g, s->incarnation, spread.offer);
	return p && !p->gone && p->index == 0 && p->epoch == n->epoch && p->durable == p->total &&
	       spread.bytes == p->total && spread.chunk_bytes == p->chunk_bytes &&
	       spread.digest == p->digest && (spread.holders & ~p->holders) == 0 &&
	       node_group_quorum(g, spread.holders);
}
