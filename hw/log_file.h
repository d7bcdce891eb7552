/*
 * hw/log_file.h - the parts of hw/uring_log, for its own files only.
 *
 *     uring_log.c     what the owner calls: append, submit, reap, read, drop
 *     log_open.c      open: directory, lock, identity; the preparer
 *     log_recover.c   scan: recovery over the files, then the first batch
 *     log_io.c        one write and a few reads: by io_uring or by a helper thread
 *
 * A slot is one segment file. Its `state` is the hand-over between owner and
 * preparer: whoever finds a state that is its own may touch the slot; every change
 * of state is a release, every look an acquire.
 *
 *     preparer:  ABSENT, DROPPED -> SPARE
 *     owner:     SPARE -> LIVE -> DROPPED
 *
 * Threads  as said at each field.
 */
#ifndef HW_LOG_FILE_H
#define HW_LOG_FILE_H

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>

#include "hw/uring_log.h"

#define LOG_BUFFER_BYTES (LOG_BLOCK_BYTES + LOG_BATCH_BYTES_MAX) /* header block in front */
#define LOG_JOBS         (1 + HW_LOG_READS_MAX)                  /* job 0 is the write */
#define LOG_SPARES       2                                       /* kept ready */

enum slot_state {
	SLOT_ABSENT = 0,
	SLOT_DROPPED = 1, /* a file whose contents nobody needs */
	SLOT_SPARE = 2,
	SLOT_LIVE = 3,
	SLOT_UNKNOWN = 4, /* found at open without a live header; the scan decides */
};

/* One written batch that holds records. */
struct log_index {
	uint64_t first_lsn;
	uint32_t position; /* of the batch header in the segment */
	uint32_t record_bytes;
};

struct log_slot {
	_Atomic int state;
	int fd;
	uint32_t number;
	bool registered; /* with io_uring; the owner's */
	bool rebuilt;    /* its header was gone; the scan's */
	uint64_t guess;  /* what its batches say its generation was; the scan's */
	uint64_t generation;
	uint64_t first_lsn;
	uint64_t first_ordinal;
	uint64_t end_lsn;        /* behind its last record */
	struct log_index *index; /* room for one entry per block */
	uint32_t index_count;
};

struct log_buffer {
	uint8_t *data;
	uint64_t first_lsn;
	uint32_t record_bytes;
	uint32_t record_count;
};

enum job_state {
	JOB_IDLE = 0,
	JOB_POSTED = 1,
	JOB_DONE = 2,
};

struct log_job {
	_Atomic int state;
	bool write;
	struct log_slot *slot;
	uint8_t *data;
	uint32_t bytes;
	uint32_t offset;
	int32_t result;
	/* A read's: what was asked, and where in `data` it begins. */
	struct hw_log_read read;
	uint64_t generation;
	uint32_t skip;
	uint32_t limit;
};

struct log_io; /* log_io.c's: a ring, or a thread */

struct hw_log {
	/* Set by open, then only read. */
	struct hw_log_options options;
	char directory[LOG_PATH_BYTES_MAX + 1];
	int directory_fd;
	int lock_fd;
	int event_fd;
	int open_flags; /* O_DIRECT, unless the file system refuses it */
	uint32_t segment_bytes;
	uint32_t slot_count;
	struct hw_log_identity identity;
	char mode[256];

	/* The owner's. */
	bool scanned;
	bool stopped;
	bool new_segment_wanted;
	bool header_pending; /* `active` has no header yet: the first write brings it */
	struct log_buffer buffer[HW_LOG_BUFFERS];
	uint32_t oldest; /* buffer with the oldest unwritten records */
	uint32_t used;   /* buffers from `oldest` on, the open one included */
	struct log_batch writing;
	struct log_slot *active;
	uint32_t live_count; /* slots */
	uint32_t at;         /* where the next batch goes in `active` */
	uint64_t append_lsn;
	uint64_t durable_lsn;
	uint64_t next_ordinal;
	int write_error;
	bool write_error_told;
	uint64_t oldest_generation; /* the highest that a header found at open says */
	uint64_t first_generation;  /* the oldest that was live when it was scanned */
	bool begin_lost;            /* what lay before that is gone, and was not dropped */
	uint32_t unreadable_blocks; /* met by the scan */
	uint64_t batches;
	uint64_t stalled;
	struct log_job job[LOG_JOBS];
	uint8_t *read_data[HW_LOG_READS_MAX];
	struct log_io *io;

	/* Shared with the preparer. */
	struct log_slot slot[HW_LOG_SEGMENTS_MAX];
	_Atomic uint64_t next_generation;
	_Atomic uint64_t kept_generation; /* what lay below was dropped; headers say so */
	_Atomic int space_error;
	_Atomic bool stopping;
	sem_t prepare;  /* posted when a spare was taken or a segment dropped */
	sem_t prepared; /* posted after each attempt; only open and scan wait on it */
	pthread_t preparer;
	bool preparer_runs;
};

/* log_io.c */
int log_io_open(struct hw_log *log);
void log_io_close(struct hw_log *log);
void log_io_submit(struct hw_log *log, uint32_t job); /* fields set, state IDLE */
void log_io_collect(struct hw_log *log);              /* completed ones become DONE */
void log_io_wait(struct hw_log *log);                 /* until the event arrives */
int32_t log_io_now(const struct log_job *job);        /* waits, whatever else there is */

/* log_open.c. Whole transfers or -errno; a write is durable when it returns. */
int log_write_now(const struct log_slot *slot, const uint8_t *data, uint32_t bytes,
		  uint32_t offset);
struct log_segment log_slot_header(const struct hw_log *log, const struct log_slot *slot,
				   enum log_segment_state state);
void *log_pages(size_t bytes); /* aligned for O_DIRECT, zeroed; NULL: no memory */
int log_start_preparer(struct hw_log *log);

/* uring_log.c. Makes a spare the active segment; false when none is ready. The other
 * form waits for the preparer: 0 or -errno. */
bool log_take_segment(struct hw_log *log);
int log_wait_segment(struct hw_log *log);
void log_index_add(struct log_slot *slot, const struct log_batch *batch);
/* Writes one empty batch and waits for it: the mark of a stop, or of its end. */
int log_write_mark(struct hw_log *log, uint16_t flags);
void log_wait_jobs(struct hw_log *log);

#endif /* HW_LOG_FILE_H */
