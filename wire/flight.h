/*
 * wire/flight.h - what one session has on the way, and what it received.
 *
 * `flight`  the datagrams sent and not yet settled, by counter. One leaves as
 *           acknowledged or as lost: when three later ones were acknowledged,
 *           when a later one was and the time of reordering is over, or when
 *           the retransmission timeout is (RFC 6298; times of datagrams, never
 *           of bytes, so that a retransmission is no ambiguous sample).
 *           The window halves on loss, once per round trip, and grows back by
 *           four datagrams per round trip.
 * `receipt` which counters came: the replay window and the source of ACK.
 *
 * Units      times are nanoseconds.
 * Limits     FLIGHT_PACKETS datagrams on the way; the replay window is twice
 *            that, as acknowledgements use counters too.
 * Threads    the owner's.
 */
#ifndef WIRE_FLIGHT_H
#define WIRE_FLIGHT_H

#include "wire/format.h"
#include "wire/outbox.h"

#define FLIGHT_PACKETS  512  /* power of two */
#define FLIGHT_SEGMENTS 8    /* per datagram */
#define REPEAT_PING     0x80 /* beside a bit per stream, for its grant */
#define REPEAT_REKEY    0x40
#define RECEIPT_BITS    1024
#define RECEIPT_WORDS   (RECEIPT_BITS / 64)

enum sent_state {
	SENT_FLYING = 1,
	SENT_SETTLED = 2,
};

struct sent {
	uint64_t counter;
	uint64_t sent_ns;
	uint32_t bytes;
	uint8_t state;
	uint8_t segment_count;
	uint8_t repeat; /* what a loss makes due again, see REPEAT_PING */
	uint8_t stream[FLIGHT_SEGMENTS];
	uint32_t segment[FLIGHT_SEGMENTS];
};

struct flight {
	struct sent *packets;
	uint32_t first, end; /* free-running */
	uint64_t next_counter;
	uint64_t acked_max; /* highest counter acknowledged, valid when any_acked */
	bool any_acked;
	bool sampled; /* rtt_ns is a measure */
	uint32_t flying_bytes;
	uint32_t window_bytes, window_bytes_max, window_bytes_min;
	uint64_t rtt_ns, rtt_variance_ns;
	uint64_t rto_min_ns, rto_max_ns;
	uint32_t backoff;        /* timeouts in a row */
	uint64_t cut_ns;         /* when the window was halved last */
	uint64_t reorder_due_ns; /* UINT64_MAX: nothing is overdue */
};

struct receipt {
	uint64_t newest; /* highest counter received; counters begin at 1 */
	uint64_t newest_ns;
	uint64_t seen[RECEIPT_WORDS]; /* bit counter % RECEIPT_BITS */
	uint32_t unacked;             /* received since the last ACK that ask for one */
	uint64_t ack_due_ns;          /* UINT64_MAX: none */
};

struct flight_config {
	uint32_t window_bytes_max;
	uint32_t datagram_bytes;
	uint64_t rto_min_ns;
	uint64_t rto_max_ns;
};

void flight_reset(struct flight *f, const struct flight_config *config);
void flight_sample(struct flight *f, uint64_t rtt_ns);

static inline bool
flight_full(const struct flight *f)
{
	return f->end - f->first == FLIGHT_PACKETS;
}

static inline struct sent *
flight_packet(const struct flight *f, uint32_t number)
{
	return &f->packets[number & (FLIGHT_PACKETS - 1)];
}

/* Room for one more datagram that asks for an acknowledgement. */
struct sent *flight_add(struct flight *f, uint64_t counter, uint64_t now_ns);

/* What settling touches beyond the flight itself. */
struct flight_owner {
	struct outbox *outboxes; /* WIRE_STREAMS of them */
	uint8_t *repeat_due;
	struct wire_stats *stats;
};

/* False: it acknowledges what was never sent. */
bool flight_ack(struct flight *f, const struct flight_owner *owner, const struct ack *ack,
		uint64_t now_ns);
void flight_tick(struct flight *f, const struct flight_owner *owner, uint64_t now_ns);
uint64_t flight_due_ns(const struct flight *f);

enum receipt_verdict {
	RECEIPT_NEW = 0,
	RECEIPT_DUPLICATE = 1,
	RECEIPT_OLD = 2,
};

void receipt_reset(struct receipt *r);
enum receipt_verdict receipt_check(const struct receipt *r, uint64_t counter);
/* Returns whether it opened or filled a gap. */
bool receipt_add(struct receipt *r, uint64_t counter, uint64_t now_ns);
/* False: nothing was received yet. */
bool receipt_ack(const struct receipt *r, uint64_t now_ns, struct ack *ack);

#endif /* WIRE_FLIGHT_H */
