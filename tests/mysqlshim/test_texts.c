/* What comes as text: gtid_executed, UUIDs, and the list of nodes. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mysqlshim/appliance.h"
#include "mysqlshim/gtid_text.h"

#define A "3e11fa47-71ca-11e1-9e33-c80aa9429562"
#define B "4350F323-7565-4E59-8763-4B1B83A0CE0E"

static struct gtid_set *set;

static bool
parses(const char *text)
{
	struct gtid_limits limits = {.sources_max = 4, .intervals_max = 8};

	free(set);
	set = gtid_set_init(malloc(gtid_set_size(limits)), limits);
	return gtid_text_parse(set, text);
}

static bool
holds(const char *uuid, const char *tag, uint64_t gno)
{
	struct gtid gtid = {.gno = gno};

	cr_assert(uuid_parse(gtid.source.uuid, uuid));
	gtid.source.tag_bytes = (uint8_t)strlen(tag);
	memcpy(gtid.source.tag, tag, strlen(tag));
	return gtid_set_contains(set, &gtid);
}

Test(mysqlshim_texts, gtid_executed_as_the_server_writes_it)
{
	cr_assert(parses(""));
	cr_assert_eq(gtid_set_intervals(set), 0);
	cr_assert(parses(A ":1-5:7,\n" B ":9:tag_a:2-3:other:1"));
	cr_assert(holds(A, "", 1) && holds(A, "", 5) && holds(A, "", 7) && holds(B, "", 9));
	cr_assert(holds(B, "tag_a", 2) && holds(B, "tag_a", 3) && holds(B, "other", 1));
	cr_assert_not(holds(A, "", 6) || holds(B, "", 2) || holds(B, "tag_a", 1));
	cr_assert(parses(A ":9223372036854775806"));
}

Test(mysqlshim_texts, what_is_no_set_is_refused)
{
	static const char *const bad[] = {"x",
					  A ":0",
					  A ":5-4",
					  A ":1-",
					  A ":99999999999999999999",
					  A ":9223372036854775807",
					  A ":1,,",
					  A ":1;" B ":1",
					  A ":",
					  A ":1:3:5:7:9:11:13:15:17" /* more than it can hold */};

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		cr_assert_not(parses(bad[i]), "%s", bad[i]);
}

Test(mysqlshim_texts, a_gtid_and_a_uuid_there_and_back)
{
	struct gtid gtid = {.gno = 18};
	char text[GTID_CHARS_MAX + 1];

	cr_assert(uuid_parse(gtid.source.uuid, "{3E11FA47-71CA-11E1-9E33-C80AA9429562}"));
	gtid_format(&gtid, text);
	cr_assert_str_eq(text, A ":18");
	gtid.source.tag_bytes = 3;
	memcpy(gtid.source.tag, "tag", 3);
	gtid_format(&gtid, text);
	cr_assert_str_eq(text, A ":tag:18");
	cr_assert_not(uuid_parse(gtid.source.uuid, "3e11fa47-71ca-11e1-9e33-c80aa942956"));
	cr_assert_not(uuid_parse(gtid.source.uuid, A "0"));
	cr_assert_not(uuid_parse(gtid.source.uuid, "3e11fa47-71ca-11e1-9e33-c80aa942956x"));
}

#define KEY "AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA="

Test(mysqlshim_texts, the_keys_of_an_appliance)
{
	char text[512], path[] = "/tmp/synod-key-XXXXXX";
	struct appliance a;

	cr_assert(
		appliance_parse(&a, "10.0.0.1:1=" KEY ",[2001:db8::3]:2=" KEY, text, sizeof text));
	cr_assert(a.sealed);
	for (int i = 0; i < 2; i++)
		for (int k = 0; k < CRYPTO_KEY_BYTES; k++)
			cr_assert_eq(a.key[i][k], k + 1);
	cr_assert_not(appliance_unlock(&a, "", text, sizeof text));
	cr_assert(strstr(text, "synodctl key new"));
	int fd = mkstemp(path);
	cr_assert_eq(write(fd, "secret = " KEY "\n", 9 + 44 + 1), 54);
	close(fd);
	cr_assert(appliance_unlock(&a, path, text, sizeof text), "%s", text);
	cr_assert_eq(a.secret[31], 32);
	chmod(path, 0644);
	cr_assert_not(appliance_unlock(&a, path, text, sizeof text));
	cr_assert(strstr(text, "chmod 600"), "%s", text);
	unlink(path);
	cr_assert(appliance_parse(&a, "10.0.0.1:1", text, sizeof text));
	cr_assert_not(a.sealed);
}

Test(mysqlshim_texts, the_nodes_of_an_appliance)
{
	struct appliance a;
	char text[512];

	cr_assert(appliance_parse(&a, " 10.0.0.1:7700,10.0.0.2:7701 , [2001:db8::3]:7702", text,
				  sizeof text));
	cr_assert_eq(a.node_count, 3);
	cr_assert_eq(endpoint_ipv4(&a.node[1]), 0x0a000002);
	cr_assert_eq(a.node[1].port, 7701);
	cr_assert_not(endpoint_is_ipv4(&a.node[2]));
	cr_assert(appliance_parse(&a, "localhost:1", text, sizeof text));
	static const char *const bad[] = {"",
					  " ",
					  "10.0.0.1",
					  "10.0.0.1:",
					  "10.0.0.1:0",
					  "10.0.0.1:99999999",
					  ":1",
					  "::1:1",
					  "[::1]",
					  "[]:1",
					  "10.0.0.1:1,10.0.0.1:1",
					  "10.0.0.1:1=key",
					  "10.0.0.1:1=" KEY "x",
					  "10.0.0.1:1=" KEY ", 10.0.0.2:1",
					  "10.0.0.1:1, 10.0.0.2:1=" KEY,
					  "a b:1"};
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		cr_assert_not(appliance_parse(&a, bad[i], text, sizeof text), "%s", bad[i]);
		cr_assert(strstr(text, "synod.appliance"));
	}
}
