"""One image file as RGB, whatever its kind, or the reason why it cannot be read. Free of torch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

WIDE = 65535 // 255
UNSAID_RANGE = ("I", "F")


def read_image(path: Path) -> Image.Image:
    """Decode one image completely, as upright RGB of 8 bits.

    Turned as its EXIF orientation says. 16-bit greyscale is scaled to 8 bits; CMYK, greyscale and palettes
    are converted; what is transparent becomes black. OSError (or what Pillow raises) where the file is
    damaged or truncated, or where its numbers have no range that is known.
    """
    with Image.open(path) as image:
        image.load()
        return as_rgb(image)


def as_rgb(image: Image.Image) -> Image.Image:
    """A decoded image as `read_image` gives it. OSError where its numbers have no range that is known."""
    if image.mode in UNSAID_RANGE and image.format != "PNG":
        bits = "32-bit numbers" if image.mode == "I" else "floating-point numbers"
        raise OSError(f"{bits} whose range is not said; save it with 8 or 16 bits a colour")
    upright = _upright(image)
    if upright.mode.startswith("I"):
        return _narrowed(upright)
    if upright.has_transparency_data:
        return _on_black(upright)
    return upright.convert("RGB")


def _upright(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # Pillow raises many kinds on a damaged EXIF block, which then says nothing
        return image


def _narrowed(image: Image.Image) -> Image.Image:
    """16 bits as 8, by scale: Pillow alone would clip all above 255 to white."""
    wide = np.asarray(image).astype(np.int64)
    return Image.fromarray(((wide + WIDE // 2) // WIDE).astype(np.uint8)).convert("RGB")


def _on_black(image: Image.Image) -> Image.Image:
    """Without alpha: the colours that a file keeps below transparent pixels mean nothing."""
    layered = image.convert("RGBA")
    ground = Image.new("RGBA", layered.size, (0, 0, 0, 255))
    return Image.alpha_composite(ground, layered).convert("RGB")


def reason(error: Exception) -> str:
    """Why an image could not be read, in words."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if type(error).__name__ == "UnidentifiedImageError":
        return "not an image"
    return str(error) or type(error).__name__
