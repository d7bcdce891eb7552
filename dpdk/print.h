/*
 * dpdk/print.h - what synodctl tells people of a synodd's answer, on the standard output.
 *
 * Errors     none: what is missing in an answer, or of another kind than it should be, is 0 or "-".
 */
#ifndef DPDK_PRINT_H
#define DPDK_PRINT_H

#include <jansson.h>

/* The fields are in docs/status.md. */
void print_status(const json_t *status);

/* Behind a force, of the groups of a status: what may be lost, was cut, or is gone. */
void print_lost(const json_t *groups);

#endif /* DPDK_PRINT_H */
