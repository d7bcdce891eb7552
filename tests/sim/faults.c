/* tests/sim/faults.c - see sim.h: what goes wrong, and healing. */
#include "base/must.h"
#include "tests/sim/sim.h"

/* A run draws which of these it may meet: one that has all of them all the time shows
 * little of what each does alone. */
enum fault {
	FAULT_NODE_CRASH = 0,
	FAULT_SERVER_CRASH = 1,
	FAULT_NODE_BUDGET = 2,
	FAULT_CUT_ONE_WAY = 3,
	FAULT_ISOLATE = 4,
	FAULT_HALVES = 5,
	FAULT_SLOW_DISK = 6,
	FAULT_LOG_FAILS = 7,
	FAULT_POWER = 8,
	FAULT_STALL = 9,
	FAULT_CLEAN_STOP = 10,
	FAULT_SERVER_STOPS = 11,
	FAULT_FORGED = 12,
	FAULT_BENT = 13,
	FAULT_VOTERS = 14,
	FAULT_COUNT = 15,
};

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
cut_halves(struct sim *s, uint64_t until_ns)
{
	uint64_t side = random_u64(&s->random);

	for (uint8_t a = 0; a < SIM_PROCESSES_MAX; a++) {
		for (uint8_t b = 0; b < SIM_PROCESSES_MAX; b++) {
			if ((side >> a & 1) != (side >> b & 1))
				cut(s, a, b, until_ns);
		}
	}
}

static void
isolate(struct sim *s, uint8_t process, uint64_t until_ns)
{
	for (uint8_t other = 0; other < SIM_PROCESSES_MAX; other++) {
		cut(s, process, other, until_ns);
		cut(s, other, process, until_ns);
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
	sim_node_crash(s, node, random_mean(&s->random, s->down_ns));
}

static void
power_fails(struct sim *s)
{
	sim_trace(s, "every node loses its power");
	for (uint8_t i = 0; i < s->node_count; i++)
		sim_node_crash(s, i, random_mean(&s->random, s->down_ns));
}

static void
process_fault(struct sim *s, enum fault fault)
{
	uint8_t node = (uint8_t)random_below(&s->random, s->node_count);
	uint8_t server = (uint8_t)random_below(&s->random, s->server_count);
	uint64_t down_ns = random_mean(&s->random, s->down_ns);

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
		break;
	case FAULT_VOTERS:
		voters_change(s, node);
		break;
	case FAULT_SERVER_STOPS:
		server_stop_group(s, server);
		break;
	default:
		break;
	}
}

static void
world_fault(struct sim *s, enum fault fault)
{
	uint8_t process = any_process(s);
	uint64_t until_ns = s->now_ns + random_mean(&s->random, 400 * MS);

	switch (fault) {
	case FAULT_CUT_ONE_WAY:
		cut(s, process, any_process(s), until_ns);
		break;
	case FAULT_ISOLATE:
		sim_trace(s, "process %u is cut off", process);
		isolate(s, process, until_ns);
		break;
	case FAULT_HALVES:
		sim_trace(s, "the network falls in halves");
		cut_halves(s, until_ns);
		break;
	case FAULT_SLOW_DISK:
		s->node[random_below(&s->random, s->node_count)].disk.slow_until_ns = until_ns;
		break;
	case FAULT_STALL:
		sim_trace(s, "process %u stalls", process);
		sim_process(s, process)->stalled_until_ns = until_ns;
		break;
	case FAULT_FORGED:
		for (int i = 0; i < (s->sealed ? 100 : 10); i++)
			net_forge(s, any_process(s));
		if (s->sealed)
			seal_relist(s, (uint8_t)random_below(&s->random, s->node_count));
		break;
	default:
		break;
	}
}

void
fault_next(struct sim *s)
{
	if (s->healed)
		return;
	enum fault fault = (enum fault)random_below(&s->random, FAULT_COUNT);
	if (s->fault_bits >> fault & 1) {
		process_fault(s, fault);
		world_fault(s, fault);
	}
	sim_push(s, random_mean(&s->random, s->fault_mean_ns), EVENT_FAULT, 0, 0);
}

/* From here on nothing goes wrong any more, and everything must come to rest. */
void
fault_heal(struct sim *s)
{
	sim_trace(s, "everything heals");
	s->healed = true;
	s->healed_ns = s->now_ns;
	s->crash_ppm = 0;
	bent_healed(s);
	bool rest = s->options.rate == 0 || s->submitted < s->options.submissions;
	if (rest && s->think_ns > 30 * MS)
		s->think_ns = 30 * MS; /* it comes quickly */
	s->net.drop_ppm = 0;
	s->net.duplicate_ppm = 0;
	s->net.late_ppm = 0;
	s->net.forge_ppm = 0;
	memset(s->net.cut_until_ns, 0, sizeof s->net.cut_until_ns);
	for (uint8_t i = 0; i < s->node_count; i++) {
		struct sim_node *n = &s->node[i];
		n->disk.slow_until_ns = 0;
		n->process.stalled_until_ns = 0;
		if (n->disk.failed)
			sim_node_crash(s, i, MS);
		if (!n->process.up && n->restart_ns > s->now_ns + 500 * MS)
			sim_push(s, random_below(&s->random, 500 * MS), EVENT_RESTART, i, 0);
		seal_relist(s, i);
	}
	for (uint32_t i = 0; i < s->server_count; i++)
		s->server[i].process.stalled_until_ns = 0;
}
