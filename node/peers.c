/*
 * Who stands at which number. A node begins with those that its configuration names; group
 * 0's entries add others and take away, so that a node can come that stood in nobody's file.
 *
 *     DIRECTORY_NODE  u8 number, u8 enum peer_state, uuid, address, port, u32 epoch
 *
 * Where both name the same node the file's address counts: who runs this one wrote it.
 * Else the log counts, since the file may be older than what was decided: see `differs`
 * of struct node_peer_status. But what was applied so far may be older still: whom the log
 * has neither listed nor forgotten is one to come, since all that there are are listed before the
 * first change. Schedule: 1 is forgotten, another one comes behind its number and is the only
 * survivor of a force; those who come back empty learn from it that 1 was listed, speak with
 * it no more, and never learn the rest. So one that has no vote to count or to cast learns from
 * whom its file names there; who votes, or is forced on, takes no such node for a voter. Where it
 * is another one's vote that is meant, whose number this one has, it has none either: by the first
 * part of the log it would turn away all, if all had been replaced.
 *
 * Before the first change the leader lists all that it knows, with their keys, so that
 * whoever comes learns of all from any, and later files may name fewer. A place is given
 * to another node only when it was forgotten; until then the one that comes with its number is
 * refused (`strangers`). The checks here of what is listed are the log's, equal on all nodes;
 * those of who votes are the leader's, since group 0's configuration may be ahead of
 * what was applied: it forgets nobody while a change of the voters is under way, and begins
 * none before all entries are applied.
 *
 * Nor can the leader know of a force. One that is to be forgotten may be among the survivors
 * that are named, and the entry be accepted by another of them: behind the fork it would be
 * proposed again, and take away a voter. So the entry says in which epoch it was asked for, and
 * forgets nobody in a later one. A survivor that knows that it was decided goes over with
 * nobody whom it forgot.
 *
 * The higher of two numbers waits for the lower one to connect. One that came later is
 * connected to by all, and connects to all: it may be the only one that knows of the
 * other. wire/ keeps one session of two.
 */
#include "base/must.h"
#include "node/internal.h"

#define ENTRY_BYTES (1 + 1 + 1 + UUID_BYTES + ENDPOINT_ADDRESS_BYTES + 2 + 4)

static bool
same_uuid(const uint8_t *a, const uint8_t *b)
{
	return memcmp(a, b, UUID_BYTES) == 0;
}

static bool
file_names(const struct node *n, uint8_t number)
{
	return number < n->config.node_count && !(n->config.absent >> number & 1);
}

static bool
was_forgotten(const struct node_directory *d, const uint8_t *uuid)
{
	for (uint32_t i = 0; i < NODE_GONE_MAX && i < d->gone_count; i++)
		if (same_uuid(d->gone[i], uuid))
			return true;
	return false;
}

static bool
votes(const struct node *n)
{
	for (uint32_t i = 0; i < n->group_count; i++)
		if (paxos_has_vote(n->group[i].replica))
			return true;
	return false;
}

/* Does the file name one that comes behind the one that is listed? */
static bool
names_later(const struct node *n, uint8_t number)
{
	const struct node_peer_entry *e = &n->directory.peer[number];

	return file_names(n, number) && e->state == PEER_LISTED &&
	       !same_uuid(e->uuid, n->config.uuid[number]) &&
	       !was_forgotten(&n->directory, n->config.uuid[number]) && !votes(n);
}

/* Who stands there by what is known now. False: nobody. */
static bool
who(const struct node *n, uint8_t number, struct node_peer *out)
{
	const struct node_peer_entry *e = &n->directory.peer[number];
	bool named = file_names(n, number);
	bool same = named && same_uuid(e->uuid, n->config.uuid[number]);

	out->session = NODE_NO_SESSION;
	if (number == n->config.self ||
	    (named && (same || e->state != PEER_LISTED || names_later(n, number)))) {
		memcpy(out->uuid, n->config.uuid[number], UUID_BYTES);
		out->endpoint = n->config.endpoint[number];
		return number == n->config.self || e->state != PEER_FORGOTTEN || !same;
	}
	memcpy(out->uuid, e->uuid, UUID_BYTES);
	out->endpoint = e->endpoint;
	return e->state == PEER_LISTED;
}

static bool
connects(const struct node *n, uint8_t number)
{
	bool later = n->config.joins || !file_names(n, number);

	return number != n->config.self && (n->there >> number & 1) &&
	       (number > n->config.self || later);
}

/* Once more where members had taken all sessions. */
void
node_peers_connect(struct node *n)
{
	must(n->started);
	for (uint8_t i = 0; i < NODE_NODES_MAX; i++) {
		struct wire_identity peer = {.kind = WIRE_NODE, .node = i};
		struct node_peer *p = &n->peer[i];

		if (!connects(n, i) || p->session != NODE_NO_SESSION)
			continue;
		memcpy(peer.uuid, p->uuid, WIRE_UUID_BYTES);
		p->session = wire_connect(n->wire, &p->endpoint, &peer, n->now_ns);
	}
}

static void
disconnect(struct node *n, uint8_t number)
{
	bool up = n->link_up >> number & 1;

	for (uint32_t i = 0; i < n->session_count; i++) {
		struct node_session *s = &n->session[i];
		bool of_node = s->stage == SESSION_DISK || s->stage == SESSION_NODE;

		if (!of_node || s->node != number || (int)i == n->peer[number].session)
			continue;
		wire_close(n->wire, (int)i);
		s->stage = SESSION_NONE;
	}
	if (n->peer[number].session != NODE_NO_SESSION) {
		n->session[n->peer[number].session].stage = SESSION_NONE;
		wire_close(n->wire, n->peer[number].session);
	}
	if (up)
		node_link_changed(n, number, false);
}

/* What is known of a number may be news. */
static void
look_again(struct node *n, uint8_t number)
{
	struct node_peer now;
	bool there = who(n, number, &now);
	bool was = n->there >> number & 1;
	const struct node_peer *p = &n->peer[number];

	if (number == n->config.self)
		return;
	n->later = names_later(n, number) ? n->later | 1u << number : n->later & ~(1u << number);
	if (was && there && same_uuid(now.uuid, p->uuid) &&
	    endpoint_equal(&now.endpoint, &p->endpoint))
		return;
	if (n->started && was)
		disconnect(n, number);
	n->peer[number] = now;
	n->there = there ? n->there | 1u << number : n->there & ~(1u << number);
	n->strangers &= ~(1u << number);
	if (n->started)
		node_peers_connect(n);
}

void
node_peers_init(struct node *n)
{
	must(file_names(n, n->config.self));
	n->there = 0;
	n->later = 0;
	for (uint8_t i = 0; i < NODE_NODES_MAX; i++)
		n->there |= (uint32_t)who(n, i, &n->peer[i]) << i;
}

bool
node_peers_right(struct node *n, uint32_t number, const uint8_t *uuid)
{
	bool right = number < NODE_NODES_MAX && number != n->config.self &&
		     (n->there >> number & 1) && same_uuid(uuid, n->peer[number].uuid);

	if (number >= NODE_NODES_MAX)
		return false;
	n->strangers = right ? n->strangers & ~(1u << number) : n->strangers | 1u << number;
	return right;
}

/* ---- entries ---- */

void
node_peers_write(const struct node_peer_entry *e, struct writer *w)
{
	writer_u8(w, (uint8_t)e->state);
	writer_raw(w, e->uuid, UUID_BYTES);
	writer_raw(w, e->endpoint.address, ENDPOINT_ADDRESS_BYTES);
	writer_u16(w, e->endpoint.port);
}

bool
node_peers_read(struct node_peer_entry *e, struct reader *r)
{
	uint8_t state = reader_u8(r);

	*e = (struct node_peer_entry){.state = (enum peer_state)state};
	reader_raw(r, e->uuid, UUID_BYTES);
	reader_raw(r, e->endpoint.address, ENDPOINT_ADDRESS_BYTES);
	e->endpoint.port = reader_u16(r);
	return !r->bad && state <= PEER_FORGOTTEN;
}

void
node_peers_look(struct node *n)
{
	for (uint8_t i = 0; i < NODE_NODES_MAX; i++)
		look_again(n, i);
}

void
node_peers_recall(struct node *n, const struct node_peer_entry *peer)
{
	memcpy(n->directory.peer, peer, sizeof n->directory.peer);
	node_peers_look(n);
}

static void
propose(struct node *n, uint8_t number, const struct node_peer_entry *e)
{
	uint8_t bytes[ENTRY_BYTES];
	struct writer w = writer_over(bytes, sizeof bytes);

	writer_u8(&w, DIRECTORY_NODE);
	writer_u8(&w, number);
	node_peers_write(e, &w);
	writer_u32(&w, n->epoch);
	must(!w.bad && w.bytes == ENTRY_BYTES);
	node_group_submit(n, &n->group[0], bytes, ENTRY_BYTES);
}

/* Does another number hold that node, or its address? */
static bool
elsewhere(const struct node_directory *d, uint8_t number, const struct node_peer_entry *e)
{
	for (uint8_t i = 0; i < NODE_NODES_MAX; i++) {
		const struct node_peer_entry *other = &d->peer[i];

		if (i != number && other->state == PEER_LISTED &&
		    (same_uuid(other->uuid, e->uuid) ||
		     endpoint_equal(&other->endpoint, &e->endpoint)))
			return true;
	}
	return false;
}

/* Nobody lists the key of a node that is forgotten, but for the files that do. */
static void
forget_keys(struct node *n, const uint8_t *uuid)
{
	struct node_directory *d = &n->directory;
	uint32_t kept = 0;

	for (uint32_t i = 0; i < d->key_count; i++)
		if (!d->key[i].node || !same_uuid(d->key[i].uuid, uuid))
			d->key[kept++] = d->key[i];
	d->key_count = kept;
	if (n->started)
		node_attend_list(n);
}

void
node_peers_apply(struct node *n, struct reader *r, uint32_t epoch)
{
	struct node_directory *d = &n->directory;
	struct node_peer_entry e;
	uint8_t number = reader_u8(r);

	if (!node_peers_read(&e, r) || number >= NODE_NODES_MAX || e.state == PEER_NONE)
		return;
	uint32_t asked = reader_u32(r);
	if (!reader_done(r) || (e.state == PEER_FORGOTTEN && asked < epoch))
		return;
	if (d->peer[number].state == PEER_LISTED && !same_uuid(d->peer[number].uuid, e.uuid))
		return;
	if (e.state == PEER_LISTED && elsewhere(d, number, &e))
		return;
	d->peer[number] = e;
	if (e.state == PEER_FORGOTTEN) {
		memcpy(d->gone[d->gone_count++ % NODE_GONE_MAX], e.uuid, UUID_BYTES);
		forget_keys(n, e.uuid);
		/* One that never voted leaves nothing behind: another disk may come. */
		if (n->shown[number].number == 0)
			n->shown[number] = (struct node_shown){0};
	}
	look_again(n, number);
}

/* ---- what members are told ---- */

/* The key that it has shown, or is listed with. False: none is known. */
static bool
key_of(const struct node *n, uint8_t number, uint8_t *key)
{
	const struct node_peer *p = &n->peer[number];

	for (uint32_t i = 0; i < n->session_count; i++)
		if (n->session[i].stage == SESSION_NODE && n->session[i].node == number) {
			memcpy(key, n->session[i].key, CRYPTO_KEY_BYTES);
			return true;
		}
	for (uint32_t i = 0; i < n->key_count; i++)
		if (n->key[i].node && same_uuid(n->key[i].uuid, p->uuid)) {
			memcpy(key, n->key[i].key, CRYPTO_KEY_BYTES);
			return true;
		}
	return false;
}

void
node_peers_tell(const struct node *n, struct writer *w)
{
	for (uint8_t i = 0; i < NODE_NODES_MAX; i++) {
		struct protocol_node node = {.number = i, .endpoint = n->peer[i].endpoint};
		bool other = i != n->config.self && (n->there >> i & 1);

		if (other && (!n->config.crypto || key_of(n, i, node.key)))
			protocol_write_node(w, &node);
	}
	must(!w->bad);
}

/* ---- what an administrator wants; this node leads group 0 ---- */

static struct node_key
own_key(const struct node *n)
{
	struct node_key key = {.node = true};

	memcpy(key.uuid, n->config.uuid[n->config.self], UUID_BYTES);
	n->config.crypto->public_key(n->config.crypto->context, n->config.secret, key.key);
	return key;
}

/* Its key, unless the log lists one: this node's own, or what its own file lists. */
static void
list_key(struct node *n, const uint8_t *uuid)
{
	for (uint32_t i = 0; i < n->directory.key_count; i++)
		if (n->directory.key[i].node && same_uuid(n->directory.key[i].uuid, uuid))
			return;
	if (n->config.crypto && same_uuid(uuid, n->config.uuid[n->config.self])) {
		struct node_key own = own_key(n);
		node_directory_key(n, &own, true);
	}
	for (uint32_t i = 0; i < n->own_key_count; i++)
		if (n->own_key[i].node && same_uuid(n->own_key[i].uuid, uuid))
			node_directory_key(n, &n->own_key[i], true);
}

static void
list_known(struct node *n)
{
	for (uint8_t i = 0; i < NODE_NODES_MAX; i++) {
		struct node_peer_entry e = {.state = PEER_LISTED, .endpoint = n->peer[i].endpoint};

		if (!(n->there >> i & 1))
			continue;
		memcpy(e.uuid, n->peer[i].uuid, UUID_BYTES);
		if (n->directory.peer[i].state != PEER_LISTED)
			propose(n, i, &e);
		list_key(n, e.uuid);
	}
}

/* May that be asked for at all? Of what this node knows, which may be less than all. */
static bool
may_list(const struct node *n, const struct node_order *o)
{
	bool votes = paxos_configuration(n->group[0].replica)->voters >> o->node & 1;
	bool same = same_uuid(n->peer[o->node].uuid, o->key.uuid);

	for (uint8_t i = 0; i < NODE_NODES_MAX; i++) {
		bool there = i != o->node && (n->there >> i & 1);

		if (there && (same_uuid(n->peer[i].uuid, o->key.uuid) ||
			      endpoint_equal(&n->peer[i].endpoint, &o->endpoint)))
			return false;
	}
	return same || (!votes && !(n->there >> o->node & 1));
}

/* Nor that? A group that has yet to copy what group 0 decided may need its vote to get there. */
static bool
may_forget(const struct node *n, uint8_t number)
{
	if (!(n->there >> number & 1) || !node_directory_knows_all(n) ||
	    !paxos_can_change(n->group[0].replica))
		return false;
	for (uint32_t i = 0; i < n->group_count; i++) {
		const struct paxos_replica *r = n->group[i].replica;
		uint32_t voters = paxos_voters(r) | paxos_configuration(r)->voters;

		if ((voters >> number & 1) || paxos_settled(r) < paxos_configuration(r)->number)
			return false;
	}
	return true;
}

void
node_peers_order(struct node *n, const struct node_order *o)
{
	static const uint8_t none[CRYPTO_KEY_BYTES];
	struct node_peer_entry e = {.state = PEER_LISTED, .endpoint = o->endpoint};

	if (o->node >= NODE_NODES_MAX)
		return;
	memcpy(e.uuid, o->key.uuid, UUID_BYTES);
	if (o->kind == NODE_ORDER_ADD) {
		if (!may_list(n, o))
			return;
		list_known(n);
		if (memcmp(o->key.key, none, sizeof none) != 0)
			node_directory_key(n, &o->key, true);
		propose(n, o->node, &e);
		return;
	}
	if (!may_forget(n, o->node))
		return;
	list_known(n);
	e = (struct node_peer_entry){.state = PEER_FORGOTTEN,
				     .endpoint = n->peer[o->node].endpoint};
	memcpy(e.uuid, n->peer[o->node].uuid, UUID_BYTES);
	propose(n, o->node, &e);
}

bool
node_peer_status(const struct node *n, uint8_t number, struct node_peer_status *status)
{
	must(number < NODE_NODES_MAX);
	const struct node_peer_entry *e = &n->directory.peer[number];
	bool named = file_names(n, number);
	bool same = named && same_uuid(e->uuid, n->config.uuid[number]);

	*status = (struct node_peer_status){
		.endpoint = n->peer[number].endpoint,
		.listed = e->state == PEER_LISTED,
		.forgotten = e->state == PEER_FORGOTTEN,
		.stranger = n->strangers >> number & 1,
	};
	memcpy(status->uuid, n->peer[number].uuid, UUID_BYTES);
	if (e->state == PEER_LISTED)
		status->differs =
			!same || !endpoint_equal(&e->endpoint, &n->config.endpoint[number]);
	else
		status->differs = e->state == PEER_FORGOTTEN && same;
	return n->there >> number & 1;
}
