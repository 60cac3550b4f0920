"""What a column of a table is. Free of torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["string", "int64", "float64", "bool"]


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its type, its unit ("" for none), what it says, and whether it may be empty."""

    name: str
    kind: Kind
    unit: str
    description: str
    nullable: bool = True
    measured: bool = False
