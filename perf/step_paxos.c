/*
 * A slot through three replicas: proposed, accepted by all, learned by all.
 *
 * Rounds stand for network and disk: what a step sends arrives in the next round, and
 * what it logs is durable before that. So a message never overtakes the record it
 * depends on, and with 32 slots in flight one completion covers many records, as on a
 * disk. Values are handles: no byte of one is touched, here as in paxos/.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/must.h"
#include "paxos/paxos.h"
#include "perf/bench_step.h"

#define REPLICAS    3
#define ROUND_NS    10000
#define CARRIED_MAX 4096
#define VALUE_BYTES 400
#define MORE_MAX    64
#define MS          1000000u

struct carried {
	uint8_t from, to;
	uint64_t after_lsn;
	struct paxos_message message;
};

struct carriage {
	uint32_t count;
	struct carried item[CARRIED_MAX];
};

struct triple {
	uint32_t in_flight;
	uint64_t now_ns;
	struct paxos_replica *replica[REPLICAS];
	uint64_t lsn[REPLICAS], durable[REPLICAS], timer_ns[REPLICAS];
	uint64_t delivered[REPLICAS], held[REPLICAS]; /* slots; references to values */
	uint64_t proposed, steps, emitted, records, messages;
	uint32_t way; /* which carriage is being filled */
	struct carriage carriage[2];
	struct paxos_output out;
};

static void
send(struct triple *t, uint8_t from, const struct paxos_output_item *item)
{
	struct carriage *c = &t->carriage[t->way];

	must(c->count < CARRIED_MAX);
	c->item[c->count++] = (struct carried){from, item->to, item->after_lsn, item->message};
	t->messages++;
}

static void
take_outputs(struct triple *t, uint8_t n)
{
	for (uint32_t i = 0; i < t->out.count; i++) {
		const struct paxos_output_item *item = &t->out.item[i];

		must(item->kind != PAXOS_OUT_READ);
		if (item->kind == PAXOS_OUT_SEND)
			send(t, n, item);
		t->lsn[n] = item->kind == PAXOS_OUT_LOG ? item->lsn : t->lsn[n];
		t->records += item->kind == PAXOS_OUT_LOG;
		t->delivered[n] += item->kind == PAXOS_OUT_DELIVER;
		t->held[n] -= item->kind == PAXOS_OUT_RELEASE;
	}
	t->emitted += t->out.count;
	t->timer_ns[n] = t->out.timer_ns;
}

static void
give(struct triple *t, uint8_t n, struct paxos_input *in)
{
	for (uint32_t i = 0; i == 0 || t->out.more; i++) {
		must(i < MORE_MAX);
		in->now_ns = t->now_ns;
		in->lsn_next = t->lsn[n];
		paxos_step(t->replica[n], in, &t->out);
		t->steps++;
		take_outputs(t, n);
		*in = (struct paxos_input){.kind = PAXOS_IN_TICK};
	}
}

static void
deliver(struct triple *t)
{
	struct carriage *c = &t->carriage[t->way];

	t->way ^= 1;
	for (uint32_t i = 0; i < c->count; i++) {
		const struct carried *m = &c->item[i];
		struct paxos_input in = {.kind = PAXOS_IN_MESSAGE};

		must(m->after_lsn <= t->durable[m->from]);
		in.from = m->from;
		in.message = m->message;
		t->held[m->to] += m->message.value.bytes > 0;
		give(t, m->to, &in);
	}
	c->count = 0;
}

static void
round_of_all(struct triple *t)
{
	t->now_ns += ROUND_NS;
	for (uint8_t n = 0; n < REPLICAS; n++) {
		struct paxos_input in = {.kind = PAXOS_IN_TICK};
		if (t->timer_ns[n] <= t->now_ns)
			give(t, n, &in);
		while (t->durable[n] < t->lsn[n]) {
			t->durable[n] = t->lsn[n];
			in = (struct paxos_input){.kind = PAXOS_IN_DURABLE, .lsn = t->lsn[n]};
			give(t, n, &in);
		}
	}
	deliver(t);
}

static void
propose(struct triple *t)
{
	struct paxos_input in = {.kind = PAXOS_IN_PROPOSE};

	in.value = (struct paxos_value){.handle = (uint32_t)(t->proposed % 65536),
					.bytes = VALUE_BYTES};
	must(paxos_can_propose(t->replica[0]));
	t->proposed++;
	t->held[0]++;
	give(t, 0, &in);
}

/* The last slots' news travels with the next proposals, so followers end a little
 * behind, as they began. */
static void
run(void *state, uint32_t count)
{
	struct triple *t = state;
	uint64_t end = t->proposed + count;

	while (t->delivered[0] < end) {
		while (t->proposed < end && t->proposed - t->delivered[0] < t->in_flight)
			propose(t);
		round_of_all(t);
	}
	for (uint8_t n = 1; n < REPLICAS; n++)
		must(t->delivered[n] + 2 * t->in_flight >= end);
}

static void
emitted(const void *state, uint64_t *pieces, uint64_t *bytes)
{
	const struct triple *t = state;

	*pieces = t->emitted;
	*bytes = t->emitted * sizeof(struct paxos_output_item);
}

static void
note(const void *state, char out[STEP_NOTE_BYTES])
{
	const struct triple *t = state;
	double slots = (double)t->proposed;

	snprintf(out, STEP_NOTE_BYTES, "%.1f steps, %.1f messages, %.1f records each",
		 (double)t->steps / slots, (double)t->messages / slots, (double)t->records / slots);
}

static struct triple *
begin(uint32_t in_flight)
{
	struct triple *t = calloc(1, sizeof *t);

	must(t);
	t->in_flight = in_flight;
	t->now_ns = MS;
	for (uint8_t n = 0; n < REPLICAS; n++) {
		struct paxos_config config = {.replica_count = REPLICAS,
					      .self = n,
					      .horizon = 64,
					      .reserve_slots = 16 * 64,
					      .takeover_ns = 150 * MS,
					      .retry_ns = 20 * MS,
					      .tail_trust_ns = 5000ull * MS};
		struct paxos_input in = {.kind = PAXOS_IN_START, .process = 1};
		in.nonce = n + 1u;
		in.tail = PAXOS_TAIL_CLEAN;
		t->replica[n] = paxos_init(aligned_alloc(64, (paxos_size(&config) + 63) / 64 * 64),
					   &config);
		give(t, n, &in);
	}
	for (uint32_t i = 0; !paxos_can_propose(t->replica[0]); i++) {
		must(i < 1000);
		round_of_all(t);
	}
	run(t, 4096);
	return t;
}

uint32_t
step_paxos_works(struct step_work *work)
{
	work[0] = (struct step_work){.what = "paxos, a slot at 3 replicas, 1 in flight",
				     .state = begin(1)};
	work[1] = (struct step_work){.what = "paxos, a slot at 3 replicas, 32 in flight",
				     .state = begin(32)};
	for (uint32_t i = 0; i < 2; i++) {
		work[i].run = run;
		work[i].emitted = emitted;
		work[i].note = note;
		work[i].units = 20000;
		work[i].counted = 32;
	}
	return 2;
}
