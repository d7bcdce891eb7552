/* The sending end of a stream: ring, gates, segments. */
#include "wire/outbox.h"

#include "base/bytes.h"
#include "wire/format.h"

void
outbox_reset(struct outbox *o, uint64_t credit)
{
	uint8_t *ring = o->ring;
	uint32_t ring_bytes = o->ring_bytes;
	struct segment *segments = o->segments;

	memset(o, 0, sizeof *o);
	o->ring = ring;
	o->ring_bytes = ring_bytes;
	o->segments = segments;
	o->credit = credit;
}

static void
ring_put(struct outbox *o, const void *data, size_t bytes)
{
	size_t at = o->end & (o->ring_bytes - 1);
	size_t head = o->ring_bytes - at < bytes ? o->ring_bytes - at : bytes;

	if (bytes == 0)
		return;
	memcpy(o->ring + at, data, head);
	memcpy(o->ring, (const uint8_t *)data + head, bytes - head);
	o->end += bytes;
}

bool
outbox_write(struct outbox *o, const struct wire_slice *slices, uint32_t slice_count,
	     uint32_t bytes)
{
	uint8_t length[LENGTH_BYTES];

	if (bytes + LENGTH_BYTES > o->ring_bytes - (o->end - o->base)) {
		o->wanted_bytes = bytes + LENGTH_BYTES;
		return false;
	}
	bytes_put_u32(length, bytes);
	ring_put(o, length, sizeof length);
	for (uint32_t i = 0; i < slice_count; i++)
		ring_put(o, slices[i].data, slices[i].bytes);
	must(o->end - o->base <= o->ring_bytes);
	return true;
}

static void
gate_open(struct outbox *o, uint64_t end, uint64_t lsn)
{
	must(end >= o->open && end <= o->end);
	o->open = end;
	if (lsn > o->open_lsn)
		o->open_lsn = lsn;
}

void
outbox_gate(struct outbox *o, uint64_t after_lsn, uint64_t durable_lsn)
{
	if (!outbox_gated(o) && after_lsn <= durable_lsn) {
		gate_open(o, o->end, after_lsn);
		return;
	}
	struct gate *last = &o->gates[(o->gate_end - 1) & (OUTBOX_GATES - 1)];
	bool full = o->gate_end - o->gate_first == OUTBOX_GATES;
	if (outbox_gated(o) && (full || after_lsn <= last->lsn)) {
		last->end = o->end;
		if (after_lsn > last->lsn)
			last->lsn = after_lsn;
		return;
	}
	o->gates[o->gate_end++ & (OUTBOX_GATES - 1)] =
		(struct gate){.end = o->end, .lsn = after_lsn};
}

bool
outbox_durable(struct outbox *o, uint64_t durable_lsn)
{
	uint32_t first = o->gate_first;

	while (outbox_gated(o)) {
		const struct gate *g = &o->gates[o->gate_first & (OUTBOX_GATES - 1)];
		if (g->lsn > durable_lsn)
			break;
		gate_open(o, g->end, g->lsn);
		o->gate_first++;
	}
	return o->gate_first != first;
}

uint32_t
outbox_lost(struct outbox *o)
{
	must(o->lost_count > 0);
	while (outbox_segment(o, o->lost_from)->state != SEGMENT_LOST) {
		o->lost_from++;
		must(o->lost_from - o->segment_first < OUTBOX_SEGMENTS);
	}
	return o->lost_from;
}

uint32_t
outbox_cut(struct outbox *o, uint32_t bytes_max)
{
	must(!outbox_segments_full(o));
	uint64_t sendable = outbox_sendable(o);
	uint64_t bytes = sendable < bytes_max ? sendable : bytes_max;
	must(bytes > 0 && bytes <= UINT16_MAX);
	uint32_t number = o->segment_end++;

	*outbox_segment(o, number) = (struct segment){
		.offset = o->next,
		.after_lsn = o->open_lsn,
		.bytes = (uint16_t)bytes,
		.state = SEGMENT_FLYING,
	};
	o->next += bytes;
	return number;
}

void
outbox_resent(struct outbox *o, uint32_t number)
{
	struct segment *s = outbox_segment(o, number);

	must(s->state == SEGMENT_LOST && o->lost_count > 0);
	s->state = SEGMENT_FLYING;
	o->lost_count--;
}

void
outbox_copy(const struct outbox *o, uint32_t number, uint8_t *out)
{
	const struct segment *s = outbox_segment(o, number);
	size_t at = s->offset & (o->ring_bytes - 1);
	size_t head = o->ring_bytes - at < s->bytes ? o->ring_bytes - at : s->bytes;

	must(s->offset >= o->base && s->offset + s->bytes <= o->next);
	memcpy(out, o->ring + at, head);
	memcpy(out + head, o->ring, s->bytes - head);
}

void
outbox_arrived(struct outbox *o, uint32_t number)
{
	must(number - o->segment_first < OUTBOX_SEGMENTS);
	must(outbox_segment(o, number)->state == SEGMENT_FLYING);
	outbox_segment(o, number)->state = SEGMENT_ARRIVED;
	while (o->segment_first != o->segment_end) {
		const struct segment *s = outbox_segment(o, o->segment_first);
		if (s->state != SEGMENT_ARRIVED)
			break;
		must(s->offset == o->base);
		o->base += s->bytes;
		o->segment_first++;
	}
	if ((int32_t)(o->lost_from - o->segment_first) < 0)
		o->lost_from = o->segment_first;
}

void
outbox_lose(struct outbox *o, uint32_t number)
{
	struct segment *s = outbox_segment(o, number);

	must(s->state == SEGMENT_FLYING);
	s->state = SEGMENT_LOST;
	o->lost_count++;
	if ((int32_t)(number - o->lost_from) < 0)
		o->lost_from = number;
}
