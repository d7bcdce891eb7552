/* AES-256-GCM by libipsec-mb: one call a datagram. */
#include <errno.h>
#include <intel-ipsec-mb.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

#include "base/must.h"
#include "hw/gcm.h"
#include "hw/gcm_nonce.h"

/* What the library's loads want; its header aligns keys only for who defines LINUX. */
#define KEY_ALIGNED 64

struct slot {
	struct gcm_key_data key;
} __attribute__((aligned(KEY_ALIGNED)));

struct hw_gcm {
	IMB_MGR *manager;
	struct slot *slot;
	uint32_t slots;
};

static const struct gcm_key_data *
key_at(const struct hw_gcm *g, uint32_t slot)
{
	must(slot < g->slots);
	return &g->slot[slot].key;
}

void
hw_gcm_key(struct hw_gcm *g, uint32_t slot, const uint8_t key[CRYPTO_KEY_BYTES])
{
	must(slot < g->slots);
	IMB_AES256_GCM_PRE(g->manager, key, &g->slot[slot].key);
}

void
hw_gcm_seal(const struct hw_gcm *g, const struct crypto_box *box)
{
	struct gcm_context_data context;
	uint8_t nonce[GCM_NONCE_BYTES];

	gcm_nonce(box->nonce, nonce);
	IMB_AES256_GCM_ENC(g->manager, key_at(g, box->slot), &context, box->out, box->in,
			   box->bytes, nonce, box->bound.data, box->bound.bytes, box->tag,
			   CRYPTO_TAG_BYTES);
}

bool
hw_gcm_open(const struct hw_gcm *g, const struct crypto_box *box)
{
	struct gcm_context_data context;
	uint8_t nonce[GCM_NONCE_BYTES], tag[CRYPTO_TAG_BYTES];

	gcm_nonce(box->nonce, nonce);
	IMB_AES256_GCM_DEC(g->manager, key_at(g, box->slot), &context, box->out, box->in,
			   box->bytes, nonce, box->bound.data, box->bound.bytes, tag,
			   CRYPTO_TAG_BYTES);
	return CRYPTO_memcmp(tag, box->tag, CRYPTO_TAG_BYTES) == 0;
}

static bool
manager_start(struct hw_gcm *g)
{
	IMB_ARCH arch = IMB_ARCH_NONE;

	init_mb_mgr_auto(g->manager, &arch);
	return arch != IMB_ARCH_NONE && arch != IMB_ARCH_NOAESNI && imb_get_errno(g->manager) == 0;
}

int
hw_gcm_new(uint32_t slots, struct hw_gcm **out)
{
	static const uint8_t zero[CRYPTO_KEY_BYTES];
	struct hw_gcm *g = calloc(1, sizeof *g);

	*out = NULL;
	if (g == NULL)
		return -ENOMEM;
	g->manager = alloc_mb_mgr(0);
	g->slot = aligned_alloc(KEY_ALIGNED, slots * sizeof(struct slot));
	if (g->manager == NULL || g->slot == NULL || !manager_start(g)) {
		bool no_memory = g->manager == NULL || g->slot == NULL;
		hw_gcm_free(g);
		return no_memory ? -ENOMEM : -ENOTSUP;
	}
	g->slots = slots;
	for (uint32_t i = 0; i < slots; i++)
		hw_gcm_key(g, i, zero);
	*out = g;
	return 0;
}

void
hw_gcm_free(struct hw_gcm *g)
{
	if (g == NULL)
		return;
	if (g->slot != NULL)
		explicit_bzero(g->slot, g->slots * sizeof(struct slot));
	free(g->slot);
	if (g->manager != NULL)
		free_mb_mgr(g->manager);
	free(g);
}
