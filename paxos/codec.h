/*
 * paxos/codec.h - bytes of a paxos message or record, behind a frame header.
 *
 *     [frame header 64][fixed part PAXOS_FIXED_BYTES][value bytes]
 *
 * The frame's kind is enum paxos_kind. The value's bytes are not copied here:
 * encoding fills the fixed part and the caller gathers header, fixed part and
 * value; decoding answers where the value lies in the given bytes. The frame's
 * checksum is the caller's (base/frame.h), since it covers the value.
 *
 * Errors   paxos_decode() answers false for an unknown kind, a wrong length, or a
 *          field that is not 0 in a kind that does not have it.
 */
#ifndef PAXOS_CODEC_H
#define PAXOS_CODEC_H

#include <stdbool.h>
#include <stdint.h>

#include "base/frame.h"
#include "paxos/paxos.h"

#define PAXOS_FIXED_BYTES     80
#define PAXOS_VALUE_BYTES_MAX (FRAME_BODY_BYTES_MAX - PAXOS_FIXED_BYTES)

/* Bytes of the whole frame: what a record adds to the LSN. */
static inline uint32_t
paxos_frame_bytes(const struct paxos_message *message)
{
	return FRAME_HEADER_BYTES + PAXOS_FIXED_BYTES + message->value.bytes;
}

/* Fills PAXOS_FIXED_BYTES at `out`. */
void paxos_encode(const struct paxos_message *message, uint8_t *out);

/* `body` is the frame's body. On success *value points at message->value.bytes
 * bytes inside it, and message->value.handle is PAXOS_NO_VALUE. */
bool paxos_decode(struct paxos_message *message, uint8_t kind, const uint8_t *body,
		  uint32_t body_bytes, const uint8_t **value);

#endif /* PAXOS_CODEC_H */
