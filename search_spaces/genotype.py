"""A genotype: which option a search chose at every place of a space. Free of torch."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from search_spaces.errors import InputError

VERSION = 1


@dataclass(frozen=True, slots=True)
class Genotype:
    """The choice made at every place of a search space, by name.

    `space` is a versioned id such as `cds-v1`; `choices` are (place, option) pairs, sorted by place. Whether
    they fit the space is the space's to say (`SPACES[space].check(genotype)`).

    >>> genotype = Genotype.of("cs-v1", {"mblock2": "(7,9)", "mblock1": "(3,5)"})
    >>> str(genotype)
    'cs-v1: mblock1=(3,5) mblock2=(7,9)'
    >>> Genotype.from_json(genotype.to_json()) == genotype
    True
    """

    space: str
    choices: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, space: str, choices: Mapping[str, str]) -> Genotype:
        return cls(space, tuple(sorted(choices.items())))

    def __getitem__(self, place: str) -> str:
        return dict(self.choices)[place]

    def __str__(self) -> str:
        chosen = (f"{place}={option}" for place, option in self.choices if option != "none")
        return f"{self.space}: " + " ".join(chosen)

    def plain(self) -> dict[str, Any]:
        """The genotype as plain JSON values."""
        return {"version": VERSION, "space": self.space, "choices": dict(self.choices)}

    def to_json(self) -> str:
        """Canonical JSON: sorted keys, no spaces, version included."""
        return json.dumps(self.plain(), sort_keys=True, separators=(",", ":"), ensure_ascii=True)

    @property
    def digest(self) -> str:
        """12 hexadecimal digits of the SHA-256 of the canonical JSON."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()[:12]

    @classmethod
    def from_plain(cls, plain: object, place: str = "genotype") -> Genotype:
        """Read plain JSON values; every mistake is an `InputError` that starts with `place`."""
        if not isinstance(plain, dict):
            raise InputError(f"{place}: a genotype is a JSON object, not {type(plain).__name__}.")
        missing = [key for key in ("version", "space", "choices") if key not in plain]
        if missing:
            raise InputError(
                f"{place}: missing {', '.join(missing)}. A genotype has version, space, choices."
            )
        if plain["version"] != VERSION:
            raise InputError(
                f"{place}: version {plain['version']!r} of the genotype format; this release reads "
                f"{VERSION}. Use the release that wrote it, or a newer one."
            )
        choices = plain["choices"]
        if not isinstance(choices, dict) or not all(isinstance(option, str) for option in choices.values()):
            raise InputError(f"{place}: choices must map the name of a place to the name of an option.")
        if not isinstance(plain["space"], str):
            raise InputError(f"{place}: space must be a name such as 'cds-v1'.")
        return cls.of(plain["space"], choices)

    @classmethod
    def from_json(cls, text: str, place: str = "genotype") -> Genotype:
        """Read what `to_json` wrote."""
        try:
            plain = json.loads(text)
        except json.JSONDecodeError as error:
            raise InputError(f"{place}:{error.lineno}: not JSON: {error.msg}.") from None
        return cls.from_plain(plain, place)
