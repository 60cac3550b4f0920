"""The architectures that an arm found: its genotypes of one space, seed by seed."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from analysis import words
from analysis.data_sets import stems
from analysis.distances import Places, known_places
from analysis.pages import Grid, Records
from search_spaces.genotype import Genotype

MOST_ROWS = 40


@dataclass(frozen=True, slots=True)
class Found:
    """One genotype, and the job that found it: a search, or a training of what was drawn at random.

    `draw` is equal for two of them that are one finding: the same search, or the same random draw.
    """

    job: str
    draw: str
    repeat: int
    selected: bool
    genotype: Genotype


@dataclass(frozen=True, slots=True)
class Group:
    """What one arm found in one space, by repeat. `label` is the arm, with the space where it has several."""

    arm: str
    label: str
    seeds: tuple[Found, ...]

    @property
    def genotypes(self) -> list[Genotype]:
        return [seed.genotype for seed in self.seeds]

    @property
    def by_draw(self) -> dict[str, Genotype]:
        return {seed.draw: seed.genotype for seed in self.seeds}

    @property
    def at_random(self) -> bool:
        """Whether nobody searched: what seeds that were drawn at random have in common is an accident."""
        return all(seed.draw != seed.job for seed in self.seeds)

    @property
    def space(self) -> str:
        return self.seeds[0].genotype.space

    @property
    def shown(self) -> Found:
        """The selected one, or the first."""
        return next((seed for seed in self.seeds if seed.selected), self.seeds[0])


def _genotype(space: str, choices: str) -> Genotype | None:
    """What the table holds; None where its choices are none."""
    try:
        read = json.loads(choices)
    except json.JSONDecodeError:
        return None
    good = isinstance(read, dict) and read and all(isinstance(option, str) for option in read.values())
    return Genotype.of(space, read) if good else None


def groups(records: Records) -> list[Group]:
    """All genotypes that were found or drawn, in the order of the arms; given ones are no finding.

    A search or a random draw counts once in an arm, however often it is trained. Genotypes of one arm that
    have not the same places are different groups.
    """
    frame = records.by_arm(records.genotypes[records.genotypes["found_by"] != "given"])
    by: dict[tuple[str, str, tuple[str, ...]], dict[str, Found]] = {}
    for row in frame.to_dict("records"):
        genotype = _genotype(str(row["space"]), str(row["choices"]))
        if genotype is None:
            continue
        places = tuple(place for place, _ in genotype.choices)
        chosen = not pd.isna(row["selected"]) and bool(row["selected"])
        job, drawn = str(row["job"]), row["found_by"] == "random-sampling"
        draw = f"seed {row['seed_search']} of {genotype.space}" if drawn else job
        found = Found(job, draw, int(row["repeat"]), chosen, genotype)
        by.setdefault((str(row["arm"]), genotype.space, places), {}).setdefault(draw, found)
    arms = [arm for arm, _, _ in by]
    by_arm = [
        Group(arm, arm if arms.count(arm) == 1 else f"{arm} ({space})", tuple(seeds.values()))
        for (arm, space, _), seeds in by.items()
    ]
    return _once(records, by_arm)


def _once(records: Records, found: Sequence[Group]) -> list[Group]:
    """What was found once and trained on several data sets is one group, without the name of a set."""
    same: dict[tuple[str, tuple[str, ...]], list[Group]] = {}
    names = stems(records)
    for group in found:
        same.setdefault((names[group.arm], tuple(seed.draw for seed in group.seeds)), []).append(group)
    return [
        first if not others else dataclasses.replace(first, label=first.label.replace(first.arm, named, 1))
        for (named, _), (first, *others) in same.items()
    ]


def options_of(group: Group, alphas: pd.DataFrame) -> Places | None:
    """The options at every place: of a built-in space as declared, of another as its alphas name them."""
    built_in = known_places(group.space)
    if built_in is not None:
        return built_in
    rows = alphas[alphas["job"] == group.seeds[0].job]
    named = {str(place): list(dict.fromkeys(found)) for place, found in rows.groupby("place")["option"]}
    wanted = {place for place, _ in group.seeds[0].genotype.choices}
    return named if set(named) == wanted else None


def _choices(genotype: Genotype) -> str:
    return " · ".join(f"{place} {option}" for place, option in genotype.choices if option != "none")


def found_grid(records: Records) -> Grid:
    """Every genotype once for each arm, with the repeats that found it; at most `MOST_ROWS` of them."""
    frame = records.by_arm(records.genotypes[records.genotypes["found_by"] != "given"])
    frame = frame.assign(arm=frame["arm"].map(stems(records)))
    keys = ["arm", "found_by", "space", "genotype", "choices"]
    rows = []
    for key, repeats in frame.groupby(keys, sort=False)["repeat"]:
        arm, how, space, digest, choices = map(str, key)
        genotype = _genotype(space, choices)
        text = "" if genotype is None else _choices(genotype)
        rows.append((arm, words.numbers(set(repeats)), how, digest, space, text))
    headings = ("arm", "repeats", "found by", "genotype", "space", "choices")
    return Grid("Genotypes found", headings, "lrlllw", *_bounded(rows), folded=len(rows) > 8)


def _bounded(rows: Sequence[tuple[str, ...]]) -> tuple[tuple[tuple[str, ...], ...], str]:
    left = len(rows) - MOST_ROWS
    if left <= 0:
        return tuple(rows), ""
    more = f"{left} more are in the table genotypes: autoreid tables show genotypes."
    return tuple(rows[:MOST_ROWS]), more
