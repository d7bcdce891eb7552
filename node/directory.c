/*
 * Which groups there are, who votes in them, and whether one leads or all. Group 0 is the
 * appliance's own: its entries found and drop groups, say who leads in them and which keys
 * all nodes list, which nodes there are (peers.c) and where a group's order is cut (cut.c), and
 * its configuration says which nodes vote. Every other group's leader copies a change of that
 * into the group's own log, where it is in force an event horizon later; the value says which of
 * group 0's configurations it copies, so that a leader that knows less than the last one does not
 * bring back who is gone.
 */
#include "base/must.h"
#include "node/internal.h"

#define FOUNDING_BYTES (UUID_BYTES + 8 + 4 + 1 + 1)
#define RECORD_BYTES   (FOUNDING_BYTES + 8)
#define ENTRY_BYTES    (1 + FOUNDING_BYTES)
#define KEY_BYTES_MAX  (2 + NODE_KEY_BYTES_MAX)
#define KEYS_PER_PART  32 /* of an image */
#define COPY_BYTES     8

#define CHANGE_HORIZON 8 /* in the flags of VOTERS, from this bit on */

#define LEAD_PAUSE 4 /* of gc_ns: until all lead again where that ended by itself */

void
node_directory_write(const struct node_founding *f, struct writer *w)
{
	writer_raw(w, f->uuid, UUID_BYTES);
	writer_u64(w, f->number);
	writer_u32(w, f->voters);
	writer_u8(w, f->leader);
	writer_u8(w, f->horizon);
	must(!w->bad);
}

/* False: it names voters that no node can be. */
bool
node_directory_read(struct node_founding *f, struct reader *r)
{
	reader_raw(r, f->uuid, UUID_BYTES);
	f->number = reader_u64(r);
	f->voters = reader_u32(r);
	f->leader = reader_u8(r);
	f->horizon = reader_u8(r);
	return !r->bad && f->number >> PAXOS_EPOCH_SHIFT <= PAXOS_EPOCHS_MAX &&
	       f->leader < NODE_NODES_MAX &&
	       paxos_change(NODE_NODES_MAX, f->voters, f->horizon, PAXOS_ONE_LEADS) != 0 &&
	       (f->voters >> f->leader & 1);
}

/* Proposes a group of this uuid; this node leads group 0. It leads the new one too, unless
 * it is about to leave. */
void
node_directory_found(struct node *n, const uint8_t *uuid)
{
	const struct paxos_configuration *c = paxos_configuration(n->group[0].replica);
	struct node_founding f = {.number = c->number,
				  .voters = c->voters,
				  .leader = c->leader,
				  .horizon = (uint8_t)c->horizon};
	uint8_t bytes[ENTRY_BYTES];
	struct writer w = writer_over(bytes, sizeof bytes);

	if (c->voters >> n->config.self & 1)
		f.leader = n->config.self;
	memcpy(f.uuid, uuid, UUID_BYTES);
	writer_u8(&w, DIRECTORY_FOUND);
	node_directory_write(&f, &w);
	node_group_submit(n, &n->group[0], bytes, (uint32_t)w.bytes);
}

/*
 * That a group exists stands in the log before its first record, and that it does not
 * behind its last one: replay meets groups in the order of the log, while group 0's delivery
 * of the entry may be logged much later, or not at all. A record names its entry by index.
 * What comes up to there founds and drops nothing any more: else the founding of a group
 * that was dropped since would be met again while no group has its uuid.
 */
void
node_directory_log(struct node *n, uint32_t number, const struct node_founding *founding)
{
	struct writer w = writer_over(n->scratch + FRAME_HEADER_BYTES, RECORD_BYTES);

	if (!n->started || n->log_failed)
		return;
	if (founding)
		node_directory_write(founding, &w);
	writer_u64(&w, n->directory.index);
	must(!w.bad);
	node_log(n, n->scratch, FRAME_HEADER_BYTES + (uint32_t)w.bytes,
		 founding ? NODE_RECORD_GROUP : NODE_RECORD_DROPPED, number);
}

void
node_directory_record(struct node *n, const struct frame *frame, const uint8_t *data)
{
	struct reader r =
		reader_over(data + FRAME_HEADER_BYTES, frame->frame_bytes - FRAME_HEADER_BYTES);
	struct node_group *g = node_group_by_number(n, frame->group);
	struct node_founding f;

	if (frame->kind == NODE_RECORD_GROUP)
		must(node_directory_read(&f, &r));
	uint64_t index = reader_u64(&r);
	must(reader_done(&r));
	/* What an image has brought at once is of one index. */
	if (index < n->directory.recorded)
		return;
	n->directory.recorded = index;
	if (frame->kind == NODE_RECORD_GROUP && !g && frame->group > n->directory.founded)
		node_group_create(n, frame->group, &f);
	else if (frame->kind == NODE_RECORD_DROPPED && g)
		node_group_end(n, g);
}

/* One that exists, or that finds no room, is void. Where the log takes no more, nothing begins:
 * the next process learns of it. */
static void
apply_found(struct node *n, struct reader *r)
{
	struct node_founding f;

	if (n->log_failed || !node_directory_read(&f, r) || !reader_done(r) ||
	    node_group_by_uuid(n, f.uuid) || n->group_count > n->config.groups_max)
		return;
	struct node_group *g = node_group_create(n, n->directory.founded + 1, &f);
	node_directory_log(n, g->number, &f);
	if (n->started)
		node_group_start(n, g);
}

/*
 * The group's own log has closed it, with nobody in it, and that is decided before anybody
 * proposes this: what a node has not delivered of the group yet it will not need. Who is
 * behind drops it all the same, and what still comes for its number is of an unknown
 * group. The number is not used again; a group of the same uuid is another one.
 */
static void
apply_drop(struct node *n, struct reader *r)
{
	struct node_group *g = node_group_by_number(n, reader_u32(r));

	if (!reader_done(r) || !g || g->number == 0)
		return;
	node_directory_log(n, g->number, NULL);
	node_group_end(n, g);
}

/* Who leads a group from now on as soon as it can be; the group's leader sees to it. */
static void
apply_lead(struct node *n, struct reader *r)
{
	struct node_group *g = node_group_by_number(n, reader_u32(r));
	uint8_t all_lead = reader_u8(r);

	if (!reader_done(r) || !g || g->number == 0 || all_lead > 1)
		return;
	g->all_lead = all_lead;
	g->change_ns = 0;
	if (n->started && g->duty_ns > n->now_ns)
		g->duty_ns = n->now_ns;
}

void
node_key_write(const struct node_key *key, struct writer *w)
{
	must(key->group_count <= NODE_KEY_GROUPS_MAX);
	writer_raw(w, key->key, CRYPTO_KEY_BYTES);
	writer_u8(w, key->node);
	writer_raw(w, key->uuid, UUID_BYTES);
	writer_u8(w, (uint8_t)key->group_count);
	for (uint32_t i = 0; i < key->group_count; i++)
		writer_raw(w, key->group[i], UUID_BYTES);
}

bool
node_key_read(struct node_key *key, struct reader *r)
{
	*key = (struct node_key){0};
	reader_raw(r, key->key, CRYPTO_KEY_BYTES);
	uint8_t node = reader_u8(r);
	reader_raw(r, key->uuid, UUID_BYTES);
	key->node = node == 1;
	key->group_count = reader_u8(r);
	if (node > 1 || key->group_count > NODE_KEY_GROUPS_MAX)
		r->bad = true;
	for (uint32_t i = 0; i < key->group_count && !r->bad; i++)
		reader_raw(r, key->group[i], UUID_BYTES);
	return !r->bad;
}

/* Proposes that all nodes list a key, or that they do not; this node leads group 0. */
void
node_directory_key(struct node *n, const struct node_key *key, bool listed)
{
	uint8_t bytes[KEY_BYTES_MAX];
	struct writer w = writer_over(bytes, sizeof bytes);

	writer_u8(&w, DIRECTORY_KEY);
	writer_u8(&w, listed);
	node_key_write(key, &w);
	must(!w.bad);
	node_group_submit(n, &n->group[0], bytes, (uint32_t)w.bytes);
}

static bool
same_key(const struct node_key *a, const struct node_key *b)
{
	return memcmp(a->key, b->key, CRYPTO_KEY_BYTES) == 0;
}

/* A key stands once for each whose it is, with the groups that were named last. One beyond
 * the last place is void. */
static void
apply_key(struct node *n, struct reader *r)
{
	struct node_directory *d = &n->directory;
	uint8_t listed = reader_u8(r);
	struct node_key key;
	uint32_t kept = 0;

	if (!node_key_read(&key, r) || !reader_done(r) || listed > 1)
		return;
	for (uint32_t i = 0; i < d->key_count; i++) {
		bool whose = memcmp(d->key[i].uuid, key.uuid, UUID_BYTES) == 0 &&
			     d->key[i].node == key.node;
		if (!same_key(&d->key[i], &key) || (listed && !whose))
			d->key[kept++] = d->key[i];
	}
	d->key_count = kept;
	if (listed && kept < NODE_KEYS_MAX)
		d->key[d->key_count++] = key;
	if (n->started)
		node_attend_list(n);
}

bool
node_listed_key(const struct node *n, uint32_t position, struct node_key *key)
{
	if (position >= n->directory.key_count)
		return false;
	*key = n->directory.key[position];
	return true;
}

void
node_directory_apply(struct node *n, const uint8_t *data, uint32_t bytes, uint32_t epoch)
{
	struct reader r = reader_over(data, bytes);
	bool recorded = ++n->directory.index <= n->directory.recorded;

	switch (reader_u8(&r)) {
	case DIRECTORY_FOUND:
		if (!recorded)
			apply_found(n, &r);
		break;
	case DIRECTORY_DROP:
		if (!recorded)
			apply_drop(n, &r);
		break;
	case DIRECTORY_LEAD:
		apply_lead(n, &r);
		break;
	case DIRECTORY_KEY:
		apply_key(n, &r);
		break;
	case DIRECTORY_NODE:
		node_peers_apply(n, &r, epoch);
		break;
	case DIRECTORY_CUT:
		node_cut_apply(n, &r);
		break;
	default:
		break;
	}
}

/* Who leads group 0 sees to it that what is closed goes. */
void
node_directory_duties(struct node *n)
{
	uint8_t bytes[1 + 4];

	if (!node_group_leads(n, &n->group[0]))
		return;
	for (uint32_t i = 1; i < n->group_count; i++) {
		struct writer w = writer_over(bytes, sizeof bytes);

		if (node_group_loads(&n->group[i]) || !group_closed(n->group[i].state))
			continue;
		writer_u8(&w, DIRECTORY_DROP);
		writer_u32(&w, n->group[i].number);
		node_group_submit(n, &n->group[0], bytes, (uint32_t)w.bytes);
	}
}

bool
node_directory_gone(const struct node *n, uint32_t number)
{
	for (uint32_t i = 0; i < n->group_count; i++)
		if (n->group[i].number == number)
			return false;
	return number > 0 && number <= n->directory.founded;
}

/* ---- images of group 0 ---- */

struct recalled_group {
	uint32_t number;
	struct node_founding founding;
	bool all_lead;
};

/* The directory of an image. */
struct recalled {
	uint64_t index;
	uint32_t founded;
	uint32_t count;
	struct recalled_group group[NODE_GROUPS_MAX];
	uint64_t dropped[NODE_NODES_MAX];
	struct node_peer_entry peer[NODE_NODES_MAX];
	uint32_t gone_count;
	uint8_t gone[NODE_GONE_MAX][UUID_BYTES];
	struct node_cuts cuts;
};

/* That of the lowest number above one; NULL: there is none. */
const struct node_group *
node_directory_next(const struct node *n, uint32_t number)
{
	const struct node_group *next = NULL;

	for (uint32_t i = 1; i < n->group_count; i++) {
		const struct node_group *g = &n->group[i];

		if (g->number > number && (!next || g->number < next->number))
			next = g;
	}
	return next;
}

/* Those from `first` on that fit a part: answers which is the next one. */
uint32_t
node_directory_remember_keys(const struct node *n, uint32_t first, struct writer *w)
{
	uint32_t i = first;

	for (; i < n->directory.key_count && i - first < KEYS_PER_PART; i++)
		node_key_write(&n->directory.key[i], w);
	return i;
}

/* Groups by their numbers: their places are this node's own. */
void
node_directory_remember(const struct node *n, struct writer *w)
{
	const struct node_group *g = NULL;

	writer_u64(w, n->directory.index);
	writer_u32(w, n->directory.founded);
	writer_u32(w, n->directory.key_count);
	writer_u32(w, n->group_count - 1);
	for (uint32_t i = 1; i < n->group_count; i++) {
		g = node_directory_next(n, g ? g->number : 0);
		must(g);
		writer_u32(w, g->number);
		node_directory_write(&g->founding, w);
		writer_u8(w, g->all_lead);
	}
	for (uint32_t i = 0; i < NODE_NODES_MAX; i++)
		writer_u64(w, n->dropped[i]);
	for (uint8_t i = 0; i < NODE_NODES_MAX; i++)
		node_peers_write(&n->directory.peer[i], w);
	writer_u32(w, n->directory.gone_count);
	writer_raw(w, n->directory.gone, sizeof n->directory.gone);
	node_cut_write(n, w);
}

bool
node_directory_recall_keys(struct node *n, struct reader *r)
{
	struct node_directory *d = &n->directory;

	while (r->bytes > 0) {
		if (d->coming_count == NODE_KEYS_MAX ||
		    !node_key_read(&d->coming[d->coming_count], r))
			return false;
		d->coming_count++;
	}
	return true;
}

static bool
read_recalled(const struct node *n, struct recalled *d, struct reader *r)
{
	uint32_t before = 0;

	d->index = reader_u64(r);
	d->founded = reader_u32(r);
	uint32_t key_count = reader_u32(r);
	d->count = reader_u32(r);
	if (r->bad || key_count != n->directory.coming_count || d->count > n->config.groups_max)
		return false;
	for (uint32_t i = 0; i < d->count; i++) {
		struct recalled_group *g = &d->group[i];

		g->number = reader_u32(r);
		if (!node_directory_read(&g->founding, r) || g->number <= before ||
		    g->number > d->founded)
			return false;
		before = g->number;
		uint8_t all_lead = reader_u8(r);
		if (all_lead > 1)
			return false;
		g->all_lead = all_lead == 1;
	}
	for (uint32_t i = 0; i < NODE_NODES_MAX; i++)
		d->dropped[i] = reader_u64(r);
	for (uint32_t i = 0; i < NODE_NODES_MAX; i++)
		if (!node_peers_read(&d->peer[i], r))
			return false;
	d->gone_count = reader_u32(r);
	reader_raw(r, d->gone, sizeof d->gone);
	return node_cut_read(&d->cuts, r) && reader_done(r);
}

static bool
names(const struct recalled *d, uint32_t number)
{
	for (uint32_t i = 0; i < d->count; i++)
		if (d->group[i].number == number)
			return true;
	return false;
}

/* Dropped, in what the image covers. One that a record knows of may have come later. */
static void
end_others(struct node *n, const struct recalled *d)
{
	uint32_t number = 0;

	for (uint32_t i = 0; i <= n->config.groups_max; i++) {
		const struct node_group *g = node_directory_next(n, number);

		if (!g || g->number > d->founded)
			return;
		number = g->number;
		if (names(d, number))
			continue;
		node_directory_log(n, number, NULL);
		node_group_end(n, node_group_by_number(n, number));
	}
}

static void
recall_group(struct node *n, const struct recalled_group *of)
{
	struct node_group *g = node_group_by_number(n, of->number);

	if (g) {
		g->all_lead = of->all_lead;
		return;
	}
	/* A record may know that it was dropped since. */
	if (of->number <= n->directory.founded || n->group_count > n->config.groups_max)
		return;
	g = node_group_create(n, of->number, &of->founding);
	g->all_lead = of->all_lead;
	if (n->group[0].load == LOAD_PIECES)
		g->load = LOAD_WANTED; /* its image is next in the log */
	node_directory_log(n, g->number, &of->founding);
	if (n->started)
		node_group_start(n, g);
}

/* Groups that are here already keep what they are. */
bool
node_directory_recall(struct node *n, struct reader *r)
{
	struct node_directory *d = &n->directory;
	struct recalled of = {0};

	if (!read_recalled(n, &of, r))
		return false;
	d->index = of.index;
	if (d->recorded < of.index)
		d->recorded = of.index;
	end_others(n, &of);
	for (uint32_t i = 0; i < of.count; i++)
		recall_group(n, &of.group[i]);
	if (d->founded < of.founded)
		d->founded = of.founded;
	memcpy(d->key, d->coming, d->coming_count * sizeof *d->key);
	d->key_count = d->coming_count;
	if (n->started)
		node_attend_list(n);
	d->gone_count = of.gone_count;
	memcpy(d->gone, of.gone, sizeof d->gone);
	node_peers_recall(n, of.peer);
	d->cuts = of.cuts;
	for (uint32_t i = 0; i < NODE_NODES_MAX; i++)
		if (n->dropped[i] < of.dropped[i])
			n->dropped[i] = of.dropped[i];
	return true;
}

/* ---- what administrators want, and leaders copy ---- */

static void
propose_change(struct node *n, struct node_group *g, struct paxos_value value)
{
	node_group_paxos(n, g, &(struct paxos_input){.kind = PAXOS_IN_PROPOSE, .value = value});
}

/* Is everything that was said of who there is known here? Behind an entry that forgets a node
 * a change that it votes would wait for nobody, for ever. */
bool
node_directory_knows_all(const struct node *n)
{
	const struct node_group *g = &n->group[0];

	return g->batch_count == 0 && paxos_is_idle(g->replica) &&
	       g->applied_slot == paxos_delivered(g->replica);
}

/* What an administrator wants. Who leads group 0 proposes it; lost where nobody does, or while
 * it is busy. */
void
node_directory_change(struct node *n, const struct node_change *wanted)
{
	struct node_group *g = &n->group[0];
	uint32_t horizon =
		wanted->horizon > 0 ? wanted->horizon : paxos_configuration(g->replica)->horizon;
	uint32_t change = paxos_change(NODE_NODES_MAX, wanted->voters, horizon, PAXOS_ONE_LEADS);

	if (change == 0 || n->log_failed || horizon > node_horizon_max(&n->config) ||
	    paxos_configuration(g->replica)->number != wanted->number)
		return;
	if (node_group_leads(n, g)) {
		bool there = (wanted->voters & ~n->there) == 0;
		if (there && node_directory_knows_all(n) && paxos_can_change(g->replica))
			propose_change(
				n, g,
				(struct paxos_value){.handle = PAXOS_NO_VALUE, .change = change});
		return;
	}
	if (g->leader == PAXOS_NO_VOTER || g->leader == n->config.self)
		return;
	node_move_say(
		n, g->leader, WIRE_CONTROL,
		&(struct protocol_message){.kind = PROTOCOL_VOTERS,
					   .group = 0,
					   .flags = horizon << CHANGE_HORIZON | wanted->voters,
					   .index = wanted->number});
}

/* As above; as an entry, since a group whose turns a failure has ended returns to them. */
void
node_directory_lead(struct node *n, uint64_t number, bool all_lead)
{
	struct node_group *g = &n->group[0];
	uint8_t bytes[1 + 4 + 1];
	struct writer w = writer_over(bytes, sizeof bytes);

	if (number == 0 || number > UINT32_MAX || n->log_failed ||
	    !node_group_by_number(n, (uint32_t)number))
		return;
	writer_u8(&w, DIRECTORY_LEAD);
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
		node_directory_change(
			n, &(struct node_change){.voters = m.flags & ((1u << CHANGE_HORIZON) - 1),
						 .horizon = m.flags >> CHANGE_HORIZON,
						 .number = m.index});
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
	/* Who came into an epoch behind its force knows no voters of group 0 until it has the
	 * change that names it; this group's, which copied that, may be here before. */
	value.change = paxos_change(NODE_NODES_MAX, c->voters, c->horizon, lead);
	bool copied = c->number == g->voters_number && now->all_lead == (lead == PAXOS_ALL_LEAD);

	/* Nor does one that lacks what others of this group have copied already. */
	if (copied || c->number < g->voters_number || value.change == 0 || n->log_failed ||
	    !paxos_can_change(g->replica) || !pool_take(n->pool, &value.handle))
		return;
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
	node_directory_voice(n, g);
}

/* Is this node's disk, which may not be its first, a voter of what the group has copied? */
void
node_directory_voice(const struct node *n, struct node_group *g)
{
	if (g->number > 0 && g->voters_number >= n->config.votes_from)
		paxos_vote_from(g->replica, paxos_configuration(g->replica)->number);
}
