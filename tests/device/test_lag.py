#!/usr/bin/env python3
"""A server that commits nothing any more: logs are not trimmed past it, commits wait, it is expelled, and they go on.

test_lag.py SYNODD SYNODCTL MEMBER_LOAD
"""
import os
import sys
import time

from appliance import Appliance, check, wait_for
from load import Member, ask_all, begin, errors, leader_of, settle
from netns import Bridge

LOG_BYTES = 12 << 20
NODES = range(3)
EXPELLED_S = 10  # dpdk/plan.c


def first_lsns(appliance):
    return [appliance.status(number)['log']['first_lsn'] for number in NODES]


def test_commits_wait(appliance, leader, held, uuid):
    check(held.ask('hold') == 'held', 'a server commits nothing any more')

    def shown():
        images = appliance.status(leader)['images']
        return images['submissions_wait'] and (images['round'], images['member']) == ('members', uuid)
    wait_for(shown, 'commits wait for room, as its status says, and for whom')
    text = appliance.ask(leader).stdout
    check('SUBMISSIONS WAIT' in text and f'WAIT FOR MEMBER {uuid}' in text, 'and tells people')


def test_expelled(appliance, leader, held, members):
    began = time.monotonic()
    wait_for(lambda: held.stats()['expelled'], 'it is expelled')
    took = time.monotonic() - began
    check(took > EXPELLED_S / 2, f'when it had made them wait for long: {took:.1f} s')
    check(not any(errors(member.stats()) for member in members), 'and no client saw an error')
    ask_all(members, 'reset')
    before = first_lsns(appliance)
    wait_for(lambda: all(now > then + LOG_BYTES for now, then in zip(first_lsns(appliance), before)),
             'load goes on, and each log drops what it can hold')
    check(appliance.status(leader)['groups'][-1]['member_count'] == len(members), 'the others are the group')
    stats = [member.stats() for member in members]
    check(all(s['commit'] > 100 and not errors(s) for s in stats), 'and no client saw an error')


def main():
    synodd, synodctl, load = sys.argv[1:]
    began = time.monotonic()
    with Bridge(6) as net, Appliance(net, synodd, synodctl, within=os.getcwd(), index_hashes_max=16384,
                                     segment_bytes='2 MiB', log_bytes_max=LOG_BYTES) as appliance:
        members = []
        for number in (1, 2, 3):
            net.spaces[2 + number].give_address(f'10.77.0.{10 + number}/24')
            members.append(Member(net.spaces[2 + number], load, appliance, number, clients=16 if number < 3 else 0,
                                  hot_rows=4, hot_percent=25, think_us=0, commit_us=0, payload=4000, hashes=2))
        begin(appliance, members)
        held = members.pop()
        leader = leader_of(appliance)
        ask_all(members, 'go')
        test_commits_wait(appliance, leader, held, '03000000-0000-0000-0000-000000000000')
        test_expelled(appliance, leader, held, members)
        ask_all(members, 'halt')
        settle(members)
    print(f'   {time.monotonic() - began:.0f} s', flush=True)


main()
