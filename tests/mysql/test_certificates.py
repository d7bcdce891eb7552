"""group_replication_ssl_mode VERIFY_CA and VERIFY_IDENTITY: three servers whose keys no node lists.

A certificate of the right authority joins. Another authority's, one that has expired, a node's by another authority
and, for VERIFY_IDENTITY, a node's of another host are refused, with what to do; a refused START leaves nothing open.

test_certificates.py SYNODD SYNODCTL PLUGIN
"""
import os
import shutil
import signal
import threading

from authority import Authority
from client import Client
from cluster import GROUP, Cluster, wait_until
from servers import owned_by_mysql

OTHER_GROUP = 'cccccccc-cccc-cccc-cccc-cccccccccccc'
LISTENS, PORT_3306 = '0A', '0CEA'
SECTION = f"""[certificates]
ca = {{folder}}/ours.pem
file = {{folder}}/node{{number}}.pem
key = {{folder}}/node{{number}}-key.pem
groups = {GROUP}
"""


class Certified(Cluster):
    """Its nodes have certificates, and so has each server, in place of a listed key."""

    def build(self):
        super().build()
        self.ours = Authority(self.appliance.folder, 'ours')
        self.theirs = Authority(self.appliance.folder, 'theirs')
        self.name_nodes(right=True)
        for authority in (self.ours, self.theirs):
            self.give(authority.path)
        for number in range(1, self.count + 1):
            self.issue(self.ours, f'server{number}')
        self.issue(self.theirs, 'foreign')
        self.issue(self.ours, 'old', days=-1)

    def name_nodes(self, right):
        """Certificates of the nodes' own addresses, or of others."""
        for number in range(3):
            address = f'10.77.0.{1 + number if right else 101 + number}'
            self.ours.issue(f'{self.appliance.folder}/node{number}', address, f'IP:{address}')

    def give(self, path):
        """A copy for the servers, who run as their own user in a chroot."""
        to = f'{self.pool.path}/{os.path.basename(path)}'
        shutil.copy(path, to)
        owned_by_mysql(self.pool.root, to)

    def issue(self, authority, name, days=10):
        authority.issue(f'{self.appliance.folder}/{name}', name, days=days)
        for end in ('.pem', '-key.pem'):
            self.give(f'{self.appliance.folder}/{name}{end}')

    def links(self, number):
        inside = self.pool.inside
        return [f'--loose-synod.appliance={self.keyed_nodes()}', '--loose-group_replication_ssl_mode=VERIFY_CA',
                f'--ssl-ca={inside}/ours.pem', f'--ssl-cert={inside}/server{number}.pem',
                f'--ssl-key={inside}/server{number}-key.pem']

    def wear(self, number, name, authority='ours', mode='VERIFY_CA'):
        inside = self.pool.inside
        self.pool.server[number].query(
            f"SET GLOBAL ssl_cert = '{inside}/{name}.pem'; SET GLOBAL ssl_key = '{inside}/{name}-key.pem'; "
            f"SET GLOBAL ssl_ca = '{inside}/{authority}.pem'; SET GLOBAL group_replication_ssl_mode = '{mode}'")

    def reload(self):
        before = [self.appliance.said(number).count('certificates are read again') for number in range(3)]
        for number in range(3):
            self.appliance.process[number].send_signal(signal.SIGHUP)
        wait_until(lambda: all(self.appliance.said(n).count('certificates are read again') > before[n] for n in range(3)),
                   'the nodes have read their certificates', 20)


def sockets(server, kind):
    """Port and state of what `server` has open, as /proc tells it of the process's own network."""
    rows = []
    for version in ('', '6'):
        with open(f'/proc/{server.process.pid}/net/{kind}{version}', encoding='ascii') as file:
            fields = [line.split() for line in file.readlines()[1:]]
        rows += [(field[1].split(':')[1], field[3]) for field in fields]
    return rows


def nothing_else_open(server):
    assert sockets(server, 'udp') == [], sockets(server, 'udp')
    listening = {port for port, state in sockets(server, 'tcp') if state == LISTENS}
    assert listening == {PORT_3306}, listening


def refused(cluster, number, *words):
    server = cluster.pool.server[number]
    before = len(server.log())
    error = server.refused('START GROUP_REPLICATION')
    assert error.code == 3663, error
    for word in words:
        assert word in error.text, f'no {word!r} in {error}'
        assert word in server.log()[before:], f'no {word!r} in the log'
    nothing_else_open(server)
    assert server.value('SELECT @@super_read_only') == '0'
    print('ok refused:', error, flush=True)


def refusals(cluster):
    two, appliance = cluster.pool.server[2], cluster.appliance

    def counted():
        return sum(appliance.status(number)['drops']['node']['certificates_refused'] for number in range(3))
    cluster.wear(2, 'foreign')
    assert counted() == 0
    refused(cluster, 2, 'do not trust the authority', '[certificates] ca')
    assert counted() > 0
    wait_until(lambda: any('of no authority in [certificates] ca' in appliance.said(n) for n in range(3)), 'a node says so', 20)
    cluster.wear(2, 'old')
    refused(cluster, 2, 'has expired', 'Renew it')
    cluster.wear(2, 'server2', authority='theirs')
    refused(cluster, 2, "A node's certificate is not good", 'ssl_ca')
    cluster.wear(2, 'nowhere')
    refused(cluster, 2, 'ssl_cert', 'No such file')
    cluster.wear(2, 'server2')
    right = two.value('SELECT @@GLOBAL.synod.appliance')
    two.query("SET GLOBAL synod.appliance = '10.77.0.1:4000'")
    refused(cluster, 2, 'only sealed links carry', 'public keys')
    two.query(f"SET GLOBAL synod.appliance = '{right}'; SET GLOBAL group_replication_ssl_mode = 'REQUIRED'")
    refused(cluster, 2, 'synod.key_file')
    two.query(f"SET GLOBAL group_replication_ssl_mode = 'VERIFY_CA'; SET GLOBAL group_replication_group_name = '{OTHER_GROUP}'")
    refused(cluster, 2, 'may not open the group', '[certificates] groups')
    two.query(f"SET GLOBAL group_replication_group_name = '{GROUP}'")


def names(cluster):
    """Nodes whose certificates name other hosts: enough for VERIFY_CA, and for nobody who wants more."""
    cluster.name_nodes(right=False)
    cluster.reload()
    cluster.wear(2, 'server2', mode='VERIFY_IDENTITY')
    refused(cluster, 2, 'does not name the host 10.77.0.', 'VERIFY_IDENTITY')
    cluster.wear(2, 'server2')
    cluster.join(2)
    wait_until(lambda: [row[1] for row in cluster.members(2)] == ['ONLINE', 'ONLINE'], 'with VERIFY_CA it is ONLINE', 30)
    cluster.name_nodes(right=True)
    cluster.reload()
    cluster.wear(3, 'server3', mode='VERIFY_IDENTITY')
    cluster.join(3)
    cluster.wait_online()


class Load:
    """Inserts without a pause; whatever a client is told is kept."""

    def __init__(self, cluster):
        self.rows, self.failed, self.ends = 0, None, threading.Event()
        self.client = Client(cluster.pool.server[1], answer_s=20)
        self.thread = threading.Thread(target=self.run)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ends.set()
        self.thread.join()

    def run(self):
        while not self.ends.is_set() and not self.failed:
            try:
                self.client.run(f'INSERT INTO d.t VALUES ({self.rows})')
                self.rows += 1
            except Exception as error:  # pylint: disable=broad-except
                self.failed = error


def under_load(cluster):
    """Certificates are read again, which every session of theirs is made anew for, and the leader's node is killed."""
    with Load(cluster) as load:
        for _ in range(3):
            at = load.rows
            cluster.reload()
            wait_until(lambda at=at: load.failed or load.rows > at + 20, 'commits go on', 30)
        cluster.kill_node(cluster.leader())
        at = load.rows
        wait_until(lambda: load.failed or load.rows > at + 20, 'and behind another leader', 30)
    assert load.failed is None, load.failed
    cluster.wait_equal()
    cluster.check_tables()
    assert cluster.pool.server[3].value('SELECT COUNT(*) FROM d.t') == str(load.rows)


def main():
    with Certified.of_arguments('certificates', certificates=SECTION) as cluster:
        cluster.start_servers()
        cluster.start_nodes()
        cluster.bootstrap(1)
        wait_until(lambda: cluster.members(1)[0][1] == 'ONLINE', 'the first member is ONLINE', 20)
        cluster.pool.server[1].query('CREATE DATABASE d; CREATE TABLE d.t (id INT PRIMARY KEY)')
        refusals(cluster)
        names(cluster)
        under_load(cluster)


main()
