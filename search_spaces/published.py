"""The architectures that the papers print, under their names. Free of torch."""

from __future__ import annotations

from search_spaces.genotype import Genotype


def _chain(space: str, options: str) -> Genotype:
    return Genotype.of(space, {f"mblock{n}": f"({option})" for n, option in enumerate(options.split(), 1)})


OPERATIONS = {
    "max": "max_pool_3x3",
    "avg": "avg_pool_3x3",
    "skip": "skip_connect",
    "sep3": "sep_conv_3x3",
    "sep5": "sep_conv_5x5",
    "dil3": "dil_conv_3x3",
    "dil5": "dil_conv_5x5",
}


def _cells(normal: str, reduce: str) -> Genotype:
    """Blocks with a bar between them; `sep3@1` is an edge from input 1."""
    sources = [(block, source) for block in range(1, 5) for source in range(block + 1)]
    choices = {f"{kind}.b{b}.i{s}": "none" for kind in ("normal", "reduce") for b, s in sources}
    for kind, text in (("normal", normal), ("reduce", reduce)):
        for block, edges in enumerate(text.split("|"), 1):
            for edge in edges.split():
                name, _, source = edge.partition("@")
                choices[f"{kind}.b{block}.i{source}"] = OPERATIONS[name]
    return Genotype.of("darts8-v1", choices)


PUBLISHED: dict[str, Genotype] = {
    # Of DARTS and GDAS, as Auto-ReID takes them for re-ID. GDAS has 5x5 operations.
    "darts-v1-net": _cells(
        normal="sep3@1 sep3@0 | skip@0 sep3@1 | skip@0 sep3@1 | sep3@0 skip@2",
        reduce="max@0 max@1 | skip@2 max@0 | max@0 skip@2 | skip@2 avg@0",
    ),
    "darts-v2-net": _cells(
        normal="sep3@0 sep3@1 | sep3@0 sep3@1 | sep3@1 skip@0 | skip@0 dil3@2",
        reduce="max@0 max@1 | skip@2 max@1 | max@0 skip@2 | skip@2 max@1",
    ),
    "gdas-v1-net": _cells(
        normal="skip@0 skip@1 | skip@0 sep5@2 | sep3@3 skip@0 | sep5@4 sep3@3",
        reduce="sep5@0 sep3@1 | sep5@2 sep5@1 | dil5@2 sep3@1 | sep5@0 sep5@1",
    ),
    # Baselines of every paper.
    "resnet18": Genotype.of("resnet-v1", {"depth": "18"}),
    "resnet34": Genotype.of("resnet-v1", {"depth": "34"}),
    "resnet50": Genotype.of("resnet-v1", {"depth": "50"}),
    # The body of BagOfTricks, with a last stride of 1; its neck is `bnneck`.
    "bag-of-tricks": Genotype.of("resnet-stride1-v1", {"depth": "50"}),
    # The neck of its authors is `fc`; CDNet puts its own necks behind the one without conv5.
    "osnet": Genotype.of("osnet-v1", {"conv5": "yes"}),
    "osnet-body": Genotype.of("osnet-v1", {"conv5": "no"}),
    # Teachers beside these.
    "resnet101": Genotype.of("resnet-v1", {"depth": "101"}),
    "resnet152": Genotype.of("resnet-v1", {"depth": "152"}),
    # CDNet, Table 8: one option per MBlock.
    "cnet-top1": _chain("cs-v1", "3,5 7,9 3,7 3,9 5,9 7,9"),
    "cnet-top2": _chain("cs-v1", "5,7 7,9 7,9 7,9 7,9 3,5"),
    "cnet-top3": _chain("cs-v1", "5,7 3,9 3,5 3,5 3,5 5,7"),
    "cnet-top4": _chain("cs-v1", "5,7 3,5 5,7 3,7 3,9 3,7"),
    "cdnet-top1": _chain("cds-v1", "3,7,2 3,9,1 5,9,2 3,7,1 3,9,2 7,9,2"),
    "cdnet-top2": _chain("cds-v1", "3,5,1 3,7,2 5,7,2 5,9,1 5,7,2 5,7,1"),
    "cdnet-top3": _chain("cds-v1", "5,7,2 5,7,2 3,5,2 5,7,1 7,9,2 3,7,1"),
    "cdnet-top4": _chain("cds-v1", "3,9,2 5,9,1 5,7,2 3,7,1 5,7,1 5,7,1"),
    # CDNet, Table 7: the second of these with blocks of one branch, and with one pair of kernels everywhere.
    "cdnet-std": _chain("cds-std-v1", "3,5,1 3,7,2 5,7,2 5,9,1 5,7,2 5,7,1"),
    "cdnet-v35": _chain("cds-v1", "3,5,1 3,5,2 3,5,2 3,5,1 3,5,2 3,5,1"),
}
