"""The form in which a network runs on a machine: its device, its memory format, compiled or not.

A form changes the time that a step takes, and of its results the rounding.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from autoreid.cli import say
from autoreid.execution import Execution
from autoreid.models.assembly import SearchModel

Model = TypeVar("Model", bound=nn.Module)
LAYOUTS = {"channels_last": torch.channels_last, "contiguous": torch.contiguous_format}
# Dropout draws what it draws uncompiled, and shapes are those of the recipe.
COMPILED: dict[str, Any] = {"dynamic": False, "options": {"fallback_random": True}}


def layout(execution: Execution) -> torch.memory_format:
    """The order in which images and weights lie in memory."""
    return LAYOUTS[execution.memory_format]


def place(model: Model, device: torch.device, execution: Execution) -> Model:
    """The model on a device, its weights in the memory format of the execution.

    Images may come in either: convolutions follow their weights.
    """
    placed: Model = model.to(device, memory_format=layout(execution))  # type: ignore[call-overload]
    return placed


def arranged(
    model: SearchModel, execution: Execution, note: Callable[[str], None] = lambda words: None
) -> SearchModel:
    """The model, its supernet computed in the form of the execution; `note` is told where it has one only."""
    if not model.supernet.has_forms and (execution.supernet == "plain" or execution.recompute):
        note("supernet, recompute: the supernet of this space has one form, which it is computed in")
    model.supernet.arrange(fused=execution.supernet == "fused", recompute=execution.recompute)
    return model


def fused(execution: Execution) -> bool:
    """Whether optimizers take one kernel for all parameters; CPUs and CUDA have it."""
    return execution.optimizers == "fused"


def compiled(
    model: nn.Module, execution: Execution, note: Callable[[str], None], *, changes: bool = False
) -> Callable[..., Any]:
    """What to call for the outputs of a model: compiled where the execution asks for it and this machine can.

    Parameters and the names of the model's state stay as they are; the model itself stays uncompiled, for
    what is called seldom. The first call takes minutes. `note` is told where it is not possible, and why.
    `changes`: which operations run differs between steps, each of which would be compiled anew. Where a call
    shows that the network cannot be compiled after all, `note` is told too, and it runs uncompiled from then
    on.
    """
    if not execution.compile:
        return model
    if changes:
        note("compile: the network runs uncompiled, for which of its branches run changes with every step")
        return model
    if execution.recompute and isinstance(model, SearchModel) and model.supernet.has_forms:
        note("compile: the network runs uncompiled, for its cells are computed twice (recompute)")
        return model
    problem = compiler_problem(next(model.parameters()).device)
    if problem is not None:
        note(f"compile: the network runs uncompiled, for nothing can be compiled here ({problem})")
        return model
    return _Compiled(model, torch.compile(model, **COMPILED), note)


class _Compiled:
    """A model that is called in its compiled form, for as long as that can be compiled."""

    def __init__(self, model: nn.Module, call: Callable[..., Any], note: Callable[[str], None]) -> None:
        self.model, self.call, self.note = model, call, note
        self.begun = False

    def __call__(self, *given: Any) -> Any:
        if not self.begun:
            say("the network is compiled, which takes minutes")
            self.begun = True
        try:
            with _both_ways():
                return self.call(*given)
        except RuntimeError as error:
            from torch._dynamo.exc import TorchDynamoException  # deferred: takes a second or two

            if not isinstance(error, TorchDynamoException):
                raise
            # It is raised before the graph that it concerns has run: before anything, where that is all.
            why = in_one_line(error)
            self.note(f"compile: the network runs uncompiled, for it cannot be compiled ({why})")
            self.call = self.model
        return self.model(*given)


def _both_ways() -> contextlib.AbstractContextManager[object]:
    """Within, what is compiled is compiled with its way back, which torch else leaves to the first gradient:
    too late to run the call uncompiled."""
    from torch._functorch import config  # deferred: takes a second or two

    if not hasattr(config, "force_non_lazy_backward_lowering"):
        return contextlib.nullcontext()
    found: contextlib.AbstractContextManager[object] = config.patch(force_non_lazy_backward_lowering=True)
    return found


@contextlib.contextmanager
def without_gradients(network: Callable[..., Any]) -> Iterator[None]:
    """Within, the weights of a compiled network take no gradients. Compiled gradients are computed all
    together, those that nobody asks for too; uncompiled, what is not asked for is not computed anyway."""
    if not isinstance(network, _Compiled):
        yield
        return
    wanted = [parameter for parameter in network.model.parameters() if parameter.requires_grad]
    try:
        for parameter in wanted:
            parameter.requires_grad = False
        yield
    finally:
        for parameter in wanted:
            parameter.requires_grad = True


def in_one_line(error: Exception) -> str:
    """The kind of an error and the first line of its words; where that announces another, the second too."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    words = lines[:2] if lines[:1] and lines[0].endswith(":") else lines[:1]
    return f"{type(error).__name__}: {' '.join(words) or 'no reason given'}"


def compiler_problem(device: torch.device) -> str | None:
    """Why torch.compile does not work for a device on this machine, in one line; None where it does.

    Found by compiling a little, whatever earlier processes left in torch's cache.
    """

    def little(x: Tensor) -> Tensor:
        return x.relu() + 1

    tried = torch.compile(little, options={"force_disable_caches": True})
    try:
        tried(torch.ones(8, device=device))
    except Exception as error:
        return in_one_line(error)
    return None
