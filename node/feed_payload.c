/*
 * Feeding a payload that was spread: piece by piece, a chunk each, read back from the
 * log. One read is on its way per member: first the record that says where the chunks
 * are, of which a window is kept, then chunk after chunk.
 */
#include "base/must.h"
#include "node/internal.h"

static void
read_begin(struct node *n, struct node_group *g, int session, struct node_read read, uint32_t bytes)
{
	struct node_session *s = &n->session[session];

	if (read.lsn > n->lsn_durable)
		return;
	read.group = g->number;
	read.session = session;
	s->piece_reading = node_read_begin(n, &read, bytes);
}

/* The next piece's bytes, or NULL: not now. */
static const uint8_t *
piece(struct node *n, struct node_group *g, int session, const struct node_result *r,
      struct history_link list)
{
	struct node_session *s = &n->session[session];
	uint32_t chunk = (uint32_t)(s->piece_offset / r->spread.chunk_bytes);
	uint32_t bytes = spread_chunk_at(r->spread.bytes, r->spread.chunk_bytes, s->piece_offset);
	struct node_read read = {.index = s->piece_index, .offset = s->piece_offset};

	if (s->piece_reading)
		return NULL;
	if (s->piece_read == s->piece_offset + 1)
		return (uint8_t *)pool_at(n->pool, s->piece_handle) + NODE_HEAD_BYTES;
	if (chunk >= s->list_first && chunk - s->list_first < s->list_count) {
		if (s->piece_handle == PAXOS_NO_VALUE && !pool_take(n->pool, &s->piece_handle))
			return NULL;
		s->piece_read = 0; /* what it held is overwritten */
		read.purpose = READ_CHUNK_FOR_FEED;
		read.lsn = s->list[chunk - s->list_first];
		read_begin(n, g, session, read, spread_chunk_record_bytes(bytes));
		return NULL;
	}
	read.purpose = READ_LIST_FOR_FEED;
	read.lsn = list.lsn;
	read_begin(n, g, session, read, list.bytes);
	return NULL;
}

static bool
say_piece(struct node *n, struct node_group *g, int session, const struct node_result *r,
	  const uint8_t *data)
{
	struct node_session *s = &n->session[session];
	struct writer w = writer_over(n->scratch, FRAME_BYTES_MAX);
	uint64_t front = (uint64_t)r->spread.hash_count * ENTRY_HASH_BYTES;
	uint32_t skip = s->piece_offset < front ? (uint32_t)(front - s->piece_offset) : 0;
	uint32_t chunk = spread_chunk_at(r->spread.bytes, r->spread.chunk_bytes, s->piece_offset);
	struct protocol_message m = {
		.kind = PROTOCOL_PIECE,
		.group = g->number,
		.incarnation = r->incarnation,
		.index = s->piece_index,
		.previous = s->feed_previous,
		.own = s->feed_own,
		.dependency = r->dependency,
		.flags = r->flags,
		.gtid = r->gtid,
		.sequence = s->piece_offset + skip - front,
		.mark = r->spread.bytes - front,
		.data = data + skip,
		.bytes = chunk - skip,
	};
	uint32_t bytes = protocol_encode(&m, n->config.epoch, &w);

	must(bytes > 0);
	if (!wire_send(n->wire, session, WIRE_FEED,
		       &(struct wire_slice){.data = n->scratch, .bytes = bytes}, 1, 0))
		return false;
	s->piece_offset += chunk;
	s->piece_sent_ns = n->now_ns;
	s->piece_rest_ns = 0;
	return true;
}

/* Where the chunk begins that the payload begins in: members need no write set. */
static uint64_t
first_chunk(const struct entry_spread *spread)
{
	uint64_t front = (uint64_t)spread->hash_count * ENTRY_HASH_BYTES;

	return front - front % spread->chunk_bytes;
}

/* Where the record lies that says where the chunks are. While this node fetches the
 * payload from another one, its feed waits. */
static enum history_answer
list_of(struct node *n, struct node_group *g, int session, uint64_t number,
	struct history_link *link)
{
	const struct node_payload_place *place = node_payload_place(n, g, number);

	if (!place)
		return node_cursor_link(n, g, &n->session[session].payloads, number, link);
	if (!node_payload_want(n, g, number))
		return HISTORY_WAIT;
	*link = place->link;
	return HISTORY_HERE;
}

/* While small ones come a piece leaves when the one before is there, and as long again has
 * passed: a verdict that goes another way queues behind pieces nevertheless, in the kernel, and
 * who takes them in has its share of the processor that the small ones need. */
static bool
gives_way(struct node *n, int session)
{
	struct node_session *s = &n->session[session];

	if (!node_yields(n) || s->piece_sent_ns == 0)
		return false;
	if (!wire_is_idle(n->wire, session, WIRE_FEED))
		return true;
	if (s->piece_rest_ns == 0)
		s->piece_rest_ns = node_rest_ns(n, s->piece_sent_ns);
	if (n->now_ns >= s->piece_rest_ns)
		return false;
	if (n->feed_ns > s->piece_rest_ns)
		n->feed_ns = s->piece_rest_ns;
	return true;
}

/* Sends what it can of an accepted payload. HERE: all of it was sent. */
enum history_answer
node_feed_payload(struct node *n, struct node_group *g, int session, const struct node_result *r)
{
	struct node_session *s = &n->session[session];
	struct history_link list;

	if (s->piece_index != s->feed_next) {
		s->piece_index = s->feed_next;
		s->piece_offset = first_chunk(&r->spread);
		s->piece_read = 0;
		s->list_count = 0;
	}
	enum history_answer answer = list_of(n, g, session, r->payload, &list);
	if (answer == HISTORY_HERE && list.lsn <= n->lsn_first)
		return HISTORY_LOST;
	if (answer != HISTORY_HERE)
		return answer;
	for (uint32_t i = 0; i < NODE_FEED_BURST && s->piece_offset < r->spread.bytes; i++) {
		const uint8_t *data = piece(n, g, session, r, list);

		if (!data || gives_way(n, session) || !say_piece(n, g, session, r, data))
			return HISTORY_WAIT;
	}
	if (s->piece_offset < r->spread.bytes)
		return HISTORY_WAIT;
	s->feed_previous = s->piece_index;
	s->feed_told = s->piece_index;
	s->piece_index = 0;
	return HISTORY_HERE;
}

static void
take_list(struct node_session *s, uint64_t offset, const uint8_t *body, uint32_t bytes)
{
	struct spread_settled list;

	if (!spread_settled_decode(&list, body, bytes) || list.index != s->piece_index ||
	    offset >= list.total)
		return;
	s->list_first = (uint32_t)(offset / list.chunk_bytes);
	s->list_count = 0;
	while (s->list_count < NODE_LIST_WINDOW && s->list_first + s->list_count < list.count) {
		s->list[s->list_count] = spread_settled_lsn(&list, s->list_first + s->list_count);
		s->list_count++;
	}
}

/* A read for the feed of this very session is done; what could not be read is asked
 * for again. */
void
node_feed_payload_read(struct node *n, const struct node_read *read, const uint8_t *body,
		       uint32_t bytes)
{
	struct node_session *s = &n->session[read->session];
	struct spread_chunk c;

	must(s->piece_reading);
	s->piece_reading = false;
	if (!body || s->group != read->group || s->piece_index != read->index ||
	    s->piece_offset != read->offset)
		return;
	if (read->purpose == READ_LIST_FOR_FEED) {
		take_list(s, read->offset, body, bytes);
		return;
	}
	must(s->piece_handle != PAXOS_NO_VALUE);
	if (!spread_chunk_decode(&c, body, bytes) || c.offset != read->offset ||
	    c.bytes > n->config.value_bytes_max)
		return;
	memcpy((uint8_t *)pool_at(n->pool, s->piece_handle) + NODE_HEAD_BYTES, c.data, c.bytes);
	s->piece_read = read->offset + 1;
}
