"""The nodes of a cluster as a launch sees them while it runs, on answers of Ray that are given."""

import pytest
from launches import Launch

from autoreid.execution import Execution
from tune_runs import cluster
from tune_runs.cluster import Lookout, request
from tune_runs.nodes import Nodes
from tune_runs.resources import Allotment, Cluster, Machine, Node


def node(key, *, cpus=4, gpus=1.0, alive=True):
    return {"NodeID": key, "Alive": alive, "Resources": {"CPU": float(cpus), "GPU": gpus, "memory": 1e9}}


class Watched:
    """A launch on a cluster, a look at it, and the clock and the nodes that it sees."""

    def __init__(self, monkeypatch):
        self.nodes, self.now, self.looks = [node("a"), node("b")], 0.0, 0
        known = {key: Node(f"node-{key}", key, Machine(4, 1)) for key in "ab"}
        allotment = Allotment(2, 0.5, 4, Execution(), most=5, cluster=Cluster("head:6379", known))
        self.launch = Launch()
        self.launch.dispatch.nodes = Nodes.of(allotment)
        self.lookout = Lookout(self.launch.dispatch, allotment)
        monkeypatch.setattr(cluster.ray, "nodes", self._look)
        monkeypatch.setattr(cluster.time, "monotonic", lambda: self.now)

    def _look(self):
        self.looks += 1
        return self.nodes

    def after(self, seconds):
        self.now += seconds
        return self.lookout.stop_all()


@pytest.fixture
def watched(monkeypatch):
    return Watched(monkeypatch)


def test_slots_follow_the_nodes_that_are_there_and_may_be_used(watched):
    dispatch = watched.launch.dispatch
    assert not watched.after(5) and dispatch.slots == 4
    watched.nodes.append(node("c", gpus=2.0))
    assert not watched.after(1) and (dispatch.slots, watched.looks) == (4, 1)
    assert not watched.after(5) and dispatch.slots == 5, "no more than `most`"
    watched.nodes[0] = node("a", alive=False)
    dispatch.nodes.leave_out("b", "sick")
    watched.nodes.append(node("small", gpus=0.0))
    assert not watched.after(5) and dispatch.slots == 2
    assert dispatch.nodes.usable == ["c"] and dispatch.nodes.name("a") == "node-a"


def test_when_no_node_is_left_it_is_said_once_and_the_run_ends_after_a_while(watched):
    watched.after(5)
    watched.nodes = [node("small", gpus=0.0)]
    assert not watched.after(5) and watched.launch.dispatch.ending
    assert not watched.after(cluster.PATIENCE_SECONDS) and watched.after(1)
    (told,) = watched.launch.lines
    assert told.startswith("[0/4] nothing is left to run on, and the launch ends; jobs stay unfinished.")


def test_a_node_that_comes_in_time_saves_the_run(watched):
    watched.nodes = []
    assert not watched.after(5) and watched.launch.dispatch.slots == 0
    watched.nodes = [node("new")]
    assert not watched.after(2 * cluster.PATIENCE_SECONDS)
    assert watched.launch.dispatch.slots == 2 and not watched.launch.dispatch.ending


def test_a_trial_asks_for_its_share_away_from_the_nodes_left_out():
    everywhere = request(2, 0.5, {"name": "", "without": []})
    assert everywhere == request(2, 0.5, {"name": "", "without": []}), (
        "processes are reused by equal requests"
    )
    assert everywhere.bundles == [{"CPU": 2.0, "GPU": 0.5}]
    assert everywhere != request(2, 0.5, {"name": "", "without": ["a"]})
    assert everywhere != request(2, 0.5, {"name": "autoreid-1", "without": []})
