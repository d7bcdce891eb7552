#include "mysqlshim/membership.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/must.h"
#include "hw/certificates.h"
#include "mysqlshim/applier.h"
#include "mysqlshim/engine.h"
#include "mysqlshim/feeder.h"
#include "mysqlshim/gtid_text.h"
#include "mysqlshim/server_calls.h"

#define INFLIGHT_MAX     4096
#define RING_BYTES       (16 << 20)
#define JOIN_TIMEOUT_NS  30000000000u
#define LEAVE_TIMEOUT_NS 50000000000u
#define STALL_NS         100000000u /* longer than a commit waits on a busy host */
#define TEXT_CHARS       512
#define THREAD_NAME      "Group replication applier module"
#define GTID_SOURCES     256
#define GTID_INTERVALS   65536

struct membership {
	struct membership_options options;
	struct server_modes modes;
	struct engine *engine;
	struct feeder *feeder;
	struct applier applier;
	bool channel_open;
	pthread_mutex_t lock; /* of what is below */
	enum membership_state state;
	struct member_view view;
};

static void
say(const struct membership *m, enum shim_level level, const char *text)
{
	m->options.words.log(level, SHIM_LOG_OWN_WORDS, text);
}

static void
log_code(const struct membership *m, enum shim_level level, enum shim_log_code code)
{
	m->options.words.log(level, code, NULL);
}

static void
set_read_only(const struct membership *m, bool on)
{
	if (server_read_only(on))
		log_code(m, SHIM_LEVEL_SYSTEM, on ? SHIM_LOG_READ_ONLY_ON : SHIM_LOG_READ_ONLY_OFF);
	else
		say(m, SHIM_LEVEL_ERROR,
		    on ? "super_read_only could not be set. Set it by hand, and STOP "
			 "GROUP_REPLICATION."
		       : "super_read_only could not be taken back. SET GLOBAL read_only=OFF.");
}

/* ---- on the feeder's thread ---- */

static bool
work_begin(void *context)
{
	(void)context;
	return server_thread_begin(THREAD_NAME);
}

static void
work_end(void *context)
{
	(void)context;
	server_thread_end();
}

/* True when it was not in ERROR before. */
static bool
enter_error(struct membership *m)
{
	pthread_mutex_lock(&m->lock);
	bool first = m->state != MEMBERSHIP_ERROR;
	m->state = MEMBERSHIP_ERROR;
	pthread_mutex_unlock(&m->lock);
	return first;
}

static void
fail(struct membership *m)
{
	if (!enter_error(m))
		return;
	commit_close(engine_commits(m->engine));
	engine_retire(m->engine);
	set_read_only(m, true);
}

static void
work_applier_stopped(void *context)
{
	struct membership *m = context;

	log_code(m, SHIM_LEVEL_ERROR, SHIM_LOG_APPLIER_FATAL);
	fail(m);
}

static void
work_transaction(void *context, const struct feeder_transaction *t)
{
	struct membership *m = context;
	char text[TEXT_CHARS];

	if (m->state == MEMBERSHIP_ERROR || applier_take(&m->applier, t, text, sizeof text))
		return;
	say(m, SHIM_LEVEL_ERROR, text);
	fail(m);
}

static void
work_ended(void *context)
{
	struct membership *m = context;

	log_code(m, SHIM_LEVEL_ERROR, SHIM_LOG_EXPELLED);
	fail(m);
}

static const struct member_view_row *
own_row(const struct membership *m, const struct member_view *view)
{
	for (uint32_t i = 0; i < view->row_count; i++)
		if (memcmp(view->row[i].server_uuid, m->options.server_uuid, UUID_BYTES) == 0)
			return &view->row[i];
	return NULL;
}

static void
log_view(const struct membership *m, const struct member_view *view)
{
	char names[TEXT_CHARS] = "", id[64];
	size_t used = 0;

	for (uint32_t i = 0; i < view->row_count && used < sizeof names; i++)
		used += (size_t)snprintf(names + used, sizeof names - used, "%s%s:%u",
					 i ? ", " : "", view->row[i].host, view->row[i].port);
	snprintf(id, sizeof id, "%llu:%llu", (unsigned long long)view->view_id,
		 (unsigned long long)view->view_counter);
	m->options.words.log_two(SHIM_LEVEL_SYSTEM, SHIM_LOG_VIEW, names, id);
}

static void
work_view(void *context, const struct member_view *view)
{
	struct membership *m = context;
	const struct member_view_row *own = own_row(m, view);

	pthread_mutex_lock(&m->lock);
	bool online = own && own->online && m->state == MEMBERSHIP_RECOVERING;
	bool other_members = view->view_counter != m->view.view_counter;
	m->view = *view;
	if (online)
		m->state = MEMBERSHIP_ONLINE;
	pthread_mutex_unlock(&m->lock);
	if (other_members)
		log_view(m, view);
	if (!online)
		return;
	set_read_only(m, false);
	log_code(m, SHIM_LEVEL_SYSTEM, SHIM_LOG_ONLINE);
}

static void
work_room(void *context)
{
	struct membership *m = context;

	engine_release(m->engine);
}

/* ---- on the network thread ---- */

static void
on_queue(void *context, const struct member_output *o)
{
	struct membership *m = context;
	struct feeder_transaction t = {
		.index = o->index,
		.dependency = o->dependency,
		.gtid = *o->gtid,
		.flags = o->flags,
		.payload = o->data,
		.payload_bytes = o->bytes,
		.offset = o->offset,
		.total = o->total,
		.last = o->last,
	};

	feeder_put_transaction(m->feeder, &t);
}

static void
on_view(void *context, const struct member_view *view)
{
	struct membership *m = context;

	feeder_put_view(m->feeder, view);
}

static void
say_lacks(const struct membership *m, const struct gtid *gtid)
{
	char name[GTID_CHARS_MAX + 1], text[512];

	gtid_format(gtid, name);
	snprintf(text, sizeof text,
		 "This server lacks transaction %s, which only nodes had that were given up: none "
		 "can send it any more. Clone this server from one that has committed it. If there "
		 "is none, it is lost: commit an empty transaction under that GTID on each server, "
		 "and START again.",
		 name);
	say(m, SHIM_LEVEL_ERROR, text);
}

static void
say_unknown(const struct membership *m, uint32_t count)
{
	char text[256];

	snprintf(text, sizeof text,
		 "%u transactions waited for their verdict when this membership ended without "
		 "one. They were rolled back here, and come back at the next START where they "
		 "were accepted.",
		 count);
	say(m, SHIM_LEVEL_WARNING, text);
}

static void
on_ended(void *context, const struct engine_end *end)
{
	struct membership *m = context;

	if (end->unknown > 0)
		say_unknown(m, end->unknown);
	if (end->lacks)
		say_lacks(m, end->lacks);
	if (end->diverged)
		say(m, SHIM_LEVEL_ERROR,
		    "The transactions that this server committed are not those that the group "
		    "ordered, so it was expelled. Do not let it join again as it is: its data "
		    "may differ from the other members'. Keep it for a comparison, and clone it "
		    "anew from one of them.");
	feeder_put_ended(m->feeder);
}

static bool
has_room(void *context)
{
	struct membership *m = context;

	return !feeder_is_full(m->feeder);
}

/* ---- on the server's applier ---- */

static void
on_applied(void *context)
{
	struct membership *m = context;

	feeder_applied(m->feeder);
}

static void
applier_stopped(void *context)
{
	struct membership *m = context;

	feeder_applier_stopped(m->feeder);
}

/* ---- START ---- */

static enum shim_start
explain(char *text, size_t capacity, const char *what, const char *remedy)
{
	snprintf(text, capacity, "%s %s", what, remedy);
	return SHIM_START_FAILED;
}

/* What a node says of this server's certificate, or this server found of a node's. */
static enum shim_start
refused_certificate(const struct membership *m, enum member_refusal refusal, char *text,
		    size_t capacity)
{
	char words[1024];

	switch (refusal) {
	case MEMBER_REFUSED_UNTRUSTED:
		return explain(text, capacity,
			       "The nodes do not trust the authority that signed this server's "
			       "certificate.",
			       "Have the certificate signed by one in the nodes' [certificates] "
			       "ca, or add its authority there.");
	case MEMBER_REFUSED_EXPIRED:
		return explain(text, capacity,
			       "This server's certificate has expired, or is not valid yet.",
			       "Renew it, or set the clocks of this host and the nodes.");
	case MEMBER_REFUSED_REVOKED:
		return explain(text, capacity,
			       "This server's certificate is revoked by a list of the nodes.",
			       "Give this server another one.");
	case MEMBER_REFUSED_FORGED:
		return explain(text, capacity,
			       "The nodes do not find that this server's certificate stands for "
			       "its key.",
			       "Bring both to the same release.");
	case MEMBER_REFUSED_NOT_SHOWN:
		return explain(text, capacity,
			       "group_replication_ssl_mode asks for the nodes' certificates, and "
			       "they have none.",
			       "Give them some in [certificates] of their configurations, or set "
			       "group_replication_ssl_mode=REQUIRED, which relies on the public "
			       "keys in synod.appliance alone.");
	default:
		snprintf(words, sizeof words, "A node's certificate is not good: %s.",
			 hw_certificates_why(m->options.certificates));
		return explain(text, capacity, words,
			       "The certificate must be signed by an authority in ssl_ca of this "
			       "server, be valid now and, with VERIFY_IDENTITY, name the host that "
			       "synod.appliance has.");
	}
}

static enum shim_start
refused(const struct membership *m, enum member_refusal refusal, char *text, size_t capacity)
{
	switch (refusal) {
	case MEMBER_REFUSED_NO_GROUP:
		return explain(text, capacity,
			       "The appliance has no group of the name that "
			       "group_replication_group_name gives.",
			       "Correct the name, or, to make the group, START with "
			       "group_replication_bootstrap_group=ON.");
	case MEMBER_REFUSED_GROUP_EXISTS:
		return explain(text, capacity,
			       "group_replication_bootstrap_group is ON, but the group has "
			       "members.",
			       "Set it to OFF to join them.");
	case MEMBER_REFUSED_VERSION:
		return explain(text, capacity,
			       "The appliance's nodes speak another version of the protocol than "
			       "this plugin.",
			       "Bring both to the same release.");
	case MEMBER_REFUSED_EPOCH:
		return explain(text, capacity,
			       "The node answered from another epoch of the appliance.",
			       "Check that synod.appliance names nodes of one appliance.");
	case MEMBER_REFUSED_EXTRA_GTIDS:
		log_code(m, SHIM_LEVEL_ERROR, SHIM_LOG_EXTRA_TRANSACTIONS);
		return SHIM_START_CONFIGURATION;
	case MEMBER_REFUSED_GAP:
		return explain(text, capacity,
			       "This server lacks transactions that are older than the "
			       "appliance's log.",
			       "Restore it from a backup of another member, or with CLONE "
			       "INSTANCE, and START again.");
	case MEMBER_REFUSED_FULL:
		return explain(text, capacity, "The appliance takes no more members.",
			       "Stop one, or wait until one that is gone is expelled.");
	case MEMBER_REFUSED_BLOCK_SIZE:
		return explain(text, capacity,
			       "group_replication_gtid_assignment_block_size is not the group's.",
			       "Set it to the value that the other members have.");
	case MEMBER_REFUSED_KEY:
		return explain(text, capacity,
			       "This server's key may not open the group that "
			       "group_replication_group_name gives.",
			       "On the nodes, list the key for that group: synodctl key add; or, "
			       "with certificates, the group in [certificates] groups.");
	case MEMBER_REFUSED_SEAL:
		return explain(text, capacity, "The appliance's nodes take sealed links only.",
			       "Write their public keys into synod.appliance: "
			       "'host:port=PUBLICKEY, ...'.");
	case MEMBER_REFUSED_UNTRUSTED:
	case MEMBER_REFUSED_EXPIRED:
	case MEMBER_REFUSED_REVOKED:
	case MEMBER_REFUSED_FORGED:
	case MEMBER_REFUSED_NOT_SHOWN:
	case MEMBER_REFUSED_NOT_GOOD:
		return refused_certificate(m, refusal, text, capacity);
	case MEMBER_REFUSED_INCARNATION:
	case MEMBER_REFUSED_NONE:
		break;
	}
	return explain(text, capacity, "Another START of this very server came first.",
		       "Check that no two servers have the same server_uuid.");
}

static enum shim_start
not_joined(const struct membership *m, int error, enum member_refusal refusal, char *text,
	   size_t capacity)
{
	char words[3 * TEXT_CHARS];
	enum shim_start result = SHIM_START_ENGINE;

	if (error == -ECONNREFUSED) {
		result = refused(m, refusal, text, capacity);
		snprintf(words, sizeof words, "%s", text);
	} else if (error == -ETIMEDOUT) {
		result = SHIM_START_JOIN;
		snprintf(words, sizeof words,
			 "No node of the appliance (%s) answered in %u s, or none of them leads. "
			 "Check that a majority of the nodes runs (synodctl status), and that "
			 "UDP to these addresses passes%s.",
			 m->options.nodes, (unsigned)(JOIN_TIMEOUT_NS / 1000000000u),
			 m->options.appliance.sealed
				 ? ", and that their key files list this server's key, or their "
				   "[certificates] accept its certificate"
				 : "");
	} else {
		snprintf(words, sizeof words, "The engine cannot start: %s.", strerror(-error));
	}
	if (words[0])
		say(m, SHIM_LEVEL_ERROR, words);
	return result;
}

/* gtid_executed as the group wants it; free() it. */
static uint8_t *
executed_bytes(struct gtid_bytes *bytes)
{
	struct gtid_limits limits = {.sources_max = GTID_SOURCES, .intervals_max = GTID_INTERVALS};
	char *text = server_gtid_executed();
	void *memory = malloc(gtid_set_size(limits));
	uint8_t *data = NULL;

	if (text && memory) {
		struct gtid_set *set = gtid_set_init(memory, limits);
		bool parsed = gtid_text_parse(set, text);
		size_t size = gtid_set_bytes(set);

		data = parsed ? malloc(size) : NULL;
		if (data) {
			struct writer w = writer_over(data, size);
			gtid_set_encode(set, &w);
			must(!w.bad);
			*bytes = (struct gtid_bytes){.data = data, .bytes = (uint32_t)w.bytes};
		}
	}
	free(text);
	free(memory);
	return data;
}

/* "9.7.4" is 90704. */
static uint32_t
version_number(const char *text)
{
	unsigned major = 0, minor = 0, patch = 0;

	must(sscanf(text, "%u.%u.%u", &major, &minor, &patch) == 3);
	return major * 10000 + minor * 100 + patch;
}

static enum shim_start
join(struct membership *m, char *text, size_t capacity)
{
	const struct membership_options *o = &m->options;
	enum member_refusal refusal = MEMBER_REFUSED_NONE;
	struct engine_join j = {
		.bootstrap = o->bootstrap,
		.host = o->server.host,
		.port = (uint16_t)o->server.port,
		.version = version_number(o->server.version),
		.block_size = o->block_size,
		.timeout_ns = JOIN_TIMEOUT_NS,
	};
	uint8_t *executed = executed_bytes(&j.executed);

	if (!executed)
		return explain(text, capacity,
			       "gtid_executed has too many sources or gaps to join a group.",
			       "Restore this server from a backup of another member.");
	memcpy(j.group_uuid, o->group_uuid, UUID_BYTES);
	int error = engine_join(m->engine, &j, &refusal);
	free(executed);
	if (error == 0)
		return SHIM_START_OK;
	return not_joined(m, error, refusal, text, capacity);
}

/* As many transactions as find a core to run on while as many wait for the disk, and
 * the same again, so that a worker has its next one when it has committed: without it
 * the applier falls behind clients of its own server. The coordinator spins for what
 * no worker is free for, so that is no more than one for each. More workers than four
 * times as many are taken as a wish for more, for a disk that is slow. */
static uint32_t
ahead_max(unsigned long workers)
{
	long cores = sysconf(_SC_NPROCESSORS_ONLN);
	unsigned long wanted = cores > 0 ? 4 * (unsigned long)cores : 4;

	if (wanted < workers / 4)
		wanted = workers / 4;
	return (uint32_t)(wanted < 2 * workers ? wanted : 2 * workers);
}

static int
open_parts(struct membership *m)
{
	struct engine_options o = {
		.appliance = m->options.appliance,
		.certificates = m->options.certificates,
		.inflight_max = INFLIGHT_MAX,
		.server = &server_commit,
		.callbacks = {.context = m,
			      .on_queue = on_queue,
			      .on_view = on_view,
			      .on_ended = on_ended,
			      .has_room = has_room,
			      .on_applied = on_applied},
	};
	struct feeder_work work = {.context = m,
				   .ahead_max = ahead_max(m->options.server.applier_workers),
				   .stall_ns = STALL_NS,
				   .begin = work_begin,
				   .end = work_end,
				   .transaction = work_transaction,
				   .view = work_view,
				   .ended = work_ended,
				   .applier_stopped = work_applier_stopped,
				   .room = work_room};

	memcpy(o.server_uuid, m->options.server_uuid, UUID_BYTES);
	applier_init(&m->applier, server_channel_queue);
	int error = engine_open(&o, &m->engine);
	if (error == 0)
		error = feeder_open(&work, RING_BYTES, &m->feeder);
	return error;
}

/* Whatever of it there is; no client is in the commit any more. */
static void
close_parts(struct membership *m)
{
	server_hooks_close();
	server_channel_watch(NULL, NULL);
	if (m->feeder)
		feeder_close(m->feeder);
	if (m->channel_open && server_channel_close(SERVER_CHANNEL_TIMEOUT_S) != 0)
		say(m, SHIM_LEVEL_ERROR,
		    "The applier of group_replication could not be stopped in time.");
	if (m->engine)
		engine_free(m->engine);
	hw_certificates_free(m->options.certificates);
	applier_free(&m->applier);
	server_modes_leave(&m->modes);
	pthread_mutex_destroy(&m->lock);
	free(m);
}

static enum shim_start
start(struct membership *m, char *text, size_t capacity)
{
	set_read_only(m, true);
	int error = server_channel_open();
	if (error != 0) {
		snprintf(text, capacity, "The applier channel does not start (error %d).", error);
		say(m, SHIM_LEVEL_ERROR, text);
		text[0] = '\0';
		return SHIM_START_APPLIER;
	}
	m->channel_open = true;
	error = open_parts(m);
	if (error != 0)
		return not_joined(m, error, MEMBER_REFUSED_NONE, text, capacity);
	server_hooks_open(engine_commits(m->engine));
	server_channel_watch(applier_stopped, m);
	return join(m, text, capacity);
}

enum shim_start
membership_start(const struct membership_options *options, struct membership **membership,
		 char *text, size_t capacity)
{
	struct membership *m = calloc(1, sizeof *m);

	*membership = NULL;
	text[0] = '\0';
	if (!m) {
		hw_certificates_free(options->certificates);
		return explain(text, capacity, "Out of memory.", "Give this server more.");
	}
	m->options = *options;
	m->state = MEMBERSHIP_RECOVERING;
	pthread_mutex_init(&m->lock, NULL);
	server_modes_enter(&m->modes, options->auto_increment_increment,
			   options->transaction_bytes_max);
	enum shim_start result = start(m, text, capacity);
	if (result == SHIM_START_OK) {
		*membership = m;
		return result;
	}
	bool was_read_only = m->modes.read_only || m->modes.super_read_only;
	if (!was_read_only)
		set_read_only(m, false);
	close_parts(m);
	return result;
}

void
membership_stop(struct membership *m)
{
	if (!engine_leave(m->engine, LEAVE_TIMEOUT_NS))
		say(m, SHIM_LEVEL_WARNING,
		    "This server left without the group's knowledge: no majority of the "
		    "appliance's "
		    "nodes answered. It is expelled after a while; what was waiting for its "
		    "verdict "
		    "was rolled back here, and comes back at the next START where it was "
		    "accepted.");
	set_read_only(m, true);
	close_parts(m);
}

/* ---- the tables ---- */

void
membership_rows(struct membership *m, struct membership_rows *rows)
{
	pthread_mutex_lock(&m->lock);
	rows->state = m->state;
	rows->view = m->view;
	pthread_mutex_unlock(&m->lock);
	engine_stats(m->engine, &rows->stats);
	rows->to_apply = rows->stats.remote_queued - rows->stats.remote_committed;
}
