#!/usr/bin/env python3
"""Order latency and throughput: three synodd over af_packet on one bridge, and a member.

bench_order.py BUILD [--seal] [--rounds N] [--smallest]    as root; the logs lie below the working directory

A member (tests/device/member_load) submits transactions of 4 rows and 200 bytes, 1, 8 and 64
outstanding, and waits for its verdicts; nothing conflicts, nobody applies. In memory (durability =
memory) a verdict needs two network round trips; on disk a durable write at two nodes besides. So
the floor is a datagram's round trip through the same bridge, from a sleeping sender over an echo
on af_packet, and a durable write on the same disk.

Each point has an appliance of its own. All points take turns, round by round; medians over the
rounds are printed, with the least and the most. Nodes, member and disk are one machine's: what is
measured is the code and the scheduler, and three logs that share one disk. The CPU time that the
three nodes together spend on an order hardly depends on what else runs there; with few orders it
holds the spinning between them.

With --seal each point is measured twice in a round, in clear and sealed, which of them first taking
turns; for each point follows what sealing adds, round by round. Without it links are in clear.
"""
import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, f'{ROOT}/tests/device')

from appliance import EAL, Appliance
from load import Member, errors
from netns import Bridge

OUTSTANDING = (1, 8, 64)
SEALS = {'none': 'order', 'on': 'order sealed'}
ECHO, ECHO_PORT = '10.77.0.20', 7000
DATAGRAM_BYTES, WRITE_BYTES = 400, 4096


def wait_until(condition, what, within_s=30):
    end = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > end:
            sys.exit(f'bench_order: not within {within_s} s: {what}')
        time.sleep(0.02)


def ready(appliance):
    said = [appliance.status(number) for number in range(3)]
    return all(said) and all(one['node']['voting'] for one in said) and \
        len({one['groups'][0]['leader'] for one in said} - {None}) == 1


def cpu_us(processes):
    """CPU time so far: `ip netns exec` replaces itself by what it runs."""
    ticks = 0
    for process in processes:
        with open(f'/proc/{process.pid}/stat', encoding='ascii') as file:
            fields = file.read().rsplit(')', 1)[1].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks * 1e6 / os.sysconf('SC_CLK_TCK')


def measure(net, build, point, run_s):
    """Microseconds and orders per second of one point."""
    durability, outstanding, seal = point
    with Appliance(net, f'{build}/dpdk/synodd', f'{build}/dpdk/synodctl', durability=durability,
                   within=os.getcwd(), log_bytes_max='2 GiB', index_hashes_max=1048576,
                   seal=seal) as appliance, \
            tempfile.TemporaryDirectory(dir='/dev/shm') as memory:
        for number in range(3):
            appliance.start(number, '--format')
        wait_until(lambda: ready(appliance), 'the nodes agree')
        member = Member(net.spaces[3], f'{build}/tests/device/member_load', appliance, 1,
                        folder=memory, bootstrap=1, clients=outstanding, hot_rows=0, think_us=0, commit_us=0)
        member.start()
        if not member.started():
            sys.exit('bench_order: the member was refused')
        wait_until(lambda: member.stats()['online'] == 1, 'the member is ONLINE')
        member.ask('go')
        time.sleep(run_s / 4)
        member.ask('reset')
        began, cpu_began = time.monotonic(), cpu_us(appliance.process)
        time.sleep(run_s)
        stats = member.stats()
        took_s, took_cpu_us = time.monotonic() - began, cpu_us(appliance.process) - cpu_began
        member.ask('halt')
        member.kill()
        if errors(stats):
            sys.exit(f'bench_order: {errors(stats)}')
        return {'p50': stats['p50_us'], 'p99': stats['p99_us'], 'rate': stats['commit'] / took_s,
                'cpu': took_cpu_us / max(stats['commit'], 1)}


def floor(space, build, *words):
    argv = [f'{build}/perf/order_floor', *map(str, words)]
    process = space.run(argv, stdout=subprocess.PIPE, text=True)
    text, _ = process.communicate(timeout=120)
    if process.returncode != 0:
        sys.exit('bench_order: no floor')
    said = dict(word.split('=') for word in text.split())
    return {'p50': int(said['p50_ns']) / 1000, 'p99': int(said['p99_ns']) / 1000}


def echo_floor(net, build, count):
    argv = [f'{build}/tests/device/udp_echo', EAL, f'{ECHO}/24', str(ECHO_PORT)]
    echo = net.spaces[4].run(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    echo.stdout.readline()
    result = floor(net.spaces[3], build, 'udp', ECHO, ECHO_PORT, DATAGRAM_BYTES, count)
    echo.terminate()
    echo.communicate(timeout=10)
    return result


def middle(rows, name):
    values = [row[name] for row in rows]
    return f'{statistics.median(values):8.0f} [{min(values):6.0f} {max(values):6.0f}]'


def show(what, rows):
    line = f'{what:<36} p50 {middle(rows, "p50")}  p99 {middle(rows, "p99")} us'
    if 'rate' in rows[0]:
        line += f'  {middle(rows, "rate")} /s  CPU {middle(rows, "cpu")} us'
    print(line, flush=True)


def added(clear, sealed):
    """Pairs of one round: what else ran then, both had."""
    line = '    sealing adds'
    for name in ('p50', 'p99', 'cpu'):
        percent = [100 * (s[name] / c[name] - 1) for c, s in zip(clear, sealed)]
        line += f'  {name} {statistics.median(percent):+.0f} [{min(percent):+.0f} {max(percent):+.0f}] %'
    print(line, flush=True)


def main():
    parser = argparse.ArgumentParser(description='Order latency over three nodes, as root; the logs '
                                     'lie below the working directory.')
    parser.add_argument('build', type=os.path.abspath, help='a release build')
    parser.add_argument('--seal', action='store_true', help='each point in clear and sealed, by turns')
    parser.add_argument('--rounds', type=int, default=5)
    parser.add_argument('--smallest', action='store_true', help='one short round: does it work?')
    options = parser.parse_args()
    build, rounds, run_s, count = options.build, options.rounds, 3, 5000
    if options.smallest:
        rounds, run_s, count = 1, 0.5, 200
    seals = list(SEALS) if options.seal else ['none']
    points = [(durability, n) for durability in ('memory', 'disk') for n in OUTSTANDING]
    rows = {(*point, seal): [] for point in points for seal in seals}
    rows.update(echo=[], write=[])
    subprocess.run([f'{build}/perf/order_floor', 'header', 'bench_order'], check=True)
    with Bridge(5) as net:
        net.spaces[3].give_address('10.77.0.11/24')
        for number in range(rounds):
            rows['echo'].append(echo_floor(net, build, count))
            rows['write'].append(floor(net.spaces[3], build, 'write', os.getcwd(), WRITE_BYTES,
                                       count))
            for point in points:
                for seal in seals[::-1] if number % 2 else seals:
                    rows[*point, seal].append(measure(net, build, (*point, seal), run_s))
    for durability, outstanding in points:
        for seal in seals:
            show(f'{SEALS[seal]}, {durability}, {outstanding} outstanding',
                 rows[durability, outstanding, seal])
        if len(seals) > 1:
            added(*(rows[durability, outstanding, seal] for seal in seals))
    show(f'floor: echo of {DATAGRAM_BYTES} bytes', rows['echo'])
    show(f'floor: bare write of {WRITE_BYTES} bytes', rows['write'])
    print(f'# {rounds} rounds of {run_s} s each; median over them, [least most]')


main()
