/*
 * START's checks one by one and in their order: each case below breaks its own
 * condition and every later one, so that a check moved up or down is seen.
 */
#include <criterion/criterion.h>
#include <string.h>

#include "mysqlshim/shim.h"

#define NAME "aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa"

static enum shim_log_code last_code;
static int lines;
static int locked;
static char answer[512];
static char name[] = NAME, automatic[] = "AUTOMATIC", endpoints[] = "DEFAULT";
static char appliance[] = "10.0.0.1:7000", uuid_text[] = NAME, bad[] = "x";
static struct shim_server server;

static void
log_line(enum shim_level level, enum shim_log_code code, const char *argument)
{
	cr_assert(level == SHIM_LEVEL_ERROR || level == SHIM_LEVEL_WARNING);
	cr_assert(code != SHIM_LOG_OWN_WORDS || argument);
	last_code = code;
	lines++;
}

static void
client_error(enum shim_log_code code, const char *argument)
{
	cr_assert(argument);
	last_code = code;
}

static const struct shim_words words = {log_line, NULL, client_error};

static void
good(void)
{
	struct shim_variables *v = &shim_variables;

	memset(v, 0, sizeof *v);
	v->group_name = name;
	v->view_change_uuid = automatic;
	v->advertise_recovery_endpoints = endpoints;
	v->appliance = appliance;
	server = (struct shim_server){.uuid = "bbbbbbbb-bbbb-bbbb-bbbb-bbbbbbbbbbbb",
				      .version = "9.7.4",
				      .host = "here",
				      .port = 3306,
				      .ready = true,
				      .binlog_enabled = true,
				      .binlog_row_format = true,
				      .gtid_mode_on = true,
				      .log_replica_updates = true,
				      .applier_workers = 4,
				      .preserve_commit_order = true};
	lines = 0;
	locked = 0;
}

static enum shim_start
check(void)
{
	last_code = 0;
	return shim_start_check(&server, &words, answer, sizeof answer);
}

static void
found(enum shim_log_code code)
{
	cr_assert_eq(check(), SHIM_START_CONFIGURATION);
	cr_assert_eq(last_code, code, "%d in place of %d", last_code, code);
}

Test(mysqlshim_start, all_is_well, .init = good)
{
	cr_assert_eq(check(), SHIM_START_OK);
	cr_assert_eq(lines, 0);
	server.applier_workers = 0;
	server.preserve_commit_order = false;
	cr_assert_eq(check(), SHIM_START_OK, "no workers: the order is kept anyway");
}

/* From the last check back to the first: each new fault hides those before. */
Test(mysqlshim_start, the_first_check_that_fails_is_the_one_told, .init = good)
{
	shim_variables.appliance = NULL;
	cr_assert_eq(check(), SHIM_START_FAILED);
	cr_assert(strstr(answer, "synod.appliance"));
	shim_variables.single_primary_mode = true;
	cr_assert_eq(check(), SHIM_START_FAILED);
	cr_assert(strstr(answer, "single_primary_mode=OFF"));
	memcpy(server.uuid, NAME, sizeof NAME);
	found(SHIM_LOG_UUID_IS_GROUP_NAME);
	shim_variables.advertise_recovery_endpoints = bad;
	found(SHIM_CLIENT_ENDPOINTS_FORMAT);
	shim_variables.flow_control_max_quota = 10;
	shim_variables.flow_control_min_recovery_quota = 11;
	found(SHIM_LOG_QUOTA_MIN_RECOVERY);
	shim_variables.flow_control_min_quota = 11;
	found(SHIM_LOG_QUOTA_MIN);
	shim_variables.force_members = bad;
	found(SHIM_LOG_FORCE_MEMBERS);
	server.ready = false;
	found(SHIM_LOG_SERVER_ID);
	char longer[SHIM_PATH_CHARS_MAX + 2];
	memset(longer, 'p', sizeof longer);
	longer[sizeof longer - 1] = '\0';
	shim_variables.recovery_tls_ciphersuites = longer;
	found(SHIM_LOG_SSL_TEXT);
	shim_variables.view_change_uuid = bad;
	found(SHIM_LOG_VIEW_UUID_INVALID);
	shim_variables.view_change_uuid = uuid_text;
	found(SHIM_LOG_NAME_IS_VIEW_UUID);
	server.group_name_anonymous = true;
	found(SHIM_LOG_NAME_ANONYMOUS);
	shim_variables.group_name = bad;
	found(SHIM_LOG_NAME_INVALID);
	shim_variables.group_name = longer;
	found(SHIM_LOG_NAME_LONG);
	shim_variables.group_name = NULL;
	found(SHIM_LOG_NAME_MISSING);
	shim_variables.enforce_update_everywhere_checks = true;
	found(SHIM_LOG_MODE_AND_CHECKS);
	server.preserve_commit_order = false;
	found(SHIM_LOG_COMMIT_ORDER);
	server.log_replica_updates = false;
	found(SHIM_LOG_REPLICA_UPDATES);
	server.gtid_mode_on = false;
	found(SHIM_LOG_GTID_MODE);
	server.binlog_row_format = false;
	found(SHIM_LOG_BINLOG_FORMAT);
	server.binlog_enabled = false;
	found(SHIM_LOG_BINLOG);
}

static void
lock(void)
{
	locked++;
}

static void
unlock(void)
{
	locked--;
}

Test(mysqlshim_start, another_version_is_refused_and_says_so, .init = good)
{
	cr_assert_null(shim_load(&words, "9.7.5", "9.7.4"));
	cr_assert_null(shim_load(&words, "9.7.40-1", "9.7.4"));
	cr_assert_null(shim_load(&words, "9.7", "9.7.4"));
	cr_assert_eq(lines, 3);
	struct shim *shim = shim_load(&words, "9.7.4-2", "9.7.4");
	cr_assert(shim);
	shim_unload(shim);
}

/* A START that fails leaves the plugin as it was: stopped, and unlocked. */
Test(mysqlshim_start, a_failed_start_changes_nothing, .init = good)
{
	struct shim *shim = shim_load(&words, "9.7.4", "9.7.4");
	struct shim_start_request request = {&server, lock, unlock, answer, sizeof answer};
	struct shim_member row;

	server.gtid_mode_on = false;
	cr_assert_eq(shim_start(shim, &request), SHIM_START_CONFIGURATION);
	cr_assert_eq(locked, 0);
	cr_assert_eq(shim_phase(shim), SHIM_STOPPED);
	cr_assert_eq(shim_member_count(shim), 1);
	cr_assert(shim_member(shim, 0, &server, &row));
	cr_assert_str_eq(row.state, "OFFLINE");
	cr_assert_str_eq(row.role, "");
	cr_assert_str_eq(row.uuid, server.uuid);
	cr_assert_not(shim_member(shim, 1, &server, &row));
	shim_unload(shim);
}
