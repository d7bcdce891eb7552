/*
 * mysqlshim/applier.h - one remote transaction, as the server's applier wants it.
 *
 * A GTID event with numbers of this member's own, then the origin's events as
 * they came, into the relay log of the channel group_replication_applier. A large
 * transaction comes in pieces that know nothing of events: each event is queued
 * when it is whole, and what is left of a piece waits for the next.
 *
 * Limits   memory for one event that is cut: the server's queue takes whole events. An
 *          event is a few KiB of rows (binlog_row_event_max_size), or one row that is
 *          larger, or a whole transaction that its origin compressed.
 * Errors   false, with a text for the log: the transaction is none that a server
 *          wrote, or the relay log takes no more. Then nothing behind it may be
 *          applied either: the member is in error. A part that is in the relay log
 *          already does no harm: the applier waits for the rest, which never comes.
 * Threads  the feeder's.
 */
#ifndef MYSQLSHIM_APPLIER_H
#define MYSQLSHIM_APPLIER_H

#include <stdbool.h>
#include <stddef.h>

#include "mysqlshim/feeder.h"
#include "mysqlshim/numbering.h"

struct applier {
	struct numbering numbering;
	int (*queue)(const uint8_t *event, size_t bytes); /* 0, or the server's error */
	bool head_queued;                                 /* of this transaction */
	uint64_t expected;                                /* offset of the next piece */
	uint8_t *rest; /* the beginning of an event that is not whole yet */
	size_t rest_bytes;
	size_t rest_capacity;
};

void applier_init(struct applier *applier, int (*queue)(const uint8_t *event, size_t bytes));
void applier_free(struct applier *applier);

bool applier_take(struct applier *applier, const struct feeder_transaction *piece, char *text,
		  size_t capacity);

#endif /* MYSQLSHIM_APPLIER_H */
