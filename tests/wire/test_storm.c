/*
 * Three nodes that all connect to each other, while the network fails, ends
 * restart, close, hold streams and wait for their logs, by a seed.
 *
 * Every message says for which session of its sender it was meant and its place
 * in the stream. Within one session of the receiver all are for one and the same
 * session of the sender, and their places are 0, 1, 2 ...: nothing is lost,
 * repeated or carried over. When the network is well again every pair has exactly
 * one session, and what is sent in it arrives.
 */
#include <criterion/criterion.h>

#include "base/bytes.h"
#include "link.h"

#define NODES        3
#define SESSIONS     8
#define MESSAGE_HEAD 12

struct course {
	bool open;
	uint64_t peer_process;
	uint32_t tag;      /* ours, of this session */
	uint32_t peer_tag; /* 0: nothing came yet */
	uint32_t sent[WIRE_STREAMS], got[WIRE_STREAMS];
	bool held[WIRE_STREAMS];
};

struct storm {
	struct course course[NODES][SESSIONS];
	uint64_t lsn[NODES];
	uint32_t tags;
	uint64_t delivered, closings, rekeys;
	uint8_t message[8000];
	uint64_t seed;
};

static void
check_message(struct storm *t, struct course *c, const struct wire_event *event)
{
	cr_assert(c->open, "seed %lu", t->seed);
	cr_assert(!c->held[event->stream], "seed %lu", t->seed);
	cr_assert_geq(event->bytes, MESSAGE_HEAD);
	uint32_t tag = bytes_get_u32(event->data), place = bytes_get_u32(event->data + 4);
	if (c->peer_tag == 0)
		c->peer_tag = tag;
	cr_assert_eq(c->peer_tag, tag, "seed %lu: of another session", t->seed);
	cr_assert_eq(c->got[event->stream], place, "seed %lu: lost or repeated", t->seed);
	c->got[event->stream]++;
	cr_assert_eq(bytes_get_u32(event->data + 8), event->bytes);
	for (uint32_t i = MESSAGE_HEAD; i < event->bytes; i += 97)
		cr_assert_eq(event->data[i], (uint8_t)(tag + place + i), "seed %lu", t->seed);
	t->delivered++;
}

static void
storm_event(struct link *l, int end, const struct wire_event *event)
{
	struct storm *t = l->context;
	struct course *c = &t->course[end][event->session];

	switch (event->kind) {
	case WIRE_OPENED:
		cr_assert(!c->open, "seed %lu: opened twice", t->seed);
		for (int i = 0; i < SESSIONS; i++)
			cr_assert(!t->course[end][i].open ||
					  t->course[end][i].peer_process != event->peer.process,
				  "seed %lu: two sessions with one peer", t->seed);
		*c = (struct course){
			.open = true, .peer_process = event->peer.process, .tag = ++t->tags};
		break;
	case WIRE_CLOSED:
		cr_assert(c->open, "seed %lu: closed twice", t->seed);
		c->open = false;
		t->closings++;
		break;
	case WIRE_MESSAGE:
		check_message(t, c, event);
		break;
	default:
		break;
	}
}

static bool
send_one(struct link *l, int end, int session, enum wire_stream stream)
{
	struct storm *t = l->context;
	struct course *c = &t->course[end][session];
	uint64_t mix = link_random(l);
	uint32_t bytes = MESSAGE_HEAD + (uint32_t)(mix % (mix >> 60 ? 300 : 7900));
	uint64_t lsn = mix >> 40 & 3 ? 0 : t->lsn[end] + (mix >> 50) % 20;

	bytes_put_u32(t->message, c->tag);
	bytes_put_u32(t->message + 4, c->sent[stream]);
	bytes_put_u32(t->message + 8, bytes);
	for (uint32_t i = MESSAGE_HEAD; i < bytes; i++)
		t->message[i] = (uint8_t)(c->tag + c->sent[stream] + i);
	struct wire_slice slices[2] = {{t->message, 10}, {t->message + 10, bytes - 10}};
	if (!wire_send(l->end[end].wire, session, stream, slices, 2, lsn))
		return false;
	c->sent[stream]++;
	return true;
}

static void
connect_all(struct link *l, int end)
{
	for (int to = 0; to < NODES; to++)
		if (to != end)
			cr_assert_geq(link_connect(l, end, to), 0);
}

static void
restart(struct link *l, int end)
{
	struct storm *t = l->context;

	memset(t->course[end], 0, sizeof t->course[end]);
	t->lsn[end] = 0;
	link_restart(l, end);
	connect_all(l, end);
}

/* The network's weather, and what ends do to themselves. */
static void
mishap(struct link *l)
{
	struct storm *t = l->context;
	int end = (int)(link_random(l) % NODES), other = (int)(link_random(l) % NODES);
	int session = (int)(link_random(l) % SESSIONS);
	enum wire_stream stream = link_random(l) % WIRE_STREAMS;

	switch (link_random(l) % 12) {
	case 0:
		restart(l, end);
		break;
	case 1:
	case 2:
		l->cut[end][other] = !l->cut[end][other];
		break;
	case 3:
		l->cut[end][other] = l->cut[other][end] = link_random(l) % 2;
		break;
	case 4:
		l->lose_per_mille = (uint32_t)(link_random(l) % 300);
		l->repeat_per_mille = (uint32_t)(link_random(l) % 200);
		l->flip_per_mille = (uint32_t)(link_random(l) % 100);
		l->jitter_ns = link_random(l) % 3 * 200 * LINK_MICROSECOND;
		break;
	case 5:
	case 6:
		if (t->course[end][session].open) {
			bool hold = link_random(l) % 2;
			wire_hold(l->end[end].wire, session, stream, hold);
			t->course[end][session].held[stream] = hold;
		}
		break;
	default:
		break;
	}
}

static void
work(struct link *l)
{
	struct storm *t = l->context;

	for (int end = 0; end < NODES; end++) {
		t->lsn[end] += link_random(l) % 10;
		l->end[end].durable_lsn = t->lsn[end];
		wire_durable(l->end[end].wire, t->lsn[end]);
		for (int n = 0; n < 10; n++) {
			int session = (int)(link_random(l) % SESSIONS);
			if (t->course[end][session].open)
				send_one(l, end, session, link_random(l) % WIRE_STREAMS);
		}
	}
	link_run(l, l->now_ns + link_random(l) % (2 * LINK_MILLISECOND));
}

static void
heal(struct link *l)
{
	struct storm *t = l->context;

	memset(l->cut, 0, sizeof l->cut);
	l->lose_per_mille = l->repeat_per_mille = l->flip_per_mille = 0;
	for (int end = 0; end < NODES; end++) {
		for (int i = 0; i < SESSIONS * WIRE_STREAMS; i++) {
			t->course[end][i / WIRE_STREAMS].held[i % WIRE_STREAMS] = false;
			wire_hold(l->end[end].wire, i / WIRE_STREAMS, i % WIRE_STREAMS, false);
		}
		t->lsn[end] += 1000;
		l->end[end].durable_lsn = t->lsn[end];
		wire_durable(l->end[end].wire, t->lsn[end]);
	}
	link_run(l, l->now_ns + 400 * LINK_MILLISECOND);
}

static const struct course *
course_to(const struct link *l, int end, int peer)
{
	struct storm *t = l->context;

	for (int i = 0; i < SESSIONS; i++)
		if (t->course[end][i].open &&
		    t->course[end][i].peer_process == l->end[peer].config.self.process)
			return &t->course[end][i];
	return NULL;
}

static void
check_healed(struct link *l)
{
	struct storm *t = l->context;

	for (int end = 0; end < NODES; end++) {
		uint32_t open = 0;
		for (int i = 0; i < SESSIONS; i++)
			open += t->course[end][i].open;
		cr_assert_eq(open, NODES - 1, "seed %lu end %d: %u open", t->seed, end, open);
		for (int peer = 0; peer < NODES; peer++) {
			if (peer == end)
				continue;
			const struct course *a = course_to(l, end, peer);
			const struct course *b = course_to(l, peer, end);
			cr_assert(a != NULL && b != NULL, "seed %lu", t->seed);
			for (int i = 0; i < WIRE_STREAMS; i++)
				cr_assert_eq(a->sent[i], b->got[i], "seed %lu: %u sent, %u got",
					     t->seed, a->sent[i], b->got[i]);
		}
	}
}

static void
storm(uint64_t seed, struct storm *t)
{
	struct link l;

	memset(t, 0, sizeof *t);
	t->seed = seed;
	link_start(&l, seed);
	for (int end = 0; end < NODES; end++) {
		struct wire_config c = link_config(end);
		c.rekey_ns = 150 * LINK_MILLISECOND;
		link_add(&l, end, &c);
	}
	l.context = t;
	l.on_event = storm_event;
	for (int end = 0; end < NODES; end++)
		connect_all(&l, end);
	for (int round = 0; round < 3; round++) {
		for (int n = 0; n < 60; n++) {
			mishap(&l);
			work(&l);
		}
		heal(&l);
		check_healed(&l);
	}
	for (int end = 0; end < NODES; end++)
		t->rekeys += wire_stats(l.end[end].wire)->rekeys;
	link_stop(&l);
}

Test(wire_storm, sessions_keep_their_promises_and_come_back)
{
	static struct storm t;
	uint64_t delivered = 0, closings = 0, rekeys = 0;

	for (uint64_t seed = 1; seed <= 60; seed++) {
		storm(seed, &t);
		delivered += t.delivered;
		closings += t.closings;
		rekeys += t.rekeys;
	}
	cr_assert_gt(delivered, 10000, "the storm left something to check");
	cr_assert_gt(closings, 300);
	cr_assert_eq(rekeys > 300, LINK_IS_SEALED, "%lu", rekeys);
}
