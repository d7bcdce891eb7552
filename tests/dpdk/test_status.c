/* The status object: its values, and docs/status.md, which must name every field of it. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#include "dpdk/status.h"

#define PATHS_MAX  256
#define PATH_BYTES 128
#define DOC_BYTES  65536

static struct node_config config;
static struct loop_snapshot snapshot;
static struct status_facts facts;

static void
setup(void)
{
	config = (struct node_config){.self = 1, .node_count = 3, .groups_max = 4};
	facts = (struct status_facts){.node = &config,
				      .version = "9.9",
				      .log_mode = "memory",
				      .driver = "net_null",
				      .profile = LOOP_SHARED,
				      .started_ns = 1000};
	snapshot = (struct loop_snapshot){
		.now_ns = 5000001000u,
		.node = {.self = 1, .process = 7, .link_up = 4, .differing = 4},
		.group_count = 2,
		.member_count = 1};
	/* Number 2 came later. */
	for (uint8_t i = 0; i < 3; i++)
		snapshot.peer[i] = (struct node_peer_status){
			.uuid = {[15] = (uint8_t)(i + 1)},
			.endpoint = endpoint_from_ipv4(0x0a4d0001u + i, 7000)};
	snapshot.peers = 7;
	snapshot.peer[2].listed = snapshot.peer[2].differs = true;
	snapshot.peer[2].uuid[14] = 1;
	snapshot.group[0] = (struct node_group_status){.group = 0, .leader = 2};
	snapshot.group[1] = (struct node_group_status){
		.group = 5, .leader = PAXOS_NO_VOTER, .conflicts = 12, .member_count = 1};
	for (uint32_t i = 0; i < 2; i++) {
		snapshot.group[i].lost_count = 1;
		snapshot.group[i].lost[0] = (struct gtid_interval){{{0xab}, 1, {'t'}}, 5, 7};
		snapshot.group[i].gone_count = 1;
		snapshot.group[i].gone[0] = (struct gtid){.source = {{0xab}, 0, {0}}, .gno = 9};
	}
	snapshot.group[0].configuration = (struct paxos_configuration){.number = 3, .voters = 5};
	snapshot.group[1].configuration.voters = 6;
	snapshot.member[0] =
		(struct loop_member){.group = 5, .status = {.host = "db1", .port = 3306}};
	snapshot.key_count = 1;
	snapshot.key[0] = (struct node_key){.key = {1}, .group_count = 1};
	snapshot.frame_drop[FRAMES_DROP_FRAGMENT] = 3;
}

TestSuite(dpdk_status, .init = setup);

/* "/groups/1/leader", as in a JSON pointer. */
static json_t *
at(json_t *value, const char *pointer)
{
	char path[PATH_BYTES];
	char *rest = path;

	snprintf(path, sizeof path, "%s", pointer + 1);
	for (char *word = strsep(&rest, "/"); word && value; word = strsep(&rest, "/"))
		value = json_is_array(value) ? json_array_get(value, strtoul(word, NULL, 10))
					     : json_object_get(value, word);
	cr_assert(value, "%s is missing", pointer);
	return value;
}

Test(dpdk_status, says_what_the_snapshot_holds)
{
	json_t *status = status_json(&snapshot, &facts);

	cr_assert_str_eq(json_string_value(at(status, "/nodes/2/endpoint")), "10.77.0.3:7000");
	cr_assert(json_is_false(at(status, "/nodes/0/connected")));
	cr_assert(json_is_true(at(status, "/nodes/2/listed")));
	cr_assert(json_is_true(at(status, "/nodes/2/differs_from_file")));
	cr_assert(json_is_false(at(status, "/nodes/0/listed")));
	cr_assert_eq(json_integer_value(at(status, "/nodes/2/id")), 259);
	cr_assert(json_is_true(at(status, "/nodes/1/self")));
	cr_assert(json_is_true(at(status, "/nodes/2/connected")));
	cr_assert(json_is_true(at(status, "/nodes/2/differs")));
	cr_assert(json_is_false(at(status, "/nodes/0/differs")));
	cr_assert_eq(json_integer_value(at(status, "/node/uptime_s")), 5);
	cr_assert_eq(json_integer_value(at(status, "/groups/0/leader")), 2);
	cr_assert(json_is_null(at(status, "/groups/1/leader")));
	cr_assert_eq(json_integer_value(at(status, "/groups/1/conflicts")), 12);
	cr_assert_eq(json_array_size(at(status, "/groups/0/members")), 0);
	cr_assert_str_eq(json_string_value(at(status, "/groups/1/lost/0")),
			 "ab000000-0000-0000-0000-000000000000:t:5-7");
	cr_assert_str_eq(json_string_value(at(status, "/groups/1/gone/0")),
			 "ab000000-0000-0000-0000-000000000000:9-9");
	cr_assert_eq(json_integer_value(at(status, "/groups/0/configuration/number")), 3);
	cr_assert_eq(json_integer_value(at(status, "/groups/0/configuration/voters/1")), 2);
	cr_assert(json_is_false(at(status, "/nodes/1/votes")));
	cr_assert(json_is_true(at(status, "/nodes/2/votes")));
	cr_assert_str_eq(json_string_value(at(status, "/groups/1/members/0/host")), "db1");
	cr_assert_eq(json_integer_value(at(status, "/drops/received_frames/fragment")), 3);
	cr_assert(json_is_null(at(status, "/log/write_error")));
	json_decref(status);
}

/* Whom a round of images waits for, and nothing of what it does not wait for. */
Test(dpdk_status, says_what_trimming_waits_for)
{
	snapshot.image = (struct node_image_status){.every_bytes = 99,
						    .used = 2,
						    .used_ns = 2000001000u,
						    .round = NODE_ROUND_MEMBERS,
						    .group = 5,
						    .index = 70,
						    .member = {0xcd},
						    .committed = 60};
	json_t *status = status_json(&snapshot, &facts);
	cr_assert_eq(json_integer_value(at(status, "/images/used_s_ago")), 3);
	cr_assert_str_eq(json_string_value(at(status, "/images/round")), "members");
	cr_assert_str_eq(json_string_value(at(status, "/images/member")),
			 "cd000000-0000-0000-0000-000000000000");
	cr_assert_eq(json_integer_value(at(status, "/images/committed_index")), 60);
	cr_assert(json_is_null(at(status, "/images/agreed")));
	cr_assert(json_is_null(at(status, "/images/taken_from")));
	json_decref(status);

	snapshot.image.round = NODE_ROUND_NODES;
	snapshot.image.agreed = 3;
	snapshot.image.taking = true;
	snapshot.image.from = 2;
	status = status_json(&snapshot, &facts);
	cr_assert(json_is_null(at(status, "/images/member")));
	cr_assert_eq(json_integer_value(at(status, "/images/agreed")), 3);
	cr_assert_eq(json_integer_value(at(status, "/images/taken_from")), 2);
	json_decref(status);
}

Test(dpdk_status, errors_are_words)
{
	snapshot.log.write_error = -5;
	snapshot.log.space_error = 28;
	json_t *status = status_json(&snapshot, &facts);
	cr_assert_str_eq(json_string_value(at(status, "/log/write_error")), "Input/output error");
	cr_assert_str_eq(json_string_value(at(status, "/log/space_error")),
			 "No space left on device");
	json_decref(status);
}

Test(dpdk_status, endpoints_and_uuids_as_people_write_them)
{
	struct endpoint six = {.address = {0x20, 1, 0xd, 0xb8, [15] = 1}, .port = 7000};
	uint8_t uuid[16] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 0xff};
	char out[STATUS_ENDPOINT_BYTES], text[STATUS_UUID_BYTES];

	status_endpoint(&six, out);
	cr_assert_str_eq(out, "[2001:db8::1]:7000");
	status_uuid(uuid, text);
	cr_assert_str_eq(text, "01020304-0506-0708-090a-0b0c0d0e0fff");
}

struct walk {
	json_t *value;
	char path[PATH_BYTES];
};

static void
push(struct walk *stack, size_t *depth, json_t *value, const char *path)
{
	cr_assert(*depth < PATHS_MAX);
	stack[*depth].value = value;
	snprintf(stack[(*depth)++].path, PATH_BYTES, "%s", path);
}

/* Each leaf's path stands in the document, and the document has no other. An array
 * is described by its last element, the fullest here. */
Test(dpdk_status, the_document_names_every_field)
{
	static struct walk stack[PATHS_MAX];
	static char document[DOC_BYTES];
	size_t depth = 0, leaves = 0, lines = 0;
	char needle[PATH_BYTES + 8], path[PATH_BYTES + 64];
	const char *key;
	json_t *child;
	json_t *status = status_json(&snapshot, &facts);
	FILE *file = fopen(getenv("STATUS_DOCUMENT"), "r");

	cr_assert(file);
	document[fread(document, 1, sizeof document - 1, file)] = '\0';
	fclose(file);
	push(stack, &depth, status, "");
	while (depth > 0) {
		struct walk here = stack[--depth];
		if (json_is_array(here.value)) {
			size_t n = json_array_size(here.value);
			cr_assert(n > 0);
			snprintf(path, sizeof path, "%s[]", here.path);
			push(stack, &depth, json_array_get(here.value, n - 1), path);
		} else if (json_is_object(here.value)) {
			json_object_foreach(here.value, key, child)
			{
				snprintf(path, sizeof path, "%s%s%s", here.path,
					 here.path[0] ? "." : "", key);
				push(stack, &depth, child, path);
			}
		} else {
			snprintf(needle, sizeof needle, "\n| `%s` |", here.path);
			cr_expect(strstr(document, needle), "not documented: %s", here.path);
			leaves++;
		}
	}
	for (const char *p = strstr(document, "\n| `"); p; p = strstr(p + 1, "\n| `"))
		lines++;
	cr_assert_eq(lines, leaves, "%zu documented, %zu there", lines, leaves);
	json_decref(status);
}

Test(dpdk_status, a_number_that_is_nobodys_is_not_shown)
{
	snapshot.peers = 5;
	json_t *status = status_json(&snapshot, &facts);

	cr_assert_eq(json_array_size(at(status, "/nodes")), 2);
	cr_assert_eq(json_integer_value(at(status, "/nodes/1/number")), 2);
	json_decref(status);
}
