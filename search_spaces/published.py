"""The architectures that the papers print, under their names. Free of torch."""

from __future__ import annotations

from search_spaces.genotype import Genotype


def _chain(space: str, options: str) -> Genotype:
    return Genotype.of(space, {f"mblock{n}": f"({option})" for n, option in enumerate(options.split(), 1)})


# CDNet, Table 8: one option per MBlock.
PUBLISHED: dict[str, Genotype] = {
    "cnet-top1": _chain("cs-v1", "3,5 7,9 3,7 3,9 5,9 7,9"),
    "cnet-top2": _chain("cs-v1", "5,7 7,9 7,9 7,9 7,9 3,5"),
    "cnet-top3": _chain("cs-v1", "5,7 3,9 3,5 3,5 3,5 5,7"),
    "cnet-top4": _chain("cs-v1", "5,7 3,5 5,7 3,7 3,9 3,7"),
    "cdnet-top1": _chain("cds-v1", "3,7,2 3,9,1 5,9,2 3,7,1 3,9,2 7,9,2"),
    "cdnet-top2": _chain("cds-v1", "3,5,1 3,7,2 5,7,2 5,9,1 5,7,2 5,7,1"),
    "cdnet-top3": _chain("cds-v1", "5,7,2 5,7,2 3,5,2 5,7,1 7,9,2 3,7,1"),
    "cdnet-top4": _chain("cds-v1", "3,9,2 5,9,1 5,7,2 3,7,1 5,7,1 5,7,1"),
}
