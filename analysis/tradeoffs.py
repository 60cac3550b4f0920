"""What accuracy costs: mAP against parameters, multiply-adds and hours, with the arms that nothing beats."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from analysis import words
from analysis.costing import HOUR, arm_costs, unit
from analysis.data_sets import several, trained_on
from analysis.figures import Look, arm_colours, scatter
from analysis.pages import Grid, Picture, Records, Section, values
from analysis.statistics import Summary, summarise
from analysis.words import NOTHING


@dataclass(frozen=True, slots=True)
class Price:
    """Something that an arm's accuracy costs: by arm, less is better."""

    name: str
    label: str
    of: Mapping[str, float]


def front(prices: Mapping[str, float], scores: Mapping[str, float]) -> list[str]:
    """Those that nothing beats: no other costs as little or less and scores as much or more, one of them
    strictly. In the order of their prices; of equals all.

    >>> front({"a": 1.0, "b": 2.0, "c": 3.0}, {"a": 0.3, "b": 0.2, "c": 0.5})
    ['a', 'c']
    """
    kept = [
        one
        for one in prices
        if not any(
            prices[other] <= prices[one]
            and scores[other] >= scores[one]
            and (prices[other], scores[other]) != (prices[one], scores[one])
            for other in prices
        )
    ]
    return sorted(kept, key=lambda one: prices[one])


def _means(records: Records, column: str, scale: float) -> dict[str, float]:
    found = {arm: values(records.retrains, arm, column) for arm in records.arms_with("train")}
    return {arm: summarise(given).mean / scale for arm, given in found.items() if given}


def prices(records: Records) -> list[Price]:
    """Parameters and multiply-adds at inference, and the hours that one result took; means over repeats."""
    costs = arm_costs(records)
    scored = _means(records, "mAP", 1.0)  # a damaged score leaves its costs behind
    hours = {arm: cost.per_result / HOUR for arm, cost in costs.items() if cost.per_result and arm in scored}
    found = (
        Price("parameters", "parameters at inference, M", _means(records, "params_inference", 1e6)),
        Price(
            "multiply-adds", "multiply-adds at inference, M", _means(records, "multiply_adds_inference", 1e6)
        ),
        Price("hours", f"{unit(records)} for one result", hours),
        *_times(records),
    )
    return [price for price in found if len(price.of) > 1 and len(set(price.of.values())) > 1]


def _times(records: Records) -> list[Price]:
    """Milliseconds of an image at inference in the largest batches, where all networks were timed on one
    machine; means over an arm's networks."""
    rows = records.latencies
    if rows.empty or len(rows[["device", "threads", "forms", "precision"]].drop_duplicates()) > 1:
        return []
    largest = rows["batch"].max()
    means = rows[rows["batch"] == largest].groupby("arm", sort=False)["image_milliseconds"].mean()
    label = f"ms an image at inference, batches of {largest}, {rows['device'].iloc[0]}"
    return [Price("time", label, {str(arm): float(value) for arm, value in means.items()})]


def tradeoffs(records: Records, prefix: str) -> Section | None:
    """A figure for each price, and which arms are on the fronts; nothing where one arm alone has results."""
    scores = {
        arm: summarise(given) for arm in records.arms if (given := values(records.retrains, arm, "mAP"))
    }
    found = prices(records) if len(scores) > 1 else []
    if not found:
        return None
    fronts: dict[str, list[str]] = {price.name: [] for price in found}
    looks = arm_colours(records.arms)
    pictures = []
    for name, arms in _by_data(records, scores).items():
        mine = {arm: scores[arm] for arm in arms}
        for price in found:
            of = {arm: value for arm, value in price.of.items() if arm in mine}
            on_front = front(of, {arm: summary.mean for arm, summary in mine.items()})
            fronts[price.name] += on_front
            pictures.append(_picture(replace(price, of=of), mine, on_front, looks, prefix, name))
    intro = (
        "An arm is on the front where no other has as good a mean mAP for as little"
        f"{' on the same data' * several(records)}. Means are compared as they are: two arms within each "
        "other's intervals may change places with other seeds."
    )
    grid = _grid(found, scores, fronts)
    return Section("What accuracy costs", intro, grids=(grid,), pictures=tuple(pictures))


def _by_data(records: Records, scores: Mapping[str, Summary]) -> dict[str, list[str]]:
    """The arms with scores by what they are trained on; under "" where there is one data set."""
    if not several(records):
        return {"": list(scores)}
    groups: dict[str, list[str]] = {}
    for arm in scores:
        groups.setdefault(str(trained_on(records, arm)), []).append(arm)
    return groups


def _grid(found: Sequence[Price], scores: Mapping[str, Summary], fronts: Mapping[str, list[str]]) -> Grid:
    rows = tuple(
        (
            arm,
            words.spread(summary),
            *(_cell(price, arm, arm in fronts[price.name]) for price in found),
        )
        for arm, summary in scores.items()
    )
    headings = ("arm", "mAP, %", *(price.label for price in found))
    return Grid("Fronts", headings, "lr" + "r" * len(found), rows, "An asterisk marks the arms on a front.")


def _cell(price: Price, arm: str, on_front: bool) -> str:
    if arm not in price.of:
        return NOTHING
    return f"{words.significant(price.of[arm], 4)}{' *' if on_front else ''}"


def _picture(
    price: Price,
    scores: Mapping[str, Summary],
    on_front: list[str],
    looks: dict[str, Look],
    prefix: str,
    data_set: str,
) -> Picture:
    """The arms by one price and their scores; on one data set where there are several."""
    name = f"{prefix}--map-against-{price.name}{f'--{data_set}' if data_set else ''}"
    shown = {arm: (price.of[arm], scores[arm]) for arm in price.of if arm in scores}
    colours = {arm: looks[arm][0] for arm in shown}
    title = f"mAP, %, against {price.label}{f', {data_set}' if data_set else ''}"
    caption = f"{title}: the mean of each arm with its 95% interval; the line joins the front."
    data = Grid(
        caption,
        ("arm", price.label, "mAP, %", "repeats", "on the front"),
        "lrrrl",
        tuple(
            (
                arm,
                words.significant(x, 4),
                words.percent(summary.mean),
                str(summary.n),
                "yes" if arm in on_front else "no",
            )
            for arm, (x, summary) in shown.items()
        ),
    )
    return Picture(name, caption, partial(scatter, shown, on_front, price.label, title, colours, name), data)
