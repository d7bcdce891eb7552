/*
 * tests/node/ends.h - three nodes with logs, and datagrams between them, in virtual time.
 *
 * Included once by a test file, whose bench it is: it says how each is configured (config_of), sets
 * what goes wrong, and runs them. A log is a row of records from LSN 0, which a later life of its
 * node replays; it is on disk a moment after each step.
 *
 * Ownership  ends_begin() takes memory, ends_finish() gives it back.
 */
#ifndef TESTS_NODE_ENDS_H
#define TESTS_NODE_ENDS_H

#include <criterion/criterion.h>
#include <stdlib.h>

#include "node/internal.h"

#define MS         ((uint64_t)1000000)
#define LOG_BYTES  (8u << 20)
#define DATAGRAMS  4096
#define READS      64
#define ENDS       3
#define LATENCY_NS (MS / 10)

struct end {
	struct node *node; /* NULL: it is down */
	void *memory;
	uint8_t *log;
	uint64_t bytes;
	uint64_t told;
	uint64_t dropped; /* the log has nothing below */
	uint64_t rotten;  /* nor the record that begins here; 0: it has all */
	uint64_t timer_ns;
	uint64_t process;
	struct node_output read[READS];
	uint32_t read_count;
	bool ended;
	bool outdated; /* for that, as another one says */
	uint64_t outdated_by;
	bool forced; /* for that */
	bool failed; /* the log takes nothing more */
	uint32_t images;
};

struct datagram {
	uint64_t at_ns;
	uint8_t from, to;
	uint32_t bytes;
	uint8_t data[1400];
};

static struct end end[ENDS];
static struct datagram datagram[DATAGRAMS]; /* a ring */
static uint32_t datagram_first, datagram_count, lose_every, sent;
static uint64_t now_ns;
static uint8_t sender;
static uint64_t spoil_lsn;     /* a record that is read with a bit too many */
static uint64_t room_of[ENDS]; /* in its own; 0: as `room` says */
static uint64_t coarse;        /* so many bytes below `dropped` the log still has at a restart */
static uint64_t room;          /* in all logs; 0: without end */
static uint64_t disk_times;    /* the disk takes more than the records; 0: it does not say */
static uint8_t hanging;        /* whose disk says nothing; UINT8_MAX: nobody's */
static bool goes_over;         /* who was forced on begins its next life at once */

static struct node_config config_of(uint8_t number);

static inline void
send(const struct node_output *out)
{
	for (uint8_t i = 0; i < ENDS; i++) {
		struct endpoint at = endpoint_from_ipv4(0x0a000001u + i, 4000);
		if (!endpoint_equal(&at, &out->to) || (lose_every > 0 && ++sent % lose_every == 0))
			continue;
		cr_assert_lt(datagram_count, DATAGRAMS);
		struct datagram *d = &datagram[(datagram_first + datagram_count++) % DATAGRAMS];
		d->at_ns = now_ns + LATENCY_NS;
		d->from = sender;
		d->to = i;
		d->bytes = out->bytes;
		memcpy(d->data, out->data, out->bytes);
	}
}

static inline void
emit(void *context, const struct node_output *out)
{
	struct end *e = context;

	if (out->kind == NODE_OUT_LOG && e->failed)
		return;
	if (out->kind == NODE_OUT_LOG) {
		cr_assert_leq(e->bytes + out->bytes, LOG_BYTES);
		memcpy(e->log + e->bytes, out->data, out->bytes);
		e->bytes += out->bytes;
	} else if (out->kind == NODE_OUT_SEND) {
		cr_assert_leq(out->after_lsn, e->told);
		send(out);
	} else if (out->kind == NODE_OUT_TIMER) {
		e->timer_ns = out->at_ns;
	} else if (out->kind == NODE_OUT_READ) {
		cr_assert_lt(e->read_count, READS);
		e->read[e->read_count++] = *out;
	} else if (out->kind == NODE_OUT_DROP) {
		cr_assert_geq(out->lsn, e->dropped);
		e->dropped = out->lsn;
	} else if (out->kind == NODE_OUT_IMAGE) {
		e->images += out->slot > 0;
	} else if (out->kind == NODE_OUT_OUTDATED) {
		e->outdated = true;
		e->outdated_by = out->index;
		e->ended = true;
	} else if (out->kind == NODE_OUT_FORCED) {
		e->forced = true;
		e->ended = true;
	} else if (out->kind == NODE_OUT_DIVERGED || out->kind == NODE_OUT_LOST) {
		e->ended = true;
	}
}

static inline void
give(uint8_t number, struct node_input in)
{
	struct end *e = &end[number];
	struct node_sink sink = {.context = e, .emit = emit};

	if (!e->node || e->ended)
		return;
	sender = number;
	in.now_ns = now_ns;
	in.room_bytes = room_of[number] > 0 ? room_of[number] : room;
	node_step(e->node, &in, &sink);
}

/* The newest one. What is below `dropped` is gone for good. */
static inline void
answer_read(uint8_t number)
{
	static uint8_t spoilt[FRAME_BYTES_MAX];
	struct end *e = &end[number];

	cr_assert_gt(e->read_count, 0);
	struct node_output read = e->read[--e->read_count];
	struct node_input in = {.kind = NODE_IN_READ_DONE,
				.lsn = read.lsn,
				.data = e->log + read.lsn - read.bytes,
				.bytes = read.bytes};

	if (read.lsn <= e->dropped)
		in.bytes = 0;
	if (read.lsn == spoil_lsn) {
		memcpy(spoilt, in.data, in.bytes);
		spoilt[FRAME_HEADER_BYTES + 2] ^= 0x40;
		in.data = spoilt;
	}
	give(number, in);
}

static inline void
answer_reads(uint8_t number)
{
	while (end[number].read_count > 0)
		answer_read(number);
}

/* Where a log of whole segments begins: some record before what was dropped. */
static inline uint64_t
begin_of(const struct end *e)
{
	uint64_t lsn = 0;
	struct frame frame;

	for (; e->dropped - lsn > coarse; lsn += frame.frame_bytes)
		cr_assert(frame_decode(&frame, e->log + lsn, e->bytes - lsn));
	return lsn;
}

/* Another life of this node on what its disk has. */
static inline void
live(uint8_t number, enum paxos_tail tail)
{
	struct end *e = &end[number];
	struct node_config c = config_of(number);
	struct frame frame = {0};

	free(e->memory);
	e->memory = aligned_alloc(64, (node_size(&c) + 63) / 64 * 64);
	cr_assert(e->memory);
	memset(e->memory, 0xa5, node_size(&c));
	e->node = node_init(e->memory, &c);
	e->timer_ns = 0;
	e->read_count = 0;
	e->ended = false;
	e->outdated = false;
	e->forced = false;
	e->dropped = begin_of(e);
	if (e->dropped > 0)
		give(number, (struct node_input){.kind = NODE_IN_TRIMMED, .lsn = e->dropped});
	for (uint64_t lsn = e->dropped; lsn < e->bytes; lsn += frame.frame_bytes) {
		cr_assert(frame_decode(&frame, e->log + lsn, e->bytes - lsn));
		if (e->rotten != 0 && lsn == e->rotten)
			continue;
		give(number, (struct node_input){.kind = NODE_IN_RECORD,
						 .data = e->log + lsn,
						 .bytes = frame.frame_bytes,
						 .lsn = lsn + frame.frame_bytes});
		answer_reads(number);
	}
	e->told = e->bytes;
	uint8_t entropy[64] = {(uint8_t)(number + 1), (uint8_t)e->process};
	give(number, (struct node_input){.kind = NODE_IN_START,
					 .process = ++e->process,
					 .tail = tail,
					 .lsn = e->bytes,
					 .data = entropy,
					 .bytes = sizeof entropy});
}

static inline void
stop(uint8_t number)
{
	end[number].node = NULL;
}

static inline void
arrive(void)
{
	while (datagram_count > 0 && datagram[datagram_first].at_ns <= now_ns) {
		const struct datagram *d = &datagram[datagram_first];

		give(d->to,
		     (struct node_input){.kind = NODE_IN_PACKET,
					 .from = endpoint_from_ipv4(0x0a000001u + d->from, 4000),
					 .data = d->data,
					 .bytes = d->bytes});
		datagram_first = (datagram_first + 1) % DATAGRAMS;
		datagram_count--;
	}
}

static inline void
run(uint64_t for_ns)
{
	for (uint64_t until_ns = now_ns + for_ns; now_ns < until_ns; now_ns += LATENCY_NS) {
		arrive();
		for (uint8_t i = 0; i < ENDS; i++) {
			struct end *e = &end[i];

			if (e->forced && goes_over)
				live(i, PAXOS_TAIL_CLEAN);
			if (e->timer_ns <= now_ns)
				give(i, (struct node_input){.kind = NODE_IN_TICK});
			answer_reads(i);
			if (e->told == e->bytes || i == hanging)
				continue;
			e->told = e->bytes;
			give(i, (struct node_input){.kind = NODE_IN_DURABLE,
						    .lsn = e->told,
						    .disk_bytes = disk_times * e->told});
		}
	}
}

/* All are down, nothing goes wrong, and the disks are empty. */
static inline void
ends_begin(void)
{
	memset(end, 0, sizeof end);
	datagram_count = 0;
	lose_every = 0;
	spoil_lsn = 0;
	coarse = 0;
	disk_times = 0;
	hanging = UINT8_MAX;
	goes_over = false;
	room = 0;
	memset(room_of, 0, sizeof room_of);
	now_ns = MS;
	for (uint8_t i = 0; i < ENDS; i++) {
		end[i].log = malloc(LOG_BYTES);
		cr_assert(end[i].log);
	}
}

static inline void
ends_finish(void)
{
	for (uint8_t i = 0; i < ENDS; i++) {
		free(end[i].memory);
		free(end[i].log);
	}
}

#endif /* TESTS_NODE_ENDS_H */
