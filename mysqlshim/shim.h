/*
 * mysqlshim/shim.h - the plugin, as the server side sees it.
 *
 * The server_*.cc files know MySQL; they convert its types, call what is
 * declared here, and do what the answer says. They decide nothing. Behind this
 * header there is no server header, so that the same code runs in unit tests.
 *
 * Life       shim_load() when the plugin is initialised, shim_unload() when it
 *            is taken out; in between any number of START and STOP.
 * Ownership  one instance per process (the plugin's). Pointers handed in live
 *            as long as the call, unless it says otherwise.
 * Errors     answers; each says what the server must do next.
 * Threads    load, unload, start and stop: one at a time (the server sees to
 *            it). The rest: any thread, any time between load and unload.
 */
#ifndef MYSQLSHIM_SHIM_H
#define MYSQLSHIM_SHIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mysqlshim/start.h"
#include "mysqlshim/variables.h"

#ifdef __cplusplus
extern "C" {
#endif

#define SHIM_APPLIER_CHANNEL "group_replication_applier"
#define SHIM_STATE_CHARS_MAX 16
#define SHIM_GTIDS_CHARS_MAX 1024

struct shim;

/*
 * Makes the instance. Returns NULL where this server is not the one that the
 * plugin was built for (then the server must refuse to load it), or where
 * there is no memory; either way the log says so.
 */
struct shim *shim_load(const struct shim_words *words, const char *server_version,
		       const char *built_for);

/* The instance is gone after this. It must be stopped. */
void shim_unload(struct shim *shim);

/*
 * START GROUP_REPLICATION. The caller does not hold
 * LOCK_global_system_variables; `lock` and `unlock` take and release it for as
 * long as strings are read.
 */
struct shim_start_request {
	const struct shim_server *server;
	void (*lock)(void);
	void (*unlock)(void);
	char *text; /* filled for SHIM_START_FAILED */
	size_t capacity;
};

enum shim_start shim_start(struct shim *shim, const struct shim_start_request *request);

/* STOP GROUP_REPLICATION, and the end of the server. Not running is no error. */
enum shim_start shim_stop(struct shim *shim);

enum shim_phase shim_phase(const struct shim *shim);

/* True from the moment START is sure of its checks until STOP is through. */
bool shim_running(const struct shim *shim);

/* One row of performance_schema.replication_group_members. */
struct shim_member {
	char uuid[SHIM_UUID_CHARS + 1];
	char host[256];
	char state[SHIM_STATE_CHARS_MAX];
	char role[SHIM_STATE_CHARS_MAX]; /* empty unless ONLINE or RECOVERING */
	char version[32];
	char stack[SHIM_STATE_CHARS_MAX];
	unsigned port;
};

unsigned shim_member_count(struct shim *shim);

/* False: there is no such row. `self` describes this server. */
bool shim_member(struct shim *shim, unsigned index, const struct shim_server *self,
		 struct shim_member *row);

/* One row of performance_schema.replication_group_member_stats. Not running:
 * only the channel is shown, and everything else is empty or zero. */
struct shim_member_stats {
	char uuid[SHIM_UUID_CHARS + 1];
	char view_id[64];
	char committed_all_members[SHIM_GTIDS_CHARS_MAX];
	char last_conflict_free[SHIM_GTIDS_CHARS_MAX];
	uint64_t in_queue;
	uint64_t certified;
	uint64_t conflicts;
	uint64_t rows_validating;
	uint64_t remote_in_queue;
	uint64_t remote_applied;
	uint64_t local_proposed;
	uint64_t local_rollback;
};

bool shim_member_stats(struct shim *shim, unsigned index, struct shim_member_stats *row);

#ifdef __cplusplus
}
#endif

#endif /* MYSQLSHIM_SHIM_H */
