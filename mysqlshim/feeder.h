/*
 * mysqlshim/feeder.h - from the network thread to the server's applier.
 *
 * The network thread must not wait for a relay log; so it copies what the group
 * says into a ring of bytes, and a thread of the server's kind takes it out and
 * does the slow part: writing the relay log, taking a view in force, becoming
 * read only. One thread, one order: what the log says first is done first.
 *
 *     network thread                     feeder thread
 *     feeder_put()     --- ring --->     work->transaction(), ->view(), ->ended()
 *     *full?                              space again: work->room()
 *     server's applier
 *     feeder_applier_stopped() -------->  work->applier_stopped(), before the rest
 *     feeder_applied()         -------->  the next transaction
 *
 * Bound      a ring of `ring_bytes`. `feeder_is_full()` says when half of it is
 *            used: the network thread then holds the feed (MEMBER_IN_HOLD) until
 *            room() was called; what is already under way has the other half. If
 *            even that is used, put() waits, for the relay log's disk is the one
 *            thing there is to wait for.
 * Ahead      the work gets no transaction while `ahead_max` that it got are not
 *            applied: the server's coordinator spins when all its workers are
 *            busy, and workers that only wait for their turn to commit take the
 *            cores from those whose turn it is. Nothing that is later in the order
 *            ends that wait but the end of those before; yet it is a courtesy, not
 *            a promise: a view or an end behind it, or `stall_ns` without
 *            one that was applied, opens the gate.
 * Ownership  put() copies; what the work is given is valid during the call.
 * Errors     open: -errno.
 * Threads    put() and full(): one thread. applied() and applier_stopped(): any. The
 *            work runs on the feeder's own.
 */
#ifndef MYSQLSHIM_FEEDER_H
#define MYSQLSHIM_FEEDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "certify/entry.h"
#include "node/member.h"

struct feeder;

enum feeder_kind {
	FEEDER_TRANSACTION = 1,
	FEEDER_VIEW = 2,
	FEEDER_ENDED = 3, /* the group ended this incarnation */
};

/* One piece of a transaction to apply, as MEMBER_OUT_QUEUE has it: of most, the
 * only one. */
struct feeder_transaction {
	uint64_t index;
	uint64_t dependency;
	struct gtid gtid;
	uint32_t flags;
	const uint8_t *payload;
	uint32_t payload_bytes;
	uint64_t offset; /* of the piece in the whole */
	uint64_t total;
	bool last;
};

struct feeder_work {
	void *context;
	uint32_t ahead_max;           /* 0: no bound */
	uint64_t stall_ns;            /* below a second */
	bool (*begin)(void *context); /* first on the thread; false: open fails */
	void (*end)(void *context);   /* last */
	void (*transaction)(void *context, const struct feeder_transaction *transaction);
	void (*view)(void *context, const struct member_view *view);
	void (*ended)(void *context);
	void (*applier_stopped)(void *context); /* by itself: an error, or a KILL */
	void (*room)(void *context);            /* it is no longer full */
};

/* `ring_bytes` is a power of two that holds four of the largest things put in. */
int feeder_open(const struct feeder_work *work, uint32_t ring_bytes, struct feeder **feeder);

void feeder_put_transaction(struct feeder *feeder, const struct feeder_transaction *transaction);
void feeder_put_view(struct feeder *feeder, const struct member_view *view);
void feeder_put_ended(struct feeder *feeder);

void feeder_applier_stopped(struct feeder *feeder);

/* The server has committed a transaction that was not its clients'. */
void feeder_applied(struct feeder *feeder);

bool feeder_is_full(struct feeder *feeder);

/* Ends the thread behind what it is doing now; what else lies in the ring is
 * dropped, and will be told again to the next START. */
void feeder_close(struct feeder *feeder);

#endif /* MYSQLSHIM_FEEDER_H */
