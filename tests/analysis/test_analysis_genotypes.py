from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from xml.etree import ElementTree

import pandas as pd
import pytest
import torch
from alpha_rows import alpha_rows
from drawn_shapes import SVG, outside, struck, texts
from fake_storage import ARMS
from report_pages import grid, section

from analysis.distances import expected_agreement
from analysis.found import MOST_ROWS, groups
from analysis.genotypes import MOST_ALPHAS, MOST_ARMS, genotypes
from analysis.pages import Page, Records, Section
from search_spaces.genotype import Genotype
from search_spaces.places import NONE, PLACES
from search_spaces.published import PUBLISHED
from search_spaces.registry import SPACES

FIRST, SECOND = ARMS
HOSTILE = "<img src=x onerror=alert(1)> & \x00"


@pytest.fixture
def records(example: Path) -> Records:
    return Records.read(example, "two-arms")


def row(arm: str, repeat: int, genotype: Genotype, **changes: object) -> dict[str, object]:
    return {
        **{"arm": arm, "repeat": repeat, "kind": "search", "job": f"{arm} {repeat}", "found_by": "search"},
        **{
            "space": genotype.space,
            "genotype": genotype.digest,
            "choices": json.dumps(dict(genotype.choices)),
        },
        **{"selected": None, "seed_search": repeat},
        **changes,
    }


def with_rows(records: Records, rows: list[dict[str, object]], alphas: pd.DataFrame | None = None) -> Records:
    """A campaign that found these genotypes."""
    trials = pd.DataFrame([{name: one[name] for name in ("arm", "repeat", "kind", "job")} for one in rows])
    kept = records.alphas.iloc[:0] if alphas is None else alphas
    return dataclasses.replace(records, trials=trials, genotypes=pd.DataFrame(rows), alphas=kept)


def found_in(records: Records) -> Section:
    found = genotypes(records, "p")
    assert found is not None
    return found


def titled(found: Section, title: str) -> tuple[tuple[str, ...], ...]:
    (rows,) = [one.rows for one in found.grids if one.title == title]
    return rows


def names(found: Section) -> list[str]:
    return [picture.name.removeprefix("p--genotypes-") for picture in found.pictures]


def random_genotypes(space: str, count: int) -> list[Genotype]:
    generator = torch.Generator().manual_seed(1)
    return [SPACES[space].sample(generator) for _ in range(count)]


def test_the_example_has_its_genotypes_drawn_and_judged(example_page: Page) -> None:
    """Repeats of the example differ in every place: 6 options, moved on by one from repeat to repeat."""
    found = section(example_page, "Genotypes")
    assert [p.name.split("genotypes-")[1] for p in found.pictures if "alphas" not in p.name] == [
        *("1", "1-consensus", "1-choices", "2", "2-consensus", "2-choices", "distances-1")
    ]
    rows = grid(example_page, "Genotypes", "Agreement").rows
    assert rows[0][:5] == (FIRST, "4", "4", "0.0", "8.3") and rows[0][6] == "1.0"
    # Of the 8 pairs between the arms, two are of equal genotypes.
    between = grid(example_page, "Genotypes", "Distances between arms").rows
    assert between == ((FIRST, "1.00", "0.75"), (SECOND, "0.75", "1.00"))


def test_every_picture_is_whole_and_has_its_table(records: Records) -> None:
    rows = [row(arm, n, g) for arm in "ab" for n, g in enumerate(random_genotypes("reid-v1", 3))]
    alphas = alpha_rows(random_genotypes("reid-v1", 1)[0], "a 0", "a", 0)
    found = found_in(with_rows(records, rows, alphas))
    assert len(found.pictures) == 8 and len(set(names(found))) == 8
    for picture in found.pictures:
        root = ElementTree.fromstring(picture.svg)
        assert root.get("aria-label") and root.findtext(f"{SVG}title")
        assert picture.data is not None and picture.data.rows
        assert {len(line) for line in picture.data.rows} == {len(picture.data.headings)}
        assert not outside(picture.svg)
    cells = ("1", "1-consensus", "2", "2-consensus")
    assert not [p.name for p in found.pictures if p.name.split("genotypes-")[1] in cells and struck(p.svg)]
    again = found_in(with_rows(records, rows, alphas))
    assert again == found


def test_the_selected_one_is_drawn_else_the_first(records: Records) -> None:
    rows = [row("a", n, g, selected=n == 1) for n, g in enumerate(random_genotypes("cds-v1", 3))]
    rows += [row("b", n, g) for n, g in enumerate(random_genotypes("cs-v1", 2))]
    captions = [picture.caption for picture in found_in(with_rows(records, rows)).pictures]
    assert f"Genotype {rows[1]['genotype']} of cds-v1: a, repeat 2, selected on validation." in captions
    assert f"Genotype {rows[3]['genotype']} of cs-v1: b, repeat 1, the first of the arm." in captions


def test_choices_and_consensus_are_counted(records: Records) -> None:
    base = dict(PUBLISHED["cdnet-top1"].choices)
    rows = [
        row("a", n, Genotype.of("cds-v1", base | {"mblock3": o}))
        for n, o in enumerate(["(3,5,1)"] * 2 + ["(7,9,2)"])
    ]
    found = found_in(with_rows(records, rows))
    data = {picture.name: picture.data for picture in found.pictures}
    agreed, choices = data["p--genotypes-1-consensus"], data["p--genotypes-1-choices"]
    assert agreed is not None and ("mblock3", "(3,5,1)", "2", "") in agreed.rows
    assert agreed.rows[0] == ("mblock1", "(3,7,2)", "3", "")
    assert choices is not None
    third = dict(zip(choices.headings, choices.rows[2], strict=True))
    assert third == dict.fromkeys(PLACES["cds-v1"]["mblock3"], "0") | {
        **{"place": "mblock3", "(3,5,1)": "2", "(7,9,2)": "1"}
    }
    assert titled(found, "Agreement of the seeds")[0][1:5] == ("3", "2", "88.9", "8.3")


def test_seeds_that_agree_have_a_small_p_and_random_ones_none(records: Records) -> None:
    same = PUBLISHED["gdas-v1-net"]
    rows = [row("same", n, same) for n in range(4)]
    rows += [row("random", n, g) for n, g in enumerate(random_genotypes("darts8-v1", 4))]
    agreed, random = titled(found_in(with_rows(records, rows)), "Agreement of the seeds")
    chance = f"{100 * expected_agreement(PLACES['darts8-v1']):.1f}"
    assert agreed[:5] == ("same", "4", "1", "100.0", chance) and float(agreed[6]) < 0.001
    assert float(random[6]) > 0.02


def test_a_search_or_a_draw_counts_once(records: Records) -> None:
    one, two, three = random_genotypes("cds-v1", 3)
    drawn = {"found_by": "random-sampling", "kind": "train"}
    rows = [row("a", 0, one, job="shared"), row("b", 0, one, job="shared"), row("b", 1, two)]
    rows += [row("r", n, three, seed_search=7, **drawn) for n in range(3)]
    rows.append(row("g", 0, PUBLISHED["resnet50"], found_by="given", kind="train"))
    found = groups(with_rows(records, rows))
    assert [(group.label, len(group.seeds)) for group in found] == [("a", 1), ("b", 2), ("r", 1)]
    between = titled(found_in(with_rows(records, rows)), "Distances between arms")
    assert between[0][1] == between[2][3] == "-"


def test_arms_of_several_spaces_are_kept_apart(records: Records) -> None:
    rows = [
        row("a", n, g) for n, g in enumerate(random_genotypes("cds-v1", 2) + random_genotypes("cs-v1", 1))
    ]
    rows += [row("b", n, g) for n, g in enumerate(random_genotypes("reid-v1", 2))]
    found = found_in(with_rows(records, rows))
    assert [line[0] for line in titled(found, "Distances between arms")] == ["a (cds-v1)", "a (cs-v1)"]
    assert "distances-1" in names(found) and "distances-2" not in names(found)


def test_other_spaces_are_judged_by_the_options_of_their_alphas(records: Records) -> None:
    rows = [row("a", n, Genotype.of("mine-v1", {"p": "x", "q": "y"})) for n in range(2)]
    alphas = pd.DataFrame(
        [
            {"job": "a 0", "arm": "a", "epoch": 1, "place": place, "option": option, "weight": 0.25}
            for place in "pq"
            for option in "wxyz"
        ]
    )
    (line,) = titled(found_in(with_rows(records, rows, alphas)), "Agreement of the seeds")
    assert line[3:5] == ("100.0", "25.0")
    (line,) = titled(found_in(with_rows(records, rows)), "Agreement of the seeds")
    assert line[3:] == ("100.0", "-", "-", "-")


def test_the_alphas_of_a_few_searches_are_drawn_and_the_rest_is_said(records: Records) -> None:
    found = [(arm, n, g) for arm in "abcdef" for n, g in enumerate(random_genotypes("cds-v1", 2))]
    rows = [row(arm, n, g, selected=n == 1) for arm, n, g in found]
    alphas = pd.concat(alpha_rows(g, f"{arm} {n}", arm, n, epochs=3) for arm, n, g in found)
    result = found_in(with_rows(records, rows, alphas))
    maps = [picture for picture in result.pictures if "alphas" in picture.name]
    assert len(maps) == MOST_ALPHAS and maps[0].caption.startswith("a, repeat 2: ")
    assert any(f"Of 12 searches the alphas of {MOST_ALPHAS} are drawn" in point for point in result.points)
    data = maps[0].data
    assert data is not None and data.headings[2:] == ("epoch 1", "epoch 3", "in the genotype")
    assert [line[1] for line in data.rows if line[4]] == [o for _, o in found[1][2].choices]
    without = found_in(with_rows(records, rows))
    assert not [name for name in names(without) if "alphas" in name]
    assert not any("alphas" in point for point in without.points)


def test_hundreds_of_searches_give_a_bounded_section(records: Records) -> None:
    """Two arms of 150 searches and ten of two."""
    sizes = [150, 150, *[2] * 10]
    made = iter(random_genotypes("reid-v1", sum(sizes)))
    rows = [row(f"arm {a}", n, next(made)) for a, size in enumerate(sizes) for n in range(size)]
    found = found_in(with_rows(records, rows))
    assert sum(len(picture.svg) for picture in found.pictures) < 600_000
    assert [name for name in names(found) if name.isdigit()] == [str(n) for n in range(1, MOST_ARMS + 1)]
    (grid_,) = [one for one in found.grids if one.title == "Genotypes found"]
    assert len(grid_.rows) == MOST_ROWS and grid_.folded and f"{sum(sizes) - MOST_ROWS} more" in grid_.note
    assert f"Of {sum(sizes)} genotypes {MOST_ARMS} are drawn" in found.points[0]


def test_what_was_drawn_at_random_has_no_consensus(records: Records) -> None:
    drawn = {"found_by": "random-sampling", "kind": "train"}
    rows = [row("r", n, g, **drawn) for n, g in enumerate(random_genotypes("cds-v1", 3))]
    found = found_in(with_rows(records, rows))
    assert names(found) == ["1", "distances-1"]
    assert len(titled(found, "Agreement of the seeds")) == 1


def test_a_search_of_which_the_last_alphas_alone_are_known(records: Records) -> None:
    genotype = PUBLISHED["cdnet-top1"]
    rows = alpha_rows(genotype, "a 0", "a", 0, epochs=4)
    found = found_in(with_rows(records, [row("a", 0, genotype)], rows[rows["epoch"] == 4]))
    picture = found.pictures[-1]
    assert picture.data is not None and picture.data.headings == (
        "place",
        "option",
        "epoch 4",
        "in the genotype",
    )
    assert "epoch 4; triangle: in the genotype" in texts(picture.svg)


def test_points_of_a_sweep_are_said_to_be_seeds(records: Records) -> None:
    rows = [row("a", n, g) for n, g in enumerate(random_genotypes("cds-v1", 2))]
    swept = dataclasses.replace(with_rows(records, rows), points=pd.DataFrame({"point": ["a"]}))
    said = "The points of a sweep count as seeds"
    assert said in found_in(swept).intro and said not in found_in(with_rows(records, rows)).intro


def test_nothing_found_is_no_section_and_damaged_choices_are_left_out(records: Records) -> None:
    assert genotypes(dataclasses.replace(records, genotypes=records.genotypes.iloc[:0]), "p") is None
    good = PUBLISHED["cdnet-top1"]
    rows = [row("a", 0, good)]
    rows += [row("a", n, good, choices=text) for n, text in enumerate(["{", "{}", "[]", '{"a": 1}'], 1)]
    found = found_in(with_rows(records, rows))
    assert names(found) == ["1"] and "the only one of the arm" in found.pictures[0].caption
    assert found.intro == "" and len(titled(found, "Genotypes found")) == 5


def test_names_are_text_and_never_markup(records: Records) -> None:
    rows = [row(HOSTILE, n, Genotype.of("x-v1", {HOSTILE: HOSTILE, "b": str(n)})) for n in range(3)]
    alphas = pd.DataFrame(
        [
            {
                "job": f"{HOSTILE} 0",
                "arm": HOSTILE,
                "epoch": 1,
                "place": HOSTILE,
                "option": HOSTILE,
                "weight": 1.0,
            }
        ]
    )
    found = found_in(with_rows(records, rows, alphas))
    assert len(found.pictures) == 5
    for picture in found.pictures:
        root = ElementTree.fromstring(picture.svg)
        assert not list(root.iter(f"{SVG}img")) and "<img src=x onerror=aler" in "".join(root.itertext())


def test_the_options_that_no_seed_chose_are_columns_too(records: Records) -> None:
    rows = [row("a", n, PUBLISHED["gdas-v1-net"]) for n in range(2)]
    pictures = {picture.name: picture for picture in found_in(with_rows(records, rows)).pictures}
    shown = texts(pictures["p--genotypes-1-choices"].svg)
    assert [option for option in PLACES["darts8-v1"]["normal.b1.i0"] if option not in shown] == []
    kept = [o for _, o in PUBLISHED["gdas-v1-net"].choices if o != NONE]
    assert shown.count("2") == len(PLACES["darts8-v1"]) and len(kept) == 16
