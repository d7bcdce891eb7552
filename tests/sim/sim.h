/*
 * tests/sim/sim.h - a whole appliance with its servers, in one process, from a seed.
 *
 * The simulator drives node_step() and member_step(), nothing below them, in the
 * order of the poll loop: packet, step, log submit, durable, step. Time is a
 * number, the network and the disks are arrays, and every choice is drawn from
 * one generator: a seed and a commit replay a run, bit for bit.
 *
 *     clock.c     generator, event heap, local clocks
 *     net.c       datagrams: latency, loss, duplicates, reordering, cuts, forgeries
 *     disk.c      the log's bytes on a disk that tears what it had not acknowledged
 *     nodes.c     node processes: start, step, crash between two outputs
 *     members.c   member processes: the same for member_step()
 *     server.c    a model of the server: rows, locks, binlog, group commit, restart
 *     applier.c   its applier: parallel by dependency, kills who is in its way
 *     client.c    its clients: transactions of a few hot rows
 *     faults.c    what goes wrong, and healing
 *     checkers.c  what must hold; it stands outside and knows no internals
 *     large.c     large transactions: what was lent, what comes in pieces, what the
 *                 disks hold of them
 *     groups.c    administrators who expel members and drop groups
 *     attached.c  by which session a member hangs on a node, and who is expelled
 *     voters.c    who votes and leads, and administrators who want others
 *     comers.c    nodes that are added by their addresses, and forgotten
 *     force.c     a majority is lost for good, and the survivors are forced on
 *     bent.c      a node whose memory rots, and whether the others find out
 *     seal.c      keys, and who forges without one; half of the runs are in clear
 *     swarm.c     what a run is like: sizes, speeds, which faults and how often
 *     words.c     names, for who reads a trace
 *     run.c       one seed from begin to end
 *
 * Units      virtual nanoseconds since the run began; `local` ones are a process's
 *            own, with an offset and a drift.
 * Ownership  one struct sim is used for many seeds; its memory is kept.
 * Errors     a broken promise calls sim_fail() and ends the run.
 * Threads    one. --jobs forks.
 */
#ifndef TESTS_SIM_SIM_H
#define TESTS_SIM_SIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/must.h"
#include "certify/gtid.h"
#include "node/member.h"
#include "node/node.h"
#include "paxos/log_format.h"
#include "tests/wire/fake_crypto.h"

#define SIM_NODES_MAX      7
#define SIM_SERVERS_MAX    6
#define SIM_GROUPS_MAX     3
#define SIM_PROCESSES_MAX  (SIM_NODES_MAX + SIM_SERVERS_MAX)
#define SIM_ROWS           24
#define SIM_ROWS_HOT       4
#define SIM_CLIENTS_MAX    5
#define SIM_TX_ROWS_MAX    3
#define SIM_DATAGRAM_BYTES 1400
#define SIM_APPLY_MAX      8192 /* power of two: entries queued at one applier */
#define SIM_GTIDS_MAX      16384
#define SIM_GTID_PLACES    (2 * SIM_GTIDS_MAX) /* power of two */
#define SIM_RETURNED_MAX   1024
#define SIM_CHANGES_MAX    256
#define SIM_ATTACHED_MAX   256 /* incarnations of a group */
#define SIM_GROUP_NUMBERS  16  /* no number is used twice */
#define SIM_SEGMENT_BYTES  (2u << 20)
#define SIM_SEGMENTS_MAX   48
#define SIM_LOG_IMAGES     4 /* as dpdk/plan.c has it */
#define SIM_LOG_BYTES_MIN  (1u << 20)
#define SIM_FILES          8 /* of a log that has an end: what is dropped goes by the file */
#define SIM_PAYLOAD_BYTES  (128u << 10)
#define SIM_CRYPTO_SLOTS   256
#define SIM_COUNTER_AT     8   /* where a datagram has its counter */
#define SIM_PAYLOADS_MAX   512 /* large ones of a run that the checkers follow */
#define SIM_FORKS_MAX      3
#define SIM_CUTS_MAX       (SIM_FORKS_MAX * SIM_GROUP_NUMBERS)

#define US  UINT64_C(1000)
#define MS  UINT64_C(1000000)
#define SEC UINT64_C(1000000000)

struct sim;

/* ---- clock.c ---- */

enum sim_event_kind {
	EVENT_PACKET = 1,    /* slot: the datagram */
	EVENT_RESTART = 3,   /* a process comes back */
	EVENT_WRITTEN = 5,   /* a disk's batch is on disk */
	EVENT_READ = 6,      /* slot: the read that is done */
	EVENT_CLIENT = 7,    /* slot: client | generation << 8 */
	EVENT_SUBMIT = 8,    /* slot: client | generation << 8: out of the mailbox */
	EVENT_APPLIED = 9,   /* slot: position in the applier's queue */
	EVENT_SYNCED = 10,   /* binlog group is synced */
	EVENT_RELEASED = 11, /* commit stage over: GTIDs are executed */
	EVENT_START = 12,    /* START GROUP_REPLICATION */
	EVENT_STOP_LATE = 13,
	EVENT_FAULT = 14,
	EVENT_WATCH = 15,
	EVENT_STOP_GO_ON = 16,
	EVENT_HOOKS = 17, /* slot: after-commit hooks of the commits before it */
};

struct sim_event {
	uint64_t at_ns;
	uint64_t order; /* equal times: first pushed, first popped */
	uint64_t life;  /* of the process; a later life ignores it. 0: whichever */
	uint32_t slot;
	uint8_t kind;
	uint8_t process;
};

struct sim_heap {
	struct sim_event *event;
	uint32_t count;
	uint32_t capacity;
	uint64_t order;
};

struct sim_random {
	uint64_t state[4];
};

void random_seed(struct sim_random *r, uint64_t seed);
uint64_t random_mean(struct sim_random *r, uint64_t mean); /* geometric tail, bounded */

static inline uint64_t
random_rotated(uint64_t x, int k)
{
	return x << k | x >> (64 - k);
}

/* xoshiro256**, seeded by splitmix64: public domain algorithms by Blackman and
 * Vigna, chosen because the sequence is the same on every machine. */
static inline uint64_t
random_u64(struct sim_random *r)
{
	uint64_t *s = r->state;
	uint64_t result = random_rotated(s[1] * 5, 7) * 9;
	uint64_t t = s[1] << 17;

	s[2] ^= s[0];
	s[3] ^= s[1];
	s[1] ^= s[2];
	s[0] ^= s[3];
	s[2] ^= t;
	s[3] = random_rotated(s[3], 45);
	return result;
}

static inline uint64_t
random_below(struct sim_random *r, uint64_t n)
{
	must(n > 0);
	return random_u64(r) % n;
}

/* Inclusive. */
static inline uint64_t
random_between(struct sim_random *r, uint64_t low, uint64_t high)
{
	must(low <= high);
	return low + random_below(r, high - low + 1);
}

static inline bool
random_chance(struct sim_random *r, uint32_t per_million)
{
	return random_below(r, 1000000) < per_million;
}

void heap_push(struct sim_heap *h, struct sim_event event);
bool heap_pop(struct sim_heap *h, struct sim_event *event);

static inline uint64_t
heap_next_ns(const struct sim_heap *h)
{
	return h->count > 0 ? h->event[0].at_ns : UINT64_MAX;
}

/* ---- processes ---- */

struct sim_process {
	bool up;
	bool replaying; /* its log; it cannot die meanwhile */
	bool dying;     /* its crash budget ran out in this step */
	uint64_t life;
	uint32_t crash_after; /* outputs until it dies; 0: not armed */
	uint64_t stalled_until_ns;
	uint64_t clock_offset_ns;
	int32_t clock_ppm;
	uint64_t ticks_since_ns; /* the millisecond in which `ticks` are counted */
	uint32_t ticks;
};

/* ---- disk.c ---- */

struct sim_batch_place {
	uint64_t lsn;
	uint32_t bytes;
	size_t position; /* of its records in the image */
};

struct sim_disk {
	uint8_t *image;  /* SIM_SEGMENTS_MAX segments, mapped once */
	uint16_t *dirty; /* per block: bytes at its begin that may not be zero */
	size_t used;     /* bytes of the image that may not be zero */
	uint8_t disk_id[LOG_ID_BYTES];
	uint8_t server[LOG_ID_BYTES];
	uint8_t epoch[EPOCH_BYTES];
	uint32_t segment;  /* number of the one in use */
	uint32_t position; /* in it, of the next batch */
	bool header_due;   /* the next write carries the LIVE header too */
	uint64_t ordinal;
	uint64_t append_lsn;
	uint64_t durable_lsn;
	uint64_t dropped_lsn; /* the node needs nothing below */
	uint64_t kept_lsn;    /* and a start found nothing below this */
	size_t begin;         /* where in the image what is kept begins, or the file before that */
	size_t began;         /* as it was at the last start */
	uint64_t checked_lsn; /* the checkers have seen every record below */
	bool failed;
	bool slowed;   /* it has little room */
	bool full;     /* or none */
	bool renewed;  /* it is a new one under a number that is not; until repaired */
	bool stranger; /* and all the others know that it is not what they saw */
	bool repairs;  /* the last process did, when it ended */
	bool outdated; /* another node said that it forgot: whoever runs it has it repaired */
	bool writing;
	uint64_t write_ns;  /* mean time of a write */
	uint32_t stall_ppm; /* of writes that take stall_ns besides */
	uint64_t stall_ns;
	uint64_t slow_until_ns;
	bool stopped; /* in order */
	bool lied;    /* its last batches are gone; a start is unclean, whatever it ends with now */
	uint8_t *copy; /* of the image, as it was at some crash; copy_bytes 0: none */
	size_t copy_bytes;
	uint32_t copy_segment;
	uint64_t copy_lsn;
	uint64_t copy_dropped_lsn;
	uint8_t *pending; /* records not yet in a batch, behind room for a header */
	uint32_t pending_bytes;
	uint32_t pending_count;
	uint32_t pending_capacity;
	uint8_t *flight; /* bytes under way, and where they go */
	size_t flight_bytes;
	size_t flight_filled; /* of them before the zeros at the end */
	size_t flight_position;
	uint32_t flight_records; /* bytes of records in it */
	size_t flight_records_at;
	struct sim_batch_place *place;
	uint32_t place_count;
	uint32_t place_capacity;
};

struct sim_read {
	bool used;
	uint64_t lsn;
	uint32_t bytes;
};

#define SIM_READS_MAX 256

struct sim_node {
	struct sim_process process;
	struct node *node;
	void *memory;
	size_t memory_bytes;
	struct node_config config;
	struct sim_disk disk;
	struct sim_read read[SIM_READS_MAX];
	uint32_t reads_used;
	uint64_t starts;
	uint64_t delivered[SIM_GROUP_NUMBERS]; /* of this life: last slot, 0 none */
	uint64_t restart_ns;                   /* 0: none is planned */
};

/* ---- server.c, applier.c, client.c ---- */

enum sim_tx_state {
	TX_OPEN = 1,
	TX_ACCEPTED = 2,
	TX_REFUSED = 3, /* a verdict other than accepted was told */
	TX_UNKNOWN = 4, /* its server or incarnation ended first */
	TX_NEVER = 5,   /* rolled back before it was submitted */
};

/* One transaction that a client ever began; the checkers' registry. */
struct sim_tx {
	uint8_t group;
	uint8_t server;
	uint8_t state;
	uint8_t row_count;
	bool fence;
	bool submitted;
	bool late; /* after everything had healed */
	bool acked;
	bool returned; /* LOCAL_FAILED: comes back by the applier */
	bool requeued; /* it came */
	uint8_t row[SIM_TX_ROWS_MAX];
	uint8_t shared; /* a bit per row: as a child has its parent's */
	uint64_t seen[SIM_TX_ROWS_MAX];
	uint64_t before[SIM_TX_ROWS_MAX]; /* the same; of a shared one the chain alone */
	uint64_t after[SIM_TX_ROWS_MAX];  /* of a shared one what it adds to the children */
	uint64_t incarnation;
	uint64_t sequence; /* or name: as the member is told */
	uint64_t offer;    /* of its payload, 0 none */
	uint64_t index;    /* 0: not known to be accepted */
	uint8_t life;      /* how often its group had been dropped before */
	bool caught_up;    /* its member knew everything up to its own join, and had nothing
			    * that failed and was not back */
	uint64_t conflict; /* index at which it was refused for a conflict, 0 not */
	bool lost;         /* a force has made its acceptance void; the GTID is that one's */
	struct gtid gtid;
	uint8_t *lent; /* the payload, while the member has it */
};

/* A row that is written, or shared: a child of it is written elsewhere, and must find it as
 * it was; who writes it next must find all its children. */
struct sim_row {
	uint64_t chain;    /* folds every transaction that wrote it, in order */
	uint64_t children; /* sum over those that shared it since */
	uint64_t writes;
	int32_t owner;            /* client, SIM_APPLIER + queue position, or SIM_NOBODY */
	uint32_t sharers;         /* a bit per client */
	uint32_t applier_sharers; /* so many entries of the applier's queue */
};

static inline bool
sim_shares(const struct sim_tx *tx, uint32_t k)
{
	return (tx->shared >> k & 1) != 0;
}

/* What a reader of the row finds. */
static inline uint64_t
sim_row_value(const struct sim_row *row)
{
	return row->children == 0 ? row->chain : hash_fold(row->chain, row->children);
}

#define SIM_NOBODY  (-1)
#define SIM_APPLIER 1000

enum sim_client_state {
	CLIENT_IDLE = 1,
	CLIENT_LOCKING = 2,     /* has `at` rows; a statement runs */
	CLIENT_ROW_WAIT = 3,    /* waits for row[at] */
	CLIENT_COMMIT_WAIT = 4, /* waits for the commit lock to take its snapshot */
	CLIENT_MAILBOX = 5,     /* snapshot taken, not yet with the member */
	CLIENT_SUBMITTED = 6,
	CLIENT_COMMITTING = 7, /* accepted, in the group commit */
	CLIENT_FAILING = 8,    /* accepted, and this server cannot commit it */
	CLIENT_BARRIER = 9,    /* begins when all that was told before is committed here */
};

struct sim_client {
	enum sim_client_state state;
	uint32_t generation; /* a pending event of an older one is ignored */
	uint32_t tx;
	uint8_t at;
	bool killed; /* the applier took its locks; the verdict must be a refusal */
	bool abandoned;
	uint64_t wait_order;
	uint64_t since_ns;
	uint64_t barrier; /* that it waits for */
	uint64_t told;    /* the highest index that anybody had been told when it asked */
	struct snapshot_taken *taken;
};

enum sim_apply_state {
	APPLY_QUEUED = 1,
	APPLY_RUNNING = 2,
	APPLY_READY = 3, /* applied, waits for its turn to commit */
	APPLY_COMMITTING = 4,
	APPLY_DONE = 5,
};

struct sim_apply {
	uint64_t index;
	uint64_t dependency;
	uint32_t tx;
	uint8_t state;
};

struct sim_commit {
	bool applier;
	uint32_t slot; /* client, or queue position */
	uint32_t tx;
};

enum sim_server_state {
	SERVER_OFF = 1, /* running, not in the group */
	SERVER_STARTING = 2,
	SERVER_ON = 3,
	SERVER_ABANDONING = 4, /* STOP: waits for the verdicts of what is open */
	SERVER_STOPPING = 5,   /* waits for MEMBER_OUT_STOPPED */
};

struct sim_server {
	struct sim_process process;
	struct member *member;
	uint64_t offered[ENTRY_OFFER_LANES]; /* as large_offered() saw last */
	void *memory;
	size_t memory_bytes;
	struct member_config config;
	uint8_t number;
	uint8_t group;
	enum sim_server_state state;
	bool connected;
	bool ever_bootstrapped; /* some START of the group has succeeded */
	bool try_bootstrap;
	uint64_t lacks;            /* index of what no node can feed it, 0: nothing */
	bool extra;                /* it has committed what is void, and is to be put back */
	uint64_t last_incarnation; /* survives a crash */
	uint64_t incarnation;
	uint64_t start_nonce;
	uint64_t queued_index; /* highest told by MEMBER_OUT_QUEUE */
	uint64_t view_index;
	uint32_t view_online; /* rows online in the last view */
	uint32_t view_rows;
	bool view_self_online;
	uint64_t write_ns;

	struct sim_row row[SIM_ROWS];
	uint32_t client_count;
	struct sim_client client[SIM_CLIENTS_MAX];
	uint64_t wait_order;
	uint64_t barriers;      /* that clients have asked for */
	uint64_t barrier_clean; /* all told up to this index was found committed here */

	uint32_t *binlog; /* transactions in the order of their commit here */
	uint32_t binlog_count;
	uint32_t binlog_synced;
	uint32_t binlog_capacity;
	uint8_t *executed; /* by transaction: is its GTID in gtid_executed */
	uint32_t executed_count;

	uint8_t *piece; /* of a payload that comes in pieces */
	uint64_t piece_index;
	uint32_t piece_bytes;    /* so many have come; 0: none is amid its pieces */
	struct sim_apply *apply; /* ring of SIM_APPLY_MAX */
	uint32_t apply_first;
	uint32_t apply_end;
	uint32_t workers;

	struct sim_commit commit[SIM_APPLY_MAX];
	uint32_t hook_first;   /* committed, and its after-commit hook has not run */
	uint32_t commit_first; /* of the group that is being written */
	uint32_t commit_group; /* its end */
	uint32_t commit_end;   /* of all that wait */
	bool commit_busy;
	bool commit_lock;
	void *gtids; /* memory for a gtid_set */
	uint8_t *gtid_bytes;
};

/* ---- net.c ---- */

struct sim_packet {
	uint32_t next_free;
	uint8_t from;
	uint8_t to;
	uint16_t bytes;
	uint8_t data[SIM_DATAGRAM_BYTES];
};

struct sim_net {
	struct sim_packet *packet;
	uint32_t capacity;
	uint32_t free; /* UINT32_MAX none */
	uint32_t used;
	uint64_t latency_ns[SIM_PROCESSES_MAX][SIM_PROCESSES_MAX]; /* [from][to], as below */
	uint32_t drop_ppm[SIM_PROCESSES_MAX][SIM_PROCESSES_MAX];
	uint64_t jitter_ns;
	uint32_t duplicate_ppm;
	uint32_t late_ppm;  /* a datagram that takes milliseconds */
	uint32_t forge_ppm; /* sealed: sent once more, changed */
	uint64_t cut_until_ns[SIM_PROCESSES_MAX][SIM_PROCESSES_MAX];
};

/* ---- checkers.c ---- */

#define CHECK_VOTES_MAX 4

/* A payload that is spread, and what each disk holds of it. */
struct check_payload {
	uint32_t group;
	uint64_t incarnation;
	uint64_t offer;
	uint64_t total;
	bool ordered;             /* an entry that names it was delivered */
	uint64_t slot;            /* in this one, last */
	bool scarce;              /* it was, while no majority of the disks had held it */
	uint32_t lost;            /* nodes whose disk had it whole, and was replaced */
	bool past;                /* of before a force, which may have left any holders */
	uint32_t number;          /* transaction + 1, when its first chunk was seen */
	bool kept[SIM_NODES_MAX]; /* where it lies is on disk: a second copy may come and go */
	uint64_t held[SIM_NODES_MAX];
	uint64_t next[SIM_NODES_MAX]; /* the offset that comes next */
};

/* Who votes in a group, from a slot on. */
struct sim_change {
	uint64_t first;
	uint64_t number; /* group 0's, or that of what was copied */
	uint32_t voters;
	uint32_t horizon;
	bool all_lead;
};

/* What was voted on before a force may be found, and was decided by who voted then. */
struct sim_before {
	uint32_t changes;
	uint64_t until; /* for slots below this one */
};

struct sim_voters {
	uint32_t count; /* 0: the group is not known yet */
	uint32_t epoch; /* in which changes count; 0 also where it was founded later */
	uint32_t first; /* of the changes of this epoch */
	uint32_t asked; /* to vote, by changes that may yet be decided; group 0 only */
	uint32_t forks;
	struct sim_before before[SIM_FORKS_MAX]; /* each of them */
	struct sim_change change[SIM_CHANGES_MAX];
};

/* What one disk holds of one slot. */
struct check_vote {
	uint64_t ballot;
	uint64_t value;
};

struct check_slot {
	bool delivered;
	bool before;    /* a force */
	uint64_t value; /* hash of the bytes */
	uint8_t count[SIM_NODES_MAX];
	struct check_vote vote[SIM_NODES_MAX][CHECK_VOTES_MAX];
};

struct check_group {
	struct check_slot *slot;
	uint64_t slot_count;
	uint64_t slot_capacity;
	uint64_t *digest;  /* by index; 0 not seen */
	uint64_t *slot_of; /* so; where the entry stands */
	uint32_t *tx;      /* by index; transaction + 1, 0 none */
	uint64_t index_capacity;
	uint64_t index_count;
	uint32_t *by_gtid;   /* hash table of SIM_GTID_PLACES: transaction + 1, 0 free */
	uint32_t gtids;      /* in it */
	uint64_t ballot_max; /* seen in an acceptance on disk */
	uint64_t promised[SIM_NODES_MAX];
	uint64_t reached[SIM_NODES_MAX]; /* all up to there was delivered, in some life of it */
	uint32_t accepted;
	uint32_t accepted_late;         /* of what was submitted after everything had healed */
	uint64_t forked[SIM_FORKS_MAX]; /* indexes behind which a fork has changed the state */
	uint32_t forks;
};

/* ---- the whole ---- */

struct sim_options {
	uint64_t seed;
	uint32_t nodes;       /* 0: drawn */
	uint32_t submissions; /* at least so many in a run */
	uint32_t rate;        /* of submissions, about, per second; 0: drawn */
	uint64_t duration_ns;
	bool trace;
	bool trace_packets;
	bool force; /* every seed has forces */
	bool added; /* nodes are added in every seed that has some to add */
	bool bound; /* logs have an end in every seed */
	bool storm; /* rare things come together */
};

struct sim_totals {
	uint64_t runs, simulated_ns, decided, takeovers, crashes, failures;
	uint64_t submissions, accepted, conflicts, abandoned, failovers, restarts, stops, spread,
		write_sets, bent, bent_members, rotten, changes, outdated, restored, gone, renewed,
		turns, dropped, trims, images, clones;
	uint64_t bound, slowed, full; /* runs whose logs have an end; nodes: of them one had little
				       * room, or none */
	uint64_t spared;              /* incarnations, suspected by a session that they had left */
	uint64_t lagging;             /* members whom all waited for, and went on without */
	uint64_t added, forgotten;
	uint64_t forced, cut, lost, put_back, lacking; /* lost: acknowledged, and void */
	uint64_t sealed, forged, replayed, rekeys;     /* the last three by nodes */
	uint64_t barriers;
	uint64_t node_steps; /* without those that read a log back */
	uint64_t member_steps;
};

/* ---- faults.c ---- */

enum sim_fault {
	FAULT_NODE_CRASH = 0,
	FAULT_SERVER_CRASH = 1,
	FAULT_NODE_BUDGET = 2, /* it dies between two outputs, soon */
	FAULT_CUT_ONE_WAY = 3, /* a link */
	FAULT_ISOLATE = 4,
	FAULT_HALVES = 5, /* in both directions, or in one */
	FAULT_SLOW_DISK = 6,
	FAULT_LOG_FAILS = 7,
	FAULT_POWER = 8,
	FAULT_STALL = 9,
	FAULT_CLEAN_STOP = 10,
	FAULT_SERVER_STOPS = 11,
	FAULT_FORGED = 12,
	FAULT_BENT = 13,
	FAULT_VOTERS = 14,
	FAULT_DEAF = 15,        /* hears nobody, or is heard by nobody */
	FAULT_CLOCK = 16,       /* jumps forward */
	FAULT_LEAD = 17,        /* other ones are to lead */
	FAULT_EXPEL = 18,       /* by an administrator */
	FAULT_DROP = 19,        /* so; a group */
	FAULT_LEFT_BEHIND = 20, /* a node is cut off, and some servers reach none but it */
	FAULT_FORCE = 21,       /* a majority is lost for good */
	FAULT_NODES = 22,       /* added, or forgotten */
	FAULT_COUNT = 23,
};

/* ---- swarm.c ---- */

/* What a run is like besides its network and its disks. */
struct sim_swarm {
	/* Faults that come, and how often beside each other. */
	uint32_t fault_weight[FAULT_COUNT];
	uint64_t fault_mean_ns;
	uint32_t crash_ppm; /* per step */
	uint64_t down_ns;
	uint64_t cut_ns;
	uint32_t pace;  /* factor of every timeout: trouble comes faster than they, or not */
	bool impatient; /* silence of a leader is borne no longer than it is known to last */
	uint32_t clock_ppm_max;
	uint64_t think_ns;
	uint32_t fail_ppm;    /* of accepted transactions: their server cannot commit them */
	uint32_t barrier_ppm; /* of transactions: they begin behind a barrier */
	bool short_memory;    /* nodes remember little, servers stay away for longer than that */
	uint8_t liar;     /* whose disk may forget what it had acknowledged; SIM_NODES_MAX none */
	uint8_t rotten;   /* whose disk rots; the liar's, if there is one: it is one bad disk */
	uint8_t restored; /* whose disk is put back; the rotten one, in half of those runs */
	uint32_t voters_first; /* of group 0 */
	uint32_t named;        /* nodes that begin; the others are added while these run */
	uint32_t horizon;
	uint32_t inflight_max;
	uint32_t values_spare;
	uint32_t value_bytes_max;
	uint32_t chunk_bytes;
	uint32_t stream_bytes;
	uint32_t submission_bytes;
	uint32_t history_row;
	uint32_t index_hashes_max;
	uint32_t large_one_in; /* transactions is spread, and of so many bytes less 12,000 */
	uint32_t large_bytes;
	uint8_t hangs; /* whose disk hangs again and again; SIM_NODES_MAX: nobody's is drawn */
	uint64_t gc_ns;
	uint64_t image_bytes; /* between two state images; 0: none */
	uint64_t log_bytes;   /* that a log takes on its disk; 0: without end */
	uint64_t lag_ns;      /* so long all wait for one that makes them; 0: for ever */
	uint64_t progress_ns;
};

/* A group that is given up, and those that were. */
struct sim_groups {
	uint32_t away;     /* its servers stay away: group and one; 0: none is given up */
	bool asking;       /* they all are */
	uint64_t since_ns; /* when it was given up */
	uint32_t count;    /* that were dropped */
	uint8_t life[SIM_GROUPS_MAX];
	bool gone[SIM_GROUP_NUMBERS];
};

/* What a force left, by the servers' groups. */
struct sim_fork {
	uint32_t number;
	uint8_t epoch[EPOCH_BYTES];
	uint64_t index[SIM_GROUPS_MAX]; /* all above is void */
};

/* A group's order is cut before this index, by those of this epoch. */
struct sim_cut {
	uint32_t group;
	uint32_t epoch;
	uint64_t index;
};

struct sim_force {
	uint32_t number; /* of the epoch that counts; all survivors are in it */
	uint32_t voters; /* these are they */
	uint32_t lost;   /* nodes that are not, and may not come back as they were */
	uint32_t old;    /* of these: they run as they were nevertheless */
	uint32_t alone;  /* nodes that could decide something alone */
	/* What was asked for last. number 0: all have gone over. */
	struct node_forced asked;
	uint32_t from; /* the epoch that they are in: that of a force before, if one was given up */
	bool begun;    /* somebody was asked */
	uint64_t ask_ns;
	uint32_t over;    /* of the survivors, who have it on disk */
	uint32_t tempted; /* these are to go on alone, now; 0: not now */
	uint64_t delivered[SIM_NODES_MAX][SIM_GROUP_NUMBERS]; /* when it was logged */
	uint64_t decided[SIM_NODES_MAX][SIM_GROUP_NUMBERS];   /* so; what it knew behind that */
	uint32_t known[SIM_GROUP_NUMBERS]; /* nodes that knew the group when they logged FORCED */
	uint32_t fork_count;
	struct sim_fork fork[SIM_FORKS_MAX];
	uint32_t cut_count;
	struct sim_cut cut[SIM_CUTS_MAX];
};

struct sim_comers {
	uint32_t away;                 /* nodes that are nobody: not added yet, or forgotten */
	uint32_t coming;               /* of these: somebody was asked to add them */
	uint32_t going;                /* nodes that somebody was asked to forget */
	uint32_t names[SIM_NODES_MAX]; /* whom a node's file names */
	uint8_t life[SIM_NODES_MAX];   /* nodes that were forgotten behind a number */
};

/* By its latest session, as the order has it. */
struct sim_incarnation {
	uint64_t number;
	uint64_t session;
	bool spared; /* it was suspected by an earlier one */
	bool ended;  /* by an entry */
};

struct sim_attached {
	bool forked;    /* by a force: nothing is known any more */
	uint32_t count; /* what finds no place is not followed */
	struct sim_incarnation incarnation[SIM_ATTACHED_MAX];
};

/* A node whose memory rotted, in the life in which it did. */
struct sim_bent {
	uint8_t node; /* SIM_NODES_MAX: none */
	uint64_t life;
	bool replaced; /* by the state of another node */
	/* since all has healed: in which life each other was linked with it, 0: it is not, and what
	 * either had applied by then; and the comparisons that it had made when one was up to
	 * that, and when enough to outvote it were */
	uint64_t beside[SIM_NODES_MAX];
	uint64_t beside_index[SIM_NODES_MAX];
	uint32_t beside_now; /* who is up to that */
	uint32_t beside_from;
	uint32_t outvoted_from;
	/* a server that committed something else, 0: none; where it hung then */
	uint64_t incarnation;
	uint32_t group;
	uint8_t watcher;
	uint64_t watcher_life;
	uint64_t session;
	uint64_t mark;
};

/* ---- seal.c ---- */

struct sim_seal {
	struct fake_crypto crypto;
	uint64_t slot[SIM_CRYPTO_SLOTS];
	uint8_t secret[CRYPTO_KEY_BYTES];
	uint8_t key[CRYPTO_KEY_BYTES];
	bool renewed; /* of a node: once, and the one before stays good */
	uint8_t secret_before[CRYPTO_KEY_BYTES];
	uint8_t key_before[CRYPTO_KEY_BYTES];
	uint32_t unlisted;  /* of a node: a bit per process whose key it does not list now, */
	uint32_t groupless; /* or for another group */
};

struct sim {
	struct sim_options options;
	struct sim_totals totals;
	struct sim_random random;
	struct sim_heap heap;
	/* When each process wants its next TICK, UINT64_MAX for none. Nearly every step
	 * moves it: in the heap the outdated ones would be most events. */
	uint64_t timer_ns[SIM_PROCESSES_MAX];
	uint64_t now_ns;
	uint64_t digest; /* of when what came: two runs of a seed have the same */
	bool failed;
	bool healed;
	uint64_t healed_ns;
	uint64_t settled_since_ns;
	bool settled;
	uint32_t node_count;
	uint32_t server_count;
	uint32_t group_count;
	struct sim_node node[SIM_NODES_MAX];
	struct sim_server server[SIM_SERVERS_MAX];
	struct sim_net net;
	struct sim_tx *tx;
	uint32_t tx_count;
	uint32_t tx_capacity;
	uint32_t submitted;
	uint32_t returned[SIM_RETURNED_MAX]; /* transactions that came back by the applier */
	uint32_t returned_count;
	uint64_t group_uuid[SIM_GROUPS_MAX][2];
	uint32_t group_number[SIM_GROUPS_MAX]; /* by which the nodes know it; 0: not seen */
	bool group_begun[SIM_GROUPS_MAX];      /* some START has succeeded */
	struct check_group check[SIM_GROUP_NUMBERS];
	struct check_payload payload[SIM_PAYLOADS_MAX];
	uint32_t payload_count;
	struct sim_voters voters[SIM_GROUP_NUMBERS];
	struct sim_attached attached[SIM_GROUP_NUMBERS];
	struct sim_swarm swarm;
	struct sim_bent bent;
	struct sim_groups groups;
	struct sim_force force;
	struct sim_comers comers;
	bool sealed;
	struct sim_seal seal[SIM_PROCESSES_MAX];
};

/* voters.c */
void voters_reset(struct sim *s);
void voters_founded(struct sim *s, uint32_t group, const uint8_t *body);
void voters_delivered(struct sim *s, const struct node_output *out);
void voters_known(struct sim *s, uint8_t node, const struct node_output *out);
bool voters_majority(const struct sim *s, uint32_t group, uint64_t slot, uint32_t nodes);
uint32_t voters_caught_up(const struct sim *s, uint32_t group, uint64_t slot, uint32_t nodes);
bool voters_all_lead(const struct sim *s, uint32_t group, uint64_t slot);
bool voters_mute(const struct sim *s, uint8_t node, uint32_t group, uint64_t slot);
bool voters_name(const struct sim *s, uint8_t node);
uint64_t voters_number(const struct sim *s); /* of group 0's latest configuration */
void voters_forked(struct sim *s, uint32_t group, uint64_t slot, bool known);
void voters_renewed(struct sim *s, uint8_t node);  /* it has an empty disk now */
void voters_replaced(struct sim *s, uint8_t node); /* so, and nobody needs its votes */
void voters_change(struct sim *s, uint8_t node);
void voters_lead(struct sim *s, uint8_t node);
void voters_final(struct sim *s);

/* attached.c */
void attached_reset(struct sim *s);
void attached_forked(struct sim *s, uint32_t group);
void attached_delivered(struct sim *s, const struct node_output *out);
void attached_expelled(struct sim *s, const struct sim_server *v);

/* groups.c */
void groups_reset(struct sim *s);
void groups_expel(struct sim *s, uint8_t node);
void groups_drop(struct sim *s);
void groups_go_on(struct sim *s);
void groups_dropped(struct sim *s, uint32_t number);
bool groups_away(const struct sim *s, uint8_t group); /* its servers do not START now */
bool groups_gone(const struct sim *s, uint32_t number);

/* comers.c */
void comers_reset(struct sim *s);
void comers_setup(struct sim *s, uint8_t node);
void comers_ask(struct sim *s, uint8_t node);
void comers_go_on(struct sim *s);
bool comers_away(const struct sim *s, uint8_t node); /* it is not to be started */
uint32_t comers_forgotten(const struct sim *s, uint8_t node);
bool comers_another(const struct sim *s, uint8_t node, uint8_t number);
void comers_identity(const struct sim *s, uint8_t node, uint8_t uuid[UUID_BYTES]);
bool comers_lists(const struct sim *s, uint8_t node, uint8_t other);
bool comers_tell(struct sim *s, uint8_t node, uint32_t who);
bool comers_settled(const struct sim *s);

/* force.c */
void force_reset(struct sim *s);
void force_begin(struct sim *s);
void force_tempt(struct sim *s, uint32_t survivors);
void force_tempted(struct sim *s);
void force_lacks(struct sim *s, struct sim_server *v, const struct member_output *out);
void force_go_on(struct sim *s);
bool force_is_over(const struct sim *s);
bool force_lost(const struct sim *s, uint8_t node);
bool force_holds(const struct sim *s, uint8_t process);
bool force_is_past(const struct sim *s, const struct sim_server *v, uint64_t index);
void force_logs(struct sim *s, uint8_t node, const uint8_t *data);
void force_record(struct sim *s, uint8_t node, const struct frame *frame, const uint8_t *data);
void force_renewed(struct sim *s, uint8_t node);
void force_cut(struct sim *s, uint8_t node, const struct node_output *out);
void force_told(struct sim *s, const struct sim_server *v, uint32_t tx, const struct gtid *gtid);
void force_joined(struct sim *s, const struct sim_server *v);
bool force_refuses(struct sim *s, struct sim_server *v);
bool force_has_lost(const struct sim *s, const struct sim_server *v);
void force_final(struct sim *s);

/* clock.c */
void sim_push(struct sim *s, uint64_t delay_ns, uint8_t kind, uint8_t process, uint32_t slot);
uint64_t sim_local(const struct sim *s, const struct sim_process *p);
void sim_timer(struct sim *s, uint8_t process, uint64_t at_local_ns);
/* What waited for the end of its stall comes now. */
void sim_wake(struct sim *s, uint8_t process);
/* The process whose TICK is the first to come. */
uint8_t sim_timer_first(const struct sim *s);
struct sim_process *sim_process(struct sim *s, uint8_t process);
bool sim_is_node(uint8_t process);
uint8_t sim_server_process(uint8_t server);
/* True once per armed budget: this output is the last one. */
bool sim_output_kills(struct sim *s, struct sim_process *p);

/* swarm.c */
void swarm_draw(struct sim *s);
void swarm_disk(struct sim *s, struct sim_disk *d);
void swarm_tell(const struct sim *s);
/* A new process: its clock begins anywhere, and runs at a rate of its own. */
void swarm_clock(struct sim *s, struct sim_process *p);

/* words.c */
const char *word_process(uint8_t process);
const char *word_fault(enum sim_fault fault);
const char *word_tail(enum paxos_tail tail);
const char *word_verdict(enum member_verdict verdict);
const char *word_refusal(enum member_refusal refusal);
struct sim_word {
	char text[32];
};
struct sim_word word_set(uint32_t processes); /* their numbers */

/* run.c */
/* What a new process finds in its memory must not matter: it finds what the last one
 * left there, and under slow checks bytes that are no zeros. */
void sim_soil(void *memory, size_t bytes);
bool sim_run(struct sim *s, const struct sim_options *options);
void sim_fail(struct sim *s, const char *format, ...) __attribute__((format(printf, 2, 3)));
void sim_trace(const struct sim *s, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* net.c */
struct endpoint net_endpoint(uint8_t process);
void net_reset(struct sim *s);
void net_send(struct sim *s, uint8_t from, const struct endpoint *to, const void *data,
	      uint32_t bytes);
void net_arrive(struct sim *s, const struct sim_event *event);
void net_forge(struct sim *s, uint8_t to);

/* disk.c */
void disk_format(struct sim *s, struct sim_disk *d, uint8_t node);
void disk_append(struct sim_disk *d, const uint8_t *record, uint32_t bytes);
void disk_submit(struct sim *s, uint8_t node);
void disk_drop(struct sim *s, uint8_t node, uint64_t lsn);
/* As node_input has it. */
uint64_t disk_room(const struct sim *s, uint8_t node);
void disk_written(struct sim *s, uint8_t node);
void disk_crash(struct sim *s, uint8_t node);
void disk_clean_stop(struct sim *s, uint8_t node);
/* Reads the log back into the node: NODE_IN_RECORD for each, and the tail's verdict. */
enum paxos_tail disk_recover(struct sim *s, uint8_t node);
const uint8_t *disk_find(const struct sim_disk *d, uint64_t end_lsn, uint32_t bytes);

/* nodes.c */
void sim_node_setup(struct sim *s, uint8_t node);
void sim_node_start(struct sim *s, uint8_t node);
bool sim_repairs(const struct sim *s, uint8_t node); /* or will, as soon as it starts */
void sim_node_crash(struct sim *s, uint8_t node, uint64_t down_ns);
void sim_node_feed(struct sim *s, uint8_t node, struct node_input *in);
void sim_node_read_done(struct sim *s, uint8_t node, uint32_t slot);
void sim_node_replay_reads(struct sim *s, uint8_t node);

/* members.c */
void sim_member_setup(struct sim *s, uint8_t server);
void sim_member_boot(struct sim *s, uint8_t server);
void sim_member_feed(struct sim *s, uint8_t server, struct member_input *in);

/* server.c */
void server_setup(struct sim *s, uint8_t server);
void server_boot(struct sim *s, uint8_t server);
void server_crash(struct sim *s, uint8_t server, uint64_t down_ns);
void server_copy(struct sim *s, struct sim_server *v, const struct sim_server *from);
void server_start_group(struct sim *s, uint8_t server);
void server_stop_group(struct sim *s, uint8_t server);
void server_stop_go_on(struct sim *s, uint8_t server);
void server_stop_late(struct sim *s, uint8_t server);
void server_started(struct sim *s, struct sim_server *v, const struct member_output *out);
void server_ended(struct sim *s, struct sim_server *v, const char *why);
void server_commit(struct sim *s, struct sim_server *v, struct sim_commit commit);
void server_synced(struct sim *s, uint8_t server);
void server_released(struct sim *s, uint8_t server);
void server_hooks(struct sim *s, uint8_t server, uint32_t end);
/* False: the row has to be waited for. */
bool server_lock(struct sim_server *v, uint8_t row, uint32_t client, bool shared);
void server_unlock(struct sim *s, struct sim_server *v, int32_t owner);
bool server_quiet(const struct sim_server *v);
uint32_t server_open(const struct sim_server *v);

/* applier.c */
void applier_queue(struct sim *s, struct sim_server *v, const struct member_output *out);
void applier_run(struct sim *s, struct sim_server *v);
void applier_applied(struct sim *s, uint8_t server, uint32_t position);
void applier_committed(struct sim *s, struct sim_server *v, uint32_t position);
void applier_drop(struct sim *s, struct sim_server *v);

/* client.c */
void client_step(struct sim *s, uint8_t server, uint32_t slot);
void client_submit(struct sim *s, uint8_t server, uint32_t slot);
void client_verdict(struct sim *s, struct sim_server *v, const struct member_output *out);
void client_granted(struct sim *s, struct sim_server *v, uint32_t client);
void client_killed(struct sim *s, struct sim_server *v, uint32_t client);
void client_committed(struct sim *s, struct sim_server *v, uint32_t client);
void client_barrier(struct sim *s, struct sim_server *v, uint64_t barrier);
void client_forked(struct sim *s, uint8_t group, uint64_t index);
void client_unknown(struct sim *s, struct sim_server *v);
void client_commit_lock_free(struct sim *s, struct sim_server *v);
void client_abandon_all(struct sim *s, struct sim_server *v);

/* faults.c */
void fault_next(struct sim *s);
void fault_heal(struct sim *s);

/* checkers.c */
void check_reset(struct sim *s);
void check_delivered(struct sim *s, uint8_t node, const struct node_output *out);
void check_row(struct sim *s, uint8_t node, const struct node_output *out);
void check_image(struct sim *s, uint8_t node, const struct node_output *out);
void check_result(struct sim *s, uint8_t node, const struct node_output *out);
void check_record(struct sim *s, uint8_t node, const struct frame *frame, const uint8_t *data);
void check_accepted(struct sim *s, const struct sim_server *v, uint32_t tx, uint64_t index,
		    const struct gtid *gtid);
void check_refused(struct sim *s, const struct sim_server *v, uint32_t tx,
		   const struct member_output *out);
uint64_t check_told(const struct sim *s, uint8_t group);
void check_barrier(struct sim *s, struct sim_server *v, uint64_t told);
void check_queue(struct sim *s, const struct sim_server *v, uint32_t tx, uint64_t index);
bool check_lives(const struct sim *s, uint32_t group); /* it accepts, after all has healed */
void check_gtid(struct sim *s, struct check_group *c, uint32_t tx);
/* All above this slot is void. Answers the last index that is not. */
uint64_t check_forked(struct sim *s, uint32_t group, uint64_t slot, bool known);
void check_cut(struct sim *s, uint32_t group, uint64_t index);
bool check_settled(struct sim *s);
void check_final(struct sim *s);
void check_unsettled(struct sim *s); /* says what is missing */

/* bent.c */
void bent_reset(struct sim *s);
void bent_begin(struct sim *s, uint8_t node);
void bent_member_begin(struct sim *s, uint8_t node);
void bent_member_diverged(struct sim *s, uint8_t node, const struct node_output *out);
void bent_diverged(struct sim *s, uint8_t node, const struct node_output *out);
bool bent_excuses(const struct sim *s, uint8_t node, uint32_t group);
void bent_go_on(struct sim *s); /* when all has healed */
bool bent_is_going(const struct sim *s);
void bent_final(struct sim *s);

/* seal.c; all but seal_change() do nothing in a run in clear. */
void seal_setup(struct sim *s);
void seal_node(struct sim *s, uint8_t node, struct node_config *c);
void seal_member(struct sim *s, uint8_t server, struct member_config *c);
void seal_list(struct sim *s, uint8_t node);
void seal_relist(struct sim *s, uint8_t node); /* other keys, or all again */
uint32_t seal_change(struct sim *s, uint8_t *data, uint32_t bytes);
void seal_count(struct sim *s, uint8_t node); /* before it goes */
void seal_final(struct sim *s);

/* large.c */
void large_reset(struct sim *s);
/* A copy of the payload that is the member's until it gives it back. */
const uint8_t *large_lend(struct sim_tx *tx, const uint8_t *payload, uint32_t bytes);
void large_released(struct sim *s, struct sim_server *v, uint64_t sequence, const uint8_t *payload);
void large_renewed(struct sim *s, uint8_t node);
void large_forked(struct sim *s, uint32_t group, uint64_t index);
void large_met(struct sim *s, uint8_t node, const struct node_output *out);
uint32_t large_kept(const struct sim *s, uint32_t number);
uint32_t large_in(const struct sim *s, uint32_t group, uint64_t slot);
uint32_t large_holders(const struct sim *s, uint32_t group, const struct entry_submit *submit);
void large_forget(struct sim *s, struct sim_server *v);
void large_offered(struct sim *s, struct sim_server *v);
/* Gathers pieces; true when `out` holds all of a payload now. */
bool large_piece(struct sim *s, struct sim_server *v, struct member_output *out);
void large_record(struct sim *s, uint8_t node, const struct frame *frame, const uint8_t *data);
void large_delivered(struct sim *s, const struct node_output *out);
void large_final(struct sim *s);

#endif /* TESTS_SIM_SIM_H */
