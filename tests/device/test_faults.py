#!/usr/bin/env python3
"""Disks that refuse or delay, below a synodd on real files: rows of docs/disks.md.

test_faults.py SYNODD_FAULTS SYNODCTL MEMBER_LOAD      SYNODD_FAULTS: linked with disk_faults.c

A write that fails on the leader's node; a block that cannot be read when a node starts; a disk
that is slow on the leader's node, and on another one.
"""
import os
import sys

from appliance import Appliance, check, wait_for
from load import Member, begin, errors, last_index, leader_of, run_for, settle, wait_caught_up
from log_file import batches
from netns import Bridge

SLOW_MS = 60


class Fault:
    """What a node's disk does meanwhile."""

    def __init__(self, appliance, number, line):
        self.path = f'{appliance.folder}/log{number}.faults'
        self.line = line

    def __enter__(self):
        with open(self.path + '.new', 'w', encoding='ascii') as file:
            file.write(self.line + '\n')
        os.rename(self.path + '.new', self.path)

    def __exit__(self, *_):
        os.remove(self.path)


def without_errors(members, seconds, during=None):
    stats = run_for(members, seconds, during)
    check(all(not errors(s) for s in stats), 'no client saw an error')
    return stats


def test_write_error(appliance, members):
    leader = leader_of(appliance)
    rest = [n for n in range(3) if n != leader]

    def fail(_):
        with Fault(appliance, leader, 'write_error'):
            wait_for(lambda: appliance.status(leader)['log']['write_error'] is not None,
                     f'node {leader} says that a write failed')
            wait_for(lambda: leader_of(appliance, rest) is not None, 'another node leads')
    without_errors(members, 2, fail)
    check('the log failed and takes no more: Input/output error' in appliance.said(leader),
          'it says why')
    node = appliance.status(leader)['node']
    check(not node['voting'], 'it does not vote any more, though the disk writes again')
    check(appliance.stop(leader) == 1, 'it does not claim that it stopped in order')
    appliance.start(leader)
    wait_caught_up(appliance, leader, 'started again, it votes and has everything')
    without_errors(members, 1)


def test_unreadable(appliance, members):
    number = next(n for n in range(3) if n != leader_of(appliance))
    check(appliance.stop(number) == 0, f'node {number} stops in order')
    found = batches(f'{appliance.folder}/log{number}')
    _, path, at = found[len(found) // 2]
    same = [one for one in found if one[1] == path]
    print(f'   byte {at} of a segment with {len(same)} batches cannot be read', flush=True)
    with Fault(appliance, number, f'unreadable {at}'):
        appliance.start(number)
        wait_caught_up(appliance, number, 'it votes and has everything')
        check('the disk lost records that it had acknowledged' in appliance.said(number),
              'and said what it lacked')
        check(appliance.status(number)['log']['lost_bytes'] > 0, 'status counts it')
        without_errors(members, 1)
    check(appliance.stop(number) == 0, 'it stops')
    appliance.start(number)
    wait_caught_up(appliance, number, 'with a disk that can be read it starts')


def test_slow(appliance, members, number, what):
    with Fault(appliance, number, f'slow_ms {SLOW_MS}'):
        stats = without_errors(members, 3)
    middle = max(s['p50_us'] for s in stats)
    check(middle < SLOW_MS * 1000, f'{what}: half of the commits took less than one of its '
                                   f'writes: {middle / 1000:.1f} ms')
    wait_for(lambda: len({last_index(appliance.status(n)) for n in range(3)}) == 1,
             'soon every node has everything')


def main():
    synodd, synodctl, load = sys.argv[1:]
    with Bridge(5) as net, Appliance(net, synodd, synodctl, within=os.getcwd()) as appliance:
        members = []
        for number in (1, 2):
            net.spaces[2 + number].give_address(f'10.77.0.{10 + number}/24')
            members.append(Member(net.spaces[2 + number], load, appliance, number, clients=4,
                                  hot_rows=4, hot_percent=25, think_us=4000, payload=1000))
        begin(appliance, members)
        without_errors(members, 1)
        test_slow(appliance, members, next(n for n in range(3) if n != leader_of(appliance)),
                  'a slow disk on a node that follows')
        test_slow(appliance, members, leader_of(appliance), 'a slow disk on the one that leads')
        test_write_error(appliance, members)
        test_unreadable(appliance, members)
        settle(members)


main()
