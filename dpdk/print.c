/* Answers of a synodd, for people: see print.h. */
#include "dpdk/print.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "dpdk/ask.h"

static void
print_node(const json_t *status)
{
	const json_t *node = json_object_get(status, "node");
	const json_t *nodes = json_object_get(status, "nodes");
	size_t i;
	json_t *other;

	printf("node %" PRId64 "  version %s  process %" PRId64 "  %s  up %" PRId64
	       " s  profile %s\n",
	       ask_number(node, "number"), ask_text(status, "version"), ask_number(node, "process"),
	       ask_is_true(node, "voting") ? "voting" : "NOT VOTING", ask_number(node, "uptime_s"),
	       ask_text(node, "profile"));
	printf("\nnodes\n");
	json_array_foreach(nodes, i, other)
		printf("  %" PRId64 "  %-24s %s%s%s\n", ask_number(other, "number"),
		       ask_text(other, "endpoint"),
		       ask_is_true(other, "self")        ? "this node"
		       : ask_is_true(other, "connected") ? "connected"
							 : "NOT CONNECTED",
		       ask_is_true(other, "votes") ? "" : ", does not vote",
		       ask_is_true(other, "outdated")   ? ", REFUSED: ITS LOG IS OLDER THAN IT WAS"
		       : ask_is_true(other, "differs")  ? ", COMPUTED ANOTHER RESULT"
		       : ask_is_true(other, "stranger") ? ", ANOTHER CAME WITH ITS NUMBER"
							: "");
}

static void
print_members(const json_t *group)
{
	const json_t *members = json_object_get(group, "members");
	size_t i;
	json_t *m;

	json_array_foreach(members, i, m) printf(
		"    %s  %s:%" PRId64 "  %s  attached to node %" PRId64 "%s  committed %" PRId64
		"  incarnation %" PRId64 "\n",
		ask_text(m, "uuid"), ask_text(m, "host"), ask_number(m, "port"),
		ask_is_true(m, "online") ? "ONLINE" : "RECOVERING", ask_number(m, "attached_to"),
		ask_is_true(m, "connected_here") ? " (here)" : "", ask_number(m, "committed_index"),
		ask_number(m, "incarnation"));
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
		printf("  %" PRId64 "  %s  ", ask_number(g, "number"), ask_text(g, "uuid"));
		if (ask_is_true(json_object_get(g, "configuration"), "all_lead"))
			printf("all voters lead");
		else if (json_is_integer(leader))
			printf("leader node %" PRId64, (int64_t)json_integer_value(leader));
		else
			printf("NO LEADER");
		printf("  slot %" PRId64 "  index %" PRId64 "  certified %" PRId64
		       "  conflicts %" PRId64 "  members %" PRId64 "\n",
		       ask_number(g, "delivered_slot"), ask_number(g, "last_index"),
		       ask_number(g, "certified"), ask_number(g, "conflicts"),
		       ask_number(g, "member_count"));
		print_members(g);
	}
	if (ask_is_true(status, "members_cut"))
		printf("  (more members than one answer holds)\n");
}

static void
print_log(const json_t *status)
{
	const json_t *log = json_object_get(status, "log");
	const json_t *space = json_object_get(log, "space_error");
	const json_t *write = json_object_get(log, "write_error");

	if (ask_number(json_object_get(status, "node"), "members_diverged") > 0)
		printf("\nMEMBERS THAT COMMITTED SOMETHING ELSE THAN WAS ORDERED: %" PRId64
		       ", see the log of synodd\n",
		       ask_number(json_object_get(status, "node"), "members_diverged"));
	printf("\nlog\n  %s\n  durable to %" PRId64 " of %" PRId64 "  %" PRId64 " of %" PRId64
	       " bytes used  %" PRId64 " batches\n",
	       ask_text(log, "mode"), ask_number(log, "durable_lsn"), ask_number(log, "next_lsn"),
	       ask_number(log, "live_bytes"), ask_number(log, "bytes_max"),
	       ask_number(log, "batches"));
	if (ask_number(log, "lost_bytes") > 0)
		printf("  THE DISK LOST RECORDS: %" PRId64 " bytes %s from the other nodes\n",
		       ask_number(log, "lost_bytes"),
		       ask_is_true(json_object_get(status, "node"), "repairing") ? "are fetched"
										 : "came again");
	if (json_is_string(space))
		printf("  NO ROOM: %s\n", json_string_value(space));
	if (json_is_string(write))
		printf("  WRITE ERROR, final: %s\n", json_string_value(write));
}

/* What a round waits for, as a sentence goes on. */
static void
print_round(const json_t *images)
{
	const char *round = ask_text(images, "round");
	bool of_member = json_is_string(json_object_get(images, "member"));

	if (strcmp(round, "none") == 0)
		return;
	printf("  images of the groups at LSN %" PRId64, ask_number(images, "round_lsn"));
	if (strcmp(round, "written") == 0)
		printf(" are being written\n");
	else if (strcmp(round, "on_disk") == 0)
		printf(" wait for the disk\n");
	else if (strcmp(round, "given") == 0)
		printf(" wait until another node has taken those before\n");
	else if (strcmp(round, "nodes") == 0)
		printf(" wait until most nodes say that they computed the same\n");
	else if (of_member)
		printf(" WAIT FOR MEMBER %s of group %" PRId64 ", committed %" PRId64 " of %" PRId64
		       "\n",
		       ask_text(images, "member"), ask_number(images, "group"),
		       ask_number(images, "committed_index"), ask_number(images, "index"));
	else
		printf(" WAIT FOR A MEMBER of group %" PRId64 " that has committed %" PRId64 "\n",
		       ask_number(images, "group"), ask_number(images, "index"));
}

static void
print_images(const json_t *status)
{
	const json_t *images = json_object_get(status, "images");

	if (ask_number(images, "every_bytes") == 0)
		return;
	printf("  trimmed below LSN %" PRId64, ask_number(images, "trimmed_lsn"));
	if (ask_number(images, "used") > 0)
		printf(", last %" PRId64 " s ago", ask_number(images, "used_s_ago"));
	printf("\n");
	if (ask_is_true(images, "submissions_wait"))
		printf("  LITTLE ROOM: SUBMISSIONS WAIT until the log is trimmed\n");
	print_round(images);
	if (json_is_integer(json_object_get(images, "taken_from")))
		printf("  TAKES THE IMAGE of group %" PRId64 " from node %" PRId64 ": %" PRId64
		       " of %" PRId64 " parts are here\n",
		       ask_number(images, "taken_group"), ask_number(images, "taken_from"),
		       ask_number(images, "taken_parts"), ask_number(images, "taken_parts_all"));
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

/* What may be missing, by GTID: no survivor knows whether it was given, and it is not given
 * again. */
static void
print_lost_of(const json_t *group)
{
	const char *uuid = ask_text(group, "uuid");
	const json_t *text;
	size_t i;

	json_array_foreach(json_object_get(group, "lost"), i, text)
		printf("group %s may have lost %s\n", uuid, ask_string(text));
	if (ask_number(group, "cut_index") > 0)
		printf("group %s is cut at entry %" PRId64 ", which needs the write set of a large "
		       "transaction that only\nthe lost had: it and what they had ordered behind "
		       "it "
		       "is void, and what was given of it is among these\n",
		       uuid, ask_number(group, "cut_index"));
}

/* What is accepted, and nobody can be given any more. */
static uint32_t
print_gone_of(const json_t *group)
{
	const json_t *text;
	uint32_t count = 0;
	size_t i;

	json_array_foreach(json_object_get(group, "gone"), i, text)
	{
		printf("group %s has accepted %s, whose content only the lost had\n",
		       ask_text(group, "uuid"), ask_string(text));
		count++;
	}
	return count;
}

void
print_lost(const json_t *groups)
{
	const json_t *group;
	uint32_t gone = 0;
	size_t i;

	json_array_foreach(groups, i, group)
	{
		print_lost_of(group);
		gone += print_gone_of(group);
	}
	printf("numbers that may be lost are not given again; a server that has committed one of "
	       "them is refused, and has to be cloned.\nsynodctl node lost says which of them a "
	       "node that was given up had, when it comes back\n");
	if (gone > 0)
		printf("a server that lacks one whose content is gone cannot join: it is cloned "
		       "from one that has it. Where\nthere is none, an empty transaction is "
		       "committed under that GTID on each server\n");
}

static bool
somebody_lost(const json_t *groups)
{
	const json_t *group;
	size_t i;

	json_array_foreach(groups, i, group)
	{
		if (json_array_size(json_object_get(group, "lost")) > 0 ||
		    json_array_size(json_object_get(group, "gone")) > 0 ||
		    ask_number(group, "cut_index") > 0)
			return true;
	}
	return false;
}

void
print_status(const json_t *status)
{
	const json_t *groups = json_object_get(status, "groups");

	print_node(status);
	print_groups(status);
	if (somebody_lost(groups)) {
		printf("\nlost by a force\n");
		print_lost(groups);
	}
	print_log(status);
	print_images(status);
	print_drops(status);
}
