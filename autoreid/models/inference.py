"""Networks without the parts that only training needs."""

from __future__ import annotations

from typing import NoReturn

from torch import Tensor, nn

from autoreid.errors import InputError
from autoreid.models.assembly import ReIDModel


class LeftOut(nn.Module):
    """In the place of a part that a file does not hold; it has no weights, and whoever needs it is told."""

    def __init__(self, name: str, place: str) -> None:
        super().__init__()
        self.name, self.place = name, place

    def forward(self, feature: Tensor) -> Tensor:
        self._refuse()

    @property
    def embedding(self) -> nn.Module:
        """What a balance has within it."""
        self._refuse()

    def _refuse(self) -> NoReturn:
        raise InputError(
            f"{self.place}: holds what inference needs, not the neck's {self.name}, which only training "
            "needs. Give the model.pt of the training, or pack it with --with-classifier."
        )


def leave_out_training_parts(model: ReIDModel, place: str) -> None:
    """Take the parts away that a neck's inference feature does not need; `place` is named in errors."""
    for name in model.neck.training_only:
        setattr(model.neck, name, LeftOut(name, place))
