/*
 * A group and short ways to feed it: each function is one entry, at the next
 * index, stepped with the smallest budget, and answers the effect.
 */
#ifndef TESTS_CERTIFY_GROUP_SCRIPT_H
#define TESTS_CERTIFY_GROUP_SCRIPT_H

#include <criterion/criterion.h>
#include <stdlib.h>

#include "certify/group.h"

#define SCRIPT_HASHES_MAX 64

struct script {
	struct group *g;
	void *mem;
	uint64_t session; /* carried by submissions and abandons */
	uint64_t floor;   /* carried by submissions, 1 at least */
	uint64_t mark;    /* of submissions */
	uint64_t seen[8]; /* indexes above the mark that they have seen, ascending; 0 ends */
	uint32_t flags;   /* of submissions */
	uint8_t spec;     /* gtid_spec of submissions */
	struct gtid assigned;
};

static const struct group_config script_config = {.block_size = 1,
						  .index_hashes_max = 64,
						  .inflight_max = 4,
						  .members_max = 3,
						  .protocol = 1};

static inline const struct group_effect *
apply(struct script *s, const struct entry *e)
{
	uint8_t bytes[4096];
	struct writer w = writer_over(bytes, sizeof bytes);
	struct entry decoded;
	entry_encode(e, &w);
	cr_assert(!w.bad);
	cr_assert(entry_decode(&decoded, bytes, w.bytes));
	group_apply_start(s->g, group_applied(s->g) + 1, &decoded);
	while (group_apply_step(s->g, 1) == GROUP_MORE)
		;
	return group_effect(s->g);
}

static inline struct script
script_begin(const struct group_config *config)
{
	struct script s = {.floor = 1, .spec = GTID_AUTOMATIC};
	s.mem = aligned_alloc(64, (group_size(config) + 63) & ~(size_t)63);
	s.g = group_init(s.mem, config);
	return s;
}

static inline const struct group_effect *
create(struct script *s, const struct group_config *config)
{
	struct entry e = {.kind = ENTRY_CREATE};
	e.create = (struct entry_create){.group_uuid = {0xAA}, .config = *config};
	return apply(s, &e);
}

/* A group that exists, at index 1. */
static inline struct script
script_created(void)
{
	struct script s = script_begin(&script_config);
	cr_assert_eq(create(&s, &script_config)->kind, GROUP_CREATED);
	return s;
}

static inline void
script_end(struct script *s)
{
	free(s->mem);
}

static inline const struct group_effect *
join(struct script *s, uint8_t server, uint64_t last_incarnation, uint8_t nonce)
{
	struct entry e = {.kind = ENTRY_JOIN};
	e.join = (struct entry_join){.nonce = {nonce},
				     .server_uuid = {server},
				     .last_incarnation = last_incarnation,
				     .host_bytes = 1,
				     .host = "h",
				     .port = 3306,
				     .epoch = (uint16_t)group_epoch(s->g)};
	return apply(s, &e);
}

static inline const struct group_effect *
leave(struct script *s, uint64_t incarnation)
{
	struct entry e = {.kind = ENTRY_LEAVE, .leave = {incarnation}};
	return apply(s, &e);
}

static inline const struct group_effect *
expel(struct script *s, uint64_t incarnation, uint64_t session)
{
	struct entry e = {.kind = ENTRY_EXPEL, .expel = {incarnation, session, EXPEL_SILENT}};
	return apply(s, &e);
}

static inline const struct group_effect *
attach(struct script *s, uint64_t incarnation, uint64_t session)
{
	struct entry e = {.kind = ENTRY_ATTACH, .attach = {incarnation, session, 2}};
	return apply(s, &e);
}

static inline const struct group_effect *
abandon(struct script *s, uint64_t incarnation, uint64_t sequence)
{
	struct entry e = {.kind = ENTRY_ABANDON,
			  .abandon = {incarnation, s->session, sequence, s->floor}};
	return apply(s, &e);
}

static inline const struct group_effect *
horizon(struct script *s, uint64_t index)
{
	struct entry e = {.kind = ENTRY_HORIZON, .horizon = {index}};
	return apply(s, &e);
}

static inline const struct group_effect *
progress(struct script *s, uint64_t incarnation, uint64_t mark_low, bool ready)
{
	struct entry e = {.kind = ENTRY_PROGRESS,
			  .progress = {incarnation, 1, mark_low, mark_low, ready}};
	return apply(s, &e);
}

/* Writes rows first .. first + count - 1. */
static inline const struct group_effect *
submit_rows(struct script *s, uint64_t incarnation, uint64_t sequence, const uint64_t rows[2])
{
	uint8_t hashes[SCRIPT_HASHES_MAX * ENTRY_HASH_BYTES];
	uint8_t ranges[8 * SNAPSHOT_RANGE_BYTES];
	uint32_t range_count = 0;
	for (uint64_t i = 0; i < rows[1]; i++)
		bytes_put_u64(hashes + i * ENTRY_HASH_BYTES, rows[0] + i);
	for (; range_count < 8 && s->seen[range_count] != 0; range_count++) {
		bytes_put_u64(ranges + range_count * 16, s->seen[range_count]);
		bytes_put_u64(ranges + range_count * 16 + 8, s->seen[range_count]);
	}
	struct entry e = {.kind = ENTRY_SUBMIT};
	e.submit = (struct entry_submit){
		.incarnation = incarnation,
		.session = s->session,
		.sequence = sequence,
		.floor = s->floor,
		.flags = s->flags,
		.gtid_spec = s->spec,
		.assigned = s->assigned,
		.snapshot = {.mark = s->mark, .range_count = range_count, .ranges = ranges},
		.hash_count = (uint32_t)rows[1],
		.hashes = hashes};
	return apply(s, &e);
}

static inline const struct group_effect *
submit(struct script *s, uint64_t incarnation, uint64_t sequence, uint64_t row)
{
	return submit_rows(s, incarnation, sequence, (uint64_t[2]){row, 1});
}

/* A submission that asks for hashes, which nobody has: the order is cut up to `epoch`. */
static inline const struct group_effect *
cut(struct script *s, uint64_t incarnation, uint64_t sequence, uint32_t epoch)
{
	uint8_t reference[ENTRY_SPREAD_BYTES];
	struct entry_spread spread = {
		.bytes = 1000, .chunk_bytes = ENTRY_CHUNK_BYTES_MIN, .hash_count = 40, .offer = 2};
	struct entry e = {.kind = ENTRY_SUBMIT};

	entry_spread_encode(&spread, reference);
	e.submit = (struct entry_submit){.incarnation = incarnation,
					 .session = s->session,
					 .sequence = sequence,
					 .floor = s->floor,
					 .flags = SUBMIT_SPREAD,
					 .gtid_spec = GTID_AUTOMATIC,
					 .snapshot = {.mark = s->mark},
					 .payload_bytes = sizeof reference,
					 .payload = reference};
	group_apply_start(s->g, group_applied(s->g) + 1, &e);
	cr_assert_eq(group_apply_step(s->g, 1), GROUP_HASHES);
	cr_assert(group_may_cut(s->g));
	group_cut(s->g, epoch);
	cr_assert_eq(group_apply_step(s->g, 1), GROUP_DONE);
	return group_effect(s->g);
}

#endif /* TESTS_CERTIFY_GROUP_SCRIPT_H */
