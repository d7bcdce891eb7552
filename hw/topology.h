/*
 * hw/topology.h - what the host is, and the plan of cores and memory made from it.
 *
 *     hw_host_read()   hwloc and sysfs into a struct: facts
 *     hw_plan_make()   facts and wishes into a plan, or a refusal: a pure function
 *     hw_plan_text()   the plan with its reasons, for the start's output and `status`
 *
 * Two profiles. Dedicated: poll cores are ours and spin; they must be isolated, because
 * a core that the scheduler also gives to others stalls for whole ticks, and a spinning
 * poller starves the kernel's own completions of our log writes. Shared: nothing is
 * pinned and the loop sleeps when idle; the default wherever the host is not tuned,
 * that is below HW_DEDICATED_CORES_MIN cores or without isolated ones.
 *
 * Units    cpus are the kernel's numbers; cores are physical, whatever threads they run.
 * Limits   HW_CPUS_MAX cpus, HW_NUMA_MAX nodes, HW_POLL_MAX poll cores.
 * Errors   0 or -errno, and a sentence with the remedy.
 * Threads  none of its own.
 */
#ifndef HW_TOPOLOGY_H
#define HW_TOPOLOGY_H

#include "hw/config.h"
#include "hw/error.h"
#include "hw/sysfs.h"

#define HW_NUMA_MAX            64
#define HW_POLL_MAX            16
#define HW_DEDICATED_CORES_MIN 4
#define HW_CPU_NONE            (-1)

struct hw_host {
	struct hw_cpus allowed;  /* online and open to this process */
	struct hw_cpus isolated; /* of those, kept free of other threads */
	uint16_t core[HW_CPUS_MAX];
	int16_t node[HW_CPUS_MAX];
	uint32_t core_count; /* distinct among `allowed` */
	uint32_t node_count;
	uint64_t huge_free[HW_NUMA_MAX]; /* bytes in free hugepages, of both sizes */
	uint64_t memory_available;       /* bytes */
	int32_t nic_node;                /* -1: not known, or one node */
};

struct hw_host_options {
	const char *root;      /* in front of /sys and /proc; "" for this host */
	const char *synthetic; /* hwloc's description of another host; NULL: this one */
	const char *nic;       /* PCI address or interface name; NULL: none */
};

struct hw_wish {
	enum hw_profile profile;
	enum hw_hugepages hugepages;
	uint64_t pool_bytes;
	uint32_t poll_cores; /* 0: one */
};

struct hw_plan {
	enum hw_profile profile; /* never auto */
	uint32_t poll_count;     /* pinned poll cores; 0 in the shared profile */
	int32_t poll_cpu[HW_POLL_MAX];
	int32_t log_cpu;     /* the log's helper and completions; HW_CPU_NONE: not pinned */
	int32_t control_cpu; /* control thread and exporter */
	int32_t node;        /* where memory comes from; -1: anywhere */
	bool hugepages;
	uint64_t pool_bytes;
	char why[768]; /* the reasons, a line each */
};

int hw_host_read(struct hw_host *host, const struct hw_host_options *options,
		 struct hw_error *error);
int hw_plan_make(struct hw_plan *plan, const struct hw_host *host, const struct hw_wish *wish,
		 struct hw_error *error);
void hw_plan_text(const struct hw_plan *plan, char *out, size_t bytes);

#endif /* HW_TOPOLOGY_H */
