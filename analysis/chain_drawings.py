"""CDNet's chain as a drawing: three stages of two places, down-samplings between them.

A place is a CDBlock: one or two CBlocks of the same two kernels, whose branches run side by side and are
summed; in `cds-std-v1` there is one branch, as deep as the two together. Source: Combined Depth Space based
Architecture Search for Person Re-identification, Fig. 2 to 4.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from analysis import svg
from search_spaces.genotype import Genotype
from search_spaces.places import MBLOCKS

STANDARD = "cds-std-v1"
OPTION = re.compile(r"\((\d+),(\d+)(?:,(\d+))?\)")
MOST_REPEATS = 4

STEP = 26.0  # between things in a row
ENDS = 74.0  # stem, DownSample
LITE, LITE_HIGH = 44.0, 20.0
BLOCK, BLOCK_HIGH = 96.0, 62.0
PAD, HEAD, JOINT, SMALL = 9.0, 22.0, 14.0, 10.0
GROUP_HIGH = HEAD + BLOCK_HIGH + PAD
STAGE = GROUP_HIGH + 40.0


def is_chain(choices: Mapping[str, str]) -> bool:
    """Whether the places are those of CDNet, and all options pairs of kernels, with repeats or without."""
    if set(choices) != set(MBLOCKS):
        return False
    found = [OPTION.fullmatch(option) for option in choices.values()]
    return all(match is not None and 1 <= int(match[3] or 1) <= MOST_REPEATS for match in found)


def parsed(option: str) -> tuple[str, str, int]:
    """
    >>> parsed("(3,7,2)"), parsed("(5,9)")
    (('3', '7', 2), ('5', '9', 1))
    """
    match = OPTION.fullmatch(option)
    if match is None:
        raise ValueError(f"{option!r} is no pair of kernels")
    return match[1], match[2], int(match[3] or 1)


def branches(space: str, option: str) -> tuple[str, ...]:
    """The kernels of the branches of a block: Lite k is floor(k / 2) Lite 3x3 in series.

    >>> branches("cds-v1", "(3,7,2)"), branches("cds-std-v1", "(3,7,2)")
    (('3', '7'), ('9',))
    """
    first, second, _ = parsed(option)
    if space != STANDARD:
        return first, second
    return (str(2 * (int(first) // 2 + int(second) // 2) + 1),)


def _cblock(x: float, middle: float, kernels: tuple[str, ...]) -> list[str]:
    """One CBlock with its left edge at x: two branches between a fork and a sum, or one."""
    fork, total = x + 9, x + BLOCK - 16
    left = x + 20
    shapes = [svg.box(x, middle - BLOCK_HIGH / 2, BLOCK, BLOCK_HIGH, shade=0.06, line=0.8)]
    if len(kernels) == 1:
        shapes.append(svg.line([(x, middle), (left, middle)]))
        shapes.append(svg.box(left, middle - LITE_HIGH / 2, LITE, LITE_HIGH, shade=0.1))
        shapes.append(svg.text(left + LITE / 2, middle, f"Lite {kernels[0]}", size=SMALL))
        return [*shapes, svg.line([(left + LITE, middle), (x + BLOCK, middle)])]
    shapes.append(svg.line([(x, middle), (fork, middle)]))
    for kernel, y in zip(kernels, (middle - 15, middle + 15), strict=True):
        shapes.append(svg.line([(fork, middle), (fork, y), (left, y)]))
        shapes.append(svg.box(left, y - LITE_HIGH / 2, LITE, LITE_HIGH, shade=0.1))
        shapes.append(svg.text(left + LITE / 2, y, f"Lite {kernel}", size=SMALL))
        shapes.append(svg.line([(left + LITE, y), (total, y), (total, middle + (6 if y > middle else -6))]))
    ring = (
        f'<circle cx="{svg.number(total)}" cy="{svg.number(middle)}" r="6" fill="none" stroke="{svg.INK}"/>'
    )
    cross = [((total - 3.5, middle), (total + 3.5, middle)), ((total, middle - 3.5), (total, middle + 3.5))]
    shapes += [ring, *(svg.line(ends) for ends in cross)]
    shapes.append(svg.line([(total + 6, middle), (x + BLOCK, middle)]))
    return shapes


def _label(genotype: Genotype, place: str, notes: Mapping[str, str]) -> str:
    return f"{genotype[place]} {notes.get(place, '')}".rstrip()


def _room(genotype: Genotype, notes: Mapping[str, str]) -> float:
    """Width of a place's frame: that of the most CBlocks, or of the longest labels."""
    slots = max(parsed(option)[2] for _, option in genotype.choices)
    labels = (svg.wide(place, SMALL) + svg.wide(_label(genotype, place, notes)) for place in MBLOCKS)
    return max(2 * PAD + slots * BLOCK + (slots - 1) * JOINT, max(labels) + 3 * PAD)


def _place(
    x: float, y: float, room: float, label: str, genotype: Genotype, place: str, marked: str
) -> list[str]:
    """The frame of a place with its CBlocks; a line runs on where there are fewer than fit into it."""
    option = genotype[place]
    _, _, repeats = parsed(option)
    middle = y + HEAD + BLOCK_HIGH / 2
    ink, line, shade = (marked, 2.2, 0.08) if marked else (svg.INK, 0.8, 0.03)
    shapes = [svg.box(x, y, room, GROUP_HIGH, radius=6, stroke=ink, fill=ink, line=line, shade=shade)]
    shapes.append(svg.text(x + PAD, y + 12, place, anchor="start", size=SMALL, opacity=0.8))
    shapes.append(svg.text(x + room - PAD, y + 12, label, anchor="end", bold=True))
    at = x + PAD
    shapes.append(svg.line([(x, middle), (at, middle)]))
    for number in range(repeats):
        shapes += _cblock(at, middle, branches(genotype.space, option))
        at += BLOCK
        if number + 1 < repeats:
            shapes.append(svg.line([(at, middle), (at + JOINT, middle)], arrow=True))
            at += JOINT
    shapes.append(svg.line([(at, middle), (x + room, middle)]))
    return shapes


def _end(x: float, middle: float, lines: Sequence[str]) -> list[str]:
    """A box that is not searched, with one or two lines of text."""
    shapes = [svg.box(x, middle - 20, ENDS, 40, radius=6)]
    for number, content in enumerate(lines):
        y = middle + (number - (len(lines) - 1) / 2) * 13
        shapes.append(svg.text(x + ENDS / 2, y, content, size=SMALL))
    return shapes


def drawn(
    genotype: Genotype, notes: Mapping[str, str], marks: Mapping[str, str]
) -> tuple[float, float, list[str]]:
    """Width, height and shapes of a chain; `notes` stand beside options, `marks` are colours by place."""
    room = _room(genotype, notes)
    start = ENDS + STEP
    ending = start + 2 * (room + STEP)
    shapes = []
    for stage in range(3):
        y = 20 + stage * STAGE
        middle = y + HEAD + BLOCK_HIGH / 2
        shapes.append(svg.text(start, y - 10, f"stage {stage + 1}", anchor="start", bold=True))
        if stage == 0:
            shapes += _end(0, middle, ("stem", "to 1/4"))
            shapes.append(svg.line([(ENDS, middle), (start, middle)], arrow=True))
        for number in range(2):
            place = MBLOCKS[2 * stage + number]
            x = start + number * (room + STEP)
            label, mark = _label(genotype, place, notes), marks.get(place, "")
            shapes += _place(x, y, room, label, genotype, place, mark)
            shapes.append(svg.line([(x + room, middle), (x + room + STEP, middle)], arrow=True))
        if stage < 2:
            shapes += _end(ending, middle, ("DownSample", "to half"))
            turn, below = middle + 20, y + GROUP_HIGH + 10
            corners = [(ending + ENDS / 2, turn), (ending + ENDS / 2, below), (start - STEP / 2, below)]
            corners += [(start - STEP / 2, middle + STAGE), (start, middle + STAGE)]
            shapes.append(svg.line(corners, arrow=True))
        else:
            shapes += _end(ending, middle, ("last map",))
    return ending + ENDS + 1, 20 + 2 * STAGE + GROUP_HIGH + 2, shapes
