"""The cameras of the rendered pedestrians: what each one looks at, from where, and how it renders light."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

from autoreid.data.scenes import SCENES, panorama

Pixels = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Camera:
    """`mixing` (3, 3) maps true colours to recorded ones; `backdrop` is the scene, wider than a picture."""

    backdrop: Pixels
    mixing: Pixels
    gain: float
    gamma: float
    haze: float
    light: tuple[float, float]
    resolution: float
    blur: float
    noise: float
    quality: int
    scale: float
    squeeze: float
    lean: float
    taper: float
    heading: float


def _spread(start: float, camera: int, step: float, low: float, high: float) -> float:
    """The camera's value of a property: a low-discrepancy sequence, so that no two cameras come close."""
    return low + (high - low) * ((start + camera * step) % 1.0)


def _mixing(hue: float, warmth: float, saturation: float) -> Pixels:
    """Turns hues around the grey axis, fades them, then tints: `warmth` from -1 (blue) to 1 (yellow)."""
    cos, sin, third = math.cos(hue), math.sin(hue), 1 / 3
    root = math.sqrt(third) * sin
    same, next_, last = cos + (1 - cos) * third, (1 - cos) * third - root, (1 - cos) * third + root
    turn = np.array([[same, next_, last], [last, same, next_], [next_, last, same]])
    fade = saturation * np.eye(3) + (1 - saturation) * third * np.ones((3, 3))
    tint = np.diag([1 + 0.28 * warmth, 1 + 0.04 * warmth, 1 - 0.36 * warmth])
    return (tint @ fade @ turn).astype(np.float32)


def camera_of(number: int, seed: int, height: int, width: int) -> Camera:
    """Camera `number` (from 1) of a world. Adding cameras leaves the earlier ones as they are.

    `height`, `width`: of the pictures, in pixels.
    """
    start = np.random.default_rng(np.random.SeedSequence([seed, 1])).random(16).tolist()
    rng = np.random.default_rng(np.random.SeedSequence([seed, 2, number]))
    golden, silver = 0.6180339887, 0.4142135624
    scenes = list(SCENES)
    tall, wide = height + height // 4, width * 5
    mixing = _mixing(
        hue=_spread(start[0], number, golden, -0.5, 0.5),
        warmth=_spread(start[1], number, silver, -0.8, 0.8),
        saturation=_spread(start[2], number, golden, 0.65, 1.15),
    )
    return Camera(
        backdrop=panorama(scenes[(number + int(start[3] * 4)) % len(scenes)], tall, wide, rng),
        mixing=mixing,
        gain=_spread(start[4], number, golden, 0.75, 1.25),
        gamma=_spread(start[5], number, silver, 0.7, 1.4),
        haze=_spread(start[6], number, golden, 0.0, 0.08),
        light=(float(rng.uniform(-0.3, 0.3)), float(rng.uniform(-0.2, 0.2))),
        resolution=_spread(start[7], number, silver, 0.4, 1.0),
        blur=_spread(start[8], number, golden, 0.0, 1.0),
        noise=_spread(start[9], number, silver, 0.01, 0.05),
        quality=int(_spread(start[10], number, golden, 45, 90)),
        scale=_spread(start[11], number, golden, 0.9, 1.0),
        squeeze=_spread(start[12], number, silver, 0.9, 1.0),
        lean=_spread(start[13], number, golden, -0.12, 0.12),
        taper=_spread(start[14], number, silver, 0.0, 0.35),
        heading=_spread(start[15], number, golden, 0.0, 2 * math.pi),
    )


def backdrop(camera: Camera, height: int, width: int, rng: np.random.Generator) -> Pixels:
    """A part of the camera's scene, (height, width, 3) in [0, 1]."""
    tall, wide, _ = camera.backdrop.shape
    top = int(rng.integers((tall - height) // 2, tall - height + 1))
    left = int(rng.integers(0, wide - width + 1))
    return camera.backdrop[top : top + height, left : left + width]


def daylight(track: np.random.Generator) -> Pixels:
    """The light while a person crosses one camera's view: brightness and warmth, one factor a channel."""
    warmth = track.normal(0, 0.03)
    tint = np.array([1 + warmth, 1.0, 1 - 1.2 * warmth]) * math.exp(track.normal(0, 0.1))
    return tint.astype(np.float32)


def expose(scene: Pixels, camera: Camera, tint: Pixels, rng: np.random.Generator) -> Image.Image:
    """What the camera records of a scene (height, width, 3) in [0, 1]: light, colours, optics and noise."""
    height, width, _ = scene.shape
    across = np.linspace(-1, 1, width, dtype=np.float32)[None, :, None]
    down = np.linspace(-1, 1, height, dtype=np.float32)[:, None, None]
    slope_x, slope_y = camera.light
    light = 1 + (slope_x + rng.normal(0, 0.12)) * across + (slope_y + rng.normal(0, 0.08)) * down
    gain = camera.gain * math.exp(rng.normal(0, 0.06))
    lit = np.clip((scene * tint @ camera.mixing.T) * (light * gain).astype(np.float32), 0, 1)
    lit = camera.haze + (1 - camera.haze) * lit ** np.float32(camera.gamma)
    image = Image.fromarray((lit * 255).astype(np.uint8))
    share = camera.resolution * float(rng.uniform(0.85, 1.0))
    small = (max(8, int(width * share)), max(16, int(height * share)))
    if camera.blur > 0.15:
        image = image.filter(ImageFilter.GaussianBlur(camera.blur * height / 128))
    image = image.resize(small, Image.Resampling.BOX).resize((width, height), Image.Resampling.BILINEAR)
    noise = rng.normal(0, camera.noise * 255, size=(height, width, 1)).astype(np.float32)
    return Image.fromarray(np.clip(np.asarray(image) + noise, 0, 255).astype(np.uint8))
