/* Cursors: what was written is read back; what does not fit turns bad and stays so. */
#include <criterion/criterion.h>

#include "base/bytes.h"

Test(base_bytes, round_trip_of_every_width)
{
	uint8_t buffer[32];
	struct writer w = writer_over(buffer, sizeof buffer);

	writer_u8(&w, 0xA1);
	writer_u16(&w, 0xB2B1);
	writer_u32(&w, 0xC4C3C2C1u);
	writer_u64(&w, 0xD8D7D6D5D4D3D2D1u);
	writer_raw(&w, "synod", 5);
	cr_assert(!w.bad);
	cr_assert_eq(w.bytes, 20);
	cr_assert_eq(buffer[1], 0xB1, "little-endian");

	struct reader r = reader_over(buffer, w.bytes);
	char text[5];
	cr_assert_eq(reader_u8(&r), 0xA1);
	cr_assert_eq(reader_u16(&r), 0xB2B1);
	cr_assert_eq(reader_u32(&r), 0xC4C3C2C1u);
	cr_assert_eq(reader_u64(&r), 0xD8D7D6D5D4D3D2D1u);
	reader_raw(&r, text, 5);
	cr_assert_eq(memcmp(text, "synod", 5), 0);
	cr_assert(reader_done(&r));
}

Test(base_bytes, short_input_turns_bad_and_yields_zero)
{
	uint8_t three[3] = {1, 2, 3};
	struct reader r = reader_over(three, sizeof three);

	cr_assert_eq(reader_u32(&r), 0);
	cr_assert(r.bad);
	cr_assert_eq(reader_u8(&r), 0, "stays bad although a byte is left");
	cr_assert(!reader_done(&r));
}

Test(base_bytes, trailing_bytes_are_not_done)
{
	uint8_t three[3] = {1, 2, 3};
	struct reader r = reader_over(three, sizeof three);

	reader_u16(&r);
	cr_assert(!r.bad);
	cr_assert(!reader_done(&r));
}

Test(base_bytes, full_writer_turns_bad_and_writes_nothing_past_its_end)
{
	uint8_t buffer[4] = {0, 0, 0, 0x77};
	struct writer w = writer_over(buffer, 3);

	writer_u16(&w, 0xFFFF);
	writer_u16(&w, 0xFFFF);
	cr_assert(w.bad);
	cr_assert_eq(w.bytes, 2);
	cr_assert_eq(buffer[2], 0);
	cr_assert_eq(buffer[3], 0x77);
}
