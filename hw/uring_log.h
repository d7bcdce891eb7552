/*
 * hw/uring_log.h - the log on this machine: files, one writer, group commit.
 *
 * The bytes are paxos/log_format.h's. This puts them on a disk: segment files that
 * were prewritten with zeros (a growing file costs twice the time of a write), opened
 * O_DIRECT, one RWF_DSYNC write per batch, through io_uring with registered buffers
 * and files. Where io_uring or O_DIRECT is refused (containers, odd file systems) a
 * helper thread does the same writes; hw_log_mode() says which it is.
 *
 * One write is in flight at a time; what is appended meanwhile gathers in the next
 * batch. Never two: recovery cuts an invalid last batch, which is right only if at
 * most one batch can be unacknowledged.
 *
 * A second thread, the preparer, makes spare segments ahead of need, so the owner
 * never waits for a file to be created, and a full disk is found (`space_error`)
 * while one to two segments of room are left.
 *
 * Order     open, scan (once; it is the recovery), then append, submit, reap, read,
 *           drop as often as wanted; then clean_stop or not, then close.
 * Units     LSNs as in log_format.h.
 * Ownership hw_log_append() copies. A buffer lent to hw_log_read() is the log's until
 *           hw_log_reap() has named its tag.
 * Dropping  What lies below an LSN is given back in whole segments, oldest first, and its
 *           files are used again. Headers say from where on the log is kept, so a scan tells
 *           what was dropped from what a disk lost. Of what was dropped just before a crash
 *           the next scan may find some again: never what lay before it, and without a hole.
 * Limits    HW_LOG_SEGMENTS_MAX files, HW_LOG_BUFFERS batches of LOG_BATCH_BYTES_MAX,
 *           HW_LOG_READS_MAX reads in flight. append answers false at the limit, or
 *           when no segment is left: the caller slows its peers, nothing is lost.
 * Errors    A write error is reported once by reap and is final: the log takes nothing
 *           more. It is never retried, because after a failed sync the kernel may
 *           hold the data for clean and answer the second sync with success.
 * Threads   One thread calls, except open and scan, which may run on another before.
 */
#ifndef HW_URING_LOG_H
#define HW_URING_LOG_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "hw/error.h"
#include "paxos/log_format.h"

#define HW_LOG_SEGMENTS_MAX      1024
#define HW_LOG_BUFFERS           4
#define HW_LOG_READS_MAX         8
#define HW_LOG_SEGMENT_BYTES     (64u << 20)
#define HW_LOG_SEGMENT_BYTES_MIN (2u << 20)
#define HW_LOG_SEGMENT_BYTES_MAX (1u << 30)

struct hw_log;

struct hw_log_options {
	const char *directory; /* made if absent; its parent must be there */
	uint8_t server[LOG_ID_BYTES];
	uint8_t epoch[EPOCH_BYTES]; /* zeros: the one the log holds */
	bool memory;                /* durability = memory: no file is touched */
	bool helper_thread;         /* do not try io_uring */
	uint32_t segment_bytes;     /* 0: 64 MiB; a log that exists keeps its own */
	uint64_t log_bytes_max;     /* 0: 8 GiB; 3 to HW_LOG_SEGMENTS_MAX segments */
};

/* What a log found at open is, before it is scanned. */
struct hw_log_identity {
	uint8_t disk[LOG_ID_BYTES];
	uint8_t epoch[EPOCH_BYTES];
	bool formatted_now;
};

struct hw_log_read_done {
	uint64_t tag;
	uint64_t lsn;
	int32_t result; /* bytes of whole records in the caller's buffer, or -errno */
};

struct hw_log_reaped {
	uint64_t durable_lsn; /* every record byte below is on disk */
	uint64_t disk_bytes;  /* taken since where the scan began; 0: none is */
	uint64_t room_bytes;  /* that the disk may still take; UINT64_MAX in memory */
	int write_error;      /* -errno, in one answer only */
	uint32_t read_count;
	struct hw_log_read_done read[HW_LOG_READS_MAX];
};

struct hw_log_state {
	uint64_t first_lsn; /* the oldest that can be read */
	uint64_t durable_lsn;
	uint64_t append_lsn; /* the next record's */
	uint64_t live_bytes; /* of segments that hold records */
	uint64_t disk_bytes; /* as struct hw_log_reaped has it */
	bool begin_lost;     /* the scan missed what lay before, and nobody had dropped it */
	uint64_t bytes_max;
	uint32_t spare_segments;
	int space_error;  /* errno of the last failed preparation, 0 when well */
	int write_error;  /* -errno; final */
	uint64_t batches; /* written by this process */
	uint64_t stalled; /* submits that found no segment to write to */
};

/* `data` is the frame's first byte, valid during the call. */
typedef void hw_log_record_fn(void *context, const struct frame *frame, const uint8_t *data);

/* 0, or -errno with a sentence that names the remedy. Rot that the scan reports below
 * an LSN that the caller had dropped is of no account: dropped files are not wiped. */
int hw_log_open(const struct hw_log_options *options, struct hw_log **log, struct hw_error *error);
int hw_log_scan(struct hw_log *log, hw_log_record_fn *record, void *context,
		struct log_verdict *verdict, struct hw_error *error);

/* Appends one frame, given in parts; the first holds its whole header. The frame's
 * lsn must be append_lsn. False when every buffer is full or the log has failed. */
bool hw_log_append(struct hw_log *log, const struct iovec *part, uint32_t part_count);

/* Starts the write of the oldest unwritten batch, unless one is in flight. */
void hw_log_submit(struct hw_log *log);

/* Collects what has completed. Never waits. */
void hw_log_reap(struct hw_log *log, struct hw_log_reaped *reaped);

/* A descriptor that polls readable when something has completed, for a loop that
 * sleeps. Once awake: hw_log_woken(), then reap. A loop that spins needs neither. */
int hw_log_descriptor(const struct hw_log *log);
void hw_log_woken(struct hw_log *log);

/* Reads whole records from `lsn` on, as many of one batch as fit. 0 when under way;
 * -EAGAIN: not durable yet; -ENOENT: dropped, missing, or the log is in memory;
 * -EBUSY: HW_LOG_READS_MAX are under way. The result may be -EILSEQ: rot, or no
 * record begins there. The buffer holds FRAME_BYTES_MAX at least. */
struct hw_log_read {
	uint64_t lsn;
	uint64_t tag;
	uint8_t *buffer;
	uint32_t buffer_bytes;
};
int hw_log_read(struct hw_log *log, const struct hw_log_read *read);

/* The same from within a record's call of hw_log_scan, where it waits: what was scanned
 * before. The result as hw_log_read_done has it. */
int32_t hw_log_read_scanned(struct hw_log *log, const struct hw_log_read *read);

/* Gives back every segment that holds only records below. A read of them that is under way
 * ends with -ENOENT, whatever the file holds by then. */
void hw_log_drop(struct hw_log *log, uint64_t below_lsn);

/* From the next batch on; that one opens a new segment, so that every segment is of
 * one epoch and its header says which. */
void hw_log_set_epoch(struct hw_log *log, const uint8_t *epoch);

/* Writes what is open, then the mark of an orderly stop. 0 or -errno. Waits. */
int hw_log_clean_stop(struct hw_log *log);

/* Waits for the write in flight, no more: without clean_stop this is a crash. */
void hw_log_close(struct hw_log *log);

/* How the log writes, for `status`. */
const char *hw_log_mode(const struct hw_log *log);
struct hw_log_identity hw_log_identity(const struct hw_log *log);
/* Walks all segments: for status, not for every turn of a loop. Within hw_log_scan,
 * first_lsn says where the log begins, or should. */
struct hw_log_state hw_log_state(const struct hw_log *log);

#endif /* HW_URING_LOG_H */
