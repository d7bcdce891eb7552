"""Two groups of three stock MySQL servers, Synod's over three nodes and stock's own, to be measured by turns.

    options = groups.options(parser)                   # SYNODD SYNODCTL PLUGIN, --rounds, --clients
    with groups.both(options, 'what is done') as (ours, stock):
        ...
    groups.report(name, rounds)                        # rounds: one dictionary of figures each
    groups.by_turns(options, one_round)                # all of this, where rounds are alike
"""
import contextlib
import os
import platform
import statistics
import subprocess
import sys

TOP = os.path.join(os.path.dirname(os.path.abspath(__file__)), '..')
sys.path.append(os.path.join(TOP, 'tests/mysql'))

from client import create_tables  # noqa: E402
from cluster import Cluster, Programs  # noqa: E402


def options(parser):
    parser.add_argument('programs', nargs=3)
    parser.add_argument('--rounds', type=int, default=5)
    parser.add_argument('--clients', type=int, default=4, help='on each server')
    return parser.parse_args()


@contextlib.contextmanager
def both(chosen, what):
    """Both are there all the time, one of them idle."""
    commit = subprocess.run(['git', '-C', TOP, 'describe', '--always', '--dirty', '--abbrev=12'], capture_output=True,
                            text=True, check=False).stdout.strip()
    print(f'commit {commit}   {platform.release()}   {os.cpu_count()} cores   load {os.getloadavg()[0]:.1f}   '
          f'{chosen.clients} clients on each of 3 servers, {chosen.rounds} {what}')
    programs = Programs(*map(os.path.abspath, chosen.programs))
    # The log is large, so that a server which was away for a while still finds there what it lacks.
    with Cluster('ours', programs, log_bytes_max='2 GiB') as ours, Cluster('stock', programs, stock=True) as stock:
        for cluster in (ours, stock):
            cluster.start_group()
            create_tables(cluster.servers[0])
            cluster.wait_equal()
        yield ours, stock


def percentile(values, share):
    """Of values that ascend."""
    return values[min(len(values) - 1, int(share * len(values)))]


def by_turns(chosen, one_round):
    """`one_round(cluster, chosen)` of each group, the order changing from round to round; reports what they answer."""
    with both(chosen, f'rounds of {chosen.seconds} s') as (ours, stock):
        clusters = {'synod': ours, 'stock GR': stock}
        rounds = {name: [] for name in clusters}
        for number in range(chosen.rounds):
            names = list(clusters) if number % 2 == 0 else list(clusters)[::-1]
            for name in names:
                rounds[name].append(one_round(clusters[name], chosen))
                print(f'# round {number + 1} {name}: ' + '  '.join(f'{what} {value:.2f}' for what, value in
                                                                   rounds[name][-1].items()), flush=True)
    for name, values in rounds.items():
        report(name, values)


def report(name, rounds):
    for what in rounds[0]:
        values = [each[what] for each in rounds]
        print(f'{name:24} {what:22} {statistics.median(values):10.2f} [{min(values):.2f} {max(values):.2f}]')
