/* Certificates that vouch for keys: an authority, another one, and what each has signed. */
#include <criterion/criterion.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hw/certificates.h"

#define DAY 86400

struct authority {
	EVP_PKEY *key;
	X509 *certificate;
};

/* What is to stand in one. */
struct wish {
	const char *name, *alternative; /* "DNS:..." */
	bool authority;
	const char *usage;
	long from_s, to_s; /* from now */
	uint64_t number;
};

static char folder[] = "/tmp/synod-certificates-XXXXXX";
static struct authority root, stranger;
static uint8_t key_of_node[CRYPTO_KEY_BYTES] = {1, 2, 3}, key_of_server[CRYPTO_KEY_BYTES] = {4, 5};

static const char *
path(const char *name)
{
	static char text[128][256];
	static int next;
	char *out = text[next++ % 128];

	snprintf(out, 256, "%s/%s", folder, name);
	return out;
}

static void
extend(X509 *x, X509 *issuer, int kind, const char *value)
{
	X509V3_CTX context;
	X509V3_set_ctx(&context, issuer, x, NULL, NULL, 0);
	X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, &context, kind, value);

	cr_assert(e);
	X509_add_ext(x, e, -1);
	X509_EXTENSION_free(e);
}

/* By `by`, or by itself where that is NULL. */
static struct authority
issue(const struct authority *by, const struct wish *w)
{
	struct authority made = {EVP_EC_gen("P-256"), X509_new()};
	X509 *x = made.certificate;

	X509_set_version(x, 2);
	ASN1_INTEGER_set_uint64(X509_get_serialNumber(x), w->number ? w->number : 7);
	X509_gmtime_adj(X509_getm_notBefore(x), w->from_s ? w->from_s : -DAY);
	X509_gmtime_adj(X509_getm_notAfter(x), w->to_s ? w->to_s : DAY);
	X509_set_pubkey(x, made.key);
	X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC,
				   (const unsigned char *)w->name, -1, -1, 0);
	X509_set_issuer_name(x, X509_get_subject_name(by ? by->certificate : x));
	if (w->authority)
		extend(x, by ? by->certificate : x, NID_basic_constraints, "critical,CA:TRUE");
	if (w->alternative)
		extend(x, x, NID_subject_alt_name, w->alternative);
	if (w->usage)
		extend(x, x, NID_ext_key_usage, w->usage);
	cr_assert_gt(X509_sign(x, by ? by->key : made.key, EVP_sha256()), 0);
	return made;
}

static void
write_chain(const char *name, X509 *first, X509 *second)
{
	FILE *out = fopen(path(name), "w");

	PEM_write_X509(out, first);
	if (second)
		PEM_write_X509(out, second);
	fclose(out);
}

static void
write_key(const char *name, EVP_PKEY *key, const char *passphrase)
{
	FILE *out = fopen(path(name), "w");

	PEM_write_PrivateKey(out, key, passphrase ? EVP_aes_256_cbc() : NULL,
			     (const unsigned char *)passphrase,
			     passphrase ? (int)strlen(passphrase) : 0, NULL, NULL);
	fclose(out);
}

static void
put(const char *name, const struct authority *by, const struct wish *w)
{
	struct authority made = issue(by, w);
	char text[64];

	snprintf(text, sizeof text, "%s-key", name);
	write_chain(name, made.certificate, NULL);
	write_key(text, made.key, NULL);
	EVP_PKEY_free(made.key);
	X509_free(made.certificate);
}

static void
set_up(void)
{
	cr_assert(mkdtemp(folder));
	root = issue(NULL, &(struct wish){.name = "root", .authority = true});
	stranger = issue(NULL, &(struct wish){.name = "root", .authority = true});
	write_chain("ca", root.certificate, NULL);
	write_chain("other-ca", stranger.certificate, NULL);
	put("node", &root, &(struct wish){.name = "node", .alternative = "DNS:node.example"});
	put("server", &root, &(struct wish){.name = "server"});
}

static void
tear_down(void)
{
	char command[300];

	snprintf(command, sizeof command, "rm -r %s", folder);
	cr_assert_eq(system(command), 0);
	EVP_PKEY_free(root.key);
	X509_free(root.certificate);
	EVP_PKEY_free(stranger.key);
	X509_free(stranger.certificate);
}

TestSuite(hw_certificates, .init = set_up, .fini = tear_down);

static struct hw_certificates_config
config(enum hw_certificates_side side, const char *ca, const char *name)
{
	char key[64];

	snprintf(key, sizeof key, "%s-key", name);
	return (struct hw_certificates_config){
		.side = side,
		.ca = {"ssl_ca", path(ca)},
		.crl = {"ssl_crl", NULL},
		.chain = {"ssl_cert", path(name)},
		.key = {"ssl_key", path(key)},
		.public_key = side == HW_CERTIFICATES_NODE ? key_of_node : key_of_server,
	};
}

static struct certificates *
made(const struct hw_certificates_config *c)
{
	struct hw_error error = {{0}};
	struct certificates *table = hw_certificates_new(c, &error);

	cr_assert(table, "%s", error.text);
	return table;
}

/* What a node with `c` finds of a server that shows `name`. */
static enum certificates_verdict
node_finds(const struct hw_certificates_config *c, const char *name)
{
	struct hw_certificates_config s = config(HW_CERTIFICATES_SERVER, "ca", name);
	struct certificates *node = made(c), *server = made(&s);
	enum certificates_verdict v =
		node->check(node->context, key_of_server, server->shown, server->shown_bytes);

	cr_assert_eq(v == CERTIFICATES_GOOD, hw_certificates_why(node)[0] == '\0');
	hw_certificates_free(node);
	hw_certificates_free(server);
	return v;
}

Test(hw_certificates, those_of_one_authority_find_each_other_good)
{
	struct hw_certificates_config n = config(HW_CERTIFICATES_NODE, "ca", "node");
	struct hw_certificates_config s = config(HW_CERTIFICATES_SERVER, "ca", "server");
	struct certificates *node = made(&n), *server = made(&s);

	cr_assert(node->accepted && !node->demanded);
	cr_assert(server->demanded && !server->accepted);
	cr_assert_eq(node->check(node->context, key_of_server, server->shown, server->shown_bytes),
		     CERTIFICATES_GOOD);
	cr_assert_eq(server->check(server->context, key_of_node, node->shown, node->shown_bytes),
		     CERTIFICATES_GOOD);
	hw_certificates_free(node);
	hw_certificates_free(server);
}

Test(hw_certificates, one_vouches_for_its_own_key_and_side_only)
{
	struct hw_certificates_config n = config(HW_CERTIFICATES_NODE, "ca", "node");
	struct hw_certificates_config s = config(HW_CERTIFICATES_SERVER, "ca", "server");
	struct certificates *node = made(&n), *server = made(&s);

	cr_assert_eq(node->check(node->context, key_of_node, server->shown, server->shown_bytes),
		     CERTIFICATES_FORGED, "another key");
	cr_assert_eq(node->check(node->context, key_of_node, node->shown, node->shown_bytes),
		     CERTIFICATES_FORGED, "a node's in place of a server's");
	cr_assert(strstr(hw_certificates_why(node), "has not signed"));
	hw_certificates_free(node);
	hw_certificates_free(server);
}

/* While an end changes its key, it vouches for both. */
Test(hw_certificates, one_vouches_for_the_key_before_too)
{
	static const uint8_t next[CRYPTO_KEY_BYTES] = {77}, third[CRYPTO_KEY_BYTES] = {78};
	struct hw_certificates_config n = config(HW_CERTIFICATES_NODE, "ca", "node");
	struct hw_certificates_config s = config(HW_CERTIFICATES_SERVER, "ca", "server");

	s.public_before = s.public_key;
	s.public_key = next;
	struct certificates *node = made(&n), *server = made(&s);
	const uint8_t *keys[] = {key_of_server, next, third};
	for (int i = 0; i < 3; i++)
		cr_assert_eq(
			node->check(node->context, keys[i], server->shown, server->shown_bytes),
			i < 2 ? CERTIFICATES_GOOD : CERTIFICATES_FORGED);
	hw_certificates_free(node);
	hw_certificates_free(server);
}

Test(hw_certificates, another_authority_of_the_same_name_is_not_trusted)
{
	struct hw_certificates_config n = config(HW_CERTIFICATES_NODE, "ca", "node");
	struct hw_certificates_config o = config(HW_CERTIFICATES_NODE, "other-ca", "node");

	put("foreign", &stranger, &(struct wish){.name = "server"});
	put("self", NULL, &(struct wish){.name = "server"});
	cr_assert_eq(node_finds(&n, "foreign"), CERTIFICATES_UNTRUSTED);
	cr_assert_eq(node_finds(&n, "self"), CERTIFICATES_UNTRUSTED);
	cr_assert_eq(node_finds(&o, "server"), CERTIFICATES_UNTRUSTED);
	cr_assert_eq(node_finds(&o, "foreign"), CERTIFICATES_GOOD);
}

Test(hw_certificates, one_has_its_time_and_its_use)
{
	struct hw_certificates_config n = config(HW_CERTIFICATES_NODE, "ca", "node");

	put("old", &root, &(struct wish){.name = "s", .from_s = -2 * DAY, .to_s = -DAY});
	put("early", &root, &(struct wish){.name = "s", .from_s = DAY, .to_s = 2 * DAY});
	put("client", &root, &(struct wish){.name = "s", .usage = "clientAuth"});
	put("mail", &root, &(struct wish){.name = "s", .usage = "emailProtection"});
	cr_assert_eq(node_finds(&n, "old"), CERTIFICATES_EXPIRED);
	cr_assert_eq(node_finds(&n, "early"), CERTIFICATES_EXPIRED);
	cr_assert_eq(node_finds(&n, "client"), CERTIFICATES_GOOD);
	cr_assert_eq(node_finds(&n, "mail"), CERTIFICATES_UNTRUSTED);
}

/* Only an authority signs: a server's certificate makes no others. */
Test(hw_certificates, a_chain_leads_through_authorities)
{
	struct hw_certificates_config n = config(HW_CERTIFICATES_NODE, "ca", "node");
	struct authority between =
		issue(&root, &(struct wish){.name = "between", .authority = true});
	struct authority server = issue(&root, &(struct wish){.name = "server"});
	struct authority low = issue(&between, &(struct wish){.name = "low"});
	struct authority cheat = issue(&server, &(struct wish){.name = "cheat"});

	write_chain("low", low.certificate, between.certificate);
	write_key("low-key", low.key, NULL);
	write_chain("alone", low.certificate, NULL);
	write_key("alone-key", low.key, NULL);
	write_chain("cheat", cheat.certificate, server.certificate);
	write_key("cheat-key", cheat.key, NULL);
	cr_assert_eq(node_finds(&n, "low"), CERTIFICATES_GOOD);
	cr_assert_eq(node_finds(&n, "alone"), CERTIFICATES_UNTRUSTED);
	cr_assert_eq(node_finds(&n, "cheat"), CERTIFICATES_UNTRUSTED);
	struct authority *all[] = {&between, &server, &low, &cheat};
	for (int i = 0; i < 4; i++) {
		EVP_PKEY_free(all[i]->key);
		X509_free(all[i]->certificate);
	}
}

static void
revoke_one(const char *name, uint64_t number)
{
	X509_CRL *list = X509_CRL_new();
	X509_REVOKED *entry = X509_REVOKED_new();
	ASN1_INTEGER *serial = ASN1_INTEGER_new();
	ASN1_TIME *now = X509_gmtime_adj(NULL, -DAY), *next = X509_gmtime_adj(NULL, DAY);
	FILE *out = fopen(path(name), "w");

	ASN1_INTEGER_set_uint64(serial, number);
	X509_CRL_set_version(list, 1);
	X509_CRL_set_issuer_name(list, X509_get_subject_name(root.certificate));
	X509_CRL_set1_lastUpdate(list, now);
	X509_CRL_set1_nextUpdate(list, next);
	X509_REVOKED_set_serialNumber(entry, serial);
	X509_REVOKED_set_revocationDate(entry, now);
	X509_CRL_add0_revoked(list, entry);
	cr_assert_gt(X509_CRL_sign(list, root.key, EVP_sha256()), 0);
	PEM_write_X509_CRL(out, list);
	fclose(out);
	ASN1_TIME_free(now);
	ASN1_TIME_free(next);
	ASN1_INTEGER_free(serial);
	X509_CRL_free(list);
}

Test(hw_certificates, a_revoked_one_is_not_good)
{
	struct hw_certificates_config n = config(HW_CERTIFICATES_NODE, "ca", "node");

	put("gone", &root, &(struct wish){.name = "s", .number = 99});
	revoke_one("crl", 99);
	cr_assert_eq(node_finds(&n, "gone"), CERTIFICATES_GOOD);
	n.crl = (struct hw_certificates_file){"crl", path("crl")};
	cr_assert_eq(node_finds(&n, "gone"), CERTIFICATES_REVOKED);
	cr_assert_eq(node_finds(&n, "server"), CERTIFICATES_GOOD);
}

Test(hw_certificates, the_host_that_was_meant_must_be_named)
{
	static const struct {
		const char *host, *alternative;
		bool good;
	} cases[] = {
		{"node.example", "DNS:node.example", true},
		{"other.example", "DNS:node.example", false},
		{"a.node.example", "DNS:*.node.example", true},
		{"10.77.0.1", "IP:10.77.0.1", true},
		{"10.77.0.2", "IP:10.77.0.1", false},
		{"fd00::1", "IP:fd00::1", true},
		{"cn.example", NULL, true},
		{"cn.example", "DNS:node.example", false},
	};

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct hw_certificates_config n = config(HW_CERTIFICATES_NODE, "ca", "named");
		struct hw_certificates_config s = config(HW_CERTIFICATES_SERVER, "ca", "server");
		put("named", &root,
		    &(struct wish){.name = "cn.example", .alternative = cases[i].alternative});
		s.host_count = 1;
		memcpy(s.host[0].key, key_of_node, CRYPTO_KEY_BYTES);
		snprintf(s.host[0].name, sizeof s.host[0].name, "%s", cases[i].host);
		struct certificates *node = made(&n), *server = made(&s);
		cr_assert_eq(
			server->check(server->context, key_of_node, node->shown, node->shown_bytes),
			cases[i].good ? CERTIFICATES_GOOD : CERTIFICATES_NAME, "%s", cases[i].host);
		if (!cases[i].good)
			cr_assert(strstr(hw_certificates_why(server), cases[i].host));
		s.host[0].key[0]++; /* of another node than those that were named */
		struct certificates *lost = made(&s);
		cr_assert_eq(
			lost->check(lost->context, key_of_node, node->shown, node->shown_bytes),
			CERTIFICATES_NAME);
		hw_certificates_free(lost);
		hw_certificates_free(node);
		hw_certificates_free(server);
	}
}

/* Each byte changed, and each length: nothing but the whole is good. */
Test(hw_certificates, nothing_but_what_was_shown_is_good)
{
	struct hw_certificates_config n = config(HW_CERTIFICATES_NODE, "ca", "node");
	struct hw_certificates_config s = config(HW_CERTIFICATES_SERVER, "ca", "server");
	struct certificates *node = made(&n), *server = made(&s);
	uint32_t bytes = server->shown_bytes;

	cr_assert_leq(bytes, CERTIFICATES_BYTES_MAX);
	for (uint32_t i = 0; i < bytes; i++) {
		uint8_t *exact = malloc(bytes);
		memcpy(exact, server->shown, bytes);
		exact[i] ^= (uint8_t)(1u << i % 8);
		cr_assert_neq(node->check(node->context, key_of_server, exact, bytes),
			      CERTIFICATES_GOOD, "byte %u", i);
		free(exact);
	}
	for (uint32_t i = 0; i < bytes; i += 3) {
		uint8_t *exact = malloc(i + 1);
		memcpy(exact, server->shown, i);
		cr_assert_eq(node->check(node->context, key_of_server, exact, i),
			     CERTIFICATES_FORGED, "%u bytes", i);
		free(exact);
	}
	hw_certificates_free(node);
	hw_certificates_free(server);
}

static void
refused(const struct hw_certificates_config *c, const char *option, const char *word)
{
	struct hw_error error = {{0}};

	cr_assert_null(hw_certificates_new(c, &error));
	cr_assert(strstr(error.text, option), "no %s in: %s", option, error.text);
	cr_assert(strstr(error.text, word), "no %s in: %s", word, error.text);
}

Test(hw_certificates, what_is_missing_is_said_with_its_option)
{
	struct hw_certificates_config c = config(HW_CERTIFICATES_SERVER, "ca", "server"), bad = c;

	bad.ca.path = "";
	refused(&bad, "ssl_ca", "authority");
	bad = c;
	bad.ca.path = path("nowhere");
	refused(&bad, "ssl_ca", "No such file");
	bad = c;
	bad.crl.path = path("nowhere");
	refused(&bad, "ssl_crl", "PEM");
	bad = c;
	bad.chain.path = NULL;
	refused(&bad, "ssl_cert", "own certificate");
	bad = c;
	bad.chain.path = path("server-key");
	refused(&bad, "ssl_cert", "0 certificates");
	bad = c;
	bad.key.path = path("node-key");
	refused(&bad, "ssl_key", "first certificate");
	bad = c;
	write_key("locked", root.key, "passphrase");
	bad.key.path = path("locked");
	refused(&bad, "ssl_key", "without a passphrase");
}
