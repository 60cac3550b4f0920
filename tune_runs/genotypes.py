"""The genotypes that a campaign file gives, by name or by file."""

from __future__ import annotations

from pathlib import Path

from autoreid.errors import InputError, Problems, unknown
from autoreid.folders import expanded
from search_spaces.genotype import Genotype
from tune_runs.yaml_places import Document


def read_genotype(
    document: Document, path: tuple[str, ...], folder: Path | None, problems: Problems
) -> Genotype | None:
    """A published network by its name, or the genotype in a file; None and a noted mistake where it is
    neither."""
    from search_spaces.published import PUBLISHED
    from search_spaces.registry import find_space  # deferred: loads torch

    given, place = str(document.at(path)), document.place(path)
    if given in PUBLISHED:
        return PUBLISHED[given]
    file = expanded(given) if folder is None else folder / expanded(given)
    if not file.is_file():
        message = unknown("genotype", given, PUBLISHED)
        problems.add(place, f"{message} Or give a genotype file, such as genotype.json.")
        return None
    try:
        genotype = Genotype.from_json(file.read_text(encoding="utf-8"), f"{place}: {given}")
        find_space(genotype.space, f"{place}: {given}: space").check(genotype)
    except InputError as error:
        problems.extend(text if text.startswith(place) else f"{place}: {text}" for text in error.problems)
        return None
    except (OSError, UnicodeDecodeError) as error:
        problems.add(place, f"{given} cannot be read ({error}). A genotype is JSON text.")
        return None
    return genotype
