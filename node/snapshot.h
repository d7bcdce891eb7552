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
 * A large transaction is on its way to the nodes for minutes before its entry can be
 * ordered. It takes its snapshot when it comes: one of the end would rest on its row locks
 * having been held all the while, or it would hold the winner and let the loser overwrite
 * it. But its sequence it takes when it can be ordered: one that were open for minutes would
 * hold the floor, and what others have decided meanwhile would fill the window. Until then it
 * has a name.
 *
 * The same-origin rule. A transaction that this incarnation submitted holds its row
 * locks until it is committed, or known to be refused (tests/mysql/test_locks.py shows it
 * of the server, whose applier takes those of all others). Whoever has all his rows then
 * shares only rows that both may have, as two children have their parent's: it counts
 * as seen where it is known to be accepted, and where it is undecided the submission
 * vouches for it (certify/entry.h, SUBMIT_TRUSTS_OWN). But one that was accepted, and
 * that its server then could not commit, gives its locks back before its bytes are
 * applied. Until they are,
 *   - nobody vouches for anything: the undecided ones may hide it from the index, and
 *     who takes its row now has not seen what it wrote;
 *   - snapshots end below its index. Schedule: two children V and W of parent r, one
 *     behind the other in the order; W is committed, V fails, and r is deleted here:
 *     W is in the snapshot, is r's last writer, and hides V. Elsewhere V is there.
 * The caller says snapshot_failed() before the locks go. A server that crashed may have
 * lost V and kept W, too: until it has all that came before its own join, snapshots end
 * below the first that it lacks.
 *
 * Ownership  the caller gives the memory. Strings are copied.
 * Limits     `capacity` entries; a full table answers false to add(), and the
 *            feed waits. A snapshot that needs more than SNAPSHOT_RANGES_MAX
 *            ranges omits the lowest: a false refusal, never a missed conflict.
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
	uint64_t name; /* the caller's, of one that this incarnation submitted; 0: not */
	struct gtid gtid;
	uint64_t term; /* in `sum` */
	bool committed;
	bool failed; /* accepted, and this server has rolled it back */
};

/* What stays of a snapshot until its submission has its outcome. */
struct snapshot_open {
	uint64_t mark;   /* UINT64_MAX: it is not open */
	uint64_t floor;  /* when it was taken */
	bool trusts_own; /* from the floor on, see above */
};

struct snapshot_table {
	struct snapshot_entry *entry; /* sorted by index, from `first`, `count` of them */
	uint32_t capacity;            /* power of two */
	uint32_t first;
	uint32_t count;
	uint64_t mark;
	uint64_t through;
	uint64_t sum;    /* of the terms of all entries up to `mark`, since the last reset */
	uint64_t joined; /* index of the incarnation's join */
	uint64_t sequence_next;
	/* Per open sequence, so that the GC horizon never passes a mark that one
	 * carries: ring over sequence. */
	struct snapshot_open *open;
	uint32_t open_max;
	uint32_t open_ring; /* places for them, a power of two */
	uint64_t floor;     /* every sequence below it has its outcome */
	/* Those that have a name, and no sequence yet; open_max places. */
	struct snapshot_ahead *ahead;
	uint32_t ahead_count;
	uint64_t ahead_last; /* names so far */
};

/* In a name, which stands where a sequence may stand; below it which place of
 * snapshot_ahead_place(), which is nobody else's as long as the name is open. */
#define SNAPSHOT_AHEAD (UINT64_C(1) << 63)

struct snapshot_ahead {
	uint64_t name; /* 0: free */
	uint64_t mark;
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
void snapshot_table_joined(struct snapshot_table *table, uint64_t incarnation);

/* An accepted entry became known. Indexes may come out of order (own verdicts). */
bool snapshot_table_add(struct snapshot_table *table, const struct snapshot_entry *entry);
void snapshot_table_through(struct snapshot_table *table, uint64_t index);

/* It is in gtid_executed; moves the mark when it can. True if it was in the table. */
bool snapshot_table_committed(struct snapshot_table *table, const struct gtid *gtid);

/* The accepted submission of this sequence, or name, is rolled back here. To be said while its row
 * locks are held still; what is no accepted one's is ignored. */
void snapshot_failed(struct snapshot_table *table, uint64_t name);

/* The caller's: its ranges are inside it. */
struct snapshot_taken {
	struct snapshot snapshot;
	uint64_t sequence; /* or name */
	uint8_t ranges[SNAPSHOT_RANGES_MAX * SNAPSHOT_RANGE_BYTES];
};

/* The critical section of a submission: sequence and snapshot together. False when
 * open_max submissions are open, or the table has no room for what may become of
 * one more; nothing changed then. */
bool snapshot_take(struct snapshot_table *table, const struct snapshot_executed *executed,
		   struct snapshot_taken *taken);

/* Of a sequence that was taken and is not closed. */
const struct snapshot_open *snapshot_open(const struct snapshot_table *table, uint64_t sequence);

/* The same for a large one: a name instead of the sequence. False: too many have one. */
bool snapshot_take_ahead(struct snapshot_table *table, const struct snapshot_executed *executed,
			 struct snapshot_taken *taken);
uint32_t snapshot_ahead_place(const struct snapshot_table *table, uint64_t name);

/* The sequence for a name, which stays open; 0 when there is none now, for the reasons of
 * snapshot_take(). Once for each name. */
uint64_t snapshot_number(struct snapshot_table *table, uint64_t name);

/* `sequence` has its outcome (or was never sent), or the name is not needed any more. */
void snapshot_close(struct snapshot_table *table, uint64_t sequence);

/* The lowest mark that any open or later submission can carry. */
uint64_t snapshot_mark_low(const struct snapshot_table *table);

#endif /* NODE_SNAPSHOT_H */
