/* The key file: what it says, and a sentence for each mistake. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>

#include "hw/crypto.h"
#include "hw/keys.h"

#define KEY   "AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA="
#define OTHER "//////////////////////////////////////////8="
#define UUID  "6f1d2c9e-0b3a-4a77-9c55-0f8e2d7a1b34"
#define OWN   "secret = " KEY "\n"

static struct hw_keys keys;
static struct hw_error error;

Test(hw_keys, text_and_bytes_are_the_same_key)
{
	uint8_t key[CRYPTO_KEY_BYTES], back[CRYPTO_KEY_BYTES];
	char text[HW_KEY_TEXT_BYTES];

	for (int n = 0; n < 2000; n++) {
		cr_assert_eq(hw_random(key, sizeof key, &error), 0);
		hw_key_text(key, text);
		cr_assert_eq(strlen(text), HW_KEY_TEXT_BYTES - 1);
		cr_assert(hw_key_read(text, strlen(text), back));
		cr_assert_arr_eq(key, back, sizeof key);
	}
	cr_assert(hw_key_read(OTHER, 44, key));
	for (int i = 0; i < CRYPTO_KEY_BYTES; i++)
		cr_assert_eq(key[i], 0xff);
	cr_assert_not(hw_key_read("//////////////////////////////////////////9=", 44, key),
		      "one spelling of a key only");
	cr_assert_not(hw_key_read(KEY, 43, key));
}

Test(hw_keys, a_file_says_whom_it_lists)
{
	cr_assert_eq(hw_keys_parse(&keys, "k",
				   "# ours\n" OWN " psk=" OTHER " # shared\n"
				   "peer = " OTHER " node 7\n\n"
				   "peer = " KEY " server " UUID " group " UUID "," UUID "\n"
				   "peer = " KEY "\tserver any group any",
				   &error),
		     0, "%s", error.text);
	cr_assert_eq(keys.secret[0], 1);
	cr_assert_eq(keys.psk[31], 0xff);
	cr_assert_eq(keys.count, 3);
	cr_assert_eq(keys.peer[0].kind, HW_KEY_NODE);
	cr_assert_eq(keys.peer[0].node, 7);
	cr_assert_eq(keys.peer[0].key[5], 0xff);
	cr_assert_eq(keys.peer[1].kind, HW_KEY_SERVER);
	cr_assert_eq(keys.peer[1].uuid[0], 0x6f);
	cr_assert_eq(keys.peer[1].uuid[15], 0x34);
	cr_assert_eq(keys.peer[1].group_count, 2);
	cr_assert_eq(keys.peer[1].group[1][15], 0x34);
	cr_assert_eq(keys.peer[2].uuid[0], 0);
	cr_assert_eq(keys.peer[2].group_count, 0);
	cr_assert_eq(keys.old[0], 0);
	cr_assert_eq(hw_keys_parse(&keys, "k", OWN "old = " OTHER "\n", &error), 0);
	cr_assert_eq(keys.secret[0], 1, "the one of now");
	cr_assert_eq(keys.old[0], 0xff, "and the one before");
}

Test(hw_keys, every_mistake_has_its_line_and_its_remedy)
{
	static const struct {
		const char *text, *words;
	} bad[] = {
		{"", "synodctl key new"},
		{"secret = short\n", "k:1: secret"},
		{OWN "secret\n", "k:2: secret"},
		{OWN "secret =\n", "has no value"},
		{OWN "old = x\n", "k:2: old"},
		{OWN "sekret = " KEY "\n", "there are: secret old psk peer"},
		{OWN "peer = x node 1\n", "no public key"},
		{OWN "peer = " KEY "\n", "write: peer ="},
		{OWN "peer = " KEY " node 0\n", "1 to 65535"},
		{OWN "peer = " KEY " node 1 2\n", "write: peer ="},
		{OWN "peer = " KEY " server x group any\n", "server_uuid"},
		{OWN "peer = " KEY " server any\n", "write: peer ="},
		{OWN "peer = " KEY " server any group x\n", "UUIDs"},
		{OWN "peer = " KEY " server any group " UUID "0\n", "UUIDs"},
		{OWN "peer = " KEY " server any group any any\n", "too many words"},
	};

	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		cr_assert_eq(hw_keys_parse(&keys, "k", bad[i].text, &error), -EINVAL, "%s",
			     bad[i].text);
		cr_assert(strstr(error.text, bad[i].words), "%s", error.text);
	}
}
