/* hw/config.c - a table of keys, and one reader for each kind of value. */
#include "hw/config.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/must.h"
#include "hw/uring_log.h"

#define FILE_BYTES_MAX (64 * 1024)

enum kind {
	KIND_COUNT = 1, /* uint32_t */
	KIND_BYTES32 = 2,
	KIND_BYTES64 = 3,
	KIND_COUNT64 = 4,
	KIND_TEXT = 5,
	KIND_CHOICE = 6, /* uint32_t: which of `choices` */
	KIND_EPOCH = 7,
	KIND_MAC = 8,
	KIND_IP = 9,
	KIND_ADDRESSES = 10,
	KIND_NODES = 11,
	KIND_IDS = 12,
	KIND_UUIDS = 13,
};

struct key {
	const char *section;
	const char *name;
	enum kind kind;
	size_t offset;
	bool required;
	uint64_t min; /* of a number; of a text: shortest */
	uint64_t max; /* of a number; of a text: longest */
	const char *standard;
	const char *choices; /* separated by one blank */
};

#define AT(field) offsetof(struct hw_config, field)
#define TEXT_MAX  (HW_CONFIG_TEXT_BYTES - 1)
#define MIB       (1ull << 20)
#define GIB       (1ull << 30)

static const struct key keys[] = {
	{"node", "id", KIND_COUNT, AT(id), true, 1, 65535, NULL, NULL},
	{"node", "name", KIND_TEXT, AT(name), false, 1, 63, "synod", NULL},
	{"node", "address", KIND_ADDRESSES, AT(addresses), true, 0, 0, NULL, NULL},
	{"appliance", "nodes", KIND_NODES, AT(nodes), true, 0, 0, NULL, NULL},
	{"appliance", "spares", KIND_IDS, AT(spares), false, 0, 0, NULL, NULL},
	{"appliance", "joins", KIND_TEXT, AT(joins), false, 34, 36, NULL, NULL},
	{"appliance", "votes_after", KIND_COUNT, AT(votes_after), false, 0, UINT32_MAX, "0", NULL},
	{"appliance", "durability", KIND_CHOICE, AT(durability), false, 0, 0, "disk",
	 "disk memory"},
	{"appliance", "epoch", KIND_EPOCH, AT(epoch), false, 0, 0, NULL, NULL},
	{"appliance", "event_horizon", KIND_COUNT, AT(event_horizon), false, 10, 200, "64", NULL},
	{"port", "eal", KIND_TEXT, AT(eal), true, 1, TEXT_MAX, NULL, NULL},
	{"port", "mac", KIND_MAC, AT(mac), false, 0, 0, NULL, NULL},
	{"port", "gateway", KIND_IP, AT(gateway), false, 0, 0, NULL, NULL},
	{"port", "prefix_bits", KIND_COUNT, AT(prefix_bits), false, 1, 128, "24", NULL},
	{"port", "profile", KIND_CHOICE, AT(profile), false, 0, 0, "auto", "auto shared dedicated"},
	{"port", "mtu", KIND_COUNT, AT(mtu), false, 1280, 9000, "1500", NULL},
	{"log", "directory", KIND_TEXT, AT(directory), false, 1, TEXT_MAX, "/var/lib/synod/log",
	 NULL},
	{"log", "segment_bytes", KIND_BYTES32, AT(segment_bytes), false, 2 * MIB, GIB, "64 MiB",
	 NULL},
	{"log", "log_bytes_max", KIND_BYTES64, AT(log_bytes_max), false, 6 * MIB, 1024 * GIB,
	 "8 GiB", NULL},
	{"memory", "hugepages", KIND_CHOICE, AT(hugepages), false, 0, 0, "auto", "auto off"},
	{"memory", "pool_bytes", KIND_BYTES64, AT(pool_bytes), false, 16 * MIB, 1024 * GIB,
	 "256 MiB", NULL},
	{"groups", "groups_max", KIND_COUNT, AT(groups_max), false, 1, 4096, "16", NULL},
	{"groups", "members_max", KIND_COUNT, AT(members_max), false, 1, 255, "9", NULL},
	{"groups", "index_hashes_max", KIND_COUNT64, AT(index_hashes_max), false, 1024, 1ull << 30,
	 "1048576", NULL},
	{"groups", "payload_bytes_max", KIND_BYTES64, AT(payload_bytes_max), false, MIB, 1152 * MIB,
	 "1152 MiB", NULL},
	{"keys", "seal", KIND_CHOICE, AT(seal), false, 0, 0, "on", "on none"},
	{"keys", "file", KIND_TEXT, AT(key_file), false, 1, TEXT_MAX, "/etc/synod/keys", NULL},
	{"certificates", "ca", KIND_TEXT, AT(certificate_ca), false, 1, TEXT_MAX, NULL, NULL},
	{"certificates", "crl", KIND_TEXT, AT(certificate_crl), false, 1, TEXT_MAX, NULL, NULL},
	{"certificates", "file", KIND_TEXT, AT(certificate_chain), false, 1, TEXT_MAX, NULL, NULL},
	{"certificates", "key", KIND_TEXT, AT(certificate_key), false, 1, TEXT_MAX, NULL, NULL},
	{"certificates", "groups", KIND_UUIDS, AT(certificate_groups), false, 0, 0, "any", NULL},
	{"control", "socket", KIND_TEXT, AT(socket), false, 1, 107, "/run/synod/control", NULL},
};

#define KEY_COUNT (sizeof keys / sizeof keys[0])

struct parser {
	struct hw_config *config;
	const char *name;
	uint32_t line;
	char section[64];
	uint32_t given_at[KEY_COUNT]; /* line, 0: not yet */
	struct hw_error *error;
};

/* Answers -EINVAL with the place in front and, for a value, the key's name. */
static int
refuse(const struct parser *p, const struct key *key, const char *what, const char *value)
{
	if (key)
		return hw_error_set(p->error, -EINVAL, "%s:%u: [%s] %s = %s: %s", p->name, p->line,
				    key->section, key->name, value, what);
	return hw_error_set(p->error, -EINVAL, "%s:%u: %s: %s", p->name, p->line, value, what);
}

/* Cuts blanks off both ends, in place. */
static char *
trim(char *text)
{
	while (isspace((unsigned char)*text))
		text++;
	size_t n = strlen(text);
	while (n > 0 && isspace((unsigned char)text[n - 1]))
		n--;
	text[n] = '\0';
	return text;
}

/* A number with, for byte counts, its unit. */
static bool
read_number(const char *value, bool bytes, uint64_t *out)
{
	char *end;

	if (!isdigit((unsigned char)value[0]))
		return false;
	errno = 0;
	unsigned long long number = strtoull(value, &end, 10);
	if (errno != 0)
		return false;
	while (*end == ' ')
		end++;
	unsigned shift = 0;
	if (bytes && strcmp(end, "KiB") == 0)
		shift = 10;
	else if (bytes && strcmp(end, "MiB") == 0)
		shift = 20;
	else if (bytes && strcmp(end, "GiB") == 0)
		shift = 30;
	else if (*end != '\0')
		return false;
	*out = (uint64_t)number << shift;
	return *out >> shift == number;
}

static int
put_number(struct parser *p, const struct key *key, const char *value, void *out)
{
	bool bytes = key->kind == KIND_BYTES32 || key->kind == KIND_BYTES64;
	uint64_t number;
	char what[128];

	if (!read_number(value, bytes, &number) || number < key->min || number > key->max) {
		snprintf(what, sizeof what, "give a whole number from %llu to %llu%s",
			 (unsigned long long)key->min, (unsigned long long)key->max,
			 bytes ? ", in bytes or with KiB, MiB, GiB" : "");
		return refuse(p, key, what, value);
	}
	if (key->kind == KIND_COUNT || key->kind == KIND_BYTES32)
		*(uint32_t *)out = (uint32_t)number;
	else
		*(uint64_t *)out = number;
	return 0;
}

static int
put_text(struct parser *p, const struct key *key, const char *value, char *out)
{
	size_t n = strlen(value);
	char what[64];

	if (n < key->min || n > key->max) {
		snprintf(what, sizeof what, "give %llu to %llu characters",
			 (unsigned long long)key->min, (unsigned long long)key->max);
		return refuse(p, key, what, value);
	}
	must(n < HW_CONFIG_TEXT_BYTES);
	memcpy(out, value, n + 1);
	return 0;
}

static int
put_choice(struct parser *p, const struct key *key, const char *value, uint32_t *out)
{
	char what[128];
	uint32_t number = 0;
	size_t n = strlen(value);

	for (const char *at = key->choices; n > 0 && *at; number++) {
		size_t length = strcspn(at, " ");
		if (length == n && memcmp(at, value, n) == 0) {
			*out = number;
			return 0;
		}
		at += length + (at[length] == ' ');
	}
	snprintf(what, sizeof what, "give one of: %s", key->choices);
	return refuse(p, key, what, value);
}

/* `count` bytes as hexadecimal digits; `skip` may stand between bytes. */
static bool
read_hex(const char *value, char skip, uint8_t *out, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		char digits[3] = {0};
		if (i > 0 && *value == skip)
			value++;
		if (!isxdigit((unsigned char)value[0]) || !isxdigit((unsigned char)value[1]))
			return false;
		memcpy(digits, value, 2);
		out[i] = (uint8_t)strtoul(digits, NULL, 16);
		value += 2;
	}
	return *value == '\0';
}

/* An address without port; IPv4 becomes its mapped form. */
static bool
read_ip(const char *value, uint8_t *out)
{
	struct in_addr four;

	if (inet_pton(AF_INET6, value, out) == 1)
		return true;
	if (inet_pton(AF_INET, value, &four) != 1)
		return false;
	struct endpoint e = endpoint_from_ipv4(ntohl(four.s_addr), 0);
	memcpy(out, e.address, sizeof e.address);
	return true;
}

/* 10.77.0.1:4000 or [fd00::1]:4000. */
static bool
read_endpoint(const char *value, struct endpoint *out)
{
	char host[64];
	uint64_t port;
	const char *colon = strrchr(value, ':');

	if (!colon || (size_t)(colon - value) >= sizeof host)
		return false;
	size_t n = (size_t)(colon - value);
	bool bracket = value[0] == '[';
	if (bracket && (n < 2 || value[n - 1] != ']'))
		return false;
	memcpy(host, value + bracket, n - 2 * bracket);
	host[n - 2 * bracket] = '\0';
	if (bracket != (strchr(host, ':') != NULL))
		return false;
	if (!read_number(colon + 1, false, &port) || port < 1 || port > 65535)
		return false;
	out->port = (uint16_t)port;
	return read_ip(host, out->address);
}

/* Takes the next element of a comma-separated list from `*rest`; NULL at its end. */
static char *
next_element(char **rest)
{
	if (!*rest)
		return NULL;
	char *element = *rest;
	char *comma = strchr(element, ',');
	*rest = comma ? comma + 1 : NULL;
	if (comma)
		*comma = '\0';
	return trim(element);
}

static int
put_addresses(struct parser *p, const struct key *key, char *value, struct hw_config_addresses *out)
{
	char *rest = value, *element;

	while ((element = next_element(&rest)) != NULL) {
		struct endpoint e;
		if (!read_endpoint(element, &e))
			return refuse(p, key, "write 10.77.0.1:4000 or [fd00::1]:4000", element);
		if (out->count == HW_CONFIG_ADDRESSES_MAX)
			return refuse(p, key, "four addresses at most", element);
		for (uint32_t i = 0; i < out->count; i++)
			if (endpoint_equal(&out->address[i], &e))
				return refuse(p, key, "duplicate address: name each once", element);
		out->address[out->count++] = e;
	}
	return 0;
}

static bool
read_node(char *element, struct hw_config_node *node)
{
	char *at = strchr(element, '@');
	char *slash = strchr(element, '/');
	uint64_t id, number = 0;

	*node = (struct hw_config_node){0};
	if (!at || (slash && slash > at))
		return false;
	*at = '\0';
	if (slash)
		*slash = '\0';
	if (slash && (!read_number(slash + 1, false, &number) || number >= HW_CONFIG_NODES_MAX))
		return false;
	if (!read_number(element, false, &id) || id < 1 || id > 65535)
		return false;
	node->id = (uint32_t)id;
	node->number = (uint32_t)number;
	return read_endpoint(at + 1, &node->address);
}

bool
hw_config_node(const char *text, struct hw_config_node *node)
{
	char element[128];

	return (size_t)snprintf(element, sizeof element, "%s", text) < sizeof element &&
	       strchr(text, '/') && read_node(element, node);
}

static int
put_node(struct parser *p, const struct key *key, char *element, struct hw_config_nodes *out)
{
	struct hw_config_node node;
	char shown[128];

	snprintf(shown, sizeof shown, "%s", element);
	bool numbered = strchr(element, '/') != NULL;
	if (!read_node(element, &node))
		return refuse(p, key,
			      "write id@address:port, as in 1@10.77.0.1:4000, or with its number "
			      "in `synodctl status`, 0 to 6, as in 1/0@10.77.0.1:4000",
			      shown);
	if (out->count == HW_CONFIG_NODES_MAX)
		return refuse(p, key, "an appliance has seven nodes at most", shown);
	if (out->count > 0 && numbered != out->numbered)
		return refuse(p, key, "give all nodes their numbers, or none", shown);
	out->numbered = numbered;
	for (uint32_t i = 0; i < out->count; i++) {
		if (out->node[i].id == node.id)
			return refuse(p, key, "duplicate node id: give each node its own", shown);
		if (numbered && out->node[i].number == node.number)
			return refuse(p, key, "duplicate number: give each node its own", shown);
		if (endpoint_equal(&out->node[i].address, &node.address))
			return refuse(p, key, "duplicate address: give each node its own", shown);
	}
	out->node[out->count++] = node;
	return 0;
}

static int
put_nodes(struct parser *p, const struct key *key, char *value, struct hw_config_nodes *out)
{
	char *rest = value, *element;

	while ((element = next_element(&rest)) != NULL) {
		int code = put_node(p, key, element, out);
		if (code != 0)
			return code;
	}
	return 0;
}

static int
put_ids(struct parser *p, const struct key *key, char *value, struct hw_config_ids *out)
{
	char *rest = value, *element;

	while ((element = next_element(&rest)) != NULL) {
		uint64_t id;
		if (!read_number(element, false, &id) || id < 1 || id > 65535)
			return refuse(p, key, "write ids of nodes, as in 4, 5", element);
		for (uint32_t i = 0; i < out->count; i++)
			if (out->id[i] == id)
				return refuse(p, key, "duplicate id: name each once", element);
		if (out->count == HW_CONFIG_NODES_MAX)
			return refuse(p, key, "an appliance has seven nodes at most", element);
		out->id[out->count++] = (uint32_t)id;
	}
	return 0;
}

static int
put_uuids(struct parser *p, const struct key *key, char *value, struct hw_config_uuids *out)
{
	char *rest = NULL;

	out->count = 0;
	if (strcmp(value, "any") == 0)
		return 0;
	for (char *at = strtok_r(value, ",", &rest); at; at = strtok_r(NULL, ",", &rest)) {
		at = trim(at);
		if (out->count == HW_CONFIG_GROUPS_MAX)
			return refuse(p, key, "eight groups at most; write any for all", at);
		if (!read_hex(at, '-', out->uuid[out->count++], sizeof out->uuid[0]))
			return refuse(p, key,
				      "give the groups' UUIDs, with a comma between, or any", at);
	}
	return out->count > 0 ? 0 : refuse(p, key, "name a group, or write any", "");
}

static int
put(struct parser *p, const struct key *key, char *value)
{
	void *out = (uint8_t *)p->config + key->offset;
	struct hw_config_mac *mac = out;
	struct hw_config_ip *ip = out;

	switch (key->kind) {
	case KIND_COUNT:
	case KIND_BYTES32:
	case KIND_BYTES64:
	case KIND_COUNT64:
		return put_number(p, key, value, out);
	case KIND_TEXT:
		return put_text(p, key, value, out);
	case KIND_CHOICE:
		return put_choice(p, key, value, out);
	case KIND_EPOCH:
		return read_hex(value, '-', out, EPOCH_BYTES)
			       ? 0
			       : refuse(p, key, "give 32 hexadecimal digits, as a UUID", value);
	case KIND_MAC:
		mac->given = read_hex(value, ':', mac->byte, sizeof mac->byte);
		return mac->given ? 0 : refuse(p, key, "write 02:00:0a:4d:00:01", value);
	case KIND_IP:
		ip->given = read_ip(value, ip->byte);
		return ip->given ? 0 : refuse(p, key, "give an IPv4 or IPv6 address", value);
	case KIND_ADDRESSES:
		return put_addresses(p, key, value, out);
	case KIND_NODES:
		return put_nodes(p, key, value, out);
	case KIND_IDS:
		return put_ids(p, key, value, out);
	case KIND_UUIDS:
		return put_uuids(p, key, value, out);
	}
	must(false);
	return -EINVAL;
}

/* "known there: a, b, c": the remedy for a misspelt name. */
static int
refuse_unknown(const struct parser *p, const char *name)
{
	char what[512];
	size_t used = (size_t)snprintf(what, sizeof what,
				       "unknown key in [%s]; known there:", p->section);

	for (size_t i = 0; i < KEY_COUNT && used < sizeof what; i++)
		if (strcmp(keys[i].section, p->section) == 0)
			used += (size_t)snprintf(what + used, sizeof what - used, " %s",
						 keys[i].name);
	return refuse(p, NULL, what, name);
}

static int
take_section(struct parser *p, char *line)
{
	size_t n = strlen(line);

	if (n < 3 || line[n - 1] != ']')
		return refuse(p, NULL, "a section is written [name]", line);
	line[n - 1] = '\0';
	for (size_t i = 0; i < KEY_COUNT; i++) {
		if (strcmp(keys[i].section, line + 1) != 0)
			continue;
		snprintf(p->section, sizeof p->section, "%s", line + 1);
		return 0;
	}
	return refuse(p, NULL,
		      "unknown section; there are: node appliance port log memory groups keys "
		      "certificates control",
		      line + 1);
}

static int
take_key(struct parser *p, char *line)
{
	char again[64];
	char *equals = strchr(line, '=');

	if (!equals)
		return refuse(p, NULL, "write key = value", line);
	*equals = '\0';
	char *name = trim(line);
	char *value = trim(equals + 1);
	if (p->section[0] == '\0')
		return refuse(p, NULL, "stands before the first section: write [node] above", name);
	for (size_t i = 0; i < KEY_COUNT; i++) {
		if (strcmp(keys[i].section, p->section) != 0 || strcmp(keys[i].name, name) != 0)
			continue;
		snprintf(again, sizeof again, "given already in line %u: keep one", p->given_at[i]);
		if (p->given_at[i] != 0)
			return refuse(p, &keys[i], again, value);
		p->given_at[i] = p->line;
		return put(p, &keys[i], value);
	}
	return refuse_unknown(p, name);
}

/* A comment begins at the line's start or behind a blank: a value may hold a #. */
static void
cut_comment(char *line)
{
	for (char *at = line; *at; at++)
		if (*at == '#' && (at == line || isspace((unsigned char)at[-1]))) {
			*at = '\0';
			return;
		}
}

static int
take_line(struct parser *p, const char *text, size_t n)
{
	char line[HW_CONFIG_LINE_BYTES];

	p->line++;
	if (n >= sizeof line)
		return refuse(p, NULL, "a line has at most 1023 characters", "line too long");
	memcpy(line, text, n);
	line[n] = '\0';
	cut_comment(line);
	char *content = trim(line);
	if (content[0] == '\0')
		return 0;
	return content[0] == '[' ? take_section(p, content) : take_key(p, content);
}

static int
set_standards(struct parser *p)
{
	for (size_t i = 0; i < KEY_COUNT; i++) {
		char value[64];
		if (!keys[i].standard)
			continue;
		snprintf(value, sizeof value, "%s", keys[i].standard);
		must(put(p, &keys[i], value) == 0);
	}
	return 0;
}

/* Who votes at first: the nodes without the spares. */
static int
check_voters(const struct parser *p)
{
	const struct hw_config *c = p->config;

	for (uint32_t i = 0; i < c->spares.count; i++) {
		bool found = false;
		for (uint32_t k = 0; k < c->nodes.count; k++)
			found |= c->nodes.node[k].id == c->spares.id[i];
		if (!found)
			return hw_error_set(p->error, -EINVAL,
					    "%s: [appliance] spares names node %u, which nodes "
					    "does not: add it there with its address",
					    p->name, c->spares.id[i]);
	}
	if (c->joins[0] != '\0' && !c->nodes.numbered)
		return hw_error_set(p->error, -EINVAL,
				    "%s: [appliance] joins is for a node of which the others' "
				    "files do not know: nodes must give numbers, as in "
				    "4/3@10.77.0.4:4000; synodctl node add prints them",
				    p->name);
	if (c->joins[0] != '\0' || (c->nodes.count - c->spares.count) % 2 == 1)
		return 0;
	return hw_error_set(p->error, -EINVAL,
			    "%s: [appliance] nodes = %u nodes that vote: an appliance has 1, 3, 5 "
			    "or 7 of them at first, since an even number survives no more failures "
			    "than the odd one below it; name one in spares",
			    p->name, c->nodes.count - c->spares.count);
}

/* Who shows none is refused by servers that want one; who trusts none accepts no server. */
static int
check_certificates(const struct parser *p)
{
	const struct hw_config *c = p->config;
	bool ca = c->certificate_ca[0] != '\0', any = ca || c->certificate_crl[0] != '\0' ||
						      c->certificate_chain[0] != '\0' ||
						      c->certificate_key[0] != '\0';

	if (any && (!ca || c->certificate_chain[0] == '\0' || c->certificate_key[0] == '\0'))
		return hw_error_set(p->error, -EINVAL,
				    "%s: [certificates] needs ca, file and key together: whose "
				    "certificates to accept, and this node's own with its key",
				    p->name);
	if (any && c->seal == HW_SEAL_NONE)
		return hw_error_set(p->error, -EINVAL,
				    "%s: [certificates] are of no use with [keys] seal = none: "
				    "remove one of the two",
				    p->name);
	return 0;
}

/* What no single line can show. */
static int
check_whole(const struct parser *p)
{
	const struct hw_config *c = p->config;

	for (size_t i = 0; i < KEY_COUNT; i++)
		if (keys[i].required && p->given_at[i] == 0)
			return hw_error_set(p->error, -EINVAL,
					    "%s: [%s] %s is missing: it has no "
					    "default",
					    p->name, keys[i].section, keys[i].name);
	if (c->log_bytes_max / c->segment_bytes < 3)
		return hw_error_set(p->error, -EINVAL,
				    "%s: [log] log_bytes_max holds fewer than "
				    "three segments of segment_bytes: raise the one or lower the "
				    "other",
				    p->name);
	if (c->log_bytes_max / c->segment_bytes > HW_LOG_SEGMENTS_MAX)
		return hw_error_set(p->error, -EINVAL,
				    "%s: [log] log_bytes_max holds more than %d segments of "
				    "segment_bytes: raise segment_bytes (a log that exists keeps "
				    "its own), or lower log_bytes_max",
				    p->name, HW_LOG_SEGMENTS_MAX);
	int code = check_voters(p);
	if (code == 0)
		code = check_certificates(p);
	if (code != 0)
		return code;
	for (uint32_t i = 0; i < c->nodes.count; i++) {
		if (c->nodes.node[i].id != c->id)
			continue;
		for (uint32_t j = 0; j < c->addresses.count; j++)
			if (endpoint_equal(&c->nodes.node[i].address, &c->addresses.address[j]))
				return 0;
		return hw_error_set(p->error, -EINVAL,
				    "%s: [appliance] nodes gives node %u an "
				    "address that [node] address does not hold: make them agree",
				    p->name, c->id);
	}
	return hw_error_set(p->error, -EINVAL,
			    "%s: [appliance] nodes does not name node %u, which "
			    "[node] id says this is: add it, or correct the id",
			    p->name, c->id);
}

int
hw_config_parse(struct hw_config *config, const char *name, const char *text,
		struct hw_error *error)
{
	struct parser p = {.config = config, .name = name, .error = error};

	memset(config, 0, sizeof *config);
	int code = set_standards(&p);
	while (code == 0 && *text != '\0') {
		size_t n = strcspn(text, "\n");
		code = take_line(&p, text, n);
		text += n + (text[n] == '\n');
	}
	return code == 0 ? check_whole(&p) : code;
}

int
hw_config_load(struct hw_config *config, const char *path, struct hw_error *error)
{
	FILE *file = fopen(path, "re");
	if (!file)
		return hw_error_set(error, -errno, "%s: %s: name the configuration file", path,
				    strerror(errno));
	char *text = calloc(1, FILE_BYTES_MAX + 1);
	size_t n = text ? fread(text, 1, FILE_BYTES_MAX + 1, file) : 0;
	int code = 0;
	if (!text || ferror(file))
		code = hw_error_set(error, -EIO, "%s: cannot be read", path);
	else if (n > FILE_BYTES_MAX || memchr(text, '\0', n))
		code = hw_error_set(error, -EINVAL, "%s: text of at most %d bytes is wanted", path,
				    FILE_BYTES_MAX);
	fclose(file);
	if (code == 0)
		code = hw_config_parse(config, path, text, error);
	free(text);
	return code;
}
