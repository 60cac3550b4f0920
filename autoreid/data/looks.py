"""What the rendered pedestrians wear and carry: a `Look` for every identity.

Colours come from short lists, so that many identities share them and a colour alone tells little. Identities
stand in families of four: about half of a family's members wear the family's colours, and differ only in
pattern, cut, bag, hair and build.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

Colour = tuple[int, int, int]
T = TypeVar("T")

COLOURS: dict[str, Colour] = {
    "black": (30, 30, 34),
    "white": (228, 226, 220),
    "grey": (124, 126, 130),
    "navy": (32, 42, 88),
    "blue": (58, 104, 172),
    "red": (176, 38, 42),
    "green": (50, 104, 62),
    "beige": (192, 168, 128),
    "brown": (100, 68, 46),
    "yellow": (212, 176, 52),
    "purple": (104, 60, 120),
    "pink": (208, 138, 150),
}
UPPER = ("black", "white", "grey", "navy", "blue", "red", "green", "beige", "yellow", "purple", "pink")
LOWER = ("black", "grey", "navy", "blue", "beige", "brown", "white")
BAGS = ("black", "brown", "red", "blue", "beige", "green")
SHOES = ("black", "white", "brown", "red")
SKINS: tuple[Colour, ...] = ((226, 182, 152), (204, 156, 122), (158, 110, 78), (104, 70, 50))
HAIRS: tuple[Colour, ...] = ((26, 22, 22), (66, 42, 28), (142, 96, 48), (196, 160, 98), (150, 148, 146))

PATTERNS = ("plain", "rings", "stripes", "checks", "logo", "two_tone", "open")
CUTS = ("trousers", "trousers", "shorts", "skirt", "long_skirt")
HAIR_CUTS = ("short", "short", "long", "tail", "bald")
HATS = ("none", "none", "none", "cap", "beanie")
BAG_KINDS = ("none", "backpack", "shoulder", "handbag")
FAMILY = 4


@dataclass(frozen=True, slots=True)
class Look:
    """One person's appearance, the same in every picture. Lengths are shares of the body's height."""

    upper: Colour
    accent: Colour
    pattern: str
    pitch: float
    sleeve: float
    hem: float
    lower: Colour
    cut: str
    shoes: Colour
    skin: Colour
    hair: Colour
    hair_cut: str
    hat: str
    hat_colour: Colour
    bag: str
    bag_colour: Colour
    bag_side: int
    stature: float
    girth: float


def _pick(rng: np.random.Generator, options: tuple[T, ...]) -> T:
    return options[int(rng.integers(len(options)))]


def _dye(rng: np.random.Generator, names: tuple[str, ...], other_than: Colour | None = None) -> Colour:
    """A colour of the list; with `other_than`, one that stands out from it in brightness or hue."""
    while True:
        colour = COLOURS[_pick(rng, names)]
        if other_than is None or sum(abs(a - b) for a, b in zip(colour, other_than, strict=True)) > 150:
            return colour


def _draw(rng: np.random.Generator) -> Look:
    upper = _dye(rng, UPPER)
    return Look(
        upper=upper,
        accent=_dye(rng, UPPER, other_than=upper),
        pattern=_pick(rng, PATTERNS),
        pitch=float(rng.uniform(0.045, 0.085)),
        sleeve=_pick(rng, (0.0, 0.45, 1.0, 1.0)),
        hem=float(rng.uniform(0.47, 0.58)),
        lower=_dye(rng, LOWER),
        cut=_pick(rng, CUTS),
        shoes=_dye(rng, SHOES),
        skin=_pick(rng, SKINS),
        hair=_pick(rng, HAIRS),
        hair_cut=_pick(rng, HAIR_CUTS),
        hat=_pick(rng, HATS),
        hat_colour=_dye(rng, BAGS),
        bag=_pick(rng, BAG_KINDS),
        bag_colour=_dye(rng, BAGS),
        bag_side=_pick(rng, (-1, 1)),
        stature=float(rng.uniform(0.9, 1.04)),
        girth=float(rng.uniform(0.82, 1.28)),
    )


def look_of(own: np.random.Generator, family: np.random.Generator) -> Look:
    """The look that two random streams give: the person's own, and the one that the family shares.

    >>> one = look_of(np.random.default_rng(1), np.random.default_rng(7))
    >>> one == look_of(np.random.default_rng(1), np.random.default_rng(7))
    True
    """
    shared = _draw(family)
    look = _draw(own)
    if own.random() < 0.5:
        look = replace(look, upper=shared.upper, accent=shared.accent, lower=shared.lower)
    return look
