/*
 * mysqlshim/gtid_text.h - gtid_executed as the server writes it, and one GTID as
 * people read it.
 *
 *     "UUID:1-5:7,\nUUID:1:tag:2-3"
 *
 * A tag stands before its intervals and holds until the next tag or UUID.
 *
 * Never     allocates.
 * Errors    false: no such text, or `set` is full.
 * Threads   none of its own.
 */
#ifndef MYSQLSHIM_GTID_TEXT_H
#define MYSQLSHIM_GTID_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "certify/gtid.h"

#ifdef __cplusplus
extern "C" {
#endif

#define GTID_CHARS_MAX (36 + 1 + TAG_BYTES_MAX + 1 + 20)

/* Adds what `text` names; empty is the empty set. */
bool gtid_text_parse(struct gtid_set *set, const char *text);

/* "8-4-4-4-12" hexadecimal digits, in braces or without dashes too. */
bool uuid_parse(uint8_t uuid[UUID_BYTES], const char *text);
void uuid_format(const uint8_t uuid[UUID_BYTES], char text[37]);

void gtid_format(const struct gtid *gtid, char text[GTID_CHARS_MAX + 1]);

#ifdef __cplusplus
}
#endif

#endif /* MYSQLSHIM_GTID_TEXT_H */
