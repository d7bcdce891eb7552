/*
 * certify_property --seed S --runs N
 *
 * N random logs, of seeds S .. S + N - 1, through the oracle and two groups. One
 * group takes the smallest steps and never sweeps of its own accord; the other
 * takes steps of any size, sweeps when it likes and is now and then replaced by
 * its state image, which is written while entries are applied. Each gets half of the write sets in
 * pieces, cut anywhere. After every entry all three must agree.
 *
 * The logs are what a hostile network could make of honest members, and then some:
 * copies, old sessions, dead incarnations, sequences out of the window, snapshots
 * from the future, tiny indexes, more servers than are remembered, forces, and what was
 * asked for before one.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "certify/group.h"
#include "tests/certify/image.h"
#include "tests/certify/oracle.h"

#define ENTRY_MAX  2048
#define SERVERS    20
#define COPIES     8
#define HEARD_MAX  30
#define HASHES_MAX 40
#define IMAGE_MAX  (4 << 20)

struct server {
	uint64_t incarnation; /* last it knows, 0 none */
	uint64_t session;
	uint64_t sequence;
	uint64_t floor;
	uint8_t nonce;
};

struct copy {
	uint8_t bytes[ENTRY_MAX];
	size_t n;
};

struct world {
	uint64_t random;
	struct group_config config;
	struct oracle *oracle;
	struct group *small; /* smallest steps, no sweep */
	struct group *free;  /* any steps, sweeps, images */
	void *memory[3];
	int free_at;  /* which memory `free` is in: 1 or 2 */
	bool imaging; /* of `free`, into `image` */
	struct writer image;
	uint64_t index;
	uint64_t rows;
	uint64_t horizons; /* percent of the horizon entries that are fed */
	uint32_t servers;
	struct server server[SERVERS];
	struct copy copy[COPIES];
	uint32_t copies;
	uint64_t heard[HEARD_MAX]; /* how often each of must_hear was the answer */
};

/* A log in which one of these never happens would prove nothing about it. */
static const char *const must_hear[HEARD_MAX] = {"accepted",
						 "refused",
						 "stale",
						 "full",
						 "gtid",
						 "abandoned",
						 "void",
						 "joined",
						 "left",
						 "expelled",
						 "attached",
						 "online",
						 "horizon",
						 "created",
						 "closed",
						 "no group",
						 "not last",
						 "no room",
						 "extra gtids",
						 "others live",
						 "join again",
						 "again",
						 "told before",
						 "accepted in pieces",
						 "refused in pieces",
						 "full in pieces",
						 "image",
						 "image begun before the group",
						 "before force",
						 "closed behind a force"};

static uint64_t
draw(struct world *w, uint64_t below)
{
	w->random += 0x9E3779B97F4A7C15u;
	uint64_t z = w->random;
	z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
	z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
	return ((z ^ (z >> 31)) >> 16) % below;
}

static bool
percent(struct world *w, uint64_t p)
{
	return draw(w, 100) < p;
}

/* --- words ------------------------------------------------------------- */

static const char *const verdicts[] = {[GROUP_ACCEPTED] = "accepted",
				       [GROUP_REFUSED] = "refused",
				       [GROUP_REFUSED_STALE] = "stale",
				       [GROUP_REFUSED_FULL] = "full",
				       [GROUP_REFUSED_GTID] = "gtid",
				       [GROUP_ABANDONED] = "abandoned",
				       [GROUP_VOID] = "void"};

static const char *const changes[] = {
	[GROUP_JOINED] = "joined",       [GROUP_JOIN_AGAIN] = "join again",
	[GROUP_JOIN_VOID] = "join void", [GROUP_LEFT] = "left",
	[GROUP_EXPELLED] = "expelled",   [GROUP_ATTACHED] = "attached",
	[GROUP_ONLINE] = "online"};

static const char *const reasons[] = {"",
				      [GROUP_JOIN_NO_GROUP] = "no group",
				      [GROUP_JOIN_NOT_LAST] = "not last",
				      [GROUP_JOIN_NO_ROOM] = "no room",
				      [GROUP_JOIN_EXTRA_GTIDS] = "extra gtids",
				      [GROUP_JOIN_OTHERS_LIVE] = "others live",
				      [GROUP_JOIN_IS_GROUP_UUID] = "is group uuid",
				      [GROUP_JOIN_BEFORE_FORCE] = "before force"};

static const char *
word_of(const struct group_effect *f)
{
	switch ((enum group_effect_kind)f->kind) {
	case GROUP_VERDICT:
		return verdicts[f->verdict];
	case GROUP_VIEW:
		return changes[f->change];
	case GROUP_HORIZON:
		return "horizon";
	case GROUP_CREATED:
		return "created";
	case GROUP_CLOSED:
		return "closed";
	case GROUP_NOTHING:
		break;
	}
	return "nothing";
}

/* --- comparison -------------------------------------------------------- */

static const char *
compare_outcome(const struct group_outcome *o, const struct oracle_answer *a)
{
	if (strcmp(o->verdict ? verdicts[o->verdict] : "", a->told) != 0)
		return "outcome";
	if (o->verdict == 0)
		return NULL;
	if (o->index != a->decided || o->again != a->again)
		return "index of the outcome";
	if (!gtid_equal(&o->gtid, &a->gtid))
		return "gtid";
	if (o->dependency != a->dependency)
		return "dependency";
	if (o->winner != a->winner || o->winner_hash != a->winner_hash)
		return "winner";
	return NULL;
}

static const char *
compare_effect(const struct group_effect *f, const struct oracle_answer *a)
{
	if (strcmp(word_of(f), a->what) != 0)
		return "effect";
	if (f->kind == GROUP_VERDICT)
		return compare_outcome(&f->outcome, a);
	if (f->kind != GROUP_VIEW)
		return NULL;
	if (f->incarnation != a->incarnation || f->ended != a->ended)
		return "incarnation";
	if (f->change == GROUP_JOIN_VOID && strcmp(reasons[f->reason], a->why) != 0)
		return "reason";
	return f->view != a->view ? "view" : NULL;
}

/* What any node may ask at any time, for one random member and sequence. */
static const char *
compare_queries(struct world *w, const struct group *g)
{
	const struct server *s = &w->server[draw(w, w->servers)];
	uint64_t sequence = s->floor + draw(w, w->config.inflight_max + 1);
	struct gtid gtid = {.gno = 1 + draw(w, 40)};
	struct group_outcome out = {0};
	const char *said = "unknown";
	switch (group_outcome(g, s->incarnation, sequence, &out)) {
	case GROUP_KNOWN:
		said = verdicts[out.verdict];
		break;
	case GROUP_OPEN:
		said = "open";
		break;
	case GROUP_PASSED:
		said = "passed";
		break;
	case GROUP_UNKNOWN:
		break;
	}
	memcpy(gtid.source.uuid, group_uuid(g), UUID_BYTES);
	if (strcmp(said, oracle_outcome(w->oracle, s->incarnation, sequence)) != 0)
		return "outcome that is asked for";
	if (gtid_set_contains(group_executed(g), &gtid) != oracle_executed(w->oracle, &gtid))
		return "executed set";
	return NULL;
}

static const char *
compare_state(struct world *w)
{
	const struct group *g = w->free;
	if (group_digest(w->small) != group_digest(g))
		return "digests";
	if (group_horizon(g) != oracle_horizon(w->oracle))
		return "horizon";
	if (group_created(g) && group_index_hashes(g) != oracle_counted(w->oracle))
		return "what counts in the index";
	if (group_created(g) && group_horizon_wanted(g) != oracle_horizon_wanted(w->oracle))
		return "wanted horizon";
	return compare_queries(w, g);
}

/* --- groups ------------------------------------------------------------ */

/* The same submission with its write set out of the entry, in front of a payload. */
static struct entry
spread_of(const struct entry *e, uint64_t index, uint8_t reference[ENTRY_SPREAD_BYTES])
{
	struct entry out = *e;
	struct entry_spread spread = {.bytes = e->submit.hash_count * ENTRY_HASH_BYTES + 1,
				      .chunk_bytes = ENTRY_CHUNK_BYTES_MIN,
				      .hash_count = e->submit.hash_count,
				      .offer = index};
	entry_spread_encode(&spread, reference);
	out.submit.flags |= SUBMIT_SPREAD;
	out.submit.hash_count = 0;
	out.submit.hashes = NULL;
	out.submit.payload = reference;
	out.submit.payload_bytes = ENTRY_SPREAD_BYTES;
	return out;
}

static void
hear_word(struct world *w, const char *word)
{
	for (int i = 0; i < HEARD_MAX; i++)
		w->heard[i] += strcmp(word, must_hear[i]) == 0;
}

/* A piece is gone as soon as another is asked for. */
static void
give_piece(struct world *w, struct group *g, const struct entry_submit *s, uint8_t *piece)
{
	uint32_t next = group_hashes_next(g);
	uint32_t count = 1 + (uint32_t)draw(w, s->hash_count - next);
	memset(piece, 0xdd, HASHES_MAX * ENTRY_HASH_BYTES);
	memcpy(piece, s->hashes + (size_t)next * ENTRY_HASH_BYTES,
	       (size_t)count * ENTRY_HASH_BYTES);
	group_hashes(g, piece, count);
}

/* A few more pieces of `free`'s image. */
static enum group_image_step
some_pieces(struct world *w)
{
	enum group_image_step step = GROUP_IMAGE_MORE;

	for (uint64_t i = draw(w, 4); i > 0 && step == GROUP_IMAGE_MORE; i--)
		step = image_piece(w->free, &w->image, (uint32_t)draw(w, 30));
	if (step == GROUP_IMAGE_BAD)
		hear_word(w, "image begun before the group");
	return step;
}

static void
apply(struct world *w, struct group *g, const struct entry *e, uint32_t budget_max)
{
	uint8_t reference[ENTRY_SPREAD_BYTES], piece[HASHES_MAX * ENTRY_HASH_BYTES];
	bool pieces = e->kind == ENTRY_SUBMIT && e->submit.hash_count > 0 && percent(w, 50);
	struct entry spread;
	if (pieces)
		spread = spread_of(e, w->index, reference);
	group_apply_start(g, w->index, pieces ? &spread : e);
	enum group_step step = GROUP_MORE;
	for (int i = 0; i < 100000 && step != GROUP_DONE; i++) {
		step = group_apply_step(g, 1 + (uint32_t)draw(w, budget_max));
		if (step == GROUP_HASHES)
			give_piece(w, g, &e->submit, piece);
		if (step != GROUP_DONE && w->imaging && g == w->free)
			w->imaging = some_pieces(w) != GROUP_IMAGE_BAD;
	}
	if (step != GROUP_DONE)
		abort();
	if (pieces && group_effect(g)->verdict == GROUP_ACCEPTED)
		hear_word(w, "accepted in pieces");
	if (pieces && group_effect(g)->verdict == GROUP_REFUSED)
		hear_word(w, "refused in pieces");
	if (pieces && group_effect(g)->verdict == GROUP_REFUSED_FULL)
		hear_word(w, "full in pieces");
}

/* Begins an image of `free`, or goes on with it. A whole one takes its place. */
static const char *
through_image(struct world *w)
{
	if (!w->imaging && !percent(w, 8))
		return NULL;
	if (!w->imaging) {
		w->image.bytes = 0;
		group_image_begin(w->free);
	}
	w->imaging = true;
	enum group_image_step step = some_pieces(w);
	while (step == GROUP_IMAGE_MORE && group_image_closing(w->free))
		step = image_piece(w->free, &w->image, 1);
	if (step == GROUP_IMAGE_MORE)
		return NULL;
	w->imaging = false;
	if (step == GROUP_IMAGE_BAD)
		return NULL;
	hear_word(w, "image");
	w->free_at = 3 - w->free_at;
	w->free = image_read(w->memory[w->free_at], &w->config, w->image.data, w->image.bytes);
	return w->free ? NULL : "image that does not decode";
}

static void
learn(struct world *w, const struct entry *e, const struct group_effect *f)
{
	if (e->kind != ENTRY_JOIN || f->kind != GROUP_VIEW)
		return;
	struct server *s = &w->server[e->join.server_uuid[0] - 1];
	if (f->change == GROUP_JOINED)
		*s = (struct server){f->incarnation, 0, 0, 1, e->join.nonce[0]};
	else if (f->reason == GROUP_JOIN_NOT_LAST)
		s->incarnation = f->incarnation;
}

static void
hear(struct world *w, const struct oracle_answer *a)
{
	bool before = strcmp(a->what, "void") == 0 && a->told[0] != 0;
	for (int i = 0; i < HEARD_MAX; i++)
		w->heard[i] += strcmp(a->what, must_hear[i]) == 0 ||
			       strcmp(a->why, must_hear[i]) == 0 ||
			       (a->again && strcmp("again", must_hear[i]) == 0) ||
			       (before && strcmp("told before", must_hear[i]) == 0);
}

/* A majority is lost here. */
static void
fork_all(struct world *w)
{
	uint32_t epoch = group_epoch(w->free) + 1 + (uint32_t)draw(w, 3);
	if (epoch >= GROUP_EPOCHS_MAX)
		return;
	oracle_fork(w->oracle, epoch);
	group_fork(w->small, epoch);
	group_fork(w->free, epoch);
}

static const char *
feed(struct world *w, const uint8_t *bytes, size_t n)
{
	struct entry e;
	if (!entry_decode(&e, bytes, n))
		return "entry that does not decode";
	w->index++;
	struct oracle_answer answer = oracle_apply(w->oracle, &e);
	apply(w, w->small, &e, 1);
	apply(w, w->free, &e, 40);
	learn(w, &e, group_effect(w->free));
	hear(w, &answer);
	if (group_effect(w->free)->kind == GROUP_CLOSED && group_epoch(w->free) > 0)
		hear_word(w, "closed behind a force");
	const char *wrong = compare_effect(group_effect(w->free), &answer);
	if (wrong)
		fprintf(stderr, "oracle: %s %s %s; group: %s\n", answer.what, answer.told,
			answer.why, word_of(group_effect(w->free)));
	if (!wrong)
		wrong = compare_effect(group_effect(w->small), &answer);
	if (!wrong)
		wrong = compare_state(w);
	if (!wrong && percent(w, 30))
		(void)group_sweep(w->free, (uint32_t)draw(w, 100));
	if (!wrong)
		wrong = through_image(w);
	return wrong;
}

/* --- random entries ---------------------------------------------------- */

static struct server *
any_server(struct world *w)
{
	struct server *s = &w->server[draw(w, w->servers)];
	for (int i = 0; i < 16 && percent(w, 97); i++) { /* mostly one that is a member */
		const struct group_member *m = group_incarnation(w->free, s->incarnation);
		if (m && group_member_alive(m))
			break;
		s = &w->server[draw(w, w->servers)];
	}
	return s;
}

/* Mostly the server's own, sometimes any index at all. */
static uint64_t
incarnation_of(struct world *w, const struct server *s)
{
	return percent(w, 97) ? s->incarnation : draw(w, w->index + 2);
}

static struct gtid_source
source_of(struct world *w, bool tagged)
{
	struct gtid_source source = {.uuid = {percent(w, 70) ? 0xAA : 0xBB}};
	if (tagged) {
		source.tag_bytes = 1;
		source.tag[0] = percent(w, 50) ? 'x' : 'y';
	}
	return source;
}

#define RANGES_MAX (2 * SNAPSHOT_BITS_FROM)

static void
random_snapshot(struct world *w, struct snapshot *s, uint8_t *ranges)
{
	uint64_t back = draw(w, percent(w, 80) ? 8 : 60);
	s->mark = w->index > back ? w->index - back : 0;
	if (percent(w, 1))
		s->mark = w->index + 1 + draw(w, 2);
	s->ranges = ranges;
	uint64_t at = s->mark, last = w->index + percent(w, 1);
	while (s->range_count < RANGES_MAX && percent(w, 80)) {
		uint64_t from = at + 1 + draw(w, 3);
		uint64_t to = from + draw(w, 3);
		if (to > last)
			break;
		bytes_put_u64(ranges + (size_t)s->range_count * 16, from);
		bytes_put_u64(ranges + (size_t)s->range_count * 16 + 8, to);
		s->range_count++;
		at = to;
	}
}

static void
random_gtid(struct world *w, struct entry_submit *s)
{
	uint64_t kind = draw(w, 10);
	s->gtid_spec = kind < 6 ? GTID_AUTOMATIC : kind < 8 ? GTID_AUTOMATIC_TAG : GTID_ASSIGNED;
	if (s->gtid_spec == GTID_AUTOMATIC)
		return;
	s->assigned.source = source_of(w, s->gtid_spec == GTID_AUTOMATIC_TAG || percent(w, 30));
	if (s->gtid_spec == GTID_AUTOMATIC_TAG) {
		memset(s->assigned.source.uuid, 0, UUID_BYTES);
		return;
	}
	s->assigned.gno = 1 + draw(w, percent(w, 50) ? 10 : 40);
	if (percent(w, 40))
		s->flags |= SUBMIT_NOT_COMMITTED;
}

static void
random_submit(struct world *w, struct writer *out)
{
	uint8_t hashes[HASHES_MAX * ENTRY_HASH_BYTES], ranges[RANGES_MAX * SNAPSHOT_RANGE_BYTES];
	struct server *s = any_server(w);
	struct entry e = {.kind = ENTRY_SUBMIT};
	struct entry_submit *submit = &e.submit;
	submit->incarnation = incarnation_of(w, s);
	submit->session = s->session + percent(w, 3) - (s->session > 0 && percent(w, 3));
	submit->sequence = ++s->sequence;
	if (percent(w, 15))
		submit->sequence = s->floor + draw(w, w->config.inflight_max + 2);
	if (percent(w, 40) && s->sequence > s->floor)
		s->floor += draw(w, s->sequence - s->floor + 1);
	if (s->sequence - s->floor >= w->config.inflight_max && percent(w, 95))
		s->floor = s->sequence - draw(w, w->config.inflight_max);
	submit->floor = s->floor < submit->sequence ? s->floor : submit->sequence;
	random_snapshot(w, &submit->snapshot, ranges);
	submit->hash_count = (uint32_t)draw(w, percent(w, 95) ? 9 : HASHES_MAX + 1);
	for (uint32_t i = 0; i < submit->hash_count; i++)
		bytes_put_u64(hashes + i * ENTRY_HASH_BYTES, draw(w, w->rows) << 52);
	submit->hashes = hashes;
	if (percent(w, 4))
		submit->flags = SUBMIT_FENCE;
	else if (submit->hash_count == 0 && percent(w, 60))
		submit->flags = SUBMIT_EMPTY;
	if (percent(w, 50))
		submit->flags |= SUBMIT_TRUSTS_OWN;
	random_gtid(w, submit);
	entry_encode(&e, out);
	struct copy *copy = &w->copy[w->copies++ % COPIES];
	copy->n = out->bytes;
	memcpy(copy->bytes, out->data, out->bytes);
}

/* Mostly the group's. */
static uint16_t
epoch_of(struct world *w)
{
	uint32_t epoch = group_epoch(w->free);

	return (uint16_t)(epoch > 0 && percent(w, 15) ? epoch - 1 : epoch);
}

static void
random_join(struct world *w, struct writer *out)
{
	struct server *s = &w->server[draw(w, w->servers)];
	struct entry e = {.kind = ENTRY_JOIN};
	e.join = (struct entry_join){.server_uuid = {(uint8_t)(s - w->server + 1)},
				     .last_incarnation = incarnation_of(w, s),
				     .nonce = {(uint8_t)(s->nonce + percent(w, 70))},
				     .host_bytes = 2,
				     .host = "db",
				     .flags = percent(w, 10) ? JOIN_BOOTSTRAP : 0,
				     .epoch = epoch_of(w)};
	uint8_t set[64];
	struct writer gtids = writer_over(set, sizeof set);
	struct gtid_source source = source_of(w, false);
	writer_u32(&gtids, 1);
	writer_raw(&gtids, source.uuid, UUID_BYTES);
	writer_u8(&gtids, 0);
	writer_u32(&gtids, 1);
	writer_u64(&gtids, 1 + draw(w, 3));
	writer_u64(&gtids, 3 + draw(w, 2));
	if (percent(w, 20))
		e.join.executed = (struct gtid_bytes){set, (uint32_t)gtids.bytes};
	entry_encode(&e, out);
}

static void
random_progress(struct world *w, struct writer *out)
{
	struct server *s = any_server(w);
	struct entry e = {.kind = ENTRY_PROGRESS};
	uint64_t back = draw(w, 12);
	e.progress = (struct entry_progress){.incarnation = incarnation_of(w, s),
					     .floor = s->floor,
					     .mark_low = w->index > back ? w->index - back : 0,
					     .committed = draw(w, w->index + 2),
					     .ready = percent(w, 60)};
	if (percent(w, 2))
		e.progress.mark_low = w->index + 1;
	entry_encode(&e, out);
}

static void
random_horizon(struct world *w, struct writer *out)
{
	struct entry e = {.kind = ENTRY_HORIZON, .horizon = {group_horizon_wanted(w->free)}};
	if (percent(w, 40))
		e.horizon.index = w->index - draw(w, w->index < 30 ? w->index + 1 : 30);
	if (percent(w, 3))
		e.horizon.index = w->index + 1 + draw(w, 2);
	entry_encode(&e, out);
}

static void
random_membership(struct world *w, struct writer *out)
{
	struct server *s = any_server(w);
	struct entry e = {.kind = ENTRY_LEAVE, .leave = {incarnation_of(w, s)}};
	if (percent(w, 15)) {
		e = (struct entry){.kind = ENTRY_CLOSE, .close = {epoch_of(w)}};
	} else if (percent(w, 60)) {
		e = (struct entry){.kind = ENTRY_EXPEL};
		e.expel.incarnation = incarnation_of(w, s);
		e.expel.session = s->session - (s->session > 0 && percent(w, 30));
		e.expel.reason = EXPEL_SILENT;
	}
	entry_encode(&e, out);
}

static void
random_attach(struct world *w, struct writer *out)
{
	struct server *s = any_server(w);
	struct entry e = {.kind = ENTRY_ATTACH};
	s->session += percent(w, 80);
	e.attach = (struct entry_attach){incarnation_of(w, s), s->session, 1};
	entry_encode(&e, out);
}

static void
random_abandon(struct world *w, struct writer *out)
{
	struct server *s = any_server(w);
	struct entry e = {.kind = ENTRY_ABANDON};
	e.abandon = (struct entry_abandon){
		incarnation_of(w, s), s->session - (s->session > 0 && percent(w, 5)),
		s->floor + draw(w, w->config.inflight_max + 1), s->floor, 0};
	entry_encode(&e, out);
}

static void
random_create(struct world *w, struct writer *out)
{
	static const uint8_t set[] = {1, 0, 0, 0, 0xAA,     [20] = 0, 1,
				      0, 0, 0, 2, [33] = 4, [40] = 0};
	struct entry e = {.kind = ENTRY_CREATE};
	e.create = (struct entry_create){{0xAA}, w->config, {set, sizeof set}};
	if (percent(w, 50))
		e.create.executed.bytes = 0;
	if (percent(w, 30))
		e.create.config.index_hashes_max /= 2;
	if (percent(w, 10))
		e.create.config.members_max++;
	entry_encode(&e, out);
}

static bool
anybody_lives(const struct group *g)
{
	for (uint32_t i = 0; i < group_member_slots(g); i++) {
		const struct group_member *m = group_member_at(g, i);
		if (m && group_member_alive(m))
			return true;
	}
	return false;
}

static void
random_entry(struct world *w, struct writer *out)
{
	uint64_t kind = draw(w, 100);
	if (!group_created(w->free) && percent(w, 80))
		random_create(w, out);
	else if (group_created(w->free) && !anybody_lives(w->free) && percent(w, 70))
		random_join(w, out);
	else if (kind < 54)
		random_submit(w, out);
	else if (kind < 62 && w->copies > 0) {
		const struct copy *copy =
			&w->copy[draw(w, w->copies < COPIES ? w->copies : COPIES)];
		writer_raw(out, copy->bytes, copy->n);
	} else if (kind < 67)
		random_abandon(w, out);
	else if (kind < 77)
		random_progress(w, out);
	else if (kind < 84 && percent(w, w->horizons))
		random_horizon(w, out);
	else if (kind < 84)
		random_submit(w, out);
	else if (kind < 88)
		random_attach(w, out);
	else if (kind < 95)
		random_join(w, out);
	else if (kind < 99)
		random_membership(w, out);
	else
		random_create(w, out);
}

/* --- cases ------------------------------------------------------------- */

/* The memory is taken once, for the largest case. */
static const struct group_config largest = {.block_size = 1,
					    .index_hashes_max = 80,
					    .inflight_max = 8,
					    .members_max = 4,
					    .protocol = 1};

static void
world_begin(struct world *w, uint64_t seed)
{
	w->random = seed;
	w->config = (struct group_config){.block_size = 1 + draw(w, 5),
					  .index_hashes_max = 4 + (uint32_t)draw(w, 77),
					  .inflight_max = 1 + (uint32_t)draw(w, 8),
					  .members_max = 1 + (uint32_t)draw(w, 4),
					  .protocol = 1};
	w->oracle = oracle_new(&w->config);
	w->small = group_init(w->memory[0], &w->config);
	w->free_at = 1;
	w->free = group_init(w->memory[1], &w->config);
	w->imaging = false;
	w->index = 0;
	w->copies = 0;
	w->rows = 2 + draw(w, 120);
	w->horizons = 100;
	w->servers = 2 + (uint32_t)draw(w, percent(w, 80) ? 4 : SERVERS - 2);
	for (uint32_t i = 0; i < SERVERS; i++)
		w->server[i] = (struct server){.floor = 1};
}

/* The entry at which it went wrong, 0 if it did not. */
static uint64_t
run_case(struct world *w, uint64_t seed, const char **wrong)
{
	uint8_t bytes[ENTRY_MAX];
	world_begin(w, seed);
	uint64_t entries = 15 + draw(w, 40);
	if (percent(w, 1)) { /* generations pile up until they are joined */
		entries = 900;
		w->horizons = 1;
		w->rows = 2 + draw(w, w->config.index_hashes_max);
	}
	*wrong = NULL;
	for (uint64_t i = 0; i < entries && !*wrong; i++) {
		struct writer out = writer_over(bytes, sizeof bytes);
		random_entry(w, &out);
		if (percent(w, 1))
			fork_all(w);
		*wrong = feed(w, bytes, out.bytes);
	}
	oracle_free(w->oracle);
	return *wrong ? w->index : 0;
}

static uint64_t
option(int argc, char **argv, const char *name, uint64_t otherwise)
{
	for (int i = 1; i + 1 < argc; i++)
		if (strcmp(argv[i], name) == 0)
			return strtoull(argv[i + 1], NULL, 10);
	return otherwise;
}

int
main(int argc, char **argv)
{
	uint64_t seed = option(argc, argv, "--seed", 1), runs = option(argc, argv, "--runs", 1000);
	static struct world w;
	size_t bytes = (group_size(&largest) + 63) & ~(size_t)63;
	uint64_t entries = 0;
	for (int i = 0; i < 3; i++)
		w.memory[i] = aligned_alloc(64, bytes);
	w.image = writer_over(malloc(IMAGE_MAX), IMAGE_MAX);
	for (uint64_t i = 0; i < runs; i++) {
		const char *wrong;
		uint64_t at = run_case(&w, seed + i, &wrong);
		entries += w.index;
		if (at != 0) {
			printf("seed %llu, entry %llu: %s\n", (unsigned long long)(seed + i),
			       (unsigned long long)at, wrong);
			return 1;
		}
	}
	bool silent = false;
	for (int i = 0; i < HEARD_MAX; i++) {
		printf("%s=%llu ", must_hear[i], (unsigned long long)w.heard[i]);
		silent = silent || w.heard[i] == 0;
	}
	printf("\nruns=%llu entries=%llu failures=0\n", (unsigned long long)runs,
	       (unsigned long long)entries);
	if (silent && runs >= 1000)
		return 1;
	for (int i = 0; i < 3; i++)
		free(w.memory[i]);
	free(w.image.data);
	return 0;
}
