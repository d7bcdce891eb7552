/*
 * Which groups there are, and who votes in them. Group 0 is the appliance's own: its
 * entries found groups, and its configuration says which nodes vote. Every other group's
 * leader copies a change of that into the group's own log, where it is in force an event
 * horizon later; the value says which of group 0's configurations it copies, so that a
 * leader that knows less than the last one does not bring back who is gone.
 */
#include "base/must.h"
#include "node/internal.h"

/* Of an entry of group 0, and of the record that says that a group exists. */
#define FOUNDING_BYTES (UUID_BYTES + 8 + 4 + 1)
#define COPY_BYTES     8

static void
founding_write(const struct node_founding *f, struct writer *w)
{
	writer_raw(w, f->uuid, UUID_BYTES);
	writer_u64(w, f->number);
	writer_u32(w, f->voters);
	writer_u8(w, f->leader);
	must(!w->bad);
	must(w->bytes == FOUNDING_BYTES);
}

/* False: it names voters that no node here can have. */
static bool
founding_read(const struct node *n, struct node_founding *f, const uint8_t *data, uint32_t bytes)
{
	struct reader r = reader_over(data, bytes);

	reader_raw(&r, f->uuid, UUID_BYTES);
	f->number = reader_u64(&r);
	f->voters = reader_u32(&r);
	f->leader = reader_u8(&r);
	return reader_done(&r) && f->leader < n->config.node_count &&
	       f->voters >> n->config.node_count == 0 && (f->voters >> f->leader & 1);
}

/* Proposes a group of this uuid; this node leads group 0. It leads the new one too, unless
 * it is about to leave. */
void
node_directory_found(struct node *n, const uint8_t *uuid)
{
	const struct paxos_configuration *c = paxos_configuration(n->group[0].replica);
	struct node_founding f = {.number = c->number, .voters = c->voters, .leader = c->leader};
	uint8_t bytes[FOUNDING_BYTES];
	struct writer w = writer_over(bytes, sizeof bytes);

	if (c->voters >> n->config.self & 1)
		f.leader = n->config.self;
	memcpy(f.uuid, uuid, UUID_BYTES);
	founding_write(&f, &w);
	node_group_submit(n, &n->group[0], bytes, sizeof bytes);
}

/* Before the group's first record: replay meets groups in the order of the log, while group
 * 0's delivery of the entry may be logged much later. */
void
node_directory_log(struct node *n, uint32_t number, const struct node_founding *founding)
{
	struct writer w = writer_over(n->scratch + FRAME_HEADER_BYTES, FOUNDING_BYTES);

	founding_write(founding, &w);
	node_log(n, n->scratch, FRAME_HEADER_BYTES + FOUNDING_BYTES, NODE_RECORD_GROUP, number);
}

/* An entry of group 0: a uuid that becomes the next group. One that exists, or that finds
 * no room, is void. */
void
node_directory_apply(struct node *n, const uint8_t *data, uint32_t bytes)
{
	struct node_founding f;

	if (!founding_read(n, &f, data, bytes) || node_group_by_uuid(n, f.uuid) ||
	    n->group_count > n->config.groups_max)
		return;
	uint32_t number = n->group_count;
	struct node_group *g = node_group_create(n, number, &f);
	if (!n->started)
		return;
	if (!n->log_failed)
		node_directory_log(n, number, &f);
	node_group_start(n, g);
}

void
node_directory_record(struct node *n, const struct frame *frame, const uint8_t *data)
{
	struct node_founding f;

	must(founding_read(n, &f, data + FRAME_HEADER_BYTES,
			   frame->frame_bytes - FRAME_HEADER_BYTES));
	if (!node_group_by_number(n, frame->group))
		node_group_create(n, frame->group, &f);
}

static void
propose_change(struct node *n, struct node_group *g, struct paxos_value value)
{
	node_group_paxos(n, g, &(struct paxos_input){.kind = PAXOS_IN_PROPOSE, .value = value});
}

/* What an administrator wants. Who leads group 0 proposes it; lost where nobody does. */
void
node_directory_voters(struct node *n, uint32_t voters, uint64_t number)
{
	struct node_group *g = &n->group[0];
	uint32_t change =
		paxos_change(n->config.node_count, voters, n->config.horizon, PAXOS_ONE_LEADS);

	if (change == 0 || n->log_failed || paxos_configuration(g->replica)->number != number)
		return;
	if (node_group_leads(n, g)) {
		if (paxos_can_change(g->replica))
			propose_change(
				n, g,
				(struct paxos_value){.handle = PAXOS_NO_VALUE, .change = change});
		return;
	}
	if (g->leader == PAXOS_NO_VOTER || g->leader == n->config.self)
		return;
	node_move_say(
		n, g->leader, WIRE_CONTROL,
		&(struct protocol_message){
			.kind = PROTOCOL_VOTERS, .group = 0, .flags = voters, .index = number});
}

void
node_directory_message(struct node *n, const struct frame *frame, const uint8_t *data,
		       uint32_t bytes)
{
	struct protocol_message m;

	if (!protocol_decode(&m, frame, data, bytes)) {
		n->dropped_undecodable++;
		return;
	}
	if (node_group_leads(n, &n->group[0]))
		node_directory_voters(n, m.flags, m.index);
}

/* A duty of who leads another group. */
void
node_directory_copy(struct node *n, struct node_group *g)
{
	const struct paxos_configuration *c = paxos_configuration(n->group[0].replica);
	struct paxos_value value = {.bytes = COPY_BYTES};

	must(g->number > 0);
	if (c->number <= g->voters_number || n->log_failed || !paxos_can_change(g->replica) ||
	    !pool_take(n->pool, &value.handle))
		return;
	value.change = paxos_change(n->config.node_count, c->voters, c->horizon, PAXOS_ONE_LEADS);
	bytes_put_u64((uint8_t *)pool_at(n->pool, value.handle) + NODE_HEAD_BYTES, c->number);
	propose_change(n, g, value);
}

/* A change is delivered; void, it is proposed again. */
void
node_directory_delivered(struct node *n, struct node_group *g, const struct paxos_output_item *item)
{
	uint64_t number;

	if (g->number == 0 && paxos_configuration(g->replica)->slot == item->slot)
		node_disks_voters(n);
	if (g->number == 0 || item->value.bytes != COPY_BYTES ||
	    paxos_configuration(g->replica)->slot != item->slot)
		return;
	number = bytes_get_u64((uint8_t *)pool_at(n->pool, item->value.handle) + NODE_HEAD_BYTES);
	if (g->voters_number < number)
		g->voters_number = number;
}
