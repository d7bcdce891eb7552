/* The channel group_replication_applier: its relay log is written by us, its
 * SQL side is the server's. */
#include <cstring>

#include "my_config.h"

#include "my_thread.h"
#include "mysql/group_replication_priv.h"
#include "sql/mysqld.h"
#include "sql/mysqld_thd_manager.h"
#include "sql/protocol_classic.h"
#include "sql/replication.h"
#include "sql/rpl_channel_service_interface.h"
#include "sql/sql_class.h"

#include "mysqlshim/server_calls.h"
#include "mysqlshim/shim.h"

/* Remote transactions are certified: they must win against local ones. */
constexpr int PRIORITY_HIGH = 1;

static thread_local THD *session;

/* Writing a relay log needs a session of its own, visible in the process list. */
bool
server_thread_begin(const char *what)
{
	if (my_thread_init())
		return false;
	session = new THD;
	session->set_new_thread_id();
	session->thread_stack = reinterpret_cast<char *>(&what);
	session->store_globals();
	session->get_protocol_classic()->init_net(nullptr);
	session->system_thread = SYSTEM_THREAD_SLAVE_IO;
	session->set_query_for_display(what, strlen(what));
	session->security_context()->skip_grants();
	Global_THD_manager::get_instance()->add_thd(session);
	return true;
}

void
server_thread_end(void)
{
	session->get_protocol_classic()->end_net();
	session->release_resources();
	Global_THD_manager::get_instance()->remove_thd(session);
	delete session;
	session = nullptr;
	my_thread_end();
}

int
server_channel_open(void)
{
	Channel_creation_info creation;
	Channel_connection_info connection;
	char host[] = "<NULL>";

	int error = group_replication_init();
	if (error)
		return error;
	initialize_channel_creation_info(&creation);
	creation.type = GROUP_REPLICATION_CHANNEL;
	creation.hostname = host;
	creation.port = 0;
	creation.auto_position = 1;
	creation.replicate_same_server_id = 1;
	creation.thd_tx_priority = PRIORITY_HIGH;
	creation.retry_count = 0;
	creation.preserve_relay_logs = true;
	creation.m_ignore_write_set_memory_limit = true;
	creation.m_allow_drop_write_set = true;
	/* What an earlier life left unapplied comes again, in its place in the order;
	 * and what it holds may never have reached the disk whole. */
	if (channel_is_active(SHIM_APPLIER_CHANNEL, CHANNEL_NO_THD))
		error = channel_purge_queue(SHIM_APPLIER_CHANNEL, false);
	if (!error)
		error = channel_create(SHIM_APPLIER_CHANNEL, &creation);
	if (!error)
		error = channel_flush(SHIM_APPLIER_CHANNEL);
	if (error)
		return error;
	initialize_channel_connection_info(&connection);
	return channel_start(SHIM_APPLIER_CHANNEL, &connection, CHANNEL_APPLIER_THREAD, 0, true);
}

/* Who wants to know that the applier stopped. */
static pthread_mutex_t watch_lock = PTHREAD_MUTEX_INITIALIZER;
static void (*watch_stopped)(void *context);
static void *watch_context;

void
server_channel_watch(void (*stopped)(void *context), void *context)
{
	pthread_mutex_lock(&watch_lock);
	watch_stopped = stopped;
	watch_context = context;
	pthread_mutex_unlock(&watch_lock);
}

static int
applier_stopped(Binlog_relay_IO_param *param, bool aborted)
{
	if (!aborted || strcmp(param->channel_name, SHIM_APPLIER_CHANNEL) != 0)
		return 0;
	pthread_mutex_lock(&watch_lock);
	if (watch_stopped)
		watch_stopped(watch_context);
	pthread_mutex_unlock(&watch_lock);
	return 0;
}

static int
channel_nothing(Binlog_relay_IO_param *)
{
	return 0;
}

static int
channel_no_request(Binlog_relay_IO_param *, uint32)
{
	return 0;
}

static int
channel_no_read(Binlog_relay_IO_param *, const char *, unsigned long, const char **,
		unsigned long *)
{
	return 0;
}

static int
channel_no_queue(Binlog_relay_IO_param *, const char *, unsigned long, uint32)
{
	return 0;
}

static int
channel_no_event(Binlog_relay_IO_param *, Trans_param *, int &)
{
	return 0;
}

static Binlog_relay_IO_observer channel_life = {sizeof(Binlog_relay_IO_observer),
						channel_nothing,
						channel_nothing,
						channel_nothing,
						applier_stopped,
						channel_no_request,
						channel_no_read,
						channel_no_queue,
						channel_nothing,
						channel_no_event};

bool
server_channel_register(void *plugin)
{
	return register_binlog_relay_io_observer(&channel_life, plugin) == 0;
}

bool
server_channel_unregister(void *plugin)
{
	return unregister_binlog_relay_io_observer(&channel_life, plugin) == 0;
}

int
server_channel_queue(const uint8_t *event, size_t bytes)
{
	return channel_queue_packet(SHIM_APPLIER_CHANNEL, reinterpret_cast<const char *>(event),
				    bytes);
}

int
server_channel_close(long timeout_s)
{
	if (!channel_is_active(SHIM_APPLIER_CHANNEL, CHANNEL_APPLIER_THREAD))
		return 0;
	return channel_stop(SHIM_APPLIER_CHANNEL, CHANNEL_APPLIER_THREAD, timeout_s);
}
