/*
 * synodctl group kind: asks that one voter leads in a group, or all, until group 0 has it, and
 * waits until it is so. Asking again, or at another node, does no harm.
 */
#include "dpdk/group_command.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "dpdk/ask.h"

#define ASK_MS 250
#define WAIT_S 60

static const char usage[] =
	"usage: synodctl group kind GROUP one-leader|all-lead [--socket PATH]\n"
	"\n"
	"Says who leads in a group, while everything runs; GROUP is its number or UUID in\n"
	"`synodctl status`. one-leader: all its servers hang on the leader's node. all-lead:\n"
	"each server stays at the node that it is connected with, which orders its\n"
	"transactions in turns of its own. When a node fails, one leads until all are back.\n"
	"  --socket PATH  default " ASK_SOCKET_DEFAULT "\n";

/* Of `status`; NULL: there is none. */
static const json_t *
find_group(const json_t *status, const char *name)
{
	const json_t *groups = json_object_get(status, "groups");
	char number[24];
	size_t i;
	json_t *g;

	json_array_foreach(groups, i, g)
	{
		snprintf(number, sizeof number, "%" PRId64, ask_number(g, "number"));
		if (strcmp(name, number) == 0 || strcmp(name, ask_text(g, "uuid")) == 0)
			return g;
	}
	return NULL;
}

static bool
ask_kind(const char *path, int64_t number, bool all_lead)
{
	char request[128];

	snprintf(request, sizeof request,
		 "{\"command\": \"kind\", \"group\": %" PRId64 ", \"all_lead\": %s}\n", number,
		 all_lead ? "true" : "false");
	json_t *answer = ask(path, request);
	bool asked = ask_is_true(answer, "asked");
	if (answer && !asked)
		fprintf(stderr, "synodctl: %s\n", ask_text(answer, "error"));
	json_decref(answer);
	return asked;
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
	const json_t *g = find_group(status, name);
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
		fprintf(stderr,
			"synodctl: there is no group %s: see `synodctl status`; group 0 is "
			"the appliance's own\n",
			name);
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

int
group_command(int argc, char **argv)
{
	static const struct option options[] = {
		{"socket", required_argument, NULL, 's'}, {"help", no_argument, NULL, 'h'}, {0}};
	const char *path = ASK_SOCKET_DEFAULT;

	for (int o = getopt_long(argc, argv, "", options, NULL); o != -1;
	     o = getopt_long(argc, argv, "", options, NULL)) {
		if (o == 's') {
			path = optarg;
			continue;
		}
		fputs(usage, o == 'h' ? stdout : stderr);
		return o == 'h' ? 0 : 2;
	}
	char **words = argv + optind;
	bool good = argc - optind == 3 && strcmp(words[0], "kind") == 0 &&
		    (strcmp(words[2], "one-leader") == 0 || strcmp(words[2], "all-lead") == 0);
	if (!good) {
		fputs(usage, stderr);
		return 2;
	}
	return change_kind(path, words[1], strcmp(words[2], "all-lead") == 0);
}
