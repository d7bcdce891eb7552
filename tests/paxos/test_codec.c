/* Bytes of messages: round trip of every kind, refusal of what has none of it. */
#include <criterion/criterion.h>
#include <string.h>

#include "paxos/codec.h"

static const struct paxos_message accept = {.kind = PAXOS_ACCEPT,
					    .ballot = 0x0102030405060708u,
					    .slot = 7,
					    .from = 3,
					    .delivered = 6,
					    .value = {.handle = 5, .bytes = 4}};

static uint32_t
encode(const struct paxos_message *m, uint8_t *out)
{
	paxos_encode(m, out);
	memcpy(out + PAXOS_FIXED_BYTES, "abcd", m->value.bytes);
	return PAXOS_FIXED_BYTES + m->value.bytes;
}

Test(paxos_codec, round_trip)
{
	uint8_t bytes[PAXOS_FIXED_BYTES + 4];
	struct paxos_message m;
	const uint8_t *value;
	uint32_t n = encode(&accept, bytes);

	cr_assert(paxos_decode(&m, PAXOS_ACCEPT, bytes, n, &value));
	cr_assert_eq(m.ballot, accept.ballot);
	cr_assert_eq(m.slot, 7);
	cr_assert_eq(m.from, 3);
	cr_assert_eq(m.delivered, 6);
	cr_assert_eq(m.value.bytes, 4);
	cr_assert_eq(m.value.handle, PAXOS_NO_VALUE);
	cr_assert_eq(memcmp(value, "abcd", 4), 0);
	cr_assert_eq(paxos_frame_bytes(&m), FRAME_HEADER_BYTES + n);
}

/* A change travels with its value, where other kinds have a count. */
Test(paxos_codec, a_change_travels_with_a_value)
{
	uint8_t bytes[PAXOS_FIXED_BYTES + 4];
	struct paxos_message m, change = accept;
	const uint8_t *value;

	change.value.change = paxos_change(5, 0x13, 64, PAXOS_ONE_LEADS);
	cr_assert_neq(change.value.change, 0);
	for (uint32_t i = 0; i < 2; i++) {
		uint32_t n = encode(&change, bytes);
		cr_assert(paxos_decode(&m, PAXOS_ACCEPT, bytes, n, &value));
		cr_assert_eq(m.value.change, change.value.change);
		cr_assert_eq(m.value.bytes, change.value.bytes);
		cr_assert_eq(m.count, 0);
		change.value.bytes = 0; /* nor does it need one */
	}
	cr_assert(!paxos_decode(&m, PAXOS_ACCEPTED, bytes, PAXOS_FIXED_BYTES, &value));
	cr_assert_eq(paxos_change(5, 0x33, 64, PAXOS_ONE_LEADS), 0, "there is no sixth replica");
	cr_assert_eq(paxos_change(5, 0, 64, PAXOS_ONE_LEADS), 0);
	cr_assert_eq(paxos_change(5, 0x13, 9, PAXOS_ONE_LEADS), 0);
	cr_assert_eq(paxos_change(5, 0x13, PAXOS_HORIZON_MAX + 1, PAXOS_ONE_LEADS), 0);
}

Test(paxos_codec, every_kind_alone_and_no_other)
{
	uint8_t bytes[PAXOS_FIXED_BYTES] = {0};
	const uint8_t *value;
	struct paxos_message m;
	for (uint32_t kind = 0; kind < 256; kind++) {
		bool known = (kind >= PAXOS_PREPARE && kind <= PAXOS_MUTE) ||
			     (kind >= PAXOS_RECORD_START && kind <= PAXOS_RECORD_CONFIGURATION);
		cr_assert_eq(paxos_decode(&m, (uint8_t)kind, bytes, sizeof bytes, &value), known,
			     "kind %u", kind);
	}
}

Test(paxos_codec, a_wrong_length_is_refused)
{
	uint8_t bytes[PAXOS_FIXED_BYTES + 5] = {0};
	const uint8_t *value;
	struct paxos_message m;
	uint32_t n = encode(&accept, bytes);
	for (uint32_t i = 0; i <= sizeof bytes; i++)
		cr_assert_eq(paxos_decode(&m, PAXOS_ACCEPT, bytes, i, &value), i == n, "%u bytes",
			     i);
}

Test(paxos_codec, a_field_that_the_kind_does_not_have_is_refused)
{
	uint8_t bytes[PAXOS_FIXED_BYTES] = {0};
	const uint8_t *value;
	struct paxos_message m;

	bytes[0] = 1; /* the ballot */
	cr_assert(paxos_decode(&m, PAXOS_REFUSE, bytes, sizeof bytes, &value));
	cr_assert(!paxos_decode(&m, PAXOS_LEARN, bytes, sizeof bytes, &value));
	cr_assert(!paxos_decode(&m, PAXOS_RECORD_DELIVERED, bytes, sizeof bytes, &value));
}
