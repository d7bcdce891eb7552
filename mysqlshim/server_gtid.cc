/* gtid_executed: what is in it, and standing still while a snapshot is taken. */
#include <cstdlib>
#include <cstring>

#include "my_config.h"

#include "mysql/psi/mysql_mutex.h"
#include "sql/binlog.h"
#include "sql/mysqld.h"
#include "sql/rpl_gtid.h"
#include "sql/sql_class.h"

#include "mysqlshim/server_calls.h"

static mysql::gtid::Tsid
tsid_of(const struct gtid_source &source)
{
	mysql::gtid::Uuid uuid;
	mysql::gtid::Tag tag;

	memcpy(uuid.bytes.data(), source.uuid, UUID_BYTES);
	if (source.tag_bytes == 0)
		return mysql::gtid::Tsid(uuid);
	(void)tag.from_string(std::string(source.tag, source.tag_bytes));
	return mysql::gtid::Tsid(uuid, tag);
}

/* The caller of the section holds global_tsid_lock. */
static bool
contains(void *, const struct gtid *gtid)
{
	rpl_sidno sidno = global_tsid_map->tsid_to_sidno(tsid_of(gtid->source));

	if (sidno <= 0)
		return false;
	return gtid_state->get_executed_gtids()->contains_gtid(sidno,
							       static_cast<rpl_gno>(gtid->gno));
}

static const struct snapshot_executed executed = {nullptr, contains};

/* The engines commit and gtid_executed grows under LOCK_commit: with it held,
 * what is in the set is visible, and what is not is not. */
static void
locked(void (*section)(void *, const struct snapshot_executed *), void *context)
{
	mysql_mutex_t *commit_lock = mysql_bin_log.get_commit_lock();

	mysql_mutex_lock(commit_lock);
	global_tsid_lock->wrlock();
	section(context, &executed);
	global_tsid_lock->unlock();
	mysql_mutex_unlock(commit_lock);
}

static bool
killed(void *session)
{
	return static_cast<THD *>(session)->is_killed();
}

const struct commit_server server_commit = {locked, killed};

char *
server_gtid_executed(void)
{
	char *text = nullptr;

	global_tsid_lock->wrlock();
	long bytes = gtid_state->get_executed_gtids()->to_string(&text);
	global_tsid_lock->unlock();
	char *copy = bytes < 0 ? nullptr : strdup(text);
	my_free(text);
	return copy;
}

int
server_sidno(const struct gtid_source *source)
{
	return get_sidno_from_global_tsid_map(tsid_of(*source));
}
