"""A storage as the engine and a campaign leave it behind, written by hand: no torch, no training."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

from autoreid.attempts import Attempt, Outcome
from autoreid.jobs import Job, search_job, select_job, train_job
from autoreid.published import CDNET_SEARCH, CDNET_TRAIN
from autoreid.recipes import SelectRecipe
from autoreid.storage import Storage
from search_spaces.genotype import Genotype

FINGERPRINT = "ab" * 32
ARMS = {"top-2": 2, "softmax, k=all": "all"}
REPEATS = 4
# mAP of the finished trainings, by arm and repeat.
MAP = {"top-2": (0.36, 0.39, 0.37, 0.40), "softmax, k=all": (0.31,)}


def facts(seconds: float, epochs: int, **changes: Any) -> dict[str, Any]:
    return {
        "started": "2026-03-01T10:00:00+00:00",
        "wall_seconds": seconds,
        "earlier_seconds": 0.0,
        "device_kind": "cpu",
        "device": "x86_64",
        "threads": 1,
        "forms": "default",
        "peak_memory_bytes": 700 * 2**20,
        "code_version": "0.1.0",
        "torch_version": "2.11.0",
        "python_version": "3.11.9",
        "epochs": epochs,
        **changes,
    }


def genotype(number: int) -> Genotype:
    pairs = ["(3,5,1)", "(3,7,2)", "(5,7,2)", "(5,9,1)", "(7,9,1)", "(3,9,2)"]
    return Genotype.of("cds-v1", {f"mblock{i + 1}": pairs[(i * 5 + number) % 6] for i in range(6)})


def epoch_rows(count: int, number: int, kind: str) -> list[dict[str, Any]]:
    rows = []
    for epoch in range(1, count + 1):
        share = 1 - math.exp(-epoch / (4 + number % 3))
        row = {
            "epoch": epoch,
            "loss": 4.2 - 3.0 * share + 0.1 * math.sin(epoch + number),
            "cross_entropy": 3.4 - 2.5 * share,
            "triplet": 0.8 - 0.5 * share,
            "accuracy": 0.9 * share,
            "learning_rate": 0.02,
            "steps": 10,
            "images": 640,
            "wall_seconds": 2.5,
            "images_per_second": 256.0,
        }
        if kind == "search":
            row |= {
                "validation_loss": 4.4 - 2.2 * share,
                "validation_accuracy": 0.7 * share,
                "alpha_entropy": 2.48 - 0.4 * share,
                "genotype": str(genotype(number)),
                "genotype_changes": 0,
                "alpha_learning_rate": 3e-4,
            }
        rows.append(row)
    return rows


def search_result(number: int) -> dict[str, Any]:
    found = genotype(number)
    return {
        "genotype": found.plain(),
        "genotype_digest": found.digest,
        "alpha_entropy": 2.1,
        "validation_loss": 2.3,
        "validation_accuracy": 0.55,
        "relaxation": "top-k",
        "k": "2",
        "params_backbone": 1_747_448,
        "images_seen": 15360,
        "search_seconds": 30.0 + number,
        "milliseconds_per_image": 3.2 + 0.1 * number,
    }


def train_result(number: int, mean_precision: float) -> dict[str, Any]:
    found = genotype(number)
    return {
        "evaluation": {
            "mAP": mean_precision,
            "rank_1": mean_precision + 0.2,
            "rank_5": mean_precision + 0.4,
            "rank_10": mean_precision + 0.5,
            "mINP": mean_precision - 0.2,
            "queries": 120,
            "protocol": {"junk": "same identity and camera", "version": 1},
        },
        "untrained": {"mAP": 0.08, "rank_1": 0.11},
        "complexity": {
            "params": {"backbone": 1_747_448, "inference": 1_796_600, "training": 2_900_000},
            "multiply_adds": {"backbone": 948_771_840, "inference": 955_063_296},
            "feature_dim": 768,
        },
        "genotype": found.plain(),
        "genotype_digest": found.digest,
        "network": str(found),
        "train_seconds": 60.0,
        "evaluation_seconds": 1.5,
    }


class FakeCampaign:
    """Plans the jobs of two arms and writes what a run would have left of each."""

    def __init__(
        self,
        root: Path,
        name: str = "two-arms",
        arms: dict[str, Any] | None = None,
        repeats: int = REPEATS,
        select: SelectRecipe | None = None,
        trainings: int = 0,
    ) -> None:
        """With `select` the best search of every arm is selected; with `trainings` its genotype alone is
        trained, so often."""
        self.storage, self.name, self.repeats = Storage(root), name, repeats
        self.arms = ARMS if arms is None else arms
        self.jobs: dict[tuple[str, int, str], Job] = {}
        for repeat in range(repeats):
            for arm, k in self.arms.items():
                recipe = dataclasses.replace(CDNET_SEARCH, k=k, epochs=6)
                search = search_job(recipe, FINGERPRINT, split_seed=repeat, search_seed=10 + repeat)
                self.jobs[arm, repeat, "search"] = search
                training = dataclasses.replace(CDNET_TRAIN, epochs=8, height=128, width=64)
                if not trainings:
                    self.jobs[arm, repeat, "train"] = train_job(
                        training, FINGERPRINT, search.id, train_seed=20 + repeat
                    )
        for arm in self.arms if select else ():
            ids = [self.jobs[arm, repeat, "search"].id for repeat in range(repeats)]
            selection = select_job(select or SelectRecipe(), FINGERPRINT, ids)
            self.jobs[arm, 0, "select"] = selection
            for number in range(trainings):
                self.jobs[arm, number, "train"] = train_job(
                    training, FINGERPRINT, selection.id, train_seed=20 + number
                )

    def manifest(self, **changes: Any) -> dict[str, Any]:
        return {
            "version": 1,
            "name": self.name,
            "claim": "Two relaxations of CDNet's search on rendered pedestrians.\nTop-2 should be ahead.",
            "baseline": next(iter(self.arms)),
            "repeats": self.repeats,
            "file": f"# Two relaxations.\nname: {self.name}\ndata: rendered\n",
            "settings": ["train.epochs=8", "search.batch={identities: 8}"],
            "data": {"set": "rendered", "identities": 40, "cameras": 4, "images": 4, "seed": 0},
            "data_fingerprint": FINGERPRINT,
            "created": "2026-03-01T09:59:00+00:00",
            "updated": "2026-03-01T10:30:00+00:00",
            "entries": [
                {"job": job.id, "arm": arm, "repeat": repeat, "kind": kind}
                for (arm, repeat, kind), job in self.jobs.items()
            ],
            "jobs": {job.id: job.plain() for job in self.jobs.values()},
            **changes,
        }

    def write_manifest(self, **changes: Any) -> None:
        self.storage.write_manifest(self.name, self.manifest(**changes))

    def attempt(self, arm: str, repeat: int, kind: str, epochs: int) -> Attempt:
        """A new attempt with records, and no outcome."""
        job = self.jobs[arm, repeat, kind]
        folder = self.storage.job(job.id)
        folder.describe(job.plain())
        attempt = folder.new_attempt()
        rows = epoch_rows(epochs, repeat, kind)
        attempt.write_records(rows)
        return attempt

    def fail(self, arm: str, repeat: int, kind: str, error: str, seconds: float = 7.0) -> None:
        attempt = self.attempt(arm, repeat, kind, 2)
        attempt.finish(Outcome("failed", facts=facts(seconds, 2), error=error))

    def select(self, arm: str, *scores: float) -> None:
        """A finished selection: what each search scored, in percent, and the best of them."""
        job = self.jobs[arm, 0, "select"]
        folder = self.storage.job(job.id)
        folder.describe(job.plain())
        attempt = folder.new_attempt()
        attempt.write_records([{"epoch": n, "wall_seconds": 1.0} for n in range(1, len(scores) + 1)])
        chosen = scores.index(max(scores))
        result = {
            "search": job.searches[chosen],
            "validation_mAP": scores[chosen] / 100,
            "genotype": genotype(chosen).plain(),
            "genotype_digest": genotype(chosen).digest,
            "scores": [
                {"search": search, "genotype_digest": genotype(n).digest, "mAP": score / 100}
                for n, (search, score) in enumerate(zip(job.searches, scores, strict=True))
            ],
        }
        attempt.finish(Outcome("done", result=result, facts=facts(12.0, len(scores))))

    def finish(self, arm: str, repeat: int, kind: str, **changes: Any) -> Attempt:
        """A finished attempt; `changes` go over its result, those named like a fact over its facts."""
        epochs = 6 if kind == "search" else 8
        attempt = self.attempt(arm, repeat, kind, epochs)
        if kind == "search":
            result = search_result(repeat)
            attempt.write("genotype.json", genotype(repeat).to_json().encode())
        else:
            result = train_result(repeat, dict(enumerate(MAP.get(arm, ()))).get(repeat, 0.3))
            attempt.write("model.pt", b"weights")
        known = facts(40.0 if kind == "search" else 70.0, epochs)
        given = known | {name: value for name, value in changes.items() if name in known}
        result |= {name: value for name, value in changes.items() if name not in known}
        attempt.finish(Outcome("done", result=result, facts=given))
        return attempt


def partial_campaign(root: Path, name: str = "two-arms", **manifest: Any) -> FakeCampaign:
    """Two arms, four repeats. The first arm is done, after one failed attempt at repeat 1's training. Of the
    second, repeat 0 is done, the training of 1 failed twice, the search of 2 failed (so its training is
    skipped), and the search of 3 is under way (so its training waits)."""
    campaign = FakeCampaign(root, name)
    first, second = ARMS
    campaign.fail(first, 1, "train", "the worker died")
    for repeat in range(REPEATS):
        campaign.finish(first, repeat, "search")
        campaign.finish(first, repeat, "train")
    for repeat in (0, 1):
        campaign.finish(second, repeat, "search")
    campaign.finish(second, 0, "train")
    campaign.fail(second, 1, "train", "CUDA out of memory.")
    campaign.fail(second, 1, "train", "loss: nan at epoch 3, step 17. Lower the learning rate.", 9.0)
    campaign.fail(second, 2, "search", "OSError: [Errno 28] No space left on device")
    campaign.attempt(second, 3, "search", 4)
    campaign.write_manifest(**manifest)
    return campaign
