#include "mysqlshim/variables.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/must.h"
#include "mysqlshim/endpoints.h"

struct shim_variables shim_variables;

#define COUNT(array)   (sizeof(array) / sizeof((array)[0]))
#define QUOTA_MAX      INT32_MAX
#define TIMEOUT_S_MAX  31536000 /* a year */
#define ALLOWLIST_AUTO "automatic"
#define VIEW_UUID_AUTO "AUTOMATIC"
#define WORDS_MAX      64 /* of communication_debug_options; more are refused */

/*
 * A value outside min..max is clamped, or refused with "The value V" followed
 * by `outside`; where that is NULL the server finds the words. `running` is the
 * refusal while the group is running; NULL: it may be set then.
 */
struct integer_rule {
	const char *name;
	int64_t min;
	uint64_t max;
	bool clamp;
	bool is_unsigned; /* judged as 64 unsigned bits; the others as signed ones */
	bool any_phase;   /* also while START or STOP is under way */
	const char *quote;
	const char *outside;
	const char *running;
};

static const struct integer_rule integer_rules[] = {
	{.name = "auto_increment_increment",
	 .min = 1,
	 .max = 65535,
	 .outside = " is not within the range of accepted values for the option "
		    "group_replication_auto_increment_increment. The value must be between 1 "
		    "and 65535 inclusive.",
	 .running = "The group group_replication_auto_increment_increment cannot be changed when "
		    "Group Replication is running"},
	{.name = "compression_threshold",
	 .max = UINT32_MAX,
	 .outside = " is not within the range of accepted values for the option "
		    "group_replication_compression_threshold!",
	 .running = "The group_replication_compression_threshold cannot be set while Group "
		    "Replication is running"},
	{.name = "communication_max_message_size",
	 .max = 1073741824,
	 .outside = " is not within the range of accepted values for the "
		    "group_replication_communication_max_message_size option. Use 0 to disable "
		    "message fragmentation, or specify a value up to 1073741824.",
	 .running = "The group_replication_communication_max_message_size option cannot be set "
		    "while Group Replication is running"},
	{.name = "gtid_assignment_block_size",
	 .min = 1,
	 .max = INT64_MAX,
	 .outside = " is not within the range of accepted values for the option "
		    "group_replication_gtid_assignment_block_size.The value must be between 1 "
		    "and 9223372036854775807 inclusive.",
	 .running = "The group_replication_gtid_assignment_block size cannot be set while Group "
		    "Replication is running"},
	{.name = "message_cache_size",
	 .min = 134217728,
	 .max = UINT64_MAX,
	 .is_unsigned = true,
	 .outside = " is not within the range of accepted values for the option "
		    "group_replication_message_cache_size. The value must be between 134217728 "
		    "and 18446744073709551615 inclusive."},
	{.name = "clone_threshold",
	 .min = 1,
	 .max = INT64_MAX,
	 .is_unsigned = true,
	 .outside = " is not within the range of accepted values for the option "
		    "group_replication_clone_threshold. The value must be between 1 and "
		    "9223372036854775807 inclusive."},
	{.name = "recovery_zstd_compression_level",
	 .min = 1,
	 .max = 22,
	 .quote = "'",
	 .outside = " is invalid for group_replication_recovery_zstd_compression_level option."},
	{.name = "member_expel_timeout", .max = 3600},
	{.name = "autorejoin_tries", .max = 2016},
	{.name = "member_weight", .max = 100, .clamp = true},
	{.name = "recovery_retry_count", .max = TIMEOUT_S_MAX, .clamp = true},
	{.name = "recovery_reconnect_interval", .max = TIMEOUT_S_MAX, .clamp = true},
	{.name = "components_stop_timeout", .min = 2, .max = TIMEOUT_S_MAX, .clamp = true},
	{.name = "unreachable_majority_timeout", .max = TIMEOUT_S_MAX, .clamp = true},
	{.name = "flow_control_min_quota", .max = QUOTA_MAX, .clamp = true, .any_phase = true},
	{.name = "flow_control_min_recovery_quota",
	 .max = QUOTA_MAX,
	 .clamp = true,
	 .any_phase = true},
	{.name = "flow_control_max_quota", .max = QUOTA_MAX, .clamp = true, .any_phase = true},
};

static const struct {
	const char *name;
	const char *running;
} switch_rules[] = {
	{"single_primary_mode",
	 "Cannot modify group replication mode by changing group_replication_single_primary_mode "
	 "system variable. Please use the "
	 "group_replication_switch_to_single_primary_mode([member_uuid]) OR "
	 "group_replication_switch_to_multi_primary_mode() UDF."},
	{"enforce_update_everywhere_checks",
	 "Cannot turn ON/OFF group_replication_enforce_update_everywhere_checks mode while Group "
	 "Replication is running."},
	{"preemptive_garbage_collection",
	 "The group_replication_preemptive_garbage_collection cannot be changed when Group "
	 "Replication is running"},
};

__attribute__((format(printf, 3, 4))) static bool
refuse(struct shim_refusal *refusal, enum shim_error code, const char *format, ...)
{
	va_list args;

	refusal->code = code;
	va_start(args, format);
	vsnprintf(refusal->text, sizeof refusal->text, format, args);
	va_end(args);
	return false;
}

static bool
is_variable(const char *name, const char *suffix)
{
	return strcmp(name + strlen(SHIM_PREFIX), suffix) == 0;
}

static bool
refuse_while_changing(enum shim_phase phase, struct shim_refusal *refusal)
{
	if (phase != SHIM_CHANGING)
		return true;
	return refuse(refusal, SHIM_ERROR_START_OR_STOP_ONGOING,
		      "This option cannot be set while START or STOP GROUP_REPLICATION is "
		      "ongoing.");
}

enum shim_quota
shim_quota_min(int64_t value, int64_t max_quota)
{
	return max_quota > 0 && value > max_quota ? SHIM_QUOTA_MIN : SHIM_QUOTA_OK;
}

enum shim_quota
shim_quota_min_recovery(int64_t value, int64_t max_quota)
{
	return max_quota > 0 && value > max_quota ? SHIM_QUOTA_MIN_RECOVERY : SHIM_QUOTA_OK;
}

enum shim_quota
shim_quota_max(int64_t value, int64_t min_quota, int64_t min_recovery_quota)
{
	/* 0 is "no bound" in all three, so it is never too small or too large. */
	if (value <= 0)
		return SHIM_QUOTA_OK;
	if (min_quota != 0 && value < min_quota)
		return SHIM_QUOTA_MAX;
	if (min_recovery_quota != 0 && value < min_recovery_quota)
		return SHIM_QUOTA_MAX;
	return SHIM_QUOTA_OK;
}

static bool
check_quota(const char *name, int64_t value, struct shim_refusal *refusal)
{
	const struct shim_variables *v = &shim_variables;
	enum shim_quota result = SHIM_QUOTA_OK;

	if (is_variable(name, "flow_control_min_quota"))
		result = shim_quota_min(value, v->flow_control_max_quota);
	else if (is_variable(name, "flow_control_min_recovery_quota"))
		result = shim_quota_min_recovery(value, v->flow_control_max_quota);
	else if (is_variable(name, "flow_control_max_quota"))
		result = shim_quota_max(value, v->flow_control_min_quota,
					v->flow_control_min_recovery_quota);
	switch (result) {
	case SHIM_QUOTA_OK:
		return true;
	case SHIM_QUOTA_MIN:
	case SHIM_QUOTA_MIN_RECOVERY:
		return refuse(refusal, SHIM_ERROR_WRONG_VALUE,
			      "%s cannot be larger than group_replication_flow_control_max_quota",
			      name);
	case SHIM_QUOTA_MAX:
		break;
	}
	return refuse(refusal, SHIM_ERROR_WRONG_VALUE,
		      "%s cannot be smaller than group_replication_flow_control_min_quota or "
		      "group_replication_flow_control_min_recovery_quota",
		      name);
}

static const struct integer_rule *
integer_rule(const char *name)
{
	must(strncmp(name, SHIM_PREFIX, strlen(SHIM_PREFIX)) == 0);
	for (size_t i = 0; i < COUNT(integer_rules); i++)
		if (is_variable(name, integer_rules[i].name))
			return &integer_rules[i];
	return NULL;
}

/* Below is -1, above 1, inside 0. */
static int
place(const struct integer_rule *rule, struct shim_integer value)
{
	if (rule->is_unsigned && value.is_unsigned) {
		if (value.bits > rule->max)
			return 1;
		return value.bits < (uint64_t)rule->min ? -1 : 0;
	}
	int64_t n = (int64_t)value.bits;
	if (n < rule->min)
		return -1;
	return n > 0 && (uint64_t)n > rule->max ? 1 : 0;
}

static bool
refuse_integer(const struct integer_rule *rule, struct shim_integer value,
	       struct shim_refusal *refusal)
{
	const char *quote = rule->quote ? rule->quote : "";

	if (!rule->outside) {
		refusal->code = SHIM_ERROR_SERVER_TEXT;
		return false;
	}
	if (rule->is_unsigned && value.is_unsigned)
		return refuse(refusal, SHIM_ERROR_WRONG_VALUE, "The value %s%llu%s%s", quote,
			      (unsigned long long)value.bits, quote, rule->outside);
	return refuse(refusal, SHIM_ERROR_WRONG_VALUE, "The value %s%lld%s%s", quote,
		      (long long)value.bits, quote, rule->outside);
}

bool
shim_variable_integer(const char *name, struct shim_integer *value, enum shim_phase phase,
		      struct shim_refusal *refusal)
{
	const struct integer_rule *rule = integer_rule(name);
	must(rule);

	if (!rule->any_phase && !refuse_while_changing(phase, refusal))
		return false;
	if (rule->running && phase == SHIM_RUNNING)
		return refuse(refusal, SHIM_ERROR_RUNNING, "%s", rule->running);
	if (!check_quota(name, (int64_t)value->bits, refusal))
		return false;

	int where = place(rule, *value);
	if (where != 0 && !rule->clamp)
		return refuse_integer(rule, *value, refusal);
	if (where < 0)
		value->bits = (uint64_t)rule->min;
	if (where > 0)
		value->bits = rule->max;
	return true;
}

bool
shim_variable_bool(const char *name, bool value, enum shim_phase phase,
		   struct shim_refusal *refusal)
{
	const struct shim_variables *v = &shim_variables;

	if (!refuse_while_changing(phase, refusal))
		return false;
	for (size_t i = 0; i < COUNT(switch_rules); i++)
		if (phase == SHIM_RUNNING && is_variable(name, switch_rules[i].name))
			return refuse(refusal, SHIM_ERROR_RUNNING, "%s", switch_rules[i].running);
	if (is_variable(name, "single_primary_mode") && value &&
	    v->enforce_update_everywhere_checks)
		return refuse(refusal, SHIM_ERROR_WRONG_VALUE,
			      "Cannot turn ON group_replication_single_primary_mode while "
			      "group_replication_enforce_update_everywhere_checks is enabled.");
	if (is_variable(name, "enforce_update_everywhere_checks") && value &&
	    v->single_primary_mode)
		return refuse(refusal, SHIM_ERROR_WRONG_VALUE,
			      "Cannot enable group_replication_enforce_update_everywhere_checks "
			      "while group_replication_single_primary_mode is enabled.");
	return true;
}

bool
shim_uuid_valid(const char *text)
{
	static const char pattern[] = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";
	size_t chars = strlen(text);
	bool dashes = true;

	if (chars == SHIM_UUID_CHARS + 2 && text[0] == '{' && text[chars - 1] == '}')
		text++;
	else if (chars == SHIM_UUID_CHARS - 4)
		dashes = false;
	else if (chars != SHIM_UUID_CHARS)
		return false;
	for (size_t i = 0; i < SHIM_UUID_CHARS; i++) {
		if (pattern[i] == '-' && !dashes)
			continue;
		if (pattern[i] == '-' ? *text != '-' : !isxdigit((unsigned char)*text))
			return false;
		text++;
	}
	return true;
}

static bool
check_group_name(const struct shim_text *text, struct shim_refusal *refusal)
{
	const char *value = text->value;

	if (strlen(value) > SHIM_UUID_CHARS)
		return refuse(refusal, SHIM_ERROR_WRONG_VALUE,
			      "The group_replication_group_name is not a valid UUID, its length is "
			      "too big");
	if (!shim_uuid_valid(value))
		return refuse(refusal, SHIM_ERROR_WRONG_VALUE,
			      "The group_replication_group_name is not a valid UUID");
	if (text->anonymous)
		return refuse(refusal, SHIM_ERROR_WRONG_VALUE,
			      "The group_replication_group_name is already used for "
			      "ASSIGN_GTIDS_TO_ANOYMOUS_TRANSACTIONS in a server channel");
	if (strcmp(value, shim_variables.view_change_uuid) == 0)
		return refuse(refusal, SHIM_ERROR_WRONG_VALUE_AND_ADVICE,
			      "Variable 'group_replication_group_name' cannot be set to the value "
			      "of '%s'. The value is the same as "
			      "group_replication_view_change_uuid. Please change "
			      "group_replication_view_change_uuid to AUTOMATIC",
			      value);
	return true;
}

static bool
check_view_change_uuid(const struct shim_text *text, struct shim_refusal *refusal)
{
	const char *value = text->value;
	const char *name = shim_variables.group_name;

	if (strcmp(value, VIEW_UUID_AUTO) == 0)
		return true;
	if (!shim_uuid_valid(value))
		return refuse(refusal, SHIM_ERROR_WRONG_VALUE,
			      "The group_replication_view_change_uuid is not a valid UUID");
	if (name && strcmp(value, name) == 0)
		return refuse(refusal, SHIM_ERROR_WRONG_VALUE_AND_ADVICE,
			      "Variable 'group_replication_view_change_uuid' cannot be set to the "
			      "value of '%s'. If you want to use the UUID of "
			      "'group_replication_group_name' for the UUID of "
			      "View_change_log_events, please set "
			      "'group_replication_view_change_uuid' to AUTOMATIC.",
			      value);
	if (text->anonymous)
		return refuse(refusal, SHIM_ERROR_WRONG_VALUE_AND_ADVICE,
			      "Variable 'group_replication_view_change_uuid' cannot be set to the "
			      "value of '%s'. The value is already used for "
			      "ASSIGN_GTIDS_TO_ANOYMOUS_TRANSACTIONS in a server channel",
			      value);
	return true;
}

/* Blanks do not count, nor does case: " Automatic " is the same. */
static bool
check_allowlist(const char *name, const char *value, struct shim_refusal *refusal)
{
	size_t chars = 0;
	bool automatic = false;

	for (size_t i = 0; value[i] != '\0'; i++) {
		size_t matched = 0;
		for (size_t j = i; value[j] != '\0' && matched < strlen(ALLOWLIST_AUTO); j++) {
			if (value[j] == ' ')
				continue;
			if (tolower((unsigned char)value[j]) != ALLOWLIST_AUTO[matched])
				break;
			matched++;
		}
		automatic |= matched == strlen(ALLOWLIST_AUTO);
		chars += value[i] != ' ';
	}
	if (!automatic || chars == strlen(ALLOWLIST_AUTO))
		return true;
	return refuse(refusal, SHIM_ERROR_CONFIGURATION,
		      "The %s is invalid. Make sure that when specifying \"AUTOMATIC\" the list "
		      "contains no other values.",
		      name);
}

/* The order is that of the bits of XCom's mask, and of the text shown. */
static const char *const debug_words[] = {
	"GCS_DEBUG_BASIC",
	"GCS_DEBUG_TRACE",
	"XCOM_DEBUG_BASIC",
	"XCOM_DEBUG_TRACE",
};

#define DEBUG_NONE "GCS_DEBUG_NONE"
#define DEBUG_ALL  "GCS_DEBUG_ALL"

static bool
debug_word(const char *word, size_t chars, unsigned *mask)
{
	unsigned all = (1u << COUNT(debug_words)) - 1;

	if (chars == strlen(DEBUG_NONE) && strncasecmp(word, DEBUG_NONE, chars) == 0)
		return true;
	if (chars == strlen(DEBUG_ALL) && strncasecmp(word, DEBUG_ALL, chars) == 0) {
		*mask = all + 1;
		return true;
	}
	for (size_t i = 0; i < COUNT(debug_words); i++)
		if (chars == strlen(debug_words[i]) &&
		    strncasecmp(word, debug_words[i], chars) == 0) {
			*mask |= 1u << i;
			return true;
		}
	return false;
}

/* What is stored is the canonical list, as stock shows it. */
static bool
check_debug_options(struct shim_text *text, struct shim_refusal *refusal)
{
	const char *next = text->value;
	unsigned mask = 0;

	for (int n = 0; *next != '\0'; n++) {
		next += strspn(next, " ");
		size_t chars = strcspn(next, ", ");
		if (n >= WORDS_MAX || !debug_word(next, chars, &mask)) {
			refusal->code = SHIM_ERROR_SERVER_TEXT;
			return false;
		}
		next += chars;
		next += strspn(next, " ");
		next += *next == ',';
	}
	size_t chars = 0;
	for (size_t i = 0; i < COUNT(debug_words); i++)
		if ((mask & (1u << i)) && chars < sizeof text->changed)
			chars += (size_t)snprintf(text->changed + chars,
						  sizeof text->changed - chars, "%s%s",
						  chars ? "," : "", debug_words[i]);
	if (mask == 0 || mask >> COUNT(debug_words))
		snprintf(text->changed, sizeof text->changed, "%s", mask ? DEBUG_ALL : DEBUG_NONE);
	return true;
}

static bool
check_compression(const char *name, const char *value, struct shim_refusal *refusal)
{
	if (!strcmp(value, "zlib") || !strcmp(value, "zstd") || !strcmp(value, "uncompressed"))
		return true;
	return refuse(refusal, SHIM_ERROR_WRONG_VALUE, "The value '%s' is invalid for %s option.",
		      value, name);
}

static bool
check_endpoints(const char *name, const struct shim_text *text, struct shim_refusal *refusal)
{
	struct shim_ports ports = {.main = text->port, .admin = text->admin_port};
	char culprit[SHIM_PATH_CHARS_MAX];

	switch (shim_endpoints_check(text->value, ports, culprit, sizeof culprit)) {
	case SHIM_ENDPOINTS_OK:
		return true;
	case SHIM_ENDPOINTS_FORMAT:
		return refuse(
			refusal, SHIM_ERROR_WRONG_VALUE_AND_ADVICE,
			"Variable '%s' cannot be set to the value of '%.200s'. Please, provide a "
			"valid, comma separated, list of endpoints (IP:port).",
			name, text->value);
	case SHIM_ENDPOINTS_INVALID:
		break;
	}
	return refuse(
		refusal, SHIM_ERROR_WRONG_VALUE_AND_ADVICE,
		"Variable '%s' cannot be set to the value of '%.200s'. Invalid value on recovery "
		"endpoint '%s'.",
		name, text->value, culprit);
}

static bool
check_force_members(const char *value, enum shim_phase phase, struct shim_refusal *refusal)
{
	if (value[0] == '\0')
		return true;
	if (phase != SHIM_RUNNING)
		return refuse(refusal, SHIM_ERROR_FORCE_MEMBERS,
			      "The 'SET GLOBAL group_replication_force_members=%s' command "
			      "encountered a failure. Member is not ONLINE, it is not possible to "
			      "force a new group membership.",
			      value);
	/* The quorum is the appliance's: its own administrator forces it. */
	return refuse(refusal, SHIM_ERROR_FORCE_MEMBERS,
		      "The 'SET GLOBAL group_replication_force_members=%s' command encountered a "
		      "failure. The group_replication_force_members can only be updated when Group "
		      "Replication is running and majority of the members are unreachable.",
		      value);
}

/* The two UUIDs: settled when the group runs, since its GTIDs carry them. */
static bool
check_uuid(const char *name, const struct shim_text *text, enum shim_phase phase,
	   struct shim_refusal *refusal)
{
	if (phase == SHIM_RUNNING)
		return refuse(refusal, SHIM_ERROR_RUNNING,
			      "The %s cannot be changed when Group Replication is running", name);
	if (is_variable(name, "group_name"))
		return check_group_name(text, refusal);
	return check_view_change_uuid(text, refusal);
}

bool
shim_variable_text(const char *name, struct shim_text *text, enum shim_phase phase,
		   struct shim_refusal *refusal)
{
	must(strncmp(name, SHIM_PREFIX, strlen(SHIM_PREFIX)) == 0);
	text->changed[0] = '\0';
	if (!refuse_while_changing(phase, refusal))
		return false;
	if (!text->value) {
		refusal->code = SHIM_ERROR_SERVER_TEXT;
		return is_variable(name, "recovery_tls_ciphersuites");
	}
	if (is_variable(name, "group_name") || is_variable(name, "view_change_uuid"))
		return check_uuid(name, text, phase, refusal);
	if (is_variable(name, "ip_allowlist"))
		return check_allowlist(name, text->value, refusal);
	if (is_variable(name, "communication_debug_options"))
		return check_debug_options(text, refusal);
	if (is_variable(name, "recovery_compression_algorithms"))
		return check_compression(name, text->value, refusal);
	if (is_variable(name, "advertise_recovery_endpoints"))
		return check_endpoints(name, text, refusal);
	if (is_variable(name, "force_members"))
		return check_force_members(text->value, phase, refusal);
	if (strlen(text->value) > SHIM_PATH_CHARS_MAX)
		return refuse(refusal, SHIM_ERROR_WRONG_VALUE,
			      "The given value for recovery ssl option is invalid as its length is "
			      "beyond the limit");
	return true;
}
