/* The declarations of the system variables, in the order that stock has. */
#include <cstring>

#include "my_config.h"

#include "my_sys.h"
#include "mysql/plugin.h"
#include "mysqld_error.h"
#include "sql/mysqld.h"
#include "sql/sql_class.h"
#include "sql/sql_error.h"
#include "sql/sql_plugin_var.h"
#include "typelib.h"

#include "mysqlshim/server_parts.h"

/* Every variable is shown and set like stock's: an option with an optional
 * argument, persisted as a read-only one is. */
constexpr int ORDINARY = PLUGIN_VAR_OPCMDARG | PLUGIN_VAR_PERSIST_AS_READ_ONLY;
constexpr int TEXT = ORDINARY | PLUGIN_VAR_MEMALLOC;
constexpr int NO_DEFAULT = PLUGIN_VAR_NODEFAULT; /* "= DEFAULT" is refused */

constexpr unsigned long ULONG_UNBOUNDED = ~0UL;
constexpr long QUOTA_MAX = INT32_MAX;
constexpr unsigned long YEAR_S = 31536000;

static enum shim_phase
phase(void)
{
	return server_shim ? shim_phase(server_shim) : SHIM_STOPPED;
}

static int
refused(const struct shim_refusal &refusal)
{
	if (refusal.code != SHIM_ERROR_SERVER_TEXT)
		my_message(refusal.code, refusal.text, MYF(0));
	return 1;
}

static int
check_integer(MYSQL_THD, SYS_VAR *var, void *save, struct st_mysql_value *value)
{
	struct shim_integer integer;
	struct shim_refusal refusal;
	long long given = 0;

	value->val_int(value, &given);
	integer.bits = static_cast<uint64_t>(given);
	integer.is_unsigned = value->is_unsigned(value) != 0;
	if (!shim_variable_integer(var->name, &integer, phase(), &refusal))
		return refused(refusal);
	int type = var->flags & PLUGIN_VAR_TYPEMASK;
	if (type == PLUGIN_VAR_INT)
		*static_cast<unsigned int *>(save) = static_cast<unsigned int>(integer.bits);
	else
		*static_cast<uint64_t *>(save) = integer.bits;
	return 0;
}

/* ON, OFF or a number; a text must be one of the two words. */
static bool
read_bool(struct st_mysql_value *value, bool *given)
{
	if (value->value_type(value) != MYSQL_VALUE_TYPE_STRING) {
		long long number = 0;
		value->val_int(value, &number);
		*given = number > 0;
		return true;
	}
	char room[16];
	int chars = sizeof room;
	const char *text = value->val_str(value, room, &chars);
	if (!text)
		return false;
	*given = strcasecmp(text, "ON") == 0;
	return *given || strcasecmp(text, "OFF") == 0;
}

static int
check_bool(MYSQL_THD, SYS_VAR *var, void *save, struct st_mysql_value *value)
{
	struct shim_refusal refusal;
	bool given;

	if (!read_bool(value, &given))
		return 1;
	if (!shim_variable_bool(var->name, given, phase(), &refusal))
		return refused(refusal);
	*static_cast<bool *>(save) = given;
	return 0;
}

static int
check_text(MYSQL_THD thd, SYS_VAR *var, void *save, struct st_mysql_value *value)
{
	struct shim_server self;
	struct shim_refusal refusal;
	struct shim_text text = {};
	char room[1024];
	int chars = sizeof room;

	*static_cast<const char **>(save) = nullptr;
	const char *given = value->val_str(value, room, &chars);
	if (given)
		given = thd->strmake(given, static_cast<size_t>(chars));
	server_describe(&self);
	text.value = given;
	text.anonymous = server_uuid_is_anonymous(given);
	text.port = self.port;
	text.admin_port = self.admin_port;
	if (!shim_variable_text(var->name, &text, phase(), &refusal))
		return refused(refusal);
	if (text.changed[0] != '\0')
		given = thd->strmake(text.changed, strlen(text.changed));
	*static_cast<const char **>(save) = given;
	return 0;
}

static int
check_deprecated_text(MYSQL_THD thd, SYS_VAR *var, void *save, struct st_mysql_value *value)
{
	push_deprecated_warn_no_replacement(thd, var->name);
	return check_text(thd, var, save, value);
}

static void
update_communication_stack(MYSQL_THD thd, SYS_VAR *, void *target, const void *save)
{
	unsigned long stack = *static_cast<const unsigned long *>(save);

	*static_cast<unsigned long *>(target) = stack;
	if (stack == 0)
		push_deprecated_warn(thd, "group_replication_communication_stack=XCOM",
				     "group_replication_communication_stack=MYSQL");
}

static const char *ssl_mode_words[] = {"DISABLED", "REQUIRED", "VERIFY_CA", "VERIFY_IDENTITY",
				       nullptr};
static TYPELIB ssl_mode_lib = {4, "ssl_mode", ssl_mode_words, nullptr};
static const char *flow_control_mode_words[] = {"DISABLED", "QUOTA", nullptr};
static TYPELIB flow_control_mode_lib = {2, "flow_control_mode", flow_control_mode_words, nullptr};
static const char *exit_state_action_words[] = {"READ_ONLY", "ABORT_SERVER", "OFFLINE_MODE",
						nullptr};
static TYPELIB exit_state_action_lib = {3, "exit_state_action", exit_state_action_words, nullptr};
static const char *tls_source_words[] = {"MYSQL_MAIN", "MYSQL_ADMIN", nullptr};
static TYPELIB tls_source_lib = {2, "tls_source", tls_source_words, nullptr};
static const char *communication_stack_words[] = {"XCOM", "MYSQL", nullptr};
static TYPELIB communication_stack_lib = {2, "communication_stack", communication_stack_words,
					  nullptr};

static MYSQL_SYSVAR_STR(group_name, shim_variables.group_name, TEXT | NO_DEFAULT,
			"The UUID that names the group and prefixes its GTIDs.", check_text,
			nullptr, nullptr);
static MYSQL_SYSVAR_BOOL(start_on_boot, shim_variables.start_on_boot, ORDINARY,
			 "Start Group Replication when the server starts.", nullptr, nullptr, 1);
static MYSQL_SYSVAR_STR(local_address, shim_variables.local_address, TEXT,
			"The identity of this member inside the group, host:port.", nullptr,
			nullptr, "");
static MYSQL_SYSVAR_STR(group_seeds, shim_variables.group_seeds, TEXT,
			"Members to ask when joining, host:port separated by commas.", nullptr,
			nullptr, "");
static MYSQL_SYSVAR_STR(
	force_members, shim_variables.force_members,
	(TEXT & ~PLUGIN_VAR_PERSIST_AS_READ_ONLY) | PLUGIN_VAR_NOPERSIST,
	"Members, separated by commas, that form the group after a majority was lost.", check_text,
	nullptr, "");
static MYSQL_SYSVAR_BOOL(bootstrap_group, shim_variables.bootstrap_group, ORDINARY,
			 "The next START creates the group in place of joining it.", nullptr,
			 nullptr, 0);
static MYSQL_SYSVAR_ULONG(poll_spin_loops, shim_variables.poll_spin_loops, ORDINARY,
			  "Accepted and shown; without effect.", nullptr, nullptr, 0, 0,
			  ULONG_UNBOUNDED, 0);
static MYSQL_SYSVAR_ULONG(member_expel_timeout, shim_variables.member_expel_timeout, ORDINARY,
			  "Seconds between the suspicion of a member and its removal.",
			  check_integer, nullptr, 5, 0, 3600, 0);
static MYSQL_SYSVAR_ULONG(message_cache_size, shim_variables.message_cache_size, ORDINARY,
			  "Accepted and shown; without effect.", check_integer, nullptr, 1073741824,
			  134217728, ULONG_UNBOUNDED, 0);
static MYSQL_SYSVAR_ULONG(recovery_retry_count, shim_variables.recovery_retry_count, ORDINARY,
			  "How often a joiner tries to reach a donor.", check_integer, nullptr, 10,
			  0, YEAR_S, 0);
static MYSQL_SYSVAR_ULONG(recovery_reconnect_interval, shim_variables.recovery_reconnect_interval,
			  ORDINARY, "Seconds to wait when no donor was found.", check_integer,
			  nullptr, 60, 0, YEAR_S, 0);
static MYSQL_SYSVAR_BOOL(recovery_use_ssl, shim_variables.recovery_use_ssl, ORDINARY,
			 "Use TLS towards a donor.", check_bool, nullptr, 1);
static MYSQL_SYSVAR_STR(recovery_ssl_ca, shim_variables.recovery_ssl_ca, TEXT,
			"File of trusted certificate authorities, towards a donor.", check_text,
			nullptr, "");
static MYSQL_SYSVAR_STR(recovery_ssl_capath, shim_variables.recovery_ssl_capath, TEXT,
			"Folder of trusted certificate authorities, towards a donor.", check_text,
			nullptr, "");
static MYSQL_SYSVAR_STR(recovery_ssl_cert, shim_variables.recovery_ssl_cert, TEXT,
			"File of the certificate, towards a donor.", check_text, nullptr, "");
static MYSQL_SYSVAR_STR(recovery_ssl_cipher, shim_variables.recovery_ssl_cipher, TEXT,
			"Permitted ciphers, towards a donor.", check_text, nullptr, "");
static MYSQL_SYSVAR_STR(recovery_ssl_key, shim_variables.recovery_ssl_key, TEXT,
			"File of the key, towards a donor.", check_text, nullptr, "");
static MYSQL_SYSVAR_STR(recovery_ssl_crl, shim_variables.recovery_ssl_crl, TEXT,
			"File of revoked certificates, towards a donor.", check_text, nullptr, "");
static MYSQL_SYSVAR_STR(recovery_ssl_crlpath, shim_variables.recovery_ssl_crlpath, TEXT,
			"Folder of revoked certificates, towards a donor.", check_text, nullptr,
			"");
static MYSQL_SYSVAR_BOOL(recovery_ssl_verify_server_cert,
			 shim_variables.recovery_ssl_verify_server_cert, ORDINARY,
			 "Check the name in the certificate of a donor.", check_bool, nullptr, 0);
static MYSQL_SYSVAR_STR(recovery_tls_version, shim_variables.recovery_tls_version, TEXT,
			"Permitted TLS versions, towards a donor.", check_text, nullptr,
			"TLSv1.2,TLSv1.3");
static MYSQL_SYSVAR_STR(recovery_tls_ciphersuites, shim_variables.recovery_tls_ciphersuites, TEXT,
			"Permitted TLS 1.3 ciphersuites, towards a donor.", check_text, nullptr,
			nullptr);
static MYSQL_SYSVAR_STR(recovery_public_key_path, shim_variables.recovery_public_key_path, TEXT,
			"File of the public key of a donor.", check_text, nullptr, "");
static MYSQL_SYSVAR_BOOL(recovery_get_public_key, shim_variables.recovery_get_public_key, ORDINARY,
			 "Ask a donor for its public key.", check_bool, nullptr, 0);
static MYSQL_SYSVAR_ULONG(components_stop_timeout, shim_variables.components_stop_timeout, ORDINARY,
			  "Seconds that STOP waits for each part of the plugin.", check_integer,
			  nullptr, 300, 2, YEAR_S, 0);
static MYSQL_SYSVAR_ULONG(auto_increment_increment, shim_variables.auto_increment_increment,
			  ORDINARY | NO_DEFAULT,
			  "Distance between automatic values in multi-primary mode.", check_integer,
			  nullptr, 7, 1, 65535, 0);
static MYSQL_SYSVAR_ULONG(compression_threshold, shim_variables.compression_threshold,
			  ORDINARY | NO_DEFAULT, "Accepted and shown; without effect.",
			  check_integer, nullptr, 1000000, 0, UINT32_MAX, 0);
static MYSQL_SYSVAR_ULONG(communication_max_message_size,
			  shim_variables.communication_max_message_size, ORDINARY,
			  "Accepted and shown; without effect.", check_integer, nullptr, 10485760,
			  0, 1073741824, 0);
static MYSQL_SYSVAR_ULONGLONG(gtid_assignment_block_size, shim_variables.gtid_assignment_block_size,
			      ORDINARY | NO_DEFAULT, "Consecutive GTIDs reserved for each member.",
			      check_integer, nullptr, 1000000, 1, INT64_MAX, 0);
static MYSQL_SYSVAR_ENUM(ssl_mode, shim_variables.ssl_mode, ORDINARY,
			 "Protection of the links between members.", nullptr, nullptr, 1,
			 &ssl_mode_lib);
static MYSQL_SYSVAR_STR(ip_allowlist, shim_variables.ip_allowlist, TEXT | NO_DEFAULT,
			"Addresses that may connect, or AUTOMATIC.", check_deprecated_text, nullptr,
			"AUTOMATIC");
static MYSQL_SYSVAR_BOOL(single_primary_mode, shim_variables.single_primary_mode,
			 ORDINARY | NO_DEFAULT, "One member writes, the others read.", check_bool,
			 nullptr, true);
static MYSQL_SYSVAR_BOOL(enforce_update_everywhere_checks,
			 shim_variables.enforce_update_everywhere_checks, ORDINARY | NO_DEFAULT,
			 "Strict checks of what multi-primary mode cannot serve.", check_bool,
			 nullptr, false);
static MYSQL_SYSVAR_ENUM(flow_control_mode, shim_variables.flow_control_mode, ORDINARY,
			 "Whether writers wait for members that lag.", nullptr, nullptr, 1,
			 &flow_control_mode_lib);
static MYSQL_SYSVAR_LONG(flow_control_certifier_threshold,
			 shim_variables.flow_control_certifier_threshold, ORDINARY,
			 "Transactions waiting for certification that start flow control.", nullptr,
			 nullptr, 25000, 0, QUOTA_MAX, 0);
static MYSQL_SYSVAR_LONG(flow_control_applier_threshold,
			 shim_variables.flow_control_applier_threshold, ORDINARY,
			 "Transactions waiting to be applied that start flow control.", nullptr,
			 nullptr, 25000, 0, QUOTA_MAX, 0);
static MYSQL_SYSVAR_ULONG(transaction_size_limit, shim_variables.transaction_size_limit, ORDINARY,
			  "Largest transaction in bytes; 0 is no limit.", nullptr, nullptr,
			  150000000, 0, 2147483647, 0);
static MYSQL_SYSVAR_STR(communication_debug_options, shim_variables.communication_debug_options,
			TEXT, "Accepted and shown; without effect.", check_text, nullptr,
			"GCS_DEBUG_NONE");
static MYSQL_SYSVAR_ENUM(exit_state_action, shim_variables.exit_state_action, ORDINARY,
			 "What a server does that has left the group involuntarily.", nullptr,
			 nullptr, 2, &exit_state_action_lib);
static MYSQL_SYSVAR_UINT(autorejoin_tries, shim_variables.autorejoin_tries, ORDINARY,
			 "How often an expelled member tries to join again.", check_integer,
			 nullptr, 3, 0, 2016, 0);
static MYSQL_SYSVAR_ULONG(unreachable_majority_timeout, shim_variables.unreachable_majority_timeout,
			  ORDINARY, "Seconds without a majority before leaving; 0 is for ever.",
			  check_integer, nullptr, 0, 0, YEAR_S, 0);
static MYSQL_SYSVAR_UINT(member_weight, shim_variables.member_weight, ORDINARY,
			 "Weight of this member in the election of a primary.", check_integer,
			 nullptr, 50, 0, 100, 0);
static MYSQL_SYSVAR_LONG(flow_control_min_quota, shim_variables.flow_control_min_quota, ORDINARY,
			 "Smallest quota given to a member; 0 is 5% of the thresholds.",
			 check_integer, nullptr, 0, 0, QUOTA_MAX, 0);
static MYSQL_SYSVAR_LONG(flow_control_min_recovery_quota,
			 shim_variables.flow_control_min_recovery_quota, ORDINARY,
			 "Smallest quota given while a member recovers; 0 is none.", check_integer,
			 nullptr, 0, 0, QUOTA_MAX, 0);
static MYSQL_SYSVAR_LONG(flow_control_max_quota, shim_variables.flow_control_max_quota, ORDINARY,
			 "Largest quota of the group while flow control holds; 0 is none.",
			 check_integer, nullptr, 0, 0, QUOTA_MAX, 0);
static MYSQL_SYSVAR_INT(flow_control_member_quota_percent,
			shim_variables.flow_control_member_quota_percent, ORDINARY,
			"Share of the quota for this member; 0 is an equal one.", nullptr, nullptr,
			0, 0, 100, 0);
static MYSQL_SYSVAR_INT(flow_control_period, shim_variables.flow_control_period, ORDINARY,
			"Seconds between two steps of flow control.", nullptr, nullptr, 1, 1, 60,
			0);
static MYSQL_SYSVAR_INT(flow_control_hold_percent, shim_variables.flow_control_hold_percent,
			ORDINARY, "Part of the quota left unused to catch up.", nullptr, nullptr,
			10, 0, 100, 0);
static MYSQL_SYSVAR_INT(flow_control_release_percent, shim_variables.flow_control_release_percent,
			ORDINARY, "Growth of the quota when flow control lets go.", nullptr,
			nullptr, 50, 0, 1000, 0);
static MYSQL_SYSVAR_ULONGLONG(clone_threshold, shim_variables.clone_threshold, ORDINARY,
			      "Missing transactions from which a joiner is cloned.", check_integer,
			      nullptr, INT64_MAX, 1, INT64_MAX, 0);
static MYSQL_SYSVAR_STR(recovery_compression_algorithms,
			shim_variables.recovery_compression_algorithms, TEXT,
			"Compression towards a donor.", check_text, nullptr, "uncompressed");
static MYSQL_SYSVAR_UINT(recovery_zstd_compression_level,
			 shim_variables.recovery_zstd_compression_level, ORDINARY,
			 "Level of zstd towards a donor.", check_integer, nullptr, 3, 1, 22, 0);
static MYSQL_SYSVAR_BOOL(paxos_single_leader, shim_variables.paxos_single_leader, ORDINARY,
			 "One leader orders for all, in single-primary mode.", check_bool, nullptr,
			 0);
static MYSQL_SYSVAR_STR(advertise_recovery_endpoints, shim_variables.advertise_recovery_endpoints,
			TEXT,
			"Where joiners reach this server as a donor, address:port, or DEFAULT.",
			check_text, nullptr, "DEFAULT");
static MYSQL_SYSVAR_ENUM(tls_source, shim_variables.tls_source, ORDINARY,
			 "Which TLS configuration of the server protects the links.", nullptr,
			 nullptr, 0, &tls_source_lib);
static MYSQL_SYSVAR_STR(view_change_uuid, shim_variables.view_change_uuid, TEXT,
			"Accepted and shown; without effect.", check_deprecated_text, nullptr,
			"AUTOMATIC");
static MYSQL_SYSVAR_ENUM(communication_stack, shim_variables.communication_stack, ORDINARY,
			 "Shown as the transport of the group.", nullptr,
			 update_communication_stack, 0, &communication_stack_lib);
static MYSQL_SYSVAR_BOOL(preemptive_garbage_collection,
			 shim_variables.preemptive_garbage_collection, ORDINARY | NO_DEFAULT,
			 "Clear the certification index in single-primary mode.", check_bool,
			 nullptr, 0);
static MYSQL_SYSVAR_UINT(preemptive_garbage_collection_rows_threshold,
			 shim_variables.preemptive_garbage_collection_rows_threshold, ORDINARY,
			 "Rows in the index that start it.", nullptr, nullptr, 100000, 10000,
			 100000000, 0);

struct SYS_VAR *server_variables[] = {
	MYSQL_SYSVAR(group_name),
	MYSQL_SYSVAR(start_on_boot),
	MYSQL_SYSVAR(local_address),
	MYSQL_SYSVAR(group_seeds),
	MYSQL_SYSVAR(force_members),
	MYSQL_SYSVAR(bootstrap_group),
	MYSQL_SYSVAR(poll_spin_loops),
	MYSQL_SYSVAR(member_expel_timeout),
	MYSQL_SYSVAR(message_cache_size),
	MYSQL_SYSVAR(recovery_retry_count),
	MYSQL_SYSVAR(recovery_reconnect_interval),
	MYSQL_SYSVAR(recovery_use_ssl),
	MYSQL_SYSVAR(recovery_ssl_ca),
	MYSQL_SYSVAR(recovery_ssl_capath),
	MYSQL_SYSVAR(recovery_ssl_cert),
	MYSQL_SYSVAR(recovery_ssl_cipher),
	MYSQL_SYSVAR(recovery_ssl_key),
	MYSQL_SYSVAR(recovery_ssl_crl),
	MYSQL_SYSVAR(recovery_ssl_crlpath),
	MYSQL_SYSVAR(recovery_ssl_verify_server_cert),
	MYSQL_SYSVAR(recovery_tls_version),
	MYSQL_SYSVAR(recovery_tls_ciphersuites),
	MYSQL_SYSVAR(recovery_public_key_path),
	MYSQL_SYSVAR(recovery_get_public_key),
	MYSQL_SYSVAR(components_stop_timeout),
	MYSQL_SYSVAR(auto_increment_increment),
	MYSQL_SYSVAR(compression_threshold),
	MYSQL_SYSVAR(communication_max_message_size),
	MYSQL_SYSVAR(gtid_assignment_block_size),
	MYSQL_SYSVAR(ssl_mode),
	MYSQL_SYSVAR(ip_allowlist),
	MYSQL_SYSVAR(single_primary_mode),
	MYSQL_SYSVAR(enforce_update_everywhere_checks),
	MYSQL_SYSVAR(flow_control_mode),
	MYSQL_SYSVAR(flow_control_certifier_threshold),
	MYSQL_SYSVAR(flow_control_applier_threshold),
	MYSQL_SYSVAR(transaction_size_limit),
	MYSQL_SYSVAR(communication_debug_options),
	MYSQL_SYSVAR(exit_state_action),
	MYSQL_SYSVAR(autorejoin_tries),
	MYSQL_SYSVAR(unreachable_majority_timeout),
	MYSQL_SYSVAR(member_weight),
	MYSQL_SYSVAR(flow_control_min_quota),
	MYSQL_SYSVAR(flow_control_min_recovery_quota),
	MYSQL_SYSVAR(flow_control_max_quota),
	MYSQL_SYSVAR(flow_control_member_quota_percent),
	MYSQL_SYSVAR(flow_control_period),
	MYSQL_SYSVAR(flow_control_hold_percent),
	MYSQL_SYSVAR(flow_control_release_percent),
	MYSQL_SYSVAR(clone_threshold),
	MYSQL_SYSVAR(recovery_compression_algorithms),
	MYSQL_SYSVAR(recovery_zstd_compression_level),
	MYSQL_SYSVAR(paxos_single_leader),
	MYSQL_SYSVAR(advertise_recovery_endpoints),
	MYSQL_SYSVAR(tls_source),
	MYSQL_SYSVAR(view_change_uuid),
	MYSQL_SYSVAR(communication_stack),
	MYSQL_SYSVAR(preemptive_garbage_collection),
	MYSQL_SYSVAR(preemptive_garbage_collection_rows_threshold),
	nullptr,
};
