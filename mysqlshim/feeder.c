#include "mysqlshim/feeder.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/must.h"

#define ALIGNMENT 16
#define KIND_PAD  0 /* the rest of the ring, where the next thing did not fit */
#define NEVER     UINT64_MAX
#define SECOND_NS 1000000000u

struct head {
	uint32_t bytes; /* with this head, a multiple of ALIGNMENT */
	uint32_t kind;
	uint64_t unused;
};
_Static_assert(sizeof(struct head) == ALIGNMENT, "what follows a head is aligned as it is");

struct feeder {
	struct feeder_work work;
	pthread_t thread;
	_Atomic uint64_t applied; /* by the server, ever */
	_Atomic uint64_t open_at; /* the gate, when `applied` is there; NEVER: nobody waits */
	pthread_mutex_t lock;     /* of all below */
	pthread_cond_t changed;   /* the ring */
	pthread_cond_t gate;      /* what the feeder waits for before a transaction */
	uint64_t given;           /* transactions to the work; what is never applied is taken off */
	uint32_t others;          /* views and ends in the ring */
	uint8_t *ring;
	uint32_t ring_bytes;
	uint64_t put;         /* positions count bytes and never wrap */
	uint64_t taken;       /* below it nothing is read any more */
	bool full_told;       /* feeder_is_full() said so, and room() was not called since */
	bool applier_stopped; /* and the work does not know */
	bool closing;
	int began; /* 0 not yet, 1 well, -1 not */
};

static uint32_t
aligned(size_t bytes)
{
	return (uint32_t)((bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT);
}

static struct head *
head_at(struct feeder *f, uint64_t position)
{
	return (struct head *)(void *)(f->ring + (position & (f->ring_bytes - 1)));
}

static void
do_one(struct feeder *f, const struct head *head)
{
	const void *body = head + 1;

	if (head->kind == FEEDER_TRANSACTION) {
		struct feeder_transaction t;

		memcpy(&t, body, sizeof t);
		t.payload = (const uint8_t *)body + aligned(sizeof t);
		f->work.transaction(f->work.context, &t);
	} else if (head->kind == FEEDER_VIEW) {
		f->work.view(f->work.context, body);
	} else if (head->kind == FEEDER_ENDED) {
		f->work.ended(f->work.context);
	}
}

static bool
begins_transaction(const struct head *head)
{
	struct feeder_transaction t;

	if (head->kind != FEEDER_TRANSACTION)
		return false;
	memcpy(&t, head + 1, sizeof t);
	return t.offset == 0;
}

/* Until a place is free, something else is to be done, or nothing moves. */
static void
wait_at_gate(struct feeder *f, uint64_t open_at)
{
	struct timespec until;
	int error = 0;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += (long)f->work.stall_ns;
	until.tv_sec += until.tv_nsec / SECOND_NS;
	until.tv_nsec %= SECOND_NS;
	/* Before the look at `applied`: feeder_applied() counts first and looks here
	 * then, so one of the two sees the other. */
	atomic_store(&f->open_at, open_at);
	if (atomic_load(&f->applied) < open_at)
		error = pthread_cond_timedwait(&f->gate, &f->lock, &until);
	atomic_store(&f->open_at, NEVER);
	/* A long transaction, or one that the server had already: it will not be told,
	 * and must not narrow the gate for ever. */
	if (error == ETIMEDOUT)
		f->given = atomic_load(&f->applied);
}

/* False: it waited; look again. */
static bool
may_go_ahead(struct feeder *f)
{
	uint64_t applied = atomic_load(&f->applied), ahead_max = f->work.ahead_max;

	if (f->given < applied)
		f->given = applied;
	if (ahead_max > 0 && f->others == 0 && f->given - applied >= ahead_max) {
		wait_at_gate(f, f->given - ahead_max + 1);
		return false;
	}
	f->given++;
	return true;
}

static void
take_one(struct feeder *f, const struct head *head)
{
	pthread_mutex_unlock(&f->lock);
	do_one(f, head);
	pthread_mutex_lock(&f->lock);
	f->taken += head->bytes;
	f->others -= head->kind == FEEDER_VIEW || head->kind == FEEDER_ENDED;
	bool room = f->full_told && f->put - f->taken <= f->ring_bytes / 4;
	f->full_told &= !room;
	pthread_cond_broadcast(&f->changed);
	if (!room)
		return;
	pthread_mutex_unlock(&f->lock);
	f->work.room(f->work.context);
	pthread_mutex_lock(&f->lock);
}

static void
work_until_closed(struct feeder *f)
{
	pthread_mutex_lock(&f->lock);
	while (!f->closing) {
		if (f->applier_stopped) {
			f->applier_stopped = false;
			pthread_mutex_unlock(&f->lock);
			f->work.applier_stopped(f->work.context);
			pthread_mutex_lock(&f->lock);
			continue;
		}
		if (f->taken == f->put) {
			pthread_cond_wait(&f->changed, &f->lock);
			continue;
		}
		const struct head *head = head_at(f, f->taken);
		if (begins_transaction(head) && !may_go_ahead(f))
			continue;
		take_one(f, head);
	}
	pthread_mutex_unlock(&f->lock);
}

static void *
run(void *argument)
{
	struct feeder *f = argument;

	(void)pthread_setname_np(pthread_self(), "synod_feeder");
	bool began = f->work.begin(f->work.context);

	pthread_mutex_lock(&f->lock);
	f->began = began ? 1 : -1;
	pthread_cond_broadcast(&f->changed);
	pthread_mutex_unlock(&f->lock);
	if (!began)
		return NULL;
	work_until_closed(f);
	f->work.end(f->work.context);
	return NULL;
}

static void
feeder_free(struct feeder *f)
{
	pthread_cond_destroy(&f->changed);
	pthread_cond_destroy(&f->gate);
	pthread_mutex_destroy(&f->lock);
	free(f->ring);
	free(f);
}

static int
start_thread(struct feeder *f)
{
	int error = pthread_create(&f->thread, NULL, run, f);

	if (error != 0)
		return -error;
	pthread_mutex_lock(&f->lock);
	while (f->began == 0)
		pthread_cond_wait(&f->changed, &f->lock);
	bool began = f->began > 0;
	pthread_mutex_unlock(&f->lock);
	if (began)
		return 0;
	pthread_join(f->thread, NULL);
	return -ENOMEM;
}

static void
init_gate(struct feeder *f)
{
	pthread_condattr_t attributes;

	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&f->gate, &attributes);
	pthread_condattr_destroy(&attributes);
	atomic_init(&f->applied, 0);
	atomic_init(&f->open_at, NEVER);
}

int
feeder_open(const struct feeder_work *work, uint32_t ring_bytes, struct feeder **feeder)
{
	struct feeder *f = calloc(1, sizeof *f);

	must((ring_bytes & (ring_bytes - 1)) == 0);
	must(work->stall_ns < SECOND_NS);
	must(ring_bytes >= 4 * sizeof(struct member_view));
	*feeder = NULL;
	if (!f)
		return -ENOMEM;
	f->work = *work;
	f->ring_bytes = ring_bytes;
	f->ring = aligned_alloc(64, ring_bytes);
	pthread_mutex_init(&f->lock, NULL);
	pthread_cond_init(&f->changed, NULL);
	init_gate(f);
	int error = f->ring ? start_thread(f) : -ENOMEM;
	if (error != 0) {
		feeder_free(f);
		return error;
	}
	*feeder = f;
	return 0;
}

/* Waits for `bytes` in one piece, and answers where; a pad may go before it. The
 * caller holds the lock, and adds head->bytes to `put` when it has filled it. */
static struct head *
make_room(struct feeder *f, enum feeder_kind kind, size_t body_bytes)
{
	uint32_t bytes = aligned(sizeof(struct head) + body_bytes);
	uint32_t rest = f->ring_bytes - (uint32_t)(f->put & (f->ring_bytes - 1));
	uint32_t needed = bytes <= rest ? bytes : rest + bytes;

	must(bytes <= f->ring_bytes / 4);
	while (f->ring_bytes - (f->put - f->taken) < needed)
		pthread_cond_wait(&f->changed, &f->lock);
	if (needed > bytes) {
		*head_at(f, f->put) = (struct head){.bytes = rest, .kind = KIND_PAD};
		f->put += rest;
	}
	struct head *head = head_at(f, f->put);
	*head = (struct head){.bytes = bytes, .kind = kind};
	return head;
}

static void
made(struct feeder *f, const struct head *head)
{
	f->put += head->bytes;
	f->others += head->kind != FEEDER_TRANSACTION;
	if (f->others > 0)
		pthread_cond_broadcast(&f->gate);
	pthread_cond_broadcast(&f->changed);
	pthread_mutex_unlock(&f->lock);
}

void
feeder_put_transaction(struct feeder *f, const struct feeder_transaction *t)
{
	pthread_mutex_lock(&f->lock);
	struct head *head =
		make_room(f, FEEDER_TRANSACTION, aligned(sizeof *t) + (size_t)t->payload_bytes);
	uint8_t *body = (uint8_t *)(head + 1);
	memcpy(body, t, sizeof *t);
	memcpy(body + aligned(sizeof *t), t->payload, t->payload_bytes);
	made(f, head);
}

void
feeder_put_view(struct feeder *f, const struct member_view *view)
{
	pthread_mutex_lock(&f->lock);
	struct head *head = make_room(f, FEEDER_VIEW, sizeof *view);
	memcpy(head + 1, view, sizeof *view);
	made(f, head);
}

void
feeder_put_ended(struct feeder *f)
{
	pthread_mutex_lock(&f->lock);
	made(f, make_room(f, FEEDER_ENDED, 0));
}

void
feeder_applier_stopped(struct feeder *f)
{
	pthread_mutex_lock(&f->lock);
	f->applier_stopped = true;
	pthread_cond_broadcast(&f->changed);
	pthread_cond_broadcast(&f->gate);
	pthread_mutex_unlock(&f->lock);
}

void
feeder_applied(struct feeder *f)
{
	uint64_t applied = atomic_fetch_add(&f->applied, 1) + 1;

	if (applied != atomic_load(&f->open_at))
		return;
	pthread_mutex_lock(&f->lock);
	pthread_cond_broadcast(&f->gate);
	pthread_mutex_unlock(&f->lock);
}

bool
feeder_is_full(struct feeder *f)
{
	pthread_mutex_lock(&f->lock);
	bool full = f->put - f->taken > f->ring_bytes / 2;
	f->full_told |= full;
	pthread_mutex_unlock(&f->lock);
	return full;
}

void
feeder_close(struct feeder *f)
{
	pthread_mutex_lock(&f->lock);
	f->closing = true;
	pthread_cond_broadcast(&f->changed);
	pthread_cond_broadcast(&f->gate);
	pthread_mutex_unlock(&f->lock);
	pthread_join(f->thread, NULL);
	feeder_free(f);
}
