/*
 * tests/hw/log_dir.h - a log in a directory of its own, for the tests of hw/uring_log.
 *
 * The directory lies under the working directory, which is the build tree: a disk, not
 * a tmpfs. Criterion runs each test in a process of its own, so one instance is enough.
 */
#ifndef TESTS_HW_LOG_DIR_H
#define TESTS_HW_LOG_DIR_H

#include <criterion/criterion.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "hw/uring_log.h"

#define TEST_SEGMENT_BYTES (2u << 20)

struct log_dir {
	char path[64];
	struct hw_log_options options;
	struct hw_log *log;
	struct log_verdict verdict;
	struct hw_error error;
	uint64_t records; /* that the last scan delivered */
	uint64_t bytes;
	uint64_t sum; /* over their bodies and kinds */
};

static int
remove_entry(const char *path, const struct stat *stat, int kind, struct FTW *ftw)
{
	(void)stat, (void)kind, (void)ftw;
	return remove(path);
}

static inline void
log_dir_make(struct log_dir *d)
{
	memset(d, 0, sizeof *d);
	snprintf(d->path, sizeof d->path, "hw-log-test-XXXXXX");
	cr_assert(mkdtemp(d->path) != NULL);
	d->options = (struct hw_log_options){
		.directory = d->path,
		.server = "the server's id",
		.epoch = "the epoch's bits",
		.segment_bytes = TEST_SEGMENT_BYTES,
		.log_bytes_max = 6 * TEST_SEGMENT_BYTES,
	};
}

static inline void
log_dir_remove(struct log_dir *d)
{
	nftw(d->path, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

static inline void
count_record(void *context, const struct frame *frame, const uint8_t *data)
{
	struct log_dir *d = context;

	d->records++;
	d->bytes += frame->frame_bytes;
	d->sum = hash_bytes(data, frame->frame_bytes, d->sum);
}

static inline int
log_dir_open(struct log_dir *d)
{
	d->records = d->bytes = d->sum = 0;
	int code = hw_log_open(&d->options, &d->log, &d->error);
	if (code != 0)
		return code;
	code = hw_log_scan(d->log, count_record, d, &d->verdict, &d->error);
	if (code != 0) {
		hw_log_close(d->log);
		d->log = NULL;
	}
	return code;
}

/* Reaps until all that was appended is durable, or a write has failed. */
static inline int
log_dir_drain(struct log_dir *d)
{
	struct hw_log_reaped reaped;

	for (int i = 0; i < 200000; i++) {
		hw_log_submit(d->log);
		hw_log_reap(d->log, &reaped);
		if (reaped.write_error)
			return reaped.write_error;
		if (reaped.durable_lsn == hw_log_state(d->log).append_lsn)
			return 0;
		usleep(50);
	}
	cr_assert(false, "nothing became durable: %s", hw_log_mode(d->log));
	return -1;
}

/* One record whose body is a function of its lsn. False: no room. */
static inline bool
log_dir_append(struct log_dir *d, uint32_t body_bytes)
{
	static uint8_t data[FRAME_BYTES_MAX];
	struct frame frame = {
		.frame_bytes = FRAME_HEADER_BYTES + body_bytes,
		.kind = 5,
		.lsn = hw_log_state(d->log).append_lsn,
	};

	for (uint32_t i = 0; i < body_bytes; i++)
		data[FRAME_HEADER_BYTES + i] = (uint8_t)(frame.lsn + i * 7);
	frame_encode(&frame, data);
	struct iovec part[2] = {{data, FRAME_HEADER_BYTES},
				{data + FRAME_HEADER_BYTES, body_bytes}};
	return hw_log_append(d->log, part, 2);
}

/* Appends `count` records and waits for each: a batch each. */
static inline void
log_dir_write(struct log_dir *d, uint32_t count, uint32_t body_bytes)
{
	for (uint32_t i = 0; i < count; i++) {
		cr_assert(log_dir_append(d, body_bytes));
		cr_assert_eq(log_dir_drain(d), 0);
	}
}

static inline void
log_dir_close(struct log_dir *d)
{
	hw_log_close(d->log);
	d->log = NULL;
}

static inline int
log_dir_file(const struct log_dir *d, uint32_t number)
{
	char name[128];
	snprintf(name, sizeof name, "%s/segment-%04u", d->path, number);
	int fd = open(name, O_RDWR | O_CLOEXEC);
	cr_assert(fd >= 0, "%s", name);
	return fd;
}

#endif /* TESTS_HW_LOG_DIR_H */
