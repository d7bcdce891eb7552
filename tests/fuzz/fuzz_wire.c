/*
 * wire/ between an honest peer, with whom a session is open, and a stranger.
 *
 * The input is a row of operations: a byte that chooses, a byte of length, the
 * bytes. Raw datagrams come from the stranger; what no fuzzer guesses first is
 * repaired: a whole header around items of the open session, a hello with its
 * fixed parts, an honest datagram with bytes changed. The checksum of each is made
 * right, unless its last byte asks for a wrong one. With the top bit of the first
 * byte the sessions are sealed by a table that costs nothing, the stranger knows
 * all public keys and has one that is listed, and what is repaired is sealed, too. With the bit
 * below it we accept certificates of members, and that key is not listed: what the stranger shows
 * is sealed for it, and its verdict is a sum over the bytes.
 * Whatever happens: nothing
 * leaves that is larger than agreed or not durable yet, the stranger never gets
 * more bytes than it sent, and every byte of every message can be read.
 */
#include <stdlib.h>

#include "base/must.h"
#include "tests/fuzz/fuzz.h"
#include "tests/wire/fake_crypto.h"
#include "wire/format.h"
#include "wire/session.h"
#include "wire/wire.h"

#define DATAGRAM_BYTES 1200
#define PACKETS_MAX    64 /* per turn and end */
#define TICK_NS        500000u

enum operation {
	OPERATION_RAW = 0,
	OPERATION_ITEMS = 1,
	OPERATION_HELLO = 2,
	OPERATION_CHANGE = 3,
	OPERATION_TIME = 4,
	OPERATION_SEND = 5,
	OPERATION_DURABLE = 6,
	OPERATION_HOLD = 7,
	OPERATIONS = 8,
};

#define SESSIONS 3

struct world {
	bool sealed;
	struct fake_crypto crypto[3];
	uint64_t slots[3][WIRE_SLOTS(SESSIONS)];
	struct wire *wire[2];        /* ours, the honest peer's */
	struct endpoint endpoint[3]; /* the third is the stranger's */
	int session[2];
	uint32_t key_id; /* under which the peer addresses us */
	uint64_t now_ns, counter, durable_lsn, sum;
	uint64_t stranger_sent, stranger_got; /* bytes */
	bool papers;                          /* we accept certificates */
	struct certificates certificates;
	struct noise noise; /* of the stranger's last INIT */
	bool asked;         /* and no RESPONSE read since */
	struct noise_keys keys;
	uint32_t strange_id; /* under which the stranger addresses us; 0: not yet */
	uint8_t cookie[COOKIE_BYTES];
};

static enum certificates_verdict
check(void *context, const uint8_t key[CRYPTO_KEY_BYTES], const uint8_t *data, uint32_t bytes)
{
	uint32_t sum = key[0];

	(void)context;
	must(bytes <= CERTIFICATES_BYTES_MAX);
	for (uint32_t i = 0; i < bytes; i++)
		sum += data[i];
	return (enum certificates_verdict)(sum % CERTIFICATES_VERDICTS);
}

static struct wire_config
config_of(int end)
{
	struct wire_config c = {
		.sessions_max = SESSIONS,
		.datagram_bytes_max = DATAGRAM_BYTES,
		.message_bytes_max = 3000,
		.half_open_max = 4,
		.in_flight_bytes_max = 16 * 1024,
		.keepalive_ns = 5000000,
		.dead_after_ns = 20000000,
		.connect_retry_ns = 5000000,
		.self = {.kind = WIRE_NODE, .node = (uint32_t)end + 1, .version = 1},
	};
	for (int i = 0; i < WIRE_STREAMS; i++)
		c.stream_send_bytes[i] = c.stream_receive_bytes[i] = 4096;
	c.self.process = (uint64_t)end + 10;
	c.self.epoch[0] = 7;
	memset(c.secret, end + 1, sizeof c.secret);
	return c;
}

static void
read_events(struct world *v, int end)
{
	struct wire_event event;

	while (wire_next_event(v->wire[end], &event)) {
		if (event.kind == WIRE_OPENED && (end == 1 || event.peer.node == 2))
			v->session[end] = event.session;
		if (event.kind == WIRE_CLOSED && event.session == v->session[end])
			v->session[end] = -1;
		if (event.kind != WIRE_MESSAGE)
			continue;
		must(event.bytes <= 3000);
		for (uint32_t i = 0; i < event.bytes; i++)
			v->sum += event.data[i];
	}
}

/* One datagram in a block of its own size, so that a read behind it is seen. A
 * checksum in clear ends in zeros: a last byte that is not says that it is to stay wrong. */
static void
give(struct world *v, int end, int from, const uint8_t *data, size_t bytes)
{
	uint8_t *exact = malloc(bytes > 0 ? bytes : 1);

	must(exact);
	if (bytes > 0)
		memcpy(exact, data, bytes);
	bool handshake = bytes > 1 && exact[0] < DATAGRAM_CONFIRM && exact[1] == 1;
	if (bytes >= DATAGRAM_FRAME_BYTES && exact[bytes - 1] == 0) {
		if (v->sealed && handshake)
			seal_put_mac(v->wire[end]->own[v->wire[end]->own_now].mac, exact, bytes);
		else
			datagram_put_tag(exact, bytes);
	}
	wire_receive(v->wire[end], &v->endpoint[from], exact, bytes, v->now_ns);
	free(exact);
	read_events(v, end);
}

/* What the stranger learns of an answer: a cookie, or the keys of a handshake. */
static void
hear(struct world *v, const struct wire_packet *p)
{
	uint8_t payload[HELLO_PRIVATE_BYTES];
	const uint8_t *body = p->data + DATAGRAM_HEADER_BYTES;

	if (p->data[0] == DATAGRAM_COOKIE)
		memcpy(v->cookie, body + 8, COOKIE_BYTES);
	if (p->data[0] != DATAGRAM_RESPONSE || !v->asked)
		return;
	v->asked = false;
	if (!noise_read(&v->noise,
			(struct crypto_slice){body + HELLO_HEAD_BYTES,
					      p->bytes - DATAGRAM_FRAME_BYTES - HELLO_HEAD_BYTES},
			payload))
		return;
	noise_split(&v->noise, &v->keys);
	v->strange_id = bytes_get_u32(body + 12);
}

static bool
next_packet(struct world *v, int end, struct wire_packet *p)
{
	if (!wire_next_packet(v->wire[end], p, v->now_ns))
		return false;
	must(p->bytes <= DATAGRAM_BYTES);
	must(p->after_lsn <= (end == 0 ? v->durable_lsn : 0));
	if (endpoint_equal(&p->to, &v->endpoint[2])) {
		v->stranger_got += p->bytes;
		must(v->stranger_got <= v->stranger_sent);
		if (v->papers)
			hear(v, p);
	}
	if (end == 1 && p->data[0] >= DATAGRAM_CONFIRM && v->session[1] >= 0) {
		v->key_id = bytes_get_u32(p->data + 4);
		v->counter = bytes_get_u64(p->data + 8);
	}
	return true;
}

static void
exchange(struct world *v)
{
	struct wire_packet p;
	int end = 0;

	for (int turn = 0; turn < 6; turn++, end = !end)
		for (int n = 0; n < PACKETS_MAX && next_packet(v, end, &p); n++)
			if (endpoint_equal(&p.to, &v->endpoint[!end]))
				give(v, !end, end, p.data, p.bytes);
}

static void
pass_time(struct world *v, uint8_t ticks)
{
	for (int i = 0; i < ticks % 16; i++) {
		v->now_ns += TICK_NS;
		for (int end = 0; end < 2; end++)
			if (wire_timer_ns(v->wire[end]) <= v->now_ns)
				wire_tick(v->wire[end], v->now_ns);
		read_events(v, 0);
		read_events(v, 1);
		exchange(v);
	}
}

/* As the input says, under the stranger's keys. */
static void
give_show(struct world *v, const uint8_t *data, size_t n)
{
	const struct crypto *c = &v->crypto[2].table;
	uint8_t out[DATAGRAM_FRAME_BYTES + SHOW_BODY_BYTES] = {0};
	uint8_t *body = out + DATAGRAM_HEADER_BYTES;
	struct datagram d = {.type = DATAGRAM_SHOW,
			     .generation = 1,
			     .key_id = v->strange_id,
			     .counter = (uint64_t)1 << 63 | ++v->counter,
			     .epoch = {7}};

	if (v->strange_id == 0)
		return;
	memcpy(body, data, n < SHOW_BODY_BYTES ? n : SHOW_BODY_BYTES);
	datagram_put_header(&d, out);
	c->key(c->context, CRYPTO_SLOT_SCRATCH, v->keys.send);
	c->seal(c->context, &(struct crypto_box){.slot = CRYPTO_SLOT_SCRATCH,
						 .nonce = d.counter,
						 .bound = {out, DATAGRAM_HEADER_BYTES},
						 .in = body,
						 .out = body,
						 .bytes = SHOW_BODY_BYTES,
						 .tag = body + SHOW_BODY_BYTES});
	v->stranger_sent += sizeof out;
	out[sizeof out - 1] |= 1; /* a tag that give() leaves alone */
	give(v, 0, 2, out, sizeof out);
}

static void
give_items(struct world *v, const uint8_t *data, size_t n)
{
	uint8_t out[DATAGRAM_FRAME_BYTES + CONFIRM_ZERO_BYTES + 256];
	bool confirm = n > 0 && data[0] & 0x80;
	size_t prefix = confirm ? CONFIRM_ZERO_BYTES : 0;
	struct datagram d = {.type = confirm ? DATAGRAM_CONFIRM : DATAGRAM_DATA,
			     .key_id = v->key_id,
			     .counter = ++v->counter,
			     .epoch = {7}};

	if (n > 0 && v->papers && data[0] & 0x40) {
		give_show(v, data + 1, n - 1);
		return;
	}
	if (n == 0 || v->key_id == 0)
		return;
	memset(out + DATAGRAM_HEADER_BYTES, 0, prefix);
	memcpy(out + DATAGRAM_HEADER_BYTES + prefix, data + 1, n - 1);
	if (!v->sealed) {
		give(v, 0, 1, out, datagram_seal(&d, out, prefix + n - 1));
		return;
	}
	struct session *s = v->session[1] < 0 ? NULL : &v->wire[1]->sessions[v->session[1]];
	if (s == NULL || s->state != SESSION_OPEN)
		return;
	d.key_id = s->peer_id;
	d.counter = s->flight.next_counter++;
	give(v, 0, 1, out, seal_datagram(v->wire[1], s, &d, out, prefix + n - 1));
}

/* The stranger's private part, as Noise wraps it: its key is listed. */
static void
wrap_hello(struct world *v, uint8_t *body)
{
	static const uint8_t secret[NOISE_KEY_BYTES] = {33}, ephemeral[NOISE_KEY_BYTES] = {44};
	uint8_t prologue[20] = "synod session 1", private[HELLO_PRIVATE_BYTES];
	uint8_t public[NOISE_KEY_BYTES];
	struct noise noise;

	prologue[16] = 1; /* the version */
	fake_public_key(NULL, secret, public);
	memcpy(private, body + HELLO_HEAD_BYTES, sizeof private);
	noise_init(&noise, &(struct noise_config){
				   .crypto = &v->crypto[2].table,
				   .pattern = NOISE_IKPSK2,
				   .initiator = true,
				   .prologue = {prologue, sizeof prologue},
				   .own_secret = secret,
				   .own_public = public,
				   .ephemeral_secret = ephemeral,
				   .peer_static = v->wire[0]->config.self.key,
			   });
	must(noise_write(&noise, (struct crypto_slice){private, sizeof private},
			 body + HELLO_HEAD_BYTES));
	v->noise = noise;
	v->asked = true;
}

/* INIT or, with an id, another datagram of the handshake; noise and epoch right. */
static void
give_hello(struct world *v, const uint8_t *data, size_t n)
{
	uint8_t out[DATAGRAM_FRAME_BYTES + HELLO_BYTES] = {0};
	struct datagram d = {.type = DATAGRAM_INIT, .epoch = {7}};
	size_t body = HELLO_HEAD_BYTES + HELLO_PRIVATE_BYTES;

	if (n == 0)
		return;
	memcpy(out + DATAGRAM_HEADER_BYTES, data + 1, n - 1 < body ? n - 1 : body);
	if (data[0] & 1)
		bytes_put_u32(out + DATAGRAM_HEADER_BYTES, 1);
	uint8_t *private = out + DATAGRAM_HEADER_BYTES + HELLO_HEAD_BYTES;
	if (data[0] & 2) {
		bytes_put_u32(private + 76, DATAGRAM_BYTES);
		memcpy(private + 84, out + DATAGRAM_HEADER_BYTES + 12, 4);
		private[92] = 7;
	}
	if (data[0] & 8) {
		memcpy(out + DATAGRAM_HEADER_BYTES + 16, v->cookie, COOKIE_BYTES);
		private[0] = WIRE_MEMBER;
		private[89] = HELLO_SHOWS | (data[0] & HELLO_DEMANDS);
	}
	size_t bytes = datagram_seal(&d, out, HELLO_BYTES);
	if (v->sealed && (data[0] & 4) == 0) {
		out[1] = 1;
		wrap_hello(v, out + DATAGRAM_HEADER_BYTES);
		seal_put_mac(v->wire[0]->own[v->wire[0]->own_now].mac, out, bytes);
	}
	v->stranger_sent += bytes;
	give(v, 0, 2, out, bytes);
}

static void
change(struct world *v, const uint8_t *data, size_t n)
{
	uint8_t out[DATAGRAM_BYTES];
	struct wire_packet p;

	if (!next_packet(v, 1, &p))
		return;
	memcpy(out, p.data, p.bytes);
	for (size_t i = 0; i + 1 < n; i += 2)
		out[data[i] % p.bytes] ^= data[i + 1];
	give(v, 0, 1, out, p.bytes);
}

static void
send(struct world *v, const uint8_t *data, size_t n)
{
	static const uint8_t message[3000];
	struct wire_slice slices[2] = {{message, 0}, {data, n}};

	if (n < 3)
		return;
	int end = data[0] & 1;
	slices[0].bytes = (size_t)data[1] * 10;
	if (v->session[end] >= 0)
		wire_send(v->wire[end], v->session[end], data[0] / 2 % WIRE_STREAMS, slices, 2,
			  end == 0 ? data[2] : 0);
}

static void
operate(struct world *v, enum operation operation, const uint8_t *data, size_t n)
{
	switch (operation) {
	case OPERATION_RAW:
		v->stranger_sent += n;
		give(v, 0, 2, data, n);
		break;
	case OPERATION_ITEMS:
		give_items(v, data, n);
		break;
	case OPERATION_HELLO:
		give_hello(v, data, n);
		break;
	case OPERATION_CHANGE:
		change(v, data, n);
		break;
	case OPERATION_TIME:
		pass_time(v, n > 0 ? data[0] : 1);
		break;
	case OPERATION_SEND:
		send(v, data, n);
		break;
	case OPERATION_DURABLE:
		v->durable_lsn += n;
		wire_durable(v->wire[0], v->durable_lsn);
		break;
	default:
		if (n > 0 && v->session[0] >= 0)
			wire_hold(v->wire[0], v->session[0], data[0] / 2 % WIRE_STREAMS,
				  data[0] & 1);
	}
	read_events(v, 0);
	exchange(v);
}

static void
list_keys(struct world *v)
{
	static const uint8_t strange[NOISE_KEY_BYTES] = {33};
	struct wire_key keys[3] = {{.kind = WIRE_ANY}};

	for (int i = 0; i < 2; i++)
		memcpy(keys[i].key, v->wire[i]->config.self.key, NOISE_KEY_BYTES);
	fake_public_key(NULL, strange, keys[2].key);
	for (int i = 0; i < 2; i++)
		wire_keys(v->wire[i], keys, v->papers ? 2 : 3);
	fake_crypto_init(&v->crypto[2], v->slots[2], WIRE_SLOTS(SESSIONS));
}

static void
world_start(struct world *v, bool sealed, bool papers)
{
	static void *memory[2];
	static const uint8_t entropy[32] = {1, 2, 3}, shown[1000] = {4, 5, 6};

	*v = (struct world){
		.sealed = sealed, .papers = papers, .now_ns = 1000000, .session = {-1, -1}};
	v->certificates = (struct certificates){
		.shown = shown, .shown_bytes = sizeof shown, .accepted = true, .check = check};
	for (uint32_t i = 0; i < 3; i++)
		v->endpoint[i] = endpoint_from_ipv4(0x0a000001u + i, 7000);
	for (int i = 0; i < 2; i++) {
		struct wire_config c = config_of(i);
		if (sealed)
			c.crypto =
				fake_crypto_init(&v->crypto[i], v->slots[i], WIRE_SLOTS(SESSIONS));
		c.certificates = papers && i == 0 ? &v->certificates : NULL;
		memory[i] = realloc(memory[i], wire_size(&c));
		must(memory[i]);
		v->wire[i] = wire_init(memory[i], &c);
		wire_random(v->wire[i], entropy, sizeof entropy);
	}
	list_keys(v);
	wire_connect(v->wire[1], &v->endpoint[0], NULL, v->now_ns);
	exchange(v);
	exchange(v);
	must(v->session[0] >= 0 && v->session[1] >= 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct world v;

	world_start(&v, n > 0 && data[0] & 0x80, n > 0 && data[0] >= 0xc0);
	while (n > 2) {
		size_t bytes = data[1];
		enum operation operation = data[0] % OPERATIONS;
		data += 2;
		n -= 2;
		if (bytes > n)
			bytes = n;
		operate(&v, operation, data, bytes);
		data += bytes;
		n -= bytes;
	}
	return 0;
}
