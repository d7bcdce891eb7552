/* What a synodd will do: see plan.h. */
#include "dpdk/plan.h"

#include <errno.h>
#include <string.h>

#include "base/hash.h"
#include "base/must.h"
#include "dpdk/epoch.h"
#include "dpdk/status.h"
#include "node/history.h"
#include "paxos/codec.h"

#define US               1000u
#define MS               1000000u
#define VALUE_BYTES      (64u * 1024)      /* of one consensus value: a batch, or one transaction */
#define VALUE_HEAD_BYTES 256u              /* what a pool keeps in front of one, rounded up */
#define CHUNK_BYTES      (40u * 1024)      /* of a payload above VALUE_BYTES; three to a window */
#define LOG_PAYLOADS_MIN 4                 /* of the longest kind that the log holds */
#define LOG_IMAGES       4                 /* so much of the log comes between two state images */
#define IMAGE_HASH_BYTES 16ull             /* of an image, for a row's hash */
#define STREAM_BYTES     (4 * VALUE_BYTES) /* two messages of the longest kind each way */
#define INFLIGHT         4096u
#define RESULTS          65536u
#define HISTORY_ROW      256u
#define HISTORY_BLOCK    (1u << 20) /* bytes of log that as many entries as a block has take */
#define UDP_IPV4_BYTES   28u
#define PLAN_TEXT_BYTES  2048

/* A shared host's scheduler may keep a healthy leader off its core for some ticks
 * of 4 ms: where it does so for longer, paxos/patience.h finds out. */
struct pace {
	uint64_t takeover_ns;
	uint64_t takeover_min_ns;
	uint64_t beat_ns;
	uint64_t retry_ns;
	uint64_t session_dead_ns;
};

static const struct pace shared_pace = {.takeover_ns = 150u * MS,
					.takeover_min_ns = 25u * MS,
					.beat_ns = 8u * MS,
					.retry_ns = 20u * MS,
					.session_dead_ns = 500u * MS};
static const struct pace dedicated_pace = {.takeover_ns = 10u * MS,
					   .takeover_min_ns = 800u * US,
					   .beat_ns = 200u * US,
					   .retry_ns = 2u * MS,
					   .session_dead_ns = 50u * MS};

#define TAIL_TRUST_NS (5000ull * MS)
#define EXPEL_NS      (10000ull * MS)
#define GC_NS         (1000ull * MS)

/* "synod-node" and the id: readable in a dump, equal on every node. */
void
plan_node_uuid(uint32_t id, uint8_t uuid[16])
{
	memset(uuid, 0, 16);
	memcpy(uuid, "synod-node", 10);
	for (int i = 0; i < 4; i++)
		uuid[15 - i] = (uint8_t)(id >> 8 * i);
}

static bool
is_spare(const struct hw_config *c, uint32_t id)
{
	for (uint32_t i = 0; i < c->spares.count; i++) {
		if (c->spares.id[i] == id)
			return true;
	}
	return false;
}

static uint32_t
number_of(const struct hw_config_nodes *nodes, uint32_t i)
{
	uint32_t number = 0;

	if (nodes->numbered)
		return nodes->node[i].number;
	for (uint32_t k = 0; k < nodes->count; k++)
		number += nodes->node[k].id < nodes->node[i].id;
	return number;
}

/* Of one that joins, spare or not, the file does not say who votes: it learns that. That some
 * node leads is a guess, until one is heard. */
static int
plan_voters(struct plan *plan, struct hw_error *error)
{
	struct node_config *n = &plan->node;
	uint32_t others = ((1u << n->node_count) - 1) & ~n->absent & ~(1u << n->self);

	if (plan->config->joins[0] == '\0') {
		must(n->voters != 0); /* hw_config_parse() */
		n->leader = (uint8_t)__builtin_ctz(n->voters);
		return 0;
	}
	if (!epoch_read(plan->config->joins, &n->forced) || others == 0)
		return hw_error_set(error, -EINVAL,
				    "[appliance] joins is the epoch that `synodctl status` shows "
				    "there, as in 0:6f1d2c9e0b3a4a779c550f8e2d7a1b34, and nodes "
				    "names one at least that runs there");
	n->joins = true;
	n->voters = 0;
	n->leader = (uint8_t)__builtin_ctz(others);
	return 0;
}

static int
plan_nodes(struct plan *plan, struct hw_error *error)
{
	const struct hw_config *c = plan->config;
	struct node_config *n = &plan->node;
	bool found = false;

	n->absent = (1u << NODE_NODES_MAX) - 1;
	for (uint32_t i = 0; i < c->nodes.count; i++) {
		uint32_t number = number_of(&c->nodes, i);
		must(number < NODE_NODES_MAX);
		n->absent &= ~(1u << number);
		n->node_count = (uint8_t)(number < n->node_count ? n->node_count : number + 1);
		n->endpoint[number] = c->nodes.node[i].address;
		plan_node_uuid(c->nodes.node[i].id, n->uuid[number]);
		n->voters |= is_spare(c, c->nodes.node[i].id) ? 0 : 1u << number;
		if (!endpoint_is_ipv4(&c->nodes.node[i].address))
			return hw_error_set(error, -EINVAL,
					    "node %u has an IPv6 address: DPDK ports serve IPv4 so "
					    "far; give all nodes IPv4 addresses",
					    c->nodes.node[i].id);
		if (c->nodes.node[i].id == c->id) {
			n->self = (uint8_t)number;
			found = true;
		}
	}
	n->absent &= (1u << n->node_count) - 1;
	if (!found)
		return hw_error_set(error, -EINVAL,
				    "[appliance] nodes does not list this node's id %u", c->id);
	return plan_voters(plan, error);
}

static int
plan_address(struct plan *plan, struct hw_error *error)
{
	const struct hw_config *c = plan->config;
	const struct endpoint *self = &plan->node.endpoint[plan->node.self];
	struct endpoint gateway = {0};

	plan->address.ipv4 = endpoint_ipv4(self);
	plan->address.port = self->port;
	plan->address.prefix_bits = (uint8_t)c->prefix_bits;
	if (c->prefix_bits < 1 || c->prefix_bits > 32)
		return hw_error_set(error, -EINVAL, "[port] prefix_bits is 1 to 32 for IPv4");
	if (c->gateway.given) {
		memcpy(gateway.address, c->gateway.byte, sizeof gateway.address);
		if (!endpoint_is_ipv4(&gateway))
			return hw_error_set(error, -EINVAL, "[port] gateway must be IPv4 so far");
		plan->address.gateway = endpoint_ipv4(&gateway);
	}
	plan->port = (struct port_config){.eal_arguments = c->eal, .mtu = (uint16_t)c->mtu};
	if (c->mac.given) {
		plan->port.mac_given = true;
		memcpy(plan->port.mac, c->mac.byte, sizeof plan->port.mac);
	}
	return 0;
}

/* A log in memory cannot be read back. Else as many blocks as the log can ever hold: no
 * entry and its result take less than 42 and 5 bytes. */
static void
plan_history(struct plan *plan)
{
	const struct hw_config *c = plan->config;
	struct node_config *n = &plan->node;
	uint64_t bytes = c->log_bytes_max;

	n->history_row = c->durability == HW_DURABILITY_DISK ? HISTORY_ROW : 0;
	n->history_links = HISTORY_LINKS_MAX;
	for (n->history_blocks = 1; bytes > HISTORY_BLOCK; bytes = (bytes + 1) / 2)
		n->history_blocks *= 2;
}

/* A log in memory cannot be read back. Else a payload lies in the log whole, and must
 * leave room for those of others. */
static void
plan_payloads(struct plan *plan)
{
	const struct hw_config *c = plan->config;
	uint64_t fits = c->log_bytes_max / LOG_PAYLOADS_MIN;
	uint64_t bytes = c->payload_bytes_max < fits ? c->payload_bytes_max : fits;

	plan->node.payload_bytes_max = c->durability == HW_DURABILITY_DISK ? bytes : 0;
	plan->node.chunk_bytes = CHUNK_BYTES;
}

/* A log in memory is never full. Else images of all groups are a part of what the log holds,
 * once or twice, beside what came since: what they take at most of what grows with a group is
 * to fit between two of them. */
static int
plan_images(struct plan *plan, struct hw_error *error)
{
	const struct hw_config *c = plan->config;
	uint64_t index_bytes = IMAGE_HASH_BYTES * c->groups_max * c->index_hashes_max;

	if (c->durability != HW_DURABILITY_DISK)
		return 0;
	plan->node.image_bytes = c->log_bytes_max / LOG_IMAGES;
	if (index_bytes <= plan->node.image_bytes)
		return 0;
	return hw_error_set(
		error, -EINVAL,
		"[log] log_bytes_max is too small to be trimmed: images of %u groups of "
		"%lu row hashes take up to %lu MiB, and it has to hold four times that; "
		"or lower groups_max or index_hashes_max",
		c->groups_max, c->index_hashes_max, index_bytes / (1u << 20) + 1);
}

static int
plan_limits(struct plan *plan, struct hw_error *error)
{
	const struct hw_config *c = plan->config;
	struct node_config *n = &plan->node;
	const struct pace *pace = plan->profile == LOOP_DEDICATED ? &dedicated_pace : &shared_pace;

	n->groups_max = c->groups_max;
	n->members_max = c->members_max;
	n->inflight_max = INFLIGHT;
	n->index_hashes_max = (uint32_t)c->index_hashes_max;
	n->results_max = RESULTS;
	plan_history(plan);
	n->value_bytes_max = VALUE_BYTES;
	plan_payloads(plan);
	n->horizon = c->event_horizon;
	n->votes_from = c->votes_after > 0 ? (uint64_t)c->votes_after + 1 : 0;
	n->datagram_bytes_max = c->mtu - UDP_IPV4_BYTES;
	n->stream_bytes = STREAM_BYTES;
	n->takeover_ns = pace->takeover_ns;
	n->takeover_min_ns = pace->takeover_min_ns;
	n->beat_ns = pace->beat_ns;
	n->retry_ns = pace->retry_ns;
	n->session_dead_ns = pace->session_dead_ns;
	n->tail_trust_ns = TAIL_TRUST_NS;
	n->expel_ns = EXPEL_NS;
	n->lag_ns = EXPEL_NS;
	n->gc_ns = GC_NS;
	uint64_t wanted = node_values_min(c->groups_max, c->event_horizon);
	uint64_t values = c->pool_bytes / (VALUE_BYTES + VALUE_HEAD_BYTES);
	if (values < wanted)
		return hw_error_set(
			error, -EINVAL,
			"[memory] pool_bytes is too small for %u groups of %u rounds: at "
			"least %lu MiB, or fewer groups_max or event_horizon",
			c->groups_max, c->event_horizon,
			wanted * (VALUE_BYTES + VALUE_HEAD_BYTES) / (1u << 20) + 1);
	n->values_max = values > UINT32_MAX ? UINT32_MAX : (uint32_t)values;
	return plan_images(plan, error);
}

struct hw_wish
plan_wish(const struct hw_config *config)
{
	return (struct hw_wish){
		.profile = (enum hw_profile)config->profile,
		.hugepages = (enum hw_hugepages)config->hugepages,
		.pool_bytes = config->pool_bytes,
		.poll_cores = 1,
	};
}

/* "iface=veA" of a virtual port, or the PCI address behind "-a". */
bool
plan_nic(const struct hw_config *config, char nic[HW_CONFIG_TEXT_BYTES])
{
	const char *at = strstr(config->eal, "iface=");
	size_t skip = strlen("iface=");

	if (!at) {
		at = strstr(config->eal, "-a ");
		skip = strlen("-a ");
	}
	if (!at)
		return false;
	at += skip;
	size_t bytes = strcspn(at, " \t,");
	must(bytes < HW_CONFIG_TEXT_BYTES);
	memcpy(nic, at, bytes);
	nic[bytes] = '\0';
	return bytes > 0;
}

int
plan_make(struct plan *plan, const struct hw_config *config, const struct hw_plan *machine,
	  struct hw_error *error)
{
	*plan = (struct plan){.config = config, .machine = *machine};
	must(machine->profile != HW_PROFILE_AUTO);
	plan->profile = machine->profile == HW_PROFILE_DEDICATED ? LOOP_DEDICATED : LOOP_SHARED;
	int rc = plan_nodes(plan, error);
	if (rc == 0)
		rc = plan_address(plan, error);
	if (rc == 0)
		rc = plan_limits(plan, error);
	if (rc != 0)
		return rc;
	plan->log = (struct hw_log_options){
		.directory = config->directory,
		.memory = config->durability == HW_DURABILITY_MEMORY,
		.segment_bytes = config->segment_bytes,
		.log_bytes_max = config->log_bytes_max,
	};
	memcpy(plan->log.server, plan->node.uuid[plan->node.self], sizeof plan->log.server);
	memcpy(plan->log.epoch, config->epoch, sizeof plan->log.epoch);
	return 0;
}

void
plan_new_epoch(const struct plan *plan, uint8_t epoch[EPOCH_BYTES])
{
	static const uint8_t none[EPOCH_BYTES] = {0};
	uint64_t half[2] = {0x796e6f64, 0x65706f63};

	if (memcmp(plan->config->epoch, none, EPOCH_BYTES) != 0) {
		memcpy(epoch, plan->config->epoch, EPOCH_BYTES);
		return;
	}
	for (int h = 0; h < 2; h++) {
		for (uint32_t i = 0; i < plan->node.node_count; i++) {
			if (plan->node.absent >> i & 1)
				continue;
			const struct endpoint *e = &plan->node.endpoint[i];
			half[h] = hash_fold(half[h], hash_bytes(plan->node.uuid[i], 16, 0));
			half[h] = hash_fold(half[h], hash_bytes(e->address, 16, 0));
			half[h] = hash_fold(half[h], e->port);
		}
		bytes_put_u64(epoch + 8 * (size_t)h, half[h]);
	}
}

_Static_assert(HW_KEYS_MAX <= NODE_KEYS_MAX && HW_KEY_GROUPS_MAX <= NODE_KEY_GROUPS_MAX,
	       "what the file may hold, the node can know");

uint32_t
plan_keys(const struct hw_keys *keys, struct node_key out[NODE_KEYS_MAX])
{
	for (uint32_t i = 0; i < keys->count; i++) {
		const struct hw_key *k = &keys->peer[i];
		out[i] = (struct node_key){.node = k->kind == HW_KEY_NODE,
					   .group_count = k->group_count};
		memcpy(out[i].key, k->key, sizeof out[i].key);
		memcpy(out[i].uuid, k->uuid, sizeof out[i].uuid);
		memcpy(out[i].group, k->group, sizeof k->group);
		if (out[i].node)
			plan_node_uuid(k->node, out[i].uuid);
	}
	return keys->count;
}

void
plan_print(const struct plan *plan, FILE *out)
{
	const struct hw_config *c = plan->config;
	const struct node_config *n = &plan->node;
	char machine[PLAN_TEXT_BYTES];

	fprintf(out, "node       number %u of %u, id %u, \"%s\"%s%s\n", n->self, c->nodes.count,
		c->id, c->name, n->joins ? ", joins " : "", c->joins);
	for (uint8_t i = 0; i < n->node_count; i++) {
		char endpoint[STATUS_ENDPOINT_BYTES];
		if (n->absent >> i & 1)
			continue;
		status_endpoint(&n->endpoint[i], endpoint);
		fprintf(out, "           %u  %s%s%s%s\n", i, endpoint,
			i == n->self ? "  this node" : "",
			n->voters >> i & 1 ? "" : "  no voter at first",
			i == n->leader ? "  leads at first" : "");
	}
	fprintf(out, "port       %s\n           /%u, MTU %u, profile %s\n", c->eal, c->prefix_bits,
		c->mtu, plan->profile == LOOP_DEDICATED ? "dedicated" : "shared");
	if (plan->log.memory)
		fprintf(out, "log        in memory: a power loss of a majority loses commits\n");
	else
		fprintf(out, "log        %s, %lu MiB at most in segments of %u MiB\n", c->directory,
			c->log_bytes_max >> 20, c->segment_bytes >> 20);
	fprintf(out, "memory     %zu MiB, of it %u values of %u bytes\n", node_size(n) >> 20,
		n->values_max, n->value_bytes_max);
	fprintf(out, "payloads   %lu KiB at most, spread above %u KiB\n",
		(n->payload_bytes_max > 0 ? n->payload_bytes_max : VALUE_BYTES) >> 10,
		VALUE_BYTES >> 10);
	fprintf(out, "groups     %u of %u members and %u row hashes each\n", n->groups_max,
		n->members_max, n->index_hashes_max);
	fprintf(out,
		"pace       takeover after %lu ms, sessions end after %lu ms, cut log trusted "
		"after %lu ms\n",
		n->takeover_ns / MS, n->session_dead_ns / MS, n->tail_trust_ns / MS);
	fprintf(out, "links      %s%s\n", c->seal == HW_SEAL_ON ? "sealed, keys in " : "in clear",
		c->seal == HW_SEAL_ON ? c->key_file : "");
	fprintf(out, "control    %s\n", c->socket);
	hw_plan_text(&plan->machine, machine, sizeof machine);
	fprintf(out, "\n%s", machine);
}
