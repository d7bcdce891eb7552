/* tests/sim/faults.c - see sim.h: what goes wrong, and healing. */
#include "base/must.h"
#include "tests/sim/sim.h"

static uint8_t
any_process(struct sim *s)
{
	uint64_t n = random_below(&s->random, s->node_count + s->server_count);

	if (n < s->node_count)
		return (uint8_t)n;
	return sim_server_process((uint8_t)(n - s->node_count));
}

static void
cut(struct sim *s, uint8_t from, uint8_t to, uint64_t until_ns)
{
	if (from != to && s->net.cut_until_ns[from][to] < until_ns)
		s->net.cut_until_ns[from][to] = until_ns;
}

static void
cut_link(struct sim *s, uint8_t from, uint64_t until_ns)
{
	uint8_t to = any_process(s);

	sim_trace(s, "%s does not reach %s for %llu ms", word_process(from), word_process(to),
		  (unsigned long long)((until_ns - s->now_ns) / MS));
	cut(s, from, to, until_ns);
}

static void
cut_halves(struct sim *s, uint64_t until_ns)
{
	uint32_t side = (uint32_t)random_u64(&s->random);
	bool both = random_chance(&s->random, 600000);

	sim_trace(s, "the network falls in halves for %llu ms%s",
		  (unsigned long long)((until_ns - s->now_ns) / MS),
		  both ? "" : ", one of which hears the other");
	for (uint8_t a = 0; a < SIM_PROCESSES_MAX; a++) {
		for (uint8_t b = 0; b < SIM_PROCESSES_MAX; b++) {
			bool across = (side >> a & 1) != (side >> b & 1);
			if (across && (both || side >> a & 1))
				cut(s, a, b, until_ns);
		}
	}
}

/* A cable of which one strand is broken: it hears nobody, or nobody hears it. */
static void
deafen(struct sim *s, uint8_t process, uint64_t until_ns)
{
	bool deaf = random_chance(&s->random, 500000);

	sim_trace(s, "%s %s for %llu ms", word_process(process),
		  deaf ? "hears nobody" : "is heard by nobody",
		  (unsigned long long)((until_ns - s->now_ns) / MS));
	for (uint8_t other = 0; other < SIM_PROCESSES_MAX; other++)
		cut(s, deaf ? other : process, deaf ? process : other, until_ns);
}

/* As a machine whose hypervisor gave it no time, or moved it: from 1 ms to 17 minutes. */
static void
clock_jumps(struct sim *s, uint8_t process)
{
	struct sim_process *p = sim_process(s, process);
	uint64_t jump_ns = MS << random_below(&s->random, 20);

	jump_ns += random_below(&s->random, jump_ns);
	if (!p->up)
		return;
	sim_trace(s, "%s: its clock jumps by %llu ms", word_process(process),
		  (unsigned long long)(jump_ns / MS));
	p->clock_offset_ns += jump_ns;
	if (s->timer_ns[process] != UINT64_MAX)
		s->timer_ns[process] = s->now_ns + US;
}

static void
isolate(struct sim *s, uint8_t process, uint64_t until_ns)
{
	for (uint8_t other = 0; other < SIM_PROCESSES_MAX; other++) {
		cut(s, process, other, until_ns);
		cut(s, other, process, until_ns);
	}
}

/* One that led goes on to, as far as it and its servers know. */
static void
leave_behind(struct sim *s, uint8_t node, uint64_t until_ns)
{
	uint32_t with = (uint32_t)random_u64(&s->random);

	sim_trace(s, "node %u is cut off from the others for %llu ms, with servers %x", node,
		  (unsigned long long)((until_ns - s->now_ns) / MS),
		  with & ((1u << s->server_count) - 1));
	for (uint8_t other = 0; other < s->node_count; other++) {
		cut(s, node, other, until_ns);
		cut(s, other, node, until_ns);
		for (uint8_t i = 0; i < s->server_count && other != node; i++) {
			if (!(with >> i & 1))
				continue;
			cut(s, sim_server_process(i), other, until_ns);
			cut(s, other, sim_server_process(i), until_ns);
		}
	}
}

static void
log_fails(struct sim *s, uint8_t node)
{
	uint32_t failed = 0;

	for (uint32_t i = 0; i < s->node_count; i++)
		failed += s->node[i].disk.failed;
	if (failed + 1 > s->node_count / 2 || s->node[node].disk.failed ||
	    !s->node[node].process.up)
		return;
	sim_trace(s, "disk %u: fails", node);
	s->node[node].disk.failed = true;
	struct node_input in = {.kind = NODE_IN_LOG_FAILED};
	sim_node_feed(s, node, &in);
}

static void
clean_stop(struct sim *s, uint8_t node)
{
	if (!s->node[node].process.up || s->node[node].disk.failed)
		return;
	sim_trace(s, "node %u: stops orderly", node);
	disk_clean_stop(s, node);
	sim_node_crash(s, node, random_mean(&s->random, s->swarm.down_ns));
}

static void
power_fails(struct sim *s)
{
	sim_trace(s, "every node loses its power");
	for (uint8_t i = 0; i < s->node_count; i++)
		sim_node_crash(s, i, random_mean(&s->random, s->swarm.down_ns));
}

static void
process_fault(struct sim *s, enum sim_fault fault)
{
	uint8_t node = (uint8_t)random_below(&s->random, s->node_count);
	uint8_t server = (uint8_t)random_below(&s->random, s->server_count);
	uint64_t down_ns = random_mean(&s->random, s->swarm.down_ns);

	switch (fault) {
	case FAULT_NODE_CRASH:
		sim_node_crash(s, node, down_ns);
		break;
	case FAULT_SERVER_CRASH:
		server_crash(s, server, down_ns);
		break;
	case FAULT_NODE_BUDGET:
		s->node[node].process.crash_after = (uint32_t)random_between(&s->random, 1, 40);
		break;
	case FAULT_LOG_FAILS:
		log_fails(s, node);
		break;
	case FAULT_POWER:
		power_fails(s);
		break;
	case FAULT_CLEAN_STOP:
		clean_stop(s, node);
		break;
	case FAULT_BENT:
		bent_begin(s, node);
		bent_member_begin(s, node);
		break;
	case FAULT_VOTERS:
		voters_change(s, node);
		break;
	case FAULT_LEAD:
		voters_lead(s, node);
		break;
	case FAULT_EXPEL:
		groups_expel(s, node);
		break;
	case FAULT_DROP:
		groups_drop(s);
		break;
	case FAULT_FORCE:
		force_begin(s);
		break;
	case FAULT_NODES:
		comers_ask(s, node);
		break;
	case FAULT_SERVER_STOPS:
		server_stop_group(s, server);
		break;
	default:
		break;
	}
}

static void
stall(struct sim *s, uint8_t process, uint64_t until_ns)
{
	struct sim_process *p = sim_process(s, process);

	if (p->stalled_until_ns >= until_ns)
		return;
	sim_trace(s, "%s stalls for %llu ms", word_process(process),
		  (unsigned long long)((until_ns - s->now_ns) / MS));
	p->stalled_until_ns = until_ns;
}

static void
slow_disk(struct sim *s, uint64_t until_ns)
{
	uint8_t node = (uint8_t)random_below(&s->random, s->node_count);

	sim_trace(s, "disk %u: is slow for %llu ms", node,
		  (unsigned long long)((until_ns - s->now_ns) / MS));
	s->node[node].disk.slow_until_ns = until_ns;
}

static void
world_fault(struct sim *s, enum sim_fault fault)
{
	uint8_t process = any_process(s);
	uint64_t until_ns = s->now_ns + random_mean(&s->random, s->swarm.cut_ns);

	switch (fault) {
	case FAULT_CUT_ONE_WAY:
		cut_link(s, process, until_ns);
		break;
	case FAULT_ISOLATE:
		sim_trace(s, "%s is cut off for %llu ms", word_process(process),
			  (unsigned long long)((until_ns - s->now_ns) / MS));
		isolate(s, process, until_ns);
		break;
	case FAULT_HALVES:
		cut_halves(s, until_ns);
		break;
	case FAULT_LEFT_BEHIND:
		leave_behind(s, (uint8_t)random_below(&s->random, s->node_count), until_ns);
		break;
	case FAULT_SLOW_DISK:
		slow_disk(s, until_ns);
		break;
	case FAULT_STALL:
		stall(s, process, until_ns);
		break;
	case FAULT_DEAF:
		deafen(s, process, until_ns);
		break;
	case FAULT_CLOCK:
		clock_jumps(s, process);
		break;
	case FAULT_FORGED:
		sim_trace(s, "datagrams are forged");
		for (int i = 0; i < (s->sealed ? 100 : 10); i++)
			net_forge(s, any_process(s));
		if (s->sealed)
			seal_relist(s, (uint8_t)random_below(&s->random, s->node_count));
		break;
	default:
		break;
	}
}

/* FAULT_COUNT where this run has none. */
static enum sim_fault
any_fault(struct sim *s)
{
	uint32_t fault = 0;
	uint32_t all = 0;

	for (uint32_t i = 0; i < FAULT_COUNT; i++)
		all += s->swarm.fault_weight[i];
	if (all == 0)
		return FAULT_COUNT;
	uint32_t at = (uint32_t)random_below(&s->random, all);
	for (; at >= s->swarm.fault_weight[fault]; fault++)
		at -= s->swarm.fault_weight[fault];
	return (enum sim_fault)fault;
}

void
fault_next(struct sim *s)
{
	if (s->healed)
		return;
	enum sim_fault fault = any_fault(s);
	process_fault(s, fault);
	world_fault(s, fault);
	sim_push(s, random_mean(&s->random, s->swarm.fault_mean_ns), EVENT_FAULT, 0, 0);
}

/* From here on nothing goes wrong any more, and everything must come to rest. */
void
fault_heal(struct sim *s)
{
	sim_trace(s, "everything heals");
	s->healed = true;
	s->healed_ns = s->now_ns;
	s->swarm.crash_ppm = 0;
	bool rest = s->options.rate == 0 || s->submitted < s->options.submissions;
	if (rest && s->swarm.think_ns > 30 * MS)
		s->swarm.think_ns = 30 * MS; /* it comes quickly */
	memset(s->net.drop_ppm, 0, sizeof s->net.drop_ppm);
	s->net.duplicate_ppm = 0;
	s->net.late_ppm = 0;
	s->net.forge_ppm = 0;
	memset(s->net.cut_until_ns, 0, sizeof s->net.cut_until_ns);
	for (uint8_t i = 0; i < s->node_count; i++) {
		struct sim_node *n = &s->node[i];
		n->disk.slow_until_ns = 0;
		n->disk.stall_ppm = 0;
		sim_wake(s, i);
		if (n->disk.failed)
			sim_node_crash(s, i, MS);
		if (!n->process.up && n->restart_ns > s->now_ns + 500 * MS)
			sim_push(s, random_below(&s->random, 500 * MS), EVENT_RESTART, i, 0);
		seal_relist(s, i);
	}
	for (uint8_t i = 0; i < s->server_count; i++)
		sim_wake(s, sim_server_process(i));
}
