/*
 * mysqlshim/commit.h - a commit's way from a client's thread to the network
 * thread and back.
 *
 *     client thread                     network thread
 *     commit_run()                      commit_next()
 *       snapshot and sequence  --post-->   SUBMIT      -> member_step
 *       sleeps on its own word             ABANDON     -> member_step
 *       (killed? posts ABANDON)
 *       wakes                 <--word--  commit_decide() <- MEMBER_OUT_VERDICT
 *     server commits
 *     commit_committed()      --post-->   COMMITTED   -> member_step
 *     commit_failed()         --post-->   FAILED      -> member_step
 *     commit_barrier()        --post-->   BARRIER     -> member_step
 *       sleeps, with others, on one word
 *       wakes                 <--word--  commit_passed() <- MEMBER_OUT_BARRIER
 *
 * This is the seam: whoever owns the `struct member` fills in `commit_engine`,
 * and its thread calls next and decide. Nothing here knows MySQL, and nothing
 * here knows the protocol.
 *
 * Order      sequence, snapshot and post are one critical section (engine->take
 *            under the server's commit and GTID locks): the network thread sees
 *            submissions in the order of their sequences. A large one has a name
 *            instead, and its sequence later (node/snapshot.h).
 * Lifetime   a transaction is the client's, on loan from its post until it is
 *            decided. Its ABANDON may still lie in the mailbox then; so the
 *            client leaves only when it was decided *and* no ABANDON of its own
 *            is unread. Else the network thread would read a dead client's stack.
 * Giving up  a killed client posts ABANDON once and goes on sleeping: the log
 *            decides which came first. Only commit_close() ends it without one.
 * Payloads   and write sets are one block. Up to COMMIT_COPIED_BYTES it is the
 *            client's, and copied at the post; a larger one is handed over with it.
 * Errors     outcomes.
 * Threads    run, committed, failed and barrier: any client thread. next, arm, decide and
 *            passed: the one network thread. open and close: neither running.
 */
#ifndef MYSQLSHIM_COMMIT_H
#define MYSQLSHIM_COMMIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "certify/entry.h"
#include "mysqlshim/explain.h"
#include "mysqlshim/start.h"
#include "node/snapshot.h"

#ifdef __cplusplus
extern "C" {
#endif

#define COMMIT_COPIED_BYTES (16 * 1024)
#define COMMIT_PAYLOAD_MAX  (1152u << 20) /* of the block: 1 GiB, and 16 M keys */

struct commit;

/* What the server does next. */
enum commit_outcome {
	COMMIT_UNDECIDED = 0,
	COMMIT_ACCEPTED = 1, /* commit, with the transaction's `gtid`; the hook returns 0 */
	COMMIT_ROLLBACK = 2, /* tell the server to roll back; the hook returns 0: 3101 */
	COMMIT_REFUSED = 3,  /* the hook returns 1: 3100 */
	COMMIT_UNKNOWN = 4,  /* as REFUSED; no verdict will be told, and the log says so */
};

struct commit_transaction {
	/* The hook's, before commit_run(). */
	uint64_t thread_id;
	uint64_t *hashes; /* where a block of spool.h begins; the payload follows them */
	uint32_t hash_count;
	uint32_t flags;    /* enum submit_flag */
	uint8_t gtid_spec; /* enum gtid_spec */
	struct gtid assigned;
	uint64_t payload_bytes;
	void *session; /* for `killed` */

	/* commit_run()'s; the network thread reads it. A large block is lent to the
	 * network thread with its post, which frees it: it may have to send it again,
	 * or to queue it here, when the client is long gone. What is not lent stays
	 * the hook's. */
	bool lent;
	struct snapshot_taken taken;

	/* The verdict's, valid after commit_run(). */
	struct gtid gtid;
	struct explain why; /* verdict 0: there was none */

	/* enum commit_outcome: the word the client sleeps on. */
	uint32_t outcome;
	uint32_t abandons_unread;
};

static inline uint8_t *
commit_payload(const struct commit_transaction *transaction)
{
	return (uint8_t *)(transaction->hashes + transaction->hash_count);
}

/* What the hook finds of a transaction. */
struct commit_facts {
	uint64_t transaction_cache_bytes;
	uint64_t statement_cache_bytes;
	uint64_t hash_count;
	uint64_t bytes_max; /* group_replication_transaction_size_limit; 0 is none */
	bool atomic_ddl;
	bool create_select; /* CREATE TABLE ... SELECT: DDL and rows in one */
	bool gtid_assigned; /* by the user */
	bool gtid_tagged;   /* the same, or a tag alone */
};

/*
 * Sets `flags` and `hash_count`, and the payload's flags. False: it cannot be
 * certified, the log says why, and the hook returns 1 (3100).
 */
bool commit_describe(const struct commit_facts *facts, struct commit_transaction *transaction,
		     uint8_t *payload_flags, const struct shim_words *words);

enum commit_take {
	COMMIT_NO_MEMBER = 0,
	COMMIT_TAKEN = 1,
	COMMIT_CROWDED = 2, /* too many are open, or an old one among them: wait */
};

/* What the network thread's owner and the server give. */
struct commit_engine {
	void *context;
	/* Takes snapshot and sequence (snapshot_take() under the engine's mutex), or, of a
	 * block that is lent, a name (snapshot_take_ahead()). */
	enum commit_take (*take)(void *context, bool ahead,
				 const struct snapshot_executed *executed,
				 struct snapshot_taken *taken);
	/* Takes back what take() gave, for a submission that could not be posted. */
	void (*untake)(void *context, uint64_t sequence);
	/* What was accepted is rolled back here, and holds its row locks still:
	 * snapshot_failed() under the engine's mutex. */
	void (*failing)(void *context, uint64_t sequence);
	/* The network thread sleeps on its descriptors: wake it. */
	void (*wake)(void *context);
	/* The server has committed what was accepted for none of its threads: the
	 * applier's, mostly. On that thread. */
	void (*applied)(void *context);
};

struct commit_server {
	/* Runs `section(context, executed)` under the commit lock and the lock of
	 * gtid_executed. */
	void (*locked)(void (*section)(void *context, const struct snapshot_executed *executed),
		       void *context);
	bool (*killed)(void *session);
};

enum commit_post_kind {
	COMMIT_POST_SUBMIT = 0,    /* transaction */
	COMMIT_POST_ABANDON = 1,   /* sequence */
	COMMIT_POST_COMMITTED = 2, /* gtid: it is in gtid_executed now */
	COMMIT_POST_FAILED = 3,    /* sequence: accepted, and the server rolled it back */
	COMMIT_POST_BARRIER = 4,   /* sequence: of barriers; they may overtake each other */
};

struct commit_post {
	enum commit_post_kind kind;
	struct commit_transaction *transaction;
	uint64_t sequence;
	struct gtid gtid;
};

/* `inflight_max` is the engine's bound of open submissions. NULL: no memory. */
struct commit *commit_open(const struct commit_engine *engine, const struct commit_server *server,
			   uint32_t inflight_max);
void commit_free(struct commit *commit);

/* Client: submits and sleeps until there is an outcome. */
enum commit_outcome commit_run(struct commit *commit, struct commit_transaction *transaction);

/* Client: the server has committed, or has rolled back, what was accepted for
 * this thread. `gtid` may be anyone's: the applier's threads come here too. A
 * rollback of something else is no affair of ours: nothing happens. A rollback is
 * said twice: before the row locks go, since no snapshot may count on them from then
 * on, and when it is done, since the transaction then comes back by the applier. */
void commit_committed(struct commit *commit, uint64_t thread_id, const struct gtid *gtid);
void commit_failing(struct commit *commit, uint64_t thread_id);
void commit_failed(struct commit *commit, uint64_t thread_id);

enum commit_barrier {
	COMMIT_BARRIER_PASSED = 1,
	COMMIT_BARRIER_LATE = 2,   /* timeout_ns is over */
	COMMIT_BARRIER_KILLED = 3, /* the session is */
	COMMIT_BARRIER_CLOSED = 4, /* this server is no member, or not any more */
};

/* Client: sleeps until all is committed here that any client of the group had been told of
 * when this was called. */
enum commit_barrier commit_barrier(struct commit *commit, void *session, uint64_t timeout_ns);

/* Network: wakes those who wait for this barrier, or an earlier one. */
void commit_passed(struct commit *commit, uint64_t sequence);

/* Network: the oldest post; false when there is none. */
bool commit_next(struct commit *commit, struct commit_post *post);

/* Network: true when it may sleep; a post then calls engine->wake once. */
bool commit_arm(struct commit *commit);
void commit_disarm(struct commit *commit);

/* Network: wakes the client. `gtid` with COMMIT_ACCEPTED. */
void commit_decide(struct commit *commit, struct commit_transaction *transaction,
		   enum commit_outcome outcome, const struct gtid *gtid);

/* No more: whoever comes to commit_run() after this is refused at once. Some may
 * still be on their way to their post. */
void commit_close(struct commit *commit);

/* The same, and waits for those on their way: after it no SUBMIT is posted. Not on
 * the network thread, whose lock they may be waiting for. */
void commit_quiesce(struct commit *commit);

#ifdef __cplusplus
}
#endif

#endif /* MYSQLSHIM_COMMIT_H */
