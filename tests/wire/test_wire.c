/* Sessions end to end: delivery, priority, credits, durability, and the end of peers. */
#include <criterion/criterion.h>

#include "base/bytes.h"
#include "link.h"

/* Each end sends numbered messages on every stream and checks what it gets. */
struct traffic {
	uint32_t to_send; /* per end and stream */
	uint32_t bytes_max;
	uint32_t sent[2][WIRE_STREAMS];
	uint32_t got[2][WIRE_STREAMS];
	bool full[2][WIRE_STREAMS]; /* until WIRE_ROOM */
	uint8_t message[32 * 1024];
};

/* Length and content follow from end, stream and number alone. */
static uint32_t
message_make(uint8_t *out, uint32_t bytes_max, const uint32_t id[3])
{
	uint32_t mix = (id[0] * 31 + id[1]) * 2654435761u + id[2] * 40503u;
	uint32_t bytes = 8 + (mix >> 7) % (bytes_max - 7);

	bytes_put_u32(out, id[2]);
	bytes_put_u32(out + 4, mix);
	for (uint32_t i = 8; i < bytes; i++)
		out[i] = (uint8_t)(mix + i);
	return bytes;
}

static void
traffic_event(struct link *l, int end, const struct wire_event *event)
{
	struct traffic *t = l->context;
	static uint8_t expected[32 * 1024];

	if (event->kind == WIRE_ROOM)
		t->full[end][event->stream] = false;
	if (event->kind != WIRE_MESSAGE)
		return;
	uint32_t id[3] = {(uint32_t)!end, event->stream, t->got[end][event->stream]++};
	uint32_t bytes = message_make(expected, t->bytes_max, id);
	cr_assert_eq(event->bytes, bytes, "end %d stream %d message %u", end, event->stream, id[2]);
	cr_assert_eq(memcmp(event->data, expected, bytes), 0, "end %d stream %d message %u", end,
		     event->stream, id[2]);
}

static void
traffic_idle(struct link *l)
{
	struct traffic *t = l->context;

	for (uint32_t end = 0; end < 2; end++) {
		for (uint32_t stream = 0; stream < WIRE_STREAMS; stream++) {
			uint32_t *sent = &t->sent[end][stream];
			for (; *sent < t->to_send && !t->full[end][stream]; ++*sent) {
				uint32_t id[3] = {end, stream, *sent};
				uint32_t bytes = message_make(t->message, t->bytes_max, id);
				if (!link_send(l, (int)end, stream, t->message, bytes)) {
					t->full[end][stream] = l->end[end].session >= 0;
					break;
				}
			}
		}
	}
}

struct bad_network {
	uint64_t seed;
	uint32_t lose, repeat;
	uint64_t jitter_ns;
	uint32_t bytes_max;
};

static void
exchange(const struct bad_network *b)
{
	static struct traffic t;
	struct link l;

	memset(&t, 0, sizeof t);
	t.to_send = 60;
	t.bytes_max = b->bytes_max;
	link_start(&l, b->seed);
	l.lose_per_mille = b->lose;
	l.repeat_per_mille = b->repeat;
	l.jitter_ns = b->jitter_ns;
	l.context = &t;
	l.on_event = traffic_event;
	l.on_idle = traffic_idle;
	link_connect(&l, 0, 1);
	for (int i = 0; i < 100 && t.got[1][WIRE_FEED] < t.to_send; i++)
		link_run(&l, l.now_ns + 100 * LINK_MILLISECOND);
	link_run(&l, l.now_ns + 500 * LINK_MILLISECOND);
	for (int end = 0; end < 2; end++) {
		cr_assert_eq(l.end[end].opened, 1, "seed %lu", b->seed);
		cr_assert_eq(l.end[end].closed, 0, "seed %lu reason %d", b->seed,
			     l.end[end].reason);
		for (int i = 0; i < WIRE_STREAMS; i++)
			cr_assert_eq(t.got[end][i], t.to_send, "seed %lu end %d stream %d: %u",
				     b->seed, end, i, t.got[end][i]);
	}
	link_stop(&l);
}

Test(wire_wire, everything_arrives_once_and_in_order_on_a_good_network)
{
	exchange(&(struct bad_network){.seed = 1, .bytes_max = 32 * 1024});
}

Test(wire_wire, everything_arrives_once_and_in_order_on_a_bad_network)
{
	for (uint64_t seed = 1; seed <= 12; seed++)
		exchange(&(struct bad_network){
			.seed = seed,
			.lose = (uint32_t)(seed % 4) * 100,
			.repeat = (uint32_t)(seed % 3) * 150,
			.jitter_ns = seed % 5 * 100 * LINK_MICROSECOND,
			.bytes_max = seed % 2 ? 200 : 12000,
		});
}

/* Two ends with an open session, everything else quiet. */
static void
connected(struct link *l)
{
	link_start(l, 1);
	link_connect(l, 0, 1);
	link_run(l, l->now_ns + 2 * LINK_MILLISECOND);
	cr_assert_eq(l->end[0].opened, 1);
	cr_assert_eq(l->end[1].opened, 1);
}

struct arrivals {
	uint32_t count[WIRE_STREAMS];
	uint64_t last_ns[WIRE_STREAMS];
};

static void
count_arrivals(struct link *l, int end, const struct wire_event *event)
{
	struct arrivals *a = l->context;

	if (event->kind != WIRE_MESSAGE || end != 1)
		return;
	a->count[event->stream]++;
	a->last_ns[event->stream] = l->now_ns;
}

Test(wire_wire, a_lone_message_is_one_datagram_at_once)
{
	struct arrivals a = {.count = {0}};
	struct link l;

	connected(&l);
	l.context = &a;
	l.on_event = count_arrivals;
	for (uint32_t n = 1; n <= 50; n++) {
		uint64_t before = l.datagrams, sent_ns = l.now_ns;
		cr_assert(link_send(&l, 0, WIRE_SUBMIT, "hello", 5));
		link_run(&l, l.now_ns + l.delay_ns);
		cr_assert_eq(a.count[WIRE_SUBMIT], n);
		cr_assert_eq(a.last_ns[WIRE_SUBMIT], sent_ns + l.delay_ns, "no timer before it");
		cr_assert_eq(l.datagrams, before + 2, "and its acknowledgement, at once");
		link_run(&l, l.now_ns + 200 * LINK_MICROSECOND);
		cr_assert_eq(l.datagrams, before + 2);
	}
	cr_assert_eq(wire_stats(l.end[0].wire)->segments_resent, 0);
	link_stop(&l);
}

static void
answer_later(struct link *l, int end, const struct wire_event *event)
{
	if (event->kind == WIRE_MESSAGE && end == 1)
		*(uint64_t *)l->context = l->now_ns + 50 * LINK_MICROSECOND;
}

Test(wire_wire, an_acknowledgement_waits_where_the_last_that_waited_found_company)
{
	struct link l;
	uint64_t due_ns = 0, before = 0;

	connected(&l);
	l.context = &due_ns;
	l.on_event = answer_later;
	for (uint32_t n = 1; n <= 20; n++) {
		before = l.datagrams;
		cr_assert(link_send(&l, 0, WIRE_CONSENSUS, "hello", 5));
		link_run(&l, l.now_ns + l.delay_ns);
		link_run(&l, due_ns);
		cr_assert(link_send(&l, 1, WIRE_CONSENSUS, "well", 4));
		link_run(&l, l.now_ns + 20 * LINK_MICROSECOND + l.delay_ns);
	}
	cr_assert_eq(l.datagrams, before + 2, "two messages");
	l.on_event = NULL;
	before = l.datagrams;
	for (uint32_t n = 1; n <= 2; n++) {
		cr_assert(link_send(&l, 0, WIRE_CONSENSUS, "hello", 5));
		link_run(&l, l.now_ns + LINK_MILLISECOND);
	}
	cr_assert_eq(l.datagrams, before + 4);
	link_stop(&l);
}

static void
log_first(struct link *l, int end, const struct wire_event *event)
{
	if (event->kind == WIRE_MESSAGE && end == 1)
		cr_assert(wire_send(l->end[1].wire, l->end[1].session, WIRE_CONSENSUS,
				    &(struct wire_slice){.data = "well", .bytes = 4}, 1,
				    *(uint64_t *)l->context));
}

/* The answer is on its way to the disk for longer than an acknowledgement usually waits. */
Test(wire_wire, an_acknowledgement_waits_for_what_waits_for_the_log)
{
	struct link l;
	uint64_t lsn = 0, before = 0;

	connected(&l);
	l.context = &lsn;
	l.on_event = log_first;
	for (lsn = 1; lsn <= 20; lsn++) {
		before = l.datagrams;
		cr_assert(link_send(&l, 0, WIRE_CONSENSUS, "hello", 5));
		link_run(&l, l.now_ns + l.delay_ns + 400 * LINK_MICROSECOND);
		cr_assert_eq(l.datagrams, before + 1, "it waits");
		l.end[1].durable_lsn = lsn;
		wire_durable(l.end[1].wire, lsn);
		link_run(&l, l.now_ns + LINK_MILLISECOND);
		cr_assert_eq(l.datagrams, before + 3, "and goes with the answer: %lu",
			     l.datagrams - before);
	}
	before = l.datagrams;
	cr_assert(link_send(&l, 0, WIRE_CONSENSUS, "hello", 5));
	link_run(&l, l.now_ns + LINK_MILLISECOND);
	cr_assert_eq(l.datagrams, before + 2, "the disk takes too long");
	cr_assert_eq(wire_stats(l.end[0].wire)->packets_lost, 0);
	link_stop(&l);
}

Test(wire_wire, a_silent_end_is_asked_with_what_goes_anyway)
{
	struct link l;

	connected(&l);
	uint64_t before = l.end[1].sent[6], ns = l.end[1].config.keepalive_ns;
	for (uint64_t until_ns = l.now_ns + 20 * ns; l.now_ns < until_ns;) {
		cr_assert(wire_send_once(l.end[0].wire, l.end[0].session,
					 &(struct wire_slice){.data = "beat", .bytes = 4}, 1));
		link_run(&l, l.now_ns + ns / 8);
	}
	cr_assert_geq(l.end[1].sent[6] - before, 15, "by its own clock 13");
	cr_assert_leq(l.end[1].sent[6] - before, 20, "no more than without");
	cr_assert_eq(l.end[1].closed, 0);
	link_stop(&l);
}

struct heard {
	uint32_t once, message;
	uint32_t order; /* messages before the last that was said once */
	uint32_t last;
};

static void
note_heard(struct link *l, int end, const struct wire_event *event)
{
	struct heard *h = l->context;

	if (end != 1)
		return;
	h->message += event->kind == WIRE_MESSAGE;
	if (event->kind != WIRE_HEARD)
		return;
	cr_assert_eq(event->bytes, WIRE_ONCE_BYTES_MAX);
	cr_assert_gt(bytes_get_u32(event->data), h->last, "in the order said, and no time twice");
	h->last = bytes_get_u32(event->data);
	h->once++;
	h->order = h->message;
}

static bool
say_once(struct link *l, uint32_t number)
{
	uint8_t data[WIRE_ONCE_BYTES_MAX] = {0};
	struct wire_slice slice[2] = {{data, 100}, {data + 100, sizeof data - 100}};

	bytes_put_u32(data, number);
	return wire_send_once(l->end[0].wire, l->end[0].session, slice, 2);
}

Test(wire_wire, what_is_said_once_is_not_acknowledged)
{
	struct heard h = {0};
	struct link l;

	connected(&l);
	l.context = &h;
	l.on_event = note_heard;
	for (uint32_t n = 1; n <= 50; n++) {
		uint64_t before = l.datagrams;
		cr_assert(say_once(&l, n));
		link_run(&l, l.now_ns + 4 * LINK_MILLISECOND);
		cr_assert_eq(h.once, n);
		cr_assert_leq(l.datagrams, before + 2, "and now and then a sign of life");
	}
	cr_assert_leq(l.end[1].sent[6], 50, "the other end is silent but for those");
	cr_assert_eq(l.end[0].closed + l.end[1].closed, 0);
	cr_assert_eq(wire_stats(l.end[0].wire)->packets_lost, 0);
	link_stop(&l);
}

Test(wire_wire, what_is_said_once_comes_behind_what_consensus_carries)
{
	static uint8_t large[3000];
	struct heard h = {0};
	struct link l;

	connected(&l);
	l.context = &h;
	l.on_event = note_heard;
	cr_assert(say_once(&l, 1));
	for (uint32_t n = 0; n < 8; n++)
		cr_assert(link_send(&l, 0, WIRE_CONSENSUS, large, sizeof large));
	link_run(&l, l.now_ns + l.delay_ns);
	cr_assert_eq(h.once, 1);
	cr_assert_eq(h.order, 8);
	link_stop(&l);
}

Test(wire_wire, what_is_said_once_is_lost_or_comes_once)
{
	struct heard h = {0};
	struct link l;

	connected(&l);
	l.context = &h;
	l.on_event = note_heard;
	l.lose_per_mille = 300;
	l.repeat_per_mille = 300;
	for (uint32_t n = 1; n <= 400; n++) {
		cr_assert(say_once(&l, n));
		link_run(&l, l.now_ns + LINK_MILLISECOND);
	}
	cr_assert_gt(h.once, 200);
	cr_assert_lt(h.once, 340);
	link_stop(&l);
}

Test(wire_wire, what_is_said_once_has_a_bound)
{
	struct heard h = {0};
	struct link l;

	connected(&l);
	l.context = &h;
	l.on_event = note_heard;
	uint32_t said = 0;
	while (say_once(&l, said + 1))
		said++;
	cr_assert_eq(said, 3);
	link_run(&l, l.now_ns + l.delay_ns);
	cr_assert_eq(h.once, said, "and all of them arrive");
	cr_assert(say_once(&l, said + 1));
	l.end[0].session = 5;
	cr_assert_not(say_once(&l, said + 2), "a session that is not open");
	link_stop(&l);
}

static void
answer_once(struct link *l, int end, const struct wire_event *event)
{
	if (event->kind == WIRE_MESSAGE && end == 1)
		link_send(l, 1, WIRE_CONTROL, event->data, event->bytes);
	count_arrivals(l, end, event);
}

Test(wire_wire, an_answer_carries_the_acknowledgement)
{
	struct arrivals a = {.count = {0}};
	struct link l;

	connected(&l);
	l.context = &a;
	l.on_event = answer_once;
	uint64_t before = l.end[1].sent[6];
	link_send(&l, 0, WIRE_SUBMIT, "hello", 5);
	link_run(&l, l.now_ns + LINK_MILLISECOND);
	cr_assert_eq(l.end[1].sent[6], before + 1);
	link_stop(&l);
}

/* As many messages of 1000 bytes as are taken. */
static uint32_t
fill(struct link *l, enum wire_stream stream)
{
	static const uint8_t data[1000];
	uint32_t n = 0;

	while (link_send(l, 0, stream, data, sizeof data))
		n++;
	return n;
}

Test(wire_wire, credits_stop_a_fast_sender_and_nobody_else)
{
	struct arrivals a = {.count = {0}};
	struct link l;

	connected(&l);
	l.context = &a;
	l.on_event = count_arrivals;
	wire_hold(l.end[1].wire, l.end[1].session, WIRE_FEED, true);
	uint32_t taken = 0;
	for (int i = 0; i < 50; i++) {
		taken += fill(&l, WIRE_FEED);
		link_run(&l, l.now_ns + LINK_MILLISECOND);
	}
	cr_assert_eq(taken, 2 * (65536 / 1004), "one window and one send buffer");
	cr_assert_eq(a.count[WIRE_FEED], 0);
	cr_assert_eq(wire_stats(l.end[1].wire)->drop_window, 0, "nothing was sent in vain");
	link_send(&l, 0, WIRE_CONTROL, "now", 3);
	link_run(&l, l.now_ns + l.delay_ns);
	cr_assert_eq(a.count[WIRE_CONTROL], 1);

	wire_hold(l.end[1].wire, l.end[1].session, WIRE_FEED, false);
	link_run(&l, l.now_ns + 20 * LINK_MILLISECOND);
	cr_assert_eq(a.count[WIRE_FEED], taken);
	link_stop(&l);
}

Test(wire_wire, progress_needs_no_credit_and_loses_nothing)
{
	struct arrivals a = {.count = {0}};
	struct link l;

	connected(&l);
	l.context = &a;
	l.on_event = count_arrivals;
	wire_hold(l.end[1].wire, l.end[1].session, WIRE_PROGRESS, true);
	uint32_t taken = 0;
	for (int i = 0; i < 20; i++) {
		taken += fill(&l, WIRE_PROGRESS);
		link_run(&l, l.now_ns + LINK_MILLISECOND);
	}
	cr_assert_gt(wire_stats(l.end[1].wire)->drop_window, 0);
	wire_hold(l.end[1].wire, l.end[1].session, WIRE_PROGRESS, false);
	link_run(&l, l.now_ns + 200 * LINK_MILLISECOND);
	cr_assert_eq(a.count[WIRE_PROGRESS], taken);
	link_stop(&l);
}

static void
feed_on(struct link *l)
{
	fill(l, WIRE_FEED);
}

Test(wire_wire, control_overtakes_a_full_feed)
{
	struct arrivals a = {.count = {0}};
	struct link l;

	connected(&l);
	l.context = &a;
	l.on_event = count_arrivals;
	l.on_idle = feed_on;
	for (uint32_t n = 1; n <= 100; n++) {
		link_run(&l, l.now_ns + 7 * LINK_MICROSECOND);
		uint64_t sent_ns = l.now_ns;
		cr_assert(link_send(&l, 0, WIRE_CONTROL, "verdict", 7));
		link_run(&l, l.now_ns + l.delay_ns);
		cr_assert_eq(a.count[WIRE_CONTROL], n);
		cr_assert_eq(a.last_ns[WIRE_CONTROL], sent_ns + l.delay_ns);
	}
	cr_assert_gt(a.count[WIRE_FEED], 500);
	link_stop(&l);
}

/* Nothing comes back, so the whole window is on the way: control has its own part. */
Test(wire_wire, control_leaves_while_the_window_is_full)
{
	struct arrivals a = {.count = {0}};
	struct link l;

	connected(&l);
	l.context = &a;
	l.on_event = count_arrivals;
	l.cut[1][0] = true;
	fill(&l, WIRE_FEED);
	fill(&l, WIRE_SUBMIT);
	fill(&l, WIRE_CONSENSUS);
	link_run(&l, l.now_ns + l.delay_ns);
	cr_assert(link_send(&l, 0, WIRE_CONTROL, "verdict", 7));
	link_run(&l, l.now_ns + l.delay_ns);
	cr_assert_eq(a.count[WIRE_CONTROL], 1);
	link_stop(&l);
}

static void
flood_on(struct link *l)
{
	fill(l, WIRE_CONTROL);
	fill(l, WIRE_CONSENSUS);
	fill(l, WIRE_FEED);
}

Test(wire_wire, bulk_moves_under_a_flood_of_control)
{
	struct arrivals a = {.count = {0}};
	struct link l;

	link_start(&l, 1);
	struct wire_config c = link_config(0);
	c.in_flight_bytes_max = 32 * 1024; /* less than one stream's credit */
	link_add(&l, 0, &c);
	link_connect(&l, 0, 1);
	link_run(&l, l.now_ns + 2 * LINK_MILLISECOND);
	l.context = &a;
	l.on_event = count_arrivals;
	l.on_idle = flood_on;
	link_run(&l, l.now_ns + 5 * LINK_MILLISECOND);
	cr_assert_gt(a.count[WIRE_CONTROL], 1000);
	cr_assert_gt(a.count[WIRE_FEED], a.count[WIRE_CONTROL] / 50);
	cr_assert_gt(a.count[WIRE_CONTROL], a.count[WIRE_FEED] * 2);
	link_stop(&l);
}

static bool
send_after(struct link *l, enum wire_stream stream, uint64_t after_lsn)
{
	struct wire_slice slices[2] = {{"ab", 2}, {"cd", 2}};

	return wire_send(l->end[0].wire, l->end[0].session, stream, slices, 2, after_lsn);
}

static void
durable(struct link *l, uint64_t lsn)
{
	l->end[0].durable_lsn = lsn;
	wire_durable(l->end[0].wire, lsn);
}

Test(wire_wire, a_message_waits_for_its_log_position)
{
	struct arrivals a = {.count = {0}};
	struct link l;

	connected(&l);
	l.context = &a;
	l.on_event = count_arrivals;
	send_after(&l, WIRE_CONSENSUS, 0);
	send_after(&l, WIRE_CONSENSUS, 100);
	send_after(&l, WIRE_CONSENSUS, 0); /* behind it, as the stream is in order */
	send_after(&l, WIRE_CONSENSUS, 300);
	send_after(&l, WIRE_CONTROL, 0);
	link_run(&l, l.now_ns + 10 * LINK_MILLISECOND);
	cr_assert_eq(a.count[WIRE_CONSENSUS], 1);
	cr_assert_eq(a.count[WIRE_CONTROL], 1);
	durable(&l, 99);
	link_run(&l, l.now_ns + 10 * LINK_MILLISECOND);
	cr_assert_eq(a.count[WIRE_CONSENSUS], 1);
	durable(&l, 100);
	link_run(&l, l.now_ns + l.delay_ns);
	cr_assert_eq(a.count[WIRE_CONSENSUS], 3);
	durable(&l, 1000);
	link_run(&l, l.now_ns + l.delay_ns);
	cr_assert_eq(a.count[WIRE_CONSENSUS], 4);
	link_stop(&l);
}

Test(wire_wire, a_packet_names_the_highest_position_inside)
{
	struct wire_packet p;
	struct link l;

	connected(&l);
	durable(&l, 50);
	send_after(&l, WIRE_CONSENSUS, 20);
	send_after(&l, WIRE_SUBMIT, 40);
	cr_assert(wire_next_packet(l.end[0].wire, &p, l.now_ns));
	cr_assert_eq(p.after_lsn, 40);
	send_after(&l, WIRE_SUBMIT, 60);
	cr_assert(!wire_next_packet(l.end[0].wire, &p, l.now_ns));
	durable(&l, 70);
	cr_assert(wire_next_packet(l.end[0].wire, &p, l.now_ns));
	cr_assert_eq(p.after_lsn, 60);
	link_stop(&l);
}

/* More positions than there are gates: later than necessary, but in the end. */
Test(wire_wire, many_log_positions_open_one_after_another)
{
	struct arrivals a = {.count = {0}};
	struct link l;

	connected(&l);
	l.context = &a;
	l.on_event = count_arrivals;
	for (uint64_t lsn = 1; lsn <= 200; lsn++)
		cr_assert(send_after(&l, WIRE_CONSENSUS, lsn));
	for (uint64_t lsn = 1; lsn <= 200; lsn++) {
		durable(&l, lsn);
		link_run(&l, l.now_ns + l.delay_ns);
		cr_assert_leq(a.count[WIRE_CONSENSUS], lsn);
		cr_assert(lsn > 31 || a.count[WIRE_CONSENSUS] == lsn);
	}
	cr_assert_eq(a.count[WIRE_CONSENSUS], 200);
	link_stop(&l);
}

Test(wire_wire, an_idle_session_stays_open)
{
	struct link l;

	connected(&l);
	link_run(&l, l.now_ns + 10000 * LINK_MILLISECOND);
	cr_assert_eq(l.end[0].closed + l.end[1].closed, 0);
	cr_assert_lt(l.datagrams, 10000);
	link_stop(&l);
}

Test(wire_wire, silence_closes_and_the_connection_comes_back)
{
	struct link l;

	connected(&l);
	l.cut[0][1] = l.cut[1][0] = true;
	uint64_t cut_ns = l.now_ns;
	link_run(&l, cut_ns + 40 * LINK_MILLISECOND);
	cr_assert_eq(l.end[0].closed + l.end[1].closed, 0);
	link_run(&l, cut_ns + 60 * LINK_MILLISECOND);
	cr_assert_eq(l.end[0].closed, 1);
	cr_assert_eq(l.end[1].closed, 1);
	cr_assert_eq(l.end[0].reason, WIRE_REASON_SILENT);
	l.cut[0][1] = l.cut[1][0] = false;
	link_run(&l, l.now_ns + 20 * LINK_MILLISECOND);
	cr_assert_eq(l.end[0].opened, 2);
	cr_assert_eq(l.end[1].opened, 2);
	link_stop(&l);
}

/* Both ends must learn of a link that works in one direction only. */
Test(wire_wire, one_way_silence_closes_both_ends)
{
	struct link l;

	connected(&l);
	l.cut[0][1] = true;
	link_run(&l, l.now_ns + 60 * LINK_MILLISECOND);
	cr_assert_eq(l.end[1].closed, 1);
	cr_assert_eq(l.end[0].closed, 1);
	cr_assert_eq(l.end[1].reason, WIRE_REASON_SILENT);
	cr_assert_eq(l.end[0].reason, WIRE_REASON_PEER, "told by the other's CLOSE");
	link_stop(&l);
}

Test(wire_wire, own_stall_is_not_the_peers_silence)
{
	struct link l;

	connected(&l);
	wire_tick(l.end[0].wire, l.now_ns + 400 * LINK_MILLISECOND);
	link_settle(&l);
	cr_assert_eq(l.end[0].closed, 0);
	cr_assert_gt(wire_stats(l.end[0].wire)->stall_ns, 300 * LINK_MILLISECOND);
	link_stop(&l);
}

Test(wire_wire, close_tells_the_peer_and_nobody_else)
{
	struct link l;

	connected(&l);
	wire_close(l.end[0].wire, l.end[0].session);
	link_run(&l, l.now_ns + 200 * LINK_MILLISECOND);
	cr_assert_eq(l.end[1].closed, 1);
	cr_assert_eq(l.end[1].reason, WIRE_REASON_PEER);
	cr_assert_eq(l.end[0].closed, 0);
	cr_assert_eq(l.end[0].opened, 1, "and it does not connect again");
	link_stop(&l);
}

Test(wire_wire, a_message_fits_both_ends_or_is_refused)
{
	static const uint8_t data[32 * 1024];
	struct wire_slice slice = {.data = data, .bytes = 2045};
	struct link l;

	link_start(&l, 1);
	struct wire_config c = link_config(2);
	c.stream_receive_bytes[WIRE_SUBMIT] = 2048;
	link_add(&l, 2, &c);
	link_connect(&l, 0, 2);
	link_run(&l, l.now_ns + 2 * LINK_MILLISECOND);
	struct wire *w = l.end[0].wire;
	int session = l.end[0].session;
	cr_assert_eq(wire_message_bytes_max(w, session, WIRE_SUBMIT), 2044);
	cr_assert_eq(wire_message_bytes_max(w, session, WIRE_FEED), 32 * 1024);
	cr_assert(!wire_send(w, session, WIRE_SUBMIT, &slice, 1, 0));
	cr_assert_eq(wire_stats(w)->send_too_large, 1);
	slice.bytes = 2044;
	cr_assert(wire_send(w, session, WIRE_SUBMIT, &slice, 1, 0));
	link_stop(&l);
}
