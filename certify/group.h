/*
 * certify/group.h - the state of one group, as a function of its log.
 *
 *     group_apply_start(group, index, entry);
 *     while ((step = group_apply_step(group, budget)) != GROUP_DONE)
 *             if (step == GROUP_HASHES)
 *                     group_hashes(group, hashes from group_hashes_next(group) on);
 *     use(group_effect(group));
 *
 * Members and their incarnations, attachments, outcomes, views, the GC
 * horizon, GTIDs and the write-set index: every node feeds the same entries in
 * the same order and holds the same state, whatever budgets it steps with.
 *
 * Never      reads a clock, allocates, or decides that somebody is dead: what
 *            depends on time enters as an entry.
 * Units      An index is the number of an entry, dense from 1; the caller
 *            gives the last one plus 1. An incarnation is the index of its
 *            JOIN. A budget is hashes; a step costs at most about 100 ns for
 *            each, and a fixed part below 50 us.
 * Ownership  The caller gives one block of group_size() bytes, 64-aligned. The
 *            bytes under an entry must live until its last step has returned.
 *            What the accessors return belongs to the group and changes at the
 *            next entry.
 * Limits     `config` given to group_init() sizes the memory and must be equal
 *            on all nodes of an appliance. CREATE's config may ask for less;
 *            one that asks for more is refused.
 * Errors     What a member sent may be stale, repeated or wrong: the entry has
 *            no effect (VOID, or a refused JOIN) and every node agrees on it.
 * Threads    One core owns a group.
 *
 * The rules, and the schedules that broke simpler ones, stand in group.c.
 */
#ifndef CERTIFY_GROUP_H
#define CERTIFY_GROUP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "certify/entry.h"
#include "certify/gtid.h"

/* Of its own transactions, a submission vouches for so many that came before it. */
#define GROUP_OWN_MAX 256

struct group;

enum group_step {
	GROUP_MORE = 1,
	GROUP_DONE = 2,
	GROUP_HASHES = 3, /* of the write set that was spread, see group_hashes() */
};

enum group_verdict {
	GROUP_ACCEPTED = 1,
	GROUP_REFUSED = 2,       /* conflict: a hash's last writer was not seen */
	GROUP_REFUSED_STALE = 3, /* its mark is below the GC horizon */
	GROUP_REFUSED_FULL = 4,  /* the index, or the GTID set, has no room */
	GROUP_REFUSED_GTID = 5,  /* taken, or no number is left */
	GROUP_ABANDONED = 6,     /* given up before it was ordered */
	GROUP_VOID = 7,          /* the entry decided nothing */
};

/* The answer to one submission, kept until the floor passes it. */
struct group_outcome {
	uint64_t sequence;
	uint64_t index;       /* of the entry that decided; of the first one if `again` */
	uint64_t dependency;  /* ACCEPTED: apply after everything up to here */
	uint64_t winner;      /* REFUSED: index of the writer that was first */
	uint64_t winner_hash; /* REFUSED: in this hash */
	struct gtid gtid;     /* ACCEPTED */
	uint8_t verdict;      /* enum group_verdict, never GROUP_VOID */
	uint8_t again;        /* a user's GTID sent again: `index` holds the transaction */
};

enum member_state {
	MEMBER_NONE = 0, /* no such server */
	MEMBER_RECOVERING = 1,
	MEMBER_ONLINE = 2,
	MEMBER_LEFT = 3,
	MEMBER_EXPELLED = 4,
};

/* One server: its last incarnation, alive or ended. */
struct group_member {
	uint64_t incarnation; /* index of its JOIN */
	uint64_t ended;       /* index of the entry that ended it, 0 is alive */
	uint64_t session;     /* of the last ATTACH, 0 is none */
	uint64_t floor;       /* highest logged; sequences start at 1, so does it */
	uint64_t mark_low;
	uint64_t committed;
	uint64_t offer_ended[ENTRY_OFFER_LANES]; /* in each lane, the highest; 0 none */
	uint32_t node;                           /* of the last ATTACH */
	uint32_t mysql_version;
	uint32_t flags;
	uint16_t port;
	uint8_t state; /* enum member_state */
	uint8_t host_bytes;
	char host[HOST_BYTES_MAX];
	uint8_t server_uuid[UUID_BYTES];
	uint8_t nonce[NONCE_BYTES];
};

enum group_effect_kind {
	GROUP_NOTHING = 1,
	GROUP_VERDICT = 2, /* of SUBMIT and ABANDON */
	GROUP_VIEW = 3,    /* of JOIN, LEAVE, EXPEL, ATTACH, PROGRESS to ONLINE */
	GROUP_HORIZON = 4,
	GROUP_CREATED = 5,
	GROUP_CLOSED = 6, /* for good */
};

enum group_view_change {
	GROUP_JOINED = 1,
	GROUP_JOIN_AGAIN = 2, /* the nonce of the living incarnation: same answer, no change */
	GROUP_JOIN_VOID = 3,  /* `reason` */
	GROUP_LEFT = 4,
	GROUP_EXPELLED = 5,
	GROUP_ATTACHED = 6,
	GROUP_ONLINE = 7,
};

enum group_join_reason {
	GROUP_JOIN_NO_GROUP = 1,      /* nobody created it, or it is closed */
	GROUP_JOIN_NOT_LAST = 2,      /* last_incarnation is not: `incarnation` is, 0 none */
	GROUP_JOIN_NO_ROOM = 3,       /* members_max are in it */
	GROUP_JOIN_EXTRA_GTIDS = 4,   /* it holds transactions that the group does not */
	GROUP_JOIN_OTHERS_LIVE = 5,   /* bootstrap, while others are members */
	GROUP_JOIN_IS_GROUP_UUID = 6, /* its server_uuid is the group's name */
	GROUP_JOIN_BEFORE_FORCE = 7   /* it is of an earlier epoch: the member is to ask again */
};

/* What the entry did. Of SUBMIT and ABANDON: `verdict` is what this very entry
 * decided, GROUP_VOID if nothing; `outcome` is the sequence's one and only, be it
 * decided now or by an earlier entry (`repeated`, VOID), and may be told. Deliver
 * a transaction when `verdict` is GROUP_ACCEPTED and `outcome.again` is not set. */
struct group_effect {
	uint8_t kind;     /* enum group_effect_kind */
	uint8_t verdict;  /* VERDICT: of this entry, may be GROUP_VOID */
	uint8_t repeated; /* VERDICT: `outcome` was decided earlier */
	uint8_t change;   /* VIEW: enum group_view_change */
	uint8_t reason;   /* JOIN_VOID: enum group_join_reason; EXPELLED: expel_reason */
	uint64_t index;   /* of this entry */
	uint64_t incarnation;
	uint64_t ended;   /* JOINED: the incarnation it replaced, while that lived; else 0 */
	uint64_t session; /* ATTACHED */
	uint64_t view;    /* VIEW: the view counter after it */
	uint64_t horizon; /* HORIZON: after it */
	uint32_t node;    /* ATTACHED */
	struct group_outcome outcome; /* VERDICT; sequence 0 and verdict 0 where there is none */
};

size_t group_size(const struct group_config *config);
struct group *group_init(void *mem, const struct group_config *config);

void group_apply_start(struct group *g, uint64_t index, const struct entry *e);
enum group_step group_apply_step(struct group *g, uint32_t budget_hashes);
const struct group_effect *group_effect(const struct group *g);

/* The write set of the entry that is being applied, piece by piece, as it is asked
 * for: `count` hashes from the group_hashes_next()-th on, twice if they are not one
 * piece. Whether it is asked for at all follows from the log alone. The bytes are
 * lent until a step answers something else than MORE. */
uint32_t group_hashes_next(const struct group *g);
void group_hashes(struct group *g, const uint8_t *hashes, uint32_t count);

/* Asks the cache for what an entry that is soon to be applied will touch: called
 * one or two entries ahead, it hides the misses of small write sets. */
void group_prefetch(const struct group *g, const struct entry *e);

/* A majority of the nodes was lost, and those that survived go on in another epoch, the
 * `epoch`-th since the first one, 0: behind the last entry the lost may have had another
 * order. So every member's incarnation ends here, a JOIN or CLOSE of an earlier epoch is void
 * from here on, and no number that this group gave in an earlier epoch, here or there, is
 * given again: each epoch has numbers of its own, see group_lost_next(). Same place in the order on
 * all nodes; epochs rise, others are no news. Not between start and the last step, and not while an
 * image closes. */
void group_fork(struct group *g, uint32_t epoch);
uint32_t group_epoch(const struct group *g);

/* The entry that is being applied asks for hashes that only the lost had. It is void, and so is
 * all behind it up to the fork into `epoch` or a higher one: what follows was decided, if at all,
 * by who had them, and would be decided otherwise without. None of it was applied by who goes on,
 * and no number that it was given is given again. Between start and the last step, which the next
 * one is; only while group_may_cut(): no hash of it is in the index. Same entry and epoch on all
 * nodes. */
bool group_may_cut(const struct group *g);
void group_cut(struct group *g, uint32_t epoch);

#define GROUP_EPOCHS_MAX    64
#define GROUP_EPOCH_NUMBERS ((uint64_t)1000000000000000)

/* GTIDs of the group's uuid, without tag where `source` is NULL, that may have been given in an
 * earlier epoch and are not in executed: the first such run that begins at or above `from`;
 * answers its first number, 0 for none, *to is its last. Transactions that had these are lost. */
uint64_t group_lost_next(const struct group *g, const struct gtid_source *source, uint64_t from,
			 uint64_t *to);

/* Frees room in the index that the horizon made free. Nobody can see whether,
 * or when, it was called. Not between start and the last step. True: more to do. */
bool group_sweep(struct group *g, uint32_t budget_slots);
bool group_sweep_due(const struct group *g); /* false: it would find little */

bool group_created(const struct group *g);
bool group_closed(const struct group *g); /* nobody is a member, nor will be */
const uint8_t *group_uuid(const struct group *g);
const struct group_config *group_config(const struct group *g); /* CREATE's */
uint64_t group_applied(const struct group *g);                  /* the last index, 0 none */
uint64_t group_horizon(const struct group *g);
uint64_t group_view(const struct group *g); /* counts joins, leaves and expels */
const struct gtid_set *group_executed(const struct group *g);
uint64_t group_index_hashes(const struct group *g); /* that count against index_hashes_max */

/* Folds every effect so far: two nodes at one index differ only if one diverged. */
uint64_t group_digest(const struct group *g);

/* What was accepted, as a sum modulo 2^64 of a term for each entry, so that whoever committed
 * just these has the same in whatever order (node/compare.c). `content` is group_content() of
 * the payload, and 0 of one that was spread, which nobody has in one piece. */
uint64_t group_sum(const struct group *g);
uint64_t group_sum_term(uint64_t index, const struct gtid *gtid, uint64_t content);
uint64_t group_content(const uint8_t *payload, uint64_t bytes);

/* What a HORIZON entry should name now; equal to group_horizon() when none is
 * worth logging: the lowest mark_low of the members that may submit (ONLINE), not
 * counting those that the horizon has passed already. When the index is nearly
 * full the lowest one is passed over, unless all stand there. Which node proposes,
 * and when, is the node's. */
uint64_t group_horizon_wanted(const struct group *g);

/* Servers that are remembered, members or gone, per member that may be. When a
 * new one finds the table full, it takes the place of the one gone longest. */
#define GROUP_SLOTS_PER_MEMBER 4
#define GROUP_SLOTS_MAX        (GROUP_SLOTS_PER_MEMBER * GROUP_MEMBERS_MAX)

/* Slots of the member table, NULL for an unused one; includes ended ones. */
uint32_t group_member_slots(const struct group *g);
const struct group_member *group_member_at(const struct group *g, uint32_t slot);
/* The member whose last incarnation this is, alive or ended, or NULL. (Not called
 * group_member(): that is a function of unistd.h.) */
const struct group_member *group_incarnation(const struct group *g, uint64_t incarnation);
/* The last incarnation of a server, or NULL. */
const struct group_member *group_server(const struct group *g, const uint8_t *server_uuid);

static inline bool
group_member_alive(const struct group_member *m)
{
	return m->state == MEMBER_RECOVERING || m->state == MEMBER_ONLINE;
}

enum group_known {
	GROUP_KNOWN = 1,   /* *out is filled */
	GROUP_OPEN = 2,    /* not decided by any entry so far */
	GROUP_PASSED = 3,  /* below the floor: its member knew the outcome */
	GROUP_UNKNOWN = 4, /* no such incarnation, or one that was replaced */
};

enum group_known group_outcome(const struct group *g, uint64_t incarnation, uint64_t sequence,
			       struct group_outcome *out);

/* May an entry that is still to come decide for this payload? Once it may not, it never
 * will again. */
bool group_offer_open(const struct group *g, uint64_t incarnation, uint64_t offer);

/*
 * The state image: all that group_apply needs, and nothing else, in pieces.
 *
 *     group_image_begin(group);
 *     do {
 *             step = group_image_next(group, writer, budget);
 *             keep what it wrote, if anything
 *             when this is a good moment, group_image_close(group)
 *     } while (step == GROUP_IMAGE_MORE);
 *
 * Entries go on being applied in between, until group_image_close(): from there to the
 * end none may be, and it may be called when group_image_ready() and no entry is half done. It is
 * the state of its end. The index, which may be large, is gone through while the group works; the
 * rest is small, and written at the end. Where group_image_full() says so, pieces are to be taken
 * before an entry goes on; who does not gets GROUP_IMAGE_BAD, and begins anew.
 *
 * A call costs budget_slots of the index, about 5 ns each, and less than 50 us besides; a
 * writer has room for GROUP_PIECE_BYTES_MIN at least.
 */
#define GROUP_PIECE_BYTES_MIN 8192

enum group_image_step {
	GROUP_IMAGE_MORE = 1,
	GROUP_IMAGE_DONE = 2,
	GROUP_IMAGE_BAD = 3, /* written: begin anew. Loaded: malformed, or of no use here */
};

void group_image_begin(struct group *g);
void group_image_forget(struct group *g); /* it will not be ended */
bool group_image_ready(const struct group *g);
void group_image_close(struct group *g);
bool group_image_closing(const struct group *g);
bool group_image_full(const struct group *g);
enum group_image_step group_image_next(struct group *g, struct writer *w, uint32_t budget_slots);

/* Into a group fresh from group_init(), which is not used before DONE: piece by piece, in
 * order. MORE wants the next one; when there is none, group_load_check() until it says
 * DONE. Pieces are checked against themselves and each other, for they may come from a
 * node of another build; not against lies, for they come over a sealed session. */
enum group_image_step group_load(struct group *g, const uint8_t *data, size_t bytes);
enum group_image_step group_load_check(struct group *g, uint32_t budget_slots);

#endif /* CERTIFY_GROUP_H */
