/* tests/node/scene.c - see scene.h. */
#include "tests/node/scene.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

const uint8_t scene_group_a[16] = {0xa}, scene_group_b[16] = {0xb};

static void
put(struct scene_end *from, const struct endpoint *to, const uint8_t *data, uint32_t bytes)
{
	struct scene *s = from->scene;
	struct scene_datagram *d = &s->datagram[s->count];
	uint32_t end = 0;

	while (end <= SCENE_NODE && !endpoint_equal(&s->end[end].at, to))
		end++;
	if (end > SCENE_NODE)
		return; /* nobody is there */
	s->count++;
	cr_assert_leq(s->count, SCENE_DATAGRAMS);
	cr_assert_leq(bytes, sizeof d->data);
	d->from = from->number;
	d->to = end;
	d->bytes = bytes;
	memcpy(d->data, data, bytes);
}

static void
node_emits(void *context, const struct node_output *o)
{
	struct scene_end *e = context;

	if (o->kind == NODE_OUT_SEND)
		put(e, &o->to, o->data, o->bytes);
	if (o->kind == NODE_OUT_LOG) {
		cr_assert_eq(o->lsn, e->scene->lsn + o->bytes);
		cr_assert_leq(o->lsn, SCENE_LOG_BYTES);
		memcpy(e->scene->log + e->scene->lsn, o->data, o->bytes);
		e->scene->lsn = o->lsn;
	}
	if (o->kind == NODE_OUT_TIMER)
		e->timer_ns = o->at_ns;
	if (o->kind == NODE_OUT_READ) {
		cr_assert_lt(e->scene->read_count, SCENE_READS);
		e->scene->read[e->scene->read_count++] = *o;
	}
}

static void
member_emits(void *context, const struct member_output *o)
{
	struct scene_end *e = context;

	if (o->kind == MEMBER_OUT_SEND)
		put(e, &o->to, o->data, o->bytes);
	if (o->kind == MEMBER_OUT_TIMER)
		e->timer_ns = o->at_ns;
	if (o->kind == MEMBER_OUT_VERDICT)
		e->scene->verdict[e->number] = o->verdict;
	if (o->kind == MEMBER_OUT_QUEUE)
		e->scene->queued[e->number] += o->bytes;
	if (o->kind == MEMBER_OUT_LINK)
		e->scene->linked[e->number] = o->connected;
	e->scene->stopped[e->number] |= o->kind == MEMBER_OUT_STOPPED;
	e->scene->expelled[e->number] |= o->kind == MEMBER_OUT_EXPELLED;
	e->scene->diverged[e->number] |= o->kind == MEMBER_OUT_EXPELLED && o->diverged;
	if (o->kind == MEMBER_OUT_STARTED) {
		e->scene->started[e->number] = true;
		e->scene->refusal[e->number] = o->refusal;
	}
}

void
scene_node_give(struct scene *s, struct node_input in)
{
	in.now_ns = s->now_ns;
	in.room_bytes = s->room_bytes;
	node_step(s->node, &in, &(struct node_sink){&s->end[SCENE_NODE], node_emits});
}

static void
release(void *context, uint64_t sequence, const uint8_t *block)
{
	(void)context;
	(void)sequence;
	(void)block;
}

void
scene_member_give(struct scene *s, uint32_t m, struct member_input in)
{
	in.now_ns = s->now_ns;
	member_step(s->member[m], &in,
		    &(struct member_sink){
			    .context = &s->end[m], .emit = member_emits, .release = release});
}

static void
arrive(struct scene *s, const struct scene_datagram *d)
{
	struct endpoint from = s->end[d->from].at;

	if (d->to != SCENE_NODE && s->raw[d->to])
		wire_receive(s->raw[d->to], &from, d->data, d->bytes, s->now_ns);
	else if (d->to == SCENE_NODE)
		scene_node_give(s, (struct node_input){.kind = NODE_IN_PACKET,
						       .from = from,
						       .data = d->data,
						       .bytes = d->bytes});
	else
		scene_member_give(s, d->to,
				  (struct member_input){.kind = MEMBER_IN_PACKET,
							.from = from,
							.data = d->data,
							.bytes = d->bytes});
}

static void
raw_run(struct scene *s, uint32_t m)
{
	struct wire *w = s->raw[m];
	struct wire_event e;
	struct wire_packet p;

	wire_tick(w, s->now_ns);
	while (wire_next_event(w, &e)) {
		struct protocol_message said;
		struct frame frame;

		s->linked[m] |= e.kind == WIRE_OPENED;
		if (e.kind == WIRE_CLOSED)
			s->linked[m] = false;
		if (e.kind != WIRE_MESSAGE)
			continue;
		cr_assert(frame_decode(&frame, e.data, e.bytes));
		cr_assert(protocol_decode(&said, &frame, e.data, e.bytes));
		said.data = NULL;
		s->heard[said.kind] = said;
	}
	while (wire_next_packet(w, &p, s->now_ns))
		put(&s->end[m], &p.to, p.data, (uint32_t)p.bytes);
}

static void *
memory_for(struct scene_end *e, size_t bytes)
{
	e->memory = aligned_alloc(64, (bytes + 63) / 64 * 64);
	cr_assert(e->memory);
	return e->memory;
}

void
scene_raw_begin(struct scene *s, uint32_t m)
{
	uint8_t entropy[64] = {(uint8_t)(0x71 + m)};
	struct scene_end *e = &s->end[m];
	struct wire_identity node = {.kind = WIRE_NODE};
	struct wire_key key = {.kind = WIRE_NODE};
	struct wire_config c = {.sessions_max = 2,
				.datagram_bytes_max = SCENE_DATAGRAM_BYTES,
				.message_bytes_max = 32768,
				.keepalive_ns = 40 * MS,
				.dead_after_ns = 200 * MS,
				.connect_retry_ns = 20 * MS,
				.crypto = &e->crypto.table,
				.certificates = s->shown,
				.self = {.kind = WIRE_MEMBER,
					 .uuid = {(uint8_t)(0x50 + m)},
					 .process = s->now_ns,
					 .version = PROTOCOL_VERSION}};

	memcpy(c.secret, e->secret, sizeof c.secret);
	free(e->memory);
	s->raw[m] = wire_init(memory_for(e, wire_size(&c)), &c);
	wire_random(s->raw[m], entropy, sizeof entropy);
	memcpy(key.key, s->end[SCENE_NODE].key, sizeof key.key);
	memcpy(node.key, key.key, sizeof node.key);
	wire_keys(s->raw[m], &key, 1);
	s->raw_session = wire_connect(s->raw[m], &s->end[SCENE_NODE].at, &node, s->now_ns);
	s->linked[m] = false;
	scene_run(s, 100 * MS);
	cr_assert(s->linked[m]);
}

void
scene_raw_say(struct scene *s, enum wire_stream stream, const struct protocol_message *said)
{
	static const uint8_t epoch[EPOCH_BYTES] = {7};
	static uint8_t bytes[32768];
	struct writer w = writer_over(bytes, sizeof bytes);
	struct wire_slice slice = {bytes, protocol_encode(said, epoch, &w)};

	cr_assert_gt(slice.bytes, 0);
	for (uint32_t m = 0; m < SCENE_MEMBERS; m++)
		if (s->raw[m])
			cr_assert(wire_send(s->raw[m], s->raw_session, stream, &slice, 1, 0));
	scene_run(s, 20 * MS);
}

static void
answer_reads(struct scene *s)
{
	while (s->read_count > 0) {
		struct node_output read = s->read[--s->read_count];

		scene_node_give(s, (struct node_input){.kind = NODE_IN_READ_DONE,
						       .lsn = read.lsn,
						       .data = s->log + read.lsn - read.bytes,
						       .bytes = read.bytes});
	}
}

void
scene_run(struct scene *s, uint64_t for_ns)
{
	for (uint64_t end_ns = s->now_ns + for_ns; s->now_ns < end_ns;) {
		s->now_ns += MS;
		scene_node_give(s, (struct node_input){.kind = NODE_IN_DURABLE, .lsn = s->lsn});
		answer_reads(s);
		if (s->end[SCENE_NODE].timer_ns <= s->now_ns)
			scene_node_give(s, (struct node_input){.kind = NODE_IN_TICK});
		for (uint32_t m = 0; m < SCENE_MEMBERS; m++)
			if (s->raw[m])
				raw_run(s, m);
			else if (s->end[m].timer_ns <= s->now_ns)
				scene_member_give(s, m,
						  (struct member_input){.kind = MEMBER_IN_TICK});
		for (uint32_t i = 0; i < s->count; i++) {
			struct scene_datagram d = s->datagram[i];
			arrive(s, &d);
		}
		s->count = 0;
	}
}

static void
begin_node(struct scene *s)
{
	static const uint8_t entropy[64] = {1, 2, 3};
	struct scene_end *e = &s->end[SCENE_NODE];
	struct node_config c = {.node_count = 1,
				.epoch = {7},
				.uuid = {{1}},
				.endpoint = {e->at},
				.groups_max = 4,
				.members_max = NODE_MEMBERS_MAX,
				.inflight_max = 16,
				.index_hashes_max = 1024,
				.results_max = 1024,
				.value_bytes_max = 8192,
				.payload_bytes_max = 65536,
				.chunk_bytes = 1024,
				.image_bytes = SCENE_LOG_BYTES,
				.values_max = 1024,
				.horizon = 64,
				.datagram_bytes_max = SCENE_DATAGRAM_BYTES,
				.stream_bytes = 65536,
				.takeover_ns = 150 * MS,
				.retry_ns = 20 * MS,
				.tail_trust_ns = 5000 * MS,
				.session_dead_ns = 500 * MS,
				.gc_ns = 100 * MS,
				.expel_ns = 10000 * MS,
				.certificates = s->certificates,
				.certificate_group_count = s->certified != NULL,
				.crypto = &e->crypto.table};

	if (s->certified)
		memcpy(c.certificate_group[0], s->certified, UUID_BYTES);
	cr_assert_leq(node_crypto_slots(&c), SCENE_SLOTS);
	memcpy(c.secret, e->secret, sizeof c.secret);
	s->node = node_init(memory_for(e, node_size(&c)), &c);
	for (uint64_t at = 0; at < s->lsn;) {
		struct frame frame;

		cr_assert(frame_decode(&frame, s->log + at, s->lsn - at));
		scene_node_give(s, (struct node_input){.kind = NODE_IN_RECORD,
						       .data = s->log + at,
						       .bytes = frame.frame_bytes,
						       .lsn = at + frame.frame_bytes});
		at += frame.frame_bytes;
	}
	scene_node_give(s, (struct node_input){.kind = NODE_IN_START,
					       .tail = PAXOS_TAIL_CLEAN,
					       .process = ++s->process,
					       .lsn = s->lsn,
					       .data = entropy,
					       .bytes = sizeof entropy});
	scene_node_give(s, (struct node_input){.kind = NODE_IN_RANDOM,
					       .data = entropy,
					       .bytes = sizeof entropy});
}

/* Member m, by a member_init() of its own: a server that starts anew. */
void
scene_member_begin(struct scene *s, uint32_t m, const uint8_t group[16], bool bootstrap)
{
	struct scene_end *e = &s->end[m];
	uint8_t entropy[64] = {(uint8_t)(9 + m), (uint8_t)(s->now_ns / MS)};
	uint8_t nothing[64];
	struct writer none = writer_over(nothing, sizeof nothing);
	struct member_config c = {.node_count = 1,
				  .endpoint = {s->end[SCENE_NODE].at},
				  .server_uuid = {(uint8_t)(0x50 + m)},
				  .inflight_max = 16,
				  .transaction_bytes_max = 4096,
				  .payload_bytes_max = 65536,
				  .submission_bytes = 65536,
				  .snapshot_entries_max = 1024,
				  .gtid_intervals_max = 64,
				  .datagram_bytes_max = SCENE_DATAGRAM_BYTES,
				  .stream_bytes = 65536,
				  .session_dead_ns = 200 * MS,
				  .retry_ns = 20 * MS,
				  .progress_ns = 20 * MS,
				  .crypto = &e->crypto.table};
	struct member_start start = {.bootstrap = bootstrap,
				     .nonce = {entropy[0], entropy[1]},
				     .process = s->now_ns + m,
				     .host = "host",
				     .block_size = 1};
	struct gtid_limits limits = {.sources_max = 1, .intervals_max = 1};
	struct gtid_set *executed = gtid_set_init(calloc(1, gtid_set_size(limits)), limits);

	gtid_set_encode(executed, &none);
	start.executed = (struct gtid_bytes){.data = nothing, .bytes = (uint32_t)none.bytes};
	memcpy(start.group_uuid, group, sizeof start.group_uuid);
	memcpy(c.secret, e->secret, sizeof c.secret);
	memcpy(c.node_key[0], s->end[SCENE_NODE].key, CRYPTO_KEY_BYTES);
	free(e->memory);
	s->member[m] = member_init(memory_for(e, member_size(&c)), &c);
	s->started[m] = s->linked[m] = s->stopped[m] = s->expelled[m] = false;
	s->diverged[m] = false;
	scene_member_give(
		s, m,
		(struct member_input){.kind = MEMBER_IN_RANDOM, .data = entropy, .bytes = 64});
	scene_member_give(s, m, (struct member_input){.kind = MEMBER_IN_START, .start = &start});
	free(executed);
}

static void
list(struct scene *s, uint32_t m, struct node_key *key, const uint8_t *group)
{
	*key = (struct node_key){.uuid = {(uint8_t)(0x50 + m)}, .group_count = group != NULL};
	memcpy(key->key, s->end[m].key, CRYPTO_KEY_BYTES);
	if (group)
		memcpy(key->group[0], group, 16);
}

static bool
nothing_executed(void *context, const struct gtid *gtid)
{
	(void)context;
	(void)gtid;
	return false;
}

uint64_t
scene_submit_large(struct scene *s)
{
	static uint64_t block[SCENE_LARGE_BYTES / 8];
	struct snapshot_executed executed = {.contains = nothing_executed};
	struct snapshot_taken *taken = malloc(sizeof *taken);

	cr_assert(taken);
	cr_assert(snapshot_take_ahead(member_snapshots(s->member[0]), &executed, taken));
	struct member_submission submission = {
		.sequence = taken->sequence,
		.snapshot = &taken->snapshot,
		.gtid_spec = GTID_AUTOMATIC,
		.hashes = block,
		.hash_count = 1,
		.payload = (const uint8_t *)(block + 1),
		.payload_bytes = SCENE_LARGE_BYTES - 8,
		.lent = true,
	};
	scene_member_give(
		s, 0, (struct member_input){.kind = MEMBER_IN_SUBMIT, .submission = &submission});
	free(taken);
	return submission.sequence;
}

/* Member 0 may open any group, or none at all; member 1 this one, or any. */
void
scene_keys(struct scene *s, bool first, const uint8_t *of_second)
{
	struct node_key key[SCENE_MEMBERS];

	list(s, 1, &key[0], of_second);
	list(s, 0, &key[1], NULL);
	scene_node_give(s, (struct node_input){
				   .kind = NODE_IN_KEYS, .keys = key, .key_count = first ? 2 : 1});
}

struct scene *
scene(void)
{
	return scene_certified(NULL, NULL);
}

/* Member 0 made group A. */
struct scene *
scene_certified(const struct certificates *certificates, const uint8_t *group)
{
	struct scene *s = calloc(1, sizeof *s);

	s->certificates = certificates;
	s->certified = group;
	s->now_ns = MS;
	for (uint32_t i = 0; i <= SCENE_NODE; i++) {
		struct scene_end *e = &s->end[i];
		e->scene = s;
		e->number = i;
		e->at = endpoint_from_ipv4(0x0a000001 + i, 4000);
		e->timer_ns = UINT64_MAX;
		memset(e->secret, (int)(0x31 + i), sizeof e->secret);
		fake_crypto_init(&e->crypto, e->slot, SCENE_SLOTS);
		e->crypto.table.public_key(&e->crypto, e->secret, e->key);
	}
	begin_node(s);
	scene_keys(s, true, scene_group_b);
	scene_member_begin(s, 0, scene_group_a, true);
	scene_run(s, 1000 * MS);
	cr_assert(s->started[0] && s->refusal[0] == MEMBER_REFUSED_NONE);
	return s;
}

void
scene_free(struct scene *s)
{
	for (uint32_t i = 0; i <= SCENE_NODE; i++)
		free(s->end[i].memory);
	free(s);
}

struct node_status
scene_status(const struct scene *s)
{
	struct node_status now;

	node_status(s->node, &now);
	return now;
}

void
scene_node_again(struct scene *s)
{
	free(s->end[SCENE_NODE].memory);
	s->count = 0;
	fake_crypto_init(&s->end[SCENE_NODE].crypto, s->end[SCENE_NODE].slot, SCENE_SLOTS);
	begin_node(s);
	scene_keys(s, true, scene_group_b);
}
