"""One cell of the cell supernet, forth and back, in its forms side by side.

python benchmarks/cell_step.py [--cell NAME] [--compile] [--rounds 5] [--threads N] [--short]

The cells are those of `reid-v1` at the paper's size (C = 32, batch 16, images of 256x128): one of each kind,
of the largest maps. Both inputs, all weights and all alphas get gradients. "plain" runs every operation of
every edge by itself, "fused" is what a search does. `--compile` adds both compiled, which takes minutes for
each cell: a whole supernet has eight, and is compiled for its weights and for its alphas. All are in
channels_last and float32; the maps are random numbers.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable

import torch
from side_by_side import Form, Measurement, compare, main, measurements_of

from autoreid.cli import say
from autoreid.forms import COMPILED
from autoreid.published import AUTO_REID_SEARCH
from search_spaces.cells import CellPlan, SearchCell, cell_plans
from search_spaces.places import REID, place_of
from search_spaces.relaxations import Branches

ROWS, COLUMNS = 64, 32
BATCH = AUTO_REID_SEARCH.batch.size
BLOCKS = cell_plans(AUTO_REID_SEARCH.macro)
CELLS = {"normal": BLOCKS[0][1], "reduce": BLOCKS[1][0]}


def passes_of(plan: CellPlan, device: str, *, fused: bool, compile: bool) -> Callable[[], object]:
    """Each call goes through the cell forth and back."""
    cell = SearchCell(plan, REID).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    cell.fused = fused
    inputs = [
        torch.randn(BATCH, channels, ROWS, COLUMNS, device=device)
        .contiguous(memory_format=torch.channels_last)
        .requires_grad_()
        for channels in (plan.before, plan.last)
    ]
    share = torch.full((len(REID),), 1 / len(REID), device=device)
    weights = {place_of(plan.kind, key): share.clone().requires_grad_() for key in cell.edges}
    branches = {place: Branches(tuple(range(len(REID))), each) for place, each in weights.items()}
    wanted = [*inputs, *weights.values(), *cell.parameters()]
    call = torch.compile(cell, **COMPILED) if compile else cell
    gradient = torch.randn_like(cell(*inputs, branches))

    def run() -> object:
        return torch.autograd.grad(call(*inputs, branches), wanted, gradient)

    return run


def measure_cell(kind: str, options: argparse.Namespace) -> list[Measurement]:
    forms, extra = [], {}
    for compile in (False, True) if options.compile else (False,):
        for fused in (False, True):
            name = f"{kind}, {'fused' if fused else 'plain'}{', compiled' if compile else ''}"
            run = passes_of(CELLS[kind], options.device, fused=fused, compile=compile)
            begin = time.perf_counter()
            run()
            extra[name] = {"first_seconds": time.perf_counter() - begin}
            say(f"{name}: the first pass took {extra[name]['first_seconds']:.1f} s")
            forms.append(Form(name, run))
    return measurements_of("cell_step", compare(forms, rounds=options.rounds, device=options.device), extra)


def measure(options: argparse.Namespace) -> list[Measurement]:
    torch.manual_seed(0)
    return [row for kind in options.cell or CELLS for row in measure_cell(kind, options)]


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--cell", choices=list(CELLS), action="append", help="default: both")
    parser.add_argument("--compile", action="store_true", help="compiled forms too; needs a C++ compiler")


if __name__ == "__main__":
    sys.exit(main("cell_step", measure, configure, summary=__doc__))
