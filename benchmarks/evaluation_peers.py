"""One measurement of a peer's evaluation, for `evaluation.py`, by an interpreter that has the peers.

PYTHON benchmarks/evaluation_peers.py METHOD FOLDER [--torchreid PATH]

METHOD is one of those of `evaluation.py`. FOLDER holds features.npz and, for what starts from a matrix,
distance.npy. PATH is a source tree of torchreid whose Cython extension is built in place. Prints one JSON
object. Needs NumPy, and what a peer needs.
"""

from __future__ import annotations

import argparse
import importlib
import json
import resource
import sys
import time
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

ORDER = ("query_ids", "gallery_ids", "query_cameras", "gallery_cameras")
SHOWN = 10  # of the CMC


def measured(work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Wall and processor seconds of one call, and the peak memory of the process before and after it."""
    scale = 1 if sys.platform == "darwin" else 1024  # ru_maxrss is in bytes there, in KiB elsewhere
    before, start = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    result = work()
    seconds, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF)
    processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    memory = {"peak_bytes": after.ru_maxrss * scale, "inputs_bytes": before.ru_maxrss * scale}
    return result | {"seconds": seconds, "processor_seconds": processor} | memory


def torchreid(part: str, source: Path | None) -> Any:
    """A module of torchreid, imported past its packages, which need more than it does."""
    inner = "torchreid" if source else "torchreid.reid"
    root = source or next(Path(path) for path in sys.path if Path(path, "torchreid", "reid").is_dir())
    for depth in range(1, len(inner.split(".")) + 2):
        name = ".".join([*inner.split("."), part.split(".")[0]][:depth])
        package = types.ModuleType(name)
        package.__path__ = [str(root.joinpath(*name.split(".")))]
        sys.modules[name] = package
    return importlib.import_module(f"{inner}.{part}")


def ranked_by_torchreid(
    distance: np.ndarray, labels: dict[str, np.ndarray], source: Path | None
) -> dict[str, Any]:
    module = torchreid("metrics.rank", source)
    if source and not module.IS_CYTHON_AVAI:
        raise SystemExit(f"{source}: its Cython extension is not built in place")
    arrays = [labels[name] for name in ORDER]
    cmc, mean = module.evaluate_rank(distance, *arrays, use_cython=bool(source))
    return {"mAP": float(mean), "cmc": cmc[:SHOWN].tolist()}


def ranked_by_reid(distance: np.ndarray, labels: dict[str, np.ndarray]) -> dict[str, Any]:
    metrics = importlib.import_module("reid.eval.metrics")._compute_reid_metrics(
        distance, *(labels[name] for name in ORDER)
    )
    found = {1: metrics.rank1, 5: metrics.rank5, 10: metrics.rank10}
    cmc = [found[rank] / 100 if rank in found else None for rank in range(1, SHOWN + 1)]
    return {"mAP": metrics.mean_average_precision / 100, "cmc": cmc}


def euclidean(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Distances in float32, as torchreid's `compute_distance_matrix` gives them squared."""
    squares = one @ other.T
    squares *= -2
    squares += (one**2).sum(1)[:, None]
    squares += (other**2).sum(1)
    return np.sqrt(np.maximum(squares, 0, out=squares), out=squares)


def reranked_by_torchreid(arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    """Of distances that are not squared yet: its function squares them itself."""
    query, gallery = arrays["query_features"], arrays["gallery_features"]
    pairs = ((query, gallery), (query, query), (gallery, gallery))
    distance = torchreid("utils.rerank", None).re_ranking(*(euclidean(*pair) for pair in pairs))
    return ranked_by_torchreid(distance, arrays, None)


def work_of(method: str, folder: Path, source: Path | None) -> Callable[[], dict[str, Any]]:
    """Load what a measurement needs; the call it returns is what is timed."""
    arrays = dict(np.load(folder / "features.npz"))
    if method == "torchreid re-ranking":
        return lambda: reranked_by_torchreid(arrays)
    if method == "reid with distances":
        importlib.import_module("reid.eval.metrics")
        of = importlib.import_module("reid.eval.metrics").distance_matrix
        sides = arrays["query_features"], arrays["gallery_features"]
        return lambda: ranked_by_reid(of(*sides, distance="euclidean"), arrays)
    distance = np.load(folder / "distance.npy")
    if method == "reid":
        importlib.import_module("reid.eval.metrics")
        return lambda: ranked_by_reid(distance, arrays)
    return lambda: ranked_by_torchreid(distance, arrays, source if method == "torchreid cython" else None)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("method")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--torchreid", type=Path)
    options = parser.parse_args()
    print(json.dumps(measured(work_of(options.method, options.folder, options.torchreid))))


if __name__ == "__main__":
    main()
