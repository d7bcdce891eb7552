/*
 * paxos/log_format.h on a disk of any content.
 *
 * The first byte chooses: 0 a segment header as it came; 1 with its checksum made right;
 * 2 a batch as it came; 3 with the checksums of its frames and its own made right; 4 a
 * recovery over two segments of four blocks, in which every block that looks like a
 * batch is made right first, so that ordinals, generations and LSNs of any value meet.
 */
#include <stdlib.h>

#include "paxos/log_format.h"
#include "tests/fuzz/fuzz.h"

#define SEED           7
#define SEGMENT_BLOCKS 4
#define PIECE_BYTES    256 /* of the input, for each block: the rest is zeros */
#define SEGMENT_BYTES  (SEGMENT_BLOCKS * LOG_BLOCK_BYTES)

static uint8_t *
copy(const uint8_t *data, size_t n, size_t room)
{
	uint8_t *out = calloc(1, room);
	must(out);
	memcpy(out, data, n < room ? n : room);
	return out;
}

/* What decodes encodes to the same bytes: there is one spelling. */
static void
fuzz_header(const uint8_t *data, size_t n, bool repair)
{
	struct log_segment segment;
	uint8_t again[LOG_BLOCK_BYTES];
	uint8_t *block = copy(data, n, LOG_BLOCK_BYTES);

	if (repair) {
		bytes_put_u32(block + 8, LOG_SEGMENT_MAGIC);
		bytes_put_u64(block, hash_bytes(block + 8, LOG_BLOCK_BYTES - 8, 0));
	}
	if (log_segment_decode(&segment, block, LOG_BLOCK_BYTES)) {
		log_segment_encode(&segment, again);
		must(memcmp(again, block, LOG_BLOCK_BYTES) == 0);
	}
	must(!log_segment_decode(&segment, block, LOG_BLOCK_BYTES - 1));
	free(block);
}

/* Makes right the checksums of the frames that follow one another, then the batch's. */
static void
repair_batch(uint8_t *data, size_t n, uint64_t seed)
{
	size_t at = LOG_BATCH_HEADER_BYTES;
	uint64_t lsn = bytes_get_u64(data + 24);
	uint32_t count = 0;

	bytes_put_u32(data + 8, LOG_BATCH_MAGIC);
	for (; n - at >= FRAME_HEADER_BYTES; count++) {
		uint32_t frame_bytes = bytes_get_u32(data + at + 8);
		if (frame_bytes < FRAME_HEADER_BYTES || frame_bytes > n - at)
			break;
		bytes_put_u16(data + at + 12, FRAME_VERSION);
		bytes_put_u64(data + at + 48, lsn);
		bytes_put_u64(data + at, hash_bytes(data + at + 8, frame_bytes - 8, 0));
		at += frame_bytes;
		lsn += frame_bytes;
	}
	bytes_put_u32(data + 16, (uint32_t)(at - LOG_BATCH_HEADER_BYTES));
	bytes_put_u32(data + 20, count);
	bytes_put_u64(data, hash_bytes(data + 8, at - 8, seed));
}

static void
fuzz_batch(const uint8_t *data, size_t n, bool repair)
{
	struct log_batch batch;
	uint8_t *in = copy(data, n, n);

	if (repair && n >= LOG_BATCH_HEADER_BYTES)
		repair_batch(in, n, SEED);
	if (log_batch_decode(&batch, SEED, in, n)) {
		size_t used = LOG_BATCH_HEADER_BYTES + (size_t)batch.record_bytes;
		uint8_t *again = copy(in, n, log_batch_disk_bytes(batch.record_bytes));
		must(used <= n);
		memset(again, 0xEE, LOG_BATCH_HEADER_BYTES);
		log_batch_encode(&batch, SEED, again);
		must(memcmp(again, in, used) == 0);
		free(again);
	}
	free(in);
}

/* Ordinals and LSNs only rise, a batch lies in its segment, and rot is never called a cut. */
static void
check_scan(struct log_scan *scan, const struct log_segment *segment, const uint8_t *image,
	   uint64_t *ordinal, uint64_t *lsn)
{
	struct log_batch batch;
	const uint8_t *records;
	uint32_t turns = 0;

	log_scan_segment(scan, segment, image);
	while (log_scan_next(scan, &batch, &records)) {
		must(turns++ < SEGMENT_BLOCKS);
		must(batch.generation == segment->generation);
		must(batch.position >= LOG_BLOCK_BYTES);
		must(batch.position + log_batch_disk_bytes(batch.record_bytes) <= SEGMENT_BYTES);
		must(records == image + batch.position + LOG_BATCH_HEADER_BYTES);
		must(batch.first_lsn >= *lsn);
		*lsn = batch.first_lsn + batch.record_bytes;
		if (*ordinal != 0) {
			must(batch.ordinal > *ordinal);
			if (batch.ordinal > *ordinal + 1)
				must(log_scan_verdict(scan).tail == LOG_TAIL_ROT);
		}
		*ordinal = batch.ordinal;
	}
	must(scan->end <= SEGMENT_BYTES);
}

static void
fuzz_scan(const uint8_t *data, size_t n)
{
	uint8_t *image = calloc(1, 2 * SEGMENT_BYTES);
	struct log_segment segment = {.state = LOG_SEGMENT_LIVE, .segment_bytes = SEGMENT_BYTES};
	struct log_scan scan;
	uint64_t ordinal = 0, lsn = 0;

	must(image);
	for (size_t at = 0, block = 0; at < n && block < 2 * SEGMENT_BLOCKS; block++) {
		size_t piece = n - at < PIECE_BYTES ? n - at : PIECE_BYTES;
		memcpy(image + block * LOG_BLOCK_BYTES, data + at, piece);
		at += piece;
	}
	log_scan_begin(&scan);
	for (uint32_t i = 0; i < 2; i++) {
		uint8_t *at = image + (size_t)i * SEGMENT_BYTES;
		segment.number = i;
		segment.generation = i + 1u;
		segment.first_ordinal = at[0];
		segment.first_lsn = at[1];
		for (uint32_t block = 1; block < SEGMENT_BLOCKS; block++)
			if (at[block * LOG_BLOCK_BYTES + 8] != 0)
				repair_batch(at + block * LOG_BLOCK_BYTES, LOG_BLOCK_BYTES,
					     log_batch_seed(segment.disk, i));
		check_scan(&scan, &segment, at, &ordinal, &lsn);
		must(log_segment_guess(&segment, at, SEGMENT_BYTES) >= segment.generation ||
		     scan.end == LOG_BLOCK_BYTES);
	}
	struct log_verdict verdict = log_scan_verdict(&scan);
	if (verdict.tail == LOG_TAIL_ROT)
		must(verdict.rot_count > 0);
	free(image);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	if (n < 1)
		return 0;
	uint8_t choice = data[0] % 5;
	if (choice < 2)
		fuzz_header(data + 1, n - 1, choice == 1);
	else if (choice < 4)
		fuzz_batch(data + 1, n - 1, choice == 3);
	else
		fuzz_scan(data + 1, n - 1);
	return 0;
}
