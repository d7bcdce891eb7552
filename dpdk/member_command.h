/* dpdk/member_command.h - synodctl member; arguments behind that word. Exit code. */
#ifndef DPDK_MEMBER_COMMAND_H
#define DPDK_MEMBER_COMMAND_H

int member_command(int argc, char **argv);

#endif /* DPDK_MEMBER_COMMAND_H */
