/*
 * dpdk/control.h - the control socket: one JSON request a line (request.h), one
 * answer a line: {"status": {...}}, {"asked": true} or {"error": "..."}.
 *
 * `voters` asks once that these nodes vote, if group 0's configuration still has that
 * number; what came of it is in the status. It may be lost: whoever wants it asks again.
 * So may the others.
 *
 * A unix socket that its owner alone may use, served by a thread of its own. The
 * loop is asked for a snapshot and goes on; it never waits for a client.
 *
 * Limits     CONTROL_CLIENTS_MAX at once, CONTROL_LINE_BYTES_MAX a request. A
 *            client that does not read its answer is cut off after a second.
 * Errors     control_start(): 0 or -errno with a sentence. A socket file left by a
 *            process that died is replaced; one that answers is not.
 * Threads    start and stop from the loop's thread.
 */
#ifndef DPDK_CONTROL_H
#define DPDK_CONTROL_H

#include <pthread.h>
#include <sched.h>

#include "dpdk/status.h"
#include "hw/error.h"

#define CONTROL_CLIENTS_MAX    16
#define CONTROL_LINE_BYTES_MAX 4096
#define CONTROL_ANSWER_MS      2000
#define CONTROL_WATCH_MS       250

struct control_options {
	const char *path;
	struct loop *loop;
	struct status_facts facts;
	cpu_set_t cpus; /* where the thread may run */
	/* Called on the control thread every CONTROL_WATCH_MS with a fresh snapshot. */
	void (*watch)(void *context, const struct loop_snapshot *snapshot);
	void *watch_context;
};

struct control_client {
	int fd; /* -1: free */
	size_t bytes;
	char line[CONTROL_LINE_BYTES_MAX];
};

struct control {
	struct control_options options;
	int listen_fd;
	int stop_fd;
	bool runs;
	uint64_t watched_ms;
	pthread_t thread;
	struct control_client client[CONTROL_CLIENTS_MAX];
};

int control_start(struct control *control, const struct control_options *options,
		  struct hw_error *error);
void control_stop(struct control *control);

#endif /* DPDK_CONTROL_H */
