"""A printed figure beside what an arm gave: in one unit, and with an interval that fits the question."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd
from scipy import special

from analysis.pages import Records
from analysis.paper_matching import K_RECIPROCAL, Pairing, Side, given_network, kind_of, recipes
from analysis.paper_tables import METRICS, PaperTable
from analysis.selections import best_alone
from analysis.statistics import CONFIDENCE, Interval, Summary, summarise

# Identities of the linear classifier that Auto-ReID's convention counts: those of Market-1501.
CLASSIFIER = 751
# What a printed time of inference is over.
TEST_IMAGES, TEST_BATCH = 19_281, 128
# What a network's size depends on, beside its genotype.
BUILT = ("channels", "layers", "width_multiplier", "neck.name", "neck.stripes")
SIZE = ("network", *(f"{kind}.{name}" for kind in ("train", "pretrain") for name in BUILT))
COUNTED = ("parameters", "multiply-adds", "length of the feature")


@dataclass(frozen=True, slots=True)
class Beside:
    """One metric of a pairing. Numbers are in the printed unit.

    `printed` are the figures that the paper has, `ours` summarises the repeats of the arm, `selected` the
    trainings of what validation selected, where that is another thing. `reference` is the one of both that is
    compared with the print; None, with `why`, where a comparison would mislead. `interval` is where the mean
    of as many further repeats as are printed would fall with 95%.
    """

    printed: tuple[float, ...]
    ours: Summary | None
    selected: Summary | None = None
    reference: Summary | None = None
    interval: Interval | None = None
    why: str = ""

    @property
    def mean(self) -> float:
        return math.fsum(self.printed) / len(self.printed)

    @property
    def difference(self) -> float | None:
        """Ours minus printed."""
        return None if self.reference is None else self.reference.mean - self.mean

    @property
    def lies(self) -> str:
        """Where the print lies: inside our interval, below it or above it; "" without one."""
        if self.interval is None:
            return ""
        low, high = self.interval
        return "below" if self.mean < low else "above" if self.mean > high else "inside"


def further(summary: Summary, repeats: int = 1, confidence: float = CONFIDENCE) -> Interval | None:
    """The interval for the mean of so many further repeats of the same kind (Student's prediction interval).

    A single printed run strays about our mean like any single run: the interval of the mean, which shrinks
    as we repeat, would turn down most runs of the very same network. None below two repeats, and for equal
    ones.

    >>> low, high = further(summarise([82.0, 83.0, 84.0, 83.0]))
    >>> round(low, 2), round(high, 2)
    (80.09, 85.91)
    """
    if not summary.deviation:
        return None
    error = summary.deviation * math.sqrt(1 / summary.n + 1 / repeats)
    reach = float(special.stdtrit(summary.n - 1, (1 + confidence) / 2)) * error
    return summary.mean - reach, summary.mean + reach


def _pooled_length(row: Mapping[str, Any], recipe: Mapping[str, Any]) -> int | None:
    """Length of the backbone's pooled map, where the feature is that map."""
    neck = recipe.get("neck")
    neck = neck if isinstance(neck, Mapping) else {}
    return int(row["feature_dim"]) if (neck.get("name"), neck.get("feature")) == ("embedding", "f") else None


def _counted(what: str, convention: str, row: Mapping[str, Any], recipe: Mapping[str, Any]) -> float | None:
    """Parameters or multiply-adds of one training by a convention of the papers; None where unknown."""
    if convention == "classifier":
        length = _pooled_length(row, recipe)
        if length is None:
            return None
        bias = CLASSIFIER if what == "params" else 0
        return float(row[f"{what}_backbone"] + length * CLASSIFIER + bias)
    value = row.get(f"{what}_{convention}") if convention else None
    return None if value is None or pd.isna(value) else float(value)


def values(records: Records, table: PaperTable, pairing: Pairing, name: str, selected: bool) -> list[float]:
    """What the repeats of an arm gave for a metric, in the printed unit; of the selected ones if asked."""
    metric, kind = METRICS[name], kind_of(pairing.rows[0])
    of = "pretrains" if kind == "pretrain" and metric.table == "retrains" else metric.table
    if not of:
        return []
    frame: pd.DataFrame = getattr(records, of)
    frame = frame[frame["arm"] == pairing.arm].sort_values("repeat", kind="stable")
    if of == "latencies":
        frame = _whole_passes(frame)
    if selected:
        frame = frame[frame["selected"].fillna(False)] if "selected" in frame else frame.head(0)
    if metric.column:
        reranked = metric.is_score and pairing.rows[0].reranking == K_RECIPROCAL
        column = f"reranked_{metric.column}" if reranked else metric.column
        found = list(frame[column].dropna()) if column in frame else []
    else:
        what = "params" if metric.label == "parameters" else "multiply_adds"
        counted = table.counted(pairing.rows[0])
        convention = counted["parameters" if what == "params" else what]
        recipe = next(iter(recipes(records, pairing.arm, [kind])), {})
        rows: list[Any] = frame.to_dict("records")
        counts = (_counted(what, convention, row, recipe) for row in rows)
        found = [value for value in counts if value is not None]
    return [float(value) * metric.scale + metric.offset for value in found]


def _whole_passes(frame: pd.DataFrame) -> pd.DataFrame:
    """The times of all test images of Market-1501 in batches of 128, as papers print them."""
    whole = (frame["pass_images"] == TEST_IMAGES) & (frame["batch"] == TEST_BATCH)
    return frame[whole]


def obstacles(records: Records, pairing: Pairing, name: str) -> tuple[Side, ...]:
    """The circumstances that differ and that a metric depends on: the size of a given network knows nothing
    of data; which network a search finds depends on everything."""
    label = METRICS[name].label
    if label not in COUNTED or not given_network(records, pairing.arm):
        return pairing.gaps
    matter = (*SIZE, "image size") if label == "multiply-adds" else SIZE
    return tuple(side for side in pairing.gaps if side.what in matter)


def beside(records: Records, table: PaperTable, pairing: Pairing, name: str) -> Beside | None:
    """One metric of a pairing; None where the paper has no figure of it."""
    numbers = [row.figures[name].number for row in pairing.rows if name in row.figures]
    printed = tuple(number for number in numbers if number is not None)
    if not printed:
        return None
    all_of, best = (values(records, table, pairing, name, selected) for selected in (False, True))
    ours = summarise(all_of) if all_of else None
    selected = summarise(best) if best and not best_alone(records.trials, pairing.arm) else None
    reference, why = _reference(records, pairing, name, ours, selected)
    scored = reference is not None and reference is ours and METRICS[name].is_score
    interval = further(reference, len(printed)) if scored and reference else None
    return Beside(printed, ours, selected, reference, interval, why)


def _reference(
    records: Records, pairing: Pairing, name: str, ours: Summary | None, selected: Summary | None
) -> tuple[Summary | None, str]:
    """What is compared with the print, or None and why nothing is."""
    alone, best_of = best_alone(records.trials, pairing.arm), pairing.rows[0].best_of
    if ours is None:
        return None, "nothing recorded"
    if METRICS[name].timed:
        return None, "another machine"
    if obstacles(records, pairing, name):
        return None, "not comparable"
    if not METRICS[name].is_score or not (best_of or alone):
        return ours, ""
    if not best_of:
        return None, "ours is a best"
    best = ours if alone else selected
    if best is not None and records.planned(pairing.arm, "search") != best_of:
        return None, "best of another number"
    return best, "" if best else "printed is a best"
