/* The key file: see hw/keys.h. */
#include "hw/keys.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/must.h"

#define LINE_CHARS_MAX 1024
#define FILE_BYTES_MAX (256 * 1024)
#define WORDS_MAX      5
#define OTHERS         (S_IRWXG | S_IRWXO)
#define BLANKS         " \t\r"

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

struct place {
	const char *name;
	uint32_t line;
	struct hw_error *error;
};

static int
refuse(const struct place *p, const char *what, const char *word)
{
	return hw_error_set(p->error, -EINVAL, "%s:%u: %s: %s", p->name, p->line, word, what);
}

void
hw_key_text(const uint8_t key[CRYPTO_KEY_BYTES], char text[HW_KEY_TEXT_BYTES])
{
	size_t n = 0;

	for (size_t i = 0; i < CRYPTO_KEY_BYTES; i += 3) {
		uint32_t three = (uint32_t)key[i] << 16;
		three |= i + 1 < CRYPTO_KEY_BYTES ? (uint32_t)key[i + 1] << 8 : 0;
		three |= i + 2 < CRYPTO_KEY_BYTES ? key[i + 2] : 0;
		for (int k = 0; k < 4; k++)
			text[n++] = digits[three >> (18 - 6 * k) & 63];
	}
	text[n - 1] = '=';
	text[n] = '\0';
	must(n + 1 == HW_KEY_TEXT_BYTES);
}

/* Only what hw_key_text() writes: no second spelling of a key. */
bool
hw_key_read(const char *text, size_t chars, uint8_t key[CRYPTO_KEY_BYTES])
{
	char again[HW_KEY_TEXT_BYTES];
	uint32_t bits = 0, held = 0;
	size_t n = 0;

	if (chars != HW_KEY_TEXT_BYTES - 1)
		return false;
	for (size_t i = 0; i + 1 < chars; i++) {
		const char *digit = text[i] ? strchr(digits, text[i]) : NULL;
		if (digit == NULL)
			return false;
		bits = bits << 6 | (uint32_t)(digit - digits);
		held += 6;
		if (held >= 8) {
			held -= 8;
			key[n++] = (uint8_t)(bits >> held);
		}
	}
	must(n == CRYPTO_KEY_BYTES);
	hw_key_text(key, again);
	return memcmp(text, again, chars) == 0;
}

static bool
read_uuid(const char *text, size_t chars, uint8_t out[HW_UUID_BYTES])
{
	size_t n = 0;

	for (size_t i = 0; i < chars && n < HW_UUID_BYTES; i++) {
		char two[3] = {text[i], i + 1 < chars ? text[i + 1] : '\0', '\0'};
		if (text[i] == '-')
			continue;
		if (!isxdigit((unsigned char)two[0]) || !isxdigit((unsigned char)two[1]))
			return false;
		out[n++] = (uint8_t)strtoul(two, NULL, 16);
		if (++i + 1 == chars)
			return n == HW_UUID_BYTES;
	}
	return false;
}

static bool
is(const char *word, const char *name)
{
	return word != NULL && strcmp(word, name) == 0;
}

static int
take_groups(const struct place *p, struct hw_key *k, const char *list)
{
	if (is(list, "any"))
		return 0;
	for (const char *at = list; *at != '\0';) {
		size_t chars = strcspn(at, ",");
		if (k->group_count == HW_KEY_GROUPS_MAX)
			return refuse(p, "eight groups at most; write any for all", list);
		if (!read_uuid(at, chars, k->group[k->group_count++]))
			return refuse(p, "give the groups' UUIDs, with a comma between, or any",
				      list);
		at += chars + (at[chars] == ',');
	}
	return 0;
}

/* word[0] is the key. */
static int
take_peer(const struct place *p, struct hw_keys *keys, char *word[WORDS_MAX])
{
	struct hw_key *k = &keys->peer[keys->count];
	char *end;

	if (keys->count == HW_KEYS_MAX)
		return refuse(p, "a node knows 256 keys at most: remove unused ones", word[0]);
	*k = (struct hw_key){.kind = HW_KEY_SERVER};
	if (!hw_key_read(word[0], strlen(word[0]), k->key))
		return refuse(p, "is no public key: 44 characters, as synodctl key show prints it",
			      word[0]);
	if (is(word[1], "node") && word[2] != NULL && word[3] == NULL) {
		unsigned long id = strtoul(word[2], &end, 10);
		if (*end != '\0' || id < 1 || id > 65535)
			return refuse(p, "a node's id is 1 to 65535", word[2]);
		k->kind = HW_KEY_NODE;
		k->node = (uint32_t)id;
	} else if (is(word[1], "server") && word[2] != NULL && is(word[3], "group") &&
		   word[4] != NULL) {
		if (!is(word[2], "any") && !read_uuid(word[2], strlen(word[2]), k->uuid))
			return refuse(p, "give the server's server_uuid, or any", word[2]);
		int code = take_groups(p, k, word[4]);
		if (code != 0)
			return code;
	} else {
		return refuse(p, "write: peer = KEY node ID, or: peer = KEY server UUID group UUID",
			      word[1] ? word[1] : word[0]);
	}
	keys->count++;
	return 0;
}

/* Cuts the value into words; false: there are more than any line has. */
static bool
cut(char *value, char *word[WORDS_MAX])
{
	char *rest = NULL;
	int n = 0;

	memset(word, 0, WORDS_MAX * sizeof *word);
	for (char *at = strtok_r(value, BLANKS, &rest); at; at = strtok_r(NULL, BLANKS, &rest)) {
		if (n == WORDS_MAX)
			return false;
		word[n++] = at;
	}
	return true;
}

static int
take_line(const struct place *p, struct hw_keys *keys, char *line)
{
	char *word[WORDS_MAX];

	line[strcspn(line, "#")] = '\0';
	char *name = line + strspn(line, BLANKS);
	if (*name == '\0')
		return 0;
	char *equals = strchr(name, '=');
	if (equals == NULL)
		return refuse(p, "write name = value", name);
	*equals = '\0';
	name[strcspn(name, BLANKS)] = '\0';
	if (!cut(equals + 1, word) || word[0] == NULL)
		return refuse(p, "has no value, or too many words", name);
	if (is(name, "peer"))
		return take_peer(p, keys, word);
	uint8_t *own = is(name, "secret") ? keys->secret
		       : is(name, "old")  ? keys->old
		       : is(name, "psk")  ? keys->psk
					  : NULL;
	if (own == NULL)
		return refuse(p, "unknown; there are: secret old psk peer", name);
	if (word[1] != NULL || !hw_key_read(word[0], strlen(word[0]), own))
		return refuse(p, "is no key: 44 characters, as synodctl key new makes it", name);
	return 0;
}

int
hw_keys_parse(struct hw_keys *keys, const char *name, const char *text, struct hw_error *error)
{
	static const uint8_t none[CRYPTO_KEY_BYTES];
	struct place p = {.name = name, .error = error};
	char line[LINE_CHARS_MAX];
	int code = 0;

	memset(keys, 0, sizeof *keys);
	while (code == 0 && *text != '\0') {
		size_t n = strcspn(text, "\n");
		p.line++;
		if (n >= sizeof line)
			return refuse(&p, "a line has at most 1023 characters", "line too long");
		memcpy(line, text, n);
		line[n] = '\0';
		code = take_line(&p, keys, line);
		text += n + (text[n] == '\n');
	}
	if (code == 0 && memcmp(keys->secret, none, sizeof none) == 0)
		return hw_error_set(error, -EINVAL,
				    "%s: there is no secret in it: make a key file with synodctl "
				    "key new",
				    name);
	return code;
}

/* The whole file, and what it may be read by. */
static int
read_file(const char *path, char *text, struct hw_error *error)
{
	struct stat about;
	size_t n = 0;

	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return hw_error_set(error, -errno,
				    "%s: %s: make a key file with synodctl key new %s", path,
				    strerror(errno), path);
	int code = fstat(fd, &about) == 0 ? 0 : -errno;
	if (code == 0 && (about.st_mode & OTHERS) != 0)
		code = hw_error_set(
			error, -EPERM,
			"%s: others than its owner may read or change it: chmod 600 %s, "
			"and make a new key if they did",
			path, path);
	while (code == 0 && n <= FILE_BYTES_MAX) {
		ssize_t got = read(fd, text + n, FILE_BYTES_MAX + 1 - n);
		if (got < 0)
			code = hw_error_set(error, -errno, "%s: %s", path, strerror(errno));
		if (got <= 0)
			break;
		n += (size_t)got;
	}
	close(fd);
	if (code == 0 && (n > FILE_BYTES_MAX || memchr(text, '\0', n)))
		code = hw_error_set(error, -EINVAL, "%s: is no key file", path);
	text[code == 0 ? n : 0] = '\0';
	return code;
}

int
hw_keys_load(struct hw_keys *keys, const char *path, struct hw_error *error)
{
	char *text = malloc(FILE_BYTES_MAX + 2);

	if (text == NULL)
		return hw_error_set(error, -ENOMEM, "%s: no memory", path);
	int code = read_file(path, text, error);
	if (code == 0)
		code = hw_keys_parse(keys, path, text, error);
	explicit_bzero(text, FILE_BYTES_MAX + 2);
	free(text);
	return code;
}
