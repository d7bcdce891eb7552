/*
 * dpdk/order.h - what a request of the control socket orders of the appliance (node/node.h).
 *
 * An order out of a request: drop, expel, list, unlist, node and forget. It asks nobody and does
 * nothing; the texts that a request carries are read here.
 *
 * Errors     order_make(): 0, or -EINVAL with a sentence for whoever asked. No request of
 *            request_parse() traps.
 * Threads    none.
 */
#ifndef DPDK_ORDER_H
#define DPDK_ORDER_H

#include <stdbool.h>

#include "dpdk/request.h"
#include "hw/error.h"

/* `sealed`: links are, so a node comes with its key. */
int order_make(struct node_order *order, const struct request *request, bool sealed,
	       struct hw_error *error);

#endif /* DPDK_ORDER_H */
