/*
 * tests/sim/server.c - a model of the server behind a member.
 *
 * Rows with locks that are held until the commit stage; a binlog whose synced prefix
 * survives a crash; a group commit in three stages. In the commit stage the locks go
 * first and the GTIDs enter gtid_executed at its end: between the two a reader of
 * gtid_executed sees too little, which is why a snapshot is taken under the commit
 * lock. The after-commit hooks, and the client's answer, come later still. What a row holds is
 * folded from every transaction that wrote it, in order.
 */
#include <stdlib.h>

#include "base/must.h"
#include "tests/sim/sim.h"

#define GTID_LIMITS ((struct gtid_limits){.sources_max = 16, .intervals_max = 2048})
#define GTID_BYTES  65536
#define AWAY_NS_MAX (4 * SEC)

void
server_setup(struct sim *s, uint8_t server)
{
	struct sim_server *v = &s->server[server];

	if (v->apply == NULL) {
		v->apply = calloc(SIM_APPLY_MAX, sizeof *v->apply);
		v->piece = calloc(1, SIM_PAYLOAD_BYTES);
		must(v->piece != NULL);
		v->binlog = calloc(SIM_GTIDS_MAX, sizeof *v->binlog);
		v->executed = calloc(SIM_GTIDS_MAX, 1);
		v->gtids = calloc(1, gtid_set_size(GTID_LIMITS));
		v->gtid_bytes = calloc(1, GTID_BYTES);
		must(v->apply && v->binlog && v->executed && v->gtids && v->gtid_bytes);
		for (uint32_t i = 0; i < SIM_CLIENTS_MAX; i++) {
			v->client[i].taken = calloc(1, sizeof *v->client[i].taken);
			must(v->client[i].taken != NULL);
		}
	}
	v->number = server;
	v->binlog_count = 0;
	v->binlog_synced = 0;
	v->last_incarnation = 0;
	v->extra = false;
	v->write_ns = random_between(&s->random, 50 * US, 2 * MS);
	v->workers = (uint32_t)random_between(&s->random, 1, 4);
	v->client_count = (uint32_t)random_between(&s->random, 1, SIM_CLIENTS_MAX);
	v->process = (struct sim_process){.life = v->process.life + 1};
}

static void
write_row(struct sim_row *row, const struct sim_tx *tx, uint32_t k)
{
	row->writes++;
	if (sim_shares(tx, k)) {
		row->children += tx->after[k];
		return;
	}
	row->chain = tx->after[k];
	row->children = 0;
}

/* Recovery of a server: rows and gtid_executed are what the binlog says. */
static void
replay_binlog(struct sim *s, struct sim_server *v)
{
	memset(v->executed, 0, SIM_GTIDS_MAX);
	for (uint32_t i = 0; i < SIM_ROWS; i++)
		v->row[i] = (struct sim_row){.owner = SIM_NOBODY};
	for (uint32_t i = 0; i < v->binlog_count; i++) {
		const struct sim_tx *tx = &s->tx[v->binlog[i]];
		v->executed[v->binlog[i]] = 1;
		for (uint32_t k = 0; k < tx->row_count; k++)
			write_row(&v->row[tx->row[k]], tx, k);
	}
	v->executed_count = v->binlog_count;
}

void
server_boot(struct sim *s, uint8_t server)
{
	struct sim_server *v = &s->server[server];

	must(!v->process.up);
	v->process = (struct sim_process){
		.up = true,
		.life = v->process.life + 1,
	};
	swarm_clock(s, &v->process);
	s->timer_ns[sim_server_process(server)] = UINT64_MAX;
	/* Some of what was flushed and not synced may have reached the disk too. */
	uint32_t extra = v->binlog_count - v->binlog_synced;
	v->binlog_count = v->binlog_synced + (uint32_t)random_below(&s->random, extra + 1u);
	v->binlog_synced = v->binlog_count;
	replay_binlog(s, v);
	v->extra = false;
	v->state = SERVER_OFF;
	v->member = NULL;
	v->connected = false;
	v->incarnation = 0;
	v->apply_first = 0;
	v->apply_end = 0;
	v->hook_first = 0;
	v->commit_first = 0;
	v->commit_group = 0;
	v->commit_end = 0;
	v->commit_busy = false;
	v->commit_lock = false;
	uint8_t process = sim_server_process(server);
	for (uint32_t i = 0; i < v->client_count; i++) {
		struct sim_client *c = &v->client[i];
		struct snapshot_taken *taken = c->taken;
		*c = (struct sim_client){.state = CLIENT_IDLE, .taken = taken};
		sim_push(s, random_mean(&s->random, s->swarm.think_ns), EVENT_CLIENT, process, i);
	}
	sim_trace(s, "server %u: is up, %u transactions in its binlog", server, v->binlog_count);
	sim_push(s, random_mean(&s->random, 30 * MS), EVENT_START, process, 0);
}

void
server_crash(struct sim *s, uint8_t server, uint64_t down_ns)
{
	struct sim_server *v = &s->server[server];

	if (!v->process.up)
		return;
	sim_trace(s, "server %u: crashes", server);
	client_unknown(s, v);
	large_forget(s, v);
	v->process.up = false;
	v->process.life++;
	v->member = NULL;
	s->totals.crashes++;
	if (s->swarm.short_memory && !s->healed)
		down_ns = 8 * down_ns < AWAY_NS_MAX ? 8 * down_ns : AWAY_NS_MAX;
	sim_push(s, down_ns, EVENT_RESTART, sim_server_process(server), 0);
}

/* As a clone of the other one, which is at rest too: and it starts anew, since clients that
 * hold rows have read what was there before. */
void
server_copy(struct sim *s, struct sim_server *v, const struct sim_server *from)
{
	server_crash(s, v->number, random_mean(&s->random, 30 * MS));
	memcpy(v->binlog, from->binlog, from->binlog_count * sizeof *v->binlog);
	v->binlog_count = from->binlog_count;
	v->binlog_synced = from->binlog_count;
}

/* Nothing of an earlier START is still on its way to the binlog. */
bool
server_quiet(const struct sim_server *v)
{
	return !v->commit_busy && v->hook_first == v->commit_end && server_open(v) == 0;
}

/* Clients whose transaction is with the member and has no verdict. */
uint32_t
server_open(const struct sim_server *v)
{
	uint32_t open = 0;

	for (uint32_t i = 0; i < v->client_count; i++)
		open += v->client[i].state == CLIENT_SUBMITTED ||
			v->client[i].state == CLIENT_MAILBOX;
	return open;
}

static struct gtid_bytes
executed_bytes(struct sim *s, struct sim_server *v)
{
	struct gtid_set *set = gtid_set_init(v->gtids, GTID_LIMITS);

	for (uint32_t i = 0; i < v->binlog_count; i++)
		must(gtid_set_add(set, &s->tx[v->binlog[i]].gtid) == GTID_SET_ADDED);
	struct writer w = writer_over(v->gtid_bytes, GTID_BYTES);
	gtid_set_encode(set, &w);
	must(!w.bad);
	return (struct gtid_bytes){.data = v->gtid_bytes, .bytes = (uint32_t)w.bytes};
}

void
server_start_group(struct sim *s, uint8_t server)
{
	struct sim_server *v = &s->server[server];
	uint8_t process = sim_server_process(server);

	if (v->state != SERVER_OFF)
		return;
	if (!server_quiet(v) || groups_away(s, v->group)) {
		sim_push(s, 20 * MS, EVENT_START, process, 0);
		return;
	}
	bool bootstrap = v->try_bootstrap && !s->group_begun[v->group];
	if (bootstrap && force_refuses(s, v)) {
		sim_push(s, 20 * MS, EVENT_START, process, 0);
		return;
	}
	v->barrier_clean = 0;
	sim_member_boot(s, server);
	if (!v->process.up)
		return;
	v->start_nonce = random_u64(&s->random);
	struct member_start start = {
		.bootstrap = bootstrap,
		.process = random_u64(&s->random) | 1,
		.last_incarnation = v->last_incarnation,
		.host = "server",
		.port = 3306,
		.version = 90704,
		.block_size = 1 + server * 3u,
		.executed = executed_bytes(s, v),
	};
	start.block_size = 4;
	memcpy(start.group_uuid, s->group_uuid[v->group], UUID_BYTES);
	memcpy(start.nonce, &v->start_nonce, sizeof v->start_nonce);
	v->state = SERVER_STARTING;
	v->queued_index = 0;
	v->piece_bytes = 0;
	v->view_index = 0;
	v->view_self_online = false;
	sim_trace(s, "server %u: START%s, with %u transactions", server,
		  start.bootstrap ? " and bootstrap" : "", v->binlog_count);
	struct member_input in = {.kind = MEMBER_IN_START, .start = &start};
	sim_member_feed(s, server, &in);
}

/* What it lacks was dropped by a node, since every member had it. */
static bool
is_trimmed(const struct sim *s)
{
	return s->totals.trims > 0;
}

/* The administrator gives it the data of another server, as of a backup. Waits while none is
 * up that has more; of one that has what a force made void nothing counts. */
static void
clone(struct sim *s, struct sim_server *v)
{
	const struct sim_server *donor = NULL;
	uint32_t most = force_has_lost(s, v) ? 0 : v->binlog_synced;

	for (uint32_t i = 0; i < s->server_count; i++) {
		const struct sim_server *other = &s->server[i];

		if (other->group != v->group || !other->process.up ||
		    other->binlog_synced <= most || force_has_lost(s, other))
			continue;
		donor = other;
		most = other->binlog_synced;
	}
	if (!donor)
		return;
	sim_trace(s, "server %u: takes the data of server %u, %u transactions", v->number,
		  donor->number, donor->binlog_synced);
	s->totals.clones++;
	server_crash(s, v->number, random_between(&s->random, 50 * MS, 500 * MS));
	memcpy(v->binlog, donor->binlog, donor->binlog_synced * sizeof *v->binlog);
	v->binlog_count = donor->binlog_synced;
	v->binlog_synced = donor->binlog_synced;
}

void
server_started(struct sim *s, struct sim_server *v, const struct member_output *out)
{
	uint8_t process = sim_server_process(v->number);

	if (v->state != SERVER_STARTING) {
		sim_fail(s, "server %u: STARTED, but it was not starting", v->number);
		return;
	}
	if (out->refusal == MEMBER_REFUSED_NONE) {
		v->state = SERVER_ON;
		v->incarnation = out->incarnation;
		v->last_incarnation = out->incarnation;
		s->group_begun[v->group] = true;
		force_joined(s, v);
		sim_trace(s, "server %u: started, incarnation %llu", v->number,
			  (unsigned long long)out->incarnation);
		return;
	}
	sim_trace(s, "server %u: START is refused, %s", v->number, word_refusal(out->refusal));
	if (out->refusal == MEMBER_REFUSED_INCARNATION)
		v->last_incarnation = out->incarnation;
	if (out->refusal == MEMBER_REFUSED_GROUP_EXISTS)
		s->group_begun[v->group] = true;
	/* Its founding may be void. */
	if (out->refusal == MEMBER_REFUSED_NO_GROUP && s->force.fork_count > 0)
		s->group_begun[v->group] = false;
	bool gap = out->refusal == MEMBER_REFUSED_GAP;
	bool extra = out->refusal == MEMBER_REFUSED_EXTRA_GTIDS;
	bool wrong = (extra && !force_refuses(s, v)) || (gap && !is_trimmed(s)) ||
		     out->refusal == MEMBER_REFUSED_VERSION ||
		     out->refusal == MEMBER_REFUSED_EPOCH || out->refusal == MEMBER_REFUSED_FULL ||
		     out->refusal == MEMBER_REFUSED_BLOCK_SIZE;
	if (wrong)
		sim_fail(s, "server %u: START is refused for no reason, %s", v->number,
			 word_refusal(out->refusal));
	v->state = SERVER_OFF;
	sim_push(s, random_between(&s->random, 20 * MS, 200 * MS), EVENT_START, process, 0);
	if (gap)
		clone(s, v);
}

/* The incarnation is over: STOPPED, EXPELLED, or a stop without a quorum. */
void
server_ended(struct sim *s, struct sim_server *v, const char *why)
{
	sim_trace(s, "server %u: %s", v->number, why);
	v->state = SERVER_OFF;
	v->connected = false;
	applier_drop(s, v);
	client_unknown(s, v);
	sim_push(s, random_between(&s->random, 10 * MS, 300 * MS), EVENT_START,
		 sim_server_process(v->number), 0);
}

/* STOP GROUP_REPLICATION: what is open is given up by an entry, then it leaves. */
void
server_stop_group(struct sim *s, uint8_t server)
{
	struct sim_server *v = &s->server[server];

	if (v->state != SERVER_ON)
		return;
	sim_trace(s, "server %u: STOP", server);
	s->totals.stops++;
	v->state = SERVER_ABANDONING;
	sim_push(s, random_between(&s->random, 500 * MS, 4 * SEC), EVENT_STOP_LATE,
		 sim_server_process(server), 0);
	client_abandon_all(s, v);
}

/* Every open transaction of a server that stops has its verdict: leave the group. */
void
server_stop_go_on(struct sim *s, uint8_t server)
{
	struct sim_server *v = &s->server[server];

	if (v->state != SERVER_ABANDONING || server_open(v) != 0)
		return;
	v->state = SERVER_STOPPING;
	struct member_input in = {.kind = MEMBER_IN_STOP};
	sim_member_feed(s, server, &in);
}

/* The stop timeout: whatever has not been answered is not going to be. */
void
server_stop_late(struct sim *s, uint8_t server)
{
	struct sim_server *v = &s->server[server];

	if (v->state != SERVER_ABANDONING && v->state != SERVER_STOPPING)
		return;
	struct member_input in = {.kind = MEMBER_IN_QUIT};
	sim_member_feed(s, server, &in);
	if (v->process.up && v->state != SERVER_OFF)
		server_ended(s, v, "quits without a quorum");
}

/* Asks for the next group commit. */
void
server_commit(struct sim *s, struct sim_server *v, struct sim_commit commit)
{
	must(v->commit_end - v->hook_first < SIM_APPLY_MAX);
	v->commit[v->commit_end++ % SIM_APPLY_MAX] = commit;
	if (v->commit_busy)
		return;
	v->commit_busy = true;
	sim_push(s, v->write_ns + random_mean(&s->random, v->write_ns), EVENT_SYNCED,
		 sim_server_process(v->number), 0);
	v->commit_group = v->commit_end;
	v->binlog[v->binlog_count++] = commit.tx;
	must(v->binlog_count < SIM_GTIDS_MAX);
}

/* The commit stage begins: rows change and their locks go, under the commit lock. */
void
server_synced(struct sim *s, uint8_t server)
{
	struct sim_server *v = &s->server[server];

	v->binlog_synced = v->binlog_count;
	v->commit_lock = true;
	for (uint32_t i = v->commit_first; i != v->commit_group; i++) {
		const struct sim_commit *c = &v->commit[i % SIM_APPLY_MAX];
		const struct sim_tx *tx = &s->tx[c->tx];
		for (uint32_t k = 0; k < tx->row_count; k++) {
			struct sim_row *row = &v->row[tx->row[k]];
			uint64_t now = sim_shares(tx, k) ? row->chain : sim_row_value(row);
			if (now != tx->before[k])
				sim_fail(s,
					 "server %u: transaction %u overwrites row %u in the "
					 "wrong order",
					 server, c->tx, tx->row[k]);
			write_row(row, tx, k);
		}
		server_unlock(s, v, c->applier ? SIM_APPLIER + (int32_t)c->slot : (int32_t)c->slot);
	}
	sim_push(s, random_between(&s->random, 5 * US, 200 * US), EVENT_RELEASED,
		 sim_server_process(server), 0);
}

static void
tell_committed(struct sim *s, struct sim_server *v, uint32_t tx)
{
	if (v->state == SERVER_OFF || v->state == SERVER_STARTING)
		return;
	struct gtid gtid = s->tx[tx].gtid;
	struct member_input in = {.kind = MEMBER_IN_COMMITTED, .gtid = &gtid};
	sim_member_feed(s, v->number, &in);
}

/* The commit stage ends: the GTIDs are executed, and the next group may begin. */
void
server_released(struct sim *s, uint8_t server)
{
	struct sim_server *v = &s->server[server];
	uint8_t process = sim_server_process(server);

	for (; v->commit_first != v->commit_group; v->commit_first++) {
		struct sim_commit c = v->commit[v->commit_first % SIM_APPLY_MAX];
		if (v->executed[c.tx])
			sim_fail(s, "server %u commits transaction %u twice", server, c.tx);
		v->executed[c.tx] = 1;
		v->executed_count++;
		if (c.applier)
			applier_committed(s, v, c.slot);
	}
	v->commit_lock = false;
	v->commit_busy = false;
	sim_push(s, random_between(&s->random, 1 * US, 200 * US), EVENT_HOOKS, process,
		 v->commit_first);
	client_commit_lock_free(s, v);
	if (v->commit_first != v->commit_end && !v->commit_busy) {
		v->commit_busy = true;
		v->commit_group = v->commit_end;
		for (uint32_t i = v->commit_first; i != v->commit_end; i++) {
			must(v->binlog_count < SIM_GTIDS_MAX);
			v->binlog[v->binlog_count++] = v->commit[i % SIM_APPLY_MAX].tx;
		}
		sim_push(s, v->write_ns + random_mean(&s->random, v->write_ns), EVENT_SYNCED,
			 process, 0);
	}
	applier_run(s, v);
}

/* The after-commit hooks of every commit before `end`; clients get their answer. */
void
server_hooks(struct sim *s, uint8_t server, uint32_t end)
{
	struct sim_server *v = &s->server[server];

	while (v->process.up && (int32_t)(end - v->hook_first) > 0) {
		struct sim_commit c = v->commit[v->hook_first++ % SIM_APPLY_MAX];
		tell_committed(s, v, c.tx);
		if (v->process.up && !c.applier)
			client_committed(s, v, c.slot);
	}
}

bool
server_lock(struct sim_server *v, uint8_t r, uint32_t client, bool shared)
{
	struct sim_row *row = &v->row[r];
	bool free = row->sharers == 0 && row->applier_sharers == 0;

	if (row->owner != SIM_NOBODY || (!shared && !free))
		return false;
	if (shared)
		row->sharers |= 1u << client;
	else
		row->owner = (int32_t)client;
	return true;
}

/* To the oldest local waiters of a row, as many as may have it. The applier never waits
 * for a row: it takes it (applier.c). */
static void
grant(struct sim *s, struct sim_server *v, uint8_t r)
{
	for (;;) { /* each turn ends the wait of a client */
		uint32_t next = UINT32_MAX;

		for (uint32_t i = 0; i < v->client_count; i++) {
			const struct sim_client *c = &v->client[i];
			if (c->state != CLIENT_ROW_WAIT || s->tx[c->tx].row[c->at] != r)
				continue;
			if (next == UINT32_MAX || c->wait_order < v->client[next].wait_order)
				next = i;
		}
		if (next == UINT32_MAX)
			return;
		const struct sim_client *c = &v->client[next];
		if (!server_lock(v, r, next, sim_shares(&s->tx[c->tx], c->at)))
			return;
		client_granted(s, v, next);
	}
}

/* True when it held this row, as a sharer. */
static bool
unshare(struct sim *s, struct sim_server *v, int32_t owner, uint8_t r)
{
	struct sim_row *row = &v->row[r];

	if (owner < SIM_APPLIER) {
		bool held = (row->sharers >> owner & 1) != 0;
		row->sharers &= ~(1u << owner);
		return held;
	}
	uint32_t position = (uint32_t)(owner - SIM_APPLIER);
	const struct sim_tx *tx = &s->tx[v->apply[position % SIM_APPLY_MAX].tx];
	for (uint32_t k = 0; k < tx->row_count; k++) {
		if (tx->row[k] != r || !sim_shares(tx, k))
			continue;
		must(row->applier_sharers > 0);
		row->applier_sharers--;
		return true;
	}
	return false;
}

/* Gives back every row that `owner` holds. */
void
server_unlock(struct sim *s, struct sim_server *v, int32_t owner)
{
	for (uint8_t r = 0; r < SIM_ROWS; r++) {
		bool shared = unshare(s, v, owner, r);

		if (!shared && v->row[r].owner != owner)
			continue;
		if (!shared)
			v->row[r].owner = SIM_NOBODY;
		grant(s, v, r);
	}
}
