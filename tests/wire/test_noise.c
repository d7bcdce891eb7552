/* wire/noise.c by hw/crypto.c against published vectors, and against itself. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#include "fake_crypto.h"
#include "hw/crypto.h"
#include "wire/noise.h"

#define BYTES_MAX    256
#define MESSAGES_MAX 8

struct text {
	uint8_t data[BYTES_MAX];
	size_t bytes; /* 0: not there */
};

struct vector {
	enum noise_pattern pattern;
	struct text prologue, psk, hash;
	struct text secret[2], ephemeral[2], remote; /* initiator, responder */
	struct text payload[MESSAGES_MAX], sealed[MESSAGES_MAX];
	int messages;
};

/* Both ends of one handshake, or of the traffic after it. */
struct pair {
	const struct crypto *crypto;
	struct noise end[2];
	struct noise_keys keys[2];
	uint64_t sent[2];
};

static void
from_hex(struct text *out, const char *hex)
{
	out->bytes = strlen(hex) / 2;
	cr_assert(out->bytes <= BYTES_MAX && strlen(hex) % 2 == 0);
	for (size_t i = 0; i < out->bytes; i++) {
		char two[3] = {hex[2 * i], hex[2 * i + 1], 0}, *end;
		out->data[i] = (uint8_t)strtoul(two, &end, 16);
		cr_assert_eq(*end, 0);
	}
}

/* The place of a value by its name in the file. */
static struct text *
field(struct vector *v, const char *name)
{
	const struct {
		const char *name;
		struct text *text;
	} fields[] = {
		{"prologue", &v->prologue},           {"psk", &v->psk},
		{"handshake_hash", &v->hash},         {"init_static", &v->secret[0]},
		{"resp_static", &v->secret[1]},       {"init_ephemeral", &v->ephemeral[0]},
		{"resp_ephemeral", &v->ephemeral[1]}, {"init_remote_static", &v->remote},
	};
	for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++)
		if (strcmp(name, fields[i].name) == 0)
			return fields[i].text;
	cr_assert_fail("no such field: %s", name);
	return NULL;
}

/* False at the end of the file. */
static bool
next_vector(FILE *file, struct vector *v)
{
	char line[1024], name[64], first[600], second[600];

	memset(v, 0, sizeof *v);
	while (fgets(line, sizeof line, file) != NULL) {
		int words = sscanf(line, "%63s %599s %599s", name, first, second);
		if (words < 1 || name[0] == '#' || strcmp(name, "origin") == 0)
			continue;
		if (strcmp(name, "end") == 0)
			return true;
		if (strcmp(name, "protocol") == 0) {
			v->pattern = strstr(first, "_XX_") ? NOISE_XX : NOISE_IKPSK2;
		} else if (strcmp(name, "message") == 0) {
			cr_assert(words == 3 && v->messages < MESSAGES_MAX);
			from_hex(&v->payload[v->messages], first);
			from_hex(&v->sealed[v->messages++], second);
		} else {
			from_hex(field(v, name), first);
		}
	}
	return false;
}

static struct crypto_slice
slice_of(const struct text *t)
{
	return (struct crypto_slice){.data = t->data, .bytes = t->bytes};
}

static void
pair_start(struct pair *p, const struct vector *v)
{
	uint8_t public[2][NOISE_KEY_BYTES];

	memset(p->sent, 0, sizeof p->sent);
	for (int i = 0; i < 2; i++)
		p->crypto->public_key(p->crypto->context, v->secret[i].data, public[i]);
	if (v->remote.bytes > 0)
		cr_assert_arr_eq(v->remote.data, public[1], NOISE_KEY_BYTES);
	for (int i = 0; i < 2; i++) {
		struct noise_config config = {
			.crypto = p->crypto,
			.pattern = v->pattern,
			.initiator = i == 0,
			.prologue = slice_of(&v->prologue),
			.own_secret = v->secret[i].data,
			.own_public = public[i],
			.ephemeral_secret = v->ephemeral[i].data,
			.peer_static = v->pattern == NOISE_IKPSK2 && i == 0 ? public[1] : NULL,
			.psk = v->psk.bytes > 0 ? v->psk.data : NULL,
		};
		noise_init(&p->end[i], &config);
	}
}

/* The next message from `from`, handshake or traffic. */
static void
pair_write(struct pair *p, int from, const struct text *payload, struct text *out)
{
	struct noise *n = &p->end[from];

	if (!noise_done(n)) {
		out->bytes = payload->bytes + noise_overhead(n);
		cr_assert(out->bytes <= BYTES_MAX);
		cr_assert(noise_write(n, slice_of(payload), out->data));
		return;
	}
	out->bytes = payload->bytes + CRYPTO_TAG_BYTES;
	p->crypto->key(p->crypto->context, 1, p->keys[from].send);
	p->crypto->seal(p->crypto->context,
			&(struct crypto_box){.slot = 1,
					     .nonce = p->sent[from]++,
					     .in = payload->data,
					     .out = out->data,
					     .bytes = payload->bytes,
					     .tag = out->data + payload->bytes});
}

static bool
pair_read(struct pair *p, int to, const struct text *message, struct text *payload)
{
	struct noise *n = &p->end[to];

	if (!noise_done(n)) {
		payload->bytes = message->bytes - noise_overhead(n);
		return noise_read(n, slice_of(message), payload->data);
	}
	uint8_t tag[CRYPTO_TAG_BYTES];
	payload->bytes = message->bytes - CRYPTO_TAG_BYTES;
	memcpy(tag, message->data + payload->bytes, sizeof tag);
	p->crypto->key(p->crypto->context, 2, p->keys[to].receive);
	return p->crypto->open(p->crypto->context, &(struct crypto_box){.slot = 2,
									.nonce = p->sent[!to] - 1,
									.in = message->data,
									.out = payload->data,
									.bytes = payload->bytes,
									.tag = tag});
}

static void
pair_split(struct pair *p)
{
	for (int i = 0; i < 2; i++)
		noise_split(&p->end[i], &p->keys[i]);
}

static void
check_vector(struct pair *p, const struct vector *v)
{
	struct text sealed, opened;

	pair_start(p, v);
	for (int i = 0; i < v->messages; i++) {
		bool last = !noise_done(&p->end[0]);
		pair_write(p, i % 2, &v->payload[i], &sealed);
		cr_assert_eq(sealed.bytes, v->sealed[i].bytes, "message %d", i);
		cr_assert_arr_eq(sealed.data, v->sealed[i].data, sealed.bytes, "message %d", i);
		cr_assert(pair_read(p, !(i % 2), &v->sealed[i], &opened), "message %d", i);
		cr_assert_eq(opened.bytes, v->payload[i].bytes);
		cr_assert_arr_eq(opened.data, v->payload[i].data, opened.bytes);
		if (last && noise_done(&p->end[0]))
			pair_split(p);
	}
	cr_assert(noise_done(&p->end[0]) && noise_done(&p->end[1]));
	if (v->hash.bytes > 0)
		cr_assert_arr_eq(p->end[0].hash, v->hash.data, NOISE_KEY_BYTES);
	for (int i = 0; i < 2; i++)
		cr_assert_arr_eq(p->end[i].peer_static, p->end[!i].own_public, NOISE_KEY_BYTES);
}

Test(wire_noise, published_vectors_of_both_patterns_hold)
{
	struct crypto *crypto = hw_crypto_new(3, NULL);
	struct pair pair = {.crypto = crypto};
	FILE *file = fopen(VECTORS_PATH, "r");
	int count[NOISE_PATTERNS] = {0};
	struct vector v;

	cr_assert(file != NULL && crypto != NULL);
	while (next_vector(file, &v)) {
		check_vector(&pair, &v);
		count[v.pattern]++;
	}
	cr_assert_eq(count[NOISE_IKPSK2], 1);
	cr_assert_eq(count[NOISE_XX], 2);
	fclose(file);
	hw_crypto_free(crypto);
}

static uint64_t
draw(uint64_t *random)
{
	uint64_t z = *random += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

static void
fill(struct text *t, size_t bytes, uint64_t *random)
{
	t->bytes = bytes;
	for (size_t i = 0; i < bytes; i++)
		t->data[i] = (uint8_t)draw(random);
}

static void
random_vector(struct vector *v, uint64_t *random)
{
	memset(v, 0, sizeof *v);
	v->pattern = draw(random) % NOISE_PATTERNS;
	fill(&v->prologue, draw(random) % 100, random);
	for (int i = 0; i < 2; i++) {
		fill(&v->secret[i], NOISE_KEY_BYTES, random);
		fill(&v->ephemeral[i], NOISE_KEY_BYTES, random);
	}
	if (v->pattern == NOISE_IKPSK2 && draw(random) % 2)
		fill(&v->psk, NOISE_KEY_BYTES, random);
}

/* A handshake of random keys and payloads and four messages after it; with `flip`
 * one bit of one message is turned, and it must be that message, or in XX, whose
 * first goes in clear, the next one, which does not open. */
static void
random_handshake(struct pair *p, uint64_t *random, bool flip)
{
	struct text payload, sealed, opened;
	struct vector v;
	bool good = true;

	random_vector(&v, random);
	pair_start(p, &v);
	int steps = v.pattern == NOISE_XX ? 3 : 2;
	int turned = flip ? (int)(draw(random) % (uint64_t)(steps + 4)) : -1;
	for (int i = 0; i < steps + 4 && good; i++) {
		fill(&payload, draw(random) % 100, random);
		pair_write(p, i % 2, &payload, &sealed);
		if (i == turned) {
			uint64_t bit = draw(random) % (8 * sealed.bytes);
			sealed.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
		}
		good = pair_read(p, !(i % 2), &sealed, &opened);
		if (!good) {
			bool next = v.pattern == NOISE_XX && turned == 0 && i == 1;
			cr_assert(i == turned || next, "message %d, turned %d", i, turned);
			return;
		}
		if (i == turned)
			continue;
		cr_assert_eq(opened.bytes, payload.bytes);
		cr_assert_arr_eq(opened.data, payload.data, payload.bytes);
		if (i == steps - 1)
			pair_split(p);
	}
	cr_assert(!flip, "a turned bit passed");
	for (int i = 0; i < 2; i++) {
		cr_assert_arr_eq(p->keys[i].send, p->keys[!i].receive, NOISE_KEY_BYTES);
		cr_assert_arr_eq(p->end[i].peer_static, p->end[!i].own_public, NOISE_KEY_BYTES);
	}
	cr_assert_arr_eq(p->end[0].hash, p->end[1].hash, NOISE_KEY_BYTES);
	cr_assert_arr_neq(p->keys[0].send, p->keys[0].receive, NOISE_KEY_BYTES);
}

Test(wire_noise, both_ends_agree_and_a_turned_bit_never_passes)
{
	struct crypto *crypto = hw_crypto_new(3, NULL);
	struct pair pair = {.crypto = crypto};
	uint64_t random = 1;

	for (int n = 0; n < 400; n++)
		random_handshake(&pair, &random, n % 2 == 1);
	hw_crypto_free(crypto);
}

Test(wire_noise, the_fake_table_has_the_real_ones_shape)
{
	uint64_t keys[3], random = 2;
	struct fake_crypto fake;
	struct pair pair = {.crypto = fake_crypto_init(&fake, keys, 3)};

	for (int n = 0; n < 20000; n++)
		random_handshake(&pair, &random, false);
}

/* The responder's first message must not open where anything differs that both
 * have to know. */
Test(wire_noise, another_prologue_key_or_secret_does_not_open)
{
	struct crypto *crypto = hw_crypto_new(3, NULL);
	struct pair pair = {.crypto = crypto}, other = {.crypto = crypto};
	struct text payload, sealed, opened;
	uint64_t random = 3;

	for (int n = 0; n < 90; n++) {
		struct vector v;
		random_vector(&v, &random);
		v.pattern = NOISE_IKPSK2;
		fill(&v.psk, NOISE_KEY_BYTES, &random);
		fill(&v.prologue, 20, &random);
		struct vector w = v;
		struct text *changed[] = {&w.prologue, &w.secret[1], &w.psk};
		changed[n % 3]->data[draw(&random) % 20] ^= 0x40;
		pair_start(&pair, &v);
		pair_start(&other, &w);
		fill(&payload, 10, &random);
		pair_write(&pair, 0, &payload, &sealed);
		other.end[0] = pair.end[0];
		bool first = pair_read(&other, 1, &sealed, &opened);
		cr_assert_eq(first, n % 3 == 2); /* a psk is mixed in last */
		if (!first)
			continue;
		pair_write(&other, 1, &payload, &sealed);
		cr_assert(!pair_read(&other, 0, &sealed, &opened));
	}
	hw_crypto_free(crypto);
}

Test(wire_noise, a_public_key_of_small_order_is_refused)
{
	struct crypto *crypto = hw_crypto_new(3, NULL);
	struct pair pair = {.crypto = crypto};
	struct text payload = {.bytes = 5}, sealed, opened;
	uint64_t random = 4;
	struct vector v;

	random_vector(&v, &random);
	v.pattern = NOISE_IKPSK2;
	pair_start(&pair, &v);
	pair_write(&pair, 0, &payload, &sealed);
	memset(sealed.data, 0, NOISE_KEY_BYTES);
	cr_assert(!pair_read(&pair, 1, &sealed, &opened));
	cr_assert_not(pair_read(&pair, 1, &(struct text){.bytes = 0}, &opened));
	hw_crypto_free(crypto);
}
