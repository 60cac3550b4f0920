"""Random numbers that are a pure function of (seed, stream, step). Free of torch."""

from __future__ import annotations

import numpy as np

from autoreid.errors import InputError

# One number for each use, so that equal seeds in different places do not give equal numbers.
STREAMS = {"batch": 1, "augmentation": 2, "split": 3}


def generator(seed: int, stream: str, step: int = 0) -> np.random.Generator:
    """A generator of its own for one use at one step.

    Only `.random()` is drawn from it: uniform doubles are the bits of Philox, which numpy never changes,
    while its derived distributions may change between releases.

    >>> first, again = generator(7, "batch", 3), generator(7, "batch", 3)
    >>> bool(first.random() == again.random())
    True
    """
    if seed < 0 or step < 0:
        raise InputError(f"seed and step: {seed} and {step} must not be negative.")
    key = (STREAMS[stream], step)
    return np.random.Generator(np.random.Philox(np.random.SeedSequence(seed, spawn_key=key)))


def permutation(seed: int, stream: str, count: int) -> np.ndarray:
    """The numbers below `count` in random order, int64."""
    return np.argsort(generator(seed, stream).random(count), kind="stable")
