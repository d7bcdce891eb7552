/* tests/sim/clock.c - see sim.h: generator, event heap, local clocks. */
#include <stdlib.h>

#include "base/must.h"
#include "tests/sim/sim.h"

static uint64_t
splitmix(uint64_t *x)
{
	uint64_t z = *x += UINT64_C(0x9e3779b97f4a7c15);
	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

void
random_seed(struct sim_random *r, uint64_t seed)
{
	for (int i = 0; i < 4; i++)
		r->state[i] = splitmix(&seed);
}

/* Without floating point, so that no compiler option changes a run: half of the
 * draws lie in 0..mean, a quarter in mean..2*mean, and so on. */
uint64_t
random_mean(struct sim_random *r, uint64_t mean)
{
	uint64_t base = 0;

	if (mean == 0)
		return 0;
	for (int i = 0; i < 6 && (random_u64(r) & 1); i++)
		base += mean;
	return base + random_below(r, mean);
}

static bool
earlier(const struct sim_event *a, const struct sim_event *b)
{
	if (a->at_ns != b->at_ns)
		return a->at_ns < b->at_ns;
	return a->order < b->order;
}

void
heap_push(struct sim_heap *h, struct sim_event event)
{
	if (h->count == h->capacity) {
		h->capacity = h->capacity ? 2 * h->capacity : 1024;
		h->event = realloc(h->event, h->capacity * sizeof *h->event);
		must(h->event != NULL);
	}
	event.order = ++h->order;
	uint32_t i = h->count++;
	while (i > 0 && earlier(&event, &h->event[(i - 1) / 2])) {
		h->event[i] = h->event[(i - 1) / 2];
		i = (i - 1) / 2;
	}
	h->event[i] = event;
}

/* Puts `last` at or below place i, whose own event is gone. */
static void
sift_down(struct sim_heap *h, uint32_t i, struct sim_event last)
{
	for (;;) {
		uint32_t child = 2 * i + 1;
		if (child >= h->count)
			break;
		if (child + 1 < h->count && earlier(&h->event[child + 1], &h->event[child]))
			child++;
		if (!earlier(&h->event[child], &last))
			break;
		h->event[i] = h->event[child];
		i = child;
	}
	h->event[i] = last;
}

bool
heap_pop(struct sim_heap *h, struct sim_event *event)
{
	if (h->count == 0)
		return false;
	*event = h->event[0];
	struct sim_event last = h->event[--h->count];
	if (h->count > 0)
		sift_down(h, 0, last);
	return true;
}

void
sim_wake(struct sim *s, uint8_t process)
{
	struct sim_process *p = sim_process(s, process);
	struct sim_heap *h = &s->heap;

	if (p->stalled_until_ns <= s->now_ns)
		return;
	if (s->timer_ns[process] == p->stalled_until_ns)
		s->timer_ns[process] = s->now_ns;
	for (uint32_t i = 0; i < h->count; i++) {
		if (h->event[i].process == process && h->event[i].at_ns == p->stalled_until_ns)
			h->event[i].at_ns = s->now_ns;
	}
	for (uint32_t i = h->count / 2; i > 0; i--)
		sift_down(h, i - 1, h->event[i - 1]);
	p->stalled_until_ns = 0;
}

bool
sim_is_node(uint8_t process)
{
	return process < SIM_NODES_MAX;
}

uint8_t
sim_server_process(uint8_t server)
{
	return (uint8_t)(SIM_NODES_MAX + server);
}

struct sim_process *
sim_process(struct sim *s, uint8_t process)
{
	must(process < SIM_PROCESSES_MAX);
	if (sim_is_node(process))
		return &s->node[process].process;
	return &s->server[process - SIM_NODES_MAX].process;
}

/* Events of a process die with it, except those that are the world's. */
void
sim_push(struct sim *s, uint64_t delay_ns, uint8_t kind, uint8_t process, uint32_t slot)
{
	bool worldly = kind == EVENT_PACKET || kind == EVENT_RESTART || kind == EVENT_FAULT ||
		       kind == EVENT_WATCH;
	heap_push(&s->heap, (struct sim_event){
				    .at_ns = s->now_ns + delay_ns,
				    .life = worldly ? 0 : sim_process(s, process)->life,
				    .slot = slot,
				    .kind = kind,
				    .process = process,
			    });
}

/* The same for now and for later, so that a local clock never runs back. */
uint64_t
sim_local(const struct sim *s, const struct sim_process *p)
{
	int64_t drift = (int64_t)(s->now_ns / 1000000) * p->clock_ppm +
			(int64_t)(s->now_ns % 1000000) * p->clock_ppm / 1000000;
	return p->clock_offset_ns + s->now_ns + (uint64_t)drift;
}

void
sim_timer(struct sim *s, uint8_t process, uint64_t at_local_ns)
{
	const struct sim_process *p = sim_process(s, process);
	uint64_t local = sim_local(s, p);

	if (at_local_ns == UINT64_MAX) {
		s->timer_ns[process] = UINT64_MAX;
		return;
	}
	uint64_t wait = at_local_ns > local ? at_local_ns - local : 0;
	if (wait > 1000 * SEC)
		wait = 1000 * SEC;
	/* A slow clock needs longer to get there; 1 us keeps a step that wants to
	 * be called at once from standing still in time. */
	wait += wait / 1000 * (uint64_t)(p->clock_ppm < 0 ? -p->clock_ppm : 0) / 900 + US;
	s->timer_ns[process] = s->now_ns + wait;
}

uint8_t
sim_timer_first(const struct sim *s)
{
	uint8_t first = 0;

	for (uint8_t i = 1; i < SIM_PROCESSES_MAX; i++) {
		if (s->timer_ns[i] < s->timer_ns[first])
			first = i;
	}
	return first;
}

bool
sim_output_kills(struct sim *s, struct sim_process *p)
{
	if (p->crash_after == 0 || s->healed)
		return false;
	return --p->crash_after == 0;
}
