/* tests/sim/run.c - see sim.h: one seed from its begin to its end. */
#include <stdarg.h>
#include <stdio.h>

#include "base/must.h"
#include "tests/sim/sim.h"

#define SETTLE_NS (40 * SEC) /* after healing, everything must have come to rest */
#define REST_NS   (500 * MS) /* and stay so */
#define TICKS_MAX 200        /* of a process, in a millisecond */

static void
print_line(const struct sim *s, const char *label, const char *format, va_list list)
{
	printf("[%12.6f] %s", (double)s->now_ns / 1e9, label);
	vprintf(format, list);
	putchar('\n');
}

void
sim_fail(struct sim *s, const char *format, ...)
{
	if (s->failed)
		return;
	s->failed = true;
	va_list list;
	va_start(list, format);
	print_line(s, "FAILED ", format, list);
	va_end(list);
}

void
sim_trace(const struct sim *s, const char *format, ...)
{
	if (!s->options.trace)
		return;
	va_list list;
	va_start(list, format);
	print_line(s, "", format, list);
	va_end(list);
}

void
sim_soil(void *memory, size_t bytes)
{
#ifdef SYNOD_SLOW_CHECKS
	memset(memory, 0xa5, bytes);
#else
	(void)memory;
	(void)bytes;
#endif
}

/* A pause is half as long again as its mean, and a third of the time nobody can submit:
 * a server is down, or has no quorum. */
static void
think_by_rate(struct sim *s)
{
	uint64_t clients = 0;

	for (uint32_t i = 0; i < s->server_count; i++)
		clients += s->server[i].client_count;
	s->swarm.think_ns = clients * SEC * 3 / 8 / s->options.rate;
}

static void
begin(struct sim *s, const struct sim_options *options)
{
	s->options = *options;
	s->heap.count = 0;
	s->heap.order = 0;
	for (uint32_t i = 0; i < SIM_PROCESSES_MAX; i++)
		s->timer_ns[i] = UINT64_MAX;
	s->now_ns = 0;
	s->digest = 0;
	s->failed = false;
	s->healed = false;
	s->returned_count = 0;
	s->settled = false;
	large_reset(s);
	bent_reset(s);
	groups_reset(s);
	force_reset(s);
	attached_reset(s);
	s->tx_count = 0;
	s->submitted = 0;
	random_seed(&s->random, options->seed);
	swarm_draw(s);
	comers_reset(s);
	net_reset(s);
	voters_reset(s);
	check_reset(s);
	seal_setup(s);
	for (uint8_t i = 0; i < s->node_count; i++) {
		sim_node_setup(s, i);
		sim_push(s, random_below(&s->random, 20 * MS), EVENT_RESTART, i, 0);
	}
	for (uint8_t i = 0; i < s->server_count; i++) {
		s->server[i].group = (uint8_t)(i % s->group_count);
		s->server[i].try_bootstrap = i < s->group_count;
		sim_member_setup(s, i);
		server_setup(s, i);
		sim_push(s, random_below(&s->random, 50 * MS), EVENT_RESTART, sim_server_process(i),
			 0);
	}
	if (s->options.rate != 0)
		think_by_rate(s);
	swarm_tell(s);
	sim_push(s, SEC, EVENT_FAULT, 0, 0);
	sim_push(s, 50 * MS, EVENT_WATCH, 0, 0);
}

/* How often a log has little room. */
static void
watch_room(struct sim *s)
{
	for (uint32_t i = 0; s->swarm.log_bytes > 0 && i < s->node_count; i++) {
		struct sim_node *n = &s->node[i];
		struct node_image_status now;

		if (!n->process.up)
			continue;
		node_image_status(n->node, &now);
		bool full = disk_room(s, (uint8_t)i) == 1;
		s->totals.slowed += now.slowed && !n->disk.slowed;
		s->totals.full += full && !n->disk.full;
		n->disk.slowed = now.slowed;
		n->disk.full = full;
	}
}

/* Ends the rough part, and then the run. */
static void
watch(struct sim *s)
{
	groups_go_on(s);
	force_go_on(s);
	comers_go_on(s);
	watch_room(s);
	bool enough =
		s->submitted >= s->options.submissions || s->now_ns > 2 * s->options.duration_ns;

	if (!s->healed && s->now_ns >= s->options.duration_ns && enough)
		fault_heal(s);
	if (s->healed) {
		bent_go_on(s);
		if (!check_settled(s))
			s->settled_since_ns = s->now_ns;
		else if (s->now_ns - s->settled_since_ns >= REST_NS)
			s->settled = true;
		if (s->now_ns - s->healed_ns > SETTLE_NS && !s->settled)
			check_unsettled(s);
	}
	sim_push(s, 50 * MS, EVENT_WATCH, 0, 0);
}

/* Rule 10: a process that asks to be called again at once, and again, spins. */
static void
check_spinning(struct sim *s, uint8_t process)
{
	struct sim_process *p = sim_process(s, process);

	if (s->now_ns >= p->ticks_since_ns + MS) {
		p->ticks_since_ns = s->now_ns;
		p->ticks = 0;
	}
	if (++p->ticks > TICKS_MAX)
		sim_fail(s, "%s asks for more than %u ticks in a millisecond",
			 word_process(process), TICKS_MAX);
}

static void
tick(struct sim *s, uint8_t process)
{
	const struct sim_process *p = sim_process(s, process);

	s->timer_ns[process] = UINT64_MAX;
	if (!p->up)
		return;
	if (p->stalled_until_ns > s->now_ns) {
		s->timer_ns[process] = p->stalled_until_ns;
		return;
	}
	check_spinning(s, process);
	if (sim_is_node(process)) {
		struct node_input in = {.kind = NODE_IN_TICK};
		sim_node_feed(s, process, &in);
		return;
	}
	struct member_input in = {.kind = MEMBER_IN_TICK};
	sim_member_feed(s, (uint8_t)(process - SIM_NODES_MAX), &in);
}

static void
restart(struct sim *s, uint8_t process)
{
	if (sim_process(s, process)->up || force_holds(s, process))
		return;
	if (sim_is_node(process) && comers_away(s, process))
		return;
	if (sim_is_node(process))
		sim_node_start(s, process);
	else
		server_boot(s, (uint8_t)(process - SIM_NODES_MAX));
}

static void
server_event(struct sim *s, const struct sim_event *event)
{
	uint8_t server = (uint8_t)(event->process - SIM_NODES_MAX);

	switch (event->kind) {
	case EVENT_CLIENT:
		client_step(s, server, event->slot);
		break;
	case EVENT_SUBMIT:
		client_submit(s, server, event->slot);
		break;
	case EVENT_APPLIED:
		applier_applied(s, server, event->slot);
		break;
	case EVENT_SYNCED:
		server_synced(s, server);
		break;
	case EVENT_RELEASED:
		server_released(s, server);
		break;
	case EVENT_HOOKS:
		server_hooks(s, server, event->slot);
		break;
	case EVENT_START:
		server_start_group(s, server);
		break;
	case EVENT_STOP_GO_ON:
		server_stop_go_on(s, server);
		break;
	default:
		must(event->kind == EVENT_STOP_LATE);
		server_stop_late(s, server);
		break;
	}
}

static void
dispatch(struct sim *s, const struct sim_event *event)
{
	struct sim_process *p = sim_process(s, event->process);

	switch (event->kind) {
	case EVENT_FAULT:
		fault_next(s);
		return;
	case EVENT_WATCH:
		watch(s);
		return;
	case EVENT_RESTART:
		restart(s, event->process);
		return;
	default:
		break;
	}
	if (event->life != 0 && event->life != p->life)
		return;
	if (p->up && p->stalled_until_ns > s->now_ns) {
		struct sim_event again = *event;
		again.at_ns = p->stalled_until_ns;
		heap_push(&s->heap, again);
		return;
	}
	switch (event->kind) {
	case EVENT_PACKET:
		net_arrive(s, event);
		break;
	case EVENT_WRITTEN:
		disk_written(s, event->process);
		break;
	case EVENT_READ:
		sim_node_read_done(s, event->process, event->slot);
		break;
	default:
		server_event(s, event);
		break;
	}
}

/* What comes next, a TICK or an event; false: nothing ever. */
static bool
advance(struct sim *s)
{
	struct sim_event event;

	if (s->force.tempted != 0)
		force_tempted(s);
	uint8_t process = sim_timer_first(s);

	if (s->timer_ns[process] < heap_next_ns(&s->heap)) {
		must(s->timer_ns[process] >= s->now_ns);
		s->now_ns = s->timer_ns[process];
		s->digest = hash_fold(s->digest, s->now_ns);
		tick(s, process);
		return true;
	}
	if (!heap_pop(&s->heap, &event))
		return false;
	must(event.at_ns >= s->now_ns);
	s->now_ns = event.at_ns;
	s->digest = hash_fold(s->digest, s->now_ns ^ (uint64_t)event.kind << 56);
	dispatch(s, &event);
	return true;
}

bool
sim_run(struct sim *s, const struct sim_options *options)
{
	begin(s, options);
	while (!s->failed && !s->settled && advance(s))
		continue;
	if (!s->failed)
		check_final(s);
	sim_trace(s, "the end: %u transactions submitted, %s", s->submitted,
		  s->failed ? "FAILED" : "and every promise was kept");
	seal_final(s);
	if (!s->failed && s->submitted < s->options.submissions)
		sim_fail(s, "only %u submissions", s->submitted);
	s->totals.runs++;
	s->totals.bound += s->swarm.log_bytes > 0;
	s->totals.simulated_ns += s->now_ns;
	s->totals.submissions += s->submitted;
	s->totals.failures += s->failed;
	return !s->failed;
}
