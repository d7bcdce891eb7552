/*
 * stranger - who comes to a node's or a member's port and is not one of theirs.
 *
 *     stranger hello VERSION ADDRESS:PORT
 *         begins a session in this version of the protocol, and prints what came of
 *         it within a second: "opened", "refused REASON" (enum wire_reason), "silence".
 *     stranger listen VERSION NUMBER PORT
 *         answers handshakes as node NUMBER of this version until its input ends.
 *     stranger reset ADDRESS:PORT HEX ...
 *         HEX is a header that somebody recorded, of a session of the end that has this
 *         address: closes it by a datagram in clear, a million counters later, which an
 *         end in clear takes for its peer's. Prints "sent COUNT".
 *     stranger noise SEED COUNT ADDRESS:PORT...
 *         sends datagrams of every kind of wrong: random bytes, well-formed headers and
 *         checksums around random bodies, hellos that are cut or changed in a byte.
 */
#include <arpa/inet.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "base/must.h"
#include "wire/format.h"
#include "wire/wire.h"

#define MS             1000000u
#define SECOND_NS      1000000000u
#define DATAGRAM_BYTES 1400
#define RECEIVE_BYTES  2048
#define TARGETS_MAX    8
#define NOISE_PAUSE_US 300
#define LATER          1000000

static uint64_t
clock_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * SECOND_NS + (uint64_t)t.tv_nsec;
}

static void
die(const char *what)
{
	fprintf(stderr, "stranger: wrong %s\n", what);
	exit(2);
}

static struct endpoint
endpoint_of(char *text)
{
	char *port = strchr(text, ':');
	struct in_addr address;

	if (!port)
		die("address");
	*port++ = '\0';
	if (inet_pton(AF_INET, text, &address) != 1)
		die("address");
	return endpoint_from_ipv4(ntohl(address.s_addr), (uint16_t)strtoul(port, NULL, 10));
}

static int
open_socket(uint16_t port)
{
	struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons(port)};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	must(fd >= 0);
	if (bind(fd, (struct sockaddr *)&any, sizeof any) != 0)
		die("port");
	return fd;
}

static void
send_to(int fd, const struct endpoint *e, const uint8_t *data, size_t bytes)
{
	struct sockaddr_in to = {.sin_family = AF_INET,
				 .sin_port = htons(e->port),
				 .sin_addr.s_addr = htonl(endpoint_ipv4(e))};

	(void)!sendto(fd, data, bytes, 0, (struct sockaddr *)&to, sizeof to);
}

static struct wire *
make_wire(const struct wire_identity *self)
{
	struct wire_config c = {.sessions_max = 8,
				.datagram_bytes_max = DATAGRAM_BYTES,
				.message_bytes_max = 32768,
				.keepalive_ns = 100 * MS,
				.dead_after_ns = 500 * MS,
				.connect_retry_ns = 50 * MS,
				.self = *self};
	uint8_t random[64];
	struct wire *w = wire_init(aligned_alloc(64, (wire_size(&c) + 63) / 64 * 64), &c);

	must(getrandom(random, sizeof random, 0) == sizeof random);
	wire_random(w, random, sizeof random);
	return w;
}

/* One turn of a session's end: what came, what is due, what goes. */
static void
turn(struct wire *w, int fd)
{
	uint8_t data[RECEIVE_BYTES];
	struct pollfd ready = {.fd = fd, .events = POLLIN};
	struct sockaddr_in from;
	socklen_t from_bytes = sizeof from;
	struct wire_packet p;

	(void)poll(&ready, 1, 10);
	ssize_t n = recvfrom(fd, data, sizeof data, 0, (struct sockaddr *)&from, &from_bytes);
	if (n > 0) {
		struct endpoint e =
			endpoint_from_ipv4(ntohl(from.sin_addr.s_addr), ntohs(from.sin_port));
		wire_receive(w, &e, data, (size_t)n, clock_ns());
	}
	if (clock_ns() >= wire_timer_ns(w))
		wire_tick(w, clock_ns());
	while (wire_next_packet(w, &p, clock_ns()))
		send_to(fd, &p.to, p.data, p.bytes);
}

static int
hello(uint32_t version, char *address)
{
	struct wire *w = make_wire(&(struct wire_identity){
		.kind = WIRE_MEMBER, .uuid = "a stranger", .process = 1, .version = version});
	struct endpoint to = endpoint_of(address);
	int fd = open_socket(0);
	uint64_t end_ns = clock_ns() + SECOND_NS;

	must(wire_connect(w, &to, NULL, clock_ns()) >= 0);
	while (clock_ns() < end_ns) {
		struct wire_event event;

		turn(w, fd);
		while (wire_next_event(w, &event)) {
			if (event.kind == WIRE_OPENED) {
				printf("opened\n");
				return 0;
			}
			if (event.kind == WIRE_REFUSED) {
				printf("refused %d\n", event.reason);
				return 0;
			}
		}
	}
	printf("silence\n");
	return 0;
}

static int
listen_as(uint32_t version, uint32_t number, uint16_t port)
{
	struct wire *w = make_wire(&(struct wire_identity){.kind = WIRE_NODE,
							   .node = number,
							   .uuid = "another node",
							   .process = 1,
							   .epoch = {1},
							   .version = version});
	int fd = open_socket(port);
	struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};

	printf("ready\n");
	fflush(stdout);
	while (poll(&input, 1, 0) == 0) {
		struct wire_event event;

		turn(w, fd);
		while (wire_next_event(w, &event))
			;
	}
	return 0;
}

/* ---- noise ---- */

static uint64_t
dice(uint64_t *random)
{
	*random ^= *random << 13;
	*random ^= *random >> 7;
	*random ^= *random << 17;
	return *random;
}

/* A hello that would be answered, but for the byte that is changed in most. */
static size_t
hello_body(uint64_t *random, uint8_t *body)
{
	struct hello h = {.self = {.kind = WIRE_MEMBER, .process = dice(random), .version = 1},
			  .connection = (uint32_t)dice(random) | 1,
			  .time_ns = clock_ns(),
			  .datagram_bytes_max = DATAGRAM_BYTES,
			  .message_bytes_max = 32768};

	bytes_put_u64(h.self.uuid, dice(random));
	for (int i = 0; i < WIRE_STREAMS; i++)
		h.window_bytes[i] = 65536;
	hello_encode(&h, body);
	if (dice(random) % 8 != 0)
		body[dice(random) % HELLO_BYTES] ^= (uint8_t)dice(random);
	return HELLO_BYTES;
}

static size_t
noise(uint64_t *random, uint8_t data[RECEIVE_BYTES])
{
	uint32_t kind = (uint32_t)dice(random) % 4;
	struct datagram d = {.type = (enum wire_datagram)(1 + dice(random) % 7),
			     .key_id = (uint32_t)dice(random),
			     .counter = dice(random) % 1000};
	size_t bytes = dice(random) % (DATAGRAM_BYTES - DATAGRAM_FRAME_BYTES);

	for (size_t i = 0; i < RECEIVE_BYTES; i++)
		data[i] = (uint8_t)dice(random);
	if (kind == 0)
		return bytes;
	if (kind == 1)
		return datagram_seal(&d, data, bytes);
	d = (struct datagram){.type = DATAGRAM_INIT};
	bytes = hello_body(random, data + DATAGRAM_HEADER_BYTES);
	if (kind == 2)
		bytes = dice(random) % bytes;
	return datagram_seal(&d, data, bytes);
}

static int
make_noise(uint64_t seed, uint64_t count, int argc, char **argv)
{
	struct endpoint to[TARGETS_MAX];
	uint64_t random = seed | 1;
	int fd = open_socket(0);

	if (argc < 1 || argc > TARGETS_MAX)
		die("number of targets");
	for (int i = 0; i < argc; i++)
		to[i] = endpoint_of(argv[i]);
	for (uint64_t i = 0; i < count; i++) {
		uint8_t data[RECEIVE_BYTES];
		size_t bytes = noise(&random, data);

		send_to(fd, &to[i % (uint64_t)argc], data, bytes);
		usleep(NOISE_PAUSE_US);
	}
	printf("sent %lu\n", count);
	return 0;
}

/* ---- resets ---- */

static void
take_header(const char *hex, struct datagram *d)
{
	uint8_t data[DATAGRAM_FRAME_BYTES] = {0};

	if (strlen(hex) != 2 * DATAGRAM_HEADER_BYTES)
		die("header");
	for (int i = 0; i < DATAGRAM_HEADER_BYTES; i++) {
		char two[3] = {hex[2 * i], hex[2 * i + 1], '\0'};
		data[i] = (uint8_t)strtoul(two, NULL, 16);
	}
	if (datagram_parse(d, data, sizeof data) != DATAGRAM_WHOLE)
		die("header");
}

static int
reset(int argc, char **argv)
{
	int fd = open_socket(0);

	for (int i = 0; i + 1 < argc; i += 2) {
		struct endpoint to = endpoint_of(argv[i]);
		uint8_t data[DATAGRAM_BYTES];
		struct datagram d;

		take_header(argv[i + 1], &d);
		struct writer body = writer_over(data + DATAGRAM_HEADER_BYTES, 64);
		d.counter += LATER;
		d.generation = 0;
		item_put_close(&body, WIRE_REASON_PEER);
		send_to(fd, &to, data, datagram_seal(&d, data, body.bytes));
	}
	printf("sent %d\n", argc / 2);
	return 0;
}

static uint64_t
number(const char *text)
{
	return strtoull(text, NULL, 10);
}

int
main(int argc, char **argv)
{
	if (argc == 4 && strcmp(argv[1], "hello") == 0)
		return hello((uint32_t)number(argv[2]), argv[3]);
	if (argc == 5 && strcmp(argv[1], "listen") == 0)
		return listen_as((uint32_t)number(argv[2]), (uint32_t)number(argv[3]),
				 (uint16_t)number(argv[4]));
	if (argc > 3 && strcmp(argv[1], "reset") == 0)
		return reset(argc - 2, argv + 2);
	if (argc > 4 && strcmp(argv[1], "noise") == 0)
		return make_noise(number(argv[2]), number(argv[3]), argc - 4, argv + 4);
	die("arguments: see the top of tests/device/stranger.c");
}
