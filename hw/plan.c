/*
 * hw/plan.c - which cpus poll, which do the rest, and where memory comes from.
 *
 * A poll cpu is the only one used of its physical core: its sibling thread would share
 * the core's execution units with a loop that never pauses.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/must.h"
#include "hw/topology.h"

#define MIB (1ull << 20)

/* Adds one reason, a line of its own. */
__attribute__((format(printf, 2, 3))) static void
reason(struct hw_plan *plan, const char *format, ...)
{
	size_t used = strlen(plan->why);
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(plan->why + used, sizeof plan->why - used, format, arguments);
	va_end(arguments);
	used = strlen(plan->why);
	if (used + 1 < sizeof plan->why)
		memcpy(plan->why + used, "\n", 2);
}

static bool
core_is_taken(const struct hw_plan *plan, const struct hw_host *host, uint32_t cpu)
{
	for (uint32_t i = 0; i < plan->poll_count; i++)
		if (host->core[plan->poll_cpu[i]] == host->core[cpu])
			return true;
	return false;
}

/* The lowest isolated cpu of an untouched core, on `node` (-1: on any). */
static int32_t
next_poll_cpu(const struct hw_plan *plan, const struct hw_host *host, int32_t node)
{
	for (uint32_t cpu = 0; cpu < HW_CPUS_MAX; cpu++)
		if (hw_cpus_has(&host->isolated, cpu) && !core_is_taken(plan, host, cpu) &&
		    (node < 0 || host->node[cpu] == node))
			return (int32_t)cpu;
	return HW_CPU_NONE;
}

/* A cpu for housekeeping: not isolated, not on a poll core, near first. */
static int32_t
house_cpu(const struct hw_plan *plan, const struct hw_host *host, int32_t other_than)
{
	int32_t found = HW_CPU_NONE;
	bool near = false;

	for (uint32_t cpu = 0; cpu < HW_CPUS_MAX; cpu++) {
		bool here = plan->node < 0 || host->node[cpu] == plan->node;
		if (!hw_cpus_has(&host->allowed, cpu) || hw_cpus_has(&host->isolated, cpu) ||
		    core_is_taken(plan, host, cpu) || (int32_t)cpu == other_than)
			continue;
		if (found == HW_CPU_NONE || (here && !near)) {
			found = (int32_t)cpu;
			near = here;
		}
	}
	return found;
}

static int
choose_profile(struct hw_plan *plan, const struct hw_host *host, const struct hw_wish *wish,
	       struct hw_error *error)
{
	uint32_t isolated = hw_cpus_count(&host->isolated);
	bool few = host->core_count < HW_DEDICATED_CORES_MIN;

	if (wish->profile == HW_PROFILE_DEDICATED && few)
		return hw_error_set(error, -EINVAL,
				    "[port] profile = dedicated wants at least %d cores, this "
				    "process may use %u: set profile = shared, or give it more",
				    HW_DEDICATED_CORES_MIN, host->core_count);
	if (wish->profile == HW_PROFILE_DEDICATED && isolated == 0)
		return hw_error_set(error, -EINVAL,
				    "[port] profile = dedicated wants isolated cores and there are "
				    "none: boot with isolcpus= and nohz_full= naming them, or set "
				    "profile = shared");
	plan->profile = HW_PROFILE_SHARED;
	if (wish->profile == HW_PROFILE_SHARED)
		reason(plan, "profile shared: as configured");
	else if (few)
		reason(plan, "profile shared: %u cores, dedicated wants %d", host->core_count,
		       HW_DEDICATED_CORES_MIN);
	else if (isolated == 0)
		reason(plan, "profile shared: no isolated cores (isolcpus=, nohz_full=)");
	else
		plan->profile = HW_PROFILE_DEDICATED;
	return 0;
}

static int
choose_cpus(struct hw_plan *plan, const struct hw_host *host, uint32_t wanted,
	    struct hw_error *error)
{
	char list[128];

	for (; plan->poll_count < wanted; plan->poll_count++) {
		int32_t cpu = next_poll_cpu(plan, host, host->nic_node);
		if (cpu == HW_CPU_NONE) {
			cpu = next_poll_cpu(plan, host, -1);
			if (cpu != HW_CPU_NONE)
				reason(plan,
				       "cpu %d is on node %d, the NIC on node %d: isolate "
				       "a core of the NIC's node",
				       cpu, host->node[cpu], host->nic_node);
		}
		if (cpu == HW_CPU_NONE) {
			hw_cpus_text(&host->isolated, list, sizeof list);
			return hw_error_set(error, -EINVAL,
					    "%u poll cores are wanted, the isolated "
					    "cpus %s have %u: isolate more, or ask for fewer",
					    wanted, list, plan->poll_count);
		}
		plan->poll_cpu[plan->poll_count] = cpu;
	}
	if (plan->node < 0)
		plan->node = host->node[plan->poll_cpu[0]];
	plan->log_cpu = house_cpu(plan, host, HW_CPU_NONE);
	plan->control_cpu = house_cpu(plan, host, plan->log_cpu);
	if (plan->control_cpu == HW_CPU_NONE)
		plan->control_cpu = plan->log_cpu;
	if (plan->log_cpu == HW_CPU_NONE)
		return hw_error_set(error, -EINVAL,
				    "every allowed cpu is isolated or a poll core: "
				    "leave one to the log's completions and the control thread");
	reason(plan, "profile dedicated: %u cores, isolated cpus are there", host->core_count);
	return 0;
}

static int
choose_memory(struct hw_plan *plan, const struct hw_host *host, const struct hw_wish *wish,
	      struct hw_error *error)
{
	uint64_t huge = 0;

	for (uint32_t node = 0; node < host->node_count; node++)
		if (plan->node < 0 || (int32_t)node == plan->node)
			huge += host->huge_free[node];
	plan->pool_bytes = wish->pool_bytes;
	plan->hugepages = wish->hugepages == HW_HUGEPAGES_AUTO && huge >= wish->pool_bytes;
	if (plan->hugepages) {
		reason(plan, "hugepages: %llu MiB free", (unsigned long long)(huge / MIB));
		return 0;
	}
	if (wish->pool_bytes > host->memory_available)
		return hw_error_set(
			error, -ENOMEM,
			"[memory] pool_bytes = %llu MiB, the host has %llu MiB available: "
			"lower pool_bytes, or free memory",
			(unsigned long long)(wish->pool_bytes / MIB),
			(unsigned long long)(host->memory_available / MIB));
	if (wish->hugepages == HW_HUGEPAGES_OFF)
		reason(plan, "hugepages off: as configured");
	else
		reason(plan, "hugepages off: %llu MiB free, %llu wanted (vm.nr_hugepages = %llu)",
		       (unsigned long long)(huge / MIB),
		       (unsigned long long)(wish->pool_bytes / MIB),
		       (unsigned long long)((wish->pool_bytes + 2 * MIB - 1) / (2 * MIB)));
	return 0;
}

int
hw_plan_make(struct hw_plan *plan, const struct hw_host *host, const struct hw_wish *wish,
	     struct hw_error *error)
{
	uint32_t wanted = wish->poll_cores ? wish->poll_cores : 1;

	must(wanted <= HW_POLL_MAX);
	memset(plan, 0, sizeof *plan);
	plan->log_cpu = plan->control_cpu = HW_CPU_NONE;
	plan->node = host->node_count > 1 ? host->nic_node : -1;
	int code = choose_profile(plan, host, wish, error);
	if (code == 0 && plan->profile == HW_PROFILE_DEDICATED)
		code = choose_cpus(plan, host, wanted, error);
	return code == 0 ? choose_memory(plan, host, wish, error) : code;
}

static void
cpu_text(char *out, size_t bytes, int32_t cpu)
{
	if (cpu == HW_CPU_NONE)
		snprintf(out, bytes, "any");
	else
		snprintf(out, bytes, "%d", cpu);
}

void
hw_plan_text(const struct hw_plan *plan, char *out, size_t bytes)
{
	struct hw_cpus polls = {0};
	char poll[128], log[16], control[16], node[16];

	for (uint32_t i = 0; i < plan->poll_count; i++)
		hw_cpus_add(&polls, (uint32_t)plan->poll_cpu[i]);
	hw_cpus_text(&polls, poll, sizeof poll);
	cpu_text(log, sizeof log, plan->log_cpu);
	cpu_text(control, sizeof control, plan->control_cpu);
	cpu_text(node, sizeof node, plan->node);
	snprintf(out, bytes,
		 "plan: profile %s, poll cpus %s, log cpu %s, control cpu %s\n"
		 "plan: pool %llu MiB, %s pages, NUMA node %s\n"
		 "%s",
		 plan->profile == HW_PROFILE_DEDICATED ? "dedicated" : "shared",
		 plan->poll_count ? poll : "any", log, control,
		 (unsigned long long)(plan->pool_bytes / MIB), plan->hugepages ? "huge" : "normal",
		 node, plan->why);
}
