"""Searches whose genotype has collapsed, or that were stopped early: they are named, and stay in every
figure."""

from __future__ import annotations

import pandas as pd

from analysis import words
from analysis.pages import Records

WHAT = "half of the normal cell's edges or more are pooling or skips, without parameters"
WHY = (
    "They count in every figure, as any repeat does. A share of such operations that grows over the epochs "
    "(share_parameter_free in the table epochs) tells of a search that went on for too long."
)
STOPPED = (
    "as the largest eigenvalue of the Hessian of the alphas' objective rose; their genotypes are those of an "
    "earlier epoch (stopped_epoch and genotype_epoch in the table genotypes), and they saw fewer images than "
    "the others."
)


def _named(records: Records, found: pd.DataFrame) -> str:
    """Searches by arm and repeat: how many of all there are, and which."""
    searches = records.genotypes[records.genotypes["found_by"] == "search"]
    arms = []
    for arm in records.arms:
        repeats = found.loc[found["arm"] == arm, "repeat"]
        if len(repeats):
            arms.append(f"{arm}: {'repeats' if len(repeats) > 1 else 'repeat'} {words.numbers(repeats)}")
    count = f"{len(found)} of {words.counted(len(searches), 'search', 'searches')}"
    return f"{count} {{}} ({'; '.join(arms)})"


def collapses(records: Records) -> list[str]:
    """A sentence on the searches that collapsed, and one on those that stopped early; none where none did."""
    collapsed = records.genotypes[records.genotypes["collapsed"].fillna(False).astype(bool)]
    stopped = records.genotypes[records.genotypes["stopped_epoch"].notna()]
    found = []
    if not collapsed.empty:
        found.append(f"{_named(records, collapsed).format('collapsed')}: {WHAT}. {WHY}")
    if not stopped.empty:
        found.append(f"{_named(records, stopped).format('stopped early')}, {STOPPED}")
    return found
