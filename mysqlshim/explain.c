#include "mysqlshim/explain.h"

#include <inttypes.h>
#include <stdio.h>

#include "mysqlshim/gtid_text.h"
#include "node/member.h"

static void
explain_conflict(const struct explain *why, char text[EXPLAIN_CHARS_MAX])
{
	char winner[GTID_CHARS_MAX + 1] = "another, earlier one";

	if (why->winner.gno != 0)
		gtid_format(&why->winner, winner);
	snprintf(text, EXPLAIN_CHARS_MAX,
		 "Transaction %s changed a row that this one changed too (key hash %016" PRIx64
		 "), and had not been applied here yet. Run this one again.",
		 winner, why->winner_hash);
}

bool
explain_refusal(const struct explain *why, char text[EXPLAIN_CHARS_MAX])
{
	const char *fixed = "";

	text[0] = '\0';
	switch ((enum member_verdict)why->verdict) {
	case MEMBER_CONFLICT:
		explain_conflict(why, text);
		return true;
	case MEMBER_STALE:
		fixed = "This server lags so far behind the group that the rows changed meanwhile "
			"are no longer known one by one. Run the transaction again when the server "
			"has caught up.";
		break;
	case MEMBER_FULL:
		fixed = "The group's certification index is full: too many rows were changed that "
			"not every server has applied yet. Wait for the slowest one, or raise "
			"index_hashes_max of the appliance.";
		break;
	case MEMBER_GTID_REFUSED:
		fixed = "The GTID that was set for this transaction is taken, or no number is "
			"left.";
		break;
	case MEMBER_NO_ROOM:
		fixed = "Too many transactions wait for their verdict on this server, or this one "
			"is larger than the appliance takes (payload_bytes_max, and a quarter of "
			"log_bytes_max).";
		break;
	case MEMBER_ENDED:
		fixed = "This server is leaving the group.";
		break;
	case MEMBER_ACCEPTED:
	case MEMBER_ABANDONED:
		break;
	}
	snprintf(text, EXPLAIN_CHARS_MAX, "%s", fixed);
	return fixed[0] != '\0';
}
