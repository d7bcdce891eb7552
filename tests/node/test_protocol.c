/* Messages between members and nodes: round trip of every kind, refusal of every
 * truncation, and nothing out of bounds for bytes of any origin. */
#include <criterion/criterion.h>

#include "node/protocol.h"

static const uint8_t epoch[EPOCH_BYTES] = {9, 8, 7};

static struct protocol_message
sample(uint8_t kind)
{
	return (struct protocol_message){
		.kind = kind,
		.group = 3,
		.incarnation = 77,
		.node = 2,
		.reason = 4,
		.verdict = 1,
		.flags = 5,
		.session = 6,
		.sequence = 8,
		.index = 1000,
		.previous = 998,
		.own = 997,
		.dependency = 990,
		.mark = 12,
		.winner_hash = 0x1234,
		.uuid = {1, 2, 3},
		.nonce = {4, 5, 6},
		.gtid = {.source = {.uuid = {7}, .tag_bytes = 3, .tag = "abc"}, .gno = 55},
		.winner = {.source = {.uuid = {8}}, .gno = 56},
		.data = (const uint8_t *)"payload",
		.bytes = 7,
	};
}

Test(node_protocol, every_kind_survives_the_round_trip)
{
	for (uint8_t kind = PROTOCOL_OPEN; kind < PROTOCOL_END; kind++) {
		uint8_t first[1024], second[1024];
		struct protocol_message in = sample(kind), out;
		struct writer w = writer_over(first, sizeof first);
		struct frame frame;
		uint32_t bytes = protocol_encode(&in, epoch, &w);

		cr_assert_gt(bytes, 0);
		cr_assert(frame_decode(&frame, first, bytes));
		cr_assert(protocol_decode(&out, &frame, first, bytes), "kind %u", kind);
		cr_assert_eq(out.incarnation, 77);
		cr_assert_eq(out.group, 3);
		w = writer_over(second, sizeof second);
		cr_assert_eq(protocol_encode(&out, epoch, &w), bytes);
		cr_assert_eq(memcmp(first, second, bytes), 0, "kind %u", kind);
	}
}

Test(node_protocol, a_body_that_is_too_short_is_refused)
{
	for (uint8_t kind = PROTOCOL_OPEN; kind < PROTOCOL_END; kind++) {
		uint8_t data[1024];
		struct protocol_message in = sample(kind), out;
		struct writer w = writer_over(data, sizeof data);
		struct frame frame;

		in.bytes = 0;
		uint32_t bytes = protocol_encode(&in, epoch, &w);
		for (uint32_t n = FRAME_HEADER_BYTES; n < bytes; n++) {
			frame = (struct frame){
				.frame_bytes = n, .kind = kind, .source = FRAME_SOURCE_MEMBER};
			cr_assert(!protocol_decode(&out, &frame, data, n), "kind %u at %u", kind,
				  n);
		}
	}
}

Test(node_protocol, a_tag_longer_than_a_tag_can_be_is_refused)
{
	uint8_t data[1024];
	struct protocol_message in = sample(PROTOCOL_VERDICT), out;
	struct writer w = writer_over(data, sizeof data);
	uint32_t bytes = protocol_encode(&in, epoch, &w);
	struct frame frame = {
		.frame_bytes = bytes, .kind = PROTOCOL_VERDICT, .source = FRAME_SOURCE_MEMBER};
	/* verdict 1, sequence 8, index 8, dependency 8, hash 8, uuid 16: then its length */
	uint32_t at = FRAME_HEADER_BYTES + 1 + 8 + 8 + 8 + 8 + UUID_BYTES;

	cr_assert_eq(data[at], 3);
	data[at] = TAG_BYTES_MAX + 1;
	cr_assert(!protocol_decode(&out, &frame, data, bytes));
}
