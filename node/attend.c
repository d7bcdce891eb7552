/*
 * Members at this node: they name their group, join, attach, submit, report, and
 * are fed what others wrote. node/protocol.h shows the conversation.
 *
 * A session here is nothing but a wire session and what its member said in it: a
 * member that lost it opens another, at whichever node leads, and says it again.
 * What was decided meanwhile it is told when its new attachment is delivered.
 */
#include "node/internal.h"

#include "base/must.h"

/* False: the stream has no room now. */
static bool
say_if_room(struct node *n, int session, enum wire_stream stream, const struct protocol_message *m)
{
	struct writer w = writer_over(n->scratch, FRAME_BYTES_MAX);
	uint32_t bytes = protocol_encode(m, n->config.epoch, &w);
	struct wire_slice slice = {.data = n->scratch, .bytes = bytes};

	must(bytes > 0);
	return wire_send(n->wire, session, stream, &slice, 1, 0);
}

static void
say(struct node *n, int session, enum wire_stream stream, const struct protocol_message *m)
{
	/* A member that does not take its control messages has lost its place: it
	 * comes back through a new attachment, which tells it everything. */
	if (!say_if_room(n, session, stream, m)) {
		wire_close(n->wire, session);
		node_attend_close(n, session);
	}
}

void
node_attend_say(struct node *n, int session, enum wire_stream stream,
		const struct protocol_message *m)
{
	say(n, session, stream, m);
}

/* The attached ones are counted: at most nodes nobody is, and every step asks. */
static void
set_stage(struct node *n, struct node_session *s, enum session_stage stage)
{
	n->attached_count += stage == SESSION_ATTACHED;
	n->attached_count -= s->stage == SESSION_ATTACHED;
	s->stage = stage;
}

void
node_attend_open(struct node *n, int session, const struct wire_event *opened)
{
	struct node_session *s = &n->session[session];

	must(s->stage == SESSION_NONE);
	*s = (struct node_session){.stage = SESSION_OPEN};
	node_feed_open(n, session);
	s->vouched = opened->vouched;
	memcpy(s->server_uuid, opened->peer.uuid, UUID_BYTES);
	memcpy(s->key, opened->peer.key, CRYPTO_KEY_BYTES);
}

static bool
one_of(const uint8_t (*groups)[UUID_BYTES], uint32_t count, const uint8_t *group)
{
	for (uint32_t i = 0; i < count; i++)
		if (memcmp(groups[i], group, UUID_BYTES) == 0)
			return true;
	return count == 0;
}

/* In clear nobody shows a key, and any group may be opened. */
static bool
may_open(const struct node *n, const struct node_session *s, const uint8_t *group)
{
	static const uint8_t any[UUID_BYTES];
	const struct node_config *c = &n->config;

	if (s->vouched)
		return one_of(c->certificate_group, c->certificate_group_count, group);
	for (uint32_t i = 0; i < n->key_count; i++) {
		const struct node_key *k = &n->key[i];
		bool whose = memcmp(k->uuid, any, UUID_BYTES) == 0 ||
			     memcmp(k->uuid, s->server_uuid, UUID_BYTES) == 0;
		if (!k->node && whose && memcmp(k->key, s->key, CRYPTO_KEY_BYTES) == 0 &&
		    one_of(k->group, k->group_count, group))
			return true;
	}
	return c->crypto == NULL;
}

void
node_attend_keys(struct node *n, const struct node_key *keys, uint32_t count)
{
	must(n->started && count <= NODE_KEYS_MAX);
	memcpy(n->own_key, keys, count * sizeof *keys);
	n->own_key_count = count;
	node_attend_list(n);
}

/* The node's own list, or group 0's, is another one. A session whose key is gone, wire/
 * closes; this, one that lost its group, and one that has none: it may have been turned away,
 * and only OPEN asks again. */
void
node_attend_list(struct node *n)
{
	const struct node_directory *d = &n->directory;
	uint32_t count = n->own_key_count + d->key_count;
	struct wire_key known[NODE_LISTED_MAX];

	memcpy(n->key, n->own_key, n->own_key_count * sizeof *n->key);
	memcpy(n->key + n->own_key_count, d->key, d->key_count * sizeof *n->key);
	n->key_count = count;
	for (uint32_t i = 0; i < count; i++) {
		known[i] = (struct wire_key){.kind = n->key[i].node ? WIRE_NODE : WIRE_MEMBER};
		memcpy(known[i].key, n->key[i].key, sizeof known[i].key);
		memcpy(known[i].uuid, n->key[i].uuid, sizeof known[i].uuid);
	}
	wire_keys(n->wire, known, count);
	for (uint32_t i = 0; i < n->session_count; i++) {
		const struct node_session *s = &n->session[i];
		static const uint8_t none[UUID_BYTES];
		bool named = memcmp(s->group_uuid, none, UUID_BYTES) != 0;
		if (s->stage <= SESSION_NODE || (named && may_open(n, s, s->group_uuid)))
			continue;
		wire_close(n->wire, (int)i);
		node_attend_close(n, (int)i);
	}
}

/* Its members are no more; a server that had been one is told so when it asks. */
void
node_attend_group_ends(struct node *n, const struct node_group *g)
{
	for (uint32_t i = 0; i < n->session_count; i++) {
		const struct node_session *s = &n->session[i];

		if (s->stage < SESSION_GROUP || s->group != g->number)
			continue;
		wire_close(n->wire, (int)i);
		node_attend_close(n, (int)i);
	}
}

void
node_attend_close(struct node *n, int session)
{
	struct node_session *s = &n->session[session];

	node_feed_forget(n, session);
	node_search_forget(n, session);
	set_stage(n, s, SESSION_NONE);
	*s = (struct node_session){.stage = SESSION_NONE};
	node_feed_open(n, session);
}

int
node_attend_session_of(const struct node *n, const struct node_group *g, uint64_t incarnation)
{
	for (uint32_t i = 0; i < n->session_count; i++) {
		const struct node_session *s = &n->session[i];

		if (s->stage == SESSION_ATTACHED && s->group == g->number &&
		    s->incarnation == incarnation)
			return (int)i;
	}
	return NODE_NO_SESSION;
}

static void
say_group(struct node *n, int session)
{
	struct node_session *s = &n->session[session];
	struct node_group *g = node_group_by_uuid(n, s->group_uuid);
	const struct node_group *leads = g ? g : &n->group[0];
	struct protocol_message m = {
		.kind = PROTOCOL_GROUP, .node = leads->leader, .index = leads->leader_ballot};
	uint8_t nodes[NODE_NODES_MAX * PROTOCOL_NODE_BYTES];
	struct writer w = writer_over(nodes, sizeof nodes);

	node_peers_tell(n, &w);
	m.data = nodes;
	m.bytes = (uint32_t)w.bytes;

	if (g) {
		s->group = g->number;
		m.group = g->number;
		m.flags = PROTOCOL_GROUP_EXISTS;
	}
	if (node_group_leads(n, leads))
		m.flags |= PROTOCOL_LEADER_HERE;
	if (node_directory_gone(n, s->group_before))
		m.flags |= PROTOCOL_GROUP_GONE;
	say(n, session, WIRE_CONTROL, &m);
}

static void
say_joined(struct node *n, int session, uint8_t reason, uint64_t incarnation, uint64_t missing)
{
	struct node_session *s = &n->session[session];
	struct protocol_message m = {
		.kind = PROTOCOL_JOINED,
		.group = s->group,
		.incarnation = incarnation,
		.reason = reason,
		.index = missing,
	};

	memcpy(m.nonce, s->nonce, NONCE_BYTES);
	set_stage(n, s, reason == MEMBER_REFUSED_NONE ? SESSION_JOINED : SESSION_GROUP);
	s->incarnation = incarnation;
	say(n, session, WIRE_CONTROL, &m);
}

void
node_attend_refuse(struct node *n, int session, uint8_t reason)
{
	say_joined(n, session, reason, 0, 0);
}

static void
propose_group(struct node *n, const struct protocol_message *m, const struct entry_join *join)
{
	struct node_group *g = node_group_by_uuid(n, m->uuid);

	if (!g) {
		node_directory_found(n, m->uuid);
		return; /* the member asks again; by then it exists */
	}
	struct entry create = {
		.kind = ENTRY_CREATE,
		.create = {.config = {.block_size = m->mark,
				      .index_hashes_max = n->config.index_hashes_max,
				      .inflight_max = n->config.inflight_max,
				      .members_max = n->config.members_max,
				      .protocol = PROTOCOL_VERSION},
			   .executed = join->executed},
	};
	memcpy(create.create.group_uuid, m->uuid, UUID_BYTES);
	node_group_submit_entry(n, g, &create);
}

/* What was looked for is of no use any more. */
static void
another_start(struct node *n, int session)
{
	n->session[session].missing = 0;
	node_search_forget(n, session);
}

/* What it was in another group, it is not in this one: there its incarnation may be another
 * server's, and nobody has the marks that it told. */
static void
name_group(struct node *n, int session, const uint8_t *group)
{
	struct node_session *s = &n->session[session];

	if (memcmp(s->group_uuid, group, UUID_BYTES) == 0)
		return;
	memcpy(s->group_uuid, group, UUID_BYTES);
	s->group = 0;
	s->incarnation = 0;
	s->mark_low = 0;
	s->committed = 0;
	s->ready = false;
	node_feed_forget(n, session);
	if (s->stage > SESSION_GROUP)
		set_stage(n, s, SESSION_GROUP);
}

static void
turn_away(struct node *n, int session, const uint8_t *group)
{
	struct wire_session_status link;

	wire_session_status(n->wire, session, &link);
	n->turned_away.count++;
	n->turned_away.from = link.endpoint;
	memcpy(n->turned_away.key, n->session[session].key, CRYPTO_KEY_BYTES);
	memcpy(n->turned_away.group, group, UUID_BYTES);
	say_joined(n, session, MEMBER_REFUSED_KEY, 0, 0);
}

static void
join(struct node *n, int session, const struct protocol_message *m)
{
	struct node_session *s = &n->session[session];
	struct node_group *g = node_group_by_uuid(n, m->uuid);
	struct entry e;

	if (!entry_decode(&e, m->data, m->bytes) || e.kind != ENTRY_JOIN || m->mark == 0 ||
	    memcmp(e.join.server_uuid, s->server_uuid, UUID_BYTES) != 0) {
		n->dropped_undecodable++;
		return;
	}
	if (memcmp(s->group_uuid, m->uuid, UUID_BYTES) != 0 ||
	    memcmp(s->nonce, e.join.nonce, NONCE_BYTES) != 0)
		another_start(n, session);
	memcpy(s->nonce, e.join.nonce, NONCE_BYTES);
	if (!may_open(n, s, m->uuid)) {
		turn_away(n, session, m->uuid);
		return;
	}
	name_group(n, session, m->uuid);
	if (!node_group_leads(n, g ? g : &n->group[0])) {
		say_group(n, session);
		return;
	}
	if (!g || !group_created(g->state) || group_closed(g->state)) {
		if (!(m->flags & PROTOCOL_BOOTSTRAP))
			say_joined(n, session, MEMBER_REFUSED_NO_GROUP, 0, 0);
		else if (!g || !group_closed(g->state)) /* else it asks again until that is gone */
			propose_group(n, m, &e.join);
		return;
	}
	s->group = g->number;
	if (m->mark != group_config(g->state)->block_size) {
		say_joined(n, session, MEMBER_REFUSED_BLOCK_SIZE, 0, 0);
		return;
	}
	node_search_begin(n, session, e.join.executed);
	if (s->missing == 0)
		return; /* refused, or it asks again: by then it may be known */
	set_stage(n, s, SESSION_JOINING);
	e.join.epoch = (uint16_t)n->epoch;
	node_group_submit_entry(n, g, &e);
}

/* A large one is on its way, whose payload a majority holds: until it is decided the log keeps all
 * since the payload's first chunk, so it must not wait for room. What comes before it in its
 * stream comes too; others are not begun meanwhile, see node_move_member(). */
static bool
awaits_large(const struct node *n, const struct node_group *g)
{
	for (uint32_t i = 0; i < n->payload_count && n->payloads_used > 0; i++) {
		const struct node_payload *p = &n->payload[i];

		if (p->used && !p->gone && p->group == g->number && p->index == 0 && p->told)
			return true;
	}
	return false;
}

/* Is there room for no other submission, in values or in the log? */
bool
node_attend_is_full(const struct node *n, const struct node_group *g)
{
	return (node_room_short(n, g) && !awaits_large(n, g)) ||
	       !node_group_has_room(n, g, n->config.value_bytes_max - NODE_ENTRY_HEAD_BYTES);
}

/* Takes one submission or abandon into a value that waits for a slot. When there
 * is no room the stream is held, so that its credits stop the member. */
static void
submit(struct node *n, int session, const struct protocol_message *m)
{
	struct node_session *s = &n->session[session];
	struct node_group *g = node_group_by_number(n, s->group);
	struct entry e;
	bool own = false;

	if (s->stage != SESSION_ATTACHED)
		return; /* it will be sent again behind the attachment */
	must(g);
	if (!entry_decode(&e, m->data, m->bytes)) {
		n->dropped_undecodable++;
		return;
	}
	if (e.kind == ENTRY_SUBMIT && m->kind == PROTOCOL_SUBMIT)
		own = e.submit.incarnation == s->incarnation && e.submit.session == s->session;
	if (e.kind == ENTRY_ABANDON && m->kind == PROTOCOL_ABANDON)
		own = e.abandon.incarnation == s->incarnation && e.abandon.session == s->session;
	if (!own) {
		n->dropped_undecodable++;
		return;
	}
	if (!node_group_leads(n, g)) {
		say_group(n, session);
		return;
	}
	bool fits = !(e.kind == ENTRY_SUBMIT && (e.submit.flags & SUBMIT_SPREAD)) ||
		    node_payload_may_propose(n, g, &e.submit);
	if (!fits || !node_group_submit(n, g, m->data, m->bytes)) {
		/* Lost here: the member has to say it again, so it attaches anew. */
		wire_close(n->wire, session);
		node_attend_close(n, session);
		return;
	}
	if (node_attend_is_full(n, g))
		node_attend_hold(n, g, true);
}

void
node_attend_hold(struct node *n, struct node_group *g, bool hold)
{
	if (g->submits_held == hold)
		return;
	g->submits_held = hold;
	for (uint32_t i = 0; i < n->session_count; i++)
		if (n->session[i].stage == SESSION_ATTACHED && n->session[i].group == g->number)
			wire_hold(n->wire, (int)i, WIRE_SUBMIT, hold);
}

void
node_attend_leader(struct node *n, struct node_group *g)
{
	for (uint32_t i = 0; i < n->session_count; i++) {
		struct node_session *s = &n->session[i];

		if (s->stage < SESSION_GROUP)
			continue;
		if (memcmp(s->group_uuid, g->uuid, UUID_BYTES) == 0 ||
		    (g->number == 0 && s->group == 0))
			say_group(n, (int)i);
	}
}

/* ---- what a delivered entry means for a member here ---- */

static void
say_verdict(struct node *n, struct node_group *g, int session, const struct group_outcome *o)
{
	struct protocol_message m = {
		.kind = PROTOCOL_VERDICT,
		.group = g->number,
		.incarnation = n->session[session].incarnation,
		.verdict = o->verdict,
		.sequence = o->sequence,
		.index = o->index,
		.dependency = o->dependency,
		.winner_hash = o->winner_hash,
		.gtid = o->gtid,
	};

	if (o->verdict == GROUP_REFUSED && o->winner >= node_group_first_result(n, g) &&
	    o->winner <= group_applied(g->state))
		m.winner = node_group_result(n, g, o->winner)->gtid;
	say(n, session, WIRE_CONTROL, &m);
}

static void
say_ended(struct node *n, struct node_group *g, int session, uint8_t change, uint8_t reason)
{
	struct node_session *s = &n->session[session];

	set_stage(n, s, SESSION_GROUP);
	say(n, session, WIRE_CONTROL,
	    &(struct protocol_message){.kind = PROTOCOL_ENDED,
				       .group = g->number,
				       .incarnation = s->incarnation,
				       .flags = reason,
				       .reason = change});
}

/* Every outcome known of this session's incarnation, from its floor on. False: the
 * session did not take them and is gone. */
static bool
say_outcomes(struct node *n, struct node_group *g, int session)
{
	struct node_session *s = &n->session[session];
	uint64_t inflight_max = group_config(g->state)->inflight_max;

	for (uint64_t i = 0; i < inflight_max && s->stage != SESSION_NONE; i++) {
		struct group_outcome outcome;

		if (group_outcome(g->state, s->incarnation, s->floor + i, &outcome) == GROUP_KNOWN)
			say_verdict(n, g, session, &outcome);
	}
	return s->stage != SESSION_NONE;
}

/* What tables show. Progress follows whatever the feed told, so the last word comes
 * behind the last transaction. */
static void
say_counts(struct node *n, const struct node_group *g, int session)
{
	(void)say_if_room(n, session, WIRE_PROGRESS,
			  &(struct protocol_message){.kind = PROTOCOL_COUNTS,
						     .group = g->number,
						     .incarnation = n->session[session].incarnation,
						     .checked = g->certified,
						     .conflicts = g->conflicts,
						     .rows = group_index_hashes(g->state)});
}

/* The answer to an attachment: every earlier outcome is known now, and is told
 * before the attachment itself. */
static void
attached(struct node *n, struct node_group *g, const struct group_effect *e)
{
	int session = NODE_NO_SESSION;

	for (uint32_t i = 0; i < n->session_count; i++) {
		struct node_session *s = &n->session[i];

		if (s->stage == SESSION_ATTACHING && s->group == g->number &&
		    s->incarnation == e->incarnation && s->session == e->session)
			session = (int)i;
	}
	if (session == NODE_NO_SESSION || e->node != n->config.self)
		return;
	struct node_session *s = &n->session[session];

	set_stage(n, s, SESSION_ATTACHED);
	if (!say_outcomes(n, g, session))
		return;
	s->feed_told = s->feed_previous;
	wire_hold(n->wire, session, WIRE_SUBMIT, g->submits_held);
	say(n, session, WIRE_CONTROL,
	    &(struct protocol_message){.kind = PROTOCOL_ATTACHED,
				       .group = g->number,
				       .incarnation = s->incarnation,
				       .session = s->session,
				       .index = e->index,
				       .flags = n->config.chunk_bytes,
				       .own = n->config.value_bytes_max - NODE_ENTRY_HEAD_BYTES,
				       .mark = n->config.payload_bytes_max});
	say_counts(n, g, session);
}

/* A JOIN was delivered: its member, if it is here, is told what became of it. */
static void
joined(struct node *n, struct node_group *g, const struct group_effect *e)
{
	static const uint8_t refusal[] = {
		[GROUP_JOIN_NO_GROUP] = MEMBER_REFUSED_NO_GROUP,
		[GROUP_JOIN_NOT_LAST] = MEMBER_REFUSED_INCARNATION,
		[GROUP_JOIN_NO_ROOM] = MEMBER_REFUSED_FULL,
		[GROUP_JOIN_EXTRA_GTIDS] = MEMBER_REFUSED_EXTRA_GTIDS,
		[GROUP_JOIN_OTHERS_LIVE] = MEMBER_REFUSED_GROUP_EXISTS,
		[GROUP_JOIN_IS_GROUP_UUID] = MEMBER_REFUSED_INCARNATION,
	};
	const struct entry_join *join = &g->entry.join;

	/* The same START may have asked again since, behind the force, and hears of that. */
	if (e->change == GROUP_JOIN_VOID && e->reason == GROUP_JOIN_BEFORE_FORCE)
		return;
	for (uint32_t i = 0; i < n->session_count; i++) {
		struct node_session *s = &n->session[i];

		if (s->stage != SESSION_JOINING || s->group != g->number ||
		    memcmp(s->nonce, join->nonce, NONCE_BYTES) != 0)
			continue;
		if (e->change == GROUP_JOIN_VOID)
			say_joined(n, (int)i, refusal[e->reason], e->incarnation, 0);
		else
			say_joined(n, (int)i, MEMBER_REFUSED_NONE, e->incarnation, s->missing);
	}
}

void
node_attend_ended(struct node *n, struct node_group *g, uint64_t incarnation, uint8_t change,
		  uint8_t reason)
{
	int session = node_attend_session_of(n, g, incarnation);

	if (session == NODE_NO_SESSION)
		return;
	say_ended(n, g, session, change, reason);
}

void
node_attend_effect(struct node *n, struct node_group *g, const struct group_effect *e)
{
	int session = NODE_NO_SESSION;

	if (e->kind == GROUP_VERDICT && e->outcome.sequence != 0) {
		session = node_attend_session_of(n, g, e->incarnation);
		if (session != NODE_NO_SESSION)
			say_verdict(n, g, session, &e->outcome);
		return;
	}
	if (e->kind != GROUP_VIEW)
		return;
	switch (e->change) {
	case GROUP_JOINED:
		if (e->ended != 0)
			node_attend_ended(n, g, e->ended, GROUP_EXPELLED, 0);
		joined(n, g, e);
		break;
	case GROUP_JOIN_AGAIN:
	case GROUP_JOIN_VOID:
		joined(n, g, e);
		break;
	case GROUP_LEFT:
	case GROUP_EXPELLED:
		node_attend_ended(n, g, e->incarnation, e->change, e->reason);
		break;
	case GROUP_ATTACHED:
		attached(n, g, e);
		break;
	case GROUP_ONLINE:
		break;
	}
}

/* ---- the conversation ---- */

static void
attach(struct node *n, int session, const struct protocol_message *m)
{
	struct node_session *s = &n->session[session];
	struct node_group *g = node_group_by_number(n, s->group);

	if (s->group == 0 || !g || !node_group_leads(n, g)) {
		say_group(n, session);
		return;
	}
	/* It was in another group of this name, and incarnations count from there. If this node
	 * has yet to hear of it, the member asks again, here or at another node; one that was
	 * dropped is told so when the session opens. */
	if (m->group != g->number)
		return;
	const struct group_member *member = group_incarnation(g->state, m->incarnation);
	if (member && memcmp(member->server_uuid, s->server_uuid, UUID_BYTES) != 0) {
		n->dropped_undecodable++;
		return;
	}
	s->incarnation = m->incarnation;
	s->session = m->session;
	s->floor = m->sequence;
	s->barrier = 0;
	s->barrier_number = 0;
	if (!member || !group_member_alive(member)) {
		/* Only a node that has delivered the entry that ended it may say so, and
		 * what was decided before: one that has not heard of the incarnation
		 * yet waits for its log. */
		if (m->incarnation <= group_applied(g->state) && say_outcomes(n, g, session))
			say_ended(n, g, session, GROUP_EXPELLED, 0);
		return;
	}
	set_stage(n, s, SESSION_ATTACHING);
	s->feed_next = m->index;
	s->feed_previous = m->index > 0 ? m->index - 1 : 0;
	node_feed_forget(n, session);
	node_group_submit_entry(n, g,
				&(struct entry){.kind = ENTRY_ATTACH,
						.attach = {.incarnation = m->incarnation,
							   .session = m->session,
							   .node = n->config.self}});
}

static void
progress(struct node *n, int session, const struct protocol_message *m)
{
	struct node_session *s = &n->session[session];
	struct node_group *g = node_group_by_number(n, s->group);

	if (s->stage != SESSION_ATTACHED || m->incarnation != s->incarnation)
		return;
	bool was_ready = s->ready;
	s->floor = m->sequence > s->floor ? m->sequence : s->floor;
	s->mark_low = m->mark > s->mark_low ? m->mark : s->mark_low;
	s->committed = m->index > s->committed ? m->index : s->committed;
	s->ready = m->flags & PROTOCOL_READY;
	node_compare_member(n, session, m->index, m->winner_hash);
	if (s->ready && !was_ready && g->duty_ns > n->now_ns)
		g->duty_ns = n->now_ns; /* to be ONLINE soon is worth an entry at once */
	say_counts(n, g, session);
}

static void
leave(struct node *n, int session, const struct protocol_message *m)
{
	struct node_session *s = &n->session[session];
	struct node_group *g = node_group_by_number(n, s->group);

	if (s->stage != SESSION_ATTACHED || m->incarnation != s->incarnation)
		return;
	if (!node_group_leads(n, g)) {
		say_group(n, session);
		return;
	}
	node_group_submit_entry(
		n, g,
		&(struct entry){.kind = ENTRY_LEAVE, .leave = {.incarnation = m->incarnation}});
}

void
node_attend_message(struct node *n, int session, const struct frame *frame, const uint8_t *data,
		    uint32_t bytes)
{
	static const uint8_t no_group[UUID_BYTES];
	struct node_session *s = &n->session[session];
	struct protocol_message m;

	if (!protocol_decode(&m, frame, data, bytes)) {
		n->dropped_undecodable++;
		return;
	}
	switch (m.kind) {
	case PROTOCOL_OPEN:
		another_start(n, session);
		/* Of a group that its key does not open it does not learn whether there
		 * is one: it hears who leads the appliance, and JOIN is refused. */
		name_group(n, session, may_open(n, s, m.uuid) ? m.uuid : no_group);
		s->group_before = m.group;
		if (s->stage == SESSION_OPEN)
			set_stage(n, s, SESSION_GROUP);
		say_group(n, session);
		break;
	case PROTOCOL_JOIN:
		join(n, session, &m);
		break;
	case PROTOCOL_ATTACH:
		attach(n, session, &m);
		break;
	case PROTOCOL_SUBMIT:
	case PROTOCOL_ABANDON:
		submit(n, session, &m);
		break;
	case PROTOCOL_OFFER:
	case PROTOCOL_CHUNK:
		node_move_member(n, session, &m);
		break;
	case PROTOCOL_PROGRESS:
		progress(n, session, &m);
		break;
	case PROTOCOL_BARRIER:
		node_barrier_wanted(n, session, &m);
		break;
	case PROTOCOL_LEAVE:
		leave(n, session, &m);
		break;
	default:
		n->dropped_undecodable++;
		break;
	}
}
