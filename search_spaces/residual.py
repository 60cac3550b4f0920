"""ResNet-18 to ResNet-152 as spaces of one place: baselines that are trained like any other architecture.

The networks are torchvision's without pooling and classifier, name by name: its weights load strictly. With a
last stride of 1, which changes no weight, the last map is as large as the one before. With the stem of CIFAR
the first convolution is another one, and there is no pooling.
Sources: He et al., Deep residual learning; as in torchvision, a bottleneck's stride is in its 3x3
convolution; Luo et al., Bag of tricks (last stride 1).
"""

from __future__ import annotations

from torch import Tensor, nn

from search_spaces.hand_designed import HandDesignedSpace
from search_spaces.macro import Stem
from search_spaces.space import Backbone, FeatureMaps

WIDTHS = (64, 128, 256, 512)
# Blocks of the four stages, and whether these are bottlenecks.
DEPTHS: dict[str, tuple[tuple[int, ...], bool]] = {
    "18": ((2, 2, 2, 2), False),
    "34": ((3, 4, 6, 3), False),
    "50": ((3, 4, 6, 3), True),
    "101": ((3, 4, 23, 3), True),
    "152": ((3, 8, 36, 3), True),
}


def _convolution(inputs: int, outputs: int, size: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, size, stride, size // 2, bias=False)


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions, or a bottleneck of 1x1, 3x3, 1x1 with four times the channels; plus the input."""

    def __init__(self, inputs: int, width: int, stride: int, bottleneck: bool) -> None:
        super().__init__()
        outputs = 4 * width if bottleneck else width
        self.conv1 = _convolution(inputs, width, 1) if bottleneck else _convolution(inputs, width, 3, stride)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = _convolution(width, width, 3, stride if bottleneck else 1)
        self.bn2 = nn.BatchNorm2d(width)
        self.bottleneck = bottleneck
        if bottleneck:
            self.conv3 = _convolution(width, outputs, 1)
            self.bn3 = nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU(inplace=True)
        self.downsample: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            shortcut = _convolution(inputs, outputs, 1, stride)
            self.downsample = nn.Sequential(shortcut, nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        inner = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        if self.bottleneck:
            inner = self.bn3(self.conv3(self.relu(inner)))
        result: Tensor = self.relu(inner + self.downsample(x))
        return result


def _stage(inputs: int, width: int, count: int, stride: int, bottleneck: bool) -> nn.Sequential:
    """Blocks in series, the first of them with the stride."""
    first = ResidualBlock(inputs, width, stride, bottleneck)
    outputs = 4 * width if bottleneck else width
    return nn.Sequential(first, *(ResidualBlock(outputs, width, 1, bottleneck) for _ in range(1, count)))


class ResNetBody(Backbone):
    """A ResNet without pooling and classifier: the maps of its last two stages, at 1/16 and 1/32, or both at
    1/16 where the last stride is 1; four times larger with the stem of CIFAR."""

    def __init__(self, depth: str, last_stride: int = 2, stem: Stem = "imagenet") -> None:
        super().__init__()
        blocks, bottleneck = DEPTHS[depth]
        small = stem == "cifar"
        self.conv1 = _convolution(3, WIDTHS[0], 3) if small else _convolution(3, WIDTHS[0], 7, 2)
        self.bn1 = nn.BatchNorm2d(WIDTHS[0])
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.Identity() if small else nn.MaxPool2d(3, 2, 1)
        outputs = [4 * width if bottleneck else width for width in WIDTHS]
        self.layer1 = _stage(WIDTHS[0], WIDTHS[0], blocks[0], 1, bottleneck)
        self.layer2 = _stage(outputs[0], WIDTHS[1], blocks[1], 2, bottleneck)
        self.layer3 = _stage(outputs[1], WIDTHS[2], blocks[2], 2, bottleneck)
        self.layer4 = _stage(outputs[2], WIDTHS[3], blocks[3], last_stride, bottleneck)
        self.channels = (outputs[2], outputs[3])

    def forward(self, images: Tensor) -> FeatureMaps:
        x = self.maxpool(self.relu(self.bn1(self.conv1(images))))
        middle = self.layer3(self.layer2(self.layer1(x)))
        return FeatureMaps(middle, self.layer4(middle))

    def stages(self) -> tuple[nn.Module, ...]:
        return self.layer1, self.layer2, self.layer3, self.layer4


def resnet_space(space_id: str, last_stride: int = 2) -> HandDesignedSpace:
    """The depths, with one last stride."""
    return HandDesignedSpace(
        space_id,
        place="depth",
        options=tuple(DEPTHS),
        scales=("stem",),
        published="resnet18, 34, 50, 101 or 152, or bag-of-tricks",
        build=lambda depth, macro: ResNetBody(depth, last_stride, macro.stem),
    )
