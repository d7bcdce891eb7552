/* One follower and its clock: when it takes a silent leader for dead. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "paxos/paxos.h"

#define MS          ((uint64_t)1000000)
#define TAKEOVER_NS (150 * MS)

struct follower {
	struct paxos_replica *replica;
	struct paxos_output out;
	uint64_t lsn;
	uint64_t ballot; /* of its last prepare */
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
		if (o->kind != PAXOS_OUT_SEND || o->message.kind != PAXOS_PREPARE)
			continue;
		f->ballot = o->message.ballot;
		prepared = true;
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

static bool
durable(struct follower *f, uint64_t now_ns)
{
	return step(
		f, (struct paxos_input){.kind = PAXOS_IN_DURABLE, .now_ns = now_ns, .lsn = f->lsn});
}

static void
record(struct follower *f, struct paxos_message message)
{
	message.value.handle = PAXOS_NO_VALUE;
	step(f,
	     (struct paxos_input){.kind = PAXOS_IN_RECORD, .message = message, .lsn = f->lsn + 8});
	f->lsn += 8;
}

struct begin {
	uint64_t takeover_min_ns;
	uint64_t reserved; /* an earlier process had reserved the slots below */
	enum paxos_tail tail;
};

/* Of 3, at its start. */
static struct follower *
begun(uint8_t self, uint64_t now_ns, struct begin how)
{
	struct paxos_config config = {.replica_count = 3,
				      .self = self,
				      .horizon = 64,
				      .reserve_slots = 1024,
				      .takeover_ns = TAKEOVER_NS,
				      .takeover_min_ns = how.takeover_min_ns,
				      .retry_ns = 20 * MS,
				      .tail_trust_ns = 5000 * MS};
	struct follower *f = calloc(1, sizeof *f);
	size_t bytes = (paxos_size(&config) + 63) / 64 * 64;

	f->memory = aligned_alloc(64, bytes);
	memset(f->memory, 0, bytes);
	f->replica = paxos_init(f->memory, &config);
	if (how.reserved > 0) {
		record(f, (struct paxos_message){.kind = PAXOS_RECORD_START,
						 .nonce = 9,
						 .count = PAXOS_TAIL_CLEAN});
		record(f, (struct paxos_message){.kind = PAXOS_RECORD_RESERVE, .to = how.reserved});
	}
	step(f, (struct paxos_input){.kind = PAXOS_IN_START,
				     .now_ns = now_ns,
				     .process = 1,
				     .nonce = 1,
				     .tail = how.tail});
	durable(f, now_ns);
	return f;
}

static struct follower *
voter_cut(uint8_t self, uint64_t now_ns)
{
	return begun(self, now_ns, (struct begin){.tail = PAXOS_TAIL_CUT});
}

static struct follower *
voter_with(uint8_t self, uint64_t now_ns, uint64_t takeover_min_ns, uint64_t reserved)
{
	return begun(self, now_ns,
		     (struct begin){.takeover_min_ns = takeover_min_ns,
				    .reserved = reserved,
				    .tail = PAXOS_TAIL_CLEAN});
}

static struct follower *
voter_of(uint8_t self, uint64_t now_ns, uint64_t takeover_min_ns)
{
	return voter_with(self, now_ns, takeover_min_ns, 0);
}

static struct follower *
voter(uint8_t self, uint64_t now_ns)
{
	return voter_of(self, now_ns, 0);
}

/* Voter 1, first in the row to take over from voter 0. */
static struct follower *
follower(uint64_t now_ns)
{
	struct follower *f = voter(1, now_ns);

	cr_assert(!hear(f, now_ns));
	return f;
}

static void
follower_free(struct follower *f)
{
	free(f->memory);
	free(f);
}

/* Seed 8053338 of the simulator: the configured leader began again and prepared what it had
 * reserved, and others had led meanwhile. It learned from one of them up to beyond that, before a
 * quorum had answered, and then tried the same range again. */
Test(paxos_step_timer, who_has_learned_what_it_prepares_prepares_all_that_follows)
{
	struct follower *f = voter_with(0, 10 * MS, 0, 3);

	for (uint64_t slot = 1; slot <= 4; slot++)
		step(f, (struct paxos_input){.kind = PAXOS_IN_MESSAGE,
					     .now_ns = 11 * MS,
					     .from = 1,
					     .message = {.kind = PAXOS_LEARNED,
							 .slot = slot,
							 .value = {.handle = PAXOS_NO_VALUE}}});
	cr_assert_eq(paxos_delivered(f->replica), 4);
	cr_assert(tick(f, 10 * MS + 2 * TAKEOVER_NS));
	cr_assert_eq(paxos_promised(f->replica, 5), f->ballot);
	follower_free(f);
}

static uint32_t
sent(const struct follower *f, uint8_t kind)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < f->out.count; i++)
		count += f->out.item[i].kind == PAXOS_OUT_SEND &&
			 f->out.item[i].message.kind == kind;
	return count;
}

static void
hears(struct follower *f, uint8_t from, struct paxos_message message)
{
	if (message.value.bytes == 0)
		message.value.handle = PAXOS_NO_VALUE;
	step(f, (struct paxos_input){.kind = PAXOS_IN_MESSAGE,
				     .now_ns = 20 * MS,
				     .from = from,
				     .message = message});
}

/* Seed 8076054 of the simulator: two values in one slot. Voter 0 had promised ballot 4 to voter 1,
 * and lost its memory; voter 2 led in ballot 3 and had heard of none of it. */
Test(paxos_step_timer, what_recovery_adopts_below_a_promise_is_no_vote)
{
	struct follower *f = voter_cut(0, 10 * MS);
	struct paxos_message answer = {
		.kind = PAXOS_RECOVERED, .nonce = 1, .from = 1, .to = 1, .ballot = 0x401};
	struct paxos_message report = {.kind = PAXOS_REPORT,
				       .nonce = 1,
				       .slot = 1,
				       .accepted = 0x302,
				       .value = {.bytes = 8}};
	struct paxos_message again = {
		.kind = PAXOS_ACCEPT, .ballot = 0x302, .slot = 1, .value = {.bytes = 8}};

	for (; answer.nonce <= 2; answer.nonce++) {
		answer.ballot = 0x401;
		answer.count = 0;
		answer.accepted = 0;
		hears(f, 1, answer);
		answer.ballot = 0x302;
		answer.count = 1;
		answer.accepted = hash_fold(0, 1);
		report.nonce = answer.nonce;
		cr_assert(!paxos_is_voting(f->replica));
		hears(f, 2, answer);
		hears(f, 2, report);
	}
	durable(f, 20 * MS);
	cr_assert(paxos_is_voting(f->replica));
	cr_assert_eq(paxos_promised(f->replica, 1), 0x401);
	hears(f, 2, again);
	cr_assert_eq(sent(f, PAXOS_ACCEPTED), 0);
	cr_assert_eq(sent(f, PAXOS_REFUSE), 1);
	follower_free(f);
}

/* Seed 8077797 of the simulator: two that begin empty, and a leader that decides something all the
 * time. What they lacked it could give as an image only, to who asks more than once. */
Test(paxos_step_timer, who_is_behind_a_busy_leader_asks_it_again)
{
	struct follower *f = follower(10 * MS);
	uint32_t asked = 0;

	for (uint64_t i = 1; i <= 100; i++) {
		step(f, (struct paxos_input){.kind = PAXOS_IN_MESSAGE,
					     .now_ns = (10 + 5 * i) * MS,
					     .message = {.kind = PAXOS_DECIDED,
							 .from = 500,
							 .delivered = 100 + i,
							 .value = {.handle = PAXOS_NO_VALUE}}});
		for (uint32_t k = 0; k < f->out.count; k++)
			asked += f->out.item[k].kind == PAXOS_OUT_SEND &&
				 f->out.item[k].message.kind == PAXOS_LEARN &&
				 f->out.item[k].to == 0;
	}
	cr_assert_gt(asked, 5);
	follower_free(f);
}

Test(paxos_step_timer, a_silent_leader_is_taken_for_dead_when_the_time_is_up)
{
	struct follower *f = follower(10 * MS);

	cr_assert_eq(f->out.timer_ns, 10 * MS + TAKEOVER_NS);
	cr_assert(!tick(f, f->out.timer_ns - 1));
	cr_assert(tick(f, f->out.timer_ns + MS));
	follower_free(f);
}

/* On a quiet host a leader that was heard regularly is missed early, behind twice the longest
 * silence that it came back from. */
Test(paxos_step_timer, a_leader_heard_regularly_is_missed_early)
{
	struct follower *f = voter_of(1, 10 * MS, 25 * MS);

	cr_assert_eq(f->out.timer_ns, 10 * MS + TAKEOVER_NS, "nothing was heard yet");
	for (uint64_t now_ns = 10 * MS; now_ns <= 90 * MS; now_ns += 8 * MS)
		cr_assert(!hear(f, now_ns));
	cr_assert_eq(f->out.timer_ns, 90 * MS + 25 * MS);
	cr_assert(!hear(f, 110 * MS));
	cr_assert_eq(f->out.timer_ns, 110 * MS + 2 * 20 * MS);
	cr_assert(tick(f, f->out.timer_ns));
	follower_free(f);
}

/* It was not dead: who speaks on in the ballot that it was deposed in shows how long its host
 * lets it wait, and the next leader is given as long. */
Test(paxos_step_timer, who_was_deposed_for_nothing_teaches_patience)
{
	struct follower *f = voter_of(1, 10 * MS, 25 * MS);

	cr_assert(!hear(f, 10 * MS));
	cr_assert(!hear(f, 18 * MS));
	cr_assert(tick(f, 18 * MS + 25 * MS));
	cr_assert(!hear(f, 58 * MS));
	struct paxos_input higher = {.kind = PAXOS_IN_MESSAGE,
				     .now_ns = 60 * MS,
				     .message = {.kind = PAXOS_DECIDED,
						 .from = 0,
						 .ballot = f->ballot + 256 - 1,
						 .value = {.handle = PAXOS_NO_VALUE}}};
	higher.from = 0;
	cr_assert(!step(f, higher));
	cr_assert_eq(f->out.timer_ns, 60 * MS + 2 * 40 * MS);
	follower_free(f);
}

/* Its promise waits for its disk, and longer than a heartbeat. */
Test(paxos_step_timer, who_prepares_is_given_the_whole_time)
{
	struct follower *f = voter_of(1, 10 * MS, 25 * MS);

	cr_assert(!hear(f, 10 * MS));
	cr_assert(!hear(f, 18 * MS));
	cr_assert(!step(f, (struct paxos_input){.kind = PAXOS_IN_MESSAGE,
						.now_ns = 20 * MS,
						.message = {.kind = PAXOS_PREPARE,
							    .ballot = 1 << 8,
							    .from = 1,
							    .to = PAXOS_SLOT_END,
							    .value = {.handle = PAXOS_NO_VALUE}}}));
	cr_assert_eq(f->out.timer_ns, 20 * MS + TAKEOVER_NS);
	follower_free(f);
}

/* Stopped for two seconds, and awake before it has read what the leader said. What was in its
 * queue does not end this: its sessions were closed, and open again when they do. */
Test(paxos_step_timer, who_stood_still_listens_before_it_takes_over)
{
	struct follower *f = follower(10 * MS);

	cr_assert(!tick(f, 2000 * MS));
	cr_assert_geq(f->out.timer_ns, 2000 * MS + 4 * TAKEOVER_NS);
	cr_assert(!hear(f, 2100 * MS));
	cr_assert_eq(f->out.timer_ns, 2000 * MS + 5 * TAKEOVER_NS);
	cr_assert(!hear(f, 2700 * MS));
	cr_assert_eq(f->out.timer_ns, 2700 * MS + TAKEOVER_NS);
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

/* Its disk is full: heartbeats alone would keep the lead for ever. */
Test(paxos_step_timer, a_leader_whose_log_hangs_gives_up_the_lead)
{
	struct follower *f = voter(0, 10 * MS);
	uint64_t hung_ns = 20 * MS;
	uint64_t end_ns = hung_ns + 4 * TAKEOVER_NS;

	cr_assert(paxos_can_propose(f->replica));
	step(f, (struct paxos_input){.kind = PAXOS_IN_PROPOSE,
				     .now_ns = hung_ns,
				     .value = {.handle = 1, .bytes = 1}});
	for (uint64_t now_ns = hung_ns; now_ns < end_ns; now_ns += 10 * MS) {
		tick(f, now_ns);
		cr_assert(paxos_is_leader(f->replica));
	}
	for (uint64_t i = 0; i < 100; i++) {
		cr_assert(!tick(f, end_ns + i * 10 * MS), "nor does it ask for the lead");
		cr_assert(!paxos_is_leader(f->replica));
	}
	cr_assert_gt(f->out.timer_ns, end_ns + 1000 * MS, "and it does not spin");
	cr_assert(!durable(f, end_ns + 1000 * MS), "with room again, it listens first");
	cr_assert_eq(f->out.timer_ns, end_ns + 1000 * MS + 5 * TAKEOVER_NS);
	cr_assert(tick(f, f->out.timer_ns));
	follower_free(f);
}

/* However slow, it moves. */
Test(paxos_step_timer, a_leader_whose_log_is_slow_leads_on)
{
	struct follower *f = voter(0, 10 * MS);

	for (uint64_t i = 1; i < 20; i++) {
		uint64_t now_ns = i * 3 * TAKEOVER_NS;

		step(f, (struct paxos_input){.kind = PAXOS_IN_PROPOSE,
					     .now_ns = now_ns,
					     .value = {.handle = (uint32_t)i, .bytes = 1}});
		step(f, (struct paxos_input){.kind = PAXOS_IN_DURABLE,
					     .now_ns = now_ns + 2 * TAKEOVER_NS,
					     .lsn = f->lsn - 1});
		cr_assert(paxos_is_leader(f->replica));
	}
	follower_free(f);
}

/* Leads by the promise of voter 2, which voter 1 gets next; they do not hear each other. */
Test(paxos_step_timer, two_that_do_not_hear_each_other_duel_ever_more_slowly)
{
	struct follower *f = voter(0, 10 * MS);
	uint64_t now_ns = 20 * MS;

	for (uint64_t i = 0; i < 8; i++) {
		uint64_t higher = (2 * i + 1) << 8 | 1;

		cr_assert(paxos_is_leader(f->replica));
		step(f, (struct paxos_input){.kind = PAXOS_IN_MESSAGE,
					     .now_ns = now_ns,
					     .from = 2,
					     .message = {.kind = PAXOS_REFUSE,
							 .ballot = f->ballot,
							 .accepted = higher,
							 .value = {.handle = PAXOS_NO_VALUE}}});
		cr_assert(!paxos_is_leader(f->replica));
		cr_assert_eq(f->out.timer_ns, now_ns + (2 * TAKEOVER_NS << (i < 5 ? i + 1 : 5)));
		now_ns = f->out.timer_ns;
		cr_assert(tick(f, now_ns));
		durable(f, now_ns);
		step(f, (struct paxos_input){.kind = PAXOS_IN_MESSAGE,
					     .now_ns = now_ns,
					     .from = 2,
					     .message = {.kind = PAXOS_PROMISE,
							 .ballot = f->ballot,
							 .from = 1,
							 .to = PAXOS_SLOT_END,
							 .value = {.handle = PAXOS_NO_VALUE}}});
	}
	follower_free(f);
}
