/*
 * mysqlshim/endpoints.h - group_replication_advertise_recovery_endpoints: a
 * list of "address:port" at which others may reach this very server.
 *
 * "DEFAULT" stands for the server's own host and port. An address is IPv4,
 * [IPv6] or a name; it must belong to an interface of this machine that is up,
 * and the port must be one that this server listens on.
 *
 * Never remembers anything; asks the kernel for the interfaces and, for names
 * only, the resolver: it may block as long as that does.
 *
 * Errors  an answer, with the part of the list that is to blame.
 */
#ifndef MYSQLSHIM_ENDPOINTS_H
#define MYSQLSHIM_ENDPOINTS_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

enum shim_endpoints {
	SHIM_ENDPOINTS_OK = 0,
	SHIM_ENDPOINTS_FORMAT = 1,  /* no list of address:port */
	SHIM_ENDPOINTS_INVALID = 2, /* `culprit` is not ours, or no port of ours */
};

struct shim_ports {
	unsigned main;
	unsigned admin; /* 0: none */
};

/* `culprit` receives the endpoint that is refused, cut to `capacity`. */
enum shim_endpoints shim_endpoints_check(const char *list, struct shim_ports ports, char *culprit,
					 size_t capacity);

#ifdef __cplusplus
}
#endif

#endif /* MYSQLSHIM_ENDPOINTS_H */
