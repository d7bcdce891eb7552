#!/usr/bin/env python3
"""Logs of real nodes are trimmed: under load they go round, and nothing stops or is lost.

test_trim.py SYNODD SYNODCTL MEMBER_LOAD

Logs so small that they are written over several times. Nodes are killed and start over what is
left, one and all of them; one is away until the others have dropped what it lacks, and one comes
back with an empty disk: both take an image. A member that lacks what was dropped is refused.
"""
import os
import shutil
import sys
import time

from appliance import Appliance, check, wait_for
from load import Member, begin, errors, leader_of, run_for, settle, wait_caught_up
from netns import Bridge

LOG_BYTES = 12 << 20
NODES = range(3)
REFUSED_GAP = 6  # node/member.h


def log_of(appliance, number):
    return appliance.status(number)['log']


def load_until(appliance, members, condition, what):
    """Load until the logs are there; when they do not come there, each node says what it waits for."""
    def during(_):
        try:
            wait_for(condition, what)
        except AssertionError:
            for number in NODES:
                print(appliance.ask(number).stdout, flush=True)
            raise
    stats = run_for(members, 0.2, during)
    check(not any(errors(s) for s in stats), 'no client saw an error')


def all_dropped(appliance, lsn, nodes=NODES):
    return all(log_of(appliance, n)['first_lsn'] > lsn for n in nodes)


def check_rooms(appliance):
    for number in NODES:
        log = log_of(appliance, number)
        print(f'   node {number}: {log["live_bytes"] >> 10} of {log["bytes_max"] >> 10} KiB, from '
              f'LSN {log["first_lsn"]} to {log["next_lsn"]}, {log["stalled"]} stalls, '
              f'{log["waited"]} waited, {log["unreadable"]} unreadable', flush=True)
        check(log['stalled'] == 0 and log['waited'] == 0, f'node {number}: nothing had to wait for room')


def test_wraps(appliance, members):
    load_until(appliance, members, lambda: all_dropped(appliance, 2 * LOG_BYTES),
               'each log has dropped twice what it can hold')
    check_rooms(appliance)


def test_killed(appliance, members, number, what):
    rest = [n for n in NODES if n != number]
    appliance.kill(number)
    load_until(appliance, members, lambda: leader_of(appliance, rest) is not None, 'the others go on')
    appliance.start(number)
    wait_caught_up(appliance, number, f'{what}, killed and started over its trimmed log, has everything')
    log = log_of(appliance, number)
    check(log['first_lsn'] > 0 and log['lost_bytes'] == 0, 'and lacked nothing of its own')


def test_all_killed(appliance, members):
    for number in NODES:
        appliance.kill(number)
    for number in NODES:
        appliance.start(number)
    for number in NODES:
        wait_caught_up(appliance, number, f'node {number} is back, as all were killed')
    load_until(appliance, members, lambda: True, 'commits go on')


def follower(appliance):
    return next(n for n in NODES if n != leader_of(appliance))


def test_away(appliance, members, empty):
    """Neither has what it would have to learn entry by entry, and nobody else has, in memory neither."""
    number = follower(appliance)
    rest = [n for n in NODES if n != number]
    appliance.kill(number)
    ends = [log_of(appliance, n)['next_lsn'] for n in rest]
    load_until(appliance, members, lambda: all(log_of(appliance, n)['first_lsn'] > end + LOG_BYTES
                                               for n, end in zip(rest, ends)),
               f'the others have dropped all that node {number} lacks')
    if empty:
        shutil.rmtree(f'{appliance.folder}/log{number}')
        appliance.start(number, '--format', '--repair')
    else:
        appliance.start(number)
    wait_caught_up(appliance, number, f'{"with an empty disk" if empty else "as it was"}, it has everything')
    check(appliance.status(number)['images']['taken'] >= 1, 'by an image of another node')


def test_gap(member):
    """A server that lacks what was dropped: it has to be cloned first."""
    member.start(bootstrap=0)
    check(not member.started() and member.refusal == REFUSED_GAP,
          'a member that has nothing is refused, since what it lacks is older than the log')


def main():
    synodd, synodctl, load = sys.argv[1:]
    began = time.monotonic()
    with Bridge(6) as net, Appliance(net, synodd, synodctl, within=os.getcwd(), index_hashes_max=16384,
                                     segment_bytes='2 MiB', log_bytes_max=LOG_BYTES) as appliance:
        members = []
        for number in (1, 2, 3):
            net.spaces[2 + number].give_address(f'10.77.0.{10 + number}/24')
            members.append(Member(net.spaces[2 + number], load, appliance, number, clients=16,
                                  hot_rows=4, hot_percent=25, think_us=0, commit_us=0, payload=4000, hashes=2))
        stranger = members.pop()
        begin(appliance, members)
        test_wraps(appliance, members)
        test_killed(appliance, members, follower(appliance), 'one that follows')
        test_killed(appliance, members, leader_of(appliance), 'the one that leads')
        test_all_killed(appliance, members)
        test_away(appliance, members, empty=False)
        test_away(appliance, members, empty=True)
        test_gap(stranger)
        load_until(appliance, members, lambda: True, 'commits go on')
        check_rooms(appliance)
        settle(members)
    print(f'   {time.monotonic() - began:.0f} s', flush=True)


main()
