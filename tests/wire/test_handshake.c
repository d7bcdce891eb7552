/* Who may talk to whom: opening, replacing, racing, refusing. */
#include <criterion/criterion.h>

#include "link.h"

#define SETTLE (100 * LINK_MILLISECOND)

Test(wire_handshake, names_both_ends_and_their_processes)
{
	struct link l;

	link_start(&l, 1);
	int number = link_connect(&l, 0, 1);
	link_run(&l, l.now_ns + SETTLE);
	cr_assert_eq(l.end[0].session, number);
	cr_assert_eq(l.end[0].peer.process, 101);
	cr_assert_eq(l.end[0].peer.node, 2);
	cr_assert_eq(l.end[1].peer.process, 100);
	cr_assert_eq(l.end[1].peer.uuid[0], 1);
	cr_assert_eq(l.datagrams, l.end[0].sent[1] + l.end[1].sent[3] + l.end[0].sent[5] +
					  l.end[0].sent[6] + l.end[1].sent[6]);
	link_stop(&l);
}

Test(wire_handshake, opens_through_heavy_loss)
{
	for (uint64_t seed = 1; seed <= 50; seed++) {
		struct link l;
		link_start(&l, seed);
		l.lose_per_mille = 400;
		l.repeat_per_mille = 200;
		l.jitter_ns = 5 * LINK_MILLISECOND;
		link_connect(&l, 0, 1);
		link_run(&l, l.now_ns + 5 * SETTLE);
		cr_assert_gt(l.end[0].opened, 0, "seed %lu", seed);
		cr_assert_gt(l.end[1].opened, 0, "seed %lu", seed);
		link_stop(&l);
	}
}

struct told {
	enum wire_event_kind kind[8];
	int session[8];
	uint32_t count;
};

static void
remember(struct link *l, int end, const struct wire_event *event)
{
	struct told *t = l->context;

	if (end != 1 || t->count == 8)
		return;
	t->kind[t->count] = event->kind;
	t->session[t->count++] = event->session;
}

Test(wire_handshake, a_new_process_takes_the_old_ones_place)
{
	struct told t = {.count = 0};
	struct link l;

	link_start(&l, 1);
	link_connect(&l, 0, 1);
	link_run(&l, l.now_ns + LINK_MILLISECOND);
	link_restart(&l, 0);
	l.context = &t;
	l.on_event = remember;
	link_connect(&l, 0, 1);
	link_run(&l, l.now_ns + 10 * LINK_MILLISECOND);
	cr_assert_eq(t.count, 2);
	cr_assert_eq(t.kind[0], WIRE_CLOSED);
	cr_assert_eq(t.kind[1], WIRE_OPENED);
	cr_assert_eq(t.session[0], t.session[1]);
	cr_assert_eq(l.end[1].reason, WIRE_REASON_REPLACED);
	cr_assert_eq(l.end[1].peer.process, 1100);
	link_stop(&l);
}

/* What was meant for the old process must not reach the new one. */
Test(wire_handshake, nothing_can_be_sent_before_the_replacement_is_told)
{
	struct wire_slice slice = {"x", 1};
	struct wire_event event;
	struct wire_packet p;
	struct link l;

	link_start(&l, 1);
	link_connect(&l, 0, 1);
	link_run(&l, l.now_ns + LINK_MILLISECOND);
	link_restart(&l, 0);
	link_connect(&l, 0, 1);
	struct wire *a = l.end[0].wire, *b = l.end[1].wire;
	for (int i = 0; i < 2; i++) {
		while (wire_next_packet(a, &p, l.now_ns))
			wire_receive(b, &l.end[0].endpoint, p.data, p.bytes, l.now_ns);
		while (wire_next_packet(b, &p, l.now_ns))
			wire_receive(a, &l.end[1].endpoint, p.data, p.bytes, l.now_ns);
	}
	int session = l.end[1].session;
	cr_assert(!wire_send(b, session, WIRE_CONTROL, &slice, 1, 0), "closed, not told");
	cr_assert(wire_next_event(b, &event));
	cr_assert_eq(event.kind, WIRE_CLOSED);
	cr_assert(!wire_send(b, session, WIRE_CONTROL, &slice, 1, 0), "opened, not told");
	cr_assert(wire_next_event(b, &event));
	cr_assert_eq(event.kind, WIRE_OPENED);
	cr_assert_eq(event.session, session);
	cr_assert(wire_send(b, session, WIRE_CONTROL, &slice, 1, 0));
	link_stop(&l);
}

static uint32_t
open_sessions(const struct link *l, int end)
{
	struct wire_session_status status;
	uint32_t n = 0;

	for (int i = 0; i < 8; i++) {
		wire_session_status(l->end[end].wire, i, &status);
		n += status.open;
	}
	return n;
}

Test(wire_handshake, two_that_connect_at_once_have_one_session)
{
	for (uint64_t seed = 1; seed <= 100; seed++) {
		struct wire_session_status a, b;
		struct link l;
		link_start(&l, seed);
		l.jitter_ns = seed % 3 * 100 * LINK_MICROSECOND;
		l.lose_per_mille = seed % 4 * 100;
		link_connect(&l, (int)(seed % 2), (int)!(seed % 2));
		link_run(&l, l.now_ns + seed % 10 * 10 * LINK_MICROSECOND);
		link_connect(&l, (int)!(seed % 2), (int)(seed % 2));
		link_run(&l, l.now_ns + 3 * SETTLE);
		l.lose_per_mille = 0;
		link_run(&l, l.now_ns + 3 * SETTLE);
		cr_assert_eq(open_sessions(&l, 0), 1, "seed %lu", seed);
		cr_assert_eq(open_sessions(&l, 1), 1, "seed %lu", seed);
		wire_session_status(l.end[0].wire, l.end[0].session, &a);
		wire_session_status(l.end[1].wire, l.end[1].session, &b);
		cr_assert_neq(a.initiator, b.initiator, "seed %lu: one and the same", seed);
		cr_assert_leq(l.end[0].opened - l.end[0].closed, 1);
		if (l.end[0].closed == 0)
			cr_assert_eq(l.end[0].session, 0, "under the number of wire_connect()");
		link_stop(&l);
	}
}

/* The same moment, nothing lost: no end may open what the other one closes. */
Test(wire_handshake, two_that_connect_in_the_same_moment_never_close)
{
	for (uint64_t apart_us = 0; apart_us <= 100; apart_us++) {
		for (int first = 0; first < 2; first++) {
			struct link l;
			link_start(&l, 1);
			link_connect(&l, first, !first);
			link_run(&l, l.now_ns + apart_us * LINK_MICROSECOND);
			link_connect(&l, !first, first);
			link_run(&l, l.now_ns + SETTLE);
			cr_assert_eq(l.end[0].opened, 1 + l.end[0].closed);
			cr_assert_eq(l.end[1].opened, 1 + l.end[1].closed);
			cr_assert_eq(l.end[0].closed, 0, "first %d, %lu us", first, apart_us);
			cr_assert_eq(l.end[1].closed, 0, "first %d, %lu us", first, apart_us);
			cr_assert_eq(open_sessions(&l, 0), 1);
			link_stop(&l);
		}
	}
}

/* The lower identity looks in the wrong place: the higher one's call must do. */
Test(wire_handshake, a_wrong_address_does_not_silence_the_other_end)
{
	struct link l;

	link_start(&l, 1);
	struct endpoint nowhere = endpoint_from_ipv4(0x0a0000ffu, 1);
	wire_connect(l.end[0].wire, &nowhere, &l.end[1].config.self, l.now_ns);
	link_connect(&l, 1, 0);
	link_run(&l, l.now_ns + 2 * SETTLE);
	cr_assert_eq(l.end[0].opened, 1);
	cr_assert_eq(l.end[1].opened, 1);
	link_stop(&l);
}

static void
refusal(const struct wire_config *c, enum wire_reason reason)
{
	struct link l;

	link_start(&l, 1);
	link_add(&l, 2, c);
	wire_connect(l.end[0].wire, &l.end[2].endpoint, &l.end[1].config.self, l.now_ns);
	link_run(&l, l.now_ns + 1000 * LINK_MILLISECOND);
	cr_assert_eq(l.end[0].opened + l.end[2].opened, 0);
	cr_assert_gt(l.end[0].refused, 5, "it keeps trying");
	cr_assert_lt(l.end[0].refused, 20, "slowly");
	cr_assert_eq(l.end[0].reason, reason);
	link_stop(&l);
}

Test(wire_handshake, refuses_another_version)
{
	struct wire_config c = link_config(1);
	c.self.version = 2;
	refusal(&c, WIRE_REASON_VERSION);
}

Test(wire_handshake, refuses_another_epoch)
{
	struct wire_config c = link_config(1);
	c.self.epoch[0] = 8;
	refusal(&c, WIRE_REASON_EPOCH);
}

/* Sealed, an end is found by its key: this one has that of whom it is taken for. */
Test(wire_handshake, refuses_to_be_taken_for_another)
{
	struct wire_config c = link_config(2);
	memcpy(c.secret, link_config(1).secret, sizeof c.secret);
	refusal(&c, WIRE_REASON_IDENTITY);
}

Test(wire_handshake, an_end_without_epoch_takes_the_peers)
{
	struct wire_config c = link_config(2);
	struct link l;

	memset(c.self.epoch, 0, sizeof c.self.epoch);
	c.self.kind = WIRE_MEMBER;
	c.self.node = 0;
	link_start(&l, 1);
	link_add(&l, 2, &c);
	wire_connect(l.end[2].wire, &l.end[0].endpoint, NULL, l.now_ns);
	link_run(&l, l.now_ns + SETTLE);
	cr_assert_eq(l.end[2].opened, 1);
	cr_assert_eq(l.end[2].peer.epoch[0], 7);
	cr_assert(link_send(&l, 2, WIRE_SUBMIT, "x", 1));
	link_run(&l, l.now_ns + SETTLE);
	cr_assert_eq(wire_stats(l.end[0].wire)->messages_delivered, 1);
	link_stop(&l);
}

Test(wire_handshake, a_full_end_says_so)
{
	struct link l;

	link_start(&l, 1);
	struct wire_config c = link_config(2);
	c.sessions_max = 1;
	link_add(&l, 2, &c);
	link_connect(&l, 0, 2);
	link_run(&l, l.now_ns + SETTLE);
	cr_assert_eq(l.end[2].opened, 1);
	link_connect(&l, 1, 2);
	link_run(&l, l.now_ns + SETTLE);
	cr_assert_eq(l.end[2].opened, 1);
	cr_assert_eq(l.end[1].reason, WIRE_REASON_FULL);
	cr_assert_eq(l.end[1].session, -1);
	cr_assert_eq(l.end[2].closed, 0, "who was there stays");

	wire_close(l.end[0].wire, l.end[0].session);
	link_run(&l, l.now_ns + SETTLE);
	cr_assert_eq(l.end[2].opened, 2, "and a free place is taken");
	link_stop(&l);
}

Test(wire_handshake, a_moved_peer_is_followed)
{
	struct wire_session_status status;
	struct link l;

	link_start(&l, 1);
	link_connect(&l, 0, 1);
	link_run(&l, l.now_ns + SETTLE);
	l.end[0].endpoint = endpoint_from_ipv4(0x0a00004du, 4711);
	link_run(&l, l.now_ns + SETTLE);
	cr_assert_eq(l.end[0].closed + l.end[1].closed, 0);
	wire_session_status(l.end[1].wire, l.end[1].session, &status);
	cr_assert(endpoint_equal(&status.endpoint, &l.end[0].endpoint));
	link_stop(&l);
}

/* A datagram that was late on the old way must not turn the session back to it. */
Test(wire_handshake, a_late_datagram_from_the_old_address_moves_nobody)
{
	struct wire_session_status status;
	struct wire_packet p;
	uint8_t late[LINK_DATAGRAM_MAX];
	struct link l;

	link_start(&l, 1);
	link_connect(&l, 0, 1);
	link_run(&l, l.now_ns + SETTLE);
	struct endpoint old = l.end[0].endpoint;
	link_send(&l, 0, WIRE_CONTROL, "x", 1);
	cr_assert(wire_next_packet(l.end[0].wire, &p, l.now_ns));
	size_t bytes = p.bytes;
	memcpy(late, p.data, bytes);
	l.end[0].endpoint = endpoint_from_ipv4(0x0a00004du, 4711);
	link_send(&l, 0, WIRE_SUBMIT, "y", 1);
	link_run(&l, l.now_ns + LINK_MILLISECOND);
	wire_receive(l.end[1].wire, &old, late, bytes, l.now_ns);
	link_settle(&l);
	cr_assert_eq(wire_stats(l.end[1].wire)->messages_delivered, 2);
	wire_session_status(l.end[1].wire, l.end[1].session, &status);
	cr_assert(endpoint_equal(&status.endpoint, &l.end[0].endpoint));
	link_stop(&l);
}
