"""How large a network is built, and its neck, in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from autoreid.recipes import Neck
from autoreid.values import plain
from search_spaces.macro import Macro
from search_spaces.registry import find_space

SIZES = ("width_multiplier", "channels", "layers")


def sizes_of(space: str, macro: Macro) -> dict[str, Any]:
    """The sizes of a network of a space, as JSON values; None for those that its networks do not have.

    >>> sizes_of("cds-v1", Macro(width_multiplier=0.25))
    {'width_multiplier': 0.25, 'channels': None, 'layers': None}
    """
    scales = find_space(space).scales
    return {name: plain(getattr(macro, name)) if name in scales else None for name in SIZES}


def sizes_text(sizes: Mapping[str, Any]) -> str:
    """The sizes that there are, of what `sizes_of` gives; empty where there are none.

    >>> sizes_text(sizes_of("cds-v1", Macro())), sizes_text(sizes_of("reid-v1", Macro(channels=32)))
    ('width multiplier 1', 'channels 32, layers 2 2 2 2')
    """
    there = {name: sizes[name] for name in SIZES if sizes[name] is not None}
    return ", ".join(f"{name.replace('_', ' ')} {number_text(value)}" for name, value in there.items())


def number_text(value: Any) -> str:
    """A size, or a list of them.

    >>> number_text(1.0), number_text([2, 2])
    ('1', '2 2')
    """
    return " ".join(map(number_text, value)) if isinstance(value, (list, tuple)) else f"{value:g}"


def neck_text(neck: Neck) -> str:
    """A neck by what of it inference sees.

    >>> neck_text(Neck(name="fblneck")), neck_text(Neck(name="embedding")), neck_text(Neck(name="bnneck"))
    ('fblneck, 2 stripes', 'embedding, f', 'bnneck')
    """
    more = {
        "fblneck": f", {neck.stripes} stripe{'s' * (neck.stripes != 1)}",
        "embedding": f", {neck.feature}",
    }
    return neck.name + more.get(neck.name, "")
