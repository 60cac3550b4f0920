"""Plans of many jobs that are searches and trainings in equal parts, and the memory of a process that holds
them."""

from __future__ import annotations

import math
import resource
import sys

from tune_runs.campaign import read_campaign
from tune_runs.planning import Plan, make_plan

CAMPAIGN = """\
name: instant
data: {{set: rendered}}
repeats: {repeats}
search: {{recipe: cdnet}}
train: {{recipe: cdnet}}
execution: {{reuse_processes: {reuse}}}
arms: {{{arms}}}
"""


def plan_of(jobs: int, reuse: bool) -> Plan:
    """A plan of about so many jobs, searches and trainings in equal parts."""
    count = max(5, math.ceil(jobs / 2000))  # a campaign has at most 1,000 repeats
    arms = ", ".join(f"arm{k}: {{search: {{alpha_scale: {(k + 1) / 1000}}}}}" for k in range(count))
    repeats = max(1, jobs // (2 * count))
    text = CAMPAIGN.format(repeats=repeats, reuse=str(reuse).lower(), arms=arms)
    return make_plan(read_campaign(text), "0" * 64)


def peak_bytes() -> int:
    """The peak of this process's memory."""
    scale = 1 if sys.platform == "darwin" else 1024  # in bytes there, in KiB elsewhere
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale
