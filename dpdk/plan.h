/*
 * dpdk/plan.h - what a synodd will do, derived from its configuration and its host.
 *
 * Nothing is opened: `synodd --check` makes a plan, prints it and exits, and a
 * test can look at every decision. Numbers that a user does not set are chosen
 * here, each with its reason.
 *
 * Nodes     number 0.. in the order of their ids, so that every node counts alike, or as
 *           the list says. What a running appliance was told later stands in its log.
 * Epoch     configured, or derived from the list of nodes when a log is made: the
 *           nodes of one list agree on it without having met. A log that exists
 *           says its own.
 * Units     nanoseconds, bytes.
 * Errors    -EINVAL and a sentence with the remedy.
 * Threads   none of its own.
 */
#ifndef DPDK_PLAN_H
#define DPDK_PLAN_H

#include <stdio.h>

#include "dpdk/loop.h"
#include "hw/config.h"
#include "hw/keys.h"
#include "hw/topology.h"

struct plan {
	const struct hw_config *config; /* lent; its texts are used */
	struct node_config node;        /* epoch: only once the log is open */
	struct udp_address address;
	struct port_config port;
	struct hw_log_options log; /* epoch: the configured one, or zeros */
	enum loop_profile profile;
	struct hw_plan machine; /* cores and memory */
};

/* What is asked of hw_plan_make(). */
struct hw_wish plan_wish(const struct hw_config *config);

/* The card or interface that the EAL arguments name, for hw_host_read(). */
bool plan_nic(const struct hw_config *config, char nic[HW_CONFIG_TEXT_BYTES]);

int plan_make(struct plan *plan, const struct hw_config *config, const struct hw_plan *machine,
	      struct hw_error *error);

/* The epoch of a log that is made now. */
void plan_new_epoch(const struct plan *plan, uint8_t epoch[EPOCH_BYTES]);

/* Of the node with that id. */
void plan_node_uuid(uint32_t id, uint8_t uuid[16]);

/* Whom the key file lists, as the node knows them; returns how many. */
uint32_t plan_keys(const struct hw_keys *keys, struct node_key out[NODE_KEYS_MAX]);

void plan_print(const struct plan *plan, FILE *out);

#endif /* DPDK_PLAN_H */
