/*
 * State images, and what they make superfluous.
 *
 * A node that trims its log writes a round of images now and then: for each group its state
 * and what its replica has to remember, as records among all others, in slices, while the
 * groups go on working.
 *
 *     ROUND  0: BEGIN TAIL remember END   1: BEGIN piece .. TAIL payload .. remember END  ...
 *     ^ round_lsn                                                      whole_lsn ^
 *
 * An image is of the moment of its END: what is logged before that is not needed to replay
 * the group, what is logged behind it is replayed as ever. So the log may begin with ROUND;
 * where it begins earlier, ROUND and what belongs to it say nothing new. A round that a crash
 * has cut has no use: one that begins the log is thrown away when the next ROUND comes. So is
 * one behind which no USED comes first: files go as a whole, so the log may begin in front of a
 * round that was never used, since its process found that it differs, and ended. As nothing
 * is dropped before USED is on disk, one that has it follows. Nor is one of use whose open payloads
 * lie in front of where the log begins: they held it back, until a later round was used.
 *
 * A whole round that is on disk waits until every member has committed, in every group, all
 * that the image covers (DESIGN section 4, "Trimming"), and until a majority of the nodes has
 * computed the same up to there or beyond (compare.c): else a node whose memory rots would
 * throw away what it could be computed anew from. That is logged (USED), and behind that
 * what lies below goes. Only then does
 * the next one begin, image_bytes behind the last: the log holds between one and two times
 * that, and what members lag behind. Small records take whole blocks of a disk, so what it says
 * counts where that is more. Where images are as large as that, or larger, they are not all that
 * is written: half of a round's size comes between two. One comes at once where submissions wait
 * for room, and what had held the log back in front of the last one is gone. A round that waits
 * does not outlive its process: the next one cannot know whether that computed right.
 *
 * BEGIN, the pieces and TAIL are the image's parts; where they lie is kept, since a node that
 * lacks what was dropped asks for them: image_move.c. What it takes is in its own log:
 *
 *     TAKEN  part part part ...  LOAD
 *
 * among all other records, and is read back at LOAD, by a replay too. Until then it means
 * nothing; from then on the group has that state, and its replica is at that slot.
 *
 * A log that begins with an image that is not whole, cannot be read, or has no USED behind it, is
 * one whose records are missing from the begin: as behind any hole, the node learns anew what the
 * others have.
 */
#include "base/must.h"
#include "node/internal.h"

#define IMAGE_SLOTS       2048          /* of an index, looked at in a step */
#define IMAGE_PIECE_BYTES 8192          /* of a part: loaded in one step, too */
#define IMAGE_AHEAD_BYTES (1024 * 1024) /* logged and not on disk: no more then */
#define IMAGE_HEAD_BYTES  1             /* of a record: enum image_part */

enum image_part {
	PART_ROUND = 1,
	PART_BEGIN = 2,   /* founding */
	PART_PIECE = 3,   /* certify's */
	PART_TAIL = 4,    /* what the node knows of the group; of group 0: which groups there are */
	PART_PAYLOAD = 5, /* one that is received and not decided */
	PART_END = 6,
	PART_TAKEN = 7,  /* source, id, slot, how many parts */
	PART_OTHERS = 8, /* one of them, as its node has it */
	PART_LOAD = 9,
	PART_LOST = 10, /* the one that the log begins with was not whole */
	PART_KEYS = 11, /* some of those that group 0 lists */
	PART_USED = 12, /* the last round was found right: the log may begin with it */
};

/* A hash is in two pieces at most, 16 bytes each time, but for those that change while the
 * image is written; an outcome is of 128 bytes. */
uint32_t
node_image_parts_max(const struct node_config *c)
{
	uint64_t parts = 1024 + c->index_hashes_max / 64 +
			 (uint64_t)c->members_max * (2 + c->inflight_max / 32);

	return c->image_bytes == 0 ? 0 : (uint32_t)parts;
}

static struct writer
part_begin(struct node *n, enum image_part part)
{
	struct writer w = writer_over(n->scratch + FRAME_HEADER_BYTES, FRAME_BODY_BYTES_MAX);

	writer_u8(&w, (uint8_t)part);
	return w;
}

static struct history_link
part_end(struct node *n, uint32_t group, const struct writer *w)
{
	uint32_t bytes = FRAME_HEADER_BYTES + (uint32_t)w->bytes;

	must(!w->bad);
	node_log(n, n->scratch, bytes, NODE_RECORD_IMAGE, group);
	if (n->images.writing)
		n->images.bytes += bytes;
	return (struct history_link){.lsn = n->lsn_next, .bytes = bytes};
}

bool
node_image_note(const struct node *n, struct node_group *g, struct history_link link)
{
	struct node_image *coming = &g->coming;

	if (coming->count == node_image_parts_max(&n->config))
		return false;
	coming->part[coming->count++] = link;
	return true;
}

static void
begin_coming(const struct node *n, struct node_group *g, struct history_link link)
{
	g->coming.count = 0;
	g->coming.slot = 0;
	g->coming.id = link.lsn - link.bytes;
	(void)node_image_note(n, g, link);
}

/* ---- writing ---- */

static void
write_begin(struct node *n, struct node_group *g)
{
	struct writer w = part_begin(n, PART_BEGIN);

	node_directory_write(&g->founding, &w);
	begin_coming(n, g, part_end(n, g->number, &w));
	if (g->state)
		group_image_begin(g->state);
}

static void
write_configuration(struct writer *w, const struct paxos_configuration *c)
{
	writer_u64(w, c->number);
	writer_u64(w, c->slot);
	writer_u64(w, c->first);
	writer_u32(w, c->voters);
	writer_u32(w, c->horizon);
	writer_u8(w, c->leader);
	writer_u8(w, c->all_lead);
}

static void
write_tail(struct node *n, struct node_group *g)
{
	struct paxos_image image = paxos_image(g->replica);
	struct writer w = part_begin(n, PART_TAIL);

	must(image.slot == g->applied_slot);
	writer_u64(&w, image.slot);
	write_configuration(&w, &image.now);
	write_configuration(&w, &image.next);
	writer_u64(&w, g->payload_count);
	writer_u64(&w, g->last_view);
	writer_u64(&w, g->last_accepted);
	writer_u64(&w, g->conflicts);
	writer_u64(&w, g->certified);
	writer_u64(&w, g->voters_number);
	if (g->number == 0)
		node_directory_remember(n, &w); /* the last of it: see load_tail() */
	g->coming.slot = image.slot;
	if (!node_image_note(n, g, part_end(n, g->number, &w)))
		node_image_abandon(n);
}

static void
write_keys(struct node *n, struct node_group *g)
{
	uint32_t next = 0;

	while (next < n->directory.key_count) {
		struct writer w = part_begin(n, PART_KEYS);

		next = node_directory_remember_keys(n, next, &w);
		(void)node_image_note(n, g, part_end(n, g->number, &w)); /* else TAIL fails */
	}
}

/* All that a restart would have to know, in one step: it is one moment's. */
static void
write_rest(struct node *n, struct node_group *g)
{
	struct writer w;

	if (g->number == 0)
		write_keys(n, g);
	write_tail(n, g);
	for (uint32_t i = 0; i < n->payload_count && n->payloads_used > 0; i++) {
		const struct node_payload *p = &n->payload[i];

		if (p->group != g->number || !node_payload_open(n, p))
			continue;
		w = part_begin(n, PART_PAYLOAD);
		node_payload_write(p, &w);
		part_end(n, g->number, &w);
		if (p->held > 0 && node_payload_first_lsn(p) < n->images.low_lsn)
			n->images.low_lsn = node_payload_first_lsn(p);
	}
	g->image_index = g->state ? group_applied(g->state) : 0;
	if (g->state)
		node_compare_anew(g);
	node_group_paxos(n, g, &(struct paxos_input){.kind = PAXOS_IN_REMEMBER});
	w = part_begin(n, PART_END);
	part_end(n, g->number, &w);
}

/* A good moment for the end: no value is half applied, nor is a payload on disk whose entry
 * an earlier process had applied, and this one has not: where its chunks lie stands in a
 * record that would be dropped, and nowhere else. Those of an order that is void are
 * forgotten, see node_payload_forked(). */
static bool
may_close(const struct node *n, const struct node_group *g)
{
	if (g->applied_slot != g->delivered_slot || g->applying || g->apply_offset != 0)
		return false;
	for (uint32_t i = 0; g->state && i < node_payloads_max(&n->config); i++)
		if (g->payload[i].number > g->payload_count && g->payload[i].link.lsn != 0)
			return false;
	return true;
}

/* One slice. True: the group's image is whole. */
static bool
write_slice(struct node *n, struct node_group *g)
{
	struct writer w = part_begin(n, PART_PIECE);

	if (!g->state) {
		if (!may_close(n, g))
			return false;
		write_rest(n, g);
		return true;
	}
	if (group_image_ready(g->state) && may_close(n, g))
		group_image_close(g->state);
	w.capacity = IMAGE_HEAD_BYTES + IMAGE_PIECE_BYTES;
	enum group_image_step step = group_image_next(g->state, &w, IMAGE_SLOTS);
	bool noted = step != GROUP_IMAGE_BAD;
	if (noted && w.bytes > IMAGE_HEAD_BYTES)
		noted = node_image_note(n, g, part_end(n, g->number, &w));
	if (!noted) {
		node_image_abandon(n); /* and another time */
		return false;
	}
	if (step == GROUP_IMAGE_DONE)
		write_rest(n, g);
	return step == GROUP_IMAGE_DONE;
}

static void
round_begin(struct node *n)
{
	struct writer w = part_begin(n, PART_ROUND);

	n->images.writing = true;
	n->images.bytes = 0;
	n->images.used_lsn = 0;
	n->images.group = 0;
	n->images.round_lsn = n->lsn_next;
	n->images.round_disk = n->disk_bytes;
	n->images.low_lsn = n->lsn_next;
	part_end(n, 0, &w);
	node_force_remember(n);
	node_disks_remember(n);
	write_begin(n, &n->group[0]);
}

/* By their numbers: places change when a group ends. One that ended in the middle of its
 * image is over for a replay, too. */
static void
round_go_on(struct node *n)
{
	struct node_images *m = &n->images;
	struct node_group *g = node_group_by_number(n, m->group);

	if (g && (!write_slice(n, g) || !m->writing))
		return;
	const struct node_group *next = node_directory_next(n, m->group);
	if (next) {
		m->group = next->number;
		write_begin(n, node_group_by_number(n, m->group));
		return;
	}
	m->writing = false;
	m->whole_lsn = n->lsn_next;
}

void
node_image_abandon(struct node *n)
{
	struct node_images *m = &n->images;
	struct node_group *g = node_group_by_number(n, m->group);

	if (m->writing && g && g->state && !node_group_loads(g))
		group_image_forget(g->state);
	m->writing = false;
	m->whole_lsn = 0;
	m->used_lsn = 0;
	m->from_lsn = n->lsn_next;
	m->from_disk = n->disk_bytes;
}

/* ---- what is taken ---- */

void
node_image_log_taken(struct node *n, struct node_group *g, const struct node_taking *t)
{
	struct writer w = part_begin(n, PART_TAKEN);

	writer_u8(&w, t->source);
	writer_u64(&w, g->coming.id);
	writer_u64(&w, g->coming.slot);
	writer_u32(&w, t->count);
	part_end(n, g->number, &w);
}

void
node_image_log_others(struct node *n, struct node_group *g, const uint8_t *part, uint32_t bytes)
{
	struct writer w = part_begin(n, PART_OTHERS);

	writer_raw(&w, part, bytes);
	(void)node_image_note(n, g, part_end(n, g->number, &w));
}

void
node_image_log_load(struct node *n, struct node_group *g)
{
	struct writer w = part_begin(n, PART_LOAD);

	part_end(n, g->number, &w);
	node_image_load(n, g);
}

bool
node_image_is_others(const uint8_t *body)
{
	return body[0] == PART_OTHERS;
}

/* ---- dropping ---- */

/* Has every member on its own disk what the image covers? One that has left, where none is
 * left: somebody must have it. */
static bool
is_committed(const struct node_group *g)
{
	uint32_t alive = 0, have = 0;

	if (!g->state || g->image_index == 0)
		return true;
	for (uint32_t i = 0; i < group_member_slots(g->state); i++) {
		const struct group_member *m = group_member_at(g->state, i);

		if (!m)
			continue;
		alive += group_member_alive(m);
		have += m->committed >= g->image_index;
		if (group_member_alive(m) && m->committed < g->image_index)
			return false;
	}
	return alive > 0 || have > 0;
}

/* Did a majority compute what the image is of? */
static bool
is_agreed(const struct node_group *g)
{
	return !g->state || g->image_index <= g->agreed_index;
}

/* Others may have it from now on, instead of the one before. */
static void
put_to_use(struct node_group *g)
{
	struct node_image before = g->whole;

	g->whole = g->coming;
	g->coming = before;
	g->coming.count = 0;
	g->coming.id = 0;
}

/* One that is being given away is not replaced meanwhile. */
static bool
is_given(const struct node *n)
{
	const struct node_images *m = &n->images;

	return m->given_ns != 0 && n->now_ns - m->given_ns < n->config.session_dead_ns;
}

enum node_round
node_image_wait(const struct node *n, const struct node_group **group)
{
	*group = NULL;
	if (is_given(n))
		return NODE_ROUND_GIVEN;
	for (uint32_t i = 0; i < n->group_count; i++) {
		*group = &n->group[i];
		if (!is_committed(*group))
			return NODE_ROUND_MEMBERS;
	}
	for (uint32_t i = 0; i < n->group_count; i++) {
		*group = &n->group[i];
		if (!is_agreed(*group))
			return NODE_ROUND_NODES;
	}
	*group = NULL;
	return NODE_ROUND_ON_DISK;
}

/* Now and then, where nobody said so. A node that is alone has said it itself. */
static enum node_round
ask_nodes(struct node *n)
{
	const struct node_group *group;

	if (n->now_ns - n->images.compared_ns < n->config.gc_ns)
		return NODE_ROUND_NODES;
	for (uint32_t i = 0; i < n->group_count; i++)
		if (!is_agreed(&n->group[i]))
			node_compare_ask(n, &n->group[i]);
	enum node_round round = node_image_wait(n, &group);
	if (round == NODE_ROUND_NODES)
		n->images.compared_ns = n->now_ns;
	return round;
}

static void
log_used(struct node *n)
{
	struct writer w = part_begin(n, PART_USED);

	part_end(n, 0, &w);
	n->images.used_lsn = n->lsn_next;
	n->images.confirmed = true;
}

/* Who has others to ask takes it for lost (hole_at_start()); alone it is all that there is. */
void
node_image_start(struct node *n)
{
	if (node_image_is_unconfirmed(n))
		log_used(n);
}

static void
drop(struct node *n)
{
	struct node_images *m = &n->images;
	const struct node_group *group;
	enum node_round round = node_image_wait(n, &group);

	if (round == NODE_ROUND_NODES)
		round = ask_nodes(n);
	if (round != NODE_ROUND_ON_DISK)
		return;
	if (m->used_lsn == 0)
		log_used(n);
	if (m->used_lsn > n->lsn_durable)
		return;
	for (uint32_t i = 0; i < n->group_count; i++) {
		struct node_group *g = &n->group[i];

		if (g->number > m->group)
			continue; /* it was founded behind the round */
		put_to_use(g);
		g->dropped_index = g->image_index;
		if (g->state)
			node_payload_dropped(n, g);
	}
	m->used_lsn = 0;
	m->used++;
	m->used_ns = n->now_ns;
	m->whole_lsn = 0;
	m->from_lsn = m->round_lsn;
	m->from_disk = m->round_disk;
	if (m->low_lsn > n->lsn_first) {
		n->lsn_first = m->low_lsn;
		node_emit(n, &(struct node_output){.kind = NODE_OUT_DROP, .lsn = n->lsn_first});
	}
}

static bool
any_loads(const struct node *n)
{
	for (uint32_t i = 0; i < n->group_count; i++)
		if (node_group_loads(&n->group[i]))
			return true;
	return false;
}

/* A payload that was being received has held the log back in front of the last round, and would
 * not any more. */
static bool
is_held_back(struct node *n)
{
	if (n->images.from_lsn <= n->lsn_first)
		return false;
	for (uint32_t i = 0; i < n->payload_count && n->payloads_used > 0; i++) {
		const struct node_payload *p = &n->payload[i];

		if (node_payload_open(n, p) && p->held > 0 &&
		    node_payload_first_lsn(p) < n->images.from_lsn)
			return false;
	}
	return true;
}

/* Where submissions wait for room the log may not grow any more, and would never be due. */
static bool
is_due(struct node *n)
{
	const struct node_images *m = &n->images;
	uint64_t grown = n->lsn_next - m->from_lsn;

	if (node_is_narrow(n) && is_held_back(n))
		return true;
	if (n->disk_bytes > m->from_disk && n->disk_bytes - m->from_disk > grown)
		grown = n->disk_bytes - m->from_disk;
	return grown >= n->config.image_bytes && grown >= m->bytes + m->bytes / 2;
}

/* What every step ends with. True: there is more to do, soon. */
bool
node_image(struct node *n)
{
	struct node_images *m = &n->images;

	if (n->config.image_bytes == 0 || n->log_failed)
		return false;
	bool more = node_move_image(n);
	if (n->taking.active || any_loads(n))
		return more;
	if (m->whole_lsn != 0) {
		if (m->whole_lsn <= n->lsn_durable)
			drop(n);
		return more;
	}
	if (!m->writing && !is_due(n))
		return more;
	if (n->lsn_next - n->lsn_durable > IMAGE_AHEAD_BYTES)
		return more; /* until more is on disk */
	uint64_t before = n->lsn_next;
	if (!m->writing)
		round_begin(n);
	else
		round_go_on(n);
	/* else it waits for what is applied */
	return more || (m->writing && n->lsn_next != before);
}

/* Pieces are to be taken before more is applied, or the end is being written. */
bool
node_image_holds(const struct node *n, const struct node_group *g)
{
	return n->images.writing && g->state && !node_group_loads(g) &&
	       (group_image_closing(g->state) || group_image_full(g->state));
}

/* ---- loading ---- */

/* What TAIL says, but for what is of the node and not of a group. */
struct image_tail {
	struct paxos_image image;
	uint64_t payload_count, last_view, last_accepted, conflicts, certified, voters_number;
};

static struct paxos_configuration
read_configuration(struct reader *r)
{
	struct paxos_configuration c = {.number = reader_u64(r)};

	c.slot = reader_u64(r);
	c.first = reader_u64(r);
	c.voters = reader_u32(r);
	c.horizon = reader_u32(r);
	c.leader = reader_u8(r);
	c.all_lead = reader_u8(r) != 0;
	return c;
}

/* False: it cannot be. What is of the group is set only when all of it can. */
static bool
load_tail(struct node *n, struct node_group *g, struct reader *r, struct paxos_image *image)
{
	struct image_tail t = {.image.slot = reader_u64(r)};

	t.image.now = read_configuration(r);
	t.image.next = read_configuration(r);
	t.payload_count = reader_u64(r);
	t.last_view = reader_u64(r);
	t.last_accepted = reader_u64(r);
	t.conflicts = reader_u64(r);
	t.certified = reader_u64(r);
	t.voters_number = reader_u64(r);
	if (r->bad || !paxos_image_is_sound(g->replica, &t.image))
		return false;
	if (g->number == 0 ? !node_directory_recall(n, r) : !reader_done(r))
		return false;
	g->payload_count = t.payload_count;
	g->last_view = t.last_view;
	g->last_accepted = t.last_accepted;
	g->conflicts = t.conflicts;
	g->certified = t.certified;
	/* A force may have come behind the image. */
	if (g->voters_number < t.voters_number)
		g->voters_number = t.voters_number;
	*image = t.image;
	return true;
}

static bool
load_keys(struct node *n, const struct node_group *g, struct reader *r)
{
	return g->number == 0 && node_directory_recall_keys(n, r);
}

/* False: it is another group's. */
static bool
load_begin(struct node *n, const struct node_group *g, struct reader *r)
{
	struct node_founding f;

	if (g->number == 0)
		n->directory.coming_count = 0;
	return node_directory_read(&f, r) && reader_done(r) &&
	       memcmp(f.uuid, g->uuid, sizeof f.uuid) == 0;
}

static bool
load_piece(struct node_group *g, struct reader *r)
{
	size_t bytes = r->bytes;

	return g->state && group_load(g->state, reader_take(r, bytes), bytes) == GROUP_IMAGE_MORE;
}

bool
node_image_take(struct node *n, struct node_group *g, const uint8_t *body, uint32_t bytes)
{
	struct reader r = reader_over(body, bytes);
	enum image_part part = (enum image_part)reader_u8(&r);
	struct paxos_image image;

	must(g->load == LOAD_TAKEN);
	if (part == PART_BEGIN)
		return load_begin(n, g, &r);
	if (part == PART_PIECE)
		return load_piece(g, &r);
	if (part == PART_KEYS)
		return load_keys(n, g, &r);
	if (part != PART_TAIL || !load_tail(n, g, &r, &image) || image.slot != g->coming.slot)
		return false;
	node_group_loaded(n, g, image.slot);
	n->images.taken++;
	put_to_use(g);
	g->whole.id = g->whole.part[0].lsn; /* others ask this node by it */
	node_group_paxos(n, g, &(struct paxos_input){.kind = PAXOS_IN_IMAGE, .image = &image});
	node_directory_voice(n, g);
	if (g->number == 0) {
		n->voters = paxos_configuration(g->replica)->voters;
		n->voters_changed = n->started;
	}
	return true;
}

/* ---- the image that a log begins with ---- */

static void
load_end(struct node *n, struct node_group *g)
{
	g->load = LOAD_NONE;
	put_to_use(g);
	node_group_loaded(n, g, g->whole.slot);
	if (g->number == 0)
		n->voters = paxos_configuration(g->replica)->voters;
}

bool
node_image_is_lost(const struct node *n)
{
	for (uint32_t i = 0; i < n->group_count; i++)
		if (n->group[i].load != LOAD_NONE && n->group[i].load != LOAD_TAKEN)
			return true;
	return false;
}

/* Nothing is dropped before USED is on disk, so the disk has lied. */
bool
node_image_is_unconfirmed(const struct node *n)
{
	return n->lsn_first > 0 && n->images.met && !n->images.confirmed && !node_image_is_lost(n);
}

/* What follows begins with nothing. A log that was trimmed behind that may begin in front of
 * a hole, and go on with a round: so it is the record that says it. Whatever a replay has by then:
 * one that begins behind the hole finds what was void whole, and another one later, which begins
 * behind that, would lack what the first did not have to learn again. */
static void
lost(struct node *n)
{
	n->images.met = true;
	n->images.confirmed = true;
	node_reset(n);
}

void
node_image_lose(struct node *n)
{
	struct writer w = part_begin(n, PART_LOST);

	lost(n);
	part_end(n, 0, &w);
}

/* Whatever a replay has, it begins with the next round. */
void
node_image_await(struct node *n)
{
	n->images.met = true;
	n->images.confirmed = false;
	node_reset(n);
	n->group[0].load = LOAD_WANTED;
}

/* A round that begins the log, and the one before it was not whole, or never used: all anew. */
static void
load_round(struct node *n)
{
	bool whole = n->images.met && n->images.confirmed && !any_loads(n);

	n->taking.active = false;
	if (n->lsn_first > 0 && !whole)
		node_image_await(n);
}

/* False: it is not what belongs there. */
static bool
load_part(struct node *n, struct node_group *g, enum image_part part, struct reader *r)
{
	struct paxos_image image;
	struct node_founding f;

	switch (part) {
	case PART_BEGIN:
		if (!node_directory_read(&f, r))
			return false;
		n->directory.coming_count = 0;
		node_group_load(n, g, &f);
		return true;
	case PART_KEYS:
		return g->load == LOAD_PIECES && load_keys(n, g, r);
	case PART_PIECE:
		return g->load == LOAD_PIECES && load_piece(g, r);
	case PART_TAIL:
		if (g->load != LOAD_PIECES ||
		    (g->state && group_load_check(g->state, UINT32_MAX) != GROUP_IMAGE_DONE) ||
		    !load_tail(n, g, r, &image))
			return false;
		g->applied_slot = image.slot;
		g->delivered_slot = image.slot;
		g->coming.slot = image.slot;
		g->load = LOAD_TAIL;
		return true;
	case PART_PAYLOAD:
		return g->load == LOAD_TAIL && node_payload_read(n, g, r);
	case PART_END:
		/* What was decided and held meanwhile it delivers at once. */
		if (g->load != LOAD_TAIL || paxos_delivered(g->replica) < g->applied_slot)
			return false;
		load_end(n, g);
		return true;
	default:
		return true;
	}
}

/* Of a log that begins with it. */
static void
load_record(struct node *n, struct node_group *g, enum image_part part, struct reader *r,
	    struct history_link link)
{
	if (!load_part(n, g, part, r))
		g->load = LOAD_WANTED; /* until another round comes */
	else if (part == PART_BEGIN)
		begin_coming(n, g, link);
	else if (part == PART_PIECE || part == PART_TAIL || part == PART_KEYS)
		(void)node_image_note(n, g, link);
}

void
node_image_record(struct node *n, const struct frame *frame, const uint8_t *data)
{
	struct reader r =
		reader_over(data + FRAME_HEADER_BYTES, frame->frame_bytes - FRAME_HEADER_BYTES);
	enum image_part part = (enum image_part)reader_u8(&r);
	struct history_link link = {.lsn = n->lsn_next, .bytes = frame->frame_bytes};

	if (part == PART_ROUND)
		load_round(n);
	if (part == PART_LOST)
		lost(n);
	if (part == PART_USED && n->images.met && !node_image_is_lost(n))
		n->images.confirmed = true;
	struct node_group *g = node_group_by_number(n, frame->group);
	if (!g)
		return;
	if (g->load == LOAD_NONE || g->load == LOAD_TAKEN) {
		if (part == PART_TAKEN)
			node_image_taken(n, g, &r);
		else if (part == PART_OTHERS)
			node_image_taken_part(n, g, frame->frame_bytes);
		else if (part == PART_LOAD)
			node_image_load(n, g);
		return; /* the rest is replayed from an earlier one, or from the begin */
	}
	load_record(n, g, part, &r, link);
}
