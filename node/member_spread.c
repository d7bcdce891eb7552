/*
 * Large payloads, the member's side of node/spread.h. A payload is offered to the
 * leader's node, which fetches it chunk by chunk from where the caller has it; when
 * a majority has it on disk the submission gets its sequence, follows, and names it. Each
 * attachment begins with the offer anew: what the node has already it will not fetch. An
 * offer has its lane until the log has ended it. It does not wait behind submissions for room
 * in the log: the part that a node has of it takes that room until it is whole.
 */
#include "base/hash.h"
#include "base/must.h"
#include "node/member_state.h"
#include "node/spread.h"

static bool
node_takes(const struct member *m, const struct member_open *o)
{
	uint32_t message_bytes = m->config.stream_bytes / 2;

	return o->spread_bytes <= m->payload_bytes_max && o->bytes <= m->entry_bytes_max &&
	       m->chunk_bytes >= ENTRY_CHUNK_BYTES_MIN && m->chunk_bytes <= ENTRY_CHUNK_BYTES_MAX &&
	       m->chunk_bytes + FRAME_HEADER_BYTES + 64 <= message_bytes;
}

/* A name for it, if one may be offered now. Its chunks stay as they were for the first
 * offer: the digest counts by them. */
static void
take_lane(struct member *m, struct member_open *o)
{
	uint32_t lane = 0;

	while (lane < ENTRY_OFFER_LANES && m->lane[lane].offer != 0)
		lane++;
	if (lane == ENTRY_OFFER_LANES)
		return;
	o->chunk_bytes = m->chunk_bytes;
	o->offer = ++m->offers * ENTRY_OFFER_LANES + lane;
	m->lane[lane] = (struct member_lane){.offer = o->offer, .open = o};
}

/* False: the stream has no room. */
static bool
offer(struct member *m, struct member_open *o)
{
	if (o->offer == 0 && !node_takes(m, o)) {
		member_refuse(m, o, MEMBER_NO_ROOM);
		return true;
	}
	if (o->offer == 0)
		take_lane(m, o);
	if (o->offer == 0 || o->offered)
		return true;
	o->offered = member_say(m, WIRE_CONTROL,
				&(struct protocol_message){
					.kind = PROTOCOL_OFFER,
					.group = m->group,
					.incarnation = m->incarnation,
					.sequence = o->offer,
					.flags = o->chunk_bytes,
					.index = o->hashed,
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
	must(o->sequence != 0);
	struct entry_spread spread = {
		.bytes = o->spread_bytes,
		.digest = o->digest,
		.chunk_bytes = o->chunk_bytes,
		.holders = o->holders,
		.hash_count = o->hash_count,
		.offer = o->offer,
	};
	entry_spread_encode(&spread, (uint8_t *)pool_at(m->pool, o->handle) + o->payload_offset);
	return member_send_one(m, o);
}

/* It is given up, and what ends it may wait behind submissions that wait for room, which a part of
 * it in a log may take. Who has it whole lets them through. False: the stream has no room. */
bool
member_spread_finish(struct member *m, struct member_open *o)
{
	must(o->abandon);
	return o->hashed == 0 || o->holders != 0 || offer(m, o);
}

/* An open one whose payload goes, or went, to the nodes. */
static struct member_open *
spreading(struct member *m, uint64_t offer)
{
	const struct member_lane *lane = &m->lane[offer % ENTRY_OFFER_LANES];

	return offer != 0 && lane->offer == offer ? lane->open : NULL;
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
	struct member_open *o = spreading(m, fetch->offer);

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
			.sequence = o->offer,
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
		(struct member_fetch){.offer = message->sequence, .offset = message->index};
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
	for (uint32_t i = 0; i < ENTRY_OFFER_LANES; i++)
		if (m->lane[i].offer != 0 && m->lane[i].open->holders == 0)
			m->lane[i].open->offered = false;
}
