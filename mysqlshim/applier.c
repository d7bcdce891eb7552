#include "mysqlshim/applier.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mysqlshim/commit.h"
#include "mysqlshim/gtid_text.h"
#include "mysqlshim/payload.h"

#define REST_KEPT_BYTES (1u << 20) /* more was for one event of a large transaction */
#define FIRST_BYTES     (PAYLOAD_HEAD_BYTES + EVENT_HEAD_BYTES)

void
applier_init(struct applier *a, int (*queue)(const uint8_t *event, size_t bytes))
{
	memset(a, 0, sizeof *a);
	numbering_init(&a->numbering);
	a->queue = queue;
}

void
applier_free(struct applier *a)
{
	free(a->rest);
	a->rest = NULL;
}

static bool
refuse(const struct feeder_transaction *t, const char *why, int error, char *text, size_t capacity)
{
	char gtid[GTID_CHARS_MAX + 1];

	gtid_format(&t->gtid, gtid);
	snprintf(text, capacity,
		 "Transaction %s (log index %llu) cannot be applied here: %s (error %d).", gtid,
		 (unsigned long long)t->index, why, error);
	return false;
}

/* Puts the piece behind what is left of the one before it. */
static bool
append(struct applier *a, const uint8_t *data, size_t bytes)
{
	size_t needed = a->rest_bytes + bytes;

	if (needed > a->rest_capacity) {
		size_t capacity = needed + needed / 2;
		uint8_t *larger = realloc(a->rest, capacity);

		if (!larger)
			return false;
		a->rest = larger;
		a->rest_capacity = capacity;
	}
	memcpy(a->rest + a->rest_bytes, data, bytes);
	a->rest_bytes = needed;
	return true;
}

/* The GTID event, from the payload's head and its first event's. */
static int
queue_head(struct applier *a, const struct feeder_transaction *t, struct payload *payload)
{
	uint8_t event[GTID_EVENT_BYTES_MAX];

	payload->events_bytes = t->total - PAYLOAD_HEAD_BYTES;
	struct numbers numbers = numbering_next(&a->numbering, t->index, t->dependency);
	struct gtid_event gtid_event = {
		.payload = payload,
		.gtid = &t->gtid,
		.last_committed = numbers.last_committed,
		.sequence_number = numbers.sequence_number,
		.server_id = event_server_id(payload->events),
		.time_s = event_time_s(payload->events),
	};

	return a->queue(event, gtid_event_encode(&gtid_event, event));
}

/* Queues whole events; *taken is what they were. An event that says it is larger
 * than what can still come is malformed. */
static int
queue_events(struct applier *a, const uint8_t *data, size_t bytes, size_t *taken)
{
	size_t at = 0;
	int error = 0;

	for (size_t event; error == 0 && (event = event_bytes(data + at, bytes - at)) > 0;) {
		error = a->queue(data + at, event);
		at += event;
	}
	*taken = at;
	return error;
}

static int
take(struct applier *a, const struct feeder_transaction *t, const uint8_t *data, size_t bytes,
     size_t *taken)
{
	struct payload payload;
	size_t events = 0;
	int error = 0;

	*taken = 0;
	if (!a->head_queued) {
		if (bytes < FIRST_BYTES)
			return 0;
		if (!payload_decode(&payload, data, bytes))
			return -1;
		error = queue_head(a, t, &payload);
		a->head_queued = true;
		*taken = PAYLOAD_HEAD_BYTES;
	}
	if (error == 0)
		error = queue_events(a, data + *taken, bytes - *taken, &events);
	*taken += events;
	return error;
}

bool
applier_take(struct applier *a, const struct feeder_transaction *t, char *text, size_t capacity)
{
	const uint8_t *data = t->payload;
	size_t bytes = t->payload_bytes, taken = 0;

	if (t->offset == 0) {
		a->head_queued = false;
		a->expected = 0;
		a->rest_bytes = 0;
		if (a->rest_capacity > REST_KEPT_BYTES) {
			applier_free(a);
			a->rest_capacity = 0;
		}
	}
	if (t->dependency >= t->index || t->offset != a->expected ||
	    t->total > COMMIT_PAYLOAD_MAX || t->total < FIRST_BYTES)
		return refuse(t, "it is malformed", 0, text, capacity);
	a->expected += bytes;
	bool joined = a->rest_bytes > 0;
	if (joined) {
		if (!append(a, data, bytes))
			return refuse(t, "there is no memory", 0, text, capacity);
		data = a->rest;
		bytes = a->rest_bytes;
	}
	int error = take(a, t, data, bytes, &taken);
	if (error != 0)
		return refuse(t, "its relay log cannot be written", error, text, capacity);
	size_t left = bytes - taken;
	if (t->last && (left > 0 || a->expected != t->total))
		return refuse(t, "its events are malformed", 0, text, capacity);
	if (joined)
		memmove(a->rest, a->rest + taken, left);
	a->rest_bytes = joined ? left : 0;
	if (!joined && left > 0 && !append(a, data + taken, left))
		return refuse(t, "there is no memory", 0, text, capacity);
	return true;
}
