/*
 * dpdk/epoch.h - an epoch as text: its number, a colon, and 32 hexadecimal digits, as in
 * `synodctl status`, `synodctl node force --epoch` and `synodd --rejoin`.
 *
 * Errors     false: it is another text. `voters` stays as it is.
 * Threads    none.
 */
#ifndef DPDK_EPOCH_H
#define DPDK_EPOCH_H

#include <stdbool.h>

#include "node/node.h"

#define EPOCH_TEXT_BYTES 48

void epoch_text(const struct node_forced *forced, char out[EPOCH_TEXT_BYTES]);
bool epoch_read(const char *text, struct node_forced *forced);

#endif /* DPDK_EPOCH_H */
