/*
 * The codec: one reader and one writer per kind, each straight down its fields.
 * What a decoder lets through, the group may rely on: orders, bounds and zero
 * bits are checked here once, at the door, and not again where it hurts.
 */
#include "certify/entry.h"

#include "base/must.h"

int
gtid_source_compare(const struct gtid_source *a, const struct gtid_source *b)
{
	int order = memcmp(a->uuid, b->uuid, UUID_BYTES);
	if (order == 0)
		order = memcmp(a->tag, b->tag, TAG_BYTES_MAX);
	if (order == 0)
		order = (int)a->tag_bytes - (int)b->tag_bytes;
	return order;
}

bool
gtid_equal(const struct gtid *a, const struct gtid *b)
{
	return a->gno == b->gno && gtid_source_compare(&a->source, &b->source) == 0;
}

static void
read_tag(struct reader *r, struct gtid_source *source)
{
	memset(source->tag, 0, TAG_BYTES_MAX);
	source->tag_bytes = reader_u8(r);
	if (source->tag_bytes > TAG_BYTES_MAX)
		r->bad = true;
	else
		reader_raw(r, source->tag, source->tag_bytes);
	/* A zero inside would make two tags of one padded form. */
	if (!r->bad && memchr(source->tag, 0, source->tag_bytes))
		r->bad = true;
}

static void
write_tag(struct writer *w, const struct gtid_source *source)
{
	must(source->tag_bytes <= TAG_BYTES_MAX);
	writer_u8(w, source->tag_bytes);
	writer_raw(w, source->tag, source->tag_bytes);
}

struct gtid_cursor
gtid_cursor_over(struct gtid_bytes set)
{
	struct gtid_cursor c = {.r = reader_over(set.data, set.bytes)};
	if (set.bytes > 0)
		c.sources = reader_u32(&c.r);
	return c;
}

static void
cursor_next_source(struct gtid_cursor *c)
{
	struct gtid_source last = c->at.source;
	reader_raw(&c->r, c->at.source.uuid, UUID_BYTES);
	read_tag(&c->r, &c->at.source);
	if (c->begun && gtid_source_compare(&last, &c->at.source) >= 0)
		c->r.bad = true;
	c->intervals = reader_u32(&c->r);
	if (c->intervals == 0)
		c->r.bad = true;
	c->sources--;
	c->begun = true;
	c->at.to = 0;
}

bool
gtid_cursor_next(struct gtid_cursor *c)
{
	bool first = c->intervals == 0;
	if (first && c->sources == 0) {
		if (c->r.bytes > 0)
			c->r.bad = true;
		return false;
	}
	if (first)
		cursor_next_source(c);
	uint64_t last = c->at.to;
	c->at.from = reader_u64(&c->r);
	c->at.to = reader_u64(&c->r);
	if (c->at.from == 0 || c->at.from > c->at.to || c->at.to > GNO_MAX)
		c->r.bad = true;
	if (!first && c->at.from <= last + 1)
		c->r.bad = true;
	if (c->r.bad)
		return false;
	c->intervals--;
	return true;
}

bool
gtid_bytes_valid(struct gtid_bytes set)
{
	struct gtid_cursor c = gtid_cursor_over(set);
	/* Each turn takes 16 bytes of the set, so its length bounds the loop. */
	while (gtid_cursor_next(&c))
		;
	return !c.r.bad;
}

#define SNAPSHOT_IS_BITS (UINT32_C(1) << 31)

bool
snapshot_contains(const struct snapshot *s, uint64_t index)
{
	if (index <= s->mark)
		return true;
	if (s->bit_bytes > 0) {
		uint64_t bit = index - s->mark - 1;
		return bit / 8 < s->bit_bytes && (s->bits[bit / 8] >> bit % 8 & 1);
	}
	uint32_t low = 0, high = s->range_count;
	while (low < high) { /* the first range that does not end below index */
		uint32_t middle = low + (high - low) / 2;
		if (snapshot_range(s, middle).to < index)
			low = middle + 1;
		else
			high = middle;
	}
	return low < s->range_count && snapshot_range(s, low).from <= index;
}

uint64_t
snapshot_last(const struct snapshot *s)
{
	uint64_t last = s->mark;

	if (s->range_count > 0)
		last = snapshot_range(s, s->range_count - 1).to;
	if (s->bit_bytes > 0) {
		uint32_t highest = 7;

		must(s->bits[s->bit_bytes - 1] != 0);
		while ((s->bits[s->bit_bytes - 1] >> highest & 1) == 0)
			highest--;
		last += (uint64_t)(s->bit_bytes - 1) * 8 + highest + 1;
	}
	return last;
}

static struct gtid_bytes
read_set(struct reader *r)
{
	struct gtid_bytes set = {.bytes = reader_u32(r)};
	set.data = reader_take(r, set.bytes);
	if (r->bad)
		set = (struct gtid_bytes){0};
	if (!gtid_bytes_valid(set))
		r->bad = true;
	return set;
}

static void
write_set(struct writer *w, struct gtid_bytes set)
{
	writer_u32(w, set.bytes);
	writer_raw(w, set.data, set.bytes);
}

static void
read_create(struct reader *r, struct entry_create *c)
{
	reader_raw(r, c->group_uuid, UUID_BYTES);
	c->config.block_size = reader_u64(r);
	c->config.index_hashes_max = reader_u32(r);
	c->config.inflight_max = reader_u32(r);
	c->config.members_max = reader_u32(r);
	c->config.protocol = reader_u32(r);
	c->executed = read_set(r);
}

static void
write_create(struct writer *w, const struct entry_create *c)
{
	writer_raw(w, c->group_uuid, UUID_BYTES);
	writer_u64(w, c->config.block_size);
	writer_u32(w, c->config.index_hashes_max);
	writer_u32(w, c->config.inflight_max);
	writer_u32(w, c->config.members_max);
	writer_u32(w, c->config.protocol);
	write_set(w, c->executed);
}

static void
read_join(struct reader *r, struct entry_join *j)
{
	reader_raw(r, j->nonce, NONCE_BYTES);
	reader_raw(r, j->server_uuid, UUID_BYTES);
	j->last_incarnation = reader_u64(r);
	j->host_bytes = reader_u8(r);
	j->host = (const char *)reader_take(r, j->host_bytes);
	j->port = reader_u16(r);
	j->mysql_version = reader_u32(r);
	j->flags = reader_u16(r);
	j->epoch = reader_u16(r);
	j->executed = read_set(r);
	if (j->flags & ~JOIN_BOOTSTRAP)
		r->bad = true;
}

static void
write_join(struct writer *w, const struct entry_join *j)
{
	must((j->flags & ~JOIN_BOOTSTRAP) == 0);
	writer_raw(w, j->nonce, NONCE_BYTES);
	writer_raw(w, j->server_uuid, UUID_BYTES);
	writer_u64(w, j->last_incarnation);
	writer_u8(w, j->host_bytes);
	writer_raw(w, j->host, j->host_bytes);
	writer_u16(w, j->port);
	writer_u32(w, j->mysql_version);
	writer_u16(w, j->flags);
	writer_u16(w, j->epoch);
	write_set(w, j->executed);
}

static void
read_bits(struct reader *r, struct snapshot *s)
{
	s->bit_bytes = s->range_count & ~SNAPSHOT_IS_BITS;
	s->range_count = 0;
	if (s->bit_bytes == 0 || s->bit_bytes > SNAPSHOT_RANGES_MAX * SNAPSHOT_RANGE_BYTES ||
	    s->mark > UINT64_MAX - 8 * (uint64_t)s->bit_bytes)
		r->bad = true;
	s->bits = reader_take(r, s->bit_bytes);
	if (!r->bad && s->bits[s->bit_bytes - 1] == 0)
		r->bad = true;
	if (r->bad)
		s->bit_bytes = 0;
}

static void
read_snapshot(struct reader *r, struct snapshot *s)
{
	s->mark = reader_u64(r);
	s->range_count = reader_u32(r);
	if (s->range_count & SNAPSHOT_IS_BITS) {
		read_bits(r, s);
		return;
	}
	if (s->range_count > SNAPSHOT_RANGES_MAX)
		r->bad = true;
	s->ranges = reader_take(r, (size_t)s->range_count * SNAPSHOT_RANGE_BYTES);
	if (r->bad) {
		s->range_count = 0;
		return;
	}
	uint64_t last = s->mark;
	for (uint32_t i = 0; i < s->range_count; i++) {
		struct snapshot_range range = snapshot_range(s, i);
		if (range.from <= last || range.to < range.from)
			r->bad = true;
		last = range.to;
	}
}

static void
read_hashes(struct reader *r, struct entry_submit *s)
{
	s->hash_count = reader_u32(r);
	if (s->hash_count > ENTRY_BYTES_MAX / ENTRY_HASH_BYTES)
		r->bad = true;
	s->hashes = reader_take(r, (size_t)s->hash_count * ENTRY_HASH_BYTES);
	if (r->bad) {
		s->hash_count = 0;
		return;
	}
	uint64_t bits = 0;
	for (uint32_t i = 0; i < s->hash_count; i++)
		bits |= entry_hash(s, i);
	if (bits & ENTRY_HASH_SHARED)
		r->bad = true;
}

static void
read_gtid_spec(struct reader *r, struct entry_submit *s)
{
	s->gtid_spec = reader_u8(r);
	s->assigned = (struct gtid){0};
	if (s->gtid_spec < GTID_AUTOMATIC || s->gtid_spec > GTID_ASSIGNED)
		r->bad = true;
	if (s->gtid_spec == GTID_ASSIGNED)
		reader_raw(r, s->assigned.source.uuid, UUID_BYTES);
	if (s->gtid_spec != GTID_AUTOMATIC)
		read_tag(r, &s->assigned.source);
	if (s->gtid_spec == GTID_AUTOMATIC_TAG && s->assigned.source.tag_bytes == 0)
		r->bad = true;
	if (s->gtid_spec == GTID_ASSIGNED) {
		s->assigned.gno = reader_u64(r);
		if (s->assigned.gno == 0 || s->assigned.gno > GNO_MAX)
			r->bad = true;
	}
}

bool
entry_spread_decode(struct entry_spread *spread, const uint8_t *data, size_t bytes)
{
	struct reader r = reader_over(data, bytes);

	spread->bytes = reader_u64(&r);
	spread->digest = reader_u64(&r);
	spread->chunk_bytes = reader_u32(&r);
	spread->holders = reader_u32(&r);
	spread->hash_count = reader_u32(&r);
	uint32_t reserved = reader_u32(&r);
	spread->offer = reader_u64(&r);
	return reserved == 0 && reader_done(&r) && spread->offer != 0 &&
	       spread->bytes > (uint64_t)spread->hash_count * ENTRY_HASH_BYTES &&
	       spread->chunk_bytes >= ENTRY_CHUNK_BYTES_MIN &&
	       spread->chunk_bytes <= ENTRY_CHUNK_BYTES_MAX &&
	       spread->chunk_bytes % ENTRY_HASH_BYTES == 0;
}

void
entry_spread_encode(const struct entry_spread *spread, uint8_t out[ENTRY_SPREAD_BYTES])
{
	must(spread->bytes > (uint64_t)spread->hash_count * ENTRY_HASH_BYTES);
	must(spread->chunk_bytes % ENTRY_HASH_BYTES == 0);
	must(spread->offer != 0);
	bytes_put_u64(out, spread->bytes);
	bytes_put_u64(out + 8, spread->digest);
	bytes_put_u32(out + 16, spread->chunk_bytes);
	bytes_put_u32(out + 20, spread->holders);
	bytes_put_u32(out + 24, spread->hash_count);
	bytes_put_u32(out + 28, 0);
	bytes_put_u64(out + 32, spread->offer);
}

uint32_t
entry_hash_count(const struct entry_submit *s)
{
	struct entry_spread spread;

	if (!(s->flags & SUBMIT_SPREAD))
		return s->hash_count;
	must(entry_spread_decode(&spread, s->payload, s->payload_bytes));
	return spread.hash_count > 0 ? spread.hash_count : s->hash_count;
}

/* Hashes that went ahead are the only ones. */
static bool
spread_valid(const struct entry_submit *s)
{
	struct entry_spread spread;

	return entry_spread_decode(&spread, s->payload, s->payload_bytes) &&
	       (spread.hash_count == 0 || (s->hash_count == 0 && !(s->flags & SUBMIT_EMPTY)));
}

static void
check_sequence(struct reader *r, uint64_t sequence, uint64_t floor)
{
	if (floor == 0 || floor > sequence || sequence > SEQUENCE_MAX)
		r->bad = true;
}

static void
read_submit(struct reader *r, struct entry_submit *s)
{
	const uint32_t known = SUBMIT_FENCE | SUBMIT_EMPTY | SUBMIT_NOT_COMMITTED | SUBMIT_SPREAD |
			       SUBMIT_TRUSTS_OWN;

	s->incarnation = reader_u64(r);
	s->session = reader_u64(r);
	s->sequence = reader_u64(r);
	s->floor = reader_u64(r);
	s->flags = reader_u32(r);
	check_sequence(r, s->sequence, s->floor);
	if ((s->flags & ~known) != 0)
		r->bad = true;
	read_gtid_spec(r, s);
	read_snapshot(r, &s->snapshot);
	read_hashes(r, s);
	s->payload_bytes = reader_u32(r);
	s->payload = reader_take(r, s->payload_bytes);
	if ((s->flags & SUBMIT_EMPTY) && (s->hash_count > 0 || (s->flags & SUBMIT_FENCE)))
		r->bad = true;
	if ((s->flags & SUBMIT_SPREAD) && !r->bad && !spread_valid(s))
		r->bad = true;
}

static void
write_gtid_spec(struct writer *w, const struct entry_submit *s)
{
	must(s->gtid_spec >= GTID_AUTOMATIC && s->gtid_spec <= GTID_ASSIGNED);
	writer_u8(w, s->gtid_spec);
	if (s->gtid_spec == GTID_ASSIGNED)
		writer_raw(w, s->assigned.source.uuid, UUID_BYTES);
	if (s->gtid_spec != GTID_AUTOMATIC)
		write_tag(w, &s->assigned.source);
	if (s->gtid_spec == GTID_ASSIGNED)
		writer_u64(w, s->assigned.gno);
}

/* Of the ranges, written as bits; 0: they are not shorter. While a member is fed a large
 * transaction each own one stands alone between others that it has not applied: thousands of
 * ranges, and in every submission. */
static uint32_t
bits_instead(const struct snapshot *s)
{
	if (s->range_count < SNAPSHOT_BITS_FROM || s->range_count > SNAPSHOT_RANGES_MAX)
		return 0;
	uint64_t bytes = (snapshot_last(s) - s->mark + 7) / 8;
	return bytes < (uint64_t)s->range_count * SNAPSHOT_RANGE_BYTES ? (uint32_t)bytes : 0;
}

static void
write_bits(struct writer *w, const struct snapshot *s, uint32_t bytes)
{
	uint32_t range = 0;
	uint64_t index = s->mark;

	for (uint32_t i = 0; i < bytes; i++) {
		uint32_t byte = 0;

		for (uint32_t bit = 0; bit < 8; bit++) {
			index++;
			if (range < s->range_count && index > snapshot_range(s, range).to)
				range++;
			if (range < s->range_count && index >= snapshot_range(s, range).from)
				byte |= 1u << bit;
		}
		writer_u8(w, (uint8_t)byte);
	}
}

static void
write_snapshot(struct writer *w, const struct snapshot *s)
{
	uint32_t bytes = bits_instead(s);

	must(s->range_count <= SNAPSHOT_RANGES_MAX);
	must(s->range_count == 0 || s->bit_bytes == 0);
	writer_u64(w, s->mark);
	if (s->bit_bytes > 0) {
		writer_u32(w, SNAPSHOT_IS_BITS | s->bit_bytes);
		writer_raw(w, s->bits, s->bit_bytes);
	} else if (bytes > 0) {
		writer_u32(w, SNAPSHOT_IS_BITS | bytes);
		write_bits(w, s, bytes);
	} else {
		writer_u32(w, s->range_count);
		writer_raw(w, s->ranges, (size_t)s->range_count * SNAPSHOT_RANGE_BYTES);
	}
}

static void
write_submit(struct writer *w, const struct entry_submit *s)
{
	must(s->floor > 0 && s->floor <= s->sequence);
	must(!(s->flags & SUBMIT_EMPTY) || s->hash_count == 0);
	writer_u64(w, s->incarnation);
	writer_u64(w, s->session);
	writer_u64(w, s->sequence);
	writer_u64(w, s->floor);
	writer_u32(w, s->flags);
	write_gtid_spec(w, s);
	write_snapshot(w, &s->snapshot);
	writer_u32(w, s->hash_count);
	writer_raw(w, s->hashes, (size_t)s->hash_count * ENTRY_HASH_BYTES);
	writer_u32(w, s->payload_bytes);
	writer_raw(w, s->payload, s->payload_bytes);
}

static void
read_progress(struct reader *r, struct entry_progress *p)
{
	p->incarnation = reader_u64(r);
	p->floor = reader_u64(r);
	p->mark_low = reader_u64(r);
	p->committed = reader_u64(r);
	p->ready = reader_u8(r);
	if (p->ready > 1 || p->floor > SEQUENCE_MAX)
		r->bad = true;
}

static void
write_progress(struct writer *w, const struct entry_progress *p)
{
	must(p->ready <= 1);
	writer_u64(w, p->incarnation);
	writer_u64(w, p->floor);
	writer_u64(w, p->mark_low);
	writer_u64(w, p->committed);
	writer_u8(w, p->ready);
}

static void
read_expel(struct reader *r, struct entry_expel *x)
{
	x->incarnation = reader_u64(r);
	x->session = reader_u64(r);
	x->reason = reader_u8(r);
	if (x->reason < EXPEL_SILENT || x->reason > EXPEL_DIVERGED)
		r->bad = true;
}

static void
write_expel(struct writer *w, const struct entry_expel *x)
{
	must(x->reason >= EXPEL_SILENT && x->reason <= EXPEL_DIVERGED);
	writer_u64(w, x->incarnation);
	writer_u64(w, x->session);
	writer_u8(w, x->reason);
}

static void
read_body(struct reader *r, struct entry *e)
{
	switch (e->kind) {
	case ENTRY_NOOP:
		break;
	case ENTRY_CREATE:
		read_create(r, &e->create);
		break;
	case ENTRY_JOIN:
		read_join(r, &e->join);
		break;
	case ENTRY_LEAVE:
		e->leave.incarnation = reader_u64(r);
		break;
	case ENTRY_EXPEL:
		read_expel(r, &e->expel);
		break;
	case ENTRY_ATTACH:
		e->attach.incarnation = reader_u64(r);
		e->attach.session = reader_u64(r);
		e->attach.node = reader_u32(r);
		break;
	case ENTRY_SUBMIT:
		read_submit(r, &e->submit);
		break;
	case ENTRY_ABANDON:
		e->abandon.incarnation = reader_u64(r);
		e->abandon.session = reader_u64(r);
		e->abandon.sequence = reader_u64(r);
		e->abandon.floor = reader_u64(r);
		e->abandon.offer = reader_u64(r);
		check_sequence(r, e->abandon.sequence, e->abandon.floor);
		break;
	case ENTRY_PROGRESS:
		read_progress(r, &e->progress);
		break;
	case ENTRY_HORIZON:
		e->horizon.index = reader_u64(r);
		break;
	case ENTRY_CLOSE:
		e->close.epoch = reader_u16(r);
		break;
	}
}

bool
entry_decode(struct entry *e, const uint8_t *data, size_t bytes)
{
	if (bytes == 0 || bytes > ENTRY_BYTES_MAX)
		return false;
	if (data[0] < ENTRY_NOOP || data[0] > ENTRY_CLOSE)
		return false;
	memset(e, 0, sizeof *e);
	e->kind = (enum entry_kind)data[0];
	struct reader r = reader_over(data + 1, bytes - 1);
	read_body(&r, e);
	return reader_done(&r);
}

static void
write_body(const struct entry *e, struct writer *w)
{
	switch (e->kind) {
	case ENTRY_NOOP:
		break;
	case ENTRY_CREATE:
		write_create(w, &e->create);
		break;
	case ENTRY_JOIN:
		write_join(w, &e->join);
		break;
	case ENTRY_LEAVE:
		writer_u64(w, e->leave.incarnation);
		break;
	case ENTRY_EXPEL:
		write_expel(w, &e->expel);
		break;
	case ENTRY_ATTACH:
		writer_u64(w, e->attach.incarnation);
		writer_u64(w, e->attach.session);
		writer_u32(w, e->attach.node);
		break;
	case ENTRY_SUBMIT:
		write_submit(w, &e->submit);
		break;
	case ENTRY_ABANDON:
		writer_u64(w, e->abandon.incarnation);
		writer_u64(w, e->abandon.session);
		writer_u64(w, e->abandon.sequence);
		writer_u64(w, e->abandon.floor);
		writer_u64(w, e->abandon.offer);
		break;
	case ENTRY_PROGRESS:
		write_progress(w, &e->progress);
		break;
	case ENTRY_HORIZON:
		writer_u64(w, e->horizon.index);
		break;
	case ENTRY_CLOSE:
		writer_u16(w, e->close.epoch);
		break;
	}
}

void
entry_encode(const struct entry *e, struct writer *w)
{
	must(e->kind >= ENTRY_NOOP && e->kind <= ENTRY_CLOSE);
	size_t begin = w->bytes;
	writer_u8(w, (uint8_t)e->kind);
	write_body(e, w);
	if (w->bytes - begin > ENTRY_BYTES_MAX)
		w->bad = true;
}
