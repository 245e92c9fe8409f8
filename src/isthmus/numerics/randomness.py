"""Randomness as a function: every number derives from a seed and what it is for.

Nothing here draws from, or reseeds, a global generator. The same seed and path give the same
numbers, whatever was drawn before, so that a resumed run repeats an uninterrupted one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import torch
from torch import Tensor


class Randomness:
    """A branch of a tree of independent random streams.

    Parameters
    ----------
    seed
        Root of the tree.
    path
        Where this branch stands: a purpose, an epoch, a step.

    Examples
    --------
    >>> root = Randomness(0)
    >>> a = root.at("corruption", 7).normal((2, 3))
    >>> b = Randomness(0).at("corruption", 7).normal((2, 3))
    >>> bool((a == b).all())
    True
    """

    def __init__(self, seed: int, *path: str | int) -> None:
        self.seed = seed
        self.path = path

    def at(self, *path: str | int) -> Randomness:
        """The branch further down."""
        return Randomness(self.seed, *self.path, *path)

    def generator(self) -> torch.Generator:
        """A fresh CPU generator for this branch: the same one at every call."""
        text = "/".join([str(self.seed), *(str(step) for step in self.path)])
        digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
        generator = torch.Generator()
        generator.manual_seed(int.from_bytes(digest, "little") >> 1)
        return generator

    def normal(self, shape: Sequence[int], like: Tensor | None = None) -> Tensor:
        """Standard normal numbers, on the device and of the type of ``like``."""
        return _like(torch.randn(tuple(shape), generator=self.generator()), like)

    def uniform(self, shape: Sequence[int], like: Tensor | None = None) -> Tensor:
        """Numbers in [0, 1), on the device and of the type of ``like``."""
        return _like(torch.rand(tuple(shape), generator=self.generator()), like)

    def permutation(self, n: int) -> Tensor:
        """The numbers 0 to n - 1 in random order."""
        return torch.randperm(n, generator=self.generator())


def _like(numbers: Tensor, like: Tensor | None) -> Tensor:
    return numbers if like is None else numbers.to(like)
