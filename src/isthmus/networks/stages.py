"""The arithmetic of convolutional stages: sizes down and exactly back, and what a unit sees."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from isthmus.shapes import Shape

RESIDUAL_KERNEL = 3


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage from ``size_in`` to ``size_out``, and what takes it exactly back; a number an axis."""

    kernel: Shape
    """Of the strided convolution, and of the transposed one that undoes its size."""
    stride: Shape
    """Of both; of a pooled stage the side of its windows."""
    padding: Shape
    size_in: Shape
    size_out: Shape
    output_padding: Shape
    keeping: Shape
    """Kernel of a convolution that keeps ``size_in``."""

    @classmethod
    def of(cls, size: Shape, kernel_size: int, stride: int) -> Stage:
        """A strided convolution of maps of ``size``; a side too small for the kernel is left as it is.

        ``out = floor((in + 2 p - k) / s) + 1``; the transposed convolution gives
        ``(out - 1) s - 2 p + k``, and what that lacks, ``(in + 2 p - k) mod s``, is its output
        padding (Dumoulin and Visin 2016, relationship 14).
        """
        return cls._of(size, kernel_size, [_strided(side, kernel_size, stride) for side in size])

    @classmethod
    def pooled(cls, size: Shape, kernel_size: int, window: int) -> Stage:
        """A convolution that keeps the size, then pooling: ``out = ceil(in / w)``, the last window may be cut.

        The transposed convolution of stride w gives ``(out - 1) w + k`` values, of which
        ``c = (out - 1) w + k - in`` are cut, ``p = ceil(c / 2)`` before and ``c - p`` after: its output
        padding is ``2 p - c``. A side smaller than window or kernel is one window.
        """
        return cls._of(size, kernel_size, [_windowed(side, kernel_size, window) for side in size])

    @classmethod
    def _of(cls, size: Shape, kernel_size: int, sides: list[tuple[int, int, int, int, int]]) -> Stage:
        kernel, strides, padding, out, extra = zip(*sides, strict=True)
        return cls(kernel, strides, padding, size, out, extra, tuple(min(kernel_size, n) for n in size))


def _strided(n: int, k: int, s: int) -> tuple[int, int, int, int, int]:
    p = (k - s + 1) // 2
    if n < 2 or n + 2 * p < k:
        return 1, 1, 0, n, 0
    # The last (n + 2 p - k) mod s rows of the padded picture are in no window: keep them padding.
    while (n + 2 * p - k) % s > p:
        p += 1
    return k, s, p, (n + 2 * p - k) // s + 1, (n + 2 * p - k) % s


def _windowed(n: int, k: int, w: int) -> tuple[int, int, int, int, int]:
    k, w = min(k, n), min(w, n)
    out = -(-n // w)
    cut = (out - 1) * w + k - n
    p = -(-cut // 2)
    return k, w, p, out, 2 * p - cut


def pads(kernel: Shape, *, mirrored: bool = False) -> list[int]:
    """What ``torch.nn.functional.pad`` needs so that a convolution keeps the size.

    An even kernel sees one value more after its own than before; ``mirrored`` the other way
    round, as the transposed convolution has it.

    >>> pads((4, 3)), pads((4, 3), mirrored=True)
    ([1, 1, 1, 2], [1, 1, 2, 1])
    """
    both = [((k - 1) // 2, k // 2) for k in reversed(kernel)]
    return [side for pair in both for side in (reversed(pair) if mirrored else pair)]


@dataclass(frozen=True, slots=True)
class Field:
    """Which inputs the units of a map see: unit i those from ``start + i step``, ``size`` of them.

    With kernel k, stride s and padding p: ``size + (k - 1) step``, ``start - p step``, ``step s``
    (Araujo et al. 2019, equations 2 and 4). Beyond the edges there is only padding.
    """

    size: Shape
    start: Shape
    step: Shape

    @classmethod
    def of_input(cls, n_axes: int) -> Field:
        """Each input sees itself."""
        return cls((1,) * n_axes, (0,) * n_axes, (1,) * n_axes)

    def after(self, kernel: Shape, stride: Shape, padding: Shape) -> Field:
        """The field one layer on."""
        sides: Any = zip(self.size, self.start, self.step, kernel, stride, padding, strict=True)
        grown = [(size + (k - 1) * step, start - p * step, step * s) for size, start, step, k, s, p in sides]
        return Field(*(tuple(column) for column in zip(*grown, strict=True)))

    def after_keeping(self, kernel: Shape) -> Field:
        """The field after a convolution that keeps the size."""
        return self.after(kernel, (1,) * len(kernel), tuple((k - 1) // 2 for k in kernel))

    def after_stage(self, stage: Stage, *, pooled: bool) -> Field:
        """The field after a strided convolution, or after a convolution and pooling."""
        if not pooled:
            return self.after(stage.kernel, stage.stride, stage.padding)
        return self.after_keeping(stage.keeping).after(stage.stride, stage.stride, (0,) * len(stage.stride))

    def of_unit(self, unit: Shape, size: Shape) -> tuple[range, ...]:
        """The inputs of a map of ``size`` that one unit sees, an axis each."""
        sides = zip(self.start, self.step, self.size, unit, size, strict=True)
        return tuple(
            range(max(0, start + i * step), min(n, start + i * step + span))
            for start, step, span, i, n in sides
        )
