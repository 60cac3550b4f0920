"""The project's errors, under the engine's name. Free of torch."""

from search_spaces.errors import (
    AutoreidError,
    DivergedError,
    HeldError,
    InputError,
    InterruptionError,
    OutOfMemoryError,
    Problems,
    RunError,
    StorageError,
    TooLittleMemoryError,
    read_together,
    unknown,
)

__all__ = [
    "AutoreidError",
    "DivergedError",
    "HeldError",
    "InputError",
    "InterruptionError",
    "OutOfMemoryError",
    "Problems",
    "RunError",
    "StorageError",
    "TooLittleMemoryError",
    "read_together",
    "unknown",
]
