/*
 * Disks of the other nodes: how far each was seen, and whether it still is that one.
 *
 * A log directory that is put back as it once was, or made anew under its node's id, has
 * forgotten promises, and nothing in it says so. The others know. So the first thing
 * that two nodes say on a session is DISK: its id, the last process that its log knew of
 * when this one began, where the log ended then, and what is durable by now.
 *
 *     A  DISK  -------------------------->  B  checks it, logs SHOWN
 *        TAKEN  <--------------------------    when that is on disk
 *
 * There is a link when both have taken the other's. So no vote of a process is counted
 * that this node would not know of after a restart; and DISK leaves when START is on
 * disk, so that a process that was heard of is in its own log. An image of an earlier
 * life does not know of the later one, however little that wrote. An image of the same
 * life is told by its end, as far as it was said, and so is a disk that lost what it had
 * acknowledged.
 *
 * Who is refused ends (NODE_OUT_OUTDATED). Begun with PAXOS_TAIL_MISSING it says REPAIRS:
 * it votes on nothing before all others told it what they know, and is taken as it is.
 *
 * A node that is replaced may come back with a new disk, as a new voter. Whoever has
 * delivered the configuration that dropped it, in every group, has no use for its old
 * votes: what was seen before is forgotten, and only that. A link that lives through a
 * change is seen again in it: else the image of a disk that was dropped and added again
 * would pass for a new one. One that was away meanwhile is told by the new disk itself that
 * it was dropped. It says so when it has delivered that in every group, so it answers
 * for all those slots with what was decided. Until then it says which change its file names
 * (votes_from, behind which this disk may vote): one that names none later than what was seen of
 * the disk before would take itself for that one, and is refused.
 *
 * A force takes every survivor as it is. What one had lost by then nobody waits for, and what was
 * seen of its disk before is forgotten: an image from before FORCED is of another epoch. Else
 * two that had lost theirs would both be told to repair by a third, and wait for each other.
 *
 * A process number alone tells no disk: where a log is made anew it comes from the clock,
 * which may give the one of the process before.
 *
 * A position counts without the records SHOWN at the log's end: else two idle nodes would
 * move each other on for ever. A disk of zeros is a log in memory, which always begins
 * in doubt.
 */
#include "base/must.h"
#include "node/internal.h"

#define SHOWN_BYTES 44
#define SAY_FACTOR  10 /* of gc_ns */

static const uint8_t in_memory[NODE_DISK_BYTES];

/* What is durable, but for records of this file. */
static uint64_t
position(const struct node *n)
{
	return n->matter_lsn < n->lsn_durable ? n->matter_lsn : n->lsn_durable;
}

/* Does no vote that this node cast before it was dropped last count here any more? The change
 * that is not in force yet may be a later one, and wait for this very node: 1 alone votes, 0
 * is to vote again, and 1 starts anew, with the change in its log. It can lead on only when 0
 * promises too, and 0 has a new disk. */
static bool
is_behind(const struct node *n, uint8_t node)
{
	if (n->dropped[node] == 0)
		return false;
	for (uint32_t i = 0; i < n->group_count; i++) {
		const struct node_group *g = &n->group[i];
		bool votes = paxos_voters(g->replica) >> node & 1;

		if (paxos_configuration(g->replica)->first > paxos_delivered(g->replica) + 1 &&
		    votes)
			return false;
		if (i > 0 && g->voters_number < n->dropped[node])
			return false;
	}
	return true;
}

static void
say(struct node *n, int session, const struct protocol_message *what, uint64_t after_lsn)
{
	struct writer w = writer_over(n->scratch, FRAME_BYTES_MAX);
	struct protocol_message m = *what;

	m.kind = PROTOCOL_DISK;
	m.incarnation = n->process;
	m.flags |= n->repairs ? PROTOCOL_DISK_REPAIRS : 0;
	m.previous = n->process_before;
	m.sequence = position(n);
	m.mark = n->config.votes_from;
	m.own = is_behind(n, n->config.self) ? n->dropped[n->config.self] : 0;
	memcpy(m.uuid, n->config.disk, sizeof m.uuid);
	uint32_t bytes = protocol_encode(&m, n->config.epoch, &w);
	must(bytes > 0);
	/* No room: the session ends as silent ones do, or says it again. */
	(void)wire_send(n->wire, session, WIRE_CONTROL,
			&(struct wire_slice){.data = n->scratch, .bytes = bytes}, 1, after_lsn);
}

static void
log_shown(struct node *n, uint8_t node)
{
	const struct node_shown *shown = &n->shown[node];
	struct writer w = writer_over(n->scratch + FRAME_HEADER_BYTES, SHOWN_BYTES);

	if (n->log_failed)
		return;
	writer_u32(&w, node);
	writer_raw(&w, shown->disk, NODE_DISK_BYTES);
	writer_u64(&w, shown->process);
	writer_u64(&w, shown->lsn);
	writer_u64(&w, shown->number);
	must(!w.bad && w.bytes == SHOWN_BYTES);
	node_log(n, n->scratch, FRAME_HEADER_BYTES + SHOWN_BYTES, NODE_RECORD_SHOWN, 0);
}

/* For a log that begins here. */
void
node_disks_remember(struct node *n)
{
	for (uint8_t i = 0; i < NODE_NODES_MAX; i++)
		if (n->shown[i].process != 0)
			log_shown(n, i);
}

void
node_disks_record(struct node *n, const struct frame *frame, const uint8_t *data)
{
	struct reader r =
		reader_over(data + FRAME_HEADER_BYTES, frame->frame_bytes - FRAME_HEADER_BYTES);
	uint32_t node = reader_u32(&r);
	struct node_shown shown;

	reader_raw(&r, shown.disk, NODE_DISK_BYTES);
	shown.process = reader_u64(&r);
	shown.lsn = reader_u64(&r);
	shown.number = reader_u64(&r);
	must(reader_done(&r));
	if (node < NODE_NODES_MAX)
		n->shown[node] = shown;
}

void
node_disks_opened(struct node *n, int session, uint8_t node)
{
	struct node_session *s = &n->session[session];

	s->stage = SESSION_DISK;
	s->node = node;
	s->disk_right = false;
	s->disk_taken = false;
	say(n, session, &(struct protocol_message){.index = n->log_end}, n->start_lsn);
}

static bool
is_right(const struct node *n, uint8_t node, const struct protocol_message *m)
{
	const struct node_shown *shown = &n->shown[node];
	bool same = memcmp(m->uuid, shown->disk, sizeof shown->disk) == 0;
	bool dropped = n->dropped[node] > shown->number && is_behind(n, node);

	if (memcmp(m->uuid, in_memory, sizeof in_memory) == 0 || shown->process == 0 ||
	    (m->flags & PROTOCOL_DISK_REPAIRS) != 0)
		return true;
	if (m->own > shown->number || (dropped && (same || m->mark > shown->number)))
		return true;
	if (!same)
		return false;
	return shown->process == m->incarnation ||
	       (m->previous >= shown->process && m->index >= shown->lsn);
}

static void
take(struct node *n, int session, const struct protocol_message *m)
{
	struct node_session *s = &n->session[session];
	struct node_shown *shown = &n->shown[s->node];
	uint64_t number = paxos_configuration(n->group[0].replica)->number;

	s->disk_right = true;
	if (!(n->voters >> s->node & 1))
		number = 0;
	if (memcmp(m->uuid, in_memory, sizeof in_memory) != 0 &&
	    (shown->process != m->incarnation ||
	     memcmp(m->uuid, shown->disk, sizeof shown->disk) != 0 || shown->lsn < m->sequence ||
	     shown->number < number)) {
		shown->number = number;
		shown->process = m->incarnation;
		shown->lsn = m->sequence; /* what repairs has less than it once had */
		memcpy(shown->disk, m->uuid, sizeof shown->disk);
		log_shown(n, s->node);
	}
	say(n, session,
	    &(struct protocol_message){.flags = PROTOCOL_DISK_TAKEN, .index = n->log_end},
	    n->log_failed ? 0 : n->lsn_next);
}

/* A later word: how far it is by now. */
static void
follow(struct node *n, uint8_t node, const struct protocol_message *m)
{
	struct node_shown *shown = &n->shown[node];

	if (m->incarnation != shown->process || m->sequence <= shown->lsn)
		return;
	shown->lsn = m->sequence;
	log_shown(n, node);
}

/* Another node remembers more of this one's disk than is there. */
static void
refused(struct node *n, uint8_t node, const struct protocol_message *m)
{
	n->ended = true;
	node_emit(n,
		  &(struct node_output){.kind = NODE_OUT_OUTDATED, .index = node, .lsn = m->index});
}

void
node_disks_message(struct node *n, int session, const struct frame *frame, const uint8_t *data,
		   uint32_t bytes)
{
	struct node_session *s = &n->session[session];
	struct protocol_message m;

	if (!protocol_decode(&m, frame, data, bytes)) {
		n->dropped_undecodable++;
		return;
	}
	if ((m.flags & PROTOCOL_DISK_REFUSED) != 0) {
		if (s->stage == SESSION_DISK)
			refused(n, s->node, &m);
		return;
	}
	if (!s->disk_right && !is_right(n, s->node, &m)) {
		n->outdated |= 1u << s->node;
		say(n, session,
		    &(struct protocol_message){.flags = PROTOCOL_DISK_REFUSED,
					       .index = n->shown[s->node].lsn},
		    0);
		return;
	}
	if (!s->disk_right)
		take(n, session, &m);
	else
		follow(n, s->node, &m);
	s->disk_taken = s->disk_taken || (m.flags & PROTOCOL_DISK_TAKEN) != 0;
	if (s->stage != SESSION_DISK || !s->disk_taken)
		return;
	n->outdated &= ~(1u << s->node);
	s->stage = SESSION_NODE;
	n->session_of[s->node] = session;
	node_link_changed(n, s->node, true);
}

/* Group 0 delivers a change of the voters. Who came into the appliance behind others does not know
 * whom its first one dropped: all whom it does not name. Schedule: node 0 joins, sees the disk of
 * 6, which was dropped as it was, and turns away the next one for good. */
void
node_disks_voters(struct node *n)
{
	const struct paxos_configuration *c = paxos_configuration(n->group[0].replica);
	uint32_t before = n->voters != 0 ? n->voters : ~(1u << n->config.self);
	uint32_t gone = before & ~c->voters;

	n->voters = c->voters;
	n->voters_changed = true;
	for (uint8_t i = 0; i < NODE_NODES_MAX; i++)
		if (gone >> i & 1)
			n->dropped[i] = c->number;
}

/* And has delivered it. */
static void
see_again(struct node *n)
{
	uint64_t number = paxos_configuration(n->group[0].replica)->number;

	n->voters_changed = false;
	node_peers_look(n);
	for (uint32_t i = 0; i < n->session_count; i++) {
		const struct node_session *s = &n->session[i];
		bool seen = (s->stage == SESSION_DISK && s->disk_right) || s->stage == SESSION_NODE;

		if (!seen || n->shown[s->node].process == 0 || !(n->voters >> s->node & 1))
			continue;
		n->shown[s->node].number = number;
		log_shown(n, s->node);
	}
}

/* Now and then, while it moves. Answers when it wants to be asked again. */
uint64_t
node_disks_say(struct node *n)
{
	uint64_t now = position(n);

	if (n->voters_changed)
		see_again(n);
	if (now == n->disk_said || memcmp(n->config.disk, in_memory, sizeof in_memory) == 0)
		return UINT64_MAX;
	if (n->now_ns < n->disk_say_ns)
		return n->disk_say_ns;
	n->disk_said = now;
	n->disk_say_ns = n->now_ns + SAY_FACTOR * n->config.gc_ns;
	for (uint32_t i = 0; i < n->session_count; i++)
		if (n->session[i].stage == SESSION_NODE)
			say(n, (int)i, &(struct protocol_message){.index = n->log_end}, 0);
	return UINT64_MAX;
}
