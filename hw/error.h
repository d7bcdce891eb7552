/*
 * hw/error.h - what the machine refused, and what to do about it, as text.
 *
 * Functions of hw/ that can be refused by the machine answer 0 or -errno and leave
 * one sentence here: what was wanted, what stood in the way, and the remedy. The
 * caller prints it; nothing in hw/ writes a log line.
 *
 * Limits   longer sentences are cut at the end of `text`.
 * Threads  none of its own.
 */
#ifndef HW_ERROR_H
#define HW_ERROR_H

struct hw_error {
	char text[768];
};

/* Fills `error` (may be NULL) and answers `code`, so that a caller can return it. */
int hw_error_set(struct hw_error *error, int code, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

#endif /* HW_ERROR_H */
