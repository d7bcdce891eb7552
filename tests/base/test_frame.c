/* The common header: round trip, and refusal of every flipped bit. */
#include <criterion/criterion.h>

#include "base/frame.h"

static const struct frame sample = {
	.frame_bytes = FRAME_HEADER_BYTES + 11,
	.kind = 7,
	.flags = 1,
	.epoch = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16},
	.group = 42,
	.source = 3,
	.incarnation = 0x1122334455667788u,
	.lsn = 4096,
	.generation = 9,
};

static void
encode_sample(uint8_t *out)
{
	memcpy(out + FRAME_HEADER_BYTES, "hello synod", 11);
	frame_encode(&sample, out);
}

Test(base_frame, round_trip)
{
	uint8_t out[128];
	struct frame f;

	encode_sample(out);
	cr_assert(frame_decode(&f, out, sizeof out));
	cr_assert_eq(f.frame_bytes, sample.frame_bytes);
	cr_assert_eq(f.kind, 7);
	cr_assert_eq(f.flags, 1);
	cr_assert_eq(memcmp(f.epoch, sample.epoch, EPOCH_BYTES), 0);
	cr_assert_eq(f.group, 42);
	cr_assert_eq(f.source, 3);
	cr_assert_eq(f.incarnation, sample.incarnation);
	cr_assert_eq(f.lsn, 4096);
	cr_assert_eq(f.generation, 9);
}

Test(base_frame, any_flipped_bit_is_refused)
{
	uint8_t out[FRAME_HEADER_BYTES + 11];
	struct frame f;

	for (size_t bit = 0; bit < sizeof out * 8; bit++) {
		encode_sample(out);
		out[bit / 8] ^= (uint8_t)(1u << bit % 8);
		cr_assert(!frame_decode(&f, out, sizeof out), "bit %zu", bit);
	}
}

Test(base_frame, any_truncation_is_refused)
{
	uint8_t out[FRAME_HEADER_BYTES + 11];
	struct frame f;

	encode_sample(out);
	for (size_t n = 0; n < sizeof out; n++)
		cr_assert(!frame_decode(&f, out, n), "%zu bytes", n);
}
