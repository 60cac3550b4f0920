from __future__ import annotations

import base64
import io
import re
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from alpha_rows import alpha_rows
from drawn_shapes import SVG, texts
from PIL import Image

from analysis.alpha_maps import MOST_EPOCHS, MOST_PLACES, draw_alphas, panels, shown_epochs
from analysis.heat_maps import NUMBERED, PIXELS, STRONGEST, HeatMap, draw_map
from search_spaces.genotype import Genotype
from search_spaces.places import NONE
from search_spaces.published import PUBLISHED

HOSTILE = '<script>alert(1)</script> & "quotes" \x00'


def images(svg: str) -> list[np.ndarray]:
    """The opacities of all images of a drawing, 0 to 1: arrays (rows, columns), one value for each share."""
    found = []
    for data in re.findall(r'href="data:image/png;base64,([^"]+)"', svg):
        pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))
        found.append(pixels[::PIXELS, ::PIXELS, 3] / 255)
    return found


def heat(rows: int, columns: int, texts: bool = True) -> HeatMap:
    shares = np.linspace(0, 1, rows * columns).reshape(rows, columns)
    labels = tuple(tuple(f"{value:.2f}" for value in row) for row in shares) if texts else ()
    names = tuple(f"c{n}" for n in range(columns))
    return HeatMap(tuple(f"r{n}" for n in range(rows)), names, shares, labels, frozenset({2}))


def test_a_small_map_has_a_number_in_every_cell_and_its_tint_is_its_share() -> None:
    found = heat(3, 4)
    svg = draw_map(found, "small")
    assert not images(svg) and svg == draw_map(found, "small")
    assert texts(svg)[1:5] == ["c0", "c1", "c2", "c3"]
    assert [text for text in texts(svg) if "." in text] == [t for row in found.texts for t in row]
    tints = [float(rect.get("fill-opacity", 0)) for rect in ElementTree.fromstring(svg).iter(f"{SVG}rect")]
    assert tints == pytest.approx([STRONGEST * share for share in found.shares.ravel()], abs=0.006)


def test_a_large_map_is_an_image_and_small() -> None:
    found = heat(40, NUMBERED + 24, texts=False)
    svg = draw_map(found, "large")
    first, second = images(svg)
    assert (first.shape, second.shape) == ((2, 40), (38, 40))
    assert np.allclose(np.vstack([first, second]), found.shares, atol=0.003)
    assert len(svg) < 20_000


def test_a_map_of_hostile_names_and_gaps() -> None:
    shares = np.array([[np.nan, 0.5]])
    svg = draw_map(HeatMap((HOSTILE,), (HOSTILE, "b"), shares, (("", HOSTILE),)), HOSTILE)
    root = ElementTree.fromstring(svg)
    assert not list(root.iter(f"{SVG}script"))
    tints = [rect.get("fill-opacity") for rect in root.iter(f"{SVG}rect")]
    assert tints == [None, f"{0.5 * STRONGEST:.2f}".rstrip("0")]
    large = HeatMap(("a",), tuple(map(str, range(30))), np.full((1, 30), np.nan))
    assert images(draw_map(large, "t"))[0].max() == 0


@pytest.mark.parametrize("name", ["cdnet-top1", "darts-v2-net"])
def test_every_place_of_a_search_is_a_map_of_options_by_epochs(name: str) -> None:
    genotype = PUBLISHED[name]
    rows = alpha_rows(genotype, "j", "a", 0, epochs=7)
    svg = draw_alphas(rows, genotype, "alphas")
    assert svg == draw_alphas(rows, genotype, "alphas")
    _, *found = images(svg)  # the first is the legend's
    weights = panels(rows, genotype)
    assert len(found) == len(weights) == rows["place"].nunique()
    scale = max(rows["weight"].max(), 2 / rows.groupby("place")["option"].nunique().max())
    ordered = sorted(found, key=lambda image: image.tobytes())
    expected = sorted(
        (np.round(255 * p.weights / scale) / 255 for p in weights.values()), key=np.ndarray.tobytes
    )
    assert np.allclose(ordered, expected, atol=0.005)
    place = rows["place"].iloc[0]
    naive = rows[rows["place"] == place].pivot(index="option", columns="epoch", values="weight")
    assert np.allclose(weights[place].weights, naive.loc[list(weights[place].options)])


def test_the_options_of_the_genotype_are_marked() -> None:
    """A triangle for every choice that is kept: 16 of two cells, 6 of a chain."""
    for name, count in (("darts-v2-net", 16), ("cdnet-top1", 6)):
        genotype = PUBLISHED[name]
        svg = draw_alphas(alpha_rows(genotype, "j", "a", 0), genotype, "alphas")
        assert svg.count("l6 -4v8z") == count
        bold = [
            t for t in re.findall(r'font-weight="600">([^<]+)<', svg) if "cell" not in t and t != "alphas"
        ]
        kept = [place for place, option in genotype.choices if option != NONE]
        assert len(bold) == len(kept) == count


def test_a_search_of_many_places_and_epochs_stays_small() -> None:
    """14 edges of two cells, 8 operations, 60 epochs: 13,440 weights."""
    genotype = PUBLISHED["darts-v2-net"]
    assert len(draw_alphas(alpha_rows(genotype, "j", "a", 0, epochs=60), genotype, "alphas")) < 60_000
    rows = pd.DataFrame(
        [
            {"epoch": epoch, "place": f"place {n}", "option": option, "weight": 0.5}
            for epoch in range(1, 11)
            for n in range(300)
            for option in "xy"
        ]
    )
    other = Genotype.of("mine-v1", {f"place {n}": "x" for n in range(300)})
    svg = draw_alphas(rows, other, HOSTILE)
    assert f"and {300 - MOST_PLACES} more places" in texts(svg) and len(svg) < 60_000
    assert len(images(svg)) == 1 + MOST_PLACES


def test_many_epochs_are_drawn_evenly_with_the_first_and_the_last() -> None:
    assert shown_epochs(pd.DataFrame({"epoch": [3, 1, 2, 1]})) == [1, 2, 3]
    found = shown_epochs(pd.DataFrame({"epoch": range(1, 1001)}))
    assert len(found) == len(set(found)) == MOST_EPOCHS and (found[0], found[-1]) == (1, 1000)


def test_a_weight_that_is_missing_is_no_tint_and_names_are_escaped() -> None:
    rows = pd.DataFrame(
        {"epoch": [1, 2, 2], "place": HOSTILE, "option": ["x", "x", HOSTILE], "weight": [1.0, 0.4, 0.6]}
    )
    svg = draw_alphas(rows, Genotype.of("mine-v1", {HOSTILE: HOSTILE}), HOSTILE)
    assert not list(ElementTree.fromstring(svg).iter(f"{SVG}script"))
    assert np.allclose(images(svg)[1], [[1.0, 0.4], [0.0, 0.6]], atol=0.003)
