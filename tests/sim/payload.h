/*
 * tests/sim/payload.h - a transaction's bytes as its servers write them.
 *
 * Number, rows, before and after images, and padding that follows from the number: a
 * byte that was lost or mixed up on the way shows. One in a hundred, as a rule, is too large for
 * a value of the consensus and is spread; and every second of these has a write set that
 * is too large for one, too.
 */
#ifndef TESTS_SIM_PAYLOAD_H
#define TESTS_SIM_PAYLOAD_H

#include "tests/sim/sim.h"

#define PAYLOAD_BYTES_MAX SIM_PAYLOAD_BYTES
#define PAYLOAD_MAGIC     0x54584d53u
#define PAYLOAD_SET_MAX   2400 /* hashes */

static inline uint32_t
payload_padding(const struct sim *s, uint32_t number)
{
	uint64_t h = hash_fold(PAYLOAD_MAGIC, number);
	uint32_t large = s->swarm.large_one_in;

	if (h % large == 1)
		return 12000 + (uint32_t)(h / large % s->swarm.large_bytes);
	if (h % 16 != 0)
		return (uint32_t)(h / 16 % 200);
	return (uint32_t)(h / 16 % 8000);
}

/* at[i] = (bytes - i) * number + i / 256: each row of 256 is the former plus one. */
static inline void
payload_pad(uint8_t *at, uint32_t bytes, uint32_t number)
{
	uint32_t head = bytes < 256 ? bytes : 256;
	uint8_t value = (uint8_t)(bytes * number);
	uint32_t i;

	for (i = 0; i < head; i++, value = (uint8_t)(value - number))
		at[i] = value;
	for (; i + 256 <= bytes; i += 256) {
		for (uint32_t k = 0; k < 256; k++)
			at[i + k] = (uint8_t)(at[i + k - 256] + 1);
	}
	for (; i < bytes; i++)
		at[i] = (uint8_t)(at[i - 256] + 1);
}

/* Hashes beside those of its rows: of rows that nobody else writes. */
static inline uint32_t
payload_hashes(const struct sim *s, uint32_t number)
{
	uint64_t h = hash_fold(PAYLOAD_MAGIC, number);
	uint32_t large = 2 * s->swarm.large_one_in;

	return h % large == 1 ? 1600 + (uint32_t)(h / large % 700) : 0;
}

/* Those of its rows stand among the others: in the first chunk, the last, or between. */
static inline uint32_t
payload_write_set(const struct sim *s, uint32_t number, uint64_t *out)
{
	const struct sim_tx *tx = &s->tx[number];
	uint32_t more = tx->row_count > 0 ? payload_hashes(s, number) : 0;
	uint32_t at = more > 0 ? number % (more + 1) : 0;

	for (uint32_t i = 0; i < more; i++)
		out[i < at ? i : i + tx->row_count] =
			hash_fold(hash_fold(PAYLOAD_MAGIC, number), i) & ~ENTRY_HASH_SHARED;
	for (uint32_t i = 0; i < tx->row_count; i++)
		out[at + i] = hash_fold(tx->group + 1u, tx->row[i]) & ~ENTRY_HASH_SHARED;
	return more + tx->row_count;
}

static inline uint32_t
payload_write(const struct sim *s, uint32_t number, uint8_t *out)
{
	const struct sim_tx *tx = &s->tx[number];
	struct writer w = writer_over(out, PAYLOAD_BYTES_MAX);

	writer_u32(&w, PAYLOAD_MAGIC);
	writer_u32(&w, number);
	writer_u8(&w, tx->row_count);
	for (uint32_t i = 0; i < tx->row_count; i++) {
		writer_u8(&w, tx->row[i]);
		writer_u64(&w, tx->before[i]);
		writer_u64(&w, tx->after[i]);
	}
	uint32_t padding = payload_padding(s, number);
	uint8_t *at = writer_take(&w, padding);
	must(at != NULL);
	payload_pad(at, padding, number);
	must(!w.bad);
	return (uint32_t)w.bytes;
}

/* The number that a payload's first bytes name; false: nobody submitted it. */
static inline bool
payload_number(const struct sim *s, const uint8_t *data, uint32_t bytes, uint32_t *number)
{
	if (bytes < 8 || bytes_get_u32(data) != PAYLOAD_MAGIC)
		return false;
	*number = bytes_get_u32(data + 4);
	return *number < s->tx_count && s->tx[*number].submitted;
}

/* True when these are the bytes that transaction `*number` was submitted with. */
static inline bool
payload_read(const struct sim *s, const uint8_t *data, uint32_t bytes, uint32_t *number)
{
	uint8_t expected[PAYLOAD_BYTES_MAX];

	return payload_number(s, data, bytes, number) &&
	       payload_write(s, *number, expected) == bytes && memcmp(data, expected, bytes) == 0;
}

#endif /* TESTS_SIM_PAYLOAD_H */
