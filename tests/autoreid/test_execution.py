"""How single runs are told to run."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import pytest

from autoreid.calls import pretrain, search, train
from autoreid.data.source import DataSource
from autoreid.errors import InputError
from autoreid.execution import Execution
from autoreid.published import CDNET_SEARCH, CDNET_TRAIN
from autoreid.run_flags import add_data_flags, execution_of
from search_spaces.published import PUBLISHED


def told(*arguments: str) -> Execution:
    parser = argparse.ArgumentParser()
    add_data_flags(parser)
    return execution_of(parser.parse_args(["--data", "rendered", *arguments]))


def test_fields_are_set_by_name_and_flags_come_last() -> None:
    assert told() == Execution()
    fields = ("supernet=plain", "recompute=true", "device=cpu")
    found = told(*(word for field in fields for word in ("--execution", field)))
    assert found == Execution(device="cpu", supernet="plain", recompute=True)
    assert told("--execution", "threads=3", "--threads", "2") == Execution(threads=2)
    assert told("--execution", "threads=3") == Execution(threads=3)


def test_all_mistakes_are_told_at_once() -> None:
    with pytest.raises(InputError) as caught:
        fields = ("supernet=slow", "threads=-1", "evaluation_memory=lots", "device=tpu")
        told(*(word for field in fields for word in ("--execution", field)))
    starts = [problem.split(":")[0] for problem in caught.value.problems]
    assert starts == [f"--execution {field.split('=')[0]}" for field in fields]


def test_only_forms_are_named_as_forms() -> None:
    assert Execution(device="cpu", threads=2, workers=3).forms() == "default"
    assert Execution(deterministic=True, prefetch=False).forms() == "prefetch=false deterministic=true"


def test_a_public_call_tells_all_that_it_cannot_take(tmp_path: Path) -> None:
    """Fields that were given to a class itself, and values of other classes."""
    source = DataSource(set="rendered")
    execution = Execution(memory_format="nhwc", threads=-1)  # type: ignore[arg-type]
    with pytest.raises(InputError) as caught:
        train(replace(CDNET_TRAIN, epochs=0), "cdnet-top2", "shots", tmp_path / "out", execution=execution)  # type: ignore[arg-type]
    starts = [problem.split(": ")[0] for problem in caught.value.problems]
    assert starts == [
        *("recipe.epochs", "execution.threads", "execution.memory_format"),
        *("genotype", "source"),
    ]
    for changes, place in (
        ({"compile": "false"}, "compile"),
        ({"evaluation_memory": "lots"}, "evaluation_memory"),
    ):
        wrong = replace(Execution(), **changes)
        with pytest.raises(InputError, match=rf"^execution\.{place}: '"):
            train(CDNET_TRAIN, PUBLISHED["cdnet-top2"], source, tmp_path / "out", execution=wrong)
    for changes, words in (
        ({"epochs": "1"}, r"recipe\.epochs: '1' is not of the field's type"),
        ({"batch": {"identities": 2, "images": 2}}, r"recipe\.batch: \{.* is not of the field's type"),
        ({"space": "nope"}, "no space 'nope'"),
        ({"k": 99}, "recipe: k: 99 branches"),
    ):
        with pytest.raises(InputError, match=words):
            search(replace(CDNET_SEARCH, **changes), source, tmp_path / "out")
    with pytest.raises(InputError, match=r"execution: expected Execution, not dict\."):
        search(CDNET_SEARCH, source, tmp_path / "out", execution={})  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"recipe: expected PretrainRecipe, not TrainRecipe\."):
        pretrain(CDNET_TRAIN, PUBLISHED["cdnet-top2"], None, tmp_path / "out")  # type: ignore[arg-type]
    assert not (tmp_path / "out").exists()
