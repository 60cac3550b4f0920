"""Memory of a computation, counted on tensors without data: what each operation takes and gives back."""

from __future__ import annotations

import functools
import weakref
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

# So many images stand for a batch: a prime number that no other size of a network is a multiple of, so that
# a number of bytes tells how it grows with the batch.
IMAGES = 10007

# The device of tensors that have a shape and no data.
META = "meta"
IS_CUDA = Tensor.is_cuda.__get__  # type: ignore[attr-defined]
# What autocast computes in bf16, and what in float32, of what networks are made of.
PRODUCTS = (
    "conv2d",
    "linear",
    "matmul",
    "__matmul__",
    "mm",
    "bmm",
    "addmm",
    "baddbmm",
    "einsum",
    "tensordot",
)
SUMS = ("sum", "prod", "cumsum", "softmax", "log_softmax", "norm", "pow", "rsqrt")
# In-place operations after which a tensor has another shape.
RESHAPING = ("t_", "transpose_", "unsqueeze_", "squeeze_", "resize_", "as_strided_", "set_")


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """Bytes that are held, moment by moment, as polynomials of the images in a batch.

    terms: int (moments, 3), the bytes for any batch, for each image, and for each pair of images.

    >>> Curve(np.array([[100, 0, 0], [0, 8, 1]])).peak(4), Curve(np.array([[100, 0, 0], [0, 8, 1]])).peak(10)
    (100, 180)
    """

    terms: np.ndarray

    def peak(self, images: int) -> int:
        """The most bytes that are held at once with a batch of so many images."""
        return int((self.terms @ np.array([1, images, images**2])).max(initial=0))


def polynomial(size: int) -> tuple[int, int, int]:
    """A number of bytes with `IMAGES` images: of any batch, of each image, of each pair of them."""
    if size and size % IMAGES**2 == 0:
        return 0, 0, size // IMAGES**2
    return (0, size // IMAGES, 0) if size % IMAGES == 0 else (size, 0, 0)


class Tracing(TorchDispatchMode):
    """Within, every storage that is made is noted with its bytes, until nothing refers to it any more.

    Storages that were there before are not counted. All tensors are on `META`; what an operation gives for
    inputs of known shapes is remembered in `made`, which makes large networks ten times as fast to trace.
    """

    def __init__(self, made: dict[Any, Any]) -> None:
        super().__init__()
        self.made = made
        self._live: dict[int, Any] = {}
        self._changes: list[int] = []

    def curve(self) -> Curve:
        """What was held after every operation; one moment at which nothing was held comes first."""
        terms = np.zeros((len(self._changes) + 1, 3), dtype=np.int64)
        for row, change in enumerate(self._changes, start=1):
            terms[row] = polynomial(change)
        return Curve(np.unique(terms.cumsum(axis=0), axis=0))

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kind = _kind(func)
        if kind == "changes its first":
            return args[0]
        result = self._made(func, args, kwargs or {}) if kind == "makes" else func(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, (tuple, list)) else (result,):
            if isinstance(tensor, Tensor) and kind != "views":
                self._note(tensor.untyped_storage())
        return result

    def _made(self, func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
        key = _signature((func, args, tuple(kwargs.items())))
        known = self.made.get(key)
        if known is not None:
            return _unsigned(known)
        result = func(*args, **kwargs)
        if _only_tensors(result):
            self.made[key] = _outputs(result)
        return result

    def _note(self, storage: Any) -> None:
        key, size = storage._cdata, storage.nbytes()
        if size and key not in self._live:
            self._changes.append(size)
            self._live[key] = weakref.finalize(storage, self._gone, key, size)

    def _gone(self, key: int, size: int) -> None:
        del self._live[key]
        self._changes.append(-size)


@functools.cache
def _kind(func: Any) -> str:
    """Whether an operation makes new storages, views others, or changes its first argument and gives it
    back."""
    aliases = [given.alias_info for given in func._schema.returns]
    if not any(alias is not None for alias in aliases):
        return "makes"
    if not any(alias is not None and alias.is_write for alias in aliases):
        return "views"
    name = func._schema.name.removeprefix("aten::")
    inplace = name.endswith("_") and len(aliases) == 1 and name not in RESHAPING
    return "changes its first" if inplace else "changes"


def _signature(given: Any) -> Any:
    if isinstance(given, Tensor):
        return given.shape, given.stride(), given.dtype
    if isinstance(given, (list, tuple)):
        return tuple(map(_signature, given))
    return type(given), given


def _only_tensors(result: Any) -> bool:
    parts = result if isinstance(result, (tuple, list)) else (result,)
    return all(part is None or isinstance(part, Tensor) for part in parts)


def _outputs(result: Any) -> Any:
    if isinstance(result, (tuple, list)):
        return [_outputs(part) for part in result]
    return None if result is None else (result.shape, result.stride(), result.dtype)


def _unsigned(known: Any) -> Any:
    if isinstance(known, list):
        return tuple(_unsigned(part) for part in known)
    if known is None:
        return None
    shape, strides, dtype = known
    return torch.empty_strided(shape, strides, dtype=dtype, device=META)


class Lowered(TorchFunctionMode):
    """bf16 autocast as CUDA has it, on tensors without data, for which torch has none: products in bf16, sums
    and softmax in float32, and each weight cast once."""

    def __init__(self) -> None:
        super().__init__()
        self._cast: dict[Tensor, Tensor] = {}

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = getattr(func, "__name__", "")
        if name in PRODUCTS:
            args = [self._lowered(given) for given in args]
            kwargs = {name: self._lowered(given) for name, given in (kwargs or {}).items()}
        elif name in SUMS and isinstance(args[0], Tensor) and args[0].dtype == torch.bfloat16:
            args = (args[0].float(), *args[1:])
        return func(*args, **(kwargs or {}))

    def _lowered(self, given: Any) -> Any:
        if isinstance(given, (list, tuple)) and any(isinstance(part, Tensor) for part in given):
            return [self._lowered(part) for part in given]
        if not isinstance(given, Tensor) or given.dtype != torch.float32:
            return given
        if not (given.is_leaf and given.requires_grad):
            return given.to(torch.bfloat16)
        if given not in self._cast:
            self._cast[given] = given.to(torch.bfloat16)
        return self._cast[given]


class AsOnGpu(TorchFunctionMode):
    """Within, tensors say that they are on a GPU: modules that have another form there take it."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return True if func == IS_CUDA else func(*args, **(kwargs or {}))


def backward(total: Tensor, inputs: list[Tensor]) -> None:
    """Take gradients as torch.autograd.grad does, which leaves these modes: cells are recomputed within."""
    engine = torch.autograd.Variable._execution_engine
    ones = (torch.ones_like(total),)
    engine.run_backward((total,), ones, False, False, tuple(inputs), False, accumulate_grad=False)
