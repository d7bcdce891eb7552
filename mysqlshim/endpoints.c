#include "mysqlshim/endpoints.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/must.h"

#define ENDPOINT_CHARS_MAX 1024
#define INTERFACES_MAX     4096 /* a bound for the loop, not for the machine */
#define PORT_MAX           65535

static bool
same_address(const struct sockaddr *a, const struct sockaddr *b)
{
	if (!a || a->sa_family != b->sa_family)
		return false;
	if (a->sa_family == AF_INET) {
		struct sockaddr_in x, y;
		memcpy(&x, a, sizeof x);
		memcpy(&y, b, sizeof y);
		return x.sin_addr.s_addr == y.sin_addr.s_addr;
	}
	if (a->sa_family == AF_INET6) {
		struct sockaddr_in6 x, y;
		memcpy(&x, a, sizeof x);
		memcpy(&y, b, sizeof y);
		return memcmp(&x.sin6_addr, &y.sin6_addr, sizeof x.sin6_addr) == 0;
	}
	return false;
}

static bool
address_is_ours(const struct sockaddr *address)
{
	struct ifaddrs *all = NULL;
	bool ours = false;

	if (getifaddrs(&all) != 0)
		return false;
	int n = 0;
	for (struct ifaddrs *i = all; i && !ours && n < INTERFACES_MAX; i = i->ifa_next, n++)
		ours = (i->ifa_flags & IFF_UP) && same_address(i->ifa_addr, address);
	freeifaddrs(all);
	return ours;
}

static bool
host_is_ours(const char *host, int flags)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = flags};
	struct addrinfo *all = NULL;
	bool ours = false;

	if (host[0] == '\0' || getaddrinfo(host, NULL, &hints, &all) != 0)
		return false;
	int n = 0;
	for (struct addrinfo *i = all; i && !ours && n < INTERFACES_MAX; i = i->ai_next, n++)
		ours = address_is_ours(i->ai_addr);
	freeaddrinfo(all);
	return ours;
}

/* One endpoint, which is cut apart in place. */
static enum shim_endpoints
check_one(char *endpoint, struct shim_ports ports)
{
	char *colon = strrchr(endpoint, ':');
	if (!colon)
		return SHIM_ENDPOINTS_FORMAT;
	const char *digits = colon + 1;
	if (digits[0] == '\0' || digits[strspn(digits, "0123456789")] != '\0')
		return SHIM_ENDPOINTS_FORMAT;
	unsigned long port = strtoul(digits, NULL, 10);
	if (port < 1 || port > PORT_MAX)
		return SHIM_ENDPOINTS_INVALID;
	if (memchr(endpoint, '/', (size_t)(colon - endpoint)))
		return SHIM_ENDPOINTS_FORMAT;

	*colon = '\0';
	int flags = 0;
	if (endpoint[0] == '[' && colon[-1] == ']') {
		colon[-1] = '\0';
		endpoint++;
		flags = AI_NUMERICHOST;
	}
	if (!host_is_ours(endpoint, flags))
		return SHIM_ENDPOINTS_INVALID;
	if (port != ports.main && port != ports.admin)
		return SHIM_ENDPOINTS_INVALID;
	return SHIM_ENDPOINTS_OK;
}

enum shim_endpoints
shim_endpoints_check(const char *list, struct shim_ports ports, char *culprit, size_t capacity)
{
	must(list);
	must(culprit);
	must(capacity > 0);

	snprintf(culprit, capacity, "%s", list);
	if (strcmp(list, "DEFAULT") == 0)
		return SHIM_ENDPOINTS_OK;
	if (list[0] == '\0')
		return SHIM_ENDPOINTS_FORMAT;

	/* A comma at the very end is allowed: it ends the loop. */
	for (const char *next = list; *next != '\0';) {
		size_t chars = strcspn(next, ",");
		char endpoint[ENDPOINT_CHARS_MAX];
		if (chars >= sizeof endpoint)
			return SHIM_ENDPOINTS_FORMAT;
		memcpy(endpoint, next, chars);
		endpoint[chars] = '\0';

		enum shim_endpoints result = check_one(endpoint, ports);
		if (result == SHIM_ENDPOINTS_INVALID)
			snprintf(culprit, capacity, "%.*s", (int)chars, next);
		if (result != SHIM_ENDPOINTS_OK)
			return result;
		next += chars + (next[chars] == ',');
	}
	return SHIM_ENDPOINTS_OK;
}
