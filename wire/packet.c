/*
 * What goes into the next datagram of a session.
 *
 * Order: ACK, new keys, grants, then the streams by priority; what is said once comes
 * first where CONSENSUS may not send, else last. The one exception: a lost
 * segment keeps its size, and one that fills a datagram would never fit behind an
 * ACK; where such a one is first, those take the datagram after it.
 */
#include "wire/session.h"

#define SLIVER_BYTES 64 /* no new segment for less, while more is waiting */

/* Bulk leaves a quarter of the window to the others. Control has half as much
 * again, so that it leaves even while everything else is on the way. So has, for
 * one datagram, a stream that was passed over too often: else a steady flow of
 * the others, which fills the window, would keep it out for ever. */
static bool
stream_may_send(const struct session *s, enum wire_stream stream)
{
	const struct flight *f = &s->flight;
	uint64_t window = f->window_bytes, packets = FLIGHT_PACKETS - FLIGHT_PACKETS / 4;

	if (stream == WIRE_CONTROL || s->outbox[stream].passed_over >= PASSED_OVER_MAX) {
		window += window / 2;
		packets = FLIGHT_PACKETS - 1;
	} else if (stream == WIRE_FEED) {
		window -= window / 4;
		packets -= FLIGHT_PACKETS / 4;
	}
	return f->flying_bytes < window && f->end - f->first < packets;
}

struct order {
	uint8_t stream[WIRE_STREAMS]; /* that may send and have what to send */
	uint32_t count;
	uint32_t waiting; /* bit per stream with something to send */
};

struct build {
	struct writer w;
	struct sent sent;
	struct order order;
	uint64_t after_lsn;
	bool asks_ack;
};

/* By priority, but a stream that was passed over too often leads. */
static struct order
order_streams(const struct session *s)
{
	struct order order = {.count = 0};

	for (int i = 0; i < WIRE_STREAMS; i++) {
		enum wire_stream stream = wire_priority[i];
		if (!outbox_has_work(&s->outbox[stream]))
			continue;
		order.waiting |= 1u << stream;
		if (!stream_may_send(s, stream))
			continue;
		uint32_t at = order.count++;
		if (s->outbox[stream].passed_over >= PASSED_OVER_MAX) {
			memmove(order.stream + 1, order.stream, at);
			at = 0;
		}
		order.stream[at] = (uint8_t)stream;
	}
	return order;
}

static bool
may_send(const struct order *order, enum wire_stream stream)
{
	for (uint32_t i = 0; i < order->count; i++)
		if (order->stream[i] == stream)
			return true;
	return false;
}

/* As many whole items as fit; the others go in the datagram after this. */
static void
put_once(struct session *s, struct build *b)
{
	size_t room = b->w.capacity - b->w.bytes;
	uint32_t end = 0;

	for (;;) {
		if (s->once_bytes - end < ONCE_HEAD_BYTES)
			break;
		uint32_t next = end + ONCE_HEAD_BYTES + bytes_get_u16(s->once + end + 1);
		must(next <= s->once_bytes);
		if (next > room)
			break;
		end = next;
	}
	writer_raw(&b->w, s->once, end);
	s->once_bytes -= end;
	memmove(s->once, s->once + end, s->once_bytes);
}

static void
note_passed_over(struct session *s, const struct build *b)
{
	uint32_t inside = 0;

	for (uint32_t i = 0; i < b->sent.segment_count; i++)
		inside |= 1u << b->sent.stream[i];
	for (int i = 0; i < WIRE_STREAMS && inside != 0; i++) {
		struct outbox *o = &s->outbox[i];
		if (inside >> i & 1)
			o->passed_over = 0;
		else if (b->order.waiting >> i & 1)
			o->passed_over++;
	}
}

static void
put_segment(struct session *s, struct build *b, enum wire_stream stream, uint32_t number)
{
	struct outbox *o = &s->outbox[stream];
	const struct segment *segment = outbox_segment(o, number);

	item_put_bytes_head(&b->w, stream, segment->offset, segment->bytes);
	uint8_t *at = writer_take(&b->w, segment->bytes);
	must(at != NULL);
	outbox_copy(o, number, at);
	if (segment->after_lsn > b->after_lsn)
		b->after_lsn = segment->after_lsn;
	b->sent.stream[b->sent.segment_count] = (uint8_t)stream;
	b->sent.segment[b->sent.segment_count++] = number;
	b->asks_ack = true;
}

/* Lost segments first, as the receiver waits for them, then what is new. */
static void
put_stream(struct wire *w, struct session *s, struct build *b, enum wire_stream stream)
{
	struct outbox *o = &s->outbox[stream];

	while (b->sent.segment_count < FLIGHT_SEGMENTS && outbox_has_work(o)) {
		size_t room = b->w.capacity - b->w.bytes;
		uint32_t number;
		if (room <= BYTES_HEAD_BYTES)
			return;
		room -= BYTES_HEAD_BYTES;
		if (o->lost_count > 0) {
			number = outbox_lost(o);
			if (outbox_segment(o, number)->bytes > room)
				return;
			outbox_resent(o, number);
			w->stats.segments_resent++;
		} else {
			if (room < SLIVER_BYTES && outbox_sendable(o) > room)
				return;
			number = outbox_cut(o, room > UINT16_MAX ? UINT16_MAX : (uint32_t)room);
		}
		put_segment(s, b, stream, number);
	}
}

static void
put_grants(struct session *s, struct build *b)
{
	for (int i = 0; i < WIRE_STREAMS; i++) {
		struct inbox *in = &s->inbox[i];
		if (!(s->repeat_due & 1u << i) || b->w.capacity - b->w.bytes < CREDIT_ITEM_BYTES)
			continue;
		in->granted = inbox_limit(in);
		item_put_credit(&b->w, (enum wire_stream)i, in->granted);
		s->repeat_due &= (uint8_t) ~(1u << i);
		b->sent.repeat |= (uint8_t)(1u << i);
		b->asks_ack = true;
	}
}

static void
put_rekey(struct session *s, struct build *b)
{
	const struct seal *seal = &s->seal;

	if (!(s->repeat_due & REPEAT_REKEY) ||
	    b->w.capacity - b->w.bytes < REKEY_HEAD_BYTES + seal->message_bytes)
		return;
	s->repeat_due &= (uint8_t)~REPEAT_REKEY;
	if (seal->message_bytes == 0)
		return; /* answered meanwhile */
	item_put_rekey(&b->w, seal->generation, seal->message, seal->message_bytes);
	b->sent.repeat |= REPEAT_REKEY;
	b->asks_ack = true;
}

/* ACK, keys and grants, unless the first segment could then not go. */
static void
put_returns(struct wire *w, struct session *s, struct build *b)
{
	struct ack ack;
	bool acks =
		(s->receipt.unacked > 0 || s->ack_now) && receipt_ack(&s->receipt, w->now_ns, &ack);
	size_t bytes = acks ? item_ack_bytes(&ack) : 0;

	for (int i = 0; i < WIRE_STREAMS; i++)
		bytes += s->repeat_due & 1u << i ? CREDIT_ITEM_BYTES : 0;
	bytes += s->repeat_due & REPEAT_REKEY ? REKEY_HEAD_BYTES + s->seal.message_bytes : 0;
	if (b->order.count > 0 && s->outbox[b->order.stream[0]].lost_count > 0) {
		struct outbox *o = &s->outbox[b->order.stream[0]];
		uint32_t segment_bytes = outbox_segment(o, outbox_lost(o))->bytes;
		if (bytes + BYTES_HEAD_BYTES + segment_bytes > b->w.capacity)
			return;
	}
	if (acks) {
		item_put_ack(&b->w, &ack);
		s->ack_now = false;
		s->receipt.unacked = 0;
		s->receipt.ack_due_ns = UINT64_MAX;
	}
	if (flight_full(&s->flight))
		return;
	put_rekey(s, b);
	put_grants(s, b);
}

static void
finish(struct wire *w, struct session *s, struct build *b, struct wire_packet *packet)
{
	bool confirm = s->initiator && !s->confirmed;
	size_t prefix = confirm ? CONFIRM_ZERO_BYTES : 0;
	struct datagram d = {
		.type = confirm ? DATAGRAM_CONFIRM : DATAGRAM_DATA,
		.key_id = s->peer_id,
		.counter = s->flight.next_counter++,
	};

	memcpy(d.epoch, s->epoch, WIRE_EPOCH_BYTES);
	memset(w->packet + DATAGRAM_HEADER_BYTES, 0, prefix);
	packet->to = s->peer_endpoint;
	packet->data = w->packet;
	packet->bytes = seal_datagram(w, s, &d, w->packet, prefix + b->w.bytes);
	packet->after_lsn = b->after_lsn;
	must(packet->bytes <= s->datagram_bytes);
	must(packet->after_lsn <= w->durable_lsn);
	if (b->asks_ack) {
		struct sent *sent = flight_add(&s->flight, d.counter, w->now_ns);
		b->sent.counter = d.counter;
		b->sent.sent_ns = w->now_ns;
		b->sent.state = SENT_FLYING;
		b->sent.bytes = (uint32_t)packet->bytes;
		*sent = b->sent;
		s->flight.flying_bytes += b->sent.bytes;
		/* An acknowledgement that had waited could have come with it. */
		if (s->asked_ns < w->now_ns && s->asked_ns + w->config.ack_delay_ns >= w->now_ns)
			s->ack_waits = true;
	}
	s->sent_ns = w->now_ns;
}

/* What answers a message often waits for the log: then its acknowledgement goes with it,
 * as long as the sender's timeout surely holds. */
static void
hold_lone_ack(struct wire *w, struct session *s)
{
	uint64_t most_ns = w->config.rto_min_ns / 4;

	if (!s->ack_lone)
		return;
	s->ack_lone = false;
	if (!bit_is_set(w->gated, session_number(w, s)) || s->flight.rtt_ns > 2 * most_ns) {
		s->ack_now = true;
		return;
	}
	if (s->receipt.ack_due_ns < w->now_ns + most_ns)
		s->receipt.ack_due_ns = w->now_ns + most_ns;
	session_schedule(w, s);
}

/* A peer that is silent, though what it had to acknowledge has come, is asked with what goes
 * anyway. */
static bool
asks_silent(const struct wire *w, const struct session *s)
{
	return s->flight.first == s->flight.end &&
	       s->heard_ns + w->config.keepalive_ns <= w->now_ns;
}

static void
put_ping(struct wire *w, struct session *s, struct build *b)
{
	bool due = s->repeat_due & REPEAT_PING || (b->w.bytes > 0 && asks_silent(w, s));

	if (!due || flight_full(&s->flight) || b->w.bytes == b->w.capacity)
		return;
	/* Whatever asks for an acknowledgement is as good as a PING. */
	if (!b->asks_ack)
		writer_u8(&b->w, ITEM_PING);
	s->repeat_due &= (uint8_t)~REPEAT_PING;
	b->sent.repeat |= s->initiator && !s->confirmed ? REPEAT_PING : 0;
	b->asks_ack = true;
}

bool
packet_build(struct wire *w, struct session *s, struct wire_packet *packet)
{
	must(s->state == SESSION_OPEN);
	hold_lone_ack(w, s);
	struct order order = order_streams(s);
	bool full = flight_full(&s->flight);

	/* As after nearly every datagram: it took all there was. */
	if (order.count == 0 && !s->ack_now && s->once_bytes == 0 && (full || s->repeat_due == 0))
		return false;
	size_t prefix = s->initiator && !s->confirmed ? CONFIRM_ZERO_BYTES : 0;
	struct build b = {
		.w = writer_over(w->packet + DATAGRAM_HEADER_BYTES + prefix,
				 s->datagram_bytes - DATAGRAM_FRAME_BYTES - prefix),
		.order = order,
	};
	put_returns(w, s, &b);
	if (!may_send(&order, WIRE_CONSENSUS))
		put_once(s, &b);
	for (uint32_t i = 0; i < order.count; i++)
		put_stream(w, s, &b, order.stream[i]);
	put_once(s, &b);
	note_passed_over(s, &b);
	put_ping(w, s, &b);
	must(!b.w.bad);
	if (b.w.bytes == 0)
		return false;
	finish(w, s, &b, packet);
	session_schedule(w, s);
	return true;
}

/* Best effort, unacknowledged: a peer that misses it hears silence instead. */
void
packet_close(struct wire *w, struct session *s, enum wire_reason reason)
{
	struct reply *reply = wire_reply(w, &s->peer_endpoint);

	if (reply == NULL)
		return;
	struct datagram d = {
		.type = DATAGRAM_DATA, .key_id = s->peer_id, .counter = s->flight.next_counter++};
	memcpy(d.epoch, s->epoch, WIRE_EPOCH_BYTES);
	struct writer body = writer_over(reply->data + DATAGRAM_HEADER_BYTES, HELLO_BYTES);
	item_put_close(&body, reason);
	reply->bytes = (uint32_t)seal_datagram(w, s, &d, reply->data, body.bytes);
}
