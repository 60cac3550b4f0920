"""Puts one picture together: scene, passers-by, the person, occluders, then the camera's exposure."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from PIL import Image

from autoreid.data.cameras import Camera, Pixels, backdrop, daylight, expose
from autoreid.data.canvas import SUPERSAMPLING, Layer, Placement, oval
from autoreid.data.figures import Body, Pose
from autoreid.data.looks import FAMILY, Look, look_of
from autoreid.data.scenes import paint_occluder

# Streams of random numbers: what a picture needs is drawn from the stream of the thing that it belongs to.
LOOK, FAMILY_LOOK, TRACK, SHOT = 3, 4, 5, 6
AHEAD = (0.0, 0.0, math.pi, math.pi, 0.5 * math.pi, -0.5 * math.pi)


def stream(seed: int, *key: int) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))


def look(seed: int, person: int) -> Look:
    """The look of a person, whatever the camera."""
    return look_of(stream(seed, LOOK, person), stream(seed, FAMILY_LOOK, person // FAMILY))


def compose(
    camera: Camera, seed: int, key: tuple[int, int, int], height: int, width: int, bad_box: bool = False
) -> tuple[Image.Image, int]:
    """The picture of (person, camera, shot) and the JPEG quality to keep it at.

    `bad_box`: a box as a bad detector gives it, on a part of a person or on nothing.
    """
    rng = stream(seed, SHOT, *key)
    track = stream(seed, TRACK, *key[:2])
    tint = daylight(track)
    scene = backdrop(camera, height, width, rng)
    if rng.random() < 0.35:
        scene = _passer_by(scene, camera, rng, share=float(rng.uniform(0.4, 0.7)), reach=0.5)
    person = look(seed, key[0])
    share = camera.scale * person.stature * float(np.exp(rng.normal(0, 0.05)))
    place = _place(scene, camera, rng, share, centre=0.5 + float(rng.normal(0, 0.05)))
    if bad_box:
        place = _bad_crop(scene, place, rng)
    if not bad_box or rng.random() < 0.7:
        scene = _walker(scene, person, _pose(camera, track, rng), place, rng)
    if rng.random() < 0.15:
        scene = _passer_by(scene, camera, rng, share=camera.scale * float(rng.uniform(0.9, 1.1)), reach=0.55)
    if rng.random() < 0.25:
        layer = Layer(height, width)
        paint_occluder(layer, rng)
        scene = _over(scene, *layer.flatten())
    return expose(scene, camera, tint, rng), int(np.clip(camera.quality + rng.normal(0, 6), 30, 95))


def _pose(camera: Camera, track: np.random.Generator, rng: np.random.Generator) -> Pose:
    """People keep their way through one camera's view, more or less."""
    heading = camera.heading + float(track.choice(AHEAD)) + float(track.normal(0, 0.3))
    heading = (
        heading + float(rng.normal(0, 0.2)) if rng.random() < 0.75 else float(rng.uniform(0, 2 * math.pi))
    )
    return Pose(heading, phase=float(rng.uniform(0, 2 * math.pi)), stride=float(rng.uniform(0.5, 1.2)))


def _place(
    scene: Pixels, camera: Camera, rng: np.random.Generator, share: float, centre: float, feet: float = 0.965
) -> Placement:
    """A body `share` of the picture high with its axis at `centre` of the width, as the camera stands."""
    height, width = scene.shape[0] * SUPERSAMPLING, scene.shape[1] * SUPERSAMPLING
    down = height * share * camera.squeeze
    return Placement(
        left=width * centre,
        top=height * (feet + float(rng.normal(0, 0.018))) - down,
        across=2 * width * share,
        down=down,
        lean=camera.lean + float(rng.normal(0, 0.03)),
        taper=camera.taper,
    )


def _bad_crop(scene: Pixels, place: Placement, rng: np.random.Generator) -> Placement:
    """The same body too large, so that the box shows a part of it, and off the axis."""
    zoom = float(rng.uniform(1.8, 3.0))
    top = float(rng.uniform(-0.6, 0.0)) * place.down * zoom
    left = float(rng.uniform(0.0, 1.0)) * scene.shape[1] * SUPERSAMPLING
    return replace(place, left=left, top=top, across=place.across * zoom, down=place.down * zoom)


def _walker(scene: Pixels, person: Look, pose: Pose, place: Placement, rng: np.random.Generator) -> Pixels:
    """The scene with a person in it, who throws a shadow and whose clothes have folds."""
    height, width, _ = scene.shape
    ground = Layer(height, width)
    feet = place.top + place.down * 0.975
    ground.paint([oval(place.left, feet, place.across * 0.16, place.down * 0.02)], (0, 0, 0))
    _, cover = ground.flatten()
    layer = Layer(height, width)
    Body(layer, person, pose, place).paint()
    picture, body = layer.flatten()
    coarse = rng.normal(1.0, 0.1, size=(12, 6)).astype(np.float32)
    folds = np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))
    side = np.linspace(-1, 1, width, dtype=np.float32)[None, :] * np.float32(rng.normal(0, 0.25))
    return _over(scene * (1 - 0.45 * cover), picture * (folds + side)[..., None], body)


def _passer_by(scene: Pixels, camera: Camera, rng: np.random.Generator, share: float, reach: float) -> Pixels:
    """Someone else, `reach` of the width off the middle on either side."""
    centre = 0.5 + float(rng.choice([-1, 1])) * reach * float(rng.uniform(0.75, 1.0))
    feet = 0.99 if share > 0.7 else 0.6 + 0.45 * share
    place = _place(scene, camera, rng, share, centre, feet)
    return _walker(scene, look_of(rng, rng), _pose(camera, rng, rng), place, rng)


def _over(scene: Pixels, picture: Pixels, cover: Pixels) -> Pixels:
    return scene * (1 - cover) + picture
