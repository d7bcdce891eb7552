/*
 * The log's bytes and its recovery rule, on a disk that is an array.
 *
 * A disk tears at 512 bytes, flips bits, keeps old blocks and now and then writes a
 * block in another place. Each test does one of these to a good log and says what
 * recovery must answer. The last batch may vanish (nobody was told of it); any other
 * must be either delivered or reported.
 */
#include <criterion/criterion.h>

#include "paxos/log_format.h"

#define SECTOR         512
#define SEGMENT_BLOCKS 32
#define SEGMENT_BYTES  (SEGMENT_BLOCKS * LOG_BLOCK_BYTES)
#define SEGMENTS       3

struct disk {
	struct log_segment segment[SEGMENTS];
	uint8_t image[SEGMENTS][SEGMENT_BYTES];
	uint32_t at[SEGMENTS]; /* where the next batch goes */
	uint64_t lsn;
	uint64_t ordinal;
};

static struct disk disk; /* one per test: Criterion forks */

static void
take_segment(uint32_t number, uint64_t generation)
{
	struct log_segment *segment = &disk.segment[number];

	if (disk.ordinal == 0)
		disk.ordinal = 1;
	*segment = (struct log_segment){
		.state = LOG_SEGMENT_LIVE,
		.disk = "the disk's id..",
		.server = "the server's id",
		.number = number,
		.segment_bytes = SEGMENT_BYTES,
		.generation = generation,
		.first_lsn = disk.lsn,
		.first_ordinal = disk.ordinal,
		.oldest_generation = 1,
		.path = "/var/lib/synod/log",
	};
	log_segment_encode(segment, disk.image[number]);
	disk.at[number] = LOG_BLOCK_BYTES;
}

/* One batch of `count` records with bodies of `body_bytes`; answers its position. */
static uint32_t
write_batch(uint32_t number, uint32_t count, uint32_t body_bytes, uint16_t flags)
{
	uint32_t position = disk.at[number];
	uint8_t *out = disk.image[number] + position;
	uint32_t frame_bytes = FRAME_HEADER_BYTES + body_bytes;
	struct log_batch batch = {
		.flags = flags,
		.record_bytes = count * frame_bytes,
		.record_count = count,
		.first_lsn = disk.lsn,
		.generation = disk.segment[number].generation,
		.ordinal = disk.ordinal++,
	};

	cr_assert(position + log_batch_disk_bytes(batch.record_bytes) <= SEGMENT_BYTES);
	for (uint32_t i = 0; i < count; i++) {
		struct frame frame = {.frame_bytes = frame_bytes, .kind = 1, .lsn = disk.lsn};
		uint8_t *at = out + LOG_BATCH_HEADER_BYTES + i * frame_bytes;
		memset(at + FRAME_HEADER_BYTES, (int)(batch.ordinal * 16 + i), body_bytes);
		frame_encode(&frame, at);
		disk.lsn += frame_bytes;
	}
	log_batch_encode(&batch, log_batch_seed(disk.segment[number].disk, number), out);
	disk.at[number] += log_batch_disk_bytes(batch.record_bytes);
	return position;
}

/* Recovery over the first `segments`; counts the batches that came out. */
static struct log_verdict
recover(uint32_t segments, uint32_t *batch_count)
{
	struct log_scan scan;
	struct log_batch batch;
	const uint8_t *records;

	*batch_count = 0;
	log_scan_begin(&scan);
	for (uint32_t i = 0; i < segments; i++) {
		log_scan_segment(&scan, &disk.segment[i], disk.image[i]);
		while (log_scan_next(&scan, &batch, &records)) {
			struct reader r = reader_over(records, batch.record_bytes);
			struct frame frame;
			const uint8_t *data;
			uint64_t lsn = batch.first_lsn;
			while (log_record_next(&r, lsn, &frame, &data))
				lsn += frame.frame_bytes;
			cr_assert(reader_done(&r));
			(*batch_count)++;
		}
	}
	return log_scan_verdict(&scan);
}

Test(paxos_log_format, segment_header_round_trip)
{
	struct log_segment out;

	take_segment(1, 7);
	cr_assert(log_segment_decode(&out, disk.image[1], LOG_BLOCK_BYTES));
	cr_assert_eq(memcmp(&out, &disk.segment[1], sizeof out), 0);
	cr_assert(!log_segment_decode(&out, disk.image[1], LOG_BLOCK_BYTES - 1));
}

Test(paxos_log_format, segment_header_refuses_any_flipped_bit)
{
	struct log_segment out;

	take_segment(0, 1);
	for (size_t bit = 0; bit < LOG_BLOCK_BYTES * 8; bit++) {
		disk.image[0][bit / 8] ^= (uint8_t)(1u << bit % 8);
		cr_assert(!log_segment_decode(&out, disk.image[0], LOG_BLOCK_BYTES), "bit %zu",
			  bit);
		disk.image[0][bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
}

Test(paxos_log_format, batch_refuses_any_flipped_bit_and_keeps_zero_padding)
{
	struct log_batch batch;

	take_segment(0, 1);
	uint32_t position = write_batch(0, 3, 40, 0);
	uint8_t *data = disk.image[0] + position;
	uint64_t seed = log_batch_seed(disk.segment[0].disk, 0);
	size_t used = LOG_BATCH_HEADER_BYTES + 3 * (FRAME_HEADER_BYTES + 40);

	cr_assert(log_batch_decode(&batch, seed, data, LOG_BLOCK_BYTES));
	cr_assert_eq(batch.record_count, 3);
	cr_assert_eq(batch.ordinal, 1);
	for (size_t bit = 0; bit < used * 8; bit++) {
		data[bit / 8] ^= (uint8_t)(1u << bit % 8);
		cr_assert(!log_batch_decode(&batch, seed, data, LOG_BLOCK_BYTES), "bit %zu", bit);
		data[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	for (size_t i = used; i < LOG_BLOCK_BYTES; i++)
		cr_assert_eq(data[i], 0);
	cr_assert(!log_batch_decode(&batch, log_batch_seed(disk.segment[0].disk, 1), data,
				    LOG_BLOCK_BYTES),
		  "another segment's batch");
}

Test(paxos_log_format, orderly_stop_is_clean_and_the_next_batch_ends_that)
{
	uint32_t count;

	take_segment(0, 1);
	write_batch(0, 2, 100, 0);
	write_batch(0, 0, 0, LOG_BATCH_CLEAN);
	struct log_verdict verdict = recover(1, &count);
	cr_assert_eq(verdict.tail, LOG_TAIL_CLEAN);
	cr_assert_eq(verdict.end_lsn, 2 * 164);
	cr_assert_eq(verdict.next_ordinal, 3);

	write_batch(0, 0, 0, 0);
	verdict = recover(1, &count);
	cr_assert_eq(verdict.tail, LOG_TAIL_CUT);
	cr_assert_eq(count, 3);
}

/* Any prefix of the last write, over zeros or over what the file held before. */
static void
tear_last_batch(int background)
{
	static uint8_t whole[8 * LOG_BLOCK_BYTES];
	uint32_t count;

	take_segment(0, 1);
	memset(disk.image[0] + LOG_BLOCK_BYTES, background, SEGMENT_BYTES - LOG_BLOCK_BYTES);
	write_batch(0, 1, 1000, 0);
	write_batch(0, 4, 3000, 0);
	uint64_t kept_lsn = disk.lsn;
	uint32_t position = write_batch(0, 5, 5000, 0);
	uint32_t bytes = disk.at[0] - position;
	uint32_t used = LOG_BATCH_HEADER_BYTES + 5 * 5064;

	memcpy(whole, disk.image[0] + position, bytes);
	for (uint32_t keep = 0; keep < used; keep += SECTOR) {
		memset(disk.image[0] + position, background, bytes);
		memcpy(disk.image[0] + position, whole, keep);
		struct log_verdict verdict = recover(1, &count);
		cr_assert_eq(verdict.tail, LOG_TAIL_CUT, "%u bytes kept", keep);
		cr_assert_eq(verdict.end_lsn, kept_lsn);
		cr_assert_eq(count, 2);
	}
	/* A disk may also write the later sectors first. */
	for (uint32_t lost = 0; lost < used; lost += SECTOR) {
		memcpy(disk.image[0] + position, whole, bytes);
		memset(disk.image[0] + position + lost, background ? background : 0xEE, SECTOR);
		struct log_verdict verdict = recover(1, &count);
		cr_assert_eq(verdict.tail, LOG_TAIL_CUT, "sector %u lost", lost / SECTOR);
		cr_assert_eq(count, 2);
	}
}

Test(paxos_log_format, torn_last_batch_over_zeros_is_cut)
{
	tear_last_batch(0);
}

Test(paxos_log_format, torn_last_batch_over_garbage_is_cut)
{
	tear_last_batch(0xA5);
}

Test(paxos_log_format, rot_in_the_middle_is_reported_with_its_range)
{
	uint32_t count;

	take_segment(0, 1);
	write_batch(0, 1, 500, 0);
	uint64_t first = disk.lsn;
	uint32_t position = write_batch(0, 2, 600, 0);
	uint64_t end = disk.lsn;
	write_batch(0, 1, 700, 0);
	disk.image[0][position + 900] ^= 1;

	struct log_verdict verdict = recover(1, &count);
	cr_assert_eq(verdict.tail, LOG_TAIL_ROT);
	cr_assert_eq(verdict.rot_first_lsn, first);
	cr_assert_eq(verdict.rot_end_lsn, end);
	cr_assert_eq(verdict.rot_count, 1);
	cr_assert_eq(verdict.end, LOG_TAIL_CUT, "the end is as good as without it");
	cr_assert_eq(verdict.end_lsn, disk.lsn, "what stands behind the rot is delivered");
	cr_assert_eq(count, 2);
}

/* The last batch of a segment rots: only the next segment tells. */
Test(paxos_log_format, rot_at_a_segments_end_is_seen_from_the_next_segment)
{
	uint32_t count;

	take_segment(0, 1);
	write_batch(0, 1, 500, 0);
	uint64_t first = disk.lsn;
	uint32_t position = write_batch(0, 1, 600, 0);
	take_segment(1, 2);
	memset(disk.image[0] + position, 0, LOG_BLOCK_BYTES);

	struct log_verdict verdict = recover(2, &count);
	cr_assert_eq(verdict.tail, LOG_TAIL_ROT, "header alone, no batch yet");
	cr_assert_eq(verdict.rot_first_lsn, first);
	cr_assert_eq(verdict.rot_end_lsn, disk.lsn);

	disk.segment[1].first_ordinal = 0; /* as if the header had been rebuilt */
	write_batch(1, 1, 700, 0);
	verdict = recover(2, &count);
	cr_assert_eq(verdict.tail, LOG_TAIL_ROT);
	cr_assert_eq(count, 2);
}

Test(paxos_log_format, a_missing_segment_is_rot)
{
	uint32_t count;

	take_segment(0, 1);
	write_batch(0, 1, 500, 0);
	uint64_t first = disk.lsn;
	take_segment(1, 2);
	write_batch(1, 2, 500, 0);
	uint64_t end = disk.lsn;
	take_segment(2, 3);
	write_batch(2, 1, 500, 0);
	disk.segment[1] = disk.segment[2];
	memcpy(disk.image[1], disk.image[2], SEGMENT_BYTES);

	struct log_verdict verdict = recover(2, &count);
	cr_assert_eq(verdict.tail, LOG_TAIL_ROT);
	cr_assert_eq(verdict.rot_first_lsn, first);
	cr_assert_eq(verdict.rot_end_lsn, end);
}

Test(paxos_log_format, several_segments_follow_one_another)
{
	uint32_t count;

	for (uint32_t i = 0; i < SEGMENTS; i++) {
		take_segment(i, i + 10);
		write_batch(i, 3, 1000, 0);
		write_batch(i, 1, 10, 0);
	}
	struct log_verdict verdict = recover(SEGMENTS, &count);
	cr_assert_eq(verdict.tail, LOG_TAIL_CUT);
	cr_assert_eq(verdict.end_lsn, disk.lsn);
	cr_assert_eq(count, 2 * SEGMENTS);
}

/* The file's former life left whole batches behind the end of the present one. */
Test(paxos_log_format, stale_generation_is_not_taken_for_the_log)
{
	uint32_t count;

	take_segment(0, 1);
	write_batch(0, 1, 100, 0);
	write_batch(0, 1, 200, 0);
	write_batch(0, 1, 300, 0);
	take_segment(0, 5);
	write_batch(0, 1, 400, 0);

	struct log_verdict verdict = recover(1, &count);
	cr_assert_eq(verdict.tail, LOG_TAIL_CUT);
	cr_assert_eq(count, 1);
	cr_assert_eq(verdict.end_lsn, disk.lsn);
}

/* A disk that writes a block elsewhere: over an earlier batch, or too far behind. */
Test(paxos_log_format, misplaced_batch_is_rot)
{
	uint32_t count;

	take_segment(0, 1);
	uint32_t first = write_batch(0, 1, 100, 0);
	uint32_t second = write_batch(0, 1, 200, 0);
	uint64_t second_lsn = 164;
	uint32_t third = write_batch(0, 1, 300, 0);

	memcpy(disk.image[0] + second, disk.image[0] + third, LOG_BLOCK_BYTES);
	memset(disk.image[0] + third, 0, LOG_BLOCK_BYTES);
	struct log_verdict verdict = recover(1, &count);
	cr_assert_eq(verdict.tail, LOG_TAIL_ROT);
	cr_assert_eq(verdict.rot_first_lsn, second_lsn);
	cr_assert_eq(verdict.rot_end_lsn, second_lsn + 264);

	memcpy(disk.image[0] + second, disk.image[0] + first, LOG_BLOCK_BYTES);
	verdict = recover(1, &count);
	cr_assert_eq(verdict.tail, LOG_TAIL_ROT, "an older batch over the last one");
	cr_assert_eq(verdict.rot_first_lsn, second_lsn);
	cr_assert_eq(verdict.rot_end_lsn, LOG_LSN_UNKNOWN);
	cr_assert_eq(verdict.end, LOG_TAIL_ROT, "what was behind it may be gone too");
}

Test(paxos_log_format, a_batch_of_another_file_is_not_valid_here)
{
	uint32_t count;

	take_segment(0, 1);
	take_segment(1, 1);
	write_batch(1, 1, 100, 0);
	memcpy(disk.image[0] + LOG_BLOCK_BYTES, disk.image[1] + LOG_BLOCK_BYTES, LOG_BLOCK_BYTES);
	struct log_verdict verdict = recover(1, &count);
	cr_assert_eq(count, 0);
	cr_assert_eq(verdict.end_lsn, 0);
}

/* The header is gone, the batches stand: the file must not pass for a spare one. */
Test(paxos_log_format, a_lost_header_is_guessed_from_the_batches)
{
	struct log_segment out;
	uint32_t count;

	take_segment(0, 3);
	write_batch(0, 1, 100, 0);
	write_batch(0, 1, 200, 0);
	take_segment(0, 9);
	write_batch(0, 1, 300, 0);
	write_batch(0, 2, 100, 0);
	memset(disk.image[0], 0, LOG_BLOCK_BYTES);

	cr_assert(!log_segment_decode(&out, disk.image[0], SEGMENT_BYTES));
	cr_assert_eq(log_segment_guess(&disk.segment[0], disk.image[0], SEGMENT_BYTES), 9);
	disk.segment[0].first_ordinal = 0;
	struct log_verdict verdict = recover(1, &count);
	cr_assert_eq(count, 2);
	cr_assert_eq(verdict.end_lsn, disk.lsn);

	memset(disk.image[0], 0, SEGMENT_BYTES);
	cr_assert_eq(log_segment_guess(&disk.segment[0], disk.image[0], SEGMENT_BYTES), 0);
}

/* A batch whose frames do not follow one another is a writer's mistake. */
Test(paxos_log_format, frames_must_follow_the_lsn)
{
	static uint8_t out[LOG_BLOCK_BYTES];
	struct frame frame = {.frame_bytes = FRAME_HEADER_BYTES, .kind = 1, .lsn = 77};
	struct log_batch batch = {
		.record_bytes = FRAME_HEADER_BYTES,
		.record_count = 1,
		.first_lsn = 76,
		.generation = 1,
		.ordinal = 1,
	};
	struct log_batch decoded;

	frame_encode(&frame, out + LOG_BATCH_HEADER_BYTES);
	log_batch_encode(&batch, 5, out);
	cr_assert(!log_batch_decode(&decoded, 5, out, sizeof out));
	batch.first_lsn = 77;
	log_batch_encode(&batch, 5, out);
	cr_assert(log_batch_decode(&decoded, 5, out, sizeof out));
	cr_assert_eq(log_batch_disk_bytes(LOG_BLOCK_BYTES - LOG_BATCH_HEADER_BYTES),
		     LOG_BLOCK_BYTES);
	cr_assert_eq(log_batch_disk_bytes(LOG_BLOCK_BYTES), 2 * LOG_BLOCK_BYTES);
}
