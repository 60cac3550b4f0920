"""Top-k Sample Search against the paper's equations, written out literally."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from search_spaces.errors import InputError
from search_spaces.macro import Macro
from search_spaces.registry import SPACES
from search_spaces.relaxations import Softmax, TopK

N = 12


def literal_top_k(p: Tensor, k: int) -> list[int]:
    """The k largest, ties to the lower number, without sorting tricks."""
    left, chosen = list(range(len(p))), []
    for _ in range(k):
        best = left[0]
        for j in left:
            if p[j] > p[best]:
                best = j
        chosen.append(best)
        left.remove(best)
    return sorted(chosen)


@pytest.mark.parametrize("k", range(1, N + 1))
def test_alpha_gradient_is_equation_8_summed_literally(k: int) -> None:
    generator = torch.Generator().manual_seed(k)
    alpha = torch.randn(N, dtype=torch.float64, generator=generator, requires_grad=True)
    outputs = torch.randn(N, 5, dtype=torch.float64, generator=generator)  # f_j(x)
    target = torch.randn(5, dtype=torch.float64, generator=generator)

    branches = TopK(k)({"place": alpha})["place"]
    mixed = sum(w * outputs[j] for j, w in zip(branches.indices, branches.weights, strict=True))
    (mixed - target).square().sum().backward()

    p = alpha.detach().softmax(0)
    chosen = literal_top_k(p, k)
    forward = outputs[chosen].sum(0)  # Eq. 5: every weight is exactly 1
    torch.testing.assert_close(mixed.detach(), forward, rtol=0, atol=1e-14)
    upstream = 2 * (forward - target)
    expected = torch.zeros(N, dtype=torch.float64)
    for j in range(N):
        for selected in chosen:
            slope = p[selected] * ((1.0 if selected == j else 0.0) - p[j])  # dp_selected / dalpha_j
            expected[j] += (upstream * outputs[selected]).sum() * slope
    torch.testing.assert_close(alpha.grad, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("k", [1, 2, 6])
def test_supernet_gradient_is_equation_8_with_the_branches_own_outputs(k: int) -> None:
    """Through a real supernet: dL/dalpha from each branch's output and the gradient that reaches it."""
    torch.manual_seed(0)
    space = SPACES["cs-v1"]
    supernet = space.supernet(Macro(width_multiplier=0.25)).double()
    for parameter in supernet.parameters():  # a block begins as its shortcut, which would hide its branches
        if parameter.dim() == 1:
            torch.nn.init.uniform_(parameter, 0.5, 1.5)
    alphas = {place: torch.randn(6, dtype=torch.float64).requires_grad_() for place in space.places}
    seen: dict[tuple[str, int], Tensor] = {}
    arriving: dict[str, Tensor] = {}

    for number, place in enumerate(space.places):
        block = supernet.blocks[number]
        for j, option in enumerate(block.options):
            option.register_forward_hook(
                lambda _m, _i, output, key=(place, j): seen.__setitem__(key, output.detach())
            )
        block.register_full_backward_hook(
            lambda _m, _i, gradients, place=place: arriving.__setitem__(place, gradients[0])
        )
    images = torch.randn(3, 3, 32, 16, dtype=torch.float64)
    supernet(images, TopK(k)(alphas)).last.square().sum().backward()

    for place, alpha in alphas.items():
        p = alpha.detach().softmax(0)
        chosen = literal_top_k(p, k)
        assert sorted(j for at, j in seen if at == place) == chosen  # and no other branch was computed
        slopes = [(arriving[place] * seen[place, j]).sum() for j in chosen]
        expected = sum(
            slope * p[j] * (torch.eye(6, dtype=torch.float64)[j] - p)
            for slope, j in zip(slopes, chosen, strict=True)
        )
        torch.testing.assert_close(alpha.grad, expected, rtol=1e-8, atol=1e-8)


def test_ties_go_to_the_lower_number() -> None:
    assert TopK(2)({"a": torch.tensor([0.0, 1.0, 0.0, 1.0, 1.0])})["a"].indices == (1, 3)
    assert TopK(3)({"a": torch.zeros(6)})["a"].indices == (0, 1, 2)


def test_all_takes_every_branch_of_places_of_different_size() -> None:
    branches = TopK("all")({"a": torch.zeros(3), "b": torch.zeros(5)})
    assert branches["a"].indices == (0, 1, 2)
    assert branches["b"].weights.tolist() == [1.0] * 5


def test_k_beyond_the_options_is_refused() -> None:
    with pytest.raises(InputError, match="7 branches asked of 6"):
        TopK(7)({"a": torch.zeros(6)})


def test_softmax_weights_sum_to_one_and_carry_gradient() -> None:
    alpha = torch.randn(6, dtype=torch.float64, requires_grad=True)
    outputs = torch.randn(6, dtype=torch.float64)
    branches = Softmax()({"a": alpha})["a"]
    assert branches.weights.sum().item() == pytest.approx(1)
    (branches.weights * outputs).sum().backward()
    p = alpha.detach().softmax(0)
    torch.testing.assert_close(alpha.grad, p * (outputs - (p * outputs).sum()))
