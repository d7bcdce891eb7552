/* The cluster of tests/paxos/cluster.h: events, links, disks and checkers. */
#include "tests/paxos/cluster.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <criterion/criterion.h>

#include "base/must.h"
#include "paxos/codec.h"

#define HORIZON     16
#define BALLOTS_MAX 64 /* per slot and run */
#define NO_NODE     0xff
#define STAMP       56   /* in an id: from this bit on the epoch in which it was proposed */
#define FORCE       0xf0 /* a record's kind: count is the epoch, to the voters */

enum event_kind {
	EVENT_MESSAGE = 1,
	EVENT_DISK = 2,
	EVENT_READ = 3,
};

struct event {
	uint64_t at_ns;
	uint64_t order;
	enum event_kind kind;
	uint8_t node;
	uint8_t from;
	uint32_t life; /* of the node it was meant for: disk and reads */
	uint64_t lsn;
	uint32_t epoch;
	uint64_t id; /* of the value */
	struct paxos_message message;
};

struct record {
	struct paxos_message message;
	uint64_t id;
	uint64_t end;
	uint64_t batch; /* in which it reached the disk; 0: not yet */
};

struct held {
	struct paxos_message message;
	uint64_t id;
	uint64_t after_lsn;
	uint8_t to;
};

struct value {
	uint64_t id;
	uint32_t refs;
	uint8_t node;
};

struct node {
	struct paxos_replica *replica;
	void *memory;
	bool up;
	bool pressure;
	bool hold;
	bool disk_busy;
	uint32_t life;
	uint32_t epoch;
	uint64_t process;
	uint64_t disk_ns;
	uint64_t timer_ns;
	uint64_t durable;
	uint64_t batch; /* the last that reached the disk */
	struct record *record;
	uint32_t record_count;
	uint32_t durable_count; /* records of the durable prefix */
	uint32_t held_count;
	struct held *held;
	/* The log may begin here: records of PAXOS_IN_REMEMBER, to be used whole or not at all,
	 * and how far its state image goes. */
	uint32_t image_first;
	uint32_t image_end; /* 0: there is none */
	uint64_t image_delivered;
	uint64_t delivered;    /* of this life, by OUT_DELIVER */
	uint64_t reached;      /* of any life */
	uint64_t left_number;  /* of the configuration behind which it says that it may leave */
	uint64_t left_promise; /* unbounded, told to somebody */
	bool lied;             /* its disk lost what it had acknowledged */
	uint32_t given[PAXOS_VOTERS_MAX]; /* to each link, in this step */
};

/* What is known of a slot, by looking at every disk. */
struct history {
	uint32_t count;
	struct {
		uint64_t ballot;
		uint64_t id;
		uint32_t voters;
	} ballot[BALLOTS_MAX];
	bool used;    /* its owner proposed in it without a prepare */
	bool skipped; /* its owner said that it did not, nor will */
	struct {
		bool is_delivered;
		uint64_t id;
		uint32_t by; /* whom */
	} in[CLUSTER_EPOCHS];
};

/* Who votes from a slot on. */
struct voters {
	uint64_t first;
	uint32_t voters;
	uint32_t horizon;
	bool all_lead;
};

struct cluster {
	struct cluster_config config;
	struct epoch {
		struct voters change[CLUSTER_CHANGES_MAX];
		uint32_t change_count; /* change[0] is how it began */
		uint32_t forced;       /* nodes that came over from the epoch before */
		uint64_t fork;         /* slot of its first own value; 0: none yet */
	} epoch[CLUSTER_EPOCHS];
	uint32_t leavers; /* nodes that could have gone, once */
	uint64_t now;
	uint64_t random;
	uint64_t order;
	struct event *heap;
	uint32_t heap_count;
	struct node node[PAXOS_VOTERS_MAX];
	bool cut[PAXOS_VOTERS_MAX][PAXOS_VOTERS_MAX];
	struct value *value;
	uint32_t *value_free;
	uint32_t value_free_count;
	struct history *history;
	struct paxos_output output;
	char failure[512];
	char trace[CLUSTER_TRACE_BYTES];
	uint32_t trace_bytes;
};

static void __attribute__((format(printf, 2, 3))) fail(struct cluster *c, const char *format, ...)
{
	va_list args;
	if (c->failure[0])
		return;
	int n = snprintf(c->failure, sizeof c->failure,
			 "seed %" PRIu64 " at %" PRIu64 " us: ", c->config.seed, c->now / US);
	va_start(args, format);
	vsnprintf(c->failure + n, sizeof c->failure - (size_t)n, format, args);
	va_end(args);
}

static void __attribute__((format(printf, 3, 4)))
trace(struct cluster *c, uint8_t node, const char *format, ...)
{
	va_list args;
	if (!c->config.trace)
		return;
	char *at = c->trace + c->trace_bytes;
	size_t room = sizeof c->trace - c->trace_bytes;
	int n = snprintf(at, room, "[%4" PRIu64 "] %u ", c->now / US, node);
	va_start(args, format);
	n += vsnprintf(at + n, room - (size_t)n, format, args);
	va_end(args);
	n += snprintf(at + n, room - (size_t)n, "\n");
	must((size_t)n < room);
	c->trace_bytes += (uint32_t)n;
}

uint64_t
cluster_random(struct cluster *c, uint64_t below)
{
	uint64_t z = (c->random += 0x9e3779b97f4a7c15u);
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return below == 0 ? 0 : (z ^ (z >> 31)) % below;
}

/* Values: one pool, every handle belongs to one node. */

/* An id without the epoch in which it was proposed. A change has that in itself. */
static uint64_t
content(uint64_t id)
{
	return id & CLUSTER_CHANGE ? id : id & ((1ull << STAMP) - 1);
}

static uint32_t
stamp_of(uint64_t id)
{
	return id & CLUSTER_CHANGE ? (uint32_t)(id >> PAXOS_CHANGE_EPOCH & 0x3f)
				   : (uint32_t)(id >> STAMP);
}

static struct paxos_value
value_make(struct cluster *c, uint8_t node, uint64_t id)
{
	uint32_t change =
		id & CLUSTER_CHANGE ? (uint32_t)id : (uint32_t)(id >> STAMP) << PAXOS_CHANGE_EPOCH;

	if (content(id) == 0)
		return (struct paxos_value){.handle = PAXOS_NO_VALUE, .change = change};
	must(c->value_free_count > 0);
	uint32_t handle = c->value_free[--c->value_free_count];
	c->value[handle] = (struct value){.id = content(id), .refs = 1, .node = node};
	return (struct paxos_value){.handle = handle, .bytes = 8, .change = change};
}

static void
value_release(struct cluster *c, uint8_t node, struct paxos_value value)
{
	must(value.handle < CLUSTER_VALUES_MAX);
	struct value *v = &c->value[value.handle];
	if (v->refs == 0 || v->node != node) {
		fail(c, "node %u gives back a value it does not hold", node);
		return;
	}
	if (--v->refs == 0)
		c->value_free[c->value_free_count++] = value.handle;
}

static uint64_t
value_id(struct cluster *c, uint8_t node, struct paxos_value value)
{
	uint64_t stamp = (uint64_t)paxos_value_epoch(&value) << STAMP;

	if (value.handle == PAXOS_NO_VALUE) {
		if (paxos_is_change(&value))
			return CLUSTER_CHANGE | value.change;
		if (value.bytes != 0)
			fail(c, "node %u: an empty value of %u bytes", node, value.bytes);
		return stamp;
	}
	const struct value *v = &c->value[value.handle];
	if (v->refs == 0 || v->node != node)
		fail(c, "node %u uses a value it does not hold", node);
	/* Who proposes a change adds a leader to it. */
	return paxos_is_change(&value) ? (v->id & ~(uint64_t)UINT32_MAX) | value.change
				       : v->id | stamp;
}

static uint32_t
values_of(const struct cluster *c, uint8_t node)
{
	uint32_t refs = 0;
	for (uint32_t i = 0; i < CLUSTER_VALUES_MAX; i++)
		refs += c->value[i].node == node ? c->value[i].refs : 0;
	return refs;
}

/* Events: a binary heap by time, then by order of creation. */

static bool
event_before(const struct event *a, const struct event *b)
{
	return a->at_ns < b->at_ns || (a->at_ns == b->at_ns && a->order < b->order);
}

static void
event_push(struct cluster *c, struct event event)
{
	must(c->heap_count < CLUSTER_EVENTS_MAX);
	event.order = c->order++;
	uint32_t i = c->heap_count++;
	for (; i > 0 && event_before(&event, &c->heap[(i - 1) / 2]); i = (i - 1) / 2)
		c->heap[i] = c->heap[(i - 1) / 2];
	c->heap[i] = event;
}

static struct event
event_pop(struct cluster *c)
{
	struct event top = c->heap[0];
	struct event last = c->heap[--c->heap_count];
	uint32_t i = 0;
	for (;;) {
		uint32_t child = 2 * i + 1;
		if (child >= c->heap_count)
			break;
		if (child + 1 < c->heap_count && event_before(&c->heap[child + 1], &c->heap[child]))
			child++;
		if (!event_before(&c->heap[child], &last))
			break;
		c->heap[i] = c->heap[child];
		i = child;
	}
	c->heap[i] = last;
	return top;
}

/* Text of a message, for traces. */

static const char *
ballot_text(uint64_t ballot, char *out)
{
	if (ballot == UINT64_MAX)
		snprintf(out, 24, "decided");
	else if (ballot == 0)
		snprintf(out, 24, "b0");
	else if (ballot >> 40 == 0)
		snprintf(out, 24, "b%" PRIu64 ".%" PRIu64, ballot >> 8, ballot & 0xff);
	else
		snprintf(out, 24, "c%" PRIu64 " b%u.%" PRIu64, ballot >> 40,
			 (uint32_t)(ballot >> 8), ballot & 0xff);
	return out;
}

static const char *
message_text(const struct paxos_message *m, uint64_t id, char *out, size_t room)
{
	const char *name = m->kind == PAXOS_PREPARE ? "prepare" : "accepted";
	char b[24];
	char a[24];
	const char *to = m->to == PAXOS_SLOT_END ? "end" : "";
	ballot_text(m->ballot, b);
	ballot_text(m->accepted, a);
	switch (m->kind) {
	case PAXOS_PREPARE:
	case PAXOS_ACCEPTED:
		if (*to)
			snprintf(out, room, "%s %s %" PRIu64 "..%s", name, b, m->from, to);
		else
			snprintf(out, room, "%s %s %" PRIu64 "..%" PRIu64, name, b, m->from,
				 m->to - 1);
		break;
	case PAXOS_PROMISE:
		snprintf(out, room, "promise %s, %u reports, delivered %" PRIu64, b, m->count,
			 m->delivered);
		break;
	case PAXOS_REPORT:
		snprintf(out, room, "report %" PRIu64 " %s %" PRIx64, m->slot, a, id);
		break;
	case PAXOS_ACCEPT:
		snprintf(out, room, "accept %" PRIu64 " %s %" PRIx64, m->slot, b, id);
		break;
	case PAXOS_REFUSE:
		snprintf(out, room, "refuse %s for %s", b, a);
		break;
	case PAXOS_DECIDED:
		snprintf(out, room, "decided %s %" PRIu64, b, m->delivered);
		break;
	case PAXOS_LEARN:
		snprintf(out, room, "learn %" PRIu64 "..%" PRIu64, m->from, m->to - 1);
		break;
	case PAXOS_LEARNED:
		snprintf(out, room, "learned %" PRIu64 " %" PRIx64, m->slot, id);
		break;
	case PAXOS_SKIP:
		snprintf(out, room, "skip %s %" PRIu64 "..%" PRIu64, b, m->from, m->to - 1);
		break;
	case PAXOS_RECOVER:
		snprintf(out, room, "recover");
		break;
	case PAXOS_RECOVERED:
		snprintf(out, room, "recovered %s, %u reports, delivered %" PRIu64, b, m->count,
			 m->delivered);
		break;
	case PAXOS_RECORD_START:
		snprintf(out, room, "start %" PRIu64, m->nonce);
		break;
	case PAXOS_RECORD_SETTLED:
		snprintf(out, room, "settled %" PRIu64, m->nonce);
		break;
	case PAXOS_RECORD_PROMISE:
		ballot_text(m->low_ballot, a);
		if (m->low_ballot)
			snprintf(out, room, "promise %s, %s below %" PRIu64, b, a, m->low_end);
		else
			snprintf(out, room, "promise %s", b);
		break;
	case PAXOS_RECORD_RESERVE:
		snprintf(out, room, "reserve %" PRIu64, m->to);
		break;
	case PAXOS_RECORD_DELIVERED:
		snprintf(out, room, "delivered %" PRIu64, m->delivered);
		break;
	default:
		snprintf(out, room, "kind %u", m->kind);
	}
	return out;
}

/* Checkers. */

static void
check_accept_durable(struct cluster *c, uint8_t n, const struct record *record)
{
	const struct paxos_message *m = &record->message;
	if (m->kind != PAXOS_ACCEPT)
		return;
	must(m->slot < CLUSTER_SLOTS_MAX);
	struct history *h = &c->history[m->slot];
	for (uint32_t i = 0; i < h->count; i++) {
		if (h->ballot[i].ballot != m->ballot)
			continue;
		h->ballot[i].voters |= 1u << n;
		if (h->ballot[i].id != record->id)
			fail(c,
			     "slot %" PRIu64 " ballot %" PRIx64 ": values %" PRIx64 " and %" PRIx64,
			     m->slot, m->ballot, h->ballot[i].id, record->id);
		return;
	}
	must(h->count < BALLOTS_MAX);
	h->ballot[h->count].ballot = m->ballot;
	h->ballot[h->count].id = record->id;
	h->ballot[h->count++].voters = 1u << n;
}

static uint32_t
change_at(const struct epoch *e, uint64_t slot)
{
	uint32_t at = e->change_count - 1;
	while (e->change[at].first > slot)
		at--;
	return at;
}

/* A slot is delivered for the first time. */
static void
note_change(struct cluster *c, uint32_t epoch, uint64_t slot, uint64_t id)
{
	struct epoch *e = &c->epoch[epoch];
	const struct voters *last = &e->change[e->change_count - 1];
	if (!(id & CLUSTER_CHANGE) || slot < last->first || (id >> 25 & 0x3f) != epoch)
		return; /* none, or void */
	must(e->change_count < CLUSTER_CHANGES_MAX);
	e->change[e->change_count] = (struct voters){.first = slot + last->horizon,
						     .voters = id & 0xff,
						     .horizon = id >> 16 & 0xff,
						     .all_lead = id >> 24 & 1};
	e->change_count++;
}

/* Who votes in a slot may, and has what others rely on it for. */
static void
check_may_vote(struct cluster *c, uint8_t n, uint64_t slot)
{
	const struct epoch *e = &c->epoch[c->node[n].epoch];
	uint32_t at = change_at(e, slot);
	if (!(e->change[at].voters >> n & 1))
		fail(c, "node %u votes on slot %" PRIu64 " and is no voter", n, slot);
	if (at > 0 && !(e->change[at - 1].voters >> n & 1) &&
	    c->node[n].delivered + 1 < e->change[at].first)
		fail(c, "node %u votes on slot %" PRIu64 " and has delivered %" PRIu64, n, slot,
		     c->node[n].delivered);
}

/* Of the voters of the ballot's epoch. */
static bool
is_decided(const struct cluster *c, uint64_t slot, uint32_t at)
{
	const struct history *h = &c->history[slot];
	const struct epoch *e = &c->epoch[h->ballot[at].ballot >> (40 + PAXOS_EPOCH_SHIFT)];
	uint32_t voters = e->change[change_at(e, slot)].voters;

	return 2 * __builtin_popcount(h->ballot[at].voters & voters) > __builtin_popcount(voters);
}

/* What the epoch before decided with one that was forced stays. */
static void
check_binding(struct cluster *c, uint32_t epoch, uint64_t slot, uint64_t id)
{
	const struct history *h = &c->history[slot];
	uint64_t old = h->in[epoch - 1].id;
	bool binds = (h->in[epoch - 1].by & c->epoch[epoch].forced) != 0;

	if (!h->in[epoch - 1].is_delivered || content(old) == content(id))
		return;
	for (uint32_t i = 0; i < h->count; i++)
		binds |= h->ballot[i].id == old && is_decided(c, slot, i) &&
			 (h->ballot[i].voters & c->epoch[epoch].forced) != 0;
	if (binds)
		fail(c, "slot %" PRIu64 " was %" PRIx64 ", and is %" PRIx64 " after a force", slot,
		     old, id);
}

/* Until an epoch's first own value its order is that of the one before, lost or not. */
static void
check_fork(struct cluster *c, uint32_t epoch, uint64_t slot, uint64_t id)
{
	const struct history *h = &c->history[slot];
	struct epoch *e = &c->epoch[epoch];

	if (stamp_of(id) == epoch && epoch > 0 && (e->fork == 0 || slot < e->fork))
		e->fork = slot;
	for (uint32_t new = epoch; new <= epoch + 1 && new < CLUSTER_EPOCHS; new ++) {
		bool both = new > 0 && h->in[new].is_delivered && h->in[new - 1].is_delivered;
		uint64_t fork = c->epoch[new].fork;
		if (both && (fork == 0 || slot < fork) && h->in[new].id != h->in[new - 1].id)
			fail(c,
			     "slot %" PRIu64 " was %" PRIx64 ", and is %" PRIx64 " below %" PRIu64,
			     slot, h->in[new - 1].id, h->in[new].id, fork);
	}
}

static void
check_delivered(struct cluster *c, uint8_t n, uint64_t slot, uint64_t id)
{
	must(slot < CLUSTER_SLOTS_MAX);
	struct history *h = &c->history[slot];
	uint32_t e = c->node[n].epoch;
	if (h->in[e].is_delivered && h->in[e].id != id)
		fail(c, "node %u delivers %" PRIx64 " in slot %" PRIu64 ", not %" PRIx64, n, id,
		     slot, h->in[e].id);
	if (slot != c->node[n].delivered + 1)
		fail(c, "node %u delivers slot %" PRIu64 " after %" PRIu64, n, slot,
		     c->node[n].delivered);
	c->node[n].delivered = slot;
	if (c->node[n].reached < slot)
		c->node[n].reached = slot;
	bool quorum = h->in[e].is_delivered || (h->skipped && content(id) == 0);
	for (uint32_t i = 0; i < h->count; i++)
		quorum |= h->ballot[i].id == id && is_decided(c, slot, i);
	if (!quorum)
		fail(c, "node %u delivers slot %" PRIu64 ", which no quorum has on disk", n, slot);
	if (!h->in[e].is_delivered && e > 0)
		check_binding(c, e, slot, id);
	if (!h->in[e].is_delivered)
		note_change(c, e, slot, id);
	h->in[e].is_delivered = true;
	h->in[e].id = id;
	h->in[e].by |= 1u << n;
	check_fork(c, e, slot, id);
}

static bool
disk_has_below(const struct node *node, uint64_t first)
{
	static bool has[CLUSTER_SLOTS_MAX];

	memset(has, 0, sizeof has);
	for (uint32_t i = 0; i < node->durable_count; i++) {
		const struct paxos_message *m = &node->record[i].message;
		if (m->kind == PAXOS_ACCEPT || m->kind == PAXOS_LEARNED)
			has[m->slot] = true;
	}
	for (uint64_t slot = 1; slot < first; slot++) {
		if (!has[slot])
			return false;
	}
	return true;
}

/* One that may go for good is needed by nobody: those who vote now have all it had a vote
 * on, and have it on disk. */
static void
check_may_leave(struct cluster *c, uint8_t n)
{
	const struct paxos_configuration *now = paxos_configuration(c->node[n].replica);
	uint32_t there = 0;

	if (!paxos_may_leave(c->node[n].replica) || now->voters == 0 ||
	    c->node[n].left_number == now->number)
		return;
	c->node[n].left_number = now->number;
	for (uint8_t v = 0; v < c->config.replica_count; v++)
		there += (now->voters >> v & 1) && !c->node[v].lied &&
			 c->node[v].reached + 1 >= now->first &&
			 disk_has_below(&c->node[v], now->first);
	for (uint8_t v = 0; v < c->config.replica_count; v++)
		there += (now->voters >> v & 1) && c->node[v].lied; /* its word was good once */
	if (2 * there <= (uint32_t)__builtin_popcount(now->voters))
		fail(c, "node %u may leave, and %u of %x are there", n, there, now->voters);
	c->leavers++;
}

static bool
disk_holds(const struct node *node, const struct paxos_message *m)
{
	for (uint32_t i = node->durable_count; i-- > 0;) {
		const struct paxos_message *r = &node->record[i].message;
		if (m->kind == PAXOS_ACCEPTED) {
			if (r->kind == PAXOS_ACCEPT && r->slot == m->from && r->ballot == m->ballot)
				return true;
		} else if (r->kind == PAXOS_RECORD_PROMISE) {
			if (m->to == PAXOS_SLOT_END)
				return r->ballot >= m->ballot;
			return r->low_ballot >= m->ballot || r->ballot >= m->ballot;
		}
	}
	return false;
}

/* The voters have their turns in the order of their numbers. */
static uint8_t
turn_of(const struct voters *v, uint64_t slot)
{
	uint64_t turn = (slot - v->first) % (uint64_t)__builtin_popcount(v->voters);

	for (uint8_t n = 0; n < PAXOS_VOTERS_MAX; n++) {
		if (v->voters >> n & 1 && turn-- == 0)
			return n;
	}
	return NO_NODE;
}

static bool
reserved(const struct node *node, uint64_t slot)
{
	for (uint32_t i = 0; i < node->durable_count; i++) {
		const struct record *record = &node->record[i];
		if (record->message.kind == PAXOS_RECORD_RESERVE && record->message.to > slot &&
		    record->batch < node->batch)
			return true;
	}
	return false;
}

/* What an owner says of its slot without a prepare. */
static void
check_owner(struct cluster *c, uint8_t n, const struct paxos_message *m, uint64_t slot)
{
	struct history *h = &c->history[slot];
	uint64_t at = m->ballot >> 40 & ((1u << PAXOS_EPOCH_SHIFT) - 1);
	const struct epoch *e = &c->epoch[m->ballot >> (40 + PAXOS_EPOCH_SHIFT)];

	if ((uint32_t)(m->ballot >> 8) != 0 || at == 0 || !e->change[at].all_lead)
		return;
	bool own = at == change_at(e, slot) && turn_of(&e->change[at], slot) == n;
	if (m->kind == PAXOS_SKIP && !own)
		return;
	h->skipped |= m->kind == PAXOS_SKIP;
	h->used |= m->kind == PAXOS_ACCEPT;
	if (!own)
		fail(c, "node %u proposes in slot %" PRIu64 ", which it does not own", n, slot);
	if (h->used && h->skipped)
		fail(c, "node %u: slot %" PRIu64 " is proposed in and skipped", n, slot);
	if (!reserved(&c->node[n], slot))
		fail(c, "node %u uses slot %" PRIu64 ", which it has not reserved", n, slot);
}

static void
check_turn(struct cluster *c, uint8_t n, const struct paxos_message *m)
{
	if (m->kind == PAXOS_ACCEPT)
		check_owner(c, n, m, m->slot);
	for (uint64_t slot = m->from; m->kind == PAXOS_SKIP && slot < m->to; slot++)
		check_owner(c, n, m, slot);
}

/* What leaves a machine must be on its disk, and keep every promise that left. */
static void
check_leaving(struct cluster *c, uint8_t n, const struct paxos_message *m)
{
	struct node *node = &c->node[n];
	bool binds = m->kind == PAXOS_PREPARE || m->kind == PAXOS_PROMISE;
	if (binds || m->kind == PAXOS_ACCEPTED) {
		if (!disk_holds(node, m))
			fail(c, "node %u sends kind %u before it is on disk", n, m->kind);
	}
	if (m->kind == PAXOS_ACCEPTED)
		check_may_vote(c, n, m->from);
	if (binds && m->to == PAXOS_SLOT_END && m->ballot > node->left_promise)
		node->left_promise = m->ballot;
}

static void
check_kept(struct cluster *c, uint8_t n)
{
	struct node *node = &c->node[n];
	if (node->lied)
		return;
	if (paxos_promised(node->replica, node->delivered + 1) < node->left_promise)
		fail(c, "node %u forgot its promise of %" PRIx64, n, node->left_promise);
}

/* Links. */

static void
link_carry(struct cluster *c, uint8_t from, uint8_t to, const struct paxos_message *m, uint64_t id)
{
	check_leaving(c, from, m);
	check_turn(c, from, m);
	if (c->cut[from][to] || cluster_random(c, 100) < c->config.drop_percent)
		return;
	uint32_t copies = 1 + (cluster_random(c, 100) < c->config.duplicate_percent);
	for (uint32_t i = 0; i < copies; i++) {
		uint64_t delay = c->config.net_ns + cluster_random(c, c->config.net_jitter_ns + 1);
		event_push(c, (struct event){.at_ns = c->now + delay,
					     .kind = EVENT_MESSAGE,
					     .node = to,
					     .from = from,
					     .epoch = c->node[from].epoch,
					     .id = id,
					     .message = *m});
	}
}

static void
held_release(struct cluster *c, uint8_t n)
{
	struct node *node = &c->node[n];
	uint32_t kept = 0;
	for (uint32_t i = 0; i < node->held_count; i++) {
		struct held *h = &node->held[i];
		if (h->after_lsn <= node->durable)
			link_carry(c, n, h->to, &h->message, h->id);
		else
			node->held[kept++] = *h;
	}
	node->held_count = kept;
}

/* Disks: one batch under way, and what came since waits for the next. */

static void
disk_start(struct cluster *c, uint8_t n)
{
	struct node *node = &c->node[n];
	if (node->disk_busy || node->record_count == node->durable_count)
		return;
	node->disk_busy = true;
	uint64_t delay = node->disk_ns + cluster_random(c, c->config.disk_jitter_ns + 1);
	event_push(c, (struct event){.at_ns = c->now + delay,
				     .kind = EVENT_DISK,
				     .node = n,
				     .life = node->life,
				     .lsn = node->record[node->record_count - 1].end});
}

static void
disk_reach(struct cluster *c, uint8_t n, uint64_t lsn)
{
	struct node *node = &c->node[n];
	node->batch++;
	while (node->durable_count < node->record_count &&
	       node->record[node->durable_count].end <= lsn) {
		node->record[node->durable_count].batch = node->batch;
		check_accept_durable(c, n, &node->record[node->durable_count++]);
	}
	node->durable = lsn;
}

/* Steps. */

static void
output_log(struct cluster *c, uint8_t n, const struct paxos_output_item *item)
{
	struct node *node = &c->node[n];
	char text[128];
	must(node->record_count < CLUSTER_RECORDS_MAX);
	struct record *record = &node->record[node->record_count++];
	record->message = item->message;
	record->id = value_id(c, n, item->message.value);
	record->end = item->lsn;
	trace(c, n, "  log %s @%" PRIu64,
	      message_text(&item->message, record->id, text, sizeof text), item->lsn);
}

static void
output_send(struct cluster *c, uint8_t n, const struct paxos_output_item *item)
{
	struct node *node = &c->node[n];
	struct held *h = &node->held[node->held_count];
	char text[128];
	uint8_t fixed[PAXOS_FIXED_BYTES];

	if (c->config.link_room > 0 && node->given[item->to]++ >= c->config.link_room)
		return;
	must(node->held_count < CLUSTER_EVENTS_MAX);
	*h = (struct held){.message = item->message, .after_lsn = item->after_lsn, .to = item->to};
	h->id = value_id(c, n, item->message.value);
	paxos_encode(&item->message, fixed);
	message_text(&item->message, h->id, text, sizeof text);
	if (item->after_lsn > node->durable) {
		trace(c, n, "  to %u: %s, held for @%" PRIu64, item->to, text, item->after_lsn);
		node->held_count++;
		return;
	}
	trace(c, n, "  to %u: %s", item->to, text);
	link_carry(c, n, item->to, &h->message, h->id);
}

static void
output_item(struct cluster *c, uint8_t n, const struct paxos_output_item *item)
{
	char b[24];
	switch (item->kind) {
	case PAXOS_OUT_SEND:
		output_send(c, n, item);
		break;
	case PAXOS_OUT_LOG:
		output_log(c, n, item);
		break;
	case PAXOS_OUT_DELIVER:
		trace(c, n, "  deliver %" PRIu64 " %" PRIx64, item->slot,
		      value_id(c, n, item->value));
		check_delivered(c, n, item->slot, value_id(c, n, item->value));
		break;
	case PAXOS_OUT_READ:
		trace(c, n, "  read %" PRIu64 " for %u", item->slot, item->to);
		event_push(c, (struct event){.at_ns = c->now + c->node[n].disk_ns,
					     .kind = EVENT_READ,
					     .node = n,
					     .from = item->to,
					     .life = c->node[n].life,
					     .lsn = item->slot});
		break;
	case PAXOS_OUT_RELEASE:
		value_release(c, n, item->value);
		break;
	case PAXOS_OUT_LEADER:
		if (item->to == PAXOS_NO_VOTER)
			trace(c, n, "  no leader");
		else
			trace(c, n, "  leader %u %s", item->to,
			      ballot_text(item->message.ballot, b));
		break;
	}
}

static void
step_once(struct cluster *c, uint8_t n, struct paxos_input *in)
{
	struct node *node = &c->node[n];
	memset(node->given, 0, sizeof node->given);
	in->now_ns = c->now;
	in->pressure = node->pressure;
	in->hold = node->hold && in->kind != PAXOS_IN_RECORD && in->kind != PAXOS_IN_FORCE;
	in->lsn_next = node->record_count ? node->record[node->record_count - 1].end : 0;
	paxos_step(node->replica, in, &c->output);
	for (uint32_t i = 0; i < c->output.count; i++)
		output_item(c, n, &c->output.item[i]);
	node->timer_ns = c->output.timer_ns;
}

static void
step(struct cluster *c, uint8_t n, struct paxos_input in)
{
	step_once(c, n, &in);
	for (uint32_t i = 0; c->output.more; i++) {
		struct paxos_input tick = {.kind = PAXOS_IN_TICK};
		must(i < 1000);
		step_once(c, n, &tick);
	}
	if (paxos_delivered(c->node[n].replica) != c->node[n].delivered)
		fail(c, "node %u says delivered %" PRIu64, n, paxos_delivered(c->node[n].replica));
	check_may_leave(c, n);
	check_kept(c, n);
	disk_start(c, n);
}

/* The outside. */

static void
node_start(struct cluster *c, uint8_t n, enum paxos_tail tail)
{
	struct node *node = &c->node[n];
	struct paxos_config config = {.replica_count = c->config.replica_count,
				      .self = n,
				      .leader = 0,
				      .voters = c->config.voters,
				      .horizon = HORIZON,
				      .reserve_slots = 48,
				      .takeover_ns = 5 * MS,
				      .retry_ns = 2 * MS,
				      .tail_trust_ns = c->config.tail_trust_ns};
	node->replica = paxos_init(node->memory, &config);
	node->up = true;
	node->life++;
	uint32_t records = node->record_count;
	if (node->image_end > records)
		node->image_end = 0; /* the end of it is lost */
	bool trimmed = node->image_end > 0;
	node->delivered = trimmed ? node->image_delivered : 0;
	for (uint32_t i = trimmed ? node->image_first : 0; i < records; i++) {
		struct paxos_input in = {.kind = PAXOS_IN_RECORD,
					 .message = node->record[i].message,
					 .lsn = node->record[i].end};
		if (in.message.kind == FORCE)
			in = (struct paxos_input){.kind = PAXOS_IN_FORCE,
						  .epoch = node->record[i].message.count,
						  .voters = (uint32_t)node->record[i].message.to};
		else
			in.message.value = value_make(c, n, node->record[i].id);
		step_once(c, n, &in);
	}
	must(node->record_count == records);
	trace(c, n, "> start %" PRIu64 ", %u records, delivered %" PRIu64, node->process + 1,
	      records, node->delivered);
	step(c, n,
	     (struct paxos_input){.kind = PAXOS_IN_START,
				  .process = ++node->process,
				  .nonce = 1 + cluster_random(c, UINT64_MAX - 1),
				  .tail = tail});
}

struct cluster *
cluster_new(const struct cluster_config *config)
{
	struct cluster *c = calloc(1, sizeof *c);
	must(c);
	c->config = *config;
	c->random = config->seed;
	c->epoch[0].change[c->epoch[0].change_count++] = (struct voters){
		.voters = config->voters ? config->voters : (1u << config->replica_count) - 1,
		.horizon = HORIZON};
	c->heap = calloc(CLUSTER_EVENTS_MAX, sizeof *c->heap);
	c->value = calloc(CLUSTER_VALUES_MAX, sizeof *c->value);
	c->value_free = calloc(CLUSTER_VALUES_MAX, sizeof *c->value_free);
	c->history = calloc(CLUSTER_SLOTS_MAX, sizeof *c->history);
	must(c->heap && c->value && c->value_free && c->history);
	for (uint32_t i = CLUSTER_VALUES_MAX; i-- > 0;)
		c->value_free[c->value_free_count++] = i;
	for (uint8_t n = 0; n < config->replica_count; n++) {
		struct paxos_config sizes = {.replica_count = config->replica_count};
		struct node *node = &c->node[n];
		node->memory = aligned_alloc(64, (paxos_size(&sizes) + 63) & ~(size_t)63);
		node->record = calloc(CLUSTER_RECORDS_MAX, sizeof *node->record);
		node->held = calloc(CLUSTER_EVENTS_MAX, sizeof *node->held);
		must(node->memory && node->record && node->held);
		node->disk_ns = config->disk_ns;
	}
	for (uint8_t n = 0; n < config->replica_count; n++)
		node_start(c, n, PAXOS_TAIL_CLEAN);
	return c;
}

void
cluster_free(struct cluster *c)
{
	for (uint8_t n = 0; n < c->config.replica_count; n++) {
		free(c->node[n].memory);
		free(c->node[n].record);
		free(c->node[n].held);
	}
	free(c->heap);
	free(c->value);
	free(c->value_free);
	free(c->history);
	free(c);
}

void
cluster_finish(struct cluster *c)
{
	cluster_heal(c);
	cluster_run(c, 300000000);
	cr_assert_null(cluster_failure(c), "%s", cluster_failure(c));
	cr_assert_geq(cluster_leader(c), 0, "nobody leads");
	cluster_free(c);
}

void
cluster_cut_one_way(struct cluster *c, uint8_t from, uint8_t to)
{
	c->cut[from][to] = true;
}

void
cluster_cut(struct cluster *c, uint8_t a, uint8_t b)
{
	cluster_cut_one_way(c, a, b);
	cluster_cut_one_way(c, b, a);
}

void
cluster_heal(struct cluster *c)
{
	memset(c->cut, 0, sizeof c->cut);
}

void
cluster_link_event(struct cluster *c, uint8_t at, uint8_t peer, bool up)
{
	if (c->node[at].up)
		step(c, at, (struct paxos_input){.kind = PAXOS_IN_LINK, .from = peer, .up = up});
}

/* The process is gone: its memory, its messages that wait, and the values. */
static void
node_end(struct cluster *c, uint8_t n)
{
	struct node *node = &c->node[n];
	must(node->up);
	node->up = false;
	node->disk_busy = false;
	node->life++;
	node->held_count = 0;
	for (uint32_t i = 0; i < CLUSTER_VALUES_MAX; i++) {
		if (c->value[i].node != n || c->value[i].refs == 0)
			continue;
		c->value[i].refs = 0;
		c->value_free[c->value_free_count++] = i;
	}
}

/* Of the batch under way any prefix may have reached the disk. */
void
cluster_crash(struct cluster *c, uint8_t n)
{
	struct node *node = &c->node[n];
	uint32_t open = node->record_count - node->durable_count;
	trace(c, n, "> crash");
	node_end(c, n);
	uint32_t kept = node->durable_count + (uint32_t)cluster_random(c, open + 1);
	if (kept > node->durable_count)
		disk_reach(c, n, node->record[kept - 1].end);
	node->record_count = kept;
}

/* Beyond that, the disk loses `records` which it had acknowledged. */
void
cluster_crash_lying(struct cluster *c, uint8_t n, uint32_t records)
{
	struct node *node = &c->node[n];
	trace(c, n, "> crash, the disk loses %u records", records);
	node_end(c, n);
	uint32_t lost = records < node->durable_count ? records : node->durable_count;
	node->durable_count -= lost;
	node->record_count = node->durable_count;
	node->durable = node->record_count ? node->record[node->record_count - 1].end : 0;
	node->lied = true;
}

void
cluster_stop(struct cluster *c, uint8_t n)
{
	struct node *node = &c->node[n];
	trace(c, n, "> stop");
	node_end(c, n);
	if (node->record_count > 0)
		disk_reach(c, n, node->record[node->record_count - 1].end);
}

void
cluster_restart(struct cluster *c, uint8_t n, enum paxos_tail tail)
{
	must(!c->node[n].up);
	node_start(c, n, tail);
}

void
cluster_force(struct cluster *c, uint8_t n, uint32_t epoch, uint32_t voters)
{
	struct node *node = &c->node[n];
	struct epoch *e = &c->epoch[epoch];

	must(!node->up && node->record_count == node->durable_count);
	must(epoch > node->epoch && epoch < CLUSTER_EPOCHS);
	trace(c, n, "> epoch %u, voters %x", epoch, voters);
	node->epoch = epoch;
	if (voters == 0) {
		node->record_count = 0;
		node->durable = 0;
		node->left_promise = 0;
	} else {
		e->change[0] = (struct voters){.voters = voters, .horizon = HORIZON};
		e->change_count = 1;
		e->forced |= 1u << n;
	}
	node->record[node->record_count++] = (struct record){
		.message = {.kind = FORCE, .count = epoch, .to = voters}, .end = node->durable};
	node->durable_count = node->record_count;
}

void
cluster_disk_ns(struct cluster *c, uint8_t n, uint64_t disk_ns)
{
	c->node[n].disk_ns = disk_ns;
}

void
cluster_pressure(struct cluster *c, uint8_t n, bool pressure)
{
	c->node[n].pressure = pressure;
}

void
cluster_hold(struct cluster *c, uint8_t n, bool hold)
{
	c->node[n].hold = hold;
	if (!hold)
		c->node[n].timer_ns = c->now;
}

void
cluster_log_fails(struct cluster *c, uint8_t n)
{
	trace(c, n, "> log failed");
	c->node[n].disk_busy = true; /* nothing is written any more */
	c->node[n].life++;
	step(c, n, (struct paxos_input){.kind = PAXOS_IN_LOG_FAILED});
}

void
cluster_remember(struct cluster *c, uint8_t n)
{
	struct node *node = &c->node[n];
	if (!node->up || !paxos_is_voting(node->replica))
		return;
	trace(c, n, "> remember");
	node->image_first = node->record_count;
	node->image_delivered = node->delivered;
	step(c, n, (struct paxos_input){.kind = PAXOS_IN_REMEMBER});
	node->image_end = node->record_count;
}

void
cluster_faults(struct cluster *c, uint32_t drop_percent, uint32_t duplicate_percent)
{
	c->config.drop_percent = drop_percent;
	c->config.duplicate_percent = duplicate_percent;
}

bool
cluster_submit(struct cluster *c, uint8_t n, uint64_t id)
{
	if (!c->node[n].up || !paxos_can_propose(c->node[n].replica))
		return false;
	trace(c, n, "> submit %" PRIx64, id);
	step(c, n, (struct paxos_input){.kind = PAXOS_IN_PROPOSE, .value = value_make(c, n, id)});
	return true;
}

bool
cluster_change(struct cluster *c, uint8_t n, uint64_t id, uint32_t voters, uint32_t horizon)
{
	bool all = paxos_configuration(c->node[n].replica)->all_lead;
	uint32_t change = paxos_change(c->config.replica_count, voters, horizon,
				       all ? PAXOS_ALL_LEAD : PAXOS_ONE_LEADS);
	must(change != 0);
	if (!c->node[n].up || !paxos_can_change(c->node[n].replica))
		return false;
	return cluster_submit(c, n, CLUSTER_CHANGE | id << 32 | change);
}

bool
cluster_switch(struct cluster *c, uint8_t n, uint64_t id, enum paxos_lead lead)
{
	const struct paxos_configuration *now = paxos_configuration(c->node[n].replica);
	uint32_t change = paxos_change(c->config.replica_count, now->voters, now->horizon, lead);
	if (!c->node[n].up || !paxos_can_change(c->node[n].replica))
		return false;
	return cluster_submit(c, n, CLUSTER_CHANGE | id << 32 | change);
}

static void
run_message(struct cluster *c, const struct event *e)
{
	char text[128];
	struct paxos_input in = {.kind = PAXOS_IN_MESSAGE, .from = e->from, .message = e->message};
	trace(c, e->node, "> from %u: %s", e->from,
	      message_text(&e->message, e->id, text, sizeof text));
	in.message.value = value_make(c, e->node, e->id);
	step(c, e->node, in);
}

static void
run_event(struct cluster *c, const struct event *e)
{
	struct node *node = &c->node[e->node];
	if (!node->up || (e->kind != EVENT_MESSAGE && e->life != node->life) ||
	    (e->kind == EVENT_MESSAGE && e->epoch != node->epoch))
		return;
	if (e->kind == EVENT_MESSAGE) {
		run_message(c, e);
	} else if (e->kind == EVENT_DISK) {
		node->disk_busy = false;
		disk_reach(c, e->node, e->lsn);
		trace(c, e->node, "> durable @%" PRIu64, e->lsn);
		held_release(c, e->node);
		step(c, e->node, (struct paxos_input){.kind = PAXOS_IN_DURABLE, .lsn = e->lsn});
	} else {
		const struct history *h = &c->history[e->lsn];
		must(h->in[node->epoch].is_delivered);
		step(c, e->node,
		     (struct paxos_input){.kind = PAXOS_IN_READ_DONE,
					  .slot = e->lsn,
					  .from = e->from,
					  .found = true,
					  .value = value_make(c, e->node, h->in[node->epoch].id)});
	}
}

/* The next timer that is due, or NO_NODE. */
static uint8_t
next_timer(const struct cluster *c, uint64_t *at_ns)
{
	uint8_t next = NO_NODE;
	*at_ns = UINT64_MAX;
	for (uint8_t n = 0; n < c->config.replica_count; n++) {
		if (c->node[n].up && c->node[n].timer_ns < *at_ns) {
			*at_ns = c->node[n].timer_ns;
			next = n;
		}
	}
	return next;
}

void
cluster_run(struct cluster *c, uint64_t for_ns)
{
	uint64_t end = c->now + for_ns;
	while (!c->failure[0]) {
		uint64_t timer_ns;
		uint8_t timer = next_timer(c, &timer_ns);
		uint64_t event_ns = c->heap_count ? c->heap[0].at_ns : UINT64_MAX;
		if (timer_ns > end && event_ns > end)
			break;
		if (event_ns <= timer_ns) {
			struct event e = event_pop(c);
			c->now = e.at_ns;
			run_event(c, &e);
			continue;
		}
		c->now = timer_ns > c->now ? timer_ns : c->now;
		trace(c, timer, "> tick");
		step(c, timer, (struct paxos_input){.kind = PAXOS_IN_TICK});
		if (c->node[timer].timer_ns <= c->now)
			fail(c, "node %u: its timer does not move on", timer);
	}
	c->now = end;
}

uint64_t
cluster_now(const struct cluster *c)
{
	return c->now;
}

bool
cluster_is_up(const struct cluster *c, uint8_t n)
{
	return c->node[n].up;
}

const struct paxos_replica *
cluster_replica(const struct cluster *c, uint8_t n)
{
	return c->node[n].replica;
}

uint64_t
cluster_delivered(const struct cluster *c, uint8_t n)
{
	return c->node[n].delivered;
}

static uint32_t
last_epoch(const struct cluster *c)
{
	uint32_t epoch = 0;
	while (epoch + 1 < CLUSTER_EPOCHS && c->epoch[epoch + 1].change_count > 0)
		epoch++;
	return epoch;
}

uint64_t
cluster_fork(const struct cluster *c)
{
	return c->epoch[last_epoch(c)].fork;
}

uint64_t
cluster_value(const struct cluster *c, uint64_t slot)
{
	must(c->history[slot].in[last_epoch(c)].is_delivered);
	return content(c->history[slot].in[last_epoch(c)].id);
}

uint32_t
cluster_voters(const struct cluster *c)
{
	const struct epoch *e = &c->epoch[last_epoch(c)];
	return e->change[e->change_count - 1].voters;
}

bool
cluster_all_lead(const struct cluster *c)
{
	const struct epoch *e = &c->epoch[last_epoch(c)];
	return e->change[e->change_count - 1].all_lead;
}

uint64_t
cluster_takeovers(const struct cluster *c)
{
	uint64_t won = 0;
	for (uint8_t n = 0; n < c->config.replica_count; n++)
		won += c->node[n].up ? paxos_stats(c->node[n].replica)->takeovers_won : 0;
	return won;
}

uint64_t
cluster_changes(const struct cluster *c)
{
	return c->epoch[last_epoch(c)].change_count - 1;
}

uint32_t
cluster_leavers(const struct cluster *c)
{
	return c->leavers;
}

int
cluster_leader(const struct cluster *c)
{
	for (uint8_t n = 0; n < c->config.replica_count; n++) {
		if (c->node[n].up && paxos_can_propose(c->node[n].replica))
			return n;
	}
	return -1;
}

const char *
cluster_failure(const struct cluster *c)
{
	return c->failure[0] ? c->failure : NULL;
}

uint32_t
cluster_values_held(const struct cluster *c, uint8_t n)
{
	return values_of(c, n);
}

void
cluster_forget_trace(struct cluster *c)
{
	c->trace_bytes = 0;
	c->trace[0] = 0;
}

void
cluster_expect(struct cluster *c, const char *text)
{
	cr_expect_str_eq(c->trace, text, "the trace is:\n%s", c->trace);
	cr_assert(c->failure[0] == 0, "%s", c->failure);
	cluster_forget_trace(c);
}
