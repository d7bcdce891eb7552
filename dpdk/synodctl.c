/* synodctl - the administrator's tool: asks a synodd over its control socket.
 *
 *     synodctl status [--json] [--socket PATH]
 *     synodctl key new|show|add|remove FILE ...
 *
 * Exits with 0; 1 when synodd cannot be reached or answers with an error; 2 when
 * it was called wrongly. The fields are in docs/status.md. */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <jansson.h>

#include "dpdk/key_command.h"

#define SOCKET_DEFAULT "/run/synod/control"
#define ANSWER_S       5
#define ANSWER_MAX     (4u << 20)

static const char usage[] =
	"usage: synodctl status [--json] [--socket PATH]\n"
	"       synodctl key new|show|add|remove FILE ...\n"
	"       synodctl --help | --version\n"
	"\n"
	"Shows what the synodd behind the control socket knows: nodes, groups,\n"
	"members, log positions, conflicts, and what it dropped and why.\n"
	"  --json         one JSON object (fields: docs/status.md)\n"
	"  --socket PATH  default " SOCKET_DEFAULT "\n";

static int
connect_to(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct timeval timeout = {.tv_sec = ANSWER_S};

	if (strlen(path) >= sizeof address.sun_path) {
		fprintf(stderr, "synodctl: the path of the socket is too long: %s\n", path);
		return -1;
	}
	memcpy(address.sun_path, path, strlen(path) + 1);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) != 0) {
		fprintf(stderr,
			"synodctl: no synodd answers on %s: %s. Is it running? The socket is "
			"[control] socket in its configuration\n",
			path, strerror(errno));
		if (fd >= 0)
			close(fd);
		return -1;
	}
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
	return fd;
}

/* One line, at most ANSWER_MAX bytes. */
static char *
receive_line(int fd, size_t *bytes)
{
	char *line = malloc(ANSWER_MAX);

	*bytes = 0;
	while (line && *bytes < ANSWER_MAX) {
		ssize_t n = recv(fd, line + *bytes, ANSWER_MAX - *bytes, 0);
		if (n <= 0)
			break;
		*bytes += (size_t)n;
		if (line[*bytes - 1] == '\n')
			return line;
	}
	free(line);
	return NULL;
}

static json_t *
ask(const char *path, const char *request)
{
	size_t bytes = 0;
	json_t *answer = NULL;
	int fd = connect_to(path);

	if (fd < 0)
		return NULL;
	char *line = send(fd, request, strlen(request), MSG_NOSIGNAL) == (ssize_t)strlen(request)
			     ? receive_line(fd, &bytes)
			     : NULL;
	close(fd);
	if (line)
		answer = json_loadb(line, bytes, 0, NULL);
	free(line);
	if (!answer)
		fprintf(stderr, "synodctl: synodd on %s gave no answer within %d s\n", path,
			ANSWER_S);
	return answer;
}

static int64_t
number(const json_t *object, const char *key)
{
	return json_integer_value(json_object_get(object, key));
}

static const char *
text(const json_t *object, const char *key)
{
	const char *value = json_string_value(json_object_get(object, key));
	return value ? value : "-";
}

static bool
is_true(const json_t *object, const char *key)
{
	return json_is_true(json_object_get(object, key));
}

static void
print_node(const json_t *status)
{
	const json_t *node = json_object_get(status, "node");
	const json_t *nodes = json_object_get(status, "nodes");
	size_t i;
	json_t *other;

	printf("node %" PRId64 "  version %s  process %" PRId64 "  %s  up %" PRId64
	       " s  profile %s\n",
	       number(node, "number"), text(status, "version"), number(node, "process"),
	       is_true(node, "voting") ? "voting" : "NOT VOTING", number(node, "uptime_s"),
	       text(node, "profile"));
	printf("\nnodes\n");
	json_array_foreach(nodes, i, other) printf(
		"  %" PRId64 "  %-24s %s%s\n", number(other, "number"), text(other, "endpoint"),
		is_true(other, "self")        ? "this node"
		: is_true(other, "connected") ? "connected"
					      : "NOT CONNECTED",
		is_true(other, "differs") ? ", COMPUTED ANOTHER RESULT" : "");
}

static void
print_members(const json_t *group)
{
	const json_t *members = json_object_get(group, "members");
	size_t i;
	json_t *m;

	json_array_foreach(members, i, m)
		printf("    %s  %s:%" PRId64 "  %s  attached to node %" PRId64
		       "%s  committed %" PRId64 "  incarnation %" PRId64 "\n",
		       text(m, "uuid"), text(m, "host"), number(m, "port"),
		       is_true(m, "online") ? "ONLINE" : "RECOVERING", number(m, "attached_to"),
		       is_true(m, "connected_here") ? " (here)" : "", number(m, "committed_index"),
		       number(m, "incarnation"));
}

static void
print_groups(const json_t *status)
{
	size_t i;
	json_t *g;

	printf("\ngroups\n");
	json_array_foreach(json_object_get(status, "groups"), i, g)
	{
		const json_t *leader = json_object_get(g, "leader");
		printf("  %" PRId64 "  %s  ", number(g, "number"), text(g, "uuid"));
		if (json_is_integer(leader))
			printf("leader node %" PRId64, (int64_t)json_integer_value(leader));
		else
			printf("NO LEADER");
		printf("  slot %" PRId64 "  index %" PRId64 "  certified %" PRId64
		       "  conflicts %" PRId64 "  members %" PRId64 "\n",
		       number(g, "delivered_slot"), number(g, "last_index"), number(g, "certified"),
		       number(g, "conflicts"), number(g, "member_count"));
		print_members(g);
	}
	if (is_true(status, "members_cut"))
		printf("  (more members than one answer holds)\n");
}

static void
print_log(const json_t *status)
{
	const json_t *log = json_object_get(status, "log");
	const json_t *space = json_object_get(log, "space_error");
	const json_t *write = json_object_get(log, "write_error");

	printf("\nlog\n  %s\n  durable to %" PRId64 " of %" PRId64 "  %" PRId64 " of %" PRId64
	       " bytes  %" PRId64 " batches\n",
	       text(log, "mode"), number(log, "durable_lsn"), number(log, "next_lsn"),
	       number(log, "live_bytes"), number(log, "bytes_max"), number(log, "batches"));
	if (number(log, "lost_bytes") > 0)
		printf("  THE DISK LOST RECORDS: %" PRId64 " bytes %s from the other nodes\n",
		       number(log, "lost_bytes"),
		       is_true(json_object_get(status, "node"), "repairing") ? "are fetched"
									     : "came again");
	if (json_is_string(space))
		printf("  NO ROOM: %s\n", json_string_value(space));
	if (json_is_string(write))
		printf("  WRITE ERROR, final: %s\n", json_string_value(write));
}

/* Only what happened: zeros say nothing. */
static void
print_drops(const json_t *status)
{
	json_t *places = json_object_get(status, "drops");
	const char *place, *reason;
	json_t *reasons, *count;
	bool any = false;

	printf("\ndropped\n");
	json_object_foreach(places, place, reasons)
	{
		json_object_foreach(reasons, reason, count)
		{
			if (json_integer_value(count) == 0)
				continue;
			printf("  %-16s %-24s %" PRId64 "\n", place, reason,
			       (int64_t)json_integer_value(count));
			any = true;
		}
	}
	if (!any)
		printf("  nothing\n");
}

static int
show_status(const char *path, bool as_json)
{
	json_t *answer = ask(path, "{\"command\": \"status\"}\n");
	const json_t *status = json_object_get(answer, "status");

	if (!answer)
		return 1;
	if (!status) {
		fprintf(stderr, "synodctl: %s\n", text(answer, "error"));
		json_decref(answer);
		return 1;
	}
	if (as_json) {
		(void)json_dumpf(status, stdout, JSON_INDENT(2));
		printf("\n");
	} else {
		print_node(status);
		print_groups(status);
		print_log(status);
		print_drops(status);
	}
	json_decref(answer);
	return 0;
}

int
main(int argc, char **argv)
{
	static const struct option options[] = {{"json", no_argument, NULL, 'j'},
						{"socket", required_argument, NULL, 's'},
						{"help", no_argument, NULL, 'h'},
						{"version", no_argument, NULL, 'v'},
						{0}};
	const char *path = SOCKET_DEFAULT;
	bool as_json = false;

	if (argc > 1 && strcmp(argv[1], "key") == 0)
		return key_command(argc - 2, argv + 2);

	for (int c = getopt_long(argc, argv, "", options, NULL); c != -1;
	     c = getopt_long(argc, argv, "", options, NULL)) {
		switch (c) {
		case 'j':
			as_json = true;
			break;
		case 's':
			path = optarg;
			break;
		case 'h':
			fputs(usage, stdout);
			return 0;
		case 'v':
			printf("synodctl %s\n", SYNOD_VERSION);
			return 0;
		default:
			fputs(usage, stderr);
			return 2;
		}
	}
	if (argc - optind != 1 || strcmp(argv[optind], "status") != 0) {
		fputs(usage, stderr);
		return 2;
	}
	return show_status(path, as_json);
}
