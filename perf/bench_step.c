/*
 * What a step costs: of a replica, of a node, of a session.
 *
 * Everything is in one process and in virtual time: no socket, no disk, no waiting,
 * so that what remains is the price of the code. Each row stands beside its floor
 * (see bench_step.h). All rows take turns, RUNS times, on the thread's own CPU time;
 * medians and both ends are printed, because a shared host's clock is not steady
 * even then. Instructions are counted one by one, which no neighbour changes.
 */
#include "perf/bench_step.h"

#include "base/hash.h"
#include "perf/bench.h"
#include "perf/instructions.h"

#define WORKS_MAX  16
#define RUNS       9
#define COPY_BYTES 65536

static struct step_work work[WORKS_MAX];
static double took_ns[WORKS_MAX][RUNS], floor_ns[WORKS_MAX][RUNS];
static uint8_t copy_from[2 * COPY_BYTES], copy_to[2 * COPY_BYTES];

/* As many pieces as the work emitted, of their mean size. */
static double
run_floor(const struct step_work *w, uint64_t pieces, uint64_t bytes, uint32_t units)
{
	size_t size = (size_t)(bytes / pieces);
	volatile uint64_t hashed = 0;
	uint64_t began = bench_cpu_ns();

	must(size > 0 && size <= COPY_BYTES);
	for (uint64_t i = 0; i < pieces; i++) {
		size_t at = i * 4096 % COPY_BYTES;
		memcpy(copy_to + at, copy_from + at, size);
		if (w->hashed)
			hashed = hash_bytes(copy_to + at, size, hashed) +
				 hash_bytes(copy_from + at, size, 1);
		else
			__asm__ volatile("" : : : "memory");
	}
	return (double)(bench_cpu_ns() - began) / units;
}

static void
measure(uint32_t n, uint32_t run, uint32_t units)
{
	const struct step_work *w = &work[n];
	uint64_t pieces, bytes, pieces_before, bytes_before;

	w->emitted(w->state, &pieces_before, &bytes_before);
	uint64_t began = bench_cpu_ns();
	w->run(w->state, units);
	took_ns[n][run] = (double)(bench_cpu_ns() - began) / units;
	w->emitted(w->state, &pieces, &bytes);
	floor_ns[n][run] = run_floor(w, pieces - pieces_before, bytes - bytes_before, units);
}

static int
ascending(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

/* What a run of no units takes is the frame of the count itself. */
static double
instructions(const struct step_work *w, uint32_t units)
{
	uint64_t frame = instructions_of(w->run, w->state, 0);
	uint64_t all = instructions_of(w->run, w->state, units);

	return all < frame ? 0 : (double)(all - frame) / units;
}

static void
print(uint32_t n, bool smallest)
{
	uint32_t runs = smallest ? 1 : RUNS;
	uint32_t counted = smallest && work[n].counted > 0 ? 1 : work[n].counted;
	char note[STEP_NOTE_BYTES];

	qsort(took_ns[n], runs, sizeof took_ns[n][0], ascending);
	qsort(floor_ns[n], runs, sizeof floor_ns[n][0], ascending);
	double took = took_ns[n][runs / 2], least = floor_ns[n][runs / 2];
	work[n].note(work[n].state, note);
	printf("%-44s p50 %8.0f  min %8.0f  max %8.0f ns", work[n].what, took, took_ns[n][0],
	       took_ns[n][runs - 1]);
	if (counted > 0)
		printf(" %8.0f instructions", instructions(&work[n], counted));
	printf("\n    %-40s p50 %8.0f  x%.1f; %s\n",
	       work[n].hashed ? "floor: copied, hashed at both ends" : "floor: copied", least,
	       took / least, note);
}

int
main(int argc, char **argv)
{
	struct bench bench = bench_start("bench_step", argc, argv, 1);
	uint32_t runs = bench.smallest ? 1 : RUNS;
	uint32_t count = 0;

	bench_pin(&bench, 0);
	memset(copy_from, 0x5a, sizeof copy_from);
	count += step_paxos_works(work + count);
	count += step_node_works(work + count);
	count += step_wire_works(work + count);
	must(count <= WORKS_MAX);
	for (uint32_t run = 0; run < runs; run++)
		for (uint32_t n = 0; n < count; n++)
			measure(n, run, bench.smallest ? 100 : work[n].units);
	for (uint32_t n = 0; n < count; n++)
		print(n, bench.smallest);
	return 0;
}
