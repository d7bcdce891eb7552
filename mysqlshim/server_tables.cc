/* Rows of performance_schema that the server asks the plugin for. */
#include <cstring>

#include "my_config.h"

#include "mysql/plugin_group_replication.h"

#include "mysqlshim/server_parts.h"

bool server_connection_status(const GROUP_REPLICATION_CONNECTION_STATUS_CALLBACKS &callbacks);
bool server_member(unsigned index, const GROUP_REPLICATION_GROUP_MEMBERS_CALLBACKS &callbacks);
bool server_member_stats(unsigned index,
			 const GROUP_REPLICATION_GROUP_MEMBER_STATS_CALLBACKS &callbacks);

/* Each callback takes its text as a reference to the first byte. */
static void
give(void *context, void (*set)(void *const, const char &, size_t), const char *text)
{
	set(context, *text, strlen(text));
}

bool
server_connection_status(const GROUP_REPLICATION_CONNECTION_STATUS_CALLBACKS &callbacks)
{
	give(callbacks.context, callbacks.set_channel_name, SHIM_APPLIER_CHANNEL);
	server_lock_variables();
	const char *name = shim_variables.group_name;
	if (name) {
		give(callbacks.context, callbacks.set_group_name, name);
		give(callbacks.context, callbacks.set_source_uuid, name);
	}
	server_unlock_variables();
	callbacks.set_service_state(callbacks.context, shim_running(server_shim));
	return false;
}

unsigned
server_member_count(void)
{
	return shim_member_count(server_shim);
}

bool
server_member(unsigned index, const GROUP_REPLICATION_GROUP_MEMBERS_CALLBACKS &callbacks)
{
	struct shim_server self;
	struct shim_member row;
	void *context = callbacks.context;

	server_describe(&self);
	give(context, callbacks.set_channel_name, SHIM_APPLIER_CHANNEL);
	if (!shim_member(server_shim, index, &self, &row))
		return true;
	give(context, callbacks.set_member_id, row.uuid);
	give(context, callbacks.set_member_host, row.host);
	callbacks.set_member_port(context, row.port);
	give(context, callbacks.set_member_state, row.state);
	give(context, callbacks.set_member_role, row.role);
	give(context, callbacks.set_member_version, row.version);
	give(context, callbacks.set_member_incoming_communication_protocol, row.stack);
	return false;
}

bool
server_member_stats(unsigned index, const GROUP_REPLICATION_GROUP_MEMBER_STATS_CALLBACKS &callbacks)
{
	struct shim_member_stats row;
	void *context = callbacks.context;

	give(context, callbacks.set_channel_name, SHIM_APPLIER_CHANNEL);
	if (!shim_member_stats(server_shim, index, &row))
		return true;
	give(context, callbacks.set_member_id, row.uuid);
	give(context, callbacks.set_view_id, row.view_id);
	give(context, callbacks.set_transactions_committed, row.committed_all_members);
	give(context, callbacks.set_last_conflict_free_transaction, row.last_conflict_free);
	callbacks.set_transactions_in_queue(context, row.in_queue);
	callbacks.set_transactions_certified(context, row.certified);
	callbacks.set_transactions_conflicts_detected(context, row.conflicts);
	callbacks.set_transactions_rows_in_validation(context, row.rows_validating);
	callbacks.set_transactions_remote_applier_queue(context, row.remote_in_queue);
	callbacks.set_transactions_remote_applied(context, row.remote_applied);
	callbacks.set_transactions_local_proposed(context, row.local_proposed);
	callbacks.set_transactions_local_rollback(context, row.local_rollback);
	return false;
}
