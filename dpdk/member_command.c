/*
 * synodctl member: lists the members of the groups; expels one, which the group's log decides.
 *
 * What is asked for names the incarnation, so a server that has started anew meanwhile stays.
 */
#include "dpdk/member_command.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "dpdk/ask.h"

#define ASK_MS 250
#define WAIT_S 60

static const char usage[] =
	"usage: synodctl member list [GROUP] [--socket PATH]\n"
	"       synodctl member expel GROUP SERVER_UUID [--yes] [--socket PATH]\n"
	"\n"
	"GROUP is its number or UUID in `synodctl status`. expel ends a server's membership:\n"
	"the server goes to ERROR, as one does that is found silent, and may START again; what\n"
	"it had sent and the group has not ordered before is rolled back there. Without --yes\n"
	"it says what it would do.\n"
	"  --socket PATH  default " ASK_SOCKET_DEFAULT "\n";

static void
print_member(const json_t *m)
{
	printf("%s  %s:%" PRId64 "  %s  attached to node %" PRId64 "  committed %" PRId64
	       "  incarnation %" PRId64 "\n",
	       ask_text(m, "uuid"), ask_text(m, "host"), ask_number(m, "port"),
	       ask_is_true(m, "online") ? "ONLINE" : "RECOVERING", ask_number(m, "attached_to"),
	       ask_number(m, "committed_index"), ask_number(m, "incarnation"));
}

static int
no_group(const char *name)
{
	fprintf(stderr, "synodctl: there is no group %s: see `synodctl group list`\n", name);
	return 1;
}

/* Of one group, or of all. */
static int
list_members(const char *path, const char *name)
{
	json_t *status = ask_status(path);
	const json_t *only = name ? ask_group(status, name) : NULL;
	size_t i, k;
	json_t *g, *m;

	if (!status)
		return 1;
	json_array_foreach(json_object_get(status, "groups"), i, g)
	{
		if ((name && g != only) || ask_number(g, "number") == 0)
			continue;
		printf("group %" PRId64 "  %s\n", ask_number(g, "number"), ask_text(g, "uuid"));
		json_array_foreach(json_object_get(g, "members"), k, m)
		{
			printf("  ");
			print_member(m);
		}
	}
	json_decref(status);
	return name && !only ? no_group(name) : 0;
}

static const json_t *
find_member(const json_t *group, const char *uuid)
{
	size_t i;
	json_t *m;

	json_array_foreach(json_object_get(group, "members"), i, m)
	{
		if (strcmp(ask_text(m, "uuid"), uuid) == 0)
			return m;
	}
	return NULL;
}

struct expel {
	const char *path;
	const char *group;
	const char *uuid;
	int64_t number;      /* of the group */
	int64_t incarnation; /* that is to go */
};

/* 0: it is a member in this incarnation; 1: not any more; -1: no answer. */
static int
look(const struct expel *e)
{
	json_t *status = ask_status(e->path);
	const json_t *m = find_member(ask_group(status, e->group), e->uuid);
	bool there = m && ask_number(m, "incarnation") == e->incarnation;
	int answer = !status ? -1 : there ? 0 : 1;

	json_decref(status);
	return answer;
}

static int
see_expelled(const struct expel *e)
{
	time_t end = time(NULL) + WAIT_S;
	char request[128];

	snprintf(request, sizeof request,
		 "{\"command\": \"expel\", \"group\": %" PRId64 ", \"incarnation\": %" PRId64 "}\n",
		 e->number, e->incarnation);
	while (time(NULL) < end) {
		int gone = look(e);

		if (gone < 0 || (gone == 0 && !ask_once(e->path, request)))
			return 1;
		if (gone == 1) {
			printf("done\n");
			return 0;
		}
		nanosleep(&(struct timespec){.tv_nsec = ASK_MS * 1000000}, NULL);
	}
	fprintf(stderr,
		"synodctl: not done within %d s. It is decided when the group has a leader: see "
		"`synodctl status`\n",
		WAIT_S);
	return 1;
}

static int
expel_member(struct expel *e, bool yes)
{
	json_t *status = ask_status(e->path);
	const json_t *g = ask_group(status, e->group);
	const json_t *m = find_member(g, e->uuid);
	int code = m ? 0 : 1;

	if (!status)
		return 1;
	e->number = ask_number(g, "number");
	e->incarnation = ask_number(m, "incarnation");
	if (!g || e->number == 0)
		no_group(e->group);
	else if (!m)
		fprintf(stderr,
			"synodctl: %s is no member of group %" PRId64 ": see `synodctl member "
			"list`\n",
			e->uuid, e->number);
	if (m) {
		printf("expelled from group %" PRId64 " (%s), of which %" PRId64
		       " members are left:\n",
		       e->number, ask_text(g, "uuid"), ask_number(g, "member_count") - 1);
		print_member(m);
	}
	json_decref(status);
	if (code == 0 && !yes) {
		printf("nothing is done yet: say so with --yes\n");
		code = 1;
	}
	fflush(stdout);
	return code == 0 ? see_expelled(e) : code;
}

int
member_command(int argc, char **argv)
{
	struct ask_options o;
	int code;

	if (!ask_options(&o, argc, argv, usage, &code))
		return code;
	if (!o.yes && (o.count == 1 || o.count == 2) && strcmp(o.words[0], "list") == 0)
		return list_members(o.path, o.count == 2 ? o.words[1] : NULL);
	if (o.count != 3 || strcmp(o.words[0], "expel") != 0) {
		fputs(usage, stderr);
		return 2;
	}
	struct expel e = {.path = o.path, .group = o.words[1], .uuid = o.words[2]};
	return expel_member(&e, o.yes);
}
