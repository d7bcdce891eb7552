/*
 * base/hash.h - XXH3, the one checksum and hash of wire, log and state.
 *
 * xxhash.h is included here and nowhere else. XXH3 is not keyed against an
 * attacker: it finds rot and torn writes. Forgery is the sessions' business.
 */
#ifndef BASE_HASH_H
#define BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wpedantic"
#include <xxhash.h>
#pragma GCC diagnostic pop

static inline uint64_t
hash_bytes(const void *data, size_t n, uint64_t seed)
{
	return XXH3_64bits_withSeed(data, n, seed);
}

/* Folds one more number into a running hash; order matters. */
static inline uint64_t
hash_fold(uint64_t running, uint64_t value)
{
	uint64_t pair[2] = {running, value};
	return XXH3_64bits(pair, sizeof pair);
}

#endif /* BASE_HASH_H */
