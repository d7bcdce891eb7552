/*
 * dpdk/loop.h - the poll loop of a node: port, node_step and log, on one core.
 *
 *     loop_once(loop, now_ns)
 *
 * is one turn: receive burst, node_step(PACKET) for each datagram, log submit,
 * log reap, node_step(DURABLE), send burst. Everything the node decides, it
 * decides in node_step(); here bytes are moved and positions compared.
 *
 * Never       looks into a datagram or record beyond its length; holds a packet
 *             back (the node emits it when it may go; the loop only checks).
 * Profiles    SHARED blocks in ppoll() on port, log, stop and control until the
 *             node's timer as soon as a turn found nothing to do: on a core that
 *             others want, who spins or yields first is queued behind them, and
 *             so are the peers and the disk's completion it waits for. A sleeper
 *             is woken ahead of them. DEDICATED spins for ever.
 * Log full    A record that the log does not take waits in the loop's backlog.
 *             While one waits, nothing is received and no timer runs: peers see
 *             a node that is slow, and nothing that was accepted is lost. A
 *             backlog that overflows ends the node's voting, as a failed write
 *             does.
 * Status      The control thread asks by loop_status_request(); the loop fills
 *             the snapshot at the end of a turn. Nothing else crosses threads.
 * Units       nanoseconds of CLOCK_MONOTONIC, bytes.
 * Limits      LOOP_READS_MAX reads of the log wait; LOOP_BACKLOG_BYTES.
 * Errors      the log's are told to the node and counted; loop_start() answers 0
 *             or -errno with a sentence.
 * Threads     one owns the loop; loop_stop() and loop_status_request() may be
 *             called from any.
 */
#ifndef DPDK_LOOP_H
#define DPDK_LOOP_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "dpdk/udp.h"
#include "hw/uring_log.h"
#include "node/node.h"

#define LOOP_READS_MAX      64 /* power of two; a node has no more under way */
#define LOOP_BACKLOG_BYTES  (16u << 20)
#define LOOP_ENTROPY_BYTES  64
#define LOOP_ENTROPY_NS     10000000000u
#define LOOP_BLIND_SLEEP_NS 50000u /* blocks that long when the port has no descriptor */
#define LOOP_STATUS_MEMBERS 256    /* over all groups, in one snapshot */

enum loop_profile {
	LOOP_SHARED = 1,
	LOOP_DEDICATED = 2,
};

struct loop_options {
	enum loop_profile profile;
	struct port *port;
	struct udp *udp;
	struct hw_log *log;
	const struct node_config *node;
	struct certificates *certificates; /* that `node` names; the loop frees them. NULL: none */
	bool log_in_memory;
	bool repair;    /* begin as if the log lacked anything: what that is the other nodes say */
	bool hugepages; /* for the node's memory, where there are enough */
};

struct loop_stats {
	uint64_t turns;
	uint64_t blocked;    /* times it slept in ppoll() */
	uint64_t log_waited; /* records that had to wait for the log */
	uint64_t unreadable; /* records the node asked for and the log could not give */
	uint64_t replayed;   /* records, at start */
};

struct loop_member {
	uint32_t group;
	struct node_member_status status;
};

/* What status shows; filled by the loop's thread, read by the control thread
 * between two requests. */
struct loop_snapshot {
	uint64_t now_ns;
	struct node_status node;
	struct node_group_status group[NODE_GROUPS_MAX];
	uint32_t group_count;
	struct loop_member member[LOOP_STATUS_MEMBERS];
	uint32_t member_count;
	bool members_cut;                   /* there are more than fit */
	struct node_key key[NODE_KEYS_MAX]; /* that group 0 lists */
	uint32_t key_count;
	uint32_t peers; /* a bit for each number that is somebody's */
	struct node_peer_status peer[NODE_NODES_MAX];
	struct node_image_status image;
	struct hw_log_state log;
	struct loop_stats loop;
	struct udp_stats udp;
	struct port_stats port;
	uint64_t frame_drop[FRAMES_DROP_COUNT];
	uint64_t arp_answered;
	uint64_t echo_answered;
	bool link_up;
};

struct loop_read {
	uint64_t lsn; /* the record's end, as the node asked */
	uint32_t bytes;
};

/* What NODE_IN_VOTERS gives. */
struct loop_voters {
	uint64_t number;
	uint32_t voters;  /* never none */
	uint32_t horizon; /* 0: as it is */
};

struct loop {
	struct loop_options options;
	struct node *node;
	bool started;
	struct node_sink sink;
	uint64_t now_ns;
	uint64_t process; /* the highest in the log, then this one's */
	uint64_t durable_lsn;
	uint64_t room_bytes; /* of the log, as the node is told */
	uint64_t timer_ns;
	uint64_t entropy_ns; /* when the node gets some more */
	bool write_failed;
	bool failure_due; /* the node has not been told yet */
	bool diverged;    /* it computed another result than a majority, and takes nothing more */
	uint32_t diverged_group;
	uint64_t diverged_index;
	bool forced;   /* the log says so: this node goes on in another epoch */
	bool outdated; /* another node had seen more of this log than there is */
	uint8_t outdated_by;
	uint64_t outdated_lsn;
	bool lost; /* the begin of its log, and there is no other node: it does not start */
	uint64_t lost_lsn;

	/* Reads the node asked for: those of [given, asked) wait for a buffer. */
	struct loop_read read[LOOP_READS_MAX];
	uint32_t reads_asked;
	uint32_t reads_given;
	uint8_t *read_buffer[HW_LOG_READS_MAX];
	struct loop_read reading[HW_LOG_READS_MAX]; /* lsn 0: the buffer is free */

	/* Records the log did not take yet, oldest first: [head, tail). */
	uint8_t *backlog;
	size_t backlog_head;
	size_t backlog_tail;

	/* The next list of keys, from another thread; NULL: none. */
	_Atomic(struct loop_keys *) keys;
	_Atomic(struct certificates *) certificates; /* the next, so */
	_Atomic(struct node_secrets *) secrets;      /* so */
	_Atomic uint64_t voters; /* wanted by an administrator: number << 16 | horizon << 8 |
				    voters; 0: nothing */
	_Atomic(struct loop_force *) force; /* wanted by an administrator; NULL: nothing */
	_Atomic uint64_t lead;              /* so: group << 1 | all_lead */
	_Atomic(struct node_order *) order; /* so; NULL: none */
	_Atomic bool stopping;
	_Atomic uint32_t status_wanted;
	_Atomic uint32_t status_done;
	int wake_fd;        /* wakes the loop out of ppoll() */
	int status_done_fd; /* readable when a snapshot is there */
	struct loop_snapshot *snapshot;
	struct loop_stats stats;
	struct udp_datagram received[PORT_BURST];
};

/* Makes the node, replays the log into it and starts it. The log is open and not
 * yet scanned; from here on it is the loop's. */
int loop_start(struct loop *loop, const struct loop_options *options, struct hw_error *error);

struct loop_survey {
	void (*tell)(void *context, const struct node *node);
	void *context;
};

/* Replays a log that nobody will write any more, has somebody look at the node, and closes it. */
int loop_survey(struct loop *loop, const struct loop_options *options,
		const struct loop_survey *survey, struct hw_error *error);

/* One turn. True when something was done: a frame, a record, a timer. */
bool loop_once(struct loop *loop, uint64_t now_ns);

/* Turns until loop_stop(). */
void loop_run(struct loop *loop);

/* Whom the node knows from now on; copied. Any thread. 0 or -ENOMEM. */
int loop_keys(struct loop *loop, const struct node_key *keys, uint32_t count);

/* The node's own, from now on. Any thread; -ENOMEM: they stay. */
int loop_secrets(struct loop *loop, const struct node_secrets *secrets);

/* Others in place of options.certificates, which were some; the loop frees them. Any thread. */
void loop_certificates(struct loop *loop, struct certificates *certificates);

/* Which nodes are to vote, a bit each; see NODE_IN_VOTERS. Any thread. */
void loop_voters(struct loop *loop, const struct loop_voters *wanted);
int loop_force(struct loop *loop, const struct node_forced *forced, bool here_only);

/* Whether all voters of a group are to lead; see NODE_IN_LEAD. Any thread. */
void loop_lead(struct loop *loop, uint64_t group, bool all_lead);

/* What an administrator wants of a group; copied. Any thread. 0 or -ENOMEM. */
int loop_order(struct loop *loop, const struct node_order *order);

/* Ends loop_run(). Safe in a signal handler. */
void loop_stop(struct loop *loop);

/* Marks the log as stopped in order and closes it, gives back memory. Also after a
 * failed loop_start(), then without the mark. Port and datagram layer are still the
 * caller's to close. 0 or -errno from the mark. */
int loop_close(struct loop *loop);

/* The control thread's: asks for a snapshot, answers when it is in
 * `loop->snapshot`; false when the loop did not answer within the time. */
bool loop_status_request(struct loop *loop, uint32_t timeout_ms);

#endif /* DPDK_LOOP_H */
