/*
 * The state image of another node, for one that lacks what all others have dropped.
 *
 *     behind                              another node
 *     LEARN, FETCH               ->       that was dropped here
 *                                <-       IMAGE(slot, id, how many parts)
 *     ASK(id, part)              ->       reads it from its log
 *                                <-       PART(id, part, bytes)
 *     logs it, and asks for the next one
 *
 * Parts are asked for one by one and by number, so what was lost on the way is asked for
 * again, and a restart of either goes on where it was: the one that is behind finds in its
 * log what it has, the other one in its own where the parts lie. An image that is not there
 * any more is answered with an offer of the one that is; a node that is silent for long may
 * be replaced by any that offers one, which begins at the first part again.
 *
 * While parts come, the group works as before: what another node still has it learns in the
 * usual way, and an image that came too late is forgotten. Only when all parts are in the
 * own log the state is given up, and read back from there, a part in a step. A group whose
 * parts cannot be read, or are of no use, has no state from then on, votes nevertheless, and
 * asks everybody for another image.
 */
#include "base/must.h"
#include "node/internal.h"

#define AHEAD_BYTES   (1024 * 1024) /* logged and not on disk: no more then */
#define CHECK_SLOTS   2048          /* of an index that was loaded, looked at in a step */
#define PATIENCE      4             /* of retry_ns: others may have what one has dropped */
#define LATE          4             /* of session_dead_ns: another node may take its place */
#define GIVEN_UP      16
#define PART_OVERHEAD 1 /* of a record that holds another node's part */

/* ---- giving ---- */

void
node_image_offer(struct node *n, const struct node_group *g, uint8_t node)
{
	struct node_giving *give = &n->giving[node];

	if (g->whole.id == 0 || node_group_loads(g) ||
	    (give->offered_group == g->number &&
	     n->now_ns - give->offered_ns < n->config.retry_ns / 2))
		return;
	give->offered_group = g->number;
	give->offered_ns = n->now_ns;
	(void)node_move_say(n, node, WIRE_CONTROL,
			    &(struct protocol_message){.kind = PROTOCOL_IMAGE,
						       .group = g->number,
						       .sequence = g->whole.id,
						       .index = g->whole.slot,
						       .mark = g->whole.count});
}

static void
asked(struct node *n, const struct node_group *g, uint8_t node, const struct protocol_message *m)
{
	struct node_giving *give = &n->giving[node];

	if (g->whole.id == 0 || m->sequence != g->whole.id || m->index >= g->whole.count) {
		node_image_offer(n, g, node);
		return;
	}
	n->images.given_ns = n->now_ns;
	give->wanted = true;
	give->group = g->number;
	give->id = m->sequence;
	give->part = (uint32_t)m->index;
}

static void
give_on(struct node *n, uint8_t node)
{
	struct node_giving *give = &n->giving[node];
	const struct node_group *g;

	if (!give->wanted || give->reading || give->blocked)
		return;
	g = node_group_by_number(n, give->group);
	if (!g || g->whole.id != give->id) {
		give->wanted = false;
		return;
	}
	const struct history_link *link = &g->whole.part[give->part];
	give->reading = node_read_begin(n,
					&(struct node_read){.purpose = READ_PART_FOR_NODE,
							    .group = g->number,
							    .lsn = link->lsn,
							    .number = give->part,
							    .offset = give->id,
							    .voter = node},
					link->bytes);
}

static void
given(struct node *n, const struct node_read *read, const uint8_t *body, uint32_t bytes)
{
	struct node_giving *give = &n->giving[read->voter];
	bool same = give->wanted && give->group == read->group && give->id == read->offset &&
		    give->part == read->number;
	uint32_t skip;

	must(give->reading);
	give->reading = false;
	if (!same)
		return;
	if (!body || bytes <= PART_OVERHEAD) {
		give->wanted = false;
		return;
	}
	skip = node_image_is_others(body) ? PART_OVERHEAD : 0;
	give->wanted = !node_move_say(n, read->voter, WIRE_FEED,
				      &(struct protocol_message){.kind = PROTOCOL_PART,
								 .group = read->group,
								 .sequence = read->offset,
								 .index = read->number,
								 .data = body + skip,
								 .bytes = bytes - skip});
	give->blocked = give->wanted;
}

/* ---- taking ---- */

static bool
is_silent(const struct node *n, uint64_t times)
{
	return n->now_ns - n->taking.came_ns >= times * n->config.session_dead_ns;
}

/* Does this node stand still for long enough? Another one may still have what it lacks. */
static bool
is_behind(struct node *n, struct node_group *g)
{
	uint64_t slot = g->applied_slot + 1;

	if (node_group_loads(g))
		return true;
	if (g->behind_slot != slot) {
		g->behind_slot = slot;
		g->behind_ns = n->now_ns;
	}
	return n->now_ns - g->behind_ns >= PATIENCE * n->config.retry_ns;
}

static bool
is_wanted(struct node *n, struct node_group *g, uint8_t node, const struct protocol_message *m)
{
	const struct node_taking *t = &n->taking;

	if (n->loading.active || n->log_failed || m->index <= g->applied_slot)
		return false;
	if (!t->active)
		return is_behind(n, g);
	if (t->group != g->number)
		return false;
	return t->source == node ? m->sequence != g->coming.id : is_silent(n, LATE);
}

static void
take_begin(struct node *n, struct node_group *g, const struct node_taking *t,
	   const struct node_image *image)
{
	node_image_abandon(n);
	n->taking = *t;
	n->taking.came_ns = n->now_ns;
	g->coming.id = image->id;
	g->coming.slot = image->slot;
	g->coming.count = 0;
}

static void
offered(struct node *n, struct node_group *g, uint8_t node, const struct protocol_message *m)
{
	struct node_taking t = {.active = true, .source = node, .group = g->number};
	struct node_image image = {.id = m->sequence, .slot = m->index};

	if (m->mark < 2 || m->mark > node_image_parts_max(&n->config) || m->sequence == 0) {
		n->dropped_undecodable++;
		return;
	}
	node_payload_covered(n, g, m->index);
	if (!is_wanted(n, g, node, m))
		return;
	t.count = (uint32_t)m->mark;
	take_begin(n, g, &t, &image);
	node_image_log_taken(n, g, &t);
}

/* One part. The others of the same image follow in the log, with other records between. */
static void
came(struct node *n, struct node_group *g, uint8_t node, const struct protocol_message *m)
{
	struct node_taking *t = &n->taking;

	if (!t->active || t->group != g->number || t->source != node || n->log_failed ||
	    m->sequence != g->coming.id || m->index != t->next || t->next == t->count ||
	    m->bytes == 0 || m->bytes > n->config.value_bytes_max) {
		n->dropped_chunks++;
		return;
	}
	t->next++;
	t->asked = false;
	t->came_ns = n->now_ns;
	node_image_log_others(n, g, m->data, m->bytes);
}

/* Replay. */
void
node_image_taken(struct node *n, struct node_group *g, struct reader *r)
{
	struct node_taking t = {.active = true, .group = g->number, .source = reader_u8(r)};
	struct node_image image = {.id = reader_u64(r)};

	image.slot = reader_u64(r);
	t.count = reader_u32(r);
	if (!reader_done(r) || t.source >= NODE_NODES_MAX ||
	    t.count > node_image_parts_max(&n->config))
		return;
	take_begin(n, g, &t, &image);
}

void
node_image_taken_part(struct node *n, struct node_group *g, uint32_t bytes)
{
	struct node_taking *t = &n->taking;

	if (!t->active || t->group != g->number || t->next == t->count)
		return;
	t->next++;
	(void)node_image_note(n, g, (struct history_link){.lsn = n->lsn_next, .bytes = bytes});
}

static void
ask(struct node *n, const struct node_group *g)
{
	struct node_taking *t = &n->taking;

	t->asked = true;
	t->asked_ns = n->now_ns;
	(void)node_move_say(n, t->source, WIRE_CONTROL,
			    &(struct protocol_message){.kind = PROTOCOL_ASK,
						       .group = g->number,
						       .sequence = g->coming.id,
						       .index = t->next});
}

static void
take_on(struct node *n)
{
	struct node_taking *t = &n->taking;
	struct node_group *g = node_group_by_number(n, t->group);
	bool late = t->asked && n->now_ns - t->asked_ns >= n->config.session_dead_ns;

	if ((g->applied_slot >= g->coming.slot && !node_group_loads(g)) || is_silent(n, GIVEN_UP)) {
		t->active = false;
		return;
	}
	if (t->next == t->count) {
		if (g->coming.part[t->count - 1].lsn <= n->lsn_durable)
			node_image_log_load(n, g);
		return;
	}
	if ((!t->asked || late) && (n->link_up >> t->source & 1) &&
	    n->lsn_next - n->lsn_durable <= AHEAD_BYTES)
		ask(n, g);
}

/* ---- loading ---- */

static void
load_failed(struct node *n, struct node_group *g)
{
	n->loading.active = false;
	g->coming.id = 0;
	g->coming.count = 0;
	/* What it accepted behind the image a replay has passed over. */
	if (!n->started)
		g->holed = true;
}

/* True: there is more to do, and nothing to wait for. */
static bool
load_on(struct node *n)
{
	struct node_loading *l = &n->loading;
	struct node_group *g = node_group_by_number(n, l->group);

	if (!l->active || l->reading)
		return false;
	if (l->next + 1 == g->coming.count && g->state && !l->checked) {
		enum group_image_step step =
			group_load_check(g->state, n->started ? CHECK_SLOTS : UINT32_MAX);

		if (step == GROUP_IMAGE_BAD)
			load_failed(n, g);
		l->checked = step == GROUP_IMAGE_DONE;
		if (!l->checked)
			return step == GROUP_IMAGE_MORE;
	}
	const struct history_link *link = &g->coming.part[l->next];
	l->reading = node_read_begin(n,
				     &(struct node_read){.purpose = READ_PART_FOR_LOAD,
							 .group = g->number,
							 .lsn = link->lsn},
				     link->bytes);
	return false;
}

static void
loaded(struct node *n, const struct node_read *read, const uint8_t *body, uint32_t bytes)
{
	struct node_loading *l = &n->loading;
	struct node_group *g = node_group_by_number(n, read->group);

	must(l->active && l->reading && l->group == read->group);
	l->reading = false;
	if (n->log_failed)
		return; /* what it brings would have to be logged: a group's founding, its start */
	if (!body || bytes <= PART_OVERHEAD || !node_image_is_others(body) ||
	    !node_image_take(n, g, body + PART_OVERHEAD, bytes - PART_OVERHEAD)) {
		load_failed(n, g);
		return;
	}
	l->next++;
	if (!node_group_loads(g))
		l->active = false;
	else if (l->next == g->coming.count)
		load_failed(n, g);
	if (!n->started)
		(void)load_on(n);
}

/* Its parts are in the log. A replay may have come further without it. */
void
node_image_load(struct node *n, struct node_group *g)
{
	bool whole = n->taking.active && n->taking.group == g->number &&
		     n->taking.next == n->taking.count && g->coming.count == n->taking.count;

	n->taking.active = false;
	if (g->applied_slot >= g->coming.slot && !node_group_loads(g))
		return;
	node_group_reload(n, g);
	n->loading = (struct node_loading){.active = true, .group = g->number};
	if (!whole)
		load_failed(n, g);
	else if (!n->started)
		(void)load_on(n);
}

void
node_image_read(struct node *n, const struct node_read *read, const uint8_t *body, uint32_t bytes)
{
	if (read->purpose == READ_PART_FOR_NODE)
		given(n, read, body, bytes);
	else
		loaded(n, read, body, bytes);
}

/* ---- both ---- */

/* What is on its way for it is nobody's; a round goes on behind it, see image.c. */
void
node_image_group_ends(struct node *n, const struct node_group *g)
{
	if (n->taking.group == g->number)
		n->taking.active = false;
	if (n->loading.group == g->number)
		n->loading.active = false;
}

void
node_image_message(struct node *n, uint8_t node, const struct frame *frame, const uint8_t *data,
		   uint32_t bytes)
{
	struct node_group *g = node_group_by_number(n, frame->group);
	struct protocol_message m;

	if (!g || n->config.image_bytes == 0) {
		n->dropped_unknown_group++;
		return;
	}
	if (!protocol_decode(&m, frame, data, bytes)) {
		n->dropped_undecodable++;
		return;
	}
	if (m.kind == PROTOCOL_IMAGE)
		offered(n, g, node, &m);
	else if (m.kind == PROTOCOL_ASK)
		asked(n, g, node, &m);
	else
		came(n, g, node, &m);
}

/* A group without a state: whoever has an image offers it. */
static void
ask_all(struct node *n)
{
	struct node_taking *t = &n->taking;

	for (uint32_t i = 0; i < n->group_count; i++) {
		if (!node_group_loads(&n->group[i]) ||
		    n->now_ns - t->asked_ns < n->config.session_dead_ns)
			continue;
		t->asked_ns = n->now_ns;
		for (uint8_t k = 0; k < NODE_NODES_MAX; k++)
			if (n->link_up >> k & 1)
				(void)node_move_say(
					n, k, WIRE_CONTROL,
					&(struct protocol_message){.kind = PROTOCOL_ASK,
								   .group = n->group[i].number});
	}
}

bool
node_move_image(struct node *n)
{
	for (uint8_t i = 0; i < NODE_NODES_MAX; i++)
		give_on(n, i);
	if (n->taking.active)
		take_on(n);
	else if (!n->loading.active)
		ask_all(n);
	return load_on(n);
}

uint64_t
node_image_timer_ns(const struct node *n)
{
	bool waits = n->taking.active;

	for (uint32_t i = 0; i < n->group_count && !waits; i++)
		waits = node_group_loads(&n->group[i]);
	return waits ? n->now_ns + n->config.session_dead_ns : UINT64_MAX;
}
