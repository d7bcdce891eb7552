/* Orders out of requests: see order.h. */
#include "dpdk/order.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/must.h"
#include "dpdk/plan.h"
#include "hw/keys.h"

/* A key file has a secret; what is parsed here is thrown away. */
#define NO_SECRET "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE="

/* A line as in a key file, of which nothing else is there. */
static int
make_list(struct node_order *order, const struct request *r, struct hw_error *error)
{
	struct node_key listed[NODE_KEYS_MAX];
	struct hw_keys *keys = calloc(1, sizeof *keys);
	char text[REQUEST_PEER_BYTES + 128];

	if (!keys)
		return hw_error_set(error, -ENOMEM, "no memory");
	snprintf(text, sizeof text, "secret = %s\npeer = %s\n", NO_SECRET, r->peer);
	int rc = hw_keys_parse(keys, "key", text, error);
	if (rc == 0) {
		must(plan_keys(keys, listed) == 1);
		order->key = listed[0];
	}
	free(keys);
	return rc;
}

static int
make_key(struct node_order *order, const struct request *r, struct hw_error *error)
{
	if (!hw_key_read(r->peer, strlen(r->peer), order->key.key))
		return hw_error_set(error, -EINVAL, "that is no public key: 44 characters");
	return 0;
}

static int
make_node(struct node_order *order, const struct request *r, bool sealed, struct hw_error *error)
{
	struct hw_config_node node;

	if (!hw_config_node(r->node, &node) || !endpoint_is_ipv4(&node.address))
		return hw_error_set(error, -EINVAL,
				    "write id/number@address:port, as in 4/3@10.77.0.4:4000");
	if (sealed && r->peer[0] == '\0')
		return hw_error_set(error, -EINVAL,
				    "links are sealed: say that node's public key, which "
				    "`synodctl key show` prints on its host");
	order->key.node = true;
	order->node = (uint8_t)node.number;
	order->endpoint = node.address;
	plan_node_uuid(node.id, order->key.uuid);
	return r->peer[0] == '\0' ? 0 : make_key(order, r, error);
}

int
order_make(struct node_order *order, const struct request *r, bool sealed, struct hw_error *error)
{
	*order = (struct node_order){.group = (uint32_t)r->group, .incarnation = r->incarnation};
	switch (r->kind) {
	case REQUEST_DROP:
		order->kind = NODE_ORDER_DROP;
		return 0;
	case REQUEST_EXPEL:
		order->kind = NODE_ORDER_EXPEL;
		return 0;
	case REQUEST_LIST:
		order->kind = NODE_ORDER_LIST;
		return make_list(order, r, error);
	case REQUEST_UNLIST:
		order->kind = NODE_ORDER_UNLIST;
		return make_key(order, r, error);
	case REQUEST_NODE:
		order->kind = NODE_ORDER_ADD;
		return make_node(order, r, sealed, error);
	case REQUEST_FORGET:
		order->kind = NODE_ORDER_FORGET;
		order->node = (uint8_t)r->number;
		return 0;
	default:
		must(!"a request that orders nothing");
		return -EINVAL;
	}
}
