/*
 * tests/sim/disk.c - the log's bytes on a disk that tears.
 *
 * One batch is under way at a time, as in hw/uring_log: what is appended meanwhile
 * gathers in the next one. A write takes time; when it is reported, it is on the
 * disk for good. A crash finds the batch under way in any state: gone, whole, cut at
 * a sector, or with sectors missing in between, and whole without ever having been
 * reported. The disk of one node may besides lie, rot, or be put back as it was. The bytes are
 * paxos/log_format's, and its scan judges what is left. In some runs a log has an end: so many
 * files, given back as a whole and from the begin. A node is told what is left, and at the end that
 * there is nothing; nor does the log end there: it is so small that what a single outage
 * makes all replicas write, 4 KiB a slot, is as much as that of a real one would be in hours.
 */
#include <stdlib.h>
#include <sys/mman.h>

#include "base/must.h"
#include "tests/sim/sim.h"

#define SECTOR_BYTES 512
#define LIES_MAX     12 /* batches */
#define IMAGE_BYTES  ((size_t)SIM_SEGMENTS_MAX * SIM_SEGMENT_BYTES)

static uint8_t *
segment_image(const struct sim_disk *d, uint32_t number)
{
	return d->image + (size_t)number * SIM_SEGMENT_BYTES;
}

static struct log_segment
segment_header(const struct sim_disk *d, enum log_segment_state state)
{
	struct log_segment segment = {
		.state = state,
		.number = d->segment,
		.segment_bytes = SIM_SEGMENT_BYTES,
		.generation = d->segment + 1u,
		.first_lsn = d->append_lsn - d->pending_bytes,
		.first_ordinal = d->ordinal,
		.oldest_generation = 1,
	};
	memcpy(segment.disk, d->disk_id, sizeof segment.disk);
	memcpy(segment.epoch, d->epoch, sizeof segment.epoch);
	memcpy(segment.server, d->server, sizeof segment.server);
	return segment;
}

static void
used_at_least(struct sim_disk *d, size_t bytes)
{
	must(bytes <= IMAGE_BYTES);
	if (bytes > d->used)
		d->used = bytes;
}

/* A batch fills whole blocks, most of them with zeros, and behind the end of the log
 * the image holds nothing else: only the bytes in front of them are moved. */
static void
image_write(struct sim_disk *d, size_t at, const uint8_t *data, size_t bytes)
{
	used_at_least(d, at + bytes);
	memcpy(d->image + at, data, bytes);
	for (size_t end = at; end < at + bytes;) {
		size_t block = end / LOG_BLOCK_BYTES;
		size_t next = (block + 1) * LOG_BLOCK_BYTES;
		end = next < at + bytes ? next : at + bytes;
		uint16_t filled = (uint16_t)(end - block * LOG_BLOCK_BYTES);
		if (filled > d->dirty[block])
			d->dirty[block] = filled;
	}
}

/* From here on there is nothing. `from` is the begin of a block. */
static void
image_clear(struct sim_disk *d, size_t from)
{
	must(from % LOG_BLOCK_BYTES == 0);
	for (size_t at = from; at < d->used; at += LOG_BLOCK_BYTES) {
		uint16_t *dirty = &d->dirty[at / LOG_BLOCK_BYTES];
		if (*dirty > 0)
			memset(d->image + at, 0, *dirty);
		*dirty = 0;
	}
	if (d->used > from)
		d->used = from;
}

/* The preparer's work: a spare header lies on disk long before it is needed. */
static void
segment_prepare(struct sim_disk *d)
{
	must(d->segment < SIM_SEGMENTS_MAX);
	struct log_segment spare = segment_header(d, LOG_SEGMENT_SPARE);
	uint8_t block[LOG_BLOCK_BYTES];

	log_segment_encode(&spare, block);
	image_write(d, (size_t)d->segment * SIM_SEGMENT_BYTES, block, sizeof block);
	d->position = LOG_BLOCK_BYTES;
	d->header_due = true;
}

void
disk_format(struct sim *s, struct sim_disk *d, uint8_t node)
{
	if (d->image == NULL) {
		d->image = mmap(NULL, IMAGE_BYTES, PROT_READ | PROT_WRITE,
				MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
		must(d->image != MAP_FAILED);
		d->dirty = calloc(IMAGE_BYTES / LOG_BLOCK_BYTES, sizeof *d->dirty);
		must(d->dirty != NULL);
		d->pending_capacity = LOG_BATCH_HEADER_BYTES + LOG_BATCH_BYTES_MAX;
		d->pending = malloc(4 * LOG_BATCH_BYTES_MAX);
		d->flight = malloc(LOG_BLOCK_BYTES + LOG_BATCH_BYTES_MAX);
		must(d->pending != NULL && d->flight != NULL);
	}
	image_clear(d, 0);
	for (int i = 0; i < LOG_ID_BYTES; i++)
		d->disk_id[i] = (uint8_t)random_u64(&s->random);
	memcpy(d->server, s->node[node].config.uuid[node], sizeof d->server);
	memcpy(d->epoch, s->node[node].config.epoch, sizeof d->epoch);
	d->segment = 0;
	d->ordinal = 1;
	d->append_lsn = 0;
	d->durable_lsn = 0;
	d->checked_lsn = 0;
	d->dropped_lsn = 0;
	d->kept_lsn = 0;
	d->begin = 0;
	d->began = 0;
	d->failed = false;
	d->outdated = false;
	d->renewed = false;
	d->stranger = false;
	d->repairs = false;
	d->stopped = false;
	d->copy_bytes = 0;
	d->writing = false;
	d->slow_until_ns = 0;
	d->pending_bytes = 0;
	d->pending_count = 0;
	d->place_count = 0;
	segment_prepare(d);
}

void
disk_append(struct sim_disk *d, const uint8_t *record, uint32_t bytes)
{
	must(d->pending_bytes + bytes <= 3 * LOG_BATCH_BYTES_MAX);
	memcpy(d->pending + LOG_BATCH_HEADER_BYTES + d->pending_bytes, record, bytes);
	d->pending_bytes += bytes;
	d->pending_count++;
	d->append_lsn += bytes;
}

/* Moves what is pending into `flight`, as the bytes of one write. */
static void
batch_build(struct sim_disk *d, uint16_t flags)
{
	uint32_t disk_bytes = log_batch_disk_bytes(d->pending_bytes);

	if (d->position + disk_bytes > SIM_SEGMENT_BYTES) {
		d->segment++;
		segment_prepare(d);
	}
	struct log_batch batch = {
		.flags = flags,
		.record_bytes = d->pending_bytes,
		.record_count = d->pending_count,
		.first_lsn = d->append_lsn - d->pending_bytes,
		.generation = d->segment + 1u,
		.ordinal = d->ordinal,
	};
	memcpy(batch.epoch, d->epoch, sizeof batch.epoch);
	size_t head = d->header_due ? LOG_BLOCK_BYTES : 0;
	size_t base = (size_t)d->segment * SIM_SEGMENT_BYTES;
	if (d->header_due) {
		struct log_segment live = segment_header(d, LOG_SEGMENT_LIVE);
		log_segment_encode(&live, d->flight);
	}
	memcpy(d->flight + head + LOG_BATCH_HEADER_BYTES, d->pending + LOG_BATCH_HEADER_BYTES,
	       d->pending_bytes);
	log_batch_encode(&batch, log_batch_seed(d->disk_id, d->segment), d->flight + head);
	d->flight_position = base + d->position - head;
	d->flight_bytes = head + disk_bytes;
	d->flight_filled = head + LOG_BATCH_HEADER_BYTES + d->pending_bytes;
	d->flight_records = d->pending_bytes;
	d->flight_records_at = base + d->position + LOG_BATCH_HEADER_BYTES;
	d->position += disk_bytes;
	d->header_due = false;
	d->ordinal++;
	d->pending_bytes = 0;
	d->pending_count = 0;
}

/* ---- a log that has an end ---- */

static size_t
end_of(const struct sim_disk *d)
{
	return (size_t)d->segment * SIM_SEGMENT_BYTES + d->position;
}

static uint64_t
file_bytes(const struct sim *s)
{
	return s->swarm.log_bytes / SIM_FILES;
}

uint64_t
disk_room(const struct sim *s, uint8_t node)
{
	const struct sim_disk *d = &s->node[node].disk;

	if (s->swarm.log_bytes == 0)
		return 0;
	uint64_t limit = (d->begin / file_bytes(s) + SIM_FILES) * file_bytes(s);
	return limit > end_of(d) ? limit - end_of(d) : 1;
}

/* The first batch whose end is above this LSN; place_count: none. */
static uint32_t
place_above(const struct sim_disk *d, uint64_t lsn)
{
	uint32_t low = 0;
	uint32_t high = d->place_count;

	while (low < high) {
		uint32_t middle = (low + high) / 2;
		if (d->place[middle].lsn + d->place[middle].bytes <= lsn)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

void
disk_drop(struct sim *s, uint8_t node, uint64_t lsn)
{
	struct sim_disk *d = &s->node[node].disk;
	uint32_t first = place_above(d, lsn);

	d->dropped_lsn = lsn;
	if (first < d->place_count)
		d->begin = d->place[first].position - LOG_BATCH_HEADER_BYTES;
}

/* What is kept begins with a file. */
static void
begin_with_a_file(const struct sim *s, struct sim_disk *d)
{
	size_t file = d->begin / file_bytes(s) * file_bytes(s);

	if (d->begin == 0)
		return;
	for (uint32_t i = 0; i < d->place_count; i++) {
		if (d->place[i].position - LOG_BATCH_HEADER_BYTES < file)
			continue;
		if (d->place[i].lsn < d->dropped_lsn)
			d->dropped_lsn = d->place[i].lsn;
		break;
	}
	d->kept_lsn = d->dropped_lsn;
}

void
disk_submit(struct sim *s, uint8_t node)
{
	struct sim_disk *d = &s->node[node].disk;

	if (d->failed || d->writing || d->pending_bytes == 0)
		return;
	must(d->pending_bytes <= LOG_RECORD_BYTES_MAX);
	batch_build(d, 0);
	d->writing = true;
	uint64_t wait = d->write_ns + random_mean(&s->random, d->write_ns / 2);
	if (d->slow_until_ns > s->now_ns)
		wait += random_mean(&s->random, 60 * MS);
	if (d->stall_ppm > 0 && random_chance(&s->random, d->stall_ppm))
		wait += random_mean(&s->random, d->stall_ns);
	sim_push(s, wait, EVENT_WRITTEN, node, 0);
}

static void
place_add(struct sim_disk *d, struct sim_batch_place place)
{
	if (d->place_count == d->place_capacity) {
		d->place_capacity = d->place_capacity ? 2 * d->place_capacity : 256;
		d->place = realloc(d->place, d->place_capacity * sizeof *d->place);
		must(d->place != NULL);
	}
	d->place[d->place_count++] = place;
}

/* Shows the checkers what the disk holds now and had not held before. */
static void
show_records(struct sim *s, uint8_t node, struct sim_batch_place place)
{
	struct sim_disk *d = &s->node[node].disk;
	struct reader r = reader_over(d->image + place.position, place.bytes);
	uint64_t lsn = place.lsn;
	struct frame frame;
	const uint8_t *data;

	if (lsn + place.bytes <= d->checked_lsn)
		return; /* the batch, whose checksum holds, was looked at when it landed */
	while (log_record_next(&r, lsn, &frame, &data)) {
		if (lsn >= d->checked_lsn)
			check_record(s, node, &frame, data);
		lsn += frame.frame_bytes;
	}
	if (r.bad)
		sim_fail(s, "node %u logs a record whose LSN is not its place", node);
	if (lsn > d->checked_lsn)
		d->checked_lsn = lsn;
}

static void
flight_lands(struct sim *s, uint8_t node)
{
	struct sim_disk *d = &s->node[node].disk;
	struct sim_batch_place place = {
		.lsn = d->durable_lsn,
		.bytes = d->flight_records,
		.position = d->flight_records_at,
	};
	image_write(d, d->flight_position, d->flight, d->flight_filled);
	d->writing = false;
	d->durable_lsn += d->flight_records;
	if (place.bytes > 0)
		place_add(d, place);
	show_records(s, node, place);
}

void
disk_written(struct sim *s, uint8_t node)
{
	struct sim_disk *d = &s->node[node].disk;

	if (!d->writing || d->failed)
		return;
	flight_lands(s, node);
	struct node_input in = {.kind = NODE_IN_DURABLE, .lsn = d->durable_lsn};
	if (s->swarm.log_bytes > 0)
		in.disk_bytes = end_of(d) - d->began;
	sim_node_feed(s, node, &in);
	disk_submit(s, node);
}

/* One disk in some runs had said "durable" too early: its last batches are gone. What
 * they held was told to others, so only these others can say what it was. Not all since an orderly
 * stop, as if that had been the last: see disk_put_back(). */
static bool
disk_lies(struct sim *s, uint8_t node)
{
	struct sim_disk *d = &s->node[node].disk;
	uint32_t lost = (uint32_t)random_below(&s->random, LIES_MAX + 1);

	if (node != s->swarm.liar || d->failed || lost == 0)
		return false;
	for (; lost > 0 && d->place_count > 1; lost--) {
		const struct sim_batch_place *last = &d->place[d->place_count - 1];
		size_t from = last->position - LOG_BATCH_HEADER_BYTES;
		if (last->position / SIM_SEGMENT_BYTES != d->segment)
			break; /* an earlier segment is closed, and was read back */
		image_clear(d, from);
		/* Not where it began: what lies before it may have rotted. */
		d->durable_lsn = last[-1].lsn + last[-1].bytes;
		d->place_count--;
		d->lied = true;
	}
	/* What is written there from now on is seen anew. */
	if (d->checked_lsn > d->durable_lsn)
		d->checked_lsn = d->durable_lsn;
	sim_trace(s, "disk %u: it lied, the log ends at @%llu", node,
		  (unsigned long long)d->durable_lsn);
	return true;
}

/* One disk in some runs rots while its node is down: batches that were acknowledged, with
 * others behind them, so that it can be told from a torn write. */
static void
disk_rots(struct sim *s, uint8_t node)
{
	struct sim_disk *d = &s->node[node].disk;

	if (node != s->swarm.rotten || d->place_count < 2 || !random_chance(&s->random, 800000))
		return;
	for (uint64_t i = random_between(&s->random, 1, 2); i > 0; i--) {
		uint32_t last = d->place_count - 1;
		uint32_t reach = random_chance(&s->random, 500000) && last > 12 ? 12 : last;
		uint32_t back = (uint32_t)random_between(&s->random, 1, reach);
		const struct sim_batch_place *place = &d->place[last - back];
		size_t first = place->position - LOG_BATCH_HEADER_BYTES;
		size_t bytes = LOG_BATCH_HEADER_BYTES + place->bytes;

		d->image[first + random_below(&s->random, bytes)] ^=
			(uint8_t)random_between(&s->random, 1, 255);
		s->totals.rotten++;
		sim_trace(s, "disk %u: what lies at @%llu rots", node,
			  (unsigned long long)place->lsn);
	}
}

/* Have all others seen its disk? Then they tell another one, though it votes at once. One that
 * is added meanwhile has not. */
static bool
is_known(const struct sim *s, uint8_t node)
{
	struct node_status now;

	node_status(s->node[node].node, &now);
	uint32_t others = ((1u << s->node_count) - 1) & ~(1u << node);
	return (now.link_up & others) == others && s->swarm.named == (others | 1u << node);
}

/* Its directory is gone: it begins on an empty one, for repair, or as if it were a new node;
 * then its clock may give it the last process number again. */
static void
disk_gone(struct sim *s, uint8_t node)
{
	struct sim_node *n = &s->node[node];
	bool plain = is_known(s, node) && random_chance(&s->random, 500000);

	sim_trace(s, "disk %u: its directory is gone%s", node,
		  plain ? ", and nobody told that it is to be repaired" : "");
	disk_format(s, &n->disk, node);
	large_renewed(s, node);
	n->disk.outdated = !plain;
	n->disk.renewed = plain;
	n->disk.stranger = plain;
	if (plain && random_chance(&s->random, 500000))
		n->starts--;
	s->totals.gone++;
}

/* One disk in some runs is put back as it was at an earlier crash. Not as it was at an
 * orderly stop: from such a log a node votes at once, and who could tell it better may not
 * be there. */
static void
disk_put_back(struct sim *s, uint8_t node)
{
	struct sim_disk *d = &s->node[node].disk;

	if (node != s->swarm.restored || d->failed)
		return;
	if (random_chance(&s->random, 150000)) {
		disk_gone(s, node);
		return;
	}
	if (d->copy_bytes == 0 && !d->stopped && random_chance(&s->random, 800000)) {
		d->copy = realloc(d->copy, d->used);
		must(d->copy != NULL);
		memcpy(d->copy, d->image, d->used);
		d->copy_bytes = d->used;
		d->copy_segment = d->segment;
		d->copy_lsn = d->durable_lsn;
		d->copy_dropped_lsn = d->dropped_lsn;
	} else if (d->copy_bytes > 0 && random_chance(&s->random, 500000)) {
		image_clear(d, 0);
		image_write(d, 0, d->copy, d->copy_bytes);
		d->segment = d->copy_segment;
		d->durable_lsn = d->copy_lsn;
		d->dropped_lsn = d->copy_dropped_lsn;
		d->kept_lsn = d->copy_dropped_lsn;
		if (d->checked_lsn > d->durable_lsn)
			d->checked_lsn = d->durable_lsn;
		d->copy_bytes = 0;
		s->totals.restored++;
		sim_trace(s, "disk %u: is put back as it was, the log ends at @%llu", node,
			  (unsigned long long)d->durable_lsn);
	}
}

/* What the power left of the batch under way. */
static void
power_fails(struct sim *s, uint8_t node)
{
	struct sim_disk *d = &s->node[node].disk;
	uint32_t sectors = (uint32_t)(d->flight_bytes / SECTOR_BYTES);
	uint64_t kind = random_below(&s->random, 4);
	uint64_t prefix = random_below(&s->random, sectors + 1u);

	d->pending_bytes = 0;
	d->pending_count = 0;
	bool lied = disk_lies(s, node);
	disk_rots(s, node);
	if (!d->writing)
		return;
	d->writing = false;
	if (lied)
		return; /* the batch under way is behind what is gone */
	for (uint32_t i = 0; i < sectors; i++) {
		bool kept = kind == 1 || (kind == 2 && i < prefix) ||
			    (kind == 3 && random_chance(&s->random, 700000));
		size_t at = (size_t)i * SECTOR_BYTES;
		if (kept && at < d->flight_filled)
			image_write(d, d->flight_position + at, d->flight + at,
				    d->flight_filled - at < SECTOR_BYTES ? d->flight_filled - at
									 : SECTOR_BYTES);
	}
	sim_trace(s, "disk %u: the batch under way is %s", node,
		  kind == 0   ? "lost"
		  : kind == 1 ? "whole"
			      : "torn");
}

void
disk_crash(struct sim *s, uint8_t node)
{
	power_fails(s, node);
	disk_put_back(s, node);
}

void
disk_clean_stop(struct sim *s, uint8_t node)
{
	struct sim_disk *d = &s->node[node].disk;

	if (d->failed)
		return;
	if (d->writing)
		flight_lands(s, node);
	if (d->pending_bytes > 0) {
		batch_build(d, 0);
		flight_lands(s, node);
	}
	batch_build(d, LOG_BATCH_CLEAN);
	flight_lands(s, node);
	d->stopped = true;
}

/* The segment's header as recovery sees it; false: nothing is in it. */
static bool
segment_read(const struct sim_disk *d, uint32_t number, struct log_segment *segment)
{
	const uint8_t *image = segment_image(d, number);
	bool readable = log_segment_decode(segment, image, SIM_SEGMENT_BYTES);

	if (readable && segment->state == LOG_SEGMENT_LIVE)
		return true;
	memset(segment, 0, sizeof *segment);
	memcpy(segment->disk, d->disk_id, sizeof segment->disk);
	segment->number = number;
	segment->segment_bytes = SIM_SEGMENT_BYTES;
	segment->generation = log_segment_guess(segment, image, SIM_SEGMENT_BYTES);
	segment->state = LOG_SEGMENT_LIVE;
	return segment->generation > 0;
}

static void
feed_records(struct sim *s, uint8_t node, const struct log_batch *batch, const uint8_t *records,
	     bool *first)
{
	struct sim_disk *d = &s->node[node].disk;
	struct reader r = reader_over(records, batch->record_bytes);
	uint64_t lsn = batch->first_lsn;
	struct frame frame;
	const uint8_t *data;

	if (batch->first_lsn + batch->record_bytes <= d->dropped_lsn)
		return;
	if (batch->first_lsn > 0 && *first) {
		struct node_input in = {.kind = NODE_IN_TRIMMED, .lsn = batch->first_lsn};
		sim_node_feed(s, node, &in);
	}
	/* All of what a replay has seen can be read. */
	if (*first && batch->first_lsn < d->dropped_lsn) {
		d->dropped_lsn = batch->first_lsn;
		d->kept_lsn = batch->first_lsn;
	}
	*first = false;
	while (log_record_next(&r, lsn, &frame, &data)) {
		lsn += frame.frame_bytes;
		struct node_input in = {.kind = NODE_IN_RECORD, .data = data, .lsn = lsn};
		in.bytes = frame.frame_bytes;
		sim_node_feed(s, node, &in);
		sim_node_replay_reads(s, node);
	}
}

/* Files go as a whole, and later than they may: the log begins in front of what was dropped,
 * but never in front of where it once began. */
static void
begin_coarsely(struct sim *s, struct sim_disk *d)
{
	must(d->kept_lsn <= d->dropped_lsn);
	uint64_t dropped = d->dropped_lsn - d->kept_lsn;

	if (dropped > 0 && random_chance(&s->random, 700000))
		d->dropped_lsn -= random_below(&s->random, dropped);
	d->kept_lsn = d->dropped_lsn;
}

/* If the disk lied of all that was kept. */
static void
begin_where_it_ends(struct sim_disk *d)
{
	if (d->begin > end_of(d))
		d->begin = end_of(d);
	if (d->dropped_lsn > d->durable_lsn) {
		d->dropped_lsn = d->durable_lsn;
		d->kept_lsn = d->durable_lsn;
	}
}

enum paxos_tail
disk_recover(struct sim *s, uint8_t node)
{
	struct sim_disk *d = &s->node[node].disk;
	uint32_t segments = d->segment + 1;
	uint64_t acknowledged = d->durable_lsn;
	struct log_scan scan;
	uint32_t end = LOG_BLOCK_BYTES;
	bool first = true;

	if (s->swarm.log_bytes > 0)
		begin_with_a_file(s, d);
	else
		begin_coarsely(s, d);
	d->slowed = false;
	d->full = false;
	d->failed = false;
	d->stopped = false;
	bool lied = d->lied;
	d->lied = false;
	d->place_count = 0;
	log_scan_begin(&scan);
	for (uint32_t i = 0; i < segments; i++) {
		struct log_segment segment;
		struct log_batch batch;
		const uint8_t *records;

		if (!segment_read(d, i, &segment))
			break;
		d->segment = i;
		d->header_due = false;
		log_scan_segment(&scan, &segment, segment_image(d, i));
		while (log_scan_next(&scan, &batch, &records)) {
			struct sim_batch_place place = {.lsn = batch.first_lsn};
			place.bytes = batch.record_bytes;
			place.position = (size_t)(records - d->image);
			if (place.bytes > 0)
				place_add(d, place);
			show_records(s, node, place);
			feed_records(s, node, &batch, records, &first);
		}
		end = scan.end;
	}
	struct log_verdict verdict = log_scan_verdict(&scan);
	if (verdict.end_lsn < acknowledged)
		sim_fail(s, "disk %u: recovery lost acknowledged bytes", node);
	/* Behind a cut nothing may stand that a later torn write could complete. */
	size_t from = (size_t)d->segment * SIM_SEGMENT_BYTES + end;
	image_clear(d, from);
	d->position = end;
	d->ordinal = verdict.next_ordinal;
	d->append_lsn = verdict.end_lsn;
	d->durable_lsn = verdict.end_lsn;
	begin_where_it_ends(d);
	memcpy(d->epoch, node_epoch(s->node[node].node), sizeof d->epoch);
	if (end == LOG_BLOCK_BYTES)
		segment_prepare(d);
	d->began = d->begin;
	bool outdated = d->outdated;
	d->outdated = false;
	d->stranger = d->stranger && !outdated;
	if (verdict.end == LOG_TAIL_ROT || outdated)
		return PAXOS_TAIL_MISSING;
	bool unused = s->node[node].starts == 0 || (d->renewed && d->append_lsn == 0);
	bool clean = (verdict.end == LOG_TAIL_CLEAN && !lied) || unused;
	return clean ? PAXOS_TAIL_CLEAN : PAXOS_TAIL_CUT;
}

const uint8_t *
disk_find(const struct sim_disk *d, uint64_t end_lsn, uint32_t bytes)
{
	uint32_t low = 0;
	uint32_t high = d->place_count;

	if (end_lsn < bytes || end_lsn <= d->dropped_lsn)
		return NULL;
	while (low < high) {
		uint32_t middle = (low + high) / 2;
		if (d->place[middle].lsn + d->place[middle].bytes < end_lsn)
			low = middle + 1;
		else
			high = middle;
	}
	if (low == d->place_count || d->place[low].lsn > end_lsn - bytes)
		return NULL;
	return d->image + d->place[low].position + (end_lsn - bytes - d->place[low].lsn);
}
