/*
 * perf/bench.h - what every benchmark prints beside its numbers.
 *
 *     # bench_ring  commit 0123456789ab  build debugoptimized, compiler 12.2.0
 *     # machine     AMD EPYC 7B13, 2 cores, Linux 6.18.0, load 0.42
 *     # cores       pinned to 0 and 1; not isolated from the scheduler
 *
 * A number without these lines is worth nothing a month later, and one from
 * cores that were not pinned, from a sanitized or from a changed tree is worth
 * little at once: each of these is said in the lines.
 *
 * Units    nanoseconds of CLOCK_MONOTONIC, or of the thread's own time.
 * Options  --smallest: the shortest run that still does everything, for the
 *          perf suite, which judges no figure. --no-pin leaves the threads to
 *          the scheduler.
 * Errors   a wrong option ends the program with status 2; a core that cannot be
 *          pinned is said, and the run goes on.
 * Threads  bench_pin() is for the calling thread; the rest for main.
 */
#ifndef PERF_BENCH_H
#define PERF_BENCH_H

#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "perf/commit.h"
#include "perf/counters.h"

#define BENCH_CORES_MAX  8
#define BENCH_LINE_BYTES 256

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define BENCH_SANITIZED ", SANITIZED: no figure counts"
#else
#define BENCH_SANITIZED ""
#endif

struct bench {
	bool smallest;
	bool pinned;               /* every core asked for could be pinned */
	uint32_t core_count;       /* usable by this process, at most BENCH_CORES_MAX */
	int core[BENCH_CORES_MAX]; /* their numbers */
};

static inline uint64_t
bench_now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* The thread's own time: for work that computes and waits for nothing, so that what
 * else runs on a shared host need not count. */
static inline uint64_t
bench_cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* Puts the calling thread on the n-th usable core, if that is wanted. */
static inline void
bench_pin(const struct bench *b, uint32_t nth)
{
	cpu_set_t set;

	if (!b->pinned)
		return;
	must(nth < b->core_count);
	CPU_ZERO(&set);
	CPU_SET((size_t)b->core[nth], &set);
	must(sched_setaffinity(0, sizeof set, &set) == 0); /* bench_start() tried it */
}

/* The value of `key` in a file of `key : value` lines, or of its first line. */
static inline void
bench_read_line(const char *path, const char *key, char out[BENCH_LINE_BYTES])
{
	FILE *file = fopen(path, "r");
	char line[BENCH_LINE_BYTES];

	snprintf(out, BENCH_LINE_BYTES, "unknown");
	while (file && fgets(line, sizeof line, file)) {
		if (strncmp(line, key, strlen(key)) != 0)
			continue;
		char *value = strchr(line, ':');
		value = value && *key ? value + 2 : line;
		value[strcspn(value, "\n")] = 0;
		snprintf(out, BENCH_LINE_BYTES, "%s", value);
		break;
	}
	if (file)
		fclose(file);
}

static inline bool
bench_try_cores(const struct bench *b, uint32_t wanted)
{
	cpu_set_t before, one;
	bool all = b->core_count >= wanted;

	if (sched_getaffinity(0, sizeof before, &before) != 0)
		return false;
	for (uint32_t i = 0; i < b->core_count && all; i++) {
		CPU_ZERO(&one);
		CPU_SET((size_t)b->core[i], &one);
		all = sched_setaffinity(0, sizeof one, &one) == 0;
	}
	return sched_setaffinity(0, sizeof before, &before) == 0 && all;
}

static inline void
bench_find_cores(struct bench *b)
{
	cpu_set_t set;

	if (sched_getaffinity(0, sizeof set, &set) != 0)
		return;
	for (int i = 0; i < CPU_SETSIZE && b->core_count < BENCH_CORES_MAX; i++)
		if (CPU_ISSET((size_t)i, &set))
			b->core[b->core_count++] = i;
}

static inline void
bench_print_header(const struct bench *b, const char *name, uint32_t cores_wanted)
{
	char model[BENCH_LINE_BYTES], load[BENCH_LINE_BYTES], isolated[BENCH_LINE_BYTES];
	struct utsname kernel;

	uname(&kernel);
	bench_read_line("/proc/cpuinfo", "model name", model);
	bench_read_line("/proc/loadavg", "", load);
	bench_read_line("/sys/devices/system/cpu/isolated", "", isolated);
	load[strcspn(load, " ")] = 0;
	printf("# %s  commit %s  build %s, compiler %s%s\n", name, PERF_COMMIT, PERF_BUILD,
	       __VERSION__, BENCH_SANITIZED);
	printf("# machine  %s, %ld cores, %s %s, load %s\n", model, sysconf(_SC_NPROCESSORS_ONLN),
	       kernel.sysname, kernel.release, load);
	if (!b->pinned) {
		printf("# cores    NOT PINNED: %u usable, %u wanted\n", b->core_count,
		       cores_wanted);
		return;
	}
	printf("# cores    pinned to");
	for (uint32_t i = 0; i < cores_wanted; i++)
		printf(" %d", b->core[i]);
	printf("; isolated from the scheduler: %s\n", *isolated ? isolated : "none");
}

/* Reads the options, tries the cores, prints the lines above. */
static inline struct bench
bench_start(const char *name, int argc, char **argv, uint32_t cores_wanted)
{
	struct bench b = {0};
	bool pin = true;

	must(cores_wanted <= BENCH_CORES_MAX);
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--smallest") == 0) {
			b.smallest = true;
		} else if (strcmp(argv[i], "--no-pin") == 0) {
			pin = false;
		} else {
			fprintf(stderr, "usage: %s [--smallest] [--no-pin]\n", name);
			exit(2);
		}
	}
	bench_find_cores(&b);
	b.pinned = pin && bench_try_cores(&b, cores_wanted);
	bench_print_header(&b, name, cores_wanted);
	return b;
}

static inline void
bench_print_latency(const char *what, const struct histogram *h)
{
	printf("%-44s p50 %8llu  p99 %8llu  p99.9 %8llu  max %8llu ns\n", what,
	       (unsigned long long)histogram_percentile(h, 500000),
	       (unsigned long long)histogram_percentile(h, 990000),
	       (unsigned long long)histogram_percentile(h, 999000),
	       (unsigned long long)counter_read(&h->max));
}

#endif /* PERF_BENCH_H */
