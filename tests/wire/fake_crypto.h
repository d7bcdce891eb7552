/*
 * tests/wire/fake_crypto.h - a table of base/crypto.h that seals nothing.
 *
 * For the simulator and the fuzzers: deterministic, a few nanoseconds a call, and
 * with the shape of the real one, in that both ends agree on a secret and a tag fits only
 * its own key, nonce and bytes. It hides nothing, and whoever sees a public key
 * can compute the secret: an attacker in a test must not, and does not, try.
 *
 * Ownership  struct fake_crypto is the caller's; with it the place of its keys.
 */
#ifndef TESTS_WIRE_FAKE_CRYPTO_H
#define TESTS_WIRE_FAKE_CRYPTO_H

#include <string.h>

#include "base/bytes.h"
#include "base/crypto.h"
#include "base/hash.h"
#include "base/must.h"

#define FAKE_LANES     (CRYPTO_KEY_BYTES / 8)
#define FAKE_GENERATOR 0x9e3779b97f4a7c15u /* odd: multiplication by it loses nothing */

struct fake_crypto {
	struct crypto table;
	uint64_t *keys; /* one per slot */
};

static inline void
fake_hash(void *context, const struct crypto_slice *parts, uint32_t count,
	  uint8_t out[CRYPTO_KEY_BYTES])
{
	uint64_t all = 0;

	(void)context;
	for (uint32_t i = 0; i < count; i++)
		if (parts[i].bytes > 0)
			all = hash_bytes(parts[i].data, parts[i].bytes, all + i + 1);
	for (uint64_t lane = 0; lane < FAKE_LANES; lane++)
		bytes_put_u64(out + 8 * lane, hash_bytes((const uint8_t *)&all, 8, lane));
}

static inline void
fake_multiply(const uint8_t *a, const uint8_t *b, uint8_t *out)
{
	for (int lane = 0; lane < FAKE_LANES; lane++) {
		uint64_t factor = b == NULL ? FAKE_GENERATOR : bytes_get_u64(b + 8 * lane);
		bytes_put_u64(out + 8 * lane, (bytes_get_u64(a + 8 * lane) | 1) * factor);
	}
}

static inline void
fake_public_key(void *context, const uint8_t secret[CRYPTO_KEY_BYTES],
		uint8_t out[CRYPTO_KEY_BYTES])
{
	(void)context;
	fake_multiply(secret, NULL, out);
}

static inline bool
fake_agree(void *context, const uint8_t secret[CRYPTO_KEY_BYTES],
	   const uint8_t peer[CRYPTO_KEY_BYTES], uint8_t out[CRYPTO_KEY_BYTES])
{
	static const uint8_t zero[CRYPTO_KEY_BYTES];

	(void)context;
	fake_multiply(secret, peer, out);
	return memcmp(peer, zero, sizeof zero) != 0;
}

static inline void
fake_key(void *context, uint32_t slot, const uint8_t key[CRYPTO_KEY_BYTES])
{
	struct fake_crypto *f = context;

	must(slot < f->table.slots);
	f->keys[slot] = hash_bytes(key, CRYPTO_KEY_BYTES, 3);
}

static inline uint64_t
fake_tag(const struct fake_crypto *f, const struct crypto_box *box, const uint8_t *plain)
{
	must(box->slot < f->table.slots);
	uint64_t tag = hash_bytes(box->bound.data, box->bound.bytes, f->keys[box->slot]);
	tag += box->nonce * FAKE_GENERATOR;
	return box->bytes == 0 ? tag : hash_bytes(plain, box->bytes, tag);
}

static inline void
fake_seal(void *context, const struct crypto_box *box)
{
	uint64_t tag = fake_tag(context, box, box->in);

	if (box->bytes > 0)
		memmove(box->out, box->in, box->bytes);
	bytes_put_u64(box->tag, tag);
	bytes_put_u64(box->tag + 8, ~tag);
}

static inline bool
fake_open(void *context, const struct crypto_box *box)
{
	uint64_t tag = fake_tag(context, box, box->in);

	if (box->bytes > 0)
		memmove(box->out, box->in, box->bytes);
	return bytes_get_u64(box->tag) == tag && bytes_get_u64(box->tag + 8) == ~tag;
}

static inline const struct crypto *
fake_crypto_init(struct fake_crypto *f, uint64_t *keys, uint32_t slots)
{
	*f = (struct fake_crypto){
		.keys = keys,
		.table =
			{
				.context = f,
				.slots = slots,
				.hash = fake_hash,
				.public_key = fake_public_key,
				.agree = fake_agree,
				.key = fake_key,
				.seal = fake_seal,
				.open = fake_open,
			},
	};
	return &f->table;
}

#endif /* TESTS_WIRE_FAKE_CRYPTO_H */
