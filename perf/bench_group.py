"""Commit latency of three stock MySQL servers: with Synod over three nodes, and with their own Group Replication, by turns.

bench_group.py SYNODD SYNODCTL PLUGIN [--rounds N] [--seconds N] [--clients N]

Both groups are there all the time, one of them idle; each round gives each of them the same load for the same time, the
order changing from round to round. Latency is that of COMMIT as its client sees it; each transaction changes one row
and inserts another, rows are the clients' own. Prints medians over the rounds, and the least and most of them.
"""
import argparse
import os
import platform
import statistics
import subprocess
import sys
import time

TOP = os.path.join(os.path.dirname(os.path.abspath(__file__)), '..')
sys.path.append(os.path.join(TOP, 'tests/mysql'))

from client import Load, create_tables  # noqa: E402
from cluster import Cluster, Programs  # noqa: E402


def percentile(values, share):
    return values[min(len(values) - 1, int(share * len(values)))]


def one_round(cluster, options):
    with Load(cluster, clients=options.clients, hot_share=0) as load:
        time.sleep(options.seconds)
    latencies = sorted(latency for _, latency in load.commits())
    assert latencies, 'nothing was committed'
    cluster.wait_equal()
    load.check()
    return {'commits/s': len(latencies) / options.seconds, 'p50 ms': 1e3 * percentile(latencies, 0.5),
            'p95 ms': 1e3 * percentile(latencies, 0.95), 'p99 ms': 1e3 * percentile(latencies, 0.99),
            'max ms': 1e3 * latencies[-1]}


def report(name, rounds):
    for what in rounds[0]:
        values = [each[what] for each in rounds]
        print(f'{name:8} {what:10} {statistics.median(values):10.2f} [{min(values):.2f} {max(values):.2f}]')


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('programs', nargs=3)
    parser.add_argument('--rounds', type=int, default=5)
    parser.add_argument('--seconds', type=int, default=8)
    parser.add_argument('--clients', type=int, default=4, help='on each server')
    options = parser.parse_args()
    commit = subprocess.run(['git', '-C', TOP, 'describe', '--always', '--dirty', '--abbrev=12'], capture_output=True,
                            text=True, check=False).stdout.strip()
    print(f'commit {commit}   {platform.release()}   {os.cpu_count()} cores   load {os.getloadavg()[0]:.1f}   '
          f'{options.clients} clients on each of 3 servers, {options.rounds} rounds of {options.seconds} s')
    programs = Programs(*map(os.path.abspath, options.programs))
    with Cluster('ours', programs) as ours, Cluster('stock', programs, stock=True) as stock:
        groups = {'synod': ours, 'stock GR': stock}
        for cluster in groups.values():
            cluster.start_group()
            create_tables(cluster.servers[0])
            cluster.wait_equal()
        rounds = {name: [] for name in groups}
        for number in range(options.rounds):
            names = list(groups) if number % 2 == 0 else list(groups)[::-1]
            for name in names:
                rounds[name].append(one_round(groups[name], options))
                print(f'# round {number + 1} {name}: ' + '  '.join(f'{what} {value:.2f}' for what, value in
                                                                   rounds[name][-1].items()), flush=True)
        for name, values in rounds.items():
            report(name, values)


main()
