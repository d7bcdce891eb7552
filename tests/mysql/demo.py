"""What ./demo shows, once everything is built: a group of three servers over three nodes, one of which is killed.

demo.py [--keep] [--stock] [--seconds N] [--clients N] [--ledger FILE] [--began EPOCH] SYNODD SYNODCTL PLUGIN
"""
import argparse
import os
import signal
import sys
import time

import ledger
from client import Client, Load, create_tables
from cluster import CACHE, Cluster, Programs

LOGS = 'build/demo-logs'
PAUSE_S_MAX = 1.0
TELL_S = 2


class Demo:
    def __init__(self, options):
        self.options, self.stock = options, options.stock
        self.cluster = self.load = self.killed = self.pid = None
        self.kill_at = self.lead_at = self.restart_at = None

    def say(self, text):
        print(f'[{int(time.time() - self.options.began):4d}s] {text}', flush=True)

    # Before the load.

    def form(self, cluster):
        if not self.stock:
            self.say('three nodes, each in a network namespace, over af_packet on one bridge')
            cluster.start_nodes()
            self.say(f'  they agree, and node {cluster.leader()} leads')
        self.say('three stock MySQL servers, each with the plugin')
        cluster.start_servers()
        version = cluster.servers[0].value('SELECT VERSION()')
        self.say(f'  MySQL {version} answers on all three; START GROUP_REPLICATION on the first, with bootstrap')
        cluster.bootstrap(1)
        for number in range(2, cluster.count + 1):
            self.say(f'  server {number} joins')
            cluster.join(number)
        cluster.wait_online()
        self.say('  all three are ONLINE and take writes')
        create_tables(cluster.servers[0])
        cluster.wait_equal()

    # The load, with the kill in its middle.

    def watch(self, until, before=lambda: False):
        """Tells how it goes until that moment, or until `before` says so."""
        told, count = time.monotonic(), self.load.count()
        while time.monotonic() < until and not before():
            time.sleep(0.02)
            now = time.monotonic()
            if now - told < TELL_S:
                continue
            more = self.load.count()
            self.say(f'  {(more - count) / (now - told):6,.0f} commits/s   {more:7,d} commits   '
                     f'{self.load.refused():5,d} refused   {self.state()}')
            told, count = now, more

    def state(self):
        online = sum(row[1] == 'ONLINE' for row in self.cluster.members())
        if self.stock:
            return f'{online} members ONLINE'
        leader = self.cluster.leader()
        return f'{online} members ONLINE   ' + ('no node leads' if leader is None else f'node {leader} leads')

    def kill(self):
        self.killed = self.cluster.leader()
        assert self.killed is not None, 'no node says that it leads'
        self.pid = self.cluster.appliance.process[self.killed].pid
        self.say(f'kill -9 of node {self.killed} (process {self.pid}), the leader')
        self.kill_at = time.monotonic()
        self.cluster.kill_node(self.killed)

    def led_again(self):
        if self.lead_at is None and self.cluster.leader() not in (None, self.killed):
            self.lead_at = time.monotonic()
        return self.lead_at is not None

    def run_load(self):
        seconds = self.options.seconds
        self.say(f'{self.options.clients} clients on each server write for {seconds} s; one write in ten goes to '
                 'one of ten rows that all share')
        with Load(self.cluster, self.options.clients) as self.load:
            if self.stock:
                self.watch(self.load.began + seconds)
                return
            self.watch(self.load.began + seconds / 3)
            self.kill()
            self.watch(self.kill_at + seconds / 3, self.led_again)
            assert self.lead_at, 'no other node took over'
            self.say(f'  node {self.cluster.leader()} leads now')
            self.watch(self.kill_at + seconds / 3)
            self.say(f'node {self.killed} is started again')
            self.restart_at = time.monotonic()
            self.cluster.start_node(self.killed)
            self.watch(self.load.began + seconds)

    # After it.

    def prove(self):
        self.say('no more writes: do all servers hold the same?')
        executed = self.cluster.wait_equal()
        self.cluster.wait_online()
        if not self.stock:
            self.cluster.wait_nodes(range(3))
        self.load.check()
        tables = self.cluster.check_tables()
        longest = max(latency for _, latency in self.load.commits())
        if not self.stock:
            assert longest <= PAUSE_S_MAX, f'a client waited {longest:.2f} s; at most {PAUSE_S_MAX:.0f} s is allowed'
        return executed, tables

    def report(self, executed, tables):
        load, lines = self.load, []
        commits = load.commits()
        latency = sorted(latency for _, latency in commits)
        took_s = load.ended - load.began

        def row(name, text):
            lines.append(f'{name:<11}{text}')
        row('members', ', '.join(f'{host} {state}' for host, state, _ in self.cluster.members()))
        row('commits', f'{len(commits):,d} acknowledged in {took_s:.1f} s, {len(commits) / took_s:,.0f} a second')
        told = ', '.join(f'{count:,d} told {code}' for code, count in load.codes().most_common())
        row('conflicts', f'{load.refused():,d} refused' + (f': {told}' if told else ''))
        if not self.stock:
            group = self.cluster.group_status()
            row('', f'the appliance certified {group["certified"]:,d} and refused {group["conflicts"]:,d}')
        at = [(f'p{share}', latency[len(latency) * share // 100]) for share in (50, 95, 99)] + [('max', latency[-1])]
        row('latency', 'of COMMIT: ' + '   '.join(f'{name} {value * 1e3:.1f} ms' for name, value in at))
        if not self.stock:
            self.report_kill(row)
        row('proof', f'gtid_executed is the same on all: {executed}')
        row('', 'tables are the same on all, by checksum: ' + ', '.join(f'{name} {sum_}' for name, sum_ in tables))
        row('', 'every acknowledged commit is there, once; no refused one is')
        print('\n' + '\n'.join(lines) + '\n', flush=True)

    def report_kill(self, row):
        window = self.kill_at, self.restart_at
        row('kill -9', f'node {self.killed} led; another led after {(self.lead_at - self.kill_at) * 1e3:.0f} ms; '
            'no client got an error')
        row('', f'longest pause: {self.load.longest_silence_s(*window) * 1e3:.0f} ms without any commit, '
            f'{self.load.longest_wait_s(*window) * 1e3:.0f} ms for one client')

    def run(self, book):
        cluster = Cluster('demo', Programs(*map(os.path.abspath, self.options.programs)), stock=self.stock, logs=LOGS,
                          started=lambda process: book.process(process.pid))
        for name in cluster.net.names():
            book.space(name)
        with cluster as self.cluster:
            for folder in self.cluster.folders():
                book.folder(folder)
            self.form(self.cluster)
            self.run_load()
            self.report(*self.prove())
            if self.options.keep:
                self.cluster.leave()
                book.keep()
                self.tell_kept()
                return
            self.say('stopping what was started')
        book.done()

    def tell_kept(self):
        root, socket = self.cluster.pool.root, f'{self.cluster.pool.inside}/N/s.sock'
        print(f'It goes on running. Server N (1 to {self.cluster.count}):\n'
              f'    chroot {root} mysql -uroot -S {socket}')
        if not self.stock:
            print('Node N (0 to 2):\n'
                  f'    {self.options.programs[1]} status --socket {self.cluster.appliance.folder}/controlN')
        print('Stop it and remove its data:\n    ./demo --clean', flush=True)


def interrupted(*_):
    """Once: what it started is stopped, and a second Ctrl-C does not interrupt that."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def parse():
    parser = argparse.ArgumentParser()
    parser.add_argument('--keep', action='store_true')
    parser.add_argument('--stock', action='store_true')
    parser.add_argument('--seconds', type=int, default=15)
    parser.add_argument('--clients', type=int, default=4)
    parser.add_argument('--ledger', default=os.path.join(CACHE, 'demo.json'))
    parser.add_argument('--began', type=float, default=time.time())
    parser.add_argument('programs', nargs=3)
    return parser.parse_args()


def refuse_second(demo, path):
    """Two demos at once would not harm each other, but the second would take away the first one's ledger."""
    left = ledger.read(path)
    if left is None:
        return
    if left['kept'] or ledger.alive(left, left['owner']):
        sys.exit('demo: another one is running' + (': ./demo --clean stops it' if left['kept'] else ''))
    demo.say('an earlier run was cut off: removing what it left')
    if not ledger.clean(path):
        sys.exit(1)


def main():
    demo = Demo(parse())
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupted)
    refuse_second(demo, demo.options.ledger)
    book = ledger.Ledger(demo.options.ledger)
    try:
        demo.run(book)
    except KeyboardInterrupt:
        demo.say('interrupted; everything it started is gone')
        book.done()
        return 130
    except Exception as error:  # whatever it is, one sentence says so
        demo.say(f'FAILED: {error}')
        print(f'    the logs of nodes and servers are in {LOGS}')
        book.done()
        return 1
    return 0


if __name__ == '__main__':
    sys.exit(main())
