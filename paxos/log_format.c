/* paxos/log_format.c - see log_format.h for format, validity and recovery rule. */
#include "paxos/log_format.h"

#define SEGMENT_PATH_OFFSET 106

_Static_assert(SEGMENT_PATH_OFFSET + LOG_PATH_BYTES_MAX <= LOG_BLOCK_BYTES, "path fits the header");
_Static_assert(LOG_BATCH_BYTES_MAX % LOG_BLOCK_BYTES == 0, "batches are whole blocks");

void
log_segment_encode(const struct log_segment *segment, uint8_t *block)
{
	size_t path_bytes = strnlen(segment->path, LOG_PATH_BYTES_MAX + 1);
	must(path_bytes <= LOG_PATH_BYTES_MAX);
	must(segment->state == LOG_SEGMENT_SPARE || segment->state == LOG_SEGMENT_LIVE);
	must(segment->segment_bytes % LOG_BLOCK_BYTES == 0);
	must(segment->generation > 0);

	memset(block, 0, LOG_BLOCK_BYTES);
	bytes_put_u32(block + 8, LOG_SEGMENT_MAGIC);
	bytes_put_u16(block + 12, LOG_VERSION);
	block[14] = (uint8_t)segment->state;
	memcpy(block + 16, segment->disk, LOG_ID_BYTES);
	memcpy(block + 32, segment->epoch, EPOCH_BYTES);
	memcpy(block + 48, segment->server, LOG_ID_BYTES);
	bytes_put_u32(block + 64, segment->number);
	bytes_put_u32(block + 68, segment->segment_bytes);
	bytes_put_u64(block + 72, segment->generation);
	bytes_put_u64(block + 80, segment->first_lsn);
	bytes_put_u64(block + 88, segment->first_ordinal);
	bytes_put_u64(block + 96, segment->oldest_generation);
	bytes_put_u16(block + 104, (uint16_t)path_bytes);
	memcpy(block + SEGMENT_PATH_OFFSET, segment->path, path_bytes);
	bytes_put_u64(block, hash_bytes(block + 8, LOG_BLOCK_BYTES - 8, 0));
}

uint16_t
log_segment_version(const uint8_t *block, size_t n)
{
	if (n < LOG_BLOCK_BYTES || bytes_get_u32(block + 8) != LOG_SEGMENT_MAGIC)
		return 0;
	if (bytes_get_u64(block) != hash_bytes(block + 8, LOG_BLOCK_BYTES - 8, 0))
		return 0;
	return bytes_get_u16(block + 12);
}

bool
log_segment_decode(struct log_segment *segment, const uint8_t *block, size_t n)
{
	if (log_segment_version(block, n) != LOG_VERSION)
		return false;
	size_t path_bytes = bytes_get_u16(block + 104);
	if (path_bytes > LOG_PATH_BYTES_MAX)
		return false;
	if (block[14] != LOG_SEGMENT_SPARE && block[14] != LOG_SEGMENT_LIVE)
		return false;
	if (block[15] != 0 || memchr(block + SEGMENT_PATH_OFFSET, 0, path_bytes))
		return false;
	for (size_t i = SEGMENT_PATH_OFFSET + path_bytes; i < LOG_BLOCK_BYTES; i++)
		if (block[i] != 0)
			return false;
	memset(segment, 0, sizeof *segment);
	segment->state = (enum log_segment_state)block[14];
	memcpy(segment->disk, block + 16, LOG_ID_BYTES);
	memcpy(segment->epoch, block + 32, EPOCH_BYTES);
	memcpy(segment->server, block + 48, LOG_ID_BYTES);
	segment->number = bytes_get_u32(block + 64);
	segment->segment_bytes = bytes_get_u32(block + 68);
	segment->generation = bytes_get_u64(block + 72);
	segment->first_lsn = bytes_get_u64(block + 80);
	segment->first_ordinal = bytes_get_u64(block + 88);
	segment->oldest_generation = bytes_get_u64(block + 96);
	memcpy(segment->path, block + SEGMENT_PATH_OFFSET, path_bytes);
	return segment->generation > 0 && segment->segment_bytes > 0 &&
	       segment->segment_bytes % LOG_BLOCK_BYTES == 0;
}

uint64_t
log_batch_seed(const uint8_t *disk, uint32_t number)
{
	return hash_bytes(disk, LOG_ID_BYTES, number);
}

uint32_t
log_batch_disk_bytes(uint32_t record_bytes)
{
	must(record_bytes <= LOG_RECORD_BYTES_MAX);
	uint32_t bytes = LOG_BATCH_HEADER_BYTES + record_bytes;
	return (bytes + LOG_BLOCK_BYTES - 1) / LOG_BLOCK_BYTES * LOG_BLOCK_BYTES;
}

void
log_batch_encode(const struct log_batch *batch, uint64_t seed, uint8_t *out)
{
	must(batch->record_bytes <= LOG_RECORD_BYTES_MAX);
	must(batch->ordinal > 0);
	must((batch->record_bytes == 0) == (batch->record_count == 0));
	uint32_t used = LOG_BATCH_HEADER_BYTES + batch->record_bytes;

	bytes_put_u32(out + 8, LOG_BATCH_MAGIC);
	bytes_put_u16(out + 12, LOG_VERSION);
	bytes_put_u16(out + 14, batch->flags);
	bytes_put_u32(out + 16, batch->record_bytes);
	bytes_put_u32(out + 20, batch->record_count);
	bytes_put_u64(out + 24, batch->first_lsn);
	bytes_put_u64(out + 32, batch->generation);
	bytes_put_u64(out + 40, batch->ordinal);
	memcpy(out + 48, batch->epoch, EPOCH_BYTES);
	bytes_put_u64(out, hash_bytes(out + 8, used - 8, seed));
	memset(out + used, 0, log_batch_disk_bytes(batch->record_bytes) - used);
}

bool
log_record_next(struct reader *records, uint64_t lsn, struct frame *frame, const uint8_t **data)
{
	if (records->bad || records->bytes == 0)
		return false;
	if (!frame_decode(frame, records->data, records->bytes) || frame->lsn != lsn) {
		records->bad = true;
		return false;
	}
	*data = reader_take(records, frame->frame_bytes);
	must(*data != NULL);
	return true;
}

/* The checksum held, so these are the bytes that were written; this refuses what a
 * writer with a mistake wrote, before a reader trips over it. */
static bool
frames_follow(const struct log_batch *batch, const uint8_t *records)
{
	struct reader r = reader_over(records, batch->record_bytes);
	struct frame frame;
	const uint8_t *data;
	uint64_t lsn = batch->first_lsn;
	uint32_t count = 0;

	while (log_record_next(&r, lsn, &frame, &data)) {
		lsn += frame.frame_bytes;
		count++;
	}
	return reader_done(&r) && count == batch->record_count;
}

bool
log_batch_decode(struct log_batch *batch, uint64_t seed, const uint8_t *data, size_t n)
{
	if (n < LOG_BATCH_HEADER_BYTES || bytes_get_u32(data + 8) != LOG_BATCH_MAGIC)
		return false;
	uint32_t record_bytes = bytes_get_u32(data + 16);
	if (record_bytes > LOG_RECORD_BYTES_MAX || record_bytes > n - LOG_BATCH_HEADER_BYTES)
		return false;
	size_t used = LOG_BATCH_HEADER_BYTES + (size_t)record_bytes;
	if (bytes_get_u64(data) != hash_bytes(data + 8, used - 8, seed))
		return false;
	if (bytes_get_u16(data + 12) != LOG_VERSION)
		return false;
	batch->flags = bytes_get_u16(data + 14);
	batch->record_bytes = record_bytes;
	batch->record_count = bytes_get_u32(data + 20);
	batch->first_lsn = bytes_get_u64(data + 24);
	batch->generation = bytes_get_u64(data + 32);
	batch->ordinal = bytes_get_u64(data + 40);
	memcpy(batch->epoch, data + 48, EPOCH_BYTES);
	batch->position = 0;
	if ((batch->flags & ~LOG_BATCH_CLEAN) != 0 || batch->ordinal == 0 ||
	    batch->ordinal == UINT64_MAX)
		return false;
	if (batch->first_lsn > LOG_LSN_UNKNOWN - 1 - record_bytes)
		return false;
	return frames_follow(batch, data + LOG_BATCH_HEADER_BYTES);
}

uint64_t
log_segment_guess(const struct log_segment *segment, const uint8_t *image, size_t bytes)
{
	uint64_t seed = log_batch_seed(segment->disk, segment->number);
	uint64_t highest = 0;

	for (size_t at = LOG_BLOCK_BYTES; at < bytes; at += LOG_BLOCK_BYTES) {
		struct log_batch batch;
		if (log_batch_decode(&batch, seed, image + at, bytes - at) &&
		    batch.generation > highest)
			highest = batch.generation;
	}
	return highest;
}

void
log_scan_begin(struct log_scan *scan)
{
	memset(scan, 0, sizeof *scan);
	scan->next_ordinal = 1;
}

/* Everything from the expected record up to `end_lsn` is missing. */
static void
note_rot(struct log_scan *scan, uint64_t end_lsn)
{
	if (scan->rot_count == 0) {
		scan->rot_first_lsn = scan->next_lsn;
		scan->rot_end_lsn = end_lsn;
	} else if (end_lsn != LOG_LSN_UNKNOWN) {
		/* A range that was open when noted is closed by what follows. */
		scan->rot_end_lsn = end_lsn;
	}
	scan->open = end_lsn == LOG_LSN_UNKNOWN;
	scan->rot_count++;
}

void
log_scan_segment(struct log_scan *scan, const struct log_segment *segment, const uint8_t *image)
{
	must(segment->state == LOG_SEGMENT_LIVE);
	must(!scan->started || segment->generation > scan->generation);

	if (!scan->started && segment->first_ordinal != 0) {
		scan->next_lsn = segment->first_lsn;
		scan->next_ordinal = segment->first_ordinal;
		scan->started = true;
	} else if (segment->first_ordinal > scan->next_ordinal &&
		   segment->first_lsn >= scan->next_lsn) {
		note_rot(scan, segment->first_lsn);
		scan->next_lsn = segment->first_lsn;
		scan->next_ordinal = segment->first_ordinal;
	}
	scan->image = image;
	scan->bytes = segment->segment_bytes;
	scan->position = LOG_BLOCK_BYTES;
	scan->end = LOG_BLOCK_BYTES;
	scan->generation = segment->generation;
	scan->seed = log_batch_seed(segment->disk, segment->number);
}

bool
log_scan_next(struct log_scan *scan, struct log_batch *batch, const uint8_t **records)
{
	must(scan->image != NULL);

	for (; scan->position < scan->bytes; scan->position += LOG_BLOCK_BYTES) {
		const uint8_t *block = scan->image + scan->position;
		if (!log_batch_decode(batch, scan->seed, block, scan->bytes - scan->position) ||
		    batch->generation != scan->generation)
			continue;
		if (!scan->started) {
			/* The first header was rebuilt; what stood before its first
			 * valid batch cannot be known. */
			scan->next_lsn = batch->first_lsn;
			scan->next_ordinal = batch->ordinal;
			scan->started = true;
		}
		/* Behind the expected one, or at odds with its LSN: it was never written
		 * here, and whatever was is gone. */
		bool next = batch->ordinal == scan->next_ordinal;
		if (batch->ordinal < scan->next_ordinal || batch->first_lsn < scan->next_lsn ||
		    (next && batch->first_lsn != scan->next_lsn)) {
			note_rot(scan, LOG_LSN_UNKNOWN);
			continue;
		}
		if (!next)
			note_rot(scan, batch->first_lsn);
		batch->position = scan->position;
		*records = block + LOG_BATCH_HEADER_BYTES;
		scan->next_lsn = batch->first_lsn + batch->record_bytes;
		scan->next_ordinal = batch->ordinal + 1;
		scan->clean = (batch->flags & LOG_BATCH_CLEAN) != 0;
		scan->open = false; /* its LSN says whether anything is missing before it */
		scan->position += log_batch_disk_bytes(batch->record_bytes);
		scan->end = scan->position;
		return true;
	}
	return false;
}

struct log_verdict
log_scan_verdict(const struct log_scan *scan)
{
	struct log_verdict verdict = {
		.tail = scan->clean ? LOG_TAIL_CLEAN : LOG_TAIL_CUT,
		.end = scan->clean ? LOG_TAIL_CLEAN : LOG_TAIL_CUT,
		.end_lsn = scan->next_lsn,
		.next_ordinal = scan->next_ordinal,
	};
	if (scan->rot_count > 0) {
		verdict.tail = LOG_TAIL_ROT;
		verdict.rot_first_lsn = scan->rot_first_lsn;
		verdict.rot_end_lsn = scan->rot_end_lsn;
		verdict.rot_count = scan->rot_count;
		if (scan->open)
			verdict.end = LOG_TAIL_ROT;
	}
	return verdict;
}
