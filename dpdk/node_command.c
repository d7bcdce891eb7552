/*
 * synodctl node add|remove|replace|forget|force|lost: says what it will change, asks for it until
 * it is decided, and waits until every group follows and nobody needs those who left.
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
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "dpdk/ask.h"
#include "dpdk/epoch.h"
#include "dpdk/print.h"

#define VOTERS_MAX      8
#define NUMBERS_MAX     7
#define ASK_MS          250
#define WAIT_S          60
#define NEWCOMER_WAIT_S 600

static const char usage[] =
	"usage: synodctl node add NUMBER [ADDRESS [--key KEY] [--id ID]] [--socket PATH]\n"
	"       synodctl node remove NUMBER [--forget] [--socket PATH]\n"
	"       synodctl node replace OLD NEW [ADDRESS [--key KEY] [--id ID]] [--forget]\n"
	"                             [--socket PATH]\n"
	"       synodctl node forget NUMBER [--socket PATH]\n"
	"       synodctl node force NUMBER... [--epoch EPOCH] --yes [--socket PATH]\n"
	"       synodctl node lost DIRECTORY [--socket PATH]\n"
	"\n"
	"Changes which nodes vote, while everything runs. Numbers are those of\n"
	"`synodctl status`; ask any node that is connected. A node that is added has a\n"
	"vote when it has all that was decided before. One that no node knows yet is\n"
	"added with its ADDRESS, and with its KEY (synodctl key show there) where links\n"
	"are sealed; NUMBER is a free one, 0 to 6, and ID its [node] id, NUMBER + 1 by\n"
	"default. What its file must say is printed, and the command waits until it\n"
	"is started; asking again does no harm. A node that is removed must run until\n"
	"the command ends, and may be stopped then; what its file must say if it comes\n"
	"back with another disk is printed. forget, or --forget, gives its\n"
	"number free: no node speaks with it any more, or lists its key.\n"
	"\n"
	"force is for a majority that is lost for good: the nodes that are named go on\n"
	"without the others, in an epoch of their own. Name all that are left: what only\n"
	"the others had accepted is lost. Without --yes it says what it would do. With\n"
	"--epoch it asks this node only, one that was down when the others were forced.\n"
	"lost says, by GTID, what the log that synodd --rejoin has set aside knew to be\n"
	"accepted and the groups have not.\n"
	"  --socket PATH  default " ASK_SOCKET_DEFAULT "\n";

/* One that nobody knows yet. */
struct newcomer {
	const char *address; /* NULL: it is known */
	const char *key;     /* NULL: in clear */
	uint32_t id;         /* 0: as its number says */
	bool forget;         /* the one that goes */
};

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
			return refuse("does not exist here: say its address, and its key", add);
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
	nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000}, NULL);
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

/* Until it is decided in group 0, and then until all groups have it: the number is that one's. */
static int
see_through(struct change *c)
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
		if (number > c->number && open == 0) {
			c->number = number;
			return 0;
		}
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

/* The request is released. */
static bool
ask_object(const char *path, json_t *request)
{
	char *line = json_dumps(request, JSON_COMPACT);
	char text[1024];

	snprintf(text, sizeof text, "%s\n", line);
	json_decref(request);
	free(line);
	return ask_once(path, text);
}

static const json_t *
node_of(const json_t *status, uint32_t number)
{
	size_t i;
	json_t *node;

	json_array_foreach(json_object_get(status, "nodes"), i, node)
	{
		if (ask_number(node, "number") == number)
			return node;
	}
	return NULL;
}

static bool
ask_node(const struct change *c, const struct newcomer *comer, uint32_t number)
{
	char node[128];

	snprintf(node, sizeof node, "%u/%u@%s", comer->id, number, comer->address);
	json_t *request = json_pack("{s:s, s:s}", "command", "node", "node", node);
	if (comer->key)
		(void)json_object_set_new(request, "peer", json_string(comer->key));
	return ask_object(c->path, request);
}

/* What stands in the new node's file. */
static void
print_file(const json_t *status, const struct newcomer *comer, uint32_t number)
{
	const char *comma = "";
	size_t i;
	json_t *node;

	printf("node %u is listed. Its file says, besides what is its own:\n\n[node]\nid = %u\n"
	       "address = %s\n[appliance]\nnodes = ",
	       number, comer->id, comer->address);
	json_array_foreach(json_object_get(status, "nodes"), i, node)
	{
		printf("%s%" PRId64 "/%" PRId64 "@%s", comma, ask_number(node, "id"),
		       ask_number(node, "number"), ask_text(node, "endpoint"));
		comma = ", ";
	}
	printf("\njoins = %s\nvotes_after = %" PRId64 "\nevent_horizon = %" PRId64 "\n\n",
	       ask_text(json_object_get(status, "node"), "epoch"),
	       ask_number(configuration(status, 0), "number"),
	       ask_number(configuration(status, 0), "horizon"));
	fflush(stdout);
}

/* Says so, if the number is somebody else's. */
static bool
is_another(const json_t *node, const struct newcomer *comer, uint32_t number)
{
	if (!node || (ask_number(node, "id") == comer->id &&
		      strcmp(ask_text(node, "endpoint"), comer->address) == 0))
		return false;
	fprintf(stderr,
		"synodctl: node %u is another one, with id %" PRId64 " at %s: forget it first, or "
		"take a free number\n",
		number, ask_number(node, "id"), ask_text(node, "endpoint"));
	return true;
}

/* 1: it is connected; 0: it is listed, and its file is printed if `told` says so; -1: no. */
static int
see_listed(const struct change *c, const struct newcomer *comer, uint32_t number, bool *told)
{
	json_t *status = ask_status(c->path);
	const json_t *node = node_of(status, number);
	int state = status ? 0 : -1;

	if (is_another(node, comer, number)) {
		state = -1;
	} else if (node && !*told) {
		print_file(status, comer, number);
		*told = true;
	}
	if (node && state == 0 && ask_is_true(node, "connected"))
		state = 1;
	json_decref(status);
	return state;
}

/* Until it is there: an administrator starts it now. */
static int
see_newcomer(const struct change *c, const struct newcomer *comer, uint32_t number)
{
	time_t end = time(NULL) + NEWCOMER_WAIT_S, unlisted_end = time(NULL) + WAIT_S / 4;
	bool told = false;

	while (time(NULL) < end) {
		int state = see_listed(c, comer, number, &told);

		if (state != 0)
			return state == 1 ? 0 : 1;
		if (!told && time(NULL) >= unlisted_end) {
			fprintf(stderr, "synodctl: it is not listed: nobody leads, or another "
					"number has that id or that address\n");
			return 1;
		}
		if (!told && !ask_node(c, comer, number))
			return 1;
		pause_ms(ASK_MS);
	}
	fprintf(stderr, "synodctl: node %u has not come within %d s. Start it, and ask again\n",
		number, NEWCOMER_WAIT_S);
	return 1;
}

static void
print_forgotten(const json_t *node, uint32_t number)
{
	printf("node %u, id %" PRId64 " at %s, is forgotten%s: no node speaks with it any more, no "
	       "key\nof it is listed, and its number is free\n",
	       number, ask_number(node, "id"), ask_text(node, "endpoint"),
	       ask_is_true(node, "votes") ? " when it does not vote any more" : "");
}

static int
forget_node(const struct change *c, uint32_t number, bool told)
{
	time_t end = time(NULL) + WAIT_S;

	while (time(NULL) < end) {
		json_t *status = ask_status(c->path);
		const json_t *node = node_of(status, number);
		bool answered = status != NULL, there = node != NULL;
		bool votes = there && ask_is_true(node, "votes");

		if (there && !votes && !told)
			print_forgotten(node, number);
		json_decref(status);
		if (!answered)
			return 1;
		if (!there) {
			printf("done: node %u is nobody\n", number);
			return 0;
		}
		if (votes)
			return refuse("votes: remove it first", number);
		fflush(stdout);
		told = true;
		if (!ask_object(c->path, json_pack("{s:s, s:i}", "command", "forget", "number",
						   (int)number)))
			return 1;
		pause_ms(ASK_MS);
	}
	return refuse("is not forgotten yet: ask again", number);
}

static void
print_newcomer(const struct newcomer *comer, uint32_t number)
{
	printf("node %u, id %u at %s, is listed by all nodes, %s%s. It votes when it is\n"
	       "started, is connected, and has all that was decided before\n",
	       number, comer->id, comer->address, comer->key ? "with the key " : "without a key",
	       comer->key ? comer->key : "");
}

/* What is going to be done, and to whom: false where that cannot be done. */
static bool
say_plan(const struct change *c, uint32_t add, uint32_t remove, const struct newcomer *comer)
{
	json_t *status = ask_status(c->path);
	bool refused = !status || (comer->address && is_another(node_of(status, add), comer, add));

	if (!refused && comer->address)
		print_newcomer(comer, add);
	if (!refused) {
		print_nodes("nodes that vote now:       ", c->before);
		print_nodes("nodes that vote after this:", c->after);
	}
	if (!refused && __builtin_popcount(c->after) % 2 == 0)
		printf("an even number survives no more failures than the odd one below it\n");
	if (!refused && comer->forget && node_of(status, remove))
		print_forgotten(node_of(status, remove), remove);
	json_decref(status);
	fflush(stdout);
	return !refused;
}

static bool
read_wanted(struct change *c, uint32_t add, uint32_t remove)
{
	if (!read_change(c))
		return false;
	c->after = c->before | (add == UINT32_MAX ? 0 : 1u << add);
	c->after &= ~(remove == UINT32_MAX ? 0 : 1u << remove);
	return true;
}

/* Its votes are of configurations before this one: another disk must not cast them anew. */
static void
print_removed(const struct change *c, uint32_t number)
{
	printf("done: node %u may be stopped for good. If it comes back with another disk, its "
	       "file says\n\n[appliance]\nvotes_after = %" PRId64 "\n\n",
	       number, c->number);
}

static int
change_voters(struct change *c, uint32_t add, uint32_t remove, struct newcomer *comer)
{
	if (comer->id == 0)
		comer->id = add + 1;
	if (comer->address && add >= NUMBERS_MAX)
		return refuse("cannot be: numbers are 0 to 6", add);
	if (!read_wanted(c, add, remove))
		return 1;
	/* Asked again, perhaps: what was done is not done twice. */
	bool voted = comer->address && c->after == c->before;
	if (!voted && check_change(c, comer->address ? UINT32_MAX : add, remove) != 0)
		return 1;
	if (!say_plan(c, add, remove, comer))
		return 1;
	uint32_t before = c->before;
	if (!voted && comer->address &&
	    (see_newcomer(c, comer, add) != 0 || !read_wanted(c, add, remove)))
		return 1;
	if (c->before != before) {
		fprintf(stderr, "synodctl: somebody else has changed the voters meanwhile: look at "
				"`synodctl status`, and ask again\n");
		return 1;
	}
	int code = voted ? 0 : check_change(c, add, remove);
	if (code == 0 && !voted)
		code = see_through(c);
	if (code == 0 && remove != UINT32_MAX)
		print_removed(c, remove);
	else if (code == 0)
		printf("done\n");
	fflush(stdout);
	if (code == 0 && remove != UINT32_MAX && comer->forget)
		code = forget_node(c, remove, true);
	return code;
}

struct force {
	struct change c;
	struct node_forced forced; /* number 0: not named by the caller */
	bool yes;
};

/* Why not, or NULL. */
static const char *
force_refused(const struct force *f, const json_t *status)
{
	uint32_t left_out = f->c.linked & f->c.before & ~f->c.after;
	const json_t *leader =
		json_object_get(json_array_get(json_object_get(status, "groups"), 0), "leader");

	if ((f->c.after & ~f->c.nodes) != 0)
		return "a node that is named does not exist here";
	if (!(f->c.after >> json_integer_value(
				    json_object_get(json_object_get(status, "node"), "number")) &
	      1))
		return "the node that is asked is not named: ask one of those that go on";
	if (json_is_integer(leader))
		return "a majority is there, and a node leads: use add, remove or replace";
	if (f->forced.number == 0 && left_out != 0)
		return "a node that votes is connected and not named: what only it has "
		       "accepted would be lost. Name it, or stop it first";
	if (f->forced.number == 0 && (f->c.after & ~f->c.linked) != 0)
		return "a node that is named is not connected: start it first, or leave it out";
	return NULL;
}

static bool
ask_force(const struct force *f, bool here)
{
	char epoch[EPOCH_TEXT_BYTES];
	json_t *voters = json_array();

	for (uint32_t i = 0; i < VOTERS_MAX; i++)
		if (f->c.after >> i & 1)
			(void)json_array_append_new(voters, json_integer(i));
	epoch_text(&f->forced, epoch);
	return ask_object(f->c.path, json_pack("{s:s, s:s, s:o, s:b}", "command", "force", "epoch",
					       epoch, "voters", voters, "here", here));
}

static bool
all_went_over(const json_t *groups, uint32_t epoch)
{
	const json_t *group;
	size_t i;

	json_array_foreach(groups, i, group)
	{
		if (!json_is_integer(json_object_get(group, "leader")) ||
		    json_integer_value(json_object_get(group, "epoch")) != epoch)
			return false;
	}
	return json_array_size(groups) > 0;
}

/* Until a node leads in the new epoch, and once more: only then is it looked for what nobody has.
 * The node begins again meanwhile, and is not asked before it had the time to. */
static int
see_force(const struct force *f)
{
	char wanted[EPOCH_TEXT_BYTES];
	time_t end = time(NULL) + WAIT_S;
	uint32_t seen = 0;

	epoch_text(&f->forced, wanted);
	printf("epoch %s\n", wanted);
	fflush(stdout);
	while (time(NULL) < end) {
		pause_ms(4 * ASK_MS);
		if (access(f->c.path, F_OK) != 0)
			continue;
		json_t *status = ask_status(f->c.path);
		const char *epoch = ask_text(json_object_get(status, "node"), "epoch");
		bool done = epoch && strcmp(epoch, wanted) == 0 &&
			    all_went_over(json_object_get(status, "groups"), f->forced.number);
		done = done && ++seen == 2;
		if (done)
			print_lost(json_object_get(status, "groups"));
		json_decref(status);
		if (!done)
			continue;
		printf("done. A node that was given up comes back with synodd --rejoin %s, and "
		       "votes again after synodctl node add\n",
		       wanted);
		return 0;
	}
	fprintf(stderr,
		"synodctl: nobody leads yet: each of the nodes that were named has to say what it "
		"knows. One that was not reached is asked with --epoch %s at its own socket\n",
		wanted);
	return 1;
}

static int
force_voters(struct force *f)
{
	bool here = f->forced.number != 0;
	struct node_forced now = {0};

	if (!read_change(&f->c))
		return 1;
	json_t *status = ask_status(f->c.path);
	const char *epoch = ask_text(json_object_get(status, "node"), "epoch");
	bool known = status && epoch && epoch_read(epoch, &now);
	const char *why = known ? force_refused(f, status) : "this node's epoch is not known";
	json_decref(status);
	if (why) {
		fprintf(stderr, "synodctl: %s\n", why);
		return 1;
	}
	print_nodes("nodes that vote now:                 ", f->c.before);
	print_nodes("nodes that go on, and vote after this:", f->c.after);
	print_nodes("nodes that are given up:             ", f->c.before & ~f->c.after);
	printf("what only the nodes that are given up had accepted is lost, acknowledged or not. "
	       "They must\nnot go on by themselves: stop those that still run. They come back "
	       "empty, with synodd --rejoin\n");
	if (!f->yes) {
		printf("nothing is done yet: say so with --yes\n");
		return 1;
	}
	if (!here) {
		f->forced.number = node_force_number(now.number, f->c.after);
		if (f->forced.number > PAXOS_EPOCHS_MAX) {
			fprintf(stderr, "synodctl: this appliance was forced on too often: begin a "
					"new one\n");
			return 1;
		}
		if (getrandom(f->forced.epoch, EPOCH_BYTES, 0) != EPOCH_BYTES)
			return 1;
	}
	fflush(stdout);
	return ask_force(f, here) ? see_force(f) : 1;
}

struct range {
	uint64_t from;
	uint64_t to;
};

/* "SOURCE:FROM-TO": where the colon is, or NULL. */
static const char *
range_of(const char *text, struct range *out)
{
	const char *colon = strrchr(text, ':');

	if (!colon || sscanf(colon, ":%lu-%lu", &out->from, &out->to) != 2)
		return NULL;
	return colon;
}

/* Of a run that the old log had: what its group may have lost. */
static uint32_t
print_common(const json_t *group, const char *run)
{
	struct range had, lost;
	const char *had_colon = range_of(run, &had);
	const json_t *text;
	uint32_t count = 0;
	size_t i;

	json_array_foreach(json_object_get(group, "lost"), i, text)
	{
		const char *colon = range_of(ask_string(text), &lost);
		size_t bytes = colon ? (size_t)(colon - ask_string(text)) : 0;

		if (!had_colon || !colon || (size_t)(had_colon - run) != bytes ||
		    memcmp(run, ask_string(text), bytes) != 0)
			continue;
		uint64_t from = had.from > lost.from ? had.from : lost.from;
		uint64_t to = had.to < lost.to ? had.to : lost.to;
		if (from > to)
			continue;
		printf("group %s lost %.*s:%lu-%lu\n", ask_text(group, "uuid"), (int)bytes, run,
		       from, to);
		count++;
	}
	return count;
}

/* What the log that --rejoin has set aside knew to be accepted, and the groups have not. */
static int
say_lost(const char *path, const char *directory)
{
	char name[4096], line[512], uuid[64], run[256];
	uint32_t count = 0;
	const json_t *group;
	size_t i;

	snprintf(name, sizeof name, "%s/gtids", directory);
	FILE *from = fopen(name, "r");
	if (!from) {
		fprintf(stderr, "synodctl: cannot read %s, which synodd --rejoin writes\n", name);
		return 1;
	}
	json_t *status = ask_status(path);
	while (status && fgets(line, sizeof line, from)) {
		if (sscanf(line, "%63s %255s", uuid, run) != 2)
			continue;
		json_array_foreach(json_object_get(status, "groups"), i, group)
		{
			if (strcmp(ask_text(group, "uuid"), uuid) == 0)
				count += print_common(group, run);
		}
	}
	fclose(from);
	if (status && count == 0)
		printf("the groups have everything that it knew to be accepted\n");
	int code = status ? 0 : 1;
	json_decref(status);
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

/* NUMBER... of a force. */
static bool
read_nodes(char **numbers, int count, uint32_t *nodes)
{
	uint32_t node;

	*nodes = 0;
	for (int i = 0; i < count; i++) {
		if (!read_node(numbers[i], &node))
			return false;
		*nodes |= 1u << node;
	}
	return count > 0;
}

struct words {
	struct force f;
	struct newcomer comer;
	uint32_t add;
	uint32_t remove;
};

static bool
take_option(struct words *w, int o)
{
	char *end;

	switch (o) {
	case 's':
		w->f.c.path = optarg;
		return true;
	case 'y':
		w->f.yes = true;
		return true;
	case 'e':
		return epoch_read(optarg, &w->f.forced) && w->f.forced.number > 0;
	case 'k':
		w->comer.key = optarg;
		return true;
	case 'i':
		w->comer.id = (uint32_t)strtoul(optarg, &end, 10);
		return *end == '\0' && w->comer.id > 0 && w->comer.id <= 65535;
	case 'f':
		w->comer.forget = true;
		return true;
	default:
		return false;
	}
}

/* NUMBER [ADDRESS] of add, NUMBER of remove, OLD NEW [ADDRESS] of replace. */
static bool
read_change_words(struct words *w, const char *verb, char **word, int count)
{
	bool add = strcmp(verb, "add") == 0, replace = strcmp(verb, "replace") == 0;
	int numbers = replace ? 2 : 1;

	if (w->f.yes || w->f.forced.number != 0 || count < numbers ||
	    (!add && !replace && strcmp(verb, "remove") != 0))
		return false;
	if (count == numbers + 1 && (add || replace))
		w->comer.address = word[numbers];
	else if (count > numbers)
		return false;
	if (!w->comer.address && (w->comer.key || w->comer.id != 0))
		return false;
	if (add && w->comer.forget)
		return false;
	if (add)
		return read_node(word[0], &w->add);
	if (!replace)
		return read_node(word[0], &w->remove);
	return read_node(word[0], &w->remove) && read_node(word[1], &w->add) && w->add != w->remove;
}

int
node_command(int argc, char **argv)
{
	static const struct option options[] = {
		{"socket", required_argument, NULL, 's'}, {"epoch", required_argument, NULL, 'e'},
		{"key", required_argument, NULL, 'k'},    {"id", required_argument, NULL, 'i'},
		{"forget", no_argument, NULL, 'f'},       {"yes", no_argument, NULL, 'y'},
		{"help", no_argument, NULL, 'h'},         {0}};
	struct words w = {.f.c.path = ASK_SOCKET_DEFAULT, .add = UINT32_MAX, .remove = UINT32_MAX};
	struct force *f = &w.f;

	for (int o = getopt_long(argc, argv, "", options, NULL); o != -1;
	     o = getopt_long(argc, argv, "", options, NULL)) {
		if (take_option(&w, o))
			continue;
		fputs(usage, o == 'h' ? stdout : stderr);
		return o == 'h' ? 0 : 2;
	}
	const char *verb = optind < argc ? argv[optind] : "";
	char **words = argv + optind + 1;
	int count = argc - optind - 1;
	bool forces = strcmp(verb, "force") == 0;
	bool plain = !f->yes && f->forced.number == 0;
	uint32_t number;

	if ((w.comer.key || w.comer.id != 0 || w.comer.forget) &&
	    (forces || strcmp(verb, "lost") == 0))
		verb = "";
	if (strcmp(verb, "lost") == 0 && count == 1 && plain)
		return say_lost(f->c.path, words[0]);
	if (strcmp(verb, "force") == 0 && read_nodes(words, count, &f->c.after))
		return force_voters(f);
	if (strcmp(verb, "forget") == 0 && count == 1 && plain && read_node(words[0], &number))
		return forget_node(&f->c, number, false);
	if (read_change_words(&w, verb, words, count))
		return change_voters(&f->c, w.add, w.remove, &w.comer);
	fputs(usage, stderr);
	return 2;
}
