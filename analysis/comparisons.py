"""Every arm beside the baseline: the difference, how sure it is, and what that comes to in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from analysis import words
from analysis.comparability import grounds
from analysis.data_sets import beside
from analysis.effects import hedges_g, least_difference, relative_interval
from analysis.pages import Records, values
from analysis.permutations import LEVEL, PValue, holm, repeats_to_pass, unpaired
from analysis.statistics import Difference, Interval, compare


@dataclass(frozen=True, slots=True)
class Comparison:
    """One score of an arm beside that of the baseline, among `family` such comparisons.

    `refused` says why there is none. `effect` is Hedges' g, `relative` the interval of the relative
    improvement, `least` the difference that the design would tell four times in five. `adjusted` is the
    exact p after Holm's correction over the family, `attainable` the smallest that it could be.
    """

    arm: str
    baseline: str
    column: str
    ours: tuple[float, ...]
    theirs: tuple[float, ...]
    refused: tuple[str, ...] = ()
    difference: Difference | None = None
    effect: float | None = None
    relative: Interval | None = None
    exact: PValue | None = None
    adjusted: float | None = None
    attainable: float | None = None
    least: float | None = None
    family: int = 1

    @property
    def hopeless(self) -> bool:
        """Whether no difference, however large, could pass with so many repeats and comparisons."""
        return self.attainable is not None and self.attainable > LEVEL


def comparison(
    records: Records, arm: str, baseline: str, column: str, refused: tuple[str, ...]
) -> Comparison:
    """One comparison, before it is corrected for others beside it; `refused` says why there is none."""
    ours, theirs = (tuple(values(records.retrains, one, column)) for one in (arm, baseline))
    found = Comparison(arm, baseline, column, ours, theirs)
    if refused or not (ours and theirs):
        return replace(found, refused=refused)
    return replace(
        found,
        difference=compare(ours, theirs),
        effect=hedges_g(ours, theirs),
        relative=relative_interval(ours, theirs),
        exact=unpaired(ours, theirs),
    )


def corrected(found: Sequence[Comparison]) -> list[Comparison]:
    """The comparisons of one family, with what depends on how many there are.

    Those whose repeats are not there yet count as well: waiting must not make a result.
    """
    tested = [one for one in found if one.exact is not None]
    family = sum(not one.refused for one in found)
    missing = family - len(tested)
    exact = [one.exact for one in tested if one.exact]
    # A comparison that is missing takes the last place of the order: p = 1.
    adjusted = holm([one.p for one in exact] + [1.0] * missing)
    attainable = holm(
        [one.smallest for one in exact] + [min(one.smallest for one in exact)] * missing if exact else []
    )
    # Those that are missing stand at the end of both.
    by_arm = {one.arm: (p, least) for one, p, least in zip(tested, adjusted, attainable, strict=False)}
    result = []
    for one in found:
        p, smallest = by_arm.get(one.arm, (None, None))
        least = least_difference(one.ours, one.theirs, max(family, 1)) if one.exact else None
        result.append(replace(one, family=max(family, 1), adjusted=p, attainable=smallest, least=least))
    return result


def comparisons(records: Records, column: str) -> list[Comparison]:
    """Every arm that trains beside the baseline on its data, corrected together; nothing without a
    baseline."""
    known = grounds(records)
    return corrected(
        [
            comparison(records, arm, baseline, column, known.obstacles((arm, baseline)))
            for arm, baseline in beside(records).items()
        ]
    )


def verdict(found: Comparison) -> str:
    """What a comparison comes to, in one sentence.

    A difference that does not pass is not the absence of one: the sentence says what the design would see.
    """
    if found.refused:
        return f"not comparable: {'; '.join(found.refused)}."
    if not (found.ours and found.theirs):
        missing = found.arm if not found.ours else found.baseline
        return f"no verdict yet: {missing} has no finished training."
    if found.exact is None or found.adjusted is None or found.difference is None:
        return "no verdict."
    side = "above" if found.difference.difference > 0 else "below"
    size = f"{words.points(found.difference.difference)} points"
    sure = f"p = {words.probability(found.adjusted)}{_correction(found)}"
    if found.adjusted <= LEVEL:
        return f"{side} the baseline by {size.lstrip('+-')} ({sure})."
    return f"not told apart ({size}, {sure}). {_doubt(found)}"


def _correction(found: Comparison) -> str:
    return f" after correction for {found.family} comparisons" if found.family > 1 else ""


def _doubt(found: Comparison) -> str:
    """Why a difference that does not pass says little."""
    if found.hopeless:
        n, m = len(found.ours), len(found.theirs)
        need = repeats_to_pass(found.family)
        times = words.counted(found.family, "comparison")
        return (
            f"Underpowered: with {n} and {m} repeats and {times} no difference can pass, however large; it "
            f"takes {need} repeats of each."
        )
    if found.least is None:
        return "Underpowered: the repeats do not tell how far others would lie."
    return (
        "Underpowered for small differences: one below about "
        f"{words.percent(found.least)} points would be missed more than once in five times."
    )
