#!/usr/bin/env python3
"""A member that lacks more than the nodes have in memory gets it from their logs.

test_away.py SYNODD SYNODCTL MEMBER_LOAD

One member commits more transactions than a node remembers results of (65,536 entries), large ones
among them; the nodes lose their memory; then a member joins that has nothing. The logs hold all of it, though
each transaction may take a block of its own (4 KiB) and a quarter is kept for certain.
"""
import os
import sys

from appliance import Appliance, check, wait_for
from load import Member, leader_of, settle, wait_online
from netns import Bridge

COUNT = 67000
CLIENTS = 64


def ready(appliance):
    said = [appliance.status(number) for number in range(3)]
    return all(said) and all(one['node']['voting'] for one in said) and \
        leader_of(appliance) is not None


def main():
    synodd, synodctl, load = sys.argv[1:]
    with Bridge(5) as net, Appliance(net, synodd, synodctl, within=os.getcwd(),
                                     log_bytes_max='2 GiB') as appliance:
        for number in range(3):
            appliance.start(number, '--format')
        wait_for(lambda: ready(appliance), 'the nodes agree')
        members = []
        for number in (1, 2):
            net.spaces[2 + number].give_address(f'10.77.0.{10 + number}/24')
            members.append(Member(net.spaces[2 + number], load, appliance, number,
                                  clients=CLIENTS, hot_rows=0, commit_us=0, think_us=0,
                                  large=1000, large_kib=256))
        first, second = members
        first.start(bootstrap=1)
        check(first.started(), 'a member has begun the group')
        wait_online([first])
        first.ask('go')
        wait_for(lambda: first.stats()['commit'] >= COUNT, f'{COUNT} transactions', 120)
        first.ask('halt')
        for number in range(3):
            appliance.kill(number)
        for number in range(3):
            appliance.start(number)
        wait_for(lambda: ready(appliance), 'the nodes are back')
        second.start(bootstrap=0)
        check(second.started(), 'a member joins that has nothing')
        wait_for(lambda: second.stats()['applied'] >= COUNT, 'it was given everything', 120)
        settle(members)


main()
