/* Any bytes as a paxos message: what decodes encodes to the same bytes. */
#include <string.h>

#include "base/must.h"
#include "paxos/codec.h"
#include "tests/fuzz/fuzz.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t again[PAXOS_FIXED_BYTES];
	const uint8_t *value;
	struct paxos_message m;

	if (size < 1 || size > FRAME_BODY_BYTES_MAX)
		return 0;
	if (!paxos_decode(&m, data[0], data + 1, (uint32_t)size - 1, &value))
		return 0;
	must(value == data + 1 + PAXOS_FIXED_BYTES);
	must(m.value.bytes == size - 1 - PAXOS_FIXED_BYTES);
	paxos_encode(&m, again);
	must(memcmp(again, data + 1, PAXOS_FIXED_BYTES) == 0);
	return 0;
}
