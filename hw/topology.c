/* hw/topology.c - the host's facts, from hwloc and from small files. */
#include "hw/topology.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <hwloc.h>

#define FILE_TEXT_BYTES 8192

/* The file's beginning as text; empty where it cannot be read. */
static bool
read_text(char *text, const char *root, const char *path)
{
	char full[PATH_MAX];

	text[0] = '\0';
	snprintf(full, sizeof full, "%s%s", root, path);
	int fd = open(full, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	ssize_t n = read(fd, text, FILE_TEXT_BYTES - 1);
	close(fd);
	text[n > 0 ? n : 0] = '\0';
	return n >= 0;
}

static void
read_isolated(struct hw_host *host, const char *root)
{
	char text[FILE_TEXT_BYTES];
	struct hw_cpus isolated;

	memset(&host->isolated, 0, sizeof host->isolated);
	if (!read_text(text, root, "/sys/devices/system/cpu/isolated") ||
	    !hw_sysfs_cpu_list(text, &isolated))
		return;
	for (uint32_t i = 0; i < HW_CPUS_MAX / 64; i++)
		host->isolated.word[i] = isolated.word[i] & host->allowed.word[i];
}

static void
read_hugepages(struct hw_host *host, const char *root)
{
	static const struct {
		const char *name;
		uint64_t bytes;
	} size[] = {{"2048kB", 2ull << 20}, {"1048576kB", 1ull << 30}};
	char text[FILE_TEXT_BYTES], path[128];

	for (uint32_t node = 0; node < host->node_count; node++) {
		for (size_t i = 0; i < sizeof size / sizeof size[0]; i++) {
			uint64_t count;
			snprintf(path, sizeof path,
				 "/sys/devices/system/node/node%u/hugepages/hugepages-%s/"
				 "free_hugepages",
				 node, size[i].name);
			bool read = read_text(text, root, path);
			if (!read && host->node_count == 1) { /* a kernel without NUMA */
				snprintf(path, sizeof path,
					 "/sys/kernel/mm/hugepages/hugepages-%s/free_hugepages",
					 size[i].name);
				read = read_text(text, root, path);
			}
			if (read && hw_sysfs_count(text, &count))
				host->huge_free[node] += count * size[i].bytes;
		}
	}
}

/* Answers false when the device is named but not there. */
static bool
read_nic(struct hw_host *host, const struct hw_host_options *options)
{
	char text[FILE_TEXT_BYTES], path[192];

	host->nic_node = -1;
	if (!options->nic)
		return true;
	snprintf(path, sizeof path, "/sys/bus/pci/devices/%s/numa_node", options->nic);
	if (read_text(text, options->root, path))
		return hw_sysfs_node(text, &host->nic_node);
	snprintf(path, sizeof path, "/sys/class/net/%s/device/numa_node", options->nic);
	if (read_text(text, options->root, path))
		return hw_sysfs_node(text, &host->nic_node);
	/* A virtual interface has no device, but it is there. */
	snprintf(path, sizeof path, "/sys/class/net/%s/ifindex", options->nic);
	return read_text(text, options->root, path);
}

static void
take_cores(struct hw_host *host, hwloc_topology_t topology)
{
	int core_count = hwloc_get_nbobjs_by_type(topology, HWLOC_OBJ_CORE);
	hwloc_const_cpuset_t allowed = hwloc_topology_get_allowed_cpuset(topology);

	for (hwloc_obj_t pu = NULL;
	     (pu = hwloc_get_next_obj_by_type(topology, HWLOC_OBJ_PU, pu)) != NULL;) {
		if (pu->os_index >= HW_CPUS_MAX || !hwloc_bitmap_isset(allowed, pu->os_index))
			continue;
		hwloc_obj_t core =
			core_count > 0
				? hwloc_get_ancestor_obj_by_type(topology, HWLOC_OBJ_CORE, pu)
				: NULL;
		hwloc_obj_t node = NULL;
		while ((node = hwloc_get_next_obj_by_type(topology, HWLOC_OBJ_NUMANODE, node)) !=
		       NULL)
			if (hwloc_bitmap_isset(node->cpuset, pu->os_index))
				host->node[pu->os_index] = (int16_t)node->os_index;
		host->core[pu->os_index] =
			(uint16_t)(core ? core->logical_index : pu->logical_index);
		hw_cpus_add(&host->allowed, pu->os_index);
	}
}

static void
count_cores(struct hw_host *host)
{
	struct hw_cpus seen = {0};

	for (uint32_t cpu = 0; cpu < HW_CPUS_MAX; cpu++)
		if (hw_cpus_has(&host->allowed, cpu))
			hw_cpus_add(&seen, host->core[cpu]);
	host->core_count = hw_cpus_count(&seen);
}

static int
read_hwloc(struct hw_host *host, const char *synthetic)
{
	hwloc_topology_t topology;

	if (hwloc_topology_init(&topology) != 0)
		return -ENOMEM;
	int code = 0;
	if (synthetic && hwloc_topology_set_synthetic(topology, synthetic) != 0)
		code = -EINVAL;
	if (code == 0 && hwloc_topology_load(topology) != 0)
		code = -errno;
	if (code == 0) {
		int nodes = hwloc_get_nbobjs_by_type(topology, HWLOC_OBJ_NUMANODE);
		host->node_count = nodes < 1 ? 1 : (uint32_t)nodes;
		if (host->node_count > HW_NUMA_MAX)
			host->node_count = HW_NUMA_MAX;
		take_cores(host, topology);
		count_cores(host);
	}
	hwloc_topology_destroy(topology);
	return code;
}

int
hw_host_read(struct hw_host *host, const struct hw_host_options *options, struct hw_error *error)
{
	char text[FILE_TEXT_BYTES];

	memset(host, 0, sizeof *host);
	int code = read_hwloc(host, options->synthetic);
	if (code != 0)
		return hw_error_set(error, code,
				    "the host's processors cannot be read: %s: mount "
				    "/sys in this container",
				    strerror(-code));
	read_isolated(host, options->root);
	read_hugepages(host, options->root);
	read_text(text, options->root, "/proc/meminfo");
	if (!hw_sysfs_meminfo(text, "MemAvailable", &host->memory_available))
		return hw_error_set(error, -EIO,
				    "/proc/meminfo does not say MemAvailable: mount "
				    "/proc in this container");
	if (!read_nic(host, options))
		return hw_error_set(error, -ENODEV,
				    "there is no network device %s: correct the "
				    "name in [port] eal, or bind the device first",
				    options->nic);
	return 0;
}
