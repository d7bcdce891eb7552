/*
 * What administrators want of a group, on its way to who leads it. It is carried once: a
 * node that does not lead either throws it away, for who wants it asks again.
 */
#include "base/must.h"
#include "node/internal.h"

#define ORDER_BYTES_MAX (1 + 4 + 8 + NODE_KEY_BYTES_MAX + 1 + ENDPOINT_ADDRESS_BYTES + 2)

static bool
of_node(const struct node_order *o)
{
	return o->kind == NODE_ORDER_ADD || o->kind == NODE_ORDER_FORGET;
}

static bool
of_key(const struct node_order *o)
{
	return o->kind == NODE_ORDER_LIST || o->kind == NODE_ORDER_UNLIST;
}

static void
order_write(const struct node_order *o, struct writer *w)
{
	writer_u8(w, (uint8_t)o->kind);
	writer_u32(w, o->group);
	writer_u64(w, o->incarnation);
	if (of_key(o) || of_node(o))
		node_key_write(&o->key, w);
	if (of_node(o)) {
		writer_u8(w, o->node);
		writer_raw(w, o->endpoint.address, ENDPOINT_ADDRESS_BYTES);
		writer_u16(w, o->endpoint.port);
	}
	must(!w->bad);
}

static bool
order_read(struct node_order *o, const uint8_t *data, uint32_t bytes)
{
	struct reader r = reader_over(data, bytes);
	uint8_t kind = reader_u8(&r);

	*o = (struct node_order){.kind = (enum node_order_kind)kind, .group = reader_u32(&r)};
	o->incarnation = reader_u64(&r);
	if ((of_key(o) || of_node(o)) && !node_key_read(&o->key, &r))
		return false;
	if (of_node(o)) {
		o->node = reader_u8(&r);
		reader_raw(&r, o->endpoint.address, ENDPOINT_ADDRESS_BYTES);
		o->endpoint.port = reader_u16(&r);
	}
	return reader_done(&r) && kind >= NODE_ORDER_DROP && kind <= NODE_ORDER_FORGET;
}

/* The group that decides it, or NULL. */
static struct node_group *
group_of(struct node *n, const struct node_order *o)
{
	struct node_group *g = node_group_by_number(n, o->group);

	return g && (g->number == 0) == (of_key(o) || of_node(o)) ? g : NULL;
}

/* Whether it comes to anything the log decides: each entry is void where it does not fit. */
static void
carry_out(struct node *n, struct node_group *g, const struct node_order *o)
{
	struct entry entry = {.kind = ENTRY_CLOSE, .close = {.epoch = (uint16_t)n->epoch}};

	if (of_node(o)) {
		node_peers_order(n, o);
		return;
	}
	if (of_key(o)) {
		node_directory_key(n, &o->key, o->kind == NODE_ORDER_LIST);
		return;
	}
	if (o->kind == NODE_ORDER_EXPEL) {
		entry.kind = ENTRY_EXPEL;
		entry.expel = (struct entry_expel){.incarnation = o->incarnation,
						   .session = UINT64_MAX,
						   .reason = EXPEL_ADMIN};
	}
	node_group_submit_entry(n, g, &entry);
}

void
node_order(struct node *n, const struct node_order *o)
{
	struct node_group *g = group_of(n, o);
	uint8_t bytes[ORDER_BYTES_MAX];
	struct writer w = writer_over(bytes, sizeof bytes);

	if (!g || n->log_failed)
		return;
	if (node_group_leads(n, g)) {
		carry_out(n, g, o);
		return;
	}
	if (g->leader == PAXOS_NO_VOTER || g->leader == n->config.self)
		return;
	order_write(o, &w);
	node_move_say(n, g->leader, WIRE_CONTROL,
		      &(struct protocol_message){.kind = PROTOCOL_ORDER,
						 .group = o->group,
						 .data = bytes,
						 .bytes = (uint32_t)w.bytes});
}

void
node_order_message(struct node *n, const struct frame *frame, const uint8_t *data, uint32_t bytes)
{
	struct protocol_message m;
	struct node_order o;

	if (!protocol_decode(&m, frame, data, bytes) || !order_read(&o, m.data, m.bytes)) {
		n->dropped_undecodable++;
		return;
	}
	struct node_group *g = group_of(n, &o);
	if (g && node_group_leads(n, g))
		carry_out(n, g, &o);
}
