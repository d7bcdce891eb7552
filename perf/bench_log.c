/*
 * One durable write: our log beside a bare write of the same size.
 *
 * The claim is that the log adds little to what the disk takes: batch header, checksum,
 * hand-over to the ring or to the helper thread, and the wake-up. A disk's time drifts
 * within a run by more than that, so the four ways take turns, write by write, and only
 * their ratio counts. Bare is pwritev2(RWF_DSYNC) on an O_DIRECT file prewritten with
 * zeros, one at a time, as the log's own files are.
 *
 * The files lie under the working directory: run it on the disk that is meant.
 */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <sys/uio.h>

#include "hw/uring_log.h"
#include "perf/bench.h"

#define SEGMENT_BYTES (16u << 20)
#define BARE_BYTES    (16u << 20)
#define SIZES         3
#define WAYS          4

enum way {
	WAY_BARE = 0,
	WAY_RING_SPIN = 1,
	WAY_RING_SLEEP = 2,
	WAY_THREAD_SLEEP = 3,
};

static const char *const way_name[WAYS] = {"bare pwritev2", "log, ring, spinning",
					   "log, ring, asleep", "log, helper thread, asleep"};
static const uint32_t disk_bytes[SIZES] = {4096, 16384, 65536};
static struct histogram took[SIZES][WAYS];
static uint8_t record[FRAME_BYTES_MAX];

struct bare {
	int fd;
	uint8_t *data;
	uint32_t at;
};

static int
remove_entry(const char *path, const struct stat *stat, int kind, struct FTW *ftw)
{
	(void)stat, (void)kind, (void)ftw;
	return remove(path);
}

static int
fail(const char *what, const char *why)
{
	fprintf(stderr, "bench_log: %s: %s\n", what, why);
	return 1;
}

/* True when the file is there, prewritten and on disk. */
static bool
open_bare(struct bare *bare, const char *top)
{
	char path[128];

	snprintf(path, sizeof path, "%s/bare", top);
	bare->at = 0;
	bare->data = aligned_alloc(4096, 1u << 20);
	bare->fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_DIRECT, 0600);
	if (bare->fd < 0 || !bare->data)
		return false;
	memset(bare->data, 0, 1u << 20);
	for (uint32_t at = 0; at < BARE_BYTES; at += 1u << 20)
		if (pwrite(bare->fd, bare->data, 1u << 20, at) != 1 << 20)
			return false;
	memset(bare->data, 0x5a, 1u << 20);
	return fsync(bare->fd) == 0;
}

static struct hw_log *
open_log(const char *top, bool helper_thread)
{
	char path[128];
	struct hw_log *log;
	struct hw_error error;
	struct log_verdict verdict;

	snprintf(path, sizeof path, "%s/log-%d", top, helper_thread);
	struct hw_log_options options = {
		.directory = path,
		.segment_bytes = SEGMENT_BYTES,
		.log_bytes_max = 4 * SEGMENT_BYTES,
		.helper_thread = helper_thread,
	};
	if (hw_log_open(&options, &log, &error) != 0) {
		fail("log", error.text);
		return NULL;
	}
	if (hw_log_scan(log, NULL, NULL, &verdict, &error) != 0) {
		fail("log", error.text);
		hw_log_close(log);
		return NULL;
	}
	for (int i = 0; i < 10000 && hw_log_state(log).spare_segments < 2; i++)
		usleep(1000);
	printf("# log      %s\n", hw_log_mode(log));
	return log;
}

static void
write_bare(struct bare *bare, uint32_t bytes)
{
	struct iovec part = {bare->data, bytes};

	must(pwritev2(bare->fd, &part, 1, bare->at, RWF_DSYNC) == (ssize_t)bytes);
	bare->at = (bare->at + bytes) % BARE_BYTES;
}

/* One record that with its headers fills `bytes` on disk exactly. */
static void
write_log(struct hw_log *log, uint32_t bytes, bool asleep)
{
	struct hw_log_reaped reaped;
	struct frame frame = {
		.frame_bytes = bytes - LOG_BATCH_HEADER_BYTES,
		.kind = 1,
		.lsn = hw_log_state(log).append_lsn,
	};
	uint64_t end = frame.lsn + frame.frame_bytes;

	frame_encode(&frame, record);
	struct iovec part = {record, frame.frame_bytes};
	must(hw_log_append(log, &part, 1));
	hw_log_submit(log);
	for (hw_log_reap(log, &reaped); reaped.durable_lsn < end; hw_log_reap(log, &reaped)) {
		must(reaped.write_error == 0);
		if (asleep) {
			struct pollfd event = {hw_log_descriptor(log), POLLIN, 0};
			poll(&event, 1, 1000);
			hw_log_woken(log);
		}
		hw_log_submit(log); /* had no segment been ready, it would try again */
	}
	hw_log_drop(log, end);
}

static void
take_turns(struct bare *bare, struct hw_log *ring, struct hw_log *thread, uint32_t count)
{
	for (uint32_t i = 0; i < count * SIZES * WAYS; i++) {
		enum way way = (enum way)(i % WAYS);
		uint32_t size = i / WAYS % SIZES;
		uint64_t began = bench_now_ns();

		if (way == WAY_BARE)
			write_bare(bare, disk_bytes[size]);
		else
			write_log(way == WAY_THREAD_SLEEP ? thread : ring, disk_bytes[size],
				  way != WAY_RING_SPIN);
		histogram_add(&took[size][way], bench_now_ns() - began);
	}
}

static void
print_all(void)
{
	char what[64];

	for (uint32_t size = 0; size < SIZES; size++) {
		double bare = (double)histogram_percentile(&took[size][WAY_BARE], 500000);
		for (uint32_t way = 0; way < WAYS; way++) {
			double p50 = (double)histogram_percentile(&took[size][way], 500000);
			snprintf(what, sizeof what, "%2u KiB %-27s x%.2f", disk_bytes[size] / 1024,
				 way_name[way], p50 / bare);
			bench_print_latency(what, &took[size][way]);
		}
	}
}

int
main(int argc, char **argv)
{
	struct bench bench = bench_start("bench_log", argc, argv, 1);
	char top[] = "bench-log-XXXXXX";
	struct bare bare = {.fd = -1};
	int code = 1;

	if (!mkdtemp(top))
		return fail("directory", strerror(errno));
	struct hw_log *ring = open_log(top, false);
	struct hw_log *thread = open_log(top, true);
	bool ready = open_bare(&bare, top);
	if (!ready)
		fail("bare file", strerror(errno));
	if (ring && thread && ready) {
		take_turns(&bare, ring, thread, bench.smallest ? 20 : 3000);
		print_all();
		code = 0;
	}
	if (ring)
		hw_log_close(ring);
	if (thread)
		hw_log_close(thread);
	close(bare.fd);
	free(bare.data);
	nftw(top, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
	return code;
}
