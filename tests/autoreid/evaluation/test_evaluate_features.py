"""The command: one JSON object or one line of text, and every mistake in the file by name."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autoreid.cli import main
from autoreid.evaluation.protocol import USUAL, Protocol
from autoreid.evaluation.ranking import rank_features


def arrays_of(**changes: Any) -> dict[str, Any]:
    """Two people, a distractor and junk in the plane; the second query ties with the distractor."""
    arrays = {
        "query_features": np.array([[1.0, 0.0], [0.0, 1.0]], dtype=np.float32),
        "query_ids": np.array([7, 8]),
        "query_cameras": np.array([1, 1]),
        "gallery_features": np.array([[2, 1], [0, 2], [0, 5], [1, 0]], dtype=np.float32),
        "gallery_ids": np.array([7, 8, 0, -1]),
        "gallery_cameras": np.array([2, 2, 2, 1]),
    }
    return {name: value for name, value in (arrays | changes).items() if value is not None}


def written(folder: Path, **changes: Any) -> str:
    np.savez(folder / "features.npz", **arrays_of(**changes))
    return str(folder / "features.npz")


def run(*arguments: str) -> int:
    return main(["evaluate-features", *arguments])


def test_one_json_object(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(written(tmp_path), "--json") == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    assert json.loads(captured.out) == {
        "mAP": 0.75,
        "rank_1": 0.5,
        "rank_5": 1.0,
        "rank_10": 1.0,
        "mINP": 0.75,
        "queries": 2,
        "left_out": 0,
        "absent_identities": 0,
        **dict.fromkeys(("mAP_low", "mAP_high", "rank_1_low", "rank_1_high")),
        "protocol": USUAL.plain(),
    }


def test_raw_distances_on_request(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # The second query (0, 1) is 1 from its match (0, 2) and 4 from the distractor (0, 5): no tie any more.
    assert run(written(tmp_path), "--no-normalise", "--json") == 0
    result = json.loads(capsys.readouterr().out)
    assert result["mAP"] == 1.0
    assert result["protocol"] == USUAL.plain() | {"normalised": False}


def test_text_for_people(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    changes = {"query_ids": np.array([7, 9]), "gallery_ids": np.array([7, 8, 0, -1])}
    assert run(written(tmp_path, **changes)) == 0
    captured = capsys.readouterr()
    assert captured.out.startswith(
        "mAP 1.0000   rank-1 1.0000   rank-5 1.0000   rank-10 1.0000   mINP 1.0000"
    )
    assert "(1 query, normalised Euclidean distance" in captured.out
    assert captured.out.splitlines()[1] == (
        "1 of 2 queries has no match and is left out; of 1 the identity is absent from the gallery."
    )


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_the_figures_are_those_of_rank_features(
    save: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    random = np.random.default_rng(0)
    arrays = {
        "query_features": random.standard_normal((40, 8)),
        "query_ids": random.integers(1, 9, 40),
        "query_cameras": random.integers(1, 4, 40),
        "gallery_features": random.standard_normal((90, 8)),
        "gallery_ids": random.integers(-1, 9, 90),
        "gallery_cameras": random.integers(1, 4, 90),
    }
    save(tmp_path / "some.npz", **arrays, notes=np.array("an array more does no harm"))
    assert run(str(tmp_path / "some.npz"), "--json") == 0
    assert json.loads(capsys.readouterr().out) == rank_features(**arrays).plain(USUAL.plain())


def problems_of(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[str]:
    assert run(*arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and "Traceback" not in captured.err
    return [line.removeprefix(f"autoreid: {arguments[0]}: ") for line in captured.err.splitlines()]


def test_every_mistake_in_the_file_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(
        tmp_path,
        query_features=np.array([[1.0, np.nan], [0.0, 1.0]]),
        query_ids=np.array(["7", "8"]),
        query_cameras=None,
        query_cams=np.array([1, 1]),
        gallery_features=np.ones(4),
        gallery_ids=np.array([7, 8, 0]),
        gallery_cameras=np.array([2, 2, 2, 1.5]),
    )
    problems = problems_of(capsys, path)
    expected = [
        "query_cameras: missing. It has 'query_cams': rename it.",
        "query_features: 1 of 4 values are NaN or infinite, the first at row 0, column 1.",
        "query_ids: type <U1 is not an integer type.",
        "gallery_features: shape (4,) is not a matrix.",
        "gallery_cameras: type float64 is not an integer type.",
    ]
    assert [problem[: len(start)] for problem, start in zip(problems, expected, strict=True)] == expected


def test_lengths_and_widths_that_do_not_fit(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    changes = {
        "query_ids": np.array([7]),
        "gallery_cameras": np.arange(5),
        "gallery_features": np.ones((4, 3)),
    }
    problems = problems_of(capsys, written(tmp_path, **changes))
    assert [problem.split(". ")[0] for problem in problems] == [
        "query_ids: 1 entry for 2 query images",
        "gallery_cameras: 5 entries for 4 gallery images",
        "gallery_features: 3 entries an image, query_features 2",
    ]


def test_a_single_camera_is_explained(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (problem,) = problems_of(capsys, written(tmp_path, gallery_cameras=np.ones(4, dtype=int)))
    assert problem.startswith("query_ids: no query has a gallery image of its identity under another camera")
    assert problem.endswith(
        "give the query images a camera number of their own, or choose the single-camera protocol."
    )


def test_python_objects_are_never_loaded(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(tmp_path, query_ids=np.array([{"identity": 7}, None], dtype=object))
    (problem,) = problems_of(capsys, path)
    assert problem.startswith("query_ids: cannot be read (Object arrays cannot be loaded")


@pytest.mark.parametrize("kind", ["missing", "folder", "npy", "text", "empty", "cut", "damaged"])
def test_files_that_are_no_npz(kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "given.npz"
    whole = Path(written(tmp_path)).read_bytes()
    if kind == "folder":
        path.mkdir()
    elif kind == "npy":
        np.save(tmp_path / "one.npy", np.ones(3))
        path = tmp_path / "one.npy"
    elif kind != "missing":
        damaged = whole.replace(np.float32(2).tobytes() + np.float32(1).tobytes(), b"12345678")
        path.write_bytes({"text": b"1,2,3", "empty": b"", "cut": whole[:-40], "damaged": damaged}[kind])
    (problem,) = problems_of(capsys, str(path))
    expected = {
        "missing": "no such file",
        "folder": "no such file",
        "damaged": "gallery_features: cannot be read (Bad CRC-32",
    }
    assert problem.startswith(expected.get(kind, "not an .npz file, or cut off. Write it with numpy.savez."))


def test_the_command_needs_no_torch(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom autoreid.cli import main\n"
        f"code = main(['evaluate-features', {written(tmp_path)!r}])\n"
        "sys.exit(code or 'torch' in sys.modules or 'scipy' in sys.modules)"
    )
    assert (
        subprocess.run([sys.executable, "-c", code], check=False, stdout=subprocess.DEVNULL).returncode == 0
    )


def test_re_ranking_gives_both_figures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = written(tmp_path)
    assert run(file, "--rerank", "--k1", "2", "--k2", "1", "--lambda", "1", "--json") == 0
    result = json.loads(capsys.readouterr().out)
    reranked = result.pop("reranked")
    assert reranked.pop("protocol")["reranking"] == {
        "k1": 2,
        "k2": 1,
        "lambda": 1.0,
        "flavour": "squared-euclidean",
    }
    result.pop("protocol")
    assert reranked == result  # lambda = 1 leaves the original distance alone
    assert run(file, "--rerank", "--k1", "2", "--k2", "1") == 0
    plain, better = capsys.readouterr().out.splitlines()
    assert plain.startswith("mAP 0.75") and better.startswith("re-ranked: mAP ")


def test_settings_of_re_ranking_are_checked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = written(tmp_path)
    assert run(file, "--k1", "3", "--lambda", "0.2") == 2
    assert "--k1, --lambda: without effect. Add --rerank" in capsys.readouterr().err
    assert run(file, "--rerank") == 2
    assert "k1: 20 of 5 images" in capsys.readouterr().err


def test_every_choice_of_the_protocol_has_a_flag(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    random = np.random.default_rng(0)
    ids = np.repeat(np.arange(1, 9), 3)
    arrays = {
        "query_features": random.standard_normal((24, 4)),
        "query_ids": ids,
        "query_cameras": np.ones(24, int),
        "gallery_features": random.standard_normal((24, 4)),
        "gallery_ids": ids,
        "gallery_cameras": np.tile([1, 2, 3], 8),
    }
    np.savez(tmp_path / "some.npz", **arrays)
    file, plain = str(tmp_path / "some.npz"), Protocol()
    for flags, protocol in (
        ([], plain),
        (["--average-precision", "trapezoid"], Protocol(average_precision="trapezoid")),
        (["--single-camera"], Protocol(same_camera_ignored=False)),
        (["--memory", "64KiB"], plain),
    ):
        assert run(file, *flags, "--json") == 0
        result = json.loads(capsys.readouterr().out)
        assert result == rank_features(**arrays, protocol=protocol).plain(protocol.plain())
    assert run(file, "--cameras", "--json") == 0
    pairs = json.loads(capsys.readouterr().out)["camera_pairs"]
    assert [(row["query_camera"], row["gallery_camera"], row["queries"]) for row in pairs] == [
        (1, 2, 24),
        (1, 3, 24),
    ]
    assert run(file, "--cameras", "--single-camera", "--average-precision", "trapezoid") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].endswith("ties against the match, trapezoid AP, matches of one camera)")
    assert lines[1] == "query camera  gallery camera  queries  mAP, %  rank-1, %"
    assert [line.split()[:3] for line in lines[2:]] == [["1", "1", "24"], ["1", "2", "24"], ["1", "3", "24"]]


def test_too_little_memory_and_no_amount_of_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = written(tmp_path)
    assert run(file, "--memory", "a lot") == 2
    assert "--memory: 'a lot' is no amount of memory" in capsys.readouterr().err
    (problem,) = problems_of(capsys, file, "--memory", "100B")
    assert problem.startswith("memory: 100B is too little for this evaluation beside the features. Give 1.")
    (problem,) = problems_of(capsys, file, "--memory", "1MiB", "--rerank", "--k1", "2", "--k2", "1")
    assert problem.startswith("memory: 1MiB is too little for this re-ranking beside the features. Give 64")
