/*
 * dpdk/frames.h - what stands on an Ethernet between the wire and a datagram.
 *
 * One interface with one IPv4 address and one UDP port: ARP is answered and
 * asked, ICMP echo is answered, UDP to the port is unwrapped, everything else is
 * dropped for a named reason. Bytes in, bytes out: no port, no clock and no
 * rte_* in here, so that the same code is unit-tested, fuzzed and shipped.
 *
 * Never     reassembles: a fragment is dropped and counted, datagrams are sent
 *           with "don't fragment". Never takes IP options, VLAN tags or a UDP
 *           datagram without a checksum.
 * Next hop  on the own prefix it is the destination, else the gateway. The table
 *           of neighbours is bounded; who only talks to us is evicted before
 *           whom we talk to, so that a host that invents addresses cannot push
 *           a peer out.
 * Units     IPv4 addresses and ports in host order; `bytes` are of the frame
 *           without its CRC unless a name says payload; times are monotonic ns.
 * Ownership the caller's; a payload points into the frame it came in.
 * Limits    FRAMES_NEIGHBOURS, FRAMES_MTU_MAX.
 * Errors    none: what a peer sent wrong is a drop reason with a counter.
 * Threads   one owner.
 */
#ifndef DPDK_FRAMES_H
#define DPDK_FRAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/endpoint.h"

#define FRAMES_MAC_BYTES     6
#define FRAMES_HEADERS_BYTES 42 /* Ethernet 14, IPv4 20, UDP 8 */
#define FRAMES_BYTES_MIN     60 /* shorter ones are padded with zeros */
#define FRAMES_MTU_MIN       576
#define FRAMES_MTU_MAX       9000
#define FRAMES_BYTES_MAX     (14 + FRAMES_MTU_MAX)

/* 64 sets of 4: the last bits of an address choose the set, so that a whole /24
 * fits. */
#define FRAMES_SETS       64
#define FRAMES_WAYS       4
#define FRAMES_NEIGHBOURS (FRAMES_SETS * FRAMES_WAYS)

#define FRAMES_ASK_EVERY_NS  50000000u     /* an unresolved hop is asked for again */
#define FRAMES_REFRESH_NS    30000000000u  /* unheard for so long: ask, go on using it */
#define FRAMES_EXPIRE_NS     120000000000u /* unheard for so long: no longer used */
#define FRAMES_REASK_LIVE_NS 1000000000u   /* pace of those refreshing questions */

enum frames_drop {
	FRAMES_DROP_SHORT = 0, /* cut in the middle of a header, or less than it says */
	FRAMES_DROP_NOT_OURS,  /* Ethernet or IPv4 destination of somebody else */
	FRAMES_DROP_ETHERTYPE, /* neither IPv4 nor ARP */
	FRAMES_DROP_ARP,       /* malformed, or nothing that concerns us */
	FRAMES_DROP_CONFLICT,  /* somebody else claims our IPv4 address */
	FRAMES_DROP_IP_HEADER, /* version, options or length */
	FRAMES_DROP_IP_CHECKSUM,
	FRAMES_DROP_FRAGMENT,
	FRAMES_DROP_SOURCE,   /* an address nobody can answer to: none, multicast, our own */
	FRAMES_DROP_PROTOCOL, /* neither UDP nor an ICMP echo request */
	FRAMES_DROP_ICMP_CHECKSUM,
	FRAMES_DROP_UDP_PORT,
	FRAMES_DROP_UDP_CHECKSUM,
	/* The sender's kernel left the checksum to a card that is not there (a veth
	 * pair): switch off "tx checksumming" at the sender's interface. */
	FRAMES_DROP_UDP_UNFINISHED,
	FRAMES_DROP_COUNT,
};

struct frames_config {
	uint8_t mac[FRAMES_MAC_BYTES];
	uint32_t ipv4;
	uint8_t prefix_bits; /* 1..32 */
	uint32_t gateway;    /* 0: none, only the own prefix is reachable */
	uint16_t udp_port;
	uint16_t mtu; /* FRAMES_MTU_MIN..FRAMES_MTU_MAX */
};

struct frames_neighbour {
	uint32_t ipv4; /* 0: free */
	bool resolved;
	bool asked;
	uint8_t mac[FRAMES_MAC_BYTES];
	uint64_t asked_ns;
	uint64_t confirmed_ns; /* last heard from it, under this MAC */
	uint64_t used_ns;      /* last sent to it; 0: never */
};

struct frames {
	struct frames_config config;
	struct frames_neighbour neighbour[FRAMES_NEIGHBOURS];
	uint64_t drop[FRAMES_DROP_COUNT];
	uint64_t arp_answered;
	uint64_t echo_answered;
};

enum frames_verdict {
	FRAMES_DATAGRAM = 1, /* from, payload, payload_bytes */
	FRAMES_REPLY = 2,    /* reply_bytes of `reply` are to be sent */
	FRAMES_DONE = 3,     /* consumed: an answer to our ARP question */
	FRAMES_DROPPED = 4,  /* reason */
};

struct frames_received {
	enum frames_verdict verdict;
	enum frames_drop reason;
	struct endpoint from;
	const uint8_t *payload;
	size_t payload_bytes;
	size_t reply_bytes;
	uint32_t resolved_ipv4; /* not 0: this hop's MAC is known now */
};

struct frames_route {
	uint32_t hop; /* IPv4 of the next hop; 0: unreachable */
	bool resolved;
	bool ask; /* send an ARP request for `hop` now; it was marked as asked */
	uint8_t mac[FRAMES_MAC_BYTES];
};

void frames_init(struct frames *f, const struct frames_config *config);

/* Classifies one received frame. `reply` has room for FRAMES_BYTES_MAX bytes and
 * may not overlap the frame. */
struct frames_received frames_receive(struct frames *f, uint64_t now_ns, const uint8_t *frame,
				      size_t bytes, uint8_t *reply);

/* How to reach `to`. Marks the hop as used, and as asked when `ask` says so. */
struct frames_route frames_route(struct frames *f, uint64_t now_ns, const struct endpoint *to);

/* The largest payload that fits the MTU. */
size_t frames_payload_bytes_max(const struct frames *f);

/* Writes the headers in front of a payload that stands at `out +
 * FRAMES_HEADERS_BYTES` already, and pads behind it: `out` has room for
 * FRAMES_BYTES_MIN. `to` is IPv4, `payload_bytes` fits the MTU. Returns the bytes
 * of the frame. */
size_t frames_write_udp(const struct frames *f, const uint8_t *mac, const struct endpoint *to,
			uint8_t *out, size_t payload_bytes);

/* For a frame that waited for its hop's MAC. */
void frames_set_destination(uint8_t *frame, const uint8_t *mac);

/* "Who has `hop`", to everybody on the link: FRAMES_BYTES_MIN bytes. */
size_t frames_write_arp_request(const struct frames *f, uint32_t hop, uint8_t *out);

/* For status: a word of letters and underscores. */
const char *frames_drop_name(enum frames_drop reason);

#endif /* DPDK_FRAMES_H */
