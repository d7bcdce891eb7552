#!/usr/bin/env python3
"""A port over af_packet or af_xdp, against the kernel's own network stack on the other side.

test_udp.py UDP_ECHO af_packet|af_xdp    the program under test and the driver
"""
import os
import random
import select
import signal
import socket
import struct
import subprocess
import sys
import time

from netns import Bridge

DRIVER = sys.argv[2]
EAL = '--no-pci --no-huge --no-shconf --no-telemetry -m 64 --vdev ' + {
    'af_packet': 'net_af_packet0,iface=port0',
    'af_xdp': 'net_af_xdp0,iface=port0,force_copy=1',
}[DRIVER]
OURS, KERNEL, PORT = '10.77.0.1', '10.77.0.2', 7000
WAIT_S = 5


def checksum(data):
    data += b'\0' * (len(data) % 2)
    total = sum(struct.unpack(f'!{len(data) // 2}H', data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


def check(condition, what):
    if not condition:
        raise AssertionError(what)
    print('ok', what, flush=True)


def start(space, echo):
    process = space.run([echo, EAL, f'{OURS}/24', str(PORT)], stdout=subprocess.PIPE, text=True)
    if not select.select([process.stdout], [], [], 20)[0]:
        raise AssertionError('udp_echo does not get ready')
    line = process.stdout.readline()
    check(line.startswith(f'ready net_{DRIVER} mtu 1500') and 'wait -1' not in line,
          'port opened: ' + line.strip())
    return process


def mac_of(space):
    with space.inside(), socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as sock:
        sock.bind(('port0', 0))
        return sock.getsockname()[4]


def udp_socket(space):
    with space.inside():
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((KERNEL, 0))
    sock.settimeout(WAIT_S)
    return sock


def echo_once(sock, payload):
    sock.sendto(payload, (OURS, PORT))
    answer, source = sock.recvfrom(2048)
    return answer == payload and source == (OURS, PORT)


def test_arp_asked_by_us(kernel, mac):
    """The kernel is told our MAC and never asks: the answer must wait for our own question."""
    colons = ':'.join(f'{b:02x}' for b in mac)
    kernel.command('neigh', 'add', OURS, 'lladdr', colons, 'dev', 'port0')
    with udp_socket(kernel) as sock:
        check(echo_once(sock, b'first'), 'a first answer waits for ARP and arrives')
    kernel.command('neigh', 'del', OURS, 'dev', 'port0')


def test_sizes(kernel):
    with udp_socket(kernel) as sock:
        good = sum(echo_once(sock, os.urandom(n)) for n in range(1473))
        check(good == 1473, 'datagrams of 0..1472 bytes come back, checksums accepted')
        sock.sendto(os.urandom(3000), (OURS, PORT))
        check(echo_once(sock, b'after'), 'a fragmented datagram is not answered')


def test_ping(kernel):
    with kernel.inside():
        sock = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
    sock.settimeout(WAIT_S)
    for n in (0, 1, 56, 1472):
        body = struct.pack('!HH', 77, n) + os.urandom(n)
        sum_ = checksum(struct.pack('!BBH', 8, 0, 0) + body)
        sock.sendto(struct.pack('!BBH', 8, 0, sum_) + body, (OURS, 0))
        packet = sock.recv(2048)[20:]
        check(packet[0] == 0 and packet[4:] == body and checksum(packet) == 0,
              f'ping of {n} bytes answered')
    sock.close()


def raw_datagram(mac, source_mac, payload, spoil):
    udp = struct.pack('!HHHH', 9, PORT, 8 + len(payload), 0) + payload
    pseudo = socket.inet_aton(KERNEL) + socket.inet_aton(OURS) + struct.pack('!HH', 17, len(udp))
    udp = udp[:6] + struct.pack('!H', checksum(pseudo + udp) ^ spoil) + udp[8:]
    ip = struct.pack('!BBHHHBBH', 0x45, 0, 20 + len(udp), 0, 0, 64, 17, 0)
    ip += socket.inet_aton(KERNEL) + socket.inet_aton(OURS)
    ip = ip[:10] + struct.pack('!H', checksum(ip)) + ip[12:]
    return mac + source_mac + b'\x08\0' + ip + udp


def test_bad_frames(kernel, mac):
    source_mac = mac_of(kernel)
    with kernel.inside():
        raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    raw.bind(('port0', 0))
    dice = random.Random(1)
    for _ in range(10):
        raw.send(raw_datagram(mac, source_mac, b'spoilt datagram', 0x0101))
    good = raw_datagram(mac, source_mac, b'cut datagram', 0)
    for n in range(14, len(good)):
        raw.send(good[:n])
    for _ in range(2000):
        kind = dice.choice([b'\x08\0', b'\x08\x06'])
        raw.send(mac + source_mac + kind + dice.randbytes(dice.randrange(0, 200)))
    raw.close()
    with udp_socket(kernel) as sock:
        check(echo_once(sock, b'alive'), 'spoilt, cut and random frames do it no harm')


def cpu_s(process):
    """The echo itself: `ip netns exec` replaces itself by it."""
    with open(f'/proc/{process.pid}/stat', encoding='ascii') as file:
        fields = file.read().rsplit(')', 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf('SC_CLK_TCK')


def test_sleeps(process):
    before = cpu_s(process)
    time.sleep(1)
    check(cpu_s(process) - before < 0.1, 'an idle port sleeps')


def test_stop(process):
    process.send_signal(signal.SIGTERM)
    text, _ = process.communicate(timeout=WAIT_S)
    check(process.returncode == 0, 'SIGTERM stops it cleanly')
    count = dict(line.split() for line in text.splitlines())
    # 0..1472, the first, the one after the fragments, the one after the bad frames. Where the
    # driver is af_packet's, the kernel joins fragments (FANOUT_DEFRAG): what comes is one packet
    # larger than the MTU.
    check(count['received'] == count['sent'] == '1476', 'every good datagram was answered, no other')
    check(int(count['fragment' if DRIVER == 'af_xdp' else 'ip_header']) >= 1,
          'the fragmented one was dropped')
    check(int(count['udp_checksum']) >= 10, 'wrong checksums were counted')
    check(int(count['short']) >= 40, 'cut frames were counted')
    check(int(count['echo_answered']) == 4, 'echoes were counted')
    check(int(count['arp_answered']) >= 1, 'ARP was answered')


def main():
    with Bridge(2) as net:
        ours, kernel = net.spaces
        kernel.give_address(f'{KERNEL}/24')
        process = start(ours, sys.argv[1])
        mac = mac_of(ours)
        test_arp_asked_by_us(kernel, mac)
        test_sizes(kernel)
        test_ping(kernel)
        test_bad_frames(kernel, mac)
        test_sleeps(process)
        test_stop(process)


main()
