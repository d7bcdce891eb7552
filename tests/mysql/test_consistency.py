"""A client that asks for consistency BEFORE reads what any other one was told, at whichever server; nodes die meanwhile.

test_consistency.py SYNODD SYNODCTL PLUGIN
"""
import statistics
import threading
import time

from client import Client, Load, create_tables
from cluster import Cluster
from servers import SqlError

ROUNDS = 300
ANSWER_S = 20
LAST = 100000
BEFORE = "SET SESSION group_replication_consistency = 'BEFORE'"


class Asking(threading.Thread):
    """A client that reads, and keeps its answer or its error."""

    def __init__(self, server, wait_timeout_s):
        super().__init__()
        self.client = Client(server)
        self.client.run(BEFORE)
        self.client.run(f'SET SESSION wait_timeout = {wait_timeout_s}')
        self.id = self.client.value('SELECT CONNECTION_ID()')
        self.answer = self.took_s = None

    def run(self):
        began = time.monotonic()
        try:
            self.answer = self.client.value('SELECT MAX(id) FROM d.t')
        except SqlError as error:
            self.answer = error.code
        self.took_s = time.monotonic() - began


def read_behind(writer, readers, numbers):
    """What one was told that it has committed each reader finds at once; answers what the reads took, in ms."""
    took = []
    for number in numbers:
        writer.run(f'INSERT INTO d.t VALUES ({number})')
        for reader in readers:
            began = time.monotonic()
            found = int(reader.value('SELECT MAX(id) FROM d.t'))
            took.append((time.monotonic() - began) * 1e3)
            assert found >= number, f'{number} was committed, and {found} is read'
    return took


def without_a_majority(cluster):
    one, two = cluster.servers[:2]
    gone = [0, 1]
    for number in gone:
        cluster.kill_node(number)
    late, killed, patient = Asking(two, 2), Asking(two, ANSWER_S), Asking(one, 3 * ANSWER_S)
    for asking in late, killed, patient:
        asking.start()
    late.join(ANSWER_S)
    assert late.answer == 3797 and late.took_s >= 2, f'{late.answer} after {late.took_s} s'
    two.query(f'KILL QUERY {killed.id}')
    killed.join(ANSWER_S)
    assert killed.answer in (1317, 3797) and killed.took_s < ANSWER_S, f'{killed.answer} after {killed.took_s} s'
    assert patient.answer is None, 'nobody can know'
    assert int(Client(two).value('SELECT COUNT(*) FROM d.t')) > 0, 'who asks for nothing is not held'
    for number in gone:
        cluster.start_node(number)
    patient.join(3 * ANSWER_S)
    assert patient.answer == str(LAST), f'{patient.answer} after {patient.took_s} s'


def main():
    with Cluster.of_arguments('consistency') as cluster:
        cluster.start_group()
        create_tables(cluster.servers[0])
        writer = Client(cluster.servers[0])
        writer.run('CREATE DATABASE d')
        writer.run('CREATE TABLE d.t (id INT PRIMARY KEY)')
        cluster.wait_equal()
        readers = [Client(server) for server in cluster.servers[1:]]
        for reader in readers:
            reader.run(BEFORE)
        with Load(cluster, clients=1) as load:
            took = read_behind(writer, readers, range(1, ROUNDS))
            leader = cluster.leader()
            cluster.kill_node(leader)
            amid = read_behind(writer, readers, range(ROUNDS, 2 * ROUNDS))
            cluster.start_node(leader)
        cluster.wait_equal()
        load.check()
        writer.run(f'INSERT INTO d.t VALUES ({LAST})')
        without_a_majority(cluster)
        cluster.wait_nodes(range(3))
        read_behind(writer, readers, [LAST + 1])
        cluster.wait_equal()
        cluster.check_tables()
        print(f'a read behind a barrier took {statistics.median(took):.1f} ms in the median, {max(took):.0f} at most, '
              f'and {max(amid):.0f} as the leader was killed')


main()
