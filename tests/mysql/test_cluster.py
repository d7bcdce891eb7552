"""Three servers commit through three nodes: the same rows, the same GTIDs, and tables of performance_schema that agree
with what the clients counted themselves.

test_cluster.py SYNODD SYNODCTL PLUGIN
"""
import threading
import time

from client import CONFLICT, Client
from cluster import GROUP, Cluster, wait_until
from servers import SqlError

MEMBERS = 'SELECT * FROM performance_schema.replication_group_members ORDER BY MEMBER_HOST'
STATS = ('SELECT VIEW_ID, COUNT_TRANSACTIONS_IN_QUEUE, COUNT_TRANSACTIONS_CHECKED, COUNT_CONFLICTS_DETECTED, '
         'COUNT_TRANSACTIONS_ROWS_VALIDATING, LAST_CONFLICT_FREE_TRANSACTION, '
         'COUNT_TRANSACTIONS_REMOTE_IN_APPLIER_QUEUE, COUNT_TRANSACTIONS_REMOTE_APPLIED, '
         'COUNT_TRANSACTIONS_LOCAL_PROPOSED, COUNT_TRANSACTIONS_LOCAL_ROLLBACK FROM '
         'performance_schema.replication_group_member_stats WHERE MEMBER_ID = @@server_uuid')
CONNECTION = ('SELECT GROUP_NAME, SOURCE_UUID, SERVICE_STATE FROM performance_schema.replication_connection_status '
              "WHERE CHANNEL_NAME = 'group_replication_applier'")
EACH = 20
ROWS = 200000


def rows_of_members(cluster):
    for server in cluster.servers:
        uuids = [other.value('SELECT @@server_uuid') for other in cluster.servers]
        version = server.value("SELECT SUBSTRING_INDEX(VERSION(), '-', 1)")
        rows = server.query(MEMBERS)
        assert rows == [['group_replication_applier', uuid, cluster.address(number), '3306', 'ONLINE', 'PRIMARY',
                         version, 'XCom'] for number, uuid in enumerate(uuids, 1)], rows
        assert server.query(CONNECTION) == [[GROUP, GROUP, 'ON']], server.query(CONNECTION)


def write(cluster):
    """What each server's client counted: accepted, and refused by the group."""
    one = cluster.servers[0]
    one.query('CREATE DATABASE d; CREATE TABLE d.t (id INT PRIMARY KEY, server INT, UNIQUE KEY (server, id))')
    cluster.wait_equal()
    for server in cluster.servers:
        for number in range(EACH):
            server.query(f'INSERT INTO d.t VALUES ({100 * server.number + number}, {server.number})')
    cluster.wait_equal()
    return [EACH + (2 if server is one else 0) for server in cluster.servers]


def rows_of_stats(cluster, accepted, refused=0):
    total = sum(accepted)
    for server, own in zip(cluster.servers, accepted):
        wait_until(lambda server=server: server.query(STATS)[0][2] == str(total + refused),
                   lambda server=server: f'{total} + {refused} checked: {server.query(STATS)}', 10)
        view, queue, _, conflicts, rows, last, to_apply, applied, proposed, rollback = server.query(STATS)[0]
        assert view == '1:3', view
        assert (queue, to_apply, conflicts) == ('0', '0', str(refused)), (queue, to_apply, conflicts)
        # The last one was the third server's, whose block of GTIDs is the third.
        assert last == f'{GROUP}:{2 * 1000000 + EACH}', last
        assert int(applied) == total - own, (applied, total, own)
        assert int(proposed) - int(rollback) == own, (proposed, rollback, own)
        assert 0 <= int(rows) <= 2 * (total + 2), rows
    wait_until(lambda: {server.query(STATS)[0][4] for server in cluster.servers} ==
               {str(cluster.group_status()['index_hashes'])},
               lambda: f'hashes as the node counts them: {cluster.group_status()}', 10)


def stop(cluster):
    """A member that leaves is gone for all; it sees itself OFFLINE, is read only, and comes back."""
    three = cluster.servers[2]
    three.query('STOP GROUP_REPLICATION')
    assert [row[1] for row in cluster.members(3)] == ['OFFLINE'], cluster.members(3)
    assert three.query(CONNECTION)[0][2] == 'OFF'
    assert three.value('SELECT @@super_read_only') == '1'
    try:
        three.query('INSERT INTO d.t VALUES (1, 1)')
        raise AssertionError('a server that left took a write')
    except SqlError as error:
        assert error.code == 1290, error
    wait_until(lambda: len(cluster.members(1)) == 2, lambda: f'two are left: {cluster.members(1)}', 10)
    cluster.servers[0].query('INSERT INTO d.t VALUES (2, 2)')
    cluster.join(3)
    cluster.wait_online()
    three.query('UPDATE d.t SET server = 9 WHERE id = 2')
    cluster.wait_equal()
    cluster.check_tables()


def large(cluster):
    """Far above what is ordered in one piece: one large row, and many small ones in one transaction; and what is above
    all bounds is refused in words, on a server that goes on."""
    one, two, three = cluster.servers
    one.query('CREATE TABLE d.large (id INT PRIMARY KEY, text LONGTEXT)')
    cluster.wait_equal()
    one.query("INSERT INTO d.large VALUES (1, REPEAT('x', 70000))")
    two.query("INSERT INTO d.large VALUES (2, REPEAT('y', 9000000))")
    three.query('INSERT INTO d.large WITH RECURSIVE n (i) AS (SELECT 10 UNION ALL SELECT i + 1 FROM n WHERE i < 900) '
                "SELECT i, REPEAT('z', 3000) FROM n")
    # More than a quarter of the log, and less than group_replication_transaction_size_limit.
    rows = ', '.join(f"({i}, REPEAT('x', 35000000))" for i in range(3, 7))
    error = one.refused(f'INSERT INTO d.large VALUES {rows}')
    assert error.code == 3100, error
    assert one.value('SELECT REASON FROM performance_schema.synod_conflicts ORDER BY NUMBER DESC LIMIT 1') == 'NO_ROOM'
    one.query('UPDATE d.large SET text = CONCAT(text, id) WHERE id < 20')
    cluster.wait_equal()
    cluster.check_tables()
    assert three.value('SELECT COUNT(*) FROM d.large') == '893', three.query('SELECT COUNT(*) FROM d.large')


class Meanwhile:
    """Small transactions on one server, told one by one while something else goes on."""

    def __init__(self, server, sql):
        self.server, self.sql = server, sql
        self.done, self.refused, self.wrong, self.end = 0, 0, [], False
        self.thread = threading.Thread(target=self.run, daemon=True)

    def run(self):
        client = Client(self.server, 'd')
        while not self.end:
            try:
                client.run(self.sql(self.done + self.refused))
                self.done += 1
            except SqlError as error:
                self.refused += 1
                self.wrong += [] if error.code in CONFLICT else [error]
            time.sleep(0.005)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.end = True
        self.thread.join()
        assert not self.wrong, self.wrong


def tried(server, sql):
    """What the statement led to: None, or the code of its refusal."""
    try:
        server.query(sql)
    except SqlError as error:
        assert error.code in CONFLICT, error
        return error.code
    return None


def many_keys(cluster):
    """A write set far above what is ordered in one piece: the others go on, all rows come, and conflicts are found."""
    one, two, three = cluster.servers
    one.query('CREATE TABLE d.wide (id INT PRIMARY KEY, n INT); CREATE TABLE d.small (id INT PRIMARY KEY, n INT)')
    cluster.wait_equal()
    with Meanwhile(two, lambda number: f'INSERT INTO small VALUES ({number}, 0)') as small:
        began = time.monotonic()
        one.query(f'SET SESSION cte_max_recursion_depth = {ROWS}; INSERT INTO d.wide WITH RECURSIVE n (i) AS '
                  f'(SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {ROWS}) SELECT i, 0 FROM n')
        took = time.monotonic() - began
        during = small.done
    cluster.wait_equal()
    cluster.check_tables()
    assert three.value('SELECT COUNT(*) FROM d.wide') == str(ROWS)
    assert small.refused == 0 and during > took, (small.refused, during, took)
    print(f'{ROWS} rows inserted in {took:.1f} s, {during} small transactions meanwhile', flush=True)

    # Row locks of an open transaction do not stop what the group has accepted.
    client = Client(two, 'd')
    client.run('BEGIN')
    client.run(f'UPDATE wide SET n = -1 WHERE id = {ROWS // 2}')
    assert tried(one, 'UPDATE d.wide SET n = n + 1') is None
    cluster.wait_equal()
    try:
        client.run('COMMIT')
        raise AssertionError('an update of a row that the large transaction had changed was accepted')
    except SqlError as error:
        assert error.code in CONFLICT, error
    assert [server.value('SELECT COUNT(*) FROM d.wide WHERE n = 1') for server in cluster.servers] == [str(ROWS)] * 3

    # Of a large one and small ones at the same time somebody loses, and no change of a winner is lost.
    with Meanwhile(three, lambda number: f'UPDATE wide SET n = n + 1 WHERE id = {1 + number * 7919 % ROWS}') as small:
        lost = tried(one, 'UPDATE d.wide SET n = n + 1')
    cluster.wait_equal()
    cluster.check_tables()
    assert lost or small.refused, 'they did not meet'
    total = int(three.value('SELECT SUM(n) FROM d.wide'))
    assert total == ROWS + (0 if lost else ROWS) + small.done, (total, lost, small.done)
    print(f'the large one: {lost or "accepted"}; of the small ones {small.done} accepted, {small.refused} refused',
          flush=True)


def main():
    with Cluster.of_arguments('cluster') as cluster:
        cluster.start_group()
        rows_of_members(cluster)
        accepted = write(cluster)
        cluster.check_tables()
        rows_of_stats(cluster, accepted)
        stop(cluster)
        large(cluster)
        many_keys(cluster)
    print('three nodes, three servers')


main()
