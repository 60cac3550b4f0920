"""Memory that does not suffice, in words that say what to change; and giving memory back between runs."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator

import torch

from autoreid.errors import OutOfMemoryError, RunError
from autoreid.evaluate_recipes import EvaluateRecipe
from autoreid.execution import Execution
from autoreid.latency_recipes import LatencyRecipe
from autoreid.recipes import RandomSearchRecipe, SelectRecipe

GIB = 2**30
# Where others hold more of a GPU than this, they are the reason, and another attempt may find them gone. CUDA
# itself holds less, for each process.
OTHERS_SHARE, OTHERS_BYTES = 0.1, GIB
# How torch says that the system gave it no memory; it has no kind of error for that.
NO_HOST_MEMORY = "can't allocate memory"
# Fields of recipes, beside the batch, that memory grows with.
SIZES = ("k", "width_multiplier", "channels", "height", "width")


@contextlib.contextmanager
def memory_explained(recipe: object, execution: Execution) -> Iterator[None]:
    """Within, memory that does not suffice is an OutOfMemoryError that says what of the recipe to change.

    A RunError where other processes hold much of the GPU: that may pass.
    """
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise _of_gpu(recipe, execution) from error
    except (MemoryError, RuntimeError) as error:
        if not isinstance(error, MemoryError) and NO_HOST_MEMORY not in str(error):
            raise
        remedy = remedies(recipe, execution)
        raise OutOfMemoryError(f"out of memory: the machine gave this process no more. {remedy}") from error


def _of_gpu(recipe: object, execution: Execution) -> RunError:
    if not torch.cuda.is_available():  # said by something else than CUDA
        return OutOfMemoryError(f"out of memory on the device. {remedies(recipe, execution)}")
    device = torch.device("cuda" if execution.device == "auto" else execution.device)
    free, total = torch.cuda.mem_get_info(device)
    own = torch.cuda.memory_reserved(device)
    others = max(0, total - free - own)
    has = f"out of memory on the GPU ({torch.cuda.get_device_name(device)}, {total / GIB:.1f} GiB)"
    if others > max(OTHERS_SHARE * total, OTHERS_BYTES):
        return RunError(
            f"{has}: other processes hold {others / GIB:.1f} GiB of it, this one {own / GIB:.1f} GiB. Give "
            f"every job a whole GPU (execution.resources.gpus: 1), or wait. {remedies(recipe, execution)}"
        )
    return OutOfMemoryError(f"{has}: this process holds {own / GIB:.1f} GiB. {remedies(recipe, execution)}")


def remedies(recipe: object, execution: Execution) -> str:
    """What of a recipe takes memory, with its values, and what to make of it.

    >>> from autoreid.published import CDNET_SEARCH
    >>> print(remedies(CDNET_SEARCH, Execution()))  # doctest: +NORMALIZE_WHITESPACE
    Make one of these smaller: batch.identities (16), batch.images (4), k (2), width_multiplier (1.0),
    channels (32), height (256), width (128), or set precision: bf16 (now fp32); each makes it another job.
    Where it was an evaluation: lower execution.evaluation_batch (128), which does not, and try the job again.
    """
    lower = f"Lower execution.evaluation_batch ({execution.evaluation_batch})"
    if isinstance(recipe, EvaluateRecipe):
        return f"{lower}, or execution.evaluation_memory, which makes it no other job, and try the job again."
    if isinstance(recipe, LatencyRecipe):
        return f"Time smaller batches: batch is {', '.join(map(str, recipe.batch))}."
    if isinstance(recipe, SelectRecipe) and recipe.rule == "supernet":
        return f"{lower}, which makes it no other job, and try the job again."
    prefix = ""
    if isinstance(recipe, (SelectRecipe, RandomSearchRecipe)):
        recipe, prefix = recipe.train, "train."
    batch = getattr(recipe, "batch", None)
    found = {f"batch.{name}": getattr(batch, name, None) for name in ("identities", "images")}
    found |= {"batch": batch if isinstance(batch, int) else None}
    found |= {name: getattr(recipe, name, None) for name in SIZES}
    listed = ", ".join(f"{prefix}{name} ({value})" for name, value in found.items() if value is not None)
    precision = getattr(recipe, "precision", "bf16")
    other = f", or set {prefix}precision: bf16 (now {precision})" if precision != "bf16" else ""
    return (
        f"Make one of these smaller: {listed}{other}; each makes it another job. Where it was an evaluation: "
        f"{lower[0].lower()}{lower[1:]}, which does not, and try the job again."
    )


def free_memory() -> None:
    """Give back what a run that is over held: its tensors, and the memory that torch keeps of the GPU.

    Else the next run in this process, or another process on the same GPU, finds less of it.
    """
    gc.collect()  # a run and its optimizer may hold each other
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()
