/*
 * mysqlshim/engine.h - the network thread of a member, and its meeting point with
 * the server's threads.
 *
 * One thread owns a UDP socket and a `struct member` (node/member.h), and does
 * nothing but move datagrams and inputs: it decides nothing. Client threads meet
 * it in a mailbox; each sleeps on a word of its own until its transaction is
 * decided.
 *
 *     engine_commit()   client thread, inside the before-commit hook
 *     on_queue()        network thread: one remote transaction, in order
 *     engine_committed() any thread: a GTID is in gtid_executed
 *
 * Snapshot   is taken by engine_commit() inside `options.locked`, which the server
 *            side runs under its commit lock and GTID lock, the row locks being
 *            held: see node/snapshot.h for what goes wrong elsewhere.
 * In doubt   a thread whose client was killed does not return: it asks the log
 *            (abandon), and the log decides which came first. Only without a
 *            quorum, at STOP's timeout, is an outcome unknown, and says so.
 * Ownership  what the callbacks are given is valid during the call. A transaction
 *            is the caller's and lives until engine_commit() returns.
 * Limits     engine_options; memory is taken at START and given back at STOP.
 * Errors     0 or -errno from start; outcomes elsewhere.
 * Threads    start and stop: one at a time. The rest: any thread in between.
 *            Callbacks run on the network thread and must not block for long.
 */
#ifndef MYSQLSHIM_ENGINE_H
#define MYSQLSHIM_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "node/member.h"

struct engine;

/* What the server must do next with a transaction. */
enum engine_outcome {
	ENGINE_COMMIT = 1,   /* commit, with transaction->gtid */
	ENGINE_CONFLICT = 2, /* roll back: 3101 */
	ENGINE_STALE = 3,    /* roll back: 3101 */
	ENGINE_FULL = 4,     /* roll back: 3100, the certification index is full */
	ENGINE_GTID = 5,     /* roll back: 3101, the GTID is taken */
	ENGINE_KILLED = 6,   /* roll back: the client was killed, and nothing was logged */
	ENGINE_NO_ROOM = 7,  /* roll back: 3100, too large or too many at once; not sent */
	ENGINE_ENDED = 8,    /* roll back: 3100, this member is not in the group any more */
	ENGINE_UNKNOWN = 9,  /* no quorum: roll back, say that the outcome is unknown */
};

/* One transaction at its before-commit hook. */
struct engine_transaction {
	uint8_t gtid_spec;    /* enum gtid_spec */
	struct gtid assigned; /* as in member_submission */
	uint32_t flags;       /* enum submit_flag */
	const uint64_t *hashes;
	uint32_t hash_count;
	const uint8_t *payload; /* the binlog cache */
	uint32_t payload_bytes;
	void *server; /* for the callbacks: the session */
	/* answers */
	struct gtid gtid;
	uint64_t sequence;
	uint64_t index;
	bool winner_known;
	struct gtid winner; /* of a conflict: who was first */
	uint64_t winner_hash;
};

/* One transaction of another member (or of an own earlier life), to be applied. */
struct engine_entry {
	uint64_t index;
	uint64_t dependency; /* after every entry up to this index */
	const struct gtid *gtid;
	uint32_t flags;
	const uint8_t *payload;
	uint32_t payload_bytes;
};

struct engine_callbacks {
	void *context;
	/* Runs work(arg) with the server's commit lock and GTID lock held. */
	void (*locked)(void *context, void *session, void (*work)(void *arg), void *arg);
	/* Is it in gtid_executed? Called inside `locked` only. */
	bool (*executed)(void *context, const struct gtid *gtid);
	/* Was this session's client killed, or its query? Any thread. */
	bool (*killed)(void *context, void *session);
	void (*on_queue)(void *context, const struct engine_entry *entry);
	void (*on_view)(void *context, const struct member_view *view);
	void (*on_link)(void *context, bool connected);
	void (*on_expelled)(void *context);
};

struct engine_options {
	struct endpoint node[NODE_NODES_MAX];
	uint8_t node_count;
	uint8_t server_uuid[UUID_BYTES];
	uint8_t group_uuid[UUID_BYTES];
	bool bootstrap;
	uint64_t last_incarnation;
	const char *host;
	uint16_t port;
	uint32_t version;
	uint64_t block_size;
	struct gtid_bytes executed;
	uint32_t inflight_max;
	uint64_t start_timeout_ns;
	struct engine_callbacks callbacks;
};

/* Starts the thread and joins the group. 0: *engine runs, and *refusal is
 * MEMBER_REFUSED_NONE. -ECONNREFUSED: a node said no, and *refusal says why.
 * -ETIMEDOUT: nobody answered in time. Any other: the machine's. */
int engine_start(const struct engine_options *options, struct engine **engine,
		 enum member_refusal *refusal);

/* Leaves the group: what is open is abandoned and waits for its outcome, at most
 * `timeout_ns`; then everything is forgotten and threads get ENGINE_UNKNOWN. True:
 * the group knows that this member left. The engine is gone either way, once no
 * thread is inside it. */
bool engine_stop(struct engine *engine, uint64_t timeout_ns);

enum engine_outcome engine_commit(struct engine *engine, struct engine_transaction *transaction);

/* The server could not commit what ENGINE_COMMIT told it to: the transaction comes
 * back by on_queue(). */
void engine_local_failed(struct engine *engine, uint64_t sequence);

void engine_committed(struct engine *engine, const struct gtid *gtid);

void engine_stats(struct engine *engine, struct member_stats *stats);
uint64_t engine_incarnation(const struct engine *engine);

#endif /* MYSQLSHIM_ENGINE_H */
