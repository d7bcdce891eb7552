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

/* What the words of a command that asks for changes begin or end with. */
struct ask_options {
	const char *path; /* of the socket */
	bool yes;
	char **words; /* the rest */
	int count;
};

/* Reads --socket, --yes and --help. False: the command ends with *code, and the usage is told
 * where that belongs. */
bool ask_options(struct ask_options *o, int argc, char **argv, const char *usage, int *code);

/* `request` is one line. */
json_t *ask(const char *path, const char *request);
json_t *ask_status(const char *path);

/* Asks once for a change; what is lost is asked for again. False: a sentence was said. */
bool ask_once(const char *path, const char *request);

/* Of a status: the group of this number or uuid, or NULL. */
const json_t *ask_group(const json_t *status, const char *name);

/* Of an array's element: a text, or "-". */
const char *ask_string(const json_t *text);
int64_t ask_number(const json_t *object, const char *key);
const char *ask_text(const json_t *object, const char *key);
bool ask_is_true(const json_t *object, const char *key);

#endif /* DPDK_ASK_H */
