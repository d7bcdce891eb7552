/*
 * Open submissions. The bytes of one are kept from SUBMIT until it is refused, or
 * committed: it may have to be sent again to another node, or to be applied here
 * when the server could not commit what the group accepted.
 */
#include "node/member_state.h"

#include "base/must.h"

/* Where the session's number stands in an encoded SUBMIT: behind the kind and the
 * incarnation. A resubmission carries the first one's bytes but for this. */
#define SUBMIT_SESSION_OFFSET 9

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

static void
open_free(struct member *m, struct member_open *o)
{
	const uint8_t *lent = o->lent;
	uint64_t sequence = o->sequence;

	if (o->handle != MEMBER_NO_HANDLE)
		pool_release(m->pool, o->handle);
	if (o->stage == OPEN_UNDECIDED)
		m->stats.undecided--;
	if (m->requeueing == sequence)
		m->requeueing = 0;
	*o = (struct member_open){.handle = MEMBER_NO_HANDLE};
	while (m->open_low < m->snapshots.floor && !member_open_find(m, m->open_low))
		m->open_low++;
	if (lent)
		m->sink->release(m->sink->context, sequence, lent);
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
tell(struct member *m, uint64_t sequence, enum member_verdict verdict)
{
	snapshot_close(&m->snapshots, sequence);
	member_emit(m, &(struct member_output){
			       .kind = MEMBER_OUT_VERDICT,
			       .sequence = sequence,
			       .verdict = verdict,
		       });
}

/* An outcome that no log knows. */
void
member_refuse(struct member *m, struct member_open *o, enum member_verdict verdict)
{
	uint64_t sequence = o->sequence;

	tell(m, sequence, verdict);
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
	struct writer w = writer_over(pool_at(m->pool, o->handle), m->config.transaction_bytes_max);
	struct entry e = {
		.kind = ENTRY_SUBMIT,
		.submit = {.incarnation = m->incarnation,
			   .session = m->attach_session,
			   .sequence = s->sequence,
			   .floor = m->snapshots.floor,
			   .flags = s->flags | (spread ? SUBMIT_SPREAD : 0),
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
	struct member_open *o = open_at(m, s->sequence);
	uint32_t handle = MEMBER_NO_HANDLE;

	if (o->stage != OPEN_FREE || !pool_take(m->pool, &handle))
		return false;
	*o = (struct member_open){.stage = OPEN_UNDECIDED,
				  .sequence = s->sequence,
				  .flags = s->flags,
				  .handle = handle};
	m->stats.undecided++;
	if (encode_what_fits(m, s, o))
		return true;
	open_free(m, o);
	return false;
}

void
member_submit(struct member *m, const struct member_submission *s)
{
	bool ended = m->stage == MEMBER_IDLE || m->incarnation == 0 || m->stopping;
	bool taken = false;

	must(s->sequence < m->snapshots.sequence_next);
	must(!s->lent || m->sink->release);
	must(!s->lent || s->hash_count == 0 ||
	     s->payload == (const uint8_t *)(s->hashes + s->hash_count));
	if (ended)
		tell(m, s->sequence, MEMBER_ENDED);
	else if (!(taken = take_in(m, s)))
		tell(m, s->sequence, MEMBER_NO_ROOM);
	if (s->lent && !(taken && open_at(m, s->sequence)->lent))
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
				      .floor = m->snapshots.floor}};
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

/* Sends what this attachment has not carried yet, lowest sequence first, as far as
 * the stream has room. */
void
member_send_open(struct member *m)
{
	if (m->stage != MEMBER_ATTACHED)
		return;
	for (uint64_t s = m->snapshots.floor; s < m->snapshots.sequence_next; s++) {
		struct member_open *o = member_open_find(m, s);

		if (!o || o->stage != OPEN_UNDECIDED)
			continue;
		if (!o->sent && !o->abandon && !send_submission(m, o))
			return;
		if (o->abandon && !o->abandon_sent && !send_abandon(m, o))
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
}

void
member_abandon(struct member *m, uint64_t sequence)
{
	struct member_open *o = member_open_find(m, sequence);

	if (!o || o->stage != OPEN_UNDECIDED)
		return; /* its verdict was told */
	/* One whose payload was offered is in the nodes' logs: only an entry tells all
	 * of them to forget it. */
	if (!o->ever_sent && o->chunk_bytes == 0) {
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
		.sequence = o->sequence,
		.verdict = verdict_of(message->verdict),
		.index = message->index,
		.dependency = message->dependency,
		.gtid = accepted ? &message->gtid : NULL,
		.winner = message->winner.gno != 0 ? &message->winner : NULL,
		.winner_hash = message->winner_hash,
	};
	if (accepted) {
		member_newest(m, message->index, &message->gtid);
		must(snapshot_table_add(&m->snapshots, message->index, &message->gtid));
		o->stage = OPEN_ACCEPTED;
		m->stats.undecided--;
		o->index = message->index;
		o->dependency = message->dependency;
		o->gtid = message->gtid;
	} else {
		m->stats.local_rolled_back++;
	}
	snapshot_close(&m->snapshots, message->sequence);
	m->progress_due = true;
	member_emit(m, &out);
	if (!accepted)
		open_free(m, o);
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
	struct member_open *o = member_open_find(m, sequence);

	if (o && o->stage == OPEN_ACCEPTED)
		o->stage = OPEN_REQUEUE;
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
}

void
member_open_forget(struct member *m)
{
	for (uint32_t i = 0; i < m->open_max; i++)
		open_free(m, &m->open[i]);
	m->open_low = 1;
	m->requeueing = 0;
}
