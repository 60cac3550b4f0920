"""Licences of weights, as SPDX writes them. Free of torch."""

from __future__ import annotations

import re

from autoreid.errors import InputError, unknown

# Of SPDX's hundreds, those that weights and data sets come under. All others are written LicenseRef-NAME.
KNOWN = (
    "0BSD",
    "AGPL-3.0-only",
    "AGPL-3.0-or-later",
    "Apache-2.0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "CC-BY-3.0",
    "CC-BY-4.0",
    "CC-BY-NC-3.0",
    "CC-BY-NC-4.0",
    "CC-BY-NC-ND-3.0",
    "CC-BY-NC-ND-4.0",
    "CC-BY-NC-SA-3.0",
    "CC-BY-NC-SA-4.0",
    "CC-BY-ND-4.0",
    "CC-BY-SA-3.0",
    "CC-BY-SA-4.0",
    "CC0-1.0",
    "CDLA-Permissive-2.0",
    "CDLA-Sharing-1.0",
    "EUPL-1.2",
    "GPL-2.0-only",
    "GPL-2.0-or-later",
    "GPL-3.0-only",
    "GPL-3.0-or-later",
    "ISC",
    "LGPL-2.1-only",
    "LGPL-2.1-or-later",
    "LGPL-3.0-only",
    "LGPL-3.0-or-later",
    "MIT",
    "MIT-0",
    "MPL-2.0",
    "ODbL-1.0",
    "ODC-By-1.0",
    "PDDL-1.0",
    "Unlicense",
)
OWN = re.compile(r"LicenseRef-[A-Za-z0-9.-]+")
BRACKETS = re.compile(r"(?<![^ (])\(([^()]+)\)(?![^ )])")


def check_licence(licence: str | None) -> None:
    """InputError for what is no SPDX expression of known identifiers and of own ones, LicenseRef-NAME.

    >>> check_licence("MIT OR (Apache-2.0 AND LicenseRef-Ours)")
    >>> check_licence("CC-BY-9")
    Traceback (most recent call last):
    ...
    search_spaces.errors.InputError: --licence: no licence 'CC-BY-9'. Did you mean 'CC-BY-4.0'? Give a ...
    """
    if licence is None:
        return
    plain, found = "", licence
    while found != plain:
        plain, found = found, BRACKETS.sub(r"\1", found)
    for name in re.split(" (?:AND|OR) ", plain):
        if name not in KNOWN and not OWN.fullmatch(name):
            near = unknown("licence", name, KNOWN).partition(" Known: ")[0]
            raise InputError(
                f"--licence: {near} Give a well-known identifier of SPDX, such as CC-BY-NC-4.0, several "
                "joined by AND and OR, or LicenseRef-NAME for any other licence."
            )
