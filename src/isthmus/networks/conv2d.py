"""Convolutions over pictures."""

from __future__ import annotations

from typing import Literal, final

from isthmus.networks.convolution import Convolutional


@final
class Conv2d(Convolutional):
    """Learned downsampling and learned upsampling of ``(channels, height, width)`` (Zeiler et al. 2010)."""

    rows = "pictures (channels, height, width)"
    advice = "Give sample_shape=(height, width), or use Dense."
    n_axes: Literal[1, 2] = 2
