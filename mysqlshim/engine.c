#include "mysqlshim/engine.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/must.h"
#include "hw/crypto.h"
#include "mysqlshim/spool.h"

#define DATAGRAM_BYTES    1400
#define RECEIVE_BYTES     2048
#define RECEIVE_BURST     64
#define POST_BURST        64
#define SOCKET_BYTES      (4 << 20)
#define TRANSACTION_BYTES (63 * 1024) /* below a value of the nodes */
#define SUBMISSIONS       1024
#define STREAM_BYTES      (1 << 20)
#define SNAPSHOT_ENTRIES  65536
#define GTID_INTERVALS    65536
#define SESSION_DEAD_NS   200000000u /* the next leader mostly says sooner that it leads */
#define RETRY_NS          50000000u
#define PROGRESS_NS       20000000u
#define POLL_NS_MAX       1000000000u
#define SLICE_NS          20000000u
#define FORGET_NS         50000000u
#define JOIN_TRIES        8 /* each after being told of a later incarnation */

/* What the thread that starts and stops asks of the network thread. */
enum wish {
	WISH_NONE = 0,
	WISH_LEAVE = 1,
	WISH_QUIT = 2, /* forget everything, and end */
};

struct engine {
	struct crypto *crypto; /* sealed links */
	struct engine_options options;
	struct commit *commits;
	pthread_t thread;
	pthread_mutex_t lock; /* the member: its thread steps it, others take snapshots */
	struct member *member;
	size_t member_bytes;
	int socket;
	int wake; /* eventfd */
	/* The network thread's: a ring over sequences, and behind it the names' places. */
	struct commit_transaction **waiting;
	uint32_t sequences;
	uint32_t waiting_max;
	uint64_t timer_ns;
	uint64_t forget_ns; /* network thread: when next */
	uint64_t barrier;   /* network thread: the last that was asked for */
	uint32_t lent_count;
	const void **lent;         /* blocks, in no order; the network thread's */
	bool held;                 /* network thread: MEMBER_IN_HOLD was given */
	enum wish fulfilled;       /* network thread */
	uint64_t told_incarnation; /* by a refusal; read after `started` */
	_Atomic uint32_t started;  /* 0, then 1 + refusal */
	_Atomic uint32_t stopped;  /* 1: left, or expelled */
	_Atomic int wish;          /* enum wish */
	_Atomic bool released;     /* the server has room again */
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

static void
wake(void *context)
{
	struct engine *e = context;
	uint64_t one = 1;

	(void)!write(e->wake, &one, sizeof one);
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

static struct commit_transaction **
waiting_place(struct engine *e, uint64_t sequence)
{
	if (!(sequence & SNAPSHOT_AHEAD))
		return &e->waiting[sequence & (e->sequences - 1)];
	return &e->waiting[e->sequences +
			   snapshot_ahead_place(member_snapshots(e->member), sequence)];
}

static void
take_verdict(struct engine *e, const struct member_output *o)
{
	static const uint8_t outcome[] = {
		[MEMBER_ACCEPTED] = COMMIT_ACCEPTED,     [MEMBER_CONFLICT] = COMMIT_ROLLBACK,
		[MEMBER_STALE] = COMMIT_ROLLBACK,        [MEMBER_FULL] = COMMIT_REFUSED,
		[MEMBER_GTID_REFUSED] = COMMIT_ROLLBACK, [MEMBER_ABANDONED] = COMMIT_REFUSED,
		[MEMBER_NO_ROOM] = COMMIT_REFUSED,       [MEMBER_ENDED] = COMMIT_REFUSED,
	};
	struct commit_transaction **place = waiting_place(e, o->sequence);
	struct commit_transaction *t = *place;

	must(t);
	must(o->verdict >= MEMBER_ACCEPTED && o->verdict <= MEMBER_ENDED);
	*place = NULL;
	t->why = (struct explain){.verdict = (uint8_t)o->verdict, .winner_hash = o->winner_hash};
	if (o->winner)
		t->why.winner = *o->winner;
	commit_decide(e->commits, t, (enum commit_outcome)outcome[o->verdict], o->gtid);
}

/* Tells those who wait that nobody will tell them: the member has ended without their verdicts. */
static uint32_t
tell_unknown(struct engine *e)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < e->waiting_max; i++) {
		struct commit_transaction *t = e->waiting[i];

		e->waiting[i] = NULL;
		if (!t)
			continue;
		commit_decide(e->commits, t, COMMIT_UNKNOWN, NULL);
		count++;
	}
	return count;
}

static void
emit(void *context, const struct member_output *o)
{
	struct engine *e = context;
	const struct engine_callbacks *call = &e->options.callbacks;

	switch (o->kind) {
	case MEMBER_OUT_SEND:
		send_datagram(e, o);
		break;
	case MEMBER_OUT_STARTED:
		if (o->refusal == MEMBER_REFUSED_NONE)
			atomic_store(&e->incarnation, o->incarnation);
		e->told_incarnation = o->incarnation;
		word_set(&e->started, 1 + (uint32_t)o->refusal);
		break;
	case MEMBER_OUT_STOPPED:
		word_set(&e->stopped, 1);
		break;
	case MEMBER_OUT_VERDICT:
		take_verdict(e, o);
		break;
	case MEMBER_OUT_QUEUE:
		call->on_queue(call->context, o);
		break;
	case MEMBER_OUT_VIEW:
		call->on_view(call->context, o->view);
		break;
	case MEMBER_OUT_EXPELLED:
		commit_close(e->commits);
		word_set(&e->stopped, 1);
		call->on_ended(call->context, &(struct engine_end){.diverged = o->diverged,
								   .lacks = o->gtid,
								   .unknown = tell_unknown(e)});
		break;
	case MEMBER_OUT_BARRIER:
		commit_passed(e->commits, o->sequence);
		break;
	case MEMBER_OUT_LINK:
		break; /* in-flight outcomes come by the next one; nobody here asks */
	case MEMBER_OUT_TIMER:
		e->timer_ns = o->at_ns;
		break;
	}
}

static void
release(void *context, uint64_t sequence, const uint8_t *block)
{
	struct engine *e = context;

	(void)sequence;
	for (uint32_t i = 0; i < e->lent_count; i++) {
		if (e->lent[i] != block)
			continue;
		e->lent[i] = e->lent[--e->lent_count];
		break;
	}
	spool_free(block);
}

static void
step(struct engine *e, struct member_input in)
{
	pthread_mutex_lock(&e->lock);
	in.now_ns = clock_ns();
	member_step(e->member, &in,
		    &(struct member_sink){.context = e, .emit = emit, .release = release});
	pthread_mutex_unlock(&e->lock);
}

/* ---- the network thread ---- */

static void
submit(struct engine *e, struct commit_transaction *t)
{
	struct member_submission s = {
		.sequence = t->taken.sequence,
		.snapshot = &t->taken.snapshot,
		.gtid_spec = t->gtid_spec,
		.assigned = t->assigned,
		.flags = t->flags,
		.hashes = t->hashes,
		.hash_count = t->hash_count,
		.payload = commit_payload(t),
		.payload_bytes = t->payload_bytes,
		.lent = t->lent,
	};
	struct commit_transaction **place = waiting_place(e, s.sequence);

	must(!*place);
	*place = t;
	if (t->lent) {
		must(e->lent_count < e->waiting_max);
		e->lent[e->lent_count++] = t->hashes;
	}
	step(e, (struct member_input){.kind = MEMBER_IN_SUBMIT, .submission = &s});
}

/* A later one may have overtaken it, and is for both. */
static void
ask_for_barrier(struct engine *e, uint32_t number)
{
	int32_t later = (int32_t)(number - (uint32_t)e->barrier);

	if (later <= 0)
		return;
	e->barrier += (uint32_t)later;
	step(e, (struct member_input){.kind = MEMBER_IN_BARRIER, .sequence = e->barrier});
}

static bool
take_posts(struct engine *e)
{
	struct commit_post post;
	uint32_t taken = 0;

	for (; taken < POST_BURST && commit_next(e->commits, &post); taken++) {
		switch (post.kind) {
		case COMMIT_POST_SUBMIT:
			submit(e, post.transaction);
			break;
		case COMMIT_POST_ABANDON:
			step(e, (struct member_input){.kind = MEMBER_IN_ABANDON,
						      .sequence = post.sequence});
			break;
		case COMMIT_POST_COMMITTED:
			step(e, (struct member_input){.kind = MEMBER_IN_COMMITTED,
						      .gtid = &post.gtid});
			break;
		case COMMIT_POST_FAILED:
			step(e, (struct member_input){.kind = MEMBER_IN_LOCAL_FAILED,
						      .sequence = post.sequence});
			break;
		case COMMIT_POST_BARRIER:
			ask_for_barrier(e, (uint32_t)post.sequence);
			break;
		}
	}
	return taken > 0;
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
		step(e, in);
	}
	return taken > 0;
}

/* What is open when STOP comes is given up by an entry of its own; the log
 * decides which came first. */
static void
leave(struct engine *e)
{
	for (uint32_t i = 0; i < e->waiting_max; i++) {
		struct commit_transaction *t = e->waiting[i];

		if (t)
			step(e, (struct member_input){.kind = MEMBER_IN_ABANDON,
						      .sequence = t->taken.sequence});
	}
	step(e, (struct member_input){.kind = MEMBER_IN_STOP});
}

/* Without a quorum at the timeout no outcome will be told in this life. */
static void
quit(struct engine *e)
{
	struct commit_post post;

	step(e, (struct member_input){.kind = MEMBER_IN_QUIT});
	tell_unknown(e);
	while (commit_next(e->commits, &post)) {
		if (post.kind != COMMIT_POST_SUBMIT)
			continue;
		if (post.transaction->lent)
			spool_free(post.transaction->hashes);
		commit_decide(e->commits, post.transaction, COMMIT_REFUSED, NULL);
	}
}

static void
take_wishes(struct engine *e)
{
	enum wish wish = (enum wish)atomic_load(&e->wish);

	if (wish >= WISH_LEAVE && e->fulfilled < WISH_LEAVE)
		leave(e);
	if (wish == WISH_QUIT && e->fulfilled < WISH_QUIT)
		quit(e);
	e->fulfilled = wish;
}

/* The feed is held while the server's applier cannot take more. */
static void
look_for_room(struct engine *e)
{
	const struct engine_callbacks *call = &e->options.callbacks;

	if (e->held && atomic_exchange(&e->released, false)) {
		e->held = false;
		step(e, (struct member_input){.kind = MEMBER_IN_RELEASE});
	}
	if (!e->held && !call->has_room(call->context)) {
		e->held = true;
		step(e, (struct member_input){.kind = MEMBER_IN_HOLD});
	}
}

/* What large transactions have shown to the nodes leaves memory again. */
static void
forget_some(struct engine *e)
{
	uint64_t now_ns = clock_ns();

	if (now_ns < e->forget_ns)
		return;
	e->forget_ns = now_ns + FORGET_NS;
	for (uint32_t i = 0; i < e->lent_count; i++)
		spool_forget(e->lent[i]);
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
	if (wait_ns == 0 || !commit_arm(e->commits))
		return;
	struct timespec t = {.tv_sec = (time_t)(wait_ns / 1000000000u),
			     .tv_nsec = (long)(wait_ns % 1000000000u)};
	if (ppoll(fd, 2, &t, NULL) > 0 && (fd[1].revents & POLLIN))
		(void)!read(e->wake, &count, sizeof count);
	commit_disarm(e->commits);
}

static void *
run(void *argument)
{
	struct engine *e = argument;

	(void)pthread_setname_np(pthread_self(), "synod_network");
	while (e->fulfilled != WISH_QUIT) {
		bool busy = take_datagrams(e);

		look_for_room(e);
		busy |= take_posts(e);
		if (clock_ns() >= e->timer_ns)
			step(e, (struct member_input){.kind = MEMBER_IN_TICK});
		take_wishes(e);
		forget_some(e);
		if (!busy && e->fulfilled != WISH_QUIT)
			sleep_until_needed(e);
	}
	return NULL;
}

static void
wish(struct engine *e, enum wish wish)
{
	atomic_store(&e->wish, wish);
	wake(e);
}

/* ---- the server's threads ---- */

static void
applied(void *context)
{
	struct engine *e = context;

	e->options.callbacks.on_applied(e->options.callbacks.context);
}

/* ---- client threads, under the server's commit lock ---- */

static enum commit_take
take_snapshot(void *context, bool ahead, const struct snapshot_executed *executed,
	      struct snapshot_taken *taken)
{
	struct engine *e = context;

	/* Before it is a member there is no incarnation that a number could count in. */
	if (atomic_load(&e->incarnation) == 0)
		return COMMIT_NO_MEMBER;
	pthread_mutex_lock(&e->lock);
	struct snapshot_table *table = member_snapshots(e->member);
	bool ok = ahead ? snapshot_take_ahead(table, executed, taken)
			: snapshot_take(table, executed, taken);
	pthread_mutex_unlock(&e->lock);
	return ok ? COMMIT_TAKEN : COMMIT_CROWDED;
}

static void
untake_snapshot(void *context, uint64_t sequence)
{
	struct engine *e = context;

	pthread_mutex_lock(&e->lock);
	snapshot_close(member_snapshots(e->member), sequence);
	pthread_mutex_unlock(&e->lock);
}

static void
failing(void *context, uint64_t sequence)
{
	struct engine *e = context;

	pthread_mutex_lock(&e->lock);
	snapshot_failed(member_snapshots(e->member), sequence);
	pthread_mutex_unlock(&e->lock);
}

/* ---- start and stop ---- */

static struct member_config
member_config_of(const struct engine_options *o, const struct crypto *crypto)
{
	struct member_config c = {
		.node_count = o->appliance.node_count,
		.inflight_max = o->inflight_max,
		.transaction_bytes_max = TRANSACTION_BYTES,
		.payload_bytes_max = COMMIT_PAYLOAD_MAX,
		.submission_bytes = TRANSACTION_BYTES * SUBMISSIONS,
		.snapshot_entries_max = SNAPSHOT_ENTRIES,
		.gtid_intervals_max = GTID_INTERVALS,
		.datagram_bytes_max = DATAGRAM_BYTES,
		.stream_bytes = STREAM_BYTES,
		.session_dead_ns = SESSION_DEAD_NS,
		.retry_ns = RETRY_NS,
		.progress_ns = PROGRESS_NS,
	};

	memcpy(c.endpoint, o->appliance.node, sizeof c.endpoint);
	c.crypto = crypto;
	c.certificates = o->certificates;
	memcpy(c.secret, o->appliance.secret, sizeof c.secret);
	memcpy(c.psk, o->appliance.psk, sizeof c.psk);
	memcpy(c.node_key, o->appliance.key, sizeof c.node_key);
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

void
engine_free(struct engine *e)
{
	if (e->socket >= 0)
		close(e->socket);
	if (e->wake >= 0)
		close(e->wake);
	if (e->commits)
		commit_free(e->commits);
	pthread_mutex_destroy(&e->lock);
	if (e->member)
		munmap(e->member, e->member_bytes);
	hw_crypto_free(e->crypto);
	free(e->waiting);
	free(e->lent);
	free(e);
}

static int
allocate(struct engine *e)
{
	if (e->options.appliance.sealed && !(e->crypto = hw_crypto_new(MEMBER_CRYPTO_SLOTS, NULL)))
		return -ENOTSUP;
	struct member_config config = member_config_of(&e->options, e->crypto);
	struct commit_engine hooks = {.context = e,
				      .take = take_snapshot,
				      .untake = untake_snapshot,
				      .failing = failing,
				      .wake = wake,
				      .applied = applied};

	e->sequences = 2 * GROUP_INFLIGHT_MAX;
	e->waiting_max = e->sequences + GROUP_INFLIGHT_MAX;
	e->waiting = calloc(e->waiting_max, sizeof *e->waiting);
	e->lent = calloc(e->waiting_max, sizeof *e->lent);
	e->commits = commit_open(&hooks, e->options.server, e->options.inflight_max);
	e->member_bytes = member_size(&config);
	/* Zero pages: room for large submissions costs memory when there are some. */
	void *memory = mmap(NULL, e->member_bytes, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED || !e->waiting || !e->lent || !e->commits) {
		if (memory != MAP_FAILED)
			munmap(memory, e->member_bytes);
		return -ENOMEM;
	}
	e->member = member_init(memory, &config);
	return 0;
}

int
engine_open(const struct engine_options *options, struct engine **engine)
{
	struct engine *e = calloc(1, sizeof *e);

	*engine = NULL;
	if (!e)
		return -ENOMEM;
	e->socket = e->wake = -1;
	e->options = *options;
	e->timer_ns = UINT64_MAX;
	pthread_mutex_init(&e->lock, NULL);
	int error = allocate(e);
	if (error == 0)
		error = open_socket(e);
	if (error != 0) {
		engine_free(e);
		return error;
	}
	*engine = e;
	return 0;
}

struct commit *
engine_commits(struct engine *e)
{
	return e->commits;
}

static void
begin(struct engine *e, const struct engine_join *j, uint64_t last_incarnation)
{
	uint8_t random[64];
	struct member_start s = {
		.bootstrap = j->bootstrap,
		.last_incarnation = last_incarnation,
		.host = j->host,
		.port = j->port,
		.version = j->version,
		.block_size = j->block_size,
		.executed = j->executed,
	};

	must(getrandom(&s.process, sizeof s.process, 0) == sizeof s.process);
	must(getrandom(s.nonce, sizeof s.nonce, 0) == sizeof s.nonce);
	must(getrandom(random, sizeof random, 0) == sizeof random);
	memcpy(s.group_uuid, j->group_uuid, UUID_BYTES);
	step(e, (struct member_input){
			.kind = MEMBER_IN_RANDOM, .data = random, .bytes = sizeof random});
	step(e, (struct member_input){.kind = MEMBER_IN_START, .start = &s});
}

static void
end_thread(struct engine *e)
{
	wish(e, WISH_QUIT);
	pthread_join(e->thread, NULL);
}

/* One START of the member; -EAGAIN: the group knows a later incarnation of this
 * server than we said, and we know it now too. */
static int
try_to_join(struct engine *e, const struct engine_join *j, uint64_t deadline_ns,
	    enum member_refusal *refusal)
{
	uint64_t last_incarnation = e->told_incarnation;

	atomic_store(&e->started, 0);
	/* The thread of a try that was refused has stopped its member, too: left as it
	 * is, the next STOP would not wait for the outcomes of what is open. */
	atomic_store(&e->stopped, 0);
	atomic_store(&e->wish, WISH_NONE);
	e->fulfilled = WISH_NONE;
	begin(e, j, last_incarnation);
	int error = -pthread_create(&e->thread, NULL, run, e);
	if (error != 0)
		return error;
	while (atomic_load(&e->started) == 0 && clock_ns() < deadline_ns)
		word_wait(&e->started, 0, SLICE_NS);
	uint32_t started = atomic_load(&e->started);
	if (started == 1 + MEMBER_REFUSED_NONE)
		return 0;
	end_thread(e);
	if (started == 0)
		return -ETIMEDOUT;
	*refusal = (enum member_refusal)(started - 1);
	bool later =
		*refusal == MEMBER_REFUSED_INCARNATION && e->told_incarnation != last_incarnation;
	return later ? -EAGAIN : -ECONNREFUSED;
}

int
engine_join(struct engine *e, const struct engine_join *j, enum member_refusal *refusal)
{
	uint64_t deadline_ns = clock_ns() + j->timeout_ns;
	int error = -EAGAIN;

	*refusal = MEMBER_REFUSED_NONE;
	for (int i = 0; i < JOIN_TRIES && error == -EAGAIN; i++)
		error = try_to_join(e, j, deadline_ns, refusal);
	return error == -EAGAIN ? -ECONNREFUSED : error;
}

void
engine_retire(struct engine *e)
{
	int none = WISH_NONE;

	/* A wish never goes back: STOP may have come first. */
	if (atomic_compare_exchange_strong(&e->wish, &none, WISH_LEAVE))
		wake(e);
}

bool
engine_leave(struct engine *e, uint64_t timeout_ns)
{
	uint64_t deadline_ns = clock_ns() + timeout_ns;

	commit_quiesce(e->commits);
	wish(e, WISH_LEAVE);
	while (atomic_load(&e->stopped) == 0 && clock_ns() < deadline_ns)
		word_wait(&e->stopped, 0, SLICE_NS);
	bool left = atomic_load(&e->stopped) != 0;
	end_thread(e);
	return left;
}

void
engine_release(struct engine *e)
{
	atomic_store(&e->released, true);
	wake(e);
}

void
engine_stats(struct engine *e, struct member_stats *stats)
{
	pthread_mutex_lock(&e->lock);
	*stats = *member_stats(e->member);
	pthread_mutex_unlock(&e->lock);
}
