/*
 * node/snapshot.h - what a transaction had seen, as the log counts.
 *
 * The table holds, for each accepted entry above the mark that this member
 * knows of, its index and its GTID. A snapshot is taken while the row locks are
 * held and under the server's commit lock and GTID lock: then "is this GTID in
 * gtid_executed" is exactly "did this transaction see it". At BEGIN it would be
 * too old (a false refusal for each of one's own hot rows); in an after-commit
 * hook too new, since the locks are released before it runs: a lost update.
 *
 *     mark      every accepted entry up to it is committed here
 *     through   every entry up to it is known here; what is not in the table is
 *               refused, a view or a horizon, and counts as committed
 *
 * An own accepted entry may be known above `through`: its verdict does not wait
 * for the feed.
 *
 * Ownership  the caller gives the memory. Strings are copied.
 * Limits     `capacity` entries; a full table answers false to add(), and the
 *            feed waits. A snapshot that needs more than SNAPSHOT_RANGES_MAX
 *            ranges omits the highest: a false refusal, never a missed conflict.
 * Threads    every call under the owner's one mutex.
 */
#ifndef NODE_SNAPSHOT_H
#define NODE_SNAPSHOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "certify/entry.h"
#include "certify/gtid.h"

struct snapshot_entry {
	uint64_t index;
	struct gtid gtid;
	bool committed;
};

struct snapshot_table {
	struct snapshot_entry *entry; /* sorted by index, from `first`, `count` of them */
	uint32_t capacity;            /* power of two */
	uint32_t first;
	uint32_t count;
	uint64_t mark;
	uint64_t through;
	uint64_t sequence_next;
	/* The lowest mark that any open submission carries, kept per open sequence so
	 * that the GC horizon never passes one: ring over sequence. */
	uint64_t *open_mark;
	uint32_t open_max;
	uint32_t open_ring; /* places for them, a power of two */
	uint64_t floor;     /* every sequence below it has its outcome */
};

/* Answers whether the server's gtid_executed holds this GTID, right now. */
struct snapshot_executed {
	void *context;
	bool (*contains)(void *context, const struct gtid *gtid);
};

size_t snapshot_table_size(uint32_t capacity, uint32_t open_max);
void snapshot_table_init(struct snapshot_table *table, void *memory, uint32_t capacity,
			 uint32_t open_max);

/* A new incarnation begins: nothing open, everything up to `mark` committed. */
void snapshot_table_reset(struct snapshot_table *table, uint64_t mark);

/* An accepted entry became known. Indexes may come out of order (own verdicts). */
bool snapshot_table_add(struct snapshot_table *table, uint64_t index, const struct gtid *gtid);
void snapshot_table_through(struct snapshot_table *table, uint64_t index);

/* It is in gtid_executed; moves the mark when it can. True if it was in the table. */
bool snapshot_table_committed(struct snapshot_table *table, const struct gtid *gtid);

/* The caller's: its ranges are inside it. */
struct snapshot_taken {
	struct snapshot snapshot;
	uint64_t sequence;
	uint8_t ranges[SNAPSHOT_RANGES_MAX * SNAPSHOT_RANGE_BYTES];
};

/* The critical section of a submission: sequence and snapshot together. False when
 * open_max submissions are open, or the table has no room for what may become of
 * one more; nothing changed then. */
bool snapshot_take(struct snapshot_table *table, const struct snapshot_executed *executed,
		   struct snapshot_taken *taken);

/* `sequence` has its outcome (or was never sent). */
void snapshot_close(struct snapshot_table *table, uint64_t sequence);

/* The lowest mark that any open or later submission can carry. */
uint64_t snapshot_mark_low(const struct snapshot_table *table);

#endif /* NODE_SNAPSHOT_H */
