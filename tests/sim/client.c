/*
 * tests/sim/client.c - clients of a server, a transaction each at a time.
 *
 * A client locks its rows one by one in the order of their numbers, each with a
 * statement that takes time, and says COMMIT: under the commit lock, with its row
 * locks held, the snapshot is taken; then the transaction goes into the mailbox. It
 * waits for the verdict, and now and then is killed while it does.
 */
#include <stdlib.h>

#include "base/must.h"
#include "tests/sim/payload.h"
#include "tests/sim/sim.h"

static void
later(struct sim *s, struct sim_server *v, uint32_t client, uint8_t kind, uint64_t delay_ns)
{
	struct sim_client *c = &v->client[client];
	uint32_t generation = ++c->generation & 0xffffffu;

	sim_push(s, delay_ns, kind, sim_server_process(v->number), client | generation << 8);
}

static void
think(struct sim *s, struct sim_server *v, uint32_t client)
{
	v->client[client].state = CLIENT_IDLE;
	later(s, v, client, EVENT_CLIENT, random_mean(&s->random, s->swarm.think_ns));
}

static uint32_t
tx_new(struct sim *s, const struct sim_server *v)
{
	if (s->tx_count == s->tx_capacity) {
		s->tx_capacity = s->tx_capacity ? 2 * s->tx_capacity : 1024;
		s->tx = realloc(s->tx, s->tx_capacity * sizeof *s->tx);
		must(s->tx != NULL);
	}
	must(s->tx_count < SIM_GTIDS_MAX);
	s->tx[s->tx_count] = (struct sim_tx){
		.group = v->group,
		.life = s->groups.life[v->group],
		.server = v->number,
		.state = TX_OPEN,
	};
	return s->tx_count++;
}

/* Rows ascend, so that two clients never wait for each other in a ring. */
static void
choose_rows(struct sim *s, struct sim_tx *tx)
{
	uint32_t want = (uint32_t)random_between(&s->random, 1, SIM_TX_ROWS_MAX);
	uint32_t chosen = 0;

	if (random_chance(&s->random, 15000)) {
		tx->fence = true;
		return;
	}
	if (random_chance(&s->random, 15000))
		return; /* an empty transaction */
	for (uint32_t i = 0; i < want; i++) {
		bool hot = random_chance(&s->random, 400000);
		chosen |= 1u << random_below(&s->random, hot ? SIM_ROWS_HOT : SIM_ROWS);
	}
	for (uint8_t r = 0; r < SIM_ROWS; r++) {
		if (!(chosen & 1u << r))
			continue;
		tx->shared |= (uint8_t)(random_chance(&s->random, 300000) << tx->row_count);
		tx->row[tx->row_count++] = r;
	}
}

static void
rolled_back(struct sim *s, struct sim_server *v, uint32_t client)
{
	server_unlock(s, v, (int32_t)client);
	think(s, v, client);
}

static void
lock_next(struct sim *s, struct sim_server *v, uint32_t client)
{
	struct sim_client *c = &v->client[client];
	const struct sim_tx *tx = &s->tx[c->tx];

	if (!server_lock(v, tx->row[c->at], client, sim_shares(tx, c->at))) {
		c->state = CLIENT_ROW_WAIT;
		c->wait_order = ++v->wait_order;
		c->generation++;
		return;
	}
	client_granted(s, v, client);
}

/* The row is the client's: its statement reads and changes it. */
void
client_granted(struct sim *s, struct sim_server *v, uint32_t client)
{
	struct sim_client *c = &v->client[client];

	c->state = CLIENT_LOCKING;
	later(s, v, client, EVENT_CLIENT, random_between(&s->random, 20 * US, 800 * US));
}

static bool
executed_here(void *context, const struct gtid *gtid)
{
	struct sim *s = ((void **)context)[0];
	struct sim_server *v = ((void **)context)[1];

	/* From the newest: what is asked for is what was just accepted. */
	for (uint32_t i = v->binlog_count; i > 0; i--) {
		uint32_t tx = v->binlog[i - 1];
		if (gtid_equal(&s->tx[tx].gtid, gtid))
			return v->executed[tx] != 0;
	}
	return false;
}

/* What the member takes from where it lies. */
static bool
is_lent(const struct sim *s, uint32_t tx)
{
	return payload_padding(s, tx) > 10000 || tx % 8 == 0;
}

static bool
all_are_back(const struct sim *s, const struct sim_server *v)
{
	for (uint32_t i = 0; i < s->returned_count; i++)
		if (s->tx[s->returned[i]].server == v->number && !v->executed[s->returned[i]])
			return false;
	return true;
}

/* COMMIT: snapshot and sequence in one critical section, row locks held. */
static void
commit(struct sim *s, struct sim_server *v, uint32_t client)
{
	struct sim_client *c = &v->client[client];
	void *context[2] = {s, v};
	struct snapshot_executed executed = {.context = context, .contains = executed_here};

	if (v->commit_lock) {
		c->state = CLIENT_COMMIT_WAIT;
		c->generation++;
		return;
	}
	struct snapshot_table *table = v->state == SERVER_ON ? member_snapshots(v->member) : NULL;
	bool taken = table && (is_lent(s, c->tx) ? snapshot_take_ahead(table, &executed, c->taken)
						 : snapshot_take(table, &executed, c->taken));
	if (!taken) {
		s->tx[c->tx].state = TX_NEVER;
		rolled_back(s, v, client);
		return;
	}
	s->tx[c->tx].incarnation = v->incarnation;
	s->tx[c->tx].sequence = c->taken->sequence;
	s->tx[c->tx].caught_up =
		member_snapshots(v->member)->mark >= v->incarnation && all_are_back(s, v);
	c->state = CLIENT_MAILBOX;
	later(s, v, client, EVENT_SUBMIT, random_between(&s->random, US, 300 * US));
}

static void
statement_done(struct sim *s, struct sim_server *v, uint32_t client)
{
	struct sim_client *c = &v->client[client];
	struct sim_tx *tx = &s->tx[c->tx];

	if (c->at < tx->row_count) {
		const struct sim_row *row = &v->row[tx->row[c->at]];
		tx->seen[c->at] = sim_row_value(row);
		uint64_t before = sim_shares(tx, c->at) ? row->chain : tx->seen[c->at];
		tx->before[c->at] = before;
		tx->after[c->at] = hash_fold(before, c->tx + 1u);
		c->at++;
	}
	if (c->at < tx->row_count)
		lock_next(s, v, client);
	else
		commit(s, v, client);
}

static void
begin_here(struct sim *s, struct sim_server *v, uint32_t client)
{
	struct sim_client *c = &v->client[client];

	c->tx = tx_new(s, v);
	c->at = 0;
	c->killed = false;
	c->abandoned = false;
	choose_rows(s, &s->tx[c->tx]);
	if (s->tx[c->tx].row_count == 0)
		client_granted(s, v, client);
	else
		lock_next(s, v, client);
}

/* Consistency BEFORE. */
static void
ask_for_barrier(struct sim *s, struct sim_server *v, uint32_t client)
{
	struct sim_client *c = &v->client[client];
	struct member_input in = {.kind = MEMBER_IN_BARRIER, .sequence = ++v->barriers};

	c->state = CLIENT_BARRIER;
	c->generation++;
	c->barrier = v->barriers;
	c->told = check_told(s, v->group);
	s->totals.barriers++;
	sim_member_feed(s, v->number, &in);
}

static void
begin(struct sim *s, struct sim_server *v, uint32_t client)
{
	bool enough = s->healed && s->now_ns > s->healed_ns + 2 * SEC &&
		      s->submitted >= s->options.submissions && check_lives(s, v->group + 1u);
	if (enough)
		return;
	if (v->state != SERVER_ON) {
		later(s, v, client, EVENT_CLIENT, 50 * MS);
		return;
	}
	if (random_chance(&s->random, s->swarm.barrier_ppm))
		ask_for_barrier(s, v, client);
	else
		begin_here(s, v, client);
}

/* Told to all who asked up to this one. */
void
client_barrier(struct sim *s, struct sim_server *v, uint64_t barrier)
{
	for (uint32_t i = 0; i < v->client_count; i++) {
		const struct sim_client *c = &v->client[i];

		if (c->state != CLIENT_BARRIER || c->barrier > barrier)
			continue;
		sim_trace(s, "server %u: is behind barrier %llu, up to %llu", v->number,
			  (unsigned long long)c->barrier, (unsigned long long)c->told);
		check_barrier(s, v, c->told);
		begin_here(s, v, i);
	}
}

/* What was told above this index is void, and who waits for a barrier need not see what comes there
 * instead: it asked before. */
void
client_forked(struct sim *s, uint8_t group, uint64_t index)
{
	for (uint8_t k = 0; k < s->server_count; k++) {
		struct sim_server *v = &s->server[k];

		if (v->group != group)
			continue;
		if (v->barrier_clean > index)
			v->barrier_clean = index;
		for (uint32_t i = 0; i < v->client_count; i++)
			if (v->client[i].state == CLIENT_BARRIER && v->client[i].told > index)
				v->client[i].told = index;
	}
}

/* KILL while it waits for its verdict: an entry decides which of the two was first. */
static void
abandon(struct sim *s, struct sim_server *v, uint32_t client)
{
	struct sim_client *c = &v->client[client];

	if (c->abandoned)
		return;
	c->abandoned = true;
	s->totals.abandoned++;
	sim_trace(s, "server %u: the client of transaction %u gives up", v->number, c->tx);
	struct member_input in = {.kind = MEMBER_IN_ABANDON, .sequence = s->tx[c->tx].sequence};
	sim_member_feed(s, v->number, &in);
}

void
client_step(struct sim *s, uint8_t server, uint32_t slot)
{
	struct sim_server *v = &s->server[server];
	uint32_t client = slot & 0xff;
	struct sim_client *c = &v->client[client];

	if ((c->generation & 0xffffffu) != slot >> 8)
		return;
	switch (c->state) {
	case CLIENT_IDLE:
		begin(s, v, client);
		break;
	case CLIENT_LOCKING:
		statement_done(s, v, client);
		break;
	case CLIENT_SUBMITTED:
		abandon(s, v, client);
		break;
	case CLIENT_FAILING: {
		struct member_input in = {.kind = MEMBER_IN_LOCAL_FAILED};
		in.sequence = s->tx[c->tx].sequence;
		think(s, v, client);
		if (v->state != SERVER_OFF && v->incarnation == s->tx[c->tx].incarnation)
			sim_member_feed(s, server, &in);
		break;
	}
	default:
		break;
	}
}

static void
lend(struct sim_tx *tx, struct member_submission *s)
{
	uint32_t front = s->hash_count * ENTRY_HASH_BYTES;

	s->hashes = (const void *)large_lend(tx, (const uint8_t *)s->hashes,
					     front + (uint32_t)s->payload_bytes);
	s->payload = (const uint8_t *)(s->hashes + s->hash_count);
}

void
client_submit(struct sim *s, uint8_t server, uint32_t slot)
{
	struct sim_server *v = &s->server[server];
	uint32_t client = slot & 0xff;
	struct sim_client *c = &v->client[client];
	uint64_t block[PAYLOAD_SET_MAX + SIM_PAYLOAD_BYTES / 8];

	if ((c->generation & 0xffffffu) != slot >> 8 || c->state != CLIENT_MAILBOX)
		return;
	struct sim_tx *tx = &s->tx[c->tx];
	bool lent = is_lent(s, c->tx);
	uint32_t hash_count = payload_write_set(s, c->tx, block);
	uint8_t *payload = (uint8_t *)(block + hash_count);
	struct member_submission submission = {
		.sequence = tx->sequence,
		.snapshot = &c->taken->snapshot,
		.gtid_spec = GTID_AUTOMATIC,
		.flags = tx->fence            ? SUBMIT_FENCE
			 : tx->row_count == 0 ? SUBMIT_EMPTY
					      : 0,
		.hashes = block,
		.hash_count = hash_count,
		.payload = payload,
		.payload_bytes = payload_write(s, c->tx, payload),
		.lent = lent,
	};
	if (lent)
		lend(tx, &submission);
	tx->submitted = true;
	tx->late = s->healed;
	s->submitted++;
	sim_trace(s, "server %u: submits transaction %u, %llu bytes and %u hashes, seen up to %llu",
		  server, c->tx, (unsigned long long)submission.payload_bytes,
		  submission.hash_count, (unsigned long long)c->taken->snapshot.mark);
	c->state = CLIENT_SUBMITTED;
	c->since_ns = s->now_ns;
	c->generation++;
	if (random_chance(&s->random, 50000))
		later(s, v, client, EVENT_CLIENT, random_mean(&s->random, 2 * MS));
	struct member_input in = {.kind = MEMBER_IN_SUBMIT, .submission = &submission};
	sim_member_feed(s, server, &in);
	if (v->process.up && v->state == SERVER_ABANDONING && c->state == CLIENT_SUBMITTED)
		abandon(s, v, client);
}

static void
accepted(struct sim *s, struct sim_server *v, uint32_t client, const struct member_output *out)
{
	struct sim_client *c = &v->client[client];

	check_accepted(s, v, c->tx, out->index, out->gtid);
	if (c->killed)
		sim_fail(s,
			 "server %u: transaction %u is accepted, and the applier has already "
			 "overwritten its rows",
			 v->number, c->tx);
	if (s->failed)
		return;
	if (random_chance(&s->random, s->swarm.fail_ppm)) {
		sim_trace(s, "server %u: transaction %u fails to commit here", v->number, c->tx);
		s->tx[c->tx].returned = true;
		must(s->returned_count < SIM_RETURNED_MAX);
		s->returned[s->returned_count++] = c->tx;
		c->state = CLIENT_FAILING;
		snapshot_failed(member_snapshots(v->member), s->tx[c->tx].sequence);
		server_unlock(s, v, (int32_t)client);
		later(s, v, client, EVENT_CLIENT, random_mean(&s->random, 100 * US));
		return;
	}
	c->state = CLIENT_COMMITTING;
	server_commit(s, v, (struct sim_commit){.slot = client, .tx = c->tx});
}

void
client_verdict(struct sim *s, struct sim_server *v, const struct member_output *out)
{
	uint32_t client = 0;

	while (client < v->client_count && (v->client[client].state != CLIENT_SUBMITTED ||
					    s->tx[v->client[client].tx].sequence != out->sequence))
		client++;
	if (client == v->client_count) {
		sim_fail(s, "server %u: verdict %d for sequence %llu, which is not open", v->number,
			 out->verdict, (unsigned long long)out->sequence);
		return;
	}
	struct sim_client *c = &v->client[client];
	sim_trace(s, "server %u: transaction %u is %s, at %llu", v->number, c->tx,
		  word_verdict(out->verdict), (unsigned long long)out->index);
	c->generation++;
	if (out->verdict == MEMBER_ACCEPTED) {
		accepted(s, v, client, out);
	} else {
		s->totals.conflicts += out->verdict == MEMBER_CONFLICT;
		check_refused(s, v, c->tx, out);
		rolled_back(s, v, client);
	}
	if (v->state == SERVER_ABANDONING && server_open(v) == 0)
		sim_push(s, 0, EVENT_STOP_GO_ON, sim_server_process(v->number), 0);
}

/* The applier took a row of it. */
void
client_killed(struct sim *s, struct sim_server *v, uint32_t client)
{
	struct sim_client *c = &v->client[client];

	sim_trace(s, "server %u: the applier kills transaction %u", v->number, c->tx);
	if (c->state == CLIENT_SUBMITTED || c->state == CLIENT_MAILBOX) {
		c->killed = true;
		server_unlock(s, v, (int32_t)client);
		return;
	}
	s->tx[c->tx].state = TX_NEVER;
	rolled_back(s, v, client);
}

void
client_committed(struct sim *s, struct sim_server *v, uint32_t client)
{
	s->tx[v->client[client].tx].acked = true;
	sim_trace(s, "server %u: transaction %u is committed, its client knows", v->number,
		  v->client[client].tx);
	think(s, v, client);
}

/* The server, or its incarnation, ended before the verdict. */
void
client_unknown(struct sim *s, struct sim_server *v)
{
	for (uint32_t i = 0; i < v->client_count; i++) {
		struct sim_client *c = &v->client[i];

		if (c->state == CLIENT_BARRIER)
			think(s, v, i);
		if (c->state != CLIENT_SUBMITTED && c->state != CLIENT_MAILBOX)
			continue;
		s->tx[c->tx].state = s->tx[c->tx].submitted ? TX_UNKNOWN : TX_NEVER;
		rolled_back(s, v, i);
	}
}

void
client_commit_lock_free(struct sim *s, struct sim_server *v)
{
	for (uint32_t i = 0; i < v->client_count && v->process.up; i++) {
		if (v->client[i].state == CLIENT_COMMIT_WAIT)
			commit(s, v, i);
	}
}

void
client_abandon_all(struct sim *s, struct sim_server *v)
{
	for (uint32_t i = 0; i < v->client_count && v->process.up; i++) {
		if (v->client[i].state == CLIENT_SUBMITTED)
			abandon(s, v, i);
		if (v->client[i].state == CLIENT_BARRIER)
			think(s, v, i);
	}
	if (v->process.up && v->state == SERVER_ABANDONING && server_open(v) == 0)
		sim_push(s, 0, EVENT_STOP_GO_ON, sim_server_process(v->number), 0);
}
