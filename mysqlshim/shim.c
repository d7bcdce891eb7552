#include "mysqlshim/shim.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/must.h"

#define STACK_NAME_XCOM  "XCom"
#define STACK_NAME_MYSQL "MySQL"

struct shim {
	struct shim_words words;
	_Atomic int phase; /* enum shim_phase */
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
	return shim;
}

void
shim_unload(struct shim *shim)
{
	must(shim);
	must(shim_phase(shim) == SHIM_STOPPED);
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

enum shim_start
shim_start(struct shim *shim, const struct shim_start_request *request)
{
	must(shim);
	must(request->text);
	if (shim_running(shim))
		return SHIM_START_RUNNING;

	atomic_store(&shim->phase, SHIM_CHANGING);
	request->lock();
	enum shim_start result =
		shim_start_check(request->server, &shim->words, request->text, request->capacity);
	request->unlock();
	if (result == SHIM_START_OK) {
		/* No engine is linked into this build yet. */
		snprintf(request->text, request->capacity,
			 "This build of Synod's plugin has no session to an appliance yet.");
		shim->words.log(SHIM_LEVEL_ERROR, SHIM_LOG_OWN_WORDS, request->text);
		result = SHIM_START_FAILED;
	}
	atomic_store(&shim->phase, SHIM_STOPPED);
	return result;
}

enum shim_start
shim_stop(struct shim *shim)
{
	must(shim);
	return SHIM_START_OK;
}

unsigned
shim_member_count(struct shim *shim)
{
	must(shim);
	return 1;
}

/* Until a view is in force a server sees only itself, OFFLINE. */
bool
shim_member(struct shim *shim, unsigned index, const struct shim_server *self,
	    struct shim_member *row)
{
	must(shim);
	memset(row, 0, sizeof *row);
	if (index > 0)
		return false;
	snprintf(row->uuid, sizeof row->uuid, "%s", self->uuid);
	snprintf(row->host, sizeof row->host, "%s", self->host);
	snprintf(row->version, sizeof row->version, "%s", self->version);
	snprintf(row->state, sizeof row->state, "OFFLINE");
	snprintf(row->stack, sizeof row->stack, "%s",
		 shim_variables.communication_stack ? STACK_NAME_MYSQL : STACK_NAME_XCOM);
	row->port = self->port;
	return true;
}

bool
shim_member_stats(struct shim *shim, unsigned index, struct shim_member_stats *row)
{
	must(shim);
	memset(row, 0, sizeof *row);
	return index == 0;
}
