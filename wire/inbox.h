/*
 * wire/inbox.h - the receiving end of one stream.
 *
 * A ring of the bytes from `base`, what the reader has consumed, to at most
 * `base + ring_bytes`. Up to `ready` they are complete; above it lie the spans
 * that came early. Bytes below `ready` are never written again, so that what a
 * peer repeats cannot change a message under its reader.
 *
 * Limits     INBOX_SPANS spans above a gap. What needs one more, or lies beyond
 *            the ring, is not held: the datagram counts as never received and
 *            comes again.
 * Ownership  the ring lies in the memory of struct wire.
 * Threads    the owner's.
 */
#ifndef WIRE_INBOX_H
#define WIRE_INBOX_H

#include "wire/wire.h"

#define INBOX_SPANS 64

struct span {
	uint64_t first;
	uint64_t end;
};

struct inbox {
	uint8_t *ring;
	uint32_t ring_bytes; /* power of two */
	uint32_t span_count;
	uint64_t base, ready;
	uint64_t granted;    /* the limit told to the sender last */
	uint32_t lent_bytes; /* of the message now with the caller, length included */
	bool held;
	struct span spans[INBOX_SPANS]; /* ascending, apart, above `ready` */
};

enum inbox_state {
	INBOX_INCOMPLETE = 0,
	INBOX_MESSAGE = 1,
	INBOX_TOO_LARGE = 2,
};

void inbox_reset(struct inbox *in);
bool inbox_put(struct inbox *in, uint64_t offset, const uint8_t *data, uint32_t bytes);
enum inbox_state inbox_look(const struct inbox *in, uint32_t bytes_max, uint32_t *bytes);
/* The message of inbox_look() in one piece: in the ring, or in `scratch` where
 * the ring's end cuts it. Lent until inbox_consume(). */
const uint8_t *inbox_lend(struct inbox *in, uint32_t bytes, uint8_t *scratch);
void inbox_consume(struct inbox *in);

static inline uint64_t
inbox_limit(const struct inbox *in)
{
	return in->base + in->ring_bytes;
}

/* A new grant is worth its bytes once a quarter of the ring came free. */
static inline bool
inbox_grant_due(const struct inbox *in)
{
	return inbox_limit(in) - in->granted >= in->ring_bytes / 4;
}

#endif /* WIRE_INBOX_H */
