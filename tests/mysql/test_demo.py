"""./demo from where everything is built: it runs through, and whatever ends it, nothing of it stays.

test_demo.py SYNODD SYNODCTL PLUGIN
"""
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor

import ledger
from servers import prepare

HERE = os.path.dirname(os.path.abspath(__file__))


def begin(book, *options):
    return subprocess.Popen([sys.executable, f'{HERE}/demo.py', '--ledger', book, *options, *sys.argv[1:4]],
                            stdout=subprocess.PIPE, text=True)


def left_over(pid, root):
    spaces = subprocess.run(['ip', 'netns'], capture_output=True, text=True, check=True).stdout
    return ([name for name in spaces.split() if name.startswith(f'synod{pid}-')] +
            [name for name in os.listdir(f'{root}/synod') if name == f'demo-{pid}'])


def until(demo, text):
    """Reads what it says until `text` comes."""
    for line in demo.stdout:
        if text in line:
            return
    raise AssertionError(f'it ended without saying: {text}')


def whole(book, root):
    demo = begin(book, '--seconds', '6')
    said, _ = demo.communicate()
    print(said)
    assert demo.returncode == 0
    for what in ('members    10.77.0.11 ONLINE, 10.77.0.12 ONLINE, 10.77.0.13 ONLINE', 'kill -9 of node', 'p99', 'proof'):
        assert what in said, what
    commits = int(re.search(r'commits +([\d,]+) acknowledged', said)[1].replace(',', ''))
    assert commits > 100, commits
    assert not os.path.exists(book) and not left_over(demo.pid, root)


def interrupted(book, root):
    demo = begin(book)
    until(demo, 'MySQL')
    demo.send_signal(signal.SIGINT)
    demo.stdout.read()
    assert demo.wait() == 130
    assert not os.path.exists(book) and not left_over(demo.pid, root)


def killed(book, root):
    demo = begin(book)
    until(demo, 'node')
    time.sleep(1)
    demo.kill()
    demo.wait()
    assert left_over(demo.pid, root)
    assert ledger.clean(book)
    assert not os.path.exists(book) and not left_over(demo.pid, root)


def several_at_once(path):
    """The ledger of servers that are started by several threads."""
    book = ledger.Ledger(path)
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(book.process, [os.getpid()] * 400))
    assert len(ledger.read(path)['processes']) == 400
    book.done()


def main():
    root = prepare()['MYSQL_ROOT']
    with tempfile.TemporaryDirectory() as folder:
        book = f'{folder}/ledger.json'
        several_at_once(book)
        for _ in range(4):  # it comes at another moment each time
            interrupted(book, root)
        killed(book, root)
        whole(book, root)


main()
