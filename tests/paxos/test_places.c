/* Places where nobody stands: a replica has them all, and speaks to those that are there. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "paxos/paxos.h"

#define MS          ((uint64_t)1000000)
#define TAKEOVER_NS (150 * MS)

struct place {
	struct paxos_replica *replica;
	struct paxos_output out;
	uint64_t lsn;
	uint32_t sent_to;            /* a bit each, since it was cleared */
	struct paxos_message logged; /* the last CONFIGURATION */
	struct paxos_message last;
};

static void
step(struct place *p, struct paxos_input in)
{
	in.lsn_next = p->lsn;
	for (uint32_t round = 0; round < 16; round++) {
		p->out.count = 0;
		p->out.more = false;
		paxos_step(p->replica, &in, &p->out);
		for (uint32_t i = 0; i < p->out.count; i++) {
			const struct paxos_output_item *item = &p->out.item[i];

			if (item->kind == PAXOS_OUT_LOG)
				p->lsn = item->lsn;
			if (item->kind == PAXOS_OUT_LOG &&
			    item->message.kind == PAXOS_RECORD_CONFIGURATION)
				p->logged = item->message;
			if (item->kind == PAXOS_OUT_SEND) {
				p->sent_to |= 1u << item->to;
				p->last = item->message;
			}
		}
		if (!p->out.more)
			return;
		in = (struct paxos_input){
			.kind = PAXOS_IN_TICK, .now_ns = in.now_ns, .lsn_next = p->lsn};
	}
	cr_assert_fail("it has no end");
}

static struct place *
new_disk(uint8_t self, uint32_t there, bool joins, uint64_t votes_from)
{
	struct paxos_config config = {.replica_count = PAXOS_VOTERS_MAX,
				      .there = there,
				      .self = self,
				      .leader = (uint8_t)__builtin_ctz(there),
				      .joins = joins,
				      .votes_from = votes_from,
				      .horizon = 64,
				      .reserve_slots = 1024,
				      .takeover_ns = TAKEOVER_NS,
				      .retry_ns = 20 * MS,
				      .tail_trust_ns = 5000 * MS};
	struct place *p = calloc(1, sizeof *p);

	p->replica =
		paxos_init(aligned_alloc(64, (paxos_size(&config) + 63) & ~(size_t)63), &config);
	return p;
}

static struct place *
place(uint8_t self, uint32_t there, bool joins)
{
	return new_disk(self, there, joins, 0);
}

static void
start(struct place *p, enum paxos_tail tail)
{
	step(p,
	     (struct paxos_input){
		     .kind = PAXOS_IN_START, .now_ns = MS, .process = 1, .nonce = 1, .tail = tail});
	step(p, (struct paxos_input){.kind = PAXOS_IN_DURABLE, .now_ns = MS, .lsn = p->lsn});
}

static void
place_free(struct place *p)
{
	free(p->replica);
	free(p);
}

Test(paxos_places, nothing_goes_where_nobody_stands)
{
	struct place *p = place(1, 0x0b, false);

	start(p, PAXOS_TAIL_CLEAN);
	cr_assert_eq(paxos_voters(p->replica), 0x0b);
	step(p, (struct paxos_input){.kind = PAXOS_IN_TICK, .now_ns = MS + TAKEOVER_NS});
	step(p, (struct paxos_input){
			.kind = PAXOS_IN_DURABLE, .now_ns = MS + TAKEOVER_NS, .lsn = p->lsn});
	cr_assert_eq(p->sent_to, 0x09, "it prepares");
	place_free(p);
}

/* Each promise is a record, which a log without a majority is never rid of again. */
Test(paxos_places, who_hears_nobody_promises_once)
{
	struct place *p = place(1, 0x0b, false);
	uint64_t lsn = 0;

	start(p, PAXOS_TAIL_CLEAN);
	for (uint64_t i = 1; i < 1000; i++) {
		step(p, (struct paxos_input){.kind = PAXOS_IN_TICK, .now_ns = i * TAKEOVER_NS});
		step(p, (struct paxos_input){.kind = PAXOS_IN_DURABLE,
					     .now_ns = i * TAKEOVER_NS,
					     .lsn = p->lsn});
		lsn = i == 10 ? p->lsn : lsn;
	}
	cr_assert_eq(p->sent_to, 0x09);
	cr_assert_eq(p->last.kind, PAXOS_PREPARE);
	cr_assert_eq(p->lsn, lsn);
	place_free(p);
}

Test(paxos_places, who_comes_is_spoken_to)
{
	struct place *p = place(0, 0x03, false);

	start(p, PAXOS_TAIL_CLEAN);
	p->sent_to = 0;
	step(p, (struct paxos_input){.kind = PAXOS_IN_TICK, .now_ns = 100 * MS});
	cr_assert_eq(p->sent_to, 0x02, "it leads");
	step(p, (struct paxos_input){
			.kind = PAXOS_IN_LINK, .now_ns = 100 * MS, .from = 5, .up = true});
	cr_assert_eq(p->sent_to, 0x22, "how far this one is: it may have a link with no leader");
	p->sent_to = 0;
	step(p, (struct paxos_input){.kind = PAXOS_IN_TICK, .now_ns = 200 * MS});
	cr_assert_eq(p->sent_to, 0x22);
	place_free(p);
}

/* 3 is the first behind 0 that is there, so it waits once; 1 would be the third behind 3. */
Test(paxos_places, who_takes_over_next_is_counted_among_those_that_are_there)
{
	struct place *next = place(3, 0x49, false);
	struct place *last = place(6, 0x49, false);

	start(next, PAXOS_TAIL_CLEAN);
	start(last, PAXOS_TAIL_CLEAN);
	cr_assert_eq(next->out.timer_ns, MS + TAKEOVER_NS);
	cr_assert_eq(last->out.timer_ns, MS + 2 * TAKEOVER_NS);
	place_free(next);
	place_free(last);
}

/* Configuration 0 is that of others: were it taken for the own one, two that join would be
 * a majority of it. */
Test(paxos_places, who_joins_knows_no_voters_and_never_prepares)
{
	struct place *p = place(3, 0x09, true);

	start(p, PAXOS_TAIL_CLEAN);
	cr_assert_eq(paxos_voters(p->replica), 0);
	step(p, (struct paxos_input){.kind = PAXOS_IN_TICK, .now_ns = 100 * TAKEOVER_NS});
	cr_assert_eq(p->sent_to, 0x01);
	cr_assert_eq(p->last.kind, PAXOS_LEARN);
	cr_assert(!paxos_is_leader(p->replica));
	place_free(p);
}

/* Two that learn, and only one of them has a link with who leads. */
Test(paxos_places, who_hears_nobody_asks_and_who_is_ahead_answers)
{
	struct place *behind = place(3, 0x09, true), *ahead = place(0, 0x49, true);
	struct paxos_value empty = {.handle = PAXOS_NO_VALUE};

	start(behind, PAXOS_TAIL_CLEAN);
	cr_assert_eq(behind->out.timer_ns, MS + TAKEOVER_NS);
	step(behind, (struct paxos_input){.kind = PAXOS_IN_TICK, .now_ns = 2 * TAKEOVER_NS});
	cr_assert_eq(behind->sent_to, 0x01);
	cr_assert(behind->last.kind == PAXOS_LEARN && behind->last.from == 1);
	cr_assert_eq(behind->last.to, 1);

	start(ahead, PAXOS_TAIL_CLEAN);
	step(ahead, (struct paxos_input){.kind = PAXOS_IN_MESSAGE,
					 .now_ns = 2 * MS,
					 .from = 3,
					 .message = behind->last});
	cr_assert_eq(ahead->sent_to, 0, "it has no more itself");
	step(ahead,
	     (struct paxos_input){.kind = PAXOS_IN_MESSAGE,
				  .now_ns = 2 * MS,
				  .from = 6,
				  .message = {.kind = PAXOS_LEARNED, .slot = 1, .value = empty}});
	step(ahead,
	     (struct paxos_input){.kind = PAXOS_IN_DURABLE, .now_ns = 3 * MS, .lsn = ahead->lsn});
	cr_assert_eq(paxos_delivered(ahead->replica), 1);
	step(ahead, (struct paxos_input){.kind = PAXOS_IN_MESSAGE,
					 .now_ns = 3 * MS,
					 .from = 3,
					 .message = behind->last});
	cr_assert_eq(ahead->sent_to, 0x08);
	cr_assert(ahead->last.kind == PAXOS_LEARN && ahead->last.from == 2);
	place_free(behind);
	place_free(ahead);
}

/* Nobody to ask is not the same as all have answered. */
Test(paxos_places, who_joins_in_doubt_stays_so_until_it_knows_whom_to_ask)
{
	struct place *p = place(3, 0x09, true);

	start(p, PAXOS_TAIL_MISSING);
	step(p, (struct paxos_input){.kind = PAXOS_IN_TICK, .now_ns = 100 * TAKEOVER_NS});
	step(p, (struct paxos_input){
			.kind = PAXOS_IN_DURABLE, .now_ns = 100 * TAKEOVER_NS, .lsn = p->lsn});
	cr_assert(!paxos_is_voting(p->replica));
	place_free(p);
}

/* Whom its file names first leads nothing, and whom it asked had nothing to tell then: what is
 * decided later nobody would say, since it does not believe in who leads in ballot 0. */
Test(paxos_places, who_joins_in_doubt_goes_on_asking_how_far_the_others_are)
{
	struct place *p = place(3, 0x09, true);
	const struct paxos_message answer = {.kind = PAXOS_RECOVERED,
					     .nonce = 1,
					     .from = 1,
					     .value = {.handle = PAXOS_NO_VALUE}};

	start(p, PAXOS_TAIL_CUT);
	cr_assert_eq(p->last.kind, PAXOS_RECOVER);
	step(p,
	     (struct paxos_input){.kind = PAXOS_IN_MESSAGE, .now_ns = 2 * MS, .message = answer});
	p->sent_to = 0;
	step(p, (struct paxos_input){.kind = PAXOS_IN_TICK, .now_ns = 40 * MS});
	cr_assert_eq(p->sent_to, 0, "it has answered");
	step(p, (struct paxos_input){.kind = PAXOS_IN_TICK, .now_ns = 2 * TAKEOVER_NS});
	cr_assert_eq(p->sent_to, 0x01);
	cr_assert_eq(p->last.kind, PAXOS_LEARN);
	place_free(p);
}

static struct paxos_image
image_of_who_joined(void)
{
	struct place *p = place(3, 0x09, true);
	struct paxos_value empty = {.handle = PAXOS_NO_VALUE};
	struct paxos_image image;

	start(p, PAXOS_TAIL_CLEAN);
	step(p,
	     (struct paxos_input){.kind = PAXOS_IN_MESSAGE,
				  .now_ns = 2 * MS,
				  .message = {.kind = PAXOS_LEARNED, .slot = 1, .value = empty}});
	step(p, (struct paxos_input){.kind = PAXOS_IN_DURABLE, .now_ns = 3 * MS, .lsn = p->lsn});
	image = paxos_image(p->replica);
	cr_assert_eq(image.slot, 1);
	cr_assert_eq(image.now.voters, 0);
	place_free(p);
	return image;
}

/* It trims its own log behind such an image before the voters change for the first time. */
Test(paxos_places, an_image_of_who_joined_says_nothing_of_voters)
{
	struct paxos_image image = image_of_who_joined();
	struct place *joins = place(3, 0x09, true), *votes = place(0, 0x03, false);

	cr_assert(paxos_image_is_sound(joins->replica, &image));
	cr_assert(paxos_image_is_sound(votes->replica, &image));
	start(votes, PAXOS_TAIL_CLEAN);
	step(votes, (struct paxos_input){.kind = PAXOS_IN_IMAGE, .now_ns = MS, .image = &image});
	cr_assert_eq(paxos_delivered(votes->replica), 1);
	cr_assert_eq(paxos_voters(votes->replica), 0x03, "its own file says who votes");
	image.now.number = 1;
	cr_assert(!paxos_image_is_sound(votes->replica, &image), "somebody decided that");
	place_free(joins);
	place_free(votes);
}

#define CONFIGURATION(n) ((uint64_t)(n) << 40) /* in a ballot */

static void
take_image(struct place *p, const struct paxos_image *image)
{
	cr_assert(paxos_image_is_sound(p->replica, image));
	step(p, (struct paxos_input){.kind = PAXOS_IN_IMAGE, .now_ns = MS, .image = image});
	step(p, (struct paxos_input){.kind = PAXOS_IN_DURABLE, .now_ns = MS, .lsn = p->lsn});
	cr_assert_eq(paxos_delivered(p->replica), image->slot);
}

static void
accept(struct place *p, uint64_t now_ns, uint64_t slot, uint64_t ballot)
{
	struct paxos_message m = {.kind = PAXOS_ACCEPT,
				  .slot = slot,
				  .ballot = ballot,
				  .from = 1,
				  .value = {.handle = PAXOS_NO_VALUE}};

	p->sent_to = 0;
	p->last.kind = 0;
	step(p, (struct paxos_input){.kind = PAXOS_IN_MESSAGE,
				     .now_ns = now_ns,
				     .from = (uint8_t)(ballot & 3),
				     .message = m});
	step(p, (struct paxos_input){.kind = PAXOS_IN_DURABLE, .now_ns = now_ns, .lsn = p->lsn});
}

/* It led in ballot 0, and was away while another one was made leader. */
Test(paxos_places, who_takes_an_image_with_other_voters_leads_no_more)
{
	struct place *p = place(0, 0x0b, false);
	struct paxos_image image = {
		.slot = 20,
		.now = {.number = 1, .slot = 5, .first = 16, .voters = 0x0a, .horizon = 64}};

	image.now.leader = 1;
	start(p, PAXOS_TAIL_CLEAN);
	cr_assert(paxos_is_leader(p->replica));
	take_image(p, &image);
	cr_assert(!paxos_is_leader(p->replica));
	cr_assert_eq(paxos_voters(p->replica), 0x0a);
	cr_assert_eq(paxos_leader(p->replica), 1);
	place_free(p);
}

Test(paxos_places, who_takes_an_image_with_other_voters_hears_no_ballot_before)
{
	struct place *p = place(3, 0x0b, false);
	struct paxos_image image = {
		.slot = 20,
		.now = {.number = 1, .slot = 5, .first = 16, .voters = 0x0b, .horizon = 64}};

	image.now.leader = 1;
	start(p, PAXOS_TAIL_CLEAN);
	take_image(p, &image);
	accept(p, 2 * MS, 21, 0);
	cr_assert_neq(p->last.kind, PAXOS_ACCEPTED);
	accept(p, 3 * MS, 21, CONFIGURATION(1) | 1);
	cr_assert_eq(p->last.kind, PAXOS_ACCEPTED);
	cr_assert_eq(p->sent_to, 0x02);
	place_free(p);
}

/* Its first vote says that it has all below on its disk: those who leave wait for that. */
Test(paxos_places, who_takes_an_image_before_it_votes_has_all_below_first)
{
	struct place *p = place(3, 0x0b, false);
	struct paxos_image image = {
		.slot = 20,
		.now = {.number = 1, .slot = 5, .first = 16, .voters = 0x03, .horizon = 64},
		.next = {.number = 2, .slot = 19, .first = 22, .voters = 0x0b, .horizon = 64}};

	image.now.leader = image.next.leader = 1;
	start(p, PAXOS_TAIL_CLEAN);
	take_image(p, &image);
	accept(p, 2 * MS, 22, CONFIGURATION(2) | 1);
	cr_assert_neq(p->last.kind, PAXOS_ACCEPTED);
	struct paxos_message learned = {
		.kind = PAXOS_LEARNED, .slot = 21, .value = {.handle = PAXOS_NO_VALUE}};
	step(p, (struct paxos_input){
			.kind = PAXOS_IN_MESSAGE, .now_ns = 4 * MS, .from = 1, .message = learned});
	step(p, (struct paxos_input){.kind = PAXOS_IN_DURABLE, .now_ns = 5 * MS, .lsn = p->lsn});
	cr_assert_eq(paxos_delivered(p->replica), 21);
	accept(p, 6 * MS, 22, CONFIGURATION(2) | 1);
	cr_assert_eq(p->last.kind, PAXOS_ACCEPTED);
	place_free(p);
}

/* No prepare stands behind it. */
Test(paxos_places, the_lowest_ballot_is_whom_the_change_named)
{
	struct place *p = place(3, 0x0b, false);
	struct paxos_image image = {
		.slot = 20,
		.now = {.number = 1, .slot = 5, .first = 16, .voters = 0x0b, .horizon = 64}};

	image.now.leader = 1;
	start(p, PAXOS_TAIL_CLEAN);
	take_image(p, &image);
	accept(p, 2 * MS, 21, CONFIGURATION(1) | 2);
	cr_assert_eq(p->sent_to, 0);
	accept(p, 3 * MS, 21, CONFIGURATION(1) | 1);
	cr_assert_eq(p->last.kind, PAXOS_ACCEPTED);
	place_free(p);
}

/* Two lack what the third one has, and that one goes on: each of its words names it anew. Who asks
 * one further than that would ask the other empty one, for ever. */
Test(paxos_places, who_lacks_slots_asks_each_in_turn_though_one_goes_on)
{
	struct place *p = place(3, 0x0b, true);
	uint32_t asked = 0;

	start(p, PAXOS_TAIL_CLEAN);
	for (uint64_t i = 0; i < 5; i++) {
		p->sent_to = 0;
		p->last = (struct paxos_message){0};
		step(p, (struct paxos_input){
				.kind = PAXOS_IN_MESSAGE,
				.now_ns = (2 + 25 * i) * MS,
				.from = 0,
				.message = {.kind = PAXOS_LEARN, .from = 100 + i, .to = 100 + i}});
		if (i > 1 && p->last.kind == PAXOS_LEARN && p->last.to > p->last.from)
			asked |= p->sent_to;
	}
	cr_assert_eq(asked, 3);
	place_free(p);
}

/* A link that has room for small ones again and again, and never for the large one before them,
 * would keep it for ever. */
Test(paxos_places, who_lacks_one_slot_asks_once_more_for_that_alone)
{
	struct place *p = place(3, 0x0b, true);

	start(p, PAXOS_TAIL_CLEAN);
	step(p, (struct paxos_input){.kind = PAXOS_IN_MESSAGE,
				     .now_ns = 2 * MS,
				     .message = {.kind = PAXOS_LEARN, .from = 100, .to = 100}});
	cr_assert(p->last.kind == PAXOS_LEARN && p->last.from == 1 && p->last.to > 10);
	for (uint64_t slot = 3; slot <= 8; slot++)
		step(p, (struct paxos_input){.kind = PAXOS_IN_MESSAGE,
					     .now_ns = 3 * MS,
					     .message = {.kind = PAXOS_LEARNED,
							 .slot = slot,
							 .value = {.handle = PAXOS_NO_VALUE}}});
	p->last = (struct paxos_message){0};
	step(p, (struct paxos_input){.kind = PAXOS_IN_TICK, .now_ns = 30 * MS});
	cr_assert(p->last.kind == PAXOS_LEARN && p->last.from == 1 && p->last.to == 3);
	place_free(p);
}

/* What is read back comes in any order, and what lies beyond its window it cannot take: it would
 * ask again for that, a retry later, and the next one behind who has it. */
Test(paxos_places, who_lacks_slots_asks_for_no_more_than_its_window_takes)
{
	struct place *p = place(3, 0x0b, false);
	struct paxos_image image = {
		.slot = 20,
		.now = {.number = 1, .slot = 5, .first = 16, .voters = 0x0b, .horizon = 10}};

	start(p, PAXOS_TAIL_CLEAN);
	take_image(p, &image);
	step(p, (struct paxos_input){.kind = PAXOS_IN_MESSAGE,
				     .now_ns = 3 * MS,
				     .from = 1,
				     .message = {.kind = PAXOS_LEARN,
						 .from = 101,
						 .to = 101,
						 .value = {.handle = PAXOS_NO_VALUE}}});
	cr_assert(p->last.kind == PAXOS_LEARN && p->last.from == 21 && p->last.to == 31);
	place_free(p);
}

/* What it answers to this, from node 0. 0: nothing. */
static uint8_t
answer(struct place *p, uint64_t now_ns, struct paxos_message m)
{
	m.from = 1;
	m.value.handle = PAXOS_NO_VALUE;
	p->last.kind = 0;
	step(p, (struct paxos_input){.kind = PAXOS_IN_MESSAGE, .now_ns = now_ns, .message = m});
	step(p, (struct paxos_input){.kind = PAXOS_IN_DURABLE, .now_ns = now_ns, .lsn = p->lsn});
	return p->last.kind;
}

static struct paxos_message
prepare_of(uint64_t number)
{
	return (struct paxos_message){
		.kind = PAXOS_PREPARE, .ballot = CONFIGURATION(number) | 1 << 8, .to = UINT64_MAX};
}

/* Two such would be a majority of those who had voted on slot 1, and decide another value there. */
Test(paxos_places, a_new_disk_says_nothing_where_the_one_before_voted)
{
	struct place *p = new_disk(3, 0x0b, false, 2);
	struct paxos_message learned = {
		.kind = PAXOS_LEARNED, .slot = 1, .value = {.handle = PAXOS_NO_VALUE}};

	start(p, PAXOS_TAIL_CLEAN);
	accept(p, 2 * MS, 1, 0);
	cr_assert_neq(p->last.kind, PAXOS_ACCEPTED);
	cr_assert_eq(answer(p, 3 * MS, prepare_of(0)), 0);
	cr_assert_eq(answer(p, 4 * MS, (struct paxos_message){.kind = PAXOS_RECOVER, .nonce = 7}),
		     PAXOS_MUTE);
	step(p, (struct paxos_input){.kind = PAXOS_IN_TICK, .now_ns = 100 * TAKEOVER_NS});
	cr_assert_eq(p->last.kind, PAXOS_LEARN,
		     "it asks how far the others are, and leads nothing");
	step(p, (struct paxos_input){
			.kind = PAXOS_IN_MESSAGE, .now_ns = 101 * TAKEOVER_NS, .message = learned});
	cr_assert_eq(paxos_delivered(p->replica), 1);
	place_free(p);
}

/* Nor alone, in the turns that it had, or as the only voter. */
Test(paxos_places, a_new_disk_leads_nothing_that_the_one_before_led)
{
	struct place *first = new_disk(0, 0x0b, false, 2), *alone = new_disk(0, 0x01, false, 2);
	struct place *turns = new_disk(3, 0x0b, false, 2);
	struct paxos_image image = {.slot = 20,
				    .now = {.number = 1,
					    .slot = 5,
					    .first = 16,
					    .voters = 0x0b,
					    .horizon = 64,
					    .all_lead = true}};

	start(first, PAXOS_TAIL_CLEAN);
	start(alone, PAXOS_TAIL_CLEAN);
	start(turns, PAXOS_TAIL_CLEAN);
	take_image(turns, &image);
	cr_assert(!paxos_is_leader(first->replica));
	cr_assert(!paxos_is_leader(alone->replica));
	cr_assert(!paxos_is_leader(turns->replica));
	place_free(first);
	place_free(alone);
	place_free(turns);
}

/* Of groups that copy another one's voters: it is named by both, and was dropped between them. */
static const struct paxos_image added = {
	.slot = 20,
	.now = {.number = 1, .slot = 5, .first = 16, .voters = 0x0b, .horizon = 64},
	.next = {.number = 2, .slot = 19, .first = 22, .voters = 0x0b, .horizon = 64}};

static void
expect_a_voter_from_22(struct place *p)
{
	struct paxos_message learned = {
		.kind = PAXOS_LEARNED, .slot = 21, .value = {.handle = PAXOS_NO_VALUE}};

	accept(p, 2 * MS, 22, CONFIGURATION(2));
	cr_assert_neq(p->last.kind, PAXOS_ACCEPTED);
	cr_assert_eq(answer(p, 3 * MS, prepare_of(2)), 0, "slot 21 is of those before");
	step(p,
	     (struct paxos_input){.kind = PAXOS_IN_MESSAGE, .now_ns = 4 * MS, .message = learned});
	cr_assert_eq(paxos_delivered(p->replica), 21);
	accept(p, 5 * MS, 22, CONFIGURATION(2));
	cr_assert_eq(p->last.kind, PAXOS_ACCEPTED);
	cr_assert_neq(answer(p, 6 * MS, prepare_of(2)), 0);
}

Test(paxos_places, a_new_disk_votes_where_it_was_added)
{
	struct place *p = new_disk(3, 0x0b, false, 2);

	start(p, PAXOS_TAIL_CLEAN);
	take_image(p, &added);
	expect_a_voter_from_22(p);
	place_free(p);
}

Test(paxos_places, a_new_disk_votes_where_its_caller_says_when_it_knows)
{
	struct place *p = new_disk(3, 0x0b, false, UINT64_MAX);

	start(p, PAXOS_TAIL_CLEAN);
	take_image(p, &added);
	paxos_vote_from(p->replica, 2);
	expect_a_voter_from_22(p);
	step(p, (struct paxos_input){.kind = PAXOS_IN_REMEMBER, .now_ns = 6 * MS});
	cr_assert_eq(p->logged.accepted, 2, "a restart knows it");
	paxos_vote_from(p->replica, 3);
	struct paxos_message again = prepare_of(2);
	again.ballot += 1 << 8;
	cr_assert_neq(answer(p, 7 * MS, again), 0, "once a voter, always one");
	place_free(p);
}

/* What a log begins with that was trimmed: the configuration that is in force is the first. */
Test(paxos_places, a_new_disk_knows_after_a_restart_where_it_votes)
{
	struct place *p = new_disk(3, 0x0b, false, UINT64_MAX);
	struct paxos_message now = {.kind = PAXOS_RECORD_CONFIGURATION,
				    .nonce = 2,
				    .slot = 19,
				    .from = 22,
				    .accepted = 2,
				    .count = PAXOS_CHANGE_IS | 64 << 16 | 0x0b,
				    .value = {.handle = PAXOS_NO_VALUE}};
	struct paxos_message delivered = {.kind = PAXOS_RECORD_DELIVERED, .delivered = 30};

	p->lsn = 200;
	step(p, (struct paxos_input){.kind = PAXOS_IN_RECORD, .lsn = 100, .message = delivered});
	step(p, (struct paxos_input){.kind = PAXOS_IN_RECORD, .lsn = 200, .message = now});
	start(p, PAXOS_TAIL_CLEAN);
	accept(p, 2 * MS, 31, CONFIGURATION(2));
	cr_assert_eq(p->last.kind, PAXOS_ACCEPTED);
	place_free(p);
}

/* It had the change to its own vote on disk, and was yet to deliver it, when what it wrote anew
 * behind an image said that it knew of none. A replay delivers the change first. */
Test(paxos_places, a_new_disk_is_not_mute_again_by_what_it_wrote_before_it_knew)
{
	struct place *p = new_disk(3, 0x0b, false, UINT64_MAX);
	struct paxos_message record = {.kind = PAXOS_RECORD_CONFIGURATION,
				       .nonce = 2,
				       .slot = 19,
				       .from = 22,
				       .accepted = UINT64_MAX,
				       .count = PAXOS_CHANGE_IS | 64 << 16 | 0x0b,
				       .value = {.handle = PAXOS_NO_VALUE}};
	struct paxos_message delivered = {.kind = PAXOS_RECORD_DELIVERED, .delivered = 30};

	p->lsn = 300;
	step(p, (struct paxos_input){.kind = PAXOS_IN_RECORD, .lsn = 100, .message = delivered});
	step(p, (struct paxos_input){.kind = PAXOS_IN_RECORD, .lsn = 200, .message = record});
	paxos_vote_from(p->replica, 2);
	record.nonce = 1;
	record.slot = 5;
	record.from = 16;
	step(p, (struct paxos_input){.kind = PAXOS_IN_RECORD, .lsn = 300, .message = record});
	start(p, PAXOS_TAIL_CLEAN);
	accept(p, 2 * MS, 31, CONFIGURATION(2));
	cr_assert_eq(p->last.kind, PAXOS_ACCEPTED);
	place_free(p);
}

static void
hear(struct place *p, uint8_t from, struct paxos_message m)
{
	m.value.handle = PAXOS_NO_VALUE;
	step(p, (struct paxos_input){
			.kind = PAXOS_IN_MESSAGE, .now_ns = 2 * MS, .from = from, .message = m});
	step(p, (struct paxos_input){.kind = PAXOS_IN_DURABLE, .now_ns = 2 * MS, .lsn = p->lsn});
}

/* 1 answers the question: it has accepted, in slot 25, what makes 3 a voter. */
static void
hear_of_a_change(struct place *p, uint64_t nonce)
{
	uint64_t slot = 25;
	uint32_t change = paxos_change(PAXOS_VOTERS_MAX, 0x0b, 64, PAXOS_ALL_LEAD);

	hear(p, 1,
	     (struct paxos_message){.kind = PAXOS_REPORT,
				    .nonce = nonce,
				    .slot = slot,
				    .accepted = CONFIGURATION(1) | 1,
				    .value.change = change});
	hear(p, 1,
	     (struct paxos_message){.kind = PAXOS_RECOVERED,
				    .nonce = nonce,
				    .from = 21,
				    .delivered = 20,
				    .count = 1,
				    .accepted = hash_fold(0, slot)});
}

/* 0 has forgotten something. These vote, and all of them lead. */
static struct place *
in_doubt(uint32_t voters)
{
	struct place *p = place(0, 0x0b, false);
	struct paxos_image image = {.slot = 20,
				    .now = {.number = 1,
					    .slot = 5,
					    .first = 16,
					    .voters = voters,
					    .horizon = 64,
					    .all_lead = true}};

	start(p, PAXOS_TAIL_ROTTEN);
	take_image(p, &image);
	return p;
}

/* The change waits for 0's vote, and 3 is mute until it is decided: were 0 to wait for more than
 * that, none of them would go on. */
Test(paxos_places, who_forgot_is_content_with_a_new_voter_that_is_mute)
{
	struct place *p = in_doubt(0x03);
	struct paxos_message mute = {.kind = PAXOS_MUTE, .nonce = 1, .delivered = 20};

	hear_of_a_change(p, 1);
	hear_of_a_change(p, 2);
	cr_assert(!paxos_is_voting(p->replica), "3 has not answered");
	mute.delivered = 21;
	hear(p, 3, mute);
	hear_of_a_change(p, 2);
	cr_assert(!paxos_is_voting(p->replica), "3 knows more of who votes");
	mute.delivered = 20;
	hear(p, 3, mute);
	mute.nonce = 2;
	hear(p, 3, mute);
	cr_assert(!paxos_is_voting(p->replica), "1 has answered once");
	hear_of_a_change(p, 2);
	cr_assert(paxos_is_voting(p->replica));
	place_free(p);
}

/* The disk before it may have voted, and with 0. */
Test(paxos_places, who_forgot_is_not_content_with_a_voter_that_is_mute)
{
	struct place *p = in_doubt(0x0b);

	for (uint64_t nonce = 1; nonce <= 2; nonce++) {
		hear_of_a_change(p, nonce);
		hear(p, 3,
		     (struct paxos_message){.kind = PAXOS_MUTE, .nonce = nonce, .delivered = 20});
	}
	cr_assert(!paxos_is_voting(p->replica));
	place_free(p);
}

static void
learn(struct place *p, uint64_t slot, uint32_t change)
{
	step(p, (struct paxos_input){
			.kind = PAXOS_IN_MESSAGE,
			.now_ns = 2 * MS,
			.message = {.kind = PAXOS_LEARNED,
				    .slot = slot,
				    .value = {.handle = PAXOS_NO_VALUE, .change = change}}});
	step(p, (struct paxos_input){.kind = PAXOS_IN_DURABLE, .now_ns = 2 * MS, .lsn = p->lsn});
	cr_assert_eq(paxos_delivered(p->replica), slot);
}

/* Seed 12046 of the storms: who proposes in the last slot before a change is in force need not have
 * delivered that, and takes for granted what it replaced. From the next slot on it has. */
Test(paxos_places, a_change_in_the_last_slot_before_another_is_in_force_is_void)
{
	struct place *p = place(2, 0x0f, false);
	uint64_t first = 1 + paxos_configuration(p->replica)->horizon;

	start(p, PAXOS_TAIL_CLEAN);
	learn(p, 1, paxos_change(PAXOS_VOTERS_MAX, 0x0d, 64, PAXOS_ONE_LEADS));
	for (uint64_t slot = 2; slot < first - 1; slot++)
		learn(p, slot, 0);
	learn(p, first - 1, paxos_change(PAXOS_VOTERS_MAX, 0x0f, 64, PAXOS_ALL_LEAD));
	cr_assert_eq(paxos_configuration(p->replica)->voters, 0x0d);
	cr_assert_eq(paxos_voters(p->replica), 0x0d, "it is in force");
	cr_assert_eq(paxos_stats(p->replica)->changes_void, 1);
	learn(p, first, paxos_change(PAXOS_VOTERS_MAX, 0x07, 64, PAXOS_ONE_LEADS));
	cr_assert_eq(paxos_configuration(p->replica)->voters, 0x07);
	place_free(p);
}
