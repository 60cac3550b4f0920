"""The section of a report about networks that only classify: their error by arm."""

from __future__ import annotations

from analysis import words
from analysis.pages import Grid, Records, Section, values
from analysis.statistics import Summary, summarise
from analysis.words import NOTHING

ERRORS = {"top_1": "top-1", "top_5": "top-5"}
INTRO = (
    "Networks that are trained to classify and for nothing else: the share of validation images whose class "
    "is not the first, or not among the first five. The interval is that of the mean."
)


def classifiers(records: Records) -> list[str]:
    """The arms whose networks are trained as classifiers alone."""
    trained = set(records.arms_with("train"))
    return [arm for arm in records.arms_with("pretrain") if arm not in trained]


def errors(records: Records, arm: str, column: str) -> Summary | None:
    """The errors of an arm's classifiers, as fractions; None before the first is done."""
    found = [1 - value for value in values(records.pretrains, arm, column)]
    return summarise(found) if found else None


def classifications(records: Records) -> Section | None:
    """Top-1 and top-5 error of every arm that only classifies, over its repeats."""
    arms = classifiers(records)
    if not arms:
        return None
    lines = []
    for arm in arms:
        first = errors(records, arm, "top_1")
        cells = [str(first.n if first else 0), f"{records.planned(arm, 'pretrain')}"]
        for column in ERRORS:
            found = errors(records, arm, column)
            cells += [_spread(found), _interval(found)]
        sizes = values(records.pretrains, arm, "params_training")
        cells.append(words.millions(round(sum(sizes) / len(sizes)), 3) if sizes else NOTHING)
        lines.append((arm, *cells))
    heads = [text for label in ERRORS.values() for text in (f"{label} error, mean ± sd", "95% interval")]
    headings = ("arm", "done", "planned", *heads, "parameters")
    note = "Parameters are those of the training, classifiers among them; of several networks their mean."
    grid = Grid(
        "Classification error, %", headings, f"l{'r' * (len(headings) - 1)}", tuple(lines), note, latex=True
    )
    return Section("Classification", INTRO, grids=(grid,))


def lowest(records: Records) -> tuple[str, str] | None:
    """The arm of the lowest mean top-1 error, as a fact about the campaign."""
    found = {arm: one for arm in classifiers(records) if (one := errors(records, arm, "top_1"))}
    if not found:
        return None
    best = min(found, key=lambda arm: found[arm].mean)
    label = "Lowest mean top-1 error" if len(found) > 1 else "Mean top-1 error"
    return label, f"{best}: {_spread(found[best])} % ({words.counted(found[best].n, 'repeat')})"


def _spread(found: Summary | None) -> str:
    if found is None:
        return NOTHING
    deviation = "" if found.deviation is None else f" ± {100 * found.deviation:.2f}"
    return f"{100 * found.mean:.2f}{deviation}"


def _interval(found: Summary | None) -> str:
    if found is None or found.interval is None:
        return NOTHING
    low, high = words.within(found.interval, 0, 1)
    return f"{100 * low:.2f} to {100 * high:.2f}"
