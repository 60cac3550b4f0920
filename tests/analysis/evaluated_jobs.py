"""A campaign whose trainings were evaluated once more, with what an evaluation leaves, written by hand."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
from fake_storage import FINGERPRINT, FakeCampaign, facts, train_result
from PIL import Image

from autoreid.attempts import Attempt, Outcome
from autoreid.evaluate_recipes import EvaluateRecipe
from autoreid.jobs import evaluate_job

# How far the people of a feature file lie apart, in deviations of one person's features.
APART = 40.0


def picture(seed: int, side: int = 24) -> bytes:
    """A small PNG of its own for each seed."""
    pixels = np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format="PNG")
    return file.getvalue()


def feature_bytes(people: int = 4, images: int = 8, apart: float = APART, **changes: Any) -> bytes:
    """Features of some people, well apart; `changes` replace arrays, or leave out those that are None."""
    random = np.random.default_rng(0)
    identities = np.repeat(np.arange(1, people + 1), images)
    middles = random.normal(size=(people + 1, 16)) * apart
    arrays: dict[str, Any] = {
        name: (middles[identities] + random.normal(size=(len(identities), 16))).astype(np.float32)
        for name in ("f_tri", "f_fc")
    }
    arrays |= {"identities": identities, "cameras": identities % 3 + 1}
    file = io.BytesIO()
    np.savez(file, **{name: array for name, array in (arrays | changes).items() if array is not None})
    return file.getvalue()


def camera_pairs(score: float) -> list[dict[str, Any]]:
    return [
        {
            "query_camera": q,
            "gallery_camera": g,
            "queries": 10 + q,
            "mAP": score - q / 100,
            "rank_1": score + g / 100,
        }
        for q in (1, 2, 3)
        for g in (1, 2, 3)
        if q != g
    ]


def hardest(repeat: int) -> list[dict[str, Any]]:
    """Two queries; the first of them is hard for every repeat."""
    return [
        {
            "name": f"query/{name}.jpg",
            "identity": 7,
            "camera": 2,
            "average_precision": 0.01 * place + 0.002 * repeat,
            "first_rank": 100 - repeat,
        }
        for place, name in enumerate(("0007_c2", f"only-{repeat}"), 1)
    ]


class EvaluatedCampaign(FakeCampaign):
    """Two arms of two repeats, trained; `evaluate` adds what was found out afterwards."""

    def __init__(self, root: Path, name: str = "two-arms", arms: dict[str, Any] | None = None) -> None:
        super().__init__(root, name, arms, repeats=2)
        for arm in self.arms:
            for repeat in range(self.repeats):
                self.finish(arm, repeat, "search")
                self.finish(arm, repeat, "train")
                training = self.jobs[arm, repeat, "train"]
                recipe = EvaluateRecipe(pictures=True)
                self.jobs[arm, repeat, "evaluate"] = evaluate_job(recipe, FINGERPRINT, training.id)
        self.write_manifest()

    def evaluate(
        self, arm: str, repeat: int, files: dict[str, bytes] | None = None, **result: Any
    ) -> Attempt:
        """A finished evaluation; `files` it left, and what is in its result besides or instead."""
        job = self.jobs[arm, repeat, "evaluate"]
        folder = self.storage.job(job.id)
        folder.describe(job.plain())
        attempt = folder.new_attempt()
        attempt.write_records([{"epoch": 1, "wall_seconds": 3.0}])
        for name, data in (files or {}).items():
            attempt.write(name, data)
        known = {
            "evaluation": train_result(repeat, 0.4)["evaluation"],
            "camera_pairs": camera_pairs(0.4 + repeat / 10),
            "hardest": hardest(repeat),
        }
        attempt.finish(Outcome("done", result=known | result, facts=facts(5.0, 1)))
        return attempt


def left(seed: int = 0) -> dict[str, bytes]:
    """The three files of one evaluation."""
    return {
        "pictures-ranked.png": picture(2 * seed + 1),
        "pictures-activations.png": picture(2 * seed + 2),
        "features.npz": feature_bytes(people=2, images=4),
    }
