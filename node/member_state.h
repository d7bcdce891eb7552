/*
 * node/member_state.h - what the files of the member's side share behind member.h.
 *
 * member.c         memory, the switch over inputs, the session and its stages
 * member_watch.c   sessions to the nodes that may lead next
 * member_submit.c  open submissions: taken, sent, sent again, decided
 * member_spread.c  payloads that go ahead of their submission, in chunks
 * member_feed.c    the order in which remote transactions and views are told
 */
#ifndef NODE_MEMBER_STATE_H
#define NODE_MEMBER_STATE_H

#include "certify/group.h"
#include "certify/gtid.h"
#include "node/member.h"
#include "node/protocol.h"
#include "ring/pool.h"
#include "wire/wire.h"

#define MEMBER_NO_SESSION (-1)
#define MEMBER_NO_HANDLE  0xffffffffu

#define MEMBER_FETCHES_MAX 16 /* a node has no more under way */

enum member_stage {
	MEMBER_IDLE = 0,       /* before START, and after its end */
	MEMBER_CONNECTING = 1, /* no session, or it was not told yet who leads */
	MEMBER_JOINING = 2,
	MEMBER_ATTACHING = 3,
	MEMBER_ATTACHED = 4,
	MEMBER_LEAVING = 5, /* attached, and LEAVE was sent */
};

enum open_stage {
	OPEN_FREE = 0,
	OPEN_UNDECIDED = 1,
	OPEN_ACCEPTED = 2, /* and not in gtid_executed yet */
	OPEN_REQUEUE = 3,  /* accepted, the server could not commit it: to be applied */
	OPEN_REQUEUED = 4, /* the same, told; still not in gtid_executed */
};

/* One submission, from SUBMIT to its commit or refusal. */
struct member_open {
	enum open_stage stage;
	bool sent;      /* in this attachment */
	bool ever_sent; /* the log may hold it */
	bool abandon;
	bool abandon_sent;
	uint64_t name;     /* that the caller has for it: the sequence, but of large ones */
	uint64_t sequence; /* 0: it has none so far */
	uint64_t index;    /* accepted: of the deciding entry */
	uint64_t dependency;
	struct gtid gtid;
	uint32_t flags;
	uint32_t handle; /* the entry's bytes */
	uint32_t bytes;
	uint32_t payload_offset;
	uint32_t payload_bytes;
	/* large: what goes into the nodes' logs, and its way there */
	const uint8_t *lent;   /* the block: hashes, payload */
	const uint8_t *spread; /* the same, or the payload alone, which always ends it */
	uint64_t spread_bytes;
	uint64_t lent_payload_bytes;
	uint32_t hash_count;  /* in front of the payload in what is spread */
	uint32_t chunk_bytes; /* of the first offer; 0: there was none */
	uint64_t offer;       /* what the nodes know it by; 0: nothing so far */
	uint64_t arrived;     /* in which order they came */
	bool offered;         /* in this attachment */
	uint32_t holders;     /* as said in this attachment; 0: no majority yet */
	uint64_t requeued;    /* bytes of the payload, from the start, that were told */
	uint64_t hashed;      /* bytes from the start that are in `digest` */
	uint64_t digest;
};

/* What the group had counted when this START began to count. */
struct member_counts {
	uint64_t checked;
	uint64_t conflicts;
};

struct member_fetch {
	uint64_t offer;
	uint64_t offset;
};

/* A payload that is offered, or was, and whose end the log has not said. */
struct member_lane {
	uint64_t offer; /* 0: it is free */
	struct member_open *open;
};

/* A session to a node that may lead next. */
struct member_watch {
	int session;
	bool opened;
	uint8_t epoch[EPOCH_BYTES];
};

struct member {
	struct member_config config;
	struct wire *wire;
	struct pool *pool;
	struct snapshot_table snapshots;
	struct gtid_set *executed; /* at START: what is not to be queued again */
	struct member_open *open;  /* ring over sequence */
	uint32_t open_max;         /* power of two */
	uint64_t open_low;         /* every one below it is free, and has its outcome */
	struct member_open *ahead; /* large ones without a sequence: snapshots.open_max */
	uint32_t ahead_count;
	uint32_t ahead_end; /* none from this place on */
	struct member_lane lane[ENTRY_OFFER_LANES];
	uint64_t offers;   /* of this incarnation */
	uint64_t arrivals; /* large ones and others */
	struct member_view view;
	struct member_stats stats;
	uint8_t *scratch; /* FRAME_BYTES_MAX */
	uint8_t *join;    /* encoded JOIN entry */
	uint32_t join_bytes;
	uint8_t *held; /* one feed message that has to wait */
	uint32_t held_bytes;

	enum member_stage stage;
	uint64_t now_ns;
	uint64_t retry_ns;    /* when to say again what got no answer */
	uint64_t progress_ns; /* when to report next */
	bool progress_due;
	bool random_given;
	uint8_t random[64];
	uint32_t random_bytes;
	uint8_t epoch[EPOCH_BYTES];        /* of the node that the session goes to */
	uint8_t joined_epoch[EPOCH_BYTES]; /* of the incarnation */
	uint8_t group_uuid[UUID_BYTES];
	uint8_t nonce[NONCE_BYTES];
	uint64_t block_size;
	bool bootstrap;
	bool stopping;
	bool started_told;
	bool counts_known;
	struct member_counts counts_base;
	bool server_full; /* between HOLD and RELEASE */
	int session;
	struct member_watch watch[NODE_NODES_MAX];
	/* Of the nodes, by their places in the list: by the place, until one is said. */
	uint8_t number[NODE_NODES_MAX];
	uint32_t numbered;   /* a bit per place: by the node itself */
	uint64_t ballot;     /* that the target leads in; 0 while it said nothing */
	uint8_t target;      /* node that the session goes to */
	uint8_t hint;        /* who leads, as that one said, or who is to be asked next */
	uint64_t hop_ns;     /* not before then to another that is named */
	uint32_t refused_by; /* a bit per node: of another version or epoch, since START */
	bool opened;
	uint32_t group;
	uint64_t incarnation;
	uint64_t attach_session;   /* number of the last attachment asked for */
	uint32_t attach_doublings; /* of retry_ns, until the next one is asked for */
	uint64_t own_through;      /* every own outcome up to it is known */
	uint64_t feed_through;     /* every message of the feed up to it was told */
	uint64_t feed_previous;    /* index of the last message of the feed */
	uint64_t piece_index;      /* a payload of which a part was told; 0 none */
	uint64_t piece_told;       /* bytes of it */
	uint64_t requeueing;       /* sequence of an own one of which a part was told; 0 none */
	/* chunks that the node asked for and that found no room yet, oldest first */
	struct member_fetch fetch[MEMBER_FETCHES_MAX];
	uint32_t fetch_first;
	uint32_t fetch_count;
	/* what the node takes, as ATTACHED said */
	uint32_t entry_bytes_max;
	uint32_t chunk_bytes;
	uint64_t payload_bytes_max;
	/* Barriers: the last one that was asked for, and told; and the one that the node is asked
	 * for, or that waits until all up to barrier_index is committed here. 0: none */
	uint64_t barrier_wanted;
	uint64_t barrier_told;
	uint64_t barrier_asked;
	uint64_t barrier_index; /* 0: the node has not answered */
	const struct member_sink *sink;
};

/* member.c */
void member_emit(struct member *m, const struct member_output *output);
bool member_say(struct member *m, enum wire_stream stream, const struct protocol_message *message);
void member_reconnect(struct member *m, uint8_t node);
void member_number(struct member *m, uint8_t place, uint32_t number);
void member_numbered(struct member *m, uint8_t place, uint32_t number);
uint8_t member_place_of(const struct member *m, uint8_t number);
int member_connect(struct member *m, uint8_t node);
void member_say_open(struct member *m, int session, const uint8_t *epoch);
void member_take_events(struct member *m);

/* member_watch.c */
void member_told_nodes(struct member *m, const struct protocol_message *message);
void member_watch(struct member *m);
int member_watch_take(struct member *m, uint8_t node, bool *opened);
void member_watch_event(struct member *m, const struct wire_event *event);

/* member_submit.c */
void member_submit(struct member *m, const struct member_submission *s);
void member_abandon(struct member *m, uint64_t sequence);
void member_newest(struct member *m, uint64_t index, const struct gtid *gtid);
void member_committed(struct member *m, const struct gtid *gtid);
void member_local_failed(struct member *m, uint64_t sequence);
void member_verdict(struct member *m, const struct protocol_message *message);
void member_send_open(struct member *m);
void member_open_detached(struct member *m);
void member_open_ended(struct member *m);
void member_lacks(struct member *m, const struct protocol_message *message);
void member_open_forget(struct member *m);
struct member_open *member_open_find(struct member *m, uint64_t sequence);
void member_refuse(struct member *m, struct member_open *o, enum member_verdict verdict);
bool member_send_one(struct member *m, struct member_open *o);
bool member_requeue(struct member *m, uint64_t below);
bool member_must_wait_for_own(const struct member *m, uint64_t dependency);

/* member_spread.c */
bool member_spread_send(struct member *m, struct member_open *o);
bool member_spread_finish(struct member *m, struct member_open *o);
void member_spread_fetch(struct member *m, const struct protocol_message *message);
void member_spread_held(struct member *m, const struct protocol_message *message);
void member_spread_again(struct member *m);
void member_spread_room(struct member *m);

/* member_feed.c */
void member_feed(struct member *m, const struct protocol_message *message, const uint8_t *data,
		 uint32_t bytes);
void member_feed_held(struct member *m);
void member_feed_detached(struct member *m);

#endif /* NODE_MEMBER_STATE_H */
