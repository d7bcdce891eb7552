/* The pointers through which a plugin reaches the server's plugin services: the
 * server finds each by its symbol, checks the version in it and puts the real
 * one in its place. MySQL ships them as sources to build into the plugin. */
#include "my_config.h"

#include "libservices/mysql_malloc_service.c"
#include "libservices/plugin_registry_service.c"
#include "libservices/rpl_transaction_ctx_service.c"
