/*
 * Sessions besides the one to the leader's node: the two nodes behind it, which take over first,
 * are told the group's name and say when they lead. A member whose node dies goes there at once;
 * the silence of its own session, which on a busy host says little for a long time, need not be
 * waited for.
 *
 * Stale leaders: a node that was cut off from the others may believe that it leads for as long as
 * it is. So one that is attached moves only for a higher ballot than its own node leads in.
 */
#include "node/member_state.h"

#include "base/must.h"

static bool
wanted(const struct member *m, uint8_t node)
{
	uint32_t count = m->config.node_count;
	uint32_t behind = (node + count - m->target) % count;

	return m->stage != MEMBER_IDLE && behind >= 1 && behind <= MEMBER_WATCHES_MAX;
}

/* The target is another one: sessions to those behind the earlier one go, the others come. */
void
member_watch(struct member *m)
{
	for (uint8_t node = 0; node < m->config.node_count; node++) {
		struct member_watch *watch = &m->watch[node];

		if (watch->session != MEMBER_NO_SESSION && !wanted(m, node)) {
			wire_close(m->wire, watch->session);
			*watch = (struct member_watch){.session = MEMBER_NO_SESSION};
		}
	}
	for (uint8_t node = 0; node < m->config.node_count; node++) {
		struct member_watch *watch = &m->watch[node];

		if (watch->session == MEMBER_NO_SESSION && wanted(m, node))
			watch->session = member_connect(m, node);
	}
}

/* The session to this node, if there is one, is the caller's from now on. */
int
member_watch_take(struct member *m, uint8_t node, bool *opened)
{
	struct member_watch watch = m->watch[node];

	m->watch[node] = (struct member_watch){.session = MEMBER_NO_SESSION};
	*opened = watch.opened;
	return watch.session;
}

static bool
is_at(const struct member *m, uint8_t place, const struct protocol_node *node)
{
	return endpoint_equal(&m->config.endpoint[place], &node->endpoint);
}

/* Those that came after this member's list was written are appended to it, until the next
 * member_init(). What stands there already stays as it was written: the address that a node is
 * reached at from here may be another one. */
void
member_told_nodes(struct member *m, const struct protocol_message *message)
{
	struct reader r = reader_over(message->data, message->bytes);
	struct protocol_node node;

	while (!r.bad && !reader_done(&r) && protocol_read_node(&r, &node)) {
		uint8_t place = member_place_of(m, node.number);
		uint8_t at = 0;

		while (at < m->config.node_count && !is_at(m, at, &node))
			at++;
		bool known = place < m->config.node_count && (m->numbered >> place & 1);
		if (known || node.number >= NODE_NODES_MAX || at == NODE_NODES_MAX)
			continue;
		if (at == m->config.node_count) {
			m->config.endpoint[at] = node.endpoint;
			memcpy(m->config.node_key[at], node.key, CRYPTO_KEY_BYTES);
			m->config.node_count++;
		}
		member_number(m, at, node.number);
	}
}

static void
on_group(struct member *m, uint8_t node, const struct protocol_message *message)
{
	member_told_nodes(m, message);
	if (!(message->flags & PROTOCOL_LEADER_HERE))
		return;
	bool leads = m->stage == MEMBER_CONNECTING ? message->index >= m->ballot
						   : message->index > m->ballot;
	if (!leads)
		return;
	member_reconnect(m, node);
	/* On its way there it hears no lower one: where all lead, two would send it to and fro. */
	m->ballot = message->index;
}

static void
on_event(struct member *m, uint8_t node, const struct wire_event *event)
{
	struct member_watch *watch = &m->watch[node];
	struct frame frame;
	struct protocol_message message;

	switch (event->kind) {
	case WIRE_OPENED:
		watch->opened = true;
		memcpy(watch->epoch, event->peer.epoch, EPOCH_BYTES);
		member_numbered(m, node, event->peer.node);
		member_say_open(m, watch->session, watch->epoch);
		break;
	case WIRE_MESSAGE:
		if (frame_decode(&frame, event->data, event->bytes) &&
		    protocol_decode(&message, &frame, event->data, event->bytes) &&
		    message.kind == PROTOCOL_GROUP)
			on_group(m, node, &message);
		break;
	case WIRE_CLOSED: /* and opened again when that node is there */
		watch->opened = false;
		break;
	case WIRE_ROOM:
	case WIRE_HEARD:
	case WIRE_REFUSED:
		break;
	}
}

void
member_watch_event(struct member *m, const struct wire_event *event)
{
	for (uint8_t node = 0; node < m->config.node_count; node++)
		if (m->watch[node].session == event->session) {
			on_event(m, node, event);
			return;
		}
}
