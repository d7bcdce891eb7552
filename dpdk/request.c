/* What the control socket is asked: see request.h. */
#include "dpdk/request.h"

#include <jansson.h>
#include <string.h>

#include "base/must.h"
#include "dpdk/epoch.h"

#define HORIZON_MIN 10
#define HORIZON_MAX 200

static struct request
refuse(const char *sentence)
{
	return (struct request){.refused = sentence};
}

/* A bit for each; 0: none, or there is another thing among them. */
static uint32_t
bits_of(const json_t *nodes)
{
	const json_t *node;
	uint32_t bits = 0;
	size_t i;

	json_array_foreach(nodes, i, node)
	{
		json_int_t n = json_integer_value(node);
		if (!json_is_integer(node) || n < 0 || n >= NODE_NODES_MAX)
			return 0;
		bits |= 1u << n;
	}
	return bits;
}

static struct request
parse_voters(const json_t *line)
{
	const json_t *number = json_object_get(line, "number");
	struct request r = {.kind = REQUEST_VOTERS};

	r.voters = bits_of(json_object_get(line, "voters"));
	if (r.voters == 0 || !json_is_integer(number) || json_integer_value(number) < 0)
		return refuse("write {\"command\": \"voters\", \"voters\": [0, 1, 2], "
			      "\"number\": N}, N of group 0's configuration");
	const json_t *horizon = json_object_get(line, "horizon");
	if (horizon && (!json_is_integer(horizon) || json_integer_value(horizon) < HORIZON_MIN ||
			json_integer_value(horizon) > HORIZON_MAX))
		return refuse("an event horizon is 10 to 200 slots");
	r.horizon = (uint32_t)json_integer_value(horizon);
	r.number = (uint64_t)json_integer_value(number);
	return r;
}

static struct request
parse_kind(const json_t *line)
{
	const json_t *group = json_object_get(line, "group");
	const json_t *all_lead = json_object_get(line, "all_lead");

	if (!json_is_integer(group) || json_integer_value(group) <= 0 ||
	    json_integer_value(group) > UINT32_MAX || !json_is_boolean(all_lead))
		return refuse("write {\"command\": \"kind\", \"group\": N, "
			      "\"all_lead\": true}, N a group's number");
	return (struct request){
		.kind = REQUEST_KIND,
		.group = (uint64_t)json_integer_value(group),
		.all_lead = json_is_true(all_lead),
	};
}

static struct request
parse_drop(const json_t *line)
{
	json_int_t group = json_integer_value(json_object_get(line, "group"));

	if (group <= 0 || group > UINT32_MAX)
		return refuse("write {\"command\": \"drop\", \"group\": N}, N a group's number");
	return (struct request){.kind = REQUEST_DROP, .group = (uint64_t)group};
}

static struct request
parse_expel(const json_t *line)
{
	json_int_t group = json_integer_value(json_object_get(line, "group"));
	json_int_t incarnation = json_integer_value(json_object_get(line, "incarnation"));

	if (group <= 0 || group > UINT32_MAX || incarnation <= 0)
		return refuse("write {\"command\": \"expel\", \"group\": N, \"incarnation\": M}, "
			      "as status shows them");
	return (struct request){.kind = REQUEST_EXPEL,
				.group = (uint64_t)group,
				.incarnation = (uint64_t)incarnation};
}

/* One line of printable bytes that is not empty. */
static bool
take_line(const json_t *line, const char *name, char *out, size_t room)
{
	const char *text = json_string_value(json_object_get(line, name));
	size_t bytes = text ? strlen(text) : 0;

	if (bytes == 0 || bytes >= room)
		return false;
	for (size_t i = 0; i < bytes; i++) {
		if (text[i] < ' ' || text[i] > '~')
			return false;
	}
	memcpy(out, text, bytes + 1);
	return true;
}

static struct request
parse_node(const json_t *line)
{
	struct request r = {.kind = REQUEST_NODE};

	if (!take_line(line, "node", r.node, sizeof r.node) ||
	    (json_object_get(line, "peer") && !take_line(line, "peer", r.peer, sizeof r.peer)))
		return refuse("write {\"command\": \"node\", \"node\": \"4/3@10.77.0.4:4000\", "
			      "\"peer\": \"KEY\"}: its id, its number, its address");
	return r;
}

static struct request
parse_forget(const json_t *line)
{
	const json_t *number = json_object_get(line, "number");

	if (!json_is_integer(number) || json_integer_value(number) < 0 ||
	    json_integer_value(number) >= NODE_NODES_MAX)
		return refuse("write {\"command\": \"forget\", \"number\": N}, N a node's");
	return (struct request){.kind = REQUEST_FORGET,
				.number = (uint64_t)json_integer_value(number)};
}

/* It becomes one of a key file. */
static struct request
parse_peer(const json_t *line, enum request_kind kind)
{
	struct request r = {.kind = kind};

	if (!take_line(line, "peer", r.peer, sizeof r.peer))
		return refuse(
			"write {\"command\": \"list\", \"peer\": \"KEY server any group any\"} or "
			"{\"command\": \"unlist\", \"peer\": \"KEY\"}, in plain text");
	return r;
}

static struct request
parse_force(const json_t *line)
{
	const char *epoch = json_string_value(json_object_get(line, "epoch"));
	struct request r = {.kind = REQUEST_FORCE};

	r.force.voters = bits_of(json_object_get(line, "voters"));
	r.here_only = json_is_true(json_object_get(line, "here"));
	if (r.force.voters == 0 || !epoch || !epoch_read(epoch, &r.force) || r.force.number == 0)
		return refuse("write {\"command\": \"force\", \"voters\": [1], \"epoch\": "
			      "\"1:32 hex digits\", \"here\": false}");
	return r;
}

struct request
request_parse(const char *line, size_t bytes)
{
	json_t *object = json_loadb(line, bytes, JSON_REJECT_DUPLICATES, NULL);
	const char *command = json_string_value(json_object_get(object, "command"));
	struct request r;

	if (!command)
		r = refuse("a request is one line: {\"command\": \"status\"}");
	else if (strcmp(command, "voters") == 0)
		r = parse_voters(object);
	else if (strcmp(command, "kind") == 0)
		r = parse_kind(object);
	else if (strcmp(command, "drop") == 0)
		r = parse_drop(object);
	else if (strcmp(command, "expel") == 0)
		r = parse_expel(object);
	else if (strcmp(command, "list") == 0)
		r = parse_peer(object, REQUEST_LIST);
	else if (strcmp(command, "unlist") == 0)
		r = parse_peer(object, REQUEST_UNLIST);
	else if (strcmp(command, "force") == 0)
		r = parse_force(object);
	else if (strcmp(command, "node") == 0)
		r = parse_node(object);
	else if (strcmp(command, "forget") == 0)
		r = parse_forget(object);
	else if (strcmp(command, "status") == 0)
		r = (struct request){.kind = REQUEST_STATUS};
	else
		r = refuse("unknown command; this version knows: status, voters, kind, drop, "
			   "expel, list, unlist, node, forget, force");
	json_decref(object);
	return r;
}
