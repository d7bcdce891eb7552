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

#include "base/crypto.h"
#include "base/endpoint.h"
#include "base/frame.h"
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

struct node_config {
	uint8_t self;       /* 0..node_count-1 */
	uint8_t node_count; /* 1..NODE_NODES_MAX */
	uint8_t leader;     /* owner of ballot 0 of group 0, a voter */
	uint32_t voters;    /* a bit per node: who votes in group 0 at first; 0: all */
	uint8_t epoch[EPOCH_BYTES];
	uint8_t disk[NODE_DISK_BYTES]; /* the log's random id; zeros: it is in memory */
	uint8_t uuid[NODE_NODES_MAX][16];
	struct endpoint endpoint[NODE_NODES_MAX];
	uint32_t groups_max;
	uint32_t members_max;      /* of one group; sessions are members_max + node_count */
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
	uint32_t values_max; /* in the pool, >= groups_max * horizon * 2 */
	uint32_t horizon;
	uint32_t datagram_bytes_max;
	uint32_t stream_bytes; /* send buffer and credit window of a stream */
	uint64_t takeover_ns;
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
	uint64_t expel_ns; /* a member without a session for so long is expelled */
};

enum node_input_kind {
	NODE_IN_RECORD = 1, /* data, bytes: a record of the log; lsn = its end */
	/* tail, process: number of this process, higher than any before; lsn: the log's end */
	NODE_IN_START = 2,
	NODE_IN_PACKET = 3,     /* from, data, bytes */
	NODE_IN_DURABLE = 4,    /* lsn: every byte below it is on disk */
	NODE_IN_LOG_FAILED = 5, /* the log takes no more: voting ends */
	NODE_IN_READ_DONE = 6, /* lsn as asked (a record's end), data, bytes; 0 bytes: unreadable */
	NODE_IN_RANDOM =
		7, /* data, bytes: entropy; at start 64 bytes at least, then now and then */
	NODE_IN_TICK = 8,
	NODE_IN_KEYS = 9, /* keys, key_count: all that are listed now, and no others */
	NODE_IN_VOTERS = 10,
	/* voters, number: these nodes are to vote, if the configuration of group 0 still has
	 * that number; node_status() shows what came of it. Lost where nobody leads, or where a
	 * change is not in force yet. */
	NODE_IN_LEAD = 11,
	/* number, all_lead: whether all voters of this group are to lead, or one; see
	 * node/directory.c. Lost where nobody leads group 0. */
};

struct node_input {
	enum node_input_kind kind;
	uint64_t now_ns;
	struct endpoint from;
	const uint8_t *data;
	uint32_t bytes;
	uint64_t lsn;
	uint64_t process;
	enum paxos_tail tail;
	const struct node_key *keys;
	uint32_t key_count; /* at most NODE_KEYS_MAX */
	uint32_t voters;    /* a bit per node */
	uint64_t number;
	bool all_lead;
	bool more; /* another input of the same burst follows: proposals may still be batched */
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

/* How many slots `crypto` needs: no more than sessions there can be. */
uint32_t node_crypto_slots(const struct node_config *config);

/* `memory` is node_size() bytes, 64-byte aligned; what is in it does not matter. */
struct node *node_init(void *memory, const struct node_config *config);

void node_step(struct node *node, const struct node_input *in, const struct node_sink *sink);

/* Members that asked for a group which their key may not open; of the last of them the
 * key, the group, and where it was. */
struct node_turned_away {
	uint64_t count;
	uint8_t key[CRYPTO_KEY_BYTES];
	uint8_t group[16];
	struct endpoint from;
};

/* What `synodctl status` shows; counters only ever rise. */
struct node_group_status {
	uint32_t group;
	uint8_t uuid[16];
	uint8_t leader;                           /* or PAXOS_NO_VOTER */
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
};

struct node_status {
	uint8_t self;
	uint64_t process;
	bool may_leave;      /* it votes nowhere any more, and nobody needs its votes */
	bool voting;         /* false after a write error, or while a cut tail is settled */
	uint32_t differing;  /* a bit per node that computed another result than this one */
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
	uint64_t other_versions; /* handshakes with ends of another protocol version */
	uint32_t other_version;  /* of the last of them, and where it was */
	struct endpoint other_version_from;
	uint64_t retransmitted;
};

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

void node_status(const struct node *node, struct node_status *status);
/* `position` counts from 0; false past the last. */
bool node_group_status(const struct node *node, uint32_t position,
		       struct node_group_status *status);
bool node_member_status(const struct node *node, uint32_t group, uint32_t position,
			struct node_member_status *status);

#endif /* NODE_NODE_H */
