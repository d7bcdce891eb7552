"""Two of three nodes are given up while a client waits for its COMMIT: it is told so, and its server starts again.

test_forced.py SYNODD SYNODCTL PLUGIN
"""
import threading
import time

from client import Client
from cluster import Cluster, wait_until
from servers import SqlError

ANSWER_S = 20


class Waiting(threading.Thread):
    """A client whose COMMIT nobody answers while there is no majority."""

    def __init__(self, server):
        super().__init__()
        self.client = Client(server)
        self.answer = None

    def run(self):
        try:
            self.client.run('INSERT INTO d.t VALUES (2)')
            self.answer = 'committed'
        except SqlError as error:
            self.answer = error.code


def forced(cluster, survivor):
    appliance = cluster.appliance
    wait_until(lambda: [n['connected'] for n in appliance.status(survivor)['nodes']] ==
               [n == survivor for n in range(3)], 'the survivor is alone', ANSWER_S)
    done = appliance.tool(survivor, 'node', 'force', survivor, '--yes')
    assert done.returncode == 0, done.stdout + done.stderr


def main():
    with Cluster.of_arguments('forced', count=2) as cluster:
        cluster.start_group()
        one, two = cluster.servers
        one.query('CREATE DATABASE d; CREATE TABLE d.t (id INT PRIMARY KEY); INSERT INTO d.t VALUES (1)')
        cluster.wait_equal()
        survivor = cluster.leader()
        for number in {0, 1, 2} - {survivor}:
            cluster.kill_node(number)
        waiting = Waiting(one)
        waiting.start()
        time.sleep(1)
        assert waiting.answer is None, f'nobody can know: {waiting.answer}'
        forced(cluster, survivor)
        waiting.join(ANSWER_S)
        assert waiting.answer == 3100, f'told to a client whose COMMIT waited: {waiting.answer}'
        assert '1 transactions waited for their verdict' in one.log()
        for server in one, two:
            wait_until(lambda server=server: server.value('SELECT @@super_read_only') == '1', 'read only', ANSWER_S)
            assert server.value('SELECT COUNT(*) FROM d.t') == '1'
        for server in one, two:
            server.query('STOP GROUP_REPLICATION; START GROUP_REPLICATION')
        cluster.wait_online()
        one.query('INSERT INTO d.t VALUES (3)')
        cluster.wait_equal()
        cluster.check_tables()
    print('told, and started again')


main()
