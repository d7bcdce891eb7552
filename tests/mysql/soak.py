"""Kills and stops of every kind under load, for as long as one likes; then everything must be equal.

Not a part of any suite: for whoever has changed something and wants to know more than the tests say. What happens is
drawn from the seed; when it happens is the machine's.

soak.py SEED SECONDS SYNODD SYNODCTL PLUGIN
"""
import os
import random
import sys
import time

from client import Load, create_tables
from cluster import Cluster, Programs

WHAT = os.environ.get('SOAK', 'node node server both nodes stop').split()


class Soak:
    def __init__(self, cluster, dice):
        self.cluster, self.dice = cluster, dice

    def pause(self, most_s):
        time.sleep(self.dice.uniform(0, most_s))

    def break_something(self, what, node, server):
        cluster = self.cluster
        if what in ('node', 'both'):
            cluster.kill_node(node)
        if what == 'nodes':
            for process in cluster.appliance.process:  # at once
                process.kill()
            for number in range(3):
                cluster.kill_node(number)
        if what in ('server', 'both'):
            self.pause(0.4)
            cluster.kill_server(server)
        if what == 'stop':
            cluster.pool.server[server].query('STOP GROUP_REPLICATION')

    def mend(self, what, node, server):
        cluster = self.cluster
        for number in {'node': [node], 'both': [node], 'nodes': range(3)}.get(what, []):
            cluster.start_node(number)
        cluster.wait_nodes(range(3))
        if what in ('server', 'both'):
            cluster.start_server(server)
        if what in ('server', 'both', 'stop'):
            cluster.join(server)
            cluster.wait_online()

    def run(self, load, until):
        while time.monotonic() < until:
            self.pause(2)
            choice = self.dice.choice(WHAT), self.dice.randrange(3), self.dice.randint(1, 3)
            print(f'{load.count():8,d} commits, {load.refused():,d} refused; {choice[0]}: node {choice[1]}, '
                  f'server {choice[2]}', flush=True)
            began = time.monotonic()
            self.break_something(*choice)
            broken = time.monotonic()
            self.pause(1)
            self.mend(*choice)
            print(f'         broken in {broken - began:.1f} s, whole again {time.monotonic() - broken:.1f} s later', flush=True)


def main():
    seed, seconds = int(sys.argv[1]), float(sys.argv[2])
    with Cluster('soak', Programs(*map(os.path.abspath, sys.argv[3:6])), logs=f'build/soak-{seed}') as cluster:
        cluster.start_group()
        create_tables(cluster.servers[0])
        # Not at full speed: a server that comes back has to catch up.
        with Load(cluster, clients=3, large_share=0.02, pause_s=0.005, mortal={1, 2, 3}) as load:
            Soak(cluster, random.Random(seed)).run(load, time.monotonic() + seconds)
        cluster.wait_equal()
        load.check()
        cluster.check_tables()
    print(f'seed {seed}: {load.count():,d} acknowledged, {load.refused():,d} refused, {load.unknown()} in doubt: equal')


main()
