"""What a run has started, on disk, so that a later one can end it even if this one was killed.

    ledger = Ledger(path)                 # refuses when what an earlier run started is still there
    ledger.process(pid); ledger.space(name); ledger.folder(path)
    ledger.done()                         # all gone: the file goes too

ledger.py clean PATH                      # ends and removes all of it

A process is a pid and the moment it started, in ticks since boot: a pid alone may be another's by now. After a reboot
no such process exists, and a namespace does not either. Any thread may write: servers are started by several at once.
"""
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time

END_S = 30


def started_ticks(pid):
    """Of a living process, or None."""
    try:
        with open(f'/proc/{pid}/stat', encoding='ascii', errors='replace') as file:
            fields = file.read().rsplit(')', 1)[1].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] == 'Z' else int(fields[19])


def boot():
    with open('/proc/sys/kernel/random/boot_id', encoding='ascii') as file:
        return file.read().strip()


class Ledger:
    def __init__(self, path):
        self.path, self.lock = path, threading.Lock()
        self.kept = {'boot': boot(), 'kept': False, 'owner': [os.getpid(), started_ticks(os.getpid())],
                     'processes': [], 'spaces': [], 'folders': []}
        self.write()

    def write(self):
        with open(self.path + '.part', 'w', encoding='utf-8') as file:
            json.dump(self.kept, file, indent=1)
        os.rename(self.path + '.part', self.path)

    def note(self, what, entry):
        with self.lock:
            self.kept[what].append(entry)
            self.write()

    def process(self, pid):
        self.note('processes', [pid, started_ticks(pid)])

    def space(self, name):
        self.note('spaces', name)

    def folder(self, path):
        self.note('folders', path)

    def keep(self):
        with self.lock:
            self.kept['kept'] = True
            self.write()

    def done(self):
        os.unlink(self.path)


def read(path):
    """What an earlier run left, or None."""
    if not os.path.exists(path):
        return None
    with open(path, encoding='utf-8') as file:
        return json.load(file)


def alive(left, entry):
    pid, ticks = entry
    return left['boot'] == boot() and ticks is not None and started_ticks(pid) == ticks


def end_processes(left):
    """With SIGKILL: their data is removed next, and a member that stops in order would wait for the others."""
    ours = [entry for entry in left['processes'] if alive(left, entry)]
    for pid, _ in ours:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    deadline = time.monotonic() + END_S
    while ours and time.monotonic() < deadline:
        time.sleep(0.05)
        ours = [entry for entry in ours if alive(left, entry)]
    return not ours


def remove(folder):
    """More than once: a cp that the killed run had begun may still be at work there."""
    deadline = time.monotonic() + END_S
    while os.path.exists(folder) and time.monotonic() < deadline:
        shutil.rmtree(folder, ignore_errors=True)
        time.sleep(0.1)
    return not os.path.exists(folder)


def clean(path):
    """Ends what the ledger names. False, with the reason printed: something would not go."""
    left = read(path)
    if left is None:
        return True
    if not end_processes(left):
        print('some processes do not end: ' + ', '.join(str(pid) for pid, _ in left['processes']))
        return False
    if left['boot'] == boot():
        for name in left['spaces']:
            subprocess.run(['ip', 'netns', 'del', name], check=False, stderr=subprocess.DEVNULL)
    if not all(remove(folder) for folder in left['folders']):
        print('some folders do not go: ' + ', '.join(left['folders']))
        return False
    os.unlink(path)
    return True


def main():
    path = sys.argv[2]
    left = read(path)
    if left and not left['kept'] and alive(left, left['owner']):
        sys.exit(f'a demo runs at the moment (process {left["owner"][0]}): end it first, with Ctrl-C')
    sys.exit(0 if clean(path) else 1)


if __name__ == '__main__':
    main()
