/* The longest silence of two windows of time; contract in the header. */
#include "paxos/patience.h"

#include "base/must.h"

static uint64_t
span_ns(const struct patience *p)
{
	return PATIENCE_SPANS * p->most_ns;
}

void
patience_init(struct patience *p, uint64_t least_ns, uint64_t most_ns)
{
	must(least_ns > 0);
	must(least_ns <= most_ns);
	*p = (struct patience){.least_ns = least_ns, .most_ns = most_ns};
}

void
patience_saw(struct patience *p, uint64_t gap_ns, uint64_t now_ns)
{
	if (gap_ns >= 2 * p->most_ns)
		return;
	if (now_ns - p->since_ns >= span_ns(p)) {
		p->longest_before_ns = now_ns - p->since_ns < 2 * span_ns(p) ? p->longest_ns : 0;
		p->longest_ns = 0;
		p->since_ns = now_ns;
	}
	if (gap_ns > p->longest_ns)
		p->longest_ns = gap_ns;
}

uint64_t
patience_ns(const struct patience *p, uint64_t now_ns)
{
	uint64_t age_ns = now_ns - p->since_ns;
	uint64_t longest_ns = age_ns < 2 * span_ns(p) ? p->longest_ns : 0;

	if (age_ns < span_ns(p) && p->longest_before_ns > longest_ns)
		longest_ns = p->longest_before_ns;
	if (2 * longest_ns <= p->least_ns)
		return p->least_ns;
	return 2 * longest_ns < p->most_ns ? 2 * longest_ns : p->most_ns;
}
