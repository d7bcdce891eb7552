/*
 * tests/sim/applier.c - the server's applier.
 *
 * Several workers; a transaction may start when everything up to its dependency is
 * committed here, and commits in the order of the queue. One that needs a row which a
 * local transaction holds kills that one (high priority), also while it waits for its
 * verdict: the verdict must then be a refusal, or the two were ordered wrongly.
 */
#include "base/must.h"
#include "tests/sim/payload.h"
#include "tests/sim/sim.h"

static struct sim_apply *
entry_at(struct sim_server *v, uint32_t position)
{
	return &v->apply[position % SIM_APPLY_MAX];
}

/* What it depends on, and this server accepted itself, must be committed here by now:
 * the applier would kill the transaction that waits for its commit. */
static void
check_dependency(struct sim *s, const struct sim_server *v, uint64_t index, uint64_t dependency)
{
	for (uint32_t i = 0; i < v->client_count; i++) {
		const struct sim_client *c = &v->client[i];

		if (c->state != CLIENT_COMMITTING || v->executed[c->tx] || s->tx[c->tx].lost)
			continue;
		if (s->tx[c->tx].index <= dependency)
			sim_fail(s,
				 "server %u: %llu is queued, depends on %llu; own %llu is not "
				 "committed yet",
				 v->number, (unsigned long long)index,
				 (unsigned long long)dependency,
				 (unsigned long long)s->tx[c->tx].index);
	}
	for (uint32_t i = 0; i < s->returned_count; i++) {
		const struct sim_tx *tx = &s->tx[s->returned[i]];
		if (!tx->requeued && !tx->lost && tx->server == v->number &&
		    tx->incarnation == v->incarnation && tx->index <= dependency)
			sim_fail(s,
				 "server %u: %llu is queued, depends on %llu; own failed %llu "
				 "has not come back yet",
				 v->number, (unsigned long long)index,
				 (unsigned long long)dependency, (unsigned long long)tx->index);
	}
}

void
applier_queue(struct sim *s, struct sim_server *v, const struct member_output *told)
{
	struct member_output whole = *told;
	const struct member_output *out = &whole;
	uint32_t number;

	if (!large_piece(s, v, &whole))
		return;
	if (v->state == SERVER_OFF || v->state == SERVER_STARTING) {
		sim_fail(s, "server %u: a transaction is queued outside a group", v->number);
		return;
	}
	if (!payload_read(s, out->data, out->bytes, &number) || s->tx[number].group != v->group) {
		sim_fail(s, "server %u: index %llu: bytes that nobody submitted", v->number,
			 (unsigned long long)out->index);
		return;
	}
	check_accepted(s, v, number, out->index, out->gtid);
	check_queue(s, v, number, out->index);
	check_dependency(s, v, out->index, out->dependency);
	if (s->failed)
		return;
	sim_trace(s, "server %u: its applier gets %llu, transaction %u, which follows %llu",
		  v->number, (unsigned long long)out->index, number,
		  (unsigned long long)out->dependency);
	if (out->index > v->queued_index)
		v->queued_index = out->index;
	if (v->apply_end - v->apply_first == SIM_APPLY_MAX) {
		sim_fail(s, "server %u: more than %d transactions queued", v->number,
			 SIM_APPLY_MAX);
		return;
	}
	*entry_at(v, v->apply_end++) = (struct sim_apply){
		.index = out->index,
		.dependency = out->dependency,
		.tx = number,
		.state = APPLY_QUEUED,
	};
	applier_run(s, v);
}

/* Kills whoever of the clients is in the way; false: he may not be. */
static bool
kill_clients(struct sim *s, struct sim_server *v, uint64_t index, uint32_t clients)
{
	for (uint32_t i = 0; i < v->client_count; i++) {
		if (!(clients >> i & 1))
			continue;
		if (v->client[i].state == CLIENT_COMMITTING) {
			sim_fail(s,
				 "server %u: %llu is queued before own accepted "
				 "transaction %u has committed",
				 v->number, (unsigned long long)index, v->client[i].tx);
			return false;
		}
		client_killed(s, v, i);
	}
	return true;
}

/* True when the row is its own now, or one that it shares. */
static bool
take_row(struct sim *s, struct sim_server *v, uint32_t position, uint32_t k)
{
	const struct sim_apply *e = entry_at(v, position);
	struct sim_row *row = &v->row[s->tx[e->tx].row[k]];
	bool shared = sim_shares(&s->tx[e->tx], k);
	int32_t owner = row->owner;
	uint32_t clients = shared ? 0 : row->sharers;

	if (owner >= SIM_APPLIER || (!shared && row->applier_sharers > 0)) {
		sim_fail(s, "server %u: %llu and an earlier one run together on row %u", v->number,
			 (unsigned long long)e->index, s->tx[e->tx].row[k]);
		return false;
	}
	if (owner != SIM_NOBODY)
		clients |= 1u << owner;
	/* Its own lock first: a waiter must not be granted the row. */
	row->owner = SIM_APPLIER + (int32_t)position;
	if (!kill_clients(s, v, e->index, clients))
		return false;
	if (shared) {
		row->owner = SIM_NOBODY;
		row->applier_sharers++;
	}
	return true;
}

/* True when it has all rows now. */
static bool
take_rows(struct sim *s, struct sim_server *v, uint32_t position)
{
	for (uint32_t k = 0; k < s->tx[entry_at(v, position)->tx].row_count; k++)
		if (!take_row(s, v, position, k))
			return false;
	return true;
}

/* Starts whatever may start. Bounded by the workers and what is queued. */
void
applier_run(struct sim *s, struct sim_server *v)
{
	uint32_t running = 0;
	uint64_t lowest_open = UINT64_MAX; /* index of the first that is not committed */
	bool fence = false;

	if (v->state == SERVER_OFF || s->failed)
		return;
	while (v->apply_first != v->apply_end && entry_at(v, v->apply_first)->state == APPLY_DONE)
		v->apply_first++;
	for (uint32_t p = v->apply_first; p != v->apply_end && running < v->workers; p++) {
		struct sim_apply *e = entry_at(v, p);

		if (e->state != APPLY_DONE && e->index < lowest_open)
			lowest_open = e->index;
		bool alone = s->tx[e->tx].fence;
		if (e->state == APPLY_QUEUED) {
			if (e->dependency >= lowest_open)
				break;
			if ((alone && lowest_open != e->index) || fence) {
				sim_fail(s, "server %u: a fence at or before %llu is not alone",
					 v->number, (unsigned long long)e->index);
				return;
			}
			if (!take_rows(s, v, p))
				return;
			e->state = APPLY_RUNNING;
			sim_push(s, random_between(&s->random, 30 * US, 3 * MS), EVENT_APPLIED,
				 sim_server_process(v->number), p);
		}
		if (alone && e->state != APPLY_DONE)
			fence = true;
		running += e->state == APPLY_RUNNING;
	}
}

void
applier_applied(struct sim *s, uint8_t server, uint32_t position)
{
	struct sim_server *v = &s->server[server];

	if (v->state == SERVER_OFF || position - v->apply_first >= v->apply_end - v->apply_first)
		return;
	if (entry_at(v, position)->state != APPLY_RUNNING)
		return;
	entry_at(v, position)->state = APPLY_READY;
	for (uint32_t p = v->apply_first; p != v->apply_end; p++) {
		struct sim_apply *e = entry_at(v, p);
		if (e->state == APPLY_QUEUED || e->state == APPLY_RUNNING)
			break;
		if (e->state != APPLY_READY)
			continue;
		e->state = APPLY_COMMITTING;
		server_commit(s, v, (struct sim_commit){.applier = true, .slot = p, .tx = e->tx});
	}
	applier_run(s, v);
}

void
applier_committed(struct sim *s, struct sim_server *v, uint32_t position)
{
	(void)s;
	if (position - v->apply_first < v->apply_end - v->apply_first)
		entry_at(v, position)->state = APPLY_DONE;
}

/* The applier stops: what is not in the group commit is rolled back. Positions go on
 * counting, so that a late event finds nothing. */
void
applier_drop(struct sim *s, struct sim_server *v)
{
	uint32_t first = v->apply_first;
	uint32_t end = v->apply_end;

	v->apply_first = v->apply_end;
	for (uint32_t p = first; p != end; p++) {
		uint8_t state = entry_at(v, p)->state;
		if (state == APPLY_RUNNING || state == APPLY_READY)
			server_unlock(s, v, SIM_APPLIER + (int32_t)p);
	}
}
