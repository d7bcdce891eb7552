/* tests/sim/members.c - see sim.h: a server's side of the appliance, member_step(). */
#include <stdlib.h>

#include "base/must.h"
#include "tests/sim/sim.h"

struct member_scope {
	struct sim *sim;
	struct sim_server *server;
	uint8_t process;
};

void
sim_member_setup(struct sim *s, uint8_t server)
{
	struct sim_server *v = &s->server[server];
	struct member_config *c = &v->config;

	memset(c, 0, sizeof *c);
	memset(c->server_uuid, 0x50 + server, sizeof c->server_uuid);
	c->inflight_max = s->swarm.inflight_max;
	c->transaction_bytes_max = s->swarm.value_bytes_max - 2000;
	c->payload_bytes_max = SIM_PAYLOAD_BYTES;
	c->submission_bytes = s->swarm.submission_bytes;
	c->snapshot_entries_max = 4096;
	c->gtid_intervals_max = 1024;
	c->datagram_bytes_max = SIM_DATAGRAM_BYTES;
	c->stream_bytes = s->swarm.stream_bytes;
	c->session_dead_ns = s->swarm.pace * 150 * MS;
	c->retry_ns = s->swarm.pace * 30 * MS;
	c->progress_ns = s->swarm.progress_ns;
	seal_member(s, server, c);
	size_t bytes = (member_size(c) + 63) / 64 * 64;
	if (bytes > v->memory_bytes) {
		free(v->memory);
		v->memory = aligned_alloc(64, bytes);
		must(v->memory != NULL);
		v->memory_bytes = bytes;
	}
}

/* Who is there now; those that are added later it has to learn of. No two lists are in the
 * same order. */
static void
write_list(struct sim *s, uint8_t server, struct member_config *c)
{
	c->node_count = 0;
	for (uint32_t i = 0; i < s->node_count; i++) {
		uint8_t node = (uint8_t)((i + server) % s->node_count);

		if (comers_away(s, node))
			continue;
		c->endpoint[c->node_count] = net_endpoint(node);
		memcpy(c->node_key[c->node_count++], s->seal[node].key, CRYPTO_KEY_BYTES);
	}
}

/* A member for one START: nothing of an earlier one is in its memory. */
void
sim_member_boot(struct sim *s, uint8_t server)
{
	struct sim_server *v = &s->server[server];
	uint8_t entropy[64];

	sim_soil(v->memory, member_size(&v->config));
	write_list(s, server, &v->config);
	seal_member(s, server, &v->config);
	v->member = member_init(v->memory, &v->config);
	memset(v->offered, 0, sizeof v->offered);
	s->timer_ns[sim_server_process(server)] = UINT64_MAX;
	for (uint32_t i = 0; i < sizeof entropy; i++)
		entropy[i] = (uint8_t)random_u64(&s->random);
	struct member_input in = {.kind = MEMBER_IN_RANDOM, .data = entropy};
	in.bytes = sizeof entropy;
	sim_member_feed(s, server, &in);
}

static void
member_views(struct sim *s, struct sim_server *v, const struct member_view *view)
{
	if (v->piece_bytes > 0)
		sim_fail(s, "server %u: view %llu amid the pieces of %llu", v->number,
			 (unsigned long long)view->index, (unsigned long long)v->piece_index);
	if (view->index < v->view_index)
		sim_fail(s, "server %u: view %llu told after view %llu", v->number,
			 (unsigned long long)view->index, (unsigned long long)v->view_index);
	v->view_index = view->index;
	v->view_rows = view->row_count;
	v->view_online = 0;
	v->view_self_online = false;
	for (uint32_t i = 0; i < view->row_count; i++) {
		v->view_online += view->row[i].online;
		if (memcmp(view->row[i].server_uuid, v->config.server_uuid, UUID_BYTES) == 0)
			v->view_self_online = view->row[i].online;
	}
	sim_trace(s, "server %u: sees a view at %llu, %u of %u online", v->number,
		  (unsigned long long)view->index, v->view_online, v->view_rows);
}

static void
member_releases(void *context, uint64_t sequence, const uint8_t *payload)
{
	struct member_scope *scope = context;

	if (!scope->server->process.dying)
		large_released(scope->sim, scope->server, sequence, payload);
}

static void
member_emits(void *context, const struct member_output *out)
{
	struct member_scope *scope = context;
	struct sim *s = scope->sim;
	struct sim_server *v = scope->server;

	if (v->process.dying || s->failed)
		return;
	switch (out->kind) {
	case MEMBER_OUT_SEND:
		net_send(s, scope->process, &out->to, out->data, out->bytes);
		break;
	case MEMBER_OUT_STARTED:
		server_started(s, v, out);
		break;
	case MEMBER_OUT_STOPPED:
		server_ended(s, v, "stopped");
		break;
	case MEMBER_OUT_VERDICT:
		client_verdict(s, v, out);
		break;
	case MEMBER_OUT_QUEUE:
		applier_queue(s, v, out);
		break;
	case MEMBER_OUT_VIEW:
		member_views(s, v, out->view);
		break;
	case MEMBER_OUT_EXPELLED:
		if (out->gtid != NULL)
			force_lacks(s, v, out);
		attached_expelled(s, v);
		server_ended(s, v, "expelled");
		break;
	case MEMBER_OUT_TIMER:
		sim_timer(s, scope->process, out->at_ns);
		return;
	case MEMBER_OUT_LINK:
		v->connected = out->connected;
		break;
	case MEMBER_OUT_BARRIER:
		client_barrier(s, v, out->sequence);
		break;
	}
	v->process.dying = sim_output_kills(s, &v->process);
}

void
sim_member_feed(struct sim *s, uint8_t server, struct member_input *in)
{
	struct sim_server *v = &s->server[server];
	struct member_scope scope = {.sim = s, .server = v, .process = sim_server_process(server)};
	struct member_sink sink = {
		.context = &scope, .emit = member_emits, .release = member_releases};

	if (!v->process.up || v->member == NULL || s->failed)
		return;
	if (v->process.crash_after == 0 && random_chance(&s->random, s->swarm.crash_ppm))
		v->process.crash_after = (uint32_t)random_between(&s->random, 1, 12);
	in->now_ns = sim_local(s, &v->process);
	s->totals.member_steps++;
	member_step(v->member, in, &sink);
	if (v->member != NULL) /* else it took another's data, and is down */
		large_offered(s, v);
	if (v->process.dying)
		server_crash(s, server, random_mean(&s->random, s->swarm.down_ns));
}
