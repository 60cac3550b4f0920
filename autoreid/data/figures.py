"""Draws one walking person: a look in a pose, from back to front."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from autoreid.data.canvas import Fill, Layer, Placement, Point, Polygon, along, darker, limb, oval
from autoreid.data.looks import Look


@dataclass(frozen=True, slots=True)
class Pose:
    """`heading`: 0 towards the camera, pi/2 to the right, pi away; `phase`: of the step, in radians."""

    heading: float
    phase: float
    stride: float = 1.0


class Body:
    """One look in one pose: joints in body units, then paint from back to front."""

    def __init__(self, layer: Layer, look: Look, pose: Pose, place: Placement) -> None:
        self.layer, self.look, self.place = layer, look, place
        self.facing = math.cos(pose.heading)
        self.going = math.sin(pose.heading)
        self.side = 1 if self.going >= 0 else -1
        wide = look.girth * (0.62 + 0.38 * abs(self.facing))
        self.shoulder, self.hip = 0.108 * wide, 0.088 * wide
        self.legs = [self._leg(leg, pose) for leg in (-1, 1)]
        self.arms = [self._arm(arm, pose) for arm in (-1, 1)]
        self.cloth = self._cloth()

    def _leg(self, leg: int, pose: Pose) -> list[Point]:
        swing = leg * math.sin(pose.phase) * pose.stride
        x = leg * self.hip * (0.2 + 0.35 * abs(self.facing))
        lift = max(0.0, swing) * (0.015 + 0.035 * abs(self.facing))
        foot = x + 0.12 * swing * self.going
        knee = (x + foot) / 2 + 0.025 * self.going * (1 if swing > 0 else 0.2)
        return [(x, 0.5), (knee, 0.73 - lift / 2), (foot, 0.965 - lift)]

    def _arm(self, arm: int, pose: Pose) -> list[Point]:
        swing = -arm * math.sin(pose.phase) * pose.stride
        x = arm * self.shoulder * (0.25 + 0.75 * abs(self.facing))
        hand = x + 0.10 * swing * self.going + arm * 0.02 * abs(self.facing)
        elbow = (x + hand) / 2 + arm * 0.016 * abs(self.facing) - 0.02 * self.going
        return [(x, 0.195), (elbow, 0.35), (hand, 0.5 - 0.02 * max(0.0, swing))]

    def _cloth(self) -> Fill:
        """The fabric of the upper body, aligned with the body, or its plain colour."""
        look = self.look
        frontal = self.facing > 0.3
        if look.pattern == "plain" or (look.pattern in ("logo", "open") and not frontal):
            return look.upper
        cloth = Image.new("RGB", self.layer.size, look.upper)
        draw = ImageDraw.Draw(cloth)
        for piece in self._print():
            draw.polygon(self.place(piece), fill=look.accent)
        return cloth

    def _print(self) -> list[list[Point]]:
        look, wide = self.look, self.shoulder * 1.6
        turn = 0.25 * self.shoulder * self.going
        if look.pattern == "logo":
            return [oval(turn, 0.29, self.shoulder * 0.55, 0.055)]
        if look.pattern == "open":
            return [[(turn - 0.03, 0.1), (turn + 0.03, 0.1), (turn + 0.045, 0.7), (turn - 0.045, 0.7)]]
        if look.pattern == "two_tone":
            return [[(-0.5, 0.36), (0.5, 0.36), (0.5, 0.8), (-0.5, 0.8)]]
        half = look.pitch / 2
        rings = [
            [(-0.5, y), (0.5, y), (0.5, y + half), (-0.5, y + half)]
            for y in np.arange(0.19, 0.7, look.pitch).tolist()
        ]
        bars = [
            [(x, 0.1), (x + half, 0.1), (x + half, 0.8), (x, 0.8)]
            for x in np.arange(-wide, wide, look.pitch).tolist()
        ]
        return {"rings": rings, "stripes": bars, "checks": rings + bars}[look.pattern]

    def fill(self, polygons: Sequence[Polygon], fill: Fill) -> None:
        self.layer.paint([self.place(polygon) for polygon in polygons], fill)

    def paint(self) -> None:
        near = 1 if self.going < 0 else 0
        self._paint_leg(self.legs[1 - near], 0.72)
        self._paint_arm(self.arms[1 - near], 0.7)
        if self.facing >= 0.3 or abs(self.going) > 0.5:
            self._paint_backpack_behind()
        self._paint_long_hair(behind=True)
        self._paint_leg(self.legs[near], 1.0)
        self._paint_lower()
        self._paint_torso()
        self._paint_head()
        self._paint_bag(self.arms[near])
        self._paint_arm(self.arms[near], 0.88)
        if abs(self.facing) > 0.6:
            self._paint_arm(self.arms[1 - near], 0.88)

    def _paint_leg(self, joints: list[Point], light: float) -> None:
        look = self.look
        thick = 0.5 + 0.5 * look.girth
        widths = (0.088 * thick, 0.066 * thick, 0.05 * thick)
        share = {"trousers": 1.0, "shorts": 0.5, "skirt": 0.0, "long_skirt": 0.0}[look.cut]
        bare = look.skin if share < 1 else look.lower
        self.fill(limb(joints, widths), darker(bare, light))
        if 0 < share < 1:
            self.fill(limb(along(joints, share), (widths[0], widths[1] * 1.2)), darker(look.lower, light))
        x, y = joints[-1]
        toe = 0.03 * self.going
        self.fill(
            [oval(x + toe, y + 0.015, 0.03 + 0.015 * abs(self.going), 0.022)], darker(look.shoes, light)
        )

    def _paint_arm(self, joints: list[Point], light: float) -> None:
        look = self.look
        thick = 0.5 + 0.5 * look.girth
        widths = (0.058 * thick, 0.048 * thick, 0.036 * thick)
        self.fill(limb(joints, widths), darker(look.skin, light))
        sleeve = along(joints, look.sleeve) if look.sleeve else []
        if sleeve:
            self.fill(limb(sleeve, widths[: len(sleeve)]), darker(self.cloth, light))
            hand = joints[-1]
            self.fill([oval(hand[0], hand[1] + 0.015, 0.02, 0.022)], darker(look.skin, light))

    def _paint_lower(self) -> None:
        end = {"skirt": 0.72, "long_skirt": 0.88}.get(self.look.cut, 0.55)
        flare = 1.25 if end > 0.6 else 0.98
        sway = 0.015 * self.going
        outline = [
            (-self.hip * 0.95, 0.42),
            (self.hip * 0.95, 0.42),
            (self.hip * flare + sway, end),
            (-self.hip * flare + sway, end),
        ]
        self.fill([outline], self.look.lower)

    def _paint_torso(self) -> None:
        hem = self.look.hem
        s, h = self.shoulder, self.hip
        neck = 0.03
        self.fill([[(-neck, 0.11), (neck, 0.11), (neck, 0.18), (-neck, 0.18)]], darker(self.look.skin, 0.85))
        outline = [
            (-neck, 0.155),
            (neck, 0.155),
            (s * 0.9, 0.175),
            (s, 0.21),
            (h * 0.96, 0.38),
            (h * 1.04, hem),
            (-h * 1.04, hem),
            (-h * 0.96, 0.38),
            (-s, 0.21),
            (-s * 0.9, 0.175),
        ]
        self.fill([outline], self.cloth)

    def _paint_head(self) -> None:
        """Face, hair as the heading shows it, and the hat."""
        look, y = self.look, 0.078
        turn = 0.012 * self.going
        self.fill([oval(turn, y, 0.047, 0.064)], look.skin)
        back = -self.side * 0.016
        if look.hair_cut != "bald":
            if self.facing < -0.5:
                self.fill([oval(0, y - 0.008, 0.052, 0.064)], look.hair)
            elif self.facing > 0.5:
                self.fill(
                    [
                        [
                            (-0.052, y - 0.01),
                            (-0.04, 0.012),
                            (0, 0),
                            (0.04, 0.012),
                            (0.052, y - 0.01),
                            (0.03, y - 0.032),
                            (-0.03, y - 0.032),
                        ]
                    ],
                    look.hair,
                )
            else:
                self.fill([oval(back, y - 0.014, 0.046, 0.058)], look.hair)
        self._paint_long_hair(behind=False)
        if look.hat != "none":
            low = 0.05 if look.hat == "cap" else 0.062
            self.fill(
                [[(-0.054, low), (-0.046, 0.014), (0, -0.012), (0.046, 0.014), (0.054, low)]], look.hat_colour
            )
            if look.hat == "cap" and self.facing > -0.5:
                self.fill([oval(0.05 * self.going, low, 0.05, 0.01)], darker(look.hat_colour, 0.7))

    def _paint_long_hair(self, behind: bool) -> None:
        """Hair below the head: behind the torso when the face is seen, over it from the back."""
        look = self.look
        if look.hair_cut not in ("long", "tail") or behind != (self.facing > -0.3):
            return
        x = 0.0 if abs(self.facing) > 0.5 else -self.side * 0.03
        if look.hair_cut == "long":
            self.fill([oval(x, 0.13, 0.06, 0.1)], look.hair)
        elif not behind or abs(self.going) > 0.4:
            self.fill([oval(x * 1.4, 0.15, 0.018, 0.09)], look.hair)

    def _paint_backpack_behind(self) -> None:
        """A backpack seen from the side, behind the trunk."""
        if self.look.bag == "backpack" and abs(self.going) > 0.3:
            x = -self.side * (self.shoulder * 0.7 + 0.035)
            self.fill([oval(x, 0.31, 0.062, 0.13)], self.look.bag_colour)

    def _paint_bag(self, arm: list[Point]) -> None:
        look = self.look
        strap = darker(look.bag_colour, 0.75)
        if look.bag == "backpack" and self.facing < -0.3:
            s = self.shoulder * 0.82
            self.fill(
                [[(-s * 0.8, 0.18), (s * 0.8, 0.18), (s, 0.24), (s, 0.42), (-s, 0.42), (-s, 0.24)]],
                look.bag_colour,
            )
            self.fill([[(-s * 0.7, 0.32), (s * 0.7, 0.32), (s * 0.7, 0.4), (-s * 0.7, 0.4)]], strap)
        elif look.bag == "backpack" and self.facing > 0.3:
            for x in (-self.shoulder * 0.6, self.shoulder * 0.6):
                self.fill(
                    [[(x - 0.013, 0.165), (x + 0.013, 0.165), (x + 0.013, 0.34), (x - 0.013, 0.34)]], strap
                )
        elif look.bag == "shoulder":
            side = look.bag_side * (1 if self.facing >= 0 else -1)
            x = side * self.hip * 1.1
            self.fill(limb([(-side * self.shoulder * 0.7, 0.17), (x, 0.47)], (0.018, 0.018)), strap)
            self.fill(
                [[(x - 0.05, 0.44), (x + 0.05, 0.44), (x + 0.055, 0.56), (x - 0.055, 0.56)]], look.bag_colour
            )
        elif look.bag == "handbag":
            x, y = arm[-1]
            self.fill(
                [[(x - 0.03, y), (x + 0.03, y), (x + 0.055, y + 0.13), (x - 0.055, y + 0.13)]],
                look.bag_colour,
            )
