/* What being in a group changes of the server: read only, auto increment, and
 * how much of a transaction's write set is kept. */
#include <cstring>

#include "my_config.h"

#include "mysql/components/my_service.h"
#include "mysql/components/services/mysql_string.h"
#include "mysql/components/services/mysql_system_variable.h"
#include "mysql/group_replication_priv.h"
#include "mysql/plugin.h"
#include "mysql/service_plugin_registry.h"
#include "sql/mysqld.h"
#include "sql/rpl_transaction_write_set_ctx.h"

#include "mysqlshim/server_calls.h"

constexpr char CHARACTER_SET[] = "utf8mb4";

/* SET GLOBAL name = value. True is success. */
static bool
set_global(SERVICE_TYPE(registry) * registry, const char *name, const char *value)
{
	my_service<SERVICE_TYPE(mysql_string_factory)> factory("mysql_string_factory", registry);
	my_service<SERVICE_TYPE(mysql_string_converter)> converter("mysql_string_converter",
								   registry);
	my_service<SERVICE_TYPE(mysql_system_variable_update_string)> update(
		"mysql_system_variable_update_string", registry);
	my_h_string name_string = nullptr, value_string = nullptr;

	if (!factory.is_valid() || !converter.is_valid() || !update.is_valid())
		return false;
	bool failed =
		factory->create(&name_string) || factory->create(&value_string) ||
		converter->convert_from_buffer(&name_string, name, strlen(name), CHARACTER_SET) ||
		converter->convert_from_buffer(&value_string, value, strlen(value),
					       CHARACTER_SET) ||
		update->set(nullptr, "GLOBAL", nullptr, name_string, value_string);
	if (name_string)
		factory->destroy(name_string);
	if (value_string)
		factory->destroy(value_string);
	return !failed;
}

bool
server_read_only(bool on)
{
	SERVICE_TYPE(registry) *registry = mysql_plugin_registry_acquire();

	if (!registry)
		return false;
	/* Either brings the other with it. */
	bool done = on ? set_global(registry, "super_read_only", "ON")
		       : set_global(registry, "read_only", "OFF");
	mysql_plugin_registry_release(registry);
	return done;
}

void
server_modes_enter(struct server_modes *before, unsigned long auto_increment_increment,
		   uint64_t transaction_bytes_max)
{
	before->read_only = opt_readonly;
	before->super_read_only = opt_super_readonly;
	before->increment = auto_increment_increment;
	before->increment_set =
		get_auto_increment_increment() == 1 && get_auto_increment_offset() == 1;
	if (before->increment_set) {
		set_auto_increment_increment(auto_increment_increment);
		set_auto_increment_offset(server_id);
	}
	Rpl_transaction_write_set_ctx::set_global_require_full_write_set(true);
	Rpl_transaction_write_set_ctx::set_global_write_set_memory_size_limit(
		transaction_bytes_max);
}

void
server_modes_leave(const struct server_modes *before)
{
	/* Whoever has changed them meanwhile keeps them. */
	if (before->increment_set && get_auto_increment_increment() == before->increment &&
	    get_auto_increment_offset() == server_id) {
		set_auto_increment_increment(1);
		set_auto_increment_offset(1);
	}
	Rpl_transaction_write_set_ctx::set_global_require_full_write_set(false);
	Rpl_transaction_write_set_ctx::set_global_write_set_memory_size_limit(0);
}
