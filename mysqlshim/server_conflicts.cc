/* performance_schema.synod_conflicts: the rows of conflicts.h, as the server reads tables. */
#include <cstdio>
#include <cstring>
#include <type_traits>

#include "my_config.h"

#include "mysql/components/services/pfs_plugin_table_service.h"
#include "mysql/components/services/registry.h"
#include "mysql/service_plugin_registry.h"

#include "mysqlshim/conflicts.h"
#include "mysqlshim/gtid_text.h"
#include "mysqlshim/server_calls.h"
#include "mysqlshim/server_parts.h"

static_assert(GTID_CHARS_MAX <= 96);

static struct conflicts kept = CONFLICTS_INIT;

static SERVICE_TYPE(registry) * registry;
static SERVICE_TYPE(pfs_plugin_table_v1) * tables;
static SERVICE_TYPE(pfs_plugin_column_bigint_v1) * column_bigint;
static SERVICE_TYPE(pfs_plugin_column_string_v2) * column_string;
static SERVICE_TYPE(pfs_plugin_column_timestamp_v2) * column_time;
static bool added;

enum column {
	COLUMN_NUMBER = 0,
	COLUMN_TIME = 1,
	COLUMN_PROCESSLIST_ID = 2,
	COLUMN_REASON = 3,
	COLUMN_WINNER = 4,
	COLUMN_KEY_HASH = 5,
};

/* One who reads. The server copies `position` to come back to a row. */
struct cursor {
	uint64_t position; /* number of the row */
	struct conflict row;
};

static struct cursor *
cursor_of(PSI_table_handle *handle)
{
	return reinterpret_cast<struct cursor *>(handle);
}

static PSI_table_handle *
open_table(PSI_pos **position)
{
	struct cursor *r = new struct cursor();

	*position = reinterpret_cast<PSI_pos *>(&r->position);
	return reinterpret_cast<PSI_table_handle *>(r);
}

static void
close_table(PSI_table_handle *handle)
{
	delete cursor_of(handle);
}

static int
rnd_init(PSI_table_handle *, bool)
{
	return 0;
}

static int
rnd_next(PSI_table_handle *handle)
{
	struct cursor *r = cursor_of(handle);

	if (!conflicts_next(&kept, r->position + 1, &r->row))
		return PFS_HA_ERR_END_OF_FILE;
	r->position = r->row.number;
	return 0;
}

static int
rnd_pos(PSI_table_handle *handle)
{
	struct cursor *r = cursor_of(handle);

	return conflicts_at(&kept, r->position, &r->row) ? 0 : PFS_HA_ERR_RECORD_DELETED;
}

static void
reset_position(PSI_table_handle *handle)
{
	cursor_of(handle)->position = 0;
}

static void
give(PSI_field *field, const char *text, bool is_null)
{
	if (is_null)
		column_string->set_varchar_utf8mb4_len(field, nullptr, 0);
	else
		column_string->set_varchar_utf8mb4(field, text);
}

static int
read_column(PSI_table_handle *handle, PSI_field *field, unsigned column)
{
	const struct conflict *row = &cursor_of(handle)->row;
	bool conflict = row->why.winner_hash != 0;
	char text[GTID_CHARS_MAX + 1] = "";

	switch (static_cast<enum column>(column)) {
	case COLUMN_NUMBER:
		column_bigint->set_unsigned(field, {row->number, false});
		break;
	case COLUMN_TIME:
		column_time->set2(field, row->at_us);
		break;
	case COLUMN_PROCESSLIST_ID:
		column_bigint->set_unsigned(field, {row->session, false});
		break;
	case COLUMN_REASON:
		give(field, conflicts_reason(row), false);
		break;
	case COLUMN_WINNER:
		if (row->why.winner.gno != 0)
			gtid_format(&row->why.winner, text);
		give(field, text, row->why.winner.gno == 0);
		break;
	case COLUMN_KEY_HASH:
		snprintf(text, sizeof text, "%016lx", row->why.winner_hash);
		give(field, text, !conflict);
		break;
	}
	return 0;
}

static int
delete_all(void)
{
	conflicts_clear(&kept);
	return 0;
}

static unsigned long long
row_count(void)
{
	return conflicts_count(&kept);
}

static PFS_engine_table_share_proxy share;

static void
describe(void)
{
	share.m_table_name = "synod_conflicts";
	share.m_table_name_length = strlen(share.m_table_name);
	share.m_table_definition = "NUMBER BIGINT UNSIGNED NOT NULL, TIME TIMESTAMP(6) NOT NULL, "
				   "PROCESSLIST_ID BIGINT UNSIGNED NOT NULL, "
				   "REASON VARCHAR(16) NOT NULL, WINNER VARCHAR(96), "
				   "KEY_HASH VARCHAR(16)";
	share.m_ref_length = sizeof(cursor::position);
	share.m_acl = TRUNCATABLE;
	share.delete_all_rows = delete_all;
	share.get_row_count = row_count;
	share.m_proxy_engine_table.rnd_next = rnd_next;
	share.m_proxy_engine_table.rnd_init = rnd_init;
	share.m_proxy_engine_table.rnd_pos = rnd_pos;
	share.m_proxy_engine_table.read_column_value = read_column;
	share.m_proxy_engine_table.reset_position = reset_position;
	share.m_proxy_engine_table.open_table = open_table;
	share.m_proxy_engine_table.close_table = close_table;
}

template <class Service>
static bool
acquire(const char *name, Service **service)
{
	my_h_service handle = nullptr;

	*service = nullptr;
	if (registry->acquire(name, &handle))
		return false;
	*service = reinterpret_cast<Service *>(handle);
	return true;
}

template <class Service>
static void
release(Service **service)
{
	if (*service)
		registry->release(reinterpret_cast<my_h_service>(
			const_cast<std::remove_const_t<Service> *>(*service)));
	*service = nullptr;
}

void
server_conflicts_init(void)
{
	PFS_engine_table_share_proxy *shares[] = {&share};

	describe();
	registry = mysql_plugin_registry_acquire();
	added = registry && acquire("pfs_plugin_table_v1", &tables) &&
		acquire("pfs_plugin_column_bigint_v1", &column_bigint) &&
		acquire("pfs_plugin_column_string_v2", &column_string) &&
		acquire("pfs_plugin_column_timestamp_v2", &column_time) &&
		tables->add_tables(shares, 1) == 0;
	if (!added)
		server_words.log(SHIM_LEVEL_WARNING, SHIM_LOG_OWN_WORDS,
				 "There is no table performance_schema.synod_conflicts: the "
				 "performance schema does not take it.");
}

void
server_conflicts_deinit(void)
{
	PFS_engine_table_share_proxy *shares[] = {&share};

	if (added)
		tables->delete_tables(shares, 1);
	added = false;
	if (!registry)
		return;
	release(&tables);
	release(&column_bigint);
	release(&column_string);
	release(&column_time);
	mysql_plugin_registry_release(registry);
	registry = nullptr;
}

void
server_conflicts_add(uint64_t session, uint64_t at_us, const struct explain *why)
{
	struct conflict row = {};

	row.session = session;
	row.at_us = at_us;
	row.why = *why;
	conflicts_add(&kept, &row);
}
