#!/usr/bin/env python3
"""Catch-up: how fast a member that was away gets what the others committed, from the nodes' logs.

bench_catchup.py BUILD [--smallest]      as root; the logs lie below the working directory

Three synodd over af_packet on one bridge, logs on disk. One member commits transactions of 4 rows
and 200 bytes, 8 outstanding, so that a value of the order holds few of them; then another one joins
that has none, and everything is read back from the leader's log. Its applier is always ready: what
is measured is the feed. Counted from its START's answer until it has executed all, between 10 % and
100 % of them; values are the slots of the order, each at least one read.
"""
import os
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, f'{ROOT}/tests/device')

from appliance import Appliance
from load import Member, leader_of
from netns import Bridge


def wait_until(condition, what, within_s=60):
    end = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > end:
            sys.exit(f'bench_catchup: not within {within_s} s: {what}')
        time.sleep(0.005)


def ready(appliance):
    said = [appliance.status(number) for number in range(3)]
    return all(said) and all(one['node']['voting'] for one in said)


def join(net, build, appliance, memory, number, **options):
    member = Member(net.spaces[2 + number], f'{build}/tests/device/member_load', appliance, number,
                    folder=memory, clients=8, hot_rows=0, think_us=0, commit_us=0, **options)
    member.start()
    if not member.started():
        sys.exit(f'bench_catchup: member {number} was refused')
    return member


def executed(member):
    return sum(line.letter in 'AR' for line in member.lines())


def measure(build, count):
    """Transactions and values per second."""
    with Bridge(5) as net, \
            Appliance(net, f'{build}/dpdk/synodd', f'{build}/dpdk/synodctl', within=os.getcwd(),
                      log_bytes_max='2 GiB', seal='none') as appliance, \
            tempfile.TemporaryDirectory(dir='/dev/shm') as memory:
        net.spaces[3].give_address('10.77.0.11/24')
        net.spaces[4].give_address('10.77.0.12/24')
        for number in range(3):
            appliance.start(number, '--format')
        wait_until(lambda: ready(appliance), 'the nodes agree')
        first = join(net, build, appliance, memory, 1, bootstrap=1)
        wait_until(lambda: first.stats()['online'] == 1, 'the member is ONLINE')
        first.ask('go')
        while first.stats()['commit'] < count:
            time.sleep(0.1)
        first.ask('halt')
        total = executed(first)
        values = appliance.status(leader_of(appliance))['groups'][-1]['delivered_slot']
        second = join(net, build, appliance, memory, 2, bootstrap=0)
        wait_until(lambda: executed(second) >= total // 10, 'a tenth')
        began, at = time.monotonic(), executed(second)
        wait_until(lambda: executed(second) == total, 'all of it')
        took_s = time.monotonic() - began
        for member in (first, second):
            member.kill()
        rate = (total - at) / took_s
        return {'transactions': rate, 'values': rate * values / total, 'total': total}


def show(what, rows):
    values = [row[what] for row in rows]
    print(f'{what + " per second":<28} {statistics.median(values):8.0f} '
          f'[{min(values):.0f} {max(values):.0f}]', flush=True)


def main():
    build = os.path.abspath(sys.argv[1])
    smallest = '--smallest' in sys.argv
    rounds, count = (1, 8000) if smallest else (5, 20000)
    subprocess.run([f'{build}/perf/order_floor', 'header', 'bench_catchup'], check=True)
    rows = [measure(build, count) for _ in range(rounds)]
    show('transactions', rows)
    show('values', rows)
    print(f'# {rounds} rounds of {rows[0]["total"]} transactions; median, [least most]')


main()
