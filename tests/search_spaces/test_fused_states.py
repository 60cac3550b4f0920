"""What edges share of the state that they leave: rearrangements, stripes, and sums of shared maps."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from search_spaces.fused_states import State, quarters, whole
from search_spaces.fused_sums import weighted_sums


@pytest.mark.parametrize("size", [(8, 6), (9, 7), (4, 1), (5, 2)])
def test_quarters_and_the_whole_are_derivatives_of_each_other(size: tuple[int, int]) -> None:
    x = torch.randn(2, 3, *size, dtype=torch.double, requires_grad=True)
    parts = quarters(x)
    assert torch.equal(parts[:2], x[:, :, ::2, ::2])
    assert torch.equal(whole(parts, *size), x)
    assert torch.autograd.gradcheck(quarters, x)
    assert torch.autograd.gradgradcheck(quarters, x)
    assert torch.autograd.gradcheck(lambda q: whole(q, *size), parts.detach().requires_grad_())


def test_stripes_are_means_of_rows_as_even_as_can_be() -> None:
    x = torch.randn(2, 3, 11, 4, dtype=torch.double)
    means = torch.stack([stripe.mean((2, 3)) for stripe in x.tensor_split(4, dim=2)], dim=1)
    torch.testing.assert_close(State(x, 1).stripes(4), means)


def test_what_edges_share_is_computed_once() -> None:
    state = State(torch.randn(2, 3, 8, 4), 2)
    for name in ("positive", "max_pool_3x3", "avg_pool_3x3", "quarters", "thinned", "halves"):
        assert getattr(state, name) is getattr(state, name)
    for method in (state.stripes, state.places):
        assert method(4) is method(4)
        assert method(2).shape != method(4).shape


@pytest.mark.parametrize("together", [True, False])
def test_weighted_sums_and_their_derivatives(together: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    weights = torch.randn(3, 2, dtype=torch.double, generator=generator, requires_grad=True)
    maps = [torch.randn(2, 3, 4, 2, dtype=torch.double, generator=generator) for _ in range(2)]
    for each in maps:
        each.requires_grad_()

    def sums(weights: Tensor, *maps: Tensor) -> tuple[Tensor, ...]:
        return tuple(weighted_sums(maps, weights, together))

    for row, found in zip(weights, sums(weights, *maps), strict=True):
        torch.testing.assert_close(found, row[0] * maps[0] + row[1] * maps[1])
    assert torch.autograd.gradcheck(sums, (weights, *maps))
    assert torch.autograd.gradgradcheck(sums, (weights, *maps))
