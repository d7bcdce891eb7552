/*
 * synodctl group: lists the groups; says who leads in one, or drops it. What changes a group
 * is asked for until it is decided, and waited for. Asking again, or at another node, does no
 * harm.
 */
#include "dpdk/group_command.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "dpdk/ask.h"

#define ASK_MS 250
#define WAIT_S 60

static const char usage[] =
	"usage: synodctl group list [--socket PATH]\n"
	"       synodctl group kind GROUP one-leader|all-lead [--socket PATH]\n"
	"       synodctl group horizon SLOTS [--yes] [--socket PATH]\n"
	"       synodctl group drop GROUP [--yes] [--socket PATH]\n"
	"\n"
	"GROUP is its number or UUID in `synodctl status`; everything else keeps running.\n"
	"\n"
	"kind says who leads in a group. one-leader: all its servers hang on the leader's\n"
	"node. all-lead: each server stays at the node that it is connected with, which\n"
	"orders its transactions in turns of its own. When a node fails, one leads until\n"
	"all are back.\n"
	"\n"
	"horizon says how many slots are in flight in every group, 10 to 200: more wait for\n"
	"slow links and disks, fewer for values in memory. A change of the voters comes\n"
	"into force so many slots behind it.\n"
	"\n"
	"drop ends a group that has no members, for good: its order, its results and its\n"
	"room at all nodes go. Servers keep what they have; one that bootstraps the same\n"
	"name founds another group. Without --yes it says what it would do.\n"
	"  --socket PATH  default " ASK_SOCKET_DEFAULT "\n";

static int
no_group(const char *name)
{
	fprintf(stderr,
		"synodctl: there is no group %s: see `synodctl group list`; group 0 is the "
		"appliance's own\n",
		name);
	return 1;
}

static uint32_t
online_count(const json_t *group)
{
	const json_t *members = json_object_get(group, "members");
	uint32_t online = 0;
	size_t i;
	json_t *m;

	json_array_foreach(members, i, m) online += ask_is_true(m, "online");
	return online;
}

static int
list_groups(const char *path)
{
	json_t *status = ask_status(path);
	size_t i;
	json_t *g;

	if (!status)
		return 1;
	json_array_foreach(json_object_get(status, "groups"), i, g)
	{
		const json_t *leader = json_object_get(g, "leader");
		char who[32] = "no leader";

		if (ask_number(g, "number") == 0)
			continue;
		if (json_is_integer(leader))
			snprintf(who, sizeof who, "leader node %" PRId64,
				 (int64_t)json_integer_value(leader));
		if (ask_is_true(json_object_get(g, "configuration"), "all_lead"))
			snprintf(who, sizeof who, "all lead");
		printf("%" PRId64 "  %s  %s  members %" PRId64 ", of them ONLINE %u  index %" PRId64
		       "  certified %" PRId64 "  conflicts %" PRId64 "\n",
		       ask_number(g, "number"), ask_text(g, "uuid"), who,
		       ask_number(g, "member_count"), online_count(g), ask_number(g, "last_index"),
		       ask_number(g, "certified"), ask_number(g, "conflicts"));
	}
	json_decref(status);
	return 0;
}

static int
refuse_members(const json_t *g)
{
	const json_t *members = json_object_get(g, "members");
	size_t i;
	json_t *m;

	fprintf(stderr,
		"synodctl: group %" PRId64 " has members: STOP GROUP_REPLICATION there, or "
		"`synodctl member expel` those that are gone\n",
		ask_number(g, "number"));
	json_array_foreach(members, i, m)
		fprintf(stderr, "  %s  %s:%" PRId64 "\n", ask_text(m, "uuid"), ask_text(m, "host"),
			ask_number(m, "port"));
	return 1;
}

/* Until no node that is asked knows it: the others hear of it as of everything. */
static int
see_dropped(const char *path, int64_t number)
{
	time_t end = time(NULL) + WAIT_S;
	char name[24], request[96];

	snprintf(name, sizeof name, "%" PRId64, number);
	snprintf(request, sizeof request, "{\"command\": \"drop\", \"group\": %s}\n", name);
	while (time(NULL) < end) {
		json_t *status = ask_status(path);
		const json_t *g = ask_group(status, name);
		bool answered = status != NULL, there = g != NULL;
		int code = there && ask_number(g, "member_count") > 0 ? refuse_members(g) : 0;

		json_decref(status);
		if (!answered || code != 0 || (there && !ask_once(path, request)))
			return 1;
		if (!there) {
			printf("done\n");
			return 0;
		}
		nanosleep(&(struct timespec){.tv_nsec = ASK_MS * 1000000}, NULL);
	}
	fprintf(stderr,
		"synodctl: not done within %d s. It is decided when the group and group 0 have "
		"leaders: see `synodctl status`\n",
		WAIT_S);
	return 1;
}

static int
drop_group(const char *path, const char *name, bool yes)
{
	json_t *status = ask_status(path);
	const json_t *g = ask_group(status, name);
	int64_t number = ask_number(g, "number");
	int code = 0;

	if (!status)
		return 1;
	if (number == 0)
		code = no_group(name);
	else if (ask_number(g, "member_count") > 0)
		code = refuse_members(g);
	else
		printf("group %" PRId64 " (%s) goes at all %zu nodes, with the order of %" PRId64
		       " entries; it has no members\n",
		       number, ask_text(g, "uuid"),
		       json_array_size(json_object_get(status, "nodes")),
		       ask_number(g, "last_index"));
	json_decref(status);
	if (code == 0 && !yes) {
		printf("nothing is done yet: say so with --yes\n");
		code = 1;
	}
	fflush(stdout);
	return code == 0 ? see_dropped(path, number) : code;
}

static bool
ask_kind(const char *path, int64_t number, bool all_lead)
{
	char request[128];

	snprintf(request, sizeof request,
		 "{\"command\": \"kind\", \"group\": %" PRId64 ", \"all_lead\": %s}\n", number,
		 all_lead ? "true" : "false");
	return ask_once(path, request);
}

enum progress {
	DONE = 0,
	LOST = 1,    /* no answer, or no such group */
	UNKNOWN = 2, /* group 0 does not have it yet */
	DECIDED = 3,
};

static enum progress
look(const char *path, const char *name, bool all_lead, int64_t *number)
{
	json_t *status = ask_status(path);
	const json_t *g = ask_group(status, name);
	const json_t *c = json_object_get(g, "configuration");
	enum progress progress = DECIDED;

	*number = ask_number(g, "number");
	if (!status || *number == 0)
		progress = LOST;
	else if (ask_is_true(g, "all_lead") != all_lead)
		progress = UNKNOWN;
	else if (ask_is_true(c, "all_lead") == all_lead && ask_is_true(c, "in_force"))
		progress = DONE;
	if (status && *number == 0)
		no_group(name);
	json_decref(status);
	return progress;
}

static int
change_kind(const char *path, const char *name, bool all_lead)
{
	time_t end = time(NULL) + WAIT_S;
	int64_t number;
	enum progress was = DONE, now = look(path, name, all_lead, &number);

	if (now == LOST)
		return 1;
	printf("group %" PRId64 ": %s\n", number, all_lead ? "all voters lead" : "one voter leads");
	fflush(stdout);
	for (; time(NULL) < end; now = look(path, name, all_lead, &number)) {
		if (now == LOST || (now == UNKNOWN && !ask_kind(path, number, all_lead)))
			return 1;
		if (now == DONE) {
			printf("done\n");
			return 0;
		}
		if (now == DECIDED && was != DECIDED)
			printf("decided; the group is to follow\n");
		fflush(stdout);
		was = now;
		nanosleep(&(struct timespec){.tv_nsec = ASK_MS * 1000000}, NULL);
	}
	fprintf(stderr,
		"synodctl: not done within %d s. Once decided it is done when the group has a "
		"leader; "
		"that all lead, when all voters are connected: see `synodctl status`\n",
		WAIT_S);
	return 1;
}

struct horizon {
	const char *path;
	int64_t wanted;
	int64_t number; /* of group 0's configuration that is changed */
	char voters[64];
};

/* 0: all groups have it, and it is in force; 1: not yet; -1: no answer, or refused. */
static int
look_horizon(struct horizon *h, bool tell)
{
	json_t *status = ask_status(h->path), *g;
	const json_t *groups = json_object_get(status, "groups");
	const json_t *first = json_object_get(json_array_get(groups, 0), "configuration");
	int64_t max = ask_number(json_object_get(status, "node"), "horizon_max");
	char *voters = json_dumps(json_object_get(first, "voters"), 0);
	int answer = 0;
	size_t i;

	h->number = ask_number(first, "number");
	snprintf(h->voters, sizeof h->voters, "%s", voters ? voters : "[]");
	free(voters);
	json_array_foreach(groups, i, g)
	{
		const json_t *c = json_object_get(g, "configuration");
		bool done = ask_number(c, "horizon") == h->wanted && ask_is_true(c, "in_force");
		if (!done)
			answer = 1;
	}
	if (tell && status)
		printf("slots in flight in each of %zu groups: %" PRId64 " now, %" PRId64
		       " after this; nodes %s vote\n",
		       json_array_size(groups), ask_number(first, "horizon"), h->wanted, h->voters);
	if (status && h->wanted > max) {
		fprintf(stderr,
			"synodctl: at most %" PRId64 ": for more, raise [memory] pool_bytes of all "
			"nodes, or lower groups_max\n",
			max);
		answer = -1;
	}
	json_decref(status);
	return status ? answer : -1;
}

static int
change_horizon(const char *path, int64_t wanted, bool yes)
{
	struct horizon h = {.path = path, .wanted = wanted};
	time_t end = time(NULL) + WAIT_S;
	char request[256];
	int open = look_horizon(&h, true);

	if (open > 0 && !yes) {
		printf("nothing is done yet: say so with --yes\n");
		return 1;
	}
	fflush(stdout);
	for (int64_t first = h.number; open > 0 && time(NULL) < end;
	     open = look_horizon(&h, false)) {
		snprintf(request, sizeof request,
			 "{\"command\": \"voters\", \"voters\": %s, \"number\": %" PRId64
			 ", \"horizon\": %" PRId64 "}\n",
			 h.voters, h.number, wanted);
		if (h.number == first && !ask_once(path, request))
			return 1;
		nanosleep(&(struct timespec){.tv_nsec = ASK_MS * 1000000}, NULL);
	}
	if (open == 0)
		printf("done\n");
	if (open > 0)
		fprintf(stderr,
			"synodctl: not done within %d s. Once decided it is done when every group "
			"has a "
			"leader; another change may have come first: see `synodctl status`\n",
			WAIT_S);
	return open == 0 ? 0 : 1;
}

static bool
read_horizon(const char *text, int64_t *slots)
{
	char *end;

	*slots = strtol(text, &end, 10);
	return *text >= '0' && *text <= '9' && *end == '\0' && *slots >= 10 && *slots <= 200;
}

int
group_command(int argc, char **argv)
{
	struct ask_options o;
	int64_t slots;
	int code;

	if (!ask_options(&o, argc, argv, usage, &code))
		return code;
	const char *verb = o.count > 0 ? o.words[0] : "";

	if (o.count == 1 && !o.yes && strcmp(verb, "list") == 0)
		return list_groups(o.path);
	if (o.count == 2 && strcmp(verb, "drop") == 0)
		return drop_group(o.path, o.words[1], o.yes);
	if (o.count == 2 && strcmp(verb, "horizon") == 0 && read_horizon(o.words[1], &slots))
		return change_horizon(o.path, slots, o.yes);
	if (o.count == 3 && !o.yes && strcmp(verb, "kind") == 0 &&
	    (strcmp(o.words[2], "one-leader") == 0 || strcmp(o.words[2], "all-lead") == 0))
		return change_kind(o.path, o.words[1], strcmp(o.words[2], "all-lead") == 0);
	fputs(usage, stderr);
	return 2;
}
