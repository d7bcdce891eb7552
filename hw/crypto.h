/*
 * hw/crypto.h - the table of base/crypto.h, with OpenSSL's libcrypto behind it, and
 * libipsec-mb for AES-256-GCM in programs that link it (hw/gcm.h) on processors that
 * have AES-NI.
 *
 * Everything that is used per datagram is allocated by hw_crypto_new(): what a slot
 * keeps is its key's expansion. An X25519 agreement lets
 * libcrypto allocate and free a few hundred bytes; there are four of them in a
 * handshake.
 *
 * Ownership  hw_crypto_free() frees the table; nobody may use it any more.
 * Errors     hw_crypto_new() and hw_random() answer -errno with a sentence (NULL
 *            with a sentence); a failure of libcrypto later is a bug or an
 *            exhausted process, and stops it.
 * Threads    a table belongs to one thread; several tables may be used at once.
 */
#ifndef HW_CRYPTO_H
#define HW_CRYPTO_H

#include "base/crypto.h"
#include "hw/error.h"

/* `slots` for keys, the scratch slot included. */
struct crypto *hw_crypto_new(uint32_t slots, struct hw_error *error);
void hw_crypto_free(struct crypto *crypto);

/* Whose AES-256-GCM it is, for people. */
const char *hw_crypto_sealed_by(const struct crypto *crypto);

/* Random bytes of the kernel's, fit for keys. */
int hw_random(uint8_t *out, size_t bytes, struct hw_error *error);

#endif /* HW_CRYPTO_H */
