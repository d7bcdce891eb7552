/*
 * Open submissions. The bytes of one are kept from SUBMIT until it is refused, or
 * committed: it may have to be sent again to another node, or to be applied here
 * when the server could not commit what the group accepted.
 */
#include "node/member_state.h"

#include "base/must.h"

/* Where the session's number stands in an encoded SUBMIT: behind the kind and the
 * incarnation. A resubmission carries the first one's bytes but for this. Sequence and
 * floor follow, which a large one has later than the rest. */
#define SUBMIT_SESSION_OFFSET  9
#define SUBMIT_SEQUENCE_OFFSET 17
#define SUBMIT_FLOOR_OFFSET    25

#define OWN_PIECE_BYTES (64u * 1024) /* no more than a value: the caller takes it in one piece */
#define OWN_PIECES      16           /* of one step; it returns, and sees whether to go on */

static struct member_open *
open_at(struct member *m, uint64_t sequence)
{
	return &m->open[sequence & (m->open_max - 1)];
}

struct member_open *
member_open_find(struct member *m, uint64_t sequence)
{
	struct member_open *o = open_at(m, sequence);
	return o->stage != OPEN_FREE && o->sequence == sequence ? o : NULL;
}

static struct member_open *
ahead_at(const struct member *m, uint64_t name)
{
	return &m->ahead[snapshot_ahead_place(&m->snapshots, name)];
}

static void
ahead_took(struct member *m, const struct member_open *o)
{
	uint32_t place = (uint32_t)(o - m->ahead);

	m->ahead_count++;
	if (m->ahead_end <= place)
		m->ahead_end = place + 1;
}

static void
ahead_left(struct member *m)
{
	must(m->ahead_count > 0);
	m->ahead_count--;
	if (m->ahead_count == 0)
		m->ahead_end = 0;
}

/* By what the caller calls it. Large ones are few, and seldom asked for. */
static struct member_open *
open_named(struct member *m, uint64_t name)
{
	if (!(name & SNAPSHOT_AHEAD))
		return member_open_find(m, name);
	struct member_open *o = ahead_at(m, name);
	if (o->stage != OPEN_FREE && o->name == name)
		return o;
	for (uint32_t i = 0; i < m->open_max; i++)
		if (m->open[i].stage != OPEN_FREE && m->open[i].name == name)
			return &m->open[i];
	return NULL;
}

/* It is in no log, or decided: its sequence, if it has one, is not open any more, and
 * what it had offered not either. */
static void
open_close(struct member *m, struct member_open *o)
{
	must(o->stage == OPEN_UNDECIDED);
	m->stats.undecided--;
	if (o->sequence != 0)
		snapshot_close(&m->snapshots, o->sequence);
	if (o->offer != 0)
		m->lane[o->offer % ENTRY_OFFER_LANES] = (struct member_lane){0};
}

static void
open_free(struct member *m, struct member_open *o)
{
	const uint8_t *lent = o->lent;
	uint64_t name = o->name;

	if (o->handle != MEMBER_NO_HANDLE)
		pool_release(m->pool, o->handle);
	if (o->sequence != 0 && m->requeueing == o->sequence)
		m->requeueing = 0;
	if (o->stage != OPEN_FREE && o->sequence == 0)
		ahead_left(m);
	*o = (struct member_open){.handle = MEMBER_NO_HANDLE};
	while (m->open_low < m->snapshots.floor && !member_open_find(m, m->open_low))
		m->open_low++;
	if (name & SNAPSHOT_AHEAD)
		snapshot_close(&m->snapshots, name);
	if (lent)
		m->sink->release(m->sink->context, name, lent);
}

/* The i-th of those that may be open, NULL beyond the last. */
static struct member_open *
open_walk(const struct member *m, uint32_t i)
{
	if (i >= m->open_max || m->open_low + i >= m->snapshots.sequence_next)
		return NULL;
	return &m->open[(m->open_low + i) & (m->open_max - 1)];
}

static void
tell(struct member *m, uint64_t name, enum member_verdict verdict)
{
	member_emit(m, &(struct member_output){
			       .kind = MEMBER_OUT_VERDICT,
			       .sequence = name,
			       .verdict = verdict,
		       });
}

/* An outcome that no log knows. */
void
member_refuse(struct member *m, struct member_open *o, enum member_verdict verdict)
{
	open_close(m, o);
	tell(m, o->name, verdict);
	open_free(m, o);
}

/* What of a submission its entry holds; the rest is spread. */
enum entry_holds {
	ENTRY_HOLDS_ALL = 0,
	ENTRY_HOLDS_HASHES = 1,
	ENTRY_HOLDS_NEITHER = 2, /* hashes nor payload */
};

/* The entry, with the payload, or with the room for what names a payload that is
 * spread. False: it is too large. */
static bool
encode(struct member *m, const struct member_submission *s, struct member_open *o,
       enum entry_holds holds)
{
	static const uint8_t later[ENTRY_SPREAD_BYTES];
	bool spread = holds != ENTRY_HOLDS_ALL;
	uint32_t hash_count = holds == ENTRY_HOLDS_NEITHER ? 0 : s->hash_count;
	uint64_t payload_bytes = spread ? sizeof later : s->payload_bytes;
	/* What it was when the snapshot was taken: those below had their outcome then. A large
	 * one has no sequence yet, and vouches for nobody. */
	struct snapshot_open open = s->lent ? (struct snapshot_open){.floor = m->snapshots.floor}
					    : *snapshot_open(&m->snapshots, s->sequence);
	struct writer w = writer_over(pool_at(m->pool, o->handle), m->config.transaction_bytes_max);
	struct entry e = {
		.kind = ENTRY_SUBMIT,
		.submit = {.incarnation = m->incarnation,
			   .session = m->attach_session,
			   .sequence = s->lent ? m->snapshots.floor : s->sequence,
			   .floor = open.floor,
			   .flags = s->flags | (spread ? SUBMIT_SPREAD : 0) |
				    (open.trusts_own ? SUBMIT_TRUSTS_OWN : 0),
			   .gtid_spec = s->gtid_spec,
			   .assigned = s->assigned,
			   .snapshot = *s->snapshot,
			   .hash_count = hash_count,
			   .hashes = (const uint8_t *)s->hashes,
			   .payload_bytes = (uint32_t)payload_bytes,
			   .payload = spread ? later : s->payload},
	};

	if (payload_bytes > m->config.transaction_bytes_max ||
	    hash_count > m->config.transaction_bytes_max / ENTRY_HASH_BYTES)
		return false;
	entry_encode(&e, &w);
	if (w.bad)
		return false;
	o->bytes = (uint32_t)w.bytes;
	o->payload_bytes = (uint32_t)payload_bytes;
	must(o->bytes >= payload_bytes);
	o->payload_offset = o->bytes - o->payload_bytes; /* the payload is the last field */
	return true;
}

/* The same where the payload is spread, and with it the write set if it must be. */
static bool
encode_spread(struct member *m, const struct member_submission *s, struct member_open *o)
{
	uint64_t hash_bytes = (uint64_t)s->hash_count * ENTRY_HASH_BYTES;
	bool alone = encode(m, s, o, ENTRY_HOLDS_HASHES);

	if (!alone && !encode(m, s, o, ENTRY_HOLDS_NEITHER))
		return false;
	o->lent = s->payload - hash_bytes;
	o->spread = alone ? s->payload : o->lent;
	o->spread_bytes = alone ? s->payload_bytes : hash_bytes + s->payload_bytes;
	o->lent_payload_bytes = s->payload_bytes;
	o->hash_count = alone ? 0 : s->hash_count;
	if (o->spread_bytes <= m->config.payload_bytes_max)
		return true;
	o->lent = NULL;
	return false;
}

static bool
encode_whole(struct member *m, const struct member_submission *s, struct member_open *o)
{
	return encode(m, s, o, ENTRY_HOLDS_ALL) || (s->lent && encode_spread(m, s, o));
}

/* While a large transaction of another member is fed, and none of the others behind it
 * is, each own one stands alone between theirs: thousands of ranges, more than an entry
 * holds. The highest are left out then: that may refuse a transaction falsely, where
 * taking none in would refuse every one. */
static bool
encode_what_fits(struct member *m, const struct member_submission *s, struct member_open *o)
{
	struct snapshot fewer = *s->snapshot;
	struct member_submission with_fewer = *s;
	bool fits = encode_whole(m, s, o);

	with_fewer.snapshot = &fewer;
	while (!fits && fewer.range_count > 0) {
		fewer.range_count -= fewer.range_count / 8 + 1;
		fits = encode_whole(m, &with_fewer, o);
	}
	return fits;
}

/* Takes it in; false when there is no room. */
static bool
take_in(struct member *m, const struct member_submission *s)
{
	struct member_open *o = s->lent ? ahead_at(m, s->sequence) : open_at(m, s->sequence);
	uint32_t handle = MEMBER_NO_HANDLE;

	if (o->stage != OPEN_FREE || !pool_take(m->pool, &handle))
		return false;
	*o = (struct member_open){.stage = OPEN_UNDECIDED,
				  .name = s->sequence,
				  .sequence = s->lent ? 0 : s->sequence,
				  .flags = s->flags,
				  .handle = handle};
	if (!encode_what_fits(m, s, o)) {
		pool_release(m->pool, handle);
		*o = (struct member_open){.handle = MEMBER_NO_HANDLE};
		return false;
	}
	m->stats.undecided++;
	o->arrived = ++m->arrivals;
	if (s->lent)
		ahead_took(m, o);
	return true;
}

void
member_submit(struct member *m, const struct member_submission *s)
{
	bool ended = m->stage == MEMBER_IDLE || m->incarnation == 0 || m->stopping;
	bool taken = false;

	must(s->lent == ((s->sequence & SNAPSHOT_AHEAD) != 0));
	must(s->lent || s->sequence < m->snapshots.sequence_next);
	must(!s->lent || m->sink->release);
	must(!s->lent || s->hash_count == 0 ||
	     s->payload == (const uint8_t *)(s->hashes + s->hash_count));
	if (!ended)
		taken = take_in(m, s);
	if (!taken) {
		snapshot_close(&m->snapshots, s->sequence);
		tell(m, s->sequence, ended ? MEMBER_ENDED : MEMBER_NO_ROOM);
	}
	if (s->lent && !(taken && ahead_at(m, s->sequence)->lent))
		m->sink->release(m->sink->context, s->sequence,
				 s->payload - (size_t)s->hash_count * ENTRY_HASH_BYTES);
	if (!taken)
		return;
	m->stats.proposed++;
	member_send_open(m);
}

bool
member_send_one(struct member *m, struct member_open *o)
{
	struct protocol_message message = {
		.kind = PROTOCOL_SUBMIT,
		.group = m->group,
		.incarnation = m->incarnation,
		.data = pool_at(m->pool, o->handle),
		.bytes = o->bytes,
	};

	bytes_put_u64((uint8_t *)pool_at(m->pool, o->handle) + SUBMIT_SESSION_OFFSET,
		      m->attach_session);
	if (!member_say(m, WIRE_SUBMIT, &message))
		return false;
	if (o->ever_sent)
		m->stats.resubmitted++;
	o->sent = true;
	o->ever_sent = true;
	return true;
}

static bool
send_abandon(struct member *m, struct member_open *o)
{
	uint8_t bytes[64];
	struct writer w = writer_over(bytes, sizeof bytes);
	struct entry e = {.kind = ENTRY_ABANDON,
			  .abandon = {.incarnation = m->incarnation,
				      .session = m->attach_session,
				      .sequence = o->sequence,
				      .floor = m->snapshots.floor,
				      .offer = o->offer}};
	struct protocol_message message = {.kind = PROTOCOL_ABANDON,
					   .group = m->group,
					   .incarnation = m->incarnation,
					   .data = bytes};

	entry_encode(&e, &w);
	must(!w.bad);
	message.bytes = (uint32_t)w.bytes;
	o->abandon_sent = member_say(m, WIRE_SUBMIT, &message);
	return o->abandon_sent;
}

/* False: the stream has no room. */
static bool
send_submission(struct member *m, struct member_open *o)
{
	if (o->lent)
		return member_spread_send(m, o);
	if (o->bytes > m->entry_bytes_max && !o->ever_sent) {
		member_refuse(m, o, MEMBER_NO_ROOM);
		return true;
	}
	return member_send_one(m, o);
}

/* It gets its sequence, and is like any other from here on. False: not now. */
static bool
number(struct member *m, struct member_open *from)
{
	struct member_open *o = open_at(m, m->snapshots.sequence_next);

	if (o->stage != OPEN_FREE)
		return false;
	uint64_t sequence = snapshot_number(&m->snapshots, from->name);
	if (sequence == 0)
		return false;
	uint8_t *bytes = pool_at(m->pool, from->handle);
	*o = *from;
	o->sequence = sequence;
	bytes_put_u64(bytes + SUBMIT_SEQUENCE_OFFSET, sequence);
	bytes_put_u64(bytes + SUBMIT_FLOOR_OFFSET, m->snapshots.floor);
	if (o->offer != 0)
		m->lane[o->offer % ENTRY_OFFER_LANES].open = o;
	*from = (struct member_open){.handle = MEMBER_NO_HANDLE};
	ahead_left(m);
	return true;
}

static struct member_open *
ahead_next(const struct member *m, uint64_t behind)
{
	struct member_open *next = NULL;

	for (uint32_t i = 0; i < m->ahead_end; i++) {
		struct member_open *o = &m->ahead[i];

		if (o->stage != OPEN_FREE && o->arrived > behind &&
		    (!next || o->arrived < next->arrived))
			next = o;
	}
	return next;
}

/* Those without a sequence, in the order in which they came: what need not be spread, or
 * is, or is given up, gets one; of the others as many as may be are offered. */
static void
move_ahead(struct member *m)
{
	uint64_t behind = 0;

	for (uint32_t i = m->ahead_count; i > 0; i--) {
		struct member_open *o = ahead_next(m, behind);

		must(o);
		behind = o->arrived;
		if (o->lent && o->holders == 0 && !o->abandon) {
			if (!member_spread_send(m, o))
				return;
			continue;
		}
		if (!number(m, o) && o->abandon && !member_spread_finish(m, o))
			return;
	}
}

/* Sends what this attachment has not carried yet, lowest sequence first, as far as
 * the stream has room. */
void
member_send_open(struct member *m)
{
	if (m->stage != MEMBER_ATTACHED)
		return;
	move_ahead(m);
	for (uint64_t s = m->snapshots.floor; s < m->snapshots.sequence_next; s++) {
		struct member_open *o = member_open_find(m, s);

		if (!o || o->stage != OPEN_UNDECIDED)
			continue;
		if (!o->sent && !o->abandon && !send_submission(m, o))
			return;
		if (o->abandon && !o->abandon_sent && !send_abandon(m, o))
			return;
		if (o->abandon && !member_spread_finish(m, o))
			return;
	}
}

void
member_open_detached(struct member *m)
{
	m->fetch_count = 0;
	for (uint32_t i = 0; i < m->open_max; i++) {
		m->open[i].sent = false;
		m->open[i].abandon_sent = false;
		m->open[i].offered = false;
		m->open[i].holders = 0;
	}
	for (uint32_t i = 0; i < m->snapshots.open_max; i++) {
		m->ahead[i].offered = false;
		m->ahead[i].holders = 0;
	}
}

void
member_abandon(struct member *m, uint64_t sequence)
{
	struct member_open *o = open_named(m, sequence);

	if (!o || o->stage != OPEN_UNDECIDED)
		return; /* its verdict was told */
	/* One whose payload was offered is in the nodes' logs: only an entry tells all
	 * of them to forget it. */
	if (!o->ever_sent && o->offer == 0) {
		member_refuse(m, o, MEMBER_ABANDONED);
		return;
	}
	o->abandon = true;
	member_send_open(m);
}

static enum member_verdict
verdict_of(uint8_t verdict)
{
	switch (verdict) {
	case GROUP_ACCEPTED:
		return MEMBER_ACCEPTED;
	case GROUP_REFUSED:
		return MEMBER_CONFLICT;
	case GROUP_REFUSED_STALE:
		return MEMBER_STALE;
	case GROUP_REFUSED_FULL:
		return MEMBER_FULL;
	case GROUP_REFUSED_GTID:
		return MEMBER_GTID_REFUSED;
	default:
		must(verdict == GROUP_ABANDONED);
		return MEMBER_ABANDONED;
	}
}

static uint64_t
content_of(const struct member *m, const struct member_open *o)
{
	const uint8_t *copy = (const uint8_t *)pool_at(m->pool, o->handle) + o->payload_offset;

	return o->lent ? 0 : group_content(copy, o->payload_bytes);
}

/* The server commits an own transaction as soon as it is told: the table must know
 * it before, so that no later snapshot takes it for refused. */
void
member_verdict(struct member *m, const struct protocol_message *message)
{
	struct member_open *o = member_open_find(m, message->sequence);
	bool accepted = message->verdict == GROUP_ACCEPTED;

	if (message->verdict < GROUP_ACCEPTED || message->verdict > GROUP_ABANDONED)
		return;
	/* Behind a new attachment outcomes are told by sequence, not by index: they are
	 * complete when ATTACHED says so. */
	if (m->stage >= MEMBER_ATTACHED && message->index > m->own_through)
		m->own_through = message->index;
	if (!o || o->stage != OPEN_UNDECIDED)
		return; /* told again behind a new attachment */
	struct member_output out = {
		.kind = MEMBER_OUT_VERDICT,
		.sequence = o->name,
		.verdict = verdict_of(message->verdict),
		.index = message->index,
		.dependency = message->dependency,
		.gtid = accepted ? &message->gtid : NULL,
		.winner = message->winner.gno != 0 ? &message->winner : NULL,
		.winner_hash = message->winner_hash,
	};
	open_close(m, o);
	if (accepted) {
		member_newest(m, message->index, &message->gtid);
		must(snapshot_table_add(
			&m->snapshots,
			&(struct snapshot_entry){.index = message->index,
						 .name = o->name,
						 .gtid = message->gtid,
						 .term = group_sum_term(message->index,
									&message->gtid,
									content_of(m, o))}));
		o->stage = OPEN_ACCEPTED;
		o->index = message->index;
		o->dependency = message->dependency;
		o->gtid = message->gtid;
	} else {
		m->stats.local_rolled_back++;
	}
	m->progress_due = true;
	member_emit(m, &out);
	if (!accepted)
		open_free(m, o);
	if (m->ahead_count > 0)
		member_send_open(m); /* the window, or a lane, may be free */
}

void
member_newest(struct member *m, uint64_t index, const struct gtid *gtid)
{
	if (index <= m->stats.last_accepted_index)
		return;
	m->stats.last_accepted_index = index;
	m->stats.last_accepted = *gtid;
}

void
member_committed(struct member *m, const struct gtid *gtid)
{
	bool known = snapshot_table_committed(&m->snapshots, gtid);
	struct member_open *o;

	m->progress_due |= known;
	for (uint32_t i = 0; (o = open_walk(m, i)); i++)
		if (o->stage >= OPEN_ACCEPTED && gtid_equal(&o->gtid, gtid))
			break;
	if (o)
		open_free(m, o);
	else if (known)
		m->stats.remote_committed++;
}

void
member_local_failed(struct member *m, uint64_t sequence)
{
	struct member_open *o = open_named(m, sequence);

	if (!o || o->stage != OPEN_ACCEPTED)
		return;
	o->stage = OPEN_REQUEUE;
	snapshot_failed(&m->snapshots, sequence);
}

/* What the applier would have to wait for: an own transaction up to `index` that is
 * neither in gtid_executed nor on its way through the applier. */
static bool
open_below(const struct member *m, uint64_t index, const struct member_open *except)
{
	const struct member_open *o;

	for (uint32_t i = 0; (o = open_walk(m, i)); i++) {
		if (o != except && o->index <= index &&
		    (o->stage == OPEN_ACCEPTED || o->stage == OPEN_REQUEUE))
			return true;
	}
	return false;
}

static struct member_open *
requeue_lowest(struct member *m, uint64_t below)
{
	struct member_open *lowest = NULL;

	struct member_open *o;

	for (uint32_t i = 0; (o = open_walk(m, i)); i++) {
		if (o->stage == OPEN_REQUEUE && o->index < below &&
		    (!lowest || o->index < lowest->index))
			lowest = o;
	}
	return lowest;
}

/* True: all of it was told. What is large is told over many steps. */
static bool
queue_own(struct member *m, struct member_open *o)
{
	const uint8_t *copy = (uint8_t *)pool_at(m->pool, o->handle) + o->payload_offset;
	const uint8_t *data = o->lent ? o->spread + o->spread_bytes - o->lent_payload_bytes : copy;
	struct member_output out = {
		.kind = MEMBER_OUT_QUEUE,
		.index = o->index,
		.gtid = &o->gtid,
		.dependency = o->dependency,
		.flags = o->flags,
		.total = o->lent ? o->lent_payload_bytes : o->payload_bytes,
	};

	for (uint32_t i = 0; i < OWN_PIECES && !out.last && !(o->lent && m->server_full); i++) {
		uint64_t left = out.total - o->requeued;

		out.offset = o->requeued;
		out.data = data + o->requeued;
		out.bytes = left < OWN_PIECE_BYTES ? (uint32_t)left : OWN_PIECE_BYTES;
		out.last = out.bytes == left;
		o->requeued += out.bytes;
		member_emit(m, &out);
	}
	return out.last;
}

/* An own transaction that the server could not commit is applied like a remote
 * one, in its place: every transaction below `below` that others made was told.
 * False: one of them has to wait for an own one, or is told in part so far, and what
 * is above waits too. */
bool
member_requeue(struct member *m, uint64_t below)
{
	if (m->piece_index != 0)
		return false; /* not amid the pieces of another one */
	for (uint32_t i = 0; i < m->open_max; i++) {
		struct member_open *o = m->requeueing != 0 ? member_open_find(m, m->requeueing)
							   : requeue_lowest(m, below);

		if (!o)
			return true;
		if (m->requeueing == 0 && open_below(m, o->dependency, o))
			return false;
		m->requeueing = o->sequence;
		if (!queue_own(m, o))
			return false;
		m->requeueing = 0;
		o->stage = OPEN_REQUEUED;
	}
	return true;
}

bool
member_must_wait_for_own(const struct member *m, uint64_t dependency)
{
	return open_below(m, dependency, NULL);
}

/* The incarnation ended, and every outcome it had was told: what is still open is
 * in no log and never will be. */
void
member_open_ended(struct member *m)
{
	for (uint64_t s = m->snapshots.floor; s < m->snapshots.sequence_next; s++) {
		struct member_open *o = member_open_find(m, s);

		if (o && o->stage == OPEN_UNDECIDED)
			member_refuse(m, o, MEMBER_ENDED);
	}
	for (uint32_t i = 0; i < m->snapshots.open_max; i++)
		if (m->ahead[i].stage != OPEN_FREE)
			member_refuse(m, &m->ahead[i], MEMBER_ENDED);
}

void
member_open_forget(struct member *m)
{
	for (uint32_t i = 0; i < m->open_max; i++)
		open_free(m, &m->open[i]);
	for (uint32_t i = 0; i < m->snapshots.open_max; i++)
		open_free(m, &m->ahead[i]);
	memset(m->lane, 0, sizeof m->lane);
	m->offers = 0;
	m->stats.undecided = 0;
	m->open_low = 1;
	m->requeueing = 0;
}
