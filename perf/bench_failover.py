"""What a kill -9 costs those who go on committing: Synod's leader node, a server of Synod's, a server of stock's, by turns.

bench_failover.py SYNODD SYNODCTL PLUGIN [--rounds N] [--clients N] [--after S]

Three stock MySQL servers over three nodes, and three with their own Group Replication; both groups are there all the
time, one of them idle. Of a group under load one process is killed, and comes back. A pause is the longest that one
client of a surviving server waited for its COMMIT; a silence the longest in which none of them was told of any; `half`
is the time after the kill until the survivors commit at half the rate that they had before. Prints medians over the
rounds, and the least and most of them.
"""
import argparse
import time

import groups
from client import Load

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


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('--after', type=float, default=30, help='seconds of load behind each kill')
    options = groups.options(parser)
    with groups.both(options, f'rounds, {options.after:.0f} s behind each kill') as (ours, stock):
        kills = [Kill('synod, leader node', ours, None), Kill('synod, a server', ours, VICTIM),
                 Kill('stock GR, a server', stock, VICTIM)]
        for number in range(options.rounds):
            for kill in kills[number % 3:] + kills[:number % 3]:
                kill.one_round(options)
                print(f'# round {number + 1} {kill.name}: ' + '  '.join(f'{what} {value:.0f}' for what, value in
                                                                       kill.rounds[-1].items()), flush=True)
    for kill in kills:
        groups.report(kill.name, kill.rounds)


main()
