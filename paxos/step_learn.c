/* Learning: what is decided, delivering it in order, and asking for the rest. */
#include "paxos/replica.h"

/* A slot that we did not decide by our own count moves the confirmed range past
 * it. The schedule behind this: a deposed leader of ballot b, who proposed v in
 * slot s, is told by LEARNED that s holds x (chosen in c > b). Were it then to
 * say DECIDED(b, s), a voter that had accepted v in ballot b would deliver v. */
static void
deliver_one(struct paxos_replica *r, struct paxos_slot *w)
{
	must(w->decided);
	must(w->slot == r->delivered + 1);
	must(r->out->count < PAXOS_OUT_MAX);
	struct paxos_output_item *item = &r->out->item[r->out->count++];
	*item = (struct paxos_output_item){
		.kind = PAXOS_OUT_DELIVER, .slot = w->slot, .value = w->value};
	if (r->delivered == r->delivered_logged)
		r->delivered_log_ns = r->now_ns + r->config.retry_ns;
	if (r->role != ROLE_LEADER || owner_proposes(r, w->slot)) {
		if (!w->counted || w->accepted != own_ballot(r, w->slot))
			r->confirmed_from = w->slot + 1;
		else if (w->votes != 0)
			r->counted_end = w->slot + 1;
	}
	r->delivered = w->slot;
	configure_delivered(r, w);
}

void
learn_deliver(struct paxos_replica *r)
{
	if (r->hold)
		return;
	for (uint32_t i = 0; i < PAXOS_HORIZON_MAX; i++) {
		struct paxos_slot *w = window_find(r, r->delivered + 1);
		if (!w || !w->decided)
			return;
		deliver_one(r, w);
	}
	r->out->more = true;
}

/* Slots from here to `delivered` were decided by our own count in `ballot`; none
 * were when it is above. */
uint64_t
confirmed_from(const struct paxos_replica *r, uint64_t ballot)
{
	if (own_ballot(r, r->delivered) != ballot)
		return r->delivered + 1;
	if (r->delivered >= r->lead_end)
		return max_u64(r->confirmed_from, r->lead_end);
	return r->confirmed_from;
}

/* Where all lead: every slot below it and from confirmed_from() on in which we proposed was
 * decided by our own count. This goes ahead of what is delivered: were each to tell only
 * that, every slot would wait for a hop of its own. */
uint64_t
counted_end(struct paxos_replica *r)
{
	uint64_t end = min_u64(min_u64(r->next_slot, r->lead_end), window_end(r));

	if (!owner_in_turn(r))
		return 0;
	for (uint64_t slot = r->delivered + 1; slot < end; slot++) {
		const struct paxos_slot *w = window_find(r, slot);
		if (!owner_proposes(r, slot))
			continue;
		if (!w || !w->counted || w->accepted != own_ballot(r, slot))
			break;
		if (w->votes != 0)
			r->counted_end = slot + 1;
	}
	return r->counted_end;
}

/* A leader says that slots up to `delivered` are decided, and those from `from`
 * on in exactly its ballot: one that accepted in that ballot has the value. */
void
learn_decided(struct paxos_replica *r, uint8_t from, const struct paxos_message *m)
{
	uint64_t end = min_u64(max_u64(m->delivered + 1, m->to), window_end(r));
	for (uint64_t slot = max_u64(r->delivered + 1, m->from); slot < end; slot++) {
		struct paxos_slot *w = window_find(r, slot);
		if (w && w->accepted == m->ballot)
			w->decided = true;
	}
	learn_deliver(r);
	learn_known(r, from, m->delivered);
}

void
learn_known(struct paxos_replica *r, uint8_t from, uint64_t delivered)
{
	if (delivered <= r->known || delivered == PAXOS_SLOT_END)
		return;
	r->known = delivered;
	/* While it asks, it asks one after the other: were news to begin that anew, who learns from
	 * a leader that is busy would ask the next one behind it only, who may lack the same. */
	if (r->learn_asked <= r->delivered)
		r->known_from = from;
}

/* The next voter to ask: who knew, and at every repetition one further, since
 * that one may be gone. */
static void
next_source(struct paxos_replica *r)
{
	for (uint32_t i = 0; i < r->config.replica_count; i++) {
		r->known_from = next_there(r, r->known_from);
		if (!(r->links_down >> r->known_from & 1))
			return;
	}
	r->known_from = next_there(r, r->config.self);
}

/* Up to where to ask once more: what has come meanwhile would come again, and find room on a link
 * that each time has none for the large one which is missing before it. */
static uint64_t
first_gap_end(struct paxos_replica *r, uint64_t end)
{
	for (uint64_t slot = r->delivered + 1; slot < end; slot++) {
		const struct paxos_slot *w = window_find(r, slot + 1);
		if (w && w->decided)
			return slot;
	}
	return end;
}

void
learn_ask(struct paxos_replica *r)
{
	bool again = r->learn_asked > r->delivered;
	if (r->known <= r->delivered || r->failed || r->hold ||
	    next_there(r, r->config.self) == r->config.self)
		return;
	if (again && r->now_ns < r->learn_ns)
		return;
	if (again)
		next_source(r);
	must(r->known_from != r->config.self);
	r->learn_asked =
		min_u64(min_u64(r->known, r->delivered + PAXOS_READS_MAX), window_end(r) - 1);
	if (again)
		r->learn_asked = first_gap_end(r, r->learn_asked);
	r->learn_ns = r->now_ns + r->config.retry_ns;
	struct paxos_message m = {.kind = PAXOS_LEARN,
				  .from = r->delivered + 1,
				  .to = r->learn_asked + 1,
				  .value = no_value};
	emit_send(r, r->known_from, &m, 0);
}

/* How far this replica is: it asks for nothing. */
void
learn_tell_position(struct paxos_replica *r, uint32_t to)
{
	struct paxos_message m = {.kind = PAXOS_LEARN,
				  .from = r->delivered + 1,
				  .to = r->delivered + 1,
				  .value = no_value};

	emit_send_to(r, to, &m, 0);
}

/* DECIDED at once, unless an ACCEPT of this step has carried it. A lost one is mended by the
 * next: each says how far all is decided, and who lacks a part of that asks for it. */
void
learn_tell(struct paxos_replica *r)
{
	if (r->role != ROLE_LEADER)
		return;
	uint64_t end = counted_end(r);
	/* What the others decided they tell themselves. */
	bool news = owner_in_turn(r) ? r->told_end < end : r->told != r->delivered;
	if (!news && r->told != PAXOS_SLOT_END)
		return;
	uint64_t ballot = own_ballot(r, r->delivered);
	struct paxos_message m = {.kind = PAXOS_DECIDED,
				  .ballot = ballot,
				  .from = confirmed_from(r, ballot),
				  .to = end,
				  .delivered = r->delivered,
				  .nonce = r->settled,
				  .value = no_value};
	emit_say_all(r, &m);
	r->told = r->delivered;
	r->told_end = end;
}

void
send_learned(struct paxos_replica *r, uint8_t to, uint64_t slot, struct paxos_value value)
{
	struct paxos_message m = {.kind = PAXOS_LEARNED, .slot = slot, .value = value};
	emit_send(r, to, &m, 0);
}

/* A delivered slot that is not in memory: the caller has it on disk. */
void
read_for(struct paxos_replica *r, uint8_t to, uint64_t slot)
{
	must(slot <= r->delivered);
	if (r->reads[to] == PAXOS_READS_MAX)
		return;
	r->reads[to]++;
	emit_read(r, slot, to);
}

void
step_learn(struct paxos_replica *r, uint8_t from, const struct paxos_message *m)
{
	uint64_t end = min_u64(m->to, r->delivered + 1);
	if (m->from == 0) {
		r->stats.stale++;
		return;
	}
	learn_known(r, from, m->from - 1); /* it has what it does not ask for */
	if (m->from == m->to && m->from <= r->delivered)
		learn_tell_position(r, 1u << from);
	for (uint64_t slot = m->from; slot < end && slot - m->from < LEARNED_MAX; slot++) {
		struct paxos_slot *w = window_find(r, slot);
		if (w) {
			send_learned(r, from, slot, w->value);
		} else {
			read_for(r, from, slot);
		}
	}
}

void
step_read_done(struct paxos_replica *r, const struct paxos_input *in)
{
	must(in->from < r->config.replica_count);
	must(r->reads[in->from] > 0);
	r->reads[in->from]--;
	if (in->found)
		send_learned(r, in->from, in->slot, in->value);
	emit_release(r, in->value);
}

/* A learned value is logged, so that a replay has it; out of order it waits in the
 * window. */
void
step_learned(struct paxos_replica *r, const struct paxos_message *m)
{
	struct paxos_slot *w = window_find(r, m->slot);

	if (m->slot <= r->delivered || (w && w->decided)) {
		r->stats.stale++;
	} else if (m->slot >= window_end(r)) {
		r->stats.beyond++;
	} else {
		/* Our own prepare would have found it: a higher ballot decided there. */
		const struct paxos_configuration *c = configuration_of(r, m->slot);
		bool ours = !c->all_lead || slot_owner(c, m->slot) == r->config.self;
		if (r->role == ROLE_LEADER && m->slot >= r->next_slot && ours)
			step_down(r);
		accept_store(r, m->slot, BALLOT_LEARNED, m->value);
		return;
	}
	emit_release(r, m->value);
}
