import pytest

from autoreid.errors import InputError
from autoreid.recipes import Execution
from tune_runs.resources import Allotment, Machine, allot
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
