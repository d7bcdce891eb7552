/*
 * hw/gcm.h - AES-256-GCM faster than OpenSSL's, for hw/crypto.c.
 *
 * OpenSSL's spends 150 ns on the beginning and the end of a datagram, through
 * several calls and its providers; libipsec-mb does the whole in one call
 * (docs/figures.md, bench_seal). Two files have these functions and a program
 * links one of them: gcm_ipsec_mb.c, and gcm_absent.c, which has none, where the
 * library is not there or is not wanted: the plugin must load into a stock
 * server, beside which nobody installed it.
 *
 * Ownership  hw_gcm_free() frees keys and all; keys are wiped.
 * Errors     hw_gcm_new(): -ENOTSUP (not linked, or the processor has no AES-NI:
 *            the caller has OpenSSL's), -ENOMEM.
 * Threads    as the table's: one.
 */
#ifndef HW_GCM_H
#define HW_GCM_H

#include "base/crypto.h"

struct hw_gcm;

/* 0, or -errno and `*out` is NULL. Keys begin as zeros. */
int hw_gcm_new(uint32_t slots, struct hw_gcm **out);
void hw_gcm_free(struct hw_gcm *gcm);

/* As the functions of the same names in struct crypto. */
void hw_gcm_key(struct hw_gcm *gcm, uint32_t slot, const uint8_t key[CRYPTO_KEY_BYTES]);
void hw_gcm_seal(const struct hw_gcm *gcm, const struct crypto_box *box);
bool hw_gcm_open(const struct hw_gcm *gcm, const struct crypto_box *box);

#endif /* HW_GCM_H */
