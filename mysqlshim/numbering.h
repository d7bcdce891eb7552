/*
 * mysqlshim/numbering.h - the two numbers of the parallel applier.
 *
 * The appliance says of each accepted transaction what it depends on, as an
 * index of the log. MySQL's applier wants (last_committed, sequence_number)
 * instead, and wants sequence_number to rise by exactly one from transaction
 * to transaction of its relay log: at each jump it drains all its workers. The
 * log's indexes have gaps (refused ones, own ones, views), so each member
 * counts for itself:
 *
 *     sequence_number  how manieth remote transaction of this START
 *     last_committed   the number of the newest remote transaction at or before
 *                      the index it depends on: a superset of what it needs
 *
 * The first transaction after a START is (0, 0), which tells the applier to
 * begin its clock anew: what the relay log holds from before has larger numbers.
 *
 * An own transaction that this server could not commit comes later than its
 * place in the log: it waits for all before it, and all behind it wait for it.
 *
 * Limits     the last NUMBERING_KNOWN numbers are remembered; what depends on
 *            something older waits for the oldest of these, again a superset.
 * Threads    none of its own: the network thread's.
 */
#ifndef MYSQLSHIM_NUMBERING_H
#define MYSQLSHIM_NUMBERING_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define NUMBERING_KNOWN 16384 /* a power of two */

struct numbering {
	uint64_t index[NUMBERING_KNOWN]; /* of number n, at n % NUMBERING_KNOWN */
	uint64_t next;                   /* number to give; 1 is the (0, 0) one */
	uint64_t fence;                  /* nothing may wait for less than this number */
};

struct numbers {
	int64_t last_committed;
	int64_t sequence_number;
};

void numbering_init(struct numbering *numbering);

/* `index` rises from call to call, but for those out of place; `dependency` is
 * below it, 0 for none. */
struct numbers numbering_next(struct numbering *numbering, uint64_t index, uint64_t dependency);

#ifdef __cplusplus
}
#endif

#endif /* MYSQLSHIM_NUMBERING_H */
