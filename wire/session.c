/* One session from its opening to its end: what a datagram does to it. */
#include "wire/session.h"

static uint32_t
least(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

/* The smaller of both ends' limits, less the length in front of a message. */
static uint32_t
message_limit(const struct wire *w, const struct hello *peer, enum wire_stream stream)
{
	uint32_t ring = least(w->config.stream_send_bytes[stream], peer->window_bytes[stream]);
	uint32_t bytes = least(w->config.message_bytes_max, peer->message_bytes_max);

	return ring <= LENGTH_BYTES ? 0 : least(bytes, ring - LENGTH_BYTES);
}

void
session_open(struct wire *w, struct session *s, const struct session_terms *terms)
{
	const struct hello *hello = terms->hello;
	bool own_epoch = !zeros(w->config.self.epoch, WIRE_EPOCH_BYTES);

	must(s->state != SESSION_OPEN && s->own_id != 0);
	s->state = SESSION_OPEN;
	s->initiator = terms->initiator;
	s->vouched = terms->vouched;
	s->own = terms->own;
	s->shower.show.under_way = false;
	s->confirmed = !terms->initiator;
	s->opened_untold = true;
	s->refused_untold = WIRE_REASON_NONE;
	s->peer = hello->self;
	s->peer_id = hello->connection;
	s->peer_endpoint = *terms->endpoint;
	memcpy(s->epoch, own_epoch ? w->config.self.epoch : hello->self.epoch, WIRE_EPOCH_BYTES);
	s->datagram_bytes = least(w->config.datagram_bytes_max, hello->datagram_bytes_max);
	s->heard_ns = s->sent_ns = w->now_ns;
	s->ack_now = false;
	s->ack_lone = false;
	s->ack_waits = false;
	s->asked_ns = 0;
	s->once_bytes = 0;
	s->room_due = 0;
	s->inbox_due = 0;
	/* CONFIRM goes out at once, and again until the responder was heard. */
	s->repeat_due = terms->initiator ? REPEAT_PING : 0;
	flight_reset(&s->flight, &(struct flight_config){
					 .window_bytes_max = w->config.in_flight_bytes_max,
					 .datagram_bytes = s->datagram_bytes,
					 .rto_min_ns = w->config.rto_min_ns,
					 .rto_max_ns = w->config.dead_after_ns / 4,
				 });
	flight_sample(&s->flight, terms->rtt_ns);
	receipt_reset(&s->receipt);
	s->replay = (struct replay){.newest = 0};
	rekey_begin(w, s, terms);
	for (int i = 0; i < WIRE_STREAMS; i++) {
		s->message_bytes[i] = message_limit(w, hello, (enum wire_stream)i);
		outbox_reset(&s->outbox[i],
			     i == WIRE_PROGRESS ? UINT64_MAX : hello->window_bytes[i]);
		inbox_reset(&s->inbox[i]);
	}
	w->stats.sessions_opened++;
	bit_set(w->to_send, session_number(w, s));
	bit_set(w->to_tell, session_number(w, s));
	session_schedule(w, s);
}

void
session_connect_again(struct wire *w, struct session *s, uint64_t at_ns)
{
	must(s->connector);
	s->state = SESSION_CONNECTING;
	s->own_id = wire_id_take(w, session_number(w, s));
	s->seal.under_way = false;
	s->shower.show.under_way = false;
	memset(s->cookie, 0, sizeof s->cookie);
	s->init_count = 0;
	s->init_first_ns = w->now_ns;
	s->init_due_ns = at_ns;
	s->slow = false;
	session_schedule(w, s);
}

void
session_close(struct wire *w, struct session *s, enum wire_reason reason, bool tell)
{
	must(s->state == SESSION_OPEN);
	if (tell)
		packet_close(w, s, reason);
	rekey_end(w, s);
	if (w->lent_session == (int)session_number(w, s))
		w->lent_session = -1;
	if (w->heard_session == session_number(w, s))
		w->heard_at = w->heard_bytes;
	/* A session of which the caller never heard closes unheard. */
	if (!s->opened_untold && s->closed_untold == WIRE_REASON_NONE) {
		s->closed_untold = reason;
		s->closed_peer = s->peer;
		w->closings++;
	}
	s->opened_untold = false;
	w->stats.sessions_closed++;
	wire_id_give(w, s->own_id);
	s->own_id = 0;
	s->state = SESSION_FREE;
	bit_clear(w->to_send, session_number(w, s));
	bit_set(w->to_tell, session_number(w, s));
	if (s->connector)
		session_connect_again(w, s, w->now_ns + w->config.connect_retry_ns);
	else
		session_schedule(w, s);
}

/* Items are looked over before any takes effect: a datagram counts whole. */
static bool
items_decode(const struct datagram *d, bool *asks_ack)
{
	struct reader r = reader_over(d->body, d->body_bytes);
	struct wire_item item;

	*asks_ack = false;
	while (item_next(&r, &item))
		if (item.kind != ITEM_ACK && item.kind != ITEM_CLOSE && item.kind != ITEM_ONCE)
			*asks_ack = true;
	return reader_done(&r);
}

/* All of a datagram's fit, as they have a longer head there. */
static void
take_once(struct wire *w, struct session *s, const struct wire_item *item)
{
	uint8_t *at = w->heard + w->heard_bytes;

	must(w->heard_bytes + ONCE_LENGTH_BYTES + item->bytes <= w->config.datagram_bytes_max);
	bytes_put_u16(at, (uint16_t)item->bytes);
	memcpy(at + ONCE_LENGTH_BYTES, item->data, item->bytes);
	w->heard_bytes += ONCE_LENGTH_BYTES + item->bytes;
	w->heard_session = session_number(w, s);
	bit_set(w->to_tell, session_number(w, s));
}

static void
take_ack(struct wire *w, struct session *s, const struct ack *ack)
{
	struct flight_owner owner = {
		.outboxes = s->outbox, .repeat_due = &s->repeat_due, .stats = &w->stats};

	if (!flight_ack(&s->flight, &owner, ack, w->now_ns)) {
		w->stats.drop_ack++;
		return;
	}
	for (int i = 0; i < WIRE_STREAMS; i++) {
		struct outbox *o = &s->outbox[i];
		if (o->wanted_bytes == 0)
			continue;
		if (o->wanted_bytes > o->ring_bytes - (o->end - o->base))
			continue;
		o->wanted_bytes = 0;
		s->room_due |= (uint8_t)(1u << i);
		bit_set(w->to_tell, session_number(w, s));
	}
}

/* Returns whether the item could be kept. Only BYTES can fail. */
static bool
take_item(struct wire *w, struct session *s, const struct wire_item *item)
{
	struct outbox *o = &s->outbox[item->stream];

	switch (item->kind) {
	case ITEM_ACK:
		take_ack(w, s, &item->ack);
		return true;
	case ITEM_CREDIT:
		if (item->offset > o->credit)
			o->credit = item->offset;
		return true;
	case ITEM_REKEY:
		rekey_receive(w, s, item);
		return true;
	case ITEM_PING:
		s->ack_now = true;
		return true;
	case ITEM_ONCE:
		take_once(w, s, item);
		return true;
	case ITEM_BYTES:
		bit_set(w->to_tell, session_number(w, s));
		s->inbox_due |= (uint8_t)(1u << item->stream);
		return inbox_put(&s->inbox[item->stream], item->offset, item->data, item->bytes);
	default:
		return true;
	}
}

static void
note_received(struct wire *w, struct session *s, const struct datagram *d, bool asks_ack)
{
	struct receipt *r = &s->receipt;
	bool gap = receipt_add(r, d->counter, w->now_ns);

	if (!asks_ack)
		return;
	bool alone = !s->ack_waits && s->asked_ns + w->config.ack_delay_ns <= w->now_ns;
	s->asked_ns = w->now_ns;
	r->unacked++;
	/* A gap is told at once: the sender's fast retransmission waits for it. So is one
	 * that waits for nothing: to wake up for it costs as much as to send it. */
	s->ack_now |= gap || r->unacked >= 2;
	s->ack_lone = alone;
	if (r->ack_due_ns == UINT64_MAX)
		r->ack_due_ns = w->now_ns + w->config.ack_delay_ns;
}

/* Returns the reason of a CLOSE among them; `kept` turns false where bytes were not. */
static enum wire_reason
take_items(struct wire *w, struct session *s, const struct datagram *d, bool *kept)
{
	struct reader r = reader_over(d->body, d->body_bytes);
	struct wire_item item = {.stream = WIRE_CONTROL};

	*kept = true;
	while (item_next(&r, &item)) {
		if (item.kind == ITEM_CLOSE)
			return item.reason == WIRE_REASON_FULL ? item.reason : WIRE_REASON_PEER;
		if (!take_item(w, s, &item))
			*kept = false;
	}
	return WIRE_REASON_NONE;
}

/* Whether a datagram is the peer's, of now and new; counts why not. Its body then
 * holds items, and nothing else. */
static bool
admit(struct wire *w, struct session *s, struct datagram *d)
{
	if (memcmp(d->epoch, s->epoch, WIRE_EPOCH_BYTES) != 0) {
		w->stats.drop_epoch++;
		return false;
	}
	enum replay_verdict verdict = replay_check(&s->replay, d->counter);
	if (verdict != REPLAY_NEW) {
		*(verdict == REPLAY_OLD ? &w->stats.drop_old : &w->stats.drop_duplicate) += 1;
		return false;
	}
	if (!seal_open(w, s, d))
		return false;
	if (d->type == DATAGRAM_CONFIRM) {
		if (d->body_bytes < CONFIRM_ZERO_BYTES || !zeros(d->body, CONFIRM_ZERO_BYTES)) {
			w->stats.drop_malformed++;
			return false;
		}
		d->body += CONFIRM_ZERO_BYTES;
		d->body_bytes -= CONFIRM_ZERO_BYTES;
	}
	return true;
}

void
session_receive(struct wire *w, struct session *s, const struct endpoint *from,
		const struct datagram *datagram)
{
	struct datagram d = *datagram;
	bool asks_ack, kept, first = !s->confirmed;

	must(s->state == SESSION_OPEN);
	if (!admit(w, s, &d))
		return;
	if (!items_decode(&d, &asks_ack)) {
		w->stats.drop_malformed++;
		return;
	}
	if (d.counter > s->replay.newest)
		s->peer_endpoint = *from;
	replay_add(&s->replay, d.counter);
	rekey_heard(w, s, d.generation);
	s->heard_ns = w->now_ns;
	s->confirmed = true;
	enum wire_reason closed = take_items(w, s, &d, &kept);
	if (closed == WIRE_REASON_FULL && s->initiator && first && s->connector) {
		handshake_too_late(w, s);
		return;
	}
	if (closed != WIRE_REASON_NONE) {
		session_close(w, s, WIRE_REASON_PEER, false);
		return;
	}
	/* What was not kept is not acknowledged: its other items may come again. */
	if (kept)
		note_received(w, s, &d, asks_ack);
	else
		w->stats.drop_window++;
	bit_set(w->to_send, session_number(w, s));
	session_schedule(w, s);
}

/* Whom the peer has told something since may hope to be asked: whoever sends anyway asks a
 * silent end (packet_build()), and that saves the end a wake-up of its own. */
static uint64_t
keep_alive_ns(const struct wire *w, const struct session *s)
{
	uint64_t ns = w->config.keepalive_ns;

	return s->sent_ns + (s->heard_ns > s->sent_ns ? ns + ns / 2 : ns);
}

/* Who was heard lately need not answer. */
static void
keep_alive(struct wire *w, struct session *s)
{
	if (s->receipt.newest == 0 || s->heard_ns + w->config.keepalive_ns <= w->now_ns)
		s->repeat_due |= REPEAT_PING;
	else
		s->ack_now = true;
}

void
session_tick(struct wire *w, struct session *s)
{
	struct flight_owner owner = {
		.outboxes = s->outbox, .repeat_due = &s->repeat_due, .stats = &w->stats};

	must(s->state == SESSION_OPEN);
	if (s->heard_ns + w->config.dead_after_ns <= w->now_ns) {
		session_close(w, s, WIRE_REASON_SILENT, true);
		return;
	}
	flight_tick(&s->flight, &owner, w->now_ns);
	if (s->receipt.ack_due_ns <= w->now_ns) {
		s->ack_now = true;
		s->ack_waits = false;
	}
	if (keep_alive_ns(w, s) <= w->now_ns)
		keep_alive(w, s);
	bit_set(w->to_send, session_number(w, s));
	rekey_tick(w, s);
	if (s->state == SESSION_OPEN)
		session_schedule(w, s);
}

/* When session_tick() or the next INIT is due. */
void
session_schedule(struct wire *w, struct session *s)
{
	uint64_t *due_ns = &w->due_ns[session_number(w, s)];

	if (s->state == SESSION_FREE) {
		*due_ns = UINT64_MAX;
		return;
	}
	if (s->state == SESSION_CONNECTING) {
		*due_ns = s->init_due_ns;
		return;
	}
	const uint64_t candidates[] = {
		s->heard_ns + w->config.dead_after_ns,
		s->repeat_due & REPEAT_PING || s->ack_now ? UINT64_MAX : keep_alive_ns(w, s),
		s->ack_now ? UINT64_MAX : s->receipt.ack_due_ns,
		flight_due_ns(&s->flight),
		rekey_due_ns(w, s),
	};
	*due_ns = UINT64_MAX;
	for (size_t i = 0; i < sizeof candidates / sizeof candidates[0]; i++)
		if (candidates[i] < *due_ns)
			*due_ns = candidates[i];
}
