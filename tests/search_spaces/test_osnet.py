"""OSNet against a plain computation from its weights, whose names are those of published files."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from autoreid.recipes import SearchRecipe
from autoreid.sizes import check_search
from search_spaces.errors import InputError
from search_spaces.macro import Macro
from search_spaces.osnet import OSNetBody
from search_spaces.published import PUBLISHED
from search_spaces.registry import SPACES

SPACE = SPACES["osnet-v1"]
IMAGES = torch.randn(2, 3, 66, 35, generator=torch.Generator().manual_seed(1))
# Weights of one norm, and how many weights a Lite 3x3 has.
NORM = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
LITE = ("conv1.weight", "conv2.weight", *(f"bn.{name}" for name in NORM))


def scrambled(width: float, conv5: bool) -> OSNetBody:
    """A network in evaluation mode with norms away from where they begin."""
    torch.manual_seed(4)
    network = OSNetBody(Macro(width_multiplier=width), conv5=conv5).eval()
    for name, tensor in network.state_dict().items():
        if tensor.dtype == torch.float32 and tensor.ndim == 1:
            tensor.uniform_(0.5, 1.5) if "running_mean" not in name else tensor.normal_(std=0.1)
    return network


class Plain:
    """OSNet as its paper describes it, with nothing but functions."""

    def __init__(self, weights: dict[str, Tensor]) -> None:
        self.w = weights

    def norm(self, name: str, x: Tensor) -> Tensor:
        mean, var, weight, bias = (
            self.w[f"{name}.{part}"] for part in ("running_mean", "running_var", "weight", "bias")
        )
        return F.batch_norm(x, mean, var, weight, bias)

    def conv(self, name: str, x: Tensor, **how: int) -> Tensor:
        return self.norm(f"{name}.bn", F.conv2d(x, self.w[f"{name}.conv.weight"], None, **how))

    def lite(self, name: str, x: Tensor) -> Tensor:
        x = F.conv2d(x, self.w[f"{name}.conv1.weight"])
        depthwise = self.w[f"{name}.conv2.weight"]
        return F.relu(self.norm(f"{name}.bn", F.conv2d(x, depthwise, padding=1, groups=x.shape[1])))

    def gate(self, name: str, x: Tensor) -> Tensor:
        mean = F.adaptive_avg_pool2d(x, 1)
        hidden = F.relu(F.conv2d(mean, self.w[f"{name}.fc1.weight"], self.w[f"{name}.fc1.bias"]))
        return x * torch.sigmoid(F.conv2d(hidden, self.w[f"{name}.fc2.weight"], self.w[f"{name}.fc2.bias"]))

    def block(self, name: str, x: Tensor) -> Tensor:
        squeezed, total = F.relu(self.conv(f"{name}.conv1", x)), torch.zeros(())
        for depth, letter in enumerate("abcd", 1):
            stream = squeezed
            for number in range(depth):
                stream = self.lite(f"{name}.conv2{letter}" + (f".{number}" if depth > 1 else ""), stream)
            total = total + self.gate(f"{name}.gate", stream)
        shortcut = f"{name}.downsample"
        identity = self.conv(shortcut, x) if f"{shortcut}.conv.weight" in self.w else x
        return F.relu(self.conv(f"{name}.conv3", total) + identity)

    def maps(self, x: Tensor) -> list[Tensor]:
        x = F.max_pool2d(F.relu(self.conv("conv1", x, stride=2, padding=3)), 3, 2, 1)
        found = []
        for stage in ("conv2", "conv3", "conv4"):
            x = self.block(f"{stage}.1", self.block(f"{stage}.0", x))
            if stage != "conv4":
                x = F.avg_pool2d(F.relu(self.conv(f"{stage}.2.0", x)), 2, 2)
            found.append(x)
        return [*found, F.relu(self.conv("conv5", x))] if "conv5.conv.weight" in self.w else found


@pytest.mark.parametrize("conv5", [True, False])
def test_the_maps_are_those_of_the_plain_computation(conv5: bool) -> None:
    network = scrambled(0.25, conv5)
    with torch.no_grad():
        ours, theirs = network(IMAGES), Plain(network.state_dict()).maps(IMAGES)
    torch.testing.assert_close(ours.middle, theirs[1], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(ours.last, theirs[-1], rtol=1e-5, atol=1e-5)
    assert network.channels == (ours.middle.shape[1], ours.last.shape[1]) == (96, 128)
    assert len(theirs) == 3 + conv5


def test_names_are_those_of_published_weights() -> None:
    """Every name of Torchreid's osnet but `fc` and `classifier`, in its order."""
    expected = ["conv1.conv.weight", *(f"conv1.bn.{name}" for name in NORM)]
    for stage, last in (("conv2", False), ("conv3", False), ("conv4", True)):
        for number in range(2):
            block = f"{stage}.{number}"
            streams = [("conv2a", 0), ("conv2b", 2), ("conv2c", 3), ("conv2d", 4)]
            parts = ["conv1.conv.weight", *(f"conv1.bn.{name}" for name in NORM)]
            for stream, depth in streams:
                bodies = [f"{stream}.{place}" for place in range(depth)] or [stream]
                parts += [f"{body}.{name}" for body in bodies for name in LITE]
            parts += [f"gate.{name}" for name in ("fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias")]
            for name in ["conv3", *(["downsample"] if number == 0 else [])]:
                parts += [f"{name}.conv.weight", *(f"{name}.bn.{of}" for of in NORM)]
            expected += [f"{block}.{part}" for part in parts]
        if not last:
            expected += [f"{stage}.2.0.conv.weight", *(f"{stage}.2.0.bn.{name}" for name in NORM)]
    expected += ["conv5.conv.weight", *(f"conv5.bn.{name}" for name in NORM)]
    assert list(SPACE.network(PUBLISHED["osnet"]).state_dict()) == expected


@pytest.mark.parametrize(
    ("width", "channels"),
    [
        (1.0, (64, 256, 384, 512)),
        (0.75, (48, 192, 288, 384)),
        (0.5, (32, 128, 192, 256)),
        (0.25, (16, 64, 96, 128)),
    ],
)
def test_widths_are_those_that_its_authors_publish(width: float, channels: tuple[int, ...]) -> None:
    with torch.device("meta"):
        weights = SPACE.network(PUBLISHED["osnet"], Macro(width_multiplier=width)).state_dict()
    names = ("conv1", "conv2.1.conv3", "conv3.1.conv3", "conv4.1.conv3")
    assert tuple(len(weights[f"{name}.conv.weight"]) for name in names) == channels
    assert len(weights["conv4.0.gate.fc1.weight"]) == channels[3] // 64


def test_there_is_nothing_to_search() -> None:
    for start in (SPACE.supernet, lambda: check_search(SearchRecipe(space="osnet-v1"))):
        with pytest.raises(InputError, match="space: osnet-v1 cannot be searched"):
            start()
