"""A session with a server that costs little, and writers who remember everything they were told.

    with Load(cluster, clients=4) as load:       # four on each server
        time.sleep(5)
    load.check()                                 # every server holds exactly what was acknowledged

Each transaction of a writer adds one to a row and writes its own number into another table: so a lost one, one that
was done twice and one that was refused and done all the same are each seen in the tables. Rows are the writer's own,
but for a share of hot rows that all servers' writers use.

Latencies are those of COMMIT alone, as this client sees it; with many writers a thread of Python adds its own.
"""
import random
import threading
import time
from collections import Counter

from MySQLdb import Error, _mysql

from servers import SqlError

# What a loser may be told: by the certification, by the applier that goes first, at commit.
CONFLICT = {3101, 1213, 1180}
# What a client of a server that was killed is told.
GONE = {2002, 2006, 2013, 1053, 1927}
# What a client of a server that stops the group is told.
STOPPED = {1290, 3100}
ONLINE = ("SELECT COUNT(*) FROM performance_schema.replication_group_members WHERE MEMBER_ID = @@server_uuid AND "
          "MEMBER_STATE = 'ONLINE' AND NOT @@super_read_only")
ANSWER_S = 60
HOT_ROWS, OWN_ROWS = 10, 50
LARGE_BYTES = 300000


class Client:
    """One session of root; statements are committed one by one unless BEGIN was told."""

    def __init__(self, server, database='', answer_s=ANSWER_S):
        try:
            self.link = _mysql.connect(unix_socket=f'{server.path}/s.sock', user='root', db=database,
                                       connect_timeout=5, read_timeout=answer_s)
        except Error as error:
            raise SqlError(error.args[0], '', error.args[1]) from None

    def run(self, sql):
        """The rows of one statement, as tuples of text."""
        try:
            self.link.query(sql)
            result = self.link.store_result()
            if result is None:
                return []
            return [tuple(None if field is None else field.decode() for field in row) for row in result.fetch_row(0)]
        except Error as error:
            raise SqlError(error.args[0], '', str(error.args[-1])) from None

    def value(self, sql):
        return self.run(sql)[0][0]

    def changed(self, sql):
        """Runs a statement and says how many rows it changed."""
        self.run(sql)
        return self.link.affected_rows()

    def number(self):
        """Of the connection, for KILL."""
        return self.link.thread_id()

    def close(self):
        self.link.close()


def create_tables(server):
    server.query('CREATE DATABASE load_test')
    server.query('CREATE TABLE load_test.counter (id INT PRIMARY KEY, value BIGINT NOT NULL); '
                 'CREATE TABLE load_test.done (writer INT, number INT, PRIMARY KEY (writer, number)); '
                 'CREATE TABLE load_test.large (id INT PRIMARY KEY, content LONGBLOB)')


class Writer(threading.Thread):
    """One client. `done` are the acknowledged numbers, `refused` those that lost, `unknown` those whose connection
    ended before the answer; `commits` is (when, latency) of each acknowledged one."""

    def __init__(self, load, server, name):
        super().__init__(daemon=True)
        self.load, self.server, self.writer = load, server, name
        self.dice = random.Random(name)
        self.done, self.refused, self.unknown, self.commits = [], [], [], []
        self.codes, self.errors, self.waits_since = Counter(), [], None
        self.client = None

    def rows(self):
        first = HOT_ROWS + (self.writer - 1) * OWN_ROWS
        return range(first + 1, first + OWN_ROWS + 1)

    def row(self):
        if self.dice.random() < self.load.hot_share:
            return self.dice.randint(1, HOT_ROWS)
        return self.dice.choice(self.rows())

    def transaction(self, number):
        self.client.run('BEGIN')
        self.client.run(f'UPDATE counter SET value = value + 1 WHERE id = {self.row()}')
        self.client.run(f'INSERT INTO done VALUES ({self.writer}, {number})')
        if self.dice.random() < self.load.large_share:
            self.client.run(f"REPLACE INTO large VALUES ({self.writer}, REPEAT('{number % 10}', {LARGE_BYTES}))")
        before = self.waits_since = time.monotonic()
        self.client.run('COMMIT')
        after = time.monotonic()
        self.commits.append((after, after - before))
        self.done.append(number)

    def failed(self, number, error):
        if error.code in CONFLICT:
            self.codes[error.code] += 1
            self.refused.append(number)
            self.client.run('ROLLBACK')
            return
        (self.unknown if self.waits_since else self.refused).append(number)
        self.bad(number, error)

    def bad(self, number, error):
        """Nothing that a client may be told, unless its server was killed or stopped."""
        self.client = None
        if not (self.server.number in self.load.mortal and error.code in GONE | STOPPED):
            self.errors.append((time.monotonic(), number, str(error)))

    def connect(self):
        """A server that came back is no member before its START, and would take writes all the same."""
        client = Client(self.server, 'load_test')
        if client.value(ONLINE) == '1':
            self.client = client
        else:
            time.sleep(0.1)

    def step(self, number):
        """One transaction and what became of it; False while there is no server to do it."""
        try:
            if not self.client:
                self.waits_since = None
                self.connect()
                return False
            self.waits_since = None
            self.transaction(number)
        except SqlError as error:
            if not self.client:
                self.bad(number, error)
                time.sleep(0.1)
                return False
            try:
                self.failed(number, error)
            except SqlError as second:  # of the ROLLBACK
                self.bad(number, second)
        return True

    def run(self):
        number = 1
        while not self.load.end.is_set():
            number += self.step(number)
            if self.load.pause_s:
                time.sleep(self.load.pause_s)


class Load:
    def __init__(self, cluster, clients=4, hot_share=0.1, large_share=0, pause_s=0, mortal=()):
        """`mortal`: numbers of servers that will be killed or stopped; their writers go on when they are back."""
        self.hot_share, self.large_share, self.pause_s, self.mortal = hot_share, large_share, pause_s, mortal
        self.end = threading.Event()
        self.cluster = cluster
        servers = [server for server in cluster.servers for _ in range(clients)]
        self.writers = [Writer(self, server, name) for name, server in enumerate(servers, 1)]
        self.began = self.ended = None

    def __enter__(self):
        client = Client(self.cluster.servers[0], 'load_test')
        last = max(self.writers[-1].rows())
        client.run('TRUNCATE TABLE done')
        client.run('DELETE FROM counter')
        client.run('INSERT INTO counter VALUES ' + ', '.join(f'({row}, 0)' for row in range(1, last + 1)))
        self.cluster.wait_equal()
        self.began = time.monotonic()
        for writer in self.writers:
            writer.start()
        return self

    def __exit__(self, kind, *_):
        self.stop(5 if kind else ANSWER_S + 5)

    def stop(self, within_s=ANSWER_S + 5):
        self.end.set()
        deadline = time.monotonic() + within_s
        for writer in self.writers:
            writer.join(max(0, deadline - time.monotonic()))
        self.ended = self.ended or time.monotonic()

    # What was seen; all of it may be asked while the load goes on.

    def commits(self):
        """(when, latency) of every acknowledged commit, in their order."""
        return sorted(pair for writer in self.writers for pair in list(writer.commits))

    def count(self):
        return sum(len(writer.commits) for writer in self.writers)

    def refused(self):
        return sum(len(writer.refused) for writer in self.writers)

    def unknown(self):
        return sum(len(writer.unknown) for writer in self.writers)

    def codes(self):
        return sum((writer.codes for writer in self.writers), Counter())

    def errors(self):
        return [f'writer {each.writer} on server {each.server.number} at {when - self.began:.2f} s, '
                f'transaction {number}: {text}' for each in self.writers for when, number, text in list(each.errors)]

    def longest_wait_s(self, begin, end):
        """The longest that one client waited for an acknowledgement that came between the two moments."""
        return max((latency for when, latency in self.commits() if begin <= when <= end), default=end - begin)

    def longest_silence_s(self, begin, end):
        """The longest time without any acknowledgement to anybody."""
        moments = [begin] + [when for when, _ in self.commits() if begin <= when <= end] + [end]
        return max(b - a for a, b in zip(moments, moments[1:]))

    def check(self):
        """Compares every server's tables with what the writers were told; raises AssertionError with the numbers."""
        assert not any(writer.is_alive() for writer in self.writers), 'a writer waits and gets no answer'
        errors = self.errors()
        assert not errors, f'{len(errors)} errors told to clients, the first: ' + '; '.join(errors[:3])
        for server in self.cluster.servers:
            client = Client(server, 'load_test')
            held = {}
            for writer, number in client.run('SELECT writer, number FROM done'):
                held.setdefault(int(writer), set()).add(int(number))
            for writer in self.writers:
                rows, where = held.get(writer.writer, set()), f'writer {writer.writer}, server {server.number}'
                lost = set(writer.done) - rows
                assert not lost, f'{where}: {len(lost)} acknowledged commits are lost, as {sorted(lost)[:5]}'
                more = rows - set(writer.done) - set(writer.unknown)
                assert not more, f'{where}: {len(more)} commits that were refused are there, as {sorted(more)[:5]}'
            total, rows = int(client.value('SELECT SUM(value) FROM counter')), sum(map(len, held.values()))
            assert total == rows, f'server {server.number}: counters say {total}, {rows} transactions are there'
