import pytest
from launches import Launch

from autoreid.errors import DivergedError, InputError, OutOfMemoryError, RunError, StorageError
from autoreid.execution import Execution
from tune_runs.context import BROKEN, FAILED, INTERRUPTED, REFUSED
from tune_runs.nodes import FAILURES_IN_A_ROW, Nodes, may_be_the_machine
from tune_runs.resources import Allotment, Cluster, Machine, Node

TWO = {"n1": "node1", "n2": "node2"}


def fail(nodes, node, jobs):
    """One attempt after the other fails; what the last one said."""
    said = None
    for job in jobs:
        begin = fail.clock = fail.clock + 1
        said = nodes.failed(node, job, f"{job} was killed", began=begin, now=begin + 0.5)
    return said


fail.clock = 0


def test_a_node_is_left_out_after_failures_in_a_row_of_several_jobs():
    nodes = Nodes(TWO)
    assert fail(nodes, "n1", "aba") is None and not nodes.left_out
    assert fail(nodes, "n1", "c") == ["a", "b", "a", "c"]
    assert nodes.left_out["n1"].startswith("4 attempts in a row failed there, at 3 jobs")
    assert nodes.left_out["n1"].endswith("The last one: c was killed")
    assert nodes.usable == ["n2"] and not nodes.none_left
    assert fail(nodes, "n1", "d") == ["d"], "what ran there still is no fault of its job"


def test_one_bad_job_condemns_no_node_until_another_fails_as_well():
    nodes = Nodes(TWO)
    assert fail(nodes, "n1", "a" * 20) is None
    assert fail(nodes, "n1", "b") is not None


def test_an_epoch_between_begins_the_count_anew():
    nodes = Nodes(TWO)
    for _ in range(5):
        assert fail(nodes, "n1", "abc") is None
        nodes.progressed("n1")
    nodes.progressed("n2")
    assert fail(nodes, "n1", "abcd") is not None


def test_failures_of_several_nodes_are_not_added_up():
    nodes = Nodes(TWO)
    for _ in range(FAILURES_IN_A_ROW - 1):
        fail(nodes, "n1", "a")
        fail(nodes, "n2", "b")
    assert not nodes.left_out


def test_attempts_that_fail_at_once_are_one_event():
    nodes = Nodes(TWO)
    for wave in range(FAILURES_IN_A_ROW):
        assert not nodes.left_out
        for place, job in enumerate("abcdefgh"):
            nodes.failed("n1", job, "killed", began=10 * wave, now=10 * wave + 5 + place)
    assert "n1" in nodes.left_out


@pytest.mark.parametrize("node", [None, "n3"])
def test_where_the_node_is_not_known_nothing_is_counted(node):
    nodes = Nodes(TWO)
    assert fail(nodes, node, "abcdefgh") is None
    assert not nodes.refused(node, "other code")
    assert not nodes.left_out


def test_a_node_that_can_run_nothing_is_left_out_at_once_and_none_is_left_when_the_others_die():
    nodes = Nodes(TWO)
    assert nodes.refused("n2", "other code") and nodes.refused("n2", "other code again")
    assert nodes.left_out == {"n2": "other code"}
    del nodes.alive["n1"]
    assert nodes.none_left


@pytest.mark.parametrize(
    ("error", "machine"),
    [
        (OSError(28, "No space left on device"), True),
        (StorageError("s3://b: away"), True),
        (RunError("cannot be decoded: the disk is full"), True),
        (ModuleNotFoundError("No module named 'torchvision'"), True),
        (RuntimeError("CUDA error: uncorrectable ECC error encountered"), True),
        (RuntimeError("cuDNN error: CUDNN_STATUS_NOT_INITIALIZED"), True),
        (RuntimeError("CUDA error: device-side assert triggered"), False),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (InputError("no such space"), False),
        (DivergedError("the loss is nan"), False),
        (OutOfMemoryError("the GPU is too small"), False),
    ],
)
def test_errors_of_machines_are_told_from_those_of_jobs(error, machine):
    assert may_be_the_machine(error) == machine


def run_until_the_end(launch, how, problem=None, seconds=1000):
    """Every job that is begun ends in this way; how many were begun."""
    begun = 0
    while not launch.dispatch.over and (found := launch.next_within(seconds)):
        begun += 1
        launch.dispatch.ended(found[0], how, problem)
    return begun


@pytest.mark.parametrize("how", [None, BROKEN, INTERRUPTED])
def test_a_sick_machine_ends_the_launch_and_costs_no_job_its_retries(how):
    launch = Launch()
    assert run_until_the_end(launch, how, "the disk is gone") == FAILURES_IN_A_ROW
    releases = launch.dispatch.releases
    assert releases.unfinished == launch.jobs and not releases.failed
    assert all(launch.dispatch.retries.attempt(job) == 1 for job in launch.jobs)
    assert launch.lines[-2].startswith("[0/4] this machine is left out: 4 attempts in a row failed there")
    assert launch.lines[-1].startswith("[0/4] nothing is left to run on, and the launch ends; jobs stay")
    assert "'autoreid doctor'" in launch.lines[-1]


def test_errors_of_the_jobs_own_use_up_their_retries_instead():
    launch = Launch()
    assert run_until_the_end(launch, FAILED, "ValueError: no such width") == 8
    assert len(launch.dispatch.releases.failed) == 2 and not launch.dispatch.nodes.left_out


def test_final_failures_and_a_storage_that_is_away_are_no_fault_of_the_machine():
    launch = Launch()
    job = launch.dispatch.next()
    launch.site.fails(job, "nan", final=True)
    launch.dispatch.ended(job, BROKEN, "nan")
    assert job in launch.dispatch.releases.failed
    other = launch.dispatch.next()
    launch.site.broken = True
    launch.dispatch.ended(other, None, None)
    launch.site.broken = False
    assert launch.dispatch.retries.attempt(other) == 2
    assert launch.dispatch.nodes._streaks == {}


def test_jobs_of_a_node_that_is_left_out_are_tried_elsewhere():
    launch = Launch()
    launch.dispatch.nodes = nodes = Nodes(TWO)
    for _ in range(FAILURES_IN_A_ROW):
        job, _ = launch.next_within(100)
        launch.dispatch.ended(job, None, None, "n1")
    assert "[0/4] node1 is left out: 4 attempts in a row failed there, at 2 jobs" in launch.lines[-2]
    assert "is tried elsewhere: the worker process ended without an outcome" in launch.lines[-1]
    assert all(launch.dispatch.retries.attempt(job) == 1 for job in launch.jobs)
    job, _ = launch.next_within(100)
    launch.dispatch.ended(job, REFUSED, "the worker imports other code", "n2")
    assert nodes.none_left and launch.dispatch.over
    assert launch.dispatch.releases.unfinished == launch.jobs


def test_epochs_that_a_row_tells_of_a_node_clear_it():
    launch = Launch()
    launch.dispatch.nodes = nodes = Nodes(TWO)
    job = launch.dispatch.next()
    fail(nodes, "n1", "abc")
    launch.dispatch.reported(job, {"epoch": 1, "loss": 1.0, "node": "n1"})
    assert fail(nodes, "n1", "d") is None


def test_a_job_avoids_the_nodes_on_which_it_failed_as_long_as_there_are_others():
    nodes = Nodes({**TWO, "n3": "node3"}, {"n3": "other code"})
    fail(nodes, "n1", "a")
    assert (nodes.without("a"), nodes.without("b")) == (["n1", "n3"], ["n3"])
    fail(nodes, "n2", "a")
    assert nodes.without("a") == ["n3"]
    fail(nodes, "n1", "b")
    del nodes.alive["n2"]
    assert nodes.without("b") == ["n3"]


def test_nodes_of_a_cluster_are_those_that_a_trial_fits_on():
    nodes = {"h": Node("head", "head", Machine(8, 0)), "g": Node("gpu", "gpu", Machine(8, 2))}
    assert Nodes.of(Allotment(4, 1, 2, Execution(), cluster=Cluster("h:1", nodes))).usable == ["g"]
    everywhere = Nodes.of(Allotment(4, 0, 4, Execution(), cluster=Cluster("h:1", nodes, {"h": "other code"})))
    assert everywhere.usable == ["g"] and everywhere.name("h") == "head"
    everywhere.seen(["g", "new"])
    assert everywhere.usable == ["g", "new"] and everywhere.name("h") == "head"
