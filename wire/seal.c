/*
 * Sealing: what makes a datagram the peer's and nobody else's.
 *
 * A handshake's datagrams carry a tag that anybody can make who knows the
 * responder's public key: it keeps out, for the price of a SipHash, those who
 * only see the wire. What they say in private is opened by agreements, each as
 * dear as hundreds of those: they are rationed, and a cookie and an address's
 * ration come before them where they run short.
 */
#include "wire/session.h"

#define INITS_PER_KEY        4 /* sent before the next listed key is tried */
#define HELLO_EVERY_NS       2000000u
#define HELLO_BURST          32
#define ADDRESS_EVERY_NS     100000000u
#define ADDRESS_BURST        8
#define PROLOGUE_BYTES       20
#define SEND_SLOT            0
#define RECEIVE_SLOT         1
#define HANDSHAKE_GENERATION 1

static const char prologue_label[16] = "synod session 1";
static const char mac_label[16] = "synod mac 1";

static void
make_mac(const struct crypto *c, const uint8_t *public_key, uint8_t out[NOISE_KEY_BYTES])
{
	const struct crypto_slice parts[] = {{mac_label, sizeof mac_label},
					     {public_key, WIRE_KEY_BYTES}};
	c->hash(c->context, parts, 2, out);
}

static void
hold(struct wire *w, uint8_t which, const uint8_t *secret)
{
	const struct crypto *c = w->config.crypto;
	struct own_key *own = &w->own[which];

	must(!zeros(secret, WIRE_KEY_BYTES));
	own->held = true;
	memcpy(own->secret, secret, WIRE_KEY_BYTES);
	c->public_key(c->context, secret, own->public);
	make_mac(c, own->public, own->mac);
}

void
seal_start(struct wire *w)
{
	const struct crypto *c = w->config.crypto;

	if (c == NULL)
		return;
	must(c->slots >= WIRE_SLOTS(w->config.sessions_max));
	hold(w, 0, w->config.secret);
	memcpy(w->config.self.key, w->own[0].public, WIRE_KEY_BYTES);
}

/* Nothing that was made with this one goes on. */
static void
let_go(struct wire *w, uint8_t which)
{
	for (uint32_t i = 0; w->own[which].held && i < w->config.sessions_max; i++) {
		struct session *s = &w->sessions[i];
		if (s->own != which)
			continue;
		if (s->state == SESSION_OPEN)
			session_close(w, s, WIRE_REASON_KEY, true);
		s->seal.under_way = s->shower.show.under_way = false;
	}
	for (uint32_t i = 0; i < w->config.half_open_max; i++)
		if (w->half_open[i].used && w->half_open[i].own == which)
			handshake_forget(w, &w->half_open[i]);
	memset(&w->own[which], 0, sizeof w->own[which]);
}

static bool
holds(const struct wire *w, uint8_t which, const uint8_t *secret)
{
	return w->own[which].held && memcmp(w->own[which].secret, secret, WIRE_KEY_BYTES) == 0;
}

void
wire_secrets(struct wire *w, const uint8_t secret[WIRE_KEY_BYTES], const uint8_t *before)
{
	must(sealed(w));
	if (!holds(w, w->own_now, secret)) {
		w->own_now ^= 1;
		if (!holds(w, w->own_now, secret)) {
			let_go(w, w->own_now);
			hold(w, w->own_now, secret);
		}
		memcpy(w->config.self.key, w->own[w->own_now].public, WIRE_KEY_BYTES);
	}
	uint8_t other = w->own_now ^ 1;
	if (before != NULL && holds(w, other, before))
		return;
	let_go(w, other);
	if (before != NULL && memcmp(before, secret, WIRE_KEY_BYTES) != 0)
		hold(w, other, before);
}

void
seal_mix(struct wire *w, const uint8_t *bytes, size_t n)
{
	const struct crypto *c = w->config.crypto;
	const struct crypto_slice parts[] = {{w->pool, sizeof w->pool}, {bytes, n}};
	uint8_t mixed[NOISE_KEY_BYTES];

	if (c == NULL)
		return;
	c->hash(c->context, parts, 2, mixed);
	memcpy(w->pool, mixed, sizeof mixed);
}

/* The pool goes on by another way than what is given out: who learns one can
 * compute neither the other nor anything drawn before. */
static void
seal_draw(struct wire *w, uint8_t out[NOISE_KEY_BYTES])
{
	static const uint8_t give = 1, go_on = 2;
	const struct crypto *c = w->config.crypto;
	const struct crypto_slice parts[] = {{w->pool, sizeof w->pool}, {&give, 1}};

	must(w->entropy_bytes >= ENTROPY_BYTES_MIN);
	c->hash(c->context, parts, 2, out);
	seal_mix(w, &go_on, 1);
}

static void
mac_of(const uint8_t mac[NOISE_KEY_BYTES], const uint8_t *data, size_t bytes,
       uint8_t out[DATAGRAM_TAG_BYTES])
{
	bytes_put_u64(out, siphash(mac, data, bytes));
	bytes_put_u64(out + 8, siphash(mac + SIPHASH_KEY_BYTES, data, bytes));
}

void
seal_put_mac(const uint8_t mac[NOISE_KEY_BYTES], uint8_t *data, size_t bytes)
{
	mac_of(mac, data, bytes - DATAGRAM_TAG_BYTES, data + bytes - DATAGRAM_TAG_BYTES);
}

/* Whether two tags are equal, in a time that does not tell where they differ. */
static bool
tags_equal(const uint8_t *a, const uint8_t *b)
{
	uint8_t differ = 0;

	for (int i = 0; i < DATAGRAM_TAG_BYTES; i++)
		differ |= a[i] ^ b[i];
	return differ == 0;
}

bool
seal_mac_fits(const uint8_t mac[NOISE_KEY_BYTES], const struct datagram *d)
{
	uint8_t good[DATAGRAM_TAG_BYTES];

	mac_of(mac, d->data, DATAGRAM_HEADER_BYTES + d->body_bytes, good);
	return tags_equal(good, d->body + d->body_bytes);
}

/* Zero on either side stands for any. */
static bool
may_be(const struct wire_key *k, const struct wire_identity *who)
{
	if (k->kind != WIRE_ANY && who->kind != WIRE_ANY && k->kind != who->kind)
		return false;
	if (k->node != 0 && who->node != 0 && k->node != who->node)
		return false;
	return zeros(k->uuid, WIRE_UUID_BYTES) || zeros(who->uuid, WIRE_UUID_BYTES) ||
	       memcmp(k->uuid, who->uuid, WIRE_UUID_BYTES) == 0;
}

bool
seal_key_allowed(const struct wire *w, const struct wire_identity *who)
{
	for (uint32_t i = 0; i < w->key_count; i++)
		if (memcmp(w->keys[i].key, who->key, WIRE_KEY_BYTES) == 0 &&
		    may_be(&w->keys[i], who))
			return true;
	return false;
}

/* One of `burst` at once, then one in `every_ns`. */
static bool
ration(uint64_t *due_ns, uint64_t now_ns, uint64_t every_ns, uint64_t burst)
{
	uint64_t from_ns = *due_ns > now_ns ? *due_ns : now_ns;

	if (from_ns - now_ns >= burst * every_ns)
		return false;
	*due_ns = from_ns + every_ns;
	return true;
}

bool
seal_hello_free(struct wire *w)
{
	return ration(&w->hello_due_ns, w->now_ns, HELLO_EVERY_NS, HELLO_BURST);
}

bool
seal_address_free(struct wire *w, const struct endpoint *from)
{
	uint64_t hash = siphash(w->secret, from->address, sizeof from->address);

	return ration(&w->address_due_ns[hash % ADDRESS_BUCKETS], w->now_ns, ADDRESS_EVERY_NS,
		      ADDRESS_BURST);
}

void
seal_noise(struct wire *w, struct noise *n, struct crypto_slice prologue,
	   const struct seal_ends *ends)
{
	uint8_t ephemeral[NOISE_KEY_BYTES];

	seal_draw(w, ephemeral);
	noise_init(n, &(struct noise_config){
			      .crypto = w->config.crypto,
			      .pattern = NOISE_IKPSK2,
			      .initiator = ends->peer != NULL,
			      .prologue = prologue,
			      .own_secret = ends->own->secret,
			      .own_public = ends->own->public,
			      .ephemeral_secret = ephemeral,
			      .peer_static = ends->peer,
			      .psk = w->config.psk,
		      });
}

static void
handshake_noise(struct wire *w, struct noise *n, const struct seal_ends *ends)
{
	uint8_t prologue[PROLOGUE_BYTES];

	memcpy(prologue, prologue_label, sizeof prologue_label);
	bytes_put_u32(prologue + sizeof prologue_label, w->config.self.version);
	seal_noise(w, n, (struct crypto_slice){prologue, sizeof prologue}, ends);
}

/* The keys to try now: each listed one that could be the peer's, or the expected one, in turn;
 * then again with the one of ours that was before. False: the peer's is not known. */
static bool
keys_to_try(const struct wire *w, const struct session *s, struct seal_ends *ends)
{
	uint32_t count = 0, turn = s->init_count / INITS_PER_KEY;
	bool named = !zeros(s->expected.key, WIRE_KEY_BYTES);

	for (uint32_t i = 0; !named && i < w->key_count; i++)
		count += may_be(&w->keys[i], &s->expected);
	if (named)
		count = 1;
	if (count == 0)
		return false;
	bool before = turn / count % 2 == 1 && w->own[w->own_now ^ 1].held;
	ends->own = &w->own[w->own_now ^ before];
	ends->peer = s->expected.key;
	for (uint32_t i = 0, n = 0; !named && i < w->key_count; i++)
		if (may_be(&w->keys[i], &s->expected) && n++ == turn % count)
			ends->peer = w->keys[i].key;
	return true;
}

static bool
is_under_way(const struct seal *seal, const struct seal_ends *ends)
{
	return seal->under_way &&
	       memcmp(seal->noise.peer_static, ends->peer, WIRE_KEY_BYTES) == 0 &&
	       memcmp(seal->noise.own_public, ends->own->public, WIRE_KEY_BYTES) == 0;
}

bool
seal_write_init(struct wire *w, struct session *s, const struct hello *hello)
{
	uint8_t payload[HELLO_PRIVATE_BYTES];
	struct seal *seal = &s->seal;
	struct seal_ends ends;

	if (!keys_to_try(w, s, &ends))
		return false;
	if (is_under_way(seal, &ends))
		return true;
	s->own = (uint8_t)(ends.own - w->own);
	make_mac(w->config.crypto, ends.peer, seal->mac);
	handshake_noise(w, &seal->noise, &ends);
	hello_put_private(hello, payload);
	seal->under_way = noise_write(&seal->noise, (struct crypto_slice){payload, sizeof payload},
				      seal->message);
	return seal->under_way;
}

/* `hello` holds the head already. */
static bool
read_hello(struct noise *n, const struct datagram *d, struct hello *hello)
{
	const uint8_t *message = d->body + HELLO_HEAD_BYTES;
	size_t bytes = d->body_bytes - HELLO_HEAD_BYTES;
	uint8_t payload[HELLO_PRIVATE_BYTES];

	must(bytes == noise_overhead(n) + sizeof payload);
	if (!noise_read(n, (struct crypto_slice){message, bytes}, payload))
		return false;
	memcpy(hello->self.key, n->peer_static, WIRE_KEY_BYTES);
	return hello_get_private(hello, d, payload);
}

bool
seal_read_init(struct wire *w, const struct datagram *d, struct noise *n, struct hello *hello)
{
	must(d->body_bytes == HELLO_BYTES);
	handshake_noise(w, n, &(struct seal_ends){&w->own[w->own_asked], NULL});
	if (!read_hello(n, d, hello)) {
		w->stats.drop_forged++;
		return false;
	}
	return true;
}

bool
seal_write_response(struct noise *n, const struct hello *answer,
		    uint8_t out[RESPONSE_MESSAGE_BYTES])
{
	uint8_t payload[HELLO_PRIVATE_BYTES];

	hello_put_private(answer, payload);
	return noise_write(n, (struct crypto_slice){payload, sizeof payload}, out);
}

/* On a copy: a forged answer must not spoil what the honest one needs. */
bool
seal_read_response(struct wire *w, struct session *s, const struct datagram *d, struct hello *hello)
{
	struct noise copy = s->seal.noise;

	if (!s->seal.under_way) {
		w->stats.drop_handshake++; /* answered before */
		return false;
	}
	if (d->body_bytes != SEALED_RESPONSE_BYTES) {
		w->stats.drop_malformed++;
		return false;
	}
	if (!read_hello(&copy, d, hello)) {
		w->stats.drop_forged++;
		return false;
	}
	s->seal.noise = copy;
	s->seal.under_way = false; /* spent: whatever it says, the next INIT is another */
	return true;
}

static uint32_t
slot_of(const struct wire *w, const struct session *s, uint8_t generation, uint32_t direction)
{
	return CRYPTO_SLOT_SCRATCH + 1 + 4 * session_number(w, s) + 2 * (generation & 1u) +
	       direction;
}

void
seal_take_keys(struct wire *w, struct session *s, uint8_t generation, const struct noise_keys *keys)
{
	const struct crypto *c = w->config.crypto;

	c->key(c->context, slot_of(w, s, generation, SEND_SLOT), keys->send);
	c->key(c->context, slot_of(w, s, generation, RECEIVE_SLOT), keys->receive);
	s->seal.open_generation[generation & 1] = generation;
}

void
seal_drop_keys(struct wire *w, struct session *s, uint8_t generation)
{
	static const struct noise_keys none;

	seal_take_keys(w, s, generation, &none);
	s->seal.open_generation[generation & 1] = 0;
}

static size_t
seal_in_place(struct wire *w, uint32_t slot, const struct datagram *d, uint8_t *out,
	      size_t body_bytes)
{
	const struct crypto *c = w->config.crypto;
	uint8_t *body = out + DATAGRAM_HEADER_BYTES;

	datagram_put_header(d, out);
	c->seal(c->context, &(struct crypto_box){
				    .slot = slot,
				    .nonce = d->counter,
				    .bound = {out, DATAGRAM_HEADER_BYTES},
				    .in = body,
				    .out = body,
				    .bytes = body_bytes,
				    .tag = body + body_bytes,
			    });
	return DATAGRAM_FRAME_BYTES + body_bytes;
}

size_t
seal_datagram(struct wire *w, const struct session *s, struct datagram *d, uint8_t *out,
	      size_t body_bytes)
{
	if (!sealed(w))
		return datagram_seal(d, out, body_bytes);
	d->generation = s->seal.send_generation;
	return seal_in_place(w, slot_of(w, s, d->generation, SEND_SLOT), d, out, body_bytes);
}

size_t
seal_half_open(struct wire *w, const struct noise_keys *keys, struct datagram *d, uint8_t *out,
	       size_t body_bytes)
{
	const struct crypto *c = w->config.crypto;

	d->generation = HANDSHAKE_GENERATION;
	c->key(c->context, CRYPTO_SLOT_SCRATCH, keys->send);
	return seal_in_place(w, CRYPTO_SLOT_SCRATCH, d, out, body_bytes);
}

static bool
open_body(struct wire *w, uint32_t slot, struct datagram *d)
{
	const struct crypto *c = w->config.crypto;
	uint8_t tag[DATAGRAM_TAG_BYTES];

	memcpy(tag, d->body + d->body_bytes, sizeof tag);
	if (!c->open(c->context, &(struct crypto_box){
					 .slot = slot,
					 .nonce = d->counter,
					 .bound = {d->data, DATAGRAM_HEADER_BYTES},
					 .in = d->body,
					 .out = w->opened,
					 .bytes = d->body_bytes,
					 .tag = tag,
				 })) {
		w->stats.drop_forged++;
		return false;
	}
	d->body = w->opened;
	return true;
}

bool
seal_open(struct wire *w, const struct session *s, struct datagram *d)
{
	if (!sealed(w))
		return true;
	if (d->generation == 0 || s->seal.open_generation[d->generation & 1] != d->generation) {
		w->stats.drop_generation++;
		return false;
	}
	return open_body(w, slot_of(w, s, d->generation, RECEIVE_SLOT), d);
}

bool
seal_open_half(struct wire *w, const struct noise_keys *keys, struct datagram *d)
{
	const struct crypto *c = w->config.crypto;

	if (!sealed(w))
		return true;
	if (d->generation != HANDSHAKE_GENERATION) {
		w->stats.drop_generation++;
		return false;
	}
	c->key(c->context, CRYPTO_SLOT_SCRATCH, keys->receive);
	return open_body(w, CRYPTO_SLOT_SCRATCH, d);
}
