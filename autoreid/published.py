"""The recipes that the papers print, by name. Free of torch."""

from __future__ import annotations

from dataclasses import replace

from autoreid.objectives import Objective
from autoreid.recipes import (
    Augmentation,
    Batch,
    Neck,
    Optimizer,
    Schedule,
    SearchRecipe,
    SelectRecipe,
    Split,
    TrainRecipe,
)

# CDNet, section 4.1 and supplement section 1: search.
CDNET_SEARCH = SearchRecipe(
    space="cds-v1",
    k=2,
    epochs=240,
    optimizer=Optimizer(
        name="sgd",
        learning_rate=0.025,
        momentum=0.9,
        weight_decay=3e-4,
        schedule=Schedule(name="cosine", end=1e-4),
    ),
    alpha_optimizer=Optimizer(
        name="adam",
        learning_rate=3e-4,
        momentum=0.5,
        weight_decay=1e-3,
        schedule=Schedule(name="steps", milestones=(80, 160), factor=0.1),
    ),
)

# CDNet, section 4.2: training from scratch, "similar to OSNet".
CDNET_TRAIN = TrainRecipe(
    epochs=350,
    optimizer=Optimizer(
        name="sgd",
        learning_rate=0.065,
        momentum=0.9,
        weight_decay=5e-4,
        schedule=Schedule(name="steps", milestones=(150, 225, 300), factor=0.1),
    ),
)


def shortened(recipe: TrainRecipe) -> TrainRecipe:
    """The training in a tenth of its epochs, its milestones and its temperature brought forward alike; at
    least one epoch, in which no temperature can fall.

    >>> short = shortened(CDNET_TRAIN)
    >>> short.epochs, short.optimizer.schedule.milestones
    (35, (15, 22, 30))
    """
    schedule = recipe.optimizer.schedule
    milestones = tuple(dict.fromkeys(max(epoch // 10, 1) for epoch in schedule.milestones))
    optimizer = replace(recipe.optimizer, schedule=replace(schedule, milestones=milestones))
    epochs, objective = max(recipe.epochs // 10, 1), recipe.objective
    if objective.distillation:
        temperature = objective.temperature
        until = max(min(temperature.until // 10, epochs - 1), 1)
        name = temperature.name if epochs > 1 else "constant"
        objective = replace(objective, temperature=replace(temperature, name=name, until=until))
    return replace(recipe, epochs=epochs, optimizer=optimizer, objective=objective)


# Auto-ReID, section 4.1 and Algorithm 1: search with the retrieval loss for weights and alphas.
AUTO_REID_SEARCH = SearchRecipe(
    space="reid-v1",
    neck=Neck(name="embedding"),
    relaxation="softmax",
    split=Split(name="by-image", fraction=0.5),
    batch=Batch(identities=8, images=2),
    augmentation=Augmentation(erasing=0.0),
    objective=Objective.retrieval(),
    alpha_objective=Objective.retrieval(),
    epochs=200,
    channels=32,
    layers=(2, 2, 2, 2),
    optimizer=Optimizer(
        name="sgd",
        learning_rate=0.1,
        momentum=0.9,
        weight_decay=5e-4,
        schedule=Schedule(name="cosine", end=0.001),
    ),
    alpha_optimizer=Optimizer(
        name="adam",
        learning_rate=0.02,
        momentum=0.5,
        weight_decay=5e-4,
        schedule=Schedule(name="steps", milestones=(60, 150), factor=0.1),
    ),
)

# Auto-ReID, section 4.1: training from scratch; from ImageNet weights with twice the identities.
AUTO_REID_TRAIN = TrainRecipe(
    height=384,
    width=128,
    neck=Neck(name="embedding"),
    batch=Batch(identities=8, images=4),
    augmentation=Augmentation(erasing=0.0),
    objective=Objective.retrieval(),
    epochs=240,
    channels=64,
    layers=(2, 2, 2, 2),
    optimizer=Optimizer(
        name="adam",
        learning_rate=0.0035,
        momentum=0.9,
        weight_decay=5e-4,
        schedule=Schedule(name="steps", milestones=(80, 140), factor=0.1),
    ),
)
AUTO_REID_TRAIN_IMAGENET = replace(AUTO_REID_TRAIN, batch=Batch(identities=16, images=4), weights="imagenet")

# KDAS-ReID, section 4.1: Auto-ReID's search under a teacher whose temperature falls; no decay is printed.
KDAS_SEARCH = replace(
    AUTO_REID_SEARCH,
    height=384,
    width=128,
    objective=Objective.distilled(),
    alpha_objective=Objective.distilled(),
    alpha_optimizer=replace(AUTO_REID_SEARCH.alpha_optimizer, schedule=Schedule()),
)
# KDAS-ReID, section 4.1: training under the same teacher; from ImageNet weights with twice the identities.
KDAS_TRAIN = replace(
    AUTO_REID_TRAIN,
    objective=Objective.distilled(),
    optimizer=replace(AUTO_REID_TRAIN.optimizer, learning_rate=3.5e-4, schedule=Schedule()),
    epochs=200,
)
KDAS_TRAIN_IMAGENET = replace(KDAS_TRAIN, batch=Batch(identities=16, images=4), weights="imagenet")
# The teacher's recipe is not printed [np]: the students' with the labels in the teacher's place.
KDAS_TEACHER = replace(KDAS_TRAIN_IMAGENET, objective=Objective())

SEARCH_RECIPES: dict[str, SearchRecipe] = {
    "cdnet": CDNET_SEARCH,
    "auto-reid": AUTO_REID_SEARCH,
    "kdas": KDAS_SEARCH,
}
TRAIN_RECIPES: dict[str, TrainRecipe] = {
    "cdnet": CDNET_TRAIN,
    "auto-reid": AUTO_REID_TRAIN,
    "auto-reid-imagenet": AUTO_REID_TRAIN_IMAGENET,
    "kdas": KDAS_TRAIN,
    "kdas-imagenet": KDAS_TRAIN_IMAGENET,
    "kdas-teacher": KDAS_TEACHER,
}
# By their rule. No paper prints how the best of its repeats was chosen [np].
SELECT_RECIPES: dict[str, SelectRecipe] = {
    "supernet": SelectRecipe(rule="supernet"),
    "retrain": SelectRecipe(rule="retrain", train=shortened(CDNET_TRAIN)),
}
