/* What an administrator is shown; reads only. */
#include "node/internal.h"

#include "base/must.h"

/* The voters of group 0, that is: it may still be on the way to those that group 0 had before. */
static bool
has_copied(const struct node *n, uint32_t group)
{
	uint64_t number = paxos_configuration(n->group[0].replica)->number;

	return group == 0 || n->group[group].voters_number >= number;
}

void
node_status(const struct node *n, struct node_status *status)
{
	const struct wire_stats *w = n->started ? wire_stats(n->wire) : NULL;

	*status = (struct node_status){
		.self = n->config.self,
		.process = n->process,
		.epoch = {.number = n->epoch, .voters = n->forced_voters},
		.voting = n->started && !n->log_failed,
		.differing = n->differing,
		.members_diverged = n->members_diverged,
		.diverged_group = n->diverged_group,
		.outdated = n->outdated,
		.lost_lsn = n->hole_lsn,
		.lost_bytes = n->lost_bytes,
		.lsn_next = n->lsn_next,
		.lsn_durable = n->lsn_durable,
		.link_up = n->link_up,
		.group_count = n->group_count,
		.values_free = n->pool->free_count,
		.dropped_undecodable = n->dropped_undecodable,
		.dropped_epoch = n->dropped_epoch,
		.dropped_no_value = n->dropped_no_value,
		.dropped_unknown_group = n->dropped_unknown_group,
		.dropped_chunks = n->dropped_chunks,
		.payloads_open = n->payloads_used,
	};
	memcpy(status->diverged_uuid, n->diverged_uuid, sizeof status->diverged_uuid);
	if (!w)
		return;
	status->datagrams_dropped = w->drop_size + w->drop_checksum + w->drop_malformed +
				    w->drop_epoch + w->drop_unknown + w->drop_duplicate +
				    w->drop_old + w->drop_window + w->drop_ack + w->drop_handshake +
				    w->drop_reply_queue + w->drop_refusal + w->drop_forged +
				    w->drop_clear + w->drop_generation + w->drop_key + w->drop_load;
	status->dropped_forged = w->drop_forged;
	status->dropped_key = w->drop_key;
	status->dropped_clear = w->drop_clear;
	status->dropped_load = w->drop_load;
	status->dropped_replayed = w->drop_duplicate + w->drop_old;
	status->dropped_unknown = w->drop_unknown;
	status->dropped_retired = w->drop_generation;
	status->dropped_malformed = w->drop_size + w->drop_checksum + w->drop_malformed;
	status->dropped_handshake = w->drop_handshake;
	status->turned_away = n->turned_away;
	status->cookies_sent = w->cookies_sent;
	status->rekeys = w->rekeys;
	memcpy(status->unlisted, w->unlisted, sizeof status->unlisted);
	status->unlisted_from = w->unlisted_from;
	status->certificates_refused = w->certificates_refused;
	status->certificate_verdict = w->certificate_verdict;
	status->certificate_from = w->certificate_from;
	status->retransmitted = w->segments_resent;
	status->other_versions = w->other_versions;
	status->other_version = w->other_version;
	status->other_version_from = w->other_version_from;
	memcpy(status->epoch.epoch, n->config.epoch, EPOCH_BYTES);
	status->may_leave = true;
	for (uint32_t i = 0; i < n->group_count; i++) {
		status->may_leave &= paxos_may_leave(n->group[i].replica) && has_copied(n, i);
		status->voting &= paxos_is_voting(n->group[i].replica);
		status->repairing |= paxos_doubt(n->group[i].replica) == PAXOS_TAIL_MISSING;
	}
}

static void
fill_lost(const struct group *g, const struct gtid_source *source, struct node_group_status *status)
{
	uint64_t from = 1, to;

	for (; status->lost_count < NODE_LOST_MAX; from = to + 1) {
		from = group_lost_next(g, source, from, &to);
		if (from == 0)
			return;
		status->lost[status->lost_count++] = (struct gtid_interval){*source, from, to};
	}
}

/* Of the group's uuid, and of each tag that it has seen with it. */
static void
fill_all_lost(const struct group *g, struct node_group_status *status)
{
	struct gtid_source own = {.tag_bytes = 0};
	const struct gtid_set *executed = group_executed(g);

	memcpy(own.uuid, group_uuid(g), UUID_BYTES);
	fill_lost(g, &own, status);
	for (uint32_t i = 0; i < gtid_set_sources(executed); i++) {
		const struct gtid_source *source = gtid_set_source_at(executed, i);

		if (source->tag_bytes > 0 && memcmp(source->uuid, own.uuid, UUID_BYTES) == 0)
			fill_lost(g, source, status);
	}
}

/* One that hears no majority orders nothing; and one that is not heard may be gone. */
static uint8_t
leader_of(const struct node *n, const struct node_group *g)
{
	uint32_t voters = paxos_configuration(g->replica)->voters;
	uint32_t here = n->link_up | 1u << n->config.self;
	bool majority = paxos_is_majority(voters, here);

	if (g->leader == PAXOS_NO_VOTER || !(here >> g->leader & 1))
		return PAXOS_NO_VOTER;
	return g->leader != n->config.self || majority ? g->leader : PAXOS_NO_VOTER;
}

static void
fill_gone(const struct node *n, const struct node_group *g, struct node_group_status *status)
{
	const struct node_cuts *cuts = &n->directory.cuts;

	for (uint32_t i = cuts->count; i > 0 && status->gone_count < NODE_LOST_MAX; i--)
		if (cuts->cut[i - 1].group == g->number && cuts->cut[i - 1].gtid.gno != 0)
			status->gone[status->gone_count++] = cuts->cut[i - 1].gtid;
}

bool
node_group_status(const struct node *n, uint32_t position, struct node_group_status *status)
{
	if (position >= n->group_count)
		return false;
	const struct node_group *g = &n->group[position];

	*status = (struct node_group_status){
		.group = g->number,
		.leader = leader_of(n, g),
		.configuration = *paxos_configuration(g->replica),
		.all_lead = g->all_lead,
		.settled = paxos_settled(g->replica) == paxos_configuration(g->replica)->number,
		.delivered_slot = g->delivered_slot,
	};
	memcpy(status->uuid, g->uuid, UUID_BYTES);
	status->epoch = g->state ? group_epoch(g->state) : n->epoch;
	if (!g->state)
		return true;
	status->last_index = group_applied(g->state);
	status->horizon_index = group_horizon(g->state);
	status->certified = g->certified;
	status->conflicts = g->conflicts;
	status->index_hashes = group_index_hashes(g->state);
	status->cut_index = g->cut_index;
	fill_gone(n, g, status);
	if (group_created(g->state))
		fill_all_lost(g->state, status);
	for (uint32_t i = 0; i < group_member_slots(g->state); i++) {
		const struct group_member *m = group_member_at(g->state, i);

		if (m && group_member_alive(m))
			status->member_count++;
	}
	return true;
}

bool
node_group_executed(const struct node *n, uint32_t position, uint32_t at, struct gtid_interval *run)
{
	if (position >= n->group_count || !n->group[position].state)
		return false;
	return gtid_set_interval_at(group_executed(n->group[position].state), at, run);
}

/* Who has committed least of those that an image waits for. */
static void
fill_furthest(const struct node_group *g, struct node_image_status *status)
{
	bool found = false;

	for (uint32_t i = 0; i < group_member_slots(g->state); i++) {
		const struct group_member *m = group_member_at(g->state, i);

		if (!m || !group_member_alive(m) || (found && m->committed >= status->committed))
			continue;
		found = true;
		status->committed = m->committed;
		memcpy(status->member, m->server_uuid, UUID_BYTES);
	}
}

static void
fill_waiting(const struct node *n, struct node_image_status *status)
{
	const struct node_group *g;

	status->round = node_image_wait(n, &g);
	if (!g)
		return;
	status->group = g->number;
	status->index = g->image_index;
	if (status->round == NODE_ROUND_MEMBERS)
		fill_furthest(g, status);
	else
		status->agreed = node_compare_agreed(n, g, g->image_index);
}

static bool
room_is_short(const struct node *n)
{
	bool is = node_is_narrow(n);

	for (uint32_t i = 1; i < n->group_count && !is; i++)
		is = node_group_leads(n, &n->group[i]) && node_room_short(n, &n->group[i]);
	return is;
}

void
node_image_status(const struct node *n, struct node_image_status *status)
{
	const struct node_images *m = &n->images;
	const struct node_taking *t = &n->taking;

	*status = (struct node_image_status){
		.every_bytes = n->config.image_bytes,
		.trimmed_lsn = n->lsn_first,
		.used = m->used,
		.used_ns = m->used_ns,
		.slowed = room_is_short(n),
		.taken = m->taken,
		.taking = t->active,
	};
	if (t->active) {
		status->from = t->source;
		status->taken_group = t->group;
		status->parts = t->next;
		status->parts_all = t->count;
	}
	if (!m->writing && m->whole_lsn == 0)
		return;
	status->round_lsn = m->round_lsn;
	if (m->writing)
		status->round = NODE_ROUND_WRITTEN;
	else if (m->whole_lsn > n->lsn_durable)
		status->round = NODE_ROUND_ON_DISK;
	else
		fill_waiting(n, status);
}

static void
fill_member(const struct node *n, const struct node_group *g, const struct group_member *m,
	    struct node_member_status *status)
{
	must(m->host_bytes < sizeof status->host);
	*status = (struct node_member_status){
		.port = m->port,
		.incarnation = m->incarnation,
		.session = m->session,
		.node = (uint8_t)m->node,
		.online = m->state == MEMBER_ONLINE,
		.connected = node_attend_session_of(n, g, m->incarnation) != NODE_NO_SESSION,
		.committed_index = m->committed,
		.mark_low = m->mark_low,
	};
	memcpy(status->uuid, m->server_uuid, UUID_BYTES);
	memcpy(status->host, m->host, m->host_bytes);
}

bool
node_member_status(const struct node *n, uint32_t group, uint32_t position,
		   struct node_member_status *status)
{
	const struct node_group *g = node_group_by_number(n, group);

	if (!g || !g->state)
		return false;
	for (uint32_t i = 0; i < group_member_slots(g->state); i++) {
		const struct group_member *m = group_member_at(g->state, i);

		if (!m || !group_member_alive(m))
			continue;
		if (position == 0) {
			fill_member(n, g, m, status);
			return true;
		}
		position--;
	}
	return false;
}
