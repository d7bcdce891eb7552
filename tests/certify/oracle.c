#include "tests/certify/oracle.h"

#include <stdlib.h>
#include <string.h>

#define MEMBERS_EVER  512
#define OUTCOMES_EVER 4096
#define ROWS_EVER     4096
#define GTIDS_EVER    4096
#define BOUNDS_MAX    128 /* the rule's number, not a size */
#define OWN_MAX       256 /* the same */
#define SOURCES_EVER  16
#define EPOCH_NUMBERS ((uint64_t)1000000000000000) /* the same */

struct member {
	uint8_t uuid[UUID_BYTES];
	uint8_t nonce[NONCE_BYTES];
	uint64_t incarnation, ended, session, floor, mark_low;
	uint32_t place;
	bool alive, online, forgotten;
};

struct outcome {
	uint64_t incarnation, sequence;
	struct oracle_answer answer;
};

struct row {
	uint64_t hash, last_writer;
};

struct block {
	struct gtid_source source;
	uint8_t owner[UUID_BYTES];
	uint64_t from, to;
	bool replaced; /* its owner has taken a newer one */
};

struct oracle {
	struct group_config memory, config;
	bool created, closed;
	uint8_t uuid[UUID_BYTES];
	uint64_t index, view, fence, horizon;
	uint32_t epoch;
	uint64_t taken, bound[BOUNDS_MAX + 1];
	uint32_t bounds, members, outcomes, rows, intervals, blocks, sources;
	struct member member[MEMBERS_EVER];
	struct outcome outcome[OUTCOMES_EVER];
	struct row row[ROWS_EVER];
	struct gtid_interval executed[GTIDS_EVER];
	struct block block[GTIDS_EVER];
	struct gtid_source source[SOURCES_EVER];
	uint64_t grants[SOURCES_EVER];
};

static bool
same(const void *a, const void *b)
{
	return memcmp(a, b, 16) == 0;
}

struct oracle *
oracle_new(const struct group_config *config)
{
	struct oracle *o = malloc(sizeof *o);
	memset(o, 0, offsetof(struct oracle, member));
	o->memory = *config;
	o->bounds = 1; /* bound[0] = 0 */
	return o;
}

void
oracle_free(struct oracle *o)
{
	free(o);
}

static void
need(bool ok)
{
	if (!ok)
		abort();
}

/* --- rows -------------------------------------------------------------- */

static struct row *
row_of(struct oracle *o, uint64_t hash)
{
	for (uint32_t i = 0; i < o->rows; i++)
		if (o->row[i].hash == hash)
			return &o->row[i];
	need(o->rows < ROWS_EVER);
	o->row[o->rows] = (struct row){hash, 0};
	return &o->row[o->rows++];
}

/* The highest boundary that the horizon has reached. */
static uint64_t
reached(const struct oracle *o)
{
	uint64_t highest = 0;
	for (uint32_t i = 0; i < o->bounds; i++)
		if (o->bound[i] <= o->horizon)
			highest = o->bound[i];
	return highest;
}

uint64_t
oracle_counted(const struct oracle *o)
{
	uint64_t n = 0, from = reached(o);
	for (uint32_t i = 0; i < o->rows; i++)
		n += o->row[i].last_writer > from;
	return n;
}

static void
add_bound(struct oracle *o, uint64_t at)
{
	uint64_t from = reached(o);
	uint32_t kept = 0;
	for (uint32_t i = 0; i < o->bounds; i++) /* forget what lies behind */
		if (o->bound[i] >= from)
			o->bound[kept++] = o->bound[i];
	o->bounds = kept;
	if (o->taken == 0 || at <= o->bound[o->bounds - 1])
		return;
	if (o->bounds == BOUNDS_MAX) { /* forget the one with the nearest neighbours */
		uint32_t best = 1;
		o->bound[BOUNDS_MAX] = at;
		for (uint32_t i = 2; i < BOUNDS_MAX; i++)
			if (o->bound[i + 1] - o->bound[i - 1] <
			    o->bound[best + 1] - o->bound[best - 1])
				best = i;
		for (uint32_t i = best; i + 1 < BOUNDS_MAX; i++)
			o->bound[i] = o->bound[i + 1];
		o->bounds--;
	}
	o->bound[o->bounds++] = at;
	o->taken = 0;
}

static bool
seen(const struct snapshot *s, uint64_t index)
{
	if (index <= s->mark)
		return true;
	for (uint32_t i = 0; i < s->range_count; i++)
		if (snapshot_range(s, i).from <= index && index <= snapshot_range(s, i).to)
			return true;
	/* Instead of ranges: the k-th bit is the k-th index above the mark. */
	uint64_t k = index - s->mark;
	return k <= 8 * (uint64_t)s->bit_bytes && (s->bits[(k - 1) / 8] & 1 << (k - 1) % 8);
}

/* --- members and outcomes ---------------------------------------------- */

static struct member *
member_by(struct oracle *o, uint64_t incarnation)
{
	for (uint32_t i = 0; i < o->members; i++)
		if (o->member[i].incarnation == incarnation && !o->member[i].forgotten)
			return &o->member[i];
	return NULL;
}

static struct member *
living(struct oracle *o, uint64_t incarnation)
{
	struct member *m = member_by(o, incarnation);
	return m && m->alive ? m : NULL;
}

/* The newest that is not forgotten. */
static struct member *
last_of(struct oracle *o, const uint8_t *uuid)
{
	for (uint32_t i = o->members; i-- > 0;)
		if (same(o->member[i].uuid, uuid) && !o->member[i].forgotten)
			return &o->member[i];
	return NULL;
}

static struct outcome *
outcome_of(struct oracle *o, uint64_t incarnation, uint64_t sequence)
{
	for (uint32_t i = 0; i < o->outcomes; i++)
		if (o->outcome[i].incarnation == incarnation && o->outcome[i].sequence == sequence)
			return &o->outcome[i];
	return NULL;
}

static void
remember(struct oracle *o, uint64_t incarnation, uint64_t sequence,
	 const struct oracle_answer *answer)
{
	need(o->outcomes < OUTCOMES_EVER);
	o->outcome[o->outcomes++] = (struct outcome){incarnation, sequence, *answer};
}

const char *
oracle_outcome(const struct oracle *o, uint64_t incarnation, uint64_t sequence)
{
	struct oracle *any = (struct oracle *)o;
	struct member *m = member_by(any, incarnation);
	if (!m || last_of(any, m->uuid) != m)
		return "unknown";
	if (sequence < m->floor)
		return "passed";
	struct outcome *found = outcome_of(any, incarnation, sequence);
	return found ? found->answer.told : "open";
}

static uint32_t
count_living(const struct oracle *o)
{
	uint32_t n = 0;
	for (uint32_t i = 0; i < o->members; i++)
		n += o->member[i].alive;
	return n;
}

/* Remembered servers are limited; the one gone longest is forgotten, of those that a force has
 * ended together the one in the first place. Answers the place of one more. */
static uint32_t
make_room(struct oracle *o)
{
	uint32_t known = 0;
	struct member *oldest = NULL;
	for (uint32_t i = 0; i < o->members; i++) {
		struct member *m = &o->member[i];
		if (m->forgotten || last_of(o, m->uuid) != m)
			continue;
		known++;
		if (!m->alive && (!oldest || m->ended < oldest->ended ||
				  (m->ended == oldest->ended && m->place < oldest->place)))
			oldest = m;
	}
	if (known < 4 * o->config.members_max)
		return known;
	need(oldest != NULL);
	for (uint32_t i = 0; i < o->members; i++)
		if (same(o->member[i].uuid, oldest->uuid))
			o->member[i].forgotten = true;
	return oldest->place;
}

/* --- GTIDs ------------------------------------------------------------- */

bool
oracle_executed(const struct oracle *o, const struct gtid *gtid)
{
	for (uint32_t i = 0; i < o->intervals; i++)
		if (gtid_source_compare(&o->executed[i].source, &gtid->source) == 0 &&
		    o->executed[i].from <= gtid->gno && gtid->gno <= o->executed[i].to)
			return true;
	return false;
}

static bool
is_free(const struct oracle *o, const struct gtid_source *source, uint64_t gno)
{
	struct gtid gtid = {*source, gno};
	return !oracle_executed(o, &gtid);
}

static void
collect(struct oracle *o, const struct gtid_source *source)
{
	uint32_t kept = 0;
	for (uint32_t i = 0; i < o->blocks; i++)
		if (source && gtid_source_compare(&o->block[i].source, source) != 0)
			o->block[kept++] = o->block[i];
	o->blocks = kept;
	for (uint32_t i = 0; i < o->sources; i++)
		if (!source || gtid_source_compare(&o->source[i], source) == 0)
			o->grants[i] = 0;
}

static uint64_t *
grants_of(struct oracle *o, const struct gtid_source *source)
{
	for (uint32_t i = 0; i < o->sources; i++)
		if (gtid_source_compare(&o->source[i], source) == 0)
			return &o->grants[i];
	need(o->sources < SOURCES_EVER);
	o->source[o->sources] = *source;
	o->grants[o->sources] = 0;
	return &o->grants[o->sources++];
}

/* A free number in a block that the member holds, or 0. */
static uint64_t
from_own_block(const struct oracle *o, const struct gtid_source *source, const uint8_t *uuid)
{
	for (uint32_t i = 0; i < o->blocks; i++) {
		const struct block *b = &o->block[i];
		if (b->replaced || !same(b->owner, uuid) ||
		    gtid_source_compare(&b->source, source) != 0)
			continue;
		for (uint64_t gno = b->from; gno <= b->to; gno++)
			if (is_free(o, source, gno))
				return gno;
	}
	return 0;
}

static void
new_block(struct oracle *o, const struct gtid_source *source, const uint8_t *uuid)
{
	uint64_t from = o->epoch * EPOCH_NUMBERS + 1;
	for (uint32_t i = 0; i < o->blocks; i++) { /* above every block given out */
		if (gtid_source_compare(&o->block[i].source, source) != 0)
			continue;
		if (o->block[i].to >= from)
			from = o->block[i].to + 1;
		if (same(o->block[i].owner, uuid))
			o->block[i].replaced = true;
	}
	while (!is_free(o, source, from))
		from++;
	uint64_t to = from;
	while (to - from + 1 < o->config.block_size && is_free(o, source, to + 1))
		to++;
	need(o->blocks < GTIDS_EVER);
	struct block *b = &o->block[o->blocks++];
	*b = (struct block){.source = *source, .from = from, .to = to};
	memcpy(b->owner, uuid, UUID_BYTES);
}

static uint64_t
grant(struct oracle *o, const struct gtid_source *source, const uint8_t *uuid)
{
	uint64_t gno = o->epoch * EPOCH_NUMBERS + 1;
	if (o->config.block_size == 1) {
		while (!is_free(o, source, gno))
			gno++;
		return gno;
	}
	uint64_t *grants = grants_of(o, source);
	if (*grants == o->config.block_size)
		collect(o, source);
	gno = from_own_block(o, source, uuid);
	if (gno == 0) {
		new_block(o, source, uuid);
		gno = from_own_block(o, source, uuid);
	}
	++*grants;
	return gno;
}

static void
execute(struct oracle *o, const struct gtid_interval *in)
{
	need(o->intervals < GTIDS_EVER);
	o->executed[o->intervals++] = *in;
}

/* --- entries ----------------------------------------------------------- */

static struct oracle_answer
say(const struct oracle *o, const char *what, uint64_t incarnation)
{
	return (struct oracle_answer){
		.what = what, .told = "", .why = "", .incarnation = incarnation, .view = o->view};
}

static struct oracle_answer
create(struct oracle *o, const struct entry_create *c)
{
	const struct group_config *config = &c->config;
	if (o->created || o->closed || config->block_size < 1 || config->index_hashes_max < 1 ||
	    config->inflight_max < 1 || config->members_max < 1 ||
	    config->index_hashes_max > o->memory.index_hashes_max ||
	    config->inflight_max > o->memory.inflight_max ||
	    config->members_max > o->memory.members_max)
		return say(o, "nothing", 0);
	o->created = true;
	o->config = *config;
	memcpy(o->uuid, c->group_uuid, UUID_BYTES);
	struct gtid_cursor cursor = gtid_cursor_over(c->executed);
	while (gtid_cursor_next(&cursor))
		execute(o, &cursor.at);
	return say(o, "created", 0);
}

static bool
holds_all(const struct oracle *o, struct gtid_bytes set)
{
	struct gtid_cursor cursor = gtid_cursor_over(set);
	while (gtid_cursor_next(&cursor))
		for (uint64_t gno = cursor.at.from; gno <= cursor.at.to; gno++)
			if (is_free(o, &cursor.at.source, gno))
				return false;
	return true;
}

static const char *
why_void(const struct oracle *o, const struct entry_join *j, const struct member *last)
{
	uint32_t others = count_living(o) - (last && last->alive);
	if (j->epoch < o->epoch)
		return "before force";
	if (!o->created || o->closed)
		return "no group";
	if (same(j->server_uuid, o->uuid))
		return "is group uuid";
	if (j->last_incarnation != (last ? last->incarnation : 0))
		return "not last";
	if ((j->flags & JOIN_BOOTSTRAP) && others > 0)
		return "others live";
	if (others >= o->config.members_max)
		return "no room";
	return holds_all(o, j->executed) ? NULL : "extra gtids";
}

static struct oracle_answer
join(struct oracle *o, const struct entry_join *j)
{
	struct member *last = last_of(o, j->server_uuid);
	if (last && last->alive && same(last->nonce, j->nonce))
		return say(o, "join again", last->incarnation);
	const char *why = why_void(o, j, last);
	if (why) {
		struct oracle_answer no = say(o, "join void", last ? last->incarnation : 0);
		no.why = why;
		return no;
	}
	uint64_t ended = last && last->alive ? last->incarnation : 0;
	uint32_t place = last ? last->place : make_room(o);
	if (last)
		last->alive = last->online = false;
	need(o->members < MEMBERS_EVER);
	struct member *m = &o->member[o->members++];
	*m = (struct member){.incarnation = o->index, .floor = 1, .place = place, .alive = true};
	memcpy(m->uuid, j->server_uuid, UUID_BYTES);
	memcpy(m->nonce, j->nonce, NONCE_BYTES);
	o->view++;
	collect(o, NULL);
	struct oracle_answer yes = say(o, "joined", o->index);
	yes.ended = ended;
	return yes;
}

static struct oracle_answer
end(struct oracle *o, uint64_t incarnation, const char *what, uint64_t session)
{
	struct member *m = living(o, incarnation);
	if (!m || m->session > session)
		return say(o, "nothing", 0);
	m->alive = m->online = false;
	m->ended = o->index;
	o->view++;
	collect(o, NULL);
	return say(o, what, incarnation);
}

static struct oracle_answer
progress(struct oracle *o, const struct entry_progress *p)
{
	struct member *m = living(o, p->incarnation);
	if (!m || p->mark_low >= o->index || p->committed >= o->index)
		return say(o, "nothing", 0);
	if (p->floor > m->floor)
		m->floor = p->floor;
	if (p->mark_low > m->mark_low)
		m->mark_low = p->mark_low;
	if (!p->ready || m->online || m->mark_low < o->horizon || m->mark_low < m->incarnation)
		return say(o, "nothing", 0);
	m->online = true;
	return say(o, "online", p->incarnation);
}

/* Void unless the member is alive, the session current, the sequence in the window
 * and without an outcome. */
static struct member *
may(struct oracle *o, const struct entry_abandon *a, struct oracle_answer *answer)
{
	struct member *m = living(o, a->incarnation);
	*answer = say(o, "void", a->incarnation);
	if (!m || a->session < m->session || a->sequence < m->floor ||
	    a->sequence >= m->floor + o->config.inflight_max)
		return NULL;
	struct outcome *before = outcome_of(o, a->incarnation, a->sequence);
	if (!before)
		return m;
	*answer = before->answer;
	answer->what = "void";
	return NULL;
}

static void
raise_floor(struct member *m, uint64_t session, uint64_t floor)
{
	if (m && session >= m->session && floor > m->floor)
		m->floor = floor;
}

static struct oracle_answer
decided(struct oracle *o, const struct entry_submit *s, struct oracle_answer answer)
{
	answer.told = answer.what;
	if (!answer.decided)
		answer.decided = o->index;
	remember(o, s->incarnation, s->sequence, &answer);
	return answer;
}

static struct oracle_answer
assigned_again(struct oracle *o, const struct entry_submit *s, uint64_t floor)
{
	for (uint32_t i = 0; i < o->outcomes && (s->flags & SUBMIT_NOT_COMMITTED); i++) {
		struct outcome *first = &o->outcome[i];
		if (first->incarnation != s->incarnation || first->sequence < floor ||
		    strcmp(first->answer.told, "accepted") != 0 ||
		    !gtid_equal(&first->answer.gtid, &s->assigned))
			continue;
		struct oracle_answer answer = first->answer;
		answer.what = "accepted";
		answer.again = true;
		return decided(o, s, answer);
	}
	return decided(o, s, say(o, "gtid", s->incarnation));
}

static struct oracle_answer
accept(struct oracle *o, const struct entry_submit *s, const struct member *m, uint64_t dependency)
{
	struct oracle_answer answer = say(o, "accepted", s->incarnation);
	if (o->taken > o->config.index_hashes_max / 64)
		add_bound(o, o->index - 1);
	for (uint32_t i = 0; i < s->hash_count; i++)
		row_of(o, entry_hash(s, i))->last_writer = o->index;
	o->taken += s->hash_count;
	answer.dependency = dependency > o->fence ? dependency : o->fence;
	if ((s->flags & SUBMIT_FENCE) || (s->hash_count == 0 && !(s->flags & SUBMIT_EMPTY))) {
		answer.dependency = o->index - 1;
		o->fence = o->index;
	}
	answer.gtid = s->assigned;
	if (s->gtid_spec != GTID_ASSIGNED) {
		memcpy(answer.gtid.source.uuid, o->uuid, UUID_BYTES);
		answer.gtid.gno = grant(o, &answer.gtid.source, m->uuid);
	}
	struct gtid_interval in = {answer.gtid.source, answer.gtid.gno, answer.gtid.gno};
	execute(o, &in);
	return decided(o, s, answer);
}

/* The same-origin rule: `index` is of a transaction with a lower sequence, of the last
 * OWN_MAX, that the submission vouches for. */
static bool
is_own(const struct oracle *o, const struct entry_submit *s, const struct member *m, uint64_t index)
{
	if (!(s->flags & SUBMIT_TRUSTS_OWN))
		return false;
	for (uint32_t i = 0; i < o->outcomes; i++) {
		const struct outcome *own = &o->outcome[i];
		if (own->incarnation == s->incarnation && own->answer.decided == index &&
		    strcmp(own->answer.told, "accepted") == 0 && !own->answer.again &&
		    own->sequence >= m->floor && own->sequence < s->sequence &&
		    own->sequence + OWN_MAX >= s->sequence)
			return true;
	}
	return false;
}

static struct oracle_answer
certify(struct oracle *o, const struct entry_submit *s, const struct member *m)
{
	uint64_t dependency = o->horizon, fresh = 0;
	for (uint32_t i = 0; i < s->hash_count; i++) {
		uint64_t last = row_of(o, entry_hash(s, i))->last_writer;
		fresh += last <= reached(o);
		if (last > o->horizon && !seen(&s->snapshot, last) && !is_own(o, s, m, last)) {
			struct oracle_answer no = say(o, "refused", s->incarnation);
			no.winner = last;
			no.winner_hash = entry_hash(s, i);
			return decided(o, s, no);
		}
		if (last > dependency)
			dependency = last;
	}
	if (oracle_counted(o) + fresh > o->config.index_hashes_max)
		return decided(o, s, say(o, "full", s->incarnation));
	return accept(o, s, m, dependency);
}

static struct oracle_answer
submit(struct oracle *o, const struct entry_submit *s)
{
	struct entry_abandon own = {s->incarnation, s->session, s->sequence, s->floor, 0};
	struct oracle_answer answer;
	struct member *m = living(o, s->incarnation);
	raise_floor(m, s->session, s->floor);
	for (uint64_t i = o->index; i < o->index + 16; i++)
		if (seen(&s->snapshot, i)) /* what it cannot have seen */
			return say(o, "void", s->incarnation);
	m = may(o, &own, &answer);
	if (!m)
		return answer;
	if (s->snapshot.mark < o->horizon)
		return decided(o, s, say(o, "stale", s->incarnation));
	if (s->gtid_spec == GTID_ASSIGNED && oracle_executed(o, &s->assigned))
		return assigned_again(o, s, m->floor);
	return certify(o, s, m);
}

static struct oracle_answer
abandon(struct oracle *o, const struct entry_abandon *a)
{
	struct oracle_answer answer;
	raise_floor(living(o, a->incarnation), a->session, a->floor);
	if (!may(o, a, &answer))
		return answer;
	answer.what = answer.told = "abandoned";
	answer.decided = o->index;
	remember(o, a->incarnation, a->sequence, &answer);
	return answer;
}

static struct oracle_answer
attach(struct oracle *o, const struct entry_attach *a)
{
	struct member *m = living(o, a->incarnation);
	if (!m || a->session <= m->session)
		return say(o, "nothing", 0);
	m->session = a->session;
	return say(o, "attached", a->incarnation);
}

static struct oracle_answer
horizon(struct oracle *o, uint64_t index)
{
	if (index <= o->horizon || index >= o->index)
		return say(o, "nothing", 0);
	o->horizon = index;
	add_bound(o, o->index);
	return say(o, "horizon", 0);
}

static struct oracle_answer
close_group(struct oracle *o, const struct entry_close *c)
{
	if (o->closed || count_living(o) > 0 || c->epoch < o->epoch)
		return say(o, "nothing", 0);
	o->closed = true;
	return say(o, "closed", 0);
}

struct oracle_answer
oracle_apply(struct oracle *o, const struct entry *e)
{
	o->index++;
	if (!o->created && e->kind != ENTRY_CREATE && e->kind != ENTRY_JOIN &&
	    e->kind != ENTRY_CLOSE)
		return say(o, "nothing", 0);
	switch (e->kind) {
	case ENTRY_CREATE:
		return create(o, &e->create);
	case ENTRY_JOIN:
		return join(o, &e->join);
	case ENTRY_LEAVE:
		return end(o, e->leave.incarnation, "left", UINT64_MAX);
	case ENTRY_EXPEL:
		return end(o, e->expel.incarnation, "expelled", e->expel.session);
	case ENTRY_ATTACH:
		return attach(o, &e->attach);
	case ENTRY_SUBMIT:
		return submit(o, &e->submit);
	case ENTRY_ABANDON:
		return abandon(o, &e->abandon);
	case ENTRY_PROGRESS:
		return progress(o, &e->progress);
	case ENTRY_HORIZON:
		return horizon(o, e->horizon.index);
	case ENTRY_CLOSE:
		return close_group(o, &e->close);
	case ENTRY_NOOP:
		break;
	}
	return say(o, "nothing", 0);
}

/* Behind the last entry. */
void
oracle_fork(struct oracle *o, uint32_t epoch)
{
	if (epoch <= o->epoch)
		return;
	o->epoch = epoch;
	o->view++;
	collect(o, NULL);
	for (uint32_t i = 0; i < o->members; i++) {
		struct member *m = &o->member[i];
		if (m->alive)
			m->ended = o->index;
		m->alive = m->online = false;
	}
}

uint64_t
oracle_horizon(const struct oracle *o)
{
	return o->horizon;
}

uint64_t
oracle_horizon_wanted(const struct oracle *o)
{
	uint64_t lowest = 0, second = 0; /* 0: none; an ONLINE one's mark is never 0 */
	for (int pass = 0; pass < 2; pass++) {
		for (uint32_t i = 0; i < o->members; i++) {
			uint64_t mark = o->member[i].mark_low;
			if (!o->member[i].online || mark < o->horizon)
				continue;
			if (pass == 0 && (lowest == 0 || mark < lowest))
				lowest = mark;
			if (pass == 1 && mark > lowest && (second == 0 || mark < second))
				second = mark;
		}
	}
	uint64_t room = o->config.index_hashes_max - o->config.index_hashes_max / 8;
	if (oracle_counted(o) >= room && second != 0)
		return second;
	return lowest == 0 ? o->horizon : lowest;
}
