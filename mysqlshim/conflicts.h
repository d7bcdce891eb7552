/*
 * mysqlshim/conflicts.h - the commits that were refused here lately, and why: what
 * SHOW WARNINGS told the loser, kept for whoever asks later.
 *
 *     conflicts_add()    a client that lost        CONFLICTS_KEPT of them, newest stay
 *     conflicts_next()   performance_schema.synod_conflicts
 *
 * Units      numbers count from 1 and are never used again while the plugin is loaded;
 *            microseconds since 1970.
 * Limits     CONFLICTS_KEPT, 128 KiB.
 * Threads    any; a mutex, held for a copy of one row.
 */
#ifndef MYSQLSHIM_CONFLICTS_H
#define MYSQLSHIM_CONFLICTS_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "mysqlshim/explain.h"

#ifdef __cplusplus
extern "C" {
#endif

#define CONFLICTS_KEPT 1024 /* power of two */

struct conflict {
	uint64_t number;
	uint64_t at_us;
	uint64_t session; /* as SHOW PROCESSLIST numbers them */
	struct explain why;
};

struct conflicts {
	pthread_mutex_t lock;
	uint64_t first; /* lowest number that is kept */
	uint64_t next;
	struct conflict row[CONFLICTS_KEPT]; /* ring over numbers */
};

#define CONFLICTS_INIT                                                   \
	{                                                                \
		.lock = PTHREAD_MUTEX_INITIALIZER, .first = 1, .next = 1 \
	}

/* `row->number` is given here. */
void conflicts_add(struct conflicts *conflicts, const struct conflict *row);

/* The lowest one from `number` on; false: there is none. */
bool conflicts_next(struct conflicts *conflicts, uint64_t number, struct conflict *row);

/* This very one; false: it is not kept any more. */
bool conflicts_at(struct conflicts *conflicts, uint64_t number, struct conflict *row);

uint64_t conflicts_count(struct conflicts *conflicts);
void conflicts_clear(struct conflicts *conflicts);

/* "CONFLICT", "STALE", ...: of enum member_verdict. */
const char *conflicts_reason(const struct conflict *row);

#ifdef __cplusplus
}
#endif

#endif /* MYSQLSHIM_CONFLICTS_H */
