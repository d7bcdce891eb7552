#!/usr/bin/env python3
"""Large transactions among small ones, on three nodes with real logs: payloads and write sets are
spread, certified and fed in pieces, and survive the leader's death in the middle.

test_large.py SYNODD SYNODCTL MEMBER_LOAD
"""
import sys
import time

from appliance import Appliance, check, wait_for
from load import (Member, ask_all, begin, errors, leader_of, run_for, settle, wait_caught_up,
                  wait_enough, wait_online)
from netns import Bridge

MEMBERS = 3
LARGE_KIB = 1024
LARGE_MIN = 3
LARGE_HASHES = 10000
HUGE_KIB = 16384
HUGE_HASHES = 300000
HUGE_WITHIN_S = 90


def test_among_small(members):
    stats = run_for(members, 6, lambda _: wait_enough(members, 'large', LARGE_MIN))
    check(all(not errors(s) for s in stats), f'no client saw an error {[errors(s) for s in stats]}')
    print(f'   {sum(s["large"] for s in stats)} of the transactions were of {LARGE_KIB} KiB')
    settle(members)


def test_leader_killed(appliance, members):
    leader = leader_of(appliance)

    def kill(after_s):
        time.sleep(after_s)
        appliance.kill(leader)
        wait_enough(members, 'large', LARGE_MIN)
    stats = run_for(members, 4, kill)
    check(all(not errors(s) for s in stats), 'the leader was killed: no client saw an error')
    appliance.start(leader)
    settle(members)
    wait_caught_up(appliance, leader, 'the killed node is back and has caught up')


def test_outage(appliance, members):
    """All nodes are killed; what was accepted is fed from logs that were replayed."""
    def outage(after_s):
        ask_all(members, 'kill 10')
        ask_all(members, 'fail 10')
        time.sleep(after_s)
        for number in range(3):
            appliance.kill(number)
        for number in range(3):
            appliance.start(number)
    stats = run_for(members, 6, outage)
    ask_all(members, 'kill 0')
    ask_all(members, 'fail 0')
    wrong = [{k: v for k, v in errors(s).items() if k != 'killed'} for s in stats]
    check(not any(wrong), f'all nodes were killed: no client but killed ones saw an error {wrong}')
    settle(members)


def test_fresh(members, fresh):
    fresh.start(clients=0)
    check(fresh.started(), 'a fresh member joins')
    wait_for(lambda: fresh.order() == members[0].order(), 'it is fed everything, in order')
    check(fresh.ask('stop') == 'stopped left', 'it leaves in order')


def test_huge(members, giver):
    """One that takes a while, and the others go on."""
    giver.start(clients=1, large=1, large_kib=HUGE_KIB, large_hashes=HUGE_HASHES,
                think_us=5000000)
    check(giver.started(), 'a member with one huge transaction joins')
    wait_online(members + [giver])
    ask_all(members, 'reset')
    ask_all(members + [giver], 'go')
    wait_for(lambda: giver.stats()['commit'] >= 1,
             f'{HUGE_KIB >> 10} MiB with {HUGE_HASHES} keys are committed', HUGE_WITHIN_S)
    others = [member.stats() for member in members]
    ask_all(members + [giver], 'halt')
    for line in others:
        print(f'   meanwhile: {line["commit"]} commits, p50 {line["p50_us"]} us, '
              f'p99 {line["p99_us"]} us, max {line["max_us"]} us', flush=True)
    check(all(s['commit'] > 10 and not errors(s) for s in others), 'the others went on')
    settle(members + [giver])


def main():
    synodd, synodctl, program = sys.argv[1:4]
    with Bridge(3 + MEMBERS + 2) as net, Appliance(
            net, synodd, synodctl, log_bytes_max='2 GiB', index_hashes_max=1 << 20) as appliance:
        for i, space in enumerate(net.spaces[3:]):
            space.give_address(f'10.77.0.{11 + i}/24')

        def make(number, **options):
            return Member(net.spaces[2 + number], program, appliance, number,
                          **{'clients': 4, 'hot_rows': 4, 'hot_percent': 25, 'think_us': 20000,
                             'large': 50, 'large_kib': LARGE_KIB,
                             'large_hashes': LARGE_HASHES, **options})
        members = [make(1 + i) for i in range(MEMBERS)]
        begin(appliance, members)
        test_among_small(members)
        test_leader_killed(appliance, members)
        test_outage(appliance, members)
        test_fresh(members, make(MEMBERS + 1))
        test_huge(members, make(MEMBERS + 2))


main()
