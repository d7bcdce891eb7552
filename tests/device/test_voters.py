#!/usr/bin/env python3
"""Who votes changes under load: a spare replaces a node, the leader is removed, and both go for good.

test_voters.py SYNODD SYNODCTL MEMBER_LOAD
"""
import shutil
import sys
import time

from appliance import Appliance, check, wait_for
from load import Member, begin, errors, leader_of, run_for, settle
from netns import Bridge

NODES, MEMBERS = 4, 2
SPARE = 3
PAUSE_MAX_US = 1000000


def voters(appliance, number, group=-1):
    status = appliance.status(number)
    return status['groups'][group]['configuration']['voters'] if status else None


def refused(appliance, number, words, sentence, code=1):
    done = appliance.tool(number, 'node', *words)
    check(done.returncode == code and sentence in done.stderr,
          f'node {" ".join(map(str, words))}: {done.stderr.splitlines()[0]}')


def test_refused(appliance):
    refused(appliance, 0, ['add', 9], 'usage:', code=2)
    refused(appliance, 0, ['add', 5], 'does not exist here')
    refused(appliance, 0, ['add', 1], 'votes already')
    refused(appliance, 0, ['remove', SPARE], 'does not vote')
    refused(appliance, 0, ['replace', 1, 1], 'usage:', code=2)
    check('3  10.77.0.4:4000           connected, does not vote' in appliance.ask(0).stdout,
          'status says who does not vote')


def change(appliance, members, at, words):
    """Under load; no client may notice."""
    answer = []

    def ask(after_s):
        time.sleep(after_s)
        begin = time.monotonic()
        answer.append(appliance.tool(at, 'node', *words))
        answer.append(time.monotonic() - begin)
    stats = run_for(members, 4, ask)
    done, took_s = answer
    print(done.stdout, done.stderr, flush=True)
    check(done.returncode == 0, f'node {" ".join(map(str, words))}, asked at node {at}: {took_s:.2f} s')
    check(all(not errors(s) and s['commit'] > 50 for s in stats), 'no client saw an error')
    longest = max(s['pause_us'] for s in stats)
    check(longest <= PAUSE_MAX_US, f'the longest pause was {longest / 1000:.0f} ms')
    return done.stdout


def goes(appliance, members, number, nodes):
    """For good, with SIGKILL, under load; the others go on."""
    def kill(after_s):
        time.sleep(after_s)
        appliance.kill(number)
    stats = run_for(members, 3, kill)
    check(all(not errors(s) for s in stats), f'node {number} went: no client saw an error')
    settle(members)
    wait_for(lambda: leader_of(appliance, nodes) is not None, f'nodes {nodes} agree')


def test_replaced(appliance, members):
    leader = leader_of(appliance)
    old = (leader + 1) % 3
    said = change(appliance, members, SPARE, ['replace', old, SPARE])
    check(f'node {old} may be stopped for good' in said, 'the tool says when the old node may go')
    wait_for(lambda: appliance.status(old)['node']['may_leave'], 'and so does the node')
    rest = sorted({0, 1, 2, SPARE} - {old})
    check(all(voters(appliance, n, g) == rest for n in range(NODES) for g in (0, 1)),
          f'every node knows that {rest} vote, in both groups')
    goes(appliance, members, old, rest)
    return old, said


def test_new_disk(appliance, members, old, said):
    """The old one comes back with a new disk, as a new voter."""
    rest = sorted({0, 1, 2, SPARE} - {old})
    shutil.rmtree(f'{appliance.folder}/log{old}')
    appliance.start(old, '--format')
    check(appliance.process[old].wait(timeout=20) != 0 and 'votes_after' in appliance.said(old),
          'a new disk whose file does not say which change removed its node is refused, and told why')
    shutil.rmtree(f'{appliance.folder}/log{old}')
    appliance.dropped(old, said)
    appliance.start(old, '--format')
    wait_for(lambda: all(appliance.status(n)['nodes'][old]['connected'] for n in rest),
             'nobody refuses the new disk of a node that was replaced')
    change(appliance, members, rest[0], ['add', old])
    check(all(voters(appliance, n, g) == [0, 1, 2, 3] for n in range(NODES) for g in (0, 1)),
          'it votes again')
    change(appliance, members, rest[0], ['remove', old])
    goes(appliance, members, old, rest)


def test_new_one_votes(appliance, members, old):
    """Of the three that vote now two are there, and one of them is the spare that was."""
    leader = leader_of(appliance, sorted({0, 1, 2, SPARE} - {old}))
    victim = next(n for n in (0, 1, 2) if n not in (old, leader))
    rest = sorted({0, 1, 2, SPARE} - {old, victim})
    goes(appliance, members, victim, rest)
    refused(appliance, rest[0], ['add', old], 'is not connected')
    appliance.start(victim)
    wait_for(lambda: leader_of(appliance, rest + [victim]) is not None, 'it is back')


def test_leader_removed(appliance, members, old):
    nodes = sorted({0, 1, 2, SPARE} - {old})
    leader = leader_of(appliance, nodes)
    rest = [n for n in nodes if n != leader]
    said = change(appliance, members, rest[0], ['remove', leader])
    check('an even number survives no more failures' in said, 'two are told to be no better than one')
    wait_for(lambda: leader_of(appliance, rest) is not None, 'another one leads')
    goes(appliance, members, leader, rest)
    return rest


def test_remembered(appliance, members, rest):
    for number in rest:
        appliance.kill(number)
    for number in rest:
        appliance.start(number)
    wait_for(lambda: leader_of(appliance, rest) is not None, 'after a restart of both they agree')
    check(all(voters(appliance, n, g) == rest for n in rest for g in (0, 1)), 'and know who votes')
    stats = run_for(members, 2)
    check(all(s['commit'] > 50 for s in stats), 'members commit')
    settle(members)


def main():
    synodd, synodctl, program = sys.argv[1:4]
    with Bridge(NODES + MEMBERS) as net, Appliance(
            net, synodd, synodctl, nodes=NODES, spares=SPARE + 1, log_bytes_max='256 MiB') as appliance:
        for i, space in enumerate(net.spaces[NODES:]):
            space.give_address(f'10.77.0.{11 + i}/24')
        members = [Member(net.spaces[NODES + i], program, appliance, 1 + i, clients=6, hot_rows=4,
                          hot_percent=25, think_us=15000) for i in range(MEMBERS)]
        begin(appliance, members)
        wait_for(lambda: all(n['connected'] for n in appliance.status(0)['nodes']), 'all are connected')
        test_refused(appliance)
        old, said = test_replaced(appliance, members)
        test_new_disk(appliance, members, old, said)
        test_new_one_votes(appliance, members, old)
        rest = test_leader_removed(appliance, members, old)
        test_remembered(appliance, members, rest)


main()
