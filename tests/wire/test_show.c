/* Certificates in the handshake, with a table that knows no X.509: end 0 is a node, 1 to 3 members.
 */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "link.h"
#include "wire/format.h"
#include "wire/session.h"

#define SETTLE (20 * LINK_MILLISECOND)

/* What one end shows: its key, what the other is to find, and as many bytes as it likes. */
struct paper {
	struct certificates table;
	uint32_t checks;
	uint8_t shown[CERTIFICATES_BYTES_MAX];
};

static struct paper paper[LINK_ENDS];

static enum certificates_verdict
check(void *context, const uint8_t key[CRYPTO_KEY_BYTES], const uint8_t *data, uint32_t bytes)
{
	struct paper *p = context;

	p->checks++;
	cr_assert_leq(bytes, CERTIFICATES_BYTES_MAX);
	if (bytes <= CRYPTO_KEY_BYTES || memcmp(data, key, CRYPTO_KEY_BYTES) != 0)
		return CERTIFICATES_FORGED;
	for (uint32_t i = CRYPTO_KEY_BYTES + 1; i < bytes; i++)
		if (data[i] != (uint8_t)(i * 7))
			return CERTIFICATES_FORGED;
	return (enum certificates_verdict)data[CRYPTO_KEY_BYTES];
}

static struct wire_config
config(int end, uint32_t bytes, enum certificates_verdict verdict)
{
	struct wire_config c = link_config(end);
	struct paper *p = &paper[end];

	c.self.kind = end == 0 ? WIRE_NODE : WIRE_MEMBER;
	c.self.node = 0;
	*p = (struct paper){.table = {.context = p,
				      .shown = p->shown,
				      .shown_bytes = bytes,
				      .demanded = end != 0,
				      .accepted = end == 0,
				      .check = check}};
	for (uint32_t i = 0; i < bytes; i++)
		p->shown[i] = (uint8_t)(i * 7);
	fake_public_key(NULL, c.secret, p->shown);
	p->shown[CRYPTO_KEY_BYTES] = (uint8_t)verdict;
	c.certificates = &p->table;
	return c;
}

static const struct wire_stats *
stats(const struct link *l, int end)
{
	return wire_stats(l->end[end].wire);
}

/* End 0 lists nobody; a member the node. */
static void
add(struct link *l, int end, const struct wire_config *c)
{
	struct wire_key key = link_key(0);

	link_add(l, end, c);
	wire_keys(l->end[end].wire, &key, end != 0);
}

static void
start(struct link *l, uint64_t seed)
{
	struct wire_config c = config(0, 1000, CERTIFICATES_GOOD);

	link_start(l, seed);
	free(l->end[1].wire);
	l->end[1].wire = NULL;
	add(l, 0, &c);
}

static void
join(struct link *l, int end, uint32_t bytes, enum certificates_verdict verdict)
{
	struct wire_config c = config(end, bytes, verdict);

	add(l, end, &c);
	link_connect(l, end, 0);
}

static void
opened_note(struct link *l, int end, const struct wire_event *event)
{
	bool *vouched = l->context;

	if (event->kind == WIRE_OPENED)
		vouched[end] = event->vouched;
}

/* Of every length around the chunks, through loss, repetition and reordering. */
Test(wire_show, a_key_that_is_not_listed_opens_by_certificates)
{
	static const uint32_t bytes[] = {
		33, 447, 448, 449, 896, 2000, CERTIFICATES_BYTES_MAX - 1, CERTIFICATES_BYTES_MAX};

	for (uint64_t seed = 1; seed <= 64; seed++) {
		bool vouched[LINK_ENDS] = {false};
		struct link l;
		start(&l, seed);
		l.context = vouched;
		l.on_event = opened_note;
		if (seed > 8) {
			l.lose_per_mille = 100;
			l.repeat_per_mille = 100;
			l.flip_per_mille = 20;
			l.jitter_ns = 200 * LINK_MICROSECOND;
		}
		join(&l, 1, bytes[seed % 8], CERTIFICATES_GOOD);
		for (int n = 0; n < 100 && l.end[0].opened + l.end[1].opened < 2; n++)
			link_run(&l, l.now_ns + SETTLE);
		cr_assert_geq(l.end[0].opened, 1, "seed %lu", seed);
		cr_assert_geq(l.end[1].opened, 1, "seed %lu", seed);
		cr_assert(vouched[0] && !vouched[1]);
		cr_assert_eq(l.end[1].refused, 0);
		cr_assert_geq(paper[0].checks, 1);
		cr_assert_geq(paper[1].checks, 1);
		if (seed <= 8) {
			cr_assert_eq(paper[0].checks + paper[1].checks, 2);
			cr_assert_leq(l.now_ns, 1000 * LINK_MILLISECOND + SETTLE);
		}
		link_stop(&l);
	}
}

Test(wire_show, what_is_not_good_is_told_and_opens_nothing)
{
	static const enum wire_reason reasons[] = {
		[CERTIFICATES_UNTRUSTED] = WIRE_REASON_UNTRUSTED,
		[CERTIFICATES_EXPIRED] = WIRE_REASON_EXPIRED,
		[CERTIFICATES_REVOKED] = WIRE_REASON_REVOKED,
		[CERTIFICATES_NAME] = WIRE_REASON_NAME,
		[CERTIFICATES_FORGED] = WIRE_REASON_FORGED,
	};

	for (int v = CERTIFICATES_UNTRUSTED; v < CERTIFICATES_VERDICTS; v++) {
		struct link l;
		start(&l, 1);
		join(&l, 1, 1200, (enum certificates_verdict)v);
		link_run(&l, l.now_ns + SETTLE);
		cr_assert_eq(l.end[0].opened + l.end[1].opened, 0);
		cr_assert_eq(l.end[1].refused, 1);
		cr_assert_eq(l.end[1].reason, reasons[v]);
		cr_assert_eq(stats(&l, 0)->certificates_refused, 1);
		cr_assert_eq(stats(&l, 0)->certificate_verdict, v);
		cr_assert(endpoint_equal(&stats(&l, 0)->certificate_from, &l.end[1].endpoint));
		link_stop(&l);
	}
}

/* A member checks the node too, whose key it was given: one without certificates, one with wrong
 * ones. */
Test(wire_show, a_member_takes_no_node_whose_certificates_are_missing_or_not_good)
{
	for (int missing = 0; missing < 2; missing++) {
		struct link l;
		start(&l, 1);
		struct wire_config c = config(0, 1000, CERTIFICATES_NAME);
		if (missing)
			c.certificates = NULL;
		add(&l, 0, &c);
		struct wire_key key = link_key(1);
		wire_keys(l.end[0].wire, &key, 1);
		join(&l, 1, 700, CERTIFICATES_GOOD);
		link_run(&l, l.now_ns + SETTLE);
		cr_assert_eq(l.end[0].opened + l.end[1].opened, 0);
		cr_assert_eq(l.end[1].reason,
			     missing ? WIRE_REASON_NOT_SHOWN : WIRE_REASON_NOT_GOOD);
		cr_assert_eq(paper[0].checks, 0, "a listed key shows none");
		link_stop(&l);
	}
}

/* One that confirms before it has shown anything, or all. */
static void
confirm_early(struct link *l, const struct link_flying *f)
{
	struct wire *w = l->end[1].wire;

	if (f->to != 1 || f->data[0] != DATAGRAM_SHOW || l->end[1].opened > 0)
		return;
	struct session *s = &w->sessions[0];
	must(s->shower.show.under_way);
	struct session_terms terms = {.hello = &s->shower.hello,
				      .endpoint = &s->shower.from,
				      .initiator = true,
				      .keys = &s->shower.keys,
				      .hash = s->shower.hash};
	handshake_complete(w, s, &terms);
}

Test(wire_show, a_confirm_in_place_of_certificates_opens_nothing)
{
	struct link l;

	start(&l, 1);
	l.on_arrival = confirm_early;
	join(&l, 1, 2000, CERTIFICATES_UNTRUSTED);
	link_run(&l, l.now_ns + SETTLE);
	cr_assert_eq(l.end[1].opened, 1, "so it believes");
	cr_assert_eq(l.end[0].opened, 0);
	cr_assert_geq(stats(&l, 0)->drop_handshake, 1);
	link_stop(&l);
}

/* Who says to be a server that has its session, and cannot show it, does not disturb that one. */
Test(wire_show, a_session_is_not_replaced_before_the_verdict)
{
	struct link l;

	start(&l, 1);
	join(&l, 1, 1000, CERTIFICATES_GOOD);
	link_run(&l, l.now_ns + SETTLE);
	cr_assert_eq(l.end[0].opened, 1);
	struct wire_config c = config(2, 1000, CERTIFICATES_EXPIRED);
	c.self.uuid[0] = 2; /* end 1's */
	add(&l, 2, &c);
	link_connect(&l, 2, 0);
	link_run(&l, l.now_ns + 10 * SETTLE);
	cr_assert_eq(l.end[2].reason, WIRE_REASON_EXPIRED);
	cr_assert_eq(l.end[0].opened, 1);
	cr_assert_eq(l.end[0].closed + l.end[1].closed, 0);
	link_stop(&l);
}

Test(wire_show, a_listed_server_is_nobody_else)
{
	struct wire_key key = link_key(1);
	struct link l;

	start(&l, 1);
	memset(key.key, 9, sizeof key.key);
	wire_keys(l.end[0].wire, &key, 1);
	join(&l, 1, 1000, CERTIFICATES_GOOD);
	link_run(&l, l.now_ns + SETTLE);
	cr_assert_eq(l.end[0].opened, 0);
	cr_assert_geq(stats(&l, 0)->drop_key, 1);
	cr_assert_eq(stats(&l, 1)->packets_received, 0);
	link_stop(&l);
}

Test(wire_show, certificates_are_nothing_for_a_node)
{
	struct wire_config c = config(1, 1000, CERTIFICATES_GOOD);
	struct link l;

	start(&l, 1);
	c.self.kind = WIRE_NODE;
	add(&l, 1, &c);
	link_connect(&l, 1, 0);
	link_run(&l, l.now_ns + SETTLE);
	cr_assert_eq(l.end[0].opened, 0);
	cr_assert_eq(paper[0].checks, 0);
	link_stop(&l);
}

Test(wire_show, another_list_of_keys_leaves_and_other_certificates_try_anew)
{
	struct wire_key other = link_key(3);
	struct paper next;
	struct link l;

	start(&l, 1);
	join(&l, 1, 1000, CERTIFICATES_GOOD);
	link_run(&l, l.now_ns + SETTLE);
	wire_keys(l.end[0].wire, &other, 1);
	link_run(&l, l.now_ns + SETTLE);
	cr_assert_eq(l.end[0].closed, 0);
	next = paper[0];
	next.table.context = &next;
	next.checks = 0;
	wire_certificates(l.end[0].wire, &next.table);
	link_settle(&l);
	cr_assert_eq(l.end[0].closed, 1);
	cr_assert_eq(l.end[0].reason, WIRE_REASON_KEY);
	link_run(&l, l.now_ns + 4 * SETTLE);
	cr_assert_eq(l.end[0].opened, 2);
	cr_assert_eq(next.checks, 1);
	link_stop(&l);
}

/* What an attacker could use: an answer larger than its question, a nonce that comes twice, one
 * more check for every datagram that it repeats. */
struct watched {
	uint64_t counter[2][256];
	uint32_t count[2];
	size_t bytes[2];
};

static void
watch(struct link *l, const struct link_flying *f)
{
	struct watched *v = l->context;
	int back = f->from == 0;

	v->bytes[back] += f->data[0] == DATAGRAM_SHOW && !back ? 3 * f->bytes : f->bytes;
	cr_assert_leq(v->bytes[1], v->bytes[0]);
	if (f->data[0] != DATAGRAM_SHOW)
		return;
	uint64_t counter = bytes_get_u64(f->data + 8);
	for (uint32_t i = 0; i < v->count[back]; i++)
		cr_assert_neq(v->counter[back][i], counter);
	cr_assert_lt(v->count[back], 256);
	v->counter[back][v->count[back]++] = counter;
	/* Everything from the member arrives three times. */
	if (!back)
		for (int i = 0; i < 2; i++)
			wire_receive(l->end[0].wire, &l->end[1].endpoint, f->data, f->bytes,
				     l->now_ns);
}

Test(wire_show, nothing_is_gained_by_repeating)
{
	struct watched v = {.count = {0}};
	struct link l;

	start(&l, 1);
	l.context = &v;
	l.on_arrival = watch;
	join(&l, 1, 5000, CERTIFICATES_FORGED);
	link_run(&l, l.now_ns + 5 * LINK_MILLISECOND);
	cr_assert_gt(v.count[1], v.count[0]);
	cr_assert_eq(l.end[1].reason, WIRE_REASON_FORGED);
	cr_assert_eq(paper[0].checks, 1);
	link_stop(&l);
}

/* The ration of an address, behind the cookie: a member that comes again and again. */
Test(wire_show, checks_are_rationed_by_address)
{
	struct link l;
	uint64_t tries = 0;

	start(&l, 1);
	for (int n = 0; n < 200; n++) {
		join(&l, 1, 100, CERTIFICATES_UNTRUSTED);
		link_run(&l, l.now_ns + 2 * LINK_MILLISECOND);
		tries += l.end[1].refused;
		l.end[1].refused = 0;
	}
	cr_assert_eq(stats(&l, 0)->certificates_refused, tries);
	cr_assert_leq(tries, 8 + 400 / 100);
	cr_assert_geq(stats(&l, 0)->drop_load, 100);
	cr_assert_geq(stats(&l, 0)->cookies_sent, 100);
	link_stop(&l);
}

Test(wire_show, a_message_reads_back_and_nothing_else_does)
{
	uint8_t body[SHOW_BODY_BYTES], data[SHOW_CHUNK_BYTES];
	struct datagram d = {.body = body, .body_bytes = sizeof body};
	struct show_message in = {.offset = 448, .bytes = 900, .held = 3, .data = data}, out;

	memset(data, 0xab, sizeof data);
	in.data_bytes = SHOW_CHUNK_BYTES;
	show_put(&in, body);
	cr_assert(show_get(&out, &d));
	cr_assert_eq(out.offset, 448);
	cr_assert_eq(out.bytes, 900);
	cr_assert_eq(out.held, 3);
	cr_assert_eq(out.data_bytes, SHOW_CHUNK_BYTES);
	cr_assert_arr_eq(out.data, data, SHOW_CHUNK_BYTES);
	bytes_put_u16(body + 2, 800); /* 448 + 352: the rest would have to be zeros */
	cr_assert_not(show_get(&out, &d));
	bytes_put_u16(body + 2, CERTIFICATES_BYTES_MAX + 1);
	cr_assert_not(show_get(&out, &d));
	bytes_put_u16(body + 2, 447);
	cr_assert_not(show_get(&out, &d), "begins behind the end");
	bytes_put_u16(body + 2, 900);
	body[6] = WIRE_REASON_KEY;
	cr_assert_not(show_get(&out, &d));
	body[6] = WIRE_REASON_FORGED;
	cr_assert(show_get(&out, &d));
	body[7] = 1;
	cr_assert_not(show_get(&out, &d));
	body[7] = 0;
	d.body_bytes--;
	cr_assert_not(show_get(&out, &d));
}

static void
other_certificates(struct link *l, const struct link_flying *f)
{
	struct wire *w = l->end[0].wire;
	uint32_t half_open = 0;

	if (f->to != 0 || f->data[0] != DATAGRAM_SHOW || l->context == NULL)
		return;
	wire_certificates(w, l->context);
	l->context = NULL;
	for (uint32_t i = 0; i < w->config.half_open_max; i++)
		half_open += w->half_open[i].used;
	cr_assert_eq(half_open, 0);
}

/* It shows bytes that are their maker's again. */
Test(wire_show, a_handshake_under_way_does_not_outlive_the_certificates)
{
	struct paper next;
	struct link l;

	start(&l, 1);
	next = paper[0];
	next.table.context = &next;
	l.context = &next.table;
	l.on_arrival = other_certificates;
	join(&l, 1, 2000, CERTIFICATES_GOOD);
	link_run(&l, l.now_ns + 10 * SETTLE);
	cr_assert_eq(l.end[0].opened, 1);
	cr_assert_eq(l.end[1].opened, 1);
	cr_assert_eq(paper[0].checks, 0);
	cr_assert_eq(next.checks, 1);
	link_stop(&l);
}
