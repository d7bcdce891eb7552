/* synodctl - the administrator's tool: asks a synodd over its control socket.
 *
 *     synodctl status [--json] [--socket PATH]
 *     synodctl node add|remove|replace NUMBER ... [--socket PATH]
 *     synodctl group list|kind|horizon|drop ... [--socket PATH]
 *     synodctl member list|expel ... [--socket PATH]
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

#include "dpdk/ask.h"
#include "dpdk/group_command.h"
#include "dpdk/key_command.h"
#include "dpdk/member_command.h"
#include "dpdk/node_command.h"
#include "dpdk/print.h"

static const char usage[] =
	"usage: synodctl status [--json] [--socket PATH]\n"
	"       synodctl node add|remove|replace NUMBER ... [--socket PATH]\n"
	"       synodctl group list|kind|horizon|drop ... [--socket PATH]\n"
	"       synodctl member list|expel ... [--socket PATH]\n"
	"       synodctl key new|show|add|remove FILE ...\n"
	"       synodctl --help | --version\n"
	"\n"
	"Shows what the synodd behind the control socket knows: nodes, groups,\n"
	"members, log positions, conflicts, and what it dropped and why.\n"
	"  --json         one JSON object (fields: docs/status.md)\n"
	"  --socket PATH  default " ASK_SOCKET_DEFAULT "\n";

static int
show_status(const char *path, bool as_json)
{
	json_t *status = ask_status(path);

	if (!status)
		return 1;
	if (as_json) {
		(void)json_dumpf(status, stdout, JSON_INDENT(2));
		printf("\n");
	} else {
		print_status(status);
	}
	json_decref(status);
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
	const char *path = ASK_SOCKET_DEFAULT;
	bool as_json = false;

	if (argc > 1 && strcmp(argv[1], "key") == 0)
		return key_command(argc - 2, argv + 2);
	if (argc > 1 && strcmp(argv[1], "node") == 0)
		return node_command(argc - 1, argv + 1);
	if (argc > 1 && strcmp(argv[1], "group") == 0)
		return group_command(argc - 1, argv + 1);
	if (argc > 1 && strcmp(argv[1], "member") == 0)
		return member_command(argc - 1, argv + 1);

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
