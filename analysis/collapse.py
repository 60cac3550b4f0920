"""Searches whose genotype has collapsed: they are named, and stay in every figure."""

from __future__ import annotations

from analysis import words
from analysis.pages import Records

WHAT = "half of the normal cell's edges or more are pooling or skips, without parameters"
WHY = (
    "They count in every figure, as any repeat does. A share of such operations that grows over the epochs "
    "(share_parameter_free in the table epochs) tells of a search that went on for too long."
)


def collapses(records: Records) -> list[str]:
    """A sentence on the searches that collapsed, by arm and repeat; none where none did."""
    found = records.genotypes[records.genotypes["collapsed"].fillna(False).astype(bool)]
    if found.empty:
        return []
    arms = []
    for arm in records.trials["arm"].unique():
        repeats = found.loc[found["arm"] == arm, "repeat"]
        if len(repeats):
            arms.append(f"{arm}: {'repeats' if len(repeats) > 1 else 'repeat'} {words.numbers(repeats)}")
    count = f"{len(found)} of {words.counted(len(records.genotypes), 'search', 'searches')}"
    return [f"{count} collapsed ({'; '.join(arms)}): {WHAT}. {WHY}"]
