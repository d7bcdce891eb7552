/*
 * mysqlshim/server_calls.h - what the shim asks of the server, in C.
 *
 * Implemented by the server_*.cc files; called by whoever runs the member (the
 * network thread and the thread that feeds the applier). Everything here only
 * converts and passes on.
 *
 * Errors   int: 0, or the server's number. bool: true is success.
 * Threads  said with each.
 */
#ifndef MYSQLSHIM_SERVER_CALLS_H
#define MYSQLSHIM_SERVER_CALLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mysqlshim/commit.h"

#define SERVER_CHANNEL_TIMEOUT_S 60

#ifdef __cplusplus
extern "C" {
#endif

/* server_gtid.cc: the locks around a snapshot, and whether a session was
 * killed. Any thread. */
extern const struct commit_server server_commit;

/* gtid_executed as text, for START; free() it. NULL: no memory. Any thread. */
char *server_gtid_executed(void);

/* The server's own small number for a source, given where there is none yet. */
int server_sidno(const struct gtid_source *source);

/* server_modes.cc: what being in a group changes of the server. */
struct server_modes {
	bool read_only; /* as they were */
	bool super_read_only;
	bool increment_set; /* auto_increment_* were both 1, and are ours now */
	unsigned long increment;
};

/* Asks for whole write sets of at most `transaction_bytes_max` (0: no limit), and
 * spreads auto_increment over the members where nobody has set it otherwise. */
void server_modes_enter(struct server_modes *before, unsigned long auto_increment_increment,
			uint64_t transaction_bytes_max);
void server_modes_leave(const struct server_modes *before);

/* super_read_only on, or it and read_only off. Waits for commits under way. Any
 * thread, without a lock of the server's. */
bool server_read_only(bool on);

/* server_hooks.cc: commits go through `commit` from now on; until close they
 * pass by. Close returns when no session is inside any more: commit_close() and
 * a verdict for each open one come first. START and STOP only. */
bool server_hooks_register(void *plugin); /* once, when the plugin is loaded */
bool server_hooks_unregister(void *plugin);
void server_hooks_open(struct commit *commit);
void server_hooks_close(void);

/* server_channel.cc: the channel group_replication_applier. All but the first
 * two from the one thread that called server_thread_begin(). */
bool server_thread_begin(const char *what);
void server_thread_end(void);
int server_channel_open(void);
int server_channel_queue(const uint8_t *event, size_t bytes);
int server_channel_close(long timeout_s);

/* `stopped` hears, on the applier's thread, that it stops without having been asked to.
 * NULL: nobody does, from the return on. Any thread. */
void server_channel_watch(void (*stopped)(void *context), void *context);
bool server_channel_register(void *plugin); /* once, when the plugin is loaded */
bool server_channel_unregister(void *plugin);

#ifdef __cplusplus
}
#endif

#endif /* MYSQLSHIM_SERVER_CALLS_H */
