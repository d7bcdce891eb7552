"""Stock MySQL servers from the prepared chroot, each with a private copy of the plugin folder.

    with Servers('name', plugin='build/mysqlshim/group_replication.so') as servers:
        one = servers.start(1)
        rows = one.query('SELECT 1')

What it owns: the folder /synod/NAME in the chroot and the processes it started itself, known by their pids; nothing
else is ever stopped or removed. `plugin=None` leaves the server's own group_replication.so in place, to compare with.

A data directory is a copy of a template that is initialised once per cache, without auto.cnf, so that every server
gets a server_uuid of its own. Ports are on 127.0.0.1.
"""
import fcntl
import os
import re
import shutil
import signal
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
CACHE = os.environ.get('SYNOD_CACHE', '/var/cache/synod')
PLUGINS = 'usr/lib/mysql/plugin'
START_S, STOP_S, STATEMENT_S = 90, 120, 120

# /proc, /dev and /sys are mounted in a namespace of the server's own; sh and chroot replace themselves, so the pid
# that we remember is mysqld's.
ENTER = ('root=$1; shift; mount --rbind /proc "$root/proc" && mount --rbind /dev "$root/dev" && '
         'mount --rbind /sys "$root/sys" && exec chroot "$root" "$@"')


class SqlError(Exception):
    """A statement was refused: `code` and `state` are the client's, `text` the message."""

    def __init__(self, code, state, text):
        super().__init__(f'ERROR {code} ({state}): {text}')
        self.code, self.state, self.text = code, state, text


def prepare():
    """Runs tests/mysql/prepare (quick and silent when it has run before) and returns what it wrote to mysql.env."""
    environment = os.path.join(CACHE, 'mysql.env')
    told = subprocess.DEVNULL if os.path.exists(environment) else sys.stderr
    subprocess.run([os.path.join(HERE, 'prepare')], check=True, stdout=told)
    with open(environment, encoding='utf-8') as file:
        return dict(line.strip().split('=', 1) for line in file)


def enter(root, *command):
    return ['unshare', '--mount', '--propagation', 'private', 'sh', '-c', ENTER, 'enter', root, *command]


def template(root):
    """The initialised data directory that all others are copies of; made under a lock, renamed when complete."""
    made = os.path.join(root, 'synod/template')
    os.makedirs(os.path.join(root, 'synod'), exist_ok=True)
    with open(os.path.join(root, 'synod/template.lock'), 'w', encoding='utf-8') as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if os.path.isdir(made):
            return made
        part = made + '.part'
        shutil.rmtree(part, ignore_errors=True)
        os.makedirs(part)
        owned_by_mysql(root, part)
        subprocess.run(enter(root, 'mysqld', '--no-defaults', '--user=mysql', '--datadir=/synod/template.part',
                             '--initialize-insecure'), check=True)
        os.unlink(os.path.join(part, 'auto.cnf'))
        os.rename(part, made)
    return made


def owned_by_mysql(root, path):
    # The chroot's own user number: the host may not know the name.
    with open(os.path.join(root, 'etc/passwd'), encoding='utf-8') as file:
        fields = next(line.split(':') for line in file if line.startswith('mysql:'))
    os.chown(path, int(fields[2]), int(fields[3]))


class Server:
    def __init__(self, servers, number):
        self.servers, self.number = servers, number
        self.inside = f'{servers.inside}/{number}'
        self.path = servers.root + self.inside
        self.port = servers.port + number
        self.process = None

    def create(self):
        os.makedirs(self.path)
        owned_by_mysql(self.servers.root, self.path)
        # Empty, and not --no-defaults: that would ignore what SET PERSIST has written.
        with open(f'{self.path}/my.cnf', 'w', encoding='utf-8'):
            pass
        subprocess.run(['cp', '-a', '--reflink=auto', template(self.servers.root), f'{self.path}/data'], check=True)

    def start(self, *options):
        command = enter(
            self.servers.root, 'mysqld', f'--defaults-file={self.inside}/my.cnf', '--user=mysql',
            f'--datadir={self.inside}/data',
            f'--socket={self.inside}/s.sock', f'--port={self.port}', '--bind-address=127.0.0.1', '--mysqlx=OFF',
            f'--pid-file={self.inside}/pid', f'--log-error={self.inside}/error.log', f'--server-id={self.number}',
            '--report-host=127.0.0.1', f'--report-port={self.port}', f'--plugin-dir={self.servers.inside}/plugin',
            '--innodb-buffer-pool-size=64M', '--innodb-redo-log-capacity=32M', *options)
        with open(f'{self.path}/out', 'ab') as out:
            self.process = self.servers.run(self.number, command, stdout=out, stderr=out, stdin=subprocess.DEVNULL)
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise RuntimeError(f'server {self.number} ended at start:\n' + self.log()[-3000:])
            try:
                self.query('SELECT 1')
                return self
            except SqlError:
                time.sleep(0.2)
        raise RuntimeError(f'server {self.number} did not start in {START_S} s')

    def stop(self):
        """SIGTERM and waits; a server that does not end in time fails the test (and is killed, to leave nothing)."""
        process, self.process = self.process, None
        if process is None or process.poll() is not None:
            return
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise RuntimeError(f'server {self.number} did not stop in {STOP_S} s') from None

    def kill(self):
        """As a power cut of this one server."""
        self.process.kill()
        self.process.wait()
        self.process = None

    def alive(self):
        return self.process is not None and self.process.poll() is None

    def client(self, *options):
        return ['chroot', self.servers.root, 'mysql', '--no-defaults', '-uroot', f'-S{self.inside}/s.sock',
                '--batch', '--skip-column-names', '--default-character-set=utf8mb4', *options]

    def query(self, sql, *options):
        """The rows of all statements in `sql` as lists of text; raises SqlError at the first that is refused."""
        done = subprocess.run(self.client(*options, '-e', sql), capture_output=True, text=True, check=False,
                              timeout=STATEMENT_S)
        if done.returncode != 0:
            found = re.search(r'ERROR (\d+) \((\w+)\)[^:]*: (.*)', done.stderr)
            if not found:
                raise SqlError(0, '', done.stderr.strip())
            raise SqlError(int(found[1]), found[2], found[3])
        return [line.split('\t') for line in done.stdout.splitlines()]

    def value(self, sql):
        return self.query(sql)[0][0]

    def refused(self, sql):
        """The SqlError that `sql` must give."""
        try:
            self.query(sql)
        except SqlError as error:
            return error
        raise AssertionError(f'not refused: {sql}')

    def log(self):
        """What the server has written to its error log so far."""
        if not os.path.exists(f'{self.path}/error.log'):
            return ''
        with open(f'{self.path}/error.log', encoding='utf-8', errors='replace') as file:
            return file.read()


class Servers:
    def __init__(self, name, plugin=None, port=24000, run=None):
        # run(number, command, **options) starts a server's process; without it, it runs where we do.
        self.run = run or (lambda _, command, **options: subprocess.Popen(command, **options))
        self.environment = prepare()
        self.root = self.environment['MYSQL_ROOT']
        self.inside = f'/synod/{name}-{os.getpid()}'
        self.path, self.port, self.server = self.root + self.inside, port, {}
        os.makedirs(self.path)
        folder = os.path.join(self.path, 'plugin')
        shutil.copytree(os.path.join(self.root, PLUGINS), folder)
        if plugin is not None:
            shutil.copyfile(plugin, folder + '/ours')
            os.rename(folder + '/ours', folder + '/group_replication.so')

    def start(self, number, *options):
        if number not in self.server:
            self.server[number] = Server(self, number)
            self.server[number].create()
        return self.server[number].start(*options)

    def __enter__(self):
        if signal.getsignal(signal.SIGTERM) == signal.SIG_DFL:
            signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
        return self

    def __exit__(self, kind, error, trace):
        interrupted = kind is not None and not issubclass(kind, Exception)
        for server in self.server.values():
            if interrupted and server.alive():
                server.kill()
            elif kind is not None:
                print(f'--- the last lines of server {server.number}:\n' + server.log()[-3000:], file=sys.stderr)
        try:
            for server in self.server.values():
                server.stop()
        finally:
            if not any(server.alive() for server in self.server.values()):
                shutil.rmtree(self.path)
