/*
 * paxos/paxos.h - one replica of the ordering protocol, as a function.
 *
 *     paxos_step(replica, input, output)
 *
 * Nothing behind this header performs I/O, reads a clock, draws entropy,
 * allocates, locks or logs. Time, messages and disk completions come in as
 * inputs; messages to send, records to make durable and values to deliver go
 * out as outputs. The same replica and the same input give the same output, bit
 * for bit, which is what lets the DPDK loop and the simulator run this very
 * code, and a failing seed be replayed.
 *
 * The protocol is Multi-Paxos (Lamport, "Paxos Made Simple", section 3; the event
 * horizon, the reservation and the kind in which all voters lead are XCom's and
 * Mencius'). A group's log is a row of slots, from 1 on; a slot's value is opaque.
 * The lowest ballot of a slot belongs to the slot's owner and needs no prepare; any
 * voter may take over with one prepare for a range of slots. A configuration is of
 * one of two kinds, which say who owns a slot, and differ in nothing else:
 *
 * One leads   The leader that the configuration names owns every slot.
 * All lead    The voters own the slots in turn: of n voters the i-th has first + i,
 *             first + i + n, ... Each proposes in its own, and says of those that it
 *             leaves out that it never proposed there (PAXOS_SKIP: a range, its own
 *             slots in it, from nobody else). A skip is final: it decides the slot as
 *             empty, at once, and needs no record. What nobody has heard of a slot is
 *             unknown, and is asked for. Who sees that others have used higher slots
 *             skips up to there, so that delivery waits for nobody that is idle.
 *             A takeover proposes, slot by slot, the accepted value of the highest
 *             ballot, and where it found none it skips; a value of its own only in a
 *             slot of its own that it has not skipped. It begins when a voter is
 *             silent, and deposes all: who takes over proposes, in a slot of its own,
 *             the change to the kind in which it leads alone. Any voter may propose
 *             that, or the change back, at any time: they are changes like others.
 * Reservation Ballots without a prepare are used below a mark only that is on disk:
 *             a restarted process cannot know what it used. It begins at the mark, and
 *             what it owns below is settled by a takeover. Where all lead the mark was
 *             on disk one batch before its first use: a disk that lies about its last
 *             batch takes one that was raised just then, and the next process would
 *             skip what the last one proposed.
 *
 * Voters      change by a value that carries a change: decided in slot r, it is in
 *             force from r + horizon, for all slots from there on. Nobody proposes
 *             in a slot before it has delivered the one a horizon below, so
 *             whoever touches a slot knows its voters. A change that is delivered
 *             while another is not yet in force is void. Every replica is told
 *             everything; one that does not vote learns, and one that is to vote
 *             votes only when it has delivered every slot below its first one.
 * Durability  A promise or an acceptance binds nobody until it is on disk, so
 *             every outgoing message names the log position it depends on
 *             (`after_lsn`), and the own vote counts only when PAXOS_IN_DURABLE
 *             has reported its record. Holding the message back is the caller's
 *             duty; the simulator checks that it does.
 * Ballots     epoch << 56 | configuration << 40 | counter << 8 | replica. Counter 0 belongs
 *             to the slot's owner and needs no prepare: behind a change to one leader that
 *             is the process which proposed it, for as long as it has led since. A takeover
 *             asks a quorum of every configuration that it knows of in its range, in a
 *             ballot of the latest.
 * Units       `now_ns` is monotonic nanoseconds, any origin. LSNs are bytes
 *             since the log was formatted; `after_lsn` is the end of a record.
 *             Slots, ballots and voters are ordinals.
 * Ownership   A value is a handle into the caller's pool, with one reference:
 *             passing it in hands that reference over, PAXOS_OUT_RELEASE hands
 *             it back. PAXOS_OUT_DELIVER lends it until the caller's next call:
 *             who needs it longer retains it. Payload bytes are never read. An
 *             empty value is handle PAXOS_NO_VALUE with 0 bytes.
 * Limits      One step emits at most PAXOS_OUT_MAX outputs; what is left to do
 *             is said by `more` and done in the next step (PAXOS_IN_TICK).
 *             PAXOS_WINDOW_SLOTS slots are held: those in flight, and the last
 *             delivered ones for neighbours that are a little behind. A caller
 *             that cannot take more says `hold` with every input until it can:
 *             what is decided meanwhile waits in the window, as it would behind
 *             a gap, and the horizon bounds it.
 * Trimming    A caller that keeps its own state image of a slot gives PAXOS_IN_REMEMBER
 *             when that is the last one delivered: what was logged before is then for those
 *             who lag behind only. One that takes another's image says PAXOS_IN_IMAGE.
 * Errors      None are returned. What a peer sent may be stale, duplicated or
 *             malformed: it is counted in paxos_stats and ignored. What the
 *             caller got wrong is a bug: the process stops.
 * Threads     One core owns a replica. There is no locking to opt into.
 */
#ifndef PAXOS_PAXOS_H
#define PAXOS_PAXOS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PAXOS_VOTERS_MAX   7
#define PAXOS_HORIZON_MAX  200
#define PAXOS_WINDOW_SLOTS 512 /* power of two, > 2 * PAXOS_HORIZON_MAX */
#define PAXOS_OUT_MAX      1024
#define PAXOS_NO_VALUE     0xffffffffu
#define PAXOS_READS_MAX    16         /* PAXOS_OUT_READ for one voter that are not answered */
#define PAXOS_SLOT_END     UINT64_MAX /* a range without end */
#define PAXOS_NO_VOTER     0xffu

struct paxos_replica;

/* Of configurations in an epoch, the first's; and epochs. */
#define PAXOS_EPOCH_SHIFT 16
#define PAXOS_EPOCHS_MAX  63

struct paxos_value {
	uint32_t handle;
	uint32_t bytes;
	/* Of the configuration, from paxos_change(); 0: none. Who proposes adds its epoch, whatever
	 * the value is, see paxos_value_epoch(). */
	uint32_t change;
};

#define PAXOS_CHANGE_IS    0x80000000u
#define PAXOS_CHANGE_EPOCH 25

static inline bool
paxos_is_change(const struct paxos_value *value)
{
	return (value->change & PAXOS_CHANGE_IS) != 0;
}

/* Of a value that was delivered. Below the first one of an epoch the order is that of the epochs
 * before, in whose majority that was lost, too. From there on it may be another one: what
 * survivors adopted is proposed anew, since the lost may have decided something else there. */
static inline uint32_t
paxos_value_epoch(const struct paxos_value *value)
{
	return (value->change & ~PAXOS_CHANGE_IS) >> PAXOS_CHANGE_EPOCH;
}

/* Who votes, on which slots. */
struct paxos_configuration {
	uint64_t number; /* 0: the one that paxos_config names */
	uint64_t slot;   /* that decided it */
	uint64_t first;  /* slot from which on it is in force */
	uint32_t voters; /* a bit each */
	uint32_t horizon;
	uint8_t leader; /* owner of its lowest ballot; all lead: who proposed the change */
	bool all_lead;
};

/* Who owns the slots of a configuration. The first one, number 0, has one leader. */
enum paxos_lead {
	PAXOS_ONE_LEADS = 0,
	PAXOS_ALL_LEAD = 1,
};

/* What a replica that skips to a slot has to know besides the caller's state there. */
struct paxos_image {
	uint64_t slot; /* that is delivered */
	struct paxos_configuration now;
	struct paxos_configuration next; /* first 0: none */
};

struct paxos_config {
	uint8_t replica_count; /* places, 1..PAXOS_VOTERS_MAX; who is no voter learns */
	/* A bit each: somebody stands there. 0: in all. Others come with PAXOS_IN_LINK. */
	uint32_t there;
	uint8_t self;    /* number of this replica, below replica_count */
	uint8_t leader;  /* owner of ballot 0, a voter */
	uint32_t voters; /* a bit each, of configuration 0; 0: all that are there */
	bool joins;      /* configuration 0 is not known here: it learns who votes */
	/* Number of the first configuration in which this disk votes: another one stood here
	 * before, and is gone with all that it had promised. Up to there this replica is mute,
	 * since its word would pass for that disk's. See paxos_vote_from(). */
	uint64_t votes_from;
	uint32_t horizon;       /* slots in flight, 10..PAXOS_HORIZON_MAX */
	uint64_t reserve_slots; /* step of the reservation, >= 2 * horizon */
	uint64_t takeover_ns;   /* silence of a leader, per rank, before a takeover */
	/* Of one that was heard regularly, at least: see patience.h. 0: as above. */
	uint64_t takeover_min_ns;
	uint64_t beat_ns;       /* heartbeats of a leader; 0: every retry_ns */
	uint64_t retry_ns;      /* resend what got no answer */
	uint64_t tail_trust_ns; /* see DESIGN section 4, "torn or rotten" */
};

/* Messages between replicas and records of the log are one set of kinds: an
 * accept that is received is the record that is written. */
enum paxos_kind {
	PAXOS_PREPARE = 1,  /* ballot, from, to, delivered (sender's), slot: REPORTs from it on */
	PAXOS_PROMISE = 2,  /* ballot, from, to, delivered, count and digest of its REPORTs */
	PAXOS_REPORT = 3,   /* ballot or nonce (answered), slot, accepted (ballot), value */
	PAXOS_ACCEPT = 4,   /* ballot, slot, delivered, from and to as in DECIDED, value */
	PAXOS_ACCEPTED = 5, /* ballot, from, to, delivered: votes for slots from..to-1 */
	PAXOS_REFUSE = 6,   /* ballot refused, accepted = ballot promised */
	PAXOS_DECIDED = 7,  /* ballot, delivered: decided up to it; what was accepted in `ballot`
			     * is decided from `from` up to it, and below `to`;
			     * nonce: the configuration that a majority of its voters reached */
	PAXOS_LEARN = 8,    /* from, to: please send LEARNED for from..to-1; it has what is below */
	PAXOS_LEARNED = 9,  /* slot, value: decided; delivered (record) */
	PAXOS_RECOVER =
		10, /* nonce, from, slot: a voter after an unclean stop asks what is known */
	PAXOS_RECOVERED = 11, /* nonce, from, ballot promised, low_*, delivered, as PROMISE; to */
	PAXOS_SKIP = 12,      /* ballot, from, to: its owner never proposed in its slots of these */
	PAXOS_MUTE = 13,      /* nonce answered, delivered: it is mute (votes_from), and has voted
			       * on nothing; of who stood there before it says nothing */
	/* Records that are never sent. */
	PAXOS_RECORD_START = 32,     /* nonce: process number; count: what its tail was taken for */
	PAXOS_RECORD_PROMISE = 33,   /* ballot, low_ballot, low_end */
	PAXOS_RECORD_RESERVE = 34,   /* to: this process may use ballot 0 below it */
	PAXOS_RECORD_DELIVERED = 35, /* delivered */
	PAXOS_RECORD_SETTLED = 36,   /* nonce: the process whose doubt is over; slot: forgotten */
	/* nonce: number; slot, from: first; count: as paxos_change() and its leader; to: from
	 * where on this replica votes in it, if it did not before; accepted: see votes_from */
	PAXOS_RECORD_CONFIGURATION = 37,
};

/* One message or record; fields a kind does not name are 0. Encoded by
 * paxos/codec.h, which also decodes it from bytes of any origin. */
struct paxos_message {
	uint8_t kind; /* enum paxos_kind */
	uint64_t ballot;
	uint64_t accepted; /* REPORT: ballot of acceptance; REFUSE: promised; PROMISE: digest */
	uint64_t slot;
	uint64_t from;
	uint64_t to;
	uint64_t delivered; /* every slot up to it was delivered by the sender */
	uint64_t low_ballot;
	uint64_t low_end;
	uint64_t nonce;
	uint32_t count;
	struct paxos_value value;
};

enum paxos_tail {
	PAXOS_TAIL_CLEAN = 1,  /* orderly stop, or a log that was just formatted */
	PAXOS_TAIL_CUT = 2,    /* unclean stop; at most the last batch is missing */
	PAXOS_TAIL_ROTTEN = 3, /* more may be missing: never trusted by time alone */
	/* Acknowledged records are missing. As ROTTEN, and until it knows again what the
	 * others know, nobody takes its silence about a value for knowledge. */
	PAXOS_TAIL_MISSING = 4,
};

enum paxos_input_kind {
	PAXOS_IN_RECORD = 1,     /* message, lsn (end of the record): before START only */
	PAXOS_IN_START = 2,      /* process, nonce, tail */
	PAXOS_IN_MESSAGE = 3,    /* from, message */
	PAXOS_IN_PROPOSE = 4,    /* value; only when paxos_can_propose() */
	PAXOS_IN_DURABLE = 5,    /* lsn: every byte below it is on disk */
	PAXOS_IN_LOG_FAILED = 6, /* this replica never votes again */
	PAXOS_IN_READ_DONE = 7,  /* slot, from (for whom), value, or PAXOS_NO_VALUE and !found */
	PAXOS_IN_LINK = 8,       /* from, up */
	PAXOS_IN_TICK = 9,
	/* Logs once more all that a restart would have to know, so that what was logged before
	 * is not needed for it: a log that begins with these records, and the caller's state at
	 * `delivered`, replays to this replica. Not after LOG_FAILED. */
	PAXOS_IN_REMEMBER = 10,
	/* At any time: gives back every value that it holds, and takes nothing more. */
	PAXOS_IN_END = 11,
	/* epoch, above any before; voters; before START only. A majority is lost for good:
	 * survivors, and all the same, are told who votes from now on, in all that is not
	 * delivered. None votes before it knows what all others had promised and accepted: a
	 * majority would not do, since the one survivor of a quorum may be outside it. Messages
	 * of another epoch never come here. */
	PAXOS_IN_FORCE = 12,
	/* image: the caller has the state behind this slot, in its log too. Before START where a
	 * replay comes to it. Nothing, where as much is delivered. */
	PAXOS_IN_IMAGE = 13,
};

struct paxos_input {
	enum paxos_input_kind kind;
	uint64_t now_ns;
	uint64_t lsn_next; /* where the next record would begin */
	bool pressure;     /* the pool is short: give back values that are only kept */
	bool hold;         /* deliver nothing; never with RECORD */
	uint8_t from;      /* voter */
	bool up;
	bool found;
	uint64_t lsn;
	uint64_t slot;
	uint64_t process;
	uint64_t nonce;
	uint32_t epoch;  /* counted from 0 */
	uint32_t voters; /* a bit each; 0: not known here, who learns only */
	enum paxos_tail tail;
	struct paxos_value value;
	struct paxos_message message;
	const struct paxos_image *image;
};

enum paxos_output_kind {
	PAXOS_OUT_SEND = 1,    /* to (voter), message, after_lsn, once; lends message.value */
	PAXOS_OUT_LOG = 2,     /* message (a record), lsn = its end; lends message.value */
	PAXOS_OUT_DELIVER = 3, /* slot, value */
	PAXOS_OUT_READ = 4,    /* slot, to (for whom): answer with PAXOS_IN_READ_DONE */
	PAXOS_OUT_RELEASE = 5, /* value */
	PAXOS_OUT_LEADER = 6,  /* to = leader now believed in or PAXOS_NO_VOTER, ballot */
};

struct paxos_output_item {
	enum paxos_output_kind kind;
	uint8_t to;
	bool once; /* SEND: it is said again, with what is new by then; a loss need not be mended */
	uint64_t after_lsn;
	uint64_t lsn;
	uint64_t slot;
	struct paxos_value value;
	struct paxos_message message;
};

struct paxos_output {
	uint32_t count;
	bool more;         /* step again (TICK) as soon as these are dealt with */
	uint64_t timer_ns; /* when the next TICK is due; UINT64_MAX = none */
	struct paxos_output_item item[PAXOS_OUT_MAX];
};

struct paxos_stats {
	uint64_t delivered;
	uint64_t takeovers_begun;
	uint64_t takeovers_won;
	uint64_t stale;  /* messages of an older ballot or slot */
	uint64_t beyond; /* messages for slots past the event horizon */
	uint64_t resent;
	uint64_t refused;
	uint64_t changes_void;
	uint64_t skipped; /* own slots */
};

size_t paxos_size(const struct paxos_config *config);

/* `memory` is paxos_size() bytes, 64-byte aligned; the replica lives in it. */
struct paxos_replica *paxos_init(void *memory, const struct paxos_config *config);

void paxos_step(struct paxos_replica *replica, const struct paxos_input *in,
		struct paxos_output *out);

/* True when this replica leads, or leads with others, settled what its takeover found, and
 * has a slot within the event horizon (and below its reservation, where that binds it). */
bool paxos_can_propose(const struct paxos_replica *replica);

/* False until the end of a cut log is settled, and after a write error. */
bool paxos_is_voting(const struct paxos_replica *replica);
bool paxos_is_leader(const struct paxos_replica *replica);
/* About its own log, until the others have settled it; CLEAN: none. */
enum paxos_tail paxos_doubt(const struct paxos_replica *replica);
/* May an earlier process have delivered this slot, whose records are missing? What begins with it
 * (a group, in group 0) may have been voted on then, and that may be missing too. */
bool paxos_may_have_forgotten(const struct paxos_replica *replica, uint64_t slot);
uint8_t paxos_leader(const struct paxos_replica *replica); /* or PAXOS_NO_VOTER */
uint64_t paxos_delivered(const struct paxos_replica *replica);
/* How far a record says so: after a crash at any point behind it, this is delivered again. */
uint64_t paxos_delivered_logged(const struct paxos_replica *replica);
const struct paxos_stats *paxos_stats(const struct paxos_replica *replica);

/* Are more than half of these voters, a bit each, among those replicas? */
static inline bool
paxos_is_majority(uint32_t voters, uint32_t replicas)
{
	return 2 * __builtin_popcount(voters & replicas) > __builtin_popcount(voters);
}

/* Are these replicas (a bit each) a quorum of the voters of this slot, above `delivered`?
 * One function, so that a change of the voters changes what counts in one place. */
bool paxos_quorum(const struct paxos_replica *replica, uint64_t slot, uint32_t replicas);

/* No slot above it was ever accepted here, nor on this disk before; 0: it cannot say so, being in
 * doubt or mute. Where a quorum of the voters of slot `delivered` + 1, and of those that are to
 * be, said no more than `delivered` after some moment, all that anybody had delivered at that
 * moment is delivered: whatever had a value above it has one that those voters accepted. What
 * Raft calls a read index (Ongaro, section 6.4), without trust in who leads. */
uint64_t paxos_highest(const struct paxos_replica *replica);

/* A change to these voters; 0 when there is none, or one that does not exist. The
 * leader is named by who proposes it, the horizon 10..PAXOS_HORIZON_MAX. */
uint32_t paxos_change(uint8_t replica_count, uint32_t voters, uint32_t horizon,
		      enum paxos_lead lead);

/* True when a value with a change may be proposed now, and will not be void unless
 * this leader is deposed. */
bool paxos_can_change(const struct paxos_replica *replica);

/* Does nothing that was proposed, by this leader or before it, wait for its decision? */
bool paxos_is_idle(const struct paxos_replica *replica);

/* The latest that was delivered, in force or not yet. */
const struct paxos_configuration *paxos_configuration(const struct paxos_replica *replica);

/* Who votes on the slot behind `delivered`: of the latest, or of the one before it. */
uint32_t paxos_voters(const struct paxos_replica *replica);

/* May this replica vote in what is in force, or in what is to be? Not where it is named for another
 * disk, which stood there before: see votes_from. */
bool paxos_has_vote(const struct paxos_replica *replica);

/* The configuration that a majority of its voters has reached, with all that was voted on
 * before it; as far as the leader has said so here. */
uint64_t paxos_settled(const struct paxos_replica *replica);

/* True for one that is no voter, nor will be, when a majority of those who are has
 * delivered everything that it had a vote on: it may go for good. */
bool paxos_may_leave(const struct paxos_replica *replica);

/* A caller whose groups number their configurations each on its own knows only when one is
 * delivered that it may vote in it: until then votes_from is UINT64_MAX. `number`: of the
 * latest; nothing where it votes from an earlier one on. */
void paxos_vote_from(struct paxos_replica *replica, uint64_t number);

/* Of what is delivered now, for who keeps a state image of it; it is checked when it comes
 * from another node. */
struct paxos_image paxos_image(const struct paxos_replica *replica);
bool paxos_image_is_sound(const struct paxos_replica *replica, const struct paxos_image *image);

/* For checkers, which stand outside: what this replica would have to remember. */
uint64_t paxos_promised(const struct paxos_replica *replica, uint64_t slot);

#endif /* PAXOS_PAXOS_H */
