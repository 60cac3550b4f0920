"""The distillation of KDAS-ReID and its temperature, against independent computations in float64."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from autoreid import losses
from autoreid.jobs import Job, search_job, select_job, train_job
from autoreid.losses import Guidance
from autoreid.models.necks import Branch
from autoreid.objectives import Objective, Temperature
from autoreid.published import (
    AUTO_REID_SEARCH,
    KDAS_SEARCH,
    KDAS_TEACHER,
    KDAS_TRAIN,
    SELECT_RECIPES,
    shortened,
)
from autoreid.recipes import SearchRecipe, TrainRecipe, recipe_problems
from autoreid.values import override
from search_spaces.published import PUBLISHED

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
        (
            {"until": 200},
            (
                "objective.temperature.until",
                "200, but the last of 200 epochs, counted from 0, is 199. Use at most 199.",
            ),
        ),
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


def test_a_falling_temperature_reaches_its_end_within_the_epochs() -> None:
    last = override(KDAS_TRAIN, {"epochs": 2, "objective.temperature.until": 1})
    assert not list(recipe_problems(last))
    assert [last.objective.temperature.at(epoch) for epoch in range(2)] == [2, 0]
    one = override(last, {"epochs": 1})
    message = "linear, but a single epoch has one temperature. Use constant, or 2 epochs or more."
    assert list(recipe_problems(one)) == [("objective.temperature.name", message)]
    flat = {"objective.temperature.end": 2, "objective.temperature.until": 500}
    assert not list(recipe_problems(override(one, flat)))  # it does not fall


@pytest.mark.parametrize(("epochs", "until"), [(200, 199), (30, 29), (29, 28), (20, 19), (19, 1), (2, 1)])
def test_what_is_shortened_is_valid(epochs: int, until: int) -> None:
    recipe = override(KDAS_TRAIN, {"epochs": epochs, "objective.temperature.until": until})
    assert not list(recipe_problems(recipe))
    short = shortened(recipe)
    assert not list(recipe_problems(short))
    assert short.objective.temperature.at(0) == 2
    assert short.objective.temperature.at(short.epochs - 1) == (0 if short.epochs > 1 else 2)


def test_early_stopping_compares_eigenvalues_of_one_loss() -> None:
    recipe = override(KDAS_SEARCH, {"early_stopping": "eigenvalue"})
    ((field, message),) = recipe_problems(recipe)
    assert field == "early_stopping" and "the loss of the alphas changes as its temperature falls" in message
    for change in ({"temperature.name": "constant"}, {"distillation": 0}):
        other = override(recipe, {f"alpha_objective.{name}": value for name, value in change.items()})
        assert not list(recipe_problems(other))


def test_fields_of_a_temperature_that_have_no_effect_make_no_other_job() -> None:
    def ids(recipe: TrainRecipe | SearchRecipe, **changes: object) -> str:
        objective = override(recipe.objective, {name.replace("__", "."): v for name, v in changes.items()})
        teacher = "t" * 32
        if isinstance(recipe, SearchRecipe):
            other = replace(recipe, objective=objective, alpha_objective=objective)
            guide = teacher if objective.distillation else None
            return search_job(other, "d" * 64, split_seed=0, search_seed=0, teacher=guide).id
        short = override(SELECT_RECIPES["retrain"], {})
        short = replace(short, train=replace(short.train, objective=objective))
        return select_job(short, "d" * 64, ["a"], teacher=teacher if objective.distillation else None).id

    for recipe in (KDAS_SEARCH, KDAS_TRAIN):
        none = {"distillation": 0, "cross_entropy": 1}
        temperature = {"temperature__start": 8, "temperature__end": 1, "temperature__until": 5}
        assert ids(recipe, **none) == ids(recipe, **none, **temperature, temperature__gradient="squared")
        constant = {"temperature__name": "constant"}
        fixed = ids(recipe, **constant)
        assert ids(recipe, **constant, temperature__end=1, temperature__until=7) == fixed
        assert ids(recipe, **constant, temperature__gradient="literal") == fixed
        assert ids(recipe, temperature__end=2, temperature__until=7) == fixed
        others = {
            fixed,
            ids(recipe),
            ids(recipe, **constant, temperature__gradient="squared"),
            ids(recipe, **constant, temperature__start=4),
            ids(recipe, temperature__gradient="literal"),
            ids(recipe, temperature__end=1),
            ids(recipe, temperature__until=5),
        }
        assert len(others) == 7
    unused = override(KDAS_TEACHER, {"objective.temperature.start": 8})
    job = train_job(unused, "d" * 64, PUBLISHED["cdnet-top2"], train_seed=0)
    assert job.recipe == KDAS_TEACHER
    written = replace(job, recipe=unused)  # as it was, before such fields were taken out
    assert written.id != job.id and Job.from_plain(written.plain()) == written
