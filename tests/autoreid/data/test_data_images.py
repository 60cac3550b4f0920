"""Images of every kind: decoded right, or named with the reason."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from replicas import market

from autoreid.data.arrays import decode
from autoreid.data.doctor import check
from autoreid.data.images import as_rgb, read_image, reason
from autoreid.data.market1501 import read
from autoreid.errors import InputError

ORIENTATION = 274


def colours() -> np.ndarray:
    """Smooth RGB, so that JPEG changes little: red grows downwards, green to the right."""
    rows, columns = np.mgrid[0:48, 0:24]
    return np.stack([rows * 5, columns * 10, 0 * rows + 90], axis=2).astype(np.uint8)


def pixels(path: Path) -> np.ndarray:
    image = read_image(path)
    assert image.mode == "RGB"
    return np.asarray(image).astype(int)


def test_16_bit_greyscale_is_scaled_and_not_clipped(tmp_path: Path) -> None:
    wide = np.linspace(0, 65535, 24 * 12).round().astype(np.uint16).reshape(24, 12)
    for name in ("wide.png", "wide.tif"):
        with Image.fromarray(wide) as image:
            image.save(tmp_path / name)
        found = pixels(tmp_path / name)
        expected = np.rint(wide / 257).astype(int)
        assert all(np.array_equal(found[..., channel], expected) for channel in range(3))
    assert found.max() == 255 and len(np.unique(found)) > 200


@pytest.mark.parametrize("orientation", range(1, 9))
def test_images_turned_by_exif_stand_upright(orientation: int, tmp_path: Path) -> None:
    turned: dict[int, Callable[[np.ndarray], np.ndarray]] = {
        1: lambda a: a,
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.transpose(1, 0, 2),
        6: lambda a: np.rot90(a, 1),
        7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
        8: lambda a: np.rot90(a, -1),
    }
    stored = np.ascontiguousarray(turned[orientation](colours()))
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    Image.fromarray(stored).save(tmp_path / "turned.png", exif=exif)
    assert np.array_equal(pixels(tmp_path / "turned.png"), colours())


def test_a_damaged_exif_block_says_nothing(tmp_path: Path) -> None:
    Image.fromarray(colours()).save(tmp_path / "a.jpg", exif=b"Exif\0\0" + b"no such block", quality=95)
    assert np.abs(pixels(tmp_path / "a.jpg") - colours()).max() < 12


def test_cmyk_and_greyscale_become_rgb(tmp_path: Path) -> None:
    Image.fromarray(colours()).convert("CMYK").save(tmp_path / "cmyk.jpg", quality=95)
    with Image.open(tmp_path / "cmyk.jpg") as image:
        assert image.mode == "CMYK"
    assert np.abs(pixels(tmp_path / "cmyk.jpg") - colours()).max() < 12
    grey = colours()[..., 0]
    Image.fromarray(grey).save(tmp_path / "grey.png")
    assert np.array_equal(pixels(tmp_path / "grey.png"), np.repeat(grey[..., None], 3, axis=2))


@pytest.mark.parametrize("entry", [bytes([255, 0, 255, 128]), 1])
def test_transparent_parts_of_a_palette_are_black(entry: bytes | int, tmp_path: Path) -> None:
    image = Image.fromarray(np.array([[0, 1], [2, 3]], np.uint8))
    image.putpalette([200, 0, 0, 0, 200, 0, 0, 0, 200, 200, 200, 200])
    image.save(tmp_path / "palette.png", transparency=entry)
    with Image.open(tmp_path / "palette.png") as stored:
        assert stored.mode == "P"
    found = pixels(tmp_path / "palette.png")
    assert found[0, 0].tolist() == [200, 0, 0]
    assert found[0, 1].tolist() == [0, 0, 0]
    assert found[1, 0].tolist() == [0, 0, 200]
    half = 200 if isinstance(entry, int) else 200 * 128 / 255
    assert np.abs(found[1, 1] - half).max() <= 1


def test_numbers_without_a_known_range_are_named(tmp_path: Path) -> None:
    for kind, words in ((np.float32, "floating-point numbers"), (np.int32, "32-bit numbers")):
        with Image.fromarray(np.zeros((4, 4), kind)) as image:
            image.save(tmp_path / "odd.tif")
        with pytest.raises(OSError, match=f"{words} whose range is not said; save it"):
            read_image(tmp_path / "odd.tif")
        with pytest.raises(OSError, match=f"{words} whose range is not said; save it"):
            as_rgb(Image.fromarray(np.zeros((4, 4), kind)))


@pytest.mark.parametrize("ending", ["jpg", "png", "bmp"])
@pytest.mark.parametrize("share", [0.5, 0.95])
def test_truncated_images_are_named_by_the_check_and_by_the_reader(
    ending: str, share: float, tmp_path: Path, cache: Path
) -> None:
    root = market(tmp_path / "data")
    path = root / "query" / f"0003_c2s1_000099_01.{ending}"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (48, 24, 3), dtype=np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    report = check(root)
    assert [defect.kind for defect in report.defects] == ["unreadable image"]
    assert f"query/{path.name}: " in report.text() and "truncated" in report.text()
    with pytest.raises(InputError, match=rf"query/{path.name}: .*truncated.*Restore these images"):
        decode(read(root), 8, 4, cache)


def test_reasons_are_words(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"nothing")
    for path, words in (
        (tmp_path / "a.jpg", "not an image"),
        (tmp_path / "b.jpg", "No such file or directory"),
    ):
        with pytest.raises(OSError) as caught:
            read_image(path)
        assert reason(caught.value) == words


def test_odd_images_pass_every_way_into_the_array(tmp_path: Path, cache: Path) -> None:
    root = market(tmp_path / "data")
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    stored = np.ascontiguousarray(np.rot90(colours(), 1))
    Image.fromarray(stored).save(root / "query" / "0003_c2s1_000099_01.png", exif=exif)
    index = read(root)
    row = index.names.index("query/0003_c2s1_000099_01.png")
    found = decode(index, 48, 24, cache)[row].transpose(1, 2, 0)
    assert np.array_equal(found, colours())
