"""A client that is killed while it waits for its commit never makes its server differ from the others.

By KILL QUERY, by KILL CONNECTION, and by kill -9 of the client's process; under load, and while the nodes stand still,
so that everybody waits.

test_clients_killed.py SYNODD SYNODCTL PLUGIN
"""
import os
import random
import signal
import subprocess
import threading
import time
from collections import Counter

from client import CONFLICT, GONE, Client, Load, create_tables
from cluster import Cluster
from servers import SqlError

SESSIONS = 6
INTERRUPTED = {1317, 3100}
LOAD_S, STILL_S, STILLS = 5, 0.8, 2
dice = random.Random(5)


class Session(threading.Thread):
    """Commits one row after the other and is killed again and again. What a statement that came back with an error
    has left must not be there; after a lost connection both are right, as long as all servers say the same."""

    def __init__(self, server, name):
        super().__init__(daemon=True)
        self.server, self.session = server, name
        self.done, self.refused, self.unknown, self.errors, self.codes = set(), set(), set(), [], Counter()
        self.client = Client(server, 'load_test')
        self.end = threading.Event()

    def run(self):
        number = 0
        while not self.end.is_set():
            number += 1
            try:
                self.client.run(f'INSERT INTO done VALUES ({self.session}, {number})')
                self.done.add(number)
            except SqlError as error:
                self.codes[error.code] += 1
                if error.code in GONE:
                    self.unknown.add(number)
                    self.client = Client(self.server, 'load_test')
                    continue
                self.refused.add(number)
                if error.code not in CONFLICT | INTERRUPTED:
                    self.errors.append(str(error))


class Process:
    """A client in a process of its own, which says nothing of what it was told."""

    def __init__(self, server, name):
        numbers = ''.join(f'INSERT INTO load_test.done VALUES ({name}, {n});\n' for n in range(1, 20001))
        self.process = subprocess.Popen(server.client(), stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL, start_new_session=True)
        self.feeder = threading.Thread(target=self.feed, args=(numbers.encode(),), daemon=True)
        self.feeder.start()

    def feed(self, numbers):
        try:
            self.process.stdin.write(numbers)
            self.process.stdin.close()
        except BrokenPipeError:
            pass

    def kill(self):
        self.process.kill()
        self.process.wait()


class Killer:
    """Kills one of the sessions, or a process, and starts another process for it."""

    def __init__(self, cluster, sessions):
        self.cluster, self.sessions, self.counts, self.name = cluster, sessions, Counter(), 1000
        self.control = {server.number: Client(server) for server in cluster.servers}
        self.processes = [self.process() for _ in cluster.servers]

    def process(self):
        self.name += 1
        return Process(dice.choice(self.cluster.servers), self.name)

    def kill(self, what):
        if what == 'process':
            place = dice.randrange(len(self.processes))
            self.processes[place].kill()
            self.processes[place] = self.process()
        else:
            session = dice.choice(self.sessions)
            try:
                self.control[session.server.number].run(f'KILL {what} {session.client.number()}')
            except SqlError as error:
                if error.code != 1094:  # it is being replaced at this moment
                    raise
        self.counts[what] += 1

    def close(self):
        for process in self.processes:
            process.kill()


def stand_still(cluster, killer):
    """While no node runs, every client waits; some are killed there, and then it goes on."""
    nodes = [process.pid for process in cluster.appliance.process]
    for pid in nodes:
        os.kill(pid, signal.SIGSTOP)
    try:
        time.sleep(STILL_S / 2)
        for what in ('QUERY', 'CONNECTION', 'process', 'QUERY', 'CONNECTION'):
            killer.kill(what)
        time.sleep(STILL_S / 2)
    finally:
        for pid in nodes:
            os.kill(pid, signal.SIGCONT)


def check_session(cluster, session):
    assert not session.errors, session.errors[:3]
    for server in cluster.servers:
        rows = server.query(f'SELECT number FROM load_test.done WHERE writer = {session.session}')
        held = {int(number) for number, in rows}
        where = f'session {session.session} of server {session.server.number}, seen on {server.number}'
        lost, more = session.done - held, held & session.refused
        assert not lost, f'{where}: {len(lost)} acknowledged commits are lost, as {sorted(lost)[:5]}'
        assert not more, f'{where}: {len(more)} are there that it was told are not, as {sorted(more)[:5]}'


def kill_them(cluster, killer, load):
    until = time.monotonic() + LOAD_S
    while time.monotonic() < until:
        time.sleep(dice.uniform(0, 0.03))
        killer.kill(dice.choice(['QUERY', 'QUERY', 'CONNECTION', 'CONNECTION', 'process']))
    for _ in range(0 if cluster.stock else STILLS):
        stand_still(cluster, killer)
        count = load.count()
        time.sleep(2)
        assert load.count() > count, 'no commit since the nodes run again'


def run(cluster):
    sessions = [Session(cluster.servers[n % 3], 100 + n) for n in range(SESSIONS)]
    with Load(cluster, clients=1) as load:
        for session in sessions:
            session.start()
        killer = Killer(cluster, sessions)
        try:
            kill_them(cluster, killer, load)
        finally:
            killer.close()
            for session in sessions:
                session.end.set()
        for session in sessions:
            session.join(30)
            assert not session.is_alive(), f'session {session.session} waits and gets no answer'
    return sessions, killer, load


def main():
    with Cluster.of_arguments('clients') as cluster:
        cluster.start_group()
        create_tables(cluster.servers[0])
        sessions, killer, load = run(cluster)
        cluster.wait_equal()
        cluster.check_tables()
        for session in sessions:
            check_session(cluster, session)
        assert not load.errors(), load.errors()[:3]
        codes = sum((session.codes for session in sessions), Counter())
        assert codes, 'no KILL met a statement'
    done = sum(len(session.done) for session in sessions)
    print(f'{done} acknowledged, killed: {dict(killer.counts)}, told: {dict(codes)}; equal')


main()
