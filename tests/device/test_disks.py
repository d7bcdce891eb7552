#!/usr/bin/env python3
"""Disks that forget, on real files: rows of docs/disks.md.

test_disks.py SYNODD SYNODCTL MEMBER_LOAD

A stopped node's log rots in the middle: the node starts, says so, gets what it lacks from the
others, and is a voter like any other. One whose directory is an older copy, or made anew, is
refused by the others, until it is started for repair. When two of three rot at once, none of
them votes.
"""
import os
import shutil
import sys
import time

from appliance import Appliance, check, wait_for
from load import Member, begin, errors, leader_of, run_for, settle, wait_caught_up
from log_file import batches
from netns import Bridge


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


def refused(appliance, members, number):
    """Node `number` has ended for what the others remember of its disk; they go on."""
    wait_for(lambda: appliance.process[number].poll() is not None, 'it is told so, and ends')
    said = appliance.said(number)
    check(appliance.process[number].returncode == 1 and
          "has seen more of this node's log" in said and '--repair' in said,
          'it says why, and what to do')
    rest = [n for n in range(3) if n != number]
    wait_for(lambda: any(f'node {number} came with less of its log' in appliance.said(n)
                         for n in rest), 'so do the others')
    wait_for(lambda: leader_of(appliance, rest) is not None, 'the others have a leader')
    check(any(appliance.status(n)['nodes'][number]['outdated'] for n in rest), 'status shows it')
    without_errors(members, 1)


def repaired(appliance, members, number, *options):
    appliance.start(number, '--repair', *options)
    wait_caught_up(appliance, number, 'started for repair, it votes and has everything')
    rest = [n for n in range(3) if n != number]
    wait_for(lambda: not any(appliance.status(n)['nodes'][number]['outdated'] for n in rest),
             'nobody refuses it')
    without_errors(members, 1)
    check(appliance.stop(number) == 0, 'it stops in order')
    appliance.start(number)
    wait_caught_up(appliance, number, 'and starts again as any other')


def test_restored(appliance, members):
    """The directory is put back as it was before the node ran once more."""
    log = f'{appliance.folder}/log1'
    check(appliance.stop(1) == 0, 'node 1 stops in order')
    shutil.copytree(log, f'{log}.copy')
    appliance.start(1)
    wait_caught_up(appliance, 1, 'it runs on')
    without_errors(members, 1)
    check(appliance.stop(1) == 0, 'it stops')
    shutil.rmtree(log)
    os.rename(f'{log}.copy', log)
    appliance.start(1)
    refused(appliance, members, 1)
    repaired(appliance, members, 1)
    settle(members)


def test_gone(appliance, members):
    """The directory is lost, and made anew."""
    appliance.kill(1)
    shutil.rmtree(f'{appliance.folder}/log1')
    appliance.start(1)
    wait_for(lambda: appliance.process[1].poll() == 1, 'without a log it does not start')
    appliance.start(1, '--format')
    refused(appliance, members, 1)
    shutil.rmtree(f'{appliance.folder}/log1')
    repaired(appliance, members, 1, '--format')
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
        members = []
        for number in (1, 2):
            net.spaces[2 + number].give_address(f'10.77.0.{10 + number}/24')
            members.append(Member(net.spaces[2 + number], load, appliance, number,
                                  clients=4, hot_rows=4, hot_percent=25, think_us=4000,
                                  payload=1000, large=200, large_kib=256))
        begin(appliance, members)
        without_errors(members, 2)
        test_rot(appliance, members)
        test_restored(appliance, members)
        test_gone(appliance, members)
        for member in members:
            member.ask('stop')
        test_rot_of_a_majority(appliance)


main()
