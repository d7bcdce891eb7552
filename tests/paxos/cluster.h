/*
 * tests/paxos/cluster.h - replicas, links and disks in virtual time, from a seed.
 *
 * A cluster drives paxos_step() as a node would: it holds a message until the
 * log position it depends on is on disk, carries it over a link that may delay,
 * drop, duplicate and reorder, and gives a restarted replica its log. What must
 * hold is checked here, outside the code, after every step:
 *
 *   - one value per slot and ballot, one delivered value per slot, in order, and
 *     only what a quorum has on disk, or nothing where the owner skipped;
 *   - voters are who a change that was delivered has made voters, from its slot on;
 *     nobody else's vote leaves, nor a new one's before it has what lies below;
 *   - where all lead, nobody proposes without a prepare in a slot of another's, nor in one
 *     that any process of its owner skipped, nor skips one that any has proposed in; both
 *     only below what the disk had as reserved before its last batch;
 *   - an epoch has one value per slot, and that is the earlier epoch's wherever a replica
 *     that was forced had voted for its decision, or delivered it;
 *   - no promise or acceptance leaves before its record is on disk, and none that
 *     left is forgotten or broken;
 *   - every reference to a value is given back exactly once.
 *
 * A breach is text in cluster->failure, and the run ends there.
 *
 * Units    nanoseconds and bytes; the trace prints microseconds.
 * Limits   CLUSTER_SLOTS_MAX slots per run, CLUSTER_EVENTS_MAX things under way.
 * Threads  one.
 */
#ifndef TESTS_PAXOS_CLUSTER_H
#define TESTS_PAXOS_CLUSTER_H

#include <stdbool.h>
#include <stdint.h>

#include "paxos/paxos.h"

#define CLUSTER_SLOTS_MAX   16384
#define CLUSTER_EVENTS_MAX  16384
#define CLUSTER_RECORDS_MAX 32768
#define CLUSTER_VALUES_MAX  32768
#define CLUSTER_TRACE_BYTES 65536
#define CLUSTER_CHANGE      (1ull << 63) /* in an id: its low half is the change */
#define CLUSTER_CHANGES_MAX 512
#define CLUSTER_EPOCHS      3
#define US                  ((uint64_t)1000)
#define MS                  ((uint64_t)1000000)

struct cluster_config {
	uint64_t seed;
	uint8_t replica_count;
	uint32_t voters; /* a bit each, at first; 0: all */
	uint64_t net_ns; /* one way; a link's delay is in [net_ns, net_ns + net_jitter_ns] */
	uint64_t net_jitter_ns;
	uint64_t disk_ns;
	uint64_t disk_jitter_ns;
	uint32_t drop_percent;
	uint32_t duplicate_percent;
	uint64_t tail_trust_ns;
	uint32_t link_room; /* messages that a link takes from one step, the rest is lost; 0 any */
	bool trace;
};

struct cluster;

struct cluster *cluster_new(const struct cluster_config *config);
void cluster_free(struct cluster *c);

/* Heals it: nothing had failed, and soon somebody leads. Ends it. */
void cluster_finish(struct cluster *c);

/* Faults and their end. A link is cut in both directions. */
void cluster_cut(struct cluster *c, uint8_t a, uint8_t b);
void cluster_cut_one_way(struct cluster *c, uint8_t from, uint8_t to);
void cluster_heal(struct cluster *c);
void cluster_link_event(struct cluster *c, uint8_t at, uint8_t peer, bool up);
void cluster_crash(struct cluster *c, uint8_t node);
void cluster_crash_lying(struct cluster *c, uint8_t node, uint32_t records);
void cluster_stop(struct cluster *c, uint8_t node); /* orderly: the log is flushed */
void cluster_restart(struct cluster *c, uint8_t node, enum paxos_tail tail);
/* Of a replica that is down: it restarts in this epoch, where these vote. With its log or,
 * voters 0, with an empty one. Links carry nothing from one epoch to another. */
void cluster_force(struct cluster *c, uint8_t node, uint32_t epoch, uint32_t voters);
void cluster_disk_ns(struct cluster *c, uint8_t node, uint64_t disk_ns);
void cluster_pressure(struct cluster *c, uint8_t node, bool pressure);
void cluster_hold(struct cluster *c, uint8_t node, bool hold);
void cluster_log_fails(struct cluster *c, uint8_t node);
/* A state image of what is delivered: the next restart replays from there. */
void cluster_remember(struct cluster *c, uint8_t node);
void cluster_faults(struct cluster *c, uint32_t drop_percent, uint32_t duplicate_percent);

/* Proposes at `node`; false when it cannot. An id of a change is below 2^31. */
bool cluster_submit(struct cluster *c, uint8_t node, uint64_t id);
bool cluster_change(struct cluster *c, uint8_t node, uint64_t id, uint32_t voters,
		    uint32_t horizon);
/* The same voters, in the other kind or once more in this one. */
bool cluster_switch(struct cluster *c, uint8_t node, uint64_t id, enum paxos_lead lead);

void cluster_run(struct cluster *c, uint64_t for_ns);

uint64_t cluster_now(const struct cluster *c);
uint64_t cluster_random(struct cluster *c, uint64_t below);
bool cluster_is_up(const struct cluster *c, uint8_t node);
const struct paxos_replica *cluster_replica(const struct cluster *c, uint8_t node);
uint64_t cluster_delivered(const struct cluster *c, uint8_t node);
uint64_t cluster_value(const struct cluster *c,
		       uint64_t slot); /* its id in the last epoch; 0: empty */
/* The first slot of which it is not certain that the epoch before had the same there; 0: none. */
uint64_t cluster_fork(const struct cluster *c);
bool cluster_all_lead(const struct cluster *c);      /* by the latest change */
uint64_t cluster_takeovers(const struct cluster *c); /* won, by replicas that are up */
uint32_t cluster_voters(const struct cluster *c);    /* by the latest change that was delivered */
uint64_t cluster_changes(const struct cluster *c);   /* so many were decided, and not void */
uint32_t cluster_leavers(const struct cluster *c);   /* replicas that could go, at some time */
int cluster_leader(const struct cluster *c);         /* can propose, or -1 */
/* References that the node holds; none when nothing is open and pressure is on. */
uint32_t cluster_values_held(const struct cluster *c, uint8_t node);
const char *cluster_failure(const struct cluster *c); /* or NULL */

void cluster_forget_trace(struct cluster *c);

/* The trace since the last call must be exactly `text`. */
void cluster_expect(struct cluster *c, const char *text);

#endif /* TESTS_PAXOS_CLUSTER_H */
