/*
 * A datagram through a session: sent at one end, its message read at the other.
 *
 * The receiver's acknowledgements travel back as they would, in datagrams of their
 * own where it has nothing else to say; their price is in the row, shared among the
 * datagrams with messages. Virtual time moves by 10 us per datagram. Sealed, a datagram
 * carries no checksum, and its floor is the copy alone: what sealing itself costs is
 * bench_seal's.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/must.h"
#include "hw/crypto.h"
#include "perf/bench_step.h"
#include "wire/wire.h"

#define ENDS           2
#define DATAGRAM_BYTES 1472
#define MESSAGE_MAX    1300
#define PACE_NS        10000
#define MS             1000000u

struct pair {
	uint64_t now_ns;
	uint32_t message_bytes;
	uint32_t burst; /* messages given before datagrams are asked for */
	struct wire *wire[ENDS];
	struct endpoint at[ENDS];
	int session;
	uint64_t read, datagrams, full, bytes;
	uint8_t message[MESSAGE_MAX];
};

static void
take_events(struct pair *p, int end)
{
	struct wire_event event;

	while (wire_next_event(p->wire[end], &event)) {
		must(event.kind != WIRE_CLOSED);
		must(event.kind != WIRE_MESSAGE || event.bytes == p->message_bytes);
		p->read += event.kind == WIRE_MESSAGE;
		if (event.kind == WIRE_OPENED && end == 0)
			p->session = event.session;
	}
}

static void
carry(struct pair *p, int from)
{
	struct wire_packet packet;
	int to = 1 - from;

	while (wire_next_packet(p->wire[from], &packet, p->now_ns)) {
		p->datagrams++;
		p->full += from == 0;
		p->bytes += packet.bytes;
		wire_receive(p->wire[to], &p->at[from], packet.data, packet.bytes, p->now_ns);
		take_events(p, to);
	}
}

static void
turn(struct pair *p)
{
	p->now_ns += PACE_NS;
	for (int end = 0; end < ENDS; end++)
		if (wire_timer_ns(p->wire[end]) <= p->now_ns)
			wire_tick(p->wire[end], p->now_ns);
	for (int end = 0; end < ENDS; end++) {
		take_events(p, end);
		carry(p, end);
	}
}

/* A unit is a burst: the messages of one datagram. */
static void
run(void *state, uint32_t count)
{
	struct pair *p = state;
	struct wire_slice slice = {p->message, p->message_bytes};
	uint64_t end = p->read + (uint64_t)count * p->burst;

	for (uint32_t i = 0; i < count; i++) {
		for (uint32_t k = 0; k < p->burst; k++) {
			bool sent = wire_send(p->wire[0], p->session, WIRE_CONSENSUS, &slice, 1, 0);
			must(sent);
		}
		turn(p);
	}
	for (uint32_t i = 0; p->read < end; i++) {
		must(i < 1000);
		turn(p);
	}
}

static void
emitted(const void *state, uint64_t *pieces, uint64_t *bytes)
{
	const struct pair *p = state;

	*pieces = p->datagrams;
	*bytes = p->bytes;
}

static void
note(const void *state, char out[STEP_NOTE_BYTES])
{
	const struct pair *p = state;

	snprintf(out, STEP_NOTE_BYTES, "%.2f datagrams back for each, %.0f bytes mean",
		 (double)(p->datagrams - p->full) / (double)p->full,
		 (double)p->bytes / (double)p->datagrams);
}

static struct wire_config
config_of(int end)
{
	struct wire_config c = {.sessions_max = 16,
				.datagram_bytes_max = DATAGRAM_BYTES,
				.message_bytes_max = 64 * 1024,
				.keepalive_ns = 100 * MS,
				.dead_after_ns = 500 * MS,
				.connect_retry_ns = 20 * MS,
				.self = {.kind = WIRE_NODE, .epoch = {7}, .version = 1}};
	for (uint32_t i = 0; i < WIRE_STREAMS; i++)
		c.stream_send_bytes[i] = c.stream_receive_bytes[i] = 256 * 1024;
	c.self.node = (uint32_t)end + 1;
	c.self.uuid[0] = (uint8_t)(end + 1);
	c.self.process = (uint64_t)end + 100;
	return c;
}

/* Of both ends, who list each other's. */
static void
take_keys(struct wire_config config[ENDS])
{
	uint8_t key[WIRE_KEY_BYTES];

	for (int end = 0; end < ENDS; end++) {
		struct wire_config *c = &config[end];
		memset(c->secret, 0x31 + end, sizeof c->secret);
		c->crypto = hw_crypto_new(WIRE_SLOTS(c->sessions_max), NULL);
		must(c->crypto);
		c->crypto->public_key(c->crypto->context, c->secret, key);
		memcpy(c->self.key, key, sizeof key);
	}
}

static void
list_key(struct wire *w, const struct wire_identity *peer)
{
	struct wire_key listed = {.kind = WIRE_NODE};

	memcpy(listed.key, peer->key, sizeof listed.key);
	wire_keys(w, &listed, 1);
}

static struct pair *
begin(uint32_t message_bytes, uint32_t burst, bool sealed)
{
	struct wire_config config[ENDS] = {config_of(0), config_of(1)};
	struct pair *p = calloc(1, sizeof *p);
	uint8_t entropy[32];

	must(p);
	p->now_ns = 1000ull * MS;
	p->message_bytes = message_bytes;
	p->burst = burst;
	p->session = -1;
	if (sealed)
		take_keys(config);
	for (int end = 0; end < ENDS; end++) {
		memset(entropy, 0x11 * (end + 1), sizeof entropy);
		p->at[end] = endpoint_from_ipv4(0x0a4d0001u + (uint32_t)end, 4000);
		p->wire[end] = wire_init(
			aligned_alloc(64, (wire_size(&config[end]) + 63) / 64 * 64), &config[end]);
		wire_random(p->wire[end], entropy, sizeof entropy);
		if (sealed)
			list_key(p->wire[end], &config[1 - end].self);
	}
	must(wire_connect(p->wire[0], &p->at[1], &config[1].self, p->now_ns) >= 0);
	for (uint32_t i = 0; p->session < 0; i++) {
		must(i < 1000);
		turn(p);
	}
	run(p, 4096);
	must(wire_stats(p->wire[0])->segments_resent == 0);
	return p;
}

uint32_t
step_wire_works(struct step_work *work)
{
	static const struct {
		const char *what;
		uint32_t bytes, burst;
		bool sealed;
	} row[] = {{"wire, a datagram with 64 bytes", 64, 1, false},
		   {"wire, a datagram with 256 bytes", 256, 1, false},
		   {"wire, a datagram with 1300 bytes", 1300, 1, false},
		   {"wire, a datagram with 8 messages of 128", 128, 8, false},
		   {"wire sealed, a datagram with 64 bytes", 64, 1, true},
		   {"wire sealed, a datagram with 256 bytes", 256, 1, true},
		   {"wire sealed, a datagram with 1300 bytes", 1300, 1, true}};
	uint32_t rows = sizeof row / sizeof row[0];

	for (uint32_t i = 0; i < rows; i++)
		work[i] = (struct step_work){
			.what = row[i].what,
			.state = begin(row[i].bytes, row[i].burst, row[i].sealed),
			.run = run,
			.emitted = emitted,
			.hashed = !row[i].sealed,
			.note = note,
			.units = 40000,
			.counted = 16};
	return rows;
}
