"""Pictures that evaluations left: ranked lists and activation maps where they are wanted, and t-SNE, which
shows nobody."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from analysis import words
from analysis.embedding_drawings import HEADINGS, draw_embedding, point_rows
from analysis.embeddings import embed, read_people
from analysis.evaluated import Evaluated, first_with
from analysis.layout import slug
from analysis.pages import Grid, Photo, Picture, Section
from autoreid.errors import InputError, StorageError
from autoreid.folders import amount
from autoreid.picture_files import ACTIVATIONS, FEATURES, RANKED

# Bytes of pictures in a report, and maps of features: a page is to open, and to be written, in seconds.
MOST_BYTES = 12 * 2**20
MOST_MAPS = 8
TITLES = {RANKED: "Ranked lists", ACTIVATIONS: "Activation maps"}
INTROS = {
    RANKED: "Queries with the gallery images that rank first, by the network of the first evaluated repeat "
    "of each arm: first the queries of the lowest average precision, then others at random. A tick and a "
    "green frame: the same person; a cross and an orange frame: someone else.",
    ACTIVATIONS: "Where the stages of the network respond in the same query images: the norm over the "
    "channels of a stage's last map, from the least to the largest value of each map.",
}
TSNE = (
    "Features of the people with the most test images, by the network of the first evaluated repeat of each "
    "arm. What lies together is alike; sizes of groups and distances between them mean little."
)


def features(evaluated: tuple[Evaluated, ...], prefix: str, campaigns: int = 1) -> Section | None:
    """Maps of what the losses see, of one repeat of each arm; of `campaigns` in one report fewer of each."""
    having = first_with(evaluated, FEATURES)
    if not having:
        return None
    most = max(1, MOST_MAPS // campaigns)
    pictures, points = [], []
    for number, one in enumerate(having[:most], 1):
        try:
            pictures.append(_map(one, f"{prefix}--features-{number}"))
        except (InputError, StorageError) as error:
            points.append(f"{one.arm}: left out. {error}")
    left = [one.arm for one in having[most:]]
    if left:
        points.append(f"Left out, to keep the report small: {', '.join(left)}. {_elsewhere(having[most])}")
    return Section("Features in two dimensions", TSNE, tuple(points), pictures=tuple(pictures))


def _map(one: Evaluated, name: str) -> Picture:
    people = read_people(one.read(FEATURES), f"{one.attempt.folder}/{FEATURES}")
    found = embed(people)
    rows = tuple(tuple(map(str, row)) for row in point_rows(found))
    data = Grid("Points", HEADINGS, "lrrrr", rows)
    title = f"{words.shortened(one.arm, 50)}, repeat {one.repeat + 1}"
    caption = f"{one.arm}, repeat {one.repeat + 1}: t-SNE of {' and '.join(found.points)}."
    return Picture(name, caption, partial(draw_embedding, found, title), data)


def _elsewhere(one: Evaluated) -> str:
    return f"In the storage, such as {one.attempt.folder}/{FEATURES}: 'autoreid embedding' draws it."


def people(evaluated: tuple[Evaluated, ...], prefix: str, wanted: bool, campaigns: int = 1) -> list[Section]:
    """The pictures of people, where they are wanted; else a section that says how to have them."""
    having = {name: first_with(evaluated, name) for name in TITLES}
    if not any(having.values()):
        return []
    if not wanted:
        count = sum(1 for one in evaluated if any(one.size(name) for name in TITLES))
        intro = (
            f"{words.counted(count, 'evaluation')} left ranked lists and activation maps. They show people, "
            "and are left out of this report: 'autoreid report DIR --with-images' puts them in."
        )
        return [Section("Pictures of people", intro)]
    room = MOST_BYTES // max(1, campaigns)
    sections = []
    for name, found in having.items():
        if found:
            photos, points = _photos(name, found, room // len(TITLES), prefix)
            sections.append(Section(TITLES[name], INTROS[name], tuple(points), photos=tuple(photos)))
    return sections


def _photos(name: str, found: Sequence[Evaluated], room: int, prefix: str) -> tuple[list[Photo], list[str]]:
    """The pictures of this name as long as there is room for them, and what was left out."""
    photos, points, left = [], [], []
    for number, one in enumerate(found, 1):
        if one.size(name) > room:
            left.append(one)
            continue
        try:
            data = one.read(name)
            caption = f"{one.arm}, repeat {one.repeat + 1}."
            photos.append(Photo(f"{prefix}--{slug(TITLES[name], 'picture')}-{number}", caption, data))
            room -= len(data)
        except (StorageError, InputError) as error:
            points.append(f"{one.arm}: left out. {error}")
    if left:
        size = amount(sum(one.size(name) for one in left))
        names = ", ".join(one.arm for one in left)
        points.append(
            f"Left out, {size}, to keep the report small: {names}. In the storage, such as "
            f"{left[0].attempt.folder}/{name}."
        )
    return photos, points
