/*
 * Feeding a member what others wrote, in the order of the log. Values that are not
 * kept any more are read back; several reads are on their way at once, of the values
 * that come next, so that a member that was away long is not fed at the pace of one
 * disk access after the other.
 */
#include "node/internal.h"

#include "base/must.h"

#define LOOK_AHEAD 512 /* entries that are looked through for values to read */

void
node_feed_open(struct node *n, int session)
{
	struct node_session *s = &n->session[session];

	node_cursor_open(&s->results, &(struct node_cursor){.series = HISTORY_RESULTS,
							    .purpose = READ_ROW_FOR_FEED,
							    .session = session});
	node_cursor_open(&s->payloads, &(struct node_cursor){.series = HISTORY_PAYLOADS,
							     .purpose = READ_ROW_FOR_FEED,
							     .session = session});
	s->piece_handle = PAXOS_NO_VALUE;
	for (uint32_t i = 0; i < NODE_FETCH_MAX; i++)
		s->fetch[i].handle = PAXOS_NO_VALUE;
}

static bool
for_feed(const struct node_read *read)
{
	return read->purpose == READ_VALUE_FOR_FEED || read->purpose == READ_LIST_FOR_FEED ||
	       read->purpose == READ_CHUNK_FOR_FEED;
}

static void
fetch_drop(struct node *n, struct node_fetch *f)
{
	if (f->handle != PAXOS_NO_VALUE)
		pool_release(n->pool, f->handle);
	*f = (struct node_fetch){.handle = PAXOS_NO_VALUE};
}

void
node_feed_forget(struct node *n, int session)
{
	struct node_session *s = &n->session[session];

	for (uint32_t i = 0; i < NODE_FETCH_MAX; i++)
		fetch_drop(n, &s->fetch[i]);
	if (s->piece_handle != PAXOS_NO_VALUE)
		pool_release(n->pool, s->piece_handle);
	s->piece_handle = PAXOS_NO_VALUE;
	s->piece_reading = false;
	s->piece_index = 0;
	node_cursor_forget(n, &s->results);
	node_cursor_forget(n, &s->payloads);
	for (uint32_t i = 0; i < NODE_READS_MAX; i++)
		if (for_feed(&n->read[i]) && n->read[i].session == session)
			n->read[i].purpose = READ_FOR_NOBODY; /* its answer still comes */
}

/* ---- values from the log ---- */

static struct node_fetch *
fetch_of(struct node_session *s, uint64_t slot)
{
	for (uint32_t i = 0; i < NODE_FETCH_MAX; i++)
		if (s->fetch[i].slot == slot)
			return &s->fetch[i];
	return NULL;
}

static const struct node_recent *
kept(const struct node_group *g, uint64_t slot)
{
	const struct node_recent *r = &g->recent[slot & (PAXOS_WINDOW_SLOTS - 1)];

	return r->slot == slot && r->value.handle != PAXOS_NO_VALUE ? r : NULL;
}

/* The bytes of a slot's value, kept or read for this session. NULL: not now. */
static const uint8_t *
feed_value(struct node *n, const struct node_group *g, int session, uint64_t slot)
{
	const struct node_recent *r = kept(g, slot);
	const struct node_fetch *f = fetch_of(&n->session[session], slot);

	if (r)
		return (uint8_t *)pool_at(n->pool, r->value.handle) + NODE_HEAD_BYTES;
	if (f && !f->reading)
		return (uint8_t *)pool_at(n->pool, f->handle) + NODE_HEAD_BYTES;
	return NULL;
}

/* Asks the log for a slot's value. False: there is no more room for reads. The value
 * that comes next may use all there is; those behind it leave something to others. */
static bool
fetch_begin(struct node *n, struct node_group *g, int session, const struct node_result *r,
	    bool next)
{
	struct node_fetch *f = fetch_of(&n->session[session], 0);
	struct node_read read = {.purpose = READ_VALUE_FOR_FEED,
				 .lsn = r->place.lsn,
				 .group = g->number,
				 .slot = r->slot,
				 .session = session};

	if (!f || r->place.lsn == 0 || r->place.lsn > n->lsn_durable)
		return false;
	if (!next && (node_pool_short(n) || n->reads_open >= NODE_READS_MAX / 2))
		return false;
	if (!pool_take(n->pool, &f->handle))
		return false;
	f->slot = r->slot;
	f->reading = node_read_begin(n, &read, r->place.bytes);
	if (!f->reading)
		fetch_drop(n, f);
	return f->reading;
}

/* What is known of an entry without reading a row for it. */
static bool
result_ahead(struct node *n, struct node_group *g, struct node_session *s, uint64_t index,
	     struct node_result *r)
{
	bool here =
		index >= node_group_first_result(n, g) || node_cursor_has(n, g, &s->results, index);

	return here && node_cursor_result(n, g, &s->results, index, r) == HISTORY_HERE;
}

/* The feed waits for the log: whatever it will want next is asked for now. */
static void
fetch_ahead(struct node *n, struct node_group *g, int session)
{
	struct node_session *s = &n->session[session];
	uint64_t last = group_applied(g->state);
	uint64_t slot = 0;

	for (uint64_t i = s->feed_next; i <= last && i < s->feed_next + LOOK_AHEAD; i++) {
		struct node_result r;

		if (!result_ahead(n, g, s, i, &r))
			return;
		if (r.kind != RESULT_ACCEPTED || r.spread.bytes > 0 || r.slot == slot ||
		    r.incarnation == s->incarnation)
			continue;
		slot = r.slot;
		if (!kept(g, slot) && !fetch_of(s, slot) &&
		    !fetch_begin(n, g, session, &r, i == s->feed_next))
			return;
	}
}

/* What stands before this slot was told. */
static void
fetch_told(struct node *n, int session, uint64_t slot)
{
	struct node_session *s = &n->session[session];

	for (uint32_t i = 0; i < NODE_FETCH_MAX; i++)
		if (s->fetch[i].slot < slot && s->fetch[i].slot != 0 && !s->fetch[i].reading)
			fetch_drop(n, &s->fetch[i]);
}

void
node_feed_value_read(struct node *n, const struct node_read *read, const uint8_t *value,
		     uint32_t bytes)
{
	struct node_fetch *f = fetch_of(&n->session[read->session], read->slot);

	must(f && f->reading);
	f->reading = false;
	if (!value || bytes > n->config.value_bytes_max)
		fetch_drop(n, f); /* and asked for again */
	else
		memcpy((uint8_t *)pool_at(n->pool, f->handle) + NODE_HEAD_BYTES, value, bytes);
}

/* ---- what is told ---- */

static bool
feed_say(struct node *n, int session, const struct protocol_message *m)
{
	struct writer w = writer_over(n->scratch, FRAME_BYTES_MAX);
	uint32_t bytes = protocol_encode(m, n->config.epoch, &w);
	struct wire_slice slice = {.data = n->scratch, .bytes = bytes};

	must(bytes > 0);
	if (!wire_send(n->wire, session, WIRE_FEED, &slice, 1, 0))
		return false;
	n->session[session].feed_previous = m->index;
	n->session[session].feed_told = m->index;
	return true;
}

/* The rows of the view as it is now. */
static uint32_t
view_rows(struct node *n, const struct node_group *g, uint8_t *out, uint32_t capacity)
{
	struct writer w = writer_over(out, capacity);

	(void)n;
	for (uint32_t i = 0; i < group_member_slots(g->state); i++) {
		const struct group_member *m = group_member_at(g->state, i);

		if (!m || !group_member_alive(m))
			continue;
		writer_raw(&w, m->server_uuid, UUID_BYTES);
		writer_u64(&w, m->incarnation);
		writer_u32(&w, m->mysql_version);
		writer_u16(&w, m->port);
		writer_u8(&w, m->state == MEMBER_ONLINE);
		writer_u8(&w, m->host_bytes);
		writer_raw(&w, m->host, m->host_bytes);
	}
	must(!w.bad);
	return (uint32_t)w.bytes;
}

static bool
feed_view(struct node *n, struct node_group *g, int session, uint64_t index)
{
	uint8_t rows[GROUP_MEMBERS_MAX * (UUID_BYTES + 16 + HOST_BYTES_MAX + 1)];
	const struct node_session *s = &n->session[session];
	struct protocol_message m = {
		.kind = PROTOCOL_VIEW,
		.group = g->number,
		.sequence = group_view(g->state),
		.index = index,
		.previous = s->feed_previous,
		.own = s->feed_own,
		.data = rows,
	};

	m.bytes = view_rows(n, g, rows, sizeof rows);
	return feed_say(n, session, &m);
}

/* By its GTID alone: a member that has it goes on, any other one cannot. */
static enum history_answer
feed_lost(struct node *n, struct node_group *g, int session, const struct node_result *r)
{
	const struct node_session *s = &n->session[session];
	struct protocol_message m = {
		.kind = PROTOCOL_ENTRY,
		.group = g->number,
		.incarnation = r->incarnation,
		.index = s->feed_next,
		.previous = s->feed_previous,
		.own = s->feed_own,
		.dependency = r->dependency,
		.flags = r->flags | PROTOCOL_LOST,
		.gtid = r->gtid,
		.data = n->scratch,
	};

	return feed_say(n, session, &m) ? HISTORY_HERE : HISTORY_WAIT;
}

static enum history_answer
feed_entry(struct node *n, struct node_group *g, int session, const struct node_result *r)
{
	if (r->spread.bytes > 0 && node_cut_gone(n, g, n->session[session].feed_next, &r->gtid))
		return feed_lost(n, g, session, r);
	if (r->spread.bytes > 0)
		return node_feed_payload(n, g, session, r);
	const struct node_session *s = &n->session[session];
	const uint8_t *value = feed_value(n, g, session, r->slot);
	struct protocol_message m = {
		.kind = PROTOCOL_ENTRY,
		.group = g->number,
		.incarnation = r->incarnation,
		.index = s->feed_next,
		.previous = s->feed_previous,
		.own = s->feed_own,
		.dependency = r->dependency,
		.flags = r->flags,
		.gtid = r->gtid,
		.bytes = r->bytes,
	};

	fetch_told(n, session, r->slot);
	if (!value && !fetch_of(&n->session[session], r->slot) && r->place.lsn <= n->lsn_first &&
	    r->place.lsn != 0)
		return HISTORY_LOST;
	if (!value) {
		fetch_ahead(n, g, session);
		return HISTORY_WAIT;
	}
	m.data = value + r->offset;
	return feed_say(n, session, &m) ? HISTORY_HERE : HISTORY_WAIT;
}

/* Tells what is to be told of the next entry. An own outcome goes another way; it is
 * only counted here, so that each message can name the highest one below it. */
static enum history_answer
feed_next(struct node *n, struct node_group *g, int session)
{
	struct node_session *s = &n->session[session];
	struct node_result r;
	enum history_answer answer = node_cursor_result(n, g, &s->results, s->feed_next, &r);

	if (answer != HISTORY_HERE)
		return answer;
	if (r.incarnation == s->incarnation &&
	    (r.kind == RESULT_OUTCOME || r.kind == RESULT_ACCEPTED))
		s->feed_own = s->feed_next;
	else if (r.kind == RESULT_ACCEPTED)
		answer = feed_entry(n, g, session, &r);
	else if (r.kind == RESULT_VIEW && s->feed_next == g->last_view &&
		 !feed_view(n, g, session, s->feed_next))
		answer = HISTORY_WAIT;
	return answer;
}

/* Sends what comes next to one member, as far as its stream has room. */
void
node_feed(struct node *n, int session)
{
	struct node_session *s = &n->session[session];
	struct node_group *g = node_group_by_number(n, s->group);
	uint64_t last = group_applied(g->state);

	s->feed_lost = false;
	for (uint32_t i = 0; i < NODE_FEED_BURST && s->feed_next <= last; i++) {
		enum history_answer answer = feed_next(n, g, session);

		s->feed_lost = answer == HISTORY_LOST;
		if (answer != HISTORY_HERE)
			return;
		s->feed_next++;
	}
	if (s->results.have != 0 && s->feed_next >= node_group_first_result(n, g))
		node_cursor_forget(n, &s->results);
	if (s->feed_next > last && s->feed_told < last)
		feed_say(n, session,
			 &(struct protocol_message){.kind = PROTOCOL_THROUGH,
						    .group = g->number,
						    .index = last,
						    .previous = s->feed_previous,
						    .own = s->feed_own});
}
