"""How hard the rendered pedestrians are: colour histograms, an untrained and a trained CDNet, side by side.

Run it with `python benchmarks/rendered_difficulty.py`; it takes about ten minutes on one core and prints one
JSON object. What it gave stands in docs/rendered-pedestrians.md.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from autoreid.calls import train
from autoreid.data.pedestrians import render
from autoreid.data.source import DataSource
from autoreid.evaluation.protocol import USUAL
from autoreid.evaluation.ranking import rank_features
from autoreid.execution import Execution
from autoreid.feed import PreparedData, prepare
from autoreid.published import CDNET_TRAIN
from autoreid.values import override
from search_spaces.published import PUBLISHED

STRIPES, BINS = 6, 8
RECIPE = override(
    CDNET_TRAIN,
    {
        "height": 128,
        "width": 64,
        "width_multiplier": 0.25,
        "epochs": 30,
        "optimizer.schedule.name": "cosine",
        "augmentation": {"pad": 5, "erasing": 0.0},
    },
)


def histogram(image: np.ndarray, *, careful: bool) -> np.ndarray:
    """Square roots of BINS^3 colour counts in horizontal stripes of a uint8 image (3, h, w), normalised.

    `careful` looks at the middle 40% of the width and first gives every channel the same mean and deviation.
    """
    pixels = image.astype(np.float64)
    if careful:
        width = pixels.shape[2]
        pixels = pixels[:, :, int(0.3 * width) : int(0.7 * width)]
        spread = pixels.std((1, 2), keepdims=True) + 1e-9
        pixels = np.clip((pixels - pixels.mean((1, 2), keepdims=True)) / spread * 50 + 128, 0, 255)
    bins = (pixels * BINS / 256).astype(np.int64)
    code = (bins[0] * BINS + bins[1]) * BINS + bins[2]
    stripes = (np.bincount(part.ravel(), minlength=BINS**3) for part in np.array_split(code, STRIPES))
    feature = np.sqrt(np.concatenate([counts / counts.sum() for counts in stripes]))
    return feature / np.linalg.norm(feature)


def histogram_scores(data: PreparedData, *, careful: bool) -> dict[str, Any]:
    """Scores of colour histograms on query and gallery."""
    index = data.index
    parts: dict[str, Any] = {}
    for split in ("query", "gallery"):
        rows = index.rows(split)
        parts[f"{split}_features"] = np.stack([histogram(data.images[row], careful=careful) for row in rows])
        parts[f"{split}_ids"], parts[f"{split}_cameras"] = index.identities[rows], index.cameras[rows]
    return rank_features(**parts).plain(USUAL.plain())


def measure(folder: Path, seed: int, training: int, test: int) -> dict[str, Any]:
    """Percentages of mAP and rank-1 of every method on one rendered data set."""
    world = folder / "world"
    everyone = training + test
    render(world, identities=everyone, cameras=4, images=4, seed=seed, train_fraction=training / everyone)
    source, cache = DataSource(root=str(world)), folder / "cache"
    data = prepare(source, RECIPE.height, RECIPE.width, cache)
    begin = time.perf_counter()
    execution = Execution(device="cpu", threads=1)
    genotype = PUBLISHED["cdnet-top2"]
    result = train(RECIPE, genotype, source, folder / "t", seed=seed, cache=cache, execution=execution).result
    minutes = (time.perf_counter() - begin) / 60
    scores = {
        "histogram": histogram_scores(data, careful=False),
        "careful histogram": histogram_scores(data, careful=True),
        "untrained": result["untrained"],
        "trained": result["evaluation"],
    }
    figures = {
        name: {"mAP": round(100 * found["mAP"], 1), "rank_1": round(100 * found["rank_1"], 1)}
        for name, found in scores.items()
    }
    return {"training": training, "seed": seed, "minutes": round(minutes, 1)} | figures


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--training", type=int, default=250, help="training identities")
    parser.add_argument("--test", type=int, default=50, help="test identities")
    options = parser.parse_args()
    results = []
    for seed in options.seeds:
        with tempfile.TemporaryDirectory() as folder:
            results.append(measure(Path(folder), seed, options.training, options.test))
    print(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
