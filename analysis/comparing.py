"""The sections of a report that compare: a verdict for each arm, and the figures behind it."""

from __future__ import annotations

from analysis import words
from analysis.cautions import paired_seeds
from analysis.comparability import grounds
from analysis.comparisons import Comparison, comparisons, verdict
from analysis.data_sets import beside
from analysis.effects import relative_interval
from analysis.pages import Grid, Records, Section, values
from analysis.permutations import DRAWS, LEVEL, MOST_WAYS, paired, repeats_to_pass, smallest_paired
from analysis.random_arms import random_arms
from analysis.spreads import spreads
from analysis.statistics import compare, summarise
from analysis.words import NOTHING

MEASURES = {"mAP": "mAP", "rank_1": "rank-1"}
# The score by which arms are judged; the others are told beside it.
MAIN = "mAP"

HOW = (
    "Exact p: Fisher's permutation test of the difference of means, two-sided; in brackets the smallest p "
    "that as many repeats can give. Corrected: after Holm, over all arms that are compared. "
    "Effect: Hedges' g, the difference in standard deviations of a repeat."
)
DRAWN = (
    f"Of more than {MOST_WAYS:,} ways to deal the repeats, as from 11 against 11 on, {DRAWS:,} are drawn: "
    "such a p is not exact in its last digits."
)
CUT = "No difference lies beyond 100 points: of an interval that does, the part within is shown."


def verdicts(records: Records) -> Section | None:
    """What the comparison of every arm with the baseline comes to."""
    if len(records.arms_with("train")) < 2:
        return None
    baseline = records.baseline
    if baseline is None or baseline not in records.arms_with("train"):
        return Section("Verdict", _without_baseline(records.facts.get("baseline")))
    found = comparisons(records, MAIN)
    baselines = _baselines(found) or [baseline]
    whom = baseline if len(baselines) == 1 else "the baseline on the same data"
    intro = (
        f"By {MEASURES[MAIN]} beside {whom}, over the repeats that are done. A difference passes "
        f"at a corrected p of {LEVEL:g}. Not told apart is not the same as equal."
    )
    head, lines = _with_baseline(("arm", "verdict"), [(one.arm, verdict(one)) for one in found], found)
    align = "lw" if len(head) == 2 else "llw"
    return Section("Verdict", intro, _warnings(found), grids=(Grid("Verdicts", head, align, lines),))


def _baselines(found: list[Comparison]) -> list[str]:
    return list(dict.fromkeys(one.baseline for one in found))


def _with_baseline(
    headings: tuple[str, ...], rows: list[tuple[str, ...]], found: list[Comparison]
) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
    """Headings and rows of comparisons, with the baseline of each after its arm where there are several."""
    if len(_baselines(found)) < 2:
        return headings, tuple(rows)
    wider = ((row[0], one.baseline, *row[1:]) for row, one in zip(rows, found, strict=True))
    return (headings[0], "baseline", *headings[1:]), tuple(wider)


def _without_baseline(named: object) -> str:
    """Why nothing is compared: no baseline is named, or what is named trains nothing, or not yet."""
    if not named:
        return "The campaign names no baseline: its arms are not compared. --baseline ARM compares with one."
    return f"The baseline, {named}, has no training in the plan: its arms are not compared with it."


def _warnings(found: list[Comparison]) -> tuple[str, ...]:
    """That the whole design cannot show anything, said once."""
    tested = [one for one in found if one.exact is not None]
    if not tested or not all(one.hopeless for one in tested):
        return ()
    need, times = repeats_to_pass(tested[0].family), words.counted(tested[0].family, "comparison")
    return (
        f"With as many repeats as are done, no exact test of {times} can pass: {need} repeats of each arm "
        "make it possible. The intervals below are what these repeats can say.",
    )


def comparison_section(records: Records) -> Section | None:
    """The figures behind the verdicts: differences, pairs, the random arms, and what spreads are made of."""
    differences = [_differences(records, column, label) for column, label in MEASURES.items()]
    grids = [*differences, _pairs(records), _relative(records), spreads(records)]
    kept = tuple(grid for grid in grids if grid is not None)
    return Section("Comparison", HOW if any(differences) else "", grids=kept) if kept else None


def _differences(records: Records, column: str, label: str) -> Grid | None:
    found = comparisons(records, column)
    if not found:
        return None
    named = (
        "arm",
        "repeats (arm, baseline)",
        "points",
        "95% interval",
        "relative, 95% interval",
        "effect",
        "exact p",
        "corrected p",
    )
    note = (
        f"Difference of the mean {label} in percentage points with Welch's interval, and relative to the "
        "baseline with Fieller's."
    )
    if any(not one.exact.exact for one in found if one.exact):
        note += f" {DRAWN}"
    cut = [one.difference.interval for one in found if one.difference and one.difference.interval]
    if any(words.within(interval, -1, 1) != interval for interval in cut):
        note += f" {CUT}"
    refused = [f"{one.arm} is left out: {'; '.join(one.refused)}." for one in found if one.refused]
    whom = f", {found[0].baseline}" if len(_baselines(found)) == 1 else " on the same data"
    headings, rows = _with_baseline(named, [_difference_row(one) for one in found], found)
    align = "l" * (len(headings) - 7) + "r" * 7
    title = f"Difference to the baseline{whom}: {label}"
    return Grid(title, headings, align, rows, " ".join([note, *refused]), latex=True)


def _difference_row(one: Comparison) -> tuple[str, ...]:
    counts = f"{len(one.ours)}, {len(one.theirs)}"
    if one.refused:
        return (one.arm, counts, "not comparable", *(NOTHING,) * 5)
    if one.difference is None or one.exact is None or one.adjusted is None:
        return (one.arm, counts, *(NOTHING,) * 6)
    return (
        one.arm,
        counts,
        words.points(one.difference.difference),
        words.difference_between(one.difference),
        words.relative(one.difference.relative, one.relative),
        NOTHING if one.effect is None else f"{one.effect:+.1f}",
        f"{words.probability(one.exact.p)} ({words.probability(one.exact.smallest)})",
        words.probability(one.adjusted),
    )


def _pairs(records: Records) -> Grid | None:
    """Repeat by repeat, where a repeat takes the same seeds in every arm."""
    pairs = beside(records) if paired_seeds(records) else {}
    known, rows = grounds(records), []
    for arm, baseline in pairs.items():
        ours, theirs = _by_repeat(records, arm), _by_repeat(records, baseline)
        both = sorted(set(ours) & set(theirs))
        if len(both) < 2 or known.obstacles((arm, baseline)):
            continue
        found = [ours[repeat] - theirs[repeat] for repeat in both]
        summary = summarise(found)
        test = paired([ours[repeat] for repeat in both], [theirs[repeat] for repeat in both])
        rows.append(
            (
                arm,
                str(len(both)),
                " · ".join(words.points(value) for value in found),
                words.points(summary.mean),
                words.points_between(summary),
                f"{words.probability(test.p)} ({words.probability(smallest_paired(len(both)))})",
            )
        )
    if not rows:
        return None
    headings = ("arm", "pairs", "points, each repeat", "mean", "95% interval", "exact p")
    note = (
        "Repeat r has the same seeds in both arms. Differences of mAP with Student's interval; exact p: sign "
        "changes of the differences, in brackets the smallest that as many pairs can give. Equal seeds tie "
        "two networks loosely: where pairs spread as widely as the arms do, nothing is gained by pairing."
    )
    several_sets = len(set(pairs.values())) > 1
    whom = " on the same data" if several_sets else f", {next(iter(pairs.values()))}"
    return Grid(f"Paired with the baseline{whom}: mAP", headings, "lrlrrr", tuple(rows), note)


def _by_repeat(records: Records, arm: str) -> dict[int, float]:
    rows = records.retrains[records.retrains["arm"] == arm]
    return dict(zip(rows["repeat"], rows[MAIN], strict=True))


def _relative(records: Records) -> Grid | None:
    """Every searched arm beside the arms of its space that search nothing."""
    rows, refused, known = [], [], grounds(records)
    for arm, random in random_arms(records):
        if reasons := known.obstacles((arm, random)):
            refused.append(f"{arm} and {random} are not compared: {'; '.join(reasons)}.")
            continue
        ours, theirs = (values(records.retrains, one, MAIN) for one in (arm, random))
        if not (ours and theirs):
            continue
        found = compare(ours, theirs)
        share = words.relative(found.relative, relative_interval(ours, theirs))
        rows.append((arm, random, f"{found.n}, {found.n_baseline}", words.points(found.difference), share))
    if not (rows or refused):
        return None
    headings = ("arm", "random arm", "repeats", "points", "relative improvement, 95% interval")
    note = (
        "What the search adds to drawing at random from its space (relative improvement: Yang, Esperança and "
        "Carlucci, 2020); Fieller's interval. Not corrected for several comparisons. "
    )
    return Grid("Beside the random arms: mAP", headings, "llrrr", tuple(rows), note + " ".join(refused))
