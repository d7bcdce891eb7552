/*
 * Certificates, between RESPONSE and CONFIRM.
 *
 *     initiator                               responder
 *               <- RESPONSE ------------
 *               -- SHOW (mine, from 0) -->
 *               <- SHOW (mine, from 0) ---
 *               -- SHOW (mine, from 448) ->     whole: checked before it answers
 *               <- SHOW (verdict) --------
 *     checked   -- CONFIRM --------------->
 *
 * Either says how many bytes of the other's it holds, and sends what follows those that
 * the other holds: all that is lost is asked for again by the initiator, whose timer is
 * that of its INIT. SHOW has one size, so that no answer is larger than its question, and
 * is sealed under the keys of the handshake, with nonces that no session uses: counters
 * above SHOW_COUNTER, a new one for every datagram. The responder keeps
 * CERTIFICATES_BYTES_MAX per entry of its table of handshakes and nothing else; until the
 * verdict there is no session, and none that the peer has is touched.
 */
#include "wire/session.h"

#define SHOW_COUNTER ((uint64_t)1 << 63)

static const struct certificates *
table(const struct wire *w)
{
	return sealed(w) ? w->config.certificates : NULL;
}

uint32_t
show_bytes(const struct wire *w)
{
	return table(w) == NULL ? 0 : table(w)->shown_bytes;
}

bool
show_demanded(const struct wire *w)
{
	return table(w) != NULL && table(w)->demanded;
}

/* A server that is listed by its uuid is who has the listed key, and nobody else. */
bool
show_in_place_of_key(const struct wire *w, const struct hello *hello)
{
	if (table(w) == NULL || !table(w)->accepted || hello->self.kind != WIRE_MEMBER ||
	    (hello->certificates & HELLO_SHOWS) == 0)
		return false;
	for (uint32_t i = 0; i < w->key_count; i++)
		if (w->keys[i].kind != WIRE_NODE && !zeros(w->keys[i].uuid, WIRE_UUID_BYTES) &&
		    memcmp(w->keys[i].uuid, hello->self.uuid, WIRE_UUID_BYTES) == 0)
			return false;
	return true;
}

void
show_start(const struct wire *w, struct show *show, uint8_t peer_flags, bool demanded)
{
	must(!demanded || show->data != NULL);
	show->demanded = demanded;
	show->own_bytes = peer_flags & HELLO_DEMANDS ? show_bytes(w) : 0;
	show->under_way = demanded || show->own_bytes > 0;
	show->good = false;
	show->reason = WIRE_REASON_NONE;
	show->peer_held = show->held = show->bytes = 0;
	show->counter = SHOW_COUNTER;
}

struct show_line {
	const struct endpoint *to;
	uint32_t key_id;
	const struct noise_keys *keys;
};

static void
send(struct wire *w, struct show *show, const struct show_line *line)
{
	struct reply *reply = wire_reply(w, line->to);
	struct datagram d = {
		.type = DATAGRAM_SHOW, .key_id = line->key_id, .counter = ++show->counter};
	uint32_t left = show->own_bytes - show->peer_held;

	if (reply == NULL)
		return;
	struct show_message m = {.offset = show->peer_held,
				 .bytes = show->own_bytes,
				 .held = show->held,
				 .reason = show->reason};
	if (left > 0)
		m.data = w->config.certificates->shown + show->peer_held;
	m.data_bytes = left < SHOW_CHUNK_BYTES ? left : SHOW_CHUNK_BYTES;
	memcpy(d.epoch, w->config.self.epoch, WIRE_EPOCH_BYTES);
	show_put(&m, reply->data + DATAGRAM_HEADER_BYTES);
	reply->bytes = (uint32_t)seal_half_open(w, line->keys, &d, reply->data, SHOW_BODY_BYTES);
}

/* Takes what fits behind what is held. False: it is not what an honest peer sends now. */
static bool
take(struct show *show, const struct show_message *m, bool *news)
{
	*news = false;
	if ((m->bytes > 0) != show->demanded || m->held > show->own_bytes)
		return false;
	if (show->bytes != 0 && m->bytes != show->bytes)
		return false;
	show->bytes = m->bytes;
	if (m->held > show->peer_held) {
		show->peer_held = m->held;
		*news = true;
	}
	if (m->offset == show->held && m->data_bytes > 0) {
		must(show->held + m->data_bytes <= CERTIFICATES_BYTES_MAX);
		memcpy(show->data + show->held, m->data, m->data_bytes);
		show->held += m->data_bytes;
		*news = true;
	}
	return true;
}

/* All of both has arrived, as far as this end knows. */
static bool
whole(const struct show *show)
{
	return show->peer_held == show->own_bytes &&
	       (!show->demanded || (show->bytes > 0 && show->held == show->bytes));
}

static enum certificates_verdict
verdict(const struct wire *w, const struct show *show, const uint8_t *key)
{
	const struct certificates *c = w->config.certificates;
	enum certificates_verdict v = c->check(c->context, key, show->data, show->held);

	must(v < CERTIFICATES_VERDICTS);
	return v;
}

static bool
opens(struct wire *w, const struct noise_keys *keys, struct datagram *d, struct show_message *m)
{
	if (!seal_open_half(w, keys, d))
		return false;
	if (!show_get(m, d)) {
		w->stats.drop_malformed++;
		return false;
	}
	return true;
}

static void
judge(struct wire *w, struct half_open *h)
{
	static const enum wire_reason reasons[CERTIFICATES_VERDICTS] = {
		[CERTIFICATES_UNTRUSTED] = WIRE_REASON_UNTRUSTED,
		[CERTIFICATES_EXPIRED] = WIRE_REASON_EXPIRED,
		[CERTIFICATES_REVOKED] = WIRE_REASON_REVOKED,
		[CERTIFICATES_NAME] = WIRE_REASON_NAME,
		[CERTIFICATES_FORGED] = WIRE_REASON_FORGED,
	};
	struct show *show = &h->show;
	enum certificates_verdict v = verdict(w, show, h->hello.self.key);

	show->good = v == CERTIFICATES_GOOD;
	show->reason = reasons[v];
	if (show->good)
		return;
	w->stats.certificates_refused++;
	w->stats.certificate_verdict = v;
	w->stats.certificate_from = h->from;
}

static void
answer(struct wire *w, struct half_open *h, struct datagram *d)
{
	struct show *show = &h->show;
	struct show_message m;
	bool news;

	if (!show->under_way) {
		w->stats.drop_handshake++;
		return;
	}
	if (!opens(w, &h->keys, d, &m))
		return;
	if (m.reason != WIRE_REASON_NONE || !take(show, &m, &news)) {
		w->stats.drop_malformed++;
		return;
	}
	bool judged = show->good || show->reason != WIRE_REASON_NONE;
	if (show->demanded && show->held == show->bytes && !judged)
		judge(w, h);
	h->answered_ns = w->now_ns;
	send(w, show, &(struct show_line){&h->from, h->hello.connection, &h->keys});
}

void
show_begin(struct wire *w, struct session *s, const struct session_terms *terms)
{
	struct shower *me = &s->shower;

	me->hello = *terms->hello;
	me->from = *terms->endpoint;
	me->rtt_ns = terms->rtt_ns;
	me->keys = *terms->keys;
	memcpy(me->hash, terms->hash, sizeof me->hash);
	me->until_ns = w->now_ns + w->config.dead_after_ns;
	show_start(w, &me->show, me->hello.certificates, show_demanded(w));
	show_again(w, s);
}

bool
show_again(struct wire *w, struct session *s)
{
	struct shower *me = &s->shower;

	if (!me->show.under_way)
		return false;
	if (w->now_ns >= me->until_ns) {
		me->show.under_way = false;
		return false;
	}
	s->init_due_ns = w->now_ns + w->config.connect_retry_ns;
	session_schedule(w, s);
	send(w, &me->show, &(struct show_line){&me->from, me->hello.connection, &me->keys});
	return true;
}

static void
hear(struct wire *w, struct session *s, struct datagram *d)
{
	struct shower *me = &s->shower;
	struct show_message m;
	bool news;

	if (s->state != SESSION_CONNECTING || !me->show.under_way) {
		w->stats.drop_handshake++;
		return;
	}
	if (!opens(w, &me->keys, d, &m))
		return;
	if (m.reason != WIRE_REASON_NONE) {
		me->show.under_way = false;
		handshake_refused(w, s, m.reason);
		return;
	}
	if (!take(&me->show, &m, &news)) {
		w->stats.drop_malformed++;
		return;
	}
	if (!whole(&me->show)) {
		if (news) /* what comes twice is answered once */
			show_again(w, s);
		return;
	}
	me->show.under_way = false;
	if (me->show.demanded && verdict(w, &me->show, me->hello.self.key) != CERTIFICATES_GOOD) {
		handshake_refused(w, s, WIRE_REASON_NOT_GOOD);
		return;
	}
	struct session_terms terms = {
		.hello = &me->hello,
		.endpoint = &me->from,
		.initiator = true,
		.own = s->own,
		.rtt_ns = me->rtt_ns,
		.keys = &me->keys,
		.hash = me->hash,
	};
	handshake_complete(w, s, &terms);
}

void
show_receive(struct wire *w, const struct datagram *datagram)
{
	const struct id_entry *entry = wire_id_find(w, datagram->key_id);
	struct datagram d = *datagram;

	if (!sealed(w) || entry == NULL || d.body_bytes != SHOW_BODY_BYTES) {
		w->stats.drop_unknown++;
		return;
	}
	if (entry->owner < w->config.sessions_max)
		hear(w, &w->sessions[entry->owner], &d);
	else
		answer(w, &w->half_open[entry->owner - w->config.sessions_max], &d);
}
