"""The evaluation of trained networks on queries and gallery: at the end of a training, and by jobs of its own
that make other choices, re-rank, and keep what lies behind the figures."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from autoreid.byte_sizes import byte_count
from autoreid.data.index import ImageIndex
from autoreid.epochs import Position, no_pulse
from autoreid.errors import TooLittleMemoryError
from autoreid.evaluate_recipes import MEMORY_FIELD, EvaluateRecipe
from autoreid.evaluation.camera_pairs import by_camera_pair
from autoreid.evaluation.features import Features, of_test_images
from autoreid.evaluation.hardest import hardest
from autoreid.evaluation.protocol import USUAL, Protocol, Reranking
from autoreid.evaluation.ranking import RankingScores
from autoreid.evaluation.scoring import Scored, score_features
from autoreid.execution import Execution
from autoreid.feed import PreparedData
from autoreid.forms import place
from autoreid.model_files import unpack_model
from autoreid.models.assembly import ReIDModel
from autoreid.optimisation import set_up
from autoreid.weights import WeightFile

# Queries that are named as the hardest.
HARDEST = 20


@dataclass(frozen=True, slots=True, eq=False)
class Evaluated:
    """What the test images gave: features and labels by name, and their scores by `protocol`."""

    found: Features
    protocol: Protocol
    scored: Scored
    index: ImageIndex
    memory: int
    feature: str

    @property
    def ranked(self) -> RankingScores:
        """The scores of the lists that are shown: the re-ranked ones where the protocol re-ranks."""
        return self.scored.scores if self.scored.reranked is None else self.scored.reranked

    def plain(self) -> dict[str, Any]:
        """The figures, as results hold them, with the feature in words."""
        return self.scored.plain() | {"feature": self.feature}

    def camera_pairs(self) -> list[dict[str, Any]]:
        """The scores of every pair of cameras."""
        return by_camera_pair(self.found, self.protocol, memory=self.memory)

    def hardest(self, count: int = HARDEST) -> list[dict[str, Any]]:
        """The queries of the lowest average precision, by name."""
        rows = self.index.rows("query")
        names = [self.index.names[row] for row in rows]
        return hardest(self.scored.scores, names=names, cameras=self.index.cameras[rows], count=count)


def evaluate(
    model: ReIDModel,
    data: PreparedData,
    *,
    device: torch.device,
    precision: str = "fp32",
    execution: Execution,
    protocol: Protocol = USUAL,
    pulse: Callable[[], None] = no_pulse,
) -> Evaluated:
    """Rank query and gallery by the features of a model; of one camera's images by the protocol for these.

    `pulse` is called before each batch. Raises InputError as `of_test_images` and `score_features` do.
    """
    model.eval()

    def embed(images: Tensor) -> Tensor:
        pulse()
        return model.embed(images)

    index, batch = data.index, execution.evaluation_batch
    protocol = replace(protocol, same_camera_ignored=not index.single_camera)
    found = of_test_images(
        embed, data.images, index, device=device, batch=batch, precision=precision, flip=protocol.flip
    )
    memory = byte_count(execution.evaluation_memory)
    try:
        scored = score_features(found, protocol, device=device, memory=memory, facts=index.facts)
    except TooLittleMemoryError as error:
        raise TooLittleMemoryError(f"{MEMORY_FIELD}: {str(error).removeprefix('memory: ')}") from None
    return Evaluated(found, protocol, scored, index, memory, model.neck.ranked)


def protocol_of(recipe: EvaluateRecipe) -> Protocol:
    """The choices of a recipe."""
    return Protocol(
        normalised=recipe.normalised,
        average_precision=recipe.average_precision,
        flip=recipe.flip,
        reranking=Reranking(recipe.k1, recipe.k2, recipe.weight) if recipe.rerank else None,
    )


class EvaluateRun:
    """One evaluation of the model of a training; its single epoch is all of it.

    `sized` gives the data decoded to the height and width of the model's images.
    """

    def __init__(
        self,
        recipe: EvaluateRecipe,
        model: WeightFile,
        sized: Callable[[int, int], PreparedData],
        execution: Execution,
    ) -> None:
        self.recipe, self.execution = recipe, execution
        network, trained, genotype = unpack_model(model.content, model.place)
        self.precision, self.genotype = trained.precision, genotype
        self.device = set_up(execution, trained.precision)
        self.model = place(network, self.device, execution)
        self.data = sized(trained.height, trained.width)
        self.position = Position(1, 1)
        self.result: dict[str, Any] = {}
        self.files: dict[str, bytes] = {}

    def advance(self) -> dict[str, Any]:
        """All of the evaluation; its record."""
        begin = time.perf_counter()
        found = evaluate(
            self.model,
            self.data,
            device=self.device,
            precision=self.precision,
            execution=self.execution,
            protocol=protocol_of(self.recipe),
            pulse=self.position.pulse,
        )
        self.result = {
            "evaluation": found.plain(),
            "camera_pairs": found.camera_pairs(),
            "hardest": found.hardest(),
            "genotype_digest": self.genotype.digest,
            "network": str(self.genotype),
        }
        if self.recipe.pictures:
            from autoreid.evaluation.pictures import draw  # deferred: seldom wanted

            self.files = draw(
                self.model,
                self.data,
                found.found,
                found.protocol,
                found.ranked,
                device=self.device,
                batch=self.execution.evaluation_batch,
                memory=found.memory,
            )
        self.position.epoch_seconds = time.perf_counter() - begin
        return {"epoch": self.position.epoch + 1, "wall_seconds": self.position.next_epoch()}

    def check(self) -> None:
        """Features are finite: others were refused."""

    def state(self) -> dict[str, Any]:
        """What was found, if it was."""
        files = {
            name: torch.frombuffer(bytearray(data), dtype=torch.uint8) for name, data in self.files.items()
        }
        return {"position": self.position.state(), "result": json.dumps(self.result), "files": files}

    def load(self, state: dict[str, Any]) -> None:
        """Continue where `state` was taken."""
        self.position.load(state["position"], self.device)
        self.result = json.loads(state["result"])
        self.files = {name: data.numpy().tobytes() for name, data in state["files"].items()}

    def finish(self) -> tuple[dict[str, Any], dict[str, bytes]]:
        """The result, and the pictures, if they are wanted."""
        return self.result | {"evaluation_seconds": self.position.seconds}, self.files
