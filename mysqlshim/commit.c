#include "mysqlshim/commit.h"

#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/must.h"
#include "mysqlshim/payload.h"
#include "ring/mailbox.h"

#define SLICE_NS   50000000 /* how late a KILL may be noticed */
#define RETRY_NS   1000000  /* a full mailbox: the network thread is behind */
#define POSTS_EACH 4        /* submit, abandon, committed or failed, and some remote ones */

#define NOBODY 0xffffffffu

/* An accepted one whose server has not committed it yet: by its thread. Every
 * commit of the server looks here, the applier's too: so a table of chains. */
struct accepted {
	uint64_t thread_id;
	uint64_t sequence;
	uint32_t next;
};

struct commit {
	struct commit_engine engine;
	struct commit_server server;
	struct mailbox box;
	struct mailbox_slot *slot;
	_Atomic bool closed;
	_Atomic uint32_t posting;  /* clients between their look at `closed` and their post */
	_Atomic uint32_t barriers; /* that were asked for; numbers that go round */
	uint32_t passed;           /* the word that those clients sleep on: up to this one */
	pthread_mutex_t mutex;     /* of what is below */
	uint32_t chains;           /* a power of two */
	uint32_t *chain;
	uint32_t free;
	struct accepted *accepted;
};

static bool
refuse(const struct shim_words *words, const char *text)
{
	words->log(SHIM_LEVEL_ERROR, SHIM_LOG_OWN_WORDS, text);
	return false;
}

bool
commit_describe(const struct commit_facts *f, struct commit_transaction *t, uint8_t *payload_flags,
		const struct shim_words *words)
{
	bool transactional = f->transaction_cache_bytes > 0;
	uint64_t bytes = f->transaction_cache_bytes + f->statement_cache_bytes;
	bool rows = transactional && !f->atomic_ddl;

	t->flags = 0;
	t->hash_count = 0;
	*payload_flags = 0;
	if (transactional == (f->statement_cache_bytes > 0))
		return refuse(words, "A commit with data in both binary log caches, or in none, "
				     "cannot be replicated in a group.");
	if (rows && f->bytes_max > 0 && bytes > f->bytes_max)
		return refuse(words, "The transaction is larger than "
				     "group_replication_transaction_size_limit. To replicate it, "
				     "raise that value, with care.");
	if (f->gtid_tagged)
		return refuse(words, "Tagged GTIDs come with a later release of Synod. Set "
				     "gtid_next to AUTOMATIC, or to a GTID without a tag.");
	if (bytes > COMMIT_PAYLOAD_MAX ||
	    f->hash_count > (COMMIT_PAYLOAD_MAX - bytes) / ENTRY_HASH_BYTES)
		return refuse(words, "The transaction is too large for this release of Synod, "
				     "which takes 1152 MiB, of which each changed key is 8 "
				     "bytes. Split it.");
	if (rows && f->hash_count == 0 && !f->gtid_assigned && !f->create_select)
		return refuse(words, "A transaction without a write set cannot be certified.");
	if (rows)
		t->hash_count = (uint32_t)f->hash_count;

	/* DDL has no write set, and that of CREATE TABLE ... SELECT does not know
	 * the rows it read: both are applied alone. Empty ones, which only bring
	 * a GTID, depend on nothing. */
	if (!rows || f->create_select)
		t->flags = SUBMIT_FENCE;
	else if (f->hash_count == 0)
		t->flags = SUBMIT_EMPTY;
	if (!rows || f->create_select || f->hash_count == 0)
		*payload_flags = PAYLOAD_STATEMENTS;
	return true;
}

static uint32_t
power_of_two(uint32_t n)
{
	uint32_t p = 2;

	while (p < n)
		p *= 2;
	return p;
}

static bool
allocate(struct commit *c, uint32_t slots, uint32_t inflight_max)
{
	/* Undecided and accepted ones share the member's ring of twice as many. */
	c->chains = power_of_two(2 * inflight_max);
	c->slot = calloc(slots, sizeof *c->slot);
	c->chain = calloc(c->chains, sizeof *c->chain);
	c->accepted = calloc(c->chains, sizeof *c->accepted);
	if (!c->slot || !c->chain || !c->accepted)
		return false;
	for (uint32_t i = 0; i < c->chains; i++) {
		c->chain[i] = NOBODY;
		c->accepted[i].next = i + 1 < c->chains ? i + 1 : NOBODY;
	}
	return true;
}

static void
release(struct commit *c)
{
	free(c->slot);
	free(c->chain);
	free(c->accepted);
	free(c);
}

struct commit *
commit_open(const struct commit_engine *engine, const struct commit_server *server,
	    uint32_t inflight_max)
{
	uint32_t slots = power_of_two(inflight_max * POSTS_EACH);
	struct commit *c = aligned_alloc(MAILBOX_LINE, sizeof *c);

	must(inflight_max > 0);
	must(inflight_max <= GROUP_INFLIGHT_MAX);
	if (!c)
		return NULL;
	memset(c, 0, sizeof *c);
	c->engine = *engine;
	c->server = *server;
	if (!allocate(c, slots, inflight_max)) {
		release(c);
		return NULL;
	}
	mailbox_init(&c->box, c->slot, slots);
	pthread_mutex_init(&c->mutex, NULL);
	atomic_init(&c->closed, false);
	atomic_init(&c->posting, 0);
	atomic_init(&c->barriers, 0);
	return c;
}

void
commit_free(struct commit *c)
{
	struct commit_post post;

	must(c);
	while (commit_next(c, &post))
		must(post.kind != COMMIT_POST_SUBMIT); /* its client would sleep for ever */
	pthread_mutex_destroy(&c->mutex);
	release(c);
}

static bool
post(struct commit *c, const struct commit_post *what)
{
	struct commit_post *copy = malloc(sizeof *copy);
	bool wake;

	if (!copy)
		return false;
	*copy = *what;
	if (!mailbox_push(&c->box, (uint64_t)(uintptr_t)copy, &wake)) {
		free(copy);
		return false;
	}
	if (wake)
		c->engine.wake(c->engine.context);
	return true;
}

/* For what must arrive: the sender is slowed, nothing is dropped. After close
 * nobody reads any more, and nothing is needed. */
static void
post_surely(struct commit *c, const struct commit_post *what)
{
	struct timespec pause = {.tv_nsec = RETRY_NS};

	while (!atomic_load(&c->closed) && !post(c, what))
		nanosleep(&pause, NULL);
}

struct submission {
	struct commit *commit;
	struct commit_transaction *transaction;
	bool posted;
	bool crowded;
};

/* Under the commit lock and the GTID lock: sequence, snapshot, post. */
static void
submit_locked(void *context, const struct snapshot_executed *executed)
{
	struct submission *s = context;
	struct commit *c = s->commit;
	struct commit_transaction *t = s->transaction;
	struct commit_post what = {.kind = COMMIT_POST_SUBMIT, .transaction = t};

	t->lent =
		t->payload_bytes + (uint64_t)t->hash_count * ENTRY_HASH_BYTES > COMMIT_COPIED_BYTES;
	enum commit_take taken = c->engine.take(c->engine.context, t->lent, executed, &t->taken);
	s->crowded = taken == COMMIT_CROWDED;
	if (taken == COMMIT_TAKEN) {
		what.sequence = t->taken.sequence;
		s->posted = post(c, &what);
	}
	if (s->posted)
		return; /* `t` is the network thread's */
	t->lent = false;
	if (taken == COMMIT_TAKEN)
		c->engine.untake(c->engine.context, t->taken.sequence);
}

static uint32_t
read_word(const uint32_t *word)
{
	return __atomic_load_n(word, __ATOMIC_ACQUIRE);
}

static void
sleep_on(uint32_t *word, uint32_t while_it_is)
{
	struct timespec slice = {.tv_nsec = SLICE_NS};

	syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, while_it_is, &slice, NULL, 0);
}

static void
wake(uint32_t *word)
{
	syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

static void
wake_all(uint32_t *word)
{
	syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}

static uint32_t *
chain_of(struct commit *c, uint64_t thread_id)
{
	return &c->chain[thread_id & (c->chains - 1)];
}

static void
remember(struct commit *c, uint64_t thread_id, uint64_t sequence)
{
	uint32_t *chain = chain_of(c, thread_id);

	pthread_mutex_lock(&c->mutex);
	uint32_t place = c->free;
	must(place != NOBODY);
	struct accepted *a = &c->accepted[place];
	c->free = a->next;
	*a = (struct accepted){.thread_id = thread_id, .sequence = sequence, .next = *chain};
	*chain = place;
	pthread_mutex_unlock(&c->mutex);
}

/* The sequence that was accepted for this thread, 0 for none. */
static uint64_t
find(struct commit *c, uint64_t thread_id)
{
	uint64_t sequence = 0;

	pthread_mutex_lock(&c->mutex);
	for (uint32_t at = *chain_of(c, thread_id); at != NOBODY; at = c->accepted[at].next)
		if (c->accepted[at].thread_id == thread_id)
			sequence = c->accepted[at].sequence;
	pthread_mutex_unlock(&c->mutex);
	return sequence;
}

/* The same; and forgets it. */
static uint64_t
forget(struct commit *c, uint64_t thread_id)
{
	uint64_t sequence = 0;

	pthread_mutex_lock(&c->mutex);
	for (uint32_t *at = chain_of(c, thread_id); *at != NOBODY; at = &c->accepted[*at].next) {
		uint32_t place = *at;
		struct accepted *a = &c->accepted[place];

		if (a->thread_id != thread_id)
			continue;
		sequence = a->sequence;
		*at = a->next;
		a->next = c->free;
		c->free = place;
		break;
	}
	pthread_mutex_unlock(&c->mutex);
	return sequence;
}

static bool
abandon(struct commit *c, struct commit_transaction *t)
{
	struct commit_post what = {
		.kind = COMMIT_POST_ABANDON, .transaction = t, .sequence = t->taken.sequence};

	__atomic_store_n(&t->abandons_unread, 1, __ATOMIC_RELEASE);
	if (post(c, &what))
		return true;
	/* Full: the next slice tries again. */
	__atomic_store_n(&t->abandons_unread, 0, __ATOMIC_RELEASE);
	return false;
}

/* Those that are open will be decided. */
static void
submit_when_there_is_room(struct submission *s)
{
	struct timespec pause = {.tv_nsec = RETRY_NS};
	struct commit *c = s->commit;

	while (!atomic_load(&c->closed) && !c->server.killed(s->transaction->session)) {
		c->server.locked(submit_locked, s);
		if (!s->crowded)
			return;
		nanosleep(&pause, NULL);
	}
}

enum commit_outcome
commit_run(struct commit *c, struct commit_transaction *t)
{
	struct submission s = {.commit = c, .transaction = t};
	bool abandoned = false;

	must(t->payload_bytes > 0);
	t->outcome = COMMIT_UNDECIDED;
	t->lent = false;
	t->abandons_unread = 0;
	atomic_fetch_add(&c->posting, 1);
	submit_when_there_is_room(&s);
	atomic_fetch_sub(&c->posting, 1);
	if (!s.posted)
		return COMMIT_REFUSED;

	uint32_t outcome;
	while ((outcome = read_word(&t->outcome)) == COMMIT_UNDECIDED) {
		sleep_on(&t->outcome, COMMIT_UNDECIDED);
		if (!abandoned && c->server.killed(t->session))
			abandoned = abandon(c, t);
	}
	while (read_word(&t->abandons_unread) != 0)
		sleep_on(&t->abandons_unread, 1);
	if (outcome == COMMIT_ACCEPTED)
		remember(c, t->thread_id, t->taken.sequence);
	return (enum commit_outcome)outcome;
}

void
commit_committed(struct commit *c, uint64_t thread_id, const struct gtid *gtid)
{
	struct commit_post what = {.kind = COMMIT_POST_COMMITTED, .gtid = *gtid};

	uint64_t own = forget(c, thread_id);
	post_surely(c, &what);
	if (own == 0)
		c->engine.applied(c->engine.context);
}

void
commit_failing(struct commit *c, uint64_t thread_id)
{
	uint64_t sequence = find(c, thread_id);

	if (sequence != 0)
		c->engine.failing(c->engine.context, sequence);
}

void
commit_failed(struct commit *c, uint64_t thread_id)
{
	struct commit_post what = {.kind = COMMIT_POST_FAILED};

	what.sequence = forget(c, thread_id);
	if (what.sequence != 0)
		post_surely(c, &what);
}

/* Numbers are taken before they are posted: so a later one that is posted first is asked for
 * behind both calls, and is as good. */
static bool
ask_for_barrier(struct commit *c, uint32_t *number)
{
	atomic_fetch_add(&c->posting, 1);
	*number = atomic_fetch_add(&c->barriers, 1) + 1;
	struct commit_post what = {.kind = COMMIT_POST_BARRIER, .sequence = *number};
	post_surely(c, &what);
	bool open = !atomic_load(&c->closed);
	atomic_fetch_sub(&c->posting, 1);
	return open;
}

static uint64_t
clock_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

enum commit_barrier
commit_barrier(struct commit *c, void *session, uint64_t timeout_ns)
{
	uint64_t begin_ns = clock_ns();
	uint32_t number, passed;

	if (!ask_for_barrier(c, &number))
		return COMMIT_BARRIER_CLOSED;
	while ((int32_t)((passed = read_word(&c->passed)) - number) < 0) {
		if (atomic_load(&c->closed))
			return COMMIT_BARRIER_CLOSED;
		if (c->server.killed(session))
			return COMMIT_BARRIER_KILLED;
		if (clock_ns() - begin_ns >= timeout_ns)
			return COMMIT_BARRIER_LATE;
		sleep_on(&c->passed, passed);
	}
	return COMMIT_BARRIER_PASSED;
}

void
commit_passed(struct commit *c, uint64_t sequence)
{
	__atomic_store_n(&c->passed, (uint32_t)sequence, __ATOMIC_RELEASE);
	wake_all(&c->passed);
}

bool
commit_next(struct commit *c, struct commit_post *post)
{
	uint64_t elem;

	if (mailbox_pop(&c->box, &elem, 1) == 0)
		return false;
	struct commit_post *from = (struct commit_post *)(uintptr_t)elem;
	*post = *from;
	free(from);
	if (post->kind == COMMIT_POST_ABANDON) {
		/* From here on the client may be gone: only its number is told. */
		struct commit_transaction *t = post->transaction;
		post->transaction = NULL;
		__atomic_store_n(&t->abandons_unread, 0, __ATOMIC_RELEASE);
		wake(&t->abandons_unread);
	}
	return true;
}

bool
commit_arm(struct commit *c)
{
	return mailbox_arm(&c->box);
}

void
commit_disarm(struct commit *c)
{
	mailbox_disarm(&c->box);
}

void
commit_decide(struct commit *c, struct commit_transaction *t, enum commit_outcome outcome,
	      const struct gtid *gtid)
{
	must(c);
	must(outcome != COMMIT_UNDECIDED);
	must(t->outcome == COMMIT_UNDECIDED);
	if (outcome == COMMIT_ACCEPTED)
		t->gtid = *gtid;
	/* After the store the client may be gone with its stack; waking an
	 * address that nobody sleeps on is harmless. */
	__atomic_store_n(&t->outcome, outcome, __ATOMIC_RELEASE);
	wake(&t->outcome);
}

void
commit_close(struct commit *c)
{
	atomic_store(&c->closed, true);
	wake_all(&c->passed);
}

void
commit_quiesce(struct commit *c)
{
	struct timespec pause = {.tv_nsec = RETRY_NS};

	commit_close(c);
	while (atomic_load(&c->posting) > 0)
		nanosleep(&pause, NULL);
}
