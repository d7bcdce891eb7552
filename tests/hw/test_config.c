/* The configuration: the sample that is shipped, and a sentence for each mistake. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>

#include "hw/config.h"

#define GOOD                                                                       \
	"[node]\nid = 2\naddress = 10.0.0.2:4000\n"                                \
	"[appliance]\nnodes = 1@10.0.0.1:4000, 2@10.0.0.2:4000, 3@10.0.0.3:4000\n" \
	"[port]\neal = --no-pci\n"

static struct hw_config config;
static struct hw_error error;

static int
parse(const char *text)
{
	return hw_config_parse(&config, "t.conf", text, &error);
}

/* `text` is refused and the sentence holds both pieces. */
static void
refused(const char *text, const char *place, const char *remedy)
{
	memset(&error, 0, sizeof error);
	cr_assert_eq(parse(text), -EINVAL, "taken: %s", text);
	cr_assert(strstr(error.text, place), "no '%s' in: %s", place, error.text);
	cr_assert(strstr(error.text, remedy), "no '%s' in: %s", remedy, error.text);
}

Test(hw_config, the_sample_parses_to_what_it_says)
{
	cr_assert_eq(hw_config_load(&config, SAMPLE_PATH, &error), 0, "%s", error.text);
	cr_assert_eq(config.id, 1);
	cr_assert_str_eq(config.name, "node-a");
	cr_assert_eq(config.addresses.count, 1);
	cr_assert_eq(endpoint_ipv4(&config.addresses.address[0]), 0x0a4d0001u);
	cr_assert_eq(config.nodes.count, 3);
	cr_assert_eq(config.nodes.node[2].id, 3);
	cr_assert_eq(config.nodes.node[2].address.port, 4000);
	cr_assert_eq(config.durability, HW_DURABILITY_DISK);
	cr_assert_eq(config.profile, HW_PROFILE_AUTO);
	cr_assert(!config.mac.given);
	cr_assert(!config.gateway.given);
	cr_assert(strstr(config.eal, "iface=synod0"));
}

/* A default that the sample shows must be the one that a missing line means. */
Test(hw_config, the_samples_defaults_are_the_defaults)
{
	struct hw_config sample;

	cr_assert_eq(hw_config_load(&sample, SAMPLE_PATH, &error), 0, "%s", error.text);
	cr_assert_eq(parse(GOOD), 0, "%s", error.text);
	cr_assert_eq(config.event_horizon, sample.event_horizon);
	cr_assert_eq(config.durability, sample.durability);
	cr_assert_eq(config.profile, sample.profile);
	cr_assert_eq(config.mtu, sample.mtu);
	cr_assert_eq(config.prefix_bits, sample.prefix_bits);
	cr_assert_str_eq(config.directory, sample.directory);
	cr_assert_eq(config.segment_bytes, sample.segment_bytes);
	cr_assert_eq(config.log_bytes_max, sample.log_bytes_max);
	cr_assert_eq(config.hugepages, sample.hugepages);
	cr_assert_eq(config.pool_bytes, sample.pool_bytes);
	cr_assert_eq(config.groups_max, sample.groups_max);
	cr_assert_eq(config.members_max, sample.members_max);
	cr_assert_eq(config.index_hashes_max, sample.index_hashes_max);
	cr_assert_eq(config.payload_bytes_max, sample.payload_bytes_max);
	cr_assert_str_eq(config.socket, sample.socket);
}

Test(hw_config, every_kind_of_value)
{
	cr_assert_eq(parse("[node]\nid=7\nname = a # b\naddress = [fd00::7]:1, 10.0.0.7:65535\n"
			   "[appliance]\nnodes = 7@[fd00::7]:1\ndurability = memory\n"
			   "epoch = 00112233-4455-6677-8899-AABBCCDDEEFF\n"
			   "[port]\r\neal = x#y\nmac = 02:00:0a:4d:00:01\ngateway = fd00::1\n"
			   "profile = dedicated\n[log]\nsegment_bytes = 2048 KiB\nlog_bytes_max = "
			   "2 GiB\n"
			   "[memory]\nhugepages = off"),
		     0, "%s", error.text);
	cr_assert_str_eq(config.name, "a");
	cr_assert_eq(config.addresses.count, 2);
	cr_assert_eq(config.addresses.address[0].address[0], 0xfd);
	cr_assert_eq(config.addresses.address[1].port, 65535);
	cr_assert_eq(config.durability, HW_DURABILITY_MEMORY);
	cr_assert_eq(config.epoch[1], 0x11);
	cr_assert_eq(config.epoch[15], 0xff);
	cr_assert_str_eq(config.eal, "x#y");
	cr_assert(config.mac.given);
	cr_assert_eq(config.mac.byte[3], 0x4d);
	cr_assert(config.gateway.given);
	cr_assert_eq(config.profile, HW_PROFILE_DEDICATED);
	cr_assert_eq(config.segment_bytes, 2u << 20);
	cr_assert_eq(config.hugepages, HW_HUGEPAGES_OFF);
}

Test(hw_config, unknown_names_are_refused_with_the_known_ones)
{
	refused(GOOD "[log]\nsegmet_bytes = 4 MiB\n",
		"t.conf:9: segmet_bytes: unknown key in [log]", "segment_bytes");
	refused(GOOD "[logs]\n", "t.conf:8: logs: unknown section", "log memory");
	refused("id = 1\n", "t.conf:1: id", "write [node] above");
	refused(GOOD "[log\n", "t.conf:8", "written [name]");
	refused(GOOD "mtu\n", "t.conf:8", "key = value");
}

Test(hw_config, bad_numbers_are_refused_with_the_range)
{
	static const char *bad[] = {"",      "-1",       "1279",  "9001",
				    "1500x", "1500 KiB", "0x600", "99999999999999999999999"};
	char text[512];

	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		snprintf(text, sizeof text, "%smtu = %s\n", GOOD, bad[i]);
		refused(text, "t.conf:8: [port] mtu", "from 1280 to 9000");
	}
	refused(GOOD "[log]\nlog_bytes_max = 18446744073709551615 GiB\n", "t.conf:9", "GiB");
	refused(GOOD "[log]\nsegment_bytes = 4 GiB\n", "t.conf:9", "MiB");
	refused(GOOD "[log]\nlog_bytes_max = 128 MiB\n", "log_bytes_max", "three segments");
	refused(GOOD "[log]\nlog_bytes_max = 65 GiB\n", "log_bytes_max", "1024 segments");
	refused(GOOD "[groups]\nindex_hashes_max = 1073741825\n", "t.conf:9", "to 1073741824");
}

Test(hw_config, bad_words_are_refused_with_the_choices)
{
	refused(GOOD "profile = fast\n", "t.conf:8", "auto shared dedicated");
	refused(GOOD "profile = share\n", "t.conf:8", "auto shared dedicated");
	refused(GOOD "profile =\n", "t.conf:8", "auto shared dedicated");
	refused(GOOD "mac = 02:00\n", "t.conf:8", "02:00:0a");
	refused(GOOD "gateway = router\n", "t.conf:8", "IPv4 or IPv6");
	refused(GOOD "[appliance]\nepoch = 12\n", "t.conf:9", "32 hexadecimal");
	refused(GOOD "[log]\ndirectory =\n", "t.conf:9", "characters");
}

Test(hw_config, bad_addresses_are_refused_with_the_form)
{
	static const char *bad[] = {"10.0.0.2",   "10.0.0.2:",    "10.0.0.2:0",  "10.0.0.2:65536",
				    "10.0.0:1",   "fd00::1:4000", "[fd00::1:40", "[10.0.0.2]:1",
				    "[fd00::1]1", "host:4000",    ":4000",       "10.0.0.2:1,"};
	char text[256];

	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		snprintf(text, sizeof text, "[node]\nid = 1\naddress = %s\n", bad[i]);
		refused(text, "t.conf:3: [node] address", "[fd00::1]:4000");
	}
	refused("[appliance]\nnodes = 10.0.0.1:1\n", "t.conf:2", "id@address:port");
	refused("[appliance]\nnodes = x@10.0.0.1:1\n", "t.conf:2: [appliance] nodes = x@10.0.0.1:1",
		"id@address:port");
}

Test(hw_config, spares_are_nodes_that_do_not_vote_at_first)
{
	cr_assert_eq(parse(GOOD "[appliance]\nspares = 1, 3\n"), 0, "%s", error.text);
	cr_assert_eq(config.nodes.count, 3);
	cr_assert_eq(config.spares.count, 2);
	cr_assert_eq(config.spares.id[1], 3);
}

Test(hw_config, certificates_go_together)
{
	static const char section[] = "[certificates]\nca = /a\nfile = /f\nkey = /k\n"
				      "groups = 0102030405060708090a0b0c0d0e0f10, "
				      "ffffffff-ffff-ffff-ffff-ffffffffffff\n";
	char text[2048];

	cr_assert_eq(parse(GOOD), 0);
	cr_assert_eq(config.certificate_ca[0], '\0');
	cr_assert_eq(config.certificate_groups.count, 0);
	snprintf(text, sizeof text, "%s%s", GOOD, section);
	cr_assert_eq(parse(text), 0, "%s", error.text);
	cr_assert_str_eq(config.certificate_chain, "/f");
	cr_assert_eq(config.certificate_groups.count, 2);
	cr_assert_eq(config.certificate_groups.uuid[0][15], 16);
	cr_assert_eq(config.certificate_groups.uuid[1][0], 0xff);
	snprintf(text, sizeof text, "%s%s[keys]\nseal = none\n", GOOD, section);
	refused(text, "[certificates]", "seal = none");
	refused(GOOD "[certificates]\nca = /a\nkey = /k\n", "[certificates]", "together");
	refused(GOOD "[certificates]\ncrl = /c\n", "[certificates]", "together");
	refused(GOOD "[certificates]\ngroups = all\n", "groups = all", "or any");
	refused(GOOD "[certificates]\ngroups = ,\n", "groups", "name a group");
}

#define JOINS "joins = 0:00112233445566778899aabbccddeeff\n"

Test(hw_config, numbers_are_all_given_or_none)
{
	cr_assert_eq(parse("[node]\nid = 4\naddress = 10.0.0.4:1\n[port]\neal = x\n"
			   "[appliance]\nnodes = 1/0@10.0.0.1:1, 4/6@10.0.0.4:1\n" JOINS),
		     0, "%s", error.text);
	cr_assert(config.nodes.numbered);
	cr_assert_eq(config.nodes.node[1].id, 4);
	cr_assert_eq(config.nodes.node[1].number, 6);
	refused("[appliance]\nnodes = 1/0@10.0.0.1:1, 2@10.0.0.2:1\n", "t.conf:2", "or none");
	refused("[appliance]\nnodes = 1/7@10.0.0.1:1\n", "t.conf:2", "0 to 6");
	refused("[appliance]\nnodes = 1/@10.0.0.1:1\n", "t.conf:2", "0 to 6");
	refused("[appliance]\nnodes = 1/2@10.0.0.1:1, 2/2@10.0.0.2:1\n", "t.conf:2",
		"duplicate number");
	refused(GOOD "[appliance]\n" JOINS, "nodes must give numbers", "synodctl node add");
}

Test(hw_config, duplicates_are_refused)
{
	refused("[node]\naddress = 10.0.0.1:1, 10.0.0.1:1\n", "t.conf:2", "duplicate address");
	refused("[node]\naddress = 10.0.0.1:1, [::ffff:10.0.0.1]:1\n", "t.conf:2",
		"duplicate address");
	refused("[appliance]\nnodes = 1@10.0.0.1:1, 2@10.0.0.1:1\n", "t.conf:2",
		"duplicate address");
	refused("[appliance]\nnodes = 1@10.0.0.1:1, 1@10.0.0.2:1\n", "t.conf:2",
		"duplicate node id");
	refused(GOOD "mtu = 1500\nmtu = 9000\n", "t.conf:9", "already in line 8");
}

Test(hw_config, what_does_not_fit_together_is_refused)
{
	refused("[node]\nid = 1\naddress = 10.0.0.1:1\n[port]\neal = x\n"
		"[appliance]\nnodes = 1@10.0.0.1:1, 2@10.0.0.2:1\n",
		"2 nodes", "1, 3, 5 or 7");
	refused(GOOD "[appliance]\nspares = 3\n", "2 nodes that vote", "1, 3, 5 or 7");
	refused(GOOD "[appliance]\nspares = 4\n", "spares names node 4", "add it there");
	refused("[appliance]\nspares = 4, x\n", "t.conf:2", "ids of nodes");
	refused("[appliance]\nspares = 4, 4\n", "t.conf:2", "duplicate id");
	refused("[node]\nid = 1\n", "[node] address is missing", "no default");
	refused("[node]\nid = 2\naddress = 10.0.0.2:1\n[appliance]\nnodes = 1@10.0.0.1:1\n"
		"[port]\neal = x\n",
		"does not name node 2", "correct the id");
	refused("[node]\nid = 1\naddress = 10.0.0.2:1\n[appliance]\nnodes = 1@10.0.0.1:1\n"
		"[port]\neal = x\n",
		"gives node 1 an address", "make them agree");
}

Test(hw_config, long_lines_and_missing_files_are_refused)
{
	static char text[3000];

	memset(text, 'x', sizeof text - 1);
	refused(text, "t.conf:1", "1023");
	cr_assert_eq(hw_config_load(&config, "no-such-file", &error), -ENOENT);
	cr_assert(strstr(error.text, "no-such-file"));
}
