"""The fused form of search cells against the plain one."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from search_spaces.cells import CellPlan, CellSupernet, SearchCell
from search_spaces.errors import InputError
from search_spaces.fused_cells import Form, blocks_of
from search_spaces.genotype import Genotype
from search_spaces.macro import Macro
from search_spaces.places import BASE, DARTS, REID, place_of
from search_spaces.registry import SPACES
from search_spaces.relaxations import Branches, Softmax, TopK, one_hot
from search_spaces.space import SearchSpace, initial_alphas

CELL_SPACES = {"base-v1": BASE, "reid-v1": REID, "darts8-v1": DARTS}
SMALL = Macro(channels=4, layers=(1, 1, 1, 1))


def moved_statistics(module: torch.nn.Module, generator: torch.Generator) -> None:
    """Every norm has statistics of its own."""
    for name, buffer in module.named_buffers():
        if name.endswith("running_mean"):
            buffer.normal_(generator=generator)
        elif name.endswith("running_var"):
            buffer.uniform_(0.5, 1.5, generator=generator)


def together(cell: SearchCell, before: Tensor, last: Tensor, weights: dict[str, Tensor]) -> Tensor:
    """The cell as it is computed on a GPU: all edges in one call."""
    operations: Any = {key: list(edge.options) for key, edge in cell.edges.items()}  # type: ignore[arg-type]
    inputs = (cell.wiring.before, before), (cell.wiring.last, last)
    stride = 2 if cell.kind == "reduce" else 1
    form = Form(cell.options, cell.training, together=True)
    return torch.cat(blocks_of(inputs, operations, weights, stride, form), dim=1)


def results(
    cell: SearchCell, form: str, maps: tuple[Tensor, Tensor], alphas: dict[str, Tensor]
) -> dict[str, Tensor]:
    """Output, gradients of everything and buffers after one pass of a copy."""
    cell = copy.deepcopy(cell)
    cell.fused = form != "plain"
    inputs = [each.clone().requires_grad_() for each in maps]
    alphas = {key: alpha.clone().requires_grad_() for key, alpha in alphas.items()}
    weights = {key: alpha.softmax(0) for key, alpha in alphas.items()}
    branches = {place_of(cell.kind, k): Branches(tuple(range(len(w))), w) for k, w in weights.items()}
    output = together(cell, *inputs, weights) if form == "together" else cell(*inputs, branches)
    output.pow(3).sum().backward()
    weighed = {f"input {number}": each for number, each in enumerate(inputs)} | dict(cell.named_parameters())
    gradients = {name: each.grad for name, each in (weighed | alphas).items()}
    return {"output": output.detach()} | gradients | dict(cell.named_buffers())


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("form", ["fused", "together"])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(
    ("kind", "after_reduction"), [("normal", False), ("normal", True), ("reduce", False)]
)
@pytest.mark.parametrize("space", CELL_SPACES)
def test_both_forms_are_equal_in_outputs_gradients_and_statistics(
    space: str, kind: str, after_reduction: bool, training: bool, form: str, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    # Even and odd numbers of rows, columns and channels; part_aware wants four rows, of halved maps too.
    least = 7 if kind == "reduce" else 4
    rows, columns, channels, batch = (
        int(torch.randint(n, n + 6, (), generator=generator)) for n in (least, 3, 3, 2)
    )
    torch.manual_seed(seed)
    cell = SearchCell(CellPlan(5, 7, channels, kind, after_reduction), CELL_SPACES[space])
    moved_statistics(cell, generator)
    cell.double().train(training)
    scale = 2 if after_reduction else 1
    maps = (
        torch.randn(batch, 5, scale * rows - seed % scale, scale * columns, dtype=torch.double),
        torch.randn(batch, 7, rows, columns, dtype=torch.double),
    )
    alphas = {key: torch.randn(len(cell.options), dtype=torch.double) for key in cell.edges}
    plain = results(cell, "plain", maps, alphas)
    found = results(cell, form, maps, alphas)
    assert plain.keys() == found.keys()
    largest = max(float(value.abs().max()) for value in plain.values())
    for name, value in plain.items():
        # What a norm subtracts again has no gradient but rounding: that is small beside the others'.
        torch.testing.assert_close(found[name], value, rtol=1e-10, atol=1e-12 * largest, msg=name)
    counts = {int(value) for name, value in found.items() if name.endswith("num_batches_tracked")}
    assert counts == {int(training)}


@pytest.mark.slow
@pytest.mark.parametrize("form", ["fused", "together"])
@pytest.mark.parametrize("kind", ["normal", "reduce"])
def test_a_cell_is_one_graph_to_the_compiler(kind: str, form: str) -> None:
    torch.manual_seed(0)
    cell = SearchCell(CellPlan(5, 7, 4, kind, False), REID)
    before, last = torch.randn(2, 5, 16, 8), torch.randn(2, 7, 16, 8)
    weights = {key: torch.rand(len(REID), requires_grad=True) for key in cell.edges}

    def compute(cell: SearchCell, weights: dict[str, Tensor]) -> Tensor:
        if form == "together":
            return together(cell, before, last, weights)
        branches = {place_of(kind, k): Branches(tuple(range(len(w))), w) for k, w in weights.items()}
        return cell(before, last, branches)  # type: ignore[no-any-return]

    # Traced as for a compiler, with an error where the graph would break; then run as it is.
    traced = torch.compile(compute, fullgraph=True, backend="eager")
    found = []
    for call, copied in (compute, copy.deepcopy(cell)), (traced, copy.deepcopy(cell)):
        output = call(copied, weights)
        gradients = torch.autograd.grad(output.pow(3).sum(), [*copied.parameters(), *weights.values()])
        found.append([output, *gradients, *copied.buffers()])
    torch.testing.assert_close(found[0], found[1])


def supernet_of(space: SearchSpace, seed: int = 0, **arrangement: bool) -> CellSupernet:
    torch.manual_seed(seed)
    supernet = space.supernet(SMALL)
    assert isinstance(supernet, CellSupernet)
    supernet.arrange(**{"fused": True, "recompute": False} | arrangement)
    return supernet


def images(rows: int = 128, columns: int = 40) -> Tensor:
    return torch.randn(2, 3, rows, columns, generator=torch.Generator().manual_seed(0))


def alphas_of(space: SearchSpace) -> dict[str, Tensor]:
    alphas = initial_alphas(space, 0.5, torch.Generator().manual_seed(1))
    return {place: alpha.requires_grad_() for place, alpha in alphas.items()}


def step(supernet: CellSupernet, alphas: dict[str, Tensor], pixels: Tensor) -> dict[str, Tensor]:
    """Maps, gradients and buffers after one step forth and back."""
    maps = supernet(pixels, Softmax()(alphas))
    (maps.middle.pow(2).mean() + maps.last.pow(2).mean()).backward()
    named = dict(supernet.named_parameters()) | alphas
    gradients = {name: value.grad for name, value in named.items() if value.grad is not None}
    return (
        {"middle": maps.middle.detach(), "last": maps.last.detach()}
        | gradients
        | dict(supernet.named_buffers())
    )


@pytest.mark.parametrize("memory_format", [torch.channels_last, torch.contiguous_format])
@pytest.mark.parametrize("space", CELL_SPACES)
def test_whole_supernets_are_equal_in_both_memory_formats(
    space: str, memory_format: torch.memory_format
) -> None:
    found = []
    for fused in (False, True):
        supernet = supernet_of(SPACES[space], fused=fused).double()
        supernet.to(memory_format=memory_format)
        pixels = images(131, 45).double().contiguous(memory_format=memory_format)
        alphas = {k: a.detach().double().requires_grad_() for k, a in alphas_of(SPACES[space]).items()}
        found.append(step(supernet, alphas, pixels))
    plain, fused_ones = found
    assert plain.keys() == fused_ones.keys()
    for name, value in plain.items():
        torch.testing.assert_close(fused_ones[name], value, rtol=1e-8, atol=1e-10, msg=name)


def test_names_and_beginnings_of_weights_do_not_depend_on_the_form() -> None:
    plain, fused = (supernet_of(SPACES["reid-v1"], fused=fused).state_dict() for fused in (False, True))
    assert plain.keys() == fused.keys()
    assert all(torch.equal(plain[name], fused[name]) for name in plain)


def curvature(fused: bool, recompute: bool) -> list[Tensor]:
    """Two products of the Hessian of the alphas, as its eigenvalues are found."""
    space = SPACES["reid-v1"]
    supernet = supernet_of(space, fused=fused, recompute=recompute).double().eval()
    alphas = [a.detach().double().requires_grad_() for a in alphas_of(space).values()]
    branches = Softmax()(dict(zip(space.places, alphas, strict=True)))
    loss = supernet(images(104, 24).double(), branches).last.pow(2).mean()
    gradients = torch.autograd.grad(loss, alphas, create_graph=True)
    vectors = [alpha.detach() for alpha in alphas], [alpha.detach().cos() for alpha in alphas]
    products = (torch.autograd.grad(gradients, alphas, v, retain_graph=True) for v in vectors)
    return [torch.cat(product) for product in products]


@pytest.mark.slow
def test_the_curvature_of_the_alphas_is_the_same_in_every_form() -> None:
    plain = curvature(fused=False, recompute=False)
    assert plain[0].abs().min() > 0
    for fused, recompute in ((True, False), (True, True), (False, True)):
        torch.testing.assert_close(curvature(fused, recompute), plain, rtol=1e-8, atol=1e-14)


def test_few_branches_are_computed_in_the_plain_form() -> None:
    space = SPACES["reid-v1"]
    genotype: Genotype = space.sample(torch.Generator().manual_seed(0))
    for branches in (one_hot(space.places, genotype), TopK(2)(alphas_of(space))):
        plain, fused = (supernet_of(space, fused=fused)(images(), branches) for fused in (False, True))
        assert torch.equal(plain.last, fused.last)


def test_too_few_rows_are_refused_in_both_forms() -> None:
    space = SPACES["reid-v1"]
    for fused in (True, False):
        with pytest.raises(InputError, match="4 parts of a map that is 2 rows high"):
            supernet_of(space, fused=fused)(images(64), Softmax()(alphas_of(space)))


ALLOCATIONS = ("aten::empty", "aten::new_empty", "aten::detach", "aten::_unsafe_view")


class Operators(TorchDispatchMode):
    """What is launched: operators besides views and allocations, and whether convolutions compute gradients
    of weights."""

    def __init__(self) -> None:
        super().__init__()
        self.count = self.weight_gradients = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += not (func.is_view or func.name().startswith(ALLOCATIONS))
        if func is torch.ops.aten.convolution_backward.default:
            self.weight_gradients += args[-1][1]
        return func(*args, **(kwargs or {}))


def operators_of_an_alpha_step(supernet: CellSupernet, space: SearchSpace) -> Operators:
    alphas = alphas_of(space)
    with Operators() as operators:
        loss = supernet(images(), Softmax()(alphas)).last.pow(2).mean()
        torch.autograd.grad(loss, list(alphas.values()))
    return operators


@pytest.mark.parametrize("recompute", [True, False])
def test_a_step_of_the_alphas_computes_no_gradients_of_weights(recompute: bool) -> None:
    space = SPACES["reid-v1"]
    assert operators_of_an_alpha_step(supernet_of(space, recompute=recompute), space).weight_gradients == 0


def test_fused_cells_launch_a_fraction_of_the_operators(monkeypatch: pytest.MonkeyPatch) -> None:
    space = SPACES["reid-v1"]
    counts = [
        operators_of_an_alpha_step(supernet_of(space, fused=fused), space).count for fused in (False, True)
    ]
    monkeypatch.setattr(
        "search_spaces.cells.Form",
        lambda options, training, together: Form(options, training, together=True),
    )
    counts.append(operators_of_an_alpha_step(supernet_of(space), space).count)
    plain, edge_by_edge, all_together = counts
    assert edge_by_edge < 0.6 * plain
    assert all_together < 0.37 * plain


@pytest.fixture(params=[True, False], ids=["fused", "plain"])
def fused(request: pytest.FixtureRequest) -> Iterator[bool]:
    yield request.param


def test_recomputing_gives_the_same_bits_and_counts_a_batch_once(fused: bool) -> None:
    space = SPACES["reid-v1"]
    kept, computed = (
        step(supernet_of(space, fused=fused, recompute=recompute), alphas_of(space), images())
        for recompute in (False, True)
    )
    assert kept.keys() == computed.keys()
    assert all(torch.equal(kept[name], computed[name]) for name in kept)
    assert {int(value) for name, value in computed.items() if name.endswith("tracked")} == {1}


def test_recomputing_keeps_less(fused: bool) -> None:
    def kept_bytes(recompute: bool) -> int:
        space, storages = SPACES["reid-v1"], dict[int, int]()

        def pack(tensor: Tensor) -> Tensor:
            storages[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        supernet = supernet_of(space, fused=fused, recompute=recompute)
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            maps = supernet(images(), Softmax()(alphas_of(space)))
        assert maps.last.requires_grad
        return sum(storages.values())

    assert kept_bytes(True) < kept_bytes(False) / 4


def test_half_precision_is_as_near_to_the_truth_in_both_forms() -> None:
    space = SPACES["reid-v1"]
    truth = step(supernet_of(space, fused=False), alphas_of(space), images())
    errors = []
    for fused in (False, True):
        supernet, alphas = supernet_of(space, fused=fused), alphas_of(space)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            maps = supernet(images(), Softmax()(alphas))
        (maps.middle.float().pow(2).mean() + maps.last.float().pow(2).mean()).backward()
        assert all(a.grad is not None and a.grad.isfinite().all() for a in alphas.values())
        difference = maps.last.detach().float() - truth["last"]
        errors.append(float(difference.norm() / truth["last"].norm()))
    assert errors[1] < 1.5 * errors[0] < 0.2


@pytest.mark.gpu
def test_a_gpu_computes_the_same_in_both_forms() -> None:
    space, found = SPACES["reid-v1"], []
    for fused in (False, True):
        supernet = supernet_of(space, fused=fused).double().cuda()
        alphas = {k: a.detach().double().cuda().requires_grad_() for k, a in alphas_of(space).items()}
        found.append(step(supernet, alphas, images().double().cuda()))
    for name, value in found[0].items():
        torch.testing.assert_close(found[1][name], value, rtol=1e-8, atol=1e-10, msg=name)
