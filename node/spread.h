/*
 * node/spread.h - large payloads and write sets: spread over the logs before they are
 * ordered.
 *
 * A payload that does not fit a value of the consensus goes ahead of its entry, in
 * chunks, into the logs of a majority; the entry then carries only what names it
 * (struct entry_spread). So ordering costs the same for every transaction, and no
 * small one waits behind a large one. Nor does it wait for the large one's place: a
 * payload goes by a name of its own, the offer (certify/entry.h), and its transaction
 * takes its sequence when a majority holds it. What holds the window of sequences open
 * is then as short for it as for any other.
 *
 *     member                        leader's node                other nodes
 *     OFFER(payload)        ->      where there is room, or it was begun before
 *                           <-      FETCH(offset)
 *     CHUNK(offset, bytes)  ->      logs it; once on disk:
 *                                   OFFER(payload, so far) ->
 *                                                          <-      FETCH(offset)
 *                                   CHUNK, from the log    ->      logs it
 *                                                          <-      HELD, once on disk
 *                           <-      HELD(by whom), once that is a majority
 *     SUBMIT(entry_spread)  ->      proposes it
 *
 * Who receives asks: it alone knows how fast its log is and what it has already, so
 * a sender keeps no state, and a repetition, a lost session, a new leader or a
 * restart need no rule of their own: whoever is asked gives. Chunks are taken in
 * order only; what comes twice, or out of order, is dropped.
 *
 * Kept       A payload is kept from its first chunk on until the log decides about
 *            the transaction that names it (accepted, refused, abandoned), or its
 *            incarnation ends: an index of the log, the same on every node. Dropping
 *            it any earlier would break the word that HELD gave. A member that gives one
 *            up has it abandoned by its name, under a sequence taken for that.
 * Write set  One that is too large for the entry goes in front of the payload, as part
 *            of it: what is said here of payloads holds for both. The verdict needs it:
 *            a node that lacks it fetches it first, and applies nothing of that group
 *            meanwhile, nor takes more of it than it can keep. One that has it reads it
 *            back chunk by chunk, so memory holds one chunk, however large it is.
 * Accepted   A node that applies the entry of a payload which it has whole writes one
 *            record with the positions of its chunks, and forgets the rest. The
 *            position of that one goes to the log too (node/history.h), so memory
 *            does not limit how many payloads can be fed later. One that lacks it
 *            fetches it from those who hold it; the feed of this node waits
 *            meanwhile, the verdict does not. Others drop what every member had (image.c): when
 *            all were asked in vain, and one has an image behind it, it is given up, and
 *            a member that lacks it is not fed here. Where the write set was spread the
 *            record is written for a refused one too: who is behind needs it to come
 *            to the same verdict.
 * Replay     Slots are taken by CHUNK records and given back by SETTLED records only,
 *            so that replay takes and gives in the order of the first time. Freeing
 *            them by applied entries would not do: replay learns later than the first
 *            time what was decided, and would run out of slots.
 * Limits     SPREAD_OPEN_MAX payloads of a member at once, the others wait at the
 *            member; payload_bytes_max; nothing of a payload is in memory but the
 *            positions of its chunks and those chunks that are on their way. Of
 *            results_max / 8 accepted ones that are not here yet, the oldest is given
 *            up when one more comes. A write set of more hashes than the group's index
 *            takes is refused before the first is inserted.
 * Errors     decoders answer false.
 * Threads    the node's.
 */
#ifndef NODE_SPREAD_H
#define NODE_SPREAD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/frame.h"
#include "certify/entry.h"

#define SPREAD_OPEN_MAX ENTRY_OFFER_LANES /* offered payloads of one member, undecided */

/* Kinds of log records; frame.group is the group. */
#define NODE_RECORD_CHUNK   61
#define NODE_RECORD_SETTLED 62

/* One chunk: in a record, and on the wire as PROTOCOL_CHUNK. */
struct spread_chunk {
	uint64_t incarnation;
	uint64_t offer;
	uint64_t index; /* of the entry, when that was applied before; else 0 */
	uint64_t total; /* bytes of the payload */
	uint64_t offset;
	uint32_t chunk_bytes; /* of every chunk but the last */
	uint32_t bytes;       /* of this one */
	const uint8_t *data;
};

/* A payload's end as one that is being received. With an index: decided there by its
 * write set, or accepted, as the group's `number`th, and whole; `lsn` are the ends of the
 * records of its chunks, u64 each. Without: gone. */
struct spread_settled {
	uint64_t incarnation;
	uint64_t offer;
	uint64_t index;
	uint64_t number;
	uint64_t total;
	uint32_t chunk_bytes;
	uint32_t count;
	const uint8_t *lsn;
};

#define SPREAD_CHUNK_HEAD_BYTES   48
#define SPREAD_SETTLED_HEAD_BYTES 48
#define SPREAD_CHUNKS_MAX                                     \
	((FRAME_BODY_BYTES_MAX - SPREAD_SETTLED_HEAD_BYTES) / \
	 8) /* their positions are one record */

/* Bodies of the records, without the frame's header. */
void spread_chunk_encode(const struct spread_chunk *chunk, struct writer *w);
bool spread_chunk_decode(struct spread_chunk *chunk, const uint8_t *body, uint32_t bytes);
void spread_settled_encode(const struct spread_settled *settled, struct writer *w);
bool spread_settled_decode(struct spread_settled *settled, const uint8_t *body, uint32_t bytes);

static inline uint64_t
spread_settled_lsn(const struct spread_settled *s, uint32_t i)
{
	return bytes_get_u64(s->lsn + (size_t)i * 8);
}

static inline uint32_t
spread_chunk_count(uint64_t total, uint32_t chunk_bytes)
{
	return (uint32_t)((total + chunk_bytes - 1) / chunk_bytes);
}

/* Bytes of the chunk that begins at `offset`, a multiple of chunk_bytes below total. */
static inline uint32_t
spread_chunk_at(uint64_t total, uint32_t chunk_bytes, uint64_t offset)
{
	uint64_t left = total - offset;
	return left < chunk_bytes ? (uint32_t)left : chunk_bytes;
}

/* What a record of it is long, for reading it back. */
static inline uint32_t
spread_chunk_record_bytes(uint32_t bytes)
{
	return FRAME_HEADER_BYTES + SPREAD_CHUNK_HEAD_BYTES + bytes;
}

#endif /* NODE_SPREAD_H */
