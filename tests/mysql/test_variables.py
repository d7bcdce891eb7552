"""Every variable of our plugin is the stock one: name, type, default, range, moment, and the text of each refusal.

A stock server with its own group_replication and one with ours are told the same statements, and must answer the same.
What a variable means is not looked at here.

test_variables.py PLUGIN
"""
import sys

from client import Client
from servers import Servers, SqlError

UUID = 'aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa'
OTHER = 'bbbbbbbb-bbbb-bbbb-bbbb-bbbbbbbbbbbb'

# Tried on every integer variable: around each bound that any of them has, and what is no integer.
INTEGERS = [-1, 0, 1, 2, 3, 22, 23, 50, 60, 61, 100, 101, 1000, 1001, 2016, 2017, 3600, 3601, 9999, 10000, 65535,
            65536, 31536000, 31536001, 100000000, 100000001, 134217727, 134217728, 1073741824, 1073741825, 2147483647,
            2147483648, 4294967295, 4294967296, 9223372036854775806, 9223372036854775807, 9223372036854775808,
            18446744073709551615, "'1'", 1.5, 'NULL', 'DEFAULT', "''"]
BOOLS = ['ON', 'OFF', "'ON'", "'off'", "'x'", "'TRUE'", 0, 1, 2, -1, 'NULL', 'DEFAULT', "''"]
TEXTS = ["''", "'x'", 'NULL', 'DEFAULT', "'a:1,b:2'", "REPEAT('p', 512)", "REPEAT('p', 513)", '1']
SPECIAL = {
    'group_name': [f"'{UUID}'", f"'{OTHER}'", "'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa'", f"'{{{UUID}}}'",
                   "'aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaag'", "'aaaaaaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaa'"],
    'view_change_uuid': [f"'{OTHER}'", f"'{UUID}'", "'AUTOMATIC'", "'automatic'"],
    'ip_allowlist': ["'AUTOMATIC'", "'AUTOMATIC,10.0.0.1'", "'10.0.0.0/8, ::1'", "' automatic '"],
    'communication_debug_options': ["'GCS_DEBUG_NONE'", "'GCS_DEBUG_BASIC'", "'gcs_debug_trace'", "'GCS_DEBUG_ALL'",
                                    "'XCOM_DEBUG_BASIC,GCS_DEBUG_BASIC'", "'XCOM_DEBUG_TRACE, GCS_DEBUG_TRACE'",
                                    "'GCS_DEBUG_BASIC,x'", "'GCS_DEBUG_BASIC,GCS_DEBUG_BASIC'",
                                    "'GCS_DEBUG_BASIC,GCS_DEBUG_TRACE,XCOM_DEBUG_BASIC,XCOM_DEBUG_TRACE'",
                                    "'GCS_DEBUG_NONE,GCS_DEBUG_BASIC'", "','", "'GCS_DEBUG_BASIC,'"],
    'recovery_compression_algorithms': ["'zlib'", "'zstd'", "'uncompressed'", "'ZLIB'", "'zlib,zstd'"],
    'advertise_recovery_endpoints': ["'DEFAULT'", "'127.0.0.1:{port}'", "'127.0.0.1:1'", "'[::1]:{port}'",
                                     "'127.0.0.1:0'", "'127.0.0.1'", "'127.0.0.1:{port},127.0.0.1:{port}'",
                                     "'127.0.0.1:70000'", "'127.0.0.1:x'", "'localhost:{port}'", "'10.99.99.99:{port}'",
                                     "'127.0.0.1:{port},'", "'127.0.0.0/8:{port}'", "':{port}'"],
    'ssl_mode': ["'DISABLED'", "'REQUIRED'", "'VERIFY_CA'", "'VERIFY_IDENTITY'", "'x'", 0, 3, 4, -1],
    'tls_source': ["'MYSQL_MAIN'", "'MYSQL_ADMIN'", "'x'", 2],
    'flow_control_mode': ["'DISABLED'", "'QUOTA'", "'x'", 2],
    'exit_state_action': ["'READ_ONLY'", "'OFFLINE_MODE'", "'ABORT_SERVER'", "'x'", 0, 1, 2, 3],
    'communication_stack': ["'MYSQL'", "'XCOM'", "'x'", 2],
}
# Rules that tie two variables together: told in this order.
TOGETHER = [
    'flow_control_min_quota = 10', 'flow_control_max_quota = 5', 'flow_control_max_quota = 20',
    'flow_control_min_quota = 30', 'flow_control_min_recovery_quota = 30', 'flow_control_min_recovery_quota = 20',
    'flow_control_max_quota = 15', 'flow_control_min_recovery_quota = 0', 'flow_control_max_quota = 15',
    'enforce_update_everywhere_checks = ON', 'single_primary_mode = OFF', 'enforce_update_everywhere_checks = ON',
    'single_primary_mode = ON', f"group_name = '{UUID}'", f"view_change_uuid = '{UUID}'",
    f"view_change_uuid = '{OTHER}'", f"group_name = '{OTHER}'",
]


class Teller:
    """One session that sets variables and says what each setting leads to."""

    def __init__(self, server):
        self.client, self.port = Client(server), str(server.port)

    def answer(self, name, value):
        """The refusal, or the value and the warnings."""
        value = str(value).replace('{port}', self.port)
        try:
            self.client.run(f'SET GLOBAL group_replication_{name} = {value}')
            rows = self.client.run('SHOW WARNINGS')
            rows += self.client.run(f"SELECT IFNULL(@@GLOBAL.group_replication_{name}, 'is NULL')")
        except SqlError as error:
            return str(error).replace(self.port, '{port}')
        return repr(rows).replace(self.port, '{port}')


def trials(ours):
    """(name, value) pairs, by the type that the server shows for each variable."""
    rows = ours.query("SELECT VARIABLE_NAME, VARIABLE_VALUE FROM performance_schema.global_variables "
                      "WHERE VARIABLE_NAME LIKE 'group_replication%' ORDER BY VARIABLE_NAME")
    for full, value in rows:
        name = full.removeprefix('group_replication_')
        if full == 'group_replication_consistency':
            continue
        if value in ('ON', 'OFF'):
            yield from ((name, trial) for trial in BOOLS)
        elif value.isdigit():
            yield from ((name, trial) for trial in INTEGERS)
        else:
            yield from ((name, trial) for trial in TEXTS)
        yield from ((name, trial) for trial in SPECIAL.get(name, []))


def compare(what, stock, ours):
    if stock == ours:
        return 0
    print(f'{what}\n  stock: {stock}\n  ours:  {ours}')
    return 1


def main():
    different = 0
    with Servers('variables', plugin=sys.argv[1]) as servers, Servers('variables-stock', port=24010) as originals:
        ours = servers.start(1, '--plugin-load-add=group_replication.so')
        stock = originals.start(1, '--plugin-load-add=group_replication.so')
        show = "SHOW GLOBAL VARIABLES LIKE 'group_replication%'"
        different += compare('SHOW VARIABLES', stock.query(show), ours.query(show))
        assert len(ours.query(show)) == 60
        plugin = ("SELECT PLUGIN_NAME, PLUGIN_VERSION, PLUGIN_STATUS, PLUGIN_TYPE, PLUGIN_TYPE_VERSION, PLUGIN_LIBRARY, "
                  "PLUGIN_LICENSE FROM information_schema.PLUGINS WHERE PLUGIN_NAME = 'group_replication'")
        different += compare('PLUGINS', stock.query(plugin), ours.query(plugin))
        kinds = ("SELECT VARIABLE_NAME, VARIABLE_SOURCE, MIN_VALUE, MAX_VALUE FROM performance_schema.variables_info "
                 "WHERE VARIABLE_NAME LIKE 'group_replication%' ORDER BY 1")
        for row, stock_row in zip(ours.query(kinds), stock.query(kinds)):
            different += compare('variables_info', stock_row, row)
        count, mine, theirs = 0, Teller(ours), Teller(stock)
        for name, value in list(trials(ours)):
            different += compare(f'SET GLOBAL {name} = {value}', theirs.answer(name, value), mine.answer(name, value))
            count += 1
        for name, value in (trial.split(' = ') for trial in TOGETHER):
            different += compare(f'then {name} = {value}', theirs.answer(name, value), mine.answer(name, value))
            count += 1
        persist = "SET PERSIST group_replication_member_weight = 70; SET PERSIST_ONLY group_replication_force_members = 'a'"
        different += compare('PERSIST', str(stock.refused(persist)), str(ours.refused(persist)))
        print(f'{count} statements told to both, {different} answered differently')
    return 1 if different else 0


sys.exit(main())
