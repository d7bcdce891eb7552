/*
 * hw/config.h - the appliance's configuration file, checked before anything starts.
 *
 *     [section]
 *     key = value      # to the end of the line: why
 *
 * A pure function over text: the same bytes give the same configuration or the same
 * sentence, with the number of the line and what to write instead. An unknown key is
 * refused: a misspelt limit that is silently ignored is found in an outage. A key may
 * stand once. What is not given has the default that docs/synod.conf shows.
 *
 * Units    in the keys' names. A byte count may carry KiB, MiB or GiB.
 * Limits   HW_CONFIG_LINE_BYTES a line; the counts below.
 * Errors   -EINVAL and a sentence; what the configuration held is then of no use.
 * Threads  none of its own.
 */
#ifndef HW_CONFIG_H
#define HW_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/endpoint.h"
#include "base/frame.h"
#include "hw/error.h"

#define HW_CONFIG_LINE_BYTES    1024
#define HW_CONFIG_TEXT_BYTES    512
#define HW_CONFIG_ADDRESSES_MAX 4
#define HW_CONFIG_NODES_MAX     7
#define HW_CONFIG_GROUPS_MAX    8

enum hw_durability {
	HW_DURABILITY_DISK = 0,
	HW_DURABILITY_MEMORY = 1,
};

enum hw_profile {
	HW_PROFILE_AUTO = 0, /* as hw/topology finds the host */
	HW_PROFILE_SHARED = 1,
	HW_PROFILE_DEDICATED = 2,
};

enum hw_hugepages {
	HW_HUGEPAGES_AUTO = 0, /* where the host has reserved some */
	HW_HUGEPAGES_OFF = 1,
};

enum hw_seal {
	HW_SEAL_ON = 0,
	HW_SEAL_NONE = 1, /* in clear */
};

struct hw_config_node {
	uint32_t id;
	uint32_t number; /* where `numbered` */
	struct endpoint address;
};

struct hw_config_addresses {
	uint32_t count;
	struct endpoint address[HW_CONFIG_ADDRESSES_MAX];
};

struct hw_config_nodes {
	uint32_t count;
	bool numbered; /* each says its number; else it is what their ids' order makes it */
	struct hw_config_node node[HW_CONFIG_NODES_MAX];
};

/* Of groups; count 0: any. */
struct hw_config_uuids {
	uint32_t count;
	uint8_t uuid[HW_CONFIG_GROUPS_MAX][16];
};

/* Of nodes, by their ids. */
struct hw_config_ids {
	uint32_t count;
	uint32_t id[HW_CONFIG_NODES_MAX];
};

/* `given` is false where the file leaves it to the program. */
struct hw_config_mac {
	bool given;
	uint8_t byte[6];
};

struct hw_config_ip {
	bool given;
	uint8_t byte[ENDPOINT_ADDRESS_BYTES]; /* IPv4 in mapped form */
};

struct hw_config {
	/* [node] */
	uint32_t id;
	char name[HW_CONFIG_TEXT_BYTES];
	struct hw_config_addresses addresses;
	/* [appliance] */
	struct hw_config_nodes nodes;
	struct hw_config_ids spares; /* those of them that do not vote at first */
	/* The epoch, with its number, of a running appliance that this node is added to; empty:
	 * it begins one with the others. */
	char joins[HW_CONFIG_TEXT_BYTES];
	uint32_t durability;        /* enum hw_durability */
	uint8_t epoch[EPOCH_BYTES]; /* zeros: the one the log holds */
	uint32_t votes_after;       /* configuration that dropped the disk before; 0: none */
	uint32_t event_horizon;     /* rounds */
	/* [port] */
	char eal[HW_CONFIG_TEXT_BYTES];
	struct hw_config_mac mac;
	struct hw_config_ip gateway;
	uint32_t prefix_bits; /* of the link's addresses; beyond it goes to the gateway */
	uint32_t profile;     /* enum hw_profile */
	uint32_t mtu;         /* bytes */
	/* [log] */
	char directory[HW_CONFIG_TEXT_BYTES];
	uint32_t segment_bytes;
	uint64_t log_bytes_max;
	/* [memory] */
	uint32_t hugepages; /* enum hw_hugepages */
	uint64_t pool_bytes;
	/* [groups] */
	uint32_t groups_max;
	uint32_t members_max;       /* of one group */
	uint64_t index_hashes_max;  /* of one group */
	uint64_t payload_bytes_max; /* of one transaction; with durability = disk only */
	/* [keys] */
	uint32_t seal; /* enum hw_seal */
	char key_file[HW_CONFIG_TEXT_BYTES];
	/* [certificates]; empty: servers need listed keys. ca, chain and key go together. */
	char certificate_ca[HW_CONFIG_TEXT_BYTES];
	char certificate_crl[HW_CONFIG_TEXT_BYTES];
	char certificate_chain[HW_CONFIG_TEXT_BYTES];
	char certificate_key[HW_CONFIG_TEXT_BYTES];
	struct hw_config_uuids certificate_groups; /* that they open */
	/* [control] */
	char socket[HW_CONFIG_TEXT_BYTES];
};

/* "id/number@address:port", as in a list of nodes. */
bool hw_config_node(const char *text, struct hw_config_node *node);

/* `name` stands in front of the line number in the sentence. */
int hw_config_parse(struct hw_config *config, const char *name, const char *text,
		    struct hw_error *error);

/* Reads the file and parses it. */
int hw_config_load(struct hw_config *config, const char *path, struct hw_error *error);

#endif /* HW_CONFIG_H */
