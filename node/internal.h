/*
 * node/internal.h - what the files of node/ share behind node.h.
 *
 * node.c          memory, the switch over inputs, the log, wire events
 * group.c         one group: its replica, proposals, delivery, results
 * attend.c        members at this node: opening, joining, attaching, feeding
 */
#ifndef NODE_INTERNAL_H
#define NODE_INTERNAL_H

#include "certify/group.h"
#include "node/member.h"
#include "node/node.h"
#include "node/protocol.h"
#include "paxos/codec.h"
#include "ring/pool.h"
#include "wire/wire.h"

#define NODE_HEAD_BYTES       (FRAME_HEADER_BYTES + PAXOS_FIXED_BYTES) /* in front of a value */
#define NODE_BATCHES_MAX      8    /* values of a group that wait for a slot */
#define NODE_READS_MAX        64   /* log reads on their way */
#define NODE_APPLY_HASHES     2048 /* certified per step and group, see DESIGN section 6 */
#define NODE_FEED_BURST       64   /* entries fed to one member per step */
#define NODE_RECORD_GROUP     60   /* log record: group `frame.group` exists, body is its uuid */
#define NODE_ENTRY_HEAD_BYTES 4    /* in a value: u32 bytes of the entry that follows */
#define NODE_NO_SESSION       (-1)

enum node_result_kind {
	RESULT_NOTHING = 0,
	RESULT_OUTCOME = 1,  /* a verdict that only its origin is told */
	RESULT_ACCEPTED = 2, /* a transaction for everybody */
	RESULT_VIEW = 3,
};

/* What became of one entry; kept so that failover and replay are served from it. */
struct node_result {
	uint64_t slot;
	uint32_t offset; /* of the payload in the slot's value */
	uint32_t bytes;
	uint64_t incarnation;
	uint64_t dependency;
	struct gtid gtid;
	uint32_t flags;
	uint8_t kind;
};

/* Where the record that holds a slot's value lies in the log. */
struct node_place {
	uint64_t slot; /* 0: none */
	uint64_t lsn;  /* end of the record */
	uint32_t bytes;
};

/* A delivered value that is kept for feeding, and until it is applied. */
struct node_recent {
	uint64_t slot;
	struct paxos_value value;
};

struct node_batch {
	uint32_t handle;
	uint32_t bytes;
};

struct node_group {
	bool used;
	uint32_t number;
	uint8_t uuid[UUID_BYTES];
	struct paxos_replica *replica;
	struct group *state; /* NULL for group 0 */
	uint8_t leader;      /* or PAXOS_NO_VOTER */
	uint64_t replica_timer_ns;

	struct node_place *place;   /* ring of results_max, by slot */
	struct node_result *result; /* ring of results_max, by index */
	struct node_recent recent[PAXOS_WINDOW_SLOTS];
	uint64_t recent_low; /* no value of a slot below it is kept */
	uint64_t delivered_slot;
	uint64_t applied_slot; /* every entry of the slots up to it is applied */
	bool applying;         /* an entry of slot applied_slot + 1 is half done */
	uint32_t apply_offset;
	struct entry entry;
	uint64_t last_view;     /* index of the last view change, 0 none */
	uint64_t last_accepted; /* index of the last transaction, 0 none */
	uint64_t conflicts;
	uint64_t certified;

	uint32_t batch_first;
	uint32_t batch_count;
	struct node_batch batch[NODE_BATCHES_MAX];
	bool submits_held; /* no room: members' credits stop them */

	uint64_t duty_ns;                           /* next look at members and horizon */
	uint64_t absent_ns[GROUP_MEMBERS_MAX];      /* since when no session; 0: has one */
	uint64_t absent_session[GROUP_MEMBERS_MAX]; /* which session that suspicion times */
};

enum session_stage {
	SESSION_NONE = 0,
	SESSION_NODE = 1,    /* another node */
	SESSION_OPEN = 2,    /* a member that has not named its group */
	SESSION_GROUP = 3,   /* it has */
	SESSION_JOINING = 4, /* its JOIN is on its way */
	SESSION_JOINED = 5,
	SESSION_ATTACHING = 6,
	SESSION_ATTACHED = 7,
};

struct node_session {
	enum session_stage stage;
	uint8_t node; /* SESSION_NODE */
	uint8_t server_uuid[UUID_BYTES];
	uint8_t group_uuid[UUID_BYTES];
	uint32_t group; /* 0: not known yet */
	uint8_t nonce[NONCE_BYTES];
	uint64_t incarnation;
	uint64_t session; /* of ATTACH */
	uint64_t floor;
	/* the latest PROGRESS */
	uint64_t mark_low;
	uint64_t committed;
	bool ready;
	/* the feed */
	uint64_t feed_next;
	uint64_t feed_previous;
	uint64_t feed_own;
	uint64_t feed_told; /* highest index a message of the feed named */
	uint64_t read_slot; /* value in `read_handle`, or on its way; 0 none */
	uint32_t read_handle;
	bool reading;
};

struct node_read {
	uint64_t lsn; /* 0: free */
	uint32_t group;
	uint64_t slot;
	uint8_t voter; /* who asked, or PAXOS_NO_VOTER: the feed of `session` */
	int session;
};

struct node {
	struct node_config config;
	struct wire *wire;
	struct pool *pool;
	uint32_t group_count; /* including group 0 */
	struct node_group *group;
	struct node_session *session;
	uint32_t session_count;
	struct node_read read[NODE_READS_MAX];
	struct gtid_set *scratch_gtids;
	uint8_t *scratch;               /* FRAME_BYTES_MAX */
	struct paxos_output *paxos_out; /* of the replica that steps */
	uint8_t *group_memory;
	size_t group_memory_bytes; /* of one group */

	bool started;
	bool log_failed;
	bool hold_proposals; /* the input said that more of its burst follow */
	uint64_t process;
	uint64_t nonce;
	enum paxos_tail tail;
	uint64_t now_ns;
	uint64_t lsn_next;
	uint64_t lsn_durable;
	uint32_t link_up;
	uint64_t dropped_undecodable;
	uint64_t dropped_epoch;
	uint64_t dropped_no_value;
	uint64_t dropped_unknown_group;
	const struct node_sink *sink; /* of the running step */
};

/* node.c */
void node_emit(struct node *n, const struct node_output *output);
void node_log(struct node *n, uint8_t *frame, uint32_t frame_bytes, uint8_t kind, uint32_t group);
bool node_read_begin(struct node *n, const struct node_read *read, uint32_t bytes);

/* group.c */
size_t node_group_memory_bytes(const struct node_config *config);
struct node_group *node_group_create(struct node *n, uint32_t number, const uint8_t *uuid);
struct node_group *node_group_by_uuid(struct node *n, const uint8_t *uuid);
struct node_group *node_group_by_number(struct node *n, uint32_t number);
void node_group_start(struct node *n, struct node_group *g);
void node_group_paxos(struct node *n, struct node_group *g, const struct paxos_input *in);
void node_group_record(struct node *n, const struct frame *frame, const uint8_t *data);
void node_group_message(struct node *n, uint8_t from, const struct frame *frame,
			const uint8_t *data);
bool node_group_leads(const struct node *n, const struct node_group *g);
/* Room for one more entry of so many bytes in a value that waits for a slot? */
bool node_group_has_room(const struct node *n, const struct node_group *g, uint32_t bytes);
bool node_group_submit(struct node *n, struct node_group *g, const uint8_t *entry, uint32_t bytes);
bool node_group_submit_entry(struct node *n, struct node_group *g, const struct entry *entry);
void node_group_flush(struct node *n, struct node_group *g);
bool node_group_apply(struct node *n, struct node_group *g, uint32_t budget_hashes);
void node_group_duties(struct node *n, struct node_group *g);
const struct node_result *node_group_result(const struct node *n, const struct node_group *g,
					    uint64_t index);
uint64_t node_group_first_result(const struct node *n, const struct node_group *g);

/* attend.c */
void node_attend_open(struct node *n, int session, const struct wire_identity *peer);
void node_attend_message(struct node *n, int session, const struct frame *frame,
			 const uint8_t *data, uint32_t bytes);
void node_attend_effect(struct node *n, struct node_group *g, const struct group_effect *effect);
void node_attend_leader(struct node *n, struct node_group *g);
void node_attend_feed(struct node *n, int session);
void node_attend_read_done(struct node *n, const struct node_read *read, const uint8_t *value,
			   uint32_t bytes);
void node_attend_hold(struct node *n, struct node_group *g, bool hold);
void node_attend_close(struct node *n, int session);
int node_attend_session_of(const struct node *n, const struct node_group *g, uint64_t incarnation);

#endif /* NODE_INTERNAL_H */
