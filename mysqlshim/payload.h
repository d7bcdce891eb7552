/*
 * mysqlshim/payload.h - what a transaction is on its way through the log, and
 * what the applier of another server is given.
 *
 * A payload is opaque to everyone between two shims: a head with what the GTID
 * event of a remote server must repeat, then the binlog cache as the origin's
 * server wrote it.
 *
 *     u8 version (1)  u8 flags  u16 zero  u32 original server version
 *     u32 immediate server version  u64 original commit time, us since 1970
 *     u64 immediate commit time, us since 1970  events
 *
 * In front of the events the applier wants a GTID event. That is MySQL's own
 * format (event 33 of the binary log, common header included), written here
 * field by field for untagged GTIDs; tagged ones have another event (42) that
 * this release does not write.
 *
 * Never      reads the events beyond their common header; never allocates.
 * Errors     payload_decode() answers false for bytes that are short or of
 *            another version.
 * Threads    none of its own.
 */
#ifndef MYSQLSHIM_PAYLOAD_H
#define MYSQLSHIM_PAYLOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "certify/entry.h"

#ifdef __cplusplus
extern "C" {
#endif

#define PAYLOAD_HEAD_BYTES   28
#define GTID_EVENT_BYTES_MAX 128
#define EVENT_HEAD_BYTES     19 /* common to all */

enum payload_flag {
	PAYLOAD_STATEMENTS = 1, /* may hold statements, not rows alone */
};

struct payload {
	uint8_t flags; /* enum payload_flag */
	uint32_t original_version;
	uint32_t immediate_version;
	uint64_t original_commit_us;
	uint64_t immediate_commit_us;
	const uint8_t *events;
	uint64_t events_bytes;
};

/* Writes the head; the events follow it in the same buffer. */
void payload_head(const struct payload *payload, uint8_t head[PAYLOAD_HEAD_BYTES]);

/* The length of the event at the start of `data`, 0 where there is no whole one. */
size_t event_bytes(const uint8_t *data, size_t bytes);

/* The number of the server that wrote the event at `data`, and when. */
uint32_t event_server_id(const uint8_t *data);
uint32_t event_time_s(const uint8_t *data);

/* `payload` points into `data` afterwards. */
bool payload_decode(struct payload *payload, const uint8_t *data, size_t bytes);

struct gtid_event {
	const struct payload *payload;
	const struct gtid *gtid; /* no tag */
	int64_t last_committed;
	int64_t sequence_number;
	uint64_t ticket; /* of the commit order; 0 is none */
	uint32_t server_id;
	uint32_t time_s; /* since 1970 */
};

/* The event's bytes; answers how many. */
size_t gtid_event_encode(const struct gtid_event *event, uint8_t out[GTID_EVENT_BYTES_MAX]);

#ifdef __cplusplus
}
#endif

#endif /* MYSQLSHIM_PAYLOAD_H */
