"""What a kill -9 costs those who go on committing: Synod's leader node, a server of Synod's, a server of stock's, by turns.

bench_failover.py SYNODD SYNODCTL PLUGIN [--rounds N] [--clients N] [--after S]

Three stock MySQL servers over three nodes, and three with their own Group Replication; both groups are there all the
time, one of them idle. Of a group under load one process is killed, and comes back. A pause is the longest that one
client of a surviving server waited for its COMMIT; a silence the longest in which none of them was told of any; `half`
is the time after the kill until the survivors commit at half the rate that they had before. Prints medians over the
rounds, and the least and most of them.
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

BEFORE_S, WINDOW_S = 3, 0.25
VICTIM = 3


class Kill:
    """One kind of kill, and how its process comes back."""

    def __init__(self, name, cluster, server):
        self.name, self.cluster, self.server, self.rounds = name, cluster, server, []
        self.node = None

    def kill(self):
        if self.server:
            self.cluster.kill_server(self.server)
            return
        self.node = self.cluster.leader()
        self.cluster.kill_node(self.node)

    def back(self):
        if self.server:
            self.cluster.start_server(self.server)
            self.cluster.join(self.server)
            self.cluster.wait_online()
        else:
            self.cluster.start_node(self.node)
            self.cluster.wait_nodes(range(3))

    def one_round(self, options):
        mortal = (self.server,) if self.server else ()
        with Load(self.cluster, clients=options.clients, hot_share=0, pause_s=0.01, mortal=mortal) as load:
            time.sleep(BEFORE_S)
            began = time.monotonic()
            self.kill()
            time.sleep(options.after)
            end = time.monotonic()
        self.rounds.append(self.measure(load, began, end))
        self.back()
        self.cluster.wait_equal()
        load.check()

    def measure(self, load, began, end):
        commits = sorted(pair for writer in load.writers if writer.server.number != self.server
                         for pair in writer.commits)
        before = sum(began - BEFORE_S + 1 < when <= began for when, _ in commits) / (BEFORE_S - 1)
        after = [(when, latency) for when, latency in commits if began < when <= end]
        moments = [began] + [when for when, _ in after] + [end]
        half = next((at for at in (i * WINDOW_S for i in range(int((end - began) / WINDOW_S)))
                     if sum(began + at < when <= began + at + WINDOW_S for when, _ in after) >=
                     before * WINDOW_S / 2), end - began)
        return {'commits/s before': before, 'silence ms': 1e3 * max(b - a for a, b in zip(moments, moments[1:])),
                'pause ms': 1e3 * max((latency for _, latency in after), default=end - began), 'half ms': 1e3 * half}

    def report(self):
        for what in self.rounds[0]:
            values = [each[what] for each in self.rounds]
            print(f'{self.name:24} {what:18} {statistics.median(values):10.0f} [{min(values):.0f} {max(values):.0f}]')


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('programs', nargs=3)
    parser.add_argument('--rounds', type=int, default=5)
    parser.add_argument('--clients', type=int, default=4, help='on each server')
    parser.add_argument('--after', type=float, default=30, help='seconds of load behind each kill')
    options = parser.parse_args()
    commit = subprocess.run(['git', '-C', TOP, 'describe', '--always', '--dirty', '--abbrev=12'], capture_output=True,
                            text=True, check=False).stdout.strip()
    print(f'commit {commit}   {platform.release()}   {os.cpu_count()} cores   load {os.getloadavg()[0]:.1f}   '
          f'{options.clients} clients on each of 3 servers, {options.rounds} rounds, {options.after:.0f} s behind each kill')
    programs = Programs(*map(os.path.abspath, options.programs))
    with Cluster('ours', programs) as ours, Cluster('stock', programs, stock=True) as stock:
        for cluster in (ours, stock):
            cluster.start_group()
            create_tables(cluster.servers[0])
            cluster.wait_equal()
        kills = [Kill('synod, leader node', ours, None), Kill('synod, a server', ours, VICTIM),
                 Kill('stock GR, a server', stock, VICTIM)]
        for number in range(options.rounds):
            for kill in kills[number % 3:] + kills[:number % 3]:
                kill.one_round(options)
                print(f'# round {number + 1} {kill.name}: ' + '  '.join(f'{what} {value:.0f}' for what, value in
                                                                       kill.rounds[-1].items()), flush=True)
        for kill in kills:
            kill.report()


main()
