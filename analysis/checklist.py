"""The best practices of architecture search, and which of them a campaign's records show to be met.

Source: M. Lindauer and F. Hutter, "Best Practices for Scientific Research on Neural Architecture Search",
Journal of Machine Learning Research 21(243), 2020; the points in our words. Every verdict is judged from the
tables: what they do not hold cannot be told.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from analysis import practices
from analysis.ablations import ablation
from analysis.pages import Grid, Records, Section
from analysis.practices import ABSENT, MET, MISSED, UNKNOWN, Finding

SOURCE = (
    'After M. Lindauer and F. Hutter, "Best Practices for Scientific Research on Neural Architecture '
    'Search", Journal of Machine Learning Research 21(243), 2020. Judged from the records of this campaign, '
    "and from nothing else."
)
NOTE = (
    "Left out: whether the code is public, which no record tells, and in-depth studies on tabular or "
    "surrogate benchmarks, of which these search spaces have none."
)
# The verdicts, with the class by which a page colours them.
VERDICTS = {MET: "done", MISSED: "failed", UNKNOWN: "waiting", ABSENT: "waiting"}


@dataclass(frozen=True, slots=True)
class Practice:
    """A point of the list: its group, what is asked for, and how it is judged."""

    group: str
    point: str
    judge: Callable[[Records], Finding]


PRACTICES = (
    Practice(
        "Reproducible", "The recipe of the final trainings is given in full", practices.training_recipes
    ),
    Practice("Reproducible", "The search space is named, with its version", practices.search_spaces),
    Practice("Reproducible", "The hyperparameters of the search are given in full", practices.search_recipes),
    Practice("Reproducible", "The seeds of searches and trainings are given", practices.seeds),
    Practice("Reproducible", "The version of the code is given", practices.code_version),
    Practice("Comparison", "All arms use the same data", practices.same_data),
    Practice("Comparison", "All arms train their networks by the same recipe", practices.same_training),
    Practice("Comparison", "All arms are evaluated by the same protocol", practices.same_protocol),
    Practice("Comparison", "Confounders are held fixed: versions, devices, threads", practices.confounders),
    Practice(
        "Comparison", "Networks drawn at random from the same space are trained", practices.random_sampling
    ),
    Practice("Comparison", "Random search has the budget of the search", practices.random_search),
    Practice("Comparison", "Several repeats with seeds of their own", practices.repeats),
    Practice("Comparison", "An ablation: an arm differs from the baseline in one thing", ablation),
    Practice("Comparison", "Progress over the time of the search is reported", practices.over_time),
    Practice("Comparison", "Selection is on validation data, never on the test set", practices.selection),
    Practice("Reporting", "Tuning is reported, and its cost is charged", practices.tuning),
    Practice("Reporting", "The cost of everything is reported, failed attempts too", practices.whole_cost),
    Practice("Reporting", "The hardware is reported", practices.hardware),
    Practice("Reporting", "Everything that was planned is done", practices.complete),
)


def judged(records: Records) -> Iterator[tuple[Practice, Finding]]:
    """Every point of the list with what the records say of it."""
    for practice in PRACTICES:
        yield practice, practice.judge(records)


def checklist(records: Records) -> Section:
    """The list as a section: verdict and reason for every point."""
    found = list(judged(records))
    counts = {verdict: sum(finding.verdict == verdict for _, finding in found) for verdict in VERDICTS}
    counted = ", ".join(f"{count} {verdict}" for verdict, count in counts.items() if count)
    rows = tuple((one.point, finding.verdict, finding.why, one.group) for one, finding in found)
    headings = ("practice", "verdict", "why", "about")
    grid = Grid("Best practices", headings, "wlwl", rows, NOTE)
    return Section(
        "Best practices of architecture search", f"{SOURCE} {counted.capitalize()}.", grids=(grid,)
    )
