/* member_step() against a node that the test plays: which datagram arrives when is the
 * test's choice. */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "certify/group.h"
#include "node/member.h"
#include "node/protocol.h"
#include "wire/wire.h"

#define US          UINT64_C(1000)
#define MS          UINT64_C(1000000)
#define DATAGRAMS   64
#define INCARNATION 40
#define EXECUTED    7 /* number of the transaction that its server has */

struct datagram {
	bool to_member;
	uint32_t bytes;
	uint8_t data[1400];
};

/* A member, a node's end of its session, and what is on the way between them. */
struct pair {
	struct member *member;
	struct wire *node;
	void *memory[2];
	uint64_t now_ns;
	int session;
	struct protocol_message last; /* that the node read */
	uint8_t nonce[NONCE_BYTES];
	bool leaderless; /* nobody leads, and the node says so */
	struct datagram datagram[DATAGRAMS];
	uint32_t count;
	uint32_t started, queued, views, stopped, expelled;
	uint32_t submissions; /* that the node read */
	uint64_t through;     /* index of the last thing told */
	uint64_t lacks;       /* of what ended it, 0: nothing */
	uint64_t barrier;     /* the last one that was told */
	uint64_t timer_ns;
};

static const uint8_t epoch[EPOCH_BYTES] = {1, 2, 3};

static void
put(struct pair *p, bool to_member, const uint8_t *data, uint32_t bytes)
{
	cr_assert_lt(p->count, DATAGRAMS);
	struct datagram *d = &p->datagram[p->count++];
	d->to_member = to_member;
	d->bytes = bytes;
	memcpy(d->data, data, bytes);
}

static void
emit(void *context, const struct member_output *out)
{
	struct pair *p = context;

	switch (out->kind) {
	case MEMBER_OUT_SEND:
		put(p, false, out->data, out->bytes);
		break;
	case MEMBER_OUT_STARTED:
		cr_assert_eq(out->refusal, MEMBER_REFUSED_NONE);
		p->started++;
		break;
	case MEMBER_OUT_QUEUE:
		p->queued++;
		p->through = out->index;
		break;
	case MEMBER_OUT_VIEW:
		p->views++;
		p->through = out->index;
		break;
	case MEMBER_OUT_STOPPED:
		p->stopped++;
		break;
	case MEMBER_OUT_EXPELLED:
		p->lacks = out->gtid != NULL ? out->index : 0;
		p->expelled++;
		break;
	case MEMBER_OUT_TIMER:
		p->timer_ns = out->at_ns;
		break;
	case MEMBER_OUT_BARRIER:
		p->barrier = out->sequence;
		break;
	default:
		break;
	}
}

static void
step(struct pair *p, struct member_input in)
{
	struct member_sink sink = {.context = p, .emit = emit};

	in.now_ns = p->now_ns;
	member_step(p->member, &in, &sink);
}

static struct endpoint
endpoint_of(bool member)
{
	return endpoint_from_ipv4(member ? 0x0a000002 : 0x0a000001, 7400);
}

static struct wire_config
wire_config_of(uint32_t stream_bytes)
{
	struct wire_config c = {
		.sessions_max = 2,
		.datagram_bytes_max = 1400,
		.message_bytes_max = stream_bytes / 2,
		.keepalive_ns = 30 * MS,
		.dead_after_ns = 150 * MS,
		.connect_retry_ns = 30 * MS,
		.self = {.kind = WIRE_NODE, .process = 9, .version = PROTOCOL_VERSION},
	};
	memcpy(c.self.epoch, epoch, EPOCH_BYTES);
	return c;
}

/* Everything the node has to send is on its way now, one datagram for each message. */
static void
node_flush(struct pair *p)
{
	struct wire_packet packet;

	while (wire_next_packet(p->node, &packet, p->now_ns))
		put(p, true, packet.data, (uint32_t)packet.bytes);
}

static void
node_says(struct pair *p, enum wire_stream stream, struct protocol_message m)
{
	uint8_t bytes[1024];
	struct writer w = writer_over(bytes, sizeof bytes);

	m.group = 1;
	if (m.incarnation == 0)
		m.incarnation = INCARNATION;
	uint32_t count = protocol_encode(&m, epoch, &w);
	cr_assert_gt(count, 0);
	struct wire_slice slice = {.data = bytes, .bytes = count};
	cr_assert(wire_send(p->node, p->session, stream, &slice, 1, 0));
	node_flush(p);
}

static void
node_reads(struct pair *p)
{
	struct wire_event e;
	struct frame frame;

	while (wire_next_event(p->node, &e)) {
		p->session = e.session;
		if (e.kind != WIRE_MESSAGE)
			continue;
		cr_assert(frame_decode(&frame, e.data, e.bytes));
		cr_assert(protocol_decode(&p->last, &frame, e.data, e.bytes));
		p->submissions += p->last.kind == PROTOCOL_SUBMIT;
		struct entry join;
		if (p->last.kind == PROTOCOL_OPEN && p->leaderless)
			node_says(p, WIRE_CONTROL,
				  (struct protocol_message){.kind = PROTOCOL_GROUP,
							    .node = PAXOS_NO_VOTER});
		if (p->last.kind == PROTOCOL_JOIN) {
			cr_assert(entry_decode(&join, p->last.data, p->last.bytes));
			memcpy(p->nonce, join.join.nonce, NONCE_BYTES);
		}
	}
	node_flush(p);
}

/* The datagram at this place arrives, out of its turn if need be. */
static void
arrive(struct pair *p, uint32_t place)
{
	cr_assert_lt(place, p->count);
	struct datagram d = p->datagram[place];
	struct endpoint from = endpoint_of(!d.to_member);

	p->count--;
	memmove(&p->datagram[place], &p->datagram[place + 1],
		(p->count - place) * sizeof p->datagram[0]);
	p->now_ns += 10 * US;
	if (d.to_member) {
		step(p, (struct member_input){.kind = MEMBER_IN_PACKET,
					      .from = from,
					      .data = d.data,
					      .bytes = d.bytes});
		return;
	}
	wire_receive(p->node, &from, d.data, d.bytes, p->now_ns);
	node_reads(p);
}

static void
run(struct pair *p)
{
	for (uint32_t i = 0; i < 1000 && p->count > 0; i++)
		arrive(p, 0);
	cr_assert_eq(p->count, 0);
}

/* What is on its way arrives, and what that brings about; not for ever. */
static void
some(struct pair *p)
{
	for (uint32_t i = 0; i < 100 && p->count > 0; i++)
		arrive(p, 0);
}

static void
begin(struct pair *p)
{
	uint8_t entropy[64] = {7};
	/* One source, without tag, one interval. */
	static const uint8_t executed[41] = {
		1, [4] = 4, [21] = 1, [25] = EXECUTED, [33] = EXECUTED};
	struct member_start start = {.process = 3,
				     .host = "host",
				     .block_size = 1,
				     .executed = {executed, sizeof executed}};

	step(p, (struct member_input){
			.kind = MEMBER_IN_RANDOM, .data = entropy, .bytes = sizeof entropy});
	step(p, (struct member_input){.kind = MEMBER_IN_START, .start = &start});
	some(p);
}

static struct pair *
fresh_with(uint32_t inflight_max)
{
	struct pair *p = calloc(1, sizeof *p);
	struct member_config config = {
		.node_count = 2, /* which are one here */
		.endpoint = {endpoint_of(false), endpoint_of(false)},
		.server_uuid = {5},
		.inflight_max = inflight_max,
		.transaction_bytes_max = 4096,
		.submission_bytes = 65536,
		.snapshot_entries_max = 1024,
		.gtid_intervals_max = 64,
		.datagram_bytes_max = 1400,
		.stream_bytes = 32768,
		.session_dead_ns = 150 * MS,
		.retry_ns = 30 * MS,
		.progress_ns = 20 * MS,
	};
	struct wire_config wire = wire_config_of(config.stream_bytes);
	size_t bytes[2] = {(member_size(&config) + 63) / 64 * 64,
			   (wire_size(&wire) + 63) / 64 * 64};
	for (int i = 0; i < 2; i++) {
		p->memory[i] = aligned_alloc(64, bytes[i]);
		memset(p->memory[i], 0, bytes[i]);
	}
	p->member = member_init(p->memory[0], &config);
	p->node = wire_init(p->memory[1], &wire);
	p->now_ns = 1000 * MS;
	wire_random(p->node, (const uint8_t[64]){3}, 64);
	return p;
}

static struct pair *
fresh(void)
{
	return fresh_with(16);
}

/* Joined as incarnation 40, lacking everything from `missing` on; ATTACH has come. */
static struct pair *
attaching(uint64_t missing)
{
	struct pair *p = fresh();

	begin(p);
	cr_assert_eq(p->last.kind, PROTOCOL_OPEN);
	node_says(p, WIRE_CONTROL,
		  (struct protocol_message){.kind = PROTOCOL_GROUP,
					    .flags = PROTOCOL_GROUP_EXISTS | PROTOCOL_LEADER_HERE});
	run(p);
	cr_assert_eq(p->last.kind, PROTOCOL_JOIN);
	struct protocol_message joined = {.kind = PROTOCOL_JOINED, .index = missing};
	memcpy(joined.nonce, p->nonce, NONCE_BYTES);
	node_says(p, WIRE_CONTROL, joined);
	run(p);
	cr_assert_eq(p->last.kind, PROTOCOL_ATTACH);
	return p;
}

static void
finish(struct pair *p)
{
	free(p->memory[0]);
	free(p->memory[1]);
	free(p);
}

static struct protocol_message
attached(const struct pair *p, uint64_t index)
{
	return (struct protocol_message){
		.kind = PROTOCOL_ATTACHED, .session = p->last.session, .index = index};
}

static struct protocol_message
entry(uint64_t previous, uint64_t index)
{
	return (struct protocol_message){
		.kind = PROTOCOL_ENTRY,
		.previous = previous,
		.index = index,
		.dependency = previous,
		.gtid = {.source = {.uuid = {4}}, .gno = (int64_t)index},
		.data = (const uint8_t *)"tx",
		.bytes = 2,
	};
}

/* Streams do not wait for each other: what the node sends behind ATTACHED may arrive
 * before it. Were it dropped, nothing would show that it is missing until something
 * new is decided (a simulated member waited for ever). */
Test(node_member, a_feed_that_overtakes_its_attached_is_told_behind_it)
{
	struct pair *p = attaching(39);

	node_says(p, WIRE_CONTROL, attached(p, 42));
	node_says(p, WIRE_FEED, entry(38, 39));
	cr_assert_eq(p->count, 2);
	arrive(p, 1);
	cr_assert_eq(p->queued, 0);
	cr_assert_eq(p->started, 0);
	run(p);
	cr_assert_eq(p->started, 1);
	cr_assert_eq(p->queued, 1);
	cr_assert_eq(p->through, 39);
	node_says(p, WIRE_FEED, entry(39, 41));
	run(p);
	cr_assert_eq(p->queued, 2);
	finish(p);
}

/* ATTACH that got no answer in time is said again under a higher number, and the node
 * feeds from the same index once more: what came already is not told twice. */
Test(node_member, what_a_second_attachment_feeds_again_is_told_once)
{
	struct pair *p = attaching(39);
	struct protocol_message first = attached(p, 42);

	p->now_ns += 31 * MS;
	step(p, (struct member_input){.kind = MEMBER_IN_TICK});
	run(p);
	cr_assert_eq(p->last.kind, PROTOCOL_ATTACH);
	cr_assert_gt(p->last.session, first.session);
	node_says(p, WIRE_CONTROL, first);
	node_says(p, WIRE_FEED, entry(38, 39));
	run(p);
	cr_assert_eq(p->started, 0);
	node_says(p, WIRE_CONTROL, attached(p, 43));
	node_says(p, WIRE_FEED, entry(38, 39));
	node_says(p, WIRE_FEED, entry(39, 41));
	run(p);
	cr_assert_eq(p->started, 1);
	cr_assert_eq(p->queued, 2);
	cr_assert_eq(p->through, 41);
	cr_assert_eq(member_stats(p->member)->failovers, 0);
	finish(p);
}

/* By its GTID alone, since no node has the rest: who has it goes on, who lacks it cannot. */
Test(node_member, what_no_node_has_it_must_have)
{
	struct pair *p = attaching(39);
	struct protocol_message lost = entry(38, 39);

	lost.flags = PROTOCOL_LOST;
	lost.bytes = 0;
	lost.gtid.gno = EXECUTED;
	node_says(p, WIRE_CONTROL, attached(p, 42));
	node_says(p, WIRE_FEED, lost);
	node_says(p, WIRE_FEED, entry(39, 41));
	run(p);
	cr_assert_eq(p->queued, 1, "what follows");
	cr_assert_eq(p->through, 41);
	cr_assert_eq(p->lacks, 0);
	lost = entry(41, 43);
	lost.flags = PROTOCOL_LOST;
	lost.bytes = 0;
	node_says(p, WIRE_FEED, lost);
	node_says(p, WIRE_FEED, entry(43, 44));
	run(p);
	cr_assert_eq(p->queued, 1);
	cr_assert_eq(p->lacks, 43);
	finish(p);
}

static void
ask_for_barrier(struct pair *p, uint64_t sequence)
{
	step(p, (struct member_input){.kind = MEMBER_IN_BARRIER, .sequence = sequence});
	run(p);
}

/* It is told when all is committed here that the node named; who asks meanwhile comes next. */
Test(node_member, a_barrier_is_told_when_all_below_it_is_committed)
{
	struct pair *p = attaching(39);
	struct gtid other = {.source = {.uuid = {4}}, .gno = 41};

	node_says(p, WIRE_CONTROL, attached(p, 42));
	node_says(p, WIRE_FEED, entry(38, 41));
	run(p);
	ask_for_barrier(p, 5);
	cr_assert_eq(p->last.kind, PROTOCOL_BARRIER);
	cr_assert_eq(p->last.sequence, 5);
	p->last.kind = 0;
	ask_for_barrier(p, 6);
	ask_for_barrier(p, 9);
	cr_assert_eq(p->last.kind, 0, "one at a time");
	node_says(
		p, WIRE_CONTROL,
		(struct protocol_message){.kind = PROTOCOL_BARRIER_AT, .sequence = 5, .index = 43});
	node_says(p, WIRE_FEED,
		  (struct protocol_message){.kind = PROTOCOL_THROUGH, .index = 43, .previous = 41});
	run(p);
	cr_assert_eq(p->barrier, 0, "one that is below is not committed");
	step(p, (struct member_input){.kind = MEMBER_IN_COMMITTED, .gtid = &other});
	cr_assert_eq(p->barrier, 5);
	run(p);
	cr_assert_eq(p->last.kind, PROTOCOL_BARRIER);
	cr_assert_eq(p->last.sequence, 9);
	finish(p);
}

/* The node that was asked is gone, or its answer. */
Test(node_member, a_barrier_is_asked_for_again)
{
	struct pair *p = attaching(39);

	node_says(p, WIRE_CONTROL, attached(p, 42));
	run(p);
	ask_for_barrier(p, 1);
	for (uint32_t i = 0; i < 2; i++) {
		p->last.kind = 0;
		p->now_ns += 31 * MS;
		step(p, (struct member_input){.kind = MEMBER_IN_TICK});
		run(p);
		cr_assert_eq(p->last.kind, PROTOCOL_BARRIER);
		cr_assert_eq(p->last.sequence, 1);
	}
	cr_assert_eq(p->barrier, 0);
	finish(p);
}

/* Progress that is due and has nobody to be told to waits for the next attachment. A
 * member whose appliance was gone once asked to be called again at once, for ever. */
Test(node_member, without_an_appliance_it_sleeps)
{
	struct pair *p = attaching(39);
	uint32_t ticks = 0;

	node_says(p, WIRE_CONTROL, attached(p, 42));
	run(p);
	node_says(p, WIRE_FEED, entry(38, 39));
	run(p);
	uint64_t end_ns = p->now_ns + 1000 * MS;
	for (bool told = false; ticks < 1000 && p->now_ns < end_ns; ticks++) {
		if (!told && member_stats(p->member)->failovers == 1) {
			told = true;
			step(p, (struct member_input){.kind = MEMBER_IN_COMMITTED,
						      .gtid = &(struct gtid){
							      .source = {.uuid = {4}}, .gno = 39}});
		}
		p->now_ns = p->timer_ns > p->now_ns ? p->timer_ns : p->now_ns + US;
		step(p, (struct member_input){.kind = MEMBER_IN_TICK});
		p->count = 0;
	}
	cr_assert_lt(ticks, 300);
	cr_assert_eq(member_stats(p->member)->failovers, 1);
	finish(p);
}

/* Its attachment takes longer to be decided than it waits before it asks again, and each time it
 * asks, that of before is void: at one pace it would never be attached. */
Test(node_member, an_attachment_that_takes_long_is_waited_for)
{
	struct pair *p = attaching(39);
	uint64_t session = p->last.session, decided_ns = p->now_ns + 200 * MS;

	for (uint32_t ms = 0; ms < 2000 && p->started == 0; ms++) {
		p->now_ns += MS;
		step(p, (struct member_input){.kind = MEMBER_IN_TICK});
		node_flush(p);
		some(p);
		if (p->last.kind == PROTOCOL_ATTACH && p->last.session > session) {
			session = p->last.session;
			decided_ns = p->now_ns + 200 * MS;
		}
		if (p->now_ns >= decided_ns)
			node_says(p, WIRE_CONTROL, attached(p, 42));
	}
	cr_assert_eq(p->started, 1);
	finish(p);
}

/* While nobody leads, every node says so, and the next one too: going on at once would
 * make handshakes as fast as the network carries them. The node that it stays at tells
 * it as soon as it knows better. */
Test(node_member, without_a_leader_it_does_not_run_from_node_to_node)
{
	struct pair *p = fresh();

	p->leaderless = true;
	begin(p);
	for (uint64_t end_ns = p->now_ns + 1000 * MS; p->now_ns < end_ns;) {
		p->now_ns = p->timer_ns > p->now_ns ? p->timer_ns : p->now_ns + US;
		step(p, (struct member_input){.kind = MEMBER_IN_TICK});
		some(p);
	}
	cr_assert_lt(wire_stats(p->node)->sessions_opened, 60);
	cr_assert_gt(wire_stats(p->node)->sessions_opened, 5); /* another may know one */
	finish(p);
}

/* Nobody has to hear of it: it is no member yet. */
Test(node_member, who_stops_before_it_has_joined_is_stopped_at_once)
{
	for (int asked = 0; asked < 2; asked++) {
		struct pair *p = fresh();

		if (asked)
			begin(p);
		step(p, (struct member_input){.kind = MEMBER_IN_STOP});
		cr_assert_eq(p->stopped, 1);
		p->now_ns += 1000 * MS;
		step(p, (struct member_input){.kind = MEMBER_IN_TICK});
		run(p);
		cr_assert_eq(p->started, 0);
		cr_assert_eq(p->stopped, 1);
		finish(p);
	}
}

/* A node that is behind may still tell of the start before. */
Test(node_member, the_end_of_another_incarnation_is_not_its_own)
{
	struct pair *p = attaching(41);
	struct protocol_message ended = {.kind = PROTOCOL_ENDED, .reason = GROUP_EXPELLED};

	node_says(p, WIRE_CONTROL, attached(p, 42));
	run(p);
	ended.incarnation = INCARNATION - 1;
	node_says(p, WIRE_CONTROL, ended);
	run(p);
	cr_assert_eq(p->expelled, 0);
	ended.incarnation = INCARNATION;
	node_says(p, WIRE_CONTROL, ended);
	run(p);
	cr_assert_eq(p->expelled, 1);
	finish(p);
}

/* The own outcome comes by another stream; told late, it would meet a server that has
 * gone past it. */
Test(node_member, a_remote_transaction_waits_for_the_own_verdict_below_it)
{
	struct pair *p = attaching(39);
	struct protocol_message remote = entry(38, 45);

	node_says(p, WIRE_CONTROL, attached(p, 42));
	run(p);
	remote.own = 44;
	node_says(p, WIRE_FEED, remote);
	run(p);
	cr_assert_eq(p->queued, 0);
	node_says(p, WIRE_CONTROL,
		  (struct protocol_message){.kind = PROTOCOL_VERDICT,
					    .verdict = GROUP_REFUSED,
					    .sequence = 1,
					    .index = 44});
	run(p);
	cr_assert_eq(p->queued, 1);
	finish(p);
}

static bool
nothing_executed(void *context, const struct gtid *gtid)
{
	(void)context;
	(void)gtid;
	return false;
}

/* The group decides sequences of floor to floor + inflight_max - 1 and takes those above
 * for void, without a word: whoever submits one more waits for ever (a simulated client
 * did). The member once rounded its bound up, to a power of two and 8 at least. */
Test(node_member, no_more_are_open_than_the_group_decides)
{
	static const uint32_t bounds[] = {1, 2, 10, 16, 100};
	struct snapshot_executed executed = {.contains = nothing_executed};
	struct snapshot_taken *taken = calloc(1, sizeof *taken);

	for (size_t i = 0; i < sizeof bounds / sizeof bounds[0]; i++) {
		struct pair *p = fresh_with(bounds[i]);
		struct snapshot_table *t = member_snapshots(p->member);

		for (uint32_t k = 0; k < bounds[i]; k++)
			cr_assert(snapshot_take(t, &executed, taken));
		cr_assert_not(snapshot_take(t, &executed, taken));
		snapshot_close(t, 1);
		cr_assert(snapshot_take(t, &executed, taken));
		cr_assert_not(snapshot_take(t, &executed, taken));
		finish(p);
	}
	free(taken);
}

static void
submit_one(struct pair *p)
{
	struct snapshot_executed executed = {.contains = nothing_executed};
	struct snapshot_taken *taken = calloc(1, sizeof *taken);
	struct member_submission s = {.snapshot = &taken->snapshot,
				      .gtid_spec = GTID_AUTOMATIC,
				      .hashes = (const uint64_t[]){2},
				      .hash_count = 1,
				      .payload = (const uint8_t *)"tx",
				      .payload_bytes = 2};

	cr_assert(snapshot_take(member_snapshots(p->member), &executed, taken));
	s.sequence = taken->sequence;
	step(p, (struct member_input){.kind = MEMBER_IN_SUBMIT, .submission = &s});
	free(taken);
}

/* A node that does not lead drops what it is asked to order. If it names itself, because
 * it is about to lead, or is the only one there is, the member stays; but what it sent
 * meanwhile is gone, and only behind a new attachment does it know. A client of a single
 * node waited for ever. */
Test(node_member, what_a_leader_to_be_has_dropped_is_sent_again)
{
	struct pair *p = attaching(39);
	struct protocol_message first = attached(p, 42);
	struct protocol_message soon = {.kind = PROTOCOL_GROUP,
					.flags = PROTOCOL_GROUP_EXISTS}; /* names node 0 */

	first.own = 4096; /* bytes of an entry */
	node_says(p, WIRE_CONTROL, first);
	run(p);
	submit_one(p);
	run(p);
	cr_assert_eq(p->submissions, 1);
	node_says(p, WIRE_CONTROL, soon);
	run(p);
	cr_assert_eq(wire_stats(p->node)->sessions_opened, 1);
	soon.flags |= PROTOCOL_LEADER_HERE;
	node_says(p, WIRE_CONTROL, soon);
	run(p);
	cr_assert_eq(p->last.kind, PROTOCOL_ATTACH);
	cr_assert_gt(p->last.session, first.session);
	first.session = p->last.session;
	node_says(p, WIRE_CONTROL, first);
	run(p);
	cr_assert_eq(p->submissions, 2);
	cr_assert_eq(wire_stats(p->node)->sessions_opened, 1);
	finish(p);
}

/* The entry that the node read last. */
static struct entry_submit
submitted(const struct pair *p)
{
	struct entry e;

	cr_assert_eq(p->last.kind, PROTOCOL_SUBMIT);
	cr_assert(entry_decode(&e, p->last.data, p->last.bytes));
	return e.submit;
}

static struct entry_submit
submit_and_read(struct pair *p)
{
	submit_one(p);
	for (uint32_t i = 0; i < 100 && p->count > 0 && p->last.kind != PROTOCOL_SUBMIT; i++)
		arrive(p, 0);
	struct entry_submit s = submitted(p);
	p->last.kind = 0;
	run(p);
	return s;
}

/* An own transaction is accepted, and its server cannot commit it. From then on until it has
 * come back by the applier no submission may call it, or anything behind it, no conflict:
 * its locks are gone, and nobody has seen what it wrote. */
Test(node_member, what_has_failed_here_is_a_conflict_until_it_is_back)
{
	struct pair *p = attaching(39);
	struct protocol_message first = attached(p, 42);
	struct protocol_message verdict = {.kind = PROTOCOL_VERDICT,
					   .verdict = GROUP_ACCEPTED,
					   .sequence = 1,
					   .index = 46,
					   .dependency = 45,
					   .gtid = {.source = {.uuid = {4}}, .gno = 46}};

	first.own = 4096;
	node_says(p, WIRE_CONTROL, first);
	run(p);
	node_says(p, WIRE_FEED,
		  (struct protocol_message){.kind = PROTOCOL_THROUGH, .index = 45, .previous = 38});
	run(p);
	struct entry_submit s = submit_and_read(p);
	cr_assert(s.flags & SUBMIT_TRUSTS_OWN);
	node_says(p, WIRE_CONTROL, verdict);
	run(p);
	s = submit_and_read(p);
	cr_assert(s.flags & SUBMIT_TRUSTS_OWN);
	cr_assert(snapshot_contains(&s.snapshot, 46), "it holds its locks");
	step(p, (struct member_input){.kind = MEMBER_IN_LOCAL_FAILED, .sequence = 1});
	s = submit_and_read(p);
	cr_assert_not(s.flags & SUBMIT_TRUSTS_OWN);
	cr_assert_not(snapshot_contains(&s.snapshot, 46));
	node_says(p, WIRE_FEED,
		  (struct protocol_message){
			  .kind = PROTOCOL_THROUGH, .index = 47, .previous = 45, .own = 46});
	run(p);
	cr_assert_eq(p->queued, 1, "it comes back");
	cr_assert_not(submit_and_read(p).flags & SUBMIT_TRUSTS_OWN);
	step(p, (struct member_input){.kind = MEMBER_IN_COMMITTED, .gtid = &verdict.gtid});
	s = submit_and_read(p);
	cr_assert(s.flags & SUBMIT_TRUSTS_OWN);
	cr_assert_eq(s.floor, 2);
	cr_assert(snapshot_contains(&s.snapshot, 47));
	finish(p);
}
