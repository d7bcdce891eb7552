/*
 * mysqlshim/tls.h - group_replication_ssl_mode, as far as it asks for certificates.
 *
 *     DISABLED, REQUIRED   none: synod.appliance's public keys say whom to trust
 *     VERIFY_CA            nodes must show a certificate of an authority of ours, and this
 *                          server shows its own to nodes that do not list its key
 *     VERIFY_IDENTITY      and a node's must name the host that synod.appliance has
 *
 * The files are Group Replication's: the server's own ssl_* with communication stack XCOM, and
 * group_replication_recovery_ssl_* with MYSQL.
 *
 * Never    remembers anything; reads the files that are named.
 * Errors   false, with a text for the administrator.
 * Threads  any.
 */
#ifndef MYSQLSHIM_TLS_H
#define MYSQLSHIM_TLS_H

#include <stdbool.h>
#include <stddef.h>

#include "mysqlshim/appliance.h"
#include "mysqlshim/start.h"

struct certificates;

/* The numbers of group_replication_ssl_mode. */
enum tls_mode {
	TLS_DISABLED = 0,
	TLS_REQUIRED = 1,
	TLS_VERIFY_CA = 2,
	TLS_VERIFY_IDENTITY = 3,
};

struct tls_choice {
	enum tls_mode mode;
	bool recovery; /* `files` are group_replication_recovery_ssl_*, not ssl_* */
	struct shim_ssl files;
};

/* Where the sentence goes. */
struct tls_text {
	char *out;
	size_t capacity;
};

/* Of the variables, copied; the caller holds what keeps them as they are. */
void tls_choose(struct tls_choice *choice, const struct shim_server *server);

/* Whom this server is: the key of synod.key_file or, where certificates vouch for it, one that
 * is made for this START alone. `certificates` are the caller's to free, NULL where none are
 * asked for. The appliance is a parsed one. */
bool tls_unlock(const struct tls_choice *choice, struct appliance *appliance,
		struct certificates **certificates, struct tls_text text);

#endif /* MYSQLSHIM_TLS_H */
