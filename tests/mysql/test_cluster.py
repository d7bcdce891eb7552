"""Three nodes and three servers on one bridge, before there is a group.

test_cluster.py SYNODD SYNODCTL PLUGIN
"""
from cluster import NODES, Cluster


def main():
    with Cluster.of_arguments('cluster') as cluster:
        cluster.start_nodes()
        assert cluster.leader() in range(3)
        cluster.start_servers()
        for server in cluster.servers:
            assert server.value('SELECT @@GLOBAL.synod.appliance') == NODES
            assert cluster.members(server.number)[0][1] == 'OFFLINE'
            # All of START's checks are through; the session itself is what this build has not.
            error = cluster.refused_start(server.number)
            assert error.code == 3663 and 'no session to an appliance yet' in error.text, error
        killed = cluster.leader()
        cluster.kill_node(killed)
        cluster.wait_nodes([node for node in range(3) if node != killed])
        cluster.start_node(killed)
        cluster.wait_nodes(range(3))
        cluster.servers[0].query('CREATE DATABASE alone; CREATE TABLE alone.t (id INT PRIMARY KEY)')
        assert cluster.checksums(cluster.servers[0]) == [['alone.t', '0']]
    print('three nodes, three servers')


main()
