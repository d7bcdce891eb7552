/*
 * hw/certificates.h - the table of base/certificates.h, with OpenSSL's X.509 behind it.
 *
 * What an end shows is made once, here: its chain of certificates, and a signature by the
 * first one's key over its static public key. The secret key of the certificate is read
 * for that and forgotten. Who checks wants a chain to an authority of its own, valid now,
 * for a TLS client (of a server) or server (of a node), not revoked, of the host that was
 * meant where that matters, and the signature to fit the key that the peer has proven
 * to hold. So a certificate vouches for a key, not for a session: whoever steals a static
 * key may use it as long as the certificate lasts.
 *
 *     offset bytes                           of what is shown
 *          0     1  version      1
 *          1     1  count        of certificates, 1 to HW_CERTIFICATES_MAX
 *          2     1  signatures   1, or 2 while the end changes its key; 1 reserved
 *          4        each certificate: its bytes in 2, then DER; the end's own first
 *                   each signature: its bytes in 2, then it
 *
 * Ownership  hw_certificates_free() frees the table and what it shows. Paths and key of the
 *            configuration are looked at by hw_certificates_new() only.
 * Limits     CERTIFICATES_BYTES_MAX in all.
 * Errors     NULL and a sentence that names the option and what to do. A check that
 *            failed leaves a sentence, too.
 * Threads    a table belongs to one thread.
 */
#ifndef HW_CERTIFICATES_H
#define HW_CERTIFICATES_H

#include "base/certificates.h"
#include "hw/error.h"

#define HW_CERTIFICATES_MAX       8
#define HW_CERTIFICATES_HOSTS_MAX 7
#define HW_HOST_CHARS_MAX         255

enum hw_certificates_side {
	HW_CERTIFICATES_NODE = 1,   /* shows a node's, accepts servers' */
	HW_CERTIFICATES_SERVER = 2, /* shows a server's, demands nodes' */
};

/* As whoever wrote it knows it: "ssl_ca", "/etc/mysql/ca.pem". The path may be NULL or
 * empty, for none. */
struct hw_certificates_file {
	const char *option, *path;
};

struct hw_certificates_host {
	uint8_t key[CRYPTO_KEY_BYTES];
	char name[HW_HOST_CHARS_MAX + 1]; /* or an address */
};

struct hw_certificates_config {
	enum hw_certificates_side side;
	struct hw_certificates_file ca, capath; /* one of them at least; PEM */
	struct hw_certificates_file crl, crlpath;
	struct hw_certificates_file chain, key; /* own; PEM, the key without passphrase */
	const uint8_t *public_key;              /* own, that the chain is to vouch for */
	const uint8_t *public_before;           /* and the one before; NULL: none */
	/* Who has such a key must show a certificate of such a host. None: any may be named. */
	uint32_t host_count;
	struct hw_certificates_host host[HW_CERTIFICATES_HOSTS_MAX];
};

struct certificates *hw_certificates_new(const struct hw_certificates_config *config,
					 struct hw_error *error);
void hw_certificates_free(struct certificates *certificates);

/* Of the last check that found something: whose certificate, and what is wrong with it. */
const char *hw_certificates_why(const struct certificates *certificates);

#endif /* HW_CERTIFICATES_H */
