"""Three steps of a search and of a training give what is written down; a changed constant is noticed."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from golden_run import (
    REMEDY,
    VECTORS,
    golden_run,
    leaves,
    open_data,
    record_search,
    record_train,
    run_problems,
)

import autoreid.feed
import autoreid.losses
import autoreid.searching
import autoreid.training
from autoreid.feed import PreparedData
from autoreid.models.assembly import ReIDModel
from autoreid.optimisation import build_optimizer, set_learning_rate, stream
from autoreid.searching import SearchRun

WRITTEN = json.loads((Path(__file__).parent / "three_steps.json").read_text())
RECORDS = {"search": record_search, "train": record_train}


@pytest.fixture(scope="module")
def data(cache: Path) -> PreparedData:
    return open_data(cache)


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def test_three_steps_give_what_is_written_down(data: PreparedData) -> None:
    problems = run_problems(WRITTEN, golden_run(data))
    assert not problems, "\n".join(problems)


def noticed(data: PreparedData, kind: str) -> set[str]:
    """Which values differ from those written down, by the first parts of their names; the remedy is named."""
    now = {**WRITTEN, kind: RECORDS[kind](data)}
    problems = run_problems(WRITTEN, now)
    assert problems[-1:] == [REMEDY]
    return {problem.split(":")[0].rsplit("/", 1)[0] for problem in problems[:-1]}


def other_stream(name: str) -> Callable[[int, str], int]:
    """The seeds of all streams, another one for that of this name."""
    return lambda seed, wanted: stream(seed, f"{wanted}!" if wanted == name else wanted)


def test_the_stream_of_the_augmentation_is_noticed(
    data: PreparedData, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(autoreid.feed, "stream", other_stream("augmentation"))
    problems = run_problems(WRITTEN, {**WRITTEN, "search": record_search(data)})
    exact = {problem.split(":")[0] for problem in problems if "/exact/" in problem}
    assert exact == {
        f"search/exact/{half}/{what}" for half in ("train", "held_out") for what in ("augmentation", "pixels")
    }


@pytest.mark.parametrize(
    ("name", "expected"),
    [("split", "search/exact"), ("alphas", "search/alphas")],
)
def test_other_streams_are_noticed(
    data: PreparedData, monkeypatch: pytest.MonkeyPatch, name: str, expected: str
) -> None:
    monkeypatch.setattr(autoreid.searching, "stream", other_stream(name))
    monkeypatch.setattr("golden_run.stream", other_stream(name))
    assert any(place.startswith(expected) for place in noticed(data, "search"))


def test_a_rate_that_is_not_the_one_recorded_is_noticed(
    data: PreparedData, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The weights' rate is 2% too high; the alphas' one is right."""

    def too_high(optimizer: torch.optim.Optimizer, rate: float) -> None:
        set_learning_rate(optimizer, rate * (1.02 if isinstance(optimizer, torch.optim.SGD) else 1))

    for module, kind in ((autoreid.searching, "search"), (autoreid.training, "train")):
        monkeypatch.setattr(module, "set_learning_rate", too_high)
        assert f"{kind}/moved" in noticed(data, kind)


def other_momentum(recipe: Any, parameters: Any, **form: Any) -> torch.optim.Optimizer:
    optimizer = build_optimizer(recipe, parameters, **form)
    for group in optimizer.param_groups:
        if "momentum" in group:
            group["momentum"] -= 0.05
        else:
            group["betas"] = (group["betas"][0] - 0.05, group["betas"][1])
    return optimizer


@pytest.mark.parametrize("kind", ["search", "train"])
def test_momentum_is_noticed(data: PreparedData, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    module = {"search": autoreid.searching, "train": autoreid.training}[kind]
    monkeypatch.setattr(module, "build_optimizer", other_momentum)
    places = noticed(data, kind)
    assert f"{kind}/moved" in places
    assert kind == "train" or any(place.startswith("search/alphas") for place in places)


def test_a_margin_is_noticed(data: PreparedData, monkeypatch: pytest.MonkeyPatch) -> None:
    triplet = autoreid.losses.batch_hard_triplet
    monkeypatch.setattr(
        autoreid.losses,
        "batch_hard_triplet",
        lambda *given, **how: triplet(*given[:2], given[2] + 0.01, **how),
    )
    assert {f"train/near/{name}" for name in ("loss", "triplet")} <= noticed(data, "train")


def test_alphas_that_move_before_the_weights_are_noticed(
    data: PreparedData, monkeypatch: pytest.MonkeyPatch
) -> None:
    def step(run: SearchRun, number: int) -> torch.Tensor:
        alphas = run._alpha_step(number, run.relax(run.alphas))
        return torch.cat([run._weight_step(number, run.relax(run.alphas)), alphas])

    monkeypatch.setattr(SearchRun, "_step", step)
    assert "search/near/validation_loss" in noticed(data, "search")


def test_another_feature_is_noticed(data: PreparedData, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ReIDModel, "embed", lambda self, images: self.forward(images)[0].feature)
    assert noticed(data, "train") == {"train/scores/evaluation", "train/scores/untrained"}


def test_initial_weights_are_compared_where_they_are_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    other = copy.deepcopy(WRITTEN)
    other["train"]["exact"]["initial"] = "0" * 64
    for capability in (*VECTORS, "DEFAULT"):
        monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)  # noqa: B023
        assert bool(run_problems(WRITTEN, other)) is (capability in VECTORS)


def test_every_value_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each number, made greater by a hundredth and by 0.01, and each digest, altered, is noticed."""
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: VECTORS[0])
    for name, value in leaves(WRITTEN):
        other = copy.deepcopy(WRITTEN)
        *path, last = name.split("/")
        group: Any = other
        for part in path:
            group = group[int(part)] if isinstance(group, list) else group[part]
        key = int(last) if isinstance(group, list) else last
        group[key] = "other" if isinstance(value, str) else value * 1.01 + 0.01
        assert len(run_problems(WRITTEN, other)) == 2, name
