/* Answers every datagram with its own bytes, over port.h and udp.h: what device
 * tests talk to.
 *
 *     udp_echo EAL_ARGUMENTS ADDRESS/PREFIX PORT
 *
 * Prints "ready" with what it opened, waits on the port's descriptor between
 * bursts, and on SIGTERM closes the port, prints its counters and exits with 0. */
#include <arpa/inet.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <time.h>

#include "dpdk/udp.h"

#define WAIT_MS 1000

static uint64_t
now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static bool
parse(struct udp_address *address, char *text, const char *port)
{
	struct in_addr in;
	char *slash = strchr(text, '/');

	if (!slash)
		return false;
	*slash = '\0';
	if (inet_pton(AF_INET, text, &in) != 1)
		return false;
	address->ipv4 = ntohl(in.s_addr);
	address->prefix_bits = (uint8_t)strtoul(slash + 1, NULL, 10);
	address->port = (uint16_t)strtoul(port, NULL, 10);
	return address->prefix_bits >= 1 && address->prefix_bits <= 32 && address->port != 0;
}

static int
block_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	return signalfd(-1, &set, SFD_CLOEXEC);
}

static void
run(struct udp *udp, int stop_fd)
{
	static struct udp_datagram datagram[PORT_BURST];
	struct pollfd wait[2] = {{.fd = stop_fd, .events = POLLIN},
				 {.fd = udp->port->wait_fd, .events = POLLIN}};

	while ((wait[0].revents & POLLIN) == 0) {
		uint32_t n = udp_receive(udp, now(), datagram);
		for (uint32_t i = 0; i < n; i++)
			udp_send(udp, now(), &datagram[i].from, &datagram[i]);
		udp_flush(udp);
		poll(wait, 2, udp->port->received_count > 0 ? 0 : WAIT_MS);
	}
}

static void
print_counters(const struct udp *udp)
{
	printf("received %lu\nsent %lu\necho_answered %lu\narp_answered %lu\n", udp->stats.received,
	       udp->stats.sent, udp->frames.echo_answered, udp->frames.arp_answered);
	for (int i = 0; i < FRAMES_DROP_COUNT; i++)
		printf("%s %lu\n", frames_drop_name((enum frames_drop)i), udp->frames.drop[i]);
	fflush(stdout);
}

int
main(int argc, char **argv)
{
	static struct port port;
	static struct udp udp;
	struct udp_address address = {0};
	char why[PORT_WHY_BYTES];

	if (argc != 4 || !parse(&address, argv[2], argv[3])) {
		fprintf(stderr, "usage: udp_echo EAL_ARGUMENTS ADDRESS/PREFIX PORT\n");
		return 2;
	}
	int stop_fd = block_signals();
	if (port_open(&port, &(struct port_config){.eal_arguments = argv[1]}, why) != 0) {
		fprintf(stderr, "udp_echo: %s\n", why);
		return 1;
	}
	udp_init(&udp, &port, &address);
	printf("ready %s mtu %u wait %d link %d\n", port.driver, port.mtu, port.wait_fd,
	       port_link_up(&port));
	fflush(stdout);
	run(&udp, stop_fd);
	udp_close(&udp);
	port_close(&port);
	print_counters(&udp);
	return 0;
}
