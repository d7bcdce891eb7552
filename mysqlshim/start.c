#include "mysqlshim/start.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/must.h"
#include "mysqlshim/endpoints.h"

#define COUNT(array)   (sizeof(array) / sizeof((array)[0]))
#define VIEW_UUID_AUTO "AUTOMATIC"

static enum shim_start
refuse(const struct shim_words *words, enum shim_log_code code, const char *argument)
{
	words->log(SHIM_LEVEL_ERROR, code, argument);
	return SHIM_START_CONFIGURATION;
}

static enum shim_start
check_server(const struct shim_server *s, const struct shim_words *words)
{
	const struct shim_variables *v = &shim_variables;

	if (!s->binlog_enabled)
		return refuse(words, SHIM_LOG_BINLOG, NULL);
	if (!s->binlog_row_format)
		return refuse(words, SHIM_LOG_BINLOG_FORMAT, NULL);
	if (!s->gtid_mode_on)
		return refuse(words, SHIM_LOG_GTID_MODE, NULL);
	if (!s->log_replica_updates)
		return refuse(words, SHIM_LOG_REPLICA_UPDATES, NULL);
	if (s->applier_workers > 0 && !s->preserve_commit_order) {
		/* Stock refuses here too, and calls it a warning. */
		words->log(SHIM_LEVEL_WARNING, SHIM_LOG_COMMIT_ORDER, NULL);
		return SHIM_START_CONFIGURATION;
	}
	if (v->single_primary_mode && v->enforce_update_everywhere_checks)
		return refuse(words, SHIM_LOG_MODE_AND_CHECKS, NULL);
	return SHIM_START_OK;
}

static enum shim_start
check_group_name(const struct shim_server *s, const struct shim_words *words)
{
	const char *name = shim_variables.group_name;

	if (!name)
		return refuse(words, SHIM_LOG_NAME_MISSING, NULL);
	if (strlen(name) > SHIM_UUID_CHARS)
		return refuse(words, SHIM_LOG_NAME_LONG, name);
	if (!shim_uuid_valid(name))
		return refuse(words, SHIM_LOG_NAME_INVALID, name);
	if (s->group_name_anonymous)
		return refuse(words, SHIM_LOG_NAME_ANONYMOUS, name);
	if (strcmp(name, shim_variables.view_change_uuid) == 0)
		return refuse(words, SHIM_LOG_NAME_IS_VIEW_UUID, name);
	return SHIM_START_OK;
}

static enum shim_start
check_view_change_uuid(const struct shim_server *s, const struct shim_words *words)
{
	const char *uuid = shim_variables.view_change_uuid;

	if (strcmp(uuid, VIEW_UUID_AUTO) == 0)
		return SHIM_START_OK;
	if (!shim_uuid_valid(uuid))
		return refuse(words, SHIM_LOG_VIEW_UUID_INVALID, uuid);
	if (strcmp(uuid, shim_variables.group_name) == 0)
		return refuse(words, SHIM_LOG_VIEW_UUID_IS_NAME, uuid);
	if (s->view_change_uuid_anonymous)
		return refuse(words, SHIM_LOG_VIEW_UUID_ANONYMOUS, uuid);
	return SHIM_START_OK;
}

static enum shim_start
check_ssl_texts(const struct shim_words *words)
{
	const struct shim_variables *v = &shim_variables;
	const struct {
		const char *value, *name;
	} texts[] = {
		{v->recovery_ssl_ca, "ssl_ca"},
		{v->recovery_ssl_capath, "ssl_capath"},
		{v->recovery_ssl_cert, "ssl_cert_pointer"},
		{v->recovery_ssl_cipher, "ssl_cipher_pointer"},
		{v->recovery_ssl_key, "ssl_key_pointer"},
		{v->recovery_ssl_crl, "ssl_crl_pointer"},
		{v->recovery_ssl_crlpath, "ssl_crlpath_pointer"},
		{v->recovery_public_key_path, "public_key_path"},
		{v->recovery_tls_version, "tls_version"},
		{v->recovery_tls_ciphersuites, "tls_ciphersuites"},
	};

	for (size_t i = 0; i < COUNT(texts); i++)
		if (texts[i].value && strlen(texts[i].value) > SHIM_PATH_CHARS_MAX)
			return refuse(words, SHIM_LOG_SSL_TEXT, texts[i].name);
	return SHIM_START_OK;
}

static enum shim_start
check_quotas(const struct shim_words *words)
{
	const struct shim_variables *v = &shim_variables;
	int64_t max = v->flow_control_max_quota;
	int64_t min = v->flow_control_min_quota;
	int64_t recovery = v->flow_control_min_recovery_quota;

	if (shim_quota_min(min, max) != SHIM_QUOTA_OK)
		return refuse(words, SHIM_LOG_QUOTA_MIN, NULL);
	if (shim_quota_min_recovery(recovery, max) != SHIM_QUOTA_OK)
		return refuse(words, SHIM_LOG_QUOTA_MIN_RECOVERY, NULL);
	if (shim_quota_max(max, min, recovery) != SHIM_QUOTA_OK)
		return refuse(words, SHIM_LOG_QUOTA_MAX, NULL);
	return SHIM_START_OK;
}

static enum shim_start
check_endpoints(const struct shim_server *s, const struct shim_words *words)
{
	struct shim_ports ports = {.main = s->port, .admin = s->admin_port};
	char culprit[SHIM_PATH_CHARS_MAX];

	switch (shim_endpoints_check(shim_variables.advertise_recovery_endpoints, ports, culprit,
				     sizeof culprit)) {
	case SHIM_ENDPOINTS_OK:
		return SHIM_START_OK;
	case SHIM_ENDPOINTS_FORMAT:
		if (!s->ready) /* the server boots: there is no client to tell */
			return refuse(words, SHIM_LOG_ENDPOINTS_FORMAT, culprit);
		words->client(SHIM_CLIENT_ENDPOINTS_FORMAT, culprit);
		return SHIM_START_CONFIGURATION;
	case SHIM_ENDPOINTS_INVALID:
		break;
	}
	if (!s->ready)
		return refuse(words, SHIM_LOG_ENDPOINTS_INVALID, culprit);
	words->client(SHIM_CLIENT_ENDPOINTS_INVALID, culprit);
	return SHIM_START_CONFIGURATION;
}

/* What a later release brings is refused in words, never half done. */
static enum shim_start
check_release(const struct shim_words *words, char *text, size_t capacity)
{
	const struct shim_variables *v = &shim_variables;

	text[0] = '\0';
	if (v->single_primary_mode)
		snprintf(text, capacity,
			 "Single-primary mode comes with a later release of Synod. Set "
			 "group_replication_single_primary_mode=OFF to run in multi-primary mode.");
	else if (!v->appliance || v->appliance[0] == '\0')
		snprintf(text, capacity,
			 "The embedded engine comes with a later release of Synod. Set "
			 "synod.appliance to the nodes of an appliance: 'host:port, ...'.");
	if (text[0] == '\0')
		return SHIM_START_OK;
	words->log(SHIM_LEVEL_ERROR, SHIM_LOG_OWN_WORDS, text);
	return SHIM_START_FAILED;
}

enum shim_start
shim_start_check(const struct shim_server *s, const struct shim_words *words, char *text,
		 size_t capacity)
{
	const struct shim_variables *v = &shim_variables;
	enum shim_start result;

	must(s);
	must(capacity > 0);
	text[0] = '\0';
	if ((result = check_server(s, words)))
		return result;
	if ((result = check_group_name(s, words)))
		return result;
	if ((result = check_view_change_uuid(s, words)))
		return result;
	if ((result = check_ssl_texts(words)))
		return result;
	if (!v->start_on_boot && !s->ready)
		return refuse(words, SHIM_LOG_SERVER_ID, NULL);
	if (v->force_members && v->force_members[0] != '\0')
		return refuse(words, SHIM_LOG_FORCE_MEMBERS, v->force_members);
	if ((result = check_quotas(words)))
		return result;
	if ((result = check_endpoints(s, words)))
		return result;
	/* Stock finds this one when it makes the member's description. */
	if (strcasecmp(s->uuid, v->group_name) == 0)
		return refuse(words, SHIM_LOG_UUID_IS_GROUP_NAME, s->uuid);
	return check_release(words, text, capacity);
}
