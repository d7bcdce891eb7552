/* The plan: what three nodes of one configuration make of it, and what is refused. */
#include <criterion/criterion.h>
#include <errno.h>

#include "dpdk/plan.h"

static const struct hw_plan machine = {
	.profile = HW_PROFILE_SHARED, .log_cpu = HW_CPU_NONE, .control_cpu = HW_CPU_NONE};

/* Ids in no order, so that numbers must come from them and not from the list. */
static struct hw_config
config_of(uint32_t id)
{
	struct hw_config c;
	struct hw_error error;
	char text[1024];

	snprintf(text, sizeof text,
		 "[node]\nid = %u\naddress = 10.77.0.%u:4000\n"
		 "[appliance]\nnodes = 9@10.77.0.9:4000, 2@10.77.0.2:4000, 5@10.77.0.5:4000\n"
		 "[port]\neal = --vdev net_af_packet0,iface=veA,qdisc_bypass=1\n",
		 id, id);
	cr_assert_eq(hw_config_parse(&c, "test", text, &error), 0, "%s", error.text);
	return c;
}

static struct plan
plan_of(const struct hw_config *config)
{
	struct plan plan;
	struct hw_error error;

	cr_assert_eq(plan_make(&plan, config, &machine, &error), 0, "%s", error.text);
	return plan;
}

static void
expect_refusal(const struct hw_config *config, const char *words)
{
	struct plan plan;
	struct hw_error error = {0};

	cr_assert_eq(plan_make(&plan, config, &machine, &error), -EINVAL);
	cr_assert(strstr(error.text, words), "%s", error.text);
}

Test(dpdk_plan, every_node_counts_alike)
{
	static const uint32_t id[3] = {2, 5, 9};
	struct hw_config config[3];
	struct plan plan[3];
	uint8_t epoch[3][EPOCH_BYTES];

	for (uint8_t i = 0; i < 3; i++) {
		config[i] = config_of(id[i]);
		plan[i] = plan_of(&config[i]);
		plan_new_epoch(&plan[i], epoch[i]);
		cr_assert_eq(plan[i].node.self, i);
		cr_assert_eq(plan[i].address.ipv4, 0x0a4d0000u + id[i]);
		cr_assert_eq(plan[i].address.port, 4000);
		cr_assert_arr_eq(plan[i].node.uuid, plan[0].node.uuid, sizeof plan[0].node.uuid);
		cr_assert_arr_eq(epoch[i], epoch[0], EPOCH_BYTES);
		cr_assert_arr_eq(plan[i].log.server, plan[i].node.uuid[i], 16);
	}
}

/* Id 9 has number 0, and 5 is nobody's yet; who votes is not for this file to say. */
Test(dpdk_plan, one_that_joins_says_the_numbers_and_knows_no_voters)
{
	struct hw_config config = config_of(2);
	uint8_t uuid[16];

	config.nodes.numbered = true;
	config.nodes.node[0].number = 0;
	config.nodes.node[1].number = 3;
	config.nodes.node[2].number = 5;
	snprintf(config.joins, sizeof config.joins, "2:%032d", 7);
	cr_assert_eq(plan_of(&config).node.votes_from, 0, "its disk is the first");
	config.votes_after = 2 << 16 | 5;
	struct node_config n = plan_of(&config).node;
	cr_assert_eq(n.votes_from, (2 << 16 | 5) + 1);
	cr_assert_eq(n.self, 3);
	cr_assert_eq(n.node_count, 6);
	cr_assert_eq(n.absent, 0x16);
	cr_assert(n.joins);
	cr_assert_eq(n.voters, 0);
	cr_assert_eq(n.leader, 0);
	cr_assert_eq(n.forced.number, 2);
	cr_assert_eq(n.forced.voters, 0);
	plan_node_uuid(9, uuid);
	cr_assert_arr_eq(n.uuid[0], uuid, sizeof uuid);
	snprintf(config.joins, sizeof config.joins, "2:%031dx", 7);
	expect_refusal(&config, "joins is the epoch");
}

/* Its file may be that of a spare, which names nobody who votes. */
Test(dpdk_plan, one_that_joins_may_list_spares_alone)
{
	struct hw_config config = config_of(2);

	snprintf(config.joins, sizeof config.joins, "2:%032d", 7);
	for (uint32_t i = 0; i < config.nodes.count; i++)
		config.spares.id[config.spares.count++] = config.nodes.node[i].id;
	struct node_config n = plan_of(&config).node;
	cr_assert(n.joins);
	cr_assert_eq(n.voters, 0);
	cr_assert_neq(n.leader, n.self);
	cr_assert_lt(n.leader, n.node_count);
}

Test(dpdk_plan, another_list_of_nodes_is_another_epoch)
{
	struct hw_config config = config_of(2);
	struct plan plan = plan_of(&config);
	uint8_t epoch[EPOCH_BYTES], other[EPOCH_BYTES];

	plan_new_epoch(&plan, epoch);
	config.nodes.node[0].address.port++;
	plan = plan_of(&config);
	plan_new_epoch(&plan, other);
	cr_assert_arr_neq(epoch, other, EPOCH_BYTES);
	memset(config.epoch, 7, EPOCH_BYTES);
	plan = plan_of(&config);
	plan_new_epoch(&plan, other);
	cr_assert_arr_eq(other, config.epoch, EPOCH_BYTES);
}

/* A log in memory is never full; one on a disk has room for the images of all groups. */
Test(dpdk_plan, a_log_is_trimmed_by_quarters)
{
	struct hw_config config = config_of(2);
	cr_assert_eq(plan_of(&config).node.image_bytes, config.log_bytes_max / 4);
	config.durability = HW_DURABILITY_MEMORY;
	cr_assert_eq(plan_of(&config).node.image_bytes, 0);
	config = config_of(2);
	config.groups_max = 16;
	config.index_hashes_max = 1 << 20;
	config.log_bytes_max = 1ull << 30;
	cr_assert_eq(plan_of(&config).node.image_bytes, 1 << 28);
	config.log_bytes_max -= 1 << 20;
	expect_refusal(&config, "images of 16 groups of 1048576 row hashes take up to 257 MiB");
}

/* node_init() would trap on these: what a configuration may say is safe to run. */
Test(dpdk_plan, keeps_the_bounds_of_a_node)
{
	struct hw_config config = config_of(2);
	struct node_config n = plan_of(&config).node;

	cr_assert_eq(n.results_max & (n.results_max - 1), 0);
	cr_assert_geq(n.results_max, 4 * n.history_row);
	cr_assert_eq(n.history_blocks & (n.history_blocks - 1), 0);
	/* Nothing that the log holds is out of reach: an entry takes 47 bytes or more. */
	uint64_t reach = 47ull * n.history_row * n.history_links * n.history_blocks;
	cr_assert_geq(reach, config.log_bytes_max);
	cr_assert_geq(n.values_max, node_values_min(n.groups_max, n.horizon));
	cr_assert_lt(n.value_bytes_max + 256, n.stream_bytes / 2);
	cr_assert_eq(n.datagram_bytes_max, 1472);
	cr_assert_gt(node_size(&n), 0);
	config.durability = HW_DURABILITY_MEMORY;
	cr_assert_eq(plan_of(&config).node.history_row, 0, "it cannot be read back");
}

Test(dpdk_plan, refuses_with_a_remedy)
{
	struct hw_config config = config_of(2);

	config.pool_bytes = 1 << 20;
	expect_refusal(&config, "at least 141 MiB");
	config = config_of(2);
	config.index_hashes_max = 1u << 30;
	expect_refusal(&config, "too small to be trimmed");
	config = config_of(2);
	config.nodes.node[1].address = (struct endpoint){.address = {0xfd}, .port = 1};
	expect_refusal(&config, "IPv6");
	config = config_of(2);
	config.id = 3;
	expect_refusal(&config, "does not list");
}

Test(dpdk_plan, finds_the_card_in_the_arguments)
{
	struct hw_config config = config_of(2);
	char nic[HW_CONFIG_TEXT_BYTES];

	cr_assert(plan_nic(&config, nic));
	cr_assert_str_eq(nic, "veA");
	snprintf(config.eal, sizeof config.eal, "-l 2 -a 0000:03:00.1");
	cr_assert(plan_nic(&config, nic));
	cr_assert_str_eq(nic, "0000:03:00.1");
	snprintf(config.eal, sizeof config.eal, "--vdev net_null0");
	cr_assert_not(plan_nic(&config, nic));
}
