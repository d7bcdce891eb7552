"""What a user may do wrong: each gets a clear error, in the client and in the log, and nothing is lost.

test_refused.py SYNODD SYNODCTL PLUGIN
"""
import sys

from cluster import GROUP, NODES, Cluster, wait_until
from servers import SqlError, owned_by_mysql

OTHER_GROUP = 'cccccccc-cccc-cccc-cccc-cccccccccccc'
KEYS_GROUP = 'dddddddd-dddd-dddd-dddd-dddddddddddd'


def refused(server, sql, code, *words):
    """`sql` must give this error; the words stand in it or in what the log says meanwhile."""
    before = len(server.log())
    error = server.refused(sql)
    said = error.text + server.log()[before:]
    assert error.code == code, f'{sql}: {error}'
    for word in words:
        assert word in said, f'{sql}: no {word!r} in {said}'
    print('ok', sql.split(';')[-1].strip(), '->', error, flush=True)


def appliance_texts(server):
    right = server.value('SELECT @@GLOBAL.synod.appliance')
    some = right.split(',')[0] + ', 10.77.0.2:4000'
    for text, word in [('10.77.0.1', "no 'host:port'"), ('10.77.0.1:0', 'resolved'), ('nowhere.invalid:1', 'resolved'),
                       ('10.77.0.1:4000, 10.77.0.1:4000', 'twice'), ('10.77.0.1:4000=KEY', 'public key'),
                       (',', "no 'host:port'"), (some, 'key or none')]:
        refused(server, f"SET GLOBAL synod.appliance = '{text}'; START GROUP_REPLICATION", 3663, word)
    server.query(f"SET GLOBAL synod.appliance = '{right}'")


def in_clear(server):
    """What links in clear are told by nodes that seal, and the log by START."""
    right = server.value('SELECT @@GLOBAL.synod.appliance')
    refused(server, f"SET GLOBAL synod.appliance = '{NODES}'; START GROUP_REPLICATION", 3663, 'sealed links only',
            'Links to the appliance are in clear')
    server.query(f"SET GLOBAL synod.appliance = '{right}'")


def key_of_one_group(cluster):
    """A server whose key the nodes list for one group opens that one, and not the group there is."""
    two, appliance = cluster.pool.server[2], cluster.appliance
    right, path = two.value('SELECT @@GLOBAL.synod.key_file'), f'{cluster.pool.path}/key_of_one'

    def counted():
        return sum(appliance.status(number)['drops']['node']['key_not_for_group'] for number in range(3))
    before = [appliance.said(number).count('keys now') for number in range(3)]
    appliance.list_server(appliance.key_command('new', path), groups=KEYS_GROUP)
    owned_by_mysql(cluster.pool.root, path)
    wait_until(lambda: all(appliance.said(n).count('keys now') > before[n] for n in range(3)),
               'the nodes have read their key files', 20)
    assert counted() == 0
    refused(two, f"SET GLOBAL synod.key_file = '{cluster.pool.inside}/key_of_one'; START GROUP_REPLICATION", 3663,
            'key may not open the group', 'synodctl key add')
    wait_until(lambda: counted() > 0, 'synodctl status counts it', 20)
    wait_until(lambda: any(f'asked for the group {GROUP}' in appliance.said(n) for n in range(3)), 'a node says so', 20)
    two.query(f"SET GLOBAL group_replication_group_name = '{KEYS_GROUP}'; "
              'SET GLOBAL group_replication_bootstrap_group = ON; START GROUP_REPLICATION; '
              'SET GLOBAL group_replication_bootstrap_group = OFF')
    wait_until(lambda: cluster.members(2)[0][1] == 'ONLINE', 'with that key its own group is opened', 20)
    wait_until(lambda: {GROUP, KEYS_GROUP} <= {group['uuid'] for group in appliance.status(0)['groups']}, 'two groups', 20)
    two.query('STOP GROUP_REPLICATION; SET GLOBAL super_read_only = OFF; SET GLOBAL read_only = OFF; '
              f"RESET BINARY LOGS AND GTIDS; SET GLOBAL group_replication_group_name = '{GROUP}'; "
              f"SET GLOBAL synod.key_file = '{right}'")


def starts(cluster):
    one, two = (cluster.pool.server[n] for n in (1, 2))
    refused(one, 'START GROUP_REPLICATION', 3663, 'no group of the name', 'bootstrap_group=ON')
    assert one.value('SELECT @@super_read_only') == '0'
    cluster.bootstrap(1)
    wait_until(lambda: cluster.members(1)[0][1] == 'ONLINE', 'the first member is ONLINE', 20)
    refused(one, 'START GROUP_REPLICATION', 3093)
    key_of_one_group(cluster)
    refused(two, 'SET GLOBAL group_replication_bootstrap_group = ON; START GROUP_REPLICATION', 3663, 'has members')
    two.query('SET GLOBAL group_replication_bootstrap_group = OFF')
    two.query('CREATE DATABASE astray')
    refused(two, 'START GROUP_REPLICATION', 3092, 'MY-011526')
    two.query('DROP DATABASE astray; RESET BINARY LOGS AND GTIDS; '
              f"SET GLOBAL group_replication_group_name = '{OTHER_GROUP}'")
    refused(two, 'START GROUP_REPLICATION', 3663, 'no group of the name')
    two.query(f"SET GLOBAL group_replication_group_name = '{GROUP}'")
    cluster.join(2)
    cluster.wait_online(2)


def statements(cluster):
    one, two = (cluster.pool.server[n] for n in (1, 2))
    one.query('CREATE DATABASE d; CREATE TABLE d.good (id INT PRIMARY KEY); CREATE TABLE d.bare (id INT); '
              'CREATE TABLE d.other (id INT PRIMARY KEY) ENGINE = MyISAM')
    refused(one, 'INSERT INTO d.bare VALUES (1)', 3098, 'MY-011542')
    refused(one, 'INSERT INTO d.other VALUES (1)', 3098, 'MY-011541')
    refused(one, "SET gtid_next = 'AUTOMATIC:tag'; INSERT INTO d.good VALUES (1)", 3100, 'Tagged GTIDs')
    refused(one, 'SET SESSION binlog_format = STATEMENT; INSERT INTO d.good VALUES (1)', 3098, 'MY-011595')
    for level in ('AFTER', 'BEFORE_AND_AFTER'):
        refused(one, f"SET SESSION group_replication_consistency = '{level}'; INSERT INTO d.good VALUES (1)", 3796)
    one.query('INSERT INTO d.good VALUES (1)')
    refused(one, 'UNINSTALL PLUGIN group_replication', 1883)
    cluster.wait_equal()
    cluster.check_tables()
    assert two.query('SELECT * FROM d.good') == [['1']]
    assert two.query('SELECT * FROM d.bare') == []


def life_of_the_server(cluster):
    """A shutdown leaves the group, and a server that starts the group at boot is a member again."""
    two = cluster.pool.server[2]
    two.stop()
    wait_until(lambda: len(cluster.members(1)) == 1, 'the server that was shut down has left', 20)
    cluster.pool.start(2, *cluster.options(2), '--loose-group_replication_start_on_boot=ON')
    cluster.wait_online(2)
    two.query('INSERT INTO d.good VALUES (2)')
    cluster.wait_equal()
    cluster.check_tables()


def without_nodes(cluster):
    two = cluster.pool.server[2]
    two.query('STOP GROUP_REPLICATION')
    assert two.value('SELECT @@super_read_only') == '1'
    assert cluster.members(2)[0][1] == 'OFFLINE'
    for number in range(3):
        cluster.kill_node(number)
    refused(two, 'START GROUP_REPLICATION', 3097, 'No node of the appliance', 'synodctl status')
    for number in range(3):
        cluster.start_node(number)
    cluster.wait_nodes(range(3))
    cluster.join(2)
    cluster.wait_online(2)
    cluster.pool.server[1].query('INSERT INTO d.good VALUES (3)')
    cluster.wait_equal()
    cluster.check_tables()


def main():
    with Cluster.of_arguments('refused', count=2) as cluster:
        cluster.start_servers()
        appliance_texts(cluster.pool.server[1])
        cluster.start_nodes()
        in_clear(cluster.pool.server[1])
        starts(cluster)
        statements(cluster)
        life_of_the_server(cluster)
        without_nodes(cluster)


main()
