/*
 * What synodd says when it falls.
 *
 * A broken invariant (base/must.h) and a fault of the processor end the process where it
 * stands. trap_report() makes it say so first, on stderr: the signal, and the frames as
 * `program(+0xOFFSET)`, which addr2line -f -e PROGRAM OFFSET resolves. Then the signal does what
 * it did before: a supervisor sees it, and a core file shows the frame that broke.
 *
 * Call it once, before other threads begin. The report needs no memory and no lock; it has a
 * stack of its own.
 */
#ifndef DPDK_TRAP_H
#define DPDK_TRAP_H

void trap_report(void);

#endif /* DPDK_TRAP_H */
