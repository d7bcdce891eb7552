/*
 * mysqlshim/membership.h - one life in a group, from START to STOP.
 *
 * It puts together the engine (network), the feeder (a thread of the server's
 * kind) and the applier channel, and keeps what the tables of performance_schema
 * show.
 *
 *     start   read only on; applier channel; hooks to our commit; join
 *     view    this server is ONLINE in it: read only off
 *     ended   expelled, or it can apply no more: ERROR, read only on, and no
 *             transaction is taken any more, until STOP
 *     stop    leave; hooks off; channel off; read only on
 *
 * Between START and the end of STOP a commit either goes through the group or is
 * refused: there is no moment at which it would pass by and take a GTID of the
 * server's own.
 *
 * Errors   an enum shim_start, and a text.
 * Threads  start and stop: one at a time. The rows: any, between them.
 */
#ifndef MYSQLSHIM_MEMBERSHIP_H
#define MYSQLSHIM_MEMBERSHIP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mysqlshim/appliance.h"
#include "mysqlshim/shim.h"
#include "mysqlshim/tls.h"
#include "node/member.h"

struct membership;

enum membership_state {
	MEMBERSHIP_RECOVERING = 1, /* in the group, and applying what it lacks */
	MEMBERSHIP_ONLINE = 2,
	MEMBERSHIP_ERROR = 3,
};

struct membership_options {
	struct shim_words words;
	struct shim_server server;
	struct appliance appliance;
	struct certificates *certificates; /* the membership's from its start on; NULL: none */
	struct tls_choice tls;
	char nodes[768]; /* synod.appliance, for messages */
	uint8_t server_uuid[UUID_BYTES];
	uint8_t group_uuid[UUID_BYTES];
	bool bootstrap;
	uint64_t block_size;
	uint64_t transaction_bytes_max;
	unsigned long auto_increment_increment;
};

/* Not OK: nothing is left of it, and `text` (if not empty) is for the client. */
enum shim_start membership_start(const struct membership_options *options,
				 struct membership **membership, char *text, size_t capacity);

/* `membership` is gone after it. */
void membership_stop(struct membership *membership);

/* What the tables show. */
struct membership_rows {
	enum membership_state state;
	struct member_view view; /* no row before the first one */
	struct member_stats stats;
	uint64_t to_apply; /* remote transactions that are not committed here yet */
};

void membership_rows(struct membership *membership, struct membership_rows *rows);

#endif /* MYSQLSHIM_MEMBERSHIP_H */
