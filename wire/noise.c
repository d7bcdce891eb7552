/* Noise's symmetric state and handshake state, by the names of its paper. */
#include "wire/noise.h"

#include <string.h>

#include "base/must.h"

#define BLOCK_BYTES  64 /* of SHA-256 */
#define MESSAGES_MAX 3
#define TOKENS_MAX   4

enum token {
	TOKEN_END = 0,
	TOKEN_E = 1,
	TOKEN_S = 2,
	TOKEN_EE = 3,
	TOKEN_ES = 4,
	TOKEN_SE = 5,
	TOKEN_SS = 6,
	TOKEN_PSK = 7,
};

struct pattern {
	char name[36];
	uint32_t messages;
	bool peer_known; /* the initiator has the responder's static key */
	bool psk;
	uint8_t tokens[MESSAGES_MAX][TOKENS_MAX];
};

static const struct pattern patterns[NOISE_PATTERNS] = {
	[NOISE_IKPSK2] =
		{
			.name = "Noise_IKpsk2_25519_AESGCM_SHA256",
			.messages = 2,
			.peer_known = true,
			.psk = true,
			.tokens = {{TOKEN_E, TOKEN_ES, TOKEN_S, TOKEN_SS},
				   {TOKEN_E, TOKEN_EE, TOKEN_SE, TOKEN_PSK}},
		},
	[NOISE_XX] =
		{
			.name = "Noise_XX_25519_AESGCM_SHA256",
			.messages = 3,
			.tokens = {{TOKEN_E},
				   {TOKEN_E, TOKEN_EE, TOKEN_S, TOKEN_ES},
				   {TOKEN_S, TOKEN_SE}},
		},
};

static struct crypto_slice
slice_of(const void *data, size_t bytes)
{
	return (struct crypto_slice){.data = data, .bytes = bytes};
}

static void
hash(const struct noise *n, struct crypto_slice a, struct crypto_slice b, uint8_t *out)
{
	const struct crypto_slice parts[] = {a, b};

	n->crypto->hash(n->crypto->context, parts, 2, out);
}

/* HMAC of `a` and then `b`, under a key of the hash's size. */
static void
hmac(const struct noise *n, const uint8_t *key, const struct crypto_slice data[2], uint8_t *out)
{
	uint8_t pad[BLOCK_BYTES], inner[NOISE_KEY_BYTES];

	for (size_t i = 0; i < BLOCK_BYTES; i++)
		pad[i] = (uint8_t)((i < NOISE_KEY_BYTES ? key[i] : 0) ^ 0x36);
	const struct crypto_slice parts[] = {slice_of(pad, sizeof pad), data[0], data[1]};
	n->crypto->hash(n->crypto->context, parts, 3, inner);
	for (size_t i = 0; i < BLOCK_BYTES; i++)
		pad[i] ^= 0x36 ^ 0x5c;
	hash(n, slice_of(pad, sizeof pad), slice_of(inner, sizeof inner), out);
}

/* `count` outputs of 32 bytes each out of the chaining key and `input`. */
static void
hkdf(const struct noise *n, struct crypto_slice input, uint32_t count,
     uint8_t out[][NOISE_KEY_BYTES])
{
	uint8_t secret[NOISE_KEY_BYTES];
	const struct crypto_slice first[] = {input, slice_of(NULL, 0)};

	hmac(n, n->chain, first, secret);
	for (uint32_t i = 0; i < count; i++) {
		const uint8_t number = (uint8_t)(i + 1);
		const struct crypto_slice data[] = {i == 0 ? slice_of(NULL, 0)
							   : slice_of(out[i - 1], NOISE_KEY_BYTES),
						    slice_of(&number, 1)};
		hmac(n, secret, data, out[i]);
	}
}

static void
mix_hash(struct noise *n, const void *data, size_t bytes)
{
	uint8_t mixed[NOISE_KEY_BYTES];

	hash(n, slice_of(n->hash, sizeof n->hash), slice_of(data, bytes), mixed);
	memcpy(n->hash, mixed, sizeof mixed);
}

static void
take_key(struct noise *n, const uint8_t *key)
{
	memcpy(n->key, key, NOISE_KEY_BYTES);
	n->keyed = true;
	n->nonce = 0;
}

static void
mix_key(struct noise *n, const uint8_t input[NOISE_KEY_BYTES])
{
	uint8_t out[2][NOISE_KEY_BYTES];

	hkdf(n, slice_of(input, NOISE_KEY_BYTES), 2, out);
	memcpy(n->chain, out[0], NOISE_KEY_BYTES);
	take_key(n, out[1]);
}

static void
mix_key_and_hash(struct noise *n, const uint8_t input[NOISE_KEY_BYTES])
{
	uint8_t out[3][NOISE_KEY_BYTES];

	hkdf(n, slice_of(input, NOISE_KEY_BYTES), 3, out);
	memcpy(n->chain, out[0], NOISE_KEY_BYTES);
	mix_hash(n, out[1], NOISE_KEY_BYTES);
	take_key(n, out[2]);
}

static bool
mix_agreement(struct noise *n, const uint8_t *secret, const uint8_t *peer)
{
	uint8_t shared[NOISE_KEY_BYTES];

	if (!n->crypto->agree(n->crypto->context, secret, peer, shared))
		return false;
	mix_key(n, shared);
	return true;
}

/* Before there is a key, what is to be hidden goes in clear: Noise's rule. */
static size_t
tag_bytes(bool keyed)
{
	return keyed ? CRYPTO_TAG_BYTES : 0;
}

static struct crypto_box
next_box(struct noise *n)
{
	n->crypto->key(n->crypto->context, CRYPTO_SLOT_SCRATCH, n->key);
	return (struct crypto_box){
		.slot = CRYPTO_SLOT_SCRATCH,
		.nonce = n->nonce++,
		.bound = slice_of(n->hash, sizeof n->hash),
	};
}

/* Returns the place behind what it wrote. */
static uint8_t *
encrypt_and_hash(struct noise *n, struct crypto_slice plain, uint8_t *out)
{
	size_t bytes = plain.bytes + tag_bytes(n->keyed);

	if (n->keyed) {
		struct crypto_box box = next_box(n);
		box.in = plain.data;
		box.out = out;
		box.bytes = plain.bytes;
		box.tag = out + plain.bytes;
		n->crypto->seal(n->crypto->context, &box);
	} else if (bytes > 0) {
		memcpy(out, plain.data, bytes);
	}
	mix_hash(n, out, bytes);
	return out + bytes;
}

/* `sealed` includes the tag, where there is a key. */
static bool
decrypt_and_hash(struct noise *n, struct crypto_slice sealed, uint8_t *out)
{
	uint8_t tag[CRYPTO_TAG_BYTES];
	const uint8_t *in = sealed.data;
	size_t bytes = sealed.bytes - tag_bytes(n->keyed);
	bool good = true;

	if (n->keyed) {
		struct crypto_box box = next_box(n);
		memcpy(tag, in + bytes, sizeof tag);
		box.in = in;
		box.out = out;
		box.bytes = bytes;
		box.tag = tag;
		good = n->crypto->open(n->crypto->context, &box);
	} else if (bytes > 0) {
		memcpy(out, in, bytes);
	}
	mix_hash(n, in, sealed.bytes);
	return good;
}

void
noise_init(struct noise *n, const struct noise_config *config)
{
	const struct pattern *p = &patterns[config->pattern];
	size_t name_bytes = strlen(p->name);

	must(config->pattern < NOISE_PATTERNS && name_bytes <= NOISE_KEY_BYTES);
	must((config->peer_static != NULL) == (p->peer_known && config->initiator));
	must(config->psk == NULL || p->psk);
	*n = (struct noise){
		.crypto = config->crypto,
		.pattern = config->pattern,
		.initiator = config->initiator,
	};
	memcpy(n->own_secret, config->own_secret, NOISE_KEY_BYTES);
	memcpy(n->own_public, config->own_public, NOISE_KEY_BYTES);
	memcpy(n->ephemeral_secret, config->ephemeral_secret, NOISE_KEY_BYTES);
	if (config->psk != NULL)
		memcpy(n->psk, config->psk, NOISE_KEY_BYTES);
	if (config->peer_static != NULL)
		memcpy(n->peer_static, config->peer_static, NOISE_KEY_BYTES);
	memcpy(n->hash, p->name, name_bytes);
	memcpy(n->chain, n->hash, NOISE_KEY_BYTES);
	mix_hash(n, config->prologue.data, config->prologue.bytes);
	if (p->peer_known)
		mix_hash(n, n->initiator ? n->peer_static : n->own_public, NOISE_KEY_BYTES);
}

bool
noise_done(const struct noise *n)
{
	return n->step == patterns[n->pattern].messages;
}

size_t
noise_overhead(const struct noise *n)
{
	const struct pattern *p = &patterns[n->pattern];
	bool keyed = n->keyed;
	size_t bytes = 0;

	must(!noise_done(n));
	for (int i = 0; i < TOKENS_MAX; i++) {
		switch (p->tokens[n->step][i]) {
		case TOKEN_END:
			break;
		case TOKEN_E:
			bytes += NOISE_KEY_BYTES;
			keyed = keyed || p->psk;
			break;
		case TOKEN_S:
			bytes += NOISE_KEY_BYTES + tag_bytes(keyed);
			break;
		default:
			keyed = true;
		}
	}
	return bytes + tag_bytes(keyed);
}

/* The tokens that mix and carry nothing. */
static bool
mix_token(struct noise *n, enum token token)
{
	/* The first letter is the initiator's key, the second the responder's. */
	bool own_ephemeral = token == TOKEN_EE || (token == TOKEN_ES) == n->initiator;
	bool peer_ephemeral = token == TOKEN_EE || (token == TOKEN_SE) == n->initiator;

	if (token == TOKEN_PSK) {
		mix_key_and_hash(n, n->psk);
		return true;
	}
	if (token == TOKEN_SS)
		own_ephemeral = peer_ephemeral = false;
	return mix_agreement(n, own_ephemeral ? n->ephemeral_secret : n->own_secret,
			     peer_ephemeral ? n->peer_ephemeral : n->peer_static);
}

/* With a pre-shared key in the pattern an ephemeral key is mixed in twice. */
static void
mix_ephemeral(struct noise *n, const uint8_t *ephemeral)
{
	mix_hash(n, ephemeral, NOISE_KEY_BYTES);
	if (patterns[n->pattern].psk)
		mix_key(n, ephemeral);
}

bool
noise_write(struct noise *n, struct crypto_slice payload, uint8_t *out)
{
	const struct pattern *p = &patterns[n->pattern];

	must(!noise_done(n) && (n->step % 2 == 0) == n->initiator);
	for (int i = 0; i < TOKENS_MAX; i++) {
		enum token token = p->tokens[n->step][i];
		if (token == TOKEN_END)
			break;
		if (token == TOKEN_E) {
			n->crypto->public_key(n->crypto->context, n->ephemeral_secret,
					      n->ephemeral_public);
			memcpy(out, n->ephemeral_public, NOISE_KEY_BYTES);
			out += NOISE_KEY_BYTES;
			mix_ephemeral(n, n->ephemeral_public);
		} else if (token == TOKEN_S) {
			out = encrypt_and_hash(n, slice_of(n->own_public, NOISE_KEY_BYTES), out);
		} else if (!mix_token(n, token)) {
			return false;
		}
	}
	encrypt_and_hash(n, payload, out);
	n->step++;
	return true;
}

bool
noise_read(struct noise *n, struct crypto_slice message, uint8_t *payload)
{
	const struct pattern *p = &patterns[n->pattern];
	const uint8_t *at = message.data;

	must(!noise_done(n) && (n->step % 2 == 0) != n->initiator);
	if (message.bytes < noise_overhead(n))
		return false;
	const uint8_t *end = at + message.bytes;
	for (int i = 0; i < TOKENS_MAX; i++) {
		enum token token = p->tokens[n->step][i];
		if (token == TOKEN_END)
			break;
		if (token == TOKEN_E) {
			memcpy(n->peer_ephemeral, at, NOISE_KEY_BYTES);
			at += NOISE_KEY_BYTES;
			mix_ephemeral(n, n->peer_ephemeral);
		} else if (token == TOKEN_S) {
			size_t bytes = NOISE_KEY_BYTES + tag_bytes(n->keyed);
			if (!decrypt_and_hash(n, slice_of(at, bytes), n->peer_static))
				return false;
			at += bytes;
		} else if (!mix_token(n, token)) {
			return false;
		}
	}
	if (!decrypt_and_hash(n, slice_of(at, (size_t)(end - at)), payload))
		return false;
	n->step++;
	return true;
}

void
noise_split(const struct noise *n, struct noise_keys *keys)
{
	uint8_t out[2][NOISE_KEY_BYTES];

	must(noise_done(n));
	hkdf(n, slice_of(NULL, 0), 2, out);
	memcpy(keys->send, out[n->initiator ? 0 : 1], NOISE_KEY_BYTES);
	memcpy(keys->receive, out[n->initiator ? 1 : 0], NOISE_KEY_BYTES);
}
