/* The server's hooks around a transaction. */
#define LOG_COMPONENT_TAG "group_replication"
#define LOG_SUBSYSTEM_TAG "Repl"

#include <pthread.h>

#include <cstdlib>
#include <cstring>
#include <memory>
#include <vector>

#include "my_config.h"

#include "my_systime.h"
#include "mysql/components/services/log_builtins.h"
#include "mysql/group_replication_priv.h"
#include "mysql/plugin.h"
#include "mysql/plugin_group_replication.h"
#include "mysql/service_rpl_transaction_ctx.h"
#include "mysqld_error.h"
#include "sql/binlog_ostream.h"
#include "sql/mysqld.h"
#include "sql/replication.h"
#include "sql/rpl_gtid.h"
#include "sql/rpl_transaction_write_set_ctx.h"
#include "sql/sql_class.h"
#include "sql/sql_error.h"
#include "sql/transaction_info.h"

#include "mysqlshim/payload.h"
#include "mysqlshim/server_calls.h"
#include "mysqlshim/server_parts.h"
#include "mysqlshim/spool.h"

extern SERVICE_TYPE(log_builtins) * log_bi;
extern SERVICE_TYPE(log_builtins_string) * log_bs;

static pthread_rwlock_t entrance = PTHREAD_RWLOCK_INITIALIZER; /* of the sessions inside */
static struct commit *current;                                 /* NULL: commits pass by */

struct Malloced {
	void
	operator()(void *memory) const
	{
		free(memory);
	}
};

static struct payload
describe_payload(Trans_param *param, uint8_t flags)
{
	struct payload payload = {};

	payload.flags = flags;
	payload.immediate_version = do_server_version_int(::server_version);
	payload.immediate_commit_us = my_micro_time();
	*param->immediate_server_version = payload.immediate_version;
	/* The first server to commit it writes itself down as the origin. */
	if (*param->original_commit_timestamp == UNDEFINED_COMMIT_TIMESTAMP)
		*param->original_commit_timestamp = payload.immediate_commit_us;
	if (*param->original_server_version == UNDEFINED_SERVER_VERSION)
		*param->original_server_version = payload.immediate_version;
	payload.original_commit_us = *param->original_commit_timestamp;
	payload.original_version = *param->original_server_version;
	return payload;
}

struct Spooled {
	void
	operator()(const uint64_t *block) const
	{
		spool_free(block);
	}
};

/* Write set, the payload's head, and the binlog cache behind them, piece by piece. */
class Block_ostream : public Basic_ostream
{
      public:
	explicit Block_ostream(uint64_t bytes)
	{
		m_good = spool_open(&m_spool, bytes, mysql_tmpdir);
	}
	~Block_ostream() override
	{
		spool_drop(&m_spool);
	}
	bool
	write(const unsigned char *data, my_off_t bytes) override
	{
		m_good = m_good && spool_write(&m_spool, data, bytes);
		return !m_good;
	}
	uint64_t *
	close()
	{
		return m_good ? reinterpret_cast<uint64_t *>(spool_close(&m_spool)) : nullptr;
	}

      private:
	struct spool m_spool;
	bool m_good;
};

static bool
write_hashes(Block_ostream *out, const std::vector<uint64> &set, uint32_t count)
{
	uint64_t some[512];
	uint32_t held = 0;

	for (uint32_t i = 0; i < count; i++) {
		some[held++] = set[i] & ~ENTRY_HASH_SHARED;
		if (held < 512 && i + 1 < count)
			continue;
		if (out->write(reinterpret_cast<unsigned char *>(some), held * sizeof some[0]))
			return false;
		held = 0;
	}
	return true;
}

/* What commit_run() takes: the hashes, and the payload behind them. NULL: no room. */
static uint64_t *
make_block(Trans_param *param, struct commit_transaction *t, const std::vector<uint64> &set,
	   uint8_t payload_flags)
{
	Binlog_cache_storage *cache =
		param->stmt_cache_log->length() > 0 ? param->stmt_cache_log : param->trx_cache_log;
	struct payload payload = describe_payload(param, payload_flags);
	uint8_t head[PAYLOAD_HEAD_BYTES];

	t->payload_bytes = sizeof head + cache->length();
	Block_ostream out(t->hash_count * sizeof(uint64_t) + t->payload_bytes);
	payload_head(&payload, head);
	if (!write_hashes(&out, set, t->hash_count) || out.write(head, sizeof head) ||
	    cache->copy_to(&out))
		return nullptr;
	return out.close();
}

/* What the session asked for as its GTID_NEXT. */
static void
describe_gtid(Trans_param *param, struct commit_transaction *t)
{
	struct gtid_source *source = &t->assigned.source;
	char tag[TAG_BYTES_MAX + 1] = {};

	t->gtid_spec = GTID_AUTOMATIC;
	if (param->gtid_info.type == ASSIGNED_GTID) {
		global_tsid_lock->rdlock();
		mysql::gtid::Tsid tsid = global_tsid_map->sidno_to_tsid(param->gtid_info.sidno);
		global_tsid_lock->unlock();
		t->gtid_spec = GTID_ASSIGNED;
		t->assigned.gno = static_cast<uint64_t>(param->gtid_info.gno);
		tsid.get_uuid().copy_to(source->uuid);
		source->tag_bytes = static_cast<uint8_t>(tsid.get_tag().to_string(tag));
	} else if (param->gtid_info.automatic_tag.is_defined()) {
		t->gtid_spec = GTID_AUTOMATIC_TAG;
		source->tag_bytes =
			static_cast<uint8_t>(param->gtid_info.automatic_tag.to_string(tag));
	}
	memcpy(source->tag, tag, source->tag_bytes);
}

static int
answer(Trans_param *param, const struct commit_transaction *t, enum commit_outcome outcome)
{
	Transaction_termination_ctx context = {};
	char text[EXPLAIN_CHARS_MAX];

	if (outcome != COMMIT_ACCEPTED && explain_refusal(&t->why, text)) {
		push_warning(param->thd, Sql_condition::SL_NOTE,
			     ER_TRANSACTION_ROLLBACK_DURING_COMMIT, text);
		server_conflicts_add(param->thread_id, my_micro_time(), &t->why);
	}
	if (outcome == COMMIT_UNKNOWN)
		server_words.log(SHIM_LEVEL_ERROR, SHIM_LOG_OWN_WORDS,
				 "A transaction was rolled back here whose outcome in the group is "
				 "unknown. If it was accepted, it comes back at the next START.");
	if (outcome == COMMIT_REFUSED || outcome == COMMIT_UNKNOWN)
		return 1;
	context.m_thread_id = param->thread_id;
	context.m_rollback_transaction = outcome == COMMIT_ROLLBACK;
	if (outcome == COMMIT_ACCEPTED && t->gtid_spec != GTID_ASSIGNED) {
		context.m_generated_gtid = true;
		context.m_sidno = server_sidno(&t->gtid.source);
		context.m_gno = static_cast<int64_t>(t->gtid.gno);
	}
	return set_transaction_ctx(context) ? 1 : 0;
}

static int
submit(Trans_param *param)
{
	std::vector<uint64> *set =
		param->thd->get_transaction()->get_transaction_write_set_ctx()->get_write_set();
	struct commit_facts facts = {};

	facts.transaction_cache_bytes = param->trx_cache_log->length();
	facts.statement_cache_bytes = param->stmt_cache_log->length();
	facts.atomic_ddl = param->is_atomic_ddl;
	facts.create_select = param->is_create_table_as_query_block;
	facts.gtid_assigned = param->gtid_info.type == ASSIGNED_GTID;
	facts.hash_count = set->size();
	facts.bytes_max = shim_variables.transaction_size_limit;

	std::unique_ptr<struct commit_transaction, Malloced> t(
		static_cast<struct commit_transaction *>(
			calloc(1, sizeof(struct commit_transaction))));
	uint8_t payload_flags;
	if (t)
		describe_gtid(param, t.get());
	facts.gtid_tagged = t && t->assigned.source.tag_bytes > 0;
	if (!t || !commit_describe(&facts, t.get(), &payload_flags, &server_words))
		return 1;
	std::unique_ptr<uint64_t, Spooled> block(make_block(param, t.get(), *set, payload_flags));
	if (!block) {
		server_words.log(SHIM_LEVEL_ERROR, SHIM_LOG_OWN_WORDS,
				 "A transaction could not be copied on its way to the group: there "
				 "is no memory, or no room in tmpdir.");
		return 1;
	}
	t->hashes = block.get();
	t->thread_id = param->thread_id;
	t->session = param->thd;
	enum commit_outcome outcome = commit_run(current, t.get());
	if (t->lent)
		(void)block.release();
	return answer(param, t.get(), outcome);
}

static int
before_commit(Trans_param *param)
{
	int result = 0;

	/* What these two bring was certified before it came here. */
	if (param->rpl_channel_type == GR_APPLIER_CHANNEL ||
	    param->rpl_channel_type == GR_RECOVERY_CHANNEL)
		return 0;
	pthread_rwlock_rdlock(&entrance);
	if (current)
		result = submit(param);
	pthread_rwlock_unlock(&entrance);
	return result;
}

static int
after_commit(Trans_param *param)
{
	struct gtid gtid = {};

	if (param->gtid_info.gno <= 0)
		return 0;
	gtid.gno = static_cast<uint64_t>(param->gtid_info.gno);
	mysql::gtid::Tsid tsid(param->gtid_info.tsid);
	char tag[TAG_BYTES_MAX + 1] = {};
	tsid.get_uuid().copy_to(gtid.source.uuid);
	gtid.source.tag_bytes = static_cast<uint8_t>(tsid.get_tag().to_string(tag));
	memcpy(gtid.source.tag, tag, gtid.source.tag_bytes);
	pthread_rwlock_rdlock(&entrance);
	if (current)
		commit_committed(current, param->thread_id, &gtid);
	pthread_rwlock_unlock(&entrance);
	return 0;
}

static int
after_rollback(Trans_param *param)
{
	pthread_rwlock_rdlock(&entrance);
	if (current)
		commit_failed(current, param->thread_id);
	pthread_rwlock_unlock(&entrance);
	return 0;
}

/* What a group can keep equal: rows of InnoDB that a key tells apart. */
static bool
is_fit(const Trans_table_info *table)
{
	if (table->db_type != DB_TYPE_INNODB) {
		server_words.log(SHIM_LEVEL_ERROR, SHIM_LOG_NEEDS_INNODB, table->table_name);
		return false;
	}
	if (table->number_of_primary_keys == 0) {
		server_words.log(SHIM_LEVEL_ERROR, SHIM_LOG_NEEDS_PRIMARY_KEY, table->table_name);
		return false;
	}
	if (table->has_cascade_foreign_key && shim_variables.enforce_update_everywhere_checks) {
		server_words.log(SHIM_LEVEL_ERROR, SHIM_LOG_CASCADE, table->table_name);
		return false;
	}
	return true;
}

static int
before_dml(Trans_param *param, int &veto)
{
	pthread_rwlock_rdlock(&entrance);
	bool in_group = current != nullptr;
	pthread_rwlock_unlock(&entrance);
	if (!in_group)
		return 0;
	if (shim_variables.enforce_update_everywhere_checks &&
	    param->trans_ctx_info.tx_isolation == ISO_SERIALIZABLE) {
		server_words.log(SHIM_LEVEL_ERROR, SHIM_LOG_SERIALIZABLE, nullptr);
		veto++;
	}
	if (param->trans_ctx_info.binlog_format != BINLOG_FORMAT_ROW) {
		server_words.log(SHIM_LEVEL_ERROR, SHIM_LOG_BINLOG_FORMAT, nullptr);
		veto++;
	}
	for (unsigned i = 0; veto == 0 && i < param->number_of_tables; i++)
		if (!is_fit(&param->tables_info[i]))
			veto++;
	return 0;
}

/* The engines have not given back a lock yet. */
static int
before_rollback(Trans_param *param)
{
	pthread_rwlock_rdlock(&entrance);
	if (current)
		commit_failing(current, param->thread_id);
	pthread_rwlock_unlock(&entrance);
	return 0;
}

/* What any client of the group was told of before now is to be read. The server asks for the
 * session's wait_timeout. */
static int
wait_for_others(Trans_param *param)
{
	enum commit_barrier barrier = COMMIT_BARRIER_CLOSED;
	uint64_t timeout_ns = static_cast<uint64_t>(param->hold_timeout) * 1000000000u;

	pthread_rwlock_rdlock(&entrance);
	if (current)
		barrier = commit_barrier(current, param->thd, timeout_ns);
	pthread_rwlock_unlock(&entrance);
	if (barrier == COMMIT_BARRIER_PASSED)
		return 0;
	return barrier == COMMIT_BARRIER_CLOSED ? ER_GRP_TRX_CONSISTENCY_NOT_ALLOWED
						: ER_GRP_TRX_CONSISTENCY_BEFORE;
}

/* Waiting for the others behind a commit comes with a later release: a session
 * that asks for it must not believe it has it. */
static int
begin(Trans_param *param, int &out)
{
	out = 0;
	if (param->group_replication_consistency < GROUP_REPLICATION_CONSISTENCY_BEFORE ||
	    !shim_running(server_shim))
		return 0;
	if (param->group_replication_consistency == GROUP_REPLICATION_CONSISTENCY_BEFORE)
		out = wait_for_others(param);
	else
		out = ER_GRP_TRX_CONSISTENCY_NOT_ALLOWED;
	return 0;
}

static Trans_observer observer = {
	sizeof(Trans_observer), before_dml,     before_commit, before_rollback,
	after_commit,           after_rollback, begin};

/* The server's own life. */
static int
booted(Server_state_param *)
{
	server_booted();
	return 0;
}

static int
shuts_down(Server_state_param *)
{
	server_shuts_down();
	return 0;
}

static int
nothing(Server_state_param *)
{
	return 0;
}

static Server_state_observer life = {sizeof(Server_state_observer),
				     booted,
				     nothing,
				     nothing,
				     nothing,
				     shuts_down,
				     nothing,
				     nothing};

bool
server_hooks_register(void *plugin)
{
	if (register_trans_observer(&observer, plugin) != 0)
		return false;
	if (register_server_state_observer(&life, plugin) == 0)
		return true;
	unregister_trans_observer(&observer, plugin);
	return false;
}

bool
server_hooks_unregister(void *plugin)
{
	bool life_gone = unregister_server_state_observer(&life, plugin) == 0;

	return unregister_trans_observer(&observer, plugin) == 0 && life_gone;
}

void
server_hooks_open(struct commit *commit)
{
	pthread_rwlock_wrlock(&entrance);
	current = commit;
	pthread_rwlock_unlock(&entrance);
}

void
server_hooks_close(void)
{
	server_hooks_open(nullptr);
}
