/*
 * hw/uring_log.c - append, submit, reap, read, drop: what the owner of a log calls.
 *
 *     buffer ring    oldest -> [ in flight ][ full ][ full ][ open ] <- append
 *                               used = 4
 *
 * A buffer is free again only when its write has completed. The buffer in flight
 * takes no more records: its checksum is already computed.
 */
#include "hw/uring_log.h"

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>

#include "hw/log_file.h"

static bool
job_idle(const struct log_job *job)
{
	return atomic_load_explicit(&job->state, memory_order_relaxed) == JOB_IDLE;
}

static int
slot_state(const struct log_slot *slot)
{
	return atomic_load_explicit(&slot->state, memory_order_acquire);
}

bool
log_take_segment(struct hw_log *log)
{
	struct log_slot *slot = NULL;

	for (uint32_t i = 0; i < log->slot_count && !slot; i++)
		if (slot_state(&log->slot[i]) == SLOT_SPARE)
			slot = &log->slot[i];
	if (!slot)
		return false;
	slot->generation = atomic_fetch_add(&log->next_generation, 1);
	slot->first_lsn = log->durable_lsn;
	slot->end_lsn = log->durable_lsn;
	slot->first_ordinal = log->next_ordinal;
	slot->index_count = 0;
	atomic_store_explicit(&slot->state, SLOT_LIVE, memory_order_release);
	log->live_count++;
	log->active = slot;
	log->at = LOG_BLOCK_BYTES;
	log->header_pending = true;
	log->new_segment_wanted = false;
	sem_post(&log->prepare);
	return true;
}

int
log_wait_segment(struct hw_log *log)
{
	must(log->preparer_runs);
	while (!log_take_segment(log)) {
		while (sem_wait(&log->prepared) != 0)
			must(errno == EINTR);
		int code = atomic_load_explicit(&log->space_error, memory_order_acquire);
		if (code != 0)
			return -code;
	}
	return 0;
}

void
log_index_add(struct log_slot *slot, const struct log_batch *batch)
{
	slot->end_lsn = batch->first_lsn + batch->record_bytes;
	if (batch->record_bytes == 0)
		return;
	slot->index[slot->index_count++] = (struct log_index){
		.first_lsn = batch->first_lsn,
		.position = batch->position,
		.record_bytes = batch->record_bytes,
	};
}

/* Room for a batch in the active segment, or in the next one. */
static bool
place(struct hw_log *log, uint32_t bytes)
{
	if (!log->new_segment_wanted && log->at + bytes <= log->segment_bytes)
		return true;
	return log_take_segment(log);
}

/* Encodes the batch and, in a new segment, the header in front of it: one write, so a
 * header is never there without having been needed. Answers where the write starts. */
static uint8_t *
encode(struct hw_log *log, struct log_buffer *buffer, uint16_t flags)
{
	uint8_t *out = buffer->data + LOG_BLOCK_BYTES;

	log->writing = (struct log_batch){
		.flags = flags,
		.record_bytes = buffer->record_bytes,
		.record_count = buffer->record_count,
		.first_lsn = log->durable_lsn,
		.generation = log->active->generation,
		.ordinal = log->next_ordinal,
		.position = log->at,
	};
	memcpy(log->writing.epoch, log->identity.epoch, EPOCH_BYTES);
	log_batch_encode(&log->writing, log_batch_seed(log->identity.disk, log->active->number),
			 out);
	if (!log->header_pending)
		return out;
	must(log->at == LOG_BLOCK_BYTES);
	struct log_segment header = log_slot_header(log, log->active, LOG_SEGMENT_LIVE);
	log_segment_encode(&header, buffer->data);
	return buffer->data;
}

static void
batch_written(struct hw_log *log)
{
	log_index_add(log->active, &log->writing);
	log->at += log_batch_disk_bytes(log->writing.record_bytes);
	log->durable_lsn += log->writing.record_bytes;
	log->next_ordinal++;
	log->header_pending = false;
	log->batches++;
	must(log->at <= log->segment_bytes);
	must(log->durable_lsn <= log->append_lsn);
}

int
log_write_mark(struct hw_log *log, uint16_t flags)
{
	struct log_buffer *buffer = &log->buffer[log->oldest];

	must(log->used == 0);
	must(job_idle(&log->job[0]));
	if (!place(log, LOG_BLOCK_BYTES))
		return -ENOSPC;
	buffer->record_bytes = 0;
	buffer->record_count = 0;
	uint8_t *start = encode(log, buffer, flags);
	uint32_t front = start == buffer->data ? LOG_BLOCK_BYTES : 0;
	int code = log_write_now(log->active, start, front + LOG_BLOCK_BYTES, log->at - front);
	if (code != 0) {
		log->write_error = code;
		return code;
	}
	batch_written(log);
	return 0;
}

/* The buffer that takes the next `bytes`, or NULL. */
static struct log_buffer *
open_buffer(struct hw_log *log, uint32_t bytes)
{
	bool in_flight = !job_idle(&log->job[0]);

	if (log->used > (in_flight ? 1u : 0u)) {
		struct log_buffer *last =
			&log->buffer[(log->oldest + log->used - 1) % HW_LOG_BUFFERS];
		if (last->record_bytes + bytes <= LOG_RECORD_BYTES_MAX)
			return last;
	}
	if (log->used == HW_LOG_BUFFERS)
		return NULL;
	struct log_buffer *next = &log->buffer[(log->oldest + log->used) % HW_LOG_BUFFERS];
	next->record_bytes = 0;
	next->record_count = 0;
	log->used++;
	return next;
}

bool
hw_log_append(struct hw_log *log, const struct iovec *part, uint32_t part_count)
{
	must(log->scanned);
	must(!log->stopped);
	must(part_count > 0);
	must(part[0].iov_len >= FRAME_HEADER_BYTES);
	const uint8_t *header = part[0].iov_base;
	uint32_t frame_bytes = bytes_get_u32(header + 8);
	must(frame_bytes >= FRAME_HEADER_BYTES && frame_bytes <= FRAME_BYTES_MAX);
	must(bytes_get_u64(header + 48) == log->append_lsn);

	if (log->write_error)
		return false;
	if (!log->options.memory) {
		struct log_buffer *buffer = open_buffer(log, frame_bytes);
		if (!buffer)
			return false;
		uint8_t *out = buffer->data + LOG_BLOCK_BYTES + LOG_BATCH_HEADER_BYTES +
			       buffer->record_bytes;
		size_t copied = 0;
		for (uint32_t i = 0; i < part_count; i++) {
			must(part[i].iov_len <= frame_bytes - copied);
			if (part[i].iov_len > 0)
				memcpy(out + copied, part[i].iov_base, part[i].iov_len);
			copied += part[i].iov_len;
		}
		must(copied == frame_bytes);
		buffer->record_bytes += frame_bytes;
		buffer->record_count++;
	}
	log->append_lsn += frame_bytes;
	return true;
}

void
hw_log_submit(struct hw_log *log)
{
	struct log_job *job = &log->job[0];

	if (log->options.memory)
		log->durable_lsn = log->append_lsn;
	if (log->write_error || log->used == 0 || !job_idle(job))
		return;
	struct log_buffer *buffer = &log->buffer[log->oldest];
	must(buffer->record_count > 0);
	uint32_t bytes = log_batch_disk_bytes(buffer->record_bytes);
	if (!place(log, bytes)) {
		log->stalled++;
		return;
	}
	uint8_t *start = encode(log, buffer, 0);
	uint32_t front = start == buffer->data ? LOG_BLOCK_BYTES : 0;
	job->write = true;
	job->slot = log->active;
	job->data = start;
	job->bytes = front + bytes;
	job->offset = log->at - front;
	log_io_submit(log, 0);
}

static void
reap_write(struct hw_log *log)
{
	struct log_job *job = &log->job[0];

	if (atomic_load_explicit(&job->state, memory_order_acquire) != JOB_DONE)
		return;
	atomic_store_explicit(&job->state, JOB_IDLE, memory_order_relaxed);
	if (job->result != (int32_t)job->bytes) {
		log->write_error = job->result < 0 ? job->result : -EIO;
		return;
	}
	batch_written(log);
	log->oldest = (log->oldest + 1) % HW_LOG_BUFFERS;
	log->used--;
}

/* Copies the whole records that came; answers their bytes or -errno. */
static int32_t
take_read(const struct log_job *job)
{
	if (slot_state(job->slot) != SLOT_LIVE || job->slot->generation != job->generation)
		return -ENOENT; /* dropped meanwhile, perhaps overwritten */
	if (job->result != (int32_t)job->bytes)
		return job->result < 0 ? job->result : -EIO;
	struct reader r = reader_over(job->data + job->skip, job->limit);
	struct frame frame;
	const uint8_t *data;
	uint32_t bytes = 0;
	while (log_record_next(&r, job->read.lsn + bytes, &frame, &data))
		bytes += frame.frame_bytes;
	if (bytes == 0)
		return -EILSEQ;
	memcpy(job->read.buffer, job->data + job->skip, bytes);
	return (int32_t)bytes;
}

/* Generations count by one for each segment. */
static uint64_t
disk_bytes(const struct hw_log *log)
{
	if (log->options.memory || !log->active)
		return 0; /* in memory, or before the first segment is scanned */
	return (log->active->generation - log->first_generation) * log->segment_bytes + log->at;
}

static uint64_t
room_bytes(const struct hw_log *log)
{
	if (log->options.memory || !log->active)
		return UINT64_MAX;
	must(log->live_count > 0 && log->live_count <= log->slot_count);
	return (uint64_t)(log->slot_count - log->live_count) * log->segment_bytes +
	       (log->segment_bytes - log->at);
}

void
hw_log_reap(struct hw_log *log, struct hw_log_reaped *reaped)
{
	reaped->read_count = 0;
	reaped->write_error = 0;
	if (!log->options.memory) {
		log_io_collect(log);
		reap_write(log);
	}
	for (uint32_t i = 1; i < LOG_JOBS; i++) {
		struct log_job *job = &log->job[i];
		if (atomic_load_explicit(&job->state, memory_order_acquire) != JOB_DONE)
			continue;
		reaped->read[reaped->read_count++] = (struct hw_log_read_done){
			.tag = job->read.tag,
			.lsn = job->read.lsn,
			.result = take_read(job),
		};
		atomic_store_explicit(&job->state, JOB_IDLE, memory_order_relaxed);
	}
	reaped->durable_lsn = log->durable_lsn;
	reaped->disk_bytes = disk_bytes(log);
	reaped->room_bytes = room_bytes(log);
	if (log->write_error && !log->write_error_told) {
		log->write_error_told = true;
		reaped->write_error = log->write_error;
	}
}

/* The batch that holds `lsn`; `slot` becomes its segment. */
static const struct log_index *
find(struct hw_log *log, uint64_t lsn, struct log_slot **slot)
{
	*slot = NULL;
	for (uint32_t i = 0; i < log->slot_count && !*slot; i++) {
		struct log_slot *candidate = &log->slot[i];
		if (slot_state(candidate) == SLOT_LIVE && candidate->index_count > 0 &&
		    candidate->index[0].first_lsn <= lsn && lsn < candidate->end_lsn)
			*slot = candidate;
	}
	if (!*slot)
		return NULL;
	uint32_t low = 0, high = (*slot)->index_count;
	while (high - low > 1) { /* index[low].first_lsn <= lsn */
		uint32_t middle = low + (high - low) / 2;
		if ((*slot)->index[middle].first_lsn <= lsn)
			low = middle;
		else
			high = middle;
	}
	const struct log_index *entry = &(*slot)->index[low];
	return lsn - entry->first_lsn < entry->record_bytes ? entry : NULL;
}

/* Says in `job` where the record lies. False: nowhere. */
static bool
locate(struct hw_log *log, const struct hw_log_read *read, struct log_job *job)
{
	struct log_slot *slot;
	const struct log_index *entry = find(log, read->lsn, &slot);

	if (!entry)
		return false;
	uint32_t skipped = (uint32_t)(read->lsn - entry->first_lsn);
	uint32_t left = entry->record_bytes - skipped;
	uint32_t first = entry->position + LOG_BATCH_HEADER_BYTES + skipped;
	job->write = false;
	job->slot = slot;
	job->generation = slot->generation;
	job->read = *read;
	job->limit = left < read->buffer_bytes ? left : read->buffer_bytes;
	job->offset = first / LOG_BLOCK_BYTES * LOG_BLOCK_BYTES;
	job->skip = first - job->offset;
	job->bytes =
		(job->skip + job->limit + LOG_BLOCK_BYTES - 1) / LOG_BLOCK_BYTES * LOG_BLOCK_BYTES;
	must(job->bytes <= LOG_BATCH_BYTES_MAX);
	return true;
}

int
hw_log_read(struct hw_log *log, const struct hw_log_read *read)
{
	uint32_t number = 1;

	must(read->buffer_bytes >= FRAME_BYTES_MAX);
	if (log->options.memory)
		return -ENOENT;
	if (read->lsn >= log->durable_lsn)
		return -EAGAIN;
	while (number < LOG_JOBS && !job_idle(&log->job[number]))
		number++;
	if (number == LOG_JOBS)
		return -EBUSY;
	struct log_job *job = &log->job[number];
	if (!locate(log, read, job))
		return -ENOENT;
	job->data = log->read_data[number - 1];
	log_io_submit(log, number);
	return 0;
}

int32_t
hw_log_read_scanned(struct hw_log *log, const struct hw_log_read *read)
{
	struct log_job job = {.data = log->read_data[0]};

	must(read->buffer_bytes >= FRAME_BYTES_MAX);
	must(job_idle(&log->job[1]));
	if (!locate(log, read, &job))
		return -ENOENT;
	job.result = log_io_now(&job);
	return take_read(&job);
}

/* Of those that hold only records below, the oldest; NULL: there is none. */
static struct log_slot *
oldest_below(struct hw_log *log, uint64_t below_lsn)
{
	struct log_slot *oldest = NULL;

	for (uint32_t i = 0; i < log->slot_count; i++) {
		struct log_slot *slot = &log->slot[i];
		if (slot_state(slot) == SLOT_LIVE && slot != log->active &&
		    slot->end_lsn <= below_lsn &&
		    (!oldest || slot->generation < oldest->generation))
			oldest = slot;
	}
	return oldest;
}

/* Of those behind it the oldest; there is one: the active one is never dropped. */
static uint64_t
generation_behind(const struct hw_log *log, const struct log_slot *slot)
{
	uint64_t oldest = log->active->generation;

	for (uint32_t i = 0; i < log->slot_count; i++) {
		const struct log_slot *other = &log->slot[i];
		if (slot_state(other) == SLOT_LIVE && other->generation > slot->generation &&
		    other->generation < oldest)
			oldest = other->generation;
	}
	return oldest;
}

/* In their order: the preparer takes them one by one, and a crash in the middle must leave
 * a log without a hole. What is kept is said first: the header of the first one that is
 * used again says it, too. */
void
hw_log_drop(struct hw_log *log, uint64_t below_lsn)
{
	struct log_slot *slot;

	if (log->options.memory)
		return;
	while ((slot = oldest_below(log, below_lsn)) != NULL) {
		atomic_store_explicit(&log->kept_generation, generation_behind(log, slot),
				      memory_order_release);
		atomic_store_explicit(&slot->state, SLOT_DROPPED, memory_order_release);
		log->live_count--;
		sem_post(&log->prepare);
	}
}

void
hw_log_set_epoch(struct hw_log *log, const uint8_t *epoch)
{
	memcpy(log->identity.epoch, epoch, EPOCH_BYTES);
	log->new_segment_wanted = true;
}

void
log_wait_jobs(struct hw_log *log)
{
	for (uint32_t i = 0; i < LOG_JOBS; i++) {
		log_io_collect(log);
		while (atomic_load_explicit(&log->job[i].state, memory_order_acquire) ==
		       JOB_POSTED) {
			log_io_wait(log);
			log_io_collect(log);
		}
	}
}

int
hw_log_clean_stop(struct hw_log *log)
{
	must(log->scanned);
	if (log->options.memory)
		return 0;
	for (uint32_t i = 0; i <= HW_LOG_BUFFERS && !log->write_error; i++) {
		log_wait_jobs(log);
		reap_write(log);
		hw_log_submit(log);
	}
	if (log->write_error)
		return log->write_error;
	if (log->used > 0)
		return -ENOSPC;
	log->stopped = true;
	return log_write_mark(log, LOG_BATCH_CLEAN);
}

int
hw_log_descriptor(const struct hw_log *log)
{
	return log->event_fd;
}

void
hw_log_woken(struct hw_log *log)
{
	eventfd_t ignored;
	eventfd_read(log->event_fd, &ignored);
}

const char *
hw_log_mode(const struct hw_log *log)
{
	return log->mode;
}

struct hw_log_identity
hw_log_identity(const struct hw_log *log)
{
	return log->identity;
}

struct hw_log_state
hw_log_state(const struct hw_log *log)
{
	struct hw_log_state state = {
		.first_lsn = UINT64_MAX,
		.durable_lsn = log->durable_lsn,
		.append_lsn = log->append_lsn,
		.disk_bytes = disk_bytes(log),
		.begin_lost = log->begin_lost,
		.bytes_max = (uint64_t)log->slot_count * log->segment_bytes,
		.space_error = atomic_load(&log->space_error),
		.write_error = log->write_error,
		.batches = log->batches,
		.stalled = log->stalled,
	};
	for (uint32_t i = 0; i < log->slot_count; i++) {
		int now = slot_state(&log->slot[i]);
		state.spare_segments += now == SLOT_SPARE;
		if (now != SLOT_LIVE)
			continue;
		state.live_bytes += log->segment_bytes;
		/* Where a header is gone, only the scan will tell. */
		if (log->slot[i].first_ordinal != 0 && log->slot[i].first_lsn < state.first_lsn)
			state.first_lsn = log->slot[i].first_lsn;
	}
	if (state.first_lsn == UINT64_MAX)
		state.first_lsn = log->durable_lsn;
	return state;
}
