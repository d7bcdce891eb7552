/*
 * What it costs to seal a datagram and to open it, by the table that synodd gives its
 * sessions (hw/crypto.h), beside its twin: OpenSSL's AES-256-GCM alone, with one
 * context, for the same bytes and the same header bound to them. The table is slower
 * than its twin where it seals with OpenSSL as well, as the plugin's does.
 *
 * A datagram of n bytes is 32 of header, which are bound, n - 48 that are hidden, and a
 * tag of 16. The table has a key for every slot that a node's sessions can have, and each
 * datagram is another session's: what the twin does not pay is the way to its key. The
 * last row of a size is the floor: the same hidden bytes as a part of a long stretch,
 * which has no beginning and no end.
 *
 * All rows take turns, RUNS times, on the thread's own time. An agreement of keys
 * (X25519) is what the handshakes' ration stands in front of, four at each end.
 */
#include <openssl/evp.h>

#include "hw/crypto.h"
#include "perf/bench.h"
#include "wire/format.h"

#define RUNS          9
#define SIZES         3
#define SLOTS         256 /* as a few groups' sessions have */
#define NONCE_BYTES   12
#define STRETCH_BYTES 65536
#define COUNT         20000 /* datagrams that are timed together */

enum way {
	WAY_SEAL = 0,
	WAY_OPEN = 1,
	WAY_TWIN_SEAL = 2,
	WAY_TWIN_OPEN = 3,
	WAY_STRETCH = 4,
	WAYS = 5,
};

static const uint32_t size[SIZES] = {64, 256, 1400};
static const char *const name[WAYS] = {"sealed", "opened", "OpenSSL, sealed", "OpenSSL, opened",
				       "floor, sealed in a stretch of 64 KiB"};

static struct crypto *crypto;
static EVP_CIPHER_CTX *bare;
static double took_ns[SIZES][WAYS][RUNS], agree_ns[RUNS];
static uint8_t plain[STRETCH_BYTES], hidden[STRETCH_BYTES], opened[STRETCH_BYTES];
static uint8_t tag[CRYPTO_TAG_BYTES], header[DATAGRAM_HEADER_BYTES];

static void
nonce_of(uint64_t n, uint8_t out[NONCE_BYTES])
{
	memset(out, 0, NONCE_BYTES);
	bytes_put_u64(out + 4, __builtin_bswap64(n));
}

static void
bare_seal(uint64_t n, uint32_t bytes)
{
	uint8_t nonce[NONCE_BYTES];
	int done;

	nonce_of(n, nonce);
	must(EVP_EncryptInit_ex(bare, NULL, NULL, NULL, nonce) == 1);
	must(EVP_EncryptUpdate(bare, NULL, &done, header, sizeof header) == 1);
	must(EVP_EncryptUpdate(bare, hidden, &done, plain, (int)bytes) == 1);
	must(EVP_EncryptFinal_ex(bare, tag, &done) == 1);
	must(EVP_CIPHER_CTX_ctrl(bare, EVP_CTRL_AEAD_GET_TAG, sizeof tag, tag) == 1);
}

static void
bare_open(uint64_t n, uint32_t bytes)
{
	uint8_t nonce[NONCE_BYTES], tail[CRYPTO_TAG_BYTES];
	int done;

	nonce_of(n, nonce);
	must(EVP_DecryptInit_ex(bare, NULL, NULL, NULL, nonce) == 1);
	must(EVP_DecryptUpdate(bare, NULL, &done, header, sizeof header) == 1);
	must(EVP_DecryptUpdate(bare, opened, &done, hidden, (int)bytes) == 1);
	must(EVP_CIPHER_CTX_ctrl(bare, EVP_CTRL_AEAD_SET_TAG, sizeof tag, tag) == 1);
	must(EVP_DecryptFinal_ex(bare, tail, &done) == 1);
}

/* The key is the same in all slots, so that what one seals any opens. */
static struct crypto_box
box_of(uint64_t n, uint32_t bytes)
{
	return (struct crypto_box){.slot = (uint32_t)(n * 7 % SLOTS),
				   .nonce = 1,
				   .bound = {header, sizeof header},
				   .in = plain,
				   .out = hidden,
				   .bytes = bytes,
				   .tag = tag};
}

static void
once(enum way way, uint64_t n, uint32_t bytes)
{
	struct crypto_box box = box_of(n, bytes);

	switch (way) {
	case WAY_SEAL:
		crypto->seal(crypto->context, &box);
		break;
	case WAY_OPEN:
		box.in = hidden;
		box.out = opened;
		must(crypto->open(crypto->context, &box));
		break;
	case WAY_TWIN_SEAL:
	case WAY_STRETCH:
		bare_seal(1, bytes);
		break;
	default:
		bare_open(1, bytes);
	}
}

/* Per datagram of `bytes` hidden bytes. */
static double
measure(enum way way, uint32_t bytes, uint64_t count)
{
	uint32_t each = way == WAY_STRETCH ? STRETCH_BYTES : bytes;
	uint64_t times = way == WAY_STRETCH ? 1 + count * bytes / STRETCH_BYTES : count;

	bare_seal(1, each); /* what is to be opened, and warm */
	uint64_t began = bench_cpu_ns();
	for (uint64_t n = 0; n < times; n++)
		once(way, n, each);
	double all_ns = (double)(bench_cpu_ns() - began);
	must(way != WAY_OPEN || memcmp(opened, plain, bytes) == 0);
	return all_ns / (double)times * bytes / each;
}

static double
measure_agreement(uint64_t count)
{
	uint8_t secret[CRYPTO_KEY_BYTES] = {1}, peer[CRYPTO_KEY_BYTES], out[CRYPTO_KEY_BYTES];

	crypto->public_key(crypto->context, secret, peer);
	uint64_t began = bench_cpu_ns();
	for (uint64_t n = 0; n < count; n++)
		must(crypto->agree(crypto->context, secret, peer, out));
	return (double)(bench_cpu_ns() - began) / (double)count;
}

static int
ascending(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

static double
print(const char *what, double *ns, uint32_t runs)
{
	qsort(ns, runs, sizeof *ns, ascending);
	printf("%-52s p50 %8.0f  min %8.0f  max %8.0f ns", what, ns[runs / 2], ns[0], ns[runs - 1]);
	return ns[runs / 2];
}

static void
print_size(uint32_t i, uint32_t runs)
{
	double median[WAYS];
	char what[64];

	for (enum way way = 0; way < WAYS; way++) {
		snprintf(what, sizeof what, "%u bytes, %s", size[i], name[way]);
		median[way] = print(what, took_ns[i][way], runs);
		printf(way == WAY_STRETCH ? "\n" : "  %6.0f MB/s\n", size[i] * 1e3 / median[way]);
	}
	printf("    sealed x%.2f, opened x%.2f of OpenSSL\n",
	       median[WAY_SEAL] / median[WAY_TWIN_SEAL], median[WAY_OPEN] / median[WAY_TWIN_OPEN]);
}

int
main(int argc, char **argv)
{
	static const uint8_t key[CRYPTO_KEY_BYTES] = {3, 1, 4, 1, 5};
	struct bench bench = bench_start("bench_seal", argc, argv, 1);
	uint32_t runs = bench.smallest ? 1 : RUNS, count = bench.smallest ? 100 : COUNT;

	bench_pin(&bench, 0);
	crypto = hw_crypto_new(SLOTS, NULL);
	bare = EVP_CIPHER_CTX_new();
	must(crypto && bare);
	must(EVP_EncryptInit_ex(bare, EVP_aes_256_gcm(), NULL, key, NULL) == 1);
	for (uint32_t slot = 0; slot < SLOTS; slot++)
		crypto->key(crypto->context, slot, key);
	printf("# sealed and opened by %s\n", hw_crypto_sealed_by(crypto));
	memset(plain, 0x5a, sizeof plain);
	for (uint32_t run = 0; run < runs; run++) {
		for (uint32_t i = 0; i < SIZES; i++)
			for (enum way way = 0; way < WAYS; way++)
				took_ns[i][way][run] =
					measure(way, size[i] - DATAGRAM_FRAME_BYTES, count);
		agree_ns[run] = measure_agreement(count / 100);
	}
	for (uint32_t i = 0; i < SIZES; i++)
		print_size(i, runs);
	print("an agreement of keys", agree_ns, runs);
	printf("\n");
	EVP_CIPHER_CTX_free(bare);
	hw_crypto_free(crypto);
	return 0;
}
