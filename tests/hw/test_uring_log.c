/*
 * The log on a real disk: what was reported durable is there after close and open.
 *
 * "Crash" here is close without clean_stop, then, in the tests that say so, a hand in
 * the file: what a disk may do to the last batch, and what it may not do unseen.
 */
#include "log_dir.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/resource.h>

static struct log_dir d;

static void
make(void)
{
	log_dir_make(&d);
}

static void
clean(void)
{
	log_dir_remove(&d);
}

TestSuite(hw_uring_log, .init = make, .fini = clean, .timeout = 60);

static void
write_and_find_again(bool helper_thread)
{
	d.options.helper_thread = helper_thread;
	cr_assert_eq(log_dir_open(&d), 0, "%s", d.error.text);
	cr_assert_eq(d.verdict.tail, LOG_TAIL_NEW);
	/* Where io_uring is refused, the other form is the helper thread as well. */
	if (helper_thread)
		cr_assert_eq(strncmp(hw_log_mode(d.log), "helper", 6), 0, "%s", hw_log_mode(d.log));
	log_dir_write(&d, 20, 100);
	uint64_t end = hw_log_state(d.log).append_lsn;
	cr_assert_eq(end, 20 * 164);
	log_dir_close(&d);

	cr_assert_eq(log_dir_open(&d), 0, "%s", d.error.text);
	cr_assert_eq(d.verdict.tail, LOG_TAIL_CUT);
	cr_assert_eq(d.verdict.end_lsn, end);
	cr_assert_eq(d.records, 20);
	log_dir_write(&d, 5, 3000);
	cr_assert_eq(hw_log_clean_stop(d.log), 0);
	log_dir_close(&d);

	cr_assert_eq(log_dir_open(&d), 0, "%s", d.error.text);
	cr_assert_eq(d.verdict.tail, LOG_TAIL_CLEAN);
	cr_assert_eq(d.records, 25);
	log_dir_close(&d);
	cr_assert_eq(log_dir_open(&d), 0);
	cr_assert_eq(d.verdict.tail, LOG_TAIL_CUT, "an open ends the calm");
	log_dir_close(&d);
}

Test(hw_uring_log, what_was_durable_is_found_again)
{
	write_and_find_again(false);
}

Test(hw_uring_log, the_helper_thread_writes_the_same)
{
	write_and_find_again(true);
}

/* Group commit: what is appended while a write is in flight goes in one batch. */
Test(hw_uring_log, records_gather_while_a_write_is_in_flight)
{
	cr_assert_eq(log_dir_open(&d), 0, "%s", d.error.text);
	uint64_t before = hw_log_state(d.log).batches;
	cr_assert(log_dir_append(&d, 50));
	hw_log_submit(d.log);
	for (int i = 0; i < 500; i++) {
		cr_assert(log_dir_append(&d, 50));
		hw_log_submit(d.log);
	}
	cr_assert_eq(log_dir_drain(&d), 0);
	cr_assert_eq(hw_log_state(d.log).batches - before, 2);
	log_dir_close(&d);
	cr_assert_eq(log_dir_open(&d), 0);
	cr_assert_eq(d.records, 501);
	log_dir_close(&d);
}

/* Back-pressure: nothing is lost, the caller is told to wait. */
Test(hw_uring_log, full_buffers_refuse_and_free_again)
{
	uint32_t taken = 0;

	cr_assert_eq(log_dir_open(&d), 0, "%s", d.error.text);
	while (taken < 1000 && log_dir_append(&d, 200000))
		taken++;
	cr_assert_geq(taken, 4 * 5);
	cr_assert_lt(taken, 4 * 6);
	cr_assert_eq(log_dir_drain(&d), 0);
	cr_assert(log_dir_append(&d, 200000));
	cr_assert_eq(log_dir_drain(&d), 0);
	log_dir_close(&d);
	cr_assert_eq(log_dir_open(&d), 0);
	cr_assert_eq(d.records, taken + 1);
	log_dir_close(&d);
}

static void
read_at(uint64_t lsn, int32_t expected)
{
	static uint8_t buffer[FRAME_BYTES_MAX];
	struct hw_log_read read = {lsn, 77, buffer, sizeof buffer};
	struct hw_log_reaped reaped = {0};
	struct frame frame;

	cr_assert_eq(hw_log_read(d.log, &read), 0);
	for (int i = 0; i < 100000 && reaped.read_count == 0; i++) {
		hw_log_reap(d.log, &reaped);
		if (reaped.read_count == 0)
			usleep(20);
	}
	cr_assert_eq(reaped.read_count, 1);
	cr_assert_eq(reaped.read[0].tag, 77);
	cr_assert_eq(reaped.read[0].lsn, lsn);
	cr_assert_eq(reaped.read[0].result, expected, "lsn %lu: %d", (unsigned long)lsn,
		     reaped.read[0].result);
	if (expected < 0)
		return;
	cr_assert(frame_decode(&frame, buffer, (size_t)expected));
	cr_assert_eq(frame.lsn, lsn);
}

/* Each record reads its predecessor, while it is scanned. */
static void
read_predecessor(void *context, const struct frame *frame, const uint8_t *data)
{
	static uint8_t buffer[FRAME_BYTES_MAX];
	uint64_t *last = context;
	struct hw_log_read read = {*last, 0, buffer, sizeof buffer};
	struct frame found;

	(void)data;
	if (frame->lsn > 0) {
		cr_assert_geq(hw_log_read_scanned(d.log, &read), (int32_t)(frame->lsn - *last));
		cr_assert(frame_decode(&found, buffer, frame->lsn - *last));
		cr_assert_eq(found.lsn, *last);
	}
	read.lsn = frame->lsn + frame->frame_bytes + (1 << 30);
	cr_assert_eq(hw_log_read_scanned(d.log, &read), -ENOENT);
	*last = frame->lsn;
}

Test(hw_uring_log, a_scan_can_read_what_it_has_scanned)
{
	uint64_t last = 0;

	cr_assert_eq(log_dir_open(&d), 0, "%s", d.error.text);
	log_dir_write(&d, 30, 200000);
	log_dir_close(&d);
	cr_assert_eq(hw_log_open(&d.options, &d.log, &d.error), 0);
	cr_assert_eq(hw_log_scan(d.log, read_predecessor, &last, &d.verdict, &d.error), 0);
	cr_assert_eq(last, 29 * 200064);
	log_dir_close(&d);
}

Test(hw_uring_log, reads_find_records_across_segments_and_drop_frees_them)
{
	static uint8_t buffer[FRAME_BYTES_MAX];

	cr_assert_eq(log_dir_open(&d), 0, "%s", d.error.text);
	log_dir_write(&d, 30, 200000 - FRAME_HEADER_BYTES);
	cr_assert(log_dir_append(&d, 936));
	cr_assert(log_dir_append(&d, 936));
	struct hw_log_read early = {30 * 200000, 1, buffer, sizeof buffer};
	cr_assert_eq(hw_log_read(d.log, &early), -EAGAIN);
	cr_assert_eq(log_dir_drain(&d), 0);
	for (uint64_t i = 0; i < 30; i++)
		read_at(i * 200000, 200000);
	read_at(30 * 200000, 2000);
	read_at(30 * 200000 + 1000, 1000);
	read_at(30 * 200000 + 1, -EILSEQ);

	struct hw_log_state before = hw_log_state(d.log);
	cr_assert_geq(before.live_bytes, 3 * TEST_SEGMENT_BYTES);
	hw_log_drop(d.log, 29 * 200000);
	struct hw_log_state after = hw_log_state(d.log);
	cr_assert_lt(after.live_bytes, before.live_bytes);
	cr_assert_gt(after.first_lsn, 0);
	cr_assert_leq(after.first_lsn, 29 * 200000);
	struct hw_log_read gone = {0, 1, buffer, sizeof buffer};
	cr_assert_eq(hw_log_read(d.log, &gone), -ENOENT);
	read_at(29 * 200000, 200000);
	log_dir_close(&d);
}

/* Twice the log's size goes through it: files are used again, and what they held in
 * their former life is not found. */
Test(hw_uring_log, dropped_segments_are_used_again)
{
	cr_assert_eq(log_dir_open(&d), 0, "%s", d.error.text);
	for (uint32_t i = 0; i < 120; i++) {
		log_dir_write(&d, 1, 200000 - FRAME_HEADER_BYTES);
		if (i >= 10)
			hw_log_drop(d.log, (i - 9) * 200000ull);
	}
	struct hw_log_state state = hw_log_state(d.log);
	cr_assert_leq(state.live_bytes, state.bytes_max);
	log_dir_close(&d);
	cr_assert_eq(log_dir_open(&d), 0, "%s", d.error.text);
	cr_assert_eq(d.verdict.tail, LOG_TAIL_CUT);
	cr_assert_eq(d.verdict.end_lsn, 120 * 200000ull);
	cr_assert_geq(d.records, 10);
	log_dir_write(&d, 3, 100);
	log_dir_close(&d);
}

/* Files are used again one by one, and their numbers do not follow the order of what they
 * hold: a crash behind the first of them must not leave a later one missing. */
Test(hw_uring_log, a_crash_behind_a_drop_leaves_no_hole)
{
	struct hw_log_state state;
	uint64_t written = 25;

	cr_assert_eq(log_dir_open(&d), 0, "%s", d.error.text);
	log_dir_write(&d, 25, 200000 - FRAME_HEADER_BYTES);
	hw_log_drop(d.log, 20 * 200000);
	do {
		log_dir_write(&d, 1, 200000 - FRAME_HEADER_BYTES);
		written++;
		state = hw_log_state(d.log);
	} while (state.live_bytes < state.bytes_max);
	hw_log_drop(d.log, state.durable_lsn - 200000);
	for (int i = 0; i < 1000 && hw_log_state(d.log).spare_segments < 2; i++)
		usleep(1000);
	cr_assert_eq(hw_log_state(d.log).spare_segments, 2);
	log_dir_close(&d);
	cr_assert_eq(log_dir_open(&d), 0, "%s", d.error.text);
	cr_assert_eq(d.verdict.tail, LOG_TAIL_CUT);
	cr_assert_eq(d.verdict.end_lsn, written * 200000);
	cr_assert_gt(hw_log_state(d.log).first_lsn, 20 * 200000);
	log_dir_close(&d);
}

/* What was dropped while it is read may be something else by the time it is answered. */
Test(hw_uring_log, a_read_of_what_is_dropped_meanwhile_ends_without_bytes)
{
	static uint8_t buffer[FRAME_BYTES_MAX];
	struct hw_log_read read = {0, 7, buffer, sizeof buffer};
	struct hw_log_reaped reaped = {0};

	cr_assert_eq(log_dir_open(&d), 0, "%s", d.error.text);
	log_dir_write(&d, 25, 200000 - FRAME_HEADER_BYTES);
	cr_assert_eq(hw_log_read(d.log, &read), 0);
	hw_log_drop(d.log, 20 * 200000);
	for (int i = 0; i < 100000 && reaped.read_count == 0; i++) {
		hw_log_reap(d.log, &reaped);
		usleep(20);
	}
	cr_assert_eq(reaped.read_count, 1);
	cr_assert_eq(reaped.read[0].result, -ENOENT);
	log_dir_close(&d);
}

/* A log of some segments, of which the first ones were dropped, and two made ready for use. */
static uint64_t
write_and_drop(void)
{
	struct hw_log_state state;

	cr_assert_eq(log_dir_open(&d), 0, "%s", d.error.text);
	do {
		log_dir_write(&d, 1, 200000 - FRAME_HEADER_BYTES);
		state = hw_log_state(d.log);
	} while (state.live_bytes < state.bytes_max);
	hw_log_drop(d.log, 25 * 200000);
	for (int i = 0; i < 1000 && hw_log_state(d.log).spare_segments < 2; i++)
		usleep(1000);
	state = hw_log_state(d.log);
	cr_assert_eq(state.spare_segments, 2);
	cr_assert_gt(state.first_lsn, 0);
	cr_assert_leq(state.first_lsn, 25 * 200000);
	return state.first_lsn;
}

Test(hw_uring_log, a_log_says_that_what_lay_before_was_dropped)
{
	uint64_t first = write_and_drop();

	for (int i = 0; i < 3; i++) {
		log_dir_close(&d);
		cr_assert_eq(log_dir_open(&d), 0, "%s", d.error.text);
		cr_assert_eq(d.verdict.tail, LOG_TAIL_CUT);
		cr_assert_eq(hw_log_state(d.log).first_lsn, first);
		cr_assert(!hw_log_state(d.log).begin_lost);
		log_dir_write(&d, 6, 200000 - FRAME_HEADER_BYTES);
	}
	log_dir_close(&d);
}

/* The headers of spare segments are all that says it, and one of them is torn when it is
 * taken into use; or the power fails before any was written. */
static void
tear_a_spare(uint32_t headers)
{
	static uint8_t block[LOG_BLOCK_BYTES];
	struct log_segment header;
	uint32_t torn = 0;
	uint64_t first = write_and_drop();

	log_dir_close(&d);
	for (uint32_t number = 0; number < 6; number++) {
		int fd = log_dir_file(&d, number);
		cr_assert_eq(pread(fd, block, sizeof block, 0), sizeof block);
		cr_assert(log_segment_decode(&header, block, sizeof block));
		if (header.state == LOG_SEGMENT_SPARE && torn < headers) {
			torn++;
			cr_assert_eq(pwrite(fd, "torn", 4, 100), 4);
		}
		fsync(fd);
		close(fd);
	}
	cr_assert_eq(torn, headers);
	for (int i = 0; i < 2; i++) {
		cr_assert_eq(log_dir_open(&d), 0, "%s", d.error.text);
		cr_assert_eq(d.verdict.tail, LOG_TAIL_CUT, "%d", (int)d.verdict.tail);
		cr_assert_eq(hw_log_state(d.log).first_lsn, first);
		cr_assert(!hw_log_state(d.log).begin_lost);
		log_dir_write(&d, 1, 1000);
		log_dir_close(&d);
	}
}

Test(hw_uring_log, a_torn_header_behind_a_drop_is_no_hole)
{
	tear_a_spare(1);
}

Test(hw_uring_log, torn_headers_of_all_spares_are_no_hole)
{
	tear_a_spare(2);
}

/* Power fails in the middle of a drop: the header of the oldest segment is torn, and it is
 * what it was, as are those behind it. */
Test(hw_uring_log, a_segment_whose_drop_was_torn_is_there_again)
{
	cr_assert_eq(log_dir_open(&d), 0, "%s", d.error.text);
	log_dir_write(&d, 25, 200000 - FRAME_HEADER_BYTES);
	log_dir_close(&d);
	int fd = log_dir_file(&d, 0);
	cr_assert_eq(pwrite(fd, "torn", 4, 100), 4);
	fsync(fd);
	close(fd);
	cr_assert_eq(log_dir_open(&d), 0, "%s", d.error.text);
	cr_assert_eq(d.verdict.tail, LOG_TAIL_CUT);
	cr_assert_eq(d.records, 25);
	cr_assert_eq(hw_log_state(d.log).first_lsn, 0);
	cr_assert(!hw_log_state(d.log).begin_lost);
	log_dir_close(&d);
}

/* Nobody dropped it: a hole, at every open, until what follows it is dropped in order. */
Test(hw_uring_log, a_first_segment_that_is_lost_is_a_hole)
{
	char name[80];

	cr_assert_eq(log_dir_open(&d), 0, "%s", d.error.text);
	log_dir_write(&d, 25, 200000 - FRAME_HEADER_BYTES);
	log_dir_close(&d);
	snprintf(name, sizeof name, "%s/segment-0000", d.path);
	cr_assert_eq(unlink(name), 0);
	for (int i = 0; i < 2; i++) {
		cr_assert_eq(log_dir_open(&d), 0, "%s", d.error.text);
		cr_assert_eq(d.verdict.tail, LOG_TAIL_ROT);
		cr_assert_eq(d.verdict.end, LOG_TAIL_CUT);
		cr_assert_eq(d.verdict.rot_first_lsn, 0);
		cr_assert_eq(d.verdict.rot_end_lsn, 10 * 200000);
		cr_assert_eq(d.verdict.rot_count, 1);
		cr_assert(hw_log_state(d.log).begin_lost);
		log_dir_write(&d, 11, 200000 - FRAME_HEADER_BYTES);
		if (i == 0)
			log_dir_close(&d);
	}
	hw_log_drop(d.log, 30 * 200000);
	log_dir_write(&d, 11, 200000 - FRAME_HEADER_BYTES);
	log_dir_close(&d);
	cr_assert_eq(log_dir_open(&d), 0, "%s", d.error.text);
	cr_assert_eq(d.verdict.tail, LOG_TAIL_CUT);
	cr_assert(!hw_log_state(d.log).begin_lost);
	cr_assert_gt(hw_log_state(d.log).first_lsn, 10 * 200000);
	log_dir_close(&d);
}

/* Of a log that was trimmed, the segment that it begins with. */
Test(hw_uring_log, a_first_segment_that_is_lost_behind_a_drop_is_a_hole)
{
	static uint8_t block[LOG_BLOCK_BYTES];
	struct log_segment header;
	char name[80];
	uint64_t first = write_and_drop();

	log_dir_close(&d);
	for (uint32_t number = 0; number < 6; number++) {
		int fd = log_dir_file(&d, number);
		cr_assert_eq(pread(fd, block, sizeof block, 0), sizeof block);
		cr_assert(log_segment_decode(&header, block, sizeof block));
		close(fd);
		snprintf(name, sizeof name, "%s/segment-%04u", d.path, number);
		if (header.state == LOG_SEGMENT_LIVE && header.first_lsn == first)
			cr_assert_eq(unlink(name), 0);
	}
	cr_assert_eq(log_dir_open(&d), 0, "%s", d.error.text);
	cr_assert_eq(d.verdict.tail, LOG_TAIL_ROT);
	cr_assert(hw_log_state(d.log).begin_lost);
	cr_assert_gt(hw_log_state(d.log).first_lsn, first);
	log_dir_close(&d);
}

/* Its header and its first batch: what lay there cannot be known. */
Test(hw_uring_log, a_log_that_begins_with_rot_is_not_one_that_was_dropped)
{
	static const uint8_t zeros[2 * LOG_BLOCK_BYTES];

	cr_assert_eq(log_dir_open(&d), 0, "%s", d.error.text);
	log_dir_write(&d, 25, 200000 - FRAME_HEADER_BYTES);
	log_dir_close(&d);
	int fd = log_dir_file(&d, 0);
	cr_assert_eq(pwrite(fd, zeros, sizeof zeros, 0), sizeof zeros);
	cr_assert_eq(pwrite(fd, zeros, sizeof zeros, 2 * LOG_BLOCK_BYTES), sizeof zeros);
	fsync(fd);
	close(fd);
	cr_assert_eq(log_dir_open(&d), 0, "%s", d.error.text);
	cr_assert_eq(d.verdict.tail, LOG_TAIL_ROT);
	cr_assert(hw_log_state(d.log).begin_lost);
	log_dir_close(&d);
}

Test(hw_uring_log, a_full_log_slows_and_goes_on_after_a_drop)
{
	uint32_t taken = 0;
	struct hw_log_reaped reaped;

	cr_assert_eq(log_dir_open(&d), 0, "%s", d.error.text);
	for (int idle = 0; idle < 400 && taken < 1000;) {
		if (log_dir_append(&d, 200000))
			taken++, idle = 0;
		else
			idle++, usleep(1000);
		hw_log_submit(d.log);
		hw_log_reap(d.log, &reaped);
		cr_assert_eq(reaped.write_error, 0);
	}
	struct hw_log_state state = hw_log_state(d.log);
	cr_assert_eq(state.live_bytes, state.bytes_max);
	cr_assert_gt(state.stalled, 0);
	hw_log_reap(d.log, &reaped);
	cr_assert_lt(reaped.room_bytes, LOG_BATCH_BYTES_MAX);
	hw_log_drop(d.log, state.durable_lsn);
	hw_log_reap(d.log, &reaped);
	cr_assert_gt(reaped.room_bytes, 5 * TEST_SEGMENT_BYTES);
	cr_assert_leq(reaped.room_bytes, 6 * TEST_SEGMENT_BYTES);
	cr_assert_eq(log_dir_drain(&d), 0);
	log_dir_close(&d);
	cr_assert_eq(log_dir_open(&d), 0, "%s", d.error.text);
	cr_assert_eq(d.verdict.end_lsn, taken * 200064ull);
	log_dir_close(&d);
}

/* 6 GiB in segments of 4 MiB were 4 GiB: submissions waited for images that were not due. */
Test(hw_uring_log, a_limit_that_segments_do_not_reach_is_refused)
{
	d.options.log_bytes_max = (HW_LOG_SEGMENTS_MAX + 1ull) * TEST_SEGMENT_BYTES;
	cr_assert_eq(log_dir_open(&d), -EINVAL);
	cr_assert(strstr(d.error.text, "1024 segments"), "%s", d.error.text);
	d.options.log_bytes_max = (uint64_t)HW_LOG_SEGMENTS_MAX * TEST_SEGMENT_BYTES;
	cr_assert_eq(log_dir_open(&d), 0, "%s", d.error.text);
	cr_assert_eq(hw_log_state(d.log).bytes_max, d.options.log_bytes_max);
	log_dir_close(&d);
	d.options.segment_bytes = 2 * TEST_SEGMENT_BYTES;
	d.options.log_bytes_max = (HW_LOG_SEGMENTS_MAX + 1ull) * TEST_SEGMENT_BYTES;
	cr_assert_eq(log_dir_open(&d), -EINVAL, "the log keeps its own segments");
}

Test(hw_uring_log, a_full_log_starts_again)
{
	struct hw_log_reaped reaped;

	cr_assert_eq(log_dir_open(&d), 0, "%s", d.error.text);
	for (int idle = 0; idle < 400;) {
		idle = log_dir_append(&d, 4096 - 128) ? 0 : idle + 1;
		hw_log_submit(d.log);
		hw_log_reap(d.log, &reaped);
		if (idle > 0)
			usleep(1000);
	}
	log_dir_close(&d);
	for (int i = 0; i < 3; i++) {
		cr_assert_eq(log_dir_open(&d), 0, "%s", d.error.text);
		log_dir_close(&d);
	}
}

/* The last batch torn at several places, or the file cut short: what stood before it
 * is found, and the torn batch does not come back when the next one is torn too. */
static void
tear(off_t from, bool truncate)
{
	static const uint8_t garbage[512] = {1, 2, 3};

	cr_assert_eq(log_dir_open(&d), 0, "%s", d.error.text);
	log_dir_write(&d, 3, 1000);
	uint64_t kept = hw_log_state(d.log).durable_lsn;
	log_dir_write(&d, 1, 20000);
	log_dir_close(&d);
	int fd = log_dir_file(&d, 0);
	/* Header block, the batch of the open, three batches: the last is at 5. */
	off_t at = 5 * LOG_BLOCK_BYTES + from;
	if (truncate)
		cr_assert_eq(ftruncate(fd, at), 0);
	else
		cr_assert_eq(pwrite(fd, garbage, sizeof garbage, at), sizeof garbage);
	fsync(fd);
	close(fd);
	cr_assert_eq(log_dir_open(&d), 0, "%s", d.error.text);
	cr_assert_eq(d.verdict.tail, LOG_TAIL_CUT);
	cr_assert_eq(d.verdict.end_lsn, kept);
	cr_assert_eq(d.records, 3);
	log_dir_write(&d, 2, 500);
	log_dir_close(&d);
	cr_assert_eq(log_dir_open(&d), 0, "%s", d.error.text);
	cr_assert_eq(d.verdict.tail, LOG_TAIL_CUT);
	cr_assert_eq(d.records, 5);
	log_dir_close(&d);
}

Test(hw_uring_log, torn_at_its_header)
{
	tear(0, false);
}

Test(hw_uring_log, torn_in_its_body)
{
	tear(4 * LOG_BLOCK_BYTES + 512, false);
}

Test(hw_uring_log, file_cut_short_in_the_last_batch)
{
	tear(2 * LOG_BLOCK_BYTES + 512, true);
}

Test(hw_uring_log, rot_in_the_middle_is_reported_at_every_open)
{
	cr_assert_eq(log_dir_open(&d), 0, "%s", d.error.text);
	log_dir_write(&d, 5, 1000);
	log_dir_close(&d);
	int fd = log_dir_file(&d, 0);
	cr_assert_eq(pwrite(fd, "rot", 3, 3 * LOG_BLOCK_BYTES + 200), 3);
	fsync(fd);
	close(fd);
	for (int i = 0; i < 2; i++) {
		cr_assert_eq(log_dir_open(&d), 0, "%s", d.error.text);
		cr_assert_eq(d.verdict.tail, LOG_TAIL_ROT);
		cr_assert_eq(d.verdict.end, LOG_TAIL_CUT);
		cr_assert_eq(d.verdict.rot_first_lsn, 1064);
		cr_assert_eq(d.verdict.rot_end_lsn, 2 * 1064);
		cr_assert_eq(d.records, 4 + (uint64_t)i);
		cr_assert_eq(d.verdict.end_lsn, (5 + (uint64_t)i) * 1064);
		log_dir_write(&d, 1, 1000);
		log_dir_close(&d);
	}
}

/* The header block alone is lost. Taking the file for a spare would cut everything. */
Test(hw_uring_log, a_lost_segment_header_is_rebuilt)
{
	static const uint8_t zeros[LOG_BLOCK_BYTES];

	cr_assert_eq(log_dir_open(&d), 0, "%s", d.error.text);
	log_dir_write(&d, 25, 100000);
	uint64_t end = hw_log_state(d.log).durable_lsn;
	log_dir_close(&d);
	for (uint32_t number = 0; number < 2; number++) {
		int fd = log_dir_file(&d, number);
		cr_assert_eq(pwrite(fd, zeros, sizeof zeros, 0), sizeof zeros);
		fsync(fd);
		close(fd);
		cr_assert_eq(log_dir_open(&d), 0, "%s", d.error.text);
		cr_assert_eq(d.verdict.tail, LOG_TAIL_CUT, "segment %u", number);
		cr_assert_eq(d.verdict.end_lsn, end);
		cr_assert_eq(d.records, 25);
		log_dir_close(&d);
	}
}

Test(hw_uring_log, a_second_process_is_told_who_has_it)
{
	struct hw_log *second;
	char expected[64];

	cr_assert_eq(log_dir_open(&d), 0, "%s", d.error.text);
	cr_assert_eq(hw_log_open(&d.options, &second, &d.error), -EBUSY);
	snprintf(expected, sizeof expected, "in use by pid %d", (int)getpid());
	cr_assert(strstr(d.error.text, expected), "%s", d.error.text);
	log_dir_close(&d);
	cr_assert_eq(log_dir_open(&d), 0, "free again: %s", d.error.text);
	log_dir_close(&d);
}

Test(hw_uring_log, another_server_epoch_or_path_is_refused)
{
	struct hw_log_options good = d.options;
	char moved[80];

	cr_assert_eq(log_dir_open(&d), 0, "%s", d.error.text);
	log_dir_write(&d, 1, 10);
	log_dir_close(&d);

	d.options.server[3] ^= 1;
	cr_assert_eq(log_dir_open(&d), -EPERM);
	cr_assert(strstr(d.error.text, "belongs to server"), "%s", d.error.text);
	d.options = good;
	d.options.epoch[0] ^= 1;
	cr_assert_eq(log_dir_open(&d), -EPERM);
	cr_assert(strstr(d.error.text, "is of epoch"), "%s", d.error.text);
	memset(d.options.epoch, 0, EPOCH_BYTES);
	cr_assert_eq(log_dir_open(&d), 0, "no epoch given: the log's own");
	struct hw_log_identity identity = hw_log_identity(d.log);
	cr_assert_eq(memcmp(identity.epoch, good.epoch, EPOCH_BYTES), 0);
	log_dir_close(&d);
	d.options = good;
	snprintf(moved, sizeof moved, "%s-moved", d.path);
	cr_assert_eq(rename(d.path, moved), 0);
	d.options.directory = moved;
	cr_assert_eq(log_dir_open(&d), -EPERM);
	cr_assert(strstr(d.error.text, "copied log"), "%s", d.error.text);
	cr_assert_eq(rename(moved, d.path), 0);
	d.options = good;
	cr_assert_eq(log_dir_open(&d), 0, "%s", d.error.text);
	log_dir_close(&d);
}

/* A segment of another release: its header is whole, and says so. */
Test(hw_uring_log, a_log_of_another_format_is_refused)
{
	static uint8_t block[LOG_BLOCK_BYTES];
	char name[80];

	cr_assert_eq(log_dir_open(&d), 0, "%s", d.error.text);
	log_dir_write(&d, 1, 10);
	log_dir_close(&d);
	snprintf(name, sizeof name, "%s/segment-0000", d.path);
	FILE *file = fopen(name, "r+");
	cr_assert(file);
	cr_assert_eq(fread(block, sizeof block, 1, file), 1);
	bytes_put_u16(block + 12, 1);
	bytes_put_u64(block, hash_bytes(block + 8, sizeof block - 8, 0));
	rewind(file);
	cr_assert_eq(fwrite(block, sizeof block, 1, file), 1);
	cr_assert_eq(fclose(file), 0);
	cr_assert_eq(log_dir_open(&d), -EPROTONOSUPPORT);
	cr_assert(strstr(d.error.text, "is of format 1"), "%s", d.error.text);
	cr_assert(strstr(d.error.text, "start the release that wrote it"), "%s", d.error.text);
}

Test(hw_uring_log, a_new_epoch_opens_a_segment_that_says_so)
{
	static const uint8_t forced[EPOCH_BYTES] = "the forced epoch";

	cr_assert_eq(log_dir_open(&d), 0, "%s", d.error.text);
	log_dir_write(&d, 2, 10);
	hw_log_set_epoch(d.log, forced);
	log_dir_write(&d, 2, 10);
	log_dir_close(&d);
	memcpy(d.options.epoch, forced, EPOCH_BYTES);
	cr_assert_eq(log_dir_open(&d), 0, "%s", d.error.text);
	cr_assert_eq(d.records, 4);
	log_dir_close(&d);
}

Test(hw_uring_log, memory_mode_is_durable_at_once_and_touches_no_file)
{
	d.options.memory = true;
	d.options.directory = "no-such/parent";
	cr_assert_eq(log_dir_open(&d), 0, "%s", d.error.text);
	for (int i = 0; i < 1000; i++)
		cr_assert(log_dir_append(&d, 100000));
	cr_assert_eq(log_dir_drain(&d), 0);
	cr_assert_eq(hw_log_clean_stop(d.log), 0);
	log_dir_close(&d);
}

/* A full disk is found when a spare is made: the first one refuses the start, a later
 * one is reported while there is still room to write. */
Test(hw_uring_log, no_space_refuses_the_start)
{
	struct rlimit limit = {TEST_SEGMENT_BYTES / 2, TEST_SEGMENT_BYTES / 2};

	cr_assert_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
	cr_assert_lt(log_dir_open(&d), 0);
	cr_assert(strstr(d.error.text, "free space"), "%s", d.error.text);
}

Test(hw_uring_log, no_space_later_is_reported_ahead_of_need)
{
	struct rlimit limit = {TEST_SEGMENT_BYTES / 2, RLIM_INFINITY};
	int seen = 0;

	cr_assert_eq(log_dir_open(&d), 0, "%s", d.error.text);
	while (hw_log_state(d.log).spare_segments < 2)
		usleep(1000);
	signal(SIGXFSZ, SIG_IGN);
	cr_assert_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
	/* Each batch lies at the start of its segment, below the limit: only the making
	 * of a new file fails. */
	for (int i = 0; i < 2000 && seen == 0; i++) {
		hw_log_set_epoch(d.log, d.options.epoch); /* takes a spare */
		if (hw_log_state(d.log).spare_segments == 2)
			log_dir_write(&d, 1, 100);
		usleep(1000);
		seen = hw_log_state(d.log).space_error;
	}
	cr_assert_eq(seen, EFBIG);
	cr_assert_geq(hw_log_state(d.log).spare_segments, 1);
	cr_assert_eq(hw_log_state(d.log).write_error, 0);
	log_dir_close(&d);
}

/* What the disk refused once is final, told once, and the log takes nothing more. */
static void
fail_a_write(bool helper_thread)
{
	struct hw_log_reaped reaped;
	struct rlimit limit = {LOG_BLOCK_BYTES * 3, RLIM_INFINITY};

	d.options.helper_thread = helper_thread;
	cr_assert_eq(log_dir_open(&d), 0, "%s", d.error.text);
	while (hw_log_state(d.log).spare_segments < 2)
		usleep(1000);
	log_dir_write(&d, 1, 100);
	uint64_t durable = hw_log_state(d.log).durable_lsn;
	signal(SIGXFSZ, SIG_IGN);
	cr_assert_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
	cr_assert(log_dir_append(&d, 100));
	cr_assert_lt(log_dir_drain(&d), 0);
	cr_assert(!log_dir_append(&d, 100));
	limit.rlim_cur = RLIM_INFINITY;
	cr_assert_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
	hw_log_submit(d.log);
	hw_log_reap(d.log, &reaped);
	cr_assert_eq(reaped.write_error, 0, "told once");
	cr_assert_eq(reaped.durable_lsn, durable);
	cr_assert_lt(hw_log_state(d.log).write_error, 0);
	cr_assert_lt(hw_log_clean_stop(d.log), 0);
	log_dir_close(&d);
}

Test(hw_uring_log, a_failed_write_is_final_ring)
{
	fail_a_write(false);
}

Test(hw_uring_log, a_failed_write_is_final_thread)
{
	fail_a_write(true);
}

static void
sleep_on_descriptor(bool helper_thread)
{
	struct hw_log_reaped reaped;

	d.options.helper_thread = helper_thread;
	cr_assert_eq(log_dir_open(&d), 0, "%s", d.error.text);
	for (int i = 0; i < 20; i++) {
		cr_assert(log_dir_append(&d, 100));
		hw_log_submit(d.log);
		uint64_t end = hw_log_state(d.log).append_lsn;
		int wakes = 0;
		for (hw_log_reap(d.log, &reaped); reaped.durable_lsn < end;
		     hw_log_reap(d.log, &reaped)) {
			struct pollfd event = {hw_log_descriptor(d.log), POLLIN, 0};
			cr_assert_eq(poll(&event, 1, 5000), 1, "never woken");
			hw_log_woken(d.log);
			cr_assert_lt(wakes++, 5);
		}
	}
	log_dir_close(&d);
}

Test(hw_uring_log, a_sleeping_loop_is_woken_ring)
{
	sleep_on_descriptor(false);
}

Test(hw_uring_log, a_sleeping_loop_is_woken_thread)
{
	sleep_on_descriptor(true);
}

Test(hw_uring_log, what_is_no_log_is_refused)
{
	char name[128];

	snprintf(name, sizeof name, "%s/segment-0000", d.path);
	FILE *file = fopen(name, "w");
	cr_assert(file != NULL);
	fputs("not a log", file);
	fclose(file);
	cr_assert_eq(log_dir_open(&d), -EILSEQ);
	cr_assert(strstr(d.error.text, "without one valid header"), "%s", d.error.text);
	d.options.segment_bytes = 12345;
	cr_assert_eq(log_dir_open(&d), -EINVAL);
}
