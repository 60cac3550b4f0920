"""Memory that the jobs of a plan take on a GPU, counted before anything runs."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from autoreid.byte_sizes import byte_words
from autoreid.errors import InputError
from autoreid.execution import Execution
from autoreid.jobs import Job
from autoreid.pretrain_recipes import PretrainRecipe
from autoreid.recipes import SearchRecipe, TrainRecipe
from autoreid.storage import Storage
from autoreid.values import canonical, digest
from search_spaces.genotype import Genotype
from tune_runs.evidence import FREE
from tune_runs.planning import Plan
from tune_runs.resources import Allotment, some_of
from tune_runs.words import table

if TYPE_CHECKING:
    from autoreid.footprint import Footprint

Plain = dict[str, Any]
Recipe = SearchRecipe | TrainRecipe | PretrainRecipe
# So many different sizes are counted, each in a second or two.
MOST_COUNTED = 8
# The share of a GPU's memory that advice counts on: what CUDA keeps, workspaces and gaps take some of it.
USABLE = 0.9


@dataclass(frozen=True, slots=True)
class Question:
    """What the memory of a step depends on. `genotype` is that of a training; of one that is found later the
    space, whose largest network is taken."""

    recipe: Recipe
    genotype: Genotype | str | None
    identities: int
    guide: tuple[TrainRecipe, Genotype] | None = None

    @property
    def key(self) -> str:
        """Equal where the memory is, as far as that can be told without counting."""
        of_recipe = {name: value for name, value in canonical(self.recipe).items() if name not in FREE}
        kept = self.recipe.optimizer.name, self.recipe.optimizer.momentum != 0
        guided = None if self.guide is None else (canonical(self.guide[0]), self.guide[1].digest)
        network = self.genotype.digest if isinstance(self.genotype, Genotype) else self.genotype
        return digest([type(self.recipe).__name__, of_recipe, network, self.identities, kept, guided])

    def count(self, execution: Execution) -> Footprint:
        """What a step holds with this execution."""
        from autoreid import footprint  # deferred: loads torch

        if isinstance(self.recipe, SearchRecipe):
            return footprint.search_footprint(self.recipe, self.identities, execution, self.guide)
        network = self.genotype
        if not isinstance(network, Genotype):
            network = footprint.largest_genotype(str(network), self.recipe)
        return footprint.training_footprint(self.recipe, network, self.identities, execution, self.guide)


def gpu_memory(allotment: Allotment) -> int | None:
    """Bytes of GPU memory that a trial of this machine may take: all of it, since nothing holds a trial to a
    share. None where it has none, or runs elsewhere."""
    import torch  # deferred: heavy

    count = torch.cuda.device_count() if allotment.gpus and allotment.cluster is None else 0
    sizes = [torch.cuda.get_device_properties(device).total_memory for device in range(count)]
    return min(sizes, default=None)


def memory_plain(plan: Plan, execution: Execution, memory: int) -> Plain:
    """The memory of the searches, trainings and pretrainings of a plan on GPUs with so many bytes each."""
    execution = replace(execution, device="cuda")
    groups = _groups(plan)
    rows = []
    for group in list(groups.values())[:MOST_COUNTED]:
        # A network of a plug-in may ask for values, which tensors without data have not.
        with contextlib.suppress(RuntimeError):
            rows.append(_row(plan, *group, execution, memory))
    return {"gpu_memory_bytes": memory, "sizes": rows, "not_counted": len(groups) - len(rows)}


def memory_lines(plain: Plain) -> list[str]:
    """The same for people, with what will not fit."""
    has = byte_words(plain["gpu_memory_bytes"])
    rows = [
        (
            row["kind"],
            some_of(row["arms"]),
            str(row["batch"]),
            byte_words(row["bytes"]),
            str(row["largest_batch"]),
        )
        for row in plain["sizes"]
    ]
    lines = [f"memory of a step, with {has} on a GPU:"]
    lines += table(("job", "arms", "batch", "it holds", "largest batch"), rows)
    if plain["not_counted"]:
        lines += [f"of {plain['not_counted']} more sizes it was not counted"]
    return lines + [f"warning: {problem}" for problem in problems_of(plain)]


def problems_of(plain: Plain) -> list[str]:
    """What will not fit, and what to do."""
    has, found = byte_words(plain["gpu_memory_bytes"]), []
    for row in plain["sizes"]:
        if row["fits"]:
            continue
        ways = [f"{field} ({byte_words(size)})" for field, size in row["remedies"].items()]
        ways += [f"a batch of at most {row['largest_batch']} images"] if row["largest_batch"] else []
        advice = f"Use {' or '.join(ways)}." if ways else "Search or train smaller networks or images."
        found.append(
            f"{some_of(row['arms'])}: a step of its {row['kind']} holds {byte_words(row['bytes'])}, and the "
            f"GPU has {has}. {advice}"
        )
    return found


def check_memory(plan: Plan, storage: Storage, allotment: Allotment) -> None:
    """InputError where a job that is not finished holds more than the GPUs of this machine have: it could
    never run here."""
    memory = gpu_memory(allotment)
    if memory is None or allotment.execution.compile:  # compiled networks may keep less than is counted
        return
    left = {job_id for job_id in plan.jobs if storage.job(job_id).finished() is None}
    entries = tuple(entry for entry in plan.entries if entry.job in left)
    problems = problems_of(memory_plain(replace(plan, entries=entries), allotment.execution, memory))
    if problems:
        raise InputError(*problems)


# A question, the kind of its jobs, and their arms.
Group = tuple[Question, str, list[str]]


def _groups(plan: Plan) -> dict[str, Group]:
    """What is to be counted of a plan, by key, in the order of its entries."""
    identities = functools.cache(_identities(plan))
    groups: dict[str, Group] = {}
    asked: dict[Any, str] = {}
    for entry in plan.entries:
        job = plan.jobs[entry.job]
        if not isinstance(job.recipe, (SearchRecipe, TrainRecipe, PretrainRecipe)):
            continue
        network = job.genotype if not isinstance(job.genotype, str) else _space(plan, job.genotype)
        same = (job.recipe, network, job.data, job.teacher)
        if same not in asked:
            question = Question(job.recipe, network, identities(job.data), _guide(plan, job))
            asked[same] = question.key
            groups.setdefault(question.key, (question, entry.kind, []))
        arms = groups[asked[same]][2]
        if entry.arm not in arms[-1:]:
            arms.append(entry.arm)
    return {key: (asking, kind, list(dict.fromkeys(arms))) for key, (asking, kind, arms) in groups.items()}


def _row(
    plan: Plan, question: Question, kind: str, arms: Iterable[str], execution: Execution, memory: int
) -> Plain:
    from autoreid.footprint import largest_batch  # deferred: loads torch

    found = question.count(execution)
    fits = found.peak() <= memory
    remedies = {} if fits else _remedies(question, execution, memory)
    return {
        "kind": kind,
        "arms": list(arms),
        "batch": found.images,
        "bytes": found.peak(),
        "bytes_per_image": found.per_image,
        "largest_batch": _whole(largest_batch(found, int(USABLE * memory)), question.recipe),
        "fits": fits,
        "remedies": remedies,
    }


def _remedies(question: Question, execution: Execution, memory: int) -> dict[str, int]:
    """Settings with which a step would fit, with what it would hold."""
    from autoreid.footprint import can_recompute  # deferred: loads torch

    found: dict[str, int] = {}
    recipe = question.recipe
    if isinstance(recipe, SearchRecipe) and not execution.recompute and can_recompute(recipe):
        found["execution.recompute: true"] = question.count(replace(execution, recompute=True)).peak()
    if recipe.precision != "bf16":
        lowered = replace(question, recipe=replace(recipe, precision="bf16"))
        found["precision: bf16"] = lowered.count(execution).peak()
    return {field: size for field, size in found.items() if size <= USABLE * memory}


def _whole(images: int, recipe: Recipe) -> int:
    """The largest batch of a recipe with at most so many images: it has as many of every identity, and two
    identities or more. 0 where there is none."""
    if isinstance(recipe, PretrainRecipe):
        return images
    each = recipe.batch.images
    return images // each * each if images >= 2 * each else 0


def _identities(plan: Plan) -> Callable[[str], int]:
    """How many classes the data of a fingerprint has."""

    def count(data: str) -> int:
        from autoreid.data.index import identity_order  # deferred, as what follows: not needed to plan
        from autoreid.data.source import ClassSource, open_index

        source = plan.sources[data]
        if not isinstance(source, ClassSource):
            return len(identity_order(open_index(source)))
        from pathlib import Path

        from autoreid.data.classes import open_classes

        return len(open_classes(source.set, Path(source.root)).names)

    return count


def _space(plan: Plan, job_id: str) -> str:
    """The space of the network that a job finds."""
    job = plan.jobs[job_id]
    space = getattr(job.recipe, "space", None)
    return str(space) if space else _space(plan, job.searches[0])


def _guide(plan: Plan, job: Job) -> tuple[TrainRecipe, Genotype] | None:
    """The network that guides a job, where the plan trains it; a file is not looked into."""
    jobs: Mapping[str, Job] = plan.jobs
    taught = jobs.get(job.teacher or "")
    if (
        taught is None
        or not isinstance(taught.recipe, TrainRecipe)
        or not isinstance(taught.genotype, Genotype)
    ):
        return None
    return taught.recipe, taught.genotype
