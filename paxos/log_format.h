/*
 * paxos/log_format.h - the bytes of the log, and what they mean after a crash.
 *
 * Pure: it encodes into and decodes from memory. The edge (hw/uring_log) and the
 * simulator's model disk run these same functions, so that a torn write that the
 * simulator invents is judged by the code that ships.
 *
 * Records  A record is a frame (base/frame.h) whose `lsn` the engine has set and
 *          whose `generation` is 0. An LSN is a logical byte position: the sum
 *          of frame_bytes of all records before it since the log was formatted.
 *          It knows nothing of blocks or files, so a packet can name the LSN it
 *          waits for before anything is written. "Durable up to lsn" says that
 *          every record byte below lsn is on disk.
 *
 * Limits   LOG_BATCH_BYTES_MAX on disk, header and padding included.
 * Errors   decoders answer false; the verdict says the rest.
 * Threads  none of its own.
 */

/*
 * Segment  A file of fixed size, a multiple of 4096. Block 0 is its header:
 *
 *     offset bytes
 *          0     8  checksum           XXH3-64 of bytes 8 to 4095
 *          8     4  magic              LOG_SEGMENT_MAGIC
 *         12     2  version            LOG_VERSION
 *         14     1  state              enum log_segment_state
 *         15     1  zero
 *         16    16  disk               random, drawn when the log was formatted
 *         32    16  epoch              when the segment was taken into use
 *         48    16  server             node or server_uuid the log belongs to
 *         64     4  number             of the file; fixed for the file's life
 *         68     4  segment_bytes
 *         72     8  generation         of its contents; counts up over the whole
 *                                      log, by one per segment taken into use
 *         80     8  first_lsn
 *         88     8  first_ordinal
 *         96     8  oldest_generation  below it the log had dropped everything
 *        104     2  path_bytes
 *        106  1024  path               of the log directory when formatted
 *       1130        zeros
 *
 *          A file is used again when all it holds was dropped: it gets a SPARE
 *          header (generation: the next one at that time), and a copy of it in
 *          its last block; then a LIVE header written together with the first
 *          batch, in one write. Were that one torn, the copy still says what
 *          the file was, and from where on the log is kept.
 *
 *          Every header says in `oldest_generation` from where on the log is
 *          kept: segments that are missing below were dropped. The highest that
 *          any says holds. Those at or above it that are missing were lost.
 *
 * Batch    Starts on a fresh block: header, frames back to back, zeros to the
 *          block's end. Unacknowledged batches: one at most.
 *
 *     offset bytes
 *          0     8  checksum      XXH3-64 of bytes 8 to the last record byte,
 *                                 seeded from disk id and segment number
 *          8     4  magic         LOG_BATCH_MAGIC
 *         12     2  version       LOG_VERSION
 *         14     2  flags         LOG_BATCH_CLEAN or 0
 *         16     4  record_bytes
 *         20     4  record_count
 *         24     8  first_lsn
 *         32     8  generation    of the segment
 *         40     8  ordinal       counts up over the whole log
 *         48    16  epoch
 *
 *          A batch may be empty: it marks an orderly stop (CLEAN) or the end of
 *          that calm (the first batch that an open writes).
 *
 * Valid    is a batch of this disk, segment and generation whose checksum holds
 *          and whose frames decode and follow one another's LSN. What another
 *          life of the file, another file or another disk left is not valid.
 *
 * Recovery Segments in the order of generation; in each, blocks in order. The
 *          expected batch has the next ordinal. A block that starts no valid
 *          batch is passed over. Then:
 *          - ROT  a valid batch with a higher ordinal than expected follows, or
 *                 one stands where it was never written (a lower ordinal, or an
 *                 LSN that does not follow), or
 *                 a later segment begins with a higher one. Acknowledged bytes
 *                 are missing. The LSN range is reported, the batches behind it
 *                 are delivered, and none of it is taken for an empty log.
 *          - CLEAN the last batch is the mark of an orderly stop.
 *          - CUT  otherwise: the log ends after the last valid batch. At most
 *                 one batch was not acknowledged, so nothing that was is lost,
 *                 unless the disk lied; of that, peers' memories tell.
 *          A header that is gone while its batches stand is rebuilt from them:
 *          taking the file for a spare one would cut what was acknowledged.
 *          An acknowledged block is never rewritten. The blocks behind a cut are
 *          zeroed before they are written again: else a second torn write could
 *          complete the batch that the first recovery had declared absent.
 */
#ifndef PAXOS_LOG_FORMAT_H
#define PAXOS_LOG_FORMAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/frame.h"

#define LOG_VERSION            9           /* of this format, or of any record in it */
#define LOG_SEGMENT_MAGIC      0x534e5953u /* "SYNS" */
#define LOG_BATCH_MAGIC        0x424e5953u /* "SYNB" */
#define LOG_BLOCK_BYTES        4096
#define LOG_BATCH_HEADER_BYTES 64
#define LOG_BATCH_BYTES_MAX    (1024 * 1024)
#define LOG_RECORD_BYTES_MAX   (LOG_BATCH_BYTES_MAX - LOG_BATCH_HEADER_BYTES)
#define LOG_PATH_BYTES_MAX     1024
#define LOG_ID_BYTES           16
#define LOG_BATCH_CLEAN        1u /* flags: the last batch of an orderly stop */
#define LOG_LSN_UNKNOWN        UINT64_MAX

_Static_assert(FRAME_BYTES_MAX <= LOG_RECORD_BYTES_MAX, "any record fits a batch");

enum log_segment_state {
	LOG_SEGMENT_SPARE = 1, /* holds nothing of `generation` or above yet */
	LOG_SEGMENT_LIVE = 2,
};

struct log_segment {
	enum log_segment_state state;
	uint8_t disk[LOG_ID_BYTES];
	uint8_t epoch[EPOCH_BYTES];
	uint8_t server[LOG_ID_BYTES];
	uint32_t number;
	uint32_t segment_bytes;
	uint64_t generation;
	uint64_t first_lsn;
	uint64_t first_ordinal; /* 0: unknown, the header was rebuilt */
	uint64_t oldest_generation;
	char path[LOG_PATH_BYTES_MAX + 1]; /* zero-terminated */
};

struct log_batch {
	uint16_t flags;
	uint32_t record_bytes;
	uint32_t record_count;
	uint64_t first_lsn;
	uint64_t generation;
	uint64_t ordinal;
	uint8_t epoch[EPOCH_BYTES];
	uint32_t position; /* byte in the segment; set by the scan, not stored */
};

enum log_tail {
	LOG_TAIL_NEW = 1, /* formatted at this open; never the scan's answer */
	LOG_TAIL_CLEAN = 2,
	LOG_TAIL_CUT = 3,
	LOG_TAIL_ROT = 4,
};

struct log_verdict {
	enum log_tail tail;
	/* How the log ends, whatever is missing before: CLEAN, CUT, or ROT where acknowledged
	 * bytes behind the last record may be missing. */
	enum log_tail end;
	uint64_t end_lsn;      /* the next record's */
	uint64_t next_ordinal; /* the next batch's */
	/* ROT: the smallest range that holds every missing record.
	 * rot_end_lsn is LOG_LSN_UNKNOWN where no valid batch follows. */
	uint64_t rot_first_lsn;
	uint64_t rot_end_lsn;
	uint32_t rot_count; /* separate places */
};

struct log_scan {
	bool started;
	bool clean; /* the last valid batch was an orderly stop's */
	bool open;  /* something was lost behind it */
	uint64_t next_lsn;
	uint64_t next_ordinal;
	uint64_t rot_first_lsn;
	uint64_t rot_end_lsn;
	uint32_t rot_count;
	/* The segment under scan. */
	const uint8_t *image;
	uint32_t bytes;
	uint32_t position; /* of the block to look at next */
	uint32_t end;      /* behind the last valid batch: where writing goes on */
	uint64_t generation;
	uint64_t seed;
};

/* The header block. encode writes all 4096 bytes. */
void log_segment_encode(const struct log_segment *segment, uint8_t *block);
bool log_segment_decode(struct log_segment *segment, const uint8_t *block, size_t n);

/* Of a header that is whole, of whatever version; 0: it is not. */
uint16_t log_segment_version(const uint8_t *block, size_t n);

/* What batch checksums of this disk's segment start from. */
uint64_t log_batch_seed(const uint8_t *disk, uint32_t number);

/* Bytes of a batch on disk, a multiple of LOG_BLOCK_BYTES. */
uint32_t log_batch_disk_bytes(uint32_t record_bytes);

/* Writes header and padding around the frames that stand at `out + 64`. `out`
 * has room for log_batch_disk_bytes(). */
void log_batch_encode(const struct log_batch *batch, uint64_t seed, uint8_t *out);

/* Reads the batch at the start of `n` bytes. Frames are checked with it. */
bool log_batch_decode(struct log_batch *batch, uint64_t seed, const uint8_t *data, size_t n);

/* Takes the next frame from a reader over a batch's record bytes. `data` is its
 * first byte. False at the end, or where the frame is not the record `lsn`. */
bool log_record_next(struct reader *records, uint64_t lsn, struct frame *frame,
		     const uint8_t **data);

/* The highest generation of which the file holds a valid batch, 0 for none: what
 * a file is whose header does not say so. `segment` gives disk and number. */
uint64_t log_segment_guess(const struct log_segment *segment, const uint8_t *image, size_t bytes);

/* Recovery. Begin once; then for each live segment in the order of generation
 * log_scan_segment() and log_scan_next() until it answers false; then the verdict.
 * `image` is the whole segment file and stays the caller's. */
void log_scan_begin(struct log_scan *scan);
void log_scan_segment(struct log_scan *scan, const struct log_segment *segment,
		      const uint8_t *image);
bool log_scan_next(struct log_scan *scan, struct log_batch *batch, const uint8_t **records);
struct log_verdict log_scan_verdict(const struct log_scan *scan);

#endif /* PAXOS_LOG_FORMAT_H */
