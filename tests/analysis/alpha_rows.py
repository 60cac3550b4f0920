"""Rows of the table `alphas`, by hand: equal weights that drift to one option at each place."""

from __future__ import annotations

import math

import pandas as pd

from search_spaces.genotype import Genotype
from search_spaces.places import NONE, PLACES


def alpha_rows(genotype: Genotype, job: str, arm: str, repeat: int, epochs: int = 5) -> pd.DataFrame:
    """One search that comes to the genotype; its places have the options of its space."""
    rows = []
    for epoch in range(1, epochs + 1):
        for place, options in PLACES[genotype.space].items():
            chosen = genotype[place]
            alphas = [0.2 * epoch if option == chosen != NONE else 0.0 for option in options]
            total = sum(map(math.exp, alphas))
            rows += [
                {
                    **{"campaign": "two-arms", "job": job, "kind": "search", "arm": arm, "repeat": repeat},
                    **{"epoch": epoch, "place": place, "option": option},
                    **{"alpha": alpha, "weight": math.exp(alpha) / total},
                }
                for option, alpha in zip(options, alphas, strict=True)
            ]
    return pd.DataFrame(rows)
