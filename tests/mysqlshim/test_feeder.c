/*
 * The ring between the network thread and the server's: order, wrap, the bound,
 * and room.
 */
#include <criterion/criterion.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "mysqlshim/feeder.h"

#define RING_BYTES   (1u << 18)
#define TRANSACTIONS 20000
#define NO_STALL_NS  999999999

static struct feeder *feeder;
static _Atomic uint64_t taken, stopped_after;
static _Atomic uint32_t views, endings, rooms, stops, begun, ended;
static _Atomic bool slow;

static bool
begin(void *context)
{
	(void)context;
	atomic_fetch_add(&begun, 1);
	return true;
}

static bool
refuse(void *context)
{
	(void)context;
	return false;
}

static void
end(void *context)
{
	(void)context;
	atomic_fetch_add(&ended, 1);
}

static uint32_t
bytes_of(uint64_t index)
{
	return (uint32_t)(index * 7919 % 30000);
}

static void
transaction(void *context, const struct feeder_transaction *t)
{
	(void)context;
	cr_assert_eq(t->index, atomic_load(&taken) + 1);
	cr_assert_eq(t->gtid.gno, t->index);
	cr_assert_eq(t->payload_bytes, bytes_of(t->index));
	for (uint32_t i = 0; i < t->payload_bytes; i += 997)
		cr_assert_eq(t->payload[i], (uint8_t)t->index);
	while (atomic_load(&slow))
		usleep(100);
	atomic_fetch_add(&taken, 1);
}

static void
view(void *context, const struct member_view *v)
{
	(void)context;
	cr_assert_eq(v->index, atomic_load(&taken));
	atomic_fetch_add(&views, 1);
}

static void
ended_too(void *context)
{
	(void)context;
	atomic_fetch_add(&endings, 1);
}

static void
applier_stopped(void *context)
{
	(void)context;
	atomic_store(&stopped_after, atomic_load(&taken));
	atomic_fetch_add(&stops, 1);
}

static void
room(void *context)
{
	(void)context;
	atomic_fetch_add(&rooms, 1);
}

static const struct feeder_work work = {.begin = begin,
					.end = end,
					.transaction = transaction,
					.view = view,
					.ended = ended_too,
					.applier_stopped = applier_stopped,
					.room = room};

static void
put(uint64_t index)
{
	static uint8_t data[30000];
	struct feeder_transaction t = {.index = index,
				       .gtid = {.gno = index},
				       .payload = data,
				       .payload_bytes = bytes_of(index)};

	memset(data, (int)index, t.payload_bytes);
	feeder_put_transaction(feeder, &t);
}

Test(mysqlshim_feeder, order_over_many_wraps_and_the_view_in_its_place)
{
	static struct member_view v;

	cr_assert_eq(feeder_open(&work, RING_BYTES, &feeder), 0);
	for (uint64_t i = 1; i <= TRANSACTIONS; i++) {
		put(i);
		v.index = i;
		if (i % 1000 == 0)
			feeder_put_view(feeder, &v);
	}
	feeder_put_ended(feeder);
	while (atomic_load(&endings) == 0)
		usleep(1000);
	feeder_close(feeder);
	cr_assert_eq(taken, TRANSACTIONS);
	cr_assert_eq(views, TRANSACTIONS / 1000);
	cr_assert_eq(begun, 1);
	cr_assert_eq(ended, 1);
}

/* What lies in the ring could not be applied any more. */
Test(mysqlshim_feeder, an_applier_that_stopped_is_told_before_what_waits)
{
	cr_assert_eq(feeder_open(&work, RING_BYTES, &feeder), 0);
	atomic_store(&slow, true);
	for (uint64_t i = 1; i <= 8; i++)
		put(i);
	feeder_applier_stopped(feeder);
	atomic_store(&slow, false); /* the first may be in work already */
	while (atomic_load(&stops) == 0)
		usleep(1000);
	cr_assert_leq(stopped_after, 1);
	while (atomic_load(&taken) < 8)
		usleep(1000);
	feeder_close(feeder);
	cr_assert_eq(stops, 1);
}

static void
open_with_gate(uint32_t ahead_max, uint64_t stall_ns)
{
	struct feeder_work gated = work;

	gated.ahead_max = ahead_max;
	gated.stall_ns = stall_ns;
	cr_assert_eq(feeder_open(&gated, RING_BYTES, &feeder), 0);
}

static void
expect_taken(uint64_t expected)
{
	while (atomic_load(&taken) < expected)
		usleep(100);
	usleep(5000); /* for one too many to show */
	cr_assert_eq(atomic_load(&taken), expected);
}

Test(mysqlshim_feeder, the_work_is_not_given_more_than_the_server_applies)
{
	open_with_gate(3, NO_STALL_NS);
	for (uint64_t i = 1; i <= 8; i++)
		put(i);
	expect_taken(3);
	feeder_applied(feeder);
	expect_taken(4);
	feeder_applied(feeder);
	feeder_applied(feeder);
	expect_taken(6);
	feeder_close(feeder);
	cr_assert_eq(taken, 6);
}

/* Who waits for a view waits for all before it, and not for their commits. */
Test(mysqlshim_feeder, a_view_opens_the_gate_before_it)
{
	static struct member_view v;

	open_with_gate(2, NO_STALL_NS);
	for (uint64_t i = 1; i <= 5; i++)
		put(i);
	expect_taken(2);
	v.index = 5;
	feeder_put_view(feeder, &v);
	put(6);
	expect_taken(5);
	cr_assert_eq(views, 1);
	feeder_close(feeder);
}

/* One that the server had already is passed over and never told. */
Test(mysqlshim_feeder, what_is_never_applied_holds_the_rest_for_a_while)
{
	struct timespec began, now;

	open_with_gate(2, 30000000);
	clock_gettime(CLOCK_MONOTONIC, &began);
	for (uint64_t i = 1; i <= 6; i++)
		put(i);
	while (atomic_load(&taken) < 6)
		usleep(100);
	clock_gettime(CLOCK_MONOTONIC, &now);
	int64_t took_ns = (now.tv_sec - began.tv_sec) * 1000000000l + now.tv_nsec - began.tv_nsec;
	cr_assert_geq(took_ns, 60000000);
	feeder_close(feeder);
}

Test(mysqlshim_feeder, full_is_said_before_it_is_and_room_is_told_once)
{
	cr_assert_eq(feeder_open(&work, RING_BYTES, &feeder), 0);
	atomic_store(&slow, true);
	uint64_t index = 0;
	while (!feeder_is_full(feeder))
		put(++index);
	cr_assert_eq(rooms, 0);
	cr_assert(feeder_is_full(feeder));
	atomic_store(&slow, false);
	while (atomic_load(&rooms) == 0)
		usleep(1000);
	cr_assert_not(feeder_is_full(feeder));
	while (atomic_load(&taken) < index)
		usleep(1000);
	cr_assert_eq(rooms, 1);
	feeder_close(feeder);
}

Test(mysqlshim_feeder, a_thread_that_cannot_begin_leaves_nothing)
{
	struct feeder_work refused = work;

	refused.begin = refuse;
	cr_assert_lt(feeder_open(&refused, RING_BYTES, &feeder), 0);
	cr_assert_null(feeder);
	cr_assert_eq(ended, 0);
}
