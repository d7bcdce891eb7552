/* Ethernet, ARP, IPv4, ICMP echo and UDP over bytes: see frames.h. */
#include "dpdk/frames.h"

#include <string.h>

#include "base/must.h"

#define ETHER_BYTES    14
#define ETHERTYPE_IPV4 0x0800
#define ETHERTYPE_ARP  0x0806
#define ARP_BYTES      28
#define ARP_REQUEST    1
#define ARP_REPLY      2
#define IPV4_BYTES     20
#define IPV4_VERSION   0x45 /* version 4, no options */
#define IPV4_TTL       64
#define IPV4_DF        0x4000
#define IPV4_FRAGMENT  0x3fff /* "more fragments", or an offset */
#define ICMP_BYTES     8
#define ICMP_REQUEST   8
#define PROTOCOL_ICMP  1
#define PROTOCOL_UDP   17
#define UDP_BYTES      8

static const uint8_t everybody[FRAMES_MAC_BYTES] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

/* The network's own byte order is big-endian; base/bytes.h speaks little. */
static uint16_t
get_u16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static uint32_t
get_u32(const uint8_t *p)
{
	return (uint32_t)get_u16(p) << 16 | get_u16(p + 2);
}

static void
put_u16(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static void
put_u32(uint8_t *p, uint32_t v)
{
	put_u16(p, v >> 16);
	put_u16(p + 2, v & 0xffff);
}

/* RFC 1071, four bytes at a time; 9000 bytes cannot carry out of 64 bits. */
static uint64_t
sum_bytes(uint64_t sum, const uint8_t *p, size_t n)
{
	size_t i = 0;

	for (; i + 4 <= n; i += 4)
		sum += get_u32(p + i);
	if (i + 2 <= n) {
		sum += get_u16(p + i);
		i += 2;
	}
	if (i < n)
		sum += (uint64_t)p[i] << 8;
	return sum;
}

static uint16_t
sum_fold(uint64_t sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	must(sum <= 0xffff);
	return (uint16_t)sum;
}

/* The pseudo-header of UDP; `ip` is the IPv4 header. */
static uint64_t
sum_pseudo(const uint8_t *ip, size_t udp_bytes)
{
	return sum_bytes(PROTOCOL_UDP + (uint64_t)udp_bytes, ip + 12, 8);
}

static bool
is_multicast(uint32_t ipv4)
{
	return ipv4 >> 28 >= 0xe; /* 224.0.0.0 to 255.255.255.255 */
}

static uint32_t
prefix_mask(uint8_t bits)
{
	return bits == 0 ? 0 : 0xffffffffu << (32 - bits);
}

static bool
is_on_link(const struct frames *f, uint32_t ipv4)
{
	return ((ipv4 ^ f->config.ipv4) & prefix_mask(f->config.prefix_bits)) == 0;
}

static struct frames_neighbour *
neighbour_find(struct frames *f, uint32_t ipv4)
{
	struct frames_neighbour *set = &f->neighbour[ipv4 % FRAMES_SETS * FRAMES_WAYS];

	for (uint32_t i = 0; i < FRAMES_WAYS; i++) {
		if (set[i].ipv4 == ipv4)
			return &set[i];
	}
	return NULL;
}

/* Takes the place of a free entry, else of the one that was sent to the longest
 * time ago; one we never sent to counts as oldest of all. */
static struct frames_neighbour *
neighbour_add(struct frames *f, uint32_t ipv4)
{
	struct frames_neighbour *set = &f->neighbour[ipv4 % FRAMES_SETS * FRAMES_WAYS];
	struct frames_neighbour *victim = &set[0];

	must(ipv4 != 0);
	for (uint32_t i = 0; i < FRAMES_WAYS; i++) {
		if (set[i].ipv4 == 0) {
			victim = &set[i];
			break;
		}
		if (set[i].used_ns < victim->used_ns)
			victim = &set[i];
	}
	*victim = (struct frames_neighbour){.ipv4 = ipv4};
	return victim;
}

static void
neighbour_learn(struct frames_neighbour *n, uint64_t now_ns, const uint8_t *mac)
{
	memcpy(n->mac, mac, FRAMES_MAC_BYTES);
	n->resolved = true;
	n->asked = false;
	n->confirmed_ns = now_ns;
}

void
frames_init(struct frames *f, const struct frames_config *config)
{
	must(config->prefix_bits >= 1);
	must(config->prefix_bits <= 32);
	must(config->mtu >= FRAMES_MTU_MIN);
	must(config->mtu <= FRAMES_MTU_MAX);
	must(config->ipv4 != 0);
	*f = (struct frames){.config = *config};
}

static struct frames_received
dropped(struct frames *f, enum frames_drop reason)
{
	must(reason < FRAMES_DROP_COUNT);
	f->drop[reason]++;
	return (struct frames_received){.verdict = FRAMES_DROPPED, .reason = reason};
}

static void
write_ether(const struct frames *f, const uint8_t *mac, uint8_t *out, uint16_t ethertype)
{
	memcpy(out, mac, FRAMES_MAC_BYTES);
	memcpy(out + 6, f->config.mac, FRAMES_MAC_BYTES);
	put_u16(out + 12, ethertype);
}

struct arp {
	uint16_t operation;
	const uint8_t *ether_mac; /* where the frame goes */
	const uint8_t *target_mac;
	uint32_t target;
};

static size_t
write_arp(const struct frames *f, const struct arp *arp, uint8_t *out)
{
	static const uint8_t ethernet_ipv4[6] = {0, 1, 8, 0, FRAMES_MAC_BYTES, 4};

	memset(out, 0, FRAMES_BYTES_MIN);
	write_ether(f, arp->ether_mac, out, ETHERTYPE_ARP);
	uint8_t *p = out + ETHER_BYTES;
	memcpy(p, ethernet_ipv4, sizeof ethernet_ipv4);
	put_u16(p + 6, arp->operation);
	memcpy(p + 8, f->config.mac, FRAMES_MAC_BYTES);
	put_u32(p + 14, f->config.ipv4);
	if (arp->target_mac)
		memcpy(p + 18, arp->target_mac, FRAMES_MAC_BYTES);
	put_u32(p + 24, arp->target);
	return FRAMES_BYTES_MIN;
}

size_t
frames_write_arp_request(const struct frames *f, uint32_t hop, uint8_t *out)
{
	return write_arp(
		f, &(struct arp){.operation = ARP_REQUEST, .ether_mac = everybody, .target = hop},
		out);
}

/* RFC 826: an entry we have is updated by whatever its owner says; a new one is
 * made only for who asks for us, since it is about to talk to us. An answer that
 * nobody asked for makes none. */
static struct frames_received
receive_arp(struct frames *f, uint64_t now_ns, const uint8_t *p, uint8_t *reply)
{
	struct frames_received in = {.verdict = FRAMES_DONE};
	const uint8_t *mac = p + 8;
	uint32_t sender = get_u32(p + 14);
	uint32_t target = get_u32(p + 24);
	uint16_t operation = get_u16(p + 6);
	bool asks_us = operation == ARP_REQUEST && target == f->config.ipv4;

	if (get_u16(p) != 1 || get_u16(p + 2) != ETHERTYPE_IPV4 || p[4] != FRAMES_MAC_BYTES ||
	    p[5] != 4 || (mac[0] & 1) != 0 || (operation != ARP_REQUEST && operation != ARP_REPLY))
		return dropped(f, FRAMES_DROP_ARP);
	if (sender == f->config.ipv4)
		return dropped(f, FRAMES_DROP_CONFLICT);

	/* Sender 0 is a probe for a free address: answered, not learned. */
	bool learnable = sender != 0 && !is_multicast(sender) && is_on_link(f, sender);
	if (learnable) {
		struct frames_neighbour *n = neighbour_find(f, sender);
		if (!n && asks_us)
			n = neighbour_add(f, sender);
		if (n) {
			neighbour_learn(n, now_ns, mac);
			in.resolved_ipv4 = sender;
		}
	}
	if (asks_us) {
		f->arp_answered++;
		in.verdict = FRAMES_REPLY;
		in.reply_bytes = write_arp(f,
					   &(struct arp){.operation = ARP_REPLY,
							 .ether_mac = mac,
							 .target_mac = mac,
							 .target = sender},
					   reply);
	} else if (in.resolved_ipv4 == 0) {
		return dropped(f, FRAMES_DROP_ARP);
	}
	return in;
}

static void
write_ipv4(const struct frames *f, uint32_t destination, uint8_t *ip, size_t ip_bytes)
{
	memset(ip, 0, IPV4_BYTES);
	ip[0] = IPV4_VERSION;
	put_u16(ip + 2, (uint32_t)ip_bytes);
	put_u16(ip + 6, IPV4_DF); /* and so the identification may stay 0, RFC 6864 */
	ip[8] = IPV4_TTL;
	put_u32(ip + 12, f->config.ipv4);
	put_u32(ip + 16, destination);
}

static void
finish_ipv4(uint8_t *ip, uint8_t protocol)
{
	ip[9] = protocol;
	put_u16(ip + 10, (uint16_t)~sum_fold(sum_bytes(0, ip, IPV4_BYTES)));
}

/* The answer goes back to where the frame came from: an echo needs no route. */
static struct frames_received
receive_icmp(struct frames *f, const uint8_t *frame, size_t ip_bytes, uint8_t *reply)
{
	const uint8_t *ip = frame + ETHER_BYTES;
	const uint8_t *icmp = ip + IPV4_BYTES;
	size_t icmp_bytes = ip_bytes - IPV4_BYTES;
	struct frames_received in = {.verdict = FRAMES_REPLY};

	if (icmp_bytes < ICMP_BYTES)
		return dropped(f, FRAMES_DROP_SHORT);
	if (icmp[0] != ICMP_REQUEST || icmp[1] != 0)
		return dropped(f, FRAMES_DROP_PROTOCOL);
	if (sum_fold(sum_bytes(0, icmp, icmp_bytes)) != 0xffff)
		return dropped(f, FRAMES_DROP_ICMP_CHECKSUM);

	memset(reply, 0, FRAMES_BYTES_MIN);
	write_ether(f, frame + 6, reply, ETHERTYPE_IPV4);
	write_ipv4(f, get_u32(ip + 12), reply + ETHER_BYTES, ip_bytes);
	finish_ipv4(reply + ETHER_BYTES, PROTOCOL_ICMP);
	uint8_t *out = reply + ETHER_BYTES + IPV4_BYTES;
	memcpy(out, icmp, icmp_bytes);
	memset(out, 0, 4); /* type "echo reply", code, checksum */
	put_u16(out + 2, (uint16_t)~sum_fold(sum_bytes(0, out, icmp_bytes)));
	f->echo_answered++;
	in.reply_bytes = ETHER_BYTES + ip_bytes;
	if (in.reply_bytes < FRAMES_BYTES_MIN)
		in.reply_bytes = FRAMES_BYTES_MIN;
	must(in.reply_bytes <= FRAMES_BYTES_MAX);
	return in;
}

static struct frames_received
receive_udp(struct frames *f, uint64_t now_ns, const uint8_t *frame, size_t ip_bytes)
{
	const uint8_t *ip = frame + ETHER_BYTES;
	const uint8_t *udp = ip + IPV4_BYTES;
	uint32_t source = get_u32(ip + 12);

	if (ip_bytes < IPV4_BYTES + UDP_BYTES)
		return dropped(f, FRAMES_DROP_SHORT);
	size_t udp_bytes = get_u16(udp + 4);
	if (udp_bytes < UDP_BYTES || udp_bytes > ip_bytes - IPV4_BYTES)
		return dropped(f, FRAMES_DROP_SHORT);
	if (get_u16(udp + 2) != f->config.udp_port)
		return dropped(f, FRAMES_DROP_UDP_PORT);
	uint64_t pseudo = sum_pseudo(ip, udp_bytes);
	/* A field of 0 is "no checksum": nobody whom we want to hear sends that. */
	if (get_u16(udp + 6) == 0 || sum_fold(sum_bytes(pseudo, udp, udp_bytes)) != 0xffff) {
		bool unfinished = get_u16(udp + 6) == sum_fold(pseudo);
		return dropped(f,
			       unfinished ? FRAMES_DROP_UDP_UNFINISHED : FRAMES_DROP_UDP_CHECKSUM);
	}
	/* Port 0 cannot be answered to. */
	if (get_u16(udp) == 0)
		return dropped(f, FRAMES_DROP_SOURCE);

	/* Traffic confirms a neighbour, so that the pace of ARP does not grow with
	 * that of datagrams. */
	struct frames_neighbour *n = neighbour_find(f, source);
	if (n && n->resolved && memcmp(n->mac, frame + 6, FRAMES_MAC_BYTES) == 0)
		n->confirmed_ns = now_ns;
	return (struct frames_received){
		.verdict = FRAMES_DATAGRAM,
		.from = endpoint_from_ipv4(source, get_u16(udp)),
		.payload = udp + UDP_BYTES,
		.payload_bytes = udp_bytes - UDP_BYTES,
	};
}

static struct frames_received
receive_ipv4(struct frames *f, uint64_t now_ns, const uint8_t *frame, size_t bytes, uint8_t *reply)
{
	const uint8_t *ip = frame + ETHER_BYTES;

	if (bytes < ETHER_BYTES + IPV4_BYTES)
		return dropped(f, FRAMES_DROP_SHORT);
	size_t ip_bytes = get_u16(ip + 2);
	if (ip[0] != IPV4_VERSION || ip_bytes < IPV4_BYTES || ip_bytes > f->config.mtu)
		return dropped(f, FRAMES_DROP_IP_HEADER);
	/* What follows is Ethernet's padding; less is a cut frame. */
	if (ip_bytes > bytes - ETHER_BYTES)
		return dropped(f, FRAMES_DROP_SHORT);
	if (sum_fold(sum_bytes(0, ip, IPV4_BYTES)) != 0xffff)
		return dropped(f, FRAMES_DROP_IP_CHECKSUM);
	if (get_u32(ip + 16) != f->config.ipv4)
		return dropped(f, FRAMES_DROP_NOT_OURS);
	uint32_t source = get_u32(ip + 12);
	if (source == 0 || is_multicast(source) || source == f->config.ipv4 || (frame[6] & 1) != 0)
		return dropped(f, FRAMES_DROP_SOURCE);
	if ((get_u16(ip + 6) & IPV4_FRAGMENT) != 0)
		return dropped(f, FRAMES_DROP_FRAGMENT);
	if (ip[9] == PROTOCOL_UDP)
		return receive_udp(f, now_ns, frame, ip_bytes);
	if (ip[9] == PROTOCOL_ICMP)
		return receive_icmp(f, frame, ip_bytes, reply);
	return dropped(f, FRAMES_DROP_PROTOCOL);
}

struct frames_received
frames_receive(struct frames *f, uint64_t now_ns, const uint8_t *frame, size_t bytes,
	       uint8_t *reply)
{
	if (bytes < ETHER_BYTES)
		return dropped(f, FRAMES_DROP_SHORT);
	uint16_t ethertype = get_u16(frame + 12);
	bool ours = memcmp(frame, f->config.mac, FRAMES_MAC_BYTES) == 0;

	if (ethertype == ETHERTYPE_ARP) {
		if (!ours && memcmp(frame, everybody, FRAMES_MAC_BYTES) != 0)
			return dropped(f, FRAMES_DROP_NOT_OURS);
		if (bytes < ETHER_BYTES + ARP_BYTES)
			return dropped(f, FRAMES_DROP_SHORT);
		return receive_arp(f, now_ns, frame + ETHER_BYTES, reply);
	}
	if (!ours)
		return dropped(f, FRAMES_DROP_NOT_OURS);
	if (ethertype != ETHERTYPE_IPV4)
		return dropped(f, FRAMES_DROP_ETHERTYPE);
	return receive_ipv4(f, now_ns, frame, bytes, reply);
}

struct frames_route
frames_route(struct frames *f, uint64_t now_ns, const struct endpoint *to)
{
	struct frames_route route = {0};

	if (!endpoint_is_ipv4(to))
		return route;
	uint32_t ipv4 = endpoint_ipv4(to);
	route.hop = is_on_link(f, ipv4) ? ipv4 : f->config.gateway;
	if (route.hop == 0 || ipv4 == 0 || is_multicast(ipv4) || ipv4 == f->config.ipv4) {
		route.hop = 0;
		return route;
	}
	struct frames_neighbour *n = neighbour_find(f, route.hop);
	if (!n)
		n = neighbour_add(f, route.hop);
	n->used_ns = now_ns;
	uint64_t unheard_ns = now_ns - n->confirmed_ns;
	if (n->resolved && unheard_ns >= FRAMES_EXPIRE_NS)
		n->resolved = false;
	uint64_t pace_ns = n->resolved ? FRAMES_REASK_LIVE_NS : FRAMES_ASK_EVERY_NS;
	bool wanted = !n->resolved || unheard_ns >= FRAMES_REFRESH_NS;
	if (wanted && (!n->asked || now_ns - n->asked_ns >= pace_ns)) {
		n->asked = true;
		n->asked_ns = now_ns;
		route.ask = true;
	}
	route.resolved = n->resolved;
	memcpy(route.mac, n->mac, FRAMES_MAC_BYTES);
	return route;
}

size_t
frames_payload_bytes_max(const struct frames *f)
{
	return f->config.mtu - (size_t)IPV4_BYTES - UDP_BYTES;
}

size_t
frames_write_udp(const struct frames *f, const uint8_t *mac, const struct endpoint *to,
		 uint8_t *out, size_t payload_bytes)
{
	uint8_t *ip = out + ETHER_BYTES;
	uint8_t *udp = ip + IPV4_BYTES;
	size_t udp_bytes = UDP_BYTES + payload_bytes;
	size_t bytes = FRAMES_HEADERS_BYTES + payload_bytes;

	must(endpoint_is_ipv4(to));
	must(payload_bytes <= frames_payload_bytes_max(f));
	write_ether(f, mac, out, ETHERTYPE_IPV4);
	write_ipv4(f, endpoint_ipv4(to), ip, IPV4_BYTES + udp_bytes);
	finish_ipv4(ip, PROTOCOL_UDP);
	put_u16(udp, f->config.udp_port);
	put_u16(udp + 2, to->port);
	put_u16(udp + 4, (uint32_t)udp_bytes);
	put_u16(udp + 6, 0);
	uint16_t sum = (uint16_t)~sum_fold(sum_bytes(sum_pseudo(ip, udp_bytes), udp, udp_bytes));
	put_u16(udp + 6, sum == 0 ? 0xffff : sum); /* 0 would say "no checksum" */
	if (bytes < FRAMES_BYTES_MIN) {
		memset(out + bytes, 0, FRAMES_BYTES_MIN - bytes);
		bytes = FRAMES_BYTES_MIN;
	}
	return bytes;
}

void
frames_set_destination(uint8_t *frame, const uint8_t *mac)
{
	memcpy(frame, mac, FRAMES_MAC_BYTES);
}

const char *
frames_drop_name(enum frames_drop reason)
{
	static const char *const name[FRAMES_DROP_COUNT] = {
		[FRAMES_DROP_SHORT] = "short",
		[FRAMES_DROP_NOT_OURS] = "not_ours",
		[FRAMES_DROP_ETHERTYPE] = "ethertype",
		[FRAMES_DROP_ARP] = "arp",
		[FRAMES_DROP_CONFLICT] = "address_conflict",
		[FRAMES_DROP_IP_HEADER] = "ip_header",
		[FRAMES_DROP_IP_CHECKSUM] = "ip_checksum",
		[FRAMES_DROP_FRAGMENT] = "fragment",
		[FRAMES_DROP_SOURCE] = "source",
		[FRAMES_DROP_PROTOCOL] = "protocol",
		[FRAMES_DROP_ICMP_CHECKSUM] = "icmp_checksum",
		[FRAMES_DROP_UDP_PORT] = "udp_port",
		[FRAMES_DROP_UDP_CHECKSUM] = "udp_checksum",
		[FRAMES_DROP_UDP_UNFINISHED] = "udp_checksum_unfinished",
	};

	must(reason < FRAMES_DROP_COUNT);
	return name[reason];
}
