"""The teachers of a campaign: arms that are trained once and guide others, or files of trained networks."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from autoreid.data.index import ImageIndex, identity_order
from autoreid.distilling import distils
from autoreid.errors import InputError, Problems
from autoreid.folders import Folder, expanded
from tune_runs.arms import Arm
from tune_runs.weights import Files
from tune_runs.yaml_places import SETTING, Document

if TYPE_CHECKING:
    from tune_runs.planning import Plan


def learns(arm: Arm) -> bool:
    """Whether a job of the arm needs a teacher."""
    random = arm.random.search if arm.random else None
    return any(map(distils, (arm.search, arm.train, arm.select, random)))


def read_teachers(
    arms: tuple[Arm, ...], document: Document, folder: Path | None, problems: Problems
) -> tuple[tuple[Arm, ...], Files]:
    """The arms with their teachers, the name of an arm or "sha256:" and the digest of a file; and the files.

    Relative paths start at `folder`, those of the command line where the command was given. Mistakes go into
    `problems`.
    """
    files: Files = {}
    found: list[Arm] = []
    for arm in arms:
        own = ("arms", arm.entry, "teacher")
        path = own if document.at(own) is not None else ("teacher",)
        given = document.at(path)
        if not learns(arm):
            if path == own:
                problems.add(document.place(own), "nothing is distilled. Leave it out, or set distillation.")
        elif given is None:
            message = (
                "missing, and the objective distils. Name an arm that trains a genotype, or the model.pt of "
                "a training, or its folder."
            )
            problems.add(document.place(own), message)
        else:
            base = None if document.prefix(path).startswith(SETTING) else folder
            teacher = _teacher(str(given), arms, base, files, document.place(path), problems)
            arm = dataclasses.replace(arm, teacher=teacher)
        found.append(arm)
    if document.at(("teacher",)) is not None and not any(map(learns, arms)):
        problems.add(document.place(("teacher",)), "no arm distils. Remove it.")
    return tuple(found), files


def _teacher(
    given: str, arms: tuple[Arm, ...], folder: Path | None, files: Files, place: str, problems: Problems
) -> str | None:
    """What guides an arm; None where a mistake was noted."""
    named = [arm for arm in arms if given in (arm.entry, arm.name)]
    if named:
        teacher = named[0]
        if teacher.genotype is None or teacher.train is None:
            problems.add(place, f"{given!r} trains no genotype that is given. Name an arm that does.")
        elif learns(teacher):
            problems.add(place, f"{given!r} learns from a teacher itself. Name an arm that does not.")
        else:
            return teacher.name
        return None
    file = (folder or Path()) / expanded(given)
    if not given or _nothing(file):
        known = [arm.name for arm in arms if arm.genotype is not None and arm.train is not None]
        message = (
            f"{given!r} is no arm, no file and no folder of a training. Arms: {', '.join(known) or 'none'}."
        )
        problems.add(place, message)
        return None
    from autoreid.weights import given_teacher, read_model  # deferred: loads torch

    try:
        name, content = given_teacher(file)
        assert name is not None and content is not None
        read_model(content.content, content.place)
    except InputError as error:
        for problem in error.problems:
            problems.add(place, problem.removeprefix("teacher: "))
        return None
    files[name] = Path(content.place).absolute()
    return name


def _nothing(path: Path) -> bool:
    """Whether there is neither a file nor the folder of a training that has ended."""
    try:
        return not (path / "model.pt" if path.is_dir() else path).exists()
    except OSError:  # why it may not be looked at is said when it is read
        return False


def check_teachers(plan: Plan, indexes: Mapping[str, ImageIndex]) -> None:
    """InputError where a file's network does not know the identities of the data on which others learn from
    it, as in a run. The indexes are those of the data sets by name."""
    names = {digest: name for name, digest in plan.fingerprints.items()}
    given = ((job.teacher, names[job.data]) for job in plan.jobs.values() if job.data in names)
    pairs = {(teacher, name) for teacher, name in given if teacher in plan.campaign.weights}
    if not pairs:
        return
    from autoreid.teaching import columns_of  # deferred: loads torch
    from autoreid.weights import given_teacher

    problems = Problems()
    for teacher, name in sorted((str(teacher), name) for teacher, name in pairs):
        try:
            _, file = given_teacher(plan.campaign.weights[teacher])
            assert file is not None
            columns_of(file, plan.fingerprints[name], identity_order(indexes[name]))
        except InputError as error:
            whose = f"{name}: " if plan.others else ""
            problems.extend(f"{whose}{problem}" for problem in error.problems)
    problems.raise_if_any()


def provide_teachers(plan: Plan, folder: Folder) -> None:
    """Put the files of teachers into a storage, where every machine finds them."""
    wanted = {job.teacher for job in plan.jobs.values() if job.teacher is not None and ":" in job.teacher}
    if not wanted:
        return
    from autoreid.weights import provide_teacher  # deferred: loads torch

    for name in sorted(wanted):
        provide_teacher(folder, name, plan.campaign.weights.get(name))
