/* A node's snapshot as JSON: see status.h and docs/status.md. */
#include "dpdk/status.h"

#include <arpa/inet.h>
#include <stdio.h>

#include "base/must.h"
#include "dpdk/epoch.h"
#include "hw/keys.h"
#include "node/protocol.h"

#define NANOSECONDS 1000000000u

void
status_endpoint(const struct endpoint *endpoint, char out[STATUS_ENDPOINT_BYTES])
{
	char text[INET6_ADDRSTRLEN] = "";

	if (endpoint_is_ipv4(endpoint)) {
		inet_ntop(AF_INET, endpoint->address + 12, text, sizeof text);
		snprintf(out, STATUS_ENDPOINT_BYTES, "%s:%u", text, endpoint->port);
	} else {
		inet_ntop(AF_INET6, endpoint->address, text, sizeof text);
		snprintf(out, STATUS_ENDPOINT_BYTES, "[%s]:%u", text, endpoint->port);
	}
}

void
status_uuid(const uint8_t *u, char out[STATUS_UUID_BYTES])
{
	snprintf(out, STATUS_UUID_BYTES,
		 "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", u[0], u[1],
		 u[2], u[3], u[4], u[5], u[6], u[7], u[8], u[9], u[10], u[11], u[12], u[13], u[14],
		 u[15]);
}

uint32_t
status_node_id(const uint8_t *u)
{
	return (uint32_t)u[12] << 24 | (uint32_t)u[13] << 16 | (uint32_t)u[14] << 8 | u[15];
}

void
status_gtids(const struct gtid_interval *run, char out[STATUS_GTIDS_BYTES])
{
	const struct gtid_source *source = &run->source;
	char uuid[STATUS_UUID_BYTES];

	status_uuid(source->uuid, uuid);
	snprintf(out, STATUS_GTIDS_BYTES, "%s:%.*s%s%lu-%lu", uuid, (int)source->tag_bytes,
		 source->tag, source->tag_bytes > 0 ? ":" : "", run->from, run->to);
}

static void
put(json_t *object, const char *key, uint64_t value)
{
	(void)json_object_set_new(object, key, json_integer((json_int_t)value));
}

static void
put_text(json_t *object, const char *key, const char *value)
{
	(void)json_object_set_new(object, key, json_string(value));
}

static void
put_bool(json_t *object, const char *key, bool value)
{
	(void)json_object_set_new(object, key, json_boolean(value));
}

static void
put_error(json_t *object, const char *key, int error)
{
	(void)json_object_set_new(object, key,
				  error == 0 ? json_null()
					     : json_string(strerror(error < 0 ? -error : error)));
}

/* Nobody leads: null. */
static void
put_leader(json_t *object, uint8_t leader)
{
	(void)json_object_set_new(object, "leader",
				  leader == PAXOS_NO_VOTER ? json_null() : json_integer(leader));
}

static json_t *
node_of(const struct loop_snapshot *s, const struct status_facts *facts)
{
	json_t *node = json_object();
	char uuid[STATUS_UUID_BYTES], epoch[EPOCH_TEXT_BYTES];

	status_uuid(facts->node->uuid[s->node.self], uuid);
	put(node, "number", s->node.self);
	put_text(node, "uuid", uuid);
	put(node, "process", s->node.process);
	put(node, "protocol", PROTOCOL_VERSION);
	epoch_text(&s->node.epoch, epoch);
	put_text(node, "epoch", epoch);
	put_bool(node, "voting", s->node.voting);
	put_bool(node, "repairing", s->node.repairing);
	put_bool(node, "may_leave", s->node.may_leave);
	put_text(node, "profile", facts->profile == LOOP_DEDICATED ? "dedicated" : "shared");
	put(node, "uptime_s", (s->now_ns - facts->started_ns) / NANOSECONDS);
	put(node, "members_diverged", s->node.members_diverged);
	put(node, "horizon_max", node_horizon_max(facts->node));
	put(node, "values_free", s->node.values_free);
	put(node, "payloads_open", s->node.payloads_open);
	return node;
}

static json_t *
nodes_of(const struct loop_snapshot *s)
{
	json_t *nodes = json_array();

	for (uint8_t i = 0; i < NODE_NODES_MAX; i++) {
		const struct node_peer_status *peer = &s->peer[i];
		char endpoint[STATUS_ENDPOINT_BYTES], uuid[STATUS_UUID_BYTES];

		if (!(s->peers >> i & 1))
			continue;
		json_t *node = json_object();
		status_endpoint(&peer->endpoint, endpoint);
		status_uuid(peer->uuid, uuid);
		put(node, "number", i);
		put(node, "id", status_node_id(peer->uuid));
		put_text(node, "uuid", uuid);
		put_text(node, "endpoint", endpoint);
		put_bool(node, "listed", peer->listed);
		put_bool(node, "differs_from_file", peer->differs);
		put_bool(node, "stranger", peer->stranger);
		put_bool(node, "self", i == s->node.self);
		put_bool(node, "connected", i == s->node.self || (s->node.link_up >> i & 1) != 0);
		put_bool(node, "votes", (s->group[0].configuration.voters >> i & 1) != 0);
		put_bool(node, "outdated", (s->node.outdated >> i & 1) != 0);
		put_bool(node, "differs", (s->node.differing >> i & 1) != 0);
		(void)json_array_append_new(nodes, node);
	}
	return nodes;
}

static json_t *
member_of(const struct node_member_status *m)
{
	json_t *member = json_object();
	char uuid[STATUS_UUID_BYTES];

	status_uuid(m->uuid, uuid);
	put_text(member, "uuid", uuid);
	put_text(member, "host", m->host);
	put(member, "port", m->port);
	put(member, "incarnation", m->incarnation);
	put(member, "session", m->session);
	put(member, "attached_to", m->node);
	put_bool(member, "online", m->online);
	put_bool(member, "connected_here", m->connected);
	put(member, "committed_index", m->committed_index);
	put(member, "mark_low", m->mark_low);
	return member;
}

/* Who votes. */
static json_t *
configuration_of(const struct node_group_status *g)
{
	json_t *configuration = json_object();
	json_t *voters = json_array();

	for (uint8_t i = 0; i < NODE_NODES_MAX; i++) {
		if (g->configuration.voters >> i & 1)
			(void)json_array_append_new(voters, json_integer(i));
	}
	put(configuration, "number", g->configuration.number);
	put(configuration, "first_slot", g->configuration.first);
	put_bool(configuration, "in_force", g->delivered_slot + 1 >= g->configuration.first);
	put(configuration, "horizon", g->configuration.horizon);
	put_bool(configuration, "settled", g->settled);
	put_bool(configuration, "all_lead", g->configuration.all_lead);
	(void)json_object_set_new(configuration, "voters", voters);
	return configuration;
}

static json_t *
lost_of(const struct node_group_status *g)
{
	json_t *lost = json_array();

	for (uint32_t i = 0; i < g->lost_count; i++) {
		char text[STATUS_GTIDS_BYTES];

		status_gtids(&g->lost[i], text);
		(void)json_array_append_new(lost, json_string(text));
	}
	return lost;
}

static json_t *
gone_of(const struct node_group_status *g)
{
	json_t *gone = json_array();

	for (uint32_t i = 0; i < g->gone_count; i++) {
		const struct gtid *gtid = &g->gone[i];
		char text[STATUS_GTIDS_BYTES];

		status_gtids(&(struct gtid_interval){gtid->source, gtid->gno, gtid->gno}, text);
		(void)json_array_append_new(gone, json_string(text));
	}
	return gone;
}

static json_t *
group_of(const struct loop_snapshot *s, const struct node_group_status *g)
{
	json_t *group = json_object();
	json_t *members = json_array();
	char uuid[STATUS_UUID_BYTES];

	status_uuid(g->uuid, uuid);
	put(group, "number", g->group);
	put_text(group, "uuid", uuid);
	put_leader(group, g->leader);
	put_bool(group, "all_lead", g->all_lead);
	(void)json_object_set_new(group, "configuration", configuration_of(g));
	put(group, "epoch", g->epoch);
	put(group, "delivered_slot", g->delivered_slot);
	put(group, "last_index", g->last_index);
	put(group, "horizon_index", g->horizon_index);
	put(group, "certified", g->certified);
	put(group, "conflicts", g->conflicts);
	put(group, "index_hashes", g->index_hashes);
	put(group, "member_count", g->member_count);
	(void)json_object_set_new(group, "lost", lost_of(g));
	put(group, "cut_index", g->cut_index);
	(void)json_object_set_new(group, "gone", gone_of(g));
	for (uint32_t i = 0; i < s->member_count; i++) {
		if (s->member[i].group == g->group)
			(void)json_array_append_new(members, member_of(&s->member[i].status));
	}
	(void)json_object_set_new(group, "members", members);
	return group;
}

static json_t *
groups_of(const struct loop_snapshot *s)
{
	json_t *groups = json_array();

	for (uint32_t i = 0; i < s->group_count; i++)
		(void)json_array_append_new(groups, group_of(s, &s->group[i]));
	return groups;
}

static json_t *
log_of(const struct loop_snapshot *s, const struct status_facts *facts)
{
	json_t *log = json_object();

	put_text(log, "mode", facts->log_mode);
	put(log, "first_lsn", s->log.first_lsn);
	put(log, "durable_lsn", s->log.durable_lsn);
	put(log, "next_lsn", s->node.lsn_next);
	put(log, "live_bytes", s->log.live_bytes);
	put(log, "bytes_max", s->log.bytes_max);
	put(log, "batches", s->log.batches);
	put(log, "stalled", s->log.stalled);
	put(log, "waited", s->loop.log_waited);
	put(log, "unreadable", s->loop.unreadable);
	put(log, "replayed", s->loop.replayed);
	put(log, "lost_bytes", s->node.lost_bytes);
	put_error(log, "space_error", s->log.space_error);
	put_error(log, "write_error", s->log.write_error);
	return log;
}

static const char *
round_name(enum node_round round)
{
	static const char *const name[] = {
		[NODE_ROUND_NONE] = "none",       [NODE_ROUND_WRITTEN] = "written",
		[NODE_ROUND_ON_DISK] = "on_disk", [NODE_ROUND_GIVEN] = "given",
		[NODE_ROUND_MEMBERS] = "members", [NODE_ROUND_NODES] = "nodes",
	};

	must((size_t)round < sizeof name / sizeof name[0]);
	return name[round];
}

static void
put_if(json_t *object, const char *key, bool there, uint64_t value)
{
	(void)json_object_set_new(object, key,
				  there ? json_integer((json_int_t)value) : json_null());
}

/* How the log is trimmed, and what that waits for. */
static json_t *
images_of(const struct loop_snapshot *s)
{
	static const uint8_t nobody[16];
	const struct node_image_status *i = &s->image;
	bool of_group = i->round == NODE_ROUND_MEMBERS || i->round == NODE_ROUND_NODES;
	bool of_member =
		i->round == NODE_ROUND_MEMBERS && memcmp(i->member, nobody, sizeof nobody) != 0;
	json_t *images = json_object();
	char uuid[STATUS_UUID_BYTES];

	status_uuid(i->member, uuid);
	put(images, "every_bytes", i->every_bytes);
	put(images, "trimmed_lsn", i->trimmed_lsn);
	put(images, "used", i->used);
	put_if(images, "used_s_ago", i->used > 0, (s->now_ns - i->used_ns) / NANOSECONDS);
	put_bool(images, "submissions_wait", i->slowed);
	put_text(images, "round", round_name(i->round));
	put_if(images, "round_lsn", i->round != NODE_ROUND_NONE, i->round_lsn);
	put_if(images, "group", of_group, i->group);
	put_if(images, "index", of_group, i->index);
	(void)json_object_set_new(images, "member", of_member ? json_string(uuid) : json_null());
	put_if(images, "committed_index", of_member, i->committed);
	put_if(images, "agreed", i->round == NODE_ROUND_NODES, i->agreed);
	put(images, "taken", i->taken);
	put_if(images, "taken_from", i->taking, i->from);
	put_if(images, "taken_group", i->taking, i->taken_group);
	put_if(images, "taken_parts", i->taking, i->parts);
	put_if(images, "taken_parts_all", i->taking, i->parts_all);
	return images;
}

static json_t *
port_of(const struct loop_snapshot *s, const struct status_facts *facts)
{
	json_t *port = json_object();

	put_text(port, "driver", facts->driver);
	put_bool(port, "link_up", s->link_up);
	put(port, "frames_received", s->port.received);
	put(port, "frames_sent", s->port.sent);
	put(port, "datagrams_received", s->udp.received);
	put(port, "datagrams_sent", s->udp.sent);
	put(port, "retransmitted", s->node.retransmitted);
	put(port, "rekeys", s->node.rekeys);
	put(port, "cookies_sent", s->node.cookies_sent);
	put(port, "arp_answered", s->arp_answered);
	put(port, "echo_answered", s->echo_answered);
	put(port, "turns", s->loop.turns);
	put(port, "sleeps", s->loop.blocked);
	return port;
}

/* Everything that was thrown away, and where. */
static json_t *
drops_of(const struct loop_snapshot *s)
{
	json_t *drops = json_object();
	json_t *frames = json_object();
	json_t *sending = json_object();
	json_t *node = json_object();

	for (int i = 0; i < FRAMES_DROP_COUNT; i++)
		put(frames, frames_drop_name((enum frames_drop)i), s->frame_drop[i]);
	put(frames, "segmented", s->port.segmented);
	put(sending, "port_full", s->port.send_dropped);
	put(sending, "no_frame", s->port.no_frame);
	put(sending, "too_long", s->udp.too_long);
	put(sending, "unreachable", s->udp.unreachable);
	put(sending, "unresolved", s->udp.unresolved);
	put(sending, "arp_queue_full", s->udp.pending_dropped);
	put(node, "datagrams", s->node.datagrams_dropped);
	put(node, "undecodable", s->node.dropped_undecodable);
	put(node, "other_epoch", s->node.dropped_epoch);
	put(node, "no_value_free", s->node.dropped_no_value);
	put(node, "unknown_group", s->node.dropped_unknown_group);
	put(node, "chunks", s->node.dropped_chunks);
	put(node, "other_version", s->node.other_versions);
	put(node, "forged", s->node.dropped_forged);
	put(node, "key_not_listed", s->node.dropped_key);
	put(node, "in_clear", s->node.dropped_clear);
	put(node, "key_not_for_group", s->node.turned_away.count);
	put(node, "certificates_refused", s->node.certificates_refused);
	put(node, "handshakes_beyond_rate", s->node.dropped_load);
	put(node, "handshakes_stale", s->node.dropped_handshake);
	put(node, "replayed", s->node.dropped_replayed);
	put(node, "of_no_session", s->node.dropped_unknown);
	put(node, "keys_retired", s->node.dropped_retired);
	put(node, "malformed", s->node.dropped_malformed);
	(void)json_object_set_new(drops, "received_frames", frames);
	(void)json_object_set_new(drops, "sending", sending);
	(void)json_object_set_new(drops, "node", node);
	return drops;
}

/* Whom group 0 lists, for all nodes. */
static json_t *
keys_of(const struct loop_snapshot *s)
{
	static const uint8_t any[16];
	json_t *keys = json_array();

	for (uint32_t i = 0; i < s->key_count; i++) {
		const struct node_key *k = &s->key[i];
		json_t *key = json_object(), *groups = json_array();
		char text[HW_KEY_TEXT_BYTES], uuid[STATUS_UUID_BYTES];

		hw_key_text(k->key, text);
		status_uuid(k->uuid, uuid);
		put_text(key, "key", text);
		put_text(key, "kind", k->node ? "node" : "server");
		put_text(key, "uuid", memcmp(k->uuid, any, sizeof any) == 0 ? "any" : uuid);
		for (uint32_t g = 0; g < k->group_count; g++) {
			status_uuid(k->group[g], uuid);
			(void)json_array_append_new(groups, json_string(uuid));
		}
		(void)json_object_set_new(key, "groups", groups);
		(void)json_array_append_new(keys, key);
	}
	return keys;
}

json_t *
status_json(const struct loop_snapshot *snapshot, const struct status_facts *facts)
{
	json_t *status = json_object();

	must(facts->node->node_count <= NODE_NODES_MAX);
	put_text(status, "version", facts->version);
	(void)json_object_set_new(status, "node", node_of(snapshot, facts));
	(void)json_object_set_new(status, "nodes", nodes_of(snapshot));
	(void)json_object_set_new(status, "groups", groups_of(snapshot));
	put_bool(status, "members_cut", snapshot->members_cut);
	(void)json_object_set_new(status, "keys", keys_of(snapshot));
	(void)json_object_set_new(status, "log", log_of(snapshot, facts));
	(void)json_object_set_new(status, "images", images_of(snapshot));
	(void)json_object_set_new(status, "port", port_of(snapshot, facts));
	(void)json_object_set_new(status, "drops", drops_of(snapshot));
	return status;
}
