/*
 * synodctl node add|remove|replace: says what it will change, asks for it until it is
 * decided, and waits until every group follows and nobody needs those who left.
 *
 * What is asked for names the configuration that it changes, so asking again, or of another
 * node, does it once; two administrators at a time are told of each other.
 */
#include "dpdk/node_command.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "dpdk/ask.h"

#define VOTERS_MAX 8
#define ASK_MS     250
#define WAIT_S     60

static const char usage[] =
	"usage: synodctl node add NUMBER [--socket PATH]\n"
	"       synodctl node remove NUMBER [--socket PATH]\n"
	"       synodctl node replace OLD NEW [--socket PATH]\n"
	"\n"
	"Changes which nodes vote, while everything runs. Numbers are those of\n"
	"`synodctl status`; ask any node that is connected. A node that is added must\n"
	"run and be listed in [appliance] nodes of all; it has a vote when it has all\n"
	"that was decided before. A node that is removed must run until the command\n"
	"ends, and may be stopped then.\n"
	"  --socket PATH  default " ASK_SOCKET_DEFAULT "\n";

struct change {
	const char *path;
	uint32_t nodes;  /* that exist, a bit each */
	uint32_t linked; /* of them: this node is connected with, itself included */
	uint32_t before;
	uint32_t after;
	int64_t number; /* of the configuration that is changed */
};

static uint32_t
bits_of(const json_t *numbers)
{
	uint32_t bits = 0;
	size_t i;
	json_t *n;

	json_array_foreach(numbers, i, n) bits |= 1u << (json_integer_value(n) & 31);
	return bits;
}

static const json_t *
configuration(const json_t *status, size_t group)
{
	return json_object_get(json_array_get(json_object_get(status, "groups"), group),
			       "configuration");
}

static bool
read_change(struct change *c)
{
	json_t *status = ask_status(c->path), *node;
	size_t i;

	if (!status)
		return false;
	c->nodes = 0;
	c->linked = 0;
	json_array_foreach(json_object_get(status, "nodes"), i, node)
	{
		uint32_t bit = 1u << (ask_number(node, "number") & 31);
		c->nodes |= bit;
		c->linked |= ask_is_true(node, "connected") ? bit : 0;
	}
	c->before = bits_of(json_object_get(configuration(status, 0), "voters"));
	c->number = ask_number(configuration(status, 0), "number");
	json_decref(status);
	return true;
}

static void
print_nodes(const char *what, uint32_t nodes)
{
	printf("%s", what);
	for (uint32_t i = 0; i < 32; i++)
		if (nodes >> i & 1)
			printf(" %u", i);
	printf("\n");
}

static int
refuse(const char *what, uint32_t node)
{
	fprintf(stderr, "synodctl: node %u %s\n", node, what);
	return 1;
}

static int
check_change(const struct change *c, uint32_t add, uint32_t remove)
{
	if (add != UINT32_MAX) {
		if (!(c->nodes >> add & 1))
			return refuse("does not exist here: list it in [appliance] nodes, with "
				      "its address, on every node",
				      add);
		if (c->before >> add & 1)
			return refuse("votes already", add);
		if (!(c->linked >> add & 1))
			return refuse("is not connected: start it first, and see in `synodctl "
				      "status` that it is",
				      add);
	}
	if (remove != UINT32_MAX && !(c->before >> remove & 1))
		return refuse("does not vote", remove);
	if (c->after == 0)
		return refuse("is the last one that votes: nobody would be left", remove);
	return 0;
}

static void
pause_ms(long ms)
{
	nanosleep(&(struct timespec){.tv_nsec = ms * 1000000}, NULL);
}

/* Asks once; what is lost is asked for again. */
static bool
ask_change(const struct change *c)
{
	char request[256];
	size_t used = (size_t)snprintf(
		request, sizeof request,
		"{\"command\": \"voters\", \"number\": %" PRId64 ", \"voters\": [", c->number);
	const char *comma = "";

	for (uint32_t i = 0; i < VOTERS_MAX; i++) {
		if (!(c->after >> i & 1))
			continue;
		used += (size_t)snprintf(request + used, sizeof request - used, "%s%u", comma, i);
		comma = ", ";
	}
	snprintf(request + used, sizeof request - used, "]}\n");
	json_t *answer = ask(c->path, request);
	bool asked = ask_is_true(answer, "asked");
	if (answer && !asked)
		fprintf(stderr, "synodctl: %s\n", ask_text(answer, "error"));
	json_decref(answer);
	return asked;
}

/* Groups that do not vote so yet, or whose leavers are still needed. -1: no answer. */
static int
groups_open(const struct change *c, int64_t *number, uint32_t *voters)
{
	json_t *status = ask_status(c->path);
	const json_t *groups = json_object_get(status, "groups");
	int open = 0;

	if (!status)
		return -1;
	*number = ask_number(configuration(status, 0), "number");
	*voters = bits_of(json_object_get(configuration(status, 0), "voters"));
	for (size_t i = 0; i < json_array_size(groups); i++) {
		const json_t *g = configuration(status, i);
		bool same = bits_of(json_object_get(g, "voters")) == c->after;
		open += !(same && ask_is_true(g, "in_force") && ask_is_true(g, "settled"));
	}
	json_decref(status);
	return open;
}

/* Until it is decided in group 0, and then until all groups have it. */
static int
see_through(const struct change *c)
{
	time_t end = time(NULL) + WAIT_S;
	int told = -1;

	while (time(NULL) < end) {
		uint32_t voters;
		int64_t number;
		int open = groups_open(c, &number, &voters);

		if (open < 0)
			return 1;
		if (number == c->number && !ask_change(c))
			return 1;
		if (number > c->number && voters != c->after) {
			fprintf(stderr, "synodctl: somebody else has changed the voters meanwhile: "
					"look at `synodctl status`, and ask again\n");
			return 1;
		}
		if (number > c->number && open == 0)
			return 0;
		if (number > c->number && open != told) {
			printf("decided; %d group%s to follow\n", open, open == 1 ? "" : "s");
			fflush(stdout);
			told = open;
		}
		pause_ms(ASK_MS);
	}
	fprintf(stderr,
		"synodctl: not done within %d s. It goes on where a majority of the old and of the "
		"new voters is connected: see `synodctl status`; asking again does no harm\n",
		WAIT_S);
	return 1;
}

static int
change_voters(struct change *c, uint32_t add, uint32_t remove)
{
	if (!read_change(c))
		return 1;
	c->after = c->before | (add == UINT32_MAX ? 0 : 1u << add);
	c->after &= ~(remove == UINT32_MAX ? 0 : 1u << remove);
	int code = check_change(c, add, remove);
	if (code != 0)
		return code;
	print_nodes("nodes that vote now:       ", c->before);
	print_nodes("nodes that vote after this:", c->after);
	if (__builtin_popcount(c->after) % 2 == 0)
		printf("an even number survives no more failures than the odd one below it\n");
	fflush(stdout);
	code = see_through(c);
	if (code == 0 && remove != UINT32_MAX)
		printf("done: node %u may be stopped for good\n", remove);
	else if (code == 0)
		printf("done\n");
	return code;
}

static bool
read_node(const char *text, uint32_t *node)
{
	char *end;
	unsigned long n = strtoul(text, &end, 10);

	*node = (uint32_t)n;
	return *text >= '0' && *text <= '9' && *end == '\0' && n < VOTERS_MAX;
}

int
node_command(int argc, char **argv)
{
	static const struct option options[] = {
		{"socket", required_argument, NULL, 's'}, {"help", no_argument, NULL, 'h'}, {0}};
	struct change c = {.path = ASK_SOCKET_DEFAULT};
	uint32_t add = UINT32_MAX, remove = UINT32_MAX;

	for (int o = getopt_long(argc, argv, "", options, NULL); o != -1;
	     o = getopt_long(argc, argv, "", options, NULL)) {
		if (o == 's') {
			c.path = optarg;
			continue;
		}
		fputs(usage, o == 'h' ? stdout : stderr);
		return o == 'h' ? 0 : 2;
	}
	const char *verb = optind < argc ? argv[optind] : "";
	char **numbers = argv + optind + 1;
	int count = argc - optind - 1;
	bool good = (strcmp(verb, "add") == 0 && count == 1 && read_node(numbers[0], &add)) ||
		    (strcmp(verb, "remove") == 0 && count == 1 && read_node(numbers[0], &remove)) ||
		    (strcmp(verb, "replace") == 0 && count == 2 && read_node(numbers[0], &remove) &&
		     read_node(numbers[1], &add) && add != remove);
	if (!good) {
		fputs(usage, stderr);
		return 2;
	}
	return change_voters(&c, add, remove);
}
