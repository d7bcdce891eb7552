/* tests/sim/nodes.c - see sim.h: node processes around node_step(). */
#include <stdlib.h>

#include "base/must.h"
#include "tests/sim/sim.h"

/* What node_step() hands out while it runs; the order is the poll loop's. */
struct node_scope {
	struct sim *sim;
	uint8_t node;
};

/* The least that node_config allows: more entries than a replay may meet behind the last row of
 * results. Each slot in flight may hold a report of every member besides what they submit. */
static uint32_t
in_flight(const struct sim *s)
{
	uint32_t entries = 2 * s->swarm.horizon * (s->server_count + 4);
	uint32_t power = 32;

	while (power < entries)
		power *= 2;
	return power;
}

void
sim_node_setup(struct sim *s, uint8_t node)
{
	struct sim_node *n = &s->node[node];
	struct node_config *c = &n->config;

	memset(c, 0, sizeof *c);
	c->self = node;
	c->node_count = (uint8_t)s->node_count;
	memset(c->epoch, 0xe1, sizeof c->epoch);
	for (uint8_t i = 0; i < s->node_count; i++) {
		memset(c->uuid[i], 0xa0 + i, sizeof c->uuid[i]);
		c->endpoint[i] = net_endpoint(i);
	}
	c->groups_max = s->group_count;
	c->members_max = s->server_count + 1;
	c->inflight_max = s->swarm.inflight_max;
	c->index_hashes_max = s->swarm.index_hashes_max;
	c->results_max = s->swarm.short_memory ? in_flight(s) : 8192;
	c->history_row = s->swarm.history_row;
	c->history_links = 4;
	c->history_blocks = 1024; /* of 16 slots or more: as far as a log of these runs goes */
	c->value_bytes_max = s->swarm.value_bytes_max;
	c->payload_bytes_max = SIM_PAYLOAD_BYTES;
	c->chunk_bytes = s->swarm.chunk_bytes;
	c->horizon = s->swarm.horizon;
	c->voters = s->swarm.voters_first;
	c->values_max = node_values_min(s->group_count, s->swarm.horizon) + s->swarm.values_spare;
	c->datagram_bytes_max = SIM_DATAGRAM_BYTES;
	c->stream_bytes = s->swarm.stream_bytes;
	c->takeover_ns = s->swarm.pace * 60 * MS;
	if (s->swarm.impatient) {
		c->takeover_min_ns = c->takeover_ns / 6;
		c->beat_ns = s->swarm.pace * 3 * MS;
	}
	c->retry_ns = s->swarm.pace * 15 * MS;
	/* Time alone is no proof where the own disk lies: then everybody must be asked. Not by the
	 * others: of two voters one whose tail is cut would wait for ever for one that repairs, and
	 * answers when both have gone on. */
	bool forgets = node == s->swarm.liar || node == s->swarm.restored;
	c->tail_trust_ns = forgets ? 1000000 * SEC : 1500 * MS;
	c->session_dead_ns = s->swarm.pace * 150 * MS;
	c->gc_ns = s->swarm.gc_ns;
	c->image_bytes = s->swarm.image_bytes;
	c->expel_ns = 2500 * MS;
	c->lag_ns = s->swarm.lag_ns;
	comers_setup(s, node);
	seal_node(s, node, c);
	size_t bytes = (node_size(c) + 63) / 64 * 64;
	if (bytes > n->memory_bytes) {
		free(n->memory);
		n->memory = aligned_alloc(64, bytes);
		must(n->memory != NULL);
		n->memory_bytes = bytes;
	}
	memset(n->read, 0, sizeof n->read);
	n->reads_used = 0;
	n->starts = 0;
	n->restart_ns = 0;
	n->process = (struct sim_process){.life = n->process.life + 1};
	swarm_disk(s, &n->disk);
	disk_format(s, &n->disk, node);
}

void
sim_node_start(struct sim *s, uint8_t node)
{
	struct sim_node *n = &s->node[node];
	struct sim_process *p = &n->process;
	uint8_t entropy[64];

	must(!p->up);
	sim_soil(n->memory, node_size(&n->config));
	memset(n->delivered, 0, sizeof n->delivered);
	memset(n->read, 0, sizeof n->read);
	n->reads_used = 0;
	*p = (struct sim_process){
		.up = true,
		.replaying = true,
		.life = p->life + 1,
	};
	swarm_clock(s, p);
	s->timer_ns[node] = UINT64_MAX;
	n->restart_ns = 0;
	seal_node(s, node, &n->config);
	memcpy(n->config.disk, n->disk.disk_id, sizeof n->config.disk);
	n->node = node_init(n->memory, &n->config);
	for (uint32_t i = 0; i < sizeof entropy; i++)
		entropy[i] = (uint8_t)random_u64(&s->random);
	enum paxos_tail tail = disk_recover(s, node);
	p->replaying = false;
	n->starts++;
	s->totals.restarts += n->starts > 1;
	sim_trace(s, "node %u: starts with a log of %llu bytes, %s", node,
		  (unsigned long long)n->disk.durable_lsn, word_tail(tail));
	struct node_input in = {.kind = NODE_IN_START, .tail = tail, .process = n->starts};
	in.lsn = n->disk.append_lsn;
	in.data = entropy;
	in.bytes = sizeof entropy;
	sim_node_feed(s, node, &in);
	seal_list(s, node);
}

/* Or will, as soon as it starts. */
bool
sim_repairs(const struct sim *s, uint8_t node)
{
	const struct sim_node *n = &s->node[node];
	struct node_status now;

	if (n->disk.outdated)
		return true;
	if (!n->process.up || n->process.replaying)
		return n->disk.repairs;
	node_status(n->node, &now);
	return now.repairing;
}

void
sim_node_crash(struct sim *s, uint8_t node, uint64_t down_ns)
{
	struct sim_node *n = &s->node[node];

	if (!n->process.up)
		return;
	sim_trace(s, "node %u: crashes", node);
	if (!n->process.replaying)
		n->disk.repairs = sim_repairs(s, node);
	seal_count(s, node);
	n->process.up = false;
	n->process.life++;
	s->totals.crashes++;
	disk_crash(s, node);
	n->restart_ns = s->now_ns + down_ns;
	sim_push(s, down_ns, EVENT_RESTART, node, 0);
}

static void
node_reads(struct sim *s, uint8_t node, const struct node_output *out)
{
	struct sim_node *n = &s->node[node];

	for (uint32_t i = 0; i < SIM_READS_MAX; i++) {
		if (n->read[i].used)
			continue;
		n->read[i] = (struct sim_read){.used = true, .lsn = out->lsn};
		n->read[i].bytes = out->bytes;
		n->reads_used++;
		if (!n->process.replaying)
			sim_push(s, random_between(&s->random, 20 * US, 300 * US), EVENT_READ, node,
				 i);
		return;
	}
	sim_fail(s, "node %u: more than %d reads in flight", node, SIM_READS_MAX);
}

void
sim_node_read_done(struct sim *s, uint8_t node, uint32_t slot)
{
	struct sim_node *n = &s->node[node];
	struct sim_read read = n->read[slot];
	const uint8_t *data = disk_find(&n->disk, read.lsn, read.bytes);

	if (data == NULL && read.lsn <= n->disk.append_lsn && read.lsn > n->disk.durable_lsn &&
	    !n->disk.failed) {
		sim_push(s, 200 * US, EVENT_READ, node, slot);
		return;
	}
	n->read[slot].used = false;
	n->reads_used--;
	struct node_input in = {.kind = NODE_IN_READ_DONE, .lsn = read.lsn, .data = data};
	in.bytes = data != NULL ? read.bytes : 0;
	sim_node_feed(s, node, &in);
}

/* What a record of a replay makes the node read is answered before the next one. */
void
sim_node_replay_reads(struct sim *s, uint8_t node)
{
	struct sim_node *n = &s->node[node];

	for (uint32_t i = 0; n->reads_used > 0 && i < SIM_READS_MAX && !s->failed; i++) {
		struct sim_read read = n->read[i];
		struct node_input in = {.kind = NODE_IN_READ_DONE, .lsn = read.lsn};

		if (!read.used)
			continue;
		n->read[i].used = false;
		n->reads_used--;
		in.data = disk_find(&n->disk, read.lsn, read.bytes);
		in.bytes = in.data != NULL ? read.bytes : 0;
		sim_node_feed(s, node, &in);
		i = UINT32_MAX; /* the answer may have made it read more */
	}
}

static void
node_sends(struct sim *s, uint8_t node, const struct node_output *out)
{
	if (out->after_lsn > s->node[node].disk.durable_lsn)
		sim_fail(s, "node %u sends what depends on @%llu, and @%llu is durable", node,
			 (unsigned long long)out->after_lsn,
			 (unsigned long long)s->node[node].disk.durable_lsn);
	net_send(s, node, &out->to, out->data, out->bytes);
}

static void
node_logs(struct sim *s, uint8_t node, const struct node_output *out)
{
	struct sim_disk *d = &s->node[node].disk;

	if (out->lsn != d->append_lsn + out->bytes)
		sim_fail(s, "node %u logs a record at @%llu, the log ends at @%llu", node,
			 (unsigned long long)out->lsn, (unsigned long long)d->append_lsn);
	else
		disk_append(d, out->data, out->bytes);
	force_logs(s, node, out->data);
}

/* Two voters that repair wait for each other (docs/disks.md), so the administrator does that with
 * one at a time; another one with a new disk, which was turned away by who is yet to learn that it
 * was dropped, starts again as it is. Who has no vote is waited for by nobody, and may wait for
 * this one. */
static bool
somebody_repairs(const struct sim *s, uint8_t but)
{
	for (uint8_t i = 0; i < s->node_count; i++)
		if (i != but && sim_repairs(s, i) && voters_name(s, i))
			return true;
	return false;
}

static void
node_emits(void *context, const struct node_output *out)
{
	struct node_scope *scope = context;
	struct sim *s = scope->sim;
	struct sim_process *p = &s->node[scope->node].process;

	if (p->dying || s->failed)
		return;
	switch (out->kind) {
	case NODE_OUT_SEND:
		node_sends(s, scope->node, out);
		break;
	case NODE_OUT_LOG:
		check_row(s, scope->node, out);
		node_logs(s, scope->node, out);
		break;
	case NODE_OUT_READ:
		node_reads(s, scope->node, out);
		break;
	case NODE_OUT_DELIVER:
		check_delivered(s, scope->node, out);
		break;
	case NODE_OUT_RESULT:
		check_result(s, scope->node, out);
		break;
	case NODE_OUT_DIVERGED:
		bent_diverged(s, scope->node, out);
		p->dying = true;
		return;
	case NODE_OUT_MEMBER_DIVERGED:
		bent_member_diverged(s, scope->node, out);
		break;
	case NODE_OUT_CUT:
		force_cut(s, scope->node, out);
		break;
	case NODE_OUT_OUTDATED:
		sim_trace(s, "node %u: has forgotten what node %llu saw, up to @%llu", scope->node,
			  (unsigned long long)out->index, (unsigned long long)out->lsn);
		if (scope->node != s->swarm.liar && scope->node != s->swarm.rotten &&
		    !s->node[scope->node].disk.renewed)
			sim_fail(s, "node %u is told that its disk forgot, which it did not",
				 scope->node);
		s->node[scope->node].disk.outdated =
			!s->node[scope->node].disk.renewed || !somebody_repairs(s, scope->node);
		s->totals.outdated++;
		p->dying = true;
		return;
	case NODE_OUT_FORCED:
		sim_trace(s, "node %u: goes over to epoch %llu", scope->node,
			  (unsigned long long)out->index);
		if (out->index > s->force.number && out->index != s->force.asked.number)
			sim_fail(s, "node %u goes over to an epoch that nobody asked for",
				 scope->node);
		p->dying = true;
		return;
	case NODE_OUT_DROP:
		disk_drop(s, scope->node, out->lsn);
		s->totals.trims++;
		sim_trace(s, "node %u: drops its log below @%llu", scope->node,
			  (unsigned long long)out->lsn);
		break;
	case NODE_OUT_IMAGE:
		check_image(s, scope->node, out);
		break;
	case NODE_OUT_LOST:
		sim_fail(s, "node %u: the begin of its log is lost", scope->node);
		return;
	case NODE_OUT_TIMER:
		sim_timer(s, scope->node, out->at_ns);
		return;
	}
	p->dying = sim_output_kills(s, p);
}

/* Is this stranger spoken with? Not rightly, unless its new disk rots, too: who repairs is taken
 * as it is. */
static bool
passes(struct sim_node *n, uint8_t self)
{
	struct node_status now;

	node_status(n->node, &now);
	n->disk.stranger = !now.repairing;
	return n->disk.stranger && (now.link_up & ~(1u << self)) != 0;
}

void
sim_node_feed(struct sim *s, uint8_t node, struct node_input *in)
{
	struct sim_node *n = &s->node[node];
	struct node_scope scope = {.sim = s, .node = node};
	struct node_sink sink = {.context = &scope, .emit = node_emits};

	if (!n->process.up || s->failed)
		return;
	if (!n->process.replaying && n->process.crash_after == 0 &&
	    random_chance(&s->random, s->swarm.crash_ppm))
		n->process.crash_after = (uint32_t)random_between(&s->random, 1, 12);
	in->now_ns = sim_local(s, &n->process);
	in->room_bytes = n->process.replaying ? 0 : disk_room(s, node);
	s->totals.node_steps += in->kind != NODE_IN_RECORD;
	node_step(n->node, in, &sink);
	if (n->process.dying) {
		sim_node_crash(s, node, random_mean(&s->random, s->swarm.down_ns));
		return;
	}
	if (n->disk.stranger && passes(n, node))
		sim_fail(s, "node %u: its disk was made anew, and passes for the one before", node);
	disk_submit(s, node);
}
