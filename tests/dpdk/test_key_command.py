#!/usr/bin/env python3
"""synodctl key on one file from many processes at once: none is lost, and one new file is made.

test_key_command.py SYNODCTL
"""
import base64
import os
import random
import subprocess
import sys
import tempfile

AT_ONCE = 40
DICE = random.Random(7)


def key():
    return base64.b64encode(DICE.randbytes(32)).decode()


def start(synodctl, *words):
    return subprocess.Popen([synodctl, 'key', *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def all_at_once(commands):
    """Those that succeeded, as (command, what it printed)."""
    processes = [(command, start(*command)) for command in commands]
    done = [(command, process, process.communicate(timeout=60)) for command, process in processes]
    for command, process, (_, complaint) in done:
        assert process.returncode == 0 or complaint.startswith('synodctl: '), (command, complaint)
    return [(command, said.strip()) for command, process, (said, _) in done if process.returncode == 0]


def shown(synodctl, path):
    process = start(synodctl, 'show', path)
    said, complaint = process.communicate(timeout=60)
    assert process.returncode == 0, complaint
    own, *peers = said.splitlines()
    return own, sorted(line.split()[0] for line in peers)


def main():
    synodctl = os.path.abspath(sys.argv[1])
    with tempfile.TemporaryDirectory() as folder:
        path = f'{folder}/keys'
        made = all_at_once([(synodctl, 'new', path)] * 8)
        assert len(made) == 1, f'{len(made)} keys were made for one file'
        assert shown(synodctl, path) == (made[0][1], []), 'the file holds another key than was told'

        keys = [key() for _ in range(2 * AT_ONCE)]
        first, second = keys[:AT_ONCE], keys[AT_ONCE:]
        added = all_at_once([(synodctl, 'add', path, one, 'server', 'any') for one in first])
        assert len(added) == AT_ONCE, f'{len(added)} of {AT_ONCE} said that they added a key'
        assert shown(synodctl, path)[1] == sorted(first), 'a key that was added is not listed'

        # Some come and others go, in any order.
        changes = [(synodctl, 'add', path, one, 'node', '2') for one in second] + \
            [(synodctl, 'remove', path, one) for one in first]
        DICE.shuffle(changes)
        assert len(all_at_once(changes)) == len(changes), 'not every change was made'
        assert shown(synodctl, path) == (made[0][1], sorted(second)), 'a change is lost'
        assert os.listdir(folder) == ['keys'], 'something else stayed behind'
        assert os.stat(path).st_mode & 0o777 == 0o600
    print(f'ok {len(changes)} changes at once')


main()
