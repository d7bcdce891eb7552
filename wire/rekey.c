/* The keys of an open session: taken, renewed, retired. See struct seal. */
#include "wire/session.h"

static const char rekey_label[16] = "synod rekey 1";

static uint8_t
next_generation(uint8_t generation)
{
	return generation == GENERATION_MAX ? 1 : (uint8_t)(generation + 1);
}

/* From here on `generation` is the one we send under. */
static void
send_under(struct wire *w, struct session *s, uint8_t generation)
{
	s->seal.send_generation = generation;
	s->seal.since_ns = w->now_ns;
	s->seal.since_sent = s->flight.next_counter;
	s->seal.since_taken = s->replay.newest;
}

void
rekey_begin(struct wire *w, struct session *s, const struct session_terms *terms)
{
	if (!sealed(w))
		return;
	must(terms->keys != NULL && terms->hash != NULL);
	memset(&s->seal, 0, sizeof s->seal);
	memcpy(s->seal.hash, terms->hash, NOISE_KEY_BYTES);
	s->seal.retire_ns = UINT64_MAX;
	seal_take_keys(w, s, 1, terms->keys);
	send_under(w, s, 1);
}

void
rekey_end(struct wire *w, struct session *s)
{
	if (!sealed(w))
		return;
	seal_drop_keys(w, s, 1);
	seal_drop_keys(w, s, 2);
	memset(&s->seal, 0, sizeof s->seal);
}

/* `peer` is the responder's key where we begin, else NULL. */
static void
rekey_noise(struct wire *w, const struct session *s, struct noise *n, const uint8_t *peer)
{
	uint8_t prologue[sizeof rekey_label + NOISE_KEY_BYTES];

	memcpy(prologue, rekey_label, sizeof rekey_label);
	memcpy(prologue + sizeof rekey_label, s->seal.hash, NOISE_KEY_BYTES);
	seal_noise(w, n, (struct crypto_slice){prologue, sizeof prologue},
		   &(struct seal_ends){&w->own[s->own], peer});
}

/* The next message of a handshake without payload; false: the peer's key is none. */
static bool
write_message(struct wire *w, struct session *s, struct noise *n, uint8_t generation)
{
	struct seal *seal = &s->seal;
	uint32_t bytes = (uint32_t)noise_overhead(n);

	must(bytes <= sizeof seal->message);
	if (!noise_write(n, (struct crypto_slice){NULL, 0}, seal->message))
		return false;
	seal->generation = generation;
	seal->message_bytes = bytes;
	s->repeat_due |= REPEAT_REKEY;
	bit_set(w->to_send, session_number(w, s));
	return true;
}

/* Datagrams under the keys of now, in the busier direction. */
static uint64_t
datagrams(const struct session *s)
{
	uint64_t sent = s->flight.next_counter - s->seal.since_sent;
	uint64_t taken = s->replay.newest - s->seal.since_taken;

	return sent > taken ? sent : taken;
}

static bool
may_start(const struct session *s)
{
	return s->initiator && s->confirmed && !s->seal.under_way;
}

static uint64_t
start_ns(const struct wire *w, const struct session *s)
{
	if (datagrams(s) >= w->config.rekey_datagrams)
		return w->now_ns;
	return s->seal.since_ns + w->config.rekey_ns / 4 * 3;
}

uint64_t
rekey_due_ns(const struct wire *w, const struct session *s)
{
	if (!sealed(w))
		return UINT64_MAX;
	uint64_t due_ns = s->seal.since_ns + w->config.rekey_ns;
	if (may_start(s) && start_ns(w, s) < due_ns)
		due_ns = start_ns(w, s);
	return s->seal.retire_ns < due_ns ? s->seal.retire_ns : due_ns;
}

/* May close the session. */
void
rekey_tick(struct wire *w, struct session *s)
{
	struct seal *seal = &s->seal;

	if (!sealed(w))
		return;
	if (seal->retire_ns <= w->now_ns) {
		seal_drop_keys(w, s, seal->send_generation ^ 1u);
		seal->retire_ns = UINT64_MAX;
	}
	if (may_start(s) && start_ns(w, s) <= w->now_ns) {
		rekey_noise(w, s, &seal->noise, s->peer.key);
		seal->under_way =
			write_message(w, s, &seal->noise, next_generation(seal->send_generation));
	}
	if (seal->since_ns + w->config.rekey_ns <= w->now_ns ||
	    datagrams(s) / 2 >= w->config.rekey_datagrams)
		session_close(w, s, WIRE_REASON_KEY, true);
}

/* Both have `generation` now. What was sent under the last one still opens for a
 * while: it may be late. */
static void
renewed(struct wire *w, struct session *s, uint8_t generation)
{
	send_under(w, s, generation);
	s->seal.message_bytes = 0;
	s->seal.retire_ns = w->now_ns + w->config.dead_after_ns;
	w->stats.rekeys++;
}

void
rekey_heard(struct wire *w, struct session *s, uint8_t generation)
{
	if (sealed(w) && !s->initiator && generation == next_generation(s->seal.send_generation))
		renewed(w, s, generation);
}

static void
take_answer(struct wire *w, struct session *s, const struct wire_item *item)
{
	struct seal *seal = &s->seal;
	struct noise copy = seal->noise;
	struct noise_keys keys;

	if (!seal->under_way || item->offset != seal->generation)
		return; /* told twice */
	if (item->bytes != noise_overhead(&copy) ||
	    !noise_read(&copy, (struct crypto_slice){item->data, item->bytes}, NULL)) {
		w->stats.drop_malformed++;
		return;
	}
	noise_split(&copy, &keys);
	memcpy(seal->hash, copy.hash, NOISE_KEY_BYTES);
	seal->under_way = false;
	seal_take_keys(w, s, seal->generation, &keys);
	renewed(w, s, seal->generation);
	s->repeat_due |= REPEAT_PING; /* the responder waits to hear it */
}

static void
take_proposal(struct wire *w, struct session *s, const struct wire_item *item)
{
	uint8_t generation = next_generation(s->seal.send_generation);
	struct noise_keys keys;
	struct noise n;

	if (item->offset != generation)
		return; /* told twice, and done */
	if (s->seal.open_generation[generation & 1] == generation) {
		s->repeat_due |= REPEAT_REKEY; /* told twice: so is the answer */
		return;
	}
	rekey_noise(w, s, &n, NULL);
	if (item->bytes != noise_overhead(&n) ||
	    !noise_read(&n, (struct crypto_slice){item->data, item->bytes}, NULL) ||
	    memcmp(n.peer_static, s->peer.key, WIRE_KEY_BYTES) != 0 ||
	    !write_message(w, s, &n, generation)) {
		w->stats.drop_malformed++;
		return;
	}
	noise_split(&n, &keys);
	memcpy(s->seal.hash, n.hash, NOISE_KEY_BYTES);
	s->seal.retire_ns = UINT64_MAX; /* the last one's slots are taken */
	seal_take_keys(w, s, generation, &keys);
}

void
rekey_receive(struct wire *w, struct session *s, const struct wire_item *item)
{
	if (!sealed(w))
		return;
	if (s->initiator)
		take_answer(w, s, item);
	else
		take_proposal(w, s, item);
}
