/*
 * node/protocol.h - what members and nodes say to each other, as bytes.
 *
 * Every message is a frame (base/frame.h) whose kind is enum protocol_kind, and
 * whose body holds the fields that the kind has, in the order of the struct.
 * One table says which kind has which; encoder and decoder both walk it, so
 * they cannot disagree.
 *
 *     member                                node
 *     OPEN(group uuid)              ->
 *                                   <-      GROUP(number, leader's node)
 *     JOIN(entry)                   ->      logs CREATE if need be, then JOIN
 *                                   <-      JOINED(incarnation, first missing index)
 *     ATTACH(incarnation, session)  ->      logs it
 *                                   <-      VERDICT for every outcome known, ATTACHED
 *     SUBMIT(entry), ABANDON(entry) ->      logs them
 *                                   <-      VERDICT, on the control stream
 *                                   <-      ENTRY, THROUGH, VIEW, on the feed stream
 *                                   <-      PIECE after PIECE of a large payload, there too
 *     OFFER, CHUNK                  ->      a large payload ahead of its SUBMIT:
 *                                   <-      FETCH, HELD; see node/spread.h
 *     PROGRESS                      ->      logs it now and then
 *                                   <-      COUNTS
 *     BARRIER(sequence)             ->      asks the voters, see node/barrier.c
 *                                   <-      BARRIER_AT(sequence, index)
 *     LEAVE                         ->      logs it
 *                                   <-      ENDED
 *
 * A session is attached in one group at most: OPEN or JOIN of another one ends that.
 *
 * Nodes say OFFER, FETCH, CHUNK and HELD to each other too; RESULTS: what they computed
 * up to an index, and COMPARE, which asks for that too, see node/compare.c; and VOTERS, LEAD and
 * ORDER, to who leads: what an administrator wants, see node/directory.c and node/order.c. IMAGE,
 * ASK and PART move a state image, see node/image_move.c. Before all this they say DISK: how far
 * their logs go; see node/disks.c. FORCE names another epoch; see node/force.c. Behind that they
 * say LACK: which entry cannot be applied, or fed, since what it names is not here; see
 * node/cut.c. ROOM: what is left in their log, see node/room.c. SURVEY and HIGHEST: which slots
 * they have accepted, see node/barrier.c.
 *
 * Ownership  `data` of a decoded message points into the bytes given.
 * Errors     protocol_decode() answers false for what is short, long, of another
 *            kind, or out of a field's range.
 */
#ifndef NODE_PROTOCOL_H
#define NODE_PROTOCOL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/crypto.h"
#include "base/endpoint.h"
#include "base/frame.h"
#include "certify/entry.h"

#define PROTOCOL_VERSION 17

enum protocol_kind {
	PROTOCOL_OPEN = 64,
	PROTOCOL_GROUP = 65,
	PROTOCOL_JOIN = 66,
	PROTOCOL_JOINED = 67,
	PROTOCOL_ATTACH = 68,
	PROTOCOL_ATTACHED = 69,
	PROTOCOL_SUBMIT = 70,
	PROTOCOL_ABANDON = 71,
	PROTOCOL_VERDICT = 72,
	PROTOCOL_ENTRY = 73,
	PROTOCOL_THROUGH = 74,
	PROTOCOL_VIEW = 75,
	PROTOCOL_PROGRESS = 76,
	PROTOCOL_LEAVE = 77,
	PROTOCOL_ENDED = 78,
	PROTOCOL_COUNTS = 79,
	PROTOCOL_OFFER = 80,
	PROTOCOL_FETCH = 81,
	PROTOCOL_CHUNK = 82,
	PROTOCOL_HELD = 83,
	PROTOCOL_PIECE = 84,
	PROTOCOL_RESULTS = 85,
	PROTOCOL_VOTERS = 86,
	PROTOCOL_DISK = 87,
	PROTOCOL_LEAD = 88,
	PROTOCOL_ORDER = 89,
	PROTOCOL_FORCE = 90,
	PROTOCOL_COMPARE = 91,
	PROTOCOL_IMAGE = 92,
	PROTOCOL_ASK = 93,
	PROTOCOL_PART = 94,
	PROTOCOL_LACK = 95,
	PROTOCOL_ROOM = 96,
	PROTOCOL_BARRIER = 97,
	PROTOCOL_BARRIER_AT = 98,
	PROTOCOL_SURVEY = 99,
	PROTOCOL_HIGHEST = 100,
	PROTOCOL_END = 101,
};

enum protocol_room {
	PROTOCOL_ROOM_AGAIN = 0,  /* there is room */
	PROTOCOL_ROOM_LITTLE = 1, /* who leads makes its submissions wait */
	PROTOCOL_ROOM_WAIT = 2,   /* those of another group wait */
};

enum protocol_flag {
	PROTOCOL_BOOTSTRAP = 1,    /* JOIN */
	PROTOCOL_GROUP_EXISTS = 1, /* GROUP */
	PROTOCOL_LEADER_HERE = 2,  /* GROUP */
	PROTOCOL_GROUP_GONE = 4,   /* GROUP: the one of OPEN's number was dropped */
	PROTOCOL_READY = 1,        /* PROGRESS */
	PROTOCOL_LOST = 1 << 16,   /* ENTRY: no node has it, who lacks it cannot go on */
	PROTOCOL_DISK_TAKEN = 1,   /* DISK: the receiver's was taken, or refused */
	PROTOCOL_DISK_REFUSED = 2,
	PROTOCOL_DISK_REPAIRS = 4,
};

struct protocol_message {
	uint8_t kind;
	uint32_t group;       /* every kind: the frame's; OPEN: of the incarnation, or 0 */
	uint64_t incarnation; /* every kind: the frame's; 0 where there is none yet */
	uint8_t node;         /* GROUP: the leader's, or PAXOS_NO_VOTER */
	uint8_t reason;       /* JOINED: enum member_refusal; ENDED: enum group_view_change */
	uint8_t verdict;      /* VERDICT: enum group_verdict */
	uint32_t flags;       /* enum protocol_flag; ENTRY, PIECE: enum submit_flag; ENDED:
			       * enum expel_reason, or 0; ATTACHED,
			       * OFFER, CHUNK: bytes of a chunk; HELD, VOTERS, LACK: a bit per
			       * node, and of VOTERS the event horizon above 8 bits;
			       * LEAD: 1, all are to lead; ROOM: enum protocol_room */
	uint64_t session;     /* ATTACH, ATTACHED; SURVEY, HIGHEST: the asker's process */
	uint64_t sequence;    /* VERDICT; OFFER, FETCH, CHUNK, HELD: offer; ATTACH, PROGRESS: floor;
			       * VIEW: the view's counter; PIECE: offset; DISK: durable LSN;
			       * IMAGE, ASK, PART: which image of its node; BARRIER,
			       * BARRIER_AT, SURVEY, HIGHEST: which one of who asks */
	uint64_t index; /* of the entry; VOTERS: number of the configuration; JOINED: first missing;
			 * ATTACH: feed from here; OFFER: bytes to be had, a member's: those that
			 * any node asked for, 0: no log has a part of it; FETCH, CHUNK: offset;
			 * GROUP: the leader's ballot; DISK: LSN at start, or (REFUSED) that it
			 * had shown; IMAGE: slot; ASK, PART: which part;
			 * SURVEY: the slot that it waits for, or 0; HIGHEST: slot */
	uint64_t previous;        /* ENTRY, PIECE, THROUGH, VIEW: index of the message before it;
				   * DISK: the last process that the log knew */
	uint64_t own;             /* ENTRY, PIECE, THROUGH, VIEW: highest own outcome below it;
				   * ATTACHED: bytes of an entry at most; DISK: the configuration
				   * that dropped its sender */
	uint64_t dependency;      /* VERDICT, ENTRY, PIECE; FETCH, CHUNK: payload's number, or 0 */
	uint64_t mark;            /* PROGRESS: lowest; JOIN: GTID block size; OFFER, CHUNK, PIECE:
				   * bytes of the payload; ATTACHED: of a payload at most;
				   * IMAGE: how many parts; DISK: votes_from */
	uint64_t winner_hash;     /* VERDICT; HELD, RESULTS, COMPARE: digest; PROGRESS: sum of
				   * what it has, up to `index`, by certify/group.h */
	uint8_t uuid[UUID_BYTES]; /* OPEN, JOIN: the group's; DISK: its id */
	uint8_t nonce[NONCE_BYTES]; /* JOINED */
	struct gtid gtid;           /* VERDICT, ENTRY, PIECE, LACK */
	struct gtid winner;         /* VERDICT */
	uint64_t checked;           /* COUNTS: transactions certified in the group so far */
	uint64_t conflicts;         /* COUNTS: of these, refused for a conflict */
	uint64_t rows;              /* COUNTS: hashes in the certification index */
	/* GROUP: a struct protocol_node for each that this one knows besides itself;
	 * JOIN, SUBMIT, ABANDON, ENTRY, VIEW, CHUNK, PIECE, ORDER, PART: the rest */
	const uint8_t *data;
	uint32_t bytes;
};

/* Writes the whole message to `out`; returns its bytes, 0 where they do not fit. */
uint32_t protocol_encode(const struct protocol_message *message, const uint8_t *epoch,
			 struct writer *out);

/* `frame` was decoded from the start of `bytes` bytes at `data`, which it fills. */
bool protocol_decode(struct protocol_message *message, const struct frame *frame,
		     const uint8_t *data, size_t bytes);

#define PROTOCOL_NODE_BYTES (1 + CRYPTO_KEY_BYTES + ENDPOINT_ADDRESS_BYTES + 2)

/* Who a node says stands where; the key is of zeros where links are in clear. */
struct protocol_node {
	uint8_t number;
	uint8_t key[CRYPTO_KEY_BYTES];
	struct endpoint endpoint;
};

void protocol_write_node(struct writer *w, const struct protocol_node *node);
bool protocol_read_node(struct reader *r, struct protocol_node *node);

void protocol_write_gtid(struct writer *w, const struct gtid *gtid);
void protocol_read_gtid(struct reader *r, struct gtid *gtid);

#endif /* NODE_PROTOCOL_H */
