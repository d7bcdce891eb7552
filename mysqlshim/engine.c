#include "mysqlshim/engine.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/must.h"
#include "ring/mailbox.h"

#define MAILBOX_SLOTS     8192
#define DATAGRAM_BYTES    1400
#define RECEIVE_BYTES     2048
#define RECEIVE_BURST     64
#define SOCKET_BYTES      (4 << 20)
#define TRANSACTION_BYTES (176 * 1024)
#define SUBMISSIONS       512
#define STREAM_BYTES      (1 << 20)
#define SNAPSHOT_ENTRIES  65536
#define GTID_INTERVALS    65536
#define WAIT_SLICE_NS     20000000 /* how soon a KILL is noticed */
#define SESSION_DEAD_NS   500000000u
#define RETRY_NS          50000000u
#define PROGRESS_NS       20000000u
#define POLL_NS_MAX       1000000000u

enum request_kind {
	REQUEST_SUBMIT = 1,
	REQUEST_ABANDON = 2,
	REQUEST_COMMITTED = 3,    /* freed by the network thread */
	REQUEST_LOCAL_FAILED = 4, /* the same */
	REQUEST_STOP = 5,
	REQUEST_QUIT = 6,
};

/* What client threads put into the mailbox. SUBMIT lies on the stack of a thread
 * that sleeps until its verdict; any other is freed by the network thread, since a
 * verdict may come, and its thread be gone, while an ABANDON is still in the box. */
struct request {
	enum request_kind kind;
	uint64_t sequence;
	struct gtid gtid;
	const struct member_submission *submission;
	struct waiter *waiter;
};

/* A thread that sleeps until its transaction is decided. */
struct waiter {
	_Atomic uint32_t decided; /* 0 until `outcome` is written */
	enum engine_outcome outcome;
	struct engine_transaction *transaction;
	bool abandoned; /* network thread: asked at STOP */
};

struct engine {
	struct engine_callbacks callbacks;
	pthread_t thread;
	pthread_mutex_t lock; /* the member: its thread steps it, others take snapshots */
	struct member *member;
	int socket;
	int wake; /* eventfd */
	struct mailbox mailbox;
	struct mailbox_slot *slot;
	struct waiter **waiting; /* ring over sequence, the network thread's */
	uint32_t waiting_max;
	uint64_t timer_ns;
	_Atomic uint32_t started; /* 0, then 1 + refusal */
	_Atomic uint32_t stopped; /* 1: left, or expelled */
	_Atomic bool refusing;    /* no new transaction is taken */
	_Atomic bool finish;      /* the thread is to end */
	_Atomic uint32_t inside;  /* client threads in engine_commit() */
	_Atomic uint64_t incarnation;
};

static uint64_t
clock_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void
word_wait(_Atomic uint32_t *word, uint32_t while_equal, uint64_t timeout_ns)
{
	struct timespec t = {.tv_sec = (time_t)(timeout_ns / 1000000000u),
			     .tv_nsec = (long)(timeout_ns % 1000000000u)};

	syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, while_equal, &t, NULL, 0);
}

static void
word_set(_Atomic uint32_t *word, uint32_t value)
{
	atomic_store(word, value);
	syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}

/* ---- outputs of the member, on the network thread ---- */

static void
send_datagram(struct engine *e, const struct member_output *o)
{
	struct sockaddr_in6 to = {.sin6_family = AF_INET6, .sin6_port = htons(o->to.port)};

	memcpy(&to.sin6_addr, o->to.address, ENDPOINT_ADDRESS_BYTES);
	/* A datagram the kernel does not take is a lost one: the session resends. */
	(void)!sendto(e->socket, o->data, o->bytes, MSG_DONTWAIT, (struct sockaddr *)&to,
		      sizeof to);
}

static void
decide(struct waiter *w, enum engine_outcome outcome)
{
	w->outcome = outcome;
	word_set(&w->decided, 1);
}

static void
take_verdict(struct engine *e, const struct member_output *o)
{
	static const uint8_t outcome[] = {
		[MEMBER_ACCEPTED] = ENGINE_COMMIT,   [MEMBER_CONFLICT] = ENGINE_CONFLICT,
		[MEMBER_STALE] = ENGINE_STALE,       [MEMBER_FULL] = ENGINE_FULL,
		[MEMBER_GTID_REFUSED] = ENGINE_GTID, [MEMBER_ABANDONED] = ENGINE_KILLED,
		[MEMBER_NO_ROOM] = ENGINE_NO_ROOM,   [MEMBER_ENDED] = ENGINE_ENDED,
	};
	struct waiter **place = &e->waiting[o->sequence & (e->waiting_max - 1)];
	struct waiter *w = *place;

	must(w);
	*place = NULL;
	w->transaction->index = o->index;
	if (o->gtid)
		w->transaction->gtid = *o->gtid;
	w->transaction->winner_known = o->winner != NULL;
	if (o->winner)
		w->transaction->winner = *o->winner;
	w->transaction->winner_hash = o->winner_hash;
	decide(w, (enum engine_outcome)outcome[o->verdict]);
}

static void
take_queue(struct engine *e, const struct member_output *o)
{
	e->callbacks.on_queue(e->callbacks.context, &(struct engine_entry){
							    .index = o->index,
							    .dependency = o->dependency,
							    .gtid = o->gtid,
							    .flags = o->flags,
							    .payload = o->data,
							    .payload_bytes = o->bytes,
						    });
}

static void
emit(void *context, const struct member_output *o)
{
	struct engine *e = context;

	switch (o->kind) {
	case MEMBER_OUT_SEND:
		send_datagram(e, o);
		break;
	case MEMBER_OUT_STARTED:
		atomic_store(&e->incarnation, o->incarnation);
		word_set(&e->started, 1 + (uint32_t)o->refusal);
		break;
	case MEMBER_OUT_STOPPED:
		word_set(&e->stopped, 1);
		break;
	case MEMBER_OUT_VERDICT:
		take_verdict(e, o);
		break;
	case MEMBER_OUT_QUEUE:
		take_queue(e, o);
		break;
	case MEMBER_OUT_VIEW:
		e->callbacks.on_view(e->callbacks.context, o->view);
		break;
	case MEMBER_OUT_EXPELLED:
		atomic_store(&e->refusing, true);
		word_set(&e->stopped, 1);
		e->callbacks.on_expelled(e->callbacks.context);
		break;
	case MEMBER_OUT_LINK:
		e->callbacks.on_link(e->callbacks.context, o->connected);
		break;
	case MEMBER_OUT_TIMER:
		e->timer_ns = o->at_ns;
		break;
	}
}

/* The caller holds the lock. */
static void
step(struct engine *e, struct member_input in)
{
	in.now_ns = clock_ns();
	member_step(e->member, &in, &(struct member_sink){.context = e, .emit = emit});
}

/* ---- the network thread ---- */

static void
abandon_all(struct engine *e)
{
	for (uint32_t i = 0; i < e->waiting_max; i++) {
		struct waiter *w = e->waiting[i];

		if (!w || w->abandoned)
			continue;
		w->abandoned = true;
		step(e, (struct member_input){.kind = MEMBER_IN_ABANDON,
					      .sequence = w->transaction->sequence});
	}
}

/* Without a quorum at the timeout: no outcome will be told in this life. */
static void
quit(struct engine *e)
{
	step(e, (struct member_input){.kind = MEMBER_IN_QUIT});
	for (uint32_t i = 0; i < e->waiting_max; i++) {
		struct waiter *w = e->waiting[i];

		e->waiting[i] = NULL;
		if (w)
			decide(w, ENGINE_UNKNOWN);
	}
}

static void
take_request(struct engine *e, struct request *r)
{
	switch (r->kind) {
	case REQUEST_SUBMIT:
		e->waiting[r->sequence & (e->waiting_max - 1)] = r->waiter;
		step(e,
		     (struct member_input){.kind = MEMBER_IN_SUBMIT, .submission = r->submission});
		return;
	case REQUEST_ABANDON:
		step(e, (struct member_input){.kind = MEMBER_IN_ABANDON, .sequence = r->sequence});
		break;
	case REQUEST_COMMITTED:
		step(e, (struct member_input){.kind = MEMBER_IN_COMMITTED, .gtid = &r->gtid});
		break;
	case REQUEST_LOCAL_FAILED:
		step(e, (struct member_input){.kind = MEMBER_IN_LOCAL_FAILED,
					      .sequence = r->sequence});
		break;
	case REQUEST_STOP:
		abandon_all(e);
		step(e, (struct member_input){.kind = MEMBER_IN_STOP});
		break;
	case REQUEST_QUIT:
		quit(e);
		break;
	}
	free(r);
}

static bool
take_requests(struct engine *e)
{
	uint64_t elem[64];
	uint32_t n = mailbox_pop(&e->mailbox, elem, 64);

	pthread_mutex_lock(&e->lock);
	for (uint32_t i = 0; i < n; i++)
		take_request(e, (struct request *)(uintptr_t)elem[i]);
	pthread_mutex_unlock(&e->lock);
	return n > 0;
}

static bool
take_datagrams(struct engine *e)
{
	uint8_t data[RECEIVE_BYTES];
	uint32_t taken = 0;

	for (; taken < RECEIVE_BURST; taken++) {
		struct sockaddr_in6 from;
		socklen_t from_bytes = sizeof from;
		ssize_t n = recvfrom(e->socket, data, sizeof data, MSG_DONTWAIT,
				     (struct sockaddr *)&from, &from_bytes);

		if (n < 0)
			break;
		struct member_input in = {.kind = MEMBER_IN_PACKET,
					  .data = data,
					  .bytes = (uint32_t)n,
					  .from = {.port = ntohs(from.sin6_port)}};
		memcpy(in.from.address, &from.sin6_addr, ENDPOINT_ADDRESS_BYTES);
		pthread_mutex_lock(&e->lock);
		step(e, in);
		pthread_mutex_unlock(&e->lock);
	}
	return taken > 0;
}

static void
sleep_until_needed(struct engine *e)
{
	uint64_t now_ns = clock_ns();
	uint64_t wait_ns = e->timer_ns > now_ns ? e->timer_ns - now_ns : 0;
	struct pollfd fd[2] = {{.fd = e->socket, .events = POLLIN},
			       {.fd = e->wake, .events = POLLIN}};
	uint64_t count;

	if (wait_ns > POLL_NS_MAX)
		wait_ns = POLL_NS_MAX;
	if (wait_ns == 0 || !mailbox_arm(&e->mailbox))
		return;
	struct timespec t = {.tv_sec = (time_t)(wait_ns / 1000000000u),
			     .tv_nsec = (long)(wait_ns % 1000000000u)};
	if (ppoll(fd, 2, &t, NULL) > 0 && (fd[1].revents & POLLIN))
		(void)!read(e->wake, &count, sizeof count);
	mailbox_disarm(&e->mailbox);
}

static void *
run(void *argument)
{
	struct engine *e = argument;

	while (!atomic_load(&e->finish)) {
		bool busy = take_datagrams(e);

		busy |= take_requests(e);
		if (clock_ns() >= e->timer_ns) {
			pthread_mutex_lock(&e->lock);
			step(e, (struct member_input){.kind = MEMBER_IN_TICK});
			pthread_mutex_unlock(&e->lock);
		}
		if (!busy)
			sleep_until_needed(e);
	}
	return NULL;
}

static void
push(struct engine *e, struct request *r)
{
	bool wake = false;
	uint64_t one = 1;

	while (!mailbox_push(&e->mailbox, (uint64_t)(uintptr_t)r, &wake))
		sched_yield(); /* full: the sender is slowed, nothing is dropped */
	if (wake)
		(void)!write(e->wake, &one, sizeof one);
}

static void
push_new(struct engine *e, struct request request)
{
	struct request *r = malloc(sizeof *r);

	must(r);
	*r = request;
	push(e, r);
}

/* ---- start and stop ---- */

static struct member_config
member_config_of(const struct engine_options *o)
{
	struct member_config c = {
		.node_count = o->node_count,
		.inflight_max = o->inflight_max,
		.transaction_bytes_max = TRANSACTION_BYTES,
		.submission_bytes = TRANSACTION_BYTES * SUBMISSIONS,
		.snapshot_entries_max = SNAPSHOT_ENTRIES,
		.gtid_intervals_max = GTID_INTERVALS,
		.datagram_bytes_max = DATAGRAM_BYTES,
		.stream_bytes = STREAM_BYTES,
		.session_dead_ns = SESSION_DEAD_NS,
		.retry_ns = RETRY_NS,
		.progress_ns = PROGRESS_NS,
	};

	memcpy(c.endpoint, o->node, sizeof c.endpoint);
	memcpy(c.server_uuid, o->server_uuid, UUID_BYTES);
	return c;
}

static int
open_socket(struct engine *e)
{
	struct sockaddr_in6 any = {.sin6_family = AF_INET6};
	int off = 0, bytes = SOCKET_BYTES;

	e->socket = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	e->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (e->socket < 0 || e->wake < 0)
		return -errno;
	setsockopt(e->socket, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
	setsockopt(e->socket, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes);
	setsockopt(e->socket, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
	return bind(e->socket, (struct sockaddr *)&any, sizeof any) == 0 ? 0 : -errno;
}

static void
engine_free(struct engine *e)
{
	if (e->socket >= 0)
		close(e->socket);
	if (e->wake >= 0)
		close(e->wake);
	pthread_mutex_destroy(&e->lock);
	free(e->member);
	free(e->slot);
	free(e->waiting);
	free(e);
}

static struct engine *
engine_new(const struct engine_options *o)
{
	struct member_config config = member_config_of(o);
	size_t bytes = (member_size(&config) + 63) / 64 * 64;
	struct engine *e = calloc(1, sizeof *e);

	if (!e)
		return NULL;
	e->socket = e->wake = -1;
	pthread_mutex_init(&e->lock, NULL);
	e->callbacks = o->callbacks;
	e->timer_ns = UINT64_MAX;
	e->waiting_max = 2 * GROUP_INFLIGHT_MAX;
	e->waiting = calloc(e->waiting_max, sizeof(struct waiter *));
	e->slot = calloc(MAILBOX_SLOTS, sizeof *e->slot);
	void *memory = aligned_alloc(64, bytes);
	if (!e->waiting || !e->slot || !memory) {
		free(memory);
		engine_free(e);
		return NULL;
	}
	memset(memory, 0, bytes);
	mailbox_init(&e->mailbox, e->slot, MAILBOX_SLOTS);
	e->member = member_init(memory, &config);
	return e;
}

static void
begin(struct engine *e, const struct engine_options *o)
{
	uint8_t random[64];
	struct member_start s = {
		.bootstrap = o->bootstrap,
		.last_incarnation = o->last_incarnation,
		.host = o->host,
		.port = o->port,
		.version = o->version,
		.block_size = o->block_size,
		.executed = o->executed,
	};

	must(getrandom(random, sizeof random, 0) == sizeof random);
	memcpy(&s.process, random, sizeof s.process);
	must(getrandom(s.nonce, sizeof s.nonce, 0) == sizeof s.nonce);
	memcpy(s.group_uuid, o->group_uuid, UUID_BYTES);
	must(getrandom(random, sizeof random, 0) == sizeof random);
	step(e, (struct member_input){
			.kind = MEMBER_IN_RANDOM, .data = random, .bytes = sizeof random});
	step(e, (struct member_input){.kind = MEMBER_IN_START, .start = &s});
}

static void
end_thread(struct engine *e)
{
	uint64_t one = 1;

	atomic_store(&e->finish, true);
	(void)!write(e->wake, &one, sizeof one);
	pthread_join(e->thread, NULL);
}

int
engine_start(const struct engine_options *o, struct engine **engine, enum member_refusal *refusal)
{
	struct engine *e = engine_new(o);
	uint64_t deadline_ns = clock_ns() + o->start_timeout_ns;

	*engine = NULL;
	*refusal = MEMBER_REFUSED_NONE;
	if (!e)
		return -ENOMEM;
	int error = open_socket(e);
	if (error == 0) {
		begin(e, o);
		error = -pthread_create(&e->thread, NULL, run, e);
	}
	if (error != 0) {
		engine_free(e);
		return error;
	}
	while (atomic_load(&e->started) == 0 && clock_ns() < deadline_ns)
		word_wait(&e->started, 0, deadline_ns - clock_ns());
	uint32_t started = atomic_load(&e->started);
	if (started == 1) {
		*engine = e;
		return 0;
	}
	end_thread(e);
	engine_free(e);
	if (started == 0)
		return -ETIMEDOUT;
	*refusal = (enum member_refusal)(started - 1);
	return -ECONNREFUSED;
}

bool
engine_stop(struct engine *e, uint64_t timeout_ns)
{
	uint64_t deadline_ns = clock_ns() + timeout_ns;

	atomic_store(&e->refusing, true);
	push_new(e, (struct request){.kind = REQUEST_STOP});
	while (atomic_load(&e->stopped) == 0 && clock_ns() < deadline_ns)
		word_wait(&e->stopped, 0, WAIT_SLICE_NS);
	bool left = atomic_load(&e->stopped) != 0;
	push_new(e, (struct request){.kind = REQUEST_QUIT});
	while (atomic_load(&e->inside) > 0)
		usleep(1000); /* every one of them has its outcome, or gets it by QUIT */
	end_thread(e);
	engine_free(e);
	return left;
}

/* ---- client threads ---- */

struct taking {
	struct engine *engine;
	struct snapshot_taken taken;
	bool ok;
};

static void
take_snapshot(void *argument)
{
	struct taking *t = argument;
	struct engine *e = t->engine;
	struct snapshot_executed executed = {.context = e->callbacks.context,
					     .contains = e->callbacks.executed};

	pthread_mutex_lock(&e->lock);
	t->ok = snapshot_take(member_snapshots(e->member), &executed, &t->taken);
	pthread_mutex_unlock(&e->lock);
}

static enum engine_outcome
wait_for_verdict(struct engine *e, struct waiter *w)
{
	bool asked = false;

	while (atomic_load(&w->decided) == 0) {
		word_wait(&w->decided, 0, WAIT_SLICE_NS);
		if (asked || atomic_load(&w->decided) != 0)
			continue;
		if (e->callbacks.killed(e->callbacks.context, w->transaction->server)) {
			asked = true;
			push_new(e, (struct request){.kind = REQUEST_ABANDON,
						     .sequence = w->transaction->sequence});
		}
	}
	return w->outcome;
}

static enum engine_outcome
commit(struct engine *e, struct engine_transaction *t)
{
	struct taking *taking = malloc(sizeof *taking);

	if (!taking)
		return ENGINE_NO_ROOM;
	taking->engine = e;
	e->callbacks.locked(e->callbacks.context, t->server, take_snapshot, taking);
	if (!taking->ok) {
		free(taking);
		return ENGINE_NO_ROOM;
	}
	struct member_submission submission = {
		.sequence = taking->taken.sequence,
		.snapshot = &taking->taken.snapshot,
		.gtid_spec = t->gtid_spec,
		.assigned = t->assigned,
		.flags = t->flags,
		.hashes = t->hashes,
		.hash_count = t->hash_count,
		.payload = t->payload,
		.payload_bytes = t->payload_bytes,
	};
	struct waiter waiter = {.transaction = t};
	struct request submit = {.kind = REQUEST_SUBMIT,
				 .sequence = submission.sequence,
				 .submission = &submission,
				 .waiter = &waiter};

	t->sequence = submission.sequence;
	push(e, &submit);
	enum engine_outcome outcome = wait_for_verdict(e, &waiter);
	free(taking);
	return outcome;
}

enum engine_outcome
engine_commit(struct engine *e, struct engine_transaction *t)
{
	enum engine_outcome outcome = ENGINE_ENDED;

	atomic_fetch_add(&e->inside, 1);
	if (!atomic_load(&e->refusing))
		outcome = commit(e, t);
	atomic_fetch_sub(&e->inside, 1);
	return outcome;
}

void
engine_local_failed(struct engine *e, uint64_t sequence)
{
	push_new(e, (struct request){.kind = REQUEST_LOCAL_FAILED, .sequence = sequence});
}

void
engine_committed(struct engine *e, const struct gtid *gtid)
{
	push_new(e, (struct request){.kind = REQUEST_COMMITTED, .gtid = *gtid});
}

void
engine_stats(struct engine *e, struct member_stats *stats)
{
	pthread_mutex_lock(&e->lock);
	*stats = *member_stats(e->member);
	pthread_mutex_unlock(&e->lock);
}

uint64_t
engine_incarnation(const struct engine *e)
{
	return atomic_load(&e->incarnation);
}
