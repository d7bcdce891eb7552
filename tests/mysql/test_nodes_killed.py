"""kill -9 of one node under load costs no client an error and at most a second; of all three, no acknowledged commit.

test_nodes_killed.py SYNODD SYNODCTL PLUGIN
"""
import time

from client import Load, create_tables
from cluster import Cluster, wait_until

PAUSE_S_MAX = 1.0
BEFORE_S, AFTER_S, MEET_S_MAX = 1.5, 2.5, 60


def one_node(cluster, load, victim, what):
    began = time.monotonic()
    cluster.kill_node(victim)
    time.sleep(AFTER_S)
    count = load.count()
    cluster.start_node(victim)
    cluster.wait_nodes(range(3))
    back = time.monotonic()
    wait_s, silence_s = load.longest_wait_s(began, back), load.longest_silence_s(began, back)
    print(f'kill -9 of {what}: {count:,d} commits so far, the longest wait {wait_s * 1e3:.0f} ms, '
          f'the longest silence {silence_s * 1e3:.0f} ms', flush=True)
    assert not load.errors(), load.errors()[:3]
    assert max(wait_s, silence_s) <= PAUSE_S_MAX, f'the pause was longer than {PAUSE_S_MAX} s'


def all_nodes(cluster, load):
    before = load.count()
    for process in cluster.appliance.process:  # at once; the second loop only waits
        process.kill()
    for number in range(3):
        cluster.kill_node(number)
    silent = load.count()
    for number in range(3):
        cluster.start_node(number)
    cluster.wait_nodes(range(3))
    time.sleep(AFTER_S)
    print(f'kill -9 of all nodes after {before:,d} commits, {load.count() - silent:,d} more afterwards', flush=True)
    assert load.count() > silent, 'no commit since all nodes came back'


def main():
    with Cluster.of_arguments('nodes') as cluster:
        cluster.start_group()
        create_tables(cluster.servers[0])
        with Load(cluster) as load:
            time.sleep(BEFORE_S)
            leader = cluster.leader()
            one_node(cluster, load, leader, 'the leader')
            leader = cluster.leader()
            one_node(cluster, load, (leader + 1) % 3, 'a follower')
            for _ in range(2):
                all_nodes(cluster, load)
            wait_until(load.refused, 'two writers meet in a row', MEET_S_MAX)
        cluster.wait_equal()
        load.check()
        cluster.check_tables()
    print(f'{load.count():,d} acknowledged, {load.refused():,d} refused, none lost, no error')


main()
