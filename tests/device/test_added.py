#!/usr/bin/env python3
"""Nodes that stand in nobody's file are added by their addresses under load, and stay.

test_added.py SYNODD SYNODCTL MEMBER_LOAD
"""
import subprocess
import sys
import threading

from appliance import Appliance, CONFIG, check, wait_for
from load import Member, begin, errors, leader_of, run_for, settle
from netns import Bridge

NODES, COMERS, MEMBERS = 3, 2, 2
PAUSE_MAX_US = 1000000


def voters(appliance, number, group=-1):
    status = appliance.status(number)
    return status['groups'][group]['configuration']['voters'] if status else None


def seen(appliance, at):
    """Who stands where, as this node has it."""
    status = appliance.status(at)
    return {n['number']: (n['id'], n['endpoint']) for n in status['nodes']} if status else None


def refused(appliance, words, sentence):
    done = appliance.tool(0, 'node', *words)
    check(done.returncode != 0 and sentence in done.stderr,
          f'node {" ".join(map(str, words))}: {done.stderr.splitlines()[-1]}')


class Comer:
    """A node that no running one knows: its file names one of them, by what the tool printed."""

    def __init__(self, appliance, number):
        self.appliance = appliance
        self.number = number
        self.address = f'10.77.0.{number + 1}:4000'
        self.key = appliance.key_command('new', appliance.key_file(number))
        appliance.process.append(None)
        appliance.keys.append(self.key)
        appliance.count += 1

    def begin(self, printed, names):
        settings = dict(self.appliance.settings)
        all_nodes = printed['nodes'].split(', ')
        listed = [n for n in all_nodes if int(n.split('/')[1].split('@')[0]) in (names, self.number)]
        settings['nodes'] = ', '.join(listed)
        settings['spares'] = f'joins = {printed["joins"]}\nvotes_after = {printed["votes_after"]}'
        self.appliance.key_command('add', self.appliance.key_file(self.number),
                                   self.appliance.keys[names], 'node', names + 1)
        with open(self.appliance.config(self.number), 'w', encoding='ascii') as file:
            file.write(CONFIG.format(id=self.number + 1, number=self.number,
                                     folder=self.appliance.folder, certificates='', **settings))
        self.appliance.start(self.number, '--format')


def comes(appliance, members, at, words, comer, names):
    """Under load: the command prints the file, the node is started with it, and no client notices."""
    result = {}

    def ask():
        tool = subprocess.Popen(
            [appliance.synodctl, 'node', *map(str, words), comer.address, '--key', comer.key,
             '--socket', f'{appliance.folder}/control{at}'],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        said, printed, begun = [], {}, False
        for line in tool.stdout:
            said.append(line)
            name, _, value = line.strip().partition(' = ')
            printed[name] = value
            if name == 'event_horizon' and not begun:
                comer.begin(printed, names)
                begun = True
        result['said'] = ''.join(said)
        result['code'] = tool.wait()

    thread = threading.Thread(target=ask)
    stats = run_for(members, 6, lambda after_s: thread.start())
    thread.join()
    print(result['said'], flush=True)
    check(result['code'] == 0, f'node {" ".join(map(str, words))} {comer.address}, asked at node {at}')
    check(all(not errors(s) and s['commit'] > 50 for s in stats), 'no client saw an error')
    longest = max(s['pause_us'] for s in stats)
    check(longest <= PAUSE_MAX_US, f'the longest pause was {longest / 1000:.0f} ms')
    settle(members)


def test_added(appliance, members):
    comer = Comer(appliance, 3)
    comes(appliance, members, 1, ['add', 3], comer, 2)
    check(all(voters(appliance, n, g) == [0, 1, 2, 3] for n in range(4) for g in (0, 1)),
          'all four vote, in both groups')
    wait_for(lambda: all(n['connected'] for at in range(4) for n in appliance.status(at)['nodes']),
             'each is connected with each, whoever its file names')
    check(all(seen(appliance, at) == seen(appliance, 0) for at in range(4)), 'and knows the same')
    check('node 3 is node 4 at 10.77.0.4:4000' in appliance.said(0), 'what the file lacks is told')


def test_refused(appliance):
    refused(appliance, ['add', 3, '10.77.0.9:4000', '--id', 9], 'is another one')
    refused(appliance, ['add', 7, '10.77.0.9:4000'], 'numbers are 0 to 6')
    refused(appliance, ['add', 5], 'does not exist here')
    refused(appliance, ['forget', 3], 'votes: remove it first')
    refused(appliance, ['add', 5, '10.77.0.6:4000'], 'links are sealed')
    refused(appliance, ['add', 5, '10.77.0.4:4000', '--key', appliance.keys[3]], 'it is not listed')


def test_replaced(appliance, members):
    """By one whose file names only the node that stands in no file itself."""
    leader = leader_of(appliance, range(4))
    old = next(n for n in (0, 1, 2) if n != leader)
    comer = Comer(appliance, 4)
    comes(appliance, members, 3, ['replace', old, 4, '--forget'], comer, 3)
    rest = sorted({0, 1, 2, 3, 4} - {old})
    check(all(voters(appliance, n, g) == rest for n in rest for g in (0, 1)), f'{rest} vote')
    wait_for(lambda: all(sorted(seen(appliance, n)) == rest for n in rest), 'the old one is nobody')
    appliance.kill(old)
    return old, rest


def test_learned(appliance, members, rest):
    """The members' lists have none of the new ones: they are told where these are, and group 0 has their keys."""
    for member in members:
        tool = appliance.tool(rest[0], 'key', 'add', '--appliance', member.key, 'server', 'any', 'group', 'any')
        check(tool.returncode == 0, f'the new nodes list a member, too: {tool.stderr}')
    for _ in rest:
        leader = leader_of(appliance, rest)
        if leader > 2:
            break
        appliance.kill(leader)
        others = [n for n in rest if n != leader]
        wait_for(lambda: leader_of(appliance, others) is not None, f'node {leader} led, and another one does')
        appliance.start(leader)
        wait_for(lambda: leader_of(appliance, rest) is not None, 'it is back')
    check(leader_of(appliance, rest) > 2, 'a node leads that no member lists')
    stats = run_for(members, 2)
    check(all(not errors(s) and s['commit'] > 50 for s in stats), 'members commit')
    settle(members)


def test_old_files(appliance, old, rest):
    """They name the old one, and not the new ones: the log counts."""
    for number in rest:
        appliance.kill(number)
    for number in rest:
        appliance.start(number)
    wait_for(lambda: leader_of(appliance, rest) is not None, 'after a restart of all they agree')
    wait_for(lambda: all(sorted(seen(appliance, n) or {}) == rest for n in rest), 'and know the same')
    one = next(n for n in (0, 1, 2) if n != old)
    check(f'node {old} was removed and forgotten' in appliance.said(one), 'the file that names it is told')
    appliance.start(old)
    wait_for(lambda: f'group 0 has no leader' in appliance.said(old) or
             appliance.leader(old) is None, 'the old one leads nobody')
    check(all(sorted(seen(appliance, n)) == rest for n in rest), 'nobody speaks with it')
    appliance.kill(old)


def main():
    synodd, synodctl, program = sys.argv[1:4]
    with Bridge(NODES + COMERS + MEMBERS) as net, Appliance(
            net, synodd, synodctl, nodes=NODES, log_bytes_max='256 MiB') as appliance:
        for i, space in enumerate(net.spaces[NODES + COMERS:]):
            space.give_address(f'10.77.0.{11 + i}/24')
        members = [Member(net.spaces[NODES + COMERS + i], program, appliance, 1 + i, clients=6,
                          hot_rows=4, hot_percent=25, think_us=15000) for i in range(MEMBERS)]
        begin(appliance, members)
        test_added(appliance, members)
        test_refused(appliance)
        old, rest = test_replaced(appliance, members)
        test_learned(appliance, members, rest)
        test_old_files(appliance, old, rest)


main()
