/* The plugin as the server loads it: descriptor, init, deinit, START, STOP. */
#include <pthread.h>

#include <cstdlib>
#include <cstring>

#include "my_config.h"

#include "my_sys.h"
#include "mysql/plugin.h"
#include "mysql/plugin_group_replication.h"
#include "mysql/psi/mysql_memory.h"
#include "mysql/service_mysql_alloc.h"
#include "mysql_version.h"
#include "sql/mysqld.h"

#include "mysqlshim/server_calls.h"
#include "mysqlshim/server_parts.h"

struct shim *server_shim;

bool server_connection_status(const GROUP_REPLICATION_CONNECTION_STATUS_CALLBACKS &callbacks);
bool server_member(unsigned index, const GROUP_REPLICATION_GROUP_MEMBERS_CALLBACKS &callbacks);
bool server_member_stats(unsigned index,
			 const GROUP_REPLICATION_GROUP_MEMBER_STATS_CALLBACKS &callbacks);

/* START was asked for while the server boots: it follows when it is ready. */
static bool start_follows;

/* The server frees what it finds in `message` with my_free(). */
static int
start(char **message)
{
	struct shim_server server;
	char text[1024];
	struct shim_start_request request = {&server, server_lock_variables,
					     server_unlock_variables, text, sizeof text};

	server_describe(&server);
	server_requirements(&server);
	text[0] = '\0';
	int result = shim_start(server_shim, &request);
	if (result == SHIM_START_OK && !server.ready)
		start_follows = true;
	if (message && text[0] != '\0')
		*message = my_strdup(PSI_NOT_INSTRUMENTED, text, MYF(0));
	return result;
}

static void *
start_at_boot(void *)
{
	if (!server_thread_begin("Group replication start"))
		return nullptr;
	if (start(nullptr) != SHIM_START_OK)
		server_words.log(SHIM_LEVEL_ERROR, SHIM_LOG_FAILED_ON_BOOT, nullptr);
	server_thread_end();
	return nullptr;
}

static pthread_t boot_thread;
static bool boot_thread_runs;

/* Clients come in only after this: the server is read only before the first of
 * them, and stays so until it is known to be healthy. */
void
server_booted(void)
{
	if (!server_shim || !start_follows)
		return;
	start_follows = false;
	if (!server_read_only(true) ||
	    pthread_create(&boot_thread, nullptr, start_at_boot, nullptr) != 0) {
		server_words.log(SHIM_LEVEL_ERROR, SHIM_LOG_FAILED_ON_BOOT, nullptr);
		return;
	}
	boot_thread_runs = true;
}

void
server_shuts_down(void)
{
	if (boot_thread_runs)
		pthread_join(boot_thread, nullptr);
	boot_thread_runs = false;
	if (server_shim)
		shim_stop(server_shim);
}

static int
stop(char **)
{
	return shim_stop(server_shim);
}

static bool
is_running(void)
{
	return server_shim && shim_running(server_shim);
}

static bool
is_cloning(void)
{
	return false;
}

/* Came with view changes of the past; nobody calls it since 8.3. */
static int
set_certification_info(void *)
{
	return 0;
}

static struct st_mysql_group_replication descriptor = {
	MYSQL_GROUP_REPLICATION_INTERFACE_VERSION,
	start,
	stop,
	is_running,
	is_cloning,
	set_certification_info,
	server_connection_status,
	server_member,
	server_member_stats,
	server_member_count,
};

static int
init(MYSQL_PLUGIN plugin)
{
	if (server_services_init())
		return 1;
	server_shim = shim_load(&server_words, ::server_version, MYSQL_SERVER_VERSION);
	bool hooked = server_shim && server_hooks_register(plugin);
	if (!hooked || !server_channel_register(plugin)) {
		if (hooked)
			server_hooks_unregister(plugin);
		if (server_shim)
			shim_unload(server_shim);
		server_shim = nullptr;
		server_services_deinit();
		return 1;
	}
	server_conflicts_init();
	if (shim_variables.start_on_boot && start(nullptr) != SHIM_START_OK)
		server_words.log(SHIM_LEVEL_ERROR, SHIM_LOG_FAILED_ON_BOOT, nullptr);
	return 0;
}

/* The server asks here first, and says 1883 where the answer is not 0. */
static int
check_uninstall(MYSQL_PLUGIN)
{
	return server_shim && shim_running(server_shim) ? 1 : 0;
}

static int
deinit(MYSQL_PLUGIN plugin)
{
	if (!server_shim)
		return 0;
	server_shuts_down();
	server_conflicts_deinit();
	server_channel_unregister(plugin);
	server_hooks_unregister(plugin);
	shim_unload(server_shim);
	server_shim = nullptr;
	server_services_deinit();
	return 0;
}

mysql_declare_plugin(group_replication){
	MYSQL_GROUP_REPLICATION_PLUGIN,
	&descriptor,
	"group_replication",
	PLUGIN_AUTHOR_ORACLE,
	"Group Replication (1.1.0)",
	PLUGIN_LICENSE_GPL,
	init,
	check_uninstall,
	deinit,
	0x0101,
	nullptr,
	server_variables,
	nullptr,
	0,
} mysql_declare_plugin_end;
