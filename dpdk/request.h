/*
 * dpdk/request.h - one line of the control socket, as what it asks for.
 *
 *     {"command": "status"}
 *     {"command": "voters", "voters": [0, 1, 3], "number": 2, "horizon": 64}
 *     {"command": "kind", "group": 1, "all_lead": true}
 *     {"command": "drop", "group": 1}
 *     {"command": "expel", "group": 1, "incarnation": 7}
 *     {"command": "list", "peer": "KEY server any group any"}   as in a key file
 *     {"command": "unlist", "peer": "KEY"}
 *     {"command": "node", "node": "4/3@10.77.0.4:4000", "peer": "KEY"}   peer: if it seals
 *     {"command": "forget", "number": 3}
 *     {"command": "force", "voters": [1], "epoch": "1:32 hex digits", "here": false}
 *
 * Bytes in, a request out: it asks nobody and does nothing. Members that a command
 * does not know are passed over, so that a newer synodctl may say more.
 *
 * Limits     Nodes are numbered below `node_count`, at most 32.
 * Errors     `refused` is the sentence for whoever asked, and everything else is
 *            zero. No line traps.
 */
#ifndef DPDK_REQUEST_H
#define DPDK_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "node/node.h"

#define REQUEST_PEER_BYTES 512
#define REQUEST_NODE_BYTES 128

enum request_kind {
	REQUEST_STATUS = 1,
	REQUEST_VOTERS = 2,
	REQUEST_KIND = 3,
	REQUEST_DROP = 4,
	REQUEST_EXPEL = 5,
	REQUEST_LIST = 6,
	REQUEST_UNLIST = 7,
	REQUEST_FORCE = 8,
	REQUEST_NODE = 9,
	REQUEST_FORGET = 10,
};

struct request {
	const char *refused; /* NULL: the rest holds; a literal */
	enum request_kind kind;
	uint32_t voters;  /* VOTERS: a bit for each node, never none */
	uint32_t horizon; /* VOTERS: the event horizon, or 0: as it is */
	/* VOTERS: of group 0's configuration that they replace; FORGET: a node's */
	uint64_t number;
	uint64_t group;                /* KIND, DROP, EXPEL: never 0, and 32 bits */
	bool all_lead;                 /* KIND */
	uint64_t incarnation;          /* EXPEL: never 0 */
	char peer[REQUEST_PEER_BYTES]; /* LIST, UNLIST, or empty: NODE: one line, ends with a zero
					*/
	char node[REQUEST_NODE_BYTES]; /* NODE: so, too */
	struct node_forced force;      /* FORCE: its number is not 0, and there are voters */
	bool here_only;                /* FORCE */
};

/* `line` without its newline; it need not end with a zero. */
struct request request_parse(const char *line, size_t bytes);

#endif /* DPDK_REQUEST_H */
