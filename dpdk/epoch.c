/* An epoch as text: see epoch.h. */
#include "dpdk/epoch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "paxos/paxos.h"

void
epoch_text(const struct node_forced *forced, char out[EPOCH_TEXT_BYTES])
{
	int used = snprintf(out, EPOCH_TEXT_BYTES, "%u:", forced->number);

	for (uint32_t i = 0; i < EPOCH_BYTES; i++)
		used += snprintf(out + used, EPOCH_TEXT_BYTES - (size_t)used, "%02x",
				 forced->epoch[i]);
}

bool
epoch_read(const char *text, struct node_forced *forced)
{
	char *end;
	unsigned long number = strtoul(text, &end, 10);

	if (*text < '0' || *text > '9' || *end != ':' || number > PAXOS_EPOCHS_MAX ||
	    strlen(end + 1) != 2 * EPOCH_BYTES ||
	    strspn(end + 1, "0123456789abcdef") != 2 * EPOCH_BYTES)
		return false;
	forced->number = (uint32_t)number;
	for (uint32_t i = 0; i < EPOCH_BYTES; i++) {
		char byte[3] = {end[1 + 2 * i], end[2 + 2 * i], '\0'};
		forced->epoch[i] = (uint8_t)strtoul(byte, NULL, 16);
	}
	return true;
}
