"""Locks that no write set knows: rows that a transaction only read for update, and gaps. InnoDB lets the applier take
them from whoever has them, but for one that waits for its verdict: it keeps all its locks until it is committed or
refused. The same-origin rule (node/snapshot.h) rests on that, and nothing in MySQL's manual says so.

test_locks.py SYNODD SYNODCTL PLUGIN
"""
import signal
import threading
import time
from collections import Counter

from client import CONFLICT, Client
from cluster import Cluster, wait_until
from servers import SqlError
from test_conflicts import repeat, together

STRESS_S, READERS, WRITERS = 6, 6, 2
WAITING = "SELECT COUNT(*) FROM performance_schema.data_locks WHERE LOCK_STATUS = 'WAITING' AND OBJECT_NAME = 'locked'"
ENTERED = ("SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE ID = {} AND "
           "STATE = 'waiting for handler commit'")


class Applier:
    """Server 1 applies what server 2 wrote into row 10 only when it is let: first it has to have table `gate`."""

    def __init__(self, cluster, value):
        self.keeper = Client(cluster.servers[0], 'conflict_test')
        self.look = Client(cluster.servers[0], 'conflict_test')
        self.reader = Client(cluster.servers[0], 'conflict_test')
        self.keeper.run('LOCK TABLES gate READ')
        self.reader.run('BEGIN')
        self.reader.run('SELECT value FROM locked WHERE id = 10 FOR UPDATE')
        cluster.servers[1].query('USE conflict_test; BEGIN; UPDATE gate SET value = value + 1; '
                                 f'UPDATE locked SET value = {value} WHERE id = 10; COMMIT')

    def let(self):
        self.keeper.run('UNLOCK TABLES')

    def applied(self, value):
        return self.look.value('SELECT value FROM locked WHERE id = 10') == str(value)


def goes_first(cluster):
    """Who has not said COMMIT yet loses its locks, and is told so. Else the next test would show nothing."""
    applier = Applier(cluster, 1)
    applier.let()
    wait_until(lambda: applier.applied(1), 'the applier takes the row', 30)
    try:
        applier.reader.run('UPDATE beside SET value = value + 1 WHERE id = 0')
        applier.reader.run('COMMIT')
        raise AssertionError('the reader had lost its lock, and was not told')
    except SqlError as error:
        assert error.code in CONFLICT, error
    print('the applier takes the locks of a transaction that is under way', flush=True)


def waits_its_turn(cluster):
    """The nodes stand still, so the reader waits for its verdict; the applier comes to the row that it read."""
    applier, nodes, ended = Applier(cluster, 2), cluster.appliance.process, []
    reader = applier.reader.value('SELECT CONNECTION_ID()')
    applier.reader.run('UPDATE beside SET value = value + 1 WHERE id = 0')
    time.sleep(1)  # server 1 has got what it is to apply

    def commit():
        try:
            applier.reader.run('COMMIT')
            ended.append('committed')
        except SqlError as error:
            ended.append(error)
    for node in nodes:
        node.send_signal(signal.SIGSTOP)
    try:
        thread = threading.Thread(target=commit)
        thread.start()
        wait_until(lambda: applier.look.value(ENTERED.format(reader)) == '1', 'the reader waits for its verdict', 30)
        applier.let()
        wait_until(lambda: applier.look.value(WAITING) == '1', 'the applier waits for the reader', 30)
        time.sleep(0.5)
        assert not ended and not applier.applied(2), ended
    finally:
        for node in nodes:
            node.send_signal(signal.SIGCONT)
    thread.join()
    assert ended == ['committed'], ended
    cluster.wait_equal()
    assert applier.applied(2)
    print('and waits for one that has said COMMIT', flush=True)


def read_and_write(server, number, until, counts):
    """Reads two rows and the gap between them for update, then counts in a row that other readers count in too."""
    client = Client(server, 'conflict_test')
    while time.monotonic() < until:
        try:
            for sql in ('BEGIN', 'SELECT value FROM locked WHERE id BETWEEN 10 AND 20 FOR UPDATE',
                        f'UPDATE beside SET value = value + 1 WHERE id = {number % 2}', 'COMMIT'):
                client.run(sql)
            counts['done'] += 1
        except SqlError as error:
            counts[error.code] += 1


def nothing_is_lost(cluster):
    """Readers of one server, and writers of another who go for what they read: each acknowledged update is there."""
    until, counts = time.monotonic() + STRESS_S, [Counter() for _ in range(READERS + WRITERS)]

    def write(number):
        repeat(cluster.servers[1], lambda n: 'UPDATE locked SET value = value + 1 WHERE id = 10' if n % 2 else
               f'INSERT INTO locked VALUES ({11 + n % 8}, 1) ON DUPLICATE KEY UPDATE value = value + 1', until,
               counts[number])

    def work(number):
        if number < READERS:
            read_and_write(cluster.servers[0], number, until, counts[number])
        else:
            write(number)
    cluster.servers[0].query('UPDATE conflict_test.locked SET value = 0; UPDATE conflict_test.beside SET value = 0')
    cluster.wait_equal()
    together(work, range(READERS + WRITERS))
    cluster.wait_equal()
    read, written = sum(counts[:READERS], Counter()), sum(counts[READERS:], Counter())
    assert not set(read + written) - {'done'} - CONFLICT, (read, written)
    for server in cluster.servers:
        values = [int(server.value(f'SELECT SUM(value) FROM conflict_test.{table}')) for table in ('beside', 'locked')]
        assert values == [read['done'], written['done']], (server.number, values, read, written)
    print(f'locking reads beside writes of another server: {dict(read)} and {dict(written)}, none lost', flush=True)


def main():
    with Cluster.of_arguments('locks') as cluster:
        cluster.start_group()
        cluster.servers[0].query('CREATE DATABASE conflict_test; USE conflict_test; '
                                 'CREATE TABLE gate (id INT PRIMARY KEY, value BIGINT NOT NULL); '
                                 'INSERT INTO gate VALUES (1, 0); '
                                 'CREATE TABLE locked (id INT PRIMARY KEY, value BIGINT NOT NULL); '
                                 'INSERT INTO locked VALUES (10, 0), (20, 0); '
                                 'CREATE TABLE beside (id INT PRIMARY KEY, value BIGINT NOT NULL); '
                                 'INSERT INTO beside VALUES (0, 0), (1, 0)')
        cluster.wait_equal()
        goes_first(cluster)
        waits_its_turn(cluster)
        nothing_is_lost(cluster)
        cluster.check_tables()


main()
