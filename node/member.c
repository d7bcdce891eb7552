#include "node/member_state.h"

#include "base/must.h"
#include "node/arena.h"

#define ATTACH_DOUBLINGS_MAX 5 /* of retry_ns */

/* No more than the group decides: behind its bound a submission is void, and nobody
 * says so. */
static uint32_t
undecided_max_of(const struct member_config *c)
{
	return c->inflight_max < GROUP_INFLIGHT_MAX ? c->inflight_max : GROUP_INFLIGHT_MAX;
}

static uint32_t
open_max_of(const struct member_config *c)
{
	uint32_t n = 16;

	/* Twice what may be undecided: the others are on their way into the binlog. */
	while (n < 2 * undecided_max_of(c))
		n *= 2;
	return n;
}

static struct wire_config
wire_config_of(const struct member_config *c)
{
	struct wire_config w = {
		.sessions_max = MEMBER_SESSIONS_MAX,
		.datagram_bytes_max = c->datagram_bytes_max,
		.message_bytes_max = c->stream_bytes / 2 < WIRE_MESSAGE_BYTES_MAX
					     ? c->stream_bytes / 2
					     : WIRE_MESSAGE_BYTES_MAX,
		.keepalive_ns = c->session_dead_ns / 5,
		.dead_after_ns = c->session_dead_ns,
		.connect_retry_ns = c->retry_ns,
		.self = {.kind = WIRE_MEMBER, .version = PROTOCOL_VERSION},
	};
	for (uint32_t i = 0; i < WIRE_STREAMS; i++) {
		w.stream_send_bytes[i] = c->stream_bytes;
		w.stream_receive_bytes[i] = c->stream_bytes;
	}
	w.crypto = c->crypto;
	w.rekey_ns = c->rekey_ns;
	w.certificates = c->certificates;
	memcpy(w.secret, c->secret, sizeof w.secret);
	memcpy(w.psk, c->psk, sizeof w.psk);
	memcpy(w.self.uuid, c->server_uuid, WIRE_UUID_BYTES);
	memcpy(w.self.epoch, c->epoch, EPOCH_BYTES);
	return w;
}

static struct pool_config
pool_config_of(const struct member_config *c)
{
	return (struct pool_config){
		.object_count = c->submission_bytes / c->transaction_bytes_max,
		.object_bytes = c->transaction_bytes_max,
	};
}

static struct gtid_limits
gtid_limits_of(const struct member_config *c)
{
	return (struct gtid_limits){.sources_max = 256, .intervals_max = c->gtid_intervals_max};
}

static struct member *
member_lay_out(struct arena *a, const struct member_config *c)
{
	struct wire_config w = wire_config_of(c);
	struct pool_config p = pool_config_of(c);
	struct gtid_limits g = gtid_limits_of(c);
	uint32_t open_max = open_max_of(c);
	struct member *m = arena_take(a, sizeof *m);
	void *wire = arena_take(a, wire_size(&w));
	void *pool = arena_take(a, pool_size(&p));
	void *gtids = arena_take(a, gtid_set_size(g));
	void *open = arena_take(a, open_max * sizeof(struct member_open));
	void *ahead = arena_take(a, undecided_max_of(c) * sizeof(struct member_open));
	void *table =
		arena_take(a, snapshot_table_size(c->snapshot_entries_max, undecided_max_of(c)));
	void *scratch = arena_take(a, FRAME_BYTES_MAX);
	void *held = arena_take(a, FRAME_BYTES_MAX);
	void *join = arena_take(a, ENTRY_BYTES_MAX);

	if (!m)
		return NULL;
	/* The rest is written before it is read, or cleared by whose it is. */
	memset(m, 0, sizeof *m);
	memset(open, 0, open_max * sizeof(struct member_open));
	memset(ahead, 0, undecided_max_of(c) * sizeof(struct member_open));
	m->config = *c;
	m->wire = wire;
	m->pool = pool_init(pool, &p);
	m->executed = gtid_set_init(gtids, g);
	m->open = open;
	m->ahead = ahead;
	m->open_max = open_max;
	snapshot_table_init(&m->snapshots, table, c->snapshot_entries_max, undecided_max_of(c));
	m->scratch = scratch;
	m->held = held;
	m->join = join;
	return m;
}

size_t
member_size(const struct member_config *config)
{
	struct arena a = {0};
	member_lay_out(&a, config);
	return a.used;
}

struct member *
member_init(void *memory, const struct member_config *config)
{
	must(memory);
	must(config->node_count > 0 && config->node_count <= NODE_NODES_MAX);
	must(config->inflight_max > 0);
	must(config->transaction_bytes_max <= ENTRY_BYTES_MAX);
	must(config->snapshot_entries_max >= 4 * open_max_of(config));

	struct arena a = {.memory = memory};
	struct member *m = member_lay_out(&a, config);
	for (uint32_t i = 0; i < m->open_max; i++)
		m->open[i].handle = MEMBER_NO_HANDLE;
	for (uint32_t i = 0; i < m->snapshots.open_max; i++)
		m->ahead[i].handle = MEMBER_NO_HANDLE;
	m->open_low = 1;
	m->session = MEMBER_NO_SESSION;
	for (uint32_t i = 0; i < NODE_NODES_MAX; i++)
		m->watch[i].session = MEMBER_NO_SESSION;
	for (uint8_t i = 0; i < NODE_NODES_MAX; i++)
		m->number[i] = i;
	return m;
}

struct snapshot_table *
member_snapshots(struct member *m)
{
	return &m->snapshots;
}

const struct member_stats *
member_stats(const struct member *m)
{
	return &m->stats;
}

void
member_emit(struct member *m, const struct member_output *output)
{
	must(m->sink);
	m->sink->emit(m->sink->context, output);
}

static bool
say_by(struct member *m, int session, const uint8_t *epoch, enum wire_stream stream,
       const struct protocol_message *message)
{
	struct writer w = writer_over(m->scratch, FRAME_BYTES_MAX);
	uint32_t bytes = protocol_encode(message, epoch, &w);
	struct wire_slice slice = {.data = m->scratch, .bytes = bytes};

	must(bytes > 0);
	return wire_send(m->wire, session, stream, &slice, 1, 0);
}

bool
member_say(struct member *m, enum wire_stream stream, const struct protocol_message *message)
{
	if (m->session == MEMBER_NO_SESSION || !m->opened)
		return false;
	return say_by(m, m->session, m->epoch, stream, message);
}

/* ---- the session ---- */

static void
detached(struct member *m)
{
	if (m->stage >= MEMBER_ATTACHED)
		member_emit(m, &(struct member_output){.kind = MEMBER_OUT_LINK});
	if (m->stage > MEMBER_CONNECTING)
		m->stage = MEMBER_CONNECTING;
	member_open_detached(m);
	member_feed_detached(m);
}

int
member_connect(struct member *m, uint8_t node)
{
	struct wire_identity who = {.kind = WIRE_ANY};

	memcpy(who.key, m->config.node_key[node], sizeof who.key);
	int session = wire_connect(m->wire, &m->config.endpoint[node], &who, m->now_ns);
	must(session >= 0);
	return session;
}

/* Asks this node who leads, by whichever session it is reached. */
void
member_say_open(struct member *m, int session, const uint8_t *epoch)
{
	struct protocol_message open = {.kind = PROTOCOL_OPEN, .group = m->group};

	memcpy(open.uuid, m->group_uuid, UUID_BYTES);
	say_by(m, session, epoch, WIRE_CONTROL, &open);
}

void
member_reconnect(struct member *m, uint8_t node)
{
	if (m->session != MEMBER_NO_SESSION)
		wire_close(m->wire, m->session);
	m->session = MEMBER_NO_SESSION;
	m->stats.failovers += m->stage >= MEMBER_ATTACHED;
	detached(m);
	m->target = node;
	m->hint = node;
	m->ballot = 0;
	memcpy(m->epoch, m->watch[node].epoch, EPOCH_BYTES);
	m->session = member_watch_take(m, node, &m->opened);
	if (m->session == MEMBER_NO_SESSION)
		m->session = member_connect(m, node);
	if (m->opened)
		member_say_open(m, m->session, m->epoch);
	member_watch(m);
	m->attach_doublings = 0;
	m->retry_ns = m->now_ns + 4 * m->config.retry_ns;
}

/* Who leads is named by number, which places in the list need not be. */
void
member_number(struct member *m, uint8_t place, uint32_t number)
{
	must(place < m->config.node_count);
	if (number >= NODE_NODES_MAX)
		return;
	for (uint8_t i = 0; i < NODE_NODES_MAX; i++)
		if (m->number[i] == number)
			m->number[i] = m->number[place];
	m->number[place] = (uint8_t)number;
}

/* This node says so itself. */
void
member_numbered(struct member *m, uint8_t place, uint32_t number)
{
	member_number(m, place, number);
	m->numbered |= 1u << place;
}

/* Its place in the list; node_count: the list lacks it. */
uint8_t
member_place_of(const struct member *m, uint8_t number)
{
	uint8_t place = 0;

	while (place < m->config.node_count && m->number[place] != number)
		place++;
	return place;
}

static uint8_t
next_node(const struct member *m)
{
	return (uint8_t)((m->target + 1) % m->config.node_count);
}

static void
say_join(struct member *m)
{
	struct protocol_message join = {
		.kind = PROTOCOL_JOIN,
		.flags = m->bootstrap ? PROTOCOL_BOOTSTRAP : 0,
		.mark = m->block_size,
		.data = m->join,
		.bytes = m->join_bytes,
	};

	memcpy(join.uuid, m->group_uuid, UUID_BYTES);
	m->stage = MEMBER_JOINING;
	member_say(m, WIRE_CONTROL, &join);
}

static void
say_attach(struct member *m)
{
	/* A higher number than any before: what is still under way in an older
	 * session is void behind this one. So where a decision takes long, by the way or a
	 * slow disk, it is waited for longer each time. */
	m->attach_session++;
	m->stage = MEMBER_ATTACHING;
	m->retry_ns = m->now_ns + (m->config.retry_ns << m->attach_doublings);
	if (m->attach_doublings < ATTACH_DOUBLINGS_MAX)
		m->attach_doublings++;
	member_say(m, WIRE_CONTROL,
		   &(struct protocol_message){.kind = PROTOCOL_ATTACH,
					      .group = m->group,
					      .incarnation = m->incarnation,
					      .session = m->attach_session,
					      .sequence = m->snapshots.floor,
					      .index = m->feed_through + 1});
}

static void
say_leave(struct member *m)
{
	m->stage = MEMBER_LEAVING;
	member_say(m, WIRE_CONTROL,
		   &(struct protocol_message){.kind = PROTOCOL_LEAVE,
					      .group = m->group,
					      .incarnation = m->incarnation});
}

static void
end(struct member *m)
{
	if (m->session != MEMBER_NO_SESSION)
		wire_close(m->wire, m->session);
	m->session = MEMBER_NO_SESSION;
	m->stage = MEMBER_IDLE;
	m->opened = false;
	member_watch(m);
	m->held_bytes = 0;
	m->piece_index = 0;
	member_open_forget(m); /* and what was lent goes back */
	m->retry_ns = UINT64_MAX;
}

/* ---- what a node says ---- */

/* This node does not lead. One that it names is gone to at once, but only once in a
 * while: while nobody leads, they name each other or nobody, and running from one to
 * the next would make handshakes as fast as the network carries them. */
static void
go_to_leader(struct member *m, uint8_t named)
{
	uint8_t place = member_place_of(m, named);
	bool known = place < m->config.node_count;
	bool attached = m->stage > MEMBER_CONNECTING;

	m->hint = known ? place : next_node(m);
	if (m->hint == m->target) {
		/* It will lead soon, and is asked again by the clock. What it was sent
		 * meanwhile it has dropped: behind a new attachment that is sent again. */
		if (m->stage >= MEMBER_ATTACHED)
			detached(m);
		return;
	}
	if (!attached && (!known || m->now_ns < m->hop_ns))
		return; /* the clock goes there, or this node names a leader first */
	m->hop_ns = m->now_ns + m->config.retry_ns;
	member_reconnect(m, m->hint);
}

/* Somebody had this incarnation expelled, and the group dropped behind it. What was open
 * may have been accepted: no verdict is told, and the server says that it is unknown. */
static void
on_gone(struct member *m)
{
	bool left = m->stopping;

	end(m);
	member_emit(m, &(struct member_output){
			       .kind = left ? MEMBER_OUT_STOPPED : MEMBER_OUT_EXPELLED,
			       .incarnation = m->incarnation,
		       });
}

/* This node is of another epoch than the incarnation. One that leads there was forced on
 * without a majority: an index may be another transaction there than the one that this server
 * executed, so its next START compares what it has. What was open may have been decided
 * before. One that does not lead may be a node that was given up, and is back as it was. */
static bool
is_elsewhere(const struct member *m)
{
	return m->incarnation != 0 && memcmp(m->epoch, m->joined_epoch, EPOCH_BYTES) != 0;
}

static void
on_group(struct member *m, const struct protocol_message *message)
{
	bool leads = message->flags & PROTOCOL_LEADER_HERE;
	bool gone = (message->flags & PROTOCOL_GROUP_GONE) && !is_elsewhere(m);

	member_told_nodes(m, message);
	if (m->incarnation != 0 && (gone || (leads && is_elsewhere(m)))) {
		on_gone(m);
		return;
	}
	if (!leads) {
		go_to_leader(m, message->node);
		return;
	}
	m->ballot = message->index;
	if (m->stage >= MEMBER_ATTACHING)
		return;
	m->retry_ns = m->now_ns + m->config.retry_ns;
	if (m->incarnation != 0)
		say_attach(m);
	else
		say_join(m);
}

static void
on_joined(struct member *m, const struct protocol_message *message)
{
	if (m->stage != MEMBER_JOINING || memcmp(message->nonce, m->nonce, NONCE_BYTES) != 0)
		return;
	if (message->reason != MEMBER_REFUSED_NONE) {
		end(m);
		member_emit(m, &(struct member_output){.kind = MEMBER_OUT_STARTED,
						       .incarnation = message->incarnation,
						       .refusal = message->reason});
		return;
	}
	must(message->index > 0);
	m->incarnation = message->incarnation;
	memcpy(m->joined_epoch, m->epoch, EPOCH_BYTES);
	m->group = message->group;
	m->attach_session = 0;
	m->attach_doublings = 0;
	m->feed_through = message->index - 1;
	m->feed_previous = m->feed_through;
	m->own_through = 0;
	snapshot_table_reset(&m->snapshots, m->feed_through);
	snapshot_table_joined(&m->snapshots, m->incarnation);
	say_attach(m);
}

/* One at a time: who comes meanwhile waits for the next. */
static void
say_barrier(struct member *m)
{
	if (m->stage != MEMBER_ATTACHED || m->barrier_asked == 0 || m->barrier_index != 0)
		return;
	(void)member_say(m, WIRE_CONTROL,
			 &(struct protocol_message){.kind = PROTOCOL_BARRIER,
						    .group = m->group,
						    .incarnation = m->incarnation,
						    .sequence = m->barrier_asked});
}

static void
barrier(struct member *m)
{
	if (m->barrier_index != 0 && m->snapshots.mark >= m->barrier_index) {
		m->barrier_told = m->barrier_asked;
		m->barrier_asked = 0;
		m->barrier_index = 0;
		member_emit(m, &(struct member_output){.kind = MEMBER_OUT_BARRIER,
						       .sequence = m->barrier_told});
	}
	if (m->barrier_asked == 0 && m->barrier_wanted > m->barrier_told) {
		m->barrier_asked = m->barrier_wanted;
		say_barrier(m);
	}
}

static void
on_attached(struct member *m, const struct protocol_message *message)
{
	if (m->stage != MEMBER_ATTACHING || message->incarnation != m->incarnation ||
	    message->session != m->attach_session)
		return;
	m->stage = MEMBER_ATTACHED;
	m->attach_doublings = 0;
	m->retry_ns = m->now_ns + m->config.retry_ns;
	m->entry_bytes_max = (uint32_t)message->own;
	m->chunk_bytes = message->flags;
	m->payload_bytes_max = message->mark;
	if (message->index > m->own_through)
		m->own_through = message->index;
	m->progress_due = true;
	if (!m->started_told) {
		m->started_told = true;
		member_emit(m, &(struct member_output){.kind = MEMBER_OUT_STARTED,
						       .incarnation = m->incarnation});
	}
	member_emit(m, &(struct member_output){.kind = MEMBER_OUT_LINK, .connected = true});
	if (m->stopping) {
		say_leave(m);
	} else {
		member_send_open(m);
		say_barrier(m);
	}
	member_feed_held(m);
}

/* A transaction that no node can give any more. The incarnation goes on in the log until it is
 * missed: what was open may yet be accepted, and no verdict is told, as in on_gone(). */
void
member_lacks(struct member *m, const struct protocol_message *message)
{
	bool left = m->stopping;

	end(m);
	member_emit(m,
		    &(struct member_output){.kind = left ? MEMBER_OUT_STOPPED : MEMBER_OUT_EXPELLED,
					    .incarnation = m->incarnation,
					    .index = message->index,
					    .gtid = &message->gtid});
}

static void
on_ended(struct member *m, const struct protocol_message *message)
{
	bool left = m->stopping;

	if (message->incarnation != m->incarnation || m->stage < MEMBER_CONNECTING)
		return;
	member_open_ended(m);
	end(m);
	member_emit(m, &(struct member_output){
			       .kind = left ? MEMBER_OUT_STOPPED : MEMBER_OUT_EXPELLED,
			       .incarnation = m->incarnation,
			       .diverged = message->flags == EXPEL_DIVERGED,
		       });
}

/* Counted from this START on. A node whose log was trimmed may have counted less:
 * what was shown never falls. */
static void
on_counts(struct member *m, const struct protocol_message *message)
{
	struct member_counts *base = &m->counts_base;

	if (!m->counts_known || message->checked < base->checked + m->stats.checked ||
	    message->conflicts < base->conflicts + m->stats.conflicts) {
		base->checked = message->checked - m->stats.checked;
		base->conflicts = message->conflicts - m->stats.conflicts;
	}
	m->counts_known = true;
	m->stats.checked = message->checked - base->checked;
	m->stats.conflicts = message->conflicts - base->conflicts;
	m->stats.rows_validating = message->rows;
}

static void
on_message(struct member *m, const struct wire_event *event)
{
	struct frame frame;
	struct protocol_message message;

	if (!frame_decode(&frame, event->data, event->bytes) ||
	    !protocol_decode(&message, &frame, event->data, event->bytes) ||
	    memcmp(frame.epoch, m->epoch, EPOCH_BYTES) != 0) {
		/* The session has acknowledged it, and nobody will say it again: only a
		 * new attachment tells what it was. */
		member_reconnect(m, m->target);
		return;
	}
	switch (message.kind) {
	case PROTOCOL_GROUP:
		on_group(m, &message);
		break;
	case PROTOCOL_JOINED:
		on_joined(m, &message);
		break;
	case PROTOCOL_ATTACHED:
		on_attached(m, &message);
		break;
	case PROTOCOL_VERDICT:
		if (message.incarnation == m->incarnation)
			member_verdict(m, &message);
		member_feed_held(m);
		break;
	case PROTOCOL_FETCH:
		member_spread_fetch(m, &message);
		break;
	case PROTOCOL_HELD:
		member_spread_held(m, &message);
		break;
	case PROTOCOL_ENTRY:
	case PROTOCOL_PIECE:
	case PROTOCOL_THROUGH:
	case PROTOCOL_VIEW:
		if (m->stage >= MEMBER_ATTACHING)
			member_feed(m, &message, event->data, event->bytes);
		break;
	case PROTOCOL_ENDED:
		on_ended(m, &message);
		break;
	case PROTOCOL_BARRIER_AT:
		if (message.incarnation == m->incarnation && message.sequence == m->barrier_asked)
			m->barrier_index = message.index;
		break;
	case PROTOCOL_COUNTS:
		if (message.incarnation == m->incarnation)
			on_counts(m, &message);
		break;
	default:
		break;
	}
}

/* Another node may still be of this version; but when all were asked, and one is
 * asked for the second time, or the leader's is named again by others, START ends
 * with the reason instead of a timeout. */
static void
on_refused(struct member *m, enum wire_reason reason)
{
	static const enum member_refusal refusals[WIRE_REASON_LAST + 1] = {
		[WIRE_REASON_VERSION] = MEMBER_REFUSED_VERSION,
		[WIRE_REASON_EPOCH] = MEMBER_REFUSED_EPOCH,
		[WIRE_REASON_SEAL] = MEMBER_REFUSED_SEAL,
		[WIRE_REASON_UNTRUSTED] = MEMBER_REFUSED_UNTRUSTED,
		[WIRE_REASON_EXPIRED] = MEMBER_REFUSED_EXPIRED,
		[WIRE_REASON_REVOKED] = MEMBER_REFUSED_REVOKED,
		[WIRE_REASON_NAME] = MEMBER_REFUSED_UNTRUSTED,
		[WIRE_REASON_FORGED] = MEMBER_REFUSED_FORGED,
		[WIRE_REASON_NOT_SHOWN] = MEMBER_REFUSED_NOT_SHOWN,
		[WIRE_REASON_NOT_GOOD] = MEMBER_REFUSED_NOT_GOOD,
	};
	uint32_t bit = 1u << m->target;
	bool again = m->refused_by & bit;

	if (refusals[reason] == MEMBER_REFUSED_NONE)
		return;
	m->refused_by |= bit;
	if (again && m->incarnation == 0) {
		end(m);
		member_emit(m, &(struct member_output){.kind = MEMBER_OUT_STARTED,
						       .refusal = refusals[reason]});
		return;
	}
	member_reconnect(m, next_node(m));
}

void
member_take_events(struct member *m)
{
	struct wire_event event;

	while (m->stage != MEMBER_IDLE && wire_next_event(m->wire, &event)) {
		if (event.session != m->session) {
			member_watch_event(m, &event);
			continue;
		}
		switch (event.kind) {
		case WIRE_OPENED:
			m->opened = true;
			memcpy(m->epoch, event.peer.epoch, EPOCH_BYTES);
			member_numbered(m, m->target, event.peer.node);
			m->retry_ns = m->now_ns + m->config.retry_ns;
			member_say_open(m, m->session, m->epoch);
			break;
		case WIRE_MESSAGE:
			on_message(m, &event);
			break;
		case WIRE_CLOSED:
			member_reconnect(m, next_node(m));
			break;
		case WIRE_ROOM:
			member_spread_room(m);
			member_send_open(m);
			break;
		case WIRE_HEARD:
			break;
		case WIRE_REFUSED:
			on_refused(m, event.reason);
			break;
		}
	}
}

/* ---- the clock ---- */

static void
retry(struct member *m)
{
	m->retry_ns = m->now_ns + m->config.retry_ns;
	switch (m->stage) {
	case MEMBER_CONNECTING:
		if (m->opened && m->hint == m->target)
			member_say_open(m, m->session, m->epoch);
		else
			member_reconnect(m, m->opened ? m->hint : next_node(m));
		break;
	case MEMBER_JOINING:
		say_join(m);
		break;
	case MEMBER_ATTACHING:
		say_attach(m);
		break;
	case MEMBER_LEAVING:
		say_leave(m);
		break;
	case MEMBER_ATTACHED:
		member_spread_again(m);
		member_send_open(m);
		say_barrier(m);
		break;
	case MEMBER_IDLE:
		break;
	}
}

static void
report(struct member *m)
{
	uint64_t low = snapshot_mark_low(&m->snapshots);
	bool ready = m->snapshots.mark >= m->incarnation;
	struct protocol_message progress = {
		.kind = PROTOCOL_PROGRESS,
		.group = m->group,
		.incarnation = m->incarnation,
		.flags = ready ? PROTOCOL_READY : 0,
		.sequence = m->snapshots.floor,
		.index = m->snapshots.mark,
		.mark = low,
		.winner_hash = m->snapshots.sum,
	};

	if (m->stage != MEMBER_ATTACHED || !m->progress_due)
		return;
	m->stats.mark = m->snapshots.mark;
	m->progress_due = !member_say(m, WIRE_PROGRESS, &progress);
	m->progress_ns = m->now_ns + m->config.progress_ns;
}

static void
finish(struct member *m)
{
	struct wire_packet p;
	uint64_t timer_ns = UINT64_MAX;

	if (m->stage != MEMBER_IDLE) {
		if (m->now_ns >= m->retry_ns)
			retry(m);
		if (m->now_ns >= m->progress_ns)
			report(m);
		member_take_events(m);
		barrier(m);
	}
	while (wire_next_packet(m->wire, &p, m->now_ns))
		member_emit(m, &(struct member_output){.kind = MEMBER_OUT_SEND,
						       .to = p.to,
						       .data = p.data,
						       .bytes = (uint32_t)p.bytes});
	if (m->stage != MEMBER_IDLE) {
		timer_ns = m->retry_ns;
		/* Only an attached member reports: else it would wake for nothing. */
		bool reports = m->stage == MEMBER_ATTACHED && m->progress_due;
		if (reports && m->progress_ns < timer_ns)
			timer_ns = m->progress_ns;
	}
	if (m->requeueing != 0 && !m->server_full)
		timer_ns = m->now_ns;
	uint64_t wire_ns = wire_timer_ns(m->wire);
	if (wire_ns < timer_ns)
		timer_ns = wire_ns;
	member_emit(m, &(struct member_output){.kind = MEMBER_OUT_TIMER, .at_ns = timer_ns});
}

static void
start(struct member *m, const struct member_start *s)
{
	struct wire_config w = wire_config_of(&m->config);
	struct writer out = writer_over(m->join, ENTRY_BYTES_MAX);
	struct entry e = {.kind = ENTRY_JOIN,
			  .join = {.last_incarnation = s->last_incarnation,
				   .host_bytes = (uint8_t)strnlen(s->host, HOST_BYTES_MAX),
				   .host = s->host,
				   .port = s->port,
				   .mysql_version = s->version,
				   .flags = s->bootstrap ? JOIN_BOOTSTRAP : 0,
				   .executed = s->executed}};

	must(m->stage == MEMBER_IDLE);
	must(m->random_given);
	memcpy(e.join.nonce, s->nonce, NONCE_BYTES);
	memcpy(e.join.server_uuid, m->config.server_uuid, UUID_BYTES);
	entry_encode(&e, &out);
	must(!out.bad);
	m->join_bytes = (uint32_t)out.bytes;
	gtid_set_clear(m->executed);
	must(s->executed.bytes == 0 || gtid_set_decode(m->executed, s->executed) == GTID_SET_ADDED);
	memcpy(m->group_uuid, s->group_uuid, UUID_BYTES);
	memcpy(m->nonce, s->nonce, NONCE_BYTES);
	m->block_size = s->block_size;
	m->bootstrap = s->bootstrap;
	m->stopping = false;
	m->started_told = false;
	m->server_full = false;
	m->counts_known = false;
	m->incarnation = 0;
	m->refused_by = 0;
	m->group = 0;
	m->progress_ns = 0;
	m->piece_index = 0;
	m->piece_told = 0;
	m->barrier_wanted = 0;
	m->barrier_told = 0;
	m->barrier_asked = 0;
	m->barrier_index = 0;
	member_open_forget(m);
	memset(&m->stats, 0, sizeof m->stats);
	snapshot_table_reset(&m->snapshots, 0);
	w.self.process = s->process;
	m->wire = wire_init(m->wire, &w);
	wire_random(m->wire, m->random, m->random_bytes);
	m->stage = MEMBER_CONNECTING;
	m->session = MEMBER_NO_SESSION;
	member_reconnect(m, 0);
}

static void
stop(struct member *m)
{
	if (m->stage == MEMBER_IDLE || m->incarnation == 0) {
		end(m);
		member_emit(m, &(struct member_output){.kind = MEMBER_OUT_STOPPED});
		return;
	}
	m->stopping = true;
	if (m->stage == MEMBER_ATTACHED)
		say_leave(m);
}

static void
take_random(struct member *m, const struct member_input *in)
{
	m->random_bytes = in->bytes < sizeof m->random ? in->bytes : sizeof m->random;
	memcpy(m->random, in->data, m->random_bytes);
	m->random_given = m->random_bytes >= 32;
}

void
member_step(struct member *m, const struct member_input *in, const struct member_sink *sink)
{
	must(m && in && sink);
	must(in->now_ns >= m->now_ns);
	m->sink = sink;
	m->now_ns = in->now_ns;

	bool awake = m->stage != MEMBER_IDLE;
	switch (in->kind) {
	case MEMBER_IN_START:
		start(m, in->start);
		awake = true;
		break;
	case MEMBER_IN_STOP:
		stop(m);
		break;
	case MEMBER_IN_PACKET:
		if (awake)
			wire_receive(m->wire, &in->from, in->data, in->bytes, in->now_ns);
		break;
	case MEMBER_IN_RANDOM:
		take_random(m, in);
		break;
	case MEMBER_IN_SUBMIT:
		member_submit(m, in->submission);
		break;
	case MEMBER_IN_ABANDON:
		member_abandon(m, in->sequence);
		break;
	case MEMBER_IN_COMMITTED:
		member_committed(m, in->gtid);
		member_requeue(m, m->feed_through + 1);
		member_feed_held(m);
		break;
	case MEMBER_IN_LOCAL_FAILED:
		member_local_failed(m, in->sequence);
		member_requeue(m, m->feed_through + 1);
		member_feed_held(m);
		break;
	case MEMBER_IN_BARRIER:
		must(in->sequence > m->barrier_wanted);
		m->barrier_wanted = in->sequence;
		break;
	case MEMBER_IN_TICK:
		if (!awake)
			break;
		wire_tick(m->wire, in->now_ns);
		member_requeue(m, m->feed_through + 1);
		member_feed_held(m);
		break;
	case MEMBER_IN_QUIT:
		end(m);
		break;
	case MEMBER_IN_HOLD:
		m->server_full = true;
		break;
	case MEMBER_IN_RELEASE:
		m->server_full = false;
		member_requeue(m, m->feed_through + 1);
		member_feed_held(m);
		break;
	}
	if (awake)
		finish(m);
	m->sink = NULL;
}
