"""Figures as SVG text: learning curves, and the repeats of every arm.

Drawn with matplotlib's objects, without pyplot. Equal data give equal text. Ink takes the colour of the
surrounding text, and the colours of the arms stand out on white and on dark grounds alike.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from html import escape
from typing import Any, Literal

import matplotlib
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator

from analysis.statistics import Summary
from analysis.words import shortened
from autoreid.records import TABLES

# At least 3:1 against white and against the dark ground, and told apart under the common colour blindnesses;
# after the last one they begin again with another line style.
COLOURS = ("#1f7fc4", "#d55e00", "#00936b", "#b964a5", "#a17a00", "#7b70d6", "#0f95ad", "#c9566b")
LineStyle = Literal["-", "--", ":", "-."]
STYLES: tuple[LineStyle, ...] = ("-", "--", ":", "-.")
Look = tuple[str, LineStyle]
GROUNDS = ("#ffffff", "#16191f")

# Stands for "the colour of the surrounding text" until the SVG is written.
INK = "#010203"

SETTINGS: dict[Any, Any] = {
    "svg.fonttype": "none",
    "text.parse_math": False,
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 10.0,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "axes.titlesize": 10.5,
    "axes.titlelocation": "left",
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.labelsize": 9.0,
    "ytick.labelsize": 9.0,
    "legend.fontsize": 9.0,
    "legend.frameon": False,
    "grid.color": INK,
    "grid.alpha": 0.15,
    "grid.linewidth": 0.8,
}

STYLE = (
    "<style>.autoreid-figure{color:#2b2f36}.autoreid-figure text{font-family:system-ui,sans-serif!important}"
    "@media (prefers-color-scheme:dark){.autoreid-figure{color:#d6d9de}}"
    "@media print{.autoreid-figure{color:#2b2f36}}</style>"
)

WIDTH, HEIGHT = 4.8, 2.9

# The y axis of a curve spans at least this share of its values, so that a change that does not matter looks
# flat, as it is.
LEAST_SPAN = 0.01
UNITS = {column.name: column.unit for column in TABLES["epochs"]}
NO_METADATA = dict.fromkeys(("Date", "Creator", "Format", "Type"))


@contextmanager
def _settings(salt: str) -> Iterator[None]:
    with matplotlib.rc_context({**SETTINGS, "svg.hashsalt": salt}):
        yield


def arm_colours(arms: Sequence[str]) -> dict[str, Look]:
    """A colour and a line style for every arm, by its place in the campaign.

    >>> arm_colours(["a", "b"])["b"]
    ('#d55e00', '-')
    """
    count = len(COLOURS)
    return {arm: (COLOURS[i % count], STYLES[i // count % len(STYLES)]) for i, arm in enumerate(arms)}


def _to_svg(figure: Figure, name: str, title: str) -> str:
    """The figure as SVG text that can stand alone or in a page: ids begin with `name`, nothing is fetched."""
    buffer = io.StringIO()
    with warnings.catch_warnings():
        # Text stays text: the reader's fonts draw what the one that measures it lacks.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure.savefig(buffer, format="svg", transparent=True, metadata=NO_METADATA)
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = text.replace("xlink:href", "href").replace(' xmlns:xlink="http://www.w3.org/1999/xlink"', "")
    text = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{name}-", text).replace(INK, "currentColor")
    head = f'<svg class="autoreid-figure" role="img" aria-label="{escape(title)}"'
    text = text.replace("<svg", head, 1)
    end = text.index(">") + 1
    return f"{text[:end]}\n<title>{escape(title)}</title>\n{STYLE}{text[end:].rstrip()}\n"


def _legend(figure: Figure, arms: dict[str, Look]) -> None:
    """The arms below the axes; the figure grows with their number. One arm needs no legend."""
    if len(arms) < 2:
        return
    lines = [Line2D([], [], color=colour, linestyle=style, linewidth=2) for colour, style in arms.values()]
    names = [shortened(arm, 34) for arm in arms]
    columns = 2 if max(map(len, names)) <= 22 else 1
    figure.set_figheight(HEIGHT + 0.19 * -(-len(arms) // columns))
    figure.legend(lines, names, loc="outside lower left", ncols=columns)


def _axes(height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    FigureCanvasSVG(figure)
    return figure, figure.add_subplot()


def _y_axis(axes: Axes, percent: bool) -> None:
    """Plain numbers without an offset, over no less than `LEAST_SPAN` of the values."""
    low, high = axes.get_ylim()
    least = LEAST_SPAN * max(abs(low), abs(high))
    if high - low < least:
        middle = (low + high) / 2
        axes.set_ylim(middle - least / 2, middle + least / 2)
    if percent:
        axes.yaxis.set_major_formatter(FuncFormatter(_as_percent))
    else:
        axes.ticklabel_format(axis="y", useOffset=False)


def _as_percent(value: float, _: int | None = None) -> str:
    return f"{100 * value:.4g}%"


def learning_curves(epochs: pd.DataFrame, column: str, title: str, arms: dict[str, Look], name: str) -> str:
    """One column over the epochs as SVG text: a line for each repeat, a colour for each arm.

    `epochs`: rows of the table of that name, of one campaign and one kind of job; fractions are drawn as
    percent. `name` must be letters,
    digits and hyphens: the ids of the figure begin with it.
    """
    with _settings(name):
        figure, axes = _axes(HEIGHT)
        shown = epochs[epochs[column].notna()]
        present = {arm: style for arm, style in arms.items() if (shown["arm"] == arm).any()}
        marker = "o" if shown["epoch"].nunique() <= 12 else ""
        for (arm, _), rows in shown.groupby(["arm", "job"], sort=False):
            colour, style = arms[str(arm)]
            axes.plot(
                rows["epoch"].tolist(),
                rows[column].tolist(),
                color=colour,
                linestyle=style,
                linewidth=1.4,
                marker=marker,
                markersize=3,
            )
        axes.set_title(title)
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True, min_n_ticks=1))
        _y_axis(axes, percent=UNITS[column] == "fraction")
        axes.grid(axis="y")
        _legend(figure, present)
        return _to_svg(figure, name, title)


def repeats(
    summaries: dict[str, Summary], untrained: dict[str, float], title: str, colours: dict[str, str], name: str
) -> str:
    """Every repeat of every arm as SVG text, in percent: dots, the mean, and its interval.

    `summaries` holds fractions by arm; `untrained` the untrained network's mean, where it is known; `colours`
    one for each arm. `name` as for `learning_curves`.
    """
    with _settings(name):
        figure, axes = _axes(1.0 + 0.46 * len(summaries))
        for row, (arm, summary) in enumerate(summaries.items()):
            _one_arm(axes, row, summary, untrained.get(arm), colours[arm])
        axes.set_yticks(range(len(summaries)), [shortened(arm, 26) for arm in summaries])
        axes.set_ylim(len(summaries) - 0.5, -0.5)
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        low, high = axes.get_xlim()
        axes.set_xlim(max(low, -2.0), min(high, 102.0))  # an interval may reach where no score can be
        axes.set_title(title)
        axes.grid(axis="x")
        return _to_svg(figure, name, title)


def _one_arm(axes: Axes, row: int, summary: Summary, untrained: float | None, colour: str) -> None:
    above, below = row - 0.13, row + 0.13
    axes.plot(
        [100 * v for v in summary.values], [above] * summary.n, "o", color=colour, markersize=5, alpha=0.75
    )
    if summary.interval:
        axes.plot([100 * end for end in summary.interval], [below] * 2, color=colour, linewidth=2)
    axes.plot([100 * summary.mean], [below], "D", color=colour, markersize=5)
    if untrained is not None:
        axes.plot([100 * untrained], [row], "x", color=INK, markersize=5, alpha=0.6)


def scatter(
    arms: dict[str, tuple[float, Summary]],
    front: Sequence[str],
    label: str,
    title: str,
    colours: dict[str, str],
    name: str,
) -> str:
    """The mean of every arm in percent, with its interval, over what it costs, as SVG text.

    `arms` holds the cost and the repeats of each, `front` the arms that a line joins, in the order of their
    costs; `label` says what the cost is, with its unit. `colours` and `name` as for `repeats`.
    """
    with _settings(name):
        figure, axes = _axes(HEIGHT)
        steps = [(arms[arm][0], 100 * arms[arm][1].mean) for arm in front]
        axes.plot([x for x, _ in steps], [y for _, y in steps], color=INK, linewidth=0.8, alpha=0.4, zorder=0)
        for arm, (cost, summary) in arms.items():
            mean, colour = 100 * summary.mean, colours[arm]
            if summary.interval:
                low, high = (min(max(100 * end, 0.0), 100.0) for end in summary.interval)
                axes.plot([cost, cost], [low, high], color=colour, linewidth=1.2, alpha=0.6)
            face = colour if arm in front else "none"
            axes.plot([cost], [mean], "o", markeredgecolor=colour, markerfacecolor=face, markersize=6)
        axes.set_title(title)
        axes.set_xlabel(label)
        axes.margins(x=0.08)
        axes.grid()
        _legend(figure, {arm: (colours[arm], "-") for arm in arms})
        return _to_svg(figure, name, title)
