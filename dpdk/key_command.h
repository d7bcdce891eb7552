/*
 * dpdk/key_command.h - synodctl key new|show|add|remove.
 *
 * Works on a key file (hw/keys.h) and talks to nobody. A file is replaced in one
 * piece, readable by its owner alone, and only by one that synodd can read; those
 * who change files of one folder at once wait for each other.
 *
 * Errors   0; 1 with a sentence on stderr; 2 with the usage.
 */
#ifndef DPDK_KEY_COMMAND_H
#define DPDK_KEY_COMMAND_H

/* argv[0] is what stands behind "key". */
int key_command(int argc, char **argv);

#endif /* DPDK_KEY_COMMAND_H */
