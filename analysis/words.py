"""Numbers as people read them: never more digits than the number of repeats supports."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from analysis.statistics import Difference, Interval, Summary

NOTHING = "-"
SHORT = 12
NO_INTERVAL = "needs 2 repeats"
EQUAL = "repeats are equal"


def percent(fraction: float) -> str:
    """A fraction as percent with one decimal, without the sign.

    >>> percent(0.38149)
    '38.1'
    """
    return f"{100 * fraction:.1f}"


def points(difference: float) -> str:
    """A difference of fractions in percentage points, with its sign.

    >>> points(0.0123), points(-0.00001)
    ('+1.2', '+0.0')
    """
    return f"{round(100 * difference, 1) + 0.0:+.1f}"


def spread(summary: Summary) -> str:
    """Mean and sample standard deviation in percent; with one repeat, the value alone."""
    if summary.deviation is None:
        return percent(summary.mean)
    return f"{percent(summary.mean)} ± {percent(summary.deviation)}"


def within(interval: Interval, lowest: float, highest: float) -> Interval:
    """The part of an interval that a value can lie in.

    >>> within((-0.2, 0.4), 0, 1)
    (0, 0.4)
    """
    return max(interval[0], lowest), min(interval[1], highest)


def probability(p: float) -> str:
    """A p-value with three decimals, never as 0.

    >>> probability(2 / 70), probability(0.125), probability(0.00001), probability(0.2), probability(1)
    ('0.029', '0.125', '<0.001', '0.2', '1')
    """
    return "<0.001" if p < 0.001 else f"{p:.3f}".rstrip("0").rstrip(".")


def between(summary: Summary) -> str:
    """The interval of a score, in percent: the part within 0 to 100, or why there is none."""
    if summary.interval is None:
        return NO_INTERVAL if summary.n < 2 else EQUAL
    low, high = within(summary.interval, 0, 1)
    return f"{percent(low)} to {percent(high)}"


def difference_between(found: Difference) -> str:
    """The interval of a difference of scores, in percentage points from -100 to 100, or why there is none."""
    if found.interval is None:
        return NO_INTERVAL if min(found.n, found.n_baseline) < 2 else EQUAL
    low, high = within(found.interval, -1, 1)
    return f"{points(low)} to {points(high)}"


def points_between(summary: Summary) -> str:
    """The interval of differences of scores, as `difference_between` has it."""
    if summary.interval is None:
        return NO_INTERVAL if summary.n < 2 else EQUAL
    low, high = within(summary.interval, -1, 1)
    return f"{points(low)} to {points(high)}"


def relative(share: float | None, interval: Interval | None) -> str:
    """A relative difference in percent, with its interval where there is one.

    >>> relative(0.069, (0.019, 0.121)), relative(0.069, None), relative(None, None)
    ('+6.9% (+1.9 to +12.1)', '+6.9%', '-')
    """
    if share is None:
        return NOTHING
    ends = "" if interval is None else f" ({points(interval[0])} to {points(interval[1])})"
    return f"{points(share)}%{ends}"


def each(values: Sequence[float]) -> str:
    """All repeats in percent."""
    return " · ".join(percent(value) for value in values)


def significant(value: float | None, digits: int = 3) -> str:
    """A number with so many significant digits; whole parts are never cut.

    >>> significant(0.123456), significant(1234.56), significant(0.00001234), significant(None)
    ('0.123', '1,235', '1.23e-05', '-')
    """
    if value is None or math.isnan(value):
        return NOTHING
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    exponent = math.floor(math.log10(abs(value)))
    if exponent < -4:
        return f"{value:.{digits - 1}e}"
    return f"{value:,.{max(0, digits - 1 - exponent)}f}"


def significant_spread(summary: Summary) -> str:
    """Mean ± standard deviation, the deviation with two significant digits and the mean to its place.

    >>> from analysis.statistics import summarise
    >>> significant_spread(summarise([3.21, 3.34])), significant_spread(summarise([3.21]))
    ('3.275 ± 0.092', '3.21')
    >>> significant_spread(summarise([2.48491, 2.48492]))
    '2.485 ± <0.001'
    """
    deviation = summary.deviation
    if not deviation or summary.mean == 0:
        return significant(summary.mean)
    places = 1 - math.floor(math.log10(deviation))
    digits = max(0, min(places, 3 - math.floor(math.log10(abs(summary.mean)))))
    least = 10.0**-digits
    reach = f"{deviation:,.{digits}f}" if deviation >= least / 2 else f"<{least:.{digits}f}"
    return f"{summary.mean:,.{digits}f} ± {reach}"


def duration(seconds: float | None) -> str:
    """Wall time in the unit that suits it.

    >>> duration(42.13), duration(600), duration(40000), duration(400000)
    ('42.1 s', '10.0 min', '11.1 h', '4.6 days')
    """
    if seconds is None or math.isnan(seconds):
        return NOTHING
    for limit, size, unit in ((100, 1, "s"), (7200, 60, "min"), (172800, 3600, "h")):
        if seconds < limit:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds / 86400:.1f} days"


def memory(count: float | None) -> str:
    """Bytes in the unit that suits it.

    >>> memory(1536 * 2**20)
    '1.5 GiB'
    """
    if count is None or math.isnan(count):
        return NOTHING
    return f"{count / 2**30:.1f} GiB" if count >= 2**30 else f"{count / 2**20:.0f} MiB"


def millions(count: int, decimals: int) -> str:
    """A count in millions.

    >>> millions(955_064_320, 2)
    '955.06 M'
    """
    return f"{count / 1e6:,.{decimals}f} M"


def counted(count: int, singular: str, plural: str = "") -> str:
    """
    >>> counted(1, "job"), counted(2, "job"), counted(2, "search", "searches")
    ('1 job', '2 jobs', '2 searches')
    """
    return f"{count} {singular if count == 1 else plural or singular + 's'}"


def numbers(repeats: Iterable[int]) -> str:
    """Repeats as people count them, from 1.

    >>> numbers([2, 0])
    '1, 3'
    """
    return ", ".join(str(repeat + 1) for repeat in sorted(repeats))


def shortened(text: str, limit: int) -> str:
    """The text on one line, cut at `limit` characters."""
    line = " ".join(text.split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def aligned(headings: Sequence[str], rows: Sequence[Sequence[str]], numeric: str = "") -> str:
    """A text table for a terminal; `numeric` holds an `r` for each column that is set flush right.

    >>> print(aligned(("arm", "n"), [("a", "4"), ("longer", "12")], "lr"))
    arm      n
    a        4
    longer  12
    """
    table = [list(headings), *(list(row) for row in rows)]
    widths = [max(len(row[i]) for row in table) for i in range(len(headings))]
    right = [numeric[i : i + 1] == "r" for i in range(len(headings))]
    lines = []
    for row in table:
        cells = [c.rjust(w) if r else c.ljust(w) for c, w, r in zip(row, widths, right, strict=True)]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)
