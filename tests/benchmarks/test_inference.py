"""The benchmark of inference, on images that are small."""

from __future__ import annotations

import argparse
from dataclasses import replace

import inference
import pytest

from autoreid.latency import Subject


@pytest.fixture(autouse=True)
def small_images(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inference, "HEIGHT", 32)
    monkeypatch.setattr(inference, "WIDTH", 16)
    monkeypatch.setattr(inference, "DISTINCT", 2)
    small = [replace(one, build=replace(one.build, height=32, width=16)) for one in inference.NETWORKS]
    monkeypatch.setattr(inference, "NETWORKS", small)


def test_every_form_of_a_model_is_timed_against_the_plain_one() -> None:
    options = argparse.Namespace(
        device="cpu", images=3, model=["cdnet-top2"], compile=False, rounds=1, short=True
    )
    rows = inference.measure(options)
    assert [row.name.removeprefix("cdnet-top2, ") for row in rows] == [
        *("fp32, contiguous", "fp32, channels_last", "bf16, contiguous", "bf16, channels_last"),
    ]
    assert {row.against for row in rows} == {"cdnet-top2, fp32, contiguous"}
    plain = rows[0]
    assert plain.seconds is not None
    assert plain.extra["images"] == 3
    # One round: the mean of the passes is that pass.
    assert plain.extra["seconds_for_all"] == pytest.approx(plain.seconds * 19_281 / 3)


@pytest.mark.parametrize("network", inference.NETWORKS, ids=lambda network: network.name)
def test_networks_are_those_of_the_latency_command_with_their_necks(network: Subject) -> None:
    assert network.complexity().multiply_adds.inference > 1e6
    assert not network.model().training
