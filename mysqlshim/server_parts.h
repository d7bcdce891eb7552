/*
 * mysqlshim/server_parts.h - what the server_*.cc files know of each other.
 *
 * One file per server interface: server_plugin.cc the plugin itself,
 * server_variables.cc its variables, server_tables.cc the rows of
 * performance_schema, server_services.cc the error log, the registry and what
 * this server is. Each converts types and calls mysqlshim/shim.h; none decides.
 * This header names no type of the server, so that C files could read it too.
 *
 * Threads  as shim.h says; init and deinit are called by the server, one at a
 *          time.
 */
#ifndef MYSQLSHIM_SERVER_PARTS_H
#define MYSQLSHIM_SERVER_PARTS_H

#include <stdint.h>

#include "mysqlshim/shim.h"

/* The plugin's one instance; NULL outside init and deinit. */
extern struct shim *server_shim;

/* server_services.cc */

/* The error log and synod.appliance. True: failed, and nothing is left. */
bool server_services_init(void);
void server_services_deinit(void);

/* This server as it is now. */
void server_describe(struct shim_server *server);

/* What START asks for on top of it. */
void server_requirements(struct shim_server *server);

bool server_uuid_is_anonymous(const char *uuid);
void server_lock_variables(void);
void server_unlock_variables(void);

/* The error log and the client's error, as struct shim_words has them. */
extern const struct shim_words server_words;

/* server_plugin.cc: START at boot, when the server is ready for it, and STOP at its end.
 * server_hooks.cc calls them. */
void server_booted(void);
void server_shuts_down(void);

/* server_variables.cc */
extern struct SYS_VAR *server_variables[];

/* server_tables.cc: the callbacks of the plugin's descriptor; `callbacks` are
 * the server's, and typed where they are used. */
unsigned server_member_count(void);

/* server_conflicts.cc: a server without performance schema goes without the table. */
struct explain;
void server_conflicts_init(void);
void server_conflicts_deinit(void);
void server_conflicts_add(uint64_t session, uint64_t at_us, const struct explain *why);

#endif /* MYSQLSHIM_SERVER_PARTS_H */
