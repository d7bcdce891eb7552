/* tests/node/scene.h - a node of its own and two members, sealed, on a network that loses nothing.
 */
#ifndef TESTS_NODE_SCENE_H
#define TESTS_NODE_SCENE_H

#include "node/member.h"
#include "node/node.h"
#include "node/protocol.h"
#include "tests/wire/fake_crypto.h"
#include "wire/wire.h"

#define MS                   ((uint64_t)1000000)
#define SCENE_MEMBERS        2
#define SCENE_DATAGRAMS      256
#define SCENE_DATAGRAM_BYTES 1400
#define SCENE_SLOTS          4096
#define SCENE_LOG_BYTES      (1 << 20)
#define SCENE_LARGE_BYTES    40000
#define SCENE_READS          16
#define SCENE_NODE           SCENE_MEMBERS /* its number among the ends */

struct scene_datagram {
	uint32_t from, to, bytes;
	uint8_t data[SCENE_DATAGRAM_BYTES];
};

struct scene;

/* The node, or a member. */
struct scene_end {
	struct scene *scene;
	uint32_t number;
	struct endpoint at;
	struct fake_crypto crypto;
	uint64_t slot[SCENE_SLOTS];
	uint8_t secret[CRYPTO_KEY_BYTES], key[CRYPTO_KEY_BYTES];
	void *memory;
	uint64_t timer_ns;
};

struct scene {
	struct node *node;
	struct member *member[SCENE_MEMBERS];
	const struct certificates *certificates, *shown; /* the node's; by raw */
	const uint8_t *certified;                        /* the group that they open */
	struct wire *raw[SCENE_MEMBERS]; /* in its place: what a test says, and no member would */
	int raw_session;
	struct protocol_message heard[128]; /* by raw: the last of each kind, without its data */
	struct scene_end end[SCENE_MEMBERS + 1];
	uint64_t now_ns, lsn, process;
	uint64_t room_bytes;             /* of the node's log; 0: without end */
	uint32_t verdict[SCENE_MEMBERS]; /* enum member_verdict: the last one */
	uint64_t queued[SCENE_MEMBERS];  /* bytes of others' transactions */
	struct node_output read[SCENE_READS];
	uint32_t read_count;
	uint8_t log[SCENE_LOG_BYTES]; /* of the node, from LSN 0 */
	struct scene_datagram datagram[SCENE_DATAGRAMS];
	uint32_t count;
	bool started[SCENE_MEMBERS], linked[SCENE_MEMBERS];
	bool stopped[SCENE_MEMBERS], expelled[SCENE_MEMBERS]; /* since it started */
	bool diverged[SCENE_MEMBERS];                         /* for that */
	enum member_refusal refusal[SCENE_MEMBERS];
};

extern const uint8_t scene_group_a[16], scene_group_b[16];

/* Member 0 made group A, and may open any; member 1 may open B. */
struct scene *scene(void);
/* The same, and who shows certificates to the node may open this group. */
struct scene *scene_certified(const struct certificates *certificates, const uint8_t *group);
void scene_free(struct scene *s);
void scene_run(struct scene *s, uint64_t for_ns);
void scene_node_give(struct scene *s, struct node_input in);
/* Another process, which replays what the last one had logged. */
void scene_node_again(struct scene *s);
void scene_member_give(struct scene *s, uint32_t m, struct member_input in);
/* Member m, by a member_init() of its own: a server that starts anew. */
void scene_member_begin(struct scene *s, uint32_t m, const uint8_t group[16], bool bootstrap);
/* By member 0, of SCENE_LARGE_BYTES. Answers its name. */
uint64_t scene_submit_large(struct scene *s);
/* In the place of member m, with its key: a session, and nothing behind it. */
void scene_raw_begin(struct scene *s, uint32_t m);
void scene_raw_say(struct scene *s, enum wire_stream stream, const struct protocol_message *said);
/* Member 0 may open any group, or none at all; member 1 this one, or any. */
void scene_keys(struct scene *s, bool first, const uint8_t *of_second);
struct node_status scene_status(const struct scene *s);

#endif /* TESTS_NODE_SCENE_H */
