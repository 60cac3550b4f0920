"""OSNet as a space of one place, `conv5`: with the 1x1 convolution after its last stage, or without it.

The names of its weights are those of the authors' Torchreid, whose weights load strictly; its fully connected
layer is the neck `fc`. `Macro.width_multiplier` scales every channel: the authors publish 1, 0.75, 0.5, 0.25.
Sources: Zhou et al., Omni-scale feature learning for person re-identification, section 3 and Table 1; CDNet,
Tables 9 and 10, which counts it with a neck in place of `conv5` too.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from search_spaces.combined_depth import STAGE_CHANNELS, STEM_CHANNELS, scaled
from search_spaces.hand_designed import HandDesignedSpace
from search_spaces.macro import MACRO, Macro
from search_spaces.places import OSNET
from search_spaces.space import Backbone, FeatureMaps

BOTTLENECK = 4  # a block's streams have a quarter of its channels
GATE = 16  # and the gate's hidden layer a sixteenth of a stream's


class Convolution(nn.Module):
    """A convolution, its norm, and ReLU where `relu` says so."""

    def __init__(
        self, inputs: int, outputs: int, size: int = 1, stride: int = 1, *, relu: bool = True
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, size, stride, size // 2, bias=False)
        self.bn = nn.BatchNorm2d(outputs)
        self.relu: nn.Module = nn.ReLU(inplace=True) if relu else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.relu(self.bn(self.conv(x)))
        return result


class Lite3x3(nn.Module):
    """A linear 1x1 convolution, a depthwise 3x3 convolution, a norm and ReLU."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 1, bias=False)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False)
        self.bn = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.bn(self.conv2(self.conv1(x))))


class AggregationGate(nn.Module):
    """A weight in (0, 1) for every channel, from the channel means; one gate serves all streams.

    The mean is a sum and a division: the gradient of a mean is a whole map whose channels do not lie last.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        hidden = max(channels // GATE, 1)
        self.fc1 = nn.Conv2d(channels, hidden, 1)
        self.fc2 = nn.Conv2d(hidden, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        means = x.sum((2, 3), keepdim=True) / (x.shape[2] * x.shape[3])
        return x * self.fc2(self.fc1(means).relu()).sigmoid()


class OmniScaleBlock(nn.Module):
    """Four streams of one to four Lite 3x3 on squeezed channels, gated, summed, restored; plus the input."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        middle = outputs // BOTTLENECK
        self.conv1 = Convolution(inputs, middle)
        self.conv2a = Lite3x3(middle)
        self.conv2b, self.conv2c, self.conv2d = (
            nn.Sequential(*(Lite3x3(middle) for _ in range(depth))) for depth in (2, 3, 4)
        )
        self.gate = AggregationGate(middle)
        self.conv3 = Convolution(middle, outputs, relu=False)
        self.downsample: nn.Module = nn.Identity()
        if inputs != outputs:
            self.downsample = Convolution(inputs, outputs, relu=False)

    def forward(self, x: Tensor) -> Tensor:
        squeezed = self.conv1(x)
        first, *others = (self.gate(stream(squeezed)) for stream in self._streams())
        for other in others:
            first = first + other
        return (self.conv3(first) + self.downsample(x)).relu()

    def _streams(self) -> tuple[nn.Module, ...]:
        return self.conv2a, self.conv2b, self.conv2c, self.conv2d


def _stage(inputs: int, outputs: int, *, halve: bool) -> nn.Sequential:
    """Two blocks; with `halve`, a 1x1 convolution and a 2x2 average pool after them."""
    blocks: list[nn.Module] = [OmniScaleBlock(inputs, outputs), OmniScaleBlock(outputs, outputs)]
    if halve:
        blocks.append(nn.Sequential(Convolution(outputs, outputs), nn.AvgPool2d(2)))
    return nn.Sequential(*blocks)


class OSNetBody(Backbone):
    """OSNet without its fully connected layer: maps at 1/16 of the size, `middle` after the second halving;
    four times larger with the stem of CIFAR."""

    def __init__(self, macro: Macro = MACRO, *, conv5: bool = True) -> None:
        super().__init__()
        stem, *widths = (scaled(c, macro.width_multiplier) for c in (STEM_CHANNELS, *STAGE_CHANNELS))
        small = macro.stem == "cifar"
        self.conv1 = Convolution(3, stem, 3) if small else Convolution(3, stem, 7, 2)
        self.maxpool = nn.Identity() if small else nn.MaxPool2d(3, 2, 1)
        self.conv2 = _stage(stem, widths[0], halve=True)
        self.conv3 = _stage(widths[0], widths[1], halve=True)
        self.conv4 = _stage(widths[1], widths[2], halve=False)
        self.conv5: nn.Module = Convolution(widths[2], widths[2]) if conv5 else nn.Identity()
        self.channels = (widths[1], widths[2])

    def forward(self, images: Tensor) -> FeatureMaps:
        middle = self.conv3(self.conv2(self.maxpool(self.conv1(images))))
        return FeatureMaps(middle, self.conv5(self.conv4(middle)))

    def stages(self) -> tuple[nn.Module, ...]:
        # What halves a map is no part of its stage, as in CDNet's feature maps.
        return self.conv2[1], self.conv3[1], self.conv4[1]


def osnet_space(space_id: str) -> HandDesignedSpace:
    """With the last convolution or without it."""
    return HandDesignedSpace(
        space_id,
        place="conv5",
        options=OSNET,
        scales=("width_multiplier", "stem"),
        published="osnet or osnet-body",
        build=lambda conv5, macro: OSNetBody(macro, conv5=conv5 == "yes"),
    )
