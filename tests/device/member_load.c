/*
 * member_load OPTION=VALUE... - one member under load, without a server.
 *
 * It drives node/member.h over a UDP socket, in one thread: a poll loop that turns
 * datagrams, timers and its own clients into steps. The server behind the member is
 * a table of hot rows, a set of executed GTIDs, and an applier that is always ready.
 *
 *     nodes=10.77.0.1:4000,...  group=NAME  uuid=1  port=3306  state=FILE  bootstrap=1
 *     key_file=FILE, which seals: nodes=10.77.0.1:4000=PUBLICKEY,...
 *     clients=8  hot_rows=4  hot_percent=20  hashes=4  payload=200  think_us=0
 *     commit_us=500  block_size=1000  dead_ms=200  start_s=30  large=0  large_kib=1024
 *     large_hashes=0  text=WORDS (of which the payloads are made; else of random bytes)
 *
 * Large      one in `large` transactions (0: none) has a payload of large_kib, and
 *            large_hashes more in its write set.
 * State      every event is a line of FILE before anybody is told: its letter (S: is
 *            about to be submitted, A: an own one that a client was told of, R: one
 *            that the applier made, C: refused, K: never came into the log, I: an
 *            incarnation), index, GTID's number, row, index of the writer of that
 *            row which it saw, the submission's id, and a hash of its payload. A
 *            process that is killed and started again on the same file is a server
 *            whose disk survived.
 * Checks     a transaction that writes a hot row must have seen the last writer
 *            before it: else an update is lost. That, a GTID executed twice and a
 *            verdict for nobody end the process with status 3.
 * Commands   a line each on the input, a line of answer each: go, halt (no client is
 *            inside when it is answered), reset, stats, kill N and fail N (one in N
 *            clients is killed as it waits, one in N accepted ones cannot be
 *            committed), hold (its applier stands still from now on: it takes what it is
 *            fed and commits nothing of it, nor what comes behind that), stop (leaves the
 *            group); at the end of the input the process ends as if it were killed.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/must.h"
#include "certify/gtid.h"
#include "hw/crypto.h"
#include "hw/keys.h"
#include "node/member.h"
#include "perf/counters.h"

#define CLIENTS_MAX       512
#define ROWS_MAX          64
#define HASHES_MAX        64
#define PAYLOAD_MAX       4096
#define PAYLOAD_MIN       24
#define NO_ROW            ROWS_MAX
#define STATE_BYTES       128 /* of a line: it never crosses a page, so no kill cuts it */
#define GTIDS_MAX         65536
#define TOLD_MAX          65536 /* outputs of one step; power of two */
#define RECEIVE_BYTES     2048
#define RECEIVE_BURST     64
#define SOCKET_BYTES      (4 << 20)
#define DATAGRAM_BYTES    1400
#define TRANSACTION_BYTES 16384
#define PAYLOADS_MAX      (1152u << 20)
#define SUBMISSIONS       1024
#define STREAM_BYTES      (1 << 20)
#define SNAPSHOT_ENTRIES  65536
#define VERDICTS          (MEMBER_ENDED + 1)
#define SERVER_VERSION    90704
#define ID_MEMBER_SHIFT   48
#define KILL_AFTER_US     2000
#define STOP_TIMEOUT_NS   10000000000u
#define RETRY_NS          50000000u
#define PROGRESS_NS       20000000u
#define POLL_NS_MAX       1000000000u
#define SECOND_NS         1000000000u

struct options {
	const char *nodes, *group, *state, *key_file, *text;
	long uuid, port, bootstrap, clients, hot_rows, hot_percent, hashes, payload, think_us;
	long commit_us, block_size, dead_ms, start_s, large, large_kib, large_hashes;
};

/* A transaction as the log and the state file know it. */
struct written {
	uint64_t index;
	struct gtid gtid;
	uint32_t row;
	uint64_t seen;
	uint64_t id; /* of the submission: member and number */
	uint64_t hash;
};

enum client_stage {
	CLIENT_IDLE = 0,       /* until due_ns */
	CLIENT_LOCKING = 1,    /* another client of this server holds its row */
	CLIENT_SUBMITTED = 2,  /* due_ns: when it is killed */
	CLIENT_COMMITTING = 3, /* accepted; due_ns: when its binlog is synced */
};

struct client {
	enum client_stage stage;
	struct written t;
	uint64_t sequence;
	uint64_t begin_ns;
	uint64_t due_ns;
	uint8_t payload[PAYLOAD_MAX];
	bool large; /* the next one; its payload is made when it is submitted */
	uint64_t hashes[HASHES_MAX];
};

struct row {
	struct client *holder; /* from its write to its commit */
	uint64_t writer;       /* index of the last one */
};

/* What a step told, to be done behind it: emit() must not call back. */
struct told {
	bool verdict; /* else a transaction for the applier */
	enum member_verdict kind;
	uint64_t sequence;
	struct written t;
};

/* A payload as it comes by: its first bytes, and the hash of its whole blocks. */
struct gathered {
	uint8_t head[PAYLOAD_MIN];
	uint8_t block[PAYLOAD_MAX];
	uint32_t block_bytes;
	uint64_t hash;
};

struct load {
	struct member *member;
	int socket;
	int state_file;
	uint64_t timer_ns;
	uint64_t random;
	uint64_t *ready; /* the first large block, or NULL */
	struct gtid_set *executed;
	struct row row[ROWS_MAX];
	struct client client[CLIENTS_MAX];
	struct told told[TOLD_MAX];
	uint32_t told_first, told_end; /* free-running */
	struct gathered gathered;      /* of a payload that comes in pieces */
	uint64_t id_next;
	uint64_t last_incarnation;
	bool running, started, halting, holding, stopping, stopped, expelled, connected;
	bool released; /* a row: who waits for it is to be asked again before a sleep */
	uint64_t stop_ns, start_ns; /* when to give up */
	long kill_one_in, fail_one_in;
	uint32_t members, online, links;
	/* since reset */
	uint64_t submitted, verdict[VERDICTS], failed, applied, no_room, large;
	uint64_t committed_last_ns, pause_ns;
	struct histogram took;
	char line[256];
	uint32_t line_bytes;
};

static struct options options = {.nodes = "",
				 .group = "a group of load",
				 .state = "",
				 .key_file = "",
				 .text = "",
				 .uuid = 1,
				 .port = 3306,
				 .clients = 8,
				 .hashes = 4,
				 .payload = 200,
				 .commit_us = 500,
				 .block_size = 1000,
				 .dead_ms = 200,
				 .start_s = 30,
				 .large_kib = 1024};
static struct load load;

static void
die(const char *what)
{
	printf("wrong %s\n", what);
	fflush(stdout);
	_exit(3);
}

static uint64_t
clock_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * SECOND_NS + (uint64_t)t.tv_nsec;
}

static uint64_t
dice(struct load *l)
{
	l->random ^= l->random << 13;
	l->random ^= l->random >> 7;
	l->random ^= l->random << 17;
	return l->random;
}

static bool
one_in(struct load *l, long n)
{
	return n > 0 && dice(l) % (uint64_t)n == 0;
}

/* Twice `mean` at most. */
static uint64_t
some_us(struct load *l, long mean)
{
	return mean > 0 ? dice(l) % (2000u * (uint64_t)mean) : 0;
}

/* ---- the server: rows, gtid_executed, its state on disk ---- */

static void
state_write(const struct load *l, char letter, const struct written *t)
{
	char line[STATE_BYTES + 1];
	int n = snprintf(line, sizeof line, "%c %lu %lu %u %lu %lu %016lx", letter, t->index,
			 t->gtid.gno, t->row, t->seen, t->id, t->hash);

	must(n > 0 && n < STATE_BYTES);
	memset(line + n, ' ', (size_t)(STATE_BYTES - n));
	line[STATE_BYTES - 1] = '\n';
	if (write(l->state_file, line, STATE_BYTES) != STATE_BYTES)
		die("state file");
}

static void
execute(struct load *l, char letter, const struct written *t)
{
	if (gtid_set_add(l->executed, &t->gtid) != GTID_SET_ADDED)
		die("GTID executed twice");
	if (t->row != NO_ROW) {
		struct row *row = &l->row[t->row];

		if (row->writer != t->seen || t->seen >= t->index)
			die("lost update");
		row->writer = t->index;
	}
	state_write(l, letter, t);
}

static void
state_line(struct load *l, const char *line)
{
	struct written t = {0};
	char letter;

	if (sscanf(line, "%c %lu %lu %u %lu %lu %lx", &letter, &t.index, &t.gtid.gno, &t.row,
		   &t.seen, &t.id, &t.hash) != 7)
		die("state file");
	if (letter == 'I')
		l->last_incarnation = t.index;
	if (letter == 'S')
		l->id_next = t.id + 1;
	if (letter != 'A' && letter != 'R')
		return;
	memcpy(t.gtid.source.uuid, options.group, UUID_BYTES);
	if (gtid_set_add(l->executed, &t.gtid) != GTID_SET_ADDED)
		die("GTID twice in the state file");
	if (t.row < NO_ROW && l->row[t.row].writer < t.index)
		l->row[t.row].writer = t.index;
}

static void
state_read(struct load *l)
{
	char line[STATE_BYTES + 1] = {0};
	struct gtid_limits limits = {.sources_max = 4, .intervals_max = GTIDS_MAX};

	l->id_next = (uint64_t)options.uuid << ID_MEMBER_SHIFT;
	l->executed = gtid_set_init(calloc(1, gtid_set_size(limits)), limits);
	l->state_file = open(options.state, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	if (l->state_file < 0)
		die(strerror(errno));
	while (read(l->state_file, line, STATE_BYTES) == STATE_BYTES)
		state_line(l, line);
}

static bool
is_executed(void *context, const struct gtid *gtid)
{
	return gtid_set_contains(((struct load *)context)->executed, gtid);
}

/* ---- outputs of the member ---- */

static void
send_datagram(const struct load *l, const struct member_output *o)
{
	struct sockaddr_in to = {.sin_family = AF_INET,
				 .sin_port = htons(o->to.port),
				 .sin_addr.s_addr = htonl(endpoint_ipv4(&o->to))};

	/* A datagram the kernel does not take is a lost one: the session resends. */
	(void)!sendto(l->socket, o->data, o->bytes, MSG_DONTWAIT, (struct sockaddr *)&to,
		      sizeof to);
}

static void
take_verdict(struct told *told, const struct member_output *o)
{
	told->verdict = true;
	told->kind = o->verdict;
	told->sequence = o->sequence;
	told->t.index = o->index;
	if (o->gtid)
		told->t.gtid = *o->gtid;
}

/* Hashes block by block: a payload of a GiB is nowhere in one piece. */
static void
gather(struct gathered *g, const uint8_t *data, uint64_t bytes)
{
	for (uint64_t i = 0; i < bytes;) {
		uint64_t take = PAYLOAD_MAX - g->block_bytes;

		if (take > bytes - i)
			take = bytes - i;
		memcpy(g->block + g->block_bytes, data + i, take);
		g->block_bytes += (uint32_t)take;
		i += take;
		if (g->block_bytes < PAYLOAD_MAX)
			continue;
		g->hash = hash_bytes(g->block, PAYLOAD_MAX, g->hash);
		g->block_bytes = 0;
	}
}

static uint64_t
gathered_hash(struct gathered *g)
{
	return g->block_bytes == 0 ? g->hash : hash_bytes(g->block, g->block_bytes, g->hash);
}

static uint64_t
hash_of(const uint8_t *payload, uint64_t bytes)
{
	struct gathered g = {.hash = 0};

	gather(&g, payload, bytes);
	return gathered_hash(&g);
}

static void
take_piece(struct gathered *g, const struct member_output *o)
{
	must(o->bytes <= o->total - o->offset);
	if (o->offset == 0)
		*g = (struct gathered){.hash = 0};
	for (uint64_t i = 0; i < o->bytes && o->offset + i < PAYLOAD_MIN; i++)
		g->head[o->offset + i] = o->data[i];
	gather(g, o->data, o->bytes);
}

static void
take_queue(struct told *told, const struct member_output *o, struct gathered *g)
{
	const uint8_t *payload = g->head;

	if (o->total < PAYLOAD_MIN)
		die("payload of a queued transaction");
	told->verdict = false;
	told->t = (struct written){.index = o->index,
				   .gtid = *o->gtid,
				   .row = (uint32_t)bytes_get_u64(payload),
				   .seen = bytes_get_u64(payload + 8),
				   .id = bytes_get_u64(payload + 16),
				   .hash = gathered_hash(g)};
	if (told->t.row > NO_ROW)
		die("row of a queued transaction");
}

static struct told *
tell(struct load *l)
{
	if (l->told_end - l->told_first == TOLD_MAX)
		die("number of outputs");
	return &l->told[l->told_end++ % TOLD_MAX];
}

static void
take_started(struct load *l, const struct member_output *o)
{
	if (o->refusal != MEMBER_REFUSED_NONE) {
		printf("refused %d\n", o->refusal);
		fflush(stdout);
		_exit(1);
	}
	l->started = true;
	state_write(l, 'I', &(struct written){.index = o->incarnation});
	printf("started %lu\n", o->incarnation);
}

static void
take_view(struct load *l, const struct member_view *view)
{
	l->members = view->row_count;
	l->online = 0;
	for (uint32_t i = 0; i < view->row_count; i++)
		l->online += view->row[i].online;
}

static void
emit(void *context, const struct member_output *o)
{
	struct load *l = context;

	switch (o->kind) {
	case MEMBER_OUT_SEND:
		send_datagram(l, o);
		break;
	case MEMBER_OUT_STARTED:
		take_started(l, o);
		break;
	case MEMBER_OUT_STOPPED:
		l->stopped = true;
		break;
	case MEMBER_OUT_VERDICT:
		take_verdict(tell(l), o);
		break;
	case MEMBER_OUT_QUEUE:
		take_piece(&l->gathered, o);
		if (o->last)
			take_queue(tell(l), o, &l->gathered);
		break;
	case MEMBER_OUT_VIEW:
		take_view(l, o->view);
		break;
	case MEMBER_OUT_EXPELLED:
		l->expelled = true;
		break;
	case MEMBER_OUT_LINK:
		l->connected = o->connected;
		l->links += o->connected;
		break;
	case MEMBER_OUT_BARRIER:
		break; /* nobody asks for one */
	case MEMBER_OUT_TIMER:
		l->timer_ns = o->at_ns;
		break;
	}
}

static void
release(void *context, uint64_t sequence, const uint8_t *payload)
{
	(void)context;
	(void)sequence;
	free((void *)(uintptr_t)payload);
}

static void
step(struct load *l, struct member_input in)
{
	in.now_ns = clock_ns();
	member_step(l->member, &in,
		    &(struct member_sink){.context = l, .emit = emit, .release = release});
}

/* ---- clients ---- */

static bool
may_begin(const struct load *l)
{
	return l->running && l->started && !l->expelled && !l->stopping;
}

static void
client_idle(struct load *l, struct client *c)
{
	if (c->t.row != NO_ROW && l->row[c->t.row].holder == c) {
		l->row[c->t.row].holder = NULL;
		l->released = true;
	}
	c->stage = CLIENT_IDLE;
	c->due_ns = clock_ns() + some_us(l, options.think_us);
}

static void
client_commit(struct load *l, struct client *c)
{
	uint64_t now_ns = clock_ns();

	execute(l, 'A', &c->t);
	histogram_add(&l->took, now_ns - c->begin_ns);
	if (now_ns - l->committed_last_ns > l->pause_ns)
		l->pause_ns = now_ns - l->committed_last_ns;
	l->committed_last_ns = now_ns;
	step(l, (struct member_input){.kind = MEMBER_IN_COMMITTED, .gtid = &c->t.gtid});
	client_idle(l, c);
}

static void
client_verdict(struct load *l, struct client *c, const struct told *told)
{
	l->verdict[told->kind]++;
	c->t.index = told->t.index;
	c->t.gtid = told->t.gtid;
	if (told->kind != MEMBER_ACCEPTED) {
		bool in_log = told->kind < MEMBER_ABANDONED;

		state_write(l, in_log ? 'C' : 'K', &c->t);
		client_idle(l, c);
	} else if (one_in(l, l->fail_one_in)) {
		l->failed++;
		step(l, (struct member_input){.kind = MEMBER_IN_LOCAL_FAILED,
					      .sequence = c->sequence});
		client_idle(l, c);
	} else {
		c->stage = CLIENT_COMMITTING;
		c->due_ns = clock_ns() + some_us(l, options.commit_us);
	}
}

static uint64_t *
random_block(struct load *l, uint32_t hash_count, uint64_t bytes)
{
	uint64_t *hash = malloc(hash_count * sizeof *hash + bytes);

	must(hash);
	uint8_t *payload = (uint8_t *)(hash + hash_count);
	for (uint32_t i = 0; i < hash_count; i++)
		hash[i] = dice(l) & ~ENTRY_HASH_SHARED;
	for (uint64_t at = PAYLOAD_MIN; at + 8 <= bytes; at += 8)
		bytes_put_u64(payload + at, dice(l));
	return hash;
}

/* What is lent to the member, which gives it back to free(): the client's hashes, others,
 * and the payload behind them. */
static uint64_t *
large_block(struct load *l, const struct client *c, uint32_t hash_count, uint64_t bytes)
{
	uint64_t *hash = l->ready ? l->ready : random_block(l, hash_count, bytes);

	l->ready = NULL;
	for (uint32_t i = 0; i < options.hashes; i++)
		hash[i] = c->hashes[i];
	memcpy(hash + hash_count, c->payload, PAYLOAD_MIN);
	return hash;
}

static void
client_submit(struct load *l, struct client *c)
{
	static struct snapshot_taken taken;
	struct snapshot_executed executed = {.context = l, .contains = is_executed};

	c->begin_ns = clock_ns();
	c->t.seen = c->t.row == NO_ROW ? 0 : l->row[c->t.row].writer;
	struct snapshot_table *table = member_snapshots(l->member);
	bool ok = c->large ? snapshot_take_ahead(table, &executed, &taken)
			   : snapshot_take(table, &executed, &taken);
	if (!ok) {
		l->no_room++;
		client_idle(l, c);
		return;
	}
	c->t.id = l->id_next++;
	bytes_put_u64(c->payload, c->t.row);
	bytes_put_u64(c->payload + 8, c->t.seen);
	bytes_put_u64(c->payload + 16, c->t.id);
	uint64_t bytes = c->large ? (uint64_t)options.large_kib << 10 : (uint64_t)options.payload;
	uint32_t hash_count = (uint32_t)options.hashes;
	uint64_t *hashes = c->hashes;
	if (c->large) {
		hash_count += (uint32_t)options.large_hashes;
		hashes = large_block(l, c, hash_count, bytes);
	}
	const uint8_t *payload = c->large ? (uint8_t *)(hashes + hash_count) : c->payload;
	c->t.hash = hash_of(payload, bytes);
	c->sequence = taken.sequence;
	c->stage = CLIENT_SUBMITTED;
	c->due_ns = one_in(l, l->kill_one_in) ? c->begin_ns + some_us(l, KILL_AFTER_US / 2)
					      : UINT64_MAX;
	l->submitted++;
	l->large += c->large;
	state_write(l, 'S', &c->t);
	struct member_submission submission = {.sequence = taken.sequence,
					       .snapshot = &taken.snapshot,
					       .gtid_spec = GTID_AUTOMATIC,
					       .hashes = hashes,
					       .hash_count = hash_count,
					       .payload = payload,
					       .payload_bytes = bytes,
					       .lent = c->large};
	step(l, (struct member_input){.kind = MEMBER_IN_SUBMIT, .submission = &submission});
}

static void
client_begin(struct load *l, struct client *c)
{
	bool hot = options.hot_rows > 0 && (long)(dice(l) % 100) < options.hot_percent;

	for (long i = 0; i < options.hashes; i++)
		c->hashes[i] = dice(l) & ~ENTRY_HASH_SHARED;
	c->t = (struct written){.row = NO_ROW};
	c->large = one_in(l, options.large);
	if (hot) {
		c->t.row = (uint32_t)(dice(l) % (uint64_t)options.hot_rows);
		c->hashes[0] = c->t.row + 1;
	}
	size_t chars = strlen(options.text);
	for (long i = PAYLOAD_MIN; i < options.payload; i++)
		c->payload[i] =
			chars > 0 ? (uint8_t)options.text[(size_t)i % chars] : (uint8_t)dice(l);
	c->stage = CLIENT_LOCKING;
}

static void
client_lock(struct load *l, struct client *c)
{
	if (c->t.row != NO_ROW && l->row[c->t.row].holder)
		return;
	if (c->t.row != NO_ROW)
		l->row[c->t.row].holder = c;
	client_submit(l, c);
}

static void
client_run(struct load *l, struct client *c, uint64_t now_ns)
{
	if (c->stage == CLIENT_IDLE && may_begin(l) && now_ns >= c->due_ns)
		client_begin(l, c);
	if (c->stage == CLIENT_LOCKING && may_begin(l))
		client_lock(l, c);
	else if (c->stage == CLIENT_LOCKING)
		client_idle(l, c);
	if (c->stage == CLIENT_SUBMITTED && now_ns >= c->due_ns) {
		c->due_ns = UINT64_MAX;
		step(l, (struct member_input){.kind = MEMBER_IN_ABANDON, .sequence = c->sequence});
	}
	if (c->stage == CLIENT_COMMITTING && now_ns >= c->due_ns)
		client_commit(l, c);
}

static struct client *
client_of(struct load *l, uint64_t sequence)
{
	for (long i = 0; i < options.clients; i++)
		if (l->client[i].stage == CLIENT_SUBMITTED && l->client[i].sequence == sequence)
			return &l->client[i];
	die("verdict for nobody");
	return NULL;
}

/* Each of them may make the member tell more. */
static void
settle(struct load *l)
{
	while (l->told_first != l->told_end) {
		struct told told = l->told[l->told_first % TOLD_MAX];

		if (l->holding && !told.verdict)
			return;
		l->told_first++;
		if (told.verdict) {
			client_verdict(l, client_of(l, told.sequence), &told);
			continue;
		}
		execute(l, 'R', &told.t);
		l->applied++;
		step(l, (struct member_input){.kind = MEMBER_IN_COMMITTED, .gtid = &told.t.gtid});
	}
}

static bool
is_inside(const struct load *l)
{
	for (long i = 0; i < options.clients; i++)
		if (l->client[i].stage > CLIENT_LOCKING)
			return true;
	return false;
}

/* ---- commands ---- */

static void
reset(struct load *l)
{
	l->committed_last_ns = clock_ns();
	l->pause_ns = 0;
	l->submitted = 0;
	l->failed = 0;
	l->applied = 0;
	l->no_room = 0;
	l->large = 0;
	memset(l->verdict, 0, sizeof l->verdict);
	memset(&l->took, 0, sizeof l->took);
	printf("reset\n");
}

static void
stats(struct load *l)
{
	static const char *const name[VERDICTS] = {
		[MEMBER_ACCEPTED] = "accepted", [MEMBER_CONFLICT] = "conflict",
		[MEMBER_STALE] = "stale",       [MEMBER_FULL] = "full",
		[MEMBER_GTID_REFUSED] = "gtid", [MEMBER_ABANDONED] = "killed",
		[MEMBER_NO_ROOM] = "not_taken", [MEMBER_ENDED] = "ended"};
	const struct member_stats *m = member_stats(l->member);
	uint64_t since_ns = clock_ns() - l->committed_last_ns;
	uint64_t pause_ns = l->running && since_ns > l->pause_ns ? since_ns : l->pause_ns;
	uint64_t committed = 0;

	for (uint32_t i = 0; i < HISTOGRAM_BUCKETS; i++)
		committed += counter_read(&l->took.bucket[i]);
	printf("stats submitted=%lu large=%lu", l->submitted, l->large);
	for (uint32_t k = MEMBER_ACCEPTED; k < VERDICTS; k++)
		printf(" %s=%lu", name[k], l->verdict[k]);
	printf(" commit=%lu failed=%lu applied=%lu no_room=%lu pause_us=%lu p50_us=%lu p99_us=%lu "
	       "max_us=%lu",
	       committed, l->failed, l->applied, l->no_room, pause_ns / 1000,
	       histogram_percentile(&l->took, 500000) / 1000,
	       histogram_percentile(&l->took, 990000) / 1000, counter_read(&l->took.max) / 1000);
	printf(" members=%u online=%u links=%u connected=%d expelled=%d delivered=%lu mark=%lu "
	       "failovers=%lu resubmitted=%lu\n",
	       l->members, l->online, l->links, l->connected, l->expelled, m->delivered_index,
	       m->mark, m->failovers, m->resubmitted);
}

static void
stop(struct load *l)
{
	l->stopping = true;
	l->stop_ns = clock_ns() + STOP_TIMEOUT_NS;
	for (long i = 0; i < options.clients; i++)
		if (l->client[i].stage == CLIENT_SUBMITTED)
			step(l, (struct member_input){.kind = MEMBER_IN_ABANDON,
						      .sequence = l->client[i].sequence});
	step(l, (struct member_input){.kind = MEMBER_IN_STOP});
}

static void
command(struct load *l, const char *line)
{
	if (strcmp(line, "go") == 0) {
		l->running = true;
		printf("going\n");
	} else if (strcmp(line, "halt") == 0) {
		l->running = false;
		l->halting = true;
	} else if (strcmp(line, "reset") == 0) {
		reset(l);
	} else if (strcmp(line, "stats") == 0) {
		stats(l);
	} else if (strncmp(line, "kill ", 5) == 0) {
		l->kill_one_in = strtol(line + 5, NULL, 10);
		printf("kill\n");
	} else if (strncmp(line, "fail ", 5) == 0) {
		l->fail_one_in = strtol(line + 5, NULL, 10);
		printf("fail\n");
	} else if (strcmp(line, "hold") == 0) {
		l->holding = true;
		printf("held\n");
	} else if (strcmp(line, "stop") == 0) {
		stop(l);
	} else {
		die("command");
	}
}

static void
read_commands(struct load *l)
{
	ssize_t n = read(STDIN_FILENO, l->line + l->line_bytes, sizeof l->line - l->line_bytes);

	if (n <= 0)
		_exit(0);
	l->line_bytes += (uint32_t)n;
	for (char *end = memchr(l->line, '\n', l->line_bytes); end;
	     end = memchr(l->line, '\n', l->line_bytes)) {
		uint32_t bytes = (uint32_t)(end - l->line) + 1;

		*end = '\0';
		command(l, l->line);
		l->line_bytes -= bytes;
		memmove(l->line, l->line + bytes, l->line_bytes);
	}
	if (l->line_bytes == sizeof l->line)
		die("command");
}

/* Answers that had to wait. */
static void
answer(struct load *l, uint64_t now_ns)
{
	if (l->halting && !is_inside(l)) {
		l->halting = false;
		printf("halted\n");
	}
	if (l->stopping && ((l->stopped && !is_inside(l)) || now_ns >= l->stop_ns)) {
		printf("stopped %s\n", l->stopped ? "left" : "unknown");
		fflush(stdout);
		_exit(0);
	}
	if (!l->started && now_ns >= l->start_ns) {
		printf("refused 0\n");
		fflush(stdout);
		_exit(1);
	}
}

/* ---- the loop ---- */

static void
receive(struct load *l)
{
	uint8_t data[RECEIVE_BYTES];

	for (uint32_t i = 0; i < RECEIVE_BURST; i++) {
		struct sockaddr_in from;
		socklen_t from_bytes = sizeof from;
		ssize_t n = recvfrom(l->socket, data, sizeof data, MSG_DONTWAIT,
				     (struct sockaddr *)&from, &from_bytes);

		if (n < 0)
			return;
		step(l,
		     (struct member_input){.kind = MEMBER_IN_PACKET,
					   .data = data,
					   .bytes = (uint32_t)n,
					   .from = endpoint_from_ipv4(ntohl(from.sin_addr.s_addr),
								      ntohs(from.sin_port))});
		settle(l);
	}
}

static uint64_t
due_ns(const struct load *l)
{
	uint64_t due = l->timer_ns;

	if (!l->started && l->start_ns < due)
		due = l->start_ns;
	if (l->stopping && l->stop_ns < due)
		due = l->stop_ns;
	for (long i = 0; i < options.clients; i++) {
		const struct client *c = &l->client[i];
		bool waits =
			c->stage == CLIENT_LOCKING || (c->stage == CLIENT_IDLE && !may_begin(l));

		if (!waits && c->due_ns < due)
			due = c->due_ns;
	}
	return due;
}

static void
sleep_until_needed(struct load *l)
{
	uint64_t now_ns = clock_ns();
	uint64_t due = l->released ? now_ns : due_ns(l);
	uint64_t wait_ns = due > now_ns ? due - now_ns : 0;
	struct pollfd fd[2] = {{.fd = l->socket, .events = POLLIN},
			       {.fd = STDIN_FILENO, .events = POLLIN}};

	if (wait_ns > POLL_NS_MAX)
		wait_ns = POLL_NS_MAX;
	struct timespec t = {.tv_sec = (time_t)(wait_ns / SECOND_NS),
			     .tv_nsec = (long)(wait_ns % SECOND_NS)};
	l->released = false;
	if (ppoll(fd, 2, &t, NULL) > 0 && fd[1].revents != 0)
		read_commands(l);
}

static void
turn(struct load *l)
{
	receive(l);
	if (clock_ns() >= l->timer_ns) {
		l->timer_ns = UINT64_MAX;
		step(l, (struct member_input){.kind = MEMBER_IN_TICK});
		settle(l);
	}
	uint64_t now_ns = clock_ns();
	for (long i = 0; i < options.clients; i++) {
		client_run(l, &l->client[i], now_ns);
		settle(l);
	}
	answer(l, now_ns);
	sleep_until_needed(l);
}

/* ---- start ---- */

static void
take_option(char *text)
{
	struct {
		const char *name;
		long *number;
		const char **string;
	} known[] = {{"nodes", NULL, &options.nodes},
		     {"group", NULL, &options.group},
		     {"state", NULL, &options.state},
		     {"key_file", NULL, &options.key_file},
		     {"text", NULL, &options.text},
		     {"uuid", &options.uuid, NULL},
		     {"port", &options.port, NULL},
		     {"bootstrap", &options.bootstrap, NULL},
		     {"clients", &options.clients, NULL},
		     {"hot_rows", &options.hot_rows, NULL},
		     {"hot_percent", &options.hot_percent, NULL},
		     {"hashes", &options.hashes, NULL},
		     {"payload", &options.payload, NULL},
		     {"think_us", &options.think_us, NULL},
		     {"commit_us", &options.commit_us, NULL},
		     {"block_size", &options.block_size, NULL},
		     {"dead_ms", &options.dead_ms, NULL},
		     {"start_s", &options.start_s, NULL},
		     {"large", &options.large, NULL},
		     {"large_kib", &options.large_kib, NULL},
		     {"large_hashes", &options.large_hashes, NULL}};
	char *value = strchr(text, '=');

	if (!value)
		die("option");
	*value++ = '\0';
	for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
		if (strcmp(known[i].name, text) != 0)
			continue;
		if (known[i].string)
			*known[i].string = value;
		else
			*known[i].number = strtol(value, NULL, 10);
		return;
	}
	die("option");
}

static void
take_nodes(struct member_config *c)
{
	char text[1024];
	char *at = NULL;

	snprintf(text, sizeof text, "%s", options.nodes);
	for (char *one = strtok_r(text, ",", &at); one; one = strtok_r(NULL, ",", &at)) {
		struct in_addr address;
		char *port = strchr(one, ':'), *key = strchr(one, '=');

		if (!port || c->node_count == NODE_NODES_MAX || !key != !*options.key_file)
			die("nodes");
		*port++ = '\0';
		if (inet_pton(AF_INET, one, &address) != 1)
			die("nodes");
		if (key && !hw_key_read(key + 1, strlen(key + 1), c->node_key[c->node_count]))
			die("key of a node");
		c->endpoint[c->node_count++] = endpoint_from_ipv4(
			ntohl(address.s_addr), (uint16_t)strtoul(port, NULL, 10));
	}
	if (c->node_count == 0)
		die("nodes");
}

static void
take_key(struct member_config *c)
{
	static struct hw_keys keys;
	struct hw_error error;

	if (!*options.key_file)
		return;
	if (hw_keys_load(&keys, options.key_file, &error) != 0)
		die(error.text);
	memcpy(c->secret, keys.secret, sizeof c->secret);
	memcpy(c->psk, keys.psk, sizeof c->psk);
	c->crypto = hw_crypto_new(MEMBER_CRYPTO_SLOTS, &error);
	if (!c->crypto)
		die(error.text);
}

static void
make_member(struct load *l)
{
	struct member_config c = {.inflight_max = SUBMISSIONS,
				  .transaction_bytes_max = TRANSACTION_BYTES,
				  .payload_bytes_max = PAYLOADS_MAX,
				  .submission_bytes = TRANSACTION_BYTES * SUBMISSIONS,
				  .snapshot_entries_max = SNAPSHOT_ENTRIES,
				  .gtid_intervals_max = GTIDS_MAX,
				  .datagram_bytes_max = DATAGRAM_BYTES,
				  .stream_bytes = STREAM_BYTES,
				  .session_dead_ns = (uint64_t)options.dead_ms * 1000000,
				  .retry_ns = RETRY_NS,
				  .progress_ns = PROGRESS_NS};
	int bytes = SOCKET_BYTES;
	struct sockaddr_in any = {.sin_family = AF_INET};

	take_nodes(&c);
	take_key(&c);
	bytes_put_u64(c.server_uuid, (uint64_t)options.uuid);
	size_t size = (member_size(&c) + 63) / 64 * 64;
	void *memory = aligned_alloc(64, size);
	must(memory);
	memset(memory, 0, size);
	l->member = member_init(memory, &c);
	l->timer_ns = UINT64_MAX;
	l->socket = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	must(l->socket >= 0);
	setsockopt(l->socket, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes);
	setsockopt(l->socket, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
	must(bind(l->socket, (struct sockaddr *)&any, sizeof any) == 0);
}

static void
start(struct load *l)
{
	static uint8_t set[64 + 16 * GTIDS_MAX];
	uint8_t random[64];
	struct writer w = writer_over(set, sizeof set);
	struct member_start s = {.bootstrap = options.bootstrap != 0,
				 .last_incarnation = l->last_incarnation,
				 .host = "load",
				 .port = (uint16_t)options.port,
				 .version = SERVER_VERSION,
				 .block_size = (uint64_t)options.block_size};

	gtid_set_encode(l->executed, &w);
	must(!w.bad);
	s.executed = (struct gtid_bytes){.data = set, .bytes = (uint32_t)w.bytes};
	memcpy(s.group_uuid, options.group, UUID_BYTES);
	must(getrandom(&s.process, sizeof s.process, 0) == sizeof s.process);
	must(getrandom(s.nonce, sizeof s.nonce, 0) == sizeof s.nonce);
	must(getrandom(random, sizeof random, 0) == sizeof random);
	must(getrandom(&l->random, sizeof l->random, 0) == sizeof l->random);
	l->random |= 1;
	/* A GiB takes so long on a busy host that a member which made it amid its life would
	 * be taken for dead. */
	if (options.large > 0)
		l->ready = random_block(l, (uint32_t)(options.hashes + options.large_hashes),
					(uint64_t)options.large_kib << 10);
	l->start_ns = clock_ns() + (uint64_t)options.start_s * SECOND_NS;
	step(l, (struct member_input){
			.kind = MEMBER_IN_RANDOM, .data = random, .bytes = sizeof random});
	step(l, (struct member_input){.kind = MEMBER_IN_START, .start = &s});
}

int
main(int argc, char **argv)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	for (int i = 1; i < argc; i++)
		take_option(argv[i]);
	if (options.clients < 0 || options.clients > CLIENTS_MAX || options.hot_rows > ROWS_MAX ||
	    options.hashes < 1 || options.hashes > HASHES_MAX || options.payload > PAYLOAD_MAX ||
	    options.payload < PAYLOAD_MIN || options.large_kib < 1 || options.large_hashes < 0 ||
	    strlen(options.group) < UUID_BYTES - 1)
		die("option");
	for (long i = 0; i < options.clients; i++)
		load.client[i].t.row = NO_ROW;
	state_read(&load);
	make_member(&load);
	start(&load);
	for (;;)
		turn(&load);
}
