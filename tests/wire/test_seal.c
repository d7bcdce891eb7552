/* Sealed sessions: keys, renewal, replay; and an attacker with the wire but no key. */
#include <criterion/criterion.h>

#include "base/bytes.h"
#include "hw/crypto.h"
#include "link.h"
#include "wire/format.h"
#include "wire/replay.h"
#include "wire/session.h"

#define SETTLE  (20 * LINK_MILLISECOND)
#define REKEY   (40 * LINK_MILLISECOND)
#define RECORDS 20000

static const struct wire_stats *
stats(const struct link *l, int end)
{
	return wire_stats(l->end[end].wire);
}

static void
connected(struct link *l)
{
	link_start(l, 1);
	link_connect(l, 0, 1);
	link_run(l, l->now_ns + SETTLE);
	cr_assert_eq(l->end[0].opened, 1);
	cr_assert_eq(l->end[1].opened, 1);
}

static void
unharmed(const struct link *l)
{
	for (int end = 0; end < 2; end++) {
		cr_assert_eq(l->end[end].opened, 1);
		cr_assert_eq(l->end[end].closed, 0);
		cr_assert_eq(l->end[end].refused, 0);
	}
}

/* Against one flag per counter: in order, repeated, late, far ahead. */
Test(wire_replay, takes_what_a_plain_array_would)
{
	static bool taken[200000];
	uint64_t random = 5;

	for (int round = 0; round < 50; round++) {
		struct replay r = {.newest = 0};
		uint64_t newest = 0;
		memset(taken, 0, sizeof taken);
		for (int n = 0; n < 4000; n++) {
			random = random * 6364136223846793005u + 1442695040888963407u;
			uint64_t dice = random >> 40, counter = newest + 1;
			if (dice % 4 == 1)
				counter = newest - newest % (1 + dice / 4 % (2 * REPLAY_BITS));
			else if (dice % 4 == 2)
				counter = newest + dice / 4 % 70;
			else if (dice % 64 == 3)
				counter = newest + dice / 64 % (3 * REPLAY_BITS);
			if (counter >= sizeof taken)
				break;
			enum replay_verdict good = REPLAY_NEW;
			if (counter == 0 || counter + REPLAY_BITS <= newest)
				good = REPLAY_OLD;
			else if (taken[counter])
				good = REPLAY_DUPLICATE;
			cr_assert_eq(replay_check(&r, counter), good, "%lu of %lu", counter,
				     newest);
			if (good != REPLAY_NEW)
				continue;
			replay_add(&r, counter);
			taken[counter] = true;
			newest = counter > newest ? counter : newest;
		}
	}
}

struct flow {
	uint64_t sent[2], got[2], last_ns, pause_ns;
	uint64_t every_ns, due_ns;
	uint8_t generations[32]; /* bit per generation seen on the wire */
};

static void
flow_event(struct link *l, int end, const struct wire_event *event)
{
	struct flow *f = l->context;

	if (event->kind != WIRE_MESSAGE)
		return;
	cr_assert_eq(event->bytes, 8);
	cr_assert_eq(bytes_get_u64(event->data), f->got[end]++, "lost, repeated or out of order");
	if (f->last_ns != 0 && l->now_ns - f->last_ns > f->pause_ns)
		f->pause_ns = l->now_ns - f->last_ns;
	f->last_ns = l->now_ns;
}

static void
flow_idle(struct link *l)
{
	struct flow *f = l->context;
	uint8_t message[8];

	for (int end = 0; end < 2 && l->now_ns >= f->due_ns; end++) {
		bytes_put_u64(message, f->sent[!end]);
		if (link_send(l, end, WIRE_SUBMIT, message, sizeof message))
			f->sent[!end]++;
	}
	if (l->now_ns >= f->due_ns)
		f->due_ns = l->now_ns + f->every_ns;
}

static void
flow_arrival(struct link *l, const struct link_flying *fly)
{
	struct flow *f = l->context;

	if (fly->data[0] == DATAGRAM_DATA)
		f->generations[fly->data[1] / 8] |= (uint8_t)(1u << fly->data[1] % 8);
}

static void
flow_start(struct link *l, struct flow *f, const struct wire_config config[2], uint64_t seed)
{
	*f = (struct flow){.every_ns = 100 * LINK_MICROSECOND};
	link_start(l, seed);
	for (int i = 0; i < 2; i++)
		link_add(l, i, &config[i]);
	l->context = f;
	l->on_event = flow_event;
	l->on_idle = flow_idle;
	l->on_arrival = flow_arrival;
	link_connect(l, (int)(seed % 2), (int)!(seed % 2));
}

/* In steps: that it is time to send again is no event of the link. */
static void
flow_run(struct link *l, const struct flow *f, uint64_t for_ns)
{
	for (uint64_t end_ns = l->now_ns + for_ns; l->now_ns < end_ns;)
		link_run(l, l->now_ns + f->every_ns / 4);
}

Test(wire_seal, keys_are_renewed_by_time_without_a_pause)
{
	for (uint64_t seed = 1; seed <= 20; seed++) {
		struct wire_config c[2] = {link_config(0), link_config(1)};
		struct flow f;
		struct link l;
		c[0].rekey_ns = c[1].rekey_ns = REKEY;
		flow_start(&l, &f, c, seed);
		flow_run(&l, &f, 10 * REKEY);
		unharmed(&l);
		cr_assert_geq(stats(&l, 0)->rekeys, 11);
		cr_assert_leq(stats(&l, 0)->rekeys, 14);
		cr_assert_eq(stats(&l, 0)->rekeys, stats(&l, 1)->rekeys);
		cr_assert_leq(f.pause_ns, 2 * f.every_ns + l.delay_ns);
		cr_assert_gt(f.got[0] + f.got[1], 5000);
		cr_assert_eq(stats(&l, 0)->packets_lost + stats(&l, 1)->packets_lost, 0);
		link_stop(&l);
	}
}

/* Through loss, repetition and reordering, around the end of the generations. */
Test(wire_seal, keys_are_renewed_by_count_through_all_generations)
{
	struct wire_config c[2] = {link_config(0), link_config(1)};
	struct flow f;
	struct link l;

	c[0].rekey_datagrams = c[1].rekey_datagrams = 500;
	flow_start(&l, &f, c, 1);
	f.every_ns = 10 * LINK_MICROSECOND;
	l.lose_per_mille = 20;
	l.repeat_per_mille = 20;
	l.jitter_ns = 50 * LINK_MICROSECOND;
	for (int n = 0; n < 400 && stats(&l, 0)->rekeys < 300; n++)
		link_run(&l, l.now_ns + SETTLE);
	unharmed(&l);
	cr_assert_geq(stats(&l, 0)->rekeys, 300);
	cr_assert_eq(f.generations[0] & 1, 0, "none in clear");
	for (int g = 1; g <= GENERATION_MAX; g++)
		cr_assert(f.generations[g / 8] >> g % 8 & 1, "generation %d", g);
	cr_assert_eq(stats(&l, 0)->drop_forged + stats(&l, 1)->drop_forged, 0);
	link_stop(&l);
}

/* Where the renewal never gets through, the session ends with its keys. */
static void
drop_large(struct link *l, const struct link_flying *f)
{
	struct link_flying *mine = (struct link_flying *)f;

	if (l->now_ns > *(const uint64_t *)l->context && f->data[0] == DATAGRAM_DATA &&
	    f->bytes >= DATAGRAM_FRAME_BYTES + REKEY_HEAD_BYTES + RESPONSE_NOISE_BYTES)
		mine->data[f->bytes - 1] ^= 1;
}

Test(wire_seal, a_session_does_not_outlive_its_keys)
{
	uint64_t from_ns = 0;
	struct link l;

	link_start(&l, 1);
	for (int i = 0; i < 2; i++) {
		struct wire_config c = link_config(i);
		c.rekey_ns = REKEY;
		link_add(&l, i, &c);
	}
	from_ns = l.now_ns + LINK_MILLISECOND;
	l.context = &from_ns;
	l.on_arrival = drop_large;
	link_connect(&l, 0, 1);
	link_run(&l, l.now_ns + REKEY - LINK_MILLISECOND);
	unharmed(&l);
	link_run(&l, l.now_ns + 2 * LINK_MILLISECOND);
	cr_assert_eq(l.end[0].closed, 1);
	cr_assert_eq(l.end[1].closed, 1);
	cr_assert_eq(l.end[0].reason, WIRE_REASON_KEY);
	link_stop(&l);
}

Test(wire_seal, a_key_that_is_not_listed_hears_nothing)
{
	struct wire_config c = link_config(2);
	struct link l;

	connected(&l);
	memset(c.secret, 77, sizeof c.secret);
	link_add(&l, 2, &c);
	link_connect(&l, 2, 1);
	link_run(&l, l.now_ns + 4 * LINK_MILLISECOND);
	cr_assert_eq(stats(&l, 1)->drop_key, 1);
	cr_assert_eq(stats(&l, 2)->packets_received, 0);
	unharmed(&l);
	cr_assert(endpoint_equal(&stats(&l, 1)->unlisted_from, &l.end[2].endpoint));
	uint8_t public[WIRE_KEY_BYTES];
	fake_public_key(NULL, c.secret, public);
	cr_assert_arr_eq(stats(&l, 1)->unlisted, public, sizeof public);
	link_stop(&l);
}

Test(wire_seal, a_listed_key_may_only_say_it_is_whom_it_is_listed_for)
{
	struct wire_config c = link_config(2);
	struct link l;

	connected(&l);
	c.self.uuid[0] = 1; /* end 0, whose place it would take */
	c.self.node = 1;
	link_add(&l, 2, &c);
	link_connect(&l, 2, 1);
	link_run(&l, l.now_ns + 5 * SETTLE);
	cr_assert_geq(stats(&l, 1)->drop_key, 1);
	cr_assert_eq(l.end[2].opened, 0);
	unharmed(&l);
	link_stop(&l);
}

Test(wire_seal, a_key_is_rotated_without_a_pause_and_a_removed_one_closes)
{
	struct wire_key keys[LINK_ENDS + 1];
	struct wire_config next = link_config(0);
	struct link l;

	connected(&l);
	for (int i = 0; i < LINK_ENDS; i++)
		keys[i] = link_key(i);
	/* The new key is listed beside the old one, then end 0 comes back with it ... */
	memset(next.secret, 99, sizeof next.secret);
	keys[LINK_ENDS] = keys[0];
	fake_public_key(NULL, next.secret, keys[LINK_ENDS].key);
	wire_keys(l.end[1].wire, keys, LINK_ENDS + 1);
	link_run(&l, l.now_ns + SETTLE);
	unharmed(&l);
	next.self.process += 1000;
	link_add(&l, 0, &next);
	/* ... called by the other end, which has to find out which of the two it is. */
	link_connect(&l, 1, 0);
	link_run(&l, l.now_ns + 10 * SETTLE);
	cr_assert_eq(l.end[0].opened, 2);
	cr_assert_arr_eq(l.end[1].peer.key, keys[LINK_ENDS].key, WIRE_KEY_BYTES);
	wire_keys(l.end[1].wire, keys + 1, LINK_ENDS);
	link_run(&l, l.now_ns + SETTLE);
	cr_assert_eq(l.end[0].closed, 0, "the old key is gone, the new one stays");
	wire_keys(l.end[1].wire, keys + 1, LINK_ENDS - 1);
	link_settle(&l);
	cr_assert_eq(l.end[1].reason, WIRE_REASON_KEY);
	link_run(&l, l.now_ns + SETTLE);
	cr_assert_eq(l.end[0].closed, 1);
	link_stop(&l);
}

/* End `end` has this key from now on, and the one of link_config() as well if that is `kept`. */
static void
renew(struct link *l, int end, uint8_t secret, bool kept, struct wire_key *listed)
{
	struct wire_config old = link_config(end);
	uint8_t next[WIRE_KEY_BYTES];

	memset(next, secret, sizeof next);
	wire_secrets(l->end[end].wire, next, kept ? old.secret : NULL);
	*listed = link_key(end);
	fake_public_key(NULL, next, listed->key);
}

Test(wire_seal, an_end_changes_its_own_key_without_a_pause)
{
	for (uint64_t seed = 1; seed <= 10; seed++) {
		struct wire_config c[2] = {link_config(0), link_config(1)};
		struct wire_key keys[LINK_ENDS + 1];
		struct flow f;
		struct link l;
		c[0].rekey_ns = c[1].rekey_ns = REKEY;
		flow_start(&l, &f, c, seed);
		flow_run(&l, &f, REKEY);
		for (int i = 0; i < LINK_ENDS; i++)
			keys[i] = link_key(i);
		renew(&l, 0, 99, true, &keys[LINK_ENDS]);
		wire_keys(l.end[1].wire, keys, LINK_ENDS + 1);
		flow_run(&l, &f, 5 * REKEY);
		unharmed(&l);
		cr_assert_leq(f.pause_ns, 2 * f.every_ns + l.delay_ns);
		cr_assert_geq(stats(&l, 0)->rekeys, 5, "by the key that the session began with");
		/* The old one is given up: what it had opened opens anew, by the new one. */
		l.on_event = NULL;
		renew(&l, 0, 99, false, &keys[LINK_ENDS]);
		link_run(&l, l.now_ns + 10 * SETTLE);
		cr_assert_eq(l.end[0].closed, 1);
		cr_assert_eq(l.end[0].reason, WIRE_REASON_KEY);
		cr_assert_eq(l.end[0].opened, 2);
		cr_assert_eq(l.end[1].opened, 2);
		cr_assert_arr_eq(l.end[1].peer.key, keys[LINK_ENDS].key, WIRE_KEY_BYTES);
		link_stop(&l);
	}
}

/* Who knows the old key only calls, or is called; then it is good no more. */
Test(wire_seal, the_key_before_is_good_until_it_is_given_up)
{
	for (int caller = 0; caller < 2; caller++) {
		struct wire_key next;
		struct link l;
		link_start(&l, 1);
		renew(&l, 0, 99, true, &next);
		link_connect(&l, caller, !caller);
		link_run(&l, l.now_ns + 10 * SETTLE);
		cr_assert_eq(l.end[0].opened, 1, "caller %d", caller);
		cr_assert_eq(l.end[1].opened, 1);
		wire_close(l.end[caller].wire, l.end[caller].session);
		link_run(&l, l.now_ns + SETTLE);
		renew(&l, 0, 99, false, &next);
		link_connect(&l, caller, !caller);
		link_run(&l, l.now_ns + 10 * SETTLE);
		cr_assert_eq(l.end[0].opened, 1, "caller %d", caller);
		cr_assert_geq(stats(&l, caller == 0)->drop_forged + stats(&l, 1)->drop_key, 1);
		link_stop(&l);
	}
}

static void
give_up_key(struct link *l, const struct link_flying *f)
{
	struct wire *w = l->end[1].wire;
	uint8_t next[WIRE_KEY_BYTES] = {77};
	uint32_t half_open = 0;

	if (f->to != 1 || f->data[0] != DATAGRAM_CONFIRM || l->context == NULL)
		return;
	wire_secrets(w, next, l->context == l ? NULL : w->config.secret);
	l->context = NULL;
	for (uint32_t i = 0; i < w->config.half_open_max; i++)
		half_open += w->half_open[i].used;
	cr_assert_eq(half_open, 0);
}

/* Its CONFIRM comes later than the key was given up that it was begun with. */
Test(wire_seal, a_handshake_under_way_does_not_outlive_its_key)
{
	struct link l;

	link_start(&l, 1);
	l.context = &l;
	l.on_arrival = give_up_key;
	link_connect(&l, 0, 1);
	link_run(&l, l.now_ns + 10 * SETTLE);
	cr_assert(l.context == NULL);
	cr_assert_eq(l.end[1].opened, 0);
	link_stop(&l);
}

/* Either end holds the session's keys, and says what no honest one does. */
Test(wire_seal, a_renewal_that_does_not_read_changes_nothing)
{
	struct wire_config c[2] = {link_config(0), link_config(1)};
	static const uint8_t noise[200] = {1};
	struct flow f;
	struct link l;

	c[0].rekey_ns = c[1].rekey_ns = 100 * REKEY;
	flow_start(&l, &f, c, 2);
	flow_run(&l, &f, REKEY);
	for (int end = 0; end < 2; end++) {
		struct wire *w = l.end[end].wire;
		struct session *s = &w->sessions[l.end[end].session];
		uint64_t before = stats(&l, end)->drop_malformed;
		for (uint32_t bytes = 0; bytes <= sizeof noise; bytes++) {
			struct wire_item item = {.data = noise, .bytes = bytes};
			for (int g = 0; g < 4; g++) {
				item.offset = (uint64_t)g;
				rekey_receive(w, s, &item);
			}
		}
		if (!s->initiator)
			cr_assert_eq(stats(&l, end)->drop_malformed, before + sizeof noise + 1);
		cr_assert(!s->seal.under_way);
	}
	flow_run(&l, &f, 200 * REKEY);
	unharmed(&l);
	cr_assert_geq(stats(&l, 0)->rekeys, 1);
	link_stop(&l);
}

/* From the one of now to a third, to a fourth, and back: never more than two are good. */
Test(wire_seal, keys_follow_each_other)
{
	struct wire_key keys[4];
	struct link l;
	uint8_t secret[4][WIRE_KEY_BYTES];

	link_start(&l, 1);
	for (int i = 0; i < 4; i++) {
		memset(secret[i], i == 0 ? 1 : 50 + i, WIRE_KEY_BYTES);
		keys[i] = link_key(0);
		fake_public_key(NULL, secret[i], keys[i].key);
	}
	wire_keys(l.end[1].wire, keys, 4);
	link_connect(&l, 0, 1);
	link_run(&l, l.now_ns + SETTLE);
	static const int order[] = {1, 2, 3, 2, 1, 0};
	for (int n = 0, now = 0; n < 6; now = order[n++]) {
		uint32_t closed = l.end[0].closed;
		wire_secrets(l.end[0].wire, secret[order[n]], secret[now]);
		link_run(&l, l.now_ns + 4 * SETTLE);
		/* The session is of the key that was the latest when it began. */
		cr_assert_leq(l.end[0].closed, closed + 1);
		cr_assert_geq(l.end[0].session, 0);
		bool of_two = memcmp(l.end[1].peer.key, keys[order[n]].key, WIRE_KEY_BYTES) == 0 ||
			      memcmp(l.end[1].peer.key, keys[now].key, WIRE_KEY_BYTES) == 0;
		cr_assert(of_two, "step %d", n);
	}
	link_stop(&l);
}

Test(wire_seal, an_end_in_clear_is_told_to_seal)
{
	struct wire_config c = link_config(2);
	struct link l;

	connected(&l);
	link_add(&l, 2, &c);
	free(l.end[2].wire);
	l.end[2].config.crypto = NULL;
	l.end[2].wire = wire_init(malloc(wire_size(&l.end[2].config)), &l.end[2].config);
	wire_random(l.end[2].wire, (const uint8_t[32]){1}, 32);
	link_connect(&l, 2, 1);
	link_run(&l, l.now_ns + SETTLE);
	cr_assert_eq(l.end[2].opened, 0);
	cr_assert_eq(l.end[2].reason, WIRE_REASON_SEAL);
	cr_assert_geq(stats(&l, 1)->drop_clear, 1);
	unharmed(&l);
	link_stop(&l);
}

/* Everything that two ends said, for the attacker. */
struct tape {
	struct link_flying *record;
	uint32_t count;
};

static void
tape_record(struct link *l, const struct link_flying *f)
{
	struct tape *t = l->context;

	cr_assert(t->count < RECORDS);
	t->record[t->count++] = *f;
}

static void
talk(struct link *l, int rounds)
{
	static uint8_t message[3000];

	for (int n = 0; n < rounds; n++) {
		for (int end = 0; end < 2; end++)
			link_send(l, end, n % WIRE_STREAMS, message,
				  link_random(l) % sizeof message);
		link_run(l, l->now_ns + LINK_MILLISECOND);
	}
}

static void
taped(struct link *l, struct tape *t)
{
	link_start(l, 1);
	*t = (struct tape){.record = malloc(RECORDS * sizeof(struct link_flying))};
	l->context = t;
	l->on_arrival = tape_record;
	link_connect(l, 0, 1);
	link_run(l, l->now_ns + SETTLE);
	talk(l, 100);
	l->on_arrival = NULL;
	cr_assert_gt(t->count, 300);
}

static void
tape_stop(struct link *l, struct tape *t)
{
	free(t->record);
	link_stop(l);
}

/* Replayed from where it came and from elsewhere, at both ends: no message twice,
 * no session lost, none opened, no answer larger than its question, and nobody
 * kept alive by it. */
Test(wire_attacker, a_recording_played_again_does_nothing)
{
	struct endpoint elsewhere = endpoint_from_ipv4(0x0a0000eeu, 666);
	struct wire_session_status status;
	struct wire_packet p;
	struct tape t;
	struct link l;

	taped(&l, &t);
	uint64_t delivered[2] = {stats(&l, 0)->messages_delivered,
				 stats(&l, 1)->messages_delivered};
	l.cut[0][1] = l.cut[1][0] = true;
	for (uint32_t i = 0; i < t.count; i++) {
		const struct link_flying *f = &t.record[i];
		for (int n = 0; n < 2; n++) {
			struct wire *w = l.end[n == 0 ? f->to : f->from].wire;
			wire_receive(w, &elsewhere, f->data, f->bytes, l.now_ns);
			while (wire_next_packet(w, &p, l.now_ns))
				cr_assert(!endpoint_equal(&p.to, &elsewhere) ||
					  p.bytes <= f->bytes);
		}
		if (i % 20 == 0)
			link_run(&l, l.now_ns + LINK_MILLISECOND);
	}
	for (int end = 0; end < 2; end++) {
		cr_assert_eq(stats(&l, end)->messages_delivered, delivered[end]);
		cr_assert_leq(l.end[end].opened, 1);
		wire_session_status(l.end[end].wire, l.end[end].session, &status);
		cr_assert(!status.open || !endpoint_equal(&status.endpoint, &elsewhere));
	}
	link_run(&l, l.now_ns + 60 * LINK_MILLISECOND);
	cr_assert_eq(l.end[0].reason, WIRE_REASON_SILENT, "nobody was kept alive");
	cr_assert_eq(l.end[1].reason, WIRE_REASON_SILENT);
	tape_stop(&l, &t);
}

/* Any change to anything that was said, with every tag that can be computed from
 * what is seen. */
Test(wire_attacker, changed_and_invented_datagrams_do_nothing)
{
	static const uint8_t nothing[NOISE_KEY_BYTES];
	uint8_t data[LINK_DATAGRAM_MAX];
	struct wire_packet p;
	struct tape t;
	struct link l;

	taped(&l, &t);
	uint64_t delivered = stats(&l, 0)->messages_delivered + stats(&l, 1)->messages_delivered;
	for (int n = 0; n < 60000; n++) {
		const struct link_flying *f = &t.record[link_random(&l) % t.count];
		size_t bytes = f->bytes;
		memcpy(data, f->data, bytes);
		if (n % 3 == 0)
			bytes_put_u64(data + 8, bytes_get_u64(data + 8) + 100000);
		for (uint64_t i = 1 + link_random(&l) % 3; i > 0; i--)
			data[link_random(&l) % bytes] ^= (uint8_t)(1u << link_random(&l) % 8);
		if (n % 4 == 1)
			data[0] = (uint8_t)(1 + link_random(&l) % 6);
		if (n % 5 == 1)
			datagram_put_tag(data, bytes);
		if (n % 5 == 2)
			seal_put_mac(nothing, data, bytes);
		wire_receive(l.end[f->to].wire, &l.end[f->from].endpoint, data, bytes, l.now_ns);
		while (n % 7 && wire_next_packet(l.end[f->to].wire, &p, l.now_ns))
			cr_assert_leq(p.bytes, bytes);
	}
	link_run(&l, l.now_ns + SETTLE);
	unharmed(&l);
	talk(&l, 20);
	unharmed(&l);
	cr_assert_eq(stats(&l, 0)->messages_delivered + stats(&l, 1)->messages_delivered,
		     delivered + 40);
	cr_assert_gt(stats(&l, 0)->drop_forged + stats(&l, 1)->drop_forged, 10000);
	tape_stop(&l, &t);
}

static uint64_t agreements;

static bool
counting_agree(void *context, const uint8_t secret[CRYPTO_KEY_BYTES],
	       const uint8_t peer[CRYPTO_KEY_BYTES], uint8_t out[CRYPTO_KEY_BYTES])
{
	agreements++;
	return fake_agree(context, secret, peer, out);
}

/* A recorded INIT from a hundred thousand addresses within a second: the price is rationed, the
 * session does not notice, and a new honest peer gets in. */
Test(wire_attacker, a_flood_of_inits_neither_stalls_nor_shuts_the_door)
{
	uint8_t init[LINK_DATAGRAM_MAX];
	struct wire_config honest = link_config(2);
	struct wire_packet p;
	struct tape t;
	struct link l;

	taped(&l, &t);
	const struct link_flying *first = &t.record[0];
	cr_assert_eq(first->data[0], DATAGRAM_INIT);
	memcpy(init, first->data, first->bytes);
	l.end[1].crypto.table.agree = counting_agree;
	agreements = 0;
	link_add(&l, 2, &honest);
	uint64_t delivered = stats(&l, 1)->messages_delivered;
	for (uint32_t n = 0; n < 100000; n++) {
		struct endpoint from = endpoint_from_ipv4(0x0b000000u + n, 99);
		wire_receive(l.end[1].wire, &from, init, first->bytes, l.now_ns);
		while (wire_next_packet(l.end[1].wire, &p, l.now_ns))
			cr_assert_leq(p.bytes, first->bytes);
		if (n == 50000)
			link_connect(&l, 2, 1);
		if (n % 1000 == 0)
			link_send(&l, 0, WIRE_SUBMIT, "x", 1);
		if (n % 100 == 0)
			link_run(&l, l.now_ns + LINK_MILLISECOND);
	}
	cr_assert_eq(l.end[0].closed + l.end[1].closed, 0);
	cr_assert_eq(stats(&l, 1)->messages_delivered, delivered + 100);
	cr_assert_eq(l.end[2].opened, 1, "the honest one is in");
	cr_assert_lt(agreements, 4 * 700, "four an INIT, one INIT in two milliseconds");
	cr_assert_gt(stats(&l, 1)->cookies_sent, 90000);
	tape_stop(&l, &t);
}

/* With the real table: what is said is not on the wire. */
static void
look_for_words(struct link *l, const struct link_flying *f)
{
	static const char word[] = "bought 3 tickets";

	for (size_t i = 0; i + sizeof word - 1 <= f->bytes; i++)
		cr_assert(memcmp(f->data + i, word, sizeof word - 1) != 0);
	for (size_t i = 0; i + WIRE_UUID_BYTES <= f->bytes; i++)
		cr_assert(memcmp(f->data + i, l->end[f->from].config.self.uuid, WIRE_UUID_BYTES));
}

Test(wire_attacker, cannot_read)
{
	struct crypto *crypto[2];
	struct wire_key keys[2];
	struct link l;

	link_start(&l, 1);
	for (int i = 0; i < 2; i++) {
		struct link_end *e = &l.end[i];
		crypto[i] = hw_crypto_new(WIRE_SLOTS(LINK_SESSIONS), NULL);
		memset(e->config.self.uuid, 'a' + i, WIRE_UUID_BYTES);
		e->config.crypto = crypto[i];
		keys[i] = (struct wire_key){.kind = WIRE_ANY};
		crypto[i]->public_key(crypto[i]->context, e->config.secret, keys[i].key);
		free(e->wire);
		e->wire = wire_init(malloc(wire_size(&e->config)), &e->config);
		wire_random(e->wire, (const uint8_t[32]){(uint8_t)i}, 32);
	}
	wire_keys(l.end[0].wire, keys + 1, 1);
	wire_keys(l.end[1].wire, keys, 1);
	l.on_arrival = look_for_words;
	link_connect(&l, 0, 1);
	link_run(&l, l.now_ns + SETTLE);
	for (int n = 0; n < 200; n++) {
		link_send(&l, n % 2, n % WIRE_STREAMS, "she bought 3 tickets", 20);
		link_run(&l, l.now_ns + LINK_MILLISECOND);
	}
	unharmed(&l);
	cr_assert_eq(stats(&l, 0)->messages_delivered + stats(&l, 1)->messages_delivered, 200);
	cr_assert_eq(stats(&l, 0)->drop_forged + stats(&l, 1)->drop_forged, 0);
	link_stop(&l);
	for (int i = 0; i < 2; i++)
		hw_crypto_free(crypto[i]);
}
