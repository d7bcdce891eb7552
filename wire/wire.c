/* All sessions of one end: memory, ids, entropy, dispatch, events, timers. */
#include "wire/session.h"

#define ALIGN_BYTES        64
#define STREAM_BYTES       (64 * 1024)
#define IN_FLIGHT_BYTES    (256 * 1024)
#define HALF_OPEN          16
#define RTO_MIN_NS         2000000
#define ACK_DELAY_NS       100000
#define DATAGRAM_BYTES_MIN 512
#define DATAGRAM_BYTES_MAX 65507
#define ENTROPY_CHUNK      64
#define KEYS               64
#define REKEY_NS           120000000000u
#define REKEY_DATAGRAMS    ((uint64_t)1 << 32)

const enum wire_stream wire_priority[WIRE_STREAMS] = {
	WIRE_CONTROL, WIRE_CONSENSUS, WIRE_SUBMIT, WIRE_PROGRESS, WIRE_FEED,
};

static bool
power_of_two(uint32_t n)
{
	return n != 0 && (n & (n - 1)) == 0;
}

/* The configuration with its defaults filled in. */
static struct wire_config
complete(const struct wire_config *given)
{
	struct wire_config c = *given;

	for (int i = 0; i < WIRE_STREAMS; i++) {
		if (c.stream_send_bytes[i] == 0)
			c.stream_send_bytes[i] = STREAM_BYTES;
		if (c.stream_receive_bytes[i] == 0)
			c.stream_receive_bytes[i] = STREAM_BYTES;
		must(power_of_two(c.stream_send_bytes[i]));
		must(power_of_two(c.stream_receive_bytes[i]));
	}
	c.in_flight_bytes_max = c.in_flight_bytes_max ? c.in_flight_bytes_max : IN_FLIGHT_BYTES;
	c.half_open_max = c.half_open_max ? c.half_open_max : HALF_OPEN;
	c.rto_min_ns = c.rto_min_ns ? c.rto_min_ns : RTO_MIN_NS;
	c.ack_delay_ns = c.ack_delay_ns ? c.ack_delay_ns : ACK_DELAY_NS;
	c.keys_max = c.keys_max ? c.keys_max : KEYS;
	c.rekey_ns = c.rekey_ns ? c.rekey_ns : REKEY_NS;
	c.rekey_datagrams = c.rekey_datagrams ? c.rekey_datagrams : REKEY_DATAGRAMS;
	must(c.sessions_max > 0 && c.sessions_max <= WIRE_SESSIONS_MAX);
	must(c.half_open_max <= WIRE_SESSIONS_MAX);
	must(c.datagram_bytes_max >= DATAGRAM_BYTES_MIN);
	must(c.datagram_bytes_max <= DATAGRAM_BYTES_MAX);
	must(c.message_bytes_max > 0 && c.message_bytes_max <= WIRE_MESSAGE_BYTES_MAX);
	must(c.keepalive_ns > 0 && c.connect_retry_ns > 0);
	must(c.dead_after_ns >= 2 * c.keepalive_ns);
	must(c.self.kind == WIRE_NODE || c.self.kind == WIRE_MEMBER);
	return c;
}

/* Measures (base NULL) and places: the same walk for both, so they agree. */
struct arena {
	uint8_t *base;
	size_t bytes;
	size_t state_bytes; /* from the start: all but rings and tables of records */
};

static void *
arena_take(struct arena *a, size_t bytes)
{
	size_t at = a->bytes;

	a->bytes += (bytes + ALIGN_BYTES - 1) / ALIGN_BYTES * ALIGN_BYTES;
	return a->base == NULL ? NULL : a->base + at;
}

static void
place_session(struct session *s, const struct wire_config *c, struct arena *a)
{
	struct session unplaced;

	/* While measuring there is no session to write to. */
	s = s == NULL ? &unplaced : s;
	s->flight.packets = arena_take(a, FLIGHT_PACKETS * sizeof(struct sent));
	if (c->certificates != NULL && c->certificates->demanded)
		s->shower.show.data = arena_take(a, CERTIFICATES_BYTES_MAX);
	s->once = arena_take(a, ONCE_BYTES);
	for (int i = 0; i < WIRE_STREAMS; i++) {
		struct outbox *o = &s->outbox[i];
		o->ring_bytes = c->stream_send_bytes[i];
		o->ring = arena_take(a, o->ring_bytes);
		o->segments = arena_take(a, OUTBOX_SEGMENTS * sizeof(struct segment));
		s->inbox[i].ring_bytes = c->stream_receive_bytes[i];
		s->inbox[i].ring = arena_take(a, c->stream_receive_bytes[i]);
	}
}

/* Twice as many as owners: a free place is near any random one. */
static uint32_t
id_places(const struct wire_config *c)
{
	uint32_t places = 64;

	while (places < 2 * (c->sessions_max + c->half_open_max))
		places *= 2;
	return places;
}

static struct wire *
place(const struct wire_config *c, struct arena *a)
{
	struct wire *w = arena_take(a, sizeof *w), unplaced;
	size_t words = (c->sessions_max + 63) / 64;
	struct wire *to = w == NULL ? &unplaced : w;

	to->sessions = arena_take(a, c->sessions_max * sizeof(struct session));
	to->half_open = arena_take(a, c->half_open_max * sizeof(struct half_open));
	to->keys = arena_take(a, c->keys_max * sizeof(struct wire_key));
	to->ids = arena_take(a, id_places(c) * sizeof(struct id_entry));
	to->due_ns = arena_take(a, c->sessions_max * sizeof(uint64_t));
	to->to_send = arena_take(a, words * sizeof(uint64_t));
	to->to_tell = arena_take(a, words * sizeof(uint64_t));
	to->gated = arena_take(a, words * sizeof(uint64_t));
	a->state_bytes = a->bytes;
	to->scratch = arena_take(a, c->message_bytes_max);
	to->packet = arena_take(a, c->datagram_bytes_max);
	to->opened = arena_take(a, c->datagram_bytes_max);
	to->heard = arena_take(a, c->datagram_bytes_max);
	for (uint32_t i = 0; i < c->sessions_max; i++)
		place_session(w == NULL ? NULL : &w->sessions[i], c, a);
	for (uint32_t i = 0; i < c->half_open_max; i++) {
		uint8_t *data = c->certificates != NULL && c->certificates->accepted
					? arena_take(a, CERTIFICATES_BYTES_MAX)
					: NULL;
		if (w != NULL)
			w->half_open[i].show.data = data;
	}
	return w;
}

size_t
wire_size(const struct wire_config *config)
{
	struct wire_config c = complete(config);
	struct arena a = {.base = NULL};

	place(&c, &a);
	return a.bytes;
}

struct wire *
wire_init(void *memory, const struct wire_config *config)
{
	struct wire_config c = complete(config);
	struct arena measured = {.base = NULL}, a = {.base = memory};

	must(memory != NULL);
	/* Rings and records are written before they are read; to leave them alone
	 * keeps the memory of sessions that never open untouched. */
	place(&c, &measured);
	memset(memory, 0, measured.state_bytes);
	struct wire *w = place(&c, &a);
	w->config = c;
	w->id_mask = id_places(&c) - 1;
	w->lent_session = -1;
	for (uint32_t i = 0; i < c.sessions_max; i++)
		w->due_ns[i] = UINT64_MAX;
	seal_start(w);
	return w;
}

void
wire_random(struct wire *w, const uint8_t *bytes, size_t n)
{
	uint8_t input[ENTROPY_CHUNK + 1];

	for (size_t at = 0; at < n; at += ENTROPY_CHUNK) {
		size_t chunk = n - at < ENTROPY_CHUNK ? n - at : ENTROPY_CHUNK;
		memset(input, 0, sizeof input);
		memcpy(input, bytes + at, chunk);
		uint64_t low = siphash(w->secret, input, sizeof input);
		input[ENTROPY_CHUNK] = 1;
		uint64_t high = siphash(w->secret, input, sizeof input);
		bytes_put_u64(w->secret, low);
		bytes_put_u64(w->secret + 8, high);
	}
	w->entropy_bytes += n;
	seal_mix(w, bytes, n);
}

void
wire_keys(struct wire *w, const struct wire_key *keys, uint32_t count)
{
	must(count <= w->config.keys_max);
	if (count > 0)
		memcpy(w->keys, keys, count * sizeof *keys);
	w->key_count = count;
	for (uint32_t i = 0; sealed(w) && i < w->config.sessions_max; i++) {
		struct session *s = &w->sessions[i];
		bool named = s->initiator && !zeros(s->expected.key, WIRE_KEY_BYTES);
		if (s->state == SESSION_OPEN && !named && !s->vouched &&
		    !seal_key_allowed(w, &s->peer))
			session_close(w, s, WIRE_REASON_KEY, true);
	}
}

void
wire_certificates(struct wire *w, const struct certificates *certificates)
{
	const struct certificates *old = w->config.certificates;

	must(old != NULL && certificates != NULL);
	must(old->demanded == certificates->demanded);
	must(old->accepted == certificates->accepted);
	w->config.certificates = certificates;
	for (uint32_t i = 0; i < w->config.sessions_max; i++) {
		struct session *s = &w->sessions[i];
		s->shower.show.under_way = false; /* from INIT on, at its time */
		if (s->state == SESSION_OPEN && s->vouched)
			session_close(w, s, WIRE_REASON_KEY, true);
	}
	for (uint32_t i = 0; i < w->config.half_open_max; i++)
		if (w->half_open[i].used && w->half_open[i].show.under_way)
			handshake_forget(w, &w->half_open[i]);
}

uint64_t
wire_draw(struct wire *w)
{
	uint8_t input[8];

	must(w->entropy_bytes >= ENTROPY_BYTES_MIN);
	bytes_put_u64(input, ++w->drawn);
	return siphash(w->secret, input, sizeof input);
}

uint32_t
wire_id_take(struct wire *w, uint32_t owner)
{
	uint32_t random = (uint32_t)wire_draw(w) | (w->id_mask + 1); /* never 0 */

	for (uint32_t i = 0; i <= w->id_mask; i++) {
		struct id_entry *e = &w->ids[(random + i) & w->id_mask];
		if (e->id != 0)
			continue;
		e->id = (random & ~w->id_mask) | ((random + i) & w->id_mask);
		e->owner = owner;
		return e->id;
	}
	must(false);
	return 0;
}

struct id_entry *
wire_id_find(struct wire *w, uint32_t id)
{
	struct id_entry *e = &w->ids[id & w->id_mask];

	return id != 0 && e->id == id ? e : NULL;
}

void
wire_id_give(struct wire *w, uint32_t id)
{
	struct id_entry *e = wire_id_find(w, id);

	must(e != NULL);
	e->id = 0;
}

struct reply *
wire_reply(struct wire *w, const struct endpoint *to)
{
	if (w->reply_end - w->reply_first == REPLIES) {
		w->stats.drop_reply_queue++;
		return NULL;
	}
	struct reply *reply = &w->replies[w->reply_end++ & (REPLIES - 1)];
	reply->to = *to;
	reply->bytes = 0;
	return reply;
}

static void
advance(struct wire *w, uint64_t now_ns)
{
	if (now_ns > w->now_ns)
		w->now_ns = now_ns;
}

int
wire_connect(struct wire *w, const struct endpoint *to, const struct wire_identity *expected,
	     uint64_t now_ns)
{
	static const struct wire_identity any;
	const struct wire_identity *who = expected == NULL ? &any : expected;

	advance(w, now_ns);
	struct session *s = handshake_done(w, to, who);
	bool open = s != NULL;
	for (uint32_t i = 0; s == NULL && i < w->config.sessions_max; i++)
		if (w->sessions[i].state == SESSION_FREE &&
		    w->sessions[i].closed_untold == WIRE_REASON_NONE)
			s = &w->sessions[i];
	if (s == NULL)
		return -1;
	s->connector = true;
	s->connect_to = *to;
	s->expected = *who;
	if (!open) {
		session_connect_again(w, s, w->now_ns);
		handshake_start(w, s);
	}
	return (int)session_number(w, s);
}

static struct session *
session_at(const struct wire *w, int session)
{
	must(session >= 0 && (uint32_t)session < w->config.sessions_max);
	return &w->sessions[session];
}

void
wire_close(struct wire *w, int session)
{
	struct session *s = session_at(w, session);

	s->connector = false;
	if (s->closed_untold != WIRE_REASON_NONE)
		w->closings--;
	s->closed_untold = WIRE_REASON_NONE;
	/* No event any more: as if the opening had not been told. */
	s->opened_untold = true;
	if (s->state == SESSION_OPEN)
		session_close(w, s, WIRE_REASON_PEER, true);
	if (s->state == SESSION_CONNECTING)
		wire_id_give(w, s->own_id);
	s->state = SESSION_FREE;
	s->own_id = 0;
	s->opened_untold = false;
	s->refused_untold = WIRE_REASON_NONE;
	session_schedule(w, s);
}

static void
receive(struct wire *w, const struct endpoint *from, const struct datagram *d)
{
	if (d->type != DATAGRAM_DATA) {
		handshake_receive(w, from, d);
		return;
	}
	const struct id_entry *e = wire_id_find(w, d->key_id);
	bool open = e != NULL && e->owner < w->config.sessions_max &&
		    w->sessions[e->owner].state == SESSION_OPEN;
	if (open)
		session_receive(w, &w->sessions[e->owner], from, d);
	else
		w->stats.drop_unknown++;
}

void
wire_receive(struct wire *w, const struct endpoint *from, const uint8_t *data, size_t bytes,
	     uint64_t now_ns)
{
	struct datagram d;

	advance(w, now_ns);
	w->heard_at = w->heard_bytes = 0;
	w->stats.packets_received++;
	w->stats.bytes_received += bytes;
	if (bytes < DATAGRAM_FRAME_BYTES || bytes > w->config.datagram_bytes_max) {
		w->stats.drop_size++;
		return;
	}
	enum datagram_check check =
		sealed(w) ? datagram_parse(&d, data, bytes) : datagram_open(&d, data, bytes);
	if (check != DATAGRAM_WHOLE) {
		w->stats.drop_checksum += check == DATAGRAM_DAMAGED;
		w->stats.drop_malformed += check == DATAGRAM_MALFORMED;
		return;
	}
	if (sealed(w) && d.generation == 0)
		handshake_in_clear(w, from, &d);
	else
		receive(w, from, &d);
}

static void
session_durable(struct wire *w, struct session *s)
{
	bool gated = false;

	for (int i = 0; i < WIRE_STREAMS && s->state == SESSION_OPEN; i++) {
		if (outbox_durable(&s->outbox[i], w->durable_lsn))
			bit_set(w->to_send, session_number(w, s));
		gated = gated || outbox_gated(&s->outbox[i]);
	}
	if (!gated)
		bit_clear(w->gated, session_number(w, s));
}

void
wire_durable(struct wire *w, uint64_t lsn)
{
	must(lsn >= w->durable_lsn);
	w->durable_lsn = lsn;
	for (uint32_t i = 0; i < (w->config.sessions_max + 63) / 64; i++)
		for (uint64_t left = w->gated[i]; left != 0; left &= left - 1)
			session_durable(w, &w->sessions[i * 64 + (uint32_t)__builtin_ctzll(left)]);
}

/* Open, and the caller knows this very session as open. */
static bool
known_open(const struct session *s)
{
	return s->state == SESSION_OPEN && !s->opened_untold;
}

uint32_t
wire_message_bytes_max(const struct wire *w, int session, enum wire_stream stream)
{
	const struct session *s = session_at(w, session);

	must(stream < WIRE_STREAMS);
	return known_open(s) ? s->message_bytes[stream] : 0;
}

bool
wire_is_idle(const struct wire *w, int session, enum wire_stream stream)
{
	const struct outbox *o = &session_at((struct wire *)w, session)->outbox[stream];

	must(stream < WIRE_STREAMS);
	return o->base == o->end;
}

bool
wire_send(struct wire *w, int session, enum wire_stream stream, const struct wire_slice *slices,
	  uint32_t slice_count, uint64_t after_lsn)
{
	struct session *s = session_at(w, session);
	size_t bytes = 0;

	must(stream < WIRE_STREAMS && slice_count <= WIRE_SLICES_MAX);
	for (uint32_t i = 0; i < slice_count; i++) {
		must(slices[i].bytes <= w->config.message_bytes_max);
		bytes += slices[i].bytes;
	}
	must(bytes <= w->config.message_bytes_max);
	if (!known_open(s))
		return false;
	if (bytes > s->message_bytes[stream]) {
		w->stats.send_too_large++;
		return false;
	}
	struct outbox *o = &s->outbox[stream];
	if (!outbox_write(o, slices, slice_count, (uint32_t)bytes))
		return false;
	outbox_gate(o, after_lsn, w->durable_lsn);
	if (outbox_gated(o))
		bit_set(w->gated, (uint32_t)session);
	w->stats.messages_sent++;
	bit_set(w->to_send, (uint32_t)session);
	return true;
}

bool
wire_send_once(struct wire *w, int session, const struct wire_slice *slices, uint32_t slice_count)
{
	struct session *s = session_at(w, session);
	size_t bytes = 0;

	must(slice_count <= WIRE_SLICES_MAX);
	for (uint32_t i = 0; i < slice_count; i++) {
		must(slices[i].bytes <= WIRE_ONCE_BYTES_MAX);
		bytes += slices[i].bytes;
	}
	must(bytes > 0 && bytes <= WIRE_ONCE_BYTES_MAX);
	if (!known_open(s) || ONCE_BYTES - s->once_bytes < ONCE_HEAD_BYTES + bytes)
		return false;
	struct writer out = writer_over(s->once + s->once_bytes, ONCE_HEAD_BYTES + bytes);
	item_put_once_head(&out, (uint32_t)bytes);
	for (uint32_t i = 0; i < slice_count; i++)
		writer_raw(&out, slices[i].data, slices[i].bytes);
	must(!out.bad);
	s->once_bytes += (uint32_t)out.bytes;
	w->stats.once_sent++;
	bit_set(w->to_send, (uint32_t)session);
	return true;
}

void
wire_hold(struct wire *w, int session, enum wire_stream stream, bool hold)
{
	struct session *s = session_at(w, session);

	must(stream < WIRE_STREAMS);
	if (!known_open(s))
		return;
	s->inbox[stream].held = hold;
	bit_set(w->to_tell, (uint32_t)session);
}

/* The lent message is read: its bytes are free, and granted anew in quarters. */
static void
take_back(struct wire *w)
{
	if (w->lent_session < 0)
		return;
	struct session *s = session_at(w, w->lent_session);
	struct inbox *in = &s->inbox[w->lent_stream];

	inbox_consume(in);
	if (w->lent_stream != WIRE_PROGRESS && inbox_grant_due(in)) {
		s->repeat_due |= (uint8_t)(1u << w->lent_stream);
		bit_set(w->to_send, (uint32_t)w->lent_session);
	}
	w->lent_session = -1;
}

static bool
tell_closed(struct wire *w, struct session *s, struct wire_event *event)
{
	if (s->closed_untold == WIRE_REASON_NONE)
		return false;
	event->kind = WIRE_CLOSED;
	event->reason = s->closed_untold;
	event->peer = s->closed_peer;
	s->closed_untold = WIRE_REASON_NONE;
	must(w->closings > 0);
	w->closings--;
	return true;
}

static bool
tell_handshake(struct session *s, struct wire_event *event)
{
	if (s->refused_untold != WIRE_REASON_NONE) {
		event->kind = WIRE_REFUSED;
		event->reason = s->refused_untold;
		event->endpoint = s->connect_to;
		s->refused_untold = WIRE_REASON_NONE;
		return true;
	}
	if (!s->opened_untold)
		return false;
	event->kind = WIRE_OPENED;
	event->peer = s->peer;
	event->endpoint = s->peer_endpoint;
	event->vouched = s->vouched;
	s->opened_untold = false;
	return true;
}

static bool
tell_message(struct wire *w, struct session *s, struct wire_event *event)
{
	for (int i = 0; i < WIRE_STREAMS && s->inbox_due != 0; i++) {
		enum wire_stream stream = wire_priority[i];
		struct inbox *in = &s->inbox[stream];
		if (!(s->inbox_due >> stream & 1) || in->held)
			continue;
		uint32_t bytes_max = in->ring_bytes - LENGTH_BYTES;
		if (bytes_max > w->config.message_bytes_max)
			bytes_max = w->config.message_bytes_max;
		enum inbox_state state = inbox_look(in, bytes_max, &event->bytes);
		if (state == INBOX_TOO_LARGE) {
			session_close(w, s, WIRE_REASON_PROTOCOL, true);
			return tell_closed(w, s, event);
		}
		if (state != INBOX_MESSAGE) {
			s->inbox_due &= (uint8_t) ~(1u << stream);
			continue;
		}
		event->kind = WIRE_MESSAGE;
		event->stream = stream;
		event->data = inbox_lend(in, event->bytes, w->scratch);
		w->lent_session = (int)session_number(w, s);
		w->lent_stream = stream;
		w->stats.messages_delivered++;
		return true;
	}
	return false;
}

static bool
tell_room(struct session *s, struct wire_event *event)
{
	for (int i = 0; i < WIRE_STREAMS; i++) {
		if (!(s->room_due & 1u << i))
			continue;
		s->room_due &= (uint8_t) ~(1u << i);
		event->kind = WIRE_ROOM;
		event->stream = (enum wire_stream)i;
		return true;
	}
	return false;
}

/* Behind the streams: what it says may be of what they carried. */
static bool
tell_heard(struct wire *w, struct session *s, struct wire_event *event)
{
	if (w->heard_at == w->heard_bytes || w->heard_session != session_number(w, s))
		return false;
	event->kind = WIRE_HEARD;
	event->bytes = bytes_get_u16(w->heard + w->heard_at);
	event->data = w->heard + w->heard_at + ONCE_LENGTH_BYTES;
	w->heard_at += ONCE_LENGTH_BYTES + event->bytes;
	must(w->heard_at <= w->heard_bytes);
	w->stats.once_heard++;
	return true;
}

static bool
tell(struct wire *w, struct session *s, struct wire_event *event)
{
	if (tell_handshake(s, event))
		return true;
	if (s->state != SESSION_OPEN)
		return false;
	return tell_message(w, s, event) || tell_heard(w, s, event) || tell_room(s, event);
}

/* The first set bit at or after `from`, cyclically; false where none is set. */
static inline bool
bits_next(const uint64_t *bits, uint32_t count, uint32_t from, uint32_t *found)
{
	uint32_t words = (count + 63) / 64, word = from / 64;
	uint64_t here = bits[word] & ~(uint64_t)0 << from % 64;

	for (uint32_t i = 0; here == 0; i++) {
		if (i == words)
			return false;
		word = word + 1 == words ? 0 : word + 1;
		here = bits[word];
	}
	*found = word * 64 + (uint32_t)__builtin_ctzll(here);
	return true;
}

bool
wire_next_event(struct wire *w, struct wire_event *event)
{
	uint32_t n, count = w->config.sessions_max;

	take_back(w);
	if (w->closings == 0 && !bits_next(w->to_tell, count, w->tell_cursor, &n))
		return false; /* as after nearly every step of the caller */
	memset(event, 0, sizeof *event);
	/* Closings before all else: a session that takes another's place must not
	 * be told before that one's end. */
	for (uint32_t from = 0; w->closings > 0 && from < count; from++) {
		event->session = (int)from;
		if (tell_closed(w, &w->sessions[from], event))
			return true;
	}
	while (bits_next(w->to_tell, count, w->tell_cursor, &n)) {
		event->session = (int)n;
		w->tell_cursor = n + 1 == count ? 0 : n + 1;
		if (tell(w, &w->sessions[n], event))
			return true;
		bit_clear(w->to_tell, n);
	}
	return false;
}

static bool
next_reply(struct wire *w, struct wire_packet *packet)
{
	while (w->reply_first != w->reply_end) {
		const struct reply *reply = &w->replies[w->reply_first++ & (REPLIES - 1)];
		memcpy(w->packet, reply->data, reply->bytes);
		*packet = (struct wire_packet){
			.to = reply->to, .data = w->packet, .bytes = reply->bytes};
		return true;
	}
	return false;
}

static bool
next_of_sessions(struct wire *w, struct wire_packet *packet)
{
	uint32_t n, count = w->config.sessions_max;

	while (bits_next(w->to_send, count, w->send_cursor, &n)) {
		struct session *s = &w->sessions[n];
		w->send_cursor = n + 1 == count ? 0 : n + 1;
		if (s->state == SESSION_OPEN && packet_build(w, s, packet))
			return true;
		bit_clear(w->to_send, n);
	}
	return false;
}

bool
wire_next_packet(struct wire *w, struct wire_packet *packet, uint64_t now_ns)
{
	advance(w, now_ns);
	if (!next_reply(w, packet) && !next_of_sessions(w, packet))
		return false;
	must(packet->bytes <= w->config.datagram_bytes_max);
	w->stats.packets_sent++;
	w->stats.bytes_sent += packet->bytes;
	return true;
}

uint64_t
wire_timer_ns(const struct wire *w)
{
	uint64_t due_ns = handshake_due_ns(w);

	for (uint32_t i = 0; i < w->config.sessions_max; i++)
		if (w->due_ns[i] < due_ns)
			due_ns = w->due_ns[i];
	return due_ns;
}

static void
forgive(struct wire *w, uint64_t stall_ns)
{
	w->stats.stall_ns += stall_ns;
	for (uint32_t i = 0; i < w->config.sessions_max; i++) {
		struct session *s = &w->sessions[i];
		if (s->state == SESSION_OPEN)
			s->heard_ns = s->heard_ns + stall_ns < w->now_ns ? s->heard_ns + stall_ns
									 : w->now_ns;
	}
}

void
wire_tick(struct wire *w, uint64_t now_ns)
{
	uint64_t due_ns = wire_timer_ns(w);

	advance(w, now_ns);
	if (w->now_ns > due_ns && w->now_ns - due_ns >= w->config.dead_after_ns / 2)
		forgive(w, w->now_ns - due_ns);
	for (uint32_t i = 0; i < w->config.sessions_max; i++) {
		struct session *s = &w->sessions[i];
		if (w->due_ns[i] > w->now_ns)
			continue;
		if (s->state == SESSION_CONNECTING)
			handshake_start(w, s);
		else
			session_tick(w, s);
	}
	handshake_tick(w);
}

const struct wire_stats *
wire_stats(const struct wire *w)
{
	return &w->stats;
}

void
wire_session_status(const struct wire *w, int session, struct wire_session_status *out)
{
	const struct session *s = session_at(w, session);

	memset(out, 0, sizeof *out);
	if (s->state != SESSION_OPEN)
		return;
	out->open = true;
	out->initiator = s->initiator;
	out->peer = s->peer;
	out->endpoint = s->peer_endpoint;
	out->rtt_ns = s->flight.rtt_ns;
	out->rtt_variance_ns = s->flight.rtt_variance_ns;
	out->heard_ns = s->heard_ns;
	out->in_flight_bytes = s->flight.flying_bytes;
	out->window_bytes = s->flight.window_bytes;
	for (int i = 0; i < WIRE_STREAMS; i++)
		out->unsent_bytes[i] = s->outbox[i].end - s->outbox[i].next;
}
