/*
 * wire/outbox.h - the sending end of one stream.
 *
 * Bytes stand in a ring from `base` to `end`, counted since the session began:
 *
 *     base      what the peer acknowledged without a gap, up to here, is gone
 *     next      sent once at least, up to here
 *     open      may be sent: every message up to here is durable enough
 *     end       written
 *
 * What was sent is cut into segments whose borders never change: a segment that
 * is lost is sent again as it was, in a datagram of its own number. So an
 * acknowledgement of a datagram settles whole segments, and nothing has to be
 * found by offset.
 *
 * A gate says up to which byte a log position holds the stream back. Positions
 * need not rise from message to message; the stream is first in, first out, so
 * a lower one behind a higher one waits for the higher and needs no gate of its
 * own. With all gates in use the last one takes the highest position: later
 * than necessary, never too early.
 *
 * Ownership  ring and segments lie in the memory of struct wire.
 * Limits     OUTBOX_SEGMENTS segments on the way, OUTBOX_GATES gates.
 * Threads    the owner's.
 */
#ifndef WIRE_OUTBOX_H
#define WIRE_OUTBOX_H

#include "wire/wire.h"

#define OUTBOX_SEGMENTS 512 /* power of two */
#define OUTBOX_GATES    32  /* power of two */

enum segment_state {
	SEGMENT_FLYING = 1,
	SEGMENT_LOST = 2,
	SEGMENT_ARRIVED = 3,
};

struct segment {
	uint64_t offset;
	uint64_t after_lsn;
	uint16_t bytes;
	uint8_t state;
};

struct gate {
	uint64_t end;
	uint64_t lsn;
};

struct outbox {
	uint8_t *ring;
	uint32_t ring_bytes; /* power of two */
	uint64_t base, next, open, end;
	uint64_t credit;   /* the peer takes bytes below this offset */
	uint64_t open_lsn; /* highest position named below `open` */
	struct segment *segments;
	uint32_t segment_first, segment_end; /* free-running */
	uint32_t lost_count;
	uint32_t lost_from; /* no segment below this one is lost */
	uint32_t gate_first, gate_end;
	uint32_t wanted_bytes; /* of the message that found no room; 0: none */
	uint32_t passed_over;  /* datagrams that left without this stream */
	struct gate gates[OUTBOX_GATES];
};

void outbox_reset(struct outbox *o, uint64_t credit);
bool outbox_write(struct outbox *o, const struct wire_slice *slices, uint32_t slice_count,
		  uint32_t bytes);
void outbox_gate(struct outbox *o, uint64_t after_lsn, uint64_t durable_lsn);
/* Returns whether a gate opened. */
bool outbox_durable(struct outbox *o, uint64_t durable_lsn);

/* Some of it waits for the log. */
static inline bool
outbox_gated(const struct outbox *o)
{
	return o->gate_first != o->gate_end;
}

/* Bytes never sent that gates and credit let go. */
static inline uint64_t
outbox_sendable(const struct outbox *o)
{
	uint64_t limit = o->open < o->credit ? o->open : o->credit;
	return limit > o->next ? limit - o->next : 0;
}

static inline bool
outbox_segments_full(const struct outbox *o)
{
	return o->segment_end - o->segment_first == OUTBOX_SEGMENTS;
}

static inline bool
outbox_has_work(const struct outbox *o)
{
	return o->lost_count > 0 || (outbox_sendable(o) > 0 && !outbox_segments_full(o));
}

static inline struct segment *
outbox_segment(const struct outbox *o, uint32_t number)
{
	return &o->segments[number & (OUTBOX_SEGMENTS - 1)];
}

/* The oldest lost segment; there must be one. */
uint32_t outbox_lost(struct outbox *o);
/* A new segment of at most `bytes_max`; something must be sendable. */
uint32_t outbox_cut(struct outbox *o, uint32_t bytes_max);
void outbox_resent(struct outbox *o, uint32_t number);
void outbox_copy(const struct outbox *o, uint32_t number, uint8_t *out);
void outbox_arrived(struct outbox *o, uint32_t number);
void outbox_lose(struct outbox *o, uint32_t number);

#endif /* WIRE_OUTBOX_H */
