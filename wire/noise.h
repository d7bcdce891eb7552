/*
 * wire/noise.h - two patterns of the Noise protocol framework, revision 34.
 *
 *     Noise_IKpsk2_25519_AESGCM_SHA256   the initiator knows the responder's key
 *         -> e, es, s, ss
 *         <- e, ee, se, psk
 *     Noise_XX_25519_AESGCM_SHA256       neither knows the other's
 *         -> e
 *         <- e, ee, s, es
 *         -> s, se
 *
 * An end writes and reads in turn until noise_done(), then takes its two keys.
 * Whose static key it was, stands in `peer_static` once the message that
 * carried it was read; whether that key is welcome is the caller's question.
 *
 * Draws no entropy: the ephemeral secret is an input, 32 random bytes that are
 * used for one handshake. A message that was written is kept and sent again as
 * it was: writing it anew with another payload would use a nonce twice.
 *
 * Ownership  struct noise holds all its state, to be copied and dropped at will.
 *            The crypto table must outlive it.
 * Limits     a message is noise_overhead() bytes larger than its payload.
 * Errors     noise_read() false: not the message of an honest peer. noise_write()
 *            false: the peer gave a public key of small order. The state is then
 *            spent; who may yet hear the honest peer tries on a copy.
 * Threads    the owner's.
 */
#ifndef WIRE_NOISE_H
#define WIRE_NOISE_H

#include "base/crypto.h"

#define NOISE_KEY_BYTES CRYPTO_KEY_BYTES

enum noise_pattern {
	NOISE_IKPSK2 = 0,
	NOISE_XX = 1,
	NOISE_PATTERNS = 2,
};

struct noise_config {
	const struct crypto *crypto;
	enum noise_pattern pattern;
	bool initiator;
	struct crypto_slice prologue; /* equal at both ends, or no message opens */
	const uint8_t *own_secret;
	const uint8_t *own_public;
	const uint8_t *ephemeral_secret;
	const uint8_t *peer_static; /* IKPSK2's initiator only */
	const uint8_t *psk;         /* IKPSK2 only; NULL: 32 zero bytes */
};

struct noise {
	const struct crypto *crypto;
	enum noise_pattern pattern;
	bool initiator;
	bool keyed; /* `key` holds one */
	uint32_t step;
	uint64_t nonce;
	uint8_t chain[NOISE_KEY_BYTES];
	uint8_t hash[NOISE_KEY_BYTES]; /* of the whole handshake, once done */
	uint8_t key[NOISE_KEY_BYTES];
	uint8_t psk[NOISE_KEY_BYTES];
	uint8_t own_secret[NOISE_KEY_BYTES], own_public[NOISE_KEY_BYTES];
	uint8_t ephemeral_secret[NOISE_KEY_BYTES], ephemeral_public[NOISE_KEY_BYTES];
	uint8_t peer_static[NOISE_KEY_BYTES];
	uint8_t peer_ephemeral[NOISE_KEY_BYTES];
};

/* The keys of the traffic after the handshake. */
struct noise_keys {
	uint8_t send[NOISE_KEY_BYTES];
	uint8_t receive[NOISE_KEY_BYTES];
};

void noise_init(struct noise *n, const struct noise_config *config);

/* How much larger than its payload the next message is. */
size_t noise_overhead(const struct noise *n);

/* The next message into `out`: payload.bytes + noise_overhead() bytes. */
bool noise_write(struct noise *n, struct crypto_slice payload, uint8_t *out);
/* The peer's next message; its payload goes to `payload`: message.bytes less
 * noise_overhead(). */
bool noise_read(struct noise *n, struct crypto_slice message, uint8_t *payload);

bool noise_done(const struct noise *n);
void noise_split(const struct noise *n, struct noise_keys *keys);

#endif /* WIRE_NOISE_H */
