#!/usr/bin/env python3
"""The log seen from outside: open flags, write flags, kill -9, a second process, a full disk.

test_log.py LOG_WRITER      root: it reads another process's memory and mounts a small tmpfs
"""
import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import time

WRITER = sys.argv[1]
IORING_OFF_SQES = 0x10000000
IORING_OP_WRITE_FIXED, IORING_OP_WRITE = 5, 23
RWF_DSYNC = 2


def start(directory, records, body, *more, wrap=()):
    return subprocess.Popen([*wrap, WRITER, directory, str(records), str(body), *more],
                            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def until(process, word):
    lines = []
    for line in process.stdout:
        lines.append(line.strip())
        if line.startswith(word):
            return lines
    raise AssertionError(f'{word!r} never came: {lines}')


def stop(process):
    process.stdin.close()
    process.stdout.read()
    return process.wait()


def segments_are_direct(pid):
    count = 0
    for fd in os.listdir(f'/proc/{pid}/fd'):
        if 'segment-' not in os.readlink(f'/proc/{pid}/fd/{fd}'):
            continue
        with open(f'/proc/{pid}/fdinfo/{fd}', encoding='ascii') as info:
            flags = int(re.search(r'flags:\s*(\d+)', info.read()).group(1), 8)
        assert flags & os.O_DIRECT, f'{fd} without O_DIRECT: {flags:o}'
        assert flags & os.O_CLOEXEC, f'{fd} would be inherited'
        count += 1
    assert count > 0
    return count


def ring_writes(pid):
    """The write requests that still stand in the process's submission ring."""
    writes = []
    with open(f'/proc/{pid}/maps', encoding='ascii') as maps:
        for line in maps:
            span, _, offset, *_ = line.split()
            if 'io_uring' not in line or int(offset, 16) != IORING_OFF_SQES:
                continue
            first, last = (int(part, 16) for part in span.split('-'))
            with open(f'/proc/{pid}/mem', 'rb') as memory:
                memory.seek(first)
                ring = memory.read(last - first)
            for at in range(0, len(ring), 64):
                opcode, flags, _, _, offset, address, size, rw = struct.unpack_from('<BBHiQQII',
                                                                                    ring, at)
                if opcode in (IORING_OP_WRITE, IORING_OP_WRITE_FIXED):
                    writes.append((opcode, flags, offset, address, size, rw))
    return writes


def test_ring(directory):
    process = start(directory, 8, 1000)
    lines = until(process, 'done')
    if not lines[0].startswith('mode io_uring'):
        print('io_uring is refused here:', lines[0])
        stop(process)
        return
    assert 'O_DIRECT RWF_DSYNC' in lines[0], lines[0]
    segments_are_direct(process.pid)
    writes = ring_writes(process.pid)
    assert writes, 'no write request in the ring'
    for opcode, _, offset, address, size, rw in writes:
        assert rw == RWF_DSYNC, f'write without RWF_DSYNC: {rw:#x}'
        assert offset % 4096 == 0 and address % 4096 == 0 and size % 4096 == 0
        if 'buffers' in lines[0]:
            assert opcode == IORING_OP_WRITE_FIXED
    assert stop(process) == 0
    print(f'ring: {len(writes)} requests, all RWF_DSYNC; {lines[0]}')


def test_thread(directory):
    strace = shutil.which('strace')
    if not strace:
        print('no strace: the helper thread is not watched')
        return
    trace = directory + '.trace'
    process = start(directory, 8, 1000, 'thread',
                    wrap=(strace, '-f', '-o', trace, '-e', 'trace=pwritev2,openat,io_uring_setup'))
    lines = until(process, 'done')
    assert lines[0].startswith('mode helper thread'), lines[0]
    assert stop(process) == 0
    with open(trace, encoding='utf-8') as file:
        text = file.read()
    opened = re.findall(r'openat\(.*segment-.*', text)
    assert opened and all('O_DIRECT' in line for line in opened), opened
    writes = re.findall(r'pwritev2\(.*', text)
    assert len(writes) >= 8, text
    assert all('RWF_DSYNC' in line for line in writes), writes
    assert 'io_uring_setup' not in text
    print(f'thread: {len(writes)} writes, all RWF_DSYNC')


def test_kill(directory, *more):
    """What was reported durable before kill -9 is found; nothing is rot."""
    reported = 0
    for life in range(4):
        process = start(directory, 100000, 700 + 1900 * life, *more)
        head = until(process, 'found')[-1].split()
        assert head[1] in ('new', 'cut'), head
        assert int(head[2]) >= reported, f'{reported} was reported, {head[2]} found'
        deadline = time.monotonic() + 0.3
        for line in process.stdout:
            reported = int(line.split()[1])
            if time.monotonic() > deadline:
                break
        process.kill()
        for line in process.stdout.read().split('\n')[:-1]:
            reported = int(line.split()[1])
        process.wait()
    process = start(directory, 0, 0)
    head = until(process, 'found')[-1].split()
    assert head[1] == 'cut' and int(head[2]) >= reported, head
    assert stop(process) == 0
    process = start(directory, 0, 0)
    assert until(process, 'found')[-1].split()[1] == 'clean'
    stop(process)
    print(f'kill: {reported} bytes reported, {head[2]} found')


def test_second_process(directory):
    first = start(directory, 1, 100)
    until(first, 'done')
    second = start(directory, 1, 100)
    answer = until(second, 'refused')[-1]
    assert f'in use by pid {first.pid}' in answer, answer
    assert second.wait() == 1
    stop(first)
    print(answer)


def unmount(directory):
    """A ring is torn down a little after its process is gone, and holds its files till then."""
    for _ in range(100):
        if subprocess.run(['umount', directory], stderr=subprocess.DEVNULL,
                          check=False).returncode == 0:
            return
        time.sleep(0.05)
    raise AssertionError(f'{directory} stays busy')


def test_full_disk(directory):
    os.mkdir(directory)
    subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=7m', 'synod-test', directory], check=True)
    try:
        process = start(os.path.join(directory, 'log'), 100000, 100000)
        lines = until(process, 'done')
        assert stop(process) == 1
        assert 'no space No space left on device' in lines, lines[-3:]
        durable = [int(line.split()[1]) for line in lines if line.startswith('durable')]
        assert durable[-1] > 4 << 20, 'two segments were ready before the disk was full'
        process = start(os.path.join(directory, 'log'), 0, 0)
        found = until(process, 'found')[-1].split()
        stop(process)
        # One more may have been on its way when the writer gave up.
        assert durable[-1] <= int(found[2]) <= durable[-1] + 100064, (found, durable[-1])
        print(f'full: {lines[0]}; {durable[-1]} bytes durable, then reported')
    finally:
        unmount(directory)


def main():
    if os.geteuid() != 0:
        print('root is needed')
        return 77
    with tempfile.TemporaryDirectory(prefix='hw-log-', dir=os.path.dirname(WRITER)) as top:
        test_ring(os.path.join(top, 'ring'))
        test_thread(os.path.join(top, 'thread'))
        test_kill(os.path.join(top, 'kill'))
        test_kill(os.path.join(top, 'kill-thread'), 'thread')
        test_second_process(os.path.join(top, 'second'))
        test_full_disk(os.path.join(top, 'full'))
    return 0


sys.exit(main())
