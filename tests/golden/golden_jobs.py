"""Jobs whose ids are written down: every kind, every published recipe, every field, every sort of input."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from autoreid.distilling import distils
from autoreid.evaluate_recipes import EvaluateRecipe
from autoreid.jobs import (
    Job,
    evaluate_job,
    latency_job,
    pretrain_job,
    random_search_job,
    search_job,
    select_job,
    train_job,
)
from autoreid.latency_recipes import Build, LatencyRecipe
from autoreid.pretrain_recipes import CDNET_PRETRAIN, PRETRAIN_RECIPES
from autoreid.published import CDNET_SEARCH, CDNET_TRAIN, SEARCH_RECIPES, SELECT_RECIPES, TRAIN_RECIPES
from autoreid.recipes import Neck, RandomSearchRecipe
from autoreid.values import override
from autoreid.version import ENGINE_REVISION
from search_spaces.published import PUBLISHED

DATA, OTHER_DATA = "0123456789abcdef" * 4, "fedcba9876543210" * 4
FOUND_BY = ("0" * 32, "1" * 32)
REMEDY = (
    "If results change on purpose: raise ENGINE_REVISION in autoreid/version.py and rewrite with "
    "`python tests/golden/rewrite.py`. If a recipe gained a field whose default is the old behaviour: mark "
    "the new field added=True."
)

TEACHER = f"sha256:{OTHER_DATA}"
# A constant temperature has neither an end nor an epoch at which it is reached.
TEMPERATURE = {"name": "constant", "start": 4.0, "gradient": "squared"}
FALLING = {"name": "linear", "start": 4.0, "end": 0.5, "until": 5, "gradient": "literal"}
# Another value than the published one for every field that both kinds of recipe have.
BOTH = {
    "height": 128,
    "width": 64,
    "width_multiplier": 0.5,
    "channels": 16,
    "layers": [1, 2, 3, 4],
    "neck": {
        "name": "bnneck",
        "embedding": 256,
        "stripes": 3,
        "stripe_channels": 64,
        "dropout": 0.25,
        "feature": "g",
    },
    "batch": {"identities": 8, "images": 2},
    "augmentation": {"flip": 0.25, "pad": 4, "erasing": 0.0},
    "objective": {
        "cross_entropy": 0.5,
        "triplet": 2.0,
        "margin": 0.1,
        "label_smoothing": 0.1,
        "soft_margin": True,
        "distillation": 0.7,
        "temperature": TEMPERATURE,
    },
    "epochs": 7,
    "precision": "bf16",
}


def optimizer(**schedule: object) -> dict[str, object]:
    return {
        "name": "amsgrad",
        "learning_rate": 1e-7,
        "momentum": 0.1,
        "beta2": 0.99,
        "weight_decay": 0.0,
        "schedule": {"name": "constant", **schedule},
    }


OPTIMIZER = {"optimizer": optimizer(milestones=[3, 5], factor=0.2, end=0.001)}
ALL_OF_TRAIN = BOTH | OPTIMIZER | {"drop_path": 0.2, "weights": f"sha256:{OTHER_DATA}"}
ALL_OF_PRETRAIN = {
    **{name: BOTH[name] for name in ("height", "width", "width_multiplier", "channels", "layers", "neck")},
    **{name: BOTH[name] for name in ("epochs", "precision")},
    **{"drop_path": 0.2, "batch": 64, "smallest_crop": 0.5, "pad": 3, "flip": 0.25, "label_smoothing": 0.1},
    **{"stem": "cifar"},
    **OPTIMIZER,
}
ALL_OF_SEARCH = (
    BOTH
    | OPTIMIZER
    | {
        "space": "cs-v1",
        "relaxation": "softmax",
        "k": "all",
        "split": {"name": "by-image", "held_out": 2, "fraction": 0.25},
        "alpha_objective": {
            "cross_entropy": 0.0,
            "triplet": 0.3,
            "margin": 0.2,
            "label_smoothing": 0.2,
            "soft_margin": True,
            "distillation": 0.8,
            "temperature": TEMPERATURE,
        },
        "alpha_optimizer": optimizer(milestones=[1], factor=0.3, end=0.002),
        "alpha_scale": 0.02,
        "early_stopping": "eigenvalue",
    }
)
ALL_OF_RANDOM_SEARCH = {
    "space": "cs-v1",
    "samples": 3,
    "fraction": 0.3,
    "budget": {
        "epochs": 7,
        "batch": {"identities": 8, "images": 2},
        "split": {"name": "by-image", "held_out": 2, "fraction": 0.25},
    },
    "train": ALL_OF_TRAIN,
}

ALL_OF_EVALUATE = {
    "normalised": False,
    "average_precision": "trapezoid",
    "flip": True,
    "rerank": True,
    "k1": 30,
    "k2": 3,
    "weight": 0.2,
    "pictures": True,
}


def of(recipe: object) -> str | None:
    """The teacher of a recipe that distils: a training."""
    return FOUND_BY[0] if distils(recipe) else None


def every_field_jobs() -> Iterator[tuple[str, Job]]:
    """Jobs of every kind that distils, each field another than the published one: at a temperature that is
    constant, and at one that falls."""
    network = PUBLISHED["cdnet-top2"]
    every_search = override(CDNET_SEARCH, ALL_OF_SEARCH)
    every_train = override(CDNET_TRAIN, ALL_OF_TRAIN)
    every_select = override(SELECT_RECIPES["retrain"], {"fraction": 0.3, "train": ALL_OF_TRAIN})
    seeds = {"split_seed": 0, "search_seed": 0, "teacher": TEACHER}
    yield "search, every field", search_job(every_search, DATA, **seeds)
    yield "train, every field", train_job(every_train, DATA, network, train_seed=0, teacher=TEACHER)
    yield "select, every field", select_job(every_select, DATA, FOUND_BY, teacher=TEACHER)
    random_search = RandomSearchRecipe(train=TRAIN_RECIPES["auto-reid"])
    every_random = override(random_search, ALL_OF_RANDOM_SEARCH)
    yield "random-search, every field", random_search_job(every_random, DATA, **seeds)
    falls = {"objective.temperature": FALLING}
    short_falls = {f"train.{name}": value for name, value in falls.items()}
    search_falls = {**falls, "alpha_objective.temperature": FALLING, "early_stopping": "never"}
    falling_search, falling_train = override(every_search, search_falls), override(every_train, falls)
    falling_select, falling_random = (override(it, short_falls) for it in (every_select, every_random))
    yield "search, falling", search_job(falling_search, DATA, **seeds)
    yield "train, falling", train_job(falling_train, DATA, network, train_seed=0, teacher=TEACHER)
    yield "select, falling", select_job(falling_select, DATA, FOUND_BY, teacher=TEACHER)
    yield "random-search, falling", random_search_job(falling_random, DATA, **seeds)


def golden_jobs() -> Iterator[tuple[str, Job]]:
    """Names and jobs; a recipe that is published later joins by itself."""
    for name, recipe in SEARCH_RECIPES.items():
        yield f"search {name}", search_job(recipe, DATA, split_seed=0, search_seed=0, teacher=of(recipe))
    for name, recipe in TRAIN_RECIPES.items():
        network, guide = PUBLISHED["cdnet-top2"], of(recipe)
        yield f"train {name}", train_job(recipe, DATA, network, train_seed=0, teacher=guide)
    for name, recipe in SELECT_RECIPES.items():
        yield f"select {name}", select_job(recipe, DATA, FOUND_BY, split_seed=5, train_seed=6)
    random_search = RandomSearchRecipe(train=TRAIN_RECIPES["auto-reid"])
    yield "random-search", random_search_job(random_search, DATA, split_seed=1, search_seed=2)
    yield from every_field_jobs()
    for name, recipe in PRETRAIN_RECIPES.items():
        yield f"pretrain {name}", pretrain_job(recipe, DATA, PUBLISHED["cdnet-top2"], train_seed=0)
    usual_stem = override(PRETRAIN_RECIPES["cifar100"], {"stem": "imagenet"})
    yield "pretrain cifar100, the stem of ImageNet", pretrain_job(usual_stem, DATA, network, train_seed=0)
    every_pretrain = override(CDNET_PRETRAIN, ALL_OF_PRETRAIN)
    yield "pretrain, every field", pretrain_job(every_pretrain, DATA, network, train_seed=0)
    yield "search, other seeds", search_job(CDNET_SEARCH, DATA, split_seed=3, search_seed=2**62)
    yield "search, other data", search_job(CDNET_SEARCH, OTHER_DATA, split_seed=0, search_seed=0)
    yield "train, other space", train_job(CDNET_TRAIN, DATA, PUBLISHED["cnet-top1"], train_seed=4)
    yield "train, found by a search", train_job(CDNET_TRAIN, DATA, FOUND_BY[0], train_seed=0)
    yield "pretrain, found by a search", pretrain_job(CDNET_PRETRAIN, DATA, FOUND_BY[0], train_seed=0)
    before = FOUND_BY[1]
    yield "train, pretrained", train_job(CDNET_TRAIN, DATA, network, train_seed=0, pretraining=before)
    found = FOUND_BY[0]
    yield (
        "train, found and pretrained",
        train_job(CDNET_TRAIN, DATA, found, train_seed=0, pretraining=before),
    )
    every_evaluate = override(EvaluateRecipe(), ALL_OF_EVALUATE)
    yield "evaluate", evaluate_job(EvaluateRecipe(), DATA, FOUND_BY[0])
    yield "evaluate, every field", evaluate_job(every_evaluate, DATA, FOUND_BY[0])
    networks = [(network, Build()), (FOUND_BY[0], Build.of(TRAIN_RECIPES["auto-reid"]))]
    yield "latency", latency_job(LatencyRecipe(), networks)
    every_latency = LatencyRecipe(batch=(1, 32), images=64, passes=3, precision="bf16")
    every_build = Build(128, 64, 0.5, 32, (1, 2, 2, 1), Neck("embedding", embedding=256, feature="g"))
    yield "latency, every field", latency_job(every_latency, [*networks, (network, every_build)])
    reversed_searches = select_job(SELECT_RECIPES["supernet"], DATA, FOUND_BY[::-1])
    yield "select, other order", reversed_searches


def golden_ids() -> dict[str, object]:
    """What job_ids.json holds."""
    return {"engine_revision": ENGINE_REVISION, "ids": {name: job.id for name, job in golden_jobs()}}


def id_problems(written: Mapping[str, object], found: Mapping[str, object]) -> list[str]:
    """What differs between the ids that are written down and those of this code; names what to do."""
    before, now = written["ids"], found["ids"]
    assert isinstance(before, Mapping) and isinstance(now, Mapping)
    problems = [
        f"{name}: {before.get(name, 'not written down')} is now {now.get(name, 'gone')}"
        for name in dict.fromkeys([*before, *now])
        if before.get(name) != now.get(name)
    ]
    if written["engine_revision"] != found["engine_revision"]:
        revisions = f"{written['engine_revision']} is now {found['engine_revision']}"
        problems.insert(0, f"engine revision: {revisions}. Rewrite with `python tests/golden/rewrite.py`.")
    return [*problems, REMEDY] if problems else []
