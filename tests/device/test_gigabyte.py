#!/usr/bin/env python3
"""One transaction that takes many seconds among small ones, on three nodes with real logs: what the small ones
pay, what memory it takes, and that neither the origin's death nor the leader's in the middle leaves anything.

test_gigabyte.py SYNODD SYNODCTL MEMBER_LOAD [--long [MIB]]: 48 MiB, or with --long 1 GiB, or as many.
"""
import itertools
import sys
import time

from appliance import Appliance, check, wait_for
from load import Member, ask_all, begin, errors, leader_of, settle, wait_caught_up, wait_online
from netns import Bridge

MEMBERS = 2
SIZES_KIB = {'short': 48 << 10, 'long': 1 << 20}
QUIET_S = {'short': 4, 'long': 15}
WITHIN_S = {'short': 60, 'long': 2400}
CUT_KIB = {'short': 32 << 10, 'long': 256 << 10}
GIVERS = itertools.count(MEMBERS + 1)
NODE_GROWS_KIB = 16 << 10  # far below either payload
PAUSE_MAX_US = 1000000  # p99 is printed: on a busy host it says little
LOOK_S = 0.5  # so seldom that looking costs the small ones nothing


def rss_kib(process):
    with open(f'/proc/{process.pid}/status', encoding='ascii') as file:
        return next(int(line.split()[1]) for line in file if line.startswith('VmRSS'))


def node_rss_kib(appliance):
    return [rss_kib(process) for process in appliance.process]


def say(name, stats):
    print(f'   {name}: ' + '; '.join(f'{s["commit"]} commits, p50 {s["p50_us"]} us, p99 {s["p99_us"]} us, '
                                     f'max {s["max_us"]} us' for s in stats), flush=True)


def has_from(member, giver):
    """Has it what this giver gave? Looks at what it executed since the last time: all of it costs more
    and more, on the cores that are measured."""
    known = len(member.read)
    return any(line.id >> 48 == giver.number for line in member.lines()[known:] if line.letter == 'R')


def open_payloads(appliance, nodes=(0, 1, 2)):
    said = [appliance.status(number) for number in nodes]
    return [status['node']['payloads_open'] if status else -1 for status in said]


def make_giver(make, members, kib):
    giver = make(next(GIVERS), clients=1, large=1, large_kib=kib, large_hashes=1000, think_us=60000000,
                 dead_ms=2000, hot_percent=0)
    giver.start()
    check(giver.started(), f'a member with one transaction of {kib >> 10} MiB joins (refused: {giver.refusal})')
    wait_online(members + [giver])
    return giver


def wait_under_way(appliance, nodes=(0, 1, 2)):
    leader = leader_of(appliance)
    before = appliance.status(leader)['log']['durable_lsn']
    wait_for(lambda: max(open_payloads(appliance, nodes)) > 0 and
             appliance.status(leader)['log']['durable_lsn'] > before + (8 << 20), 'it is under way', 60)


def test_among_small(appliance, members, giver, how):
    """The one that takes long: until its COMMIT, while the others get it, and the small ones alone again."""
    ask_all(members, 'reset')
    ask_all(members, 'go')
    time.sleep(QUIET_S[how])
    quiet = [member.stats() for member in members]
    before, most = node_rss_kib(appliance), [0, 0, 0]
    ask_all(members, 'reset')
    say('small ones alone', quiet)

    def until(done, what):
        def seen():
            most[:] = map(max, most, node_rss_kib(appliance))
            assert not errors(giver.stats()), errors(giver.stats())
            return done()
        began = time.monotonic()
        wait_for(seen, what, WITHIN_S[how], LOOK_S)
        print(f'   it took {time.monotonic() - began:.1f} s', flush=True)
        stats = [member.stats() for member in members]
        ask_all(members, 'reset')
        say('small ones meanwhile', stats)
        return stats
    giver.ask('go')
    spread = until(lambda: giver.stats()['commit'] >= 1, 'its COMMIT')
    giver.ask('halt')  # or it begins another one after a minute
    lacking = set(members)

    def fed_to_all():
        lacking.difference_update([member for member in lacking if has_from(member, giver)])
        return not lacking
    fed = until(fed_to_all, 'every other member has it')
    time.sleep(QUIET_S[how])
    again = [member.stats() for member in members]
    say('small ones alone again', again)
    ask_all(members + [giver], 'halt')
    print(f'   nodes grew by {[now - then for now, then in zip(most, before)]} KiB', flush=True)
    loud = spread + fed
    check(all(not errors(s) for s in quiet + loud), 'no client saw an error')
    check(all(now - then < NODE_GROWS_KIB for now, then in zip(most, before)), 'no node holds it in memory')
    usual = max(s['p99_us'] for s in quiet + again)
    print(f'   p99 of the small ones: x{max(s["p99_us"] for s in spread) / usual:.2f} until its COMMIT, '
          f'x{max(s["p99_us"] for s in fed) / usual:.2f} while it is fed', flush=True)
    check(all(line['pause_us'] < PAUSE_MAX_US for line in loud), 'small ones kept flowing')
    settle(members + [giver])


def test_origin_killed(appliance, members, giver):
    """Nobody will ever submit it: nodes forget it when the member's incarnation has ended."""
    ask_all(members, 'go')
    giver.ask('go')
    wait_under_way(appliance)
    giver.kill()
    wait_for(lambda: max(open_payloads(appliance)) == 0, 'no node keeps anything of it', 60)
    ask_all(members, 'halt')
    check(all(not errors(member.stats()) for member in members), 'no other client saw an error')
    settle(members)


def test_leader_killed(appliance, members, giver, how):
    leader = leader_of(appliance)
    rest = [number for number in range(3) if number != leader]
    ask_all(members, 'reset')
    ask_all(members, 'go')
    giver.ask('go')
    wait_under_way(appliance)
    appliance.kill(leader)
    wait_for(lambda: giver.stats()['commit'] >= 1, 'the leader was killed: it is committed', WITHIN_S[how])
    ask_all(members + [giver], 'halt')
    check(all(not errors(member.stats()) for member in members), 'no client saw an error')
    settle(members + [giver])
    appliance.start(leader)
    wait_caught_up(appliance, leader, 'the killed node is back and has caught up')
    wait_for(lambda: max(open_payloads(appliance, rest)) == 0, 'nothing is left open')


def main():
    synodd, synodctl, program = sys.argv[1:4]
    how = 'long' if '--long' in sys.argv[4:] else 'short'
    SIZES_KIB[how] = int(sys.argv[5]) << 10 if len(sys.argv) > 5 else SIZES_KIB[how]
    with Bridge(3 + MEMBERS + 3) as net, Appliance(
            net, synodd, synodctl, segment_bytes='16 MiB', log_bytes_max='12 GiB', index_hashes_max=1 << 20) as appliance:
        for i, space in enumerate(net.spaces[3:]):
            space.give_address(f'10.77.0.{11 + i}/24')

        def make(number, **options):
            return Member(net.spaces[2 + number], program, appliance, number,
                          **{'clients': 4, 'hot_rows': 4, 'hot_percent': 25, 'think_us': 5000, **options})
        members = [make(1 + i) for i in range(MEMBERS)]
        begin(appliance, members)
        giver = make_giver(make, members, SIZES_KIB[how])
        test_among_small(appliance, members, giver, how)
        check(giver.ask('stop') == 'stopped left', 'it leaves')
        test_origin_killed(appliance, members, make_giver(make, members, CUT_KIB[how]))
        test_leader_killed(appliance, members, make_giver(make, members, CUT_KIB[how]), how)


main()
