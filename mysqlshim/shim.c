#include "mysqlshim/shim.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/must.h"
#include "mysqlshim/gtid_text.h"
#include "mysqlshim/membership.h"

#define STACK_NAME_XCOM  "XCom"
#define STACK_NAME_MYSQL "MySQL"

struct shim {
	struct shim_words words;
	_Atomic int phase;      /* enum shim_phase */
	pthread_mutex_t change; /* held by START and STOP: the one at boot is no client's */
	pthread_mutex_t lock;   /* of what is below: the tables read while STOP takes it away */
	struct membership *membership;
	uint8_t uuid[UUID_BYTES];
};

/* "9.7.4" of "9.7.4-2": distributions append their own. */
static size_t
version_chars(const char *version)
{
	return strspn(version, "0123456789.");
}

struct shim *
shim_load(const struct shim_words *words, const char *server_version, const char *built_for)
{
	size_t chars = version_chars(built_for);

	must(words);
	must(chars > 0);
	if (version_chars(server_version) != chars || strncmp(server_version, built_for, chars)) {
		char text[256];
		snprintf(text, sizeof text,
			 "This build of Synod's plugin is for MySQL %.*s, and this server is %s. "
			 "Build it with the source of this server's version.",
			 (int)chars, built_for, server_version);
		words->log(SHIM_LEVEL_ERROR, SHIM_LOG_OWN_WORDS, text);
		return NULL;
	}
	struct shim *shim = calloc(1, sizeof *shim);
	if (!shim) {
		words->log(SHIM_LEVEL_ERROR, SHIM_LOG_OWN_WORDS, "Out of memory.");
		return NULL;
	}
	shim->words = *words;
	atomic_init(&shim->phase, SHIM_STOPPED);
	pthread_mutex_init(&shim->change, NULL);
	pthread_mutex_init(&shim->lock, NULL);
	return shim;
}

void
shim_unload(struct shim *shim)
{
	must(shim);
	must(shim_phase(shim) == SHIM_STOPPED);
	pthread_mutex_destroy(&shim->change);
	pthread_mutex_destroy(&shim->lock);
	free(shim);
}

enum shim_phase
shim_phase(const struct shim *shim)
{
	return (enum shim_phase)atomic_load(&shim->phase);
}

bool
shim_running(const struct shim *shim)
{
	return shim_phase(shim) == SHIM_RUNNING;
}

/* What START needs of the variables, copied: the server may change them later. */
static enum shim_start
collect(const struct shim *shim, const struct shim_server *server, struct membership_options *o)
{
	const struct shim_variables *v = &shim_variables;

	*o = (struct membership_options){
		.words = shim->words,
		.server = *server,
		.bootstrap = v->bootstrap_group,
		.block_size = v->gtid_assignment_block_size,
		.transaction_bytes_max = v->transaction_size_limit,
		.auto_increment_increment = v->auto_increment_increment,
	};
	snprintf(o->nodes, sizeof o->nodes, "%s", v->appliance);
	tls_choose(&o->tls, server);
	must(uuid_parse(o->group_uuid, v->group_name)); /* the checks saw to it */
	return uuid_parse(o->server_uuid, server->uuid) ? SHIM_START_OK : SHIM_START_CONFIGURATION;
}

static void
set_membership(struct shim *shim, struct membership *membership)
{
	pthread_mutex_lock(&shim->lock);
	shim->membership = membership;
	pthread_mutex_unlock(&shim->lock);
}

static enum shim_start
begin(struct shim *shim, struct membership_options *o, const struct shim_start_request *request)
{
	struct membership *membership;

	shim->words.log(SHIM_LEVEL_SYSTEM, SHIM_LOG_STARTING, NULL);
	if (!appliance_parse(&o->appliance, o->nodes, request->text, request->capacity)) {
		shim->words.log(SHIM_LEVEL_ERROR, SHIM_LOG_OWN_WORDS, request->text);
		return SHIM_START_FAILED;
	}
	if (!tls_unlock(&o->tls, &o->appliance, &o->certificates,
			(struct tls_text){request->text, request->capacity})) {
		shim->words.log(SHIM_LEVEL_ERROR, SHIM_LOG_OWN_WORDS, request->text);
		return SHIM_START_FAILED;
	}
	if (!o->appliance.sealed)
		shim->words.log(
			SHIM_LEVEL_WARNING, SHIM_LOG_OWN_WORDS,
			"Links to the appliance are in clear: whoever is on the network "
			"between this server and the nodes can read and forge transactions. "
			"To seal them, write the nodes' public keys into synod.appliance: "
			"'host:port=PUBLICKEY, ...'.");
	enum shim_start result = membership_start(o, &membership, request->text, request->capacity);
	if (result != SHIM_START_OK)
		return result;
	memcpy(shim->uuid, o->server_uuid, UUID_BYTES);
	set_membership(shim, membership);
	shim->words.log(SHIM_LEVEL_SYSTEM, SHIM_LOG_STARTED, NULL);
	return SHIM_START_OK;
}

static enum shim_start
start_locked(struct shim *shim, const struct shim_start_request *request)
{
	struct membership_options options;

	if (shim_running(shim))
		return SHIM_START_RUNNING;
	atomic_store(&shim->phase, SHIM_CHANGING);
	request->lock();
	enum shim_start result =
		shim_start_check(request->server, &shim->words, request->text, request->capacity);
	if (result == SHIM_START_OK)
		result = collect(shim, request->server, &options);
	request->unlock();
	if (result == SHIM_START_OK && request->server->ready)
		result = begin(shim, &options, request);
	bool running = shim->membership != NULL;
	atomic_store(&shim->phase, running ? SHIM_RUNNING : SHIM_STOPPED);
	return result;
}

enum shim_start
shim_start(struct shim *shim, const struct shim_start_request *request)
{
	must(shim);
	must(request->text);
	pthread_mutex_lock(&shim->change);
	enum shim_start result = start_locked(shim, request);
	pthread_mutex_unlock(&shim->change);
	return result;
}

enum shim_start
shim_stop(struct shim *shim)
{
	must(shim);
	pthread_mutex_lock(&shim->change);
	struct membership *membership = shim->membership;
	if (membership) {
		atomic_store(&shim->phase, SHIM_CHANGING);
		shim->words.log(SHIM_LEVEL_SYSTEM, SHIM_LOG_STOPPING, NULL);
		set_membership(shim, NULL);
		membership_stop(membership);
		shim->words.log(SHIM_LEVEL_SYSTEM, SHIM_LOG_STOPPED, NULL);
		atomic_store(&shim->phase, SHIM_STOPPED);
	}
	pthread_mutex_unlock(&shim->change);
	return SHIM_START_OK;
}

/* ---- the tables ---- */

/* False: not running, and a server sees only itself, OFFLINE. */
static bool
read_rows(struct shim *shim, struct membership_rows *rows)
{
	pthread_mutex_lock(&shim->lock);
	bool running = shim->membership != NULL;
	if (running)
		membership_rows(shim->membership, rows);
	pthread_mutex_unlock(&shim->lock);
	return running;
}

/* An ERROR member sees only itself, and so does one that has no view yet. */
static bool
is_alone(const struct membership_rows *rows)
{
	return rows->state == MEMBERSHIP_ERROR || rows->view.row_count == 0;
}

unsigned
shim_member_count(struct shim *shim)
{
	struct membership_rows *rows = malloc(sizeof *rows);
	unsigned count = 1;

	must(shim);
	if (rows && read_rows(shim, rows) && !is_alone(rows))
		count = rows->view.row_count;
	free(rows);
	return count;
}

static void
own_member(const struct shim_server *self, const char *state, struct shim_member *row)
{
	snprintf(row->uuid, sizeof row->uuid, "%s", self->uuid);
	snprintf(row->host, sizeof row->host, "%s", self->host);
	snprintf(row->version, sizeof row->version, "%s", self->version);
	snprintf(row->state, sizeof row->state, "%s", state);
	row->port = self->port;
}

/* Multi-primary: whoever is in the group is a primary. */
static void
view_member(const struct member_view_row *from, struct shim_member *row)
{
	uuid_format(from->server_uuid, row->uuid);
	snprintf(row->host, sizeof row->host, "%s", from->host);
	snprintf(row->version, sizeof row->version, "%u.%u.%u", from->version / 10000,
		 from->version / 100 % 100, from->version % 100);
	snprintf(row->state, sizeof row->state, "%s", from->online ? "ONLINE" : "RECOVERING");
	snprintf(row->role, sizeof row->role, "PRIMARY");
	row->port = from->port;
}

bool
shim_member(struct shim *shim, unsigned index, const struct shim_server *self,
	    struct shim_member *row)
{
	struct membership_rows *rows = malloc(sizeof *rows);
	bool there = rows != NULL;

	must(shim);
	memset(row, 0, sizeof *row);
	if (rows && read_rows(shim, rows)) {
		if (!is_alone(rows) && index < rows->view.row_count)
			view_member(&rows->view.row[index], row);
		else if (is_alone(rows) && index == 0)
			own_member(self, rows->state == MEMBERSHIP_ERROR ? "ERROR" : "RECOVERING",
				   row);
		else
			there = false;
	} else if (index == 0) {
		own_member(self, "OFFLINE", row);
	} else {
		there = false;
	}
	snprintf(row->stack, sizeof row->stack, "%s",
		 shim_variables.communication_stack ? STACK_NAME_MYSQL : STACK_NAME_XCOM);
	free(rows);
	return there;
}

static void
own_stats(const struct membership_rows *rows, struct shim_member_stats *row)
{
	const struct member_stats *s = &rows->stats;

	row->in_queue = s->undecided;
	row->certified = s->checked;
	row->conflicts = s->conflicts;
	row->rows_validating = s->rows_validating;
	row->remote_in_queue = rows->to_apply;
	row->remote_applied = s->remote_committed;
	row->local_proposed = s->proposed;
	row->local_rollback = s->local_rolled_back;
	if (rows->state == MEMBERSHIP_ONLINE && s->last_accepted.gno != 0)
		gtid_format(&s->last_accepted, row->last_conflict_free);
}

bool
shim_member_stats(struct shim *shim, unsigned index, struct shim_member_stats *row)
{
	struct membership_rows *rows = malloc(sizeof *rows);
	bool there = index == 0;

	must(shim);
	memset(row, 0, sizeof *row);
	if (rows && read_rows(shim, rows) && !is_alone(rows)) {
		const struct member_view_row *from = &rows->view.row[index];

		there = index < rows->view.row_count;
		if (there) {
			uuid_format(from->server_uuid, row->uuid);
			snprintf(row->view_id, sizeof row->view_id, "%llu:%llu",
				 (unsigned long long)rows->view.view_id,
				 (unsigned long long)rows->view.view_counter);
		}
		if (there && memcmp(from->server_uuid, shim->uuid, UUID_BYTES) == 0)
			own_stats(rows, row);
	}
	free(rows);
	return there;
}
