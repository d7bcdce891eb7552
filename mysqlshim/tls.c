#include "mysqlshim/tls.h"

#include <stdio.h>
#include <string.h>

#include "base/must.h"
#include "hw/certificates.h"
#include "hw/crypto.h"

#define STACK_MYSQL 1 /* of group_replication_communication_stack */

static void
copy(char out[SHIM_PATH_CHARS_MAX + 1], const char *value)
{
	snprintf(out, SHIM_PATH_CHARS_MAX + 1, "%s", value ? value : "");
}

void
tls_choose(struct tls_choice *choice, const struct shim_server *server)
{
	const struct shim_variables *v = &shim_variables;

	*choice = (struct tls_choice){.mode = (enum tls_mode)v->ssl_mode,
				      .recovery = v->communication_stack == STACK_MYSQL,
				      .files = server->ssl};
	if (!choice->recovery)
		return;
	copy(choice->files.ca, v->recovery_ssl_ca);
	copy(choice->files.capath, v->recovery_ssl_capath);
	copy(choice->files.crl, v->recovery_ssl_crl);
	copy(choice->files.crlpath, v->recovery_ssl_crlpath);
	copy(choice->files.cert, v->recovery_ssl_cert);
	copy(choice->files.key, v->recovery_ssl_key);
}

static bool
open_certificates(const struct tls_choice *choice, const struct appliance *a,
		  struct certificates **certificates, struct tls_text text)
{
	static const char *const names[2][6] = {
		{"ssl_ca", "ssl_capath", "ssl_crl", "ssl_crlpath", "ssl_cert", "ssl_key"},
		{"group_replication_recovery_ssl_ca", "group_replication_recovery_ssl_capath",
		 "group_replication_recovery_ssl_crl", "group_replication_recovery_ssl_crlpath",
		 "group_replication_recovery_ssl_cert", "group_replication_recovery_ssl_key"},
	};
	const char *const *name = names[choice->recovery];
	const struct shim_ssl *f = &choice->files;
	struct hw_certificates_config c = {
		.side = HW_CERTIFICATES_SERVER,
		.ca = {name[0], f->ca},
		.capath = {name[1], f->capath},
		.crl = {name[2], f->crl},
		.crlpath = {name[3], f->crlpath},
		.chain = {name[4], f->cert},
		.key = {name[5], f->key},
	};
	struct hw_error error = {.text = ""};
	uint8_t public[CRYPTO_KEY_BYTES];

	struct crypto *crypto = hw_crypto_new(1, &error);
	if (crypto) {
		crypto->public_key(crypto->context, a->secret, public);
		hw_crypto_free(crypto);
		c.public_key = public;
		c.host_count = choice->mode == TLS_VERIFY_IDENTITY ? a->node_count : 0;
		for (uint32_t i = 0; i < c.host_count; i++) {
			memcpy(c.host[i].key, a->key[i], CRYPTO_KEY_BYTES);
			snprintf(c.host[i].name, sizeof c.host[i].name, "%s", a->host[i]);
		}
		*certificates = hw_certificates_new(&c, &error);
	}
	if (!*certificates)
		snprintf(text.out, text.capacity, "group_replication_ssl_mode: %s.", error.text);
	return *certificates != NULL;
}

bool
tls_unlock(const struct tls_choice *choice, struct appliance *a, struct certificates **certificates,
	   struct tls_text text)
{
	const char *file = shim_variables.key_file;
	struct hw_error error = {.text = ""};
	bool verify = choice->mode >= TLS_VERIFY_CA;

	*certificates = NULL;
	if (verify && !a->sealed) {
		snprintf(text.out, text.capacity,
			 "group_replication_ssl_mode asks for the nodes' certificates, which only "
			 "sealed links carry. Write the nodes' public keys into synod.appliance: "
			 "'host:port=PUBLICKEY, ...'.");
		return false;
	}
	if (!a->sealed)
		return true;
	bool made = verify && (!file || file[0] == '\0');
	if (made && hw_random(a->secret, sizeof a->secret, &error) != 0) {
		snprintf(text.out, text.capacity, "%s.", error.text);
		return false;
	}
	if (!made && !appliance_unlock(a, file, text.out, text.capacity))
		return false;
	return !verify || open_certificates(choice, a, certificates, text);
}
