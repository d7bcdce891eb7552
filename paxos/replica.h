/*
 * paxos/replica.h - what one replica remembers; inside paxos/ only.
 *
 * A step file handles one group of messages. It changes this structure and says
 * what follows through the emit functions below; it never looks at another
 * replica, and never at the bytes of a value.
 *
 *      <= delivered        (delivered, delivered + horizon]       beyond
 *     ------------------|-------------------------------------|-----------
 *      kept for            accepted, decided out of order,        counted,
 *      neighbours          reported, proposed                     dropped
 *
 * Ownership  a window slot and a report each hold one reference to their value.
 * Limits     what a step may emit is bounded by PAXOS_OUT_MAX; work that is not
 *            bounded by the horizon alone asks replica_room() and sets `more`.
 */
#ifndef PAXOS_REPLICA_H
#define PAXOS_REPLICA_H

#include "base/must.h"
#include "paxos/patience.h"
#include "paxos/paxos.h"

#define WINDOW_MASK    (PAXOS_WINDOW_SLOTS - 1)
#define LEARNED_MAX    64         /* per answer */
#define BALLOT_LEARNED UINT64_MAX /* decided in a ballot that this replica was not told */
#define BALLOT_NUMBER  40         /* from this bit on, the number of the configuration */
#define BALLOT_EPOCH   (BALLOT_NUMBER + PAXOS_EPOCH_SHIFT)

static const struct paxos_value no_value = {.handle = PAXOS_NO_VALUE};

struct paxos_slot {
	uint64_t slot;     /* 0: nothing here */
	uint64_t accepted; /* ballot of the acceptance, or BALLOT_LEARNED */
	struct paxos_value value;
	uint64_t record_end; /* of the record that holds it */
	uint64_t sent_ns;    /* by the leader, last */
	uint32_t votes;      /* counted by the leader, for `accepted` */
	bool decided;
	bool counted; /* decided by our own count of votes in ballot `accepted`, or own skip */
};

/* The best that others reported of a slot, to a candidate or after an unclean
 * stop. */
struct paxos_report {
	uint64_t slot; /* 0: nothing here */
	uint64_t ballot;
	uint32_t voters; /* that reported the slot */
	struct paxos_value value;
};

/* The last that a replica said as a leader, or as one of those who all lead. */
struct paxos_spoke {
	uint64_t ballot;
	uint64_t at_ns;
	bool any;
};

/* What a voter answered to our PREPARE or RECOVER. */
struct paxos_answer {
	bool got;
	bool mute;      /* PAXOS_MUTE: no answer for who stood there before */
	uint64_t first; /* reports are of slots from here on */
	uint64_t delivered;
	uint32_t count;  /* of reports it consists of */
	uint64_t digest; /* of their slots */
};

enum paxos_role {
	ROLE_FOLLOWER = 1,
	ROLE_CANDIDATE = 2,
	ROLE_LEADER = 3,
};

struct paxos_replica {
	struct paxos_config config;
	uint32_t there;                 /* places where somebody stands, a bit each */
	uint8_t rank[PAXOS_VOTERS_MAX]; /* this one's, behind each leader */
	struct paxos_output *out;       /* of the step that runs */
	uint64_t now_ns;
	uint64_t lsn;     /* end of the last record */
	uint64_t durable; /* every byte below is on disk */
	uint64_t owed_ns; /* since when the log has not moved on; UINT64_MAX: it owes nothing */
	uint64_t owed_durable;

	/* Acceptor. Slots below low_end are promised to the higher of both. */
	uint64_t promised;
	uint64_t low_ballot;
	uint64_t low_end;
	struct paxos_configuration now;  /* of slot delivered + 1 */
	struct paxos_configuration next; /* decided and not in force yet; first 0: none */
	bool changed;                    /* `next` is new, and the leader has not looked at it */
	uint8_t led_before;              /* who was believed to lead when it came */
	uint64_t change_slot;  /* in which this process proposed a change, and led since; or 0 */
	uint64_t joined;       /* votes from this slot on only when all below are delivered */
	uint64_t votes_from;   /* number of the configuration: before it this replica is mute */
	uint64_t reach_number; /* the leader: of the configuration that it has reached itself */
	uint64_t reach_lsn;    /* and from where on that is on disk */
	uint64_t settled;      /* number of the configuration that a majority has reached */
	bool started;
	bool restarted;        /* the log knew an earlier process */
	bool replayed_value;   /* the log held a value already */
	bool failed;           /* the log did: never votes again */
	bool voting;           /* false from an unclean stop until recovered */
	enum paxos_tail doubt; /* about the own tail, until SETTLED is logged; else CLEAN */
	uint64_t settle_slot;  /* SETTLED waits until this one is delivered */
	uint64_t reported;     /* the highest slot in which some other voter had accepted */
	uint64_t forgotten;    /* see paxos_may_have_forgotten() */
	bool unclean;          /* this process began in doubt */
	bool may_trust_tail;   /* CUT: after tail_trust_ns */
	uint64_t vote_lsn;     /* what recovery adopted ends here; 0: still asking */
	uint64_t trust_ns;     /* when an own, cut tail is trusted */
	uint64_t process;
	uint64_t nonce;    /* of the question */
	uint32_t answered; /* those who all had answered when it asked again, a bit each */

	/* Learner. */
	uint64_t delivered;
	bool hold;                 /* the caller takes no delivery now */
	uint64_t delivered_logged; /* the highest a record of ours says */
	uint64_t delivered_log_ns; /* when a record of its own is due */
	uint64_t known;            /* every slot up to it is decided, some voter said */
	uint8_t known_from;
	uint64_t learn_ns;    /* when to ask next */
	uint64_t learn_asked; /* up to here was asked */
	uint32_t reads[PAXOS_VOTERS_MAX];
	uint64_t reached[PAXOS_VOTERS_MAX]; /* what each says it has delivered, to its leader */

	/* Proposer. Its ballot is lead_ballot below lead_end, and from there the lowest
	 * of the slot's configuration; none where lead_stops. Where all lead, every voter
	 * has the role of a leader, in a lead_ballot that is the lowest of its own slots. */
	enum paxos_role role;
	uint64_t seen; /* highest ballot heard of; its owner is the leader believed in */
	uint64_t heard_ns;
	struct patience patience;
	struct paxos_spoke spoke[PAXOS_VOTERS_MAX];
	uint64_t due_ns;     /* the tick that the last step asked for */
	bool stall_forgiven; /* since the leader was heard */
	uint64_t listen_ns;  /* silence counts from then on: this process was away */
	uint32_t deposed;    /* how often, since another leader was heard */
	uint64_t lead_ballot;
	uint64_t lead_end;
	bool lead_stops;      /* who leads beyond lead_end leads anew */
	uint64_t lead_from;   /* first slot of our prepare */
	uint64_t prepare_lsn; /* own promise is durable from here */
	uint64_t attempt_ns;  /* when our prepare began */
	uint64_t attempts;    /* prepares since somebody led */
	uint64_t beat_ns;     /* heartbeat, or prepare and recover again */
	uint64_t settle_next; /* what the takeover found is proposed up to here */
	uint64_t settle_end;
	uint64_t next_slot;      /* the next proposal's */
	uint64_t confirmed_from; /* from here to `delivered` by own count */
	uint64_t told;           /* `delivered` that the others were told */
	uint64_t counted_end;    /* what we count is decided below; behind the last value */
	uint64_t told_end;       /* of it the others were told */
	uint64_t reserve_logged;
	uint64_t reserve_durable;
	uint64_t reserve_lsn;  /* of the record under way; 0: none */
	bool reserve_repeated; /* it says again what is on disk, in a batch of its own */

	/* Owner, where all lead. */
	uint64_t reserve_start; /* what earlier processes had reserved */
	uint64_t heard_start;   /* no slot above it was known when this process began to vote */
	uint64_t fresh;         /* own slots from it on are neither used nor skipped */
	uint64_t used;          /* somebody has proposed there */
	uint64_t owner_ns[PAXOS_VOTERS_MAX]; /* when each was heard */
	uint32_t owners_heard;               /* a bit each, since this process stood still */
	uint8_t told_leader;                 /* of PAXOS_OUT_LEADER */
	uint64_t told_ballot;
	uint32_t links_down; /* a bit per voter */
	uint64_t down_ns[PAXOS_VOTERS_MAX];

	struct paxos_stats stats;
	struct paxos_answer answer[PAXOS_VOTERS_MAX];
	uint64_t reports_asked[PAXOS_VOTERS_MAX]; /* from which slot on, last time */
	struct paxos_slot window[PAXOS_WINDOW_SLOTS];
	struct paxos_report report[PAXOS_WINDOW_SLOTS];
};

static inline uint64_t
max_u64(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

static inline uint64_t
min_u64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static inline uint8_t
ballot_owner(const struct paxos_replica *r, uint64_t ballot)
{
	return ballot == 0 ? r->config.leader : (uint8_t)(ballot & 0xff);
}

/* The slot's place in the window, or NULL when it is not there. */
static inline struct paxos_slot *
window_find(struct paxos_replica *r, uint64_t slot)
{
	struct paxos_slot *w = &r->window[slot & WINDOW_MASK];
	return slot != 0 && w->slot == slot ? w : NULL;
}

/* Of a slot above `delivered`. */
static inline const struct paxos_configuration *
configuration_of(const struct paxos_replica *r, uint64_t slot)
{
	return r->next.first != 0 && slot >= r->next.first ? &r->next : &r->now;
}

static inline const struct paxos_configuration *
configuration_latest(const struct paxos_replica *r)
{
	return r->next.first != 0 ? &r->next : &r->now;
}

static inline bool
is_voter(const struct paxos_configuration *c, uint8_t replica)
{
	return c->voters >> replica & 1;
}

/* Who needs no prepare in a slot of this configuration. */
static inline uint8_t
slot_owner(const struct paxos_configuration *c, uint64_t slot)
{
	uint32_t voters = c->voters;

	if (!c->all_lead)
		return c->leader;
	for (uint64_t i = (slot - c->first) % (uint32_t)__builtin_popcount(voters); i > 0; i--)
		voters &= voters - 1;
	return (uint8_t)__builtin_ctz(voters);
}

/* The ballot of a slot that needs no prepare. */
static inline uint64_t
lowest_ballot(const struct paxos_configuration *c, uint64_t slot)
{
	return c->number == 0 ? 0 : c->number << BALLOT_NUMBER | slot_owner(c, slot);
}

/* Was it prepared, or is it its slots' lowest? */
static inline bool
ballot_prepared(uint64_t ballot)
{
	return (uint32_t)(ballot >> 8) != 0;
}

/* Before the first configuration that its disk may vote in, and in those that name the one which
 * stood here before: neither promises nor votes, leads, skips, or assures anybody that nothing
 * was accepted. Of slots that were that one's, others take its word for the old disk's. */
static inline bool
is_mute(const struct paxos_replica *r)
{
	return configuration_latest(r)->number < r->votes_from ||
	       (r->now.number < r->votes_from && is_voter(&r->now, r->config.self));
}

/* Does it vote on the next slot, for all that it knows? */
static inline bool
votes_now(const struct paxos_replica *r)
{
	return is_voter(&r->now, r->config.self) && !is_mute(r);
}

/* Not who came into an epoch behind its force, up to the first change: it does not know whose
 * promises it would need, and would depose who does. */
static inline bool
may_lead(const struct paxos_replica *r)
{
	return r->now.voters != 0 && is_voter(configuration_latest(r), r->config.self) &&
	       !is_mute(r);
}

/* Who was forced on leads up to the change that replaces all of them: nobody behind it may. */
static inline bool
may_lead_out(const struct paxos_replica *r)
{
	return r->now.slot == 0 && r->now.number != 0 && r->next.first != 0 &&
	       (r->now.voters & r->next.voters) == 0 && votes_now(r);
}

static inline bool
may_prepare(const struct paxos_replica *r)
{
	return may_lead(r) || may_lead_out(r);
}

/* A slot is open when the one a horizon below it is delivered. What is not yet in force
 * counts from its own first slot; those below are open, since its change is delivered. */
static inline uint64_t
window_end(const struct paxos_replica *r)
{
	uint64_t end = r->delivered + configuration_latest(r)->horizon + 1;
	return r->next.first != 0 ? max_u64(end, r->next.first) : end;
}

/* Our ballot in a slot above `delivered`, as candidate or leader; and in `delivered`. */
static inline uint64_t
own_ballot(const struct paxos_replica *r, uint64_t slot)
{
	return slot < r->lead_end ? r->lead_ballot : lowest_ballot(configuration_of(r, slot), slot);
}

/* Is that our ballot from the end of our prepare on? */
static inline bool
own_behind(const struct paxos_replica *r, uint64_t ballot)
{
	return r->lead_end != PAXOS_SLOT_END && !r->lead_stops &&
	       ballot == own_ballot(r, r->lead_end);
}

/* The next place behind one where somebody else stands; that one itself: nobody does. */
static inline uint8_t
next_there(const struct paxos_replica *r, uint8_t behind)
{
	uint32_t others = r->there & ~(1u << r->config.self);
	uint32_t higher = others & ~((2u << behind) - 1);

	if (others == 0)
		return behind;
	return (uint8_t)__builtin_ctz(higher ? higher : others);
}

static inline uint32_t
replica_room(const struct paxos_replica *r)
{
	return PAXOS_OUT_MAX - r->out->count;
}

/* paxos.c: outputs. */
void emit_send(struct paxos_replica *r, uint8_t to, const struct paxos_message *message,
	       uint64_t after_lsn);
void emit_send_to(struct paxos_replica *r, uint32_t replicas, const struct paxos_message *message,
		  uint64_t after_lsn);
void emit_send_all(struct paxos_replica *r, const struct paxos_message *message,
		   uint64_t after_lsn);
void emit_say_all(struct paxos_replica *r, const struct paxos_message *message);
uint64_t emit_log(struct paxos_replica *r, const struct paxos_message *record);
void emit_release(struct paxos_replica *r, struct paxos_value value);
void emit_read(struct paxos_replica *r, uint64_t slot, uint8_t to);

/* configure.c */
void configure_delivered(struct paxos_replica *r, const struct paxos_slot *w);
void configure_record(struct paxos_replica *r, const struct paxos_message *m);
void configure_remember(struct paxos_replica *r);
void configure_force(struct paxos_replica *r, uint32_t epoch, uint32_t voters);
void configure_image(struct paxos_replica *r, const struct paxos_image *image);
void configure_lead(struct paxos_replica *r);
void configure_settled(struct paxos_replica *r);
void configure_propose(struct paxos_replica *r, struct paxos_value *value);
uint32_t configure_epoch(const struct paxos_replica *r);
void configure_stamp(const struct paxos_replica *r, struct paxos_value *value);
bool configure_may_vote(const struct paxos_replica *r, uint64_t slot);
bool configure_quorum_promised(const struct paxos_replica *r, uint32_t replicas);
uint32_t configure_voters(const struct paxos_replica *r);
uint32_t configure_coming(struct paxos_replica *r);

/* owner.c */
bool owner_ballot(const struct paxos_replica *r, uint64_t ballot);
bool owner_all_lead(const struct paxos_replica *r);
bool owner_in_turn(const struct paxos_replica *r);
bool owner_proposes(const struct paxos_replica *r, uint64_t slot);
bool owner_reserved(const struct paxos_replica *r, uint64_t slot);
bool owner_may_fill(const struct paxos_replica *r, uint64_t slot);
uint64_t owner_next(const struct paxos_replica *r);
void owner_advance(struct paxos_replica *r, uint64_t to);
void owner_drive(struct paxos_replica *r);
void owner_propose(struct paxos_replica *r, struct paxos_value value);
void owner_begin(struct paxos_replica *r);
void owner_start(struct paxos_replica *r);
void owner_leave(struct paxos_replica *r);
void owner_take(struct paxos_replica *r);
void owner_alone(struct paxos_replica *r);
void step_skip(struct paxos_replica *r, uint8_t from, const struct paxos_message *m);

/* step_start.c */
void step_record(struct paxos_replica *r, const struct paxos_input *in);
void step_start(struct paxos_replica *r, const struct paxos_input *in);
void step_remember(struct paxos_replica *r);
void step_image(struct paxos_replica *r, const struct paxos_image *image);
void step_recover(struct paxos_replica *r, uint8_t from, const struct paxos_message *m);
void step_recovered(struct paxos_replica *r, uint8_t from, const struct paxos_message *m);
void step_mute(struct paxos_replica *r, uint8_t from, const struct paxos_message *m);
void recover_ask(struct paxos_replica *r);
void recover_try(struct paxos_replica *r);
void recover_finish(struct paxos_replica *r);
void recover_settle(struct paxos_replica *r);
void recover_trust(struct paxos_replica *r);
void lead_at_start(struct paxos_replica *r);
bool zero_is_over(struct paxos_replica *r);

/* step_prepare.c */
void prepare_begin(struct paxos_replica *r, uint64_t end);
void prepare_send(struct paxos_replica *r);
void prepare_try(struct paxos_replica *r);
void prepare_settle(struct paxos_replica *r);
void prepare_abandon(struct paxos_replica *r);
void lead_from_here(struct paxos_replica *r, uint64_t settle_end);
void answer_store(struct paxos_replica *r, uint8_t from, const struct paxos_message *m);
bool answer_complete(const struct paxos_replica *r, uint8_t voter);
uint64_t reports_from(struct paxos_replica *r, uint8_t voter);
void report_count(struct paxos_replica *r, const struct paxos_message *asked,
		  struct paxos_message *answer);
void report_own(struct paxos_replica *r, uint8_t to, const struct paxos_message *asked);
void reports_clear(struct paxos_replica *r);
void reports_forget(struct paxos_replica *r, uint8_t voter);
void step_prepare(struct paxos_replica *r, uint8_t from, const struct paxos_message *m);
void step_promise(struct paxos_replica *r, uint8_t from, const struct paxos_message *m);
void step_report(struct paxos_replica *r, uint8_t from, const struct paxos_message *m);
void step_refuse(struct paxos_replica *r, uint8_t from, const struct paxos_message *m);

/* step_accept.c */
uint64_t accept_log(struct paxos_replica *r, const struct paxos_slot *w);
uint64_t promise_of(const struct paxos_replica *r, uint64_t slot);
struct paxos_slot *accept_store(struct paxos_replica *r, uint64_t slot, uint64_t ballot,
				struct paxos_value value);
void accept_propose(struct paxos_replica *r, uint64_t slot, struct paxos_value value);
void accept_send(struct paxos_replica *r, const struct paxos_slot *w, uint32_t voters);
void accept_count_own(struct paxos_replica *r);
void step_accept(struct paxos_replica *r, uint8_t from, const struct paxos_message *m);
void step_accepted(struct paxos_replica *r, uint8_t from, const struct paxos_message *m);

/* step_learn.c */
void learn_deliver(struct paxos_replica *r);
void learn_known(struct paxos_replica *r, uint8_t from, uint64_t delivered);
void learn_tell_position(struct paxos_replica *r, uint32_t to);
void learn_ask(struct paxos_replica *r);
void learn_decided(struct paxos_replica *r, uint8_t from, const struct paxos_message *m);
void learn_tell(struct paxos_replica *r);
void send_learned(struct paxos_replica *r, uint8_t to, uint64_t slot, struct paxos_value value);
uint64_t confirmed_from(const struct paxos_replica *r, uint64_t ballot);
uint64_t counted_end(struct paxos_replica *r);
void step_decided(struct paxos_replica *r, uint8_t from, const struct paxos_message *m);
void read_for(struct paxos_replica *r, uint8_t to, uint64_t slot);
void step_learn(struct paxos_replica *r, uint8_t from, const struct paxos_message *m);
void step_learned(struct paxos_replica *r, const struct paxos_message *m);
void step_read_done(struct paxos_replica *r, const struct paxos_input *in);

/* step_timer.c */
void leader_spoke(struct paxos_replica *r, uint64_t ballot, uint8_t from);
void heard_from(struct paxos_replica *r, uint64_t ballot, uint8_t from);
void step_down(struct paxos_replica *r);
void step_late(struct paxos_replica *r);
void step_link(struct paxos_replica *r, uint8_t voter, bool up);
void timer_there(struct paxos_replica *r, uint32_t replicas);
void timer_run(struct paxos_replica *r);
uint64_t timer_next(const struct paxos_replica *r);
void reserve_more(struct paxos_replica *r);
void reserve_reached(struct paxos_replica *r);
void reserve_repeat(struct paxos_replica *r, uint64_t first);
bool log_hangs(const struct paxos_replica *r);

#endif /* PAXOS_REPLICA_H */
