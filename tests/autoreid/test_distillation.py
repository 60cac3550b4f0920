"""The distillation of KDAS-ReID and its temperature, against independent computations in float64."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from autoreid import losses
from autoreid.losses import Guidance
from autoreid.models.necks import Branch
from autoreid.objectives import Objective, Temperature
from autoreid.published import AUTO_REID_SEARCH, KDAS_SEARCH, KDAS_TEACHER, KDAS_TRAIN, shortened
from autoreid.recipes import recipe_problems
from autoreid.values import override

IDENTITIES = torch.tensor([0, 0, 2, 2, 1, 1])
ONLY = Objective(cross_entropy=0.0, triplet=0.0, distillation=1.0)


def logits(seed: int, size: float = 3.0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return size * torch.randn(6, 4, dtype=torch.float64, generator=generator)


def probabilities(values: list[float], temperature: float) -> list[float]:
    """Softmax of values / T with Python's own arithmetic."""
    top = max(values)
    powers = [math.exp((value - top) / temperature) for value in values]
    return [power / math.fsum(powers) for power in powers]


def literal(student: torch.Tensor, teacher: torch.Tensor, temperature: float) -> float:
    """Equation 5, image by image."""
    total = 0.0
    for s, t in zip(student.tolist(), teacher.tolist(), strict=True):
        top = max(s)
        log_sum = math.log(math.fsum(math.exp((value - top) / temperature) for value in s))
        logs = [(value - top) / temperature - log_sum for value in s]
        total -= math.fsum(p * log for p, log in zip(probabilities(t, temperature), logs, strict=True))
    return total / len(student)


@pytest.mark.parametrize("temperature", [8, 2, 1, 0.1, 0.01])
@pytest.mark.parametrize("way", ["literal", "relative", "squared"])
def test_values_and_gradients_at_every_temperature(temperature: float, way: str) -> None:
    student, teacher = logits(0).requires_grad_(), logits(1)
    schedule = override(Temperature(start=8, end=temperature, until=1), {"gradient": way})
    assert schedule.at(1) == temperature
    factor = {"literal": 1.0, "relative": temperature / 8, "squared": temperature**2}[way]
    guidance = Guidance(teacher, schedule.at(1), schedule.scale(1))
    found = losses.compute(ONLY, (Branch(student, student),), IDENTITIES, guidance)
    value = literal(student.detach(), teacher, temperature)
    assert found.distillation.item() == pytest.approx(value, rel=1e-12)
    assert found.total.item() == pytest.approx(factor * value, rel=1e-12)
    (gradient,) = torch.autograd.grad(found.total, student)
    wanted = [
        [
            factor * (p - q) / temperature / len(student)
            for p, q in zip(*(probabilities(v, temperature) for v in pair), strict=True)
        ]
        for pair in zip(student.tolist(), teacher.tolist(), strict=True)
    ]
    np.testing.assert_allclose(gradient.numpy(), wanted, rtol=1e-9, atol=1e-12)


def test_the_labels_take_over_at_0() -> None:
    temperature = Temperature(start=2, until=190)
    assert [temperature.at(epoch) for epoch in (0, 19, 189, 190, 250)] == pytest.approx(
        [2, 1.8, 2 / 190, 0, 0]
    )
    student = logits(0).requires_grad_()
    guidance = Guidance(None, 0.0, temperature.scale(190))
    found = losses.compute(ONLY, (Branch(student, student),), IDENTITIES, guidance)
    expected = [
        -math.log(probabilities(row, 1.0)[label])
        for row, label in zip(student.tolist(), IDENTITIES.tolist(), strict=True)
    ]
    assert (
        found.total.item() == found.distillation.item() == pytest.approx(math.fsum(expected) / 6, rel=1e-12)
    )
    (gradient,) = torch.autograd.grad(found.total, student)
    for row, values, label in zip(gradient.tolist(), student.tolist(), IDENTITIES.tolist(), strict=True):
        wanted = [(p - (place == label)) / 6 for place, p in enumerate(probabilities(values, 1.0))]
        assert row == pytest.approx(wanted, rel=1e-9)


def test_an_end_above_0_goes_on() -> None:
    temperature = Temperature(start=4, end=1, until=30)
    assert [temperature.at(epoch) for epoch in (0, 10, 30, 199)] == pytest.approx([4, 3, 1, 1])
    assert [temperature.scale(epoch) for epoch in (0, 30)] == pytest.approx([1, 0.25])
    constant = Temperature(name="constant", start=2)
    assert {constant.at(epoch) for epoch in range(300)} == {2.0}
    assert {constant.scale(epoch) for epoch in range(300)} == {1.0}


@pytest.mark.parametrize("temperature", [2.0, 0.1, 0.01])
def test_large_logits_in_bf16_give_no_nan(temperature: float) -> None:
    student = (100 * torch.randn(6, 751)).bfloat16().requires_grad_()
    teacher = (100 * torch.randn(6, 751)).bfloat16()
    found = losses.compute(
        ONLY, (Branch(student, student),), IDENTITIES, Guidance(teacher, temperature, temperature / 2)
    )
    found.total.backward()
    assert found.total.isfinite() and student.grad is not None and student.grad.isfinite().all()


def test_every_branch_is_guided_and_the_weights_are_free() -> None:
    objective = replace(ONLY, triplet=0.5, distillation=2.0)
    first, second, teacher = logits(2), logits(3), logits(4)
    x = logits(5)
    found = losses.compute(
        objective, (Branch(x, first), Branch(x, second)), IDENTITIES, Guidance(teacher, 2.0, 0.25)
    )
    distilled = literal(first, teacher, 2.0) + literal(second, teacher, 2.0)
    triplet = 2 * losses.batch_hard_triplet(x, IDENTITIES).item()
    assert found.total.item() == pytest.approx(0.5 * triplet + 2.0 * 0.25 * distilled, rel=1e-6)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"end": 3}, ("objective.temperature.end", "3, but the temperature falls from 2. Use at most 2.")),
        ({"until": 241}, ("objective.temperature.until", "241, but there are 200 epochs. Use at most 200.")),
    ],
)
def test_mistakes_of_a_temperature(changes: dict[str, float], problem: tuple[str, str]) -> None:
    recipe = override(KDAS_TRAIN, {f"objective.temperature.{name}": value for name, value in changes.items()})
    assert list(recipe_problems(recipe)) == [problem]
    constant = override(recipe, {"objective.temperature.name": "constant"})
    assert list(recipe_problems(constant)) == []
    assert list(recipe_problems(override(recipe, {"objective.distillation": 0}))) == []


def test_the_recipes_are_those_of_section_4() -> None:
    for recipe in (KDAS_SEARCH, KDAS_TRAIN):
        assert (recipe.height, recipe.width, recipe.epochs) == (384, 128, 200)
        objective = recipe.objective
        assert (objective.cross_entropy, objective.distillation, objective.triplet) == (0, 1, 1)
        assert objective.margin == 0.3
        assert objective.temperature == Temperature("linear", 2.0, 0.0, 190, "relative")
    assert KDAS_SEARCH.alpha_objective == KDAS_SEARCH.objective
    alphas = KDAS_SEARCH.alpha_optimizer
    assert (alphas.name, alphas.learning_rate, alphas.schedule.name) == ("adam", 0.02, "constant")
    assert KDAS_SEARCH.optimizer == AUTO_REID_SEARCH.optimizer
    assert (KDAS_SEARCH.space, KDAS_SEARCH.channels, KDAS_SEARCH.batch.size) == ("reid-v1", 32, 16)
    used = KDAS_TRAIN.optimizer
    assert (used.name, used.learning_rate, used.weight_decay, used.schedule.name) == (
        *("adam", 3.5e-4, 5e-4, "constant"),
    )
    assert (KDAS_TRAIN.channels, KDAS_TRAIN.batch.identities, KDAS_TRAIN.batch.images) == (64, 8, 4)
    assert (KDAS_TEACHER.batch.identities, KDAS_TEACHER.weights, KDAS_TEACHER.optimizer) == (
        *(16, "imagenet", used),
    )
    assert (KDAS_TEACHER.objective.cross_entropy, KDAS_TEACHER.objective.distillation) == (1, 0)
    short = shortened(KDAS_TRAIN)
    assert (short.epochs, short.objective.temperature.until) == (20, 19)
