#include "node/spread.h"

#include "base/must.h"
#include "certify/entry.h"

static bool
payload_valid(uint64_t total, uint32_t chunk_bytes)
{
	return total > 0 && chunk_bytes >= ENTRY_CHUNK_BYTES_MIN &&
	       chunk_bytes <= ENTRY_CHUNK_BYTES_MAX &&
	       (total - 1) / chunk_bytes < SPREAD_CHUNKS_MAX;
}

void
spread_chunk_encode(const struct spread_chunk *c, struct writer *w)
{
	must(c->bytes > 0 && c->bytes <= c->chunk_bytes);
	writer_u64(w, c->incarnation);
	writer_u64(w, c->offer);
	writer_u64(w, c->index);
	writer_u64(w, c->total);
	writer_u64(w, c->offset);
	writer_u32(w, c->chunk_bytes);
	writer_u32(w, 0);
	writer_raw(w, c->data, c->bytes);
}

bool
spread_chunk_decode(struct spread_chunk *c, const uint8_t *body, uint32_t bytes)
{
	struct reader r = reader_over(body, bytes);

	c->incarnation = reader_u64(&r);
	c->offer = reader_u64(&r);
	c->index = reader_u64(&r);
	c->total = reader_u64(&r);
	c->offset = reader_u64(&r);
	c->chunk_bytes = reader_u32(&r);
	if (reader_u32(&r) != 0 || r.bad || !payload_valid(c->total, c->chunk_bytes))
		return false;
	c->bytes = (uint32_t)r.bytes;
	c->data = r.data;
	return c->offset < c->total && c->offset % c->chunk_bytes == 0 &&
	       c->bytes == spread_chunk_at(c->total, c->chunk_bytes, c->offset);
}

void
spread_settled_encode(const struct spread_settled *s, struct writer *w)
{
	writer_u64(w, s->incarnation);
	writer_u64(w, s->offer);
	writer_u64(w, s->index);
	writer_u64(w, s->number);
	writer_u64(w, s->total);
	writer_u32(w, s->chunk_bytes);
	writer_u32(w, s->count);
	writer_raw(w, s->lsn, (size_t)s->count * 8);
}

bool
spread_settled_decode(struct spread_settled *s, const uint8_t *body, uint32_t bytes)
{
	struct reader r = reader_over(body, bytes);

	s->incarnation = reader_u64(&r);
	s->offer = reader_u64(&r);
	s->index = reader_u64(&r);
	s->number = reader_u64(&r);
	s->total = reader_u64(&r);
	s->chunk_bytes = reader_u32(&r);
	s->count = reader_u32(&r);
	if (r.bad || (s->index == 0) != (s->number == 0) ||
	    !payload_valid(s->total, s->chunk_bytes))
		return false;
	uint32_t count = s->index == 0 ? 0 : spread_chunk_count(s->total, s->chunk_bytes);
	s->lsn = reader_take(&r, (size_t)count * 8);
	return s->count == count && reader_done(&r);
}
