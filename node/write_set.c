/*
 * Write sets that were spread, read back to be certified: chunk after chunk from the own
 * log, twice, as certify/group.h asks for them. Memory holds one chunk per group.
 *
 * The entry waits until its payload is here, whole and on disk: every node that lacks it
 * fetches it from those who hold it, because the verdict, unlike the feed, cannot go on
 * without. That the digest is right is known before the first hash is looked at, so all
 * nodes certify the same bytes. Behind a restart the chunks may have been settled before
 * this process learns the entry again: then their record says where they are.
 */
#include "base/must.h"
#include "node/internal.h"

static void
read_begin(struct node *n, struct node_group *g, struct node_read read, uint32_t bytes)
{
	if (read.lsn > n->lsn_durable)
		return;
	read.group = g->number;
	read.index = g->write_set.index;
	g->write_set.reading = node_read_begin(n, &read, bytes);
}

/* From the record that says where the chunks are. */
static void
read_listed(struct node *n, struct node_group *g, const struct node_payload_place *place,
	    struct node_read read, const struct entry_spread *spread)
{
	const struct node_write_set *w = &g->write_set;
	uint32_t chunk = (uint32_t)(read.offset / spread->chunk_bytes);

	if (chunk < w->list_first || chunk - w->list_first >= w->list_count) {
		read.purpose = READ_LIST_FOR_APPLY;
		read.lsn = place->link.lsn;
		read_begin(n, g, read, place->link.bytes);
		return;
	}
	read.lsn = w->list[chunk - w->list_first];
	read_begin(n, g, read,
		   spread_chunk_record_bytes(
			   spread_chunk_at(spread->bytes, spread->chunk_bytes, read.offset)));
}

static void
read_next(struct node *n, struct node_group *g, uint64_t offset, const struct entry_spread *spread)
{
	const struct node_payload_place *place = node_payload_place(n, g, g->payload_count + 1);
	struct node_read read = {.purpose = READ_CHUNK_FOR_APPLY, .offset = offset};
	const struct node_payload *p;

	if (place && place->link.lsn != 0) {
		read_listed(n, g, place, read, spread);
		return;
	}
	p = node_payload_need(n, g, &g->entry.submit);
	if (!p)
		return;
	read.lsn = p->lsn[offset / p->chunk_bytes];
	read_begin(n, g, read,
		   spread_chunk_record_bytes(spread_chunk_at(p->total, p->chunk_bytes, offset)));
}

bool
node_write_set_give(struct node *n, struct node_group *g)
{
	struct node_write_set *w = &g->write_set;
	uint64_t offset = (uint64_t)group_hashes_next(g->state) * ENTRY_HASH_BYTES;
	struct entry_spread spread;

	must(entry_spread_decode(&spread, g->entry.submit.payload, g->entry.submit.payload_bytes));
	must(offset % spread.chunk_bytes == 0);
	if (w->index != group_applied(g->state) + 1)
		*w = (struct node_write_set){.index = group_applied(g->state) + 1,
					     .chunk = w->chunk};
	w->waiting = w->bytes == 0 || w->offset != offset;
	if (!w->waiting) {
		group_hashes(g->state, w->chunk, w->bytes / ENTRY_HASH_BYTES);
		return true;
	}
	if (!w->reading)
		read_next(n, g, offset, &spread);
	return false;
}

static void
take_list(struct node_write_set *w, uint64_t offset, const struct spread_settled *list)
{
	w->list_first = (uint32_t)(offset / list->chunk_bytes);
	w->list_count = 0;
	while (w->list_count < NODE_LIST_WINDOW && w->list_first + w->list_count < list->count) {
		w->list[w->list_count] = spread_settled_lsn(list, w->list_first + w->list_count);
		w->list_count++;
	}
}

/* What the log cannot give back is forgotten, and fetched from another node. */
static void
lost(struct node *n, struct node_group *g)
{
	struct entry_spread spread;

	must(entry_spread_decode(&spread, g->entry.submit.payload, g->entry.submit.payload_bytes));
	struct node_payload *p = node_payload_find(n, g, g->entry.submit.incarnation, spread.offer);
	g->write_set.lost = true;
	node_payload_unplace(n, g, g->payload_count + 1);
	if (p)
		p->gone = true;
}

void
node_write_set_read(struct node *n, const struct node_read *read, const uint8_t *body,
		    uint32_t bytes)
{
	struct node_group *g = node_group_by_number(n, read->group);
	struct node_write_set *w = &g->write_set;
	struct spread_settled list;
	struct entry_spread spread;
	struct spread_chunk c;

	must(w->index == read->index);
	must(w->reading);
	must(w->waiting);
	w->reading = false;
	must(entry_spread_decode(&spread, g->entry.submit.payload, g->entry.submit.payload_bytes));
	if (read->purpose == READ_LIST_FOR_APPLY) {
		if (body && spread_settled_decode(&list, body, bytes) &&
		    list.index == read->index && list.total == spread.bytes &&
		    list.chunk_bytes == spread.chunk_bytes)
			take_list(w, read->offset, &list);
		else
			lost(n, g);
		return;
	}
	if (!body || !spread_chunk_decode(&c, body, bytes) || c.offset != read->offset ||
	    c.total != spread.bytes || c.chunk_bytes != spread.chunk_bytes ||
	    c.bytes > n->config.value_bytes_max) {
		lost(n, g);
		return;
	}
	uint64_t hashes = (uint64_t)spread.hash_count * ENTRY_HASH_BYTES - c.offset;
	w->offset = c.offset;
	w->bytes = hashes < c.bytes ? (uint32_t)hashes : c.bytes;
	memcpy(w->chunk, c.data, w->bytes);
}
