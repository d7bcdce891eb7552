#!/usr/bin/env python3
"""A node's own key is changed while it runs, by SIGHUP: the old one is good until it is taken out, and no client notices.

test_rekeyed.py SYNODD SYNODCTL MEMBER_LOAD
"""
import os
import re
import signal
import sys

from appliance import Appliance, check, wait_for
from load import Member, begin, errors, leader_of, run_for, settle, wait_online
from netns import Bridge

MEMBERS = 3


def secret_of(path):
    with open(path, encoding='ascii') as file:
        return re.search(r'^secret\s*=\s*(\S+)', file.read(), re.M).group(1)


def rewrite(appliance, number, change):
    """A key file as an administrator edits it: the new one takes the old one's place at once."""
    path = appliance.key_file(number)
    with open(path, encoding='ascii') as file:
        text = change(file.read())
    with open(os.open(path + '.new', os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), 'w', encoding='ascii') as file:
        file.write(text)
    os.rename(path + '.new', path)


def reload(appliance, numbers, word):
    before = {number: appliance.said(number).count(word) for number in numbers}
    for number in numbers:
        appliance.process[number].send_signal(signal.SIGHUP)
    wait_for(lambda: all(appliance.said(n).count(word) > before[n] for n in numbers), f'nodes {numbers} said: {word}')


def change_key(appliance, number):
    """The others list the new key beside the old one; then the node takes it."""
    fresh = f'{appliance.folder}/fresh{number}'
    public = appliance.key_command('new', fresh)
    others = [other for other in range(3) if other != number]
    for other in others:
        appliance.key_command('add', appliance.key_file(other), public, 'node', number + 1)
    reload(appliance, others, 'keys now')

    def both(text):
        return re.sub(r'^secret(\s*=.*)$', rf'old\1\nsecret = {secret_of(fresh)}', text, flags=re.M)
    rewrite(appliance, number, both)
    reload(appliance, [number], f"own key is {public}; the one before is good as long")
    return public


def retire(appliance, number, old):
    """The node forgets its old key, then the others do."""
    rewrite(appliance, number, lambda text: re.sub(r'^old.*\n', '', text, flags=re.M))
    reload(appliance, [number], 'the one before is good no more')
    for other in range(3):
        if other != number:
            appliance.key_command('remove', appliance.key_file(other), old)
    reload(appliance, [other for other in range(3) if other != number], 'keys now')


def no_error(stats, what):
    check(all(not errors(s) and s['commit'] > 20 for s in stats), what)


def main():
    synodd, synodctl, program = (os.path.abspath(path) for path in sys.argv[1:4])
    with Bridge(3 + MEMBERS) as net, Appliance(net, synodd, synodctl) as appliance:
        for i, space in enumerate(net.spaces[3:]):
            space.give_address(f'10.77.0.{11 + i}/24')
        members = [Member(net.spaces[3 + i], program, appliance, i + 1, clients=4, think_us=5000) for i in range(MEMBERS)]
        begin(appliance, members[:2])
        old, new = list(appliance.keys), []

        stats = run_for(members[:2], 8, lambda _: new.extend(change_key(appliance, n) for n in range(3)))
        no_error(stats, 'no client saw that every node changed its key')
        check(len(set(new) | set(old)) == 6, 'all of them are new')

        victim = leader_of(appliance)
        appliance.kill(victim)
        appliance.start(victim)
        wait_for(lambda: leader_of(appliance) is not None, 'a node comes back with both its keys')
        members[1].kill()
        members[1].start()
        check(members[1].started(), 'a server that knows the old keys only joins')
        appliance.keys = new
        third = members[2]
        third.options.update(third.links())
        third.start()
        check(third.started(), 'and one that knows the new ones only')
        wait_online(members)
        no_error(run_for(members, 2), 'all commit')

        for member in members[:2]:
            member.kill()
            member.options.update(member.links())
            member.start()
            check(member.started(), f'member {member.number} was told the new keys')
        wait_online(members)
        stats = run_for(members, 8, lambda _: [retire(appliance, n, old[n]) for n in range(3)])
        no_error(stats, 'no client saw that the old keys went')
        appliance.keys = old
        members[2].kill()
        members[2].options.update(members[2].links())
        members[2].start(start_s=2)
        check(not members[2].started(), 'with the old keys nobody is answered')
        members[2].kill()
        settle(members[:2])


main()
