"""How a search fares: what its genotype is made of, what discretisation costs, how curved its loss is.

Nothing here moves a weight, an alpha, a statistic of a batch norm or a random number.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from autoreid.epochs import no_pulse
from autoreid.models.necks import Branch
from search_spaces.genotype import Genotype
from search_spaces.operations import PARAMETER_FREE
from search_spaces.places import NONE
from search_spaces.relaxations import Branches

# So many held-out images are classified after every epoch, in whole batches, where epochs are long.
IMAGES = 256
# Early stopping compares means over this many epochs, this many epochs apart.
WINDOW = 5
# It stops where the mean of before is less than this share of the mean of now.
SHARE = 0.75
# Power iteration ends where |Hv - qv| is this share of |Hv|, or after so many products.
TOLERANCE = 1e-3
PRODUCTS = 100

FREE = frozenset(PARAMETER_FREE) - {NONE}
Places = Mapping[str, tuple[str, ...]]
Model = Callable[[Tensor, Mapping[str, Branches]], tuple[Branch, ...]]


class Shares(NamedTuple):
    """Among the chosen edges of a genotype; None where the space offers no such operation."""

    skip_connect: float | None
    part_aware: float | None
    parameter_free: float | None


def shares(genotype: Genotype, places: Places) -> Shares:
    """How many of the chosen edges carry which operations, by name, in both cells.

    Parameter-free are pooling and `skip_connect`, also where stride 2 gives the latter convolutions.

    >>> edges = {"normal.b1.i0": "skip_connect", "normal.b1.i1": "sep_conv_3x3", "normal.b2.i0": "none"}
    >>> shares(Genotype.of("s", edges), dict.fromkeys(edges, ("none", "skip_connect", "sep_conv_3x3")))
    Shares(skip_connect=0.5, part_aware=None, parameter_free=0.5)
    """
    chosen = [option for _, option in genotype.choices if option != NONE]
    offered = {option for options in places.values() for option in options}

    def share(names: Iterable[str]) -> float | None:
        wanted = offered.intersection(names)
        return sum(option in wanted for option in chosen) / len(chosen) if wanted else None

    return Shares(share(["skip_connect"]), share(["part_aware"]), share(FREE))


def collapsed(genotype: Genotype, places: Places) -> bool | None:
    """Whether half of the normal cell's chosen edges, or more, have no parameters; None where the space has
    no normal cell.

    A search collapses when parameter-free operations, which help the supernet's weights to learn, crowd out
    those that a network needs (RobustDARTS). DARTS+ stops at two skips among the eight edges of a normal
    cell; that would call both published DARTS genotypes collapsed, which have three and two. Half of the
    edges is where a cell has no more learning edges than others. GDAS' published one lies on that line.
    Reduction cells are left out: pooling is their business.
    """
    chosen = [name for place, name in genotype.choices if place.startswith("normal.") and name != NONE]
    if not chosen or FREE.isdisjoint(option for options in places.values() for option in options):
        return None
    return 2 * sum(option in FREE for option in chosen) >= len(chosen)


@contextlib.contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """The model in evaluation mode: no statistic moves, no dropout is drawn. Its mode comes back after."""
    training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(training)


def probe_batches(batch: int, steps: int) -> int:
    """How many batches are classified after an epoch of `steps` steps: a few percent of its work, a quarter
    where it has few steps.

    >>> probe_batches(64, 100), probe_batches(16, 400), probe_batches(8, 3)
    (4, 16, 1)
    """
    return max(min(-(-IMAGES // batch), steps // 4), 1)


def accuracies(
    model: Model,
    batches: Iterable[tuple[Tensor, Tensor]],
    branches: Sequence[Mapping[str, Branches]],
) -> list[float]:
    """For each choice of branches, the share of the images that the model gives their class."""
    correct, images = [], 0
    with torch.no_grad():
        for pixels, labels in batches:
            images += len(labels)
            found = [(model(pixels, chosen)[0].logits.argmax(1) == labels).sum() for chosen in branches]
            correct.append(torch.stack(found))
        counts: list[int] = torch.stack(correct).sum(0).tolist()
    return [count / images for count in counts]


def largest_eigenvalue(
    loss: Tensor, variables: Sequence[Tensor], pulse: Callable[[], None] = no_pulse
) -> float:
    """The largest eigenvalue, with its sign, of the Hessian of a scalar loss by these variables.

    By power iteration on Hessian-vector products, from a fixed start. Where that finds an eigenvalue below 0,
    or two of like size and opposite sign, a second one on H + |H|, whose largest is then ahead of all others.
    `pulse` is called before each product. `loss` must depend on every variable.

    >>> x = torch.tensor([1.0, 2.0], requires_grad=True)
    >>> round(largest_eigenvalue(x[0] ** 2 - 3 * x[1] ** 2, [x]), 3)
    2.0
    """
    gradient = _flat(torch.autograd.grad(loss, variables, create_graph=True))

    def product(vector: Tensor) -> Tensor:
        pulse()
        return _flat(torch.autograd.grad(gradient, variables, vector, retain_graph=True))

    start = torch.randn(len(gradient), generator=torch.Generator().manual_seed(0)).to(gradient)
    found = _power_iteration(product, start)
    if found.certain and found.eigenvalue >= 0:
        return found.eigenvalue
    radius = found.radius
    return _power_iteration(lambda vector: product(vector) + radius * vector, start).eigenvalue - radius


class _Found(NamedTuple):
    eigenvalue: float
    radius: float
    certain: bool


def _power_iteration(product: Callable[[Tensor], Tensor], start: Tensor) -> _Found:
    """The Rayleigh quotient of the last vector, and the length of its product, which nears the largest
    absolute value among the eigenvalues."""
    vector, found = start / start.norm(), _Found(0.0, 0.0, False)
    for _ in range(PRODUCTS):
        image = product(vector)
        quotient = vector @ image
        numbers = torch.stack([quotient, image.norm(), (image - quotient * vector).norm()])
        eigenvalue, radius, rest = numbers.tolist()
        found = _Found(eigenvalue, radius, rest <= TOLERANCE * radius)
        if found.certain:
            break
        vector = image / image.norm()
    return found


def _flat(tensors: Iterable[Tensor]) -> Tensor:
    return torch.cat([tensor.reshape(-1) for tensor in tensors])


def rises(eigenvalues: Sequence[float | None]) -> bool:
    """Whether a search should stop, given the largest eigenvalue after every epoch so far.

    With m(t) the mean over the last 5 epochs up to t: stop at the first t with m(t) > 0 and
    m(t - 5) < 0.75 m(t), and take the genotype of epoch t - 5. No search stops before epoch 10. None, for an
    eigenvalue that is not finite, stops nothing. Source: RobustDARTS, DARTS-ES; its mean over "5 epochs
    around i" is taken over the last 5 here, so that nothing waits for epochs to come.

    >>> rises([1.0] * 5 + [1.4] * 5), rises([1.0] * 5 + [1.3] * 5)
    (True, False)
    """
    recent = [value for value in eigenvalues[-2 * WINDOW :] if value is not None]
    if len(recent) < 2 * WINDOW:
        return False
    before, now = sum(recent[:WINDOW]) / WINDOW, sum(recent[WINDOW:]) / WINDOW
    return now > 0 and before < SHARE * now
