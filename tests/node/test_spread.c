/* Records of payloads that are spread: round trips, and refusal of what is cut, longer,
 * misplaced or out of a bound. */
#include <criterion/criterion.h>

#include "certify/entry.h"
#include "node/spread.h"

#define CHUNK 512

static uint8_t bytes_of_chunk[CHUNK];

static struct spread_chunk
sample(uint64_t offset, uint32_t bytes)
{
	for (uint32_t i = 0; i < CHUNK; i++)
		bytes_of_chunk[i] = (uint8_t)(i * 7);
	return (struct spread_chunk){
		.incarnation = 11,
		.offer = 3,
		.index = 77,
		.total = 2 * CHUNK + 100,
		.offset = offset,
		.chunk_bytes = CHUNK,
		.bytes = bytes,
		.data = bytes_of_chunk,
	};
}

static uint32_t
encoded(const struct spread_chunk *chunk, uint8_t *out)
{
	struct writer w = writer_over(out, 1024);

	spread_chunk_encode(chunk, &w);
	cr_assert(!w.bad);
	return (uint32_t)w.bytes;
}

Test(node_spread, chunks_survive_the_round_trip)
{
	for (uint64_t offset = 0; offset < 3 * CHUNK; offset += CHUNK) {
		uint8_t body[1024];
		struct spread_chunk in = sample(offset, offset < 2 * CHUNK ? CHUNK : 100), out;
		uint32_t bytes = encoded(&in, body);

		cr_assert_eq(bytes + FRAME_HEADER_BYTES, spread_chunk_record_bytes(in.bytes));
		cr_assert(spread_chunk_decode(&out, body, bytes));
		cr_assert_eq(out.incarnation, 11);
		cr_assert_eq(out.offer, 3);
		cr_assert_eq(out.index, 77);
		cr_assert_eq(out.total, in.total);
		cr_assert_eq(out.offset, offset);
		cr_assert_eq(out.chunk_bytes, CHUNK);
		cr_assert_eq(out.bytes, in.bytes);
		cr_assert_eq(memcmp(out.data, bytes_of_chunk, in.bytes), 0);
	}
}

Test(node_spread, a_chunk_of_any_other_length_is_refused)
{
	uint8_t body[1024];
	struct spread_chunk in = sample(0, CHUNK), out;
	uint32_t bytes = encoded(&in, body);

	for (uint32_t n = 0; n < bytes; n++)
		cr_assert(!spread_chunk_decode(&out, body, n), "%u bytes", n);
	cr_assert(!spread_chunk_decode(&out, body, bytes + 1));
}

Test(node_spread, a_chunk_in_the_wrong_place_is_refused)
{
	const uint64_t wrong[] = {1, CHUNK - 1, 2 * CHUNK, 3 * CHUNK, UINT64_MAX - CHUNK + 1};

	for (uint32_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
		uint8_t body[1024];
		struct spread_chunk in = sample(wrong[i], CHUNK), out;
		uint32_t bytes = encoded(&in, body);

		cr_assert(!spread_chunk_decode(&out, body, bytes), "offset %llu",
			  (unsigned long long)wrong[i]);
	}
}

Test(node_spread, a_payload_of_more_chunks_than_a_record_names_is_refused)
{
	uint8_t body[1024];
	struct spread_chunk in = sample(0, CHUNK), out;

	in.total = (uint64_t)SPREAD_CHUNKS_MAX * CHUNK;
	cr_assert(spread_chunk_decode(&out, body, encoded(&in, body)));
	in.total++;
	cr_assert(!spread_chunk_decode(&out, body, encoded(&in, body)));
	in.total = 100;
	in.bytes = 100;
	cr_assert(spread_chunk_decode(&out, body, encoded(&in, body)));
	bytes_put_u32(body + 40, ENTRY_CHUNK_BYTES_MIN - 1);
	cr_assert(!spread_chunk_decode(&out, body, SPREAD_CHUNK_HEAD_BYTES + 100));
}

Test(node_spread, ends_survive_the_round_trip)
{
	uint8_t lsn[3 * 8], body[1024];
	struct spread_settled in = {.incarnation = 11,
				    .offer = 3,
				    .index = 77,
				    .number = 5,
				    .total = 2 * CHUNK + 100,
				    .chunk_bytes = CHUNK,
				    .count = 3,
				    .lsn = lsn},
			      out;
	struct writer w = writer_over(body, sizeof body);

	for (uint32_t i = 0; i < 3; i++)
		bytes_put_u64(lsn + (size_t)i * 8, 1000 + i);
	spread_settled_encode(&in, &w);
	uint32_t bytes = (uint32_t)w.bytes;
	cr_assert(spread_settled_decode(&out, body, bytes));
	cr_assert_eq(out.index, 77);
	cr_assert_eq(out.number, 5);
	cr_assert_eq(out.count, 3);
	for (uint32_t i = 0; i < 3; i++)
		cr_assert_eq(spread_settled_lsn(&out, i), 1000 + i);
	for (uint32_t n = 0; n < bytes; n++)
		cr_assert(!spread_settled_decode(&out, body, n), "%u bytes", n);
	cr_assert(!spread_settled_decode(&out, body, bytes + 8));
	bytes_put_u32(body + 44, 2); /* not as many as the payload has chunks */
	cr_assert(!spread_settled_decode(&out, body, bytes - 8));
}

Test(node_spread, an_end_without_an_index_names_no_chunks)
{
	uint8_t body[1024];
	struct spread_settled in = {.incarnation = 11, .offer = 3, .total = 5 * CHUNK}, out;
	struct writer w = writer_over(body, sizeof body);

	in.chunk_bytes = CHUNK;
	spread_settled_encode(&in, &w);
	cr_assert(spread_settled_decode(&out, body, (uint32_t)w.bytes));
	cr_assert_eq(out.index, 0);
	cr_assert_eq(out.count, 0);
}
