"""Randomness as a function: every number derives from a seed and what it is for.

Nothing here draws from, or reseeds, a global generator. The same seed and path give the same
numbers, whatever was drawn before, so that a resumed run repeats an uninterrupted one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from isthmus.errors import ParameterError


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

    def split(self, sizes: Sequence[int]) -> list[Randomness]:
        """The branch for consecutive parts of a batch: to each the numbers that the batch would have for it.

        Of a part, the first axis of :meth:`normal` and :meth:`uniform` must be its rows, or several numbers
        a row side by side; what is drawn is that of the whole batch, drawn once and kept as long as the
        parts are.

        Parameters
        ----------
        sizes
            Rows of each part, at least 1.

        Examples
        --------
        >>> whole = Randomness(0).normal((5, 2))
        >>> parts = [part.normal((n, 2)) for n, part in zip((3, 2), Randomness(0).split((3, 2)))]
        >>> bool((torch.cat(parts) == whole).all())
        True
        """
        drawn: dict[_Key, Tensor] = {}
        starts = [sum(sizes[:number]) for number in range(len(sizes))]
        return [
            _Part(self, start, size, sum(sizes), drawn) for start, size in zip(starts, sizes, strict=True)
        ]


_Key = tuple[tuple[str | int, ...], str, tuple[int, ...]]
"""Path, distribution and shape of what was drawn for a whole batch."""


class _Part(Randomness):
    """What a branch is to the rows ``start`` to ``start + n`` of a batch of ``n_rows``."""

    def __init__(self, whole: Randomness, start: int, n: int, n_rows: int, drawn: dict[_Key, Tensor]) -> None:
        super().__init__(whole.seed, *whole.path)
        self._start, self._n, self._n_rows, self._drawn = start, n, n_rows, drawn

    def at(self, *path: str | int) -> Randomness:
        """The branch further down, to the same rows."""
        return _Part(super().at(*path), self._start, self._n, self._n_rows, self._drawn)

    def normal(self, shape: Sequence[int], like: Tensor | None = None) -> Tensor:
        """The rows' own of the standard normal numbers of the batch."""
        return _like(self._window("normal", shape, Randomness(self.seed, *self.path).normal), like)

    def uniform(self, shape: Sequence[int], like: Tensor | None = None) -> Tensor:
        """The rows' own of the numbers in [0, 1) of the batch."""
        return _like(self._window("uniform", shape, Randomness(self.seed, *self.path).uniform), like)

    def generator(self) -> torch.Generator:
        """Refused: nobody knows which of its numbers are the rows' own."""
        raise self._refusal("a generator")

    def permutation(self, n: int) -> Tensor:
        """Refused: an order is of all rows."""
        raise self._refusal("an order")

    def split(self, sizes: Sequence[int]) -> list[Randomness]:
        """Refused: parts of parts would be parts of the whole."""
        raise self._refusal("parts")

    def _window(self, kind: str, shape: Sequence[int], draw: Callable[[Sequence[int]], Tensor]) -> Tensor:
        first, *rest = shape if len(shape) else (0,)
        if first % self._n or not first:
            raise self._refusal(f"numbers of shape {tuple(shape)}")
        each = first // self._n
        whole = (each * self._n_rows, *rest)
        key = (self.path, kind, whole)
        if key not in self._drawn:
            self._drawn[key] = draw(whole)
        return self._drawn[key][each * self._start : each * (self._start + self._n)]

    def _refusal(self, what: str) -> ParameterError:
        where = "/".join(str(step) for step in self.path)
        return ParameterError(
            f"randomness {where}: in a part of a batch expected a draw whose first axis is its {self._n} rows, got "
            f"one of {what}. Draw by normal or uniform with rows first, or do whole batches: a lower batch_size."
        )


def _like(numbers: Tensor, like: Tensor | None) -> Tensor:
    # To CUDA no step waits: numbers in ordinary memory are read before the call returns.
    return numbers if like is None else numbers.to(like, non_blocking=like.is_cuda)
