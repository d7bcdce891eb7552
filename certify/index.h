/*
 * certify/index.h - who wrote a row last, and the verdict that follows.
 *
 * The index maps the hash of a row to the log index of the last accepted
 * transaction that wrote it. A transaction conflicts when, for one of its
 * hashes, that writer is neither in its snapshot nor one of its own (entry.h,
 * SUBMIT_TRUSTS_OWN).
 *
 *     certify_start(&job, &submit, index);
 *     while ((answer = certify_step(x, &job, budget)) <= CERTIFY_OWN)
 *             if (answer == CERTIFY_HASHES)
 *                     certify_hashes(&job, hashes, count);
 *             else if (answer == CERTIFY_OWN)
 *                     certify_own(&job, indexes, count);
 *
 * Hashes that are not in the entry are asked for, from job.next on, and come in
 * pieces of any length: each is looked up, then each is inserted, so a write set of
 * several pieces is asked for twice. Where it is cut cannot be seen in any answer.
 *
 * All lookups come before the first insertion, so that a refused transaction
 * leaves no trace. Nothing else may touch the index between start and answer,
 * but for index_sweep().
 *
 * The snapshot of the shim holds the transactions that its own server has
 * committed, as any others: clients of one server that write one row in turn
 * never refuse each other.
 *
 * Horizon    From index_set_horizon(h) on, every writer at or below h is absent
 *            to every lookup, swept or not. Sweeping frees slots and is not
 *            visible: neither in a verdict, nor in FULL, nor in a digest.
 * Full       decided by what *counts*, a number that is the same on all nodes;
 *            see index.c. Physical room is then there always.
 * Units      budgets of hashes and of slots. A hash has its top bit clear.
 * Ownership  one block of index_size() bytes, 64-aligned, from the caller, and
 *            best on huge pages: a lookup is one miss of cache and TLB.
 * Limits     INDEX_HASHES_MAX. A log index is never 0.
 * Errors     FULL is a verdict. A malformed image is said to be so.
 * Threads    one core owns it.
 */
#ifndef CERTIFY_INDEX_H
#define CERTIFY_INDEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "certify/entry.h"

#define INDEX_HASHES_MAX  (UINT32_C(1) << 30)
#define INDEX_BATCH       32  /* lookups whose cache misses overlap */
#define INDEX_GENERATIONS 128 /* boundaries that are kept, see index.c */

struct certify_index;

enum certify_answer {
	CERTIFY_MORE = 1,
	CERTIFY_HASHES = 2, /* those from job.next on are needed */
	CERTIFY_OWN = 3,    /* certify_own() is needed: the snapshot lacks a writer */
	CERTIFY_ACCEPT = 4,
	CERTIFY_REFUSE = 5,
	CERTIFY_FULL = 6,
};

struct certify_job {
	const struct entry_submit *submit;
	uint64_t index;       /* of the submission: what its hashes will map to */
	uint64_t last_writer; /* highest one found above the horizon, 0 none */
	uint64_t winner;      /* REFUSE: the writer that was not seen; 0: see winner_hash */
	uint64_t winner_hash; /* REFUSE: of this hash, or it is one that nobody may send */
	uint32_t count;       /* hashes in all */
	const uint8_t *piece; /* those from piece_first to below piece_end */
	uint32_t piece_first;
	uint32_t piece_end;
	uint32_t next;  /* hash to look at */
	uint32_t fresh; /* hashes so far that do not count yet */
	bool inserting; /* all lookups passed */
	/* With SUBMIT_TRUSTS_OWN: writers that are no conflict besides those seen. */
	const uint64_t *own;
	uint32_t own_count;
	bool own_known;
};

size_t index_size(uint32_t hashes_max);
struct certify_index *index_init(void *mem, uint32_t hashes_max);

/* Makes an empty index smaller than its memory: CREATE asked for less. */
void index_limit(struct certify_index *x, uint32_t hashes_max);

/* last[i] = the last writer of the i-th of n <= INDEX_BATCH hashes (8 unaligned
 * bytes each), 0 where there is none above the horizon. */
void index_lookup_batch(const struct certify_index *x, const uint8_t *hashes, uint32_t n,
			uint64_t *last);

void certify_start(struct certify_job *job, const struct entry_submit *submit, uint64_t index);
enum certify_answer certify_step(struct certify_index *x, struct certify_job *job,
				 uint32_t budget_hashes);
/* The hashes from job->next on: at least one, and not more than there are. They are
 * lent until certify_step() answers something else than MORE. */
void certify_hashes(struct certify_job *job, const uint8_t *hashes, uint32_t count);

/* Indexes of the writers that the submission's origin vouches for, in any order; asked
 * for at most once, and lent until the answer. */
void certify_own(struct certify_job *job, const uint64_t *own, uint32_t count);

/* Asks the cache for what the first hashes of a coming submission will touch. */
void index_prefetch(const struct certify_index *x, const struct entry_submit *submit);

/* `horizon` never falls; `at` is the index of the entry that moves it. */
void index_set_horizon(struct certify_index *x, uint64_t horizon, uint64_t at);
bool index_sweep(struct certify_index *x, uint32_t budget_slots); /* true: more to do */
bool index_sweep_due(const struct certify_index *x); /* so many are dead that a round pays */

uint64_t index_horizon(const struct certify_index *x);
uint64_t index_count(const struct certify_index *x);    /* hashes that count */
uint64_t index_occupied(const struct certify_index *x); /* slots; differs between nodes */

/*
 * The image, in pieces, while entries go on being applied between them:
 *
 *     index_image_begin(x);
 *     while (index_image_more(x))
 *             index_image_next(x, writer, budget);     and entries in between
 *     index_image_end(x, writer);
 *
 * It is of the moment of its end. The table is gone through once; what is written behind
 * the place that was reached goes into the image once more, and the later one counts. So
 * nobody waits for a large index, and no copy of it is made. index_image_full() says that
 * pieces must be taken before more is written; who does not has lost the image, and
 * index_image_next() answers false. It writes nothing where it found nothing; a piece fits any
 * writer of INDEX_PIECE_BYTES_MIN.
 */
#define INDEX_PIECE_BYTES_MIN 4096

void index_image_begin(struct certify_index *x);
void index_image_forget(struct certify_index *x);
bool index_image_more(const struct certify_index *x);
bool index_image_full(const struct certify_index *x);
bool index_image_next(struct certify_index *x, struct writer *w, uint32_t budget_slots);
void index_image_end(struct certify_index *x, struct writer *w);

/* Into an index fresh from index_init(): each piece, then what end() wrote, then check()
 * until it says that it is done. False, or CHECK_BAD: malformed. Every writer must be at
 * most `applied`. */
enum index_check {
	INDEX_CHECK_MORE = 1,
	INDEX_CHECK_DONE = 2,
	INDEX_CHECK_BAD = 3,
};

bool index_load(struct certify_index *x, struct reader *r);
bool index_load_end(struct certify_index *x, struct reader *r);
enum index_check index_load_check(struct certify_index *x, uint64_t applied, uint32_t budget_slots);

#endif /* CERTIFY_INDEX_H */
