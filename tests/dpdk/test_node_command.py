#!/usr/bin/env python3
"""synodctl node force at a synodd that is played: what it says of what is lost, cut and gone, and to odd answers.

test_node_command.py SYNODCTL
"""
import json
import os
import socketserver
import subprocess
import sys
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor

OLD = '0:' + 32 * '0'
GROUP = '11111111-0000-0000-0000-000000000000'
LOST, GONE = f'{GROUP}:8-1000', f'{GROUP}:5-5'


class Played(socketserver.ThreadingUnixStreamServer):
    """A node of three that is left alone. Asked to, it goes over; what nobody has it finds out a moment later."""

    def __init__(self, path, group):
        super().__init__(path, Line)
        self.group, self.epoch, self.looks = group, OLD, 0

    def status(self):
        self.looks += self.epoch != OLD
        over = {'epoch': int(self.epoch.split(':')[0]), 'leader': 0 if self.epoch != OLD else None,
                'configuration': {'voters': [0, 1, 2], 'number': 1}}
        late = {} if self.looks > 1 else {'gone': []}
        return {'node': {'number': 0, 'epoch': self.epoch},
                'nodes': [{'number': n, 'connected': n == 0} for n in range(3)],
                'groups': [{'number': 0, 'uuid': '0', **over}, {**self.group, **over, **late}]}

    def answer(self, request):
        if request['command'] == 'status':
            return {'status': self.status()}
        assert request['command'] == 'force' and request['voters'] == [0] and not request['here'], request
        self.epoch = request['epoch']
        return {'asked': True}


class Line(socketserver.StreamRequestHandler):
    def handle(self):
        for line in self.rfile:
            self.wfile.write(json.dumps(self.server.answer(json.loads(line))).encode() + b'\n')


def forced(synodctl, group):
    with tempfile.TemporaryDirectory() as folder, Played(f'{folder}/control', group) as played:
        threading.Thread(target=played.serve_forever, daemon=True).start()
        done = subprocess.run([synodctl, 'node', 'force', '0', '--yes', '--socket', f'{folder}/control'],
                              capture_output=True, text=True, timeout=60, check=False)
        played.shutdown()
    assert done.returncode == 0, (done.returncode, done.stdout, done.stderr)
    assert f'epoch {played.epoch}\n' in done.stdout and played.epoch != OLD, done.stdout
    assert played.looks == 2, f'it asked {played.looks} times, and not once a second'
    return done.stdout


def what_is_lost(synodctl):
    said = forced(synodctl, {'number': 1, 'uuid': GROUP, 'lost': [LOST], 'cut_index': 7, 'gone': [GONE]})
    for words in (f'group {GROUP} may have lost {LOST}\n', f'group {GROUP} is cut at entry 7,',
                  f'group {GROUP} has accepted {GONE}, whose content only the lost had\n', 'an empty transaction is'):
        assert words in said, (words, said)


def nothing_cut(synodctl):
    said = forced(synodctl, {'number': 1, 'uuid': GROUP, 'lost': [LOST], 'cut_index': 0, 'gone': []})
    assert LOST in said and ' cut ' not in said and 'content' not in said, said


def told_by_status(synodctl):
    with tempfile.TemporaryDirectory() as folder:
        for group, there in (({'lost': [LOST], 'cut_index': 7}, True), ({'lost': [], 'cut_index': 0}, False)):
            with Played(f'{folder}/control', {'number': 1, 'uuid': GROUP, **group}) as played:
                threading.Thread(target=played.serve_forever, daemon=True).start()
                said = subprocess.run([synodctl, 'status', '--socket', f'{folder}/control'],
                                      capture_output=True, text=True, timeout=60, check=True).stdout
                played.shutdown()
            os.unlink(f'{folder}/control')
            assert (f'group {GROUP} may have lost {LOST}\n' in said) == there, said
            assert ('\nlost by a force\n' in said) == there, said


def odd_answers(synodctl):
    said = forced(synodctl, {'number': 1, 'lost': [None, 7], 'cut_index': 'seven', 'gone': [[]]})
    assert 'group - may have lost -\n' in said and 'group - has accepted -,' in said, said


def main():
    synodctl = os.path.abspath(sys.argv[1])
    with ThreadPoolExecutor() as pool:
        for done in [pool.submit(test, synodctl) for test in (what_is_lost, nothing_cut, told_by_status, odd_answers)]:
            done.result()
    print('ok what is lost, cut and gone')


main()
