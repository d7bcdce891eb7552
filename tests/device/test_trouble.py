#!/usr/bin/env python3
"""What goes wrong around a group under load: full disks, strangers, other versions; and whether
`synodctl status` tells the truth meanwhile. Links are in clear: what a stranger says is understood.

test_trouble.py SYNODD SYNODCTL MEMBER_LOAD STRANGER
"""
import os
import signal
import socket
import subprocess
import sys
import time

from appliance import Appliance, check, wait_for
from load import Member, ask_all, begin, errors, leader_of, run_for, settle, wait_caught_up
from netns import Bridge

MEMBERS = 2
PAUSE_MAX_US = 1000000
ADDRESSES = [f'10.77.0.{n}:4000' for n in (1, 2, 3)]
REFUSED_VERSION = 3       # enum member_refusal
REASON_VERSION = 5        # enum wire_reason
OUTGOING = socket.PACKET_OUTGOING
ETHERNET_AND_IP = 34


def drops(status):
    return {f'{place}.{reason}': count for place, reasons in status['drops'].items()
            for reason, count in reasons.items() if count > 0}


# ---- what status says ----

def test_status(appliance, members):
    """Numbers of a group at rest are those of the clients; under load they rise with them."""
    def group(number):
        return appliance.status(number)['groups'][-1]
    accepted = len(members[0].order())
    refused = sum(line.letter == 'C' for member in members for line in member.lines())
    for number in range(3):
        wait_for(lambda: group(number)['last_index'] == group(leader_of(appliance))['last_index'],
                 f'node {number} has applied everything')
        said = group(number)
        check(said['certified'] == accepted + refused,
              f'certified: {accepted} accepted and {refused} refused')
        check(said['conflicts'] == refused, f'conflicts: {refused}')
        check(said['member_count'] == MEMBERS and len(said['members']) == MEMBERS, 'members')
    leader = leader_of(appliance)
    for number in range(3):
        for one in group(number)['members']:
            check(one['online'] and one['attached_to'] == leader and
                  one['connected_here'] == (number == leader),
                  f'node {number}: member {one["port"]} is attached to node {leader}')
    last = max(index for index, *_ in members[0].order())
    wait_for(lambda: min(m['committed_index'] for m in group(leader)['members']) >= last,
             'every member has reported what it committed')


def test_status_under_load(appliance, members):
    seen = []

    def watch(for_s):
        end = time.monotonic() + for_s
        while time.monotonic() < end or len(seen) < 4:
            before = sum(sum(m.stats()[k] for k in ('accepted', 'conflict')) for m in members)
            said = appliance.status(leader_of(appliance))['groups'][-1]['certified']
            after = sum(m.stats()['submitted'] for m in members)
            seen.append((before, said, after))
    base = appliance.status(leader_of(appliance))['groups'][-1]['certified']
    run_for(members, 2, watch)
    wrong = [one for one in seen if not one[0] <= one[1] - base <= one[2]]
    check(not wrong,
          f'{len(seen)} times under load: no fewer certified than clients knew of, no more than '
          f'they had submitted {wrong}')
    refused = appliance.status(0)['groups'][-1]['conflicts']
    text = appliance.ask(0).stdout
    for word in ('load:3307  ONLINE', 'load:3308  ONLINE', f'attached to node {leader_of(appliance)}',
                 f'conflicts {refused}  members {MEMBERS}'):
        check(word in text, f'people read "{word}"')


# ---- strangers ----

def replay(space, seconds):
    """Frames as a member sends them, each sent again: whole, and cut anywhere."""
    with space.inside():
        sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    sock.bind(('port0', 0))
    sock.settimeout(0.1)
    sent, end = 0, time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            frame, (_, _, kind, *_) = sock.recvfrom(2048)
        except TimeoutError:
            continue
        if kind != OUTGOING or len(frame) < ETHERNET_AND_IP + 8 or sent > 2000:
            continue
        sent += 1
        cut = len(frame) if sent % 3 == 0 else ETHERNET_AND_IP + sent % (len(frame) -
                                                                         ETHERNET_AND_IP)
        sock.send(frame[:cut])
        sock.recvfrom(2048)  # our own
        time.sleep(0.002)
    sock.close()
    return sent


def test_noise(appliance, members, stranger, space):
    before = [appliance.status(number) for number in range(3)]
    leader = leader_of(appliance)

    def noise(seconds):
        process = space.run([stranger, 'noise', '7', '3000', *ADDRESSES], stdout=subprocess.PIPE,
                            text=True)
        sent = replay(members[0].space, seconds)
        check(sent > 100, f'{sent} of a member\'s frames were sent again, whole or cut')
        check(process.communicate(timeout=30)[0] == 'sent 3000\n', '3000 datagrams of noise')
    stats = run_for(members, 5, noise)
    check(all(not errors(s) for s in stats), 'no client saw an error')
    for number in range(3):
        then, now = drops(before[number]), drops(appliance.status(number))
        grown = {name: count - then.get(name, 0) for name, count in now.items()
                 if count != then.get(name, 0)}
        check(grown.get('node.datagrams', 0) > 500, f'node {number} counted: {grown}')
        if number == leader:
            check(grown.get('received_frames.short', 0) > 0, 'and frames that were cut')
    check(leader_of(appliance) == leader, f'node {leader} still leads')
    settle(members)


def test_other_version(appliance, members, stranger, space):
    said = space.run([stranger, 'hello', '77', ADDRESSES[1]], stdout=subprocess.PIPE, text=True)
    answer = said.communicate(timeout=10)[0].strip()
    check(answer == f'refused {REASON_VERSION}', f'who speaks version 77 is told so: {answer}')
    wait_for(lambda: drops(appliance.status(1)).get('node.other_version', 0) > 0,
             'the node counts it')
    wait_for(lambda: '10.77.0.13' in appliance.said(1) and 'protocol version 77' in
             appliance.said(1), 'and says who speaks what')
    nodes = [space.run([stranger, 'listen', '77', str(n), str(5000 + n)], stdin=subprocess.PIPE,
                       stdout=subprocess.PIPE, text=True) for n in range(3)]
    for node in nodes:
        check(node.stdout.readline() == 'ready\n', 'a node of another version')
    lost = Member(space, members[0].program, appliance, MEMBERS + 1,
                  nodes=','.join(f'10.77.0.13:{5000 + n}' for n in range(3)))
    lost.start()
    check(not lost.started() and lost.refusal == REFUSED_VERSION,
          'a member among nodes of another version is refused for that reason')
    for node in nodes:
        node.stdin.close()
        node.wait(timeout=5)


# ---- a full disk ----

def fill(path):
    """Takes what room there is, so that the next segment finds none."""
    with open(path, 'wb', buffering=0) as file:
        try:
            while file.write(bytes(65536)) == 65536:
                pass
        except OSError:
            pass


def test_full_disk(appliance, members, number):
    filler = f'{appliance.folder}/log{number}/.filler'
    rest = [n for n in range(3) if n != number]

    def full(_):
        fill(filler)
        wait_for(lambda: (appliance.status(number) or {'log': {'space_error': None}})['log']
                 ['space_error'] is not None, f'node {number} says that its log has no room')
        wait_for(lambda: leader_of(appliance, rest) is not None,
                 'segments made before are used up, and another node leads')
    stats = run_for(members, 2, full)
    check(all(not errors(s) for s in stats), 'no client saw an error')
    check('No space left on device' in appliance.said(number) and
          f'Free space in {appliance.folder}/log{number}' in appliance.said(number),
          'it says why, and what to do')
    longest = max(s['pause_us'] for s in stats)
    check(longest <= PAUSE_MAX_US, f'the longest pause was {longest / 1000:.0f} ms')
    os.remove(filler)
    settle(members)
    wait_caught_up(appliance, number, 'with room again it goes on by itself')
    # The next segment is tried now and then, not at the moment there is room.
    wait_for(lambda: appliance.status(number)['log']['space_error'] is None,
             'and has no complaint')
    stats = run_for(members, 1)
    check(all(not errors(s) for s in stats), 'no client saw an error')
    settle(members)


class SmallDisk:
    """A file system of its own below a node's log."""

    def __init__(self, path, size):
        self.path, self.size = path, size

    def __enter__(self):
        os.mkdir(self.path)
        subprocess.run(['mount', '-t', 'tmpfs', '-o', f'size={self.size}', 'tmpfs', self.path],
                       check=True)

    def __exit__(self, *_):
        subprocess.run(['umount', '-l', self.path], check=True)


def test_falls(appliance, number):
    """A fault of the program leaves frames to report."""
    appliance.process[number].send_signal(signal.SIGILL)
    check(appliance.process[number].wait() == -signal.SIGILL, 'a node that traps ends by its signal')
    check('ended by SIGILL' in appliance.said(number) and 'synodd(' in appliance.said(number),
          'and says where it was')
    appliance.start(number)
    wait_caught_up(appliance, number, 'a supervisor starts it again')


def test_all(appliance, net, program, stranger):
    for i, space in enumerate(net.spaces[3:]):
        space.give_address(f'10.77.0.{11 + i}/24')
    members = [Member(net.spaces[3 + i], program, appliance, i + 1, clients=6, hot_rows=4,
                      hot_percent=25, think_us=4000, payload=1000) for i in range(MEMBERS)]
    begin(appliance, members)
    run_for(members, 2)
    settle(members)
    test_status(appliance, members)
    test_status_under_load(appliance, members)
    settle(members)
    test_status(appliance, members)
    test_other_version(appliance, members, stranger, net.spaces[-1])
    test_noise(appliance, members, stranger, net.spaces[-1])
    test_falls(appliance, 1)
    test_full_disk(appliance, members, 0)  # it leads: the worse case
    ask_all(members, 'stop')


def main():
    synodd, synodctl, program, stranger = sys.argv[1:5]
    with Bridge(3 + MEMBERS + 1) as net, Appliance(
            net, synodd, synodctl, log_bytes_max='512 MiB', seal='none') as appliance:
        with SmallDisk(f'{appliance.folder}/log0', '320m'):
            test_all(appliance, net, program, stranger)
            for process in appliance.process:
                process.kill()
                process.wait()


main()
