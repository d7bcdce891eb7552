/* A leader that was away, and what it hears amid its prepare: one replica, and every message said
 * to it. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "paxos/paxos.h"

#define MS   ((uint64_t)1000000)
#define MARK 48 /* an earlier process may have used the lowest ballot below */

static const struct paxos_config config = {.replica_count = 3,
					   .horizon = 64,
					   .reserve_slots = 1024,
					   .takeover_ns = 150 * MS,
					   .retry_ns = 20 * MS,
					   .tail_trust_ns = 5000 * MS};
static const struct paxos_value nothing = {.handle = PAXOS_NO_VALUE};

static struct paxos_replica *replica;
static struct paxos_output out;
static uint64_t lsn;
static struct paxos_message prepare; /* its last one */

static void
step(struct paxos_input in)
{
	in.now_ns = 10 * MS;
	in.lsn_next = lsn;
	paxos_step(replica, &in, &out);
	for (uint32_t i = 0; i < out.count; i++) {
		const struct paxos_output_item *o = &out.item[i];

		if (o->kind == PAXOS_OUT_LOG)
			lsn = o->lsn;
		if (o->kind == PAXOS_OUT_SEND && o->message.kind == PAXOS_PREPARE)
			prepare = o->message;
	}
}

static void
record(struct paxos_message m)
{
	lsn += 100;
	m.value = nothing;
	step((struct paxos_input){.kind = PAXOS_IN_RECORD, .message = m, .lsn = lsn});
}

static void
hear(struct paxos_message m)
{
	step((struct paxos_input){.kind = PAXOS_IN_MESSAGE, .from = 1, .message = m});
}

/* Its second process, whose prepare is on disk. */
static void
setup(void)
{
	size_t bytes = (paxos_size(&config) + 63) / 64 * 64;
	void *memory = aligned_alloc(64, bytes);

	cr_assert(memory);
	memset(memory, 0, bytes);
	lsn = 0;
	replica = paxos_init(memory, &config);
	record((struct paxos_message){
		.kind = PAXOS_RECORD_START, .nonce = 1, .count = PAXOS_TAIL_CLEAN});
	record((struct paxos_message){.kind = PAXOS_RECORD_RESERVE, .to = MARK});
	step((struct paxos_input){
		.kind = PAXOS_IN_START, .process = 2, .nonce = 2, .tail = PAXOS_TAIL_CLEAN});
	step((struct paxos_input){.kind = PAXOS_IN_DURABLE, .lsn = lsn});
}

static void
finish(void)
{
	free(replica);
}

TestSuite(paxos_step_prepare, .init = setup, .fini = finish);

static void
promises(void)
{
	hear((struct paxos_message){.kind = PAXOS_PROMISE,
				    .ballot = prepare.ballot,
				    .from = prepare.from,
				    .value = nothing});
}

Test(paxos_step_prepare, behind_its_mark_it_leads_by_the_lowest_ballot)
{
	cr_assert_eq(prepare.from, 1);
	cr_assert_eq(prepare.to, MARK);
	promises();
	cr_assert(paxos_is_leader(replica));
}

/* It has promised to nobody, and was told of no ballot: all the same somebody led behind its mark,
 * where it would propose without asking. */
Test(paxos_step_prepare, a_value_behind_its_mark_ends_the_lowest_ballot)
{
	uint64_t ballot = prepare.ballot;

	hear((struct paxos_message){
		.kind = PAXOS_LEARNED, .slot = MARK + 12, .value = {.handle = 5, .bytes = 10}});
	cr_assert_eq(paxos_stats(replica)->beyond, 0);
	promises();
	cr_assert(!paxos_is_leader(replica));
	cr_assert_gt(prepare.ballot, ballot);
	cr_assert_eq(prepare.to, PAXOS_SLOT_END);
}
