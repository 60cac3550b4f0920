"""The project's errors, under the engine's name. Free of torch."""

from search_spaces.errors import AutoreidError, InputError, Problems, RunError, unknown

__all__ = ["AutoreidError", "InputError", "Problems", "RunError", "unknown"]
