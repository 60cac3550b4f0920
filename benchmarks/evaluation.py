"""Time and memory of the evaluation on synthetic features of Market-1501's and MSMT17's size.

python benchmarks/evaluation.py [--peer PATH] [--peer-python] [--rounds 5] [--seed 0]

`--peer` is a source tree of torchreid, for a comparison on the same matrix in the same run; where its Cython
extension is built in place, that is what runs. `--peer-python` times its Python form too, once.
Every measurement is a process of its own, one after another, in rounds; figures are medians over the rounds.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from autoreid.cli import answer, say
from autoreid.evaluation.ranking import RankingScores, rank, rank_features

# (identities, cameras, queries, gallery images of people, distractors); MSMT17 has no distractors.
SIZES = {"market1501": (750, 6, 3368, 13115, 2798), "msmt17": (3060, 15, 11659, 82161, 0)}
DIMENSIONS, LATENT = 512, 24
NOISE = {"trained": 0.57, "weak": 0.9}  # mAP near 0.8 and near 0.2 at Market-1501's size
PEER_METHODS = {"torchreid cython": True, "torchreid python": False}
TOLERANCE = 1e-6


def make_features(size: str, quality: str, seed: int) -> dict[str, np.ndarray]:
    """Float32 features around identity centres with camera shifts, L2-normalised, and their labels."""
    identities, cameras, queries, people, distractors = SIZES[size]
    random = np.random.default_rng(seed)
    shifts = 0.5 * NOISE[quality] * random.standard_normal((cameras + 1, LATENT))
    centres = random.standard_normal((identities + 1, LATENT))
    lift = random.standard_normal((LATENT, DIMENSIONS)) / np.sqrt(DIMENSIONS)

    def side(name: str, ids: np.ndarray) -> dict[str, np.ndarray]:
        views = random.integers(1, cameras + 1, len(ids))
        latent = centres[ids] + shifts[views] + NOISE[quality] * random.standard_normal((len(ids), LATENT))
        latent[ids == 0] += random.standard_normal(((ids == 0).sum(), LATENT)) - centres[0]
        features = (latent @ lift).astype(np.float32)
        features /= np.linalg.norm(features, axis=1, keepdims=True)
        return {f"{name}_features": features, f"{name}_ids": ids, f"{name}_cameras": views}

    query_ids = np.arange(queries) % identities + 1
    gallery_ids = np.concatenate([random.integers(1, identities + 1, people), np.zeros(distractors, int)])
    return side("query", query_ids) | side("gallery", random.permutation(gallery_ids))


def labels_of(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name: values for name, values in arrays.items() if not name.endswith("_features")}


def figures(scores: RankingScores) -> dict[str, Any]:
    return {"mAP": scores.mean_average_precision, "cmc": scores.cmc[:50].tolist()}


def peer_call(peer: Path, cython: bool) -> Callable[..., Any]:
    """torchreid's `evaluate_rank`, imported past the packages that need more than it does."""
    for name in ("torchreid", "torchreid.metrics"):
        package = types.ModuleType(name)
        package.__path__ = [str(peer.joinpath(*name.split(".")))]
        sys.modules[name] = package
    from torchreid.metrics import rank as module  # type: ignore[import-not-found]

    if cython and not module.IS_CYTHON_AVAI:
        raise SystemExit(f"{peer}: its Cython extension is not built in place")

    def call(distance: np.ndarray, labels: dict[str, np.ndarray]) -> dict[str, Any]:
        order = ("query_ids", "gallery_ids", "query_cameras", "gallery_cameras")
        cmc, mean = module.evaluate_rank(distance, *(labels[name] for name in order), use_cython=cython)
        return {"mAP": float(mean), "cmc": cmc.tolist()}

    return call


def prepare_work(method: str, folder: Path, peer: Path | None) -> Callable[[], dict[str, Any]]:
    """Load what one measurement needs; the call it returns is what is timed."""
    arrays = dict(np.load(folder / "features.npz"))
    labels = labels_of(arrays)
    if method == "rank_features":
        return lambda: figures(rank_features(**arrays))
    distance = np.load(folder / "distance.npy")
    if peer is None or method == "rank":
        return lambda: figures(rank(distance, **labels))
    call = peer_call(peer, PEER_METHODS[method])
    return lambda: call(distance, labels)


def measure(method: str, folder: Path, peer: Path | None) -> dict[str, Any]:
    """In this process: seconds of one call, and the peak of the process before and after it."""
    work = prepare_work(method, folder, peer)
    scale = 1 if sys.platform == "darwin" else 1024  # ru_maxrss is in bytes there, in KiB elsewhere
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale
    start = time.perf_counter()
    result = work()
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale
    return result | {"seconds": seconds, "peak_bytes": peak, "extra_bytes": peak - before}


def in_own_process(*arguments: str) -> dict[str, Any]:
    """Run this file again. A child's peak memory starts at its parent's, so the parent stays small."""
    command = [sys.executable, __file__, *arguments]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def write_inputs(folder: Path, size: str, quality: str, seed: int) -> dict[str, Any]:
    arrays = make_features(size, quality, seed)
    np.savez(folder / "features.npz", **arrays)
    if size == "market1501":
        squares = 2 - 2 * (arrays["query_features"] @ arrays["gallery_features"].T)
        np.save(folder / "distance.npy", np.sqrt(np.maximum(squares, 0)))
    return {"shape": [len(arrays["query_ids"]), len(arrays["gallery_ids"])]}


def compare(size: str, quality: str, methods: list[str], options: argparse.Namespace) -> list[dict[str, Any]]:
    """One row a method: medians over the rounds, and the ratio of its seconds to those of `rank`."""
    runs: dict[str, list[dict[str, Any]]] = {method: [] for method in methods}
    peer = ["--peer", str(options.peer)] if options.peer else []
    with tempfile.TemporaryDirectory() as folder:
        work = ["--folder", folder, *peer]
        in_own_process("--write", quality, "--size", size, "--seed", str(options.seed), *work)
        for turn in range(options.rounds):
            for method in methods:
                if turn == 0 or method != "torchreid python":
                    say(f"{size}, {quality}, round {turn + 1}: {method}")
                    runs[method].append(in_own_process("--measure", method, *work))
    rows = []
    for method, results in runs.items():
        row = {"size": size, "quality": quality, "method": method, "mAP": results[0]["mAP"]}
        row |= {
            key: statistics.median(run[key] for run in results)
            for key in ("seconds", "peak_bytes", "extra_bytes")
        }
        first = runs[methods[0]]
        row["ratio"] = row["seconds"] / statistics.median(run["seconds"] for run in first)
        gaps = np.abs(
            np.subtract([results[0]["mAP"], *results[0]["cmc"]], [first[0]["mAP"], *first[0]["cmc"]])
        )
        row["largest_difference"] = float(gaps.max())
        rows.append(row)
    return rows


def table(rows: list[dict[str, Any]]) -> str:
    lines = [
        "| features | method | seconds | ratio | peak memory | of it beyond the inputs | mAP | differs by |",
        "|---|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {row['size']}, {row['quality']} | {row['method']} | {row['seconds']:.3f} | {row['ratio']:.1f} "
        f"| {row['peak_bytes'] / 1e9:.2f} GB | {row['extra_bytes'] / 1e9:.2f} GB | {row['mAP']:.4f} "
        f"| {row['largest_difference']:.0e} |"
        for row in rows
    ]
    return "\n".join(lines)


def report(options: argparse.Namespace) -> int:
    rows = []
    for size in options.size or ["market1501"]:
        for quality in NOISE:
            methods = ["rank", "rank_features"] if size == "market1501" else ["rank_features"]
            if options.peer and size == "market1501":
                methods.append("torchreid cython")
            if options.peer and options.peer_python and size == "market1501" and quality == "trained":
                methods.append("torchreid python")
            rows += compare(size, quality, methods, options)
    machine = f"{platform.machine()}, {os.cpu_count()} CPU cores, Python {platform.python_version()}, "
    answer(rows, f"{machine}numpy {np.__version__}\n\n{table(rows)}", as_json=False)
    return 0 if all(row["largest_difference"] <= TOLERANCE for row in rows) else 1


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--peer", type=Path, help="a source tree of torchreid")
    parser.add_argument("--peer-python", action="store_true", help="time its Python form too (minutes)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--size", choices=SIZES, action="append", help="default: market1501 only")
    parser.add_argument("--write", help=argparse.SUPPRESS)
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.write:
        answer(write_inputs(options.folder, options.size[0], options.write, options.seed), "", as_json=True)
        return 0
    if options.measure:
        answer(measure(options.measure, options.folder, options.peer), "", as_json=True)
        return 0
    return report(options)


if __name__ == "__main__":
    sys.exit(main())
