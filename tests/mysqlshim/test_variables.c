/*
 * What the variables accept, where no server is needed to see it. That the
 * answers are stock's is tests/mysql/test_variables.py's affair; here are the
 * phases, which that test cannot stop in.
 */
#include <criterion/criterion.h>
#include <stdint.h>
#include <string.h>

#include "mysqlshim/variables.h"

static struct shim_refusal refusal;

static void
defaults(void)
{
	static char automatic[] = "AUTOMATIC";

	memset(&shim_variables, 0, sizeof shim_variables);
	memset(&refusal, 0xff, sizeof refusal);
	shim_variables.view_change_uuid = automatic;
}

static bool
integer(const char *name, int64_t *value, enum shim_phase phase)
{
	struct shim_integer given = {.bits = (uint64_t)*value};
	bool taken = shim_variable_integer(name, &given, phase, &refusal);

	*value = (int64_t)given.bits;
	return taken;
}

static bool
text(const char *name, const char *value, enum shim_phase phase)
{
	struct shim_text given = {.value = value, .port = 3306};

	return shim_variable_text(name, &given, phase, &refusal);
}

Test(mysqlshim_variables, nothing_changes_while_start_or_stop_runs, .init = defaults)
{
	int64_t value = 5;

	cr_assert_not(integer("group_replication_member_weight", &value, SHIM_CHANGING));
	cr_assert_eq(refusal.code, 3724);
	cr_assert_not(shim_variable_bool("group_replication_recovery_use_ssl", true, SHIM_CHANGING,
					 &refusal));
	cr_assert_eq(refusal.code, 3724);
	cr_assert_not(text("group_replication_recovery_ssl_ca", "a", SHIM_CHANGING));
	cr_assert_eq(refusal.code, 3724);
	/* Stock lets these three through at any time. */
	cr_assert(integer("group_replication_flow_control_max_quota", &value, SHIM_CHANGING));
}

Test(mysqlshim_variables, what_the_group_agreed_on_stays_while_it_runs, .init = defaults)
{
	static const char *const fixed[] = {
		"group_replication_auto_increment_increment",
		"group_replication_compression_threshold",
		"group_replication_communication_max_message_size",
		"group_replication_gtid_assignment_block_size",
	};
	int64_t value = 100;

	for (size_t i = 0; i < sizeof fixed / sizeof *fixed; i++) {
		cr_assert_not(integer(fixed[i], &value, SHIM_RUNNING), "%s", fixed[i]);
		cr_assert_eq(refusal.code, 3093);
		cr_assert(integer(fixed[i], &value, SHIM_STOPPED), "%s", fixed[i]);
	}
	cr_assert_not(text("group_replication_group_name", "aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa",
			   SHIM_RUNNING));
	cr_assert_eq(refusal.code, 3093);
	cr_assert_not(shim_variable_bool("group_replication_single_primary_mode", true,
					 SHIM_RUNNING, &refusal));
	cr_assert_eq(refusal.code, 3093);
	cr_assert(integer("group_replication_member_expel_timeout", &value, SHIM_RUNNING));
}

Test(mysqlshim_variables, timeouts_take_the_nearest_bound_and_others_refuse, .init = defaults)
{
	int64_t value = 1;

	cr_assert(integer("group_replication_components_stop_timeout", &value, SHIM_STOPPED));
	cr_assert_eq(value, 2);
	value = INT64_MAX;
	cr_assert(integer("group_replication_components_stop_timeout", &value, SHIM_STOPPED));
	cr_assert_eq(value, 31536000);
	value = 2017;
	cr_assert_not(integer("group_replication_autorejoin_tries", &value, SHIM_STOPPED));
	cr_assert_eq(refusal.code, SHIM_ERROR_SERVER_TEXT);
}

Test(mysqlshim_variables, a_uuid_has_three_forms, .init = defaults)
{
	cr_assert(shim_uuid_valid("aaaaaaaa-AAAA-0000-9999-ffffffffffff"));
	cr_assert(shim_uuid_valid("{aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa}"));
	cr_assert(shim_uuid_valid("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"));
	cr_assert_not(shim_uuid_valid(""));
	cr_assert_not(shim_uuid_valid("aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaa"));
	cr_assert_not(shim_uuid_valid("aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaag"));
	cr_assert_not(shim_uuid_valid("aaaaaaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaa"));
	cr_assert_not(shim_uuid_valid("{aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaaa"));
	cr_assert_not(shim_uuid_valid("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-"));
}

Test(mysqlshim_variables, the_debug_options_are_stored_in_one_form, .init = defaults)
{
	struct shim_text given = {.value = "xcom_debug_trace, GCS_DEBUG_NONE ,GCS_DEBUG_BASIC"};

	cr_assert(shim_variable_text("group_replication_communication_debug_options", &given,
				     SHIM_STOPPED, &refusal));
	cr_assert_str_eq(given.changed, "GCS_DEBUG_BASIC,XCOM_DEBUG_TRACE");
	cr_assert_not(
		text("group_replication_communication_debug_options", "GCS_DEBUG", SHIM_STOPPED));
}
