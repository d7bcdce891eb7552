/*
 * perf/bench_step.h - what bench_step measures: a kind of work, and its floor.
 *
 * A work runs for so many units (a slot, a submission, a datagram) in virtual time
 * and in memory, and leaves its state as it found it, so that it can be run again.
 * Its floor is what no design could do without: copying the bytes that it emits,
 * and hashing them once at each end where they carry a checksum.
 */
#ifndef PERF_BENCH_STEP_H
#define PERF_BENCH_STEP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STEP_NOTE_BYTES 96

struct step_work {
	const char *what;
	void *state;
	void (*run)(void *state, uint32_t count);
	/* What it emitted since it began, all in all, and in how many pieces. */
	void (*emitted)(const void *state, uint64_t *pieces, uint64_t *bytes);
	bool hashed; /* each piece carries a checksum */
	void (*note)(const void *state, char out[STEP_NOTE_BYTES]);
	uint32_t units;   /* per run that is timed */
	uint32_t counted; /* per run whose instructions are counted; 0: too many to count */
};

/* Each fills in its rows; answers how many. */
uint32_t step_paxos_works(struct step_work *work);
uint32_t step_node_works(struct step_work *work);
uint32_t step_wire_works(struct step_work *work);

#endif /* PERF_BENCH_STEP_H */
