/* Datagrams over a port: see udp.h. */
#include "dpdk/udp.h"

#include <string.h>

#include "base/must.h"

void
udp_init(struct udp *udp, struct port *port, const struct udp_address *address)
{
	struct frames_config config = {
		.ipv4 = address->ipv4,
		.prefix_bits = address->prefix_bits,
		.gateway = address->gateway,
		.udp_port = address->port,
		.mtu = port->mtu,
	};

	memcpy(config.mac, port->mac, sizeof config.mac);
	memset(udp, 0, sizeof *udp);
	udp->port = port;
	frames_init(&udp->frames, &config);
}

void
udp_close(struct udp *udp)
{
	for (uint32_t i = 0; i < UDP_PENDING_MAX; i++) {
		if (udp->pending[i].frame)
			port_frame_free(udp->pending[i].frame);
		udp->pending[i].frame = NULL;
	}
	udp->pending_count = 0;
}

static void
send_bytes(struct udp *udp, const uint8_t *data, size_t bytes)
{
	uint8_t *out;
	struct rte_mbuf *frame = port_frame_new(udp->port, bytes, &out);

	if (!frame)
		return;
	memcpy(out, data, bytes);
	port_send(udp->port, frame, bytes);
}

/* What waited for `hop` goes; it is few, so order among hops costs nothing. */
static void
release_pending(struct udp *udp, uint64_t now_ns, uint32_t hop)
{
	/* Any endpoint behind the hop has its MAC; the hop itself is one. */
	struct endpoint to = endpoint_from_ipv4(hop, 0);
	struct frames_route route = frames_route(&udp->frames, now_ns, &to);

	must(route.resolved);
	for (uint32_t i = 0; i < UDP_PENDING_MAX && udp->pending_count > 0; i++) {
		struct udp_pending *p = &udp->pending[i];
		if (!p->frame || p->hop != hop)
			continue;
		frames_set_destination(port_frame_data(p->frame), route.mac);
		port_send(udp->port, p->frame, p->frame_bytes);
		udp->stats.sent++;
		p->frame = NULL;
		udp->pending_count--;
	}
}

static void
expire_pending(struct udp *udp, uint64_t now_ns)
{
	for (uint32_t i = 0; i < UDP_PENDING_MAX && udp->pending_count > 0; i++) {
		struct udp_pending *p = &udp->pending[i];
		if (!p->frame || now_ns - p->since_ns < UDP_PENDING_NS)
			continue;
		port_frame_free(p->frame);
		p->frame = NULL;
		udp->pending_count--;
		udp->stats.unresolved++;
	}
}

static void
add_pending(struct udp *udp, const struct udp_pending *pending)
{
	if (udp->pending_count == UDP_PENDING_MAX) {
		port_frame_free(pending->frame);
		udp->stats.pending_dropped++;
		return;
	}
	uint32_t i = 0;
	while (udp->pending[i].frame)
		i++;
	must(i < UDP_PENDING_MAX);
	udp->pending[i] = *pending;
	udp->pending_count++;
}

uint32_t
udp_receive(struct udp *udp, uint64_t now_ns, struct udp_datagram *out)
{
	uint32_t frames = port_receive(udp->port);
	uint32_t n = 0;

	must(frames <= PORT_BURST);
	for (uint32_t i = 0; i < frames; i++) {
		const struct port_frame *frame = &udp->port->frame[i];
		struct frames_received in =
			frames_receive(&udp->frames, now_ns, frame->data, frame->bytes, udp->reply);
		if (in.verdict == FRAMES_DATAGRAM) {
			out[n++] = (struct udp_datagram){
				.from = in.from,
				.data = in.payload,
				.bytes = (uint32_t)in.payload_bytes,
			};
		} else if (in.verdict == FRAMES_REPLY) {
			send_bytes(udp, udp->reply, in.reply_bytes);
		}
		if (in.resolved_ipv4 != 0 && udp->pending_count > 0)
			release_pending(udp, now_ns, in.resolved_ipv4);
	}
	udp->stats.received += n;
	return n;
}

void
udp_send(struct udp *udp, uint64_t now_ns, const struct endpoint *to,
	 const struct udp_datagram *datagram)
{
	uint8_t *out;

	if (datagram->bytes > frames_payload_bytes_max(&udp->frames)) {
		udp->stats.too_long++;
		return;
	}
	struct frames_route route = frames_route(&udp->frames, now_ns, to);
	if (route.hop == 0) {
		udp->stats.unreachable++;
		return;
	}
	if (route.ask) {
		expire_pending(udp, now_ns);
		send_bytes(udp, udp->reply,
			   frames_write_arp_request(&udp->frames, route.hop, udp->reply));
	}
	struct rte_mbuf *frame =
		port_frame_new(udp->port, FRAMES_BYTES_MIN + (size_t)datagram->bytes, &out);
	if (!frame)
		return;
	if (datagram->bytes > 0)
		memcpy(out + FRAMES_HEADERS_BYTES, datagram->data, datagram->bytes);
	size_t bytes = frames_write_udp(&udp->frames, route.mac, to, out, datagram->bytes);
	if (route.resolved) {
		port_send(udp->port, frame, bytes);
		udp->stats.sent++;
		return;
	}
	add_pending(udp, &(struct udp_pending){.frame = frame,
					       .frame_bytes = (uint32_t)bytes,
					       .hop = route.hop,
					       .since_ns = now_ns});
}

void
udp_flush(struct udp *udp)
{
	port_flush(udp->port);
}
