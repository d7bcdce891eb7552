/*
 * wire/format.h - the bytes of a datagram.
 *
 * Little-endian, no padding, reserved bytes are zero and are checked:
 *
 *     offset bytes
 *          0     1  type         enum wire_datagram
 *          1     1  generation   of the session's keys, 1..GENERATION_MAX and around;
 *                                1 in a sealed handshake; 0: in clear
 *          2     2  reserved
 *          4     4  key id       the receiver's connection id; INIT: 0
 *          8     8  counter      CONFIRM, DATA: never reused in a session (it is
 *                                the nonce of sealing); others: 0
 *         16    16  epoch        zero: the sender does not know it yet
 *         32        body
 *     n - 16    16  tag          CONFIRM, DATA: of AES-256-GCM over the body, which is
 *                                hidden, and the header, which is not. Others: two
 *                                SipHashes under a key made of the responder's public
 *                                key, which never goes over the wire in clear. In clear: 8 bytes of
 *                                XXH3-64 over header and body, 8 zero: against
 *                                corruption, not against forgery
 *
 * INIT and RESPONSE have one body, a head that everybody may read and a part that
 * is for the peer alone:
 *
 *          0     4  version      it, connection and time keep their places in
 *                                every version to come: a refusal needs them
 *          4     8  reserved
 *         12     4  connection   id under which the sender wants to be addressed
 *         16    16  cookie       INIT: as given by COOKIE, else zero
 *         32     8  reserved
 *         40     8  time         INIT: the initiator's clock; RESPONSE: echoed
 *         48   108  private, in clear; sealed: Noise's message with it as payload
 *        156    96  zero, in clear: the room of that message. A sealed RESPONSE
 *                   ends behind its message, and so is smaller than the INIT
 *
 *          0     1  kind         3 reserved
 *          4     4  node
 *          8    16  uuid
 *         24     8  process
 *         32     1  expected kind, 3 reserved, 4 node, 16 uuid; zero: any
 *         56    20  window       bytes of each stream that the sender may hold
 *         76     4  largest datagram that the sender takes
 *         80     4  largest message that the sender takes
 *         84     4  connection   as above
 *         88     1  reason       RESPONSE: why there will be no session
 *         89     1  certificates enum hello_certificates; 2 reserved
 *         92    16  epoch        as in the header
 *
 * COOKIE:   time 8 (echoed), cookie 16.
 * REFUSE:   reason 1, 3 reserved, version 4, time 8 (echoed).
 * CONFIRM:  64 zero bytes, so that no answer is larger than it, then items. The
 *           initiator sends it in place of DATA until it heard the responder in
 *           this session.
 * SHOW:     certificates, between RESPONSE and CONFIRM (wire/show.c); sealed under the keys of
 *           the handshake, the top bit of its counter set:
 *
 *          0     2  offset       in what the sender shows, of the bytes at 8
 *          2     2  bytes        that it shows in all; 0: nothing
 *          4     2  held         bytes of the receiver's that it has, from the first on
 *          6     1  reason       responder: why what it was shown is not good; 1 reserved
 *          8   448  bytes from `offset` on; zeros behind the last
 *
 * DATA:     items, to the end of the body:
 *
 *     PING    1: kind; to be acknowledged at once
 *     ACK     2: kind, range count 1, delay_us 4, largest 8, first 2,
 *                then per range gap 2, count 2: downward from `largest`, `first`
 *                more are acknowledged, then gap + 1 are not, count + 1 are ...
 *     CREDIT  3: kind, stream 1, limit 8: bytes since the stream began
 *     BYTES   4: kind, stream 1, count 2, offset 8, then the bytes. A stream is
 *                a row of messages, each behind its length in 4 bytes.
 *     CLOSE   5: kind, reason 1
 *     REKEY   6: kind, generation 1, count 1, then a message of Noise without
 *                payload: 96 bytes from the session's initiator, 48 from the other
 *     ONCE    7: kind, count 2, then a message. Nobody acknowledges this, ACK and CLOSE.
 *
 * Errors  a decoder answers false and the caller counts; never a trap.
 */
#ifndef WIRE_FORMAT_H
#define WIRE_FORMAT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "wire/wire.h"

#define DATAGRAM_HEADER_BYTES 32
#define DATAGRAM_TAG_BYTES    16
#define DATAGRAM_FRAME_BYTES  (DATAGRAM_HEADER_BYTES + DATAGRAM_TAG_BYTES)
#define COOKIE_BYTES          16
#define HELLO_HEAD_BYTES      48
#define HELLO_PRIVATE_BYTES   108
#define INIT_NOISE_BYTES      96 /* what Noise adds to a payload: e, sealed s, tag */
#define RESPONSE_NOISE_BYTES  48 /* e, tag */
#define CONFIRM_ZERO_BYTES    64
#define HELLO_BYTES           (HELLO_HEAD_BYTES + HELLO_PRIVATE_BYTES + INIT_NOISE_BYTES)
#define SEALED_RESPONSE_BYTES (HELLO_HEAD_BYTES + HELLO_PRIVATE_BYTES + RESPONSE_NOISE_BYTES)
#define COOKIE_BODY_BYTES     24
#define SHOW_CHUNK_BYTES      448 /* so that SHOW fits the smallest datagram_bytes_max */
#define SHOW_BODY_BYTES       (8 + SHOW_CHUNK_BYTES)
#define REFUSE_BODY_BYTES     16
#define ACK_HEAD_BYTES        16
#define ACK_RANGES_MAX        24
#define CREDIT_ITEM_BYTES     10
#define BYTES_HEAD_BYTES      12
#define REKEY_HEAD_BYTES      3
#define ONCE_HEAD_BYTES       3
#define GENERATION_MAX        254 /* even: the slots of keys go by its lowest bit */
#define LENGTH_BYTES          4   /* in front of every message in a stream */

enum wire_datagram {
	DATAGRAM_INIT = 1,
	DATAGRAM_COOKIE = 2,
	DATAGRAM_RESPONSE = 3,
	DATAGRAM_REFUSE = 4,
	DATAGRAM_CONFIRM = 5,
	DATAGRAM_DATA = 6,
	DATAGRAM_SHOW = 7,
};

enum hello_certificates {
	HELLO_SHOWS = 1,   /* it has some */
	HELLO_DEMANDS = 2, /* it wants to see the peer's */
};

enum wire_item_kind {
	ITEM_PING = 1,
	ITEM_ACK = 2,
	ITEM_CREDIT = 3,
	ITEM_BYTES = 4,
	ITEM_CLOSE = 5,
	ITEM_REKEY = 6,
	ITEM_ONCE = 7,
};

_Static_assert(COOKIE_BODY_BYTES <= HELLO_BYTES, "a cookie is no larger than an INIT");
_Static_assert(REFUSE_BODY_BYTES <= CONFIRM_ZERO_BYTES, "a refusal is no larger than a CONFIRM");

struct datagram {
	enum wire_datagram type;
	uint8_t generation;
	uint32_t key_id;
	uint64_t counter;
	uint8_t epoch[WIRE_EPOCH_BYTES];
	const uint8_t *data; /* decoded only: the whole of it */
	const uint8_t *body;
	size_t body_bytes;
};

struct hello {
	struct wire_identity
		self; /* its epoch must be that of the header; its key does not travel */
	struct wire_identity expected;
	uint32_t connection;
	uint64_t time_ns;
	enum wire_reason reason;
	uint8_t certificates; /* enum hello_certificates */
	uint8_t cookie[COOKIE_BYTES];
	uint32_t window_bytes[WIRE_STREAMS];
	uint32_t datagram_bytes_max;
	uint32_t message_bytes_max;
};

struct show_message {
	uint32_t offset, bytes, held;
	enum wire_reason reason;
	const uint8_t *data; /* data_bytes, of SHOW_CHUNK_BYTES at most, at `offset` */
	uint32_t data_bytes;
};

/* Counters [first, last], both included. */
struct ack_range {
	uint64_t first;
	uint64_t last;
};

struct ack {
	uint64_t delay_ns;
	uint32_t range_count; /* at least one, highest first */
	struct ack_range range[1 + ACK_RANGES_MAX];
};

struct wire_item {
	enum wire_item_kind kind;
	enum wire_stream stream;
	uint64_t offset; /* BYTES; CREDIT: the limit; REKEY: the generation */
	const uint8_t *data;
	uint32_t bytes;
	enum wire_reason reason;
	struct ack ack;
};

enum datagram_check {
	DATAGRAM_WHOLE = 0,
	DATAGRAM_DAMAGED = 1,   /* its tag is of other bytes; nothing of it is to be believed */
	DATAGRAM_MALFORMED = 2, /* was sent like that */
};

/* In clear. Header and tag around a body that stands at `out + 32` already;
 * returns the datagram's size. */
size_t datagram_seal(const struct datagram *d, uint8_t *out, size_t body_bytes);
enum datagram_check datagram_open(struct datagram *d, const uint8_t *data, size_t bytes);

/* Puts the tag of what stands in front of it: what datagram_seal() does last. */
void datagram_put_tag(uint8_t *data, size_t bytes);

/* The header alone, whatever the tag says. */
void datagram_put_header(const struct datagram *d, uint8_t out[DATAGRAM_HEADER_BYTES]);
enum datagram_check datagram_parse(struct datagram *d, const uint8_t *data, size_t bytes);

void hello_put_head(const struct hello *h, uint8_t out[HELLO_HEAD_BYTES]);
void hello_put_private(const struct hello *h, uint8_t out[HELLO_PRIVATE_BYTES]);
/* The head of INIT and RESPONSE; the version alone decides whether the rest may be
 * read. False: too short, or no connection. */
bool hello_get_head(struct hello *h, const struct datagram *d);
/* The rest, behind a hello_get_head() that was true. */
bool hello_get_private(struct hello *h, const struct datagram *d,
		       const uint8_t data[HELLO_PRIVATE_BYTES]);
/* In clear, both parts and zeros. */
void hello_encode(const struct hello *h, uint8_t out[HELLO_BYTES]);
bool hello_decode(struct hello *h, const struct datagram *d);

void show_put(const struct show_message *m, uint8_t out[SHOW_BODY_BYTES]);
/* Of an opened body. */
bool show_get(struct show_message *m, const struct datagram *d);

bool zeros(const uint8_t *data, size_t n);

void item_put_bytes_head(struct writer *w, enum wire_stream stream, uint64_t offset,
			 uint32_t bytes);
void item_put_credit(struct writer *w, enum wire_stream stream, uint64_t limit);
void item_put_close(struct writer *w, enum wire_reason reason);
void item_put_once_head(struct writer *w, uint32_t bytes);
void item_put_rekey(struct writer *w, uint8_t generation, const uint8_t *message, uint32_t bytes);
void item_put_ack(struct writer *w, const struct ack *ack);
size_t item_ack_bytes(const struct ack *ack);

/* The next item of a body; false at its end (reader_done) or where it does not
 * decode (bad). */
bool item_next(struct reader *r, struct wire_item *item);

#endif /* WIRE_FORMAT_H */
