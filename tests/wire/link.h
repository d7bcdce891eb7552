/*
 * tests/wire/link.h - up to four ends of wire/ on one bad network, in virtual time.
 *
 * The network loses, repeats, delays, reorders and damages by a seed; a run is the same
 * every time. After every datagram, timer or hand-over the ends' events go to the
 * test's `on_event`, and what they want to send goes onto the network, which
 * checks what must hold of every datagram: its size, and that nothing leaves
 * before the log position that it names.
 */
#ifndef TESTS_WIRE_LINK_H
#define TESTS_WIRE_LINK_H

#include "fake_crypto.h"
#include "wire/wire.h"

/* Built with LINK_SEALED every end has a key, which is listed at all of them. */
#ifdef LINK_SEALED
#define LINK_IS_SEALED true
#else
#define LINK_IS_SEALED false
#endif

#define LINK_ENDS         4
#define LINK_SESSIONS     8
#define LINK_FLYING       4096
#define LINK_DATAGRAM_MAX 1400
#define LINK_MICROSECOND  1000u
#define LINK_MILLISECOND  1000000u
#define LINK_TYPES        8

struct link;

struct link_flying {
	uint64_t due_ns;
	uint64_t order; /* first sent first, of two that are due at once */
	int from, to;
	size_t bytes;
	uint8_t data[LINK_DATAGRAM_MAX];
};

struct link_end {
	struct wire *wire;
	struct wire_config config;
	struct fake_crypto crypto;
	uint64_t slots[WIRE_SLOTS(LINK_SESSIONS)];
	struct endpoint endpoint;
	uint64_t durable_lsn;
	uint64_t sent[LINK_TYPES]; /* datagrams by type */
	uint32_t opened, closed, refused;
	enum wire_reason reason; /* of the last CLOSED or REFUSED */
	int session;             /* the last one opened; -1: none */
	struct wire_identity peer;
};

struct link {
	uint64_t now_ns;
	uint64_t random;
	uint32_t lose_per_mille, repeat_per_mille, flip_per_mille;
	uint64_t delay_ns, jitter_ns;
	bool cut[LINK_ENDS][LINK_ENDS]; /* from, to */
	struct link_end end[LINK_ENDS];
	struct link_flying *flying;
	uint32_t flying_count;
	uint64_t order;
	uint64_t datagrams;
	void (*on_event)(struct link *l, int end, const struct wire_event *event);
	/* Called before a datagram is given to its end, which has nothing to send. */
	void (*on_arrival)(struct link *l, const struct link_flying *f);
	/* Called when time passes and the ends are idle: a test's source of work. */
	void (*on_idle)(struct link *l);
	void *context;
};

struct wire_config link_config(int end);
/* The key that end `end` has by link_config(), and the entry that lists it. */
struct wire_key link_key(int end);
void link_start(struct link *l, uint64_t seed);
void link_add(struct link *l, int end, const struct wire_config *config);
/* A new process of the same identity: the old one's memory is gone. */
void link_restart(struct link *l, int end);
int link_connect(struct link *l, int from, int to);
/* Runs until `until_ns` of virtual time. */
void link_run(struct link *l, uint64_t until_ns);
void link_settle(struct link *l); /* events and packets, without time */
void link_stop(struct link *l);
uint64_t link_random(struct link *l);
bool link_send(struct link *l, int end, enum wire_stream stream, const void *data, size_t bytes);

#endif /* TESTS_WIRE_LINK_H */
