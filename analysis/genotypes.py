"""The section of a report on what was found: architectures drawn, how far seeds agree, and the alphas."""

from __future__ import annotations

from collections.abc import Sequence

from analysis import genotype_pictures as pictures
from analysis import words
from analysis.distances import agreement, chance, mean_distance
from analysis.found import Group, found_grid, groups, options_of
from analysis.pages import Grid, Picture, Records, Section
from analysis.words import NOTHING

# What is drawn of a large campaign: so many arms, searches' alphas, and seeds in one map of distances.
MOST_ARMS, MOST_ALPHAS, MOST_SEEDS = 6, 3, 60
INTRO = (
    "The distance of two genotypes is the share of their choices that differ: of cells the kept edges with "
    "their operations, 16 in a genotype; of other spaces the places. Agreement is its opposite, averaged "
    "over all pairs of seeds."
)
SWEPT = (
    " The points of a sweep count as seeds of the arm that is swept; as they share seeds, they may agree "
    "without a common finding, and the p of such an arm is no test."
)
CHANCE_NOTE = (
    "By chance: the agreement of architectures drawn uniformly at random from the space, exactly; 95 of 100 "
    "random sets of as many stay below the next figure. p is the share of random sets that agree at "
    "least as much (2,000 with a fixed seed): a large one says that the seeds agree no more than chance."
)


def _agreement_grid(found: Sequence[Group], records: Records) -> Grid | None:
    rows = []
    for group in found:
        genotypes = group.genotypes
        if len(genotypes) < 2:
            continue
        different = str(len({genotype.digest for genotype in genotypes}))
        observed = agreement(genotypes)
        places = options_of(group, records.alphas)
        by_chance: tuple[str, ...] = (NOTHING, NOTHING, NOTHING)
        if places is not None:
            random = chance(observed, len(genotypes), places)
            by_chance = (
                words.percent(random.mean),
                words.percent(random.high),
                words.significant(random.p, 2),
            )
        rows.append((group.label, str(len(genotypes)), different, words.percent(observed), *by_chance))
    if not rows:
        return None
    headings = ("arm", "seeds", "genotypes", "agreement, %", "by chance, %", "95 % of random below, %", "p")
    note = CHANCE_NOTE
    if any(row[-1] == NOTHING for row in rows):
        note += " The options of a space that is not built in are known from the table alphas alone."
    return Grid("Agreement of the seeds", headings, "lrrrrrr", tuple(rows), note)


def _same_places(found: Sequence[Group]) -> list[list[Group]]:
    """The groups that can be compared with each other, in their order."""
    families: dict[tuple[str, ...], list[Group]] = {}
    for group in found:
        places = tuple(place for place, _ in group.seeds[0].genotype.choices)
        families.setdefault(places, []).append(group)
    return list(families.values())


def _between_grids(found: Sequence[Group]) -> list[Grid]:
    grids = []
    for family in _same_places(found):
        if len(family) < 2:
            continue
        shown = family[: 2 * MOST_ARMS]
        rows = []
        for one in shown:
            means = (mean_distance(one.by_draw, other.by_draw) for other in shown)
            rows.append((one.label, *(NOTHING if mean is None else f"{mean:.2f}" for mean in means)))
        note = "Means over all pairs of different searches; on the diagonal, the seeds of one arm."
        if len(shown) < len(family):
            note += f" {len(family) - len(shown)} more arms are not shown."
        headings = ("arm", *(group.label for group in shown))
        grids.append(Grid("Distances between arms", headings, f"l{'r' * len(shown)}", tuple(rows), note))
    return grids


def _drawn(found: Sequence[Group], records: Records, prefix: str) -> list[Picture]:
    """One genotype of each of the first arms; of those that searched, the consensus too, and how often each
    option was chosen."""
    drawn: list[Picture] = []
    for number, group in enumerate(found[:MOST_ARMS], 1):
        name = f"{prefix}--genotypes-{number}"
        drawn.append(pictures.of_seed(group, group.shown, name))
        if len(group.seeds) < 2 or group.at_random:
            continue
        places = options_of(group, records.alphas)
        drawn.append(pictures.of_consensus(group, places, f"{name}-consensus"))
        counted = pictures.of_frequencies(group, places, f"{name}-choices")
        drawn += [] if counted is None else [counted]
    return drawn


def _distance_pictures(found: Sequence[Group], prefix: str) -> list[Picture]:
    """A map of distances for the seeds of the arms that can be compared, as many arms as fit into it."""
    drawn = []
    for number, family in enumerate(_same_places(found), 1):
        shown: list[Group] = []
        for group in family:
            if sum(len(one.seeds) for one in [*shown, group]) > MOST_SEEDS:
                break
            shown.append(group)
        if sum(len(group.seeds) for group in shown) > 2:
            drawn.append(pictures.of_distances(shown, f"{prefix}--genotypes-distances-{number}"))
    return drawn


def _alpha_pictures(found: Sequence[Group], records: Records, prefix: str) -> list[Picture]:
    """The alphas of the selected or first search of the first arms that have any."""
    drawn: list[Picture] = []
    for group in found:
        rows = records.alphas[records.alphas["job"] == group.shown.job]
        rows = rows[rows["arm"] == rows["arm"].iloc[0]] if len(rows) else rows
        if rows.empty or len(drawn) == MOST_ALPHAS:
            continue
        name = f"{prefix}--genotypes-alphas-{len(drawn) + 1}"
        drawn.append(pictures.of_alphas(group, group.shown, rows, name))
    return drawn


def _left_out(found: Sequence[Group], records: Records, drawn: Sequence[Picture]) -> tuple[str, ...]:
    """What is not drawn, and how to draw it."""
    total = sum(len(group.seeds) for group in found)
    shown = min(len(found), MOST_ARMS)
    said = []
    if total > shown:
        said.append(
            f"Of {total} genotypes {shown} {'is' if shown == 1 else 'are'} drawn: the selected or first of "
            "each arm, and of searches the consensus. Any other: autoreid genotypes draw JOB --storage DIR."
        )
    searches = records.alphas["job"].nunique()
    mapped = sum("-alphas-" in picture.name for picture in drawn)
    if searches > mapped:
        said.append(
            f"Of {words.counted(searches, 'search', 'searches')} the alphas of {mapped} are drawn. Any "
            "other: autoreid genotypes alphas JOB --storage DIR."
        )
    return tuple(said)


def genotypes(records: Records, prefix: str) -> Section | None:
    """What was found, drawn and compared; None where nothing was found yet. Names of figures begin with
    `prefix`."""
    found = groups(records)
    if not found:
        return None
    drawn = [
        *_drawn(found, records, prefix),
        *_distance_pictures(found, prefix),
        *_alpha_pictures(found, records, prefix),
    ]
    agreed = _agreement_grid(found, records)
    grids = [found_grid(records), *([agreed] if agreed else []), *_between_grids(found)]
    points = _left_out(found, records, drawn)
    intro = INTRO + (SWEPT if len(records.points) else "")
    return Section("Genotypes", intro if agreed else "", points, tuple(grids), tuple(drawn))
