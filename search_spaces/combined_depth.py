"""CDNet's spaces: CS (`cs-v1`), CDS (`cds-v1`) and its standard blocks (`cds-std-v1`), their supernet and
derived networks.

Source: Combined Depth Space based Architecture Search for Person Re-identification, sections 3.1 and 3.2, and
Table 7 (CDNet_std).
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from search_spaces.genotype import Genotype
from search_spaces.macro import MACRO, Macro, Stem
from search_spaces.places import MBLOCKS, depth_options
from search_spaces.relaxations import Branches
from search_spaces.space import Backbone, FeatureMaps, Supernet, check_choices

STEM_CHANNELS = 64
STAGE_CHANNELS = (256, 384, 512)


def scaled(channels: int, width_multiplier: float) -> int:
    """floor(beta * channels / 4) * 4, so that the squeeze to a quarter stays whole.

    >>> scaled(64, 0.25), scaled(384, 0.75)
    (16, 288)
    """
    return int(width_multiplier * channels / 4) * 4


def _pointwise(inputs: int, outputs: int, *, relu: bool) -> nn.Sequential:
    layers: list[nn.Module] = [nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs)]
    return nn.Sequential(*layers, *([nn.ReLU(inplace=True)] if relu else []))


class Lite(nn.Sequential):
    """Lite k: floor(k / 2) Lite 3x3 in series; a Lite 3x3 is a linear 1x1 convolution, a 3x3 depthwise
    convolution, batch norm, ReLU (Fig. 2a, b; Eq. 1)."""

    def __init__(self, channels: int, kernel: int) -> None:
        layers: list[nn.Module] = []
        for _ in range(kernel // 2):
            layers += [
                nn.Conv2d(channels, channels, 1, bias=False),
                nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False),
                nn.BatchNorm2d(channels),
                nn.ReLU(inplace=True),
            ]
        super().__init__(*layers)


class ChannelGate(nn.Module):
    """A weight in (0, 1) for every channel, from the channel means; one gate serves both branches.

    The mean is a sum and a division: of a mean, the gradient is a whole map whose channels do not lie last,
    and adding it to another takes many times as long.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        hidden = max(channels // 4, 1)
        self.squeeze = nn.Conv2d(channels, hidden, 1)
        self.restore = nn.Conv2d(hidden, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        means = x.sum((2, 3), keepdim=True) / (x.shape[2] * x.shape[3])
        return x * self.restore(self.squeeze(means).relu()).sigmoid()


class CBlock(nn.Module):
    """Two branches of different kernels on squeezed channels, gated, summed and restored (Fig. 2c); or one.

    The scale of the last norm begins at 0, so that a block begins as its shortcut.
    """

    def __init__(self, inputs: int, outputs: int, kernels: tuple[int, ...]) -> None:
        super().__init__()
        middle = outputs // 4
        self.squeeze = _pointwise(inputs, middle, relu=True)
        self.branches = nn.ModuleList(Lite(middle, kernel) for kernel in kernels)
        self.gate = ChannelGate(middle)
        self.restore = _pointwise(middle, outputs, relu=False)
        nn.init.zeros_(self.restore[1].weight)  # type: ignore[arg-type]
        self.shortcut = nn.Identity() if inputs == outputs else _pointwise(inputs, outputs, relu=False)

    def forward(self, x: Tensor) -> Tensor:
        squeezed = self.squeeze(x)
        gated = functools.reduce(torch.add, (self.gate(branch(squeezed)) for branch in self.branches))
        return (self.restore(gated) + self.shortcut(x)).relu()


class CDBlock(nn.Sequential):
    """r CBlocks of the same kernels; the first one changes the channels (Fig. 3c).

    A standard one has a single branch: the Lite 3x3 of both kernels in series.
    """

    def __init__(self, inputs: int, outputs: int, option: str, *, standard: bool = False) -> None:
        first, second, repeats = parse_option(option)
        kernels = (2 * (first // 2 + second // 2),) if standard else (first, second)
        channels = [inputs] + [outputs] * repeats
        super().__init__(*(CBlock(channels[i], outputs, kernels) for i in range(repeats)))


class MBlock(nn.Module):
    """All options of one place. Only the branches that are asked for are computed (Eq. 5)."""

    def __init__(self, inputs: int, outputs: int, options: tuple[str, ...], *, standard: bool) -> None:
        super().__init__()
        self.options = nn.ModuleList(
            CDBlock(inputs, outputs, option, standard=standard) for option in options
        )

    def forward(self, x: Tensor, branches: Branches) -> Tensor:
        outputs = (
            weight * self.options[i](x) for i, weight in zip(branches.indices, branches.weights, strict=True)
        )
        return functools.reduce(torch.add, outputs)


class Trunk(nn.Module):
    """What is not searched (Fig. 4): the stem and the two DownSamples around six blocks.

    `forward(images, block)` calls `block(number, x)` for the six blocks in turn.
    """

    def __init__(self, stem: int, stages: tuple[int, int, int], kind: Stem) -> None:
        super().__init__()
        small = kind == "cifar"
        size, stride = (3, 1) if small else (7, 2)
        self.stem = nn.Sequential(
            nn.Conv2d(3, stem, size, stride=stride, padding=size // 2, bias=False),
            nn.BatchNorm2d(stem),
            nn.ReLU(inplace=True),
            *([] if small else [nn.MaxPool2d(3, stride=2, padding=1)]),
        )
        self.downsamples = nn.ModuleList(
            nn.Sequential(_pointwise(c, c, relu=True), nn.AvgPool2d(2)) for c in stages[:2]
        )

    def forward(self, images: Tensor, block: Callable[[int, Tensor], Tensor]) -> FeatureMaps:
        x = self.stem(images)
        maps = []
        for stage in range(3):
            x = block(2 * stage + 1, block(2 * stage, x))
            if stage < 2:
                x = self.downsamples[stage](x)
            maps.append(x)
        return FeatureMaps(middle=maps[1], last=maps[2])


def _block_channels(width_multiplier: float) -> tuple[int, tuple[int, int, int], list[tuple[int, int]]]:
    stem = scaled(STEM_CHANNELS, width_multiplier)
    first, second, third = (scaled(c, width_multiplier) for c in STAGE_CHANNELS)
    chain = [stem, first, first, second, second, third, third]
    return stem, (first, second, third), list(itertools.pairwise(chain))


class CombinedDepthNetwork(Backbone):
    """The network of one genotype: CNet or CDNet without its neck.

    images (batch, 3, h, w) -> maps at 1/16 of the size: `middle` after the second DownSample, `last`; four
    times larger with the stem of CIFAR.
    """

    def __init__(self, options: tuple[str, ...], macro: Macro = MACRO, *, standard: bool = False) -> None:
        super().__init__()
        stem, stages, sizes = _block_channels(macro.width_multiplier)
        self.trunk = Trunk(stem, stages, macro.stem)
        self.blocks = nn.ModuleList(
            CDBlock(inputs, outputs, option, standard=standard)
            for (inputs, outputs), option in zip(sizes, options, strict=True)
        )
        self.channels = (stages[1], stages[2])

    def forward(self, images: Tensor) -> FeatureMaps:
        maps: FeatureMaps = self.trunk(images, lambda number, x: self.blocks[number](x))
        return maps

    def stages(self) -> tuple[nn.Module, ...]:
        return tuple(self.blocks[1::2])


class CombinedDepthSupernet(Supernet):
    """All networks of a space in one, with independent choices at the six places."""

    def __init__(self, options: tuple[str, ...], macro: Macro = MACRO, *, standard: bool = False) -> None:
        super().__init__()
        stem, stages, sizes = _block_channels(macro.width_multiplier)
        self.trunk = Trunk(stem, stages, macro.stem)
        self.blocks = nn.ModuleList(
            MBlock(inputs, outputs, options, standard=standard) for inputs, outputs in sizes
        )
        self.channels = (stages[1], stages[2])
        self.options = options

    def forward(self, images: Tensor, branches: Mapping[str, Branches]) -> FeatureMaps:
        def block(number: int, x: Tensor) -> Tensor:
            output: Tensor = self.blocks[number](x, branches[MBLOCKS[number]])
            return output

        maps: FeatureMaps = self.trunk(images, block)
        return maps

    def inherited(self, genotype: Genotype) -> dict[str, Tensor]:
        chosen = {n: self.options.index(genotype[place]) for n, place in enumerate(MBLOCKS)}
        weights = {}
        for name, tensor in self.state_dict().items():
            room, _, rest = name.partition(".")
            if room != "blocks":
                weights[name] = tensor
                continue
            number, _, option, rest = rest.split(".", 3)
            if int(option) == chosen[int(number)]:
                weights[f"blocks.{number}.{rest}"] = tensor
        return weights


def parse_option(option: str) -> tuple[int, int, int]:
    """The two kernels and the repeats of an option.

    >>> parse_option("(3,7,2)"), parse_option("(5,9)")
    ((3, 7, 2), (5, 9, 1))
    """
    numbers = [int(number) for number in option.strip("()").split(",")]
    first, second, *rest = numbers
    return first, second, rest[0] if rest else 1


@dataclass(frozen=True, slots=True)
class CombinedDepthSpace:
    """CS (`depths` empty: six options) or CDS (`depths` 1 and 2: twelve) at each of six places.

    In a `standard` one each block has one branch, as deep as the two together: what combining patterns brings
    is told by comparing with it.
    """

    id: str
    depths: tuple[int, ...] = ()
    standard: bool = False

    @property
    def options(self) -> tuple[str, ...]:
        return depth_options(self.depths)

    @property
    def places(self) -> dict[str, tuple[str, ...]]:
        return dict.fromkeys(MBLOCKS, self.options)

    def check(self, genotype: Genotype) -> None:
        check_choices(self, genotype)

    def derive(self, alphas: Mapping[str, Tensor]) -> Genotype:
        """The option of the largest alpha at every place; ties: the first."""
        choices = {}
        for place, options in self.places.items():
            values = alphas[place].tolist()
            choices[place] = options[values.index(max(values))]
        return Genotype.of(self.id, choices)

    def sample(self, generator: torch.Generator) -> Genotype:
        options = self.options
        numbers = torch.randint(len(options), (len(MBLOCKS),), generator=generator).tolist()
        return Genotype.of(self.id, {p: options[n] for p, n in zip(MBLOCKS, numbers, strict=True)})

    @property
    def scales(self) -> tuple[str, ...]:
        return ("width_multiplier", "stem")

    def problems(
        self, macro: Macro, height: int, genotype: Genotype | None = None
    ) -> Iterator[tuple[str, str]]:
        """Any size can be built."""
        yield from ()

    def supernet(self, macro: Macro = MACRO) -> CombinedDepthSupernet:
        return CombinedDepthSupernet(self.options, macro, standard=self.standard)

    def network(self, genotype: Genotype, macro: Macro = MACRO) -> CombinedDepthNetwork:
        self.check(genotype)
        options = tuple(genotype[place] for place in MBLOCKS)
        return CombinedDepthNetwork(options, macro, standard=self.standard)
