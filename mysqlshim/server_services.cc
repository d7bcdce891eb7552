/* The services of the server that the shim uses: log, registry, itself. */
#define LOG_COMPONENT_TAG "group_replication"
#define LOG_SUBSYSTEM_TAG "Repl"

#include <cstdio>

#include "my_config.h"

#include "my_sys.h"
#include "mysql/components/my_service.h"
#include "mysql/components/services/component_sys_var_service.h"
#include "mysql/components/services/log_builtins.h"
#include "mysql/components/services/mysql_system_variable.h"
#include "mysql/group_replication_priv.h"
#include "mysql/plugin.h"
#include "mysql/service_plugin_registry.h"
#include "mysqld_error.h"
#include "sql/mysqld.h"
#include "sql/replication.h"
#include "sql/rpl_channel_service_interface.h"

#include "mysqlshim/server_parts.h"

static SERVICE_TYPE(registry) * reg_srv;
SERVICE_TYPE(log_builtins) * log_bi;
SERVICE_TYPE(log_builtins_string) * log_bs;

static_assert(SHIM_LOG_OWN_WORDS == ER_LOG_PRINTF_MSG);
static_assert(SHIM_LOG_BINLOG == ER_GRP_RPL_BINLOG_DISABLED);
static_assert(SHIM_LOG_BINLOG_FORMAT == ER_GRP_RPL_INVALID_BINLOG_FORMAT);
static_assert(SHIM_LOG_NAME_MISSING == ER_GRP_RPL_GRP_NAME_OPTION_MANDATORY);
static_assert(SHIM_LOG_SERVER_ID == ER_GRP_RPL_FAILED_TO_START_WITH_INVALID_SERVER_ID);
static_assert(SHIM_LOG_APPLIER_FATAL == ER_GRP_RPL_APPLIER_EXECUTION_FATAL_ERROR);
static_assert(SHIM_LOG_ONLINE == ER_GRP_RPL_SRV_ONLINE);
static_assert(SHIM_LOG_VIEW == ER_GRP_RPL_MEMBER_CHANGE);
static_assert(SHIM_LOG_EXPELLED == ER_GRP_RPL_MEMBER_EXPELLED);
static_assert(SHIM_LOG_NEEDS_INNODB == ER_GRP_RPL_NEEDS_INNODB_TABLE);
static_assert(SHIM_LOG_NEEDS_PRIMARY_KEY == ER_GRP_RPL_PRIMARY_KEY_NOT_DEFINED);
static_assert(SHIM_LOG_READ_ONLY_ON == ER_GRP_RPL_SUPER_READ_ON);
static_assert(SHIM_LOG_READ_ONLY_OFF == ER_GRP_RPL_SUPER_READ_OFF);
static_assert(SHIM_LOG_STARTED == ER_GRP_RPL_HAS_STARTED);
static_assert(SHIM_LOG_UUID_IS_GROUP_NAME ==
	      ER_GRP_RPL_MEMBER_SERVER_UUID_IS_INCOMPATIBLE_WITH_GRP);
static_assert(SHIM_CLIENT_ENDPOINTS_FORMAT == ER_DA_GRP_RPL_RECOVERY_ENDPOINT_FORMAT);
static_assert(SHIM_CLIENT_ENDPOINTS_INVALID == ER_DA_GRP_RPL_RECOVERY_ENDPOINT_INVALID);
static_assert(SHIM_ERROR_WRONG_VALUE == ER_WRONG_VALUE_FOR_VAR);
static_assert(SHIM_ERROR_CONFIGURATION == ER_GROUP_REPLICATION_CONFIGURATION);
static_assert(SHIM_ERROR_RUNNING == ER_GROUP_REPLICATION_RUNNING);
static_assert(SHIM_ERROR_START_OR_STOP_ONGOING == ER_UNABLE_TO_SET_OPTION);
static_assert(SHIM_ERROR_WRONG_VALUE_AND_ADVICE == ER_WRONG_VALUE_FOR_VAR_PLUS_ACTIONABLE_PART);
static_assert(SHIM_ERROR_FORCE_MEMBERS == ER_GROUP_REPLICATION_FORCE_MEMBERS_COMMAND_FAILURE);

/* The log has a text of its own for every code, and takes from us what it
 * leaves open: at most two places, and where there are two they are the same. */
static void
write_log(enum shim_level level, enum shim_log_code code, const char *argument)
{
	const enum loglevel levels[] = {SYSTEM_LEVEL, ERROR_LEVEL, WARNING_LEVEL,
					INFORMATION_LEVEL};

	if (code == SHIM_LOG_OWN_WORDS)
		LogPluginErrMsg(levels[level], ER_LOG_PRINTF_MSG, "%s", argument);
	else
		LogPluginErr(levels[level], code, argument, argument);
}

static void
write_log_two(enum shim_level level, enum shim_log_code code, const char *first, const char *second)
{
	const enum loglevel levels[] = {SYSTEM_LEVEL, ERROR_LEVEL, WARNING_LEVEL,
					INFORMATION_LEVEL};

	LogPluginErr(levels[level], code, first, second);
}

static void
client_error(enum shim_log_code code, const char *argument)
{
	my_error(static_cast<int>(code), MYF(0), argument);
}

const struct shim_words server_words = {write_log, write_log_two, client_error};

/* The server hands us a copy of the new value and frees the old one itself. */
static void
text_update(MYSQL_THD, SYS_VAR *, void *target, const void *save)
{
	*static_cast<const char **>(target) = *static_cast<const char *const *>(save);
}

static void
appliance_unregister(void)
{
	my_service<SERVICE_TYPE(component_sys_variable_unregister)> service(
		"component_sys_variable_unregister", reg_srv);

	if (service.is_valid()) {
		service->unregister_variable("synod", "appliance");
		service->unregister_variable("synod", "key_file");
	}
	shim_variables.appliance = nullptr;
	shim_variables.key_file = nullptr;
}

static bool
appliance_register(void)
{
	my_service<SERVICE_TYPE(component_sys_variable_register)> service(
		"component_sys_variable_register", reg_srv);
	STR_CHECK_ARG(str) check;
	char empty[] = "";

	if (!service.is_valid())
		return true;
	check.def_val = empty;
	if (service->register_variable(
		    "synod", "appliance", PLUGIN_VAR_STR | PLUGIN_VAR_MEMALLOC,
		    "The nodes of the appliance that serves this server's group, as "
		    "'host:port=PUBLICKEY, ...'. Empty: the engine runs in this server.",
		    nullptr, text_update, &check, &shim_variables.appliance) != 0)
		return true;
	if (service->register_variable(
		    "synod", "key_file", PLUGIN_VAR_STR | PLUGIN_VAR_MEMALLOC,
		    "The file that holds this server's own key, made by synodctl key new. It is "
		    "needed where synod.appliance names public keys.",
		    nullptr, text_update, &check, &shim_variables.key_file) == 0)
		return false;
	appliance_unregister();
	return true;
}

bool
server_services_init(void)
{
	if (init_logging_service_for_plugin(&reg_srv, &log_bi, &log_bs))
		return true;
	if (!appliance_register())
		return false;
	write_log(SHIM_LEVEL_ERROR, SHIM_LOG_OWN_WORDS,
		  "The variables synod.appliance and synod.key_file could not be registered.");
	deinit_logging_service_for_plugin(&reg_srv, &log_bi, &log_bs);
	return true;
}

void
server_services_deinit(void)
{
	appliance_unregister();
	deinit_logging_service_for_plugin(&reg_srv, &log_bi, &log_bs);
}

void
server_describe(struct shim_server *server)
{
	char *host = nullptr, *uuid = nullptr;
	unsigned version = 0;

	*server = shim_server{};
	get_server_parameters(&host, &server->port, &uuid, &version, &server->admin_port);
	snprintf(server->uuid, sizeof server->uuid, "%s", uuid);
	snprintf(server->host, sizeof server->host, "%s", host);
	/* Two decimal digits per part, one to each hexadecimal digit. */
	snprintf(server->version, sizeof server->version, "%x.%x.%x", version >> 16,
		 version >> 8 & 0xff, version & 0xff);
	server->server_id = static_cast<unsigned>(::server_id);
	/* The default channel exists when the replica's structures are there. */
	server->ready = channel_is_active("", CHANNEL_NO_THD);
}

/* A text of the server's, empty where it is NULL; the service takes the locks. */
static void
server_text(const char *name, char *out, size_t capacity)
{
	my_service<SERVICE_TYPE(mysql_system_variable_reader)> service(
		"mysql_system_variable_reader", reg_srv);
	size_t chars = capacity - 1;
	void *value = out;

	if (!service.is_valid() ||
	    service->get(nullptr, "GLOBAL", "mysql_server", name, &value, &chars) || value != out)
		chars = 0;
	out[chars] = '\0';
}

void
server_requirements(struct shim_server *server)
{
	Trans_context_info info;

	get_server_startup_prerequirements(info);
	server->binlog_enabled = info.binlog_enabled;
	server->binlog_row_format = info.binlog_format == BINLOG_FORMAT_ROW;
	server->gtid_mode_on = info.gtid_mode == Gtid_mode::ON;
	server->log_replica_updates = info.log_replica_updates;
	server->applier_workers = info.parallel_applier_workers;
	server->preserve_commit_order = info.parallel_applier_preserve_commit_order;
	server_text("ssl_ca", server->ssl.ca, sizeof server->ssl.ca);
	server_text("ssl_capath", server->ssl.capath, sizeof server->ssl.capath);
	server_text("ssl_crl", server->ssl.crl, sizeof server->ssl.crl);
	server_text("ssl_crlpath", server->ssl.crlpath, sizeof server->ssl.crlpath);
	server_text("ssl_cert", server->ssl.cert, sizeof server->ssl.cert);
	server_text("ssl_key", server->ssl.key, sizeof server->ssl.key);
	server_lock_variables();
	server->group_name_anonymous = server_uuid_is_anonymous(shim_variables.group_name);
	server->view_change_uuid_anonymous =
		server_uuid_is_anonymous(shim_variables.view_change_uuid);
	server_unlock_variables();
}

bool
server_uuid_is_anonymous(const char *uuid)
{
	return uuid && channel_has_same_uuid_as_group_name(uuid);
}

void
server_lock_variables(void)
{
	mysql_mutex_lock(&LOCK_global_system_variables);
}

void
server_unlock_variables(void)
{
	mysql_mutex_unlock(&LOCK_global_system_variables);
}
