/*
 * Client threads and a network thread, with an engine that answers by rule:
 * no protocol, no server. What is shown is that each client gets its own
 * outcome, once, whatever the order of verdict, KILL and its reading.
 */
#include <criterion/criterion.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "mysqlshim/commit.h"

#define CLIENTS      8
#define COMMITS_EACH 200

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static uint64_t sequence_next, sequence_seen;
static uint32_t open_count, open_max;
static _Atomic int wakes, others, failings;
static _Atomic bool killed_flag, end;
static struct commit *commit;
static uint64_t count[5]; /* of posts, by kind; the network thread's */

static bool
contains(void *context, const struct gtid *gtid)
{
	return context == gtid;
}

static void
locked(void (*section)(void *, const struct snapshot_executed *), void *context)
{
	struct snapshot_executed executed = {.contains = contains};

	pthread_mutex_lock(&lock);
	section(context, &executed);
	pthread_mutex_unlock(&lock);
}

static bool
killed(void *session)
{
	return session && atomic_load(&killed_flag);
}

static enum commit_take
take(void *context, bool ahead, const struct snapshot_executed *executed,
     struct snapshot_taken *taken)
{
	cr_assert_null(context);
	cr_assert(executed->contains);
	cr_assert(!ahead);
	if (open_max == 0)
		return COMMIT_NO_MEMBER;
	if (open_count == open_max)
		return COMMIT_CROWDED;
	open_count++;
	taken->sequence = ++sequence_next;
	return COMMIT_TAKEN;
}

static void
untake(void *context, uint64_t sequence)
{
	cr_assert_null(context);
	cr_assert_eq(sequence, sequence_next);
	open_count--;
}

static void
wake(void *context)
{
	cr_assert_null(context);
	atomic_fetch_add(&wakes, 1);
}

static void
failing(void *context, uint64_t sequence)
{
	cr_assert_null(context);
	cr_assert_gt(sequence, 0);
	atomic_fetch_add(&failings, 1);
}

static void
applied(void *context)
{
	cr_assert_null(context);
	atomic_fetch_add(&others, 1);
}

static void
close_one(void)
{
	pthread_mutex_lock(&lock);
	open_count--;
	pthread_mutex_unlock(&lock);
}

static void
setup(void)
{
	static const struct commit_engine engine = {.take = take,
						    .untake = untake,
						    .failing = failing,
						    .wake = wake,
						    .applied = applied};
	static const struct commit_server server = {.locked = locked, .killed = killed};

	open_max = CLIENTS;
	commit = commit_open(&engine, &server, CLIENTS);
	cr_assert(commit);
}

static struct commit_transaction *
transaction(uint64_t thread_id)
{
	static uint64_t payload;
	struct commit_transaction *t = calloc(1, sizeof *t);

	t->thread_id = thread_id;
	t->hashes = &payload;
	t->payload_bytes = 1;
	return t;
}

/* By the sequence: refused, rolled back, or accepted with it as the number. */
static void
answer(struct commit_transaction *t)
{
	struct gtid gtid = {.gno = t->taken.sequence};

	cr_assert_eq(t->taken.sequence, ++sequence_seen, "submissions come in order");
	close_one();
	commit_decide(commit, t, 1 + t->taken.sequence % 3, &gtid);
}

static void *
network(void *argument)
{
	struct commit_post post;

	while (!atomic_load(&end))
		while (commit_next(commit, &post)) {
			count[post.kind]++;
			if (post.kind == COMMIT_POST_SUBMIT)
				answer(post.transaction);
		}
	return argument;
}

static void *
client(void *argument)
{
	uint64_t id = (uint64_t)(uintptr_t)argument;
	uint64_t *accepted = calloc(1, sizeof *accepted);

	for (int i = 0; i < COMMITS_EACH; i++) {
		struct commit_transaction *t = transaction(id);
		enum commit_outcome outcome = commit_run(commit, t);
		cr_assert_eq((uint64_t)outcome, 1 + t->taken.sequence % 3);
		if (outcome == COMMIT_ACCEPTED) {
			cr_assert_eq(t->gtid.gno, t->taken.sequence);
			++*accepted;
			if (i % 2)
				commit_committed(commit, id, &t->gtid);
		}
		/* After a commit, or of what was never accepted: nothing comes of it. */
		commit_failing(commit, id);
		commit_failed(commit, id);
		memset(t, 0xee, sizeof *t); /* what still reads it will be seen */
		free(t);
	}
	return accepted;
}

Test(mysqlshim_commit, each_client_gets_its_own_outcome, .init = setup, .timeout = 30)
{
	pthread_t thread[CLIENTS], engine;
	uint64_t accepted = 0;
	struct commit_post post;

	pthread_create(&engine, NULL, network, NULL);
	for (uintptr_t i = 0; i < CLIENTS; i++)
		pthread_create(&thread[i], NULL, client, (void *)(i + 1));
	for (int i = 0; i < CLIENTS; i++) {
		void *result;
		pthread_join(thread[i], &result);
		accepted += *(uint64_t *)result;
		free(result);
	}
	atomic_store(&end, true);
	pthread_join(engine, NULL);
	while (commit_next(commit, &post))
		count[post.kind]++;
	cr_assert_eq(count[COMMIT_POST_SUBMIT], CLIENTS * COMMITS_EACH);
	cr_assert_eq(count[COMMIT_POST_COMMITTED] + count[COMMIT_POST_FAILED], accepted);
	cr_assert_eq(count[COMMIT_POST_FAILED], atomic_load(&failings));
	cr_assert_gt(atomic_load(&failings), 0);
	cr_assert_eq(count[COMMIT_POST_ABANDON], 0);
	commit_free(commit);
}

static void *
one(void *argument)
{
	struct commit_transaction *t = argument;

	return (void *)(uintptr_t)commit_run(commit, t);
}

static struct commit_post
wait_for(enum commit_post_kind kind)
{
	struct commit_post post;
	struct timespec pause = {.tv_nsec = 1000000};

	while (!commit_next(commit, &post))
		nanosleep(&pause, NULL);
	cr_assert_eq(post.kind, kind);
	return post;
}

/* KILL asks; the log answers. Here the answer is that the commit came first. */
Test(mysqlshim_commit, a_killed_client_abandons_once_and_waits_for_the_log, .init = setup,
     .timeout = 30)
{
	struct commit_transaction *t = transaction(1);
	struct gtid gtid = {.gno = 7};
	struct timespec pause = {.tv_nsec = 200000000};
	struct commit_post post;
	pthread_t thread;
	void *outcome;

	t->session = t;
	pthread_create(&thread, NULL, one, t);
	post = wait_for(COMMIT_POST_SUBMIT);
	cr_assert_eq(post.transaction, t);
	atomic_store(&killed_flag, true);
	post = wait_for(COMMIT_POST_ABANDON);
	cr_assert_eq(post.sequence, 1);
	cr_assert_null(post.transaction);
	nanosleep(&pause, NULL); /* four slices */
	cr_assert_not(commit_next(commit, &post), "one KILL is one ABANDON");
	commit_decide(commit, t, COMMIT_ACCEPTED, &gtid);
	pthread_join(thread, &outcome);
	cr_assert_eq((uintptr_t)outcome, COMMIT_ACCEPTED);
	cr_assert_eq(t->gtid.gno, 7);
	free(t);
	commit_free(commit);
}

/* The verdict overtakes the ABANDON in the mailbox: the client must stay until
 * that was read, or its memory would be read after it is gone. */
Test(mysqlshim_commit, a_client_stays_until_its_abandon_was_read, .init = setup, .timeout = 30)
{
	struct commit_transaction *t = transaction(1);
	struct timespec pause = {.tv_nsec = 200000000};
	struct commit_post post;
	pthread_t thread;
	void *outcome;

	t->session = t;
	pthread_create(&thread, NULL, one, t);
	wait_for(COMMIT_POST_SUBMIT);
	atomic_store(&killed_flag, true);
	nanosleep(&pause, NULL); /* posted by now, and not read */
	commit_decide(commit, t, COMMIT_ROLLBACK, NULL);
	nanosleep(&pause, NULL);
	cr_assert_neq(pthread_tryjoin_np(thread, &outcome), 0);
	cr_assert(commit_next(commit, &post));
	cr_assert_eq(post.kind, COMMIT_POST_ABANDON);
	pthread_join(thread, &outcome);
	cr_assert_eq((uintptr_t)outcome, COMMIT_ROLLBACK);
	free(t);
	commit_free(commit);
}

static void *
run_one(void *t)
{
	return (void *)(uintptr_t)commit_run(commit, t);
}

/* No error because of an old one that takes long: whoever comes waits, and a STOP or a
 * KILL ends that wait. */
Test(mysqlshim_commit, who_finds_too_many_open_waits, .init = setup)
{
	struct timespec pause = {.tv_nsec = 20000000};
	struct commit_transaction *first = transaction(1), *second = transaction(2);
	struct commit_post post;
	pthread_t thread;
	void *outcome;

	open_count = open_max = 1;
	cr_assert_eq(pthread_create(&thread, NULL, run_one, first), 0);
	nanosleep(&pause, NULL);
	cr_assert_not(commit_next(commit, &post));
	close_one();
	while (!commit_next(commit, &post))
		nanosleep(&pause, NULL);
	cr_assert_eq(post.transaction, first);
	commit_decide(commit, first, COMMIT_ROLLBACK, NULL);
	pthread_join(thread, &outcome);
	cr_assert_eq((uintptr_t)outcome, COMMIT_ROLLBACK);
	cr_assert_eq(pthread_create(&thread, NULL, run_one, second), 0);
	nanosleep(&pause, NULL);
	commit_quiesce(commit);
	pthread_join(thread, &outcome);
	cr_assert_eq((uintptr_t)outcome, COMMIT_REFUSED);
	cr_assert_eq(sequence_next, 1);
	free(first);
	free(second);
	commit_free(commit);
}

Test(mysqlshim_commit, who_comes_too_late_or_finds_no_room_is_refused, .init = setup)
{
	struct commit_transaction *t = transaction(1);

	open_max = 0;
	cr_assert_eq(commit_run(commit, t), COMMIT_REFUSED);
	open_max = 1;
	t->session = t;
	atomic_store(&killed_flag, true);
	cr_assert_eq(commit_run(commit, t), COMMIT_REFUSED);
	atomic_store(&killed_flag, false);
	commit_close(commit);
	cr_assert_eq(commit_run(commit, t), COMMIT_REFUSED);
	cr_assert_eq(sequence_next, 0);
	free(t);
	commit_free(commit);
}

/* A consumer that sleeps is woken by the first post, and by that one only. */
Test(mysqlshim_commit, a_burst_wakes_once, .init = setup)
{
	struct gtid gtid = {.gno = 1};

	cr_assert(commit_arm(commit));
	for (uint64_t i = 0; i < 10; i++)
		commit_committed(commit, i, &gtid);
	cr_assert_eq(atomic_load(&wakes), 1);
	cr_assert_eq(atomic_load(&others), 10);
	commit_disarm(commit);
	commit_free(commit);
}

struct asked {
	pthread_t thread;
	void *session;
	uint64_t timeout_ns;
	_Atomic uint32_t answer; /* enum commit_barrier; 0: it waits */
};

static void *
barrier(void *argument)
{
	struct asked *a = argument;

	atomic_store(&a->answer, commit_barrier(commit, a->session, a->timeout_ns));
	return NULL;
}

static void
ask(struct asked *a, void *session, uint64_t timeout_ns)
{
	*a = (struct asked){.session = session, .timeout_ns = timeout_ns};
	pthread_create(&a->thread, NULL, barrier, a);
}

static uint32_t
answer_of(struct asked *a)
{
	pthread_join(a->thread, NULL);
	return atomic_load(&a->answer);
}

#define LONG_NS 30000000000u

/* One answer is for all up to it, and for nobody behind. */
Test(mysqlshim_commit, who_waits_for_a_barrier_is_woken_by_it, .init = setup, .timeout = 30)
{
	struct asked first, second, third;

	ask(&first, NULL, LONG_NS);
	cr_assert_eq(wait_for(COMMIT_POST_BARRIER).sequence, 1);
	ask(&second, NULL, LONG_NS);
	cr_assert_eq(wait_for(COMMIT_POST_BARRIER).sequence, 2);
	ask(&third, NULL, LONG_NS);
	cr_assert_eq(wait_for(COMMIT_POST_BARRIER).sequence, 3);
	commit_passed(commit, 2);
	cr_assert_eq(answer_of(&first), COMMIT_BARRIER_PASSED);
	cr_assert_eq(answer_of(&second), COMMIT_BARRIER_PASSED);
	cr_assert_eq(atomic_load(&third.answer), 0);
	commit_passed(commit, 3);
	cr_assert_eq(answer_of(&third), COMMIT_BARRIER_PASSED);
	commit_free(commit);
}

Test(mysqlshim_commit, who_waits_for_a_barrier_does_not_wait_for_ever, .init = setup, .timeout = 30)
{
	struct asked late, killed, closed;

	ask(&late, NULL, 100000000);
	cr_assert_eq(answer_of(&late), COMMIT_BARRIER_LATE);
	ask(&closed, NULL, LONG_NS);
	ask(&killed, &killed, LONG_NS);
	atomic_store(&killed_flag, true);
	cr_assert_eq(answer_of(&killed), COMMIT_BARRIER_KILLED);
	cr_assert_eq(atomic_load(&closed.answer), 0);
	commit_quiesce(commit);
	cr_assert_eq(answer_of(&closed), COMMIT_BARRIER_CLOSED);
	cr_assert_eq(commit_barrier(commit, NULL, LONG_NS), COMMIT_BARRIER_CLOSED);
	commit_free(commit);
}
