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
#include "wire/noise.h"
#include "wire/outbox.h"
#include "wire/replay.h"
#include "wire/siphash.h"
#include "wire/wire.h"

#define REPLIES                32 /* power of two */
#define REPLY_BYTES_MAX        (DATAGRAM_FRAME_BYTES + SHOW_BODY_BYTES)
#define REFUSE_EVERY_NS        200000
#define CONNECT_SLOW           8 /* times connect_retry_ns, once refused */
#define CONNECT_RACE_MAX       3 /* INITs of ours that silence a higher identity's */
#define PASSED_OVER_MAX        8
#define ONCE_BYTES             1024 /* waiting in a session */
#define ONCE_LENGTH_BYTES      2    /* in front of one that was heard */
#define COOKIE_LIFE_NS         8000000000u
#define ENTROPY_BYTES_MIN      32
#define ADDRESS_BUCKETS        64 /* power of two */
#define INIT_MESSAGE_BYTES     (HELLO_PRIVATE_BYTES + INIT_NOISE_BYTES)
#define RESPONSE_MESSAGE_BYTES (HELLO_PRIVATE_BYTES + RESPONSE_NOISE_BYTES)

enum session_state {
	SESSION_FREE = 0,
	SESSION_CONNECTING = 1,
	SESSION_OPEN = 2,
};

/*
 * The keys of a session. A generation of keys has a slot to send and one to
 * receive by its lowest bit, so that the next one can be agreed and the last one
 * still open what is late. Counters go on through all generations.
 *
 *     initiator                       responder
 *     REKEY g + 1 (g)       ------->  receives g + 1 and g, sends g
 *     receives both,        <-------  REKEY g + 1 (g)
 *     sends g + 1
 *     anything (g + 1)      ------->  sends g + 1
 *
 * The responder sends under g until it heard g + 1: before that the initiator may
 * not have the answer, and could open nothing.
 */
struct seal {
	uint8_t send_generation;
	uint8_t open_generation[2]; /* by parity; 0: none */
	uint64_t since_ns;          /* of send_generation, and the counters it began at */
	uint64_t since_sent, since_taken;
	uint64_t retire_ns;            /* when the last generation goes; UINT64_MAX: it went */
	uint8_t hash[NOISE_KEY_BYTES]; /* of the last handshake: the next is bound to it */
	/* The handshake under way: INIT's while connecting, REKEY's while open. */
	struct noise noise;
	bool under_way;
	uint8_t generation;                  /* REKEY: of `message` */
	uint32_t message_bytes;              /* REKEY: 0 once nobody waits for it */
	uint8_t message[INIT_MESSAGE_BYTES]; /* sent again as it is */
	uint8_t mac[NOISE_KEY_BYTES];        /* of the peer that INIT went to */
};

/* What two ends show each other between RESPONSE and CONFIRM; see wire/show.c. */
struct show {
	bool under_way;
	bool demanded;           /* of the peer */
	bool good;               /* what it showed */
	enum wire_reason reason; /* why it is not */
	uint32_t own_bytes;      /* that we show: 0 unless the peer demands it */
	uint32_t peer_held;      /* of these */
	uint32_t bytes, held;    /* that it shows, 0 before it says; of these, in `data` */
	uint64_t counter;        /* of the last SHOW sent */
	uint8_t *data;           /* CERTIFICATES_BYTES_MAX, where certificates may be demanded */
};

/* And what the initiator keeps meanwhile of the RESPONSE. */
struct shower {
	struct show show;
	struct hello hello;
	struct endpoint from;
	uint64_t rtt_ns, until_ns;
	struct noise_keys keys;
	uint8_t hash[NOISE_KEY_BYTES];
};

struct session {
	enum session_state state;
	bool connector;
	bool initiator; /* of the open session */
	bool confirmed; /* heard the peer under this session's id */
	bool opened_untold;
	enum wire_reason closed_untold, refused_untold;
	uint8_t own; /* sealed: which of w->own this session, or the INIT under way, is of */
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
	struct shower shower;

	/* Open. */
	bool vouched; /* the peer's key is not listed: its certificates were good */
	uint8_t epoch[WIRE_EPOCH_BYTES];
	uint32_t datagram_bytes; /* what both ends take */
	uint32_t message_bytes[WIRE_STREAMS];
	uint64_t heard_ns, sent_ns;
	bool ack_now;
	bool ack_lone;      /* at once, unless something for the peer waits for the log */
	bool ack_waits;     /* the last one that waited had something to ride on */
	uint64_t asked_ns;  /* when the peer sent last what asks for one */
	uint8_t repeat_due; /* REPEAT_PING, and a bit per stream whose grant is due */
	uint8_t room_due;   /* bit per stream: WIRE_ROOM to be told */
	uint8_t inbox_due;  /* bit per stream that may hold a message: most streams hold none */
	uint32_t once_bytes;
	uint8_t *once; /* items of wire_send_once(), as they go out */
	struct flight flight;
	struct receipt receipt;
	struct replay replay;
	struct seal seal;
	struct outbox outbox[WIRE_STREAMS];
	struct inbox inbox[WIRE_STREAMS];
};

/* A responder's whole memory of a handshake before CONFIRM. */
struct half_open {
	bool used;
	struct endpoint from;
	struct hello hello;
	uint32_t own_id;
	uint8_t own; /* sealed: as a session's */
	uint64_t answered_ns;
	/* Sealed. An INIT that comes again gets the same answer: the initiator may
	 * have taken the first one. */
	uint8_t ephemeral[NOISE_KEY_BYTES]; /* of that INIT */
	uint8_t message[RESPONSE_MESSAGE_BYTES];
	struct noise_keys keys;
	uint8_t hash[NOISE_KEY_BYTES];
	struct show show;
};

/* A static key of our own; `mac` is that of datagrams of a handshake which it answers. */
struct own_key {
	bool held;
	uint8_t secret[NOISE_KEY_BYTES], public[NOISE_KEY_BYTES], mac[NOISE_KEY_BYTES];
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
	uint32_t heard_session; /* of the last datagram that held messages said once */
	uint32_t heard_at, heard_bytes;
	uint64_t durable_lsn;
	uint64_t now_ns; /* the latest told */
	uint64_t refuse_due_ns;
	uint8_t secret[SIPHASH_KEY_BYTES];
	uint64_t drawn;
	size_t entropy_bytes;
	uint8_t pool[NOISE_KEY_BYTES]; /* sealed: of which keys are drawn */
	struct own_key own[2];         /* sealed: of now, and before */
	uint8_t own_now;
	uint8_t own_asked; /* the one that the INIT which is being received is for */
	struct wire_key *keys;
	uint32_t key_count;
	uint64_t hello_due_ns; /* see seal_hello_free() */
	uint64_t address_due_ns[ADDRESS_BUCKETS];
	uint32_t reply_first, reply_end; /* free-running */
	struct wire_stats stats;
	uint8_t *scratch; /* one message */
	uint8_t *packet;  /* the datagram that wire_next_packet() lends */
	uint8_t *opened;  /* the body of the datagram that is being received */
	uint8_t *heard;   /* messages said once and not read yet, each behind its length */
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

static inline bool
bit_is_set(const uint64_t *bits, uint32_t n)
{
	return bits[n / 64] >> n % 64 & 1;
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
	bool vouched;
	uint8_t own;
	uint64_t rtt_ns;
	const struct noise_keys *keys; /* sealed, and the handshake's hash */
	const uint8_t *hash;
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
void packet_close(struct wire *w, struct session *s, enum wire_reason reason);

/* handshake.c */
/* The open session with whom wire_connect() means, or NULL. */
struct session *handshake_done(struct wire *w, const struct endpoint *to,
			       const struct wire_identity *expected);
void handshake_start(struct wire *w, struct session *s);
void handshake_receive(struct wire *w, const struct endpoint *from, const struct datagram *d);
/* An end that is to be sealed was sent this. */
void handshake_in_clear(struct wire *w, const struct endpoint *from, const struct datagram *d);
/* The peer, to whom this session was open already, has no place for it. */
void handshake_too_late(struct wire *w, struct session *s);
/* The peer answered, and there is nothing more to show. */
void handshake_complete(struct wire *w, struct session *s, const struct session_terms *terms);
void handshake_refused(struct wire *w, struct session *s, enum wire_reason reason);
void handshake_forget(struct wire *w, struct half_open *h);
void handshake_tick(struct wire *w);
uint64_t handshake_due_ns(const struct wire *w);

/* show.c */
uint32_t show_bytes(const struct wire *w); /* that we can show */
bool show_demanded(const struct wire *w);  /* of ends that we connect to */
bool show_in_place_of_key(const struct wire *w, const struct hello *hello);
void show_start(const struct wire *w, struct show *show, uint8_t peer_flags, bool demanded);
/* The initiator's part, behind a RESPONSE with these terms. */
void show_begin(struct wire *w, struct session *s, const struct session_terms *terms);
/* The last SHOW anew; false: there is none under way, or not any more. */
bool show_again(struct wire *w, struct session *s);
void show_receive(struct wire *w, const struct datagram *d);

/* seal.c */
static inline bool
sealed(const struct wire *w)
{
	return w->config.crypto != NULL;
}

void seal_start(struct wire *w);
void seal_mix(struct wire *w, const uint8_t *bytes, size_t n);
/* The handshake of a session or of its next keys; `peer` is the responder's key for who
 * begins, else NULL. */
struct seal_ends {
	const struct own_key *own;
	const uint8_t *peer;
};

void seal_noise(struct wire *w, struct noise *n, struct crypto_slice prologue,
		const struct seal_ends *ends);
/* The tag of a handshake's datagram whose header and body stand there. */
void seal_put_mac(const uint8_t mac[NOISE_KEY_BYTES], uint8_t *data, size_t bytes);
bool seal_mac_fits(const uint8_t mac[NOISE_KEY_BYTES], const struct datagram *d);
bool seal_key_allowed(const struct wire *w, const struct wire_identity *who);
/* Whether the agreements of an INIT may be computed: from anybody, and from an
 * address that showed a cookie. */
bool seal_hello_free(struct wire *w);
bool seal_address_free(struct wire *w, const struct endpoint *from);
/* INIT's message in s->seal; false where no key is listed that could be the peer's. */
bool seal_write_init(struct wire *w, struct session *s, const struct hello *hello);
bool seal_read_init(struct wire *w, const struct datagram *d, struct noise *n, struct hello *hello);
bool seal_write_response(struct noise *n, const struct hello *answer,
			 uint8_t out[RESPONSE_MESSAGE_BYTES]);
bool seal_read_response(struct wire *w, struct session *s, const struct datagram *d,
			struct hello *hello);
/* Header, sealed body, tag; the body stands at `out + 32`. Returns the size. */
size_t seal_datagram(struct wire *w, const struct session *s, struct datagram *d, uint8_t *out,
		     size_t body_bytes);
/* Under keys that no slot holds: those of a handshake. */
size_t seal_half_open(struct wire *w, const struct noise_keys *keys, struct datagram *d,
		      uint8_t *out, size_t body_bytes);
/* Opens the body into w->opened, to which `d` then points. False counts. */
bool seal_open(struct wire *w, const struct session *s, struct datagram *d);
bool seal_open_half(struct wire *w, const struct noise_keys *keys, struct datagram *d);

/* Both keys of a generation, into its slots; or zeros. */
void seal_take_keys(struct wire *w, struct session *s, uint8_t generation,
		    const struct noise_keys *keys);
void seal_drop_keys(struct wire *w, struct session *s, uint8_t generation);

/* rekey.c */
void rekey_begin(struct wire *w, struct session *s, const struct session_terms *terms);
void rekey_end(struct wire *w, struct session *s);
void rekey_tick(struct wire *w, struct session *s);
uint64_t rekey_due_ns(const struct wire *w, const struct session *s);
/* A datagram of this generation opened. */
void rekey_heard(struct wire *w, struct session *s, uint8_t generation);
void rekey_receive(struct wire *w, struct session *s, const struct wire_item *item);

/* wire.c */
uint32_t wire_id_take(struct wire *w, uint32_t owner);
void wire_id_give(struct wire *w, uint32_t id);
struct id_entry *wire_id_find(struct wire *w, uint32_t id);
uint64_t wire_draw(struct wire *w);
/* The next free reply, or NULL (counted). */
struct reply *wire_reply(struct wire *w, const struct endpoint *to);

#endif /* WIRE_SESSION_H */
