"""What several genotypes have in common: how often each option was chosen, and the most frequent choice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from analysis.cell_drawings import cells_of, is_cells
from search_spaces.genotype import Genotype
from search_spaces.places import KEPT, NONE


def frequencies(genotypes: Sequence[Genotype]) -> dict[str, Counter[str]]:
    """How many of the genotypes chose each option, by place; every place counts every genotype."""
    found: dict[str, Counter[str]] = {}
    for genotype in genotypes:
        for place, option in genotype.choices:
            found.setdefault(place, Counter())[option] += 1
    return found


@dataclass(frozen=True, slots=True)
class Consensus:
    """The most frequent choices as a genotype; `counts` says by place how many chose so, and `ties` names the
    places where something else was chosen as often."""

    genotype: Genotype
    counts: Mapping[str, int]
    ties: tuple[str, ...]
    number: int

    @property
    def notes(self) -> dict[str, str]:
        """Count and tie, as they stand in a drawing.

        >>> Consensus(Genotype.of("a", {"p": "x"}), {"p": 2}, ("p",), 4).notes
        {'p': '2/4 ='}
        """
        return {
            place: f"{count}/{self.number}{' =' if place in self.ties else ''}"
            for place, count in self.counts.items()
        }


def consensus(genotypes: Sequence[Genotype], order: Sequence[str] = ()) -> Consensus:
    """The most frequent choice at every place; of equals the first in `order`, then in the alphabet.

    Of cells, where most edges are not kept by most genotypes, it is what a search derives: of every block the
    two edges that are kept most often, of equals the lower input, and on each its most frequent operation.
    Genotypes must have the same places; at least one is needed.
    """
    found = frequencies(genotypes)
    if is_cells(dict.fromkeys(found, "")):
        return _of_cells(genotypes, found, order)
    choices, counts, ties = {}, {}, []
    for place, options in found.items():
        choices[place], counts[place], tied = _most(options, order)
        ties += [place] * tied
    return Consensus(Genotype.of(genotypes[0].space, choices), counts, tuple(ties), len(genotypes))


def _most(options: Counter[str], order: Sequence[str]) -> tuple[str, int, bool]:
    """The most frequent option, its count, and whether another is as frequent."""
    places = {option: number for number, option in enumerate(order)}
    ranked = sorted(options, key=lambda option: (-options[option], places.get(option, len(places)), option))
    best = ranked[0]
    return best, options[best], len(ranked) > 1 and options[ranked[1]] == options[best]


def _of_cells(
    genotypes: Sequence[Genotype], found: Mapping[str, Counter[str]], order: Sequence[str]
) -> Consensus:
    kept = {
        place: Counter({o: n for o, n in options.items() if o != NONE}) for place, options in found.items()
    }
    choices, counts, ties = dict.fromkeys(found, NONE), {}, []
    for edges in cells_of(genotypes[0]).values():
        for block in sorted({block for _, block, _ in edges}):
            places = [place for _, number, place in edges if number == block]
            # Sorting keeps the order of equals: the lower input.
            ranked = sorted(places, key=lambda place: -kept[place].total())
            least = kept[ranked[min(KEPT, len(ranked)) - 1]].total()
            for place in ranked[:KEPT]:
                if not kept[place]:
                    continue
                choices[place], counts[place], tied = _most(kept[place], order)
                outside = any(kept[other].total() == least for other in ranked[KEPT:])
                if tied or (outside and kept[place].total() == least):
                    ties.append(place)
    return Consensus(Genotype.of(genotypes[0].space, choices), counts, tuple(ties), len(genotypes))
