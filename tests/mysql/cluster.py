"""Three nodes, and stock servers with the plugin that commit through them: real processes on one bridge.

    with Cluster.of_arguments('name') as cluster:
        cluster.start_group()
        cluster.kill_node(cluster.leader())
        cluster.wait_equal()

Every node and every server has a network namespace of its own: nodes at 10.77.0.1 to .3 over af_packet, servers at
10.77.0.11 and up with kernel UDP. Clients use the servers' sockets in the file system. `stock=True` makes the same
group of the server's own Group Replication and no nodes, to compare with, and to try a test itself.

It owns what it started, known by pid, and one folder each for nodes and servers; all of it goes at the end, in good
order after success, with SIGKILL after a failure or an interrupt.
"""
import contextlib
import os
import shutil
import signal
import sys
import time
from collections import namedtuple
from concurrent.futures import ThreadPoolExecutor

sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)), '../device'))

from appliance import Appliance  # noqa: E402
from netns import Bridge  # noqa: E402
from client import Client  # noqa: E402
from servers import CACHE, Servers, SqlError, owned_by_mysql  # noqa: E402

GROUP = 'aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa'
NODES = '10.77.0.1:4000, 10.77.0.2:4000, 10.77.0.3:4000'
PORT = 3306
START_S, EQUAL_S = 60, 60
INTERRUPTS = signal.SIGINT, signal.SIGTERM, signal.SIGHUP
MEMBERS = ('SELECT MEMBER_HOST, MEMBER_STATE, MEMBER_ID FROM performance_schema.replication_group_members '
           'ORDER BY MEMBER_HOST')
TABLES = ("SELECT CONCAT('`', TABLE_SCHEMA, '`.`', TABLE_NAME, '`') FROM information_schema.TABLES WHERE TABLE_SCHEMA "
          "NOT IN ('mysql', 'sys', 'performance_schema', 'information_schema') ORDER BY 1")
RECOVERY = ("SET SQL_LOG_BIN = 0; CREATE USER rpl@'%' IDENTIFIED BY 'rpl'; GRANT REPLICATION SLAVE, CONNECTION_ADMIN, "
            "BACKUP_ADMIN, GROUP_REPLICATION_STREAM ON *.* TO rpl@'%'; SET SQL_LOG_BIN = 1; CHANGE REPLICATION SOURCE TO "
            "SOURCE_USER = 'rpl', SOURCE_PASSWORD = 'rpl' FOR CHANNEL 'group_replication_recovery'")


Programs = namedtuple('Programs', 'synodd synodctl plugin')


def wait_until(condition, what, within_s):
    """Waits for what must come, which may not be said in exceptions yet; returns the seconds it took."""
    began = time.monotonic()
    while True:
        answer = condition()
        if answer:
            return time.monotonic() - began
        if time.monotonic() - began > within_s:
            raise AssertionError(f'not within {within_s} s: {what() if callable(what) else what}')
        time.sleep(0.02)


@contextlib.contextmanager
def held_signals():
    """What came in between is told at the end, to the handler that was there before."""
    came = []
    handlers = {number: signal.signal(number, lambda number, _: came.append(number)) for number in INTERRUPTS}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        for number in came:
            signal.raise_signal(number)


class Cluster:
    def __init__(self, name, programs, count=3, stock=False, started=None, logs=None, sealed=True,
                 log_bytes_max='512 MiB', segment_bytes='4 MiB', certificates=''):
        """`started(process)` hears of each process; after a failure `logs` is the folder for the logs, else the
        ends of them are printed."""
        self.logs = logs
        self.name, self.programs, self.count, self.stock = name, programs, count, stock
        self.sealed = sealed and not stock
        self.log_bytes_max, self.segment_bytes = log_bytes_max, segment_bytes
        self.certificates = certificates
        self.started = started or (lambda process: None)
        self.stack = contextlib.ExitStack()
        self.net = Bridge(3 + count)
        self.appliance = self.pool = None
        self.left = False

    @classmethod
    def of_arguments(cls, name, count=3, **options):
        """As tests/mysql/meson.build passes them: SYNODD SYNODCTL PLUGIN; add --stock to try the test itself."""
        return cls(name, Programs(*map(os.path.abspath, sys.argv[1:4])), count=count, stock='--stock' in sys.argv[4:],
                   **options)

    def __enter__(self):
        try:
            self.build()
        except BaseException:
            self.__exit__(*sys.exc_info())
            raise
        return self

    def build(self):
        self.stack.enter_context(self.net)
        for space in self.net.spaces:
            space.started = self.started
        for number in range(1, self.count + 1):
            self.space(number).give_address(f'{self.address(number)}/24')
        if not self.stock:
            self.appliance = self.stack.enter_context(
                Appliance(self.net, self.programs.synodd, self.programs.synodctl, within=CACHE,
                          tell=not self.logs, log_bytes_max=self.log_bytes_max,
                          segment_bytes=self.segment_bytes, index_hashes_max=1048576,
                          seal='on' if self.sealed else 'none', certificates=self.certificates))
        self.pool = Servers(self.name, plugin=None if self.stock else self.programs.plugin, port=PORT - 1,
                            run=lambda number, command, **options: self.space(number).run(command, **options))

    def __exit__(self, kind, error, trace):
        try:
            if self.pool and not self.left:
                self.end_servers(kind)
        finally:
            self.stack.__exit__(kind, error, trace)

    def end_servers(self, kind):
        """All at once: each would wait for the others' connections, one after the other."""
        alive = [server for server in self.pool.server.values() if server.alive()]
        if kind:
            executed = self.try_executed() if issubclass(kind, Exception) else ''
            for server in alive:
                server.process.kill()
            if kind is not KeyboardInterrupt:
                self.tell_logs(executed)
        try:
            self.on_all(lambda server: server.stop(), alive)
        finally:
            shutil.rmtree(self.pool.path)

    def try_executed(self):
        """For whoever looks for the cause; a server may be gone or hang."""
        lines = []
        for server in self.servers:
            try:
                row = Client(server, answer_s=3).run('SELECT @@server_uuid, @@GLOBAL.gtid_executed')[0]
                lines.append(f'server {server.number}: ' + ' has executed '.join(row).replace('\n', ''))
            except SqlError as error:
                lines.append(f'server {server.number}: {error}')
        return '\n'.join(lines) + '\n'

    def tell_logs(self, executed):
        print(executed, file=sys.stderr)
        if not self.logs:
            for server in self.servers:
                print(f'--- the last lines of server {server.number}:\n' + server.log()[-4000:], file=sys.stderr)
            return
        shutil.rmtree(self.logs, ignore_errors=True)
        os.makedirs(self.logs)
        texts = {f'server{server.number}.log': server.log() for server in self.servers}
        texts['executed.log'] = executed
        if self.appliance:
            texts.update({f'node{number}.log': self.appliance.said(number) for number in range(3)})
        for name, text in texts.items():
            with open(f'{self.logs}/{name}', 'w', encoding='utf-8') as file:
                file.write(text)

    def leave(self):
        """Everything goes on running and is somebody else's to stop."""
        self.stack.pop_all()
        self.left = True

    def folders(self):
        return [self.pool.path] + ([self.appliance.folder] if self.appliance else [])

    # Names and addresses; servers count from 1, nodes from 0.

    def space(self, number):
        return self.net.spaces[2 + number]

    @staticmethod
    def address(number):
        return f'10.77.0.{10 + number}'

    @property
    def servers(self):
        return [self.pool.server[number] for number in sorted(self.pool.server)]

    def options(self, number):
        own = ([f'--loose-group_replication_local_address={self.address(number)}:33061',
                '--loose-group_replication_group_seeds=' +
                ','.join(f'{self.address(n)}:33061' for n in range(1, self.count + 1)),
                '--loose-group_replication_ssl_mode=DISABLED', '--loose-group_replication_recovery_get_public_key=ON',
                '--loose-group_replication_ip_allowlist=10.77.0.0/24'] if self.stock
               else self.links(number))
        return ['--plugin-load-add=group_replication.so', '--bind-address=*', f'--port={PORT}', f'--report-port={PORT}',
                f'--report-host={self.address(number)}', '--skip-name-resolve', '--replica-parallel-workers=16',
                f'--loose-group_replication_group_name={GROUP}', '--loose-group_replication_single_primary_mode=OFF',
                '--loose-group_replication_start_on_boot=OFF', *own]

    def links(self, number):
        """How server `number` finds the nodes: sealed, with a key of its own that they list."""
        if not self.sealed:
            return [f'--loose-synod.appliance={NODES}']
        inside, path = f'{self.pool.inside}/key{number}', f'{self.pool.path}/key{number}'
        if not os.path.exists(path):
            self.appliance.list_server(self.appliance.key_command('new', path))
            owned_by_mysql(self.pool.root, path)
        return [f'--loose-synod.appliance={self.keyed_nodes()}', f'--loose-synod.key_file={inside}']

    def keyed_nodes(self):
        return ','.join(f'{node}={key}' for node, key in zip(NODES.split(','), self.appliance.keys))

    def on_all(self, work, what):
        """The pool waits for its threads, but not for one in whose start an interrupt came: that would go on alone."""
        with ThreadPoolExecutor(max(1, len(what))) as threads:
            with held_signals():
                futures = [threads.submit(work, one) for one in what]
            return [future.result() for future in futures]

    # Nodes.

    def start_nodes(self):
        for number in range(3):
            self.appliance.start(number, '--format')
        self.wait_nodes(range(3))

    def start_node(self, number):
        self.appliance.start(number)

    def kill_node(self, number):
        self.appliance.kill(number)

    def wait_nodes(self, numbers):
        """Until they are connected with each other, vote and name the same leader, one of them."""
        wait_until(lambda: self.agreed(list(numbers)),
                   lambda: f'nodes {list(numbers)} agree: {[self.appliance.status(n) for n in numbers]}', START_S)

    def agreed(self, numbers):
        leaders = set()
        for number in numbers:
            status = self.appliance.status(number)
            if not status or not status['node']['voting']:
                return False
            if not {n['number'] for n in status['nodes'] if n['connected']} >= set(numbers):
                return False
            leaders.add(self.led_by(status))
        return len(leaders) == 1 and leaders.pop() in numbers

    @staticmethod
    def led_by(status):
        """Our group's leader; before there is the group, the appliance's own."""
        groups = {group['uuid']: group['leader'] for group in status['groups']}
        return groups.get(GROUP, status['groups'][0]['leader'])

    def leader(self):
        """The node that says of itself that it leads; None if none does."""
        if self.stock:
            return None
        alive = [n for n in range(3) if self.appliance.process[n] and self.appliance.process[n].poll() is None]
        for number in alive:
            status = self.appliance.status(number)
            if status and self.led_by(status) == number:
                return number
        return None

    def group_status(self):
        """What the leader's node says of our group, or None."""
        leader = self.leader()
        status = self.appliance.status(leader) if leader is not None else None
        return next((group for group in status['groups'] if group['uuid'] == GROUP), None) if status else None

    # Servers.

    def start_server(self, number):
        return self.pool.start(number, *self.options(number))

    def start_servers(self):
        self.on_all(self.start_server, range(1, self.count + 1))
        if self.stock:
            self.on_all(lambda server: server.query(RECOVERY), self.servers)

    def kill_server(self, number):
        self.pool.server[number].kill()

    def bootstrap(self, number):
        self.pool.server[number].query('SET GLOBAL group_replication_bootstrap_group = ON; START GROUP_REPLICATION; '
                                       'SET GLOBAL group_replication_bootstrap_group = OFF')

    def join(self, number):
        self.pool.server[number].query('START GROUP_REPLICATION')

    def members(self, number=1):
        return self.pool.server[number].query(MEMBERS)

    def wait_online(self, count=None):
        """Until each of the servers sees `count` members ONLINE and no other."""
        count = count or self.count

        def all_online():
            seen = [self.members(server.number) for server in self.servers if server.alive()]
            return all(len(rows) == count and all(row[1] == 'ONLINE' for row in rows) for rows in seen)
        return wait_until(all_online, lambda: f'{count} ONLINE: {[self.members(s.number) for s in self.servers]}',
                          START_S)

    def start_group(self):
        """Everything from nothing to `count` members ONLINE."""
        if not self.stock:
            self.start_nodes()
        self.start_servers()
        self.bootstrap(1)
        for number in range(2, self.count + 1):
            self.join(number)
        self.wait_online()

    # Proofs.

    def executed(self):
        return [server.value('SELECT @@GLOBAL.gtid_executed').replace('\\n', '') for server in self.servers]

    def wait_equal(self, within_s=EQUAL_S):
        """Until every server has committed the same transactions; nobody may write meanwhile."""
        wait_until(lambda: len(set(self.executed())) == 1, lambda: f'gtid_executed equal: {self.executed()}', within_s)
        return self.executed()[0]

    def checksums(self, server):
        names = [row[0] for row in server.query(TABLES)]
        return server.query('CHECKSUM TABLE ' + ', '.join(names)) if names else []

    def check_tables(self):
        """The checksums of all users' tables, which must be the same everywhere."""
        seen = [self.checksums(server) for server in self.servers]
        for server, mine in zip(self.servers, seen):
            different = [(a, b) for a, b in zip(seen[0], mine) if a != b]
            assert len(mine) == len(seen[0]) and not different, \
                f'servers {self.servers[0].number} and {server.number} differ: {different or (seen[0], mine)}'
            assert all(value.isdigit() for _, value in mine), mine
        return seen[0]

    def refused_start(self, number):
        """The error that START gives, as SqlError."""
        try:
            self.join(number)
        except SqlError as error:
            return error
        raise AssertionError('START was not refused')
