/*
 * mysqlshim/explain.h - why a commit was refused, in a sentence for its client.
 *
 * The sentence goes into SHOW WARNINGS beside the error, whose code and text are Group
 * Replication's: there a client learns that it lost, and never to whom.
 *
 * Limits     EXPLAIN_CHARS_MAX with the final 0.
 * Errors     a verdict that needs no word gives false and an empty text.
 * Threads    any.
 */
#ifndef MYSQLSHIM_EXPLAIN_H
#define MYSQLSHIM_EXPLAIN_H

#include <stdbool.h>
#include <stdint.h>

#include "certify/gtid.h"

#ifdef __cplusplus
extern "C" {
#endif

#define EXPLAIN_CHARS_MAX 256

struct explain {
	uint8_t verdict;      /* enum member_verdict of node/member.h; 0: none */
	uint64_t winner_hash; /* CONFLICT: of the row, or of a parent key */
	struct gtid winner;   /* CONFLICT: who was first; gno 0 where the node has forgotten */
};

bool explain_refusal(const struct explain *why, char text[EXPLAIN_CHARS_MAX]);

#ifdef __cplusplus
}
#endif

#endif /* MYSQLSHIM_EXPLAIN_H */
