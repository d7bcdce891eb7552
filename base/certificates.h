/*
 * base/certificates.h - what sessions need of X.509 certificates, as a table.
 *
 * wire/ is pure and knows no X.509: it carries what one end shows to the other as
 * opaque bytes, and asks this table whether they stand for the key that the other
 * end has proven to hold. hw/certificates.h fills it with OpenSSL's.
 *
 *     shown   our own: a chain of certificates and a signature, by the key of the
 *             first one, over our static public key. It hides nothing, and is the
 *             same in every session.
 *     check   whether these bytes stand for `key`; called once in a handshake, when
 *             they are whole and before its session opens.
 *
 * Ownership  the table and `shown` are its maker's, and must outlive their user.
 * Limits     CERTIFICATES_BYTES_MAX in either direction.
 * Errors     a verdict; bytes of a peer may be anything.
 * Threads    one core per table.
 */
#ifndef BASE_CERTIFICATES_H
#define BASE_CERTIFICATES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/crypto.h"

#define CERTIFICATES_BYTES_MAX 8192

enum certificates_verdict {
	CERTIFICATES_GOOD = 0,
	CERTIFICATES_UNTRUSTED = 1, /* no authority of ours has signed it */
	CERTIFICATES_EXPIRED = 2,   /* or is not valid yet, by the clock of who checks */
	CERTIFICATES_REVOKED = 3,
	CERTIFICATES_NAME = 4,   /* of another host than the one that was meant */
	CERTIFICATES_FORGED = 5, /* does not decode, or has not signed that key */
	CERTIFICATES_VERDICTS = 6,
};

struct certificates {
	void *context;
	const uint8_t *shown;
	uint32_t shown_bytes; /* 0: there is nothing to show */
	bool demanded;        /* of every end that we connect to */
	bool accepted;        /* of a member that connects to us, in place of a listed key */
	enum certificates_verdict (*check)(void *context, const uint8_t key[CRYPTO_KEY_BYTES],
					   const uint8_t *data, uint32_t bytes);
};

#endif /* BASE_CERTIFICATES_H */
