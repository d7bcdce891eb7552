/* The control socket: see control.h. */
#include "dpdk/control.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "dpdk/order.h"

#define WAIT_FDS (2 + CONTROL_CLIENTS_MAX)

static json_t *
answer_error(const char *text)
{
	return json_pack("{s:s}", "error", text);
}

static json_t *
answer_asked(void)
{
	return json_pack("{s:b}", "asked", 1);
}

static json_t *
ask_order(const struct control *c, const struct request *r)
{
	struct node_order order;
	struct hw_error error = {0};

	if (order_make(&order, r, c->options.facts.node->crypto != NULL, &error) != 0)
		return answer_error(error.text);
	return loop_order(c->options.loop, &order) == 0 ? answer_asked()
							: answer_error("no memory");
}

static json_t *
answer(struct control *c, const char *line, size_t bytes)
{
	struct loop *loop = c->options.loop;
	struct request r = request_parse(line, bytes);

	if (r.refused)
		return answer_error(r.refused);
	switch (r.kind) {
	case REQUEST_VOTERS:
		loop_voters(loop, &(struct loop_voters){.number = r.number,
							.voters = r.voters,
							.horizon = r.horizon});
		return answer_asked();
	case REQUEST_KIND:
		loop_lead(loop, r.group, r.all_lead);
		return answer_asked();
	case REQUEST_DROP:
	case REQUEST_EXPEL:
	case REQUEST_LIST:
	case REQUEST_UNLIST:
	case REQUEST_NODE:
	case REQUEST_FORGET:
		return ask_order(c, &r);
	case REQUEST_FORCE:
		if (loop_force(loop, &r.force, r.here_only))
			return answer_error("no memory");
		return answer_asked();
	case REQUEST_STATUS:
		break;
	}
	if (!loop_status_request(loop, CONTROL_ANSWER_MS))
		return answer_error("the poll loop does not answer: it is starting or hangs");
	return json_pack("{s:o}", "status", status_json(loop->snapshot, &c->options.facts));
}

static void
drop_client(struct control_client *client)
{
	close(client->fd);
	client->fd = -1;
	client->bytes = 0;
}

static bool
send_all(int fd, const char *text, size_t bytes)
{
	while (bytes > 0) {
		ssize_t n = send(fd, text, bytes, MSG_NOSIGNAL);
		if (n <= 0)
			return false;
		text += n;
		bytes -= (size_t)n;
	}
	return true;
}

static bool
serve_line(struct control *c, struct control_client *client, size_t bytes)
{
	json_t *reply = answer(c, client->line, bytes);
	char *text = reply ? json_dumps(reply, JSON_COMPACT) : NULL;
	bool good =
		text && send_all(client->fd, text, strlen(text)) && send_all(client->fd, "\n", 1);

	free(text);
	json_decref(reply);
	return good;
}

static void
serve_client(struct control *c, struct control_client *client)
{
	ssize_t n = recv(client->fd, client->line + client->bytes,
			 sizeof client->line - client->bytes, 0);

	if (n <= 0) {
		drop_client(client);
		return;
	}
	client->bytes += (size_t)n;
	/* At most as many lines as bytes; each turn takes one away. */
	char *end = memchr(client->line, '\n', client->bytes);
	while (end) {
		size_t line_bytes = (size_t)(end - client->line);
		if (!serve_line(c, client, line_bytes)) {
			drop_client(client);
			return;
		}
		client->bytes -= line_bytes + 1;
		memmove(client->line, end + 1, client->bytes);
		end = memchr(client->line, '\n', client->bytes);
	}
	if (client->bytes == sizeof client->line)
		drop_client(client);
}

static void
accept_client(struct control *c)
{
	struct timeval second = {.tv_sec = 1};
	int fd = accept4(c->listen_fd, NULL, NULL, SOCK_CLOEXEC);

	if (fd < 0)
		return;
	for (int i = 0; i < CONTROL_CLIENTS_MAX; i++) {
		if (c->client[i].fd >= 0)
			continue;
		(void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &second, sizeof second);
		c->client[i].fd = fd;
		return;
	}
	close(fd);
}

static uint64_t
clock_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static void
watch(struct control *c)
{
	uint64_t now_ms = clock_ms();

	if (now_ms - c->watched_ms < CONTROL_WATCH_MS)
		return;
	c->watched_ms = now_ms;
	if (loop_status_request(c->options.loop, CONTROL_ANSWER_MS))
		c->options.watch(c->options.watch_context, c->options.loop->snapshot);
}

static void *
serve(void *context)
{
	struct control *c = context;
	struct pollfd fd[WAIT_FDS] = {{.fd = c->stop_fd, .events = POLLIN},
				      {.fd = c->listen_fd, .events = POLLIN}};

	while ((fd[0].revents & POLLIN) == 0) {
		for (int i = 0; i < CONTROL_CLIENTS_MAX; i++)
			fd[2 + i] = (struct pollfd){.fd = c->client[i].fd, .events = POLLIN};
		if (poll(fd, WAIT_FDS, CONTROL_WATCH_MS) < 0)
			continue;
		watch(c);
		for (int i = 0; i < CONTROL_CLIENTS_MAX; i++) {
			if (fd[2 + i].revents != 0)
				serve_client(c, &c->client[i]);
		}
		if (fd[1].revents != 0)
			accept_client(c);
	}
	return NULL;
}

static bool
somebody_listens(const struct sockaddr_un *address)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool yes = fd >= 0 && connect(fd, (const struct sockaddr *)address, sizeof *address) == 0;

	if (fd >= 0)
		close(fd);
	return yes;
}

/* One level only, as for a log directory: /run/synod. */
static void
make_parent(const char *path)
{
	char parent[sizeof((struct sockaddr_un *)0)->sun_path];
	const char *slash = strrchr(path, '/');

	if (!slash || slash == path)
		return;
	memcpy(parent, path, (size_t)(slash - path));
	parent[slash - path] = '\0';
	(void)mkdir(parent, 0755);
}

static int
listen_on(struct control *c, struct hw_error *error)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	const char *path = c->options.path;

	if (strlen(path) >= sizeof address.sun_path)
		return hw_error_set(error, -ENAMETOOLONG,
				    "the control socket's path is longer than %zu bytes: %s",
				    sizeof address.sun_path - 1, path);
	memcpy(address.sun_path, path, strlen(path) + 1);
	if (somebody_listens(&address))
		return hw_error_set(error, -EADDRINUSE,
				    "another synodd answers on %s: stop it, or give this one its "
				    "own control socket",
				    path);
	make_parent(path);
	(void)unlink(path);
	c->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	mode_t mask = umask(0177);
	int rc = c->listen_fd < 0 ||
				 bind(c->listen_fd, (struct sockaddr *)&address, sizeof address) ||
				 listen(c->listen_fd, CONTROL_CLIENTS_MAX)
			 ? -errno
			 : 0;
	umask(mask);
	if (rc != 0)
		return hw_error_set(error, rc, "no control socket at %s (%s): is its folder there?",
				    path, strerror(-rc));
	return 0;
}

static int
start_thread(struct control *c, struct hw_error *error)
{
	pthread_attr_t attributes;

	pthread_attr_init(&attributes);
	if (CPU_COUNT(&c->options.cpus) > 0)
		pthread_attr_setaffinity_np(&attributes, sizeof c->options.cpus, &c->options.cpus);
	int rc = pthread_create(&c->thread, &attributes, serve, c);
	pthread_attr_destroy(&attributes);
	if (rc != 0)
		return hw_error_set(error, -rc, "no control thread: %s", strerror(rc));
	c->runs = true;
	return 0;
}

int
control_start(struct control *control, const struct control_options *options,
	      struct hw_error *error)
{
	*control = (struct control){.options = *options, .listen_fd = -1};
	for (int i = 0; i < CONTROL_CLIENTS_MAX; i++)
		control->client[i].fd = -1;
	control->stop_fd = eventfd(0, EFD_CLOEXEC);
	if (control->stop_fd < 0)
		return hw_error_set(error, -errno, "no descriptors left: raise LimitNOFILE");
	int rc = listen_on(control, error);
	if (rc == 0)
		rc = start_thread(control, error);
	if (rc != 0)
		control_stop(control);
	return rc;
}

void
control_stop(struct control *control)
{
	uint64_t one = 1;

	if (control->runs) {
		(void)!write(control->stop_fd, &one, sizeof one);
		pthread_join(control->thread, NULL);
		(void)unlink(control->options.path);
	}
	control->runs = false;
	for (int i = 0; i < CONTROL_CLIENTS_MAX; i++) {
		if (control->client[i].fd >= 0)
			drop_client(&control->client[i]);
	}
	if (control->listen_fd >= 0)
		close(control->listen_fd);
	if (control->stop_fd >= 0)
		close(control->stop_fd);
	control->listen_fd = -1;
	control->stop_fd = -1;
}
