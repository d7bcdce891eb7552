/*
 * wire/session.h - the inside of struct wire, shared by the files of wire/.
 *
 * A slot of the session table is free, connecting, or open. A slot that
 * wire_connect() took (`connector`) goes back to connecting when its session
 * closes, any other becomes free once the caller has read WIRE_CLOSED: until then
 * its number must not mean another peer.
 *
 *     free --wire_connect--> connecting --RESPONSE--> open --close--> connecting
 *     free ------------------CONFIRM----------------> open --close--> free
 *
 * Connection ids are random but for their low bits, which are the place in
 * `ids`: one look tells who is meant.
 */
#ifndef WIRE_SESSION_H
#define WIRE_SESSION_H

#include "wire/flight.h"
#include "wire/format.h"
#include "wire/inbox.h"
#include "wire/outbox.h"
#include "wire/siphash.h"
#include "wire/wire.h"

#define REPLIES           32 /* power of two */
#define REPLY_BYTES_MAX   (DATAGRAM_FRAME_BYTES + HELLO_BYTES)
#define REFUSE_EVERY_NS   200000
#define CONNECT_SLOW      8 /* times connect_retry_ns, once refused */
#define CONNECT_RACE_MAX  3 /* INITs of ours that silence a higher identity's */
#define PASSED_OVER_MAX   8
#define COOKIE_LIFE_NS    8000000000u
#define ENTROPY_BYTES_MIN 32

enum session_state {
	SESSION_FREE = 0,
	SESSION_CONNECTING = 1,
	SESSION_OPEN = 2,
};

struct session {
	enum session_state state;
	bool connector;
	bool initiator; /* of the open session */
	bool confirmed; /* heard the peer under this session's id */
	bool opened_untold;
	enum wire_reason closed_untold, refused_untold;
	struct endpoint peer_endpoint;
	struct wire_identity peer, closed_peer;
	uint32_t own_id, peer_id;

	/* Connecting. */
	struct endpoint connect_to;
	struct wire_identity expected;
	uint8_t cookie[COOKIE_BYTES];
	uint64_t init_first_ns, init_last_ns, init_due_ns;
	uint32_t init_count;
	bool slow;

	/* Open. */
	uint8_t epoch[WIRE_EPOCH_BYTES];
	uint32_t datagram_bytes; /* what both ends take */
	uint32_t message_bytes[WIRE_STREAMS];
	uint64_t heard_ns, sent_ns;
	bool ack_now;
	uint8_t repeat_due; /* REPEAT_PING, and a bit per stream whose grant is due */
	uint8_t room_due;   /* bit per stream: WIRE_ROOM to be told */
	struct flight flight;
	struct receipt receipt;
	struct outbox outbox[WIRE_STREAMS];
	struct inbox inbox[WIRE_STREAMS];
};

/* A responder's whole memory of a handshake before CONFIRM. */
struct half_open {
	bool used;
	struct endpoint from;
	struct hello hello;
	uint32_t own_id;
	uint64_t answered_ns;
};

struct id_entry {
	uint32_t id;    /* 0: free */
	uint32_t owner; /* a session, or sessions_max + a half-open handshake */
};

struct reply {
	struct endpoint to;
	uint32_t bytes;
	uint8_t data[REPLY_BYTES_MAX];
};

struct wire {
	struct wire_config config;
	struct session *sessions;
	struct half_open *half_open;
	struct id_entry *ids;
	uint32_t id_mask;
	uint32_t half_open_count;
	uint64_t *due_ns;  /* per session; UINT64_MAX: nothing */
	uint64_t *to_send; /* bit per session that may have something to send */
	uint64_t *to_tell; /* bit per session that may have an event */
	uint64_t *gated;   /* bit per session that may have a gate shut */
	uint32_t send_cursor, tell_cursor;
	uint32_t closings; /* sessions with a WIRE_CLOSED to be told */
	int lent_session;  /* whose message is with the caller; -1: none */
	enum wire_stream lent_stream;
	uint64_t durable_lsn;
	uint64_t now_ns; /* the latest told */
	uint64_t refuse_due_ns;
	uint8_t secret[SIPHASH_KEY_BYTES];
	uint64_t drawn;
	size_t entropy_bytes;
	uint32_t reply_first, reply_end; /* free-running */
	struct wire_stats stats;
	uint8_t *scratch; /* one message */
	uint8_t *packet;  /* the datagram that wire_next_packet() lends */
	struct reply replies[REPLIES];
};

static inline uint32_t
session_number(const struct wire *w, const struct session *s)
{
	return (uint32_t)(s - w->sessions);
}

static inline void
bit_set(uint64_t *bits, uint32_t n)
{
	bits[n / 64] |= (uint64_t)1 << n % 64;
}

static inline void
bit_clear(uint64_t *bits, uint32_t n)
{
	bits[n / 64] &= ~((uint64_t)1 << n % 64);
}

static inline bool
identity_same(const struct wire_identity *a, const struct wire_identity *b)
{
	return a->kind == b->kind && a->node == b->node &&
	       memcmp(a->uuid, b->uuid, WIRE_UUID_BYTES) == 0;
}

/* Streams, most urgent first: in datagrams and in events. */
extern const enum wire_stream wire_priority[WIRE_STREAMS];

/* session.c */
struct session_terms {
	const struct hello *hello; /* the peer's */
	const struct endpoint *endpoint;
	bool initiator;
	uint64_t rtt_ns;
};

void session_open(struct wire *w, struct session *s, const struct session_terms *terms);
/* Ends an open session; `tell` sends the peer a CLOSE. A connector tries anew. */
void session_close(struct wire *w, struct session *s, enum wire_reason reason, bool tell);
void session_receive(struct wire *w, struct session *s, const struct endpoint *from,
		     const struct datagram *d);
void session_tick(struct wire *w, struct session *s);
void session_schedule(struct wire *w, struct session *s);
void session_connect_again(struct wire *w, struct session *s, uint64_t at_ns);

/* packet.c */
bool packet_build(struct wire *w, struct session *s, struct wire_packet *packet);
void packet_close(struct wire *w, const struct session *s, enum wire_reason reason);

/* handshake.c */
/* The open session with whom wire_connect() means, or NULL. */
struct session *handshake_done(struct wire *w, const struct endpoint *to,
			       const struct wire_identity *expected);
void handshake_start(struct wire *w, struct session *s);
void handshake_receive(struct wire *w, const struct endpoint *from, const struct datagram *d);
void handshake_tick(struct wire *w);
uint64_t handshake_due_ns(const struct wire *w);

/* wire.c */
uint32_t wire_id_take(struct wire *w, uint32_t owner);
void wire_id_give(struct wire *w, uint32_t id);
struct id_entry *wire_id_find(struct wire *w, uint32_t id);
uint64_t wire_draw(struct wire *w);
/* The next free reply, or NULL (counted). */
struct reply *wire_reply(struct wire *w, const struct endpoint *to);

#endif /* WIRE_SESSION_H */
