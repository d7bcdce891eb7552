#include "mysqlshim/payload.h"

#include "base/bytes.h"
#include "base/must.h"

#define PAYLOAD_VERSION    1
#define EVENT_GTID         33
#define EVENT_TIME_AT      0 /* in the common header */
#define EVENT_SERVER_ID_AT 5
#define EVENT_SIZE_AT      9
#define LOGICAL_CLOCK      2 /* "the two numbers below are there" */
#define COMMIT_TIME_BYTES  7
#define ORIGINAL_TIME_BIT  (UINT64_C(1) << 55) /* another time follows */
#define ORIGINAL_VERSION   (UINT32_C(1) << 31) /* another version follows */

/* How the protocol packs a length: one byte up to 250, else a mark and 2, 3 or 8. */
#define PACKED_1_MAX 250
#define PACKED_2     252
#define PACKED_3     253
#define PACKED_8     254

void
payload_head(const struct payload *p, uint8_t head[PAYLOAD_HEAD_BYTES])
{
	struct writer w = writer_over(head, PAYLOAD_HEAD_BYTES);

	writer_u8(&w, PAYLOAD_VERSION);
	writer_u8(&w, p->flags);
	writer_u16(&w, 0);
	writer_u32(&w, p->original_version);
	writer_u32(&w, p->immediate_version);
	writer_u64(&w, p->original_commit_us);
	writer_u64(&w, p->immediate_commit_us);
	must(!w.bad);
	must(w.bytes == PAYLOAD_HEAD_BYTES);
}

bool
payload_decode(struct payload *p, const uint8_t *data, size_t bytes)
{
	struct reader r = reader_over(data, bytes);
	uint8_t version = reader_u8(&r);

	p->flags = reader_u8(&r);
	uint16_t zero = reader_u16(&r);
	p->original_version = reader_u32(&r);
	p->immediate_version = reader_u32(&r);
	p->original_commit_us = reader_u64(&r);
	p->immediate_commit_us = reader_u64(&r);
	p->events = r.data;
	p->events_bytes = r.bytes;
	return !r.bad && version == PAYLOAD_VERSION && zero == 0 && r.bytes > 0;
}

static uint32_t
get_u32(const uint8_t *data)
{
	return data[0] | (uint32_t)data[1] << 8 | (uint32_t)data[2] << 16 | (uint32_t)data[3] << 24;
}

size_t
event_bytes(const uint8_t *data, size_t bytes)
{
	if (bytes < EVENT_HEAD_BYTES)
		return 0;
	size_t all = get_u32(data + EVENT_SIZE_AT);
	return all >= EVENT_HEAD_BYTES && all <= bytes ? all : 0;
}

uint32_t
event_server_id(const uint8_t *data)
{
	return get_u32(data + EVENT_SERVER_ID_AT);
}

uint32_t
event_time_s(const uint8_t *data)
{
	return get_u32(data + EVENT_TIME_AT);
}

static void
put(struct writer *w, uint64_t value, uint32_t bytes)
{
	for (uint32_t i = 0; i < bytes; i++)
		writer_u8(w, (uint8_t)(value >> (8 * i)));
}

static void
put_packed(struct writer *w, uint64_t value)
{
	if (value <= PACKED_1_MAX) {
		put(w, value, 1);
	} else if (value <= UINT16_MAX) {
		put(w, PACKED_2, 1);
		put(w, value, 2);
	} else if (value < UINT32_C(1) << 24) {
		put(w, PACKED_3, 1);
		put(w, value, 3);
	} else {
		put(w, PACKED_8, 1);
		put(w, value, 8);
	}
}

static uint64_t
packed_bytes(uint64_t value)
{
	if (value <= PACKED_1_MAX)
		return 1;
	if (value <= UINT16_MAX)
		return 3;
	return value < UINT32_C(1) << 24 ? 4 : 9;
}

/* All after the common header, up to and with the commit times. */
static void
put_body(struct writer *w, const struct gtid_event *e)
{
	const struct payload *p = e->payload;
	bool two_times = p->original_commit_us != p->immediate_commit_us;

	put(w, p->flags & PAYLOAD_STATEMENTS ? 1 : 0, 1);
	for (int i = 0; i < UUID_BYTES; i++)
		writer_u8(w, e->gtid->source.uuid[i]);
	put(w, e->gtid->gno, 8);
	put(w, LOGICAL_CLOCK, 1);
	put(w, (uint64_t)e->last_committed, 8);
	put(w, (uint64_t)e->sequence_number, 8);
	put(w, p->immediate_commit_us | (two_times ? ORIGINAL_TIME_BIT : 0), COMMIT_TIME_BYTES);
	if (two_times)
		put(w, p->original_commit_us, COMMIT_TIME_BYTES);
}

static void
put_versions(struct writer *w, const struct gtid_event *e)
{
	const struct payload *p = e->payload;
	bool two = p->original_version != p->immediate_version;

	put(w, p->immediate_version | (two ? ORIGINAL_VERSION : 0), 4);
	if (two)
		put(w, p->original_version, 4);
	if (e->ticket != 0)
		put(w, e->ticket, 8);
}

size_t
gtid_event_encode(const struct gtid_event *e, uint8_t out[GTID_EVENT_BYTES_MAX])
{
	struct writer w = writer_over(out, GTID_EVENT_BYTES_MAX);
	uint64_t tail = 4 +
			(e->payload->original_version != e->payload->immediate_version ? 4 : 0) +
			(e->ticket != 0 ? 8 : 0);

	must(e->gtid->source.tag_bytes == 0);
	must(e->gtid->gno > 0);
	put(&w, e->time_s, 4);
	put(&w, EVENT_GTID, 1);
	put(&w, e->server_id, 4);
	put(&w, 0, 4); /* the size, below */
	put(&w, 0, 4); /* position: a relay log finds its own */
	put(&w, 0, 2);
	must(w.bytes == EVENT_HEAD_BYTES);
	put_body(&w, e);

	/* The transaction's length counts this event too, whose own length
	 * depends on how many bytes that number takes: one more turn settles it,
	 * since one step up in size adds less than the next step needs. */
	uint64_t rest = w.bytes + tail + e->payload->events_bytes;
	uint64_t length = rest + packed_bytes(rest);
	length = rest + packed_bytes(length);
	put_packed(&w, length);
	put_versions(&w, e);
	must(!w.bad);
	must(length == w.bytes + e->payload->events_bytes);
	bytes_put_u32(out + EVENT_SIZE_AT, (uint32_t)w.bytes);
	return w.bytes;
}
