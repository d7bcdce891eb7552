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

size_t
datagram_seal(const struct datagram *d, uint8_t *out, size_t body_bytes)
{
	memset(out, 0, DATAGRAM_HEADER_BYTES);
	out[0] = (uint8_t)d->type;
	bytes_put_u32(out + 4, d->key_id);
	bytes_put_u64(out + 8, d->counter);
	memcpy(out + 16, d->epoch, WIRE_EPOCH_BYTES);
	datagram_put_tag(out, DATAGRAM_FRAME_BYTES + body_bytes);
	return DATAGRAM_FRAME_BYTES + body_bytes;
}

static bool
well_formed(const struct datagram *d)
{
	if (d->type == DATAGRAM_DATA || d->type == DATAGRAM_CONFIRM)
		return d->key_id != 0;
	return d->counter == 0 && (d->key_id == 0) == (d->type == DATAGRAM_INIT);
}

/* The tag first: a flipped bit in a reserved byte is damage, not a peer's mistake. */
enum datagram_check
datagram_open(struct datagram *d, const uint8_t *data, size_t bytes)
{
	must(bytes >= DATAGRAM_FRAME_BYTES);
	if (!tag_fits(data, bytes))
		return DATAGRAM_DAMAGED;
	if (data[0] < DATAGRAM_INIT || data[0] > DATAGRAM_DATA || !zeros(data + 1, 3))
		return DATAGRAM_MALFORMED;
	d->type = data[0];
	d->key_id = bytes_get_u32(data + 4);
	d->counter = bytes_get_u64(data + 8);
	memcpy(d->epoch, data + 16, WIRE_EPOCH_BYTES);
	d->body = data + DATAGRAM_HEADER_BYTES;
	d->body_bytes = bytes - DATAGRAM_FRAME_BYTES;
	return well_formed(d) ? DATAGRAM_WHOLE : DATAGRAM_MALFORMED;
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
hello_encode(const struct hello *h, uint8_t out[HELLO_BYTES])
{
	static const uint8_t noise[HELLO_NOISE_BYTES];
	struct writer w = writer_over(out, HELLO_BYTES);

	writer_u32(&w, h->self.version);
	put_expected(&w, &h->self);
	writer_u32(&w, h->connection);
	writer_raw(&w, h->self.uuid, WIRE_UUID_BYTES);
	writer_u64(&w, h->self.process);
	writer_u64(&w, h->time_ns);
	put_expected(&w, &h->expected);
	writer_raw(&w, h->expected.uuid, WIRE_UUID_BYTES);
	writer_raw(&w, h->cookie, COOKIE_BYTES);
	for (int i = 0; i < WIRE_STREAMS; i++)
		writer_u32(&w, h->window_bytes[i]);
	writer_u32(&w, h->datagram_bytes_max);
	writer_u32(&w, h->message_bytes_max);
	writer_raw(&w, noise, sizeof noise);
	must(!w.bad && w.bytes == HELLO_BYTES);
}

bool
hello_version(const struct datagram *d, uint32_t *version)
{
	struct reader r = reader_over(d->body, d->body_bytes);

	*version = reader_u32(&r);
	return !r.bad;
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
hello_decode(struct hello *h, const struct datagram *d)
{
	struct reader r = reader_over(d->body, d->body_bytes);
	uint8_t noise[HELLO_NOISE_BYTES];

	memset(h, 0, sizeof *h);
	memcpy(h->self.epoch, d->epoch, WIRE_EPOCH_BYTES);
	h->self.version = reader_u32(&r);
	get_expected(&r, &h->self);
	h->connection = reader_u32(&r);
	reader_raw(&r, h->self.uuid, WIRE_UUID_BYTES);
	h->self.process = reader_u64(&r);
	h->time_ns = reader_u64(&r);
	get_expected(&r, &h->expected);
	reader_raw(&r, h->expected.uuid, WIRE_UUID_BYTES);
	reader_raw(&r, h->cookie, COOKIE_BYTES);
	for (int i = 0; i < WIRE_STREAMS; i++)
		h->window_bytes[i] = reader_u32(&r);
	h->datagram_bytes_max = reader_u32(&r);
	h->message_bytes_max = reader_u32(&r);
	reader_raw(&r, noise, sizeof noise);
	if (!reader_done(&r) || !zeros(noise, sizeof noise))
		return false;
	return h->self.kind != WIRE_ANY && h->connection != 0 && h->datagram_bytes_max >= 512;
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
	default:
		r->bad = true;
	}
	return !r->bad;
}
