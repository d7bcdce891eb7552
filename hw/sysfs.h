/*
 * hw/sysfs.h - what the kernel's small text files say, as pure functions over text.
 *
 * Reading a file is the caller's; these see its bytes alone, so tests run on text that
 * was captured on machines we do not have.
 *
 * Limits   HW_CPUS_MAX processors; a list that names a higher one is refused.
 * Errors   false where the text is not what the kernel writes; the result is then empty.
 * Threads  none of its own.
 */
#ifndef HW_SYSFS_H
#define HW_SYSFS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HW_CPUS_MAX 1024

struct hw_cpus {
	uint64_t word[HW_CPUS_MAX / 64];
};

static inline bool
hw_cpus_has(const struct hw_cpus *cpus, uint32_t cpu)
{
	return cpu < HW_CPUS_MAX && (cpus->word[cpu / 64] >> cpu % 64 & 1) != 0;
}

static inline void
hw_cpus_add(struct hw_cpus *cpus, uint32_t cpu)
{
	if (cpu < HW_CPUS_MAX)
		cpus->word[cpu / 64] |= 1ull << cpu % 64;
}

uint32_t hw_cpus_count(const struct hw_cpus *cpus);

/* "0-3,8\n", "\n" or "(null)\n" (nohz_full where there is none): a list of processors. */
bool hw_sysfs_cpu_list(const char *text, struct hw_cpus *cpus);

/* The inverse, "0-3,8"; cut where it does not fit. */
void hw_cpus_text(const struct hw_cpus *cpus, char *out, size_t bytes);

/* "-1\n" or "0\n": a NUMA node, -1 for none known. */
bool hw_sysfs_node(const char *text, int32_t *node);

/* "512\n": a count. */
bool hw_sysfs_count(const char *text, uint64_t *count);

/* A line "MemAvailable:   12345 kB" of meminfo, or "Node 0 MemFree: 12345 kB" of a
 * node's, in bytes. `field` is the word before the colon. */
bool hw_sysfs_meminfo(const char *text, const char *field, uint64_t *bytes);

#endif /* HW_SYSFS_H */
