/*
 * mysqlshim/appliance.h - synod.appliance: the nodes that serve this server's
 * group.
 *
 *     "10.0.0.1:7700, node2.example:7700, [2001:db8::3]:7700"
 *     "10.0.0.1:7700=7n2x...=, 10.0.0.2:7700=QxS0...="
 *
 * An address is IPv4, [IPv6] or a name, which is looked up once, at START. What
 * follows '=' is the node's public key, as synodctl key show prints it there:
 * either all nodes have one, and links are sealed, or none, and they are in clear.
 * Sealed links need this server's own key, from the file that synod.key_file names.
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

#define APPLIANCE_HOST_CHARS_MAX 255

struct appliance {
	struct endpoint node[NODE_NODES_MAX];
	char host[NODE_NODES_MAX][APPLIANCE_HOST_CHARS_MAX + 1]; /* as they stand in the list */
	uint8_t node_count;
	bool sealed; /* what follows is set */
	uint8_t key[NODE_NODES_MAX][CRYPTO_KEY_BYTES];
	uint8_t secret[CRYPTO_KEY_BYTES]; /* this server's */
	uint8_t psk[CRYPTO_KEY_BYTES];
};

bool appliance_parse(struct appliance *appliance, const char *list, char *text, size_t capacity);

/* This server's own key, of a sealed appliance. `key_file` may be NULL or empty. */
bool appliance_unlock(struct appliance *appliance, const char *key_file, char *text,
		      size_t capacity);

#endif /* MYSQLSHIM_APPLIANCE_H */
