"""Junk shows nobody, and distractors are people that nobody names: neither is anyone's match."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from autoreid.gallery.images import find_images
from autoreid.gallery.searching import _verdict


def test_junk_has_no_identity_whichever_way_it_is_read(tmp_path: Path) -> None:
    folder = tmp_path / "crops"
    folder.mkdir()
    for name in ("0002_c1s1_000051_01.jpg", "0000_c2s1_000051_01.jpg", "-1_c3s1_000051_01.jpg"):
        Image.new("RGB", (8, 16)).save(folder / name)
    identities = {image.name: image.said.identity for image in find_images([str(folder)])}
    assert identities == {
        "-1_c3s1_000051_01.jpg": None,
        "0000_c2s1_000051_01.jpg": 0,
        "0002_c1s1_000051_01.jpg": 2,
    }


@pytest.mark.parametrize(
    ("query", "match", "verdict"),
    [
        (7, 7, "right"),
        (7, 8, "wrong"),
        (7, 0, "wrong"),
        (0, 7, "wrong"),
        (0, 0, None),
        (-1, -1, None),
        (7, -1, None),
        (None, 7, None),
        (7, None, None),
    ],
)
def test_only_named_people_are_told_right(query: int | None, match: int | None, verdict: str | None) -> None:
    assert _verdict(query, match) == verdict
