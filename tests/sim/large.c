/*
 * tests/sim/large.c - large transactions: see sim.h, and node/spread.h.
 *
 * A payload is lent to the member in memory of its own, and spoiled when it comes
 * back, so that a later look at it shows. What comes in pieces must come in order,
 * each byte once, with nothing in between. What the disks hold of each payload is
 * read from their records alone.
 */
#include <stdlib.h>

#include "base/must.h"
#include "node/internal.h"
#include "node/member_state.h"
#include "tests/sim/payload.h"
#include "tests/sim/sim.h"

#define SPOILED_BYTES 64 /* longer than any head */

const uint8_t *
large_lend(struct sim_tx *tx, const uint8_t *payload, uint32_t bytes)
{
	tx->lent = malloc(bytes < SPOILED_BYTES ? SPOILED_BYTES : bytes);
	must(tx->lent != NULL);
	memcpy(tx->lent, payload, bytes);
	return tx->lent;
}

static void
give_back(struct sim_tx *tx)
{
	memset(tx->lent, 0xdd, SPOILED_BYTES);
	free(tx->lent);
	tx->lent = NULL;
}

void
large_reset(struct sim *s)
{
	for (uint32_t i = 0; i < s->tx_count; i++) {
		if (s->tx[i].lent != NULL)
			give_back(&s->tx[i]);
	}
	s->payload_count = 0;
	memset(s->group_number, 0, sizeof s->group_number);
}

/* This node has another disk. */
void
large_renewed(struct sim *s, uint8_t node)
{
	for (uint32_t i = 0; i < s->payload_count; i++) {
		struct check_payload *p = &s->payload[i];

		p->lost |= p->total > 0 && p->held[node] == p->total ? 1u << node : 0;
		p->kept[node] = false;
		p->held[node] = 0;
		p->next[node] = 0;
	}
}

/* The nodes that hold all of it, a bit each. */
static uint32_t
holders(const struct sim *s, const struct check_payload *p)
{
	uint32_t nodes = 0;

	for (uint32_t i = 0; i < s->node_count; i++)
		nodes |= p->total > 0 && p->held[i] == p->total ? 1u << i : 0;
	return nodes;
}

/* The nodes that hold the payload of this transaction, a bit each. */
uint32_t
large_kept(const struct sim *s, uint32_t number)
{
	for (uint32_t i = 0; i < s->payload_count; i++) {
		const struct check_payload *p = &s->payload[i];

		if (p->group != UINT32_MAX && p->number == number + 1)
			return holders(s, p);
	}
	return 0;
}

/* The first transaction in this slot whose payload no survivor has, and whose index nobody was
 * told yet; UINT32_MAX: none. */
uint32_t
large_in(const struct sim *s, uint32_t group, uint64_t slot)
{
	for (uint32_t i = 0; i < s->payload_count; i++) {
		const struct check_payload *p = &s->payload[i];

		if (p->group == group && p->ordered && p->slot == slot && p->number != 0 &&
		    s->tx[p->number - 1].index == 0 && (holders(s, p) & s->force.voters) == 0)
			return p->number - 1;
	}
	return UINT32_MAX;
}

/* The nodes that hold all that this entry names, a bit each. */
uint32_t
large_holders(const struct sim *s, uint32_t group, const struct entry_submit *submit)
{
	struct entry_spread spread;

	must(entry_spread_decode(&spread, submit->payload, submit->payload_bytes));
	for (uint32_t i = 0; i < s->payload_count; i++) {
		const struct check_payload *p = &s->payload[i];

		if (p->group == group && p->incarnation == submit->incarnation &&
		    p->offer == spread.offer)
			return holders(s, p);
	}
	return 0;
}

/* An incarnation above this index is another one from now on, if it is one at all; and what
 * is below is ordered no more, if it was not. */
void
large_forked(struct sim *s, uint32_t group, uint64_t index)
{
	for (uint32_t i = 0; i < s->payload_count; i++) {
		struct check_payload *p = &s->payload[i];

		if (p->group != group)
			continue;
		if (p->incarnation > index)
			*p = (struct check_payload){.group = UINT32_MAX};
		p->past = true;
	}
}

void
large_released(struct sim *s, struct sim_server *v, uint64_t sequence, const uint8_t *block)
{
	for (uint32_t i = s->tx_count; i > 0; i--) {
		struct sim_tx *tx = &s->tx[i - 1];

		if (tx->lent != block)
			continue;
		if (tx->server != v->number || tx->sequence != sequence)
			break;
		give_back(tx);
		return;
	}
	sim_fail(s, "server %u: sequence %llu gives back what was not lent", v->number,
		 (unsigned long long)sequence);
}

/* The server is gone, and its member with it. */
void
large_forget(struct sim *s, struct sim_server *v)
{
	for (uint32_t i = 0; i < s->tx_count; i++) {
		if (s->tx[i].server == v->number && s->tx[i].lent != NULL)
			give_back(&s->tx[i]);
	}
	v->piece_bytes = 0;
}

bool
large_piece(struct sim *s, struct sim_server *v, struct member_output *out)
{
	bool next = out->offset == v->piece_bytes && out->bytes <= out->total - out->offset &&
		    out->last == (out->offset + out->bytes == out->total);

	if (v->piece_bytes > 0 && out->index != v->piece_index)
		next = false;
	if (!next || out->total > SIM_PAYLOAD_BYTES) {
		sim_fail(s,
			 "server %u: %llu comes from %llu on, %u of %llu bytes; %u of %llu "
			 "were told",
			 v->number, (unsigned long long)out->index, (unsigned long long)out->offset,
			 out->bytes, (unsigned long long)out->total, v->piece_bytes,
			 (unsigned long long)v->piece_index);
		return false;
	}
	if (out->bytes == out->total)
		return true;
	memcpy(v->piece + out->offset, out->data, out->bytes);
	v->piece_index = out->index;
	v->piece_bytes += out->bytes;
	if (!out->last)
		return false;
	out->data = v->piece;
	out->bytes = v->piece_bytes;
	v->piece_bytes = 0;
	return true;
}

static struct check_payload *
payload_at(struct sim *s, uint32_t group, uint64_t incarnation, uint64_t offer)
{
	for (uint32_t i = s->payload_count; i > 0; i--) {
		struct check_payload *p = &s->payload[i - 1];

		if (p->group == group && p->incarnation == incarnation && p->offer == offer)
			return p;
	}
	if (s->payload_count == SIM_PAYLOADS_MAX)
		return NULL;
	struct check_payload *p = &s->payload[s->payload_count++];
	*p = (struct check_payload){.group = group, .incarnation = incarnation, .offer = offer};
	return p;
}

/* Two groups know the same incarnations and offers: their uuid tells which is which. */
static void
note_group(struct sim *s, const struct frame *frame, const uint8_t *uuid)
{
	for (uint32_t i = 0; i < SIM_GROUPS_MAX; i++) {
		if (memcmp(s->group_uuid[i], uuid, UUID_BYTES) == 0 &&
		    !groups_gone(s, frame->group))
			s->group_number[i] = frame->group;
	}
}

/* By which name its member offers a transaction's payload. Only the member knows. */
void
large_offered(struct sim *s, struct sim_server *v)
{
	for (uint32_t i = 0; i < ENTRY_OFFER_LANES; i++) {
		const struct member_lane *lane = &v->member->lane[i];

		if (lane->offer == 0 || lane->offer == v->offered[i])
			continue;
		v->offered[i] = lane->offer;
		for (uint32_t k = 0; k < v->client_count; k++) {
			struct sim_tx *tx = &s->tx[v->client[k].tx];

			if (v->client[k].state == CLIENT_SUBMITTED &&
			    tx->sequence == lane->open->name)
				tx->offer = lane->offer;
		}
	}
}

/* Whose payload it is; UINT32_MAX: nobody's. */
static uint32_t
transaction_of(const struct sim *s, uint32_t group, uint64_t incarnation, uint64_t offer)
{
	for (uint32_t i = s->tx_count; i > 0; i--) {
		const struct sim_tx *tx = &s->tx[i - 1];

		if (tx->submitted && tx->life == s->groups.life[tx->group] &&
		    s->group_number[tx->group] == group && tx->incarnation == incarnation &&
		    tx->offer == offer)
			return i - 1;
	}
	return UINT32_MAX;
}

/* May it be of an incarnation that a force made void? Who holds a part of its payload, and has
 * not gone over to that epoch, goes on with it. */
static bool
is_left_over(const struct sim *s, const struct frame *frame, uint64_t incarnation)
{
	const struct check_group *c = &s->check[frame->group];
	uint32_t last = s->force.fork_count;

	if (last > 0 && memcmp(frame->epoch, s->force.fork[last - 1].epoch, EPOCH_BYTES) == 0)
		return false;
	for (uint32_t i = 0; i < c->forks; i++)
		if (incarnation > c->forked[i])
			return true;
	return false;
}

/* A record that is on a disk, seen once, in the order of the log. */
void
large_record(struct sim *s, uint8_t node, const struct frame *frame, const uint8_t *data)
{
	uint32_t bytes = frame->frame_bytes - FRAME_HEADER_BYTES;
	struct check_payload *p;
	struct spread_chunk c;
	struct spread_settled e;

	data += FRAME_HEADER_BYTES;
	if (frame->kind == NODE_RECORD_DROPPED)
		groups_dropped(s, frame->group);
	if (frame->kind == NODE_RECORD_GROUP) {
		note_group(s, frame, data);
		voters_founded(s, frame->group, data);
	}
	if (frame->kind == NODE_RECORD_SETTLED) {
		if (!spread_settled_decode(&e, data, bytes)) {
			sim_fail(s, "node %u logs an end that does not decode", node);
			return;
		}
		p = payload_at(s, frame->group, e.incarnation, e.offer);
		if (p == NULL)
			return;
		/* It may come again: replay knows the end before it learns the entry anew. */
		p->next[node] = 0;
		p->kept[node] |= e.index != 0;
		if (!p->kept[node])
			p->held[node] = 0;
		return;
	}
	if (frame->kind != NODE_RECORD_CHUNK)
		return;
	if (!spread_chunk_decode(&c, data, bytes)) {
		sim_fail(s, "node %u logs a chunk that does not decode", node);
		return;
	}
	p = payload_at(s, frame->group, c.incarnation, c.offer);
	if (p == NULL)
		return;
	if (p->next[node] == 0 && c.offset != 0 && is_left_over(s, frame, c.incarnation))
		return;
	/* One whose disk lied or rotted has forgotten some, and begins again there. */
	if (c.offset != p->next[node] && node != s->swarm.liar && node != s->swarm.rotten)
		sim_fail(s, "node %u logs bytes %llu of a payload, and not %llu", node,
			 (unsigned long long)c.offset, (unsigned long long)p->next[node]);
	p->next[node] = c.offset + c.bytes;
	if (p->held[node] < p->next[node])
		p->held[node] = p->next[node];
	p->total = c.total;
	if (c.offset == 0)
		p->number = transaction_of(s, frame->group, c.incarnation, c.offer) + 1;
}

/* A value that is delivered for the first time: rule 12. What its member had abandoned, or left
 * open when it left, may come late and is void: the disks hold it no longer. So it counts only
 * if it is accepted. */
void
large_delivered(struct sim *s, const struct node_output *out)
{
	struct reader r = reader_over(out->data, out->bytes);
	struct entry e;

	while (r.bytes > 4 && out->group != 0) {
		uint32_t bytes = reader_u32(&r);
		const uint8_t *entry = reader_take(&r, bytes);

		if (entry == NULL || !entry_decode(&e, entry, bytes))
			return;
		if (e.kind == ENTRY_EXPEL)
			s->totals.lagging += e.expel.reason == EXPEL_LAG;
		if (e.kind != ENTRY_SUBMIT || !(e.submit.flags & SUBMIT_SPREAD))
			continue;
		struct entry_spread spread;
		must(entry_spread_decode(&spread, e.submit.payload, e.submit.payload_bytes));
		struct check_payload *p =
			payload_at(s, out->group, e.submit.incarnation, spread.offer);
		if (p == NULL)
			return;
		s->totals.spread += !p->ordered;
		if (!p->ordered && entry_hash_count(&e.submit) != e.submit.hash_count)
			s->totals.write_sets++;
		/* Two leaders may have ordered it: the second one counts for nothing. */
		if (!p->ordered)
			p->slot = out->slot;
		p->ordered = true;
		p->number = transaction_of(s, p->group, p->incarnation, p->offer) + 1;
		sim_trace(s,
			  "offer %llu of incarnation %llu is ordered; %llu bytes are on disks %s",
			  (unsigned long long)p->offer, (unsigned long long)p->incarnation,
			  (unsigned long long)p->total, word_set(holders(s, p)).text);
		/* A disk may be lost between the order and the first who hears of it. */
		p->scarce = !voters_majority(s, out->group, out->slot, holders(s, p) | p->lost);
	}
}

/* This node is told of a slot. */
void
large_met(struct sim *s, uint8_t node, const struct node_output *out)
{
	for (uint32_t i = 0; i < s->payload_count; i++) {
		const struct check_payload *p = &s->payload[i];

		if (p->group == out->group && p->slot == out->slot && !(holders(s, p) >> node & 1))
			force_tempt(s, ~holders(s, p));
	}
}

/* At rest: nothing is lent any more, and what was accepted is still held. */
void
large_final(struct sim *s)
{
	for (uint32_t i = 0; i < s->tx_count; i++) {
		if (s->tx[i].lent != NULL)
			sim_fail(s, "transaction %u: its payload was not given back", i);
	}
	for (uint32_t i = 0; i < s->payload_count; i++) {
		const struct check_payload *p = &s->payload[i];

		if (p->past || groups_gone(s, p->group) || !p->ordered || p->number == 0 ||
		    s->tx[p->number - 1].index == 0)
			continue;
		/* A log that is trimmed holds what some member has yet to commit. */
		bool held = s->swarm.image_bytes > 0 ||
			    voters_majority(s, p->group, UINT64_MAX, holders(s, p));
		if (p->scarce || !held)
			sim_fail(s, "transaction %u is accepted, and disks %x hold its payload%s",
				 p->number - 1, holders(s, p),
				 p->scarce ? "; fewer when it was ordered" : "");
	}
}
