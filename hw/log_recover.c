/*
 * hw/log_recover.c - the scan: paxos/log_format's recovery rule over the files.
 *
 * It reads every file once, one segment in memory at a time, and leaves the log ready
 * to append: headers that were gone rebuilt, the blocks behind a cut zeroed, and an
 * empty batch written. That batch ends the calm of an orderly stop before anybody can
 * be told anything: else a disk that lost all that followed would look clean.
 *
 * Rot is left as it is, so a crash before the caller has acted on the report repeats it.
 * Where it may have taken the end of the log, nothing is wiped there, and writing goes on
 * in a new segment.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hw/log_file.h"

static int
state_of(const struct log_slot *slot)
{
	return atomic_load_explicit(&slot->state, memory_order_acquire);
}

static void
set_state(struct log_slot *slot, int state)
{
	atomic_store_explicit(&slot->state, state, memory_order_release);
}

/* What is missing or cannot be read is left zero; unreadable blocks are counted. */
static void
read_image(struct hw_log *log, const struct log_slot *slot, uint8_t *image)
{
	memset(image, 0, log->segment_bytes);
	for (uint32_t at = 0; at < log->segment_bytes;) {
		uint32_t left = log->segment_bytes - at;
		uint32_t bytes = left < LOG_BATCH_BYTES_MAX ? left : LOG_BATCH_BYTES_MAX;
		ssize_t done = pread(slot->fd, image + at, bytes, at);
		if (done == (ssize_t)bytes) {
			at += bytes;
			continue;
		}
		if (done >= 0)
			return; /* the file is short */
		for (uint32_t end = at + bytes; at < end; at += LOG_BLOCK_BYTES) {
			if (pread(slot->fd, image + at, LOG_BLOCK_BYTES, at) >= 0)
				continue;
			memset(image + at, 0, LOG_BLOCK_BYTES);
			log->unreadable_blocks++;
		}
	}
}

static bool
generation_is_live(const struct hw_log *log, uint64_t generation)
{
	for (uint32_t i = 0; i < log->slot_count; i++)
		if (state_of(&log->slot[i]) == SLOT_LIVE && log->slot[i].generation == generation)
			return true;
	return false;
}

/* A file without a live header: what its batches say, and the copy of a spare header. */
static void
look_into(struct hw_log *log, struct log_slot *slot, uint8_t *image)
{
	struct log_segment segment = {.number = slot->number}, copy;

	memcpy(segment.disk, log->identity.disk, LOG_ID_BYTES);
	read_image(log, slot, image);
	slot->guess = log_segment_guess(&segment, image, log->segment_bytes);
	if (!log_segment_decode(&copy, image + log->segment_bytes - LOG_BLOCK_BYTES,
				LOG_BLOCK_BYTES) ||
	    copy.state != LOG_SEGMENT_SPARE || copy.number != slot->number ||
	    memcmp(copy.disk, log->identity.disk, LOG_ID_BYTES) != 0)
		return;
	if (copy.generation > slot->generation)
		slot->generation = copy.generation;
	if (copy.oldest_generation > log->oldest_generation)
		log->oldest_generation = copy.oldest_generation;
}

/* Spare, dropped, or a live one whose header is gone. */
static void
decide_unknown(struct hw_log *log, struct log_slot *slot)
{
	if (slot->guess == 0 || slot->guess < slot->generation ||
	    slot->guess < log->oldest_generation || generation_is_live(log, slot->guess)) {
		set_state(slot, SLOT_DROPPED);
		return;
	}
	slot->generation = slot->guess;
	slot->first_ordinal = 0;
	slot->rebuilt = true;
	set_state(slot, SLOT_LIVE);
}

/* The live segment with the lowest generation above, or NULL. */
static struct log_slot *
next_live(struct hw_log *log, uint64_t above)
{
	struct log_slot *next = NULL;

	for (uint32_t i = 0; i < log->slot_count; i++) {
		struct log_slot *slot = &log->slot[i];
		if (state_of(slot) == SLOT_LIVE && slot->generation > above &&
		    (!next || slot->generation < next->generation))
			next = slot;
	}
	return next;
}

static int
look_at_file(struct hw_log *log, struct log_slot *slot, uint8_t *image)
{
	struct stat file;

	slot->index = calloc(log->segment_bytes / LOG_BLOCK_BYTES, sizeof *slot->index);
	if (!slot->index)
		return -ENOMEM;
	if (fstat(slot->fd, &file) != 0)
		return -errno;
	if (file.st_size != log->segment_bytes && ftruncate(slot->fd, log->segment_bytes) != 0)
		return -errno;
	if (state_of(slot) == SLOT_UNKNOWN)
		look_into(log, slot, image);
	return 0;
}

/* All are looked at before any is decided: each may say from where on the log is kept. */
static int
sort_out_files(struct hw_log *log, uint8_t *image)
{
	for (uint32_t i = 0; i < log->slot_count; i++) {
		int code = state_of(&log->slot[i]) == SLOT_ABSENT
				   ? 0
				   : look_at_file(log, &log->slot[i], image);
		if (code != 0)
			return code;
	}
	if (log->oldest_generation == 0)
		log->oldest_generation = 1; /* as the first header of all has it */
	for (uint32_t i = 0; i < log->slot_count; i++) {
		struct log_slot *slot = &log->slot[i];
		if (state_of(slot) == SLOT_UNKNOWN)
			decide_unknown(log, slot);
		else if (state_of(slot) == SLOT_LIVE && slot->generation < log->oldest_generation)
			set_state(slot, SLOT_DROPPED);
	}
	atomic_store(&log->kept_generation, log->oldest_generation);
	return 0;
}

struct recovery {
	struct log_scan scan;
	hw_log_record_fn *record;
	void *context;
	uint8_t *image;
	uint8_t epoch[EPOCH_BYTES]; /* of the last batch */
};

static void
scan_slot(struct hw_log *log, struct log_slot *slot, struct recovery *recovery)
{
	struct log_segment header = log_slot_header(log, slot, LOG_SEGMENT_LIVE);
	struct log_batch batch;
	const uint8_t *records;

	read_image(log, slot, recovery->image);
	log_scan_segment(&recovery->scan, &header, recovery->image);
	slot->end_lsn = slot->first_lsn;
	while (log_scan_next(&recovery->scan, &batch, &records)) {
		if (slot->first_ordinal == 0) {
			/* The first one of all, and its header cannot say what is missing. */
			if (slot->generation == log->first_generation &&
			    batch.position != LOG_BLOCK_BYTES)
				log->begin_lost = true;
			slot->first_ordinal = batch.ordinal;
			slot->first_lsn = batch.first_lsn;
		}
		log_index_add(slot, &batch);
		memcpy(recovery->epoch, batch.epoch, EPOCH_BYTES);
		struct reader r = reader_over(records, batch.record_bytes);
		struct frame frame;
		const uint8_t *data;
		uint64_t lsn = batch.first_lsn;
		while (log_record_next(&r, lsn, &frame, &data)) {
			if (recovery->record)
				recovery->record(recovery->context, &frame, data);
			lsn += frame.frame_bytes;
		}
	}
}

static int
rebuild_header(struct hw_log *log, struct log_slot *slot, const uint8_t *epoch)
{
	struct log_segment header = log_slot_header(log, slot, LOG_SEGMENT_LIVE);

	memcpy(header.epoch, epoch, EPOCH_BYTES);
	log_segment_encode(&header, log->buffer[0].data);
	return log_write_now(slot, log->buffer[0].data, LOG_BLOCK_BYTES, 0);
}

/* Zeroes the reach of one batch behind the cut, if anything is there. */
static int
wipe_tail(struct hw_log *log, const uint8_t *image)
{
	uint32_t left = log->segment_bytes - log->at;
	uint32_t bytes = left < LOG_BATCH_BYTES_MAX ? left : LOG_BATCH_BYTES_MAX;
	bool dirty = false;

	for (uint32_t i = 0; i < bytes && !dirty; i++)
		dirty = image[log->at + i] != 0;
	if (!dirty)
		return 0;
	memset(log->buffer[0].data, 0, LOG_BUFFER_BYTES);
	return log_write_now(log->active, log->buffer[0].data, bytes, log->at);
}

static struct log_verdict
judge(struct hw_log *log, const struct log_scan *scan)
{
	struct log_verdict verdict = log_scan_verdict(scan);

	if (log->begin_lost) { /* from where on, nobody knows */
		if (verdict.rot_count++ == 0)
			verdict.rot_end_lsn = hw_log_state(log).first_lsn;
		verdict.tail = LOG_TAIL_ROT;
		verdict.rot_first_lsn = 0;
	}
	if (log->unreadable_blocks == 0)
		return verdict;
	/* An unreadable block may have been the last acknowledged batch. */
	verdict.end = LOG_TAIL_ROT;
	if (verdict.tail != LOG_TAIL_ROT) {
		verdict.tail = LOG_TAIL_ROT;
		verdict.rot_first_lsn = verdict.end_lsn;
		verdict.rot_end_lsn = LOG_LSN_UNKNOWN;
		verdict.rot_count = 1;
	}
	return verdict;
}

/* 0, -ENODATA when no segment is live, or -errno. */
static int
recover(struct hw_log *log, struct recovery *recovery, struct log_verdict *verdict)
{
	int code = sort_out_files(log, recovery->image);
	if (code != 0)
		return code;
	log_scan_begin(&recovery->scan);
	uint64_t last = 0;
	for (struct log_slot *slot; (slot = next_live(log, last)) != NULL;) {
		if (log->first_generation == 0) {
			log->first_generation = slot->generation;
			log->begin_lost = slot->generation > log->oldest_generation;
		}
		scan_slot(log, slot, recovery);
		if (slot->rebuilt)
			code = rebuild_header(log, slot, recovery->epoch);
		if (code != 0)
			return code;
		last = slot->generation;
		log->active = slot;
	}
	if (!log->active)
		return -ENODATA;
	for (uint32_t i = 0; i < log->slot_count; i++)
		log->live_count += state_of(&log->slot[i]) == SLOT_LIVE;
	if (log->active->rebuilt)
		memcpy(log->identity.epoch, recovery->epoch, EPOCH_BYTES);
	*verdict = judge(log, &recovery->scan);
	log->at = recovery->scan.end;
	log->append_lsn = verdict->end_lsn;
	log->durable_lsn = verdict->end_lsn;
	log->next_ordinal = verdict->next_ordinal;
	atomic_store(&log->next_generation, last + 1);
	if (verdict->end == LOG_TAIL_ROT)
		log->new_segment_wanted = true;
	else
		code = wipe_tail(log, recovery->image);
	return code;
}

/* The first batch of this process. A full log may take one segment more than it is
 * allowed: else it could never start again to become smaller. */
static int
end_the_calm(struct hw_log *log)
{
	if (!log->new_segment_wanted && log->at + LOG_BLOCK_BYTES <= log->segment_bytes)
		return log_write_mark(log, 0);
	bool room = false;
	for (uint32_t i = 0; i < log->slot_count; i++)
		room = room || state_of(&log->slot[i]) != SLOT_LIVE;
	if (!room && log->slot_count < HW_LOG_SEGMENTS_MAX)
		log->slot_count++;
	int code = log_start_preparer(log);
	if (code == 0)
		code = log_wait_segment(log);
	return code == 0 ? log_write_mark(log, 0) : code;
}

static int
scan_files(struct hw_log *log, struct recovery *recovery, struct log_verdict *verdict,
	   struct hw_error *error)
{
	recovery->image = log_pages(log->segment_bytes);
	int code = recovery->image ? recover(log, recovery, verdict) : -ENOMEM;
	free(recovery->image);
	if (code == 0)
		return 0;
	if (code == -ENODATA)
		return hw_error_set(
			error, -EILSEQ,
			"the log in %s has no segment in use any more: take the disk for "
			"lost, empty the directory and join as a new voter",
			log->directory);
	return hw_error_set(error, code, "the log in %s cannot be recovered: %s", log->directory,
			    strerror(-code));
}

int
hw_log_scan(struct hw_log *log, hw_log_record_fn *record, void *context,
	    struct log_verdict *verdict, struct hw_error *error)
{
	struct recovery recovery = {.record = record, .context = context};

	must(!log->scanned);
	*verdict = (struct log_verdict){
		.tail = LOG_TAIL_NEW, .end = LOG_TAIL_CLEAN, .next_ordinal = 1};
	log->scanned = true;
	if (log->options.memory)
		return 0;
	int code = 0;
	if (!log->identity.formatted_now)
		code = scan_files(log, &recovery, verdict, error);
	if (code != 0)
		return code;
	code = end_the_calm(log);
	if (code == 0 && !log->preparer_runs)
		code = log_start_preparer(log);
	if (code != 0)
		return hw_error_set(error, code,
				    "the log in %s cannot be written: %s: free space, "
				    "or replace the disk",
				    log->directory, strerror(-code));
	return 0;
}
