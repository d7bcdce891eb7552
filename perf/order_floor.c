/*
 * order_floor header NAME | udp ADDRESS PORT BYTES COUNT | write DIRECTORY BYTES COUNT
 *
 * What bench_order.py puts beside the latency of an order: a bare round trip of a
 * datagram through the same bridge, the sender asleep until the answer comes, and a
 * bare durable write on the same disk, one at a time, O_DIRECT and O_DSYNC, over a
 * file that was prewritten with zeros. Prints "p50_ns=N p99_ns=N max_ns=N".
 *
 * Errors   status 1 and a sentence. A datagram that is lost is sent again after a
 *          second; that second is in the figures.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>

#include "perf/bench.h"

#define DATAGRAM_MAX 1472
#define WRITE_MAX    (1u << 20)
#define FILE_BYTES   (16u << 20)
#define LOST_MS      1000

static struct histogram took;

static int
fail(const char *what)
{
	fprintf(stderr, "order_floor: %s: %s\n", what, strerror(errno));
	return 1;
}

static int
print(void)
{
	printf("p50_ns=%llu p99_ns=%llu max_ns=%llu\n",
	       (unsigned long long)histogram_percentile(&took, 500000),
	       (unsigned long long)histogram_percentile(&took, 990000),
	       (unsigned long long)counter_read(&took.max));
	return 0;
}

/* True when the answer to `number` came; older answers are read and passed over. */
static bool
round_trip(int fd, uint8_t *data, size_t bytes, uint64_t number)
{
	struct pollfd event = {.fd = fd, .events = POLLIN};
	uint64_t answered = UINT64_MAX;

	memcpy(data, &number, sizeof number);
	if (send(fd, data, bytes, 0) != (ssize_t)bytes)
		return false;
	while (answered != number) {
		if (poll(&event, 1, LOST_MS) <= 0 || recv(fd, data, bytes, 0) != (ssize_t)bytes)
			return false;
		memcpy(&answered, data, sizeof answered);
	}
	return true;
}

static int
run_udp(const char *address, const char *port, size_t bytes, uint64_t count)
{
	struct sockaddr_in to = {.sin_family = AF_INET};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	uint8_t data[DATAGRAM_MAX] = {0};

	to.sin_port = htons((uint16_t)strtoul(port, NULL, 10));
	if (inet_pton(AF_INET, address, &to.sin_addr) != 1 || bytes > sizeof data || bytes < 8)
		return fail("ADDRESS or BYTES");
	if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof to) != 0)
		return fail("socket");
	for (uint64_t i = 0; i < count; i++) {
		uint64_t began = bench_now_ns();
		for (uint32_t lost = 0; !round_trip(fd, data, bytes, i); lost++)
			if (lost == 10)
				return fail("no answer");
		if (i > 0) /* the first one asks for the neighbour's address */
			histogram_add(&took, bench_now_ns() - began);
	}
	close(fd);
	return print();
}

static bool
prewrite(int fd, uint8_t *data)
{
	memset(data, 0, WRITE_MAX);
	for (uint32_t at = 0; at < FILE_BYTES; at += WRITE_MAX)
		if (pwrite(fd, data, WRITE_MAX, at) != WRITE_MAX)
			return false;
	memset(data, 0x5a, WRITE_MAX);
	return fsync(fd) == 0;
}

static int
run_write(const char *directory, size_t bytes, uint64_t count)
{
	int folder = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	uint8_t *data = aligned_alloc(4096, WRITE_MAX);

	must(data);
	if (folder < 0 || bytes > WRITE_MAX || bytes % 4096 != 0 || bytes == 0)
		return fail("DIRECTORY or BYTES");
	int flags = O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_DIRECT | O_DSYNC;
	int fd = openat(folder, "order_floor.tmp", flags, 0600);
	if (fd < 0)
		return fail("file");
	unlinkat(folder, "order_floor.tmp", 0);
	if (!prewrite(fd, data))
		return fail("prewriting");
	for (uint64_t i = 0; i < count; i++) {
		uint64_t began = bench_now_ns();
		if (pwrite(fd, data, bytes, (off_t)(i * bytes % FILE_BYTES)) != (ssize_t)bytes)
			return fail("write");
		histogram_add(&took, bench_now_ns() - began);
	}
	close(fd);
	close(folder);
	free(data);
	return print();
}

int
main(int argc, char **argv)
{
	struct bench bench = {0};

	if (argc == 3 && strcmp(argv[1], "header") == 0) {
		bench_find_cores(&bench);
		bench_print_header(&bench, argv[2], 0);
		return 0;
	}
	if (argc == 6 && strcmp(argv[1], "udp") == 0)
		return run_udp(argv[2], argv[3], strtoul(argv[4], NULL, 10),
			       strtoul(argv[5], NULL, 10));
	if (argc == 5 && strcmp(argv[1], "write") == 0)
		return run_write(argv[2], strtoul(argv[3], NULL, 10), strtoul(argv[4], NULL, 10));
	fprintf(stderr, "usage: order_floor header NAME | udp ADDRESS PORT BYTES COUNT | "
			"write DIRECTORY BYTES COUNT\n");
	return 2;
}
