/*
 * The voters, who of them leads, and the change of both: which configuration a slot has, what
 * follows from one that is delivered, and how the group is driven to where it is in force.
 *
 * A change has a leader without a prepare: nobody but the process that proposed it may use
 * the lowest ballot of the new configuration, and only if it has led from the proposal to
 * the delivery. That process is one: were the same value proposed by two in turn, the later
 * would have found the earlier's in its prepare, and proposed that again as what it found.
 * Every other leader takes over anew, in a ballot of the new configuration and with quorums
 * of both, since a quorum of the old voters binds nobody among the new ones.
 *
 * A force makes a configuration that no slot decides. Survivors are told of it at
 * different slots, so what an earlier epoch decided about voters counts for none of them
 * any more: a change that was proposed there is void when it is delivered here.
 */
#include "paxos/replica.h"

/* A change is voters, then the leader, the horizon, the kind, the epoch that it was
 * proposed in, and a bit that says that it is one. */
#define CHANGE_LEADER   8
#define CHANGE_HORIZON  16
#define CHANGE_ALL_LEAD 0x01000000u
#define CHANGE_EPOCH    PAXOS_CHANGE_EPOCH
#define CHANGE_IS       PAXOS_CHANGE_IS

uint32_t
paxos_change(uint8_t replica_count, uint32_t voters, uint32_t horizon, enum paxos_lead lead)
{
	must(replica_count <= PAXOS_VOTERS_MAX);
	if (voters == 0 || voters >> replica_count != 0 || horizon < 10 ||
	    horizon > PAXOS_HORIZON_MAX)
		return 0;
	return CHANGE_IS | (lead == PAXOS_ALL_LEAD ? CHANGE_ALL_LEAD : 0) |
	       horizon << CHANGE_HORIZON | voters;
}

static struct paxos_configuration
decoded(uint32_t change)
{
	return (struct paxos_configuration){
		.voters = change & 0xff,
		.leader = change >> CHANGE_LEADER & 0xff,
		.horizon = change >> CHANGE_HORIZON & 0xff,
		.all_lead = (change & CHANGE_ALL_LEAD) != 0,
	};
}

uint32_t
configure_epoch(const struct paxos_replica *r)
{
	return (uint32_t)(configuration_latest(r)->number >> PAXOS_EPOCH_SHIFT);
}

static bool
is_sound(const struct paxos_replica *r, uint32_t change)
{
	struct paxos_configuration c = decoded(change);

	if ((change & ~CHANGE_IS) >> CHANGE_EPOCH != configure_epoch(r) ||
	    (configuration_latest(r)->number + 1) >> PAXOS_EPOCH_SHIFT != configure_epoch(r))
		return false;
	return (change & CHANGE_IS) != 0 &&
	       paxos_change(r->config.replica_count, c.voters, c.horizon, PAXOS_ONE_LEADS) != 0 &&
	       c.leader < r->config.replica_count && is_voter(&c, c.leader);
}

static bool
is_quorum(const struct paxos_configuration *c, uint32_t replicas)
{
	return paxos_is_majority(c->voters, replicas);
}

bool
paxos_quorum(const struct paxos_replica *r, uint64_t slot, uint32_t replicas)
{
	must(slot > r->delivered);
	must(replicas >> r->config.replica_count == 0);
	return is_quorum(configuration_of(r, slot), replicas);
}

uint32_t
paxos_voters(const struct paxos_replica *r)
{
	return r->now.voters;
}

/* A prepare has no end, so it needs who votes now and who will. */
bool
configure_quorum_promised(const struct paxos_replica *r, uint32_t replicas)
{
	return is_quorum(&r->now, replicas) && is_quorum(configuration_latest(r), replicas);
}

/* Everybody who votes on a slot above `delivered`. */
uint32_t
configure_voters(const struct paxos_replica *r)
{
	return r->now.voters | r->next.voters;
}

/* What was told of the slot, or NULL. */
static const struct paxos_value *
told_of(const struct paxos_replica *r, uint64_t slot)
{
	const struct paxos_report *told = &r->report[slot & WINDOW_MASK];

	return told->slot == slot ? &told->value : NULL;
}

static uint32_t
made_voters(const struct paxos_replica *r, const struct paxos_value *value)
{
	bool sound = paxos_is_change(value) && is_sound(r, value->change);

	return sound ? decoded(value->change).voters : 0;
}

/* One that was not there before votes behind a change only when all below is decided; so all that
 * is accepted by others, or, where all lead, skipped, which their logs do not say. */
static bool
may_be_in_force(struct paxos_replica *r, uint64_t slot)
{
	const struct paxos_configuration *c = configuration_of(r, slot);

	if (c->all_lead)
		return true;
	for (uint32_t i = 0; i < c->horizon; i++)
		if (!window_find(r, slot + i) && !told_of(r, slot + i))
			return false;
	return true;
}

/* Everybody who may have voted behind a change that nobody here knows to be decided. Asked when
 * all others who vote now have told what they accepted. */
uint32_t
configure_coming(struct paxos_replica *r)
{
	uint32_t voters = 0;

	for (uint64_t slot = r->delivered + 1; slot < window_end(r); slot++) {
		const struct paxos_value *told = told_of(r, slot);
		const struct paxos_slot *w = window_find(r, slot);
		uint32_t made = 0;

		if (w)
			made |= made_voters(r, &w->value);
		if (told)
			made |= made_voters(r, told);
		if (made != 0 && may_be_in_force(r, slot))
			voters |= made;
	}
	return voters;
}

static bool
has_vote_in(const struct paxos_replica *r, const struct paxos_configuration *c)
{
	return is_voter(c, r->config.self) && c->number >= r->votes_from;
}

bool
paxos_has_vote(const struct paxos_replica *r)
{
	return has_vote_in(r, &r->now) || has_vote_in(r, &r->next);
}

/* A new voter first has everything below its first slot, on disk: those who leave rely on
 * its votes for that. */
bool
configure_may_vote(const struct paxos_replica *r, uint64_t slot)
{
	const struct paxos_configuration *c = configuration_of(r, slot);

	if (!has_vote_in(r, c))
		return false;
	return slot < r->joined || r->delivered + 1 >= r->joined;
}

bool
paxos_can_change(const struct paxos_replica *r)
{
	return paxos_can_propose(r) && r->next.first == 0 && r->change_slot <= r->delivered;
}

bool
paxos_is_idle(const struct paxos_replica *r)
{
	return paxos_can_propose(r) && r->next_slot == r->delivered + 1;
}

/* Of a value that nobody has proposed in this epoch yet. */
void
configure_stamp(const struct paxos_replica *r, struct paxos_value *value)
{
	value->change = (value->change & ((1u << CHANGE_EPOCH) - 1)) | (value->change & CHANGE_IS) |
			configure_epoch(r) << CHANGE_EPOCH;
}

/* Whoever proposes leads it; one that leaves by it names the next that it is connected
 * with. */
void
configure_propose(struct paxos_replica *r, struct paxos_value *value)
{
	struct paxos_configuration c = decoded(value->change);
	uint8_t leader = r->config.self;

	must(paxos_can_change(r));
	for (uint32_t i = 0; i < r->config.replica_count && !is_voter(&c, leader); i++)
		leader = (uint8_t)((leader + 1) % r->config.replica_count);
	for (uint32_t i = 0; i < r->config.replica_count; i++) {
		if (is_voter(&c, leader) && !(r->links_down >> leader & 1))
			break;
		leader = (uint8_t)((leader + 1) % r->config.replica_count);
	}
	value->change |= (uint32_t)leader << CHANGE_LEADER;
	configure_stamp(r, value);
	must(is_sound(r, value->change));
	r->change_slot = r->next_slot;
}

void
configure_delivered(struct paxos_replica *r, const struct paxos_slot *w)
{
	/* In the last slot before another is in force, too: its proposer need not have delivered
	 * that one, which it would undo. */
	bool early = r->next.first != 0 && w->slot < r->next.first;

	must(w->slot == r->delivered);
	if (r->next.first != 0 && r->delivered + 1 >= r->next.first) {
		r->now = r->next;
		r->next = (struct paxos_configuration){0};
		r->heard_ns = r->now.all_lead ? r->now_ns : r->heard_ns;
	}
	if (!paxos_is_change(&w->value))
		return;
	if (early || !is_sound(r, w->value.change)) {
		r->stats.changes_void++;
		return;
	}
	r->next = decoded(w->value.change);
	r->next.number = r->now.number + 1;
	r->next.slot = w->slot;
	r->next.first = w->slot + r->now.horizon;
	if (!votes_now(r))
		r->joined = r->next.first;
	r->led_before = ballot_owner(r, r->seen);
	r->seen = max_u64(r->seen, r->next.number << BALLOT_NUMBER | r->next.leader);
	r->changed = r->started;
	owner_begin(r);
}

static void
remember(struct paxos_replica *r, const struct paxos_configuration *c)
{
	struct paxos_message record = {
		.kind = PAXOS_RECORD_CONFIGURATION,
		.accepted = r->votes_from,
		.nonce = c->number,
		.slot = c->slot,
		.from = c->first,
		.to = r->joined,
		.count = CHANGE_IS | (c->all_lead ? CHANGE_ALL_LEAD : 0) |
			 c->horizon << CHANGE_HORIZON | (uint32_t)c->leader << CHANGE_LEADER |
			 c->voters,
		.value = no_value,
	};

	emit_log(r, &record);
}

/* The one that paxos_config names is known without a record. */
void
configure_remember(struct paxos_replica *r)
{
	if (r->now.number > 0)
		remember(r, &r->now);
	if (r->next.first != 0)
		remember(r, &r->next);
}

/* Where the log has the change itself, this says nothing new. Nor does it of its own votes, if a
 * later change is known: that may have been on disk, and was yet to be delivered, when this was
 * written, and its caller says what follows from it (paxos_vote_from()). */
void
configure_record(struct paxos_replica *r, const struct paxos_message *m)
{
	struct paxos_configuration c = decoded(m->count);

	must((m->count & CHANGE_IS) != 0 && c.voters >> r->config.replica_count == 0);
	if (m->nonce < configuration_latest(r)->number)
		return;
	r->votes_from = m->accepted;
	if (m->nonce == configuration_latest(r)->number)
		return;
	c.number = m->nonce;
	c.slot = m->slot;
	c.first = m->from;
	r->joined = m->to;
	r->seen = max_u64(r->seen, c.number << BALLOT_NUMBER | c.leader);
	if (c.first <= r->delivered + 1)
		r->now = c;
	else
		r->next = c;
}

/* The doubt is that of a log whose end is rotten: no time ends it. One that lacks
 * acknowledged records does not wait for another any more, since to go on without them is
 * what a force is for. The horizon is the configured one: survivors must agree on it, and
 * may know different changes. */
void
configure_force(struct paxos_replica *r, uint32_t epoch, uint32_t voters)
{
	must(!r->started);
	must(epoch > configure_epoch(r) && epoch <= PAXOS_EPOCHS_MAX);
	must(voters >> r->config.replica_count == 0);
	r->now = (struct paxos_configuration){
		.number = (uint64_t)epoch << PAXOS_EPOCH_SHIFT,
		.first = 1,
		.voters = voters,
		.horizon = r->config.horizon,
		.leader = voters ? (uint8_t)__builtin_ctz(voters) : r->config.leader,
	};
	r->next = (struct paxos_configuration){0};
	r->joined = 0;
	r->votes_from = voters ? 0 : r->votes_from;
	r->changed = false;
	r->seen = max_u64(r->seen, lowest_ballot(&r->now, 1));
	r->doubt = PAXOS_TAIL_ROTTEN;
}

void
paxos_vote_from(struct paxos_replica *r, uint64_t number)
{
	r->votes_from = min_u64(r->votes_from, number);
}

struct paxos_image
paxos_image(const struct paxos_replica *r)
{
	return (struct paxos_image){.slot = r->delivered, .now = r->now, .next = r->next};
}

static bool
may_exist(const struct paxos_replica *r, const struct paxos_configuration *c)
{
	if (c->number >> PAXOS_EPOCH_SHIFT > PAXOS_EPOCHS_MAX)
		return false;
	return c->leader < r->config.replica_count && is_voter(c, c->leader) &&
	       paxos_change(r->config.replica_count, c->voters, c->horizon, PAXOS_ONE_LEADS) != 0;
}

/* The first one, at a replica that joins; or that of an epoch, at one that came into it behind
 * the force. */
static bool
is_unknown(const struct paxos_configuration *c)
{
	return c->voters == 0 && c->number >> PAXOS_EPOCH_SHIFT <= PAXOS_EPOCHS_MAX &&
	       (c->number & ((1u << PAXOS_EPOCH_SHIFT) - 1)) == 0;
}

bool
paxos_image_is_sound(const struct paxos_replica *r, const struct paxos_image *image)
{
	const struct paxos_configuration *now = &image->now;
	const struct paxos_configuration *next = &image->next;

	if ((!may_exist(r, now) && !is_unknown(now)) || now->first > image->slot + 1)
		return false;
	return next->first == 0 || (may_exist(r, next) && next->number == now->number + 1 &&
				    next->slot <= image->slot && next->first > image->slot + 1);
}

/* As if each of the slots had been delivered: one that was far behind may have come past more
 * than one change. Of an image that is older than the force the state is right; who votes in
 * all behind it, the force has said. */
void
configure_image(struct paxos_replica *r, const struct paxos_image *image)
{
	uint64_t number = configuration_latest(r)->number;

	must(paxos_image_is_sound(r, image));
	must(r->delivered == image->slot);
	if (max_u64(image->now.number, image->next.number) < number)
		return;
	if (!is_unknown(&image->now))
		r->now = image->now;
	r->next = image->next;
	r->joined = 0;
	if (r->next.first != 0 && !votes_now(r))
		r->joined = r->next.first;
	if (configuration_latest(r)->number <= number)
		return;
	r->led_before = ballot_owner(r, r->seen);
	r->seen = max_u64(r->seen, configuration_latest(r)->number << BALLOT_NUMBER |
					   configuration_latest(r)->leader);
	r->changed = r->started;
	owner_begin(r);
	if (r->started && r->now.all_lead)
		reserve_repeat(r, r->delivered + 1);
}

/* Leads on without a prepare. Beyond an earlier lead_end all is in the lowest ballot of
 * one configuration: that is the ballot now. */
static void
lead_on(struct paxos_replica *r, const struct paxos_configuration *c)
{
	if (r->lead_end <= r->delivered + 1) {
		r->confirmed_from = max_u64(r->confirmed_from, r->lead_end);
		r->lead_ballot = own_ballot(r, r->delivered + 1);
	}
	r->lead_end = c->first;
}

/* After a change was delivered: who leads behind it? One that leaves goes on up to there, and
 * so does everybody whose turn that is the end or the beginning of. */
static void
lead_behind(struct paxos_replica *r)
{
	const struct paxos_configuration *c = configuration_latest(r);
	bool leads = r->role == ROLE_LEADER;
	/* A prepare that ends in between would leave three ballots, with one `lead_end`. */
	bool plain = r->lead_end >= c->first || r->lead_end <= r->delivered + 1;
	bool named = c->leader == r->config.self && !c->all_lead;
	bool goes_on = named && c->slot == r->change_slot;
	bool turn = r->lead_ballot != 0 && !ballot_prepared(r->lead_ballot) &&
		    r->lead_end > r->delivered + 1;

	/* One that was far behind has delivered more than one change at once. */
	bool behind = own_ballot(r, r->delivered + 1) >> BALLOT_NUMBER < r->now.number;

	if (leads && plain && !behind && (goes_on || turn || c->all_lead || !may_lead(r))) {
		lead_on(r, c);
		r->lead_stops = !goes_on;
		return;
	}
	bool follows = r->role == ROLE_FOLLOWER && named && !is_voter(c, r->led_before) &&
		       r->voting && may_lead(r);
	bool again = r->role != ROLE_FOLLOWER && may_lead(r) && !(behind && r->now.all_lead);
	if (r->role != ROLE_FOLLOWER)
		prepare_abandon(r);
	if (follows || again)
		prepare_begin(r, PAXOS_SLOT_END);
}

/* Whatever was delivered: who leads now, in what is in force now? */
void
configure_lead(struct paxos_replica *r)
{
	owner_leave(r);
	if (r->changed) {
		r->changed = false;
		if (r->next.all_lead)
			reserve_repeat(r, r->next.first);
		lead_behind(r);
		owner_leave(r);
	}
	owner_take(r);
}

/* The leader: has a majority of those who vote now all that was voted on before? */
void
configure_settled(struct paxos_replica *r)
{
	uint32_t there = 0;

	if (r->role != ROLE_LEADER || r->settled == r->now.number)
		return;
	if (r->delivered + 1 >= r->now.first && r->reach_number != r->now.number) {
		r->reach_number = r->now.number;
		r->reach_lsn = r->lsn;
	}
	if (r->reach_number == r->now.number && r->reach_lsn <= r->durable)
		r->reached[r->config.self] = r->now.first - 1;
	for (uint8_t v = 0; v < r->config.replica_count; v++) {
		if (r->reached[v] + 1 >= r->now.first)
			there |= 1u << v;
	}
	if (is_quorum(&r->now, there))
		r->settled = r->now.number;
}

const struct paxos_configuration *
paxos_configuration(const struct paxos_replica *r)
{
	return configuration_latest(r);
}

uint64_t
paxos_settled(const struct paxos_replica *r)
{
	return r->settled;
}

bool
paxos_may_leave(const struct paxos_replica *r)
{
	return !is_voter(&r->now, r->config.self) && r->next.first == 0 &&
	       r->settled == r->now.number && r->now.number > 0;
}
