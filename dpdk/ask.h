/*
 * dpdk/ask.h - synodctl's side of the control socket: a line out, a JSON object back.
 *
 * Ownership  an answer is the caller's to json_decref(). What the others give belongs to
 *            the object that is asked.
 * Errors     NULL, and a sentence with the remedy on stderr. A field that is missing, or
 *            of another kind, is 0, "-" or false.
 */
#ifndef DPDK_ASK_H
#define DPDK_ASK_H

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

#define ASK_SOCKET_DEFAULT "/run/synod/control"

/* `request` is one line. */
json_t *ask(const char *path, const char *request);
json_t *ask_status(const char *path);

int64_t ask_number(const json_t *object, const char *key);
const char *ask_text(const json_t *object, const char *key);
bool ask_is_true(const json_t *object, const char *key);

#endif /* DPDK_ASK_H */
