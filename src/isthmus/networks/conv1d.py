"""Convolutions over sequences."""

from __future__ import annotations

from typing import Literal, final

from isthmus.networks.convolution import Convolutional


@final
class Conv1d(Convolutional):
    """Learned downsampling and learned upsampling of ``(channels, steps)`` (LeCun et al. 1989)."""

    rows = "sequences (channels, steps)"
    advice = "Give row_kind='sequences', or use Conv2d for pictures and Dense for vectors."
    n_axes: Literal[1, 2] = 1
