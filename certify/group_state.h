/*
 * certify/group_state.h - what a group consists of; for group*.c alone.
 *
 * Everything here but `effect`, `job`, `own`, `image` and the memory's own sizes is a function
 * of the entries applied so far, and goes into the state image.
 */
#ifndef CERTIFY_GROUP_STATE_H
#define CERTIFY_GROUP_STATE_H

#include "certify/group.h"
#include "certify/index.h"

#define EXECUTED_SOURCES_MAX   1024
#define EXECUTED_INTERVALS_MAX 8192

#define GENERATORS_MAX 32 /* one for the group's uuid, one per tag in use */

/* Decided sequences of an incarnation, at sequence modulo inflight_max. An entry
 * is void by its incarnation, so that a join need not clear the ring. */
struct outcome_slot {
	uint64_t incarnation; /* 0: never used */
	struct group_outcome outcome;
};

/* GTIDs that a server may take without another taking them: [from, to], of which
 * those below `from`, and those in the executed set, are gone. from 0: none. */
struct gtid_block {
	uint64_t from;
	uint64_t to;
};

struct gtid_generator {
	struct gtid_source source;
	uint64_t frontier; /* no block reaches this number or beyond */
	uint64_t grants;   /* since the blocks were last collected */
	uint64_t view;     /* for which they were given out */
	struct gtid_block block[GROUP_SLOTS_MAX];
};

/* How far an image is, that is written or loaded: kinds of pieces, in their order. */
enum image_piece {
	IMAGE_NONE = 0,
	IMAGE_BEGIN = 1,
	IMAGE_INDEX = 2, /* and while it is written entries are applied */
	IMAGE_STATE = 3,
	IMAGE_EXECUTED = 4,
	IMAGE_MEMBER = 5,
	IMAGE_OUTCOMES = 6, /* of that member */
	IMAGE_GENERATOR = 7,
	IMAGE_END = 8,
};

struct image_state {
	enum image_piece at;
	bool created;      /* when it began */
	uint32_t next;     /* interval, server or generator */
	uint64_t sequence; /* of the next outcome */
	/* Loaded: how many there are to be. */
	uint32_t intervals;
	uint32_t servers;
	uint32_t generators;
	uint32_t outcomes; /* of the last member, still to come */
};

struct group {
	struct group_config memory; /* what the block was sized for */
	struct group_config config; /* CREATE's */
	bool created;
	bool closed;
	uint8_t uuid[UUID_BYTES];

	uint64_t applied;
	uint64_t view;
	uint64_t last_fence;
	uint64_t digest;
	uint64_t sum;
	uint32_t epoch;
	uint32_t void_until; /* every entry is void until the fork into this epoch; 0: none is */

	uint32_t servers; /* slots in use of the tables: GROUP_SLOTS_PER_MEMBER * members_max */
	uint32_t generators;
	struct group_member *member;      /* [servers] */
	struct outcome_slot *outcome;     /* [servers][config.inflight_max] */
	struct gtid_generator *generator; /* [GENERATORS_MAX] */
	struct gtid_set *executed;
	struct certify_index *index;

	uint64_t living[GROUP_SLOTS_MAX]; /* [servers] incarnations, 0: none lives; for scans */

	struct entry entry; /* the one being applied */
	struct group_effect effect;
	struct certify_job job;
	uint32_t origin;             /* slot of the submission's member */
	uint64_t own[GROUP_OWN_MAX]; /* what certify_own() is given */
	bool busy;                   /* between start and the last step */
	struct image_state image;
	bool certifying; /* the job runs */
};

#define NO_SLOT UINT32_MAX

/* The slot whose last incarnation this is and lives, or NO_SLOT. */
uint32_t group_slot_alive(const struct group *g, uint64_t incarnation);

/* CREATE's config, or an image's: false if it is malformed or the memory is smaller. */
bool group_take_config(struct group *g, const struct group_config *config);

/* Where an outcome of this sequence is, or would be. Filled only if it is of the
 * slot's last incarnation and of this sequence. */
struct outcome_slot *group_outcome_slot(const struct group *g, uint32_t slot, uint64_t sequence);
bool group_outcome_filled(const struct group *g, uint32_t slot, uint64_t sequence);

/* group_submit.c: true when the entry is done, false when the job is to run. */
bool group_submit_start(struct group *g, const struct entry_submit *s);
uint32_t group_submit_own(struct group *g, const struct entry_submit *s);
void group_submit_end(struct group *g, const struct entry_submit *s, enum certify_answer answer);
void group_abandon(struct group *g, const struct entry_abandon *a);

#endif /* CERTIFY_GROUP_STATE_H */
