"""Namespaces on one bridge for device tests; whatever happens, nothing stays behind.

    with Bridge(3) as net:
        net.spaces[0].run(['synodd', ...])     # a process inside
        with net.spaces[1].inside():           # sockets made here belong to it
            ...

Each namespace has one interface, 'port0', on the bridge, which lives in a namespace of its own:
the host's own network is not touched. Names carry the pid, so that tests may run side by side.
"""
import contextlib
import ctypes
import fcntl
import os
import signal
import socket
import struct
import subprocess
import sys

LIBC = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNET = 0x40000000
SIOCETHTOOL, ETHTOOL_STXCSUM = 0x8946, 0x17


def ip(*words):
    subprocess.run(['ip', *words], check=True, stdout=subprocess.DEVNULL)


def setns(fd):
    if LIBC.setns(fd, CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), 'setns')


def finish_checksums(interface):
    """The kernel leaves UDP checksums to a card, which a veth has not: make it write them."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        value = ctypes.create_string_buffer(struct.pack('II', ETHTOOL_STXCSUM, 0))
        request = struct.pack('16sP', interface.encode(), ctypes.addressof(value))
        fcntl.ioctl(sock, SIOCETHTOOL, request.ljust(40, b'\0'))


class Space:
    """One namespace; its interface has a kernel address only if one is given to it."""

    def __init__(self, name):
        self.name = name
        self.processes = []
        self.started = None
        ip('netns', 'add', name)

    def command(self, *words):
        ip('-n', self.name, *words)

    def run(self, argv, **options):
        """A session of its own: Ctrl-C is for the test, which then stops its processes in order."""
        process = subprocess.Popen(['ip', 'netns', 'exec', self.name, *argv],
                                   start_new_session=True, **options)
        self.processes.append(process)
        if self.started:
            self.started(process)
        return process

    @contextlib.contextmanager
    def inside(self):
        home = os.open('/proc/self/ns/net', os.O_RDONLY)
        there = os.open(f'/run/netns/{self.name}', os.O_RDONLY)
        try:
            setns(there)
            yield
        finally:
            setns(home)
            os.close(there)
            os.close(home)

    def give_address(self, address):
        self.command('addr', 'add', address, 'dev', 'port0')
        with self.inside():
            finish_checksums('port0')

    def remove(self):
        for process in self.processes:
            if process.poll() is None:
                process.kill()
                process.wait()
        subprocess.run(['ip', 'netns', 'del', self.name], check=False, stderr=subprocess.DEVNULL)


def set_in(space, name, value):
    path = f'/proc/sys/{name}'
    with space.inside():
        if os.path.exists(path):
            with open(path, 'w', encoding='ascii') as file:
                file.write(str(value))


class Bridge:
    made = 0

    def __init__(self, count):
        if os.geteuid() != 0:
            sys.exit('device tests make network namespaces: run them as root')
        self.count = count
        self.spaces = []
        self.hub = None
        self.mark = f'synod{os.getpid()}' + (f'x{Bridge.made}' if Bridge.made else '')
        Bridge.made += 1

    def __enter__(self):
        if signal.getsignal(signal.SIGTERM) == signal.SIG_DFL:
            signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
        try:
            self.build()
        except BaseException:
            self.__exit__()
            raise
        return self

    def names(self):
        """Of all namespaces, the bridge's first; known before they exist."""
        return [f'{self.mark}-hub'] + [f'{self.mark}-{i}' for i in range(self.count)]

    def build(self):
        hub, *names = self.names()
        self.hub = Space(hub)
        self.hub.command('link', 'add', 'hub', 'type', 'bridge')
        self.hub.command('link', 'set', 'hub', 'up')
        # Where the host filters bridged packets, a bridge joins fragments and drops bad headers:
        # the port under test is to see them.
        set_in(self.hub, 'net/bridge/bridge-nf-call-iptables', 0)
        for i, name in enumerate(names):
            space = Space(name)
            self.spaces.append(space)
            set_in(space, 'net/ipv6/conf/all/disable_ipv6', 1)
            self.hub.command('link', 'add', f'v{i}', 'type', 'veth', 'peer', 'name', 'port0',
                             'netns', space.name)
            self.hub.command('link', 'set', f'v{i}', 'master', 'hub', 'up')
            space.command('link', 'set', 'port0', 'up')
            space.command('link', 'set', 'lo', 'up')

    @contextlib.contextmanager
    def apart(self, *numbers):
        """These spaces do not reach one another meanwhile; everybody else reaches all."""
        def isolated(word):
            for i in numbers:
                self.hub.command('link', 'set', 'dev', f'v{i}', 'type', 'bridge_slave', 'isolated',
                                 word)
        isolated('on')
        yield
        isolated('off')

    def __exit__(self, *_):
        for space in self.spaces + ([self.hub] if self.hub else []):
            space.remove()
