#include "mysqlshim/appliance.h"

#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hw/keys.h"

#define ITEM_CHARS_MAX 300
#define BLANKS         " \t\r\n"

struct item {
	char text[ITEM_CHARS_MAX]; /* the whole, for messages; `host` and `port` are cut out */
	char host[ITEM_CHARS_MAX];
	char port[8];
};

static bool
refuse(char *text, size_t capacity, const char *item, const char *why)
{
	snprintf(text, capacity,
		 "synod.appliance: '%s' %s. Set it to the nodes of the appliance: "
		 "'host:port=PUBLICKEY, host:port=PUBLICKEY, ...'.",
		 item, why);
	return false;
}

/* The next item without the blanks around it. False: there is none. */
static bool
next_item(const char **list, struct item *item)
{
	const char *at = *list + strspn(*list, BLANKS);
	size_t chars = strcspn(at, ",");

	if (*at == '\0')
		return false;
	*list = at + chars + (at[chars] == ',');
	while (chars > 0 && strchr(BLANKS, at[chars - 1]))
		chars--;
	if (chars >= sizeof item->text)
		chars = sizeof item->text - 1;
	memcpy(item->text, at, chars);
	item->text[chars] = '\0';
	return true;
}

/* What stands behind '=', which is cut off the rest. False: it is no key. */
static bool
cut_key(struct appliance *a, struct item *item)
{
	char *equals = strchr(item->text, '=');

	if (!equals)
		return true;
	*equals = '\0';
	a->sealed = true;
	return hw_key_read(equals + 1, strlen(equals + 1), a->key[a->node_count]);
}

/* "host:port" or "[address]:port". */
static bool
split(struct item *item)
{
	const char *colon = strrchr(item->text, ':');
	const char *host = item->text;

	if (!colon || colon == host)
		return false;
	size_t host_chars = (size_t)(colon - host), port_chars = strlen(colon + 1);
	if (*host == '[') {
		if (colon[-1] != ']' || host_chars < 3)
			return false;
		host++;
		host_chars -= 2;
	} else if (memchr(host, ':', host_chars)) {
		return false;
	}
	if (port_chars == 0 || port_chars > 5 || strspn(colon + 1, "0123456789") != port_chars)
		return false;
	memcpy(item->host, host, host_chars);
	item->host[host_chars] = '\0';
	memcpy(item->port, colon + 1, port_chars + 1);
	return true;
}

static bool
resolve(const struct item *item, struct endpoint *endpoint)
{
	struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_DGRAM};
	struct addrinfo *found = NULL;

	if (getaddrinfo(item->host, item->port, &hints, &found) != 0)
		return false;
	if (found->ai_family == AF_INET) {
		const struct sockaddr_in *a = (const void *)found->ai_addr;
		*endpoint = endpoint_from_ipv4(ntohl(a->sin_addr.s_addr), ntohs(a->sin_port));
	} else {
		const struct sockaddr_in6 *a = (const void *)found->ai_addr;
		memcpy(endpoint->address, &a->sin6_addr, ENDPOINT_ADDRESS_BYTES);
		endpoint->port = ntohs(a->sin6_port);
	}
	freeaddrinfo(found);
	return true;
}

bool
appliance_parse(struct appliance *a, const char *list, char *text, size_t capacity)
{
	struct item item;

	memset(a, 0, sizeof *a);
	while (next_item(&list, &item)) {
		struct endpoint *endpoint = &a->node[a->node_count];

		if (a->node_count == NODE_NODES_MAX)
			return refuse(text, capacity, item.text, "is one node too many");
		bool keyed = strchr(item.text, '=') != NULL;
		if (a->node_count > 0 && keyed != a->sealed)
			return refuse(text, capacity, item.text,
				      "differs from the others: either all nodes have a public "
				      "key or none");
		if (!cut_key(a, &item))
			return refuse(text, capacity, item.text,
				      "has no public key behind '=': it has 44 characters, as "
				      "synodctl key show prints them on that node");
		if (!split(&item))
			return refuse(text, capacity, item.text, "is no 'host:port'");
		if (!resolve(&item, endpoint) || endpoint->port == 0)
			return refuse(text, capacity, item.text, "cannot be resolved");
		for (uint8_t i = 0; i < a->node_count; i++)
			if (endpoint_equal(&a->node[i], endpoint))
				return refuse(text, capacity, item.text, "is named twice");
		if (strlen(item.host) > APPLIANCE_HOST_CHARS_MAX)
			return refuse(text, capacity, item.text, "has too long a name");
		memcpy(a->host[a->node_count], item.host, strlen(item.host) + 1);
		a->node_count++;
	}
	if (a->node_count == 0)
		return refuse(text, capacity, "", "names no node");
	return true;
}

bool
appliance_unlock(struct appliance *a, const char *key_file, char *text, size_t capacity)
{
	struct hw_keys *keys = malloc(sizeof *keys);
	struct hw_error error = {.text = "no memory"};
	bool good = false;

	if (!key_file || key_file[0] == '\0')
		snprintf(text, capacity,
			 "synod.appliance names public keys, and synod.key_file no file. Make "
			 "this server's key with synodctl key new FILE, list it on the nodes with "
			 "synodctl key add, and set synod.key_file to FILE.");
	else if (keys && hw_keys_load(keys, key_file, &error) == 0)
		good = true;
	else
		snprintf(text, capacity, "synod.key_file: %s.", error.text);
	if (good) {
		memcpy(a->secret, keys->secret, sizeof a->secret);
		memcpy(a->psk, keys->psk, sizeof a->psk);
	}
	if (keys)
		explicit_bzero(keys, sizeof *keys);
	free(keys);
	return good;
}
