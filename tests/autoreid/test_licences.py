"""Licences of weights: SPDX's well-known identifiers, and names of one's own."""

from __future__ import annotations

import pytest

from autoreid.errors import InputError
from autoreid.licences import KNOWN, check_licence


@pytest.mark.parametrize(
    "licence",
    [
        None,
        *KNOWN,
        "LicenseRef-Ours.v2",
        "MIT OR (Apache-2.0 AND (BSD-3-Clause OR LicenseRef-Ours))",
        "(CC-BY-4.0)",
        "((MIT) AND ISC)",
    ],
)
def test_what_is_known_and_what_is_ones_own(licence: str | None) -> None:
    check_licence(licence)


@pytest.mark.parametrize(
    ("licence", "words"),
    [
        ("CC-BY-9", "no licence 'CC-BY-9'. Did you mean 'CC-BY-"),
        ("GPL-3.0", "no licence 'GPL-3.0'. Did you mean 'GPL-3.0-o"),
        ("mit", "no licence 'mit'."),
        ("", "no licence ''."),
        ("MIT OR", "no licence 'MIT OR'."),
        ("MIT and Apache-2.0", "no licence 'MIT and Apache-2.0'."),
        ("(MIT OR Apache-2.0", "no licence '(MIT'."),
        ("CC-BY(-4.0)", "no licence 'CC-BY(-4.0)'."),
        ("MIT()", "no licence 'MIT()'."),
        ("(MIT)(ISC)", "no licence '(MIT)(ISC)'."),
        ("MIT OR CC-BY-9", "no licence 'CC-BY-9'."),
        ("LicenseRef-", "no licence 'LicenseRef-'."),
        ("LicenseRef-a b", "no licence 'LicenseRef-a b'."),
    ],
)
def test_anything_else_is_refused(licence: str, words: str) -> None:
    with pytest.raises(InputError) as error:
        check_licence(licence)
    assert str(error.value).startswith(f"--licence: {words}")
    assert str(error.value).endswith("or LicenseRef-NAME for any other licence.")
