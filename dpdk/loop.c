/* The poll loop of a node: see loop.h. */
#include "dpdk/loop.h"

#include <errno.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "base/must.h"
#include "hw/certificates.h"

#define LOG_FULL_NS    1000000u /* how often a full log is tried again */
#define SECOND_NS      1000000000u
#define HUGEPAGE_BYTES (2u << 20)
#define PAGE_BYTES     4096
#define WAIT_FDS       3
#define MEMBERS_COUNT  NODE_MEMBERS_MAX

_Static_assert((LOOP_READS_MAX & (LOOP_READS_MAX - 1)) == 0, "positions wrap");

static uint64_t
clock_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * SECOND_NS + (uint64_t)t.tv_nsec;
}

/* Zeroed pages that cost nothing before they are touched. */
static void *
pages(size_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	return p == MAP_FAILED ? NULL : p;
}

static size_t
node_bytes(const struct loop *loop)
{
	return (node_size(loop->options.node) + HUGEPAGE_BYTES - 1) / HUGEPAGE_BYTES *
	       HUGEPAGE_BYTES;
}

/* All of it now. A page that the kernel has to find while the loop runs costs the
 * loop its time: a new group's certification index, touched for the first time,
 * stood still for longer than a takeover waits, and each new leader did the same. */
static void *
populated(void *p, size_t bytes)
{
	if (madvise(p, bytes, MADV_POPULATE_WRITE) == 0)
		return p;
	if (errno == EINVAL) { /* a kernel before 5.14 */
		for (size_t at = 0; at < bytes; at += PAGE_BYTES)
			((volatile uint8_t *)p)[at] = 0;
		return p;
	}
	(void)munmap(p, bytes);
	return NULL;
}

/* Reserved hugepages if they suffice; else the kernel is asked to use large pages
 * where it can: the certification index is read at random. */
static void *
node_pages(const struct loop *loop)
{
	size_t bytes = node_bytes(loop);
	void *p = MAP_FAILED;

	if (loop->options.hugepages)
		p = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);
	if (p == MAP_FAILED)
		p = pages(bytes);
	if (p && loop->options.hugepages)
		(void)madvise(p, bytes, MADV_HUGEPAGE);
	return p ? populated(p, bytes) : NULL;
}

static void
pages_free(void *p, size_t bytes)
{
	if (p)
		(void)munmap(p, bytes);
}

static bool
log_is_full(const struct loop *loop)
{
	return loop->backlog_head < loop->backlog_tail;
}

static bool
append(struct loop *loop, const uint8_t *record, uint32_t bytes)
{
	struct iovec part = {.iov_base = (void *)(uintptr_t)record, .iov_len = bytes};
	return hw_log_append(loop->options.log, &part, 1);
}

/* Voting ends: from here on records are of no use to anyone. The node is told at
 * the end of the turn, since an output may not call back into it. */
static void
fail_log(struct loop *loop)
{
	if (!loop->write_failed)
		loop->failure_due = true;
	loop->write_failed = true;
	loop->backlog_head = 0;
	loop->backlog_tail = 0;
}

/* Records keep their order: behind one that waits, all wait. */
static void
log_record(struct loop *loop, const struct node_output *out)
{
	if (loop->write_failed)
		return;
	if (!log_is_full(loop) && append(loop, out->data, out->bytes))
		return;
	loop->stats.log_waited++;
	if (loop->backlog_head > 0 && out->bytes > LOOP_BACKLOG_BYTES - loop->backlog_tail) {
		memmove(loop->backlog, loop->backlog + loop->backlog_head,
			loop->backlog_tail - loop->backlog_head);
		loop->backlog_tail -= loop->backlog_head;
		loop->backlog_head = 0;
	}
	if (out->bytes > LOOP_BACKLOG_BYTES - loop->backlog_tail) {
		fail_log(loop);
		return;
	}
	memcpy(loop->backlog + loop->backlog_tail, out->data, out->bytes);
	loop->backlog_tail += out->bytes;
}

static void
drain_backlog(struct loop *loop)
{
	while (loop->backlog_head < loop->backlog_tail) {
		const uint8_t *record = loop->backlog + loop->backlog_head;
		uint32_t bytes = bytes_get_u32(record + 8); /* base/frame.h */
		must(bytes <= loop->backlog_tail - loop->backlog_head);
		if (!append(loop, record, bytes))
			return;
		loop->backlog_head += bytes;
	}
	loop->backlog_head = 0;
	loop->backlog_tail = 0;
}

static void
emit(void *context, const struct node_output *out)
{
	struct loop *loop = context;

	switch (out->kind) {
	case NODE_OUT_SEND:
		must(out->after_lsn <= loop->durable_lsn);
		udp_send(loop->options.udp, loop->now_ns, &out->to,
			 &(struct udp_datagram){.data = out->data, .bytes = out->bytes});
		break;
	case NODE_OUT_LOG:
		log_record(loop, out);
		break;
	case NODE_OUT_READ:
		must(loop->reads_asked - loop->reads_given < LOOP_READS_MAX);
		must(out->lsn > 0);
		loop->read[loop->reads_asked++ % LOOP_READS_MAX] =
			(struct loop_read){.lsn = out->lsn, .bytes = out->bytes};
		break;
	case NODE_OUT_TIMER:
		loop->timer_ns = out->at_ns;
		break;
	case NODE_OUT_DIVERGED:
		loop->diverged = true;
		loop->diverged_group = out->group;
		loop->diverged_index = out->index;
		loop_stop(loop);
		break;
	case NODE_OUT_OUTDATED:
		loop->outdated = true;
		loop->outdated_by = (uint8_t)out->index;
		loop->outdated_lsn = out->lsn;
		loop_stop(loop);
		break;
	case NODE_OUT_FORCED:
		loop->forced = true;
		loop_stop(loop);
		break;
	case NODE_OUT_DELIVER:
	case NODE_OUT_RESULT:
	case NODE_OUT_IMAGE:
	case NODE_OUT_MEMBER_DIVERGED:
	case NODE_OUT_CUT:
		break; /* for those who watch */
	case NODE_OUT_DROP:
		hw_log_drop(loop->options.log, out->lsn);
		break;
	case NODE_OUT_LOST:
		loop->lost = true;
		loop->lost_lsn = out->lsn;
		break;
	}
}

static void
step(struct loop *loop, struct node_input *in)
{
	if (loop->diverged || loop->outdated || loop->forced || loop->lost)
		return;
	in->now_ns = loop->now_ns;
	in->room_bytes = loop->room_bytes;
	node_step(loop->node, in, &loop->sink);
}

static bool
receive(struct loop *loop)
{
	uint32_t n = udp_receive(loop->options.udp, loop->now_ns, loop->received);

	for (uint32_t i = 0; i < n; i++)
		step(loop, &(struct node_input){
				   .kind = NODE_IN_PACKET,
				   .from = loop->received[i].from,
				   .data = loop->received[i].data,
				   .bytes = loop->received[i].bytes,
				   .more = i + 1 < n,
			   });
	return loop->options.port->received_count > 0;
}

static void
read_answered(struct loop *loop, struct loop_read read, const uint8_t *data)
{
	if (!data)
		loop->stats.unreadable++;
	step(loop, &(struct node_input){
			   .kind = NODE_IN_READ_DONE,
			   .lsn = read.lsn,
			   .data = data,
			   .bytes = data ? read.bytes : 0,
		   });
}

/* The node names a record by its end, the log reads from a record's beginning. */
static bool
start_read(struct loop *loop, uint32_t buffer)
{
	struct loop_read read = loop->read[loop->reads_given % LOOP_READS_MAX];
	int rc = -ENOENT;

	if (read.bytes <= FRAME_BYTES_MAX && read.bytes <= read.lsn)
		rc = hw_log_read(loop->options.log, &(struct hw_log_read){
							    .lsn = read.lsn - read.bytes,
							    .tag = buffer,
							    .buffer = loop->read_buffer[buffer],
							    .buffer_bytes = FRAME_BYTES_MAX,
						    });
	if (rc == -EAGAIN || rc == -EBUSY)
		return false; /* not on disk yet: the next turns try again */
	loop->reads_given++;
	if (rc == 0)
		loop->reading[buffer] = read;
	else
		read_answered(loop, read, NULL);
	return true;
}

static void
start_reads(struct loop *loop)
{
	for (uint32_t i = 0; i < HW_LOG_READS_MAX && loop->reads_given != loop->reads_asked; i++) {
		if (loop->reading[i].lsn == 0 && !start_read(loop, i))
			return;
	}
}

static bool
reap(struct loop *loop)
{
	struct hw_log_reaped reaped;
	bool did = false;

	hw_log_reap(loop->options.log, &reaped);
	loop->room_bytes = reaped.room_bytes > 0 ? reaped.room_bytes : 1;
	for (uint32_t i = 0; i < reaped.read_count; i++) {
		uint32_t buffer = (uint32_t)reaped.read[i].tag;
		must(buffer < HW_LOG_READS_MAX);
		struct loop_read read = loop->reading[buffer];
		bool whole = reaped.read[i].result >= (int32_t)read.bytes;
		must(read.lsn != 0);
		read_answered(loop, read, whole ? loop->read_buffer[buffer] : NULL);
		loop->reading[buffer].lsn = 0; /* only now may the buffer be lent again */
		did = true;
	}
	if (reaped.write_error != 0)
		fail_log(loop);
	if (loop->failure_due) {
		loop->failure_due = false;
		step(loop, &(struct node_input){.kind = NODE_IN_LOG_FAILED});
		did = true;
	}
	if (reaped.durable_lsn > loop->durable_lsn) {
		loop->durable_lsn = reaped.durable_lsn;
		step(loop, &(struct node_input){.kind = NODE_IN_DURABLE,
						.lsn = loop->durable_lsn,
						.disk_bytes = reaped.disk_bytes});
		did = true;
	}
	return did;
}

static bool
tick(struct loop *loop)
{
	uint8_t entropy[LOOP_ENTROPY_BYTES];

	if (loop->now_ns >= loop->entropy_ns) {
		loop->entropy_ns = loop->now_ns + LOOP_ENTROPY_NS;
		if (getrandom(entropy, sizeof entropy, GRND_NONBLOCK) == sizeof entropy)
			step(loop, &(struct node_input){.kind = NODE_IN_RANDOM,
							.data = entropy,
							.bytes = sizeof entropy});
	}
	if (loop->now_ns < loop->timer_ns)
		return false;
	loop->timer_ns = UINT64_MAX;
	step(loop, &(struct node_input){.kind = NODE_IN_TICK});
	return true;
}

static void
add_members(struct loop *loop, struct loop_snapshot *s, uint32_t group)
{
	for (uint32_t i = 0; i < MEMBERS_COUNT; i++) {
		struct node_member_status status;
		if (!node_member_status(loop->node, group, i, &status))
			return;
		if (s->member_count == LOOP_STATUS_MEMBERS) {
			s->members_cut = true;
			return;
		}
		s->member[s->member_count++] =
			(struct loop_member){.group = group, .status = status};
	}
}

static void
fill_snapshot(struct loop *loop)
{
	struct loop_snapshot *s = loop->snapshot;
	const struct frames *frames = &loop->options.udp->frames;

	s->now_ns = loop->now_ns;
	node_status(loop->node, &s->node);
	node_image_status(loop->node, &s->image);
	s->group_count = 0;
	s->member_count = 0;
	s->members_cut = false;
	while (s->group_count < NODE_GROUPS_MAX &&
	       node_group_status(loop->node, s->group_count, &s->group[s->group_count]))
		s->group_count++;
	for (uint32_t i = 0; i < s->group_count; i++)
		add_members(loop, s, s->group[i].group);
	s->key_count = 0;
	while (s->key_count < NODE_KEYS_MAX &&
	       node_listed_key(loop->node, s->key_count, &s->key[s->key_count]))
		s->key_count++;
	s->peers = 0;
	for (uint8_t i = 0; i < NODE_NODES_MAX; i++)
		s->peers |= (uint32_t)node_peer_status(loop->node, i, &s->peer[i]) << i;
	s->log = hw_log_state(loop->options.log);
	s->loop = loop->stats;
	s->udp = loop->options.udp->stats;
	s->port = loop->options.port->stats;
	memcpy(s->frame_drop, frames->drop, sizeof s->frame_drop);
	s->arp_answered = frames->arp_answered;
	s->echo_answered = frames->echo_answered;
	s->link_up = port_link_up(loop->options.port);
}

static void
answer_status(struct loop *loop)
{
	uint32_t wanted = atomic_load_explicit(&loop->status_wanted, memory_order_acquire);

	if (wanted == atomic_load_explicit(&loop->status_done, memory_order_relaxed))
		return;
	fill_snapshot(loop);
	/* Pairs with the acquire in loop_status_request(): the snapshot is whole. */
	atomic_store_explicit(&loop->status_done, wanted, memory_order_release);
	uint64_t one = 1;
	(void)!write(loop->status_done_fd, &one, sizeof one);
}

struct loop_keys {
	uint32_t count;
	struct node_key key[];
};

int
loop_keys(struct loop *loop, const struct node_key *keys, uint32_t count)
{
	struct loop_keys *next = malloc(sizeof *next + count * sizeof *keys);
	uint64_t one = 1;

	if (next == NULL)
		return -ENOMEM;
	next->count = count;
	memcpy(next->key, keys, count * sizeof *keys);
	/* Pairs with the exchange in take_keys(): one of the two frees what the other
	 * no longer sees. */
	free(atomic_exchange_explicit(&loop->keys, next, memory_order_acq_rel));
	(void)!write(loop->wake_fd, &one, sizeof one);
	return 0;
}

static void
take_keys(struct loop *loop)
{
	if (atomic_load_explicit(&loop->keys, memory_order_relaxed) == NULL)
		return;
	struct loop_keys *keys = atomic_exchange_explicit(&loop->keys, NULL, memory_order_acq_rel);
	step(loop, &(struct node_input){
			   .kind = NODE_IN_KEYS, .keys = keys->key, .key_count = keys->count});
	free(keys);
}

static void
forget_secrets(struct node_secrets *secrets)
{
	if (secrets == NULL)
		return;
	explicit_bzero(secrets, sizeof *secrets);
	free(secrets);
}

int
loop_secrets(struct loop *loop, const struct node_secrets *secrets)
{
	struct node_secrets *next = malloc(sizeof *next);
	uint64_t one = 1;

	if (next == NULL)
		return -ENOMEM;
	*next = *secrets;
	/* Pairs with the exchange in take_secrets(), as in loop_keys(). */
	forget_secrets(atomic_exchange_explicit(&loop->secrets, next, memory_order_acq_rel));
	(void)!write(loop->wake_fd, &one, sizeof one);
	return 0;
}

static void
take_secrets(struct loop *loop)
{
	if (atomic_load_explicit(&loop->secrets, memory_order_relaxed) == NULL)
		return;
	struct node_secrets *s =
		atomic_exchange_explicit(&loop->secrets, NULL, memory_order_acq_rel);
	step(loop, &(struct node_input){.kind = NODE_IN_SECRETS, .secrets = s});
	forget_secrets(s);
}

void
loop_certificates(struct loop *loop, struct certificates *certificates)
{
	uint64_t one = 1;

	/* Pairs with the exchange in take_certificates(), as in loop_keys(). */
	hw_certificates_free(
		atomic_exchange_explicit(&loop->certificates, certificates, memory_order_acq_rel));
	(void)!write(loop->wake_fd, &one, sizeof one);
}

static void
take_certificates(struct loop *loop)
{
	if (atomic_load_explicit(&loop->certificates, memory_order_relaxed) == NULL)
		return;
	struct certificates *next =
		atomic_exchange_explicit(&loop->certificates, NULL, memory_order_acq_rel);
	step(loop, &(struct node_input){.kind = NODE_IN_CERTIFICATES, .certificates = next});
	hw_certificates_free(loop->options.certificates);
	loop->options.certificates = next;
}

void
loop_voters(struct loop *loop, const struct loop_voters *w)
{
	uint64_t one = 1;

	must(w->voters > 0 && w->voters < 1u << NODE_NODES_MAX && w->horizon <= PAXOS_HORIZON_MAX);
	atomic_store_explicit(&loop->voters, w->number << 16 | w->horizon << 8 | w->voters,
			      memory_order_relaxed);
	(void)!write(loop->wake_fd, &one, sizeof one);
}

struct loop_force {
	struct node_forced forced;
	bool here_only;
};

int
loop_force(struct loop *loop, const struct node_forced *forced, bool here_only)
{
	struct loop_force *next = malloc(sizeof *next);
	uint64_t one = 1;

	if (next == NULL)
		return -ENOMEM;
	*next = (struct loop_force){.forced = *forced, .here_only = here_only};
	/* Pairs with the exchange in take_force(), as in loop_keys(). */
	free(atomic_exchange_explicit(&loop->force, next, memory_order_acq_rel));
	(void)!write(loop->wake_fd, &one, sizeof one);
	return 0;
}

static void
take_force(struct loop *loop)
{
	if (atomic_load_explicit(&loop->force, memory_order_relaxed) == NULL)
		return;
	struct loop_force *f = atomic_exchange_explicit(&loop->force, NULL, memory_order_acq_rel);
	step(loop, &(struct node_input){
			   .kind = NODE_IN_FORCE, .force = f->forced, .here_only = f->here_only});
	free(f);
}

static void
take_voters(struct loop *loop)
{
	uint64_t wanted;

	if (atomic_load_explicit(&loop->voters, memory_order_relaxed) == 0)
		return;
	wanted = atomic_exchange_explicit(&loop->voters, 0, memory_order_relaxed);
	step(loop, &(struct node_input){.kind = NODE_IN_VOTERS,
					.voters = wanted & 0xff,
					.horizon = wanted >> 8 & 0xff,
					.number = wanted >> 16});
}

void
loop_lead(struct loop *loop, uint64_t group, bool all_lead)
{
	uint64_t one = 1;

	must(group > 0);
	atomic_store_explicit(&loop->lead, group << 1 | all_lead, memory_order_relaxed);
	(void)!write(loop->wake_fd, &one, sizeof one);
}

static void
take_lead(struct loop *loop)
{
	uint64_t wanted;

	if (atomic_load_explicit(&loop->lead, memory_order_relaxed) == 0)
		return;
	wanted = atomic_exchange_explicit(&loop->lead, 0, memory_order_relaxed);
	step(loop, &(struct node_input){
			   .kind = NODE_IN_LEAD, .number = wanted >> 1, .all_lead = wanted & 1});
}

int
loop_order(struct loop *loop, const struct node_order *order)
{
	struct node_order *next = malloc(sizeof *next);
	uint64_t one = 1;

	if (next == NULL)
		return -ENOMEM;
	*next = *order;
	/* Pairs with the exchange in take_order(), as in loop_keys(). */
	free(atomic_exchange_explicit(&loop->order, next, memory_order_acq_rel));
	(void)!write(loop->wake_fd, &one, sizeof one);
	return 0;
}

static void
take_order(struct loop *loop)
{
	if (atomic_load_explicit(&loop->order, memory_order_relaxed) == NULL)
		return;
	struct node_order *o = atomic_exchange_explicit(&loop->order, NULL, memory_order_acq_rel);
	step(loop, &(struct node_input){.kind = NODE_IN_ORDER, .order = o});
	free(o);
}

bool
loop_once(struct loop *loop, uint64_t now_ns)
{
	bool did = false;

	must(now_ns >= loop->now_ns);
	loop->now_ns = now_ns;
	loop->stats.turns++;
	drain_backlog(loop);
	if (!log_is_full(loop)) {
		take_keys(loop);
		take_secrets(loop);
		take_certificates(loop);
		take_voters(loop);
		take_lead(loop);
		take_order(loop);
		take_force(loop);
		did |= receive(loop);
		did |= tick(loop);
	}
	hw_log_submit(loop->options.log);
	did |= reap(loop);
	start_reads(loop);
	/* What DURABLE made the node write leaves now, not a turn later. */
	hw_log_submit(loop->options.log);
	udp_flush(loop->options.udp);
	answer_status(loop);
	return did;
}

/* Until when nothing is due; 0 when the loop may not sleep. */
static uint64_t
sleep_ns(const struct loop *loop, uint64_t now_ns)
{
	uint64_t until_ns = loop->timer_ns < loop->entropy_ns ? loop->timer_ns : loop->entropy_ns;

	if (log_is_full(loop))
		return LOG_FULL_NS;
	if (until_ns <= now_ns)
		return 0;
	uint64_t most_ns =
		loop->options.port->wait_fd < 0 ? LOOP_BLIND_SLEEP_NS : (uint64_t)SECOND_NS;
	return until_ns - now_ns < most_ns ? until_ns - now_ns : most_ns;
}

static void
block(struct loop *loop, uint64_t now_ns)
{
	uint64_t ns = sleep_ns(loop, now_ns);
	struct timespec timeout = {.tv_sec = (time_t)(ns / SECOND_NS),
				   .tv_nsec = (long)(ns % SECOND_NS)};
	/* A port whose frames the loop may not take yet would end every sleep. */
	struct pollfd fd[WAIT_FDS] = {
		{.fd = loop->wake_fd, .events = POLLIN},
		{.fd = hw_log_descriptor(loop->options.log), .events = POLLIN},
		{.fd = log_is_full(loop) ? -1 : loop->options.port->wait_fd, .events = POLLIN},
	};

	if (ns == 0)
		return;
	loop->stats.blocked++;
	if (ppoll(fd, WAIT_FDS, &timeout, NULL) <= 0)
		return;
	if ((fd[0].revents & POLLIN) != 0) {
		uint64_t count;
		(void)!read(loop->wake_fd, &count, sizeof count);
	}
	if ((fd[1].revents & POLLIN) != 0)
		hw_log_woken(loop->options.log);
}

void
loop_run(struct loop *loop)
{
	while (!atomic_load_explicit(&loop->stopping, memory_order_relaxed)) {
		uint64_t now_ns = clock_ns();
		if (!loop_once(loop, now_ns) && loop->options.profile != LOOP_DEDICATED)
			block(loop, now_ns);
	}
}

void
loop_stop(struct loop *loop)
{
	uint64_t one = 1;

	atomic_store_explicit(&loop->stopping, true, memory_order_relaxed);
	(void)!write(loop->wake_fd, &one, sizeof one);
}

static void
replay_read(struct loop *loop, struct loop_read read)
{
	struct hw_log_read wanted = {.lsn = read.lsn - read.bytes,
				     .buffer = loop->read_buffer[0],
				     .buffer_bytes = FRAME_BYTES_MAX};
	bool fits = read.bytes <= FRAME_BYTES_MAX && read.bytes <= read.lsn;
	bool whole = fits && hw_log_read_scanned(loop->options.log, &wanted) >= (int32_t)read.bytes;

	read_answered(loop, read, whole ? loop->read_buffer[0] : NULL);
}

/* Where the log was trimmed: what lay before it is in its images, and no hole. */
static void
replay_begins(struct loop *loop)
{
	struct hw_log_state log = hw_log_state(loop->options.log);

	if (log.first_lsn > 0 && !log.begin_lost)
		step(loop, &(struct node_input){.kind = NODE_IN_TRIMMED, .lsn = log.first_lsn});
}

static void
replay(void *context, const struct frame *frame, const uint8_t *data)
{
	struct loop *loop = context;

	if (loop->stats.replayed++ == 0)
		replay_begins(loop);
	if (frame->incarnation > loop->process)
		loop->process = frame->incarnation;
	step(loop, &(struct node_input){
			   .kind = NODE_IN_RECORD,
			   .data = data,
			   .bytes = frame->frame_bytes,
			   .lsn = frame->lsn + frame->frame_bytes,
		   });
	while (loop->reads_given != loop->reads_asked)
		replay_read(loop, loop->read[loop->reads_given++ % LOOP_READS_MAX]);
}

static bool
is_alone(const struct loop *loop)
{
	struct node_peer_status peer;

	for (uint8_t i = 0; i < NODE_NODES_MAX; i++)
		if (i != loop->options.node->self && node_peer_status(loop->node, i, &peer))
			return false;
	return true;
}

/* Votes count by numbers: with another one than its log knows this node would speak for
 * another. */
static int
check_number(const struct loop *loop, struct hw_error *error)
{
	const struct node_config *c = loop->options.node;
	struct node_peer_status peer;

	for (uint8_t i = 0; i < NODE_NODES_MAX; i++) {
		bool there = node_peer_status(loop->node, i, &peer) && peer.listed;
		if (i == c->self || !there || memcmp(peer.uuid, c->uuid[c->self], 16) != 0)
			continue;
		return hw_error_set(error, -EINVAL,
				    "the configuration makes this node number %u, and its log says "
				    "that it is number %u: write the numbers of `synodctl status` "
				    "into [appliance] nodes, as in 4/3@10.77.0.4:4000",
				    c->self, i);
	}
	return 0;
}

static int
say_lost(uint64_t lsn, struct hw_error *error)
{
	return hw_error_set(
		error, -EILSEQ,
		"the log lacks records from LSN %lu on (its disk lost what it had "
		"acknowledged), and there is no other node that has them. Put back what "
		"the disk had, or move the log directory away and begin a new appliance",
		lsn);
}

static int
recover(struct loop *loop, enum paxos_tail *tail, struct hw_error *error)
{
	struct log_verdict verdict;
	int rc = hw_log_scan(loop->options.log, replay, loop, &verdict, error);

	if (rc != 0)
		return rc;
	rc = check_number(loop, error);
	if (rc != 0)
		return rc;
	if ((verdict.tail == LOG_TAIL_ROT || loop->options.repair) && is_alone(loop))
		return say_lost(verdict.rot_first_lsn, error);
	if (memcmp(node_epoch(loop->node), loop->options.node->epoch, EPOCH_BYTES) != 0)
		hw_log_set_epoch(loop->options.log, node_epoch(loop->node));
	loop->durable_lsn = verdict.end_lsn;
	*tail = verdict.end == LOG_TAIL_CLEAN ? PAXOS_TAIL_CLEAN
		: verdict.end == LOG_TAIL_ROT ? PAXOS_TAIL_MISSING
					      : PAXOS_TAIL_CUT;
	if (loop->options.repair)
		*tail = PAXOS_TAIL_MISSING;
	/* A log in memory is always empty at start, and mostly not because the node is
	 * new: it votes only once others have told it what it may have promised. */
	if (loop->options.log_in_memory && !is_alone(loop))
		*tail = PAXOS_TAIL_ROTTEN;
	return 0;
}

static int
take_memory(struct loop *loop, struct hw_error *error)
{
	void *memory = node_pages(loop);
	bool good = memory != NULL;

	loop->node = memory ? node_init(memory, loop->options.node) : NULL;
	loop->backlog = pages(LOOP_BACKLOG_BYTES);
	loop->snapshot = pages(sizeof *loop->snapshot);
	good = good && loop->backlog && loop->snapshot;
	for (uint32_t i = 0; i < HW_LOG_READS_MAX; i++) {
		loop->read_buffer[i] = pages(FRAME_BYTES_MAX);
		good = good && loop->read_buffer[i];
	}
	if (!good)
		return hw_error_set(error, -ENOMEM,
				    "no memory for a node of %zu bytes: lower groups_max, "
				    "members_max or index_hashes_max",
				    node_size(loop->options.node));
	return 0;
}

static int
start_node(struct loop *loop, enum paxos_tail tail, struct hw_error *error)
{
	uint8_t entropy[LOOP_ENTROPY_BYTES];
	struct timespec wall;

	if (getrandom(entropy, sizeof entropy, 0) != sizeof entropy)
		return hw_error_set(error, -EIO, "the kernel gives no random bytes");
	/* Higher than any before, by the log. The clock, in microseconds, is for a process whose
	 * predecessor ended before it wrote anything, or whose log was made anew: sessions
	 * tell them apart. */
	clock_gettime(CLOCK_REALTIME, &wall);
	uint64_t us = (uint64_t)wall.tv_sec * 1000000 + (uint64_t)wall.tv_nsec / 1000;
	loop->process = loop->process + 1 < us ? us : loop->process + 1;
	loop->now_ns = clock_ns();
	loop->entropy_ns = loop->now_ns + LOOP_ENTROPY_NS;
	step(loop, &(struct node_input){
			   .kind = NODE_IN_START,
			   .tail = tail,
			   .process = loop->process,
			   .lsn = loop->durable_lsn,
			   .data = entropy,
			   .bytes = sizeof entropy,
		   });
	return loop->lost ? say_lost(loop->lost_lsn, error) : 0;
}

int
loop_start(struct loop *loop, const struct loop_options *options, struct hw_error *error)
{
	enum paxos_tail tail = PAXOS_TAIL_CUT;

	memset(loop, 0, sizeof *loop);
	loop->options = *options;
	loop->sink = (struct node_sink){.context = loop, .emit = emit};
	loop->timer_ns = UINT64_MAX;
	loop->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	loop->status_done_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (loop->wake_fd < 0 || loop->status_done_fd < 0)
		return hw_error_set(error, -errno, "no descriptors left: raise LimitNOFILE");
	int rc = take_memory(loop, error);
	if (rc == 0)
		rc = recover(loop, &tail, error);
	if (rc == 0)
		rc = start_node(loop, tail, error);
	loop->started = rc == 0;
	return rc;
}

int
loop_survey(struct loop *loop, const struct loop_options *options, const struct loop_survey *survey,
	    struct hw_error *error)
{
	struct log_verdict verdict;

	memset(loop, 0, sizeof *loop);
	loop->options = *options;
	loop->sink = (struct node_sink){.context = loop, .emit = emit};
	loop->wake_fd = -1;
	loop->status_done_fd = -1;
	int rc = take_memory(loop, error);
	if (rc == 0)
		rc = hw_log_scan(options->log, replay, loop, &verdict, error);
	if (rc == 0)
		survey->tell(survey->context, loop->node);
	(void)loop_close(loop);
	return rc;
}

int
loop_close(struct loop *loop)
{
	int rc = 0;

	if (loop->started) {
		udp_flush(loop->options.udp);
		drain_backlog(loop);
		/* Without its last records the log did not end in order. */
		rc = loop->write_failed || loop->diverged || loop->outdated || log_is_full(loop)
			     ? -EIO
			     : hw_log_clean_stop(loop->options.log);
	}
	free(atomic_exchange(&loop->keys, NULL));
	forget_secrets(atomic_exchange(&loop->secrets, NULL));
	hw_certificates_free(atomic_exchange(&loop->certificates, NULL));
	hw_certificates_free(loop->options.certificates);
	free(atomic_exchange(&loop->order, NULL));
	free(atomic_exchange(&loop->force, NULL));
	hw_log_close(loop->options.log); /* first: it may still read into our buffers */
	pages_free(loop->node, node_bytes(loop));
	pages_free(loop->backlog, LOOP_BACKLOG_BYTES);
	pages_free(loop->snapshot, sizeof *loop->snapshot);
	for (uint32_t i = 0; i < HW_LOG_READS_MAX; i++)
		pages_free(loop->read_buffer[i], FRAME_BYTES_MAX);
	close(loop->wake_fd);
	close(loop->status_done_fd);
	return rc;
}

bool
loop_status_request(struct loop *loop, uint32_t timeout_ms)
{
	struct pollfd fd = {.fd = loop->status_done_fd, .events = POLLIN};
	uint32_t wanted = atomic_load_explicit(&loop->status_wanted, memory_order_relaxed) + 1;
	uint64_t one = 1;

	atomic_store_explicit(&loop->status_wanted, wanted, memory_order_release);
	(void)!write(loop->wake_fd, &one, sizeof one);
	/* The descriptor may still tell of an answer that came too late. */
	for (int i = 0; i < 2; i++) {
		if (poll(&fd, 1, (int)timeout_ms) <= 0)
			return false;
		(void)!read(loop->status_done_fd, &one, sizeof one);
		if (atomic_load_explicit(&loop->status_done, memory_order_acquire) == wanted)
			return true;
	}
	return false;
}
