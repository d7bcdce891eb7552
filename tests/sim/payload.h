/*
 * tests/sim/payload.h - a transaction's bytes as its servers write them.
 *
 * Number, rows, before and after images, and padding that follows from the number: a
 * byte that was lost or mixed up on the way shows.
 */
#ifndef TESTS_SIM_PAYLOAD_H
#define TESTS_SIM_PAYLOAD_H

#include "tests/sim/sim.h"

#define PAYLOAD_BYTES_MAX 9000
#define PAYLOAD_MAGIC     0x54584d53u

static inline uint32_t
payload_padding(uint32_t number)
{
	uint64_t h = hash_fold(PAYLOAD_MAGIC, number);

	if (h % 16 != 0)
		return (uint32_t)(h / 16 % 200);
	return (uint32_t)(h / 16 % 8000);
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
	for (uint32_t i = payload_padding(number); i > 0; i--)
		writer_u8(&w, (uint8_t)(i * number));
	must(!w.bad);
	return (uint32_t)w.bytes;
}

/* True when these are the bytes that transaction `*number` was submitted with. */
static inline bool
payload_read(const struct sim *s, const uint8_t *data, uint32_t bytes, uint32_t *number)
{
	uint8_t expected[PAYLOAD_BYTES_MAX];

	if (bytes < 8 || bytes_get_u32(data) != PAYLOAD_MAGIC)
		return false;
	*number = bytes_get_u32(data + 4);
	if (*number >= s->tx_count || !s->tx[*number].submitted)
		return false;
	return payload_write(s, *number, expected) == bytes && memcmp(data, expected, bytes) == 0;
}

#endif /* TESTS_SIM_PAYLOAD_H */
