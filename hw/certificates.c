/* X.509 by OpenSSL: see hw/certificates.h. */
#include "hw/certificates.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/must.h"

#define VERSION        1
#define AUTH_LEVEL     2 /* 112 bits: RSA of 2048, as the server's own OpenSSL asks for */
#define DEPTH_MAX      HW_CERTIFICATES_MAX
#define SUBJECT_CHARS  256
#define SIGNATURES_MAX 2
#define LABEL_BYTES    20
#define MESSAGE_BYTES  (LABEL_BYTES + 1 + CRYPTO_KEY_BYTES)

struct hw_certificates {
	struct certificates table;
	struct hw_certificates_config config;
	X509_STORE *store;
	uint8_t shown[CERTIFICATES_BYTES_MAX];
	char why[768];
};

/* What a peer showed, taken apart. */
struct shown {
	X509 *own;
	STACK_OF(X509) * others;
	uint32_t signatures;
	struct crypto_slice signature[SIGNATURES_MAX];
};

static bool
given(const struct hw_certificates_file *file)
{
	return file->path != NULL && file->path[0] != '\0';
}

/* OpenSSL's own words for what failed first. */
static int
refuse(struct hw_error *error, const struct hw_certificates_file *file, const char *remedy)
{
	char reason[160];

	ERR_error_string_n(ERR_peek_error(), reason, sizeof reason);
	const char *words = strrchr(reason, ':');
	words = words != NULL && words[1] != '\0' ? words + 1 : "not found";
	ERR_clear_error();
	return hw_error_set(error, -EINVAL, "%s = %s: %s: %s", file->option,
			    given(file) ? file->path : "", words, remedy);
}

/* What is signed: whose key it is stands in it, so that none does for the other side. */
static void
make_message(enum hw_certificates_side side, const uint8_t *key, uint8_t out[MESSAGE_BYTES])
{
	static const char label[LABEL_BYTES] = "synod certificate 1";

	memcpy(out, label, LABEL_BYTES);
	out[LABEL_BYTES] = (uint8_t)side;
	memcpy(out + LABEL_BYTES + 1, key, CRYPTO_KEY_BYTES);
}

static enum hw_certificates_side
other(enum hw_certificates_side side)
{
	return side == HW_CERTIFICATES_NODE ? HW_CERTIFICATES_SERVER : HW_CERTIFICATES_NODE;
}

/* ---- what a peer shows ---- */

static X509 *
take_certificate(struct reader *r)
{
	size_t bytes = reader_u16(r);
	const uint8_t *der = reader_take(r, bytes), *end = der;

	if (r->bad || bytes == 0)
		return NULL;
	X509 *x = d2i_X509(NULL, &end, (long)bytes);
	if (x != NULL && end != der + bytes) {
		X509_free(x);
		return NULL;
	}
	return x;
}

static void
drop(struct shown *s)
{
	X509_free(s->own);
	sk_X509_pop_free(s->others, X509_free);
}

static bool
decode(struct shown *s, const uint8_t *data, uint32_t bytes)
{
	struct reader r = reader_over(data, bytes);
	uint8_t version = reader_u8(&r), count = reader_u8(&r);
	uint8_t signatures = reader_u8(&r), reserved = reader_u8(&r);

	*s = (struct shown){.signatures = signatures};
	if (r.bad || version != VERSION || count == 0 || count > HW_CERTIFICATES_MAX ||
	    signatures == 0 || signatures > SIGNATURES_MAX || reserved != 0)
		return false;
	s->others = sk_X509_new_null();
	must(s->others != NULL);
	s->own = take_certificate(&r);
	bool good = s->own != NULL;
	for (uint8_t i = 1; good && i < count; i++) {
		X509 *x = take_certificate(&r);
		good = x != NULL;
		if (good)
			must(sk_X509_push(s->others, x) > 0);
	}
	for (uint32_t i = 0; good && i < s->signatures; i++) {
		s->signature[i].bytes = reader_u16(&r);
		s->signature[i].data = reader_take(&r, s->signature[i].bytes);
	}
	return good && reader_done(&r);
}

static enum certificates_verdict
found(struct hw_certificates *h, enum certificates_verdict verdict, X509 *own, const char *what)
{
	char subject[SUBJECT_CHARS] = "";

	if (own != NULL)
		X509_NAME_oneline(X509_get_subject_name(own), subject, sizeof subject);
	snprintf(h->why, sizeof h->why, "certificate %s: %s", subject, what);
	ERR_clear_error();
	return verdict;
}

static enum certificates_verdict
verdict_of(int code)
{
	switch (code) {
	case X509_V_OK:
		return CERTIFICATES_GOOD;
	case X509_V_ERR_CERT_HAS_EXPIRED:
	case X509_V_ERR_CERT_NOT_YET_VALID:
		return CERTIFICATES_EXPIRED;
	case X509_V_ERR_CERT_REVOKED:
		return CERTIFICATES_REVOKED;
	default:
		return CERTIFICATES_UNTRUSTED;
	}
}

/* A chain to an authority of ours. It comes before the signature: until it is known, the
 * peer's keys are of the peer's choice, and so is what computing with them costs. */
static enum certificates_verdict
check_chain(struct hw_certificates *h, const struct shown *s)
{
	X509_STORE_CTX *c = X509_STORE_CTX_new();
	bool of_server = h->config.side == HW_CERTIFICATES_NODE;

	must(c != NULL);
	must(X509_STORE_CTX_init(c, h->store, s->own, s->others) == 1);
	must(X509_STORE_CTX_set_default(c, of_server ? "ssl_client" : "ssl_server") == 1);
	X509_VERIFY_PARAM_set_auth_level(X509_STORE_CTX_get0_param(c), AUTH_LEVEL);
	X509_VERIFY_PARAM_set_depth(X509_STORE_CTX_get0_param(c), DEPTH_MAX);
	bool good = X509_verify_cert(c) == 1;
	int code = X509_STORE_CTX_get_error(c);
	if (!good && code == X509_V_OK)
		code = X509_V_ERR_UNSPECIFIED;
	X509_STORE_CTX_free(c);
	if (code == X509_V_OK)
		return CERTIFICATES_GOOD;
	return found(h, verdict_of(code), s->own, X509_verify_cert_error_string(code));
}

static const char *
host_of(const struct hw_certificates_config *c, const uint8_t *key)
{
	for (uint32_t i = 0; i < c->host_count; i++)
		if (memcmp(c->host[i].key, key, CRYPTO_KEY_BYTES) == 0)
			return c->host[i].name;
	return NULL;
}

/* As MySQL's clients look for a host's name. */
static enum certificates_verdict
check_host(struct hw_certificates *h, const struct shown *s, const uint8_t *key)
{
	const char *host = host_of(&h->config, key);
	char what[512];

	if (h->config.host_count == 0)
		return CERTIFICATES_GOOD;
	if (host != NULL && (X509_check_host(s->own, host, strlen(host), 0, NULL) == 1 ||
			     X509_check_ip_asc(s->own, host, 0) == 1))
		return CERTIFICATES_GOOD;
	snprintf(what, sizeof what, "does not name the host %s", host != NULL ? host : "");
	return found(h, CERTIFICATES_NAME, s->own, what);
}

static bool
fits(EVP_PKEY *public, struct crypto_slice signature, const uint8_t message[MESSAGE_BYTES])
{
	EVP_MD_CTX *digest = EVP_MD_CTX_new();

	must(digest != NULL);
	bool good = EVP_DigestVerifyInit(digest, NULL, NULL, NULL, public) == 1 &&
		    EVP_DigestVerify(digest, signature.data, signature.bytes, message,
				     MESSAGE_BYTES) == 1;
	EVP_MD_CTX_free(digest);
	return good;
}

static enum certificates_verdict
check_signature(struct hw_certificates *h, const struct shown *s, const uint8_t *key)
{
	uint8_t message[MESSAGE_BYTES];
	EVP_PKEY *public = X509_get0_pubkey(s->own);
	bool good = false;

	make_message(other(h->config.side), key, message);
	for (uint32_t i = 0; public != NULL && i < s->signatures; i++)
		good |= fits(public, s->signature[i], message);
	return good ? CERTIFICATES_GOOD
		    : found(h, CERTIFICATES_FORGED, s->own,
			    "its key has not signed the key of this session");
}

static enum certificates_verdict
check(void *context, const uint8_t key[CRYPTO_KEY_BYTES], const uint8_t *data, uint32_t bytes)
{
	struct hw_certificates *h = context;
	struct shown s;
	enum certificates_verdict v = CERTIFICATES_GOOD;

	must(bytes <= CERTIFICATES_BYTES_MAX);
	if (!decode(&s, data, bytes))
		v = found(h, CERTIFICATES_FORGED, NULL, "is none");
	if (v == CERTIFICATES_GOOD)
		v = check_chain(h, &s);
	if (v == CERTIFICATES_GOOD)
		v = check_host(h, &s, key);
	if (v == CERTIFICATES_GOOD)
		v = check_signature(h, &s, key);
	drop(&s);
	return v;
}

/* ---- what we show ---- */

/* Never asks the terminal of a server for a passphrase. */
static int
no_passphrase(char *out, int bytes, int writing, void *context)
{
	(void)out;
	(void)bytes;
	(void)writing;
	(void)context;
	return -1;
}

static int
put_chain(STACK_OF(X509) * chain, const struct hw_certificates_file *file, struct writer *w,
	  struct hw_error *error)
{
	int count = sk_X509_num(chain);

	if (count == 0 || count > HW_CERTIFICATES_MAX)
		return hw_error_set(
			error, -EINVAL,
			"%s = %s: %d certificates are in it: there must be the end's own, "
			"in PEM, and then those that lead from it to the CA, %d in all "
			"at most",
			file->option, file->path, count, HW_CERTIFICATES_MAX);
	for (int i = 0; i < count; i++) {
		uint8_t *der = NULL;
		int bytes = i2d_X509(sk_X509_value(chain, i), &der);
		must(bytes > 0);
		writer_u16(w, (uint16_t)bytes);
		if (bytes <= CERTIFICATES_BYTES_MAX)
			writer_raw(w, der, (size_t)bytes);
		else
			w->bad = true;
		OPENSSL_free(der);
	}
	return 0;
}

static STACK_OF(X509) * read_chain(const struct hw_certificates_file *file, struct hw_error *error)
{
	BIO *in = given(file) ? BIO_new_file(file->path, "r") : NULL;
	STACK_OF(X509) *chain = sk_X509_new_null();

	must(chain != NULL);
	if (in == NULL) {
		refuse(error, file, "name the file of this end's own certificate, in PEM");
		sk_X509_free(chain);
		return NULL;
	}
	for (int i = 0; i <= HW_CERTIFICATES_MAX; i++) {
		X509 *x = PEM_read_bio_X509(in, NULL, no_passphrase, NULL);
		if (x == NULL)
			break;
		must(sk_X509_push(chain, x) > 0);
	}
	ERR_clear_error();
	BIO_free(in);
	return chain;
}

static EVP_PKEY *
read_key(const struct hw_certificates_file *file, struct hw_error *error)
{
	BIO *in = given(file) ? BIO_new_file(file->path, "r") : NULL;
	EVP_PKEY *key = in != NULL ? PEM_read_bio_PrivateKey(in, NULL, no_passphrase, NULL) : NULL;

	BIO_free(in);
	if (key == NULL)
		refuse(error, file,
		       "name the file of the certificate's key, in PEM, without a passphrase and "
		       "readable by this process");
	return key;
}

/* Behind a chain that stands in `w`. */
static int
put_signature(enum hw_certificates_side side, const uint8_t *public, EVP_PKEY *key,
	      struct writer *w)
{
	EVP_MD_CTX *digest = EVP_MD_CTX_new();
	uint8_t message[MESSAGE_BYTES], signature[CERTIFICATES_BYTES_MAX];
	size_t bytes = sizeof signature;

	must(digest != NULL);
	make_message(side, public, message);
	bool good = EVP_DigestSignInit(digest, NULL, NULL, NULL, key) == 1 &&
		    EVP_DigestSign(digest, signature, &bytes, message, sizeof message) == 1;
	EVP_MD_CTX_free(digest);
	if (!good)
		return -EINVAL;
	writer_u16(w, (uint16_t)bytes);
	writer_raw(w, signature, bytes);
	return 0;
}

static int
make_shown(struct hw_certificates *h, struct hw_error *error)
{
	const struct hw_certificates_config *c = &h->config;
	struct writer w = writer_over(h->shown, sizeof h->shown);
	STACK_OF(X509) *chain = read_chain(&c->chain, error);
	EVP_PKEY *key = chain != NULL ? read_key(&c->key, error) : NULL;
	int rc = key != NULL ? 0 : -EINVAL;

	if (rc == 0) {
		writer_u8(&w, VERSION);
		writer_u8(&w, (uint8_t)sk_X509_num(chain));
		writer_u8(&w, c->public_before != NULL ? 2 : 1);
		writer_u8(&w, 0);
		rc = put_chain(chain, &c->chain, &w, error);
	}
	if (rc == 0 && X509_check_private_key(sk_X509_value(chain, 0), key) != 1)
		rc = refuse(error, &c->key, "it must be the key of the first certificate");
	if (rc == 0 &&
	    (put_signature(c->side, c->public_key, key, &w) != 0 ||
	     (c->public_before != NULL && put_signature(c->side, c->public_before, key, &w) != 0)))
		rc = refuse(error, &c->key, "use a key that signs: RSA, EC or Ed25519");
	if (rc == 0 && w.bad)
		rc = hw_error_set(error, -EINVAL,
				  "%s = %s: with its signature it is larger than %d bytes: leave "
				  "out what does not lead to the CA",
				  c->chain.option, c->chain.path, CERTIFICATES_BYTES_MAX);
	h->table.shown = h->shown;
	h->table.shown_bytes = (uint32_t)w.bytes;
	EVP_PKEY_free(key);
	sk_X509_pop_free(chain, X509_free);
	return rc;
}

/* ---- whom we trust ---- */

static int
load(X509_STORE *store, const struct hw_certificates_file *file, bool folder,
     struct hw_error *error)
{
	if (!given(file))
		return 0;
	int good = folder ? X509_STORE_load_path(store, file->path)
			  : X509_STORE_load_file(store, file->path);
	return good == 1 ? 0 : refuse(error, file, "name what holds them, in PEM");
}

static int
make_store(struct hw_certificates *h, struct hw_error *error)
{
	const struct hw_certificates_config *c = &h->config;

	h->store = X509_STORE_new();
	must(h->store != NULL);
	if (!given(&c->ca) && !given(&c->capath))
		return hw_error_set(error, -EINVAL,
				    "%s is empty: name the certificates of the authority (CA) that "
				    "signed those of the other side",
				    c->ca.option);
	int rc = load(h->store, &c->ca, false, error);
	if (rc == 0)
		rc = load(h->store, &c->capath, true, error);
	if (rc == 0)
		rc = load(h->store, &c->crl, false, error);
	if (rc == 0)
		rc = load(h->store, &c->crlpath, true, error);
	if (given(&c->crl) || given(&c->crlpath))
		X509_STORE_set_flags(h->store, X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL);
	return rc;
}

struct certificates *
hw_certificates_new(const struct hw_certificates_config *config, struct hw_error *error)
{
	struct hw_certificates *h = calloc(1, sizeof *h);
	bool node = config->side == HW_CERTIFICATES_NODE;

	if (h == NULL) {
		hw_error_set(error, -ENOMEM, "no memory");
		return NULL;
	}
	must(config->host_count <= HW_CERTIFICATES_HOSTS_MAX);
	h->config = *config;
	h->table = (struct certificates){
		.context = h, .demanded = !node, .accepted = node, .check = check};
	if (make_store(h, error) == 0 && make_shown(h, error) == 0)
		return &h->table;
	hw_certificates_free(&h->table);
	return NULL;
}

void
hw_certificates_free(struct certificates *certificates)
{
	struct hw_certificates *h = certificates != NULL ? certificates->context : NULL;

	if (h == NULL)
		return;
	X509_STORE_free(h->store);
	free(h);
}

const char *
hw_certificates_why(const struct certificates *certificates)
{
	const struct hw_certificates *h = certificates->context;

	return h->why;
}
