"""Commit latency of three stock MySQL servers: with Synod over three nodes, and with their own Group Replication, by turns.

bench_group.py SYNODD SYNODCTL PLUGIN [--rounds N] [--seconds N] [--clients N]

Both groups are there all the time, one of them idle; each round gives each of them the same load for the same time, the
order changing from round to round. Latency is that of COMMIT as its client sees it; each transaction changes one row
and inserts another, rows are the clients' own. Prints medians over the rounds, and the least and most of them.
"""
import argparse
import time

import groups
from client import Load


def one_round(cluster, options):
    with Load(cluster, clients=options.clients, hot_share=0) as load:
        time.sleep(options.seconds)
    latencies = sorted(latency for _, latency in load.commits())
    assert latencies, 'nothing was committed'
    cluster.wait_equal()
    load.check()
    return {'commits/s': len(latencies) / options.seconds, 'p50 ms': 1e3 * groups.percentile(latencies, 0.5),
            'p95 ms': 1e3 * groups.percentile(latencies, 0.95), 'p99 ms': 1e3 * groups.percentile(latencies, 0.99),
            'max ms': 1e3 * latencies[-1]}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('--seconds', type=int, default=8)
    groups.by_turns(groups.options(parser), one_round)


main()
