/* dpdk/group_command.h - `synodctl group`: who leads in a group. */
#ifndef DPDK_GROUP_COMMAND_H
#define DPDK_GROUP_COMMAND_H

/* `argv[0]` is "group". The exit code of synodctl. */
int group_command(int argc, char **argv);

#endif /* DPDK_GROUP_COMMAND_H */
