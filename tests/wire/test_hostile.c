/* What nobody agreed to: garbage, forgeries, floods. Counted, dropped, never fatal. */
#include <criterion/criterion.h>

#include "base/bytes.h"
#include "link.h"
#include "wire/format.h"

#define SETTLE (20 * LINK_MILLISECOND)

static uint64_t
dropped(const struct link *l, int end)
{
	const struct wire_stats *s = wire_stats(l->end[end].wire);

	return s->drop_size + s->drop_checksum + s->drop_malformed + s->drop_epoch +
	       s->drop_unknown + s->drop_duplicate + s->drop_old + s->drop_window + s->drop_ack +
	       s->drop_handshake + s->drop_refusal + s->cookies_sent + s->refusals_sent;
}

static void
connected(struct link *l)
{
	link_start(l, 1);
	link_connect(l, 0, 1);
	link_run(l, l->now_ns + SETTLE);
	cr_assert_eq(l->end[1].opened, 1);
}

static void
inject(struct link *l, const uint8_t *data, size_t bytes)
{
	wire_receive(l->end[1].wire, &l->end[0].endpoint, data, bytes, l->now_ns);
}

Test(wire_hostile, random_bytes_change_nothing)
{
	uint8_t data[LINK_DATAGRAM_MAX + 100];
	struct link l;

	connected(&l);
	for (int n = 0; n < 20000; n++) {
		size_t bytes = link_random(&l) % sizeof data;
		for (size_t i = 0; i < bytes; i++)
			data[i] = (uint8_t)link_random(&l);
		if (bytes > 8 && n % 2) {
			memset(data, 0, 4);
			data[0] = (uint8_t)(n % 7);
			if (bytes >= DATAGRAM_FRAME_BYTES)
				datagram_put_tag(data, bytes);
		}
		inject(&l, data, bytes);
	}
	cr_assert_geq(dropped(&l, 1), 20000);
	link_run(&l, l.now_ns + SETTLE);
	cr_assert_eq(l.end[1].opened, 1);
	cr_assert_eq(l.end[0].closed + l.end[1].closed, 0);
	link_stop(&l);
}

/* Real datagrams with a few bytes changed and the checksum made right, on top of
 * the real ones: nothing may crash. In clear some forgeries are taken; what
 * sealing will add is not tested. */
Test(wire_hostile, changed_datagrams_crash_nobody)
{
	static uint8_t data[LINK_DATAGRAM_MAX], message[5000];

	for (uint64_t seed = 1; seed <= 30; seed++) {
		struct wire_packet p;
		struct link l;
		link_start(&l, seed);
		link_connect(&l, 0, 1);
		for (int n = 0; n < 400; n++) {
			int from = n % 2;
			link_send(&l, from, n % WIRE_STREAMS, message, link_random(&l) % 5000);
			while (wire_next_packet(l.end[from].wire, &p, l.now_ns)) {
				struct wire *to = l.end[!from].wire;
				memcpy(data, p.data, p.bytes);
				for (uint64_t i = link_random(&l) % 4; i > 0; i--)
					data[link_random(&l) % p.bytes] = (uint8_t)link_random(&l);
				datagram_put_tag(data, p.bytes);
				wire_receive(to, &l.end[from].endpoint, data, p.bytes, l.now_ns);
				if (link_random(&l) % 2)
					wire_receive(to, &l.end[from].endpoint, p.data, p.bytes,
						     l.now_ns);
			}
			link_run(&l, l.now_ns + 50 * LINK_MICROSECOND);
		}
		link_stop(&l);
	}
}

/* The next datagram of end 0, in a buffer that may be changed. */
static size_t
capture(struct link *l, uint8_t *data)
{
	struct wire_packet p;

	cr_assert(wire_next_packet(l->end[0].wire, &p, l->now_ns));
	memcpy(data, p.data, p.bytes);
	return p.bytes;
}

Test(wire_hostile, a_duplicate_is_dropped)
{
	uint8_t data[LINK_DATAGRAM_MAX];
	struct link l;

	connected(&l);
	link_send(&l, 0, WIRE_SUBMIT, "x", 1);
	size_t bytes = capture(&l, data);
	for (int i = 0; i < 3; i++)
		inject(&l, data, bytes);
	link_run(&l, l.now_ns + SETTLE);
	cr_assert_eq(wire_stats(l.end[1].wire)->drop_duplicate, 2);
	cr_assert_eq(wire_stats(l.end[1].wire)->messages_delivered, 1);
	link_stop(&l);
}

Test(wire_hostile, every_reserved_byte_is_checked)
{
	uint8_t data[LINK_DATAGRAM_MAX];
	struct link l;

	connected(&l);
	link_send(&l, 0, WIRE_SUBMIT, "x", 1);
	size_t bytes = capture(&l, data);
	for (size_t i = 1; i < 4; i++) {
		data[i] = 1;
		datagram_put_tag(data, bytes);
		inject(&l, data, bytes);
		data[i] = 0;
	}
	cr_assert_eq(wire_stats(l.end[1].wire)->drop_malformed, 3);
	data[16] ^= 1;
	datagram_put_tag(data, bytes);
	inject(&l, data, bytes);
	cr_assert_eq(wire_stats(l.end[1].wire)->drop_epoch, 1);
	link_stop(&l);
}

Test(wire_hostile, a_message_larger_than_agreed_ends_the_session)
{
	uint8_t data[LINK_DATAGRAM_MAX];
	struct link l;

	connected(&l);
	link_send(&l, 0, WIRE_SUBMIT, "x", 1);
	size_t bytes = capture(&l, data);
	uint8_t *length = data + bytes - DATAGRAM_TAG_BYTES - 1 - LENGTH_BYTES;
	cr_assert_eq(bytes_get_u32(length), 1);
	bytes_put_u32(length, 32 * 1024 + 1);
	datagram_put_tag(data, bytes);
	inject(&l, data, bytes);
	link_settle(&l);
	cr_assert_eq(l.end[1].closed, 1);
	cr_assert_eq(l.end[1].reason, WIRE_REASON_PROTOCOL);
	link_stop(&l);
}

Test(wire_hostile, an_acknowledgement_of_the_future_is_dropped)
{
	struct datagram d = {.type = DATAGRAM_DATA, .counter = 1000, .epoch = {7}};
	struct ack ack = {.range_count = 1, .range = {{.first = 1, .last = 90000}}};
	uint8_t out[200], seen[LINK_DATAGRAM_MAX];
	struct link l;

	connected(&l);
	link_send(&l, 0, WIRE_SUBMIT, "x", 1);
	capture(&l, seen);
	d.key_id = bytes_get_u32(seen + 4);
	struct writer w = writer_over(out + DATAGRAM_HEADER_BYTES, 100);
	ack.range[0].first = 89990;
	item_put_ack(&w, &ack);
	inject(&l, out, datagram_seal(&d, out, w.bytes));
	cr_assert_eq(wire_stats(l.end[1].wire)->drop_ack, 1);
	cr_assert_eq(l.end[1].closed, 0);
	link_stop(&l);
}

/* Of a captured INIT: the n-th one of a flood, of another node, and from elsewhere. */
static struct endpoint
ask_from_elsewhere(struct link *l, uint8_t *init, size_t bytes, uint32_t n)
{
	uint8_t *private = init + DATAGRAM_HEADER_BYTES + HELLO_HEAD_BYTES;
	struct endpoint from = endpoint_from_ipv4(0x0b000000u + n, 99);

	bytes_put_u32(init + DATAGRAM_HEADER_BYTES + 12, n + 1);
	bytes_put_u32(private + 84, n + 1);
	private[4] = 200;
	datagram_put_tag(init, bytes);
	wire_receive(l->end[1].wire, &from, init, bytes, l->now_ns);
	return from;
}

/* INITs from anywhere: answers no larger than questions, a table that does not
 * grow, and an honest end that gets in by its cookie. */
Test(wire_hostile, a_flood_of_inits_costs_no_session)
{
	uint8_t init[LINK_DATAGRAM_MAX];
	struct wire_packet p;
	struct link l;

	link_start(&l, 1);
	link_connect(&l, 0, 1);
	size_t bytes = capture(&l, init);
	for (uint32_t n = 0; n < 5000; n++) {
		struct endpoint from = ask_from_elsewhere(&l, init, bytes, n);
		while (wire_next_packet(l.end[1].wire, &p, l.now_ns)) {
			cr_assert_leq(p.bytes, bytes);
			cr_assert(endpoint_equal(&p.to, &from));
		}
	}
	cr_assert_gt(wire_stats(l.end[1].wire)->cookies_sent, 4900);
	cr_assert_eq(l.end[1].opened, 0);
	link_run(&l, l.now_ns + SETTLE);
	cr_assert_eq(l.end[1].opened, 1);
	cr_assert_eq(l.end[0].opened, 1);
	link_run(&l, l.now_ns + 100 * LINK_MILLISECOND);
	cr_assert_eq(wire_stats(l.end[0].wire)->sessions_closed, 0);
	link_stop(&l);
}

/* The answers wait for one who sends them: who asked first gets them, and each of them. */
Test(wire_hostile, more_questions_than_answers_have_room_for_are_dropped)
{
	static uint8_t data[LINK_DATAGRAM_MAX];
	struct endpoint from[1000];
	struct wire_packet p;
	struct link l;
	uint32_t answers = 0;

	link_start(&l, 1);
	link_connect(&l, 0, 1);
	size_t bytes = capture(&l, data);
	for (uint32_t n = 0; n < 1000; n++)
		from[n] = ask_from_elsewhere(&l, data, bytes, n);
	while (wire_next_packet(l.end[1].wire, &p, l.now_ns)) {
		cr_assert_lt(answers, 1000);
		cr_assert(endpoint_equal(&p.to, &from[answers]), "answer %u", answers);
		cr_assert_gt(p.bytes, DATAGRAM_FRAME_BYTES);
		answers++;
	}
	cr_assert_gt(answers, 0);
	cr_assert_eq(wire_stats(l.end[1].wire)->drop_reply_queue, 1000 - answers);
	link_run(&l, l.now_ns + SETTLE);
	cr_assert_eq(l.end[1].opened, 1);
	link_stop(&l);
}

Test(wire_hostile, a_truncated_datagram_is_dropped_at_every_length)
{
	uint8_t data[LINK_DATAGRAM_MAX];
	struct link l;

	connected(&l);
	link_send(&l, 0, WIRE_SUBMIT, "hello", 5);
	size_t bytes = capture(&l, data);
	uint64_t before = dropped(&l, 1);
	for (size_t n = 0; n < bytes; n++) {
		uint8_t cut[LINK_DATAGRAM_MAX];
		memcpy(cut, data, n);
		if (n >= DATAGRAM_FRAME_BYTES)
			datagram_put_tag(cut, n);
		if (n != DATAGRAM_FRAME_BYTES) /* an empty DATA is one, and says nothing */
			inject(&l, cut, n);
	}
	cr_assert_eq(dropped(&l, 1), before + bytes - 1);
	inject(&l, data, bytes);
	link_run(&l, l.now_ns + SETTLE);
	cr_assert_eq(wire_stats(l.end[1].wire)->messages_delivered, 1);
	link_stop(&l);
}

static bool
nothing_comes_of_it(const struct link *l, int end)
{
	struct wire_event event;
	struct wire_packet packet;

	return !wire_next_event(l->end[end].wire, &event) &&
	       !wire_next_packet(l->end[end].wire, &packet, l->now_ns);
}

/* Every datagram comes with each of its bits flipped before it comes whole. */
static void
flip_every_bit(struct link *l, const struct link_flying *f)
{
	struct wire *w = l->end[f->to].wire;
	uint64_t before = wire_stats(w)->drop_checksum, all = dropped(l, f->to);
	uint8_t data[LINK_DATAGRAM_MAX];
	size_t bits = 8 * f->bytes;

	memcpy(data, f->data, f->bytes);
	for (size_t bit = 0; bit < bits; bit++) {
		uint8_t flipped = (uint8_t)(1u << bit % 8);
		data[bit / 8] ^= flipped;
		wire_receive(w, &l->end[f->from].endpoint, data, f->bytes, l->now_ns);
		data[bit / 8] ^= flipped;
	}
	cr_assert_eq(wire_stats(w)->drop_checksum, before + bits, "type %u", data[0]);
	cr_assert_eq(dropped(l, f->to), all + bits, "type %u", data[0]);
	cr_assert(nothing_comes_of_it(l, f->to), "type %u", data[0]);
	*(uint32_t *)l->context |= 1u << data[0];
}

/* End 2 fills end 1's only place for a handshake, so that end 0 is sent a cookie;
 * end 3 speaks another version and is refused. */
Test(wire_hostile, any_flipped_bit_of_any_datagram_is_dropped_and_counted)
{
	struct wire_config c = link_config(1), strange = link_config(3);
	static const uint8_t message[3000];
	uint32_t types = 0;
	struct link l;

	link_start(&l, 1);
	l.context = &types;
	l.on_arrival = flip_every_bit;
	c.half_open_max = 1;
	link_add(&l, 1, &c);
	c = link_config(2);
	link_add(&l, 2, &c);
	strange.self.version = 2;
	link_add(&l, 3, &strange);
	l.cut[1][2] = true;
	link_connect(&l, 2, 1);
	link_run(&l, l.now_ns + LINK_MILLISECOND);
	link_connect(&l, 0, 1);
	link_connect(&l, 3, 1);
	link_run(&l, l.now_ns + SETTLE);
	for (int i = 0; i < WIRE_STREAMS; i++)
		link_send(&l, 0, i, message, sizeof message);
	link_run(&l, l.now_ns + SETTLE);
	cr_assert_eq(wire_stats(l.end[1].wire)->messages_delivered, WIRE_STREAMS);
	cr_assert_eq(l.end[0].opened + l.end[0].closed, 1);
	cr_assert_eq(types, 0x7e, "every type was among them: %x", types);
	link_stop(&l);
}
