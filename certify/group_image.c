/*
 * The state image: what a node that is behind receives instead of the entries.
 *
 *     u32 version, config of CREATE, u8 created, group uuid
 *     u64 applied, view, last fence, digest
 *     executed set                     u32 bytes, as in an entry
 *     servers                          u32 count; slot, fields, outcomes
 *     generators                       u32 count; source, numbers, blocks in use
 *     the index                        certify/index.c
 *
 * An image carries what decides, and only that: of outcomes those that an entry
 * could still meet, of blocks those that are held. What it says is checked against
 * itself, for it may come from a node of another build; it is not checked against
 * lies, for it comes over a sealed session, from a voter.
 */
#include "base/must.h"
#include "certify/group_state.h"

#define IMAGE_VERSION 1

/* More than any of the fixed parts takes. */
#define IMAGE_FIXED_BYTES     256
#define IMAGE_MEMBER_BYTES    512
#define IMAGE_OUTCOME_BYTES   128
#define IMAGE_GENERATOR_BYTES 128
#define IMAGE_BLOCK_BYTES     20

size_t
group_image_bytes(const struct group *g)
{
	size_t bytes = IMAGE_FIXED_BYTES + gtid_set_bytes(g->executed);
	bytes += g->servers *
		 (IMAGE_MEMBER_BYTES + (size_t)g->config.inflight_max * IMAGE_OUTCOME_BYTES);
	bytes += g->generators * (IMAGE_GENERATOR_BYTES + (size_t)g->servers * IMAGE_BLOCK_BYTES);
	return bytes + index_image_bytes(g->index);
}

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

/* Outcomes from the floor on, in the order of their sequences. */
static void
write_outcomes(const struct group *g, struct writer *w, uint32_t slot)
{
	const uint64_t floor = g->member[slot].floor;
	uint32_t count = 0;
	for (uint32_t i = 0; i < g->config.inflight_max; i++)
		count += group_outcome_filled(g, slot, floor + i);
	writer_u32(w, count);
	for (uint32_t i = 0; i < g->config.inflight_max; i++)
		if (group_outcome_filled(g, slot, floor + i))
			write_outcome(w, &group_outcome_slot(g, slot, floor + i)->outcome);
}

static void
read_outcomes(struct group *g, struct reader *r, uint32_t slot)
{
	const struct group_member *m = &g->member[slot];
	uint32_t count = reader_u32(r);
	if (count > g->config.inflight_max)
		r->bad = true;
	for (uint32_t i = 0; i < count && !r->bad; i++) {
		struct group_outcome o = read_outcome(r);
		if (o.sequence < m->floor || o.sequence - m->floor >= g->config.inflight_max)
			r->bad = true;
		else
			*group_outcome_slot(g, slot, o.sequence) =
				(struct outcome_slot){m->incarnation, o};
	}
}

static void
write_member(const struct group *g, struct writer *w, uint32_t slot)
{
	const struct group_member *m = &g->member[slot];
	writer_u32(w, slot);
	writer_u64(w, m->incarnation);
	writer_u64(w, m->ended);
	writer_u64(w, m->session);
	writer_u64(w, m->floor);
	writer_u64(w, m->mark_low);
	writer_u64(w, m->committed);
	writer_u32(w, m->node);
	writer_u32(w, m->mysql_version);
	writer_u32(w, m->flags);
	writer_u16(w, m->port);
	writer_u8(w, m->state);
	writer_u8(w, m->host_bytes);
	writer_raw(w, m->host, m->host_bytes);
	writer_raw(w, m->server_uuid, UUID_BYTES);
	writer_raw(w, m->nonce, NONCE_BYTES);
	write_outcomes(g, w, slot);
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
	m->incarnation = reader_u64(r);
	m->ended = reader_u64(r);
	m->session = reader_u64(r);
	m->floor = reader_u64(r);
	m->mark_low = reader_u64(r);
	m->committed = reader_u64(r);
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
	    m->incarnation == 0 || m->incarnation > g->applied || m->floor == 0)
		r->bad = true;
	g->living[slot] = alive ? m->incarnation : 0;
	read_outcomes(g, r, slot);
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

size_t
group_encode(struct group *g, uint8_t *out, size_t capacity)
{
	must(!g->busy);
	struct writer w = writer_over(out, capacity);
	writer_u32(&w, IMAGE_VERSION);
	write_config(&w, &g->config);
	writer_u8(&w, g->created);
	writer_raw(&w, g->uuid, UUID_BYTES);
	writer_u64(&w, g->applied);
	writer_u64(&w, g->view);
	writer_u64(&w, g->last_fence);
	writer_u64(&w, g->digest);
	writer_u32(&w, (uint32_t)gtid_set_bytes(g->executed));
	gtid_set_encode(g->executed, &w);
	writer_u32(&w, servers_known(g));
	for (uint32_t i = 0; i < g->servers; i++)
		if (g->member[i].state != MEMBER_NONE)
			write_member(g, &w, i);
	writer_u32(&w, g->generators);
	for (uint32_t i = 0; i < g->generators; i++)
		write_generator(g, &w, &g->generator[i]);
	index_encode(g->index, &w);
	must(!w.bad);
	return w.bytes;
}

static bool
read_head(struct group *g, struct reader *r)
{
	if (reader_u32(r) != IMAGE_VERSION)
		return false;
	struct group_config config = read_config(r);
	if (r->bad || !group_take_config(g, &config))
		return false;
	uint8_t created = reader_u8(r);
	g->created = created == 1;
	reader_raw(r, g->uuid, UUID_BYTES);
	g->applied = reader_u64(r);
	g->view = reader_u64(r);
	g->last_fence = reader_u64(r);
	g->digest = reader_u64(r);
	struct gtid_bytes executed = {.bytes = reader_u32(r)};
	executed.data = reader_take(r, executed.bytes);
	return !r->bad && created <= 1 && gtid_set_decode(g->executed, executed) == GTID_SET_ADDED;
}

struct group *
group_decode(void *mem, const struct group_config *config, const uint8_t *data, size_t bytes)
{
	struct group *g = group_init(mem, config);
	struct reader r = reader_over(data, bytes);
	if (!read_head(g, &r))
		return NULL;
	uint32_t servers = reader_u32(&r);
	for (uint32_t i = 0; i < servers && !r.bad; i++)
		read_member(g, &r);
	uint32_t generators = reader_u32(&r);
	if (generators > GENERATORS_MAX)
		r.bad = true;
	for (uint32_t i = 0; i < generators && !r.bad; i++)
		read_generator(g, &r);
	if (r.bad || !index_decode(g->index, &r, g->applied))
		return NULL;
	return reader_done(&r) ? g : NULL;
}
