/*
 * dpdk/udp.h - datagrams over one port.
 *
 * What the poll loop sees: datagrams in bursts from endpoints, and a send to an
 * endpoint. ARP and ICMP echo are dealt with on the way. A datagram whose next
 * hop is not known yet waits, with a bounded number of others, for the answer.
 *
 * Never     blocks, retries a datagram, or keeps one longer than
 *           UDP_PENDING_NS: datagrams may be lost, sessions send again.
 * Ownership what udp_receive() shows is valid until the next udp_receive(): it
 *           lies in the port's buffer and was not copied. What is given to
 *           udp_send() is copied once.
 * Errors    none: what cannot be sent is counted.
 * Threads   the port's.
 */
#ifndef DPDK_UDP_H
#define DPDK_UDP_H

#include <stdint.h>

#include "base/endpoint.h"
#include "dpdk/frames.h"
#include "dpdk/port.h"

#define UDP_PENDING_MAX 64
#define UDP_PENDING_NS  1000000000u

struct udp_datagram {
	struct endpoint from;
	const uint8_t *data;
	uint32_t bytes;
};

struct udp_pending {
	struct rte_mbuf *frame; /* NULL: free */
	uint32_t frame_bytes;
	uint32_t hop;
	uint64_t since_ns;
};

struct udp_stats {
	uint64_t received;
	uint64_t sent;
	uint64_t too_long;        /* for the MTU: never sent in fragments */
	uint64_t unreachable;     /* not IPv4, or no gateway */
	uint64_t unresolved;      /* no answer to ARP in time */
	uint64_t pending_dropped; /* too many waited for an answer already */
};

struct udp {
	struct port *port;
	struct frames frames;
	struct udp_pending pending[UDP_PENDING_MAX];
	uint32_t pending_count;
	struct udp_stats stats;
	uint8_t reply[FRAMES_BYTES_MAX];
};

struct udp_address {
	uint32_t ipv4;
	uint8_t prefix_bits;
	uint32_t gateway;
	uint16_t port;
};

void udp_init(struct udp *udp, struct port *port, const struct udp_address *address);

/* Gives frames that still wait back to the port. */
void udp_close(struct udp *udp);

/* Fills `out`, which has room for PORT_BURST, and returns how many there are. */
uint32_t udp_receive(struct udp *udp, uint64_t now_ns, struct udp_datagram *out);

void udp_send(struct udp *udp, uint64_t now_ns, const struct endpoint *to,
	      const struct udp_datagram *datagram);

/* Sends what udp_send() has gathered; a loop calls it once a turn. */
void udp_flush(struct udp *udp);

#endif /* DPDK_UDP_H */
