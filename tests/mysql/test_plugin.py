"""The plugin comes and goes, and what a server shows of it while it is stopped.

test_plugin.py PLUGIN
"""
import subprocess
import sys
import threading

from servers import Servers, SqlError

INSTALL = "INSTALL PLUGIN group_replication SONAME 'group_replication.so'"
UNINSTALL = 'UNINSTALL PLUGIN group_replication'
LOOPS, LOOPS_MAX = 20, 200
MEMBERS = 'SELECT * FROM performance_schema.replication_group_members'
STATS = 'SELECT * FROM performance_schema.replication_group_member_stats'
STATUS = "SELECT * FROM performance_schema.replication_connection_status WHERE CHANNEL_NAME LIKE 'group%'"


def same_tables(stock, ours):
    """Every row of the three tables, but for what tells the two servers apart."""
    for table in (MEMBERS, STATS, STATUS):
        rows = []
        for server in (stock, ours):
            uuid = server.value('SELECT @@server_uuid')
            rows.append(repr(server.query(table)).replace(uuid, 'UUID').replace(str(server.port), 'PORT'))
        assert rows[0] == rows[1], f'{table}\n  stock: {rows[0]}\n  ours:  {rows[1]}'
    assert ours.query(MEMBERS)[0][4] == 'OFFLINE'
    ours.query("SET GLOBAL group_replication_communication_stack = 'MYSQL'")
    assert ours.query(MEMBERS)[0][7] == 'MySQL'
    ours.query("SET GLOBAL group_replication_communication_stack = 'XCOM'")


def use_variable(server, end, seen):
    """Reads and sets synod.appliance all the time: it exists, or it does not, and nothing else."""
    while not end.is_set():
        try:
            server.query("SET GLOBAL synod.appliance = '10.0.0.1:7000'; SELECT @@GLOBAL.synod.appliance")
            seen['set'] += 1
        except SqlError as error:
            if error.code != 1193:
                seen['odd'].append(str(error))


def come_and_go(server):
    end, seen = threading.Event(), {'set': 0, 'odd': []}
    thread = threading.Thread(target=use_variable, args=(server, end, seen))
    thread.start()
    try:
        for loop in range(LOOPS_MAX):
            if loop >= LOOPS and seen['set'] > 0:
                break
            server.query(INSTALL)
            assert len(server.query("SHOW VARIABLES LIKE 'group_replication%'")) == 60
            assert server.query("SHOW VARIABLES LIKE 'synod%'")[0][0] == 'synod.appliance'
            server.query(UNINSTALL)
            assert server.query("SHOW VARIABLES LIKE 'synod%'") == []
    finally:
        end.set()
        thread.join()
    assert not seen['odd'], seen['odd']
    assert seen['set'] > 0, f'it was there {LOOPS_MAX} times, and nobody set it'
    assert server.refused('START GROUP_REPLICATION').code == 3092


def remembered(servers, server):
    """A persisted value is there after a restart, and so is one from the command line."""
    server.query(INSTALL)
    server.query("SET PERSIST synod.appliance = '10.0.0.2:7000'; SET PERSIST group_replication_member_weight = 70")
    server.stop()
    server = servers.start(1)
    assert server.value('SELECT @@GLOBAL.synod.appliance') == '10.0.0.2:7000'
    assert server.value('SELECT @@GLOBAL.group_replication_member_weight') == '70'
    server.query('RESET PERSIST')
    server.stop()
    server = servers.start(1, '--loose-synod.appliance=10.0.0.3:7000')
    assert server.value('SELECT @@GLOBAL.synod.appliance') == '10.0.0.3:7000'
    server.query(UNINSTALL)
    server.query('CREATE DATABASE works; DROP DATABASE works')


def other_version(servers, server):
    """A plugin for another server says so and is not loaded: here ours, told by its own bytes that it is for 9.7.0."""
    version = servers.environment['MYSQL_VERSION'].encode()
    path = servers.path + '/plugin/group_replication.so'
    with open(path, 'rb') as file:
        code = file.read()
    assert version + b'\0' in code
    with open(path + '.other', 'wb') as file:
        file.write(code.replace(version + b'\0', b'9.1.0\0'))
    subprocess.run(['mv', path + '.other', path.replace('group_replication', 'other')], check=True)
    error = server.refused(INSTALL.replace('group_replication.so', 'other.so'))
    assert error.code == 1123, error
    assert 'is for MySQL 9.1.0, and this server is' in server.log()
    assert server.query("SHOW VARIABLES LIKE 'synod%'") == []
    server.query('SELECT 1')


def main():
    with Servers('plugin', plugin=sys.argv[1], port=24200) as servers, Servers('plugin-stock', port=24210) as originals:
        ours, stock = servers.start(1), originals.start(1)
        for server in (ours, stock):
            server.query(INSTALL)
        same_tables(stock, ours)
        ours.query(UNINSTALL)
        come_and_go(ours)
        other_version(servers, ours)
        remembered(servers, ours)
    print(f'installed and uninstalled {LOOPS} times')
    return 0


sys.exit(main())
