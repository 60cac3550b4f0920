"""How large a network is built, and its neck, in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from autoreid.recipes import Neck
from autoreid.values import plain
from search_spaces.genotype import Genotype
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


def described(genotype: Genotype, neck: Neck, height: int, width: int, macro: Macro) -> dict[str, Any]:
    """What else than its architecture makes a network larger or smaller at inference, as JSON values: its
    images, its neck, its sizes; None for what it does not have."""
    return {
        "height": height,
        "width": width,
        "neck": neck.name,
        "stripes": neck.stripes if neck.name == "fblneck" else None,
        "feature": neck.feature if neck.name == "embedding" else None,
        **sizes_of(genotype.space, macro),
        "stem": macro.stem,
    }


def described_text(row: Mapping[str, Any]) -> str:
    """What `described` gives, in words.

    >>> from search_spaces.published import PUBLISHED
    >>> described_text(described(PUBLISHED["cdnet-top2"], Neck(), 256, 128, Macro()))
    'images of 256 x 128; neck fblneck, 2 stripes; width multiplier 1'
    """
    parts = [f"images of {row['height']} x {row['width']}", f"neck {_neck_text(row)}", sizes_text(row)]
    parts += ["stem cifar"] if row["stem"] == "cifar" else []
    return "; ".join(filter(None, parts))


def difference_text(rows: Sequence[Mapping[str, Any]]) -> str:
    """In what else than architectures networks differ, by what `described` gives; empty where in nothing."""
    values: dict[str, set[Any]] = {
        "the size of images": {(row["height"], row["width"]) for row in rows},
        "the neck": {_neck_text(row) for row in rows},
        **{
            f"the {name.replace('_', ' ')}": {number_text(row[name]) for row in rows if row[name]}
            for name in SIZES
        },
        "the stem": {row["stem"] for row in rows},
        "the number of identities": {row.get("identities") for row in rows},  # where classifiers are counted
    }
    apart = [name for name, found in values.items() if len(found) > 1]
    if not apart:
        return ""
    listed = " and ".join(filter(None, (", ".join(apart[:-1]), apart[-1])))
    return f"These networks differ in {listed}: the figures are not those of the architectures alone."


def _neck_text(row: Mapping[str, Any]) -> str:
    return neck_text(Neck(name=row["neck"], stripes=row["stripes"] or 0, feature=row["feature"] or "f"))
