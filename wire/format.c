/* The codec of wire/format.h. */
#include "wire/format.h"

#include "base/hash.h"

bool
zeros(const uint8_t *data, size_t n)
{
	uint8_t any = 0;

	for (size_t i = 0; i < n; i++)
		any |= data[i];
	return any == 0;
}

void
datagram_put_tag(uint8_t *data, size_t bytes)
{
	must(bytes >= DATAGRAM_FRAME_BYTES);
	uint8_t *tag = data + bytes - DATAGRAM_TAG_BYTES;

	bytes_put_u64(tag, hash_bytes(data, bytes - DATAGRAM_TAG_BYTES, 0));
	bytes_put_u64(tag + 8, 0);
}

static bool
tag_fits(const uint8_t *data, size_t bytes)
{
	const uint8_t *tag = data + bytes - DATAGRAM_TAG_BYTES;

	return bytes_get_u64(tag) == hash_bytes(data, bytes - DATAGRAM_TAG_BYTES, 0) &&
	       bytes_get_u64(tag + 8) == 0;
}

void
datagram_put_header(const struct datagram *d, uint8_t out[DATAGRAM_HEADER_BYTES])
{
	memset(out, 0, DATAGRAM_HEADER_BYTES);
	out[0] = (uint8_t)d->type;
	out[1] = d->generation;
	bytes_put_u32(out + 4, d->key_id);
	bytes_put_u64(out + 8, d->counter);
	memcpy(out + 16, d->epoch, WIRE_EPOCH_BYTES);
}

size_t
datagram_seal(const struct datagram *d, uint8_t *out, size_t body_bytes)
{
	must(d->generation == 0);
	datagram_put_header(d, out);
	datagram_put_tag(out, DATAGRAM_FRAME_BYTES + body_bytes);
	return DATAGRAM_FRAME_BYTES + body_bytes;
}

static bool
well_formed(const struct datagram *d)
{
	if (d->type == DATAGRAM_DATA || d->type == DATAGRAM_CONFIRM)
		return d->key_id != 0;
	if (d->type == DATAGRAM_SHOW)
		return d->key_id != 0 && d->generation == 1 && d->counter >> 63 != 0;
	return d->generation <= 1 && d->counter == 0 &&
	       (d->key_id == 0) == (d->type == DATAGRAM_INIT);
}

enum datagram_check
datagram_parse(struct datagram *d, const uint8_t *data, size_t bytes)
{
	must(bytes >= DATAGRAM_FRAME_BYTES);
	if (data[0] < DATAGRAM_INIT || data[0] > DATAGRAM_SHOW || !zeros(data + 2, 2))
		return DATAGRAM_MALFORMED;
	d->type = data[0];
	d->generation = data[1];
	d->key_id = bytes_get_u32(data + 4);
	d->counter = bytes_get_u64(data + 8);
	memcpy(d->epoch, data + 16, WIRE_EPOCH_BYTES);
	d->data = data;
	d->body = data + DATAGRAM_HEADER_BYTES;
	d->body_bytes = bytes - DATAGRAM_FRAME_BYTES;
	return well_formed(d) ? DATAGRAM_WHOLE : DATAGRAM_MALFORMED;
}

/* The tag first: a flipped bit in a reserved byte is damage, not a peer's mistake. */
enum datagram_check
datagram_open(struct datagram *d, const uint8_t *data, size_t bytes)
{
	must(bytes >= DATAGRAM_FRAME_BYTES);
	if (!tag_fits(data, bytes))
		return DATAGRAM_DAMAGED;
	enum datagram_check check = datagram_parse(d, data, bytes);
	return check == DATAGRAM_WHOLE && d->generation != 0 ? DATAGRAM_MALFORMED : check;
}

void
show_put(const struct show_message *m, uint8_t out[SHOW_BODY_BYTES])
{
	struct writer w = writer_over(out, SHOW_BODY_BYTES);

	must(m->data_bytes <= SHOW_CHUNK_BYTES);
	memset(out, 0, SHOW_BODY_BYTES);
	writer_u16(&w, (uint16_t)m->offset);
	writer_u16(&w, (uint16_t)m->bytes);
	writer_u16(&w, (uint16_t)m->held);
	writer_u8(&w, (uint8_t)m->reason);
	writer_u8(&w, 0);
	if (m->data_bytes > 0)
		writer_raw(&w, m->data, m->data_bytes);
	must(!w.bad);
}

bool
show_get(struct show_message *m, const struct datagram *d)
{
	struct reader r = reader_over(d->body, d->body_bytes);

	m->offset = reader_u16(&r);
	m->bytes = reader_u16(&r);
	m->held = reader_u16(&r);
	uint32_t reason = reader_u8(&r), reserved = reader_u8(&r);
	if (r.bad || d->body_bytes != SHOW_BODY_BYTES || reserved != 0 ||
	    m->bytes > CERTIFICATES_BYTES_MAX || m->offset > m->bytes)
		return false;
	bool verdict = reason >= WIRE_REASON_UNTRUSTED && reason <= WIRE_REASON_FORGED;
	if (reason != WIRE_REASON_NONE && !verdict)
		return false;
	m->reason = (enum wire_reason)reason;
	uint32_t left = m->bytes - m->offset;
	m->data_bytes = left < SHOW_CHUNK_BYTES ? left : SHOW_CHUNK_BYTES;
	m->data = d->body + 8;
	return zeros(m->data + m->data_bytes, SHOW_CHUNK_BYTES - m->data_bytes);
}

static void
put_expected(struct writer *w, const struct wire_identity *i)
{
	static const uint8_t reserved[3];

	writer_u8(w, i->kind);
	writer_raw(w, reserved, sizeof reserved);
	writer_u32(w, i->node);
}

void
hello_put_head(const struct hello *h, uint8_t out[HELLO_HEAD_BYTES])
{
	static const uint8_t reserved[8];
	struct writer w = writer_over(out, HELLO_HEAD_BYTES);

	writer_u32(&w, h->self.version);
	writer_raw(&w, reserved, sizeof reserved);
	writer_u32(&w, h->connection);
	writer_raw(&w, h->cookie, COOKIE_BYTES);
	writer_raw(&w, reserved, sizeof reserved);
	writer_u64(&w, h->time_ns);
	must(!w.bad && w.bytes == HELLO_HEAD_BYTES);
}

void
hello_put_private(const struct hello *h, uint8_t out[HELLO_PRIVATE_BYTES])
{
	struct writer w = writer_over(out, HELLO_PRIVATE_BYTES);

	put_expected(&w, &h->self);
	writer_raw(&w, h->self.uuid, WIRE_UUID_BYTES);
	writer_u64(&w, h->self.process);
	put_expected(&w, &h->expected);
	writer_raw(&w, h->expected.uuid, WIRE_UUID_BYTES);
	for (int i = 0; i < WIRE_STREAMS; i++)
		writer_u32(&w, h->window_bytes[i]);
	writer_u32(&w, h->datagram_bytes_max);
	writer_u32(&w, h->message_bytes_max);
	writer_u32(&w, h->connection);
	writer_u8(&w, (uint8_t)h->reason);
	writer_u8(&w, h->certificates);
	writer_u16(&w, 0);
	writer_raw(&w, h->self.epoch, WIRE_EPOCH_BYTES);
	must(!w.bad && w.bytes == HELLO_PRIVATE_BYTES);
}

void
hello_encode(const struct hello *h, uint8_t out[HELLO_BYTES])
{
	hello_put_head(h, out);
	hello_put_private(h, out + HELLO_HEAD_BYTES);
	memset(out + HELLO_HEAD_BYTES + HELLO_PRIVATE_BYTES, 0, INIT_NOISE_BYTES);
}

bool
hello_get_head(struct hello *h, const struct datagram *d)
{
	struct reader r = reader_over(d->body, d->body_bytes);
	uint8_t reserved[2][8];

	memset(h, 0, sizeof *h);
	memcpy(h->self.epoch, d->epoch, WIRE_EPOCH_BYTES);
	h->self.version = reader_u32(&r);
	reader_raw(&r, reserved[0], sizeof reserved[0]);
	h->connection = reader_u32(&r);
	reader_raw(&r, h->cookie, COOKIE_BYTES);
	reader_raw(&r, reserved[1], sizeof reserved[1]);
	h->time_ns = reader_u64(&r);
	return !r.bad && h->connection != 0;
}

static void
get_expected(struct reader *r, struct wire_identity *i)
{
	uint8_t reserved[3];

	i->kind = reader_u8(r);
	reader_raw(r, reserved, sizeof reserved);
	i->node = reader_u32(r);
	if (i->kind > WIRE_MEMBER || !zeros(reserved, sizeof reserved))
		r->bad = true;
}

bool
hello_get_private(struct hello *h, const struct datagram *d,
		  const uint8_t data[HELLO_PRIVATE_BYTES])
{
	struct reader r = reader_over(data, HELLO_PRIVATE_BYTES);
	uint8_t epoch[WIRE_EPOCH_BYTES];

	if (!zeros(d->body + 4, 8) || !zeros(d->body + 32, 8))
		return false;
	get_expected(&r, &h->self);
	reader_raw(&r, h->self.uuid, WIRE_UUID_BYTES);
	h->self.process = reader_u64(&r);
	get_expected(&r, &h->expected);
	reader_raw(&r, h->expected.uuid, WIRE_UUID_BYTES);
	for (int i = 0; i < WIRE_STREAMS; i++)
		h->window_bytes[i] = reader_u32(&r);
	h->datagram_bytes_max = reader_u32(&r);
	h->message_bytes_max = reader_u32(&r);
	uint32_t connection = reader_u32(&r), reason = reader_u8(&r);
	h->certificates = reader_u8(&r);
	uint32_t reserved = reader_u16(&r);
	reader_raw(&r, epoch, sizeof epoch);
	if (!reader_done(&r) || connection != h->connection || reason > WIRE_REASON_LAST ||
	    reserved != 0 || (h->certificates & ~(HELLO_SHOWS | HELLO_DEMANDS)) != 0 ||
	    memcmp(epoch, d->epoch, sizeof epoch) != 0)
		return false;
	h->reason = (enum wire_reason)reason;
	return h->self.kind != WIRE_ANY && h->datagram_bytes_max >= 512;
}

bool
hello_decode(struct hello *h, const struct datagram *d)
{
	const uint8_t *private = d->body + HELLO_HEAD_BYTES;

	return d->body_bytes == HELLO_BYTES && hello_get_head(h, d) &&
	       zeros(private + HELLO_PRIVATE_BYTES, INIT_NOISE_BYTES) &&
	       hello_get_private(h, d, private) && h->reason == WIRE_REASON_NONE;
}

void
item_put_bytes_head(struct writer *w, enum wire_stream stream, uint64_t offset, uint32_t bytes)
{
	must(bytes <= UINT16_MAX);
	writer_u8(w, ITEM_BYTES);
	writer_u8(w, (uint8_t)stream);
	writer_u16(w, (uint16_t)bytes);
	writer_u64(w, offset);
}

void
item_put_credit(struct writer *w, enum wire_stream stream, uint64_t limit)
{
	writer_u8(w, ITEM_CREDIT);
	writer_u8(w, (uint8_t)stream);
	writer_u64(w, limit);
}

void
item_put_close(struct writer *w, enum wire_reason reason)
{
	writer_u8(w, ITEM_CLOSE);
	writer_u8(w, (uint8_t)reason);
}

void
item_put_rekey(struct writer *w, uint8_t generation, const uint8_t *message, uint32_t bytes)
{
	must(bytes == INIT_NOISE_BYTES || bytes == RESPONSE_NOISE_BYTES);
	writer_u8(w, ITEM_REKEY);
	writer_u8(w, generation);
	writer_u8(w, (uint8_t)bytes);
	writer_raw(w, message, bytes);
}

void
item_put_once_head(struct writer *w, uint32_t bytes)
{
	must(bytes > 0 && bytes <= UINT16_MAX);
	writer_u8(w, ITEM_ONCE);
	writer_u16(w, (uint16_t)bytes);
}

size_t
item_ack_bytes(const struct ack *ack)
{
	return ACK_HEAD_BYTES + 4 * (size_t)(ack->range_count - 1);
}

void
item_put_ack(struct writer *w, const struct ack *ack)
{
	must(ack->range_count >= 1 && ack->range_count <= 1 + ACK_RANGES_MAX);
	uint64_t delay_us = ack->delay_ns / 1000;

	writer_u8(w, ITEM_ACK);
	writer_u8(w, (uint8_t)(ack->range_count - 1));
	writer_u32(w, delay_us > UINT32_MAX ? UINT32_MAX : (uint32_t)delay_us);
	writer_u64(w, ack->range[0].last);
	writer_u16(w, (uint16_t)(ack->range[0].last - ack->range[0].first));
	for (uint32_t i = 1; i < ack->range_count; i++) {
		const struct ack_range *above = &ack->range[i - 1], *r = &ack->range[i];
		must(r->last >= r->first && r->last + 1 < above->first);
		writer_u16(w, (uint16_t)(above->first - r->last - 2));
		writer_u16(w, (uint16_t)(r->last - r->first));
	}
}

/* Ranges that would reach below zero do not decode. */
static void
get_ack(struct reader *r, struct ack *ack)
{
	uint32_t more = reader_u8(r);

	ack->delay_ns = (uint64_t)reader_u32(r) * 1000;
	ack->range_count = 1;
	ack->range[0].last = reader_u64(r);
	uint32_t first = reader_u16(r);
	if (more > ACK_RANGES_MAX || first > ack->range[0].last) {
		r->bad = true;
		return;
	}
	ack->range[0].first = ack->range[0].last - first;
	for (uint32_t i = 0; i < more && !r->bad; i++) {
		uint64_t below = ack->range[i].first;
		uint64_t gap = (uint64_t)reader_u16(r) + 2;
		uint64_t count = reader_u16(r);
		if (gap + count > below) {
			r->bad = true;
			return;
		}
		ack->range[i + 1].last = below - gap;
		ack->range[i + 1].first = below - gap - count;
		ack->range_count++;
	}
}

static void
get_bytes(struct reader *r, struct wire_item *item)
{
	item->stream = reader_u8(r);
	item->bytes = reader_u16(r);
	item->offset = reader_u64(r);
	item->data = reader_take(r, item->bytes);
	if (item->stream >= WIRE_STREAMS || item->bytes == 0 ||
	    item->offset > UINT64_MAX - item->bytes)
		r->bad = true;
}

static void
get_rekey(struct reader *r, struct wire_item *item)
{
	item->offset = reader_u8(r);
	item->bytes = reader_u8(r);
	item->data = reader_take(r, item->bytes);
	if (item->offset == 0 || item->offset > GENERATION_MAX ||
	    (item->bytes != INIT_NOISE_BYTES && item->bytes != RESPONSE_NOISE_BYTES))
		r->bad = true;
}

static void
get_once(struct reader *r, struct wire_item *item)
{
	item->bytes = reader_u16(r);
	item->data = reader_take(r, item->bytes);
	r->bad = r->bad || item->bytes == 0;
}

bool
item_next(struct reader *r, struct wire_item *item)
{
	if (r->bad || r->bytes == 0)
		return false;
	item->kind = reader_u8(r);
	switch (item->kind) {
	case ITEM_PING:
		break;
	case ITEM_ACK:
		get_ack(r, &item->ack);
		break;
	case ITEM_CREDIT:
		item->stream = reader_u8(r);
		item->offset = reader_u64(r);
		r->bad = r->bad || item->stream >= WIRE_STREAMS;
		break;
	case ITEM_BYTES:
		get_bytes(r, item);
		break;
	case ITEM_CLOSE:
		item->reason = reader_u8(r);
		break;
	case ITEM_REKEY:
		get_rekey(r, item);
		break;
	case ITEM_ONCE:
		get_once(r, item);
		break;
	default:
		r->bad = true;
	}
	return !r->bad;
}
