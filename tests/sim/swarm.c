/*
 * tests/sim/swarm.c - see sim.h: what a run is like, drawn from its seed.
 *
 * A run that has every fault all the time, at middling sizes, shows little of what each
 * does alone, and nothing of what happens at an end of a scale. So most things are drawn
 * twice: whether this run has them, and how much. Sizes are the smallest that the
 * contracts of node_config and member_config allow, or ample, or between.
 */
#include <stdio.h>

#include "tests/sim/sim.h"

static uint32_t
below(struct sim *s, uint32_t n)
{
	return (uint32_t)random_below(&s->random, n);
}

static uint64_t
one_of(struct sim *s, const uint64_t choice[4])
{
	return choice[below(s, 4)];
}

static bool
chance(struct sim *s, uint32_t percent)
{
	return below(s, 100) < percent;
}

/* Nodes that do not vote at first are spare, and node 0 leads at first. */
static void
draw_cluster(struct sim *s)
{
	uint32_t kind = below(s, 100);

	s->node_count = kind < 5 ? 1 : kind < 65 ? 3 : kind < 92 ? 5 : 7;
	if (s->options.nodes)
		s->node_count = s->options.nodes;
	s->server_count = 1 + below(s, chance(s, 85) ? 4 : SIM_SERVERS_MAX);
	s->group_count = chance(s, 30) ? 1 + below(s, SIM_GROUPS_MAX) : 1;
	if (s->group_count > s->server_count)
		s->group_count = s->server_count;
	s->swarm.voters_first = (1u << s->node_count) - 1;
	for (bool spare = s->node_count > 3 && chance(s, 25); spare;) {
		s->swarm.voters_first = 1 | below(s, 1u << s->node_count);
		spare = __builtin_popcount(s->swarm.voters_first) < 3;
	}
	for (uint32_t g = 0; g < SIM_GROUPS_MAX; g++) {
		s->group_uuid[g][0] = random_u64(&s->random);
		s->group_uuid[g][1] = random_u64(&s->random);
		s->group_begun[g] = false;
	}
}

/* Up to a tenth of what the timeouts are made for, and one end may be far away. */
static void
draw_network(struct sim *s)
{
	struct sim_net *n = &s->net;
	uint64_t near = random_between(&s->random, 5 * US, 300 * US);
	uint64_t far = random_between(&s->random, US, s->swarm.pace * 4 * MS);
	uint32_t drop = chance(s, 60) ? below(s, 50000) : 0;
	uint32_t bad = chance(s, 20) ? 50000 + below(s, 300000) : drop;
	uint32_t shape = below(s, 100); /* all alike, one far away, or each as it comes */
	uint8_t remote = (uint8_t)below(s, SIM_PROCESSES_MAX);

	for (uint8_t a = 0; a < SIM_PROCESSES_MAX; a++) {
		for (uint8_t b = 0; b < SIM_PROCESSES_MAX; b++) {
			bool away = shape >= 60 && shape < 80 && (a == remote || b == remote);
			n->latency_ns[a][b] = away ? near + far : near;
			if (shape >= 80)
				n->latency_ns[a][b] = random_between(&s->random, near, near + far);
			n->drop_ppm[a][b] = chance(s, 8) ? bad : drop;
		}
	}
	n->jitter_ns = random_between(&s->random, 1 * US, 500 * US);
	n->duplicate_ppm = chance(s, 50) ? below(s, 50000) : 0;
	n->late_ppm = chance(s, 50) ? below(s, 30000) : 0;
	s->sealed = chance(s, 50);
	n->forge_ppm = s->sealed && chance(s, 50) ? 10000 : 0;
}

/* What a survivor has must be true then, and a group's number its own. */
static void
draw_force(struct sim *s)
{
	struct sim_swarm *w = &s->swarm;

	w->fault_weight[FAULT_FORCE] = 0;
	bool wanted = chance(s, 25) || s->options.force;
	if (s->node_count == 1 || !wanted)
		return;
	w->fault_weight[FAULT_FORCE] = 1u << below(s, 3);
	w->fault_weight[FAULT_DROP] = 0;
	w->liar = SIM_NODES_MAX;
	w->rotten = SIM_NODES_MAX;
	w->restored = SIM_NODES_MAX;
}

/* The others stand in nobody's file. */
static void
draw_comers(struct sim *s)
{
	struct sim_swarm *w = &s->swarm;
	uint32_t all = (1u << s->node_count) - 1;
	bool wanted = chance(s, 25) || s->options.added;

	w->named = all;
	if (s->node_count < 3 || !wanted)
		return;
	w->fault_weight[FAULT_NODES] = 1u << below(s, 4);
	if (w->voters_first == all)
		w->voters_first = s->node_count == 3 ? 3 : 7;
	w->named = w->voters_first | below(s, 1u << s->node_count);
	if (w->named == all)
		w->named = w->voters_first;
}

static void
draw_faults(struct sim *s)
{
	struct sim_swarm *w = &s->swarm;
	uint32_t dense = (uint32_t)one_of(s, (const uint64_t[4]){20, 50, 75, 90});

	for (uint32_t i = 0; i < FAULT_NODES; i++)
		w->fault_weight[i] = chance(s, dense) ? 1u << below(s, 4) : 0;
	w->fault_mean_ns = random_between(&s->random, 30 * MS, 700 * MS);
	w->crash_ppm = chance(s, 50) ? below(s, 400) : 0;
	w->down_ns = random_between(&s->random, 20 * MS, 1200 * MS);
	w->cut_ns = one_of(s, (const uint64_t[4]){50 * MS, 400 * MS, 400 * MS, 1500 * MS});
	w->pace = 1u << below(s, 3);
	w->clock_ppm_max = (uint32_t)one_of(s, (const uint64_t[4]){0, 500, 20000, 100000});
	w->think_ns = random_between(&s->random, 30 * MS, 300 * MS);
	w->fail_ppm = (uint32_t)one_of(s, (const uint64_t[4]){5000, 5000, 5000, 100000});
	w->barrier_ppm = (uint32_t)one_of(s, (const uint64_t[4]){0, 20000, 100000, 500000});
	w->short_memory = chance(s, 33);
	/* Who is alone has nobody to ask. */
	w->liar = SIM_NODES_MAX;
	if (s->node_count > 1 && chance(s, 30))
		w->liar = (uint8_t)below(s, s->node_count);
	w->rotten = SIM_NODES_MAX;
	if (s->node_count > 1 && chance(s, 25))
		w->rotten = w->liar < SIM_NODES_MAX ? w->liar : (uint8_t)below(s, s->node_count);
	w->restored = chance(s, 50) ? w->rotten : SIM_NODES_MAX;
	draw_force(s);
}

static void
draw_sizes(struct sim *s)
{
	struct sim_swarm *w = &s->swarm;

	w->horizon = (uint32_t)one_of(s, (const uint64_t[4]){10, 16, 16, 40});
	w->inflight_max = (uint32_t)one_of(s, (const uint64_t[4]){2, 8, 64, 64});
	w->values_spare = chance(s, 50) ? 64 : below(s, 64);
	w->value_bytes_max = 10000 + below(s, 4000);
	w->chunk_bytes = (uint32_t)one_of(s, (const uint64_t[4]){1000, 3000, 3000, 6000});
	w->stream_bytes = chance(s, 80) ? 32768 : 65536;
	w->submission_bytes = chance(s, 70) ? 256 * 1024 : 2 * w->value_bytes_max;
	w->history_row = w->short_memory ? 4 : 16 << 2 * below(s, 2);
	/* Some have no room for the larger write sets, some for a few of them. */
	w->index_hashes_max = (uint32_t)one_of(s, (const uint64_t[4]){64, 256, 16384, 16384});
	w->large_one_in = 100;
	w->large_bytes = 100000;
	w->hangs = SIM_NODES_MAX;
	/* Half of the runs trim their logs. */
	w->image_bytes = one_of(s, (const uint64_t[4]){0, 0, 40000, 200000});
	w->gc_ns = one_of(s, (const uint64_t[4]){20 * MS, 100 * MS, 100 * MS, SEC});
	w->progress_ns = one_of(s, (const uint64_t[4]){5 * MS, 20 * MS, 20 * MS, 100 * MS});
}

/* Room for images of every group, and for the longest payloads: as dpdk/plan.c has it. */
static void
give_end(struct sim *s)
{
	struct sim_swarm *w = &s->swarm;
	uint64_t images = 16ull * s->group_count * w->index_hashes_max;

	w->log_bytes = SIM_LOG_IMAGES * (images > SIM_PAYLOAD_BYTES ? images : SIM_PAYLOAD_BYTES);
	while (w->log_bytes < SIM_LOG_BYTES_MIN)
		w->log_bytes *= 2;
	w->log_bytes <<= below(s, 3);
	w->image_bytes = w->log_bytes / SIM_LOG_IMAGES;
	w->lag_ns = one_of(s, (const uint64_t[4]){0, 50 * MS, 300 * MS, SEC});
	if (w->lag_ns > 0)
		w->lag_ns += w->gc_ns; /* so often members' reports are logged */
}

/* A log that is put back as it was would begin where others are long. */
static void
draw_end(struct sim *s)
{
	const struct sim_swarm *w = &s->swarm;
	bool wanted = chance(s, 50) || s->options.bound;

	if (wanted && (w->image_bytes > 0 || s->options.bound) && w->restored == SIM_NODES_MAX)
		give_end(s);
}

/*
 * ---- storms ----
 *
 * Faults of the product that a million of uniform seeds would have met a few times each were
 * coincidences of several rare things. In a storm each of these is in a run with the same, high,
 * chance, drawn from the seed.
 */

static void
storm_of_nodes(struct sim *s)
{
	struct sim_swarm *w = &s->swarm;
	uint32_t all = (1u << s->node_count) - 1;

	w->fault_weight[FAULT_VOTERS] = 8;
	if (s->node_count < 3)
		return;
	w->fault_weight[FAULT_NODES] = 8;
	if (w->voters_first == all)
		w->voters_first = s->node_count == 3 ? 3 : 7;
	w->named = w->voters_first | below(s, all + 1);
	if (w->named == all)
		w->named = w->voters_first;
}

/* Many nodes, and few of them vote. */
static void
storm_of_spares(struct sim *s)
{
	struct sim_swarm *w = &s->swarm;

	if (s->node_count < 3)
		return;
	if (s->options.nodes == 0)
		s->node_count = chance(s, 50) ? 5 : 7;
	w->named = (1u << s->node_count) - 1;
	w->fault_weight[FAULT_NODES] = 0;
	for (bool fit = false; !fit;) {
		w->voters_first = 1 | below(s, w->named + 1);
		fit = __builtin_popcount(w->voters_first) >= 2 &&
		      __builtin_popcount(w->voters_first) <= 4;
	}
	w->fault_weight[FAULT_VOTERS] = 8;
}

static void
storm_of_leaders(struct sim *s)
{
	s->swarm.fault_weight[FAULT_LEAD] = 8;
}

static void
storm_of_images(struct sim *s)
{
	struct sim_swarm *w = &s->swarm;

	w->image_bytes = 10000 + below(s, 40000);
	w->log_bytes = 0;
	w->lag_ns = 0;
	w->gc_ns = 20 * MS;
	w->progress_ns = 5 * MS;
}

static void
storm_of_bad_disks(struct sim *s)
{
	struct sim_swarm *w = &s->swarm;

	if (s->node_count == 1)
		return;
	w->rotten = (uint8_t)below(s, s->node_count);
	w->liar = chance(s, 70) ? w->rotten : SIM_NODES_MAX;
	w->restored = chance(s, 50) ? w->rotten : SIM_NODES_MAX;
	w->fault_weight[FAULT_FORCE] = 0;
	w->fault_weight[FAULT_NODE_CRASH] = 8;
}

static void
storm_of_forces(struct sim *s)
{
	struct sim_swarm *w = &s->swarm;

	if (s->node_count == 1)
		return;
	w->liar = SIM_NODES_MAX;
	w->rotten = SIM_NODES_MAX;
	w->restored = SIM_NODES_MAX;
	w->fault_weight[FAULT_FORCE] = 4;
	w->fault_weight[FAULT_DROP] = 0;
}

/* The smallest sizes. */
static void
storm_in_a_glass(struct sim *s)
{
	struct sim_swarm *w = &s->swarm;

	w->horizon = 10;
	w->inflight_max = 2u << below(s, 3);
	w->values_spare = below(s, 3);
	w->value_bytes_max = 10000;
	w->stream_bytes = 32768;
	w->chunk_bytes = chance(s, 50) ? 1000 : 6000;
	w->submission_bytes = 2 * w->value_bytes_max;
	if (chance(s, 50))
		w->index_hashes_max = 64;
}

static void
storm_of_crashes(struct sim *s)
{
	struct sim_swarm *w = &s->swarm;

	w->crash_ppm = 300 + below(s, 1500);
	w->down_ns = random_between(&s->random, 10 * MS, 100 * MS);
	w->fault_mean_ns = random_between(&s->random, 20 * MS, 90 * MS);
	w->fault_weight[FAULT_NODE_CRASH] = 8;
	w->fault_weight[FAULT_NODE_BUDGET] = 8;
}

static void
storm_of_outages(struct sim *s)
{
	s->swarm.fault_weight[FAULT_CLEAN_STOP] = 8;
	s->swarm.fault_weight[FAULT_POWER] = 8;
}

static void
storm_on_a_disk(struct sim *s)
{
	s->swarm.hangs = (uint8_t)below(s, s->node_count);
	s->swarm.fault_weight[FAULT_SLOW_DISK] = 4;
}

static void
storm_of_members(struct sim *s)
{
	struct sim_swarm *w = &s->swarm;

	w->fault_weight[FAULT_SERVER_CRASH] = 8;
	w->fault_weight[FAULT_SERVER_STOPS] = 8;
	w->fault_weight[FAULT_EXPEL] = 8;
	if (w->fault_weight[FAULT_FORCE] == 0)
		w->fault_weight[FAULT_DROP] = 2;
	w->short_memory = chance(s, 50);
	w->history_row = w->short_memory ? 4 : 16 << 2 * below(s, 2);
	w->fail_ppm = 100000;
}

static void
storm_of_links(struct sim *s)
{
	struct sim_swarm *w = &s->swarm;

	w->fault_weight[FAULT_DEAF] = 8;
	w->fault_weight[FAULT_CUT_ONE_WAY] = 8;
	w->fault_weight[FAULT_HALVES] = 8;
	w->fault_weight[FAULT_LEFT_BEHIND] = 8;
	w->pace = 1;
	w->impatient = chance(s, 70);
}

static void
storm_of_losses(struct sim *s)
{
	for (uint8_t a = 0; a < SIM_PROCESSES_MAX; a++)
		for (uint8_t b = 0; b < SIM_PROCESSES_MAX; b++)
			if (chance(s, 30))
				s->net.drop_ppm[a][b] = 50000 + below(s, 300000);
	s->net.late_ppm = 30000;
	s->net.duplicate_ppm = 50000;
}

static void
storm_of_large_ones(struct sim *s)
{
	s->swarm.large_one_in = 3 + below(s, 8);
	s->swarm.large_bytes = 30000;
}

static void
storm_in_full_logs(struct sim *s)
{
	s->swarm.restored = SIM_NODES_MAX;
	give_end(s);
}

/* The later ones have the last word where two of them meet. */
static void
draw_storm(struct sim *s)
{
	static void (*const storm[])(struct sim *) = {
		storm_of_spares,    storm_of_nodes,      storm_of_leaders,   storm_of_images,
		storm_of_bad_disks, storm_of_forces,     storm_in_a_glass,   storm_of_crashes,
		storm_of_outages,   storm_on_a_disk,     storm_of_members,   storm_of_links,
		storm_of_losses,    storm_of_large_ones, storm_in_full_logs,
	};
	uint32_t percent = (uint32_t)one_of(s, (const uint64_t[4]){20, 35, 50, 70});
	uint32_t which = 0;

	for (uint32_t i = 0; i < sizeof storm / sizeof *storm; i++) {
		if (!chance(s, percent))
			continue;
		storm[i](s);
		which |= 1u << i;
	}
	sim_trace(s, "a storm, %x", which);
}

void
swarm_draw(struct sim *s)
{
	s->swarm = (struct sim_swarm){0};
	draw_cluster(s);
	draw_faults(s);
	draw_network(s);
	draw_sizes(s);
	s->swarm.impatient = chance(s, 50);
	draw_comers(s);
	draw_end(s);
	if (s->options.storm)
		draw_storm(s);
}

/* Most are alike. The others make a node that is always ahead, always behind, or now and
 * then gone for longer than its neighbours wait. */
void
swarm_disk(struct sim *s, struct sim_disk *d)
{
	uint32_t kind = below(s, 100);

	d->write_ns = random_between(&s->random, 30 * US, 400 * US);
	d->stall_ppm = 0;
	d->stall_ns = 0;
	if (kind >= 70 && kind < 80)
		d->write_ns = random_between(&s->random, 5 * US, 30 * US);
	if (kind >= 80 && kind < 90)
		d->write_ns = random_between(&s->random, 1 * MS, 6 * MS);
	if (kind >= 90) {
		d->stall_ppm = 1000 + below(s, 20000);
		d->stall_ns = random_between(&s->random, 20 * MS, 500 * MS);
	}
	if (s->swarm.hangs < SIM_NODES_MAX && d == &s->node[s->swarm.hangs].disk) {
		d->stall_ppm = 10000 + below(s, 100000);
		d->stall_ns = random_between(&s->random, 20 * MS, 900 * MS);
	}
}

void
swarm_clock(struct sim *s, struct sim_process *p)
{
	uint32_t max = s->swarm.clock_ppm_max;

	p->clock_offset_ns = random_between(&s->random, SEC, 1000 * SEC);
	p->clock_ppm = (int32_t)below(s, 2 * max + 1) - (int32_t)max;
}

static void
tell_faults(const struct sim *s)
{
	char line[512];
	size_t used = 0;

	line[0] = '\0';
	for (uint32_t i = 0; i < FAULT_COUNT; i++) {
		if (s->swarm.fault_weight[i] == 0 || used >= sizeof line)
			continue;
		used += (size_t)snprintf(line + used, sizeof line - used, ", %s %u",
					 word_fault((enum sim_fault)i), s->swarm.fault_weight[i]);
	}
	sim_trace(s, "one of these faults every %llu ms about, by weight: %s",
		  (unsigned long long)(s->swarm.fault_mean_ns / MS), used > 2 ? line + 2 : "none");
}

/* The first lines of a story. */
void
swarm_tell(const struct sim *s)
{
	const struct sim_swarm *w = &s->swarm;

	if (!s->options.trace)
		return;
	sim_trace(s, "%u nodes, of which %s vote at first; %u servers in %u groups; %s",
		  s->node_count, word_set(w->voters_first).text, s->server_count, s->group_count,
		  s->sealed ? "sealed" : "in clear");
	if (w->named != (1u << s->node_count) - 1)
		sim_trace(s, "nodes %s begin, and the others are added", word_set(w->named).text);
	for (uint8_t i = 0; i < s->node_count; i++) {
		const struct sim_disk *d = &s->node[i].disk;
		sim_trace(s, "disk %u: a write takes some %llu us%s%s%s%s", i,
			  (unsigned long long)(d->write_ns / US),
			  d->stall_ppm > 0 ? ", now and then it stalls" : "",
			  i == w->liar ? ", it lies" : "", i == w->rotten ? ", it rots" : "",
			  i == w->restored ? ", it is put back" : "");
	}
	for (uint8_t i = 0; i < s->server_count; i++)
		sim_trace(s, "server %u: in group %u, %u clients, %u applier workers", i,
			  s->server[i].group + 1u, s->server[i].client_count, s->server[i].workers);
	sim_trace(s,
		  "horizon %u, %u open submissions each, timeouts times %u%s, clocks within %u ppm",
		  w->horizon, w->inflight_max, w->pace,
		  w->impatient ? ", a leader is missed early" : "", w->clock_ppm_max);
	if (w->image_bytes > 0)
		sim_trace(s, "logs are trimmed, behind images every %llu bytes",
			  (unsigned long long)w->image_bytes);
	if (w->log_bytes > 0)
		sim_trace(s, "and take %llu bytes at most", (unsigned long long)w->log_bytes);
	tell_faults(s);
}
