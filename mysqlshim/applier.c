#include "mysqlshim/applier.h"

#include <stdio.h>

#include "mysqlshim/gtid_text.h"
#include "mysqlshim/payload.h"

void
applier_init(struct applier *a, int (*queue)(const uint8_t *event, size_t bytes))
{
	numbering_init(&a->numbering);
	a->queue = queue;
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

/* Nothing is queued before all of it is known to be whole. */
static bool
is_whole(const struct payload *p)
{
	size_t at = 0;

	while (at < p->events_bytes) {
		size_t bytes = event_bytes(p->events + at, p->events_bytes - at);

		if (bytes == 0)
			return false;
		at += bytes;
	}
	return true;
}

static int
queue_events(struct applier *a, const struct payload *p)
{
	int error = 0;

	for (size_t at = 0; at < p->events_bytes && error == 0;) {
		size_t bytes = event_bytes(p->events + at, p->events_bytes - at);

		error = a->queue(p->events + at, bytes);
		at += bytes;
	}
	return error;
}

bool
applier_take(struct applier *a, const struct feeder_transaction *t, char *text, size_t capacity)
{
	struct payload payload;
	uint8_t event[GTID_EVENT_BYTES_MAX];

	if (t->dependency >= t->index || !payload_decode(&payload, t->payload, t->payload_bytes) ||
	    !is_whole(&payload))
		return refuse(t, "its events are malformed", 0, text, capacity);
	struct numbers numbers = numbering_next(&a->numbering, t->index, t->dependency);
	struct gtid_event gtid_event = {
		.payload = &payload,
		.gtid = &t->gtid,
		.last_committed = numbers.last_committed,
		.sequence_number = numbers.sequence_number,
		.server_id = event_server_id(payload.events),
		.time_s = event_time_s(payload.events),
	};
	int error = a->queue(event, gtid_event_encode(&gtid_event, event));
	if (error == 0)
		error = queue_events(a, &payload);
	if (error != 0)
		return refuse(t, "its relay log cannot be written", error, text, capacity);
	return true;
}
