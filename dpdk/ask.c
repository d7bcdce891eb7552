/* Asking a synodd: see ask.h. */
#include "dpdk/ask.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#define ASK_ANSWER_S   5
#define ASK_ANSWER_MAX (4u << 20)

bool
ask_options(struct ask_options *o, int argc, char **argv, const char *usage, int *code)
{
	static const struct option options[] = {{"socket", required_argument, NULL, 's'},
						{"yes", no_argument, NULL, 'y'},
						{"help", no_argument, NULL, 'h'},
						{0}};

	*o = (struct ask_options){.path = ASK_SOCKET_DEFAULT};
	for (int c = getopt_long(argc, argv, "", options, NULL); c != -1;
	     c = getopt_long(argc, argv, "", options, NULL)) {
		if (c == 's')
			o->path = optarg;
		o->yes |= c == 'y';
		if (c == 's' || c == 'y')
			continue;
		fputs(usage, c == 'h' ? stdout : stderr);
		*code = c == 'h' ? 0 : 2;
		return false;
	}
	o->words = argv + optind;
	o->count = argc - optind;
	return true;
}

static int
connect_to(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct timeval timeout = {.tv_sec = ASK_ANSWER_S};

	if (strlen(path) >= sizeof address.sun_path) {
		fprintf(stderr, "synodctl: the path of the socket is too long: %s\n", path);
		return -1;
	}
	memcpy(address.sun_path, path, strlen(path) + 1);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) != 0) {
		fprintf(stderr,
			"synodctl: no synodd answers on %s: %s. Is it running? The socket is "
			"[control] socket in its configuration\n",
			path, strerror(errno));
		if (fd >= 0)
			close(fd);
		return -1;
	}
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
	return fd;
}

/* One line, at most ASK_ANSWER_MAX bytes. */
static char *
receive_line(int fd, size_t *bytes)
{
	char *line = malloc(ASK_ANSWER_MAX);

	*bytes = 0;
	while (line && *bytes < ASK_ANSWER_MAX) {
		ssize_t n = recv(fd, line + *bytes, ASK_ANSWER_MAX - *bytes, 0);
		if (n <= 0)
			break;
		*bytes += (size_t)n;
		if (line[*bytes - 1] == '\n')
			return line;
	}
	free(line);
	return NULL;
}

json_t *
ask(const char *path, const char *request)
{
	size_t bytes = 0;
	json_t *answer = NULL;
	int fd = connect_to(path);

	if (fd < 0)
		return NULL;
	char *line = send(fd, request, strlen(request), MSG_NOSIGNAL) == (ssize_t)strlen(request)
			     ? receive_line(fd, &bytes)
			     : NULL;
	close(fd);
	if (line)
		answer = json_loadb(line, bytes, 0, NULL);
	free(line);
	if (!answer)
		fprintf(stderr, "synodctl: synodd on %s gave no answer within %d s\n", path,
			ASK_ANSWER_S);
	return answer;
}

int64_t
ask_number(const json_t *object, const char *key)
{
	return json_integer_value(json_object_get(object, key));
}

const char *
ask_string(const json_t *text)
{
	const char *value = json_string_value(text);
	return value ? value : "-";
}

const char *
ask_text(const json_t *object, const char *key)
{
	return ask_string(json_object_get(object, key));
}

bool
ask_is_true(const json_t *object, const char *key)
{
	return json_is_true(json_object_get(object, key));
}

json_t *
ask_status(const char *path)
{
	json_t *answer = ask(path, "{\"command\": \"status\"}\n");
	json_t *status = json_incref(json_object_get(answer, "status"));

	if (answer && !status)
		fprintf(stderr, "synodctl: %s\n", ask_text(answer, "error"));
	json_decref(answer);
	return status;
}

bool
ask_once(const char *path, const char *request)
{
	json_t *answer = ask(path, request);
	bool asked = ask_is_true(answer, "asked");

	if (answer && !asked)
		fprintf(stderr, "synodctl: %s\n", ask_text(answer, "error"));
	json_decref(answer);
	return asked;
}

const json_t *
ask_group(const json_t *status, const char *name)
{
	const json_t *groups = json_object_get(status, "groups");
	char number[24];
	size_t i;
	json_t *g;

	json_array_foreach(groups, i, g)
	{
		snprintf(number, sizeof number, "%" PRId64, ask_number(g, "number"));
		if (strcmp(name, number) == 0 || strcmp(name, ask_text(g, "uuid")) == 0)
			return g;
	}
	return NULL;
}
