"""How single runs are told to run."""

from __future__ import annotations

import argparse

import pytest

from autoreid.commands import add_data_flags, execution_of
from autoreid.errors import InputError
from autoreid.execution import Execution


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
        told("--execution", "supernet=slow", "--execution", "threads=-1")
    assert len(caught.value.problems) == 2


def test_only_forms_are_named_as_forms() -> None:
    assert Execution(device="cpu", threads=2, workers=3).forms() == "default"
    assert Execution(deterministic=True, prefetch=False).forms() == "prefetch=false deterministic=true"
