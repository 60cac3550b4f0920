"""Which arms of a campaign stand beside which printed rows, and what data and protocol are on both sides."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from analysis.comparability import obstacles
from analysis.data_sets import several, source, stem, trained_on
from analysis.jobs import part
from analysis.pages import Records
from analysis.paper_tables import DATA_SETS, PaperTable, PrintedRow
from search_spaces.published import PUBLISHED

NOT_SAID = "not said"
NONE = "none"
# What inference needs of a protocol to be that of the papers; our records may hold an option.
STANDARD = {"average_precision": "mean-precision", "single_query": True, "same_camera_ignored": True}
RERANKING = "reranking"
K_RECIPROCAL = "k-reciprocal"
# Its parameters in every paper.
PARAMETERS = {"k1": 20, "k2": 6, "lambda": 0.3}
CLASSES = {"imagefolder": "imagenet"}
IMAGENET_CLASSES = 1000
NETWORKS = {genotype.digest: name for name, genotype in PUBLISHED.items()}


@dataclass(frozen=True, slots=True)
class Side:
    """One circumstance of a figure: as printed, and in the campaign. What is not said cannot differ."""

    what: str
    printed: str
    ours: str

    @property
    def differs(self) -> bool:
        return NOT_SAID not in (self.printed, self.ours) and self.printed != self.ours


@dataclass(frozen=True, slots=True)
class Pairing:
    """A printed row, or the printed repeats of one, beside an arm of the campaign.

    `by` says how they were matched: "name", or "network" where the arm trains a given published network.
    """

    label: str
    rows: tuple[PrintedRow, ...]
    arm: str
    by: str
    sides: tuple[Side, ...]

    @property
    def gaps(self) -> tuple[Side, ...]:
        return tuple(side for side in self.sides if side.differs)


@dataclass(frozen=True, slots=True)
class Matches:
    """The pairings of a table and a campaign, and what has no partner on either side."""

    pairings: tuple[Pairing, ...]
    rows_alone: tuple[PrintedRow, ...]
    arms_alone: tuple[str, ...]


def groups(table: PaperTable) -> list[tuple[str, tuple[PrintedRow, ...]]]:
    """The rows with printed repeats of one name together, under a label.

    >>> from analysis.paper_tables import table
    >>> [label for label, rows in groups(table("kdas-reid/table1")) if len(rows) == 4]
    ['Baseline', 'Baseline + Distillation', 'Distillation + Dynamic Temperature']
    """
    found: dict[Any, list[PrintedRow]] = {}
    for place, row in enumerate(table.rows):
        label = row.method if row.repeat is None else re.sub(r"\s*\d+$", "", row.method)
        key = place if row.repeat is None else (label, row.data_set)
        found.setdefault((key, label), []).append(row)
    return [(label, tuple(rows)) for (_, label), rows in found.items()]


def kind_of(row: PrintedRow) -> str:
    """The kind of jobs that repeat a row: its data are classes of things, or people."""
    return "pretrain" if row.data_set in ("cifar100", "imagenet") else "train"


def recipes(records: Records, arm: str, kinds: Iterable[str]) -> list[Mapping[str, Any]]:
    """The different recipes of an arm's jobs of some kinds."""
    rows = records.trials[(records.trials["arm"] == arm) & records.trials["kind"].isin(list(kinds))]
    return [json.loads(text) for text in rows["recipe_json"].dropna().unique()]


def plain(value: object) -> str:
    """A value of a recipe as the files of the tables hold it.

    >>> plain([2, 2, 2, 2]), plain(1.0), plain(0.00035), plain("all")
    ('2,2,2,2', '1', '0.00035', 'all')
    """
    if isinstance(value, list):
        return ",".join(map(plain, value))
    return f"{value:g}" if isinstance(value, (int, float)) and not isinstance(value, bool) else str(value)


def _at(recipe: object, path: str) -> object:
    for name in path.split("."):
        recipe = recipe.get(name) if isinstance(recipe, Mapping) else None
    return recipe


def field(found: list[Mapping[str, Any]], path: str) -> str:
    """What the recipes hold at a field, or that nothing is said."""
    values = dict.fromkeys(plain(value) for one in found if (value := _at(one, path)) is not None)
    return " or ".join(values) or NOT_SAID


def _classes(records: Records) -> str:
    """What networks were pretrained on, by the papers' name."""
    name = str(part(records.facts, "classes").get("set", NOT_SAID))
    if name not in CLASSES:
        return name
    counts = set(records.pretrains["classes"])
    return CLASSES[name] if counts == {IMAGENET_CLASSES} else name


def data_set(records: Records, arm: str, kind: str) -> str:
    """What the networks of an arm were trained on, or pretrained on, by the papers' name."""
    if kind == "pretrain":
        return _classes(records)
    given = source(records, trained_on(records, arm))
    name, variant = str(given.get("set", NOT_SAID)), given.get("variant")
    return f"{name}-{variant}" if variant else name


def _title(name: str) -> str:
    return DATA_SETS[name].title if name in DATA_SETS else name


def _pretraining(records: Records, arm: str) -> str:
    """`none`, `imagenet`, or what else the trainings of an arm began with."""
    if records.planned(arm, "pretrain"):
        return _classes(records)
    found = recipes(records, arm, ["train"])
    weights = {str(recipe.get("weights", "")) or NONE for recipe in found}
    return " or ".join(sorted(weights)) or NOT_SAID


def _reranking(given: object) -> str:
    """Re-ranking by the papers' name; with its parameters where they are others."""
    if not isinstance(given, Mapping):
        return str(given) if given else NONE
    own = ", ".join(f"{name} {given[name]}" for name in PARAMETERS if given.get(name) != PARAMETERS[name])
    return f"{K_RECIPROCAL} with {own}" if own else K_RECIPROCAL


def _evaluation(records: Records, arm: str, row: PrintedRow) -> Iterator[Side]:
    """Re-ranking, queries and the options of the protocol, as far as the arm has been evaluated."""
    found = records.retrains[records.retrains["arm"] == arm]
    column = "reranked_protocol" if row.reranking == K_RECIPROCAL else "protocol"
    protocols = [json.loads(text) for text in found[column].dropna().unique()]
    ours = " or ".join(dict.fromkeys(_reranking(one.get(RERANKING)) for one in protocols))
    nothing = NONE if len(found) else NOT_SAID
    yield Side("re-ranking", row.reranking or NOT_SAID, ours or nothing)
    for name, value in STANDARD.items():
        other = [one[name] for one in protocols if one.get(name, value) != value]
        if other:
            yield Side(name.replace("_", " "), str(value), " or ".join(map(str, other)))
    if row.data_set == data_set(records, arm, "train") and DATA_SETS[row.data_set].queries:
        counts = " or ".join(f"{count:,}" for count in sorted(set(found["queries"])))
        yield Side("queries with a match", f"{DATA_SETS[row.data_set].queries:,}", counts or NOT_SAID)


def sides(records: Records, table: PaperTable, row: PrintedRow, arm: str) -> tuple[Side, ...]:
    """The circumstances of a printed row and of an arm, those that agree among them."""
    kind = kind_of(row)
    trained = recipes(records, arm, [kind])
    height, width = field(trained, "height"), field(trained, "width")
    size = NOT_SAID if NOT_SAID in (height, width) else f"{height}x{width}"
    found = [
        Side("data", _title(row.data_set), _title(data_set(records, arm, kind))),
        Side("image size", f"{row.height}x{row.width}" if row.height else NOT_SAID, size),
    ]
    if kind == "train":
        found.append(Side("pretraining", row.pretraining or NOT_SAID, _pretraining(records, arm)))
        found += _evaluation(records, arm, row)
    network = given_network(records, arm)
    if row.network and network:
        found.append(Side("network", row.network, network))
    teachers = records.trials[records.trials["arm"] == arm]["teacher"].dropna().unique()
    # Which rows of KDAS-ReID were trained under the teacher is not told apart: docs/fidelity.md.
    taught = NOT_SAID if table.paper == "KDAS-ReID" else NONE
    found.append(Side("teacher", taught, " or ".join(teachers) or NONE))
    # Repeats that differ in more than their seeds have no mean.
    found += [Side("repeats", "alike", reason) for reason in obstacles(records, (arm,))]
    searched = recipes(records, arm, ["search", "random-search"])
    for path, printed in row.settings.items():
        of, _, name = path.partition(".")
        if of == "search" and searched:
            found.append(Side(path, printed, field(searched, name)))
        elif of == kind:
            found.append(Side(path, printed, field(trained, name)))
    return tuple(found)


def given_network(records: Records, arm: str) -> str:
    """The published network that all jobs of an arm train as it is given, or ""."""
    jobs = records.trials[(records.trials["arm"] == arm) & records.trials["kind"].isin(["train", "pretrain"])]
    if jobs.empty or set(jobs["found_by"].dropna()) != {"given"}:
        return ""
    digests = {
        digest
        for frame in (records.retrains, records.pretrains)
        for digest in frame[frame["arm"] == arm]["genotype"].dropna()
    }
    return NETWORKS.get(digests.pop(), "") if len(digests) == 1 else ""


def _by_name(records: Records, table: PaperTable) -> Iterator[Pairing]:
    stems = {arm: stem(records, arm) for arm in records.arms}
    mapped = {arm for row in table.rows for arm in row.arms}
    for label, rows in groups(table):
        first = rows[0]
        for arm in records.arms:
            names = {arm, stems[arm]}
            # A row of the same name may be of another arm.
            ours = names & set(first.arms) or (label in names and not names & mapped)
            if ours and _on_its_data(records, table, first, arm):
                yield Pairing(label, rows, arm, "name", sides(records, table, first, arm))


def _on_its_data(records: Records, table: PaperTable, row: PrintedRow, arm: str) -> bool:
    """Whether a row is on the data of an arm. Of a campaign on one set that the row's table does not have,
    every row stands beside the arm, and the section says how the data differ."""
    if kind_of(row) == "pretrain":
        return True
    ours = data_set(records, arm, "train")
    others = {other.data_set for other in table.rows if other.method == row.method}
    return row.data_set == ours or not (several(records) or ours in others)


def _by_network(records: Records, table: PaperTable, named: list[Pairing]) -> Iterator[Pairing]:
    """Arms without a row of their name that train a published network as it is given.

    A network may stand in several rows: those whose circumstances all agree are taken, else none.
    """
    taken = {id(row) for pairing in named for row in pairing.rows}
    arms = [arm for arm in records.arms if arm not in {pairing.arm for pairing in named}]
    for arm in arms:
        network = given_network(records, arm)
        candidates = [
            Pairing(label, rows, arm, "network", sides(records, table, rows[0], arm))
            for label, rows in groups(table)
            if network and rows[0].network == network and id(rows[0]) not in taken
            if _on_its_data(records, table, rows[0], arm)
        ]
        fitting = [pairing for pairing in candidates if not pairing.gaps]
        yield from fitting or (candidates if len(candidates) == 1 else ())


def match(records: Records, table: PaperTable) -> Matches:
    """The rows of a table beside the arms of a campaign, in the order of the table."""
    named = list(_by_name(records, table))
    found = [*named, *_by_network(records, table, named)]
    places = {id(row): place for place, row in enumerate(table.rows)}
    found.sort(key=lambda pairing: places[id(pairing.rows[0])])
    rows = {id(row) for pairing in found for row in pairing.rows}
    arms = {pairing.arm for pairing in found}
    return Matches(
        tuple(found),
        tuple(row for row in table.rows if id(row) not in rows),
        tuple(arm for arm in records.arms if arm not in arms),
    )
