/* No libipsec-mb: OpenSSL seals. */
#include <errno.h>
#include <stddef.h>

#include "base/must.h"
#include "hw/gcm.h"

int
hw_gcm_new(uint32_t slots, struct hw_gcm **out)
{
	(void)slots;
	*out = NULL;
	return -ENOTSUP;
}

void
hw_gcm_free(struct hw_gcm *gcm)
{
	must(gcm == NULL);
}

void
hw_gcm_key(struct hw_gcm *gcm, uint32_t slot, const uint8_t key[CRYPTO_KEY_BYTES])
{
	(void)gcm, (void)slot, (void)key;
	must(false);
}

void
hw_gcm_seal(const struct hw_gcm *gcm, const struct crypto_box *box)
{
	(void)gcm, (void)box;
	must(false);
}

bool
hw_gcm_open(const struct hw_gcm *gcm, const struct crypto_box *box)
{
	(void)gcm, (void)box;
	must(false);
	return false;
}
