/*
 * mysqlshim/appliance.h - synod.appliance: the nodes that serve this server's
 * group.
 *
 *     "10.0.0.1:7700, node2.example:7700, [2001:db8::3]:7700"
 *
 * An address is IPv4, [IPv6] or a name, which is looked up once, at START. What
 * follows '=' is the node's public key: read by a later release, and refused by
 * this one, which could not use it.
 *
 * Never    remembers anything; for names it may block as long as the resolver.
 * Limits   NODE_NODES_MAX nodes; no endpoint twice.
 * Errors   false, with a text for the administrator.
 * Threads  any.
 */
#ifndef MYSQLSHIM_APPLIANCE_H
#define MYSQLSHIM_APPLIANCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/endpoint.h"
#include "node/node.h"

struct appliance {
	struct endpoint node[NODE_NODES_MAX];
	uint8_t node_count;
};

bool appliance_parse(struct appliance *appliance, const char *list, char *text, size_t capacity);

#endif /* MYSQLSHIM_APPLIANCE_H */
