/*
 * Any text as what an administrator writes. The first byte chooses:
 *
 *     0  the configuration of a node
 *     1  a key file
 *     2  gtid_executed
 *     3  one key: what reads is written back as the same text
 *     4  a uuid: what reads is written back as one that reads alike
 *     5  a request on the control socket: what it asks for, written anew, reads alike, and what
 *        it orders is an order, or a sentence
 *     6  no text: certificates that a server shows; a verdict, and a sentence unless it is good
 *     7  a synodd's answer, as synodctl tells people of it
 *     8  no text: a transaction of another server, on its way into the relay log; u8 bytes of a
 *        piece. Whole events are queued, in their order, however the pieces are cut
 *
 * What is wrong is refused with a sentence that fits. synod.appliance is left out: its
 * names are asked of the resolver.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/must.h"
#include "certify/gtid.h"
#include "dpdk/epoch.h"
#include "dpdk/order.h"
#include "dpdk/print.h"
#include "dpdk/request.h"
#include "hw/certificates.h"
#include "hw/config.h"
#include "hw/keys.h"
#include "mysqlshim/applier.h"
#include "mysqlshim/gtid_text.h"
#include "mysqlshim/payload.h"
#include "tests/fuzz/authority.h"
#include "tests/fuzz/fuzz.h"

#define TEXT_BYTES_MAX 8192
#define GTID_LIMITS    ((struct gtid_limits){.sources_max = 16, .intervals_max = 64})

static void
has_a_sentence(int answer, const struct hw_error *error)
{
	must(answer == 0 || error->text[0] != '\0');
	must(memchr(error->text, 0, sizeof error->text) != NULL);
}

static void
gtids(const char *text)
{
	static uint64_t memory[8192];

	must(gtid_set_size(GTID_LIMITS) <= sizeof memory);
	(void)gtid_text_parse(gtid_set_init(memory, GTID_LIMITS), text);
}

static void
one_key(const char *text)
{
	uint8_t key[CRYPTO_KEY_BYTES];
	char again[HW_KEY_TEXT_BYTES];

	if (!hw_key_read(text, strlen(text), key))
		return;
	hw_key_text(key, again);
	must(strcmp(again, text) == 0);
}

static void
one_uuid(const char *text)
{
	uint8_t uuid[2][UUID_BYTES];
	char again[37];

	if (!uuid_parse(uuid[0], text))
		return;
	uuid_format(uuid[0], again);
	must(uuid_parse(uuid[1], again));
	must(memcmp(uuid[0], uuid[1], UUID_BYTES) == 0);
}

/* Printable bytes, of which JSON wants two escaped. "name":"text". */
static size_t
text_write(const char *name, const char *text, char *out, size_t room)
{
	size_t n = (size_t)snprintf(out, room, "\"%s\":\"", name);

	for (const char *at = text; *at != '\0'; at++) {
		must(n + 64 < room);
		if (*at == '"' || *at == '\\')
			out[n++] = '\\';
		out[n++] = *at;
	}
	out[n++] = '"';
	out[n++] = ',';
	return n;
}

static void
texts_write(const struct request *r, char *out, size_t room)
{
	size_t n = 1;

	out[0] = '{';
	if (r->peer[0] != '\0')
		n += text_write("peer", r->peer, out + n, room - n);
	if (r->node[0] != '\0')
		n += text_write("node", r->node, out + n, room - n);
	snprintf(out + n, room - n, "\"command\":\"%s\"}",
		 r->kind == REQUEST_LIST     ? "list"
		 : r->kind == REQUEST_UNLIST ? "unlist"
					     : "node");
}

static void
request_write(const struct request *r, char *out, size_t room)
{
	char nodes[128] = "";
	char epoch[EPOCH_TEXT_BYTES];
	size_t bytes = 0;
	char horizon[24] = "";

	if (r->horizon > 0)
		snprintf(horizon, sizeof horizon, ",\"horizon\":%u", r->horizon);
	for (unsigned n = 0; n < NODE_NODES_MAX; n++) {
		if (((r->voters | r->force.voters) >> n & 1) != 0)
			bytes += (size_t)snprintf(nodes + bytes, sizeof nodes - bytes, "%s%u",
						  bytes > 0 ? "," : "", n);
	}
	if (r->kind == REQUEST_VOTERS)
		snprintf(out, room,
			 "{\"number\":%" PRIu64 ",\"voters\":[%s]%s,\"command\":\"voters\"}",
			 r->number, nodes, horizon);
	else if (r->kind == REQUEST_KIND)
		snprintf(out, room, "{\"all_lead\":%s,\"group\":%" PRIu64 ",\"command\":\"kind\"}",
			 r->all_lead ? "true" : "false", r->group);
	else if (r->kind == REQUEST_DROP)
		snprintf(out, room, "{\"group\":%" PRIu64 ",\"command\":\"drop\"}", r->group);
	else if (r->kind == REQUEST_LIST || r->kind == REQUEST_UNLIST || r->kind == REQUEST_NODE)
		texts_write(r, out, room);
	else if (r->kind == REQUEST_FORGET)
		snprintf(out, room, "{\"number\":%" PRIu64 ",\"command\":\"forget\"}", r->number);
	else if (r->kind == REQUEST_EXPEL)
		snprintf(out, room,
			 "{\"incarnation\":%" PRIu64 ",\"group\":%" PRIu64
			 ",\"command\":\"expel\"}",
			 r->incarnation, r->group);
	else if (r->kind == REQUEST_FORCE) {
		epoch_text(&r->force, epoch);
		snprintf(out, room,
			 "{\"here\":%s,\"epoch\":\"%s\",\"voters\":[%s],\"command\":\"force\"}",
			 r->here_only ? "true" : "false", epoch, nodes);
	} else
		snprintf(out, room, "{\"command\":\"status\"}");
}

static void
one_order(const struct request *r)
{
	struct node_order order;

	if (r->kind < REQUEST_DROP || r->kind == REQUEST_FORCE)
		return;
	for (int sealed = 0; sealed < 2; sealed++) {
		struct hw_error error = {0};
		int rc = order_make(&order, r, sealed, &error);

		has_a_sentence(rc, &error);
		if (rc != 0)
			continue;
		must(order.kind >= NODE_ORDER_DROP && order.kind <= NODE_ORDER_FORGET);
		must(order.node < NODE_NODES_MAX);
		must(order.key.group_count <= NODE_KEY_GROUPS_MAX);
	}
}

static void
one_request(const char *text, size_t bytes)
{
	char again[2 * (REQUEST_PEER_BYTES + REQUEST_NODE_BYTES) + 256];
	struct request r = request_parse(text, bytes);

	if (r.refused) {
		must(r.refused[0] != '\0');
		must(r.kind == 0);
		return;
	}
	must(r.voters < 1u << NODE_NODES_MAX);
	must((r.voters != 0) == (r.kind == REQUEST_VOTERS));
	must((r.group != 0) == (r.kind >= REQUEST_KIND && r.kind <= REQUEST_EXPEL));
	if (r.kind != REQUEST_NODE)
		must((r.peer[0] != '\0') == (r.kind == REQUEST_LIST || r.kind == REQUEST_UNLIST));
	must((r.node[0] != '\0') == (r.kind == REQUEST_NODE));
	must((r.incarnation != 0) == (r.kind == REQUEST_EXPEL));
	must((r.force.voters != 0) == (r.kind == REQUEST_FORCE));
	must((r.force.number != 0) == (r.kind == REQUEST_FORCE));
	request_write(&r, again, sizeof again);
	struct request s = request_parse(again, strlen(again));
	must(!s.refused);
	must(s.kind == r.kind);
	must(s.voters == r.voters);
	must(s.horizon == r.horizon);
	must(s.number == r.number);
	must(s.group == r.group);
	must(s.all_lead == r.all_lead);
	must(s.incarnation == r.incarnation);
	must(strcmp(s.peer, r.peer) == 0);
	must(strcmp(s.node, r.node) == 0);
	must(memcmp(&s.force, &r.force, sizeof s.force) == 0);
	must(s.here_only == r.here_only);
	one_order(&r);
}

/* What it prints is nobody's. */
static void
one_answer(const char *text, size_t bytes)
{
	static bool silent;
	json_t *status = json_loadb(text, bytes, 0, NULL);

	if (!silent)
		must(freopen("/dev/null", "w", stdout));
	silent = true;
	print_status(status);
	print_lost(json_object_get(status, "groups"));
	json_decref(status);
}

static struct {
	uint32_t count;
	uint64_t bytes, sum;
} queued;

static int
queue(const uint8_t *event, size_t bytes)
{
	must(event_bytes(event, bytes) == bytes);
	if (queued.count++ > 0) /* the first one is of the GTID */
		queued.bytes += bytes;
	queued.sum = hash_bytes(event, bytes, queued.sum);
	return 0;
}

/* False: it was refused. Each piece is a block of its own size, so that a read behind it is seen.
 */
static bool
take_in_pieces(struct applier *a, const uint8_t *data, uint32_t bytes, uint32_t piece)
{
	char text[512] = "";
	bool taken = true;

	memset(&queued, 0, sizeof queued);
	for (uint32_t at = 0; at < bytes && taken; at += piece) {
		uint32_t n = piece < bytes - at ? piece : bytes - at;
		uint8_t *exact = malloc(n);
		struct feeder_transaction t = {.index = 10,
					       .dependency = 3,
					       .gtid = {.gno = 5},
					       .payload = exact,
					       .payload_bytes = n,
					       .offset = at,
					       .total = bytes,
					       .last = at + n == bytes};

		must(exact);
		memcpy(exact, data + at, n);
		taken = applier_take(a, &t, text, sizeof text);
		must(taken || text[0] != '\0');
		free(exact);
	}
	must(queued.bytes <= bytes);
	return taken;
}

static void
transaction(const uint8_t *data, size_t n)
{
	struct applier whole, cut;

	if (n < 2)
		return;
	applier_init(&whole, queue);
	applier_init(&cut, queue);
	bool taken = take_in_pieces(&whole, data + 1, (uint32_t)n - 1, (uint32_t)n - 1);
	uint64_t sum = queued.sum;
	must(!taken || queued.bytes == n - 1 - PAYLOAD_HEAD_BYTES);
	must(take_in_pieces(&cut, data + 1, (uint32_t)n - 1, 1u + data[0]) == taken);
	must(!taken || queued.sum == sum);
	applier_free(&whole);
	applier_free(&cut);
}

static const char *
written(const char *folder, const char *name, const char *text)
{
	static char paths[3][64];
	static int next;
	char *path = paths[next++ % 3];

	snprintf(path, sizeof paths[0], "%s/%s", folder, name);
	FILE *out = fopen(path, "w");
	must(out);
	must(fputs(text, out) >= 0);
	must(fclose(out) == 0);
	return path;
}

/* One end of each side, whose key is 32 zero bytes. */
static struct certificates *
make_table(enum hw_certificates_side side)
{
	static const uint8_t key[CRYPTO_KEY_BYTES];
	char folder[] = "/tmp/synod-fuzz-XXXXXX";
	struct hw_error error = {0};

	must(mkdtemp(folder));
	struct hw_certificates_config c = {
		.side = side,
		.ca = {"ca", written(folder, "ca", authority_pem)},
		.chain = {"file", written(folder, "file", certificate_pem)},
		.key = {"key", written(folder, "key", certificate_key_pem)},
		.public_key = key,
	};
	struct certificates *table = hw_certificates_new(&c, &error);
	must(table);
	(void)unlink(c.ca.path);
	(void)unlink(c.chain.path);
	(void)unlink(c.key.path);
	(void)rmdir(folder);
	return table;
}

static void
certificates(const uint8_t *data, size_t n)
{
	static const uint8_t key[CRYPTO_KEY_BYTES];
	static struct certificates *node;
	uint8_t *exact = malloc(n > 0 ? n : 1);

	if (!node) {
		node = make_table(HW_CERTIFICATES_NODE);
		struct certificates *server = make_table(HW_CERTIFICATES_SERVER);
		must(node->check(node->context, key, server->shown, server->shown_bytes) ==
		     CERTIFICATES_GOOD);
		hw_certificates_free(server);
	}
	must(exact);
	if (n > 0)
		memcpy(exact, data, n); /* of its own size, so that a read behind it is seen */
	enum certificates_verdict v = node->check(node->context, key, exact, (uint32_t)n);
	must(v < CERTIFICATES_VERDICTS);
	must(v == CERTIFICATES_GOOD || hw_certificates_why(node)[0] != '\0');
	free(exact);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static struct hw_config config;
	static struct hw_keys keys;
	static char text[TEXT_BYTES_MAX + 1];
	struct hw_error error = {0};

	if (n < 1 || n > TEXT_BYTES_MAX)
		return 0;
	memcpy(text, data + 1, n - 1);
	text[n - 1] = '\0';
	if (data[0] == 0)
		has_a_sentence(hw_config_parse(&config, "fuzz", text, &error), &error);
	else if (data[0] == 1)
		has_a_sentence(hw_keys_parse(&keys, "fuzz", text, &error), &error);
	else if (data[0] == 2)
		gtids(text);
	else if (data[0] == 3)
		one_key(text);
	else if (data[0] == 4)
		one_uuid(text);
	else if (data[0] == 5)
		one_request((const char *)data + 1, n - 1);
	else if (data[0] == 6)
		certificates(data + 1, n - 1);
	else if (data[0] == 7)
		one_answer((const char *)data + 1, n - 1);
	else if (data[0] == 8)
		transaction(data + 1, n - 1);
	return 0;
}
