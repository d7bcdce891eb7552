/*
 * mysqlshim/applier.h - one remote transaction, as the server's applier wants it.
 *
 * A GTID event with numbers of this member's own, then the origin's events as
 * they came, into the relay log of the channel group_replication_applier.
 *
 * Errors   false, with a text for the log: the transaction is none that a server
 *          wrote, or the relay log takes no more. Then nothing behind it may be
 *          applied either: the member is in error.
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
};

void applier_init(struct applier *applier, int (*queue)(const uint8_t *event, size_t bytes));

bool applier_take(struct applier *applier, const struct feeder_transaction *transaction, char *text,
		  size_t capacity);

#endif /* MYSQLSHIM_APPLIER_H */
