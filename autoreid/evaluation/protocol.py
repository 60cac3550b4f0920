"""How a ranking is scored, as values that are stored with its figures. Free of torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

from autoreid.errors import InputError, Problems, unknown

AveragePrecision = Literal["mean-precision", "trapezoid"]
RULES: tuple[str, ...] = get_args(AveragePrecision)


@dataclass(frozen=True, slots=True)
class Reranking:
    """The parameters of k-reciprocal re-ranking, with the paper's values.

    k1: neighbours of an image besides itself. k2: images that are smoothed over, itself among them.
    weight: lambda, the share of the original distance.
    """

    k1: int = 20
    k2: int = 6
    weight: float = 0.3

    def check(self, images: int) -> None:
        """InputError, all problems together, for values that mean nothing with so many images."""
        problems = Problems()
        if not 1 <= self.k1 < images:
            problems.add("k1", f"{self.k1} of {images} images. Use 1 to {images - 1}; the paper has 20.")
        if not 1 <= self.k2 <= self.k1 + 1:
            problems.add("k2", f"{self.k2} with k1 = {self.k1}. Use 1 to {self.k1 + 1}; the paper has 6.")
        if not 0 <= self.weight <= 1:
            problems.add("lambda", f"{self.weight:g} is no share. Use 0 to 1; the paper has 0.3.")
        problems.raise_if_any()

    def plain(self) -> dict[str, Any]:
        """As a protocol holds it: distances are squared once."""
        return {"k1": self.k1, "k2": self.k2, "lambda": self.weight, "flavour": "squared-euclidean"}


@dataclass(frozen=True, slots=True)
class Protocol:
    """The choices that results differ by. Those of the papers are the defaults.

    normalised: features are L2-normalised before their Euclidean distance is taken.
    average_precision: "mean-precision", the mean of the precisions at the matches, or "trapezoid", the area
    below the curve of precision over recall (`matches.average_precisions` has both).
    same_camera_ignored: gallery images of the query's identity under its camera count as nothing. Where not,
    every gallery image of its identity is a match: for data of one camera, and with no query image in the
    gallery.
    flip: features are means over an image and its mirror image.
    reranking: figures after re-ranking are wanted beside the plain ones.
    Raises InputError for a rule of average precision that does not exist.
    """

    normalised: bool = True
    average_precision: AveragePrecision = "mean-precision"
    same_camera_ignored: bool = True
    flip: bool = False
    reranking: Reranking | None = None

    def __post_init__(self) -> None:
        if self.average_precision not in RULES:
            raise InputError(f"average_precision: {unknown('rule', self.average_precision, RULES)}")

    def plain(self) -> dict[str, Any]:
        """As results hold it.

        >>> Protocol(flip=True).plain()["flip"], "reranking" in Protocol().plain()
        (True, False)
        """
        return {
            "distance": "euclidean",
            "normalised": self.normalised,
            "average_precision": self.average_precision,
            "single_query": True,
            "same_camera_ignored": self.same_camera_ignored,
            "ties": "against",
            "flip": self.flip,
        } | ({} if self.reranking is None else {"reranking": self.reranking.plain()})


# That of the papers.
USUAL = Protocol()
