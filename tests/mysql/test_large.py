"""A transaction of hundreds of MiB beside small ones: it is committed everywhere, whole, with little memory, while the
others go on; with its origin killed in the middle, and with the leader's node killed in the middle.

test_large.py SYNODD SYNODCTL PLUGIN [--long]: 96 MiB, or with --long 1 GiB.
"""
import sys
import threading
import time

from client import Client
from cluster import Cluster, wait_until
from servers import SqlError

MIB = 1 << 20
ROW_BYTES = 4 * MIB
LONG = '--long' in sys.argv[4:]
SIZE_MIB, CUT_MIB = (1024, 256) if LONG else (96, 64)
QUIET_S = 10 if LONG else 3
WITHIN_S = 900 if LONG else 120
GROWS_MIB = 64, 160, 160  # the origin's; of the others InnoDB's pool fills, too


class Small(threading.Thread):
    """A client whose COMMITs are timed."""

    def __init__(self, server, number):
        super().__init__(daemon=True)
        self.client, self.number = Client(server, 'large_test'), number
        self.took, self.failed, self.ending = [], None, False

    def run(self):
        try:
            i = 0
            while not self.ending:
                i += 1
                began = time.monotonic()
                self.client.run(f'UPDATE small SET v = {i} WHERE id = {self.number}')
                self.took.append((began, time.monotonic() - began))
                time.sleep(0.005)
        except SqlError as error:
            self.failed = error

    def between(self, begin, end):
        return sorted(took for began, took in self.took if begin <= began < end)


def percentiles(took):
    return 'none' if not took else (f'{len(took)} commits, p50 {took[len(took) // 2] * 1000:.1f} ms, '
                                    f'p99 {took[len(took) * 99 // 100] * 1000:.1f} ms, max {took[-1] * 1000:.0f} ms')


def memory_mib(server):
    """Without pages of files, which the kernel takes back when it needs them."""
    with open(f'/proc/{server.process.pid}/status', encoding='ascii') as file:
        return next(int(line.split()[1]) for line in file if line.startswith('RssAnon')) // 1024


def write_large(client, size_mib):
    """Everything but its COMMIT."""
    client.run('BEGIN')
    for row in range(size_mib * MIB // ROW_BYTES):
        client.run(f"INSERT INTO large VALUES ({row}, REPEAT(CHAR(97 + {row} % 26), {ROW_BYTES}))")


class Commit(threading.Thread):
    def __init__(self, client):
        super().__init__(daemon=True)
        self.client, self.error, self.ended = client, None, None

    def run(self):
        try:
            self.client.run('COMMIT')
        except SqlError as error:
            self.error = error
        self.ended = time.monotonic()


def open_payloads(cluster, nodes):
    said = [cluster.appliance.status(number) for number in nodes]
    return [status['node']['payloads_open'] if status else -1 for status in said]


def wait_under_way(cluster):
    leader = cluster.leader()

    def at():
        return cluster.appliance.status(leader)['log']['durable_lsn']
    before = at()
    wait_until(lambda: max(open_payloads(cluster, [leader])) > 0 and at() > before + 8 * MIB, 'it is under way', 60)


def among_small(cluster, writers):
    origin, others = cluster.servers[0], cluster.servers[1:]
    client = Client(origin, 'large_test', answer_s=WITHIN_S)
    time.sleep(QUIET_S)
    write_large(client, SIZE_MIB)
    time.sleep(QUIET_S)
    before, most = [memory_mib(s) for s in cluster.servers], [0] * 3
    commit, began = Commit(client), time.monotonic()
    quiet = began - QUIET_S
    commit.start()
    there = 'SELECT COUNT(*) FROM large_test.large'
    want = str(SIZE_MIB * MIB // ROW_BYTES)

    def everywhere():
        most[:] = map(max, most, (memory_mib(s) for s in cluster.servers))
        assert not commit.error, commit.error
        return commit.ended and all(s.value(there) == want for s in others)
    wait_until(everywhere, 'it is everywhere', WITHIN_S)
    ended = time.monotonic()
    print(f'{SIZE_MIB} MiB: COMMIT took {commit.ended - began:.1f} s, until all had it {ended - began:.1f} s; servers grew '
          f'by {[now - then for now, then in zip(most, before)]} MiB', flush=True)
    for writer in writers:
        print(f'  small ones of server {writer.number}: alone {percentiles(writer.between(quiet, began))}; until its '
              f'verdict and COMMIT {percentiles(writer.between(began, commit.ended))}; then '
              f'{percentiles(writer.between(commit.ended, ended))}', flush=True)
        assert writer.between(began, commit.ended), 'small ones went on'
    assert all(now - then < grows for now, then, grows in zip(most, before, GROWS_MIB)), 'no server held it in memory'


def leader_killed(cluster):
    client = Client(cluster.servers[1], 'large_test', answer_s=WITHIN_S)
    client.run('DELETE FROM large')
    write_large(client, CUT_MIB)
    commit, leader = Commit(client), cluster.leader()
    commit.start()
    wait_under_way(cluster)
    cluster.kill_node(leader)
    commit.join(WITHIN_S)
    assert commit.ended and not commit.error, commit.error
    cluster.start_node(leader)
    cluster.wait_nodes(range(3))


def origin_killed(cluster):
    """Whoever was cut off submits no more; the nodes forget what they had, and the server comes back."""
    origin = cluster.servers[2]
    client = Client(origin, 'large_test', answer_s=WITHIN_S)
    client.run('DELETE FROM large')
    write_large(client, CUT_MIB)
    commit = Commit(client)
    commit.start()
    wait_under_way(cluster)
    cluster.kill_server(origin.number)
    commit.join(WITHIN_S)
    assert commit.error, 'the client of a killed server was told of a commit'
    wait_until(lambda: max(open_payloads(cluster, range(3))) == 0, lambda: open_payloads(cluster, range(3)), 60)
    cluster.start_server(origin.number)
    cluster.join(origin.number)
    cluster.wait_online()
    assert origin.value('SELECT COUNT(*) FROM large_test.large') == '0'


def end_small(cluster, writers):
    for writer in writers:
        writer.ending = True
    for writer in writers:
        writer.join()
        assert not writer.failed, writer.failed
    cluster.wait_equal(WITHIN_S)
    cluster.check_tables()


def main():
    with Cluster.of_arguments('large', log_bytes_max='12 GiB' if LONG else '512 MiB',
                              segment_bytes='16 MiB' if LONG else '4 MiB') as cluster:
        cluster.start_group()
        first = cluster.servers[0]
        first.query('CREATE DATABASE large_test; USE large_test; CREATE TABLE large (id INT PRIMARY KEY, v LONGTEXT); '
                    'CREATE TABLE small (id INT PRIMARY KEY, v INT); INSERT INTO small VALUES (1, 0), (2, 0), (3, 0)')
        for server in cluster.servers:
            server.query(f'SET GLOBAL group_replication_transaction_size_limit = {1200 * MIB}; '
                         f'SET GLOBAL max_allowed_packet = {64 * MIB}; SET GLOBAL binlog_cache_size = {MIB}')
        cluster.wait_equal()
        writers = [Small(server, server.number) for server in cluster.servers]
        for writer in writers:
            writer.start()
        among_small(cluster, writers)
        end_small(cluster, writers)
        leader_killed(cluster)
        cluster.wait_equal(WITHIN_S)
        cluster.check_tables()
        origin_killed(cluster)
        cluster.wait_equal(WITHIN_S)
        cluster.check_tables()


main()
