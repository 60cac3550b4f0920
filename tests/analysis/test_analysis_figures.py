from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import matplotlib
import pandas as pd
import pytest
from report_pages import made, section

from analysis import figures
from analysis.figures import COLOURS, GROUNDS, INK, arm_colours, learning_curves, repeats
from analysis.statistics import summarise

SVG = "{http://www.w3.org/2000/svg}"


def epochs(arms: dict[str, int], count: int = 5) -> pd.DataFrame:
    rows = [
        {"arm": arm, "job": f"{arm}{repeat}", "epoch": epoch, "loss": 3.0 - 0.1 * epoch + repeat}
        for arm, repeats_ in arms.items()
        for repeat in range(repeats_)
        for epoch in range(1, count + 1)
    ]
    return pd.DataFrame(rows)


def curves(frame: pd.DataFrame) -> str:
    looks = arm_colours(list(dict.fromkeys(frame["arm"])))
    return learning_curves(frame, "loss", "Training loss", looks, "demo-loss")


def strokes(svg: str) -> list[str]:
    """The colours of the curves: paths with more than two points."""
    found = []
    for path in ElementTree.fromstring(svg).iter(f"{SVG}path"):
        colour = re.search(r"stroke: (#\w+)", path.get("style", ""))
        if colour and path.get("d", "").count("L") >= 4:
            found.append(colour.group(1))
    return found


def luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("colour", COLOURS)
def test_colours_stand_out_on_light_and_on_dark_ground(colour: str) -> None:
    """WCAG 2: graphical objects need a contrast of 3:1."""
    assert min(contrast(colour, ground) for ground in GROUNDS) >= 3


def test_one_line_per_repeat_and_one_colour_per_arm() -> None:
    svg = curves(epochs({"a": 4, "b": 3}))
    assert strokes(svg) == [COLOURS[0]] * 4 + [COLOURS[1]] * 3


def test_equal_data_give_equal_text_without_a_date() -> None:
    svg = curves(epochs({"a": 2, "b": 2}))
    assert curves(epochs({"a": 2, "b": 2})) == svg
    assert "<dc:date>" not in svg and "metadata" not in svg and "<!DOCTYPE" not in svg


def test_a_figure_neither_fetches_nor_shares_ids_with_another() -> None:
    svg = curves(epochs({"a": 2, "b": 1}))
    assert "http" not in svg.replace('xmlns="http://www.w3.org/2000/svg"', "")
    ids = re.findall(r'\bid="([^"]+)"', svg)
    assert len(set(ids)) == len(ids) and all(name.startswith("demo-loss-") for name in ids)
    references = re.findall(r'href="#([^"]+)"|url\(#([^)]+)\)', svg)
    assert references and {a or b for a, b in references} <= set(ids)


def test_ink_takes_the_colour_of_the_page() -> None:
    svg = curves(epochs({"a": 1}))
    assert INK not in svg and "currentColor" in svg and "prefers-color-scheme:dark" in svg


def test_names_are_text_and_never_markup_or_formulas() -> None:
    name = "<script>alert(1)</script> $x^2$ & _"
    svg = curves(epochs({name: 1, "plain": 1}))
    root = ElementTree.fromstring(svg)
    texts = ["".join(text.itertext()) for text in root.iter(f"{SVG}text")]
    assert "<script>alert(1)</script> $x^2$ &…" in texts  # cut for the legend, else as it was
    assert not list(root.iter(f"{SVG}script"))
    summary = {name: summarise([0.1, 0.2])}
    ElementTree.fromstring(repeats(summary, {}, "mAP, %", {name: COLOURS[0]}, "m"))


def test_gaps_are_left_out_and_a_single_epoch_is_a_dot() -> None:
    frame = epochs({"a": 1}, count=1)
    assert "<use " in curves(frame)
    frame.loc[len(frame)] = {"arm": "b", "job": "b0", "epoch": 1, "loss": None}
    assert "b" not in re.findall(r">(\w)</text>", curves(frame))


def test_repeats_are_drawn_as_dots_in_percent() -> None:
    found = {"a": summarise([0.36, 0.39, 0.37, 0.40]), "b": summarise([0.31])}
    svg = repeats(found, {"a": 0.08}, "mAP, %", {"a": COLOURS[0], "b": COLOURS[1]}, "m")
    assert svg == repeats(found, {"a": 0.08}, "mAP, %", {"a": COLOURS[0], "b": COLOURS[1]}, "m")
    uses = [use.get("style", "") for use in ElementTree.fromstring(svg).iter(f"{SVG}use")]
    assert sum(COLOURS[0] in style for style in uses) == 5  # four repeats and their mean
    assert sum(COLOURS[1] in style for style in uses) == 2


def test_fractions_are_drawn_as_percent() -> None:
    frame = pd.DataFrame({"arm": "a", "job": "a0", "epoch": [1, 2], "accuracy": [0.2, 0.6]})
    svg = learning_curves(frame, "accuracy", "Accuracy", arm_colours(["a"]), "a")
    assert ">20%</text>" in svg and ">60%</text>" in svg


def test_a_change_that_does_not_matter_is_drawn_flat_with_plain_numbers() -> None:
    """The entropy of 12 equal options is ln 12 = 2.48491; a billionth of it is no news."""
    entropy = [2.484906649, 2.484906648, 2.484906650]
    frame = pd.DataFrame({"arm": "a", "job": "a0", "epoch": [1, 2, 3], "alpha_entropy": entropy})
    svg = learning_curves(frame, "alpha_entropy", "Alpha entropy", arm_colours(["a"]), "a")
    labels = [text for text in re.findall(r">([^<>\s]+)</text>", svg) if "." in text]
    assert len(labels) >= 3 and all(re.fullmatch(r"2\.4\d{1,4}", label) for label in labels)
    assert max(map(float, labels)) - min(map(float, labels)) > 0.01


def test_an_interval_beyond_what_a_score_can_be_does_not_stretch_the_axis() -> None:
    """Of 8 and 25 the 95% interval is -91 to 124."""
    svg = repeats({"a": summarise([0.08, 0.25])}, {}, "rank-1, %", {"a": COLOURS[0]}, "m")
    ticks = [float(text) for text in re.findall(r">(\d+)</text>", svg)]
    assert ticks and min(ticks) == 0 and max(ticks) == 100 and "\N{MINUS SIGN}" not in svg


def test_a_page_draws_what_is_looked_at(example: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[str] = []

    def note(figure: object, name: str, title: str) -> str:
        drawn.append(name)
        return "<svg/>"

    monkeypatch.setattr(figures, "_to_svg", note)
    pictures = section(made(example), "Results").pictures
    assert len(pictures) == 2 and not drawn
    assert [picture.svg for picture in pictures] == [picture.svg for picture in pictures] == ["<svg/>"] * 2
    assert drawn == [picture.name for picture in pictures]


def test_no_global_state_of_matplotlib_is_touched() -> None:
    before = dict(matplotlib.rcParams)
    curves(epochs({"a": 1}))
    assert dict(matplotlib.rcParams) == before


def test_many_arms_differ_in_colour_or_line() -> None:
    looks = arm_colours([str(i) for i in range(24)])
    assert len(set(looks.values())) == 24


def test_names_in_any_script_stay_text_without_a_warning() -> None:
    svg = repeats({"人物 λ": summarise([0.2, 0.3])}, {}, "mAP, %", {"人物 λ": COLOURS[0]}, "m")
    assert "人物 λ</text>" in svg
