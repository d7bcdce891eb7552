/*
 * A transaction's way into the relay log: whole events in their order, however the
 * pieces were cut; and nothing behind a piece that is missing or malformed.
 */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "mysqlshim/applier.h"
#include "mysqlshim/payload.h"

#define EVENTS 40

static uint8_t payload[64 * 1024];
static size_t payload_bytes;
static uint8_t queued[64 * 1024];
static size_t queued_bytes;
static uint32_t calls;
static int queue_error;
static struct applier applier;
static char text[512];

static int
queue(const uint8_t *event, size_t bytes)
{
	cr_assert_eq(event_bytes(event, bytes), bytes, "not one whole event");
	if (calls++ > 0) { /* the first is the GTID event */
		memcpy(queued + queued_bytes, event, bytes);
		queued_bytes += bytes;
	}
	return queue_error;
}

static void
put_event(size_t bytes)
{
	uint8_t *at = payload + payload_bytes;

	memset(at, (int)bytes, bytes);
	memset(at, 0, EVENT_HEAD_BYTES);
	at[9] = (uint8_t)bytes;
	at[10] = (uint8_t)(bytes >> 8);
	payload_bytes += bytes;
}

static void
sample(void)
{
	struct payload p = {.original_version = 90704, .immediate_version = 90704};

	payload_head(&p, payload);
	payload_bytes = PAYLOAD_HEAD_BYTES;
	for (size_t i = 0; i < EVENTS; i++)
		put_event(EVENT_HEAD_BYTES + i * i);
	applier_init(&applier, queue);
	queued_bytes = calls = 0;
	queue_error = 0;
}

static bool
take(uint64_t offset, size_t bytes, bool last)
{
	struct feeder_transaction piece = {.index = 10,
					   .dependency = 3,
					   .gtid = {.gno = 5},
					   .payload = payload + offset,
					   .payload_bytes = (uint32_t)bytes,
					   .offset = offset,
					   .total = payload_bytes,
					   .last = last};

	return applier_take(&applier, &piece, text, sizeof text);
}

static bool
all_queued(void)
{
	return calls == EVENTS + 1 && queued_bytes == payload_bytes - PAYLOAD_HEAD_BYTES &&
	       memcmp(queued, payload + PAYLOAD_HEAD_BYTES, queued_bytes) == 0;
}

Test(mysqlshim_applier, the_same_events_however_the_pieces_were_cut, .init = sample)
{
	cr_assert(take(0, payload_bytes, true));
	cr_assert(all_queued());
	for (unsigned seed = 1; seed <= 200; seed++) {
		queued_bytes = calls = 0;
		srand(seed);
		for (size_t at = 0; at < payload_bytes;) {
			size_t bytes = 1 + (size_t)rand() % (seed % 2 ? 40 : 3000);
			if (bytes > payload_bytes - at)
				bytes = payload_bytes - at;
			cr_assert(take(at, bytes, at + bytes == payload_bytes), "%s", text);
			at += bytes;
		}
		cr_assert(all_queued(), "seed %u", seed);
	}
	applier_free(&applier);
}

Test(mysqlshim_applier, a_transaction_begins_anew_where_another_ended_in_the_middle, .init = sample)
{
	cr_assert(take(0, 5000, false));
	queued_bytes = calls = 0;
	cr_assert(take(0, payload_bytes, true));
	cr_assert(all_queued());
	applier_free(&applier);
}

Test(mysqlshim_applier, what_is_malformed_is_refused_in_words, .init = sample)
{
	cr_assert_not(take(100, 50, false), "a piece before its first");
	cr_assert(strstr(text, "log index 10"));
	cr_assert(take(0, 5000, false));
	cr_assert_not(take(5001, 2000, false), "a gap between two pieces");
	cr_assert_not(take(4999, 2000, false), "a byte told twice");
	cr_assert_not(take(0, payload_bytes - 1, true), "an event that is cut");
	payload[PAYLOAD_HEAD_BYTES + 9] = 5; /* an event shorter than its own head */
	cr_assert_not(take(0, payload_bytes, true));
	payload[0] = 99; /* a version of another release */
	cr_assert_not(take(0, payload_bytes, true));
	applier_free(&applier);
}

Test(mysqlshim_applier, a_full_disk_under_the_relay_log_is_told, .init = sample)
{
	queue_error = 28;
	cr_assert_not(take(0, payload_bytes, true));
	cr_assert(strstr(text, "relay log") && strstr(text, "28"), "%s", text);
	cr_assert_eq(calls, 1);
	applier_free(&applier);
}
