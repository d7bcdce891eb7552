/* There is no server in these tests: whoever calls one fails. */
#include "base/must.h"
#include "mysqlshim/server_calls.h"

static void
locked(void (*section)(void *context, const struct snapshot_executed *executed), void *context)
{
	(void)section;
	(void)context;
	must(!"a server");
}

static bool
killed(void *session)
{
	(void)session;
	must(!"a server");
	return false;
}

const struct commit_server server_commit = {locked, killed};

char *
server_gtid_executed(void)
{
	must(!"a server");
	return NULL;
}

void
server_modes_enter(struct server_modes *before, unsigned long auto_increment_increment,
		   uint64_t transaction_bytes_max)
{
	(void)before;
	(void)auto_increment_increment;
	(void)transaction_bytes_max;
	must(!"a server");
}

void
server_modes_leave(const struct server_modes *before)
{
	(void)before;
	must(!"a server");
}

bool
server_read_only(bool on)
{
	(void)on;
	must(!"a server");
	return false;
}

void
server_hooks_open(struct commit *commit)
{
	(void)commit;
	must(!"a server");
}

void
server_hooks_close(void)
{
	must(!"a server");
}

bool
server_thread_begin(const char *what)
{
	(void)what;
	must(!"a server");
	return false;
}

void
server_thread_end(void)
{
	must(!"a server");
}

int
server_channel_open(void)
{
	must(!"a server");
	return 1;
}

int
server_channel_queue(const uint8_t *event, size_t bytes)
{
	(void)event;
	(void)bytes;
	must(!"a server");
	return 1;
}

void
server_channel_watch(void (*stopped)(void *context), void *context)
{
	(void)stopped;
	(void)context;
	must(!"a server");
}

int
server_channel_close(long timeout_s)
{
	(void)timeout_s;
	must(!"a server");
	return 1;
}
