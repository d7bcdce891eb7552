/*
 * Any text as what an administrator writes. The first byte chooses:
 *
 *     0  the configuration of a node
 *     1  a key file
 *     2  gtid_executed
 *     3  one key: what reads is written back as the same text
 *     4  a uuid: what reads is written back as one that reads alike
 *
 * What is wrong is refused with a sentence that fits. synod.appliance is left out: its
 * names are asked of the resolver.
 */
#include <string.h>

#include "base/must.h"
#include "certify/gtid.h"
#include "hw/config.h"
#include "hw/keys.h"
#include "mysqlshim/gtid_text.h"
#include "tests/fuzz/fuzz.h"

#define TEXT_BYTES_MAX 8192
#define GTID_LIMITS    ((struct gtid_limits){.sources_max = 16, .intervals_max = 64})

static void
has_a_sentence(int answer, const struct hw_error *error)
{
	must(answer == 0 || error->text[0] != '\0');
	must(memchr(error->text, 0, sizeof error->text) != NULL);
}

static void
gtids(const char *text)
{
	static uint64_t memory[8192];

	must(gtid_set_size(GTID_LIMITS) <= sizeof memory);
	(void)gtid_text_parse(gtid_set_init(memory, GTID_LIMITS), text);
}

static void
one_key(const char *text)
{
	uint8_t key[CRYPTO_KEY_BYTES];
	char again[HW_KEY_TEXT_BYTES];

	if (!hw_key_read(text, strlen(text), key))
		return;
	hw_key_text(key, again);
	must(strcmp(again, text) == 0);
}

static void
one_uuid(const char *text)
{
	uint8_t uuid[2][UUID_BYTES];
	char again[37];

	if (!uuid_parse(uuid[0], text))
		return;
	uuid_format(uuid[0], again);
	must(uuid_parse(uuid[1], again));
	must(memcmp(uuid[0], uuid[1], UUID_BYTES) == 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static struct hw_config config;
	static struct hw_keys keys;
	static char text[TEXT_BYTES_MAX + 1];
	struct hw_error error = {0};

	if (n < 1 || n > TEXT_BYTES_MAX)
		return 0;
	memcpy(text, data + 1, n - 1);
	text[n - 1] = '\0';
	if (data[0] == 0)
		has_a_sentence(hw_config_parse(&config, "fuzz", text, &error), &error);
	else if (data[0] == 1)
		has_a_sentence(hw_keys_parse(&keys, "fuzz", text, &error), &error);
	else if (data[0] == 2)
		gtids(text);
	else if (data[0] == 3)
		one_key(text);
	else if (data[0] == 4)
		one_uuid(text);
	return 0;
}
