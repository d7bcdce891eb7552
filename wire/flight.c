/* Acknowledgement, loss, round trips, and the window. */
#include "wire/flight.h"

#define GAP_LOST     3      /* later datagrams acknowledged before one counts as lost */
#define GRANULARITY  250000 /* ns: delayed acknowledgement and the loop's own turn */
#define BACKOFF_MAX  6
#define RTT_MAX_NS   10000000000u
#define GROWTH       4 /* datagrams per round trip */
#define WINDOW_FLOOR 8 /* datagrams */

void
flight_reset(struct flight *f, const struct flight_config *config)
{
	struct sent *packets = f->packets;

	memset(f, 0, sizeof *f);
	f->packets = packets;
	f->next_counter = 1;
	f->window_bytes_max = config->window_bytes_max;
	f->window_bytes = config->window_bytes_max;
	f->window_bytes_min = WINDOW_FLOOR * config->datagram_bytes;
	if (f->window_bytes_min > f->window_bytes_max)
		f->window_bytes_min = f->window_bytes_max;
	f->rto_min_ns = config->rto_min_ns;
	f->rto_max_ns = config->rto_max_ns;
	f->reorder_due_ns = UINT64_MAX;
}

void
flight_sample(struct flight *f, uint64_t rtt_ns)
{
	if (rtt_ns > RTT_MAX_NS)
		return;
	if (!f->sampled) {
		f->sampled = true;
		f->rtt_ns = rtt_ns;
		f->rtt_variance_ns = rtt_ns / 2;
		return;
	}
	uint64_t apart = f->rtt_ns > rtt_ns ? f->rtt_ns - rtt_ns : rtt_ns - f->rtt_ns;
	f->rtt_variance_ns = (3 * f->rtt_variance_ns + apart) / 4;
	f->rtt_ns = (7 * f->rtt_ns + rtt_ns) / 8;
}

static uint64_t
timeout_ns(const struct flight *f)
{
	uint64_t rto = f->rtt_ns + 4 * f->rtt_variance_ns;

	if (rto < f->rto_min_ns)
		rto = f->rto_min_ns;
	rto <<= f->backoff;
	return rto > f->rto_max_ns ? f->rto_max_ns : rto;
}

static uint64_t
reordering_ns(const struct flight *f)
{
	return f->rtt_ns + f->rtt_ns / 4 + GRANULARITY;
}

struct sent *
flight_add(struct flight *f, uint64_t counter, uint64_t now_ns)
{
	must(!flight_full(f));
	struct sent *s = flight_packet(f, f->end++);

	*s = (struct sent){.counter = counter, .sent_ns = now_ns, .state = SENT_FLYING};
	return s;
}

static void
settle(struct flight *f, struct sent *s)
{
	must(s->state == SENT_FLYING && f->flying_bytes >= s->bytes);
	s->state = SENT_SETTLED;
	f->flying_bytes -= s->bytes;
}

static void
forget_settled(struct flight *f)
{
	while (f->first != f->end && flight_packet(f, f->first)->state == SENT_SETTLED)
		f->first++;
}

static void
lose(struct flight *f, const struct flight_owner *owner, struct sent *s, uint64_t now_ns)
{
	settle(f, s);
	owner->stats->packets_lost++;
	*owner->repeat_due |= s->repeat;
	for (uint32_t i = 0; i < s->segment_count; i++)
		outbox_lose(&owner->outboxes[s->stream[i]], s->segment[i]);
	if (s->sent_ns < f->cut_ns)
		return; /* the same round trip's loss, answered already */
	f->cut_ns = now_ns;
	f->window_bytes /= 2;
	if (f->window_bytes < f->window_bytes_min)
		f->window_bytes = f->window_bytes_min;
	owner->stats->window_cuts++;
}

static void
arrive(struct flight *f, const struct flight_owner *owner, struct sent *s)
{
	settle(f, s);
	for (uint32_t i = 0; i < s->segment_count; i++)
		outbox_arrived(&owner->outboxes[s->stream[i]], s->segment[i]);
	uint64_t grown = f->window_bytes + (uint64_t)GROWTH * s->bytes * f->window_bytes_min /
						   WINDOW_FLOOR / f->window_bytes;
	f->window_bytes = grown > f->window_bytes_max ? f->window_bytes_max : (uint32_t)grown;
}

/* Whoever is older than the highest acknowledged one by gap or by time is lost. */
static void
find_lost(struct flight *f, const struct flight_owner *owner, uint64_t now_ns)
{
	f->reorder_due_ns = UINT64_MAX;
	for (uint32_t n = f->first; n != f->end; n++) {
		struct sent *s = flight_packet(f, n);
		if (!f->any_acked || s->counter >= f->acked_max)
			break;
		if (s->state != SENT_FLYING)
			continue;
		uint64_t due_ns = s->sent_ns + reordering_ns(f);
		if (f->acked_max - s->counter >= GAP_LOST || due_ns <= now_ns)
			lose(f, owner, s, now_ns);
		else if (due_ns < f->reorder_due_ns)
			f->reorder_due_ns = due_ns;
	}
	forget_settled(f);
}

bool
flight_ack(struct flight *f, const struct flight_owner *owner, const struct ack *ack,
	   uint64_t now_ns)
{
	uint32_t range = ack->range_count - 1; /* lowest first, as the flight lies */
	uint64_t newest = ack->range[0].last;
	bool any = false;

	if (newest >= f->next_counter)
		return false;
	for (uint32_t n = f->first; n != f->end; n++) {
		struct sent *s = flight_packet(f, n);
		while (range > 0 && s->counter > ack->range[range].last)
			range--;
		if (s->counter > newest)
			break;
		if (s->state != SENT_FLYING || s->counter < ack->range[range].first)
			continue;
		arrive(f, owner, s);
		any = true;
		if (s->counter == newest && now_ns >= s->sent_ns) {
			uint64_t rtt_ns = now_ns - s->sent_ns;
			flight_sample(f, rtt_ns > ack->delay_ns ? rtt_ns - ack->delay_ns : rtt_ns);
		}
	}
	if (any)
		f->backoff = 0;
	if (!f->any_acked || newest > f->acked_max)
		f->acked_max = newest;
	f->any_acked = true;
	find_lost(f, owner, now_ns);
	return true;
}

void
flight_tick(struct flight *f, const struct flight_owner *owner, uint64_t now_ns)
{
	if (f->reorder_due_ns <= now_ns)
		find_lost(f, owner, now_ns);
	if (f->first == f->end)
		return;
	uint64_t timeout = timeout_ns(f);
	if (flight_packet(f, f->first)->sent_ns + timeout > now_ns)
		return;
	for (uint32_t n = f->first; n != f->end; n++) {
		struct sent *s = flight_packet(f, n);
		if (s->state == SENT_FLYING && s->sent_ns + timeout <= now_ns)
			lose(f, owner, s, now_ns);
	}
	forget_settled(f);
	owner->stats->timeouts++;
	if (f->backoff < BACKOFF_MAX)
		f->backoff++;
}

uint64_t
flight_due_ns(const struct flight *f)
{
	if (f->first == f->end)
		return UINT64_MAX;
	uint64_t due_ns = flight_packet(f, f->first)->sent_ns + timeout_ns(f);
	return due_ns < f->reorder_due_ns ? due_ns : f->reorder_due_ns;
}

void
receipt_reset(struct receipt *r)
{
	memset(r, 0, sizeof *r);
	r->ack_due_ns = UINT64_MAX;
}

static bool
seen(const struct receipt *r, uint64_t counter)
{
	return r->seen[counter % RECEIPT_BITS / 64] >> counter % 64 & 1;
}

enum receipt_verdict
receipt_check(const struct receipt *r, uint64_t counter)
{
	if (counter > r->newest)
		return RECEIPT_NEW;
	if (counter == 0 || r->newest - counter >= RECEIPT_BITS)
		return RECEIPT_OLD;
	return seen(r, counter) ? RECEIPT_DUPLICATE : RECEIPT_NEW;
}

bool
receipt_add(struct receipt *r, uint64_t counter, uint64_t now_ns)
{
	must(receipt_check(r, counter) == RECEIPT_NEW);
	bool in_order = counter == r->newest + 1;

	if (counter > r->newest) {
		uint64_t skipped = counter - r->newest;
		if (skipped > RECEIPT_BITS)
			skipped = RECEIPT_BITS;
		for (uint64_t c = counter - skipped + 1; c <= counter; c++)
			r->seen[c % RECEIPT_BITS / 64] &= ~((uint64_t)1 << c % 64);
		r->newest = counter;
		r->newest_ns = now_ns;
	}
	r->seen[counter % RECEIPT_BITS / 64] |= (uint64_t)1 << counter % 64;
	return !in_order;
}

/* From `counter` down while `wanted` holds, a word at a time; returns the first
 * counter that differs, at least `floor`. */
static uint64_t
run_down(const struct receipt *r, uint64_t counter, uint64_t floor, bool wanted)
{
	while (counter > floor) {
		uint64_t word = r->seen[counter % RECEIPT_BITS / 64];
		uint64_t differs = (wanted ? ~word : word) << (63 - counter % 64);
		uint64_t run = differs ? (uint64_t)__builtin_clzll(differs) : counter % 64 + 1;

		if (run > counter - floor)
			return floor;
		counter -= run;
		if (differs)
			break;
	}
	return counter;
}

bool
receipt_ack(const struct receipt *r, uint64_t now_ns, struct ack *ack)
{
	if (r->newest == 0)
		return false;
	uint64_t floor = r->newest >= RECEIPT_BITS ? r->newest - RECEIPT_BITS + 1 : 0;
	uint64_t at = r->newest;

	ack->delay_ns = now_ns > r->newest_ns ? now_ns - r->newest_ns : 0;
	ack->range_count = 0;
	while (ack->range_count <= ACK_RANGES_MAX && at > floor) {
		uint64_t below = run_down(r, at, floor, true);
		ack->range[ack->range_count++] = (struct ack_range){.first = below + 1, .last = at};
		at = run_down(r, below, floor, false);
	}
	must(ack->range_count > 0);
	return true;
}
