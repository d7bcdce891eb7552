"""A member whose applier stops by itself leaves the group: it shows ERROR, is read only, and the others go on.

By a row that differs, and by KILL. After its repair it starts again and has what it missed.

test_applier_stops.py SYNODD SYNODCTL PLUGIN
"""
from cluster import Cluster, wait_until

LEAVE_S = 20
APPLIER = "SELECT THREAD_ID FROM performance_schema.replication_applier_status_by_coordinator WHERE SERVICE_STATE = 'ON'"


def left(cluster, server):
    """What everybody sees of a member that could not go on."""
    wait_until(lambda: cluster.members(1) == cluster.members(2) and len(cluster.members(1)) == 2,
               lambda: f'two members are left: {cluster.members(1)}', LEAVE_S)
    wait_until(lambda: [row[1] for row in cluster.members(server.number)] == ['ERROR'],
               lambda: f'ERROR: {cluster.members(server.number)}', LEAVE_S)
    wait_until(lambda: server.value('SELECT @@super_read_only') == '1', 'read only', LEAVE_S)
    assert 'MY-011452' in server.log()
    error = server.refused('INSERT INTO d.t VALUES (100, 0)')
    assert error.code == 1290, error


def back(cluster, server):
    """STOP, START, and nothing is missing; the repair is behind us."""
    server.query('STOP GROUP_REPLICATION; START GROUP_REPLICATION')
    cluster.wait_online()
    cluster.wait_equal()
    cluster.check_tables()


def another_row(cluster):
    one, three = (cluster.pool.server[n] for n in (1, 3))
    three.query('SET SQL_LOG_BIN = 0; DELETE FROM d.t WHERE id = 2')
    one.query('UPDATE d.t SET v = 1 WHERE id = 2; INSERT INTO d.t VALUES (3, 0)')
    left(cluster, three)
    one.query('INSERT INTO d.t VALUES (4, 0)')
    cluster.pool.server[2].query('INSERT INTO d.t VALUES (5, 0)')
    assert three.query('SELECT id FROM d.t ORDER BY id') == [['1']]
    three.query('STOP GROUP_REPLICATION; SET GLOBAL read_only = OFF; '
                'SET SQL_LOG_BIN = 0; INSERT INTO d.t VALUES (2, 0)')
    back(cluster, three)
    print('ok a row that differs', flush=True)


def killed_applier(cluster):
    one, three = (cluster.pool.server[n] for n in (1, 3))
    thread = three.value(APPLIER)
    three.query(f'KILL {three.value(f"SELECT PROCESSLIST_ID FROM performance_schema.threads WHERE THREAD_ID = {thread}")}')
    one.query('INSERT INTO d.t VALUES (6, 0)')
    left(cluster, three)
    back(cluster, three)
    print('ok a killed applier', flush=True)


def main():
    with Cluster.of_arguments('applier-stops') as cluster:
        cluster.start_group()
        cluster.pool.server[1].query('CREATE DATABASE d; CREATE TABLE d.t (id INT PRIMARY KEY, v INT); '
                                     'INSERT INTO d.t VALUES (1, 0), (2, 0)')
        cluster.wait_equal()
        another_row(cluster)
        killed_applier(cluster)
    print('the applier stopped, and its member left')


if __name__ == '__main__':
    main()
