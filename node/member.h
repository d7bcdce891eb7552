/*
 * node/member.h - a member's side of the appliance, as a function.
 *
 *     member_step(member, input, sink)
 *
 * It keeps the session to the leader's node, the open submissions, and the order
 * in which verdicts, remote transactions and views reach the server. It knows
 * nothing of MySQL: the shim (and the simulator's model of a server) feed it and
 * do what it says.
 *
 * Exactly once  a submission is (incarnation, sequence). It is sent again after a
 *               failover with the bytes of the first time, and the log decides
 *               once. MEMBER_OUT_VERDICT comes exactly once for each submission
 *               that was taken in, unless the member ends without a quorum. A large one
 *               is called by its name, here and wherever a `sequence` stands, to its end.
 * Order         an own verdict is told as soon as it is known. A remote
 *               transaction (MEMBER_OUT_QUEUE) or a view at index i is told only
 *               when every own verdict and every transaction below i was, and a
 *               transaction only when what it depends on is not an own accepted
 *               one that the server has not committed yet: the server's applier
 *               would kill the waiting one and overwrite in the wrong order.
 * Outputs       as in node/node.h: emit() during the step, data valid during it.
 * Pieces        MEMBER_OUT_QUEUE of a large transaction comes in pieces of any size,
 *               in order, each byte once, also across a failover; no other QUEUE
 *               and no VIEW comes in between. What has not seen its `last` piece when
 *               this START ends was not queued, and comes whole in the next. Every
 *               other QUEUE is one piece: offset 0, last.
 * Barriers      MEMBER_OUT_BARRIER(sequence) says that all that any client was told, at any
 *               server of the group, before MEMBER_IN_BARRIER(sequence) is committed at this one.
 *               Sequences ascend; one answer is for all up to it. None comes while no majority
 *               can be asked, nor when this START has ended.
 * Ownership     MEMBER_IN_SUBMIT copies the transaction; the caller's buffers are
 *               free when the step returns. What is `lent` is not: one block, of the
 *               hashes and the payload behind them, stays as it is until
 *               sink->release(), which comes once for each. It is lent for as long
 *               as it may have to be sent again or queued here: to the end of the
 *               step for what fits transaction_bytes_max, else to its refusal, or
 *               its commit.
 * Limits        member_config; a submission that does not fit now answers
 *               MEMBER_OUT_VERDICT with MEMBER_NO_ROOM at once, and was not sent. One
 *               above transaction_bytes_max is large: it fits when it is lent and
 *               its payload, or both its write set and its payload, are not above
 *               payload_bytes_max.
 * Threads       the network thread owns a member. struct snapshot_table (its own
 *               header) is the one part that client threads read, under the
 *               shim's mutex.
 */
#ifndef NODE_MEMBER_H
#define NODE_MEMBER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/endpoint.h"
#include "base/frame.h"
#include "certify/entry.h"
#include "certify/gtid.h"
#include "node/node.h"
#include "node/snapshot.h"
#include "wire/wire.h"

#define MEMBER_WATCHES_MAX  2 /* sessions besides the one that it is attached by */
#define MEMBER_SESSIONS_MAX (2 + MEMBER_WATCHES_MAX)
#define MEMBER_CRYPTO_SLOTS WIRE_SLOTS(MEMBER_SESSIONS_MAX)

struct member;

struct member_config {
	uint8_t node_count;
	struct endpoint endpoint[NODE_NODES_MAX];
	uint8_t epoch[EPOCH_BYTES]; /* all zero: the one the first node shows */
	uint8_t server_uuid[16];
	uint32_t inflight_max;          /* as the nodes have it */
	uint32_t transaction_bytes_max; /* of one submission, entry and payload; at most what
					 * the nodes order in one value */
	uint64_t payload_bytes_max;     /* of a large one; 0: there are none */
	uint32_t submission_bytes;      /* memory for all open submissions */
	uint32_t snapshot_entries_max;
	uint32_t gtid_intervals_max;
	uint32_t datagram_bytes_max;
	uint32_t stream_bytes;
	uint64_t session_dead_ns;
	uint64_t retry_ns;
	/* Sealed: a table of MEMBER_CRYPTO_SLOTS, the server's secret, and the public key
	 * of each node. NULL: in clear. */
	const struct crypto *crypto;
	uint8_t secret[CRYPTO_KEY_BYTES];
	uint8_t psk[CRYPTO_KEY_BYTES];
	uint8_t node_key[NODE_NODES_MAX][CRYPTO_KEY_BYTES];
	uint64_t rekey_ns; /* how long keys of a session live; 0: as wire/ has it */
	const struct certificates *certificates; /* to show, and to demand; NULL: none */
	uint64_t progress_ns; /* how often progress is reported while it changes */
};

/* What START GROUP_REPLICATION knows. */
struct member_start {
	uint8_t group_uuid[16];
	bool bootstrap;
	uint8_t nonce[16];
	uint64_t process;          /* random, of this START */
	uint64_t last_incarnation; /* of this server_uuid as the server remembers it; 0 none */
	const char *host;
	uint16_t port;
	uint32_t version;    /* of the server: 90704 */
	uint64_t block_size; /* gtid_assignment_block_size */
	struct gtid_bytes executed;
};

/* One transaction, cut to what certification needs. */
struct member_submission {
	uint64_t sequence; /* from snapshot_take(); lent: the name, from snapshot_take_ahead() */
	const struct snapshot *snapshot;
	uint8_t gtid_spec;    /* enum gtid_spec */
	struct gtid assigned; /* by gtid_spec: nothing, the tag, or all of it */
	uint32_t flags;       /* enum submit_flag */
	const uint64_t *hashes;
	uint32_t hash_count;
	const uint8_t *payload;
	uint64_t payload_bytes;
	bool lent; /* see Ownership: the payload begins where the hashes end */
};

enum member_input_kind {
	MEMBER_IN_START = 1,        /* start */
	MEMBER_IN_STOP = 2,         /* leave the group; MEMBER_OUT_STOPPED follows */
	MEMBER_IN_PACKET = 3,       /* from, data, bytes */
	MEMBER_IN_RANDOM = 4,       /* data, bytes */
	MEMBER_IN_SUBMIT = 5,       /* submission */
	MEMBER_IN_ABANDON = 6,      /* sequence: KILL or STOP; the verdict still comes */
	MEMBER_IN_COMMITTED = 7,    /* gtid: in gtid_executed now, with a synced binlog */
	MEMBER_IN_LOCAL_FAILED = 8, /* sequence: accepted, but the server could not commit it:
				     * its transaction comes back as MEMBER_OUT_QUEUE. Before its
				     * locks went snapshot_failed() was said */
	MEMBER_IN_TICK = 9,
	MEMBER_IN_QUIT = 10,    /* no quorum at the stop timeout: forget everything */
	MEMBER_IN_HOLD = 11,    /* the server has no room: remote transactions wait at the node;
				 * those of a few datagrams under way are still told */
	MEMBER_IN_RELEASE = 12, /* it has room again */
	MEMBER_IN_BARRIER = 13, /* sequence: above any before in this START, in which it joined */
};

struct member_input {
	enum member_input_kind kind;
	uint64_t now_ns;
	const struct member_start *start;
	struct endpoint from;
	const uint8_t *data;
	uint32_t bytes;
	const struct member_submission *submission;
	uint64_t sequence;
	const struct gtid *gtid;
};

enum member_verdict {
	MEMBER_ACCEPTED = 1,     /* commit with `gtid` */
	MEMBER_CONFLICT = 2,     /* roll back: 3101 */
	MEMBER_STALE = 3,        /* roll back: 3101; snapshot below the GC horizon */
	MEMBER_FULL = 4,         /* roll back: 3100; the certification index is full */
	MEMBER_GTID_REFUSED = 5, /* roll back: 3101 */
	MEMBER_ABANDONED = 6,    /* roll back: it never was and never will be in the log */
	MEMBER_NO_ROOM = 7,      /* roll back: 3100; was not sent */
	MEMBER_ENDED = 8,        /* the incarnation ended first: roll back, and leave */
};

enum member_refusal {
	MEMBER_REFUSED_NONE = 0,
	MEMBER_REFUSED_NO_GROUP = 1,     /* no such group, and not bootstrapping */
	MEMBER_REFUSED_GROUP_EXISTS = 2, /* bootstrap, but members are connected */
	MEMBER_REFUSED_VERSION = 3,      /* protocol versions differ */
	MEMBER_REFUSED_EPOCH = 4,
	MEMBER_REFUSED_EXTRA_GTIDS = 5, /* it has transactions the group lacks */
	MEMBER_REFUSED_GAP = 6,         /* what it lacks is older than the log */
	MEMBER_REFUSED_FULL = 7,        /* members_max, or groups_max */
	MEMBER_REFUSED_BLOCK_SIZE = 8,
	MEMBER_REFUSED_INCARNATION = 9, /* another START of the same server_uuid came first */
	MEMBER_REFUSED_KEY = 10,        /* its key may not open this group */
	MEMBER_REFUSED_SEAL = 11,       /* the nodes want sealed sessions */
	/* Of certificates: what a node said of ours, and we of a node's. */
	MEMBER_REFUSED_UNTRUSTED = 12,
	MEMBER_REFUSED_EXPIRED = 13,
	MEMBER_REFUSED_REVOKED = 14,
	MEMBER_REFUSED_FORGED = 15,
	MEMBER_REFUSED_NOT_SHOWN = 16, /* it has none */
	MEMBER_REFUSED_NOT_GOOD = 17,
};

enum member_output_kind {
	MEMBER_OUT_SEND = 1,    /* to, data, bytes */
	MEMBER_OUT_STARTED = 2, /* incarnation, refusal; on success relay logs hold nothing that
				 * is needed: everything missing will be queued */
	MEMBER_OUT_STOPPED = 3,
	MEMBER_OUT_VERDICT = 4,  /* sequence, verdict, index, gtid, winner */
	MEMBER_OUT_QUEUE = 5,    /* index, gtid, dependency, flags, data, bytes, and of which
				  * piece: offset, total, last */
	MEMBER_OUT_VIEW = 6,     /* view */
	MEMBER_OUT_EXPELLED = 7, /* this incarnation ended; START makes a new one. diverged: for
				  * what it had committed, which START does not mend; index, gtid:
				  * for what it lacks, and no node has any more */
	MEMBER_OUT_TIMER = 8,    /* at_ns */
	MEMBER_OUT_LINK = 9,     /* connected: whether a session to the leader is attached */
	MEMBER_OUT_BARRIER = 10, /* sequence */
};

struct member_view_row {
	uint8_t server_uuid[16];
	char host[256];
	uint16_t port;
	uint32_t version;
	uint64_t incarnation;
	bool online;
	bool reachable;
};

struct member_view {
	uint64_t view_id;      /* fixed part: rises with each bootstrap */
	uint64_t view_counter; /* + 1 with each change */
	uint64_t index;        /* place in the order */
	uint32_t row_count;
	struct member_view_row row[NODE_MEMBERS_MAX];
};

struct member_output {
	enum member_output_kind kind;
	struct endpoint to;
	const uint8_t *data;
	uint32_t bytes;
	uint64_t incarnation;
	enum member_refusal refusal;
	uint64_t sequence;
	enum member_verdict verdict;
	uint64_t index;
	const struct gtid *gtid;
	uint64_t dependency;
	const struct gtid *winner; /* refused: who was first; NULL where unknown */
	uint64_t winner_hash;
	uint32_t flags;
	uint64_t offset; /* QUEUE: where `data` belongs in the payload */
	uint64_t total;  /* QUEUE: bytes of the payload */
	bool last;       /* QUEUE: its last piece */
	const struct member_view *view;
	bool connected;
	bool diverged;
	uint64_t at_ns;
};

struct member_sink {
	void *context;
	void (*emit)(void *context, const struct member_output *output);
	/* What was lent, a block that begins here, is the caller's again; must not call
	 * back either. May be NULL where payload_bytes_max is 0. */
	void (*release)(void *context, uint64_t sequence, const uint8_t *block);
};

struct member_stats {
	uint64_t proposed;
	uint64_t undecided; /* of these, without a verdict so far */
	uint64_t checked;   /* entries certified in the group since this START */
	uint64_t conflicts;
	uint64_t rows_validating;
	uint64_t remote_queued;
	uint64_t remote_committed; /* of these, in gtid_executed */
	uint64_t local_rolled_back;
	uint64_t failovers;
	uint64_t resubmitted;
	uint64_t delivered_index;
	uint64_t mark;
	struct gtid last_accepted; /* the newest in the order that is known here */
	uint64_t last_accepted_index;
};

size_t member_size(const struct member_config *config);

/* `memory` is member_size() bytes, 64-byte aligned; what is in it does not matter. */
struct member *member_init(void *memory, const struct member_config *config);
void member_step(struct member *member, const struct member_input *in,
		 const struct member_sink *sink);

/* Shared with client threads under the caller's mutex; see node/snapshot.h. */
struct snapshot_table *member_snapshots(struct member *member);
const struct member_stats *member_stats(const struct member *member);

#endif /* NODE_MEMBER_H */
