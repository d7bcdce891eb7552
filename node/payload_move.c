/*
 * How payloads move: offers, fetches, chunks and HELD, between members and this node
 * and between nodes. node/spread.h shows the conversation. Nothing here is answered
 * for sure: whoever wants something asks again by the clock.
 */
#include "base/must.h"
#include "node/internal.h"

#define OFFER_CHUNKS 4 /* so many more on disk are worth an offer */

bool
node_move_say(struct node *n, uint8_t node, enum wire_stream stream,
	      const struct protocol_message *m)
{
	struct writer w = writer_over(n->scratch, FRAME_BYTES_MAX);
	uint32_t bytes = protocol_encode(m, n->config.epoch, &w);
	int session = node_session_of_node(n, node);

	must(bytes > 0);
	return session == NODE_NO_SESSION ||
	       wire_send(n->wire, session, stream,
			 &(struct wire_slice){.data = n->scratch, .bytes = bytes}, 1, 0);
}

/* ---- what comes in ---- */

/* The payload an offer is about, in a slot of its own from now on. NULL: it is not
 * wanted, or there is no room now. */
static struct node_payload *
offered(struct node *n, struct node_group *g, const struct protocol_message *m)
{
	struct node_payload *p = node_payload_find(n, g, m->incarnation, m->sequence);

	if (n->log_failed)
		return NULL;
	if (!p && node_payload_may_come(g, m->incarnation, m->sequence))
		p = node_payload_new(n, &(struct node_payload){
						.group = g->number,
						.incarnation = m->incarnation,
						.offer = m->sequence,
						.total = m->mark,
						.chunk_bytes = m->flags,
						.source = NODE_FROM_MEMBER,
					});
	if (!p || p->gone || p->index != 0)
		return NULL;
	if (p->epoch < n->epoch) {
		p->gone = true; /* its incarnation was another one; this is offered again */
		return NULL;
	}
	if (p->total != m->mark || p->chunk_bytes != m->flags) {
		n->dropped_undecodable++;
		return NULL;
	}
	return p;
}

static void
from_source(struct node_payload *p, uint8_t source, uint64_t available)
{
	if (p->source != source)
		p->asked = p->held;
	p->source = source;
	p->available = available > p->held ? available : p->held;
	if (p->available > p->total)
		p->available = p->total;
}

static void
chunk(struct node *n, struct node_group *g, const struct protocol_message *m)
{
	struct node_payload *p = node_payload_find(n, g, m->incarnation, m->sequence);

	if (!p || p->gone || n->log_failed || m->index != p->held || p->held == p->total ||
	    m->mark != p->total || m->flags != p->chunk_bytes ||
	    m->bytes != spread_chunk_at(p->total, p->chunk_bytes, p->held)) {
		n->dropped_chunks++;
		return;
	}
	n->chunk_rest_ns = node_rest_ns(n, p->asked_ns);
	p->asked_ns = n->now_ns;
	p->tried = 0;
	node_payload_chunk(n, p,
			   &(struct spread_chunk){
				   .incarnation = p->incarnation,
				   .offer = p->offer,
				   .index = p->index,
				   .total = p->total,
				   .offset = p->held,
				   .chunk_bytes = p->chunk_bytes,
				   .bytes = m->bytes,
				   .data = m->data,
			   });
}

/* OFFER and CHUNK of a member. */
void
node_move_member(struct node *n, int session, const struct protocol_message *m)
{
	const struct node_session *s = &n->session[session];
	struct node_group *g = node_group_by_number(n, s->group);
	struct node_payload *p;

	if (s->stage != SESSION_ATTACHED || m->incarnation != s->incarnation)
		return;
	must(g && g->state);
	if (m->kind == PROTOCOL_CHUNK) {
		chunk(n, g, m);
		return;
	}
	if (!node_group_leads(n, g))
		return; /* it was told who does */
	bool known = m->index > 0 || node_payload_find(n, g, m->incarnation, m->sequence);
	if (!known && (node_room_short(n, g) || !node_room_for_payload(n, m->mark)))
		return; /* it is offered again: the log would keep all that comes meanwhile */
	p = offered(n, g, m);
	if (!p)
		return;
	from_source(p, NODE_FROM_MEMBER, p->total);
	p->told = false;
}

/* Another node wants a chunk. One too many is forgotten: it asks again. */
static void
want(struct node *n, uint8_t node, const struct protocol_message *m)
{
	struct node_serving *q = &n->serving[node];

	if (q->count == NODE_ASKS_MAX)
		return;
	q->want[(q->first + q->count) % NODE_ASKS_MAX] = (struct node_want){
		.group = m->group,
		.incarnation = m->incarnation,
		.offer = m->sequence,
		.number = m->dependency,
		.offset = m->index,
	};
	q->count++;
	n->serving_nodes |= 1u << node;
}

/* Where the record lies that says where the chunks of an accepted payload lie. */
static enum history_answer
list_of(struct node *n, struct node_group *g, struct node_cursor *cursor, uint64_t number,
	struct history_link *link)
{
	const struct node_payload_place *place = node_payload_place(n, g, number);

	if (number == 0 || (place && place->link.lsn == 0))
		return HISTORY_LOST;
	if (!place)
		return node_cursor_link(n, g, cursor, number, link);
	*link = place->link;
	return HISTORY_HERE;
}

/* The chunk's own place, where the list at hand has it. */
static bool
serve_listed(struct node *n, const struct node_serving *q, const struct node_want *want,
	     struct node_read read)
{
	if (q->list_number == 0 || q->list_number != want->number || q->list_group != want->group ||
	    want->offset >= q->list_total || want->offset % q->list_chunk_bytes != 0)
		return false;
	uint64_t chunk = want->offset / q->list_chunk_bytes;
	if (chunk < q->list_first || chunk - q->list_first >= q->list_count)
		return false;
	read.purpose = READ_CHUNK_FOR_NODE;
	read.lsn = q->list[chunk - q->list_first];
	return read.lsn > n->lsn_first &&
	       node_read_begin(n, &read,
			       spread_chunk_record_bytes(spread_chunk_at(
				       q->list_total, q->list_chunk_bytes, want->offset)));
}

/* Begins to read what is wanted: a chunk of what is being received here, or of what
 * was accepted, whose record says where it is. False: it is not here, or not now. */
static bool
serve(struct node *n, uint8_t node, const struct node_want *want)
{
	struct node_group *g = node_group_by_number(n, want->group);
	struct node_cursor *cursor = &n->serving[node].cursor;
	struct history_link link;

	if (!g)
		return false;
	const struct node_payload *p = node_payload_find(n, g, want->incarnation, want->offer);
	struct node_read read = {.purpose = READ_LIST_FOR_NODE,
				 .group = g->number,
				 .number = want->number,
				 .offset = want->offset,
				 .voter = node};

	if (p && want->offset < p->durable && want->offset % p->chunk_bytes == 0) {
		uint32_t bytes = spread_chunk_at(p->total, p->chunk_bytes, want->offset);

		read.purpose = READ_CHUNK_FOR_NODE;
		read.lsn = p->lsn[want->offset / p->chunk_bytes];
		return node_read_begin(n, &read, spread_chunk_record_bytes(bytes));
	}
	if (serve_listed(n, &n->serving[node], want, read))
		return true;
	enum history_answer answer = list_of(n, g, cursor, want->number, &link);
	if (answer == HISTORY_LOST || (answer == HISTORY_HERE && link.lsn <= n->lsn_first))
		node_image_offer(n, g, node);
	if (answer != HISTORY_HERE || link.lsn > n->lsn_durable || link.lsn <= n->lsn_first)
		return false;
	read.lsn = link.lsn;
	return node_read_begin(n, &read, link.bytes);
}

static void
served(struct node_serving *q)
{
	must(q->count > 0);
	q->first = (q->first + 1) % NODE_ASKS_MAX;
	q->count--;
}

static void
serve_all(struct node *n)
{
	for (uint8_t i = 0; n->serving_nodes >> i != 0; i++) {
		struct node_serving *q = &n->serving[i];

		while (q->count > 0 && !q->reading && !q->blocked && !q->cursor.reading) {
			q->reading = serve(n, i, &q->want[q->first]);
			if (!q->reading && !q->cursor.reading)
				served(q);
		}
		if (q->count == 0) {
			n->serving_nodes &= ~(1u << i);
			node_cursor_forget(n, &q->cursor);
		}
	}
}

/* Its session is over: in the next one it asks anew. */
void
node_move_forget(struct node *n, uint8_t node)
{
	n->serving[node].count = 0;
	n->serving[node].blocked = false;
	n->giving[node].wanted = false;
	n->giving[node].blocked = false;
}

/* Its stream has room again. */
void
node_move_room(struct node *n, uint8_t node)
{
	n->serving[node].blocked = false;
	n->giving[node].blocked = false;
}

static bool
send_chunk(struct node *n, const struct node_read *read, const struct spread_chunk *c)
{
	return node_move_say(n, read->voter, WIRE_FEED,
			     &(struct protocol_message){
				     .kind = PROTOCOL_CHUNK,
				     .group = read->group,
				     .incarnation = c->incarnation,
				     .sequence = c->offer,
				     .flags = c->chunk_bytes,
				     .index = c->offset,
				     .dependency = read->number,
				     .mark = c->total,
				     .data = c->data,
				     .bytes = c->bytes,
			     });
}

static void
take_list(struct node_serving *q, const struct node_read *read, const struct spread_settled *s)
{
	q->list_group = read->group;
	q->list_number = s->number;
	q->list_total = s->total;
	q->list_chunk_bytes = s->chunk_bytes;
	q->list_first = (uint32_t)(read->offset / s->chunk_bytes);
	q->list_count = 0;
	while (q->list_count < NODE_LIST_WINDOW && q->list_first + q->list_count < s->count) {
		q->list[q->list_count] = spread_settled_lsn(s, q->list_first + q->list_count);
		q->list_count++;
	}
}

/* Goes on from the record that says where the chunks are to the chunk itself. */
static bool
read_listed(struct node *n, const struct node_read *read, const uint8_t *body, uint32_t bytes)
{
	struct spread_settled s;
	struct node_read next = *read;

	if (!spread_settled_decode(&s, body, bytes) || s.number != read->number ||
	    read->offset >= s.total || read->offset % s.chunk_bytes != 0)
		return false;
	take_list(&n->serving[read->voter], read, &s);
	next.purpose = READ_CHUNK_FOR_NODE;
	next.lsn = spread_settled_lsn(&s, (uint32_t)(read->offset / s.chunk_bytes));
	if (next.lsn <= n->lsn_first) {
		/* The record lies behind the image that made what it names superfluous. */
		const struct node_group *g = node_group_by_number(n, read->group);
		if (g)
			node_image_offer(n, g, read->voter);
		return false;
	}
	return node_read_begin(
		n, &next,
		spread_chunk_record_bytes(spread_chunk_at(s.total, s.chunk_bytes, read->offset)));
}

/* A read for another node is done. */
void
node_move_read(struct node *n, const struct node_read *read, const uint8_t *body, uint32_t bytes)
{
	struct node_serving *q = &n->serving[read->voter];
	struct spread_chunk c;

	must(q->reading);
	q->reading = false;
	if (!body)
		q->list_number = 0;
	if (body && read->purpose == READ_LIST_FOR_NODE)
		q->reading = read_listed(n, read, body, bytes);
	else if (body && spread_chunk_decode(&c, body, bytes) && c.offset == read->offset)
		q->blocked = !send_chunk(n, read, &c);
	/* The first one is another by now where the session has changed meanwhile. */
	bool same = q->count > 0 && q->want[q->first].offset == read->offset &&
		    q->want[q->first].number == read->number;
	if (same && !q->reading && !q->blocked)
		served(q);
}

/* What a message of a group between nodes says, and of which group. NULL: it is dropped, and
 * counted. */
struct node_group *
node_move_decode(struct node *n, struct protocol_message *m, const struct frame *frame,
		 const uint8_t *data, uint32_t bytes)
{
	struct node_group *g = node_group_by_number(n, frame->group);

	if (!g || !g->state) {
		n->dropped_unknown_group++;
		return NULL;
	}
	if (!protocol_decode(m, frame, data, bytes)) {
		n->dropped_undecodable++;
		return NULL;
	}
	return g;
}

/* Whatever another node says of payloads. */
void
node_move_message(struct node *n, int session, const struct frame *frame, const uint8_t *data,
		  uint32_t bytes)
{
	uint8_t node = n->session[session].node;
	struct protocol_message m;
	struct node_group *g = node_move_decode(n, &m, frame, data, bytes);
	struct node_payload *p;

	if (!g)
		return;
	switch (m.kind) {
	case PROTOCOL_OFFER:
		p = offered(n, g, &m);
		if (p) {
			from_source(p, node, m.index);
			p->owes = true;
		}
		break;
	case PROTOCOL_FETCH:
		want(n, node, &m);
		break;
	case PROTOCOL_CHUNK:
		chunk(n, g, &m);
		break;
	case PROTOCOL_HELD:
		p = node_payload_find(n, g, m.incarnation, m.sequence);
		if (p && p->index == 0 && p->durable == p->total && p->digest == m.winner_hash)
			p->holders |= 1u << node;
		break;
	default:
		n->dropped_undecodable++;
		break;
	}
}

/* ---- what goes out by itself ---- */

/* The leader shows the others how much they can fetch. */
static void
offer(struct node *n, struct node_payload *p)
{
	bool more = p->durable >= p->offered + OFFER_CHUNKS * (uint64_t)p->chunk_bytes ||
		    (p->durable == p->total && p->offered < p->total);

	if (p->durable == 0 || (!more && n->now_ns < p->offered_ns + n->config.retry_ns))
		return;
	p->offered = p->durable;
	p->offered_ns = n->now_ns;
	for (uint8_t i = 0; i < NODE_NODES_MAX; i++) {
		if (i == n->config.self || ((p->holders | ~n->there) >> i & 1))
			continue;
		node_move_say(n, i, WIRE_CONTROL,
			      &(struct protocol_message){
				      .kind = PROTOCOL_OFFER,
				      .group = p->group,
				      .incarnation = p->incarnation,
				      .sequence = p->offer,
				      .flags = p->chunk_bytes,
				      .index = p->durable,
				      .mark = p->total,
			      });
	}
}

static void
tell_held(struct node *n, const struct node_group *g, struct node_payload *p)
{
	int session = node_attend_session_of(n, g, p->incarnation);

	if (p->told || session == NODE_NO_SESSION || !node_group_quorum(g, p->holders))
		return;
	p->told = true;
	node_attend_say(n, session, WIRE_CONTROL,
			&(struct protocol_message){
				.kind = PROTOCOL_HELD,
				.group = p->group,
				.incarnation = p->incarnation,
				.sequence = p->offer,
				.flags = p->holders,
				.winner_hash = p->digest,
			});
}

/* The leader spreads it; where all lead, the one that the member hangs on. */
static bool
spreads(const struct node *n, const struct node_group *g, const struct node_payload *p)
{
	return node_group_leads(n, g) &&
	       (!paxos_configuration(g->replica)->all_lead ||
		node_attend_session_of(n, g, p->incarnation) != NODE_NO_SESSION);
}

static void
tell(struct node *n, struct node_payload *p)
{
	const struct node_group *g = node_group_by_number(n, p->group);

	/* Of an earlier epoch nobody is to decide for it any more, and to the others its name may
	 * be that of another one; who needs it knows that, and asks. */
	if (p->index != 0 || p->epoch < n->epoch)
		return;
	if (p->durable == p->total)
		p->holders |= 1u << n->config.self;
	if (spreads(n, g, p)) {
		offer(n, p);
		tell_held(n, g, p);
	} else if (p->owes && p->durable == p->total && p->source != NODE_FROM_MEMBER) {
		p->owes = false;
		node_move_say(n, p->source, WIRE_CONTROL,
			      &(struct protocol_message){
				      .kind = PROTOCOL_HELD,
				      .group = p->group,
				      .incarnation = p->incarnation,
				      .sequence = p->offer,
				      .flags = 1u << n->config.self,
				      .winner_hash = p->digest,
			      });
	}
}

/* ---- asking ---- */

static bool
reachable(struct node *n, const struct node_payload *p)
{
	if (p->source == NODE_FROM_MEMBER)
		return node_attend_session_of(n, node_group_by_number(n, p->group),
					      p->incarnation) != NODE_NO_SESSION;
	return p->source != n->config.self && (n->link_up >> p->source & 1);
}

/* One of these that is there, behind the last one. */
static bool
next_source(struct node *n, struct node_payload *p, uint32_t nodes)
{
	for (uint32_t i = 0; i < NODE_NODES_MAX; i++) {
		uint32_t from = p->source < NODE_NODES_MAX ? p->source : n->config.self;

		p->source = (uint8_t)((from + 1) % NODE_NODES_MAX);
		if ((nodes >> p->source & 1) && reachable(n, p))
			return true;
	}
	return false;
}

/* Whose answer does not come is asked again, or another one: of an accepted payload
 * it is known who held it; of any other, who has it will offer it. Those who held it may have
 * been lost since, or have come back with another disk, and others have fetched it: in the end
 * everybody is asked, and then it may be given up. A session loses
 * nothing while it lives, so an answer is late only when its session should be gone:
 * to ask again sooner, on a host that is merely slow, doubles what makes it slow. */
static void
settle_source(struct node *n, struct node_payload *p)
{
	bool late = p->asked > p->held && n->now_ns >= p->asked_ns + n->config.session_dead_ns;

	if (!late && reachable(n, p))
		return;
	p->asked = p->held;
	if (p->index == 0) {
		if (!reachable(n, p))
			p->available = p->held;
		return;
	}
	p->available = p->total;
	if (late && p->source < NODE_NODES_MAX)
		p->tried |= 1u << p->source;
	if (next_source(n, p, p->holders & ~p->tried) || next_source(n, p, ~p->tried))
		return;
	if (late && n->link_up != 0 && node_payload_give_up(n, p))
		return;
	p->tried = 0;
	(void)next_source(n, p, p->holders);
}

/* As many as keep line and disk busy; but one at a time while small transactions come:
 * with three, on a host of two cores, each of these waited three times as long, and the
 * large one was not through any sooner. */
static uint32_t
window_chunks(const struct node *n)
{
	uint32_t fit = n->config.stream_bytes / 2 / (n->config.chunk_bytes + 256);

	if (node_yields(n))
		return 1;
	if (fit > NODE_ASKS_MAX)
		fit = NODE_ASKS_MAX;
	return fit > 0 ? fit : 1;
}

/* Not much further ahead of the own disk than of the source: the next one comes while the
 * last is written. */
static bool
wants(struct node *n, const struct node_payload *p)
{
	uint64_t ahead = (uint64_t)(window_chunks(n) + 1) * p->chunk_bytes;

	return p->used && !p->gone && p->asked < p->available && p->held - p->durable < ahead &&
	       reachable(n, p);
}

static void
ask(struct node *n, struct node_payload *p)
{
	struct protocol_message m = {
		.kind = PROTOCOL_FETCH,
		.group = p->group,
		.incarnation = p->incarnation,
		.sequence = p->offer,
		.index = p->asked,
		.dependency = p->number,
	};
	int session;

	if (p->asked == p->held)
		p->asked_ns = n->now_ns;
	p->asked += spread_chunk_at(p->total, p->chunk_bytes, p->asked);
	if (p->source != NODE_FROM_MEMBER) {
		node_move_say(n, p->source, WIRE_CONTROL, &m);
		return;
	}
	session = node_attend_session_of(n, node_group_by_number(n, p->group), p->incarnation);
	node_attend_say(n, session, WIRE_CONTROL, &m);
}

static uint32_t
asks_open(struct node *n, bool needed)
{
	uint32_t open = 0;

	for (uint32_t i = 0; i < n->payload_count; i++) {
		const struct node_payload *p = &n->payload[i];

		if (p->used && node_payload_needed(n, p) == needed)
			open += spread_chunk_count(p->asked - p->held, p->chunk_bytes);
	}
	return open;
}

static bool
any_needed(struct node *n)
{
	for (uint32_t i = 0; i < n->payload_count; i++) {
		if (n->payload[i].used && node_payload_needed(n, &n->payload[i]))
			return true;
	}
	return false;
}

static bool
rests(const struct node *n)
{
	return node_yields(n) && n->now_ns < n->chunk_rest_ns;
}

/* The payloads take turns, chunk by chunk: a short one does not wait for a long one. While
 * small transactions come they have half of the time: disk and cores are theirs, too. But
 * what an entry waits for comes first, and asks of others do not count against it. A node
 * that is behind has asked for payloads of which the log has decided elsewhere: nobody
 * gives them any more, and they would fill the window for as long as it is behind. */
static void
ask_some(struct node *n)
{
	bool needed = any_needed(n);
	uint32_t open = asks_open(n, needed);
	uint32_t idle = 0;

	if (!needed && rests(n))
		return;
	while (open < window_chunks(n) && idle < n->payload_count) {
		struct node_payload *p = &n->payload[n->payload_turn];

		n->payload_turn = (n->payload_turn + 1) % n->payload_count;
		idle++;
		if (!wants(n, p) || (needed && !node_payload_needed(n, p)))
			continue;
		ask(n, p);
		open++;
		idle = 0;
	}
}

void
node_move(struct node *n)
{
	serve_all(n);
	if (n->payloads_used == 0 || n->log_failed)
		return;
	for (uint32_t i = 0; i < n->payload_count; i++) {
		struct node_payload *p = &n->payload[i];

		if (!p->used || p->gone)
			continue;
		tell(n, p);
		settle_source(n, p);
	}
	ask_some(n);
}

uint64_t
node_move_timer_ns(const struct node *n)
{
	if (n->payloads_used == 0 || n->log_failed)
		return UINT64_MAX;
	return rests(n) ? n->chunk_rest_ns : n->now_ns + n->config.retry_ns;
}
