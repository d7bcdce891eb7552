/*
 * base/frame.h - the one header in front of everything that is sent or logged.
 *
 * A protocol message and a log record are the same thing seen twice: an accept
 * that a voter receives is the record it must write. So both carry this header,
 * little-endian and without padding:
 *
 *     offset bytes
 *          0     8  checksum     XXH3-64 of bytes 8.. of header and body
 *          8     4  frame_bytes  header and body
 *         12     2  version      FRAME_VERSION
 *         14     1  kind         the owner's (paxos, log, member protocol)
 *         15     1  flags        the kind's; 0 where it has none
 *         16    16  epoch        128 random bits of the appliance's epoch
 *         32     4  group        0 is the appliance's own
 *         36     4  source       node number, or 0xffffffff for a member
 *         40     8  incarnation  process (of a node) or incarnation (of a member)
 *         48     8  lsn          log: where the record lies; wire: 0
 *         56     8  generation   log: of the segment; wire: 0
 *
 * The checksum covers segment generation, epoch and LSN: a block that the disk
 * wrote in the wrong place, or kept from the segment's former life, is not
 * taken for this record.
 *
 * Limits   a frame is FRAME_BYTES_MAX at most, its body FRAME_BODY_BYTES_MAX.
 * Errors   frame_decode() answers false for what is short, longer than it says,
 *          of another version, or fails its checksum.
 */
#ifndef BASE_FRAME_H
#define BASE_FRAME_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/hash.h"
#include "base/must.h"

#define FRAME_VERSION        1
#define FRAME_HEADER_BYTES   64
#define FRAME_BYTES_MAX      (256 * 1024)
#define FRAME_BODY_BYTES_MAX (FRAME_BYTES_MAX - FRAME_HEADER_BYTES)
#define FRAME_SOURCE_MEMBER  0xffffffffu
#define EPOCH_BYTES          16

struct frame {
	uint32_t frame_bytes; /* header and body */
	uint8_t kind;
	uint8_t flags;
	uint8_t epoch[EPOCH_BYTES];
	uint32_t group;
	uint32_t source;
	uint64_t incarnation;
	uint64_t lsn;
	uint64_t generation;
};

/* Writes the header in front of a body that stands at `out + 64` already. The
 * checksum is computed last, over what is then there. */
static inline void
frame_encode(const struct frame *f, uint8_t *out)
{
	must(f->frame_bytes >= FRAME_HEADER_BYTES);
	must(f->frame_bytes <= FRAME_BYTES_MAX);
	bytes_put_u32(out + 8, f->frame_bytes);
	bytes_put_u16(out + 12, FRAME_VERSION);
	out[14] = f->kind;
	out[15] = f->flags;
	memcpy(out + 16, f->epoch, EPOCH_BYTES);
	bytes_put_u32(out + 32, f->group);
	bytes_put_u32(out + 36, f->source);
	bytes_put_u64(out + 40, f->incarnation);
	bytes_put_u64(out + 48, f->lsn);
	bytes_put_u64(out + 56, f->generation);
	bytes_put_u64(out, hash_bytes(out + 8, f->frame_bytes - 8, 0));
}

/* Reads a frame that lies at the start of `n` bytes (more may follow it). */
static inline bool
frame_decode(struct frame *f, const uint8_t *data, size_t n)
{
	if (n < FRAME_HEADER_BYTES)
		return false;
	f->frame_bytes = bytes_get_u32(data + 8);
	if (f->frame_bytes < FRAME_HEADER_BYTES || f->frame_bytes > FRAME_BYTES_MAX)
		return false;
	if (f->frame_bytes > n || bytes_get_u16(data + 12) != FRAME_VERSION)
		return false;
	if (bytes_get_u64(data) != hash_bytes(data + 8, f->frame_bytes - 8, 0))
		return false;
	f->kind = data[14];
	f->flags = data[15];
	memcpy(f->epoch, data + 16, EPOCH_BYTES);
	f->group = bytes_get_u32(data + 32);
	f->source = bytes_get_u32(data + 36);
	f->incarnation = bytes_get_u64(data + 40);
	f->lsn = bytes_get_u64(data + 48);
	f->generation = bytes_get_u64(data + 56);
	return true;
}

#endif /* BASE_FRAME_H */
