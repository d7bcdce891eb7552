/* Asking a synodd: see ask.h. */
#include "dpdk/ask.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#define ASK_ANSWER_S   5
#define ASK_ANSWER_MAX (4u << 20)

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
ask_text(const json_t *object, const char *key)
{
	const char *value = json_string_value(json_object_get(object, key));
	return value ? value : "-";
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
