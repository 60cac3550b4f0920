"""How the searches of every arm fared: what tells a search that went wrong, beside its score."""

from __future__ import annotations

import pandas as pd

from analysis import words
from analysis.pages import Grid, Records, Section, values
from analysis.statistics import summarise
from analysis.words import NOTHING

# A gap or a share from which a search is called into question: one genotype out of five edges, and a network
# that loses a tenth of its accuracy, or a rise of the eigenvalue by the factor of RobustDARTS' rule.
GAP = 0.10
SKIPS = 0.5
RISE = 1 / 0.75
# Below this share of its first value an entropy has gone down: alphas prefer some options.
DECIDED = 0.98

INTRO = (
    "What the searches say of themselves at their end, beside their scores. A search in which skip "
    "connections take over, whose supernet loses much of its accuracy when one branch is left at each place, "
    "whose largest eigenvalue rises, or whose alphas stay uniform has not found what it was asked for."
)
NOTE = (
    "Means over the searches that recorded it. The gap is the supernet's accuracy less that of the genotype "
    "alone, on the same held-out images; the entropy is that of softmax(alpha), also as a share of the first "
    "epoch's; the rise is the largest eigenvalue of the last epoch over its lowest."
)
MEASURED = ("discretisation_gap", "share_skip_connect", "share_parameter_free", "alpha_entropy")


def _ends(epochs: pd.DataFrame) -> pd.DataFrame:
    """One row for each search: every measure in the last epoch that has it, with entropy and eigenvalue put
    in relation to earlier epochs."""
    rows = []
    # By job: the points of a sweep have repeats of the same number.
    for key, found in epochs.sort_values("epoch").groupby(["arm", "job"], sort=False):
        row: dict[str, object] = {"arm": key[0], "repeat": found["repeat"].iloc[0]}
        for column in MEASURED:
            given = found[column].dropna()
            row[column] = given.iloc[-1] if len(given) else None
        entropy, eigen = found["alpha_entropy"].dropna(), found["alpha_eigenvalue"].dropna()
        row["entropy_share"] = (
            entropy.iloc[-1] / entropy.iloc[0] if len(entropy) and entropy.iloc[0] else None
        )
        row["rise"] = eigen.iloc[-1] / eigen.min() if len(eigen) > 1 and eigen.min() > 0 else None
        rows.append(row)
    columns = ["arm", "repeat", *MEASURED, "entropy_share", "rise"]
    return pd.DataFrame(rows, columns=columns)


def _mean(ends: pd.DataFrame, arm: str, column: str) -> float | None:
    given = values(ends, arm, column)
    return summarise(given).mean if given else None


def _verdict(figures: dict[str, float | None], collapsed: int, stopped: int, finished: int) -> str:
    """What stands out, in words; `nothing stands out` where measures are there and all are in order."""
    gap, skips = figures["discretisation_gap"], figures["share_skip_connect"]
    entropy, rise = figures["entropy_share"], figures["rise"]
    said = [
        (collapsed > 0, f"{collapsed} of {finished} collapsed"),
        (stopped > 0, f"{stopped} stopped early"),
        (skips is not None and skips >= SKIPS, "skip connections took over"),
        (gap is not None and gap >= GAP, "large gap"),
        (rise is not None and rise >= RISE, "the eigenvalue rose"),
        (entropy is not None and entropy > DECIDED, "alphas hardly moved"),
    ]
    found = [text for holds, text in said if holds]
    if found:
        return "; ".join(found)
    return "nothing stands out" if any(value is not None for value in figures.values()) else "not measured"


def _row(records: Records, ends: pd.DataFrame, arm: str) -> tuple[str, ...]:
    found = records.genotypes[(records.genotypes["arm"] == arm) & (records.genotypes["found_by"] == "search")]
    collapsed = found["collapsed"].dropna()
    stopped = int(found["stopped_epoch"].notna().sum())
    columns = (*MEASURED, "entropy_share", "rise")
    figures = {column: _mean(ends, arm, column) for column in columns}
    shares = ("share_skip_connect", "share_parameter_free", "entropy_share")
    skips, free, entropy = (NOTHING if (v := figures[c]) is None else words.percent(v) for c in shares)
    gap, end, rise = figures["discretisation_gap"], figures["alpha_entropy"], figures["rise"]
    return (
        arm,
        f"{len(found)} of {records.planned(arm, 'search')}",
        _verdict(figures, int(collapsed.sum()), stopped, len(found)),
        NOTHING if gap is None else words.points(gap),
        skips,
        free,
        f"{int(collapsed.sum())} of {len(collapsed)}" if len(collapsed) else NOTHING,
        NOTHING if end is None else words.significant(end),
        entropy,
        NOTHING if rise is None else f"{rise:.2f}",
        str(stopped),
    )


def health(records: Records) -> Section | None:
    """Discretisation gap, skip connections, entropy, eigenvalue and early stopping, by arm."""
    arms = records.arms_with("search")
    epochs = records.epochs[records.epochs["kind"] == "search"]
    if not arms or epochs.empty:
        return None
    ends = _ends(epochs)
    headings = (
        *("arm", "searches", "in short", "gap, points", "skips, %", "without parameters, %", "collapsed"),
        *("alpha entropy, nats", "of its start, %", "eigenvalue, rise", "stopped early"),
    )
    rows = tuple(_row(records, ends, arm) for arm in arms)
    return Section(
        "Search health", INTRO, grids=(Grid("Searches at their end", headings, "lrlrrrrrrrr", rows, NOTE),)
    )
