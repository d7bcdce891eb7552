/* synodd - one node of the appliance, as a process.
 *
 *     synodd --config FILE [--format] [--repair] | --check
 *
 * Reads the configuration, opens the log, the port and the control socket, and
 * turns the poll loop until SIGTERM or SIGINT. Log lines go to stderr with the
 * time in front; the process stays in the foreground and writes no pid file, as
 * a supervisor wants it. Exits with 0 after an orderly stop, 1 when something was
 * refused, 2 when it was called wrongly. */
#include <dirent.h>
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "dpdk/control.h"
#include "dpdk/epoch.h"
#include "dpdk/plan.h"
#include "dpdk/trap.h"
#include "hw/certificates.h"
#include "hw/crypto.h"
#include "node/protocol.h"

#define LINE_BYTES 1024
#define SAY_NS     60000000000u

static const char usage[] =
	"usage: synodd --config FILE            run this node until SIGTERM\n"
	"       synodd --config FILE --format   the same; makes the log of a new node first\n"
	"       synodd --config FILE --repair   the same; its log may lack anything, the others "
	"know\n"
	"       synodd --config FILE --rejoin EPOCH   sets its log aside, and comes back empty\n"
	"                                       into an epoch that others were forced into\n"
	"       synodd --config FILE --check    print the plan and exit\n"
	"       synodd --help | --version\n";

struct arguments {
	const char *config;
	bool check;
	bool format;
	bool repair;
	struct node_forced rejoin; /* number 0: no */
};

/* All that one process holds; static, because it is one and large. */
struct appliance {
	struct hw_config config;
	struct plan plan;
	struct hw_log *log;
	struct port port;
	struct udp udp;
	struct loop loop;
	struct crypto *crypto;             /* NULL: in clear */
	struct certificates *certificates; /* NULL: none; the loop's once it runs */
	struct control control;
	struct loop_snapshot seen; /* the watch's: what it has told already */
	bool watched;
	bool repairing; /* the log has a hole that is not closed yet */
	struct hw_keys keys;
	struct node_secrets secrets; /* that the loop has */
	struct node_key node_keys[NODE_KEYS_MAX];
	uint64_t keys_said; /* of dropped_key, told up to here */
	uint64_t keys_say_ns;
	uint64_t certificates_said; /* as keys_said */
	uint64_t certificates_say_ns;
	uint64_t turned_away_said;
	uint64_t turned_away_say_ns;
	uint64_t versions_said; /* of other_versions, told up to here */
	uint64_t versions_say_ns;
};

static struct appliance appliance;
static _Atomic bool stop_wanted;
static _Atomic bool loop_there;
static _Atomic bool reload_wanted;

__attribute__((format(printf, 1, 2))) static void
say(const char *format, ...)
{
	char line[LINE_BYTES];
	struct timespec now;
	struct tm utc;
	va_list list;

	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &utc);
	size_t n = strftime(line, sizeof line, "%Y-%m-%dT%H:%M:%S", &utc);
	n += (size_t)snprintf(line + n, sizeof line - n, ".%03ldZ synodd: ", now.tv_nsec / 1000000);
	va_start(list, format);
	(void)vsnprintf(line + n, sizeof line - n - 1, format, list);
	va_end(list);
	fprintf(stderr, "%s\n", line);
}

static int
parse_arguments(struct arguments *a, int argc, char **argv)
{
	static const struct option options[] = {
		{"config", required_argument, NULL, 'c'}, {"check", no_argument, NULL, 'k'},
		{"format", no_argument, NULL, 'f'},       {"repair", no_argument, NULL, 'r'},
		{"rejoin", required_argument, NULL, 'j'}, {"help", no_argument, NULL, 'h'},
		{"version", no_argument, NULL, 'v'},      {0}};

	for (int c = getopt_long(argc, argv, "", options, NULL); c != -1;
	     c = getopt_long(argc, argv, "", options, NULL)) {
		switch (c) {
		case 'c':
			a->config = optarg;
			break;
		case 'k':
			a->check = true;
			break;
		case 'f':
			a->format = true;
			break;
		case 'r':
			a->repair = true;
			break;
		case 'j':
			if (!epoch_read(optarg, &a->rejoin) || a->rejoin.number == 0)
				return 2;
			break;
		case 'h':
			fputs(usage, stdout);
			exit(0);
		case 'v':
			printf("synodd %s\n", SYNOD_VERSION);
			exit(0);
		default:
			return 2;
		}
	}
	return a->config && optind == argc ? 0 : 2;
}

static void
on_stop(int number)
{
	(void)number;
	atomic_store(&stop_wanted, true);
	if (atomic_load(&loop_there))
		loop_stop(&appliance.loop);
}

static void
on_reload(int number)
{
	(void)number;
	atomic_store(&reload_wanted, true);
}

static void
catch_signals(void)
{
	struct sigaction action = {.sa_handler = on_stop}, reload = {.sa_handler = on_reload};

	sigemptyset(&action.sa_mask);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGINT, &action, NULL);
	sigemptyset(&reload.sa_mask);
	sigaction(SIGHUP, &reload, NULL);
	signal(SIGPIPE, SIG_IGN);
}

static bool
log_is_there(const char *directory)
{
	DIR *dir = opendir(directory);
	bool there = false;

	if (!dir)
		return false;
	for (struct dirent *e = readdir(dir); e && !there; e = readdir(dir))
		there = e->d_name[0] != '.';
	closedir(dir);
	return there;
}

static void
tell_executed(void *context, const struct node *node)
{
	struct node_group_status group;
	struct gtid_interval run;
	char uuid[STATUS_UUID_BYTES], text[STATUS_GTIDS_BYTES];

	for (uint32_t i = 0; node_group_status(node, i, &group); i++) {
		status_uuid(group.uuid, uuid);
		for (uint32_t k = 0; node_group_executed(node, i, k, &run); k++) {
			status_gtids(&run, text);
			fprintf(context, "%s %s\n", uuid, text);
		}
	}
}

/* Beside the old log: what its node knew to be accepted, for `synodctl node lost`. */
static int
write_executed(struct appliance *a, const struct hw_log_identity *identity, struct hw_error *error)
{
	struct node_config node = a->plan.node;
	char path[PATH_MAX];

	snprintf(path, sizeof path, "%s/gtids", a->plan.log.directory);
	FILE *to = fopen(path, "w");
	if (to == NULL) {
		hw_log_close(a->log);
		a->log = NULL;
		return hw_error_set(error, -errno, "cannot write %s", path);
	}
	node.crypto = NULL;
	memcpy(node.epoch, identity->epoch, EPOCH_BYTES);
	memcpy(node.disk, identity->disk, NODE_DISK_BYTES);
	int rc = loop_survey(&a->loop, &(struct loop_options){.log = a->log, .node = &node},
			     &(struct loop_survey){.tell = tell_executed, .context = to}, error);
	a->log = NULL;
	bool written = fclose(to) == 0;
	return rc != 0 || written ? rc : hw_error_set(error, -EIO, "cannot write %s", path);
}

/* What an older epoch's log holds is nobody's any more, and is kept. */
static int
set_aside(struct appliance *a, const struct node_forced *rejoin, struct hw_error *error)
{
	struct hw_log_options *options = &a->plan.log;
	char aside[PATH_MAX];

	int rc = hw_log_open(options, &a->log, error);
	if (rc != 0)
		return rc;
	struct hw_log_identity identity = hw_log_identity(a->log);
	if (memcmp(identity.epoch, rejoin->epoch, EPOCH_BYTES) == 0) {
		hw_log_close(a->log);
		a->log = NULL;
		return 0; /* it came back before */
	}
	rc = write_executed(a, &identity, error);
	if (rc != 0)
		return rc;
	snprintf(aside, sizeof aside, "%s.before-epoch-%u", options->directory, rejoin->number);
	if (access(aside, F_OK) == 0 || rename(options->directory, aside) != 0)
		return hw_error_set(
			error, -EEXIST,
			"the log in %s cannot be set aside as %s: move it away by hand, "
			"and start again",
			options->directory, aside);
	say("the log of the older epoch is kept in %s. When this node has caught up, `synodctl "
	    "node "
	    "lost %s` says what it had that the groups have not",
	    aside, aside);
	return 0;
}

static int
prepare_rejoin(struct appliance *a, const struct node_forced *rejoin, struct hw_error *error)
{
	struct hw_log_options *options = &a->plan.log;

	if (log_is_there(options->directory)) {
		int rc = set_aside(a, rejoin, error);
		if (rc != 0)
			return rc;
	}
	memcpy(options->epoch, rejoin->epoch, EPOCH_BYTES);
	a->plan.node.forced = *rejoin;
	return 0;
}

/* An empty log answers that this node never promised anything. Where it did, and
 * its disk was lost, that answer can undo what a majority had agreed on: so a log
 * is made only for whoever says that the node is new. */
static int
open_log(struct appliance *a, const struct arguments *arguments, struct hw_error *error)
{
	struct hw_log_options *options = &a->plan.log;
	bool rejoins = arguments->rejoin.number != 0 && !options->memory;
	bool format = arguments->format || rejoins;
	int rc = rejoins ? prepare_rejoin(a, &arguments->rejoin, error) : 0;

	if (rc != 0)
		return rc;
	bool there = !options->memory && log_is_there(options->directory);

	if (!there && !options->memory && !format)
		return hw_error_set(
			error, -ENOENT,
			"there is no log in %s. A new node makes one with --format. A "
			"node that has lost its disk must not: it comes back with --format "
			"--repair while all others run, and learns everything from them",
			options->directory);
	if (!there && a->plan.node.joins)
		memcpy(options->epoch, a->plan.node.forced.epoch, EPOCH_BYTES);
	else if (!there && !rejoins)
		plan_new_epoch(&a->plan, options->epoch);
	rc = hw_log_open(options, &a->log, error);
	if (rc != 0)
		return rc;
	struct hw_log_identity identity = hw_log_identity(a->log);
	memcpy(a->plan.node.epoch, identity.epoch, EPOCH_BYTES);
	memcpy(a->plan.node.disk, identity.disk, NODE_DISK_BYTES);
	if (a->plan.node.joins && !identity.formatted_now)
		a->plan.node.forced =
			(struct node_forced){0}; /* the log knows, and may know later ones */
	say("log %s: %s", identity.formatted_now ? "made" : "found", hw_log_mode(a->log));
	return 0;
}

static int
open_port(struct appliance *a, struct hw_error *error)
{
	char why[PORT_WHY_BYTES];
	int rc = port_open(&a->port, &a->plan.port, why);

	if (rc != 0)
		return hw_error_set(error, rc, "%s", why);
	if (a->port.mtu < a->config.mtu)
		return hw_error_set(
			error, -EINVAL,
			"the port's MTU is %u, the configuration says %u: set [port] mtu "
			"= %u on every node, or raise the port's",
			a->port.mtu, a->config.mtu, a->port.mtu);
	udp_init(&a->udp, &a->port, &a->plan.address);
	say("port %s %02x:%02x:%02x:%02x:%02x:%02x, MTU %u, link %s%s", a->port.driver,
	    a->port.mac[0], a->port.mac[1], a->port.mac[2], a->port.mac[3], a->port.mac[4],
	    a->port.mac[5], a->port.mtu, port_link_up(&a->port) ? "up" : "down",
	    a->port.wait_fd < 0 ? "; it has no descriptor to wait on" : "");
	return 0;
}

/* A line a minute at most: peers may be hostile, and an honest one asks for ever. */
static void
watch_versions(struct appliance *a, const struct loop_snapshot *snapshot)
{
	const struct node_status *now = &snapshot->node;
	char endpoint[STATUS_ENDPOINT_BYTES];

	if (now->other_versions == a->versions_said || snapshot->now_ns < a->versions_say_ns)
		return;
	a->versions_said = now->other_versions;
	a->versions_say_ns = snapshot->now_ns + SAY_NS;
	status_endpoint(&now->other_version_from, endpoint);
	say("%s speaks protocol version %u and this node version %u: they refuse each other. "
	    "Install the same release on both",
	    endpoint, now->other_version, PROTOCOL_VERSION);
}

/* What the key file has, for the loop. */
static int
load_keys(struct appliance *a, struct hw_error *error)
{
	return hw_keys_load(&a->keys, a->config.key_file, error);
}

/* By a table of its own: the loop's belongs to another thread. */
static int
public_of(const uint8_t *secret, uint8_t out[CRYPTO_KEY_BYTES], struct hw_error *error)
{
	struct crypto *crypto = hw_crypto_new(1, error);

	if (crypto == NULL)
		return -ENOTSUP;
	crypto->public_key(crypto->context, secret, out);
	hw_crypto_free(crypto);
	return 0;
}

/* This node's own key, if the file has another now, or had an old one at start. */
static int
give_secrets(struct appliance *a)
{
	static const uint8_t none[CRYPTO_KEY_BYTES];
	bool before = memcmp(a->keys.old, none, sizeof none) != 0;
	struct node_secrets next;
	char text[HW_KEY_TEXT_BYTES] = "";
	uint8_t public[CRYPTO_KEY_BYTES];

	memcpy(next.now, a->keys.secret, sizeof next.now);
	memcpy(next.before, a->keys.old, sizeof next.before);
	if (memcmp(&next, &a->secrets, sizeof next) == 0)
		return 0;
	int rc = loop_secrets(&a->loop, &next);
	if (rc == 0)
		rc = public_of(next.now, public, NULL);
	if (rc != 0)
		return rc;
	a->secrets = next;
	hw_key_text(public, text);
	say("this node's own key is %s; the one before is %s", text,
	    before ? "good as long as it stands in the file as old" : "good no more");
	return 0;
}

static int
give_keys(struct appliance *a)
{
	uint32_t count = plan_keys(&a->keys, a->node_keys);

	return loop_keys(&a->loop, a->node_keys, count);
}

/* What servers may show in place of a listed key, and what this node shows them. */
static struct certificates *
load_certificates(struct appliance *a, struct hw_error *error)
{
	static const uint8_t none[CRYPTO_KEY_BYTES];
	const struct hw_config *c = &a->config;
	bool before = memcmp(a->keys.old, none, sizeof none) != 0;
	uint8_t public[2][CRYPTO_KEY_BYTES];

	if (public_of(a->keys.secret, public[0], error) != 0 ||
	    (before && public_of(a->keys.old, public[1], error) != 0))
		return NULL;
	return hw_certificates_new(
		&(struct hw_certificates_config){
			.side = HW_CERTIFICATES_NODE,
			.ca = {"[certificates] ca", c->certificate_ca},
			.crl = {"[certificates] crl", c->certificate_crl},
			.chain = {"[certificates] file", c->certificate_chain},
			.key = {"[certificates] key", c->certificate_key},
			.public_key = public[0],
			.public_before = before ? public[1] : NULL,
		},
		error);
}

static int
open_certificates(struct appliance *a, struct hw_error *error)
{
	const struct hw_config_uuids *groups = &a->config.certificate_groups;
	struct node_config *n = &a->plan.node;

	if (a->config.certificate_ca[0] == '\0')
		return 0;
	a->certificates = load_certificates(a, error);
	if (a->certificates == NULL)
		return -EINVAL;
	n->certificates = a->certificates;
	n->certificate_group_count = groups->count;
	memcpy(n->certificate_group, groups->uuid, sizeof groups->uuid);
	say("servers need no listed key if they show a certificate of an authority in %s",
	    a->config.certificate_ca);
	return 0;
}

static int
open_seal(struct appliance *a, struct hw_error *error)
{
	struct node_config *n = &a->plan.node;

	if (a->config.seal == HW_SEAL_NONE) {
		say("[keys] seal = none: links are in clear; whoever is on the network can read "
		    "and forge what goes over them");
		return 0;
	}
	int rc = load_keys(a, error);
	if (rc != 0)
		return rc;
	a->crypto = hw_crypto_new(node_crypto_slots(n), error);
	if (a->crypto == NULL)
		return -ENOTSUP;
	n->crypto = a->crypto;
	memcpy(n->secret, a->keys.secret, sizeof n->secret);
	memcpy(a->secrets.now, n->secret, sizeof a->secrets.now);
	memcpy(n->psk, a->keys.psk, sizeof n->psk);
	say("links are sealed (AES-256-GCM of %s); %s lists %u keys",
	    hw_crypto_sealed_by(a->crypto), a->config.key_file, a->keys.count);
	return open_certificates(a, error);
}

/* As reload_keys(). Servers whose certificates opened their sessions show them again. */
static void
reload_certificates(struct appliance *a)
{
	struct hw_error error = {0};

	if (a->certificates == NULL)
		return;
	struct certificates *next = load_certificates(a, &error);
	if (next == NULL) {
		say("%s. The certificates of before stay", error.text);
		return;
	}
	say("certificates are read again");
	loop_certificates(&a->loop, next);
}

/* A file that cannot be read changes nothing: the keys of before stay listed. */
static void
reload_keys(struct appliance *a)
{
	struct hw_error error = {0};

	if (a->config.seal == HW_SEAL_NONE)
		return;
	if (load_keys(a, &error) != 0) {
		say("%s. The keys of before stay listed", error.text);
		return;
	}
	say("%s lists %u keys now", a->config.key_file, a->keys.count);
	if (give_keys(a) != 0)
		say("no memory for them: the keys of before stay listed");
	if (give_secrets(a) != 0)
		say("no memory for this node's own key: the one of before stays");
}

static void
watch_groups(struct appliance *a, const struct loop_snapshot *snapshot)
{
	const struct node_turned_away *now = &snapshot->node.turned_away;
	char endpoint[STATUS_ENDPOINT_BYTES], key[HW_KEY_TEXT_BYTES], group[STATUS_UUID_BYTES];

	if (now->count == a->turned_away_said || snapshot->now_ns < a->turned_away_say_ns)
		return;
	a->turned_away_said = now->count;
	a->turned_away_say_ns = snapshot->now_ns + SAY_NS;
	status_endpoint(&now->from, endpoint);
	hw_key_text(now->key, key);
	status_uuid(now->group, group);
	say("%s asked for the group %s with the key %s, which %s does not list for that group. To "
	    "allow it: synodctl key add with that group, then SIGHUP",
	    endpoint, group, key, a->config.key_file);
}

static void
watch_certificates(struct appliance *a, const struct loop_snapshot *snapshot)
{
	static const char *const words[CERTIFICATES_VERDICTS] = {
		[CERTIFICATES_UNTRUSTED] = "of no authority in [certificates] ca. Have that sign "
					   "it, or add the server's authority there, then SIGHUP",
		[CERTIFICATES_EXPIRED] = "expired, or not valid yet by this host's clock. Renew "
					 "it, or set the clock",
		[CERTIFICATES_REVOKED] = "revoked by [certificates] crl. Give the server another",
		[CERTIFICATES_FORGED] = "no certificate, or has not signed the server's key",
	};
	const struct node_status *now = &snapshot->node;
	char endpoint[STATUS_ENDPOINT_BYTES];

	if (now->certificates_refused == a->certificates_said ||
	    snapshot->now_ns < a->certificates_say_ns)
		return;
	a->certificates_said = now->certificates_refused;
	a->certificates_say_ns = snapshot->now_ns + SAY_NS;
	status_endpoint(&now->certificate_from, endpoint);
	say("%s showed a certificate and was refused: it is %s", endpoint,
	    words[now->certificate_verdict]);
}

static void
watch_keys(struct appliance *a, const struct loop_snapshot *snapshot)
{
	const struct node_status *now = &snapshot->node;
	char endpoint[STATUS_ENDPOINT_BYTES], key[HW_KEY_TEXT_BYTES];

	if (atomic_exchange(&reload_wanted, false)) {
		reload_keys(a);
		reload_certificates(a);
	}
	watch_groups(a, snapshot);
	watch_certificates(a, snapshot);
	if (now->dropped_key == a->keys_said || snapshot->now_ns < a->keys_say_ns)
		return;
	a->keys_said = now->dropped_key;
	a->keys_say_ns = snapshot->now_ns + SAY_NS;
	status_endpoint(&now->unlisted_from, endpoint);
	hw_key_text(now->unlisted, key);
	say("%s asked with the key %s, which is not listed for what it wants. To allow it: "
	    "synodctl key add, then SIGHUP",
	    endpoint, key);
}

/* The disk gave back less than it had taken: told before the loop runs, for a small hole is
 * closed before the first look at it. */
static void
say_hole(struct appliance *a)
{
	struct node_status now;

	node_status(a->loop.node, &now);
	a->repairing = now.repairing;
	if (a->repairing)
		say("the disk lost records that it had acknowledged: the log in %s has a hole from "
		    "LSN %lu on. What this node no longer has is fetched from the others; it votes "
		    "when it knows what each of them knows, so start all of them. Check the disk",
		    a->config.directory, now.lost_lsn);
}

static void
watch_hole(struct appliance *a, const struct loop_snapshot *now)
{
	if (a->repairing && !now->node.repairing)
		say("what the disk had lost is here again");
	a->repairing = now->node.repairing;
}

/* Who stands at which number, where that is not what the file names. */
static void
watch_peers(const struct appliance *a, const struct loop_snapshot *now)
{
	for (uint8_t i = 0; i < NODE_NODES_MAX; i++) {
		const struct node_peer_status *peer = &now->peer[i], *before = &a->seen.peer[i];
		char endpoint[STATUS_ENDPOINT_BYTES];
		bool there = now->peers >> i & 1;

		status_endpoint(&peer->endpoint, endpoint);
		if (peer->stranger && !before->stranger)
			say("another node than %u came with that number, and was refused: two have "
			    "one number, or it was replaced",
			    i);
		if (!peer->differs || (before->differs && before->listed == peer->listed))
			continue;
		if (there)
			say("node %u is node %u at %s, as the appliance's log has it: "
			    "[appliance] nodes does not say so",
			    i, status_node_id(peer->uuid), endpoint);
		else
			say("node %u was removed and forgotten: [appliance] nodes still names it",
			    i);
	}
}

/* What only nodes had that were given up, by a force. */
static void
say_cut(const struct node_group_status *g)
{
	char uuid[STATUS_UUID_BYTES];

	status_uuid(g->uuid, uuid);
	say("group %s: entry %lu needs the write set of a large transaction that only nodes "
	    "that were given up had. It is void, and so is what they had ordered behind "
	    "it: GTIDs that may be of these are among `lost` in synodctl status, and are "
	    "not given again. A server that has committed one is refused, and has to be "
	    "cloned",
	    uuid, g->cut_index);
}

static void
say_gone(const struct gtid *gtid)
{
	char text[STATUS_GTIDS_BYTES];

	status_gtids(&(struct gtid_interval){gtid->source, gtid->gno, gtid->gno}, text);
	say("only nodes that were given up had the content of transaction %s, which is "
	    "accepted. A server that lacks it cannot join: clone it from one that has committed "
	    "it. "
	    "If there is none, commit an empty transaction under that GTID on each server",
	    text);
}

static void
watch_cuts(const struct appliance *a, const struct loop_snapshot *now)
{
	static const struct node_group_status none;

	for (uint32_t i = 0; i < now->group_count; i++) {
		const struct node_group_status *g = &now->group[i], *before = &a->seen.group[i];

		if (i >= a->seen.group_count || before->group != g->group)
			before = &none;
		if (g->cut_index != 0 && g->cut_index != before->cut_index)
			say_cut(g);
		/* The last one stands first. */
		for (uint32_t k = g->gone_count; k > before->gone_count; k--)
			say_gone(&g->gone[k - 1 - before->gone_count]);
	}
}

/* What a person wants to read later: changes, told by the control thread. */
static void
watch(void *context, const struct loop_snapshot *now)
{
	struct appliance *a = context;
	const struct loop_snapshot *old = &a->seen;

	for (uint8_t i = 0; i < NODE_NODES_MAX; i++) {
		bool up = (now->node.link_up >> i & 1) != 0;
		if (up != ((old->node.link_up >> i & 1) != 0))
			say("node %u %s", i, up ? "is connected" : "is lost");
	}
	watch_hole(a, now);
	watch_cuts(a, now);
	if (!a->watched || now->node.voting != old->node.voting)
		say("this node %s", now->node.voting ? "votes" : "does not vote");
	for (uint8_t i = 0; i < NODE_NODES_MAX; i++)
		if ((now->node.differing & ~old->node.differing) >> i & 1)
			say("node %u computed another result than this node from the same "
			    "entries: check the memory of both hosts",
			    i);
	if (now->node.members_diverged > old->node.members_diverged) {
		char uuid[STATUS_UUID_BYTES];

		status_uuid(now->node.diverged_uuid, uuid);
		say("group %u: what server %s has committed is not what was ordered; it is "
		    "expelled. Compare its data with another member's, and clone it anew",
		    now->node.diverged_group, uuid);
	}
	for (uint8_t i = 0; i < NODE_NODES_MAX; i++)
		if ((now->node.outdated & ~old->node.outdated) >> i & 1)
			say("node %u came with less of its log than this node has seen, and was "
			    "refused: its directory is an older copy, was made anew, or its disk "
			    "lost records. See there",
			    i);
	for (uint32_t i = 0; i < now->group_count; i++) {
		uint8_t leader = now->group[i].leader;
		if (i < old->group_count && leader == old->group[i].leader)
			continue;
		if (leader == PAXOS_NO_VOTER)
			say("group %u has no leader", now->group[i].group);
		else
			say("group %u is led by node %u", now->group[i].group, leader);
	}
	if (now->log.write_error != old->log.write_error)
		say("the log failed and takes no more: %s. Stop this node, repair or replace its "
		    "disk",
		    strerror(-now->log.write_error));
	if (now->log.space_error != old->log.space_error && now->log.space_error != 0)
		say("no room for the log: %s. Free space in %s", strerror(now->log.space_error),
		    a->config.directory);
	watch_peers(a, now);
	watch_versions(a, now);
	watch_keys(a, now);
	if (now->frame_drop[FRAMES_DROP_CONFLICT] != old->frame_drop[FRAMES_DROP_CONFLICT])
		say("another host claims this node's IPv4 address");
	a->seen = *now;
	a->watched = true;
}

static uint64_t
now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static int
start_control(struct appliance *a, const cpu_set_t *cpus, struct hw_error *error)
{
	int cpu = a->plan.machine.control_cpu;
	cpu_set_t control_cpus = *cpus;

	if (cpu >= 0) {
		CPU_ZERO(&control_cpus);
		CPU_SET((size_t)cpu, &control_cpus);
	}
	struct control_options options = {
		.path = a->config.socket,
		.loop = &a->loop,
		.facts = {.node = &a->plan.node,
			  .version = SYNOD_VERSION,
			  .log_mode = hw_log_mode(a->log),
			  .driver = a->port.driver,
			  .profile = a->plan.profile,
			  .started_ns = now_ns()},
		.cpus = control_cpus,
		.watch = watch,
		.watch_context = a,
	};

	return control_start(&a->control, &options, error);
}

static int
make_plan(struct appliance *a, bool check, struct hw_error *error)
{
	struct hw_host host;
	struct hw_plan machine;
	struct hw_wish wish = plan_wish(&a->config);
	char nic[HW_CONFIG_TEXT_BYTES];
	/* A plan may be looked at where the card is not. */
	bool named = !check && plan_nic(&a->config, nic);

	int rc = hw_host_read(
		&host, &(struct hw_host_options){.root = "", .nic = named ? nic : NULL}, error);
	if (rc == 0)
		rc = hw_plan_make(&machine, &host, &wish, error);
	if (rc == 0)
		rc = plan_make(&a->plan, &a->config, &machine, error);
	return rc;
}

/* This thread and those it makes from here on; without a plan for it, anywhere. */
static void
move_to(int cpu, const cpu_set_t *otherwise)
{
	cpu_set_t one;

	CPU_ZERO(&one);
	if (cpu >= 0)
		CPU_SET((size_t)cpu, &one);
	(void)sched_setaffinity(0, sizeof one, cpu >= 0 ? &one : otherwise);
}

/* The log's threads are made where the plan wants them, and only then this thread
 * goes to its poll core: DPDK takes it from there as its main one. */
static int
open_machine(struct appliance *a, const cpu_set_t *all, const struct arguments *arguments,
	     struct hw_error *error)
{
	const struct hw_plan *machine = &a->plan.machine;

	move_to(machine->log_cpu, all);
	int rc = open_log(a, arguments, error);
	if (rc != 0)
		return rc;
	move_to(machine->poll_count > 0 ? machine->poll_cpu[0] : HW_CPU_NONE, all);
	return open_port(a, error);
}

/* 0, or what the node found out about itself, so that it may not go on. */
static int
why_ended(const struct appliance *a, struct hw_error *error)
{
	const struct loop *loop = &a->loop;

	if (loop->diverged)
		return hw_error_set(
			error, -EUCLEAN,
			"group %u, index %lu: this node computed another result than a "
			"majority, so it stops. Start it again: it computes everything "
			"anew from its log. If it stops here again, keep its log for the "
			"developers; if not, check this host's memory",
			loop->diverged_group, loop->diverged_index);
	if (loop->outdated)
		return hw_error_set(
			error, -ESTALE,
			"node %u has seen more of this node's log (up to LSN %lu) than is in %s: "
			"an older copy, one that was made anew, or a disk that lost what it had "
			"acknowledged. This node may have forgotten promises, so it does not vote. "
			"Put back the log as it was last; if it is gone, start this node with "
			"--repair while all others run: it learns everything from them. Another "
			"disk of a node that was removed says votes_after in its file, as "
			"`synodctl node remove` printed it",
			loop->outdated_by, loop->outdated_lsn, a->config.directory);
	return 0;
}

static int
run(struct appliance *a, const struct arguments *arguments, struct hw_error *error)
{
	cpu_set_t cpus;

	CPU_ZERO(&cpus);
	(void)sched_getaffinity(0, sizeof cpus, &cpus);
	int rc = open_seal(a, error);
	if (rc == 0)
		rc = open_machine(a, &cpus, arguments, error);
	if (rc != 0) {
		if (a->log)
			hw_log_close(a->log);
		port_close(&a->port);
		return rc;
	}
	rc = loop_start(&a->loop,
			&(struct loop_options){.profile = a->plan.profile,
					       .port = &a->port,
					       .udp = &a->udp,
					       .log = a->log,
					       .node = &a->plan.node,
					       .certificates = a->certificates,
					       .log_in_memory = a->plan.log.memory,
					       .repair = arguments->repair,
					       .hugepages = a->plan.machine.hugepages},
			error);
	if (rc == 0 && a->crypto != NULL && (give_keys(a) != 0 || give_secrets(a) != 0))
		rc = hw_error_set(error, -ENOMEM, "no memory for the list of keys");
	if (rc == 0) {
		say_hole(a);
		rc = start_control(a, &cpus, error);
	}
	if (rc == 0) {
		atomic_store(&loop_there, true);
		say("node %u of %u runs as process %lu, %lu records replayed", a->plan.node.self,
		    a->plan.node.node_count, a->loop.process, a->loop.stats.replayed);
		if (!atomic_load(&stop_wanted))
			loop_run(&a->loop);
		atomic_store(&loop_there, false);
		control_stop(&a->control);
	}
	int mark = loop_close(&a->loop);
	if (rc == 0)
		rc = why_ended(a, error);
	if (rc == 0 && mark != 0)
		rc = hw_error_set(error, mark,
				  "the log has no mark of an orderly stop: the next start settles "
				  "its end with the other nodes");
	udp_close(&a->udp);
	port_close(&a->port);
	return rc;
}

/* From the start again, in the epoch that the log names now: nothing of this process is of
 * use there. */
static int
go_over(char **argv, const char *config)
{
	char *again[] = {argv[0], "--config", (char *)(uintptr_t)config, NULL};

	say("majority given up: this node goes on in another epoch");
	(void)close_range(3, UINT_MAX, 0);
	execv("/proc/self/exe", again);
	say("cannot start again: %s. Start this node", strerror(errno));
	return 1;
}

int
main(int argc, char **argv)
{
	struct arguments arguments = {0};
	struct hw_error error = {0};

	int rc = parse_arguments(&arguments, argc, argv);
	if (rc != 0) {
		fputs(usage, stderr);
		return rc;
	}
	if (hw_config_load(&appliance.config, arguments.config, &error) != 0 ||
	    make_plan(&appliance, arguments.check, &error) != 0) {
		say("%s", error.text);
		return 1;
	}
	if (arguments.check) {
		plan_print(&appliance.plan, stdout);
		return 0;
	}
	catch_signals();
	trap_report();
	if (run(&appliance, &arguments, &error) != 0) {
		say("%s", error.text);
		return 1;
	}
	if (appliance.loop.forced && !atomic_load(&stop_wanted))
		return go_over(argv, arguments.config);
	say("stopped in order");
	return 0;
}
