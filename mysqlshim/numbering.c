#include "mysqlshim/numbering.h"

#include <stdbool.h>

#include "base/must.h"

#define SLOT(n) ((n) & (NUMBERING_KNOWN - 1))

void
numbering_init(struct numbering *n)
{
	n->next = 1;
	n->fence = 1;
}

/* The highest number given whose index is at or below `dependency`. */
static uint64_t
newest_at(const struct numbering *n, uint64_t dependency)
{
	uint64_t oldest = n->next > NUMBERING_KNOWN ? n->next - NUMBERING_KNOWN : 1;
	uint64_t low = oldest, high = n->next; /* the answer + 1 is in low..high */

	while (low < high) {
		uint64_t middle = low + (high - low) / 2;
		if (n->index[SLOT(middle)] <= dependency)
			low = middle + 1;
		else
			high = middle;
	}
	must(low >= oldest);
	return low - 1;
}

static uint64_t
last_index(const struct numbering *n)
{
	return n->next == 1 ? 0 : n->index[SLOT(n->next - 1)];
}

struct numbers
numbering_next(struct numbering *n, uint64_t index, uint64_t dependency)
{
	must(dependency < index);

	bool in_place = index > last_index(n);
	uint64_t before = in_place ? newest_at(n, dependency) : n->next - 1;
	uint64_t number = n->next++;
	n->index[SLOT(number)] = in_place ? index : n->index[SLOT(number - 1)];
	if (!in_place)
		n->fence = number;
	if (number == 1)
		return (struct numbers){0, 0};
	/* Nothing may name a number below that of the (0, 0) one: there the
	 * applier's clock began. */
	uint64_t least = in_place && n->fence > 1 ? n->fence : 1;
	return (struct numbers){
		.last_committed = (int64_t)(before > least ? before : least),
		.sequence_number = (int64_t)number,
	};
}
