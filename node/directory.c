/*
 * Which groups there are, who votes in them, and whether one leads or all. Group 0 is the
 * appliance's own: its entries found groups and say who leads in them, and its configuration
 * says which nodes vote. Every other group's leader copies a change of that into the
 * group's own log, where it is in force an event horizon later; the value says which of
 * group 0's configurations it copies, so that a leader that knows less than the last one
 * does not bring back who is gone.
 */
#include "base/must.h"
#include "node/internal.h"

/* Of an entry of group 0, and of the record that says that a group exists. */
#define FOUNDING_BYTES (UUID_BYTES + 8 + 4 + 1)
#define COPY_BYTES     8
#define LEAD_BYTES     (4 + 1) /* of another entry of group 0; its length says which it is */

_Static_assert(LEAD_BYTES != FOUNDING_BYTES, "two kinds of entries");

#define LEAD_PAUSE 4 /* of gc_ns: until all lead again where that ended by itself */

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

/* Who leads a group from now on as soon as it can be; the group's leader sees to it. */
static void
apply_lead(struct node *n, const uint8_t *data, uint32_t bytes)
{
	struct reader r = reader_over(data, bytes);
	struct node_group *g = node_group_by_number(n, reader_u32(&r));
	uint8_t all_lead = reader_u8(&r);

	if (!reader_done(&r) || !g || g->number == 0 || all_lead > 1)
		return;
	g->all_lead = all_lead;
	g->change_ns = 0;
	if (n->started && g->duty_ns > n->now_ns)
		g->duty_ns = n->now_ns;
}

/* An entry of group 0: who is to lead a group, or a uuid that becomes the next group. One
 * that exists, or that finds no room, is void. */
void
node_directory_apply(struct node *n, const uint8_t *data, uint32_t bytes)
{
	struct node_founding f;

	if (bytes == LEAD_BYTES) {
		apply_lead(n, data, bytes);
		return;
	}
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

/* As above; as an entry, since a group whose turns a failure has ended returns to them. */
void
node_directory_lead(struct node *n, uint64_t number, bool all_lead)
{
	struct node_group *g = &n->group[0];
	uint8_t bytes[LEAD_BYTES];
	struct writer w = writer_over(bytes, sizeof bytes);

	if (number == 0 || number >= n->group_count || n->log_failed)
		return;
	writer_u32(&w, (uint32_t)number);
	writer_u8(&w, all_lead);
	must(!w.bad);
	if (node_group_leads(n, g))
		node_group_submit(n, g, bytes, sizeof bytes);
	else if (g->leader != PAXOS_NO_VOTER && g->leader != n->config.self)
		node_move_say(n, g->leader, WIRE_CONTROL,
			      &(struct protocol_message){.kind = PROTOCOL_LEAD,
							 .group = 0,
							 .flags = all_lead,
							 .index = number});
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
	if (!node_group_leads(n, &n->group[0]))
		return;
	if (m.kind == PROTOCOL_VOTERS)
		node_directory_voters(n, m.flags, m.index);
	else
		node_directory_lead(n, m.index, m.flags != 0);
}

/* All may lead where all are there: one that is away would end it at once. */
static enum paxos_lead
lead_wanted(const struct node *n, const struct node_group *g, uint32_t voters)
{
	const struct paxos_configuration *now = paxos_configuration(g->replica);
	uint64_t pause_ns = LEAD_PAUSE * n->config.gc_ns;
	uint32_t there = n->link_up | 1u << n->config.self;
	bool calm = now->all_lead || g->change_ns == 0 || n->now_ns - g->change_ns >= pause_ns;

	return g->all_lead && calm && (voters & ~there) == 0 ? PAXOS_ALL_LEAD : PAXOS_ONE_LEADS;
}

/* A duty of who leads another group. */
void
node_directory_copy(struct node *n, struct node_group *g)
{
	const struct paxos_configuration *c = paxos_configuration(n->group[0].replica);
	const struct paxos_configuration *now = paxos_configuration(g->replica);
	struct paxos_value value = {.bytes = COPY_BYTES};
	enum paxos_lead lead = lead_wanted(n, g, c->voters);

	must(g->number > 0);
	/* What all lead ends by the loss of one, not by that of a link. */
	if (now->all_lead && g->all_lead)
		lead = PAXOS_ALL_LEAD;
	if ((c->number <= g->voters_number && now->all_lead == (lead == PAXOS_ALL_LEAD)) ||
	    n->log_failed || !paxos_can_change(g->replica) || !pool_take(n->pool, &value.handle))
		return;
	value.change = paxos_change(n->config.node_count, c->voters, c->horizon, lead);
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
