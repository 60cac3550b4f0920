"""Time and memory of evaluation and re-ranking on synthetic features of Market-1501's and MSMT17's size.

python benchmarks/evaluation.py [--size NAME] [--peers PYTHON] [--torchreid PATH] [--rounds 5] [--seed 0]
    [--short] [--json] [--history DIR]

`--peers` is the interpreter of an environment that has `torchreid` and `reid`, `--torchreid` a source tree of
torchreid whose Cython extension is built in place: both are measured beside ours, on the same features, in
the same run. Every measurement is a process of its own, one after another, in rounds; figures are medians
over the rounds. What needs minutes runs in the first round of "trained" only; what needs more memory than
there is, or a whole matrix at MSMT17's size, not at all. The short form has "trained" only. The exit code is
1 where figures differ or a promise is not kept: at Market-1501's size an evaluation in 1.6 times its product,
re-ranking with evaluation in 12 s and 1.5 GB, at MSMT17's in 3 GB.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from evaluation_peers import SHOWN, euclidean, measured
from side_by_side import Measurement, Promise
from side_by_side import main as side_by_side

from autoreid.byte_sizes import byte_count, byte_words
from autoreid.cli import answer, say
from autoreid.evaluation.ranking import RankingScores, rank, rank_features

# (identities, cameras, queries, gallery images of people, distractors); MSMT17 has no distractors.
SIZES = {"market1501": (750, 6, 3368, 13115, 2798), "msmt17": (3060, 15, 11659, 82161, 0)}
DIMENSIONS, LATENT = 512, 24
NOISE = {"trained": 0.57, "weak": 0.9}  # mAP near 0.8 and near 0.2 at Market-1501's size
CHUNK = 256  # queries of the bare product that are multiplied together


@dataclass(frozen=True)
class Method:
    """What is measured. `beside`: the method whose figures it has to have, and whose seconds are compared.

    peer: "" for ours, "python" for one of the peers' environment, "cython" for torchreid's source tree.
    bytes_a_pair: what it holds for each pair of images it compares: all of them, or queries with gallery.
    """

    name: str
    beside: str
    peer: str = ""
    slow: bool = False
    bytes_a_pair: int = 0
    all_pairs: bool = False
    tolerance: float = 1e-6


METHODS = (
    Method("product", "product"),
    Method("rank_features", "product"),
    Method("rank", "rank_features", bytes_a_pair=4),
    Method("rerank_features", "product"),
    Method("torchreid cython", "rank", "cython", bytes_a_pair=16),
    Method("torchreid", "rank", "python", slow=True, bytes_a_pair=18),
    Method("reid", "rank", "python", bytes_a_pair=4),
    Method("reid with distances", "rank_features", "python", bytes_a_pair=8),
    Method("torchreid re-ranking", "rerank_features", "python", True, 24, True, tolerance=1e-5),
)


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


def figures(scores: RankingScores) -> dict[str, Any]:
    return {"mAP": scores.mean_average_precision, "cmc": scores.cmc[:SHOWN].tolist()}


def multiply(query: np.ndarray, gallery: np.ndarray) -> dict[str, Any]:
    """The bare product in float64, the type that the evaluation's distances have, a chunk at a time."""
    block = np.empty((CHUNK, len(gallery)))
    for start in range(0, len(query), CHUNK):
        rows = query[start : start + CHUNK]
        np.matmul(rows, gallery.T, out=block[: len(rows)])
    return {"mAP": None, "cmc": []}


def work_of(method: str, folder: Path, memory: int) -> Callable[[], dict[str, Any]]:
    """Load what one of our measurements needs; the call it returns is what is timed."""
    arrays = dict(np.load(folder / "features.npz"))
    if method == "product":
        sides = [arrays[f"{side}_features"].astype(np.float64) for side in ("query", "gallery")]
        return lambda: multiply(*sides)
    if method == "rank_features":
        return lambda: figures(rank_features(**arrays, memory=memory))
    if method == "rerank_features":
        from autoreid.evaluation.reranking import rerank_features  # loads torch, which takes memory

        return lambda: figures(rerank_features(**arrays, memory=memory))
    labels = {name: values for name, values in arrays.items() if not name.endswith("_features")}
    distance = np.load(folder / "distance.npy")
    return lambda: figures(rank(distance, **labels))


def in_own_process(*command: str) -> dict[str, Any]:
    """A child's peak memory starts at its parent's, so the parent stays small."""
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def write_inputs(folder: Path, size: str, quality: str, seed: int) -> dict[str, Any]:
    arrays = make_features(size, quality, seed)
    np.savez(folder / "features.npz", **arrays)
    if size == "market1501":
        np.save(folder / "distance.npy", euclidean(arrays["query_features"], arrays["gallery_features"]))
    return {}


def needed_bytes(method: Method, size: str) -> int:
    _, _, queries, people, distractors = SIZES[size]
    gallery = people + distractors
    return method.bytes_a_pair * ((queries + gallery) ** 2 if method.all_pairs else queries * gallery)


def chosen(size: str, options: argparse.Namespace) -> list[Method]:
    """The methods that can run, with a word on those that lack memory."""
    there = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    methods = []
    for method in METHODS:
        given = {"": True, "python": options.peers, "cython": options.peers and options.torchreid}
        needed = needed_bytes(method, size)
        if given[method.peer] and (needed > there or (needed and size != "market1501")):
            held, free = byte_words(needed), byte_words(there)
            say(f"{size}: {method.name} is left out: its matrices take {held} and more; {free} are free")
        elif given[method.peer]:
            methods.append(method)
    return methods


def compare(size: str, quality: str, options: argparse.Namespace) -> list[Measurement]:
    methods = chosen(size, options)
    runs: dict[str, list[dict[str, Any]]] = {method.name: [] for method in methods}
    own, other = (str(Path(__file__).with_name(name)) for name in ("evaluation.py", "evaluation_peers.py"))
    with tempfile.TemporaryDirectory() as folder:
        seed = ["--seed", str(options.seed), "--folder", folder]
        in_own_process(sys.executable, own, "--write", quality, "--size", size, *seed)
        for turn in range(options.rounds):
            for method in methods:
                if method.slow and (turn or quality != "trained"):
                    continue
                command = [sys.executable, own, "--measure", method.name, "--folder", folder]
                command += ["--memory", options.memory]
                if method.peer:
                    command = [options.peers, other, method.name, folder]
                    command += ["--torchreid", str(options.torchreid)] if method.peer == "cython" else []
                runs[method.name].append(in_own_process(*command))
                seconds = runs[method.name][-1]["seconds"]
                say(f"{size}, {quality}, round {turn + 1}: {method.name}, {seconds:.2f} s")
    return [row(size, quality, method, runs) for method in methods if runs[method.name]]


def row(size: str, quality: str, method: Method, runs: dict[str, list[dict[str, Any]]]) -> Measurement:
    """Medians over the rounds. Ratios are taken within a round."""
    results, beside = runs[method.name], runs[method.beside]

    def median(key: str) -> float:
        return statistics.median(run[key] for run in results)

    def ratio(key: str) -> float:  # a slow method has one round only
        return statistics.median(run[key] / other[key] for run, other in zip(results, beside, strict=False))

    extra: dict[str, float | int | str] = {
        "times_as_long": ratio("seconds"),
        "of_processors_times_as_long": ratio("processor_seconds"),
        "peak_gigabytes": median("peak_bytes") / 1e9,
        "inputs_gigabytes": median("inputs_bytes") / 1e9,
    }
    extra |= {} if results[0]["mAP"] is None else {"mAP": results[0]["mAP"]}
    if method.beside not in ("product", method.name):
        values = [[run["mAP"], *run["cmc"]] for run in (results[0], beside[0])]
        gaps = [abs(one - two) for one, two in zip(*values, strict=True) if one is not None]
        extra |= {"differs_by": max(gaps), "equal": int(max(gaps) <= method.tolerance)}
    return Measurement(
        case="evaluation",
        name=name_of(size, quality, method.name),
        seconds=median("seconds"),
        processor_seconds=median("processor_seconds"),
        ratio=1 / ratio("seconds"),
        against=name_of(size, quality, method.beside),
        extra=extra,
    )


def name_of(size: str, quality: str, method: str) -> str:
    return f"{size}, {quality}: {method}"


def promises() -> list[Promise]:
    """Of what is measured: which sizes, features and peers it is can be chosen."""
    found = []
    for quality in NOISE:
        evaluation, reranking = (
            name_of("market1501", quality, name) for name in ("rank_features", "rerank_features")
        )
        found += [
            Promise(evaluation, "times_as_long", most=1.6, optional=True),
            Promise(reranking, "seconds", most=12.0, optional=True),
            Promise(reranking, "peak_gigabytes", most=1.5, optional=True),
            Promise(name_of("msmt17", quality, "rerank_features"), "peak_gigabytes", most=3.0, optional=True),
        ]
    places = [(size, quality) for size in SIZES for quality in NOISE]
    names = [name_of(*place, method.name) for place in places for method in METHODS]
    return [*found, *(Promise(name, "equal", least=1, optional=True) for name in names)]


def measure_all(options: argparse.Namespace) -> list[Measurement]:
    rows = []
    for size in options.size or ["market1501"]:
        for quality in options.quality or (["trained"] if options.short else NOISE):
            rows += compare(size, quality, options)
    return rows


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--peers", metavar="PYTHON", help="an interpreter that has torchreid and reid")
    parser.add_argument("--torchreid", type=Path, metavar="PATH", help="a source tree, its extension built")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--size", choices=SIZES, action="append", help="default: market1501 only")
    parser.add_argument("--quality", choices=NOISE, action="append", help="default: both")
    parser.add_argument("--memory", default="4GiB", help="given to ours (default: 4GiB)")
    for hidden in ("--write", "--measure", "--folder"):
        parser.add_argument(hidden, help=argparse.SUPPRESS)


def in_this_process() -> int:
    """Write the inputs, or take one measurement, as `compare` asks processes of their own to."""
    parser = argparse.ArgumentParser()
    configure(parser)
    options = parser.parse_args()
    if options.write:
        answer(write_inputs(Path(options.folder), options.size[0], options.write, options.seed), "", True)
    else:
        work = work_of(options.measure, Path(options.folder), byte_count(options.memory))
        answer(measured(work), "", as_json=True)
    return 0


def main() -> int:
    if {"--write", "--measure"} & set(sys.argv):
        return in_this_process()
    return side_by_side("evaluation", measure_all, configure, promises=promises(), summary=__doc__)


if __name__ == "__main__":
    sys.exit(main())
