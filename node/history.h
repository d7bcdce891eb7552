/*
 * node/history.h - results and places of old entries, kept in the log beside them.
 *
 * Memory has what a group did last. What is older is written to the log, a row of
 * `history_row` at a time, as soon as the row is complete, and read back when a
 * member or a node lacks it. A row is a fact that every replay would find again: it
 * is written behind what it speaks of, depends on no vote, and nobody waits for it.
 *
 *     RESULTS   of entries, by index: what became of each, and where its value lies
 *     PAYLOADS  where the record lies that says where the chunks of a spread payload
 *               lie, by the payload's number: in a group the accepted ones are
 *               numbered from 1
 *     PLACES    where values lie, by slot, for nodes that lack them
 *
 *     row 0        row 1               row 2                   row 3
 *     [ ]          [ link 0 ]          [ link 0, 1 ]           ...  links - 1 rows
 *      `-------------'  `----------------'
 *        a block: each row has the places of all rows of its block before it
 *
 * So memory keeps one place for each block, that of its last row (the head), and two
 * reads find any row: the head, then the row. `history_blocks` of them bound the
 * memory; a block covers history_links * history_row entries, so that
 * log_bytes_max / (the least bytes of so many entries) heads reach as far as the log.
 * An older one is lost: who needs it is refused as by a log that was trimmed.
 *
 * Behind   what a row says stands behind the record by which a replay comes that far. Schedule:
 *          a node delivers slot 60, writes the row of 57 to 60, and crashes; no record says
 *          yet that 60 was delivered. A force takes it for open, and it is accepted once
 *          more, in another epoch and at another place: the row names a value that is void.
 * Restart  finds rows in the log as it replays it, and writes those that were not on
 *          disk yet: memory must hold more than what may be in flight at a crash.
 * Lost     a row that was never written, as of a log that was written in memory or by
 *          an older version, or with other sizes, or after a write error.
 * Errors   decoders answer false.
 * Threads  the node's.
 */
#ifndef NODE_HISTORY_H
#define NODE_HISTORY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "certify/gtid.h"

#define NODE_RECORD_HISTORY 63 /* frame.group is the group */
#define HISTORY_LINKS_MAX   128
#define HISTORY_HEAD_BYTES  20
#define HISTORY_LINK_BYTES  12
#define HISTORY_ITEM_BYTES  148 /* of a row's data, for one item, at most */

enum history_series {
	HISTORY_RESULTS = 0,
	HISTORY_PAYLOADS = 1,
	HISTORY_PLACES = 2,
	HISTORY_SERIES = 3,
};

struct node_result;

/* Where a record lies. */
struct history_link {
	uint64_t lsn; /* its end; 0: nowhere */
	uint32_t bytes;
};

/* The body of a record, without its frame. */
struct history_row {
	uint8_t series;
	uint16_t items; /* of a row */
	uint16_t links; /* of a block */
	uint64_t row;
	const uint8_t *link; /* of the row % links rows before it in its block */
	const uint8_t *data; /* u32 offsets of the items, from here on; then the items */
	uint32_t bytes;
};

static inline uint32_t
history_links(const struct history_row *row)
{
	return (uint32_t)(row->row % row->links);
}

/* Writes all but the data, which the caller puts behind it. */
void history_row_encode(const struct history_row *row, const struct history_link *link,
			struct writer *w);
bool history_row_decode(struct history_row *row, const uint8_t *body, uint32_t bytes);
struct history_link history_row_link(const struct history_row *row, uint32_t i);
/* The bytes of one item, to its end or further. */
struct reader history_row_item(const struct history_row *row, uint32_t i);

void history_result_encode(const struct node_result *result, struct writer *w);
bool history_result_decode(struct node_result *result, struct reader *r);
void history_link_encode(struct history_link link, struct writer *w);
bool history_link_decode(struct history_link *link, struct reader *r);

/* One series of a group. */
struct node_history {
	uint64_t row_next;                           /* rows below it are in the log, or lost */
	struct history_link link[HISTORY_LINKS_MAX]; /* of the block of row_next - 1 */
	struct history_head {
		uint64_t row; /* + 1; 0: none */
		struct history_link link;
	} * head; /* ring of history_blocks, by block */
};

/* Whoever reads rows has one of these: the row in hand, or on its way. */
struct node_cursor {
	uint8_t series;
	uint8_t purpose; /* enum read_purpose: who is told that it was read */
	uint8_t voter;
	int session;
	uint32_t group;
	uint64_t have; /* row + 1 that is in `handle`; 0: none */
	uint32_t bytes;
	uint32_t handle;
	bool reading;
	uint64_t wanted;     /* row + 1 that is read, or whose way is */
	uint64_t unreadable; /* row + 1 */
	uint64_t block;      /* + 1, of `link` */
	uint32_t link_count; /* of them are known */
	struct history_link link[HISTORY_LINKS_MAX];
};

enum history_answer {
	HISTORY_HERE = 1,
	HISTORY_WAIT = 2, /* it is read, or there is no room for reading it now */
	HISTORY_LOST = 3,
};

#endif /* NODE_HISTORY_H */
