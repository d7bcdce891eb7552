/*
 * Bytes that MySQL reads: the GTID event is compared with one written down by
 * hand from the format, field by field, since a decoder of our own would only
 * show that we agree with ourselves.
 */
#include <criterion/criterion.h>
#include <string.h>

#include "base/bytes.h"
#include "mysqlshim/payload.h"

static uint8_t buffer[PAYLOAD_HEAD_BYTES + 4];
static uint8_t event[GTID_EVENT_BYTES_MAX];
static struct payload payload;
static struct gtid gtid;

static void
sample(void)
{
	payload = (struct payload){.flags = PAYLOAD_STATEMENTS,
				   .original_version = 90704,
				   .immediate_version = 90704,
				   .original_commit_us = 0x0004030201000aULL,
				   .immediate_commit_us = 0x0004030201000aULL,
				   .events_bytes = 100};
	memset(&gtid, 0, sizeof gtid);
	for (int i = 0; i < UUID_BYTES; i++)
		gtid.source.uuid[i] = (uint8_t)(0xa0 + i);
	gtid.gno = 0x0102;
}

static size_t
encode(uint64_t ticket)
{
	struct gtid_event e = {.payload = &payload,
			       .gtid = &gtid,
			       .last_committed = 3,
			       .sequence_number = 5,
			       .ticket = ticket,
			       .server_id = 7,
			       .time_s = 0x65000000};

	return gtid_event_encode(&e, event);
}

Test(mysqlshim_payload, the_event_is_what_mysql_writes, .init = sample)
{
	static const uint8_t expected[] = {
		0,    0,    0,    0x65, 33,   7,    0,    0,    0,    73,
		0,    0,    0,    0,    0,    0,    0,    0,    0, /* common header */
		1,                                                 /* may hold statements */
		0xa0, 0xa1, 0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7, 0xa8, 0xa9,
		0xaa, 0xab, 0xac, 0xad, 0xae, 0xaf,          /* uuid */
		2,    1,    0,    0,    0,    0,    0,    0, /* gno */
		2,                                           /* logical clock */
		3,    0,    0,    0,    0,    0,    0,    0, /* last_committed */
		5,    0,    0,    0,    0,    0,    0,    0, /* sequence_number */
		0x0a, 0,    1,    2,    3,    4,    0,       /* commit time */
		173,                 /* 73 of this event and 100 of the others */
		0x50, 0x62, 1,    0, /* 90704 */
	};

	cr_assert_eq(encode(0), sizeof expected);
	cr_assert_eq(memcmp(event, expected, sizeof expected), 0);
}

Test(mysqlshim_payload, a_ticket_and_the_originals_are_added_when_they_differ, .init = sample)
{
	size_t plain = encode(0);

	cr_assert_eq(encode(9), plain + 8);
	cr_assert_eq(bytes_get_u64(event + plain), 9);
	payload.original_commit_us--;
	payload.original_version--;
	cr_assert_eq(encode(0), plain + 7 + 4);
	cr_assert_eq(event[19 + 42 + 6], 0x80, "the bit that says so");
	cr_assert_eq(bytes_get_u32(event + plain + 7 - 4), 90704 | UINT32_C(1) << 31);
	cr_assert_eq(bytes_get_u32(event + plain + 7), 90703);
}

/* The length counts itself: around each step of its own size it must be right
 * (gtid_event_encode() traps where it is not). */
Test(mysqlshim_payload, the_length_counts_itself, .init = sample)
{
	static const uint64_t steps[] = {250, UINT16_MAX, 1 << 24};

	for (int i = 0; i < 3; i++)
		for (uint64_t n = steps[i] - 100; n < steps[i] + 20; n++) {
			payload.events_bytes = n;
			size_t bytes = encode(0);
			cr_assert_eq(bytes_get_u32(event + 9), bytes);
		}
}

Test(mysqlshim_payload, the_head_comes_back_and_other_versions_do_not, .init = sample)
{
	struct payload back;

	payload_head(&payload, buffer);
	memcpy(buffer + PAYLOAD_HEAD_BYTES, "abcd", 4);
	cr_assert(payload_decode(&back, buffer, sizeof buffer));
	cr_assert_eq(back.flags, PAYLOAD_STATEMENTS);
	cr_assert_eq(back.original_version, 90704);
	cr_assert_eq(back.immediate_commit_us, payload.immediate_commit_us);
	cr_assert_eq(back.events_bytes, 4);
	cr_assert_eq(memcmp(back.events, "abcd", 4), 0);
	for (size_t n = 0; n <= PAYLOAD_HEAD_BYTES; n++)
		cr_assert_not(payload_decode(&back, buffer, n), "%zu bytes", n);
	buffer[0]++;
	cr_assert_not(payload_decode(&back, buffer, sizeof buffer));
}
