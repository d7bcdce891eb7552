#!/usr/bin/env python3
"""How long commits stand still when a node is killed or stopped: three synodd and two members.

bench_pauses.py BUILD [--kills N] [--smallest]      as root; the logs lie below the working directory

The leader's node is killed (SIGKILL) under load, N times (200). Of each time two figures: until the
first member commits again, which no silence of the whole group can exceed, and until the last one
does. Before and after come from the members' own clocks; what a kill could not have caused, the
longest such pause in as long a time without one, stands beside them as the floor.

Then a follower is killed, and another time stopped (SIGSTOP) for a second: commits in windows of 50 ms,
compared with the middle of the second before.

Nodes, members and disk are one machine's: what is measured holds its scheduler's delays.
"""
import argparse
import os
import signal
import statistics
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, f'{ROOT}/tests/device')

from appliance import Appliance
from load import Member, ask_all, begin, errors, last_index, leader_of
from netns import Bridge

MEMBERS, CLIENTS, THINK_US = 2, 4, 4000
RUN_S, WINDOW_S, DIP = 0.6, 0.05, 0.8


def wait_until(condition, what, within_s=30):
    end = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > end:
            sys.exit(f'bench_pauses: not within {within_s} s: {what}')
        time.sleep(0.02)


def caught_up(appliance, number):
    said = [appliance.status(n) for n in range(3)]
    return all(said) and said[number]['node']['voting'] and leader_of(appliance) is not None and \
        last_index(said[number]) >= max(map(last_index, said)) - CLIENTS * MEMBERS


def pauses_of(members, during):
    """The longest pause of each member in RUN_S, in ms; `during` comes after a tenth of a second."""
    ask_all(members, 'reset')
    ask_all(members, 'go')
    time.sleep(0.1)
    during()
    time.sleep(RUN_S)
    wait_until(lambda: all(m.stats()['connected'] for m in members), 'all have a leader again')
    stats = [member.stats() for member in members]
    ask_all(members, 'halt')
    if any(errors(s) for s in stats):
        sys.exit(f'bench_pauses: a client saw an error: {[errors(s) for s in stats]}')
    return sorted(s['pause_us'] / 1000 for s in stats)


def kill_leaders(appliance, members, kills):
    rows, quiet = [], []
    for _ in range(kills):
        quiet.append(pauses_of(members, lambda: None))
        leader = leader_of(appliance)
        rows.append(pauses_of(members, lambda: appliance.kill(leader)))
        appliance.start(leader)
        wait_until(lambda: caught_up(appliance, leader), 'the killed node is back')
    return rows, quiet


def show(what, values):
    values = sorted(values)

    def at(part):
        return values[min(int(part * len(values)), len(values) - 1)]
    print(f'{what:<44} p50 {at(0.5):5.0f}  p90 {at(0.9):5.0f}  p99 {at(0.99):5.0f}  '
          f'max {values[-1]:5.0f} ms', flush=True)


def windows(members, before_s, during, after_s):
    """Commits of all members together in each window."""
    counts, end, next_s = [], time.monotonic() + before_s + after_s, time.monotonic()
    disturb_s = next_s + before_s
    last = sum(m.stats()['commit'] for m in members)
    while time.monotonic() < end:
        next_s += WINDOW_S
        if during and next_s > disturb_s:
            during()
            during = None
        time.sleep(max(0, next_s - time.monotonic()))
        now = sum(m.stats()['commit'] for m in members)
        counts.append(now - last)
        last = now
    return counts


def dip(appliance, members, what, disturb, mend):
    """How long, in ms, windows held less than DIP of the middle one before."""
    leader = leader_of(appliance)
    victim = (leader + 1) % 3
    ask_all(members, 'reset')
    ask_all(members, 'go')
    time.sleep(0.5)
    counts = windows(members, 1, lambda: disturb(victim), 1)
    ask_all(members, 'halt')
    mend(victim)
    wait_until(lambda: caught_up(appliance, victim), 'it is back')
    count = int(1 / WINDOW_S)
    usual = statistics.median(counts[:count])
    low = [sum(c < DIP * usual for c in part) * WINDOW_S * 1000
           for part in (counts[:count], counts[count:])]
    rate = [sum(part) / len(part) / WINDOW_S for part in (counts[:count], counts[count:])]
    print(f'{what:<44} {rate[0]:.0f} commits/s before, {rate[1]:.0f} after; windows below '
          f'{DIP * 100:.0f} %: {low[0]:.0f} ms before, {low[1]:.0f} ms after', flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n', maxsplit=1)[0])
    parser.add_argument('build')
    parser.add_argument('--kills', type=int, default=200)
    parser.add_argument('--smallest', action='store_true', help='two kills')
    options = parser.parse_args()
    build = os.path.abspath(options.build)
    subprocess.run([f'{build}/perf/order_floor', 'header', 'bench_pauses'], check=True)
    with Bridge(3 + MEMBERS) as net, \
            Appliance(net, f'{build}/dpdk/synodd', f'{build}/dpdk/synodctl', within=os.getcwd(),
                      log_bytes_max='2 GiB') as appliance:
        members = []
        for number in range(1, 1 + MEMBERS):
            net.spaces[2 + number].give_address(f'10.77.0.{10 + number}/24')
            members.append(Member(net.spaces[2 + number], f'{build}/tests/device/member_load',
                                  appliance, number, clients=CLIENTS, hot_rows=0,
                                  think_us=THINK_US))
        begin(appliance, members)
        rows, quiet = kill_leaders(appliance, members, 2 if options.smallest else options.kills)
        show('leader killed: until one member commits', [row[0] for row in rows])
        show('leader killed: until every member commits', [row[-1] for row in rows])
        show('nothing killed: longest of one', [row[0] for row in quiet])
        show('nothing killed: longest of all', [row[-1] for row in quiet])
        print(f'# {len(rows)} kills', flush=True)
        for _ in range(1 if options.smallest else 5):
            dip(appliance, members, 'follower killed', appliance.kill, appliance.start)
            dip(appliance, members, 'follower stopped (SIGSTOP)',
                lambda n: appliance.process[n].send_signal(signal.SIGSTOP),
                lambda n: appliance.process[n].send_signal(signal.SIGCONT))


main()
