"""Trained networks as ONNX: a file that runs without torch, checked against the network that it came from."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from autoreid.data.augment import MEAN, STD
from autoreid.data.views import Images
from autoreid.errors import InputError, RunError
from autoreid.models.assembly import ReIDModel
from autoreid.portable import Facts
from autoreid.portable_packing import versions
from autoreid.values import plain

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

INPUT, OUTPUT = "images", "features"
CHECKED_BATCHES = (1, 7, 64)
# Of the entries of normalised features.
LARGEST_DIFFERENCE = 1e-4
EXTRA = "Install it with pip install 'autoreid[onnx]'."


class Deployed(nn.Module):
    """images float32 (batch, 3, h, w) in [0, 1], RGB -> L2-normalised features (batch, dim)."""

    mean: Tensor
    scale: Tensor

    def __init__(self, model: ReIDModel) -> None:
        super().__init__()
        self.model = model
        self.register_buffer("mean", torch.tensor(MEAN).view(3, 1, 1))
        self.register_buffer("scale", 1 / torch.tensor(STD).view(3, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        return functional.normalize(self.model.embed((images - self.mean) * self.scale))


@dataclass(frozen=True, slots=True)
class Agreement:
    """How near two sets of L2-normalised features are: entry by entry, and as directions."""

    largest_difference: float
    smallest_cosine: float
    mean_cosine: float

    @classmethod
    def of(cls, found: np.ndarray, expected: np.ndarray) -> Agreement:
        """Of features (images, dim).

        >>> Agreement.of(np.array([[0.0, 1.0]]), np.array([[0.0, 1.0]]))
        Agreement(largest_difference=0.0, smallest_cosine=1.0, mean_cosine=1.0)
        """
        difference = np.abs(found - expected).max()
        found, expected = found.astype(np.float64), expected.astype(np.float64)
        lengths = np.linalg.norm(found, axis=1) * np.linalg.norm(expected, axis=1)
        cosines = (found * expected).sum(axis=1) / lengths
        return cls(float(difference), float(cosines.min()), float(cosines.mean()))


def require_onnx() -> None:
    """InputError where what exports and runs ONNX is not installed."""
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise InputError(f"onnx: {error.name} is not installed. {EXTRA}") from None


def to_onnx(model: ReIDModel, facts: Facts) -> bytes:
    """The ONNX file of a network: input `images`, output `features`, any number of images at once.

    What `facts` know of it is in the file's metadata_props, as JSON texts.
    """
    require_onnx()
    import onnx

    deployed = Deployed(model).eval().requires_grad_(requires_grad=False)
    example = torch.zeros(2, 3, facts.recipe.height, facts.recipe.width)
    program = torch.onnx.export(
        deployed,
        (example,),
        input_names=[INPUT],
        output_names=[OUTPUT],
        dynamic_shapes=({0: torch.export.Dim("batch")},),
        dynamo=True,
        verbose=False,
    )
    assert program is not None
    proto = program.model_proto
    _forget_origin(proto.graph)
    onnx.helper.set_model_props(proto, described(facts))
    written: bytes = proto.SerializeToString()
    return written


def _forget_origin(graph: Any) -> None:
    """Take out of a graph the lines and paths of the code that it came from: half of a small file, and
    nobody's business."""
    for entry in (*graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer, graph):
        entry.ClearField("metadata_props")
        entry.ClearField("doc_string")


def described(facts: Facts) -> dict[str, str]:
    """What an exported file says of its network, by the name of the property."""
    known = facts.plain()
    names = ("genotype", "identities", "data", "metrics", "licence")
    told = {name: known[name] for name in names} | {
        "preprocessing": plain(facts.preprocessing) | {"input": "values in [0, 1]; mean, std: in the graph"},
        "versions": dict(facts.versions or {}) | {"exported": versions()},
        "feature": {"neck": facts.recipe.neck.name, "normalised": True},
    }
    return {name: json.dumps(value, sort_keys=True) for name, value in told.items()}


def session_of(content: bytes, threads: int = 0) -> InferenceSession:
    """An ONNX file ready to run on the processor; 0 threads are as many as there are cores."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3  # errors; it warns of what it optimises away
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def run_session(session: InferenceSession, pixels: np.ndarray) -> np.ndarray:
    """Features, float32 (images, dim), of uint8 pixels (images, 3, h, w)."""
    found: Any = session.run([OUTPUT], {INPUT: scaled(pixels)})[0]
    return np.asarray(found)


def scaled(pixels: np.ndarray) -> np.ndarray:
    """uint8 pixels as the input of an exported network."""
    return pixels.astype(np.float32) / np.float32(255)


def session_features(
    session: InferenceSession, images: Images, rows: np.ndarray, batch: int = 64
) -> np.ndarray:
    """Features, float32 (len(rows), dim), of the images at `rows`, in their order."""
    parts = (rows[start : start + batch] for start in range(0, len(rows), batch))
    return np.concatenate([run_session(session, np.asarray(images[part])) for part in parts])


def network_features(model: ReIDModel, images: Images, rows: np.ndarray, batch: int = 64) -> np.ndarray:
    """What `session_features` gives, computed by the network itself, in float32 on the processor."""
    deployed = Deployed(model).eval()
    with torch.inference_mode():
        parts = (rows[start : start + batch] for start in range(0, len(rows), batch))
        found = [deployed(torch.from_numpy(scaled(np.asarray(images[part])))) for part in parts]
    return torch.cat(found).numpy()


def check(session: InferenceSession, model: ReIDModel, facts: Facts) -> dict[int, Agreement]:
    """How an exported network agrees with its origin, by the number of images at once.

    RunError where a feature differs by `LARGEST_DIFFERENCE` or more.
    """
    pictures = drawn_pictures(max(CHECKED_BATCHES), facts.recipe.height, facts.recipe.width)
    found = dict(_agreements(session, model, pictures))
    apart = [each.largest_difference for each in found.values() if not near_enough(each)]
    if apart:
        raise RunError(
            f"the exported network's features differ from the original's by {max(apart):.2g}, "
            f"and {LARGEST_DIFFERENCE:g} is the most that is let through: nothing was written. Try another "
            "version of torch or onnxruntime, and report this genotype."
        )
    return found


def near_enough(agreement: Agreement) -> bool:
    """Whether features agree as far as a file in 32 bits has to; NaN does not.

    >>> near_enough(Agreement(np.nan, 1.0, 1.0)), near_enough(Agreement(1e-7, 1.0, 1.0))
    (False, True)
    """
    return agreement.largest_difference < LARGEST_DIFFERENCE


def _agreements(
    session: InferenceSession, model: ReIDModel, pictures: np.ndarray
) -> Iterator[tuple[int, Agreement]]:
    for batch in CHECKED_BATCHES:
        rows = np.arange(batch)
        expected = network_features(model, pictures, rows, batch)
        yield batch, Agreement.of(session_features(session, pictures, rows, batch), expected)


@functools.lru_cache(maxsize=1)
def drawn_pictures(count: int, height: int, width: int) -> np.ndarray:
    """Pictures of soft blobs, uint8 (count, 3, height, width): nearer to photographs than noise is."""
    coarse = torch.rand(count, 3, 8, 4, generator=torch.Generator().manual_seed(0))
    soft = functional.interpolate(coarse, (height, width), mode="bilinear", align_corners=False)
    return (255 * soft).to(torch.uint8).numpy()
