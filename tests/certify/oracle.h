/*
 * tests/certify/oracle.h - certification and group, slow and obvious.
 *
 * Arrays that only grow, and linear scans: no hash table, no ring, no resumable
 * step, no bit that was saved. It knows certify/ by the format of entries and by
 * nothing else; where both agree on a million logs, the fast one is right or both
 * are wrong in the same way.
 *
 * Answers are words, so that a difference can be read.
 */
#ifndef TESTS_CERTIFY_ORACLE_H
#define TESTS_CERTIFY_ORACLE_H

#include <stdbool.h>
#include <stdint.h>

#include "certify/entry.h"

struct oracle;

struct oracle_answer {
	const char *what; /* "accepted", "void", "joined", "nothing", ... */
	const char *told; /* verdict that is the sequence's one now, "" is none */
	const char *why;  /* of a void join */
	struct gtid gtid;
	uint64_t decided; /* index at which `told` was, or where its transaction is */
	uint64_t dependency;
	uint64_t winner;
	uint64_t winner_hash;
	uint64_t incarnation;
	uint64_t ended;
	uint64_t view;
	bool again;
};

struct oracle *oracle_new(const struct group_config *config);
void oracle_free(struct oracle *o);
struct oracle_answer oracle_apply(struct oracle *o, const struct entry *e);
void oracle_fork(struct oracle *o, uint32_t epoch);

uint64_t oracle_counted(const struct oracle *o); /* hashes that count against the capacity */
uint64_t oracle_horizon(const struct oracle *o);
uint64_t oracle_horizon_wanted(const struct oracle *o);
bool oracle_executed(const struct oracle *o, const struct gtid *gtid);
/* "unknown", "passed", "open", or the verdict. */
const char *oracle_outcome(const struct oracle *o, uint64_t incarnation, uint64_t sequence);

#endif /* TESTS_CERTIFY_ORACLE_H */
