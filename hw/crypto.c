/* X25519, SHA-256 and AES-256-GCM by OpenSSL, the last by hw/gcm.h where it is linked. */
#include "hw/crypto.h"

#include <errno.h>
#include <limits.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/must.h"
#include "hw/gcm.h"
#include "hw/gcm_nonce.h"

struct hw_crypto {
	struct crypto table;
	EVP_MD *sha256;
	EVP_MD_CTX *digest;
	struct hw_gcm *gcm; /* or what follows, or both are not yet there */
	EVP_CIPHER *aes256_gcm;
	EVP_CIPHER_CTX **slot;
};

static void
hash(void *context, const struct crypto_slice *parts, uint32_t count, uint8_t out[CRYPTO_KEY_BYTES])
{
	struct hw_crypto *h = context;

	must(EVP_DigestInit_ex2(h->digest, h->sha256, NULL) == 1);
	for (uint32_t i = 0; i < count; i++)
		must(EVP_DigestUpdate(h->digest, parts[i].data, parts[i].bytes) == 1);
	must(EVP_DigestFinal_ex(h->digest, out, NULL) == 1);
}

static EVP_PKEY *
secret_key(const uint8_t secret[CRYPTO_KEY_BYTES])
{
	EVP_PKEY *key =
		EVP_PKEY_new_raw_private_key(EVP_PKEY_X25519, NULL, secret, CRYPTO_KEY_BYTES);

	must(key != NULL);
	return key;
}

static void
public_key(void *context, const uint8_t secret[CRYPTO_KEY_BYTES], uint8_t out[CRYPTO_KEY_BYTES])
{
	EVP_PKEY *key = secret_key(secret);
	size_t bytes = CRYPTO_KEY_BYTES;

	(void)context;
	must(EVP_PKEY_get_raw_public_key(key, out, &bytes) == 1);
	must(bytes == CRYPTO_KEY_BYTES);
	EVP_PKEY_free(key);
}

/* libcrypto refuses a result of zeros by itself: that is the only way to fail
 * with keys of the right size. */
static bool
agree(void *context, const uint8_t secret[CRYPTO_KEY_BYTES], const uint8_t peer[CRYPTO_KEY_BYTES],
      uint8_t out[CRYPTO_KEY_BYTES])
{
	EVP_PKEY *own = secret_key(secret);
	EVP_PKEY *other =
		EVP_PKEY_new_raw_public_key(EVP_PKEY_X25519, NULL, peer, CRYPTO_KEY_BYTES);
	EVP_PKEY_CTX *derive = EVP_PKEY_CTX_new(own, NULL);
	size_t bytes = CRYPTO_KEY_BYTES;

	(void)context;
	must(other != NULL && derive != NULL);
	must(EVP_PKEY_derive_init(derive) == 1);
	bool good = EVP_PKEY_derive_set_peer(derive, other) == 1 &&
		    EVP_PKEY_derive(derive, out, &bytes) == 1;
	must(bytes == CRYPTO_KEY_BYTES);
	EVP_PKEY_CTX_free(derive);
	EVP_PKEY_free(other);
	EVP_PKEY_free(own);
	return good;
}

static EVP_CIPHER_CTX *
slot_at(const struct hw_crypto *h, uint32_t slot)
{
	must(slot < h->table.slots);
	return h->slot[slot];
}

static void
key(void *context, uint32_t slot, const uint8_t bytes[CRYPTO_KEY_BYTES])
{
	const struct hw_crypto *h = context;

	must(EVP_EncryptInit_ex(slot_at(h, slot), NULL, NULL, bytes, NULL) == 1);
}

static void
seal(void *context, const struct crypto_box *box)
{
	EVP_CIPHER_CTX *c = slot_at(context, box->slot);
	uint8_t nonce[GCM_NONCE_BYTES];
	int bytes;

	must(box->bytes <= INT_MAX && box->bound.bytes <= INT_MAX);
	gcm_nonce(box->nonce, nonce);
	must(EVP_EncryptInit_ex(c, NULL, NULL, NULL, nonce) == 1);
	must(EVP_EncryptUpdate(c, NULL, &bytes, box->bound.data, (int)box->bound.bytes) == 1);
	if (box->bytes > 0)
		must(EVP_EncryptUpdate(c, box->out, &bytes, box->in, (int)box->bytes) == 1);
	must(EVP_EncryptFinal_ex(c, box->tag, &bytes) == 1 && bytes == 0);
	must(EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_GET_TAG, CRYPTO_TAG_BYTES, box->tag) == 1);
}

static bool
open_box(void *context, const struct crypto_box *box)
{
	EVP_CIPHER_CTX *c = slot_at(context, box->slot);
	uint8_t nonce[GCM_NONCE_BYTES], tail[CRYPTO_TAG_BYTES];
	int bytes;

	must(box->bytes <= INT_MAX && box->bound.bytes <= INT_MAX);
	gcm_nonce(box->nonce, nonce);
	must(EVP_DecryptInit_ex(c, NULL, NULL, NULL, nonce) == 1);
	must(EVP_DecryptUpdate(c, NULL, &bytes, box->bound.data, (int)box->bound.bytes) == 1);
	if (box->bytes > 0)
		must(EVP_DecryptUpdate(c, box->out, &bytes, box->in, (int)box->bytes) == 1);
	must(EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_SET_TAG, CRYPTO_TAG_BYTES, box->tag) == 1);
	return EVP_DecryptFinal_ex(c, tail, &bytes) == 1;
}

static void
gcm_key(void *context, uint32_t slot, const uint8_t bytes[CRYPTO_KEY_BYTES])
{
	const struct hw_crypto *h = context;

	hw_gcm_key(h->gcm, slot, bytes);
}

static void
gcm_seal(void *context, const struct crypto_box *box)
{
	const struct hw_crypto *h = context;

	hw_gcm_seal(h->gcm, box);
}

static bool
gcm_open(void *context, const struct crypto_box *box)
{
	const struct hw_crypto *h = context;

	return hw_gcm_open(h->gcm, box);
}

/* Contexts are OpenSSL's only where it is the one that seals. */
static bool
slots_start(struct hw_crypto *h)
{
	static const uint8_t zero[CRYPTO_KEY_BYTES];

	h->aes256_gcm = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);
	h->slot = calloc(h->table.slots, sizeof(EVP_CIPHER_CTX *));
	if (h->aes256_gcm == NULL || h->slot == NULL)
		return false;
	for (uint32_t i = 0; i < h->table.slots; i++) {
		h->slot[i] = EVP_CIPHER_CTX_new();
		if (h->slot[i] == NULL ||
		    EVP_EncryptInit_ex(h->slot[i], h->aes256_gcm, NULL, zero, NULL) != 1)
			return false;
	}
	return true;
}

static bool
sealing_start(struct hw_crypto *h)
{
	int code = hw_gcm_new(h->table.slots, &h->gcm);

	if (code == 0) {
		h->table.key = gcm_key;
		h->table.seal = gcm_seal;
		h->table.open = gcm_open;
	}
	return code == 0 || (code == -ENOTSUP && slots_start(h));
}

struct crypto *
hw_crypto_new(uint32_t slots, struct hw_error *error)
{
	struct hw_crypto *h = calloc(1, sizeof *h);

	must(slots > CRYPTO_SLOT_SCRATCH);
	if (h == NULL) {
		hw_error_set(error, -ENOMEM, "no memory for the keys of sessions");
		return NULL;
	}
	h->table = (struct crypto){
		.context = h,
		.slots = slots,
		.hash = hash,
		.public_key = public_key,
		.agree = agree,
		.key = key,
		.seal = seal,
		.open = open_box,
	};
	h->sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
	h->digest = EVP_MD_CTX_new();
	if (h->sha256 == NULL || h->digest == NULL || !sealing_start(h)) {
		hw_error_set(error, -ENOTSUP,
			     "OpenSSL gives no SHA-256 or AES-256-GCM, or memory ran out. "
			     "Check its configuration (openssl list -cipher-algorithms), or "
			     "set seal = none");
		hw_crypto_free(&h->table);
		return NULL;
	}
	return &h->table;
}

const char *
hw_crypto_sealed_by(const struct crypto *crypto)
{
	const struct hw_crypto *h = crypto->context;

	return h->gcm != NULL ? "libipsec-mb" : "OpenSSL";
}

void
hw_crypto_free(struct crypto *crypto)
{
	if (crypto == NULL)
		return;
	struct hw_crypto *h = crypto->context;
	for (uint32_t i = 0; h->slot != NULL && i < crypto->slots; i++)
		EVP_CIPHER_CTX_free(h->slot[i]);
	free(h->slot);
	hw_gcm_free(h->gcm);
	EVP_CIPHER_free(h->aes256_gcm);
	EVP_MD_CTX_free(h->digest);
	EVP_MD_free(h->sha256);
	free(h);
}

int
hw_random(uint8_t *out, size_t bytes, struct hw_error *error)
{
	for (size_t at = 0; at < bytes;) {
		ssize_t got = getrandom(out + at, bytes - at, 0);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return hw_error_set(error, -errno, "no random bytes from the kernel: %s",
					    strerror(errno));
		at += (size_t)got;
	}
	return 0;
}
