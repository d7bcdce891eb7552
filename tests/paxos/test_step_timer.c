/* One follower and its clock: when it takes a silent leader for dead. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "paxos/paxos.h"

#define MS          ((uint64_t)1000000)
#define TAKEOVER_NS (150 * MS)

struct follower {
	struct paxos_replica *replica;
	struct paxos_output out;
	uint64_t lsn;
	void *memory;
};

static bool
step(struct follower *f, struct paxos_input in)
{
	bool prepared = false;

	in.lsn_next = f->lsn;
	paxos_step(f->replica, &in, &f->out);
	for (uint32_t i = 0; i < f->out.count; i++) {
		const struct paxos_output_item *o = &f->out.item[i];

		if (o->kind == PAXOS_OUT_LOG)
			f->lsn = o->lsn;
		prepared |= o->kind == PAXOS_OUT_SEND && o->message.kind == PAXOS_PREPARE;
	}
	return prepared;
}

/* It has just heard that nothing is decided. */
static bool
hear(struct follower *f, uint64_t now_ns)
{
	return step(f, (struct paxos_input){.kind = PAXOS_IN_MESSAGE,
					    .now_ns = now_ns,
					    .message = {.kind = PAXOS_DECIDED,
							.from = 1,
							.value = {.handle = PAXOS_NO_VALUE}}});
}

static bool
tick(struct follower *f, uint64_t now_ns)
{
	return step(f, (struct paxos_input){.kind = PAXOS_IN_TICK, .now_ns = now_ns});
}

/* Voter 1 of 3, first in the row to take over from voter 0. */
static struct follower *
follower(uint64_t now_ns)
{
	struct paxos_config config = {.voter_count = 3,
				      .self = 1,
				      .horizon = 64,
				      .reserve_slots = 1024,
				      .takeover_ns = TAKEOVER_NS,
				      .retry_ns = 20 * MS,
				      .tail_trust_ns = 5000 * MS};
	struct follower *f = calloc(1, sizeof *f);
	size_t bytes = (paxos_size(&config) + 63) / 64 * 64;

	f->memory = aligned_alloc(64, bytes);
	memset(f->memory, 0, bytes);
	f->replica = paxos_init(f->memory, &config);
	step(f, (struct paxos_input){.kind = PAXOS_IN_START,
				     .now_ns = now_ns,
				     .process = 1,
				     .nonce = 1,
				     .tail = PAXOS_TAIL_CLEAN});
	step(f, (struct paxos_input){.kind = PAXOS_IN_DURABLE, .now_ns = now_ns, .lsn = f->lsn});
	cr_assert(!hear(f, now_ns));
	return f;
}

static void
follower_free(struct follower *f)
{
	free(f->memory);
	free(f);
}

Test(paxos_step_timer, a_silent_leader_is_taken_for_dead_when_the_time_is_up)
{
	struct follower *f = follower(10 * MS);

	cr_assert_eq(f->out.timer_ns, 10 * MS + TAKEOVER_NS);
	cr_assert(!tick(f, f->out.timer_ns - 1));
	cr_assert(tick(f, f->out.timer_ns + MS));
	follower_free(f);
}

/* Stopped for two seconds, and awake before it has read what the leader said. */
Test(paxos_step_timer, who_stood_still_listens_before_it_takes_over)
{
	struct follower *f = follower(10 * MS);

	cr_assert(!tick(f, 2000 * MS));
	cr_assert_geq(f->out.timer_ns, 2000 * MS + 4 * TAKEOVER_NS);
	cr_assert(!hear(f, 2100 * MS));
	cr_assert_eq(f->out.timer_ns, 2100 * MS + TAKEOVER_NS);
	cr_assert(tick(f, f->out.timer_ns));
	follower_free(f);
}

Test(paxos_step_timer, a_host_that_is_always_late_takes_over_all_the_same)
{
	struct follower *f = follower(10 * MS);

	cr_assert(!tick(f, f->out.timer_ns + TAKEOVER_NS));
	cr_assert(tick(f, f->out.timer_ns + TAKEOVER_NS));
	follower_free(f);
}
