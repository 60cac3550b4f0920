"""The section of a report that sets a campaign's arms beside the rows of a paper's table."""

from __future__ import annotations

from collections import Counter

from analysis import words
from analysis.pages import Grid, Records, Section
from analysis.paper_figures import Beside, beside
from analysis.paper_matching import Matches, Pairing, match
from analysis.paper_tables import DATA_SETS, METRICS, Metric, PaperTable, Printed, PrintedRow
from analysis.statistics import Summary
from analysis.words import NOTHING

INTRO = (
    "Printed figures of {title} ({shows}), and what the arms of this campaign gave. A difference is ours "
    "minus printed, and stands only where data and protocol agree as far as both are known."
)
SCORE_NOTE = (
    "The interval is ours, for one further repeat, or for the mean of as many further repeats as are "
    "printed: the print lies inside where it could be one of ours. Of twenty such prints one lies outside by "
    "chance alone."
)
SELECTED_NOTE = (
    "A printed best of several searches is compared with our selected repeat alone, and no interval is "
    "given: a best of several is not compared with a mean. Validation selected ours; how the paper chose is "
    "in the notes of the table, as far as it says."
)
REASONS = {
    "not comparable": "no difference is taken where data or protocol differ",
    "printed is a best": "printed is the best of several searches, and of ours none is selected and trained",
    "best of another number": "printed is the best of as many searches as the paper ran, and ours of more or "
    "fewer",
    "ours is a best": "ours is the best of several searches by validation, and printed is one run",
    "another machine": "times are of different machines and are not compared",
    "nothing recorded": "the arm has no figure yet, or none that counts as the table does",
}
PRINTED_ON = "Printed are seconds of one RTX 2080 (the one table that has any)"
Lines = list[tuple[Pairing, Beside]]
SELECTED = "selected"
DATA = "data"
# Names of arms that are longer are broken.
WIDE = 40
BY = {"name": "", "network": " (by its network)"}


def _decimals(printed: tuple[Printed, ...], metric: Metric) -> int:
    """Digits of our figures: those of the print; one more for counts, which are exact."""
    digits = max(figure.decimals for figure in printed)
    return digits if metric.is_score or metric.timed or metric.label.startswith("length") else digits + 1


def _number(value: float, digits: int) -> str:
    return f"{value:,.{digits}f}"


def _signed(value: float, digits: int) -> str:
    return f"{round(value, digits) + 0.0:+,.{digits}f}"


def _printed(figures: tuple[Printed, ...], found: Beside) -> str:
    """The figure as printed, or the mean of several printed repeats."""
    if len(found.printed) == 1:
        return next(figure.text for figure in figures if figure.number is not None)
    digits = max(figure.decimals for figure in figures)
    return f"{_number(found.mean, digits)}, mean of {len(found.printed)}"


def _spread(summary: Summary | None, digits: int) -> str:
    if summary is None:
        return NOTHING
    deviation = "" if not summary.deviation else f" ± {_number(summary.deviation, digits)}"
    return _number(summary.mean, digits) + deviation


def _interval(found: Beside, digits: int) -> str:
    """Our interval, the part within 0 to 100, or why there is none."""
    if found.reference is None or found.reference is not found.ours:
        return NOTHING
    if found.interval is None:
        return words.NO_INTERVAL if found.ours.n < 2 else words.EQUAL
    low, high = words.within(found.interval, 0, 100)
    return f"{_number(low, digits)} to {_number(high, digits)}"


def _line(pairing: Pairing, name: str, found: Beside) -> dict[str, str]:
    """The cells of one line under their headings."""
    metric = METRICS[name]
    figures = tuple(row.figures[name] for row in pairing.rows)
    digits = _decimals(figures, metric)
    cells = {
        "printed row": pairing.label,
        "arm": pairing.arm + BY[pairing.by],
        DATA: DATA_SETS[pairing.rows[0].data_set].title,
        "printed": _printed(figures, found),
        "ours, mean ± sd": _spread(found.ours, digits),
        "repeats": str(found.ours.n if found.ours else 0),
        SELECTED: _spread(found.selected, digits),
        "difference": found.why if found.difference is None else _signed(found.difference, digits),
    }
    if metric.is_score:
        cells |= {"our 95% interval": _interval(found, digits), "print lies": found.lies or NOTHING}
    return cells


def _metric_grid(records: Records, table: PaperTable, name: str, present: Lines) -> Grid:
    """One metric of all pairings for which the paper has a figure."""
    metric = METRICS[name]
    lines = [_line(pairing, name, one) for pairing, one in present]
    hidden = {DATA} if len({line[DATA] for line in lines}) == 1 else set()
    hidden |= set() if any(one.selected for _, one in present) else {SELECTED}
    shown = [heading for heading in lines[0] if heading not in hidden]
    why = dict.fromkeys(one.why for _, one in present if one.why)
    notes = [f"{reason[0].upper()}{reason[1:]}: {REASONS[reason]}." for reason in why]
    notes += [_machines(records)] if metric.table == "latencies" else []
    rows = tuple(tuple(line[heading] for heading in shown) for line in lines)
    title = f"{metric.label} beside {table.title}, {metric.unit}"
    wide = any(len(line["arm"]) > WIDE for line in lines)
    texts = "w" if wide else "l"
    texts += "" if DATA in hidden else "l"
    align = f"l{texts}{'r' * (len(shown) - 1 - len(texts))}"
    return Grid(title, tuple(shown), align, rows, " ".join(notes), latex=True)


def _machines(records: Records) -> str:
    """On what the times of inference were taken, there and here."""
    ours = ", ".join(sorted(set(records.latencies["device"]))) or "not timed"
    return f"{PRINTED_ON}; ours: {ours}."


def _lines(records: Records, table: PaperTable, matches: Matches, name: str) -> Lines:
    found = ((pairing, beside(records, table, pairing, name)) for pairing in matches.pairings)
    return [(pairing, one) for pairing, one in found if one is not None]


def _explained(found: list[Beside]) -> list[str]:
    """How the intervals and the selected figures are to be read, where there are any."""
    notes = [SCORE_NOTE] if any(one.interval for one in found) else []
    selected = any(one.reference is not None and one.reference is one.selected for one in found)
    return notes + [SELECTED_NOTE] * selected


def _labels(pairings: list[Pairing], matches: Matches) -> str:
    """`all`, or the printed rows; with their arms where a row has several."""
    if len(pairings) == len(matches.pairings):
        return "all"
    counts = Counter(pairing.label for pairing in matches.pairings)
    return "; ".join(
        pairing.label if counts[pairing.label] == 1 else f"{pairing.label} ({pairing.arm})"
        for pairing in pairings
    )


def _sides_grid(matches: Matches) -> Grid:
    """Data and protocol on both sides, what differs first."""
    held: dict[tuple[str, str, str, bool], list[Pairing]] = {}
    for pairing in matches.pairings:
        for side in pairing.sides:
            held.setdefault((side.what, side.printed, side.ours, side.differs), []).append(pairing)
    ordered = sorted(held.items(), key=lambda item: not item[0][3])
    rows = tuple(
        (
            what,
            printed,
            ours,
            "differ" if differs else "agree" if printed == ours else "cannot be told",
            _labels(pairings, matches),
        )
        for (what, printed, ours, differs), pairings in ordered
    )
    headings = ("what", "printed", "this campaign", "they", "rows")
    return Grid("Data and protocol on both sides", headings, "llllw", rows)


def _figures(row: PrintedRow) -> str:
    parts = (
        f"{METRICS[name].label} {figure.text} {METRICS[name].unit}"
        for name, figure in row.figures.items()
        if figure.number is not None
    )
    return ", ".join(parts)


def _rows_grid(rows: tuple[PrintedRow, ...], table: PaperTable) -> Grid | None:
    """What the paper prints and no arm of the campaign repeats."""
    if not rows:
        return None
    cells = tuple(
        (_place(row), row.method, DATA_SETS[row.data_set].title, _figures(row), row.note) for row in rows
    )
    headings = ("row", "method", "data", "printed", "note")
    return Grid(f"Rows of {table.printed} without an arm", headings, "rllww", cells, folded=True)


def _place(row: PrintedRow) -> str:
    return NOTHING if row.row is None else str(row.row)


def _compared_grid(matches: Matches) -> Grid | None:
    """The printed rows that have an arm, each repeat of its own, with what is to be known of them: doubtful
    digits, contradictions."""
    rows = {id(row): row for pairing in matches.pairings for row in pairing.rows}
    if not rows:
        return None
    cells = tuple((_place(row), row.method, _figures(row), row.note) for row in rows.values())
    return Grid("Printed rows with an arm", ("row", "method", "printed", "note"), "rlww", cells, folded=True)


def _points(matches: Matches, table: PaperTable) -> tuple[str, ...]:
    """In plain words: what is not comparable and why, and what has no partner."""
    points = [] if matches.pairings else [f"No arm of this campaign repeats a row of {table.title}."]
    gaps: dict[str, list[Pairing]] = {}
    for pairing in matches.pairings:
        for gap in pairing.gaps:
            gaps.setdefault(f"{gap.what}: printed {gap.printed}, here {gap.ours}", []).append(pairing)
    apart = [pairing for pairing in matches.pairings if pairing.gaps]
    if apart:
        labels = _labels(apart, matches)
        said = "comparable with the print, and no difference is taken"
        some = f"The scores of some rows are not {said}: {labels}."
        points.append(f"None of the scores is {said}." if labels == "all" else some)
    for text, pairings in gaps.items():
        labels = _labels(pairings, matches)
        points.append(f"Different: {text}{'' if labels == 'all' else f' ({labels})'}.")
    if matches.arms_alone:
        points.append(f"Arms without a printed row: {'; '.join(matches.arms_alone)}.")
    return tuple(points)


def paper(records: Records, table: PaperTable) -> Section:
    """The arms of a campaign beside the rows of one table, and what stands alone on either side."""
    matches = match(records, table)
    lines = {name: _lines(records, table, matches, name) for name in table.metrics}
    grids: list[Grid | None] = [
        _metric_grid(records, table, name, present) for name, present in lines.items() if present
    ]
    grids += [_sides_grid(matches)] if matches.pairings else []
    grids += [_compared_grid(matches), _rows_grid(matches.rows_alone, table)]
    return Section(
        f"Beside {table.title}",
        INTRO.format(title=table.title, shows=table.shows),
        points=(*_points(matches, table), *_explained([one for part in lines.values() for _, one in part])),
        grids=tuple(grid for grid in grids if grid is not None),
    )
