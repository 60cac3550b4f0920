"""A campaign: a YAML file as a checked value. The only place that reads YAML campaigns.

All mistakes of a file are reported at once, each with file, line, field, value and remedy.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

from autoreid.byte_sizes import byte_count
from autoreid.data.source import ClassSource, DataSource
from autoreid.errors import InputError, Problems, unknown
from autoreid.evaluate_recipes import EvaluateRecipe
from autoreid.execution import Execution
from autoreid.latency_recipes import LatencyRecipe
from autoreid.values import fields_of, override
from tune_runs.arms import Arm, read_arms
from tune_runs.data_sets import place_arms, read_sets
from tune_runs.latencies import read_latency
from tune_runs.protocol import Protocol, classifies, read_protocol, selects
from tune_runs.resources import DEVICES
from tune_runs.schema import CampaignFile, Placement, read_form
from tune_runs.sources import read_classes
from tune_runs.sweep_files import read_sweep
from tune_runs.sweeps import Sweep
from tune_runs.teachers import read_teachers
from tune_runs.weights import identify_weights
from tune_runs.yaml_places import Document, Leaf, read_document, with_settings

EXECUTION = Execution()
PLACEMENT = Placement()
PROTOCOL = Protocol()
# Keys that may hold a text alone: it stands for this field of their group.
SHORT_FORMS = {"data": "set", "select": "rule"}
ARM_SHORT_FORMS = {"random": "space"}


@dataclass(frozen=True, slots=True)
class Campaign:
    """What is compared, on which data, and how often.

    `text` is the file as it was read, `settings` what `--set` laid over it. `classes` is what networks are
    pretrained on. `evaluation` says how every trained network is evaluated once more, if it is, and
    `latency` how all networks are timed side by side, if they are. `weights` are
    files of weights and of teachers, by what jobs call them. `source` is the default data set, None where
    networks are pretrained alone; `data_sets` are the others on which arms are searched or trained, by name.
    """

    name: str
    claim: str
    text: str
    settings: tuple[str, ...]
    source: DataSource | None
    arms: tuple[Arm, ...]
    protocol: Protocol = PROTOCOL
    baseline: str | None = None
    execution: Execution = EXECUTION
    placement: Placement = PLACEMENT
    classes: ClassSource | None = None
    weights: Mapping[str, Path] = field(default_factory=dict, compare=False)
    sweep: Sweep | None = None
    evaluation: EvaluateRecipe | None = None
    data_sets: Mapping[str, DataSource] = field(default_factory=dict)
    latency: LatencyRecipe | None = None

    @property
    def sets(self) -> dict[str, DataSource]:
        """All data sets by name; the default one is called by its kind."""
        default = {} if self.source is None else {self.source.set: self.source}
        return {**default, **self.data_sets}

    @property
    def teachers(self) -> list[Arm]:
        """The arms that guide others."""
        named = {arm.teacher for arm in self.arms}
        return [arm for arm in self.arms if arm.stem in named]

    @property
    def baselines(self) -> dict[str, str]:
        """The arms that differences are taken to, by the data set that they are trained on."""
        named = [arm for arm in self.arms if self.baseline in (arm.name, arm.stem)]
        return {arm.trained_on: arm.name for arm in named if arm.trained_on is not None}

    @property
    def repeats(self) -> int:
        """How often every arm is run."""
        return self.protocol.repeats


def shipped_campaigns() -> list[str]:
    """Names of the campaigns that come with the package."""
    folder = files("tune_runs") / "campaigns"
    return sorted(item.name.removesuffix(".yaml") for item in folder.iterdir() if item.name.endswith(".yaml"))


def load_campaign(name: str, settings: tuple[str, ...] = ()) -> Campaign:
    """Read a campaign file, or a shipped campaign by its name; `settings` are `NAME=VALUE` texts."""
    path = Path(name)
    if path.is_file():
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"{name}: cannot be read ({error}). A campaign is YAML in UTF-8.") from None
        return read_campaign(text, name, path.absolute().parent, settings)
    if name in shipped_campaigns():
        shipped = files("tune_runs") / "campaigns" / f"{name}.yaml"
        return read_campaign(shipped.read_text(encoding="utf-8"), f"{name}.yaml", None, settings)
    if path.is_dir():
        raise InputError(f"{name}: a folder. Give a campaign file in it, or the name of a shipped campaign.")
    hint = unknown("shipped campaign", name, shipped_campaigns())
    raise InputError(f"{name}: no such file, and {hint}")


def read_campaign(
    text: str, file: str = "campaign.yaml", folder: Path | None = None, settings: tuple[str, ...] = ()
) -> Campaign:
    """Read the text of a campaign. `file` stands in messages; relative paths start at `folder`.

    InputError holds every mistake.
    """
    document = read_document(text, file)
    _spell_out(document.values)
    document = with_settings(document, settings)
    _spell_out(document.values)  # settings have short forms too
    problems = Problems()
    form = read_form(document, problems)
    sets = read_sets(document, folder, problems)
    if document.at(("data",)) is None and not classifies(document):
        problems.add(document.place(("data",)), f"missing. {CampaignFile.model_fields['data'].description}")
    execution, placement = _execution(document, problems)
    evaluation = _evaluation(document, problems)
    protocol = read_protocol(document, form, problems)
    arms, weights = identify_weights(read_arms(document, folder, problems), document, folder, problems)
    arms, teachers = read_teachers(arms, document, folder, problems)
    arms = place_arms(arms, document, problems)
    sweep = read_sweep(document, arms, protocol, problems)
    classes = read_classes(document, folder, problems)
    latency = read_latency(document, arms, problems)
    if arms and selects(document) and not any(arm.select for arm in arms):
        problems.add(document.place(("select",)), "no arm has a search. Remove it.")
    if arms and evaluation and not any(arm.train for arm in arms):
        problems.add(document.place(("evaluation",)), "no arm is trained. Remove it.")
    baseline = document.at(("baseline",))
    names = {name for arm in arms for name in (arm.name, arm.stem)}
    if baseline is not None and arms and str(baseline) not in names:
        problems.add(document.place(("baseline",)), unknown("arm", baseline, names))
    if problems.found or form is None:
        raise InputError(*sorted(dict.fromkeys(problems.found), key=lambda text: _line_of(text, file)))
    used = {name for arm in arms for name in (arm.searched_on, arm.trained_on)}
    return Campaign(
        name=form.name,
        claim=claim_of(text),
        text=text,
        settings=settings,
        source=next(iter(sets.values()), None),
        arms=arms,
        protocol=protocol,
        baseline=form.baseline,
        execution=execution,
        placement=placement,
        classes=classes,
        weights=weights | teachers,
        sweep=sweep,
        evaluation=evaluation,
        data_sets={name: sets[name] for name in list(sets)[1:] if name in used},
        latency=latency,
    )


def _spell_out(values: dict[str, Any]) -> None:
    """Put groups in the place of their short forms."""
    sets = values.get("data_sets")
    sets = sets if isinstance(sets, dict) else {}
    for group, forms in (
        (values, SHORT_FORMS),
        (sets, dict.fromkeys(sets, "set")),
        *((arm, ARM_SHORT_FORMS) for arm in _groups(values.get("arms"))),
    ):
        for key, name in forms.items():
            if isinstance(group.get(key), str):
                group[key] = {name: group[key]}


def _line_of(problem: str, file: str) -> float:
    """The line that a problem names; those of the command line come after the file's."""
    line = problem.removeprefix(f"{file}:").split(":")[0]
    return int(line) if line.isdigit() else math.inf


def claim_of(text: str) -> str:
    """The block of comments at the top of a file, without its marks.

    >>> claim_of("# What it shows.\\n# Cost: little.\\nname: x  # not this\\n")
    'What it shows.\\nCost: little.'
    """
    lines = []
    for line in text.lstrip("\ufeff").splitlines():
        if not line.startswith("#"):
            break
        lines.append(line.lstrip("#").removeprefix(" ").rstrip())
    return "\n".join(lines).strip()


def _groups(arms: Any) -> list[dict[str, Any]]:
    return [arm for arm in arms.values() if isinstance(arm, dict)] if isinstance(arms, dict) else []


def _check_memory(leaf: Leaf, problems: Problems) -> None:
    try:
        byte_count(str(leaf.value))
    except InputError as error:
        problems.add(leaf.place, str(error))


def _evaluation(document: Document, problems: Problems) -> EvaluateRecipe | None:
    """How every trained network is evaluated once more; None where the file says nothing of it."""
    if document.at(("evaluation",)) is None:
        return None
    recipe, leaves = EvaluateRecipe(), document.leaves(("evaluation",), problems)
    for leaf in leaves.values():
        recipe = override(recipe, {leaf.name: leaf.value}, leaf.prefix, problems)
    for name, message in recipe.problems():
        place = leaves[name].place if name in leaves else document.place(("evaluation", name))
        problems.add(place, message)
    return recipe


def _execution(document: Document, problems: Problems) -> tuple[Execution, Placement]:
    execution, placement = EXECUTION, PLACEMENT
    known = {*fields_of(Execution), *fields_of(Placement)}
    for leaf in document.leaves(("execution",), problems).values():
        name = leaf.name.split(".")[0]
        change = {leaf.name: leaf.value}
        if name in fields_of(Placement):
            placement = override(placement, change, leaf.prefix, problems)
        elif name in fields_of(Execution):
            execution = override(execution, change, leaf.prefix, problems)
            if name == "evaluation_memory":
                _check_memory(leaf, problems)
            if name == "device" and execution.device not in DEVICES:
                problems.add(leaf.place, unknown("device", execution.device, DEVICES))
        else:
            problems.add(leaf.place, unknown("field", name, known))
    return execution, placement
