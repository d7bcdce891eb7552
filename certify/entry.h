/*
 * certify/entry.h - what a group's log holds, as bytes.
 *
 * An entry is one statement in the order of a group: a member joins, submits a
 * transaction, gives one up, reports its progress. Several travel in one value
 * of the consensus; each is numbered when it is delivered, by a dense counter
 * that starts at 1: its *index*. Everything later in certify/ is a function of
 * the entries in the order of their indexes, and of nothing else.
 *
 * The format, little-endian, without padding: one byte of kind, then the
 * fields in the order of the structs below; a string is its length (1 byte)
 * and its bytes; a GTID set, the ranges, the hashes and the payload are a u32
 * and their bytes. Nothing may follow. Of a snapshot that has many short ranges
 * a bit for each index above the mark is written instead, where that is shorter: the
 * u32 is then the bytes of these, and its top bit is set.
 *
 * Never      interprets an entry against a state; that is certify/group.h.
 * Ownership  entry_decode() yields views into the bytes it was given; they
 *            live as long as these. Hashes and ranges are unaligned, and are
 *            read through entry_hash() and snapshot_range().
 * Limits     ENTRY_BYTES_MAX in all, and the maxima below.
 * Errors     entry_decode() answers false for what is short, long, unordered,
 *            out of a bound, or of an unknown kind. entry_encode() turns the
 *            writer bad for what does not fit, and traps on what no decoder
 *            would take back.
 */
#ifndef CERTIFY_ENTRY_H
#define CERTIFY_ENTRY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"

#define ENTRY_BYTES_MAX      (200 * 1024)
#define UUID_BYTES           16
#define NONCE_BYTES          16
#define HOST_BYTES_MAX       255
#define TAG_BYTES_MAX        32
#define GNO_MAX              (INT64_MAX - 1) /* the server's last usable number */
#define SNAPSHOT_RANGES_MAX  4096
#define SNAPSHOT_RANGE_BYTES 16
#define GROUP_MEMBERS_MAX    64
#define GROUP_INFLIGHT_MAX   4096
#define SEQUENCE_MAX         (UINT64_MAX / 2) /* no member comes there: windows never wrap */

/* The hash's top bit is kept for shared locks to come: a hash that has it set
 * is of a version that this one must not judge, so it does not decode. */
#define ENTRY_HASH_BYTES  8
#define ENTRY_HASH_SHARED (UINT64_C(1) << 63)

/* Whom a GTID's number counts for. Unused bytes of `tag` are zero. */
struct gtid_source {
	uint8_t uuid[UUID_BYTES];
	uint8_t tag_bytes; /* 0 is the untagged source */
	char tag[TAG_BYTES_MAX];
};

struct gtid {
	struct gtid_source source;
	uint64_t gno; /* 1..GNO_MAX; 0 is no GTID */
};

/* A GTID set as bytes: u32 sources; per source 16 bytes of uuid, the tag as a
 * string, u32 intervals (at least one) and per interval u64 from, u64 to, both
 * inclusive. Sources ascend by (uuid, tag), intervals ascend and do not touch:
 * one set has one form. */
struct gtid_bytes {
	const uint8_t *data;
	uint32_t bytes; /* 0 is the empty set too */
};

struct gtid_interval {
	struct gtid_source source;
	uint64_t from;
	uint64_t to;
};

/* Walks a set's intervals in order. `r.bad` tells a malformed set. */
struct gtid_cursor {
	struct reader r;
	struct gtid_interval at;
	uint32_t sources;   /* still to come */
	uint32_t intervals; /* of at.source, still to come */
	bool begun;         /* some source was read: order can be checked */
};

int gtid_source_compare(const struct gtid_source *a, const struct gtid_source *b);
bool gtid_equal(const struct gtid *a, const struct gtid *b);
struct gtid_cursor gtid_cursor_over(struct gtid_bytes set);
bool gtid_cursor_next(struct gtid_cursor *c); /* false at the end, or bad */
bool gtid_bytes_valid(struct gtid_bytes set);

/* What a transaction had seen: every index up to the mark, and the ranges or the bits. */
struct snapshot {
	uint64_t mark;
	uint32_t range_count;
	const uint8_t *ranges; /* (u64 from, u64 to) inclusive, ascending, apart, above the mark */
	uint32_t bit_bytes;    /* 0: there are ranges, or nothing */
	const uint8_t *bits;   /* lowest first, from mark + 1 on; the last byte is not 0 */
};

#define SNAPSHOT_BITS_FROM 5 /* ranges; fewer are written as such */

struct snapshot_range {
	uint64_t from;
	uint64_t to;
};

static inline struct snapshot_range
snapshot_range(const struct snapshot *s, uint32_t i)
{
	const uint8_t *p = s->ranges + (size_t)i * SNAPSHOT_RANGE_BYTES;
	return (struct snapshot_range){bytes_get_u64(p), bytes_get_u64(p + 8)};
}

bool snapshot_contains(const struct snapshot *s, uint64_t index);
uint64_t snapshot_last(const struct snapshot *s); /* the highest that it contains */

enum entry_kind {
	ENTRY_NOOP = 1,
	ENTRY_CREATE = 2,
	ENTRY_JOIN = 3,
	ENTRY_LEAVE = 4,
	ENTRY_EXPEL = 5,
	ENTRY_ATTACH = 6,
	ENTRY_SUBMIT = 7,
	ENTRY_ABANDON = 8,
	ENTRY_PROGRESS = 9,
	ENTRY_HORIZON = 10,
	ENTRY_CLOSE = 11, /* nobody joins any more; void while a member lives */
};

/* What must be equal on every node for verdicts to be. */
struct group_config {
	uint64_t block_size; /* GTIDs a member reserves at a time, >= 1 */
	uint32_t index_hashes_max;
	uint32_t inflight_max; /* submissions of one incarnation, <= GROUP_INFLIGHT_MAX */
	uint32_t members_max;  /* <= GROUP_MEMBERS_MAX */
	uint32_t protocol;     /* version of the deterministic rules */
};

struct entry_create {
	uint8_t group_uuid[UUID_BYTES]; /* of AUTOMATIC GTIDs: the group's name */
	struct group_config config;
	struct gtid_bytes executed; /* of the founder */
};

enum join_flag {
	JOIN_BOOTSTRAP = 1, /* void while another server is a member */
};

struct entry_join {
	uint8_t nonce[NONCE_BYTES]; /* random per START */
	uint8_t server_uuid[UUID_BYTES];
	uint64_t last_incarnation; /* of this server_uuid, 0 is none */
	uint8_t host_bytes;
	const char *host; /* not terminated */
	uint16_t port;
	uint32_t mysql_version; /* 90704 is 9.7.4 */
	uint16_t flags;
	uint16_t epoch; /* a node's, that puts it into the order: see entry_close */
	struct gtid_bytes executed;
};

struct entry_leave {
	uint64_t incarnation;
};

enum expel_reason {
	EXPEL_SILENT = 1,
	EXPEL_LAG = 2, /* others wait for it, or what it lacks is not in the log any more */
	EXPEL_ADMIN = 3,
	EXPEL_DIVERGED = 4, /* what it committed is not what was ordered */
};

struct entry_expel {
	uint64_t incarnation;
	uint64_t session; /* the one that was timed; UINT64_MAX: whichever there is */
	uint8_t reason;
};

struct entry_attach {
	uint64_t incarnation;
	uint64_t session; /* higher than any before of this incarnation */
	uint32_t node;
};

enum gtid_spec {
	GTID_AUTOMATIC = 1,     /* the group's uuid, no tag */
	GTID_AUTOMATIC_TAG = 2, /* the group's uuid, assigned.source's tag */
	GTID_ASSIGNED = 3,      /* by the user: `assigned` */
};

enum submit_flag {
	SUBMIT_FENCE = 1, /* DDL and the like: applied alone */
	SUBMIT_EMPTY = 2, /* changes no row and needs no fence */
	/* ASSIGNED: sent again after its origin rolled it back (a replica's worker
	 * after a deadlock). It gets the first verdict, as long as the floor has
	 * not passed the first one: keep the floor at or below what is accepted
	 * and not committed. */
	SUBMIT_NOT_COMMITTED = 4,
	/* The payload went ahead, in chunks, to the logs of a majority; the field
	 * holds a struct entry_spread instead. A large write set went in front of it. */
	SUBMIT_SPREAD = 8,
	/* The same-origin rule: when the snapshot was taken, every own transaction from the
	 * floor on that was accepted, or may be, held its row locks. What those with lower
	 * sequences wrote is then no conflict, though the snapshot lacks it: two-phase
	 * locking let both have the row, as two children have their parent's. */
	SUBMIT_TRUSTS_OWN = 16,
};

/* What stands in the place of a payload that was spread. Its name is (incarnation,
 * offer): it goes to the nodes before its transaction has a sequence, which would hold
 * the window of all others for as long as that takes. What was spread is the write set's
 * hashes, where they were too many for the entry, and then the payload; no hash lies in
 * two chunks.
 *
 * An offer is its lane, the lowest bit, below a number that rises in it: one is open in
 * each lane at a time. Whatever entry names one and decides ends it, and all below it in
 * its lane. So the group remembers two numbers, however long one takes, and however many
 * pass beside it. */
#define ENTRY_OFFER_LANES 2

struct entry_spread {
	uint64_t bytes;       /* of both, more than the hashes' */
	uint64_t digest;      /* 0, and over each chunk: hash_bytes(chunk, digest so far) */
	uint32_t chunk_bytes; /* of each but the last, a multiple of ENTRY_HASH_BYTES */
	uint32_t holders;     /* a bit per node that has all of it on disk */
	uint32_t hash_count;  /* in front; 0: the write set is the entry's own */
	uint64_t offer;       /* not 0 */
};

#define ENTRY_SPREAD_BYTES    40
#define ENTRY_CHUNK_BYTES_MIN 256
#define ENTRY_CHUNK_BYTES_MAX (128 * 1024)

bool entry_spread_decode(struct entry_spread *spread, const uint8_t *data, size_t bytes);
void entry_spread_encode(const struct entry_spread *spread, uint8_t out[ENTRY_SPREAD_BYTES]);

struct entry_submit {
	uint64_t incarnation;
	uint64_t session;
	uint64_t sequence; /* 1, 2, ... per incarnation */
	uint64_t floor;    /* every outcome below is known to the member; <= sequence */
	uint32_t flags;
	uint8_t gtid_spec;
	struct gtid assigned; /* encoded by gtid_spec: nothing, the tag, or all of it */
	struct snapshot snapshot;
	uint32_t hash_count;
	const uint8_t *hashes; /* u64 each, top bit zero */
	uint32_t payload_bytes;
	const uint8_t *payload; /* opaque: the binlog cache; with SPREAD an entry_spread */
};

/* Hashes of its write set, wherever they are. */
uint32_t entry_hash_count(const struct entry_submit *submit);

struct entry_abandon {
	uint64_t incarnation;
	uint64_t session;
	uint64_t sequence;
	uint64_t floor; /* as a submission's: it may be the first to say it */
	uint64_t offer; /* of its payload, which nobody is to keep any more; 0: there is none */
};

struct entry_progress {
	uint64_t incarnation;
	uint64_t floor;
	uint64_t mark_low;  /* the lowest mark that any open or later submission can carry */
	uint64_t committed; /* every accepted entry up to here is committed, binlog synced */
	uint8_t ready;      /* 1: wants to be ONLINE */
};

struct entry_horizon {
	uint64_t index;
};

/* As a join, it says in which epoch a node put it into the order, and is void in a later one:
 * group.c says why. */
struct entry_close {
	uint16_t epoch;
};

struct entry {
	enum entry_kind kind;
	union {
		struct entry_create create;
		struct entry_join join;
		struct entry_leave leave;
		struct entry_expel expel;
		struct entry_attach attach;
		struct entry_submit submit;
		struct entry_abandon abandon;
		struct entry_progress progress;
		struct entry_horizon horizon;
		struct entry_close close;
	};
};

bool entry_decode(struct entry *e, const uint8_t *data, size_t bytes);
void entry_encode(const struct entry *e, struct writer *w);

static inline uint64_t
entry_hash(const struct entry_submit *s, uint32_t i)
{
	return bytes_get_u64(s->hashes + (size_t)i * ENTRY_HASH_BYTES);
}

#endif /* CERTIFY_ENTRY_H */
