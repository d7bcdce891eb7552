/* The nonce of a datagram, as base/crypto.h says: 4 zero bytes, then its number in 8,
 * most significant first. */
#ifndef HW_GCM_NONCE_H
#define HW_GCM_NONCE_H

#include <stdint.h>
#include <string.h>

#define GCM_NONCE_BYTES 12

static inline void
gcm_nonce(uint64_t n, uint8_t out[GCM_NONCE_BYTES])
{
	memset(out, 0, GCM_NONCE_BYTES);
	for (int i = 0; i < 8; i++)
		out[4 + i] = (uint8_t)(n >> (56 - 8 * i));
}

#endif /* HW_GCM_NONCE_H */
