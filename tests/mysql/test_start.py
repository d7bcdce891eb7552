"""START GROUP_REPLICATION: stock's checks, in its order, with its client errors and log lines; then our own.

Each case breaks one thing, or two to see which is found first, on a stock server and on ours alike.

test_start.py PLUGIN
"""
import re
import sys
from concurrent.futures import ThreadPoolExecutor

from servers import Servers

UUID = 'aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa'
OTHER = 'bbbbbbbb-bbbb-bbbb-bbbb-bbbbbbbbbbbb'
LINE = re.compile(r"\[(System|ERROR|Warning|Note)\] \[(MY-\d+)\] \[Repl\] Plugin group_replication reported: '(.*)'")

# Settings before the START, and what puts them back.
CASES = [
    ('nothing is set', '', ''),
    ('binlog_format before all the others', 'SET GLOBAL binlog_format = STATEMENT', ''),
    ('binlog_format mixed', 'SET GLOBAL binlog_format = MIXED', 'SET GLOBAL binlog_format = ROW'),
    ('gtid_mode', 'SET GLOBAL gtid_mode = ON_PERMISSIVE', 'SET GLOBAL gtid_mode = ON'),
    ('preserve_commit_order', 'SET GLOBAL replica_preserve_commit_order = OFF', ''),
    ('and not without workers', 'SET GLOBAL replica_parallel_workers = 0',
     'SET GLOBAL replica_parallel_workers = 4; SET GLOBAL replica_preserve_commit_order = ON'),
    ('group_name missing', '', ''),
]
# Values that only an option file can bring in: SET refuses them.
OPTIONS = [
    ('no binary log', ['--disable-log-bin']),
    ('no replica updates', ['--log-replica-updates=OFF']),
    ('name is no UUID', ['--loose-group_replication_group_name=x']),
    ('name is too long', [f'--loose-group_replication_group_name={UUID}0']),
    ('name is the view change UUID', [f'--loose-group_replication_group_name={UUID}',
                                      f'--loose-group_replication_view_change_uuid={UUID}']),
    ('view change UUID is none', [f'--loose-group_replication_group_name={UUID}',
                                  '--loose-group_replication_view_change_uuid=x']),
    ('both modes', ['--loose-group_replication_enforce_update_everywhere_checks=ON']),
    ('SSL text too long', [f'--loose-group_replication_group_name={UUID}',
                           '--loose-group_replication_recovery_ssl_crl=' + 'p' * 513]),
    ('force_members', [f'--loose-group_replication_group_name={UUID}',
                       '--loose-group_replication_force_members=a:1']),
    ('quotas', [f'--loose-group_replication_group_name={UUID}',
                '--loose-group_replication_flow_control_min_quota=20',
                '--loose-group_replication_flow_control_max_quota=10']),
    ('recovery quota', [f'--loose-group_replication_group_name={UUID}',
                        '--loose-group_replication_flow_control_min_recovery_quota=20',
                        '--loose-group_replication_flow_control_max_quota=10']),
    ('endpoint is no list', [f'--loose-group_replication_group_name={UUID}',
                             '--loose-group_replication_advertise_recovery_endpoints=x']),
    ('endpoint is not ours', [f'--loose-group_replication_group_name={UUID}',
                              '--loose-group_replication_advertise_recovery_endpoints=10.99.99.99:1']),
]
LOAD = '--plugin-load-add=group_replication.so'


def attempt(server):
    """The client's error of a START, and what it wrote to the log."""
    before = len(server.log())
    error = server.refused('START GROUP_REPLICATION')
    return str(error), LINE.findall(server.log()[before:])


def compare(what, stock, ours):
    if stock == ours:
        return 0
    print(f'{what}\n  stock: {stock}\n  ours:  {ours}')
    return 1


def told(pair, uuid):
    return repr(pair).replace(uuid, 'UUID')


def by_set(stock, ours):
    different = 0
    for what, before, after in CASES:
        answers = []
        for server in (stock, ours):
            uuid = server.value('SELECT @@server_uuid')
            if before:
                server.query(before)
            answers.append(told(attempt(server), uuid))
            if after:
                server.query(after)
        different += compare(what, *answers)
    return different


def at_boot(pool, options):
    """At boot the same checks are made, and the server comes up all the same."""
    before = len(pool.server[1].log())
    server = pool.start(1, LOAD, *options)
    boot = LINE.findall(server.log()[before:])
    answer = boot, attempt(server)
    server.kill()  # quicker than a shutdown, of which nothing is asked here
    return answer


def by_option(originals, servers):
    different = 0
    with ThreadPoolExecutor(2) as threads:
        for what, options in OPTIONS:
            different += compare(what, *threads.map(lambda pool: at_boot(pool, options), (originals, servers)))
    return different


def ours_alone(server):
    """What a later release brings is refused in words; nothing stays changed."""
    server.query(f"SET GLOBAL group_replication_group_name = '{UUID}'")
    error, lines = attempt(server)
    assert '3663' in error and 'single_primary_mode=OFF' in error, error
    assert lines and lines[-1][0] == 'ERROR' and 'Single-primary' in lines[-1][2], lines
    server.query('SET GLOBAL group_replication_single_primary_mode = OFF')
    error, lines = attempt(server)
    assert '3663' in error and 'synod.appliance' in error, error
    server.query("SET GLOBAL synod.appliance = ''")
    assert 'synod.appliance' in attempt(server)[0]
    uuid = server.value('SELECT @@server_uuid')
    server.query(f"SET GLOBAL group_replication_group_name = '{uuid}'")
    error, lines = attempt(server)
    assert '3092' in error and lines[-1][1] == 'MY-011642', (error, lines)
    assert server.value('SELECT @@super_read_only') == '0'
    server.query('STOP GROUP_REPLICATION; CREATE DATABASE after_all')


def main():
    with Servers('start', plugin=sys.argv[1], port=24100) as servers, Servers('start-stock', port=24150) as originals:
        ours, stock = servers.start(1, LOAD), originals.start(1, LOAD)
        different = by_set(stock, ours)
        ours_alone(ours)
        ours.stop()
        stock.stop()
        different += by_option(originals, servers)
    print(f'{len(CASES) + 2 * len(OPTIONS)} starts, {different} answered differently')
    return 1 if different else 0


sys.exit(main())
