/*
 * mysqlshim/start.h - may START GROUP_REPLICATION go ahead?
 *
 * Group Replication's checks, in its order, each with its code in the error
 * log and its answer to the client; then those of our own, for what comes with
 * a later release. Nothing is changed and nothing remembered here.
 *
 * Errors   an `enum shim_start`, whose numbers are the server's: it turns them
 *          into client errors. FAILED carries a text for the client.
 * Threads  the caller holds LOCK_global_system_variables, so that strings stay.
 */
#ifndef MYSQLSHIM_START_H
#define MYSQLSHIM_START_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mysqlshim/variables.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What START returns to the server, and what its client then gets. */
enum shim_start {
	SHIM_START_OK = 0,
	SHIM_START_CONFIGURATION = 1, /* 3092 */
	SHIM_START_RUNNING = 2,       /* 3093 */
	SHIM_START_APPLIER = 3,       /* 3094 */
	SHIM_START_ENGINE = 4,        /* 3096 */
	SHIM_START_JOIN = 5,          /* 3097 */
	SHIM_START_FAILED = 8,        /* 3663 with our text */
};

enum shim_level {
	SHIM_LEVEL_SYSTEM = 0,
	SHIM_LEVEL_ERROR = 1,
	SHIM_LEVEL_WARNING = 2,
	SHIM_LEVEL_INFORMATION = 3,
};

/* Codes of the server's error log (MY-0xxxxx) that this plugin uses. */
enum shim_log_code {
	SHIM_LOG_OWN_WORDS = 11071,
	SHIM_LOG_APPLIER_FATAL = 11452,
	SHIM_LOG_ONLINE = 11490,
	SHIM_LOG_VIEW = 11503,
	SHIM_LOG_EXPELLED = 11505,
	SHIM_LOG_EXTRA_TRANSACTIONS = 11526,
	SHIM_LOG_NEEDS_INNODB = 11541,
	SHIM_LOG_NEEDS_PRIMARY_KEY = 11542,
	SHIM_LOG_CASCADE = 11543,
	SHIM_LOG_READ_ONLY_ON = 11565,
	SHIM_LOG_READ_ONLY_OFF = 11566,
	SHIM_LOG_BINLOG_FORMAT = 11595,
	SHIM_LOG_SERIALIZABLE = 11598,
	SHIM_LOG_SERVER_ID = 11633,
	SHIM_LOG_FORCE_MEMBERS = 11634,
	SHIM_LOG_UUID_IS_GROUP_NAME = 11642,
	SHIM_LOG_STOPPING = 11650,
	SHIM_LOG_STOPPED = 11651,
	SHIM_LOG_FAILED_ON_BOOT = 11660,
	SHIM_LOG_BINLOG = 11675,
	SHIM_LOG_GTID_MODE = 11676,
	SHIM_LOG_REPLICA_UPDATES = 11677,
	SHIM_LOG_COMMIT_ORDER = 11682,
	SHIM_LOG_MODE_AND_CHECKS = 11683,
	SHIM_LOG_NAME_MISSING = 11685,
	SHIM_LOG_NAME_LONG = 11686,
	SHIM_LOG_NAME_INVALID = 11687,
	SHIM_LOG_QUOTA_MIN = 11688,
	SHIM_LOG_QUOTA_MIN_RECOVERY = 11689,
	SHIM_LOG_QUOTA_MAX = 11690,
	SHIM_LOG_SSL_TEXT = 11691,
	SHIM_LOG_STARTING = 13587,
	SHIM_LOG_ENDPOINTS_FORMAT = 13591,
	SHIM_LOG_ENDPOINTS_INVALID = 13592,
	SHIM_LOG_NAME_ANONYMOUS = 13692,
	SHIM_LOG_VIEW_UUID_INVALID = 13748,
	SHIM_LOG_VIEW_UUID_IS_NAME = 13749,
	SHIM_LOG_NAME_IS_VIEW_UUID = 13750,
	SHIM_LOG_VIEW_UUID_ANONYMOUS = 13751,
	SHIM_LOG_STARTED = 14010,
	/* Client errors that START gives beside 3092. */
	SHIM_CLIENT_ENDPOINTS_FORMAT = 3974,
	SHIM_CLIENT_ENDPOINTS_INVALID = 3975,
};

/* Files of TLS, as the server's ssl_* name them; empty: none. */
struct shim_ssl {
	char ca[SHIM_PATH_CHARS_MAX + 1];
	char capath[SHIM_PATH_CHARS_MAX + 1];
	char crl[SHIM_PATH_CHARS_MAX + 1];
	char crlpath[SHIM_PATH_CHARS_MAX + 1];
	char cert[SHIM_PATH_CHARS_MAX + 1];
	char key[SHIM_PATH_CHARS_MAX + 1];
};

/* This server, as server_services.cc finds it at the moment of START. */
struct shim_server {
	char uuid[SHIM_UUID_CHARS + 1];
	char host[256];
	char version[32];
	unsigned port;
	unsigned admin_port;
	unsigned server_id;
	unsigned long applier_workers;
	bool ready; /* engines are initialised; false while the server boots */
	bool binlog_enabled;
	bool binlog_row_format;
	bool gtid_mode_on;
	bool log_replica_updates;
	bool preserve_commit_order;
	bool group_name_anonymous; /* as struct shim_text has it */
	bool view_change_uuid_anonymous;
	struct shim_ssl ssl;
};

/* One line of the error log, or one client error: by code and its arguments. */
struct shim_words {
	void (*log)(enum shim_level level, enum shim_log_code code, const char *argument);
	void (*log_two)(enum shim_level level, enum shim_log_code code, const char *first,
			const char *second);
	void (*client)(enum shim_log_code code, const char *argument);
};

/* `text` (of `capacity`) is filled for SHIM_START_FAILED. */
enum shim_start shim_start_check(const struct shim_server *server, const struct shim_words *words,
				 char *text, size_t capacity);

#ifdef __cplusplus
}
#endif

#endif /* MYSQLSHIM_START_H */
