/* The bytes of rows: see history.h. */
#include "base/must.h"
#include "node/internal.h"

enum item_flag {
	ITEM_SPREAD = 0x80, /* in the byte of the kind */
};

void
history_row_encode(const struct history_row *row, const struct history_link *link, struct writer *w)
{
	must(row->series < HISTORY_SERIES);
	must(row->links > 0 && row->links <= HISTORY_LINKS_MAX);
	writer_u8(w, row->series);
	writer_u8(w, 0);
	writer_u16(w, row->items);
	writer_u16(w, row->links);
	writer_u16(w, 0);
	writer_u64(w, row->row);
	writer_u32(w, 0);
	for (uint32_t i = 0; i < history_links(row); i++)
		history_link_encode(link[i], w);
}

bool
history_row_decode(struct history_row *row, const uint8_t *body, uint32_t bytes)
{
	struct reader r = reader_over(body, bytes);

	row->series = reader_u8(&r);
	uint8_t zero = reader_u8(&r);
	row->items = reader_u16(&r);
	row->links = reader_u16(&r);
	uint16_t more_zeros = reader_u16(&r);
	row->row = reader_u64(&r);
	if (reader_u32(&r) != 0 || zero != 0 || more_zeros != 0 || r.bad ||
	    row->series >= HISTORY_SERIES || row->links == 0 || row->links > HISTORY_LINKS_MAX)
		return false;
	row->link = reader_take(&r, (size_t)history_links(row) * HISTORY_LINK_BYTES);
	row->data = r.data;
	row->bytes = (uint32_t)r.bytes;
	return !r.bad && r.bytes / 4 >= row->items;
}

struct history_link
history_row_link(const struct history_row *row, uint32_t i)
{
	must(i < history_links(row));
	struct reader r =
		reader_over(row->link + (size_t)i * HISTORY_LINK_BYTES, HISTORY_LINK_BYTES);
	struct history_link link;
	must(history_link_decode(&link, &r));
	return link;
}

struct reader
history_row_item(const struct history_row *row, uint32_t i)
{
	struct reader r = reader_over(row->data, row->bytes);

	must(i < row->items);
	(void)reader_take(&r, bytes_get_u32(row->data + (size_t)i * 4));
	return r;
}

void
history_link_encode(struct history_link link, struct writer *w)
{
	writer_u64(w, link.lsn);
	writer_u32(w, link.bytes);
}

bool
history_link_decode(struct history_link *link, struct reader *r)
{
	link->lsn = reader_u64(r);
	link->bytes = reader_u32(r);
	return !r->bad;
}

void
history_result_encode(const struct node_result *result, struct writer *w)
{
	bool spread = result->spread.bytes > 0;

	writer_u8(w, result->kind | (spread ? ITEM_SPREAD : 0));
	if (result->kind == RESULT_NOTHING || result->kind == RESULT_VIEW)
		return;
	writer_u64(w, result->incarnation);
	if (result->kind == RESULT_OUTCOME)
		return;
	writer_u64(w, result->dependency);
	writer_u32(w, result->flags);
	protocol_write_gtid(w, &result->gtid);
	writer_u64(w, result->slot);
	history_link_encode(result->place, w);
	if (!spread) {
		writer_u32(w, result->offset);
		writer_u32(w, result->bytes);
		return;
	}
	writer_u64(w, result->spread.offer);
	writer_u64(w, result->payload);
	writer_u64(w, result->spread.bytes);
	writer_u64(w, result->spread.digest);
	writer_u32(w, result->spread.chunk_bytes);
	writer_u32(w, result->spread.holders);
	writer_u32(w, result->spread.hash_count);
}

bool
history_result_decode(struct node_result *result, struct reader *r)
{
	uint8_t kind = reader_u8(r);

	*result = (struct node_result){.kind = kind & (uint8_t)~ITEM_SPREAD};
	if (r->bad || result->kind > RESULT_VIEW)
		return false;
	if (result->kind == RESULT_NOTHING || result->kind == RESULT_VIEW)
		return true;
	result->incarnation = reader_u64(r);
	if (result->kind == RESULT_OUTCOME)
		return !r->bad;
	result->dependency = reader_u64(r);
	result->flags = reader_u32(r);
	protocol_read_gtid(r, &result->gtid);
	result->slot = reader_u64(r);
	if (!history_link_decode(&result->place, r))
		return false;
	if (!(kind & ITEM_SPREAD)) {
		result->offset = reader_u32(r);
		result->bytes = reader_u32(r);
		return !r->bad;
	}
	result->spread.offer = reader_u64(r);
	result->payload = reader_u64(r);
	result->spread.bytes = reader_u64(r);
	result->spread.digest = reader_u64(r);
	result->spread.chunk_bytes = reader_u32(r);
	result->spread.holders = reader_u32(r);
	result->spread.hash_count = reader_u32(r);
	return !r->bad && result->spread.chunk_bytes > 0;
}
