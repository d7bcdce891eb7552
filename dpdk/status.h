/*
 * dpdk/status.h - a node's snapshot as JSON, for the control socket.
 *
 * docs/status.md lists every field; a test compares that list with what stands
 * here. Fields are added, never renamed or given another meaning.
 *
 * Ownership  the answer is the caller's (json_decref).
 * Errors     NULL: no memory.
 * Threads    none of its own; the snapshot may not change meanwhile.
 */
#ifndef DPDK_STATUS_H
#define DPDK_STATUS_H

#include <jansson.h>

#include "dpdk/loop.h"

/* What does not change while the process runs. */
struct status_facts {
	const struct node_config *node;
	const char *version;
	const char *log_mode; /* how the log writes, hw_log_mode() */
	const char *driver;   /* of the port */
	enum loop_profile profile;
	uint64_t started_ns;
};

json_t *status_json(const struct loop_snapshot *snapshot, const struct status_facts *facts);

/* "10.77.0.1:7000" or "[2001:db8::1]:7000". */
#define STATUS_ENDPOINT_BYTES 64
void status_endpoint(const struct endpoint *endpoint, char out[STATUS_ENDPOINT_BYTES]);

/* 8-4-4-4-12 hexadecimal digits. */
#define STATUS_UUID_BYTES 37
/* Of the node with that uuid, see plan_node_uuid(). */
uint32_t status_node_id(const uint8_t *uuid);
void status_uuid(const uint8_t *uuid, char out[STATUS_UUID_BYTES]);

/* "uuid:1-5" or "uuid:tag:1-5". */
#define STATUS_GTIDS_BYTES 128
void status_gtids(const struct gtid_interval *run, char out[STATUS_GTIDS_BYTES]);

#endif /* DPDK_STATUS_H */
