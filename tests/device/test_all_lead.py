#!/usr/bin/env python3
"""All voters lead under load: an owner is killed, members hang on several nodes, one leads and all again.

test_all_lead.py SYNODD SYNODCTL MEMBER_LOAD
"""
import sys
import time

from appliance import Appliance, check, wait_for
from load import Member, begin, errors, leader_of, run_for, settle, wait_online
from netns import Bridge

MEMBERS = 3
PAUSE_MAX_US = 1500000
STARTS_MAX = 4


def group(appliance, number):
    status = appliance.status(number)
    return status['groups'][-1] if status else None


def all_lead(appliance, nodes=(0, 1, 2)):
    said = [group(appliance, number) for number in nodes]
    return all(g and g['configuration']['all_lead'] and g['configuration']['in_force'] and
               g['leader'] == number for number, g in zip(nodes, said))


def kind(appliance, number, word):
    return appliance.tool(number, 'group', 'kind', 1, word)


def test_refused(appliance):
    for words, sentence, code in ((['kind', 7, 'all-lead'], 'there is no group 7', 1),
                                  (['kind', 0, 'all-lead'], "the appliance's own", 1),
                                  (['kind', 1, 'nobody'], 'usage:', 2)):
        done = appliance.tool(0, 'group', *words)
        check(done.returncode == code and sentence in done.stderr,
              f'group {" ".join(map(str, words))}: {done.stderr.splitlines()[0]}')


def attached(appliance):
    return {m['attached_to'] for m in group(appliance, 0)['members']}


def under_load(members, seconds, what, during):
    stats = run_for(members, seconds, during)
    wrong = [errors(s) for s in stats if errors(s)]
    check(not wrong and all(s['commit'] > 50 for s in stats), f'{what}: no client saw an error {wrong or ""}')
    longest = max(s['pause_us'] for s in stats)
    check(longest <= PAUSE_MAX_US, f'{what}: the longest pause was {longest / 1000:.0f} ms')


def test_switch(appliance, members):
    def there_and_back(after_s):
        time.sleep(after_s)
        for number, word in ((1, 'one-leader'), (2, 'all-lead')):
            done = kind(appliance, number, word)
            check(done.returncode == 0, f'asked at node {number} for {word} under load')
    under_load(members, 4, 'one leads, and all again', there_and_back)
    wait_for(lambda: all_lead(appliance), 'every node leads')
    settle(members)


def test_owner_killed(appliance, members):
    """Whose slots all wait for; the members that hang on it go to the one that leads then."""
    def kill(after_s):
        time.sleep(after_s)
        appliance.kill(0)
    under_load(members, 4, 'node 0 is killed', kill)
    wait_for(lambda: leader_of(appliance, (1, 2)) is not None, 'one of the others leads alone')
    check(not any(group(appliance, n)['configuration']['all_lead'] for n in (1, 2)), 'as status says')
    settle(members)
    appliance.start(0)
    wait_for(lambda: all_lead(appliance), 'all lead when it is back')


def test_several_nodes(appliance, members):
    """Members stay where they went to; a new one begins at node 0, which leads as well. On a host
    that stands still for long enough it goes to where the others are: then it begins again."""
    for _ in range(STARTS_MAX):
        members[2].start()
        check(members[2].started(), 'member 3 joined')
        wait_online(members)
        nodes = sorted(attached(appliance))
        if len(nodes) > 1:
            break
        members[2].kill()
    check(len(nodes) > 1, f'members hang on nodes {nodes}')


def main():
    synodd, synodctl, program = sys.argv[1:4]
    with Bridge(3 + MEMBERS) as net, Appliance(net, synodd, synodctl, seal='none') as appliance:
        for i, space in enumerate(net.spaces[3:]):
            space.give_address(f'10.77.0.{11 + i}/24')
        members = [Member(net.spaces[3 + i], program, appliance, 1 + i, clients=6, hot_rows=4,
                          hot_percent=25, think_us=15000) for i in range(MEMBERS)]
        begin(appliance, members[:2])
        test_refused(appliance)
        done = kind(appliance, 1, 'all-lead')
        check(done.returncode == 0, f'group kind 1 all-lead: {done.stdout.splitlines()[-1:]}')
        wait_for(lambda: all_lead(appliance), 'every node leads')
        check('all voters lead' in appliance.ask(0).stdout, 'status says so')
        test_owner_killed(appliance, members[:2])
        test_several_nodes(appliance, members)
        test_switch(appliance, members)


main()
