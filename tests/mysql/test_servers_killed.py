"""kill -9 of a server, between the verdict and the sync of its binary log and at any other time: equal after START.
And STOP under load: whoever waits is told what the group decided, and nothing commits past it.

test_servers_killed.py SYNODD SYNODCTL PLUGIN
"""
import os
import random
import threading
import time

from client import GONE, Client, Load, create_tables
from cluster import Cluster, wait_until
from servers import SqlError

VICTIM = 3
ROUNDS, STOPS = 3, 5
ROUNDS_MAX = 12
dice = random.Random(3)


def back(cluster):
    began = time.monotonic()
    cluster.start_server(VICTIM)
    booted = time.monotonic()
    cluster.join(VICTIM)
    joined = time.monotonic()
    cluster.wait_online()
    print(f'back: boot {booted - began:.1f} s, START {joined - booted:.1f} s, ONLINE {time.monotonic() - joined:.1f} s')


def commit_slowly(server, row, answers):
    """A commit that hangs before its binary log is synced: it is flushed by then, and the verdict is given."""
    try:
        client = Client(server, 'load_test')
        client.run(f'INSERT INTO done VALUES (0, {row})')
        answers.append('acknowledged')
    except SqlError as error:
        answers.append(error.code)


def before_sync(cluster, row, cut):
    """The others have the transaction, its origin waits to sync it and is killed there. With `cut` the binary log
    loses what was not synced, as in a power cut; the server then rolls it back, and gets it again from the group."""
    victim, other = cluster.servers[VICTIM - 1], Client(cluster.servers[0], 'load_test')
    name, position = Client(victim).run('SHOW BINARY LOG STATUS')[0][:2]
    victim.query('SET GLOBAL binlog_group_commit_sync_delay = 1000000')
    answers = []
    thread = threading.Thread(target=commit_slowly, args=(victim, row, answers), daemon=True)
    thread.start()
    wait_until(lambda: other.run(f'SELECT 1 FROM done WHERE writer = 0 AND number = {row}'),
               'the others have the transaction', 5)
    assert not answers, f'the origin was not slower than the others: {answers}'
    cluster.kill_server(VICTIM)
    thread.join(10)
    assert answers and answers[0] in GONE, f'the client was told {answers}'
    path = f'{victim.path}/data/{name}'
    flushed = os.path.getsize(path)
    assert flushed > int(position), 'the transaction was not yet in the binary log'
    if cut:
        os.truncate(path, int(position))
    back(cluster)
    cluster.wait_equal()
    tables = dict(cluster.check_tables())
    held = cluster.servers[VICTIM - 1].value(f'SELECT COUNT(*) FROM load_test.done WHERE number = {row}')
    assert held == '1', f'the transaction is there {held} times'
    print(f'killed before the sync, {"and the binary log cut" if cut else "binary log as it was"}: equal, {tables}',
          flush=True)


def stopped(cluster):
    """More than once: a START behind a STOP has to ask twice, since it does not know its last incarnation."""
    victim = cluster.servers[VICTIM - 1]
    with Load(cluster, clients=4, pause_s=0.01, mortal={VICTIM}) as load:
        for _ in range(STOPS):
            time.sleep(dice.uniform(0.3, 0.7))
            victim.query('STOP GROUP_REPLICATION')
            time.sleep(0.1)
            uuid, executed = victim.query('SELECT @@server_uuid, @@GLOBAL.gtid_executed')[0]
            assert uuid not in executed, f'committed past the group: {executed}'
            cluster.join(VICTIM)
            cluster.wait_online()
    cluster.wait_equal()
    load.check()
    cluster.check_tables()
    assert 'is unknown' not in victim.log(), 'with all nodes there, no outcome is unknown'
    print(f'{STOPS} times STOP and START, {load.count():,d} acknowledged, {load.unknown()} told that it stops: equal',
          flush=True)


def under_load(cluster):
    """Until one of its three clients was waiting for its commit when the server was killed."""
    # Not at full speed: on two cores the server that comes back would take long to catch up.
    with Load(cluster, clients=3, pause_s=0.01, mortal={VICTIM}) as load:
        kills = 0
        while kills < ROUNDS or (kills < ROUNDS_MAX and load.unknown() == 0):
            time.sleep(dice.uniform(0.3, 1.5))
            cluster.kill_server(VICTIM)
            time.sleep(dice.uniform(0, 0.5))
            back(cluster)
            kills += 1
            print(f'killed at {load.count():,d} commits; back and ONLINE', flush=True)
        time.sleep(0.5)
    cluster.wait_equal()
    load.check()
    cluster.check_tables()
    assert load.unknown() > 0, f'no client waited for its commit when its server was killed, {kills} times'
    print(f'{load.count():,d} acknowledged, {load.unknown()} in doubt for their clients: equal')


def main():
    with Cluster.of_arguments('killed') as cluster:
        cluster.start_group()
        create_tables(cluster.servers[0])
        before_sync(cluster, 1, cut=False)
        before_sync(cluster, 2, cut=True)
        stopped(cluster)
        under_load(cluster)


main()
