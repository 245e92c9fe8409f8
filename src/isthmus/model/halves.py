"""Half a model: the encoder or the decoder alone."""

from __future__ import annotations

from typing import final

from torch import Tensor, nn

from isthmus.config.training import Precision
from isthmus.model.autoencoder import AutoencoderModule
from isthmus.model.precision import encoded
from isthmus.shapes import Shape


@final
class EncoderModule(nn.Module):
    """From inputs in model units to codes; the decoder's weights are not kept.

    Parameters
    ----------
    whole
        The model whose encoder and code are taken.
    """

    def __init__(self, whole: AutoencoderModule) -> None:
        super().__init__()
        self.encoder = whole.encoder
        self.code = whole.code
        self.sample_shape: Shape = whole.sample_shape
        self.training = whole.training

    def forward(self, x: Tensor, precision: Precision = "float32") -> Tensor:
        """Codes ``(rows, code_size)`` of ``(rows, *sample_shape)``; of a distribution its mean."""
        return self.code.mean(encoded(self.encoder, x, precision)[0])


@final
class DecoderModule(nn.Module):
    """From codes to reconstructions in model units; the encoder's weights are not kept.

    Parameters
    ----------
    whole
        The model whose decoder and likelihood are taken. Tied weights are copied: training the half
        does not train the encoder that they came from.
    """

    def __init__(self, whole: AutoencoderModule) -> None:
        super().__init__()
        self.decoder = whole.decoder.alone()
        self.likelihood = whole.likelihood
        self.code_size = whole.code.size
        self.training = whole.training

    def forward(self, h: Tensor) -> Tensor:
        """Reconstructions ``(rows, *sample_shape)`` of ``(rows, code_size)``."""
        return self.likelihood.mean(self.decoder(h))
