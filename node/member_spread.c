/*
 * Large payloads, the member's side of node/spread.h. A payload is offered to the
 * leader's node, which fetches it chunk by chunk from where the caller has it; when
 * a majority has it on disk the submission follows, and names it. Each attachment
 * begins with the offer anew: what the node has already it will not fetch.
 */
#include "base/hash.h"
#include "base/must.h"
#include "node/member_state.h"
#include "node/spread.h"

static uint32_t
offered_count(const struct member *m)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < m->open_max; i++)
		n += m->open[i].stage == OPEN_UNDECIDED && m->open[i].offered;
	return n;
}

static bool
node_takes(const struct member *m, const struct member_open *o)
{
	uint32_t message_bytes = m->config.stream_bytes / 2;

	return o->spread_bytes <= m->payload_bytes_max && o->bytes <= m->entry_bytes_max &&
	       m->chunk_bytes >= ENTRY_CHUNK_BYTES_MIN && m->chunk_bytes <= ENTRY_CHUNK_BYTES_MAX &&
	       m->chunk_bytes + FRAME_HEADER_BYTES + 64 <= message_bytes;
}

/* False: the stream has no room. */
static bool
offer(struct member *m, struct member_open *o)
{
	if (o->chunk_bytes == 0 && !node_takes(m, o)) {
		member_refuse(m, o, MEMBER_NO_ROOM);
		return true;
	}
	if (o->offered || offered_count(m) >= SPREAD_OPEN_MAX)
		return true;
	/* The first offer's: the digest counts by chunks. */
	if (o->chunk_bytes == 0)
		o->chunk_bytes = m->chunk_bytes;
	o->offered = member_say(m, WIRE_SUBMIT,
				&(struct protocol_message){
					.kind = PROTOCOL_OFFER,
					.group = m->group,
					.incarnation = m->incarnation,
					.sequence = o->sequence,
					.flags = o->chunk_bytes,
					.index = o->spread_bytes,
					.mark = o->spread_bytes,
				});
	return o->offered;
}

bool
member_spread_send(struct member *m, struct member_open *o)
{
	must(o->lent);
	must(o->payload_bytes == ENTRY_SPREAD_BYTES);
	if (o->holders == 0)
		return offer(m, o);
	struct entry_spread spread = {
		.bytes = o->spread_bytes,
		.digest = o->digest,
		.chunk_bytes = o->chunk_bytes,
		.holders = o->holders,
		.hash_count = o->hash_count,
	};
	entry_spread_encode(&spread, (uint8_t *)pool_at(m->pool, o->handle) + o->payload_offset);
	return member_send_one(m, o);
}

/* An open one whose payload goes, or went, to the nodes. */
static struct member_open *
spreading(struct member *m, uint64_t sequence)
{
	struct member_open *o = member_open_find(m, sequence);

	return o && o->stage == OPEN_UNDECIDED && o->chunk_bytes != 0 ? o : NULL;
}

static bool
from_own_node(const struct member *m, const struct protocol_message *message)
{
	return m->stage == MEMBER_ATTACHED && message->incarnation == m->incarnation;
}

static uint32_t
hash_next(struct member_open *o)
{
	uint32_t bytes = spread_chunk_at(o->spread_bytes, o->chunk_bytes, o->hashed);

	o->digest = hash_bytes(o->spread + o->hashed, bytes, o->digest);
	o->hashed += bytes;
	return bytes;
}

/* False: there is no room. */
static bool
send_chunk(struct member *m, const struct member_fetch *fetch)
{
	struct member_open *o = spreading(m, fetch->sequence);

	if (!o || fetch->offset >= o->spread_bytes || fetch->offset % o->chunk_bytes != 0)
		return true;
	if (fetch->offset == o->hashed)
		hash_next(o);
	return member_say(
		m, WIRE_FEED,
		&(struct protocol_message){
			.kind = PROTOCOL_CHUNK,
			.group = m->group,
			.incarnation = m->incarnation,
			.sequence = o->sequence,
			.flags = o->chunk_bytes,
			.index = fetch->offset,
			.mark = o->spread_bytes,
			.data = o->spread + fetch->offset,
			.bytes = spread_chunk_at(o->spread_bytes, o->chunk_bytes, fetch->offset),
		});
}

/* Sends what was asked for, as far as there is room: a chunk that were passed over
 * would make the node drop those behind it, and wait. */
void
member_spread_room(struct member *m)
{
	while (m->fetch_count > 0 && send_chunk(m, &m->fetch[m->fetch_first])) {
		m->fetch_first = (m->fetch_first + 1) % MEMBER_FETCHES_MAX;
		m->fetch_count--;
	}
}

/* One too many is lost: the node asks again. */
void
member_spread_fetch(struct member *m, const struct protocol_message *message)
{
	if (!from_own_node(m, message) || m->fetch_count == MEMBER_FETCHES_MAX)
		return;
	m->fetch[(m->fetch_first + m->fetch_count) % MEMBER_FETCHES_MAX] =
		(struct member_fetch){.sequence = message->sequence, .offset = message->index};
	m->fetch_count++;
	member_spread_room(m);
}

void
member_spread_held(struct member *m, const struct protocol_message *message)
{
	struct member_open *o = spreading(m, message->sequence);

	if (!o || !from_own_node(m, message) || o->holders != 0 || message->flags == 0)
		return;
	/* Every chunk came from here, in order, before anybody could hold it. Where that
	 * is not so, of this session nothing can be believed. */
	if (o->hashed != o->spread_bytes || message->winner_hash != o->digest) {
		member_reconnect(m, m->target);
		return;
	}
	o->holders = message->flags;
	member_send_open(m);
}

/* An offer for which the node had no room then. */
void
member_spread_again(struct member *m)
{
	for (uint32_t i = 0; i < m->open_max; i++)
		if (m->open[i].stage == OPEN_UNDECIDED && m->open[i].holders == 0)
			m->open[i].offered = false;
}
