/*
 * base/endpoint.h - where a datagram comes from or goes to.
 *
 * Addresses are 16 bytes from the start: an IPv4 address stands in its mapped
 * form (::ffff:a.b.c.d), so that no table, message or configuration has to
 * change when a site moves to IPv6. `port` is in host order.
 */
#ifndef BASE_ENDPOINT_H
#define BASE_ENDPOINT_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define ENDPOINT_ADDRESS_BYTES 16

struct endpoint {
	uint8_t address[ENDPOINT_ADDRESS_BYTES];
	uint16_t port;
};

static inline bool
endpoint_equal(const struct endpoint *a, const struct endpoint *b)
{
	return a->port == b->port && memcmp(a->address, b->address, sizeof a->address) == 0;
}

/* `ipv4` as it is read: 0x0a4d0001 is 10.77.0.1. */
static inline struct endpoint
endpoint_from_ipv4(uint32_t ipv4, uint16_t port)
{
	struct endpoint e = {.address = {[10] = 0xff, [11] = 0xff}, .port = port};
	e.address[12] = (uint8_t)(ipv4 >> 24);
	e.address[13] = (uint8_t)(ipv4 >> 16);
	e.address[14] = (uint8_t)(ipv4 >> 8);
	e.address[15] = (uint8_t)ipv4;
	return e;
}

static inline bool
endpoint_is_ipv4(const struct endpoint *e)
{
	static const uint8_t prefix[12] = {[10] = 0xff, [11] = 0xff};
	return memcmp(e->address, prefix, sizeof prefix) == 0;
}

static inline uint32_t
endpoint_ipv4(const struct endpoint *e)
{
	return (uint32_t)e->address[12] << 24 | (uint32_t)e->address[13] << 16 |
	       (uint32_t)e->address[14] << 8 | e->address[15];
}

#endif /* BASE_ENDPOINT_H */
