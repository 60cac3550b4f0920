"""The part-aware module against a plain loop over stripes, samples and rows."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from search_spaces.errors import InputError
from search_spaces.operations import operation
from search_spaces.part_aware import PartAware


def naive(module: PartAware, x: Tensor) -> Tensor:
    """One sample, one stripe, one row after the other; norms by their statistics, the module in eval mode."""
    outputs = []
    for sample in x:
        rows, parts = sample.shape[1], module.parts
        # The first rows % parts stripes are one row higher.
        heights = [rows // parts + (part < rows % parts) for part in range(parts)]
        starts = [sum(heights[:part]) for part in range(parts)]
        vectors = []
        for layer, start, height in zip(module.stripes, starts, heights, strict=True):
            pooled = sample[:, start : start + height].mean((1, 2))
            linear, norm = layer[1], layer[2]
            value = linear.weight @ pooled.relu() + linear.bias
            value = (value - norm.running_mean) / (norm.running_var + norm.eps).sqrt()
            vectors.append(value * norm.weight + norm.bias)
        queries = [module.query.weight @ v + module.query.bias for v in vectors]
        keys = [module.key.weight @ v + module.key.bias for v in vectors]
        repeated = []
        for query, height in zip(queries, heights, strict=True):
            scores = torch.stack([query @ key for key in keys]).exp()
            attended = sum(s / scores.sum() * v for s, v in zip(scores, vectors, strict=True))
            repeated += [attended] * height
        rows_of_parts = torch.stack(repeated, dim=1)[:, :, None].expand(-1, -1, sample.shape[2])
        outputs.append(module.merge(torch.cat([sample, rows_of_parts])[None])[0])
    return torch.stack(outputs)


@pytest.mark.parametrize(("parts", "height"), [(1, 1), (1, 5), (2, 5), (3, 3), (4, 11), (4, 12), (5, 17)])
def test_any_number_of_parts_and_rows_equals_a_plain_loop(parts: int, height: int) -> None:
    torch.manual_seed(0)
    module = PartAware(8, parts).double()
    for norm in module.modules():
        if isinstance(norm, (nn.BatchNorm1d, nn.BatchNorm2d)):
            nn.init.uniform_(norm.weight, 0.5, 1.5)
            nn.init.normal_(norm.bias)
            nn.init.normal_(norm.running_mean)
            nn.init.uniform_(norm.running_var, 0.5, 1.5)
    x = torch.randn(3, 8, height, 4).double()
    module.eval()
    torch.testing.assert_close(module(x), naive(module, x), rtol=1e-12, atol=1e-12)


def test_every_stripe_matters_to_every_row() -> None:
    torch.manual_seed(0)
    module = PartAware(6, 4).double().eval()
    x = torch.randn(1, 6, 8, 2).double().requires_grad_()
    module(x)[0, :, 0].sum().backward()
    assert x.grad is not None
    assert (x.grad.abs().sum((0, 1, 3)) > 0).all()


def test_fewer_rows_than_parts_are_refused() -> None:
    with pytest.raises(InputError, match="4 parts of a map that is 3 rows high"):
        PartAware(8, 4)(torch.randn(2, 8, 3, 4))
    with pytest.raises(InputError, match="channels: 2 is too small"):
        PartAware(2)


@pytest.mark.parametrize(("channels", "ratio"), [(32, 1.10), (512, 1.42)])
def test_it_has_about_the_parameters_of_the_separable_convolution(channels: int, ratio: float) -> None:
    """The ratios that the fidelity notes give; printed: about the same."""
    sizes = [
        sum(p.numel() for p in operation(name, channels, 1).parameters())
        for name in ("part_aware", "sep_conv_3x3")
    ]
    assert round(sizes[0] / sizes[1], 2) == ratio
