/*
 * Many lives of one log: write, lose power in the middle of a write, recover, go on.
 *
 * The disk keeps any subset of the sectors of the write that was under way, in no order,
 * over whatever the file held: zeros, a former life, the torn batch of the crash before.
 * After each crash recovery must deliver every acknowledged batch; of the one under way
 * all or nothing; and what one recovery declared absent no later one may find.
 */
#include <criterion/criterion.h>

#include "paxos/log_format.h"

#define SECTOR        512
#define SEGMENT_BYTES (256 * LOG_BLOCK_BYTES)
#define LIVES         100
#define BATCHES_MAX   4096

static uint8_t image[SEGMENT_BYTES];
static uint8_t out[LOG_BATCH_BYTES_MAX];
static struct log_segment segment;
static uint64_t state; /* of the random numbers */

/* The batches that count, by ordinal: which content each has. */
static uint64_t content[BATCHES_MAX];

static uint64_t
draw(uint64_t below)
{
	state = hash_fold(state, 1);
	return state % below;
}

static uint32_t
encode(uint64_t ordinal, uint64_t lsn, uint64_t mark)
{
	uint32_t count = (uint32_t)draw(4);
	struct log_batch batch = {
		.generation = segment.generation, .ordinal = ordinal, .first_lsn = lsn};

	for (uint32_t i = 0; i < count; i++) {
		/* Bodies of few different bytes: torn batches differ in little. */
		uint32_t body_bytes = 8 + (uint32_t)draw(3) * 1500;
		struct frame frame = {
			.frame_bytes = FRAME_HEADER_BYTES + body_bytes,
			.kind = 1,
			.incarnation = mark,
			.lsn = lsn + batch.record_bytes,
		};
		uint8_t *at = out + LOG_BATCH_HEADER_BYTES + batch.record_bytes;
		memset(at + FRAME_HEADER_BYTES, (int)draw(2), body_bytes);
		frame_encode(&frame, at);
		batch.record_bytes += frame.frame_bytes;
		batch.record_count++;
	}
	log_batch_encode(&batch, log_batch_seed(segment.disk, segment.number), out);
	return batch.record_bytes;
}

/* What identifies a batch's bytes: their own checksum. */
static uint64_t
content_of(const uint8_t *batch)
{
	return bytes_get_u64(batch);
}

/* Recovers, checks against `content`, answers how many batches there are. */
static uint64_t
recover(struct log_scan *scan, uint64_t acknowledged, bool *one_more)
{
	struct log_batch batch;
	const uint8_t *records;
	uint64_t found = 0;

	log_scan_begin(scan);
	log_scan_segment(scan, &segment, image);
	while (log_scan_next(scan, &batch, &records)) {
		found++;
		cr_assert_eq(batch.ordinal, found);
		cr_assert_eq(content_of(records - LOG_BATCH_HEADER_BYTES), content[found],
			     "batch %lu is another than was written last", (unsigned long)found);
	}
	cr_assert_eq(log_scan_verdict(scan).tail, LOG_TAIL_CUT);
	cr_assert_geq(found, acknowledged, "an acknowledged batch is lost");
	cr_assert_leq(found, acknowledged + 1);
	*one_more = found > acknowledged;
	return found;
}

/* A new life of the file over what it held. */
static void
take_segment(uint64_t generation)
{
	segment = (struct log_segment){
		.state = LOG_SEGMENT_LIVE,
		.disk = "the disk's id..",
		.segment_bytes = SEGMENT_BYTES,
		.generation = generation,
		.first_ordinal = 1,
	};
	log_segment_encode(&segment, image);
}

/* Several crashes in one segment; answers how many writes were torn. */
static uint32_t
run(uint64_t seed, uint64_t generation, uint32_t *completed)
{
	struct log_scan scan;
	uint64_t written = 0, lsn = 0;
	uint32_t at = LOG_BLOCK_BYTES, torn = 0;
	bool one_more;

	state = hash_fold(seed, generation);
	take_segment(generation);
	while (at + 8 * LOG_BLOCK_BYTES < SEGMENT_BYTES) {
		uint32_t record_bytes = encode(written + 1, lsn, draw(1u << 30));
		uint32_t bytes = log_batch_disk_bytes(record_bytes);
		if (draw(3) > 0) { /* acknowledged */
			memcpy(image + at, out, bytes);
			content[++written] = content_of(out);
			at += bytes;
			lsn += record_bytes;
			continue;
		}
		for (uint32_t sector = 0; sector < bytes; sector += SECTOR)
			if (draw(8) > 0)
				memcpy(image + at + sector, out + sector, SECTOR);
		content[written + 1] = content_of(out);
		torn++;
		written = recover(&scan, written, &one_more);
		*completed += one_more;
		at = scan.end;
		lsn = log_scan_verdict(&scan).end_lsn;
		/* The recovery rule: zeros before the blocks behind a cut are used. */
		memset(image + at, 0, SEGMENT_BYTES - at);
	}
	recover(&scan, written, &one_more);
	cr_assert(!one_more);
	return torn;
}

Test(paxos_log_crash, acknowledged_is_found_and_absent_stays_absent)
{
	uint32_t torn = 0, completed = 0;

	for (uint64_t life = 1; life <= LIVES; life++)
		torn += run(0x5eed, life, &completed);
	cr_assert_gt(torn, 500);
	cr_assert_gt(completed, 50, "some writes are whole although nobody was told");
	cr_assert_lt(completed, torn - 100);
}
