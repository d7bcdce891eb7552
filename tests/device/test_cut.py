#!/usr/bin/env python3
"""A majority is lost for good while the node that is left fetches a large transaction from it, which was accepted.

test_cut.py SYNODD SYNODCTL MEMBER_LOAD

Where its write set is in what is lost, the order is cut there; else the transaction stays, and its content is gone.
"""
import sys
import time

from appliance import Appliance, check, wait_for
from load import Member, begin, errors, last_index, leader_of, run_for, settle, wait_online
from netns import Bridge

LARGE_KIB = 64 << 10
HASHES = 300000
COMMIT_S_MAX = 90
MEMBERS = 2


def commit_large(appliance, members, giver, survivor):
    """While the survivor is away; and small ones behind it. Answers its index."""
    appliance.kill(survivor)
    giver.start()
    check(giver.started(), 'a member with a large transaction joins')
    giver.ask('go')
    wait_for(lambda: giver.stats()['commit'] >= 1, f'{LARGE_KIB >> 10} MiB are committed', COMMIT_S_MAX)
    giver.ask('halt')
    run_for(members, 1)
    for member in members + [giver]:
        member.kill()
    return max(line.index for line in giver.lines() if line.letter == 'A')


def lose_the_others(appliance, survivor, others, index, applies):
    """As soon as the survivor has come to it, and before it has the bytes."""
    appliance.start(survivor)

    def fetches():
        now = appliance.status(survivor)
        return now and now['node']['payloads_open'] > 0 and last_index(now) >= index - (not applies)
    wait_for(fetches, 'the survivor has come to the large one, and fetches')
    for number in others:
        appliance.kill(number)
    now = appliance.status(survivor)
    check(now['node']['payloads_open'] > 0, 'the others are lost before it has the bytes')


def force(appliance, survivor):
    wait_for(lambda: appliance.leader(survivor) is None and
             [n['connected'] for n in appliance.status(survivor)['nodes']] == [n == survivor for n in range(3)],
             'it is alone')
    done = appliance.tool(survivor, 'node', 'force', survivor, '--yes')
    print(done.stdout, done.stderr, flush=True)
    check(done.returncode == 0, 'forced')
    return done.stdout, appliance.status(survivor)['groups'][-1]


def test_cut(appliance, survivor, make):
    said, group = force(appliance, survivor)
    check(group['cut_index'] > 0 and f'is cut at entry {group["cut_index"]},' in said, 'it says where the order is cut')
    check(group['gone'] == [], 'and nothing is gone')
    check('It is void, and so is what they had' in appliance.said(survivor), 'synodd says so, too')
    fresh = make(4)
    fresh.start()
    check(fresh.started(), 'a server joins that has none of it')
    wait_online([fresh])
    stats = run_for([fresh], 1)
    check(not errors(stats[0]) and stats[0]['commit'] > 20, 'and commits')
    settle([fresh])


def test_gone(appliance, survivor, giver):
    said, group = force(appliance, survivor)
    check(group['cut_index'] == 0 and ' cut ' not in said, 'nothing is cut')
    check(len(group['gone']) == 1 and f'has accepted {group["gone"][0]}, whose content' in said, 'it names what is gone')
    giver.start(large=0, think_us=8000)
    check(giver.started(), 'the server that has committed it joins')
    wait_online([giver])
    stats = run_for([giver], 1)
    check(not errors(stats[0]) and stats[0]['commit'] > 20, 'and commits')


def scene(arguments, hashes):
    synodd, synodctl, program = arguments
    with Bridge(3 + MEMBERS + 2) as net, Appliance(
            net, synodd, synodctl, log_bytes_max='2 GiB', index_hashes_max=1 << 20) as appliance:
        for i, space in enumerate(net.spaces[3:]):
            space.give_address(f'10.77.0.{11 + i}/24')

        def make(number, **options):
            return Member(net.spaces[2 + number], program, appliance, number,
                          **{'clients': 4, 'think_us': 8000, **options})
        members = [make(1 + i) for i in range(MEMBERS)]
        giver = make(3, clients=1, large=1, large_kib=LARGE_KIB, large_hashes=hashes, think_us=60000000)
        begin(appliance, members)
        survivor = (leader_of(appliance) + 1) % 3
        others = [n for n in range(3) if n != survivor]
        index = commit_large(appliance, members, giver, survivor)
        lose_the_others(appliance, survivor, others, index, applies=hashes == 0)
        if hashes > 0:
            test_cut(appliance, survivor, make)
        else:
            test_gone(appliance, survivor, giver)


def main():
    began = time.monotonic()
    scene(sys.argv[1:4], HASHES)
    scene(sys.argv[1:4], 0)
    print(f'   {time.monotonic() - began:.0f} s', flush=True)


main()
