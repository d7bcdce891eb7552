/* The receiving end of a stream: reassembly in place. */
#include "wire/inbox.h"

#include "base/bytes.h"
#include "wire/format.h"

void
inbox_reset(struct inbox *in)
{
	uint8_t *ring = in->ring;
	uint32_t ring_bytes = in->ring_bytes;

	memset(in, 0, sizeof *in);
	in->ring = ring;
	in->ring_bytes = ring_bytes;
	in->granted = ring_bytes;
}

/* Takes [first, end) into the sorted spans; false where that needs one too many. */
static bool
spans_add(struct inbox *in, uint64_t first, uint64_t end)
{
	uint32_t from = 0;

	while (from < in->span_count && in->spans[from].end < first)
		from++;
	uint32_t to = from;
	while (to < in->span_count && in->spans[to].first <= end)
		to++;
	if (from == to && in->span_count == INBOX_SPANS)
		return false;
	if (from < to) {
		if (in->spans[from].first < first)
			first = in->spans[from].first;
		if (in->spans[to - 1].end > end)
			end = in->spans[to - 1].end;
	}
	memmove(&in->spans[from + 1], &in->spans[to], (in->span_count - to) * sizeof in->spans[0]);
	in->spans[from] = (struct span){.first = first, .end = end};
	in->span_count = in->span_count - (to - from) + 1;
	must(in->span_count <= INBOX_SPANS);
	return true;
}

/* Moves `ready` over what is now without a gap. */
static void
spans_join(struct inbox *in)
{
	uint32_t n = 0;

	while (n < in->span_count && in->spans[n].first <= in->ready) {
		if (in->spans[n].end > in->ready)
			in->ready = in->spans[n].end;
		n++;
	}
	in->span_count -= n;
	memmove(in->spans, in->spans + n, in->span_count * sizeof in->spans[0]);
	must(in->ready <= inbox_limit(in));
}

bool
inbox_put(struct inbox *in, uint64_t offset, const uint8_t *data, uint32_t bytes)
{
	uint64_t limit = inbox_limit(in);

	if (offset > limit || bytes > limit - offset)
		return false;
	uint64_t end = offset + bytes;
	if (end <= in->ready)
		return true;
	if (offset < in->ready) {
		data += in->ready - offset;
		offset = in->ready;
	}
	if (offset == in->ready)
		in->ready = end;
	else if (!spans_add(in, offset, end))
		return false;
	size_t at = offset & (in->ring_bytes - 1), n = (size_t)(end - offset);
	size_t head = in->ring_bytes - at < n ? in->ring_bytes - at : n;
	memcpy(in->ring + at, data, head);
	memcpy(in->ring, data + head, n - head);
	spans_join(in);
	return true;
}

enum inbox_state
inbox_look(const struct inbox *in, uint32_t bytes_max, uint32_t *bytes)
{
	uint8_t length[LENGTH_BYTES];

	if (in->ready - in->base < LENGTH_BYTES)
		return INBOX_INCOMPLETE;
	for (uint32_t i = 0; i < LENGTH_BYTES; i++)
		length[i] = in->ring[(in->base + i) & (in->ring_bytes - 1)];
	*bytes = bytes_get_u32(length);
	if (*bytes > bytes_max)
		return INBOX_TOO_LARGE;
	if (in->ready - in->base - LENGTH_BYTES < *bytes)
		return INBOX_INCOMPLETE;
	return INBOX_MESSAGE;
}

const uint8_t *
inbox_lend(struct inbox *in, uint32_t bytes, uint8_t *scratch)
{
	must(in->lent_bytes == 0);
	in->lent_bytes = bytes + LENGTH_BYTES;
	size_t at = (in->base + LENGTH_BYTES) & (in->ring_bytes - 1);
	size_t head = in->ring_bytes - at;
	if (head >= bytes)
		return in->ring + at;
	memcpy(scratch, in->ring + at, head);
	memcpy(scratch + head, in->ring, bytes - head);
	return scratch;
}

void
inbox_consume(struct inbox *in)
{
	must(in->lent_bytes >= LENGTH_BYTES);
	in->base += in->lent_bytes;
	in->lent_bytes = 0;
	must(in->base <= in->ready);
}
