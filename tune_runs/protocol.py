"""How often an arm is run, what its repeats vary, and which of its networks are trained and reported."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from autoreid.errors import Problems
from autoreid.published import SELECT_RECIPES, shortened
from autoreid.recipes import SelectRecipe, TrainRecipe, recipe_problems
from autoreid.values import bounded, override
from tune_runs.schema import LARGEST_SEED, MOST_REPEATS, CampaignFile
from tune_runs.yaml_places import Document

Stage = Literal["split", "search", "pretrain", "train"]
STAGES: tuple[Stage, ...] = ("split", "search", "pretrain", "train")
# A network is pretrained once, and serves all its repeats, unless a campaign says otherwise.
VARIED: tuple[Stage, ...] = ("split", "search", "train")
# Where networks are classifiers and nothing else; the search's seed draws those of random arms.
CLASSIFYING: tuple[Stage, ...] = ("search", "pretrain")


@dataclass(frozen=True, slots=True)
class Seeds:
    """Seeds of the division of the training set, of the search, of the training and of the pretraining."""

    split: int = bounded(0, 0, LARGEST_SEED)
    search: int = bounded(0, 0, LARGEST_SEED)
    train: int = bounded(0, 0, LARGEST_SEED)
    pretrain: int = bounded(0, 0, LARGEST_SEED)


ZEROS = Seeds()


@dataclass(frozen=True, slots=True)
class Protocol:
    """`repeats` searches of every arm; repeat r adds r to the seeds of the stages in `vary`.

    `trained: each` trains what each search found. `best` trains what was selected alone, `trainings` times,
    and networks that an arm gives as often; training t adds t to the training's seed.
    """

    repeats: int = bounded(4, 1, MOST_REPEATS)
    seeds: Seeds = ZEROS
    vary: tuple[Stage, ...] = VARIED
    trained: Literal["each", "best"] = "each"
    trainings: int = bounded(4, 1, MOST_REPEATS)

    def seeds_of(self, repeat: int) -> Seeds:
        """The seeds of a repeat, counted from 0.

        >>> Protocol(vary=("search",)).seeds_of(2)
        Seeds(split=0, search=2, train=0, pretrain=0)
        """
        return Seeds(
            **{stage: getattr(self.seeds, stage) + repeat * (stage in self.vary) for stage in STAGES}
        )


def read_protocol(document: Document, form: CampaignFile | None, problems: Problems) -> Protocol:
    """The repeats, seeds and trainings of a campaign file; mistakes go into `problems`."""
    repeats, seed = (4, 0) if form is None else (form.repeats, form.seed)
    protocol = Protocol(repeats=repeats, trainings=repeats, seeds=Seeds(seed, seed, seed, seed))
    if classifies(document):
        protocol = replace(protocol, vary=CLASSIFYING)
    for name in ("vary", "trained", "trainings"):
        if name in document.values:
            protocol = override(protocol, {name: document.at((name,))}, document.prefix((name,)), problems)
    seeds = protocol.seeds
    for leaf in document.leaves(("seeds",), problems).values():
        seeds = override(seeds, {leaf.name: leaf.value}, leaf.prefix, problems)
    protocol = replace(protocol, seeds=seeds, vary=tuple(stage for stage in STAGES if stage in protocol.vary))
    for name, message in _contradictions(document, protocol):
        problems.add(document.place((name,)), message)
    return protocol


def selects(document: Document) -> bool:
    """Whether the best search of every arm is selected."""
    return document.at(("select",)) not in (None, False)


def pretrains(document: Document) -> bool:
    """Whether an arm has a pretraining."""
    arms = document.at(("arms",))
    groups = arms.values() if isinstance(arms, Mapping) else ()
    return any(isinstance(arm, Mapping) and "pretrain" in arm for arm in groups)


def trains(document: Document, name: str) -> bool:
    """Whether an arm's networks are trained: not where `train` is false, at the arm or for all of them, nor
    where they are pretrained and the file says nothing of a training."""
    arm = document.at(("arms", name))
    own = arm.get("train")
    given = own if own is not None else document.at(("train",))
    return given is not False and (given is not None or "pretrain" not in arm)


def classifies(document: Document) -> bool:
    """Whether networks are pretrained and nothing else is done: such a campaign has no data of people."""
    if not pretrains(document):
        return False
    arms = {name: arm for name, arm in document.at(("arms",)).items() if isinstance(arm, Mapping)}
    return not any(
        "search" in arm or document.at(("arms", name, "random", "budget")) or trains(document, name)
        for name, arm in arms.items()
    )


def _contradictions(document: Document, protocol: Protocol) -> Iterator[tuple[str, str]]:
    """Keys that do not go together, as (key, message)."""
    values = document.values
    if "seed" in values and "seeds" in values:
        yield "seeds", "'seed' is given too. Remove one of the two."
    if "vary" in values and protocol.repeats > 1 and not protocol.vary:
        yield (
            "vary",
            f"nothing varies, so {protocol.repeats} repeats are one. Use repeats: 1, or vary a seed.",
        )
    elif selects(document) and protocol.repeats > 1 and set(protocol.vary) <= {"pretrain", "train"}:
        yield "select", "all repeats are one search, as 'vary' has neither split nor search. Add one of them."
    if not pretrains(document):
        given = {"seeds": document.at(("seeds", "pretrain")) is not None, "vary": "pretrain" in protocol.vary}
        for name in (name for name, there in given.items() if there):
            yield name, "no arm is pretrained: leave 'pretrain' out of it, or give an arm a 'pretrain'."
    if protocol.trained == "best" and not selects(document):
        yield "trained", "nothing says which one is the best. Write for example 'select: supernet'."
    if protocol.trained == "each" and "trainings" in values:
        yield "trainings", "each search is followed by one training. Write 'trained: best', or leave it out."


def read_select(document: Document, train: TrainRecipe | None, problems: Problems) -> SelectRecipe | None:
    """How the best search of an arm is selected, if it is.

    The short training of the rule `retrain` is the arm's own in a tenth of its epochs, with the fields of
    `select.train` over it.
    """
    if not selects(document):
        return None
    leaves = document.leaves(("select",), problems)
    rule = leaves.pop("rule", None)
    named = {} if rule is None else {"rule": rule.value}
    chosen = override(SelectRecipe(), named, rule.prefix if rule else "", problems)
    recipe = SELECT_RECIPES[chosen.rule]
    if recipe.rule == "retrain" and train is not None:
        recipe = replace(recipe, train=shortened(train))
    for leaf in leaves.values():
        recipe = override(recipe, {leaf.name: leaf.value}, leaf.prefix, problems)
    for name, message in recipe_problems(recipe):
        below = (leaf for leaf in leaves.values() if f"{leaf.name}.".startswith(f"{name}."))
        source = next(below, None)
        problems.add(source.place if source else f"{document.place(('select',))}.{name}", message)
    return recipe
