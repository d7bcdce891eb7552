/* synodctl key: makes and edits the key files of nodes and servers. See hw/keys.h. */
#include "dpdk/key_command.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include "dpdk/ask.h"
#include "hw/crypto.h"
#include "hw/keys.h"

#define TEXT_BYTES_MAX (256 * 1024)
#define LINE_BYTES     1024

static const char usage[] =
	"usage: synodctl key new FILE                        make a key file; prints its public "
	"key\n"
	"       synodctl key show FILE                       its public key, and whom it lists\n"
	"       synodctl key add FILE KEY node ID            list another node\n"
	"       synodctl key add FILE KEY server UUID|any [group UUID,...|any]\n"
	"                                                    list a server, for these groups only\n"
	"       synodctl key remove FILE KEY                 list it no more\n"
	"\n"
	"A running synodd reads its file again when it gets SIGHUP.\n"
	"\n"
	"With --appliance in the place of FILE, show, add and remove work on the list that the\n"
	"appliance itself keeps: what is added there all nodes list at once, besides those of\n"
	"their files, and without an edit of these. --socket PATH comes last; "
	"default\n" ASK_SOCKET_DEFAULT "\n";

static int
complain(const char *what)
{
	fprintf(stderr, "synodctl: %s\n", what);
	return 1;
}

static void
public_text(const uint8_t *secret, char text[HW_KEY_TEXT_BYTES])
{
	struct crypto *crypto = hw_crypto_new(1, NULL);
	uint8_t public[CRYPTO_KEY_BYTES] = {0};

	if (crypto != NULL)
		crypto->public_key(crypto->context, secret, public);
	hw_crypto_free(crypto);
	hw_key_text(public, text);
}

/* One at a time in the file's folder, until the process ends: two that read the same
 * file would each write it without what the other adds, and share one file.new. The
 * file itself is no lock: it is another one after each. */
static int
take_turn(const char *path)
{
	char folder[LINE_BYTES];
	const char *slash = strrchr(path, '/');
	int chars = slash == path ? 1 : slash ? (int)(slash - path) : 0;

	if (snprintf(folder, sizeof folder, "%.*s", chars, path) >= (int)sizeof folder)
		return complain("the path of the key file is too long");
	int fd = open(chars > 0 ? folder : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd >= 0 && flock(fd, LOCK_EX) == 0)
		return 0;
	fprintf(stderr, "synodctl: the folder of %s: %s\n", path, strerror(errno));
	return 1;
}

/* The whole text in one go: on the disk before it has the name, so that a crash
 * leaves the old file or the new one. */
static int
replace(const char *path, const char *text)
{
	char beside[LINE_BYTES];
	size_t n = strlen(text);

	if ((size_t)snprintf(beside, sizeof beside, "%s.new", path) >= sizeof beside)
		return complain("the path of the key file is too long");
	unlink(beside);
	int fd = open(beside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	bool good = fd >= 0 && write(fd, text, n) == (ssize_t)n && fsync(fd) == 0;
	good = fd >= 0 && close(fd) == 0 && good;
	if (good && rename(beside, path) == 0)
		return 0;
	fprintf(stderr, "synodctl: %s: %s\n", beside, strerror(errno));
	unlink(beside);
	return 1;
}

static int
make(const char *path)
{
	char text[LINE_BYTES], own[HW_KEY_TEXT_BYTES], public[HW_KEY_TEXT_BYTES];
	uint8_t secret[CRYPTO_KEY_BYTES];
	struct hw_error error;

	if (take_turn(path) != 0)
		return 1;
	if (access(path, F_OK) == 0)
		return complain("that file is there already: a key is made once; move it away to "
				"make another");
	if (hw_random(secret, sizeof secret, &error) != 0)
		return complain(error.text);
	hw_key_text(secret, own);
	public_text(secret, public);
	snprintf(text, sizeof text, "# Synod keys; public key %s\nsecret = %s\n", public, own);
	if (replace(path, text) != 0)
		return 1;
	printf("%s\n", public);
	return 0;
}

static void
print_uuid(const uint8_t *u)
{
	for (int i = 0; i < HW_UUID_BYTES; i++)
		printf("%s%02x", i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", u[i]);
}

static void
print_peer(const struct hw_key *k)
{
	static const uint8_t any[HW_UUID_BYTES];
	char text[HW_KEY_TEXT_BYTES];

	hw_key_text(k->key, text);
	printf("%s  ", text);
	if (k->kind == HW_KEY_NODE) {
		printf("node %u\n", k->node);
		return;
	}
	printf("server ");
	if (memcmp(k->uuid, any, sizeof any) == 0)
		printf("any");
	else
		print_uuid(k->uuid);
	printf("  group %s", k->group_count == 0 ? "any" : "");
	for (uint32_t i = 0; i < k->group_count; i++) {
		printf("%s", i > 0 ? "," : "");
		print_uuid(k->group[i]);
	}
	printf("\n");
}

static struct hw_keys keys; /* one, and large */

static int
load(const char *path)
{
	struct hw_error error;

	return hw_keys_load(&keys, path, &error) == 0 ? 0 : complain(error.text);
}

static int
show(const char *path)
{
	char text[HW_KEY_TEXT_BYTES];

	if (load(path) != 0)
		return 1;
	public_text(keys.secret, text);
	printf("%s\n", text);
	for (uint32_t i = 0; i < keys.count; i++)
		print_peer(&keys.peer[i]);
	return 0;
}

/* The text to change, if the file is good; NULL was told. */
static char *
text_of(const char *path)
{
	if (take_turn(path) != 0 || load(path) != 0)
		return NULL;
	char *text = calloc(1, TEXT_BYTES_MAX + LINE_BYTES);
	FILE *file = fopen(path, "re");

	if (text != NULL && file != NULL)
		text[fread(text, 1, TEXT_BYTES_MAX, file)] = '\0';
	if (file != NULL)
		fclose(file);
	return text;
}

/* What would be written must be what synodd can read: refused before it is written. */
static int
write_checked(const char *path, char *text)
{
	struct hw_error error;
	int code = 1;

	if (hw_keys_parse(&keys, path, text, &error) != 0)
		complain(error.text);
	else
		code = replace(path, text);
	free(text);
	return code;
}

static int
add(const char *path, int words, char **word)
{
	char *text = text_of(path);

	if (text == NULL)
		return 1;
	size_t n = strlen(text);
	if (n > 0 && text[n - 1] != '\n')
		text[n++] = '\n';
	n += (size_t)snprintf(text + n, LINE_BYTES, "peer =");
	for (int i = 0; i < words; i++)
		n += (size_t)snprintf(text + n, LINE_BYTES / 8, " %s", word[i]);
	if (words == 3 && strcmp(word[1], "server") == 0)
		n += (size_t)snprintf(text + n, LINE_BYTES / 8, " group any");
	snprintf(text + n, 2, "\n");
	return write_checked(path, text);
}

/* Every line that lists the key goes; the others stay as they are. */
static int
drop(const char *path, const char *key)
{
	char *text = text_of(path), *to = text;
	bool any = false;

	if (text == NULL)
		return 1;
	for (const char *at = text; *at != '\0';) {
		size_t n = strcspn(at, "\n");
		n += at[n] == '\n';
		const char *found = memmem(at, n, key, strlen(key));
		bool lists = found != NULL && at[strspn(at, " \t")] == 'p';
		any = any || lists;
		if (!lists) {
			memmove(to, at, n);
			to += n;
		}
		at += n;
	}
	*to = '\0';
	if (any)
		return write_checked(path, text);
	free(text);
	return complain("that key is not listed there: synodctl key show prints those that are");
}

/* ---- the appliance's own list ---- */

#define ASK_MS 250
#define WAIT_S 60

static void
print_listed(const json_t *k)
{
	const json_t *groups = json_object_get(k, "groups");
	size_t i;
	json_t *g;

	printf("%s  %s %s", ask_text(k, "key"), ask_text(k, "kind"), ask_text(k, "uuid"));
	if (strcmp(ask_text(k, "kind"), "server") == 0)
		printf("  group %s", json_array_size(groups) == 0 ? "any" : "");
	json_array_foreach(groups, i, g) printf("%s%s", i > 0 ? "," : "", json_string_value(g));
	printf("\n");
}

/* How it is listed, as a text to compare, or "". False: no answer. */
static bool
look_listed(const char *path, const char *key, bool print, char *found, size_t room)
{
	json_t *status = ask_status(path), *k;
	bool answered = status != NULL;
	size_t i, used = 0;

	found[0] = '\0';
	json_array_foreach(json_object_get(status, "keys"), i, k)
	{
		if (print)
			print_listed(k);
		if (!key || strcmp(ask_text(k, "key"), key) != 0)
			continue;
		char *text = json_dumps(k, JSON_COMPACT | JSON_SORT_KEYS);
		if (text && used < room)
			used += (size_t)snprintf(found + used, room - used, "%s", text);
		free(text);
	}
	json_decref(status);
	return answered;
}

/* Until it stands there, or does not any more. A key that stood there with other groups is
 * listed anew: what it is like must change, or have been like that. */
static int
see_listed(const char *path, const char *key, const char *request, bool listed)
{
	static char before[65536], now[65536];
	time_t end = time(NULL) + WAIT_S;
	int asked = 0;

	if (!look_listed(path, key, false, before, sizeof before))
		return 1;
	if (!listed && before[0] == '\0')
		return complain(
			"that key is not listed there: synodctl key show --appliance prints "
			"those that are");
	while (time(NULL) < end) {
		if (!ask_once(path, request))
			return 1;
		asked++;
		nanosleep(&(struct timespec){.tv_nsec = ASK_MS * 1000000}, NULL);
		if (!look_listed(path, key, false, now, sizeof now))
			return 1;
		bool changed = strcmp(before, now) != 0 || (listed && asked > 4);
		if ((now[0] != '\0') == listed && changed)
			return 0;
	}
	return complain("not done within a minute: group 0 has no leader, or its list is full; see "
			"synodctl status");
}

static int
ask_appliance(const char *what, int words, char **word)
{
	char peer[LINE_BYTES], key[64];
	const char *path = ASK_SOCKET_DEFAULT;
	size_t n = 0;
	bool listed = strcmp(what, "add") == 0;

	if (words >= 2 && strcmp(word[words - 2], "--socket") == 0) {
		path = word[words - 1];
		words -= 2;
	}
	if (words == 0 && strcmp(what, "show") == 0)
		return look_listed(path, NULL, true, peer, sizeof peer) ? 0 : 1;
	bool good = (listed && (words == 3 || words == 5)) ||
		    (strcmp(what, "remove") == 0 && words == 1);
	if (!good) {
		fputs(usage, stderr);
		return 2;
	}
	for (int i = 0; i < words && n < sizeof peer; i++)
		n += (size_t)snprintf(peer + n, sizeof peer - n, "%s%s", i > 0 ? " " : "", word[i]);
	if (n < sizeof peer && words == 3 && strcmp(word[1], "server") == 0)
		snprintf(peer + n, sizeof peer - n, " group any");
	snprintf(key, sizeof key, "%s", word[0]);
	json_t *object =
		json_pack("{s:s, s:s}", "command", listed ? "list" : "unlist", "peer", peer);
	char *text = object ? json_dumps(object, JSON_COMPACT) : NULL;
	char request[2 * LINE_BYTES];
	snprintf(request, sizeof request, "%s\n", text ? text : "");
	free(text);
	json_decref(object);
	return see_listed(path, key, request, listed);
}

int
key_command(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[0] : "";
	uint8_t key[CRYPTO_KEY_BYTES];

	if (argc > 1 && strcmp(argv[1], "--appliance") == 0)
		return ask_appliance(what, argc - 2, argv + 2);
	if (strcmp(what, "new") == 0 && argc == 2)
		return make(argv[1]);
	if (strcmp(what, "show") == 0 && argc == 2)
		return show(argv[1]);
	bool named = argc > 2 && hw_key_read(argv[2], strlen(argv[2]), key);
	if (strcmp(what, "add") == 0 && argc >= 5 && argc <= 7 && argc != 6 && named)
		return add(argv[1], argc - 2, argv + 2);
	if (strcmp(what, "remove") == 0 && argc == 3 && named)
		return drop(argv[1], argv[2]);
	if ((strcmp(what, "add") == 0 || strcmp(what, "remove") == 0) && argc > 2 && !named)
		complain("that is no public key: 44 characters, as synodctl key show prints it");
	fputs(usage, stderr);
	return 2;
}
