/* The rules of group.c and group_submit.c, each by the schedule that needs it. */
#include "tests/certify/group_script.h"

Test(certify_group, nothing_happens_before_the_group_exists)
{
	struct script s = script_begin(&script_config);
	cr_assert_eq(submit(&s, 1, 1, 5)->kind, GROUP_NOTHING);
	const struct group_effect *f = join(&s, 1, 0, 1);
	cr_assert_eq(f->change, GROUP_JOIN_VOID);
	cr_assert_eq(f->reason, GROUP_JOIN_NO_GROUP);
	struct group_config more = script_config;
	more.inflight_max++;
	cr_assert_eq(create(&s, &more)->kind, GROUP_NOTHING, "more than the memory is for");
	cr_assert_eq(create(&s, &script_config)->kind, GROUP_CREATED);
	cr_assert_eq(create(&s, &script_config)->kind, GROUP_NOTHING, "the first one counts");
	script_end(&s);
}

Test(certify_group, first_in_the_order_wins)
{
	struct script s = script_created();
	join(&s, 1, 0, 1); /* 2 */
	join(&s, 2, 0, 1); /* 3 */
	s.mark = 3;
	const struct group_effect *f = submit(&s, 2, 1, 70); /* 4 */
	cr_assert_eq(f->verdict, GROUP_ACCEPTED);
	cr_assert_eq(f->outcome.gtid.gno, 1);
	cr_assert_eq(f->outcome.dependency, 0);
	f = submit(&s, 3, 1, 70); /* 5 */
	cr_assert_eq(f->verdict, GROUP_REFUSED);
	cr_assert_eq(f->outcome.winner, 4);
	cr_assert_eq(f->outcome.winner_hash, 70);
	s.mark = 4;
	f = submit(&s, 3, 2, 70); /* 6 */
	cr_assert_eq(f->verdict, GROUP_ACCEPTED);
	cr_assert_eq(f->outcome.dependency, 4);
	cr_assert_eq(f->outcome.gtid.gno, 2, "a refused one uses no number");
	script_end(&s);
}

Test(certify_group, a_hot_row_of_one_server_is_never_refused)
{
	/* Own commits are seen before older remote ones are: 4 is not, 5 and 6 are. */
	struct script s = script_created();
	join(&s, 1, 0, 1);
	join(&s, 2, 0, 1);
	s.mark = 3;
	cr_assert_eq(submit(&s, 3, 1, 1)->verdict, GROUP_ACCEPTED);
	cr_assert_eq(submit(&s, 2, 1, 70)->verdict, GROUP_ACCEPTED);
	s.seen[0] = 5;
	cr_assert_eq(submit(&s, 2, 2, 70)->verdict, GROUP_ACCEPTED);
	s.seen[1] = 6;
	cr_assert_eq(submit(&s, 2, 3, 70)->verdict, GROUP_ACCEPTED);
	s.seen[1] = 0;
	cr_assert_eq(submit(&s, 2, 4, 70)->verdict, GROUP_REFUSED, "7 was not seen");
	script_end(&s);
}

/* Two children of one parent row on one server: both hold it, and neither has seen the
 * other. The row of another server's child is a conflict still. */
Test(certify_group, what_its_own_server_has_let_pass_is_no_conflict)
{
	struct script s = script_created();
	join(&s, 1, 0, 1);
	join(&s, 2, 0, 1);
	s.mark = 3;
	cr_assert_eq(submit(&s, 2, 1, 70)->verdict, GROUP_ACCEPTED); /* 4 */
	cr_assert_eq(submit(&s, 2, 2, 70)->verdict, GROUP_REFUSED, "nobody vouches for 4");
	s.flags = SUBMIT_TRUSTS_OWN;
	const struct group_effect *f = submit(&s, 2, 3, 70); /* 6 */
	cr_assert_eq(f->verdict, GROUP_ACCEPTED);
	cr_assert_eq(f->outcome.dependency, 4, "others apply them one after the other");
	f = submit(&s, 3, 1, 70);
	cr_assert_eq(f->verdict, GROUP_REFUSED, "6 is of another server");
	cr_assert_eq(f->outcome.winner, 6);
	script_end(&s);
}

Test(certify_group, it_vouches_for_so_many_and_no_more)
{
	for (uint64_t more = 0; more <= 1; more++) {
		struct group_config config = script_config;
		config.inflight_max = 2 * GROUP_OWN_MAX;
		struct script s = script_begin(&config);
		create(&s, &config);
		join(&s, 1, 0, 1); /* 2 */
		s.mark = 2;
		s.flags = SUBMIT_TRUSTS_OWN;
		cr_assert_eq(submit(&s, 2, 1, 70)->verdict, GROUP_ACCEPTED);
		cr_assert_eq(submit(&s, 2, 1 + GROUP_OWN_MAX + more, 70)->verdict,
			     more ? GROUP_REFUSED : GROUP_ACCEPTED);
		script_end(&s);
	}
}

/* Sequence 1 is on its way and holds a row. A remote transaction takes the row from it,
 * sequence 2 writes the row behind that one, has seen it, and overtakes sequence 1: this
 * one has lost its locks, and must not be accepted because an own one was last. */
Test(certify_group, an_own_one_with_a_higher_sequence_hides_nothing)
{
	struct script s = script_created();
	join(&s, 1, 0, 1);
	join(&s, 2, 0, 1);
	s.mark = 3;
	s.flags = SUBMIT_TRUSTS_OWN;
	cr_assert_eq(submit(&s, 3, 1, 70)->verdict, GROUP_ACCEPTED); /* 4 */
	s.mark = 4;
	cr_assert_eq(submit(&s, 2, 2, 70)->verdict, GROUP_ACCEPTED); /* 5 */
	s.mark = 3;
	cr_assert_eq(submit(&s, 2, 1, 70)->verdict, GROUP_REFUSED);
	script_end(&s);
}

/* V and W are children of one parent, accepted at 4 and 5; then the parent is deleted by one
 * who has seen W and not V. Only the last writer of a row is known here, so nobody can
 * tell that V is missing: that is the member's to prevent (node/snapshot.h). */
Test(certify_group, what_an_own_one_hides_is_not_found_here)
{
	struct script s = script_created();
	join(&s, 1, 0, 1);
	s.mark = 2;
	s.flags = SUBMIT_TRUSTS_OWN;
	submit(&s, 2, 1, 71); /* 3 */
	cr_assert_eq(submit(&s, 2, 2, 70)->verdict, GROUP_ACCEPTED);
	cr_assert_eq(submit(&s, 2, 3, 70)->verdict, GROUP_ACCEPTED);
	s.mark = 3;
	s.seen[0] = 5;
	s.flags = 0;
	cr_assert_eq(submit(&s, 2, 4, 70)->verdict, GROUP_ACCEPTED);
	script_end(&s);
}

/* What it vouches for begins at the floor, which is the log's, and another incarnation
 * held other locks. */
Test(certify_group, no_one_vouches_for_what_is_below_the_floor_or_of_an_older_start)
{
	struct script s = script_created();
	join(&s, 1, 0, 1); /* 2 */
	s.mark = 2;
	s.flags = SUBMIT_TRUSTS_OWN;
	cr_assert_eq(submit(&s, 2, 1, 70)->verdict, GROUP_ACCEPTED); /* 3 */
	s.floor = 2;
	cr_assert_eq(submit(&s, 2, 2, 70)->verdict, GROUP_REFUSED);
	s.floor = 1;
	cr_assert_eq(submit(&s, 2, 3, 70)->verdict, GROUP_REFUSED, "a floor never falls");
	join(&s, 1, 2, 2); /* 6 */
	cr_assert_eq(submit(&s, 6, 1, 71)->verdict, GROUP_ACCEPTED);
	cr_assert_eq(submit(&s, 6, 2, 70)->verdict, GROUP_REFUSED);
	cr_assert_eq(submit(&s, 6, 3, 71)->verdict, GROUP_ACCEPTED);
	script_end(&s);
}

Test(certify_group, a_join_is_void_unless_it_names_the_last)
{
	struct script s = script_created();
	cr_assert_eq(join(&s, 1, 0, 1)->change, GROUP_JOINED); /* 2 */
	const struct group_effect *f = join(&s, 1, 0, 1);
	cr_assert_eq(f->change, GROUP_JOIN_AGAIN, "a copy");
	cr_assert_eq(f->incarnation, 2);
	f = join(&s, 1, 0, 9);
	cr_assert_eq(f->reason, GROUP_JOIN_NOT_LAST);
	cr_assert_eq(f->incarnation, 2, "tells which is");
	f = join(&s, 1, 2, 9); /* 5 */
	cr_assert_eq(f->change, GROUP_JOINED);
	cr_assert_eq(f->ended, 2, "replaced while it lived");
	cr_assert_eq(submit(&s, 2, 1, 5)->verdict, GROUP_VOID);
	leave(&s, 5);
	cr_assert_eq(join(&s, 1, 0, 1)->change, GROUP_JOIN_VOID, "a late copy of the first");
	cr_assert_eq(join(&s, 1, 2, 9)->change, GROUP_JOIN_VOID, "and of the second");
	cr_assert_eq(group_view(s.g), 3);
	script_end(&s);
}

Test(certify_group, joins_are_refused_with_a_reason)
{
	struct script s = script_created();
	join(&s, 1, 0, 1); /* 2 */
	cr_assert_eq(join(&s, 0xAA, 0, 1)->reason, GROUP_JOIN_IS_GROUP_UUID);
	struct entry e = {.kind = ENTRY_JOIN};
	e.join = (struct entry_join){.server_uuid = {2}, .flags = JOIN_BOOTSTRAP};
	cr_assert_eq(apply(&s, &e)->reason, GROUP_JOIN_OTHERS_LIVE);
	uint8_t set[41] = {1, 0, 0, 0, 0xAA, [20] = 0, 1, 0, 0, 0, 1, [33] = 1};
	e.join.flags = 0;
	e.join.executed = (struct gtid_bytes){set, sizeof set};
	cr_assert_eq(apply(&s, &e)->reason, GROUP_JOIN_EXTRA_GTIDS);
	s.mark = 1;
	submit(&s, 2, 1, 7); /* the group's 1 now exists */
	cr_assert_eq(apply(&s, &e)->change, GROUP_JOINED);
	join(&s, 3, 0, 1);
	cr_assert_eq(join(&s, 4, 0, 1)->reason, GROUP_JOIN_NO_ROOM);
	script_end(&s);
}

Test(certify_group, each_sequence_is_decided_once)
{
	struct script s = script_created();
	join(&s, 1, 0, 1);
	s.mark = 2;
	struct group_outcome first = submit(&s, 2, 1, 5)->outcome;
	const struct group_effect *f = submit(&s, 2, 1, 5);
	cr_assert_eq(f->verdict, GROUP_VOID);
	cr_assert(f->repeated);
	cr_assert_eq(f->outcome.gtid.gno, first.gtid.gno);
	cr_assert_eq(submit(&s, 2, 5, 6)->verdict, GROUP_VOID, "beyond floor + inflight_max");
	s.floor = 2;
	cr_assert_eq(submit(&s, 2, 5, 6)->verdict, GROUP_ACCEPTED);
	s.floor = 1;
	f = submit(&s, 2, 1, 5);
	cr_assert_eq(f->verdict, GROUP_VOID, "its outcome is forgotten, its floor is not");
	cr_assert(!f->repeated);
	struct group_outcome out;
	cr_assert_eq(group_outcome(s.g, 2, 1, &out), GROUP_PASSED);
	cr_assert_eq(group_outcome(s.g, 2, 3, &out), GROUP_OPEN);
	cr_assert_eq(group_outcome(s.g, 2, 5, &out), GROUP_KNOWN);
	cr_assert_eq(group_outcome(s.g, 3, 1, &out), GROUP_UNKNOWN);
	script_end(&s);
}

Test(certify_group, abandon_and_submission_race_in_the_log)
{
	struct script s = script_created();
	join(&s, 1, 0, 1);
	s.mark = 2;
	cr_assert_eq(abandon(&s, 2, 1)->verdict, GROUP_ABANDONED);
	const struct group_effect *f = submit(&s, 2, 1, 5);
	cr_assert_eq(f->verdict, GROUP_VOID);
	cr_assert_eq(f->outcome.verdict, GROUP_ABANDONED);
	submit(&s, 2, 2, 5);
	f = abandon(&s, 2, 2);
	cr_assert_eq(f->verdict, GROUP_VOID);
	cr_assert_eq(f->outcome.verdict, GROUP_ACCEPTED);
	cr_assert_eq(f->outcome.gtid.gno, 1);
	script_end(&s);
}

/* A member that had inflight_max open, all of which are decided, submits a large one and
 * gives it up before anything of it was ordered: no other entry says that the window has
 * moved, and a void abandon is never told (a simulated client waited for ever). */
Test(certify_group, an_abandon_moves_the_window_it_stands_in)
{
	struct script s = script_created();
	join(&s, 1, 0, 1);
	s.mark = 2;
	for (uint64_t i = 1; i <= 4; i++)
		cr_assert_eq(submit(&s, 2, i, 4 + i)->verdict, GROUP_ACCEPTED);
	cr_assert_eq(abandon(&s, 2, 5)->verdict, GROUP_VOID, "beyond floor + inflight_max");
	s.floor = 5;
	cr_assert_eq(abandon(&s, 2, 5)->verdict, GROUP_ABANDONED);
	struct group_outcome out;
	cr_assert_eq(group_outcome(s.g, 2, 4, &out), GROUP_PASSED);
	script_end(&s);
}

static const struct group_effect *
submit_offer(struct script *s, uint64_t incarnation, uint64_t sequence, uint64_t offer)
{
	uint8_t reference[ENTRY_SPREAD_BYTES];
	struct entry_spread spread = {
		.bytes = 1000, .chunk_bytes = ENTRY_CHUNK_BYTES_MIN, .offer = offer};
	struct entry e = {.kind = ENTRY_SUBMIT};

	entry_spread_encode(&spread, reference);
	e.submit = (struct entry_submit){.incarnation = incarnation,
					 .session = s->session,
					 .sequence = sequence,
					 .floor = s->floor,
					 .flags = SUBMIT_SPREAD | SUBMIT_EMPTY,
					 .gtid_spec = GTID_AUTOMATIC,
					 .snapshot = {.mark = s->mark},
					 .payload_bytes = sizeof reference,
					 .payload = reference};
	return apply(s, &e);
}

static const struct group_effect *
abandon_offer(struct script *s, uint64_t incarnation, uint64_t sequence, uint64_t offer)
{
	struct entry e = {.kind = ENTRY_ABANDON};

	e.abandon = (struct entry_abandon){incarnation, s->session, sequence, s->floor, offer};
	return apply(s, &e);
}

/* What decides about a payload ends it, and only that: a void entry has decided nothing, and
 * its nodes must go on keeping what they said they hold. */
Test(certify_group, a_payload_ends_with_the_entry_that_decides)
{
	struct script s = script_created();
	join(&s, 1, 0, 1);
	s.mark = 2;
	s.session = 1;
	attach(&s, 2, 1);
	cr_assert(group_offer_open(s.g, 2, 2));
	s.session = 0;
	cr_assert_eq(submit_offer(&s, 2, 1, 2)->verdict, GROUP_VOID);
	cr_assert_eq(abandon_offer(&s, 2, 1, 2)->verdict, GROUP_VOID);
	cr_assert(group_offer_open(s.g, 2, 2));
	s.session = 1;
	cr_assert_eq(submit_offer(&s, 2, 1, 2)->verdict, GROUP_ACCEPTED);
	cr_assert(!group_offer_open(s.g, 2, 2));
	cr_assert_eq(abandon_offer(&s, 2, 1, 4)->verdict, GROUP_VOID, "1 is decided");
	cr_assert(group_offer_open(s.g, 2, 4));
	cr_assert_eq(submit_offer(&s, 2, 2, 2)->verdict, GROUP_VOID, "its payload may be gone");
	cr_assert_eq(abandon_offer(&s, 2, 2, 4)->verdict, GROUP_ABANDONED);
	cr_assert(!group_offer_open(s.g, 2, 4));
	leave(&s, 2);
	cr_assert(!group_offer_open(s.g, 2, 6));
	script_end(&s);
}

/* One may take minutes while many others pass in the other lane. */
Test(certify_group, lanes_end_each_for_itself)
{
	struct script s = script_created();
	join(&s, 1, 0, 1);
	s.mark = 2;
	for (uint64_t i = 1; i <= 100; i++) {
		s.floor = i;
		cr_assert_eq(submit_offer(&s, 2, i, 2 * i + 1)->verdict, GROUP_ACCEPTED);
	}
	cr_assert(group_offer_open(s.g, 2, 2));
	cr_assert(!group_offer_open(s.g, 2, 3));
	cr_assert(!group_offer_open(s.g, 2, 201));
	cr_assert(group_offer_open(s.g, 2, 203));
	s.floor = 101;
	cr_assert_eq(submit_offer(&s, 2, 101, 2)->verdict, GROUP_ACCEPTED);
	script_end(&s);
}

Test(certify_group, an_old_session_decides_nothing)
{
	struct script s = script_created();
	join(&s, 1, 0, 1);
	s.mark = 2;
	s.session = 1;
	cr_assert_eq(attach(&s, 2, 1)->change, GROUP_ATTACHED);
	cr_assert_eq(attach(&s, 2, 2)->node, 2);
	cr_assert_eq(attach(&s, 2, 2)->kind, GROUP_NOTHING);
	cr_assert_eq(submit(&s, 2, 1, 5)->verdict, GROUP_VOID);
	cr_assert_eq(abandon(&s, 2, 1)->verdict, GROUP_VOID);
	s.session = 2;
	cr_assert_eq(submit(&s, 2, 1, 5)->verdict, GROUP_ACCEPTED, "the void ones left nothing");
	cr_assert_eq(expel(&s, 2, 1)->kind, GROUP_NOTHING, "timed the old session");
	cr_assert_eq(expel(&s, 2, 2)->change, GROUP_EXPELLED);
	script_end(&s);
}

Test(certify_group, outcomes_live_until_the_successor_joins)
{
	struct script s = script_created();
	struct group_outcome out;
	join(&s, 1, 0, 1);
	s.mark = 2;
	submit(&s, 2, 1, 5);
	expel(&s, 2, 0);
	cr_assert_eq(submit(&s, 2, 2, 6)->verdict, GROUP_VOID);
	cr_assert_eq(group_outcome(s.g, 2, 1, &out), GROUP_KNOWN);
	cr_assert_eq(group_outcome(s.g, 2, 2, &out), GROUP_OPEN);
	join(&s, 2, 0, 1);
	cr_assert_eq(group_outcome(s.g, 2, 1, &out), GROUP_KNOWN, "another server's join");
	cr_assert_eq(join(&s, 1, 2, 2)->incarnation, 7);
	cr_assert_eq(group_outcome(s.g, 2, 1, &out), GROUP_UNKNOWN);
	cr_assert_eq(group_outcome(s.g, 7, 1, &out), GROUP_OPEN);
	script_end(&s);
}

Test(certify_group, the_horizon_forgets_and_refuses_what_is_older)
{
	struct script s = script_created();
	join(&s, 1, 0, 1);
	s.mark = 2;
	submit(&s, 2, 1, 5); /* 3 */
	submit(&s, 2, 2, 6); /* 4 */
	cr_assert_eq(horizon(&s, 99)->kind, GROUP_NOTHING, "from the future");
	cr_assert_eq(horizon(&s, 3)->horizon, 3); /* 6 */
	cr_assert_eq(horizon(&s, 2)->kind, GROUP_NOTHING);
	s.seen[0] = 3; /* it had seen 3, but not all below: refused all the same */
	cr_assert_eq(submit(&s, 2, 3, 50)->verdict, GROUP_REFUSED_STALE);
	s.seen[0] = 0;
	s.mark = 3;
	const struct group_effect *f = submit(&s, 2, 4, 5);
	cr_assert_eq(f->verdict, GROUP_ACCEPTED);
	cr_assert_eq(f->outcome.dependency, 3, "the evidence is dropped: after all of it");
	script_end(&s);
}

Test(certify_group, online_needs_the_mark_at_horizon_and_join)
{
	struct script s = script_created();
	join(&s, 1, 0, 1); /* 2 */
	cr_assert_eq(progress(&s, 2, 2, false)->kind, GROUP_NOTHING);
	cr_assert_eq(progress(&s, 2, 2, true)->change, GROUP_ONLINE);
	cr_assert_eq(group_horizon_wanted(s.g), 2);
	cr_assert_eq(progress(&s, 2, 4, true)->kind, GROUP_NOTHING, "it is already");
	horizon(&s, 4);    /* 6 */
	join(&s, 2, 0, 1); /* 7 */
	cr_assert_eq(progress(&s, 7, 6, true)->kind, GROUP_NOTHING, "below its join");
	cr_assert_eq(progress(&s, 7, 50, true)->kind, GROUP_NOTHING, "from the future");
	progress(&s, 2, 9, false);
	horizon(&s, 9); /* 11 */
	cr_assert_eq(progress(&s, 7, 8, true)->kind, GROUP_NOTHING, "below the horizon");
	cr_assert_eq(group_horizon_wanted(s.g), 9, "one that recovers holds nothing");
	cr_assert_eq(progress(&s, 7, 9, true)->change, GROUP_ONLINE);
	cr_assert_eq(group_incarnation(s.g, 7)->state, MEMBER_ONLINE);
	script_end(&s);
}

Test(certify_group, a_laggard_is_passed_when_the_index_is_nearly_full)
{
	struct script s = script_created();
	join(&s, 1, 0, 1);
	join(&s, 2, 0, 1);
	progress(&s, 2, 3, true);
	progress(&s, 3, 3, true);
	s.mark = 3;
	submit_rows(&s, 2, 1, (uint64_t[2]){100, 56}); /* 6 */
	progress(&s, 2, 6, false);
	cr_assert_eq(group_horizon_wanted(s.g), 6, "56 of 64: past the one at 3");
	cr_assert_eq(submit_rows(&s, 3, 1, (uint64_t[2]){200, 9})->verdict, GROUP_REFUSED_FULL);
	horizon(&s, 6);
	cr_assert_eq(submit_rows(&s, 3, 2, (uint64_t[2]){200, 9})->verdict, GROUP_REFUSED_STALE);
	cr_assert_eq(group_horizon_wanted(s.g), 6, "the one that was passed holds no more");
	script_end(&s);
}

Test(certify_group, fences_and_empty_ones)
{
	struct script s = script_created();
	join(&s, 1, 0, 1);
	s.mark = 2;
	submit(&s, 2, 1, 5); /* 3 */
	s.flags = SUBMIT_EMPTY;
	cr_assert_eq(submit_rows(&s, 2, 2, (uint64_t[2]){0, 0})->outcome.dependency, 0);
	s.flags = SUBMIT_FENCE;
	cr_assert_eq(submit(&s, 2, 3, 6)->outcome.dependency, 4); /* 5 */
	s.flags = 0;
	s.floor = 4;
	cr_assert_eq(submit(&s, 2, 4, 7)->outcome.dependency, 5, "after the fence");
	cr_assert_eq(submit_rows(&s, 2, 5, (uint64_t[2]){0, 0})->outcome.dependency, 6,
		     "without hashes: a fence");
	script_end(&s);
}

Test(certify_group, users_gtids)
{
	struct script s = script_created();
	join(&s, 1, 0, 1);
	join(&s, 2, 0, 1);
	s.mark = 3;
	s.spec = GTID_ASSIGNED;
	s.assigned = (struct gtid){{.uuid = {0xAA}}, 2};
	cr_assert_eq(submit(&s, 2, 1, 5)->outcome.gtid.gno, 2); /* 4 */
	cr_assert_eq(submit(&s, 2, 2, 6)->verdict, GROUP_REFUSED_GTID);
	s.flags = SUBMIT_NOT_COMMITTED;
	cr_assert_eq(submit(&s, 3, 1, 6)->verdict, GROUP_REFUSED_GTID, "another's");
	const struct group_effect *f = submit(&s, 2, 3, 5);
	cr_assert_eq(f->verdict, GROUP_ACCEPTED);
	cr_assert(f->outcome.again);
	cr_assert_eq(f->outcome.index, 4);
	s.flags = 0;
	s.spec = GTID_AUTOMATIC;
	cr_assert_eq(submit(&s, 3, 2, 8)->outcome.gtid.gno, 1);
	cr_assert_eq(submit(&s, 3, 3, 9)->outcome.gtid.gno, 3, "2 is used");
	s.spec = GTID_AUTOMATIC_TAG;
	s.assigned.source = (struct gtid_source){.tag_bytes = 3, .tag = "tag"};
	cr_assert_eq(submit(&s, 3, 4, 10)->outcome.gtid.gno, 1, "numbers of its own");
	script_end(&s);
}

Test(certify_group, gtids_come_in_blocks)
{
	struct group_config config = script_config;
	config.block_size = 4;
	config.inflight_max = 64;
	struct script s = script_begin(&config);
	create(&s, &config);
	join(&s, 1, 0, 1); /* 2 */
	join(&s, 2, 0, 1); /* 3 */
	join(&s, 3, 0, 1); /* 4 */
	s.mark = 4;
	uint64_t row = 0;
	static const uint8_t order[] = {2, 3, 2, 3, 3, 2, 2};
	/* The blocks 1-4 and 5-8; after four grants they are collected, and the next
	 * takes what is free from the front. */
	static const uint64_t gno[] = {1, 5, 2, 6, 3, 7, 8};
	uint64_t sequence[4] = {0};
	for (size_t i = 0; i < sizeof order; i++) {
		uint64_t got = submit(&s, order[i], ++sequence[order[i]], ++row)->outcome.gtid.gno;
		cr_assert_eq(got, gno[i], "grant %zu: %d", i, (int)got);
	}
	leave(&s, 4); /* collects them too: 4 is not kept for its owner */
	cr_assert_eq(submit(&s, 2, ++sequence[2], ++row)->outcome.gtid.gno, 4);
	script_end(&s);
}

/* One server holds the last block, and has used one number of it. */
Test(certify_group, a_block_is_not_kept_when_the_numbers_end)
{
	struct group_config config = script_config;
	struct entry e = {.kind = ENTRY_CREATE};
	uint8_t set[41] = {1, 0, 0, 0, 0xAA, [20] = 0, 1, 0, 0, 0, 1};
	bytes_put_u64(set + 33, GNO_MAX - 4);
	config.block_size = 4;
	struct script s = script_begin(&config);
	e.create = (struct entry_create){{0xAA}, config, {set, sizeof set}};
	cr_assert_eq(apply(&s, &e)->kind, GROUP_CREATED);
	join(&s, 1, 0, 1); /* 2 */
	join(&s, 2, 0, 1); /* 3 */
	s.mark = 3;
	cr_assert_eq(submit(&s, 2, 1, 5)->outcome.gtid.gno, (uint64_t)GNO_MAX - 3);
	cr_assert_eq(submit(&s, 3, 1, 6)->outcome.gtid.gno, (uint64_t)GNO_MAX - 2);
	cr_assert_eq(submit(&s, 2, 2, 7)->outcome.gtid.gno, (uint64_t)GNO_MAX - 1);
	cr_assert_eq(submit(&s, 3, 2, 8)->outcome.gtid.gno, (uint64_t)GNO_MAX);
	cr_assert_eq(submit(&s, 2, 3, 9)->verdict, GROUP_REFUSED_GTID);
	script_end(&s);
}

/* `count` UUIDs that have executed their first transaction, as CREATE carries them. */
static const struct group_effect *
create_after(struct script *s, uint32_t count)
{
	static uint8_t bytes[64 * 1024];
	struct writer w = writer_over(bytes, sizeof bytes);
	struct entry e = {.kind = ENTRY_CREATE};
	writer_u32(&w, count);
	for (uint32_t i = 0; i < count; i++) {
		uint8_t uuid[UUID_BYTES] = {1, (uint8_t)(i >> 8), (uint8_t)i};
		writer_raw(&w, uuid, sizeof uuid);
		writer_u8(&w, 0);
		writer_u32(&w, 1);
		writer_u64(&w, 1);
		writer_u64(&w, 1);
	}
	cr_assert(!w.bad);
	e.create = (struct entry_create){{0xAA}, script_config, {bytes, (uint32_t)w.bytes}};
	group_apply_start(s->g, group_applied(s->g) + 1, &e);
	while (group_apply_step(s->g, 1) == GROUP_MORE)
		;
	return group_effect(s->g);
}

#define SOURCES_MAX 1024 /* of all that a group has executed */

Test(certify_group, is_not_made_of_more_than_it_can_remember)
{
	struct script s = script_begin(&script_config);
	cr_assert_eq(create_after(&s, SOURCES_MAX + 1)->kind, GROUP_NOTHING);
	cr_assert(!group_created(s.g));
	cr_assert_eq(gtid_set_sources(group_executed(s.g)), 0, "nothing of it stays");
	cr_assert_eq(create_after(&s, SOURCES_MAX)->kind, GROUP_CREATED);
	script_end(&s);
}

Test(certify_group, a_gtid_that_cannot_be_remembered_is_not_given)
{
	struct script s = script_begin(&script_config);
	create_after(&s, SOURCES_MAX);
	join(&s, 1, 0, 1); /* 2 */
	s.mark = 2;
	uint64_t before = group_index_hashes(s.g);
	cr_assert_eq(submit(&s, 2, 1, 5)->verdict, GROUP_REFUSED_FULL);
	cr_assert_eq(group_index_hashes(s.g), before);
	s.spec = GTID_ASSIGNED;
	s.assigned = (struct gtid){{.uuid = {1, 0, 7}}, 2};
	cr_assert_eq(submit(&s, 2, 2, 5)->verdict, GROUP_ACCEPTED, "next to one that it has");
	script_end(&s);
}

#define TAGS_MAX 32 /* whose blocks a group remembers, the one without a tag among them */

Test(certify_group, a_tag_too_many_has_no_block)
{
	struct group_config config = script_config;
	config.block_size = 2;
	config.inflight_max = 64;
	struct script s = script_begin(&config);
	create(&s, &config);
	join(&s, 1, 0, 1); /* 2 */
	s.mark = 2;
	s.spec = GTID_AUTOMATIC_TAG;
	for (uint8_t i = 0; i <= TAGS_MAX; i++) {
		s.assigned.source = (struct gtid_source){.tag_bytes = 2};
		s.assigned.source.tag[0] = 't';
		s.assigned.source.tag[1] = (char)('a' + i % 26);
		if (i >= 26)
			s.assigned.source.tag[0] = 'u';
		cr_assert_eq(submit(&s, 2, 1 + i, i)->verdict,
			     i < TAGS_MAX ? GROUP_ACCEPTED : GROUP_REFUSED_FULL);
	}
	s.assigned.source = (struct gtid_source){.tag_bytes = 2, .tag = "ta"};
	cr_assert_eq(submit(&s, 2, 60, 60)->outcome.gtid.gno, 2, "it has one");
	script_end(&s);
}

/* A join that is ordered before it keeps the group; one behind it finds none. */
Test(certify_group, a_group_closes_when_nobody_is_left)
{
	struct script s = script_created();
	struct entry close = {.kind = ENTRY_CLOSE};

	join(&s, 1, 0, 1);
	cr_assert_eq(apply(&s, &close)->kind, GROUP_NOTHING);
	cr_assert(!group_closed(s.g));
	leave(&s, 2);
	cr_assert_eq(apply(&s, &close)->kind, GROUP_CLOSED);
	cr_assert(group_closed(s.g));
	const struct group_effect *e = join(&s, 1, 2, 2);
	cr_assert_eq(e->change, GROUP_JOIN_VOID);
	cr_assert_eq(e->reason, GROUP_JOIN_NO_GROUP);
	cr_assert_eq(apply(&s, &close)->kind, GROUP_NOTHING, "once is for good");
	script_end(&s);
}

/* Founded, and nobody came. */
Test(certify_group, one_that_was_never_created_closes_too)
{
	struct script s = script_begin(&script_config);
	struct entry close = {.kind = ENTRY_CLOSE};

	cr_assert_eq(apply(&s, &close)->kind, GROUP_CLOSED);
	cr_assert_eq(create(&s, &script_config)->kind, GROUP_NOTHING);
	script_end(&s);
}

Test(certify_group, the_last_gtid_is_used_and_then_refused)
{
	struct script s = script_begin(&script_config);
	struct entry e = {.kind = ENTRY_CREATE};
	uint8_t set[41] = {1, 0, 0, 0, 0xAA, [20] = 0, 1, 0, 0, 0, 1};
	bytes_put_u64(set + 33, GNO_MAX - 1);
	e.create = (struct entry_create){{0xAA}, script_config, {set, sizeof set}};
	cr_assert_eq(apply(&s, &e)->kind, GROUP_CREATED);
	join(&s, 1, 0, 1);
	s.mark = 2;
	cr_assert_eq(submit(&s, 2, 1, 5)->outcome.gtid.gno, (uint64_t)GNO_MAX);
	cr_assert_eq(submit(&s, 2, 2, 6)->verdict, GROUP_REFUSED_GTID);
	script_end(&s);
}

#define EPOCH_FIRST (GROUP_EPOCH_NUMBERS + 1)

/* Two of three nodes accepted transactions that the third one has not, and are lost. What
 * the survivors accept next has none of their numbers, in a block that began before or not. */
Test(certify_group, a_fork_gives_no_number_again)
{
	for (uint64_t block_size = 1; block_size <= 4; block_size += 3) {
		struct group_config config = script_config;
		config.block_size = block_size;
		struct script s = script_begin(&config);
		create(&s, &config);
		join(&s, 1, 0, 1); /* 2 */
		s.mark = 2;
		cr_assert_eq(submit(&s, 2, 1, 5)->outcome.gtid.gno, 1);
		group_fork(s.g, 1);
		join(&s, 1, 2, 2); /* 4 */
		s.mark = 4;
		cr_assert_eq(submit(&s, 4, 1, 6)->outcome.gtid.gno, EPOCH_FIRST);
		cr_assert_eq(submit(&s, 4, 2, 7)->outcome.gtid.gno, EPOCH_FIRST + 1);
		s.spec = GTID_AUTOMATIC_TAG;
		s.assigned.source = (struct gtid_source){.tag_bytes = 3, .tag = "tag"};
		cr_assert_eq(submit(&s, 4, 3, 8)->outcome.gtid.gno, EPOCH_FIRST, "tags too");
		script_end(&s);
	}
}

/* Nor has a full epoch those of the next one. */
Test(certify_group, an_epoch_keeps_to_its_numbers)
{
	struct script s = script_begin(&script_config);
	struct entry e = {.kind = ENTRY_CREATE};
	uint8_t set[41] = {1, 0, 0, 0, 0xAA, [20] = 0, 1, 0, 0, 0};
	bytes_put_u64(set + 25, EPOCH_FIRST);
	bytes_put_u64(set + 33, 2 * GROUP_EPOCH_NUMBERS - 1);
	e.create = (struct entry_create){{0xAA}, script_config, {set, sizeof set}};
	cr_assert_eq(apply(&s, &e)->kind, GROUP_CREATED);
	group_fork(s.g, 1);
	join(&s, 1, 0, 1); /* 2 */
	s.mark = 2;
	cr_assert_eq(submit(&s, 2, 1, 5)->outcome.gtid.gno, 2 * GROUP_EPOCH_NUMBERS);
	cr_assert_eq(submit(&s, 2, 2, 6)->verdict, GROUP_REFUSED_GTID);
	script_end(&s);
}

/* The member that was told of a lost transaction has it; it is refused until it is cloned. */
Test(certify_group, who_has_what_was_lost_is_refused)
{
	struct script s = script_created();
	uint8_t set[41] = {1, 0, 0, 0, 0xAA, [20] = 0, 1, 0, 0, 0, 1, [33] = 2};
	struct entry e = {.kind = ENTRY_JOIN};
	uint64_t to;

	join(&s, 1, 0, 1); /* 2 */
	s.mark = 2;
	submit(&s, 2, 1, 5);
	cr_assert_eq(group_lost_next(s.g, NULL, 1, &to), 0, "nothing is, before a force");
	group_fork(s.g, 1);
	e.join = (struct entry_join){.server_uuid = {1}, .last_incarnation = 2, .epoch = 1};
	cr_assert_eq(apply(&s, &e)->change, GROUP_JOINED); /* 4 */
	s.mark = 4;
	submit(&s, 4, 1, 6);
	e.join = (struct entry_join){.server_uuid = {2}, .epoch = 1};
	e.join.executed = (struct gtid_bytes){set, sizeof set};
	cr_assert_eq(apply(&s, &e)->reason, GROUP_JOIN_EXTRA_GTIDS);
	cr_assert_eq(group_lost_next(s.g, NULL, 1, &to), 2);
	cr_assert_eq(to, GROUP_EPOCH_NUMBERS);
	cr_assert_eq(group_lost_next(s.g, NULL, to + 1, &to), 0);
	script_end(&s);
}

/* A member's mark and outcomes are about an order that may have gone on elsewhere. */
Test(certify_group, a_fork_ends_every_incarnation)
{
	struct script s = script_created();
	join(&s, 1, 0, 1); /* 2 */
	join(&s, 2, 0, 1); /* 3 */
	uint64_t view = group_view(s.g), digest = group_digest(s.g);
	group_fork(s.g, 1);
	cr_assert_eq(group_epoch(s.g), 1);
	cr_assert_eq(group_view(s.g), view + 1);
	cr_assert_neq(group_digest(s.g), digest);
	digest = group_digest(s.g);
	group_fork(s.g, 1);
	cr_assert_eq(group_digest(s.g), digest, "once");
	s.mark = 3;
	cr_assert_eq(submit(&s, 2, 1, 5)->verdict, GROUP_VOID);
	cr_assert_eq(attach(&s, 3, 9)->kind, GROUP_NOTHING);
	cr_assert_eq(group_incarnation(s.g, 2)->ended, 3);
	cr_assert_eq(join(&s, 1, 2, 2)->change, GROUP_JOINED);
	script_end(&s);
}

/* It was accepted before the force, and comes again behind the fork with what its member had
 * submitted: the lost had given that other numbers. */
Test(certify_group, who_asked_before_a_fork_joins_when_it_asks_again)
{
	struct script s = script_created();
	struct entry e = {.kind = ENTRY_JOIN};

	join(&s, 1, 0, 1); /* 2 */
	group_fork(s.g, 7);
	e.join = (struct entry_join){.server_uuid = {2}, .nonce = {5}, .epoch = 6};
	const struct group_effect *f = apply(&s, &e); /* 3 */
	cr_assert_eq(f->change, GROUP_JOIN_VOID);
	cr_assert_eq(f->reason, GROUP_JOIN_BEFORE_FORCE);
	cr_assert_null(group_incarnation(s.g, 3));
	cr_assert_eq(attach(&s, 3, 1)->kind, GROUP_NOTHING);
	s.mark = 3;
	cr_assert_eq(submit(&s, 3, 1, 5)->verdict, GROUP_VOID);
	e.join.epoch = 7;
	cr_assert_eq(apply(&s, &e)->change, GROUP_JOINED); /* 6 */
	e.join.epoch = 6;
	f = apply(&s, &e);
	cr_assert_eq(f->change, GROUP_JOIN_AGAIN, "a copy says nothing new");
	cr_assert_eq(f->incarnation, 6);
	script_end(&s);
}

/* In the order of the lost somebody was a member, and whoever asked was told so. */
Test(certify_group, a_fork_closes_no_group)
{
	struct script s = script_created();
	struct entry close = {.kind = ENTRY_CLOSE};

	join(&s, 1, 0, 1);
	group_fork(s.g, 7);
	cr_assert_eq(apply(&s, &close)->kind, GROUP_NOTHING);
	close.close.epoch = 7;
	cr_assert_eq(apply(&s, &close)->kind, GROUP_CLOSED);
	script_end(&s);
}

/* What the lost had decided behind it, with it, the survivors would decide otherwise: and whose
 * number would it have? So nothing counts up to the fork of those who cut, though one of an
 * epoch between may come first. */
Test(certify_group, a_cut_voids_what_follows_up_to_its_fork)
{
	struct script s = script_created();
	join(&s, 1, 0, 1); /* 2 */
	s.mark = 2;
	cr_assert_eq(submit(&s, 2, 1, 5)->outcome.gtid.gno, 1);
	const struct group_effect *e = cut(&s, 2, 2, 3); /* 4 */
	cr_assert_eq(e->kind, GROUP_VERDICT);
	cr_assert_eq(e->verdict, GROUP_VOID);
	cr_assert_eq(group_index_hashes(s.g), 1);
	cr_assert_eq(submit(&s, 2, 3, 6)->kind, GROUP_NOTHING);
	cr_assert_eq(join(&s, 2, 0, 1)->kind, GROUP_NOTHING);
	cr_assert_eq(leave(&s, 2)->kind, GROUP_NOTHING);
	group_fork(s.g, 1);
	cr_assert_eq(join(&s, 2, 0, 1)->kind, GROUP_NOTHING, "of survivors that are lost since");
	group_fork(s.g, 3);
	cr_assert_eq(join(&s, 1, 2, 2)->change, GROUP_JOINED); /* 9 */
	s.mark = 9;
	cr_assert_eq(submit(&s, 9, 1, 6)->outcome.gtid.gno, 3 * GROUP_EPOCH_NUMBERS + 1);
	uint64_t to;
	cr_assert_eq(group_lost_next(s.g, NULL, 1, &to), 2, "it is reported");
	cr_assert_eq(to, 3 * GROUP_EPOCH_NUMBERS);
	script_end(&s);
}
