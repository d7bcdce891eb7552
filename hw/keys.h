/*
 * hw/keys.h - the key file of a node or a server: its secret, and whom it knows.
 *
 *     # a comment
 *     secret = mKqk...=                             this end's own; 32 bytes in base64
 *     old    = Qk1s...=                             optional: the secret before, still good
 *     psk    = Zl3V...=                             optional, the same at both ends
 *     peer   = 7n2x...= node 2                      whose key opens sessions, and
 *     peer   = QxS0...= server 6b1c... group 0a9f...,77be...    which groups
 *     peer   = hVb4...= server any group any
 *
 * A server needs no peers: it names its nodes' keys in synod.appliance. A node lists
 * the other nodes and every server. During a rotation a peer stands there twice, and in the peer's
 * own file both of its secrets.
 *
 * Never  prints a secret. A file that others may read or write is refused.
 * Limits HW_KEYS_MAX peers, HW_KEY_GROUPS_MAX groups each.
 * Errors -errno and a sentence with the number of the line and what to do.
 */
#ifndef HW_KEYS_H
#define HW_KEYS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/crypto.h"
#include "hw/error.h"

#define HW_KEYS_MAX       256
#define HW_KEY_GROUPS_MAX 8
#define HW_KEY_TEXT_BYTES 45 /* base64 of 32 bytes, and the end */
#define HW_UUID_BYTES     16

enum hw_key_kind {
	HW_KEY_NODE = 1,
	HW_KEY_SERVER = 2,
};

struct hw_key {
	uint8_t key[CRYPTO_KEY_BYTES];
	enum hw_key_kind kind;
	uint32_t node;               /* its id */
	uint8_t uuid[HW_UUID_BYTES]; /* of a server; zeros: any */
	uint32_t group_count;        /* 0: any */
	uint8_t group[HW_KEY_GROUPS_MAX][HW_UUID_BYTES];
};

struct hw_keys {
	uint8_t secret[CRYPTO_KEY_BYTES];
	uint8_t old[CRYPTO_KEY_BYTES]; /* zeros: none */
	uint8_t psk[CRYPTO_KEY_BYTES]; /* zeros: none */
	uint32_t count;
	struct hw_key peer[HW_KEYS_MAX];
};

/* `name` stands in front of the line number in the sentence. */
int hw_keys_parse(struct hw_keys *keys, const char *name, const char *text, struct hw_error *error);
int hw_keys_load(struct hw_keys *keys, const char *path, struct hw_error *error);

void hw_key_text(const uint8_t key[CRYPTO_KEY_BYTES], char text[HW_KEY_TEXT_BYTES]);
bool hw_key_read(const char *text, size_t chars, uint8_t key[CRYPTO_KEY_BYTES]);

#endif /* HW_KEYS_H */
