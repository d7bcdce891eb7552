/*
 * The state image: what a node that is behind receives instead of the entries, and what
 * a log begins with that was trimmed. A piece is a byte that says its kind, and:
 *
 *     BEGIN       u32 version, u8 created, config of CREATE, group uuid
 *     INDEX       certify/index.c's; as many as it takes
 *     STATE       u64 applied, view, last fence, digest, sum; u32 epoch, void until,
 *                 intervals, servers, generators; u8 closed
 *     EXECUTED    a part of the executed set, as in an entry
 *     MEMBER      u32 slot, u32 outcomes, its fields
 *     OUTCOMES    u32 count, those of that member
 *     GENERATOR   source, numbers, blocks in use
 *     END         what the index ends with
 *
 * An image carries what decides, and only that: of outcomes those that an entry
 * could still meet, of blocks those that are held.
 */
#include "base/must.h"
#include "certify/group_state.h"

#define IMAGE_VERSION       8
#define IMAGE_OUTCOME_BYTES 128 /* more than one takes */

static void
write_config(struct writer *w, const struct group_config *c)
{
	writer_u64(w, c->block_size);
	writer_u32(w, c->index_hashes_max);
	writer_u32(w, c->inflight_max);
	writer_u32(w, c->members_max);
	writer_u32(w, c->protocol);
}

static struct group_config
read_config(struct reader *r)
{
	struct group_config c = {.block_size = reader_u64(r)};
	c.index_hashes_max = reader_u32(r);
	c.inflight_max = reader_u32(r);
	c.members_max = reader_u32(r);
	c.protocol = reader_u32(r);
	return c;
}

static void
write_source(struct writer *w, const struct gtid_source *source)
{
	writer_raw(w, source->uuid, UUID_BYTES);
	writer_u8(w, source->tag_bytes);
	writer_raw(w, source->tag, TAG_BYTES_MAX);
}

static struct gtid_source
read_source(struct reader *r)
{
	struct gtid_source source;
	reader_raw(r, source.uuid, UUID_BYTES);
	source.tag_bytes = reader_u8(r);
	reader_raw(r, source.tag, TAG_BYTES_MAX);
	if (source.tag_bytes > TAG_BYTES_MAX)
		r->bad = true;
	return source;
}

static void
write_outcome(struct writer *w, const struct group_outcome *o)
{
	writer_u64(w, o->sequence);
	writer_u64(w, o->index);
	writer_u64(w, o->dependency);
	writer_u64(w, o->winner);
	writer_u64(w, o->winner_hash);
	write_source(w, &o->gtid.source);
	writer_u64(w, o->gtid.gno);
	writer_u8(w, o->verdict);
	writer_u8(w, o->again);
}

static struct group_outcome
read_outcome(struct reader *r)
{
	struct group_outcome o = {.sequence = reader_u64(r)};
	o.index = reader_u64(r);
	o.dependency = reader_u64(r);
	o.winner = reader_u64(r);
	o.winner_hash = reader_u64(r);
	o.gtid.source = read_source(r);
	o.gtid.gno = reader_u64(r);
	o.verdict = reader_u8(r);
	o.again = reader_u8(r);
	if (o.verdict < GROUP_ACCEPTED || o.verdict > GROUP_ABANDONED || o.again > 1)
		r->bad = true;
	return o;
}

/* Outcomes from the floor on, in the order of their sequences, as many as fit. */
static void
write_outcomes(struct group *g, struct writer *w, uint32_t slot)
{
	const uint64_t end = g->member[slot].floor + g->config.inflight_max;
	uint32_t count = 0;
	uint8_t *at = writer_take(w, 4);
	for (; g->image.sequence < end; g->image.sequence++) {
		if (!group_outcome_filled(g, slot, g->image.sequence))
			continue;
		if (w->capacity - w->bytes < IMAGE_OUTCOME_BYTES)
			break;
		write_outcome(w, &group_outcome_slot(g, slot, g->image.sequence)->outcome);
		count++;
	}
	bytes_put_u32(at, count);
}

static void
read_outcomes(struct group *g, struct reader *r, uint32_t slot)
{
	const struct group_member *m = &g->member[slot];
	uint32_t count = reader_u32(r);
	if (count > g->image.outcomes)
		r->bad = true;
	g->image.outcomes -= r->bad ? 0 : count;
	for (uint32_t i = 0; i < count && !r->bad; i++) {
		struct group_outcome o = read_outcome(r);
		if (o.sequence < m->floor || o.sequence - m->floor >= g->config.inflight_max)
			r->bad = true;
		else
			*group_outcome_slot(g, slot, o.sequence) =
				(struct outcome_slot){m->incarnation, o};
	}
}

static uint32_t
outcomes_of(const struct group *g, uint32_t slot)
{
	uint32_t n = 0;
	for (uint32_t i = 0; i < g->config.inflight_max; i++)
		n += group_outcome_filled(g, slot, g->member[slot].floor + i);
	return n;
}

static void
write_member(const struct group *g, struct writer *w, uint32_t slot)
{
	const struct group_member *m = &g->member[slot];
	writer_u32(w, slot);
	writer_u32(w, outcomes_of(g, slot));
	writer_u64(w, m->incarnation);
	writer_u64(w, m->ended);
	writer_u64(w, m->session);
	writer_u64(w, m->floor);
	writer_u64(w, m->mark_low);
	writer_u64(w, m->committed);
	for (uint32_t i = 0; i < ENTRY_OFFER_LANES; i++)
		writer_u64(w, m->offer_ended[i]);
	writer_u32(w, m->node);
	writer_u32(w, m->mysql_version);
	writer_u32(w, m->flags);
	writer_u16(w, m->port);
	writer_u8(w, m->state);
	writer_u8(w, m->host_bytes);
	writer_raw(w, m->host, m->host_bytes);
	writer_raw(w, m->server_uuid, UUID_BYTES);
	writer_raw(w, m->nonce, NONCE_BYTES);
}

static void
read_member(struct group *g, struct reader *r)
{
	uint32_t slot = reader_u32(r);
	if (r->bad || slot >= g->servers || g->member[slot].state != MEMBER_NONE) {
		r->bad = true;
		return;
	}
	struct group_member *m = &g->member[slot];
	g->image.next = slot;
	g->image.outcomes = reader_u32(r);
	m->incarnation = reader_u64(r);
	m->ended = reader_u64(r);
	m->session = reader_u64(r);
	m->floor = reader_u64(r);
	m->mark_low = reader_u64(r);
	m->committed = reader_u64(r);
	for (uint32_t i = 0; i < ENTRY_OFFER_LANES; i++)
		m->offer_ended[i] = reader_u64(r);
	m->node = reader_u32(r);
	m->mysql_version = reader_u32(r);
	m->flags = reader_u32(r);
	m->port = reader_u16(r);
	m->state = reader_u8(r);
	m->host_bytes = reader_u8(r);
	reader_raw(r, m->host, m->host_bytes);
	reader_raw(r, m->server_uuid, UUID_BYTES);
	reader_raw(r, m->nonce, NONCE_BYTES);
	bool alive = m->state == MEMBER_RECOVERING || m->state == MEMBER_ONLINE;
	if (m->state == MEMBER_NONE || m->state > MEMBER_EXPELLED || alive != (m->ended == 0) ||
	    m->incarnation == 0 || m->incarnation > g->applied || m->floor == 0 ||
	    m->floor > SEQUENCE_MAX)
		r->bad = true;
	g->living[slot] = alive ? m->incarnation : 0;
}

static void
write_generator(const struct group *g, struct writer *w, const struct gtid_generator *from)
{
	uint32_t blocks = 0;
	write_source(w, &from->source);
	writer_u64(w, from->frontier);
	writer_u64(w, from->grants);
	writer_u64(w, from->view);
	for (uint32_t i = 0; i < g->servers; i++)
		blocks += from->block[i].from != 0;
	writer_u32(w, blocks);
	for (uint32_t i = 0; i < g->servers; i++) {
		if (from->block[i].from == 0)
			continue;
		writer_u32(w, i);
		writer_u64(w, from->block[i].from);
		writer_u64(w, from->block[i].to);
	}
}

static void
read_generator(struct group *g, struct reader *r)
{
	if (g->generators == g->image.generators) {
		r->bad = true;
		return;
	}
	struct gtid_generator *to = &g->generator[g->generators++];
	memset(to, 0, sizeof *to);
	to->source = read_source(r);
	to->frontier = reader_u64(r);
	to->grants = reader_u64(r);
	to->view = reader_u64(r);
	uint32_t blocks = reader_u32(r);
	if (to->frontier == 0 || to->frontier > (uint64_t)GNO_MAX + 1 || blocks > g->servers)
		r->bad = true;
	for (uint32_t i = 0; i < blocks && !r->bad; i++) {
		uint32_t slot = reader_u32(r);
		struct gtid_block block = {.from = reader_u64(r)};
		block.to = reader_u64(r);
		if (slot >= g->servers || block.from == 0 || block.to >= to->frontier)
			r->bad = true;
		else
			to->block[slot] = block;
	}
}

static uint32_t
servers_known(const struct group *g)
{
	uint32_t n = 0;
	for (uint32_t i = 0; i < g->servers; i++)
		n += g->member[i].state != MEMBER_NONE;
	return n;
}

/* ---- writing ---- */

static void
go_on(struct group *g, enum image_piece at)
{
	g->image.at = at;
	g->image.next = 0;
}

void
group_image_begin(struct group *g)
{
	g->image = (struct image_state){.at = IMAGE_BEGIN, .created = g->created};
	index_image_begin(g->index);
}

void
group_image_forget(struct group *g)
{
	g->image.at = IMAGE_NONE;
	index_image_forget(g->index);
}

/* The index is gone through, and what came behind is taken. */
bool
group_image_ready(const struct group *g)
{
	return g->image.at == IMAGE_INDEX && !index_image_more(g->index) && !g->busy;
}

void
group_image_close(struct group *g)
{
	must(group_image_ready(g));
	go_on(g, IMAGE_STATE);
}

bool
group_image_closing(const struct group *g)
{
	return g->image.at > IMAGE_INDEX;
}

bool
group_image_full(const struct group *g)
{
	return index_image_full(g->index);
}

static void
write_begin(const struct group *g, struct writer *w)
{
	writer_u32(w, IMAGE_VERSION);
	writer_u8(w, g->created);
	write_config(w, &g->config);
	writer_raw(w, g->uuid, UUID_BYTES);
}

static void
write_state(const struct group *g, struct writer *w)
{
	writer_u64(w, g->applied);
	writer_u64(w, g->view);
	writer_u64(w, g->last_fence);
	writer_u64(w, g->digest);
	writer_u64(w, g->sum);
	writer_u32(w, g->epoch);
	writer_u32(w, g->void_until);
	writer_u32(w, gtid_set_intervals(g->executed));
	writer_u32(w, servers_known(g));
	writer_u32(w, g->generators);
	writer_u8(w, g->closed);
}

/* The server that comes next, from `next` on; NO_SLOT behind the last. */
static uint32_t
next_server(const struct group *g)
{
	for (uint32_t i = g->image.next; i < g->servers; i++)
		if (g->member[i].state != MEMBER_NONE)
			return i;
	return NO_SLOT;
}

/* What is written when this piece is: of a part that has nothing left, the next. */
static enum image_piece
piece_due(struct group *g)
{
	if (g->image.at == IMAGE_EXECUTED && g->image.next == gtid_set_intervals(g->executed))
		go_on(g, IMAGE_MEMBER);
	if (g->image.at == IMAGE_MEMBER && next_server(g) == NO_SLOT)
		go_on(g, IMAGE_GENERATOR);
	if (g->image.at == IMAGE_GENERATOR && g->image.next == g->generators)
		go_on(g, IMAGE_END);
	return g->image.at;
}

static void
write_server(struct group *g, struct writer *w)
{
	if (g->image.at == IMAGE_MEMBER) {
		g->image.next = next_server(g);
		g->image.sequence = g->member[g->image.next].floor;
		write_member(g, w, g->image.next);
		g->image.at = IMAGE_OUTCOMES;
		return;
	}
	write_outcomes(g, w, g->image.next);
	if (g->image.sequence < g->member[g->image.next].floor + g->config.inflight_max)
		return;
	g->image.at = IMAGE_MEMBER;
	g->image.next++;
}

/* One piece, and on to the next. False: the image is lost. */
static bool
write_piece(struct group *g, enum image_piece piece, struct writer *w, uint32_t budget_slots)
{
	switch (piece) {
	case IMAGE_BEGIN:
		write_begin(g, w);
		go_on(g, IMAGE_INDEX);
		break;
	case IMAGE_INDEX:
		return index_image_next(g->index, w, budget_slots);
	case IMAGE_STATE:
		write_state(g, w);
		go_on(g, IMAGE_EXECUTED);
		break;
	case IMAGE_EXECUTED:
		g->image.next = gtid_set_encode_run(g->executed, g->image.next, w);
		break;
	case IMAGE_MEMBER:
	case IMAGE_OUTCOMES:
		write_server(g, w);
		break;
	case IMAGE_GENERATOR:
		write_generator(g, w, &g->generator[g->image.next++]);
		break;
	case IMAGE_END:
		index_image_end(g->index, w);
		go_on(g, IMAGE_NONE);
		break;
	case IMAGE_NONE:
		must(!"begun");
	}
	return true;
}

/* A group that was created meanwhile has another index. */
enum group_image_step
group_image_next(struct group *g, struct writer *w, uint32_t budget_slots)
{
	size_t before = w->bytes;

	must(g->image.at != IMAGE_NONE);
	must(w->capacity - before >= GROUP_PIECE_BYTES_MIN);
	if (g->image.created != g->created) {
		group_image_forget(g);
		return GROUP_IMAGE_BAD;
	}
	enum image_piece piece = piece_due(g);
	if (piece == IMAGE_INDEX && !index_image_more(g->index))
		return GROUP_IMAGE_MORE; /* it is not closed yet */
	writer_u8(w, (uint8_t)piece);
	if (!write_piece(g, piece, w, budget_slots)) {
		group_image_forget(g);
		return GROUP_IMAGE_BAD;
	}
	must(!w->bad);
	if (w->bytes == before + 1)
		w->bytes = before;
	return piece == IMAGE_END ? GROUP_IMAGE_DONE : GROUP_IMAGE_MORE;
}

/* ---- loading ---- */

static void
read_begin(struct group *g, struct reader *r)
{
	uint32_t version = reader_u32(r);
	uint8_t created = reader_u8(r);
	struct group_config config = read_config(r);

	if (r->bad || version != IMAGE_VERSION || created > 1 || !group_take_config(g, &config))
		r->bad = true;
	g->created = created == 1;
	reader_raw(r, g->uuid, UUID_BYTES);
}

static void
read_state(struct group *g, struct reader *r)
{
	g->applied = reader_u64(r);
	g->view = reader_u64(r);
	g->last_fence = reader_u64(r);
	g->digest = reader_u64(r);
	g->sum = reader_u64(r);
	g->epoch = reader_u32(r);
	g->void_until = reader_u32(r);
	g->image.intervals = reader_u32(r);
	g->image.servers = reader_u32(r);
	g->image.generators = reader_u32(r);
	uint8_t closed = reader_u8(r);
	g->closed = closed == 1;
	if (closed > 1 || g->epoch >= GROUP_EPOCHS_MAX || g->void_until >= GROUP_EPOCHS_MAX ||
	    g->image.servers > g->servers || g->image.generators > GENERATORS_MAX)
		r->bad = true;
}

static void
read_executed(struct group *g, struct reader *r)
{
	struct gtid_bytes executed = {.bytes = (uint32_t)r->bytes};

	executed.data = reader_take(r, executed.bytes);
	if (gtid_set_decode(g->executed, executed) != GTID_SET_ADDED)
		r->bad = true;
}

static void
read_end(struct group *g, struct reader *r)
{
	if (gtid_set_intervals(g->executed) != g->image.intervals ||
	    servers_known(g) != g->image.servers || g->generators != g->image.generators ||
	    !index_load_end(g->index, r))
		r->bad = true;
}

/* May this kind of piece come behind the last one? */
static bool
follows(const struct group *g, enum image_piece piece)
{
	if (g->image.at == IMAGE_NONE)
		return piece == IMAGE_BEGIN;
	if (g->image.at == IMAGE_BEGIN || g->image.at == IMAGE_INDEX)
		return piece == IMAGE_INDEX || piece == IMAGE_STATE;
	if (piece == IMAGE_OUTCOMES)
		return g->image.at == IMAGE_MEMBER || g->image.at == IMAGE_OUTCOMES;
	if (g->image.outcomes > 0)
		return false;
	if (piece == IMAGE_MEMBER)
		return g->image.at < IMAGE_GENERATOR;
	return piece >= g->image.at && piece > IMAGE_STATE && piece <= IMAGE_END &&
	       g->image.at != IMAGE_END;
}

enum group_image_step
group_load(struct group *g, const uint8_t *data, size_t bytes)
{
	struct reader r = reader_over(data, bytes);
	enum image_piece piece = (enum image_piece)reader_u8(&r);

	if (r.bad || !follows(g, piece))
		return GROUP_IMAGE_BAD;
	g->image.at = piece;
	if (piece == IMAGE_BEGIN)
		read_begin(g, &r);
	else if (piece == IMAGE_INDEX)
		r.bad = !index_load(g->index, &r);
	else if (piece == IMAGE_STATE)
		read_state(g, &r);
	else if (piece == IMAGE_EXECUTED)
		read_executed(g, &r);
	else if (piece == IMAGE_MEMBER)
		read_member(g, &r);
	else if (piece == IMAGE_OUTCOMES)
		read_outcomes(g, &r, g->image.next);
	else if (piece == IMAGE_GENERATOR)
		read_generator(g, &r);
	else
		read_end(g, &r);
	return reader_done(&r) ? GROUP_IMAGE_MORE : GROUP_IMAGE_BAD;
}

enum group_image_step
group_load_check(struct group *g, uint32_t budget_slots)
{
	if (g->image.at != IMAGE_END)
		return GROUP_IMAGE_BAD;
	enum index_check check = index_load_check(g->index, g->applied, budget_slots);
	if (check == INDEX_CHECK_MORE)
		return GROUP_IMAGE_MORE;
	g->image = (struct image_state){.at = IMAGE_NONE};
	return check == INDEX_CHECK_DONE ? GROUP_IMAGE_DONE : GROUP_IMAGE_BAD;
}
