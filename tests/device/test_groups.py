#!/usr/bin/env python3
"""Groups and members as an administrator sees them: listed, a member expelled, a group dropped and founded anew.

test_groups.py SYNODD SYNODCTL MEMBER_LOAD
"""
import os
import sys

from appliance import Appliance, check, wait_for
from load import Member, begin, errors, leader_of, run_for, settle, wait_online
from netns import Bridge

MEMBERS = 2


def tool(appliance, at, words, code, said):
    done = appliance.tool(at, *words)
    text = done.stdout + done.stderr
    check(done.returncode == code and said in text, f'{" ".join(map(str, words))}: {text.splitlines()[:1]}')
    return done.stdout


def uuid_of(member):
    return f'{member.number:02x}000000-0000-0000-0000-000000000000'


def numbers(appliance, at):
    status = appliance.status(at)
    return [group['number'] for group in status['groups']] if status else None


def test_refused(appliance):
    for words, said in ((['group', 'drop', 7, '--yes'], 'there is no group 7'),
                        (['group', 'drop', 0, '--yes'], "the appliance's own"),
                        (['group', 'drop', 1, '--yes'], 'has members: STOP GROUP_REPLICATION there'),
                        (['member', 'list', 7], 'there is no group 7'),
                        (['member', 'expel', 1, 'nobody', '--yes'], 'is no member of group 1')):
        tool(appliance, 0, words, 1, said)
    tool(appliance, 0, ['group', 'drop'], 2, 'usage:')
    tool(appliance, 0, ['member', 'expel', 1], 2, 'usage:')


def test_expelled(appliance, members):
    """Asked at a node that does not lead; under load; the other one goes on."""
    leader = leader_of(appliance)
    at = (leader + 1) % 3
    victim = members[1]
    words = ['member', 'expel', 1, uuid_of(victim)]
    tool(appliance, at, words, 1, 'nothing is done yet')
    check(uuid_of(victim) in tool(appliance, at, ['member', 'list'], 0, 'ONLINE'), 'it is still a member')

    def expel(_):
        tool(appliance, at, [*words, '--yes'], 0, 'expelled from group 1')
    stats = run_for(members[:1], 2, expel)
    check(stats[0]['commit'] > 20, 'the other one commits')
    wait_for(lambda: victim.stats()['expelled'], 'the expelled one knows it')
    listed = tool(appliance, leader, ['member', 'list', 1], 0, uuid_of(members[0]))
    check(uuid_of(victim) not in listed, 'and is a member no more')
    victim.kill()
    victim.start()
    check(victim.started(), 'it may come again')
    wait_online(members)
    settle(members)


def test_horizon(appliance, members):
    """Fewer slots in flight, then more; under load, and no client notices."""
    def horizons(at):
        return [group['configuration']['horizon'] for group in appliance.status(at)['groups']]
    tool(appliance, 0, ['group', 'horizon', 9, '--yes'], 2, 'usage:')
    tool(appliance, 0, ['group', 'horizon', 200, '--yes'], 1, 'raise [memory] pool_bytes')
    tool(appliance, 0, ['group', 'horizon', 10], 1, 'nothing is done yet')
    for at, slots in ((0, 10), (1, 80)):
        stats = run_for(members, 2, lambda _: tool(appliance, at, ['group', 'horizon', slots, '--yes'], 0, 'after this'))
        check(all(not errors(s) and s['commit'] > 20 for s in stats), 'no client saw an error')
        wait_for(lambda: all(horizons(n) == [slots, slots] for n in range(3)), f'all groups have {slots}')
    settle(members)


def test_keys(appliance, space, program):
    """One command lists a server's key at all nodes, and one takes it away; a restart changes nothing."""
    key = appliance.key_command('new', f'{appliance.folder}/member_key3')
    member = Member(space, program, appliance, 3, clients=2, think_us=15000)

    def joins(within_s):
        member.start(start_s=within_s)
        return member.started()
    check(not joins(2), 'a server whose key nobody lists is not answered')
    member.kill()
    tool(appliance, 0, ['key', 'remove', '--appliance', key], 1, 'is not listed there')
    tool(appliance, 0, ['key', 'add', '--appliance', 'abc', 'server', 'any'], 1, 'key')
    tool(appliance, 0, ['key', 'add', '--appliance', key, 'server', uuid_of(member)], 0, '')
    wait_for(lambda: all(key in appliance.tool(n, 'key', 'show', '--appliance').stdout for n in range(3)),
             'every node lists it')
    check(joins(10), 'now it may join')
    stats = run_for([member], 1)
    check(stats[0]['commit'] > 10, 'and commit')
    for number in range(3):
        appliance.kill(number)
    for number in range(3):
        appliance.start(number)
    wait_for(lambda: leader_of(appliance) is not None, 'after a restart all nodes agree')
    wait_for(lambda: member.stats()['connected'], 'and list it still')
    tool(appliance, 1, ['key', 'remove', '--appliance', key], 0, '')
    wait_for(lambda: not member.stats()['connected'], 'its session ends with its key')
    member.kill()
    tool(appliance, 1, ['member', 'expel', 1, uuid_of(member), '--yes'], 0, 'done')


def test_dropped(appliance, members):
    """One node is away meanwhile; the servers are gone, and one of them had to be expelled."""
    uuid = appliance.status(0)['groups'][1]['uuid']
    members[0].ask('stop')
    members[1].kill()
    away = (leader_of(appliance) + 1) % 3
    rest = [n for n in range(3) if n != away]
    appliance.kill(away)
    wait_for(lambda: leader_of(appliance, rest) is not None, 'the others agree on a leader')
    tool(appliance, rest[0], ['group', 'drop', uuid, '--yes'], 1, 'has members')
    tool(appliance, rest[0], ['member', 'expel', uuid, uuid_of(members[1]), '--yes'], 0, 'done')
    tool(appliance, rest[0], ['group', 'list'], 0, 'members 0')
    tool(appliance, rest[0], ['group', 'drop', uuid], 1, 'nothing is done yet')
    tool(appliance, rest[0], ['group', 'drop', uuid, '--yes'], 0, 'it has no members')
    check(tool(appliance, rest[0], ['group', 'list'], 0, '') == '', 'there is no group left')
    wait_for(lambda: all(numbers(appliance, n) == [0] for n in rest), 'nor at the other node')
    appliance.start(away)
    wait_for(lambda: numbers(appliance, away) == [0], 'one that was away drops it as well')


def test_founded_anew(appliance, members):
    for member in members:
        if member.process.poll() is None:
            member.kill()
        os.remove(member.state)
        member.read, member.read_to = [], 0
    for i, member in enumerate(members):
        member.start(bootstrap=int(i == 0))
        check(member.started(), f'member {i + 1} joined')
    wait_online(members)
    check(numbers(appliance, 0) == [0, 2], 'the same name, another number')
    stats = run_for(members, 2)
    check(all(s['commit'] > 20 for s in stats), 'members commit')
    settle(members)
    for number in range(3):
        appliance.kill(number)
    for number in range(3):
        appliance.start(number)
    wait_for(lambda: leader_of(appliance) is not None, 'after a restart of all they agree')
    check(all(numbers(appliance, n) == [0, 2] for n in range(3)), 'and know which groups there are')
    stats = run_for(members, 2)
    check(all(s['commit'] > 20 for s in stats), 'members commit')
    settle(members)


def main():
    synodd, synodctl, program = sys.argv[1:4]
    with Bridge(3 + MEMBERS + 1) as net, Appliance(net, synodd, synodctl) as appliance:
        for i, space in enumerate(net.spaces[3:]):
            space.give_address(f'10.77.0.{11 + i}/24')
        members = [Member(net.spaces[3 + i], program, appliance, 1 + i, clients=4, think_us=15000)
                   for i in range(MEMBERS)]
        begin(appliance, members)
        test_refused(appliance)
        test_expelled(appliance, members)
        test_horizon(appliance, members)
        test_keys(appliance, net.spaces[-1], program)
        test_dropped(appliance, members)
        test_founded_anew(appliance, members)


main()
