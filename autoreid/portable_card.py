"""The model card of a trained network: Markdown, drawn from what its file knows."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from typing import Any

from autoreid.complexity import Complexity, measure
from autoreid.evaluation.words import left_out_text
from autoreid.portable import Facts, Preprocessing
from autoreid.recipes import Neck
from autoreid.size_words import neck_text, number_text, sizes_of
from search_spaces.genotype import Genotype
from search_spaces.macro import Macro
from search_spaces.published import PUBLISHED

FIGURES = {"mAP": "mAP", "rank_1": "rank-1", "rank_5": "rank-5", "rank_10": "rank-10", "mINP": "mINP"}
PROGRAMS = ("trained", "packed")
WHAT = """\
A network for person re-identification: a picture of one person in, a feature out, by which pictures are
ranked."""
USE = """\
```python
import autoreid

model = autoreid.load("FILE.safetensors")
features = model.embed(["a.jpg", "b.jpg"])  # float32 (2, {dim}), L2-normalised
alike = features @ features.T               # cosine: 1 is the same direction
```"""
LIMITS = """\
The features say how alike two pictures of clothed people look. They do not say who somebody is, and two
people dressed alike are near each other. The figures hold for the data named above; on other cameras they
are lower, often by far: measure there before relying on them. Pictures of people are personal data."""


def draw_card(facts: Facts) -> str:
    """A model card of these facts; the words of a person come last."""
    name, recipe = network_name(facts), facts.recipe
    found = _complexity(facts.genotype, recipe.neck, facts.preprocessing, recipe.macro)
    of = f", trained on {facts.data_set}" if facts.data_set else ""
    sections = [
        f"# {name}{of}",
        WHAT,
        *_network(facts, found),
        *_training(facts),
        *_metrics(facts.metrics),
        f"## Licence\n\n{facts.licence or 'Not stated. Ask whoever gave you the file.'}",
        f"## Use\n\n{USE.format(dim=found.feature_dim)}",
        f"## Limits\n\n{LIMITS}",
        *([facts.words.strip()] if facts.words.strip() else []),
    ]
    return "\n\n".join(sections) + "\n"


def network_name(facts: Facts) -> str:
    """The published name of a network, else its space and the digest of its genotype."""
    names = [name for name, genotype in PUBLISHED.items() if genotype == facts.genotype]
    return names[0] if names else f"{facts.genotype.space} {facts.genotype.digest}"


@functools.lru_cache(maxsize=8)
def _complexity(genotype: Genotype, neck: Neck, shown: Preprocessing, macro: Macro) -> Complexity:
    # What identities add is gone at inference.
    return measure(genotype, neck, identities=1, height=shown.height, width=shown.width, macro=macro)


def _network(facts: Facts, found: Complexity) -> Iterator[str]:
    shown = facts.preprocessing
    yield "## Network"
    rows = {
        "genotype": f"`{facts.genotype}`",
        **_sizes(facts),
        "neck": neck_text(facts.recipe.neck),
        "parameters at inference": f"{found.params.inference:,}",
        "multiply-adds an image": f"{found.multiply_adds.inference:,}",
        "feature": f"{found.feature_dim} numbers, {shown.features}",
        "image": f"{shown.height} x {shown.width} pixels, {shown.channels}, {shown.interpolation}",
        "mean, deviation": f"{_numbers(shown.mean)}; {_numbers(shown.std)} of values in [0, 1]",
        "parts that only training needs": "left out" if facts.order is None else "in the file",
    }
    yield _table(rows)


def _sizes(facts: Facts) -> dict[str, str]:
    """A row of the card for each size that the networks of the space have."""
    sizes = sizes_of(facts.genotype.space, facts.recipe.macro)
    return {name.replace("_", " "): number_text(size) for name, size in sizes.items() if size is not None}


def _numbers(values: tuple[float, ...]) -> str:
    return " ".join(map(str, values))


def _training(facts: Facts) -> Iterator[str]:
    recipe = facts.recipe
    yield "## Training"
    rows = {
        "data set": facts.data_set or "not known",
        "fingerprint of its images": f"`{facts.fingerprint}`" if facts.fingerprint else "not known",
        "identities": f"{facts.identities:,}" if facts.identities else "not known",
    }
    versions = facts.versions or {}
    if facts.trained_here:
        begin = "from scratch" if not recipe.weights else f"from {recipe.weights}"
        rows["epochs"] = f"{recipe.epochs}, {begin}"
        rows["batch"] = f"{recipe.batch.identities} identities, {recipe.batch.images} images of each"
        rows["precision"] = recipe.precision
    for what in PROGRAMS:
        if versions.get(what):
            made = sorted(versions[what].items())
            rows[f"{what} by"] = ", ".join(f"{name} {version}" for name, version in made)
    yield _table(rows)


def _metrics(metrics: Mapping[str, Any] | None) -> Iterator[str]:
    yield "## Metrics"
    if metrics is None:
        yield "Not known."
        return
    ends = {name: f"{name}_low" for name in ("mAP", "rank_1") if metrics.get(f"{name}_low") is not None}
    rows = {}
    for name, label in FIGURES.items():
        if name in metrics:
            rows[label] = f"{100 * metrics[name]:.1f}%"
        if name in ends:
            low, high = metrics[f"{name}_low"], metrics[f"{name}_high"]
            rows[label] += f" ({100 * low:.1f} to {100 * high:.1f} at 95% over other people as queries)"
    rows["queries"] = f"{metrics['queries']:,}"
    yield _table(rows)
    protocol = ", ".join(f"{name}: {value}" for name, value in metrics.get("protocol", {}).items())
    yield "On the queries and gallery of the same data set" + (f" ({protocol})." if protocol else ".")
    left_out = left_out_text(metrics)
    if left_out:
        yield f"{left_out[0].upper()}{left_out[1:]}"


def _table(rows: Mapping[str, str]) -> str:
    lines = [f"| {name} | {value} |" for name, value in rows.items()]
    return "\n".join(["| | |", "|---|---|", *lines])
