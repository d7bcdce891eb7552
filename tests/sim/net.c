/* tests/sim/net.c - see sim.h: datagrams. */
#include <stdlib.h>

#include "base/must.h"
#include "tests/sim/sim.h"

#define PORT         7400
#define NO_PACKET    UINT32_MAX
#define ADDRESS_BASE 0x0a4d0000u

struct endpoint
net_endpoint(uint8_t process)
{
	return endpoint_from_ipv4(ADDRESS_BASE + process + 1u, PORT);
}

/* Answers the process at an endpoint, or SIM_PROCESSES_MAX: a packet to nowhere. */
static uint8_t
process_at(const struct sim *s, const struct endpoint *e)
{
	if (!endpoint_is_ipv4(e) || e->port != PORT)
		return SIM_PROCESSES_MAX;
	uint32_t n = endpoint_ipv4(e) - ADDRESS_BASE - 1u;
	bool there =
		n < s->node_count || (n >= SIM_NODES_MAX && n < SIM_NODES_MAX + s->server_count);
	return there ? (uint8_t)n : SIM_PROCESSES_MAX;
}

void
net_reset(struct sim *s)
{
	s->net.used = 0;
	s->net.free = NO_PACKET;
	memset(s->net.cut_until_ns, 0, sizeof s->net.cut_until_ns);
}

static uint32_t
packet_take(struct sim_net *n)
{
	if (n->free != NO_PACKET) {
		uint32_t slot = n->free;
		n->free = n->packet[slot].next_free;
		return slot;
	}
	if (n->used == n->capacity) {
		n->capacity = n->capacity ? 2 * n->capacity : 512;
		n->packet = realloc(n->packet, n->capacity * sizeof *n->packet);
		must(n->packet != NULL);
	}
	return n->used++;
}

static void
post(struct sim *s, uint8_t from, uint8_t to, const void *data, uint32_t bytes)
{
	struct sim_net *n = &s->net;
	uint64_t delay = n->latency_ns[from][to] + random_mean(&s->random, n->jitter_ns);

	if (random_chance(&s->random, n->late_ppm))
		delay += random_mean(&s->random, 20 * MS);
	uint32_t slot = packet_take(n);
	struct sim_packet *p = &n->packet[slot];
	p->from = from;
	p->to = to;
	p->bytes = (uint16_t)bytes;
	memcpy(p->data, data, bytes);
	sim_push(s, delay, EVENT_PACKET, to, slot);
}

/* By who sees what goes by: it may come before the one that it is made of. */
static void
post_changed(struct sim *s, uint8_t from, uint8_t to, const void *data, uint32_t bytes)
{
	uint8_t changed[SIM_DATAGRAM_BYTES];

	memcpy(changed, data, bytes);
	post(s, from, to, changed, seal_change(s, changed, bytes));
}

void
net_send(struct sim *s, uint8_t from, const struct endpoint *to, const void *data, uint32_t bytes)
{
	uint8_t there = process_at(s, to);

	if (bytes == 0 || bytes > SIM_DATAGRAM_BYTES) {
		sim_fail(s, "process %u sends a datagram of %u bytes", from, bytes);
		return;
	}
	if (there == SIM_PROCESSES_MAX) {
		sim_fail(s, "process %u sends to an endpoint that is nobody's", from);
		return;
	}
	if (s->net.cut_until_ns[from][there] > s->now_ns)
		return;
	if (random_chance(&s->random, s->net.drop_ppm[from][there]))
		return;
	post(s, from, there, data, bytes);
	if (random_chance(&s->random, s->net.duplicate_ppm))
		post(s, from, there, data, bytes);
	if (s->sealed && random_chance(&s->random, s->net.forge_ppm))
		post_changed(s, from, there, data, bytes);
}

/* Bytes that nobody sent, and old datagrams once more, under a neighbour's address.
 * Sealed, changed ones too, and under any address: in clear, who can change one and mend
 * its UDP checksum can say anything. */
void
net_forge(struct sim *s, uint8_t to)
{
	const struct sim_net *n = &s->net;
	uint8_t data[SIM_DATAGRAM_BYTES];
	uint32_t bytes = (uint32_t)random_between(&s->random, 1, 300);
	uint8_t from = (uint8_t)random_below(&s->random, s->node_count);

	for (uint32_t i = 0; i < bytes; i++)
		data[i] = (uint8_t)random_u64(&s->random);
	if (n->used > 0 && random_chance(&s->random, 500000)) {
		const struct sim_packet *p = &n->packet[random_below(&s->random, n->used)];
		from = p->from;
		to = p->to;
		bytes = p->bytes;
		memcpy(data, p->data, bytes);
		if (s->sealed && random_chance(&s->random, 500000))
			bytes = seal_change(s, data, bytes);
		if (s->sealed && random_chance(&s->random, 300000))
			from = (uint8_t)random_below(&s->random, s->node_count);
	}
	post(s, from, to, data, bytes);
}

void
net_arrive(struct sim *s, const struct sim_event *event)
{
	struct sim_net *n = &s->net;
	struct sim_process *p = sim_process(s, event->process);
	uint8_t data[SIM_DATAGRAM_BYTES];
	uint8_t from = n->packet[event->slot].from;
	uint32_t bytes = n->packet[event->slot].bytes;

	memcpy(data, n->packet[event->slot].data, bytes);
	n->packet[event->slot].next_free = n->free;
	n->free = event->slot;
	if (!p->up || n->cut_until_ns[from][event->process] > s->now_ns)
		return;
	if (sim_is_node(event->process)) {
		struct node_input in = {.kind = NODE_IN_PACKET, .from = net_endpoint(from)};
		in.data = data;
		in.bytes = bytes;
		sim_node_feed(s, event->process, &in);
		return;
	}
	struct member_input in = {.kind = MEMBER_IN_PACKET, .from = net_endpoint(from)};
	in.data = data;
	in.bytes = bytes;
	sim_member_feed(s, (uint8_t)(event->process - SIM_NODES_MAX), &in);
}
