/*
 * Both tables of hw/crypto.h against OpenSSL alone, which published vectors hold to
 * (tests/wire/test_noise.c): this file is linked twice, with libipsec-mb and without.
 */
#include <criterion/criterion.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "hw/crypto.h"
#include "hw/gcm_nonce.h"

#define SLOTS     3
#define BYTES_MAX 2000
#define ROUNDS    2000

static struct crypto *crypto;
static uint8_t key[SLOTS][CRYPTO_KEY_BYTES];
static uint8_t plain[BYTES_MAX], bound[BYTES_MAX], sealed[BYTES_MAX], opened[BYTES_MAX];
static uint8_t tag[CRYPTO_TAG_BYTES];

static void
make(void)
{
	struct hw_error error = {0};

	crypto = hw_crypto_new(SLOTS, &error);
	cr_assert(crypto, "%s", error.text);
	for (uint32_t i = 0; i < SLOTS; i++) {
		cr_assert_eq(hw_random(key[i], sizeof key[i], &error), 0);
		crypto->key(crypto->context, i, key[i]);
	}
	cr_assert_eq(hw_random(plain, sizeof plain, &error), 0);
	cr_assert_eq(hw_random(bound, sizeof bound, &error), 0);
}

static void
clean(void)
{
	hw_crypto_free(crypto);
}

TestSuite(hw_crypto, .init = make, .fini = clean, .timeout = 60);

/* OpenSSL's own, with a context for this one datagram. */
static void
seal_plainly(const struct crypto_box *box, uint8_t *out, uint8_t out_tag[CRYPTO_TAG_BYTES])
{
	EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
	uint8_t nonce[GCM_NONCE_BYTES];
	int bytes;

	gcm_nonce(box->nonce, nonce);
	cr_assert(EVP_EncryptInit_ex(c, EVP_aes_256_gcm(), NULL, key[box->slot], nonce));
	cr_assert(EVP_EncryptUpdate(c, NULL, &bytes, box->bound.data, (int)box->bound.bytes));
	cr_assert(EVP_EncryptUpdate(c, out, &bytes, box->in, (int)box->bytes));
	cr_assert(EVP_EncryptFinal_ex(c, out, &bytes));
	cr_assert(EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_GET_TAG, CRYPTO_TAG_BYTES, out_tag));
	EVP_CIPHER_CTX_free(c);
}

static struct crypto_box
any_box(int round)
{
	return (struct crypto_box){
		.slot = (uint32_t)rand() % SLOTS,
		.nonce = (uint64_t)rand() << 33 ^ (uint64_t)rand(),
		.bound = {bound, round % 2 ? 32 : (size_t)rand() % 100},
		.in = plain,
		.out = sealed,
		.bytes = round < 100 ? (size_t)round : 1 + (size_t)rand() % BYTES_MAX,
		.tag = tag,
	};
}

Test(hw_crypto, sealed_is_what_openssl_seals)
{
	static uint8_t expected[BYTES_MAX];
	uint8_t expected_tag[CRYPTO_TAG_BYTES];

	srand(1);
	for (int round = 0; round < ROUNDS; round++) {
		struct crypto_box box = any_box(round);
		seal_plainly(&box, expected, expected_tag);
		crypto->seal(crypto->context, &box);
		cr_assert_arr_eq(tag, expected_tag, sizeof tag, "%zu bytes", box.bytes);
		cr_assert(memcmp(sealed, expected, box.bytes) == 0, "%zu bytes", box.bytes);

		box.in = sealed, box.out = opened;
		cr_assert(crypto->open(crypto->context, &box));
		cr_assert(memcmp(opened, plain, box.bytes) == 0);
		box.out = sealed; /* where it lies */
		cr_assert(crypto->open(crypto->context, &box));
		cr_assert(memcmp(sealed, plain, box.bytes) == 0);
	}
}

Test(hw_crypto, what_was_changed_does_not_open)
{
	srand(2);
	for (int round = 1; round < ROUNDS; round++) {
		struct crypto_box box = any_box(round);
		uint8_t changed = (uint8_t)(1u << rand() % 8);
		crypto->seal(crypto->context, &box);
		box.in = sealed, box.out = opened;

		uint8_t *where = &sealed[(size_t)rand() % box.bytes];
		*where ^= changed;
		cr_assert_not(crypto->open(crypto->context, &box), "a byte");
		*where ^= changed;
		where = &tag[rand() % CRYPTO_TAG_BYTES];
		*where ^= changed;
		cr_assert_not(crypto->open(crypto->context, &box), "the tag");
		*where ^= changed;
		box.nonce ^= changed;
		cr_assert_not(crypto->open(crypto->context, &box), "the number");
		box.nonce ^= changed;
		box.slot = (box.slot + 1) % SLOTS;
		cr_assert_not(crypto->open(crypto->context, &box), "another key");
		box.slot = (box.slot + SLOTS - 1) % SLOTS;
		if (box.bound.bytes > 0) {
			where = &bound[(size_t)rand() % box.bound.bytes];
			*where ^= changed;
			cr_assert_not(crypto->open(crypto->context, &box), "what is bound");
			*where ^= changed;
		}
		cr_assert(crypto->open(crypto->context, &box));
	}
}

Test(hw_crypto, a_key_that_is_put_in_again_is_another)
{
	struct crypto_box box = any_box(200);

	crypto->seal(crypto->context, &box);
	box.in = sealed, box.out = opened;
	crypto->key(crypto->context, box.slot, bound);
	cr_assert_not(crypto->open(crypto->context, &box));
	crypto->key(crypto->context, box.slot, key[box.slot]);
	cr_assert(crypto->open(crypto->context, &box));
}

Test(hw_crypto, says_whose_it_is)
{
	cr_assert_str_eq(hw_crypto_sealed_by(crypto), SEALED_BY);
}
