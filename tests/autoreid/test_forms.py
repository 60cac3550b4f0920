"""The forms of one computation give one result but for rounding, and each can be chosen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from functorch.compile import nop
from torch import Tensor, nn
from torch._dynamo.backends.common import aot_autograd
from torch._dynamo.exc import TorchDynamoException

from autoreid import forms
from autoreid.building import remarks
from autoreid.data.source import DataSource
from autoreid.execution import Execution
from autoreid.feed import Batches, PreparedData
from autoreid.forms import compiled, compiler_problem, place
from autoreid.jobs import train_job
from autoreid.models.assembly import build_network, build_supernet, initialise
from autoreid.optimisation import build_optimizer, restore_optimizer
from autoreid.published import CDNET_SEARCH, CDNET_TRAIN
from autoreid.recipes import Neck, Optimizer
from autoreid.running import run_job
from autoreid.searching import SearchRun
from autoreid.storage import Storage
from autoreid.training import TrainRun
from autoreid.validation import score_in_supernet
from autoreid.values import override
from search_spaces.macro import Macro
from search_spaces.published import PUBLISHED
from search_spaces.space import Supernet

CPU = torch.device("cpu")
FAST = Execution(device="cpu", threads=1)
PLAIN = replace(FAST, memory_format="contiguous", optimizers="plain", supernet="plain", prefetch=False)
# What float32 forms may differ by: this share of a tensor's norm, and so much in each value, for there are
# tensors whose true values are 0, as the gradient of a bias before a batch norm.
SHARE, ROUNDING = 1e-3, 1e-5
CDNET = PUBLISHED["cdnet-top2"]
SMALL: dict[str, Any] = {
    "height": 64,
    "width": 32,
    "width_multiplier": 0.1,
    "batch": {"identities": 4, "images": 2},
    "epochs": 2,
}
RATE = {"optimizer.learning_rate": 1e-4}
SEARCH = override(CDNET_SEARCH, SMALL | RATE | {"space": "cs-v1", "split.held_out": 2})
TRAIN = override(CDNET_TRAIN, SMALL | RATE)
WAITS = ("item", "tolist", "cpu", "numpy", "nonzero", "__bool__", "__int__", "__float__", "__index__")


def search(data: PreparedData, execution: Execution, **changes: Any) -> SearchRun:
    recipe = override(SEARCH, changes)
    return SearchRun(recipe, data, split_seed=0, search_seed=0, execution=execution)


def train(data: PreparedData, execution: Execution) -> TrainRun:
    return TrainRun(TRAIN, CDNET, data, train_seed=0, execution=execution)


def agree(found: Tensor, expected: Tensor) -> None:
    """Equal but for rounding."""
    apart, norm = (found - expected).norm().item(), expected.norm().item()
    assert apart <= SHARE * norm + ROUNDING * expected.numel() ** 0.5, (apart, norm)


def three_steps(run: SearchRun | TrainRun) -> list[Tensor]:
    """What three steps report, and the weights and alphas that they lead to. Each step of a search has other
    branches than the one before."""
    run.model.train()
    reported = []
    for step in range(3):
        if isinstance(run, SearchRun):
            with torch.no_grad():
                for number, alpha in enumerate(run.alphas.values()):
                    alpha[(number + 2 * step) % len(alpha)] += 1
        reported.append(run._step(step))
    alphas = run.alphas.values() if isinstance(run, SearchRun) else ()
    return [*reported, *(tensor.detach() for tensor in (*run.model.state_dict().values(), *alphas))]


@pytest.mark.parametrize("build", [search, train])
@pytest.mark.parametrize("field", ["memory_format", "optimizers", "supernet", "all of them"])
def test_three_steps_of_every_form_agree(
    small_data: PreparedData, build: Callable[[PreparedData, Execution], Any], field: str
) -> None:
    other = PLAIN if field == "all of them" else replace(FAST, **{field: getattr(PLAIN, field)})
    for found, expected in zip(
        three_steps(build(small_data, FAST)), three_steps(build(small_data, other)), strict=True
    ):
        agree(found.double(), expected.double())


@pytest.mark.parametrize("name", ["channels_last", "contiguous"])
def test_a_placed_network_computes_in_its_memory_format(name: Any) -> None:
    """Outputs and gradients agree, whatever the order that the images come in."""
    torch.manual_seed(0)
    model = build_network(CDNET, Neck(), 10, Macro(width_multiplier=0.1))
    initialise(model, torch.Generator().manual_seed(0))
    images = torch.randn(4, 3, 64, 32)
    expected = [branch.logits for branch in model(images)]
    sum(logits.square().sum() for logits in expected).backward()
    gradients = [parameter.grad.clone() for parameter in model.parameters() if parameter.grad is not None]
    model.zero_grad()

    placed = place(model, CPU, Execution(memory_format=name))
    assert placed is model
    maps = placed.backbone(images)
    assert maps.last.is_contiguous(memory_format=forms.LAYOUTS[name])
    found = [branch.logits for branch in placed.neck.branches(maps)]
    sum(logits.square().sum() for logits in found).backward()
    for one, other in zip(found, expected, strict=True):
        agree(one.detach(), other.detach())
    moved = [parameter.grad for parameter in placed.parameters() if parameter.grad is not None]
    for one, other in zip(moved, gradients, strict=True):
        agree(one, other)


@pytest.mark.parametrize("name", ["channels_last", "contiguous"])
def test_batches_come_in_the_memory_format_of_the_execution(small_data: PreparedData, name: Any) -> None:
    execution = replace(FAST, memory_format=name)
    found = search(small_data, execution)
    for batches in (found.train, found.held_out, found.probes, train(small_data, execution).batches):
        assert batches.batch(0)[0].is_contiguous(memory_format=forms.LAYOUTS[name])


@pytest.mark.parametrize("wanted", ["fused", "plain"])
def test_the_supernet_is_arranged_as_the_execution_says(
    small_data: PreparedData, monkeypatch: pytest.MonkeyPatch, wanted: Any
) -> None:
    told: list[dict[str, bool]] = []
    monkeypatch.setattr(Supernet, "arrange", lambda _self, **how: told.append(how))
    execution = replace(FAST, supernet=wanted, recompute=True)
    run = search(small_data, execution)
    weights = run.model.state_dict()
    score_in_supernet(
        run.recipe, run.space.derive(run.alphas), weights, small_data, split_seed=0, execution=execution
    )
    assert told == 2 * [{"fused": wanted == "fused", "recompute": True}]


@pytest.mark.parametrize("kind", ["sgd", "adam", "amsgrad"])
@pytest.mark.parametrize(("before", "after"), [(True, False), (False, True), (True, True)])
def test_an_optimizer_continues_in_its_own_form(kind: Any, before: bool, after: bool) -> None:
    """One parameter had no gradient yet when the state was taken."""

    def moved(fused: bool, then: bool) -> list[Tensor]:
        weights = [torch.ones(3, requires_grad=True), torch.ones(2, requires_grad=True)]
        recipe = Optimizer(name=kind, learning_rate=0.1, weight_decay=0.1)
        optimizer = build_optimizer(recipe, weights, fused=fused)
        weights[0].grad = torch.tensor([1.0, -2.0, 0.5])
        optimizer.step()
        second = build_optimizer(recipe, weights, fused=then)
        restore_optimizer(second, optimizer.state_dict())
        assert {group["fused"] for group in second.param_groups} == {then}
        for weight in weights:
            weight.grad = torch.full_like(weight, 0.25)
        for _ in range(2):
            second.step()
        return [weight.detach() for weight in weights]

    for found, expected in zip(moved(before, after), moved(False, False), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-7)


def waits(monkeypatch: pytest.MonkeyPatch, *parts: Batches) -> list[str]:
    """The names of what makes the host wait for a tensor, as they are called; batches are left out."""
    seen: list[str] = []
    for batches in parts:
        ready = {step: batches.batch(step) for step in range(3)}
        monkeypatch.setattr(batches, "batch", ready.__getitem__)

    def noting(name: str, called: Callable[..., Any]) -> Callable[..., Any]:
        def noted(*given: Any, **how: Any) -> Any:
            seen.append(name)
            return called(*given, **how)

        return noted

    for name in WAITS:
        monkeypatch.setattr(Tensor, name, noting(name, getattr(Tensor, name)))
    return seen


@pytest.mark.parametrize(("k", "expected"), [(2, ["tolist"]), ("all", [])])
def test_a_search_step_copies_the_alphas_to_the_host_once(
    small_data: PreparedData, monkeypatch: pytest.MonkeyPatch, k: Any, expected: list[str]
) -> None:
    run = search(small_data, FAST, k=k)
    run.model.train()
    seen = waits(monkeypatch, run.train, run.held_out)
    for step in range(3):
        run._step(step)
    assert seen == 3 * expected


def test_a_training_step_waits_for_nothing(small_data: PreparedData, monkeypatch: pytest.MonkeyPatch) -> None:
    run = train(small_data, FAST)
    run.model.train()
    seen = waits(monkeypatch, run.batches)
    for step in range(3):
        run._step(step)
    assert seen == []


def test_both_updates_of_a_step_take_the_same_choice(
    small_data: PreparedData, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, seen = search(small_data, FAST), []
    network = run.network

    def noting(images: Tensor, branches: Any) -> Any:
        seen.append(branches)
        return network(images, branches)

    run.network = noting
    run._step(0)
    of_weights, of_alphas = seen
    for place_, branches in of_weights.items():
        assert branches.indices == of_alphas[place_].indices
        assert torch.equal(branches.weights, of_alphas[place_].weights)
        assert not branches.weights.requires_grad
        assert of_alphas[place_].weights.requires_grad


def test_without_a_compiler_a_run_goes_on_and_its_log_says_so(
    small_data: PreparedData, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forms, "compiler_problem", lambda _device: "InductorError: no compiler found")
    run = train(small_data, replace(FAST, compile=True))
    assert remarks(run) == [
        "compile: the network runs uncompiled, for nothing can be compiled here (InductorError: no compiler "
        "found)"
    ]
    agree(run._step(0), train(small_data, FAST)._step(0))


@pytest.mark.parametrize("forms_of", [{"supernet": "plain"}, {"recompute": True}])
def test_a_supernet_with_one_form_says_so_where_another_is_asked_for(
    small_data: PreparedData, forms_of: dict[str, Any]
) -> None:
    (words,) = remarks(search(small_data, replace(FAST, **forms_of)))
    assert "has one form" in words
    assert build_supernet("cs-v1", Neck(name="blneck"), 4).supernet.has_forms is False
    assert build_supernet("reid-v1", Neck(name="blneck"), 4, Macro(channels=4)).supernet.has_forms is True


def test_a_search_by_some_branches_runs_uncompiled_and_says_so(small_data: PreparedData) -> None:
    run = search(small_data, replace(FAST, compile=True))
    assert run.network is run.model
    (words,) = remarks(run)
    assert "change" in words
    assert remarks(search(small_data, FAST)) == []


def compiling(monkeypatch: pytest.MonkeyPatch, call: Callable[..., Any]) -> None:
    """torch.compile makes `call` of a model, which is its first argument from then on."""
    monkeypatch.setattr(forms, "compiler_problem", lambda _device: None)
    monkeypatch.setattr(torch, "compile", lambda model, **_how: partial(call, model))


def test_what_cannot_be_compiled_after_all_runs_uncompiled_and_says_so(
    small_data: PreparedData, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def fails(*_given: Any) -> None:
        calls.append(1)
        raise TorchDynamoException("LoweringException: bmm\n  and how it came to that")

    compiling(monkeypatch, fails)
    run, plain = train(small_data, replace(FAST, compile=True)), train(small_data, FAST)
    assert remarks(run) == []
    for step in range(2):
        assert torch.equal(run._step(step), plain._step(step))
    assert calls == [1]
    assert remarks(run) == [
        "compile: the network runs uncompiled, for it cannot be compiled (TorchDynamoException: "
        "LoweringException: bmm)"
    ]


def test_what_is_found_in_an_epoch_is_in_the_log(
    tmp_path: Path,
    small_source: DataSource,
    small_data: PreparedData,
    cache: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fails(*_given: Any) -> None:
        raise TorchDynamoException("no such kernel")

    compiling(monkeypatch, fails)
    job, storage = train_job(TRAIN, small_data.fingerprint, CDNET, train_seed=0), Storage(tmp_path)
    list(run_job(job, storage, small_source, replace(FAST, compile=True), cache))
    (attempt,) = storage.job(job.id).attempts()
    log = attempt.folder.read("log.txt").decode()
    assert log.count("cannot be compiled (TorchDynamoException: no such kernel)") == 1


def test_other_errors_of_a_compiled_network_are_its_own(
    small_data: PreparedData, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_given: Any) -> None:
        raise torch.OutOfMemoryError("no memory")

    compiling(monkeypatch, fails)
    run = train(small_data, replace(FAST, compile=True))
    with pytest.raises(torch.OutOfMemoryError):
        run._step(0)
    assert remarks(run) == []


def test_a_compiled_network_takes_no_gradients_of_its_weights_for_the_alphas(
    small_data: PreparedData, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def noted(model: nn.Module, *given: Any) -> Any:
        seen.append({parameter.requires_grad for parameter in model.parameters()})
        return model(*given)

    compiling(monkeypatch, noted)
    run = search(small_data, replace(FAST, compile=True), k="all")
    plain = search(small_data, FAST, k="all")
    for step in range(2):
        assert torch.equal(run._step(step), plain._step(step))
    assert seen == 2 * [{True}, {False}]
    assert all(parameter.requires_grad for parameter in run.model.parameters())
    for place_, alpha in run.alphas.items():
        assert torch.equal(alpha, plain.alphas[place_])


@pytest.mark.slow
@pytest.mark.parametrize("way", ["fw_compiler", "bw_compiler"])
def test_a_failing_compiler_is_found_in_the_first_call_either_way(
    small_data: PreparedData, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    """torch itself leaves the way back to the first gradient."""

    def fails(*_given: Any) -> None:
        raise ValueError("no such kernel")

    backend = aot_autograd(**{"fw_compiler": nop, "bw_compiler": nop, way: fails})
    monkeypatch.setattr(forms, "COMPILED", {"dynamic": False, "backend": backend})
    torch.compiler.reset()
    run, plain = train(small_data, replace(FAST, compile=True)), train(small_data, FAST)
    for step in range(2):
        agree(run._step(step), plain._step(step))
    (words,) = remarks(run)
    assert "no such kernel" in words
    assert run.network.call is run.model


@pytest.mark.slow
def test_a_missing_compiler_is_found_by_trying() -> None:
    torch.compiler.reset()
    with torch._inductor.config.patch({"cpp.cxx": ("no-such-compiler",)}):
        assert "no-such-compiler" in (compiler_problem(CPU) or "")
    assert torch._inductor.config.cpp.cxx != ("no-such-compiler",)


@pytest.mark.slow
def test_a_compiled_network_has_the_same_weights_and_draws_the_same_dropout() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(
        *(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout(0.5)),
        *(nn.Flatten(), nn.Linear(288, 4)),
    )
    notes: list[str] = []
    names = list(model.state_dict())
    network = compiled(model, replace(FAST, compile=True), notes.append)
    assert notes == []
    assert network is not model
    assert list(model.state_dict()) == names
    images, outputs = torch.randn(4, 3, 8, 8), []
    for call in (network, model):
        torch.manual_seed(1)
        model.zero_grad()
        logits = call(images)
        logits.square().sum().backward()
        outputs.append([logits.detach(), *(parameter.grad.clone() for parameter in model.parameters())])
    for found, expected in zip(*outputs, strict=True):
        agree(found, expected)


def test_the_supernet_of_a_space_without_forms_takes_any() -> None:
    supernet = build_supernet("cs-v1", Neck(name="blneck"), 4, Macro(width_multiplier=0.1)).supernet
    before = {name: tensor.clone() for name, tensor in supernet.state_dict().items()}
    supernet.arrange(fused=False, recompute=True)
    assert all(torch.equal(tensor, before[name]) for name, tensor in supernet.state_dict().items())
