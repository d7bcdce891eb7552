/* dpdk/node_command.h - `synodctl node`: who votes. */
#ifndef DPDK_NODE_COMMAND_H
#define DPDK_NODE_COMMAND_H

/* `argv[0]` is "node". The exit code of synodctl. */
int node_command(int argc, char **argv);

#endif /* DPDK_NODE_COMMAND_H */
