"""Features and figures of one OSNet beside those of Roboflow's `reid`, on the same crops.

python benchmarks/reid_peer.py --peer PYTHON [--data DIR] [--weights FILE] [--images 300] [--json]

PYTHON is the interpreter of an environment with `reid` (pip install "reid==0.1.0rc1"). DIR is a data set, by
default rendered pedestrians; so many of its first query and gallery images are taken. FILE is a checkpoint in
Torchreid's form; without one, random weights and batch statistics serve. Exit code 1 where a feature differs
by 1e-4 or more, or a figure by 0.05 points or more.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

import autoreid
from autoreid.cli import answer
from autoreid.data.index import ImageIndex
from autoreid.data.source import DataSource, open_index
from autoreid.evaluation.protocol import USUAL
from autoreid.evaluation.scoring import score_features
from autoreid.export import Agreement
from autoreid.models.assembly import build_network, initialise
from autoreid.portable_torchreid import convert
from autoreid.recipes import Neck
from search_spaces.published import PUBLISHED

PEER = """
import json, sys
import numpy
from reid import ReIDModel
from reid.data import ReIDSplit
given = json.load(open(sys.argv[1]))
model = ReIDModel.from_pretrained(given["weights"], architecture="osnet_x1_0", device="cpu")
splits = [ReIDSplit(side["paths"], numpy.array(side["ids"]), numpy.array(side["cameras"]))
          for side in (given["query"], given["gallery"])]
features = [model.extract_embeddings_from_paths(split.image_paths) for split in splits]
numpy.savez(sys.argv[2], query=features[0], gallery=features[1])
found = model.evaluate(*splits, verbose=False)
print(json.dumps(found.metrics))
"""
FIGURES = {"mAP": "map", "rank_1": "rank1", "rank_5": "rank5", "rank_10": "rank10", "mINP": "minp"}
MOST_DIFFERENCE, MOST_POINTS = 1e-4, 0.05


def random_weights(path: Path) -> None:
    """OSNet with random weights and batch statistics, by Torchreid's names."""
    model, random = build_network(PUBLISHED["osnet"], Neck(name="fc"), 751), torch.Generator().manual_seed(0)
    initialise(model, random)
    for name, values in model.named_buffers():
        if name.endswith("running_mean"):
            values.copy_(0.1 * torch.randn(values.shape, generator=random))
        elif name.endswith("running_var"):
            values.copy_(0.5 + torch.rand(values.shape, generator=random))
    torch.save({name.split(".", 1)[1]: each for name, each in model.state_dict().items()}, path)


def taken(index: ImageIndex, images: int) -> dict[str, np.ndarray]:
    """The first rows of queries and gallery."""
    return {side: index.rows(side)[:images] for side in ("query", "gallery")}


def ask_peer(python: str, weights: Path, index: ImageIndex, rows: dict[str, np.ndarray], folder: Path) -> Any:
    """The peer's features by side, and its figures in percent."""
    given: dict[str, Any] = {"weights": str(weights)}
    for side, chosen in rows.items():
        given[side] = {
            "paths": [str(index.root / index.names[row]) for row in chosen],
            "ids": index.identities[chosen].tolist(),
            "cameras": index.cameras[chosen].tolist(),
        }
    (folder / "given.json").write_text(json.dumps(given))
    line = [python, "-c", PEER, str(folder / "given.json"), str(folder / "found.npz")]
    said = subprocess.run(line, check=True, capture_output=True, text=True, timeout=1800).stdout
    with np.load(folder / "found.npz") as found:
        return dict(found), json.loads(said.splitlines()[-1])


def compare(python: str, weights: Path, index: ImageIndex, images: int, folder: Path) -> dict[str, Any]:
    """How near features are, and the figures of both, in percent."""
    rows = taken(index, images)
    (folder / "net").write_bytes(convert(weights))
    model = autoreid.load(folder / "net", device="cpu")
    sides = {
        side: model.embed([index.root / index.names[row] for row in chosen]).numpy()
        for side, chosen in rows.items()
    }
    theirs, figures = ask_peer(python, weights, index, rows, folder)
    both = [np.concatenate([given[side] for side in ("query", "gallery")]) for given in (sides, theirs)]
    both[1] = both[1] / np.linalg.norm(both[1], axis=1, keepdims=True)
    found = {f"{side}_features": sides[side] for side in sides}
    for side, chosen in rows.items():
        found |= {f"{side}_ids": index.identities[chosen], f"{side}_cameras": index.cameras[chosen]}
    scores = score_features(found, USUAL).plain()
    near = Agreement.of(*both)
    return {
        "images": {side: len(chosen) for side, chosen in rows.items()},
        "largest_difference": near.largest_difference,
        "smallest_cosine": near.smallest_cosine,
        "autoreid": {ours: 100 * scores[ours] for ours in FIGURES},
        "reid": {ours: figures[theirs] for ours, theirs in FIGURES.items()},
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--peer", required=True, help="interpreter of an environment with reid")
    parser.add_argument("--data", help="data set in Market-1501's layout (default: rendered pedestrians)")
    parser.add_argument("--weights", type=Path, help="checkpoint in Torchreid's form (default: random)")
    parser.add_argument("--images", type=int, default=300, help="of queries and of gallery, at most")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    source = DataSource(root=options.data) if options.data else DataSource(set="rendered")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        weights = options.weights
        if weights is None:
            weights = folder / "osnet.pth"
            random_weights(weights)
        found = compare(options.peer, weights, open_index(source), options.images, folder)
    lines = [
        f"{found['images']}: largest difference {found['largest_difference']:.1e}, smallest cosine "
        f"{found['smallest_cosine']:.8f}"
    ]
    lines += [
        f"{name:<8} {', '.join(f'{figure} {value:.3f}' for figure, value in found[name].items())}"
        for name in ("autoreid", "reid")
    ]
    answer(found, "\n".join(lines), options.json)
    points = max(abs(found["autoreid"][name] - found["reid"][name]) for name in FIGURES)
    return int(not (found["largest_difference"] < MOST_DIFFERENCE and points < MOST_POINTS))


if __name__ == "__main__":
    sys.exit(main())
