"""What is measured of a search, each against a computation of another kind; the measuring moves nothing."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from autoreid import health, losses
from autoreid.execution import Execution
from autoreid.feed import PreparedData
from autoreid.health import collapsed, largest_eigenvalue, rises, shares
from autoreid.models.assembly import build_network
from autoreid.published import AUTO_REID_SEARCH, CDNET_SEARCH
from autoreid.recipes import SearchRecipe
from autoreid.searching import SearchRun
from autoreid.values import override
from search_spaces.genotype import Genotype
from search_spaces.published import PUBLISHED
from search_spaces.registry import SPACES

SMALL = {"height": 64, "width": 32, "batch": {"identities": 4, "images": 2}, "epochs": 20}
CHAIN = override(CDNET_SEARCH, SMALL | {"space": "cs-v1", "width_multiplier": 0.1, "split.held_out": 2})
CELLS = override(
    AUTO_REID_SEARCH,
    SMALL | {"space": "base-v1", "channels": 2, "layers": [1, 1, 1, 1], "neck.embedding": 8},
)
CPU = Execution(device="cpu", threads=1)


def run_of(recipe: SearchRecipe, data: PreparedData, execution: Execution = CPU) -> SearchRun:
    return SearchRun(recipe, data, split_seed=0, search_seed=0, execution=execution)


@pytest.mark.parametrize(
    ("name", "expected", "half"),
    [  # counted by hand from the papers' listings: 16 edges, 8 of them in the normal cell
        ("darts-v1-net", (6 / 16, None, 11 / 16), False),
        ("darts-v2-net", (5 / 16, None, 10 / 16), False),
        ("gdas-v1-net", (4 / 16, None, 4 / 16), True),
        ("cdnet-top2", (None, None, None), None),
    ],
)
def test_shares_of_the_published_genotypes(name: str, expected: Any, half: bool | None) -> None:
    genotype = PUBLISHED[name]
    places = SPACES[genotype.space].places
    assert shares(genotype, places) == expected
    assert collapsed(genotype, places) is half


def normal_cell(options: list[str], reduce: str = "max_pool_3x3") -> Genotype:
    """The first two edges of every block: these in the normal cell, one operation in the other."""
    places = SPACES["reid-v1"].places
    choices = dict.fromkeys(places, "none")
    kept = [f"b{block}.i{source}" for block in range(1, 5) for source in range(2)]
    for edge, option in zip(kept, options, strict=True):
        choices |= {f"normal.{edge}": option, f"reduce.{edge}": reduce}
    return Genotype.of("reid-v1", choices)


def test_a_normal_cell_is_collapsed_from_half_of_its_edges_on() -> None:
    places = SPACES["reid-v1"].places
    free = ["skip_connect", "avg_pool_3x3", "skip_connect", "max_pool_3x3"]
    learning = ["sep_conv_3x3", "part_aware", "dil_conv_3x3", "part_aware"]
    assert collapsed(normal_cell([*free[:3], "sep_conv_3x3", *learning]), places) is False
    assert collapsed(normal_cell([*free, *learning]), places) is True
    assert collapsed(normal_cell([*free, *learning], reduce="part_aware"), places) is True
    assert shares(normal_cell([*free, *learning]), places) == (2 / 16, 2 / 16, 12 / 16)


def symmetric(eigenvalues: list[float], seed: int) -> Tensor:
    """A matrix with these eigenvalues, and eigenvectors at random."""
    basis = np.linalg.qr(np.random.default_rng(seed).normal(size=(len(eigenvalues),) * 2))[0]
    return torch.from_numpy(basis @ np.diag(eigenvalues) @ basis.T)


@pytest.mark.parametrize(
    "eigenvalues",
    [
        [3.0, 1.0, 0.5, 0.0, -1.0],
        [2.0, 0.1, 0.0, -1.0, -7.0],  # the largest absolute value is that of a negative one
        [-1.0, -2.0, -3.0, -4.0, -9.0],
        [4.0, 1.0, 0.0, -2.0, -4.0],  # power iteration alone never settles
        [5.0, 4.99, 4.0, 1.0, 0.0],
        [0.0] * 5,
    ],
)
def test_the_eigenvalue_is_the_largest_with_its_sign(eigenvalues: list[float]) -> None:
    for seed in range(5):
        matrix = symmetric(eigenvalues, seed)
        x = torch.ones(2, dtype=torch.float64, requires_grad=True)
        y = torch.ones(3, dtype=torch.float64, requires_grad=True)
        z = torch.cat([x, y])
        found = largest_eigenvalue(z @ matrix @ z / 2 + z.sum(), [x, y])
        assert found == pytest.approx(max(eigenvalues), abs=0.01 * max(map(abs, eigenvalues)))


def test_the_eigenvalue_equals_that_of_the_exact_hessian_in_float64() -> None:
    """A small mixture of softmax weights with a loss: what a search's loss is like."""
    for seed in range(8):
        generator = torch.Generator().manual_seed(seed)
        outputs = torch.randn(4, 5, 6, generator=generator, dtype=torch.float64)
        target = torch.randint(6, (5,), generator=generator)

        def loss(alphas: Tensor, outputs: Tensor = outputs, target: Tensor = target) -> Tensor:
            mixed = torch.einsum("k,knc->nc", alphas[:4].softmax(0), outputs) * alphas[4:].exp().sum()
            return torch.nn.functional.cross_entropy(mixed, target)

        alphas = torch.randn(6, generator=generator, dtype=torch.float64, requires_grad=True)
        exact = torch.linalg.eigvalsh(torch.autograd.functional.hessian(loss, alphas.detach()))
        found = largest_eigenvalue(loss(alphas), [alphas])
        assert found == pytest.approx(float(exact[-1]), abs=2e-3 * float(exact.abs().max()))


def test_a_search_records_the_eigenvalue_of_its_alphas_objective(small_data: PreparedData) -> None:
    objective = {"cross_entropy": 1.0, "triplet": 0.5, "soft_margin": True}
    recipe = override(CHAIN, {"alpha_objective": objective, "alpha_scale": 0.5})
    run = run_of(recipe, small_data, replace(CPU, eigenvalue_epochs=2))
    assert run.advance()["alpha_eigenvalue"] is None
    measured = run.advance()["alpha_eigenvalue"]

    run.model.eval()
    images, labels = run.probes.batch(0)
    alphas = list(run.alphas.values())
    total = losses.compute(recipe.alpha_objective, run.model(images, run.relax(run.alphas)), labels).total
    gradient = torch.cat(torch.autograd.grad(total, alphas, create_graph=True))
    rows = [torch.cat(torch.autograd.grad(slope, alphas, retain_graph=True)) for slope in gradient]
    exact = torch.linalg.eigvalsh(torch.stack(rows).double())
    assert exact.abs().max() > 1e-4
    assert measured == pytest.approx(float(exact[-1]), abs=5e-3 * float(exact.abs().max()))


def stopped_by_hand(values: list[float]) -> int | None:
    """The epoch, from 1, at which the rule first holds; the oracle speaks of single epochs."""

    def mean(epoch: int) -> float:
        return math.fsum(values[epoch - 1 - n] for n in range(5)) / 5

    for epoch in range(10, len(values) + 1):
        if mean(epoch) > 0 and mean(epoch - 5) / mean(epoch) < 0.75:
            return epoch
    return None


def test_the_rule_equals_a_literal_one() -> None:
    found = []
    for seed in range(200):
        random = np.random.default_rng(seed)
        values = (random.normal(size=30).cumsum() / 3 + random.choice([-1, 3, 8])).tolist()
        stops = [epoch for epoch in range(1, 31) if rises(values[:epoch])]
        found.append(stops[0] if stops else None)
        assert found[-1] == stopped_by_hand(values)
    assert None in found and len(set(found)) > 10
    assert not rises([1.0] * 5 + [2.0] * 4 + [None]) and not rises([1.0] * 4 + [9.0] * 5)


@pytest.mark.parametrize(
    "recipe", [CHAIN, pytest.param(CELLS, marks=pytest.mark.slow)], ids=["top-k", "softmax"]
)
def test_measuring_changes_nothing(
    recipe: SearchRecipe, small_data: PreparedData, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bit for bit: weights, statistics, alphas, both optimizers, random numbers and every other record."""
    watched = run_of(recipe, small_data, replace(CPU, eigenvalue_epochs=1))
    rows = [watched.advance() for _ in range(2)]
    assert all(row["alpha_eigenvalue"] is not None and row["supernet_accuracy"] is not None for row in rows)
    random, state = torch.get_rng_state(), flat(watched.state())

    monkeypatch.setattr(SearchRun, "_measure", lambda run, genotype: {"alpha_eigenvalue": None})
    left_alone = run_of(recipe, small_data)
    plain = [left_alone.advance() for _ in range(2)]
    assert torch.equal(torch.get_rng_state(), random)
    other = flat(left_alone.state())
    measured = {"images_per_second", "wall_seconds", "seconds", "alpha_eigenvalue"}
    kept = [name for name in other if name.rsplit("/", 1)[-1] not in measured]
    assert len(kept) > 50
    for name in kept:
        same = torch.equal if isinstance(other[name], Tensor) else (lambda a, b: a == b)
        assert same(state[name], other[name]), name
    for row, without in zip(rows, plain, strict=True):
        assert {n: row[n] for n in without if n not in measured} == {
            n: without[n] for n in without if n not in measured
        }


def flat(value: Any, name: str = "") -> dict[str, Any]:
    if isinstance(value, dict) and value:
        return {k: v for key in value for k, v in flat(value[key], f"{name}/{key}").items()}
    if isinstance(value, (list, tuple)) and value:
        return {k: v for n, item in enumerate(value) for k, v in flat(item, f"{name}/{n}").items()}
    return {name: value}


def test_accuracies_are_those_of_supernet_and_derived_network(
    small_data: PreparedData, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The network that inherits the supernet's weights, built for the genotype alone, classifies alike."""
    monkeypatch.setattr(health, "probe_batches", lambda batch, steps: 3)
    changes = {"optimizer.learning_rate": 0.05, "alpha_scale": 1.0, "objective.triplet": 0.0}
    run = run_of(override(CHAIN, changes), small_data)
    for _ in range(3):
        row = run.advance()
        assert run.genotype is not None
        network = build_network(run.genotype, CHAIN.neck, small_data.identities, CHAIN.macro)
        network.backbone.load_state_dict(run.model.supernet.inherited(run.genotype))  # type: ignore[operator]
        network.neck.load_state_dict(run.model.neck.state_dict())
        mixed = right(run, run.model, run.relax(run.alphas))
        alone = right(run, network)
        assert (row["supernet_accuracy"], row["discretised_accuracy"]) == (mixed, alone)
        assert row["discretisation_gap"] == mixed - alone
        if 0 < mixed != alone > 0:
            return
    raise AssertionError("accuracies that tell nothing")


def right(run: SearchRun, model: torch.nn.Module, *branches: Any) -> float:
    """The share of images in three held-out batches, as they are, that get their class."""
    model.eval()
    assert set(run.probes.rows) == set(run.held_out.rows)
    found = []
    for images, labels in map(run.probes.batch, range(3)):
        with torch.no_grad():
            scores = model(images, *branches)[0].logits.tolist()
        found += [row.index(max(row)) == int(label) for row, label in zip(scores, labels, strict=True)]
    return sum(found) / len(found)


def test_held_out_identities_have_no_accuracy(small_data: PreparedData) -> None:
    recipe = override(
        CHAIN,
        {
            "split": {"name": "by-identity", "fraction": 0.5},
            "alpha_objective.cross_entropy": 0.0,
            "batch.identities": 2,
        },
    )
    row = run_of(recipe, small_data).advance()
    assert row["supernet_accuracy"] is row["discretised_accuracy"] is row["discretisation_gap"] is None


def test_evaluation_mode_is_left_again_also_after_an_error() -> None:
    model = torch.nn.Sequential(torch.nn.Dropout(), torch.nn.BatchNorm2d(2)).train()
    with pytest.raises(ZeroDivisionError), health.evaluating(model):
        assert not any(module.training for module in model.modules())
        raise ZeroDivisionError
    assert all(module.training for module in model.modules())
