/*
 * base/frame.h and base/bytes.h on bytes of any origin.
 *
 * The first byte chooses: 0 a frame as it came; 1 the same with its checksum
 * made right first, because no fuzzer guesses XXH3 and nothing behind the check
 * would ever be reached; 2 a program of cursor calls, compared with the plain
 * arithmetic that they stand for; 3 the four widths of number.
 */
#include <stdlib.h>

#include "base/frame.h"
#include "tests/fuzz/fuzz.h"

/* What decodes is within its bounds and encodes to the bytes that it came from:
 * there is one spelling of a frame. */
static void
fuzz_frame(const uint8_t *data, size_t n)
{
	struct frame f;

	if (!frame_decode(&f, data, n))
		return;
	must(f.frame_bytes >= FRAME_HEADER_BYTES);
	must(f.frame_bytes <= FRAME_BYTES_MAX);
	must(f.frame_bytes <= n);
	uint8_t *again = malloc(f.frame_bytes);
	must(again);
	memset(again, 0xEE, FRAME_HEADER_BYTES);
	memcpy(again + FRAME_HEADER_BYTES, data + FRAME_HEADER_BYTES,
	       f.frame_bytes - FRAME_HEADER_BYTES);
	frame_encode(&f, again);
	must(memcmp(again, data, f.frame_bytes) == 0);
	free(again);
}

static void
fuzz_frame_repaired(const uint8_t *data, size_t n)
{
	if (n < FRAME_HEADER_BYTES)
		return;
	uint8_t *copy = malloc(n);
	must(copy);
	memcpy(copy, data, n);
	uint32_t frame_bytes = bytes_get_u32(copy + 8);
	if (frame_bytes >= FRAME_HEADER_BYTES && frame_bytes <= n)
		bytes_put_u64(copy, hash_bytes(copy + 8, frame_bytes - 8, 0));
	fuzz_frame(copy, n);
	free(copy);
}

/* Each byte of the program asks the reader for 1, 2, 4, 8 or up to 31 bytes and
 * gives them to a writer half as large; `at` and `bad` say what must come out. */
static void
fuzz_cursors(const uint8_t *data, size_t n)
{
	if (n < 2)
		return;
	size_t program = 1 + data[0] % 32u;
	if (program > n)
		program = n;
	const uint8_t *input = data + program;
	size_t input_bytes = n - program, at = 0, capacity = input_bytes / 2;
	uint8_t *out = malloc(capacity + 1), raw[31];
	must(out);
	struct reader r = reader_over(input, input_bytes);
	struct writer w = writer_over(out, capacity);

	for (size_t i = 1; i < program; i++) {
		size_t want = data[i] % 32u;
		bool fits = !r.bad && want <= input_bytes - at;
		bool room = !w.bad && want <= capacity - w.bytes;

		memset(raw, 0xEE, sizeof raw);
		reader_raw(&r, raw, want);
		must(r.bad == !fits);
		for (size_t byte = 0; byte < want; byte++)
			must(raw[byte] == (fits ? input[at + byte] : 0));
		if (fits)
			at += want;
		writer_raw(&w, raw, want);
		must(w.bad == !room);
		if (room && want > 0)
			must(memcmp(out + w.bytes - want, raw, want) == 0);
		must(reader_done(&r) == (!r.bad && at == input_bytes));
	}
	free(out);
}

/* The numbers: what four widths read is what their bytes say, or zero. */
static void
fuzz_numbers(const uint8_t *data, size_t n)
{
	struct reader r = reader_over(data, n);
	uint8_t back[15];
	struct writer w = writer_over(back, sizeof back);

	writer_u8(&w, reader_u8(&r));
	writer_u16(&w, reader_u16(&r));
	writer_u32(&w, reader_u32(&r));
	writer_u64(&w, reader_u64(&r));
	must(!w.bad);
	must(w.bytes == sizeof back);
	if (r.bad)
		must(n < sizeof back);
	else
		must(memcmp(back, data, sizeof back) == 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	if (n == 0)
		return 0;
	switch (data[0] % 4) {
	case 0:
		fuzz_frame(data + 1, n - 1);
		break;
	case 1:
		fuzz_frame_repaired(data + 1, n - 1);
		break;
	case 2:
		fuzz_cursors(data + 1, n - 1);
		break;
	default:
		fuzz_numbers(data + 1, n - 1);
		break;
	}
	return 0;
}
