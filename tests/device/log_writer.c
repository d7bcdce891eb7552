/*
 * log_writer DIRECTORY RECORDS BODY_BYTES [thread] - one log in a process of its own.
 *
 * Prints the mode, what the scan found, then each durable LSN as it is reached. After
 * the last record it waits for the end of its input, so that a watcher can look at it
 * from outside or kill it; then it stops in order.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "hw/uring_log.h"

static uint64_t found;

static void
count(void *context, const struct frame *frame, const uint8_t *data)
{
	(void)context, (void)frame, (void)data;
	found++;
}

static int
write_records(struct hw_log *log, uint64_t records, uint32_t body_bytes)
{
	static uint8_t data[FRAME_BYTES_MAX];
	struct hw_log_reaped reaped;

	for (uint64_t i = 0; i < records; i++) {
		struct frame frame = {
			.frame_bytes = FRAME_HEADER_BYTES + body_bytes,
			.kind = 1,
			.lsn = hw_log_state(log).append_lsn,
		};
		uint64_t end = frame.lsn + frame.frame_bytes;
		memset(data + FRAME_HEADER_BYTES, (int)i, body_bytes);
		frame_encode(&frame, data);
		struct iovec part = {data, frame.frame_bytes};
		if (!hw_log_append(log, &part, 1))
			return 1;
		do {
			uint64_t stalled = hw_log_state(log).stalled;
			hw_log_submit(log);
			hw_log_reap(log, &reaped);
			if (reaped.write_error) {
				printf("write error %s\n", strerror(-reaped.write_error));
				return 1;
			}
			/* Stalled alone is a preparer that is a little behind. */
			struct hw_log_state state = hw_log_state(log);
			int space = state.space_error;
			if (space && state.stalled > stalled && state.spare_segments == 0) {
				printf("no space %s\n", strerror(space));
				return 1;
			}
		} while (reaped.durable_lsn < end);
		printf("durable %llu\n", (unsigned long long)end);
	}
	return 0;
}

int
main(int argc, char **argv)
{
	struct hw_error error;
	struct hw_log *log;
	struct log_verdict verdict;
	static const char *tail[] = {"", "new", "clean", "cut", "rot"};

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc < 4)
		return 2;
	struct hw_log_options options = {
		.directory = argv[1],
		.server = "the server's id",
		.segment_bytes = HW_LOG_SEGMENT_BYTES_MIN,
		.log_bytes_max = 64ull << 20,
		.helper_thread = argc > 4 && strcmp(argv[4], "thread") == 0,
	};
	if (hw_log_open(&options, &log, &error) != 0) {
		printf("refused %s\n", error.text);
		return 1;
	}
	if (hw_log_scan(log, count, NULL, &verdict, &error) != 0) {
		printf("refused %s\n", error.text);
		hw_log_close(log);
		return 1;
	}
	printf("mode %s\n", hw_log_mode(log));
	printf("found %s %llu %llu\n", tail[verdict.tail], (unsigned long long)verdict.end_lsn,
	       (unsigned long long)found);
	int code = write_records(log, strtoull(argv[2], NULL, 10),
				 (uint32_t)strtoul(argv[3], NULL, 10));
	printf("done\n");
	while (getchar() != EOF)
		;
	if (code == 0 && hw_log_clean_stop(log) != 0)
		code = 1;
	hw_log_close(log);
	return code;
}
