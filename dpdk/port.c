/* A DPDK port: see port.h. */
#include "dpdk/port.h"

#include <dirent.h>
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>

#include "base/must.h"

#define FRAME_COUNT_DEFAULT 4096
#define CACHED_FRAMES       256
#define QUEUE_FRAMES        512
#define CPU_LIST_BYTES      1024
#define ARGUMENTS_BYTES     2048

#ifndef AF_XDP
#define AF_XDP 44
#endif

/* The CPUs this thread may run on, as "0,1,5". */
static void
list_cpus(char *out, size_t out_bytes)
{
	cpu_set_t set;
	size_t n = 0;

	out[0] = '\0';
	if (sched_getaffinity(0, sizeof set, &set) != 0)
		return;
	for (int i = 0; i < CPU_SETSIZE && n + 8 < out_bytes; i++) {
		if (CPU_ISSET(i, &set))
			n += (size_t)snprintf(out + n, out_bytes - n, n == 0 ? "%d" : ",%d", i);
	}
}

struct arguments {
	char text[ARGUMENTS_BYTES];
	char cores[CPU_LIST_BYTES + 16];
	char *argv[PORT_ARGS_MAX + 1];
	int argc;
};

/* Unless told otherwise DPDK binds its main thread to the first core it finds,
 * and starts a thread on each of the others: three nodes on one host would share
 * one core. "0@(cpus)" is one thread that stays where it may run now. */
static int
split_arguments(struct arguments *a, const char *text)
{
	static char program[] = "synod";
	bool cores_given = false;
	char *rest = NULL;

	if (strlen(text) >= sizeof a->text)
		return -E2BIG;
	memcpy(a->text, text, strlen(text) + 1);
	a->argv[a->argc++] = program;
	char *word = strtok_r(a->text, " \t", &rest);
	while (word && a->argc < PORT_ARGS_MAX - 2) {
		cores_given |= strncmp(word, "-l", 2) == 0 || strncmp(word, "-c", 2) == 0 ||
			       strncmp(word, "--lcores", 8) == 0;
		a->argv[a->argc++] = word;
		word = strtok_r(NULL, " \t", &rest);
	}
	if (word)
		return -E2BIG;
	if (!cores_given) {
		char cpus[CPU_LIST_BYTES];
		list_cpus(cpus, sizeof cpus);
		snprintf(a->cores, sizeof a->cores, "--lcores=0@(%s)", cpus);
		a->argv[a->argc++] = a->cores;
	}
	a->argv[a->argc] = NULL;
	return 0;
}

static int
start_dpdk(struct port *port, const char *text, char *why)
{
	/* DPDK keeps pointers into argv for as long as it runs. */
	static struct arguments arguments;

	arguments = (struct arguments){0};
	if (split_arguments(&arguments, text) != 0) {
		snprintf(why, PORT_WHY_BYTES, "the EAL arguments are too long or too many: '%s'",
			 text);
		return -E2BIG;
	}
	if (rte_eal_init(arguments.argc, arguments.argv) < 0) {
		snprintf(why, PORT_WHY_BYTES,
			 "DPDK refused '%s' (%s): its own messages stand above. Without "
			 "hugepages add --no-huge -m 64; af_packet needs CAP_NET_RAW, "
			 "CAP_NET_ADMIN and an interface that exists",
			 text, rte_strerror(rte_errno));
		return rte_errno > 0 ? -rte_errno : -EINVAL;
	}
	port->initialised = true;
	return 0;
}

static bool
is_driver_socket(int fd)
{
	int domain = 0;
	socklen_t bytes = sizeof domain;

	if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &bytes) != 0)
		return false;
	return domain == AF_PACKET || domain == AF_XDP;
}

/* With one queue the driver has one such socket; a process has none of its own. */
static int
find_driver_socket(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int found = -1;

	if (!dir)
		return -1;
	for (struct dirent *entry = readdir(dir); entry; entry = readdir(dir)) {
		char *end = NULL;
		long fd = strtol(entry->d_name, &end, 10);
		if (end != entry->d_name && *end == '\0' && is_driver_socket((int)fd)) {
			found = (int)fd;
			break;
		}
	}
	closedir(dir);
	return found;
}

static int
failed(char *why, int error, const char *what)
{
	snprintf(why, PORT_WHY_BYTES, "%s: %s", what, rte_strerror(-error));
	return error < 0 ? error : -EIO;
}

static int
make_pool(struct port *port, const struct port_config *config, char *why)
{
	uint32_t count = config->frame_count != 0 ? config->frame_count : FRAME_COUNT_DEFAULT;
	uint32_t frame_bytes = (config->mtu != 0 ? config->mtu : 1500u) + 64;
	uint16_t room = RTE_MBUF_DEFAULT_DATAROOM;

	if (frame_bytes > room)
		room = (uint16_t)RTE_ALIGN_CEIL(frame_bytes, 64);
	port->pool = rte_pktmbuf_pool_create("synod", count, CACHED_FRAMES, 0,
					     (uint16_t)(room + RTE_PKTMBUF_HEADROOM),
					     (int)rte_socket_id());
	if (!port->pool) {
		snprintf(why, PORT_WHY_BYTES,
			 "no memory for %u frames: raise -m or reserve hugepages", count);
		return -ENOMEM;
	}
	return 0;
}

/* Drivers round the wished descriptor counts, or offer their own. */
static int
set_up_queues(struct port *port, char *why)
{
	struct rte_eth_conf conf = {0};
	uint16_t rx_frames = QUEUE_FRAMES;
	uint16_t tx_frames = QUEUE_FRAMES;
	int rc = rte_eth_dev_configure(port->id, 1, 1, &conf);

	if (rc != 0)
		return failed(why, rc, "the port refuses one queue each way");
	rc = rte_eth_dev_adjust_nb_rx_tx_desc(port->id, &rx_frames, &tx_frames);
	if (rc != 0)
		return failed(why, rc, "the port refuses its queue lengths");
	int socket = rte_eth_dev_socket_id(port->id);
	unsigned int numa = socket < 0 ? 0 : (unsigned int)socket;
	rc = rte_eth_rx_queue_setup(port->id, 0, rx_frames, numa, NULL, port->pool);
	if (rc != 0)
		return failed(why, rc, "no receive queue (too few frames in the pool?)");
	rc = rte_eth_tx_queue_setup(port->id, 0, tx_frames, numa, NULL);
	if (rc != 0)
		return failed(why, rc, "no transmit queue");
	return 0;
}

static int
set_mtu(struct port *port, uint16_t wanted, char *why)
{
	if (wanted != 0) {
		int rc = rte_eth_dev_set_mtu(port->id, wanted);
		if (rc != 0 && rc != -ENOTSUP)
			return failed(why, rc, "the port refuses this MTU: lower mtu_bytes");
	}
	if (rte_eth_dev_get_mtu(port->id, &port->mtu) != 0)
		port->mtu = 1500;
	/* A driver that cannot be told may still say more than we were asked for. */
	if (wanted != 0 && wanted < port->mtu)
		port->mtu = wanted;
	if (port->mtu > FRAMES_MTU_MAX)
		port->mtu = FRAMES_MTU_MAX;
	if (port->mtu < FRAMES_MTU_MIN)
		return failed(why, -EINVAL, "the port's MTU is below 576 bytes");
	return 0;
}

static int
set_mac(struct port *port, const struct port_config *config, char *why)
{
	struct rte_ether_addr mac;

	if (!config->mac_given)
		return 0;
	memcpy(mac.addr_bytes, config->mac, sizeof mac.addr_bytes);
	int rc = rte_eth_dev_default_mac_addr_set(port->id, &mac);
	if (rc != 0)
		return failed(why, rc, "the port does not take another MAC address: give none");
	return 0;
}

static int
describe(struct port *port, char *why)
{
	struct rte_eth_dev_info info;
	struct rte_ether_addr mac;

	int rc = rte_eth_dev_info_get(port->id, &info);
	if (rc != 0)
		return failed(why, rc, "the port does not describe itself");
	snprintf(port->driver, sizeof port->driver, "%s", info.driver_name);
	rc = rte_eth_macaddr_get(port->id, &mac);
	if (rc != 0)
		return failed(why, rc, "the port has no MAC address");
	memcpy(port->mac, mac.addr_bytes, sizeof port->mac);
	return 0;
}

static int
start_port(struct port *port, const struct port_config *config, char *why)
{
	int rc = make_pool(port, config, why);
	if (rc == 0)
		rc = set_up_queues(port, why);
	if (rc == 0)
		rc = set_mtu(port, config->mtu, why);
	if (rc == 0)
		rc = set_mac(port, config, why);
	if (rc == 0)
		rc = describe(port, why);
	if (rc != 0)
		return rc;
	rc = rte_eth_dev_start(port->id);
	if (rc != 0)
		return failed(why, rc, "the port does not start");
	port->started = true;
	/* Not every driver has the switch; frames.c looks at addresses anyway. */
	(void)rte_eth_promiscuous_disable(port->id);
	if (strcmp(port->driver, "net_af_packet") == 0 || strcmp(port->driver, "net_af_xdp") == 0)
		port->wait_fd = find_driver_socket();
	return 0;
}

int
port_open(struct port *port, const struct port_config *config, char why[PORT_WHY_BYTES])
{
	*port = (struct port){.wait_fd = -1};
	why[0] = '\0';
	int rc = start_dpdk(port, config->eal_arguments, why);
	if (rc != 0)
		return rc;
	uint16_t id = rte_eth_find_next(0);
	if (id >= RTE_MAX_ETHPORTS) {
		snprintf(why, PORT_WHY_BYTES,
			 "'%s' names no port: add --vdev net_af_packet0,iface=INTERFACE, or the "
			 "address of a card bound to VFIO with -a",
			 config->eal_arguments);
		rc = -ENODEV;
	} else {
		port->id = id;
		rc = start_port(port, config, why);
	}
	if (rc != 0)
		port_close(port);
	return rc;
}

static void
free_received(struct port *port)
{
	if (port->received_count > 0)
		rte_pktmbuf_free_bulk(port->received, port->received_count);
	port->received_count = 0;
}

void
port_close(struct port *port)
{
	if (port->started) {
		port_flush(port);
		free_received(port);
		(void)rte_eth_dev_stop(port->id);
		(void)rte_eth_dev_close(port->id);
		port->started = false;
	}
	if (port->pool) {
		rte_mempool_free(port->pool);
		port->pool = NULL;
	}
	if (port->initialised) {
		(void)rte_eal_cleanup();
		port->initialised = false;
	}
	port->wait_fd = -1;
}

uint32_t
port_receive(struct port *port)
{
	uint32_t frames = 0;

	must(port->started);
	free_received(port);
	port->received_count = rte_eth_rx_burst(port->id, 0, port->received, PORT_BURST);
	port->stats.received += port->received_count;
	for (uint32_t i = 0; i < port->received_count; i++) {
		struct rte_mbuf *m = port->received[i];
		/* The pool's buffers hold a whole frame; pieces mean one beyond the MTU. */
		if (m->nb_segs != 1) {
			port->stats.segmented++;
			continue;
		}
		port->frame[frames++] = (struct port_frame){
			.data = rte_pktmbuf_mtod(m, const uint8_t *),
			.bytes = m->data_len,
		};
	}
	return frames;
}

struct rte_mbuf *
port_frame_new(struct port *port, size_t bytes, uint8_t **data)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(port->pool);

	must(bytes <= FRAMES_BYTES_MAX);
	if (m && bytes > rte_pktmbuf_tailroom(m)) {
		rte_pktmbuf_free(m);
		m = NULL;
	}
	if (!m) {
		port->stats.no_frame++;
		return NULL;
	}
	*data = rte_pktmbuf_mtod(m, uint8_t *);
	return m;
}

uint8_t *
port_frame_data(struct rte_mbuf *frame)
{
	return rte_pktmbuf_mtod(frame, uint8_t *);
}

void
port_frame_free(struct rte_mbuf *frame)
{
	rte_pktmbuf_free(frame);
}

void
port_send(struct port *port, struct rte_mbuf *frame, size_t bytes)
{
	must(bytes <= FRAMES_BYTES_MAX);
	must(port->sending_count < PORT_BURST);
	frame->data_len = (uint16_t)bytes;
	frame->pkt_len = (uint32_t)bytes;
	port->sending[port->sending_count++] = frame;
	if (port->sending_count == PORT_BURST)
		port_flush(port);
}

void
port_flush(struct port *port)
{
	uint32_t done = 0;

	for (int i = 0; i < PORT_SEND_TRIES && done < port->sending_count; i++)
		done += rte_eth_tx_burst(port->id, 0, port->sending + done,
					 (uint16_t)(port->sending_count - done));
	port->stats.sent += done;
	if (done < port->sending_count) {
		port->stats.send_dropped += port->sending_count - done;
		rte_pktmbuf_free_bulk(port->sending + done, port->sending_count - done);
	}
	port->sending_count = 0;
}

bool
port_link_up(const struct port *port)
{
	struct rte_eth_link link;

	if (rte_eth_link_get_nowait(port->id, &link) != 0)
		return false;
	return link.link_status == RTE_ETH_LINK_UP;
}
