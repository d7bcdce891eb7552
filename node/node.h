/*
 * node/node.h - one node of the appliance, as a function.
 *
 *     node_step(node, input, sink)
 *
 * A node is sessions (wire/), one replica and one state machine for each group
 * (paxos/, certify/), and the order in which their records enter the one log.
 * It performs no I/O, reads no clock, draws no entropy, and allocates nothing
 * after node_init(). The DPDK loop, the embedded engine and the simulator drive
 * this very function; what they do besides is move bytes.
 *
 * Outputs     are handed to `sink->emit` one by one, in order, while the step
 *             runs; what an output points at is valid during that call only.
 *             emit() must not call back into the node. A crash between any two
 *             outputs is a crash the protocol survives.
 * Durability  NODE_OUT_LOG gives a record and the LSN behind it. NODE_OUT_SEND
 *             names `after_lsn`, and is emitted only when NODE_IN_DURABLE has
 *             reached it: the driver merely checks (must) what it knows itself.
 * Replay      after node_init(), NODE_IN_RECORD for every record that the log still
 *             has, in order, then NODE_IN_START, then anything. A record may make the
 *             node read an earlier one: every NODE_OUT_READ of a step, and of the steps
 *             that answer it, is answered before the next record is given. Records
 *             that are missing the node notices by their LSNs; it needs other nodes
 *             then, so a node that is alone must not be started.
 * Units       nanoseconds of any monotonic origin; LSNs are bytes since the log
 *             was formatted.
 * Log full    room_bytes below twice image_bytes is for what frees room: reports of members,
 *             horizons, views, images. Members' submissions wait meanwhile, where this node leads;
 *             while a large payload comes, for which the log keeps all since its begin, below half
 *             and what is still to come of it. One that is held by a majority does not wait, nor
 *             does an offer of what was begun. Another one is begun when there is room for the
 *             rest of all, and they are no more than image_bytes and a quarter.
 *             Below image_bytes who follows says so, and who leads waits for it too (node/room.c).
 *             What a round waits for in a group that another node leads that one is told.
 * Limits      node_config; memory is node_size() bytes, taken once. A full pool
 *             or queue slows the sender; it never drops what was accepted. A
 *             payload above value_bytes_max is spread over the logs and read back
 *             from there (node/spread.h): a log that cannot be read, as one in
 *             memory, means payload_bytes_max 0.
 * Errors      a peer's are counted; a disk's are an input; ours trap.
 * Threads     one core owns a node.
 */
#ifndef NODE_NODE_H
#define NODE_NODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/certificates.h"
#include "base/crypto.h"
#include "base/endpoint.h"
#include "base/frame.h"
#include "base/must.h"
#include "certify/entry.h"
#include "paxos/paxos.h"

#define NODE_NODES_MAX      7
#define NODE_GROUPS_MAX     64
#define NODE_MEMBERS_MAX    64
#define NODE_KEYS_MAX       256
#define NODE_KEY_GROUPS_MAX 8
#define NODE_DISK_BYTES     16

struct node;

/* A public key that may open sessions, of whom, and which groups. */
struct node_key {
	uint8_t key[CRYPTO_KEY_BYTES];
	bool node;            /* a node's; else a server's */
	uint8_t uuid[16];     /* of that node or server; zeros: of any */
	uint32_t group_count; /* 0: any group */
	uint8_t group[NODE_KEY_GROUPS_MAX][16];
};

/* A node's own static key, and the one before while that is good; zeros: none is. */
struct node_secrets {
	uint8_t now[CRYPTO_KEY_BYTES];
	uint8_t before[CRYPTO_KEY_BYTES];
};

/* An epoch that survivors were forced into; see node/force.c. */
struct node_forced {
	uint32_t number; /* 0: the first epoch, which nobody was forced into */
	uint32_t voters; /* a bit each; 0: not known here */
	uint8_t epoch[EPOCH_BYTES];
};

struct node_config {
	uint8_t self;       /* 0..node_count-1 */
	uint8_t node_count; /* 1..NODE_NODES_MAX: numbers that are known at first */
	uint32_t absent;    /* a bit for each of them that is nobody's */
	uint8_t leader;     /* owner of ballot 0 of group 0, a voter */
	uint32_t voters;    /* a bit per node: who votes in group 0 at first; 0: all */
	bool joins;         /* it comes to an appliance that runs: who votes there it learns */
	/* Its disk votes in no configuration of group 0 before this one, nor in what other groups
	 * copied from those: it is not the first at this number. 0: it is. */
	uint64_t votes_from;
	uint8_t epoch[EPOCH_BYTES];
	struct node_forced forced;     /* of an empty log, whose node comes back into this epoch */
	uint8_t disk[NODE_DISK_BYTES]; /* the log's random id; zeros: it is in memory */
	uint8_t uuid[NODE_NODES_MAX][16];
	struct endpoint endpoint[NODE_NODES_MAX];
	uint32_t groups_max;
	uint32_t members_max;      /* of one group; sessions are members_max + NODE_NODES_MAX */
	uint32_t inflight_max;     /* open submissions of one incarnation */
	uint32_t index_hashes_max; /* of a new group */
	uint32_t results_max;      /* entries of a group whose results memory holds; power of two,
				    * more than are ever in flight */
	/* Older ones are kept in the log (node/history.h): so many entries in a record, 0
	 * where a log cannot be read back; so many records in a block, HISTORY_LINKS_MAX at
	 * most; and so many blocks can be found, a power of two. Four records fit
	 * results_max. */
	uint32_t history_row;
	uint32_t history_links;
	uint32_t history_blocks;
	uint32_t value_bytes_max; /* of one consensus value, <= PAXOS_VALUE_BYTES_MAX */
	/* Of a payload that is spread before it is ordered; 0: none is. At most
	 * SPREAD_CHUNKS_MAX chunks, equal on all nodes. A chunk fits a value, and with
	 * its head half a stream. */
	uint64_t payload_bytes_max;
	uint32_t chunk_bytes;
	uint32_t values_max; /* in the pool, >= node_values_min() */
	uint32_t horizon;    /* of group 0 at first; node_horizon_max() of a change */
	uint32_t datagram_bytes_max;
	uint32_t stream_bytes; /* send buffer and credit window of a stream */
	uint64_t takeover_ns;
	uint64_t takeover_min_ns; /* and beat_ns: as paxos/ has them */
	uint64_t beat_ns;
	uint64_t retry_ns;
	uint64_t tail_trust_ns;
	uint64_t session_dead_ns; /* silence after which a session is closed */
	uint64_t gc_ns;           /* how often the GC horizon may move */
	/* Sealed sessions: a table with node_crypto_slots() slots, and the node's own
	 * secret; whom it knows comes with NODE_IN_KEYS. NULL: in clear. */
	const struct crypto *crypto;
	uint8_t secret[CRYPTO_KEY_BYTES];
	uint8_t psk[CRYPTO_KEY_BYTES];
	uint64_t rekey_ns; /* how long keys of a session live; 0: as wire/ has it */
	/* The log is trimmed: it grows by so many bytes, of records or on the disk, between two
	 * state images; 0: never. */
	uint64_t image_bytes;
	/* Sealed: what servers may show in place of a listed key, and which groups it opens
	 * for them, as in a struct node_key. NULL: nothing. */
	const struct certificates *certificates;
	uint32_t certificate_group_count;
	uint8_t certificate_group[NODE_KEY_GROUPS_MAX][16];
	uint64_t expel_ns; /* a member without a session for so long is expelled */
	/* So is the one furthest behind, when submissions wait for room for so long because it
	 * has not committed, and two others have; 0: never. They wait twice as long for a node
	 * that follows, and whose vote is not needed. */
	uint64_t lag_ns;
};

/* What an administrator wants of a group. Lost where nobody leads it: whoever wants it asks
 * again, and sees in the status what came of it. */
enum node_order_kind {
	NODE_ORDER_DROP = 1,  /* group: with nobody in it, it goes for good; see node/directory.c */
	NODE_ORDER_EXPEL = 2, /* group, incarnation: of one that is a member */
	NODE_ORDER_LIST = 3,  /* group 0, key: all nodes list it, besides those of NODE_IN_KEYS */
	NODE_ORDER_UNLIST = 4, /* group 0, key.key: not any more, whosesoever it is */
	/* Group 0, node, endpoint, key (its uuid; zeros for a key: in clear): that is somebody's
	 * number from now on, on all nodes. Void where another has the number, uuid or address. */
	NODE_ORDER_ADD = 5,
	NODE_ORDER_FORGET = 6, /* group 0, node: it is nobody's; not while it votes */
};

struct node_order {
	enum node_order_kind kind;
	uint32_t group; /* its number */
	uint64_t incarnation;
	struct node_key key;
	uint8_t node; /* a number */
	struct endpoint endpoint;
};

enum node_input_kind {
	NODE_IN_RECORD = 1, /* data, bytes: a record of the log; lsn = its end */
	/* tail, process: number of this process, higher than any before; lsn: the log's end */
	NODE_IN_START = 2,
	NODE_IN_PACKET = 3, /* from, data, bytes */
	/* lsn: every byte below it is on disk; disk_bytes: what the log takes there since where it
	 * began at start, where that is more than its records; else 0 */
	NODE_IN_DURABLE = 4,
	NODE_IN_LOG_FAILED = 5, /* the log takes no more: voting ends */
	NODE_IN_READ_DONE = 6, /* lsn as asked (a record's end), data, bytes; 0 bytes: unreadable */
	NODE_IN_RANDOM =
		7, /* data, bytes: entropy; at start 64 bytes at least, then now and then */
	NODE_IN_TICK = 8,
	NODE_IN_KEYS = 9, /* keys, key_count: all that this node lists besides group 0's */
	NODE_IN_VOTERS = 10,
	/* voters, horizon (0: as it is), number: these nodes are to vote with so many slots in
	 * flight in every group, if the configuration of group 0 still has that number;
	 * node_status() shows what came of it. Lost where nobody leads, or where a change is not in
	 * force yet. */
	NODE_IN_LEAD = 11,
	/* number, all_lead: whether all voters of this group are to lead, or one; see
	 * node/directory.c. Lost where nobody leads group 0. */
	NODE_IN_ORDER = 12, /* order */
	/* force, here_only: a majority is lost for good, these vote from now on, in this epoch.
	 * Said to all that this node has a link with, unless here_only. Void unless its number
	 * is node_force_number() and this node is named. */
	NODE_IN_FORCE = 13,
	/* lsn: the log begins there, since what lay before was dropped. Before the first record. */
	NODE_IN_TRIMMED = 14,
	/* certificates: others in their place, where there were some; what they had opened is
	 * to be shown anew. The old ones are the caller's again. */
	NODE_IN_CERTIFICATES = 15,
	/* secrets: the node's own from now on, where it had some; see wire_secrets() */
	NODE_IN_SECRETS = 16,
};

struct node_input {
	enum node_input_kind kind;
	uint64_t now_ns;
	struct endpoint from;
	const uint8_t *data;
	uint32_t bytes;
	uint64_t lsn;
	uint64_t disk_bytes;
	uint64_t process;
	enum paxos_tail tail;
	const struct node_key *keys;
	uint32_t key_count; /* at most NODE_KEYS_MAX */
	uint32_t voters;    /* a bit per node */
	uint32_t horizon;
	uint64_t number;
	bool all_lead;
	const struct node_order *order;
	const struct certificates *certificates;
	const struct node_secrets *secrets;
	struct node_forced force;
	bool here_only;
	bool more; /* another input of the same burst follows: proposals may still be batched */
	uint64_t room_bytes; /* of any: what the log can take besides, 1 at least; 0: without end */
};

enum node_output_kind {
	NODE_OUT_SEND = 1,    /* to, data, bytes, after_lsn */
	NODE_OUT_LOG = 2,     /* data, bytes: one record; lsn = its end */
	NODE_OUT_READ = 3,    /* lsn: end of a record; bytes: its length */
	NODE_OUT_DELIVER = 4, /* group, slot, data, bytes: for those who watch */
	NODE_OUT_RESULT = 5,  /* group, index, digest: for those who watch */
	NODE_OUT_TIMER = 6,   /* at_ns: next NODE_IN_TICK wanted; last output of a step */
	NODE_OUT_DIVERGED =
		7, /* group, index: a majority computed another result; last output of all */
	/* index: a node that has seen this disk further, up to lsn; last output of all. This
	 * process may have nothing to say; the next may start with PAXOS_TAIL_MISSING. */
	NODE_OUT_OUTDATED = 8,
	/* index: the epoch's number. It is on disk, and the next process begins in it; last
	 * output of all. */
	NODE_OUT_FORCED = 9,
	NODE_OUT_DROP = 10, /* lsn: no record below is asked for any more */
	/* group, slot, index, digest: its state is a state image's, and what it delivers next
	 * comes behind that slot, 0 where it begins anew; for those who watch */
	NODE_OUT_IMAGE = 11,
	/* lsn: the log of a node that is alone lacks records from there on; last output of all */
	NODE_OUT_LOST = 12,
	/* group, index: a member had committed something else up to there; for those who watch */
	NODE_OUT_MEMBER_DIVERGED = 13,
	/* group, slot, index, change: the order is cut before this entry, up to the fork into this
	 * epoch, see node/cut.c; for those who watch */
	NODE_OUT_CUT = 14,
};

struct node_output {
	enum node_output_kind kind;
	struct endpoint to;
	const uint8_t *data;
	uint32_t bytes;
	uint32_t group;
	uint32_t change; /* DELIVER: of the voters, as in struct paxos_value */
	uint64_t after_lsn;
	uint64_t lsn;
	uint64_t slot;
	uint64_t index;
	uint64_t digest;
	uint64_t at_ns;
};

struct node_sink {
	void *context;
	void (*emit)(void *context, const struct node_output *output);
};

size_t node_size(const struct node_config *config);

/* The largest event horizon for which there are values enough. */
uint32_t node_horizon_max(const struct node_config *config);

/* What the pool must have, or a node can stand still with all of it in use: two for each slot of
 * every group (what is in flight, and what others report of it), as many as one group may have
 * been told and not apply while it waits for a write set, and one that comes in. */
uint32_t node_values_min(uint32_t groups_max, uint32_t horizon);

/* How many slots `crypto` needs: no more than sessions there can be. */
uint32_t node_crypto_slots(const struct node_config *config);

/* `memory` is node_size() bytes, 64-byte aligned; what is in it does not matter. */
struct node *node_init(void *memory, const struct node_config *config);

/*
 * The number of the epoch that follows `epoch` where these nodes go on. A node goes over to one
 * epoch only, so of two sides of a split that were both forced on, by mistake, no node is in
 * both: as the number says who is the lowest of them, each side counts in numbers of its own,
 * and so do the GTIDs. A server of one side is then refused by the other for what it has.
 */
static inline uint32_t
node_force_number(uint32_t epoch, uint32_t voters)
{
	uint32_t number = epoch + 1;

	must(voters != 0 && voters >> NODE_NODES_MAX == 0);
	while (number % NODE_NODES_MAX != (uint32_t)__builtin_ctz(voters))
		number++;
	return number;
}

/* As replay left it: what the log writes from now on is of this epoch. */
const uint8_t *node_epoch(const struct node *node);

void node_step(struct node *node, const struct node_input *in, const struct node_sink *sink);

/* Members that asked for a group which their key may not open; of the last of them the
 * key, the group, and where it was. */
struct node_turned_away {
	uint64_t count;
	uint8_t key[CRYPTO_KEY_BYTES];
	uint8_t group[16];
	struct endpoint from;
};

#define NODE_LOST_MAX 16

/* What `synodctl status` shows; counters only ever rise. */
struct node_group_status {
	uint32_t group;
	uint8_t uuid[16];
	/* Of those that are connected; this one only with a majority. Or PAXOS_NO_VOTER. */
	uint8_t leader;
	struct paxos_configuration configuration; /* the latest */
	bool settled;  /* a majority of its voters has all that others voted on before */
	bool all_lead; /* so an administrator wants it */
	uint64_t delivered_slot;
	uint64_t last_index;
	uint64_t horizon_index;
	uint64_t certified;
	uint64_t conflicts;
	uint64_t index_hashes;
	uint32_t member_count;
	uint32_t epoch; /* of the last transaction; a node that leads takes it to the node's */
	/* After a force: GTIDs that only the lost may have given, see group_lost_next(). */
	uint32_t lost_count;
	struct gtid_interval lost[NODE_LOST_MAX];
	/* See node/cut.c: where the order was cut by this process, 0 is nowhere; and transactions
	 * that are accepted, the last ones, whose payload no node has. */
	uint64_t cut_index;
	uint32_t gone_count;
	struct gtid gone[NODE_LOST_MAX];
};

/* The `at`-th run of GTIDs that this group has executed, in the order of certify/gtid.h. False:
 * there are not so many. */
bool node_group_executed(const struct node *node, uint32_t position, uint32_t at,
			 struct gtid_interval *run);

struct node_status {
	uint8_t self;
	uint64_t process;
	bool may_leave;           /* it votes nowhere any more, and nobody needs its votes */
	struct node_forced epoch; /* of this process */
	bool voting;              /* false after a write error, or while a cut tail is settled */
	uint32_t differing;       /* a bit per node that computed another result than this one */
	/* Members found here to have committed something else than was ordered; the last one */
	uint64_t members_diverged;
	uint32_t diverged_group;
	uint8_t diverged_uuid[16];
	uint32_t outdated;   /* a bit per node refused for a log that ends before it had */
	bool repairing;      /* the log lacks what it had; the other nodes are asked for it */
	uint64_t lost_lsn;   /* where the last hole begins */
	uint64_t lost_bytes; /* of all holes, each to where writing went on behind it */
	uint64_t lsn_next;
	uint64_t lsn_durable;
	uint32_t link_up; /* a bit per node */
	uint32_t group_count;
	uint32_t values_free;
	uint64_t dropped_undecodable;
	uint64_t dropped_epoch;
	uint64_t dropped_no_value;
	uint64_t dropped_unknown_group;
	uint64_t dropped_chunks; /* repeated, out of order, or of no payload that is wanted */
	uint32_t payloads_open;  /* being received, or whole and not decided */
	uint64_t datagrams_dropped;
	uint64_t dropped_forged;    /* of these: sealed by no key of ours or the peer's */
	uint64_t dropped_key;       /* by a key that is not listed, or not for that end */
	uint64_t dropped_clear;     /* in clear */
	uint64_t dropped_load;      /* handshakes beyond their rate */
	uint64_t dropped_replayed;  /* taken before, or too old to know */
	uint64_t dropped_unknown;   /* of no session */
	uint64_t dropped_retired;   /* under keys that are not held any more, or yet */
	uint64_t dropped_malformed; /* or damaged, or of no size that a datagram has */
	uint64_t dropped_handshake; /* answers to nothing, or stale */
	struct node_turned_away turned_away;
	uint64_t cookies_sent;
	uint64_t rekeys;
	uint8_t unlisted[CRYPTO_KEY_BYTES]; /* the last of dropped_key, and where it was */
	struct endpoint unlisted_from;
	uint64_t certificates_refused; /* shown by servers; of the last, why, and where it was */
	enum certificates_verdict certificate_verdict;
	struct endpoint certificate_from;
	uint64_t other_versions; /* handshakes with ends of another protocol version */
	uint32_t other_version;  /* of the last of them, and where it was */
	struct endpoint other_version_from;
	uint64_t retransmitted;
};

/* Where a round of state images stands, in the order in which it gets there. */
enum node_round {
	NODE_ROUND_NONE = 0,    /* the log has not grown by image_bytes since the last one */
	NODE_ROUND_WRITTEN = 1, /* it is being */
	NODE_ROUND_ON_DISK = 2, /* it waits for the disk */
	NODE_ROUND_GIVEN = 3,   /* it waits until another node has taken the last one's images */
	NODE_ROUND_MEMBERS = 4, /* it waits for a member that has not committed what it covers */
	NODE_ROUND_NODES = 5,   /* it waits for nodes to say that they computed the same */
};

struct node_image_status {
	uint64_t every_bytes; /* image_bytes */
	uint64_t trimmed_lsn; /* nothing below is asked for any more */
	uint64_t used;        /* rounds, by this process */
	uint64_t used_ns;     /* when the last one was */
	enum node_round round;
	uint64_t round_lsn; /* where it begins, unless NONE */
	/* MEMBERS, NODES: of this group, up to index. MEMBERS: the one furthest behind, by what
	 * it has committed; zeros: nobody is there who has. NODES: a bit for each that agrees. */
	uint32_t group;
	uint64_t index;
	uint8_t member[16];
	uint64_t committed;
	uint32_t agreed;
	bool slowed;    /* submissions wait for room in the log */
	uint64_t taken; /* images of other nodes that are in use here, those of a replay too */
	/* Another node's image that this one takes: so many parts are here. */
	bool taking;
	uint8_t from;
	uint32_t taken_group;
	uint32_t parts;
	uint32_t parts_all;
};

void node_image_status(const struct node *node, struct node_image_status *status);

struct node_member_status {
	uint8_t uuid[16];
	char host[256];
	uint16_t port;
	uint64_t incarnation;
	uint64_t session;
	uint8_t node; /* attached to */
	bool online;
	bool connected; /* to this node */
	uint64_t committed_index;
	uint64_t mark_low;
};

/* Of the keys that group 0 lists; `position` counts from 0, false past the last. */
bool node_listed_key(const struct node *node, uint32_t position, struct node_key *key);

/* Of a number, below NODE_NODES_MAX. */
struct node_peer_status {
	uint8_t uuid[16];
	struct endpoint endpoint;
	bool listed;    /* by group 0, whatever the configuration names */
	bool forgotten; /* by group 0 */
	bool differs;   /* what group 0 says of it is not in the configuration, or not so */
	bool stranger;  /* another node came with that number, and was refused */
};

/* False: it is nobody's. */
bool node_peer_status(const struct node *node, uint8_t number, struct node_peer_status *status);

void node_status(const struct node *node, struct node_status *status);
/* `position` counts from 0; false past the last. */
bool node_group_status(const struct node *node, uint32_t position,
		       struct node_group_status *status);
bool node_member_status(const struct node *node, uint32_t group, uint32_t position,
			struct node_member_status *status);

#endif /* NODE_NODE_H */
