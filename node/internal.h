/*
 * node/internal.h - what the files of node/ share behind node.h.
 *
 * node.c          memory, the switch over inputs, the log, wire events
 * directory.c     which groups there are, and who votes in them
 * order.c         what administrators want, on its way to who leads
 * group.c         one group: its replica, proposals, delivery, results
 * history.c       old results and places: rows of them in the log, and reading them
 * attend.c        members at this node: opening, joining, attaching
 * search.c        what a member that joins lacks
 * feed.c          feeding a member what others wrote, and what that is read from
 * feed_payload.c  feeding one payload that was spread, in pieces, from the log
 * barrier.c       up to where a member has to be that misses nothing
 * compare.c       whether the nodes computed the same
 * force.c         survivors go over to another epoch
 * cut.c           where the order, or a member, needs what only the lost had
 * disks.c         whether the other nodes' disks are those that they were
 * payload.c       payloads that are received: their slots, records and ends
 * payload_move.c  offers, fetches and chunks between members and nodes
 * room.c          room in the logs of those who follow
 * image.c         state images, and dropping what they cover
 * image_move.c    images of other nodes, for one that is behind
 * write_set.c     write sets that were spread, read back to be certified
 */
#ifndef NODE_INTERNAL_H
#define NODE_INTERNAL_H

#include "certify/group.h"
#include "node/history.h"
#include "node/member.h"
#include "node/node.h"
#include "node/protocol.h"
#include "node/spread.h"
#include "paxos/codec.h"
#include "ring/pool.h"
#include "wire/wire.h"

#define NODE_HEAD_BYTES       (FRAME_HEADER_BYTES + PAXOS_FIXED_BYTES) /* in front of a value */
#define NODE_LISTED_MAX       (2 * NODE_KEYS_MAX)
#define NODE_BATCHES_MAX      8    /* values of a group that wait for a slot */
#define NODE_READS_MAX        64   /* log reads on their way */
#define NODE_APPLY_HASHES     2048 /* certified per step and group, see DESIGN section 6 */
#define NODE_FEED_BURST       64   /* entries fed to one member per step */
#define NODE_RECORD_GROUP     60   /* log record: group `frame.group` exists, see directory.c */
#define NODE_RECORD_FORCED    66   /* log record: see force.c */
#define NODE_RECORD_SHOWN     65   /* log record: see disks.c */
#define NODE_RECORD_DROPPED   68   /* log record: group `frame.group` does not, see there */
#define NODE_RECORD_HOLE      64   /* log record: what lies from LSN (u64) up to it is void */
#define NODE_RECORD_IMAGE     69   /* log record: a part of a state image, see image.c */
#define NODE_ENTRY_HEAD_BYTES 4    /* in a value: u32 bytes of the entry that follows */
#define NODE_NO_SESSION       (-1)
#define NODE_LIST_WINDOW      256 /* positions of chunks that are kept */
#define NODE_FETCH_MAX        8   /* values on their way from the log to one member */
#define NODE_ASKS_MAX         16  /* chunks on their way to this node */
#define NODE_FROM_MEMBER      0xffu
#define NODE_PLACES_MIN       2048                  /* slots whose places are in memory */
#define NODE_PAYLOADS_MIN     64                    /* payloads whose places are in memory */
#define NODE_BEHIND_MAX       (2 * PAXOS_READS_MAX) /* slots that a voter asked for */
#define NODE_UNAPPLIED_MAX    64 /* slots delivered and not applied, beyond which none is */

enum node_result_kind {
	RESULT_NOTHING = 0,
	RESULT_OUTCOME = 1,  /* a verdict that only its origin is told */
	RESULT_ACCEPTED = 2, /* a transaction for everybody */
	RESULT_VIEW = 3,
};

/* What became of one entry; kept so that failover and replay are served from it. */
struct node_result {
	uint64_t slot;
	struct history_link place; /* of the slot's value */
	uint32_t offset;           /* of the payload in the slot's value */
	uint32_t bytes;
	uint64_t incarnation;
	uint64_t dependency;
	struct gtid gtid;
	uint32_t flags;
	uint8_t kind;
	uint64_t payload; /* spread, and ACCEPTED or decided by its write set: its number */
	struct entry_spread spread; /* bytes 0: it was not */
};

/* Where the record that holds a slot's value lies in the log. */
struct node_place {
	uint64_t slot; /* 0: none */
	struct history_link link;
};

/* A payload that stays, by its number: it was accepted, or its write set decided. What is needed
 * for fetching it, and where the record lies that says where its chunks lie. Replay may meet that
 * one first. */
struct node_payload_place {
	uint64_t number; /* 0: none */
	uint64_t index;  /* of its entry; 0: not applied yet */
	uint64_t slot;   /* so */
	bool gone;       /* nobody who is there has it any more: it is given up */
	uint32_t epoch; /* of the process that logged `link`: one above payload_count is void behind
			 * the fork into a later one */
	uint64_t incarnation;
	uint64_t offer;
	struct entry_spread spread;
	struct gtid gtid;         /* as accepted */
	struct history_link link; /* lsn 0: it is not here */
};

/* A payload that is being received, or is whole and waits for its end. */
struct node_payload {
	bool used;
	bool gone;      /* the log decided against it: a record is due, nothing else */
	bool owes;      /* `source` offered it and waits for HELD */
	bool told;      /* its member knows that a majority holds it */
	bool covered;   /* another node has an image behind its entry, and may have dropped it */
	uint8_t source; /* who gives it: a node, or NODE_FROM_MEMBER */
	uint32_t group;
	uint32_t epoch; /* in which it was offered: incarnations behind a fork count anew */
	uint64_t incarnation;
	uint64_t offer;
	uint64_t index;  /* of its accepted entry; 0: not applied yet */
	uint64_t number; /* as accepted; 0: not known yet */
	uint64_t total;
	uint32_t chunk_bytes;
	uint32_t holders;   /* leader: a bit per node that has all of it on disk */
	uint32_t tried;     /* of an accepted one: nodes that did not give what was asked */
	uint64_t digest;    /* over `held` */
	uint64_t held;      /* bytes logged, from the start */
	uint64_t durable;   /* of them on disk */
	uint64_t available; /* bytes that `source` can give */
	uint64_t asked;     /* bytes asked of it */
	uint64_t asked_ns;
	uint64_t offered; /* leader: bytes that the others were offered */
	uint64_t offered_ns;
	uint64_t *lsn; /* ends of the records of its chunks */
};

/* The write set of the entry that is being applied: the chunk at hand, and where the
 * next ones lie. */
struct node_write_set {
	uint64_t index; /* of the entry; 0: none was ever awaited */
	bool waiting;   /* the entry cannot go on */
	bool lost;      /* it was here, and could not be read back */
	bool reading;
	uint64_t offset; /* of the chunk */
	uint32_t bytes;  /* of hashes in it; 0: there is none */
	uint8_t *chunk;
	uint32_t list_first; /* positions of chunks from this one on */
	uint32_t list_count;
	uint64_t list[NODE_LIST_WINDOW];
};

/* A delivered value that is kept for feeding, and until it is applied. */
struct node_recent {
	uint64_t slot;
	struct paxos_value value;
};

/* A member's sum beside the group's, as they were when both were last known here. */
struct node_sums {
	uint64_t incarnation; /* 0: they are not */
	uint64_t own;         /* the member's */
	uint64_t group;
	uint64_t differs; /* the mark at which it was found to differ, 0: it does not */
};

/* What this node had computed up to an index, and what others say they had. */
#define NODE_COMPARE_MAX 16

#define NODE_DIGESTS 256 /* own ones, of the latest entries; power of two */

struct node_compare {
	uint64_t index; /* 0: none */
	uint64_t digest;
	uint64_t sum;   /* own ones: group_sum() */
	uint32_t epoch; /* the group's: a fork is behind an index, and changes what that had */
};

struct node_batch {
	uint32_t handle;
	uint32_t bytes;
};

/* Slots that a voter lacks and asked for, oldest first. */
struct node_behind {
	uint32_t first;
	uint32_t count;
	uint64_t slot[NODE_BEHIND_MAX];
	struct node_cursor cursor;
};

/* How far a state image is loaded, that the log begins with. */
enum node_load {
	LOAD_NONE = 0,
	LOAD_WANTED = 1, /* none has begun: records of the group mean nothing */
	LOAD_PIECES = 2,
	LOAD_TAIL = 3, /* what follows up to its end is what the replica remembers */
	/* Another node's, which lies in the own log: the state is void until it is read back;
	 * the replica goes on. */
	LOAD_TAKEN = 4,
};

/* Where the parts of an image lie in the log. */
struct node_image {
	uint64_t id;    /* its node's LSN where it begins; 0: there is none */
	uint64_t slot;  /* whose state it is */
	uint32_t count; /* of its parts */
	struct history_link *part;
};

/* Up to where its members have to be that miss nothing; see barrier.c. */
struct node_barrier {
	uint64_t number;                  /* of the last survey, or the one under way */
	bool asking;                      /* it is */
	uint64_t highest[NODE_NODES_MAX]; /* of each node the slot that it said; 0: nothing yet */
	uint64_t ask_ns;                  /* again */
	uint64_t slot; /* it has its answer, when this one is applied; 0: none waits */
	uint64_t fill; /* others wait for this slot; 0: nobody does */
};

/* How a group begins: it names its first voters, since those that the appliance began
 * with may be long gone. */
struct node_founding {
	uint8_t uuid[UUID_BYTES];
	uint64_t number; /* of group 0's configuration then */
	uint32_t voters; /* 0: all */
	uint8_t leader;
	uint8_t horizon; /* 0: node_config's */
};

/* What the series of history.h knew when this slot was delivered. */
struct node_sure {
	uint64_t slot;
	uint64_t known[HISTORY_SERIES];
};

/* What every step looks at comes first, and lies in a few lines; rings are behind it. */
struct node_group {
	uint32_t number;
	uint32_t room; /* which part of group_memory is its own */
	bool used;
	uint8_t leader; /* or PAXOS_NO_VOTER */
	uint64_t leader_ballot;
	bool held;         /* the replica was told so in its last step */
	bool holed;        /* records of it are missing, and no START says so yet */
	bool applying;     /* an entry of slot applied_slot + 1 is half done */
	bool submits_held; /* no room: members' credits stop them */
	bool all_lead;     /* group 0 says that all are to lead */
	uint32_t apply_offset;
	uint32_t batch_first;
	uint32_t batch_count;
	uint32_t behind_voters; /* bit per voter that `behind` holds anything for */
	struct paxos_replica *replica;
	struct group *state; /* NULL for group 0 */
	uint64_t replica_timer_ns;
	uint64_t duty_ns; /* next look at members and horizon */
	uint64_t delivered_slot;
	uint64_t applied_slot;    /* every entry of the slots up to it is applied */
	uint64_t payload_count;   /* that stay so far: the last one's number */
	uint64_t payload_through; /* up to it, all are whole here, or given up */
	uint64_t history_known;   /* what the series knew together when all was written */
	struct node_sure sure;    /* how far rows may go */
	struct node_sure
		sure_next;      /* and may as soon as a record says that its slot was delivered */
	uint64_t recent_low;    /* no value of a slot below it is kept */
	uint64_t last_view;     /* index of the last view change, 0 none */
	uint64_t last_accepted; /* index of the last transaction, 0 none */
	uint64_t conflicts;
	uint64_t certified;
	uint64_t voters_number; /* of group 0's configuration that was copied last */
	uint64_t change_ns;     /* when this node delivered the last change */
	uint8_t uuid[UUID_BYTES];
	enum node_load load;
	struct node_founding founding;
	uint64_t image_index;     /* of the state that the round has, which is written or waits */
	uint64_t dropped_index;   /* nothing is known of entries up to it, but their outcomes */
	uint64_t dropped_payload; /* nor of payloads up to this number: an image was loaded */
	uint64_t dropped_slot;    /* nor where values of slots up to it lie: an image was loaded */
	uint64_t agreed_index;    /* up to it a majority computed the same */
	uint64_t compare_wait;    /* somebody asked about this entry, which is to come */
	uint64_t behind_slot;     /* which this node lacks, and another one offers an image for */
	uint64_t behind_ns;       /* since then */
	uint32_t scarce;          /* a bit per node that says that its log has little room, */
	uint32_t narrow;          /* and those whose log makes another group's submissions wait */
	struct node_image whole;  /* in use: others may have it */
	struct node_image coming; /* being written, or taken from another node */

	struct node_barrier barrier;

	struct node_place *place;           /* ring of places, by slot */
	struct node_result *result;         /* ring of results_max, by index */
	struct node_payload_place *payload; /* ring of node_payloads_max(), by number */
	struct node_history history[HISTORY_SERIES];
	struct node_behind behind[NODE_NODES_MAX];
	struct node_recent recent[PAXOS_WINDOW_SLOTS];
	struct node_batch batch[NODE_BATCHES_MAX];
	struct entry entry;
	struct node_write_set write_set;
	uint64_t lack[NODE_NODES_MAX];    /* the entry whose write set it said to lack last, */
	uint64_t lack_ns[NODE_NODES_MAX]; /* and when */
	uint64_t cut_index;               /* of the last cut that was applied here */
	uint64_t fork_index; /* what came behind it is of this epoch; 0: not known here */
	uint32_t compare_next[NODE_NODES_MAX];
	struct node_compare compare[NODE_NODES_MAX][NODE_COMPARE_MAX]; /* rings, a node each */
	struct node_compare digest[NODE_DIGESTS];                      /* own, by index */
	struct node_sums sums[GROUP_SLOTS_MAX];
	uint64_t absent_ns[GROUP_SLOTS_MAX]; /* since when no session; 0: has one */
	uint64_t lag_ns; /* since when a member makes submissions wait; 0: none does */
	uint64_t absent_session[GROUP_SLOTS_MAX]; /* which session that suspicion times */
	uint64_t scarce_ns[NODE_NODES_MAX];       /* it said so last, */
	uint64_t scarce_since_ns[NODE_NODES_MAX]; /* and first */
	uint64_t scarce_index[NODE_NODES_MAX];    /* so far members are to commit; 0: not at all */
};

/* What an administrator wants of group 0's configuration, and of which. */
struct node_change {
	uint32_t voters;
	uint32_t horizon; /* 0: as it is */
	uint64_t number;
};

enum peer_state {
	PEER_NONE = 0, /* of it the log says nothing: the file counts */
	PEER_LISTED = 1,
	PEER_FORGOTTEN = 2,
};

/* Of a number, what group 0 has said last. */
struct node_peer_entry {
	enum peer_state state;
	uint8_t uuid[UUID_BYTES];
	struct endpoint endpoint;
};

/* Where a group's order is cut, as group 0 has it. */
#define NODE_CUTS_MAX 32

struct node_cut {
	uint32_t group;
	uint32_t epoch; /* of those who cut */
	uint64_t index; /* of the entry that cannot be applied */
	uint64_t slot;  /* of group 0, that says so; 0: an image's */
	/* The entry was applied, and it is its payload that is nowhere; gno 0: the order is cut. */
	struct gtid gtid;
};

struct node_cuts {
	uint32_t count;
	struct node_cut cut[NODE_CUTS_MAX]; /* the last ones, in their order */
};

/* What a survivor says that it cannot apply. */
struct node_lack {
	uint64_t index;
	uint32_t survivors; /* of its epoch, a bit each */
	struct gtid gtid;   /* as struct node_cut has it */
};

/* Enough for files that nobody has written anew for long; see who() of peers.c. */
#define NODE_GONE_MAX 16

/* What the entries of group 0 said, besides the groups themselves. */
struct node_directory {
	uint64_t index;    /* of the last one that was applied */
	uint64_t recorded; /* up to it the log says which groups came of them, and went */
	uint32_t founded;  /* number of the last group; none is used twice */
	uint32_t key_count;
	struct node_key key[NODE_KEYS_MAX]; /* that all nodes list */
	uint32_t coming_count;              /* those of an image that is not whole yet */
	struct node_key coming[NODE_KEYS_MAX];
	struct node_peer_entry peer[NODE_NODES_MAX];
	uint32_t gone_count;                     /* nodes that were forgotten, */
	uint8_t gone[NODE_GONE_MAX][UUID_BYTES]; /* and the last ones; a ring */
	struct node_cuts cuts;
};

/* Who stands at a number that is in `there`. */
struct node_peer {
	uint8_t uuid[UUID_BYTES];
	struct endpoint endpoint;
	int session; /* of our own wire_connect(), or NODE_NO_SESSION */
};

enum session_stage {
	SESSION_NONE = 0,
	SESSION_DISK = 1,    /* another node; disks.c */
	SESSION_NODE = 2,    /* there is a link to it */
	SESSION_OPEN = 3,    /* a member that has not named its group */
	SESSION_GROUP = 4,   /* it has */
	SESSION_JOINING = 5, /* its JOIN is on its way */
	SESSION_JOINED = 6,
	SESSION_ATTACHING = 7,
	SESSION_ATTACHED = 8,
};

/* A value that a feed has asked of the log, and keeps until it is told. */
struct node_fetch {
	uint64_t slot; /* 0: free */
	uint32_t handle;
	bool reading;
};

struct node_session {
	enum session_stage stage;
	uint8_t node;    /* SESSION_DISK, SESSION_NODE */
	bool disk_right; /* its disk is what it was, and SHOWN is logged */
	bool disk_taken; /* it said so of this node's */
	bool vouched;    /* by certificates, not by a listed key */
	uint8_t server_uuid[UUID_BYTES];
	uint8_t key[CRYPTO_KEY_BYTES];
	uint8_t group_uuid[UUID_BYTES];
	uint32_t group_before; /* of the incarnation that it comes with, 0: none */
	uint32_t group;        /* 0: not known yet */
	uint8_t nonce[NONCE_BYTES];
	uint64_t incarnation;
	uint64_t session; /* of ATTACH */
	uint64_t floor;
	/* the latest PROGRESS */
	uint64_t mark_low;
	uint64_t committed;
	bool ready;
	uint64_t barrier;        /* the last that it asked for, */
	uint64_t barrier_number; /* and which survey answers it; 0: it was answered */
	uint64_t missing;        /* nothing that it lacks is below; 0: not known yet */
	/* the feed */
	uint64_t feed_next;
	uint64_t feed_previous;
	uint64_t feed_own;
	uint64_t feed_told; /* highest index a message of the feed named */
	bool feed_lost;     /* what comes next is not here any more */
	struct node_fetch fetch[NODE_FETCH_MAX];
	struct node_cursor results;
	struct node_cursor payloads;
	/* the payload that is fed */
	uint64_t piece_index;
	uint64_t piece_offset; /* of the next piece */
	uint64_t piece_read;   /* offset + 1 of the one in `piece_handle`, or on its way */
	uint32_t piece_handle;
	bool piece_reading;
	uint64_t piece_sent_ns; /* the last one; 0: none */
	uint64_t piece_rest_ns; /* no other before; 0: that one is on its way */
	uint32_t list_first;    /* positions of chunks from this one on */
	uint32_t list_count;
	uint64_t list[NODE_LIST_WINDOW];
};

enum read_purpose {
	READ_FOR_NOBODY = 0, /* who asked is gone */
	READ_VALUE_FOR_VOTER = 1,
	READ_VALUE_FOR_FEED = 2,
	READ_LIST_FOR_FEED = 3,
	READ_CHUNK_FOR_FEED = 4,
	READ_LIST_FOR_NODE = 5,
	READ_CHUNK_FOR_NODE = 6,
	READ_ROW_FOR_FEED = 7,
	READ_ROW_FOR_SEARCH = 8,
	READ_ROW_FOR_NODE = 9,
	READ_ROW_FOR_VOTER = 10,
	READ_LIST_FOR_APPLY = 11,
	READ_CHUNK_FOR_APPLY = 12,
	READ_PART_FOR_NODE = 13,
	READ_PART_FOR_LOAD = 14,
};

struct node_read {
	uint64_t lsn; /* 0: free */
	enum read_purpose purpose;
	uint32_t group;
	uint64_t slot;   /* of a value */
	uint64_t index;  /* of a payload's entry */
	uint64_t number; /* of a payload, or of a part */
	uint64_t offset; /* in the payload; of a part: the image */
	uint8_t series;  /* of a row */
	uint8_t voter;   /* the node that asked */
	int session;     /* the member's that is fed */
};

/* A chunk that another node asked for. */
struct node_want {
	uint32_t group;
	uint64_t incarnation;
	uint64_t offer;
	uint64_t number; /* of the accepted payload, as far as the asker knows */
	uint64_t offset;
};

/* What it asked for and was not given yet, oldest first. One is read at a time: reads
 * do not end in the order in which they begin, and chunks are taken in order only. */
struct node_serving {
	bool reading;
	bool blocked; /* its stream has no room */
	uint32_t first;
	uint32_t count;
	struct node_want want[NODE_ASKS_MAX];
	struct node_cursor cursor;
	/* Where the chunks of the accepted one lie that was wanted last: they are wanted one
	 * behind the other, and the record that says so has 8 bytes for each of all. */
	uint32_t list_group;
	uint64_t list_number; /* 0: none */
	uint64_t list_total;
	uint32_t list_chunk_bytes;
	uint32_t list_first;
	uint32_t list_count;
	uint64_t list[NODE_LIST_WINDOW];
};

/* What a member lacks is looked for; see search.c. */
struct node_search {
	int session; /* NODE_NO_SESSION: of nobody */
	uint32_t group;
	uint64_t top;     /* every entry up to it is counted, or will be */
	uint64_t next;    /* to be looked at, downwards */
	uint64_t missing; /* the lowest so far */
	struct node_cursor cursor;
};

/* How far another node's disk was seen. */
struct node_shown {
	uint8_t disk[NODE_DISK_BYTES];
	uint64_t process; /* 0: it never was */
	uint64_t lsn;
	uint64_t number; /* of group 0's last configuration in which it voted, and had a link */
};

/* State images that are written, one group's after the other's. */
struct node_images {
	bool writing;
	uint32_t group;       /* whose */
	bool met;             /* replay: a round is loaded, or was */
	bool confirmed;       /* so: and was used */
	uint64_t used_lsn;    /* end of the record that says so of the last one; 0: none does */
	uint64_t round_lsn;   /* where it began */
	uint64_t low_lsn;     /* nothing below is needed when it is whole */
	uint64_t whole_lsn;   /* end of the round that waits to be made use of; 0: none */
	uint64_t from_lsn;    /* the next one begins image_bytes behind it */
	uint64_t from_disk;   /* or so many bytes of disk behind this */
	uint64_t round_disk;  /* as round_lsn */
	uint64_t bytes;       /* of the last round */
	uint64_t compared_ns; /* when the others were asked what they have */
	uint64_t given_ns;    /* when another node asked for a part */
	uint64_t used;        /* rounds */
	uint64_t taken;       /* images of other nodes, those of a replay too */
	uint64_t used_ns;
};

/* An image of another node, part by part. */
struct node_taking {
	bool active;
	bool asked; /* for the next one */
	uint8_t source;
	uint32_t group;
	uint32_t count;
	uint32_t next;
	uint64_t asked_ns;
	uint64_t came_ns; /* the last one, or the offer */
};

/* The same, read back from the own log into the group's state. */
struct node_loading {
	bool active;
	bool reading;
	bool checked; /* the state is whole; its tail is next */
	uint32_t group;
	uint32_t next;
};

/* What another node asked for. */
struct node_giving {
	bool wanted;
	bool reading;
	bool blocked; /* its stream has no room */
	uint32_t group;
	uint32_t part;
	uint64_t id;
	uint32_t offered_group; /* whose was offered last, and when */
	uint64_t offered_ns;
};

struct node {
	struct node_config config;
	uint32_t there; /* numbers that are somebody's, a bit each */
	/* of them: whom the file names, where the log has listed one before. See peers.c */
	uint32_t later;
	struct node_peer peer[NODE_NODES_MAX];
	uint32_t strangers; /* another came with that number, and the right one not since */
	struct wire *wire;
	struct pool *pool;
	uint32_t group_count;     /* including group 0 */
	struct node_group *group; /* those that there are, group 0 first */
	struct node_directory directory;
	struct node_session *session;
	uint32_t session_count;
	uint32_t key_count;
	struct node_turned_away turned_away;
	struct node_key key[NODE_LISTED_MAX]; /* own_key, and then group 0's */
	uint32_t own_key_count;
	struct node_key own_key[NODE_KEYS_MAX];
	uint32_t attached_count;        /* sessions in SESSION_ATTACHED */
	int session_of[NODE_NODES_MAX]; /* the last in SESSION_NODE with it */
	struct node_read read[NODE_READS_MAX];
	uint32_t reads_open;
	struct node_payload *payload;
	uint32_t payload_count;
	uint32_t payloads_used;
	uint64_t payloads_due_bytes; /* of those: still to come */
	uint32_t payload_turn;       /* whose turn it is to ask */
	uint64_t chunk_rest_ns;      /* while small ones come none is asked for before that */
	uint64_t feed_ns;  /* when a session that rests wants to be fed; UINT64_MAX: none does */
	uint64_t small_ns; /* when a transaction that was not spread was accepted last */
	struct node_serving serving[NODE_NODES_MAX];
	uint32_t serving_nodes; /* bit per node that `serving` holds anything for */
	struct node_search search;
	struct gtid_set *scratch_gtids; /* the search's */
	uint8_t *scratch;               /* FRAME_BYTES_MAX */
	struct paxos_output *paxos_out; /* of the replica that steps */
	uint32_t full_to;               /* nodes whose links had no room in this step of it */
	uint8_t *group_memory;
	size_t group_memory_bytes; /* of one group */

	bool started;
	bool log_failed;
	bool holed;        /* the log has, or had, a hole */
	bool hole_open;    /* replay has met one, and no record that says where to go on */
	uint64_t hole_lsn; /* where the last one began */
	uint64_t lost_bytes;
	bool ended;         /* diverged or outdated: the rest says and takes nothing */
	uint32_t differing; /* a bit per node that computed another result */
	uint64_t members_diverged;
	uint32_t diverged_group; /* the last one's */
	uint8_t diverged_uuid[UUID_BYTES];
	uint32_t outdated; /* a bit per node whose disk was refused */
	struct node_shown shown[NODE_NODES_MAX];
	bool voters_changed;              /* in this step */
	uint32_t voters;                  /* of group 0's latest configuration */
	uint64_t dropped[NODE_NODES_MAX]; /* number of the last that ceased to name it; 0: none */
	uint32_t epoch;                   /* how many came before; config.epoch is its name */
	uint32_t forced_voters;           /* of its first configuration */
	struct node_forced force;         /* asked for; number 0: nothing */
	uint64_t force_ns;                /* when it is to be logged */
	uint64_t force_lsn;               /* where FORCED ends; 0: it is not logged yet */
	uint64_t cut_ns;                  /* when it is said next what is lacking */
	bool repairs;                     /* this process began with a hole */
	uint64_t process_before;          /* the highest in the log when it began */
	uint64_t log_end;                 /* and where that ended */
	uint64_t start_lsn;               /* behind its first records */
	uint64_t matter_lsn;              /* behind the last record that is no SHOWN */
	uint64_t disk_said;
	uint64_t disk_say_ns;
	bool hold_proposals; /* the input said that more of its burst follow */
	uint64_t process;
	uint64_t nonce;
	enum paxos_tail tail;
	uint64_t now_ns;
	uint64_t lsn_first; /* all below was dropped */
	uint64_t lsn_next;
	uint64_t lsn_durable;
	uint64_t disk_bytes; /* as NODE_IN_DURABLE says */
	uint64_t room_bytes; /* as the last input says */
	enum protocol_room room_said;
	uint64_t scarce_say_ns;
	struct node_images images;
	struct node_taking taking;
	struct node_loading loading;
	struct node_giving giving[NODE_NODES_MAX];
	uint32_t link_up;
	uint64_t dropped_undecodable;
	uint64_t dropped_epoch;
	uint64_t dropped_no_value;
	uint64_t dropped_unknown_group;
	uint64_t dropped_chunks;
	const struct node_sink *sink; /* of the running step */
};

/* What the log can still take is for what frees room in it, and for the rest of large payloads
 * that were begun; see node.h. Rounds of those who follow end elsewhere, up to image_bytes
 * away from the own ones, so theirs may have that much less. */
static inline uint64_t
node_room_spare_bytes(const struct node *n)
{
	return n->payloads_used > 0 ? n->config.image_bytes : 2 * n->config.image_bytes;
}

static inline bool
node_is_narrow(const struct node *n)
{
	return n->room_bytes != 0 &&
	       n->room_bytes < node_room_spare_bytes(n) + n->payloads_due_bytes;
}

/* Has the log room for one more large payload, with those that were begun? Together they take
 * little more than the largest one: others may have an image less of room. */
static inline bool
node_room_for_payload(const struct node *n, uint64_t bytes)
{
	uint64_t due = n->payloads_due_bytes + bytes;
	uint64_t image = n->config.image_bytes;

	return n->room_bytes == 0 || (due <= image + image / 4 && n->room_bytes >= image + due);
}

/* What is large gives way: one chunk is on its way to each while small ones come. */
static inline bool
node_yields(const struct node *n)
{
	return n->now_ns < n->small_ns + n->config.retry_ns;
}

/* What has been on its way since then has come: when as long again has passed. */
static inline uint64_t
node_rest_ns(const struct node *n, uint64_t since_ns)
{
	uint64_t took_ns = n->now_ns - since_ns;

	return n->now_ns + (took_ns < n->config.retry_ns ? took_ns : n->config.retry_ns);
}

/* Its state is void for now, and another one is on its way there. */
static inline bool
node_group_loads(const struct node_group *g)
{
	return g->load != LOAD_NONE;
}

/* node.c */
void node_reset(struct node *n);
void node_emit(struct node *n, const struct node_output *output);
void node_log(struct node *n, uint8_t *frame, uint32_t frame_bytes, uint8_t kind, uint32_t group);
bool node_read_begin(struct node *n, const struct node_read *read, uint32_t bytes);
void node_link_changed(struct node *n, uint8_t node, bool up);
int node_session_of_node(const struct node *n, uint8_t node);

/* directory.c */
void node_directory_found(struct node *n, const uint8_t *uuid);
void node_directory_write(const struct node_founding *f, struct writer *w);
bool node_directory_read(struct node_founding *f, struct reader *r);
/* `epoch`: in which the value was proposed that holds the entry. */
void node_directory_apply(struct node *n, const uint8_t *data, uint32_t bytes, uint32_t epoch);
bool node_directory_knows_all(const struct node *n);
const struct node_group *node_directory_next(const struct node *n, uint32_t number);
/* What group 0 has decided, for an image of it, and back: all that its entries said is here.
 * Keys come before, in parts. */
void node_directory_remember(const struct node *n, struct writer *w);
uint32_t node_directory_remember_keys(const struct node *n, uint32_t first, struct writer *w);
bool node_directory_recall(struct node *n, struct reader *r);
bool node_directory_recall_keys(struct node *n, struct reader *r);
/* `founding` NULL: it was dropped. */
void node_directory_log(struct node *n, uint32_t number, const struct node_founding *founding);
void node_directory_duties(struct node *n);
bool node_directory_gone(const struct node *n, uint32_t number);
void node_directory_record(struct node *n, const struct frame *frame, const uint8_t *data);
void node_directory_change(struct node *n, const struct node_change *change);
void node_directory_lead(struct node *n, uint64_t number, bool all_lead);
void node_directory_copy(struct node *n, struct node_group *g);
void node_directory_voice(const struct node *n, struct node_group *g);
void node_directory_delivered(struct node *n, struct node_group *g,
			      const struct paxos_output_item *item);
void node_directory_message(struct node *n, const struct frame *frame, const uint8_t *data,
			    uint32_t bytes);

/* An entry's bytes at most, and what stands in them of a key. */
#define NODE_KEY_BYTES_MAX \
	(CRYPTO_KEY_BYTES + 1 + UUID_BYTES + 1 + NODE_KEY_GROUPS_MAX * UUID_BYTES)
void node_key_write(const struct node_key *key, struct writer *w);
bool node_key_read(struct node_key *key, struct reader *r);
void node_directory_key(struct node *n, const struct node_key *key, bool listed);

/* The first byte of an entry of group 0. */
enum directory_entry {
	DIRECTORY_FOUND = 1, /* struct node_founding: the next group */
	DIRECTORY_LEAD = 2,  /* u32 group, u8: all are to lead, or one */
	DIRECTORY_DROP = 3,  /* u32 group, which is closed by its own log */
	DIRECTORY_KEY = 4,   /* u8: it is listed, or not any more; struct node_key */
	DIRECTORY_NODE = 5,  /* peers.c */
	DIRECTORY_CUT = 6,   /* cut.c */
};

/* peers.c */
void node_peers_init(struct node *n);
void node_peers_connect(struct node *n);
/* In an image of group 0: of one number, and of all. */
void node_peers_write(const struct node_peer_entry *e, struct writer *w);
bool node_peers_read(struct node_peer_entry *e, struct reader *r);
void node_peers_recall(struct node *n, const struct node_peer_entry *peer);
/* Who stands where, where this one votes by now, or does not any more. */
void node_peers_look(struct node *n);
void node_peers_apply(struct node *n, struct reader *r, uint32_t epoch);
void node_peers_tell(const struct node *n, struct writer *w);
void node_peers_order(struct node *n, const struct node_order *o);
/* A node says it is that one. */
bool node_peers_right(struct node *n, uint32_t number, const uint8_t *uuid);

/* order.c */
void node_order(struct node *n, const struct node_order *order);
void node_order_message(struct node *n, const struct frame *frame, const uint8_t *data,
			uint32_t bytes);

/* group.c */
bool node_pool_short(const struct node *n);
size_t node_group_memory_bytes(const struct node_config *config);
struct node_group *node_group_create(struct node *n, uint32_t number,
				     const struct node_founding *founding);
/* Its number is nobody's from now on; others may change their places. */
void node_group_end(struct node *n, struct node_group *g);
/* Anew, for an image of it that the log begins with; and for one of another node. */
void node_group_load(struct node *n, struct node_group *g, const struct node_founding *founding);
void node_group_reload(struct node *n, struct node_group *g);
/* It has the state of this slot. */
void node_group_loaded(struct node *n, struct node_group *g, uint64_t slot);
struct node_group *node_group_by_uuid(struct node *n, const uint8_t *uuid);
struct node_group *node_group_by_number(const struct node *n, uint32_t number);
void node_group_start(struct node *n, struct node_group *g);
void node_group_paxos(struct node *n, struct node_group *g, const struct paxos_input *in);
void node_group_record(struct node *n, const struct frame *frame, const uint8_t *data);
void node_group_message(struct node *n, uint8_t from, const struct frame *frame,
			const uint8_t *data);
bool node_group_leads(const struct node *n, const struct node_group *g);
bool node_group_leads_first(const struct node *n, const struct node_group *g);
/* Room for one more entry of so many bytes in a value that waits for a slot? */
bool node_group_has_room(const struct node *n, const struct node_group *g, uint32_t bytes);
bool node_group_submit(struct node *n, struct node_group *g, const uint8_t *entry, uint32_t bytes);
bool node_group_submit_entry(struct node *n, struct node_group *g, const struct entry *entry);
/* An incarnation of this session or an earlier one. */
void node_group_expel(struct node *n, struct node_group *g, uint64_t incarnation, uint64_t session,
		      enum expel_reason reason);
void node_group_flush(struct node *n, struct node_group *g);
bool node_group_apply(struct node *n, struct node_group *g, uint32_t budget_hashes);
/* No more may be delivered now. */
bool node_group_holds(const struct node *n, const struct node_group *g);
void node_group_duties(struct node *n, struct node_group *g);
bool node_group_has_duty(const struct node *n, const struct node_group *g);
const struct node_result *node_group_result(const struct node *n, const struct node_group *g,
					    uint64_t index);
uint64_t node_group_first_result(const struct node *n, const struct node_group *g);
/* Of a slot's value, as far as memory knows; lsn 0: it does not. */
struct history_link node_group_place(const struct node *n, const struct node_group *g,
				     uint64_t slot);
bool node_group_quorum(const struct node_group *g, uint32_t nodes);

/* history.c */
void node_history_record(struct node *n, const struct frame *frame, const uint8_t *data);
/* True: it wrote rows, and what waited for room in memory may go on. */
bool node_history_write(struct node *n, struct node_group *g);
void node_history_skip(const struct node *n, struct node_group *g);
bool node_history_full(const struct node *n, const struct node_group *g);
void node_history_behind(struct node_group *g, uint8_t voter, uint64_t slot);
void node_history_serve(struct node *n, struct node_group *g);
void node_cursor_open(struct node_cursor *c, const struct node_cursor *as);
void node_cursor_forget(struct node *n, struct node_cursor *c);
bool node_cursor_has(const struct node *n, const struct node_group *g, const struct node_cursor *c,
		     uint64_t item);
enum history_answer node_cursor_result(struct node *n, struct node_group *g, struct node_cursor *c,
				       uint64_t index, struct node_result *result);
enum history_answer node_cursor_link(struct node *n, struct node_group *g, struct node_cursor *c,
				     uint64_t item, struct history_link *link);
void node_cursor_read(struct node *n, const struct node_read *read, const uint8_t *body,
		      uint32_t bytes);

/* image.c */
/* Is the image that the log begins with not whole? Then nothing before the hole is of use. */
bool node_image_is_lost(const struct node *n);
/* Whole, and the log does not say that it was found right. */
bool node_image_is_unconfirmed(const struct node *n);
void node_image_lose(struct node *n);
/* A replay that is amid what is void: what counts begins with the next round of images. */
void node_image_await(struct node *n);
uint32_t node_image_parts_max(const struct node_config *config);
bool node_image(struct node *n);
bool node_image_holds(const struct node *n, const struct node_group *g);
void node_image_record(struct node *n, const struct frame *frame, const uint8_t *data);
/* The round that is written, or waits, will be of no use. */
void node_image_abandon(struct node *n);
/* Part `link` of the one that is coming. False: there are more than any image has. */
bool node_image_note(const struct node *n, struct node_group *g, struct history_link link);
/* What a whole round on disk waits for, and in which group, where it is of one: GIVEN, MEMBERS or
 * NODES; ON_DISK: for no more than the record that it is of use. */
enum node_round node_image_wait(const struct node *n, const struct node_group **group);
/* A whole round on disk is not of use yet. */
static inline bool
node_image_waits(const struct node *n)
{
	return n->images.whole_lsn != 0 && n->images.whole_lsn <= n->lsn_durable;
}
void node_image_start(struct node *n);
/* One part of another node's, in the group's state. False: it is of no use. */
bool node_image_take(struct node *n, struct node_group *g, const uint8_t *body, uint32_t bytes);
/* Records of what is taken. */
void node_image_log_taken(struct node *n, struct node_group *g, const struct node_taking *t);
void node_image_log_others(struct node *n, struct node_group *g, const uint8_t *part,
			   uint32_t bytes);
void node_image_log_load(struct node *n, struct node_group *g);
/* Is this the body of a record that holds another node's part, behind one byte? */
bool node_image_is_others(const uint8_t *body);

/* image_move.c */
void node_image_group_ends(struct node *n, const struct node_group *g);
bool node_move_image(struct node *n);
uint64_t node_image_timer_ns(const struct node *n);
/* It asked for what was dropped here. */
void node_image_offer(struct node *n, const struct node_group *g, uint8_t node);
void node_image_message(struct node *n, uint8_t node, const struct frame *frame,
			const uint8_t *data, uint32_t bytes);
void node_image_read(struct node *n, const struct node_read *read, const uint8_t *body,
		     uint32_t bytes);
void node_image_taken(struct node *n, struct node_group *g, struct reader *r);
void node_image_taken_part(struct node *n, struct node_group *g, uint32_t bytes);
void node_image_load(struct node *n, struct node_group *g);

/* search.c */
void node_search_begin(struct node *n, int session, struct gtid_bytes executed);
bool node_search(struct node *n);
void node_search_forget(struct node *n, int session);

/* attend.c */
void node_attend_refuse(struct node *n, int session, uint8_t reason);
void node_attend_keys(struct node *n, const struct node_key *keys, uint32_t count);
void node_attend_list(struct node *n);
void node_attend_open(struct node *n, int session, const struct wire_event *opened);
void node_attend_message(struct node *n, int session, const struct frame *frame,
			 const uint8_t *data, uint32_t bytes);
void node_attend_effect(struct node *n, struct node_group *g, const struct group_effect *effect);
void node_attend_leader(struct node *n, struct node_group *g);
void node_attend_hold(struct node *n, struct node_group *g, bool hold);
bool node_attend_is_full(const struct node *n, const struct node_group *g);
void node_attend_close(struct node *n, int session);
void node_attend_group_ends(struct node *n, const struct node_group *g);
int node_attend_session_of(const struct node *n, const struct node_group *g, uint64_t incarnation);
void node_attend_ended(struct node *n, struct node_group *g, uint64_t incarnation, uint8_t change,
		       uint8_t reason);
void node_attend_say(struct node *n, int session, enum wire_stream stream,
		     const struct protocol_message *m);

/* feed.c */
void node_feed(struct node *n, int session);
void node_feed_open(struct node *n, int session);
/* What it read and has not told is forgotten; answers still on their way are nobody's. */
void node_feed_forget(struct node *n, int session);
void node_feed_value_read(struct node *n, const struct node_read *read, const uint8_t *value,
			  uint32_t bytes);

/* feed_payload.c */
enum history_answer node_feed_payload(struct node *n, struct node_group *g, int session,
				      const struct node_result *r);
void node_feed_payload_read(struct node *n, const struct node_read *read, const uint8_t *body,
			    uint32_t bytes);

/* disks.c */
void node_disks_record(struct node *n, const struct frame *frame, const uint8_t *data);
void node_disks_remember(struct node *n);
void node_disks_opened(struct node *n, int session, uint8_t node);
void node_disks_message(struct node *n, int session, const struct frame *frame, const uint8_t *data,
			uint32_t bytes);
uint64_t node_disks_say(struct node *n);
void node_disks_voters(struct node *n);

/* force.c */
void node_force(struct node *n, const struct node_forced *f, bool here_only);
void node_force_group(struct node *n, struct node_group *g, uint64_t founded);
void node_force_remember(struct node *n);
void node_force_fork(struct node *n, struct node_group *g, uint32_t epoch);
void node_force_duty(struct node *n, struct node_group *g);
void node_force_record(struct node *n, const struct frame *frame, const uint8_t *data);
void node_force_start(struct node *n);
void node_force_message(struct node *n, const struct frame *frame, const uint8_t *data,
			uint32_t bytes);
uint64_t node_force_run(struct node *n);
void node_force_wait(struct node *n, const struct node_input *in);

/* cut.c */
void node_cut_apply(struct node *n, struct reader *r);
/* The entry that is being applied asks for its write set: true, it was cut. */
bool node_cut_here(struct node *n, struct node_group *g);
/* No node has the payload of this entry, which has that GTID, nor ever will. */
bool node_cut_gone(const struct node *n, const struct node_group *g, uint64_t index,
		   const struct gtid *gtid);
void node_cut_message(struct node *n, uint8_t node, const struct frame *frame, const uint8_t *data,
		      uint32_t bytes);
/* At the end of a step. */
void node_cut(struct node *n);
/* In an image of group 0. */
void node_cut_write(const struct node *n, struct writer *w);
bool node_cut_read(struct node_cuts *cuts, struct reader *r);

/* room.c */
/* Submissions of this group are to wait for room in some log, where this node leads it. */
bool node_room_short(const struct node *n, const struct node_group *g);
struct node_awaited {
	uint64_t first; /* an index; 0: no round waits */
	uint64_t last;
};
struct node_awaited node_room_awaited(const struct node *n, const struct node_group *g);
void node_room_message(struct node *n, uint8_t node, const struct frame *frame, const uint8_t *data,
		       uint32_t bytes);
uint64_t node_room(struct node *n);

/* barrier.c */
void node_barrier_wanted(struct node *n, int session, const struct protocol_message *m);
void node_barrier_message(struct node *n, uint8_t node, const struct frame *frame,
			  const uint8_t *data, uint32_t bytes);
void node_barrier_fill(struct node *n, struct node_group *g);
void node_barrier(struct node *n, struct node_group *g);
static inline uint64_t
node_barrier_timer_ns(const struct node_group *g)
{
	return g->barrier.asking ? g->barrier.ask_ns : UINT64_MAX;
}

/* compare.c */
/* Asks the others what they have after the last entry. */
void node_compare_ask(struct node *n, struct node_group *g);
/* Who said the same of that entry as this node, a bit each, with itself; 0: not known. */
uint32_t node_compare_agreed(const struct node *n, const struct node_group *g, uint64_t index);
/* A state image was made behind the last entry, or a fork came; it is to be compared once more. */
void node_compare_anew(struct node_group *g);
void node_compare_effect(struct node *n, struct node_group *g, const struct group_effect *effect);
/* A member reports its sum up to `mark`. */
void node_compare_member(struct node *n, int session, uint64_t mark, uint64_t sum);
/* By the clock, at who watches it: ends the one in this slot if it differs. */
void node_compare_expel(struct node *n, struct node_group *g, uint32_t slot);
void node_compare_message(struct node *n, uint8_t node, const struct frame *frame,
			  const uint8_t *data, uint32_t bytes);

/* What another node says of a group. NULL: it says nothing here, and is counted. */
struct node_group *node_move_decode(struct node *n, struct protocol_message *m,
				    const struct frame *frame, const uint8_t *data, uint32_t bytes);
/* payload_move.c: false, there was no room. To a node without a session it is as if lost. */
bool node_move_say(struct node *n, uint8_t node, enum wire_stream stream,
		   const struct protocol_message *m);

/* payload.c */
uint32_t node_payload_count(const struct node_config *config);
uint32_t node_payload_chunks_max(const struct node_config *config);
struct node_payload *node_payload_find(struct node *n, const struct node_group *g,
				       uint64_t incarnation, uint64_t offer);
/* Where the record of its first chunk begins; it holds one. */
uint64_t node_payload_first_lsn(const struct node_payload *p);
struct node_payload *node_payload_new(struct node *n, const struct node_payload *like);
bool node_payload_may_come(const struct node_group *g, uint64_t incarnation, uint64_t offer);
const struct node_payload_place *node_payload_place(const struct node *n,
						    const struct node_group *g, uint64_t number);
uint32_t node_payloads_max(const struct node_config *config);
void node_payload_accepted(struct node *n, struct node_group *g, const struct node_result *r,
			   uint64_t index);
void node_payload_unplace(const struct node *n, const struct node_group *g, uint64_t number);
void node_payload_chunk(struct node *n, struct node_payload *p, const struct spread_chunk *chunk);
void node_payload_record(struct node *n, const struct frame *frame, const uint8_t *data);
void node_payload_forked(struct node *n, struct node_group *g);
void node_payload_applied(struct node *n, struct node_group *g, const struct group_effect *effect);
void node_payload_start(struct node *n);
void node_payload_group_ends(struct node *n, const struct node_group *g);
/* Another node has an image up to this slot. */
void node_payload_covered(struct node *n, const struct node_group *g, uint64_t slot);
/* Who is there was asked for it in vain. True: it is not wanted any more. */
bool node_payload_give_up(struct node *n, struct node_payload *p);
/* Sees that this accepted payload comes here; true when it is here, or given up. */
bool node_payload_want(struct node *n, struct node_group *g, uint64_t number);
bool node_payload_needed(struct node *n, const struct node_payload *p);
/* The payload of the entry that is to be applied next, which cannot be without it: NULL
 * while it is not here, whole and on disk. */
const struct node_payload *node_payload_need(struct node *n, struct node_group *g,
					     const struct entry_submit *s);
bool node_payload_may_propose(struct node *n, struct node_group *g, const struct entry_submit *s);
void node_payload_end(struct node *n);
/* Being received, or whole, and not decided: it goes into the group's image. */
void node_payload_dropped(struct node *n, const struct node_group *g);
bool node_payload_open(struct node *n, const struct node_payload *p);
void node_payload_write(const struct node_payload *p, struct writer *w);
/* False: it cannot be, or its bytes lie in front of where the log begins. */
bool node_payload_read(struct node *n, struct node_group *g, struct reader *r);

/* write_set.c */
/* Gives the group the hashes it asks for. False: they are not here yet. */
bool node_write_set_give(struct node *n, struct node_group *g);
void node_write_set_read(struct node *n, const struct node_read *read, const uint8_t *body,
			 uint32_t bytes);

/* payload_move.c */
void node_move_message(struct node *n, int session, const struct frame *frame, const uint8_t *data,
		       uint32_t bytes);
void node_move_member(struct node *n, int session, const struct protocol_message *m);
void node_move_read(struct node *n, const struct node_read *read, const uint8_t *body,
		    uint32_t bytes);
void node_move_room(struct node *n, uint8_t node);
void node_move_forget(struct node *n, uint8_t node);
void node_move(struct node *n);
uint64_t node_move_timer_ns(const struct node *n);

#endif /* NODE_INTERNAL_H */
