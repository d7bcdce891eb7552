/*
 * Rows of old results and places: writing them, finding them in the log, reading them
 * back. What they are and why stands in history.h.
 */
#include "base/must.h"
#include "node/internal.h"

#define ROWS_PER_STEP 4 /* of one series */

/* ---- the directory ---- */

static struct history_head *
head_of(const struct node *n, struct node_history *h, uint64_t row)
{
	return &h->head[row / n->config.history_links & (n->config.history_blocks - 1)];
}

/* The last block that has a row; its links are in memory. */
static bool
in_open_block(const struct node *n, const struct node_history *h, uint64_t row)
{
	return h->row_next > 0 &&
	       row / n->config.history_links == (h->row_next - 1) / n->config.history_links;
}

/* The row lies here from now on; those between it and the last one are lost. */
static void
row_written(const struct node *n, struct node_history *h, uint64_t row, struct history_link link)
{
	must(row >= h->row_next);
	if (!in_open_block(n, h, row))
		memset(h->link, 0, sizeof h->link);
	h->link[row % n->config.history_links] = link;
	if (link.lsn != 0)
		*head_of(n, h, row) = (struct history_head){.row = row + 1, .link = link};
	h->row_next = row + 1;
}

void
node_history_record(struct node *n, const struct frame *frame, const uint8_t *data)
{
	struct node_group *g = node_group_by_number(n, frame->group);
	struct history_link link = {.lsn = n->lsn_next, .bytes = frame->frame_bytes};
	struct history_row row;

	must(g);
	must(history_row_decode(&row, data + FRAME_HEADER_BYTES,
				frame->frame_bytes - FRAME_HEADER_BYTES));
	/* Of a log that was written with other sizes: as if it had none. */
	if (row.items != n->config.history_row || row.links != n->config.history_links)
		return;
	struct node_history *h = &g->history[row.series];
	if (row.row < h->row_next)
		return;
	row_written(n, h, row.row, link);
}

/* ---- writing ---- */

static bool
result_item(const struct node *n, const struct node_group *g, uint64_t index, struct writer *w)
{
	if (index <= g->dropped_index) {
		history_result_encode(&(struct node_result){0}, w); /* nobody asks for it */
		return true;
	}
	if (index < node_group_first_result(n, g))
		return false;
	history_result_encode(node_group_result(n, g, index), w);
	return true;
}

static bool
payload_item(const struct node *n, const struct node_group *g, uint64_t number, struct writer *w)
{
	const struct node_payload_place *p = node_payload_place(n, g, number);

	history_link_encode(p ? p->link : (struct history_link){0}, w);
	return true;
}

static bool
place_item(const struct node *n, const struct node_group *g, uint64_t slot, struct writer *w)
{
	history_link_encode(node_group_place(n, g, slot), w);
	return true;
}

/* False: it is not in memory any more. */
static bool
write_items(const struct node *n, const struct node_group *g, const struct history_row *row,
	    struct writer *w)
{
	static bool (*const item[])(const struct node *, const struct node_group *, uint64_t,
				    struct writer *) = {
		[HISTORY_RESULTS] = result_item,
		[HISTORY_PAYLOADS] = payload_item,
		[HISTORY_PLACES] = place_item,
	};
	uint8_t *data = w->data + w->bytes;
	uint8_t *offset = writer_take(w, (size_t)row->items * 4);

	must(offset);
	for (uint32_t i = 0; i < row->items; i++) {
		bytes_put_u32(offset + (size_t)i * 4, (uint32_t)(w->data + w->bytes - data));
		if (!item[row->series](n, g, row->row * row->items + i + 1, w))
			return false;
	}
	must(!w->bad);
	return true;
}

static void
write_row(struct node *n, struct node_group *g, uint8_t series)
{
	struct node_history *h = &g->history[series];
	struct writer w = writer_over(n->scratch + FRAME_HEADER_BYTES, n->config.value_bytes_max);
	struct history_row row = {.series = series,
				  .items = (uint16_t)n->config.history_row,
				  .links = (uint16_t)n->config.history_links,
				  .row = h->row_next};
	static const struct history_link none[HISTORY_LINKS_MAX];

	history_row_encode(&row, in_open_block(n, h, row.row) ? h->link : none, &w);
	if (!write_items(n, g, &row, &w)) {
		row_written(n, h, row.row, (struct history_link){0});
		return;
	}
	uint32_t bytes = FRAME_HEADER_BYTES + (uint32_t)w.bytes;
	node_log(n, n->scratch, bytes, NODE_RECORD_HISTORY, g->number);
	row_written(n, h, row.row, (struct history_link){.lsn = n->lsn_next, .bytes = bytes});
}

/* What a state image covers is in no row. */
void
node_history_skip(const struct node *n, struct node_group *g)
{
	const uint64_t known[HISTORY_SERIES] = {
		[HISTORY_RESULTS] = g->dropped_index,
		[HISTORY_PAYLOADS] = g->payload_count,
		[HISTORY_PLACES] = g->dropped_slot,
	};

	g->history_known = 0;
	for (uint32_t i = 0; n->config.history_row > 0 && i < HISTORY_SERIES; i++) {
		uint64_t rows = known[i] / n->config.history_row;

		if (rows > g->history[i].row_next)
			row_written(n, &g->history[i], rows - 1, (struct history_link){0});
	}
}

/* How far a series goes in memory: the last item that will not change any more. */
static uint64_t
known_through(const struct node_group *g, uint8_t series)
{
	if (series == HISTORY_PLACES)
		return g->delivered_slot;
	if (!g->state)
		return 0;
	return series == HISTORY_RESULTS ? group_applied(g->state) : g->payload_through;
}

/* None of them ever falls: an equal sum is three equal numbers. */
static uint64_t
make_sure(struct node_group *g)
{
	uint64_t sum = 0;

	/* Twice: the second takes what is delivered by now, if a record says so already. */
	for (int k = 0; k < 2 && paxos_delivered_logged(g->replica) >= g->sure_next.slot; k++) {
		g->sure = g->sure_next;
		g->sure_next.slot = g->delivered_slot;
		for (uint8_t i = 0; i < HISTORY_SERIES; i++)
			g->sure_next.known[i] = known_through(g, i);
	}
	for (uint8_t i = 0; i < HISTORY_SERIES; i++)
		sum += g->sure.known[i];
	return sum;
}

bool
node_history_write(struct node *n, struct node_group *g)
{
	uint32_t items = n->config.history_row;
	bool more = false, wrote = false;

	if (items == 0 || n->log_failed || node_group_loads(g))
		return false;
	uint64_t known = make_sure(g);
	if (known == g->history_known)
		return false;
	for (uint8_t series = 0; series < HISTORY_SERIES; series++) {
		const struct node_history *h = &g->history[series];
		uint64_t through = g->sure.known[series];

		for (uint32_t i = 0; i < ROWS_PER_STEP && through >= (h->row_next + 1) * items;
		     i++) {
			write_row(n, g, series);
			wrote = true;
		}
		more = more || through >= (h->row_next + 1) * items;
	}
	if (!more)
		g->history_known = known;
	return wrote;
}

/* Would the next result overwrite one that is not in the log yet? */
bool
node_history_full(const struct node *n, const struct node_group *g)
{
	uint64_t written = g->history[HISTORY_RESULTS].row_next * n->config.history_row;

	return n->started && !n->log_failed && n->config.history_row > 0 &&
	       group_applied(g->state) >= written + n->config.results_max;
}

/* ---- reading ---- */

void
node_cursor_open(struct node_cursor *c, const struct node_cursor *as)
{
	*c = *as;
	c->handle = PAXOS_NO_VALUE;
}

static bool
is_of(const struct node_read *read, const struct node_cursor *c)
{
	return read->lsn != 0 && read->purpose == (enum read_purpose)c->purpose &&
	       read->series == c->series && read->session == c->session &&
	       read->voter == c->voter && read->group == c->group;
}

void
node_cursor_forget(struct node *n, struct node_cursor *c)
{
	for (uint32_t i = 0; i < NODE_READS_MAX && c->reading; i++)
		if (is_of(&n->read[i], c))
			n->read[i].purpose = READ_FOR_NOBODY; /* its answer still comes */
	if (c->handle != PAXOS_NO_VALUE)
		pool_release(n->pool, c->handle);
	c->handle = PAXOS_NO_VALUE;
	c->reading = false;
	c->have = 0;
	c->unreadable = 0;
	c->block = 0;
	c->link_count = 0;
}

/* Where to read next for this row: the row itself, or the head of its block. */
static struct history_link
way_to(const struct node *n, struct node_history *h, const struct node_cursor *c, uint64_t row)
{
	uint64_t block = row / n->config.history_links;
	uint32_t at = (uint32_t)(row % n->config.history_links);
	const struct history_head *head = head_of(n, h, row);

	if (in_open_block(n, h, row))
		return h->link[at];
	if (c->block == block + 1 && at < c->link_count)
		return c->link[at];
	if (head->row <= row || (head->row - 1) / n->config.history_links != block)
		return (struct history_link){0};
	return head->link;
}

static void
take_links(struct node_cursor *c, const struct history_row *row)
{
	uint64_t block = row->row / row->links;

	if (c->block == block + 1 && c->link_count >= history_links(row))
		return;
	c->block = block + 1;
	c->link_count = history_links(row);
	for (uint32_t i = 0; i < c->link_count; i++)
		c->link[i] = history_row_link(row, i);
}

static enum history_answer
read_begin(struct node *n, struct node_cursor *c, uint64_t row, struct history_link link)
{
	struct node_read read = {.purpose = (enum read_purpose)c->purpose,
				 .series = c->series,
				 .group = c->group,
				 .lsn = link.lsn,
				 .session = c->session,
				 .voter = c->voter};

	if (link.lsn <= n->lsn_first || c->unreadable == row + 1)
		return HISTORY_LOST;
	if (link.lsn > n->lsn_durable || n->reads_open == NODE_READS_MAX)
		return HISTORY_WAIT;
	/* However many read rows, the rest of the pool is for what is decided meanwhile. */
	bool scarce = n->pool->free_count <= n->pool->object_count / 8;
	if (c->handle == PAXOS_NO_VALUE && (scarce || !pool_take(n->pool, &c->handle)))
		return HISTORY_WAIT;
	c->have = 0;
	c->wanted = row + 1;
	c->reading = node_read_begin(n, &read, link.bytes);
	must(c->reading);
	return HISTORY_WAIT;
}

bool
node_cursor_has(const struct node *n, const struct node_group *g, const struct node_cursor *c,
		uint64_t item)
{
	return c->group == g->number && c->have == (item - 1) / n->config.history_row + 1;
}

/* An image came instead of it: what is not in a row by then never will be, and who waited for
 * that row would wait until so many more have come. */
static bool
is_skipped(const struct node_group *g, uint8_t series, uint64_t item)
{
	const uint64_t skipped[HISTORY_SERIES] = {
		[HISTORY_RESULTS] = g->dropped_index,
		[HISTORY_PAYLOADS] = g->dropped_payload,
		[HISTORY_PLACES] = g->dropped_slot,
	};

	return item <= skipped[series];
}

/* Item `item` of the cursor's series, counted from 1, to be decoded by the caller. */
static enum history_answer
cursor_item(struct node *n, struct node_group *g, struct node_cursor *c, uint64_t item,
	    struct reader *r)
{
	struct node_history *h = &g->history[c->series];

	must(item > 0);
	if (n->config.history_row == 0)
		return HISTORY_LOST;
	uint64_t row = (item - 1) / n->config.history_row;
	if (c->group != g->number) {
		node_cursor_forget(n, c);
		c->group = g->number;
	}
	if (c->reading)
		return HISTORY_WAIT;
	if (row >= h->row_next)
		return n->log_failed || is_skipped(g, c->series, item) ? HISTORY_LOST
								       : HISTORY_WAIT;
	if (c->have != row + 1)
		return read_begin(n, c, row, way_to(n, h, c, row));

	struct history_row in_hand;
	must(history_row_decode(&in_hand, (uint8_t *)pool_at(n->pool, c->handle) + NODE_HEAD_BYTES,
				c->bytes));
	*r = history_row_item(&in_hand, (uint32_t)((item - 1) % n->config.history_row));
	return HISTORY_HERE;
}

enum history_answer
node_cursor_result(struct node *n, struct node_group *g, struct node_cursor *c, uint64_t index,
		   struct node_result *result)
{
	struct reader r;

	must(c->series == HISTORY_RESULTS);
	if (index >= node_group_first_result(n, g)) {
		*result = *node_group_result(n, g, index);
		return HISTORY_HERE;
	}
	if (index <= g->dropped_index)
		return HISTORY_LOST;
	enum history_answer answer = cursor_item(n, g, c, index, &r);
	if (answer != HISTORY_HERE)
		return answer;
	return history_result_decode(result, &r) ? HISTORY_HERE : HISTORY_LOST;
}

/* Of PAYLOADS and PLACES. */
enum history_answer
node_cursor_link(struct node *n, struct node_group *g, struct node_cursor *c, uint64_t item,
		 struct history_link *link)
{
	struct reader r;
	enum history_answer answer = cursor_item(n, g, c, item, &r);

	if (answer != HISTORY_HERE)
		return answer;
	return history_link_decode(link, &r) && link->lsn != 0 ? HISTORY_HERE : HISTORY_LOST;
}

static struct node_cursor *
cursor_of(struct node *n, const struct node_read *read)
{
	switch (read->purpose) {
	case READ_ROW_FOR_FEED:
		return read->series == HISTORY_RESULTS ? &n->session[read->session].results
						       : &n->session[read->session].payloads;
	case READ_ROW_FOR_SEARCH:
		return &n->search.cursor;
	case READ_ROW_FOR_NODE:
		return &n->serving[read->voter].cursor;
	default:
		must(read->purpose == READ_ROW_FOR_VOTER);
		return &node_group_by_number(n, read->group)->behind[read->voter].cursor;
	}
}

/* A row that cannot be read is lost: to ask again at once would be to ask for ever. */
void
node_cursor_read(struct node *n, const struct node_read *read, const uint8_t *body, uint32_t bytes)
{
	struct node_cursor *c = cursor_of(n, read);
	struct history_row row;

	must(c->reading);
	c->reading = false;
	c->unreadable = c->wanted;
	if (!body || bytes > n->config.value_bytes_max || !history_row_decode(&row, body, bytes) ||
	    row.series != c->series || row.items != n->config.history_row ||
	    row.links != n->config.history_links)
		return;
	must(c->handle != PAXOS_NO_VALUE);
	c->unreadable = 0;
	memcpy((uint8_t *)pool_at(n->pool, c->handle) + NODE_HEAD_BYTES, body, bytes);
	c->bytes = bytes;
	c->have = row.row + 1;
	take_links(c, &row);
}

/* ---- nodes that lack old slots ---- */

void
node_history_behind(struct node_group *g, uint8_t voter, uint64_t slot)
{
	struct node_behind *b = &g->behind[voter];

	must(b->count < NODE_BEHIND_MAX);
	b->slot[(b->first + b->count) % NODE_BEHIND_MAX] = slot;
	b->count++;
	g->behind_voters |= 1u << voter;
}

static void
not_found(struct node *n, struct node_group *g, uint8_t voter, uint64_t slot)
{
	node_group_paxos(n, g,
			 &(struct paxos_input){
				 .kind = PAXOS_IN_READ_DONE,
				 .from = voter,
				 .slot = slot,
				 .value = {.handle = PAXOS_NO_VALUE},
			 });
}

/* Begins to read what a voter lacks, or says that it is not here: each of its reads is
 * answered once. False: not now. */
static bool
serve_voter(struct node *n, struct node_group *g, uint8_t voter, uint64_t slot)
{
	struct history_link link = node_group_place(n, g, slot);
	struct node_read read = {
		.purpose = READ_VALUE_FOR_VOTER, .group = g->number, .slot = slot, .voter = voter};
	enum history_answer answer = HISTORY_HERE;

	if (link.lsn == 0 && slot <= g->dropped_slot)
		answer = HISTORY_LOST;
	else if (link.lsn == 0)
		answer = node_cursor_link(n, g, &g->behind[voter].cursor, slot, &link);
	if (answer == HISTORY_HERE && link.lsn <= n->lsn_first)
		answer = HISTORY_LOST;
	if (answer == HISTORY_LOST) {
		not_found(n, g, voter, slot);
		node_image_offer(n, g, voter);
	}
	if (answer != HISTORY_HERE)
		return answer == HISTORY_LOST;
	read.lsn = link.lsn;
	return link.lsn <= n->lsn_durable && node_read_begin(n, &read, link.bytes);
}

void
node_history_serve(struct node *n, struct node_group *g)
{
	for (uint8_t i = 0; g->behind_voters >> i != 0; i++) {
		struct node_behind *b = &g->behind[i];

		for (uint32_t k = 0; k < NODE_BEHIND_MAX && b->count > 0; k++) {
			if (!serve_voter(n, g, i, b->slot[b->first]))
				break;
			b->first = (b->first + 1) % NODE_BEHIND_MAX;
			b->count--;
		}
		if (b->count == 0) {
			g->behind_voters &= ~(1u << i);
			node_cursor_forget(n, &b->cursor);
		}
	}
}
