"""Ranked lists: the right images in the right order, as lists and as a picture."""

from __future__ import annotations

import dataclasses
import zlib
from pathlib import Path

import numpy as np
import pytest
from drawn_people import index_of, of_index, pixels_of, places_of
from PIL import Image

from autoreid.data.index import ImageIndex
from autoreid.errors import InputError
from autoreid.evaluation import canvas
from autoreid.evaluation.features import Features
from autoreid.evaluation.picture_rows import APART, Cell, Heading, Row, draw_rows
from autoreid.evaluation.protocol import Protocol, Reranking
from autoreid.evaluation.ranked_lists import RankedList, choose_queries, find_queries, ranked_lists
from autoreid.evaluation.ranked_pictures import draw_ranked
from autoreid.evaluation.ranking import RankingScores, rank_features
from autoreid.feed import PreparedData

RERANKED = Protocol(reranking=Reranking(k1=4, k2=2))


def crowd() -> ImageIndex:
    """Five people under three cameras, with junk, distractors, and a query that has no match."""
    rows = [("query", who, camera) for who in range(1, 6) for camera in (1, 2)]
    rows += [("gallery", who, camera) for who in range(1, 6) for camera in (1, 2, 3, 3)]
    return index_of([*rows, *[("gallery", who, 2) for who in (-1, -1, 0, 0, 0)], ("query", 9, 1)])


def listed(
    index: ImageIndex, found: Features, protocol: Protocol, top: int = 99
) -> tuple[list[RankedList], RankingScores]:
    from autoreid.evaluation.scoring import score_features

    scored = score_features(found, protocol)
    scores = scored.reranked or scored.scores
    every = np.arange(len(index.rows("query")))
    return ranked_lists(found, index, protocol, scores, every, top=top), scores


@pytest.mark.parametrize("same_camera_ignored", [True, False])
@pytest.mark.parametrize("normalised", [True, False])
def test_lists_are_those_of_a_naive_ranking(same_camera_ignored: bool, normalised: bool) -> None:
    index = crowd()
    found = of_index(index)
    protocol = Protocol(normalised=normalised, same_camera_ignored=same_camera_ignored)
    lists, _ = listed(index, found, protocol, top=7)
    for number, ranked in enumerate(lists):
        who, camera = found["query_ids"][number], found["query_cameras"][number]
        near = []
        for place, row in enumerate(index.rows("gallery").tolist()):
            own = index.identities[row] == who and index.cameras[row] == camera
            if index.identities[row] == -1 or (own and same_camera_ignored):
                continue
            pair = [found["query_features"][number], found["gallery_features"][place]]
            a, b = (v.astype(float) / (np.linalg.norm(v.astype(float)) if normalised else 1) for v in pair)
            near.append((float(np.linalg.norm(a - b)), row))
        near.sort()
        assert ranked.query == index.rows("query")[number]
        assert ranked.gallery.tolist() == [row for _, row in near[:7]]
        assert ranked.distances == pytest.approx([distance for distance, _ in near[:7]], abs=1e-9)
        assert ranked.right.tolist() == [bool(index.identities[row] == who) for _, row in near[:7]]


@pytest.mark.parametrize("protocol", [Protocol(), RERANKED], ids=["plain", "re-ranked"])
def test_whole_lists_have_the_scores_that_are_reported(protocol: Protocol) -> None:
    index = crowd()
    lists, scores = listed(index, of_index(index), protocol)
    place = 0
    for number, ranked in enumerate(lists):
        if not scores.valid[number]:
            assert (ranked.average_precision, ranked.first_rank) == (None, None)
            assert not ranked.right.any()
            continue
        ranks = np.flatnonzero(ranked.right) + 1
        mean = float(np.mean(np.arange(1, len(ranks) + 1) / ranks))
        assert ranked.average_precision == pytest.approx(mean) == scores.average_precisions[place]
        assert ranked.first_rank == ranks[0]
        place += 1
    assert place == 10


def test_a_match_stands_after_others_at_its_distance() -> None:
    index = index_of([("query", 1, 1), ("gallery", 1, 2), ("gallery", 2, 2), ("gallery", 3, 2)])
    found = of_index(index)
    found["gallery_features"][:] = found["gallery_features"][0]
    (ranked,), _ = listed(index, found, Protocol())
    assert ranked.right.tolist() == [False, False, True]
    assert ranked.gallery.tolist() == [1, 2, 0]
    assert len(set(ranked.distances.tolist())) == 1


def test_hardest_queries_come_first_and_others_at_random() -> None:
    index = crowd()
    scores = rank_features(**of_index(index, seed=3))
    queries = choose_queries(scores, 6)
    assert len(set(queries.tolist())) == 6 and scores.valid[queries].all()
    places = np.cumsum(scores.valid) - 1
    precisions = scores.average_precisions[places[queries]]
    assert precisions[:3].tolist() == sorted(scores.average_precisions.tolist())[:3]
    assert queries[3:].tolist() == sorted(queries[3:].tolist())
    assert choose_queries(scores, 6).tolist() == queries.tolist()
    others = {tuple(choose_queries(scores, 6, seed)[3:].tolist()) for seed in range(20)}
    assert len(others) > 5
    assert sorted(choose_queries(scores, 99).tolist()) == np.flatnonzero(scores.valid).tolist()


def test_queries_are_found_by_their_names() -> None:
    index = index_of([("query", 1, 1), ("query", 2, 1), ("gallery", 1, 2)])
    first, second = (index.names[row] for row in index.rows("query"))
    assert find_queries(index, [second, first, second]).tolist() == [1, 0]
    assert find_queries(index, [Path(first).name]).tolist() == [0]
    near = second.replace("_c1", "_c7")
    with pytest.raises(InputError) as caught:
        find_queries(index, [near, first, "zzz"])
    assert caught.value.problems == (
        f"--query: no query image {near!r} among 2. Did you mean {second!r}?",
        f"--query: no query image 'zzz' among 2. Give a name such as {first!r}.",
    )


def test_a_set_without_queries_has_none_to_find() -> None:
    with pytest.raises(InputError, match="no query images"):
        find_queries(index_of([("train", 1, 1), ("gallery", 1, 2)]), ["a.jpg"])


def test_a_file_name_of_two_queries_needs_its_folder() -> None:
    parts = ("a/1.jpg", "b/1.jpg")
    index = ImageIndex(Path("nowhere"), parts, np.array([1, 2]), np.array([1, 1]), np.array(["query"] * 2))
    assert find_queries(index, ["b/1.jpg"]).tolist() == [1]
    with pytest.raises(InputError, match=r"several queries: a/1.jpg, b/1.jpg. Give the folder too"):
        find_queries(index, ["1.jpg"])


def test_a_picture_holds_the_images_in_the_order_of_the_list_with_their_frames(
    small_data: PreparedData,
) -> None:
    data, index = small_data, small_data.index
    found = of_index(index)
    people = np.eye(6, dtype=np.float32)
    found["query_features"] += people[found["query_ids"] % 6]  # what a feature says is partly who it is
    found["gallery_features"] += people[found["gallery_ids"] % 6]
    protocol = Protocol()
    lists = ranked_lists(found, index, protocol, rank_features(**found), np.array([7, 3, 0, 12]), top=6)
    assert {True, False} <= {bool(right) for ranked in lists for right in ranked.right}
    picture = pixels_of(draw_ranked(lists, data.images, index, protocol))
    assert picture.shape[0] < 4 * 130 and picture.shape[1] < 700
    height = 0
    for ranked in lists:
        (start,) = [place for place in places_of(picture, data.images[ranked.query]) if place[1] > height]
        before, height = start
        assert (picture[height - 1, before - 1] == canvas.FRAMES["query"]).all()
        for row, right in zip(ranked.gallery.tolist(), ranked.right.tolist(), strict=True):
            ((x, _),) = [place for place in places_of(picture, data.images[row]) if place[1] == height]
            assert x > before
            colour = canvas.FRAMES["right" if right else "wrong"]
            border = picture[height - canvas.FRAME : height + 64 + canvas.FRAME, x - canvas.FRAME : x]
            assert (border == colour).all()
            below = picture[height + 64 + canvas.FRAME + 1 :][:14, x - canvas.FRAME :][:, : canvas.MARK]
            assert (below == colour).all(2).any()  # the mark says the same
            before = x


def test_short_lists_leave_room_for_the_words_above_them(small_data: PreparedData) -> None:
    data, index = small_data, small_data.index
    found = of_index(index)
    lists = ranked_lists(found, index, RERANKED, rank_features(**found), np.array([0]), top=1)
    picture = pixels_of(draw_ranked(lists, data.images, index, RERANKED))
    paper = (picture == canvas.PAPER).all(2)
    assert paper[:, -canvas.MARGIN // 2 :].all() and not paper.all()


def test_ticks_and_crosses_differ_in_shape_too() -> None:
    marks = {}
    for verdict in ("right", "wrong", "query"):
        image, pen = canvas.sheet(canvas.MARK, canvas.MARK)
        canvas.mark(pen, 0, 0, verdict)  # type: ignore[arg-type]
        marks[verdict] = (np.asarray(image) != canvas.PAPER).any(2)
    assert not marks["query"].any()
    assert (marks["right"] != marks["wrong"]).sum() > 10
    assert (marks["wrong"] == marks["wrong"][::-1]).mean() > 0.8  # a cross is the same upside down


def test_large_images_are_made_smaller_and_small_ones_stay() -> None:
    big = np.random.default_rng(0).integers(0, 256, (3, 384, 128), dtype=np.uint8)
    assert canvas.shown(big).size == (43, 128)
    small = big[:, :64, :32]
    assert (np.asarray(canvas.shown(small)) == small.transpose(1, 2, 0)).all()


def test_pictures_hold_no_times_and_no_names() -> None:
    data = canvas.png(Image.new("RGB", (4, 4)))
    place, kinds = 8, []
    while place < len(data):
        size = int.from_bytes(data[place : place + 4], "big")
        kinds.append(data[place + 4 : place + 8])
        assert zlib.crc32(data[place + 4 : place + 8 + size]) == int.from_bytes(
            data[place + 8 + size : place + 12 + size], "big"
        )
        place += 12 + size
    assert set(kinds) == {b"IHDR", b"IDAT", b"IEND"}


def test_one_camera_counts_where_the_protocol_says_so() -> None:
    index = dataclasses.replace(crowd(), cameras=np.ones(len(crowd()), dtype=np.int64))
    lists, scores = listed(index, of_index(index), Protocol(same_camera_ignored=False))
    assert scores.queries == 10
    assert all(ranked.right.sum() == 4 for ranked in lists if ranked.average_precision is not None)


def test_camera_and_distance_are_seen_apart() -> None:
    """In so small a font a space is as narrow as what is between two digits."""
    image = np.zeros((3, 64, 32), dtype=np.uint8)

    def widest_gap(camera: int | None) -> int:
        """Columns without ink between two letters below the image."""
        rows = [Row("", [Cell(None, camera, "0.411")])]
        picture = pixels_of(draw_rows(rows, lambda _: [image], Heading((), "", ""), (64, 32)))
        below = picture[-(canvas.LINE + canvas.MARGIN) :]
        return int(np.diff(np.flatnonzero((below < 200).any(axis=(0, 2)))).max()) - 1

    assert widest_gap(4) >= APART > 2 * widest_gap(None)
