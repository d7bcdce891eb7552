/*
 * Behind a force the order may need bytes that only the lost had: an entry of the old epoch
 * asks for a write set that was spread (node/spread.h), and no survivor's log holds all of it.
 * Nobody could apply that entry, ever, and the group would stand still. So the order is cut there
 * (DESIGN section 4, "Force"):
 *
 *     survivor, at that entry      who leads group 0          every node
 *     LACK(group, index)     ->    hears it of all who
 *                                  were forced on:
 *                                  CUT(group, index, epoch)
 *                                  in group 0's log     ->    at that entry: group_cut()
 *
 * Until when  That entry is void, and so is what follows it, up to the fork into the epoch of
 *             those who cut. One entry alone would not do: the lost may have applied it, and all
 *             behind it; without it other ones conflict, other numbers are given, and a server
 *             that the lost had told would have another transaction under the same GTID. No
 *             survivor has applied any of it. What was told of it is in the report, as all that
 *             a force loses (group_lost_next()).
 * Who says    All that the epoch was forced on, and each with the disk that it had then: one
 *             that came back empty does not know who they were, says nothing, and is waited for
 *             until another force gives it up. One may have the bytes while all others lack them:
 *             they fetch them from it, as always; what it has applied is another state.
 * Stays true  What is lacking stays so: bytes of before the force come from such a survivor
 *             only, and one that had them has them, or has applied the entry, and says nothing.
 *             So a word need not be on disk. It is said again and again, and an old one does not
 *             count: who was given the bytes, by one whose disk rots behind it, is silent.
 *             Nor does one speak that had them and cannot read them back: it may have applied
 *             the entry in an earlier process, and its members were told. It stands still.
 * In effect   at a node as soon as its log says that it has delivered CUT: a replay meets that
 *             before what the group has done behind the cut. It is in an image of group 0, and
 *             where a state is cut, in the group's own.
 * Twice       The same entry is cut once; what comes later for it is void. Behind another force an
 *             index may be another entry's: a cut is that of its epoch, and a payload known by
 *             its GTID. The last NODE_CUTS_MAX are kept, for those who read an order from its
 *             begin.
 * Payload     One that was spread without its write set is lacked by members only: its entry is
 *             applied, and stays. Survivors say so of the first one that they lack, with its GTID,
 *             and CUT has that: a member that has committed it goes on, and one that has not is
 *             told that it cannot, for nobody could feed it (PROTOCOL_LOST). No state differs
 *             by it.
 */
#include "base/must.h"
#include "node/internal.h"

#define CUT_BYTES_MAX (1 + 4 + 8 + 4 + UUID_BYTES + 1 + TAG_BYTES_MAX + 8)

/* ---- what group 0 has decided ---- */

static bool
is_same(const struct node_cut *a, const struct node_cut *b)
{
	bool payload = a->gtid.gno != 0;

	if (a->group != b->group || a->index != b->index || payload != (b->gtid.gno != 0))
		return false;
	return payload ? gtid_equal(&a->gtid, &b->gtid) : a->epoch == b->epoch;
}

static bool
is_decided(const struct node *n, const struct node_cut *cut)
{
	const struct node_cuts *all = &n->directory.cuts;

	for (uint32_t i = 0; i < all->count; i++)
		if (is_same(&all->cut[i], cut))
			return true;
	return false;
}

/* Of the order that this group is in: what an epoch cuts is of before it. */
static const struct node_cut *
find_cut(const struct node *n, const struct node_group *g, uint64_t index)
{
	const struct node_cuts *all = &n->directory.cuts;

	for (uint32_t i = 0; i < all->count; i++) {
		const struct node_cut *cut = &all->cut[i];

		if (cut->group == g->number && cut->index == index && cut->gtid.gno == 0 &&
		    cut->epoch > group_epoch(g->state))
			return cut;
	}
	return NULL;
}

static void
add(struct node_cuts *all, const struct node_cut *cut)
{
	if (all->count == NODE_CUTS_MAX) {
		memmove(&all->cut[0], &all->cut[1], (NODE_CUTS_MAX - 1) * sizeof all->cut[0]);
		all->count--;
	}
	all->cut[all->count++] = *cut;
}

static void
write_one(const struct node_cut *cut, struct writer *w)
{
	writer_u32(w, cut->group);
	writer_u64(w, cut->index);
	writer_u32(w, cut->epoch);
	protocol_write_gtid(w, &cut->gtid);
}

static bool
read_one(struct node_cut *cut, struct reader *r)
{
	cut->group = reader_u32(r);
	cut->index = reader_u64(r);
	cut->epoch = reader_u32(r);
	protocol_read_gtid(r, &cut->gtid);
	return !r->bad && cut->index > 0 && cut->epoch > 0 && cut->epoch <= PAXOS_EPOCHS_MAX;
}

void
node_cut_apply(struct node *n, struct reader *r)
{
	struct node_cut cut = {.slot = n->group[0].applied_slot + 1};
	struct node_group *g;

	if (!read_one(&cut, r) || !reader_done(r) || is_decided(n, &cut))
		return;
	add(&n->directory.cuts, &cut);
	g = node_group_by_number(n, cut.group);
	if (g && g->state && !n->started)
		node_group_apply(n, g, UINT32_MAX);
}

void
node_cut_write(const struct node *n, struct writer *w)
{
	const struct node_cuts *all = &n->directory.cuts;

	writer_u32(w, all->count);
	for (uint32_t i = 0; i < all->count; i++)
		write_one(&all->cut[i], w);
	must(!w->bad);
}

bool
node_cut_read(struct node_cuts *all, struct reader *r)
{
	uint32_t count = reader_u32(r);

	all->count = 0;
	if (r->bad || count > NODE_CUTS_MAX)
		return false;
	for (uint32_t i = 0; i < count; i++) {
		struct node_cut cut = {0};

		if (!read_one(&cut, r))
			return false;
		add(all, &cut);
	}
	return true;
}

/* What was fetched of it is of no use. */
static void
forget_payload(struct node *n, struct node_group *g)
{
	const struct entry_submit *s = &g->entry.submit;
	struct entry_spread spread;

	must(entry_spread_decode(&spread, s->payload, s->payload_bytes));
	struct node_payload *p = node_payload_find(n, g, s->incarnation, spread.offer);
	if (p)
		p->gone = true;
}

/* A replay has what was in effect: the record came first. */
static bool
in_effect(const struct node *n, const struct node_cut *cut)
{
	return !n->started || paxos_delivered_logged(n->group[0].replica) >= cut->slot;
}

bool
node_cut_here(struct node *n, struct node_group *g)
{
	uint64_t index = group_applied(g->state) + 1;
	const struct node_cut *cut = find_cut(n, g, index);

	if (!cut || !in_effect(n, cut) || g->write_set.reading)
		return false;
	group_cut(g->state, cut->epoch);
	forget_payload(n, g);
	g->write_set.waiting = false;
	g->cut_index = index;
	node_emit(n, &(struct node_output){.kind = NODE_OUT_CUT,
					   .group = g->number,
					   .slot = g->applied_slot + 1,
					   .index = index,
					   .change = cut->epoch});
	return true;
}

bool
node_cut_gone(const struct node *n, const struct node_group *g, uint64_t index,
	      const struct gtid *gtid)
{
	return gtid->gno != 0 &&
	       is_decided(n, &(struct node_cut){.group = g->number, .index = index, .gtid = *gtid});
}

/* ---- what survivors say ---- */

/* The entry of before the force that cannot be applied here. */
static bool
lacks_write_set(struct node *n, const struct node_group *g, struct node_lack *lack)
{
	const struct entry_submit *s = &g->entry.submit;
	struct entry_spread spread;

	if (!g->applying || !g->write_set.waiting || g->write_set.reading || g->write_set.lost ||
	    group_epoch(g->state) >= n->epoch || !group_may_cut(g->state))
		return false;
	must(entry_spread_decode(&spread, s->payload, s->payload_bytes));
	const struct node_payload *p = node_payload_find(n, g, s->incarnation, spread.offer);
	const struct node_payload_place *place = node_payload_place(n, g, g->payload_count + 1);

	lack->index = group_applied(g->state) + 1;
	return !(p && p->held == p->total) && !(place && place->link.lsn != 0);
}

/* The first one that was accepted and is not here, where it is of before the force. What had a
 * write set in front was applied by who had it. */
static bool
lacks_payload(struct node *n, const struct node_group *g, struct node_lack *lack)
{
	const struct node_payload_place *place = node_payload_place(n, g, g->payload_through + 1);

	if (!place || place->index == 0 || place->link.lsn != 0 || place->index > g->fork_index ||
	    place->index <= g->dropped_index || place->spread.hash_count > 0 ||
	    place->gtid.gno == 0)
		return false;
	const struct node_payload *p = node_payload_find(n, g, place->incarnation, place->offer);
	lack->index = place->index;
	lack->gtid = place->gtid;
	return !(p && p->held == p->total);
}

static void
propose(struct node *n, const struct node_cut *cut)
{
	uint8_t bytes[CUT_BYTES_MAX];
	struct writer w = writer_over(bytes, sizeof bytes);

	writer_u8(&w, DIRECTORY_CUT);
	write_one(cut, &w);
	must(!w.bad);
	node_group_submit(n, &n->group[0], bytes, (uint32_t)w.bytes);
}

/* `survivors` are those of this epoch, as one of them says. */
static void
heard(struct node *n, struct node_group *g, uint8_t node, const struct node_lack *said)
{
	struct node_cut cut = {
		.group = g->number, .index = said->index, .epoch = n->epoch, .gtid = said->gtid};

	g->lack[node] = said->index;
	g->lack_ns[node] = n->now_ns;
	if (!node_group_leads(n, &n->group[0]) || is_decided(n, &cut))
		return;
	for (uint8_t i = 0; i < NODE_NODES_MAX; i++)
		if ((said->survivors >> i & 1) &&
		    (g->lack[i] != said->index ||
		     n->now_ns - g->lack_ns[i] > n->config.session_dead_ns))
			return;
	propose(n, &cut);
}

void
node_cut_message(struct node *n, uint8_t node, const struct frame *frame, const uint8_t *data,
		 uint32_t bytes)
{
	struct node_group *g = node_group_by_number(n, frame->group);
	struct protocol_message m;

	if (!protocol_decode(&m, frame, data, bytes) || m.index == 0 || !(m.flags >> node & 1)) {
		n->dropped_undecodable++;
		return;
	}
	if (g && g->state)
		heard(n, g, node,
		      &(struct node_lack){.index = m.index, .survivors = m.flags, .gtid = m.gtid});
}

static void
say(struct node *n, struct node_group *g, const struct node_lack *lack)
{
	uint8_t leader = n->group[0].leader;

	if (leader == n->config.self)
		heard(n, g, leader, lack);
	else if (leader != PAXOS_NO_VOTER)
		node_move_say(n, leader, WIRE_CONTROL,
			      &(struct protocol_message){.kind = PROTOCOL_LACK,
							 .group = g->number,
							 .flags = lack->survivors,
							 .index = lack->index,
							 .gtid = lack->gtid});
}

void
node_cut(struct node *n)
{
	if (!(n->forced_voters >> n->config.self & 1) || n->log_failed || n->now_ns < n->cut_ns)
		return;
	n->cut_ns = n->now_ns + n->config.retry_ns;
	for (uint32_t i = 1; i < n->group_count; i++) {
		struct node_group *g = &n->group[i];
		struct node_lack lack = {.survivors = n->forced_voters};

		if (!node_group_loads(g) &&
		    (lacks_write_set(n, g, &lack) || lacks_payload(n, g, &lack)))
			say(n, g, &lack);
	}
}
