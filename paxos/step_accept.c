/* Acceptance: the vote of an acceptor, and the leader's count of votes. */
#include "paxos/replica.h"

/* The ballot below which this slot accepts nothing. An acceptance binds its own
 * slot only: were it to raise `promised`, a voter that missed the prepare of a
 * bounded range would refuse its leader's ballot 0 behind that range. */
uint64_t
promise_of(const struct paxos_replica *r, uint64_t slot)
{
	const struct paxos_slot *w = &r->window[slot & WINDOW_MASK];
	uint64_t ballot = r->promised;
	if (slot < r->low_end)
		ballot = max_u64(ballot, r->low_ballot);
	if (w->slot == slot && w->accepted != BALLOT_LEARNED)
		ballot = max_u64(ballot, w->accepted);
	return ballot;
}

/* As an acceptance, or as learned where it is decided. Answers the record's end. */
uint64_t
accept_log(struct paxos_replica *r, const struct paxos_slot *w)
{
	bool learned = w->decided;
	struct paxos_message record = {.kind = learned ? PAXOS_LEARNED : PAXOS_ACCEPT,
				       .ballot = learned ? 0 : w->accepted,
				       .slot = w->slot,
				       .delivered = r->delivered,
				       .value = w->value};

	return emit_log(r, &record);
}

/* Puts a value into the window, whose reference it takes, and logs it. */
struct paxos_slot *
accept_store(struct paxos_replica *r, uint64_t slot, uint64_t ballot, struct paxos_value value)
{
	struct paxos_slot *w = &r->window[slot & WINDOW_MASK];

	must(slot > r->delivered);
	must(slot < window_end(r));
	must(w->slot <= slot);
	if (w->slot == slot) {
		must(!w->decided);
		must(w->accepted <= ballot);
	}
	emit_release(r, w->value);
	*w = (struct paxos_slot){.slot = slot, .accepted = ballot, .value = value};
	w->decided = ballot == BALLOT_LEARNED;
	w->record_end = accept_log(r, w);
	return w;
}

/* Sends the leader's proposal to `voters`, with how far it delivered. */
void
accept_send(struct paxos_replica *r, const struct paxos_slot *w, uint32_t voters)
{
	struct paxos_message m = {
		.kind = PAXOS_ACCEPT, .ballot = w->accepted, .slot = w->slot, .value = w->value};

	if (own_ballot(r, r->delivered) == w->accepted) {
		m.delivered = r->delivered;
		m.from = confirmed_from(r, w->accepted);
		m.to = counted_end(r);
	}
	emit_send_to(r, voters, &m, 0);
	if (m.delivered == r->delivered && voters == UINT32_MAX) {
		r->told = r->delivered;
		r->told_end = m.to;
	}
}

/* The leader's own acceptance is logged like any other; its vote counts when the
 * log reports it, not before. */
void
accept_propose(struct paxos_replica *r, uint64_t slot, struct paxos_value value)
{
	must(r->role == ROLE_LEADER);
	must(owner_proposes(r, slot));
	must(owner_reserved(r, slot));
	must(own_ballot(r, slot) >= promise_of(r, slot));
	must(own_ballot(r, slot) >> BALLOT_NUMBER >= configuration_of(r, slot)->number);
	struct paxos_slot *w = accept_store(r, slot, own_ballot(r, slot), value);
	w->sent_ns = r->now_ns;
	accept_send(r, w, UINT32_MAX);
}

static void
vote(struct paxos_replica *r, struct paxos_slot *w, uint8_t voter)
{
	must(r->role == ROLE_LEADER);
	if (w->decided || w->accepted != own_ballot(r, w->slot))
		return;
	w->votes |= 1u << voter;
	if (paxos_quorum(r, w->slot, w->votes)) {
		w->decided = true;
		w->counted = true;
	}
}

void
accept_count_own(struct paxos_replica *r)
{
	if (r->role != ROLE_LEADER)
		return;
	for (uint64_t slot = r->delivered + 1; slot < r->next_slot; slot++) {
		struct paxos_slot *w = window_find(r, slot);
		if (w && w->record_end <= r->durable && configure_may_vote(r, slot))
			vote(r, w, r->config.self);
	}
}

/* Says how far it has delivered, too. Where those who leave wait for that, and where a new
 * voter's first votes stand for it, all of it must be on disk: a slot below this one may have
 * been learned later than this one was accepted. */
static void
send_accepted(struct paxos_replica *r, uint8_t to, const struct paxos_slot *w)
{
	struct paxos_message m = {.kind = PAXOS_ACCEPTED,
				  .ballot = w->accepted,
				  .from = w->slot,
				  .to = w->slot + 1,
				  .delivered = r->delivered,
				  .value = no_value};
	bool alone = r->settled == r->now.number && r->next.first == 0;
	if (configure_may_vote(r, w->slot))
		emit_send(r, to, &m, alone ? w->record_end : r->lsn);
}

static void
send_refuse(struct paxos_replica *r, uint8_t to, uint64_t ballot, uint64_t promised)
{
	struct paxos_message m = {
		.kind = PAXOS_REFUSE, .ballot = ballot, .accepted = promised, .value = no_value};
	r->stats.refused++;
	emit_send(r, to, &m, r->lsn);
}

/* Not of an older configuration, and prepared, or the owner's. */
static bool
ballot_fits(uint64_t ballot, const struct paxos_configuration *c, uint64_t slot)
{
	uint64_t number = ballot >> BALLOT_NUMBER;

	if (number == c->number && !ballot_prepared(ballot))
		return ballot == lowest_ballot(c, slot);
	return number >= c->number;
}

/* True when the value was stored, else it is still the caller's to release. */
static bool
accept_try(struct paxos_replica *r, uint8_t from, const struct paxos_message *m)
{
	struct paxos_slot *w = window_find(r, m->slot);

	if (m->slot > r->delivered && !r->voting) {
		r->stats.stale++;
		return false;
	}
	if (w && w->accepted == m->ballot && m->slot > r->delivered &&
	    m->ballot >= promise_of(r, m->slot)) {
		/* Once more: the first answer may be lost, or still wait for the disk. Not behind
		 * a higher promise: what recovery adopted this replica had perhaps not accepted
		 * before it. Schedule: A promises ballot 4 to B and forgets it, and leader C, which
		 * has heard nothing, proposes v in ballot 3; A asks both, adopts the promise and v,
		 * hears v from C again, and would decide it with C while B and A decide w in 4. */
		send_accepted(r, from, w);
		return false;
	}
	if (w && w->decided) {
		send_learned(r, from, m->slot, w->value);
		return false;
	}
	if (m->slot <= r->delivered) {
		/* Given back under pressure, but on disk. Were this ignored, a leader
		 * that is behind all others would propose it for ever. */
		r->stats.stale++;
		read_for(r, from, m->slot);
		return false;
	}
	if (m->slot >= window_end(r)) {
		r->stats.beyond++;
		return false;
	}
	if (!ballot_fits(m->ballot, configuration_of(r, m->slot), m->slot)) {
		r->stats.stale++;
		return false;
	}
	if (m->ballot < promise_of(r, m->slot)) {
		send_refuse(r, from, m->ballot, promise_of(r, m->slot));
		return false;
	}
	send_accepted(r, from, accept_store(r, m->slot, m->ballot, m->value));
	return true;
}

void
step_accept(struct paxos_replica *r, uint8_t from, const struct paxos_message *m)
{
	bool stored = false;
	if (m->slot == 0 || m->slot == PAXOS_SLOT_END || ballot_owner(r, m->ballot) != from) {
		r->stats.stale++;
	} else {
		leader_spoke(r, m->ballot, from);
		if (m->ballot >= promise_of(r, m->slot))
			heard_from(r, m->ballot, from);
		if (owner_ballot(r, m->ballot))
			r->used = max_u64(r->used, m->slot);
		/* A leader whose horizon is full proposes behind what this very message says
		 * is decided. */
		if (m->slot >= window_end(r))
			learn_decided(r, from, m);
		stored = accept_try(r, from, m);
		learn_decided(r, from, m);
	}
	if (!stored)
		emit_release(r, m->value);
}

void
step_accepted(struct paxos_replica *r, uint8_t from, const struct paxos_message *m)
{
	uint64_t end = min_u64(m->to, window_end(r));
	if (r->role != ROLE_LEADER) {
		r->stats.stale++;
		return;
	}
	if (m->delivered != PAXOS_SLOT_END)
		r->reached[from] = max_u64(r->reached[from], m->delivered);
	for (uint64_t slot = max_u64(m->from, r->delivered + 1); slot < end; slot++) {
		struct paxos_slot *w = window_find(r, slot);
		if (w && w->accepted == m->ballot)
			vote(r, w, from);
	}
}

/* The leader tells how far it delivered; a stale one is told that it is. */
void
step_decided(struct paxos_replica *r, uint8_t from, const struct paxos_message *m)
{
	uint64_t promised = max_u64(r->promised, r->low_ballot);
	if (ballot_owner(r, m->ballot) != from) {
		r->stats.stale++;
		return;
	}
	leader_spoke(r, m->ballot, from);
	if (m->ballot < promised && ballot_owner(r, promised) != from)
		send_refuse(r, from, m->ballot, promised);
	else
		heard_from(r, m->ballot, from);
	r->settled = max_u64(r->settled, m->nonce);
	if (owner_ballot(r, m->ballot) && m->to != 0)
		r->used = max_u64(r->used, m->to - 1);
	learn_decided(r, from, m);
	/* The slots that it lacks were others', who have their turn no more: nobody but one
	 * that it asks would tell it, and it does not know that there is something to ask for. */
	if (r->role == ROLE_FOLLOWER && m->delivered + 1 < r->now.first)
		step_learn(r, from,
			   &(struct paxos_message){.from = m->delivered + 1, .to = r->now.first});
}
