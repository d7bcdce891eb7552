/*
 * dpdk/frames.h on frames of any origin.
 *
 * The input is a row of frames: a byte that chooses, a byte of length / 8, the
 * bytes. Odd choosers repair what no fuzzer guesses first: our MAC and address
 * as the destination, and the checksums of IPv4, ICMP and UDP. What is unwrapped
 * lies inside its frame, what is answered is itself a frame that a peer takes,
 * and after every frame a datagram can still be sent to where one came from.
 */
#include <stdlib.h>

#include "base/must.h"
#include "dpdk/frames.h"
#include "tests/fuzz/fuzz.h"

#define OURS 0x0a4d0001u

static const struct frames_config config = {
	.mac = {2, 0, 0, 0, 0, 1},
	.ipv4 = OURS,
	.prefix_bits = 16,
	.gateway = 0x0a4d00feu,
	.udp_port = 7000,
	.mtu = 1500,
};

static uint32_t
sum_words(const uint8_t *p, size_t n, uint32_t sum)
{
	for (size_t i = 0; i < n; i++)
		sum += i % 2 == 0 ? (uint32_t)p[i] << 8 : p[i];
	while (sum > 0xffff)
		sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

static void
put_sum(uint8_t *at, uint32_t sum)
{
	sum = ~sum & 0xffff;
	at[0] = (uint8_t)(sum >> 8);
	at[1] = (uint8_t)sum;
}

static void
repair(uint8_t *f, size_t n)
{
	static const uint8_t ours[4] = {10, 77, 0, 1};

	if (n < 42)
		return;
	memcpy(f, config.mac, FRAMES_MAC_BYTES);
	if (f[12] != 8 || f[13] != 0)
		return;
	size_t l3 = (size_t)f[16] << 8 | f[17];
	if (l3 < 28 || l3 > n - 14) {
		l3 = n - 14;
		f[16] = (uint8_t)(l3 >> 8);
		f[17] = (uint8_t)l3;
	}
	f[14] = 0x45;
	memcpy(f + 30, ours, 4);
	f[24] = f[25] = 0;
	put_sum(f + 24, sum_words(f + 14, 20, 0));
	if (f[23] == 1) {
		f[36] = f[37] = 0;
		put_sum(f + 36, sum_words(f + 34, l3 - 20, 0));
	}
	size_t l4 = (size_t)f[38] << 8 | f[39];
	if (f[23] == 17 && l4 >= 8 && l4 <= l3 - 20) {
		f[40] = f[41] = 0;
		uint32_t pseudo = sum_words(f + 26, 8, 17 + (uint32_t)l4);
		put_sum(f + 40, sum_words(f + 34, l4, pseudo));
	}
}

/* The answer, as its receiver sees it: whole, and to an address it may have. */
static void
check_reply(const uint8_t *reply, size_t bytes)
{
	must(bytes >= FRAMES_BYTES_MIN);
	must(bytes <= 14u + config.mtu);
	must(memcmp(reply + 6, config.mac, FRAMES_MAC_BYTES) == 0);
	if (reply[13] == 6) {
		must(bytes == FRAMES_BYTES_MIN);
		must(reply[21] == 2);
		return;
	}
	size_t l3 = (size_t)reply[16] << 8 | reply[17];
	must(l3 <= bytes - 14);
	must(sum_words(reply + 14, 20, 0) == 0xffff);
	must(sum_words(reply + 34, l3 - 20, 0) == 0xffff);
}

static void
check_datagram(struct frames *frames, const struct frames_received *in, uint64_t now_ns)
{
	uint8_t out[FRAMES_HEADERS_BYTES + 18];

	struct frames_route route = frames_route(frames, now_ns, &in->from);
	must(route.hop != 0);
	must(frames_write_udp(frames, route.mac, &in->from, out, 0) == FRAMES_BYTES_MIN);
}

static void
one_frame(struct frames *frames, const uint8_t *frame, size_t n, uint64_t now_ns)
{
	static uint8_t reply[FRAMES_BYTES_MAX];
	uint64_t drops_before = 0, drops = 0;

	for (int i = 0; i < FRAMES_DROP_COUNT; i++)
		drops_before += frames->drop[i];
	struct frames_received in = frames_receive(frames, now_ns, frame, n, reply);
	for (int i = 0; i < FRAMES_DROP_COUNT; i++)
		drops += frames->drop[i];
	must(drops - drops_before == (in.verdict == FRAMES_DROPPED));
	if (in.verdict == FRAMES_REPLY)
		check_reply(reply, in.reply_bytes);
	if (in.verdict == FRAMES_DATAGRAM) {
		must(in.payload >= frame + FRAMES_HEADERS_BYTES);
		must(in.payload + in.payload_bytes <= frame + n);
		check_datagram(frames, &in, now_ns);
	}
	if (in.resolved_ipv4 != 0) {
		struct endpoint hop = endpoint_from_ipv4(in.resolved_ipv4, 1);
		must(frames_route(frames, now_ns, &hop).resolved);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct frames frames;
	uint64_t now_ns = 1;

	frames_init(&frames, &config);
	while (n > 2) {
		size_t bytes = (size_t)data[1] * 8;
		uint8_t chooser = data[0];
		data += 2;
		n -= 2;
		if (bytes > n)
			bytes = n;
		/* A block of its own: the sanitizer sees a read behind its end. */
		uint8_t *frame = malloc(bytes + 1);
		must(frame);
		memcpy(frame, data, bytes);
		if (chooser & 1)
			repair(frame, bytes);
		now_ns += (uint64_t)(chooser >> 1) * 1000000000u;
		one_frame(&frames, frame, bytes, now_ns);
		free(frame);
		data += bytes;
		n -= bytes;
	}
	return 0;
}
