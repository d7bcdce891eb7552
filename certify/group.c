/*
 * The group: one switch on the kind of entry; submissions in group_submit.c, the
 * state image in group_image.c.
 *
 * Membership, and the schedules behind its rules:
 *   - An incarnation is the index of its join: nobody can claim it before the log
 *     gave it out, and two servers never hold the same.
 *   - A join is void unless it names the last incarnation. A copy of it that was
 *     delayed over a leave and a new join would otherwise end the living one. The
 *     same nonce as the living one's is that one's copy, and gets its answer.
 *   - A join of a server that is still a member ends the old incarnation in the
 *     same entry: a restarted mysqld need not wait until it is found missing, and
 *     nothing can be ordered between the end and the beginning.
 *   - A suspicion is about one session. The member that attached elsewhere in the
 *     meantime is well, whatever the old session's timer says.
 *   - RECOVERING becomes ONLINE only when its mark has reached the horizon: what
 *     it would submit from below is refused, so it had better not be offered
 *     clients. And its own join, because views below it are not its own.
 *   - A group is closed by an entry, and dropped by one of another log (node/). A join
 *     that is ordered between the two would be of a group that is gone: so closing is void
 *     while a member lives, and behind it joins are.
 *   - Only ONLINE members hold the horizon: one that recovers for an hour would
 *     fill the index for all.
 *   - A force ends all. The lost may have told a member of transactions that are not
 *     in this order: its mark is about another one, and so are the outcomes that it
 *     was told. A join compares what it has executed.
 *   - What survivors had accepted before a force, and do not know to be decided, comes
 *     again behind the fork, in front of all that is new. A join would begin an incarnation
 *     there, and what its member had submitted behind it would be accepted again, by other
 *     numbers than those that the lost had given and told. Who was refused the closing of a
 *     group in which members lived would have it closed, since the fork ended them. So
 *     both say in which epoch they were asked for, and are void in a later one.
 */
#include "base/hash.h"
#include "base/must.h"
#include "certify/group_state.h"

#define ALIGN64(n) (((n) + 63) & ~(size_t)63)

static const struct gtid_limits executed_limits = {EXECUTED_SOURCES_MAX, EXECUTED_INTERVALS_MAX};

static bool
config_valid(const struct group_config *c)
{
	return c->block_size >= 1 && c->block_size <= GNO_MAX && c->index_hashes_max >= 1 &&
	       c->index_hashes_max <= INDEX_HASHES_MAX && c->inflight_max >= 1 &&
	       c->inflight_max <= GROUP_INFLIGHT_MAX && c->members_max >= 1 &&
	       c->members_max <= GROUP_MEMBERS_MAX;
}

static size_t
servers_of(const struct group_config *c)
{
	return (size_t)GROUP_SLOTS_PER_MEMBER * c->members_max;
}

size_t
group_size(const struct group_config *config)
{
	must(config_valid(config));
	size_t servers = servers_of(config);
	size_t bytes = ALIGN64(sizeof(struct group));
	bytes += ALIGN64(servers * sizeof(struct group_member));
	bytes += ALIGN64(servers * config->inflight_max * sizeof(struct outcome_slot));
	bytes += ALIGN64(GENERATORS_MAX * sizeof(struct gtid_generator));
	bytes += ALIGN64(gtid_set_size(executed_limits));
	return bytes + index_size(config->index_hashes_max);
}

static void *
take(uint8_t **at, size_t bytes)
{
	void *p = *at;
	memset(p, 0, bytes);
	*at += ALIGN64(bytes);
	return p;
}

struct group *
group_init(void *mem, const struct group_config *config)
{
	must(config_valid(config));
	must(((uintptr_t)mem & 63) == 0);
	size_t servers = servers_of(config);
	uint8_t *at = mem;
	struct group *g = take(&at, sizeof *g);
	g->memory = *config;
	g->config = *config;
	g->servers = (uint32_t)servers;
	g->member = take(&at, servers * sizeof *g->member);
	g->outcome = take(&at, servers * config->inflight_max * sizeof *g->outcome);
	g->generator = (struct gtid_generator *)at; /* cleared one by one, as they come */
	at += ALIGN64(GENERATORS_MAX * sizeof *g->generator);
	g->executed = gtid_set_init(at, executed_limits);
	at += ALIGN64(gtid_set_size(executed_limits));
	g->index = index_init(at, config->index_hashes_max);
	return g;
}

uint32_t
group_slot_alive(const struct group *g, uint64_t incarnation)
{
	for (uint32_t i = 0; i < g->servers; i++)
		if (g->living[i] == incarnation && incarnation != 0)
			return i;
	return NO_SLOT;
}

static uint32_t
slot_of_server(const struct group *g, const uint8_t *server_uuid)
{
	for (uint32_t i = 0; i < g->servers; i++)
		if (g->member[i].state != MEMBER_NONE &&
		    memcmp(g->member[i].server_uuid, server_uuid, UUID_BYTES) == 0)
			return i;
	return NO_SLOT;
}

static uint32_t
alive_count(const struct group *g)
{
	uint32_t n = 0;
	for (uint32_t i = 0; i < g->servers; i++)
		n += g->living[i] != 0;
	return n;
}

/* A slot that nobody used, or that of the server which is gone longest. */
static uint32_t
slot_for_new_server(const struct group *g)
{
	uint32_t oldest = NO_SLOT;
	for (uint32_t i = 0; i < g->servers; i++) {
		if (g->member[i].state == MEMBER_NONE)
			return i;
		if (group_member_alive(&g->member[i]))
			continue;
		if (oldest == NO_SLOT || g->member[i].ended < g->member[oldest].ended)
			oldest = i;
	}
	must(oldest != NO_SLOT);
	return oldest;
}

bool
group_take_config(struct group *g, const struct group_config *config)
{
	if (!config_valid(config) || config->index_hashes_max > g->memory.index_hashes_max ||
	    config->inflight_max > g->memory.inflight_max ||
	    config->members_max > g->memory.members_max)
		return false;
	g->config = *config;
	g->servers = (uint32_t)servers_of(config);
	index_limit(g->index, config->index_hashes_max);
	return true;
}

static bool
create(struct group *g, const struct entry_create *c)
{
	if (g->created || g->closed)
		return false;
	if (gtid_set_decode(g->executed, c->executed) != GTID_SET_ADDED) {
		gtid_set_clear(g->executed);
		return false;
	}
	if (!group_take_config(g, &c->config)) {
		gtid_set_clear(g->executed);
		return false;
	}
	memcpy(g->uuid, c->group_uuid, UUID_BYTES);
	g->created = true;
	return true;
}

static void
view_effect(struct group *g, enum group_view_change change, uint64_t incarnation)
{
	g->effect.kind = GROUP_VIEW;
	g->effect.change = (uint8_t)change;
	g->effect.incarnation = incarnation;
	if (change == GROUP_JOINED || change == GROUP_LEFT || change == GROUP_EXPELLED)
		g->view++;
	g->effect.view = g->view;
}

/* Why a join is void, 0 if it is not. `slot` is the server's, if it has one. */
static uint8_t
join_refusal(const struct group *g, const struct entry_join *j, uint32_t slot)
{
	uint64_t last = slot == NO_SLOT ? 0 : g->member[slot].incarnation;
	uint32_t others = alive_count(g);
	if (j->epoch < g->epoch)
		return GROUP_JOIN_BEFORE_FORCE;
	if (!g->created || g->closed)
		return GROUP_JOIN_NO_GROUP;
	if (memcmp(j->server_uuid, g->uuid, UUID_BYTES) == 0)
		return GROUP_JOIN_IS_GROUP_UUID;
	if (j->last_incarnation != last)
		return GROUP_JOIN_NOT_LAST;
	if (slot != NO_SLOT && group_member_alive(&g->member[slot]))
		others--;
	if ((j->flags & JOIN_BOOTSTRAP) && others > 0)
		return GROUP_JOIN_OTHERS_LIVE;
	if (others >= g->config.members_max)
		return GROUP_JOIN_NO_ROOM;
	if (!gtid_set_contains_bytes(g->executed, j->executed))
		return GROUP_JOIN_EXTRA_GTIDS;
	return 0;
}

static void
apply_join(struct group *g, const struct entry_join *j)
{
	uint32_t slot = slot_of_server(g, j->server_uuid);
	struct group_member *m = slot == NO_SLOT ? NULL : &g->member[slot];
	if (m && group_member_alive(m) && memcmp(m->nonce, j->nonce, NONCE_BYTES) == 0) {
		view_effect(g, GROUP_JOIN_AGAIN, m->incarnation);
		return;
	}
	uint8_t reason = join_refusal(g, j, slot);
	if (reason != 0) {
		view_effect(g, GROUP_JOIN_VOID, m ? m->incarnation : 0);
		g->effect.reason = reason;
		return;
	}
	if (!m)
		m = &g->member[slot_for_new_server(g)];
	else if (group_member_alive(m))
		g->effect.ended = m->incarnation;
	*m = (struct group_member){.incarnation = g->effect.index,
				   .floor = 1,
				   .mysql_version = j->mysql_version,
				   .flags = j->flags,
				   .port = j->port,
				   .state = MEMBER_RECOVERING,
				   .host_bytes = j->host_bytes};
	memcpy(m->host, j->host, j->host_bytes);
	memcpy(m->server_uuid, j->server_uuid, UUID_BYTES);
	memcpy(m->nonce, j->nonce, NONCE_BYTES);
	g->living[m - g->member] = m->incarnation;
	view_effect(g, GROUP_JOINED, m->incarnation);
}

static void
end_incarnation(struct group *g, uint32_t slot, enum group_view_change change)
{
	struct group_member *m = &g->member[slot];
	m->state = change == GROUP_LEFT ? MEMBER_LEFT : MEMBER_EXPELLED;
	m->ended = g->effect.index;
	g->living[slot] = 0;
	view_effect(g, change, m->incarnation);
}

static void
apply_leave(struct group *g, const struct entry_leave *l)
{
	uint32_t slot = group_slot_alive(g, l->incarnation);
	if (slot != NO_SLOT)
		end_incarnation(g, slot, GROUP_LEFT);
}

static void
apply_expel(struct group *g, const struct entry_expel *x)
{
	uint32_t slot = group_slot_alive(g, x->incarnation);
	if (slot == NO_SLOT || g->member[slot].session > x->session)
		return;
	end_incarnation(g, slot, GROUP_EXPELLED);
	g->effect.reason = x->reason;
}

static void
apply_attach(struct group *g, const struct entry_attach *a)
{
	uint32_t slot = group_slot_alive(g, a->incarnation);
	if (slot == NO_SLOT || a->session <= g->member[slot].session)
		return;
	g->member[slot].session = a->session;
	g->member[slot].node = a->node;
	view_effect(g, GROUP_ATTACHED, a->incarnation);
	g->effect.session = a->session;
	g->effect.node = a->node;
}

static uint64_t
max_u64(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

/* Progress only rises, and is taken whatever session it came by: it tells a past
 * that does not change. One from the future is nobody's. */
static void
apply_progress(struct group *g, const struct entry_progress *p)
{
	uint32_t slot = group_slot_alive(g, p->incarnation);
	if (slot == NO_SLOT || max_u64(p->mark_low, p->committed) >= g->effect.index)
		return;
	struct group_member *m = &g->member[slot];
	m->floor = max_u64(m->floor, p->floor);
	m->mark_low = max_u64(m->mark_low, p->mark_low);
	m->committed = max_u64(m->committed, p->committed);
	uint64_t needed = max_u64(index_horizon(g->index), m->incarnation);
	if (p->ready && m->state == MEMBER_RECOVERING && m->mark_low >= needed) {
		m->state = MEMBER_ONLINE;
		view_effect(g, GROUP_ONLINE, m->incarnation);
	}
}

static void
apply_horizon(struct group *g, const struct entry_horizon *h)
{
	if (h->index <= index_horizon(g->index) || h->index >= g->effect.index)
		return;
	index_set_horizon(g->index, h->index, g->effect.index);
	g->effect.kind = GROUP_HORIZON;
	g->effect.horizon = h->index;
}

static void
apply_close(struct group *g, const struct entry_close *c)
{
	if (g->closed || alive_count(g) > 0 || c->epoch < g->epoch)
		return;
	g->closed = true;
	g->effect.kind = GROUP_CLOSED;
}

/* Applies an entry at once, or starts the job; true: done. */
static bool
apply(struct group *g, const struct entry *e)
{
	if (g->void_until > 0)
		return true;
	if (!g->created && e->kind != ENTRY_CREATE && e->kind != ENTRY_JOIN &&
	    e->kind != ENTRY_CLOSE)
		return true;
	switch (e->kind) {
	case ENTRY_NOOP:
		break;
	case ENTRY_CREATE:
		if (create(g, &e->create))
			g->effect.kind = GROUP_CREATED;
		break;
	case ENTRY_JOIN:
		apply_join(g, &e->join);
		break;
	case ENTRY_LEAVE:
		apply_leave(g, &e->leave);
		break;
	case ENTRY_EXPEL:
		apply_expel(g, &e->expel);
		break;
	case ENTRY_ATTACH:
		apply_attach(g, &e->attach);
		break;
	case ENTRY_SUBMIT:
		return group_submit_start(g, &e->submit);
	case ENTRY_ABANDON:
		group_abandon(g, &e->abandon);
		break;
	case ENTRY_PROGRESS:
		apply_progress(g, &e->progress);
		break;
	case ENTRY_HORIZON:
		apply_horizon(g, &e->horizon);
		break;
	case ENTRY_CLOSE:
		apply_close(g, &e->close);
		break;
	}
	return true;
}

void
group_fork(struct group *g, uint32_t epoch)
{
	uint64_t part[2] = {g->applied, epoch};

	must(!g->busy);
	must(!group_image_closing(g));
	must(epoch < GROUP_EPOCHS_MAX);
	if (epoch <= g->epoch)
		return;
	g->epoch = epoch;
	if (epoch >= g->void_until)
		g->void_until = 0;
	g->view++; /* blocks of numbers are of a view */
	for (uint32_t i = 0; i < g->servers; i++) {
		if (g->living[i] == 0)
			continue;
		g->member[i].state = MEMBER_EXPELLED;
		g->member[i].ended = g->applied;
		g->living[i] = 0;
	}
	g->digest = hash_bytes(part, sizeof part, g->digest);
}

uint32_t
group_epoch(const struct group *g)
{
	return g->epoch;
}

bool
group_may_cut(const struct group *g)
{
	return g->certifying && !g->job.inserting;
}

void
group_cut(struct group *g, uint32_t epoch)
{
	must(group_may_cut(g));
	must(epoch > g->epoch && epoch < GROUP_EPOCHS_MAX);
	must(g->effect.verdict == GROUP_VOID);
	g->void_until = epoch;
	g->certifying = false;
}

static void
fold_effect(struct group *g)
{
	const struct group_effect *f = &g->effect;
	const struct group_outcome *o = &f->outcome;
	uint64_t part[23] = {f->index,
			     (uint64_t)f->kind << 24 | (uint64_t)f->verdict << 16 |
				     (uint64_t)f->repeated << 8 | f->change,
			     (uint64_t)f->reason << 32 | f->node,
			     f->incarnation,
			     f->ended,
			     f->session,
			     f->view,
			     f->horizon,
			     o->sequence,
			     o->index,
			     o->dependency,
			     o->winner,
			     o->winner_hash,
			     o->gtid.gno,
			     (uint64_t)o->verdict << 8 | o->again,
			     index_count(g->index)};
	memcpy(&part[16], o->gtid.source.uuid, UUID_BYTES);
	memcpy(&part[18], o->gtid.source.tag, TAG_BYTES_MAX);
	part[22] = g->sum;
	g->digest = hash_bytes(part, sizeof part, g->digest);
}

static void
finish(struct group *g)
{
	g->applied = g->effect.index;
	g->busy = false;
	g->certifying = false;
	fold_effect(g);
}

void
group_apply_start(struct group *g, uint64_t index, const struct entry *e)
{
	must(!g->busy);
	must(!group_image_closing(g));
	must(index == g->applied + 1);
	g->entry = *e;
	g->effect = (struct group_effect){.kind = GROUP_NOTHING, .index = index};
	g->busy = true;
	g->certifying = !apply(g, &g->entry);
}

enum group_step
group_apply_step(struct group *g, uint32_t budget_hashes)
{
	must(g->busy);
	if (g->certifying) {
		enum certify_answer answer = certify_step(g->index, &g->job, budget_hashes);
		if (answer == CERTIFY_MORE)
			return GROUP_MORE;
		if (answer == CERTIFY_HASHES)
			return GROUP_HASHES;
		if (answer == CERTIFY_OWN) {
			certify_own(&g->job, g->own, group_submit_own(g, &g->entry.submit));
			return GROUP_MORE;
		}
		group_submit_end(g, &g->entry.submit, answer);
	}
	finish(g);
	return GROUP_DONE;
}

uint32_t
group_hashes_next(const struct group *g)
{
	must(g->certifying);
	return g->job.next;
}

void
group_hashes(struct group *g, const uint8_t *hashes, uint32_t count)
{
	must(g->certifying);
	certify_hashes(&g->job, hashes, count);
}

const struct group_effect *
group_effect(const struct group *g)
{
	must(!g->busy);
	return &g->effect;
}

void
group_prefetch(const struct group *g, const struct entry *e)
{
	if (e->kind == ENTRY_SUBMIT)
		index_prefetch(g->index, &e->submit);
}

bool
group_sweep(struct group *g, uint32_t budget_slots)
{
	must(!g->busy);
	return index_sweep(g->index, budget_slots);
}

bool
group_sweep_due(const struct group *g)
{
	return index_sweep_due(g->index);
}

bool
group_created(const struct group *g)
{
	return g->created;
}

bool
group_closed(const struct group *g)
{
	return g->closed;
}

const uint8_t *
group_uuid(const struct group *g)
{
	return g->uuid;
}

const struct group_config *
group_config(const struct group *g)
{
	return &g->config;
}

uint64_t
group_applied(const struct group *g)
{
	return g->applied;
}

uint64_t
group_horizon(const struct group *g)
{
	return index_horizon(g->index);
}

uint64_t
group_view(const struct group *g)
{
	return g->view;
}

const struct gtid_set *
group_executed(const struct group *g)
{
	return g->executed;
}

uint64_t
group_index_hashes(const struct group *g)
{
	return index_count(g->index);
}

uint64_t
group_digest(const struct group *g)
{
	return g->digest;
}

uint64_t
group_sum(const struct group *g)
{
	return g->sum;
}

uint64_t
group_content(const uint8_t *payload, uint64_t bytes)
{
	return bytes > 0 ? hash_bytes(payload, bytes, 0) : 0;
}

uint64_t
group_sum_term(uint64_t index, const struct gtid *gtid, uint64_t content)
{
	const struct gtid_source *source = &gtid->source;
	uint64_t part[4 + (UUID_BYTES + TAG_BYTES_MAX) / 8] = {index, gtid->gno, content,
							       source->tag_bytes};

	memcpy(&part[4], source->uuid, UUID_BYTES);
	memcpy(&part[4 + UUID_BYTES / 8], source->tag, source->tag_bytes);
	return hash_bytes(part, sizeof part, 0);
}

uint64_t
group_horizon_wanted(const struct group *g)
{
	uint64_t horizon = index_horizon(g->index);
	uint64_t lowest = UINT64_MAX, second = UINT64_MAX;
	for (uint32_t i = 0; i < g->servers; i++) {
		const struct group_member *m = &g->member[i];
		if (m->state != MEMBER_ONLINE || m->mark_low < horizon)
			continue;
		if (m->mark_low < lowest) {
			second = lowest;
			lowest = m->mark_low;
		} else if (m->mark_low > lowest && m->mark_low < second) {
			second = m->mark_low;
		}
	}
	uint64_t capacity = g->config.index_hashes_max;
	bool nearly_full = index_count(g->index) >= capacity - capacity / 8;
	if (nearly_full && second != UINT64_MAX)
		return second;
	return lowest == UINT64_MAX ? horizon : lowest;
}

uint32_t
group_member_slots(const struct group *g)
{
	return g->servers;
}

const struct group_member *
group_member_at(const struct group *g, uint32_t slot)
{
	must(slot < g->servers);
	return g->member[slot].state == MEMBER_NONE ? NULL : &g->member[slot];
}

const struct group_member *
group_incarnation(const struct group *g, uint64_t incarnation)
{
	for (uint32_t i = 0; i < g->servers; i++)
		if (g->member[i].state != MEMBER_NONE && g->member[i].incarnation == incarnation)
			return &g->member[i];
	return NULL;
}

const struct group_member *
group_server(const struct group *g, const uint8_t *server_uuid)
{
	uint32_t slot = slot_of_server(g, server_uuid);
	return slot == NO_SLOT ? NULL : &g->member[slot];
}

enum group_known
group_outcome(const struct group *g, uint64_t incarnation, uint64_t sequence,
	      struct group_outcome *out)
{
	const struct group_member *m = group_incarnation(g, incarnation);
	if (!m)
		return GROUP_UNKNOWN;
	if (sequence < m->floor)
		return GROUP_PASSED;
	uint32_t slot = (uint32_t)(m - g->member);
	if (!group_outcome_filled(g, slot, sequence))
		return GROUP_OPEN;
	*out = group_outcome_slot(g, slot, sequence)->outcome;
	return GROUP_KNOWN;
}
