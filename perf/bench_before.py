"""A read of one row, as its client sees it: with consistency EVENTUAL and BEFORE, in an idle group and in one where
clients of all servers, the reader's too, commit; with Synod over three nodes, and with the server's own Group
Replication, by turns.

bench_before.py SYNODD SYNODCTL PLUGIN [--rounds N] [--seconds N] [--clients N]

The difference between the two levels is what BEFORE costs: to hear up to where the order goes, and to have committed
all of that. Prints medians over the rounds, and the least and most of them.
"""
import argparse
import time

import groups
from client import Client, Load

LEVELS = 'EVENTUAL', 'BEFORE'


def read(server, level, seconds):
    """Latencies in ms, ascending."""
    client = Client(server, 'load_test')
    client.run(f"SET SESSION group_replication_consistency = '{level}'")
    took, end = [], time.monotonic() + seconds
    while time.monotonic() < end:
        began = time.monotonic()
        client.value('SELECT COUNT(*) FROM done WHERE writer = 0 AND number = 0')
        took.append(1e3 * (time.monotonic() - began))
    return sorted(took)


def levels(cluster, what, options):
    values = {}
    for level in LEVELS:
        took = read(cluster.servers[-1], level, options.seconds / len(LEVELS))
        values[f'{what} {level} p50 ms'] = groups.percentile(took, 0.5)
        values[f'{what} {level} p99 ms'] = groups.percentile(took, 0.99)
    return values


def one_round(cluster, options):
    values = levels(cluster, 'idle', options)
    with Load(cluster, clients=options.clients, hot_share=0) as load:
        values |= levels(cluster, 'busy', options)
    values['commits/s'] = len(load.commits()) / options.seconds
    cluster.wait_equal()
    load.check()
    return values


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('--seconds', type=int, default=8)
    groups.by_turns(groups.options(parser), one_round)


main()
