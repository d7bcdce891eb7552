#!/usr/bin/env python3
"""Three nodes over af_packet and their logs: one leads, it is killed, another leads, it returns.

test_appliance.py SYNODD SYNODCTL
"""
import os
import random
import socket
import subprocess
import sys
import time

from appliance import Appliance, check, wait_for
from netns import Bridge


def agreed(appliance, nodes):
    """The leader all of `nodes` name, when that is one of them and all see each other; or None."""
    leaders = set()
    for number in nodes:
        status = appliance.status(number)
        if status is None or not status['node']['voting']:
            return None
        connected = [n['number'] for n in status['nodes'] if n['connected']]
        if connected != nodes:
            return None
        leaders.add(status['groups'][0]['leader'])
    leader = leaders.pop()
    return leader if not leaders and leader in nodes else None


def cpu_s(process):
    """The node itself: `ip netns exec` replaces itself by it."""
    with open(f'/proc/{process.pid}/stat', encoding='ascii') as file:
        fields = file.read().rsplit(')', 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf('SC_CLK_TCK')


def test_idle(appliance):
    before = [cpu_s(process) for process in appliance.process]
    time.sleep(2)
    shares = [(cpu_s(p) - b) / 2 for p, b in zip(appliance.process, before)]
    check(max(shares) < 0.25, f'idle nodes sleep: {[f"{s:.0%}" for s in shares]} of a core')


def test_outage(appliance):
    """All three at once, as when the power fails: each has a log that ends anywhere."""
    for number in range(3):
        appliance.process[number].kill()
    for number in range(3):
        appliance.kill(number)
    appliance.start(0)
    wait_for(lambda: appliance.status(0) is not None, 'one of them runs again')
    check(not appliance.status(0)['node']['voting'], 'alone it does not trust the end of its log')
    for number in (1, 2):
        appliance.start(number)
    wait_for(lambda: agreed(appliance, [0, 1, 2]) is not None, 'all were killed and agree again',
             30)


def test_refusals(appliance):
    appliance.start(0)
    check(appliance.process[0].wait(timeout=20) == 1, 'without a log a node does not start')
    check('--format' in appliance.said(0), 'and says what to do')
    done = appliance.ask(0)
    check(done.returncode == 1 and 'no synodd answers' in done.stderr,
          'synodctl says that nobody answers')


def test_election(appliance):
    for number in range(3):
        appliance.start(number, '--format')
    wait_for(lambda: agreed(appliance, [0, 1, 2]) is not None, 'three nodes agree on a leader')
    leader = agreed(appliance, [0, 1, 2])
    check(f'leader node {leader}' in appliance.ask(0).stdout, 'synodctl tells people the same')
    return leader


def test_takeover(appliance, leader):
    rest = [n for n in range(3) if n != leader]
    process = appliance.status(leader)['node']['process']
    appliance.kill(leader)
    wait_for(lambda: agreed(appliance, rest) is not None, 'the other two have a new leader')
    appliance.start(leader)
    wait_for(lambda: agreed(appliance, [0, 1, 2]) is not None,
             'the killed node is back and follows')
    status = appliance.status(leader)
    check(status['node']['process'] > process, 'it is another process')
    check(status['log']['replayed'] > 0, 'it read its log')
    check(agreed(appliance, [0, 1, 2]) != leader, 'it did not take the lead away')


def test_stop(appliance):
    second = appliance.net.spaces[1].run(
        [appliance.synodd, '--config', appliance.config(1)], stderr=-1, text=True)
    _, text = second.communicate(timeout=20)
    check(second.returncode == 1 and 'in use' in text, 'a log is not opened twice')
    for number in range(3):
        check(appliance.stop(number) == 0, f'node {number} stops in order')
        check('stopped in order' in appliance.said(number), 'and says so')


def test_noise(appliance, stranger):
    """Whatever a stranger sends to a node's port, the nodes go on and count it."""
    dice = random.Random(7)
    stranger.give_address('10.77.0.9/24')
    with stranger.inside():
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(('10.77.0.9', 4000))
    before = appliance.status(1)['drops']['node']['datagrams']
    for _ in range(3000):
        sock.sendto(dice.randbytes(dice.randrange(0, 1473)), ('10.77.0.2', 4000))
        time.sleep(0.0002)
    sock.close()
    dropped = appliance.status(1)['drops']['node']['datagrams'] - before
    check(dropped > 1000, f'{dropped} random datagrams were dropped and counted')
    check(agreed(appliance, [0, 1, 2]) is not None, 'the nodes still agree')


def test_full_disk(appliance):
    """The log's folder on a file system that holds less than one segment."""
    path = f'{appliance.folder}/log0'
    os.mkdir(path)
    subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', path], check=True)
    try:
        appliance.start(0, '--format')
        check(appliance.process[0].wait(timeout=20) == 1, 'on a full disk a node does not start')
        check('No space left' in appliance.said(0), 'and says why')
    finally:
        subprocess.run(['umount', path], check=True)
        os.rmdir(path)


def test_memory(net):
    """A node whose log is in memory comes back with nothing, and is told before it votes."""
    with Appliance(net, *sys.argv[1:3], durability='memory') as appliance:
        leader = test_election(appliance)
        appliance.kill(leader)
        rest = [n for n in range(3) if n != leader]
        wait_for(lambda: agreed(appliance, rest) is not None, 'in memory, too, another leads')
        appliance.start(leader)
        wait_for(lambda: agreed(appliance, [0, 1, 2]) is not None, 'and the killed one returns')
        for number in range(3):
            check(appliance.stop(number) == 0, f'node {number} stops in order')


def test_disk(net):
    with Appliance(net, *sys.argv[1:3]) as appliance:
        test_refusals(appliance)
        test_full_disk(appliance)
        leader = test_election(appliance)
        test_idle(appliance)
        test_noise(appliance, net.spaces[3])
        test_takeover(appliance, leader)
        test_outage(appliance)
        test_stop(appliance)


def main():
    with Bridge(4) as net:
        test_disk(net)
        test_memory(net)


main()
