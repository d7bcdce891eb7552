/*
 * dpdk/port.h - one Ethernet port, given by its EAL arguments.
 *
 * Opens DPDK (once in a process), takes the first port that the arguments name,
 * sets up one receive and one transmit queue on it, and moves frames in bursts.
 * What a frame says is frames.h's business.
 *
 * Never     blocks, but in port_open() and port_close(). Sends what fits; what
 *           the port does not take after PORT_SEND_TRIES tries is dropped and
 *           counted, as a wire would.
 * Waiting   interrupts of receive queues do not work on af_packet and af_xdp in
 *           DPDK 22.11, but poll() on the driver's own socket does: it is found
 *           among the process's descriptors. Other ports have none (-1).
 * Ownership what port_receive() shows is valid until the next port_receive(). A
 *           frame from port_frame_new() is the caller's until port_send() or
 *           port_frame_free().
 * Units     bytes are of the frame without its CRC.
 * Errors    port_open(): 0 or -errno, and a sentence with the remedy in `why`.
 * Threads   one, the one that opened it: DPDK takes it for its main core.
 */
#ifndef DPDK_PORT_H
#define DPDK_PORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dpdk/frames.h"

#define PORT_BURST      32
#define PORT_SEND_TRIES 64
#define PORT_WHY_BYTES  512
#define PORT_ARGS_MAX   64

struct rte_mbuf;
struct rte_mempool;

struct port_config {
	const char *eal_arguments; /* separated by blanks */
	uint32_t frame_count;      /* in the pool, for both directions; 0: 4096 */
	uint16_t mtu;              /* 0: the port's own */
	bool mac_given;            /* else the port keeps its own */
	uint8_t mac[FRAMES_MAC_BYTES];
};

struct port_frame {
	const uint8_t *data;
	uint32_t bytes;
};

struct port_stats {
	uint64_t received;
	uint64_t sent;
	uint64_t send_dropped; /* the port did not take it */
	uint64_t no_frame;     /* the pool was empty */
	uint64_t segmented;    /* received in pieces: dropped */
};

struct port {
	uint16_t id;
	uint16_t mtu;
	int wait_fd; /* readable when a frame is there; -1: this port has none */
	uint8_t mac[FRAMES_MAC_BYTES];
	char driver[32];
	bool started;
	bool initialised;
	struct rte_mempool *pool;
	struct rte_mbuf *received[PORT_BURST];
	uint32_t received_count;
	struct port_frame frame[PORT_BURST];
	struct rte_mbuf *sending[PORT_BURST];
	uint32_t sending_count;
	struct port_stats stats;
};

int port_open(struct port *port, const struct port_config *config, char why[PORT_WHY_BYTES]);

/* Sends what is left, stops the port and gives DPDK back. Also after a failed
 * port_open(). */
void port_close(struct port *port);

/* Fills `port->frame` and returns how many there are. */
uint32_t port_receive(struct port *port);

/* A frame to fill, with room for `bytes`, or NULL. */
struct rte_mbuf *port_frame_new(struct port *port, size_t bytes, uint8_t **data);
uint8_t *port_frame_data(struct rte_mbuf *frame);
void port_frame_free(struct rte_mbuf *frame);

/* Joins the burst that port_flush() sends; sends it itself when it is full. */
void port_send(struct port *port, struct rte_mbuf *frame, size_t bytes);
void port_flush(struct port *port);

bool port_link_up(const struct port *port);

#endif /* DPDK_PORT_H */
