#!/usr/bin/env python3
"""Disks that forget, on real files: rows of docs/disks.md.

test_disks.py SYNODD SYNODCTL MEMBER_LOAD

A stopped node's log rots in the middle: the node starts, says so, gets what it lacks from the
others, and is a voter like any other. When two of three rot at once, none of them votes.
"""
import glob
import os
import struct
import sys
import time

from appliance import Appliance, check, wait_for
from load import Member, errors, leader_of, run_for, settle, wait_caught_up, wait_online
from netns import Bridge

BLOCK = 4096
MAGIC = 0x424e5953
HEADER = struct.Struct('<QIHHIIQQQ')  # checksum magic version flags bytes count lsn generation ordinal


def batches(directory):
    """(ordinal, file, offset) of what looks like a batch with records, in the log's order."""
    found = []
    for path in glob.glob(f'{directory}/segment-*'):
        with open(path, 'rb') as file:
            data = file.read()
        for at in range(BLOCK, len(data), BLOCK):
            _, magic, _, _, size, _, _, _, ordinal = HEADER.unpack_from(data, at)
            if magic == MAGIC and size > 0:
                found.append((ordinal, path, at))
    return sorted(found)


def rot(appliance, number, share):
    """Spoils a byte of the batch that lies so far into the log."""
    all_of_it = batches(f'{appliance.folder}/log{number}')
    ordinal, path, at = all_of_it[int(len(all_of_it) * share)]
    with open(path, 'r+b') as file:
        file.seek(at + 100)
        byte = file.read(1)
        file.seek(at + 100)
        file.write(bytes([byte[0] ^ 0x10]))
        file.flush()
        os.fsync(file.fileno())
    print(f'   node {number}: batch {ordinal} of {len(all_of_it)} is rotten', flush=True)


def without_errors(members, seconds, during=None):
    stats = run_for(members, seconds, during)
    check(all(not errors(s) for s in stats), 'no client saw an error')


def test_rot(appliance, members):
    check(appliance.stop(2) == 0, 'node 2 stops in order')
    rot(appliance, 2, 0.5)
    without_errors(members, 1)
    appliance.start(2)
    wait_for(lambda: 'the disk lost records that it had acknowledged' in appliance.said(2),
             'it says that its disk lost records')
    wait_for(lambda: 'what the disk had lost is here again' in appliance.said(2),
             'and that they are here again')
    wait_caught_up(appliance, 2, 'it votes and has everything')
    log = appliance.status(2)['log']
    check(log['lost_bytes'] > 0, f'status counts {log["lost_bytes"]} bytes')
    check('THE DISK LOST RECORDS' in appliance.ask(2).stdout, 'and tells people')

    def kill(_):
        appliance.kill(0)
    without_errors(members, 2, kill)  # from here on nothing is decided without node 2
    appliance.kill(2)
    appliance.start(2)
    wait_for(lambda: (appliance.status(2) or {'node': {}})['node'].get('process'), 'it starts again')
    check(not appliance.status(2)['node']['repairing'], 'the hole is no doubt any more')
    appliance.start(0)
    for number in (0, 2):
        wait_caught_up(appliance, number, f'node {number} is back')
    without_errors(members, 1)
    settle(members)


def test_rot_of_a_majority(appliance):
    """Both may have forgotten the same: they must not assure each other that it never was."""
    for number in range(3):
        check(appliance.stop(number) == 0, f'node {number} stops in order')
    for number in (1, 2):
        rot(appliance, number, 0.6)
    for number in range(3):
        appliance.start(number)
    wait_for(lambda: all(appliance.status(n) and appliance.status(n)['node']['repairing']
                         for n in (1, 2)), 'two nodes have a hole in their logs')
    time.sleep(4)
    for number in (1, 2):
        node = appliance.status(number)['node']
        check(node['repairing'] and not node['voting'], f'node {number} does not vote')
    check(leader_of(appliance) is None, 'so nobody leads')


def main():
    synodd, synodctl, load = sys.argv[1:]
    with Bridge(5) as net, Appliance(net, synodd, synodctl, within=os.getcwd()) as appliance:
        for number in range(3):
            appliance.start(number, '--format')
        wait_for(lambda: leader_of(appliance) is not None, 'the nodes have a leader')
        members = []
        for number in (1, 2):
            net.spaces[2 + number].give_address(f'10.77.0.{10 + number}/24')
            members.append(Member(net.spaces[2 + number], load, appliance, number,
                                  clients=4, hot_rows=4, hot_percent=25, think_us=4000,
                                  payload=1000, large=200, large_kib=256))
        for number, member in enumerate(members):
            member.start(bootstrap=int(number == 0))
            check(member.started(), f'member {number + 1} joined')
        wait_online(members)
        without_errors(members, 2)
        test_rot(appliance, members)
        for member in members:
            member.ask('stop')
        test_rot_of_a_majority(appliance)


main()
