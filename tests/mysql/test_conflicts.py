"""Who wins and who loses: one row and two servers, one counter and three, hot rows of one server alone, children of
one parent, and parents that are deleted under them.

test_conflicts.py SYNODD SYNODCTL PLUGIN
"""
import random
import re
import threading
import time
from collections import Counter

from client import ANSWER_S, CONFLICT, GONE, Client
from cluster import Cluster
from servers import SqlError

CLAIMS, PAIRS = 10000, 6
COUNT_S, ENOUGH_S_MAX = 4, 60
HOT_CLIENTS, HOT_S = 6, 4
CHILD_CLIENTS, FAMILY_S, PARENTS = 6, 6, 8
NO_PARENT, HAS_CHILDREN, KILLED, NO_THREAD = 1452, 1451, 1317, 1094


def together(work, arguments):
    """Runs `work` once per argument, each in a thread, and raises what one of them raised."""
    failures = []

    def run(argument):
        try:
            work(argument)
        except BaseException as error:
            failures.append(error)
    threads = [threading.Thread(target=run, args=(argument,), daemon=True) for argument in arguments]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


class Claimer:
    """One of the two who want the same rows; `answers` is what each claim led to: 'won', 'taken' or an error code."""

    def __init__(self, server, name, rows, barrier):
        self.server, self.name, self.rows, self.barrier = server, name, rows, barrier
        self.answers, self.why = {}, []

    def run(self):
        client = Client(self.server, 'conflict_test')
        try:
            for row in self.rows:
                self.barrier.wait(60)
                try:
                    changed = client.changed(f'UPDATE claim SET owner = {self.name} WHERE id = {row} AND owner = 0')
                    self.answers[row] = 'won' if changed else 'taken'
                except SqlError as error:
                    assert error.code in CONFLICT, f'row {row}, {self.name}: {error}'
                    self.answers[row] = error.code
                    self.why += client.run('SHOW WARNINGS') if error.code == 3101 else []
        except BaseException:
            self.barrier.abort()  # not at the end: the other may be on its way out of the last wait
            raise


def claims(cluster):
    """Each pair goes through its share of the rows in step, so that most claims meet on the way."""
    claimers = []
    for pair in range(PAIRS):
        rows, barrier = range(1 + pair, CLAIMS + 1, PAIRS), threading.Barrier(2)
        for side in range(2):
            server = cluster.servers[(pair + side) % len(cluster.servers)]
            claimers.append(Claimer(server, 2 * pair + side + 1, rows, barrier))
    began = time.monotonic()
    together(Claimer.run, claimers)
    cluster.wait_equal()
    cluster.check_tables()
    owner = {int(row): int(name) for row, name in
             Client(cluster.servers[0], 'conflict_test').run('SELECT id, owner FROM claim')}
    told, neither = Counter(), []
    for one, two in zip(claimers[::2], claimers[1::2]):
        for row in one.rows:
            winners = [each.name for each in (one, two) if each.answers[row] == 'won']
            assert len(winners) <= 1, f'row {row}: both were told that it is theirs'
            neither += [] if winners else [row]
            assert not winners or owner[row] == winners[0], f'row {row}: {winners[0]} won, and {owner[row]} has it'
            told.update(each.answers[row] for each in (one, two))
    assert not neither, f'{len(neither)} rows were won by nobody: {[(row, owner[row]) for row in neither[:5]]}'
    assert told['won'] == CLAIMS, told
    if not cluster.stock:
        explained(cluster, told[3101], [each.why for each in claimers])
    raced = sum(told[code] for code in CONFLICT)
    assert raced > CLAIMS // 100, f'claims hardly met: {told}'
    print(f'{CLAIMS} rows claimed twice in {time.monotonic() - began:.1f} s: {dict(told)}', flush=True)


def explained(cluster, refused, warnings):
    """Each that lost by certification was told to whom."""
    notes = [text for why in warnings for level, code, text in why if (level, code) == ('Note', '3101')]
    winners = {re.search(r'^Transaction (\S+:\d+) changed a row', text)[1] for text in notes}
    inside = Client(cluster.servers[0]).value(f"SELECT GTID_SUBSET('{','.join(winners)}', @@GLOBAL.gtid_executed)")
    assert refused > 0 and len(notes) == refused and inside == '1', (refused, len(notes), inside, notes[:3])


def history(cluster):
    """The same can be asked for afterwards, in a table of its own, by reason and by winner; TRUNCATE empties it."""
    for server in cluster.servers:
        rows = server.query("SELECT NUMBER, REASON, GTID_SUBSET(WINNER, @@GLOBAL.gtid_executed), LENGTH(KEY_HASH), "
                            "TIME BETWEEN NOW() - INTERVAL 5 MINUTE AND NOW() + INTERVAL 1 MINUTE, PROCESSLIST_ID > 0 "
                            "FROM performance_schema.synod_conflicts WHERE REASON = 'CONFLICT' ORDER BY NUMBER DESC")
        assert rows and all(row[1:] == ['CONFLICT', '1', '16', '1', '1'] for row in rows), (server.number, rows[:3])
        numbers = [int(row[0]) for row in rows]
        assert len(rows) <= 1024 and numbers == list(range(numbers[0], numbers[-1] - 1, -1)), numbers[:3]
    server = cluster.servers[0]
    server.query('TRUNCATE performance_schema.synod_conflicts')
    assert server.value('SELECT COUNT(*) FROM performance_schema.synod_conflicts') == '0'
    assert server.refused('DELETE FROM performance_schema.synod_conflicts').code == 1142
    print('each refusal stands in performance_schema.synod_conflicts', flush=True)


def repeat(server, sql, until, counts, enough=lambda: True):
    """Tells one statement again and again, longer where that was not enough; counts what it led to."""
    client = Client(server, 'conflict_test')
    while time.monotonic() < until or (not enough() and time.monotonic() < until + ENOUGH_S_MAX):
        try:
            client.run(sql(sum(counts.values())))
            counts['done'] += 1
        except SqlError as error:
            counts[error.code] += 1


def counter(cluster):
    until, counts = time.monotonic() + COUNT_S, [Counter() for _ in range(6)]

    def met():
        return any(each[code] for each in counts for code in CONFLICT)

    def work(number):
        repeat(cluster.servers[number % 3], lambda _: 'UPDATE one SET value = value + 1', until, counts[number], met)
    together(work, range(6))
    cluster.wait_equal()
    total = sum(counts, Counter())
    assert not set(total) - {'done'} - CONFLICT, total
    for server in cluster.servers:
        value = int(server.value('SELECT value FROM conflict_test.one'))
        assert value == total['done'], f'server {server.number} counts {value}, {total["done"]} were acknowledged'
    assert met(), f'no two increments met: {total}'
    print(f'a counter from three servers: {dict(total)}', flush=True)


def hot_rows(cluster):
    """Nobody writes elsewhere, so row locks alone have ordered these: none may be refused."""
    group = cluster.group_status()
    until, counts = time.monotonic() + HOT_S, [Counter() for _ in range(HOT_CLIENTS)]

    def work(number):
        repeat(cluster.servers[1], lambda n: f'UPDATE hot SET value = value + 1 WHERE id = {1 + n % 2}', until,
               counts[number])
    together(work, range(HOT_CLIENTS))
    cluster.wait_equal()
    total = sum(counts, Counter())
    assert set(total) == {'done'}, total
    after = cluster.group_status()
    assert cluster.stock or after['conflicts'] == group['conflicts'], 'the appliance refused some'
    print(f'two hot rows from {HOT_CLIENTS} clients of one server: {total["done"]} and no refusal', flush=True)


def children(cluster):
    """Children of one parent share its row, so the server lets them pass side by side; and so does the group. Stock
    refuses most of them. Now and then the parent itself is changed, and then it is alone."""
    until, counts = time.monotonic() + HOT_S, [Counter() for _ in range(CHILD_CLIENTS + 1)]
    cluster.servers[0].query('INSERT INTO conflict_test.parent VALUES (1, 0)')
    cluster.wait_equal()
    group = cluster.group_status()

    def work(number):
        sql = 'INSERT INTO child (parent) VALUES (1)' if number else 'UPDATE parent SET value = value + 1 WHERE id = 1'
        repeat(cluster.servers[1], lambda _: sql, until, counts[number])
    together(work, range(CHILD_CLIENTS + 1))
    cluster.wait_equal()
    total = sum(counts, Counter())
    print(f'children of one parent from {CHILD_CLIENTS} clients of one server, and its own changes: {dict(total)}',
          flush=True)
    if cluster.stock:
        return
    assert set(total) == {'done'}, total
    assert cluster.group_status()['conflicts'] == group['conflicts'], 'the appliance refused some'
    for server in cluster.servers:
        counted = server.value('SELECT COUNT(*) + (SELECT value FROM conflict_test.parent) FROM conflict_test.child')
        assert int(counted) == total['done'], (server.number, counted, total)


def come_again(server, until, counts):
    """Who was killed; and may be killed while it comes. What it is told then is that it was killed, or what another one
    was to be told: the server closes a socket that the killed one's thread still writes to, and who comes may have got
    the number (stock's, too)."""
    while True:
        try:
            return Client(server, 'conflict_test')
        except SqlError as error:
            if time.monotonic() > until + ANSWER_S:
                raise
            counts[error.code] += 1
            time.sleep(0.01)


def one_of_a_family(cluster, number, until, counts):
    """Of one server, most of them: adds a child, or takes a parent away, with the children or without; now and then
    somebody kills it, on whatever way its commit is."""
    server = cluster.servers[0 if number < CHILD_CLIENTS else 1 + number % 2]
    client, dice = Client(server, 'conflict_test'), random.Random(number)
    while time.monotonic() < until:
        parent = dice.randrange(2, 2 + PARENTS)
        kind = dice.randrange(10) if number != 0 else 10
        try:
            if kind < 6:
                client.run(f'INSERT INTO child (parent) VALUES ({parent})')
            elif kind < 8:
                client.run(f'INSERT IGNORE INTO parent VALUES ({parent}, 0)')
            elif kind == 8:
                client.run(f'DELETE FROM parent WHERE id = {parent}')
            elif kind == 9:
                client.run('BEGIN')
                client.run(f'DELETE FROM child WHERE parent = {parent}')
                client.run(f'DELETE FROM parent WHERE id = {parent}')
                client.run('COMMIT')
            else:
                mine = client.value('SELECT CONNECTION_ID()')
                for (other,) in client.run("SELECT ID FROM information_schema.PROCESSLIST WHERE DB = 'conflict_test' "
                                           f"AND USER = 'root' AND ID <> {mine} ORDER BY RAND() LIMIT 1"):
                    client.run(f'KILL {other}')
                time.sleep(0.01)
            counts['done'] += 1
        except SqlError as error:
            counts[error.code] += 1
            if error.code != NO_THREAD:
                client = come_again(server, until, counts)


def families(cluster):
    """What the group accepts must apply everywhere: a child that came without its parent would stop an applier."""
    until, counts = time.monotonic() + FAMILY_S, [Counter() for _ in range(CHILD_CLIENTS + 2)]
    together(lambda number: one_of_a_family(cluster, number, until, counts[number]), range(CHILD_CLIENTS + 2))
    cluster.wait_equal()
    cluster.check_tables()
    total = sum(counts, Counter())
    assert not set(total) - {'done', NO_PARENT, HAS_CHILDREN, KILLED, NO_THREAD, 3100} - CONFLICT - GONE, total
    for server in cluster.servers:
        orphans = server.value('SELECT COUNT(*) FROM conflict_test.child WHERE parent NOT IN '
                               '(SELECT id FROM conflict_test.parent)')
        assert orphans == '0', f'server {server.number} has {orphans} children without a parent'
    print(f'parents that come and go, and clients that are killed: {dict(total)}, and no orphan', flush=True)


def main():
    with Cluster.of_arguments('conflicts') as cluster:
        cluster.start_group()
        first = cluster.servers[0]
        first.query('CREATE DATABASE conflict_test; USE conflict_test; '
                    'CREATE TABLE claim (id INT PRIMARY KEY, owner INT NOT NULL); '
                    'CREATE TABLE one (id INT PRIMARY KEY, value BIGINT NOT NULL); INSERT INTO one VALUES (1, 0); '
                    'CREATE TABLE hot (id INT PRIMARY KEY, value BIGINT NOT NULL); '
                    'INSERT INTO hot VALUES (1, 0), (2, 0); '
                    'CREATE TABLE parent (id INT PRIMARY KEY, value BIGINT NOT NULL); '
                    'CREATE TABLE child (id BIGINT PRIMARY KEY AUTO_INCREMENT, parent INT NOT NULL, '
                    'FOREIGN KEY (parent) REFERENCES parent (id))')
        client = Client(first, 'conflict_test')
        for begin in range(1, CLAIMS + 1, 1000):
            client.run('INSERT INTO claim VALUES ' + ', '.join(f'({row}, 0)' for row in range(begin, begin + 1000)))
        cluster.wait_equal()
        claims(cluster)
        if not cluster.stock:
            history(cluster)
        counter(cluster)
        hot_rows(cluster)
        children(cluster)
        families(cluster)
        cluster.check_tables()


if __name__ == '__main__':
    main()
