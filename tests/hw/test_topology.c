/* The host from captured text and described topologies; the plan, and its refusals. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "hw/topology.h"

static struct hw_host host;
static struct hw_plan plan;
static struct hw_error error;

/* Two sockets of four cores of two threads, as a server has them. Cpu n and n + 8 are
 * the threads of one core; 0-3 and 8-11 are on node 0. */
static void
make_server(const char *isolated, int32_t nic_node)
{
	memset(&host, 0, sizeof host);
	for (uint32_t cpu = 0; cpu < 16; cpu++) {
		hw_cpus_add(&host.allowed, cpu);
		host.core[cpu] = (uint16_t)(cpu % 8);
		host.node[cpu] = (int16_t)(cpu % 8 / 4);
	}
	cr_assert(hw_sysfs_cpu_list(isolated, &host.isolated));
	host.core_count = 8;
	host.node_count = 2;
	host.memory_available = 64ull << 30;
	host.nic_node = nic_node;
}

static int
make_plan(enum hw_profile profile, uint32_t poll_cores)
{
	struct hw_wish wish = {
		.profile = profile, .pool_bytes = 256 << 20, .poll_cores = poll_cores};
	return hw_plan_make(&plan, &host, &wish, &error);
}

Test(hw_sysfs, cpu_lists_as_the_kernel_writes_them)
{
	struct hw_cpus cpus;
	char text[64];

	cr_assert(hw_sysfs_cpu_list("0-3,8,10-11\n", &cpus));
	cr_assert_eq(hw_cpus_count(&cpus), 7);
	cr_assert(hw_cpus_has(&cpus, 8));
	cr_assert(!hw_cpus_has(&cpus, 9));
	hw_cpus_text(&cpus, text, sizeof text);
	cr_assert_str_eq(text, "0-3,8,10-11");
	cr_assert(hw_sysfs_cpu_list("1023\n", &cpus));
	hw_cpus_text(&cpus, text, sizeof text);
	cr_assert_str_eq(text, "1023");
	cr_assert(hw_sysfs_cpu_list("\n", &cpus));
	cr_assert_eq(hw_cpus_count(&cpus), 0);
	cr_assert(hw_sysfs_cpu_list("  (null)\n" + 2, &cpus), "nohz_full without any");
}

Test(hw_sysfs, what_the_kernel_does_not_write_is_refused)
{
	static const char *bad[] = {"a",      "1-",  "3-1", "1,,2", "1024",
				    "0-4096", "1 2", "-1",  "1-2-3"};
	struct hw_cpus cpus;
	uint64_t number;
	int32_t node;

	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		cr_assert(!hw_sysfs_cpu_list(bad[i], &cpus), "%s", bad[i]);
		cr_assert_eq(hw_cpus_count(&cpus), 0);
	}
	cr_assert(!hw_sysfs_count("", &number));
	cr_assert(!hw_sysfs_count("12x\n", &number));
	cr_assert(hw_sysfs_count("512\n", &number));
	cr_assert_eq(number, 512);
	cr_assert(hw_sysfs_node("-1\n", &node));
	cr_assert_eq(node, -1);
	cr_assert(hw_sysfs_node("1\n", &node));
	cr_assert_eq(node, 1);
	cr_assert(!hw_sysfs_node("-2\n", &node));
	cr_assert(!hw_sysfs_node("x\n", &node));
}

Test(hw_sysfs, meminfo_finds_the_whole_word)
{
	static const char text[] = "MemTotal:       16384256 kB\nMemFree:          112 kB\n"
				   "MemAvailable:    8123456 kB\nHugePages_Free:        4\n";
	uint64_t bytes;

	cr_assert(hw_sysfs_meminfo(text, "MemAvailable", &bytes));
	cr_assert_eq(bytes, 8123456ull * 1024);
	cr_assert(hw_sysfs_meminfo("Node 0 MemFree: 12 kB\n", "MemFree", &bytes));
	cr_assert_eq(bytes, 12 * 1024);
	cr_assert(!hw_sysfs_meminfo(text, "Available", &bytes));
	cr_assert(!hw_sysfs_meminfo(text, "HugePages_Free", &bytes), "not in kB");
}

Test(hw_topology, dedicated_poll_core_is_near_the_nic_and_alone_on_its_core)
{
	make_server("2-3,6-7,10-11,14-15", 1);
	cr_assert_eq(make_plan(HW_PROFILE_AUTO, 2), 0, "%s", error.text);
	cr_assert_eq(plan.profile, HW_PROFILE_DEDICATED);
	cr_assert_eq(plan.poll_count, 2);
	cr_assert_eq(plan.poll_cpu[0], 6);
	cr_assert_eq(plan.poll_cpu[1], 7, "14 is the sibling of 6");
	cr_assert_eq(plan.node, 1);
	cr_assert_eq(plan.log_cpu, 4);
	cr_assert_eq(plan.control_cpu, 5);
}

Test(hw_topology, a_poll_core_far_from_the_nic_is_said)
{
	make_server("2", 1);
	cr_assert_eq(make_plan(HW_PROFILE_AUTO, 1), 0, "%s", error.text);
	cr_assert_eq(plan.poll_cpu[0], 2);
	cr_assert(strstr(plan.why, "the NIC on node 1"), "%s", plan.why);
}

/* Cpu 10 shares its core with poll cpu 2: it would be a bad place for the log. */
Test(hw_topology, housekeeping_avoids_the_poll_cores_sibling)
{
	make_server("2", 0);
	for (uint32_t cpu = 0; cpu < 2; cpu++)
		host.allowed.word[0] &= ~(1ull << cpu);
	host.allowed.word[0] &= ~(1ull << 3 | 1ull << 8 | 1ull << 9 | 1ull << 11);
	cr_assert_eq(make_plan(HW_PROFILE_AUTO, 1), 0, "%s", error.text);
	cr_assert_eq(plan.log_cpu, 4, "of node 1, since node 0 has only 10 left");
}

Test(hw_topology, shared_where_cores_are_few_or_not_isolated)
{
	make_server("", 0);
	cr_assert_eq(make_plan(HW_PROFILE_AUTO, 1), 0);
	cr_assert_eq(plan.profile, HW_PROFILE_SHARED);
	cr_assert_eq(plan.poll_count, 0);
	cr_assert_eq(plan.log_cpu, HW_CPU_NONE);
	cr_assert(strstr(plan.why, "no isolated cores"));

	make_server("2-3", 0);
	host.core_count = 3;
	cr_assert_eq(make_plan(HW_PROFILE_AUTO, 1), 0);
	cr_assert_eq(plan.profile, HW_PROFILE_SHARED);
	cr_assert(strstr(plan.why, "3 cores"));

	make_server("2-3", 0);
	cr_assert_eq(make_plan(HW_PROFILE_SHARED, 1), 0);
	cr_assert_eq(plan.profile, HW_PROFILE_SHARED);
	cr_assert(strstr(plan.why, "as configured"));
}

Test(hw_topology, dedicated_is_refused_with_the_remedy)
{
	make_server("2-3", 0);
	host.core_count = 2;
	cr_assert_eq(make_plan(HW_PROFILE_DEDICATED, 1), -EINVAL);
	cr_assert(strstr(error.text, "set profile = shared"), "%s", error.text);
	make_server("", 0);
	cr_assert_eq(make_plan(HW_PROFILE_DEDICATED, 1), -EINVAL);
	cr_assert(strstr(error.text, "isolcpus="), "%s", error.text);
	make_server("2,10", 0);
	cr_assert_eq(make_plan(HW_PROFILE_DEDICATED, 2), -EINVAL);
	cr_assert(strstr(error.text, "isolated cpus 2,10 have 1"), "%s", error.text);
	make_server("0-15", 0);
	cr_assert_eq(make_plan(HW_PROFILE_DEDICATED, 1), -EINVAL);
	cr_assert(strstr(error.text, "leave one"), "%s", error.text);
}

Test(hw_topology, hugepages_of_the_right_node_or_normal_pages)
{
	make_server("6", 1);
	host.huge_free[0] = 1ull << 30;
	cr_assert_eq(make_plan(HW_PROFILE_AUTO, 1), 0);
	cr_assert(!plan.hugepages, "they are on the other node");
	cr_assert(strstr(plan.why, "vm.nr_hugepages = 128"), "%s", plan.why);
	host.huge_free[1] = 256 << 20;
	cr_assert_eq(make_plan(HW_PROFILE_AUTO, 1), 0);
	cr_assert(plan.hugepages);

	host.huge_free[1] = 0;
	host.memory_available = 100 << 20;
	cr_assert_eq(make_plan(HW_PROFILE_AUTO, 1), -ENOMEM);
	cr_assert(strstr(error.text, "lower pool_bytes"), "%s", error.text);
}

Test(hw_topology, the_plan_is_printed_whole)
{
	char text[1024];

	make_server("2-3", 0);
	cr_assert_eq(make_plan(HW_PROFILE_AUTO, 2), 0);
	hw_plan_text(&plan, text, sizeof text);
	cr_assert(strstr(text, "profile dedicated, poll cpus 2-3, log cpu 0, control cpu 1\n"),
		  "%s", text);
	cr_assert(strstr(text, "pool 256 MiB, normal pages, NUMA node 0\n"), "%s", text);
}

/* A captured host: a folder that stands in front of /sys and /proc. */
static char root[64];

static void
put_file(const char *path, const char *text)
{
	char full[512];

	snprintf(full, sizeof full, "%s%s", root, path);
	for (char *at = full + strlen(root) + 1; (at = strchr(at, '/')) != NULL; at++) {
		*at = '\0';
		mkdir(full, 0700);
		*at = '/';
	}
	FILE *file = fopen(full, "w");
	cr_assert(file != NULL, "%s", full);
	fputs(text, file);
	fclose(file);
}

static void
capture(void)
{
	snprintf(root, sizeof root, "hw-root-XXXXXX");
	cr_assert(mkdtemp(root) != NULL);
	put_file("/proc/meminfo", "MemTotal: 100 kB\nMemAvailable: 4194304 kB\n");
	put_file("/sys/devices/system/cpu/isolated", "6-7\n");
	put_file("/sys/devices/system/node/node1/hugepages/hugepages-2048kB/free_hugepages",
		 "64\n");
	put_file("/sys/devices/system/node/node1/hugepages/hugepages-1048576kB/free_hugepages",
		 "1\n");
	put_file("/sys/bus/pci/devices/0000:41:00.0/numa_node", "1\n");
	put_file("/sys/class/net/veth0/ifindex", "5\n");
}

static void
forget(void)
{
	char command[128];

	snprintf(command, sizeof command, "rm -r %s", root);
	cr_assert_eq(system(command), 0);
}

Test(hw_topology, a_captured_host_is_read, .init = capture, .fini = forget)
{
	struct hw_host_options options = {root, "node:2 core:4 pu:1", "0000:41:00.0"};

	cr_assert_eq(hw_host_read(&host, &options, &error), 0, "%s", error.text);
	cr_assert_eq(host.core_count, 8);
	cr_assert_eq(host.node_count, 2);
	cr_assert_eq(host.node[3], 0);
	cr_assert_eq(host.node[4], 1);
	cr_assert_eq(hw_cpus_count(&host.isolated), 2);
	cr_assert_eq(host.huge_free[0], 0);
	cr_assert_eq(host.huge_free[1], (128ull << 20) + (1ull << 30));
	cr_assert_eq(host.memory_available, 4ull << 30);
	cr_assert_eq(host.nic_node, 1);
	cr_assert_eq(make_plan(HW_PROFILE_AUTO, 1), 0, "%s", error.text);
	cr_assert_eq(plan.poll_cpu[0], 6);
	cr_assert(plan.hugepages);

	options.nic = "veth0";
	cr_assert_eq(hw_host_read(&host, &options, &error), 0, "%s", error.text);
	cr_assert_eq(host.nic_node, -1);
	options.nic = "eth7";
	cr_assert_eq(hw_host_read(&host, &options, &error), -ENODEV);
	cr_assert(strstr(error.text, "no network device eth7"), "%s", error.text);
	options = (struct hw_host_options){root, "core:2 pu:2", NULL};
	cr_assert_eq(hw_host_read(&host, &options, &error), 0, "%s", error.text);
	cr_assert_eq(host.core_count, 2);
	cr_assert_eq(hw_cpus_count(&host.allowed), 4);
}

Test(hw_topology, this_host_is_read)
{
	struct hw_host_options options = {"", NULL, NULL};

	cr_assert_eq(hw_host_read(&host, &options, &error), 0, "%s", error.text);
	cr_assert_geq(host.core_count, 1);
	cr_assert_geq(hw_cpus_count(&host.allowed), host.core_count);
	cr_assert_gt(host.memory_available, 0);
}
