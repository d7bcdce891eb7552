/*
 * wire/siphash.h - SipHash-2-4, a keyed hash for short inputs.
 *
 * Who does not know the 16 bytes of key cannot foretell a value: cookies and
 * connection ids are made of it. XXH3 of base/ has no such property. It is no
 * replacement for the sealing of datagrams.
 *
 * Ownership  none; a pure function.
 * Errors     none.
 */
#ifndef WIRE_SIPHASH_H
#define WIRE_SIPHASH_H

#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"

#define SIPHASH_KEY_BYTES 16

static inline uint64_t
siphash_rotate(uint64_t x, unsigned bits)
{
	return x << bits | x >> (64 - bits);
}

static inline void
siphash_rounds(uint64_t v[4], unsigned rounds)
{
	for (unsigned i = 0; i < rounds; i++) {
		v[0] += v[1];
		v[2] += v[3];
		v[1] = siphash_rotate(v[1], 13) ^ v[0];
		v[3] = siphash_rotate(v[3], 16) ^ v[2];
		v[0] = siphash_rotate(v[0], 32);
		v[2] += v[1];
		v[0] += v[3];
		v[1] = siphash_rotate(v[1], 17) ^ v[2];
		v[3] = siphash_rotate(v[3], 21) ^ v[0];
		v[2] = siphash_rotate(v[2], 32);
	}
}

static inline uint64_t
siphash(const uint8_t key[SIPHASH_KEY_BYTES], const uint8_t *data, size_t n)
{
	uint64_t k0 = bytes_get_u64(key), k1 = bytes_get_u64(key + 8);
	uint64_t v[4] = {k0 ^ 0x736f6d6570736575u, k1 ^ 0x646f72616e646f6du,
			 k0 ^ 0x6c7967656e657261u, k1 ^ 0x7465646279746573u};
	uint64_t last = (uint64_t)(n & 0xff) << 56;

	for (size_t i = 0; i + 8 <= n; i += 8) {
		uint64_t m = bytes_get_u64(data + i);
		v[3] ^= m;
		siphash_rounds(v, 2);
		v[0] ^= m;
	}
	for (size_t i = 0; i < n % 8; i++)
		last |= (uint64_t)data[n - n % 8 + i] << (8 * i);
	v[3] ^= last;
	siphash_rounds(v, 2);
	v[0] ^= last;
	v[2] ^= 0xff;
	siphash_rounds(v, 4);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

#endif /* WIRE_SIPHASH_H */
