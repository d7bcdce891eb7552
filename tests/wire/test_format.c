/* The codec, the keyed hash, and the parts under a session. */
#include <criterion/criterion.h>

#include "wire/flight.h"
#include "wire/format.h"
#include "wire/inbox.h"
#include "wire/siphash.h"

Test(wire_siphash, published_vectors)
{
	uint8_t key[16], data[15];

	for (uint8_t i = 0; i < 16; i++)
		key[i] = i;
	for (uint8_t i = 0; i < 15; i++)
		data[i] = i;
	cr_assert_eq(siphash(key, data, 15), 0xa129ca6149be45e5u);
	cr_assert_eq(siphash(key, data, 0), 0x726fdb47dd0e0e31u);
}

static const struct hello sample = {
	.self = {.kind = WIRE_MEMBER, .uuid = {1, 2, 3}, .process = 77, .epoch = {8}, .version = 5},
	.expected = {.kind = WIRE_NODE, .node = 3, .uuid = {9}},
	.connection = 0x01020304,
	.time_ns = 123456789,
	.cookie = {4, 5, 6},
	.window_bytes = {1, 2, 3, 4, 5},
	.datagram_bytes_max = 1400,
	.message_bytes_max = 65536,
};

Test(wire_format, hello_round_trip)
{
	uint8_t out[DATAGRAM_FRAME_BYTES + HELLO_BYTES];
	struct datagram d = {.type = DATAGRAM_RESPONSE, .key_id = 9, .epoch = {8}}, back;
	struct hello h;

	hello_encode(&sample, out + DATAGRAM_HEADER_BYTES);
	cr_assert_eq(datagram_seal(&d, out, HELLO_BYTES), sizeof out);
	cr_assert_eq(datagram_open(&back, out, sizeof out), DATAGRAM_WHOLE);
	cr_assert_eq(back.type, DATAGRAM_RESPONSE);
	cr_assert_eq(back.key_id, 9);
	cr_assert(hello_decode(&h, &back));
	cr_assert_eq(h.self.epoch[0], 8, "from the header");
	cr_assert_eq(h.self.kind, WIRE_MEMBER);
	cr_assert_eq(h.self.process, 77);
	cr_assert_eq(h.self.version, 5);
	cr_assert_eq(h.expected.node, 3);
	cr_assert_eq(h.expected.uuid[0], 9);
	cr_assert_eq(h.connection, 0x01020304);
	cr_assert_eq(h.time_ns, 123456789);
	cr_assert_eq(h.cookie[2], 6);
	cr_assert_eq(h.window_bytes[4], 5);
	cr_assert_eq(h.message_bytes_max, 65536);
}

Test(wire_format, a_hello_of_any_other_size_is_refused)
{
	uint8_t body[HELLO_BYTES + 1] = {0};
	struct datagram d = {.type = DATAGRAM_INIT, .epoch = {8}, .body = body};
	struct hello h;

	hello_encode(&sample, body);
	for (d.body_bytes = 0; d.body_bytes <= HELLO_BYTES + 1; d.body_bytes++)
		cr_assert_eq(hello_decode(&h, &d), d.body_bytes == HELLO_BYTES);
}

Test(wire_format, items_round_trip)
{
	struct ack ack = {
		.delay_ns = 7000,
		.range_count = 3,
		.range = {{.first = 90, .last = 100},
			  {.first = 50, .last = 88},
			  {.first = 1, .last = 1}},
	};
	uint8_t out[200];
	struct writer w = writer_over(out, sizeof out);
	struct wire_item item;

	item_put_ack(&w, &ack);
	cr_assert_eq(w.bytes, item_ack_bytes(&ack));
	item_put_credit(&w, WIRE_FEED, 1u << 20);
	item_put_bytes_head(&w, WIRE_SUBMIT, 400, 3);
	writer_raw(&w, "abc", 3);
	item_put_close(&w, WIRE_REASON_PEER);

	struct reader r = reader_over(out, w.bytes);
	cr_assert(item_next(&r, &item));
	cr_assert_eq(item.ack.range_count, 3);
	cr_assert_eq(item.ack.delay_ns, 7000);
	for (int i = 0; i < 3; i++) {
		cr_assert_eq(item.ack.range[i].first, ack.range[i].first);
		cr_assert_eq(item.ack.range[i].last, ack.range[i].last);
	}
	cr_assert(item_next(&r, &item));
	cr_assert_eq(item.offset, 1u << 20);
	cr_assert_eq(item.stream, WIRE_FEED);
	cr_assert(item_next(&r, &item));
	cr_assert_eq(item.bytes, 3);
	cr_assert_eq(memcmp(item.data, "abc", 3), 0);
	cr_assert(item_next(&r, &item));
	cr_assert_eq(item.reason, WIRE_REASON_PEER);
	cr_assert(!item_next(&r, &item));
	cr_assert(reader_done(&r));
}

Test(wire_format, an_ack_below_zero_is_refused)
{
	struct ack ack = {.range_count = 2,
			  .range = {{.first = 8, .last = 9}, {.first = 1, .last = 2}}};
	uint8_t out[64];
	struct writer w = writer_over(out, sizeof out);
	struct wire_item item;

	item_put_ack(&w, &ack);
	bytes_put_u16(out + ACK_HEAD_BYTES + 2, 3);
	struct reader r = reader_over(out, w.bytes);
	cr_assert(!item_next(&r, &item));
	cr_assert(r.bad);
}

/* Against one flag per byte: any order, any overlap, then read off in order. */
Test(wire_inbox, holds_what_a_plain_array_would)
{
	static uint8_t ring[256], pattern[4096];
	uint64_t random = 12345;

	for (uint32_t i = 0; i < sizeof pattern; i++)
		pattern[i] = (uint8_t)(i * 7 + (i >> 8));
	for (uint32_t round = 0; round < 300; round++) {
		static bool held[4096];
		struct inbox in = {.ring = ring, .ring_bytes = sizeof ring};
		inbox_reset(&in);
		memset(held, 0, sizeof held);
		for (uint32_t n = 0; n < 200; n++) {
			random = random * 6364136223846793005u + 1442695040888963407u;
			uint64_t offset = in.base + (random >> 33) % 280;
			uint32_t bytes = 1 + (uint32_t)(random >> 50) % 40;
			bool fits = offset + bytes <= in.base + sizeof ring;
			cr_assert_eq(inbox_put(&in, offset, pattern + offset, bytes), fits);
			for (uint32_t i = 0; fits && i < bytes; i++)
				held[offset + i] = true;
			uint64_t ready = in.base;
			while (held[ready])
				ready++;
			cr_assert_eq(in.ready, ready);
			for (uint64_t i = in.base; i < ready; i++)
				cr_assert_eq(ring[i % sizeof ring], pattern[i]);
			if (random >> 63 && ready - in.base >= 8) {
				in.lent_bytes = 8;
				inbox_consume(&in);
			}
		}
	}
}

Test(wire_flight, receipts_are_told_as_they_came)
{
	struct receipt r;
	struct ack ack;

	receipt_reset(&r);
	cr_assert(!receipt_ack(&r, 0, &ack));
	for (uint64_t c = 1; c <= 5000; c++)
		if (c % 100 != 0)
			receipt_add(&r, c, c);
	cr_assert(receipt_ack(&r, 6000, &ack));
	cr_assert_eq(ack.range[0].last, 4999);
	cr_assert_eq(ack.range[0].first, 4901);
	cr_assert_eq(ack.range[1].last, 4899);
	cr_assert_eq(ack.range_count, 11, "the replay window is 1024");
	cr_assert_eq(ack.delay_ns, 1001);
	cr_assert_eq(receipt_check(&r, 4900), RECEIPT_NEW);
	cr_assert_eq(receipt_check(&r, 4901), RECEIPT_DUPLICATE);
	cr_assert_eq(receipt_check(&r, 3900), RECEIPT_OLD);
	cr_assert(!receipt_add(&r, 5000, 1), "in order");
	cr_assert(receipt_add(&r, 4900, 1), "fills a gap");
	cr_assert(receipt_add(&r, 900000, 1), "far ahead");
	cr_assert_eq(receipt_check(&r, 5001), RECEIPT_OLD);
	cr_assert_eq(receipt_check(&r, 899999), RECEIPT_NEW);
}
