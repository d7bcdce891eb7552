/*
 * base/crypto.h - what sealing needs of cryptography, as a table of functions.
 *
 * wire/ is pure and holds no cryptography; hw/crypto.h fills this table with
 * OpenSSL's, the simulator with a cheap one that seals nothing. Both ends of a
 * session must have the same table.
 *
 *     hash    SHA-256
 *     agree   X25519
 *     seal    AES-256-GCM under the key in a slot; the nonce is 4 zero bytes and
 *             `nonce` in 8, most significant first (as Noise's AESGCM has it)
 *
 * A key is put into a slot once and used often: its expansion costs as much as
 * a small datagram. Slot CRYPTO_SLOT_SCRATCH is for whoever uses a key once and
 * puts it in right before.
 *
 * Ownership  `context` is the table's own; buffers are the caller's. `in` and
 *            `out` may be the same place, else they are apart.
 * Errors     agree and open answer false: a public key of small order, a tag of
 *            other bytes. What open then left in `out` is not to be read.
 * Threads    one core per table.
 */
#ifndef BASE_CRYPTO_H
#define BASE_CRYPTO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CRYPTO_KEY_BYTES    32 /* X25519, AES-256 and SHA-256 alike */
#define CRYPTO_TAG_BYTES    16
#define CRYPTO_SLOT_SCRATCH 0u

struct crypto_slice {
	const void *data;
	size_t bytes;
};

struct crypto_box {
	uint32_t slot;
	uint64_t nonce;
	struct crypto_slice bound; /* authenticated, not hidden */
	const uint8_t *in;
	uint8_t *out;
	size_t bytes; /* of both */
	uint8_t *tag; /* written by seal, read by open */
};

struct crypto {
	void *context;
	uint32_t slots;
	void (*hash)(void *context, const struct crypto_slice *parts, uint32_t count,
		     uint8_t out[CRYPTO_KEY_BYTES]);
	void (*public_key)(void *context, const uint8_t secret[CRYPTO_KEY_BYTES],
			   uint8_t out[CRYPTO_KEY_BYTES]);
	bool (*agree)(void *context, const uint8_t secret[CRYPTO_KEY_BYTES],
		      const uint8_t peer[CRYPTO_KEY_BYTES], uint8_t out[CRYPTO_KEY_BYTES]);
	void (*key)(void *context, uint32_t slot, const uint8_t key[CRYPTO_KEY_BYTES]);
	void (*seal)(void *context, const struct crypto_box *box);
	bool (*open)(void *context, const struct crypto_box *box);
};

#endif /* BASE_CRYPTO_H */
