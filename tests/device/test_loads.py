#!/usr/bin/env python3
"""More large transactions at once than the log can hold: a log keeps all since the first byte of each that is
under way, and a node whose log is full hears nothing any more. So they take turns, and small ones wait no
longer than until there is room again.

test_loads.py SYNODD SYNODCTL MEMBER_LOAD
"""
import sys
import time

from appliance import Appliance, check, wait_for
from load import Member, ask_all, begin, errors, settle, wait_online
from netns import Bridge

MEMBERS, GIVERS = 2, 6
LOG_MIB, LARGE_MIB = 96, 20
WITHIN_S = 150


def main():
    synodd, synodctl, program = sys.argv[1:4]
    with Bridge(3 + MEMBERS + GIVERS) as net, Appliance(
            net, synodd, synodctl, segment_bytes='4 MiB', log_bytes_max=f'{LOG_MIB} MiB', index_hashes_max=1 << 18) as appliance:
        for i, space in enumerate(net.spaces[3:]):
            space.give_address(f'10.77.0.{11 + i}/24')

        def make(number, **options):
            return Member(net.spaces[2 + number], program, appliance, number,
                          **{'clients': 4, 'hot_rows': 4, 'hot_percent': 25, 'think_us': 5000, **options})
        members = [make(1 + i) for i in range(MEMBERS)]
        givers = [make(1 + MEMBERS + i, clients=1, large=1, large_kib=LARGE_MIB << 10, large_hashes=100,
                       think_us=1000000, dead_ms=2000, hot_percent=0) for i in range(GIVERS)]
        begin(appliance, members)
        for giver in givers:
            giver.start()
            check(giver.started(), f'a member with a transaction of {LARGE_MIB} MiB joins (refused: {giver.refusal})')
        wait_online(members + givers)
        ask_all(members + givers, 'go')
        lacking = set(givers)

        def all_committed():
            for giver in [giver for giver in lacking if giver.stats()['commit'] >= 1]:
                giver.ask('halt')  # or it begins another one
                lacking.remove(giver)
            return not lacking
        wait_for(all_committed, f'{GIVERS} of {LARGE_MIB} MiB are committed, in a log of {LOG_MIB} MiB', WITHIN_S, 0.5)
        ask_all(members, 'reset')
        time.sleep(1)
        wait_for(lambda: all(member.stats()['commit'] > 0 for member in members), 'small ones go on')
        check(not any(errors(member.stats()) for member in members + givers), 'no client saw an error')
        check(all(appliance.status(number)['log']['stalled'] == 0 for number in range(3)), 'no log was ever full')
        ask_all(members, 'halt')
        settle(members + givers)


main()
