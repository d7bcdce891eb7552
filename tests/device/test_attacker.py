#!/usr/bin/env python3
"""An attacker with the wire but no key: reads, replays, forges, resets and floods, while members commit.

test_attacker.py SYNODD SYNODCTL MEMBER_LOAD STRANGER [--clear]

It sees every frame on the bridge and sends from a port of its own, under any address. --clear runs the same on
links in clear, where the test must fail: to read and to reset is then easy.
"""
import contextlib
import multiprocessing
import random
import socket
import struct
import subprocess
import sys
import threading
import time

from appliance import Appliance, check
from load import Member, ask_all, begin, errors, settle, tell
from netns import Bridge

MEMBERS = 2
TEXT = b'what nobody else may read; '
PORT = 4000
ETHERNET, IP, UDP = 14, 20, 8
HEADER = 32                # of a datagram: type, generation, 2 zeros, key id, counter, epoch
INIT, COOKIE, RESPONSE, REFUSE, CONFIRM, DATA = range(1, 7)
REASON_SEAL = 9            # enum wire_reason
RECORDED_MAX = 20000
POOL = 2000
GROWTH_MAX_KIB = 4096
PAUSE_MAX_US = 1000000
DICE = random.Random(7)


# ---- frames ----

class Frame:
    """A UDP datagram as it was seen on the wire."""

    def __init__(self, data):
        self.data = data
        self.to_mac = data[:6]
        self.source, self.target = data[26:30], data[30:34]
        self.from_port, self.to_port = struct.unpack('>HH', data[34:38])
        length = struct.unpack('>H', data[38:40])[0]
        self.payload = data[ETHERNET + IP + UDP:ETHERNET + IP + length]

    @property
    def kind(self):
        return self.payload[0]

    def to(self):
        return f'{socket.inet_ntoa(self.target)}:{self.to_port}'


def is_session(data):
    return len(data) >= ETHERNET + IP + UDP + HEADER and data[12:14] == b'\x08\x00' and data[23] == 17 and \
        PORT in struct.unpack('>HH', data[34:38])


def checksum(data):
    data += b'\0' * (len(data) % 2)
    total = sum(struct.unpack(f'>{len(data) // 2}H', data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


def forged(frame, mac, payload, source=None, port=None):
    """To where `frame` went, as if from there where it came from, or from elsewhere."""
    source, port = source or frame.source, port or frame.from_port
    length = UDP + len(payload)
    udp = struct.pack('>HHHH', port, frame.to_port, length, 0)
    pseudo = source + frame.target + struct.pack('>HH', 17, length)
    udp = udp[:6] + struct.pack('>H', checksum(pseudo + udp + payload) or 0xffff)
    ip = struct.pack('>BBHHHBBH4s4s', 0x45, 0, IP + length, 0, 0x4000, 64, 17, 0, source, frame.target)
    ip = ip[:10] + struct.pack('>H', checksum(ip)) + ip[12:]
    return frame.to_mac + mac + b'\x08\x00' + ip + udp + payload


# ---- what the attacker does ----

class Tap:
    """Keeps what enters the bridge, from its beginning."""

    def __init__(self, space):
        self.frames = []
        self.on = True
        with space.inside():
            self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        self.socket.setsockopt(socket.SOL_SOCKET, 33, 64 << 20)  # SO_RCVBUFFORCE
        self.socket.settimeout(0.1)
        self.thread = threading.Thread(target=self.read)
        self.thread.start()

    def read(self):
        while self.on:
            try:
                data, (_, _, kind, *_) = self.socket.recvfrom(2048)
            except TimeoutError:
                continue
            if kind != socket.PACKET_OUTGOING and len(self.frames) < RECORDED_MAX and is_session(data):
                self.frames.append(Frame(data))

    def stop(self):
        self.on = False
        self.thread.join()
        self.socket.close()
        return self.frames


def send_over_and_over(space, frames, on, sent):
    with space.inside():
        sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    sock.bind(('port0', 0))
    while on.is_set():
        for frame in frames:
            try:
                sent.value += sock.send(frame) > 0
            except OSError:
                pass  # the queue is full


class Attacker:
    def __init__(self, space, stranger):
        self.space = space
        self.stranger = stranger
        with space.inside(), socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as sock:
            sock.bind(('port0', 0))
            self.mac = sock.getsockname()[4]

    @contextlib.contextmanager
    def sending(self, frames):
        """Meanwhile these are sent, over and over, as fast as it goes."""
        fork = multiprocessing.get_context('fork')
        on, sent = fork.Event(), fork.Value('L', 0, lock=False)
        on.set()
        process = fork.Process(target=send_over_and_over, args=(self.space, frames, on, sent), daemon=True)
        began = time.monotonic()
        process.start()
        try:
            yield
        finally:
            on.clear()
            process.join()
            print(f'   {sent.value} frames sent, {sent.value / (time.monotonic() - began):.0f} per second', flush=True)

    def as_recorded(self, frames):
        """The very datagrams; only the card that sends is another one."""
        return [frame.data[:6] + self.mac + frame.data[12:] for frame in frames]

    def with_good_headers(self, frames):
        """Datagrams of sessions that are open, later in their count, of every kind, around random bodies."""
        out = []
        for i, frame in enumerate(frames):
            counter = struct.unpack('<Q', frame.payload[8:16])[0] + 1000000 + i
            kind = DICE.choice([DATA, DATA, DATA, CONFIRM, COOKIE, RESPONSE, REFUSE])
            if kind in (COOKIE, RESPONSE, REFUSE):
                counter = 0
            header = bytes([kind, frame.payload[1]]) + frame.payload[2:8] + struct.pack('<Q', counter) + \
                frame.payload[16:HEADER]
            body = DICE.randbytes(DICE.choice([17, 64, 300, 1300]))
            out.append(forged(frame, self.mac, header + body))
        return out

    def handshakes(self, inits, count):
        """Recorded ones, which only their key's owner can tell from new ones, from hosts that there are not."""
        return [forged(frame, self.mac, frame.payload, source=bytes([10, 77, 0, DICE.randrange(30, 255)]),
                       port=DICE.randrange(1024, 65536)) for frame in DICE.choices(inits, k=count)]

    def run(self, *words):
        process = self.space.run([self.stranger, *words], stdout=subprocess.PIPE, text=True)
        return process.communicate(timeout=30)[0].strip()


# ---- what must hold ----

class Watch:
    """What the appliance and its members were before an attack, and what came of them."""

    def __init__(self, appliance, members):
        self.appliance, self.members = appliance, members
        self.drops = [self.drops_of(number) for number in range(3)]
        self.memory = [self.memory_of(number) for number in range(3)]
        self.lost, self.led = self.count_said('is lost'), self.count_said('group 1 is led by')
        ask_all(members, 'reset')
        self.links = [member.stats()['links'] for member in members]
        ask_all(members, 'go')

    def drops_of(self, number):
        return self.appliance.status(number)['drops']['node']

    def memory_of(self, number):
        with open(f'/proc/{self.appliance.process[number].pid}/status', encoding='ascii') as file:
            return next(int(line.split()[1]) for line in file if line.startswith('VmRSS'))

    def count_said(self, words):
        return [self.appliance.said(number).count(words) for number in range(3)]

    def unharmed(self, what, *reasons):
        """Commits went on, no session ended, memory is what it was, and each node counted these. Where
        the host is too busy for the leader another one takes over, and the members go there."""
        stats = [member.stats() for member in self.members]
        ask_all(self.members, 'halt')
        for member, line in zip(self.members, stats):
            tell(member, line)
        check(all(s['commit'] > 50 and not errors(s) for s in stats), f'{what}: members commit, no client saw an error')
        longest = max(s['pause_us'] for s in stats)
        check(longest <= PAUSE_MAX_US, f'the longest pause was {longest / 1000:.0f} ms')
        moves = max(now - was for now, was in zip(self.count_said('group 1 is led by'), self.led))
        links = max(s['links'] - was for s, was in zip(stats, self.links))
        check(links <= moves and all(s['connected'] for s in stats) and self.count_said('is lost') == self.lost,
              f'no session was torn down, but members went to another leader {links} times, which changed {moves} times')
        grown = [self.memory_of(number) - self.memory[number] for number in range(3)]
        check(max(grown) <= GROWTH_MAX_KIB, f'nodes have grown by {grown} KiB')
        for number in range(3):
            now = self.drops_of(number)
            more = {name: now[name] - self.drops[number][name] for name in now}
            check(all(more[reason] > 0 for reason in reasons),
                  f'node {number} counted: { {name: count for name, count in more.items() if count} }')


def test_reading(frames):
    """In clear the words of the payloads and the group's name stand there for everybody."""
    bytes_seen = b'\n'.join(frame.payload for frame in frames)
    check(TEXT not in bytes_seen, f'{len(frames)} datagrams, {len(bytes_seen)} bytes, were recorded: '
          'nothing of a payload stands there')
    check(b'a group of load' not in bytes_seen, 'nor the name of the group')


def test_replay(attacker, watch, frames):
    with attacker.sending(attacker.as_recorded(frames)):
        time.sleep(2)
    watch.unharmed('all was sent again', 'replayed')


def test_resets(attacker, watch, newest):
    """Each session that is open is closed by who knows its header, if links are in clear."""
    words = [word for frame in newest for word in (frame.to(), frame.payload[:HEADER].hex())]
    said = attacker.run('reset', *words)
    check(said == f'sent {len(newest)}', f'{len(newest)} sessions were reset')
    time.sleep(1)
    watch.unharmed('resets', 'in_clear')


def test_forgery(attacker, watch, newest):
    frames = attacker.with_good_headers([DICE.choice(newest) for _ in range(POOL)])
    with attacker.sending(frames):
        time.sleep(3)
    watch.unharmed('good headers around forged bodies', 'forged')


def test_handshakes(attacker, watch, inits, fresh):
    """Nobody keeps an honest server out, either: nodes ask for cookies, and only who is at its address has one."""
    def cookies():
        return sum(watch.appliance.status(number)['port']['cookies_sent'] for number in range(3))
    before = cookies()
    with attacker.sending(attacker.handshakes(inits, POOL)):
        time.sleep(2)
        began = time.monotonic()
        fresh.start(bootstrap=0, clients=0)
        check(fresh.started(), f'a server joined meanwhile, in {time.monotonic() - began:.2f} s')
    watch.unharmed('a flood of handshakes')
    check(cookies() > before + 100, f'{cookies() - before} were told to come back with a cookie')


def test_joining(attacker):
    said = attacker.run('hello', '1', '10.77.0.1:4000')
    check(said == f'refused {REASON_SEAL}', f'who has no key is told that it needs one: {said}')


def newest_of(frames):
    """The last datagram of each direction of each session."""
    return list({(frame.target, frame.payload[4:8]): frame for frame in frames if frame.kind == DATA}.values())


def attack(appliance, net, program, stranger):
    tap = Tap(net.hub)
    for i, space in enumerate(net.spaces[3:]):
        space.give_address(f'10.77.0.{11 + i}/24')
    members = [Member(net.spaces[3 + i], program, appliance, i + 1, clients=6, hot_rows=4, hot_percent=25,
                      think_us=4000, dead_ms=500, text=TEXT.decode()) for i in range(MEMBERS + 1)]
    fresh = members.pop()
    attacker = Attacker(net.spaces[-1], stranger)
    begin(appliance, members)
    ask_all(members, 'go')
    time.sleep(1)
    ask_all(members, 'halt')
    frames = tap.stop()
    newest, inits = newest_of(frames), [frame for frame in frames if frame.kind == INIT]
    check(len(newest) >= 10 and inits, f'{len(newest)} directions of sessions and {len(inits)} handshakes were seen')
    test_reading(frames)
    test_joining(attacker)
    test_replay(attacker, Watch(appliance, members), frames)
    test_resets(attacker, Watch(appliance, members), newest)
    test_forgery(attacker, Watch(appliance, members), newest)
    test_handshakes(attacker, Watch(appliance, members), inits, fresh)
    settle(members + [fresh])


def main():
    synodd, synodctl, program, stranger = sys.argv[1:5]
    with Bridge(3 + MEMBERS + 2) as net, Appliance(
            net, synodd, synodctl, log_bytes_max='512 MiB', seal='none' if '--clear' in sys.argv else 'on') as appliance:
        attack(appliance, net, program, stranger)


main()
