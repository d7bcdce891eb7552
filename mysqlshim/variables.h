/*
 * mysqlshim/variables.h - the 59 system variables of group_replication, and
 * what each of them accepts.
 *
 * Names, defaults, ranges, the moment at which a variable may be set, and the
 * texts of the refusals are an interface: scripts and MySQL's own tests depend
 * on them. They are data here (variables.c); server_variables.cc converts the
 * server's values, asks, and passes the answer on.
 *
 * Storage    `struct shim_variables` is what the server writes into: one per
 *            process, since a plugin's variables are declared with their
 *            addresses. Strings are the server's (it copies and frees them);
 *            NULL is a value of its own (group_name, recovery_tls_ciphersuites).
 * Units      as the names say; `_s` is left out where stock names have none.
 * Errors     a refusal: a client error number and its text; number 0 leaves
 *            both to the server ("can't be set to the value of").
 * Threads    the server serialises writers with LOCK_global_system_variables.
 *            Numbers may be read at any time (a stale one is no harm); strings
 *            only under that lock, which is why START takes a copy of what it
 *            needs (`struct shim_settings`).
 */
#ifndef MYSQLSHIM_VARIABLES_H
#define MYSQLSHIM_VARIABLES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Fields have the types that the server's variable declarations ask for. */
struct shim_variables {
	char *group_name;
	char *local_address;
	char *group_seeds;
	char *force_members;
	char *recovery_ssl_ca;
	char *recovery_ssl_capath;
	char *recovery_ssl_cert;
	char *recovery_ssl_cipher;
	char *recovery_ssl_key;
	char *recovery_ssl_crl;
	char *recovery_ssl_crlpath;
	char *recovery_tls_version;
	char *recovery_tls_ciphersuites;
	char *recovery_public_key_path;
	char *recovery_compression_algorithms;
	char *ip_allowlist;
	char *communication_debug_options;
	char *advertise_recovery_endpoints;
	char *view_change_uuid;
	char *key_file;  /* synod.key_file: this server's key, of sealed links */
	char *appliance; /* synod.appliance: "host:port=PUBLICKEY, ..."; empty = embedded */
	unsigned long poll_spin_loops;
	unsigned long member_expel_timeout;
	unsigned long message_cache_size;
	unsigned long recovery_retry_count;
	unsigned long recovery_reconnect_interval;
	unsigned long components_stop_timeout;
	unsigned long auto_increment_increment;
	unsigned long compression_threshold;
	unsigned long communication_max_message_size;
	unsigned long transaction_size_limit;
	unsigned long unreachable_majority_timeout;
	unsigned long ssl_mode;
	unsigned long tls_source;
	unsigned long flow_control_mode;
	unsigned long exit_state_action;
	unsigned long communication_stack;
	unsigned long long gtid_assignment_block_size;
	unsigned long long clone_threshold;
	long flow_control_certifier_threshold;
	long flow_control_applier_threshold;
	long flow_control_min_quota;
	long flow_control_min_recovery_quota;
	long flow_control_max_quota;
	unsigned int recovery_zstd_compression_level;
	unsigned int autorejoin_tries;
	unsigned int member_weight;
	unsigned int preemptive_garbage_collection_rows_threshold;
	int flow_control_member_quota_percent;
	int flow_control_period;
	int flow_control_hold_percent;
	int flow_control_release_percent;
	bool start_on_boot;
	bool bootstrap_group;
	bool recovery_use_ssl;
	bool recovery_ssl_verify_server_cert;
	bool recovery_get_public_key;
	bool single_primary_mode;
	bool enforce_update_everywhere_checks;
	bool paxos_single_leader;
	bool preemptive_garbage_collection;
};

extern struct shim_variables shim_variables;

#define SHIM_UUID_CHARS     36
#define SHIM_PATH_CHARS_MAX 512
#define SHIM_PREFIX         "group_replication_"

/* Client error numbers of the server that setting a variable gives. */
enum shim_error {
	SHIM_ERROR_SERVER_TEXT = 0, /* the server's own: 1231, "can't be set to the value of" */
	SHIM_ERROR_WRONG_VALUE = 1231,
	SHIM_ERROR_CONFIGURATION = 3092,
	SHIM_ERROR_RUNNING = 3093,
	SHIM_ERROR_START_OR_STOP_ONGOING = 3724,
	SHIM_ERROR_WRONG_VALUE_AND_ADVICE = 3976,
	SHIM_ERROR_FORCE_MEMBERS = 4118,
};

struct shim_refusal {
	enum shim_error code;
	char text[1536]; /* zero-terminated; cut where it would not fit */
};

/* Where the plugin is in its life, as far as setting a variable is concerned. */
enum shim_phase {
	SHIM_STOPPED = 0,
	SHIM_CHANGING = 1, /* START or STOP is under way */
	SHIM_RUNNING = 2,
};

/*
 * Each answers whether `name` (with its prefix) may be set to the value in
 * `phase`; if not, `refusal` says why. A variable that has no rule of its own
 * is bounded by the server, and never asked about.
 */

/* An integer as the server has it: 64 bits, and whether they are unsigned. On
 * true, `bits` is what to store: some variables take the nearest bound. */
struct shim_integer {
	uint64_t bits;
	bool is_unsigned;
};

bool shim_variable_integer(const char *name, struct shim_integer *value, enum shim_phase phase,
			   struct shim_refusal *refusal);

bool shim_variable_bool(const char *name, bool value, enum shim_phase phase,
			struct shim_refusal *refusal);

struct shim_text {
	const char *value;   /* may be NULL */
	bool anonymous;      /* a channel gives GTIDs with this UUID to anonymous transactions */
	unsigned port;       /* what this server listens on */
	unsigned admin_port; /* 0: nothing */
	char changed[128];   /* if not empty: store this in its place */
};

bool shim_variable_text(const char *name, struct shim_text *text, enum shim_phase phase,
			struct shim_refusal *refusal);

/* A UUID in one of the forms that the server accepts: 8-4-4-4-12 hexadecimal
 * digits, the same in braces, or 32 digits. */
bool shim_uuid_valid(const char *text);

/* group_replication_flow_control_*_quota, together: what START checks too. */
enum shim_quota {
	SHIM_QUOTA_OK = 0,
	SHIM_QUOTA_MIN = 1,          /* min_quota above max_quota */
	SHIM_QUOTA_MIN_RECOVERY = 2, /* min_recovery_quota above max_quota */
	SHIM_QUOTA_MAX = 3,          /* max_quota below one of them */
};

enum shim_quota shim_quota_min(int64_t value, int64_t max_quota);
enum shim_quota shim_quota_min_recovery(int64_t value, int64_t max_quota);
enum shim_quota shim_quota_max(int64_t value, int64_t min_quota, int64_t min_recovery_quota);

#ifdef __cplusplus
}
#endif

#endif /* MYSQLSHIM_VARIABLES_H */
