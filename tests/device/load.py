"""Members under load: member_load processes in namespaces of their own, and what their files say.

    member = Member(space, MEMBER_LOAD, appliance, 1, bootstrap=1, clients=8)
    member.start(); member.started(); member.ask('go'); ...; member.stats()['commit']
"""
import collections
import os
import subprocess
import time

from appliance import check, wait_for

NO_ROW = 64
ERRORS = ('stale', 'full', 'gtid', 'killed', 'not_taken', 'ended', 'no_room')
Line = collections.namedtuple('Line', 'letter index gno row seen id hash')


class Member:
    """One server's life after the other, on one state file and with one key, if the nodes want keys."""

    def __init__(self, space, program, appliance, number, folder=None, **options):
        self.space = space
        self.program = program
        self.appliance = appliance
        self.number = number
        self.state = f'{folder or appliance.folder}/member{number}'
        self.options = {'nodes': ','.join(appliance.addresses), **options}
        if appliance.sealed:
            self.options = {**self.options, **self.links()}
        self.process = None
        self.refusal = None
        self.killed = False
        self.read = []  # its file so far: it only grows
        self.read_to = 0

    def links(self):
        """A key of its own that the nodes list, and the nodes' keys."""
        path = f'{self.appliance.folder}/member_key{self.number}'
        uuid = f'{self.number:02x}000000-0000-0000-0000-000000000000'
        if not os.path.exists(path):
            self.key = self.appliance.key_command('new', path)
            self.appliance.list_server(self.key, uuid)
        nodes = ','.join(f'{node}={key}' for node, key in zip(self.appliance.addresses, self.appliance.keys))
        return {'nodes': nodes, 'key_file': path}

    def start(self, **options):
        """Starts the process; started() waits for its answer, so that several start at once."""
        words = {**self.options, **options, 'uuid': self.number,
                 'port': 3306 + self.number, 'state': self.state}
        self.process = self.space.run([self.program, *(f'{k}={v}' for k, v in words.items())],
                                      stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def started(self):
        """True, or False and the reason in `refusal` (0: nobody answered)."""
        word, number = self.answer().split()
        self.refusal = int(number) if word == 'refused' else None
        return word == 'started'

    def answer(self):
        line = self.process.stdout.readline()
        if not line or line.startswith('wrong'):
            raise AssertionError(f'member {self.number} ended: {line.strip()} '
                                 f'(status {self.process.wait()})')
        return line.strip()

    def tell(self, command):
        self.process.stdin.write(command + '\n')
        self.process.stdin.flush()

    def ask(self, command):
        self.tell(command)
        return self.answer()

    def stats(self):
        words = self.ask('stats').split()[1:]
        return {name: int(value) for name, value in (word.split('=') for word in words)}

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.killed = True

    def lines(self):
        with open(self.state, encoding='ascii') as file:
            file.seek(self.read_to)
            for line in file.read().splitlines():
                letter, *numbers, payload = line.split()
                self.read.append(Line(letter, *map(int, numbers), payload))
            self.read_to = file.tell()
        return self.read

    def order(self):
        """What it has executed, in the order of the log."""
        return sorted(line[1:] for line in self.lines() if line.letter in 'AR')

    def told(self):
        """What its clients were told is committed."""
        return {line[1:] for line in self.lines() if line.letter == 'A'}


def ask_all(members, command):
    for member in members:
        member.tell(command)
    return [member.answer() for member in members]


def errors(stats):
    return {name: stats[name] for name in ERRORS if stats[name] > 0}


def chain(order):
    """Follows each hot row through the order of the log: each writer saw the one before it."""
    last, wrong = {}, 0
    for index, _, row, seen, _, _ in order:
        if row != NO_ROW:
            wrong += last.get(row, 0) != seen
            last[row] = index
    return wrong


def check_outcomes(member, order):
    """Each submission was decided once: it stands in the order, or was refused, or neither."""
    outcomes = collections.Counter()
    submitted, refused = set(), set()
    for line in member.lines():
        if line.letter == 'S':
            submitted.add(line.id)
        elif line.letter in 'CK':
            refused.add(line.id)
        if line.letter in 'CK' or (line.letter in 'AR' and line.id >> 48 == member.number):
            outcomes[line.id] += 1
    accepted = {line[4] for line in order if line[4] >> 48 == member.number}
    check(not accepted & refused and accepted <= submitted,
          f'member {member.number}: none of {len(refused)} refused ones is in the order')
    twice = [one for one, count in outcomes.items() if count != 1]
    missing = submitted - set(outcomes)
    check(not twice and (member.killed or not missing),
          f'member {member.number}: {len(outcomes)} of {len(submitted)} submissions have one '
          f'outcome each, {len(missing)} none')


def settle(members):
    """No client is inside: soon everybody has executed the same, and all of it is right."""
    def same():
        orders = [member.order() for member in members]
        return all(one == orders[0] for one in orders)
    wait_for(same, 'all members have executed the same, in the same order')
    order = members[0].order()
    ids = collections.Counter(line[4] for line in order)
    check(all(count == 1 for count in ids.values()), f'{len(order)} transactions, each once')
    check(chain(order) == 0, 'no update of a hot row was lost')
    for member in members:
        check_outcomes(member, order)


def tell(member, stats):
    print(f'   member {member.number}: {stats["commit"]} commits, {stats["conflict"]} conflicts, '
          f'p50 {stats["p50_us"]} us, p99 {stats["p99_us"]} us, max {stats["max_us"]} us, '
          f'longest pause {stats["pause_us"] / 1000:.0f} ms', flush=True)


def run_for(members, seconds, during=None):
    """Load for so long; returns what each member says of it, the clients being outside."""
    ask_all(members, 'reset')
    ask_all(members, 'go')
    if during:
        during(seconds / 2)
    time.sleep(seconds / 2 if during else seconds)
    pauses = [member.stats()['pause_us'] for member in members]
    ask_all(members, 'halt')
    stats = [{**member.stats(), 'pause_us': pause} for member, pause in zip(members, pauses)]
    for member, line in zip(members, stats):
        tell(member, line)
    return stats


def wait_enough(members, name, count):
    """While load goes on: for what comes by chance, until they have counted so many of it together."""
    wait_for(lambda: sum(member.stats()[name] for member in members) >= count, f'{count} or more: {name}')


def leader_of(appliance, nodes=(0, 1, 2)):
    """The node that leads the members' group, when all of `nodes` say the same one."""
    said = [appliance.status(number) for number in nodes]
    if not all(said):
        return None
    leaders = {status['groups'][-1]['leader'] for status in said}
    leader = leaders.pop()
    return leader if not leaders and leader in nodes else None


def begin(appliance, members):
    """Fresh nodes that agree on a leader, and these members in a group."""
    nodes = range(appliance.count)
    for number in nodes:
        appliance.start(number, '--format')
    wait_for(lambda: leader_of(appliance, nodes) is not None, 'the nodes have a leader')
    for number, member in enumerate(members):
        member.start(bootstrap=int(number == 0))
        check(member.started(), f'member {number + 1} joined')
    wait_online(members)


def last_index(status):
    return status['groups'][-1]['last_index'] if status else -1


def wait_caught_up(appliance, number, what):
    """Node `number` votes, names the others' leader, which it may be, and has applied what they have by now."""
    goal = max(last_index(appliance.status(n)) for n in range(3) if n != number)

    def caught_up():
        status = appliance.status(number)
        return status and status['node']['voting'] and last_index(status) >= goal and \
            leader_of(appliance) is not None
    return wait_for(caught_up, what)


def wait_online(members):
    wait_for(lambda: all(m.stats()['online'] == len(members) for m in members), 'all are ONLINE')
