/*
 * wire/wire.h - all datagram sessions of one end, as one object.
 *
 *     wire_receive(w, from, datagram)      wire_next_event(w)    what came of it
 *     wire_send(w, session, stream, ...)   wire_next_packet(w)   what is to go out
 *     wire_tick(w, now)                    wire_timer_ns(w)      when to call next
 *
 * An end is a node (sessions to the other nodes and to members) or a member (a
 * few sessions to nodes). A session carries opaque messages on five streams.
 * While it lives, every message arrives once and in the order of its stream;
 * streams do not wait for each other. A session that closes loses what was in
 * flight: who sent it submits again, in the next session. Beside the streams goes
 * what its sender says again anyway, in newer words (wire_send_once()): it arrives
 * once or never, and nobody acknowledges it.
 *
 * Nothing here performs I/O, reads a clock, draws entropy, allocates after
 * wire_init(), locks or logs. Same calls, same answers, bit for bit.
 *
 * Sealed      With a crypto table every end has a static key, and every datagram of
 *             a session is sealed under keys that one handshake made
 *             (Noise_IKpsk2), is taken once, and says nothing to others but its
 *             header. A session opens only to a key that wire_keys() lists, for
 *             an identity that its entry allows. After three quarters of rekey_ns
 *             new keys are agreed inside the session, and the old ones still open
 *             what is under way; a session whose keys outlive rekey_ns closes.
 * Certificates  With a table of them, an end shows its own where the other demands it,
 *             inside the handshake: a node of members whose key is not listed, a member
 *             of every node. What is not found good opens no session and ends none.
 * In clear    Without a table. The tag's room then holds a checksum against
 *             corruption, not against forgery: a damaged datagram is dropped like
 *             a lost one, a forged one is believed.
 * Load        What an INIT costs is rationed when sealed: a few per millisecond
 *             from anywhere, beyond that only with a cookie, and then so many per
 *             address. Keys are renewed inside their session, out of reach of that.
 * Durability  A message may name a log position. It is in no datagram before
 *             wire_durable() has reached that position, and later messages of
 *             its stream wait behind it. `after_lsn` of a packet is the highest
 *             position that its messages, or earlier ones of their streams,
 *             named: never above what was reported.
 * Credits     A stream's receiver grants its sender bytes; unread messages use
 *             them up (wire_hold() leaves them unread). WIRE_PROGRESS needs no
 *             grant: what does not fit is dropped whole and sent again.
 * Priority    Datagrams fill in the order CONTROL, CONSENSUS, SUBMIT, PROGRESS,
 *             FEED; a stream passed over several times goes first once. FEED
 *             may use three quarters of the bytes in flight, CONTROL six. What is
 *             said once goes when CONSENSUS has nothing to send, or no leave to.
 * Acknowledgement  goes at once, with what is sent in the same call, where the last one
 *             that waited found nothing to ride on and no datagram came within
 *             ack_delay_ns before. Else it waits so long, or for a second datagram; or
 *             a quarter of rto_min_ns for a message that waits for the log.
 * Keepalive   An end that sent nothing for keepalive_ns says its last acknowledgement
 *             again, or half as much later where it has heard something since. If it
 *             heard nothing for keepalive_ns either, it sends PING, which is answered;
 *             also with what it sends anyway, where no answer is awaited.
 * Handshake   INIT, RESPONSE, CONFIRM; COOKIE when many are half open; SHOW in front
 *             of CONFIRM, where certificates are demanded. Until
 *             CONFIRM the responder holds an entry of a small fixed table, and
 *             never answers with more bytes than it received.
 * One session per peer identity (kind, node, uuid). A new process, or a later
 *             session of the same one, takes the old one's place and number:
 *             CLOSED, then OPENED. Two ends that connect to each other at once
 *             keep the session that the lower identity opened.
 * Epoch       Two ends of different epochs refuse each other. An end whose own
 *             epoch is zero does not know it yet and takes the peer's.
 * Units       `now_ns` is monotonic nanoseconds of any origin, never going
 *             back. LSNs are the log's. Byte counts are of messages, or of UDP
 *             payload where a datagram is meant.
 * Ownership   wire_send() copies. A message's `data` is valid until the next
 *             wire_next_event() or wire_receive(), a packet's until the next
 *             wire_next_packet().
 * Limits      everything is in wire_config; memory is the one block of
 *             wire_size() bytes.
 * Errors      What a peer sends may be anything: it is counted in wire_stats and
 *             dropped; a validated peer that breaks the protocol loses its
 *             session. What the caller gets wrong is a bug: the process stops.
 * Threads     one core owns a struct wire.
 */
#ifndef WIRE_WIRE_H
#define WIRE_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/certificates.h"
#include "base/crypto.h"
#include "base/endpoint.h"

#define WIRE_UUID_BYTES        16
#define WIRE_EPOCH_BYTES       16
#define WIRE_SLICES_MAX        4
#define WIRE_MESSAGE_BYTES_MAX (256 * 1024)
#define WIRE_SESSIONS_MAX      1024
#define WIRE_KEY_BYTES         CRYPTO_KEY_BYTES
#define WIRE_SLOTS(sessions)   (1 + 4 * (sessions)) /* of the crypto table */
#define WIRE_ONCE_BYTES_MAX    256

enum wire_stream {
	WIRE_CONTROL = 0,   /* views, own verdicts, handshakes of upper layers */
	WIRE_CONSENSUS = 1, /* node to node */
	WIRE_FEED = 2,      /* bulk: accepted transactions, catch-up */
	WIRE_PROGRESS = 3,  /* small reports, without credits */
	WIRE_SUBMIT = 4,    /* member to node */
	WIRE_STREAMS = 5,
};

enum wire_kind {
	WIRE_ANY = 0,
	WIRE_NODE = 1,
	WIRE_MEMBER = 2,
};

struct wire_identity {
	uint8_t kind;  /* enum wire_kind */
	uint32_t node; /* number of a node; 0 for a member */
	uint8_t uuid[WIRE_UUID_BYTES];
	uint64_t process; /* random, of this process or this START */
	uint8_t epoch[WIRE_EPOCH_BYTES];
	uint32_t version; /* of the protocol above; both ends must have the same */
	/* Sealed: the static public key. What it expects of a peer: zero stands for any
	 * listed key that may be that peer's. */
	uint8_t key[WIRE_KEY_BYTES];
};

/* A key that may open sessions, and whose they may be: zero stands for any. */
struct wire_key {
	uint8_t key[WIRE_KEY_BYTES];
	uint8_t kind;
	uint32_t node;
	uint8_t uuid[WIRE_UUID_BYTES];
};

/* A zero in a field with a default selects the default. */
struct wire_config {
	uint32_t sessions_max;
	uint32_t datagram_bytes_max; /* UDP payload, 512..65507, e.g. 1400 */
	uint32_t message_bytes_max;  /* <= WIRE_MESSAGE_BYTES_MAX */
	/* Per session and stream; powers of two (default 64 KiB). A message and
	 * its 4 bytes of length must fit the sender's and the receiver's. */
	uint32_t stream_send_bytes[WIRE_STREAMS];
	uint32_t stream_receive_bytes[WIRE_STREAMS]; /* the credit window */
	uint32_t in_flight_bytes_max;                /* per session; default 256 KiB */
	uint32_t half_open_max;                      /* handshakes at once; default 16 */
	uint64_t keepalive_ns;                       /* an idle session says so this often */
	uint64_t dead_after_ns;                      /* silence that closes; >= 2 * keepalive_ns */
	uint64_t connect_retry_ns; /* between INITs; eight times that once refused */
	uint64_t rto_min_ns;       /* retransmission timeout, at least; default 2 ms */
	uint64_t ack_delay_ns;     /* default 100 us */
	/* NULL: in clear, and what follows is not looked at. Its slots: at least
	 * WIRE_SLOTS(sessions_max), and nobody else's. */
	const struct crypto *crypto;
	uint8_t secret[WIRE_KEY_BYTES];
	uint8_t psk[WIRE_KEY_BYTES];             /* zeros: none */
	uint32_t keys_max;                       /* that wire_keys() may list; default 64 */
	const struct certificates *certificates; /* NULL: none, and none are accepted */
	uint64_t rekey_ns;                       /* default two minutes */
	uint64_t rekey_datagrams;                /* renewed after so many, too; default 2^32 */
	struct wire_identity self;               /* sealed: `key` is filled in */
};

struct wire_slice {
	const void *data;
	size_t bytes;
};

enum wire_event_kind {
	WIRE_OPENED = 1,  /* peer, endpoint */
	WIRE_MESSAGE = 2, /* stream, data, bytes */
	WIRE_CLOSED = 3,  /* reason; unread messages are gone */
	WIRE_ROOM = 4,    /* stream: what wire_send() refused would fit now */
	WIRE_REFUSED = 5, /* reason: to who called wire_connect(); retries go on */
	WIRE_HEARD = 6,   /* data, bytes: of wire_send_once() */
};

enum wire_reason {
	WIRE_REASON_NONE = 0,
	WIRE_REASON_SILENT = 1,   /* closed: nothing heard for dead_after_ns */
	WIRE_REASON_PEER = 2,     /* closed: the peer called wire_close() */
	WIRE_REASON_REPLACED = 3, /* closed: a later session of that identity */
	WIRE_REASON_PROTOCOL = 4, /* closed: a message larger than was agreed */
	WIRE_REASON_VERSION = 5,  /* refused */
	WIRE_REASON_EPOCH = 6,    /* refused */
	WIRE_REASON_IDENTITY = 7, /* refused: it is not whom the caller expected */
	WIRE_REASON_FULL = 8,     /* refused: the peer has no session left */
	WIRE_REASON_SEAL = 9,     /* refused: the peer wants sealed datagrams */
	WIRE_REASON_KEY = 10,     /* closed: the peer's key is not listed any more, or the
				   * session's own keys could not be renewed */
	/* Refused: the peer's verdict on our certificates, see base/certificates.h */
	WIRE_REASON_UNTRUSTED = 11,
	WIRE_REASON_EXPIRED = 12,
	WIRE_REASON_REVOKED = 13,
	WIRE_REASON_NAME = 14,
	WIRE_REASON_FORGED = 15,
	WIRE_REASON_NOT_SHOWN = 16, /* refused: the peer has no certificates to show */
	WIRE_REASON_NOT_GOOD = 17,  /* refused: we do not find the peer's good */
	WIRE_REASON_LAST = 17,
};

struct wire_event {
	enum wire_event_kind kind;
	int session;
	enum wire_stream stream;
	enum wire_reason reason;
	const uint8_t *data;
	uint32_t bytes;
	struct wire_identity peer;
	bool vouched; /* OPENED: by certificates, not by a listed key */
	struct endpoint endpoint;
};

struct wire_packet {
	struct endpoint to;
	const uint8_t *data;
	size_t bytes;
	uint64_t after_lsn;
};

/* Free-running counts since wire_init(). */
struct wire_stats {
	uint64_t packets_sent, packets_received, bytes_sent, bytes_received;
	uint64_t messages_sent, messages_delivered;
	uint64_t once_sent, once_heard;
	uint64_t send_too_large; /* more than wire_message_bytes_max() */
	uint64_t packets_lost, segments_resent, timeouts, window_cuts;
	uint64_t sessions_opened, sessions_closed, sessions_replaced;
	uint64_t handshakes_received, cookies_sent, refusals_sent, refusals_received;
	uint64_t drop_size;        /* shorter or longer than a datagram can be */
	uint64_t drop_checksum;    /* damaged on the way */
	uint64_t drop_malformed;   /* header or items do not decode */
	uint64_t drop_epoch;       /* of another epoch */
	uint64_t drop_unknown;     /* no session or handshake of that id */
	uint64_t drop_duplicate;   /* this counter was seen */
	uint64_t drop_old;         /* counter below the replay window */
	uint64_t drop_window;      /* stream bytes beyond what may be held */
	uint64_t drop_ack;         /* acknowledges what was never sent */
	uint64_t drop_handshake;   /* stale, forged, bad cookie, or ours goes first */
	uint64_t drop_reply_queue; /* no room for one more handshake reply */
	uint64_t drop_refusal;     /* refusals beyond their rate */
	uint64_t drop_forged;      /* sealed: its tag is none of ours or the peer's */
	uint64_t drop_clear;       /* sealed: came in clear */
	uint64_t drop_generation;  /* sealed: under a key that is not held any more, or yet */
	uint64_t drop_key;         /* sealed: by a key that is not listed, or not for that */
	uint64_t drop_load;        /* sealed: handshakes beyond their rate, cookie or not */
	uint64_t rekeys;           /* keys renewed, as either end */
	uint64_t stall_ns;         /* own lateness forgiven to peers, see wire_tick() */
	uint64_t other_versions;   /* handshakes with ends of another version, begun by either */
	uint32_t other_version;    /* of the last of them, and where it was */
	struct endpoint other_version_from;
	uint8_t unlisted[WIRE_KEY_BYTES]; /* the last key of drop_key, and where it was */
	struct endpoint unlisted_from;
	uint64_t certificates_refused;                 /* shown to us by members, and not good */
	enum certificates_verdict certificate_verdict; /* of the last, and where it was */
	struct endpoint certificate_from;
};

struct wire_session_status {
	bool open;
	bool initiator;
	struct wire_identity peer;
	struct endpoint endpoint;
	uint64_t rtt_ns, rtt_variance_ns, heard_ns;
	uint32_t in_flight_bytes, window_bytes;
	uint64_t unsent_bytes[WIRE_STREAMS]; /* in the send buffer, never sent */
};

struct wire;

size_t wire_size(const struct wire_config *config);
struct wire *wire_init(void *memory, const struct wire_config *config);

/* Opens a session to `to` and keeps at it, through refusals and whenever it
 * closes, until wire_close(). `expected` names kind, node and uuid, zero or
 * NULL standing for any. Returns the session's number, below sessions_max, or
 * -1 where none is free. A session from that same identity that comes in
 * meanwhile takes this number; where one is open already, it is that one's, and
 * no second WIRE_OPENED comes. */
int wire_connect(struct wire *w, const struct endpoint *to, const struct wire_identity *expected,
		 uint64_t now_ns);

/* Ends a session and its wire_connect(). No event comes for it any more, and
 * the peer is told in one datagram. The number may be used again at once. */
void wire_close(struct wire *w, int session);

void wire_receive(struct wire *w, const struct endpoint *from, const uint8_t *data, size_t bytes,
		  uint64_t now_ns);

/* Entropy, as an input: connection ids, cookies and keys come of it. Give at least 32
 * bytes before the first call that connects or receives. */
void wire_random(struct wire *w, const uint8_t *bytes, size_t n);

/* Sealed: who may open sessions, in place of whatever was listed before. Open
 * sessions of keys that are gone, or not allowed that identity any more, close.
 * At most keys_max. */
void wire_keys(struct wire *w, const struct wire_key *keys, uint32_t count);

/* Sealed: another static key from now on. The one `before` it still answers who knows no other,
 * and is tried where the new one is not answered; NULL: there is none. Sessions of a key that is
 * neither close; those of one that is either go on. */
void wire_secrets(struct wire *w, const uint8_t secret[WIRE_KEY_BYTES], const uint8_t *before);

/* Sealed, and configured with certificates: others in their place, which demand and accept
 * as those did. Sessions that certificates opened close, and open by the new ones. */
void wire_certificates(struct wire *w, const struct certificates *certificates);

/* Everything below `lsn` is on disk now. Never goes back. */
void wire_durable(struct wire *w, uint64_t lsn);

/* One message, gathered from up to WIRE_SLICES_MAX slices. False: there is no
 * room (WIRE_ROOM follows), or the session is not open to the caller yet (its
 * WIRE_OPENED was not read), or is no more. */
bool wire_send(struct wire *w, int session, enum wire_stream stream,
	       const struct wire_slice *slices, uint32_t slice_count, uint64_t after_lsn);

/* One message of at most WIRE_ONCE_BYTES_MAX that may be lost: behind what this call
 * of the caller gives to CONSENSUS, and apart from all streams. It names no log position.
 * False: the session is not open, as above, or nearly a datagram of them waits. What the
 * peer has not read when its next datagram comes is lost as well. */
bool wire_send_once(struct wire *w, int session, const struct wire_slice *slices,
		    uint32_t slice_count);

/* The largest message that `stream` of this open session can carry: less than
 * message_bytes_max where a buffer at either end is small. */
uint32_t wire_message_bytes_max(const struct wire *w, int session, enum wire_stream stream);

/* Whatever was sent on it has arrived. */
bool wire_is_idle(const struct wire *w, int session, enum wire_stream stream);

/* Leaves the messages of a stream unread (hold) until it is called with false:
 * credits then stop the sender. A new session begins with nothing held. */
void wire_hold(struct wire *w, int session, enum wire_stream stream, bool hold);

bool wire_next_event(struct wire *w, struct wire_event *event);
bool wire_next_packet(struct wire *w, struct wire_packet *packet, uint64_t now_ns);

/* When wire_tick() is next due; UINT64_MAX: not before another call. */
uint64_t wire_timer_ns(const struct wire *w);

/* Runs the timers. A process that comes late by half of dead_after_ns or more
 * was stalled itself: that time does not count as its peers' silence. */
void wire_tick(struct wire *w, uint64_t now_ns);

const struct wire_stats *wire_stats(const struct wire *w);
void wire_session_status(const struct wire *w, int session, struct wire_session_status *out);

#endif /* WIRE_WIRE_H */
