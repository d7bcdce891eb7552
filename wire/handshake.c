/*
 * From two strangers to a session.
 *
 *     initiator                          responder
 *     connecting   -- INIT ----------->  entry in `half_open`
 *                  <- RESPONSE --------
 *     open         -- CONFIRM -------->  open
 *
 * The responder's entry is found by nothing but the connection id that the
 * RESPONSE carried to the initiator's address, so CONFIRM proves that address.
 * With half of the table in use an INIT must first bring back a cookie, which
 * only who receives at its source address has; nothing is kept for one without.
 *
 * Two nodes that connect to each other at once: the lower identity's INIT counts,
 * the other's is not answered. But only CONNECT_RACE_MAX times: where the lower
 * one has a wrong address of the other, silence would be for ever. If both then
 * complete, each end closes what the higher identity opened.
 */
#include "wire/session.h"

struct reply_head {
	enum wire_datagram type;
	uint32_t key_id;
	const uint8_t *mac; /* of who answers in this handshake; NULL: in clear */
};

/* What stands around a reply's body. */
static void
reply_finish(const struct wire *w, struct reply *reply, const struct reply_head *head,
	     size_t body_bytes)
{
	struct datagram d = {
		.type = head->type, .key_id = head->key_id, .generation = head->mac != NULL};

	memcpy(d.epoch, w->config.self.epoch, WIRE_EPOCH_BYTES);
	reply->bytes = (uint32_t)(DATAGRAM_FRAME_BYTES + body_bytes);
	datagram_put_header(&d, reply->data);
	if (head->mac == NULL)
		datagram_put_tag(reply->data, reply->bytes);
	else
		seal_put_mac(head->mac, reply->data, reply->bytes);
}

/* As reply_finish() wants it from the end that answers. */
static const uint8_t *
own_mac(const struct wire *w)
{
	return sealed(w) ? w->own[w->own_asked].mac : NULL;
}

static struct hello
own_hello(const struct wire *w, uint32_t connection, uint64_t time_ns)
{
	struct hello h = {
		.self = w->config.self,
		.connection = connection,
		.time_ns = time_ns,
		.datagram_bytes_max = w->config.datagram_bytes_max,
		.message_bytes_max = w->config.message_bytes_max,
		.certificates = show_bytes(w) > 0 ? HELLO_SHOWS : 0,
	};
	memcpy(h.window_bytes, w->config.stream_receive_bytes, sizeof h.window_bytes);
	return h;
}

/* INIT, and its repetition. */
void
handshake_start(struct wire *w, struct session *s)
{
	uint64_t wait_ns = w->config.connect_retry_ns * (s->slow ? CONNECT_SLOW : 1);

	must(s->state == SESSION_CONNECTING);
	if (show_again(w, s))
		return;
	s->init_due_ns = w->now_ns + wait_ns;
	session_schedule(w, s);
	struct hello h = own_hello(w, s->own_id, w->now_ns);
	h.expected = s->expected;
	if (show_demanded(w))
		h.certificates |= HELLO_DEMANDS;
	memcpy(h.cookie, s->cookie, COOKIE_BYTES);
	if (sealed(w) && !seal_write_init(w, s, &h))
		return; /* whom to trust there is not listed, so far */
	struct reply *reply = wire_reply(w, &s->connect_to);
	if (reply == NULL)
		return;
	if (s->init_count++ == 0)
		s->init_first_ns = w->now_ns;
	s->init_last_ns = w->now_ns;
	uint8_t *body = reply->data + DATAGRAM_HEADER_BYTES;
	hello_encode(&h, body);
	if (sealed(w))
		memcpy(body + HELLO_HEAD_BYTES, s->seal.message, INIT_MESSAGE_BYTES);
	struct reply_head head = {.type = DATAGRAM_INIT, .mac = sealed(w) ? s->seal.mac : NULL};
	reply_finish(w, reply, &head, HELLO_BYTES);
}

static void
cookie_make(const struct wire *w, const struct endpoint *from, uint64_t period, uint8_t *out)
{
	uint8_t input[ENDPOINT_ADDRESS_BYTES + 2 + 8 + 1];
	struct writer in = writer_over(input, sizeof input);

	writer_raw(&in, from->address, sizeof from->address);
	writer_u16(&in, from->port);
	writer_u64(&in, period);
	writer_u8(&in, 1);
	bytes_put_u64(out, siphash(w->secret, input, sizeof input));
	input[sizeof input - 1] = 2;
	bytes_put_u64(out + 8, siphash(w->secret, input, sizeof input));
}

static bool
cookie_good(const struct wire *w, const struct endpoint *from, const uint8_t *cookie)
{
	uint64_t period = w->now_ns / COOKIE_LIFE_NS;
	uint8_t good[COOKIE_BYTES];

	cookie_make(w, from, period, good);
	if (memcmp(cookie, good, sizeof good) == 0)
		return true;
	cookie_make(w, from, period - 1, good);
	return memcmp(cookie, good, sizeof good) == 0;
}

static void
send_cookie(struct wire *w, const struct endpoint *from, const struct hello *hello)
{
	struct reply *reply = wire_reply(w, from);

	if (reply == NULL)
		return;
	uint8_t *body = reply->data + DATAGRAM_HEADER_BYTES;
	bytes_put_u64(body, hello->time_ns);
	cookie_make(w, from, w->now_ns / COOKIE_LIFE_NS, body + 8);
	reply_finish(w, reply, &(struct reply_head){DATAGRAM_COOKIE, hello->connection, own_mac(w)},
		     COOKIE_BODY_BYTES);
	w->stats.cookies_sent++;
}

struct refusal {
	uint32_t connection;
	uint64_t time_ns;
	enum wire_reason reason;
	const uint8_t *mac;
};

/* Refusals are answers to anybody: so many per second, and no more. */
static struct reply *
refusal_reply(struct wire *w, const struct endpoint *to)
{
	if (w->now_ns < w->refuse_due_ns) {
		w->stats.drop_refusal++;
		return NULL;
	}
	struct reply *reply = wire_reply(w, to);
	if (reply == NULL)
		return NULL;
	w->refuse_due_ns = w->now_ns + REFUSE_EVERY_NS;
	w->stats.refusals_sent++;
	return reply;
}

static void
send_refusal(struct wire *w, const struct endpoint *to, const struct refusal *r)
{
	struct reply *reply = refusal_reply(w, to);

	if (reply == NULL)
		return;
	struct writer body = writer_over(reply->data + DATAGRAM_HEADER_BYTES, REFUSE_BODY_BYTES);
	writer_u32(&body, r->reason); /* one byte, three reserved */
	writer_u32(&body, w->config.self.version);
	writer_u64(&body, r->time_ns);
	must(!body.bad && body.bytes == REFUSE_BODY_BYTES);
	reply_finish(w, reply, &(struct reply_head){DATAGRAM_REFUSE, r->connection, r->mac},
		     REFUSE_BODY_BYTES);
}

static bool
epochs_agree(const uint8_t *a, const uint8_t *b)
{
	return zeros(a, WIRE_EPOCH_BYTES) || zeros(b, WIRE_EPOCH_BYTES) ||
	       memcmp(a, b, WIRE_EPOCH_BYTES) == 0;
}

/* Zero in what is expected stands for any. */
static bool
is_expected(const struct wire_identity *expected, const struct wire_identity *who)
{
	if (expected->kind != WIRE_ANY && expected->kind != who->kind)
		return false;
	if (expected->node != 0 && expected->node != who->node)
		return false;
	return zeros(expected->uuid, WIRE_UUID_BYTES) ||
	       memcmp(expected->uuid, who->uuid, WIRE_UUID_BYTES) == 0;
}

/* Why this peer can have no session with us; NONE where it can. */
static enum wire_reason
objection(const struct wire *w, const struct hello *h, const struct wire_identity *expected)
{
	if (h->self.version != w->config.self.version)
		return WIRE_REASON_VERSION;
	if (!epochs_agree(h->self.epoch, w->config.self.epoch))
		return WIRE_REASON_EPOCH;
	if (identity_same(&h->self, &w->config.self))
		return WIRE_REASON_IDENTITY;
	if (!is_expected(expected, &h->self) || !is_expected(&h->expected, &w->config.self))
		return WIRE_REASON_IDENTITY;
	return WIRE_REASON_NONE;
}

static bool
own_identity_lower(const struct wire *w, const struct wire_identity *peer)
{
	const struct wire_identity *self = &w->config.self;

	if (self->kind != peer->kind)
		return self->kind < peer->kind;
	if (self->node != peer->node)
		return self->node < peer->node;
	return memcmp(self->uuid, peer->uuid, WIRE_UUID_BYTES) < 0;
}

static bool
expects_somebody(const struct wire_identity *expected)
{
	return expected->kind != WIRE_ANY &&
	       (expected->node != 0 || !zeros(expected->uuid, WIRE_UUID_BYTES));
}

/* The connecting slot that is meant for this peer, or NULL. */
static struct session *
connecting_to(struct wire *w, const struct wire_identity *peer, const struct endpoint *from)
{
	for (uint32_t i = 0; i < w->config.sessions_max; i++) {
		struct session *s = &w->sessions[i];
		if (s->state != SESSION_CONNECTING || !is_expected(&s->expected, peer))
			continue;
		if (expects_somebody(&s->expected) || endpoint_equal(&s->connect_to, from))
			return s;
	}
	return NULL;
}

struct session *
handshake_done(struct wire *w, const struct endpoint *to, const struct wire_identity *expected)
{
	for (uint32_t i = 0; i < w->config.sessions_max; i++) {
		struct session *s = &w->sessions[i];
		if (s->state != SESSION_OPEN || s->connector || !is_expected(expected, &s->peer))
			continue;
		if (expects_somebody(expected) || endpoint_equal(&s->peer_endpoint, to))
			return s;
	}
	return NULL;
}

static struct session *
open_to(struct wire *w, const struct wire_identity *peer)
{
	for (uint32_t i = 0; i < w->config.sessions_max; i++) {
		struct session *s = &w->sessions[i];
		if (s->state == SESSION_OPEN && identity_same(&s->peer, peer))
			return s;
	}
	return NULL;
}

static struct session *
free_slot(struct wire *w)
{
	for (uint32_t i = 0; i < w->config.sessions_max; i++) {
		struct session *s = &w->sessions[i];
		if (s->state == SESSION_FREE && s->closed_untold == WIRE_REASON_NONE)
			return s;
	}
	return NULL;
}

void
handshake_forget(struct wire *w, struct half_open *h)
{
	must(h->used && w->half_open_count > 0);
	if (h->own_id != 0)
		wire_id_give(w, h->own_id);
	h->used = false;
	w->half_open_count--;
}

/* The entry of this INIT: its own from before, a free one, or the oldest. */
static struct half_open *
half_open_take(struct wire *w, const struct endpoint *from, const struct hello *hello)
{
	struct half_open *found = NULL, *oldest = &w->half_open[0];

	for (uint32_t i = 0; i < w->config.half_open_max; i++) {
		struct half_open *h = &w->half_open[i];
		if (!h->used) {
			found = found == NULL ? h : found;
			continue;
		}
		if (h->hello.connection == hello->connection && endpoint_equal(&h->from, from) &&
		    h->hello.self.process == hello->self.process)
			return h;
		if (!oldest->used || h->answered_ns < oldest->answered_ns)
			oldest = h;
	}
	if (found == NULL) {
		handshake_forget(w, oldest);
		found = oldest;
	}
	*found =
		(struct half_open){.used = true, .from = *from, .show = {.data = found->show.data}};
	w->half_open_count++;
	found->own_id = wire_id_take(w, w->config.sessions_max + (uint32_t)(found - w->half_open));
	return found;
}

static void
met_other_version(struct wire *w, const struct endpoint *from, uint32_t version)
{
	w->stats.other_versions++;
	w->stats.other_version = version;
	w->stats.other_version_from = *from;
}

/* Whether this INIT may cost us anything: with half of the table in use, or the
 * ration of agreements used up, only what shows a cookie may. */
static bool
welcome(struct wire *w, const struct endpoint *from, const struct hello *hello)
{
	bool half_full = w->half_open_count >= (w->config.half_open_max + 1) / 2;

	if (!half_full && (!sealed(w) || seal_hello_free(w)))
		return true;
	if (!cookie_good(w, from, hello->cookie)) {
		send_cookie(w, from, hello);
		return false;
	}
	if (!sealed(w) || seal_address_free(w, from))
		return true;
	w->stats.drop_load++;
	return false;
}

/* An INIT that was read, and what it takes to answer it. */
struct question {
	const struct endpoint *from;
	struct hello hello;
	struct noise noise; /* sealed: of the handshake so far */
	bool demands;       /* certificates, in place of a listed key */
};

/* `message` is NULL in clear. A RESPONSE is never larger than its INIT. */
static void
fill_response(const struct wire *w, struct reply *reply, const struct hello *answer,
	      uint32_t key_id, const uint8_t *message)
{
	uint8_t *body = reply->data + DATAGRAM_HEADER_BYTES;

	hello_encode(answer, body);
	if (message != NULL)
		memcpy(body + HELLO_HEAD_BYTES, message, RESPONSE_MESSAGE_BYTES);
	reply_finish(w, reply, &(struct reply_head){DATAGRAM_RESPONSE, key_id, own_mac(w)},
		     message != NULL ? SEALED_RESPONSE_BYTES : HELLO_BYTES);
}

/* In clear a REFUSE; sealed a RESPONSE that says why, which nobody else can read
 * or make. */
static void
refuse(struct wire *w, struct question *q, enum wire_reason reason)
{
	uint8_t message[RESPONSE_MESSAGE_BYTES];

	if (!sealed(w)) {
		struct refusal r = {q->hello.connection, q->hello.time_ns, reason, NULL};
		send_refusal(w, q->from, &r);
		return;
	}
	struct hello answer = own_hello(w, q->hello.connection, q->hello.time_ns);
	answer.reason = reason;
	if (!seal_write_response(&q->noise, &answer, message))
		return;
	struct reply *reply = refusal_reply(w, q->from);
	if (reply != NULL)
		fill_response(w, reply, &answer, q->hello.connection, message);
}

/* Sealed: the entry whose answer this INIT had already, or NULL. */
static struct half_open *
answered_before(struct wire *w, const struct endpoint *from, const struct hello *head,
		const struct datagram *d)
{
	for (uint32_t i = 0; sealed(w) && i < w->config.half_open_max; i++) {
		struct half_open *h = &w->half_open[i];
		if (h->used && h->hello.connection == head->connection &&
		    endpoint_equal(&h->from, from) &&
		    memcmp(h->ephemeral, d->body + HELLO_HEAD_BYTES, NOISE_KEY_BYTES) == 0)
			return h;
	}
	return NULL;
}

/* An entry for the question, with its answer; NULL: the peer's key is none. */
static struct half_open *
half_open_make(struct wire *w, struct question *q, const struct datagram *d)
{
	struct half_open *h = half_open_take(w, q->from, &q->hello);

	h->hello = q->hello;
	h->answered_ns = w->now_ns;
	h->own = w->own_asked;
	if (!sealed(w))
		return h;
	struct hello answer = own_hello(w, h->own_id, q->hello.time_ns);
	if (q->demands)
		answer.certificates |= HELLO_DEMANDS;
	show_start(w, &h->show, q->hello.certificates, q->demands);
	if (!seal_write_response(&q->noise, &answer, h->message)) {
		w->stats.drop_forged++;
		handshake_forget(w, h);
		return NULL;
	}
	noise_split(&q->noise, &h->keys);
	memcpy(h->hash, q->noise.hash, sizeof h->hash);
	memcpy(h->ephemeral, d->body + HELLO_HEAD_BYTES, sizeof h->ephemeral);
	return h;
}

/* A key that is not listed may do where certificates are accepted. Those cost more to
 * check than all before them: only for an address that can be answered, within its ration. */
static bool
key_may_do(struct wire *w, struct question *q)
{
	if (seal_key_allowed(w, &q->hello.self))
		return true;
	if (!show_in_place_of_key(w, &q->hello)) {
		w->stats.drop_key++;
		memcpy(w->stats.unlisted, q->hello.self.key, WIRE_KEY_BYTES);
		w->stats.unlisted_from = *q->from;
		return false;
	}
	if (!cookie_good(w, q->from, q->hello.cookie)) {
		send_cookie(w, q->from, &q->hello);
		return false;
	}
	if (!seal_address_free(w, q->from)) {
		w->stats.drop_load++;
		return false;
	}
	q->demands = true;
	return true;
}

/* False where there is nothing to answer, or an answer other than RESPONSE went out. */
static bool
read_question(struct wire *w, const struct datagram *d, struct question *q)
{
	static const struct wire_identity any;
	bool whole = d->body_bytes == HELLO_BYTES;

	if (sealed(w)) {
		if (whole && (!seal_read_init(w, d, &q->noise, &q->hello) || !key_may_do(w, q)))
			return false;
	} else {
		whole = whole && hello_decode(&q->hello, d);
	}
	if (!whole) {
		w->stats.drop_malformed++;
		return false;
	}
	enum wire_reason reason = objection(w, &q->hello, &any);
	if (reason != WIRE_REASON_NONE) {
		refuse(w, q, reason);
		return false;
	}
	const struct session *ours = connecting_to(w, &q->hello.self, q->from);
	if (ours != NULL && own_identity_lower(w, &q->hello.self) && !ours->slow &&
	    ours->init_count <= CONNECT_RACE_MAX) {
		w->stats.drop_handshake++;
		return false;
	}
	return true;
}

static void
receive_init(struct wire *w, const struct endpoint *from, const struct datagram *d)
{
	struct question q = {.from = from};

	w->stats.handshakes_received++;
	if (d->body_bytes < HELLO_HEAD_BYTES || !hello_get_head(&q.hello, d)) {
		w->stats.drop_malformed++;
		return;
	}
	struct hello head = q.hello;
	if (head.self.version != w->config.self.version) {
		/* What stands in the head keeps its place in every version. */
		struct refusal r = {head.connection, head.time_ns, WIRE_REASON_VERSION, own_mac(w)};
		met_other_version(w, from, head.self.version);
		send_refusal(w, from, &r);
		return;
	}
	struct half_open *h = answered_before(w, from, &head, d);
	if (h == NULL) {
		if (!welcome(w, from, &head) || !read_question(w, d, &q))
			return;
		h = half_open_make(w, &q, d);
		if (h == NULL)
			return;
	}
	struct reply *reply = wire_reply(w, from);
	if (reply == NULL)
		return;
	struct hello answer = own_hello(w, h->own_id, head.time_ns);
	fill_response(w, reply, &answer, head.connection, sealed(w) ? h->message : NULL);
}

void
handshake_in_clear(struct wire *w, const struct endpoint *from, const struct datagram *d)
{
	struct hello head;

	w->stats.drop_clear++;
	if (d->type != DATAGRAM_INIT || d->body_bytes < HELLO_HEAD_BYTES ||
	    !hello_get_head(&head, d))
		return;
	struct refusal r = {head.connection, head.time_ns, WIRE_REASON_SEAL, NULL};
	send_refusal(w, from, &r);
}

/* The connecting slot that a handshake datagram answers; NULL counts. */
static struct session *
answered(struct wire *w, const struct datagram *d, uint64_t time_ns)
{
	const struct id_entry *entry = wire_id_find(w, d->key_id);
	struct session *s = NULL;

	if (entry != NULL && entry->owner < w->config.sessions_max)
		s = &w->sessions[entry->owner];
	bool ours = s != NULL && s->init_count > 0 && time_ns >= s->init_first_ns &&
		    time_ns <= s->init_last_ns;
	if (!ours)
		w->stats.drop_handshake++;
	return ours ? s : NULL;
}

void
handshake_refused(struct wire *w, struct session *s, enum wire_reason reason)
{
	w->stats.refusals_received++;
	s->slow = true;
	s->refused_untold = reason;
	s->init_due_ns = w->now_ns + w->config.connect_retry_ns * CONNECT_SLOW;
	bit_set(w->to_tell, session_number(w, s));
	session_schedule(w, s);
}

/* Whether `s` may take the place of the session that its peer has with us
 * already. Two of one process: the lower identity's counts, and of two by the
 * same initiator the later one. */
static bool
wins(const struct wire *w, const struct session *old, const struct hello *new, bool initiator)
{
	if (old->peer.process != new->self.process || old->initiator == initiator)
		return true;
	return own_identity_lower(w, &new->self) == initiator;
}

void
handshake_complete(struct wire *w, struct session *s, const struct session_terms *terms)
{
	const struct hello *hello = terms->hello;
	struct session *old = open_to(w, &hello->self);

	if (old != NULL && (!wins(w, old, hello, true) ||
			    (old->initiator && old->peer.process == hello->self.process))) {
		/* That peer has its session; this slot looks again, slowly. */
		s->slow = true;
		w->stats.drop_handshake++;
		return;
	}
	if (old != NULL) {
		w->stats.sessions_replaced++;
		session_close(w, old, WIRE_REASON_REPLACED, false);
	}
	session_open(w, s, terms);
}

static void
receive_response(struct wire *w, const struct endpoint *from, const struct datagram *d)
{
	uint8_t hash[NOISE_KEY_BYTES];
	struct noise_keys keys;
	struct hello hello;

	if (!hello_get_head(&hello, d) || (!sealed(w) && !hello_decode(&hello, d))) {
		w->stats.drop_malformed++;
		return;
	}
	struct session *s = answered(w, d, hello.time_ns);
	if (s == NULL)
		return;
	if (s->state != SESSION_CONNECTING) {
		w->stats.drop_handshake++;
		return;
	}
	if (sealed(w) && !seal_read_response(w, s, d, &hello))
		return;
	enum wire_reason reason = hello.reason;
	bool demanded = show_demanded(w);
	if (reason == WIRE_REASON_NONE)
		reason = objection(w, &hello, &s->expected);
	if (reason == WIRE_REASON_NONE && demanded && !(hello.certificates & HELLO_SHOWS))
		reason = WIRE_REASON_NOT_SHOWN;
	if (reason != WIRE_REASON_NONE) {
		handshake_refused(w, s, reason);
		return;
	}
	struct session_terms terms = {
		.hello = &hello,
		.endpoint = from,
		.initiator = true,
		.own = s->own,
		.rtt_ns = w->now_ns - hello.time_ns,
		.keys = &keys,
		.hash = hash,
	};
	if (sealed(w)) {
		noise_split(&s->seal.noise, &keys);
		memcpy(hash, s->seal.noise.hash, sizeof hash);
	}
	if (demanded || (sealed(w) && hello.certificates & HELLO_DEMANDS))
		show_begin(w, s, &terms);
	else
		handshake_complete(w, s, &terms);
}

static void
receive_cookie(struct wire *w, const struct datagram *d)
{
	if (d->body_bytes != COOKIE_BODY_BYTES) {
		w->stats.drop_malformed++;
		return;
	}
	struct session *s = answered(w, d, bytes_get_u64(d->body));
	if (s == NULL)
		return;
	/* A second cookie for one INIT answers nothing new: a forger that repeats
	 * them must not make us send without pause. */
	if (s->state != SESSION_CONNECTING || memcmp(s->cookie, d->body + 8, COOKIE_BYTES) == 0) {
		w->stats.drop_handshake++;
		return;
	}
	bool first = zeros(s->cookie, COOKIE_BYTES);
	memcpy(s->cookie, d->body + 8, COOKIE_BYTES);
	if (first)
		handshake_start(w, s);
}

static void
receive_refuse(struct wire *w, const struct endpoint *from, const struct datagram *d)
{
	struct reader r = reader_over(d->body, d->body_bytes);
	uint32_t reason = reader_u32(&r);
	uint32_t version = reader_u32(&r);
	uint64_t time_ns = reader_u64(&r);

	if (!reader_done(&r) || reason < WIRE_REASON_VERSION || reason > WIRE_REASON_SEAL) {
		w->stats.drop_malformed++;
		return;
	}
	struct session *s = answered(w, d, time_ns);
	if (s == NULL)
		return;
	if (reason == WIRE_REASON_VERSION)
		met_other_version(w, from, version);
	/* Anybody who knows the peer's public key can make it: sealed, all but the version
	 * is said inside a RESPONSE or a session. */
	if (sealed(w) && (reason != WIRE_REASON_VERSION || s->state != SESSION_CONNECTING)) {
		w->stats.drop_handshake++;
		return;
	}
	/* FULL answers a CONFIRM; a session that heard its peer is beyond that. */
	if (s->state == SESSION_OPEN && s->initiator && !s->confirmed && s->connector)
		session_close(w, s, (enum wire_reason)reason, false);
	if (s->state == SESSION_CONNECTING)
		handshake_refused(w, s, (enum wire_reason)reason);
	else
		w->stats.drop_handshake++;
}

/* No place is left for whom we answered. It has its session open already. */
static void
refuse_confirmed(struct wire *w, const struct half_open *h)
{
	struct refusal r = {h->hello.connection, h->hello.time_ns, WIRE_REASON_FULL, NULL};

	if (!sealed(w)) {
		send_refusal(w, &h->from, &r);
		return;
	}
	struct reply *reply = refusal_reply(w, &h->from);
	if (reply == NULL)
		return;
	struct datagram d = {.type = DATAGRAM_DATA, .key_id = r.connection, .counter = 1};
	const uint8_t *epoch = w->config.self.epoch;
	memcpy(d.epoch, zeros(epoch, WIRE_EPOCH_BYTES) ? h->hello.self.epoch : epoch,
	       WIRE_EPOCH_BYTES);
	struct writer body = writer_over(reply->data + DATAGRAM_HEADER_BYTES, HELLO_BYTES);
	item_put_close(&body, WIRE_REASON_FULL);
	reply->bytes = (uint32_t)seal_half_open(w, &h->keys, &d, reply->data, body.bytes);
}

void
handshake_too_late(struct wire *w, struct session *s)
{
	session_close(w, s, WIRE_REASON_FULL, false);
	handshake_refused(w, s, WIRE_REASON_FULL);
}

/* The slot for a peer that confirmed: the one it has, one that is connecting to
 * it, or a free one. NULL where ours stays, or none is left. */
static struct session *
slot_for(struct wire *w, const struct half_open *h)
{
	const struct hello *hello = &h->hello;
	struct session *s = open_to(w, &hello->self);

	if (s != NULL && !wins(w, s, hello, false)) {
		w->stats.drop_handshake++;
		return NULL;
	}
	if (s != NULL) {
		w->stats.sessions_replaced++;
		session_close(w, s, WIRE_REASON_REPLACED, false);
		return s;
	}
	s = connecting_to(w, &hello->self, &h->from);
	if (s == NULL)
		s = free_slot(w);
	if (s == NULL)
		refuse_confirmed(w, h);
	return s;
}

static struct session *
confirm(struct wire *w, struct half_open *h, const struct endpoint *from)
{
	struct session *s = slot_for(w, h);

	if (s == NULL) {
		handshake_forget(w, h);
		return NULL;
	}
	uint32_t id = h->own_id;
	if (s->own_id != 0)
		wire_id_give(w, s->own_id);
	wire_id_find(w, id)->owner = session_number(w, s);
	s->own_id = id;
	h->own_id = 0;
	struct session_terms terms = {
		.hello = &h->hello,
		.endpoint = from,
		.initiator = false,
		.vouched = h->show.demanded,
		.own = h->own,
		.rtt_ns = w->now_ns - h->answered_ns,
		.keys = &h->keys,
		.hash = h->hash,
	};
	session_open(w, s, &terms);
	handshake_forget(w, h);
	return s;
}

static void
receive_confirm(struct wire *w, const struct endpoint *from, const struct datagram *d)
{
	const struct id_entry *entry = wire_id_find(w, d->key_id);
	struct session *s = NULL;

	if (d->body_bytes < CONFIRM_ZERO_BYTES) {
		w->stats.drop_malformed++;
		return;
	}
	if (entry == NULL) {
		w->stats.drop_unknown++;
		return;
	}
	if (entry->owner >= w->config.sessions_max) {
		struct half_open *h = &w->half_open[entry->owner - w->config.sessions_max];
		struct datagram opened = *d;
		if (sealed(w) && h->show.demanded && !h->show.good) {
			w->stats.drop_handshake++;
			return;
		}
		if (!seal_open_half(w, &h->keys, &opened))
			return;
		if (!zeros(opened.body, CONFIRM_ZERO_BYTES)) {
			w->stats.drop_malformed++;
			return;
		}
		s = confirm(w, h, from);
	} else if (w->sessions[entry->owner].state == SESSION_OPEN) {
		s = &w->sessions[entry->owner];
	} else {
		w->stats.drop_unknown++;
	}
	if (s != NULL)
		session_receive(w, s, from, d);
}

/* Sealed: whether a handshake's datagram was made by one who knows the public key
 * of the end that answers in it. */
static bool
made_by_one_of_us(struct wire *w, const struct datagram *d)
{
	const uint8_t *mac;

	if (!sealed(w) || d->type == DATAGRAM_CONFIRM || d->type == DATAGRAM_SHOW)
		return true;
	if (d->type != DATAGRAM_INIT) {
		const struct id_entry *entry = wire_id_find(w, d->key_id);
		if (entry == NULL || entry->owner >= w->config.sessions_max) {
			w->stats.drop_unknown++;
			return false;
		}
		mac = w->sessions[entry->owner].seal.mac;
		if (seal_mac_fits(mac, d))
			return true;
	}
	for (uint8_t i = 0; i < 2 && d->type == DATAGRAM_INIT; i++) {
		w->own_asked = w->own_now ^ i;
		if (w->own[w->own_asked].held && seal_mac_fits(w->own[w->own_asked].mac, d))
			return true;
	}
	w->stats.drop_forged++;
	return false;
}

void
handshake_receive(struct wire *w, const struct endpoint *from, const struct datagram *d)
{
	if (!made_by_one_of_us(w, d))
		return;
	switch (d->type) {
	case DATAGRAM_INIT:
		receive_init(w, from, d);
		break;
	case DATAGRAM_COOKIE:
		receive_cookie(w, d);
		break;
	case DATAGRAM_RESPONSE:
		receive_response(w, from, d);
		break;
	case DATAGRAM_REFUSE:
		receive_refuse(w, from, d);
		break;
	case DATAGRAM_SHOW:
		show_receive(w, d);
		break;
	default:
		must(d->type == DATAGRAM_CONFIRM);
		receive_confirm(w, from, d);
	}
}

/* Entries that nobody confirmed in the time that a silent session has. */
void
handshake_tick(struct wire *w)
{
	for (uint32_t i = 0; w->half_open_count > 0 && i < w->config.half_open_max; i++) {
		struct half_open *h = &w->half_open[i];
		if (h->used && h->answered_ns + w->config.dead_after_ns <= w->now_ns)
			handshake_forget(w, h);
	}
}

uint64_t
handshake_due_ns(const struct wire *w)
{
	uint64_t due_ns = UINT64_MAX;

	for (uint32_t i = 0; w->half_open_count > 0 && i < w->config.half_open_max; i++) {
		const struct half_open *h = &w->half_open[i];
		if (h->used && h->answered_ns + w->config.dead_after_ns < due_ns)
			due_ns = h->answered_ns + w->config.dead_after_ns;
	}
	return due_ns;
}
