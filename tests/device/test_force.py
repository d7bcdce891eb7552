#!/usr/bin/env python3
"""Lost disks: a minority, which the appliance comes back without, and a majority, which is given up.

test_force.py SYNODD SYNODCTL MEMBER_LOAD
"""
import shutil
import sys
import time

from appliance import Appliance, check, wait_for
from load import Member, begin, errors, leader_of, run_for, settle, wait_caught_up, wait_online
from netns import Bridge

OUTAGE_S_MAX = 10


def start_members(members):
    for member in members:
        member.start()
    check(all(member.started() for member in members), 'the members join')
    wait_online(members)


def commits(members, what):
    stats = run_for(members, 2)
    check(all(not errors(s) and s['commit'] > 50 for s in stats), what)
    settle(members)


def test_full_outage(appliance, members):
    """All lose power, one of three its disk; the two others, started one after the other, go on."""
    for order in ((0, 1), (2, 1), (2, 0)):
        lost = ({0, 1, 2} - set(order)).pop()
        for number in range(3):
            appliance.kill(number)
        shutil.rmtree(f'{appliance.folder}/log{lost}')
        appliance.start(order[0])
        time.sleep(1)
        appliance.start(order[1])
        took = wait_for(lambda: leader_of(appliance, order) is not None,
                        f'nodes {order} of three lead again')
        check(took < OUTAGE_S_MAX, f'{took:.2f} s after the start of the last that is needed')
        wait_online(members)
        commits(members, 'members go on, and miss nothing')
        # As a new voter: the others forget its old disk when it is removed.
        removed = appliance.tool(order[0], 'node', 'remove', lost)
        check(removed.returncode == 0, f'node {lost} is removed')
        appliance.dropped(lost, removed.stdout)
        appliance.start(lost, '--format')
        wait_for(lambda: all(appliance.status(n)['nodes'][lost]['connected'] for n in order),
                 'with a new disk it is taken')
        check(appliance.tool(order[0], 'node', 'add', lost).returncode == 0, 'it votes again')
        wait_caught_up(appliance, lost, 'and has everything')


def test_majority_lost(appliance, members):
    """Two are lost with their disks, and the one that led is left."""
    survivor = leader_of(appliance)
    back, gone = {0, 1, 2} - {survivor}
    for member in members:
        member.kill()
    wait_caught_up(appliance, survivor, 'the survivor has what the others have')
    done = appliance.tool(survivor, 'node', 'force', survivor, '--yes')
    check(done.returncode == 1 and 'a majority is there' in done.stderr, 'with a majority it is refused')
    for number in (back, gone):
        appliance.kill(number)
    shutil.move(f'{appliance.folder}/log{back}', f'{appliance.folder}/old{back}')
    shutil.rmtree(f'{appliance.folder}/log{gone}')
    wait_for(lambda: [n['connected'] for n in appliance.status(survivor)['nodes']] ==
             [n == survivor for n in range(3)], 'the survivor is alone')
    check(appliance.leader(survivor) is None, 'and leads nobody')
    done = appliance.tool(survivor, 'node', 'force', gone, survivor, '--yes')
    check(done.returncode == 1 and 'is not connected' in done.stderr, 'who is not there cannot go on')
    done = appliance.tool(survivor, 'node', 'force', survivor)
    check(done.returncode == 1 and 'nothing is done yet' in done.stdout, 'first it says what it would do')
    check(f'given up:              {min(back, gone)} {max(back, gone)}' in done.stdout, 'and to whom')
    begin = time.monotonic()
    done = appliance.tool(survivor, 'node', 'force', survivor, '--yes')
    print(done.stdout, done.stderr, flush=True)
    check(done.returncode == 0, f'forced: {time.monotonic() - begin:.2f} s')
    epoch = appliance.status(survivor)['node']['epoch']
    number = int(epoch.split(':')[0])
    check(number > 0 and epoch in done.stdout, 'status names the epoch')
    lost = [group['lost'] for group in appliance.status(survivor)['groups'] if group['number'] > 0]
    check(len(lost) == 1 and all(f'may have lost {run}' in done.stdout for run in lost[0]) and
          lost[0][-1].endswith(f'-{number * 10**15}'), 'it says by GTID what may be lost')
    start_members(members)
    commits(members, 'one of three goes on, and misses nothing')
    return epoch, survivor, back, gone


def test_comes_back(appliance, members, epoch, survivor, back, gone):
    """One was not lost after all; in its epoch nobody hears it."""
    shutil.move(f'{appliance.folder}/old{back}', f'{appliance.folder}/log{back}')
    appliance.start(back)
    wait_for(lambda: appliance.status(back), f'node {back} runs, in its old epoch')
    time.sleep(2)
    check(appliance.leader(back) is None and not appliance.status(survivor)['nodes'][back]['connected'],
          'nobody hears it')
    check(appliance.stop(back) == 0, 'it stops')
    appliance.start(back, '--rejoin', epoch)
    wait_for(lambda: appliance.status(survivor)['nodes'][back]['connected'], 'with --rejoin it is heard')
    check('is kept in' in appliance.said(back), 'it says where its old log is')
    done = appliance.tool(survivor, 'node', 'lost', f'{appliance.folder}/log{back}.before-epoch-{epoch.split(":")[0]}')
    check(done.returncode == 0 and 'have everything' in done.stdout, f'which held nothing else: {done.stdout}{done.stderr}')
    check(appliance.tool(survivor, 'node', 'add', back).returncode == 0, 'it is made a voter')
    appliance.start(gone, '--rejoin', epoch)
    wait_for(lambda: appliance.status(survivor)['nodes'][gone]['connected'], 'so is the one without a disk')
    check(appliance.tool(survivor, 'node', 'add', gone).returncode == 0, 'and made a voter')
    commits(members, 'members commit')
    appliance.kill(survivor)
    wait_for(lambda: leader_of(appliance, (back, gone)) is not None, 'the two that came back go on without it')
    wait_online(members)
    commits(members, 'members commit')
    appliance.start(survivor)
    wait_caught_up(appliance, survivor, 'the survivor is back')


def main():
    synodd, synodctl, load = sys.argv[1:4]
    with Bridge(5) as net, Appliance(net, synodd, synodctl, log_bytes_max='256 MiB') as appliance:
        members = []
        for number in (1, 2):
            net.spaces[2 + number].give_address(f'10.77.0.{10 + number}/24')
            members.append(Member(net.spaces[2 + number], load, appliance, number, clients=4, hot_rows=4,
                                  hot_percent=25, think_us=8000))
        begin(appliance, members)
        commits(members, 'members commit')
        test_full_outage(appliance, members)
        test_comes_back(appliance, members, *test_majority_lost(appliance, members))


main()
