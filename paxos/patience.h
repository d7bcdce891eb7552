/*
 * How long the silence of one who was heard regularly is borne before it is taken for dead.
 *
 *     patience_saw(&p, gap_ns, now)     somebody was silent for gap_ns, and spoke again
 *     patience_ns(&p, now)              what to wait by now
 *
 * Twice the longest silence that ended within the last PATIENCE_SPANS * most_ns, or up to twice as
 * long ago, and between least_ns and most_ns. A quiet host or one with cores of its own finds a
 * dead leader soon; one that lets processes wait learns from the first that came back how long that
 * may be, and does not elect for nothing again. A bound on the silence that was seen, as Chen,
 * Toueg and Aguilera (2002) and Hayashibara et al. (2004) estimate it from arrivals, without their
 * distributions: what delays a process on a shared host has none that is stable.
 *
 * Units       nanoseconds of one monotonic clock.
 * Limits      two windows of memory, 40 bytes; no allocation, no failure.
 * Threads     none: belongs to its replica.
 */
#ifndef PAXOS_PATIENCE_H
#define PAXOS_PATIENCE_H

#include <stdint.h>

#define PATIENCE_SPANS 64

struct patience {
	uint64_t least_ns;
	uint64_t most_ns;
	uint64_t since_ns; /* when the newer window began */
	uint64_t longest_ns, longest_before_ns;
};

void patience_init(struct patience *p, uint64_t least_ns, uint64_t most_ns);

/* Silences of twice most_ns and longer teach nothing: who is silent for so long was dead. */
void patience_saw(struct patience *p, uint64_t gap_ns, uint64_t now_ns);

uint64_t patience_ns(const struct patience *p, uint64_t now_ns);

#endif /* PAXOS_PATIENCE_H */
