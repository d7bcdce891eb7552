/*
 * certify/gtid.h - sets of GTIDs in a fixed space.
 *
 * A set is a sorted list of sources (uuid, tag), each with a sorted list of
 * intervals that neither overlap nor touch. All intervals lie in one array in
 * the order of their sources; adding moves what lies behind. That costs the
 * more the more holes there are, and executed sets have few.
 *
 * Units      numbers are 1..GNO_MAX, intervals inclusive.
 * Ownership  the caller gives one block of gtid_set_size() bytes, 8-aligned.
 * Limits     `sources_max` and `intervals_max` of init.
 * Errors     a full set is an answer (GTID_SET_FULL), and leaves the set as it
 *            was. Malformed bytes are GTID_SET_BAD.
 * Threads    none of its own.
 */
#ifndef CERTIFY_GTID_H
#define CERTIFY_GTID_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "certify/entry.h"

struct gtid_set;

struct gtid_limits {
	uint32_t sources_max;
	uint32_t intervals_max;
};

enum gtid_result {
	GTID_SET_ADDED = 1,
	GTID_SET_PRESENT = 2, /* all of it was there */
	GTID_SET_FULL = 3,
	GTID_SET_BAD = 4,
};

size_t gtid_set_size(struct gtid_limits limits);
struct gtid_set *gtid_set_init(void *mem, struct gtid_limits limits);
void gtid_set_clear(struct gtid_set *s);

enum gtid_result gtid_set_add(struct gtid_set *s, const struct gtid *gtid);
enum gtid_result gtid_set_add_interval(struct gtid_set *s, const struct gtid_interval *in);

bool gtid_set_contains(const struct gtid_set *s, const struct gtid *gtid);
bool gtid_set_contains_set(const struct gtid_set *s, const struct gtid_set *other);
bool gtid_set_contains_bytes(const struct gtid_set *s, struct gtid_bytes other);

/* Whether any one GTID of this source could be added. */
bool gtid_set_has_room(const struct gtid_set *s, const struct gtid_source *source);

/* The first run of numbers of `source` that are not in the set and not below
 * `from`: answers its first number, 0 for none; *to is its last. */
uint64_t gtid_set_free(const struct gtid_set *s, const struct gtid_source *source, uint64_t from,
		       uint64_t *to);

uint32_t gtid_set_sources(const struct gtid_set *s);
uint32_t gtid_set_intervals(const struct gtid_set *s);
const struct gtid_source *gtid_set_source_at(const struct gtid_set *s, uint32_t i);

/* The `at`-th of all intervals, in the order of their sources; false: there are fewer. */
bool gtid_set_interval_at(const struct gtid_set *s, uint32_t at, struct gtid_interval *out);

/* Bytes of encode(): the form of struct gtid_bytes. */
size_t gtid_set_bytes(const struct gtid_set *s);
void gtid_set_encode(const struct gtid_set *s, struct writer *w);
/* The same of a part: intervals of one source, from the `first` of all intervals on, as many
 * as the writer has room for. Answers the one behind them. */
uint32_t gtid_set_encode_run(const struct gtid_set *s, uint32_t first, struct writer *w);
/* Adds what the bytes hold: ADDED, FULL or BAD (then the set holds a part). */
enum gtid_result gtid_set_decode(struct gtid_set *s, struct gtid_bytes in);

#endif /* CERTIFY_GTID_H */
