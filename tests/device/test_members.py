#!/usr/bin/env python3
"""Members under load on three nodes: nodes and members are killed, and nothing is lost.

test_members.py SYNODD SYNODCTL MEMBER_LOAD
"""
import signal
import sys
import time

from appliance import Appliance, check, wait_for
from load import (Member, ask_all, errors, leader_of, run_for, settle, wait_caught_up, wait_enough,
                  wait_online)
from netns import Bridge

MEMBERS = 3
CLIENTS = 6
THINK_US = 15000
PAUSE_MAX_US = 1000000
PAUSE_USUAL_MS = 500
KILLS = 20
NO_GROUP, GROUP_EXISTS, EXTRA_GTIDS, BLOCK_SIZE = 1, 2, 5, 8


def test_refused(member):
    """There is no group yet; later a group that does not take this member."""
    member.start(bootstrap=0)
    check(not member.started() and member.refusal == NO_GROUP,
          'without bootstrap there is no group to join')


def test_join(members):
    for i, member in enumerate(members):
        member.start(bootstrap=int(i == 0))
        check(member.started(), f'member {i + 1} joined')
    wait_online(members)


def test_refused_later(make):
    other = make(MEMBERS + 1)
    other.start(bootstrap=0, group='another group..')
    check(not other.started() and other.refusal == NO_GROUP, 'another name is no group')
    other.start(bootstrap=1)
    check(not other.started() and other.refusal == GROUP_EXISTS,
          'a group with members is not bootstrapped again')
    other.start(block_size=7)
    check(not other.started() and other.refusal == BLOCK_SIZE, 'nor joined with other blocks')


def test_load(members):
    stats = run_for(members, 8, lambda _: wait_enough(members, 'conflict', 1))  # of hot rows
    check(all(s['commit'] > 100 for s in stats), 'every member commits')
    check(all(not errors(s) for s in stats), 'no client saw an error')
    settle(members)


def test_leader_killed(appliance, members):
    leader = leader_of(appliance)

    def kill(after_s):
        time.sleep(after_s)
        appliance.kill(leader)
    stats = run_for(members, 4, kill)
    check(all(not errors(s) for s in stats), 'the leader was killed: no client saw an error')
    longest = max(s['pause_us'] for s in stats)
    check(longest <= PAUSE_MAX_US, f'the longest pause was {longest / 1000:.0f} ms')
    appliance.start(leader)
    settle(members)
    wait_caught_up(appliance, leader, 'the killed node is back and has caught up')


def test_pauses(appliance, members):
    """The leader is killed again and again: how long do clients wait?"""
    pauses = []
    for _ in range(KILLS):
        leader = leader_of(appliance)
        ask_all(members, 'reset')
        ask_all(members, 'go')
        time.sleep(0.1)
        appliance.kill(leader)
        time.sleep(0.6)
        wait_for(lambda: all(m.stats()['connected'] for m in members), 'all have a leader again')
        stats = [member.stats() for member in members]
        check(all(not errors(s) for s in stats), f'node {leader} was killed: no error')
        pauses.append(max(s['pause_us'] for s in stats) / 1000)
        ask_all(members, 'halt')
        appliance.start(leader)
        wait_caught_up(appliance, leader, 'it is back')
    pauses.sort()
    print('   pauses in ms:', ' '.join(f'{pause:.0f}' for pause in pauses))
    check(pauses[KILLS // 2] <= PAUSE_USUAL_MS, f'half of {KILLS} pauses were no longer than '
          f'{pauses[KILLS // 2]:.0f} ms, the longest {pauses[-1]:.0f} ms')
    check(pauses[-1] <= PAUSE_MAX_US / 1000, 'and none was longer than a second')
    settle(members)


def test_outage(appliance, members):
    """All nodes at once, while a part of the clients is killed in doubt and a part of the
    accepted transactions cannot be committed where they came from."""
    def outage(after_s):
        ask_all(members, 'kill 20')
        ask_all(members, 'fail 20')
        time.sleep(after_s)
        for number in range(3):
            appliance.process[number].kill()
        for number in range(3):
            appliance.kill(number)
            appliance.start(number)
        wait_enough(members, 'failed', 1)
    stats = run_for(members, 6, outage)
    ask_all(members, 'kill 0')
    ask_all(members, 'fail 0')
    wrong = [{k: v for k, v in errors(s).items() if k != 'killed'} for s in stats]
    check(not any(wrong), f'all nodes were killed: no client but killed ones saw an error {wrong}')
    check(all(s['failovers'] > 0 for s in stats), 'every member came back by itself')
    settle(members)


def stand_still(appliance, members, number):
    """A node that stands still under load, and goes on as if nothing had been."""
    def stop(after_s):
        appliance.process[number].send_signal(signal.SIGSTOP)
        time.sleep(after_s)
        appliance.process[number].send_signal(signal.SIGCONT)
    stats = run_for(members, 4, stop)
    check(all(not errors(s) for s in stats), f'node {number} stood still: no client saw an error')
    longest = max(s['pause_us'] for s in stats)
    check(longest <= PAUSE_MAX_US, f'the longest pause was {longest / 1000:.0f} ms')
    settle(members)
    wait_caught_up(appliance, number, 'it has caught up')


def test_follower_stopped(appliance, members):
    """Who was away must not take the lead from a node that all others follow."""
    leader = leader_of(appliance)
    before = [member.stats()['failovers'] for member in members]
    for follower in ((leader + 1) % 3, (leader + 2) % 3):
        stand_still(appliance, members, follower)
    check(leader_of(appliance) == leader, f'node {leader} still leads')
    check([member.stats()['failovers'] for member in members] == before, 'no member had to move')


def test_apart(appliance, members):
    """The leader and another node lose sight of each other: both still have a majority."""
    before = [member.stats()['failovers'] for member in members]
    leader = leader_of(appliance)
    other = (leader + 1) % 3

    def apart(for_s):
        with appliance.net.apart(leader, other):
            time.sleep(for_s)
    stats = run_for(members, 6, apart)
    check(all(not errors(s) for s in stats),
          f'nodes {leader} and {other} lost each other: no client saw an error')
    longest = max(s['pause_us'] for s in stats)
    check(longest <= PAUSE_MAX_US, f'the longest pause was {longest / 1000:.0f} ms')
    moves = max(member.stats()['failovers'] - count for member, count in zip(members, before))
    check(moves <= 10, f'the lead changed {moves} times: they do not duel at full speed')
    settle(members)
    wait_for(lambda: leader_of(appliance) is not None, 'all see each other again')
    wait_caught_up(appliance, (leader_of(appliance) + 1) % 3, 'and who was behind is not')


def test_member_killed(members):
    """A server dies with its disk intact while the others go on."""
    victim, rest = members[1], [members[0], members[2]]
    ask_all(members, 'go')
    time.sleep(1)
    victim.kill()
    told = victim.told()
    time.sleep(1)
    before = len(victim.order())
    victim.start(bootstrap=0)
    check(victim.started(), 'a killed member joins again')
    victim.ask('go')
    time.sleep(1)
    ask_all(members, 'halt')
    settle(members)
    check(told <= set(rest[0].order()), 'what it had told its clients is everywhere')
    check(len(victim.order()) > before, 'it was fed what it lacked')
    check(rest[0].stats()['members'] == MEMBERS, 'and the group has as many members as before')


def test_all_killed(appliance, members):
    """Nodes and servers at once, as when the power fails: nothing that a client was told is lost."""
    ask_all(members, 'go')
    time.sleep(1)
    for process in appliance.process:
        process.kill()
    for member in members:
        member.kill()
    told = [member.told() for member in members]
    for number in range(3):
        appliance.kill(number)
        appliance.start(number)
    for member in members:
        member.start(bootstrap=0)
    check(all([member.started() for member in members]), 'all members joined again, in any order')
    wait_online(members)
    run_for(members, 1)
    settle(members)
    order = set(members[0].order())
    check(all(one <= order for one in told), f'all of {sum(map(len, told))} commits are there')


def test_fresh(members, fresh):
    """A member with nothing is fed everything."""
    fresh.start(clients=0)
    check(fresh.started(), 'a fresh member joins')
    wait_for(lambda: fresh.order() == members[0].order(), 'it is fed everything, in order')
    fed = set(fresh.order())
    for member in members:
        check(member.told() <= fed,
              f'each of {len(member.told())} commits told by member {member.number} is there')
    check(fresh.ask('stop') == 'stopped left', 'it leaves in order')


def test_stop(members):
    ask_all(members, 'go')
    time.sleep(0.5)
    answers = ask_all(members, 'stop')
    check(answers == ['stopped left'] * MEMBERS, f'members leave in order under load: {answers}')


def main():
    synodd, synodctl, program = sys.argv[1:4]
    with Bridge(3 + MEMBERS + 1) as net, Appliance(
            net, synodd, synodctl, log_bytes_max='4 GiB') as appliance:
        for i, space in enumerate(net.spaces[3:]):
            space.give_address(f'10.77.0.{11 + i}/24')

        def make(number):
            return Member(net.spaces[2 + number], program, appliance, number,
                          clients=CLIENTS, hot_rows=4, hot_percent=25, think_us=THINK_US)
        members = [make(1 + i) for i in range(MEMBERS)]
        for number in range(3):
            appliance.start(number, '--format')
        wait_for(lambda: leader_of(appliance) is not None, 'the nodes have a leader')
        test_refused(members[0])
        test_join(members)
        test_refused_later(make)
        test_load(members)
        test_leader_killed(appliance, members)
        test_pauses(appliance, members)
        test_outage(appliance, members)
        test_follower_stopped(appliance, members)
        stand_still(appliance, members, leader_of(appliance))
        test_apart(appliance, members)
        test_member_killed(members)
        test_all_killed(appliance, members)
        test_fresh(members, make(MEMBERS + 1))
        test_stop(members)


main()
