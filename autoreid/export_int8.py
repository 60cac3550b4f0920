"""Exported networks in 8 bits: weights by channel, activations by what images of the training set give."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from autoreid.data.views import Images
from autoreid.errors import InputError, RunError
from autoreid.export import INPUT, scaled

# So many images of the training set say how large activations become.
CALIBRATED = 256
AT_ONCE = 32
# The mean cosine, over queries and gallery, of a feature in 8 bits and the network's own. What was seen lies
# at 0.9987 and above (docs/export.md).
LEAST_COSINE = 0.99
# What has weights; norms, gates and sums stay as they are.
QUANTISED = ["Conv", "Gemm", "MatMul"]


class Calibration:
    """Images of a training set as onnxruntime asks for them: a batch at a time, then None."""

    def __init__(self, images: Images, rows: np.ndarray) -> None:
        starts = range(0, len(rows), AT_ONCE)
        self._batches = iter([rows[start : start + AT_ONCE] for start in starts])
        self._images = images

    def get_next(self) -> dict[str, np.ndarray] | None:
        rows = next(self._batches, None)
        if rows is None:
            return None
        return {INPUT: scaled(np.asarray(self._images[rows]))}


def calibration_rows(rows: np.ndarray) -> np.ndarray:
    """At most `CALIBRATED` of the rows, evenly spread, so that all people have their part.

    >>> calibration_rows(np.arange(1000))[:3]
    array([0, 3, 7])
    """
    if len(rows) <= CALIBRATED:
        return rows
    return rows[np.arange(CALIBRATED) * len(rows) // CALIBRATED]


def check_near(mean_cosine: float, place: str) -> None:
    """RunError where features in 8 bits are on average farther from the network's own than `LEAST_COSINE`
    lets through; NaN is.

    >>> check_near(0.9987, "a.onnx")
    >>> check_near(np.nan, "a.onnx")
    Traceback (most recent call last):
    ...
    search_spaces.errors.RunError: a.onnx: features in 8 bits have a cosine of nan with the network's own, ...
    """
    if not mean_cosine >= LEAST_COSINE:
        raise RunError(
            f"{place}: features in 8 bits have a cosine of {mean_cosine:.4f} with the network's own, the "
            f"mean of all test images, and {LEAST_COSINE:g} is the least that is let through: nothing was "
            "written. Give images like those that the network learned from by --data, or leave --int8 out."
        )


def quantise(content: bytes, images: Images, rows: np.ndarray, place: str) -> bytes:
    """An ONNX file in 8 bits, to be written to `place`. `rows` are images of the training set, by which it is
    calibrated; InputError where there are none, RunError where onnxruntime cannot do it.

    Weights take 7 of their 8 bits: processors without 8-bit dot products would overflow, and the features
    would depend on the machine.
    """
    import onnx
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    if not len(rows):
        raise InputError(
            "--data: no training images, and --int8 is calibrated on them. Give a data set that has some, or "
            "leave --int8 out."
        )
    # The library's own errors have no base in common.
    names = "Fail EPFail RuntimeException NotImplemented InvalidArgument InvalidGraph InvalidProtobuf"
    own = tuple(getattr(state, name) for name in names.split())
    with tempfile.TemporaryDirectory() as folder:
        try:
            proto = _quantised(content, Calibration(images, calibration_rows(rows)), Path(folder))
        except OSError as error:
            raise RunError(
                f"{folder}: cannot be written ({error.strerror or error}). Free space, or set TMPDIR."
            ) from error
        except (RuntimeError, ValueError, TypeError, *own) as error:
            raise RunError(
                f"{place}: onnxruntime cannot write this network in 8 bits ({error}). Nothing was written. "
                "Leave --int8 out, or try another version of onnxruntime, and report this genotype."
            ) from error
    original = onnx.load_from_string(content)
    onnx.helper.set_model_props(proto, {item.key: item.value for item in original.metadata_props})
    written: bytes = proto.SerializeToString()
    return written


def _quantised(content: bytes, reader: Any, folder: Path) -> Any:
    """The graph in 8 bits; its steps are files in a folder."""
    import onnx
    from onnxruntime import quantization
    from onnxruntime.quantization.shape_inference import quant_pre_process

    given, prepared, made = (folder / name for name in ("given.onnx", "prepared.onnx", "int8.onnx"))
    given.write_bytes(content)
    quant_pre_process(given, prepared, skip_symbolic_shape=True)
    quantization.quantize_static(
        prepared,
        made,
        reader,
        quant_format=quantization.QuantFormat.QDQ,
        op_types_to_quantize=QUANTISED,
        per_channel=True,
        reduce_range=True,
        activation_type=quantization.QuantType.QUInt8,
        weight_type=quantization.QuantType.QInt8,
    )
    return onnx.load(made)
