"""Which networks of a campaign are timed, and how: the key `latency`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from autoreid.errors import Problems, unknown
from autoreid.jobs import Job, latency_job
from autoreid.latency_recipes import Build, LatencyRecipe
from autoreid.recipes import TrainRecipe
from autoreid.values import coerce, fields_of, override
from tune_runs.arms import Arm
from tune_runs.yaml_places import Document

# Fields that a campaign file gives; the networks are those of its arms.
FIELDS = tuple(name for name in fields_of(LatencyRecipe) if name != "networks")
KEY = ("latency",)


@dataclass(frozen=True, slots=True)
class Timing:
    """The job that times the networks of a campaign, and whose they are: for each arm, each of its different
    networks by the first repeat that trains it, and by its number in the job."""

    job: Job
    arms: tuple[tuple[Arm, tuple[tuple[int, int], ...]], ...]


def read_latency(document: Document, arms: Sequence[Arm], problems: Problems) -> LatencyRecipe | None:
    """How the networks of all arms are timed, if they are; mistakes go into `problems`."""
    given = document.at(KEY)
    if given is False or given is None:
        return None
    recipe = LatencyRecipe()
    leaves = document.leaves(KEY, problems) if isinstance(given, Mapping) else {}
    for leaf in leaves.values():
        if leaf.name not in FIELDS:
            problems.add(leaf.place, unknown("field", leaf.name, FIELDS))
            continue
        value = leaf.value
        if leaf.name == "batch":
            value = value if isinstance(value, (list, tuple)) else [value]
            if not _whole(value):
                problems.add(leaf.place, f"{leaf.value!r} is no whole number of images, and no list of some.")
                continue
        recipe = override(recipe, {leaf.name: value}, leaf.prefix, problems)
    for name, message in recipe.problems():
        problems.add(leaves[name].place if name in leaves else document.place(KEY), message)
    if arms and not any(arm.train for arm in arms):
        problems.add(document.place(KEY), "no arm is trained, and so none has a network. Remove it.")
    if document.at(("sweep",)) is not None:
        message = (
            "the points of a sweep are asked while others run. Remove it, and time what was found after."
        )
        problems.add(document.place(KEY), message)
    return recipe


def _whole(given: Sequence[object]) -> bool:
    try:
        coerce(tuple[int, ...], given)
    except ValueError:
        return False
    return True


def timing_of(recipe: LatencyRecipe, planned: Iterable[tuple[Arm, int, Job]]) -> Timing | None:
    """What times the networks that planned trainings train, each given with its arm and repeat; None where
    there is no training."""
    trained = [
        (arm, repeat, job.genotype, Build.of(job.recipe))
        for arm, repeat, job in planned
        if isinstance(job.recipe, TrainRecipe) and job.genotype is not None
    ]
    if not trained:
        return None
    job = latency_job(recipe, [(network, build) for _, _, network, build in trained])
    assert isinstance(job.recipe, LatencyRecipe)
    numbers = {key: number for number, key in enumerate(zip(job.networks, job.recipe.networks, strict=True))}
    places: dict[str, dict[int, int]] = {}
    arms = {arm.name: arm for arm, *_ in trained}
    for arm, repeat, network, build in trained:
        places.setdefault(arm.name, {}).setdefault(numbers[network, build], repeat)
    return Timing(job, tuple((arms[name], _turned(found)) for name, found in places.items()))


def _turned(found: Mapping[int, int]) -> tuple[tuple[int, int], ...]:
    return tuple((repeat, number) for number, repeat in found.items())
