/* The bad network of tests/wire. */
#include "link.h"

#include <criterion/criterion.h>
#include <stdlib.h>

uint64_t
link_random(struct link *l)
{
	uint64_t z = l->random += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

struct wire_config
link_config(int end)
{
	struct wire_config c = {
		.sessions_max = LINK_SESSIONS,
		.datagram_bytes_max = LINK_DATAGRAM_MAX,
		.message_bytes_max = 32 * 1024,
		.keepalive_ns = 5 * LINK_MILLISECOND,
		.dead_after_ns = 50 * LINK_MILLISECOND,
		.connect_retry_ns = 10 * LINK_MILLISECOND,
		.self = {.kind = WIRE_NODE,
			 .node = (uint32_t)end + 1,
			 .process = (uint64_t)end + 100,
			 .epoch = {7},
			 .version = 1},
	};
	c.self.uuid[0] = (uint8_t)(end + 1);
	memset(c.secret, end + 1, sizeof c.secret);
	return c;
}

struct wire_key
link_key(int end)
{
	struct wire_config c = link_config(end);
	struct wire_key key = {.kind = WIRE_ANY};

	memcpy(key.uuid, c.self.uuid, WIRE_UUID_BYTES);
	fake_public_key(NULL, c.secret, key.key);
	return key;
}

static void
init_end(struct link *l, int end)
{
	struct link_end *e = &l->end[end];
	struct wire_key keys[LINK_ENDS];
	uint64_t entropy[4];

	for (int i = 0; i < 4; i++)
		entropy[i] = link_random(l);
	if (LINK_IS_SEALED)
		e->config.crypto =
			fake_crypto_init(&e->crypto, e->slots, WIRE_SLOTS(LINK_SESSIONS));
	e->wire = wire_init(malloc(wire_size(&e->config)), &e->config);
	wire_random(e->wire, (const uint8_t *)entropy, sizeof entropy);
	for (int i = 0; i < LINK_ENDS; i++)
		keys[i] = link_key(i);
	wire_keys(e->wire, keys, LINK_ENDS);
	e->session = -1;
	e->durable_lsn = 0;
}

void
link_add(struct link *l, int end, const struct wire_config *config)
{
	struct link_end *e = &l->end[end];

	e->config = *config;
	free(e->wire);
	e->endpoint = endpoint_from_ipv4(0x0a000001u + (uint32_t)end, 3306);
	init_end(l, end);
}

void
link_start(struct link *l, uint64_t seed)
{
	memset(l, 0, sizeof *l);
	l->random = seed;
	l->now_ns = 1000 * LINK_MILLISECOND;
	l->delay_ns = 20 * LINK_MICROSECOND;
	l->flying = calloc(LINK_FLYING, sizeof *l->flying);
	for (int i = 0; i < 2; i++) {
		struct wire_config c = link_config(i);
		link_add(l, i, &c);
	}
}

void
link_restart(struct link *l, int end)
{
	free(l->end[end].wire);
	l->end[end].config.self.process += 1000;
	init_end(l, end);
}

void
link_stop(struct link *l)
{
	for (int i = 0; i < LINK_ENDS; i++)
		free(l->end[i].wire);
	free(l->flying);
}

int
link_connect(struct link *l, int from, int to)
{
	return wire_connect(l->end[from].wire, &l->end[to].endpoint, &l->end[to].config.self,
			    l->now_ns);
}

static int
end_at(const struct link *l, const struct endpoint *e)
{
	for (int i = 0; i < LINK_ENDS; i++)
		if (l->end[i].wire != NULL && endpoint_equal(&l->end[i].endpoint, e))
			return i;
	return -1;
}

static void
fly(struct link *l, int from, int to, const struct wire_packet *p)
{
	if (l->flying_count == LINK_FLYING)
		return;
	struct link_flying *f = &l->flying[l->flying_count++];
	uint64_t jitter = l->jitter_ns ? link_random(l) % l->jitter_ns : 0;
	f->due_ns = l->now_ns + l->delay_ns + jitter;
	f->order = l->order++;
	f->from = from;
	f->to = to;
	f->bytes = p->bytes;
	memcpy(f->data, p->data, p->bytes);
	if (link_random(l) % 1000 < l->flip_per_mille) {
		uint64_t bit = link_random(l) % (8 * p->bytes);
		f->data[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
}

static void
send_all(struct link *l, int from)
{
	struct link_end *e = &l->end[from];
	struct wire_packet p;

	for (int n = 0; wire_next_packet(e->wire, &p, l->now_ns); n++) {
		int to = end_at(l, &p.to);
		cr_assert(n < 4096, "an end never stops sending");
		cr_assert(p.bytes <= e->config.datagram_bytes_max);
		cr_assert(p.after_lsn <= e->durable_lsn);
		e->sent[p.data[0]]++;
		l->datagrams++;
		if (to < 0 || l->cut[from][to])
			continue;
		if (link_random(l) % 1000 >= l->lose_per_mille)
			fly(l, from, to, &p);
		if (link_random(l) % 1000 < l->repeat_per_mille)
			fly(l, from, to, &p);
	}
}

static void
note_event(struct link *l, int end, const struct wire_event *event)
{
	struct link_end *e = &l->end[end];

	if (event->kind == WIRE_OPENED) {
		e->opened++;
		e->session = event->session;
		e->peer = event->peer;
	} else if (event->kind == WIRE_CLOSED) {
		e->closed++;
		e->reason = event->reason;
		if (e->session == event->session)
			e->session = -1;
	} else if (event->kind == WIRE_REFUSED) {
		e->refused++;
		e->reason = event->reason;
	}
	if (l->on_event != NULL)
		l->on_event(l, end, event);
}

void
link_settle(struct link *l)
{
	struct wire_event event;

	for (int i = 0; i < LINK_ENDS; i++) {
		if (l->end[i].wire == NULL)
			continue;
		while (wire_next_event(l->end[i].wire, &event))
			note_event(l, i, &event);
	}
	if (l->on_idle != NULL)
		l->on_idle(l);
	for (int i = 0; i < LINK_ENDS; i++)
		if (l->end[i].wire != NULL)
			send_all(l, i);
}

static uint32_t
next_flying(const struct link *l)
{
	uint32_t best = 0;

	for (uint32_t i = 1; i < l->flying_count; i++) {
		const struct link_flying *a = &l->flying[i], *b = &l->flying[best];
		if (a->due_ns < b->due_ns || (a->due_ns == b->due_ns && a->order < b->order))
			best = i;
	}
	return best;
}

static void
arrive(struct link *l, uint32_t n)
{
	struct link_flying f = l->flying[n];

	l->flying[n] = l->flying[--l->flying_count];
	if (l->end[f.to].wire == NULL)
		return;
	if (l->on_arrival != NULL)
		l->on_arrival(l, &f);
	wire_receive(l->end[f.to].wire, &l->end[f.from].endpoint, f.data, f.bytes, l->now_ns);
}

void
link_run(struct link *l, uint64_t until_ns)
{
	link_settle(l);
	for (;;) {
		uint64_t next_ns = UINT64_MAX;
		uint32_t n = next_flying(l);
		int ticking = -1;
		if (l->flying_count > 0)
			next_ns = l->flying[n].due_ns;
		for (int i = 0; i < LINK_ENDS; i++) {
			if (l->end[i].wire == NULL)
				continue;
			uint64_t due_ns = wire_timer_ns(l->end[i].wire);
			if (due_ns < next_ns) {
				next_ns = due_ns;
				ticking = i;
			}
		}
		if (next_ns > until_ns)
			break;
		if (next_ns > l->now_ns)
			l->now_ns = next_ns;
		if (ticking >= 0)
			wire_tick(l->end[ticking].wire, l->now_ns);
		else
			arrive(l, n);
		link_settle(l);
	}
	l->now_ns = until_ns;
}

bool
link_send(struct link *l, int end, enum wire_stream stream, const void *data, size_t bytes)
{
	struct wire_slice slice = {.data = data, .bytes = bytes};
	struct link_end *e = &l->end[end];

	return e->session >= 0 && wire_send(e->wire, e->session, stream, &slice, 1, 0);
}
