import pytest

from autoreid.errors import InputError
from autoreid.execution import Execution
from tune_runs.resources import Allotment, Cluster, Machine, Node, allot
from tune_runs.schema import Placement, Resources


@pytest.mark.parametrize(
    ("execution", "placement", "machine", "expected"),
    [
        ({}, Placement(), Machine(2, 0), (1, 0, 2, "cpu", 1)),
        ({}, Placement(), Machine(16, 4), (4, 1, 4, "cuda", 4)),
        ({}, Placement(), Machine(64, 4), (4, 1, 4, "cuda", 4)),
        ({"device": "cuda"}, Placement(), Machine(2, 1), (2, 1, 1, "cuda", 2)),
        ({"device": "cpu"}, Placement(), Machine(16, 4), (1, 0, 16, "cpu", 1)),
        ({"threads": 1}, Placement(resources=Resources(cpus=2)), Machine(5, 0), (2, 0, 2, "cpu", 1)),
        ({}, Placement(max_parallel=3), Machine(16, 0), (1, 0, 3, "cpu", 1)),
        ({}, Placement(resources=Resources(gpus=0.5)), Machine(8, 1), (4, 0.5, 2, "cuda", 4)),
        ({}, Placement(resources=Resources(gpus=0)), Machine(8, 1), (1, 0, 8, "cpu", 1)),
    ],
)
def test_a_machine_is_divided_among_trials(execution, placement, machine, expected):
    found = allot(Execution(**execution), placement, machine)
    assert (found.cpus, found.gpus, found.slots, found.execution.device, found.execution.threads) == expected


@pytest.mark.parametrize(
    ("execution", "resources", "machine", "problem"),
    [
        ({}, Resources(cpus=3), Machine(2, 0), "resources.cpus: 3 CPUs a trial, but this machine has 2"),
        ({}, Resources(gpus=1), Machine(2, 0), "resources.gpus: 1 GPU a trial, but this machine has 2"),
        ({}, Resources(gpus=2), Machine(8, 4), "resources.gpus: 2 GPUs a trial, but a trial computes"),
        ({"device": "cuda"}, Resources(), Machine(8, 0), "resources.gpus: 1 GPU a trial, but"),
        ({"device": "cuda"}, Resources(gpus=0), Machine(8, 1), "device: 'cuda' without a GPU."),
        ({"device": "cpu"}, Resources(gpus=1), Machine(8, 1), "resources.gpus: 1 GPU for device: cpu."),
        ({"device": "tpu"}, Resources(), Machine(8, 1), "device: 'tpu' is not auto, cpu or cuda"),
    ],
)  # fmt: skip
def test_a_request_that_can_never_be_met_is_refused(execution, resources, machine, problem):
    with pytest.raises(InputError) as caught:
        allot(Execution(**execution), Placement(resources=resources), machine)
    assert len(caught.value.problems) == 1
    assert caught.value.problems[0].startswith(f"execution.{problem}")


def test_an_allotment_reads_well():
    assert str(Allotment(4, 0.5, 2, Execution())) == "4 CPUs and 0.5 GPU a trial, 2 at once"


def cluster(**machines):
    return Cluster("head:6379", {name: Node(name, name, machine) for name, machine in machines.items()})


@pytest.mark.parametrize(
    ("placement", "place", "expected"),
    [
        (Placement(), cluster(head=Machine(4, 0), a=Machine(16, 4), b=Machine(8, 4)), (2, 1, 8)),
        (Placement(), cluster(head=Machine(4, 0), a=Machine(3, 0)), (1, 0, 7)),
        (Placement(resources=Resources(cpus=2)), cluster(a=Machine(5, 0), b=Machine(3, 0)), (2, 0, 3)),
        (Placement(max_parallel=2), cluster(a=Machine(5, 0), b=Machine(3, 0)), (1, 0, 2)),
    ],
)
def test_a_cluster_is_divided_node_by_node(placement, place, expected):
    found = allot(Execution(), placement, place)
    assert (found.cpus, found.gpus, found.slots) == expected and found.cluster is place
    assert found.slots_of([]) == 0


@pytest.mark.parametrize(
    ("resources", "problem"),
    [
        (
            Resources(cpus=9),
            "resources.cpus: 9 CPUs a trial, but the nodes have 8 CPUs and 0 GPUs (c), 4 CPUs",
        ),
        (Resources(gpus=1, cpus=8), "resources: 8 CPUs and 1 GPU a trial, but the nodes have 8 CPUs and 0"),
    ],
)
def test_a_request_that_fits_no_node_is_refused_with_what_they_have(resources, problem):
    place = cluster(c=Machine(8, 0), a=Machine(4, 1), b=Machine(4, 1))
    with pytest.raises(InputError) as caught:
        allot(Execution(), Placement(resources=resources), place)
    assert str(caught.value).startswith(f"execution.{problem}")
    assert "4 CPUs and 1 GPU (a, b)" in str(caught.value)
