/*
 * mysqlshim/engine.h - the network thread of a member.
 *
 * One thread owns a UDP socket and a `struct member` (node/member.h). It moves
 * datagrams, what client threads post (mysqlshim/commit.h) and timers into
 * member_step(), and what comes out to the socket, to the sleeping clients, and
 * to the callbacks. It decides nothing.
 *
 *     open   memory, socket, commit; no thread. Clients may come to the commit from
 *            here on: they sleep until the group has answered.
 *     join   the thread, and the way into the group.
 *     leave  out of the group: what is open is abandoned, and waits for its
 *            outcome. Without a quorum, at the timeout, it is unknown; as it is to who
 *            waits when an incarnation ends that the log did not end (engine_end).
 *     free   when no client is inside the commit any more.
 *
 * Ownership  what the callbacks are given is valid during the call.
 * Limits     engine_options; memory is taken by open and given back by free.
 * Errors     0 or -errno.
 * Threads    open, join, leave, free: one at a time. The rest: any, in between.
 *            Callbacks run on the network thread with the member locked (on_applied()
 *            on any thread, and it is not): they must
 *            not call the engine, nor take a lock under which a client may be in
 *            commit_run().
 */
#ifndef MYSQLSHIM_ENGINE_H
#define MYSQLSHIM_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mysqlshim/appliance.h"
#include "mysqlshim/commit.h"
#include "node/member.h"

struct engine;

/* Of an incarnation, before STOP. */
struct engine_end {
	bool diverged;            /* expelled for what it had committed */
	const struct gtid *lacks; /* what no node can give it any more, or NULL */
	uint32_t unknown;         /* so many clients were told that their outcome is not known:
				   * behind a force, or where the group or a payload is gone */
};

struct engine_callbacks {
	void *context;
	void (*on_queue)(void *context, const struct member_output *queue);
	void (*on_view)(void *context, const struct member_view *view);
	void (*on_ended)(void *context, const struct engine_end *end);
	/* Has the server room for more to apply? After "no", engine_release(). */
	bool (*has_room)(void *context);
	/* The server has committed another's transaction. On the thread that did. */
	void (*on_applied)(void *context);
};

struct engine_options {
	struct appliance appliance;
	const struct certificates *certificates; /* of group_replication_ssl_mode; or NULL */
	uint8_t server_uuid[UUID_BYTES];
	uint32_t inflight_max;
	const struct commit_server *server;
	struct engine_callbacks callbacks;
};

int engine_open(const struct engine_options *options, struct engine **engine);
void engine_free(struct engine *engine);

/* What clients post to; the engine's. */
struct commit *engine_commits(struct engine *engine);

struct engine_join {
	uint8_t group_uuid[UUID_BYTES];
	bool bootstrap;
	const char *host;
	uint16_t port;
	uint32_t version;    /* of the server: 90704 */
	uint64_t block_size; /* group_replication_gtid_assignment_block_size */
	struct gtid_bytes executed;
	uint64_t timeout_ns;
};

/* 0: this server is a member, and its view follows by on_view(). -ECONNREFUSED:
 * a node said no, and *refusal says why. -ETIMEDOUT: nobody answered in time, or
 * no leader. Any other: the machine's. Not 0: no thread runs. */
int engine_join(struct engine *engine, const struct engine_join *join,
		enum member_refusal *refusal);

/* Begins to leave and does not wait, for one that cannot go on: engine_leave() is still
 * to come. Any thread, without what the callbacks lock. */
void engine_retire(struct engine *engine);

/* True: the group knows that this member left. After it no client sleeps any more,
 * no new one is taken, and the thread has ended. */
bool engine_leave(struct engine *engine, uint64_t timeout_ns);

/* The server has room again. */
void engine_release(struct engine *engine);

void engine_stats(struct engine *engine, struct member_stats *stats);

#endif /* MYSQLSHIM_ENGINE_H */
