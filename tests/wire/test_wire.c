/* Sessions end to end: delivery, priority, credits, durability, and the end of peers. */
#include <criterion/criterion.h>

#include "base/bytes.h"
#include "link.h"

/* Each end sends numbered messages on every stream and checks what it gets. */
struct traffic {
	uint32_t to_send; /* per end and stream */
	uint32_t bytes_max;
	uint32_t sent[2][WIRE_STREAMS];
	uint32_t got[2][WIRE_STREAMS];
	uint64_t data_bytes;
	uint8_t message[32 * 1024];
};

/* Length and content follow from end, stream and number alone. */
static uint32_t
message_make(uint8_t *out, uint32_t bytes_max, const uint32_t id[3])
{
	uint32_t mix = (id[0] * 31 + id[1]) * 2654435761u + id[2] * 40503u;
	uint32_t bytes = 8 + (mix >> 7) % (bytes_max - 7);

	bytes_put_u32(out, id[2]);
	bytes_put_u32(out + 4, mix);
	for (uint32_t i = 8; i < bytes; i++)
		out[i] = (uint8_t)(mix + i);
	return bytes;
}

static void
traffic_event(struct link *l, int end, const struct wire_event *event)
{
	struct traffic *t = l->context;
	static uint8_t expected[32 * 1024];

	if (event->kind != WIRE_MESSAGE)
		return;
	uint32_t id[3] = {(uint32_t)!end, event->stream, t->got[end][event->stream]++};
	uint32_t bytes = message_make(expected, t->bytes_max, id);
	cr_assert_eq(event->bytes, bytes, "end %d stream %d message %u", end, event->stream, id[2]);
	cr_assert_eq(memcmp(event->data, expected, bytes), 0, "end %d stream %d message %u", end,
		     event->stream, id[2]);
	t->data_bytes += bytes;
}

static void
traffic_idle(struct link *l)
{
	struct traffic *t = l->context;

	for (uint32_t end = 0; end < 2; end++) {
		for (uint32_t stream = 0; stream < WIRE_STREAMS; stream++) {
			uint32_t *sent = &t->sent[end][stream];
			for (; *sent < t->to_send; ++*sent) {
				uint32_t id[3] = {end, stream, *sent};
				uint32_t bytes = message_make(t->message, t->bytes_max, id);
				if (!link_send(l, (int)end, stream, t->message, bytes))
					break;
			}
		}
	}
}

struct bad_network {
	uint64_t seed;
	uint32_t lose, repeat;
	uint64_t jitter_ns;
	uint32_t bytes_max;
};

static void
exchange(const struct bad_network *b)
{
	static struct traffic t;
	struct link l;

	memset(&t, 0, sizeof t);
	t.to_send = 60;
	t.bytes_max = b->bytes_max;
	link_start(&l, b->seed);
	l.lose_per_mille = b->lose;
	l.repeat_per_mille = b->repeat;
	l.jitter_ns = b->jitter_ns;
	l.context = &t;
	l.on_event = traffic_event;
	l.on_idle = traffic_idle;
	link_connect(&l, 0, 1);
	for (int i = 0; i < 100 && t.got[1][WIRE_FEED] < t.to_send; i++)
		link_run(&l, l.now_ns + 100 * LINK_MILLISECOND);
	link_run(&l, l.now_ns + 500 * LINK_MILLISECOND);
	for (int end = 0; end < 2; end++) {
		cr_assert_eq(l.end[end].opened, 1, "seed %lu", b->seed);
		cr_assert_eq(l.end[end].closed, 0, "seed %lu reason %d", b->seed,
			     l.end[end].reason);
		for (int i = 0; i < WIRE_STREAMS; i++)
			cr_assert_eq(t.got[end][i], t.to_send, "seed %lu end %d stream %d: %u",
				     b->seed, end, i, t.got[end][i]);
	}
	link_stop(&l);
}

Test(wire_wire, everything_arrives_once_and_in_order_on_a_good_network)
{
	exchange(&(struct bad_network){.seed = 1, .bytes_max = 32 * 1024});
}

Test(wire_wire, everything_arrives_once_and_in_order_on_a_bad_network)
{
	for (uint64_t seed = 1; seed <= 12; seed++)
		exchange(&(struct bad_network){
			.seed = seed,
			.lose = (uint32_t)(seed % 4) * 100,
			.repeat = (uint32_t)(seed % 3) * 150,
			.jitter_ns = seed % 5 * 100 * LINK_MICROSECOND,
			.bytes_max = seed % 2 ? 200 : 12000,
		});
}
