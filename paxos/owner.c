/*
 * Whose slot it is, and what may be proposed in it: one mechanism for both kinds of
 * configuration. Where one leads, it owns all slots, and little of this has anything to do.
 *
 * Where all lead, a voter has its turn: it is a leader in the lowest ballot of its own slots,
 * from the step on in which it has delivered all that lies below the configuration's first
 * slot, until that configuration ends or somebody takes over. It does not come back: one that
 * gave up, or began again, is silent, and is dealt with as a dead one. `fresh` is what makes
 * its skips true for ever: below it every own slot was used, or skipped, or may have been, by
 * this process or an earlier one. So a skip says nothing of the process that said it.
 */
#include "paxos/replica.h"

/* One of the many that all have their turn in? */
bool
owner_ballot(const struct paxos_replica *r, uint64_t ballot)
{
	uint64_t number = ballot >> BALLOT_NUMBER;

	if (ballot_prepared(ballot))
		return false;
	return (r->now.all_lead && number == r->now.number) ||
	       (r->next.all_lead && number == r->next.number);
}

/* All lead, as far as is known here: nobody has taken over. */
bool
owner_all_lead(const struct paxos_replica *r)
{
	return r->now.all_lead &&
	       !(ballot_prepared(r->seen) && r->seen >> BALLOT_NUMBER >= r->now.number);
}

bool
owner_in_turn(const struct paxos_replica *r)
{
	return r->role == ROLE_LEADER && r->now.all_lead && !ballot_prepared(r->lead_ballot) &&
	       r->lead_ballot >> BALLOT_NUMBER == r->now.number;
}

/* Is our ballot one for this slot? */
bool
owner_proposes(const struct paxos_replica *r, uint64_t slot)
{
	uint64_t ballot = own_ballot(r, slot);

	if (ballot_owner(r, ballot) != r->config.self || (r->lead_stops && slot >= r->lead_end))
		return false;
	return ballot_prepared(ballot) || ballot == lowest_ballot(configuration_of(r, slot), slot);
}

/* The lowest ballot of one leader is that of the process which proposed the change to it;
 * every other one that needs no prepare is bound by the reservation. */
bool
owner_reserved(const struct paxos_replica *r, uint64_t slot)
{
	uint64_t ballot = own_ballot(r, slot);

	return (ballot != 0 && !owner_ballot(r, ballot)) || slot < r->reserve_durable;
}

/* May we propose a value of our choice there, and not only what a takeover found, or a skip? */
bool
owner_may_fill(const struct paxos_replica *r, uint64_t slot)
{
	const struct paxos_configuration *c = configuration_of(r, slot);

	if (!owner_proposes(r, slot) || !owner_reserved(r, slot))
		return false;
	return !c->all_lead || (slot_owner(c, slot) == r->config.self && slot >= r->fresh);
}

static bool
is_decided(const struct paxos_replica *r, uint64_t slot)
{
	const struct paxos_slot *w = &r->window[slot & WINDOW_MASK];

	return slot <= r->delivered || (w->slot == slot && w->decided);
}

/* In turn by a skip, or as what others own; else by a proposal of nothing, where none is decided.
 * Not what needs a reservation that is not on disk: what comes behind waits for that, too. */
static bool
may_leave_out(const struct paxos_replica *r, uint64_t slot)
{
	if (owner_in_turn(r))
		return slot < r->lead_end && slot < r->reserve_durable;
	if (is_decided(r, slot))
		return true;
	return owner_proposes(r, slot) && owner_reserved(r, slot);
}

/* The next that we may fill, or one of the next that we may not. */
uint64_t
owner_next(const struct paxos_replica *r)
{
	uint64_t slot = r->next_slot;

	for (uint32_t i = 0; i < 2 * PAXOS_VOTERS_MAX; i++, slot++)
		if (owner_may_fill(r, slot) || !may_leave_out(r, slot))
			break;
	return slot;
}

/* The nothing that who takes over would propose: of the epoch of the owner's ballot. */
static struct paxos_value
skipped(uint64_t ballot)
{
	struct paxos_value value = no_value;

	value.change = (uint32_t)(ballot >> BALLOT_EPOCH) << PAXOS_CHANGE_EPOCH;
	return value;
}

/* Final: it is decided here before anybody has heard it. */
static void
skip_own(struct paxos_replica *r, uint64_t to)
{
	struct paxos_message m = {.kind = PAXOS_SKIP, .ballot = r->lead_ballot, .value = no_value};

	for (uint64_t slot = r->next_slot; slot < to; slot++) {
		if (slot_owner(&r->now, slot) != r->config.self)
			continue;
		must(slot > r->delivered);
		must(slot >= r->fresh || r->next.all_lead);
		must(slot < r->reserve_durable);
		struct paxos_slot *w =
			accept_store(r, slot, BALLOT_LEARNED, skipped(r->lead_ballot));
		w->accepted = r->lead_ballot;
		w->counted = true;
		m.from = m.from ? m.from : slot;
		m.to = slot + 1;
		r->stats.skipped++;
	}
	r->next_slot = to;
	r->fresh = max_u64(r->fresh, to);
	if (m.to != 0)
		emit_send_all(r, &m, 0);
}

static void
propose_new(struct paxos_replica *r, struct paxos_value value)
{
	configure_stamp(r, &value);
	accept_propose(r, r->next_slot, value);
}

/* Leaves out what lies below `to`: in turn by skips of what is ours, else by proposals of
 * nothing in all that nobody has decided. */
void
owner_advance(struct paxos_replica *r, uint64_t to)
{
	to = min_u64(to, window_end(r));
	if (owner_in_turn(r)) {
		to = min_u64(min_u64(to, r->lead_end), r->reserve_durable);
		if (to > r->next_slot)
			skip_own(r, to);
		return;
	}
	for (; r->next_slot < to && may_leave_out(r, r->next_slot); r->next_slot++)
		if (!is_decided(r, r->next_slot))
			propose_new(r, no_value);
}

/* An idle group is driven to where a change is in force, and an idle voter to where the
 * others are; who took over where all led, to a slot of its own. */
void
owner_drive(struct paxos_replica *r)
{
	uint64_t to = r->next.first;

	if (r->role != ROLE_LEADER || r->settle_next < r->settle_end)
		return;
	if (owner_in_turn(r))
		to = max_u64(to, r->used);
	else if (r->next_slot > r->delivered && configuration_of(r, r->next_slot)->all_lead)
		to = max_u64(to, owner_next(r));
	if (replica_room(r) < PAXOS_OUT_MAX / 2 + PAXOS_OUT_MAX / 4 && to > r->next_slot)
		r->out->more = true;
	else
		owner_advance(r, to);
}

void
owner_propose(struct paxos_replica *r, struct paxos_value value)
{
	must(paxos_can_propose(r));
	owner_advance(r, owner_next(r));
	must(owner_may_fill(r, r->next_slot));
	if (paxos_is_change(&value))
		configure_propose(r, &value);
	if (owner_in_turn(r))
		r->fresh = r->next_slot + 1;
	propose_new(r, value);
	r->next_slot++;
}

/* What an earlier process of ours can have used of the latest configuration. None, where the
 * change to it was not known when this process began. After an unclean stop that is what
 * others know: of slots that were used, the lowest undecided one was within a horizon of what
 * is decided, and all others within a horizon of that. */
void
owner_begin(struct paxos_replica *r)
{
	const struct paxos_configuration *c = configuration_latest(r);

	if (!c->all_lead)
		return;
	r->fresh = c->first;
	if (c->slot > r->heard_start)
		return;
	r->fresh = max_u64(r->fresh, r->reserve_start);
	if (r->unclean)
		r->fresh = max_u64(r->fresh, r->heard_start + 2 * PAXOS_HORIZON_MAX);
}

/* This process begins to vote. */
void
owner_start(struct paxos_replica *r)
{
	r->reserve_start = r->reserve_logged;
	r->heard_start = max_u64(r->delivered, r->known);
	for (uint64_t slot = r->delivered + 1; slot < window_end(r); slot++) {
		if (window_find(r, slot))
			r->heard_start = max_u64(r->heard_start, slot);
	}
	owner_begin(r);
}

/* Others have delivered less, and may have heard of these slots from nobody else. */
static void
last_word(struct paxos_replica *r)
{
	struct paxos_message m = {.kind = PAXOS_DECIDED,
				  .ballot = r->lead_ballot,
				  .from = r->confirmed_from,
				  .to = r->lead_end,
				  .delivered = r->lead_end - 1,
				  .nonce = r->settled,
				  .value = no_value};

	must(r->delivered >= m.delivered);
	emit_send_all(r, &m, 0);
}

/* Others are where this one will come to, and have settled its slots: or it had them itself,
 * on a disk that is gone. Who repairs on an empty one learns of the turns in which it voted before
 * as of a change that is news to it, and what it used then is decided.
 * Who led is told by ballots alone, which those who answer it do not name. */
static bool
is_over(struct paxos_replica *r)
{
	if (r->seen >> BALLOT_NUMBER > configuration_latest(r)->number)
		return true;
	for (uint64_t slot = r->delivered + 1; slot < window_end(r); slot++) {
		if ((slot <= r->known || window_find(r, slot)) &&
		    slot_owner(configuration_of(r, slot), slot) == r->config.self)
			return true;
	}
	return false;
}

static bool
may_take_turn(struct paxos_replica *r)
{
	uint64_t promised = max_u64(r->promised, r->low_ballot);

	if (r->role != ROLE_FOLLOWER || !owner_all_lead(r) || !r->voting || !votes_now(r) ||
	    log_hangs(r))
		return false;
	if (ballot_prepared(promised) && promised >> BALLOT_NUMBER >= r->now.number)
		return false;
	return r->fresh <= r->delivered + 1 && !is_over(r);
}

/* The end of what this replica leads in this way. */
void
owner_leave(struct paxos_replica *r)
{
	if (r->role != ROLE_LEADER || !r->lead_stops || r->delivered + 1 < r->lead_end)
		return;
	last_word(r);
	step_down(r);
}

/* The beginning of its turn. */
void
owner_take(struct paxos_replica *r)
{
	if (!may_take_turn(r))
		return;
	r->lead_ballot = r->now.number << BALLOT_NUMBER | r->config.self;
	r->lead_stops = r->next.first != 0;
	r->lead_end = r->lead_stops ? r->next.first : PAXOS_SLOT_END;
	lead_from_here(r, 0);
	must(owner_in_turn(r));
}

/* Who took over where all lead has deposed them, and makes that a configuration. */
void
owner_alone(struct paxos_replica *r)
{
	const struct paxos_configuration *c = &r->now;
	struct paxos_value value = no_value;

	if (r->role != ROLE_LEADER || !c->all_lead || owner_in_turn(r) || !paxos_can_change(r) ||
	    replica_room(r) < PAXOS_OUT_MAX / 4)
		return;
	value.change =
		paxos_change(r->config.replica_count, c->voters, c->horizon, PAXOS_ONE_LEADS);
	owner_propose(r, value);
}

/* From the owner alone: what others may say of its slots is what they know, not what is. */
void
step_skip(struct paxos_replica *r, uint8_t from, const struct paxos_message *m)
{
	uint64_t end = min_u64(m->to, window_end(r));

	if (!owner_ballot(r, m->ballot) || ballot_owner(r, m->ballot) != from) {
		r->stats.stale++;
		return;
	}
	leader_spoke(r, m->ballot, from);
	heard_from(r, m->ballot, from);
	for (uint64_t slot = max_u64(m->from, r->delivered + 1); slot < end; slot++) {
		struct paxos_slot *w = window_find(r, slot);
		if (lowest_ballot(configuration_of(r, slot), slot) == m->ballot &&
		    !(w && w->decided))
			accept_store(r, slot, BALLOT_LEARNED, skipped(m->ballot));
	}
}
