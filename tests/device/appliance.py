"""Three synodd (or so) on one bridge, one namespace each, for device tests.

    with Bridge(3) as net, Appliance(net, SYNODD, SYNODCTL) as appliance:   # sealed; or seal='none'
        appliance.start(0)
        appliance.status(0)['groups'][0]['leader']

Logs and sockets lie in a folder of their own (below `within`) that is removed at the end;
after a failure, the last that each node said is printed if `tell`: so little that all of it, and
the check that failed, is in the end of the output that ./check shows.
"""
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time

EAL = '--no-pci --no-huge --no-shconf --no-telemetry -m 64 --vdev net_af_packet0,iface=port0'
TOLD_LINES = 30
CONFIG = """[node]
id = {id}
name = node-{number}
address = 10.77.0.{id}:4000
[appliance]
nodes = {nodes}
{spares}
durability = {durability}
[port]
eal = {eal}
[log]
directory = {folder}/log{number}
segment_bytes = {segment_bytes}
log_bytes_max = {log_bytes_max}
[memory]
pool_bytes = 64 MiB
[groups]
groups_max = 4
index_hashes_max = {index_hashes_max}
[keys]
seal = {seal}
file = {folder}/keys{number}
{certificates}
[control]
socket = {folder}/control{number}
"""


class Appliance:
    def __init__(self, net, synodd, synodctl, durability='disk', within=None, tell=True,
                 nodes=3, spares='', certificates='', **limits):
        """`spares`: ids of nodes that do not vote at first; a node's id is its number and one.

        `certificates`: a section of that name; {folder} and {number} stand for each node's."""
        self.certificates = certificates
        self.count = nodes
        self.addresses = [f'10.77.0.{1 + number}:4000' for number in range(nodes)]
        self.settings = {'durability': durability, 'eal': EAL, 'log_bytes_max': '1 GiB',
                         'segment_bytes': '4 MiB',
                         'index_hashes_max': 65536, 'seal': 'on',
                         'nodes': ', '.join(f'{1 + n}@{at}' for n, at in enumerate(self.addresses)),
                         'spares': f'spares = {spares}' if spares else '', **limits}
        self.within = within
        self.tell = tell
        self.net = net
        self.synodd = synodd
        self.synodctl = synodctl
        self.process = [None] * nodes
        self.sealed = self.settings['seal'] == 'on'
        self.keys = []
        self.folder = None

    def __enter__(self):
        self.folder = tempfile.mkdtemp(prefix='synod-device-', dir=self.within)
        for number in range(self.count):
            with open(self.config(number), 'w', encoding='ascii') as file:
                own = self.certificates.format(folder=self.folder, number=number)
                file.write(CONFIG.format(id=number + 1, number=number, folder=self.folder,
                                         certificates=own, **self.settings))
        if self.sealed:
            self.make_keys()
        return self

    def __exit__(self, kind, *_):
        ends = [process.poll() if process else 0 for process in self.process]
        fell = {number: end for number, end in enumerate(ends) if end and end < 0 and -end != signal.SIGKILL}
        for number, end in enumerate(ends):
            if end is None:
                self.kill(number)
        if fell or (self.tell and kind not in (None, KeyboardInterrupt)):
            for number, end in enumerate(ends):
                how = 'runs' if end is None else f'ended with {end}'
                lines = [line for line in self.said(number).split('\n') if not line.startswith('EAL')]
                print(f'--- node {number} {how}, and said at last',
                      *lines[-TOLD_LINES // self.count:], sep='\n', flush=True)
        shutil.rmtree(self.folder)
        check(not fell or kind, f'no node fell by a signal: {fell}')

    def key_command(self, *words):
        return subprocess.run([self.synodctl, 'key', *map(str, words)], check=True, capture_output=True,
                              text=True).stdout.strip()

    def key_file(self, number):
        return f'{self.folder}/keys{number}'

    def make_keys(self):
        """A key for each node, listed at the others."""
        self.keys = [self.key_command('new', self.key_file(number)) for number in range(self.count)]
        for number in range(self.count):
            for other in range(self.count):
                if other != number:
                    self.key_command('add', self.key_file(number), self.keys[other], 'node', other + 1)

    def list_server(self, key, uuid='any', groups='any'):
        """Lists a server's key at all nodes; those that run read it within a second."""
        for number in range(self.count):
            self.key_command('add', self.key_file(number), key, 'server', uuid, 'group', groups)
            if self.process[number] and self.process[number].poll() is None:
                self.process[number].send_signal(signal.SIGHUP)

    def config(self, number):
        return f'{self.folder}/node{number}.conf'

    def said(self, number):
        path = f'{self.folder}/said{number}'
        if not os.path.exists(path):
            return ''
        with open(path, encoding='utf-8') as file:
            return file.read()

    def dropped(self, number, said):
        """What `synodctl node remove` printed goes into its file: it comes back with another disk."""
        line = next(line for line in said.splitlines() if line.startswith('votes_after = '))
        with open(self.config(number), encoding='ascii') as file:
            kept = [other for other in file.read().splitlines() if not other.startswith('votes_after')]
        kept.insert(kept.index('[appliance]') + 1, line)
        with open(self.config(number), 'w', encoding='ascii') as file:
            file.write('\n'.join(kept) + '\n')

    def start(self, number, *options):
        with open(f'{self.folder}/said{number}', 'a', encoding='utf-8') as said:
            self.process[number] = self.net.spaces[number].run(
                [self.synodd, '--config', self.config(number), *options], stderr=said,
                stdout=said)

    def kill(self, number):
        self.process[number].kill()
        self.process[number].wait()

    def stop(self, number):
        self.process[number].send_signal(signal.SIGTERM)
        return self.process[number].wait(timeout=10)

    def tool(self, number, *words):
        """synodctl, of this node."""
        return subprocess.run([self.synodctl, *map(str, words), '--socket',
                               f'{self.folder}/control{number}'],
                              capture_output=True, text=True, check=False)

    def ask(self, number, *options):
        return self.tool(number, 'status', *options)

    def status(self, number):
        """The status object, or None while the node does not answer."""
        done = self.ask(number, '--json')
        return json.loads(done.stdout) if done.returncode == 0 else None

    def leader(self, number):
        status = self.status(number)
        return status['groups'][0]['leader'] if status else None


def wait_for(condition, what, within_s=60, every_s=0.02):
    """Waits for what must come; returns the seconds it took. The bound is for a host whose disk or
    processor stands still for a while; who measures looks at the seconds, and seldom (`every_s`)."""
    begin = time.monotonic()
    while not condition():
        if time.monotonic() - begin > within_s:
            raise AssertionError(f'not within {within_s} s: {what}')
        time.sleep(every_s)
    took_s = time.monotonic() - begin
    print(f'ok {what} ({took_s:.2f} s)', flush=True)
    return took_s


def check(condition, what):
    if not condition:
        raise AssertionError(what)
    print('ok', what, flush=True)
