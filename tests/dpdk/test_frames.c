/* Frames: what is unwrapped, what is answered, and what is dropped for which reason. */
#include <criterion/criterion.h>

#include "dpdk/frames.h"

#define OURS   0x0a4d0001u /* 10.77.0.1 */
#define PEER   0x0a4d0002u
#define ROUTER 0x0a4d00feu
#define FAR    0x08080808u

static const struct frames_config our_config = {
	.mac = {2, 0, 0, 0, 0, 1},
	.ipv4 = OURS,
	.prefix_bits = 24,
	.gateway = ROUTER,
	.udp_port = 7000,
	.mtu = 1500,
};

static const struct frames_config peer_config = {
	.mac = {2, 0, 0, 0, 0, 2},
	.ipv4 = PEER,
	.prefix_bits = 24,
	.udp_port = 9000,
	.mtu = 1500,
};

static struct frames ours, peer;
static uint8_t frame[FRAMES_BYTES_MAX], reply[FRAMES_BYTES_MAX];
static size_t frame_bytes;

static void
setup(void)
{
	frames_init(&ours, &our_config);
	frames_init(&peer, &peer_config);
}

TestSuite(dpdk_frames, .init = setup);

/* One's complement sum over 16-bit words, written the slow way. */
static uint16_t
checksum_of(const uint8_t *p, size_t n)
{
	uint32_t sum = 0;
	for (size_t i = 0; i < n; i++)
		sum += i % 2 == 0 ? (uint32_t)p[i] << 8 : p[i];
	while (sum > 0xffff)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

static void
put_checksum(uint8_t *at, uint16_t sum)
{
	at[0] = (uint8_t)(sum >> 8);
	at[1] = (uint8_t)sum;
}

/* After a change to the IPv4 header. */
static void
repair_ip(void)
{
	put_checksum(frame + 24, 0);
	put_checksum(frame + 24, checksum_of(frame + 14, 20));
}

/* A datagram of `n` bytes from peer to us. */
static void
make_datagram(size_t n)
{
	struct endpoint to = endpoint_from_ipv4(OURS, 7000);
	for (size_t i = 0; i < n; i++)
		frame[FRAMES_HEADERS_BYTES + i] = (uint8_t)(i * 7 + 1);
	frame_bytes = frames_write_udp(&peer, our_config.mac, &to, frame, n);
}

static void
make_echo(size_t n)
{
	make_datagram(n);
	frame[23] = 1; /* protocol */
	repair_ip();
	memset(frame + 34, 0, 8);
	frame[34] = 8;
	frame[38] = 0x12; /* identifier and sequence come back as they are */
	frame[41] = 0x34;
	put_checksum(frame + 36, checksum_of(frame + 34, 8 + n));
}

static struct frames_received
receive(void)
{
	return frames_receive(&ours, 1, frame, frame_bytes, reply);
}

static void
expect_drop(enum frames_drop reason)
{
	uint64_t before = ours.drop[reason];
	struct frames_received in = receive();
	cr_assert_eq(in.verdict, FRAMES_DROPPED, "verdict %d", in.verdict);
	cr_assert_eq(in.reason, reason, "dropped for %s", frames_drop_name(in.reason));
	cr_assert_eq(ours.drop[reason], before + 1);
}

/* Made by another program from the RFCs. */
Test(dpdk_frames, writes_the_bytes_the_standards_say)
{
	static const uint8_t golden[] = {
		0x02, 0x00, 0x00, 0x00, 0x00, 0x02, 0x02, 0x00, 0x00, 0x00, 0x00, 0x01,
		0x08, 0x00, 0x45, 0x00, 0x00, 0x21, 0x00, 0x00, 0x40, 0x00, 0x40, 0x11,
		0x26, 0x30, 0x0a, 0x4d, 0x00, 0x01, 0x0a, 0x4d, 0x00, 0x02, 0x1b, 0x58,
		0x23, 0x28, 0x00, 0x0d, 0x66, 0xce, 0x73, 0x79, 0x6e, 0x6f, 0x64, 0x00,
		0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00};
	struct endpoint to = endpoint_from_ipv4(PEER, 9000);

	memset(frame, 0xaa, sizeof frame);
	memcpy(frame + FRAMES_HEADERS_BYTES, "synod", 5);
	cr_assert_eq(frames_write_udp(&ours, peer_config.mac, &to, frame, 5), sizeof golden);
	cr_assert_arr_eq(frame, golden, sizeof golden);
}

Test(dpdk_frames, datagrams_of_every_size_arrive_as_they_were_sent)
{
	struct endpoint from = endpoint_from_ipv4(PEER, 9000);

	for (size_t n = 0; n <= frames_payload_bytes_max(&ours); n++) {
		make_datagram(n);
		struct frames_received in = receive();
		cr_assert_eq(in.verdict, FRAMES_DATAGRAM);
		cr_assert_eq(in.payload_bytes, n);
		cr_assert_eq(in.payload, frame + FRAMES_HEADERS_BYTES);
		cr_assert(endpoint_equal(&in.from, &from));
	}
	cr_assert_eq(frames_payload_bytes_max(&ours), 1472);
}

/* Every bit of headers and payload is under some check; padding is under none. */
Test(dpdk_frames, a_flipped_bit_is_never_a_datagram)
{
	make_datagram(24);
	size_t bits = frame_bytes * 8;
	for (size_t i = 0; i < bits; i++) {
		if (i / 8 >= 6 && i / 8 < 12)
			continue; /* the sender's MAC may be anything */
		frame[i / 8] ^= (uint8_t)(1 << i % 8);
		cr_assert_eq(receive().verdict, FRAMES_DROPPED, "bit %zu", i);
		frame[i / 8] ^= (uint8_t)(1 << i % 8);
	}
	cr_assert_eq(receive().verdict, FRAMES_DATAGRAM);
}

Test(dpdk_frames, a_cut_frame_is_dropped_at_every_length)
{
	make_datagram(30);
	for (frame_bytes = 0; frame_bytes < 42 + 30; frame_bytes++)
		expect_drop(FRAMES_DROP_SHORT);
}

Test(dpdk_frames, drop_reasons)
{
	make_datagram(20);
	frame[0] = 4;
	expect_drop(FRAMES_DROP_NOT_OURS);
	make_datagram(20);
	frame[33] = 9;
	repair_ip();
	expect_drop(FRAMES_DROP_NOT_OURS);
	make_datagram(20);
	frame[12] = 0x86;
	frame[13] = 0xdd;
	expect_drop(FRAMES_DROP_ETHERTYPE);
	make_datagram(20);
	frame[14] = 0x46;
	expect_drop(FRAMES_DROP_IP_HEADER);
	make_datagram(20);
	frame[22] = 1;
	expect_drop(FRAMES_DROP_IP_CHECKSUM);
	make_datagram(20);
	frame[23] = 6;
	repair_ip();
	expect_drop(FRAMES_DROP_PROTOCOL);
	make_datagram(20);
	frame[37]++;
	expect_drop(FRAMES_DROP_UDP_PORT);
	make_datagram(20);
	frame[50] ^= 1;
	expect_drop(FRAMES_DROP_UDP_CHECKSUM);
	make_datagram(20);
	put_checksum(frame + 40, 0);
	expect_drop(FRAMES_DROP_UDP_CHECKSUM);
}

/* Both kinds of fragment: a first one (more follow) and a later one (offset). */
Test(dpdk_frames, fragments_are_dropped)
{
	make_datagram(20);
	frame[20] = 0x20;
	repair_ip();
	expect_drop(FRAMES_DROP_FRAGMENT);
	frame[20] = 0;
	frame[21] = 1;
	repair_ip();
	expect_drop(FRAMES_DROP_FRAGMENT);
	cr_assert_eq(ours.drop[FRAMES_DROP_FRAGMENT], 2);
}

Test(dpdk_frames, a_packet_larger_than_the_mtu_is_dropped)
{
	struct frames_config jumbo = peer_config;
	jumbo.mtu = FRAMES_MTU_MAX;
	frames_init(&peer, &jumbo);
	make_datagram(1473);
	expect_drop(FRAMES_DROP_IP_HEADER);
	make_datagram(1472);
	cr_assert_eq(receive().verdict, FRAMES_DATAGRAM);
}

/* What a kernel hands to a veth when its own checksum offload is on. */
Test(dpdk_frames, an_unfinished_checksum_has_its_own_reason)
{
	static const uint8_t pseudo[12] = {10, 77, 0, 2, 10, 77, 0, 1, 0, 17, 0, 28};

	make_datagram(20);
	put_checksum(frame + 40, (uint16_t)~checksum_of(pseudo, sizeof pseudo));
	expect_drop(FRAMES_DROP_UDP_UNFINISHED);
}

Test(dpdk_frames, sources_that_cannot_be_answered_are_dropped)
{
	static const uint8_t bad[][4] = {
		{0, 0, 0, 0}, {224, 0, 0, 1}, {255, 255, 255, 255}, {10, 77, 0, 1}};

	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		make_datagram(20);
		memcpy(frame + 26, bad[i], 4);
		repair_ip();
		expect_drop(FRAMES_DROP_SOURCE);
	}
	make_datagram(20);
	frame[6] |= 1;
	expect_drop(FRAMES_DROP_SOURCE);
}

Test(dpdk_frames, echo_is_answered_with_its_own_bytes)
{
	for (size_t n = 0; n <= 1472; n += 59) {
		make_echo(n);
		struct frames_received in = receive();
		cr_assert_eq(in.verdict, FRAMES_REPLY);
		cr_assert_eq(in.reply_bytes, 42 + n < 60 ? 60 : 42 + n);
		cr_assert_arr_eq(reply, peer_config.mac, 6);
		cr_assert_arr_eq(reply + 6, our_config.mac, 6);
		cr_assert_arr_eq(reply + 26, frame + 30, 4);
		cr_assert_arr_eq(reply + 30, frame + 26, 4);
		cr_assert_eq(checksum_of(reply + 14, 20), 0);
		cr_assert_eq(checksum_of(reply + 34, 8 + n), 0);
		cr_assert_eq(reply[34], 0);
		cr_assert_arr_eq(reply + 38, frame + 38, 4 + n);
	}
	make_echo(10);
	frame[45] ^= 1;
	expect_drop(FRAMES_DROP_ICMP_CHECKSUM);
	make_echo(10);
	frame[34] = 0; /* an echo reply */
	expect_drop(FRAMES_DROP_PROTOCOL);
}

static void
make_request(uint32_t hop)
{
	frame_bytes = frames_write_arp_request(&peer, hop, frame);
}

/* Question, answer, and then both ends can send without asking. */
Test(dpdk_frames, arp_resolves_both_ends)
{
	struct endpoint to_us = endpoint_from_ipv4(OURS, 7000);
	struct endpoint to_peer = endpoint_from_ipv4(PEER, 9000);
	struct frames_route route = frames_route(&peer, 1, &to_us);

	cr_assert_eq(route.hop, OURS);
	cr_assert(route.ask);
	cr_assert_not(route.resolved);
	make_request(route.hop);
	struct frames_received in = receive();
	cr_assert_eq(in.verdict, FRAMES_REPLY);
	cr_assert_eq(in.resolved_ipv4, PEER);

	struct frames_received back = frames_receive(&peer, 2, reply, in.reply_bytes, frame);
	cr_assert_eq(back.verdict, FRAMES_DONE);
	cr_assert_eq(back.resolved_ipv4, OURS);
	route = frames_route(&peer, 3, &to_us);
	cr_assert(route.resolved);
	cr_assert_not(route.ask);
	cr_assert_arr_eq(route.mac, our_config.mac, 6);
	route = frames_route(&ours, 3, &to_peer);
	cr_assert(route.resolved);
	cr_assert_arr_eq(route.mac, peer_config.mac, 6);
}

Test(dpdk_frames, arp_asks_again_at_its_pace)
{
	struct endpoint to = endpoint_from_ipv4(PEER, 9000);
	uint64_t now_ns = 1000;

	cr_assert(frames_route(&ours, now_ns, &to).ask);
	cr_assert_not(frames_route(&ours, now_ns + FRAMES_ASK_EVERY_NS - 1, &to).ask);
	cr_assert(frames_route(&ours, now_ns + FRAMES_ASK_EVERY_NS, &to).ask);
}

/* A neighbour that is silent is asked for while it is still used, and forgotten
 * in the end; one whose datagrams arrive is never asked for. */
Test(dpdk_frames, neighbours_age_unless_heard)
{
	struct endpoint to = endpoint_from_ipv4(PEER, 9000);
	uint64_t now_ns = 1;

	make_request(OURS);
	frames_receive(&ours, now_ns, frame, frame_bytes, reply);
	for (int i = 0; i < 10; i++) {
		now_ns += FRAMES_REFRESH_NS - 1;
		struct frames_route fresh = frames_route(&ours, now_ns, &to);
		cr_assert(fresh.resolved);
		cr_assert_not(fresh.ask);
		make_datagram(5);
		frames_receive(&ours, now_ns, frame, frame_bytes, reply);
	}
	struct frames_route route = frames_route(&ours, now_ns + FRAMES_REFRESH_NS, &to);
	cr_assert(route.resolved);
	cr_assert(route.ask);
	cr_assert_not(frames_route(&ours, now_ns + FRAMES_REFRESH_NS + 1, &to).ask);
	route = frames_route(&ours, now_ns + FRAMES_EXPIRE_NS, &to);
	cr_assert_not(route.resolved);
	cr_assert(route.ask);
}

Test(dpdk_frames, arp_of_others_is_dropped)
{
	make_request(ROUTER);
	expect_drop(FRAMES_DROP_ARP);
	make_request(OURS);
	frame[18]++; /* length of an address */
	expect_drop(FRAMES_DROP_ARP);
	make_request(OURS);
	frame[21] = 3; /* operation */
	expect_drop(FRAMES_DROP_ARP);
	make_request(OURS);
	memcpy(frame + 28, (uint8_t[]){10, 77, 0, 1}, 4);
	expect_drop(FRAMES_DROP_CONFLICT);
	make_request(OURS);
	frame_bytes = 41;
	expect_drop(FRAMES_DROP_SHORT);
	/* An answer nobody asked for makes no entry. */
	make_request(OURS);
	frame[21] = 2;
	expect_drop(FRAMES_DROP_ARP);
	cr_assert_not(frames_route(&ours, 1, &(struct endpoint){0}).hop);
}

/* RFC 5227: who probes for an address before it takes it has none itself. */
Test(dpdk_frames, a_probe_is_answered_and_not_learned)
{
	make_request(OURS);
	memset(frame + 28, 0, 4);
	struct frames_received in = receive();
	cr_assert_eq(in.verdict, FRAMES_REPLY);
	cr_assert_eq(in.resolved_ipv4, 0);
	cr_assert_eq(ours.arp_answered, 1);
}

Test(dpdk_frames, what_is_not_on_the_link_goes_to_the_gateway)
{
	struct endpoint far = endpoint_from_ipv4(FAR, 53);
	struct endpoint six = {.address = {[0] = 0x20, [15] = 1}, .port = 1};
	struct endpoint self = endpoint_from_ipv4(OURS, 1);

	cr_assert_eq(frames_route(&ours, 1, &far).hop, ROUTER);
	cr_assert_eq(frames_route(&peer, 1, &far).hop, 0); /* it has no gateway */
	cr_assert_eq(frames_route(&ours, 1, &six).hop, 0);
	cr_assert_eq(frames_route(&ours, 1, &self).hop, 0);
}

/* Hosts that ask for us under invented addresses share the set of a peer that
 * we send to; it must stay. */
Test(dpdk_frames, invented_neighbours_do_not_push_out_a_peer)
{
	struct endpoint to = endpoint_from_ipv4(PEER, 9000);
	struct frames_config wide = our_config;

	wide.prefix_bits = 16;
	frames_init(&ours, &wide);
	make_request(OURS);
	receive();
	frames_route(&ours, 5, &to);
	for (uint8_t i = 1; i < 4 * FRAMES_WAYS; i++) {
		make_request(OURS);
		frame[30] = i; /* 10.77.i.2: another host of the same set */
		cr_assert_eq(receive().resolved_ipv4, PEER + 256u * i);
	}
	cr_assert(frames_route(&ours, 6, &to).resolved);
}
