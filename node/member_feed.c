/*
 * The order in which a member tells its server what others did. The feed of a
 * node is in index order and each message names its predecessor; own verdicts
 * come by another stream. So a message waits here until the own outcomes below it
 * are known, and until no own accepted transaction that it depends on is still on
 * its way into gtid_executed. While it waits, the stream is held and its credits
 * stop the node: one message of memory is enough.
 */
#include "node/member_state.h"

#include "base/must.h"

/* Before ATTACHED, too: that one travels by another stream. What overtakes it is
 * kept, for if it were dropped and nothing new decided, nobody would find it missing. */
static bool
must_wait(struct member *m, const struct protocol_message *message)
{
	bool transaction = message->kind == PROTOCOL_ENTRY || message->kind == PROTOCOL_PIECE;

	if (m->stage < MEMBER_ATTACHED || (m->server_full && transaction))
		return true;
	if (message->kind == PROTOCOL_PIECE && message->index == m->piece_index)
		return false; /* its first piece has waited, here or in an earlier session */
	if (message->own > m->own_through)
		return true;
	if (!member_requeue(m, message->index))
		return true;
	if (transaction && member_must_wait_for_own(m, message->dependency))
		return true;
	/* Room is left for the own ones: an entry that is not in the table would
	 * count as committed. */
	return transaction && m->snapshots.count + m->open_max >= m->snapshots.capacity;
}

/* Also of one that the server had before: it counts where it stands. */
static void
know(struct member *m, const struct protocol_message *message, bool wanted, uint64_t content)
{
	must(snapshot_table_add(
		&m->snapshots,
		&(struct snapshot_entry){
			.index = message->index,
			.gtid = message->gtid,
			.term = group_sum_term(message->index, &message->gtid, content),
			.committed = !wanted}));
}

/* False: it cannot go on. */
static bool
tell_entry(struct member *m, const struct protocol_message *message)
{
	bool wanted = !gtid_set_contains(m->executed, &message->gtid);

	if (wanted && (message->flags & PROTOCOL_LOST)) {
		member_lacks(m, message);
		return false;
	}
	know(m, message, wanted, group_content(message->data, message->bytes));
	if (!wanted)
		return true;
	m->stats.remote_queued++;
	member_newest(m, message->index, &message->gtid);
	member_emit(m, &(struct member_output){
			       .kind = MEMBER_OUT_QUEUE,
			       .index = message->index,
			       .gtid = &message->gtid,
			       .dependency = message->dependency,
			       .flags = message->flags,
			       .data = message->data,
			       .bytes = message->bytes,
			       .total = message->bytes,
			       .last = true,
		       });
	return true;
}

/* What is new of a piece: behind a failover the node begins again, the server does
 * not. True: it was the last one. */
static bool
tell_piece(struct member *m, const struct protocol_message *message)
{
	uint64_t end = message->sequence + message->bytes;
	bool last = end == message->mark;
	bool wanted = !gtid_set_contains(m->executed, &message->gtid);

	if (m->piece_index != message->index) {
		m->piece_index = message->index;
		m->piece_told = 0;
	}
	if (end > m->piece_told && wanted) {
		uint64_t known = m->piece_told - message->sequence;

		member_emit(m, &(struct member_output){
				       .kind = MEMBER_OUT_QUEUE,
				       .index = message->index,
				       .gtid = &message->gtid,
				       .dependency = message->dependency,
				       .flags = message->flags,
				       .data = message->data + known,
				       .bytes = message->bytes - (uint32_t)known,
				       .offset = m->piece_told,
				       .total = message->mark,
				       .last = last,
			       });
	}
	if (end > m->piece_told)
		m->piece_told = end;
	if (!last)
		return false;
	m->piece_index = 0;
	m->piece_told = 0;
	know(m, message, wanted, 0);
	if (wanted) {
		m->stats.remote_queued++;
		member_newest(m, message->index, &message->gtid);
	}
	return true;
}

static bool
read_row(struct reader *r, struct member_view_row *row)
{
	reader_raw(r, row->server_uuid, UUID_BYTES);
	row->incarnation = reader_u64(r);
	row->version = reader_u32(r);
	row->port = reader_u16(r);
	row->online = reader_u8(r) != 0;
	row->reachable = true;
	uint8_t host_bytes = reader_u8(r);
	reader_raw(r, row->host, host_bytes);
	row->host[host_bytes] = 0;
	return !r->bad;
}

static void
tell_view(struct member *m, const struct protocol_message *message)
{
	struct reader r = reader_over(message->data, message->bytes);
	struct member_view *v = &m->view;

	memset(v, 0, sizeof *v);
	v->view_id = m->group;
	v->view_counter = message->sequence;
	v->index = message->index;
	while (r.bytes > 0 && v->row_count < NODE_MEMBERS_MAX) {
		if (!read_row(&r, &v->row[v->row_count]))
			return;
		v->row_count++;
	}
	member_emit(m, &(struct member_output){
			       .kind = MEMBER_OUT_VIEW, .index = message->index, .view = v});
}

static void
tell(struct member *m, const struct protocol_message *message)
{
	if (message->kind == PROTOCOL_ENTRY && !tell_entry(m, message))
		return;
	if (message->kind == PROTOCOL_VIEW)
		tell_view(m, message);
	if (message->kind == PROTOCOL_PIECE && !tell_piece(m, message))
		return;
	m->feed_previous = message->index;
	m->feed_through = message->index;
	m->stats.delivered_index = message->index;
	snapshot_table_through(&m->snapshots, message->index);
	m->progress_due = true;
	member_requeue(m, m->feed_through + 1);
}

/* Whether this comes next, or again: it names the last message. Of a payload that was
 * told in part, here or in an earlier session, nothing but more of it, or the same
 * once more, comes next. */
static bool
chained(const struct member *m, const struct protocol_message *message)
{
	bool piece = message->kind == PROTOCOL_PIECE;
	uint64_t told = piece && message->index == m->piece_index ? m->piece_told : 0;

	if (message->previous > m->feed_previous)
		return false;
	if (m->piece_index != 0 && message->index >= m->piece_index &&
	    !(piece && message->index == m->piece_index))
		return false;
	return !piece || (message->bytes > 0 && message->sequence <= told &&
			  message->sequence <= message->mark &&
			  message->bytes <= message->mark - message->sequence);
}

void
member_feed(struct member *m, const struct protocol_message *message, const uint8_t *data,
	    uint32_t bytes)
{
	must(m->held_bytes == 0);
	if (message->index <= m->feed_previous)
		return; /* said again behind a second attachment of this session */
	if (!chained(m, message)) {
		member_reconnect(m, m->target); /* ask anew from here */
		return;
	}
	if (!must_wait(m, message)) {
		tell(m, message);
		return;
	}
	must(bytes <= FRAME_BYTES_MAX);
	memcpy(m->held, data, bytes);
	m->held_bytes = bytes;
	wire_hold(m->wire, m->session, WIRE_FEED, true);
}

void
member_feed_held(struct member *m)
{
	struct frame frame;
	struct protocol_message message;

	if (m->held_bytes == 0)
		return;
	must(frame_decode(&frame, m->held, m->held_bytes));
	must(protocol_decode(&message, &frame, m->held, m->held_bytes));
	if (must_wait(m, &message))
		return;
	m->held_bytes = 0;
	tell(m, &message);
	if (m->session != MEMBER_NO_SESSION)
		wire_hold(m->wire, m->session, WIRE_FEED, false);
}

/* What is held came by the lost session; the next one sends it again. */
void
member_feed_detached(struct member *m)
{
	m->held_bytes = 0;
	m->feed_previous = m->feed_through;
}
